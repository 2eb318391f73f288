// SPDX-License-Identifier: GPL-2.0-only
/*
 * An init that reads from /dev/vda and says how long it took.
 *
 * Theory of operation: reads of 4 KiB at random places, past the page cache,
 * by one thread and then by 32 threads, one read each at a time: queue depths
 * 1 and 32. Before and after each phase a line "MARK name" is printed, by
 * which the outside knows what it measured; the first two have nothing between
 * them but themselves. Words on the kernel command line, which the kernel hands
 * on as environment: READS=N per phase; HOLD=1, say READY and wait instead of
 * powering off. Linked statically. Prints what failed, and powers off.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/types.h>

#define BLOCK 4096
#define DEPTH_MAX 32

struct job {
	pthread_t thread;
	int fd;
	long reads;
	__u64 blocks;
	__u64 random;
	int failed;
};

static void end(const char *why)
{
	if (why)
		printf("RESULT blk FAIL %s: %m\n", why);
	fflush(stdout);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void *job_run(void *arg)
{
	struct job *j = arg;
	void *p = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	for (long i = 0; i < j->reads && !j->failed; i++) {
		__u64 at;

		j->random = j->random * 6364136223846793005ULL + 1;
		at = (j->random >> 33) % j->blocks * BLOCK;
		j->failed = pread(j->fd, p, BLOCK, at) != BLOCK;
	}
	munmap(p, BLOCK);
	return NULL;
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

static void phase(int fd, __u64 blocks, int depth, long reads)
{
	static struct job job[DEPTH_MAX];
	__u64 begin = now_us();

	for (int i = 0; i < depth; i++) {
		job[i] = (struct job){
			.fd = fd,
			.reads = reads / depth,
			.blocks = blocks,
			.random = i + 1,
		};
		if (pthread_create(&job[i].thread, NULL, job_run, &job[i]))
			end("thread");
	}
	for (int i = 0; i < depth; i++) {
		pthread_join(job[i].thread, NULL);
		if (job[i].failed)
			end("read");
	}
	printf("TIME %d %llu\n", depth,
	       (unsigned long long)(now_us() - begin));
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
