/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a VM has for its devices. struct kvm holds both, and knows no more of
 * what stands behind the pointers than the devices' own headers let on.
 */
#ifndef KVM__ENV_H
#define KVM__ENV_H

#include "kvm/end.h"

struct gmem;
struct io_bus;
struct irq_chip;
struct pci_bus;
struct vm_log;

/**
 * struct hw_env - what the devices of hw/ stand in; the same for all of a VM
 * @pio: its ports
 * @irq: its interrupt controllers
 * @end: called by a device that ends the VM
 * @end_opaque: handed to @end
 */
struct hw_env {
	struct io_bus *pio;
	struct irq_chip *irq;
	vm_end_fn end;
	void *end_opaque;
};

/**
 * struct virtio_env - what a device stands in; the same for all of a VM
 * @gmem: its memory
 * @log: where to say what a guest does wrong
 * @mmio: its bus of memory that is not RAM
 * @irq: its interrupt controllers
 * @pci: its bus, NULL in a machine without PCI
 * @ioeventfd: fd is written to when the guest writes value to addr in len bytes,
 *	at a port of that number if port is true. on is false to undo it.
 *	Return: 0 or -errno
 * @ioeventfd_opaque: handed to @ioeventfd
 */
struct virtio_env {
	const struct gmem *gmem;
	const struct vm_log *log;
	struct io_bus *mmio;
	struct irq_chip *irq;
	struct pci_bus *pci;
	int (*ioeventfd)(void *opaque, int fd, u64 addr, u32 len, u32 value,
			 bool port, bool on);
	void *ioeventfd_opaque;
};

#endif
