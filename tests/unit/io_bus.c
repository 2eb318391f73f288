// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of buses.
 *
 * Theory of operation: a device remembers the last access; a second thread
 * looks up while ranges come and go, for the sanitizers to watch.
 */
#include <errno.h>
#include <string.h>

#include "kvm/io.h"
#include "test.h"

struct fake {
	struct io_bus *bus;
	unsigned int reads;
	unsigned int writes;
	u64 off;
	u64 value;
	int status;
};

static int fake_read(void *o, u64 off, void *d, unsigned int len)
{
	struct fake *f = o;

	f->reads++;
	f->off = off;
	memset(d, 0x5a, len);
	return f->status;
}

static int fake_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct fake *f = o;

	f->writes++;
	f->off = off;
	f->value = io_read_le(d, len);
	return f->status;
}

static const struct io_ops fake_ops = { fake_read, fake_write };

static int move_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct fake *f = o;

	(void)off;
	(void)d;
	(void)len;
	f->writes++;
	if (io_bus_unregister(f->bus, 0x100))
		return -EINVAL;
	return io_bus_register(f->bus, 0x200, 4, &fake_ops, f);
}

static const struct io_ops move_ops = { fake_read, move_write };

TEST(io_bus_refuses_overlap_and_zero_length)
{
	struct io_bus bus;

	io_bus_init(&bus);
	EXPECT(io_bus_register(&bus, 0x100, 0, &fake_ops, NULL) == -EINVAL);
	EXPECT(io_bus_register(&bus, 0x100, 8, &fake_ops, NULL) == 0);
	EXPECT(io_bus_register(&bus, 0x100, 8, &fake_ops, NULL) == -EEXIST);
	EXPECT(io_bus_register(&bus, 0x107, 1, &fake_ops, NULL) == -EEXIST);
	EXPECT(io_bus_register(&bus, 0xff, 2, &fake_ops, NULL) == -EEXIST);
	EXPECT(io_bus_register(&bus, 0, 0x1000, &fake_ops, NULL) == -EEXIST);
	EXPECT(io_bus_register(&bus, UINT64_MAX, 2, &fake_ops, NULL) ==
	       -EINVAL);
	EXPECT(io_bus_register(&bus, UINT64_MAX, 1, &fake_ops, NULL) == 0);
	EXPECT(io_bus_register(&bus, 0xff, 1, &fake_ops, NULL) == 0);
	EXPECT(io_bus_register(&bus, 0x108, 1, &fake_ops, NULL) == 0);
	EXPECT(io_bus_unregister(&bus, 0x101) == -ENOENT);
	EXPECT(io_bus_unregister(&bus, 0x100) == 0);
	EXPECT(io_bus_register(&bus, 0x100, 8, &fake_ops, NULL) == 0);
	io_bus_destroy(&bus);
}

TEST(io_bus_gives_an_access_to_who_holds_all_of_it)
{
	struct fake f = { 0 };
	struct io_bus bus;
	u8 d[8];

	io_bus_init(&bus);
	EXPECT(io_bus_register(&bus, 0x100, 4, &fake_ops, &f) == 0);
	EXPECT(io_bus_read(&bus, 0x100, d, 4) == 0 && d[3] == 0x5a);
	EXPECT(io_bus_read(&bus, 0x103, d, 1) == 0 && f.off == 3);
	EXPECT(io_bus_write(&bus, 0x102, "\x34\x12", 2) == 0);
	EXPECT(f.off == 2 && f.value == 0x1234);
	EXPECT(f.reads == 2 && f.writes == 1);

	/* one byte outside, before and behind, and nobody at all */
	EXPECT(io_bus_read(&bus, 0x101, d, 4) == -ENOENT && d[0] == 0xff);
	EXPECT(io_bus_read(&bus, 0xff, d, 2) == -ENOENT && d[1] == 0xff);
	EXPECT(io_bus_read(&bus, 0x104, d, 8) == -ENOENT && d[7] == 0xff);
	EXPECT(io_bus_write(&bus, 0x103, d, 2) == -ENOENT);
	EXPECT(f.reads == 2 && f.writes == 1);

	f.status = -EINVAL;
	EXPECT(io_bus_read(&bus, 0x100, d, 4) == 0 && d[0] == 0xff);
	io_bus_destroy(&bus);
}

TEST(io_bus_handler_may_move_its_range)
{
	struct io_bus bus;
	struct fake f = { .bus = &bus };
	u8 d[4] = { 0 };

	io_bus_init(&bus);
	EXPECT(io_bus_register(&bus, 0x100, 4, &move_ops, &f) == 0);
	EXPECT(io_bus_write(&bus, 0x100, d, 4) == 0);
	EXPECT(io_bus_write(&bus, 0x100, d, 4) == -ENOENT);
	EXPECT(io_bus_write(&bus, 0x200, d, 4) == 0 && f.writes == 2);
	io_bus_destroy(&bus);
}

struct churn {
	struct io_bus bus;
	struct fake f;
	unsigned int seen;
	bool stop;
};

static void *churn_thread(void *opaque)
{
	struct churn *c = opaque;
	u8 d;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		if (!io_bus_read(&c->bus, 0x4000, &d, 1))
			__atomic_add_fetch(&c->seen, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST(io_bus_lookups_survive_registration)
{
	struct churn c = { .seen = 0 };
	pthread_t thread;

	io_bus_init(&c.bus);
	EXPECT(io_bus_register(&c.bus, 0x4000, 1, &fake_ops, &c.f) == 0);
	EXPECT(!pthread_create(&thread, NULL, churn_thread, &c));
	for (u64 i = 0; i < 2000; i++) {
		EXPECT(!io_bus_register(&c.bus, i, 1, &fake_ops, NULL));
		if (i % 3 == 2)
			EXPECT(!io_bus_unregister(&c.bus, i - 1));
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT(c.seen == c.f.reads);
	io_bus_destroy(&c.bus);
}

/* Two may enter; what they share is the bus. */
static int idle_read(void *o, u64 off, void *d, unsigned int len)
{
	(void)o;
	(void)off;
	memset(d, 0, len);
	return 0;
}

static int idle_write(void *o, u64 off, const void *d, unsigned int len)
{
	(void)o;
	(void)off;
	(void)d;
	(void)len;
	return 0;
}

static const struct io_ops idle_ops = { idle_read, idle_write };

/* That nobody reads a count while it changes is for the thread sanitizer to see. */
TEST(io_bus_counts_accesses_of_all_cpus)
{
	struct churn c = { .seen = 0 };
	struct io_range r;
	pthread_t thread;
	u64 own = 0;

	io_bus_init(&c.bus);
	EXPECT(io_bus_register(&c.bus, 0x4000, 1, &idle_ops, NULL) == 0);
	EXPECT(!pthread_create(&thread, NULL, churn_thread, &c));
	while (own < 2000 || !__atomic_load_n(&c.seen, __ATOMIC_RELAXED)) {
		io_bus_write(&c.bus, 0x4000, &(u8){ 0 }, 1);
		EXPECT(io_bus_get(&c.bus, 0, &r) && r.hits >= ++own);
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT(io_bus_get(&c.bus, 0, &r) && r.hits == own + c.seen);
	io_bus_destroy(&c.bus);
}

TEST_MAIN(T(io_bus_refuses_overlap_and_zero_length),
	  T(io_bus_gives_an_access_to_who_holds_all_of_it),
	  T(io_bus_handler_may_move_its_range),
	  T(io_bus_lookups_survive_registration),
	  T(io_bus_counts_accesses_of_all_cpus))
