// SPDX-License-Identifier: GPL-2.0-only
/* What the console says of a panic counts, when the guest then resets. */
#include "guest.h"

int main(void)
{
	print("Kernel panic - not syncing: %s\n", "out of ideas");
	if (!option_is("then", "hang"))
		outb(0xcf9, 6);
	for (;;)
		cpu_relax();
}
