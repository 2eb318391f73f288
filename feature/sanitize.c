// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation: a program that links when the compiler came with the
 * run-time libraries of its sanitizers. It is never run.
 * Flags: -fsanitize=address,undefined
 */
int main(void)
{
	return 0;
}
