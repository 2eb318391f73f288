/* SPDX-License-Identifier: GPL-2.0-only */
/* What hw/pci.c and hw/msix.c share; nobody else includes it. */
#ifndef KVM__MSIX_H
#define KVM__MSIX_H

#include "kvm/pci.h"

/** pci_bus_irq() - where the messages of @bus go */
struct irq_chip *pci_bus_irq(const struct pci_bus *bus);

/** msix_attach() - allocate the vectors' GSIs. Return: 0 or -errno */
int msix_attach(struct pci_function *f);
/** msix_detach() - give back all that msix_attach() and pci_add_msix() took */
void msix_detach(struct pci_function *f);

/** msix_covers() - whether BAR offset @off belongs to table or PBA */
bool msix_covers(const struct pci_function *f, u64 off);
/**
 * msix_read() - the guest reads table or PBA
 * @off: of the BAR; msix_covers() it
 * @len: bytes, 4 or 8
 *
 * Context: a vCPU, f->lock is not held. Return: 0, or -EINVAL for width or alignment.
 */
int msix_read(struct pci_function *f, u64 off, void *d, unsigned int len);
/** msix_write() - the guest writes there; as msix_read(). The PBA stays as it is */
int msix_write(struct pci_function *f, u64 off, const void *d,
	       unsigned int len);

/** msix_update() - message control changed; f->lock is held */
void msix_update(struct pci_function *f);
/** msix_is_enabled() - f->lock is held */
bool msix_is_enabled(const struct pci_function *f);

/** msix_save() - table and pending bits; f->lock is held, the device paused */
void msix_save(const struct pci_function *f, struct state_out *out);
/** msix_restore() - f->lock is held. Return: 0, -EPROTO */
int msix_restore(struct pci_function *f, struct state_in *in);

#endif
