// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether the compiler came with the run-time libraries of its sanitizers.
 * Flags: -fsanitize=address,undefined
 */
int main(void)
{
	return 0;
}
