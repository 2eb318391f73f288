// SPDX-License-Identifier: GPL-2.0-only
/*
 * Headers of frames that lie: checksums outside of the frame, segments that were not
 * negotiated or have no size, kinds that there are not. All are used up, none goes out,
 * and each frame between them does; "N good" says how many those are. With kind=odd
 * the headers break no rule, and what is behind them is nothing of what they say: for
 * the backend to refuse.
 */
#include <linux/virtio_net.h>
#include "virtio.h"

#define HDR sizeof(struct virtio_net_hdr_v1)
#define FRAME 600
#define CSUM BIT_ULL(VIRTIO_NET_F_CSUM)
#define TSO4 (CSUM | BIT_ULL(VIRTIO_NET_F_HOST_TSO4))
#define TSO6 (CSUM | BIT_ULL(VIRTIO_NET_F_HOST_TSO6))
#define UFO (CSUM | BIT_ULL(VIRTIO_NET_F_HOST_UFO))
/* VIRTIO_NET_F_HOST_USO, which older headers do not have */
#define USO (CSUM | BIT_ULL(56))
#define ECN BIT_ULL(VIRTIO_NET_F_HOST_ECN)

/**
 * struct header - fields of struct virtio_net_hdr_v1, and features with which they
 *	are no lie, or 0 when they always are
 */
struct header {
	u64 truth;
	u8 flags;
	u8 type;
	u16 size;
	u16 len;
	u16 start;
	u16 offset;
};

static const struct header headers[] = {
	{ CSUM, 1, 0, 0, 0, 34, 16 },
	{ CSUM, 1, 0, 0, 0, FRAME - 2, 0 },
	{ CSUM, 1, 0, 0, 0, 0, FRAME - 2 },
	/* A checksum that is outside, or ends there */
	{ 0, 1, 0, 0, 0, FRAME - 1, 0 },
	{ 0, 1, 0, 0, 0, 0, FRAME - 1 },
	{ 0, 1, 0, 0, 0, FRAME, 0 },
	{ 0, 1, 0, 0, 0, 0xffff, 0 },
	{ 0, 1, 0, 0, 0, 0, 0xffff },
	{ 0, 1, 0, 0, 0, 1, 0xffff },
	{ 0, 1, 0, 0, 0, 0xfffe, 0xffff },
	{ 0, 1, 0, 0, 0, 0xffff, 0xffff },
	{ 0, 1, 1, 100, 54, FRAME, 16 },
	{ 0, 1, 4, 100, 54, 0xffff, 0xffff },
	{ 0, 1, 5, 100, 54, 34, 0xffff },
	/* Segments that may be negotiated */
	{ TSO4, 1, 1, 100, 54, 34, 16 },
	{ TSO4, 1, 1, 100, FRAME, 34, 16 },
	{ TSO6, 1, 4, 100, 54, 34, 16 },
	{ UFO, 1, 3, 100, 42, 34, 6 },
	{ USO, 1, 5, 100, 42, 34, 6 },
	{ TSO4 | ECN, 1, 0x81, 100, 54, 34, 16 },
	{ TSO6 | ECN, 1, 0x84, 100, 54, 34, 16 },
	/* Headers behind the end, no size, no checksum, another bit of the flags */
	{ 0, 1, 1, 100, FRAME + 1, 34, 16 },
	{ 0, 1, 1, 100, 0xffff, 34, 16 },
	{ 0, 1, 4, 100, FRAME + 1, 34, 16 },
	{ 0, 1, 5, 100, FRAME + 1, 34, 16 },
	{ 0, 1, 1, 0, 54, 34, 16 },
	{ 0, 1, 3, 0, 42, 34, 6 },
	{ 0, 1, 5, 0, 42, 34, 6 },
	{ 0, 0, 1, 100, 54, 34, 16 },
	{ 0, 0xfe, 4, 100, 54, 34, 16 },
	{ 0, 2, 5, 100, 42, 34, 6 },
	/* Kinds that there are not */
	{ 0, 1, 2, 100, 54, 34, 16 },
	{ 0, 1, 6, 100, 54, 34, 16 },
	{ 0, 1, 8, 100, 54, 34, 16 },
	{ 0, 1, 0x33, 100, 54, 34, 16 },
	{ 0, 1, 0x7f, 100, 54, 34, 16 },
	{ 0, 1, 0x80, 100, 54, 34, 16 },
	{ 0, 1, 0x82, 100, 54, 34, 16 },
	{ 0, 1, 0xff, 100, 54, 34, 16 },
};

static const u64 sets[] = { 0, CSUM, TSO4, TSO6, UFO, USO, TSO4 | ECN, ~F_EVENT_IDX };

static struct vdev v;
static struct vq q[2];
static unsigned int good;
static u8 *page;

static u64 bring_up(u64 features)
{
	features = (features & vdev_offered(&v)) | F_VERSION_1;
	vdev_restart(&v, q, 2, features);
	return features;
}

/* In one piece, or with its header in two. */
static void send(const struct header *from, u32 len, u32 cut)
{
	struct virtio_net_hdr_v1 *h = (void *)page;
	struct buf b[2] = {
		{ page, cut, false }, { page + cut, HDR + len - cut, false },
	};

	h->flags = from->flags;
	h->gso_type = from->type;
	h->gso_size = from->size;
	h->hdr_len = from->len;
	h->csum_start = from->start;
	h->csum_offset = from->offset;
	EXPECT_EQ(vq_run(&q[1], cut ? b : b + 1, cut ? 2 : 1), 0);
}

static void send_good(void)
{
	static const struct header none;

	send(&none, 60, 0);
	good++;
}

static void tell_lies(u64 features)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(headers); i++) {
		const struct header *h = &headers[i];

		if (h->truth && !(h->truth & ~features))
			continue;
		send(h, FRAME, i % 3 * 5);
		send_good();
	}
}

/* Nothing in the frame is what a header says it is. */
static void be_odd(void)
{
	static const u16 values[] = { 0, 1, 13, 14, 34, 100, FRAME - 2 };
	static const u8 types[] = { 0, 1, 3, 4, 5, 0x81, 0x84 };

	for (unsigned int i = 0; i < 2000; i++) {
		struct header h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };

		h.type = types[random32() % ARRAY_SIZE(types)];
		h.size = random32() % 4 ? values[random32() % 6 + 1] : 0xffff;
		h.len = values[random32() % ARRAY_SIZE(values)];
		h.start = values[random32() % ARRAY_SIZE(values)];
		h.offset = random32() % 32;
		/* IPv4, IPv6, VLAN, nothing of the kind */
		page[HDR + 12] = "\x08\x86\x81\x88"[random32() % 4];
		page[HDR + 13] = "\x00\xdd"[random32() % 2];
		page[HDR + 14] = random32() % 2 ? 0x45 : 0x60;
		page[HDR + 23] = random32() % 2 ? 6 : 17;
		send(&h, random32() % 4 ? FRAME : 14 + random32() % 60, 0);
	}
}

int main(void)
{
	random_seed(1);
	page = page_alloc(1);
	net_frame(page + HDR);
	EXPECT(vdev_find(&v, VIRTIO_ID_NET, 0));
	for (unsigned int i = 0; i < 2; i++)
		vq_alloc(&q[i], &v, i, 16);
	for (unsigned int i = 0; i < ARRAY_SIZE(sets); i++) {
		u64 features = bring_up(sets[i]);

		if (option_is("kind", "odd"))
			be_odd();
		else
			tell_lies(features);
		send_good();
		EXPECT_EQ(vdev_status(&v), STATUS_READY);
	}
	print("%u good\n", good);
	return 0;
}
