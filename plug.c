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

#include "kvm/arch.h"
#include "kvm/eventfd.h"
#include "kvm/kvm.h"

/* Return: 0 while nothing but the caller runs, until still_end(); or -EINVAL */
static int still_begin(struct kvm *kvm, const char *name, struct report *r)
{
	pthread_mutex_lock(&kvm->lock);
	if (kvm->state == KVM_RUNNING && !kvm->halted) {
		kvm_cpus_pause(kvm);
		return 0;
	}
	if (kvm->state == KVM_PAUSED)
		return 0;
	pthread_mutex_unlock(&kvm->lock);
	return report_error(r, 0, "%s: the VM does not run", name);
}

static void still_end(struct kvm *kvm)
{
	if (kvm->state == KVM_RUNNING)
		kvm_cpus_resume(kvm);
	pthread_mutex_unlock(&kvm->lock);
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
	int err = arch_add_virtio(kvm, d, r);

	if (err)
		return err;
	err = kvm_keep_fresh(d);
	if (err)
		return report_error(r, -err, "%s", d->name);
	if (kvm->state == KVM_PAUSED && d->ops->pause)
		d->ops->pause(d);
	d->next = NULL;
	*kvm->devices_tail = d;
	kvm->devices_tail = &d->next;
	arch_plugged(kvm, d);
	return 0;
}

int kvm_plug(struct kvm *kvm, struct device *dev, struct report *r)
{
	int still = kvm_find_device(kvm, dev->name) ?
		    report_error(r, EEXIST, "%s", dev->name) :
		    still_begin(kvm, dev->name, r);
	int err = still ? still : plug(kvm, dev, r);

	/* While all stands still: it may be on the bus, where vCPUs look. */
	if (err)
		kvm_free_device(dev);
	if (!still)
		still_end(kvm);
	return err;
}

static void take_out(struct kvm *kvm, struct device *dev)
{
	struct device **link = &kvm->devices;

	while (*link != dev)
		link = &(*link)->next;
	*link = dev->next;
	if (kvm->devices_tail == &dev->next)
		kvm->devices_tail = link;
	kvm_free_device(dev);
}

static int unplug(struct kvm *kvm, struct device *dev, struct report *r)
{
	int err = still_begin(kvm, dev->name, r);

	if (err)
		return err;
	err = arch_unplug(kvm, dev);
	if (err)
		report_error(r, 0, "%s: cannot be detached", dev->name);
	else
		take_out(kvm, dev);
	still_end(kvm);
	return err;
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

	return dev ? unplug(kvm, dev, r) : -ENODEV;
}

bool kvm_reap(struct kvm *kvm, char *name)
{
	struct device *dev = kvm->devices;

	/* What comes after it is seen below, or signals again. */
	eventfd_clear(kvm->release_fd);
	while (dev && !arch_released(kvm, dev))
		dev = dev->next;
	if (!dev)
		return false;
	memcpy(name, dev->name, sizeof(dev->name));
	return !unplug(kvm, dev, NULL);
}
