// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers of ACPI hotplug: which PCI slots have changed.
 *
 * Theory of operation
 *
 * A device of this machine alone; the DSDT has the driver for it (x86/acpi.c).
 * Three registers of 32 bits have a bit for each slot of bus 0:
 *
 *   +0 CHANGED  read: slots to look at anew, and clears them; 0 is the bridge
 *   +4 ASKED    read: slots that the guest is to let go of, and clears them
 *   +8 EJECT    write: slots whose device the guest has let go of; reads as
 *		 those that it was asked for and has not let go of
 *
 * Whoever sets a bit raises an event (ACPI 6.4 s5.6.4), whose method reads both
 * and notifies the devices: Device Check, Eject Request (s5.6.6). The guest's
 * _EJ0 (s6.3.3) writes EJECT.
 *
 * A slot is given up only after the guest was asked to: what else it writes to
 * EJECT does nothing, so that a guest which switches a slot off by itself may
 * switch it on again. A request stays until it is met; asking again reminds. A
 * guest that starts over uses nothing, and has so let go of all it was asked for.
 * Accesses that are not of 4 bytes, aligned, read zero and write nothing.
 *
 * Threads: vCPUs, and the main thread. @lock guards the registers and is
 * dropped before anybody is called.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kvm/hw.h"

#define HOTPLUG_CHANGED 0
#define HOTPLUG_ASKED 4
#define HOTPLUG_EJECT 8
#define HOTPLUG_STATE_VERSION 1

/** struct hotplug - @wanted: asked for, and not let go of */
struct hotplug {
	struct device dev;
	struct hw_env env;
	struct hotplug_opts o;
	pthread_mutex_t lock;	/* guards all below */
	u32 changed;
	u32 asked;
	u32 wanted;
};

static u32 hotplug_take(u32 *reg)
{
	u32 v = *reg;

	*reg = 0;
	return v;
}

static int hotplug_read(void *o, u64 off, void *d, unsigned int len)
{
	struct hotplug *h = o;
	u32 v;

	memset(d, 0, len);
	if (len != 4 || off % 4)
		return 0;
	pthread_mutex_lock(&h->lock);
	if (off == HOTPLUG_CHANGED)
		v = hotplug_take(&h->changed);
	else if (off == HOTPLUG_ASKED)
		v = hotplug_take(&h->asked);
	else
		v = h->wanted;
	pthread_mutex_unlock(&h->lock);
	io_write_le(d, 4, v);
	return 0;
}

static int hotplug_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct hotplug *h = o;
	u32 slots;

	if (len != 4 || off != HOTPLUG_EJECT)
		return 0;
	pthread_mutex_lock(&h->lock);
	slots = (u32)io_read_le(d, 4) & h->wanted;
	h->wanted &= ~slots;
	h->asked &= ~slots;
	pthread_mutex_unlock(&h->lock);
	if (slots)
		h->o.eject(h->o.opaque, slots);
	return 0;
}

static const struct io_ops hotplug_io_ops = {
	.read = hotplug_read,
	.write = hotplug_write,
};

void hotplug_changed(struct device *dev, unsigned int slot)
{
	struct hotplug *h = container_of(dev, struct hotplug, dev);

	pthread_mutex_lock(&h->lock);
	h->changed |= BIT(slot & 31);
	pthread_mutex_unlock(&h->lock);
	h->o.raise(h->o.opaque);
}

void hotplug_ask(struct device *dev, unsigned int slot)
{
	struct hotplug *h = container_of(dev, struct hotplug, dev);

	pthread_mutex_lock(&h->lock);
	h->asked |= BIT(slot & 31);
	h->wanted |= BIT(slot & 31);
	pthread_mutex_unlock(&h->lock);
	h->o.raise(h->o.opaque);
}

void hotplug_forget(struct device *dev, unsigned int slot)
{
	struct hotplug *h = container_of(dev, struct hotplug, dev);

	pthread_mutex_lock(&h->lock);
	h->changed &= ~BIT(slot & 31);
	h->asked &= ~BIT(slot & 31);
	h->wanted &= ~BIT(slot & 31);
	pthread_mutex_unlock(&h->lock);
}

static int hotplug_save(struct device *dev, struct state_out *out)
{
	struct hotplug *h = container_of(dev, struct hotplug, dev);

	pthread_mutex_lock(&h->lock);
	state_put_u32(out, HOTPLUG_STATE_VERSION);
	state_put_u32(out, h->changed);
	state_put_u32(out, h->asked);
	state_put_u32(out, h->wanted);
	pthread_mutex_unlock(&h->lock);
	return out->err;
}

static int hotplug_restore(struct device *dev, struct state_in *in)
{
	struct hotplug *h = container_of(dev, struct hotplug, dev);
	u32 changed, asked, wanted, left;

	state_get_version(in, HOTPLUG_STATE_VERSION);
	changed = state_get_u32(in);
	asked = state_get_u32(in);
	wanted = state_get_u32(in);
	if (in->err)
		return in->err;
	if (asked & ~wanted)
		return -EPROTO;
	pthread_mutex_lock(&h->lock);
	left = in->fresh ? h->wanted : 0;
	h->changed = changed;
	h->asked = asked;
	h->wanted = wanted;
	pthread_mutex_unlock(&h->lock);
	if (left)
		h->o.eject(h->o.opaque, left);
	return 0;
}

static void hotplug_destroy(struct device *dev)
{
	struct hotplug *h = container_of(dev, struct hotplug, dev);

	io_bus_unregister(h->env.pio, h->o.port);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static const struct device_ops hotplug_ops = {
	.save = hotplug_save,
	.restore = hotplug_restore,
	.destroy = hotplug_destroy,
};

int hotplug_create(struct device **out, const struct hw_env *env,
		   const struct hotplug_opts *opts)
{
	struct hotplug *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	h->dev.ops = &hotplug_ops;
	snprintf(h->dev.name, sizeof(h->dev.name), "hotplug");
	h->env = *env;
	h->o = *opts;
	pthread_mutex_init(&h->lock, NULL);
	err = io_bus_register(env->pio, h->o.port, HOTPLUG_PORT_SIZE,
			      &hotplug_io_ops, h);
	if (err) {
		pthread_mutex_destroy(&h->lock);
		free(h);
		return err;
	}
	*out = &h->dev;
	return 0;
}
