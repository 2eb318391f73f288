// SPDX-License-Identifier: GPL-2.0-only
/* Tests of disk/: opening, locking, and both engines. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <linux/fs.h>
#include "kvm/disk.h"
#include "flushes.h"
#include "test.h"

#define IMAGE_SIZE SZ_1M

/* Files are block devices, whose answer to BLKDISCARD is @discard_errno */
static bool are_devices;
static int discard_errno;
static u64 discarded[2];
/* The descriptor of the image that was opened last */
static int opened;
/* How often what threads call is interrupted yet */
static unsigned int interrupts;
/* The most that is moved at once; 0 for all, of a ring for "try again" */
static size_t most;

int fstat(int fd, struct stat *st)
{
	int ret = fstatat(fd, "", st, AT_EMPTY_PATH);

	opened = fd;
	if (are_devices)
		st->st_mode = S_IFBLK | 0600;
	return ret;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (are_devices && request == BLKGETSIZE64) {
		*(u64 *)arg = IMAGE_SIZE;
		return 0;
	}
	if (are_devices && request == BLKDISCARD) {
		memcpy(discarded, arg, sizeof(discarded));
		errno = discard_errno;
		return -1;
	}
	return syscall(SYS_ioctl, fd, request, arg);
}

static void say_again(void)
{
	struct io_uring_cqe *cqes = (void *)(ring_map + ring.cq_off.cqes);
	u32 head, tail, mask;

	if (!ring_map)
		return;
	head = *(u32 *)(ring_map + ring.cq_off.head);
	tail = __atomic_load_n((u32 *)(ring_map + ring.cq_off.tail), __ATOMIC_ACQUIRE);
	mask = *(u32 *)(ring_map + ring.cq_off.ring_mask);
	for (; head != tail; head++)
		if (!(cqes[head & mask].user_data & 1))
			cqes[head & mask].res =
				most ? MIN(cqes[head & mask].res, (int)most) : -EAGAIN;
}

/* Whether all that the kernel says of requests is "try again" */
static void all_again(bool again)
{
	behind_enter = again ? say_again : NULL;
}

static bool is_interrupted(void)
{
	errno = EINTR;
	return interrupts && interrupts--;
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	return is_interrupted() ? -1 : syscall(SYS_fallocate, fd, mode, off, len);
}

ssize_t preadv(int fd, const struct iovec *iov, int nr, off_t off)
{
	if (is_interrupted())
		return -1;
	return most ? pread(fd, iov->iov_base, MIN(iov->iov_len, most), off) :
		      syscall(SYS_preadv, fd, iov, nr, off, 0);
}

ssize_t pwritev(int fd, const struct iovec *iov, int nr, off_t off)
{
	if (is_interrupted())
		return -1;
	return most ? pwrite(fd, iov->iov_base, MIN(iov->iov_len, most), off) :
		      syscall(SYS_pwritev, fd, iov, nr, off, 0);
}

struct fixture {
	char path[64];
	struct disk *d;
	struct disk_queue *q;
};

static void image_create(struct fixture *f, off_t size)
{
	int fd;

	*f = (struct fixture){ .path = "/tmp/lkvm-disk-XXXXXX" };
	fd = mkstemp(f->path);
	if (fd >= 0 && ftruncate(fd, size))
		perror("ftruncate");
	close(fd);
}

static bool setup(struct fixture *f, enum disk_engine engine, bool direct)
{
	struct disk_opts o = {
		.path = f->path, .engine = engine, .direct = direct,
	};
	struct report r = { 0 };

	image_create(f, IMAGE_SIZE);
	if (disk_open(&f->d, &o, &r)) {
		printf("# SKIP %s\n", r.msg);
		unlink(f->path);
		return false;
	}
	return !disk_queue_create(f->d, 64, &f->q);
}

static void teardown(struct fixture *f)
{
	disk_queue_destroy(f->q);
	disk_close(f->d);
	unlink(f->path);
}

static int run(struct fixture *f, struct disk_req *req)
{
	u32 fired;

	disk_submit(f->q, req);
	if (disk_wait(f->q, NULL, 0, &fired, true) != req)
		return -EPROTO;
	return req->result;
}

static int transfer(struct fixture *f, enum disk_op op, u64 off, void *p,
		    size_t len)
{
	struct iovec iov = { p, len };
	struct disk_req req = {
		.op = op, .off = off, .len = len, .iov = &iov, .nr_iov = 1,
	};

	return run(f, &req);
}

static int range(struct fixture *f, enum disk_op op, u64 off, u64 len,
		 bool unmap)
{
	struct disk_req req = {
		.op = op, .off = off, .len = len, .unmap = unmap,
	};

	return run(f, &req);
}

static void check_rw(struct test *t, enum disk_engine e, bool direct)
{
	static u8 raw[4096 * 3], back[4096 * 3];
	struct fixture f;
	struct iovec iov[3] = {
		{ raw + 1, 511 }, { raw + 512, 0 }, { raw + 512, 513 },
	};
	struct disk_req w = {
		.op = DISK_WRITE, .off = 512, .len = 1024, .iov = iov,
		.nr_iov = 3,
	};

	if (!setup(&f, e, direct))
		return;
	EXPECT(!(fcntl(opened, F_GETFL) & O_DIRECT) == !direct);
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = i * 7 + 1;
	disk_calls = (struct disk_calls){ 0 };
	EXPECT(run(&f, &w) == 0 && !nr_flushes());
	EXPECT(transfer(&f, DISK_FLUSH, 0, NULL, 0) == 0 && nr_flushes() == 1);
	EXPECT(transfer(&f, DISK_READ, 512, back + 3, 1024) == 0);
	EXPECT(!memcmp(back + 3, raw + 1, 1024));
	EXPECT(transfer(&f, DISK_READ, IMAGE_SIZE - 512, back, 512) == 0);
	EXPECT(transfer(&f, DISK_READ, IMAGE_SIZE, back, 512) == -EINVAL);
	EXPECT(transfer(&f, DISK_WRITE, IMAGE_SIZE - 512, raw, 1024) ==
	       -EINVAL);
	EXPECT(transfer(&f, DISK_READ, ~0ULL - 511, back, 1024) == -EINVAL);
	EXPECT(transfer(&f, DISK_READ, 0, back, 0) == 0);
	EXPECT(disk_calls.fsyncs == (e == DISK_ENGINE_URING) && nr_flushes() == 1);
	EXPECT(!disk_calls.files == (e != DISK_ENGINE_URING) && !disk_calls.unregistered);
	teardown(&f);
}

static void check_big(struct test *t, enum disk_engine e, bool direct)
{
	size_t len = IMAGE_SIZE - 512;
	u8 *a = malloc(len + 1), *b = malloc(len + 1);
	struct fixture f;

	if (!setup(&f, e, direct))
		goto out;
	for (size_t i = 0; i <= len; i++)
		a[i] = (i >> 9) * 13 + i;
	EXPECT(transfer(&f, DISK_WRITE, 512, a + 1, len) == 0);
	memset(b, 0, len + 1);
	EXPECT(transfer(&f, DISK_READ, 512, b + 1, len) == 0);
	EXPECT(!memcmp(a + 1, b + 1, len));
	teardown(&f);
out:
	free(a);
	free(b);
}

static void check_ranges(struct test *t, enum disk_engine e)
{
	static u8 a[SZ_1M / 4], zero[SZ_1M / 4];
	struct fixture f;
	struct stat st;

	if (!setup(&f, e, false))
		return;
	memset(a, 0x5a, sizeof(a));
	EXPECT(transfer(&f, DISK_WRITE, 0, a, sizeof(a)) == 0);
	EXPECT(range(&f, DISK_WRITE_ZEROES, 512, 4096, false) == 0);
	EXPECT(transfer(&f, DISK_READ, 0, a, sizeof(a)) == 0);
	EXPECT(a[511] == 0x5a && a[512 + 4096] == 0x5a);
	EXPECT(!memcmp(a + 512, zero, 4096));
	EXPECT(range(&f, DISK_WRITE_ZEROES, 0, 8192, true) == 0);
	if (disk_info(f.d)->discard)
		EXPECT(range(&f, DISK_DISCARD, 0, sizeof(a), false) == 0);
	EXPECT(range(&f, DISK_DISCARD, IMAGE_SIZE, 512, false) == -EINVAL);
	EXPECT(transfer(&f, DISK_READ, 0, a, 8192) == 0);
	EXPECT(!memcmp(a, zero, 8192));
	EXPECT(!stat(f.path, &st) && (u64)st.st_size == IMAGE_SIZE);
	teardown(&f);
}

static void check_fds(struct test *t, enum disk_engine e)
{
	struct fixture f;
	int fds[3];
	u64 one = 1;
	u32 fired;

	if (!setup(&f, e, false))
		return;
	for (int i = 0; i < 3; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	EXPECT(!disk_wait(f.q, fds, 3, &fired, false) && !fired);
	for (int n = 0; n < 10; n++) {
		int i = n % 3;

		EXPECT(write(fds[i], &one, 8) == 8);
		EXPECT(!disk_wait(f.q, fds, 3, &fired, true));
		EXPECT(fired == BIT(i));
		EXPECT(!disk_wait(f.q, fds, 3, &fired, false) && !fired);
	}
	EXPECT(write(fds[0], &one, 8) == 8);
	EXPECT(write(fds[2], &one, 8) == 8);
	EXPECT(!disk_wait(f.q, fds, 3, &fired, true) && fired == 5);
	teardown(&f);
	for (int i = 0; i < 3; i++) {
		EXPECT(read(fds[i], &one, 8) < 0 && errno == EAGAIN);
		close(fds[i]);
	}
}

static void *kicker(void *opaque)
{
	u64 one = 1;

	usleep(30000);
	return write(*(int *)opaque, &one, 8) == 8 ? NULL : opaque;
}

static void check_wakes(struct test *t, enum disk_engine e)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct fixture f;
	pthread_t thread;
	u32 fired;

	if (!setup(&f, e, false))
		goto out;
	for (int i = 0; i < 3; i++) {
		void *bad;

		pthread_create(&thread, NULL, kicker, &fd);
		EXPECT(!disk_wait(f.q, &fd, 1, &fired, true) && fired == 1);
		pthread_join(thread, &bad);
		EXPECT(!bad);
	}
	teardown(&f);
out:
	close(fd);
}

/* More than the queue was made for, and left in flight at the end. */
static void check_many(struct test *t, enum disk_engine e)
{
	enum { NR = 500 };
	static u8 buf[NR][512];
	struct iovec iov[NR];
	struct disk_req *req = calloc(NR, sizeof(*req)), *done;
	unsigned int nr = 0;
	struct fixture f;
	u32 fired;

	if (!setup(&f, e, false))
		goto out;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < NR; i++) {
			iov[i] = (struct iovec){ buf[i], 512 };
			req[i] = (struct disk_req){
				.op = round & 1 ? DISK_READ : DISK_WRITE,
				.off = i * 512, .len = 512, .iov = &iov[i],
				.nr_iov = 1, .result = 1,
			};
			memset(buf[i], round & 1 ? 0 : i, 512);
			disk_submit(f.q, &req[i]);
		}
		if (round == 2)
			break;
		for (nr = 0; nr < NR;) {
			done = disk_wait(f.q, NULL, 0, &fired, true);
			for (; done; done = done->next, nr++)
				EXPECT(done->result == 0);
		}
		for (int i = 0; i < NR; i++)
			EXPECT(buf[i][0] == (u8)i && buf[i][511] == (u8)i);
	}
	teardown(&f);
out:
	free(req);
}

static void check_shrunk(struct test *t, enum disk_engine e)
{
	static u8 buf[8192];
	struct fixture f;

	if (!setup(&f, e, false))
		return;
	EXPECT(!truncate(f.path, 4096));
	EXPECT(transfer(&f, DISK_READ, 0, buf, sizeof(buf)) == -EIO);
	EXPECT(transfer(&f, DISK_READ, 0, buf, 4096) == 0);
	teardown(&f);
}

TEST(uring_reads_back_what_was_written)
{
	check_rw(t, DISK_ENGINE_URING, false);
}

TEST(threads_reads_back_what_was_written)
{
	check_rw(t, DISK_ENGINE_THREADS, false);
}

TEST(uring_direct_reads_back_unaligned_buffers)
{
	check_rw(t, DISK_ENGINE_URING, true);
}

TEST(threads_direct_reads_back_unaligned_buffers)
{
	check_rw(t, DISK_ENGINE_THREADS, true);
}

TEST(uring_moves_a_large_request)
{
	check_big(t, DISK_ENGINE_URING, false);
}

TEST(threads_moves_a_large_request)
{
	check_big(t, DISK_ENGINE_THREADS, false);
}

TEST(uring_direct_moves_a_large_unaligned_request)
{
	check_big(t, DISK_ENGINE_URING, true);
}

TEST(threads_direct_moves_a_large_unaligned_request)
{
	check_big(t, DISK_ENGINE_THREADS, true);
}

TEST(uring_zeroes_and_discards_ranges)
{
	check_ranges(t, DISK_ENGINE_URING);
}

TEST(threads_zeroes_and_discards_ranges)
{
	check_ranges(t, DISK_ENGINE_THREADS);
}

TEST(uring_reports_each_eventfd)
{
	check_fds(t, DISK_ENGINE_URING);
}

TEST(threads_reports_each_eventfd)
{
	check_fds(t, DISK_ENGINE_THREADS);
}

TEST(uring_wakes_on_eventfd_while_blocked)
{
	check_wakes(t, DISK_ENGINE_URING);
}

TEST(threads_wakes_on_eventfd_while_blocked)
{
	check_wakes(t, DISK_ENGINE_THREADS);
}

TEST(uring_survives_more_requests_than_depth)
{
	check_many(t, DISK_ENGINE_URING);
}

TEST(threads_survives_more_requests_than_depth)
{
	check_many(t, DISK_ENGINE_THREADS);
}

TEST(uring_read_past_a_shrunk_end_is_eio)
{
	check_shrunk(t, DISK_ENGINE_URING);
}

TEST(threads_read_past_a_shrunk_end_is_eio)
{
	check_shrunk(t, DISK_ENGINE_THREADS);
}

static int try_open(const char *path, bool readonly, struct report *r)
{
	struct disk_opts o = { .path = path, .readonly = readonly };
	struct disk *d = NULL;
	int ret;

	memset(r, 0, sizeof(*r));
	ret = disk_open(&d, &o, r);
	if (!ret)
		disk_close(d);
	return ret;
}

TEST(disk_open_refuses_what_is_no_image)
{
	struct report r;
	struct fixture f;
	char fifo[80];

	EXPECT(try_open("/nonexistent/x", false, &r) == -ENOENT);
	EXPECT(strstr(r.msg, "disk /nonexistent/x: cannot open: No such"));
	EXPECT(try_open("/tmp", true, &r) == -EISDIR);
	EXPECT(try_open("/tmp", false, &r) == -EISDIR);
	EXPECT(try_open("/dev/null", false, &r) < 0 && r.msg[0]);
	image_create(&f, 0);
	EXPECT(try_open(f.path, true, &r) < 0 && strstr(r.msg, "is empty"));
	snprintf(fifo, sizeof(fifo), "%s.fifo", f.path);
	EXPECT(!mkfifo(fifo, 0600));
	EXPECT(try_open(fifo, true, &r) < 0);
	unlink(fifo);
	unlink(f.path);
}

TEST(disk_open_refuses_a_part_of_a_sector)
{
	static const u64 size[] = { 1, 511, 513, 1024 + 100 };
	struct report r;

	for (unsigned int i = 0; i < ARRAY_SIZE(size); i++) {
		struct fixture f;

		image_create(&f, size[i]);
		EXPECT(try_open(f.path, true, &r) == -EINVAL);
		EXPECT(strstr(r.msg, "not whole blocks of 512 bytes"));
		unlink(f.path);
	}
}

TEST(disk_open_has_all_sectors)
{
	struct fixture f;
	struct disk_opts o = { .path = f.path, .readonly = true };

	image_create(&f, 1024);
	EXPECT(!disk_open(&f.d, &o, NULL));
	EXPECT(disk_info(f.d)->size == 1024);
	EXPECT(disk_info(f.d)->block_size == 512);
	EXPECT(disk_info(f.d)->readonly && !disk_info(f.d)->discard);
	disk_close(f.d);
	unlink(f.path);
}

TEST(disk_open_refuses_an_image_in_use)
{
	struct fixture f;
	struct disk_opts rw = { .path = f.path };
	struct disk_opts ro = { .path = f.path, .readonly = true };
	struct disk *other;
	struct report r;

	image_create(&f, 4096);
	EXPECT(!disk_open(&f.d, &rw, NULL));
	EXPECT(try_open(f.path, false, &r) == -EBUSY && r.msg[0]);
	EXPECT(try_open(f.path, true, &r) == -EBUSY);
	disk_close(f.d);
	EXPECT(!disk_open(&f.d, &ro, NULL));
	EXPECT(!disk_open(&other, &ro, NULL));
	EXPECT(try_open(f.path, false, &r) == -EBUSY);
	disk_close(other);
	disk_close(f.d);
	EXPECT(try_open(f.path, false, &r) == 0);
	unlink(f.path);
}

TEST(disk_write_to_readonly_is_refused)
{
	struct fixture f;
	struct disk_opts ro = { .path = f.path, .readonly = true };
	u8 buf[512] = { 0 };

	image_create(&f, 4096);
	EXPECT(!disk_open(&f.d, &ro, NULL));
	EXPECT(!disk_queue_create(f.d, 4, &f.q));
	EXPECT(transfer(&f, DISK_WRITE, 0, buf, 512) == -EROFS);
	EXPECT(transfer(&f, DISK_READ, 0, buf, 512) == 0);
	teardown(&f);
}

TEST(disk_open_takes_a_descriptor_that_is_what_it_is_said_to_be)
{
	struct report r = { "" };
	struct disk_opts o = { .path = "x", .has_fd = true };
	struct fixture f;
	int fd;

	image_create(&f, 4096);
	fd = open(f.path, O_RDONLY | O_NONBLOCK);
	o.fd = fd;
	EXPECT(disk_open(&f.d, &o, &r) < 0 && strstr(r.msg, "not open for"));
	o.direct = true;
	o.readonly = true;
	EXPECT(disk_open(&f.d, &o, NULL) < 0);
	/* It is still the caller's; now it changes hands. */
	o.direct = false;
	EXPECT(!disk_open(&f.d, &o, NULL));
	EXPECT(disk_info(f.d)->readonly && disk_info(f.d)->size == 4096);
	EXPECT(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	EXPECT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	disk_close(f.d);
	EXPECT(fcntl(fd, F_GETFD) < 0);
	o.readonly = false;
	*r.msg = 0;
	o.fd = open(f.path, O_RDWR | O_APPEND);
	EXPECT(disk_open(&f.d, &o, &r) < 0 && strstr(r.msg, "appending"));
	close(o.fd);
	o.fd = open(f.path, O_PATH);
	EXPECT(disk_open(&f.d, &o, NULL) < 0);
	close(o.fd);
	*r.msg = 0;
	o.fd = memfd_create("empty", MFD_CLOEXEC);
	EXPECT(disk_open(&f.d, &o, &r) < 0 && strstr(r.msg, "is empty"));
	EXPECT(!close(o.fd));
	unlink(f.path);
}

/* sysfs is out of reach in a sealed process: the device itself says it. */
TEST(disk_open_asks_a_block_device_whether_it_can_discard)
{
	struct fixture f;
	struct disk_opts o = { .path = f.path };

	image_create(&f, IMAGE_SIZE);
	are_devices = true;
	for (int i = 0; i < 4; i++) {
		discard_errno = i & 1 ? EINVAL : EOPNOTSUPP;
		o.readonly = i & 2;
		EXPECT(!disk_open(&f.d, &o, NULL));
		EXPECT(disk_info(f.d)->discard == (i == 1));
		/* By something that no device can do. */
		EXPECT(discarded[0] % 512 && discarded[1] == 512);
		disk_close(f.d);
	}
	/* So it is asked to discard something, by either engine. */
	o.readonly = false;
	for (int i = 0; i < 2; i++) {
		o.engine = i ? DISK_ENGINE_THREADS : DISK_ENGINE_AUTO;
		EXPECT(!disk_open(&f.d, &o, NULL));
		EXPECT(!disk_queue_create(f.d, 4, &f.q));
		memset(discarded, 0, sizeof(discarded));
		EXPECT(range(&f, DISK_DISCARD, 4096, 8192, false) == -EINVAL);
		EXPECT(discarded[0] == 4096 && discarded[1] == 8192);
		disk_queue_destroy(f.q);
		disk_close(f.d);
	}
	are_devices = false;
	unlink(f.path);
}

/* "Try again" is the last word of a kernel that has tried. */
TEST(uring_request_that_cannot_be_done_there_is_done_here)
{
	static u8 a[4096], b[4096];
	struct fixture f;

	if (!setup(&f, DISK_ENGINE_URING, false))
		return;
	memset(a, 0x5a, sizeof(a));
	all_again(true);
	EXPECT(transfer(&f, DISK_WRITE, 512, a, sizeof(a)) == 0);
	EXPECT(transfer(&f, DISK_READ, 512, b, sizeof(b)) == 0);
	EXPECT(!memcmp(a, b, sizeof(a)));
	disk_calls.fdatasyncs = 0;
	EXPECT(transfer(&f, DISK_FLUSH, 0, NULL, 0) == 0 && disk_calls.fdatasyncs == 1);
	EXPECT(range(&f, DISK_WRITE_ZEROES, 0, 8192, false) == 0);
	EXPECT(transfer(&f, DISK_READ, 512, b, sizeof(b)) == 0 && !b[0]);
	all_again(false);
	teardown(&f);
}

#define BATCH 32U
#define PIECE 1024U

struct batch {
	struct disk_req req[BATCH];
	struct iovec iov[BATCH][2];
};

/* All of them at once, in two pieces each, as @order says. Return: how many SQEs */
static unsigned int run_batch(struct fixture *f, struct batch *b, enum disk_op op,
			      u8 *data, const u8 *order)
{
	unsigned int before = disk_calls.submitted, done = 0;
	struct disk_req *req;
	u32 fired;

	for (unsigned int n = 0; n < BATCH; n++) {
		unsigned int i = order ? order[n] : n;
		u8 *p = data + i * PIECE;

		b->iov[i][0] = (struct iovec){ p, 100 };
		b->iov[i][1] = (struct iovec){ p + 100, PIECE - 100 };
		b->req[i] = (struct disk_req){
			.op = op, .off = 512 + i * PIECE, .len = PIECE,
			.iov = b->iov[i], .nr_iov = 2, .result = 1,
		};
		disk_submit(f->q, &b->req[i]);
	}
	while (done < BATCH) {
		req = disk_wait(f->q, NULL, 0, &fired, true);
		for (; req; req = req->next)
			done++;
	}
	return disk_calls.submitted - before;
}

static unsigned int nr_results(const struct batch *b, int result)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < BATCH; i++)
		n += b->req[i].result == result;
	return n;
}

TEST(uring_merges_what_is_one_behind_the_other)
{
	static u8 data[BATCH * PIECE], back[BATCH * PIECE];
	static struct batch b;
	u8 order[BATCH];
	struct fixture f;

	if (!setup(&f, DISK_ENGINE_URING, false))
		return;
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7 + i / PIECE);
	EXPECT(run_batch(&f, &b, DISK_WRITE, data, NULL) == 1);
	EXPECT(nr_results(&b, 0) == BATCH);
	EXPECT(run_batch(&f, &b, DISK_READ, back, NULL) == 1);
	EXPECT(nr_results(&b, 0) == BATCH && !memcmp(data, back, sizeof(data)));
	/* Backwards but for the last two */
	for (unsigned int i = 0; i < BATCH; i++)
		order[i] = (u8)(BATCH - 1 - i);
	order[BATCH - 2] = 0;
	order[BATCH - 1] = 1;
	memset(back, 0, sizeof(back));
	EXPECT(run_batch(&f, &b, DISK_READ, back, order) == BATCH - 1);
	EXPECT(nr_results(&b, 0) == BATCH && !memcmp(data, back, sizeof(data)));
	all_again(true);
	memset(back, 0, sizeof(back));
	run_batch(&f, &b, DISK_READ, back, NULL);
	all_again(false);
	EXPECT(nr_results(&b, 0) == BATCH && !memcmp(data, back, sizeof(data)));
	teardown(&f);
}

TEST(uring_merged_requests_have_errors_of_their_own)
{
	static u8 back[BATCH * PIECE];
	static struct batch b;
	struct fixture f;

	if (!setup(&f, DISK_ENGINE_URING, false))
		return;
	EXPECT(!truncate(f.path, 512 + 10 * PIECE + 700));
	run_batch(&f, &b, DISK_READ, back, NULL);
	EXPECT(nr_results(&b, 0) == 10 && nr_results(&b, -EIO) == BATCH - 10);
	EXPECT(!b.req[9].result && b.req[10].result);
	EXPECT(!truncate(f.path, 512));
	run_batch(&f, &b, DISK_READ, back, NULL);
	EXPECT(nr_results(&b, -EIO) == BATCH);
	teardown(&f);
}

TEST(disk_is_not_interrupted_for_ever)
{
	static u8 d[4096];
	struct fixture f;

	if (!setup(&f, DISK_ENGINE_THREADS, false))
		return;
	interrupts = 2;
	EXPECT(range(&f, DISK_WRITE_ZEROES, 0, 4096, true) == 0);
	EXPECT(!interrupts);
	interrupts = ~0U;
	EXPECT(range(&f, DISK_WRITE_ZEROES, 0, 4096, true) == -EINTR);
	interrupts = 2;
	EXPECT(transfer(&f, DISK_READ, 0, d, sizeof(d)) == 0 && !interrupts);
	interrupts = ~0U;
	EXPECT(transfer(&f, DISK_WRITE, 0, d, sizeof(d)) == -EINTR);
	interrupts = 0;
	teardown(&f);
}

/* At the end of a piece and in its middle */
static void check_short(struct test *t, enum disk_engine e)
{
	static const size_t at_most[] = { 1000, 700, 1024, 3000 };
	static u8 a[4096], b[4096];
	struct fixture f;

	if (!setup(&f, e, false))
		return;
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(at_most); i++) {
		u8 *p = i % 2 ? b : a;
		struct iovec iov[] = { { p, 1000 }, { p + 1000, 24 }, { p + 1024, 3072 } };
		struct disk_req req = {
			.op = i % 2 ? DISK_READ : DISK_WRITE, .off = 512, .len = 4096,
			.iov = iov, .nr_iov = 3,
		};

		for (unsigned int n = 0; n < sizeof(a) && !(i % 2); n++)
			a[n] = (u8)(n * 7 + n / 256 + i);
		memset(b, 0, sizeof(b));
		most = at_most[i / 2];
		all_again(true);
		EXPECT(run(&f, &req) == 0);
		all_again(false);
		most = 0;
		EXPECT(transfer(&f, DISK_READ, 512, b, i % 2 ? 0 : 4096) == 0);
		EXPECT(!memcmp(a, b, sizeof(a)));
	}
	teardown(&f);
}

TEST(disk_goes_on_where_it_stopped)
{
	check_short(t, DISK_ENGINE_URING);
	check_short(t, DISK_ENGINE_THREADS);
}

TEST_MAIN(T(disk_open_refuses_what_is_no_image),
	  T(disk_open_refuses_a_part_of_a_sector),
	  T(disk_open_has_all_sectors),
	  T(disk_open_refuses_an_image_in_use),
	  T(disk_write_to_readonly_is_refused),
	  T(disk_open_takes_a_descriptor_that_is_what_it_is_said_to_be),
	  T(uring_reads_back_what_was_written),
	  T(threads_reads_back_what_was_written),
	  T(uring_direct_reads_back_unaligned_buffers),
	  T(threads_direct_reads_back_unaligned_buffers),
	  T(uring_moves_a_large_request),
	  T(threads_moves_a_large_request),
	  T(uring_direct_moves_a_large_unaligned_request),
	  T(threads_direct_moves_a_large_unaligned_request),
	  T(uring_zeroes_and_discards_ranges),
	  T(threads_zeroes_and_discards_ranges),
	  T(uring_reports_each_eventfd),
	  T(threads_reports_each_eventfd),
	  T(uring_wakes_on_eventfd_while_blocked),
	  T(threads_wakes_on_eventfd_while_blocked),
	  T(uring_survives_more_requests_than_depth),
	  T(threads_survives_more_requests_than_depth),
	  T(uring_read_past_a_shrunk_end_is_eio),
	  T(threads_read_past_a_shrunk_end_is_eio),
	  T(disk_open_asks_a_block_device_whether_it_can_discard),
	  T(uring_request_that_cannot_be_done_there_is_done_here),
	  T(uring_merges_what_is_one_behind_the_other),
	  T(uring_merged_requests_have_errors_of_their_own),
	  T(disk_is_not_interrupted_for_ever),
	  T(disk_goes_on_where_it_stopped))
