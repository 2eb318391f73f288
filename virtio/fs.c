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
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include "kvm/fs-threads.h"
#include "kvm/fuse.h"

#define FS_STATE_VERSION 1
#define QUEUE_MAX 256
#define QUEUES_MAX (1 + VIRTIO_FS_MAX_QUEUES)

/** struct fs - an instance */
struct fs {
	struct fs_threads *threads;
	struct fuse_server *server;
	struct virtio_fs_config config;
};

static int serve(void *opaque, struct fs_buffers *b, const struct vq_chain *c)
{
	struct fs *f = opaque;

	return fuse_serve(f->server, b, c);
}

static const struct fs_service service = {
	.serve = serve,
	.broken = "no FUSE request, or no room for an answer",
};

static int fs_activate(struct virtio_device *dev)
{
	struct fs *f = dev->priv;

	return fs_threads_start(f->threads);
}

static void fs_deactivate(struct virtio_device *dev)
{
	struct fs *f = dev->priv;

	if (f)
		fs_threads_stop(f->threads);
}

static void fs_reset_device(struct virtio_device *dev)
{
	struct fs *f = dev->priv;

	if (f && f->server)
		fuse_server_reset(f->server);
}

static u64 fs_features(struct virtio_device *dev)
{
	(void)dev;
	return 0;
}

static void fs_config_read(struct virtio_device *dev, u32 off, void *d,
			   u32 len)
{
	struct fs *f = dev->priv;

	memcpy(d, (const u8 *)&f->config + off, len);
}

static void fs_free(struct fs *f)
{
	fs_threads_free(f->threads);
	fuse_server_free(f->server);
	free(f);
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
	size_t len = strlen(o->tag);
	struct fs *f;
	int err;

	if (o->nr_queues > VIRTIO_FS_MAX_QUEUES)
		return report_error(r, 0, "%s: at most %u queues",
				    dev->dev.name, VIRTIO_FS_MAX_QUEUES);
	if (!len || len > sizeof(f->config.tag))
		return report_error(r, 0, "%s: tag is not 1 to %zu bytes",
				    dev->dev.name, sizeof(f->config.tag));
	f = calloc(1, sizeof(*f));
	if (!f)
		return report_error(r, ENOMEM, "%s", dev->dev.name);
	err = fs_threads_create(&f->threads, dev, &service, f);
	if (!err)
		err = fuse_server_create(&f->server, o->host);
	if (err) {
		fs_free(f);
		return report_error(r, -err, "%s", dev->dev.name);
	}
	memcpy(f->config.tag, o->tag, len);
	f->config.num_request_queues = htole32(dev->nr_queues - 1);
	dev->priv = f;
	return 0;
}

static void fs_destroy(struct virtio_device *dev)
{
	struct fs *f = dev->priv;

	if (!f)
		return;
	fs_deactivate(dev);
	fs_free(f);
	dev->priv = NULL;
}

/* That it is the same directory cannot be known; names in it are looked up. */
static void fs_save_device(struct virtio_device *dev, struct state_out *out)
{
	struct fs *f = dev->priv;

	state_put_u32(out, FS_STATE_VERSION);
	state_put(out, f->config.tag, sizeof(f->config.tag));
	fuse_server_save(f->server, out);
}

static int fs_restore_device(struct virtio_device *dev, struct state_in *in)
{
	u8 tag[sizeof(((struct virtio_fs_config *)NULL)->tag)];
	struct fs *f = dev->priv;

	state_get_version(in, FS_STATE_VERSION);
	state_get(in, tag, sizeof(tag));
	if (in->err || memcmp(tag, f->config.tag, sizeof(tag)))
		return -EPROTO;
	return fuse_server_restore(f->server, in);
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
	.config_read = fs_config_read,
	.activate = fs_activate,
	.deactivate = fs_deactivate,
	.reset = fs_reset_device,
	.save = fs_save_device,
	.restore = fs_restore_device,
	.destroy = fs_destroy,
};
