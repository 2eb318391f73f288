// SPDX-License-Identifier: GPL-2.0-only
/* A page fault without an IDT: a double fault, and a third. */
#include "guest.h"

int main(void)
{
	const struct {
		u16 limit;
		u64 base;
	} __packed none = { 0, 0 };

	asm volatile("lidt %0" : : "m"(none));
	return (int)read8(1ULL << 40);
}
