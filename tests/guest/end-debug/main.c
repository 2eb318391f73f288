// SPDX-License-Identifier: GPL-2.0-only
/* The debug exit port: the low byte of what is written, at any width, 0 only for 0. */
#include "guest.h"

int main(void)
{
	u32 v = (u32)option_number("value", 0);
	unsigned int width = (unsigned int)option_number("width", 1);

	EXPECT_EQ(inb(PORT_DEBUG_EXIT), 0);
	/* Its other ports end nothing. */
	outb(PORT_DEBUG_EXIT + 1, 7);
	out_width(PORT_DEBUG_EXIT, width, v);
	for (;;)
		cpu_relax();
}
