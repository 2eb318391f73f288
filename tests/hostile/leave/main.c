// SPDX-License-Identifier: GPL-2.0-only
/*
 * A console with ports, to which a driver writes more than their readers take, and
 * which it resets at once, with rings that it has meanwhile made nonsense of. What
 * a fair one has left in the queues (how=fair) all arrives.
 */
#include <linux/virtio_console.h>
#include "virtio.h"

#define ROUNDS 100
#define QUEUES_MAX 16
#define RING 16
#define CTL_OUT 3
#define SPACE (RING * 4096U)

static struct vdev v;
static struct vq q[QUEUES_MAX];
static unsigned int nr_ports;
static u8 *space;

static void control(u32 port, u16 event)
{
	struct virtio_console_control msg = { port, event, 1 };
	struct buf b = { &msg, sizeof(msg), false };

	vq_run(&q[CTL_OUT], &b, 1);
}

/* Port 0 has the first pair of queues, control the second. */
static struct vq *port_tx(unsigned int port)
{
	return &q[port ? 2 * port + 3 : 1];
}

static void bring_up(void)
{
	vdev_restart(&v, q, 2 * nr_ports + 2, vdev_offered(&v) & ~F_EVENT_IDX);
	control(~0U, VIRTIO_CONSOLE_DEVICE_READY);
	for (unsigned int i = 0; i < nr_ports; i++) {
		control(i, VIRTIO_CONSOLE_PORT_READY);
		control(i, VIRTIO_CONSOLE_PORT_OPEN);
	}
}

static void fill(struct vq *vq)
{
	bool fair = option_is("how", "fair");
	unsigned int nr = fair ? RING : random32() % (RING + 1);

	for (unsigned int i = 0; i < nr; i++) {
		struct buf b = { space, 4096, false };

		if (!fair) {
			b.len = random32() % SPACE;
			b.in = !(random32() % 16);
		}
		vq_add(vq, &b, 1);
	}
	vq_kick(vq);
}

static void scribble(struct vq *vq)
{
	unsigned int i = random32() % RING;

	switch (random32() % 8) {
	case 0:
		vq->desc[i].len = random32();
		break;
	case 1:
		vq->desc[i].addr = random32() % 2 ? (u64)space : ~0ULL - random32();
		break;
	case 2:
		vq->desc[i].flags = random32() & 7;
		vq->desc[i].next = random32() % (RING + 1);
		break;
	case 3:
		vq->avail->ring[i] = random32();
		break;
	case 4:
		vq->avail->idx += random32();
		break;
	default:
		break;
	}
}

static void attack(void)
{
	bool fair = option_is("how", "fair");

	for (unsigned int n = 0; n < (fair ? 1 : ROUNDS); n++) {
		bring_up();
		for (unsigned int i = 0; i < nr_ports; i++)
			fill(port_tx(i));
		for (unsigned int i = 0; !fair && i < nr_ports; i++)
			scribble(port_tx(i));
		vdev_reset(&v);
	}
}

int main(void)
{
	random_seed(2);
	EXPECT(vdev_find(&v, VIRTIO_ID_CONSOLE, 0));
	EXPECT(vdev_offered(&v) & BIT_ULL(VIRTIO_CONSOLE_F_MULTIPORT));
	nr_ports = read32(vdev_config_at(&v, 4));
	EXPECT(nr_ports && 2 * nr_ports + 2 <= QUEUES_MAX);
	space = page_alloc(SPACE / 4096);
	memset(space, 'y', SPACE);
	for (unsigned int i = 0; i < 2 * nr_ports + 2; i++)
		vq_alloc(&q[i], &v, i, RING);
	attack();
	/* It works all the same. */
	bring_up();
	EXPECT_EQ(vdev_status(&v), STATUS_READY);
	return 0;
}
