// SPDX-License-Identifier: GPL-2.0-only
/* The test device: memory behind ports and MMIO, interrupt lines, fw_cfg. */
#include "irq.h"

#define LATCH 0xe0
#define FLUSH 0xe4
#define LATCH2 0xe8
#define FW_CFG 0x510
#define LINES 0x2000
#define MEM_GPA 0xff000000ULL
#define MEM_SIZE 0x10000ULL

static u32 seen;

static void test_latch(void)
{
	outl(LATCH, 0x44332211);
	EXPECT_EQ(inl(LATCH2), 0x44332211);
	EXPECT_EQ(inw(LATCH + 2), 0x4433);
	outb(LATCH2 + 1, 0xee);
	EXPECT_EQ(inl(LATCH), 0x4433ee11);
	outw(LATCH, 0xabcd);
	EXPECT_EQ(inb(LATCH + 1), 0xab);
	EXPECT_EQ(inb(LATCH2 + 3), 0x44);
}

static void test_mem(void)
{
	for (unsigned int width = 1; width <= 8; width *= 2) {
		u64 v = 0x1122334455667788ULL >> (64 - 8 * width);

		write_width(MEM_GPA + 8, width, v);
		EXPECT_EQ(read_width(MEM_GPA + 8, width), v);
	}
	EXPECT_EQ(read8(MEM_GPA + 15), 0x11);
	write8(MEM_GPA + MEM_SIZE - 1, 0x5a);
	EXPECT_EQ(read8(MEM_GPA + MEM_SIZE - 1), 0x5a);
	EXPECT_EQ(read8(MEM_GPA + MEM_SIZE), 0xff);
}

/* A page keeps what is in it, and any other number does no harm. */
static void test_flush(void)
{
	u64 page = (u64)page_alloc(1);

	write64(page, 0x123456789);
	outl(FLUSH, (u32)page + 5);
	EXPECT_EQ(read64(page), 0x123456789);
	write64(page, 1);
	EXPECT_EQ(read64(page), 1);
	outb(FLUSH, 0);
	outl(FLUSH, 0xffffffff);
	outl(FLUSH, 0xc0000000);
	EXPECT_EQ(inl(FLUSH), 0);
}

static void on_line(void)
{
	seen++;
}

static void test_line(unsigned int gsi)
{
	u8 vector = (u8)(0x40 + gsi);

	seen = 0;
	irq_set(vector, on_line);
	ioapic_route(gsi, vector, (u8)apic_id(), false);
	outb((u16)(LINES + gsi), 1);
	while (!seen)
		irq_wait();
	outb((u16)(LINES + gsi), 0);
	irq_wait();
	EXPECT_EQ(seen, 1);
	outb((u16)(LINES + gsi), 1);
	while (seen < 2)
		irq_wait();
	outb((u16)(LINES + gsi), 0);
	ioapic_mask(gsi);
}

static u64 fw_cfg(u16 item, unsigned int len)
{
	u64 v = 0;

	outw(FW_CFG, item);
	for (unsigned int i = 0; i < len; i++)
		v |= (u64)inb(FW_CFG + 1) << (i * 8);
	return v;
}

int main(void)
{
	if (option_number("absent", 0)) {
		EXPECT_EQ(inl(LATCH), 0xffffffff);
		EXPECT_EQ(read32(MEM_GPA), 0xffffffff);
		return 0;
	}
	test_latch();
	test_mem();
	test_flush();
	apic_enable(false);
	test_line(5);
	test_line(14);
	test_line(23);
	EXPECT_EQ(fw_cfg(0, 4), 0x554d4551);
	EXPECT_EQ(fw_cfg(1, 4), 1);
	EXPECT_EQ(fw_cfg(3, 8), 16 * SZ_1M);
	EXPECT_EQ(fw_cfg(5, 2), option_number("cpus", 1));
	EXPECT_EQ(fw_cfg(15, 8), option_number("cpus", 1));
	EXPECT_EQ(fw_cfg(0xfffe, 8), 0);
	return 0;
}
