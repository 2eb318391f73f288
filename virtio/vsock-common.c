// SPDX-License-Identifier: GPL-2.0-only
/*
 * What both socket devices have, whoever carries the bytes.
 *
 * Theory of operation: the configuration is the guest's CID, virtio 1.2
 * s5.10.4. Connections cannot be saved; a guest that was restored is told so by
 * VIRTIO_VSOCK_EVENT_TRANSPORT_RESET (s5.10.6.7) as soon as there is a buffer for
 * it, and closes its own ends. One that starts over has none. dev->priv begins with
 * a struct vsock_common.
 *
 * No locks: whoever owns the event queue calls vsock_tell_reset(), the rest is
 * called by the core.
 */
#include <string.h>
#include "kvm/virtio.h"
#include "virtio/vsock.h"

#define VSOCK_STATE_VERSION 1

void vsock_config_read(struct virtio_device *dev, u32 off, void *d, u32 len)
{
	const struct vsock_common *c = dev->priv;
	struct virtio_vsock_config config = { .guest_cid = htole64(c->cid) };

	memcpy(d, (const u8 *)&config + off, len);
}

/* The address is that of the new machine: the guest asks for it after a reset. */
void vsock_save(struct virtio_device *dev, struct state_out *out)
{
	(void)dev;
	state_put_u32(out, VSOCK_STATE_VERSION);
}

int vsock_restore(struct virtio_device *dev, struct state_in *in)
{
	struct vsock_common *c = dev->priv;

	state_get_version(in, VSOCK_STATE_VERSION);
	c->tell_reset = !in->fresh;
	return in->err;
}

bool vsock_tell_reset(struct virtio_device *dev, struct vq_chain *chain)
{
	const struct virtio_vsock_event e = {
		.id = htole32(VIRTIO_VSOCK_EVENT_TRANSPORT_RESET),
	};
	struct virtqueue *vq = &dev->queue[VSOCK_EVENT];
	struct vsock_common *c = dev->priv;
	size_t n;

	if (!c->tell_reset || virtqueue_pop(vq, chain) <= 0)
		return false;
	n = iov_write(chain->iov + chain->nr_out, chain->nr_in, 0, &e,
		      sizeof(e));
	virtqueue_push(vq, chain, n);
	c->tell_reset = n < sizeof(e);
	return true;
}
