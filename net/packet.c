// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Sockets that keep frames apart: one message, one frame. Either one that was
 * handed in, connected, or a UNIX socket of which two virtual machines know
 * the path. The first to come listens there; the second connects. When one of
 * them goes away the other has no link until somebody is there again: who
 * listens accepts the next, who connected tries again each second. Whoever
 * comes next finds out in the same way which of the two it is to be. A third one
 * is hung up on by who listens, and tries again each second as long as there are two:
 * its link comes and goes.
 *
 * The path is decided on under a lock of its directory (unix.c), so that two that
 * start at once do not both listen; a socket that is left over from a machine
 * that died is replaced. Nothing is made or removed by a path once the VM runs,
 * since the process may be sealed by then: the socket stays behind.
 *
 * One thread uses the port, and makes and loses connections inside of recv()
 * and link(); @fd is -1 without a peer. A message that is too long for the
 * caller is cut, and its true length returned; one that is too short for a frame
 * is the caller's to drop, so that a peer that sends nothing else is not served
 * without end.
 *
 * Not supported: headers for offloads, more than one peer at a time.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "kvm/net.h"
#include "kvm/unix.h"

#define SOCKET_BUFFER SZ_1M

/**
 * struct packet - an instance
 * @fd: the peer, or -1
 * @datagram: handed in, and it outlives errors of its peer
 * @addr: where to meet; without a path the fd was handed in
 * @listen_fd: -1 while the other one listens
 * @timer_fd: fires each second without a peer that we have to look for
 * @epfd, @cookie: where new file descriptors are watched
 * @full: @fd is watched for room as well: otherwise each frame that the peer reads
 *	would wake us up
 */
struct packet {
	struct net_backend b;
	int fd;
	bool datagram;
	struct sockaddr_un addr;
	int listen_fd;
	int timer_fd;
	int epfd;
	u64 cookie;
	bool full;
};

static struct packet *to_packet(struct net_backend *b)
{
	return container_of(b, struct packet, b);
}

static void watch_fd(struct packet *p, int fd, u32 events, u64 cookie)
{
	struct epoll_event ev = {
		.events = events | EPOLLET,
		.data.u64 = cookie,
	};

	if (p->epfd >= 0 && fd >= 0)
		epoll_ctl(p->epfd, EPOLL_CTL_ADD, fd, &ev);
}

/* Room that there is by now is told of at once. */
static void watch_room(struct packet *p, bool on)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (on ? EPOLLOUT : 0),
		.data.u64 = p->cookie,
	};

	if ((on || p->full) && !epoll_ctl(p->epfd, EPOLL_CTL_MOD, p->fd, &ev))
		p->full = on;
}

static void set_timer(struct packet *p, bool on)
{
	struct itimerspec t = {
		.it_value.tv_sec = on, .it_interval.tv_sec = on,
	};

	if (p->timer_fd >= 0)
		timerfd_settime(p->timer_fd, 0, &t, NULL);
}

static void set_peer(struct packet *p, int fd)
{
	const int size = SOCKET_BUFFER;
	int old = p->fd;

	p->fd = fd;
	/* That one was full is nothing to the next: who waits is to hear of it. */
	p->full = fd >= 0;
	if (old >= 0)
		close(old);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		watch_fd(p, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, p->cookie);
	}
	set_timer(p, fd < 0 && p->listen_fd < 0);
}

/* Return: 0 with a peer, -ECONNREFUSED or -ENOENT when nobody listens. */
static int try_connect(struct packet *p)
{
	int fd = unix_connect(&p->addr, SOCK_SEQPACKET);

	if (fd < 0)
		return fd;
	set_peer(p, fd);
	return 0;
}

/* Connect, or be the one to listen. */
static int meet(struct packet *p)
{
	int lock = unix_lock(&p->addr), err;

	if (lock < 0)
		return lock;
	err = try_connect(p);
	if (err == -ENOENT || err == -ECONNREFUSED) {
		p->listen_fd = unix_bind(&p->addr, SOCK_SEQPACKET, 1);
		err = MIN(p->listen_fd, 0);
	}
	close(lock);
	if (p->listen_fd >= 0)
		set_timer(p, false);
	return err;
}

static int look_for_peer(struct packet *p)
{
	u64 ticks;
	int fd;

	if (p->listen_fd >= 0) {
		fd = accept4(p->listen_fd, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return -ENOLINK;
		set_peer(p, fd);
		return 0;
	}
	if (p->timer_fd < 0 ||
	    read(p->timer_fd, &ticks, sizeof(ticks)) < 0 || try_connect(p))
		return -ENOLINK;
	return 0;
}

/* A third machine is not left with a link that leads nowhere. */
static void refuse_others(const struct packet *p)
{
	struct pollfd l = { .fd = p->listen_fd, .events = POLLIN };
	int fd;

	while (poll(&l, 1, 0) > 0) {
		fd = accept4(l.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		close(fd);
	}
}

static int packet_watch(struct net_backend *b, unsigned int port, int epfd,
			u64 cookie, u64 comes)
{
	struct packet *p = to_packet(b);

	(void)port;
	p->epfd = epfd;
	p->cookie = cookie;
	p->full = false;
	watch_fd(p, p->fd, EPOLLIN | EPOLLRDHUP, cookie);
	watch_fd(p, p->listen_fd, EPOLLIN, comes);
	watch_fd(p, p->timer_fd, EPOLLIN, comes);
	return 0;
}

/* Return: whether the peer is gone for this error. */
static bool is_lost(const struct packet *p, int err)
{
	return !p->datagram || err == ENOTCONN || err == EBADF ||
	       err == EDESTADDRREQ;
}

static int packet_send(struct net_backend *b, unsigned int port,
		       const struct net_frame *frames, unsigned int nr)
{
	struct packet *p = to_packet(b);
	unsigned int i = 0;

	(void)port;
	if (p->fd < 0)
		return -ENOLINK;
	while (i < nr) {
		struct msghdr m = {
			.msg_iov = (struct iovec *)frames[i].iov,
			.msg_iovlen = frames[i].nr,
		};

		if (sendmsg(p->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				break;
			/* Of ENOBUFS no event tells that it is over: a drop. */
			if (errno != EMSGSIZE && errno != ENOBUFS &&
			    is_lost(p, errno)) {
				set_peer(p, -1);
				return -ENOLINK;
			}
		}
		i++;
	}
	watch_room(p, i < nr);
	return (int)i;
}

static ssize_t packet_recv(struct net_backend *b, unsigned int port,
			   const struct iovec *iov, unsigned int nr)
{
	struct packet *p = to_packet(b);
	struct msghdr m = { .msg_iov = (struct iovec *)iov, .msg_iovlen = nr };
	ssize_t n;

	(void)port;
	if (p->fd < 0 && look_for_peer(p))
		return -ENOLINK;
	do {
		n = recvmsg(p->fd, &m, MSG_DONTWAIT | MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n > 0 || (n == 0 && p->datagram))
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return -EAGAIN;
	/* The error is over now. Of the frames behind it no event tells. */
	if (n < 0 && !is_lost(p, errno))
		return 0;
	/* Somebody may be waiting already: packet_link() looks. */
	set_peer(p, -1);
	return -ENOLINK;
}

static bool peer_lives(const struct packet *p)
{
	ssize_t n;
	u8 c;

	do {
		n = recv(p->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0 || (n == 0 && p->datagram))
		return true;
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK ||
			 !is_lost(p, errno));
}

static bool packet_link(struct net_backend *b)
{
	struct packet *p = to_packet(b);

	while (p->fd >= 0 || !look_for_peer(p)) {
		if (peer_lives(p)) {
			refuse_others(p);
			return true;
		}
		set_peer(p, -1);
	}
	return false;
}

static void packet_close(struct net_backend *b)
{
	struct packet *p = to_packet(b);

	p->epfd = -1;
	if (p->listen_fd >= 0)
		close(p->listen_fd);
	if (p->fd >= 0)
		close(p->fd);
	if (p->timer_fd >= 0)
		close(p->timer_fd);
	free(p);
}

static const struct net_ops packet_ops = {
	.watch = packet_watch,
	.send = packet_send,
	.recv = packet_recv,
	.link = packet_link,
	.close = packet_close,
};

static struct packet *packet_alloc(const char *name)
{
	struct packet *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->b.ops = &packet_ops;
	p->b.info.pairs = 1;
	snprintf(p->b.info.name, sizeof(p->b.info.name), "%s", name);
	p->fd = -1;
	p->listen_fd = -1;
	p->timer_fd = -1;
	p->epfd = -1;
	return p;
}

int net_packet_adopt(struct net_backend **out, int fd, const char *name,
		     struct report *r)
{
	struct packet *p = packet_alloc(name);
	socklen_t len = sizeof(int);
	int type = 0;

	if (!p)
		return report_error(r, ENOMEM, "network %s", name);
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	p->datagram = type == SOCK_DGRAM;
	p->fd = fd;
	*out = &p->b;
	return 0;
}

int net_socket_open(struct net_backend **out, const struct net_opts *o,
		    struct report *r)
{
	struct packet *p;
	int err;

	if (!o->path || !*o->path)
		return report_error(r, 0, "network socket: no path=");
	p = packet_alloc("socket");
	if (!p)
		return report_error(r, ENOMEM, "network socket %s", o->path);
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC,
				     TFD_NONBLOCK | TFD_CLOEXEC);
	err = p->timer_fd < 0 ? -errno : unix_address(&p->addr, o->path);
	if (!err)
		err = meet(p);
	if (err) {
		report_error(r, -err, "network socket %s", o->path);
		packet_close(&p->b);
		return err;
	}
	*out = &p->b;
	return 0;
}
