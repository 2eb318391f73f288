// SPDX-License-Identifier: GPL-2.0-only
/*
 * A port through which test guests end the VM with a value.
 *
 * Theory of operation
 *
 * By convention of small test kernels, a write of any width to port 0xf4 ends
 * the VM and the value is handed to whoever started it. There is no standard.
 *
 * Threads: vCPUs. There is no state, thus no lock and nothing to save.
 * Reads give zero. A write that spans the end of the four ports is not for
 * this device and is ignored by the bus.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kvm/hw.h"

#define DEBUG_EXIT_PORT 0xf4
#define DEBUG_EXIT_SIZE 4

struct debug_exit {
	struct device dev;
	struct hw_env env;
};

static int debug_exit_read(void *o, u64 off, void *d, unsigned int len)
{
	(void)o;
	(void)off;
	memset(d, 0, len);
	return 0;
}

static int debug_exit_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct debug_exit *x = o;

	if (!off)
		x->env.end(x->env.end_opaque, VM_END_DEBUG_EXIT,
			   io_read_le(d, len));
	return 0;
}

static const struct io_ops debug_exit_io_ops = {
	.read = debug_exit_read,
	.write = debug_exit_write,
};

static void debug_exit_destroy(struct device *dev)
{
	struct debug_exit *x = container_of(dev, struct debug_exit, dev);

	io_bus_unregister(x->env.pio, DEBUG_EXIT_PORT);
	free(x);
}

static const struct device_ops debug_exit_ops = {
	.destroy = debug_exit_destroy,
};

int debug_exit_create(struct device **out, const struct hw_env *env)
{
	struct debug_exit *x = calloc(1, sizeof(*x));
	int err;

	if (!x)
		return -ENOMEM;
	x->dev.ops = &debug_exit_ops;
	snprintf(x->dev.name, sizeof(x->dev.name), "debug-exit");
	x->env = *env;
	err = io_bus_register(env->pio, DEBUG_EXIT_PORT, DEBUG_EXIT_SIZE,
			      &debug_exit_io_ops, x);
	if (err) {
		free(x);
		return err;
	}
	*out = &x->dev;
	return 0;
}
