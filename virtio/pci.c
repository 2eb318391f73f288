// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI transport of virtio devices.
 *
 * Theory of operation
 *
 * Modelled is virtio 1.2 s4.1, modern devices only: a 32 KiB memory BAR with a
 * page for each structure but notifications, which have a port, vendor
 * capabilities that point there, a window to the BARs in configuration space
 * (s4.1.4.9), and MSI-X with a vector for each queue and one for the
 * configuration. A port: KVM finds what was written to it without reading the
 * guest's code and page tables, as it has to on most processors for memory.
 *
 * vCPU threads enter through BAR and configuration space; main and device
 * threads through the signal functions; the main thread through device_ops.
 * Lock order: reg_lock > dev->lock > the function's lock. reg_lock makes each
 * access to the common configuration one step, so that no vCPU changes a queue
 * between another's check that it is still writable and its own change. The
 * signal functions run under dev->lock or none and take only the function's.
 * The ISR byte is atomic. Reading it lowers the line before it takes the bits,
 * so that a signal in between is never lost, at most said twice.
 *
 * Where the class has a thread, a notification is an ioeventfd, that follows
 * the BAR (ports_moved, serialised by the bus); the register remains for widths
 * that the ioeventfd does not match, and for when KVM has none to give.
 *
 * A guest that names a queue, vector or offset that does not exist reads zero
 * or 0xffff and writes nothing; so do accesses that straddle fields. Not
 * supported: the legacy interface, NOTIFICATION_DATA, queue_reset, shared
 * memory regions.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "kvm/virtio.h"

#define PCI_VENDOR_VIRTIO	0x1af4
#define PCI_DEVICE_VIRTIO	0x1040
#define PCI_SUBSYSTEM_LKVM	0x1100

#define BAR_SIZE		0x8000
#define BAR_PAGE		0x1000
#define BAR_COMMON		0x0000
#define BAR_ISR			0x1000
#define BAR_DEVICE		0x2000
#define BAR_MSIX_TABLE		0x4000
#define BAR_MSIX_PBA		0x5000

/* All queues have the one register: what is written to it tells which. */
#define NOTIFY_WIDTH		2
#define PORTS_SIZE		4
#define COMMON_SIZE		sizeof(struct virtio_pci_common_cfg)
#define STATE_VERSION		1

static_assert(VIRTIO_MAX_QUEUES + 1 <= PCI_MAX_MSIX,
	      "there is a vector for each queue");
static_assert(VIRTIO_MAX_QUEUES <= 64, "a bit for each ioeventfd");

/**
 * struct virtio_pci - the transport's side of a device
 * @dev: NULL once the device is gone
 * @reg_lock: makes accesses to the common configuration atomic
 * @isr: atomic, virtio 1.2 s4.1.4.5
 * @cfg_cap: offset of the window capability
 * @lent_vector: vectors whose eventfds were lent, by queue
 * @ioeventfds: queues whose ioeventfd is at @ioeventfd_port
 */
struct virtio_pci {
	struct virtio_device *dev;
	struct virtio_env env;
	struct pci_function function;
	pthread_mutex_t reg_lock;
	u8 isr;
	unsigned int cfg_cap;
	u16 lent_vector[VIRTIO_MAX_QUEUES];
	u64 ioeventfds;
	u64 ioeventfd_port;
};

static struct virtio_device *to_virtio(struct device *d)
{
	return container_of(d, struct virtio_device, dev);
}

/* Interrupts: any thread, perhaps under dev->lock */

static void signal_vector(struct virtio_pci *vp, u16 vector, u8 isr_bit)
{
	if (pci_msix_enabled(&vp->function)) {
		/* VIRTIO_NO_VECTOR is out of range, and ignored. */
		pci_msix_signal(&vp->function, vector);
		return;
	}
	__atomic_fetch_or(&vp->isr, isr_bit, __ATOMIC_ACQ_REL);
	pci_intx_set(&vp->function, true);
}

static void signal_queue(struct virtio_device *dev, struct virtqueue *vq)
{
	signal_vector(dev->transport_priv,
		      __atomic_load_n(&vq->vector, __ATOMIC_RELAXED), 1);
}

static void signal_config(struct virtio_device *dev)
{
	signal_vector(dev->transport_priv,
		      __atomic_load_n(&dev->config_vector, __ATOMIC_RELAXED),
		      VIRTIO_PCI_ISR_CONFIG);
}

/* A vector that the driver sets after DRIVER_OK is not followed. */
static int lend_eventfd(struct virtio_device *dev, struct virtqueue *vq)
{
	struct virtio_pci *vp = dev->transport_priv;
	u16 vector = __atomic_load_n(&vq->vector, __ATOMIC_RELAXED);

	vp->lent_vector[vq->index] = vector;
	return pci_msix_lend(&vp->function, vector);
}

static void return_eventfd(struct virtio_device *dev, struct virtqueue *vq)
{
	struct virtio_pci *vp = dev->transport_priv;

	pci_msix_return(&vp->function, vp->lent_vector[vq->index]);
}

static const struct virtio_transport_ops pci_transport = {
	.signal_queue = signal_queue,
	.signal_config = signal_config,
	.lend_eventfd = lend_eventfd,
	.return_eventfd = return_eventfd,
};

static u8 isr_take(struct virtio_pci *vp)
{
	pci_intx_set(&vp->function, false);
	return __atomic_exchange_n(&vp->isr, 0, __ATOMIC_ACQ_REL);
}

/* Common configuration, virtio 1.2 s4.1.4.3: a field is of 1, 2 or 4 bytes */

struct common_field {
	u8 off;
	u8 len;
};

static const struct common_field common_fields[] = {
	{ VIRTIO_PCI_COMMON_DFSELECT, 4 },	{ VIRTIO_PCI_COMMON_DF, 4 },
	{ VIRTIO_PCI_COMMON_GFSELECT, 4 },	{ VIRTIO_PCI_COMMON_GF, 4 },
	{ VIRTIO_PCI_COMMON_MSIX, 2 },		{ VIRTIO_PCI_COMMON_NUMQ, 2 },
	{ VIRTIO_PCI_COMMON_STATUS, 1 },
	{ VIRTIO_PCI_COMMON_CFGGENERATION, 1 },
	{ VIRTIO_PCI_COMMON_Q_SELECT, 2 },	{ VIRTIO_PCI_COMMON_Q_SIZE, 2 },
	{ VIRTIO_PCI_COMMON_Q_MSIX, 2 },	{ VIRTIO_PCI_COMMON_Q_ENABLE, 2 },
	{ VIRTIO_PCI_COMMON_Q_NOFF, 2 },
	{ VIRTIO_PCI_COMMON_Q_DESCLO, 4 },	{ VIRTIO_PCI_COMMON_Q_DESCHI, 4 },
	{ VIRTIO_PCI_COMMON_Q_AVAILLO, 4 },	{ VIRTIO_PCI_COMMON_Q_AVAILHI, 4 },
	{ VIRTIO_PCI_COMMON_Q_USEDLO, 4 },	{ VIRTIO_PCI_COMMON_Q_USEDHI, 4 },
};

static const struct common_field *common_field(u64 off, unsigned int len)
{
	for (size_t i = 0; i < ARRAY_SIZE(common_fields); i++) {
		const struct common_field *c = &common_fields[i];

		if (off >= c->off && off + len <= (u64)c->off + c->len)
			return c;
	}
	return NULL;
}

/* The ring address at or around field @off. */
static u64 *queue_address(struct virtqueue *vq, unsigned int off)
{
	if (off >= VIRTIO_PCI_COMMON_Q_USEDLO)
		return &vq->used_gpa;
	if (off >= VIRTIO_PCI_COMMON_Q_AVAILLO)
		return &vq->avail_gpa;
	return &vq->desc_gpa;
}

static u32 queue_get(struct virtio_device *dev, unsigned int off)
{
	struct virtqueue *vq = virtio_selected_queue(dev);
	unsigned int shift = off & 4 ? 32 : 0;
	u32 v;

	if (!vq)
		return off == VIRTIO_PCI_COMMON_Q_MSIX ? VIRTIO_NO_VECTOR : 0;
	pthread_mutex_lock(&dev->lock);
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		v = vq->size ? vq->size : vq->size_max;
		break;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		v = vq->vector;
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		v = vq->ready;
		break;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		v = vq->index;
		break;
	default:
		v = (u32)(*queue_address(vq, off) >> shift);
		break;
	}
	pthread_mutex_unlock(&dev->lock);
	return v;
}

/* A register of @dev that needs nothing but its lock. */
static u32 device_get(struct virtio_device *dev, const u32 *reg)
{
	u32 v;

	pthread_mutex_lock(&dev->lock);
	v = *reg;
	pthread_mutex_unlock(&dev->lock);
	return v;
}

static void device_set(struct virtio_device *dev, u32 *reg, u32 v)
{
	pthread_mutex_lock(&dev->lock);
	*reg = v;
	pthread_mutex_unlock(&dev->lock);
}

static u32 common_get(struct virtio_device *dev, unsigned int off)
{
	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return device_get(dev, &dev->feature_select);
	case VIRTIO_PCI_COMMON_DF:
		return virtio_get_features(dev);
	case VIRTIO_PCI_COMMON_GFSELECT:
		return device_get(dev, &dev->driver_feature_select);
	case VIRTIO_PCI_COMMON_GF:
		if (device_get(dev, &dev->driver_feature_select) > 1)
			return 0;
		return (u32)(dev->driver_features >>
			     (32 * dev->driver_feature_select));
	case VIRTIO_PCI_COMMON_MSIX:
		return __atomic_load_n(&dev->config_vector, __ATOMIC_RELAXED);
	case VIRTIO_PCI_COMMON_NUMQ:
		return dev->nr_queues;
	case VIRTIO_PCI_COMMON_STATUS:
		return virtio_get_status(dev);
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return __atomic_load_n(&dev->config_generation,
				       __ATOMIC_ACQUIRE) & 0xff;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return device_get(dev, &dev->queue_select);
	default:
		return queue_get(dev, off);
	}
}

static u16 vector_check(const struct virtio_pci *vp, u32 v)
{
	return v < vp->function.nr_msix ? (u16)v : VIRTIO_NO_VECTOR;
}

static void queue_set_rings(struct virtio_device *dev, struct virtqueue *vq,
			    unsigned int off, u32 v)
{
	u64 *gpa = queue_address(vq, off);

	pthread_mutex_lock(&dev->lock);
	if (!virtio_queue_writable(dev, vq))
		goto out_unlock;
	if (off == VIRTIO_PCI_COMMON_Q_SIZE)
		vq->size = (u16)v;
	else if (off & 4)
		*gpa = (u32)*gpa | (u64)v << 32;
	else
		*gpa = (*gpa & ~0xffffffffULL) | v;
out_unlock:
	pthread_mutex_unlock(&dev->lock);
}

static void queue_set(struct virtio_pci *vp, unsigned int off, u32 v)
{
	struct virtio_device *dev = vp->dev;
	struct virtqueue *vq = virtio_selected_queue(dev);

	if (!vq)
		return;
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_MSIX:
		__atomic_store_n(&vq->vector, vector_check(vp, v),
				 __ATOMIC_RELAXED);
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		/* s4.1.4.3.2: a driver must not write 0. */
		if (v != 1)
			break;
		/* A driver may leave the size as it was offered. */
		if (!vq->size)
			queue_set_rings(dev, vq, VIRTIO_PCI_COMMON_Q_SIZE,
					vq->size_max);
		virtio_queue_enable(dev, vq, true);
		break;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		break;
	default:
		queue_set_rings(dev, vq, off, v);
		break;
	}
}

static void common_set(struct virtio_pci *vp, unsigned int off, u32 v)
{
	struct virtio_device *dev = vp->dev;

	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		device_set(dev, &dev->feature_select, v);
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		device_set(dev, &dev->driver_feature_select, v);
		break;
	case VIRTIO_PCI_COMMON_GF:
		virtio_set_features(dev, v);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		__atomic_store_n(&dev->config_vector, vector_check(vp, v),
				 __ATOMIC_RELAXED);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		virtio_set_status(dev, v);
		if (!v)
			isr_take(vp);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		device_set(dev, &dev->queue_select, v);
		break;
	case VIRTIO_PCI_COMMON_DF:
	case VIRTIO_PCI_COMMON_NUMQ:
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		break;
	default:
		queue_set(vp, off, v);
		break;
	}
}

static void common_read(struct virtio_pci *vp, u64 off, u8 *d,
			unsigned int len)
{
	const struct common_field *c = common_field(off, len);
	u8 value[4];

	if (len == 8) {
		common_read(vp, off, d, 4);
		common_read(vp, off + 4, d + 4, 4);
		return;
	}
	memset(d, 0, len);
	if (!c)
		return;
	io_write_le(value, sizeof(value), common_get(vp->dev, c->off));
	memcpy(d, value + (off - c->off), len);
}

static void common_write(struct virtio_pci *vp, u64 off, const u8 *d,
			 unsigned int len)
{
	const struct common_field *c = common_field(off, len);
	u8 value[4];

	if (len == 8) {
		common_write(vp, off, d, 4);
		common_write(vp, off + 4, d + 4, 4);
		return;
	}
	if (!c)
		return;
	io_write_le(value, sizeof(value), common_get(vp->dev, c->off));
	memcpy(value + (off - c->off), d, len);
	common_set(vp, c->off, (u32)io_read_le(value, 4));
}

/* The BAR */

static int bar_read(struct pci_function *f, u64 off, void *d, unsigned int len)
{
	struct virtio_pci *vp = f->opaque;

	memset(d, 0, len);
	switch (off & ~(u64)(BAR_PAGE - 1)) {
	case BAR_COMMON:
		pthread_mutex_lock(&vp->reg_lock);
		common_read(vp, off - BAR_COMMON, d, len);
		pthread_mutex_unlock(&vp->reg_lock);
		break;
	case BAR_ISR:
		if (off == BAR_ISR)
			*(u8 *)d = isr_take(vp);
		break;
	case BAR_DEVICE:
		virtio_config_read(vp->dev, off - BAR_DEVICE, d, len);
		break;
	default:
		break;
	}
	return 0;
}

static int bar_write(struct pci_function *f, u64 off, const void *d,
		     unsigned int len)
{
	struct virtio_pci *vp = f->opaque;

	switch (off & ~(u64)(BAR_PAGE - 1)) {
	case BAR_COMMON:
		pthread_mutex_lock(&vp->reg_lock);
		common_write(vp, off - BAR_COMMON, d, len);
		pthread_mutex_unlock(&vp->reg_lock);
		break;
	case BAR_DEVICE:
		virtio_config_write(vp->dev, off - BAR_DEVICE, d, len);
		break;
	default:
		break;
	}
	return 0;
}

static void ports_write(struct pci_function *f, u64 off, const void *d,
			unsigned int len)
{
	struct virtio_pci *vp = f->opaque;

	if (!off)
		virtio_notify(vp->dev, (u32)io_read_le(d, MIN(len, NOTIFY_WIDTH)));
}

static int ioeventfd_set(struct virtio_pci *vp, unsigned int q, bool on)
{
	return vp->env.ioeventfd(vp->env.ioeventfd_opaque,
				 vp->dev->queue[q].kick_fd, vp->ioeventfd_port,
				 NOTIFY_WIDTH, q, true, on);
}

static void ioeventfds_remove(struct virtio_pci *vp)
{
	for (unsigned int q = 0; q < VIRTIO_MAX_QUEUES; q++) {
		if (vp->ioeventfds & BIT_ULL(q))
			ioeventfd_set(vp, q, false);
	}
	vp->ioeventfds = 0;
}

static void ports_moved(struct pci_function *f, u64 port, bool enabled)
{
	struct virtio_pci *vp = f->opaque;

	ioeventfds_remove(vp);
	if (!enabled || !vp->dev || !vp->dev->class->has_thread ||
	    !vp->env.ioeventfd)
		return;
	vp->ioeventfd_port = port;
	for (unsigned int q = 0; q < vp->dev->nr_queues; q++) {
		/* Without one the kick comes through ports_write(). */
		if (!ioeventfd_set(vp, q, true))
			vp->ioeventfds |= BIT_ULL(q);
	}
}

/* The window, virtio 1.2 s4.1.4.9 */

/*
 * Whether an access to configuration space at @off means the window, and
 * where the window then is: in BAR 0, or in BAR 1, the ports.
 */
static bool window_find(struct virtio_pci *vp, unsigned int off, bool *ports,
			unsigned int *bar_off, unsigned int *bar_len)
{
	struct pci_function *f = &vp->function;
	const u8 *cap = f->config + vp->cfg_cap;
	u32 at, len, size;
	u8 bar;

	if (off != vp->cfg_cap + sizeof(struct virtio_pci_cap))
		return false;
	pthread_mutex_lock(&f->lock);
	bar = cap[VIRTIO_PCI_CAP_BAR];
	at = (u32)io_read_le(cap + VIRTIO_PCI_CAP_OFFSET, 4);
	len = (u32)io_read_le(cap + VIRTIO_PCI_CAP_LENGTH, 4);
	pthread_mutex_unlock(&f->lock);
	size = bar ? PORTS_SIZE : BAR_SIZE;
	if (bar > 1 || (len != 1 && len != 2 && len != 4) || at % len ||
	    at > size || len > size - at)
		return false;
	*ports = bar;
	*bar_off = at;
	*bar_len = len;
	return true;
}

static void config_read(struct pci_function *f, unsigned int off,
			unsigned int len)
{
	struct virtio_pci *vp = f->opaque;
	unsigned int bar_off, bar_len;
	u8 data[4] = { 0 };
	bool ports;

	if (!window_find(vp, off, &ports, &bar_off, &bar_len) || len < bar_len)
		return;
	if (!ports && pci_bar_read(f, bar_off, data, bar_len))
		memset(data, 0xff, sizeof(data));
	pthread_mutex_lock(&f->lock);
	memcpy(f->config + off, data, bar_len);
	pthread_mutex_unlock(&f->lock);
}

static void config_write(struct pci_function *f, unsigned int off,
			 unsigned int len)
{
	struct virtio_pci *vp = f->opaque;
	unsigned int bar_off, bar_len;
	u8 data[4] = { 0 };
	bool ports;

	if (!window_find(vp, off, &ports, &bar_off, &bar_len) || len < bar_len)
		return;
	pthread_mutex_lock(&f->lock);
	memcpy(data, f->config + off, bar_len);
	pthread_mutex_unlock(&f->lock);
	/* What a BAR refuses is ignored, as it is by the bus. */
	if (ports)
		ports_write(f, bar_off, data, bar_len);
	else
		pci_bar_write(f, bar_off, data, bar_len);
}

static const struct pci_function_ops virtio_pci_function_ops = {
	.bar_read = bar_read,
	.bar_write = bar_write,
	.ports_write = ports_write,
	.ports_moved = ports_moved,
	.config_write = config_write,
	.config_read = config_read,
};

/* Lifecycle */

/* A restored device begins here; for a fresh one there is nothing to do. */
static int device_start(struct device *d)
{
	return virtio_device_resume(to_virtio(d));
}

static int device_pause(struct device *d)
{
	return virtio_device_pause(to_virtio(d));
}

static int device_resume(struct device *d)
{
	return virtio_device_resume(to_virtio(d));
}

static int device_save(struct device *d, struct state_out *out)
{
	struct virtio_device *dev = to_virtio(d);
	struct virtio_pci *vp = dev->transport_priv;

	state_put_u32(out, STATE_VERSION);
	state_put_u8(out, __atomic_load_n(&vp->isr, __ATOMIC_ACQUIRE));
	pci_function_save(&vp->function, out);
	virtio_device_save(dev, out);
	return out->err;
}

static int device_restore(struct device *d, struct state_in *in)
{
	struct virtio_device *dev = to_virtio(d);
	struct virtio_pci *vp = dev->transport_priv;
	int rc;

	state_get_version(in, STATE_VERSION);
	vp->isr = state_get_u8(in);
	rc = pci_function_restore(&vp->function, in);
	if (rc)
		return rc;
	if (vp->isr & ~(1 | VIRTIO_PCI_ISR_CONFIG))
		return -EPROTO;
	return virtio_device_restore(dev, in);
}

static void device_destroy(struct device *d)
{
	struct virtio_device *dev = to_virtio(d);
	struct virtio_pci *vp = dev->transport_priv;

	if (!vp) {
		virtio_device_free(dev);
		return;
	}
	/* The device's threads signal until it is gone: the function is last. */
	ioeventfds_remove(vp);
	virtio_device_free(dev);
	vp->dev = NULL;
	pci_unregister(&vp->function);
	pthread_mutex_destroy(&vp->reg_lock);
	free(vp);
}

static const struct device_ops virtio_pci_device_ops = {
	.start = device_start,
	.pause = device_pause,
	.resume = device_resume,
	.save = device_save,
	.restore = device_restore,
	.destroy = device_destroy,
};

/* Return: offset of the capability or -errno; @extra: bytes behind it. */
static int add_cap(struct virtio_pci *vp, u8 type, u8 bar, u32 off, u32 len,
		   const u32 *extra)
{
	u8 cap[sizeof(struct virtio_pci_notify_cap)] = { 0 };
	unsigned int size = sizeof(struct virtio_pci_cap);

	cap[VIRTIO_PCI_CAP_CFG_TYPE] = type;
	cap[VIRTIO_PCI_CAP_BAR] = bar;
	io_write_le(cap + VIRTIO_PCI_CAP_OFFSET, 4, off);
	io_write_le(cap + VIRTIO_PCI_CAP_LENGTH, 4, len);
	if (extra) {
		io_write_le(cap + size, 4, *extra);
		size += 4;
	}
	cap[VIRTIO_PCI_CAP_LEN] = (u8)size;
	return pci_add_capability(&vp->function, PCI_CAP_ID_VNDR, cap + 2,
				  size);
}

static int add_caps(struct virtio_pci *vp)
{
	const u32 multiplier = 0, data = 0;
	struct pci_function *f = &vp->function;
	int rc;

	rc = add_cap(vp, VIRTIO_PCI_CAP_COMMON_CFG, 0, BAR_COMMON, COMMON_SIZE,
		     NULL);
	if (rc >= 0)
		rc = add_cap(vp, VIRTIO_PCI_CAP_ISR_CFG, 0, BAR_ISR, 1, NULL);
	if (rc >= 0 && vp->dev->class->config_len)
		rc = add_cap(vp, VIRTIO_PCI_CAP_DEVICE_CFG, 0, BAR_DEVICE,
			     vp->dev->class->config_len, NULL);
	if (rc >= 0)
		rc = add_cap(vp, VIRTIO_PCI_CAP_NOTIFY_CFG, 1, 0, PORTS_SIZE,
			     &multiplier);
	if (rc >= 0)
		rc = add_cap(vp, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, &data);
	if (rc < 0)
		return rc;
	vp->cfg_cap = (unsigned int)rc;
	f->writable[rc + VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(f->writable + rc + VIRTIO_PCI_CAP_OFFSET, 0xff, 4 + 4 + 4);
	return pci_add_msix(f, vp->dev->nr_queues + 1, BAR_MSIX_TABLE,
			    BAR_MSIX_PBA);
}

int virtio_pci_attach(struct virtio_device *dev, const struct virtio_env *env)
{
	struct virtio_pci *vp;
	int rc;

	if (dev->class->config_len > BAR_PAGE)
		return -EINVAL;
	vp = calloc(1, sizeof(*vp));
	if (!vp)
		return -ENOMEM;
	vp->dev = dev;
	vp->env = *env;
	pthread_mutex_init(&vp->reg_lock, NULL);
	pci_function_init(&vp->function, &virtio_pci_function_ops, vp,
			  PCI_VENDOR_VIRTIO,
			  (u16)(PCI_DEVICE_VIRTIO + dev->class->id),
			  dev->class->pci_class);
	pci_function_set_subsystem(&vp->function, PCI_VENDOR_VIRTIO,
				   PCI_SUBSYSTEM_LKVM);
	vp->function.config[PCI_REVISION_ID] = 1;
	vp->function.bar.size = BAR_SIZE;
	vp->function.ports.size = PORTS_SIZE;
	vp->function.removable = dev->class->removable;
	dev->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned int q = 0; q < VIRTIO_MAX_QUEUES; q++)
		dev->queue[q].vector = VIRTIO_NO_VECTOR;

	/* From here on the device's destroy unwinds. */
	dev->transport_priv = vp;
	dev->transport = &pci_transport;
	dev->dev.ops = &virtio_pci_device_ops;
	rc = add_caps(vp);
	if (rc < 0)
		return rc;
	return pci_register(env->pci, &vp->function);
}

int virtio_pci_slot(const struct device *d)
{
	const struct virtio_device *dev;
	const struct virtio_pci *vp;

	if (d->ops != &virtio_pci_device_ops)
		return -ENODEV;
	dev = container_of(d, struct virtio_device, dev);
	vp = dev->transport_priv;
	return (int)(vp->function.devfn >> 3);
}
