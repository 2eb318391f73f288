// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * A device that shares a directory, whichever protocol it speaks: an instance, its
 * configuration, and what is saved of it. The protocol is a table (struct fs_service),
 * its requests are served by threads (fs-threads.c), which run between activate and
 * deactivate; nobody is in the server before and after that. No locks.
 *
 * What a guest can do wrong is said in fs-threads.c and by the protocols.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "kvm/fs-share.h"
#include "kvm/fs-threads.h"

#define SHARE_STATE_VERSION 1

static void share_free(struct fs_share *s)
{
	fs_threads_free(s->threads);
	if (s->server)
		s->server->service->free(s->server);
	free(s);
}

int fs_share_create(struct virtio_device *dev, const struct fs_share_opts *o,
		    struct report *r)
{
	size_t len = strlen(o->tag);
	struct fs_share *s;
	int err;

	if (!len || len > VIRTIO_SHARE_TAG_MAX)
		return report_error(r, 0, "%s: tag is not 1 to %d bytes",
				    dev->dev.name, VIRTIO_SHARE_TAG_MAX);
	s = calloc(1, sizeof(*s));
	if (!s)
		return report_error(r, ENOMEM, "%s", dev->dev.name);
	memcpy(s->config, o->config, dev->class->config_len);
	memcpy(s->config + o->tag_off, o->tag, len);
	s->saved = o->tag_off + VIRTIO_SHARE_TAG_MAX;
	err = fs_threads_create(&s->threads, dev);
	if (!err)
		err = o->server_create(&s->server, o->host);
	if (err) {
		share_free(s);
		return report_error(r, -err, "%s", dev->dev.name);
	}
	dev->priv = s;
	return 0;
}

int fs_share_activate(struct virtio_device *dev)
{
	struct fs_share *s = dev->priv;

	return fs_threads_start(s->threads, s->server);
}

void fs_share_deactivate(struct virtio_device *dev)
{
	struct fs_share *s = dev->priv;

	fs_threads_stop(s->threads);
}

void fs_share_reset(struct virtio_device *dev)
{
	struct fs_share *s = dev->priv;

	s->server->service->reset(s->server);
}

void fs_share_config_read(struct virtio_device *dev, u32 off, void *d, u32 len)
{
	const struct fs_share *s = dev->priv;

	memcpy(d, s->config + off, len);
}

/* That it is the same directory cannot be known; names in it are looked up. */
void fs_share_save(struct virtio_device *dev, struct state_out *out)
{
	struct fs_share *s = dev->priv;

	state_put_u32(out, SHARE_STATE_VERSION);
	state_put(out, s->config, s->saved);
	s->server->service->save(s->server, out);
}

int fs_share_restore(struct virtio_device *dev, struct state_in *in)
{
	struct fs_share *s = dev->priv;
	u8 config[FS_CONFIG_MAX];

	state_get_version(in, SHARE_STATE_VERSION);
	state_get(in, config, s->saved);
	if (in->err || memcmp(config, s->config, s->saved))
		return -EPROTO;
	return s->server->service->restore(s->server, in);
}

void fs_share_destroy(struct virtio_device *dev)
{
	struct fs_share *s = dev->priv;

	if (!s)
		return;
	fs_threads_stop(s->threads);
	share_free(s);
	dev->priv = NULL;
}
