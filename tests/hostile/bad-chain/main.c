// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptor chains that break the rules, each on a device that was reset:
 * it needs a reset again, says why once, and works after that.
 */
#include "virtio.h"

#define NEXT	VRING_DESC_F_NEXT
#define WRITE	VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define RAM_END	(32 * SZ_1M)

static u8 *page;
static struct vring_desc *table;
/* What the available index will be: the device may look at any time. */
static u16 idx;

static void loop_of_two(struct vq *q)
{
	vq_desc(q, 0, (u64)page, 16, NEXT, 1);
	vq_desc(q, 1, (u64)page, 16, NEXT, 0);
}

static void loop_of_one(struct vq *q)
{
	vq_desc(q, 0, (u64)page, 0, NEXT, 0);
}

static void next_out_of_range(struct vq *q)
{
	vq_desc(q, 0, (u64)page, 16, NEXT, 16);
}

static void head_out_of_range(struct vq *q)
{
	q->avail->ring[0] = 0xffff;
}

static void read_behind_write(struct vq *q)
{
	vq_desc(q, 0, (u64)page, 16, NEXT | WRITE, 1);
	vq_desc(q, 1, (u64)page, 16, 0, 0);
}

static void past_end_of_ram(struct vq *q)
{
	vq_desc(q, 0, RAM_END - 15, 16, 0, 0);
}

static void length_of_2g(struct vq *q)
{
	vq_desc(q, 0, (u64)page, 0x80000000, WRITE, 0);
}

static void length_of_4g(struct vq *q)
{
	vq_desc(q, 0, (u64)page, 0xffffffff, 0, 0);
}

static void address_wraps(struct vq *q)
{
	vq_desc(q, 0, ~0ULL - 7, 16, WRITE, 0);
}

static void address_is_a_device(struct vq *q)
{
	vq_desc(q, 0, ECAM_GPA, 16, WRITE, 0);
}

/* 150 lengths of 30 MiB add up to more than 4 GiB. */
static void lengths_overflow(struct vq *q)
{
	for (u16 i = 0; i < 150; i++) {
		table[i].addr = SZ_1M;
		table[i].len = 30 * SZ_1M;
		table[i].flags = i < 149 ? NEXT : 0;
		table[i].next = i + 1;
	}
	vq_desc(q, 0, (u64)table, 150 * 16, INDIRECT, 0);
}

static void too_many_pieces(struct vq *q)
{
	for (u16 i = 0; i < 300; i++) {
		table[i].addr = (u64)page;
		table[i].len = 1;
		table[i].flags = i < 299 ? NEXT : 0;
		table[i].next = i + 1;
	}
	vq_desc(q, 0, (u64)table, 300 * 16, INDIRECT, 0);
}

static void indirect_outside(struct vq *q)
{
	vq_desc(q, 0, RAM_END, 16, INDIRECT, 0);
}

static void indirect_wraps(struct vq *q)
{
	vq_desc(q, 0, ~0ULL - 15, 32, INDIRECT, 0);
}

static void indirect_nested(struct vq *q)
{
	table[0].addr = (u64)table;
	table[0].len = 16;
	table[0].flags = INDIRECT;
	vq_desc(q, 0, (u64)table, 16, INDIRECT, 0);
}

static void indirect_torn(struct vq *q)
{
	vq_desc(q, 0, (u64)table, 17, INDIRECT, 0);
}

static void indirect_empty(struct vq *q)
{
	vq_desc(q, 0, (u64)table, 0, INDIRECT, 0);
}

static void indirect_huge(struct vq *q)
{
	vq_desc(q, 0, (u64)table, 0xfffffff0, INDIRECT, 0);
}

static void indirect_with_next(struct vq *q)
{
	vq_desc(q, 0, (u64)table, 16, INDIRECT | NEXT, 1);
}

static void indirect_loop(struct vq *q)
{
	table[0].addr = (u64)page;
	table[0].len = 1;
	table[0].flags = NEXT;
	table[0].next = 0;
	vq_desc(q, 0, (u64)table, 16, INDIRECT, 0);
}

static void index_jumps(struct vq *q)
{
	(void)q;
	idx = 0x8000;
}

static void index_goes_back(struct vq *q)
{
	(void)q;
	idx = 0xfffe;
}

static void (*const rule[])(struct vq *q) = {
	loop_of_two, loop_of_one, next_out_of_range, head_out_of_range,
	read_behind_write, past_end_of_ram, length_of_2g, length_of_4g,
	address_wraps, address_is_a_device, lengths_overflow, too_many_pieces,
	indirect_outside, indirect_wraps, indirect_nested, indirect_torn,
	indirect_empty, indirect_huge, indirect_with_next, indirect_loop,
	index_jumps, index_goes_back,
};

int main(void)
{
	bool blk = option_is("dev", "blk"), console = option_is("dev", "console");
	u16 id = blk ? VIRTIO_ID_BLOCK :
		 console ? VIRTIO_ID_CONSOLE : VIRTIO_ID_RNG;
	struct vdev v;
	struct vq q;

	page = page_alloc(1);
	table = page_alloc(2);
	EXPECT(vdev_find(&v, id, 0));
	vq_alloc(&q, &v, console, 16);
	for (unsigned int i = 0; i < ARRAY_SIZE(rule); i++) {
		vdev_restart(&v, &q, 1, F_VERSION_1 | F_INDIRECT);
		memset(table, 0, 8192);
		idx = 1;
		rule[i](&q);
		barrier();
		q.avail->idx = idx;
		vq_kick(&q);
		vdev_broken(&v);
		EXPECT(!vq_done(&q));
		/* Nothing more is taken, however often it is kicked. */
		vq_kick(&q);
		EXPECT(!vq_done(&q));
	}
	if (blk)
		blk_works(&v);
	vdev_reset(&v);
	EXPECT_EQ(vdev_status(&v), 0);
	print("%u rules broken\n", (u32)ARRAY_SIZE(rule));
	return 0;
}
