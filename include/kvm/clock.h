/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__CLOCK_H
#define KVM__CLOCK_H

#include "kvm/types.h"

/** now_ns() - CLOCK_MONOTONIC in nanoseconds; any thread */
u64 now_ns(void);

#endif
