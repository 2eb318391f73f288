// SPDX-License-Identifier: GPL-2.0-only
/* A walk over the MP table (MP 1.4 s4). */
#include "acpi.h"

static u64 find_pointer(void)
{
	for (u64 gpa = 0xf0000; gpa < 0x100000; gpa += 16)
		if (read32(gpa) == 0x5f504d5f && !sum8((void *)gpa, 16))
			return gpa;
	fail(__FILE__, __LINE__, "no MP floating pointer");
}

int main(void)
{
	static const u8 length[] = { 20, 8, 8, 8, 8 };
	u64 at = read32(find_pointer() + 4), end;
	u32 count[ARRAY_SIZE(length)] = { 0 };
	u32 nr, boot = 0;

	EXPECT_EQ(read32(at), 0x504d4350);	/* PCMP */
	end = at + read16(at + 4);
	EXPECT_EQ(sum8((void *)at, end - at), 0);
	EXPECT_EQ(read32(at + 36), 0xfee00000);
	nr = read16(at + 34);
	for (at += 44; at < end; at += length[read8(at)], nr--) {
		u8 type = read8(at);

		EXPECT(nr && type < ARRAY_SIZE(length));
		if (!type) {
			EXPECT_EQ(read8(at + 1), count[0]);
			boot += read8(at + 3) >> 1 & 1;
		}
		if (type == 2)
			EXPECT_EQ(read32(at + 4), 0xfec00000);
		count[type]++;
	}
	EXPECT_EQ(at, end);
	EXPECT_EQ(nr, 0);
	EXPECT_EQ(boot, 1);
	EXPECT_EQ(count[0], option_number("cpus", 1));
	EXPECT_EQ(count[1], option_is("transport", "mmio") ? 1 : 2);
	EXPECT_EQ(count[2], 1);
	EXPECT(count[3] >= 15);
	EXPECT_EQ(count[4], 2);
	return 0;
}
