// SPDX-License-Identifier: GPL-2.0-only
/*
 * Consoles that are written to without an end in sight, and one that is given
 * bad buffers while input waits: no byte of what is right is lost.
 */
#include "virtio.h"

static void serial(void)
{
	char *page = page_alloc(1);

	memset(page, 'x', 4096);
	for (unsigned int i = 0; i < 16; i++)
		outs(PORT_SERIAL, page, 1, 4096);
}

/* 16 chains of one MiB, and chains that say nothing or point the wrong way */
static void virtio_out(struct vdev *v, struct vq *tx)
{
	u8 *text = page_alloc(256);
	struct buf b = { text, SZ_1M, false };

	memset(text, 'x', SZ_1M);
	for (unsigned int i = 0; i < 2; i++)
		vq_run(tx, &b, 1);
	b.len = 0;
	vq_run(tx, &b, 1);
	b.len = 16;
	b.in = true;
	EXPECT_EQ(vq_run(tx, &b, 1), 0);
	/* A ring full of the same descriptor, over and over */
	vq_desc(tx, 0, (u64)text, 1, 0, 0);
	for (unsigned int round = 0; round < 64; round++) {
		for (unsigned int i = 0; i < tx->num; i++)
			vq_offer(tx, 0);
		vq_kick(tx);
		for (unsigned int i = 0; i < tx->num; i++)
			vq_take(tx);
	}
	vdev_kick(v, 1);
}

static void virtio_in(struct vq *rx, struct vq *tx)
{
	static char in[64];
	struct buf b = { in, 0, true };
	u32 len = 0;

	vq_run(rx, &b, 1);
	b.in = false;
	b.len = 64;
	EXPECT_EQ(vq_run(rx, &b, 1), 0);
	b.in = true;
	while (!len || in[len - 1] != '\n') {
		b.at = in + len;
		b.len = 3;
		len += vq_run(rx, &b, 1);
	}
	b.at = in;
	b.len = len;
	b.in = false;
	vq_run(tx, &b, 1);
}

int main(void)
{
	struct vq rx, tx;
	struct vdev v;

	if (!vdev_find(&v, VIRTIO_ID_CONSOLE, 0)) {
		serial();
		return 0;
	}
	vdev_negotiate(&v, F_VERSION_1);
	vq_setup(&rx, &v, 0, 16);
	vq_setup(&tx, &v, 1, 16);
	vdev_go(&v);
	virtio_out(&v, &tx);
	virtio_in(&rx, &tx);
	return 0;
}
