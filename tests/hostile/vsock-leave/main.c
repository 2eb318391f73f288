// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections to a host program that does not read: as much as each may send, some
 * closed behind that and some not, left behind by a reset of the device, over and
 * over. The host program is another guest's port (how=listen), which nobody opens.
 */
#include <linux/virtio_vsock.h>
#include "virtio.h"

#define ROUNDS 40
#define CONNS 24
#define RING 64
#define PAGE 4096U
#define DATA 2048U
#define CID 42
#define PORT 5000
#define SRC_PORT 1024U

static struct vdev v;
static struct vq q[3];
static u8 *in, *out;
static u32 credit[CONNS];

static void feed(u32 at)
{
	struct buf b = { in + at * PAGE, PAGE, true };

	vq_add(&q[0], &b, 1);
}

static void bring_up(void)
{
	vdev_restart(&v, q, 3, vdev_offered(&v) & ~F_EVENT_IDX);
	for (unsigned int i = 0; i < RING; i++)
		feed(i);
	vq_kick(&q[0]);
	memset(credit, 0, sizeof(credit));
}

static void send(u32 conn, u16 op, u32 len, u32 flags)
{
	struct virtio_vsock_hdr *h = (void *)out;
	struct buf b = { out, sizeof(*h) + len, false };

	memset(h, 0, sizeof(*h));
	h->src_cid = CID;
	h->dst_cid = 2;
	h->src_port = SRC_PORT + conn;
	h->dst_port = PORT;
	h->type = VIRTIO_VSOCK_TYPE_STREAM;
	h->op = op;
	h->len = len;
	h->flags = flags;
	h->buf_alloc = 65536;
	vq_run(&q[1], &b, 1);
}

/* Of what has come, the first thing anybody says is what there is to send to him. */
static void take(void)
{
	while (vq_done(&q[0])) {
		u32 at = vq_take(&q[0]).id;
		const struct virtio_vsock_hdr *h = (void *)(in + at * PAGE);
		u32 conn = h->dst_port - SRC_PORT;

		if (conn < CONNS)
			credit[conn] = h->op == VIRTIO_VSOCK_OP_RST ? 0 : h->buf_alloc;
	}
}

static void attack(void)
{
	u32 nr_open = 0;

	for (unsigned int n = 0; n < ROUNDS; n++) {
		bring_up();
		for (u32 i = 0; i < CONNS; i++)
			send(i, VIRTIO_VSOCK_OP_REQUEST, 0, 0);
		take();
		for (u32 i = 0; i < CONNS; i++) {
			nr_open += credit[i] >= DATA;
			for (u32 sent = 0; sent + DATA <= credit[i]; sent += DATA)
				send(i, VIRTIO_VSOCK_OP_RW, DATA, 0);
			if (random32() % 4)
				send(i, VIRTIO_VSOCK_OP_SHUTDOWN, 0, random32() % 8 ? 3 : 2);
			if (!(random32() % 4))
				send(i, VIRTIO_VSOCK_OP_RST, 0, 0);
		}
		vdev_reset(&v);
	}
	print("%u connections\n", nr_open);
	EXPECT(nr_open);
	bring_up();
	EXPECT_EQ(vdev_status(&v), STATUS_READY);
}

int main(void)
{
	if (option_is("how", "listen"))
		for (;;)
			asm volatile("cli; hlt");
	random_seed(3);
	EXPECT(vdev_find(&v, VIRTIO_ID_VSOCK, 0));
	in = page_alloc(RING);
	out = page_alloc(1);
	memset(out, 'y', PAGE);
	for (unsigned int i = 0; i < 3; i++)
		vq_alloc(&q[i], &v, i, RING);
	attack();
	return 0;
}
