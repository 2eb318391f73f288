// SPDX-License-Identifier: GPL-2.0-only
/* Features never offered, steps left out, features changed too late. */
#include "virtio.h"

#define ACK	VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRV	VIRTIO_CONFIG_S_DRIVER
#define OK	VIRTIO_CONFIG_S_FEATURES_OK
#define GO	VIRTIO_CONFIG_S_DRIVER_OK
#define FAILED	VIRTIO_CONFIG_S_FAILED

static bool accepted(struct vdev *v, u64 features)
{
	vdev_reset(v);
	vdev_set_status(v, ACK);
	vdev_set_status(v, ACK | DRV);
	vdev_accept(v, features);
	vdev_set_status(v, ACK | DRV | OK);
	if (vdev_status(v) & OK)
		return true;
	/* Nor can it be started now. */
	vdev_set_status(v, ACK | DRV | OK | GO);
	EXPECT(!(vdev_status(v) & (OK | GO)));
	vdev_kick(v, 0);
	return false;
}

int main(void)
{
	u64 offered, page = (u64)page_alloc(1);
	struct vdev v;

	EXPECT(vdev_find(&v, VIRTIO_ID_BLOCK, 0));
	offered = vdev_offered(&v);
	EXPECT(accepted(&v, offered));
	EXPECT(!accepted(&v, offered & ~F_VERSION_1));
	EXPECT(!accepted(&v, ~0ULL));
	for (unsigned int bit = 0; bit < 64; bit++)
		if (!(offered >> bit & 1))
			EXPECT(!accepted(&v, F_VERSION_1 | BIT_ULL(bit)));

	/* Steps left out */
	for (unsigned int s = 1; s < 16; s++) {
		vdev_reset(&v);
		vdev_set_status(&v, (u8)s);
		EXPECT(!(vdev_status(&v) & (OK | GO)));
		vdev_kick(&v, 0);
	}
	vdev_reset(&v);
	vdev_set_status(&v, 0xff);
	EXPECT(vdev_status(&v) & FAILED && !(vdev_status(&v) & GO));

	/* Features after FEATURES_OK, and queues after DRIVER_OK, are as before. */
	EXPECT(accepted(&v, F_VERSION_1));
	vdev_accept(&v, ~0ULL);
	vdev_go(&v);
	EXPECT_EQ(vdev_status(&v), STATUS_READY);
	vq_program(&v, 0, 16, page, page, page);
	vdev_kick(&v, 0);
	if (v.pci)
		EXPECT_EQ(read16(v.common + VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	else
		EXPECT_EQ(read32(v.regs + VIRTIO_MMIO_QUEUE_READY), 0);
	v.event_idx = false;
	blk_works(&v);
	return 0;
}
