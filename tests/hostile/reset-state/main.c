// SPDX-License-Identifier: GPL-2.0-only
/* Nothing that a driver set survives a reset. */
#include "virtio.h"

static void expect_fresh(struct vdev *v)
{
	EXPECT_EQ(vdev_status(v), 0);
	EXPECT_EQ(vdev_isr(v), 0);
	if (!v->pci) {
		EXPECT_EQ(read32(v->regs + VIRTIO_MMIO_QUEUE_READY), 0);
		return;
	}
	for (u32 i = 0; i < 2; i++) {
		write32(v->common + VIRTIO_PCI_COMMON_GFSELECT, i);
		EXPECT_EQ(read32(v->common + VIRTIO_PCI_COMMON_GF), 0);
	}
	EXPECT_EQ(read16(v->common + VIRTIO_PCI_COMMON_MSIX), NO_VECTOR);
	EXPECT_EQ(read16(v->common + VIRTIO_PCI_COMMON_Q_SELECT), 0);
	EXPECT_EQ(read16(v->common + VIRTIO_PCI_COMMON_Q_MSIX), NO_VECTOR);
	EXPECT_EQ(read16(v->common + VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	EXPECT_EQ(read16(v->common + VIRTIO_PCI_COMMON_Q_SIZE),
		  vdev_queue_max(v, 0));
	for (unsigned int reg = VIRTIO_PCI_COMMON_Q_DESCLO;
	     reg <= VIRTIO_PCI_COMMON_Q_USEDHI; reg += 4)
		EXPECT_EQ(read32(v->common + reg), 0);
}

int main(void)
{
	u8 *page = page_alloc(1);
	struct vdev v;
	struct vq q;
	bool done;
	u16 max;

	vdev_open(&v, &q, VIRTIO_ID_BLOCK, ~0ULL);
	max = vdev_queue_max(&v, 0);
	if (v.pci) {
		vdev_vector(&v, 0, 1);
		vdev_vector(&v, ~0U, 0);
	}
	EXPECT_EQ(blk_request(&q, VIRTIO_BLK_T_IN, 0, page, 512), 0);
	/* Offered, and not kicked before the reset: it may have been seen. */
	vq_offer(&q, 0);
	vdev_reset(&v);
	done = vq_done(&q);
	expect_fresh(&v);
	EXPECT(v.pci || vdev_queue_max(&v, 0) == max);
	/* The old rings are no rings any more. */
	vdev_kick(&v, 0);
	vdev_set_status(&v, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	vdev_kick(&v, 0);
	EXPECT(vq_done(&q) == done);
	v.event_idx = false;
	blk_works(&v);
	EXPECT(vq_done(&q) == done);
	return 0;
}
