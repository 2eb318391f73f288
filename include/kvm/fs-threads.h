/* SPDX-License-Identifier: GPL-2.0-only */
/* The threads of a device that shares a directory. */
#ifndef KVM__FS_THREADS_H
#define KVM__FS_THREADS_H

#include "kvm/fs-serve.h"
#include "kvm/virtio.h"

struct fs_threads;

/**
 * fs_threads_create() - none runs yet
 * @dev: whose queues they serve, all of them alike
 */
int fs_threads_create(struct fs_threads **out, struct virtio_device *dev);
/** fs_threads_free() - none runs; accepts NULL */
void fs_threads_free(struct fs_threads *t);
/** fs_threads_start() - the queues are lent to serve @server. Return: 0 or -errno, logged */
int fs_threads_start(struct fs_threads *t, struct fs_server *server);
/** fs_threads_stop() - on return all that was popped is pushed; accepts NULL */
void fs_threads_stop(struct fs_threads *t);

#endif
