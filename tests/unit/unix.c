// SPDX-License-Identifier: GPL-2.0-only
/* UNIX sockets by their path: what is replaced, and what is left alone. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kvm/types.h"
#include "kvm/unix.h"
#include "dir.h"
#include "test.h"

struct place {
	char dir[32];
	char path[48];
	struct sockaddr_un a;
};

static void place_make(struct place *p)
{
	dir_temp(p->dir, sizeof(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/socket", p->dir);
	if (unix_address(&p->a, p->path))
		abort();
}

static void place_remove(struct place *p)
{
	unlink(p->path);
	rmdir(p->dir);
}

TEST(unix_socket_is_for_the_user_alone)
{
	struct place p;
	struct stat st;
	int fd, client;

	place_make(&p);
	fd = unix_listen(&p.a, SOCK_STREAM, 1);
	EXPECT(fd >= 0 && !lstat(p.path, &st) && S_ISSOCK(st.st_mode));
	EXPECT((st.st_mode & 07777) == 0600);
	EXPECT(fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	client = unix_connect(&p.a, SOCK_STREAM);
	EXPECT(client >= 0);
	close(client);
	close(fd);
	EXPECT(unix_connect(&p.a, SOCK_STREAM) == -ECONNREFUSED);
	place_remove(&p);
}

TEST(unix_socket_in_use_stays_and_hears_nothing_of_it)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };

	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++) {
		struct pollfd poll_in = { .events = POLLIN };
		struct place p;

		place_make(&p);
		poll_in.fd = unix_listen(&p.a, types[i], 1);
		EXPECT(poll_in.fd >= 0);
		EXPECT(unix_listen(&p.a, SOCK_STREAM, 1) == -EADDRINUSE);
		EXPECT(unix_listen(&p.a, SOCK_SEQPACKET, 1) == -EADDRINUSE);
		EXPECT(poll(&poll_in, 1, 0) == 0);
		close(poll_in.fd);
		/* Now it is what a killed process leaves. */
		poll_in.fd = unix_listen(&p.a, types[i], 1);
		EXPECT(poll_in.fd >= 0);
		close(poll_in.fd);
		place_remove(&p);
	}
}

TEST(unix_listen_replaces_nothing_but_sockets)
{
	struct place p;
	struct stat st;

	place_make(&p);
	close(open(p.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	EXPECT(unix_listen(&p.a, SOCK_STREAM, 1) == -EEXIST);
	EXPECT(!lstat(p.path, &st) && S_ISREG(st.st_mode));
	unlink(p.path);
	EXPECT(!symlink("/dev/null", p.path));
	EXPECT(unix_listen(&p.a, SOCK_STREAM, 1) == -EEXIST);
	EXPECT(!lstat(p.path, &st) && S_ISLNK(st.st_mode));
	place_remove(&p);
	EXPECT(unix_listen(&p.a, SOCK_STREAM, 1) == -ENOENT);
}

/* Anybody who can read the directory can have its lock, and keep it. */
TEST(unix_lock_is_not_waited_for_without_end)
{
	struct place p;
	int fd, lock;

	place_make(&p);
	lock = open(p.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	EXPECT(lock >= 0 && !flock(lock, LOCK_EX));
	EXPECT(unix_listen(&p.a, SOCK_STREAM, 1) == -EWOULDBLOCK);
	close(lock);
	fd = unix_listen(&p.a, SOCK_STREAM, 1);
	EXPECT(fd >= 0);
	close(fd);
	place_remove(&p);
}

TEST(unix_address_has_an_end)
{
	struct sockaddr_un a;
	char path[sizeof(a.sun_path) + 1];

	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = 0;
	EXPECT(unix_address(&a, path) == -ENAMETOOLONG);
	path[sizeof(path) - 2] = 0;
	EXPECT(!unix_address(&a, path) && !strcmp(a.sun_path, path));
}

TEST_MAIN(T(unix_socket_is_for_the_user_alone),
	  T(unix_socket_in_use_stays_and_hears_nothing_of_it),
	  T(unix_listen_replaces_nothing_but_sockets),
	  T(unix_lock_is_not_waited_for_without_end),
	  T(unix_address_has_an_end));
