// SPDX-License-Identifier: GPL-2.0-only
/* A BAR: its size, on and off, moved, and its neighbour's place. */
#include "virtio.h"

int main(void)
{
	struct vdev v;
	u64 bar, size, to;

	EXPECT(vdev_find(&v, VIRTIO_ID_RNG, 0));
	bar = pci_bar(v.devfn);
	EXPECT(bar >= PCI_WINDOW_GPA);
	EXPECT_EQ(pci_read(v.devfn, PCI_BASE_ADDRESS_0, 4) & 0xf, 0);
	/* Ports, of which there are 65536 */
	pci_write(v.devfn, PCI_BASE_ADDRESS_1, 4, 0xffffffff);
	EXPECT_EQ(pci_read(v.devfn, PCI_BASE_ADDRESS_1, 4), 0xfffd);
	pci_write(v.devfn, PCI_BASE_ADDRESS_1, 4, v.notify);
	EXPECT_EQ(pci_read(v.devfn, PCI_BASE_ADDRESS_1, 4), v.notify | 1);
	EXPECT_EQ(inl(v.notify), 0);
	EXPECT_EQ(inl(v.notify + 0x1000), 0xffffffff);
	pci_write(v.devfn, PCI_BASE_ADDRESS_1, 4, v.notify + 0x1000);
	EXPECT_EQ(inl(v.notify), 0xffffffff);
	EXPECT_EQ(inl(v.notify + 0x1000), 0);
	/* The other BARs do not exist. */
	for (unsigned int reg = PCI_BASE_ADDRESS_2; reg <= PCI_BASE_ADDRESS_5;
	     reg += 4) {
		pci_write(v.devfn, reg, 4, 0xffffffff);
		EXPECT_EQ(pci_read(v.devfn, reg, 4), 0);
	}
	pci_write(v.devfn, PCI_COMMAND, 2, 0);
	pci_write(v.devfn, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	size = -(u32)pci_bar(v.devfn);
	EXPECT(size >= 4096 && !(size & (size - 1)));
	EXPECT_EQ(bar % size, 0);

	to = PCI_WINDOW_GPA + PCI_WINDOW_SIZE - size;
	pci_write(v.devfn, PCI_BASE_ADDRESS_0, 4, (u32)to);
	EXPECT_EQ(read32(to), 0xffffffff);	/* not enabled */
	EXPECT_EQ(inl(v.notify + 0x1000), 0xffffffff);
	pci_enable(v.devfn);
	EXPECT_EQ(read32(bar), 0xffffffff);
	EXPECT_EQ(read16(to + (v.common - bar) +
			 VIRTIO_PCI_COMMON_NUMQ), 1);
	/* Through ECAM, and with memory enabled all the time */
	write32(ecam(v.devfn, PCI_BASE_ADDRESS_0), (u32)bar);
	EXPECT_EQ(read16(v.common + VIRTIO_PCI_COMMON_NUMQ), 1);
	EXPECT_EQ(read32(to), 0xffffffff);
	return 0;
}
