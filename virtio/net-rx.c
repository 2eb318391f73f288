// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Receive, virtio 1.2 s5.1.6.4: chains are popped in advance into a window of pieces
 * that holds the largest frame there can be, and the backend reads straight into it.
 * What one frame used is given back at once, with the number of buffers in its
 * header; the rest stays in the window for the next. A frame is not read
 * before the window is large enough, so that none has to be dropped while the
 * driver refills. A driver may give small buffers only and never more of them:
 * after a while without any (@rx_hurry), or with a quarter of the ring, the window is
 * taken as it is. What is too long for it lands in @spill and is dropped.
 *
 * Threads: the pair's, see net-path.c.
 *
 * What a guest can do wrong: a receive buffer without room for a header makes the
 * device need a reset.
 */
#include <errno.h>
#include <string.h>
#include "virtio/net.h"

#define RX_BUDGET 64
#define HEAD_SIZE 18

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
	if (len < NET_HDR_LEN + NET_MIN_FRAME)
		return;
	if (len > limit) {
		net_count_dropped(p->net, "too long for the guest's buffers");
		return;
	}
	if (!rx_wanted(p))
		return;
	if (!p->net->vnet_hdr)
		iov_write(&p->iov[p->iov_first], p->iov_end - p->iov_first, 0,
			  &none, sizeof(none));
	rx_give(p, (u32)len);
}

bool net_rx_run(struct net_pair *p)
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
	return p->rx_ready && !p->rx_short;
}

void net_rx_release(struct net_pair *p)
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
