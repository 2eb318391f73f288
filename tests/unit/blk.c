// SPDX-License-Identifier: GPL-2.0-only
/* Tests of virtio/blk.c: a driver in this process, over fake guest memory. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <linux/virtio_blk.h>
#include "kvm/disk.h"
#include "kvm/virtio.h"
#include "driver.h"
#include "flushes.h"
#include "test.h"

#define RAM_SIZE SZ_1M
#define DISK_SIZE (256 * 1024)
#define QUEUE_SIZE 16
#define RING(q) (0x10000 + (q) * 0x4000)
#define AVAIL(q) (RING(q) + 0x1000)
#define USED(q) (RING(q) + 0x2000)
#define DATA 0x80000
#define HDR 0x70000
#define STATUS 0x78000
#define TABLES 0x20000
/* The longest transfer that the device takes, in how large pieces */
#define LONG_MAX_BYTES (64U * 1024 * 1024)
#define LONG_PIECE (384U * 1024)
#define FLUSH_BIT BIT_ULL(VIRTIO_BLK_F_FLUSH)

static const struct driver_layout layout = {
	.num = QUEUE_SIZE, .base = RING(0), .stride = RING(1) - RING(0),
	.avail = AVAIL(0) - RING(0), .used = USED(0) - RING(0), .clear = RING(1) - RING(0),
};

struct fixture {
	char path[64];
	u8 *ram;
	struct gmem gmem;
	struct virtio_device *dev;
	int irq;
	u16 avail[2];
	u16 used[2];
	unsigned int nr_logged;
	u32 used_len;
};

struct piece {
	u64 gpa;
	u32 len;
	bool write;
};

static void count_line(void *opaque, const char *line)
{
	struct fixture *f = opaque;

	printf("# %s\n", line);
	f->nr_logged++;
}

static void driver_ok(struct fixture *f, u64 features)
{
	memset(f->avail, 0, sizeof(f->avail));
	memset(f->used, 0, sizeof(f->used));
	driver_up(f->dev, &layout, features | DRIVER_V1, DRIVER_ALL);
}

static struct vm_log the_log(struct fixture *f)
{
	return (struct vm_log){ .emit = count_line, .opaque = f };
}

/* @size: bytes, or 0 for a disk that is read-only */
static bool setup_size(struct test *t, struct fixture *f, off_t size,
		       enum disk_engine engine, struct vm_log *log)
{
	struct virtio_env env = { .gmem = &f->gmem, .log = log };
	struct disk_opts o = {
		.path = f->path, .readonly = !size, .engine = engine,
	};
	struct virtio_blk_opts bo = { .serial = "serial", .nr_queues = 2 };
	struct report r = { 0 };
	int fd;

	*f = (struct fixture){ .path = "/tmp/lkvm-blk-XXXXXX" };
	*log = the_log(f);
	fd = mkstemp(f->path);
	EXPECT(fd >= 0 && !ftruncate(fd, size ? size : DISK_SIZE));
	close(fd);
	f->ram = aligned_alloc(4096, RAM_SIZE);
	memset(f->ram, 0, RAM_SIZE);
	EXPECT(!gmem_add(&f->gmem, 0, RAM_SIZE, f->ram));
	f->irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (disk_open(&bo.disk, &o, &r)) {
		printf("# %s\n", r.msg);
		unlink(f->path);
		return false;
	}
	EXPECT(!virtio_device_create(&f->dev, &virtio_blk_class, "disk0", &bo,
				     &env, &r));
	f->dev->transport = &driver_transport;
	f->dev->transport_priv = &f->irq;
	return true;
}

static bool setup(struct test *t, struct fixture *f, bool readonly,
		  enum disk_engine engine, struct vm_log *log)
{
	return setup_size(t, f, readonly ? 0 : DISK_SIZE, engine, log);
}

static void teardown(struct fixture *f)
{
	virtio_device_free(f->dev);
	unlink(f->path);
	close(f->irq);
	free(f->ram);
}

static void put(struct fixture *f, u64 gpa, const void *p, size_t len)
{
	memcpy(f->ram + gpa, p, len);
}

static u16 used_idx(struct fixture *f, unsigned int q)
{
	return __atomic_load_n((u16 *)(f->ram + USED(q) + 2),
			       __ATOMIC_ACQUIRE);
}

/* Make one chain available; descriptors from @first on. */
static void offer(struct fixture *f, unsigned int q, unsigned int first,
		  const struct piece *p, unsigned int nr)
{
	u16 head = first, idx = f->avail[q] + 1;

	for (unsigned int i = 0; i < nr; i++) {
		struct vring_desc d = {
			.addr = p[i].gpa, .len = p[i].len,
			.flags = (p[i].write ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < nr ? VRING_DESC_F_NEXT : 0),
			.next = first + i + 1,
		};

		put(f, RING(q) + 16 * (first + i), &d, sizeof(d));
	}
	put(f, AVAIL(q) + 4 + 2 * (f->avail[q] % QUEUE_SIZE), &head, 2);
	__atomic_store_n((u16 *)(f->ram + AVAIL(q) + 2), idx,
			 __ATOMIC_RELEASE);
	f->avail[q] = idx;
}

/* Until @nr more chains came back. */
static bool collect(struct fixture *f, unsigned int q, u16 nr)
{
	struct pollfd p = { .fd = f->irq, .events = POLLIN };
	u64 v;

	while ((u16)(used_idx(f, q) - f->used[q]) < nr) {
		if (poll(&p, 1, 5000) <= 0 || read(f->irq, &v, 8) < 0)
			return false;
	}
	f->used[q] += nr;
	memcpy(&f->used_len, f->ram + USED(q) + 4 + 4 +
	       8 * ((f->used[q] - 1) % QUEUE_SIZE), 4);
	return true;
}

static int do_pieces(struct fixture *f, u32 type, u64 sector,
		     const struct piece *p, unsigned int nr)
{
	struct virtio_blk_outhdr h = { .type = type, .sector = sector };

	put(f, HDR, &h, sizeof(h));
	f->ram[STATUS] = 0xff;
	offer(f, 0, 0, p, nr);
	virtio_notify(f->dev, 0);
	return collect(f, 0, 1) ? f->ram[STATUS] : -1;
}

static int request(struct fixture *f, u32 type, u64 sector, u32 len)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct piece p[3] = {
		{ HDR, 16, false }, { DATA, len, in }, { STATUS, 1, true },
	};

	if (!len)
		p[1] = p[2];
	return do_pieces(f, type, sector, p, len ? 3 : 2);
}

static int range(struct fixture *f, u32 type, u64 sector, u32 nr, u32 flags)
{
	struct virtio_blk_discard_write_zeroes s = {
		.sector = sector, .num_sectors = nr, .flags = flags,
	};

	put(f, DATA, &s, sizeof(s));
	return request(f, type, 0, sizeof(s));
}

/* What is at the end of the image's fourth sector when it is flushed */
static struct {
	const char *path;
	u8 byte;
} flushed;

static void look_at_image(void)
{
	int fd = open(flushed.path, O_RDONLY | O_CLOEXEC);

	if (pread(fd, &flushed.byte, 1, 4 * 512 - 1) != 1)
		flushed.byte = 0;
	close(fd);
}

/* @each: flushes behind each write */
static void check_rw(struct test *t, enum disk_engine e, u64 features, unsigned int each)
{
	unsigned int before = nr_flushes();
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, false, e, &log))
		return;
	driver_ok(&f, features | BIT_ULL(VIRTIO_BLK_F_WRITE_ZEROES));
	EXPECT(virtio_get_status(f.dev) == 15);
	flushed.path = f.path;
	flushed.byte = 0;
	before_flush = look_at_image;
	memset(f.ram + DATA, 0x5a, 4096);
	EXPECT(request(&f, VIRTIO_BLK_T_OUT, 3, 4096) == VIRTIO_BLK_S_OK);
	EXPECT(f.used_len == 1);
	EXPECT(nr_flushes() - before == each && flushed.byte == (each ? 0x5a : 0));
	EXPECT(range(&f, VIRTIO_BLK_T_WRITE_ZEROES, 64, 8, 0) == VIRTIO_BLK_S_OK);
	EXPECT(nr_flushes() - before == 2 * each);
	memset(f.ram + DATA, 0, 8192);
	EXPECT(request(&f, VIRTIO_BLK_T_FLUSH, 0, 0) == VIRTIO_BLK_S_OK);
	EXPECT(nr_flushes() - before == 2 * each + 1 && flushed.byte == 0x5a);
	EXPECT(request(&f, VIRTIO_BLK_T_IN, 3, 4096) == VIRTIO_BLK_S_OK);
	EXPECT(f.used_len == 4097);
	EXPECT(f.ram[DATA] == 0x5a && f.ram[DATA + 4095] == 0x5a);
	EXPECT(f.ram[DATA + 4096] == 0);
	EXPECT(request(&f, VIRTIO_BLK_T_GET_ID, 0, 20) == VIRTIO_BLK_S_OK);
	EXPECT(!memcmp(f.ram + DATA, "serial\0\0", 8) && f.used_len == 21);
	teardown(&f);
	before_flush = NULL;
	EXPECT(nr_flushes() - before == 2 * each + 1);
}

TEST(blk_reads_back_what_was_written)
{
	check_rw(t, DISK_ENGINE_URING, FLUSH_BIT, 0);
	check_rw(t, DISK_ENGINE_THREADS, FLUSH_BIT, 0);
}

TEST(blk_without_flush_writes_through)
{
	check_rw(t, DISK_ENGINE_URING, 0, 1);
	check_rw(t, DISK_ENGINE_THREADS, 0, 1);
}

TEST(blk_with_event_idx_gets_every_kick)
{
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, false, DISK_ENGINE_AUTO, &log))
		return;
	driver_ok(&f, FLUSH_BIT | BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
	for (int i = 0; i < 200; i++) {
		/* used_event: interrupt for the next one */
		__atomic_store_n((u16 *)(f.ram + AVAIL(0) + 4 + 2 * QUEUE_SIZE),
				 f.used[0], __ATOMIC_RELAXED);
		EXPECT(request(&f, VIRTIO_BLK_T_IN, i, 512) ==
		       VIRTIO_BLK_S_OK);
	}
	teardown(&f);
}

TEST(blk_refuses_sectors_out_of_range)
{
	u64 end = DISK_SIZE / 512;
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, false, DISK_ENGINE_AUTO, &log))
		return;
	driver_ok(&f, f.dev->offered & ~BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
	EXPECT(request(&f, VIRTIO_BLK_T_IN, end - 1, 512) == 0);
	EXPECT(request(&f, VIRTIO_BLK_T_IN, end - 1, 1024) == 1);
	EXPECT(request(&f, VIRTIO_BLK_T_IN, end, 512) == 1);
	EXPECT(request(&f, VIRTIO_BLK_T_OUT, ~0ULL, 512) == 1);
	EXPECT(request(&f, VIRTIO_BLK_T_OUT, 1ULL << 55, 512) == 1);
	EXPECT(request(&f, VIRTIO_BLK_T_OUT, 0, 511) == 1);
	EXPECT(request(&f, VIRTIO_BLK_T_IN, 0, 513) == 1);
	EXPECT(request(&f, VIRTIO_BLK_T_IN, 0, 0) == 0);
	EXPECT(range(&f, VIRTIO_BLK_T_WRITE_ZEROES, end, 1, 0) == 1);
	EXPECT(range(&f, VIRTIO_BLK_T_WRITE_ZEROES, 1, ~0U, 0) == 1);
	EXPECT(f.nr_logged == 0);
	teardown(&f);
}

TEST(blk_completes_unknown_types_and_flags_as_unsupported)
{
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, false, DISK_ENGINE_AUTO, &log))
		return;
	driver_ok(&f, f.dev->offered & ~BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
	EXPECT(request(&f, 99, 0, 512) == VIRTIO_BLK_S_UNSUPP);
	EXPECT(request(&f, 99, 0, 0) == VIRTIO_BLK_S_UNSUPP);
	EXPECT(range(&f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 2) == 2);
	EXPECT(range(&f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 1) == 0);
	EXPECT(range(&f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0) == 0);
	if (virtio_has(f.dev, VIRTIO_BLK_F_DISCARD)) {
		EXPECT(range(&f, VIRTIO_BLK_T_DISCARD, 0, 8, 1) == 2);
		EXPECT(range(&f, VIRTIO_BLK_T_DISCARD, 0, 8, 0) == 0);
		EXPECT(request(&f, VIRTIO_BLK_T_DISCARD, 0, 15) == 1);
		EXPECT(request(&f, VIRTIO_BLK_T_DISCARD, 0, 32) == 1);
	}
	driver_ok(&f, 0);
	EXPECT(range(&f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0) == 2);
	teardown(&f);
}

TEST(blk_ranges_have_a_longest)
{
	struct fixture f;
	struct vm_log log;

	if (!setup_size(t, &f, 3LL << 30, DISK_ENGINE_AUTO, &log))
		return;
	driver_ok(&f, f.dev->offered & ~BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
	EXPECT(range(&f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 0x10001, 0) == 1);
	if (virtio_has(f.dev, VIRTIO_BLK_F_DISCARD)) {
		EXPECT(range(&f, VIRTIO_BLK_T_DISCARD, 0, 0x400000, 0) == 0);
		EXPECT(range(&f, VIRTIO_BLK_T_DISCARD, 0, 0x400001, 0) == 1);
	}
	teardown(&f);
}

static blkcnt_t blocks(const struct fixture *f)
{
	struct stat st;

	return stat(f->path, &st) ? -1 : st.st_blocks;
}

TEST(blk_zeroes_give_space_back_if_they_may)
{
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, false, DISK_ENGINE_AUTO, &log))
		return;
	driver_ok(&f, f.dev->offered & ~BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
	memset(f.ram + DATA, 0x5a, 0x4000);
	if (virtio_has(f.dev, VIRTIO_BLK_F_DISCARD)) {
		EXPECT(request(&f, VIRTIO_BLK_T_OUT, 0, 0x4000) == 0);
		EXPECT(request(&f, VIRTIO_BLK_T_FLUSH, 0, 0) == 0 && blocks(&f) > 0);
		EXPECT(range(&f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, 1) == 0);
		EXPECT(blocks(&f) == 0);
	}
	teardown(&f);
}

TEST(blk_readonly_refuses_writes)
{
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, true, DISK_ENGINE_AUTO, &log))
		return;
	driver_ok(&f, f.dev->offered & ~BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
	EXPECT(virtio_has(f.dev, VIRTIO_BLK_F_RO));
	EXPECT(!virtio_has(f.dev, VIRTIO_BLK_F_DISCARD));
	EXPECT(request(&f, VIRTIO_BLK_T_OUT, 0, 512) == 1);
	EXPECT(range(&f, VIRTIO_BLK_T_DISCARD, 0, 1, 0) == 1);
	EXPECT(request(&f, VIRTIO_BLK_T_IN, 0, 512) == 0);
	teardown(&f);
}

TEST(blk_takes_header_and_status_in_any_pieces)
{
	const struct piece split[] = {
		{ HDR, 3, false }, { HDR + 3, 13, false },
		{ DATA, 100, true }, { DATA + 100, 412 + 1, true },
	};
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, false, DISK_ENGINE_AUTO, &log))
		return;
	driver_ok(&f, FLUSH_BIT);
	memset(f.ram + DATA, 0xee, 600);
	do_pieces(&f, VIRTIO_BLK_T_IN, 0, split, 4);
	EXPECT(f.ram[DATA] == 0 && f.ram[DATA + 511] == 0);
	EXPECT(f.ram[DATA + 512] == VIRTIO_BLK_S_OK && f.used_len == 513);
	EXPECT(f.ram[DATA + 513] == 0xee);
	teardown(&f);
}

TEST(blk_chain_without_header_or_status_needs_reset)
{
	const struct piece bad[2][2] = {
		{ { HDR, 15, false }, { STATUS, 1, true } },
		{ { HDR, 16, false }, { DATA, 512, false } },
	};
	const struct piece good[] = { { HDR, 16, false }, { STATUS, 1, true } };
	const struct virtio_blk_outhdr h = { .type = VIRTIO_BLK_T_FLUSH };
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, false, DISK_ENGINE_AUTO, &log))
		return;
	put(&f, HDR, &h, sizeof(h));
	for (int i = 0; i < 2; i++) {
		driver_ok(&f, FLUSH_BIT);
		f.ram[STATUS] = 0xff;
		offer(&f, 0, 0, bad[i], 2);
		offer(&f, 0, 4, good, 2);
		virtio_notify(f.dev, 0);
		EXPECT(driver_needs_reset(f.dev));
		/* It is given back, and what is behind it is left alone. */
		EXPECT(!virtio_device_pause(f.dev));
		EXPECT(used_idx(&f, 0) == 1 && f.ram[STATUS] == 0xff);
		EXPECT(!virtio_device_resume(f.dev));
	}
	driver_ok(&f, FLUSH_BIT);
	EXPECT(request(&f, VIRTIO_BLK_T_IN, 0, 512) == 0);
	EXPECT(f.nr_logged == 2);
	teardown(&f);
}

static void offer_many(struct fixture *f, unsigned int q)
{
	struct virtio_blk_outhdr h = { .type = VIRTIO_BLK_T_IN };

	/* The thread may be reading the other queue's already. */
	put(f, HDR + q * 64, &h, sizeof(h));
	for (unsigned int i = 0; i < 5; i++) {
		struct piece p[3] = {
			{ HDR + q * 64, 16, false },
			{ DATA + i * 4096 + q * 0x20000, 4096, true },
			{ STATUS + i + q * 8, 1, true },
		};

		f->ram[p[2].gpa] = 0xff;
		offer(f, q, i * 3, p, 3);
	}
}

TEST(blk_serves_two_queues_across_pause_and_reset)
{
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, false, DISK_ENGINE_AUTO, &log))
		return;
	driver_ok(&f, FLUSH_BIT | BIT_ULL(VIRTIO_BLK_F_MQ));
	for (int round = 0; round < 50; round++) {
		offer_many(&f, 0);
		offer_many(&f, 1);
		virtio_notify(f.dev, 0);
		virtio_notify(f.dev, 1);
		EXPECT(!virtio_device_pause(f.dev));
		if (round % 10 == 9) {
			driver_ok(&f, FLUSH_BIT);
			EXPECT(!virtio_device_resume(f.dev));
			continue;
		}
		EXPECT(!virtio_device_resume(f.dev));
		EXPECT(collect(&f, 0, 5) && collect(&f, 1, 5));
		for (int i = 0; i < 5; i++)
			EXPECT(!f.ram[STATUS + i] && !f.ram[STATUS + 8 + i]);
	}
	EXPECT(f.nr_logged == 0);
	teardown(&f);
}

/*
 * A read of @bytes, which all go to one place over and over. All have one header, which
 * is put with the first, when the device does nothing.
 */
static void offer_long(struct fixture *f, unsigned int i, u32 bytes)
{
	struct virtio_blk_outhdr h = { .type = VIRTIO_BLK_T_IN };
	u32 table = TABLES + i * 0x1000, n = 0;
	struct vring_desc d = {
		.addr = HDR, .len = sizeof(h), .flags = VRING_DESC_F_NEXT,
		.next = 1,
	};
	u16 head = i, idx = f->avail[0] + 1;

	if (!i)
		put(f, HDR, &h, sizeof(h));
	f->ram[STATUS + i] = 0xff;
	put(f, table, &d, sizeof(d));
	d.flags |= VRING_DESC_F_WRITE;
	d.addr = DATA;
	for (; bytes; bytes -= d.len) {
		d.len = MIN(bytes, LONG_PIECE);
		d.next = ++n + 1;
		put(f, table + n * 16, &d, sizeof(d));
	}
	d = (struct vring_desc){
		.addr = STATUS + i, .len = 1, .flags = VRING_DESC_F_WRITE,
	};
	put(f, table + ++n * 16, &d, sizeof(d));
	d = (struct vring_desc){
		.addr = table, .len = (n + 1) * 16,
		.flags = VRING_DESC_F_INDIRECT,
	};
	put(f, RING(0) + 16 * i, &d, sizeof(d));
	put(f, AVAIL(0) + 4 + 2 * (f->avail[0] % QUEUE_SIZE), &head, 2);
	__atomic_store_n((u16 *)(f->ram + AVAIL(0) + 2), idx,
			 __ATOMIC_RELEASE);
	f->avail[0] = idx;
}

static void check_long(struct test *t, enum disk_engine e)
{
	struct fixture f;
	struct vm_log log;

	if (!setup_size(t, &f, 2 * LONG_MAX_BYTES, e, &log))
		return;
	driver_ok(&f, FLUSH_BIT | BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC));
	offer_long(&f, 0, LONG_MAX_BYTES + 512);
	virtio_notify(f.dev, 0);
	EXPECT(collect(&f, 0, 1) && f.ram[STATUS] == VIRTIO_BLK_S_IOERR);

	for (unsigned int i = 0; i < QUEUE_SIZE; i++)
		offer_long(&f, i, LONG_MAX_BYTES);
	virtio_notify(f.dev, 0);
	EXPECT(collect(&f, 0, 1));
	EXPECT(!virtio_device_pause(f.dev));
	EXPECT((u16)(used_idx(&f, 0) - f.used[0]) < QUEUE_SIZE - 1);
	EXPECT(!virtio_device_resume(f.dev));
	EXPECT(collect(&f, 0, QUEUE_SIZE - 1));
	for (unsigned int i = 0; i < QUEUE_SIZE; i++)
		EXPECT(f.ram[STATUS + i] == VIRTIO_BLK_S_OK);
	EXPECT(f.nr_logged == 0);
	teardown(&f);
}

TEST(blk_stops_without_all_that_was_asked_for)
{
	check_long(t, DISK_ENGINE_URING);
	check_long(t, DISK_ENGINE_THREADS);
}

/* While @shut nothing is discarded; @waiting says how many want to. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t open;
	bool shut;
	unsigned int waiting;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .open = PTHREAD_COND_INITIALIZER };

/* Instead of the C library's. */
int fallocate(int fd, int mode, off_t off, off_t len)
{
	pthread_mutex_lock(&gate.lock);
	gate.waiting++;
	while (gate.shut)
		pthread_cond_wait(&gate.open, &gate.lock);
	gate.waiting--;
	pthread_mutex_unlock(&gate.lock);
	return syscall(SYS_fallocate, fd, mode, off, len);
}

static void gate_shut(bool shut)
{
	pthread_mutex_lock(&gate.lock);
	gate.shut = shut;
	pthread_cond_broadcast(&gate.open);
	pthread_mutex_unlock(&gate.lock);
}

static bool gate_waited_for(void)
{
	unsigned int n = 0;

	for (int i = 0; i < 5000 && !n; i++) {
		pthread_mutex_lock(&gate.lock);
		n = gate.waiting;
		pthread_mutex_unlock(&gate.lock);
		if (!n)
			usleep(1000);
	}
	return n;
}

/* A discard of all of the disk */
static void offer_discard(struct fixture *f, unsigned int q, unsigned int i)
{
	const struct vring_desc d[] = {
		{ HDR, 16, VRING_DESC_F_NEXT, 1 },
		{ DATA, 16, VRING_DESC_F_NEXT, 2 },
		{ STATUS + q * QUEUE_SIZE + i, 1, VRING_DESC_F_WRITE, 0 },
	};
	struct vring_desc table = {
		.addr = TABLES + (q * QUEUE_SIZE + i) * sizeof(d),
		.len = sizeof(d), .flags = VRING_DESC_F_INDIRECT,
	};
	u16 head = i, idx = f->avail[q] + 1;

	f->ram[d[2].addr] = 0xff;
	put(f, table.addr, d, sizeof(d));
	put(f, RING(q) + 16 * i, &table, sizeof(table));
	put(f, AVAIL(q) + 4 + 2 * (f->avail[q] % QUEUE_SIZE), &head, 2);
	__atomic_store_n((u16 *)(f->ram + AVAIL(q) + 2), idx, __ATOMIC_RELEASE);
	f->avail[q] = idx;
}

/* Discards that were popped: each reads 32 bytes */
static u64 taken(const struct fixture *f)
{
	u64 n = 0;

	for (unsigned int q = 0; q < 2; q++)
		n += __atomic_load_n(&f->dev->queue[q].count.out, __ATOMIC_RELAXED);
	return n / 32;
}

TEST(blk_takes_few_discards_at_a_time)
{
	const struct virtio_blk_outhdr h = { .type = VIRTIO_BLK_T_DISCARD };
	const struct virtio_blk_discard_write_zeroes s = {
		.num_sectors = DISK_SIZE / 512,
	};
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, false, DISK_ENGINE_THREADS, &log))
		return;
	driver_ok(&f, FLUSH_BIT | BIT_ULL(VIRTIO_BLK_F_MQ) |
		  BIT_ULL(VIRTIO_BLK_F_DISCARD) |
		  BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC));
	if (!virtio_has(f.dev, VIRTIO_BLK_F_DISCARD)) {
		printf("# no discard in /tmp\n");
		teardown(&f);
		return;
	}
	put(&f, HDR, &h, sizeof(h));
	put(&f, DATA, &s, sizeof(s));
	gate_shut(true);
	for (unsigned int i = 0; i < 2 * QUEUE_SIZE; i++)
		offer_discard(&f, i % 2, i / 2);
	virtio_notify(f.dev, 0);
	/* Popped before the first one was begun */
	EXPECT(gate_waited_for());
	EXPECT(taken(&f) >= 4 && taken(&f) <= 17);
	gate_shut(false);
	EXPECT(collect(&f, 0, QUEUE_SIZE) && collect(&f, 1, QUEUE_SIZE));
	for (unsigned int i = 0; i < 2 * QUEUE_SIZE; i++)
		EXPECT(f.ram[STATUS + i] == VIRTIO_BLK_S_OK);
	EXPECT(f.nr_logged == 0);
	teardown(&f);
}

struct refill {
	struct fixture *f;
	bool stop;
};

/* Whatever was completed is available again at once. */
static void *refill_main(void *opaque)
{
	struct refill *r = opaque;
	u16 *avail = (u16 *)(r->f->ram + AVAIL(0) + 2);

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED))
		__atomic_store_n(avail, used_idx(r->f, 0) + QUEUE_SIZE,
				 __ATOMIC_RELEASE);
	return NULL;
}

static bool refilled(const struct virtqueue *vq)
{
	return __atomic_load_n(&vq->count.chains, __ATOMIC_RELAXED) > QUEUE_SIZE;
}

TEST(blk_queue_that_is_refilled_does_not_starve_another)
{
	const struct virtio_blk_outhdr h = { .type = VIRTIO_BLK_T_GET_ID };
	const struct piece id[3] = {
		{ HDR + 64, 16, false }, { DATA + 0x10000, 20, true },
		{ STATUS + 1, 1, true },
	};
	const struct piece read[3] = {
		{ HDR, 16, false }, { DATA, 512, true }, { STATUS, 1, true },
	};
	struct fixture f;
	struct vm_log log;
	struct refill r = { .f = &f };
	const struct virtqueue *vq;
	bool starved = false;
	pthread_t thread;

	if (!setup(t, &f, false, DISK_ENGINE_AUTO, &log))
		return;
	driver_ok(&f, FLUSH_BIT | BIT_ULL(VIRTIO_BLK_F_MQ));
	vq = &f.dev->queue[0];
	put(&f, HDR + 64, &h, sizeof(h));
	/* The ring is zeroes: all of its entries are this chain. */
	offer(&f, 0, 0, id, 3);
	virtio_notify(f.dev, 0);
	EXPECT(collect(&f, 0, 1));
	EXPECT(!pthread_create(&thread, NULL, refill_main, &r));
	/* The thread may begin late. */
	for (int i = 0; i < 20 || (i < 20000 && !refilled(vq)); i++) {
		virtio_notify(f.dev, 0);
		offer(&f, 1, 0, read, 3);
		virtio_notify(f.dev, 1);
		starved = !collect(&f, 1, 1);
		if (starved)
			break;
	}
	EXPECT(!starved);
	EXPECT(!virtio_device_pause(f.dev));
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	EXPECT(!pthread_join(thread, NULL));
	/* Neither do its own completions. */
	EXPECT(refilled(vq));
	EXPECT(vq->count.chains <= vq->count.signals * QUEUE_SIZE);
	EXPECT(f.nr_logged == 0);
	teardown(&f);
}

TEST(blk_disk_error_is_said_once)
{
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, false, DISK_ENGINE_AUTO, &log))
		return;
	driver_ok(&f, FLUSH_BIT);
	EXPECT(!truncate(f.path, 0));
	for (int i = 0; i < 5; i++)
		EXPECT(request(&f, VIRTIO_BLK_T_IN, 0, 512) == 1);
	EXPECT(f.nr_logged == 1 && f.used_len == 1);
	/* Once more for each driver, but not for ever */
	for (unsigned int i = 2; i < 12; i++) {
		driver_ok(&f, FLUSH_BIT);
		EXPECT(request(&f, VIRTIO_BLK_T_IN, 0, 512) == 1);
		EXPECT(f.nr_logged == MIN(i, 8U));
	}
	teardown(&f);
}

TEST(blk_config_and_state_describe_the_disk)
{
	struct virtio_blk_config c;
	struct state_out out = { 0 };
	struct fixture f;
	struct vm_log log;

	if (!setup(t, &f, false, DISK_ENGINE_AUTO, &log))
		return;
	virtio_config_read(f.dev, 0, &c, sizeof(c));
	EXPECT(le64toh(c.capacity) == DISK_SIZE / 512);
	EXPECT(c.blk_size == 512 && c.physical_block_exp == 3);
	EXPECT(c.num_queues == 2 && c.seg_max == VQ_CHAIN_MAX - 2);
	EXPECT((u64)c.seg_max * c.size_max < LONG_MAX_BYTES);
	virtio_blk_class.save(f.dev, &out);
	for (size_t len = 0; len <= out.len; len++) {
		struct state_in in = { .buf = out.buf, .len = len };

		EXPECT(!virtio_blk_class.restore(f.dev, &in) ==
		       (len == out.len));
	}
	out.buf[5] ^= 2;	/* of another disk, which is 512 bytes longer */
	EXPECT(virtio_blk_class.restore(f.dev, &(struct state_in){
		.buf = out.buf, .len = out.len }) == -EPROTO);
	state_out_free(&out);
	teardown(&f);
}

TEST_MAIN(T(blk_reads_back_what_was_written),
	  T(blk_without_flush_writes_through),
	  T(blk_with_event_idx_gets_every_kick),
	  T(blk_refuses_sectors_out_of_range),
	  T(blk_completes_unknown_types_and_flags_as_unsupported),
	  T(blk_ranges_have_a_longest),
	  T(blk_zeroes_give_space_back_if_they_may),
	  T(blk_readonly_refuses_writes),
	  T(blk_takes_header_and_status_in_any_pieces),
	  T(blk_chain_without_header_or_status_needs_reset),
	  T(blk_serves_two_queues_across_pause_and_reset),
	  T(blk_stops_without_all_that_was_asked_for),
	  T(blk_takes_few_discards_at_a_time),
	  T(blk_queue_that_is_refilled_does_not_starve_another),
	  T(blk_disk_error_is_said_once),
	  T(blk_config_and_state_describe_the_disk))
