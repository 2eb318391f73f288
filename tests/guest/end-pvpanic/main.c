// SPDX-License-Identifier: GPL-2.0-only
/* pvpanic: a panic is 100, unless a crash kernel is about to handle it. */
#include "guest.h"

#define PVPANIC	0x505

int main(void)
{
	EXPECT_EQ(inb(PVPANIC) & 3, 3);
	outb(PVPANIC, 2);
	if (option_is("event", "crash"))
		return 33;
	outb(PVPANIC, (u8)option_number("event", 1));
	for (;;)
		cpu_relax();
}
