/* SPDX-License-Identifier: GPL-2.0-only */
/* Why a VM ends. */
#ifndef KVM__END_H
#define KVM__END_H

#include "kvm/types.h"

/**
 * enum vm_end - why a guest wants to end; see vm_end_fn
 * @VM_END_NONE: it does not
 * @VM_END_POWEROFF: it powered off, by ACPI or the like
 * @VM_END_RESET: it reset itself
 * @VM_END_TRIPLE_FAULT: a vCPU of it did
 * @VM_END_PANIC: its kernel says that it panicked
 * @VM_END_DEBUG_EXIT: it wrote to the port for that
 * @VM_END_TIMEOUT: its time is up
 * @VM_END_USER: the user ended it, or a signal
 * @VM_END_ERROR: KVM or lkvm cannot go on with it
 * @VM_END_REPORTED: its init has said how its command ended
 */
enum vm_end {
	VM_END_NONE,
	VM_END_POWEROFF,
	VM_END_RESET,
	VM_END_TRIPLE_FAULT,
	VM_END_PANIC,
	VM_END_DEBUG_EXIT,
	VM_END_TIMEOUT,
	VM_END_USER,
	VM_END_ERROR,
	VM_END_REPORTED,
};

/**
 * typedef vm_end_fn - a device's way to end the VM
 * @opaque: the VM's, of struct hw_env
 * @end: why
 * @code: for VM_END_DEBUG_EXIT the value written, for VM_END_USER the signal or 0
 *
 * Context: any thread; the first call wins.
 */
typedef void (*vm_end_fn)(void *opaque, enum vm_end end, u32 code);

#endif
