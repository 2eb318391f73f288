// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The file system device of virtio 1.2 s5.11: a FUSE session over queues. Queue
 * 0 has requests that are not to wait behind others (FORGET), the rest are
 * request queues, all alike. What requests mean is fs/fuse.c's.
 *
 * Threads are those of virtio/fs-threads.c. deactivate stops them; open files and
 * numbers of the session are saved, and are found by their names again. A reset
 * by the driver forgets them.
 *
 * Not supported: DAX windows, the notification queue, INTERRUPT: no request
 * waits for a guest's process.
 *
 * What a guest can do wrong: a chain that is no FUSE request, or has no room for
 * the answer's header, makes the device need a reset. All else is an error in
 * the answer, see fs/fuse.c. Every chain that was popped is pushed.
 */
#include <assert.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include "kvm/fs-share.h"
#include "kvm/fuse.h"

#define QUEUE_MAX 256
#define QUEUES_MAX (1 + VIRTIO_FS_MAX_QUEUES)

static_assert(sizeof(struct virtio_fs_config) <= FS_CONFIG_MAX, "a share has room for it");

static u64 fs_features(struct virtio_device *dev)
{
	(void)dev;
	return 0;
}

static unsigned int fs_queues(const void *opts)
{
	const struct virtio_fs_opts *o = opts;

	return 1 + (o->nr_queues ? o->nr_queues : 1);
}

static int fs_create_device(struct virtio_device *dev, const void *opts,
			    struct report *r)
{
	const struct virtio_fs_opts *o = opts;
	const struct virtio_fs_config config = {
		.num_request_queues = htole32(dev->nr_queues - 1),
	};
	const struct fs_share_opts s = {
		.server_create = fuse_server_create,
		.host = o->host,
		.tag = o->tag,
		.config = &config,
		.tag_off = offsetof(struct virtio_fs_config, tag),
	};

	if (o->nr_queues > VIRTIO_FS_MAX_QUEUES)
		return report_error(r, 0, "%s: at most %u queues",
				    dev->dev.name, VIRTIO_FS_MAX_QUEUES);
	return fs_share_create(dev, &s, r);
}

const struct virtio_class virtio_fs_class = {
	.name = "fs",
	.id = VIRTIO_ID_FS,
	.nr_queues = QUEUES_MAX,
	.queues = fs_queues,
	.queue_max = QUEUE_MAX,
	.config_len = sizeof(struct virtio_fs_config),
	.pci_class = 0x018000,
	.has_thread = true,
	.removable = true,
	.create = fs_create_device,
	.features = fs_features,
	.config_read = fs_share_config_read,
	.activate = fs_share_activate,
	.deactivate = fs_share_deactivate,
	.reset = fs_share_reset,
	.save = fs_share_save,
	.restore = fs_share_restore,
	.destroy = fs_share_destroy,
};
