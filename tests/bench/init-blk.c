// SPDX-License-Identifier: GPL-2.0-only
/*
 * An init that reads from /dev/vda and says how long it took.
 *
 * Theory of operation: reads of 4 KiB at random places, past the page cache, by
 * io_submit(): one at a time, and then 32 in flight, those that have completed
 * submitted again together, as a program does that wants such a depth. Before and
 * after each phase a line "MARK name" is printed, by which the outside knows what
 * it measured; the first two have nothing between them but themselves. Words on
 * the kernel command line, which the kernel hands on as environment: READS=N per
 * phase; HOLD=1, say READY and wait instead of powering off. Linked statically.
 * Prints what failed, and powers off.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/types.h>

#define BLOCK 4096
#define DEPTH_MAX 32

static void end(const char *why)
{
	if (why)
		printf("RESULT blk FAIL %s: %m\n", why);
	fflush(stdout);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static __u64 now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

static void mark(const char *name)
{
	printf("MARK %s\n", name);
	usleep(300000);
}

static void prepare(struct iocb *cb, int fd, __u64 block)
{
	static unsigned char buffers[(DEPTH_MAX + 1) * BLOCK];
	unsigned long buffer = ((unsigned long)buffers | (BLOCK - 1)) + 1;

	cb->aio_lio_opcode = IOCB_CMD_PREAD;
	cb->aio_fildes = fd;
	cb->aio_buf = buffer + cb->aio_data * BLOCK;
	cb->aio_nbytes = BLOCK;
	cb->aio_offset = block * BLOCK;
}

static void phase(int fd, __u64 blocks, int depth, long reads)
{
	struct iocb cb[DEPTH_MAX] = { 0 }, *idle[DEPTH_MAX];
	struct io_event events[DEPTH_MAX];
	int nr_idle = depth;
	aio_context_t ctx = 0;
	__u64 random = depth;
	__u64 begin;

	for (int i = 0; i < depth; i++) {
		cb[i].aio_data = i;
		idle[i] = &cb[i];
	}
	if (syscall(__NR_io_setup, depth, &ctx))
		end("io_setup");
	begin = now_us();
	for (long left = reads; left || nr_idle < depth;) {
		int n = nr_idle < left ? nr_idle : left;

		for (int i = nr_idle - n; i < nr_idle; i++) {
			random = random * 6364136223846793005ULL + 1;
			prepare(idle[i], fd, (random >> 33) % blocks);
		}
		nr_idle -= n;
		left -= n;
		if (n && syscall(__NR_io_submit, ctx, n, idle + nr_idle) != n)
			end("io_submit");
		n = syscall(__NR_io_getevents, ctx, 1, depth, events, NULL);
		if (n < 1)
			end("io_getevents");
		for (int i = 0; i < n; i++) {
			if (events[i].res != BLOCK)
				end("read");
			idle[nr_idle++] = &cb[events[i].data];
		}
	}
	printf("TIME %d %llu\n", depth,
	       (unsigned long long)(now_us() - begin));
	syscall(__NR_io_destroy, ctx);
}

int main(void)
{
	const char *reads = getenv("READS");
	long n = reads ? atol(reads) : 0;
	__u64 size = 0;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	fd = open("/dev/vda", O_RDONLY | O_DIRECT);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0 || size < BLOCK)
		end("/dev/vda");
	phase(fd, size / BLOCK, 1, 64);
	if (getenv("HOLD")) {
		printf("READY\n");
		for (;;)
			pause();
	}
	mark("begin");
	mark("empty");
	phase(fd, size / BLOCK, 1, n);
	mark("depth1");
	phase(fd, size / BLOCK, DEPTH_MAX, n);
	mark("depth32");
	printf("RESULT blk ok\n");
	end(NULL);
}
