/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system calls that init makes. There is no libc below it: each returns
 * what the kernel does, a value or -errno.
 */
#ifndef GUEST__SYS_H
#define GUEST__SYS_H

#include <asm/unistd.h>
#include <linux/time_types.h>
#include "kvm/types.h"

#if defined(__x86_64__)
static inline long sys6(long nr, const long a[6])
{
	register long r10 asm("r10") = a[3];
	register long r8 asm("r8") = a[4];
	register long r9 asm("r9") = a[5];
	long ret;

	asm volatile("syscall"
		     : "=a"(ret)
		     : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10),
		       "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return ret;
}
#else
#error "no system calls of this architecture here yet"
#endif

#define SYS(nr, ...) sys6(nr, (const long[6]) { __VA_ARGS__ })

struct pollfd;
struct stat;
struct timespec;

static inline long sys_open(const char *path, int flags, int mode)
{
	return SYS(__NR_openat, -100, (long)path, flags, mode);
}

static inline long sys_close(int fd)
{
	return SYS(__NR_close, fd);
}

static inline long sys_read(int fd, void *d, size_t len)
{
	return SYS(__NR_read, fd, (long)d, len);
}

static inline long sys_write(int fd, const void *d, size_t len)
{
	return SYS(__NR_write, fd, (long)d, len);
}

static inline long sys_ioctl(int fd, unsigned long request, void *arg)
{
	return SYS(__NR_ioctl, fd, request, (long)arg);
}

static inline long sys_fcntl(int fd, int command, long arg)
{
	return SYS(__NR_fcntl, fd, command, arg);
}

static inline long sys_dup3(int from, int to)
{
	return SYS(__NR_dup3, from, to, 0);
}

static inline long sys_pipe2(int *fds, int flags)
{
	return SYS(__NR_pipe2, (long)fds, flags);
}

static inline long sys_mkdir(const char *path, int mode)
{
	return SYS(__NR_mkdirat, -100, (long)path, mode);
}

static inline long sys_symlink(const char *to, const char *path)
{
	return SYS(__NR_symlinkat, (long)to, -100, (long)path);
}

static inline long sys_unlink(const char *path)
{
	return SYS(__NR_unlinkat, -100, (long)path, 0);
}

static inline long sys_mount(const char *from, const char *to, const char *type,
			     unsigned long flags, const char *data)
{
	return SYS(__NR_mount, (long)from, (long)to, (long)type, flags,
		   (long)data);
}

static inline long sys_chdir(const char *path)
{
	return SYS(__NR_chdir, (long)path);
}

static inline long sys_chroot(const char *path)
{
	return SYS(__NR_chroot, (long)path);
}

static inline long sys_kill(int pid, int sig)
{
	return SYS(__NR_kill, pid, sig);
}

static inline long sys_wait4(int pid, int *status, int options)
{
	return SYS(__NR_wait4, pid, (long)status, options, 0);
}

static inline long sys_socket(int family, int type, int protocol)
{
	return SYS(__NR_socket, family, type, protocol);
}

static inline u64 sys_now_ms(void)
{
	struct __kernel_timespec t = { 0 };

	SYS(__NR_clock_gettime, 1, (long)&t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static inline void __attribute((noreturn)) sys_exit(int status)
{
	for (;;)
		SYS(__NR_exit_group, status);
}

#endif
