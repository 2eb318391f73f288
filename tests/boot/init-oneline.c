// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shortest init: says one line and powers off.
 *
 * No libc and no startup code, so that it needs nothing to build but a
 * compiler, and so that what is measured with it is the machine and the
 * kernel. A kernel without ACPI cannot power off; with the word "restart"
 * on its command line, which it hands on, we restart instead.
 */
#include <asm/unistd.h>
#include <linux/reboot.h>

static long syscall4(long nr, long a, long b, long c, long d)
{
	register long r10 asm("r10") = d;
	long ret;

	asm volatile("syscall"
		     : "=a"(ret)
		     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
		     : "rcx", "r11", "memory");
	return ret;
}

static int word_is(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static void __attribute((used, noreturn)) init_main(const long *stack)
{
	static const char line[] = "RESULT oneline ok\n";
	const char *const *argv = (const char *const *)(stack + 1);
	long how = LINUX_REBOOT_CMD_POWER_OFF, i;

	for (i = 1; i < stack[0]; i++)
		if (word_is(argv[i], "restart"))
			how = LINUX_REBOOT_CMD_RESTART;
	syscall4(__NR_write, 1, (long)line, sizeof(line) - 1, 0);
	syscall4(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, how, 0);
	for (;;)
		syscall4(__NR_pause, 0, 0, 0, 0);
}

asm(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call init_main\n");
