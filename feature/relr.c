// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation: a program that compiles where the C library takes packed
 * relative relocations (glibc 2.36), and links where the linker knows of them.
 * It is never run.
 * Flags: -Wl,-z,pack-relative-relocs
 */
#include <features.h>

#if !defined(__GLIBC__) || !__GLIBC_PREREQ(2, 36)
#error "this C library does not take packed relocations"
#endif

int main(void)
{
	return 0;
}
