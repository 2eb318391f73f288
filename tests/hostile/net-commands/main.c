// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of a network device about pairs of queues and offloads: numbers of pairs
 * that there are not, offloads that were not negotiated or that nobody knows, lengths
 * that are wrong, with the features and without. Each is refused, those between them
 * that are right are not, and frames go out of the first queue all the time; then the
 * same at random, while all queues have frames.
 */
#include <linux/virtio_net.h>
#include "virtio.h"

#define HDR sizeof(struct virtio_net_hdr_v1)
#define FRAME 60
#define PAIRS_MAX 8
#define PAIRS_AT offsetof(struct virtio_net_config, max_virtqueue_pairs)
#define F(name) BIT_ULL(VIRTIO_NET_F_##name)
/* With VIRTIO_NET_F_GUEST_USO4 and 6, which older headers do not have */
#define OFFLOADS (F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_ECN) | \
		  F(GUEST_UFO) | BIT_ULL(54) | BIT_ULL(55))
#define ALL ~F_EVENT_IDX

static struct vdev v;
/* Pairs, then the one for commands */
static struct vq q[2 * PAIRS_MAX + 1];
static struct vq *ctrl;
static unsigned int max_pairs;
static u8 *page;

/* Return: the features that there are. */
static u64 bring_up(u64 features)
{
	unsigned int nr;

	features = (features & vdev_offered(&v)) | F_VERSION_1;
	max_pairs = features & F(MQ) ? read16(vdev_config_at(&v, PAIRS_AT)) : 1;
	EXPECT(max_pairs && max_pairs <= PAIRS_MAX);
	nr = 2 * max_pairs + 1;
	vdev_restart(&v, q, nr, features);
	ctrl = &q[nr - 1];
	return features;
}

static void send(struct vq *tx)
{
	struct buf b = { page, HDR + FRAME, false };

	EXPECT_EQ(vq_run(tx, &b, 1), 0);
}

/* Return: whether it was taken. */
static bool command(u8 class, u8 cmd, u64 value, u32 len)
{
	u8 *at = page + 0x800;
	struct buf b[3] = { { at, 2, false }, { at + 8, len, false }, { at + 0x20, 1, true } };

	if (!len)
		b[1] = b[2];
	at[0] = class;
	at[1] = cmd;
	memcpy(at + 8, &value, sizeof(value));
	at[0x20] = 0x55;
	EXPECT_EQ(vq_run(ctrl, b, len ? 3 : 2), 1);
	EXPECT(at[0x20] <= VIRTIO_NET_ERR);
	send(&q[1]);
	return at[0x20] == VIRTIO_NET_OK;
}

static bool set_pairs(u64 pairs)
{
	return command(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, pairs, 2);
}

static bool set_offloads(u64 offloads)
{
	return command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
		       offloads, 8);
}

static void try_pairs(bool mq)
{
	const u16 none[] = { 0, max_pairs + 1, 0x100, 0x7fff, 0x8000, 0x8001, 0xffff };

	for (unsigned int i = 0; i < ARRAY_SIZE(none); i++)
		EXPECT(!set_pairs(none[i]));
	for (unsigned int i = 1; i <= max_pairs; i++) {
		EXPECT_EQ(set_pairs(i), mq);
		EXPECT(!set_pairs(0) && !set_pairs(max_pairs + 1));
	}
	EXPECT_EQ(set_pairs(1), mq);
	for (unsigned int len = 0; len <= 8; len++)
		EXPECT_EQ(command(VIRTIO_NET_CTRL_MQ, 0, 1, len), mq && len == 2);
	/* RSS and hashes, and what there is not */
	for (unsigned int cmd = 1; cmd < 256; cmd += cmd < 4 ? 1 : 63)
		EXPECT(!command(VIRTIO_NET_CTRL_MQ, cmd, 1, 2));
}

static void try_offloads(u64 features)
{
	u64 may = features & F(CTRL_GUEST_OFFLOADS) ? features & OFFLOADS : 0;
	bool can = features & F(CTRL_GUEST_OFFLOADS);

	for (unsigned int bit = 0; bit < 64; bit++) {
		u64 one = BIT_ULL(bit);

		/* Segments alone, without checksums, the backend may refuse. */
		EXPECT(!set_offloads(one) || one & may);
		EXPECT_EQ(set_offloads(may | one), can && !(one & ~may));
	}
	EXPECT(!set_offloads(~0ULL));
	for (unsigned int len = 0; len <= 8; len++)
		EXPECT_EQ(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, 0, len), can && len == 8);
	for (unsigned int cmd = 1; cmd < 256; cmd += 51)
		EXPECT(!command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, cmd, 0, 8));
}

/* Nobody says what comes of it; the device has to stand it. */
static void try_at_random(u64 features)
{
	static const u8 lens[] = { 2, 8, 8, 1, 0, 7 };

	for (unsigned int i = 0; i < 300; i++) {
		u64 value = random32() % 2 ? random32() % (max_pairs + 2) :
			    random32() | (u64)random32() << 32;

		if (random32() % 2)
			value &= features & OFFLOADS;
		command(VIRTIO_NET_CTRL_MQ + random32() % 2, random32() % 8 ? 0 : random32(),
			value, lens[random32() % ARRAY_SIZE(lens)]);
		send(&q[1 + 2 * (random32() % max_pairs)]);
	}
}

int main(void)
{
	const u64 sets[] = {
		ALL, ALL & ~F(MQ), ALL & ~F(CTRL_GUEST_OFFLOADS), ALL & ~F(GUEST_TSO4),
		F(CTRL_VQ),
	};

	random_seed(1);
	page = page_alloc(1);
	net_frame(page + HDR);
	EXPECT(vdev_find(&v, VIRTIO_ID_NET, 0));
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
		vq_alloc(&q[i], &v, i, 16);
	for (unsigned int i = 0; i < ARRAY_SIZE(sets); i++) {
		u64 features = bring_up(sets[i]);

		try_pairs(features & F(MQ));
		try_offloads(features);
		try_at_random(features);
		EXPECT_EQ(vdev_status(&v), STATUS_READY);
	}
	print("all stands with %u pairs\n", read16(vdev_config_at(&v, PAIRS_AT)));
	return 0;
}
