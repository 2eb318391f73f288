// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pvpanic device: a port through which a guest says that it is no more.
 *
 * Theory of operation
 *
 * Modelled by the pvpanic interface description in the kernel's
 * include/uapi/misc/pvpanic.h and drivers/misc/pvpanic: a read gives the
 * events that the host understands, a write reports events. A panic ends the
 * VM, as soon as the kernel has said what there is to say: it prints that later
 * when it panics in an NMI. A panic that a crash kernel will handle does not: that kernel is about
 * to run. A shutdown report powers off.
 *
 * Threads: vCPUs. There is no state, thus no lock and nothing to save.
 * Not supported: the PCI variant. Unknown events are ignored.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kvm/hw.h"

#define PVPANIC_PORT 0x505
#define PVPANIC_EVENT_PANICKED BIT(0)
#define PVPANIC_EVENT_CRASH_LOADED BIT(1)
#define PVPANIC_EVENT_SHUTDOWN BIT(2)
#define PVPANIC_EVENTS (PVPANIC_EVENT_PANICKED | \
			PVPANIC_EVENT_CRASH_LOADED | PVPANIC_EVENT_SHUTDOWN)

struct pvpanic {
	struct device dev;
	struct hw_env env;
};

static int pvpanic_read(void *o, u64 off, void *d, unsigned int len)
{
	(void)o;
	(void)off;
	io_write_le(d, len, PVPANIC_EVENTS);
	return 0;
}

static int pvpanic_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct pvpanic *p = o;
	u8 v = *(const u8 *)d;

	(void)off;
	(void)len;
	if (v & PVPANIC_EVENT_PANICKED)
		p->env.end(p->env.end_opaque, VM_END_PANIC, 0);
	else if (v & PVPANIC_EVENT_SHUTDOWN)
		p->env.end(p->env.end_opaque, VM_END_POWEROFF, 0);
	return 0;
}

static const struct io_ops pvpanic_io_ops = {
	.read = pvpanic_read,
	.write = pvpanic_write,
};

static void pvpanic_destroy(struct device *dev)
{
	struct pvpanic *p = container_of(dev, struct pvpanic, dev);

	io_bus_unregister(p->env.pio, PVPANIC_PORT);
	free(p);
}

static const struct device_ops pvpanic_ops = {
	.destroy = pvpanic_destroy,
};

int pvpanic_create(struct device **out, const struct hw_env *env)
{
	struct pvpanic *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->dev.ops = &pvpanic_ops;
	snprintf(p->dev.name, sizeof(p->dev.name), "pvpanic");
	p->env = *env;
	err = io_bus_register(env->pio, PVPANIC_PORT, 1, &pvpanic_io_ops, p);
	if (err) {
		free(p);
		return err;
	}
	*out = &p->dev;
	return 0;
}
