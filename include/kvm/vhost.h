/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A queue pair or device that the host's kernel serves: what all devices of
 * <linux/vhost.h> have in common. The device's own ioctls, which give the
 * rings something to work on, are the class's.
 */
#ifndef KVM__VHOST_H
#define KVM__VHOST_H

#include "kvm/report.h"
#include "kvm/virtio.h"

/**
 * struct vhost_ring - a virtqueue that is lent to the kernel
 * @lent_fd: the transport's eventfd, that interrupts by itself, or -1
 * @call_fd: an eventfd that the relay thread waits for: interrupts
 * @err_fd: another: errors
 * @vq: the queue that it serves
 */
struct vhost_ring {
	struct virtqueue *vq;
	int lent_fd;
	int call_fd;
	int err_fd;
};

/**
 * struct vhost - one open vhost device; zeroed and closed is fine
 * @fd: of the device, for the class's own ioctls
 * @features: what the kernel offers
 * @ring: what runs, from vhost_start() to vhost_stop(); ring i of the kernel
 * @control_fd: ends the relay thread
 * @failures: how many failed starts were logged
 * @dev: whose
 * @nr_rings: how many run
 * @relay: a thread, while @running
 * @running: rings are the kernel's
 */
struct vhost {
	struct virtio_device *dev;
	int fd;
	u64 features;
	struct vhost_ring ring[VIRTIO_MAX_QUEUES];
	unsigned int nr_rings;
	int control_fd;
	pthread_t relay;
	bool running;
	unsigned int failures;
};

/**
 * vhost_init() - before anything else; vhost_close() is safe from here on
 */
void vhost_init(struct vhost *v, struct virtio_device *dev);

/**
 * vhost_open() - open @path, make this process the owner, ask for features
 *
 * Context: before the VM is sealed. Return: 0, or -errno with @r.
 */
int vhost_open(struct vhost *v, const char *path, struct report *r);
/** vhost_close() - stops as well; idempotent */
void vhost_close(struct vhost *v);

/**
 * vhost_ioctl() - any ioctl of the device, retried on EINTR
 * @name: for the log, which it reaches a bounded number of times; NULL when
 *	the caller reports
 *
 * Return: 0 or -errno.
 */
int vhost_ioctl(struct vhost *v, unsigned long request, const char *name,
		void *arg);

/**
 * vhost_start() - hand over memory table and rings
 * @features: as negotiated; what the kernel does not offer is left out
 * @first: dev->queue[@first + i] becomes ring i; each has to be ready
 * @nr: how many rings
 *
 * The rings are served once the class sets a backend; it calls vhost_kick()
 * after that, for what was made available meanwhile.
 * Context: activate(). Return: 0, or -errno with nothing started.
 */
int vhost_start(struct vhost *v, u64 features, unsigned int first,
		unsigned int nr);
/** vhost_kick() - look at all rings */
void vhost_kick(struct vhost *v);

/**
 * vhost_stop() - take the rings back, once the class has unset the backend
 *
 * On return the virtqueues have the indexes at which the kernel stopped.
 * Context: deactivate(). Idempotent.
 */
void vhost_stop(struct vhost *v);

#endif
