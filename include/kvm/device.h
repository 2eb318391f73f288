/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__DEVICE_H
#define KVM__DEVICE_H

#include "kvm/state.h"

struct device;

/**
 * struct device_ops - what every device can do; const, shared by instances
 * @start: may make threads
 * @pause: on return no thread of the device touches guest memory or a backend
 * @resume: undoes @pause
 * @save: only while paused or before start
 * @restore: only while paused or before start; refuses what save would not write
 * @destroy: frees the device; accepts a half-built one
 *
 * All but @destroy may be NULL, which means that there is nothing to do.
 * Context: the main thread. Return: 0 or -errno.
 */
struct device_ops {
	int (*start)(struct device *dev);
	int (*pause)(struct device *dev);
	int (*resume)(struct device *dev);
	int (*save)(struct device *dev, struct state_out *out);
	int (*restore)(struct device *dev, struct state_in *in);
	void (*destroy)(struct device *dev);
};

/**
 * struct device - first member of every device's own struct
 * @name: for messages and saved state, unique in a VM, e.g. "serial0"
 * @next: the VM's list, in order of creation
 * @is_virtio: it is in a struct virtio_device
 * @fresh: what @save wrote before a guest could do anything
 */
struct device {
	const struct device_ops *ops;
	struct device *next;
	bool is_virtio;
	char name[24];
	struct state_out fresh;
};

#endif
