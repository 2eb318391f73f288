// SPDX-License-Identifier: GPL-2.0-only
/* An instruction that KVM cannot emulate, with an operand that is a device. */
#include "guest.h"

int main(void)
{
	asm volatile("mov $0xc0ffee, %%ebx\n\t"
		     "fld1\n\t"
		     "fstpt (%%rax)"
		     : : "a"(0xf0000000UL) : "rbx", "memory");
	return 3;
}
