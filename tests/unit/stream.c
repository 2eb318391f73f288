// SPDX-License-Identifier: GPL-2.0-only
/* Terminals as streams: found early, read late; descriptors of two kinds. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "kvm/stream.h"
#include "kvm/types.h"
#include "test.h"

/*
 * So slow that half a second is not enough for all, and each time that somebody
 * looks the 4 KiB that can be seen of it are full again.
 */
#define PAUSE_NS 150000000

struct reader {
	int fd;
	bool stands;
	size_t got;
	bool wrong;
};

static u8 byte_at(size_t i)
{
	return i * 7 + (i >> 8);
}

/* Takes what is there at once, and a little later again, to the end. */
static void *reader_main(void *arg)
{
	struct timespec pause = { .tv_nsec = PAUSE_NS };
	struct reader *r = arg;
	u8 d[4096];
	ssize_t n;

	while (!r->stands && (n = read(r->fd, d, sizeof(d))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			r->wrong |= d[i] != byte_at(r->got + i);
		r->got += n;
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static struct stream *terminal_open(struct reader *r)
{
	struct stream_opts opts = { .kind = STREAM_PTY };
	struct pollfd p[STREAM_POLL];
	struct stream *s = NULL;

	if (stream_open(&s, "t", &opts, NULL))
		abort();
	r->fd = open(stream_path(s), O_RDWR | O_NOCTTY | O_CLOEXEC);
	stream_poll(s, p, true, true);
	poll(p, STREAM_POLL, 1000);
	stream_polled(s, p);
	return s;
}

/* Return: how many bytes the terminal has room for. */
static size_t terminal_fill(struct stream *s)
{
	size_t sent = 0;
	u8 d[1000];
	ssize_t n;

	do {
		for (size_t i = 0; i < sizeof(d); i++)
			d[i] = byte_at(sent + i);
		n = stream_write(s, d, sizeof(d));
		sent += n > 0 ? n : 0;
	} while (n > 0 && sent < 300000);
	return sent;
}

static unsigned int seconds_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - t->tv_sec;
}

TEST(terminal_that_closes_waits_for_a_slow_reader)
{
	struct reader r = { .fd = -1 };
	struct stream *s = terminal_open(&r);
	pthread_t thread;
	size_t sent;

	EXPECT(r.fd >= 0 && stream_connected(s));
	sent = terminal_fill(s);
	/* More than the 4 KiB that FIONREAD can see. */
	EXPECT(sent > 5000);
	EXPECT(!pthread_create(&thread, NULL, reader_main, &r));
	stream_close(s);
	pthread_join(thread, NULL);
	EXPECT(r.got == sent);
	EXPECT(!r.wrong);
	close(r.fd);
}

TEST(terminal_that_closes_does_not_wait_for_a_reader_that_stands)
{
	struct reader r = { .fd = -1, .stands = true };
	struct stream *s = terminal_open(&r);
	struct timespec begin;

	EXPECT(terminal_fill(s) > 5000);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	stream_close(s);
	EXPECT(seconds_since(&begin) < 10);
	close(r.fd);
}

/** struct finder - opens @path as soon as it is there; what it is like then */
struct finder {
	char path[48];
	tcflag_t lflag;
	tcflag_t oflag;
	bool found;
};

static void *finder_main(void *arg)
{
	struct finder *f = arg;
	struct termios t;
	int fd;

	while ((fd = open(f->path, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
		;
	if (!tcgetattr(fd, &t)) {
		f->lflag = t.c_lflag;
		f->oflag = t.c_oflag;
		f->found = true;
	}
	close(fd);
	return NULL;
}

TEST(terminal_is_raw_for_who_finds_it_first)
{
	struct stream_opts opts = { .kind = STREAM_PTY };
	char dir[] = "/tmp/lkvm-stream-XXXXXX";
	struct stream *s = NULL;
	struct finder f = { .found = false };
	pthread_t thread;

	EXPECT(mkdtemp(dir));
	snprintf(f.path, sizeof(f.path), "%s/tty", dir);
	opts.arg = f.path;
	EXPECT(!pthread_create(&thread, NULL, finder_main, &f));
	EXPECT(!stream_open(&s, "t", &opts, NULL));
	pthread_join(thread, NULL);
	EXPECT(f.found && !(f.lflag & (ICANON | ECHO)) && !(f.oflag & OPOST));
	stream_close(s);
	EXPECT(!rmdir(dir));
}

/* One of both is a socket, the other is not. */
TEST(descriptors_of_two_kinds_carry_both_ways)
{
	for (unsigned int out = 0; out < 2; out++) {
		struct stream_opts opts = { .kind = STREAM_FD };
		struct stream *s = NULL;
		int sock[2], p[2];
		char d[4] = "";

		EXPECT(!socketpair(AF_UNIX, SOCK_STREAM, 0, sock) && !pipe(p));
		opts.in_fd = out ? p[0] : sock[0];
		opts.out_fd = out ? sock[0] : p[1];
		EXPECT(!stream_open(&s, "t", &opts, NULL));
		EXPECT(write(out ? p[1] : sock[1], "in", 2) == 2);
		EXPECT(stream_read(s, d, 4) == 2 && !memcmp(d, "in", 2));
		EXPECT(stream_write(s, "out", 3) == 3);
		EXPECT(read(out ? sock[1] : p[0], d, 4) == 3 &&
		       !memcmp(d, "out", 3));
		stream_close(s);
		for (unsigned int i = 0; i < 2; i++) {
			close(sock[i]);
			close(p[i]);
		}
	}
}

/* One that passes on what it reads has much to say when its input ends. */
/* By a descriptor of its own it would begin at 0, and not append. */
TEST(descriptor_of_a_file_goes_on_where_it_is)
{
	char path[] = "/tmp/lkvm-stream-XXXXXX", d[16] = "";
	struct stream_opts opts = { .kind = STREAM_FD };
	struct stream *s = NULL;
	int fd = mkstemp(path);

	EXPECT(write(fd, "xhead", 5) == 5 && lseek(fd, 1, SEEK_SET) == 1);
	opts.in_fd = fd;
	opts.out_fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	EXPECT(!stream_open(&s, "t", &opts, NULL));
	EXPECT(stream_read(s, d, 4) == 4 && !memcmp(d, "head", 4));
	EXPECT(stream_write(s, "tail", 4) == 4);
	EXPECT(pread(fd, d, sizeof(d), 0) == 9 && !memcmp(d, "xheadtail", 9));
	stream_close(s);
	close(opts.out_fd);
	close(fd);
	unlink(path);
}

TEST(command_that_writes_at_its_end_lives_to_its_end)
{
	char dir[] = "/tmp/lkvm-stream-XXXXXX", path[64], command[256];
	struct stream_opts opts = { .kind = STREAM_PIPE, .arg = command };
	struct stream *s = NULL;

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/end", dir);
	snprintf(command, sizeof(command),
		 "cat; head -c 300000 /dev/zero && echo end > %s", path);
	EXPECT(!stream_open(&s, "t", &opts, NULL));
	EXPECT(stream_write(s, "text", 4) == 4);
	stream_close(s);
	EXPECT(!unlink(path) && !rmdir(dir));
}

/* What took the place of a socket is not ours to remove. */
TEST(socket_that_was_replaced_stays)
{
	for (unsigned int other = 0; other < 2; other++) {
		char dir[] = "/tmp/lkvm-stream-XXXXXX", path[64], keep[64];
		struct stream_opts opts = { .kind = STREAM_UNIX, .arg = path };
		struct stream *s = NULL;

		EXPECT(mkdtemp(dir));
		snprintf(path, sizeof(path), "%s/a socket", dir);
		snprintf(keep, sizeof(keep), "%s/kept", dir);
		EXPECT(!stream_open(&s, "t", &opts, NULL));
		if (other) {
			EXPECT(!rename(path, keep));
			close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		}
		stream_close(s);
		EXPECT((access(path, F_OK) == 0) == other);
		unlink(path);
		unlink(keep);
		EXPECT(!rmdir(dir));
	}
}

TEST_MAIN(T(terminal_that_closes_waits_for_a_slow_reader),
	  T(terminal_that_closes_does_not_wait_for_a_reader_that_stands),
	  T(terminal_is_raw_for_who_finds_it_first),
	  T(descriptors_of_two_kinds_carry_both_ways),
	  T(descriptor_of_a_file_goes_on_where_it_is),
	  T(command_that_writes_at_its_end_lives_to_its_end),
	  T(socket_that_was_replaced_stays));
