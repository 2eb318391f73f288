// SPDX-License-Identifier: GPL-2.0-only
#include "hotplug.h"

#define BAR_SPACE 0x8000U
#define PORTS 0x8000U

void hotplug_wait(u32 *changed, u32 *asked)
{
	outb(GPE_EN, GPE_HOTPLUG);
	WAIT(inb(GPE_STS) & GPE_HOTPLUG);
	outb(GPE_STS, GPE_HOTPLUG);
	*changed = inl(HOTPLUG_CHANGED);
	*asked = inl(HOTPLUG_ASKED);
}

bool hotplug_present(unsigned int slot)
{
	return pci_read(slot << 3, PCI_VENDOR_ID, 4) != ~0U;
}

void hotplug_open(struct hot_disk *d, unsigned int slot)
{
	unsigned int nth = 0;
	u8 *page = page_alloc(1);

	EXPECT_EQ(pci_read(slot << 3, PCI_BASE_ADDRESS_0, 4), 0);
	EXPECT_EQ(pci_read(slot << 3, PCI_BASE_ADDRESS_1, 4), 1);
	EXPECT_EQ(pci_read(slot << 3, PCI_INTERRUPT_PIN, 1), 1);
	pci_write(slot << 3, PCI_BASE_ADDRESS_0, 4,
		  (u32)PCI_WINDOW_GPA + PCI_WINDOW_SIZE / 2 + slot * BAR_SPACE);
	pci_write(slot << 3, PCI_BASE_ADDRESS_1, 4, PORTS + slot * 4);
	do {
		EXPECT(vdev_find(&d->v, VIRTIO_ID_BLOCK, nth++));
	} while (d->v.devfn != slot << 3);
	vdev_negotiate(&d->v, F_VERSION_1);
	vq_setup(&d->q, &d->v, 0, 16);
	vdev_go(&d->v);
	EXPECT_EQ(vdev_status(&d->v), STATUS_READY);
	EXPECT_EQ(blk_request(&d->q, VIRTIO_BLK_T_GET_ID, 0, page, 20), 0);
	memcpy(d->serial, page, 20);
}

void hotplug_eject(unsigned int slot)
{
	outl(HOTPLUG_EJECT, BIT(slot));
}
