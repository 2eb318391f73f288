// SPDX-License-Identifier: GPL-2.0-only
/* The clock: readable at once, runs, and interrupts by update and alarm. */
#include "irq.h"

#define VECTOR 0x48

static u32 updates, alarms;

static u8 rtc_read(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void rtc_write(u8 reg, u8 v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

static void rtc_irq(void)
{
	u8 c = rtc_read(0xc);

	EXPECT(c & BIT(7));
	if (c & BIT(4))
		updates++;
	if (c & BIT(5))
		alarms++;
}

static unsigned int bcd(u8 v)
{
	return (v >> 4) * 10 + (v & 15);
}

static void check_time(void)
{
	/* Binary or BCD, by register B */
	bool binary = rtc_read(0xb) & BIT(2);
	unsigned int year = binary ? rtc_read(9) : bcd(rtc_read(9));
	unsigned int month = binary ? rtc_read(8) : bcd(rtc_read(8));
	unsigned int century = binary ? rtc_read(0x32) : bcd(rtc_read(0x32));

	EXPECT(century == 20 || century == 21);
	EXPECT(year < 100 && month >= 1 && month <= 12);
	/* Never busy, and valid */
	EXPECT(!(rtc_read(0xa) & BIT(7)));
	EXPECT_EQ(rtc_read(0xd), 0x80);
}

int main(void)
{
	u8 second;

	check_time();
	rtc_write(0x40, 0xa5);
	EXPECT_EQ(rtc_read(0x40), 0xa5);
	apic_enable(true);
	irq_set(VECTOR, rtc_irq);
	ioapic_route(8, VECTOR, 0, false);

	second = rtc_read(0);
	rtc_read(0xc);
	rtc_write(0xb, 0x12);	/* update interrupt, 24 hours */
	while (!updates)
		irq_wait();
	EXPECT(rtc_read(0) != second);

	/* Any hour, minute and second: each second is an alarm. */
	rtc_write(0xb, 0x02);
	for (u8 reg = 1; reg <= 5; reg += 2)
		rtc_write(reg, 0xff);
	rtc_read(0xc);
	rtc_write(0xb, 0x22);
	while (!alarms)
		irq_wait();
	return 0;
}
