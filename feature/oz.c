// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation: a program that compiles where the compiler has -Oz, as GCC
 * has since 12. It is never run.
 * Flags: -Oz
 */
int main(void)
{
	return 0;
}
