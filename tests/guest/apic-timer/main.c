// SPDX-License-Identifier: GPL-2.0-only
/* The local APIC's timer: one shot, periodic, TSC deadline. */
#include "irq.h"

#define VECTOR 0x50

static u32 ticks;

static void tick(void)
{
	ticks++;
}

/* Return: whether the interrupt was not early */
static bool deadline(void)
{
	u64 end;

	ticks = 0;
	end = rdtsc() + 20000000;
	wrmsr(MSR_TSC_DEADLINE, end);
	while (!ticks)
		irq_wait();
	return rdtsc() >= end;
}

int main(void)
{
	bool x2apic = !option_is("apic", "mmio");
	u64 may = option_number("early", 0), early = 0;

	irq_set(VECTOR, tick);
	apic_enable(x2apic);
	apic_write(APIC_DIVIDE, 0xb);	/* by 1 */
	apic_write(APIC_TIMER, VECTOR);
	apic_write(APIC_COUNT, 1000000);
	while (!ticks)
		irq_wait();
	EXPECT_EQ(ticks, 1);
	EXPECT_EQ(apic_read(APIC_CURRENT), 0);

	ticks = 0;
	apic_write(APIC_TIMER, VECTOR | APIC_PERIODIC);
	apic_write(APIC_COUNT, 2000000);
	while (ticks < 5)
		irq_wait();
	apic_write(APIC_COUNT, 0);
	apic_write(APIC_TIMER, APIC_MASKED);

	if (!(cpuid(1, 0).ecx & BIT(24)))
		fail(__FILE__, __LINE__, "no TSC deadline timer");
	apic_write(APIC_TIMER, VECTOR | APIC_DEADLINE);
	full_barrier();
	while (!deadline() && ++early <= may)
		;
	EXPECT(early <= may);
	EXPECT_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	/* What is past fires at once. */
	ticks = 0;
	wrmsr(MSR_TSC_DEADLINE, 1);
	while (!ticks)
		irq_wait();
	return 0;
}
