/* SPDX-License-Identifier: GPL-2.0-only */
/* The other CPUs. */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include "irq.h"

/**
 * smp_start() - start CPUs with APIC ids 1 to @nr - 1, and wait for them
 * @ap: runs on each of them, with its APIC id; with interrupts off. Each
 *	counts as up before it is called, and halts when it returns.
 *
 * Needs apic_enable() before, and uses the same mode on the others.
 */
void smp_start(unsigned int nr, bool x2apic, void (*ap)(u32 id));

#endif
