// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test device that KVM's own unit tests (kvm-unit-tests) expect.
 *
 * Theory of operation
 *
 * The interface is that of QEMU's pc-testdev, with as much of fw_cfg
 * (docs/specs/fw_cfg.rst there) as these tests read:
 *
 *	0xe0	4 bytes of memory, accessed as ports of 1, 2 or 4 bytes
 *	0xe4	a 32-bit write of an address: KVM has to map that page anew
 *	0xe8	the same memory as at 0xe0
 *	0x510	fw_cfg: a 16-bit write selects an item, reads of 0x511 give its
 *		bytes one after the other, and zeroes behind it
 *	0x2000	one port for each of 24 interrupt lines: 0 lowers it
 *	0xff000000 64 KiB of memory that is emulated, in accesses of 1 to 8 bytes
 *
 * A page is mapped anew by making it executable here and undoing that, at
 * which KVM drops its mapping: at no moment is it unreadable or read-only, since
 * other threads may be using it.
 *
 * Threads: vCPUs. @lock guards all below it. A guest can do nothing but change
 * this memory and raise interrupts for itself.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "kvm/hw.h"

#define TESTDEV_STATE_VERSION 1
#define TESTDEV_PAGE 4096UL
#define TESTDEV_LATCH 0xe0
#define TESTDEV_FLUSH 0xe4
#define TESTDEV_LATCH2 0xe8
#define TESTDEV_FW_CFG 0x510
#define TESTDEV_LINES 0x2000
#define TESTDEV_MEM_GPA 0xff000000ULL
#define TESTDEV_MEM_SIZE 0x10000U

enum fw_cfg_item {
	FW_CFG_SIGNATURE = 0,
	FW_CFG_ID = 1,
	FW_CFG_RAM_SIZE = 3,
	FW_CFG_NB_CPUS = 5,
	FW_CFG_MAX_CPUS = 15,
};

struct testdev {
	struct device dev;
	struct io_bus *pio;
	struct testdev_opts opts;
	struct irq_line line[IRQ_MAX_LINES];
	pthread_mutex_t lock;	/* guards all below */
	u32 levels;
	u16 item;
	u32 item_pos;
	u8 latch[4];
	u8 mem[TESTDEV_MEM_SIZE];
};

static int copy_out(struct testdev *t, const u8 *from, void *d, unsigned int len)
{
	pthread_mutex_lock(&t->lock);
	memcpy(d, from, len);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

static int copy_in(struct testdev *t, u8 *to, const void *d, unsigned int len)
{
	pthread_mutex_lock(&t->lock);
	memcpy(to, d, len);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

static int latch_read(void *o, u64 off, void *d, unsigned int len)
{
	struct testdev *t = o;

	return copy_out(t, t->latch + off, d, len);
}

static int latch_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct testdev *t = o;

	return copy_in(t, t->latch + off, d, len);
}

static int mem_read(void *o, u64 off, void *d, unsigned int len)
{
	struct testdev *t = o;

	return copy_out(t, t->mem + off, d, len);
}

static int mem_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct testdev *t = o;

	return copy_in(t, t->mem + off, d, len);
}

static int flush_write(void *o, u64 off, const void *d, unsigned int len)
{
	u64 gpa = io_read_le(d, len) & ~(TESTDEV_PAGE - 1);
	struct testdev *t = o;
	void *page = gmem_ptr(t->opts.gmem, gpa, TESTDEV_PAGE);

	if (off || len != 4 || !page)
		return 0;
	if (!mprotect(page, TESTDEV_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC))
		mprotect(page, TESTDEV_PAGE, PROT_READ | PROT_WRITE);
	return 0;
}

/* The item's value, little endian. Return: how many bytes it has */
static unsigned int fw_cfg_value(const struct testdev *t, u64 *v)
{
	switch (t->item) {
	case FW_CFG_SIGNATURE:
		memcpy(v, "QEMU", 4);
		return 4;
	case FW_CFG_ID:
		io_write_le(v, 4, 1);
		return 4;
	case FW_CFG_RAM_SIZE:
		io_write_le(v, 8, t->opts.ram);
		return 8;
	case FW_CFG_NB_CPUS:
	case FW_CFG_MAX_CPUS:
		io_write_le(v, 2, t->opts.nr_cpus);
		return 2;
	default:
		return 0;
	}
}

static int fw_cfg_read(void *o, u64 off, void *d, unsigned int len)
{
	struct testdev *t = o;
	u64 v = 0;

	memset(d, 0, len);
	if (!off)
		return 0;
	pthread_mutex_lock(&t->lock);
	if (t->item_pos < fw_cfg_value(t, &v))
		*(u8 *)d = ((const u8 *)&v)[t->item_pos++];
	pthread_mutex_unlock(&t->lock);
	return 0;
}

static int fw_cfg_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct testdev *t = o;

	if (off || len != 2)
		return 0;
	pthread_mutex_lock(&t->lock);
	t->item = (u16)io_read_le(d, len);
	t->item_pos = 0;
	pthread_mutex_unlock(&t->lock);
	return 0;
}

static int lines_read(void *o, u64 off, void *d, unsigned int len)
{
	(void)o;
	(void)off;
	memset(d, 0, len);
	return 0;
}

static int lines_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct testdev *t = o;
	bool level = io_read_le(d, len);

	if (len != 1)
		return 0;
	pthread_mutex_lock(&t->lock);
	t->levels = (t->levels & ~BIT(off)) | (u32)level << off;
	irq_line_set(&t->line[off], level);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

static int flush_read(void *o, u64 off, void *d, unsigned int len)
{
	return lines_read(o, off, d, len);
}

static const struct io_ops latch_ops = { latch_read, latch_write };
static const struct io_ops flush_ops = { flush_read, flush_write };
static const struct io_ops fw_cfg_ops = { fw_cfg_read, fw_cfg_write };
static const struct io_ops lines_ops = { lines_read, lines_write };
static const struct io_ops mem_ops = { mem_read, mem_write };

static const struct {
	u16 port;
	u16 size;
	const struct io_ops *ops;
} ports[] = {
	{ TESTDEV_LATCH, 4, &latch_ops },
	{ TESTDEV_FLUSH, 4, &flush_ops },
	{ TESTDEV_LATCH2, 4, &latch_ops },
	{ TESTDEV_FW_CFG, 2, &fw_cfg_ops },
	{ TESTDEV_LINES, IRQ_MAX_LINES, &lines_ops },
};

static int testdev_save(struct device *dev, struct state_out *out)
{
	struct testdev *t = container_of(dev, struct testdev, dev);

	pthread_mutex_lock(&t->lock);
	state_put_u32(out, TESTDEV_STATE_VERSION);
	state_put_u32(out, t->levels);
	state_put_u16(out, t->item);
	state_put_u32(out, t->item_pos);
	state_put(out, t->latch, sizeof(t->latch));
	state_put(out, t->mem, sizeof(t->mem));
	pthread_mutex_unlock(&t->lock);
	return out->err;
}

static int testdev_restore(struct device *dev, struct state_in *in)
{
	struct testdev *t = container_of(dev, struct testdev, dev);
	u32 levels, pos;
	int err;

	pthread_mutex_lock(&t->lock);
	state_get_version(in, TESTDEV_STATE_VERSION);
	levels = state_get_u32(in);
	t->item = state_get_u16(in);
	pos = state_get_u32(in);
	state_get(in, t->latch, sizeof(t->latch));
	state_get(in, t->mem, sizeof(t->mem));
	if (levels >> IRQ_MAX_LINES || pos > sizeof(u64))
		in->err = -EPROTO;
	err = in->err;
	if (!err) {
		t->item_pos = pos;
		t->levels = levels;
		for (unsigned int i = 0; i < IRQ_MAX_LINES; i++)
			irq_line_set(&t->line[i], levels & BIT(i));
	}
	pthread_mutex_unlock(&t->lock);
	return err;
}

static void testdev_destroy(struct device *dev)
{
	struct testdev *t = container_of(dev, struct testdev, dev);

	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++)
		io_bus_unregister(t->pio, ports[i].port);
	io_bus_unregister(t->opts.mmio, TESTDEV_MEM_GPA);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static const struct device_ops testdev_ops = {
	.save = testdev_save,
	.restore = testdev_restore,
	.destroy = testdev_destroy,
};

static int testdev_register(struct testdev *t, const struct hw_env *env)
{
	int err = 0;

	for (unsigned int i = 0; i < IRQ_MAX_LINES && !err; i++)
		err = irq_line_init(&t->line[i], env->irq, i);
	for (unsigned int i = 0; i < ARRAY_SIZE(ports) && !err; i++)
		err = io_bus_register(t->pio, ports[i].port, ports[i].size,
				      ports[i].ops, t);
	if (!err)
		err = io_bus_register(t->opts.mmio, TESTDEV_MEM_GPA,
				      TESTDEV_MEM_SIZE, &mem_ops, t);
	return err;
}

int testdev_create(struct device **out, const struct hw_env *env,
		   const struct testdev_opts *opts)
{
	struct testdev *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->dev.ops = &testdev_ops;
	snprintf(t->dev.name, sizeof(t->dev.name), "testdev");
	t->pio = env->pio;
	t->opts = *opts;
	pthread_mutex_init(&t->lock, NULL);
	err = testdev_register(t, env);
	if (err) {
		testdev_destroy(&t->dev);
		return err;
	}
	*out = &t->dev;
	return 0;
}
