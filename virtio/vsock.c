// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The socket device of virtio 1.2 s5.10, stream sockets only, between the
 * guest and UNIX sockets of the host. A host program connects to the device's
 * socket, says "CONNECT port\n" and reads "OK hostport\n" once a guest program
 * has accepted; a guest program that connects to port P of CID 2 reaches whoever
 * listens at PATH_P. From then on bytes are carried both ways.
 *
 * One thread a device serves its queues and all connections, by epoll. It is
 * made by activate and joined by deactivate; the core's locks are held meanwhile
 * and it takes none. Without a driver there is one while a connection is left.
 * Connections outlive a pause, not a reset. They cannot be saved: a restored
 * guest is told by VIRTIO_VSOCK_EVENT_TRANSPORT_RESET (s5.10.6.7), and closes its
 * own ends.
 *
 * To the host: what the guest sends is written from guest memory into the UNIX
 * socket. What that does not take goes to a buffer of the connection, as large
 * as the credit that the guest was given (buf_alloc, s5.10.6.3), so there is
 * always room, and a host program that does not read holds up nobody else. To
 * the guest: a connection with something to send stands in the ready list and
 * sends one packet at its turn, read from the UNIX socket into guest memory.
 * One without credit is not in the list, and its socket is not read. Replies
 * that are due are bits of the connection; those to packets that belong to none
 * are queued, and while that queue is full no packet is taken from the guest.
 *
 * Memory: a connection has at most its credit, which is 128 KiB while less than
 * half of BUDGET is given away and 8 KiB thereafter; when BUDGET is, or there are
 * as many as may be, no connection is made. A buffer is allocated while it holds bytes.
 *
 * End: each side says what it will not do any more, receive or send, and both
 * together end the connection (s5.10.6.5). shutdown(2) and end of file stand for
 * that at the UNIX socket. Bytes that the guest sent before it closed are written
 * out even if the guest is gone (CONN_DRAINING) or has reset the device; at the
 * end of a VM virtio_vsock_flush() waits for that. A reset drops everything else.
 *
 * Not supported: SOCK_SEQPACKET, CIDs other than the host's, a connection from
 * one guest to another.
 *
 * What a guest can do wrong: a chain too short for a header makes the device
 * need a reset. A packet that lies about its length, exceeds its credit, or does
 * not fit the state of its connection ends that connection with RST; one for a
 * connection, CID or type that does not exist is answered with RST; one that
 * claims to come from another guest is dropped. Credit that a guest
 * claims to have, but has not, fills buffers of its own driver. Nothing is logged.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/virtio_ids.h>
#include "kvm/clock.h"
#include "kvm/thread.h"
#include "kvm/virtio.h"
#include "virtio/vsock.h"

#define QUEUE_MAX 256
#define HOST_CID 2
#define HDR_LEN sizeof(struct virtio_vsock_hdr)

#define BUDGET (128 * SZ_1M)
#define CREDIT_LARGE 0x20000U
#define CREDIT_SMALL 0x2000U
#define CONNS_MAX 8192
#define PAYLOAD_MAX 0x10000U
#define REPLIES_MAX 256
#define HASH_SIZE 4096
#define HOST_PORT_FIRST 0x40000000U

#define TX_BATCH 256
#define RX_BATCH 256
#define EVENTS_MAX 64
#define ACCEPT_BATCH 64

#define SHUTDOWN_ALL (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

/* What epoll reports; larger values are connections. */
enum { TAG_CONTROL, TAG_LISTENER, TAG_KICK };

/**
 * enum conn_state
 * @CONN_HELLO: accepted; the line CONNECT has not come yet. Not in the hash
 * @CONN_REQUESTED: the guest was asked, or is about to be
 * @CONN_WAITING: the guest asks, and the host program's backlog is full
 * @CONN_OPEN: bytes flow
 * @CONN_CLOSING: both sides are shut; the guest has to say RST
 * @CONN_DRAINING: the guest is gone, the rest goes to the host. Not in the hash
 * @CONN_RESET: RST is due, then it is gone
 * @CONN_DEAD: freed at the end of the round
 */
enum conn_state {
	CONN_HELLO, CONN_REQUESTED, CONN_WAITING, CONN_OPEN, CONN_CLOSING,
	CONN_DRAINING, CONN_RESET, CONN_DEAD,
};

/* Packets that are due, bits of conn->due; in the order in which they go. */
enum {
	DUE_RST = 1, DUE_REQUEST = 2, DUE_RESPONSE = 4, DUE_CREDIT_REQUEST = 8,
	DUE_CREDIT = 16, DUE_SHUTDOWN = 32,
};

/* Lists by deadline; each has one length, so that new ones go to its end. */
enum { TIMER_HELLO, TIMER_REQUEST, TIMER_RETRY, TIMER_CLOSE, TIMERS, NO_TIMER };

static const u64 timer_ns[TIMERS] = {
	[TIMER_HELLO] = 10000 * NSEC_PER_MSEC,
	[TIMER_REQUEST] = 10000 * NSEC_PER_MSEC,
	[TIMER_RETRY] = 10 * NSEC_PER_MSEC,
	[TIMER_CLOSE] = 30000 * NSEC_PER_MSEC,
};

#define RETRIES_MAX 200
#define ACCEPT_PAUSE_NS (100 * NSEC_PER_MSEC)

/**
 * struct conn - a connection
 * @due: packets to send; @ready: it stands in the ready list
 * @readable, @writable: what epoll said last, until EAGAIN (edge-triggered)
 * @eof: the host sends no more, or the guest wants no more
 * @write_shut: SHUT_WR was called; @write_dead: the host takes no more
 * @guest_shut: what the guest said; @told_shut: what it was told
 * @guest_alloc, @guest_fwd, @sent: the guest's buffer, and bytes sent to it
 * @alloc: bytes of credit that the guest has in all, and size of @buf
 * @received, @forwarded: bytes from the guest, and those that left again
 * @told_fwd: @forwarded as the guest knows it
 * @buf: a ring of @alloc bytes, NULL while it is empty; @start, @len: in use
 */
struct conn {
	LIST_ENTRY(conn) all;
	LIST_ENTRY(conn) hash;
	TAILQ_ENTRY(conn) ready_link;
	TAILQ_ENTRY(conn) timer_link;
	int fd;
	enum conn_state state;
	u32 guest_port;
	u32 host_port;
	u64 deadline;
	u8 timer;
	u8 retries;
	u8 due;
	u8 guest_shut;
	u8 told_shut;
	bool ready;
	bool hashed;
	bool readable;
	bool writable;
	bool eof;
	bool write_shut;
	bool write_dead;
	bool asked_credit;
	u32 guest_alloc;
	u32 guest_fwd;
	u32 sent;
	u32 alloc;
	u32 received;
	u32 forwarded;
	u32 told_fwd;
	u8 *buf;
	u32 start;
	u32 len;
};

LIST_HEAD(conn_list, conn);
TAILQ_HEAD(conn_queue, conn);

/**
 * struct vsock - an instance; all from @now on is the thread's while it runs
 * @given: bytes of BUDGET; @signal: queues to signal at the end of the round
 * @accept_at: when to listen again, if descriptors ran out; else 0
 */
struct vsock {
	struct vsock_common common;
	struct virtio_device *dev;
	struct vsock_listener listener;
	int epoll_fd;
	int control_fd;
	bool running;
	pthread_t thread;
	u64 now;
	u64 given;
	unsigned int nr_conns;
	unsigned int max_conns;
	u32 next_port;
	u32 signal;
	u64 accept_at;
	struct conn_list all;
	struct conn_list dead;
	struct conn_list hash[HASH_SIZE];
	struct conn_queue ready;
	struct conn_queue timer[TIMERS];
	struct virtio_vsock_hdr reply[REPLIES_MAX];
	unsigned int reply_first;
	unsigned int nr_replies;
	struct vq_chain chain;
	struct iovec iov[VQ_CHAIN_MAX];
};

/* Connections */

static struct conn_list *hash_of(struct vsock *v, u32 guest_port, u32 host_port)
{
	u32 h = guest_port * 0x9e3779b1U ^ host_port * 0x85ebca6bU;

	return &v->hash[(h >> 16 ^ h) % HASH_SIZE];
}

static struct conn *conn_find(struct vsock *v, u32 guest_port, u32 host_port)
{
	struct conn *c;

	LIST_FOREACH(c, hash_of(v, guest_port, host_port), hash) {
		if (c->guest_port == guest_port && c->host_port == host_port)
			return c;
	}
	return NULL;
}

static void conn_hash(struct vsock *v, struct conn *c)
{
	LIST_INSERT_HEAD(hash_of(v, c->guest_port, c->host_port), c, hash);
	c->hashed = true;
}

static void conn_unhash(struct conn *c)
{
	if (c->hashed)
		LIST_REMOVE(c, hash);
	c->hashed = false;
}

static void conn_set_timer(struct vsock *v, struct conn *c, u8 timer)
{
	if (c->timer != NO_TIMER)
		TAILQ_REMOVE(&v->timer[c->timer], c, timer_link);
	c->timer = timer;
	if (timer == NO_TIMER)
		return;
	c->deadline = v->now + timer_ns[timer];
	TAILQ_INSERT_TAIL(&v->timer[timer], c, timer_link);
}

static void conn_set_ready(struct vsock *v, struct conn *c)
{
	if (!c->ready)
		TAILQ_INSERT_TAIL(&v->ready, c, ready_link);
	c->ready = true;
}

static void conn_set_due(struct vsock *v, struct conn *c, u8 due)
{
	c->due |= due;
	conn_set_ready(v, c);
}

/* The bytes of the last connections are few, so that there are many. */
static u32 budget_take(struct vsock *v)
{
	u32 n = v->given < BUDGET / 2 ? CREDIT_LARGE : CREDIT_SMALL;

	if (v->nr_conns >= v->max_conns || n > BUDGET - v->given)
		return 0;
	v->given += n;
	return n;
}

/* Return: NULL when there are too many already. */
static struct conn *conn_create(struct vsock *v, enum conn_state state)
{
	u32 alloc = budget_take(v);
	struct conn *c = alloc ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		v->given -= alloc;
		return NULL;
	}
	c->state = state;
	c->alloc = alloc;
	c->fd = -1;
	c->timer = NO_TIMER;
	LIST_INSERT_HEAD(&v->all, c, all);
	v->nr_conns++;
	return c;
}

static void conn_drop_host(struct conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	free(c->buf);
	c->buf = NULL;
	c->len = 0;
}

/* epoll may still name it in this round: the memory goes at the end of it. */
static void conn_free(struct vsock *v, struct conn *c)
{
	conn_drop_host(c);
	conn_unhash(c);
	conn_set_timer(v, c, NO_TIMER);
	if (c->ready)
		TAILQ_REMOVE(&v->ready, c, ready_link);
	c->ready = false;
	LIST_REMOVE(c, all);
	v->given -= c->alloc;
	v->nr_conns--;
	c->state = CONN_DEAD;
	LIST_INSERT_HEAD(&v->dead, c, all);
}

static void free_dead(struct vsock *v)
{
	struct conn *c;

	while ((c = LIST_FIRST(&v->dead))) {
		LIST_REMOVE(c, all);
		free(c);
	}
}

/* The end, at once: the guest is told if it knows of the connection. */
static void conn_reset(struct vsock *v, struct conn *c)
{
	bool known = c->hashed && !(c->due & DUE_REQUEST);

	if (!known) {
		conn_free(v, c);
		return;
	}
	conn_drop_host(c);
	conn_set_timer(v, c, NO_TIMER);
	c->state = CONN_RESET;
	c->due = 0;
	conn_set_due(v, c, DUE_RST);
}

static int conn_watch(struct vsock *v, struct conn *c)
{
	struct epoll_event e = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = c,
	};

	return epoll_ctl(v->epoll_fd, EPOLL_CTL_ADD, c->fd, &e) < 0 ? -errno : 0;
}

/* What the guest may be sent; a lie about fwd_cnt makes it nothing. */
static u32 conn_credit(const struct conn *c)
{
	u32 in_flight = c->sent - c->guest_fwd;

	return in_flight < c->guest_alloc ? c->guest_alloc - in_flight : 0;
}

static bool conn_has_data(const struct conn *c)
{
	return c->state == CONN_OPEN && c->readable && !c->eof &&
	       !(c->due & DUE_RESPONSE);
}

/* The guest learns late what left its buffer, and not too late. */
static void conn_tell_credit(struct vsock *v, struct conn *c)
{
	if (c->state == CONN_OPEN && c->forwarded - c->told_fwd >= c->alloc / 4)
		conn_set_due(v, c, DUE_CREDIT);
}

static void conn_write_failed(struct vsock *v, struct conn *c)
{
	c->write_dead = true;
	c->forwarded += c->len;
	free(c->buf);
	c->buf = NULL;
	c->len = 0;
	conn_tell_credit(v, c);
}

/* What the host will not do any more, in terms of SHUTDOWN. */
static u8 conn_host_shut(const struct conn *c)
{
	u8 shut = c->eof ? VIRTIO_VSOCK_SHUTDOWN_SEND : 0;

	if (c->write_dead || (c->write_shut && c->eof))
		shut |= VIRTIO_VSOCK_SHUTDOWN_RCV;
	return shut;
}

/* What follows from what is over: shutdown(2), SHUTDOWN, RST. */
static void conn_settle(struct vsock *v, struct conn *c)
{
	if (c->state != CONN_OPEN)
		return;
	if (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND && !c->len &&
	    !c->write_shut) {
		shutdown(c->fd, SHUT_WR);
		c->write_shut = true;
	}
	if (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV && !c->eof) {
		shutdown(c->fd, SHUT_RD);
		c->eof = true;
	}
	if (c->guest_shut == SHUTDOWN_ALL && !c->len) {
		conn_reset(v, c);
		return;
	}
	if (conn_host_shut(c) & ~c->told_shut)
		conn_set_due(v, c, DUE_SHUTDOWN);
	if (!conn_has_data(c))
		return;
	if (conn_credit(c))
		conn_set_ready(v, c);
	else if (!c->asked_credit)
		conn_set_due(v, c, DUE_CREDIT_REQUEST);
	c->asked_credit = !conn_credit(c);
}

/* Return: bytes written; what is not is waited for, or never will be. */
static size_t conn_write(struct vsock *v, struct conn *c, struct iovec *iov,
			 unsigned int nr)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = nr };
	ssize_t n;

	do {
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (size_t)n;
	c->writable = false;
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		conn_write_failed(v, c);
	return 0;
}

/* Write out what is buffered, as far as it goes. */
static void conn_flush(struct vsock *v, struct conn *c)
{
	while (c->writable && c->len) {
		u32 first = MIN(c->len, c->alloc - c->start);
		struct iovec iov[2] = {
			{ c->buf + c->start, first },
			{ c->buf, c->len - first },
		};
		size_t n = conn_write(v, c, iov, 2);

		if (c->write_dead)
			return;
		c->start = (c->start + n) % c->alloc;
		c->len -= n;
		c->forwarded += n;
	}
	if (!c->len) {
		free(c->buf);
		c->buf = NULL;
		c->start = 0;
	}
	conn_tell_credit(v, c);
}

/* The credit was checked: there is room. */
static int conn_buffer(struct conn *c, const struct vq_chain *chain, size_t off,
		       size_t len)
{
	u32 end, first;

	if (!len)
		return 0;
	if (!c->buf)
		c->buf = malloc(c->alloc);
	if (!c->buf)
		return -ENOMEM;
	end = (c->start + c->len) % c->alloc;
	first = MIN(len, c->alloc - end);
	iov_read(chain->iov, chain->nr_out, off, c->buf + end, first);
	iov_read(chain->iov, chain->nr_out, off + first, c->buf, len - first);
	c->len += len;
	return 0;
}

/* Packets from the guest */

static void conn_receive(struct vsock *v, struct conn *c,
			 const struct vq_chain *chain, u32 len)
{
	unsigned int nr;
	size_t done = 0;

	if (c->state != CONN_OPEN || len > chain->out_len - HDR_LEN ||
	    len > c->alloc - (c->received - c->forwarded) ||
	    c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		conn_reset(v, c);
		return;
	}
	c->received += len;
	if (len && !c->write_dead && c->writable && !c->len) {
		nr = iov_slice(chain->iov, chain->nr_out, HDR_LEN, len, v->iov);
		done = conn_write(v, c, v->iov, nr);
	}
	if (c->write_dead)
		done = len;
	c->forwarded += done;
	if (conn_buffer(c, chain, HDR_LEN + done, len - done)) {
		conn_reset(v, c);
		return;
	}
	/* Room may have come up while the rest was copied. */
	conn_flush(v, c);
	conn_settle(v, c);
}

static void conn_opened(struct vsock *v, struct conn *c)
{
	c->state = CONN_OPEN;
	conn_set_timer(v, c, NO_TIMER);
	conn_settle(v, c);
}

/* The guest accepted what a host program asked for. */
static void conn_accepted(struct vsock *v, struct conn *c)
{
	struct iovec iov;
	char line[32];

	if (c->state != CONN_REQUESTED || c->due & DUE_REQUEST) {
		conn_reset(v, c);
		return;
	}
	iov.iov_base = line;
	iov.iov_len = snprintf(line, sizeof(line), "OK %u\n", c->host_port);
	if (conn_write(v, c, &iov, 1) != iov.iov_len) {
		conn_reset(v, c);
		return;
	}
	conn_opened(v, c);
}

/* Find the host program that the guest wants. */
static void conn_connect(struct vsock *v, struct conn *c)
{
	int fd = vsock_connect(&v->listener, c->host_port);

	if (fd == -EAGAIN && c->retries < RETRIES_MAX) {
		c->retries++;
		conn_set_timer(v, c, TIMER_RETRY);
		return;
	}
	if (fd < 0) {
		conn_reset(v, c);
		return;
	}
	c->fd = fd;
	if (conn_watch(v, c)) {
		conn_reset(v, c);
		return;
	}
	c->due |= DUE_RESPONSE;
	conn_set_ready(v, c);
	conn_opened(v, c);
}

/* Return: false when there is no place for it. */
static bool guest_connects(struct vsock *v, const struct virtio_vsock_hdr *h)
{
	struct conn *c = conn_create(v, CONN_WAITING);

	if (!c)
		return false;
	c->guest_port = le32toh(h->src_port);
	c->host_port = le32toh(h->dst_port);
	c->guest_alloc = le32toh(h->buf_alloc);
	c->guest_fwd = le32toh(h->fwd_cnt);
	conn_hash(v, c);
	conn_connect(v, c);
	return true;
}

/* The guest is gone; if @shut is what it said before, the host gets the rest. */
static void conn_leave(struct vsock *v, struct conn *c, u8 shut)
{
	if (c->state == CONN_OPEN && (c->guest_shut & shut) == shut) {
		c->state = CONN_DRAINING;
		c->due = 0;
		conn_unhash(c);
	}
	if (c->state != CONN_DRAINING || !c->len)
		conn_free(v, c);
}

static void guest_shuts(struct vsock *v, struct conn *c, u32 flags)
{
	c->guest_shut |= flags & SHUTDOWN_ALL;
	if (c->state == CONN_OPEN)
		conn_settle(v, c);
	else if (c->state != CONN_CLOSING || c->guest_shut == SHUTDOWN_ALL)
		conn_reset(v, c);
}

static void conn_packet(struct vsock *v, struct conn *c,
			const struct virtio_vsock_hdr *h,
			const struct vq_chain *chain)
{
	u16 op = le16toh(h->op);

	if (op == VIRTIO_VSOCK_OP_RST) {
		conn_leave(v, c, SHUTDOWN_ALL);
		return;
	}
	if (c->state == CONN_RESET)
		return;
	c->guest_alloc = le32toh(h->buf_alloc);
	c->guest_fwd = le32toh(h->fwd_cnt);
	switch (op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		conn_accepted(v, c);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		guest_shuts(v, c, le32toh(h->flags));
		break;
	case VIRTIO_VSOCK_OP_RW:
		if (c->state != CONN_CLOSING)
			conn_receive(v, c, chain, le32toh(h->len));
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		if (c->state == CONN_OPEN)
			conn_set_due(v, c, DUE_CREDIT);
		conn_settle(v, c);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		conn_settle(v, c);
		break;
	default:
		conn_reset(v, c);
	}
}

/* RST for what belongs to no connection; there is a place for it. */
static void reply_reset(struct vsock *v, const struct virtio_vsock_hdr *h)
{
	unsigned int i = (v->reply_first + v->nr_replies++) % REPLIES_MAX;

	v->reply[i] = (struct virtio_vsock_hdr){
		.src_cid = h->dst_cid,
		.dst_cid = h->src_cid,
		.src_port = h->dst_port,
		.dst_port = h->src_port,
		.type = h->type,
		.op = htole16(VIRTIO_VSOCK_OP_RST),
	};
}

static void guest_packet(struct vsock *v, const struct virtio_vsock_hdr *h,
			 const struct vq_chain *chain)
{
	u16 op = le16toh(h->op);
	bool known = le64toh(h->dst_cid) == HOST_CID &&
		     le16toh(h->type) == VIRTIO_VSOCK_TYPE_STREAM;
	struct conn *c = NULL;

	if (le64toh(h->src_cid) != v->common.cid)
		return;
	if (known)
		c = conn_find(v, le32toh(h->src_port), le32toh(h->dst_port));
	if (c) {
		conn_packet(v, c, h, chain);
		return;
	}
	if (op == VIRTIO_VSOCK_OP_RST)
		return;
	if (!known || op != VIRTIO_VSOCK_OP_REQUEST || !guest_connects(v, h))
		reply_reset(v, h);
}

/* Return: whether there may be more, which can be taken. */
static bool run_tx(struct vsock *v)
{
	struct virtqueue *vq = &v->dev->queue[VSOCK_TX];
	struct virtio_vsock_hdr h;

	for (unsigned int i = 0; i < TX_BATCH; i++) {
		const struct vq_chain *c = &v->chain;

		if (v->nr_replies == REPLIES_MAX ||
		    virtqueue_pop(vq, &v->chain) <= 0)
			return false;
		if (iov_read(c->iov, c->nr_out, 0, &h, HDR_LEN) == HDR_LEN) {
			guest_packet(v, &h, c);
		} else {
			virtio_needs_reset(v->dev, "vsock packet without header");
			vq->broken = true;
		}
		virtqueue_push(vq, c, 0);
		v->signal |= BIT(VSOCK_TX);
	}
	return true;
}

/* Packets to the guest */

static void put_header(struct vsock *v, struct conn *c,
		       const struct vq_chain *chain, u16 op, u32 arg)
{
	struct virtio_vsock_hdr h = {
		.src_cid = htole64(HOST_CID),
		.dst_cid = htole64(v->common.cid),
		.src_port = htole32(c->host_port),
		.dst_port = htole32(c->guest_port),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(op),
		.buf_alloc = htole32(c->alloc),
		.fwd_cnt = htole32(c->forwarded),
	};

	if (op == VIRTIO_VSOCK_OP_RW)
		h.len = htole32(arg);
	else
		h.flags = htole32(arg);
	iov_write(chain->iov + chain->nr_out, chain->nr_in, 0, &h, HDR_LEN);
	c->told_fwd = c->forwarded;
	c->due &= ~DUE_CREDIT;
}

/* Return: bytes of the packet, 0 when there is none after all. */
static u32 send_data(struct vsock *v, struct conn *c,
		     const struct vq_chain *chain)
{
	u32 len = MIN(conn_credit(c), chain->in_len - (u32)HDR_LEN);
	unsigned int nr;
	ssize_t n;

	nr = iov_slice(chain->iov + chain->nr_out, chain->nr_in, HDR_LEN,
		       MIN(len, PAYLOAD_MAX), v->iov);
	do {
		n = readv(c->fd, v->iov, (int)nr);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		c->sent += n;
		put_header(v, c, chain, VIRTIO_VSOCK_OP_RW, n);
		return HDR_LEN + n;
	}
	c->readable = false;
	if (!n)
		c->eof = true;
	else if (errno != EAGAIN && errno != EWOULDBLOCK)
		conn_reset(v, c);
	return 0;
}

static u32 send_shutdown(struct vsock *v, struct conn *c,
			 const struct vq_chain *chain)
{
	c->told_shut = conn_host_shut(c);
	put_header(v, c, chain, VIRTIO_VSOCK_OP_SHUTDOWN, c->told_shut);
	if (c->told_shut == SHUTDOWN_ALL) {
		conn_drop_host(c);
		c->state = CONN_CLOSING;
		conn_set_timer(v, c, TIMER_CLOSE);
	}
	return HDR_LEN;
}

/* The first packet of those that are due; data goes before SHUTDOWN. */
static u32 send_due(struct vsock *v, struct conn *c,
		    const struct vq_chain *chain)
{
	static const struct {
		u8 due;
		u16 op;
	} first[] = {
		{ DUE_RST, VIRTIO_VSOCK_OP_RST },
		{ DUE_REQUEST, VIRTIO_VSOCK_OP_REQUEST },
		{ DUE_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE },
		{ DUE_CREDIT_REQUEST, VIRTIO_VSOCK_OP_CREDIT_REQUEST },
		{ DUE_CREDIT, VIRTIO_VSOCK_OP_CREDIT_UPDATE },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(first); i++) {
		if (!(c->due & first[i].due))
			continue;
		c->due &= ~first[i].due;
		put_header(v, c, chain, first[i].op, 0);
		return HDR_LEN;
	}
	if (!(c->due & DUE_SHUTDOWN))
		return 0;
	c->due &= ~DUE_SHUTDOWN;
	return send_shutdown(v, c, chain);
}

/* One turn of a connection. Return: bytes of its packet, or 0. */
static u32 conn_send(struct vsock *v, struct conn *c,
		     const struct vq_chain *chain)
{
	u32 n = 0;

	TAILQ_REMOVE(&v->ready, c, ready_link);
	c->ready = false;
	if (conn_has_data(c) && conn_credit(c))
		n = send_data(v, c, chain);
	if (!n)
		n = send_due(v, c, chain);
	if (c->state == CONN_RESET && !c->due) {
		conn_free(v, c);
		return n;
	}
	conn_settle(v, c);
	if (c->due)
		conn_set_ready(v, c);
	return n;
}

static u32 send_reply(struct vsock *v, const struct vq_chain *chain)
{
	const struct virtio_vsock_hdr *h = &v->reply[v->reply_first];

	v->reply_first = (v->reply_first + 1) % REPLIES_MAX;
	v->nr_replies--;
	return iov_write(chain->iov + chain->nr_out, chain->nr_in, 0, h,
			 HDR_LEN);
}

static bool rx_wanted(const struct vsock *v)
{
	return v->nr_replies || !TAILQ_EMPTY(&v->ready);
}

/* Return: whether there is more to send, and perhaps room for it. */
static bool run_rx(struct vsock *v)
{
	struct virtqueue *vq = &v->dev->queue[VSOCK_RX];
	u32 n;

	for (unsigned int i = 0; i < RX_BATCH; i++) {
		if (!rx_wanted(v) || virtqueue_pop(vq, &v->chain) <= 0)
			return false;
		if (v->chain.in_len <= HDR_LEN) {
			virtio_needs_reset(v->dev, "vsock buffer without room");
			vq->broken = true;
			virtqueue_push(vq, &v->chain, 0);
			return false;
		}
		if (v->nr_replies)
			n = send_reply(v, &v->chain);
		else
			n = conn_send(v, TAILQ_FIRST(&v->ready), &v->chain);
		if (!n) {
			virtqueue_unpop(vq);
			continue;
		}
		virtqueue_push(vq, &v->chain, n);
		v->signal |= BIT(VSOCK_RX);
	}
	return true;
}

static void run_event(struct vsock *v)
{
	if (vsock_tell_reset(v->dev, &v->chain))
		v->signal |= BIT(VSOCK_EVENT);
}

/* Host programs */

/* Return: a port that the guest's @guest_port is not connected with. */
static u32 host_port_pick(struct vsock *v, u32 guest_port)
{
	do {
		v->next_port = MAX(v->next_port + 1, HOST_PORT_FIRST);
	} while (conn_find(v, guest_port, v->next_port));
	return v->next_port;
}

static void conn_hello(struct vsock *v, struct conn *c)
{
	char line[VSOCK_CONNECT_MAX];
	ssize_t n = recv(c->fd, line, sizeof(line), MSG_PEEK);
	u32 port;
	int len;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	len = n > 0 ? vsock_parse_connect(line, n, &port) : -EPROTO;
	if (!len)
		return;
	/* What follows the line stays where it is, for the guest. */
	if (len < 0 || recv(c->fd, line, len, 0) != len) {
		conn_free(v, c);
		return;
	}
	c->state = CONN_REQUESTED;
	c->guest_port = port;
	c->host_port = host_port_pick(v, port);
	conn_hash(v, c);
	conn_set_timer(v, c, TIMER_REQUEST);
	conn_set_due(v, c, DUE_REQUEST);
}

static void conn_event(struct vsock *v, struct conn *c, u32 events)
{
	bool gone = events & (EPOLLHUP | EPOLLERR);

	if (events & ~(u32)EPOLLOUT)
		c->readable = true;
	if (events & EPOLLOUT)
		c->writable = true;
	switch (c->state) {
	case CONN_HELLO:
		conn_hello(v, c);
		break;
	case CONN_REQUESTED:
		if (gone)
			conn_reset(v, c);
		break;
	case CONN_OPEN:
		if (gone && !c->write_dead)
			conn_write_failed(v, c);
		conn_flush(v, c);
		conn_settle(v, c);
		break;
	case CONN_DRAINING:
		conn_flush(v, c);
		if (gone || c->write_dead || !c->len)
			conn_free(v, c);
		break;
	default:
		break;
	}
}

static void listener_watch(struct vsock *v, bool on)
{
	struct epoll_event e = {
		.events = on ? EPOLLIN : 0,
		.data.u64 = TAG_LISTENER,
	};

	epoll_ctl(v->epoll_fd, EPOLL_CTL_MOD, v->listener.fd, &e);
	v->accept_at = on ? 0 : v->now + ACCEPT_PAUSE_NS;
}

/* Return: false when there is none, or none can be taken. */
static bool host_connects(struct vsock *v)
{
	struct conn *c;
	int fd = accept4(v->listener.fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		/* Out of descriptors or memory: look again in a while. */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			listener_watch(v, false);
		return false;
	}
	c = conn_create(v, CONN_HELLO);
	if (!c) {
		close(fd);
		return true;
	}
	c->fd = fd;
	c->writable = true;
	conn_set_timer(v, c, TIMER_HELLO);
	if (conn_watch(v, c))
		conn_free(v, c);
	return true;
}

static void host_connects_all(struct vsock *v)
{
	for (unsigned int i = 0; i < ACCEPT_BATCH; i++) {
		if (!host_connects(v))
			return;
	}
}

/* The thread */

static void timer_fired(struct vsock *v, struct conn *c, unsigned int timer)
{
	if (timer == TIMER_RETRY)
		conn_connect(v, c);
	else
		conn_reset(v, c);
}

static void run_timers(struct vsock *v)
{
	struct conn *c;

	for (unsigned int i = 0; i < TIMERS; i++) {
		while ((c = TAILQ_FIRST(&v->timer[i])) && c->deadline <= v->now)
			timer_fired(v, c, i);
	}
	if (v->accept_at && v->accept_at <= v->now)
		listener_watch(v, true);
}

/* Milliseconds to the first deadline, for epoll_wait(). */
static int timeout_ms(const struct vsock *v)
{
	u64 first = v->accept_at ? v->accept_at : ~0ULL;
	const struct conn *c;

	for (unsigned int i = 0; i < TIMERS; i++) {
		c = TAILQ_FIRST(&v->timer[i]);
		if (c)
			first = MIN(first, c->deadline);
	}
	if (first == ~0ULL)
		return -1;
	if (first <= v->now)
		return 0;
	return (int)((first - v->now) / NSEC_PER_MSEC) + 1;
}

/* Only what can be served is asked for. Return: whether there is already. */
static bool notify_on(struct vsock *v)
{
	struct virtqueue *q = v->dev->queue;
	bool more = false;

	if (v->nr_replies < REPLIES_MAX)
		more |= virtqueue_set_notify(&q[VSOCK_TX], true);
	if (rx_wanted(v))
		more |= virtqueue_set_notify(&q[VSOCK_RX], true);
	if (v->common.tell_reset)
		more |= virtqueue_set_notify(&q[VSOCK_EVENT], true);
	return more;
}

static void signal_queues(struct vsock *v)
{
	for (unsigned int i = 0; v->signal && i < VSOCK_QUEUES; i++) {
		if (v->signal & BIT(i))
			virtqueue_signal(&v->dev->queue[i]);
	}
	v->signal = 0;
}

/* Return: whether something happened; *@stop: the thread is to end. */
static bool wait_events(struct vsock *v, int ms, bool *stop)
{
	struct epoll_event e[EVENTS_MAX];
	int n = epoll_wait(v->epoll_fd, e, EVENTS_MAX, ms);

	v->now = now_ns();
	for (int i = 0; i < n; i++) {
		if (e[i].data.u64 == TAG_CONTROL)
			*stop = true;
		else if (e[i].data.u64 == TAG_LISTENER)
			host_connects_all(v);
		else if (e[i].data.u64 >= TAG_KICK + VSOCK_QUEUES)
			conn_event(v, e[i].data.ptr, e[i].events);
	}
	return n > 0;
}

/* While the device was paused, no time went by for the guest. */
static void move_deadlines(struct vsock *v)
{
	u64 paused = now_ns() - v->now;
	struct conn *c;

	for (unsigned int i = 0; i < TIMERS; i++) {
		TAILQ_FOREACH(c, &v->timer[i], timer_link)
			c->deadline += paused;
	}
	v->now += paused;
}

static void *vsock_main(void *opaque)
{
	struct vsock *v = opaque;
	bool more, stop = false;

	move_deadlines(v);
	while (!stop) {
		for (unsigned int i = 0; i < VSOCK_QUEUES; i++)
			virtqueue_set_notify(&v->dev->queue[i], false);
		run_event(v);
		more = run_tx(v);
		more |= run_rx(v);
		signal_queues(v);
		if (!more)
			more = notify_on(v);
		wait_events(v, more ? 0 : timeout_ms(v), &stop);
		run_timers(v);
		free_dead(v);
	}
	/* What was kicked for last, perhaps together with the end. */
	run_tx(v);
	signal_queues(v);
	return NULL;
}

/* No driver, no queues, no new connections: the host gets what is left. */
static void *vsock_drain(void *opaque)
{
	struct vsock *v = opaque;
	bool stop = false;

	while (!stop && !LIST_EMPTY(&v->all)) {
		wait_events(v, -1, &stop);
		free_dead(v);
	}
	return NULL;
}

/* Class */

static int vsock_activate(struct virtio_device *dev)
{
	struct vsock *v = dev->priv;
	int err = virtio_thread_start(dev, &v->thread, vsock_main, v);

	v->running = !err;
	return err;
}

static void vsock_deactivate(struct virtio_device *dev)
{
	struct vsock *v = dev->priv;

	if (!v || !v->running)
		return;
	thread_stop(v->thread, v->control_fd);
	v->running = false;
}

static void vsock_linger(struct virtio_device *dev)
{
	struct vsock *v = dev->priv;

	if (LIST_EMPTY(&v->all))
		return;
	listener_watch(v, false);
	v->running = !virtio_thread_start(dev, &v->thread, vsock_drain, v);
}

/* All, or all but those of which the host still gets the rest. */
static void conns_end(struct vsock *v, bool all)
{
	struct conn *next;

	for (struct conn *c = LIST_FIRST(&v->all); c; c = next) {
		next = LIST_NEXT(c, all);
		if (all)
			conn_free(v, c);
		else
			conn_leave(v, c, VIRTIO_VSOCK_SHUTDOWN_SEND);
	}
	free_dead(v);
}

void virtio_vsock_flush(struct virtio_device *dev, unsigned int patience_ms,
			unsigned int total_ms)
{
	struct vsock *v = dev->priv;
	u64 end = now_ns() + total_ms * NSEC_PER_MSEC;
	bool stop = false;
	unsigned int left;

	virtio_device_pause(dev);
	conns_end(v, false);
	listener_watch(v, false);
	while (!LIST_EMPTY(&v->all) && (left = ms_left(end)) &&
	       wait_events(v, MIN(left, patience_ms), &stop))
		free_dead(v);
}

static void vsock_reset(struct virtio_device *dev)
{
	struct vsock *v = dev->priv;

	if (!v)
		return;
	conns_end(v, false);
	v->nr_replies = 0;
	v->common.tell_reset = false;
}

static void lists_init(struct vsock *v)
{
	LIST_INIT(&v->all);
	LIST_INIT(&v->dead);
	TAILQ_INIT(&v->ready);
	for (unsigned int i = 0; i < TIMERS; i++)
		TAILQ_INIT(&v->timer[i]);
	for (unsigned int i = 0; i < HASH_SIZE; i++)
		LIST_INIT(&v->hash[i]);
}

static int watch(struct vsock *v, int fd, u32 events, u64 tag)
{
	struct epoll_event e = { .events = events, .data.u64 = tag };

	return epoll_ctl(v->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* Kicks are edge-triggered: what counts is that there was one. */
static int watch_all(struct vsock *v)
{
	int err;

	v->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	v->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->epoll_fd < 0 || v->control_fd < 0)
		return -errno;
	err = watch(v, v->control_fd, EPOLLIN, TAG_CONTROL);
	if (!err)
		err = watch(v, v->listener.fd, EPOLLIN, TAG_LISTENER);
	for (unsigned int i = 0; !err && i < VSOCK_QUEUES; i++)
		err = watch(v, v->dev->queue[i].kick_fd, EPOLLIN | EPOLLET,
			    TAG_KICK + i);
	return err;
}

static void vsock_destroy(struct virtio_device *dev)
{
	struct vsock *v = dev->priv;

	if (!v)
		return;
	vsock_deactivate(dev);
	conns_end(v, true);
	vsock_unlisten(&v->listener);
	if (v->epoll_fd >= 0)
		close(v->epoll_fd);
	if (v->control_fd >= 0)
		close(v->control_fd);
	free(v);
	dev->priv = NULL;
}

static int vsock_create(struct virtio_device *dev, const void *opts,
			struct report *r)
{
	const struct virtio_vsock_opts *o = opts;
	struct vsock *v = calloc(1, sizeof(*v));
	int err;

	if (!v)
		return report_error(r, ENOMEM, "%s", dev->dev.name);
	v->dev = dev;
	v->common.cid = o->cid;
	v->epoll_fd = -1;
	v->control_fd = -1;
	v->next_port = HOST_PORT_FIRST - 1;
	lists_init(v);
	dev->priv = v;
	v->max_conns = o->max_conns ? MIN(o->max_conns, CONNS_MAX) : CONNS_MAX;
	err = vsock_listen(&v->listener, o->path, r);
	if (!err) {
		err = watch_all(v);
		if (err)
			report_error(r, -err, "%s: epoll", dev->dev.name);
	}
	if (err)
		vsock_destroy(dev);
	return err;
}

const struct virtio_class virtio_vsock_class = {
	.name = "vsock",
	.id = VIRTIO_ID_VSOCK,
	.nr_queues = VSOCK_QUEUES,
	.queue_max = QUEUE_MAX,
	.config_len = sizeof(struct virtio_vsock_config),
	.pci_class = 0x078000,
	.has_thread = true,
	.create = vsock_create,
	.config_read = vsock_config_read,
	.activate = vsock_activate,
	.deactivate = vsock_deactivate,
	.linger = vsock_linger,
	.reset = vsock_reset,
	.save = vsock_save,
	.restore = vsock_restore,
	.destroy = vsock_destroy,
};
