// SPDX-License-Identifier: GPL-2.0-only
/* Random values into all registers of virtio-mmio devices, and what is behind. */
#include "virtio.h"

#define ROUNDS 10000

static u64 arena;

/* Rings have to lie in the arena or nowhere: not in this program. */
static u32 value(void)
{
	u32 v = random32();

	switch (random32() % 6) {
	case 0:
		return 0;
	case 1:
		return ~0U;
	case 2:
		return (u32)arena + (v & 0xffff0);
	case 3:
		return v & 0x1f;
	default:
		return v | 0x80000000;
	}
}

int main(void)
{
	struct vdev v;

	arena = (u64)page_alloc(512);
	random_seed(option_number("seed", 1));
	for (unsigned int i = 0; i < ROUNDS; i++) {
		u64 gpa = VIRTIO_MMIO_GPA + random32() % 4 * 0x1000;
		unsigned int width = random32() % 4 ? 4 : 1U << random32() % 4;
		u64 off = random32() % (random32() % 8 ? 0x120 : 0x1000);

		if (random32() % 8)
			off &= ~3ULL;
		if (random32() % 3)
			write_width(gpa + off, width,
				    (u64)value() << 32 | value());
		else
			read_width(gpa + off, width);
		/* On the way to DRIVER_OK every now and then */
		if (random32() % 64 == 0)
			for (u32 s = 1; s < 16; s = s * 2 + 1)
				write32(gpa + VIRTIO_MMIO_STATUS, s == 7 ? 11 : s);
	}
	EXPECT(vdev_find(&v, VIRTIO_ID_BLOCK, 0));
	blk_works(&v);
	return 0;
}
