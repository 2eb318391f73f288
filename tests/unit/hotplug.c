// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of devices that come and go.
 *
 * Theory of operation: first the registers alone, with their event. Then a VM
 * without vCPUs, on interrupts that reach nothing: a guest's accesses are made
 * through the buses, as the methods of the DSDT and a driver would.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>

#include "kvm/arch.h"
#include "kvm/disk.h"
#include "kvm/hw.h"
#include "kvm/virtio.h"
#include "x86/vm.h"
#include "fds.h"
#include "irqchip.h"
#include "test.h"

#define PORT X86_PORT_HOTPLUG
#define CHANGED PORT
#define ASKED (PORT + 4)
#define EJECT (PORT + 8)
#define GPE_STS X86_PORT_GPE0
#define GPE_EN (X86_PORT_GPE0 + 1)

static u32 in(struct io_bus *bus, u64 addr, unsigned int len)
{
	u8 d[4];

	io_bus_read(bus, addr, d, len);
	return (u32)io_read_le(d, len);
}

static void out(struct io_bus *bus, u64 addr, u32 v, unsigned int len)
{
	u8 d[4];

	io_write_le(d, len, v);
	io_bus_write(bus, addr, d, len);
}

/* The registers */

struct regs {
	struct io_bus bus;
	struct hw_env env;
	struct device *dev;
	unsigned int raised;
	u32 ejected;
};

static void raise_event(void *o)
{
	((struct regs *)o)->raised++;
}

static void eject(void *o, u32 slots)
{
	((struct regs *)o)->ejected |= slots;
}

static int regs_make(struct regs *r)
{
	struct hotplug_opts o = { PORT, raise_event, eject, r };

	memset(r, 0, sizeof(*r));
	io_bus_init(&r->bus);
	r->env.pio = &r->bus;
	return hotplug_create(&r->dev, &r->env, &o);
}

static void regs_end(struct regs *r)
{
	r->dev->ops->destroy(r->dev);
	io_bus_destroy(&r->bus);
}

TEST(hotplug_registers_clear_as_they_are_read)
{
	struct regs r;

	EXPECT(!regs_make(&r));
	hotplug_changed(r.dev, 3);
	hotplug_changed(r.dev, 31);
	hotplug_ask(r.dev, 4);
	EXPECT(r.raised == 3);
	/* Other widths and places take nothing. */
	EXPECT(in(&r.bus, CHANGED, 1) == 0 && in(&r.bus, CHANGED + 2, 2) == 0);
	EXPECT(in(&r.bus, CHANGED + 1, 4) == 0);
	EXPECT(in(&r.bus, CHANGED, 4) == (BIT(3) | BIT(31)));
	EXPECT(in(&r.bus, CHANGED, 4) == 0);
	EXPECT(in(&r.bus, ASKED, 4) == BIT(4));
	EXPECT(in(&r.bus, ASKED, 4) == 0);
	EXPECT(in(&r.bus, EJECT, 4) == BIT(4));
	regs_end(&r);
}

TEST(hotplug_ejects_only_what_was_asked_for)
{
	struct regs r;

	EXPECT(!regs_make(&r));
	out(&r.bus, EJECT, ~0U, 4);
	EXPECT(!r.ejected);
	hotplug_ask(r.dev, 5);
	hotplug_ask(r.dev, 6);
	hotplug_forget(r.dev, 6);
	out(&r.bus, EJECT, ~0U, 2);
	out(&r.bus, ASKED, ~0U, 4);
	out(&r.bus, CHANGED, ~0U, 4);
	EXPECT(!r.ejected);
	out(&r.bus, EJECT, ~0U, 4);
	EXPECT(r.ejected == BIT(5));
	r.ejected = 0;
	out(&r.bus, EJECT, ~0U, 4);
	EXPECT(!r.ejected && !in(&r.bus, ASKED, 4) && !in(&r.bus, EJECT, 4));
	regs_end(&r);
}

TEST(hotplug_state_survives)
{
	struct state_out so = { 0 }, fresh = { 0 };
	struct state_in si;
	struct regs r;

	EXPECT(!regs_make(&r));
	EXPECT(!r.dev->ops->save(r.dev, &fresh));
	hotplug_changed(r.dev, 1);
	hotplug_ask(r.dev, 2);
	EXPECT(!r.dev->ops->save(r.dev, &so));
	in(&r.bus, CHANGED, 4);
	out(&r.bus, EJECT, ~0U, 4);
	si = (struct state_in){ .buf = so.buf, .len = so.len };
	EXPECT(!r.dev->ops->restore(r.dev, &si));
	EXPECT(in(&r.bus, CHANGED, 4) == BIT(1));
	EXPECT(in(&r.bus, ASKED, 4) == BIT(2));
	si = (struct state_in){ .buf = so.buf, .len = so.len - 1 };
	EXPECT(r.dev->ops->restore(r.dev, &si));
	r.ejected = 0;
	/* Who starts over lets go; nobody waits for the next guest to do so. */
	si = (struct state_in){ .fresh = true, .buf = fresh.buf, .len = fresh.len };
	EXPECT(!r.dev->ops->restore(r.dev, &si));
	EXPECT(r.ejected == BIT(2));
	EXPECT(!in(&r.bus, ASKED, 4) && !in(&r.bus, EJECT, 4));
	/* Asked for, and yet not wanted */
	so.buf[so.len - 4] = 0;
	si = (struct state_in){ .buf = so.buf, .len = so.len };
	EXPECT(r.dev->ops->restore(r.dev, &si) == -EPROTO);
	state_out_free(&fresh);
	state_out_free(&so);
	regs_end(&r);
}

/* A VM without vCPUs */

struct vm {
	struct kvm kvm;
	struct machine machine;
	struct report r;
	struct fake_irqs irqs;
	unsigned int ioeventfds;
	unsigned int fds;
};

static u8 ram[SZ_1M] __aligned(4096);

static int fake_ioeventfd(void *o, int fd, u64 addr, u32 len, u32 value,
			  bool port, bool on)
{
	(void)fd;
	(void)addr;
	(void)len;
	(void)value;
	(void)port;
	((struct vm *)o)->ioeventfds += on ? 1U : -1U;
	return 0;
}

static struct virtio_device *make_disk(struct vm *v, const char *name)
{
	struct disk_opts opts = {
		.path = "disk", .readonly = true, .engine = DISK_ENGINE_THREADS,
		.has_fd = true, .fd = memfd_create("disk", MFD_CLOEXEC),
	};
	struct virtio_blk_opts o = { .nr_queues = 1 };
	struct virtio_device *dev = NULL;

	if (pwrite(opts.fd, "\177ELF", 4, 0) == 4 && !ftruncate(opts.fd, SZ_1M) &&
	    !disk_open(&o.disk, &opts, &v->r))
		virtio_device_create(&dev, &virtio_blk_class, name, &o,
				     &v->kvm.virtio_env, &v->r);
	return dev;
}

/* With a disk and a source of entropy from the start */
static int vm_make_on(struct vm *v, enum machine_transport transport)
{
	static const char *const name[] = { "disk0", "rng" };
	struct virtio_device *dev;
	struct kvm *kvm = &v->kvm;
	int err;

	memset(v, 0, sizeof(*v));
	v->fds = open_files();
	v->machine.transport = transport;
	kvm->machine = &v->machine;
	kvm->devices_tail = &kvm->devices;
	kvm->release_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	kvm->nr_cpus = 0;
	pthread_mutex_init(&kvm->lock, NULL);
	pthread_mutex_init(&kvm->cpu_lock, NULL);
	pthread_cond_init(&kvm->cpu_cond, NULL);
	io_bus_init(&kvm->pio);
	io_bus_init(&kvm->mmio);
	irq_chip_create(&kvm->irq, &fake_irq_ops, &v->irqs, NULL, 0);
	gmem_add(&kvm->gmem, 0, sizeof(ram), ram);
	kvm->arch = calloc(1, sizeof(*kvm->arch));
	kvm->arch->kept[0] = -1;
	kvm->arch->kept[1] = -1;
	kvm->hw_env = (struct hw_env){ .pio = &kvm->pio, .irq = kvm->irq };
	kvm->virtio_env = (struct virtio_env){
		.gmem = &kvm->gmem, .log = &kvm->log, .mmio = &kvm->mmio,
		.irq = kvm->irq, .ioeventfd = fake_ioeventfd,
		.ioeventfd_opaque = v,
	};
	err = arch_platform_init(kvm, &v->r);
	for (unsigned int i = 0; i < ARRAY_SIZE(name) && !err; i++) {
		dev = NULL;
		if (!i)
			dev = make_disk(v, name[i]);
		else
			virtio_device_create(&dev, &virtio_rng_class, name[i],
					     NULL, &kvm->virtio_env, &v->r);
		err = arch_add_virtio(kvm, &dev->dev, &v->r);
		kvm_add_device(kvm, &dev->dev);
	}
	if (!err)
		err = arch_platform_finish(kvm, &v->r);
	kvm->state = KVM_RUNNING;
	return err;
}

static int vm_make(struct vm *v)
{
	return vm_make_on(v, TRANSPORT_PCI);
}

static void vm_end(struct vm *v)
{
	struct device *next;

	for (struct device *d = v->kvm.devices; d; d = next) {
		next = d->next;
		kvm_free_device(d);
	}
	v->kvm.devices = NULL;
	arch_vm_destroy(&v->kvm);
	io_bus_destroy(&v->kvm.pio);
	io_bus_destroy(&v->kvm.mmio);
	close(v->kvm.release_fd);
}

static unsigned int nr_devices(const struct vm *v)
{
	unsigned int n = 0;

	for (struct device *d = v->kvm.devices; d; d = d->next)
		n++;
	return n;
}

/* The driver of the DSDT, and of a disk */

static u64 ecam(unsigned int slot, unsigned int reg)
{
	return X86_ECAM_GPA + ((u64)slot << 15) + reg;
}

static bool present(struct vm *v, unsigned int slot)
{
	return in(&v->kvm.mmio, ecam(slot, 0), 4) != ~0U;
}

static bool sci(struct vm *v)
{
	return __atomic_load_n(&v->irqs.levels, __ATOMIC_SEQ_CST) & BIT(X86_GSI_SCI);
}

/* Return: slots to look at; the event is done with */
static u32 take_event(struct vm *v, u32 *asked)
{
	out(&v->kvm.pio, GPE_EN, BIT(X86_GPE_HOTPLUG), 1);
	if (!sci(v))
		return 0;
	out(&v->kvm.pio, GPE_STS, BIT(X86_GPE_HOTPLUG), 1);
	*asked = in(&v->kvm.pio, ASKED, 4);
	return in(&v->kvm.pio, CHANGED, 4);
}

#define RINGS 0x10000U
#define DATA 0x20000U
#define QUEUE 32U
#define CHAINS (QUEUE / 3)
#define KICK 0x4000U

static void reg(struct vm *v, u64 bar, unsigned int off, unsigned int len,
		u32 value)
{
	out(&v->kvm.mmio, bar + off, value, len);
}

/* Another disk may still be at rings that are not its own any more. */
static void clear_rings(void)
{
	u64 *p = (void *)(ram + RINGS);

	for (unsigned int i = 0; i < 0x3000 / sizeof(*p); i++)
		__atomic_store_n(p + i, 0, __ATOMIC_RELAXED);
}

/* Chains of three descriptors, each of which reads a sector */
static void put_chains(void)
{
	struct vring_desc *desc = (void *)(ram + RINGS);

	for (u16 i = 0; i < CHAINS; i++) {
		u64 at = DATA + i * 0x1000;
		u16 d = i * 3;

		memset(ram + at, 0, 16);
		desc[d] = (struct vring_desc){ at, 16, VRING_DESC_F_NEXT,
					       d + 1 };
		desc[d + 1] = (struct vring_desc){
			at + 512, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
			d + 2 };
		desc[d + 2] = (struct vring_desc){ at + 16, 1,
						   VRING_DESC_F_WRITE, 0 };
	}
}

/* BARs at @bar and KICK, queue 0 at RINGS, every entry a read of a sector */
static void start_disk(struct vm *v, unsigned int slot, u64 bar)
{
	out(&v->kvm.mmio, ecam(slot, 0x10), (u32)bar, 4);
	out(&v->kvm.mmio, ecam(slot, 0x14), KICK, 4);
	out(&v->kvm.mmio, ecam(slot, 4), 7, 2);
	reg(v, bar, VIRTIO_PCI_COMMON_STATUS, 1, 3);
	reg(v, bar, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	reg(v, bar, VIRTIO_PCI_COMMON_GF, 4, 1);
	reg(v, bar, VIRTIO_PCI_COMMON_STATUS, 1, 11);
	reg(v, bar, VIRTIO_PCI_COMMON_Q_SIZE, 2, QUEUE);
	reg(v, bar, VIRTIO_PCI_COMMON_Q_DESCLO, 4, RINGS);
	reg(v, bar, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, RINGS + 0x1000);
	reg(v, bar, VIRTIO_PCI_COMMON_Q_USEDLO, 4, RINGS + 0x2000);
	reg(v, bar, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	clear_rings();
	put_chains();
	reg(v, bar, VIRTIO_PCI_COMMON_STATUS, 1, 15);
}

static void read_sectors(struct vm *v, unsigned int nr)
{
	struct vring_avail *avail = (void *)(ram + RINGS + 0x1000);

	for (u16 i = avail->idx; i < avail->idx + nr; i++)
		avail->ring[i % QUEUE] = i % CHAINS * 3;
	__atomic_store_n(&avail->idx, avail->idx + nr, __ATOMIC_RELEASE);
	out(&v->kvm.pio, KICK, 0, 2);
}

static u16 used_idx(void)
{
	struct vring_used *used = (void *)(ram + RINGS + 0x2000);

	return __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);
}

TEST(plug_is_announced_and_works)
{
	u64 bar = X86_PCI_MMIO_GPA + 0x100000;
	u32 asked = 0, slots;
	struct vm v;

	EXPECT(!vm_make(&v));
	EXPECT(pci_bus_hot_slots(v.kvm.pci) == (0x7ff8 | BIT(1)));
	EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk1")->dev, &v.r));
	EXPECT(kvm_find_device(&v.kvm, "disk1"));
	slots = take_event(&v, &asked);
	EXPECT(slots == BIT(3) && !asked && !sci(&v));
	EXPECT(present(&v, 3) && !in(&v.kvm.mmio, ecam(3, 0x10), 4));
	start_disk(&v, 3, bar);
	EXPECT(in(&v.kvm.mmio, bar + VIRTIO_PCI_COMMON_STATUS, 1) == 15);
	EXPECT(v.ioeventfds == 1);
	read_sectors(&v, 3);
	for (int i = 0; i < 5000 && used_idx() < 3; i++)
		usleep(1000);
	EXPECT(used_idx() == 3 && !memcmp(ram + DATA + 512, "\177ELF", 4));
	vm_end(&v);
	EXPECT(!v.ioeventfds && !v.irqs.irqfds && open_files() == v.fds);
}

TEST(unplug_waits_for_the_guest)
{
	char name[24] = "";
	u32 asked = 0;
	struct vm v;

	EXPECT(!vm_make(&v));
	EXPECT(kvm_unplug_ask(&v.kvm, "disk7", &v.r) == -ENODEV);
	memset(&v.r, 0, sizeof(v.r));
	EXPECT(kvm_unplug_ask(&v.kvm, "rng", &v.r) < 0 && *v.r.msg);
	EXPECT(kvm_unplug_ask(&v.kvm, "serial0", &v.r) < 0);
	EXPECT(kvm_unplug(&v.kvm, "acpi-pm", &v.r) < 0);
	EXPECT(kvm_unplug(&v.kvm, "rng", &v.r) < 0);
	/* What it was not asked for it cannot give away. */
	out(&v.kvm.pio, EJECT, ~0U, 4);
	EXPECT(!kvm_reap(&v.kvm, name) && present(&v, 1));

	EXPECT(!kvm_unplug_ask(&v.kvm, "disk0", &v.r));
	EXPECT(!kvm_unplug_ask(&v.kvm, "disk0", &v.r));
	EXPECT(!take_event(&v, &asked) && asked == BIT(1));
	EXPECT(!kvm_reap(&v.kvm, name) && present(&v, 1));
	out(&v.kvm.pio, EJECT, BIT(1), 4);
	EXPECT(!present(&v, 1) && present(&v, 2));
	EXPECT(kvm_find_device(&v.kvm, "disk0"));
	EXPECT(kvm_reap(&v.kvm, name) && !strcmp(name, "disk0"));
	EXPECT(!kvm_reap(&v.kvm, name));
	EXPECT(!kvm_find_device(&v.kvm, "disk0"));
	/* Its place is taken by the next one. */
	EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk0")->dev, &v.r));
	EXPECT(take_event(&v, &asked) == BIT(1) && present(&v, 1));
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

TEST(unplug_by_force_tells_the_bridge)
{
	u64 bar = X86_PCI_MMIO_GPA;
	u32 asked = 0;
	struct vm v;

	EXPECT(!vm_make(&v));
	start_disk(&v, 1, bar);
	read_sectors(&v, 5);
	EXPECT(!kvm_unplug_ask(&v.kvm, "disk0", &v.r));
	EXPECT(!kvm_unplug(&v.kvm, "disk0", &v.r));
	EXPECT(!present(&v, 1));
	EXPECT(take_event(&v, &asked) == BIT(0) && !asked);
	out(&v.kvm.pio, EJECT, BIT(1), 4);
	/* Linux resets it, and waits for that to be done. */
	reg(&v, bar, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	EXPECT(!in(&v.kvm.mmio, bar + VIRTIO_PCI_COMMON_STATUS, 1));
	/* Then another one may be there; and is torn out as well. */
	for (int i = 0; i < 2; i++) {
		EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk1")->dev, &v.r));
		start_disk(&v, 1, bar);
		EXPECT(in(&v.kvm.mmio, bar + VIRTIO_PCI_COMMON_STATUS, 1) == 15);
		EXPECT(!kvm_unplug(&v.kvm, "disk1", &v.r) && !present(&v, 1));
		EXPECT(!in(&v.kvm.mmio, bar + VIRTIO_PCI_COMMON_STATUS, 1));
		bar += 0x8000;
	}
	vm_end(&v);
	EXPECT(!v.ioeventfds && open_files() == v.fds);
}

static unsigned int slot_of(struct vm *v, const char *name)
{
	return (unsigned int)virtio_pci_slot(kvm_find_device(&v->kvm, name));
}

/* What Linux finds where it has not seen anything go is what was there to it. */
TEST(slot_taken_by_force_is_free_once_the_guest_has_looked)
{
	struct state_in si = { .fresh = true };
	char name[24];
	struct vm v;

	EXPECT(!vm_make(&v));
	EXPECT(!kvm_unplug(&v.kvm, "disk0", &v.r));
	EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk1")->dev, &v.r));
	EXPECT(slot_of(&v, "disk1") == 3);
	/* To look at all else is not to look. */
	out(&v.kvm.pio, 0xcf8, 0x80000804, 4);
	EXPECT(in(&v.kvm.pio, 0xcfc, 4) == ~0U && !present(&v, 4));
	EXPECT(in(&v.kvm.mmio, ecam(1, 0x1000), 4) == ~0U);
	EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk2")->dev, &v.r));
	EXPECT(slot_of(&v, "disk2") == 4);
	/* Nor is to write. */
	out(&v.kvm.pio, 0xcf8, 0x80000800, 4);
	out(&v.kvm.pio, 0xcfc, 0, 4);
	EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "more")->dev, &v.r));
	EXPECT(slot_of(&v, "more") == 5);
	EXPECT(!kvm_unplug(&v.kvm, "more", &v.r) && !present(&v, 5));
	out(&v.kvm.pio, 0xcf8, 0x80000800, 4);
	EXPECT(in(&v.kvm.pio, 0xcfc, 4) == ~0U);
	EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk3")->dev, &v.r));
	EXPECT(slot_of(&v, "disk3") == 1);

	EXPECT(!kvm_unplug(&v.kvm, "disk2", &v.r) && !present(&v, 4));
	EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk4")->dev, &v.r));
	EXPECT(slot_of(&v, "disk4") == 4);

	/* A guest that looks nowhere finds no more, until it begins anew. */
	for (unsigned int i = 5; i < 15; i++) {
		snprintf(name, sizeof(name), "disk%u", i);
		EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, name)->dev, &v.r));
		EXPECT(!kvm_unplug(&v.kvm, name, &v.r));
	}
	EXPECT(kvm_plug(&v.kvm, &make_disk(&v, "disk5")->dev, &v.r) < 0);
	EXPECT(strstr(v.r.msg, "no PCI slot"));
	si.buf = v.kvm.arch->fresh_pci.buf;
	si.len = v.kvm.arch->fresh_pci.len;
	EXPECT(!pci_bus_restore(v.kvm.pci, &si));
	EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk5")->dev, &v.r));
	EXPECT(slot_of(&v, "disk5") == 5);
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

TEST(memory_that_was_torn_out_is_zero_until_something_else_is_there)
{
	const u64 bar = X86_PCI_MMIO_GPA, other = bar + 0x8000;
	struct state_in si = { .fresh = true };
	struct vm v;

	EXPECT(!vm_make(&v));
	EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk1")->dev, &v.r));
	start_disk(&v, 1, bar);
	start_disk(&v, slot_of(&v, "disk1"), other);
	EXPECT(!kvm_unplug(&v.kvm, "disk0", &v.r) && !kvm_unplug(&v.kvm, "disk1", &v.r));
	EXPECT(!in(&v.kvm.mmio, bar + VIRTIO_PCI_COMMON_STATUS, 1));
	EXPECT(!in(&v.kvm.mmio, other + VIRTIO_PCI_COMMON_STATUS, 1));
	EXPECT(!present(&v, 1));
	EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk2")->dev, &v.r));
	start_disk(&v, 1, bar);
	EXPECT(in(&v.kvm.mmio, bar + VIRTIO_PCI_COMMON_STATUS, 1) == 15);
	EXPECT(!in(&v.kvm.mmio, other + VIRTIO_PCI_COMMON_STATUS, 1));
	si.buf = v.kvm.arch->fresh_pci.buf;
	si.len = v.kvm.arch->fresh_pci.len;
	EXPECT(!pci_bus_restore(v.kvm.pci, &si));
	EXPECT(in(&v.kvm.mmio, other + VIRTIO_PCI_COMMON_STATUS, 1) == 0xff);
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

/* The oldest makes room. */
TEST(memory_that_was_torn_out_is_of_so_many)
{
	u64 bar = X86_PCI_MMIO_GPA;
	struct vm v;

	EXPECT(!vm_make(&v));
	for (unsigned int i = 0; i < 34; i++, bar += 0x8000) {
		start_disk(&v, 1, bar);
		EXPECT(!kvm_unplug(&v.kvm, "disk0", &v.r) && !present(&v, 1));
		EXPECT(!in(&v.kvm.mmio, bar + VIRTIO_PCI_COMMON_STATUS, 1));
		EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk0")->dev, &v.r));
	}
	bar = X86_PCI_MMIO_GPA + VIRTIO_PCI_COMMON_STATUS;
	EXPECT(in(&v.kvm.mmio, bar + 0x8000, 1) == 0xff);
	EXPECT(!in(&v.kvm.mmio, bar + 2 * 0x8000, 1));
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

TEST(unplug_under_traffic_leaves_nothing)
{
	u64 bar = X86_PCI_MMIO_GPA + 0x8000;
	unsigned int devices, fds;
	char name[24];
	u32 asked = 0;
	struct vm v;

	EXPECT(!vm_make(&v));
	devices = nr_devices(&v);
	fds = open_files();
	for (unsigned int i = 0; i < 50; i++) {
		EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk1")->dev, &v.r));
		EXPECT(take_event(&v, &asked) == BIT(3));
		start_disk(&v, 3, bar);
		read_sectors(&v, 5);
		EXPECT(!kvm_unplug_ask(&v.kvm, "disk1", &v.r));
		if (i % 3)
			usleep(i * 10);
		take_event(&v, &asked);
		EXPECT(asked == BIT(3));
		read_sectors(&v, 5);
		out(&v.kvm.pio, EJECT, asked, 4);
		EXPECT(kvm_reap(&v.kvm, name) && !strcmp(name, "disk1"));
		EXPECT(in(&v.kvm.mmio, bar, 4) == ~0U);
	}
	EXPECT(nr_devices(&v) == devices && open_files() == fds);
	EXPECT(!v.ioeventfds);
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

TEST(plug_fails_when_no_slot_is_free_and_when_it_does_not_run)
{
	char name[24];
	struct vm v;

	EXPECT(!vm_make(&v));
	for (unsigned int i = 1; i <= 12; i++) {
		snprintf(name, sizeof(name), "disk%u", i);
		EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, name)->dev, &v.r));
	}
	EXPECT(kvm_plug(&v.kvm, &make_disk(&v, "disk12")->dev, &v.r) == -EEXIST);
	memset(&v.r, 0, sizeof(v.r));
	EXPECT(kvm_plug(&v.kvm, &make_disk(&v, "disk17")->dev, &v.r) < 0);
	EXPECT(strstr(v.r.msg, "no PCI slot"));
	memset(&v.r, 0, sizeof(v.r));
	v.kvm.state = KVM_STOPPED;
	EXPECT(kvm_unplug(&v.kvm, "disk3", &v.r) < 0);
	EXPECT(strstr(v.r.msg, "does not run"));
	memset(&v.r, 0, sizeof(v.r));
	EXPECT(kvm_plug(&v.kvm, &make_disk(&v, "disk18")->dev, &v.r) < 0);
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

static struct kvm *plugging;
static bool freed_while_still;

static void save_fails(struct virtio_device *dev, struct state_out *out)
{
	(void)dev;
	out->err = -ENOMEM;
}

/* kvm->lock is held for as long as vCPUs stand still. */
static void destroy_looks(struct virtio_device *dev)
{
	(void)dev;
	freed_while_still = pthread_mutex_trylock(&plugging->lock);
	if (!freed_while_still)
		pthread_mutex_unlock(&plugging->lock);
}

TEST(plug_that_fails_on_the_bus_leaves_it_while_no_cpu_runs)
{
	static const struct virtio_class class = {
		.name = "half", .id = VIRTIO_ID_RNG, .nr_queues = 1,
		.queue_max = 16, .removable = true,
		.save = save_fails, .destroy = destroy_looks,
	};
	struct virtio_device *dev;
	struct vm v;

	EXPECT(!vm_make(&v));
	plugging = &v.kvm;
	EXPECT(!virtio_device_create(&dev, &class, "half", NULL,
				     &v.kvm.virtio_env, &v.r));
	EXPECT(kvm_plug(&v.kvm, &dev->dev, &v.r) == -ENOMEM);
	EXPECT(freed_while_still && !present(&v, 3) && *v.r.msg);
	EXPECT(!kvm_find_device(&v.kvm, "half"));
	/* The lock is free again. */
	EXPECT(!kvm_plug(&v.kvm, &make_disk(&v, "disk1")->dev, &v.r));
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

TEST(plug_while_paused_starts_when_resumed)
{
	u64 bar = X86_PCI_MMIO_GPA + 0x8000;
	struct virtio_device *dev;
	struct vm v;

	EXPECT(!vm_make(&v));
	EXPECT(!kvm_pause(&v.kvm));
	dev = make_disk(&v, "disk1");
	EXPECT(!kvm_plug(&v.kvm, &dev->dev, &v.r));
	EXPECT(dev->paused);
	EXPECT(!kvm_resume(&v.kvm) && !dev->paused);
	start_disk(&v, 3, bar);
	EXPECT(!kvm_pause(&v.kvm));
	EXPECT(!kvm_unplug(&v.kvm, "disk1", &v.r));
	EXPECT(v.kvm.state == KVM_PAUSED);
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

static char said[512];

static void keep_line(void *o, const char *line)
{
	(void)o;
	snprintf(said, sizeof(said), "%s", line);
}

TEST(resume_says_what_the_host_could_not_give)
{
	struct rlimit old, none = { 0 };
	struct vm v;

	EXPECT(!vm_make(&v));
	v.kvm.log.emit = keep_line;
	start_disk(&v, 1, X86_PCI_MMIO_GPA);
	EXPECT(!kvm_pause(&v.kvm));
	EXPECT(!getrlimit(RLIMIT_NOFILE, &old));
	none.rlim_max = old.rlim_max;
	EXPECT(!setrlimit(RLIMIT_NOFILE, &none));
	EXPECT(kvm_resume(&v.kvm) == -EMFILE);
	EXPECT(!setrlimit(RLIMIT_NOFILE, &old));
	/* All else runs; and it was not the guest's fault. */
	EXPECT(v.kvm.state == KVM_RUNNING);
	EXPECT(!strcmp(said, "disk0: cannot start: Too many open files"));
	EXPECT(in(&v.kvm.mmio, X86_PCI_MMIO_GPA + VIRTIO_PCI_COMMON_STATUS, 1) &
	       VIRTIO_CONFIG_S_NEEDS_RESET);
	start_disk(&v, 1, X86_PCI_MMIO_GPA);
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

TEST(reset_takes_away_what_the_guest_was_asked_for)
{
	struct state_in in = { .fresh = true };
	struct device *d;
	char name[24] = "";
	struct vm v;

	EXPECT(!vm_make(&v));
	d = v.kvm.arch->hotplug;
	EXPECT(!kvm_keep_fresh(d));
	EXPECT(!kvm_unplug_ask(&v.kvm, "disk0", &v.r));
	in.buf = d->fresh.buf;
	in.len = d->fresh.len;
	EXPECT(!d->ops->restore(d, &in));
	/* The next guest does not find it, and who waits for it is told. */
	EXPECT(!present(&v, 1) && present(&v, 2));
	EXPECT(kvm_reap(&v.kvm, name) && !strcmp(name, "disk0"));
	EXPECT(!kvm_reap(&v.kvm, name));
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

TEST(reset_makes_the_bus_new)
{
	struct vm v;

	EXPECT(!vm_make(&v));
	v.kvm.dev_fd = -1;
	out(&v.kvm.pio, 0xcf8, 0x80000804, 4);
	out(&v.kvm.mmio, ecam(0, 0x3c), 9, 1);
	out(&v.kvm.mmio, ecam(0, 4), 6, 2);
	/* Without KVM it comes no further. */
	EXPECT(arch_reset(&v.kvm, &v.r) && strstr(v.r.msg, "reset: KVM"));
	EXPECT(in(&v.kvm.pio, 0xcf8, 4) == 0);
	EXPECT(in(&v.kvm.mmio, ecam(0, 0x3c), 1) == 0);
	EXPECT(in(&v.kvm.mmio, ecam(0, 4), 2) == 0);
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

/* Whether the MP table of a machine without PCI has @gsi, level triggered */
static bool mp_table_has(u8 gsi)
{
	const u8 entry[] = { 3, 0, 0x0d, 0, 0, gsi };

	return memmem(ram + X86_MPTABLE_GPA, 0x1000, entry, sizeof(entry));
}

TEST(devices_without_pci_have_lines_that_all_kernels_know)
{
	struct virtio_device *dev;
	struct vm v;

	EXPECT(!vm_make_on(&v, TRANSPORT_MMIO));
	v.kvm.state = KVM_CREATED;
	for (unsigned int i = 2; i < X86_MAX_VIRTIO_MMIO; i++) {
		virtio_device_create(&dev, &virtio_rng_class, "more", NULL,
				     &v.kvm.virtio_env, &v.r);
		EXPECT(!arch_add_virtio(&v.kvm, &dev->dev, &v.r));
		kvm_add_device(&v.kvm, &dev->dev);
	}
	memset(ram + X86_MPTABLE_GPA, 0, 0x10000);
	EXPECT(!arch_platform_finish(&v.kvm, &v.r));
	EXPECT(v.kvm.arch->nr_mmio == X86_MAX_VIRTIO_MMIO);
	for (unsigned int i = 0; i < X86_MAX_VIRTIO_MMIO; i++)
		EXPECT(mp_table_has(v.kvm.arch->mmio[i].gsi));
	vm_end(&v);
	EXPECT(open_files() == v.fds);
}

TEST_MAIN(T(hotplug_registers_clear_as_they_are_read),
	  T(hotplug_ejects_only_what_was_asked_for),
	  T(hotplug_state_survives),
	  T(plug_is_announced_and_works),
	  T(unplug_waits_for_the_guest),
	  T(unplug_by_force_tells_the_bridge),
	  T(slot_taken_by_force_is_free_once_the_guest_has_looked),
	  T(memory_that_was_torn_out_is_zero_until_something_else_is_there),
	  T(memory_that_was_torn_out_is_of_so_many),
	  T(unplug_under_traffic_leaves_nothing),
	  T(plug_fails_when_no_slot_is_free_and_when_it_does_not_run),
	  T(plug_that_fails_on_the_bus_leaves_it_while_no_cpu_runs),
	  T(plug_while_paused_starts_when_resumed),
	  T(resume_says_what_the_host_could_not_give),
	  T(reset_takes_away_what_the_guest_was_asked_for),
	  T(reset_makes_the_bus_new),
	  T(devices_without_pci_have_lines_that_all_kernels_know))
