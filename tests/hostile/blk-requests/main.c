// SPDX-License-Identifier: GPL-2.0-only
/*
 * Block requests that make no sense: each is completed with an error, or the
 * device needs a reset. Lengths and sectors that look negative are not. One between
 * neighbours that are done together spoils none of them.
 */
#include "virtio.h"

struct layout {
	u32 hdr;	/* bytes of header */
	u32 out;	/* then of readable data */
	u32 in;		/* then of writable data */
	u32 status;	/* then of status */
};

static struct vdev v;
static struct vq q;
static struct virtio_blk_outhdr *hdr;
static u8 *page, *status;

static void offer(u32 type, u64 sector, const struct layout *l)
{
	struct buf b[4];
	unsigned int n = 0;

	hdr->type = type;
	hdr->sector = sector;
	*status = 0xff;
	if (l->hdr)
		b[n++] = (struct buf){ hdr, l->hdr, false };
	if (l->out)
		b[n++] = (struct buf){ page, l->out, false };
	if (l->in)
		b[n++] = (struct buf){ page, l->in, true };
	if (l->status)
		b[n++] = (struct buf){ status, l->status, true };
	vq_add(&q, b, n);
	vq_kick(&q);
}

static u8 complete(u32 type, u64 sector, struct layout l)
{
	offer(type, sector, &l);
	vq_take(&q);
	return *status;
}

static void broken(struct layout l)
{
	offer(VIRTIO_BLK_T_IN, 0, &l);
	vdev_broken(&v);
	vdev_restart(&v, &q, 1, vdev_offered(&v) & ~F_EVENT_IDX);
}

#define L(...) ((struct layout){ __VA_ARGS__ })

static void types(void)
{
	static const u32 unknown[] = {
		2, 3, 5, 6, 7, 9, 10, 12, 14, 15, 16, 0x100, 0x80000000,
		0x7fffffff, 0xffffffff,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(unknown); i++) {
		EXPECT_EQ(complete(unknown[i], 0, L(16, 512, 0, 1)), 2);
		EXPECT_EQ(complete(unknown[i], 0, L(16, 0, 512, 1)), 2);
		EXPECT_EQ(complete(unknown[i], ~0ULL, L(16, 0, 0, 1)), 2);
	}
}

static void ranges(void)
{
	static const u64 sector[] = {
		2048, 2049, 1ULL << 31, 1ULL << 32, 1ULL << 54, 1ULL << 55,
		1ULL << 63, ~0ULL, ~0ULL - 7,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(sector); i++) {
		EXPECT_EQ(complete(VIRTIO_BLK_T_IN, sector[i],
				   L(16, 0, 4096, 1)), 1);
		EXPECT_EQ(complete(VIRTIO_BLK_T_OUT, sector[i],
				   L(16, 4096, 0, 1)), 1);
	}
	for (u32 len = 1; len < 512; len += 73) {
		EXPECT_EQ(complete(VIRTIO_BLK_T_IN, 0, L(16, 0, len, 1)), 1);
		EXPECT_EQ(complete(VIRTIO_BLK_T_OUT, 0, L(16, len, 0, 1)), 1);
	}
	EXPECT_EQ(complete(VIRTIO_BLK_T_IN, 2047, L(16, 0, 1024, 1)), 1);
	/* Readable data with a read, writable with a write: not data */
	EXPECT_EQ(complete(VIRTIO_BLK_T_IN, 0, L(16, 512, 512, 1)), 0);
	EXPECT_EQ(complete(VIRTIO_BLK_T_OUT, 0, L(16, 512, 512, 1)), 0);
	/* No data at all */
	EXPECT_EQ(complete(VIRTIO_BLK_T_IN, 0, L(16, 0, 0, 1)), 0);
	EXPECT_EQ(complete(VIRTIO_BLK_T_OUT, 0, L(16, 0, 0, 1)), 0);
	/* A flush has neither data nor a sector. */
	EXPECT_EQ(complete(VIRTIO_BLK_T_FLUSH, ~0ULL, L(16, 512, 512, 1)), 0);
}

static void identities(void)
{
	static const u32 len[] = { 1, 19, 20, 21, 512, 4095 };

	for (unsigned int i = 0; i < ARRAY_SIZE(len); i++) {
		memset(page, 0xee, 4096);
		EXPECT_EQ(complete(VIRTIO_BLK_T_GET_ID, 0,
				   L(16, 0, len[i], 1)), 0);
		EXPECT_EQ(page[0], 'S');
		EXPECT_EQ(page[len[i] < 20 ? len[i] : 20], 0xee);
	}
	EXPECT_EQ(complete(VIRTIO_BLK_T_GET_ID, 0, L(16, 0, 0, 1)), 0);
	/* The status is the last byte, wherever that is. */
	memset(status, 0xff, 16);
	complete(VIRTIO_BLK_T_GET_ID, 0, L(16, 0, 20, 16));
	EXPECT_EQ(status[15], 0);
}

static void segments(u32 type)
{
	struct virtio_blk_discard_write_zeroes *s = (void *)page;
	static const u32 nr[] = { 1, 2048, 2049, 0x7fffffff, 0xffffffff };
	static const u64 sector[] = { 0, 1, 2047, 2048, 1ULL << 63, ~0ULL };
	u8 st;

	for (unsigned int i = 0; i < ARRAY_SIZE(nr); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(sector); j++) {
			s->sector = sector[j];
			s->num_sectors = nr[i];
			s->flags = 0;
			st = complete(type, 0, L(16, sizeof(*s), 0, 1));
			if (sector[j] >= 2048 || nr[i] > 2048 - sector[j])
				EXPECT_EQ(st, 1);
			else
				EXPECT_EQ(st, 0);
		}
	}
	s->sector = 0;
	s->num_sectors = 1;
	s->flags = ~1U;
	EXPECT_EQ(complete(type, 0, L(16, sizeof(*s), 0, 1)), 2);
	s->flags = 0;
	EXPECT_EQ(complete(type, 0, L(16, 0, 0, 1)), 1);
	EXPECT_EQ(complete(type, 0, L(16, sizeof(*s) - 1, 0, 1)), 1);
	EXPECT_EQ(complete(type, 0, L(16, 4096, 0, 1)), 1);
}

/* Five at once, of a sector each, from @sector on; the one at @odd is @type */
static void five(u32 type, u64 sector, unsigned int odd, u32 odd_type, u8 odd_status)
{
	bool in = type == VIRTIO_BLK_T_IN;

	for (unsigned int i = 0; i < 5; i++) {
		const struct buf b[] = {
			{ &hdr[i], sizeof(*hdr), false },
			{ page + i * 512, 512, in },
			{ &status[i], 1, true },
		};

		hdr[i].type = i == odd ? odd_type : type;
		hdr[i].sector = sector + i;
		status[i] = 0xff;
		vq_add(&q, b, ARRAY_SIZE(b));
	}
	vq_kick(&q);
	for (unsigned int i = 0; i < 5; i++)
		vq_take(&q);
	for (unsigned int i = 0; i < 5; i++)
		EXPECT_EQ(status[i], i == odd ? odd_status : 0);
}

static void neighbours(void)
{
	for (unsigned int i = 0; i < 5 * 512; i++)
		page[i] = (u8)(i / 512 + 1);
	five(VIRTIO_BLK_T_OUT, 8, 5, 0, 0);
	for (unsigned int odd = 0; odd < 5; odd++) {
		memset(page, 0, 5 * 512);
		five(VIRTIO_BLK_T_IN, 8, odd, 99, 2);
		for (unsigned int i = 0; i < 5; i++)
			EXPECT_EQ(page[i * 512 + 511], i == odd ? 0 : i + 1);
		memset(page, 0, 5 * 512);
		five(VIRTIO_BLK_T_IN, 8, odd, VIRTIO_BLK_T_FLUSH, 0);
		for (unsigned int i = 0; i < 5; i++)
			EXPECT_EQ(page[i * 512 + 511], i == odd ? 0 : i + 1);
	}
	/* The last of them is past the end. */
	five(VIRTIO_BLK_T_IN, 2044, 4, VIRTIO_BLK_T_IN, 1);
	five(VIRTIO_BLK_T_OUT, 2044, 4, VIRTIO_BLK_T_OUT, 1);
}

int main(void)
{
	u64 offered;

	page = page_alloc(3);
	hdr = (void *)(page + 4096);
	status = page + 8192;
	vdev_open(&v, &q, VIRTIO_ID_BLOCK, ~F_EVENT_IDX);
	offered = vdev_offered(&v);
	types();
	ranges();
	identities();
	neighbours();
	if (offered >> VIRTIO_BLK_F_DISCARD & 1)
		segments(VIRTIO_BLK_T_DISCARD);
	if (offered >> VIRTIO_BLK_F_WRITE_ZEROES & 1)
		segments(VIRTIO_BLK_T_WRITE_ZEROES);
	/* No room for a header, none for a status */
	broken(L(0, 0, 512, 1));
	broken(L(15, 0, 512, 1));
	broken(L(16, 512, 0, 0));
	broken(L(0, 0, 0, 1));
	EXPECT_EQ(complete(VIRTIO_BLK_T_IN, 0, L(16, 0, 4096, 1)), 0);
	return 0;
}
