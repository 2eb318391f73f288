// SPDX-License-Identifier: GPL-2.0-only
/* Other CPUs: start, topology in CPUID, IPIs to one and to all. */
#include "smp.h"

#define VECTOR	0x40
#define VECTOR_ALL 0x41

static u32 nr, hits, hits_all, checked;
static u32 sender = ~0U;

static void hit(void)
{
	__atomic_add_fetch(&hits, 1, __ATOMIC_SEQ_CST);
}

static void hit_all(void)
{
	__atomic_add_fetch(&hits_all, 1, __ATOMIC_SEQ_CST);
}

static u32 width_of(u32 n)
{
	u32 width = 0;

	while (BIT(width) < n)
		width++;
	return width;
}

/* Every leaf that tells of topology tells the same (Intel SDM, AMD APM). */
static void check_cpuid(u32 id)
{
	struct cpuid max = cpuid(0, 0), one = cpuid(1, 0), c;
	bool amd = max.ebx == 0x68747541;	/* "Auth" */

	EXPECT_EQ(one.ebx >> 24, id & 0xff);
	EXPECT_EQ(one.ebx >> 16 & 0xff, nr > 255 ? 255 : nr);
	/* HTT; some KVM sets it for one CPU, too */
	EXPECT(nr == 1 || one.edx & BIT(28));
	EXPECT(one.ecx & BIT(31));	/* hypervisor */
	EXPECT(one.ecx & BIT(21));	/* x2APIC */
	if (max.eax >= 0xb) {
		c = cpuid(0xb, 0);
		EXPECT_EQ(c.eax, 0);
		EXPECT_EQ(c.ebx, 1);
		EXPECT_EQ(c.ecx, 0x100);
		EXPECT_EQ(c.edx, id);
		c = cpuid(0xb, 1);
		EXPECT_EQ(c.eax, width_of(nr));
		EXPECT_EQ(c.ebx, nr);
		EXPECT_EQ(c.ecx, 0x201);
		EXPECT_EQ(c.edx, id);
	}
	if (amd && cpuid(0x80000000, 0).eax >= 0x8000001e) {
		c = cpuid(0x80000008, 0);
		EXPECT_EQ(c.ecx & 0xff, nr > 256 ? 255 : nr - 1);
		c = cpuid(0x8000001e, 0);
		EXPECT(!c.eax || c.eax == id);
	}
}

static void ap(u32 id)
{
	check_cpuid(id);
	__atomic_add_fetch(&checked, 1, __ATOMIC_SEQ_CST);
	/* Woken by what is sent to it, so that hundreds need no time. */
	for (;;) {
		irq_halt();
		if (sender == id) {
			sender = ~0U;
			apic_send(0, VECTOR);
		}
	}
}

int main(void)
{
	bool x2apic = !option_is("apic", "mmio");
	u32 before;

	nr = (u32)option_number("cpus", 1);
	irq_set(VECTOR, hit);
	irq_set(VECTOR_ALL, hit_all);
	apic_enable(x2apic);
	EXPECT_EQ(apic_id(), 0);
	check_cpuid(0);
	smp_start(nr, x2apic, ap);
	WAIT(checked == nr - 1);
	irq_enable();
	for (u32 id = 0; id < nr; id++) {
		before = hits;
		sender = id;
		apic_send(id, VECTOR);
		/* There, and back again */
		WAIT(hits == before + (id ? 2 : 1));
	}
	apic_send(0, VECTOR_ALL | 3 << 18);	/* all but this one */
	WAIT(hits_all == nr - 1);
	print("%u CPUs\n", nr);
	return 0;
}
