// SPDX-License-Identifier: GPL-2.0-only
/*
 * The x86 machine: memory map, interrupt controllers, fixed devices.
 *
 * Theory of operation: assembly of one PC-like machine. RAM lies below
 * X86_RAM_LOW_MAX and from 4 GiB on. All memslots are set before the irqchip
 * is made and the routing table is set once after it, since a memslot change
 * after either waits for a grace period. The irqchip and the PIT are KVM's.
 * GSIs 0..15 lead to both PICs and the IOAPIC (0 to pin 2), 16..23 to the
 * IOAPIC alone. All of this runs on the main thread before vCPUs exist; what
 * a guest does to the devices is theirs to survive.
 *
 * Devices come and go by ACPI, slot by slot (hw/hotplug.c). A vCPU that lets go
 * of one hides it and leaves a bit for the main thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/audit.h>

#include "kvm/arch.h"
#include "kvm/hw.h"
#include "kvm/virtio.h"
#include "x86/vm.h"
#include "x86/x86.h"

/* Free slots that devices may come to; each costs the guest's boot a little. */
#define X86_SPARE_SLOTS 12
/* The pins of an IOAPIC have destinations of 8 bits. */
#define X86_IOAPIC_CPUS 256U

static int x86_add_ram(struct kvm *kvm, u64 gpa, u64 off, u64 size,
		       struct report *r)
{
	struct kvm_userspace_memory_region slot = {
		.slot = kvm->gmem.nr,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)kvm->ram + off,
	};
	int err = gmem_add(&kvm->gmem, gpa, size, (u8 *)kvm->ram + off);

	if (err)
		return report_error(r, -err, "guest memory map");
	if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return report_error(r, errno, "KVM_SET_USER_MEMORY_REGION");
	return 0;
}

static int x86_create_memory(struct kvm *kvm, struct report *r)
{
	u64 low = MIN(kvm->ram_size, X86_RAM_LOW_MAX);
	u64 identity = X86_IDENTITY_MAP_GPA;
	int err;

	if (ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return report_error(r, errno, "KVM_SET_IDENTITY_MAP_ADDR");
	if (ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, (long)X86_TSS_GPA) < 0)
		return report_error(r, errno, "KVM_SET_TSS_ADDR");
	err = x86_add_ram(kvm, 0, 0, low, r);
	if (!err && kvm->ram_size > low)
		err = x86_add_ram(kvm, SZ_4G, low, kvm->ram_size - low, r);
	return err;
}

int x86_create_chips(int vm, unsigned int nr_cpus, struct report *r)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_enable_cap x2apic = {
		.cap = KVM_CAP_X2APIC_API,
		.args[0] = KVM_X2APIC_API_USE_32BIT_IDS |
			   KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
	};

	if (ioctl(vm, KVM_CREATE_IRQCHIP, 0L) < 0)
		return report_error(r, errno, "KVM_CREATE_IRQCHIP");
	if (ioctl(vm, KVM_CREATE_PIT2, &pit) < 0)
		return report_error(r, errno, "KVM_CREATE_PIT2");
	if (ioctl(vm, KVM_ENABLE_CAP, &x2apic) < 0 && nr_cpus > 255)
		return report_error(r, errno, "KVM_CAP_X2APIC_API");
	return 0;
}

static int x86_create_irqchip(struct kvm *kvm, struct report *r)
{
	struct kvm_irq_routing_entry e[16 + IRQ_MAX_LINES];
	unsigned int n = 0;
	int err = x86_create_chips(kvm->vm_fd, kvm->machine->nr_cpus, r);

	if (err)
		return err;
	/*
	 * Messages could have 15 bits (KVM_FEATURE_MSI_EXT_DEST_ID), but a guest
	 * that is told so uses them for pins as well, where they would be lost.
	 */
	if (kvm->machine->nr_cpus > X86_IOAPIC_CPUS &&
	    (int)kvm->machine->nr_cpus <= kvm_check_extension(kvm, KVM_CAP_MAX_VCPUS))
		vm_log(&kvm->log,
		       "Linux brings up only %u of %u CPUs: KVM's IOAPIC reaches no more",
		       X86_IOAPIC_CPUS, kvm->machine->nr_cpus);
	memset(e, 0, sizeof(e));
	for (unsigned int gsi = 0; gsi < IRQ_MAX_LINES; gsi++) {
		if (gsi < 16) {
			e[n].gsi = gsi;
			e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
			e[n].u.irqchip.irqchip = gsi < 8 ?
				KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
			e[n++].u.irqchip.pin = gsi & 7;
		}
		if (gsi == 2)
			continue;
		e[n].gsi = gsi;
		e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[n].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e[n++].u.irqchip.pin = gsi ? gsi : 2;
	}
	err = irq_chip_create(&kvm->irq, &irq_kvm_ops,
			      (void *)(intptr_t)kvm->vm_fd, e, n);
	if (err)
		return report_error(r, -err, "interrupt routing");
	err = irq_commit(kvm->irq);
	return err ? report_error(r, -err, "KVM_SET_GSI_ROUTING") : 0;
}

int arch_vm_create(struct kvm *kvm, struct report *r)
{
	int err;

	kvm->arch = calloc(1, sizeof(*kvm->arch));
	if (!kvm->arch)
		return report_error(r, ENOMEM, "virtual machine");
	kvm->arch->kept[0] = -1;
	kvm->arch->kept[1] = -1;
	err = x86_create_memory(kvm, r);
	if (!err)
		err = x86_create_irqchip(kvm, r);
	if (!err)
		err = x86_get_cpuid(kvm, r);
	return err;
}

void arch_vm_destroy(struct kvm *kvm)
{
	if (kvm->pci)
		pci_bus_destroy(kvm->pci);
	if (kvm->irq)
		irq_chip_destroy(kvm->irq);
	for (unsigned int i = 0; kvm->arch && i < 2; i++)
		if (kvm->arch->kept[i] >= 0)
			close(kvm->arch->kept[i]);
	if (kvm->arch) {
		free(kvm->arch->cpuid);
		state_out_free(&kvm->arch->fresh_pci);
	}
	free(kvm->arch);
	kvm->pci = NULL;
	kvm->irq = NULL;
	kvm->arch = NULL;
}

static void x86_hotplug_raise(void *opaque)
{
	struct kvm *kvm = opaque;

	acpi_pm_event(kvm->power_button, X86_GPE_HOTPLUG);
}

static void x86_hotplug_eject(void *opaque, u32 slots)
{
	struct kvm *kvm = opaque;

	pci_bus_hide(kvm->pci, slots);
	__atomic_fetch_or(&kvm->arch->ejected, slots, __ATOMIC_ACQ_REL);
	kvm_released(kvm);
}

static int x86_create_hotplug(struct kvm *kvm)
{
	struct hotplug_opts o = {
		.port = X86_PORT_HOTPLUG,
		.raise = x86_hotplug_raise,
		.eject = x86_hotplug_eject,
		.opaque = kvm,
	};
	int err = hotplug_create(&kvm->arch->hotplug, &kvm->hw_env, &o);

	if (!err)
		kvm_add_device(kvm, kvm->arch->hotplug);
	return err;
}

static void x86_reset_forward(void *opaque, u8 value)
{
	reset_write(opaque, value);
}

static u8 x86_reset_forward_read(void *opaque)
{
	return reset_read(opaque);
}

/* All that is on PCI from the start; see devices_add() */
static unsigned int x86_nr_virtio(const struct machine *m)
{
	return (m->console == CONSOLE_VIRTIO) + (m->control == CONTROL_VIRTIO) +
	       !!m->nr_ports + m->nr_disks + m->nr_nets + m->rng + m->balloon +
	       !!m->vsock.cid + m->nr_shares;
}

static int x86_create_pci(struct kvm *kvm, struct device *reset)
{
	struct pci_bus_params p = {
		.pio = &kvm->pio,
		.mmio = &kvm->mmio,
		.irq = kvm->irq,
		.ecam_gpa = X86_ECAM_GPA,
		.mmio_gpa = X86_PCI_MMIO_GPA,
		.mmio_size = X86_PCI_MMIO_SIZE,
		.port = X86_PCI_PORT,
		.nr_ports = X86_PCI_NR_PORTS,
		.per_slot = MAX(x86_nr_virtio(kvm->machine) + 30, 31U) / 31,
		.intx_gsi = { X86_GSI_INTX, X86_GSI_INTX + 1,
			      X86_GSI_INTX + 2, X86_GSI_INTX + 3 },
		.reset = x86_reset_forward,
		.reset_read = x86_reset_forward_read,
		.reset_opaque = reset,
	};

	return pci_bus_create(&kvm->pci, &p);
}

static void x86_serial_to(struct serial_opts *o, const struct console_ops *to)
{
	o->output = to->output;
	o->wake = to->wake;
	o->opaque = to->opaque;
}

static int x86_add_serial(struct kvm *kvm)
{
	static const struct {
		const char *name;
		u16 port;
		unsigned int gsi;
	} com[] = {
		{ "serial0", 0x3f8, 4 },
		{ "serial1", 0x2f8, 3 },
		{ "serial2", 0x3e8, 4 },
		{ "serial3", 0x2e8, 3 },
	};

	/* An init that finds no virtio port comes there. */
	bool control = kvm->machine->control != CONTROL_NONE;

	for (unsigned int i = 0; i < ARRAY_SIZE(com); i++) {
		struct serial_opts o = {
			.name = com[i].name,
			.port = com[i].port,
			.gsi = com[i].gsi,
		};
		struct device *dev;
		int err;

		if (!i)
			x86_serial_to(&o, &kvm->console);
		else if (i == 1 && control)
			x86_serial_to(&o, &kvm->control);
		err = serial_create(&dev, &kvm->hw_env, &o);
		if (err)
			return err;
		kvm_add_device(kvm, dev);
		if (!i)
			kvm->console_serial = dev;
		else if (i == 1 && control)
			kvm->control_serial = dev;
	}
	return 0;
}

static int x86_add_testdev(struct kvm *kvm)
{
	const struct testdev_opts o = {
		.mmio = &kvm->mmio,
		.gmem = &kvm->gmem,
		.ram = kvm->ram_size,
		.nr_cpus = kvm->nr_cpus,
	};
	struct device *dev;
	int err = testdev_create(&dev, &kvm->hw_env, &o);

	if (!err)
		kvm_add_device(kvm, dev);
	return err;
}

int arch_platform_init(struct kvm *kvm, struct report *r)
{
	static int (*const create[])(struct device **out,
				     const struct hw_env *env) = {
		rtc_create, i8042_create, pvpanic_create, debug_exit_create,
	};
	bool pci = kvm->machine->transport == TRANSPORT_PCI;
	struct device *dev;
	int err;

	err = x86_add_serial(kvm);
	for (unsigned int i = 0; i < ARRAY_SIZE(create) && !err; i++) {
		err = create[i](&dev, &kvm->hw_env);
		if (!err)
			kvm_add_device(kvm, dev);
	}
	if (!err)
		err = acpi_pm_create(&dev, &kvm->hw_env, X86_GSI_SCI);
	if (!err) {
		kvm_add_device(kvm, dev);
		kvm->power_button = dev;
		err = pci ? reset_create_forwarded(&dev, &kvm->hw_env) :
			    reset_create(&dev, &kvm->hw_env);
	}
	if (!err) {
		kvm_add_device(kvm, dev);
		if (pci)
			err = x86_create_pci(kvm, dev);
		if (!err && pci)
			err = x86_create_hotplug(kvm);
		kvm->virtio_env.pci = kvm->pci;
	}
	if (!err && kvm->machine->testdev)
		err = x86_add_testdev(kvm);
	return err ? report_error(r, -err, "platform devices") : 0;
}

int arch_add_virtio(struct kvm *kvm, struct device *d, struct report *r)
{
	/* Those of ISA that nothing else has: the MP table lists no others. */
	static const u8 gsis[] = { 5, 10, 11, 14, 15, 6 };
	struct virtio_device *dev = container_of(d, struct virtio_device, dev);
	struct arch_vm *arch = kvm->arch;
	struct x86_mmio_slot *slot;
	int err;

	if (kvm->pci) {
		err = virtio_pci_attach(dev, &kvm->virtio_env);
		if (err == -ENOSPC)
			return report_error(r, 0, "%s: no PCI slot is free",
					    dev->dev.name);
		return err ? report_error(r, -err, "%s: no place on PCI",
					  dev->dev.name) : 0;
	}
	if (kvm->state != KVM_CREATED)
		return report_error(r, 0, "%s: virtio-mmio has no hotplug",
				    dev->dev.name);
	if (arch->nr_mmio == ARRAY_SIZE(arch->mmio))
		return report_error(r, 0, "%s: too many virtio-mmio devices",
				    dev->dev.name);
	slot = &arch->mmio[arch->nr_mmio];
	slot->gpa = X86_VIRTIO_MMIO_GPA +
		    arch->nr_mmio * X86_VIRTIO_MMIO_STRIDE;
	slot->gsi = gsis[arch->nr_mmio % ARRAY_SIZE(gsis)];
	err = virtio_mmio_attach(dev, &kvm->virtio_env, slot->gpa, slot->gsi);
	if (err)
		return report_error(r, -err, "%s: virtio-mmio",
				    dev->dev.name);
	arch->nr_mmio++;
	return 0;
}

/* Return: the slot of @dev if it can leave, or -EOPNOTSUPP */
static int x86_hot_slot(const struct kvm *kvm, const struct device *dev)
{
	int slot = kvm->pci ? virtio_pci_slot(dev) : -ENODEV;

	if (slot < 0 || !(pci_bus_hot_slots(kvm->pci) & BIT(slot)))
		return -EOPNOTSUPP;
	return slot;
}

int arch_plugged(struct kvm *kvm, const struct device *dev)
{
	int slot = x86_hot_slot(kvm, dev);

	if (slot < 0)
		return slot;
	hotplug_changed(kvm->arch->hotplug, slot);
	return 0;
}

int arch_unplug_ask(struct kvm *kvm, const struct device *dev)
{
	int slot = x86_hot_slot(kvm, dev);

	if (slot < 0)
		return slot;
	hotplug_ask(kvm->arch->hotplug, slot);
	return 0;
}

bool arch_released(const struct kvm *kvm, const struct device *dev)
{
	int slot = x86_hot_slot(kvm, dev);

	return slot >= 0 && BIT(slot) & __atomic_load_n(&kvm->arch->ejected,
							__ATOMIC_ACQUIRE);
}

int arch_unplug(struct kvm *kvm, const struct device *dev)
{
	int slot = x86_hot_slot(kvm, dev);
	u32 before;

	if (slot < 0)
		return slot;
	before = __atomic_fetch_and(&kvm->arch->ejected, ~BIT(slot),
				    __ATOMIC_ACQ_REL);
	hotplug_forget(kvm->arch->hotplug, slot);
	/* It does not expect that: the bridge is to look. */
	if (!(before & BIT(slot))) {
		pci_bus_tear(kvm->pci, slot);
		hotplug_changed(kvm->arch->hotplug, 0);
	}
	return 0;
}

int x86_write_tables(struct kvm *kvm, struct report *r)
{
	struct x86_tables t = {
		.gmem = &kvm->gmem,
		.nr_cpus = kvm->nr_cpus,
		.pci = kvm->pci,
		.virtio_mmio = kvm->arch->mmio,
		.nr_virtio_mmio = kvm->arch->nr_mmio,
	};
	int err = acpi_write_tables(&t, r);

	return err ? err : mptable_write(&t, r);
}

int arch_platform_finish(struct kvm *kvm, struct report *r)
{
	if (kvm->pci) {
		pci_bus_finish(kvm->pci, X86_SPARE_SLOTS);
		pci_bus_save(kvm->pci, &kvm->arch->fresh_pci);
	}
	return x86_write_tables(kvm, r);
}

/* Where devices on MMIO are is said in front of what is not for the kernel. */
static void x86_cmdline(const struct kvm *kvm, char *line, size_t size)
{
	const struct arch_vm *arch = kvm->arch;
	size_t len = 0;

	for (unsigned int i = 0; kvm->machine->mmio_params && i < arch->nr_mmio; i++)
		len += snprintf(line + len, size - len, "virtio_mmio.device=%u@%#llx:%u ",
				VIRTIO_MMIO_SIZE, (unsigned long long)arch->mmio[i].gpa,
				arch->mmio[i].gsi);
	snprintf(line + len, size - len, "%s", kvm->machine->cmdline);
}

int arch_load(struct kvm *kvm, struct report *r)
{
	char cmdline[X86_CMDLINE_MAX + X86_MAX_VIRTIO_MMIO * 40];
	struct e820 map;
	struct x86_load l = {
		.gmem = &kvm->gmem,
		.kernel = kvm->machine->kernel,
		.initrd = kvm->machine->initrd,
		.archive = kvm->machine->archive,
		.archive_len = kvm->machine->archive_len,
		.cmdline = cmdline,
		.e820 = &map,
		.acpi_rsdp = X86_ACPI_GPA,
		.kept = kvm->arch->kept,
	};

	x86_cmdline(kvm, cmdline, sizeof(cmdline));
	e820_build(&map, &kvm->gmem);
	return x86_load_image(&l, &kvm->arch->image, r);
}

u32 arch_audit(void)
{
	return AUDIT_ARCH_X86_64;
}
