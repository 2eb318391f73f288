/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__PCI_H
#define KVM__PCI_H

#include <pthread.h>
#include "kvm/io.h"
#include "kvm/irq.h"
#include "kvm/state.h"

#define PCI_CONFIG_SIZE 256
#define PCI_MAX_FUNCTIONS 256
#define PCI_MAX_MSIX 64

struct pci_bus;
struct pci_function;

/**
 * struct pci_function_ops - what a function adds to the framework
 * @bar_read: a read of the memory BAR 0
 * @bar_write: a write to it
 * @ports_write: a write to the ports of BAR 1, which read as zero; not NULL if it
 *	has a size
 * @ports_moved: they now begin at @port, or nowhere when @enabled is false: move
 *	ioeventfds. Called while BARs move: not to write to configuration space. May
 *	be NULL.
 * @config_write: after a write that the framework applied; may be NULL
 * @config_read: before a read of @off, to refresh bytes; may be NULL
 */
struct pci_function_ops {
	int (*bar_read)(struct pci_function *f, u64 off, void *d,
			unsigned int len);
	int (*bar_write)(struct pci_function *f, u64 off, const void *d,
			 unsigned int len);
	void (*ports_write)(struct pci_function *f, u64 off, const void *d,
			    unsigned int len);
	void (*ports_moved)(struct pci_function *f, u64 port, bool enabled);
	void (*config_write)(struct pci_function *f, unsigned int off,
			     unsigned int len);
	void (*config_read)(struct pci_function *f, unsigned int off,
			    unsigned int len);
};

/**
 * struct pci_msix_entry - a row of the MSI-X table
 * @lent: how many write to @msi's eventfd by themselves
 */
struct pci_msix_entry {
	u64 addr;
	u32 data;
	u32 control;
	struct irq_msi msi;
	bool pending;
	unsigned int lent;
};

/**
 * struct pci_bar - a stretch of memory or of ports that the guest places
 * @size: bytes, power of two; 0 for none
 * @at: where it is mapped, valid while @mapped
 */
struct pci_bar {
	u32 size;
	u64 at;
	bool mapped;
};

/**
 * struct pci_function - one function on the bus
 * @config: configuration space as the guest reads it
 * @writable: which bits the guest may change
 * @bar: BAR 0, memory 32 bit
 * @ports: BAR 1
 * @line: INTx, when @config's pin is set
 * @removable: may leave a running guest; set before it is registered
 * @lock: guards all of the registers
 */
struct pci_function {
	const struct pci_function_ops *ops;
	void *opaque;
	struct pci_bus *bus;
	unsigned int devfn;
	bool removable;
	pthread_mutex_t lock;
	u8 config[PCI_CONFIG_SIZE];
	u8 writable[PCI_CONFIG_SIZE];
	struct pci_bar bar;
	struct pci_bar ports;
	struct irq_line line;
	bool intx_level;
	unsigned int msix_cap;
	u32 msix_table_off;
	u32 msix_pba_off;
	unsigned int nr_msix;
	struct pci_msix_entry *msix;
	unsigned int next_cap;
	unsigned int last_cap;
};

/**
 * struct pci_bus_params - where the bus stands
 * @pio: ports 0xcf8..0xcff and BARs are claimed there
 * @mmio: ECAM and BARs are claimed there
 * @ecam_gpa: 1 MiB for bus 0
 * @mmio_gpa: the window that memory BARs are placed in
 * @mmio_size: its bytes
 * @port: the first of those that BARs of ports are placed at
 * @nr_ports: how many there are
 * @per_slot: how many functions a slot gets before the next one does, 1..8, until
 *	pci_bus_finish()
 * @intx_gsi: the four lines that pins are swizzled over
 * @reset: a byte was written to port 0xcf9, which lies inside the claimed ports;
 *	called with @reset_opaque. May be NULL.
 * @reset_read: a byte is read from there. May be NULL.
 */
struct pci_bus_params {
	struct io_bus *pio;
	struct io_bus *mmio;
	struct irq_chip *irq;
	u64 ecam_gpa;
	u64 mmio_gpa;
	u64 mmio_size;
	u64 port;
	u64 nr_ports;
	unsigned int per_slot;
	unsigned int intx_gsi[4];
	void (*reset)(void *opaque, u8 value);
	u8 (*reset_read)(void *opaque);
	void *reset_opaque;
};

/** pci_bus_create() - a bus 0 with a host bridge at 00:00.0 */
int pci_bus_create(struct pci_bus **out, const struct pci_bus_params *p);
/** pci_bus_destroy() - functions are gone by then */
void pci_bus_destroy(struct pci_bus *bus);

/**
 * pci_function_init() - fill the header: ids and class code
 * @class_code: 24 bits, base class on top
 */
void pci_function_init(struct pci_function *f,
		       const struct pci_function_ops *ops, void *opaque,
		       u16 vendor, u16 device, u32 class_code);
/** pci_function_set_subsystem() - the ids that tell cards of one function apart */
void pci_function_set_subsystem(struct pci_function *f, u16 vendor, u16 id);

/**
 * pci_add_capability() - append a capability of @len bytes
 * @body: bytes after id and next pointer, @len - 2 of them
 *
 * Return: its offset, or -ENOSPC.
 */
int pci_add_capability(struct pci_function *f, u8 id, const void *body,
		       unsigned int len);

/**
 * pci_add_msix() - give the function @nr vectors, table and PBA in BAR 0
 *
 * Accesses to both are the framework's: bar_read and bar_write do not see
 * them. Return: 0 or -errno.
 */
int pci_add_msix(struct pci_function *f, unsigned int nr, u32 table_off,
		 u32 pba_off);

/**
 * pci_register() - put the function on the next free place
 *
 * Each has a higher number than the last one. Gives BARs an address, the function a
 * pin. After pci_bus_finish() the lowest of the hot slots that are free, and no address.
 * Context: no vCPU runs.
 * Return: 0; -ENOSPC without room; -EINVAL for a bad size of @f's BAR; what
 * irq_msi_alloc() returns.
 */
int pci_register(struct pci_bus *bus, struct pci_function *f);
/** pci_unregister() - accepts one that is on no bus. Context: no vCPU runs */
void pci_unregister(struct pci_function *f);

/** pci_msix_enabled() - whether the guest switched MSI-X on */
bool pci_msix_enabled(struct pci_function *f);
/** pci_msix_signal() - send vector @n, or set it pending; bad @n is ignored */
void pci_msix_signal(struct pci_function *f, unsigned int n);
/**
 * pci_msix_lend() - the eventfd of vector @n, for somebody else to write to
 *
 * Masks are respected: what is written while one is set is pending. The
 * eventfd stays the function's. pci_msix_return() when nobody writes any more.
 * Return: the eventfd; -1 for a bad @n, or with MSI-X switched off.
 */
int pci_msix_lend(struct pci_function *f, unsigned int n);
/**
 * pci_msix_return() - undo one pci_msix_lend()
 *
 * Interrupts that the borrower has signalled and KVM has not taken are not lost: they
 * are pending.
 */
void pci_msix_return(struct pci_function *f, unsigned int n);
/** pci_intx_set() - the function's wish; INTx disable and MSI-X respected */
void pci_intx_set(struct pci_function *f, bool level);
/** pci_irq_gsi() - what the slot's pin A..D, 0..3, is wired to */
unsigned int pci_irq_gsi(const struct pci_bus *bus, unsigned int slot,
			 unsigned int pin);
/**
 * pci_bus_finish() - the functions that there are from the start are known
 * @spare: how many of the slots that are free will be hot
 */
void pci_bus_finish(struct pci_bus *bus, unsigned int spare);
/** pci_bus_hot_slots() - a bit for each slot whose function comes or goes */
u32 pci_bus_hot_slots(const struct pci_bus *bus);
/**
 * pci_bus_hide() - the guest has let go of what is in @slots, a bit for each
 *
 * Configuration space reads as if they were empty until something else is
 * there. Context: any thread, no lock held.
 */
void pci_bus_hide(struct pci_bus *bus, u32 slots);
/**
 * pci_bus_tear() - what is in @slot goes, and the guest has not let go of it
 *
 * The slot stays empty until the guest has looked, or begins anew.
 * Context: no vCPU runs.
 */
void pci_bus_tear(struct pci_bus *bus, unsigned int slot);
/** pci_bus_function() - the function at @devfn, or NULL */
struct pci_function *pci_bus_function(const struct pci_bus *bus,
				      unsigned int devfn);

/**
 * pci_bar_read() - access BAR 0 by offset, for windows into it
 *
 * Reaches MSI-X table and PBA as well. Context: no lock held.
 * Return: 0, -EINVAL outside of the BAR or when the function refuses.
 */
int pci_bar_read(struct pci_function *f, u64 off, void *d, unsigned int len);
/** pci_bar_write() - as pci_bar_read() */
int pci_bar_write(struct pci_function *f, u64 off, const void *d,
		  unsigned int len);

/** pci_bus_save() - the bus's own registers; functions save themselves */
void pci_bus_save(struct pci_bus *bus, struct state_out *out);
/** pci_bus_restore() - before vCPUs run. Return: 0, -EPROTO. */
int pci_bus_restore(struct pci_bus *bus, struct state_in *in);

/** pci_function_save() - configuration space, INTx and MSI-X; takes f->lock */
void pci_function_save(struct pci_function *f, struct state_out *out);
/** pci_function_restore() - before vCPUs run. Return: 0, -EPROTO. */
int pci_function_restore(struct pci_function *f, struct state_in *in);

#endif
