// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device configuration: reads and writes at and past its end at every width,
 * and through the window in PCI configuration space, with bad offsets and
 * lengths.
 */
#include "virtio.h"

static void direct(struct vdev *v)
{
	u64 capacity = read64(vdev_config_at(v, 0));

	for (unsigned int off = 0; off < 0x100; off += off < 80 ? 1 : 37) {
		for (unsigned int width = 1; width <= 8; width *= 2) {
			u64 at = vdev_config_at(v, off);

			read_width(at, width);
			write_width(at, width, ~0ULL);
		}
	}
	EXPECT_EQ(read64(vdev_config_at(v, 0)), capacity);
	EXPECT_EQ(read32(vdev_config_at(v, 0xf0)), 0);
}

static void window(struct vdev *v)
{
	static const u32 off[] = {
		0, 1, 0x13, 0xfff, 0x2000, 0x2fff, 0x3000, 0x4000, 0x400c, 0x5000,
		0x7fff, 0x8000, 0x7ffffffc, 0x80000000, 0xffffffff,
	};
	static const u32 len[] = { 0, 1, 2, 3, 4, 8, 0x8000, 0xffffffff };
	unsigned int cap = 0;

	do {
		cap = pci_capability(v->devfn, PCI_CAP_ID_VNDR, cap);
		EXPECT(cap);
	} while (pci_read(v->devfn, cap + 3, 1) != VIRTIO_PCI_CAP_PCI_CFG);

	for (unsigned int i = 0; i < ARRAY_SIZE(off); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(len); j++) {
			pci_write(v->devfn, cap + 8, 4, off[i]);
			pci_write(v->devfn, cap + 12, 4, len[j]);
			pci_read(v->devfn, cap + 16, 4);
			pci_read(v->devfn, cap + 16, 1);
			pci_write(v->devfn, cap + 16, 2, 0xffff);
			write64(ecam(v->devfn, cap + 12), ~0ULL);
		}
	}
	/* Another BAR than the one there is */
	pci_write(v->devfn, cap + 4, 1, 5);
	pci_write(v->devfn, cap + 8, 4, 0);
	pci_write(v->devfn, cap + 12, 4, 4);
	pci_read(v->devfn, cap + 16, 4);
	pci_write(v->devfn, cap + 4, 1, 0);
	/* And it still works as it should. */
	pci_write(v->devfn, cap + 8, 4, VIRTIO_PCI_COMMON_NUMQ);
	pci_write(v->devfn, cap + 12, 4, 2);
	EXPECT_EQ(pci_read(v->devfn, cap + 16, 2), 1);
}

int main(void)
{
	struct vdev v;

	EXPECT(vdev_find(&v, VIRTIO_ID_BLOCK, 0));
	direct(&v);
	if (v.pci) {
		window(&v);
		msix_enable(v.devfn, false);
	}
	blk_works(&v);
	return 0;
}
