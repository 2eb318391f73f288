// SPDX-License-Identifier: GPL-2.0-only
/* PCI configuration space (PCI 3.0 s6). One CPU at a time. */
#include "pci.h"

static void pci_select(unsigned int devfn, unsigned int reg)
{
	outl(0xcf8, BIT(31) | devfn << 8 | (reg & 0xfc));
}

bool pci_exists(void)
{
	return (pci_read(0, PCI_VENDOR_ID, 2) & 0xffff) != 0xffff;
}

u32 pci_read(unsigned int devfn, unsigned int reg, unsigned int width)
{
	pci_select(devfn, reg);
	return in_width(0xcfc + (reg & 3), width);
}

void pci_write(unsigned int devfn, unsigned int reg, unsigned int width, u32 v)
{
	pci_select(devfn, reg);
	out_width(0xcfc + (reg & 3), width, v);
}

int pci_find(u16 vendor, u16 device, unsigned int nth)
{
	for (unsigned int devfn = 0; devfn < 256; devfn++) {
		/* No function 0, no others. */
		if (pci_read(devfn, PCI_VENDOR_ID, 4) ==
		    (vendor | (u32)device << 16) && !nth--)
			return (int)devfn;
		if (!(devfn & 7) &&
		    !(pci_read(devfn, PCI_HEADER_TYPE, 1) & 0x80))
			devfn += 7;
	}
	return -1;
}

unsigned int pci_capability(unsigned int devfn, u8 id, unsigned int from)
{
	unsigned int at = from ? pci_read(devfn, from + 1, 1) :
				 pci_read(devfn, PCI_CAPABILITY_LIST, 1);

	for (unsigned int i = 0; at && i < 48; i++) {
		if (pci_read(devfn, at, 1) == id)
			return at;
		at = pci_read(devfn, at + 1, 1);
	}
	return 0;
}

u64 pci_bar(unsigned int devfn)
{
	return pci_read(devfn, PCI_BASE_ADDRESS_0, 4) & ~0xfU;
}

u16 pci_ports(unsigned int devfn)
{
	return pci_read(devfn, PCI_BASE_ADDRESS_1, 4) & 0xfffc;
}

void pci_enable(unsigned int devfn)
{
	pci_write(devfn, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY |
		  PCI_COMMAND_MASTER);
}

void msix_enable(unsigned int devfn, bool on)
{
	unsigned int cap = pci_capability(devfn, PCI_CAP_ID_MSIX, 0);

	pci_write(devfn, cap + PCI_MSIX_FLAGS, 2,
		  on ? PCI_MSIX_FLAGS_ENABLE : 0);
}

u64 msix_table(unsigned int devfn, unsigned int n)
{
	unsigned int cap = pci_capability(devfn, PCI_CAP_ID_MSIX, 0);

	return pci_bar(devfn) + (pci_read(devfn, cap + PCI_MSIX_TABLE, 4) & ~7U) +
	       16 * n;
}

void msix_set(unsigned int devfn, unsigned int n, u8 vector, u8 dest)
{
	u64 e = msix_table(devfn, n);

	write32(e, MSI_ADDRESS | (u32)dest << 12);
	write32(e + 4, 0);
	write32(e + 8, vector);
	write32(e + 12, 0);
}
