/* SPDX-License-Identifier: GPL-2.0-only */
/* A device's way to its driver is an eventfd, and its queues are those of vring.h. */
#ifndef KVM__TEST_DRIVER_H
#define KVM__TEST_DRIVER_H

#include <stdio.h>
#include <unistd.h>
#include "kvm/virtio.h"
#include "vring.h"

/* dev->transport_priv is the eventfd's address. */
static inline void driver_signal_queue(struct virtio_device *dev, struct virtqueue *vq)
{
	const int *irq = dev->transport_priv;
	const u64 one = 1;

	(void)vq;
	if (write(*irq, &one, sizeof(one)) < 0)
		printf("# no interrupt\n");
}

static inline void driver_signal_config(struct virtio_device *dev)
{
	driver_signal_queue(dev, NULL);
}

static const struct virtio_transport_ops driver_transport = {
	.signal_queue = driver_signal_queue,
	.signal_config = driver_signal_config,
};

/* Reset, the lower 32 @features and VERSION_1, all queues, empty, DRIVER_OK */
static inline void driver_up(struct virtio_device *dev, struct vr_mem *m, u32 features)
{
	virtio_set_status(dev, 0);
	virtio_set_status(dev, 3);
	dev->driver_feature_select = 0;
	virtio_set_features(dev, features);
	dev->driver_feature_select = 1;
	virtio_set_features(dev, 1);
	virtio_set_status(dev, 11);
	for (unsigned int q = 0; q < dev->nr_queues; q++) {
		struct virtqueue *vq = &dev->queue[q];

		vr_clear(m, q);
		vq->size = VR_NUM;
		vq->desc_gpa = vr_desc(q);
		vq->avail_gpa = vr_avail(q);
		vq->used_gpa = vr_used(q);
		virtio_queue_enable(dev, vq, true);
	}
	virtio_set_status(dev, 15);
}

#endif
