// SPDX-License-Identifier: GPL-2.0-only
/*
 * MTRRs, PAT and the like, and the pins of the boot CPU's local APIC, hold what a
 * kernel expects of firmware; MSRs on all CPUs.
 */
#include "smp.h"

#define MSR_APIC_BASE	0x1b

static u32 checked;

static void check(u32 id)
{
	u64 def = rdmsr(0x2ff);

	/* MTRRs on, write-back */
	EXPECT_EQ(def & 0xcff, 0x806);
	EXPECT_EQ(rdmsr(0x277), 0x0007040600070406ULL);	/* PAT at reset */
	wrmsr(0x277, 0x0007010600070106ULL);
	EXPECT_EQ(rdmsr(0x277), 0x0007010600070106ULL);
	EXPECT(!(rdmsr(MSR_APIC_BASE) & BIT(8)) == !!id);	/* boot CPU */
	/* fast strings; no branch trace store, which there is none of */
	EXPECT_EQ(rdmsr(0x1a0) & 0x801, 0x801);
	__atomic_add_fetch(&checked, 1, __ATOMIC_SEQ_CST);
}

int main(void)
{
	u32 nr = (u32)option_number("cpus", 1);

	EXPECT_EQ(apic_read(APIC_LINT0), 0x700);	/* ExtINT */
	EXPECT_EQ(apic_read(APIC_LINT1), 0x400);	/* NMI */
	check(0);
	apic_enable(true);
	smp_start(nr, true, check);
	WAIT(checked == nr);
	print("%u CPUs\n", nr);
	return 0;
}
