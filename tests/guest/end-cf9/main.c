// SPDX-License-Identifier: GPL-2.0-only
/* Reset by port 0xcf9: only when bit 2 goes from 0 to 1. */
#include "guest.h"

int main(void)
{
	outb(0xcf9, 2);
	EXPECT_EQ(inb(0xcf9), 2);
	outb(0xcf9, 6);
	for (;;)
		cpu_relax();
}
