// SPDX-License-Identifier: GPL-2.0-only
/* The memory map: ascending, disjoint, and all RAM but the holes is in it. */
#include "x86/x86.h"
#include "test.h"

static u64 usable(const struct e820 *map)
{
	u64 n = 0;

	for (unsigned int i = 0; i < map->nr; i++)
		if (map->entry[i].type == 1)
			n += map->entry[i].size;
	return n;
}

static bool ascending(const struct e820 *map)
{
	for (unsigned int i = 1; i < map->nr; i++)
		if (map->entry[i].addr <
		    map->entry[i - 1].addr + map->entry[i - 1].size)
			return false;
	return map->nr != 0;
}

/* The type at @addr, 0 for none */
static u32 type_at(const struct e820 *map, u64 addr)
{
	for (unsigned int i = 0; i < map->nr; i++)
		if (addr >= map->entry[i].addr &&
		    addr - map->entry[i].addr < map->entry[i].size)
			return map->entry[i].type;
	return 0;
}

TEST(e820_small_machine_has_low_and_high_part)
{
	struct gmem g = { .region = { { 0, 16 * SZ_1M, NULL } }, .nr = 1 };
	struct e820 map;

	e820_build(&map, &g);
	EXPECT(ascending(&map));
	EXPECT(map.entry[0].addr == 0 && map.entry[0].size == 0x9fc00);
	EXPECT(usable(&map) == 15 * SZ_1M + 0x9fc00);
	EXPECT(type_at(&map, 0x9fbff) == 1);
	EXPECT(type_at(&map, 0x9fc00) == 2);
	EXPECT(type_at(&map, 0x9ffff) == 2);
	EXPECT(type_at(&map, 0xa0000) == 0);
	EXPECT(type_at(&map, 0xe0000) == 2);
	EXPECT(type_at(&map, 0xfffff) == 2);
	EXPECT(type_at(&map, 0x100000) == 1);
	EXPECT(type_at(&map, 16 * SZ_1M - 1) == 1);
	EXPECT(type_at(&map, 16 * SZ_1M) == 0);
	EXPECT(type_at(&map, X86_ECAM_GPA) == 2);
	EXPECT(type_at(&map, X86_IDENTITY_MAP_GPA) == 2);
	EXPECT(type_at(&map, X86_TSS_GPA) == 2);
}

TEST(e820_large_machine_continues_above_4g)
{
	struct gmem g = {
		.region = {
			{ 0, X86_RAM_LOW_MAX, NULL },
			{ SZ_4G, 5 * SZ_1G, NULL },
		},
		.nr = 2,
	};
	struct e820 map;

	e820_build(&map, &g);
	EXPECT(ascending(&map));
	EXPECT(usable(&map) == 8 * SZ_1G - SZ_1M + 0x9fc00);
	EXPECT(type_at(&map, X86_RAM_LOW_MAX - 1) == 1);
	EXPECT(type_at(&map, X86_ECAM_GPA) == 2);
	EXPECT(type_at(&map, X86_PCI_MMIO_GPA) == 0);
	EXPECT(type_at(&map, X86_IOAPIC_GPA) == 0);
	EXPECT(type_at(&map, SZ_4G - 1) == 0);
	EXPECT(type_at(&map, SZ_4G) == 1);
	EXPECT(type_at(&map, SZ_4G + 5 * SZ_1G - 1) == 1);
	EXPECT(type_at(&map, SZ_4G + 5 * SZ_1G) == 0);
}

TEST(e820_joins_adjacent_regions)
{
	struct gmem g = {
		.region = {
			{ 0, 0x80000, NULL },
			{ 0x80000, 32 * SZ_1M - 0x80000, NULL },
			{ 32 * SZ_1M, 32 * SZ_1M, NULL },
		},
		.nr = 3,
	};
	struct e820 map = { .nr = 99 };

	e820_build(&map, &g);
	EXPECT(ascending(&map));
	EXPECT(map.nr == 6);
	EXPECT(map.entry[0].size == 0x9fc00);
	EXPECT(map.entry[3].addr == SZ_1M && map.entry[3].size == 63 * SZ_1M);
}

TEST_MAIN(T(e820_small_machine_has_low_and_high_part),
	  T(e820_large_machine_continues_above_4g),
	  T(e820_joins_adjacent_regions))
