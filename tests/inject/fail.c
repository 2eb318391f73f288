// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes calls of libc's and the kernel fail: a library to be preloaded.
 *
 *	INJECT_CALL=NAME INJECT_NTH=N	the Nth call of NAME fails
 *
 * Theory of operation: what lkvm calls when it starts is interposed. One count that
 * all threads share finds the Nth call of that name. A line is then written to the
 * file descriptor INJECT_FD, so that the caller knows whether there were that many.
 * System calls that libc has no function for are "io_uring" and "seal".
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int env_number(const char *name)
{
	const char *s = getenv(name);

	return s ? atoi(s) : -1;
}

static bool fails(const char *name, int err)
{
	const char *call = getenv("INJECT_CALL");
	static int count;

	if (!call || strcmp(call, name) ||
	    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) != env_number("INJECT_NTH"))
		return false;
	if (write(env_number("INJECT_FD"), "inject\n", 7) != 7)
		_exit(99);
	errno = err;
	return true;
}

/* Not in the programs that lkvm starts */
static void __attribute__((constructor)) only_here(void)
{
	unsetenv("LD_PRELOAD");
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t nr, size_t size);
void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
	return fails("malloc", ENOMEM) ? NULL : __libc_malloc(size);
}

void *calloc(size_t nr, size_t size)
{
	return fails("calloc", ENOMEM) ? NULL : __libc_calloc(nr, size);
}

void *realloc(void *p, size_t size)
{
	return fails("realloc", ENOMEM) ? NULL : __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	typeof(aligned_alloc) *call = next(__func__);

	return fails(__func__, ENOMEM) ? NULL : call(align, size);
}

void *mmap64(void *p, size_t len, int prot, int flags, int fd, off_t off)
{
	typeof(mmap64) *call = next(__func__);

	return fails("mmap", ENOMEM) ? MAP_FAILED : call(p, len, prot, flags, fd, off);
}

int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	typeof(pthread_create) *call = next(__func__);

	return fails(__func__, EAGAIN) ? EAGAIN : call(t, attr, run, arg);
}

int eventfd(unsigned int count, int flags)
{
	typeof(eventfd) *call = next(__func__);

	return fails(__func__, EMFILE) ? -1 : call(count, flags);
}

int signalfd(int fd, const sigset_t *set, int flags)
{
	typeof(signalfd) *call = next(__func__);

	return fails(__func__, EMFILE) ? -1 : call(fd, set, flags);
}

int epoll_create1(int flags)
{
	typeof(epoll_create1) *call = next(__func__);

	return fails(__func__, EMFILE) ? -1 : call(flags);
}

int socket(int domain, int type, int protocol)
{
	typeof(socket) *call = next(__func__);

	return fails(__func__, EMFILE) ? -1 : call(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *to, socklen_t len)
{
	typeof(bind) *call = next(__func__);

	return fails(__func__, EACCES) ? -1 : call(fd, to, len);
}

int listen(int fd, int nr)
{
	typeof(listen) *call = next(__func__);

	return fails(__func__, EADDRINUSE) ? -1 : call(fd, nr);
}

int open64(const char *path, int flags, ...)
{
	typeof(open64) *call = next(__func__);
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	return fails("open", EMFILE) ? -1 : call(path, flags, mode);
}

int fcntl64(int fd, int cmd, ...)
{
	typeof(fcntl64) *call = next(__func__);
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	return fails("fcntl", EINVAL) ? -1 : call(fd, cmd, arg);
}

int fstat64(int fd, struct stat64 *st)
{
	typeof(fstat64) *call = next(__func__);

	return fails("fstat", EIO) ? -1 : call(fd, st);
}

ssize_t pread64(int fd, void *buf, size_t len, off_t off)
{
	typeof(pread64) *call = next(__func__);

	return fails("pread", EIO) ? -1 : call(fd, buf, len, off);
}

static const char *name_of(long nr)
{
	switch (nr) {
	case SYS_io_uring_setup:
	case SYS_io_uring_register:
		return "io_uring";
	case SYS_landlock_create_ruleset:
	case SYS_landlock_add_rule:
	case SYS_landlock_restrict_self:
	case SYS_seccomp:
		return "seal";
	default:
		return "";
	}
}

long syscall(long nr, ...)
{
	typeof(syscall) *call = next(__func__);
	va_list ap;
	long a[6];

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return fails(name_of(nr), ENOMEM) ? -1 : call(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
