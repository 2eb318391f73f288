// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID: from what KVM supports to what one CPU of the guest sees.
 *
 * Theory of operation
 *
 * KVM_GET_SUPPORTED_CPUID says what host and KVM can do; identity and topology
 * in it are the host's or absent. They are filled in here: all CPUs are cores
 * of one package, one thread each, the APIC id is the CPU's number, and the
 * last-level cache is shared by all. Every leaf that a guest may derive this
 * from says the same: 1, 4, 0xb and 0x1f (Intel SDM vol. 2A, CPUID), and
 * 0x80000001, 0x80000008, 0x8000001d and 0x8000001e (AMD APM vol. 3, app. E).
 * 0x80000026 is removed: it would have to repeat 0xb, and the guest falls back
 * to that. All other leaves, KVM's own included, are left alone.
 *
 * Pure; called for each CPU before it runs, no locks. A guest cannot influence
 * it. When the caller's array has no room for the sub-leaves of 0xb or 0x1f,
 * the leaf is left out, which guests know from old CPUs.
 */
#include <string.h>
#include <linux/kvm.h>
#include "x86/x86.h"

#define CPUID_1_ECX_X2APIC		BIT(21)
#define CPUID_1_ECX_TSC_DEADLINE	BIT(24)
#define CPUID_1_ECX_HYPERVISOR		BIT(31)
#define CPUID_1_EDX_HTT			BIT(28)
#define CPUID_8000_0001_ECX_CMP_LEGACY	BIT(1)

#define CPUID_TOPOLOGY		0x0b
#define CPUID_TOPOLOGY_V2	0x1f
#define CPUID_AMD_TOPOLOGY	0x80000026

/* What CPU of how many; @width is the bits of an APIC id */
struct topology {
	unsigned int id;
	unsigned int nr;
	unsigned int width;
	bool amd;
};

static unsigned int bits_for(unsigned int nr)
{
	unsigned int width = 0;

	while (width < 31 && BIT(width) < nr)
		width++;
	return width;
}

static u32 set_field(u32 reg, unsigned int low, unsigned int high, u32 value)
{
	u32 mask = (u32)((BIT_ULL(high - low + 1) - 1) << low);

	return (reg & ~mask) | (value << low & mask);
}

static struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, u32 function)
{
	for (u32 i = 0; i < c->nent; i++)
		if (c->entries[i].function == function)
			return &c->entries[i];
	return NULL;
}

static void cpuid_remove(struct kvm_cpuid2 *c, u32 function)
{
	u32 to = 0;

	for (u32 from = 0; from < c->nent; from++)
		if (c->entries[from].function != function)
			c->entries[to++] = c->entries[from];
	c->nent = to;
}

static bool cpuid_is_amd(struct kvm_cpuid2 *c)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(c, 0);
	u32 name[3];

	if (!e)
		return false;
	name[0] = e->ebx;
	name[1] = e->edx;
	name[2] = e->ecx;
	return !memcmp(name, "AuthenticAMD", sizeof(name)) ||
	       !memcmp(name, "HygonGenuine", sizeof(name));
}

static void patch_features(struct kvm_cpuid_entry2 *e,
			   const struct topology *topo, bool tsc_deadline)
{
	e->ebx = set_field(e->ebx, 24, 31, topo->id & 0xff);
	e->ebx = set_field(e->ebx, 16, 23, MIN(topo->nr, 255U));
	e->ecx |= CPUID_1_ECX_HYPERVISOR | CPUID_1_ECX_X2APIC;
	e->ecx &= ~CPUID_1_ECX_TSC_DEADLINE;
	if (tsc_deadline)
		e->ecx |= CPUID_1_ECX_TSC_DEADLINE;
	e->edx &= ~CPUID_1_EDX_HTT;
	if (topo->nr > 1)
		e->edx |= CPUID_1_EDX_HTT;
}

/* How many APIC ids share the cache, less one; 4 and 0x8000001d alike */
static void patch_cache_sharing(struct kvm_cpuid_entry2 *e, u32 shared)
{
	unsigned int type = e->eax & 0x1f;
	unsigned int level = e->eax >> 5 & 7;

	if (!type)
		return;
	e->eax = set_field(e->eax, 14, 25, level >= 3 ? MIN(shared, 0xfffU) : 0);
}

static void patch_intel_cache(struct kvm_cpuid_entry2 *e,
			      const struct topology *topo)
{
	if (!(e->eax & 0x1f))
		return;
	/* Counts of ids, so rounded up to a power of two */
	patch_cache_sharing(e, BIT(topo->width) - 1);
	e->eax = set_field(e->eax, 26, 31, BIT(MIN(topo->width, 6U)) - 1);
}

static void patch_amd(struct kvm_cpuid_entry2 *e, const struct topology *topo)
{
	switch (e->function) {
	case 0x80000001:
		e->ecx &= ~CPUID_8000_0001_ECX_CMP_LEGACY;
		if (topo->nr > 1)
			e->ecx |= CPUID_8000_0001_ECX_CMP_LEGACY;
		break;
	case 0x80000008:
		e->ecx = set_field(e->ecx, 0, 7, MIN(topo->nr - 1, 255U));
		e->ecx = set_field(e->ecx, 12, 15, MIN(topo->width, 15U));
		break;
	case 0x8000001d:
		patch_cache_sharing(e, topo->nr - 1);
		break;
	case 0x8000001e:
		e->eax = topo->id;
		e->ebx = topo->id & 0xff;	/* one thread per core */
		e->ecx = 0;			/* node 0 of one */
		e->edx = 0;
		break;
	default:
		break;
	}
}

/* Two levels: threads of a core, then cores of the package */
static void add_topology(struct kvm_cpuid2 *c, unsigned int max, u32 function,
			 const struct topology *topo)
{
	const u32 width[] = { 0, topo->width };
	const u32 count[] = { 1, topo->nr };

	if (c->nent > max || max - c->nent < ARRAY_SIZE(width))
		return;
	for (u32 i = 0; i < ARRAY_SIZE(width); i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[c->nent++];

		memset(e, 0, sizeof(*e));
		e->function = function;
		e->index = i;
		e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		e->eax = width[i];
		e->ebx = MIN(count[i], 0xffffU);
		e->ecx = (i + 1) << 8 | i;	/* SMT is 1, core is 2 */
		e->edx = topo->id;
	}
}

void x86_cpuid_patch(struct kvm_cpuid2 *cpuid, unsigned int max,
		     unsigned int id, unsigned int nr, bool tsc_deadline)
{
	const struct topology topo = {
		.id = id,
		.nr = MAX(nr, 1U),
		.width = bits_for(nr),
		.amd = cpuid_is_amd(cpuid),
	};
	const struct kvm_cpuid_entry2 *leaf0 = cpuid_find(cpuid, 0);
	u32 max_basic = leaf0 ? leaf0->eax : 0;

	cpuid_remove(cpuid, CPUID_TOPOLOGY);
	cpuid_remove(cpuid, CPUID_TOPOLOGY_V2);
	cpuid_remove(cpuid, CPUID_AMD_TOPOLOGY);
	for (u32 i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 1)
			patch_features(e, &topo, tsc_deadline);
		else if (e->function == 4)
			patch_intel_cache(e, &topo);
		else if (topo.amd)
			patch_amd(e, &topo);
	}
	if (max_basic >= CPUID_TOPOLOGY)
		add_topology(cpuid, max, CPUID_TOPOLOGY, &topo);
	/* AMD CPUs have no 0x1f */
	if (max_basic >= CPUID_TOPOLOGY_V2 && !topo.amd)
		add_topology(cpuid, max, CPUID_TOPOLOGY_V2, &topo);
}
