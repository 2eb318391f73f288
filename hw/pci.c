// SPDX-License-Identifier: GPL-2.0-only
/*
 * A PCI bus: configuration space, BARs and INTx of its functions.
 *
 * Theory of operation
 *
 * Modelled is one conventional bus 0 (PCI 3.0 s6) behind a host bridge at
 * 00:00.0. Configuration space is reached by mechanism 1 (s3.2.2.3.2) and by
 * ECAM (PCIe 4.0 s7.2.2), of which everything beyond the first 256 bytes of a
 * function reads as zero. Functions that do not exist read as ones. Port
 * 0xcf9 lies amid the ports of mechanism 1 and belongs to the reset device:
 * byte accesses to it are handed on.
 *
 * A function has a table of bytes and a table of the bits that a guest may
 * change. It may have a BAR of 32-bit memory and one of ports, which have an
 * address from the start; one is claimed on its bus while the command register
 * enables what it is of and the address lies inside the window for that. A guest
 * may put two BARs on one place: the second is not mapped, until a write frees
 * the place.
 *
 * vCPU threads enter, two at a time perhaps. Lock order: bus->move_lock, then
 * a function's lock or one of the two buses'. The function's lock is dropped before
 * anything is moved and before a hook runs; a move is recomputed from the
 * registers under move_lock, so the last of two concurrent ones is right.
 * ports_moved runs under move_lock and thus must not write to configuration
 * space. The list of functions changes only while no vCPU runs: that is also
 * what makes it safe to free a function.
 *
 * A guest finds functions in the order of their numbers, and names disks and
 * interfaces by that: those that come before pci_bus_finish() are numbered in the
 * order in which they come, as many to a slot as all of them need.
 *
 * After pci_bus_finish() some slots are hot: the free ones, up to a number, and
 * those whose only function may go. A function that comes then has function
 * number 0, pin A and no address: to place its BARs is up to the guest, as it is
 * on a real machine. One that the guest has let go of is hidden at once, so
 * that the guest does not find it again, and unregistered later. The slot of one
 * that it has not let go of takes no other before the guest has read there that
 * nothing is: what it finds instead without that it takes for what it knows. Its
 * memory reads as zero until another BAR comes there, as Linux waits for a virtio
 * device that it has reset to say so, and handles nothing else of hotplug meanwhile.
 *
 * Not supported: 64-bit BARs, expansion ROMs, bridges, PCIe
 * capabilities, power management, and gating of DMA by bus master enable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "kvm/pci.h"
#include "hw/msix.h"

#define PCI_PORT_BASE		0xcf8
#define PCI_PORT_SIZE		8
#define PCI_PORT_RESET		1
#define PCI_PORT_DATA		4
#define PCI_ADDRESS_ENABLE	BIT(31)
#define PCI_ECAM_SIZE		0x100000
#define PCI_ECAM_FUNCTION	0x1000
#define PCI_STATE_VERSION	1

#define PCI_DEVFN_OF(slot, fn)	((slot) << 3 | (fn))
#define PCI_FIRST_CAPABILITY	0x40
#define PCI_CLASS_HOST_BRIDGE	0x060000

/** struct pci_remains - where a memory BAR was of what was torn out */
struct pci_remains {
	u64 at;
	u64 size;
};

struct pci_bus {
	struct pci_bus_params p;
	pthread_mutex_t move_lock;
	u32 address;
	u64 next_bar;
	u64 next_port;
	bool finished;
	u32 hot_slots;
	u32 hidden_slots;
	u32 stale_slots;	/* atomic: vCPUs clear bits */
	struct pci_remains remains[32];
	unsigned int nr_remains;
	struct pci_function *function[PCI_MAX_FUNCTIONS];
	struct pci_function bridge;
};

struct irq_chip *pci_bus_irq(const struct pci_bus *bus)
{
	return bus->p.irq;
}

/* BARs */

int pci_bar_read(struct pci_function *f, u64 off, void *d, unsigned int len)
{
	if (off > f->bar.size || len > f->bar.size - off)
		return -EINVAL;
	if (msix_covers(f, off))
		return msix_read(f, off, d, len);
	if (!f->ops->bar_read)
		return -EINVAL;
	return f->ops->bar_read(f, off, d, len);
}

int pci_bar_write(struct pci_function *f, u64 off, const void *d,
		  unsigned int len)
{
	if (off > f->bar.size || len > f->bar.size - off)
		return -EINVAL;
	if (msix_covers(f, off))
		return msix_write(f, off, d, len);
	if (!f->ops->bar_write)
		return -EINVAL;
	return f->ops->bar_write(f, off, d, len);
}

static int bar_io_read(void *o, u64 off, void *d, unsigned int len)
{
	return pci_bar_read(o, off, d, len);
}

static int bar_io_write(void *o, u64 off, const void *d, unsigned int len)
{
	return pci_bar_write(o, off, d, len);
}

static const struct io_ops pci_bar_ops = {
	.read = bar_io_read,
	.write = bar_io_write,
};

static int ports_read(void *o, u64 off, void *d, unsigned int len)
{
	(void)o;
	(void)off;
	memset(d, 0, len);
	return 0;
}

static int ports_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct pci_function *f = o;

	f->ops->ports_write(f, off, d, len);
	return 0;
}

static const struct io_ops pci_ports_ops = {
	.read = ports_read,
	.write = ports_write,
};

/* Where the registers want @b, a BAR of @f. Return: false for nowhere. */
static bool bar_wanted(struct pci_function *f, const struct pci_bar *b, u64 *at)
{
	const struct pci_bus_params *p = &f->bus->p;
	bool io = b == &f->ports;
	u64 start = io ? p->port : p->mmio_gpa;
	u64 size = io ? p->nr_ports : p->mmio_size;
	u64 v;
	u8 command;

	pthread_mutex_lock(&f->lock);
	v = io_read_le(f->config + (io ? PCI_BASE_ADDRESS_1 : PCI_BASE_ADDRESS_0),
		       4);
	command = f->config[PCI_COMMAND];
	pthread_mutex_unlock(&f->lock);
	if (!b->size || !(command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return false;
	v &= io ? PCI_BASE_ADDRESS_IO_MASK : PCI_BASE_ADDRESS_MEM_MASK;
	if (v < start || v - start > size || b->size > size - (v - start))
		return false;
	*at = v;
	return true;
}

static void bar_unmap(struct pci_function *f, struct pci_bar *b)
{
	bool io = b == &f->ports;

	io_bus_unregister(io ? f->bus->p.pio : f->bus->p.mmio, b->at);
	b->mapped = false;
	if (io && f->ops->ports_moved)
		f->ops->ports_moved(f, b->at, false);
}

static int remains_write(void *o, u64 off, const void *d, unsigned int len)
{
	(void)o;
	(void)off;
	(void)d;
	(void)len;
	return 0;
}

static const struct io_ops remains_ops = {
	.read = ports_read,
	.write = remains_write,
};

/* Return: whether there was something in @size bytes from @at on */
static bool bury(struct pci_bus *bus, u64 at, u64 size)
{
	const unsigned int nr = bus->nr_remains;

	bus->nr_remains = 0;
	for (unsigned int i = 0; i < nr; i++) {
		const struct pci_remains r = bus->remains[i];

		if (at < r.at + r.size && r.at < at + size)
			io_bus_unregister(bus->p.mmio, r.at);
		else
			bus->remains[bus->nr_remains++] = r;
	}
	return bus->nr_remains != nr;
}

/* What was mapped for @b is not any more. */
static void leave_remains(struct pci_bus *bus, const struct pci_bar *b)
{
	if (bus->nr_remains == ARRAY_SIZE(bus->remains))
		bury(bus, bus->remains[0].at, bus->remains[0].size);
	if (!io_bus_register(bus->p.mmio, b->at, b->size, &remains_ops, NULL))
		bus->remains[bus->nr_remains++] = (struct pci_remains){ b->at, b->size };
}

static void bar_map(struct pci_function *f, struct pci_bar *b, u64 at)
{
	bool io = b == &f->ports;

	/* Somebody is there already: try again at the next change. */
	while (io_bus_register(io ? f->bus->p.pio : f->bus->p.mmio, at, b->size,
			       io ? &pci_ports_ops : &pci_bar_ops, f))
		if (io || !bury(f->bus, at, b->size))
			return;
	b->at = at;
	b->mapped = true;
	if (io && f->ops->ports_moved)
		f->ops->ports_moved(f, at, true);
}

static void bar_leave(struct pci_function *f, struct pci_bar *b)
{
	u64 at = 0;

	if (b->mapped && (!bar_wanted(f, b, &at) || at != b->at))
		bar_unmap(f, b);
}

static void bar_come(struct pci_function *f, struct pci_bar *b)
{
	u64 at = 0;

	if (!b->mapped && bar_wanted(f, b, &at))
		bar_map(f, b, at);
}

static void each_bar(struct pci_bus *bus,
		     void (*step)(struct pci_function *f, struct pci_bar *b))
{
	for (unsigned int i = 0; i < PCI_MAX_FUNCTIONS; i++) {
		struct pci_function *f = bus->function[i];

		if (!f)
			continue;
		step(f, &f->bar);
		step(f, &f->ports);
	}
}

/* First all that leave, then all that come: they may swap places. */
static void pci_update_bars(struct pci_bus *bus)
{
	pthread_mutex_lock(&bus->move_lock);
	each_bar(bus, bar_leave);
	each_bar(bus, bar_come);
	pthread_mutex_unlock(&bus->move_lock);
}

/* INTx */

/* Drive the pin from the registers. With @f->lock held. */
static void pci_intx_update(struct pci_function *f)
{
	bool off = f->config[PCI_COMMAND + 1] & (PCI_COMMAND_INTX_DISABLE >> 8);

	if (f->intx_level)
		f->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	else
		f->config[PCI_STATUS] &= (u8)~PCI_STATUS_INTERRUPT;
	irq_line_set(&f->line, f->intx_level && !off && !msix_is_enabled(f));
}

void pci_intx_set(struct pci_function *f, bool level)
{
	pthread_mutex_lock(&f->lock);
	f->intx_level = level;
	pci_intx_update(f);
	pthread_mutex_unlock(&f->lock);
}

unsigned int pci_irq_gsi(const struct pci_bus *bus, unsigned int slot,
			 unsigned int pin)
{
	return bus->p.intx_gsi[(slot + pin) & 3];
}

/* Configuration space */

static bool overlaps(unsigned int off, unsigned int len, unsigned int start,
		     unsigned int size)
{
	return off < start + size && start < off + len;
}

static void function_read(struct pci_function *f, unsigned int off, u8 *d,
			  unsigned int len)
{
	memset(d, 0, len);
	if (off >= PCI_CONFIG_SIZE)
		return;
	len = MIN(len, PCI_CONFIG_SIZE - off);
	if (f->ops->config_read)
		f->ops->config_read(f, off, len);
	pthread_mutex_lock(&f->lock);
	memcpy(d, f->config + off, len);
	pthread_mutex_unlock(&f->lock);
}

static void function_write(struct pci_function *f, unsigned int off,
			   const u8 *d, unsigned int len)
{
	if (off >= PCI_CONFIG_SIZE)
		return;
	len = MIN(len, PCI_CONFIG_SIZE - off);
	pthread_mutex_lock(&f->lock);
	for (unsigned int i = 0; i < len; i++) {
		u8 mask = f->writable[off + i];

		f->config[off + i] = (u8)((f->config[off + i] & ~mask) |
					  (d[i] & mask));
	}
	if (f->nr_msix && overlaps(off, len, f->msix_cap + PCI_MSIX_FLAGS, 2))
		msix_update(f);
	pci_intx_update(f);
	pthread_mutex_unlock(&f->lock);
	if (overlaps(off, len, PCI_COMMAND, 2) ||
	    overlaps(off, len, PCI_BASE_ADDRESS_0, 8))
		pci_update_bars(f->bus);
	if (f->ops->config_write)
		f->ops->config_write(f, off, len);
}

/* Context: a vCPU. Return: NULL for what is not there, or is there no more. */
static struct pci_function *visible(const struct pci_bus *bus, u64 devfn)
{
	if (__atomic_load_n(&bus->hidden_slots, __ATOMIC_ACQUIRE) &
	    BIT(devfn >> 3))
		return NULL;
	return bus->function[devfn];
}

/* Nothing is at @devfn: who is after the vendor's register sees that. */
static int absent_read(struct pci_bus *bus, unsigned int devfn, unsigned int reg)
{
	if (!(devfn & 7) && reg < 4)
		__atomic_fetch_and(&bus->stale_slots, ~BIT(devfn >> 3),
				   __ATOMIC_RELAXED);
	return -ENODEV;
}

static int ecam_read(void *o, u64 off, void *d, unsigned int len)
{
	struct pci_bus *bus = o;
	unsigned int devfn = off / PCI_ECAM_FUNCTION;
	unsigned int reg = off % PCI_ECAM_FUNCTION;
	struct pci_function *f = visible(bus, devfn);

	if (!f)
		return absent_read(bus, devfn, reg);
	if (len > PCI_ECAM_FUNCTION - reg)
		return -ENODEV;
	function_read(f, reg, d, len);
	return 0;
}

static int ecam_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct pci_bus *bus = o;
	struct pci_function *f = visible(bus, off / PCI_ECAM_FUNCTION);
	unsigned int reg = off % PCI_ECAM_FUNCTION;

	if (!f || len > PCI_ECAM_FUNCTION - reg)
		return -ENODEV;
	function_write(f, reg, d, len);
	return 0;
}

static const struct io_ops pci_ecam_ops = {
	.read = ecam_read,
	.write = ecam_write,
};

/* What the address register selects. Return: whether that is of this bus */
static bool selected(struct pci_bus *bus, unsigned int *devfn, unsigned int *reg)
{
	u32 address = __atomic_load_n(&bus->address, __ATOMIC_RELAXED);

	*devfn = address >> 8 & 0xff;
	*reg = address & 0xfc;
	return address & PCI_ADDRESS_ENABLE && !(address >> 16 & 0xff);
}

static int port_read(void *o, u64 off, void *d, unsigned int len)
{
	struct pci_bus *bus = o;
	struct pci_function *f;
	unsigned int devfn, reg;

	if (off >= PCI_PORT_DATA) {
		if (!selected(bus, &devfn, &reg))
			return -ENODEV;
		f = visible(bus, devfn);
		if (!f)
			return absent_read(bus, devfn, reg);
		function_read(f, reg + (unsigned int)(off - PCI_PORT_DATA), d,
			      len);
		return 0;
	}
	if (off == 0 && len == 4) {
		io_write_le(d, 4, __atomic_load_n(&bus->address,
						  __ATOMIC_RELAXED));
		return 0;
	}
	if (off == PCI_PORT_RESET && len == 1 && bus->p.reset_read) {
		*(u8 *)d = bus->p.reset_read(bus->p.reset_opaque);
		return 0;
	}
	return -ENODEV;
}

static int port_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct pci_bus *bus = o;
	unsigned int devfn, reg;
	struct pci_function *f;

	if (off >= PCI_PORT_DATA) {
		f = selected(bus, &devfn, &reg) ? visible(bus, devfn) : NULL;
		if (!f)
			return -ENODEV;
		function_write(f, reg + (unsigned int)(off - PCI_PORT_DATA), d,
			       len);
	} else if (off == 0 && len == 4) {
		__atomic_store_n(&bus->address, (u32)io_read_le(d, 4),
				 __ATOMIC_RELAXED);
	} else if (off == PCI_PORT_RESET && len == 1 && bus->p.reset) {
		bus->p.reset(bus->p.reset_opaque, *(const u8 *)d);
	}
	return 0;
}

static const struct io_ops pci_port_ops = {
	.read = port_read,
	.write = port_write,
};

/* The bus */

static const struct pci_function_ops bridge_ops = { 0 };

int pci_bus_create(struct pci_bus **out, const struct pci_bus_params *p)
{
	struct pci_bus *bus = calloc(1, sizeof(*bus));
	int rc;

	if (!bus)
		return -ENOMEM;
	bus->p = *p;
	bus->next_bar = p->mmio_gpa;
	bus->next_port = p->port;
	pthread_mutex_init(&bus->move_lock, NULL);
	pci_function_init(&bus->bridge, &bridge_ops, bus, 0x1b36, 0x0008,
			  PCI_CLASS_HOST_BRIDGE);
	bus->bridge.bus = bus;
	bus->function[0] = &bus->bridge;
	rc = io_bus_register(p->pio, PCI_PORT_BASE, PCI_PORT_SIZE,
			     &pci_port_ops, bus);
	if (rc)
		goto err_free;
	rc = io_bus_register(p->mmio, p->ecam_gpa, PCI_ECAM_SIZE,
			     &pci_ecam_ops, bus);
	if (rc)
		goto err_unregister_ports;
	*out = bus;
	return 0;

err_unregister_ports:
	io_bus_unregister(p->pio, PCI_PORT_BASE);
err_free:
	pthread_mutex_destroy(&bus->bridge.lock);
	pthread_mutex_destroy(&bus->move_lock);
	free(bus);
	return rc;
}

void pci_bus_destroy(struct pci_bus *bus)
{
	if (!bus)
		return;
	io_bus_unregister(bus->p.mmio, bus->p.ecam_gpa);
	io_bus_unregister(bus->p.pio, PCI_PORT_BASE);
	pthread_mutex_destroy(&bus->bridge.lock);
	pthread_mutex_destroy(&bus->move_lock);
	free(bus);
}

struct pci_function *pci_bus_function(const struct pci_bus *bus,
				      unsigned int devfn)
{
	return devfn < PCI_MAX_FUNCTIONS ? bus->function[devfn] : NULL;
}

void pci_bus_finish(struct pci_bus *bus, unsigned int spare)
{
	for (unsigned int slot = 1; slot < 32; slot++) {
		struct pci_function *f = bus->function[PCI_DEVFN_OF(slot, 0)];
		bool multi = f && f->config[PCI_HEADER_TYPE] & 0x80;

		if ((f && f->removable && !multi) || (!f && spare))
			bus->hot_slots |= BIT(slot);
		if (!f && spare)
			spare--;
	}
	bus->finished = true;
}

u32 pci_bus_hot_slots(const struct pci_bus *bus)
{
	return bus->hot_slots;
}

void pci_bus_hide(struct pci_bus *bus, u32 slots)
{
	__atomic_fetch_or(&bus->hidden_slots, slots & bus->hot_slots,
			  __ATOMIC_ACQ_REL);
}

void pci_bus_tear(struct pci_bus *bus, unsigned int slot)
{
	__atomic_fetch_or(&bus->stale_slots, BIT(slot), __ATOMIC_RELAXED);
}

/* Functions */

void pci_function_init(struct pci_function *f,
		       const struct pci_function_ops *ops, void *opaque,
		       u16 vendor, u16 device, u32 class_code)
{
	memset(f, 0, sizeof(*f));
	f->ops = ops;
	f->opaque = opaque;
	pthread_mutex_init(&f->lock, NULL);
	io_write_le(f->config + PCI_VENDOR_ID, 2, vendor);
	io_write_le(f->config + PCI_DEVICE_ID, 2, device);
	io_write_le(f->config + PCI_CLASS_REVISION + 1, 3, class_code);
	io_write_le(f->writable + PCI_COMMAND, 2, PCI_COMMAND_MEMORY |
		    PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	f->writable[PCI_INTERRUPT_LINE] = 0xff;
	f->next_cap = PCI_FIRST_CAPABILITY;
}

void pci_function_set_subsystem(struct pci_function *f, u16 vendor, u16 id)
{
	io_write_le(f->config + PCI_SUBSYSTEM_VENDOR_ID, 2, vendor);
	io_write_le(f->config + PCI_SUBSYSTEM_ID, 2, id);
}

int pci_add_capability(struct pci_function *f, u8 id, const void *body,
		       unsigned int len)
{
	unsigned int at = f->next_cap;

	if (len < 2 || len > PCI_CONFIG_SIZE - at)
		return -ENOSPC;
	f->config[at + PCI_CAP_LIST_ID] = id;
	memcpy(f->config + at + 2, body, len - 2);
	if (f->last_cap)
		f->config[f->last_cap + PCI_CAP_LIST_NEXT] = (u8)at;
	else
		f->config[PCI_CAPABILITY_LIST] = (u8)at;
	f->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	f->last_cap = at;
	f->next_cap = at + ALIGN_UP(len, 4);
	return (int)at;
}

static int find_devfn(const struct pci_bus *bus)
{
	const u32 slots = bus->finished ? bus->hot_slots &
			  ~__atomic_load_n(&bus->stale_slots, __ATOMIC_RELAXED) : ~0U;
	const unsigned int nr_fns = bus->finished ? 1 : bus->p.per_slot;

	for (unsigned int slot = 1; slot < 32; slot++) {
		for (unsigned int fn = 0; slots & BIT(slot) && fn < nr_fns; fn++) {
			if (!bus->function[PCI_DEVFN_OF(slot, fn)])
				return (int)PCI_DEVFN_OF(slot, fn);
		}
	}
	return -ENOSPC;
}

static int assign_bar(struct pci_bus *bus, struct pci_function *f)
{
	u64 gpa = ALIGN_UP(bus->next_bar, (u64)f->bar.size);

	io_write_le(f->writable + PCI_BASE_ADDRESS_0, 4,
		    ~((u64)f->bar.size - 1));
	if (bus->finished)
		return 0;
	if (f->bar.size > bus->p.mmio_size ||
	    gpa - bus->p.mmio_gpa > bus->p.mmio_size - f->bar.size)
		return -ENOSPC;
	io_write_le(f->config + PCI_BASE_ADDRESS_0, 4, gpa);
	bus->next_bar = gpa + f->bar.size;
	return 0;
}

/* All are of one size, and the window has one for each function. */
static void assign_ports(struct pci_bus *bus, struct pci_function *f)
{
	f->writable[PCI_COMMAND] |= PCI_COMMAND_IO;
	io_write_le(f->writable + PCI_BASE_ADDRESS_1, 2, ~(f->ports.size - 1));
	io_write_le(f->config + PCI_BASE_ADDRESS_1, 2,
		    PCI_BASE_ADDRESS_SPACE_IO);
	if (bus->finished)
		return;
	io_write_le(f->config + PCI_BASE_ADDRESS_1, 2,
		    bus->next_port | PCI_BASE_ADDRESS_SPACE_IO);
	bus->next_port += f->ports.size;
}

/* Function @fn has pin A..D in turn; none when the line has no place left. */
static void assign_pin(struct pci_bus *bus, struct pci_function *f)
{
	unsigned int pin = f->devfn & 3;
	unsigned int gsi = pci_irq_gsi(bus, f->devfn >> 3, pin);

	if (irq_line_init(&f->line, bus->p.irq, gsi))
		return;
	f->config[PCI_INTERRUPT_LINE] = (u8)gsi;
	f->config[PCI_INTERRUPT_PIN] = (u8)(pin + 1);
}

int pci_register(struct pci_bus *bus, struct pci_function *f)
{
	int devfn = find_devfn(bus);
	int rc;

	if (devfn < 0)
		return devfn;
	if (f->bar.size & (f->bar.size - 1) || (f->bar.size && f->bar.size < 16))
		return -EINVAL;
	f->bus = bus;
	f->devfn = (unsigned int)devfn;
	rc = msix_attach(f);
	if (rc)
		goto err_bus;
	if (f->bar.size) {
		rc = assign_bar(bus, f);
		if (rc)
			goto err_bus;
	}
	if (f->ports.size)
		assign_ports(bus, f);
	assign_pin(bus, f);
	if (devfn & 7)
		bus->function[devfn & ~7]->config[PCI_HEADER_TYPE] |=
			0x80;	/* multifunction */
	bus->function[devfn] = f;
	return 0;

err_bus:
	msix_detach(f);
	f->bus = NULL;
	return rc;
}

void pci_unregister(struct pci_function *f)
{
	if (f->bus) {
		pthread_mutex_lock(&f->bus->move_lock);
		if (f->bar.mapped) {
			bar_unmap(f, &f->bar);
			if (f->bus->stale_slots & BIT(f->devfn >> 3))
				leave_remains(f->bus, &f->bar);
		}
		if (f->ports.mapped)
			bar_unmap(f, &f->ports);
		f->bus->function[f->devfn] = NULL;
		f->bus->hidden_slots &= ~BIT(f->devfn >> 3);
		pthread_mutex_unlock(&f->bus->move_lock);
		irq_line_free(&f->line);
	}
	msix_detach(f);
	f->bus = NULL;
	pthread_mutex_destroy(&f->lock);
}

/* State */

void pci_bus_save(struct pci_bus *bus, struct state_out *out)
{
	state_put_u32(out, PCI_STATE_VERSION);
	state_put_u32(out, __atomic_load_n(&bus->address, __ATOMIC_RELAXED));
	pci_function_save(&bus->bridge, out);
}

int pci_bus_restore(struct pci_bus *bus, struct state_in *in)
{
	state_get_version(in, PCI_STATE_VERSION);
	bus->address = state_get_u32(in);
	/* A guest that begins knows of nothing. */
	if (in->fresh) {
		bus->stale_slots = 0;
		bury(bus, bus->p.mmio_gpa, bus->p.mmio_size);
	}
	return pci_function_restore(&bus->bridge, in);
}

void pci_function_save(struct pci_function *f, struct state_out *out)
{
	pthread_mutex_lock(&f->lock);
	state_put_u32(out, PCI_STATE_VERSION);
	state_put_u32(out, f->devfn);
	state_put(out, f->config, sizeof(f->config));
	state_put_u8(out, f->intx_level);
	msix_save(f, out);
	pthread_mutex_unlock(&f->lock);
}

/* Take the bits a guest could have written; the others must be the same. */
static int restore_config(struct pci_function *f, const u8 *saved)
{
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++) {
		u8 own = (u8)~f->writable[i];

		if (i == PCI_STATUS)
			own &= (u8)~PCI_STATUS_INTERRUPT;
		if ((f->config[i] ^ saved[i]) & own)
			return -EPROTO;
	}
	memcpy(f->config, saved, PCI_CONFIG_SIZE);
	return 0;
}

int pci_function_restore(struct pci_function *f, struct state_in *in)
{
	u8 saved[PCI_CONFIG_SIZE];
	u32 devfn;
	int rc;

	state_get_version(in, PCI_STATE_VERSION);
	devfn = state_get_u32(in);
	state_get(in, saved, sizeof(saved));
	if (in->err || devfn != f->devfn)
		return -EPROTO;
	pthread_mutex_lock(&f->lock);
	rc = restore_config(f, saved);
	if (!rc) {
		f->intx_level = state_get_u8(in);
		rc = msix_restore(f, in);
	}
	if (!rc) {
		msix_update(f);
		pci_intx_update(f);
	}
	pthread_mutex_unlock(&f->lock);
	if (rc)
		return -EPROTO;
	pci_update_bars(f->bus);
	return 0;
}
