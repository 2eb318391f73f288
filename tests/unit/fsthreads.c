// SPDX-License-Identifier: GPL-2.0-only
/* Tests of virtio/fs-threads.c: requests that wait for the test, and ones that do not. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "kvm/fs-threads.h"
#include "kvm/virtio.h"
#include "driver.h"
#include "test.h"
#include "vring.h"

#define IN VR_DATA
#define ANSWER (VR_DATA + 0x1000)
/* Two descriptors each */
#define AT_ONCE (VR_NUM / 2)

/**
 * struct rig - @inside: requests that wait until @open, or 'v' until @first; @switches: of
 *	threads
 */
struct rig {
	struct vr_mem m;
	struct virtio_env env;
	struct virtio_device *dev;
	struct fs_threads *threads;
	int irq;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	pthread_t last;
	unsigned int inside;
	unsigned int switches;
	unsigned int served;
	bool open;
	bool first;
};

static struct rig rig;

static int serve(struct fs_server *s, struct fs_buffers *b, const struct vq_chain *c)
{
	struct rig *r = &rig;
	u8 kind = 0;

	(void)s;
	(void)b;
	iov_read(c->iov, c->nr_out, 0, &kind, 1);
	pthread_mutex_lock(&r->lock);
	r->switches += !pthread_equal(r->last, pthread_self());
	r->last = pthread_self();
	if (kind == 'w' || kind == 'v') {
		r->inside++;
		pthread_cond_broadcast(&r->moved);
		while (!r->open && !(kind == 'v' && r->first))
			pthread_cond_wait(&r->moved, &r->lock);
		r->inside--;
	}
	r->served++;
	pthread_mutex_unlock(&r->lock);
	return 1;
}

/* 'a' is answered after those that wait, if they were there before. */
static struct fs_order order(const struct vq_chain *c)
{
	u8 kind = 0;

	iov_read(c->iov, c->nr_out, 0, &kind, 1);
	return (struct fs_order){ .key = kind == 'w' || kind == 'v', .after = kind == 'a' };
}

static const struct fs_service service = {
	.serve = serve, .order = order, .broken = "broken",
};

static struct fs_server server = { .service = &service };

static int activate(struct virtio_device *dev)
{
	(void)dev;
	return fs_threads_start(rig.threads, &server);
}

static void deactivate(struct virtio_device *dev)
{
	(void)dev;
	fs_threads_stop(rig.threads);
}

static int create(struct virtio_device *dev, const void *opts, struct report *r)
{
	(void)opts;
	(void)r;
	return fs_threads_create(&rig.threads, dev);
}

static void destroy(struct virtio_device *dev)
{
	deactivate(dev);
	fs_threads_free(rig.threads);
	rig.threads = NULL;
}

static u64 features(struct virtio_device *dev)
{
	(void)dev;
	return 0;
}

static const struct virtio_class class = {
	.name = "threads", .id = 26, .nr_queues = 1, .queue_max = VR_NUM,
	.has_thread = true, .create = create, .features = features,
	.activate = activate, .deactivate = deactivate, .destroy = destroy,
};

static void bring_up(struct rig *r)
{
	driver_up(r->dev, &driver_vring, DRIVER_V1, DRIVER_ALL);
}

static void start(struct test *t)
{
	struct rig *r = &rig;

	memset(r, 0, sizeof(*r));
	vr_init(&r->m);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->moved, NULL);
	r->irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->env.gmem = &r->m.g;
	EXPECT(r->irq >= 0 &&
	       !virtio_device_create(&r->dev, &class, "threads0", NULL, &r->env, NULL));
	r->dev->transport_priv = &r->irq;
	r->dev->transport = &driver_transport;
	bring_up(r);
}

static void teardown(void)
{
	struct rig *r = &rig;

	virtio_device_free(r->dev);
	close(r->irq);
	pthread_cond_destroy(&r->moved);
	pthread_mutex_destroy(&r->lock);
	vr_free(&r->m);
}

/* Without a kick; the @i-th of AT_ONCE places in the ring is free. */
static void put(struct rig *r, unsigned int i, u8 kind)
{
	gmem_write(&r->m.g, IN + i, &kind, 1);
	VR_PUT(&r->m, vr_desc(0), 2 * i, IN + i, 1, VRING_DESC_F_NEXT, 2 * i + 1);
	VR_PUT(&r->m, vr_desc(0), 2 * i + 1, ANSWER + 16 * i, 16,
	       VRING_DESC_F_WRITE, 0);
	vr_publish(&r->m, 0, 2 * i);
}

static bool used_is(struct rig *r, u16 want)
{
	struct pollfd p = { .fd = r->irq, .events = POLLIN };
	u64 v;

	while (vr_used_idx(&r->m, 0) != want)
		if (poll(&p, 1, 5000) <= 0 || read(r->irq, &v, sizeof(v)) < 0)
			return vr_used_idx(&r->m, 0) == want;
	return true;
}

static bool inside_is(struct rig *r, unsigned int want)
{
	struct timespec end;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 5;
	pthread_mutex_lock(&r->lock);
	while (r->inside != want && !err)
		err = pthread_cond_timedwait(&r->moved, &r->lock, &end);
	err = r->inside != want;
	pthread_mutex_unlock(&r->lock);
	return !err;
}

static void let_go(struct rig *r, bool open)
{
	pthread_mutex_lock(&r->lock);
	r->open = open;
	pthread_cond_broadcast(&r->moved);
	pthread_mutex_unlock(&r->lock);
}

/* Each is heard of although all before it are waiting. */
TEST(fsthreads_who_waits_holds_up_nobody)
{
	struct rig *r = &rig;
	u16 quick = 0;

	start(t);
	for (unsigned int i = 0; i < AT_ONCE - 1; i++) {
		put(r, i, 'w');
		virtio_notify(r->dev, 0);
		EXPECT(inside_is(r, i + 1));
		for (unsigned int n = 0; n < 3; n++) {
			put(r, AT_ONCE - 1, 'q');
			virtio_notify(r->dev, 0);
			EXPECT(used_is(r, ++quick));
		}
	}
	let_go(r, true);
	EXPECT(used_is(r, quick + AT_ONCE - 1));
	teardown();
}

TEST(fsthreads_many_are_served_at_once)
{
	struct rig *r = &rig;

	start(t);
	for (unsigned int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < AT_ONCE; i++)
			put(r, i, 'w');
		virtio_notify(r->dev, 0);
		EXPECT(inside_is(r, AT_ONCE));
		let_go(r, true);
		EXPECT(used_is(r, (round + 1) * AT_ONCE) && inside_is(r, 0));
		let_go(r, false);
	}
	teardown();
}

/* Neither for one that comes later, nor for one that has gone. */
TEST(fsthreads_wait_for_what_was_there_before)
{
	struct rig *r = &rig;
	static const char kinds[] = "vaqwaq";
	static const u16 inside[] = { 1, 1, 1, 2 }, used[] = { 0, 0, 1, 1, 3, 4 };

	start(t);
	for (unsigned int i = 0; kinds[i]; i++) {
		if (i == 4) {
			pthread_mutex_lock(&r->lock);
			r->first = true;
			pthread_cond_broadcast(&r->moved);
			pthread_mutex_unlock(&r->lock);
			EXPECT(inside_is(r, 1) && used_is(r, 3));
		}
		put(r, i, kinds[i]);
		virtio_notify(r->dev, 0);
		EXPECT(i > 3 || inside_is(r, inside[i]));
		EXPECT(used_is(r, used[i]));
	}
	let_go(r, true);
	EXPECT(used_is(r, 6));
	put(r, 6, 'a');
	virtio_notify(r->dev, 0);
	EXPECT(used_is(r, 7));
	teardown();
}

/* As many of them wait as there may be threads, and no more are made. */
TEST(fsthreads_are_bounded)
{
	struct rig *r = &rig;

	start(t);
	for (u16 i = 0; i < VR_NUM; i++) {
		gmem_write(&r->m.g, IN + i, "w", 1);
		VR_PUT(&r->m, vr_desc(0), i, IN + i, 1, 0, 0);
		vr_publish(&r->m, 0, i);
	}
	virtio_notify(r->dev, 0);
	EXPECT(inside_is(r, VR_NUM));
	let_go(r, true);
	EXPECT(used_is(r, VR_NUM));
	teardown();
}

/*
 * No other thread is woken for requests that come one after another; but for one
 * that stands in where the first does not get the processor.
 */
TEST(fsthreads_one_after_another_is_one_threads)
{
	struct rig *r = &rig;
	unsigned int tries = 0;
	bool few;

	do {
		start(t);
		for (u16 i = 0; i < 1000; i++) {
			put(r, i % AT_ONCE, 'q');
			virtio_notify(r->dev, 0);
			EXPECT(used_is(r, i + 1));
		}
		EXPECT(r->served == 1000);
		few = r->switches < 100;
		teardown();
	} while (!few && ++tries < 5);
	EXPECT(few);
}

/* Whatever the threads wait for, they end, and those after them serve. */
TEST(fsthreads_end_wherever_they_wait)
{
	struct rig *r = &rig;

	start(t);
	for (unsigned int round = 0; round < 60; round++) {
		unsigned int n = round % 3 ? AT_ONCE : 1;

		r->open = true;
		for (unsigned int i = 0; i < n; i++)
			put(r, i, 'w');
		virtio_notify(r->dev, 0);
		EXPECT(used_is(r, n));
		/* In the middle of a tick, behind it, and when all sleep */
		usleep(round % 4 * 7000);
		bring_up(r);
	}
	teardown();
}

TEST_MAIN(T(fsthreads_who_waits_holds_up_nobody),
	  T(fsthreads_many_are_served_at_once),
	  T(fsthreads_wait_for_what_was_there_before),
	  T(fsthreads_are_bounded),
	  T(fsthreads_one_after_another_is_one_threads),
	  T(fsthreads_end_wherever_they_wait))
