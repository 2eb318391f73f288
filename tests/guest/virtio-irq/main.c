// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts of a virtio device: MSI-X with its masks, INTx, and MMIO's line. */
#include "irq.h"
#include "virtio.h"

#define VECTOR_LINE	0x50
#define VECTOR_MSIX	0x51
#define VECTOR_OTHER	0x52

static struct vdev dev;
static u32 lines, msix, other;

static void line(void)
{
	/* A KVM that interprets guest code delivers it once more at the end. */
	if (vdev_isr(&dev) & 1)
		lines++;
}

static void message(void)
{
	msix++;
}

static void other_message(void)
{
	other++;
}

static void request(struct vq *q)
{
	static u8 data[16];
	struct buf b = { data, sizeof(data), true };

	vq_add(q, &b, 1);
	vq_kick(q);
	WAIT(vq_done(q));
	vq_take(q);
}

static void by_line(struct vq *q)
{
	ioapic_route(dev.gsi, VECTOR_LINE, 0, true);
	for (u32 i = 1; i <= 3; i++) {
		request(q);
		while (lines < i)
			irq_wait();
		EXPECT_EQ(lines, i);
	}
	ioapic_mask(dev.gsi);
}

static void by_msix(struct vq *q)
{
	u64 entry = msix_table(dev.devfn, 1);
	unsigned int cap = pci_capability(dev.devfn, PCI_CAP_ID_MSIX, 0);

	EXPECT_EQ(pci_read(dev.devfn, cap + PCI_MSIX_FLAGS, 2), 1);
	EXPECT_EQ(vdev_vector(&dev, 0, 1), 1);
	EXPECT_EQ(vdev_vector(&dev, 0, 7), NO_VECTOR);
	EXPECT_EQ(vdev_vector(&dev, 0, 1), 1);
	msix_set(dev.devfn, 1, VECTOR_MSIX, 0);
	msix_enable(dev.devfn, true);
	request(q);
	while (msix < 1)
		irq_wait();

	/* Masked: pending, and delivered when the mask goes. */
	write32(entry + 12, 1);
	request(q);
	EXPECT_EQ(read32(pci_bar(dev.devfn) +
			 (pci_read(dev.devfn, cap + PCI_MSIX_PBA, 4) & ~7U)), 2);
	irq_enable();
	for (unsigned int i = 0; i < 1000; i++)
		cpu_relax();
	irq_disable();
	EXPECT_EQ(msix, 1);
	write32(entry + 12, 0);
	while (msix < 2)
		irq_wait();

	/* Routed anew */
	write32(entry + 8, VECTOR_OTHER);
	request(q);
	while (!other)
		irq_wait();
	EXPECT_EQ(msix, 2);
	EXPECT_EQ(lines, 3);
}

int main(void)
{
	struct vq q;

	apic_enable(true);
	irq_set(VECTOR_LINE, line);
	irq_set(VECTOR_MSIX, message);
	irq_set(VECTOR_OTHER, other_message);
	vdev_open(&dev, &q, VIRTIO_ID_RNG, 0);
	by_line(&q);
	if (dev.pci)
		by_msix(&q);
	return 0;
}
