// SPDX-License-Identifier: GPL-2.0-only
/*
 * Both ends of the socket tests, one program.
 *
 * Theory of operation
 *
 * As init of a guest it waits at a few ports and does what each stands for,
 * with a process for each connection but those of the echo, which are served
 * by one epoll loop, as there are a thousand. On the host it is run with the
 * way to the guest, unix:PATH or vsock:CID, and the name of a test; it ends
 * with status 0 or says on stderr what went wrong. Bytes are a pattern that
 * depends on a seed and the position, and are compared by a checksum.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/vm_sockets.h>
#include "kvm/types.h"

#define BLOCK 65536
#define CONNS 1000
#define HOST_PORT 9
#define MIB SZ_1M

enum port {
	PORT_ECHO = 1,	/* sends back what comes */
	PORT_SINK,	/* reads to the end, answers "LENGTH SUM\n" */
	PORT_SOURCE,	/* reads "LENGTH\n", sends that much, shuts down */
	PORT_IDLE,	/* never reads */
	PORT_ABORT,	/* reads a byte, closes */
	PORT_DIAL,	/* reads "echo|many|refused\n", does it, answers "ok\n" */
	PORT_OFF,	/* powers off */
	PORT_HALF,	/* shuts down, reads to the end, tells at HOST_PORT */
	PORT_COUNT,	/* answers how many processes there are */
	NR_PORTS,
};

struct sum {
	u64 len;
	u64 hash;
};

static const char *peer = "vsock:2";

static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void sum_add(struct sum *s, const unsigned char *d, size_t len)
{
	for (size_t i = 0; i < len; i++)
		s->hash = (s->hash ^ d[i]) * 0x100000001b3ULL + 1;
	s->len += len;
}

static void pattern(unsigned char *d, size_t len, u64 at)
{
	for (size_t i = 0; i < len; i++, at++)
		d[i] = (at * 0x9e3779b97f4a7c15ULL) >> 56 ^ at >> 13;
}

/* Sockets */

static int dial_vsock(unsigned int cid, unsigned int port)
{
	struct sockaddr_vm a = {
		.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port,
	};
	struct timeval tv = { .tv_sec = 60 };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("AF_VSOCK: %m");
	setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, sizeof(tv));
	if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return fd;
	close(fd);
	return -1;
}

static int unix_socket(struct sockaddr_un *a, const char *fmt, ...)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	va_list ap;

	if (fd < 0)
		fail("AF_UNIX: %m");
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	va_start(ap, fmt);
	vsnprintf(a->sun_path, sizeof(a->sun_path), fmt, ap);
	va_end(ap);
	return fd;
}

static int dial_unix(const char *path, unsigned int port)
{
	struct sockaddr_un a;
	int fd = unix_socket(&a, "%s", path);
	char line[64], c = 0;
	size_t n = 0;

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		goto err_close;
	dprintf(fd, "CONNECT %u\n", port);
	while (c != '\n') {
		if (read(fd, &c, 1) != 1 || n == sizeof(line) - 1)
			goto err_close;
		line[n++] = c;
	}
	if (strncmp(line, "OK ", 3))
		goto err_close;
	return fd;

err_close:
	close(fd);
	return -1;
}

/* Return: a socket, or -1 when the other side refuses. */
static int try_dial(unsigned int port)
{
	if (!strncmp(peer, "vsock:", 6))
		return dial_vsock(strtoul(peer + 6, NULL, 10), port);
	return dial_unix(peer + 5, port);
}

static int dial(unsigned int port)
{
	int fd = try_dial(port);

	if (fd < 0)
		fail("port %u: no connection: %m", port);
	return fd;
}

static int listen_vsock(unsigned int port)
{
	struct sockaddr_vm a = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY,
		.svm_port = port,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(fd, CONNS) < 0)
		fail("listen at port %u: %m", port);
	return fd;
}

static int listen_at(unsigned int port)
{
	struct sockaddr_un a;
	int fd;

	if (!strncmp(peer, "vsock:", 6))
		return listen_vsock(port);
	fd = unix_socket(&a, "%s_%u", peer + 5, port);
	unlink(a.sun_path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(fd, CONNS) < 0)
		fail("listen at %s: %m", a.sun_path);
	return fd;
}

static int write_all(int fd, const void *d, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = send(fd, (const char *)d + done, len - done,
				 MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -1;
		done += n > 0 ? n : 0;
	}
	return 0;
}

static int read_all(int fd, void *d, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)d + done, len - done);

		if (!n || (n < 0 && errno != EINTR))
			return -1;
		done += n > 0 ? n : 0;
	}
	return 0;
}

/* A line, without its end. */
static void read_line(int fd, char *line, size_t size)
{
	size_t n = 0;

	while (n < size - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
}

static struct sum read_to_end(int fd)
{
	static unsigned char d[BLOCK];
	struct sum s = { 0 };
	ssize_t n;

	while ((n = read(fd, d, sizeof(d))) > 0)
		sum_add(&s, d, n);
	return s;
}

static int write_pattern(int fd, u64 len)
{
	static unsigned char d[BLOCK];

	for (u64 at = 0; at < len; at += BLOCK) {
		size_t n = len - at < BLOCK ? len - at : BLOCK;

		pattern(d, n, at);
		if (write_all(fd, d, n))
			return -1;
	}
	return 0;
}

static struct sum sum_of_pattern(u64 len)
{
	static unsigned char d[BLOCK];
	struct sum s = { 0 };

	for (u64 at = 0; at < len; at += BLOCK) {
		size_t n = len - at < BLOCK ? len - at : BLOCK;

		pattern(d, n, at);
		sum_add(&s, d, n);
	}
	return s;
}

static void expect_sum(struct sum got, u64 len)
{
	struct sum want = sum_of_pattern(len);

	if (got.len != want.len)
		fail("%llu bytes came, not %llu", (unsigned long long)got.len,
		     (unsigned long long)want.len);
	if (got.hash != want.hash)
		fail("the bytes that came are not those that were sent");
}

/* Send a pattern and read it back, while it is sent. */
static void echo_bulk(int fd, u64 len)
{
	pid_t writer = fork();
	int status;

	if (!writer) {
		status = write_pattern(fd, len) || shutdown(fd, SHUT_WR);
		_exit(status);
	}
	expect_sum(read_to_end(fd), len);
	if (waitpid(writer, &status, 0) != writer || status)
		fail("sending failed");
}

static void open_many(int *fd, unsigned int port)
{
	u32 back;

	for (u32 i = 0; i < CONNS; i++)
		fd[i] = dial(port);
	for (u32 i = 0; i < CONNS; i++) {
		if (write_all(fd[i], &i, sizeof(i)))
			fail("connection %u: write: %m", i);
	}
	for (u32 i = 0; i < CONNS; i++) {
		if (read_all(fd[i], &back, sizeof(back)) || back != i)
			fail("connection %u: wrong answer", i);
	}
	for (u32 i = 0; i < CONNS; i++)
		close(fd[i]);
}

/* Echo: what could not be written yet is kept, and nothing read meanwhile. */

struct echo {
	int fd;
	size_t start;
	size_t len;
	int eof;
	char buf[4096];
};

static void echo_end(struct echo *e)
{
	close(e->fd);
	free(e);
}

static void echo_run(struct echo *e)
{
	ssize_t n;

	for (;;) {
		while (e->len) {
			n = send(e->fd, e->buf + e->start, e->len,
				 MSG_NOSIGNAL);
			if (n < 0 && errno == EAGAIN)
				return;
			if (n < 0) {
				echo_end(e);
				return;
			}
			e->start += n;
			e->len -= n;
		}
		n = read(e->fd, e->buf, sizeof(e->buf));
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			echo_end(e);
			return;
		}
		e->start = 0;
		e->len = n;
	}
}

static void echo_serve(int listener)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
	for (;;) {
		struct echo *e;

		if (epoll_wait(ep, &ev, 1, -1) != 1)
			continue;
		if (ev.data.ptr) {
			echo_run(ev.data.ptr);
			continue;
		}
		e = calloc(1, sizeof(*e));
		e->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		if (e->fd < 0) {
			free(e);
			continue;
		}
		ev = (struct epoll_event){
			.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
			.data.ptr = e,
		};
		epoll_ctl(ep, EPOLL_CTL_ADD, e->fd, &ev);
	}
}

static pid_t echo_start(int listener)
{
	pid_t pid = fork();

	if (!pid)
		echo_serve(listener);
	close(listener);
	return pid;
}

/* The guest */

static void guest_dial(int fd)
{
	static int many[CONNS];
	char line[32];

	read_line(fd, line, sizeof(line));
	if (!strcmp(line, "echo")) {
		echo_bulk(dial(HOST_PORT), 4 * MIB);
	} else if (!strcmp(line, "many")) {
		open_many(many, HOST_PORT);
	} else if (!strcmp(line, "refused")) {
		if (try_dial(HOST_PORT + 1) >= 0 || errno != ECONNRESET)
			fail("refused: %m");
	} else {
		fail("what is %s", line);
	}
	dprintf(fd, "ok\n");
}

static void guest_half(int fd)
{
	struct sum s;
	int back;

	shutdown(fd, SHUT_WR);
	s = read_to_end(fd);
	back = dial(HOST_PORT);
	dprintf(back, "%llu %llx\n", (unsigned long long)s.len,
		(unsigned long long)s.hash);
	close(back);
}

static void guest_conn(int fd, enum port port)
{
	char line[32], c;
	struct sum s;

	switch (port) {
	case PORT_SINK:
		s = read_to_end(fd);
		dprintf(fd, "%llu %llx\n", (unsigned long long)s.len,
			(unsigned long long)s.hash);
		break;
	case PORT_SOURCE:
		read_line(fd, line, sizeof(line));
		if (write_pattern(fd, strtoull(line, NULL, 10)))
			break;
		shutdown(fd, SHUT_WR);
		read_all(fd, &c, 1);
		break;
	case PORT_IDLE:
		sleep(1000);
		break;
	case PORT_ABORT:
		read_all(fd, &c, 1);
		break;
	case PORT_DIAL:
		guest_dial(fd);
		break;
	case PORT_OFF:
		reboot(RB_POWER_OFF);
		break;
	case PORT_HALF:
		guest_half(fd);
		break;
	default:
		break;
	}
}

static void guest_reap(unsigned int *children)
{
	while (*children && waitpid(-1, NULL, WNOHANG) > 0)
		--*children;
}

static void guest_accept(int listener, enum port port, unsigned int *children)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		return;
	guest_reap(children);
	if (port == PORT_COUNT) {
		dprintf(fd, "%u\n", *children);
	} else if (!fork()) {
		guest_conn(fd, port);
		exit(0);
	} else {
		++*children;
	}
	close(fd);
}

static void raise_limit(void)
{
	struct rlimit l;

	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

static void guest_main(void)
{
	struct pollfd p[NR_PORTS];
	unsigned int children = 0;

	mount("dev", "/dev", "devtmpfs", 0, NULL);
	echo_start(listen_vsock(PORT_ECHO));
	for (unsigned int i = PORT_SINK; i < NR_PORTS; i++)
		p[i] = (struct pollfd){ listen_vsock(i), POLLIN, 0 };
	printf("PEER READY\n");
	fflush(stdout);
	for (;;) {
		if (poll(p + PORT_SINK, NR_PORTS - PORT_SINK, -1) < 0)
			continue;
		for (unsigned int i = PORT_SINK; i < NR_PORTS; i++) {
			if (p[i].revents)
				guest_accept(p[i].fd, i, &children);
		}
	}
}

/* The host's tests */

static void expect_sum_line(int fd, u64 len)
{
	unsigned long long got_len = 0, hash = 0;
	char line[64];

	read_line(fd, line, sizeof(line));
	if (sscanf(line, "%llu %llx", &got_len, &hash) != 2)
		fail("no answer, but \"%s\"", line);
	expect_sum((struct sum){ got_len, hash }, len);
}

static void expect_ok(int fd)
{
	char line[32];

	read_line(fd, line, sizeof(line));
	if (strcmp(line, "ok"))
		fail("the guest failed");
}

static void test_echo(void)
{
	int fd = dial(PORT_ECHO);
	char d[5];

	if (write_all(fd, "hello", 5) || read_all(fd, d, 5) ||
	    memcmp(d, "hello", 5))
		fail("no echo");
	shutdown(fd, SHUT_WR);
	if (read(fd, d, 1))
		fail("no end");
}

static void test_bulk_to_guest(void)
{
	int fd = dial(PORT_SINK);

	if (write_pattern(fd, 16 * MIB))
		fail("write: %m");
	shutdown(fd, SHUT_WR);
	expect_sum_line(fd, 16 * MIB);
}

static void test_bulk_to_host(void)
{
	int fd = dial(PORT_SOURCE);

	dprintf(fd, "%llu\n", 16 * MIB);
	expect_sum(read_to_end(fd), 16 * MIB);
}

static void test_bulk_both_ways(void)
{
	echo_bulk(dial(PORT_ECHO), 8 * MIB);
}

static void test_many(void)
{
	static int fd[CONNS];

	open_many(fd, PORT_ECHO);
}

/* The guest dials; what it meets here is an echo. */
static void guest_dials(const char *what)
{
	pid_t server = echo_start(listen_at(HOST_PORT));
	int fd = dial(PORT_DIAL);

	dprintf(fd, "%s\n", what);
	expect_ok(fd);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}

static void test_guest_dials(void)
{
	guest_dials("echo");
}

static void test_guest_dials_many(void)
{
	guest_dials("many");
}

static void test_refused(void)
{
	int fd = try_dial(99);

	if (fd >= 0)
		fail("a port without a listener was connected to");
	fd = dial(PORT_DIAL);
	dprintf(fd, "refused\n");
	expect_ok(fd);
}

static void test_half_close(void)
{
	int listener = listen_at(HOST_PORT);
	int fd = dial(PORT_HALF);
	int back;
	char c;

	if (read(fd, &c, 1))
		fail("the guest shut down, and there is no end");
	if (write_pattern(fd, MIB))
		fail("write after the guest shut down: %m");
	shutdown(fd, SHUT_WR);
	back = accept(listener, NULL, NULL);
	expect_sum_line(back, MIB);
}

/* Both ways: who still writes learns of it. */
static void test_reset(void)
{
	int fd = dial(PORT_ABORT);
	char line[32] = "";

	if (write_all(fd, "x", 1))
		fail("write: %m");
	if (!write_pattern(fd, 256 * MIB))
		fail("the guest is gone, and takes bytes");
	close(fd);
	fd = dial(PORT_SOURCE);
	dprintf(fd, "%llu\n", 256 * MIB);
	if (read(fd, line, 1) != 1)
		fail("read: %m");
	close(fd);
	for (unsigned int i = 0; i < 100; i++) {
		fd = dial(PORT_COUNT);
		read_line(fd, line, sizeof(line));
		close(fd);
		if (!strcmp(line, "0"))
			return;
		usleep(100000);
	}
	fail("%s programs of the guest hang", line);
}

static size_t fill(int fd)
{
	static char d[BLOCK];
	struct pollfd p = { fd, POLLOUT, 0 };
	size_t sum = 0;
	ssize_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (poll(&p, 1, 1000) == 1) {
		n = send(fd, d, sizeof(d), MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			fail("write: %m");
		sum += n > 0 ? n : 0;
		if (sum > 64 * MIB)
			fail("nobody reads, and %zu bytes were taken", sum);
	}
	return sum;
}

static void test_never_reads(void)
{
	int idle[16], source[16];

	for (unsigned int i = 0; i < 16; i++) {
		idle[i] = dial(PORT_IDLE);
		if (i < 2)
			fill(idle[i]);
		source[i] = dial(PORT_SOURCE);
		dprintf(source[i], "%llu\n", 64 * MIB);
	}
	echo_bulk(dial(PORT_ECHO), MIB);
	test_many();
	for (unsigned int i = 0; i < 16; i++) {
		close(idle[i]);
		close(source[i]);
	}
}

static void test_off(void)
{
	dial(PORT_OFF);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "echo", test_echo },
	{ "bulk_to_guest", test_bulk_to_guest },
	{ "bulk_to_host", test_bulk_to_host },
	{ "bulk_both_ways", test_bulk_both_ways },
	{ "thousand_connections", test_many },
	{ "guest_dials", test_guest_dials },
	{ "guest_dials_thousand", test_guest_dials_many },
	{ "refused", test_refused },
	{ "half_close", test_half_close },
	{ "reset", test_reset },
	{ "never_reads", test_never_reads },
	{ "off", test_off },
};

int main(int argc, char **argv)
{
	raise_limit();
	if (getpid() == 1)
		guest_main();
	if (argc == 2 && !strcmp(argv[1], "list")) {
		for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
			printf("%s\n", tests[i].name);
		return 0;
	}
	if (argc != 3)
		fail("usage: vsock-peer unix:PATH|vsock:CID TEST");
	peer = argv[1];
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		if (!strcmp(tests[i].name, argv[2])) {
			tests[i].run();
			return 0;
		}
	}
	fail("no test %s", argv[2]);
}
