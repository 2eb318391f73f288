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
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_9p.h>
#include <linux/virtio_ids.h>
#include "kvm/9p.h"
#include "kvm/fs-threads.h"

#define P9_DEVICE_STATE_VERSION 1
#define QUEUE_MAX 256

/** struct p9_config - struct virtio_9p_config, with the longest tag there is */
struct p9_config {
	__le16 tag_len;
	u8 tag[VIRTIO_SHARE_TAG_MAX];
};

/** struct p9 - an instance */
struct p9 {
	struct fs_threads *threads;
	struct p9_server *server;
	struct p9_config config;
};

static int serve(void *opaque, struct fs_buffers *b, const struct vq_chain *c)
{
	struct p9 *p = opaque;

	return p9_serve(p->server, b, c);
}

static const struct fs_service service = {
	.serve = serve,
	.order = p9_order,
	.broken = "no 9P message, or no room for an answer",
};

static int p9_activate(struct virtio_device *dev)
{
	struct p9 *p = dev->priv;

	return fs_threads_start(p->threads);
}

static void p9_deactivate(struct virtio_device *dev)
{
	struct p9 *p = dev->priv;

	if (p)
		fs_threads_stop(p->threads);
}

static void p9_reset_device(struct virtio_device *dev)
{
	struct p9 *p = dev->priv;

	if (p && p->server)
		p9_server_reset(p->server);
}

static u64 p9_features(struct virtio_device *dev)
{
	(void)dev;
	return BIT_ULL(VIRTIO_9P_MOUNT_TAG);
}

static void p9_config_read(struct virtio_device *dev, u32 off, void *d,
			   u32 len)
{
	struct p9 *p = dev->priv;

	memcpy(d, (const u8 *)&p->config + off, len);
}

static void p9_free(struct p9 *p)
{
	fs_threads_free(p->threads);
	p9_server_free(p->server);
	free(p);
}

static int p9_create_device(struct virtio_device *dev, const void *opts,
			    struct report *r)
{
	const struct virtio_9p_opts *o = opts;
	size_t len = strlen(o->tag);
	struct p9 *p;
	int err;

	if (!len || len > VIRTIO_SHARE_TAG_MAX)
		return report_error(r, 0, "%s: tag is not 1 to %d bytes",
				    dev->dev.name, VIRTIO_SHARE_TAG_MAX);
	p = calloc(1, sizeof(*p));
	if (!p)
		return report_error(r, ENOMEM, "%s", dev->dev.name);
	err = fs_threads_create(&p->threads, dev, &service, p);
	if (!err)
		err = p9_server_create(&p->server, o->host);
	if (err) {
		p9_free(p);
		return report_error(r, -err, "%s", dev->dev.name);
	}
	p->config.tag_len = htole16(len);
	memcpy(p->config.tag, o->tag, len);
	dev->priv = p;
	return 0;
}

static void p9_destroy(struct virtio_device *dev)
{
	struct p9 *p = dev->priv;

	if (!p)
		return;
	p9_deactivate(dev);
	p9_free(p);
	dev->priv = NULL;
}

/* That it is the same directory cannot be known; names in it are looked up. */
static void p9_save_device(struct virtio_device *dev, struct state_out *out)
{
	struct p9 *p = dev->priv;

	state_put_u32(out, P9_DEVICE_STATE_VERSION);
	state_put(out, &p->config, sizeof(p->config));
	p9_server_save(p->server, out);
}

static int p9_restore_device(struct virtio_device *dev, struct state_in *in)
{
	struct p9 *p = dev->priv;
	struct p9_config c;

	state_get_version(in, P9_DEVICE_STATE_VERSION);
	state_get(in, &c, sizeof(c));
	if (in->err || memcmp(&c, &p->config, sizeof(c)))
		return -EPROTO;
	return p9_server_restore(p->server, in);
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
	.create = p9_create_device,
	.features = p9_features,
	.config_read = p9_config_read,
	.activate = p9_activate,
	.deactivate = p9_deactivate,
	.reset = p9_reset_device,
	.save = p9_save_device,
	.restore = p9_restore_device,
	.destroy = p9_destroy,
};
