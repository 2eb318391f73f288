// SPDX-License-Identifier: GPL-2.0-only
/* Blocks: write, flush, read back, identify; and what has to be an error. */
#include "virtio.h"

#define NR 8

static u8 *page;

static void fill(u8 seed)
{
	random_seed(seed);
	for (unsigned int i = 0; i < 4096; i++)
		page[i] = (u8)random32();
}

static void check(u8 seed, u32 from, u32 to)
{
	random_seed(seed);
	for (unsigned int i = 0; i < 4096; i++) {
		u8 v = (u8)random32();

		if (i >= from && i < to)
			EXPECT_EQ(page[i], v);
	}
}

static void write_and_read(struct vq *q, u64 capacity)
{
	for (u8 i = 0; i < 4; i++) {
		fill(i);
		EXPECT_EQ(blk_request(q, VIRTIO_BLK_T_OUT, i * 8, page, 4096), 0);
	}
	fill(9);
	EXPECT_EQ(blk_request(q, VIRTIO_BLK_T_OUT, capacity - 1, page, 512), 0);
	EXPECT_EQ(blk_request(q, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), 0);
	for (u8 i = 0; i < 4; i++) {
		memset(page, 0, 4096);
		EXPECT_EQ(blk_request(q, VIRTIO_BLK_T_IN, i * 8, page, 4096), 0);
		check(i, 0, 4096);
	}
	memset(page, 0, 4096);
	EXPECT_EQ(blk_request(q, VIRTIO_BLK_T_IN, capacity - 1, page, 512), 0);
	check(9, 0, 512);
	EXPECT_EQ(page[512], 0);
}

/* One request of many pieces, by an indirect table if there are those. */
static void pieces(struct vq *q, bool indirect)
{
	static struct virtio_blk_outhdr hdr;
	static u8 status = 0xff;
	struct vring_desc *table = page_alloc(1);

	hdr.type = VIRTIO_BLK_T_IN;
	hdr.sector = 0;
	memset(page, 0, 4096);
	if (!indirect)
		table = q->desc;
	for (u16 i = 0; i < NR + 2; i++) {
		bool last = i == NR + 1;

		table[i].addr = !i ? (u64)&hdr : last ? (u64)&status :
				(u64)page + (i - 1) * 512;
		table[i].len = !i ? sizeof(hdr) : last ? 1 : 512;
		table[i].flags = (i ? VRING_DESC_F_WRITE : 0) |
				 (last ? 0 : VRING_DESC_F_NEXT);
		table[i].next = i + 1;
	}
	if (indirect)
		vq_desc(q, 15, (u64)table, (NR + 2) * 16,
			VRING_DESC_F_INDIRECT, 0);
	vq_offer(q, indirect ? 15 : 0);
	vq_kick(q);
	EXPECT_EQ(vq_take(q).len, NR * 512 + 1);
	EXPECT_EQ(status, 0);
	check(0, 0, 4096);
}

static void errors(struct vq *q, u64 capacity)
{
	EXPECT_EQ(blk_request(q, VIRTIO_BLK_T_IN, capacity, page, 512), 1);
	EXPECT_EQ(blk_request(q, VIRTIO_BLK_T_IN, capacity - 1, page, 1024), 1);
	EXPECT_EQ(blk_request(q, VIRTIO_BLK_T_OUT, ~0ULL, page, 512), 1);
	EXPECT_EQ(blk_request(q, VIRTIO_BLK_T_OUT, 0, page, 511), 1);
	EXPECT_EQ(blk_request(q, 0x77, 0, page, 512), 2);
}

int main(void)
{
	u64 wanted = option_is("features", "all") ? ~0ULL : 0, capacity;
	bool ro = option_is("disk", "ro");
	struct vdev v;
	struct vq q;

	page = page_alloc(1);
	vdev_open(&v, &q, VIRTIO_ID_BLOCK, wanted);
	EXPECT_EQ(vdev_offered(&v) >> VIRTIO_BLK_F_RO & 1, ro);
	capacity = read32(vdev_config_at(&v, 0));
	EXPECT_EQ(capacity, 2048);
	EXPECT_EQ(read32(vdev_config_at(&v, 4)), 0);
	EXPECT_EQ(blk_request(&q, VIRTIO_BLK_T_GET_ID, 0, page, 20), 0);
	EXPECT(!memcmp(page, "SERIAL123", 10));
	if (ro) {
		EXPECT_EQ(blk_request(&q, VIRTIO_BLK_T_OUT, 0, page, 512), 1);
		EXPECT_EQ(blk_request(&q, VIRTIO_BLK_T_IN, 0, page, 4096), 0);
		check(0, 0, 4096);
		return 0;
	}
	write_and_read(&q, capacity);
	errors(&q, capacity);
	pieces(&q, false);
	if (wanted)
		pieces(&q, true);
	return 0;
}
