// SPDX-License-Identifier: GPL-2.0-only
/* Ports of every width, string instructions, and ports that nobody claims. */
#include "guest.h"

#define NOBODY	0x1234
#define SCRATCH	0x2ff	/* of the second serial port */

static void widths(void)
{
	outl(0xcf8, 0x80000008);
	EXPECT_EQ(inl(0xcf8), 0x80000008);
	/* PM1 enable, a 16-bit register; and its two halves */
	outw(0x602, 0x0120);
	EXPECT_EQ(inw(0x602), 0x0120);
	EXPECT_EQ(inb(0x602), 0x20);
	EXPECT_EQ(inb(0x603), 0x01);
	EXPECT_EQ(inl(0x600), 0x01200000);
	outw(0x602, 0);
	for (unsigned int i = 0; i < 256; i += 51) {
		outb(SCRATCH, (u8)i);
		EXPECT_EQ(inb(SCRATCH), i);
	}
}

static void nobody(void)
{
	outb(NOBODY, 1);
	outw(NOBODY, 2);
	outl(NOBODY, 3);
	EXPECT_EQ(inb(NOBODY), 0xff);
	EXPECT_EQ(inw(NOBODY), 0xffff);
	EXPECT_EQ(inl(NOBODY), 0xffffffff);
	/* Across the end of a device's ports: nobody's either */
	EXPECT_EQ(inl(0x607), 0xffffffff);
}

static void strings(void)
{
	static const u8 count[4] = { 1, 2, 3, 4 };
	static u8 buf[64];

	outs(SCRATCH, count, 1, sizeof(count));
	EXPECT_EQ(inb(SCRATCH), 4);
	ins(SCRATCH, buf, 1, 8);
	for (unsigned int i = 0; i < 16; i++)
		EXPECT_EQ(buf[i], i < 8 ? 4 : 0);
	for (unsigned int width = 1; width <= 4; width *= 2) {
		memset(buf, 0, sizeof(buf));
		outs(NOBODY, buf, width, 8);
		ins(NOBODY, buf, width, 8);
		for (unsigned int i = 0; i < sizeof(buf); i++)
			EXPECT_EQ(buf[i], i < 8 * width ? 0xff : 0);
	}
}

/* More than one page: KVM hands these over in several pieces. */
static void long_string(void)
{
	u32 *page = page_alloc(3);

	outl(0xcf8, 0x80000000);
	ins(0xcfc, page, 4, 3 * 1024);
	for (unsigned int i = 0; i < 3 * 1024; i++)
		EXPECT_EQ(page[i], page[0]);
}

int main(void)
{
	widths();
	nobody();
	strings();
	long_string();
	return 0;
}
