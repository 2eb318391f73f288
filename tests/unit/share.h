/* SPDX-License-Identifier: GPL-2.0-only */
/* A directory that is shared by a device, and what is asked on the device's rings. */
#ifndef KVM__TEST_SHARE_H
#define KVM__TEST_SHARE_H

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kvm/fs.h"
#include "kvm/virtio.h"
#include "dir.h"
#include "driver.h"
#include "vring.h"

#define RIG_ROOM 0x4000

/**
 * struct rig - @used: of the queue that is asked; @written: by the last answer
 * @unique: of FUSE; @tag, @msg, @answer, @len: of 9P
 */
struct rig {
	char base[64];
	struct vr_mem m;
	struct virtio_env env;
	struct virtio_device *dev;
	int irq;
	u16 used;
	u32 written;
	u64 unique;
	u16 tag;
	struct state_out msg;
	u8 answer[RIG_ROOM];
	u32 len;
};

static inline void rig_up(struct rig *r, u64 features)
{
	driver_up(r->dev, &driver_vring, DRIVER_V1 | features, DRIVER_ALL);
	r->used = 0;
}

/** rig_device() - made of @opts, in which @host is to be */
static inline void rig_device(struct rig *r, const struct virtio_class *class, const void *opts,
			      struct fs_host **host, bool readonly)
{
	struct fs_opts f = {
		.path = r->base, .readonly = readonly, .max_fds = 256,
	};
	struct report why = { "" };

	if (fs_open(host, &f, &why) ||
	    virtio_device_create(&r->dev, class, "share0", opts, &r->env, &why))
		printf("# %s\n", why.msg);
	r->dev->transport_priv = &r->irq;
	r->dev->transport = &driver_transport;
}

/** rig_begin() - all but a device, in the directory */
static inline void rig_begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	umask(0);
	dir_temp(r->base, sizeof(r->base));
	if (chdir(r->base))
		perror(r->base);
	vr_init(&r->m);
	r->env.gmem = &r->m.g;
	r->irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static inline void teardown(struct rig *r)
{
	virtio_device_free(r->dev);
	close(r->irq);
	vr_free(&r->m);
	state_out_free(&r->msg);
	if (chdir("/") || dir_remove(r->base))
		perror(r->base);
}

static inline bool wait_used(struct rig *r, unsigned int q)
{
	struct pollfd p = { .fd = r->irq, .events = POLLIN };
	struct vring_used_elem e;
	u64 v;

	while (vr_used_idx(&r->m, q) == r->used) {
		if (virtio_get_status(r->dev) & VIRTIO_CONFIG_S_NEEDS_RESET)
			return false;
		if (poll(&p, 1, 5000) <= 0 || read(r->irq, &v, 8) < 0)
			return false;
	}
	gmem_read(&r->m.g, vr_used(q) + 4 + 8 * (r->used % VR_NUM), &e,
		  sizeof(e));
	r->used++;
	r->written = e.len;
	return true;
}

/** rig_ask() - @len bytes at @in, @room at @out. Return: whether it came back */
static inline bool rig_ask(struct rig *r, unsigned int q, u64 in, u32 len, u64 out, u32 room)
{
	VR_PUT(&r->m, vr_desc(q), 0, in, len, room ? VRING_DESC_F_NEXT : 0, 1);
	VR_PUT(&r->m, vr_desc(q), 1, out, room, VRING_DESC_F_WRITE, 0);
	vr_publish(&r->m, q, 0);
	virtio_notify(r->dev, q);
	return wait_used(r, q);
}

#endif
