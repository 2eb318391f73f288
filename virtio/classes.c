// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The table of all virtio device classes. It is const data: nothing runs here,
 * there are no locks, and a guest cannot reach it. A new class is one row.
 */
#include "kvm/virtio.h"

const struct virtio_class *const virtio_classes[] = {
	&virtio_9p_class,
	&virtio_balloon_class,
	&virtio_blk_class,
	&virtio_console_class,
	&virtio_fs_class,
	&virtio_net_class,
	&virtio_rng_class,
	&virtio_vsock_class,
	&virtio_vhost_vsock_class,
	NULL,
};
