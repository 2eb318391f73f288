/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The network device: net.c is the device, net-path.c has its threads, net-tx.c and
 * net-rx.c move frames in them, net-ctrl.c answers control commands.
 */
#ifndef VIRTIO__NET_H
#define VIRTIO__NET_H

#include <pthread.h>
#include <linux/virtio_net.h>
#include "kvm/net.h"
#include "kvm/vhost.h"
#include "kvm/virtio.h"

/* Bytes of a frame at least: addresses and type */
#define NET_MIN_FRAME 14
#define NET_RX_BUFS 256
#define NET_TX_BATCH 64
#define NET_MAX_MACS 64
#define NET_VLANS 4096

/**
 * struct net_filter - which frames the driver wants, virtio 1.2 s5.1.6.5.1-3
 * @table: @nr_unicast addresses, then @nr_multicast
 * @all_unicast: asked for, or the driver's list was too long
 * @all_multicast: likewise
 * @vlan: a bit for each VLAN
 */
struct net_filter {
	u8 mac[NET_MAC_LEN];
	bool promisc;
	bool all_unicast;
	bool all_multicast;
	bool no_multicast;
	bool no_unicast;
	bool no_broadcast;
	bool long_unicast;
	bool long_multicast;
	u8 nr_unicast;
	u8 nr_multicast;
	u8 table[NET_MAX_MACS][NET_MAC_LEN];
	u8 vlan[NET_VLANS / 8];
};

struct net;

/** struct net_rx_buf - a chain that waits for a frame: its next @nr pieces */
struct net_rx_buf {
	u16 head;
	u16 nr;
	u32 len;
};

/**
 * struct net_pair - two queues, and the thread that owns them while it runs
 * @ctrlq: of pair 0, or NULL
 * @stop: the thread is to end, atomic; @control_fd tells it as well
 * @rx_ready: the backend may have a frame
 * @tx_full: it takes none for now
 * @link_check: the backend said that nobody is there, or may have
 * @rx_short: too few buffers for the largest frame
 * @rx_hurry: waited enough
 * @short_since: when a frame began to wait for more of them, or 0
 * @buf: chains that were popped, in a window from first to end
 * @iov: pieces of these, likewise
 * @window: bytes in it
 * @spill: behind the window, so that a frame that is too long is noticed
 */
struct net_pair {
	struct net *net;
	unsigned int index;
	struct virtqueue *rxq;
	struct virtqueue *txq;
	struct virtqueue *ctrlq;
	int control_fd;
	int epfd;
	int link_fd;
	pthread_t thread;
	bool running;
	bool stop;
	bool link_check;
	bool rx_ready;
	bool rx_short;
	bool rx_hurry;
	bool tx_full;
	bool batch;
	unsigned int rounds;
	u64 short_since;
	u64 pace_since;
	u64 pace_rx;
	u64 pace_tx;
	u64 pace_frames;
	u32 filter_generation;
	struct net_filter filter;
	unsigned int buf_first;
	unsigned int buf_end;
	unsigned int iov_first;
	unsigned int iov_end;
	u32 window;
	struct net_rx_buf buf[NET_RX_BUFS];
	struct iovec iov[NET_MAX_IOV];
	struct iovec slice[NET_MAX_IOV];
	struct vq_used used[NET_RX_BUFS];
	struct vq_chain chain;
	struct virtio_net_hdr_v1 tx_hdr[NET_TX_BATCH];
	struct net_frame tx_frame[NET_TX_BATCH];
	u16 tx_head[NET_TX_BATCH];
	struct iovec tx_iov[NET_MAX_IOV];
	u8 spill[NET_HDR_LEN + NET_MAX_FRAME];
};

/**
 * struct net - an instance
 * @vnet_hdr: the backend's frames have headers
 * @max_frame: most bytes of a frame, header included, that is received; atomic
 * @status: of the configuration, VIRTIO_NET_S_*; atomic
 * @pairs: offered
 * @active_pairs: in use, atomic
 * @configured: a driver was here since the last reset
 * @announce: tell the driver to, once it runs
 * @cut: vhost could not be started; the link is down until it can
 * @offloads: VIRTIO_NET_F_GUEST_* that are on
 * @filter_lock: guards @filter; leaf. @filter_generation is an atomic that
 *	tells threads to look again
 * @dropped: frames, atomic
 * @said_dropped: it was said that there were some, atomic
 * @nr_said: lines that went to the log, of which there are a few at most; atomic
 */
struct net {
	struct virtio_device *dev;
	struct net_backend *backend;
	bool vnet_hdr;
	u8 mac[NET_MAC_LEN];
	u16 status;
	unsigned int pairs;
	unsigned int active_pairs;
	bool configured;
	bool announce;
	bool cut;
	bool mergeable;
	u32 max_frame;
	u64 offloads;
	pthread_mutex_t filter_lock;
	struct net_filter filter;
	u32 filter_generation;
	u64 dropped;
	bool said_dropped;
	unsigned int nr_said;
	struct net_pair *pair[NET_MAX_PAIRS];
	struct vhost vhost[NET_MAX_PAIRS];
	unsigned int nr_vhosts;
};

/** net_filter_reset() - all frames, and the address that the device came with */
void net_filter_reset(struct net *n);
/** net_filter_accepts() - @head: the first 18 bytes of a frame, or fewer */
bool net_filter_accepts(const struct net *n, const struct net_filter *f,
			const u8 head[18]);
/** net_apply_offloads() - tell the backend, and how long frames may be now */
int net_apply_offloads(struct net *n, u64 offloads);
/** net_guest_offloads() - which of the driver's features are about it */
u64 net_guest_offloads(const struct net *n);
/** net_update_link() - the backend's link has changed, or not; a pair's thread */
void net_update_link(struct net *n);

/** net_ctrl_run() - answer commands. Return: true when there may be more */
bool net_ctrl_run(struct net *n, struct virtqueue *vq, struct vq_chain *c);

/** net_count_dropped() - a frame was. @why: said of the first, NULL to say nothing */
void net_count_dropped(struct net *n, const char *why);

/* A pair's thread: */

/** net_tx_run() - send a batch, and signal nothing. Return: true when there may be more */
bool net_tx_run(struct net_pair *p);
/** net_rx_run() - receive some frames, likewise. Return: true when there may be more */
bool net_rx_run(struct net_pair *p);
/** net_rx_release() - nothing is held any more: what was not used was not popped */
void net_rx_release(struct net_pair *p);

int net_pair_create(struct net_pair **out, struct net *n, unsigned int index);
void net_pair_destroy(struct net_pair *p);
/** net_pair_start() - make the thread; queues are lent to it */
int net_pair_start(struct net_pair *p);
/** net_pair_stop() - on return nothing that was popped is held */
void net_pair_stop(struct net_pair *p);

#endif
