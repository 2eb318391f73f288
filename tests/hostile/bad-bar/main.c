// SPDX-License-Identifier: GPL-2.0-only
/*
 * BARs on top of one another, over RAM, over the configuration space, over the
 * APICs, half out of their window: what was there stays, and all is well when
 * they are back.
 */
#include "virtio.h"

static struct vdev v[2];
static u64 home[2];

static void put(unsigned int i, u64 gpa)
{
	write32(ecam(v[i].devfn, PCI_BASE_ADDRESS_0), (u32)gpa);
}

/* Over the ports of others, and outside of the window for them */
static void ports_over_others(void)
{
	static const u16 place[] = {
		0, 0x20, 0x40, 0x60, 0x70, 0xf4, 0x3f8, 0x600, 0xcf8, 0xcfc, 0xffc,
	};
	u16 at[] = { v[0].notify, v[1].notify };

	for (unsigned int i = 0; i < ARRAY_SIZE(place); i++) {
		pci_write(v[0].devfn, PCI_BASE_ADDRESS_1, 4, place[i]);
		vdev_kick(&v[0], 0);
		EXPECT_EQ(inl(at[0]), 0xffffffff);
	}
	EXPECT_EQ(inb(0x64) & 0x80, 0);
	/* Over each other: kicks go to the one that was there */
	pci_write(v[0].devfn, PCI_BASE_ADDRESS_1, 4, at[1]);
	vdev_kick(&v[1], 0);
	for (unsigned int i = 0; i < 100; i++) {
		pci_write(v[i & 1].devfn, PCI_BASE_ADDRESS_1, 4, at[i >> 1 & 1]);
		write16(ecam(v[i & 1].devfn, PCI_COMMAND), i % 3 ? 7 : 0);
		outw(at[0], 0);
		outw(at[1], 0);
	}
	/* The last one there is */
	pci_write(v[1].devfn, PCI_BASE_ADDRESS_1, 4, 0xfffc);
	outw(0xfffc, 0);
	outl(0xfffe, 0);
	for (unsigned int i = 0; i < 2; i++)
		pci_write(v[i].devfn, PCI_BASE_ADDRESS_1, 4, at[i]);
	for (unsigned int i = 0; i < 2; i++)
		write16(ecam(v[i].devfn, PCI_COMMAND), 7);
}

static void over_others(void)
{
	static const u64 place[] = {
		0, 0x100000, 0x8000, ECAM_GPA, 0xfec00000, 0xfee00000,
		0xfeb00000, 0xfffbc000, 0xffff8000, PCI_WINDOW_GPA - 0x8000,
		PCI_WINDOW_GPA + PCI_WINDOW_SIZE,
	};
	u32 id = read32(ecam(0, 0));

	for (unsigned int i = 0; i < ARRAY_SIZE(place); i++) {
		put(0, place[i]);
		EXPECT_EQ(read32(ecam(0, 0)), id);
		EXPECT_EQ(read32(home[0]), 0xffffffff);
		EXPECT_EQ(read16(home[1] + VIRTIO_PCI_COMMON_NUMQ), 1);
		write32(0x8000, 0x12345678);
		EXPECT_EQ(read32(0x8000), 0x12345678);
	}
	put(0, home[0]);
}

static void over_each_other(void)
{
	put(0, home[1]);
	EXPECT_EQ(read32(home[0]), 0xffffffff);
	EXPECT_EQ(read16(home[1] + VIRTIO_PCI_COMMON_NUMQ), 1);
	vdev_kick(&v[0], 0);
	/* Gone from there, the other one appears. */
	put(1, home[0]);
	EXPECT_EQ(read16(home[0] + VIRTIO_PCI_COMMON_NUMQ), 1);
	EXPECT_EQ(read16(home[1] + VIRTIO_PCI_COMMON_NUMQ), 1);
	for (unsigned int i = 0; i < 100; i++) {
		put(i & 1, home[i >> 1 & 1]);
		write16(ecam(v[i & 1].devfn, PCI_COMMAND), i % 3 ? 7 : 0);
		vdev_kick(&v[0], 0);
	}
	for (unsigned int i = 0; i < 2; i++)
		put(i, home[i]);
	for (unsigned int i = 0; i < 2; i++)
		write16(ecam(v[i].devfn, PCI_COMMAND), 7);
}

int main(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		EXPECT(vdev_find(&v[i], VIRTIO_ID_BLOCK, i));
		home[i] = pci_bar(v[i].devfn);
	}
	over_others();
	over_each_other();
	ports_over_others();
	blk_works(&v[0]);
	blk_works(&v[1]);
	return 0;
}
