// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets go of what it was not asked for and of what is not there, in the middle
 * of requests, with whatever it writes; uses what it let go of. Its own disk
 * works all the time. Ends when a disk with the serial END comes.
 */
#include "hotplug.h"

static struct hot_disk disk[HOTPLUG_SLOTS];
static struct vdev own;
static u8 *page;

/* Requests that nobody waits for */
static void busy(struct hot_disk *d)
{
	static struct virtio_blk_outhdr hdr[4];
	static u8 status[4];

	for (unsigned int i = 0; i < ARRAY_SIZE(hdr); i++) {
		struct buf b[3] = {
			{ &hdr[i], sizeof(hdr[i]), false },
			{ page, 4096, i & 1 },
			{ &status[i], 1, true },
		};

		hdr[i].type = i & 1 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
		hdr[i].sector = i * 8;
		vq_add(&d->q, b, 3);
	}
	vq_kick(&d->q);
}

static void disturb(void)
{
	u32 v = random32();

	outl(HOTPLUG_EJECT, v & random32());
	out_width((u16)(HOTPLUG_CHANGED + (v & 15)), 1U << v % 3, random32());
	in_width((u16)(HOTPLUG_EJECT + (v & 3)), 1U << v % 3);
	outb(GPE_STS, (u8)(v & ~GPE_HOTPLUG));
	EXPECT(hotplug_present(own.devfn >> 3));
}

/* What was let go of is used as if it were there. */
static void haunt(struct hot_disk *d)
{
	vq_kick(&d->q);
	vdev_kick(&d->v, random32() & 63);
	write8(d->v.common + VIRTIO_PCI_COMMON_STATUS, (u8)random32());
	/* Not written: another one may have come. */
	pci_read(d->v.devfn, random32() & 0xfc, 4);
}

static void asked(unsigned int slot)
{
	struct hot_disk *d = &disk[slot];

	busy(d);
	outl(HOTPLUG_EJECT, BIT(slot) | BIT(own.devfn >> 3));
	for (unsigned int i = 0; i < 20; i++)
		haunt(d);
	print("GONE %s\n", d->serial);
}

/* Return: whether that was all */
static bool came(unsigned int slot)
{
	struct hot_disk *d = &disk[slot];

	if (!hotplug_present(slot))
		return false;
	hotplug_open(d, slot);
	print("CAME %s\n", d->serial);
	if (!memcmp(d->serial, "END", 4)) {
		blk_works(&own);
		return true;
	}
	busy(d);
	return false;
}

static void wait(u32 *come, u32 *go)
{
	outb(GPE_EN, GPE_HOTPLUG);
	while (!(inb(GPE_STS) & GPE_HOTPLUG)) {
		/* No reads of the registers that clear as they are read */
		outl(HOTPLUG_EJECT, 0xffffffff & ~random32());
		EXPECT(hotplug_present(own.devfn >> 3));
	}
	hotplug_wait(come, go);
}

int main(void)
{
	u32 come, go;

	page = page_alloc(1);
	EXPECT(vdev_find(&own, VIRTIO_ID_BLOCK, 0));
	blk_works(&own);
	for (unsigned int i = 0; i < 200; i++)
		disturb();
	outb(GPE_EN, 0xff);
	blk_works(&own);
	print("READY\n");
	for (;;) {
		wait(&come, &go);
		for (unsigned int i = 1; i < HOTPLUG_SLOTS; i++) {
			if (come & BIT(i) && came(i))
				return 0;
			if (go & BIT(i))
				asked(i);
		}
	}
}
