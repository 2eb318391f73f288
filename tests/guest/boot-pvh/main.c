// SPDX-License-Identifier: GPL-2.0-only
/* The PVH entry, and what its start info says. */
#include "acpi.h"

extern char pvh_start[];
/* Brings in the entry and its note. */
void *const guest_is_pvh = pvh_start;

int main(void)
{
	u64 info = guest_info, map, ram = 0;
	u64 initrd = option_number("initrd", 0);
	u32 nr;

	EXPECT_EQ(read32(info), 0x336ec578);
	EXPECT_EQ(read32(info + 4), 1);
	EXPECT_EQ(read32(info + 8), 0);
	EXPECT_EQ(read32(info + 12), !!initrd);
	if (initrd) {
		u64 module = read64(info + 16);

		EXPECT_EQ(read64(module + 8), initrd);
		EXPECT_EQ(read32(read64(module)), 0x73726966);	/* "firs" */
	}
	print("command line: %s\n", cmdline());
	map = read64(info + 40);
	nr = read32(info + 48);
	EXPECT(map && nr);
	for (u32 i = 0; i < nr; i++, map += 24)
		if (read32(map + 16) == 1)
			ram += read64(map + 8);
	EXPECT(ram > 15 * SZ_1M && ram <= 16 * SZ_1M);
	EXPECT(acpi_find("FACP"));
	return 0;
}
