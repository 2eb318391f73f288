// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices that come and go while the VM lives.
 *
 * Theory of operation: the list of devices, and what the buses know of them,
 * changes only while no vCPU runs. So a vCPU that looks for a device needs no
 * lock and no count, and one that is to be freed is in nobody's hands: vCPUs
 * are stopped for as long as that takes, a few milliseconds at most. A
 * device's own threads go with it. A VM that is paused stays so, and a device
 * that comes to it is paused as well.
 *
 * A device goes in two steps. The guest is asked; its answer, if it gives one,
 * comes from a vCPU and is kept by the architecture, with an event for the main
 * thread, which frees the device then. A guest may answer late or never: what
 * it was not told to let go of it cannot give away, and what it does not let go
 * of stays, until it is taken away regardless.
 *
 * Threads: the main thread, under kvm->lock.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "kvm/arch.h"
#include "kvm/kvm.h"

/* What is tried while @kvm stands still. */
typedef int (*plug_fn)(struct kvm *kvm, struct device *dev, struct report *r);

static int while_still(struct kvm *kvm, plug_fn fn, struct device *dev,
		       struct report *r)
{
	int err = -EINVAL;

	pthread_mutex_lock(&kvm->lock);
	if (kvm->state == KVM_RUNNING && !kvm->halted) {
		kvm_cpus_pause(kvm);
		err = fn(kvm, dev, r);
		kvm_cpus_resume(kvm);
	} else if (kvm->state == KVM_PAUSED) {
		err = fn(kvm, dev, r);
	} else {
		report_error(r, 0, "%s: the VM does not run", dev->name);
	}
	pthread_mutex_unlock(&kvm->lock);
	return err;
}

struct device *kvm_find_device(struct kvm *kvm, const char *name)
{
	struct device *d = kvm->devices;

	while (d && strcmp(d->name, name))
		d = d->next;
	return d;
}

static int plug(struct kvm *kvm, struct device *d, struct report *r)
{
	struct virtio_device *dev = container_of(d, struct virtio_device, dev);
	int err = arch_add_virtio(kvm, dev, r);

	if (!err)
		err = kvm_keep_fresh(d);
	if (err)
		return err;
	if (kvm->state == KVM_PAUSED && d->ops->pause)
		d->ops->pause(d);
	d->next = NULL;
	*kvm->devices_tail = d;
	kvm->devices_tail = &d->next;
	arch_plugged(kvm, d);
	return 0;
}

int kvm_plug(struct kvm *kvm, struct virtio_device *dev, struct report *r)
{
	int err;

	if (kvm_find_device(kvm, dev->dev.name))
		err = report_error(r, EEXIST, "%s", dev->dev.name);
	else
		err = while_still(kvm, plug, &dev->dev, r);
	if (err)
		kvm_free_device(&dev->dev);
	return err;
}

static int unplug(struct kvm *kvm, struct device *dev, struct report *r)
{
	struct device **link = &kvm->devices;
	int err = arch_unplug(kvm, dev);

	if (err)
		return report_error(r, 0, "%s: cannot be detached", dev->name);
	while (*link != dev)
		link = &(*link)->next;
	*link = dev->next;
	if (kvm->devices_tail == &dev->next)
		kvm->devices_tail = link;
	kvm_free_device(dev);
	return 0;
}

static struct device *find(struct kvm *kvm, const char *name, struct report *r)
{
	struct device *dev = kvm_find_device(kvm, name);

	if (!dev)
		report_error(r, 0, "%s: there is no such device", name);
	return dev;
}

int kvm_unplug_ask(struct kvm *kvm, const char *name, struct report *r)
{
	struct device *dev = find(kvm, name, r);

	if (!dev)
		return -ENODEV;
	if (arch_unplug_ask(kvm, dev))
		return report_error(r, 0, "%s: cannot be detached", name);
	return 0;
}

int kvm_unplug(struct kvm *kvm, const char *name, struct report *r)
{
	struct device *dev = find(kvm, name, r);

	return dev ? while_still(kvm, unplug, dev, r) : -ENODEV;
}

bool kvm_reap(struct kvm *kvm, char *name)
{
	struct device *dev = kvm->devices;
	u64 count;

	/* Non-blocking: what comes after it is seen below, or signals again. */
	if (read(kvm->release_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return false;
	while (dev && !arch_released(kvm, dev))
		dev = dev->next;
	if (!dev)
		return false;
	memcpy(name, dev->name, sizeof(dev->name));
	return !while_still(kvm, unplug, dev, NULL);
}
