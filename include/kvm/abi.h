/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What lkvm knows of KVM's ABI, by number. The rows are in abi.def, which
 * make abi-check compares with the headers of a kernel.
 */
#ifndef KVM__ABI_H
#define KVM__ABI_H

#include "kvm/types.h"

/**
 * struct abi_row - a number that KVM gives
 * @name: as in <linux/kvm.h>
 * @why: for what is ignored, the reason; for an internal error, the words for
 *	the user
 */
struct abi_row {
	u32 nr;
	const char *name;
	const char *why;
};

/**
 * abi_exit() - an exit reason, KVM_EXIT_*
 * abi_suberror() - of KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_*
 * abi_event() - of KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_*
 *
 * Return: its row; NULL for what is newer than the table.
 */
const struct abi_row *abi_exit(u32 nr);
const struct abi_row *abi_suberror(u32 nr);
const struct abi_row *abi_event(u32 nr);

/**
 * abi_required_cap() - a capability without which lkvm does not run
 * @i: which, from 0 on
 *
 * Return: its row, whose text says what it is for; NULL behind the last.
 */
const struct abi_row *abi_required_cap(unsigned int i);

#endif
