// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The host's end of a virtio-vsock device, as files: the UNIX stream socket at
 * PATH that host programs connect to, and those at PATH_PORT, where host
 * programs wait for the guest to connect.
 *
 * The socket is made with mode 0600. One that is left over from a VM that was
 * killed refuses connections, by which it is told from one that is in use;
 * since looking and replacing are two steps, the directory is locked meanwhile.
 * At the end the file is removed if it still is the one that was made.
 *
 * No state but the caller's, no locks, any thread. What a host program sends
 * is checked here; nothing comes from the guest but a port number.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "virtio/vsock.h"

#define PORT_SUFFIX_MAX sizeof("_4294967295")
#define BACKLOG 4096
/* Others hold the lock for a moment; who holds it for two seconds is no VM. */
#define LOCK_TRIES 200

static int unix_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static int unix_connect(const struct sockaddr_un *addr)
{
	int fd = unix_socket();
	int err;

	if (fd < 0)
		return fd;
	do {
		err = connect(fd, (const struct sockaddr *)addr,
			      sizeof(*addr)) < 0 ? -errno : 0;
	} while (err == -EINTR);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* The directory of @path, locked, or -errno. */
static int lock_directory(const char *path)
{
	char dir[sizeof(((struct vsock_listener *)0)->path)];
	const char *slash = strrchr(path, '/');
	int fd, err = 0;

	if (!slash)
		snprintf(dir, sizeof(dir), ".");
	else
		snprintf(dir, sizeof(dir), "%.*s",
			 slash == path ? 1 : (int)(slash - path), path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (unsigned int i = 0; i < LOCK_TRIES; i++) {
		err = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
		if (!err)
			return fd;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	close(fd);
	return err;
}

/* Only a socket that refuses is left over; -EADDRINUSE for all else. */
static int remove_stale(const struct sockaddr_un *addr)
{
	struct stat st;
	int fd;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = unix_connect(addr);
	if (fd >= 0)
		close(fd);
	if (fd != -ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(addr->sun_path) < 0 ? -errno : 0;
}

static int bind_and_listen(struct vsock_listener *l,
			   const struct sockaddr_un *addr)
{
	struct stat st;

	/* The mode of a socket is that of its file, before the umask. */
	if (fchmod(l->fd, 0600) < 0 ||
	    bind(l->fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		return -errno;
	if (lstat(addr->sun_path, &st) < 0)
		return -errno;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return listen(l->fd, BACKLOG) < 0 ? -errno : 0;
}

int vsock_listen(struct vsock_listener *l, const char *path, struct report *r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int lock, err;

	memset(l, 0, sizeof(*l));
	l->fd = -1;
	if (strlen(path) + PORT_SUFFIX_MAX > sizeof(addr.sun_path))
		return report_error(r, ENAMETOOLONG, "vsock socket %s", path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	lock = lock_directory(path);
	if (lock < 0)
		return report_error(r, -lock, "vsock socket %s", path);
	err = remove_stale(&addr);
	if (!err)
		l->fd = unix_socket();
	if (!err && l->fd < 0)
		err = l->fd;
	if (!err)
		err = bind_and_listen(l, &addr);
	close(lock);
	if (err) {
		if (l->ino)
			unlink(path);
		if (l->fd >= 0)
			close(l->fd);
		l->fd = -1;
		return report_error(r, -err, "vsock socket %s", path);
	}
	memcpy(l->path, path, strlen(path) + 1);
	return 0;
}

void vsock_unlisten(struct vsock_listener *l)
{
	struct stat st;

	if (l->fd < 0)
		return;
	if (!lstat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	close(l->fd);
	l->fd = -1;
}

int vsock_connect(const struct vsock_listener *l, u32 port)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s_%u", l->path,
			 port);

	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	return unix_connect(&addr);
}

int vsock_parse_connect(const char *line, size_t len, u32 *port)
{
	static const char word[] = "CONNECT ";
	const char *end = memchr(line, '\n', len);
	size_t have = end ? (size_t)(end - line) : len;
	size_t i = sizeof(word) - 1;
	u64 v = 0;

	if (memcmp(line, word, MIN(have, i)) || have >= VSOCK_CONNECT_MAX)
		return -EPROTO;
	for (; i < have; i++) {
		if (line[i] < '0' || line[i] > '9')
			return -EPROTO;
		v = v * 10 + (line[i] - '0');
		if (v > 0xffffffff)
			return -EPROTO;
	}
	if (!end)
		return 0;
	if (have < sizeof(word))
		return -EPROTO;
	*port = (u32)v;
	return have + 1;
}
