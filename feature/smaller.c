// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation: a program that compiles where the compiler has what makes GCC's
 * code 1 % smaller. Clang knows the names and warns that it does not do it. It is never
 * run.
 * Flags: -Werror -fno-caller-saves -fno-tree-dominator-opts -fno-move-loop-invariants
 */
int main(void)
{
	return 0;
}
