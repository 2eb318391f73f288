/* SPDX-License-Identifier: GPL-2.0-only */
/* A device whose driver does as the input says: from reset to DRIVER_OK. */
#ifndef KVM__FUZZ_DEVICE_H
#define KVM__FUZZ_DEVICE_H

#include "kvm/virtio.h"

#define FUZZ_RING_NUM 8

/** fuzz_ring() - where the rings of queue @q are: 0x400 bytes for each */
static inline u64 fuzz_ring(unsigned int q)
{
	return 0x1000ULL * q;
}

/**
 * fuzz_bring_up() - reset, negotiate, set up queues, go
 * @features: those that are offered are taken, and VERSION_1
 * @queues: a bit for each of @nr that is to be enabled
 */
static inline void fuzz_bring_up(struct virtio_device *dev, u64 features,
				 u8 queues, unsigned int nr)
{
	features |= BIT_ULL(VIRTIO_F_VERSION_1);
	virtio_set_status(dev, 0);
	virtio_set_status(dev, 3);
	for (unsigned int i = 0; i < 2; i++) {
		dev->driver_feature_select = i;
		virtio_set_features(dev, (features & dev->offered) >> (32 * i));
	}
	virtio_set_status(dev, 11);
	for (unsigned int q = 0; q < nr; q++) {
		struct virtqueue *vq = &dev->queue[q];

		vq->size = FUZZ_RING_NUM;
		vq->desc_gpa = fuzz_ring(q);
		vq->avail_gpa = fuzz_ring(q) + 0x400;
		vq->used_gpa = fuzz_ring(q) + 0x800;
		if (queues & BIT(q))
			virtio_queue_enable(dev, vq, true);
	}
	virtio_set_status(dev, 15);
}

#endif
