// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses and sizes of a queue that is active are not to be changed: what the
 * driver writes is ignored, and requests go on where the rings are. Rings that
 * are the target of a request's data are the driver's own problem.
 */
#include "virtio.h"

static void rings_as_data(struct vdev *v, struct vq *q, u8 *disk)
{
	void *target[] = { q->desc, q->avail, q->used };

	for (unsigned int i = 0; i < ARRAY_SIZE(target); i++) {
		struct buf b[] = {
			{ disk, 16, false }, { target[i], 512, true },
			{ disk + 32, 1, true },
		};

		memset(disk, 0, 16);
		vdev_restart(v, q, 1, F_VERSION_1);
		disk[32] = 0xff;
		vq_add(q, b, 3);
		vq_kick(q);
		WAIT(disk[32] != 0xff ||
		     vdev_status(v) & VIRTIO_CONFIG_S_NEEDS_RESET);
		vq_kick(q);
	}
}

int main(void)
{
	u8 *page = page_alloc(2);
	u64 other = (u64)page + 4096;
	struct vdev v;
	struct vq q;

	vdev_open(&v, &q, VIRTIO_ID_BLOCK, 0);
	for (unsigned int i = 0; i < 10; i++) {
		vq_program(&v, 0, 8, other, other + 512, other + 1024);
		if (v.pci)
			write16(v.common + VIRTIO_PCI_COMMON_Q_ENABLE, 0);
		else
			write32(v.regs + VIRTIO_MMIO_QUEUE_READY, 0);
		EXPECT_EQ(blk_request(&q, VIRTIO_BLK_T_IN, 0, page, 512), 0);
	}
	EXPECT_EQ(vdev_status(&v), STATUS_READY);
	/* A sector of ones, to be read over the rings */
	memset(page, 0xff, 512);
	EXPECT_EQ(blk_request(&q, VIRTIO_BLK_T_OUT, 0, page, 512), 0);
	rings_as_data(&v, &q, page);
	blk_works(&v);
	return 0;
}
