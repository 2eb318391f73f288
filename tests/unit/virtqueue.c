// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Split virtqueues and arrays of pieces, against a driver that follows
 * virtio 1.2 s2.7 and one that breaks each of its rules. One thread, no device
 * class: the queue stands in a zeroed struct virtio_device.
 */
#include <errno.h>
#include <sys/mman.h>
#include "kvm/virtio.h"
#include "test.h"
#include "vring.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

struct fixture {
	struct vr_mem m;
	struct virtio_device dev;
	struct virtqueue *vq;
	struct vq_chain chain;
};

static void count_signal(struct virtio_device *dev, struct virtqueue *vq)
{
	(void)vq;
	dev->queue_select++;
}

static void no_config(struct virtio_device *dev)
{
	(void)dev;
}

static const struct virtio_transport_ops transport = {
	.signal_queue = count_signal,
	.signal_config = no_config,
};

static struct fixture *setup(bool features)
{
	struct fixture *f = calloc(1, sizeof(*f));

	vr_init(&f->m);
	f->dev.transport = &transport;
	f->vq = &f->dev.queue[0];
	f->vq->dev = &f->dev;
	f->vq->gmem = &f->m.g;
	f->vq->kick_fd = -1;
	f->vq->size_max = VIRTQUEUE_MAX_SIZE;
	virtqueue_reset(f->vq);
	f->vq->size = VR_NUM;
	f->vq->desc_gpa = vr_desc(0);
	f->vq->avail_gpa = vr_avail(0);
	f->vq->used_gpa = vr_used(0);
	f->vq->ready = !virtqueue_map(f->vq);
	f->vq->event_idx = features;
	f->vq->indirect = features;
	return f;
}

static void teardown(struct fixture *f)
{
	vr_free(&f->m);
	free(f);
}

static int pop(struct fixture *f)
{
	return virtqueue_pop(f->vq, &f->chain);
}

static bool refuses(struct fixture *f, u16 head)
{
	bool ok;

	vr_publish(&f->m, 0, head);
	ok = pop(f) == -EPROTO && f->vq->broken && pop(f) == -EPROTO &&
	     f->dev.status & VIRTIO_CONFIG_S_NEEDS_RESET && f->dev.errors == 1;
	teardown(f);
	return ok;
}

TEST(virtqueue_map_checks_size_and_alignment)
{
	struct fixture *f = setup(false);
	static const u16 bad[] = { 0, 3, 2048, 0x8000 };

	EXPECT(f->vq->ready);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		f->vq->size = bad[i];
		EXPECT(virtqueue_map(f->vq) == -EINVAL);
	}
	f->vq->size = 1;
	EXPECT(virtqueue_map(f->vq) == 0);
	f->vq->size = VR_NUM;
	f->vq->size_max = VR_NUM / 2;
	EXPECT(virtqueue_map(f->vq) == -EINVAL);
	f->vq->size_max = VR_NUM;
	EXPECT(virtqueue_map(f->vq) == 0);
	f->vq->desc_gpa += 8;
	EXPECT(virtqueue_map(f->vq) == -EINVAL);
	f->vq->desc_gpa -= 8;
	f->vq->avail_gpa += 1;
	EXPECT(virtqueue_map(f->vq) == -EINVAL);
	f->vq->avail_gpa -= 1;
	f->vq->used_gpa += 2;
	EXPECT(virtqueue_map(f->vq) == -EINVAL);
	teardown(f);
}

TEST(virtqueue_map_checks_the_last_byte)
{
	struct fixture *f = setup(false);

	f->vq->desc_gpa = 2 * VR_HALF - 16 * VR_NUM;
	EXPECT(virtqueue_map(f->vq) == 0);
	f->vq->desc_gpa += 16;
	EXPECT(virtqueue_map(f->vq) == -EINVAL);
	f->vq->desc_gpa = VR_HALF - 16;	/* rings do not cross regions */
	EXPECT(virtqueue_map(f->vq) == -EINVAL);
	f->vq->desc_gpa = ~15ULL;
	EXPECT(virtqueue_map(f->vq) == -EINVAL);
	f->vq->desc_gpa = vr_desc(0);
	/* Behind the entries are the events: 6 + 2 * 16 and 6 + 8 * 16 bytes. */
	f->vq->avail_gpa = 2 * VR_HALF - 38;
	EXPECT(virtqueue_map(f->vq) == 0);
	f->vq->avail_gpa += 2;
	EXPECT(virtqueue_map(f->vq) == -EINVAL);
	f->vq->avail_gpa = vr_avail(0);
	f->vq->used_gpa = 2 * VR_HALF - 136;
	EXPECT(virtqueue_map(f->vq) == 0);
	f->vq->used_gpa += 4;
	EXPECT(virtqueue_map(f->vq) == -EINVAL);
	teardown(f);
}

TEST(virtqueue_pop_gives_out_then_in)
{
	struct fixture *f = setup(false);

	EXPECT(pop(f) == 0);
	VR_PUT(&f->m, vr_desc(0), 3, VR_DATA, 16, NEXT, 5);
	VR_PUT(&f->m, vr_desc(0), 5, VR_HALF - 8, 24, NEXT | WRITE, 1);
	VR_PUT(&f->m, vr_desc(0), 1, VR_DATA, 1, WRITE, 0);
	vr_publish(&f->m, 0, 3);
	EXPECT(pop(f) == 1);
	EXPECT(f->chain.head == 3);
	EXPECT(f->chain.nr_out == 1 && f->chain.out_len == 16);
	EXPECT(f->chain.nr_in == 3 && f->chain.in_len == 25);
	EXPECT(f->chain.iov[1].iov_len == 8);
	EXPECT(f->chain.iov[2].iov_base == f->m.half[1]);
	EXPECT(pop(f) == 0);

	virtqueue_push(f->vq, &f->chain, 7);
	EXPECT(vr_used_idx(&f->m, 0) == 1);
	EXPECT(*vr_u16(&f->m, vr_used(0) + 4) == 3);
	EXPECT(*vr_u16(&f->m, vr_used(0) + 8) == 7);
	teardown(f);
}

TEST(virtqueue_pop_skips_empty_descriptors)
{
	struct fixture *f = setup(false);

	VR_PUT(&f->m, vr_desc(0), 0, VR_DATA, 0, NEXT, 1);
	VR_PUT(&f->m, vr_desc(0), 1, VR_DATA, 4, 0, 0);
	vr_publish(&f->m, 0, 0);
	EXPECT(pop(f) == 1);
	EXPECT(f->chain.nr_out == 1 && f->chain.out_len == 4);
	teardown(f);
}

TEST(virtqueue_indexes_wrap)
{
	struct fixture *f = setup(false);
	bool ok = true;

	VR_PUT(&f->m, vr_desc(0), 0, VR_DATA, 4, WRITE, 0);
	for (unsigned int i = 0; i < 0x10010; i++) {
		vr_publish(&f->m, 0, 0);
		ok = ok && pop(f) == 1;
		virtqueue_push(f->vq, &f->chain, 4);
	}
	EXPECT(ok);
	EXPECT(vr_used_idx(&f->m, 0) == 0x10);
	teardown(f);
}

TEST(virtqueue_pop_rejects_head_out_of_range)
{
	EXPECT(refuses(setup(false), VR_NUM));
	EXPECT(refuses(setup(false), 0xffff));
}

TEST(virtqueue_pop_rejects_next_out_of_range)
{
	struct fixture *f = setup(false);

	VR_PUT(&f->m, vr_desc(0), 0, VR_DATA, 4, NEXT, VR_NUM);
	EXPECT(refuses(f, 0));
}

TEST(virtqueue_pop_rejects_avail_jump)
{
	struct fixture *f = setup(false);

	*vr_u16(&f->m, vr_avail(0) + 2) = VR_NUM;
	EXPECT(refuses(f, 0));
}

TEST(virtqueue_pop_rejects_descriptor_loop)
{
	struct fixture *f = setup(false);

	VR_PUT(&f->m, vr_desc(0), 0, VR_DATA, 4, NEXT, 1);
	VR_PUT(&f->m, vr_desc(0), 1, VR_DATA, 0, NEXT, 0);
	EXPECT(refuses(f, 0));
}

TEST(virtqueue_pop_takes_chain_of_whole_table)
{
	struct fixture *f = setup(false);

	for (unsigned int i = 0; i < VR_NUM; i++)
		VR_PUT(&f->m, vr_desc(0), i, VR_DATA, 4,
		       i < VR_NUM - 1 ? NEXT : 0, i + 1);
	vr_publish(&f->m, 0, 0);
	EXPECT(pop(f) == 1);
	EXPECT(f->chain.nr_out == VR_NUM);
	teardown(f);
}

TEST(virtqueue_pop_rejects_readable_after_writable)
{
	struct fixture *f = setup(false);

	VR_PUT(&f->m, vr_desc(0), 0, VR_DATA, 4, NEXT | WRITE, 1);
	VR_PUT(&f->m, vr_desc(0), 1, VR_DATA, 4, 0, 0);
	EXPECT(refuses(f, 0));
}

TEST(virtqueue_pop_rejects_bad_address)
{
	static const struct {
		u64 gpa;
		u32 len;
	} bad[] = {
		{ 2 * VR_HALF, 1 }, { 2 * VR_HALF - 1, 2 }, { ~0ULL, 2 },
		{ ~0ULL - 3, 4 }, { 0, 0xffffffff },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fixture *f = setup(false);

		VR_PUT(&f->m, vr_desc(0), 0, bad[i].gpa, bad[i].len, 0, 0);
		EXPECT(refuses(f, 0));
	}
}

TEST(virtqueue_pop_takes_the_last_byte_of_memory)
{
	struct fixture *f = setup(false);

	VR_PUT(&f->m, vr_desc(0), 0, 2 * VR_HALF - 1, 1, WRITE, 0);
	vr_publish(&f->m, 0, 0);
	EXPECT(pop(f) == 1);
	EXPECT(f->chain.iov[0].iov_base == f->m.half[1] + VR_HALF - 1);
	teardown(f);
}

TEST(virtqueue_pop_rejects_sum_of_4g)
{
	struct fixture *f = setup(false);
	void *p = mmap(NULL, 3 * SZ_1G, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	EXPECT(p != MAP_FAILED);
	EXPECT(!gmem_add(&f->m.g, SZ_4G, 3 * SZ_1G, p));
	VR_PUT(&f->m, vr_desc(0), 0, SZ_4G, 3 * SZ_1G, NEXT, 1);
	VR_PUT(&f->m, vr_desc(0), 1, SZ_4G, SZ_1G, WRITE, 0);
	EXPECT(refuses(f, 0));
	munmap(p, 3 * SZ_1G);
}

TEST(virtqueue_pop_walks_indirect_table)
{
	struct fixture *f = setup(true);
	u64 tab = VR_HALF - 16;	/* crosses into the second region */

	VR_PUT(&f->m, vr_desc(0), 0, VR_DATA, 4, NEXT, 1);
	VR_PUT(&f->m, vr_desc(0), 1, tab, 48, INDIRECT | WRITE, 0);
	VR_PUT(&f->m, tab, 0, VR_DATA, 8, NEXT, 2);
	VR_PUT(&f->m, tab, 2, VR_DATA, 2, NEXT | WRITE, 1);
	VR_PUT(&f->m, tab, 1, VR_DATA, 1, WRITE, 0);
	vr_publish(&f->m, 0, 0);
	EXPECT(pop(f) == 1);
	EXPECT(f->chain.nr_out == 2 && f->chain.out_len == 12);
	EXPECT(f->chain.nr_in == 2 && f->chain.in_len == 3);
	teardown(f);
}

TEST(virtqueue_pop_rejects_bad_indirect_table)
{
	static const struct {
		bool negotiated;
		u64 gpa;
		u32 len;
		u16 flags;
	} bad[] = {
		{ false, 0x3000, 16, INDIRECT },
		{ true, 0x3000, 16, INDIRECT | NEXT },
		{ true, 0x3000, 0, INDIRECT },
		{ true, 0x3000, 15, INDIRECT },
		{ true, 0x3000, 16 * (VIRTQUEUE_MAX_SIZE + 1), INDIRECT },
		{ true, 2 * VR_HALF, 16, INDIRECT },
		{ true, 2 * VR_HALF - 15, 16, INDIRECT },
		{ true, ~0ULL - 7, 16, INDIRECT },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fixture *f = setup(bad[i].negotiated);

		VR_PUT(&f->m, vr_table(0), 0, VR_DATA, 4, 0, 0);
		VR_PUT(&f->m, vr_desc(0), 0, bad[i].gpa, bad[i].len,
		       bad[i].flags, 1);
		EXPECT(refuses(f, 0));
	}
}

TEST(virtqueue_pop_rejects_bad_indirect_entry)
{
	static const struct vring_desc bad[] = {
		{ .addr = VR_DATA, .len = 4, .flags = NEXT, .next = 2 },
		{ .addr = VR_DATA, .len = 4, .flags = NEXT, .next = 0 },
		{ .addr = 0x3000, .len = 16, .flags = INDIRECT },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fixture *f = setup(true);

		vr_put(&f->m, vr_table(0), 0, &bad[i]);
		VR_PUT(&f->m, vr_desc(0), 0, vr_table(0), 32, INDIRECT, 0);
		EXPECT(refuses(f, 0));
	}
}

TEST(virtqueue_pop_limits_pieces)
{
	for (unsigned int n = VQ_CHAIN_MAX; n <= VQ_CHAIN_MAX + 1; n++) {
		struct fixture *f = setup(true);

		for (unsigned int i = 0; i < n; i++)
			VR_PUT(&f->m, VR_HALF, i, VR_DATA, 1,
			       i < n - 1 ? NEXT : 0, i + 1);
		VR_PUT(&f->m, vr_desc(0), 0, VR_HALF, 16 * n, INDIRECT, 0);
		if (n > VQ_CHAIN_MAX) {
			EXPECT(refuses(f, 0));
			continue;
		}
		vr_publish(&f->m, 0, 0);
		EXPECT(pop(f) == 1 && f->chain.nr_out == n);
		teardown(f);
	}
}

TEST(virtqueue_survives_size_change_after_map)
{
	struct fixture *f = setup(false);

	f->vq->size = 1024;
	EXPECT(refuses(f, VR_NUM));
}

TEST(virtqueue_signal_obeys_no_interrupt)
{
	struct fixture *f = setup(false);

	virtqueue_signal(f->vq);
	EXPECT(f->dev.queue_select == 0);
	virtqueue_push(f->vq, &f->chain, 0);
	virtqueue_signal(f->vq);
	EXPECT(f->dev.queue_select == 1);
	*vr_u16(&f->m, vr_avail(0)) = VRING_AVAIL_F_NO_INTERRUPT;
	virtqueue_push(f->vq, &f->chain, 0);
	virtqueue_signal(f->vq);
	EXPECT(f->dev.queue_select == 1);
	teardown(f);
}

TEST(virtqueue_signal_obeys_used_event)
{
	struct fixture *f = setup(true);

	*vr_u16(&f->m, vr_avail(0) + 4 + 2 * VR_NUM) = 1;
	virtqueue_push(f->vq, &f->chain, 0);
	virtqueue_signal(f->vq);
	EXPECT(f->dev.queue_select == 0);
	virtqueue_push(f->vq, &f->chain, 0);
	virtqueue_signal(f->vq);
	EXPECT(f->dev.queue_select == 1);
	virtqueue_push(f->vq, &f->chain, 0);
	virtqueue_signal(f->vq);
	EXPECT(f->dev.queue_select == 1);
	teardown(f);
}

TEST(virtqueue_set_notify_sees_what_came_before)
{
	for (unsigned int event_idx = 0; event_idx < 2; event_idx++) {
		struct fixture *f = setup(event_idx);
		u16 *flags = vr_u16(&f->m, vr_used(0));

		EXPECT(!virtqueue_set_notify(f->vq, false));
		EXPECT(event_idx || *flags == VRING_USED_F_NO_NOTIFY);
		EXPECT(!virtqueue_set_notify(f->vq, true));
		EXPECT(*flags == 0);
		virtqueue_set_notify(f->vq, false);
		vr_publish(&f->m, 0, 0);
		EXPECT(virtqueue_set_notify(f->vq, true));
		teardown(f);
	}
}

TEST(virtqueue_pop_moves_avail_event_when_empty)
{
	struct fixture *f = setup(true);
	u16 *event = vr_u16(&f->m, vr_used(0) + 4 + 8 * VR_NUM);

	VR_PUT(&f->m, vr_desc(0), 0, VR_DATA, 4, 0, 0);
	vr_publish(&f->m, 0, 0);
	EXPECT(pop(f) == 1);
	EXPECT(pop(f) == 0);
	EXPECT(*event == 1);
	virtqueue_set_notify(f->vq, false);
	vr_publish(&f->m, 0, 0);
	EXPECT(pop(f) == 1);
	EXPECT(pop(f) == 0);
	EXPECT(*event == 1);
	teardown(f);
}

TEST(virtqueue_unpop_finds_the_chain_again)
{
	struct fixture *f = setup(true);

	VR_PUT(&f->m, vr_desc(0), 3, VR_DATA, 16, 0, 0);
	VR_PUT(&f->m, vr_desc(0), 4, VR_DATA, 32, 0, 0);
	vr_publish(&f->m, 0, 3);
	vr_publish(&f->m, 0, 4);
	EXPECT(pop(f) == 1 && f->chain.head == 3);
	virtqueue_unpop(f->vq);
	EXPECT(vr_used_idx(&f->m, 0) == 0);
	EXPECT(pop(f) == 1 && f->chain.head == 3 && f->chain.out_len == 16);
	virtqueue_push(f->vq, &f->chain, 0);
	EXPECT(pop(f) == 1 && f->chain.head == 4);
	virtqueue_unpop(f->vq);
	vr_publish(&f->m, 0, VR_NUM);
	EXPECT(pop(f) == 1 && f->chain.head == 4);
	EXPECT(pop(f) == -EPROTO);
	virtqueue_unpop(f->vq);
	EXPECT(pop(f) == -EPROTO && vr_used_idx(&f->m, 0) == 1);
	teardown(f);
}

TEST(virtqueue_restore_gives_the_same_bytes)
{
	struct fixture *f = setup(true);
	struct state_out a = { 0 }, b = { 0 };
	struct state_in in;

	VR_PUT(&f->m, vr_desc(0), 0, VR_DATA, 4, 0, 0);
	vr_publish(&f->m, 0, 0);
	EXPECT(pop(f) == 1);
	virtqueue_push(f->vq, &f->chain, 0);
	virtqueue_save(f->vq, &a);
	in = (struct state_in){ .buf = a.buf, .len = a.len };
	EXPECT(virtqueue_restore(f->vq, &in) == 0);
	EXPECT(in.pos == a.len);
	virtqueue_save(f->vq, &b);
	EXPECT(a.len == b.len && !memcmp(a.buf, b.buf, a.len));
	vr_publish(&f->m, 0, 0);
	EXPECT(pop(f) == 1);

	for (size_t len = 0; len < a.len; len++) {
		in = (struct state_in){ .buf = a.buf, .len = len };
		EXPECT(virtqueue_restore(f->vq, &in) == -EPROTO);
		EXPECT(!f->vq->ready);
	}
	state_out_free(&a);
	state_out_free(&b);
	teardown(f);
}

TEST(virtqueue_restore_checks_rings)
{
	struct fixture *f = setup(true);
	struct state_out a = { 0 };
	struct state_in in;

	f->vq->desc_gpa = 2 * VR_HALF;
	virtqueue_save(f->vq, &a);
	in = (struct state_in){ .buf = a.buf, .len = a.len };
	EXPECT(virtqueue_restore(f->vq, &in) == -EPROTO);
	EXPECT(!f->vq->ready && !f->vq->desc);
	state_out_free(&a);
	teardown(f);
}

TEST(iov_copies_stop_at_the_end)
{
	u8 a[3] = { 1, 2, 3 }, b[2] = { 4, 5 }, d[8] = { 0 };
	struct iovec iov[3] = { { a, 3 }, { NULL, 0 }, { b, 2 } };
	struct iovec out[3];

	EXPECT(iov_length(iov, 3) == 5);
	EXPECT(iov_read(iov, 3, 0, d, 8) == 5 && d[4] == 5 && !d[5]);
	EXPECT(iov_read(iov, 3, 2, d, 2) == 2 && d[0] == 3 && d[1] == 4);
	EXPECT(iov_read(iov, 3, 5, d, 1) == 0);
	EXPECT(iov_read(iov, 3, SIZE_MAX, d, 1) == 0);
	EXPECT(iov_read(iov, 3, 0, d, 0) == 0);
	EXPECT(iov_write(iov, 3, 2, "xyzw", 4) == 3);
	EXPECT(a[2] == 'x' && b[1] == 'z');
	EXPECT(iov_slice(iov, 3, 1, 3, out) == 2);
	EXPECT(out[0].iov_base == a + 1 && out[0].iov_len == 2);
	EXPECT(out[1].iov_base == b && out[1].iov_len == 1);
	EXPECT(iov_slice(iov, 3, 5, 1, out) == 0);
	EXPECT(iov_slice(iov, 3, 4, 100, out) == 1 && out[0].iov_len == 1);
}

TEST(virtqueue_unpop_gives_the_same_chain_again)
{
	struct fixture *f = setup(true);

	VR_PUT(&f->m, vr_desc(0), 3, VR_DATA, 4, 0, 0);
	VR_PUT(&f->m, vr_desc(0), 4, VR_DATA, 5, 0, 0);
	vr_publish(&f->m, 0, 3);
	vr_publish(&f->m, 0, 4);
	EXPECT(pop(f) == 1 && f->chain.head == 3);
	virtqueue_unpop(f->vq);
	EXPECT(pop(f) == 1 && f->chain.head == 3 && f->chain.out_len == 4);
	EXPECT(pop(f) == 1 && f->chain.head == 4);
	EXPECT(pop(f) == 0);
	teardown(f);
}

TEST(virtqueue_counts_what_was_done)
{
	struct vq_used used[] = { { .head = 3, .written = 7 }, { .head = 4, .written = 9 } };
	struct fixture *f = setup(false);

	VR_PUT(&f->m, vr_desc(0), 3, VR_DATA, 4, VRING_DESC_F_NEXT, 4);
	VR_PUT(&f->m, vr_desc(0), 4, VR_DATA, 5, VRING_DESC_F_WRITE, 0);
	vr_publish(&f->m, 0, 3);
	EXPECT(pop(f) == 1 && f->vq->count.out == 4);
	virtqueue_unpop(f->vq);
	EXPECT(!f->vq->count.out);
	EXPECT(pop(f) == 1 && f->vq->count.out == 4 && !f->vq->count.chains);
	/* No more can have been written than there was room for. */
	virtqueue_push(f->vq, &f->chain, 6);
	EXPECT(*(u32 *)gmem_ptr(&f->m.g, vr_used(0) + 8, 4) == 5);
	EXPECT(f->vq->count.chains == 1 && f->vq->count.in == 5);
	virtqueue_push_many(f->vq, used, 2);
	EXPECT(f->vq->count.chains == 3 && f->vq->count.in == 21);
	EXPECT(vr_used_idx(&f->m, 0) == 3);
	virtqueue_signal(f->vq);
	EXPECT(f->vq->count.signals == 1);
	teardown(f);
}

TEST(virtqueue_that_is_broken_stays_so)
{
	struct fixture *f = setup(false);
	struct state_out out = { 0 };
	struct state_in in;

	vr_publish(&f->m, 0, VR_NUM);
	EXPECT(pop(f) == -EPROTO && !virtqueue_set_notify(f->vq, true));
	virtqueue_unpop(f->vq);
	EXPECT(!f->vq->last_avail);
	virtqueue_save(f->vq, &out);
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(!virtqueue_restore(f->vq, &in) && f->vq->ready);
	*vr_u16(&f->m, vr_avail(0) + 4) = 0;
	EXPECT(pop(f) == -EPROTO);
	state_out_free(&out);
	teardown(f);
}

TEST(virtqueue_resume_at_continues_where_another_stopped)
{
	struct fixture *f = setup(false);

	for (u16 i = 0; i < 3; i++) {
		VR_PUT(&f->m, vr_desc(0), i, VR_DATA, 4, 0, 0);
		vr_publish(&f->m, 0, i);
	}
	*vr_u16(&f->m, vr_used(0) + 2) = 1;
	virtqueue_resume_at(f->vq, 2);
	virtqueue_signal(f->vq);
	EXPECT(!f->dev.queue_select);
	EXPECT(pop(f) == 1 && f->chain.head == 2);
	virtqueue_push(f->vq, &f->chain, 0);
	EXPECT(vr_used_idx(&f->m, 0) == 2);
	EXPECT(pop(f) == 0);
	teardown(f);
}

TEST_MAIN(T(virtqueue_map_checks_size_and_alignment),
	  T(virtqueue_map_checks_the_last_byte),
	  T(virtqueue_pop_gives_out_then_in),
	  T(virtqueue_pop_skips_empty_descriptors),
	  T(virtqueue_indexes_wrap),
	  T(virtqueue_pop_rejects_head_out_of_range),
	  T(virtqueue_pop_rejects_next_out_of_range),
	  T(virtqueue_pop_rejects_avail_jump),
	  T(virtqueue_pop_rejects_descriptor_loop),
	  T(virtqueue_pop_takes_chain_of_whole_table),
	  T(virtqueue_pop_rejects_readable_after_writable),
	  T(virtqueue_pop_rejects_bad_address),
	  T(virtqueue_pop_takes_the_last_byte_of_memory),
	  T(virtqueue_pop_rejects_sum_of_4g),
	  T(virtqueue_pop_walks_indirect_table),
	  T(virtqueue_pop_rejects_bad_indirect_table),
	  T(virtqueue_pop_rejects_bad_indirect_entry),
	  T(virtqueue_pop_limits_pieces),
	  T(virtqueue_survives_size_change_after_map),
	  T(virtqueue_signal_obeys_no_interrupt),
	  T(virtqueue_signal_obeys_used_event),
	  T(virtqueue_set_notify_sees_what_came_before),
	  T(virtqueue_pop_moves_avail_event_when_empty),
	  T(virtqueue_unpop_finds_the_chain_again),
	  T(virtqueue_restore_gives_the_same_bytes),
	  T(virtqueue_restore_checks_rings),
	  T(virtqueue_unpop_gives_the_same_chain_again),
	  T(virtqueue_counts_what_was_done),
	  T(virtqueue_that_is_broken_stays_so),
	  T(virtqueue_resume_at_continues_where_another_stopped),
	  T(iov_copies_stop_at_the_end))
