// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes KVM fail: a library to be preloaded.
 *
 *	INJECT_FAIL=N	the Nth ioctl of KVM fails with EIO
 *	INJECT_CAP=N	KVM_CHECK_EXTENSION says that capability N is absent
 *
 * Theory of operation: ioctl() is interposed and calls the kernel itself. A
 * count that is shared by all threads finds the Nth call. When it is reached,
 * "inject: " and the request are written to the file descriptor INJECT_FD, so
 * that the caller knows whether there were that many.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/kvm.h>

static int env_number(const char *name)
{
	const char *s = getenv(name);

	return s ? atoi(s) : -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	static int count;
	void *arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_CHECK_EXTENSION &&
	    (long)arg == env_number("INJECT_CAP"))
		return 0;
	if (_IOC_TYPE(request) == KVMIO &&
	    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) ==
		    env_number("INJECT_FAIL")) {
		dprintf(env_number("INJECT_FD"), "inject: 0x%lx\n", request);
		errno = EIO;
		return -1;
	}
	return syscall(SYS_ioctl, fd, request, arg);
}
