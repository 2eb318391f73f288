/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A driver of a device: from reset to DRIVER_OK, and what it waits for. A
 * device's way to it is an eventfd, or two counts.
 */
#ifndef KVM__TEST_DRIVER_H
#define KVM__TEST_DRIVER_H

#include <stdio.h>
#include <unistd.h>
#include "kvm/virtio.h"
#include "vring.h"

#define DRIVER_V1 BIT_ULL(VIRTIO_F_VERSION_1)
#define DRIVER_ALL (~0ULL)

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

/** struct driver_counts - dev->transport_priv points to one, with driver_counting */
struct driver_counts {
	unsigned int signals;
	unsigned int configs;
};

static inline void driver_count_queue(struct virtio_device *dev, struct virtqueue *vq)
{
	struct driver_counts *c = dev->transport_priv;

	(void)vq;
	__atomic_add_fetch(&c->signals, 1, __ATOMIC_RELAXED);
}

static inline void driver_count_config(struct virtio_device *dev)
{
	struct driver_counts *c = dev->transport_priv;

	__atomic_add_fetch(&c->configs, 1, __ATOMIC_RELAXED);
}

static inline unsigned int driver_configs(const struct driver_counts *c)
{
	return __atomic_load_n(&c->configs, __ATOMIC_RELAXED);
}

static const struct virtio_transport_ops driver_counting = {
	.signal_queue = driver_count_queue,
	.signal_config = driver_count_config,
};

/**
 * struct driver_layout - the rings of queue q are at @base + q * @stride
 * @num: descriptors of each
 * @avail, @used: from there
 * @clear: bytes that are zeroed before a queue is enabled
 */
struct driver_layout {
	u16 num;
	u64 base;
	u64 stride;
	u64 avail;
	u64 used;
	u64 clear;
};

/* That of vring.h */
static const struct driver_layout driver_vring = {
	.num = VR_NUM, .stride = 0x4000, .avail = 0x1000, .used = 0x2000, .clear = 0x4000,
};

/** driver_negotiate() - reset, exactly @features, FEATURES_OK */
static inline void driver_negotiate(struct virtio_device *dev, u64 features)
{
	virtio_set_status(dev, 0);
	virtio_set_status(dev, 1);
	virtio_set_status(dev, 3);
	for (unsigned int i = 0; i < 2; i++) {
		dev->driver_feature_select = i;
		virtio_set_features(dev, (u32)(features >> (32 * i)));
	}
	virtio_set_status(dev, 11);
}

/** driver_queues() - all are told where they are, those in @queues are enabled */
static inline void driver_queues(struct virtio_device *dev, const struct driver_layout *l,
				 u64 queues)
{
	for (unsigned int q = 0; q < dev->nr_queues; q++) {
		u64 at = l->base + q * l->stride;
		struct virtqueue *vq;

		if (l->clear)
			memset(gmem_ptr(dev->gmem, at, l->clear), 0, l->clear);
		dev->queue_select = q;
		vq = virtio_selected_queue(dev);
		vq->size = l->num;
		vq->desc_gpa = at;
		vq->avail_gpa = at + l->avail;
		vq->used_gpa = at + l->used;
		if (queues & BIT_ULL(q))
			virtio_queue_enable(dev, vq, true);
	}
}

/** driver_up() - from reset to DRIVER_OK */
static inline void driver_up(struct virtio_device *dev, const struct driver_layout *l,
			     u64 features, u64 queues)
{
	driver_negotiate(dev, features);
	driver_queues(dev, l, queues);
	virtio_set_status(dev, 15);
}

/* Five seconds at least */
#define DRIVER_WAIT(cond) ({ \
	unsigned int left_ = 25000; \
	while (!(cond) && --left_) \
		usleep(200); \
	left_ > 0; })

static inline bool driver_needs_reset(struct virtio_device *dev)
{
	return DRIVER_WAIT(virtio_get_status(dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static inline bool driver_wait_used(struct vr_mem *m, unsigned int q, u16 want)
{
	return DRIVER_WAIT(vr_used_idx(m, q) == want);
}

#endif
