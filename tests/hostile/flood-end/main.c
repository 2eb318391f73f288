// SPDX-License-Identifier: GPL-2.0-only
/*
 * Consoles whose rings hold more, when the VM ends, than anybody can read: half
 * a TiB, in chains of the same memory over and over.
 */
#include "virtio.h"

#define PIECES 250

static void fill(unsigned int nth)
{
	struct vring_desc *table = page_alloc(1);
	struct vdev v;
	struct vq tx;

	if (!vdev_find(&v, VIRTIO_ID_CONSOLE, nth))
		return;
	for (u16 i = 0; i < PIECES; i++) {
		table[i].addr = SZ_1M;
		table[i].len = 8 * SZ_1M;
		table[i].flags = i < PIECES - 1 ? VRING_DESC_F_NEXT : 0;
		table[i].next = i + 1;
	}
	vdev_negotiate(&v, F_VERSION_1 | F_INDIRECT);
	vq_setup(&tx, &v, 1, vdev_queue_max(&v, 1));
	vdev_go(&v);
	vq_desc(&tx, 0, (u64)table, PIECES * sizeof(*table),
		VRING_DESC_F_INDIRECT, 0);
	for (unsigned int i = 0; i < tx.num; i++)
		vq_offer(&tx, 0);
	vq_kick(&tx);
}

int main(void)
{
	fill(0);
	fill(1);
	for (;;)
		barrier();
}
