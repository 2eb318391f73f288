// SPDX-License-Identifier: GPL-2.0-only
/*
 * The network tests' other end, and their client in the guest; static.
 *
 *   netpeer serve PORT               echoes, TCP and UDP, until it is killed
 *   netpeer connect HOST PORT N      N connections, one after the other, with
 *                                    8 bytes there and back on each
 *   netpeer udp HOST PORT N SIZE     N datagrams there and back, compared
 *   netpeer give PORT FILE           sends FILE to each connection
 *   netpeer fetch HOST PORT          what is there, to standard output
 *   netpeer take PORT                one connection's bytes, to standard output
 *   netpeer push HOST PORT           standard input goes there
 *   netpeer dns ADDR                 the answer to all that is asked on port 53
 *   netpeer fd NAME N COMMAND...     opens the tap device NAME as descriptor N
 *                                    and becomes COMMAND
 *
 * HOST is an address, IPv4 or IPv6. Prints one line at the end; status 0 when
 * all went well.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define CLIENTS 256

static socklen_t address(struct sockaddr_in6 *a, const char *host, int port)
{
	char mapped[64];

	memset(a, 0, sizeof(*a));
	a->sin6_family = AF_INET6;
	a->sin6_port = htons(port);
	snprintf(mapped, sizeof(mapped), "%s%s", strchr(host, ':') ? "" :
		 "::ffff:", host);
	if (inet_pton(AF_INET6, mapped, &a->sin6_addr) != 1) {
		fprintf(stderr, "netpeer: not an IP number: %s\n", host);
		exit(2);
	}
	return sizeof(*a);
}

static int make_socket(int type)
{
	int fd = socket(AF_INET6, type, 0), off = 0, on = 1;
	struct timeval wait = { .tv_sec = 20 };

	if (fd < 0) {
		perror("netpeer: socket");
		exit(2);
	}
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	return fd;
}

static void echo_udp(int fd)
{
	static char buf[65536];
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from,
			     &len);

	if (n >= 0)
		sendto(fd, buf, n, 0, (struct sockaddr *)&from, len);
}

static int serve(int port)
{
	struct pollfd p[2 + CLIENTS];
	struct sockaddr_in6 a;
	socklen_t len = address(&a, "::", port);
	int n = 2;

	p[0] = (struct pollfd){ make_socket(SOCK_STREAM), POLLIN, 0 };
	p[1] = (struct pollfd){ make_socket(SOCK_DGRAM), POLLIN, 0 };
	if (bind(p[0].fd, (struct sockaddr *)&a, len) || listen(p[0].fd, 128) ||
	    bind(p[1].fd, (struct sockaddr *)&a, len)) {
		perror("netpeer: bind");
		return 2;
	}
	for (;;) {
		static char buf[65536];

		if (poll(p, n, -1) < 0)
			continue;
		for (int i = n - 1; i >= 2; i--) {
			ssize_t k;

			if (!p[i].revents)
				continue;
			k = read(p[i].fd, buf, sizeof(buf));
			if (k > 0 && write(p[i].fd, buf, k) == k)
				continue;
			close(p[i].fd);
			p[i] = p[--n];
		}
		if (p[1].revents)
			echo_udp(p[1].fd);
		if (p[0].revents && n < 2 + CLIENTS) {
			int fd = accept(p[0].fd, NULL, NULL);

			if (fd >= 0)
				p[n++] = (struct pollfd){ fd, POLLIN, 0 };
		}
	}
}

static int connect_many(const char *host, int port, int nr)
{
	struct linger l = { 1, 0 };
	struct sockaddr_in6 a;
	socklen_t len = address(&a, host, port);
	int good = 0;

	for (int i = 0; i < nr; i++) {
		unsigned long long out = i * 0x9e3779b97f4a7c15ULL, in = 0;
		int fd = make_socket(SOCK_STREAM);

		/* No port is to be left in TIME_WAIT. */
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
		if (!connect(fd, (struct sockaddr *)&a, len) &&
		    write(fd, &out, 8) == 8 &&
		    recv(fd, &in, 8, MSG_WAITALL) == 8 && in == out)
			good++;
		else
			fprintf(stderr, "netpeer: connection %d: %s\n", i,
				strerror(errno));
		close(fd);
	}
	printf("netpeer: %d of %d connections\n", good, nr);
	return good != nr;
}

static int udp_many(const char *host, int port, int nr, int size)
{
	static unsigned char out[65536], in[65536];
	struct sockaddr_in6 a;
	socklen_t len = address(&a, host, port);
	int fd = make_socket(SOCK_DGRAM), good = 0, lost = 0;

	if (connect(fd, (struct sockaddr *)&a, len)) {
		perror("netpeer: connect");
		return 2;
	}
	for (int i = 0; i < nr && lost < 5; i++) {
		for (int j = 0; j < size; j++)
			out[j] = j * 7 + i;
		memcpy(out, &i, sizeof(i));
		if (send(fd, out, size, 0) != size ||
		    recv(fd, in, sizeof(in), 0) != size ||
		    memcmp(in, out, size))
			lost++;
		else
			good++;
	}
	printf("netpeer: %d of %d datagrams of %d bytes\n", good, nr, size);
	return good < nr - 2;
}

static int copy(int from, int to)
{
	static char buf[65536];
	ssize_t n, done, k;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (done = 0; done < n; done += k) {
			k = write(to, buf + done, n - done);
			if (k <= 0) {
				perror("netpeer: write");
				return 1;
			}
		}
	}
	if (n < 0)
		perror("netpeer: read");
	return n < 0;
}

static int listen_on(int port)
{
	struct sockaddr_in6 a;
	socklen_t len = address(&a, "::", port);
	int fd = make_socket(SOCK_STREAM);
	struct timeval forever = { 0 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
	if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 16)) {
		perror("netpeer: bind");
		exit(2);
	}
	return fd;
}

static int connect_to(const char *host, int port)
{
	struct sockaddr_in6 a;
	socklen_t len = address(&a, host, port);
	int fd = make_socket(SOCK_STREAM);

	if (connect(fd, (struct sockaddr *)&a, len)) {
		perror("netpeer: connect");
		exit(1);
	}
	return fd;
}

static void give(int port, const char *path)
{
	int fd = listen_on(port), c, file;

	for (;;) {
		c = accept(fd, NULL, NULL);
		file = open(path, O_RDONLY);
		copy(file, c);
		close(file);
		close(c);
	}
}

static int take(int port)
{
	return copy(accept(listen_on(port), NULL, NULL), 1);
}

/* All of it has arrived when the other end has closed as well. */
static int push(const char *host, int port)
{
	int fd = connect_to(host, port), err = copy(0, fd);
	char c;

	shutdown(fd, SHUT_WR);
	return err || read(fd, &c, 1) != 0;
}

/* RFC 1035: the question comes back, with one answer behind it if it was A. */
static int dns(const char *answer)
{
	unsigned char tail[16] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4 };
	struct sockaddr_in6 a, from;
	socklen_t len = address(&a, "::", 53);
	int fd = make_socket(SOCK_DGRAM);
	struct in_addr in;

	if (inet_pton(AF_INET, answer, &in) != 1 ||
	    bind(fd, (struct sockaddr *)&a, len)) {
		perror("netpeer: port 53");
		return 2;
	}
	memcpy(tail + 12, &in, 4);
	for (;;) {
		unsigned char m[600];
		ssize_t n, end = 12;
		int is_a;

		len = sizeof(from);
		n = recvfrom(fd, m, 512, 0, (struct sockaddr *)&from, &len);
		while (n > 12 && end < n && m[end])
			end += m[end] + 1;
		end += 5;
		if (n < 12 || end > n)
			continue;
		is_a = m[end - 3] == 1;
		m[2] = 0x85;
		m[3] = 0x80;
		memset(m + 6, 0, 6);
		m[7] = is_a;
		if (is_a)
			memcpy(m + end, tail, sizeof(tail));
		sendto(fd, m, end + (is_a ? sizeof(tail) : 0), 0,
		       (struct sockaddr *)&from, len);
	}
}

static int become(int fd, int want, char **argv)
{
	if (dup2(fd, want) < 0 || (fd != want && close(fd))) {
		perror("netpeer: dup2");
		return 2;
	}
	execvp(argv[0], argv);
	perror(argv[0]);
	return 127;
}

static int tap_fd(const char *name, int want, char **argv)
{
	int fd = open("/dev/net/tun", O_RDWR);
	struct ifreq ifr = {
		.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
	};

	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr)) {
		perror("netpeer: tap");
		return 2;
	}
	return become(fd, want, argv);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(atoi(argv[2]));
	if (argc == 5 && !strcmp(argv[1], "connect"))
		return connect_many(argv[2], atoi(argv[3]), atoi(argv[4]));
	if (argc == 6 && !strcmp(argv[1], "udp"))
		return udp_many(argv[2], atoi(argv[3]), atoi(argv[4]),
				atoi(argv[5]));
	if (argc == 4 && !strcmp(argv[1], "give"))
		give(atoi(argv[2]), argv[3]);
	if (argc == 4 && !strcmp(argv[1], "fetch"))
		return copy(connect_to(argv[2], atoi(argv[3])), 1);
	if (argc == 3 && !strcmp(argv[1], "take"))
		return take(atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "push"))
		return push(argv[2], atoi(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "dns"))
		return dns(argv[2]);
	if (argc > 4 && !strcmp(argv[1], "fd"))
		return tap_fd(argv[2], atoi(argv[3]), argv + 4);
	fprintf(stderr, "netpeer: see netpeer.c\n");
	return 2;
}
