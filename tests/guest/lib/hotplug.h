/* SPDX-License-Identifier: GPL-2.0-only */
/* Devices that come and go, by the registers behind the DSDT's methods. */
#ifndef GUEST_HOTPLUG_H
#define GUEST_HOTPLUG_H

#include "virtio.h"

#define GPE_STS		0x608
#define GPE_EN		0x609
#define GPE_HOTPLUG	BIT(1)
#define HOTPLUG_CHANGED	0x620
#define HOTPLUG_ASKED	0x624
#define HOTPLUG_EJECT	0x628
#define HOTPLUG_SLOTS	32

/** struct hot_disk - a disk that came; @serial ends with NUL, "" for none */
struct hot_disk {
	struct vdev v;
	struct vq q;
	char serial[24];
};

/** hotplug_wait() - for an event, and what it is about, a bit for each slot */
void hotplug_wait(u32 *changed, u32 *asked);
/** hotplug_present() - whether there is something in @slot */
bool hotplug_present(unsigned int slot);
/** hotplug_open() - place, and start, the disk in @slot; ask who it is */
void hotplug_open(struct hot_disk *d, unsigned int slot);
/** hotplug_eject() - let go of @slot: it is empty, or another one comes */
void hotplug_eject(unsigned int slot);

#endif
