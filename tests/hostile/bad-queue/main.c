// SPDX-License-Identifier: GPL-2.0-only
/* Queue numbers out of range, notified and selected. */
#include "virtio.h"

static void kick_everywhere(struct vdev *v)
{
	static const u32 number[] = { 1, 2, 15, 16, 17, 255, 256, 0xffff };

	for (unsigned int i = 0; i < ARRAY_SIZE(number); i++) {
		if (!v->pci) {
			vdev_kick(v, number[i]);
			vdev_kick(v, number[i] << 16);
			vdev_kick(v, ~number[i]);
			continue;
		}
		for (unsigned int width = 1; width <= 4; width *= 2) {
			out_width(v->notify, width, number[i] << 16 | number[i]);
			out_width(v->notify + width % 4, width, number[i]);
		}
	}
}

static void select_everywhere(struct vdev *v, u64 page)
{
	static const u16 number[] = { 1, 16, 17, 255, 256, 0x7fff, 0xffff };

	for (unsigned int i = 0; i < ARRAY_SIZE(number); i++) {
		EXPECT_EQ(vdev_queue_max(v, number[i]), 0);
		vq_program(v, number[i], 16, page, page, page);
		if (v->pci) {
			EXPECT_EQ(vdev_vector(v, number[i], 0), NO_VECTOR);
			EXPECT_EQ(read16(v->common +
					 VIRTIO_PCI_COMMON_Q_ENABLE), 0);
		} else {
			EXPECT_EQ(read32(v->regs + VIRTIO_MMIO_QUEUE_READY), 0);
		}
	}
}

int main(void)
{
	u64 page = (u64)page_alloc(1);
	struct vdev v;
	struct vq q;

	vdev_open(&v, &q, VIRTIO_ID_BLOCK, 0);
	kick_everywhere(&v);
	EXPECT_EQ(blk_request(&q, VIRTIO_BLK_T_IN, 0, (void *)page, 512), 0);
	vdev_negotiate(&v, F_VERSION_1);
	select_everywhere(&v, page);
	kick_everywhere(&v);
	EXPECT(!(vdev_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET));
	blk_works(&v);
	return 0;
}
