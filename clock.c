// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation: one clock for all that waits or times out. It runs on while
 * the host's time is set, and stands while the host sleeps. No state, no locks.
 */
#include <time.h>

#include "kvm/clock.h"

u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}
