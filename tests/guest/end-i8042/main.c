// SPDX-License-Identifier: GPL-2.0-only
/* Reset by the keyboard controller: pulse bit 0 of its output port. */
#include "guest.h"

int main(void)
{
	/* Other pulses reset nothing. */
	outb(0x64, 0xff);
	outb(0x64, 0xfe);
	for (;;)
		cpu_relax();
}
