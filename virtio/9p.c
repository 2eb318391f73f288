// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The 9P transport, device 9 of virtio 1.2 s5 and otherwise not in it: as
 * <linux/virtio_9p.h> and Linux' driver have it. One queue, a chain is a message
 * and room for its answer; the configuration is the tag to mount it by. What
 * messages mean is fs/9p.c's.
 *
 * Threads are those of virtio/fs-threads.c, so that messages are answered in any
 * order, but a flush after what it is about. deactivate stops them; fids and open
 * files are saved, and are found by their names again. A reset by the driver
 * forgets them.
 *
 * What a guest can do wrong: a chain that is no message, or has no room for an
 * error, makes the device need a reset. All else is an error in the answer, see
 * fs/9p.c. Every chain that was popped is pushed.
 */
#include <assert.h>
#include <string.h>
#include <linux/virtio_9p.h>
#include <linux/virtio_ids.h>
#include "kvm/9p.h"
#include "kvm/fs-share.h"

#define QUEUE_MAX 256

/** struct p9_config - struct virtio_9p_config, with the longest tag there is */
struct p9_config {
	__le16 tag_len;
	u8 tag[VIRTIO_SHARE_TAG_MAX];
};

static_assert(sizeof(struct p9_config) <= FS_CONFIG_MAX, "a share has room for it");

static u64 p9_features(struct virtio_device *dev)
{
	(void)dev;
	return BIT_ULL(VIRTIO_9P_MOUNT_TAG);
}

static int p9_create(struct virtio_device *dev, const void *opts, struct report *r)
{
	const struct virtio_9p_opts *o = opts;
	const struct p9_config config = { .tag_len = htole16(strlen(o->tag)) };
	const struct fs_share_opts s = {
		.server_create = p9_server_create,
		.host = o->host,
		.tag = o->tag,
		.config = &config,
		.tag_off = offsetof(struct p9_config, tag),
	};

	return fs_share_create(dev, &s, r);
}

const struct virtio_class virtio_9p_class = {
	.name = "9p",
	.id = VIRTIO_ID_9P,
	.nr_queues = 1,
	.queue_max = QUEUE_MAX,
	.config_len = sizeof(struct p9_config),
	.pci_class = 0x018000,
	.has_thread = true,
	.removable = true,
	.create = p9_create,
	.features = p9_features,
	.config_read = fs_share_config_read,
	.activate = fs_share_activate,
	.deactivate = fs_share_deactivate,
	.reset = fs_share_reset,
	.save = fs_share_save,
	.restore = fs_share_restore,
	.destroy = fs_share_destroy,
};
