// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kick arrives whatever its width: through the ioeventfd, which takes one
 * width, or the register; also after the BAR has moved, and on a second device.
 * Last come many of the ioeventfd's width, and then the guest waits: none of them
 * is an exit.
 */
#include "virtio.h"

#define KICKS	1000

static void request(struct vdev *v, struct vq *q, unsigned int width)
{
	static struct virtio_blk_outhdr hdr;
	static u8 id[20];
	static u8 status;
	const struct buf b[] = {
		{ &hdr, sizeof(hdr), false }, { id, sizeof(id), true },
		{ &status, 1, true },
	};

	hdr.type = VIRTIO_BLK_T_GET_ID;
	status = 0xff;
	vq_add(q, b, ARRAY_SIZE(b));
	full_barrier();
	if (v->pci)
		out_width(v->notify, width, 0);
	else
		write32(v->regs + VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	vq_take(q);
	EXPECT_EQ(status, 0);
}

static void move(struct vdev *v)
{
	v->notify += 0x1000;
	pci_write(v->devfn, PCI_BASE_ADDRESS_1, 4, v->notify);
}

int main(void)
{
	struct vdev v[2];
	struct vq q[2];

	for (unsigned int i = 0; i < 2; i++) {
		EXPECT(vdev_find(&v[i], VIRTIO_ID_BLOCK, i));
		vdev_negotiate(&v[i], F_VERSION_1);
		vq_setup(&q[i], &v[i], 0, 16);
		vdev_go(&v[i]);
		/* A disk that could not start answers nothing (tests/inject). */
		if (vdev_status(&v[i]) != 15)
			return 1;
	}
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int width = 1; width <= 4; width *= 2) {
			request(&v[0], &q[0], width);
			request(&v[1], &q[1], width);
		}
		if (!v[0].pci)
			break;
		move(&v[0]);
		move(&v[1]);
	}
	for (unsigned int i = 0; i < KICKS; i++)
		vdev_kick(&v[0], 0);
	print("kicked\n");
	while (option_is("then", "wait"))
		asm volatile("hlt");
	return 0;
}
