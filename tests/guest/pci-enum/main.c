// SPDX-License-Identifier: GPL-2.0-only
/* Both ways into configuration space show the same; nobody reads as ones. */
#include "pci.h"

static void compare(unsigned int devfn)
{
	for (unsigned int reg = 0; reg < 256; reg += 4) {
		u32 v = pci_read(devfn, reg, 4);

		EXPECT_EQ(read32(ecam(devfn, reg)), v);
		if (reg > 64)
			continue;
		for (unsigned int i = 0; i < 4; i++) {
			EXPECT_EQ(pci_read(devfn, reg + i, 1),
				  (v >> 8 * i) & 0xff);
			EXPECT_EQ(read8(ecam(devfn, reg + i)),
				  (v >> 8 * i) & 0xff);
		}
		EXPECT_EQ(pci_read(devfn, reg + 2, 2), v >> 16);
		EXPECT_EQ(read16(ecam(devfn, reg + 2)), v >> 16);
	}
	/* Nothing in the extended space */
	EXPECT_EQ(read32(ecam(devfn, 0x100)), 0);
	EXPECT_EQ(read32(ecam(devfn, 0xffc)), 0);
}

int main(void)
{
	unsigned int found = 0;

	for (unsigned int devfn = 0; devfn < 256; devfn++) {
		u32 id = pci_read(devfn, PCI_VENDOR_ID, 4);

		if (id == 0xffffffff) {
			EXPECT_EQ(read32(ecam(devfn, 0)), id);
			continue;
		}
		print("%02x.%x %04x:%04x\n", devfn >> 3, devfn & 7,
		      id & 0xffff, id >> 16);
		compare(devfn);
		found++;
	}
	EXPECT_EQ(found, option_number("found", 1));
	EXPECT_EQ(pci_read(0, PCI_CLASS_REVISION, 4) >> 16, 0x0600);
	/* Another bus is not there. */
	outl(0xcf8, 0x80010000);
	EXPECT_EQ(inl(0xcfc), 0xffffffff);
	/* The enable bit is needed. */
	outl(0xcf8, 0);
	EXPECT_EQ(inl(0xcfc), 0xffffffff);
	return 0;
}
