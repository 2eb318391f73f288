/* SPDX-License-Identifier: GPL-2.0-only */
/* What an architecture does for the rest; implemented by x86/ and its like. */
#ifndef KVM__ARCH_H
#define KVM__ARCH_H

#include "kvm/kvm-cpu.h"

/** arch_vm_create() - RAM layout and memslots, then irqchip, then routing */
int arch_vm_create(struct kvm *kvm, struct report *r);
/** arch_vm_destroy() - devices and vCPUs are gone by then; accepts a half-built VM */
void arch_vm_destroy(struct kvm *kvm);
/** arch_platform_init() - the fixed devices, before virtio ones */
int arch_platform_init(struct kvm *kvm, struct report *r);
/** arch_add_virtio() - the next place for @dev, a virtio device */
int arch_add_virtio(struct kvm *kvm, struct device *dev, struct report *r);
/** arch_platform_finish() - tables, once the devices are known */
int arch_platform_finish(struct kvm *kvm, struct report *r);
/**
 * arch_plugged() - tell the guest that @dev has come
 * arch_unplug_ask() - ask the guest to let go of @dev; may be said again
 * arch_released() - whether the guest let go of it since it was asked
 * arch_unplug() - @dev is about to go; a guest that did not let go of it is
 *	told to look, as soon as it runs. Context: no vCPU runs
 *
 * Return: 0, -EOPNOTSUPP for what stays as long as the VM.
 */
int arch_plugged(struct kvm *kvm, const struct device *dev);
int arch_unplug_ask(struct kvm *kvm, const struct device *dev);
bool arch_released(const struct kvm *kvm, const struct device *dev);
int arch_unplug(struct kvm *kvm, const struct device *dev);
/** arch_load() - kernel, initrd and command line into guest memory */
int arch_load(struct kvm *kvm, struct report *r);
/**
 * arch_reset() - interrupt controllers, timer and vCPUs as before a guest ran, and
 *	tables, kernel and initrd in memory
 */
int arch_reset(struct kvm *kvm, struct report *r);
/** arch_cpu_init() - CPUID, MSRs, registers; on the vCPU's thread or before */
int arch_cpu_init(struct kvm_cpu *cpu, struct report *r);
/** arch_cpu_exit() - an exit that is not I/O. 1 go on, 0 stop this vCPU */
int arch_cpu_exit(struct kvm_cpu *cpu);
/** arch_cpu_describe() - registers and bytes at the instruction pointer */
void arch_cpu_describe(struct kvm_cpu *cpu, char *buf, size_t size);
/** arch_audit() - AUDIT_ARCH_ value of this program's own system calls */
u32 arch_audit(void);
/** arch_images - where kernel builds leave images, the best first, then NULL */
extern const char *const arch_images[];
/**
 * arch_image_release() - where a boot image says which release it is
 * @head: its first @len bytes
 * Return: text in @head that may not end; NULL when it does not say.
 */
const char *arch_image_release(const u8 *head, size_t len);

#endif
