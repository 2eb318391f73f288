// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSI-X: vectors out of range, a table full of nonsense, accesses that are not
 * aligned, masks that come and go while the device signals.
 */
#include "irq.h"
#include "virtio.h"

static struct vdev v;
static struct vq q;

static void request(void)
{
	static u8 data[8];
	struct buf b = { data, sizeof(data), true };

	vq_add(&q, &b, 1);
	vq_kick(&q);
	vq_take(&q);
}

static void vectors(void)
{
	static const u16 bad[] = { 2, 3, 16, 17, 255, 0x7fff, 0x8000, 0xfffe };

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(vdev_vector(&v, 0, bad[i]), NO_VECTOR);
		EXPECT_EQ(vdev_vector(&v, ~0U, bad[i]), NO_VECTOR);
		request();
	}
	EXPECT_EQ(vdev_vector(&v, 0, 1), 1);
}

static void table(void)
{
	static const u64 address[] = {
		0, 0x1000, 0xfee00000, 0xfeefffff, 0xfed00000, 0xc0000000,
		0xfffffffffee00000ULL, ~0ULL, 0xfee00000ULL | 5ULL << 32,
	};
	u64 e = msix_table(v.devfn, 1);

	for (unsigned int i = 0; i < ARRAY_SIZE(address); i++) {
		write64(e, address[i]);
		EXPECT_EQ(read64(e), address[i] & ~3ULL);
		/* Fixed or lowest priority: others would reset this CPU. */
		write32(e + 8, random32() & ~0x600U);
		write32(e + 12, 0xfffffffe);
		EXPECT_EQ(read32(e + 12), 0);
		request();
		write32(e + 12, 1);
		request();
	}
}

static void accesses(void)
{
	u64 e = msix_table(v.devfn, 0);

	for (u64 at = e - 16; at < e + 0x1040; at += at == e + 64 ? 0xf80 : 3) {
		for (unsigned int width = 1; width <= 8; width *= 2) {
			write_width(at, width, ~0ULL);
			read_width(at, width);
		}
	}
}

static void masks(void)
{
	u64 e = msix_table(v.devfn, 1);

	for (unsigned int i = 0; i < 200; i++) {
		write32(e + 12, i & 1);
		if (i % 3 == 0)
			msix_enable(v.devfn, i & 2);
		request();
	}
}

int main(void)
{
	apic_enable(true);
	vdev_open(&v, &q, VIRTIO_ID_RNG, 0);
	msix_enable(v.devfn, true);
	vectors();
	table();
	accesses();
	masks();
	msix_enable(v.devfn, false);
	vdev_reset(&v);
	return 0;
}
