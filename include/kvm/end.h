/* SPDX-License-Identifier: GPL-2.0-only */
/* Why a VM ends. */
#ifndef KVM__END_H
#define KVM__END_H

#include "kvm/types.h"

/**
 * enum vm_end - why a guest wants to end; see vm_end_fn
 *
 * VM_END_REPORTED: its init has said how its command ended.
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
 * @code: for VM_END_DEBUG_EXIT the value written
 * Context: any thread; the first call wins.
 */
typedef void (*vm_end_fn)(void *opaque, enum vm_end end, u32 code);

#endif
