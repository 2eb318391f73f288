/* SPDX-License-Identifier: GPL-2.0-only */
/* A device whose driver does as the input says: from reset to DRIVER_OK. */
#ifndef KVM__FUZZ_DEVICE_H
#define KVM__FUZZ_DEVICE_H

#include "tests/unit/driver.h"

#define FUZZ_RING_NUM 8

static const struct driver_layout fuzz_layout = {
	.num = FUZZ_RING_NUM, .stride = 0x1000, .avail = 0x400, .used = 0x800,
};

/** fuzz_ring() - where the rings of queue @q are: 0x400 bytes for each */
static inline u64 fuzz_ring(unsigned int q)
{
	return q * fuzz_layout.stride;
}

/**
 * fuzz_bring_up() - reset, negotiate, set up queues, go
 * @features: those that are offered are taken, and VERSION_1
 * @queues: a bit for each that is to be enabled
 */
static inline void fuzz_bring_up(struct virtio_device *dev, u64 features, u8 queues)
{
	driver_up(dev, &fuzz_layout, (features & dev->offered) | DRIVER_V1, queues);
}

#endif
