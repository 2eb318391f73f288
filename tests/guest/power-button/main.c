// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ACPI power button. With how=wait: powers off when it is pressed, echoes
 * what comes on the serial port until then, and prints "break" for a break. With
 * how=ignore: the same, but it goes on. "!" is a panic.
 */
#include "guest.h"

#define PM1_STS 0x600
#define PM1_EN 0x602
#define PM1_CNT 0x604
#define PWRBTN BIT(8)
#define COM1 0x3f8
#define PVPANIC 0x505
#define PANICKED BIT(0)
#define LSR_DR BIT(0)
#define LSR_BI BIT(4)

static void echo(void)
{
	u8 lsr = inb(COM1 + 5), c;

	if (!(lsr & LSR_DR))
		return;
	c = inb(COM1);
	if (lsr & LSR_BI)
		print("break\n");
	else if (c == '!')
		outb(PVPANIC, PANICKED);
	else
		outb(COM1, c);
}

int main(void)
{
	EXPECT(!(inw(PM1_STS) & PWRBTN));
	outw(PM1_EN, PWRBTN);
	EXPECT(inw(PM1_EN) & PWRBTN);
	outb(COM1 + 2, 1);	/* FIFOs: a break, and the key behind it */
	print("ready\n");
	if (!option_is("how", "wait") && !option_is("how", "ignore"))
		return 0;
	do {
		while (!(inw(PM1_STS) & PWRBTN))
			echo();
		outw(PM1_STS, PWRBTN);
		EXPECT(!(inw(PM1_STS) & PWRBTN));
	} while (option_is("how", "ignore"));
	outw(PM1_CNT, (u16)(BIT(13) | 5 << 10));
	for (;;)
		cpu_relax();
}
