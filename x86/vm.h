/* SPDX-License-Identifier: GPL-2.0-only */
/* What x86/vm.c, x86/cpu.c and x86/reset.c share. */
#ifndef KVM__X86_VM_H
#define KVM__X86_VM_H

#include "kvm/kvm.h"
#include "x86/x86.h"

#define X86_MAX_VIRTIO_MMIO MACHINE_MAX_MMIO
#define X86_MAX_CPUID 256

/**
 * struct arch_vm - the x86 part of a VM
 * @cpuid: what KVM supports, fetched once
 * @fresh_pci: the bus before a guest could do anything, its devices' functions aside
 * @kept: the descriptors of kernel and initrd, or -1
 * @hotplug: a device, NULL without PCI
 * @ejected: slots that the guest let go of, a bit for each; atomic
 */
struct arch_vm {
	struct x86_mmio_slot mmio[X86_MAX_VIRTIO_MMIO];
	unsigned int nr_mmio;
	struct x86_image image;
	struct kvm_cpuid2 *cpuid;
	bool tsc_deadline;
	struct state_out fresh_pci;
	int kept[2];
	struct device *hotplug;
	u32 ejected;
};

/** x86_get_cpuid() - KVM_GET_SUPPORTED_CPUID into kvm->arch */
int x86_get_cpuid(struct kvm *kvm, struct report *r);
/** x86_set_cpuid() - that, made to fit, for @cpu: its kvm, id and fd are used */
int x86_set_cpuid(struct kvm_cpu *cpu, struct report *r);
/** x86_cpu_boot() - what a new @cpu begins with, its CPUID aside */
int x86_cpu_boot(struct kvm_cpu *cpu, struct report *r);
/** x86_create_chips() - interrupt controllers and timer of VM @vm, before vCPUs */
int x86_create_chips(int vm, unsigned int nr_cpus, struct report *r);
/** x86_write_tables() - ACPI's and the MP table, once all devices are there */
int x86_write_tables(struct kvm *kvm, struct report *r);

#endif
