// SPDX-License-Identifier: GPL-2.0-only
/* CPUID: every leaf tells the same topology, and no other leaf changes. */
#include <stdlib.h>
#include <string.h>
#include <linux/kvm.h>
#include "x86/x86.h"
#include "test.h"

#define MAX_ENTRIES 40

static void add(struct kvm_cpuid2 *c, u32 function, u32 index, u32 eax)
{
	struct kvm_cpuid_entry2 *e = &c->entries[c->nent++];

	e->function = function;
	e->index = index;
	e->eax = eax;
	e->ebx = 0x11111111;
	e->ecx = 0x22222222;
	e->edx = 0x33333333;
}

static struct kvm_cpuid2 *make(const char *vendor, u32 max_basic)
{
	struct kvm_cpuid2 *c;

	c = calloc(1, sizeof(*c) + MAX_ENTRIES * sizeof(c->entries[0]));
	add(c, 0, 0, max_basic);
	memcpy(&c->entries[0].ebx, vendor, 4);
	memcpy(&c->entries[0].edx, vendor + 4, 4);
	memcpy(&c->entries[0].ecx, vendor + 8, 4);
	add(c, 1, 0, 0x806f8);
	add(c, 4, 0, 0xfc000121 | 0x3fU << 14);
	add(c, 4, 1, 0x163);
	add(c, 4, 2, 0);
	add(c, 7, 0, 0x44);
	add(c, 0x0a, 0, 0x55);
	add(c, 0x0b, 0, 0);
	if (max_basic >= 0x1f)
		add(c, 0x1f, 0, 0);
	add(c, 0x40000000, 0, 0x40000001);
	add(c, 0x40000001, 0, 0x01007efb);
	add(c, 0x80000001, 0, 0x806f8);
	add(c, 0x80000008, 0, 0x3030);
	add(c, 0x8000001d, 0, 0x121);
	add(c, 0x8000001d, 3, 0x163);
	add(c, 0x8000001e, 0, 0x99);
	add(c, 0x80000026, 0, 0x66);
	return c;
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *c, u32 function,
				     u32 index)
{
	static const struct kvm_cpuid_entry2 none;

	for (u32 i = 0; i < c->nent; i++)
		if (c->entries[i].function == function &&
		    c->entries[i].index == index)
			return &c->entries[i];
	return (struct kvm_cpuid_entry2 *)&none;
}

static bool has(struct kvm_cpuid2 *c, u32 function)
{
	return find(c, function, 0)->function == function;
}

static bool topology_is(struct kvm_cpuid2 *c, u32 leaf, u32 id, u32 width)
{
	const struct kvm_cpuid_entry2 *smt = find(c, leaf, 0);
	const struct kvm_cpuid_entry2 *core = find(c, leaf, 1);

	return smt->eax == 0 && smt->ebx == 1 && smt->ecx == 0x100 &&
	       smt->edx == id && smt->flags == 1 && core->eax == width &&
	       core->ecx == 0x201 && core->edx == id && core->flags == 1;
}

TEST(cpuid_leaf_1_identifies_the_cpu)
{
	struct kvm_cpuid2 *c = make("GenuineIntel", 0x20);
	const struct kvm_cpuid_entry2 *e;

	x86_cpuid_patch(c, MAX_ENTRIES, 5, 6, true);
	e = find(c, 1, 0);
	EXPECT(e->ebx == 0x05061111);
	EXPECT(e->ecx == (0x22222222 | BIT(31) | BIT(21) | BIT(24)));
	EXPECT(e->edx & BIT(28));
	x86_cpuid_patch(c, MAX_ENTRIES, 0, 1, false);
	e = find(c, 1, 0);
	EXPECT(e->ebx == 0x00011111);
	EXPECT(!(e->ecx & BIT(24)));
	EXPECT(!(e->edx & BIT(28)));
	free(c);
}

TEST(cpuid_intel_topology_leaves_agree)
{
	struct kvm_cpuid2 *c = make("GenuineIntel", 0x20);

	x86_cpuid_patch(c, MAX_ENTRIES, 5, 6, true);
	EXPECT(topology_is(c, 0x0b, 5, 3));
	EXPECT(topology_is(c, 0x1f, 5, 3));
	EXPECT(find(c, 0x0b, 1)->ebx == 6);
	EXPECT(find(c, 4, 0)->eax == (0x121 | 7U << 26));
	EXPECT(find(c, 4, 1)->eax == (0x163 | 7U << 26 | 7 << 14));
	EXPECT(find(c, 4, 2)->eax == 0);
	EXPECT(find(c, 0x80000001, 0)->ecx == 0x22222222);
	EXPECT(find(c, 0x80000008, 0)->ecx == 0x22222222);
	free(c);
}

TEST(cpuid_amd_topology_leaves_agree)
{
	struct kvm_cpuid2 *c = make("AuthenticAMD", 0x20);

	x86_cpuid_patch(c, MAX_ENTRIES, 5, 6, true);
	EXPECT(topology_is(c, 0x0b, 5, 3));
	EXPECT(!has(c, 0x1f));
	EXPECT(!has(c, 0x80000026));
	EXPECT(find(c, 0x80000001, 0)->ecx & BIT(1));
	EXPECT(find(c, 0x80000008, 0)->ecx == 0x22223205);
	EXPECT(find(c, 0x8000001d, 0)->eax == 0x121);
	EXPECT(find(c, 0x8000001d, 3)->eax == (0x163 | 5 << 14));
	EXPECT(find(c, 0x8000001e, 0)->eax == 5);
	EXPECT(find(c, 0x8000001e, 0)->ebx == 5);
	EXPECT(find(c, 0x8000001e, 0)->ecx == 0);
	x86_cpuid_patch(c, MAX_ENTRIES, 0, 1, true);
	EXPECT(!(find(c, 0x80000001, 0)->ecx & BIT(1)));
	free(c);
}

TEST(cpuid_many_cpus_are_capped_to_their_fields)
{
	struct kvm_cpuid2 *c = make("GenuineIntel", 0x20);

	x86_cpuid_patch(c, MAX_ENTRIES, 300, 8192, true);
	EXPECT(find(c, 1, 0)->ebx == 0x2cff1111);
	EXPECT(topology_is(c, 0x0b, 300, 13));
	EXPECT(find(c, 0x0b, 1)->ebx == 8192);
	EXPECT(find(c, 4, 1)->eax == (0x163 | 0x3fU << 26 | 0xfff << 14));
	free(c);
	c = make("AuthenticAMD", 0x10);
	x86_cpuid_patch(c, MAX_ENTRIES, 300, 8192, true);
	EXPECT(find(c, 0x80000008, 0)->ecx == 0x2222d2ff);
	EXPECT(find(c, 0x8000001d, 3)->eax == (0x163 | 0xfff << 14));
	EXPECT(find(c, 0x8000001e, 0)->eax == 300);
	free(c);
}

TEST(cpuid_other_leaves_are_untouched)
{
	static const u32 leaf[] = { 7, 0x0a, 0x40000000, 0x40000001 };
	struct kvm_cpuid2 *before = make("GenuineIntel", 0x20);
	struct kvm_cpuid2 *c = make("GenuineIntel", 0x20);

	x86_cpuid_patch(c, MAX_ENTRIES, 1, 2, true);
	for (unsigned int i = 0; i < ARRAY_SIZE(leaf); i++)
		EXPECT(!memcmp(find(c, leaf[i], 0), find(before, leaf[i], 0),
			       sizeof(c->entries[0])));
	free(c);
	free(before);
}

TEST(cpuid_respects_maximum_leaf_and_room)
{
	struct kvm_cpuid2 *c = make("GenuineIntel", 0x10);
	u32 nent = c->nent;

	x86_cpuid_patch(c, MAX_ENTRIES, 1, 2, true);
	EXPECT(has(c, 0x0b) && !has(c, 0x1f));
	free(c);
	c = make("GenuineIntel", 0x20);
	nent = c->nent;
	/* 0xb, 0x1f and 0x80000026 make way for two sub-leaves of 0xb */
	x86_cpuid_patch(c, nent, 1, 2, true);
	EXPECT(topology_is(c, 0x0b, 1, 1) && !has(c, 0x1f));
	EXPECT(c->nent <= nent);
	free(c);
	c = make("GenuineIntel", 0x0a);
	x86_cpuid_patch(c, 0, 1, 2, true);
	EXPECT(!has(c, 0x0b));
	free(c);
}

TEST(cpuid_is_idempotent)
{
	struct kvm_cpuid2 *c = make("GenuineIntel", 0x20);
	struct kvm_cpuid_entry2 first[MAX_ENTRIES];
	u32 nent;

	x86_cpuid_patch(c, MAX_ENTRIES, 3, 4, true);
	nent = c->nent;
	memcpy(first, c->entries, nent * sizeof(first[0]));
	x86_cpuid_patch(c, MAX_ENTRIES, 3, 4, true);
	EXPECT(c->nent == nent);
	EXPECT(!memcmp(first, c->entries, nent * sizeof(first[0])));
	free(c);
}

TEST_MAIN(T(cpuid_leaf_1_identifies_the_cpu),
	  T(cpuid_intel_topology_leaves_agree),
	  T(cpuid_amd_topology_leaves_agree),
	  T(cpuid_many_cpus_are_capped_to_their_fields),
	  T(cpuid_other_leaves_are_untouched),
	  T(cpuid_respects_maximum_leaf_and_room),
	  T(cpuid_is_idempotent))
