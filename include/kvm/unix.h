/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__UNIX_H
#define KVM__UNIX_H

#include <sys/stat.h>
#include <sys/un.h>

/*
 * Sockets that are found by a path; @type is SOCK_STREAM or the like. What is
 * made does not block, and is closed by exec.
 */

/** UNIX_PATH - room for the path of a socket, with its end */
#define UNIX_PATH sizeof(((struct sockaddr_un *)NULL)->sun_path)

/** unix_address() - Return: 0, or -ENAMETOOLONG */
int unix_address(struct sockaddr_un *a, const char *path);
/** unix_connect() - Return: a descriptor, which the caller closes; -errno */
int unix_connect(const struct sockaddr_un *a, int type);
/**
 * unix_lock() - keep others of us from deciding on what is at @a meanwhile
 *
 * Return: a descriptor, and closing it is the end of the lock; -errno, which is
 * -EWOULDBLOCK when somebody has had it for two seconds.
 */
int unix_lock(const struct sockaddr_un *a);
/**
 * unix_remove_stale() - remove a socket of @type that nobody listens on
 *
 * Return: 0 when there is none, or none any more; -EADDRINUSE; -EEXIST when it is
 * no socket; -errno.
 */
int unix_remove_stale(const struct sockaddr_un *a, int type);
/**
 * unix_bind() - make a socket at @a that listens, for the user alone
 *
 * A socket that nobody listens on any more is replaced, nothing else is.
 * Context: unix_lock() is held.
 * Return: a descriptor; -EADDRINUSE when somebody listens; -EEXIST when it is
 * no socket; -errno.
 */
int unix_bind(const struct sockaddr_un *a, int type, int backlog);
/** unix_listen() - unix_bind() with the lock */
int unix_listen(const struct sockaddr_un *a, int type, int backlog);
/**
 * unix_unlink() - remove the file at @path, if it still is the one that was made
 * @made: what lstat() has said of that; zeroes if nothing
 *
 * Context: the socket is open yet, so that no other file can be like it.
 */
void unix_unlink(const char *path, const struct stat *made);

#endif
