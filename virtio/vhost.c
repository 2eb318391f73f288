// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * What the devices of <linux/vhost.h> have in common. The kernel gets the
 * table of guest memory, the addresses of the rings, and three eventfds for
 * each ring. Kicks: the queue's kick_fd, which KVM writes to. Calls: an
 * eventfd that the transport lends, when a write to it is an interrupt by
 * itself (MSI-X), so that lkvm is on no path of the data. Where there is none
 * (a level-triggered line, a vector that KVM does not know yet) the call goes
 * to an eventfd of ours, and a thread relays it to the transport. Errors: the
 * same thread hears of them, and the device needs a reset.
 *
 * The kernel reads the rings by itself, with the checks of its own. It knows
 * nothing of our index of the used ring, and takes the one in guest memory;
 * so do we when the rings come back. A guest that forges it gets interrupts
 * too many or too few.
 *
 * Threads: start and stop run in activate() and deactivate(), with the core's
 * locks held; the relay thread takes none of them. It lives from start to
 * stop. What it has not relayed by then is signalled by stop.
 *
 * Not supported: an IOMMU, logging of dirty pages, busy polling.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/vhost.h>
#include "kvm/eventfd.h"
#include "kvm/thread.h"
#include "kvm/vhost.h"

#define LOG_MAX 8

void vhost_init(struct vhost *v, struct virtio_device *dev)
{
	memset(v, 0, sizeof(*v));
	v->dev = dev;
	v->fd = -1;
	v->control_fd = -1;
	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		v->ring[i].lent_fd = -1;
		v->ring[i].call_fd = -1;
		v->ring[i].err_fd = -1;
	}
}

static int raw_ioctl(const struct vhost *v, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(v->fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

int vhost_ioctl(struct vhost *v, unsigned long request, const char *name,
		void *arg)
{
	int err = raw_ioctl(v, request, arg);

	if (err && name)
		vm_log(v->failures++ < LOG_MAX ? v->dev->log : NULL,
		       "%s: %s: %s", v->dev->dev.name, name, strerror(-err));
	return err;
}

int vhost_open(struct vhost *v, const char *path, struct report *r)
{
	int err;

	v->fd = open(path, O_RDWR | O_CLOEXEC);
	if (v->fd < 0)
		return report_error(r, errno, "%s: cannot open %s",
				    v->dev->dev.name, path);
	v->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->control_fd < 0)
		return report_error(r, errno, "%s: eventfd", v->dev->dev.name);
	err = raw_ioctl(v, VHOST_SET_OWNER, NULL);
	if (err)
		return report_error(r, -err, "%s: VHOST_SET_OWNER",
				    v->dev->dev.name);
	err = raw_ioctl(v, VHOST_GET_FEATURES, &v->features);
	if (err)
		return report_error(r, -err, "%s: VHOST_GET_FEATURES",
				    v->dev->dev.name);
	return 0;
}

void vhost_close(struct vhost *v)
{
	vhost_stop(v);
	if (v->control_fd >= 0)
		close(v->control_fd);
	if (v->fd >= 0)
		close(v->fd);
	v->control_fd = -1;
	v->fd = -1;
}

static int set_memory(struct vhost *v)
{
	const struct gmem *g = v->dev->gmem;
	struct vhost_memory *m;
	int err;

	m = calloc(1, sizeof(*m) + g->nr * sizeof(m->regions[0]));
	if (!m)
		return -ENOMEM;
	m->nregions = g->nr;
	for (unsigned int i = 0; i < g->nr; i++) {
		m->regions[i].guest_phys_addr = g->region[i].gpa;
		m->regions[i].memory_size = g->region[i].size;
		m->regions[i].userspace_addr = (uintptr_t)g->region[i].hva;
	}
	err = vhost_ioctl(v, VHOST_SET_MEM_TABLE, "VHOST_SET_MEM_TABLE", m);
	free(m);
	return err;
}

static int set_ring_memory(struct vhost *v, unsigned int i)
{
	const struct virtqueue *vq = v->ring[i].vq;
	struct vhost_vring_state num = { i, vq->num };
	struct vhost_vring_state base = { i, vq->last_avail };
	struct vhost_vring_addr addr = {
		.index = i,
		.desc_user_addr = (uintptr_t)vq->desc,
		.avail_user_addr = (uintptr_t)vq->avail,
		.used_user_addr = (uintptr_t)vq->used,
		.log_guest_addr = vq->used_gpa,
	};
	int err;

	err = vhost_ioctl(v, VHOST_SET_VRING_NUM, "VHOST_SET_VRING_NUM", &num);
	if (!err)
		err = vhost_ioctl(v, VHOST_SET_VRING_BASE,
				  "VHOST_SET_VRING_BASE", &base);
	if (!err)
		err = vhost_ioctl(v, VHOST_SET_VRING_ADDR,
				  "VHOST_SET_VRING_ADDR", &addr);
	return err;
}

static int set_ring_files(struct vhost *v, unsigned int i)
{
	const struct vhost_ring *ring = &v->ring[i];
	struct vhost_vring_file call = {
		i, ring->lent_fd >= 0 ? ring->lent_fd : ring->call_fd
	};
	struct vhost_vring_file kick = { i, ring->vq->kick_fd };
	struct vhost_vring_file err_file = { i, ring->err_fd };
	int err;

	err = vhost_ioctl(v, VHOST_SET_VRING_CALL, "VHOST_SET_VRING_CALL",
			  &call);
	if (!err)
		err = vhost_ioctl(v, VHOST_SET_VRING_ERR,
				  "VHOST_SET_VRING_ERR", &err_file);
	if (!err)
		err = vhost_ioctl(v, VHOST_SET_VRING_KICK,
				  "VHOST_SET_VRING_KICK", &kick);
	return err;
}

static int ring_open(struct vhost *v, struct vhost_ring *ring,
		     struct virtqueue *vq)
{
	const struct virtio_transport_ops *t = v->dev->transport;

	ring->vq = vq;
	ring->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->call_fd < 0 || ring->err_fd < 0)
		return -errno;
	if (t && t->lend_eventfd)
		ring->lent_fd = t->lend_eventfd(v->dev, vq);
	return 0;
}

static void ring_close(struct vhost *v, struct vhost_ring *ring)
{
	const struct virtio_transport_ops *t = v->dev->transport;

	if (ring->lent_fd >= 0)
		t->return_eventfd(v->dev, ring->vq);
	if (eventfd_clear(ring->call_fd) && t)
		t->signal_queue(v->dev, ring->vq);
	if (ring->call_fd >= 0)
		close(ring->call_fd);
	if (ring->err_fd >= 0)
		close(ring->err_fd);
	ring->lent_fd = -1;
	ring->call_fd = -1;
	ring->err_fd = -1;
}

/* p[0] is the end; then for each ring its calls and its errors. */
static void relay_ring(struct vhost *v, struct vhost_ring *ring,
		       struct pollfd *p)
{
	if (p[0].revents && eventfd_clear(ring->call_fd) && v->dev->transport)
		v->dev->transport->signal_queue(v->dev, ring->vq);
	if (p[1].revents && eventfd_clear(ring->err_fd))
		virtio_needs_reset(v->dev, "vhost found an error in a ring");
}

static void *relay_main(void *opaque)
{
	struct pollfd p[1 + 2 * VIRTIO_MAX_QUEUES];
	struct vhost *v = opaque;

	p[0] = (struct pollfd){ .fd = v->control_fd, .events = POLLIN };
	for (unsigned int i = 0; i < v->nr_rings; i++) {
		p[1 + 2 * i] = (struct pollfd){ .fd = v->ring[i].call_fd,
						.events = POLLIN };
		p[2 + 2 * i] = (struct pollfd){ .fd = v->ring[i].err_fd,
						.events = POLLIN };
	}
	for (;;) {
		if (poll(p, 1 + 2 * v->nr_rings, -1) < 0)
			continue;
		if (p[0].revents)
			return NULL;
		for (unsigned int i = 0; i < v->nr_rings; i++)
			relay_ring(v, &v->ring[i], &p[1 + 2 * i]);
	}
}

int vhost_start(struct vhost *v, u64 features, unsigned int first,
		unsigned int nr)
{
	int err;

	features &= v->features;
	err = vhost_ioctl(v, VHOST_SET_FEATURES, "VHOST_SET_FEATURES",
			  &features);
	if (!err)
		err = set_memory(v);
	for (v->nr_rings = 0; !err && v->nr_rings < nr;) {
		unsigned int i = v->nr_rings++;

		err = ring_open(v, &v->ring[i], &v->dev->queue[first + i]);
		if (!err)
			err = set_ring_memory(v, i);
		if (!err)
			err = set_ring_files(v, i);
	}
	if (!err)
		err = thread_start(&v->relay, relay_main, v, "lkvm-vhost");
	if (err)
		goto err_close_rings;
	v->running = true;
	return 0;

err_close_rings:
	while (v->nr_rings)
		ring_close(v, &v->ring[--v->nr_rings]);
	return err;
}

void vhost_kick(struct vhost *v)
{
	for (unsigned int i = 0; i < v->nr_rings; i++)
		eventfd_signal(v->ring[i].vq->kick_fd);
}

/* From here on the kernel neither hears kicks nor calls. */
static void ring_take_back(struct vhost *v, unsigned int i)
{
	struct vhost_vring_file none = { i, VHOST_FILE_UNBIND };
	struct vhost_vring_state base = { i, 0 };

	vhost_ioctl(v, VHOST_SET_VRING_KICK, "VHOST_SET_VRING_KICK", &none);
	if (!vhost_ioctl(v, VHOST_GET_VRING_BASE, "VHOST_GET_VRING_BASE",
			 &base))
		virtqueue_resume_at(v->ring[i].vq, (u16)base.num);
	vhost_ioctl(v, VHOST_SET_VRING_CALL, "VHOST_SET_VRING_CALL", &none);
	vhost_ioctl(v, VHOST_SET_VRING_ERR, "VHOST_SET_VRING_ERR", &none);
}

void vhost_stop(struct vhost *v)
{
	if (!v->running)
		return;
	for (unsigned int i = 0; i < v->nr_rings; i++)
		ring_take_back(v, i);
	thread_stop(v->relay, v->control_fd);
	while (v->nr_rings)
		ring_close(v, &v->ring[--v->nr_rings]);
	v->running = false;
}
