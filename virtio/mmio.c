// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The transport virtio over MMIO, virtio 1.2 s4.2, version 2: a page of 32-bit
 * registers, the device's configuration behind them at 0x100, and one
 * level-triggered interrupt line.
 *
 * Registers are entered by vCPU threads with no lock held and keep their state
 * in struct virtio_device, under dev->lock. Interrupts are raised by any
 * thread, also by one that a holder of dev->lock waits for; hence the status
 * of the interrupt has a lock of its own, which keeps it and the wire in step.
 * Order: dev->lock > irq_lock > the lock of the interrupt chip.
 *
 * A class that has a thread gets an ioeventfd for each queue, and a kick then
 * never leaves the kernel. For the others nobody would wait on it: the write to
 * QueueNotify arrives here and is answered on the vCPU.
 *
 * Not supported: version 1 (legacy), shared memory regions, QueueReset, reset
 * of the line other than by InterruptACK or a device reset.
 *
 * A guest may access any width at any offset: below 0x100 only aligned 32-bit
 * accesses count, others read all ones or are dropped. A queue number out of
 * range selects nothing. Writes to a queue that is ready are dropped.
 */
#include <errno.h>
#include <stdlib.h>
#include <linux/virtio_mmio.h>
#include "kvm/virtio.h"

#define MMIO_MAGIC 0x74726976
#define MMIO_VERSION 2
#define MMIO_VENDOR 0x4d564b4c
#define MMIO_STATE_VERSION 1

/**
 * struct virtio_mmio - the transport's part of a device
 * @nr_ioeventfds: queues whose ioeventfd is registered
 * @irq_lock: guards @isr and the level of @line
 */
struct virtio_mmio {
	struct virtio_env env;
	u64 gpa;
	unsigned int nr_ioeventfds;
	bool on_bus;
	pthread_mutex_t irq_lock;
	struct irq_line line;
	u32 isr;
};

static struct virtio_device *to_virtio(struct device *d)
{
	return container_of(d, struct virtio_device, dev);
}

static void isr_update(struct virtio_mmio *m, u32 clear, u32 set)
{
	pthread_mutex_lock(&m->irq_lock);
	m->isr = (m->isr & ~clear) | set;
	irq_line_set(&m->line, m->isr);
	pthread_mutex_unlock(&m->irq_lock);
}

static u32 isr_load(struct virtio_mmio *m)
{
	u32 v;

	pthread_mutex_lock(&m->irq_lock);
	v = m->isr;
	pthread_mutex_unlock(&m->irq_lock);
	return v;
}

static void mmio_signal_queue(struct virtio_device *dev, struct virtqueue *vq)
{
	(void)vq;
	isr_update(dev->transport_priv, 0, VIRTIO_MMIO_INT_VRING);
}

static void mmio_signal_config(struct virtio_device *dev)
{
	isr_update(dev->transport_priv, 0, VIRTIO_MMIO_INT_CONFIG);
}

static const struct virtio_transport_ops mmio_transport = {
	.signal_queue = mmio_signal_queue,
	.signal_config = mmio_signal_config,
};

static u32 reg_read_queue(struct virtio_device *dev, u64 off)
{
	const struct virtqueue *vq = virtio_selected_queue(dev);

	if (!vq)
		return 0;
	return off == VIRTIO_MMIO_QUEUE_READY ? vq->ready : vq->size_max;
}

static u32 reg_read(struct virtio_device *dev, u64 off)
{
	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MMIO_MAGIC;
	case VIRTIO_MMIO_VERSION:
		return MMIO_VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return dev->class->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return MMIO_VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return virtio_get_features(dev);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
	case VIRTIO_MMIO_QUEUE_READY:
		return reg_read_queue(dev, off);
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return isr_load(dev->transport_priv);
	case VIRTIO_MMIO_STATUS:
		return virtio_get_status(dev);
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		/* virtio 1.2 s4.2.2: no such region */
		return 0xffffffff;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return __atomic_load_n(&dev->config_generation,
				       __ATOMIC_ACQUIRE);
	default:
		return 0;
	}
}

static int mmio_read(void *o, u64 off, void *d, unsigned int len)
{
	struct virtio_device *dev = o;

	if (off >= VIRTIO_MMIO_CONFIG) {
		virtio_config_read(dev, off - VIRTIO_MMIO_CONFIG, d, len);
		return 0;
	}
	if (len != 4 || off % 4)
		return -EINVAL;
	io_write_le(d, 4, reg_read(dev, off));
	return 0;
}

static void set_low(u64 *gpa, u32 v)
{
	*gpa = (*gpa & ~0xffffffffULL) | v;
}

static void set_high(u64 *gpa, u32 v)
{
	*gpa = (*gpa & 0xffffffffULL) | (u64)v << 32;
}

static void queue_set(struct virtqueue *vq, u64 off, u32 v)
{
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NUM:
		vq->size = v <= vq->size_max ? v : 0;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
		set_low(&vq->desc_gpa, v);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_high(&vq->desc_gpa, v);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
		set_low(&vq->avail_gpa, v);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_high(&vq->avail_gpa, v);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
		set_low(&vq->used_gpa, v);
		break;
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_high(&vq->used_gpa, v);
		break;
	}
}

static void reg_write_queue(struct virtio_device *dev, u64 off, u32 v)
{
	struct virtqueue *vq = virtio_selected_queue(dev);

	if (!vq)
		return;
	if (off == VIRTIO_MMIO_QUEUE_READY) {
		virtio_queue_enable(dev, vq, v & 1);
		return;
	}
	pthread_mutex_lock(&dev->lock);
	if (virtio_queue_writable(dev, vq))
		queue_set(vq, off, v);
	pthread_mutex_unlock(&dev->lock);
}

static void reg_select(struct virtio_device *dev, u32 *reg, u32 v)
{
	pthread_mutex_lock(&dev->lock);
	*reg = v;
	pthread_mutex_unlock(&dev->lock);
}

static void reg_write(struct virtio_device *dev, u64 off, u32 v)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		reg_select(dev, &dev->feature_select, v);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_set_features(dev, v);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		reg_select(dev, &dev->driver_feature_select, v);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		reg_select(dev, &dev->queue_select, v);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		virtio_notify(dev, v);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		isr_update(dev->transport_priv, v, 0);
		break;
	case VIRTIO_MMIO_STATUS:
		virtio_set_status(dev, v);
		if (!v)
			isr_update(dev->transport_priv, ~0U, 0);
		break;
	default:
		reg_write_queue(dev, off, v);
	}
}

static int mmio_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct virtio_device *dev = o;

	if (off >= VIRTIO_MMIO_CONFIG)
		virtio_config_write(dev, off - VIRTIO_MMIO_CONFIG, d, len);
	else if (len == 4 && !(off % 4))
		reg_write(dev, off, io_read_le(d, 4));
	return 0;
}

static const struct io_ops mmio_io_ops = {
	.read = mmio_read,
	.write = mmio_write,
};

/* A restored device begins here; for a fresh one there is nothing to do. */
static int mmio_start(struct device *d)
{
	return virtio_device_resume(to_virtio(d));
}

static int mmio_pause(struct device *d)
{
	return virtio_device_pause(to_virtio(d));
}

static int mmio_resume(struct device *d)
{
	return virtio_device_resume(to_virtio(d));
}

static int mmio_save(struct device *d, struct state_out *out)
{
	struct virtio_device *dev = to_virtio(d);

	state_put_u32(out, MMIO_STATE_VERSION);
	state_put_u32(out, isr_load(dev->transport_priv));
	virtio_device_save(dev, out);
	return out->err;
}

static int mmio_restore(struct device *d, struct state_in *in)
{
	struct virtio_device *dev = to_virtio(d);
	u32 isr;
	int err;

	state_get_version(in, MMIO_STATE_VERSION);
	isr = state_get_u32(in);
	if (in->err || isr & ~(u32)(VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG))
		return -EPROTO;
	err = virtio_device_restore(dev, in);
	if (!err)
		isr_update(dev->transport_priv, ~0U, isr);
	return err;
}

static int set_ioeventfd(struct virtio_device *dev, struct virtio_mmio *m,
			 unsigned int queue, bool on)
{
	return m->env.ioeventfd(m->env.ioeventfd_opaque,
				dev->queue[queue].kick_fd,
				m->gpa + VIRTIO_MMIO_QUEUE_NOTIFY, 4, queue,
				false, on);
}

/* The device may signal until it is gone: the transport goes last. */
static void mmio_destroy(struct device *d)
{
	struct virtio_device *dev = to_virtio(d);
	struct virtio_mmio *m = dev->transport_priv;

	if (m->on_bus)
		io_bus_unregister(m->env.mmio, m->gpa);
	while (m->nr_ioeventfds)
		set_ioeventfd(dev, m, --m->nr_ioeventfds, false);
	virtio_device_free(dev);
	irq_line_free(&m->line);
	pthread_mutex_destroy(&m->irq_lock);
	free(m);
}

static const struct device_ops mmio_ops = {
	.start = mmio_start,
	.pause = mmio_pause,
	.resume = mmio_resume,
	.save = mmio_save,
	.restore = mmio_restore,
	.destroy = mmio_destroy,
};

static int add_ioeventfds(struct virtio_device *dev, struct virtio_mmio *m)
{
	int err;

	if (!dev->class->has_thread || !m->env.ioeventfd)
		return 0;
	while (m->nr_ioeventfds < dev->nr_queues) {
		err = set_ioeventfd(dev, m, m->nr_ioeventfds, true);
		if (err)
			return err;
		m->nr_ioeventfds++;
	}
	return 0;
}

int virtio_mmio_attach(struct virtio_device *dev, const struct virtio_env *env,
		       u64 gpa, unsigned int gsi)
{
	struct virtio_mmio *m;
	int err;

	if (dev->class->config_len > VIRTIO_MMIO_SIZE - VIRTIO_MMIO_CONFIG)
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->env = *env;
	m->gpa = gpa;
	pthread_mutex_init(&m->irq_lock, NULL);
	dev->transport_priv = m;
	dev->transport = &mmio_transport;
	dev->dev.ops = &mmio_ops;

	err = irq_line_init(&m->line, env->irq, gsi);
	if (err)
		return err;
	err = io_bus_register(env->mmio, gpa, VIRTIO_MMIO_SIZE, &mmio_io_ops,
			      dev);
	if (err)
		return err;
	m->on_bus = true;
	return add_ioeventfds(dev, m);
}
