// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The control queue of the network device, virtio 1.2 s5.1.6.5: which frames
 * the driver wants, its address, how many pairs of queues it uses, which
 * offloads are on. Commands are answered by the thread of the first pair. The
 * filter is changed under filter_lock; the threads that receive keep a copy
 * and look again when its generation has changed.
 *
 * A command is: class, command, data that the device reads, and a byte for the
 * answer. A chain that lacks either end makes the device need a reset. A
 * command that is unknown, was not negotiated, is of the wrong length or out
 * of range is answered with VIRTIO_NET_ERR and changes nothing. A list of
 * addresses that is too long is not kept: all are let through (s5.1.6.5.2).
 *
 * Not supported: RSS, hash reports, notification coalescing.
 */
#include <errno.h>
#include <string.h>
#include "virtio/net.h"

#define CTRL_BUDGET 32
#define HDR_SIZE 2
#define VLAN_BYTE(vid) ((vid) / 8)
#define VLAN_BIT(vid) (1U << ((vid) % 8))

/** struct command - @len bytes of data are at HDR_SIZE of the chain */
struct command {
	const struct vq_chain *chain;
	u8 class;
	u8 cmd;
	u32 len;
};

static bool get_data(const struct command *c, void *d, u32 len)
{
	return c->len == len &&
	       iov_read(c->chain->iov, c->chain->nr_out, HDR_SIZE, d, len) ==
	       len;
}

static bool ctrl_rx(struct net *n, const struct command *c)
{
	bool *const field[] = {
		[VIRTIO_NET_CTRL_RX_PROMISC] = &n->filter.promisc,
		[VIRTIO_NET_CTRL_RX_ALLMULTI] = &n->filter.all_multicast,
		[VIRTIO_NET_CTRL_RX_ALLUNI] = &n->filter.all_unicast,
		[VIRTIO_NET_CTRL_RX_NOMULTI] = &n->filter.no_multicast,
		[VIRTIO_NET_CTRL_RX_NOUNI] = &n->filter.no_unicast,
		[VIRTIO_NET_CTRL_RX_NOBCAST] = &n->filter.no_broadcast,
	};
	unsigned int feature = c->cmd > VIRTIO_NET_CTRL_RX_ALLMULTI ?
			       VIRTIO_NET_F_CTRL_RX_EXTRA :
			       VIRTIO_NET_F_CTRL_RX;
	u8 on;

	if (c->cmd >= ARRAY_SIZE(field) || !virtio_has(n->dev, feature) ||
	    !get_data(c, &on, 1))
		return false;
	*field[c->cmd] = on;
	return true;
}

/* One of the two lists at *@off: a count, and that many addresses. */
static bool get_macs(const struct command *c, u32 *off, u32 *count,
		     u8 (*to)[NET_MAC_LEN], u32 space)
{
	const struct vq_chain *ch = c->chain;
	__le32 raw;
	u32 bytes;

	if (c->len - *off < sizeof(raw))
		return false;
	iov_read(ch->iov, ch->nr_out, HDR_SIZE + *off, &raw, sizeof(raw));
	*off += sizeof(raw);
	*count = le32toh(raw);
	if (*count > (c->len - *off) / NET_MAC_LEN)
		return false;
	bytes = *count * NET_MAC_LEN;
	if (*count <= space)
		iov_read(ch->iov, ch->nr_out, HDR_SIZE + *off, to, bytes);
	*off += bytes;
	return true;
}

static bool set_mac_table(struct net *n, const struct command *c)
{
	struct net_filter f = n->filter;
	u32 off = 0, unicast, multicast, kept;

	if (!get_macs(c, &off, &unicast, f.table, NET_MAX_MACS))
		return false;
	f.long_unicast = unicast > NET_MAX_MACS;
	kept = f.long_unicast ? 0 : unicast;
	if (!get_macs(c, &off, &multicast, &f.table[kept],
		      NET_MAX_MACS - kept) || off != c->len)
		return false;
	f.long_multicast = multicast > NET_MAX_MACS - kept;
	f.nr_unicast = (u8)kept;
	f.nr_multicast = (u8)(f.long_multicast ? 0 : multicast);
	n->filter = f;
	return true;
}

static bool ctrl_mac(struct net *n, const struct command *c)
{
	u8 mac[NET_MAC_LEN];

	switch (c->cmd) {
	case VIRTIO_NET_CTRL_MAC_TABLE_SET:
		return virtio_has(n->dev, VIRTIO_NET_F_CTRL_RX) &&
		       set_mac_table(n, c);
	case VIRTIO_NET_CTRL_MAC_ADDR_SET:
		if (!virtio_has(n->dev, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
		    !get_data(c, mac, sizeof(mac)))
			return false;
		memcpy(n->filter.mac, mac, sizeof(mac));
		return true;
	default:
		return false;
	}
}

static bool ctrl_vlan(struct net *n, const struct command *c)
{
	__le16 raw;
	u16 vid;

	if (!virtio_has(n->dev, VIRTIO_NET_F_CTRL_VLAN) ||
	    !get_data(c, &raw, sizeof(raw)))
		return false;
	vid = le16toh(raw);
	if (vid >= NET_VLANS)
		return false;
	if (c->cmd == VIRTIO_NET_CTRL_VLAN_ADD)
		n->filter.vlan[VLAN_BYTE(vid)] |= VLAN_BIT(vid);
	else if (c->cmd == VIRTIO_NET_CTRL_VLAN_DEL)
		n->filter.vlan[VLAN_BYTE(vid)] &= (u8)~VLAN_BIT(vid);
	else
		return false;
	return true;
}

static bool ctrl_announce(struct net *n, const struct command *c)
{
	if (c->cmd != VIRTIO_NET_CTRL_ANNOUNCE_ACK ||
	    !virtio_has(n->dev, VIRTIO_NET_F_GUEST_ANNOUNCE))
		return false;
	__atomic_and_fetch(&n->status, (u16)~VIRTIO_NET_S_ANNOUNCE,
			   __ATOMIC_ACQ_REL);
	return true;
}

static bool ctrl_mq(struct net *n, const struct command *c)
{
	__le16 raw;
	u16 pairs;

	if (c->cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
	    !virtio_has(n->dev, VIRTIO_NET_F_MQ) ||
	    !get_data(c, &raw, sizeof(raw)))
		return false;
	pairs = le16toh(raw);
	if (!pairs || pairs > n->pairs)
		return false;
	if (n->backend->ops->set_pairs &&
	    n->backend->ops->set_pairs(n->backend, pairs))
		return false;
	__atomic_store_n(&n->active_pairs, pairs, __ATOMIC_RELEASE);
	return true;
}

static bool ctrl_offloads(struct net *n, const struct command *c)
{
	__le64 raw;

	if (c->cmd != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
	    !virtio_has(n->dev, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    !get_data(c, &raw, sizeof(raw)) ||
	    le64toh(raw) & ~net_guest_offloads(n))
		return false;
	/* A tap device takes the lock of all of the host's network for each. */
	return le64toh(raw) == n->offloads || !net_apply_offloads(n, le64toh(raw));
}

static bool ctrl_command(struct net *n, const struct command *c)
{
	static bool (*const class[])(struct net *n, const struct command *c) = {
		[VIRTIO_NET_CTRL_RX] = ctrl_rx,
		[VIRTIO_NET_CTRL_MAC] = ctrl_mac,
		[VIRTIO_NET_CTRL_VLAN] = ctrl_vlan,
		[VIRTIO_NET_CTRL_ANNOUNCE] = ctrl_announce,
		[VIRTIO_NET_CTRL_MQ] = ctrl_mq,
		[VIRTIO_NET_CTRL_GUEST_OFFLOADS] = ctrl_offloads,
	};
	bool ok;

	if (c->class >= ARRAY_SIZE(class))
		return false;
	pthread_mutex_lock(&n->filter_lock);
	ok = class[c->class](n, c);
	pthread_mutex_unlock(&n->filter_lock);
	if (ok)
		__atomic_add_fetch(&n->filter_generation, 1, __ATOMIC_ACQ_REL);
	return ok;
}

bool net_ctrl_run(struct net *n, struct virtqueue *vq, struct vq_chain *c)
{
	unsigned int budget = CTRL_BUDGET;
	u8 hdr[HDR_SIZE], ack;

	while (budget && virtqueue_pop(vq, c) > 0) {
		struct command cmd = { .chain = c };

		budget--;
		if (c->out_len < HDR_SIZE || !c->in_len) {
			virtio_needs_reset(n->dev,
					   "network command without header or answer");
			vq->broken = true;
			virtqueue_push(vq, c, 0);
			return false;
		}
		iov_read(c->iov, c->nr_out, 0, hdr, sizeof(hdr));
		cmd.class = hdr[0];
		cmd.cmd = hdr[1];
		cmd.len = c->out_len - HDR_SIZE;
		ack = ctrl_command(n, &cmd) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
		iov_write(c->iov + c->nr_out, c->nr_in, 0, &ack, 1);
		virtqueue_push(vq, c, 1);
	}
	virtqueue_signal(vq);
	return !budget;
}

void net_filter_reset(struct net *n)
{
	pthread_mutex_lock(&n->filter_lock);
	memset(&n->filter, 0, sizeof(n->filter));
	memcpy(n->filter.mac, n->mac, NET_MAC_LEN);
	n->filter.promisc = true;
	pthread_mutex_unlock(&n->filter_lock);
	__atomic_add_fetch(&n->filter_generation, 1, __ATOMIC_ACQ_REL);
}

static bool in_table(const struct net_filter *f, unsigned int first,
		     unsigned int nr, const u8 *mac)
{
	for (unsigned int i = first; i < first + nr; i++) {
		if (!memcmp(f->table[i], mac, NET_MAC_LEN))
			return true;
	}
	return false;
}

static bool accepts_vlan(const struct net_filter *f, const u8 head[18])
{
	unsigned int vid;

	if (head[12] != 0x81 || head[13] != 0x00)
		return true;
	vid = (head[14] & 0x0fU) << 8 | head[15];
	/* 0 is no VLAN, only a priority. */
	return !vid || f->vlan[VLAN_BYTE(vid)] & VLAN_BIT(vid);
}

bool net_filter_accepts(const struct net *n, const struct net_filter *f,
			const u8 head[18])
{
	static const u8 broadcast[NET_MAC_LEN] = { 255, 255, 255, 255, 255,
						   255 };

	if (!virtio_has(n->dev, VIRTIO_NET_F_CTRL_RX) || f->promisc)
		return true;
	if (virtio_has(n->dev, VIRTIO_NET_F_CTRL_VLAN) &&
	    !accepts_vlan(f, head))
		return false;
	if (!memcmp(head, broadcast, NET_MAC_LEN))
		return !f->no_broadcast;
	if (head[0] & 1)
		return !f->no_multicast &&
		       (f->all_multicast || f->long_multicast ||
			in_table(f, f->nr_unicast, f->nr_multicast, head));
	return !f->no_unicast &&
	       (f->all_unicast || f->long_unicast ||
		!memcmp(head, f->mac, NET_MAC_LEN) ||
		in_table(f, 0, f->nr_unicast, head));
}
