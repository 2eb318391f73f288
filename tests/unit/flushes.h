/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program asks the kernel to do with a disk: system calls of disk/ pass here
 * on their way, and SQEs are looked at before the kernel takes them. One ring that
 * is in use at a time.
 */
#ifndef KVM__TEST_FLUSHES_H
#define KVM__TEST_FLUSHES_H

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/io_uring.h>
#include "kvm/types.h"

/**
 * struct disk_calls - what was asked for
 * @fdatasyncs: system calls
 * @fsyncs: SQEs of the same kind
 * @files: SQEs on a file, of which @unregistered have its descriptor
 * @submitted: SQEs that the kernel took
 */
static struct disk_calls {
	unsigned int fdatasyncs;
	unsigned int fsyncs;
	unsigned int files;
	unsigned int unregistered;
	unsigned int submitted;
} disk_calls;

/* Called before a flush and behind each io_uring_enter, unless they are NULL */
static void (*before_flush)(void);
static void (*behind_enter)(void);
static struct io_uring_params ring;
static struct io_uring_sqe *ring_sqes;
static u8 *ring_map;

static inline unsigned int nr_flushes(void)
{
	return __atomic_load_n(&disk_calls.fdatasyncs, __ATOMIC_ACQUIRE) +
	       __atomic_load_n(&disk_calls.fsyncs, __ATOMIC_ACQUIRE);
}

static inline void count_flush(unsigned int *n)
{
	if (before_flush)
		before_flush();
	__atomic_add_fetch(n, 1, __ATOMIC_RELEASE);
}

static inline void ring_find(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long at, off;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (!strstr(line, "[io_uring]") ||
		    sscanf(line, "%lx-%*x %*s %lx", &at, &off) != 2)
			continue;
		if (off == IORING_OFF_SQES)
			ring_sqes = (struct io_uring_sqe *)at;
		else if (!off)
			ring_map = (u8 *)at;
	}
	if (f)
		fclose(f);
}

static inline void look_at_sqes(unsigned int nr)
{
	u32 head, mask;

	if (!ring_map)
		ring_find();
	if (!ring_map || !ring_sqes)
		return;
	head = __atomic_load_n((u32 *)(ring_map + ring.sq_off.head), __ATOMIC_ACQUIRE);
	mask = *(u32 *)(ring_map + ring.sq_off.ring_mask);
	for (; nr; nr--, head++) {
		const struct io_uring_sqe *sqe = &ring_sqes[head & mask];

		if (sqe->opcode == IORING_OP_POLL_ADD || sqe->opcode == IORING_OP_ASYNC_CANCEL)
			continue;
		disk_calls.files++;
		disk_calls.unregistered += !(sqe->flags & IOSQE_FIXED_FILE);
		if (sqe->opcode == IORING_OP_FSYNC && sqe->fsync_flags == IORING_FSYNC_DATASYNC)
			count_flush(&disk_calls.fsyncs);
	}
}

/* Instead of the C library's. */
long syscall(long nr, ...)
{
	static long (*next)(long nr, ...);
	long a[6] = { 0 }, ret;
	va_list ap;

	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	va_start(ap, nr);
	/* The last one is on the stack, if at all. */
	for (int i = 0; i < (nr == SYS_io_uring_enter ? 6 : 5); i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (nr == SYS_io_uring_enter)
		look_at_sqes(a[1]);
	ret = next(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (nr == SYS_io_uring_setup && ret >= 0) {
		ring = *(struct io_uring_params *)a[1];
		ring_map = NULL;
		ring_sqes = NULL;
	}
	if (nr == SYS_io_uring_enter && ret > 0)
		disk_calls.submitted += ret;
	if (nr == SYS_io_uring_enter && behind_enter)
		behind_enter();
	return ret;
}

int fdatasync(int fd)
{
	count_flush(&disk_calls.fdatasyncs);
	return syscall(SYS_fdatasync, fd);
}

#endif
