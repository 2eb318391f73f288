// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The other end of a port: connects to a UNIX socket, or opens a terminal, as
 * soon as it is there, sends a file and receives as many bytes as that has, at
 * the same time, so that neither side waits for the other for ever. Says with one
 * more byte that it has them.
 *
 *	portio PATH SEND RECEIVED
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int open_path(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct stat st;
	int fd;

	if (stat(path, &st) < 0)
		return -1;
	if (!S_ISSOCK(st.st_mode))
		return open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* poll() may promise for a terminal what it cannot do yet. */
static bool for_later(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Sends a piece. Return: 0 when all has been sent, -1 on error. */
static int send_some(int fd, int from, off_t *off)
{
	char d[4096];
	ssize_t n = pread(from, d, sizeof(d), *off);

	if (n <= 0)
		return n;
	n = write(fd, d, n);
	if (n > 0)
		*off += n;
	return n > 0 || for_later(n) ? 1 : -1;
}

static int exchange(int fd, int from, int to, off_t left)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
	off_t off = 0;
	char d[4096];

	while (left || p.events & POLLOUT) {
		ssize_t n;

		if (poll(&p, 1, -1) < 0)
			return 1;
		if (p.revents & POLLOUT && send_some(fd, from, &off) <= 0)
			p.events = POLLIN;
		if (!(p.revents & POLLIN))
			continue;
		n = read(fd, d, sizeof(d));
		if (for_later(n))
			continue;
		if (n <= 0 || write(to, d, n) != n) {
			fprintf(stderr, "portio: read %zd (%m), %lld left\n", n,
				(long long)left);
			return 1;
		}
		left -= n;
	}
	return write(fd, "\n", 1) != 1;
}

int main(int argc, char **argv)
{
	struct stat st;
	int fd, from, to;

	if (argc != 4)
		return 2;
	for (unsigned int i = 0; (fd = open_path(argv[1])) < 0; i++) {
		if (i == 1200)
			return 1;
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
	from = open(argv[2], O_RDONLY);
	to = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (from < 0 || to < 0 || fstat(from, &st) < 0)
		return 1;
	return exchange(fd, from, to, st.st_size);
}
