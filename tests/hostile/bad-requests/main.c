// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests that make no sense to whichever of the network, socket, balloon and
 * console devices is there: headers and segment sizes that lie, control commands
 * out of range, credit that was never there, pages outside RAM. Each is used up,
 * or left alone, or makes the device need a reset, after which it works again.
 */
#include <linux/virtio_vsock.h>
#include "virtio.h"

#define ROUNDS 200
#define QUEUES_MAX 6
#define PAGE 4096U
/* The guest has 16 MiB. */
#define PFN_END 0x1000

/**
 * struct dut - a kind of device
 * @kinds: of its queues: i what the device writes to, o requests, h requests
 *	that it may keep
 * @fill: makes a request for a queue at @page. Return: its bytes
 */
struct dut {
	u16 id;
	const char *kinds;
	u32 (*fill)(unsigned int queue, u8 *page);
};

static struct vdev v;
static struct vq q[QUEUES_MAX];
static unsigned int nr_broken, nr_used;
static u8 *pages;

static void put(u8 *at, u64 value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		at[i] = value >> (8 * i);
}

/* Words, since guest code may be interpreted. */
static void put_random(u8 *at, u32 bytes)
{
	u32 *word = (void *)at;

	for (u32 i = 0; i < bytes / 4; i++)
		word[i] = random32();
}

static u32 one_of(const u32 *list, unsigned int nr)
{
	unsigned int i = random32() % (nr + 1);

	return i < nr ? list[i] : random32();
}

#define ONE_OF(...) one_of((const u32[]) { __VA_ARGS__ }, \
	sizeof((const u32[]) { __VA_ARGS__ }) / sizeof(u32))

static u32 fill_net(unsigned int queue, u8 *page)
{
	put_random(page, 2048);
	if (queue == 2) {
		page[0] = ONE_OF(0, 1, 2, 3, 4, 5);
		page[1] = ONE_OF(0, 1, 2, 3);
		return random32() % 100;
	}
	page[0] = random32() & 3;
	page[1] = ONE_OF(0, 1, 3, 4, 5, 0x81);
	put(page + 2, ONE_OF(0, 14, 54, 0xffff), 2);
	put(page + 4, ONE_OF(0, 1, 1448, 0xffff), 2);
	put(page + 6, ONE_OF(0, 14, 34, 0xffff), 2);
	put(page + 8, ONE_OF(0, 6, 16, 0xffff), 2);
	return ONE_OF(0, 1, 11, 12, 13, 26, 66, 1526) % 2048;
}

static u32 fill_vsock(unsigned int queue, u8 *page)
{
	struct virtio_vsock_hdr *h = (void *)page;
	u32 data = ONE_OF(0, 1, 100, 2000) % 2000;

	(void)queue;
	put_random(page, PAGE);
	h->src_cid = ONE_OF(42, 42, 42, 2, 0);
	h->dst_cid = ONE_OF(2, 2, 2, 42, 0);
	h->src_port = ONE_OF(1024, 1025, 1026);
	h->dst_port = ONE_OF(5000, 5001, 5002);
	h->len = ONE_OF(data, data, 0, data + 1, 0xffffffff);
	h->type = ONE_OF(1, 1, 1, 2, 0);
	h->op = ONE_OF(0, 1, 2, 3, 4, 5, 6, 7, 8);
	h->buf_alloc = ONE_OF(0, 1, 65536, 0xffffffff);
	h->fwd_cnt = ONE_OF(0, 1, 65536, 0xffffffff);
	return random32() % 8 ? sizeof(*h) + data : random32() % sizeof(*h);
}

static u32 fill_balloon(unsigned int queue, u8 *page)
{
	u32 len = random32() % 512;

	(void)queue;
	for (u32 i = 0; i < len; i += 4) {
		u32 pfn = ONE_OF(PFN_END, 0xfeb00, 0xfee00, 0xfffff, 0x100000,
				 0x7fffffff, 0xffffffff);

		put(page + i, pfn < PFN_END ? PFN_END + pfn : pfn, 4);
	}
	return len;
}

static u32 fill_ports(unsigned int queue, u8 *page)
{
	u32 len = queue == 3 ? 64 : random32() % 3000;

	put_random(page, len);
	if (queue != 3)
		return len;
	put(page, ONE_OF(0, 1, 2, 3, 0xffff, 0xffffffff), 4);
	put(page + 4, ONE_OF(0, 1, 2, 3, 4, 5, 6, 7, 8), 2);
	put(page + 6, ONE_OF(0, 1, 0xffff), 2);
	return random32() % 4 ? 8 : random32() % 64;
}

static const struct dut duts[] = {
	{ VIRTIO_ID_NET, "ioo", fill_net },
	{ VIRTIO_ID_VSOCK, "ioi", fill_vsock },
	{ VIRTIO_ID_BALLOON, "ooh", fill_balloon },
	{ VIRTIO_ID_CONSOLE, "ioioio", fill_ports },
};

/* Something to write to: half a page, eight at most. */
static void feed(unsigned int i)
{
	struct buf b = { pages + PAGE + i * PAGE / 2, PAGE / 2, true };

	while (vq_done(&q[i]))
		vq_take(&q[i]);
	if ((u16)(q[i].avail->idx - q[i].last_used) >= 8)
		return;
	vq_add(&q[i], &b, 1);
	vq_kick(&q[i]);
}

/* Return: whether the device goes on. */
static bool settle(struct vq *vq)
{
	for (unsigned int i = 0; i < 20000; i++) {
		if (vq_done(vq)) {
			vq_take(vq);
			nr_used++;
			return true;
		}
		if (vdev_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET)
			break;
	}
	nr_broken++;
	return false;
}

static bool request(const struct dut *d, unsigned int i)
{
	u32 len = d->fill(i, pages);
	u32 cut = random32() % (len + 1);
	struct buf b[3] = {
		{ pages, cut, false }, { pages + cut, len - cut, false },
		{ pages + PAGE - 16, random32() % 3, true },
	};
	unsigned int from = cut ? 0 : 1, to = random32() % 4 ? 2 : 3;

	if (d->id == VIRTIO_ID_NET && i == 2)
		to = 3;
	vq_add(&q[i], b + from, to - from);
	vq_kick(&q[i]);
	return d->kinds[i] == 'h' || settle(&q[i]);
}

static void attack(const struct dut *d)
{
	u64 features = vdev_offered(&v) & ~F_EVENT_IDX;
	unsigned int nr;

	for (nr = 0; d->kinds[nr]; nr++)
		vq_alloc(&q[nr], &v, nr, 16);
	vdev_restart(&v, q, nr, features);
	for (unsigned int n = 0; n < ROUNDS; n++) {
		for (unsigned int i = 0; d->kinds[i]; i++) {
			if (d->kinds[i] == 'i')
				feed(i);
			else if (!request(d, i))
				vdev_restart(&v, q, nr, features);
			else if (d->kinds[i] == 'h')
				vdev_restart(&v, q, nr, features);
		}
	}
	vdev_restart(&v, q, nr, features);
	EXPECT_EQ(vdev_status(&v), STATUS_READY);
	print("device %u: %u used, %u refused\n", d->id, nr_used, nr_broken);
	/* Most of it is no offence, only nonsense. */
	EXPECT(nr_used > ROUNDS / 4);
}

int main(void)
{
	random_seed(1);
	pages = page_alloc(1 + QUEUES_MAX / 2 + 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(duts); i++) {
		if (vdev_find(&v, duts[i].id, 0)) {
			attack(&duts[i]);
			return 0;
		}
	}
	return 1;
}
