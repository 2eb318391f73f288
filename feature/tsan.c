// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation: a program that links when the compiler came with the
 * run-time library of its thread sanitizer. It is never run.
 * Flags: -fsanitize=thread
 */
int main(void)
{
	return 0;
}
