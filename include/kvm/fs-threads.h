/* SPDX-License-Identifier: GPL-2.0-only */
/* The threads of a device that shares a directory: virtio/fs.c, virtio/9p.c. */
#ifndef KVM__FS_THREADS_H
#define KVM__FS_THREADS_H

#include "kvm/fs-serve.h"
#include "kvm/virtio.h"

/**
 * struct fs_service - what the threads are for; const
 * @serve: one request and its answer. Return: bytes written; -EPROTO when the
 *	chain is no request. Any thread, several at a time
 * @order: may be NULL. Of a chain that was just popped
 * @broken: what to say of a chain that is no request
 */
struct fs_service {
	int (*serve)(void *server, struct fs_buffers *b,
		     const struct vq_chain *c);
	struct fs_order (*order)(const struct vq_chain *c);
	const char *broken;
};

struct fs_threads;

/**
 * fs_threads_create() - none runs yet
 * @dev: whose queues they serve, all of them alike
 * @server: what @service->serve gets
 */
int fs_threads_create(struct fs_threads **out, struct virtio_device *dev,
		      const struct fs_service *service, void *server);
/** fs_threads_free() - none runs; accepts NULL */
void fs_threads_free(struct fs_threads *t);
/** fs_threads_start() - the queues are lent. Return: 0 or -errno, logged */
int fs_threads_start(struct fs_threads *t);
/** fs_threads_stop() - on return all that was popped is pushed; accepts NULL */
void fs_threads_stop(struct fs_threads *t);

#endif
