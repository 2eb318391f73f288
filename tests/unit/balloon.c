// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The balloon through the core, on guest memory of real pages: a page that was
 * given back reads as zeroes, one that was not keeps its pattern. The main
 * thread is driver, vCPU and host. Part of memory is a private mapping of a
 * file, as a kernel that was mapped is. gmem_discard() is tested here as well.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/virtio_balloon.h>
#include "kvm/virtio.h"
#include "driver.h"
#include "test.h"
#include "vring.h"

#define PAGE 4096ULL
#define LOW_SIZE 0x100000ULL
#define HIGH 0x100000000ULL
#define HIGH_SIZE 0x10000ULL
#define FILE_GPA 0xc0000ULL
#define FILE_SIZE 0x4000ULL
#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE

static const u64 f_stats = BIT_ULL(VIRTIO_BALLOON_F_STATS_VQ);
static const u64 f_reporting = BIT_ULL(VIRTIO_BALLOON_F_REPORTING);
static const u64 f_poison = BIT_ULL(VIRTIO_BALLOON_F_PAGE_POISON);

struct fixture {
	struct vr_mem m;
	u8 *low;
	u8 *high;
	struct virtio_device *dev;
	unsigned int signals[5];
	unsigned int configs;
	unsigned int lines;
};

static void signal_queue(struct virtio_device *dev, struct virtqueue *vq)
{
	((struct fixture *)dev->transport_priv)->signals[vq->index]++;
}

static void signal_config(struct virtio_device *dev)
{
	((struct fixture *)dev->transport_priv)->configs++;
}

static const struct virtio_transport_ops transport = {
	.signal_queue = signal_queue,
	.signal_config = signal_config,
};

static void count_line(void *opaque, const char *line)
{
	(void)line;
	((struct fixture *)opaque)->lines++;
}

static u8 *map_anonymous(u64 size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void map_file(struct fixture *f)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	u8 image[FILE_SIZE];

	memset(image, 0xf1, sizeof(image));
	if (write(fd, image, sizeof(image)) != (ssize_t)sizeof(image) ||
	    mmap(f->low + FILE_GPA, FILE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED)
		printf("# no file mapping\n");
	close(fd);
	gmem_add_file(&f->m.g, FILE_GPA, FILE_SIZE);
}

/* Brings the device up; queues set in @queues are made ready. */
static void bring_up(struct fixture *f, u64 features, u32 queues)
{
	driver_negotiate(f->dev, DRIVER_V1 | features);
	driver_queues(f->dev, &driver_vring, queues);
	memset(f->low + VR_DATA, 0xaa, LOW_SIZE - VR_DATA);
	memset(f->high, 0xaa, HIGH_SIZE);
}

static void setup(struct fixture *f)
{
	static struct vm_log log;
	struct virtio_balloon_opts o = { .reporting = true };
	struct virtio_env env = { .gmem = &f->m.g, .log = &log };

	memset(f, 0, sizeof(*f));
	log = (struct vm_log){ count_line, f };
	f->low = map_anonymous(LOW_SIZE);
	f->high = map_anonymous(HIGH_SIZE);
	gmem_add(&f->m.g, 0, LOW_SIZE, f->low);
	gmem_add(&f->m.g, HIGH, HIGH_SIZE, f->high);
	map_file(f);
	if (virtio_device_create(&f->dev, &virtio_balloon_class, "balloon", &o,
				 &env, NULL))
		printf("# no device\n");
	f->dev->transport_priv = f;
	f->dev->transport = &transport;
	bring_up(f, f->dev->offered, 0x1f);
	virtio_set_status(f->dev, 15);
}

static void teardown(struct fixture *f)
{
	virtio_device_free(f->dev);
	munmap(f->low, LOW_SIZE);
	munmap(f->high, HIGH_SIZE);
}

static bool is(const u8 *p, u8 v)
{
	for (unsigned int i = 0; i < PAGE; i++) {
		if (p[i] != v)
			return false;
	}
	return true;
}

static bool answered(struct fixture *f, unsigned int q)
{
	u16 used = vr_used_idx(&f->m, q);

	vr_publish(&f->m, q, 0);
	virtio_notify(f->dev, q);
	return vr_used_idx(&f->m, q) == (u16)(used + 1);
}

static bool give(struct fixture *f, unsigned int q, const u32 *pfn, size_t nr)
{
	memcpy(f->low + VR_DATA, pfn, nr * sizeof(*pfn));
	VR_PUT(&f->m, vr_desc(q), 0, VR_DATA, nr * sizeof(*pfn), 0, 0);
	return answered(f, q);
}

static bool report(struct fixture *f, unsigned int q, u64 gpa, u32 len)
{
	VR_PUT(&f->m, vr_desc(q), 0, gpa, len, WRITE, 0);
	return answered(f, q);
}

static u32 config_get(struct fixture *f, u64 off)
{
	__le32 v;

	virtio_config_read(f->dev, off, &v, sizeof(v));
	return le32toh(v);
}

static void config_set(struct fixture *f, u64 off, u32 value)
{
	__le32 v = htole32(value);

	virtio_config_write(f->dev, off, &v, sizeof(v));
}

TEST(gmem_discard_takes_whole_pages_of_ram_only)
{
	struct fixture f;
	const struct gmem *g = &f.m.g;

	setup(&f);
	EXPECT(gmem_discard(g, 0x80000, 0, false) == 0);
	EXPECT(gmem_discard(g, 0x80001, PAGE, false) == 0);
	EXPECT(gmem_discard(g, 0x80001, 2 * PAGE - 2, false) == 0);
	EXPECT(is(f.low + 0x80000, 0xaa) && is(f.low + 0x81000, 0xaa));
	EXPECT(gmem_discard(g, 0x80001, 2 * PAGE - 1, false) == PAGE);
	EXPECT(is(f.low + 0x80000, 0xaa) && is(f.low + 0x81000, 0));
	EXPECT(gmem_discard(g, LOW_SIZE - PAGE, PAGE, false) == PAGE);
	EXPECT(is(f.low + LOW_SIZE - PAGE, 0));
	EXPECT(gmem_discard(g, LOW_SIZE - 2 * PAGE, 3 * PAGE, false) ==
	       -EFAULT);
	EXPECT(is(f.low + LOW_SIZE - 2 * PAGE, 0xaa));
	EXPECT(gmem_discard(g, LOW_SIZE, PAGE, false) == -EFAULT);
	EXPECT(gmem_discard(g, HIGH, HIGH_SIZE, false) == HIGH_SIZE);
	EXPECT(gmem_discard(g, ~0ULL - PAGE + 1, PAGE, false) == -EFAULT);
	EXPECT(gmem_discard(g, PAGE, ~0ULL, false) == -EFAULT);
	teardown(&f);
}

TEST(gmem_discard_crosses_regions)
{
	struct gmem g = { .nr = 0 };
	u8 *a = map_anonymous(PAGE), *b = map_anonymous(PAGE);

	memset(a, 1, PAGE);
	memset(b, 2, PAGE);
	gmem_add(&g, 0, PAGE, a);
	gmem_add(&g, PAGE, PAGE, b);
	EXPECT(gmem_discard(&g, 0, 2 * PAGE, false) == 2 * PAGE);
	EXPECT(is(a, 0) && is(b, 0));
	EXPECT(gmem_gpa(&g, a) == 0 && gmem_gpa(&g, b + 5) == PAGE + 5);
	EXPECT(gmem_gpa(&g, &g) == ~0ULL);
	munmap(a, PAGE);
	munmap(b, PAGE);
}

TEST(gmem_discard_leaves_files_to_guests_that_want_zeroes)
{
	struct fixture f;
	const struct gmem *g = &f.m.g;

	setup(&f);
	EXPECT(is(f.low + FILE_GPA, 0xaa));
	EXPECT(gmem_discard(g, FILE_GPA - PAGE, FILE_SIZE + 2 * PAGE, true) ==
	       2 * PAGE);
	EXPECT(is(f.low + FILE_GPA - PAGE, 0));
	EXPECT(is(f.low + FILE_GPA, 0xaa));
	EXPECT(is(f.low + FILE_GPA + FILE_SIZE - PAGE, 0xaa));
	EXPECT(is(f.low + FILE_GPA + FILE_SIZE, 0));
	EXPECT(gmem_discard(g, FILE_GPA, FILE_SIZE, false) == FILE_SIZE);
	EXPECT(is(f.low + FILE_GPA, 0xf1));
	EXPECT(gmem_add_file(&f.m.g, LOW_SIZE - PAGE, 2 * PAGE) == -EFAULT);
	EXPECT(gmem_add_file(&f.m.g, 0, 0) == -EFAULT);
	while (f.m.g.nr_files < GMEM_MAX_FILES)
		EXPECT(!gmem_add_file(&f.m.g, 0, PAGE));
	EXPECT(gmem_add_file(&f.m.g, 0, PAGE) == -ENOSPC);
	teardown(&f);
}

TEST(balloon_inflated_pages_go_back_to_the_host)
{
	static const u32 up[] = { 0x80, 0x81, 0x82, 0x90 };
	static const u32 down[] = { 0xa2, 0xa1, 0xa0, HIGH / PAGE };
	struct fixture f;

	setup(&f);
	EXPECT(give(&f, 0, up, 4) && f.signals[0] == 1);
	EXPECT(is(f.low + 0x7f000, 0xaa));
	for (unsigned int i = 0; i < 4; i++)
		EXPECT(is(f.low + up[i] * PAGE, 0));
	EXPECT(is(f.low + 0x83000, 0xaa) && is(f.low + 0x91000, 0xaa));
	EXPECT(give(&f, 0, down, 4));
	for (unsigned int i = 0; i < 3; i++)
		EXPECT(is(f.low + down[i] * PAGE, 0));
	EXPECT(is(f.high, 0) && is(f.low + 0xa3000, 0xaa));
	EXPECT(is(f.low + 0x9f000, 0xaa));

	/* They are usable at once, and again after a deflate. */
	memset(f.low + 0x80000, 0x55, PAGE);
	EXPECT(give(&f, 1, up, 4) && is(f.low + 0x80000, 0x55));
	teardown(&f);
}

TEST(balloon_ignores_pages_outside_of_memory_and_says_so_once)
{
	static const u32 pfn[] = {
		LOW_SIZE / PAGE, 0x80, ~0U, (HIGH + HIGH_SIZE) / PAGE,
		HIGH / PAGE - 1, 0x82, LOW_SIZE / PAGE - 1, LOW_SIZE / PAGE,
	};
	struct fixture f;

	setup(&f);
	for (unsigned int i = 0; i < 20; i++)
		EXPECT(give(&f, 0, pfn, ARRAY_SIZE(pfn)));
	EXPECT(is(f.low + 0x80000, 0) && is(f.low + 0x82000, 0));
	EXPECT(is(f.low + LOW_SIZE - PAGE, 0));
	EXPECT(is(f.low + 0x81000, 0xaa) && is(f.high, 0xaa));
	EXPECT(f.lines == 1);
	EXPECT(virtio_get_status(f.dev) == 15);
	bring_up(&f, f.dev->offered, 0x1f);
	virtio_set_status(f.dev, 15);
	EXPECT(give(&f, 0, pfn, ARRAY_SIZE(pfn)) && f.lines == 1);
	teardown(&f);
}

TEST(balloon_takes_pages_twice_and_torn_lists)
{
	static const u32 pfn[] = { 0x80, 0x80, 0x80, 0x81, 0x80, 0x85 };
	struct fixture f;

	setup(&f);
	EXPECT(give(&f, 0, pfn, 6));
	EXPECT(give(&f, 0, pfn, 6));
	EXPECT(is(f.low + 0x80000, 0) && is(f.low + 0x81000, 0));
	EXPECT(give(&f, 1, pfn, 6) && give(&f, 1, pfn, 6));

	/* Three bytes of a page number are none. */
	memcpy(f.low + VR_DATA, &pfn[5], 4);
	memset(f.low + 0x85000, 0xaa, PAGE);
	VR_PUT(&f.m, vr_desc(0), 0, VR_DATA, 3, 0, 0);
	EXPECT(answered(&f, 0) && is(f.low + 0x85000, 0xaa));
	/* A number may be cut into pieces. */
	VR_PUT(&f.m, vr_desc(0), 0, VR_DATA, 1, NEXT, 1);
	VR_PUT(&f.m, vr_desc(0), 1, VR_DATA + 1, 3, 0, 0);
	EXPECT(answered(&f, 0) && is(f.low + 0x85000, 0));
	/* A list in the wrong direction is none. */
	VR_PUT(&f.m, vr_desc(0), 0, VR_DATA, 4, WRITE, 0);
	EXPECT(answered(&f, 0) && virtio_get_status(f.dev) == 15);
	teardown(&f);
}

TEST(balloon_answers_huge_chains_in_bounded_time)
{
	struct fixture f;

	setup(&f);
	/* 15 times 640 KiB of page numbers, all of them in steps of two */
	for (unsigned int i = 0; i < 0xa0000 / 4; i++)
		((u32 *)f.low)[0x20000 / 4 + i] = 0xe0 + 2 * (i % 8);
	for (unsigned int i = 0; i < VR_NUM; i++)
		VR_PUT(&f.m, vr_desc(0), i, 0x20000, 0xa0000,
		       i < VR_NUM - 1 ? NEXT : 0, i + 1);
	for (unsigned int i = 0; i < 16; i++)
		vr_publish(&f.m, 0, 0);
	virtio_notify(f.dev, 0);
	EXPECT(vr_used_idx(&f.m, 0) == 16);
	EXPECT(is(f.low + 0xe0000, 0) && is(f.low + 0xe1000, 0xaa));
	EXPECT(virtio_get_status(f.dev) == 15);
	teardown(&f);
}

/*
 * One kick for two chains: @nr times many page numbers, @len bytes of them the last time,
 * and 256, of which the last is in RAM. Return: whether that was given back
 */
static bool last_goes_back(struct fixture *f, u32 even, u32 odd, unsigned int nr, u32 len)
{
	u32 *many = (u32 *)(f->low + 0x20000), *few = (u32 *)(f->low + 0x90000);

	memset(f->low + 0xf0000, 0xaa, PAGE);
	for (unsigned int i = 0; i < 0x18000; i++)
		many[i] = i % 2 ? odd : even;
	for (unsigned int i = 0; i < 256; i++)
		few[i] = i < 255 ? 0x500 : 0xf0;
	for (unsigned int i = 0; i < nr; i++)
		VR_PUT(&f->m, vr_desc(0), i, 0x20000, i < nr - 1 ? 0x60000 : len,
		       i < nr - 1 ? NEXT : 0, i + 1);
	VR_PUT(&f->m, vr_desc(0), nr, 0x90000, 1024, 0, 0);
	vr_publish(&f->m, 0, 0);
	vr_publish(&f->m, 0, nr);
	virtio_notify(f->dev, 0);
	return is(f->low + 0xf0000, 0);
}

TEST(balloon_gives_back_so_much_at_each_kick)
{
	struct fixture f;

	setup(&f);
	/* 0x100000 pages are looked at, 0x10000 stretches given back. */
	EXPECT(last_goes_back(&f, 0x500, 0x500, 11, 0x3fc00));
	EXPECT(!last_goes_back(&f, 0x500, 0x500, 11, 0x3fe00));
	EXPECT(!last_goes_back(&f, 0x500, 0x500, 11, 0x60000));
	EXPECT(!last_goes_back(&f, 0xe0, 0xe2, 1, 0x60000));
	EXPECT(vr_used_idx(&f.m, 0) == 8 && virtio_get_status(f.dev) == 15);
	teardown(&f);
}

TEST(balloon_reported_memory_goes_back_to_the_host)
{
	struct fixture f;

	setup(&f);
	EXPECT(report(&f, 4, 0x80800, 3 * PAGE) && f.signals[4] == 1);
	EXPECT(is(f.low + 0x80000, 0xaa) && is(f.low + 0x83000, 0xaa));
	EXPECT(is(f.low + 0x81000, 0) && is(f.low + 0x82000, 0));
	/* With PAGE_POISON and a poison of zero: not what would not be zero. */
	EXPECT(report(&f, 4, FILE_GPA, 2 * PAGE) && is(f.low + FILE_GPA, 0xaa));
	/* What is to be read is not what is free. */
	VR_PUT(&f.m, vr_desc(4), 0, 0x84000, PAGE, 0, 0);
	EXPECT(answered(&f, 4) && is(f.low + 0x84000, 0xaa));
	config_set(&f, 12, 0xaaaaaaaa);
	EXPECT(config_get(&f, 12) == 0xaaaaaaaa);
	EXPECT(report(&f, 4, 0x85000, PAGE) && is(f.low + 0x85000, 0xaa));

	bring_up(&f, f.dev->offered & ~f_poison, 0x1f);
	virtio_set_status(f.dev, 15);
	config_set(&f, 12, 0xaaaaaaaa);
	EXPECT(config_get(&f, 12) == 0);
	EXPECT(report(&f, 4, FILE_GPA, PAGE) && is(f.low + FILE_GPA, 0xf1));
	teardown(&f);
}

TEST(balloon_finds_the_reporting_queue_without_gaps_too)
{
	static const struct {
		u64 features;
		u32 queues;
		unsigned int reporting;
	} row[] = {
		{ f_stats | f_reporting, 0x0f, 3 },
		{ f_stats | f_reporting, 0x17, 4 },
		{ f_reporting, 0x07, 2 },
		{ f_reporting, 0x13, 4 },
	};
	struct fixture f;

	setup(&f);
	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		bring_up(&f, row[i].features, row[i].queues);
		virtio_set_status(f.dev, 15);
		EXPECT(report(&f, row[i].reporting, 0x80000, PAGE));
		EXPECT(is(f.low + 0x80000, 0));
	}
	bring_up(&f, f_stats, 0x1f);
	virtio_set_status(f.dev, 15);
	EXPECT(!report(&f, 3, 0x80000, PAGE) && is(f.low + 0x80000, 0xaa));
	EXPECT(!report(&f, 4, 0x80000, PAGE) && is(f.low + 0x80000, 0xaa));
	teardown(&f);
}

/* Return: whether VmFlags of the mapping that begins at @at have @flag */
static bool has_flag(const void *at, const char *flag)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long long from, to;
	char line[512];
	bool here = false, has = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			here = from <= (uintptr_t)at && (uintptr_t)at < to;
		else if (here && !strncmp(line, "VmFlags:", 8))
			has = strstr(line, flag);
	}
	if (f)
		fclose(f);
	return has;
}

TEST(balloon_keeps_the_host_from_making_huge_pages)
{
	bool huge = !access("/sys/kernel/mm/transparent_hugepage", F_OK);
	struct fixture f;

	setup(&f);
	EXPECT(!has_flag(f.low, " nh") && !has_flag(f.high, " nh"));
	EXPECT(!virtio_balloon_set_target(f.dev, PAGE));
	EXPECT(has_flag(f.low, " nh") == huge && has_flag(f.high, " nh") == huge);
	EXPECT(!virtio_balloon_set_target(f.dev, 0));
	EXPECT(has_flag(f.low, " hg") == huge && has_flag(f.high, " hg") == huge);
	/* Memory that is new, and a driver that begins with the target of before */
	EXPECT(!virtio_balloon_set_target(f.dev, PAGE));
	virtio_set_status(f.dev, 0);
	gmem_set_huge(&f.m.g, true);
	bring_up(&f, f.dev->offered, 0x1f);
	virtio_set_status(f.dev, 15);
	EXPECT(has_flag(f.low, " nh") == huge && has_flag(f.high, " nh") == huge);
	teardown(&f);
}

TEST(balloon_target_is_checked_and_told)
{
	struct fixture f;
	u32 generation;

	setup(&f);
	generation = f.dev->config_generation;
	EXPECT(virtio_balloon_set_target(f.dev, LOW_SIZE + HIGH_SIZE + 1) ==
	       -EINVAL);
	EXPECT(virtio_balloon_set_target(f.dev, ~0ULL) == -EINVAL);
	EXPECT(!f.configs && config_get(&f, 0) == 0);
	EXPECT(!virtio_balloon_set_target(f.dev, 10 * PAGE + 1));
	EXPECT(f.configs == 1 && config_get(&f, 0) == 10);
	EXPECT(f.dev->config_generation == generation + 1);
	EXPECT(!virtio_balloon_set_target(f.dev, 10 * PAGE));
	EXPECT(f.configs == 1);

	config_set(&f, 4, 7);
	EXPECT(virtio_balloon_actual(f.dev) == 7 * PAGE);
	config_set(&f, 0, 99);
	config_set(&f, 8, 99);
	EXPECT(config_get(&f, 0) == 10 && config_get(&f, 8) == 0);
	virtio_config_write(f.dev, 5, "\1", 1);
	EXPECT(virtio_balloon_actual(f.dev) == 0x107 * PAGE);

	/* A driver that is gone has nothing; the host's wish stays. */
	virtio_set_status(f.dev, 0);
	EXPECT(virtio_balloon_actual(f.dev) == 0);
	EXPECT(config_get(&f, 0) == 10 && config_get(&f, 12) == 0);
	EXPECT(!virtio_balloon_set_target(f.dev, LOW_SIZE + HIGH_SIZE));
	EXPECT(f.configs == 1);
	EXPECT(config_get(&f, 0) == (LOW_SIZE + HIGH_SIZE) / PAGE);
	teardown(&f);
}

static void put_stats(struct fixture *f, const void *d, u32 len)
{
	memcpy(f->low + VR_DATA, d, len);
	VR_PUT(&f->m, vr_desc(2), 0, VR_DATA, len, 0, 0);
	vr_publish(&f->m, 2, 0);
}

TEST(balloon_statistics_are_asked_for_and_given)
{
	struct virtio_balloon_stat s[] = {
		{ htole16(VIRTIO_BALLOON_S_MEMFREE), htole64(1234) },
		{ htole16(VIRTIO_BALLOON_S_MEMTOT), htole64(1ULL << 40) },
	};
	struct virtio_balloon_stats got;
	struct fixture f;

	setup(&f);
	virtio_balloon_get_stats(f.dev, &got);
	EXPECT(!got.seq && !got.valid);
	EXPECT(virtio_balloon_request_stats(f.dev) == -EAGAIN);

	/* As Linux does it: the first buffer and its kick before DRIVER_OK. */
	bring_up(&f, f.dev->offered, 0x1f);
	put_stats(&f, s, sizeof(s));
	virtio_notify(f.dev, 2);
	virtio_set_status(f.dev, 15);
	virtio_balloon_get_stats(f.dev, &got);
	EXPECT(got.seq == 1 && got.value[VIRTIO_BALLOON_S_MEMFREE] == 1234);
	EXPECT(got.value[VIRTIO_BALLOON_S_MEMTOT] == 1ULL << 40);
	EXPECT(got.valid == (BIT(VIRTIO_BALLOON_S_MEMFREE) |
			     BIT(VIRTIO_BALLOON_S_MEMTOT)));
	EXPECT(vr_used_idx(&f.m, 2) == 0);

	for (u64 i = 2; i < 50; i++) {
		/* EVENT_IDX: a signal for this one, and a kick for the next */
		*vr_u16(&f.m, vr_avail(2) + 4 + 2 * VR_NUM) = i - 2;
		EXPECT(!virtio_balloon_request_stats(f.dev));
		EXPECT(virtio_balloon_request_stats(f.dev) == -EAGAIN);
		EXPECT(vr_used_idx(&f.m, 2) == i - 1);
		EXPECT(f.signals[2] == i - 1);
		EXPECT(*vr_u16(&f.m, vr_used(2) + 4 + 8 * VR_NUM) == i - 1);
		s[0].val = htole64(i);
		put_stats(&f, s, sizeof(s));
		virtio_notify(f.dev, 2);
		virtio_notify(f.dev, 2);
		virtio_balloon_get_stats(f.dev, &got);
		EXPECT(got.seq == i);
		EXPECT(got.value[VIRTIO_BALLOON_S_MEMFREE] == i);
	}
	EXPECT(!virtio_device_pause(f.dev));
	EXPECT(virtio_balloon_request_stats(f.dev) == -ENOTCONN);
	EXPECT(!virtio_device_resume(f.dev));
	EXPECT(!virtio_balloon_request_stats(f.dev));
	virtio_balloon_get_stats(f.dev, &got);
	EXPECT(got.seq == 50);
	bring_up(&f, 0, 0x1f);
	virtio_balloon_get_stats(f.dev, &got);
	EXPECT(got.seq == 50 && !got.valid);
	virtio_set_status(f.dev, 15);
	EXPECT(virtio_balloon_request_stats(f.dev) == -ENOTCONN);
	teardown(&f);
}

TEST(balloon_statistics_are_those_of_the_last_buffer)
{
	struct virtio_balloon_stat s[] = {
		{ htole16(VIRTIO_BALLOON_S_MEMFREE), htole64(1) },
		{ htole16(VIRTIO_BALLOON_S_MEMTOT), htole64(2) },
	};
	struct virtio_balloon_stats got;
	struct fixture f;

	setup(&f);
	put_stats(&f, s, sizeof(s));
	VR_PUT(&f.m, vr_desc(2), 1, VR_DATA, sizeof(s[0]), 0, 0);
	vr_publish(&f.m, 2, 1);
	virtio_notify(f.dev, 2);
	virtio_balloon_get_stats(f.dev, &got);
	EXPECT(got.seq == 1 && got.valid == (BIT(VIRTIO_BALLOON_S_MEMFREE) |
					     BIT(VIRTIO_BALLOON_S_MEMTOT)));
	/* The next is there already, and needs no kick. */
	EXPECT(!virtio_balloon_request_stats(f.dev));
	virtio_balloon_get_stats(f.dev, &got);
	EXPECT(got.seq == 2 && got.valid == BIT(VIRTIO_BALLOON_S_MEMFREE));
	/* The first of another driver is not taken for one that was seen. */
	bring_up(&f, f.dev->offered, 0x1f);
	virtio_set_status(f.dev, 15);
	put_stats(&f, s, sizeof(s));
	virtio_notify(f.dev, 2);
	virtio_balloon_get_stats(f.dev, &got);
	EXPECT(got.seq == 3 && got.value[VIRTIO_BALLOON_S_MEMTOT] == 2);
	/* One that has no such queue is nobody to be asked. */
	bring_up(&f, f.dev->offered, 0x1b);
	virtio_set_status(f.dev, 15);
	EXPECT(virtio_balloon_request_stats(f.dev) == -ENOTCONN);
	teardown(&f);
}

TEST(balloon_target_outlives_a_guest_that_starts_over)
{
	struct state_out so = { 0 };
	struct fixture f;

	setup(&f);
	EXPECT(!virtio_balloon_set_target(f.dev, 3 * PAGE));
	virtio_device_save(f.dev, &so);
	for (unsigned int fresh = 0; fresh < 2; fresh++) {
		struct state_in in = { .buf = so.buf, .len = so.len, .fresh = fresh };

		EXPECT(!virtio_balloon_set_target(f.dev, 5 * PAGE));
		EXPECT(!virtio_device_restore(f.dev, &in));
		EXPECT(virtio_balloon_target(f.dev) == (fresh ? 5 : 3) * PAGE);
	}
	state_out_free(&so);
	teardown(&f);
}

TEST(balloon_statistics_survive_garbage)
{
	struct virtio_balloon_stats got;
	struct fixture f;
	u8 junk[2000];

	setup(&f);
	memset(junk, 0xff, sizeof(junk));
	for (u32 len = 0; len < sizeof(junk); len += 37) {
		junk[10 * (len % 3)] = len;
		junk[10 * (len % 3) + 1] = 0;
		junk[30] = VIRTIO_BALLOON_STATS;
		junk[31] = 0;
		put_stats(&f, junk, len);
		virtio_notify(f.dev, 2);
		virtio_balloon_get_stats(f.dev, &got);
		EXPECT(!(got.valid >> VIRTIO_BALLOON_STATS));
		EXPECT(!virtio_balloon_request_stats(f.dev));
	}
	/* More than one buffer, of the wrong direction, of no length */
	VR_PUT(&f.m, vr_desc(2), 1, VR_DATA, 100, WRITE, 0);
	VR_PUT(&f.m, vr_desc(2), 2, VR_DATA, 0, 0, 0);
	for (unsigned int i = 0; i < 6; i++)
		vr_publish(&f.m, 2, i % 3);
	virtio_notify(f.dev, 2);
	for (unsigned int i = 0; i < 6; i++)
		EXPECT(!virtio_balloon_request_stats(f.dev));
	EXPECT(virtio_balloon_request_stats(f.dev) == -EAGAIN);
	EXPECT(virtio_get_status(f.dev) == 15);
	vr_publish(&f.m, 2, VR_NUM);
	virtio_notify(f.dev, 2);
	EXPECT(virtio_get_status(f.dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
	EXPECT(virtio_balloon_request_stats(f.dev) == -EAGAIN);
	teardown(&f);
}

TEST_MAIN(T(gmem_discard_takes_whole_pages_of_ram_only),
	  T(gmem_discard_crosses_regions),
	  T(gmem_discard_leaves_files_to_guests_that_want_zeroes),
	  T(balloon_inflated_pages_go_back_to_the_host),
	  T(balloon_ignores_pages_outside_of_memory_and_says_so_once),
	  T(balloon_takes_pages_twice_and_torn_lists),
	  T(balloon_answers_huge_chains_in_bounded_time),
	  T(balloon_gives_back_so_much_at_each_kick),
	  T(balloon_reported_memory_goes_back_to_the_host),
	  T(balloon_finds_the_reporting_queue_without_gaps_too),
	  T(balloon_keeps_the_host_from_making_huge_pages),
	  T(balloon_target_is_checked_and_told),
	  T(balloon_statistics_are_asked_for_and_given),
	  T(balloon_statistics_are_those_of_the_last_buffer),
	  T(balloon_target_outlives_a_guest_that_starts_over),
	  T(balloon_statistics_survive_garbage))
