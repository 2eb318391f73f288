// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's memory map.
 *
 * Theory of operation
 *
 * Turns the RAM of the VM into the E820 table of the boot protocol (ACPI 6.4
 * s15 has the types). RAM is usable but for the EBDA and the area of firmware
 * tables below 1 MiB; ECAM and the pages that KVM takes on Intel hosts for
 * real mode are reserved, so that nothing is placed there. What is not in the
 * map (VGA hole, PCI window, APICs) is not memory.
 *
 * Called once per boot on the main thread; pure, no locks. The tables are
 * plain "reserved" rather than "ACPI reclaimable": 128 KiB are not worth a
 * special case in the guest.
 */
#include "x86/x86.h"

#define E820_RAM	1
#define E820_RESERVED	2

#define X86_EBDA_END	0xa0000ULL
#define X86_TSS_SIZE	0x3000ULL

static void e820_add(struct e820 *map, u64 start, u64 end, u32 type)
{
	if (start >= end || map->nr >= ARRAY_SIZE(map->entry))
		return;
	if (map->nr) {
		unsigned int last = map->nr - 1;

		if (map->entry[last].type == type &&
		    map->entry[last].addr + map->entry[last].size == start) {
			map->entry[last].size += end - start;
			return;
		}
	}
	map->entry[map->nr].addr = start;
	map->entry[map->nr].size = end - start;
	map->entry[map->nr].type = type;
	map->nr++;
}

/* RAM, as far as it lies in [@start, @end) */
static void e820_add_ram(struct e820 *map, const struct gmem *gmem, u64 start,
			 u64 end)
{
	for (unsigned int i = 0; i < gmem->nr; i++) {
		u64 from = gmem->region[i].gpa;
		u64 to = from + gmem->region[i].size;

		e820_add(map, MAX(from, start), MIN(to, end), E820_RAM);
	}
}

void e820_build(struct e820 *map, const struct gmem *gmem)
{
	map->nr = 0;
	e820_add_ram(map, gmem, 0, X86_EBDA_GPA);
	e820_add(map, X86_EBDA_GPA, X86_EBDA_END, E820_RESERVED);
	e820_add(map, X86_ACPI_GPA, X86_KERNEL_GPA, E820_RESERVED);
	e820_add_ram(map, gmem, X86_KERNEL_GPA, X86_ECAM_GPA);
	e820_add(map, X86_ECAM_GPA, X86_ECAM_GPA + X86_ECAM_SIZE,
		 E820_RESERVED);
	e820_add(map, X86_IDENTITY_MAP_GPA, X86_TSS_GPA + X86_TSS_SIZE,
		 E820_RESERVED);
	e820_add_ram(map, gmem, SZ_4G, UINT64_MAX);
}
