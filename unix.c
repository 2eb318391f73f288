// SPDX-License-Identifier: GPL-2.0-only
/*
 * UNIX sockets by their path.
 *
 * Theory of operation: a socket in the file system stays behind when who made it
 * is killed, and the next one has to tell that from one that is in use. Nobody
 * listens when connecting is refused. It is asked with a socket of another type,
 * which one who does listen never sees as a client: the kernel says ECONNREFUSED
 * for what is dead before it looks at types. Looking and replacing are two
 * steps, so the directory is locked meanwhile; since anybody who can read a
 * directory can lock it, that is not waited for without end.
 *
 * The mode of a socket is that of its descriptor when it is bound: 0600 from
 * the first moment on.
 *
 * No state, no locks but that of the directory. Not supported: names without a
 * file.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/unix.h"

/* Others hold the lock for a moment; who holds it for two seconds is no VM. */
#define LOCK_TRIES 200
#define LOCK_PAUSE_MS 10

int unix_address(struct sockaddr_un *a, const char *path)
{
	if (strlen(path) >= sizeof(a->sun_path))
		return -ENAMETOOLONG;
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, path, strlen(path));
	return 0;
}

static int unix_socket(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

int unix_connect(const struct sockaddr_un *a, int type)
{
	int fd = unix_socket(type), err;

	if (fd < 0)
		return fd;
	do {
		err = connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 ?
		      errno : 0;
	} while (err == EINTR);
	if (!err)
		return fd;
	close(fd);
	return -err;
}

int unix_lock(const struct sockaddr_un *a)
{
	char path[sizeof(a->sun_path)];
	int fd, err = 0;

	memcpy(path, a->sun_path, sizeof(path));
	fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (unsigned int i = 0; i < LOCK_TRIES; i++) {
		err = flock(fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
		if (!err)
			return fd;
		poll(NULL, 0, LOCK_PAUSE_MS);
	}
	close(fd);
	return -err;
}

/* Return: 0 when there is nothing, or nothing any more. The lock is held. */
static int remove_locked(const struct sockaddr_un *a, int type)
{
	struct stat st;
	int fd;

	if (lstat(a->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = unix_connect(a, type == SOCK_DGRAM ? SOCK_STREAM : SOCK_DGRAM);
	if (fd >= 0)
		close(fd);
	if (fd != -ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(a->sun_path) < 0 ? -errno : 0;
}

int unix_remove_stale(const struct sockaddr_un *a, int type)
{
	int lock = unix_lock(a), err;

	if (lock < 0)
		return lock;
	err = remove_locked(a, type);
	close(lock);
	return err;
}

int unix_bind(const struct sockaddr_un *a, int type, int backlog)
{
	int fd, err = remove_locked(a, type);

	if (err)
		return err;
	fd = unix_socket(type);
	if (fd < 0)
		return fd;
	if (fchmod(fd, 0600) < 0 ||
	    bind(fd, (const struct sockaddr *)a, sizeof(*a)) < 0) {
		err = -errno;
	} else if (listen(fd, backlog) < 0) {
		err = -errno;
		unlink(a->sun_path);
	}
	if (!err)
		return fd;
	close(fd);
	return err;
}

void unix_unlink(const char *path, const struct stat *made)
{
	struct stat st;

	if (!lstat(path, &st) && st.st_dev == made->st_dev && st.st_ino == made->st_ino)
		unlink(path);
}

int unix_listen(const struct sockaddr_un *a, int type, int backlog)
{
	int lock = unix_lock(a), fd;

	if (lock < 0)
		return lock;
	fd = unix_bind(a, type, backlog);
	close(lock);
	return fd;
}
