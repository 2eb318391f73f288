// SPDX-License-Identifier: GPL-2.0-only
/* A guest that does not end, asleep or busy. */
#include "guest.h"

int main(void)
{
	if (option_is("how", "busy"))
		for (;;)
			cpu_relax();
	for (;;)
		asm volatile("cli; hlt");
}
