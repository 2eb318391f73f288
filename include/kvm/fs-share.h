/* SPDX-License-Identifier: GPL-2.0-only */
/* What devices that share a directory have in common: virtio/fs.c, virtio/9p.c. */
#ifndef KVM__FS_SHARE_H
#define KVM__FS_SHARE_H

#include "kvm/fs-serve.h"
#include "kvm/virtio.h"

struct fs_threads;

/* Bytes of the longest configuration */
#define FS_CONFIG_MAX 40

/**
 * struct fs_share - an instance of either device
 * @config: its configuration, class->config_len bytes
 * @saved: so many of them are saved, and have to be the same where that is restored
 */
struct fs_share {
	struct fs_threads *threads;
	struct fs_server *server;
	u32 saved;
	u8 config[FS_CONFIG_MAX];
};

/**
 * struct fs_share_opts - what to make one of
 * @host: ownership passes on success
 * @tag: what the guest mounts it by, 1 to VIRTIO_SHARE_TAG_MAX bytes
 * @config: class->config_len bytes, but for the tag, which goes to @tag_off
 */
struct fs_share_opts {
	fs_server_fn server_create;
	struct fs_host *host;
	const char *tag;
	const void *config;
	u32 tag_off;
};

/**
 * fs_share_create() - an instance for @dev
 * Return: 0; -errno with the reason in @r
 */
int fs_share_create(struct virtio_device *dev, const struct fs_share_opts *o,
		    struct report *r);

/* Of struct virtio_class. What of a share is saved, fs_save() says. */
int fs_share_activate(struct virtio_device *dev);
void fs_share_deactivate(struct virtio_device *dev);
void fs_share_reset(struct virtio_device *dev);
void fs_share_config_read(struct virtio_device *dev, u32 off, void *d, u32 len);
void fs_share_save(struct virtio_device *dev, struct state_out *out);
int fs_share_restore(struct virtio_device *dev, struct state_in *in);
void fs_share_destroy(struct virtio_device *dev);

#endif
