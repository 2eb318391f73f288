// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Frames over a stream socket, each behind its length in 32 bits, big-endian,
 * as passt's protocol for virtual machines has it. One port, one thread; @gone
 * is read by others.
 *
 * Receiving: the data of a frame goes straight to the pieces that the caller
 * gives, and the length of the frame behind it is read by the same call, so
 * that a busy stream costs one system call a frame. A frame that has only
 * come in part stays where it is until the next call, or moves to @kept when
 * the caller needs its pieces back.
 *
 * Sending: as many frames as fit into one call. When the socket takes a part
 * of a frame, the rest of that frame is copied to @rest, because the stream
 * would be out of step if it were lost; nothing is taken until it is out.
 * When the host has no memory frames are dropped, as no event tells that it has
 * again; what is left of one is tried each millisecond until then.
 *
 * A peer that goes away, or that sends a length which no frame has, ends the
 * link for good. Not supported: file descriptors in the stream, and reconnects.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kvm/net.h"

#define LEN_SIZE 4
#define FRAME_MIN 14
#define BATCH 64

/**
 * struct stream - an instance
 * @epfd, @cookie: where @fd is watched
 * @len: of the frame that is being received, as far as @len_have bytes of it
 * @have: bytes of the frame; the first @kept_have of them are in @kept
 * @limit: of them go to the caller's pieces, decided when the frame began
 * @rest: @rest_len bytes to be sent first, from @rest_off
 */
struct stream {
	struct net_backend b;
	int fd;
	int epfd;
	u64 cookie;
	bool gone;
	u8 len[LEN_SIZE];
	u32 len_have;
	u32 have;
	u32 limit;
	u32 kept_have;
	u32 rest_off;
	u32 rest_len;
	u8 kept[NET_MAX_FRAME];
	u8 rest[LEN_SIZE + NET_MAX_FRAME];
	struct iovec in[NET_MAX_IOV + 1];
	struct iovec out[NET_MAX_IOV];
	__be32 out_len[BATCH];
};

static struct stream *to_stream(struct net_backend *b)
{
	return container_of(b, struct stream, b);
}

static int stream_lost(struct stream *s)
{
	__atomic_store_n(&s->gone, true, __ATOMIC_RELEASE);
	return -ENOLINK;
}

static bool stream_gone(const struct stream *s)
{
	return __atomic_load_n(&s->gone, __ATOMIC_ACQUIRE);
}

/* To do it once more is to be told of what is ready once more. */
static int watch_fd(struct stream *s, int op)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.u64 = s->cookie,
	};

	return epoll_ctl(s->epfd, op, s->fd, &ev) < 0 ? -errno : 0;
}

static int stream_watch(struct net_backend *b, unsigned int port, int epfd,
			u64 cookie, u64 comes)
{
	struct stream *s = to_stream(b);

	(void)port;
	(void)comes;
	s->epfd = epfd;
	s->cookie = cookie;
	return watch_fd(s, EPOLL_CTL_ADD);
}

static ssize_t stream_sendmsg(struct stream *s, struct iovec *iov, size_t nr)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = nr };
	ssize_t n;

	do {
		n = sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return -EAGAIN;
	return errno == ENOBUFS ? -ENOBUFS : stream_lost(s);
}

/* Return: 0 once nothing is left over from an earlier call. */
static int send_rest(struct stream *s)
{
	while (s->rest_len) {
		struct iovec iov = { s->rest + s->rest_off, s->rest_len };
		ssize_t n = stream_sendmsg(s, &iov, 1);

		if (n == -ENOBUFS) {
			/* No event tells of memory: again in a moment. */
			poll(NULL, 0, 1);
			watch_fd(s, EPOLL_CTL_MOD);
			return -EAGAIN;
		}
		if (n < 0)
			return (int)n;
		s->rest_off += (u32)n;
		s->rest_len -= (u32)n;
	}
	return 0;
}

/* Frame @f was taken but for its first @done bytes, length included. */
static void save_rest(struct stream *s, const struct net_frame *f, u32 done)
{
	__be32 len = htobe32(f->len);
	u32 at = LEN_SIZE;

	memcpy(s->rest, &len, LEN_SIZE);
	for (unsigned int i = 0; i < f->nr; i++) {
		memcpy(s->rest + at, f->iov[i].iov_base, f->iov[i].iov_len);
		at += (u32)f->iov[i].iov_len;
	}
	s->rest_off = done;
	s->rest_len = at - done;
}

/* Fill s->out. Return: how many frames are in it, *@nr_iov pieces. */
static unsigned int gather(struct stream *s, const struct net_frame *frames,
			   unsigned int nr, size_t *nr_iov)
{
	unsigned int i;

	*nr_iov = 0;
	for (i = 0; i < nr && i < BATCH; i++) {
		const struct net_frame *f = &frames[i];

		if (*nr_iov + 1 + f->nr > NET_MAX_IOV)
			break;
		s->out_len[i] = htobe32(f->len);
		s->out[(*nr_iov)++] = (struct iovec){ &s->out_len[i], LEN_SIZE };
		memcpy(&s->out[*nr_iov], f->iov, f->nr * sizeof(*f->iov));
		*nr_iov += f->nr;
	}
	return i;
}

/* Return: how many of the frames that @sent bytes cover are done with. */
static unsigned int account(struct stream *s, const struct net_frame *frames,
			    size_t sent)
{
	unsigned int i = 0;

	while (sent) {
		size_t whole = LEN_SIZE + (size_t)frames[i].len;

		if (sent < whole) {
			save_rest(s, &frames[i], (u32)sent);
			return i + 1;
		}
		sent -= whole;
		i++;
	}
	return i;
}

static int stream_send(struct net_backend *b, unsigned int port,
		       const struct net_frame *frames, unsigned int nr)
{
	struct stream *s = to_stream(b);
	unsigned int done = 0;

	(void)port;
	if (stream_gone(s))
		return -ENOLINK;
	for (;;) {
		size_t nr_iov;
		ssize_t n = send_rest(s);

		if (!n && done == nr)
			break;
		if (!n) {
			gather(s, frames + done, nr - done, &nr_iov);
			n = stream_sendmsg(s, s->out, nr_iov);
		}
		if (n == -EAGAIN)
			break;
		if (n == -ENOBUFS)
			return (int)nr;
		if (n < 0)
			return done ? (int)done : (int)n;
		done += account(s, frames + done, (size_t)n);
	}
	return (int)done;
}

static int stream_flush(struct net_backend *b, unsigned int port)
{
	struct stream *s = to_stream(b);
	int err;

	(void)port;
	if (stream_gone(s))
		return 0;
	err = send_rest(s);
	return err == -EAGAIN ? 0 : err;
}

static u32 frame_len(const struct stream *s)
{
	__be32 len;

	memcpy(&len, s->len, LEN_SIZE);
	return be32toh(len);
}

static ssize_t stream_recvmsg(struct stream *s, struct iovec *iov, size_t nr)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = nr };
	ssize_t n;

	do {
		n = recvmsg(s->fd, &m, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return -EAGAIN;
	return stream_lost(s);
}

/* Only at the start and after a pause: otherwise it came with a frame. */
static int recv_len(struct stream *s)
{
	while (s->len_have < LEN_SIZE) {
		struct iovec iov = {
			s->len + s->len_have, LEN_SIZE - s->len_have
		};
		ssize_t n = stream_recvmsg(s, &iov, 1);

		if (n < 0)
			return (int)n;
		s->len_have += (u32)n;
	}
	if (frame_len(s) < FRAME_MIN || frame_len(s) > NET_MAX_FRAME)
		return stream_lost(s);
	return 0;
}

/* What is behind the limit is received all the same, and thrown away. */
static unsigned int recv_pieces(struct stream *s, const struct iovec *iov,
				unsigned int nr, u8 next[LEN_SIZE])
{
	u32 len = frame_len(s);
	unsigned int n = 0;

	if (s->have < s->limit)
		n = iov_slice(iov, nr, s->have, s->limit - s->have, s->in);
	if (s->limit < len)
		s->in[n++] = (struct iovec){
			s->kept, len - MAX(s->have, s->limit)
		};
	s->in[n++] = (struct iovec){ next, LEN_SIZE };
	return n;
}

static ssize_t stream_recv(struct net_backend *b, unsigned int port,
			   const struct iovec *iov, unsigned int nr)
{
	struct stream *s = to_stream(b);
	u8 next[LEN_SIZE];
	ssize_t n;
	u32 len;

	(void)port;
	n = stream_gone(s) ? -ENOLINK : recv_len(s);
	if (n < 0)
		return n;
	len = frame_len(s);
	if (!s->have)
		s->limit = len;
	s->limit = (u32)MIN((size_t)s->limit, iov_length(iov, nr));
	if (s->kept_have) {
		iov_write(iov, nr, 0, s->kept, s->kept_have);
		s->kept_have = 0;
	}
	while (s->have < len) {
		n = stream_recvmsg(s, s->in, recv_pieces(s, iov, nr, next));
		if (n < 0)
			return n;
		s->have += (u32)n;
	}
	s->len_have = s->have - len;
	memcpy(s->len, next, s->len_have);
	s->have = 0;
	return s->limit < len ? (ssize_t)iov_length(iov, nr) + 1 : (ssize_t)len;
}

static void stream_keep(struct net_backend *b, unsigned int port,
			const struct iovec *iov, unsigned int nr)
{
	struct stream *s = to_stream(b);

	(void)port;
	if (s->kept_have || s->len_have < LEN_SIZE)
		return;
	s->kept_have = (u32)iov_read(iov, nr, 0, s->kept,
				     MIN(s->have, s->limit));
}

static bool stream_link(struct net_backend *b)
{
	struct stream *s = to_stream(b);
	ssize_t n;
	u8 c;

	if (stream_gone(s))
		return false;
	do {
		n = recv(s->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (!n || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
		stream_lost(s);
	return !stream_gone(s);
}

static int stream_fd(struct net_backend *b)
{
	return to_stream(b)->fd;
}

static void stream_close(struct net_backend *b)
{
	struct stream *s = to_stream(b);

	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

static const struct net_ops stream_ops = {
	.watch = stream_watch,
	.send = stream_send,
	.flush = stream_flush,
	.recv = stream_recv,
	.keep = stream_keep,
	.link = stream_link,
	.fd = stream_fd,
	.close = stream_close,
};

int net_stream_adopt(struct net_backend **out, int fd, const char *name,
		     struct report *r)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return report_error(r, ENOMEM, "network %s", name);
	s->b.ops = &stream_ops;
	s->b.info.pairs = 1;
	snprintf(s->b.info.name, sizeof(s->b.info.name), "%s", name);
	s->fd = fd;
	s->epfd = -1;
	*out = &s->b;
	return 0;
}
