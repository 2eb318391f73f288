// SPDX-License-Identifier: GPL-2.0-only
/* MMIO of every width, and addresses that nobody claims. */
#include "pci.h"

#define NOBODY 0xf0000000ULL

int main(void)
{
	u32 id = read32(ecam(0, PCI_VENDOR_ID));
	static const u8 width[] = { 1, 2, 4, 8 };

	EXPECT(id != 0xffffffff);
	EXPECT_EQ(read8(ecam(0, 0)), id & 0xff);
	EXPECT_EQ(read8(ecam(0, 3)), id >> 24);
	EXPECT_EQ(read16(ecam(0, 2)), id >> 16);
	EXPECT_EQ((u32)read64(ecam(0, 0)), id);
	EXPECT_EQ(read64(ecam(0, 0)) >> 32, read32(ecam(0, PCI_COMMAND)));
	for (unsigned int i = 0; i < ARRAY_SIZE(width); i++) {
		u64 ones = width[i] == 8 ? ~0ULL : BIT_ULL(8 * width[i]) - 1;

		write_width(NOBODY, width[i], 0x0123456789abcdefULL);
		EXPECT_EQ(read_width(NOBODY, width[i]), ones);
		/* Across a page, which KVM splits */
		EXPECT_EQ(read_width(NOBODY + 0xfff, width[i]), ones);
	}
	/* The last byte below 4 GiB that is no memory */
	EXPECT_EQ(read8(0xfffffffeULL), 0xff);
	return 0;
}
