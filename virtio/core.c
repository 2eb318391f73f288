// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * What all virtio devices have in common, whatever their class and transport:
 * the status byte (virtio 1.2 s2.1, s3.1), feature negotiation (s2.2), the
 * configuration space and its generation (s2.5), and the life of the queues.
 *
 *	reset -> ACKNOWLEDGE -> DRIVER -> FEATURES_OK -> DRIVER_OK (active)
 *	  ^						    |
 *	  +------------- status 0, from anywhere -----------+
 *
 * Registers are written by vCPU threads, under dev->lock. A kick runs under
 * dev->notify_lock alone, so that a slow request holds up no register but a
 * reset. Order: lock > notify_lock > locks of the class and the transport.
 * @active and @paused change with both held and may be read with either.
 * A device's own thread takes neither: the main thread or a vCPU may hold both
 * while it waits for that thread in class->deactivate(). This is why status
 * and config_generation are atomics, and virtio_needs_reset() needs no lock.
 *
 * A paused device is active with its queues taken back from the class; their
 * indexes stay. A restored device is paused until it is resumed. A class may have
 * a thread while there is no driver, for what the last one sent; not while paused.
 *
 * Not supported: legacy and transitional drivers, reset of one queue, setting
 * up queues after DRIVER_OK, VIRTIO_F_ACCESS_PLATFORM.
 *
 * A guest may write registers in any order. Status bits that skip a step, and
 * anything but a reset after FAILED or DEVICE_NEEDS_RESET, do not stick.
 * Features that were not offered keep FEATURES_OK from sticking. Bad ring
 * addresses set DEVICE_NEEDS_RESET. What is said about that is bounded: once a
 * reset, and LOG_MAX times in the life of a device.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "kvm/eventfd.h"
#include "kvm/thread.h"
#include "kvm/virtio.h"

#define CORE_STATE_VERSION 1
#define LOG_MAX 32

#define STATUS_STEPS (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
		      VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)
#define STATUS_END (VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET)

#define CORE_FEATURES (BIT_ULL(VIRTIO_F_VERSION_1) | \
		       BIT_ULL(VIRTIO_RING_F_EVENT_IDX) | \
		       BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC))

static struct virtio_device *to_virtio(struct device *dev)
{
	return container_of(dev, struct virtio_device, dev);
}

static u32 status_load(const struct virtio_device *dev)
{
	return __atomic_load_n(&dev->status, __ATOMIC_ACQUIRE);
}

static bool features_ok(const struct virtio_device *dev)
{
	return !(dev->driver_features & ~dev->offered) &&
	       virtio_has(dev, VIRTIO_F_VERSION_1);
}

/* Both locks are held by the callers of these three. */
static int queues_lend(struct virtio_device *dev)
{
	int err = 0;

	for (unsigned int i = 0; i < dev->nr_queues; i++)
		virtqueue_set_notify(&dev->queue[i], true);
	if (dev->class->activate)
		err = dev->class->activate(dev);
	if (err)
		dev->active = false;
	return err;
}

static void queues_take_back(struct virtio_device *dev)
{
	bool running = !dev->paused && (dev->active || dev->class->linger);

	if (running && dev->class->deactivate)
		dev->class->deactivate(dev);
}

/* Without a driver: what the last one sent still goes to the host. */
static void device_linger(struct virtio_device *dev)
{
	if (!dev->active && !dev->paused && dev->class->linger)
		dev->class->linger(dev);
}

static void needs_reset(struct virtio_device *dev, const char *what,
			const char *why)
{
	u32 old = __atomic_fetch_or(&dev->status, VIRTIO_CONFIG_S_NEEDS_RESET,
				    __ATOMIC_ACQ_REL);
	u32 n;

	if (old & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	n = __atomic_add_fetch(&dev->errors, 1, __ATOMIC_RELAXED);
	if (n <= LOG_MAX)
		vm_log(dev->log, "%s: %s: %s%s", dev->dev.name, what, why,
		       n == LOG_MAX ? " (said no more from here on)" : "");
	/* virtio 1.2 s2.1.2: said by an interrupt only after DRIVER_OK. */
	if (old & VIRTIO_CONFIG_S_DRIVER_OK && dev->transport)
		dev->transport->signal_config(dev);
}

void virtio_needs_reset(struct virtio_device *dev, const char *why)
{
	needs_reset(dev, "guest broke the virtio rules", why);
}

static void device_activate(struct virtio_device *dev)
{
	int err;

	pthread_mutex_lock(&dev->notify_lock);
	queues_take_back(dev);
	for (unsigned int i = 0; i < dev->nr_queues; i++) {
		struct virtqueue *vq = &dev->queue[i];

		vq->event_idx = virtio_has(dev, VIRTIO_RING_F_EVENT_IDX);
		vq->indirect = virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC);
		vq->last_avail = 0;
		vq->last_used = 0;
		vq->signalled_used = 0;
	}
	dev->active = true;
	err = dev->paused ? 0 : queues_lend(dev);
	pthread_mutex_unlock(&dev->notify_lock);
	if (err)
		needs_reset(dev, "cannot start", strerror(-err));
}

static void device_reset(struct virtio_device *dev)
{
	pthread_mutex_lock(&dev->notify_lock);
	queues_take_back(dev);
	dev->active = false;
	/* What was not created has nothing to offer, and nothing to reset. */
	if (dev->class->reset && dev->offered)
		dev->class->reset(dev);
	for (unsigned int i = 0; i < dev->nr_queues; i++) {
		virtqueue_reset(&dev->queue[i]);
		eventfd_clear(dev->queue[i].kick_fd);
	}
	pthread_mutex_unlock(&dev->notify_lock);

	dev->driver_features = 0;
	dev->feature_select = 0;
	dev->driver_feature_select = 0;
	dev->queue_select = 0;
	dev->config_vector = VIRTIO_NO_VECTOR;
	__atomic_store_n(&dev->status, 0, __ATOMIC_RELEASE);
}

/* Default operations, until a transport sets its own. */
static void core_destroy(struct device *d)
{
	virtio_device_free(to_virtio(d));
}

static const struct device_ops core_ops = {
	.destroy = core_destroy,
};

static int queues_create(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->nr_queues; i++) {
		struct virtqueue *vq = &dev->queue[i];

		vq->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vq->kick_fd < 0)
			return -errno;
		vq->dev = dev;
		vq->gmem = dev->gmem;
		vq->index = i;
		vq->size_max = dev->class->queue_max;
		virtqueue_reset(vq);
	}
	return 0;
}

int virtio_device_create(struct virtio_device **out,
			 const struct virtio_class *class, const char *name,
			 const void *opts, const struct virtio_env *env,
			 struct report *r)
{
	struct virtio_device *dev;
	int err;

	if (class->nr_queues > VIRTIO_MAX_QUEUES ||
	    strlen(name) >= sizeof(dev->dev.name))
		return report_error(r, EINVAL, "virtio %s", name);
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return report_error(r, ENOMEM, "virtio %s", name);

	dev->dev.ops = &core_ops;
	dev->dev.is_virtio = true;
	memcpy(dev->dev.name, name, strlen(name) + 1);
	dev->class = class;
	dev->gmem = env->gmem;
	dev->log = env->log;
	dev->nr_queues = class->nr_queues;
	if (class->queues)
		dev->nr_queues = MIN(class->queues(opts), dev->nr_queues);
	dev->config_vector = VIRTIO_NO_VECTOR;
	pthread_mutex_init(&dev->lock, NULL);
	pthread_mutex_init(&dev->notify_lock, NULL);
	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++)
		dev->queue[i].kick_fd = -1;

	err = queues_create(dev);
	if (err) {
		report_error(r, -err, "virtio %s: eventfd", name);
		goto err_free;
	}
	/* Last, so that nothing fails once the options changed hands. */
	err = class->create ? class->create(dev, opts, r) : 0;
	if (err) {
		report_error(r, -err, "virtio %s", name);
		goto err_free;
	}
	dev->offered = CORE_FEATURES;
	if (class->features)
		dev->offered |= class->features(dev);
	*out = dev;
	return 0;

err_free:
	virtio_device_free(dev);
	return err;
}

void virtio_device_free(struct virtio_device *dev)
{
	if (!dev)
		return;
	pthread_mutex_lock(&dev->lock);
	device_reset(dev);
	pthread_mutex_unlock(&dev->lock);
	if (dev->class->destroy)
		dev->class->destroy(dev);
	for (unsigned int i = 0; i < dev->nr_queues; i++) {
		if (dev->queue[i].kick_fd >= 0)
			close(dev->queue[i].kick_fd);
	}
	pthread_mutex_destroy(&dev->notify_lock);
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}

u32 virtio_get_features(struct virtio_device *dev)
{
	u32 v = 0;

	pthread_mutex_lock(&dev->lock);
	if (dev->feature_select < 2)
		v = dev->offered >> (32 * dev->feature_select);
	pthread_mutex_unlock(&dev->lock);
	return v;
}

void virtio_set_features(struct virtio_device *dev, u32 value)
{
	unsigned int shift;

	pthread_mutex_lock(&dev->lock);
	if (dev->driver_feature_select < 2 &&
	    !(status_load(dev) & VIRTIO_CONFIG_S_FEATURES_OK)) {
		shift = 32 * dev->driver_feature_select;
		dev->driver_features &= ~(0xffffffffULL << shift);
		dev->driver_features |= (u64)value << shift;
	}
	pthread_mutex_unlock(&dev->lock);
}

u32 virtio_get_status(struct virtio_device *dev)
{
	return status_load(dev);
}

/* The bits of @value that may be added to @old: each step needs the last. */
static u32 status_steps(const struct virtio_device *dev, u32 old, u32 value)
{
	u32 add = value & VIRTIO_CONFIG_S_FAILED;
	u32 all = old | (value & STATUS_STEPS);

	if (old & STATUS_END)
		return add & ~old;
	if (!(all & VIRTIO_CONFIG_S_ACKNOWLEDGE))
		all &= ~(u32)VIRTIO_CONFIG_S_DRIVER;
	if (!(all & VIRTIO_CONFIG_S_DRIVER) || !features_ok(dev))
		all &= ~(u32)VIRTIO_CONFIG_S_FEATURES_OK;
	if (!(all & VIRTIO_CONFIG_S_FEATURES_OK))
		all &= ~(u32)VIRTIO_CONFIG_S_DRIVER_OK;
	return (add | all) & ~old;
}

void virtio_set_status(struct virtio_device *dev, u32 value)
{
	u32 add;

	pthread_mutex_lock(&dev->lock);
	if (!value) {
		pthread_mutex_lock(&dev->notify_lock);
		if (dev->active && !dev->paused && dev->class->leave)
			dev->class->leave(dev);
		pthread_mutex_unlock(&dev->notify_lock);
		device_reset(dev);
		pthread_mutex_lock(&dev->notify_lock);
		device_linger(dev);
		pthread_mutex_unlock(&dev->notify_lock);
		goto out;
	}
	add = status_steps(dev, status_load(dev), value);
	if (add & VIRTIO_CONFIG_S_FAILED)
		add &= ~(u32)VIRTIO_CONFIG_S_DRIVER_OK;
	__atomic_fetch_or(&dev->status, add, __ATOMIC_ACQ_REL);
	if (add & VIRTIO_CONFIG_S_DRIVER_OK) {
		dev->driven = true;
		device_activate(dev);
	}
out:
	pthread_mutex_unlock(&dev->lock);
}

struct virtqueue *virtio_selected_queue(struct virtio_device *dev)
{
	struct virtqueue *vq = NULL;

	pthread_mutex_lock(&dev->lock);
	if (dev->queue_select < dev->nr_queues)
		vq = &dev->queue[dev->queue_select];
	pthread_mutex_unlock(&dev->lock);
	return vq;
}

/* Not while queues are lent either: their thread reads them without a lock. */
bool virtio_queue_writable(const struct virtio_device *dev,
			   const struct virtqueue *vq)
{
	return !vq->ready && !dev->active &&
	       status_load(dev) & VIRTIO_CONFIG_S_ACKNOWLEDGE;
}

void virtio_queue_enable(struct virtio_device *dev, struct virtqueue *vq,
			 bool on)
{
	pthread_mutex_lock(&dev->lock);
	if (!on) {
		if (!dev->active)
			vq->ready = false;
	} else if (virtio_queue_writable(dev, vq)) {
		if (virtqueue_map(vq))
			virtio_needs_reset(dev, "bad ring size or address");
		else
			vq->ready = true;
	}
	pthread_mutex_unlock(&dev->lock);
}

void virtio_config_read(struct virtio_device *dev, u64 off, void *d,
			unsigned int len)
{
	u32 limit = dev->class->config_len;

	memset(d, 0, len);
	if (off >= limit || !dev->class->config_read)
		return;
	pthread_mutex_lock(&dev->lock);
	dev->class->config_read(dev, off, d, MIN(len, limit - off));
	pthread_mutex_unlock(&dev->lock);
}

void virtio_config_write(struct virtio_device *dev, u64 off, const void *d,
			 unsigned int len)
{
	u32 limit = dev->class->config_len;

	if (off > limit || len > limit - off || !dev->class->config_write)
		return;
	pthread_mutex_lock(&dev->lock);
	dev->class->config_write(dev, off, d, len);
	pthread_mutex_unlock(&dev->lock);
}

void virtio_notify(struct virtio_device *dev, u32 queue)
{
	bool live;

	if (queue >= dev->nr_queues)
		return;
	pthread_mutex_lock(&dev->notify_lock);
	live = dev->active && !dev->paused && dev->queue[queue].ready &&
	       !(virtio_get_status(dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
	if (live && !dev->class->has_thread && dev->class->queue_notify)
		dev->class->queue_notify(dev, queue);
	pthread_mutex_unlock(&dev->notify_lock);

	if (live && dev->class->has_thread)
		eventfd_signal(dev->queue[queue].kick_fd);
}

int virtio_thread_start(struct virtio_device *dev, pthread_t *t, void *(*run)(void *), void *arg)
{
	char name[THREAD_NAME_MAX];

	snprintf(name, sizeof(name), "lkvm-%.10s", dev->dev.name);
	return thread_start(t, run, arg, name);
}

bool virtio_has(const struct virtio_device *dev, unsigned int bit)
{
	return bit < 64 && dev->driver_features & BIT_ULL(bit);
}

void virtio_config_changed(struct virtio_device *dev)
{
	__atomic_add_fetch(&dev->config_generation, 1, __ATOMIC_ACQ_REL);
	if (status_load(dev) & VIRTIO_CONFIG_S_DRIVER_OK && dev->transport)
		dev->transport->signal_config(dev);
}

int virtio_device_pause(struct virtio_device *dev)
{
	pthread_mutex_lock(&dev->lock);
	pthread_mutex_lock(&dev->notify_lock);
	queues_take_back(dev);
	dev->paused = true;
	pthread_mutex_unlock(&dev->notify_lock);
	pthread_mutex_unlock(&dev->lock);
	return 0;
}

int virtio_device_resume(struct virtio_device *dev)
{
	int err = 0;

	pthread_mutex_lock(&dev->lock);
	pthread_mutex_lock(&dev->notify_lock);
	if (dev->paused) {
		dev->paused = false;
		if (dev->active)
			err = queues_lend(dev);
		device_linger(dev);
	}
	pthread_mutex_unlock(&dev->notify_lock);
	pthread_mutex_unlock(&dev->lock);
	if (err)
		needs_reset(dev, "cannot start", strerror(-err));
	return err;
}

void virtio_device_save(struct virtio_device *dev, struct state_out *out)
{
	pthread_mutex_lock(&dev->lock);
	state_put_u32(out, CORE_STATE_VERSION);
	state_put_u16(out, dev->class->id);
	state_put_u16(out, dev->nr_queues);
	state_put_u64(out, dev->driver_features);
	state_put_u32(out, dev->feature_select);
	state_put_u32(out, dev->driver_feature_select);
	state_put_u32(out, status_load(dev));
	state_put_u32(out, __atomic_load_n(&dev->config_generation,
					   __ATOMIC_ACQUIRE));
	state_put_u32(out, dev->queue_select);
	state_put_u16(out, dev->config_vector);
	state_put_u8(out, dev->active);
	for (unsigned int i = 0; i < dev->nr_queues; i++)
		virtqueue_save(&dev->queue[i], out);
	if (dev->class->save)
		dev->class->save(dev, out);
	pthread_mutex_unlock(&dev->lock);
}

/* What a driver could not have reached by registers is refused. */
static bool restored_is_legal(const struct virtio_device *dev, u8 active)
{
	u32 status = status_load(dev);
	u32 steps = status & STATUS_STEPS;

	if (status & ~(u32)(STATUS_STEPS | STATUS_END) || active > 1)
		return false;
	if (steps != 0 && steps != 1 && steps != 3 && steps != 11 &&
	    steps != STATUS_STEPS)
		return false;
	if (steps & VIRTIO_CONFIG_S_FEATURES_OK && !features_ok(dev))
		return false;
	if (active && !(steps & VIRTIO_CONFIG_S_DRIVER_OK))
		return false;
	for (unsigned int i = 0; i < dev->nr_queues; i++) {
		const struct virtqueue *vq = &dev->queue[i];

		if (vq->ready && !steps)
			return false;
		if (active &&
		    (vq->event_idx != virtio_has(dev, VIRTIO_RING_F_EVENT_IDX) ||
		     vq->indirect != virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC)))
			return false;
	}
	return true;
}

static int core_restore(struct virtio_device *dev, struct state_in *in)
{
	u16 id, nr;
	u8 active;

	state_get_version(in, CORE_STATE_VERSION);
	id = state_get_u16(in);
	nr = state_get_u16(in);
	if (in->err || id != dev->class->id || nr != dev->nr_queues)
		return -EPROTO;
	dev->driver_features = state_get_u64(in);
	dev->feature_select = state_get_u32(in);
	dev->driver_feature_select = state_get_u32(in);
	dev->status = state_get_u32(in);
	dev->config_generation = state_get_u32(in);
	dev->queue_select = state_get_u32(in);
	dev->config_vector = state_get_u16(in);
	active = state_get_u8(in);
	for (unsigned int i = 0; i < dev->nr_queues; i++) {
		if (virtqueue_restore(&dev->queue[i], in))
			return -EPROTO;
	}
	if (in->err || !restored_is_legal(dev, active))
		return -EPROTO;
	if (dev->class->restore && dev->class->restore(dev, in))
		return -EPROTO;
	if (in->err)
		return -EPROTO;

	pthread_mutex_lock(&dev->notify_lock);
	dev->active = active;
	dev->paused = true;
	pthread_mutex_unlock(&dev->notify_lock);
	return 0;
}

int virtio_device_restore(struct virtio_device *dev, struct state_in *in)
{
	int err;

	pthread_mutex_lock(&dev->lock);
	device_reset(dev);
	err = core_restore(dev, in);
	if (err)
		device_reset(dev);
	pthread_mutex_unlock(&dev->lock);
	return err;
}
