// SPDX-License-Identifier: GPL-2.0-only
/* The clock of KVM, and that CPUID names KVM. */
#include "guest.h"

#define MSR_WALL_CLOCK	0x4b564d00
#define MSR_SYSTEM_TIME	0x4b564d01

struct time_info {
	u32 version;
	u32 pad0;
	u64 tsc;
	u64 system_time;
	u32 mul;
	signed char shift;
	u8 flags;
	u8 pad[2];
};

static u64 now(struct time_info *t)
{
	u64 delta, ns;
	u32 version;

	do {
		version = t->version;
		barrier();
		delta = rdtsc() - t->tsc;
		if (t->shift < 0)
			delta >>= -t->shift;
		else
			delta <<= t->shift;
		ns = t->system_time +
		     ((delta >> 32) * t->mul) + ((delta & 0xffffffff) * t->mul >> 32);
		barrier();
	} while (version & 1 || version != t->version);
	return ns;
}

int main(void)
{
	struct cpuid c = cpuid(0x40000000, 0);
	struct time_info *t = page_alloc(1);
	u32 *wall = page_alloc(1);
	u64 first, last;

	EXPECT_EQ(c.ebx, 0x4b4d564b);	/* KVMK */
	EXPECT(cpuid(0x40000001, 0).eax & BIT(3));
	wrmsr(MSR_WALL_CLOCK, (u64)wall);
	EXPECT(wall[1] > 1700000000);
	wrmsr(MSR_SYSTEM_TIME, (u64)t | 1);
	EXPECT(t->version && t->mul);
	first = now(t);
	for (unsigned int i = 0; i < 1000; i++) {
		last = now(t);
		EXPECT(last >= first);
		first = last;
	}
	return 0;
}
