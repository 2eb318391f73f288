// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The network device of virtio 1.2 s5.1 over a struct net_backend: creation,
 * features, configuration, and when its threads run. net-path.c has those,
 * net-tx.c and net-rx.c move frames, net-ctrl.c answers commands.
 *
 * Queues are in pairs, receive and transmit, with a thread for each that the
 * driver can use; the control queue is behind the last pair, or behind the
 * first when the driver does not know of more (s5.1.2). With vhost the rings
 * of each pair are lent to the host's kernel, and the first thread stays for
 * commands and the link. There is no way back from vhost, and none to it:
 * what was asked for is what happens, or an error; when vhost cannot be started,
 * for the moment or at all, the link is down.
 *
 * The link is up while the backend has somebody at its other end. When that
 * changes, the driver is told by the configuration; what it sends meanwhile is
 * dropped. Nothing that happens to a backend ends the VM.
 *
 * Locks: activate and deactivate run under the core's. The status field is
 * an atomic, the address is guarded by filter_lock, a leaf.
 *
 * A restored device asks its driver to announce itself (s5.1.6.5.4), as the
 * network may know it elsewhere. The backend is not state: it is the one of
 * the process that restores, and has to offer what was negotiated.
 *
 * Not supported: RSS and hashes, notification coalescing, RSC, speed and
 * duplex, standby. With vhost there is no filter: all frames are delivered.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <linux/vhost.h>
#include <linux/virtio_ids.h>
#include "kvm/net-uso.h"
#include "virtio/net.h"

#define NET_STATE_VERSION 1
#define QUEUE_MAX 256
#define CONFIG_LEN offsetof(struct virtio_net_config, speed)
#define LOG_MAX 16
#define DEFAULT_MTU 1500

#define GUEST_GSO (BIT_ULL(VIRTIO_NET_F_GUEST_TSO4) | \
		   BIT_ULL(VIRTIO_NET_F_GUEST_TSO6) | \
		   BIT_ULL(VIRTIO_NET_F_GUEST_UFO) | \
		   BIT_ULL(VIRTIO_NET_F_GUEST_USO4) | \
		   BIT_ULL(VIRTIO_NET_F_GUEST_USO6))
#define GUEST_OFFLOADS (GUEST_GSO | BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) | \
			BIT_ULL(VIRTIO_NET_F_GUEST_ECN))

u64 net_guest_offloads(const struct net *n)
{
	return n->dev->driver_features & GUEST_OFFLOADS;
}

int net_apply_offloads(struct net *n, u64 offloads)
{
	const struct net_info *info = &n->backend->info;
	u32 max = NET_HDR_LEN + NET_MAX_FRAME, mtu = info->mtu;
	int err = 0;

	if (info->vnet_hdr && n->backend->ops->set_offloads)
		err = n->backend->ops->set_offloads(n->backend, offloads);
	if (err)
		return err;
	if (!mtu && info->vnet_hdr)
		mtu = DEFAULT_MTU;
	if (mtu && !(offloads & GUEST_GSO))
		max -= NET_MAX_MTU - MIN(mtu, (u32)NET_MAX_MTU);
	n->offloads = offloads;
	__atomic_store_n(&n->max_frame, max, __ATOMIC_RELAXED);
	return 0;
}

/* Whether there is room for one more line in the log. */
static bool may_say(struct net *n)
{
	return __atomic_fetch_add(&n->nr_said, 1, __ATOMIC_RELAXED) < LOG_MAX;
}

void net_update_link(struct net *n)
{
	bool up = !n->cut && net_link(n->backend);
	u16 old;

	if (up)
		old = __atomic_fetch_or(&n->status, VIRTIO_NET_S_LINK_UP,
					__ATOMIC_ACQ_REL);
	else
		old = __atomic_fetch_and(&n->status,
					 (u16)~VIRTIO_NET_S_LINK_UP,
					 __ATOMIC_ACQ_REL);
	if (up == !!(old & VIRTIO_NET_S_LINK_UP))
		return;
	virtio_config_changed(n->dev);
	if (may_say(n))
		vm_log(n->dev->log, "%s: %s: the link is %s", n->dev->dev.name,
		       n->backend->info.name, up ? "up" : "down");
}

static u64 net_features(struct virtio_device *dev)
{
	struct net *n = dev->priv;
	const struct net_info *info = &n->backend->info;
	u64 f = BIT_ULL(VIRTIO_NET_F_MAC) | BIT_ULL(VIRTIO_NET_F_STATUS) |
		BIT_ULL(VIRTIO_NET_F_MRG_RXBUF) | BIT_ULL(VIRTIO_NET_F_CTRL_VQ) |
		BIT_ULL(VIRTIO_NET_F_CTRL_MAC_ADDR) |
		BIT_ULL(VIRTIO_NET_F_GUEST_ANNOUNCE) | info->offloads;

	if (info->mtu)
		f |= BIT_ULL(VIRTIO_NET_F_MTU);
	if (info->offloads)
		f |= BIT_ULL(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	if (n->pairs > 1)
		f |= BIT_ULL(VIRTIO_NET_F_MQ);
	if (!n->nr_vhosts)
		return f | BIT_ULL(VIRTIO_NET_F_CTRL_RX) |
		       BIT_ULL(VIRTIO_NET_F_CTRL_RX_EXTRA) |
		       BIT_ULL(VIRTIO_NET_F_CTRL_VLAN);
	if (!(n->vhost[0].features & BIT_ULL(VIRTIO_NET_F_MRG_RXBUF)))
		f &= ~BIT_ULL(VIRTIO_NET_F_MRG_RXBUF);
	return f;
}

static void net_config_read(struct virtio_device *dev, u32 off, void *d,
			    u32 len)
{
	struct net *n = dev->priv;
	struct virtio_net_config c = {
		.status = htole16(__atomic_load_n(&n->status,
						  __ATOMIC_ACQUIRE)),
		.max_virtqueue_pairs = htole16(n->pairs),
		.mtu = htole16(MIN(n->backend->info.mtu, 0xffffU)),
	};

	pthread_mutex_lock(&n->filter_lock);
	memcpy(c.mac, n->filter.mac, NET_MAC_LEN);
	pthread_mutex_unlock(&n->filter_lock);
	memcpy(d, (const u8 *)&c + off, len);
}

/* How many pairs the driver can use. */
static unsigned int usable_pairs(const struct net *n)
{
	return virtio_has(n->dev, VIRTIO_NET_F_MQ) ? n->pairs : 1;
}

static void vhosts_stop(struct net *n)
{
	for (unsigned int i = 0; i < n->nr_vhosts; i++) {
		struct vhost *v = &n->vhost[i];

		for (unsigned int q = 0; q < v->nr_rings && v->running; q++) {
			struct vhost_vring_file none = { q, -1 };

			vhost_ioctl(v, VHOST_NET_SET_BACKEND,
				    "VHOST_NET_SET_BACKEND", &none);
		}
		vhost_stop(v);
	}
}

static int vhost_start_pair(struct net *n, unsigned int i)
{
	struct vhost *v = &n->vhost[i];
	const struct virtqueue *vq = &n->dev->queue[2 * i];
	int err;

	/* A driver may leave a pair alone. */
	if (!vq[0].ready || !vq[1].ready)
		return 0;
	err = vhost_start(v, n->dev->driver_features, 2 * i, 2);
	for (unsigned int q = 0; q < 2 && !err; q++) {
		struct vhost_vring_file file = {
			q, n->backend->ops->tap_fd(n->backend, i)
		};

		err = vhost_ioctl(v, VHOST_NET_SET_BACKEND,
				  "VHOST_NET_SET_BACKEND", &file);
	}
	if (!err)
		vhost_kick(v);
	return err;
}

/* Without it there is no link, but commands are answered: drivers wait for that. */
static void vhosts_start(struct net *n)
{
	int err = 0;

	for (unsigned int i = 0; i < n->nr_vhosts && !err; i++)
		if (i < usable_pairs(n))
			err = vhost_start_pair(n, i);
	n->cut = err;
	if (!err)
		return;
	vhosts_stop(n);
	if (may_say(n))
		vm_log(n->dev->log, "%s: vhost cannot be started, there is no link: %s",
		       n->dev->dev.name, strerror(-err));
}

static void threads_stop(struct net *n)
{
	for (unsigned int i = 0; i < n->pairs; i++)
		net_pair_stop(n->pair[i]);
}

static int threads_start(struct net *n)
{
	unsigned int nr = n->nr_vhosts ? 1 : usable_pairs(n);
	unsigned int ctrl = virtio_has(n->dev, VIRTIO_NET_F_MQ) ? 2 * n->pairs :
			    2;
	int err = 0;

	n->pair[0]->ctrlq = virtio_has(n->dev, VIRTIO_NET_F_CTRL_VQ) ?
			    &n->dev->queue[ctrl] : NULL;
	for (unsigned int i = 0; i < nr && !err; i++)
		err = net_pair_start(n->pair[i]);
	if (err)
		threads_stop(n);
	return err;
}

static int net_activate(struct virtio_device *dev)
{
	struct net *n = dev->priv;
	const struct net_ops *ops = n->backend->ops;
	int err;

	n->mergeable = virtio_has(dev, VIRTIO_NET_F_MRG_RXBUF);
	if (!n->configured)
		n->offloads = net_guest_offloads(n);
	n->configured = true;
	err = net_apply_offloads(n, n->offloads);
	if (!err && ops->set_pairs)
		err = ops->set_pairs(n->backend, n->active_pairs);
	/* A device that is gone takes no settings and no vhost; its link is down. */
	if (err && !net_link(n->backend))
		err = 0;
	else if (!err)
		vhosts_start(n);
	if (!err)
		err = threads_start(n);
	if (err)
		vhosts_stop(n);
	return err;
}

static void net_deactivate(struct virtio_device *dev)
{
	struct net *n = dev->priv;

	if (!n)
		return;
	threads_stop(n);
	vhosts_stop(n);
}

static void net_reset(struct virtio_device *dev)
{
	struct net *n = dev->priv;

	if (!n)
		return;
	n->configured = false;
	n->announce = false;
	n->active_pairs = 1;
	__atomic_and_fetch(&n->status, VIRTIO_NET_S_LINK_UP, __ATOMIC_ACQ_REL);
	net_filter_reset(n);
}

static int open_vhosts(struct net *n, struct report *r)
{
	int err = 0;

	while (!err && n->nr_vhosts < n->pairs) {
		struct vhost *v = &n->vhost[n->nr_vhosts++];

		vhost_init(v, n->dev);
		err = vhost_open(v, "/dev/vhost-net", r);
	}
	return err;
}

/* Locally administered, and never a group's. */
static int choose_mac(struct net *n, const u8 *mac)
{
	if (mac) {
		memcpy(n->mac, mac, NET_MAC_LEN);
		return 0;
	}
	if (getrandom(n->mac, NET_MAC_LEN, 0) != NET_MAC_LEN)
		return -EIO;
	n->mac[0] = 0x02;
	return 0;
}

static void net_free(struct net *n)
{
	for (unsigned int i = 0; i < NET_MAX_PAIRS; i++)
		net_pair_destroy(n->pair[i]);
	while (n->nr_vhosts)
		vhost_close(&n->vhost[--n->nr_vhosts]);
	pthread_mutex_destroy(&n->filter_lock);
	free(n);
}

static unsigned int net_queues(const void *opts)
{
	const struct virtio_net_opts *o = opts;

	return 2 * o->backend->info.pairs + 1;
}

static int net_create(struct virtio_device *dev, const void *opts,
		      struct report *r)
{
	const struct virtio_net_opts *o = opts;
	struct net *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return report_error(r, ENOMEM, "%s", dev->dev.name);
	pthread_mutex_init(&n->filter_lock, NULL);
	n->dev = dev;
	n->backend = o->backend;
	n->vnet_hdr = o->backend->info.vnet_hdr;
	n->pairs = o->backend->info.pairs;
	n->active_pairs = 1;
	err = choose_mac(n, o->mac);
	for (unsigned int i = 0; i < n->pairs && !err; i++)
		err = net_pair_create(&n->pair[i], n, i);
	if (!err && o->vhost)
		err = open_vhosts(n, r);
	if (err) {
		report_error(r, -err, "%s", dev->dev.name);
		net_free(n);
		return err;
	}
	n->status = net_link(n->backend) ? VIRTIO_NET_S_LINK_UP : 0;
	net_filter_reset(n);
	dev->priv = n;
	return 0;
}

static void net_destroy(struct virtio_device *dev)
{
	struct net *n = dev->priv;

	if (!n)
		return;
	net_deactivate(dev);
	net_close(n->backend);
	net_free(n);
	dev->priv = NULL;
}

static void save_filter(const struct net_filter *f, struct state_out *out)
{
	state_put(out, f->mac, NET_MAC_LEN);
	state_put_u8(out, f->promisc);
	state_put_u8(out, f->all_unicast);
	state_put_u8(out, f->all_multicast);
	state_put_u8(out, f->no_multicast);
	state_put_u8(out, f->no_unicast);
	state_put_u8(out, f->no_broadcast);
	state_put_u8(out, f->long_unicast);
	state_put_u8(out, f->long_multicast);
	state_put_u8(out, f->nr_unicast);
	state_put_u8(out, f->nr_multicast);
	state_put(out, f->table, sizeof(f->table));
	state_put(out, f->vlan, sizeof(f->vlan));
}

static int restore_filter(struct net_filter *f, struct state_in *in)
{
	state_get(in, f->mac, NET_MAC_LEN);
	f->promisc = state_get_u8(in);
	f->all_unicast = state_get_u8(in);
	f->all_multicast = state_get_u8(in);
	f->no_multicast = state_get_u8(in);
	f->no_unicast = state_get_u8(in);
	f->no_broadcast = state_get_u8(in);
	f->long_unicast = state_get_u8(in);
	f->long_multicast = state_get_u8(in);
	f->nr_unicast = state_get_u8(in);
	f->nr_multicast = state_get_u8(in);
	state_get(in, f->table, sizeof(f->table));
	state_get(in, f->vlan, sizeof(f->vlan));
	return f->nr_unicast + f->nr_multicast > NET_MAX_MACS ? -EPROTO :
	       in->err;
}

static void net_save(struct virtio_device *dev, struct state_out *out)
{
	struct net *n = dev->priv;

	state_put_u32(out, NET_STATE_VERSION);
	state_put(out, n->mac, NET_MAC_LEN);
	state_put_u16(out, (u16)n->active_pairs);
	state_put_u8(out, n->configured);
	state_put_u64(out, n->offloads);
	save_filter(&n->filter, out);
}

static int net_restore(struct virtio_device *dev, struct state_in *in)
{
	struct net *n = dev->priv;
	struct net_filter f;
	u8 mac[NET_MAC_LEN], configured;
	u64 offloads;
	u16 pairs;

	state_get_version(in, NET_STATE_VERSION);
	state_get(in, mac, NET_MAC_LEN);
	pairs = state_get_u16(in);
	configured = state_get_u8(in);
	offloads = state_get_u64(in);
	if (restore_filter(&f, in) || in->err || configured > 1)
		return -EPROTO;
	if (!pairs || pairs > usable_pairs(n) ||
	    (configured && offloads & ~net_guest_offloads(n)))
		return -EPROTO;
	memcpy(n->mac, mac, NET_MAC_LEN);
	n->active_pairs = pairs;
	n->configured = configured;
	n->offloads = offloads;
	n->announce = virtio_has(dev, VIRTIO_NET_F_GUEST_ANNOUNCE);
	pthread_mutex_lock(&n->filter_lock);
	n->filter = f;
	pthread_mutex_unlock(&n->filter_lock);
	return 0;
}

const struct virtio_class virtio_net_class = {
	.name = "net",
	.id = VIRTIO_ID_NET,
	.nr_queues = 2 * NET_MAX_PAIRS + 1,
	.queues = net_queues,
	.queue_max = QUEUE_MAX,
	.config_len = CONFIG_LEN,
	.pci_class = 0x020000,
	.has_thread = true,
	.removable = true,
	.create = net_create,
	.features = net_features,
	.config_read = net_config_read,
	.activate = net_activate,
	.deactivate = net_deactivate,
	.reset = net_reset,
	.save = net_save,
	.restore = net_restore,
	.destroy = net_destroy,
};
