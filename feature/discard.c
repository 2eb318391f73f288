// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation: a program that links where the linker leaves out what a
 * script names and does the rest as without one. It is never run.
 * Flags: -Wl,-T,scripts/discard.lds
 */
int main(void)
{
	return 0;
}
