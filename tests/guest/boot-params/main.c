// SPDX-License-Identifier: GPL-2.0-only
/* What the 64-bit entry leaves in boot_params: e820, command line, initrd. */
#include <asm/bootparam.h>
#include "guest.h"

#define RAM	1
#define RESERVED 2

static u64 type_at(const struct boot_params *bp, u64 gpa)
{
	for (unsigned int i = 0; i < bp->e820_entries; i++) {
		const struct boot_e820_entry *e = &bp->e820_table[i];

		if (gpa >= e->addr && gpa - e->addr < e->size)
			return e->type;
	}
	return 0;
}

static void check_e820(const struct boot_params *bp, u64 mem)
{
	u64 ram = 0, end = 0;

	EXPECT(bp->e820_entries);
	for (unsigned int i = 0; i < bp->e820_entries; i++) {
		const struct boot_e820_entry *e = &bp->e820_table[i];

		EXPECT(e->size && e->addr >= end);
		end = e->addr + e->size;
		if (e->type == RAM)
			ram += e->size;
	}
	/* All of it but the legacy area below 1 MiB */
	EXPECT(ram <= mem && ram >= mem - SZ_1M);
	EXPECT_EQ(type_at(bp, 0x1000), RAM);
	EXPECT_EQ(type_at(bp, 0x9fc00), RESERVED);
	EXPECT_EQ(type_at(bp, 0xe0000), RESERVED);
	EXPECT_EQ(type_at(bp, 0x100000), RAM);
	EXPECT_EQ(type_at(bp, 0xc0000000), RESERVED);
	EXPECT_EQ(type_at(bp, 0xd0000000), 0);
	EXPECT_EQ(type_at(bp, 0xfee00000), 0);
	EXPECT_EQ(type_at(bp, SZ_4G), mem > 0xc0000000 ? RAM : 0);
	if (mem > 0xc0000000) {
		EXPECT_EQ(type_at(bp, SZ_4G + mem - 0xc0000000 - 1), RAM);
		EXPECT_EQ(type_at(bp, SZ_4G + mem - 0xc0000000), 0);
	} else {
		EXPECT_EQ(type_at(bp, mem - 1), RAM);
		EXPECT(type_at(bp, mem) != RAM);
		write64(mem - 8, 0x1122334455667788ULL);
		EXPECT_EQ(read64(mem - 8), 0x1122334455667788ULL);
	}
}

static void check_initrd(const struct boot_params *bp, u64 size)
{
	const u8 *p = (const u8 *)(u64)bp->hdr.ramdisk_image;

	EXPECT_EQ(bp->hdr.ramdisk_size, size);
	if (!size)
		return;
	EXPECT(!memcmp(p, "first", 5));
	EXPECT(!memcmp(p + size - 4, "last", 4));
}

int main(void)
{
	const struct boot_params *bp = (void *)guest_info;

	EXPECT_EQ(bp->hdr.boot_flag, 0xaa55);
	EXPECT_EQ(bp->hdr.header, 0x53726448);
	EXPECT_EQ(bp->hdr.type_of_loader, 0xff);
	EXPECT_EQ(bp->hdr.cmd_line_ptr, 0x20000);
	EXPECT(bp->acpi_rsdp_addr);
	print("command line: %s\n", cmdline());
	check_e820(bp, option_number("mem", 0) * SZ_1M);
	check_initrd(bp, option_number("initrd", 0));
	return 0;
}
