/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__CLOCK_H
#define KVM__CLOCK_H

#include <limits.h>
#include "kvm/types.h"

#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_SEC 1000000000ULL

/** now_ns() - CLOCK_MONOTONIC in nanoseconds; any thread */
u64 now_ns(void);

/** now_ms() - the same in milliseconds */
static inline u64 now_ms(void)
{
	return now_ns() / NSEC_PER_MSEC;
}

/**
 * ms_left() - until now_ns() is @end_ns, for poll(2) and its like
 *
 * Return: milliseconds, rounded up: 0 only once it is over.
 */
static inline int ms_left(u64 end_ns)
{
	u64 now = now_ns();
	u64 ms = now < end_ns ? (end_ns - now - 1) / NSEC_PER_MSEC + 1 : 0;

	return MIN(ms, INT_MAX);
}

#endif
