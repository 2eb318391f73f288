// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The input is a kernel file: it is written to a memfd and loaded by its
 * /proc path. One thread. RAM is small and fresh for each run, with a second
 * region from 4 GiB; what is loaded must be entered inside of it. With MUST_LOAD in
 * the environment it has to be a kernel that can be loaded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "x86/x86.h"
#include "tests/fuzz/fuzz.h"

#define LOW_SIZE (32 * SZ_1M)
#define HIGH_SIZE (4 * SZ_1M)

static void load(u8 *low, const char *path)
{
	static const struct e820 e820 = {
		.entry = { { .addr = SZ_1M, .size = SZ_1M, .type = 1 } },
		.nr = 1,
	};
	struct gmem gmem = { .nr = 0 };
	struct x86_load l = {
		.gmem = &gmem,
		.kernel = path,
		.initrd = path,
		.cmdline = "panic=-1",
		.e820 = &e820,
	};
	struct x86_image image;
	struct report r = { .msg = "" };
	int err;

	if (gmem_add(&gmem, 0, LOW_SIZE, low) ||
	    gmem_add(&gmem, SZ_4G, HIGH_SIZE, low + LOW_SIZE))
		__builtin_trap();
	err = x86_load_image(&l, &image, &r);
	if (err ? !r.msg[0] : !gmem_ptr(&gmem, image.rip, 1))
		__builtin_trap();
	if (err && getenv("MUST_LOAD")) {
		fprintf(stderr, "%s\n", r.msg);
		__builtin_trap();
	}
}

int fuzz_one(const u8 *data, size_t size)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);
	char path[32];
	u8 *low;

	if (fd < 0)
		return 0;
	low = mmap(NULL, LOW_SIZE + HIGH_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (low == MAP_FAILED)
		goto out;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (write(fd, data, size) == (ssize_t)size)
		load(low, path);
	munmap(low, LOW_SIZE + HIGH_SIZE);
out:
	close(fd);
	return 0;
}
