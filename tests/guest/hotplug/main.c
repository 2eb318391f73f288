// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disks that come and go: each is placed, filled with its serial number and let
 * go of when that is asked for; one called DEAF is not. END is the end.
 */
#include "hotplug.h"

static struct hot_disk disk[HOTPLUG_SLOTS];

static bool called(const struct hot_disk *d, const char *serial)
{
	return !memcmp(d->serial, serial, strlen(serial) + 1);
}

static void fill(struct hot_disk *d)
{
	static u8 *page;
	size_t len = strlen(d->serial);

	if (!page)
		page = page_alloc(1);
	for (unsigned int i = 0; i < 4096; i++)
		page[i] = i % (len + 1) < len ? (u8)d->serial[i % (len + 1)] :
						'\n';
	for (unsigned int i = 0; i < 8; i++)
		EXPECT_EQ(blk_request(&d->q, VIRTIO_BLK_T_OUT, i * 8, page,
				      4096), 0);
	EXPECT_EQ(blk_request(&d->q, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), 0);
}

/* Return: whether that was all */
static bool changed(unsigned int slot)
{
	struct hot_disk *d = &disk[slot];

	if (!hotplug_present(slot)) {
		print("LOST %s\n", d->serial);
		d->serial[0] = 0;
		return false;
	}
	hotplug_open(d, slot);
	print("CAME %s\n", d->serial);
	if (called(d, "END"))
		return true;
	fill(d);
	print("FILLED %s\n", d->serial);
	return false;
}

static void asked(unsigned int slot)
{
	struct hot_disk *d = &disk[slot];

	print("ASKED %s\n", d->serial);
	if (called(d, "DEAF"))
		return;
	vdev_reset(&d->v);
	hotplug_eject(slot);
	d->serial[0] = 0;
}

/* What was taken away without a question: the bridge's bit */
static void look(void)
{
	for (unsigned int i = 1; i < HOTPLUG_SLOTS; i++)
		if (disk[i].serial[0] && !hotplug_present(i))
			changed(i);
}

int main(void)
{
	u32 come, go;

	print("READY\n");
	for (;;) {
		hotplug_wait(&come, &go);
		if (come & BIT(0))
			look();
		for (unsigned int i = 1; i < HOTPLUG_SLOTS; i++) {
			if (come & BIT(i) && changed(i))
				return 0;
			if (go & BIT(i))
				asked(i);
		}
	}
}
