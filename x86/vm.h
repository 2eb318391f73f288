/* SPDX-License-Identifier: GPL-2.0-only */
/* What x86/vm.c and x86/cpu.c share. */
#ifndef KVM__X86_VM_H
#define KVM__X86_VM_H

#include "kvm/kvm.h"
#include "x86/x86.h"

#define X86_MAX_VIRTIO_MMIO 32
#define X86_MAX_CPUID 256

/**
 * struct arch_vm - the x86 part of a VM
 * @cpuid: what KVM supports, fetched once
 * @hotplug: a device, NULL without PCI
 * @ejected: slots that the guest let go of, a bit for each; atomic
 */
struct arch_vm {
	struct x86_mmio_slot mmio[X86_MAX_VIRTIO_MMIO];
	unsigned int nr_mmio;
	struct x86_image image;
	struct kvm_cpuid2 *cpuid;
	bool tsc_deadline;
	struct device *hotplug;
	u32 ejected;
};

/** x86_get_cpuid() - KVM_GET_SUPPORTED_CPUID into kvm->arch */
int x86_get_cpuid(struct kvm *kvm, struct report *r);

#endif
