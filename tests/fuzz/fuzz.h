/* SPDX-License-Identifier: GPL-2.0-only */
/* What libFuzzer calls, under a name of ours. */
#ifndef KVM__FUZZ_H
#define KVM__FUZZ_H

#include "kvm/types.h"

/** fuzz_one() - try one input. Return: 0; whatever is wrong aborts */
int fuzz_one(const u8 *data, size_t len) asm("LLVMFuzzerTestOneInput");

#endif
