// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Transmit, virtio 1.2 s5.1.6.2: up to NET_TX_BATCH chains are popped; header
 * copied out, checked, and put before the guest's own pieces; then one send() of
 * the backend. What it does not take is not popped after all (virtqueue_rewind()).
 *
 * Threads: the pair's, see net-path.c.
 *
 * What a guest can do wrong: a chain without a whole header makes the device need
 * a reset. Frames that are too short or too long, and headers that ask for what was
 * not negotiated or point outside of the frame, are dropped. A frame that comes while
 * nobody is at the other end is dropped as well.
 */
#include <errno.h>
#include "kvm/net-uso.h"
#include "virtio/net.h"

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
	if (len < NET_MIN_FRAME || len > NET_MAX_FRAME)
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
		net_count_dropped(n, why);
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

bool net_tx_run(struct net_pair *p)
{
	struct net *n = p->net;
	unsigned int nr;
	int sent = -ENOLINK;
	u32 back = 0;

	if (p->tx_full)
		return false;
	nr = tx_gather(p);
	if (!nr) {
		if (n->backend->ops->flush &&
		    n->backend->ops->flush(n->backend, p->index) < 0)
			p->link_check = true;
		return false;
	}
	if (p->index < __atomic_load_n(&n->active_pairs, __ATOMIC_ACQUIRE))
		sent = n->backend->ops->send(n->backend, p->index, p->tx_frame,
					     nr);
	if (sent > 0)
		p->rx_ready = true;
	if (sent < 0) {
		p->link_check = true;
		net_count_dropped(n, NULL);
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
	return !p->tx_full;
}
