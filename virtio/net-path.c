// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * How frames get from the rings to the backend and back, virtio 1.2 s5.1.6.
 * One thread for each pair of queues owns both, and one port of the backend,
 * from net_pair_start() to net_pair_stop(); it takes none of the core's locks.
 * It waits in epoll, edge-triggered throughout, so that eventfds need not be
 * read and nothing is changed in the set; what is ready is remembered in
 * @rx_ready and @tx_full. While it has something to do it looks each BUSY_ROUNDS
 * rounds only: the next read tells as well whether there is a frame. Kicks are
 * asked for only before it sleeps, and for the receive queue only while it is
 * short of buffers. Each queue is signalled once a round. Where frames come one
 * by one because this thread preempts their sender at each of them, it stops
 * doing so, see pace().
 *
 * Transmit: up to NET_TX_BATCH chains are popped; header copied out, checked,
 * and put before the guest's own pieces; then one send() of the backend. What
 * it does not take is not popped after all (virtqueue_rewind()).
 *
 * Receive: chains are popped in advance into a window of pieces that holds the
 * largest frame there can be, and the backend reads straight into it. What
 * one frame used is given back at once, with the number of buffers in its
 * header; the rest stays in the window for the next. A frame is not read
 * before the window is large enough, so that none has to be dropped while the
 * driver refills. A driver may give small buffers only and never more of them:
 * after a while without any, or with a quarter of the ring, the window is
 * taken as it is. What is too long for it lands in @spill and is dropped.
 *
 * With vhost the kernel does all of this, and the thread of the first pair is
 * left with control commands and the link.
 *
 * What a guest can do wrong: a chain without a whole header, or a receive
 * buffer without room for one, makes the device need a reset. Frames that are
 * too short or too long, and headers that ask for what was not negotiated or
 * point outside of the frame, are dropped, counted, and said once a device. A
 * frame that comes while nobody is at the other end is dropped as well.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include "kvm/clock.h"
#include "kvm/net-uso.h"
#include "kvm/thread.h"
#include "virtio/net.h"

#define RX_BUDGET 64
#define RX_HURRY_MS 50
#define BUSY_ROUNDS 8
#define PACE_NS (10 * NSEC_PER_MSEC)
#define PACE_FRAMES 20ULL
#define FRAME_MIN 14
#define HEAD_SIZE 18

enum event { EV_CONTROL, EV_KICK, EV_BACKEND, EV_LINK };

static void count_dropped(struct net *n, const char *why)
{
	__atomic_add_fetch(&n->dropped, 1, __ATOMIC_RELAXED);
	if (!why || __atomic_exchange_n(&n->said_dropped, true, __ATOMIC_RELAXED))
		return;
	vm_log(n->dev->log, "%s: a frame was dropped: %s", n->dev->dev.name,
	       why);
}

/* Transmit */

static unsigned int gso_feature(u8 type)
{
	switch (type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return VIRTIO_NET_F_HOST_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return VIRTIO_NET_F_HOST_TSO6;
	case VIRTIO_NET_HDR_GSO_UDP:
		return VIRTIO_NET_F_HOST_UFO;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return VIRTIO_NET_F_HOST_USO;
	default:
		return 64;
	}
}

/* virtio 1.2 s5.1.6.2: @len bytes follow. What is not known is cleared. */
static bool header_ok(const struct net *n, struct virtio_net_hdr_v1 *h,
		      u32 len)
{
	u32 end = (u32)le16toh(h->csum_start) + le16toh(h->csum_offset) + 2;
	u8 type = h->gso_type & (u8)~VIRTIO_NET_HDR_GSO_ECN;
	bool tcp = type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6;

	h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->num_buffers = 0;
	if (h->flags && (end > len || !virtio_has(n->dev, VIRTIO_NET_F_CSUM)))
		return false;
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		h->gso_size = 0;
		h->hdr_len = 0;
		return true;
	}
	if (h->gso_type != type &&
	    (!tcp || !virtio_has(n->dev, VIRTIO_NET_F_HOST_ECN)))
		return false;
	return h->flags && h->gso_size && le16toh(h->hdr_len) <= len &&
	       virtio_has(n->dev, gso_feature(type));
}

/* Put the chain in p->chain behind the batch. Return: what is wrong, or NULL. */
static const char *tx_add(struct net_pair *p, unsigned int i,
			  unsigned int at)
{
	struct virtio_net_hdr_v1 *h = &p->tx_hdr[i];
	struct net_frame *f = &p->tx_frame[i];
	const struct vq_chain *c = &p->chain;
	struct iovec *iov = &p->tx_iov[at];
	u32 len = c->out_len - NET_HDR_LEN;

	iov_read(c->iov, c->nr_out, 0, h, sizeof(*h));
	if (len < FRAME_MIN || len > NET_MAX_FRAME)
		return "bad length";
	if (!header_ok(p->net, h, len))
		return "bad header";
	f->iov = iov;
	f->nr = 0;
	f->len = len;
	if (p->net->vnet_hdr) {
		iov[f->nr++] = (struct iovec){ h, NET_HDR_LEN };
		f->len += NET_HDR_LEN;
	}
	f->nr += iov_slice(c->iov, c->nr_out, NET_HDR_LEN, len, &iov[f->nr]);
	p->tx_head[i] = c->head;
	return NULL;
}

/* A chain that is no frame is given back, but never before an earlier one. */
static bool tx_refuse(struct net_pair *p, const char *why)
{
	struct net *n = p->net;

	virtqueue_push(p->txq, &p->chain, 0);
	if (p->chain.out_len >= NET_HDR_LEN) {
		count_dropped(n, why);
		return true;
	}
	virtio_needs_reset(n->dev, "frame without a whole header");
	p->txq->broken = true;
	return false;
}

/* Return: how many frames were popped. */
static unsigned int tx_gather(struct net_pair *p)
{
	const struct vq_chain *c = &p->chain;
	unsigned int nr = 0, at = 0, refused = 0;
	const char *why;

	while (nr < NET_TX_BATCH && refused < NET_TX_BATCH &&
	       virtqueue_pop(p->txq, &p->chain) > 0) {
		if (at + 1 + c->nr_out > NET_MAX_IOV)
			goto not_this;
		why = c->out_len < NET_HDR_LEN ? "" : tx_add(p, nr, at);
		if (!why) {
			at += p->tx_frame[nr++].nr;
			continue;
		}
		if (nr)
			goto not_this;
		refused++;
		if (!tx_refuse(p, why))
			break;
	}
	return nr;

not_this:
	virtqueue_unpop(p->txq);
	return nr;
}

/* Return: true when there may be more. */
static bool tx_run(struct net_pair *p)
{
	struct net *n = p->net;
	unsigned int nr;
	int sent = -ENOLINK;
	u32 back = 0;

	if (p->tx_full)
		return false;
	nr = tx_gather(p);
	if (!nr) {
		virtqueue_signal(p->txq);
		if (n->backend->ops->flush &&
		    n->backend->ops->flush(n->backend, p->index) < 0)
			p->link_check = true;
		return false;
	}
	if (p->index < __atomic_load_n(&n->active_pairs, __ATOMIC_ACQUIRE))
		sent = n->backend->ops->send(n->backend, p->index, p->tx_frame,
					     nr);
	if (sent < 0) {
		p->link_check = true;
		count_dropped(n, NULL);
		sent = (int)nr;
	}
	if ((unsigned int)sent < nr) {
		p->tx_full = true;
		for (unsigned int i = (unsigned int)sent; i < nr; i++)
			back += p->tx_frame[i].len + (n->vnet_hdr ? 0 : NET_HDR_LEN);
		virtqueue_rewind(p->txq, (u16)(nr - (unsigned int)sent), back);
	}
	for (int i = 0; i < sent; i++) {
		p->used[i] = (struct vq_used){ .head = p->tx_head[i] };
		p->pace_tx += p->tx_frame[i].len;
	}
	p->pace_frames += (unsigned int)sent;
	virtqueue_push_many(p->txq, p->used, (unsigned int)sent);
	virtqueue_signal(p->txq);
	return !p->tx_full;
}

/* Receive */

static void rx_compact(struct net_pair *p)
{
	unsigned int bufs = p->buf_end - p->buf_first;
	unsigned int iovs = p->iov_end - p->iov_first;

	memmove(p->buf, p->buf + p->buf_first, bufs * sizeof(*p->buf));
	memmove(p->iov, p->iov + p->iov_first, iovs * sizeof(*p->iov));
	p->buf_first = 0;
	p->iov_first = 0;
	p->buf_end = bufs;
	p->iov_end = iovs;
}

/* Two pieces are the backend's: what is too long, and what comes with it. */
static bool rx_has_room(const struct net_pair *p)
{
	return p->buf_end < NET_RX_BUFS &&
	       p->iov_end + p->chain.nr_in + 2 <= NET_MAX_IOV;
}

/* The chain that was popped joins the window. Return: false if it cannot. */
static bool rx_add(struct net_pair *p)
{
	const struct vq_chain *c = &p->chain;
	struct net_rx_buf *b;

	if (c->in_len < NET_HDR_LEN) {
		virtio_needs_reset(p->net->dev,
				   "receive buffer without room for a header");
		p->rxq->broken = true;
		return false;
	}
	if (!rx_has_room(p))
		rx_compact(p);
	/* There will not be more of a window: a frame may come as it is. */
	if (!rx_has_room(p)) {
		virtqueue_unpop(p->rxq);
		p->rx_hurry = true;
		return false;
	}
	b = &p->buf[p->buf_end++];
	*b = (struct net_rx_buf){ c->head, c->nr_in, c->in_len };
	memcpy(&p->iov[p->iov_end], c->iov + c->nr_out,
	       c->nr_in * sizeof(*c->iov));
	p->iov_end += c->nr_in;
	p->window += c->in_len;
	return true;
}

/* Return: whether a frame may be received. */
static bool rx_fill(struct net_pair *p)
{
	const struct net *n = p->net;
	u32 max = __atomic_load_n(&n->max_frame, __ATOMIC_RELAXED);
	unsigned int nr = p->buf_end - p->buf_first;

	/* Without mergeable buffers a frame has one chain, whatever its size. */
	while (n->mergeable ? p->window < max : !nr) {
		if (virtqueue_pop(p->rxq, &p->chain) <= 0 || !rx_add(p))
			break;
		nr++;
	}
	nr = p->buf_end - p->buf_first;
	if (!nr || p->rxq->broken)
		return false;
	/* A driver with so much room can be waited for once more. */
	if (p->window >= max)
		p->rx_hurry = false;
	return !n->mergeable || p->window >= max || p->rx_hurry ||
	       nr >= p->rxq->num / 4U || nr >= NET_RX_BUFS / 2;
}

/*
 * The pieces to receive into: the same each time until a frame came, but for
 * more of them at the end. Headers that the backend does not have are left out.
 * A backend that keeps parts knows by itself how long a frame is; for others
 * there is a place for what is too long, and room for it, see rx_add().
 */
static const struct iovec *rx_pieces(struct net_pair *p, unsigned int *nr)
{
	struct iovec *iov = &p->iov[p->iov_first];

	*nr = p->iov_end - p->iov_first;
	if (!p->net->vnet_hdr) {
		*nr = iov_slice(iov, *nr, NET_HDR_LEN,
				p->window - NET_HDR_LEN, p->slice);
		iov = p->slice;
	}
	if (!p->net->backend->ops->keep)
		iov[(*nr)++] = (struct iovec){ p->spill, sizeof(p->spill) };
	return iov;
}

/* Give back the buffers that hold the first @len bytes of the window. */
static void rx_give(struct net_pair *p, u32 len)
{
	struct iovec *iov = &p->iov[p->iov_first];
	unsigned int nr_iov = p->iov_end - p->iov_first, nr = 0;
	__le16 num_buffers;

	while (len) {
		const struct net_rx_buf *b = &p->buf[p->buf_first++];
		u32 part = MIN(len, b->len);

		p->used[nr++] = (struct vq_used){ b->head, part };
		p->iov_first += b->nr;
		p->window -= b->len;
		len -= part;
	}
	num_buffers = htole16(nr);
	iov_write(iov, nr_iov, offsetof(struct virtio_net_hdr_v1, num_buffers),
		  &num_buffers, sizeof(num_buffers));
	virtqueue_push_many(p->rxq, p->used, nr);
}

static bool rx_wanted(struct net_pair *p)
{
	struct net *n = p->net;
	u32 now = __atomic_load_n(&n->filter_generation, __ATOMIC_ACQUIRE);
	u8 head[HEAD_SIZE] = { 0 };

	if (now != p->filter_generation) {
		pthread_mutex_lock(&n->filter_lock);
		p->filter = n->filter;
		pthread_mutex_unlock(&n->filter_lock);
		p->filter_generation = now;
	}
	if (p->filter.promisc)
		return true;
	iov_read(&p->iov[p->iov_first], p->iov_end - p->iov_first, NET_HDR_LEN,
		 head, sizeof(head));
	return net_filter_accepts(n, &p->filter, head);
}

/* A frame of @len bytes is in the window. */
static void rx_deliver(struct net_pair *p, size_t len)
{
	static const struct virtio_net_hdr_v1 none;
	u32 limit = p->net->mergeable ? p->window : p->buf[p->buf_first].len;

	if (!p->net->vnet_hdr)
		len += NET_HDR_LEN;
	if (len < NET_HDR_LEN + FRAME_MIN)
		return;
	if (len > limit) {
		count_dropped(p->net, "too long for the guest's buffers");
		return;
	}
	if (!rx_wanted(p))
		return;
	if (!p->net->vnet_hdr)
		iov_write(&p->iov[p->iov_first], p->iov_end - p->iov_first, 0,
			  &none, sizeof(none));
	rx_give(p, (u32)len);
}

/* Return: true when there may be more. */
static bool rx_run(struct net_pair *p)
{
	struct net_backend *b = p->net->backend;
	unsigned int budget = RX_BUDGET, nr;
	const struct iovec *iov;
	ssize_t n;

	p->rx_short = false;
	while (p->rx_ready && budget) {
		if (!rx_fill(p)) {
			p->rx_short = true;
			break;
		}
		iov = rx_pieces(p, &nr);
		n = b->ops->recv(b, p->index, iov, nr);
		if (n == -ENOLINK)
			p->link_check = true;
		if (n < 0) {
			p->rx_ready = false;
			break;
		}
		rx_deliver(p, (size_t)n);
		p->short_since = 0;
		p->pace_rx += (size_t)n;
		p->pace_frames++;
		budget--;
	}
	virtqueue_signal(p->rxq);
	return p->rx_ready && !p->rx_short;
}

/* Nothing is held any more: what was not used was not popped. */
static void rx_release(struct net_pair *p)
{
	struct net_backend *b = p->net->backend;
	const struct iovec *iov;
	unsigned int nr;

	if (p->buf_end == p->buf_first)
		return;
	iov = rx_pieces(p, &nr);
	if (b->ops->keep)
		b->ops->keep(b, p->index, iov, nr);
	virtqueue_rewind(p->rxq, (u16)(p->buf_end - p->buf_first), 0);
	p->buf_first = 0;
	p->buf_end = 0;
	p->iov_first = 0;
	p->iov_end = 0;
	p->window = 0;
}

/* The thread */

/* Ask for kicks, as far as they matter. Return: whether to look again. */
static bool ask_for_kicks(struct net_pair *p)
{
	bool more = false;

	if (p->ctrlq)
		more |= virtqueue_set_notify(p->ctrlq, true);
	if (p->net->nr_vhosts)
		return more;
	if (!p->tx_full)
		more |= virtqueue_set_notify(p->txq, true);
	if (p->rx_short)
		more |= virtqueue_set_notify(p->rxq, true);
	return more;
}

static void refuse_kicks(struct net_pair *p)
{
	if (p->ctrlq)
		virtqueue_set_notify(p->ctrlq, false);
	if (p->net->nr_vhosts)
		return;
	virtqueue_set_notify(p->txq, false);
	virtqueue_set_notify(p->rxq, false);
}

static void link_drain(const struct net_pair *p)
{
	char buf[8192];

	while (recv(p->link_fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

/*
 * The thread is SCHED_BATCH while there are many frames and they go one way: who
 * sends or receives them on the same CPU goes on until it sleeps or its time is
 * over, and then they come many at once. Not where they are questions and answers,
 * which would wait for that. A policy that somebody else gave it stays.
 */
static void pace(struct net_pair *p)
{
	const struct sched_param none = { 0 };
	u64 rx = p->pace_rx, tx = p->pace_tx, frames = p->pace_frames;
	u64 now = now_ns(), took = now - p->pace_since;
	bool batch;

	if (took < PACE_NS)
		return;
	batch = frames * PACE_NS / took >= PACE_FRAMES && (rx / 4 > tx || tx / 4 > rx);
	p->pace_since = now;
	p->pace_rx = 0;
	p->pace_tx = 0;
	p->pace_frames = 0;
	if (batch != p->batch &&
	    sched_getscheduler(0) == (p->batch ? SCHED_BATCH : SCHED_OTHER) &&
	    !sched_setscheduler(0, batch ? SCHED_BATCH : SCHED_OTHER, &none))
		p->batch = batch;
}

/* Return: false when the thread is to end. */
static bool pair_wait(struct net_pair *p, bool block)
{
	bool hurry = p->rx_short && p->buf_end > p->buf_first &&
		     !p->rxq->broken;
	struct epoll_event ev[8];
	int n, timeout = -1;

	/* Receiving finds out by itself. */
	if (!block && ++p->rounds % BUSY_ROUNDS) {
		p->rx_ready = true;
		return true;
	}
	if (!hurry)
		p->short_since = 0;
	else if (!p->short_since)
		p->short_since = now_ns();
	if (!block)
		timeout = 0;
	else if (hurry)
		timeout = RX_HURRY_MS;
	n = epoll_wait(p->epfd, ev, ARRAY_SIZE(ev), timeout);
	/* Whatever else there was meanwhile. */
	if (hurry && now_ns() - p->short_since >= RX_HURRY_MS * NSEC_PER_MSEC)
		p->rx_hurry = true;
	for (int i = 0; i < n; i++) {
		switch (ev[i].data.u64) {
		case EV_CONTROL:
			return false;
		case EV_BACKEND:
			/* Otherwise receiving finds out. */
			if (p->rx_short)
				p->link_check = true;
			p->rx_ready = true;
			p->tx_full = false;
			break;
		case EV_LINK:
			link_drain(p);
			p->link_check = true;
			break;
		}
	}
	return true;
}

static void *pair_main(void *opaque)
{
	struct net_pair *p = opaque;
	struct net *n = p->net;
	bool more;

	if (p->ctrlq && n->announce) {
		n->announce = false;
		__atomic_or_fetch(&n->status, VIRTIO_NET_S_ANNOUNCE,
				  __ATOMIC_ACQ_REL);
		virtio_config_changed(n->dev);
	}
	do {
		refuse_kicks(p);
		more = p->ctrlq && net_ctrl_run(n, p->ctrlq, &p->chain);
		if (!n->nr_vhosts) {
			more |= rx_run(p);
			more |= tx_run(p);
		}
		if (p->link_check ||
		    !(__atomic_load_n(&n->status, __ATOMIC_RELAXED) &
		      VIRTIO_NET_S_LINK_UP))
			net_update_link(n);
		p->link_check = false;
		if (!more)
			more = ask_for_kicks(p);
		if (!n->nr_vhosts)
			pace(p);
	} while (pair_wait(p, !more));
	if (!n->nr_vhosts)
		rx_release(p);
	return NULL;
}

static int watch(struct net_pair *p, int fd, enum event what)
{
	struct epoll_event ev = {
		.events = EPOLLIN | (what == EV_CONTROL ? 0 : EPOLLET),
		.data.u64 = what,
	};

	return epoll_ctl(p->epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

/* vhost reads from the tap device, so what becomes of it is heard here. */
static int watch_link(struct net_pair *p)
{
	struct sockaddr_nl addr = {
		.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK,
	};
	int fd = p->link_fd, err;

	if (fd < 0) {
		fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
		if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
			err = -errno;
			if (fd >= 0)
				close(fd);
			return err;
		}
		p->link_fd = fd;
	}
	return watch(p, fd, EV_LINK);
}

static int watch_all(struct net_pair *p)
{
	struct net_backend *b = p->net->backend;
	int err;

	p->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epfd < 0)
		return -errno;
	err = watch(p, p->control_fd, EV_CONTROL);
	if (!err && p->ctrlq)
		err = watch(p, p->ctrlq->kick_fd, EV_KICK);
	if (p->net->nr_vhosts)
		return err ? err : watch_link(p);
	if (!err)
		err = watch(p, p->rxq->kick_fd, EV_KICK);
	if (!err)
		err = watch(p, p->txq->kick_fd, EV_KICK);
	if (!err)
		err = b->ops->watch(b, p->index, p->epfd, EV_BACKEND);
	return err;
}

static int start_thread(struct net_pair *p)
{
	char name[THREAD_NAME_MAX];

	snprintf(name, sizeof(name), "lkvm-%.7s.%u", p->net->dev->dev.name,
		 p->index % NET_MAX_PAIRS);
	return thread_start(&p->thread, pair_main, p, name);
}

int net_pair_start(struct net_pair *p)
{
	int err;

	p->link_check = true;
	p->rx_ready = true;
	p->rx_short = false;
	p->rx_hurry = false;
	p->short_since = 0;
	p->tx_full = false;
	p->batch = false;
	p->filter_generation =
		__atomic_load_n(&p->net->filter_generation, __ATOMIC_ACQUIRE) -
		1;
	err = watch_all(p);
	if (!err)
		err = start_thread(p);
	if (!err) {
		p->running = true;
		return 0;
	}
	if (p->epfd >= 0)
		close(p->epfd);
	p->epfd = -1;
	return err;
}

void net_pair_stop(struct net_pair *p)
{
	if (!p->running)
		return;
	thread_stop(p->thread, p->control_fd);
	close(p->epfd);
	p->epfd = -1;
	p->running = false;
}

int net_pair_create(struct net_pair **out, struct net *n, unsigned int index)
{
	struct net_pair *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->net = n;
	p->index = index;
	p->epfd = -1;
	p->link_fd = -1;
	p->rxq = &n->dev->queue[2 * index];
	p->txq = &n->dev->queue[2 * index + 1];
	p->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->control_fd < 0) {
		free(p);
		return -errno;
	}
	*out = p;
	return 0;
}

void net_pair_destroy(struct net_pair *p)
{
	if (!p)
		return;
	net_pair_stop(p);
	if (p->link_fd >= 0)
		close(p->link_fd);
	close(p->control_fd);
	free(p);
}
