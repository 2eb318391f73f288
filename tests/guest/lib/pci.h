/* SPDX-License-Identifier: GPL-2.0-only */
/* PCI configuration space, by mechanism 1 and by ECAM. */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include <linux/pci_regs.h>
#include "guest.h"

#define ECAM_GPA	0xc0000000ULL
#define PCI_WINDOW_GPA	0xd0000000ULL
#define PCI_WINDOW_SIZE	0x20000000ULL
#define MSI_ADDRESS	0xfee00000U

/** pci_exists() - whether there is a host bridge */
bool pci_exists(void);
/** pci_read(), pci_write() - mechanism 1; @width is 1, 2 or 4 */
u32 pci_read(unsigned int devfn, unsigned int reg, unsigned int width);
void pci_write(unsigned int devfn, unsigned int reg, unsigned int width, u32 v);
static inline u64 ecam(unsigned int devfn, unsigned int reg)
{
	return ECAM_GPA + (devfn << 12) + reg;
}

/** pci_find() - the @nth function with that id; -1 for none */
int pci_find(u16 vendor, u16 device, unsigned int nth);
/** pci_capability() - the offset of the next one behind @from; 0 for none */
unsigned int pci_capability(unsigned int devfn, u8 id, unsigned int from);
u64 pci_bar(unsigned int devfn);
/** pci_ports() - the first of those of BAR 1 */
u16 pci_ports(unsigned int devfn);
/** pci_enable() - memory, ports and bus mastering */
void pci_enable(unsigned int devfn);

/** msix_enable() - on or off, the function's mask cleared */
void msix_enable(unsigned int devfn, bool on);
/** msix_table() - where vector @n of the table is; 16 bytes */
u64 msix_table(unsigned int devfn, unsigned int n);
/** msix_set() - @n sends @vector to APIC id @dest, unmasked */
void msix_set(unsigned int devfn, unsigned int n, u8 vector, u8 dest);

#endif
