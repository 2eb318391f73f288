// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The socket device of virtio 1.2 s5.10 as the host's kernel offers it
 * (/dev/vhost-vsock): guests and host programs meet as sockets of AF_VSOCK, by
 * CID and port. The kernel serves the queues for receiving and sending; what is
 * left here is the configuration, and the event queue.
 *
 * Connections belong to the kernel. They outlive a pause, and cannot be saved:
 * a restored guest is told by VIRTIO_VSOCK_EVENT_TRANSPORT_RESET when its queues
 * are lent again. A driver that had not offered a buffer for it by the time it
 * was saved had not finished its start, and has no connection to lose. After a
 * reset by the driver the kernel still has the host's ends; they are gone at
 * their next packet, which the new driver answers with RST.
 *
 * Threads: main and vCPUs, with the core's locks held. No locks of its own; the
 * event queue has no other user, and kicks of it are not waited for.
 *
 * What a guest can do wrong in the first two queues the kernel checks, and
 * vhost.c makes the device need a reset.
 */
#include <errno.h>
#include <stdlib.h>
#include <linux/vhost.h>
#include <linux/virtio_ids.h>
#include "kvm/vhost.h"
#include "virtio/vsock.h"

#define VHOST_PATH "/dev/vhost-vsock"
#define QUEUE_MAX 256

/** struct vhost_vsock - the kernel serves the first two queues */
struct vhost_vsock {
	struct vsock_common common;
	struct vhost vhost;
};

static int set_running(struct vhost_vsock *v, int on)
{
	return vhost_ioctl(&v->vhost, VHOST_VSOCK_SET_RUNNING,
			   "VHOST_VSOCK_SET_RUNNING", &on);
}

static int vhost_vsock_activate(struct virtio_device *dev)
{
	struct vhost_vsock *v = dev->priv;
	struct vq_chain chain;
	int err;

	if (vsock_tell_reset(dev, &chain))
		virtqueue_signal(&dev->queue[VSOCK_EVENT]);
	v->common.tell_reset = false;
	/* Without both queues the kernel does not start; nothing to carry. */
	if (!dev->queue[VSOCK_RX].ready || !dev->queue[VSOCK_TX].ready)
		return 0;
	err = vhost_start(&v->vhost, dev->driver_features, VSOCK_RX, 2);
	if (err)
		return err;
	err = set_running(v, 1);
	if (err)
		vhost_stop(&v->vhost);
	else
		vhost_kick(&v->vhost);
	return err;
}

static void vhost_vsock_deactivate(struct virtio_device *dev)
{
	struct vhost_vsock *v = dev->priv;

	if (!v || !v->vhost.running)
		return;
	set_running(v, 0);
	vhost_stop(&v->vhost);
}

static void vhost_vsock_reset(struct virtio_device *dev)
{
	struct vhost_vsock *v = dev->priv;

	if (v)
		v->common.tell_reset = false;
}

static u64 vhost_vsock_features(struct virtio_device *dev)
{
	const struct vhost_vsock *v = dev->priv;

	return v->vhost.features & BIT_ULL(VIRTIO_VSOCK_F_SEQPACKET);
}

static void vhost_vsock_destroy(struct virtio_device *dev)
{
	struct vhost_vsock *v = dev->priv;

	if (!v)
		return;
	vhost_vsock_deactivate(dev);
	vhost_close(&v->vhost);
	free(v);
	dev->priv = NULL;
}

static int vhost_vsock_create(struct virtio_device *dev, const void *opts,
			      struct report *r)
{
	const struct virtio_vsock_opts *o = opts;
	struct vhost_vsock *v = calloc(1, sizeof(*v));
	int err;

	if (!v)
		return report_error(r, ENOMEM, "%s", dev->dev.name);
	vhost_init(&v->vhost, dev);
	v->common.cid = o->cid;
	dev->priv = v;
	err = vhost_open(&v->vhost, VHOST_PATH, r);
	if (!err) {
		err = vhost_ioctl(&v->vhost, VHOST_VSOCK_SET_GUEST_CID, NULL,
				  &v->common.cid);
		if (err == -EADDRINUSE)
			report_error(r, 0, "%s: CID %llu is in use",
				     dev->dev.name, (unsigned long long)v->common.cid);
		else if (err)
			report_error(r, -err, "%s: VHOST_VSOCK_SET_GUEST_CID",
				     dev->dev.name);
	}
	if (err)
		vhost_vsock_destroy(dev);
	return err;
}

const struct virtio_class virtio_vhost_vsock_class = {
	.name = "vhost-vsock",
	.id = VIRTIO_ID_VSOCK,
	.nr_queues = VSOCK_QUEUES,
	.queue_max = QUEUE_MAX,
	.config_len = sizeof(struct virtio_vsock_config),
	.pci_class = 0x078000,
	.has_thread = true,
	.create = vhost_vsock_create,
	.features = vhost_vsock_features,
	.config_read = vsock_config_read,
	.activate = vhost_vsock_activate,
	.deactivate = vhost_vsock_deactivate,
	.reset = vhost_vsock_reset,
	.save = vsock_save,
	.restore = vsock_restore,
	.destroy = vhost_vsock_destroy,
};
