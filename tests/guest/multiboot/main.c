// SPDX-License-Identifier: GPL-2.0-only
/* The multiboot entry, and what its information says. */
#include "guest.h"

extern char multiboot_header[];
/* Brings in the header and its entry. */
void *const guest_is_multiboot = multiboot_header;

static void check_map(u64 info)
{
	u64 map = read32(info + 48), end = map + read32(info + 44), ram = 0;

	EXPECT(map && end > map);
	for (; map < end; map += read32(map) + 4) {
		EXPECT_EQ(read32(map), 20);
		if (read32(map + 20) == 1)
			ram += read64(map + 12);
	}
	EXPECT_EQ(map, end);
	EXPECT(ram > 15 * SZ_1M && ram <= 16 * SZ_1M);
}

/* The last byte of the module is an 'x', the first four are "firs". */
static void check_module(u64 info, u64 size)
{
	u64 module = read32(info + 24);
	u64 start, end;

	EXPECT_EQ(read32(info + 20), 1);
	start = read32(module);
	end = read32(module + 4);
	EXPECT_EQ(start % 4096, 0);
	EXPECT_EQ(end - start, size);
	EXPECT_EQ(read32(start), 0x73726966);
	EXPECT_EQ(read8(end - 1), 'x');
	print("module: %s\n", (const char *)(u64)read32(module + 8));
}

int main(void)
{
	u64 info = guest_info;
	u64 initrd = option_number("initrd", 0);

	EXPECT_EQ(guest_magic, MULTIBOOT_LOADER_MAGIC);
	EXPECT_EQ(read32(info), BIT(0) | BIT(2) | BIT(3) | BIT(6) | BIT(9));
	EXPECT_EQ(read32(info + 4), 0x9fc00 / 1024);
	EXPECT_EQ(read32(info + 8), 15 * 1024);
	print("loader: %s\n", (const char *)(u64)read32(info + 64));
	print("kernel: %s\n", (const char *)(u64)read32(info + 16));
	print("command line: %s\n", cmdline());
	check_map(info);
	if (initrd)
		check_module(info, initrd);
	else
		EXPECT_EQ(read32(info + 20), 0);
	return (int)option_number("status", 0);
}
