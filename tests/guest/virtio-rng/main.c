// SPDX-License-Identifier: GPL-2.0-only
/* Entropy: buffers are filled, and differ. */
#include "virtio.h"

int main(void)
{
	u64 *page = page_alloc(2);
	struct buf b[2] = { { page, 4096, true }, { page + 512, 100, true } };
	struct vdev v;
	struct vq q;
	u32 zeroes = 0;

	vdev_open(&v, &q, VIRTIO_ID_RNG, F_EVENT_IDX);
	EXPECT_EQ(vq_run(&q, b, 2), 4196);
	for (unsigned int i = 1; i < 512; i++) {
		EXPECT(page[i] != page[i - 1]);
		zeroes += !page[i];
	}
	EXPECT(zeroes < 2);
	/* Nothing behind the second */
	EXPECT_EQ(page[512 + 13], 0);
	return 0;
}
