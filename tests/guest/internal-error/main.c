// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instruction that KVM cannot emulate, with an operand that is a device: by itself,
 * or where the next page of the code is in other memory than the one behind it.
 */
#include "guest.h"

#define CODE 0x7ffffcUL
#define NEXT 0x800000UL	/* a large page of its own */
#define ELSEWHERE 0xa00000UL
#define LARGE_PAGE 0x83

static void across_pages(void)
{
	static const u8 code[] = { 0xd9, 0xe8, 0xdb, 0x38 };
	u64 *dir, cr3;

	asm volatile("mov %%cr3, %0" : "=r"(cr3));
	dir = (u64 *)(*(u64 *)(*(u64 *)cr3 & ~0xfffUL) & ~0xfffUL);
	memset((void *)NEXT, 0x11, 16);
	memset((void *)ELSEWHERE, 0x22, 16);
	memcpy((void *)CODE, code, sizeof(code));
	dir[NEXT >> 21] = ELSEWHERE | LARGE_PAGE;
	asm volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
	EXPECT_EQ(read8(NEXT), 0x22);
	asm volatile("jmp *%%rcx" : : "a"(0xf0000000UL), "c"(CODE) : "memory");
}

int main(void)
{
	if (option_number("pages", 0))
		across_pages();
	asm volatile("mov $0xc0ffee, %%ebx\n\t"
		     "fld1\n\t"
		     "fstpt (%%rax)"
		     : : "a"(0xf0000000UL) : "rbx", "memory");
	return 3;
}
