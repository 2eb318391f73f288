// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reset control register of Intel chipsets, port 0xcf9.
 *
 * Theory of operation
 *
 * Modelled by "RST_CNT - Reset Control Register" of the Intel ICH9 data sheet
 * (13.7.5): a change of bit 2 (RST_CPU) from 0 to 1 resets, as hard as bits 1
 * and 3 say. The VM knows one kind of reset, so those bits are only stored.
 *
 * A PCI host bridge claims ports 0xcf8..0xcff, and then forwards byte accesses
 * of 0xcf9 through reset_read() and reset_write().
 *
 * Threads: vCPUs. @lock guards @value and is dropped before the VM is ended.
 * A guest that writes other bits has them stored, nothing more.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kvm/hw.h"

#define RESET_PORT 0xcf9
#define RESET_STATE_VERSION 1
#define RESET_CPU BIT(2)
#define RESET_BITS 0x0e	/* SYS_RST, RST_CPU, FULL_RST */

struct reset {
	struct device dev;
	struct hw_env env;
	bool registered;
	pthread_mutex_t lock;
	u8 value;
};

void reset_write(void *dev, u8 value)
{
	struct reset *r = container_of((struct device *)dev, struct reset, dev);
	bool fire;

	pthread_mutex_lock(&r->lock);
	fire = (value & RESET_CPU) && !(r->value & RESET_CPU);
	r->value = value & RESET_BITS;
	pthread_mutex_unlock(&r->lock);
	if (fire)
		r->env.end(r->env.end_opaque, VM_END_RESET, 0);
}

u8 reset_read(void *dev)
{
	struct reset *r = container_of((struct device *)dev, struct reset, dev);
	u8 v;

	pthread_mutex_lock(&r->lock);
	v = r->value;
	pthread_mutex_unlock(&r->lock);
	return v;
}

static int reset_io_read(void *o, u64 off, void *d, unsigned int len)
{
	(void)off;
	io_write_le(d, len, reset_read(o));
	return 0;
}

static int reset_io_write(void *o, u64 off, const void *d, unsigned int len)
{
	(void)off;
	(void)len;
	reset_write(o, *(const u8 *)d);
	return 0;
}

static const struct io_ops reset_io_ops = {
	.read = reset_io_read,
	.write = reset_io_write,
};

static int reset_save(struct device *dev, struct state_out *out)
{
	state_put_u32(out, RESET_STATE_VERSION);
	state_put_u8(out, reset_read(dev));
	return out->err;
}

static int reset_restore(struct device *dev, struct state_in *in)
{
	struct reset *r = container_of(dev, struct reset, dev);
	u8 v;

	state_get_version(in, RESET_STATE_VERSION);
	v = state_get_u8(in);
	if (in->err)
		return in->err;
	pthread_mutex_lock(&r->lock);
	r->value = v & RESET_BITS;
	pthread_mutex_unlock(&r->lock);
	return 0;
}

static void reset_destroy(struct device *dev)
{
	struct reset *r = container_of(dev, struct reset, dev);

	if (r->registered)
		io_bus_unregister(r->env.pio, RESET_PORT);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static const struct device_ops reset_ops = {
	.save = reset_save,
	.restore = reset_restore,
	.destroy = reset_destroy,
};

int reset_create_forwarded(struct device **out, const struct hw_env *env)
{
	struct reset *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->dev.ops = &reset_ops;
	snprintf(r->dev.name, sizeof(r->dev.name), "reset");
	r->env = *env;
	pthread_mutex_init(&r->lock, NULL);
	*out = &r->dev;
	return 0;
}

int reset_create(struct device **out, const struct hw_env *env)
{
	struct device *dev;
	int err;

	err = reset_create_forwarded(&dev, env);
	if (err)
		return err;
	err = io_bus_register(env->pio, RESET_PORT, 1, &reset_io_ops, dev);
	if (err) {
		reset_destroy(dev);
		return err;
	}
	container_of(dev, struct reset, dev)->registered = true;
	*out = dev;
	return 0;
}
