// SPDX-License-Identifier: GPL-2.0-only
/*
 * An 8042 keyboard controller with nothing plugged in.
 *
 * Theory of operation
 *
 * Modelled by "Keyboard Controller" of the IBM PC/AT technical reference:
 * commands to port 0x64, data through port 0x60. Each command is done at once,
 * so the input buffer is never full. The output buffer has one byte; a newer
 * answer replaces one that was not read. There is no keyboard: what is sent to
 * it is answered with 0xfe (resend), which a driver gives up on without
 * waiting. There is no auxiliary port: its test reports a fault, and what goes
 * round the auxiliary loop comes back without the auxiliary mark.
 *
 * Pulsing bit 0 of the output port, or clearing it, resets the VM. A20 is
 * always enabled.
 *
 * Threads: vCPUs. @lock guards the registers and is dropped before the VM is
 * ended. Unknown commands are ignored, as on the real part.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kvm/hw.h"

#define I8042_DATA_PORT 0x60
#define I8042_CMD_PORT 0x64
#define I8042_KBD_GSI 1
#define I8042_STATE_VERSION 1
#define I8042_RAM 32

#define STATUS_OBF BIT(0)
#define STATUS_SYS BIT(2)
#define STATUS_CMD BIT(3)
#define STATUS_UNLOCKED BIT(4)

#define CTR_KBD_INT BIT(0)
#define CTR_SYS BIT(2)
#define CTR_KBD_DISABLE BIT(4)
#define CTR_AUX_DISABLE BIT(5)
#define CTR_XLATE BIT(6)

#define OUTPORT_NOT_RESET BIT(0)
#define OUTPORT_A20 BIT(1)

enum i8042_command {
	CMD_READ_RAM = 0x20,
	CMD_WRITE_RAM = 0x60,
	CMD_AUX_DISABLE = 0xa7,
	CMD_AUX_ENABLE = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KBD_TEST = 0xab,
	CMD_KBD_DISABLE = 0xad,
	CMD_KBD_ENABLE = 0xae,
	CMD_READ_INPORT = 0xc0,
	CMD_READ_OUTPORT = 0xd0,
	CMD_WRITE_OUTPORT = 0xd1,
	CMD_KBD_LOOP = 0xd2,
	CMD_AUX_LOOP = 0xd3,
	CMD_WRITE_AUX = 0xd4,
	CMD_PULSE = 0xf0,
};

struct i8042 {
	struct device dev;
	struct hw_env env;
	struct irq_line line;
	pthread_mutex_t lock;	/* guards all below */
	bool level;
	bool full;	/* output buffer */
	bool from_kbd;	/* what is in it came through the keyboard port */
	bool last_cmd;	/* the last write was a command */
	u8 out;
	u8 pending;	/* command that waits for its data byte, or 0 */
	u8 ram[I8042_RAM];	/* byte 0 is the command byte */
};

static void i8042_update_irq(struct i8042 *k)
{
	bool level = k->full && k->from_kbd && (k->ram[0] & CTR_KBD_INT);

	if (level == k->level)
		return;
	k->level = level;
	irq_line_set(&k->line, level);
}

static void i8042_answer(struct i8042 *k, u8 v, bool from_kbd)
{
	/* Lower first: a second byte is a second edge. */
	k->full = false;
	i8042_update_irq(k);
	k->out = v;
	k->full = true;
	k->from_kbd = from_kbd;
}

/* Return: whether the VM is to be reset. */
static bool i8042_command(struct i8042 *k, u8 cmd)
{
	k->pending = 0;
	if ((cmd & 0xe0) == CMD_READ_RAM) {
		i8042_answer(k, k->ram[cmd & 0x1f], false);
		return false;
	}
	if ((cmd & 0xe0) == CMD_WRITE_RAM) {
		k->pending = cmd;
		return false;
	}
	if ((cmd & 0xf0) == CMD_PULSE)
		return !(cmd & OUTPORT_NOT_RESET);

	switch (cmd) {
	case CMD_AUX_DISABLE:
		k->ram[0] |= CTR_AUX_DISABLE;
		break;
	case CMD_AUX_ENABLE:
		k->ram[0] &= ~CTR_AUX_DISABLE;
		break;
	case CMD_AUX_TEST:
		i8042_answer(k, 0x01, false);	/* clock line stuck low */
		break;
	case CMD_SELF_TEST:
		k->ram[0] |= CTR_SYS;
		i8042_answer(k, 0x55, false);
		break;
	case CMD_KBD_TEST:
		i8042_answer(k, 0x00, false);
		break;
	case CMD_KBD_DISABLE:
		k->ram[0] |= CTR_KBD_DISABLE;
		break;
	case CMD_KBD_ENABLE:
		k->ram[0] &= ~CTR_KBD_DISABLE;
		break;
	case CMD_READ_INPORT:
		i8042_answer(k, 0x80, false);	/* keyboard not locked */
		break;
	case CMD_READ_OUTPORT:
		i8042_answer(k, OUTPORT_NOT_RESET | OUTPORT_A20, false);
		break;
	case CMD_WRITE_OUTPORT:
	case CMD_KBD_LOOP:
	case CMD_AUX_LOOP:
	case CMD_WRITE_AUX:
		k->pending = cmd;
		break;
	default:
		break;
	}
	return false;
}

/* Return: whether the VM is to be reset. */
static bool i8042_data(struct i8042 *k, u8 v)
{
	u8 cmd = k->pending;

	k->pending = 0;
	if ((cmd & 0xe0) == CMD_WRITE_RAM) {
		k->ram[cmd & 0x1f] = v;
		return false;
	}
	switch (cmd) {
	case CMD_WRITE_OUTPORT:
		return !(v & OUTPORT_NOT_RESET);
	case CMD_KBD_LOOP:
		i8042_answer(k, v, true);
		break;
	case CMD_AUX_LOOP:
		i8042_answer(k, v, false);
		break;
	case CMD_WRITE_AUX:
		break;
	default:
		/* To the keyboard, which also enables its port. */
		k->ram[0] &= ~CTR_KBD_DISABLE;
		i8042_answer(k, 0xfe, true);
		break;
	}
	return false;
}

static int i8042_write(struct i8042 *k, u8 v, bool is_cmd)
{
	bool reset;

	pthread_mutex_lock(&k->lock);
	k->last_cmd = is_cmd;
	reset = is_cmd ? i8042_command(k, v) : i8042_data(k, v);
	i8042_update_irq(k);
	pthread_mutex_unlock(&k->lock);
	if (reset)
		k->env.end(k->env.end_opaque, VM_END_RESET, 0);
	return 0;
}

static int i8042_cmd_write(void *o, u64 off, const void *d, unsigned int len)
{
	(void)off;
	(void)len;
	return i8042_write(o, *(const u8 *)d, true);
}

static int i8042_data_write(void *o, u64 off, const void *d, unsigned int len)
{
	(void)off;
	(void)len;
	return i8042_write(o, *(const u8 *)d, false);
}

static int i8042_status_read(void *o, u64 off, void *d, unsigned int len)
{
	struct i8042 *k = o;
	u8 v;

	(void)off;
	pthread_mutex_lock(&k->lock);
	v = STATUS_UNLOCKED | (k->full ? STATUS_OBF : 0) |
	    (k->last_cmd ? STATUS_CMD : 0) |
	    (k->ram[0] & CTR_SYS ? STATUS_SYS : 0);
	pthread_mutex_unlock(&k->lock);
	io_write_le(d, len, v);
	return 0;
}

static int i8042_data_read(void *o, u64 off, void *d, unsigned int len)
{
	struct i8042 *k = o;

	(void)off;
	pthread_mutex_lock(&k->lock);
	io_write_le(d, len, k->out);
	k->full = false;
	i8042_update_irq(k);
	pthread_mutex_unlock(&k->lock);
	return 0;
}

static const struct io_ops i8042_cmd_ops = {
	.read = i8042_status_read,
	.write = i8042_cmd_write,
};

static const struct io_ops i8042_data_ops = {
	.read = i8042_data_read,
	.write = i8042_data_write,
};

static int i8042_save(struct device *dev, struct state_out *out)
{
	struct i8042 *k = container_of(dev, struct i8042, dev);

	pthread_mutex_lock(&k->lock);
	state_put_u32(out, I8042_STATE_VERSION);
	state_put_u8(out, k->full);
	state_put_u8(out, k->from_kbd);
	state_put_u8(out, k->last_cmd);
	state_put_u8(out, k->out);
	state_put_u8(out, k->pending);
	state_put(out, k->ram, sizeof(k->ram));
	pthread_mutex_unlock(&k->lock);
	return out->err;
}

static int i8042_restore(struct device *dev, struct state_in *in)
{
	struct i8042 *k = container_of(dev, struct i8042, dev);
	u8 full, from_kbd, last_cmd, data, pending, ram[I8042_RAM];

	state_get_version(in, I8042_STATE_VERSION);
	full = state_get_u8(in);
	from_kbd = state_get_u8(in);
	last_cmd = state_get_u8(in);
	data = state_get_u8(in);
	pending = state_get_u8(in);
	state_get(in, ram, sizeof(ram));
	if (in->err)
		return in->err;
	pthread_mutex_lock(&k->lock);
	k->full = full;
	k->from_kbd = from_kbd;
	k->last_cmd = last_cmd;
	k->out = data;
	k->pending = pending;
	memcpy(k->ram, ram, sizeof(ram));
	i8042_update_irq(k);
	pthread_mutex_unlock(&k->lock);
	return 0;
}

static void i8042_destroy(struct device *dev)
{
	struct i8042 *k = container_of(dev, struct i8042, dev);

	io_bus_unregister(k->env.pio, I8042_CMD_PORT);
	io_bus_unregister(k->env.pio, I8042_DATA_PORT);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static const struct device_ops i8042_ops = {
	.save = i8042_save,
	.restore = i8042_restore,
	.destroy = i8042_destroy,
};

int i8042_create(struct device **out, const struct hw_env *env)
{
	struct i8042 *k = calloc(1, sizeof(*k));
	int err = 0;

	if (!k)
		return -ENOMEM;
	k->dev.ops = &i8042_ops;
	snprintf(k->dev.name, sizeof(k->dev.name), "i8042");
	k->env = *env;
	k->ram[0] = CTR_KBD_INT | CTR_SYS | CTR_AUX_DISABLE | CTR_XLATE;
	if (env->irq)
		err = irq_line_init(&k->line, env->irq, I8042_KBD_GSI);
	if (err)
		goto err_free;
	err = io_bus_register(env->pio, I8042_DATA_PORT, 1, &i8042_data_ops, k);
	if (err)
		goto err_free;
	err = io_bus_register(env->pio, I8042_CMD_PORT, 1, &i8042_cmd_ops, k);
	if (err)
		goto err_unregister;
	pthread_mutex_init(&k->lock, NULL);
	*out = &k->dev;
	return 0;

err_unregister:
	io_bus_unregister(env->pio, I8042_DATA_PORT);
err_free:
	free(k);
	return err;
}
