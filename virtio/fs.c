// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The file system device of virtio 1.2 s5.11: a FUSE session over queues. Queue
 * 0 has requests that are not to wait behind others (FORGET), the rest are
 * request queues, all alike. What requests mean is fs/fuse.c's.
 *
 * Any request may block for as long as the host's disk likes, so there are
 * several threads: each pops one request, serves it and gives it back, whatever
 * queue it came from. They wait in one epoll set, edge-triggered, where a kick
 * wakes one that has nothing to do; kicks are always asked for, since one that
 * is busy may be so for long. Who finds that more is waiting wakes another. One
 * more thread is made when the last idle one becomes busy, THREADS_MAX at most:
 * a guest with one process has two. The device's lock is held to pop and to push
 * and guards the queues and the counts, and is never held over a request.
 *
 * deactivate stops and joins them. What was popped is finished by then, so
 * nothing in flight is to be saved; open files and numbers of the session are
 * saved, and are found by their names again. A reset by the driver forgets them.
 *
 * Not supported: DAX windows, the notification queue, INTERRUPT: no request
 * waits for a guest's process.
 *
 * What a guest can do wrong: a chain that is no FUSE request, or has no room for
 * the answer's header, makes the device need a reset. All else is an error in
 * the answer, see fs/fuse.c. Every chain that was popped is pushed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include "kvm/fuse.h"
#include "kvm/thread.h"
#include "kvm/virtio.h"

#define FS_STATE_VERSION 1
#define QUEUE_MAX 256
#define QUEUES_MAX (1 + VIRTIO_FS_MAX_QUEUES)
#define THREADS_MAX 16
#define LOG_MAX 8

/**
 * struct fs - an instance
 * @stop_fd, @work_fd: eventfds of the epoll set: all are to end; one is to look
 * @lock: guards the queues while they are lent, and all below
 * @idle: threads in epoll_wait(), or on their way there without work
 */
struct fs {
	struct virtio_device *dev;
	struct fuse_server *server;
	struct virtio_fs_config config;
	int epoll_fd;
	int stop_fd;
	int work_fd;
	pthread_mutex_t lock;
	pthread_t thread[THREADS_MAX];
	unsigned int nr_threads;
	unsigned int idle;
	unsigned int nr_said;
	bool stopping;
};

/** struct work - a thread's own, which it frees */
struct work {
	struct fs *f;
	struct virtqueue *vq;
	struct vq_chain chain;
	struct fuse_buffers buffers;
};

static void *fs_main(void *opaque);

static void fd_signal(int fd)
{
	const u64 one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* With the lock held. It counts as idle from here on. */
static int add_thread(struct fs *f)
{
	char name[THREAD_NAME_MAX];
	struct work *w;
	int err;

	if (f->nr_threads == THREADS_MAX)
		return 0;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->f = f;
	snprintf(name, sizeof(name), "lkvm-%.10s", f->dev->dev.name);
	err = thread_start(&f->thread[f->nr_threads], fs_main, w, name);
	if (err) {
		free(w);
		return err;
	}
	f->nr_threads++;
	f->idle++;
	return 0;
}

/*
 * Take the next request, of the first queue that has one. The driver is asked
 * for a kick for the one behind it; if that is there, somebody else gets it.
 */
static bool pop(struct fs *f, struct work *w)
{
	for (unsigned int i = 0; i < f->dev->nr_queues; i++) {
		struct virtqueue *vq = &f->dev->queue[i];

		if (virtqueue_pop(vq, &w->chain) <= 0)
			continue;
		w->vq = vq;
		if (virtqueue_set_notify(vq, true) && f->idle)
			fd_signal(f->work_fd);
		return true;
	}
	return false;
}

static void serve(struct fs *f, struct work *w)
{
	int n;

	pthread_mutex_unlock(&f->lock);
	n = fuse_serve(f->server, &w->buffers, &w->chain);
	pthread_mutex_lock(&f->lock);
	if (n < 0) {
		virtio_needs_reset(f->dev, "no FUSE request, or no room for an answer");
		w->vq->broken = true;
		n = 0;
	}
	virtqueue_push(w->vq, &w->chain, n);
	virtqueue_signal(w->vq);
}

/* With the lock held: the queues are empty. */
static void wait_for_work(struct fs *f)
{
	struct epoll_event ev;

	f->idle++;
	pthread_mutex_unlock(&f->lock);
	while (epoll_wait(f->epoll_fd, &ev, 1, -1) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&f->lock);
	f->idle--;
}

static void *fs_main(void *opaque)
{
	struct work *w = opaque;
	struct fs *f = w->f;

	pthread_mutex_lock(&f->lock);
	f->idle--;
	while (!f->stopping) {
		if (!pop(f, w)) {
			wait_for_work(f);
			continue;
		}
		/* It may fail: there is this one. */
		if (!f->idle)
			add_thread(f);
		serve(f, w);
	}
	pthread_mutex_unlock(&f->lock);
	free(w);
	return NULL;
}

static int watch(struct fs *f, int fd, u32 events)
{
	struct epoll_event ev = { .events = events };

	if (epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 &&
	    errno != EEXIST)
		return -errno;
	return 0;
}

static void stop(struct fs *f)
{
	unsigned int nr;
	u64 count;

	/* Whoever saw that it is not the end has made its thread by now. */
	pthread_mutex_lock(&f->lock);
	f->stopping = true;
	nr = f->nr_threads;
	pthread_mutex_unlock(&f->lock);
	if (!nr)
		return;
	fd_signal(f->stop_fd);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(f->thread[i], NULL);
	while (read(f->stop_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	f->nr_threads = 0;
}

static int fs_activate(struct virtio_device *dev)
{
	struct fs *f = dev->priv;
	int err = 0;

	for (unsigned int i = 0; i < dev->nr_queues && !err; i++)
		err = watch(f, dev->queue[i].kick_fd, EPOLLIN | EPOLLET);
	f->stopping = false;
	f->idle = 0;
	pthread_mutex_lock(&f->lock);
	if (!err)
		err = add_thread(f);
	pthread_mutex_unlock(&f->lock);
	if (err)
		vm_log(f->nr_said++ < LOG_MAX ? dev->log : NULL,
		       "%s: cannot start: %s", dev->dev.name, strerror(-err));
	return err;
}

static void fs_deactivate(struct virtio_device *dev)
{
	struct fs *f = dev->priv;

	if (f)
		stop(f);
}

static void fs_reset_device(struct virtio_device *dev)
{
	struct fs *f = dev->priv;

	if (f && f->server)
		fuse_server_reset(f->server);
}

static u64 fs_features(struct virtio_device *dev)
{
	(void)dev;
	return 0;
}

static void fs_config_read(struct virtio_device *dev, u32 off, void *d,
			   u32 len)
{
	struct fs *f = dev->priv;

	memcpy(d, (const u8 *)&f->config + off, len);
}

static void fs_free(struct fs *f)
{
	if (f->epoll_fd >= 0)
		close(f->epoll_fd);
	if (f->stop_fd >= 0)
		close(f->stop_fd);
	if (f->work_fd >= 0)
		close(f->work_fd);
	fuse_server_free(f->server);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static int open_fds(struct fs *f)
{
	int err;

	f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	f->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->epoll_fd < 0 || f->stop_fd < 0 || f->work_fd < 0)
		return -errno;
	err = watch(f, f->stop_fd, EPOLLIN);
	return err ? err : watch(f, f->work_fd, EPOLLIN | EPOLLET);
}

static int fs_create_device(struct virtio_device *dev, const void *opts,
			    struct report *r)
{
	const struct virtio_fs_opts *o = opts;
	unsigned int queues = o->nr_queues ? o->nr_queues : 1;
	size_t len = strlen(o->tag);
	struct fs *f;
	int err;

	if (queues > VIRTIO_FS_MAX_QUEUES)
		return report_error(r, 0, "%s: at most %u queues",
				    dev->dev.name, VIRTIO_FS_MAX_QUEUES);
	if (!len || len > sizeof(f->config.tag))
		return report_error(r, 0, "%s: tag is not 1 to %zu bytes",
				    dev->dev.name, sizeof(f->config.tag));
	f = calloc(1, sizeof(*f));
	if (!f)
		return report_error(r, ENOMEM, "%s", dev->dev.name);
	f->dev = dev;
	pthread_mutex_init(&f->lock, NULL);
	err = open_fds(f);
	if (!err)
		err = fuse_server_create(&f->server, o->host);
	if (err) {
		fs_free(f);
		return report_error(r, -err, "%s", dev->dev.name);
	}
	memcpy(f->config.tag, o->tag, len);
	f->config.num_request_queues = htole32(queues);
	dev->nr_queues = 1 + queues;
	dev->priv = f;
	return 0;
}

static void fs_destroy(struct virtio_device *dev)
{
	struct fs *f = dev->priv;

	if (!f)
		return;
	fs_deactivate(dev);
	fs_free(f);
	dev->priv = NULL;
}

/* That it is the same directory cannot be known; names in it are looked up. */
static void fs_save_device(struct virtio_device *dev, struct state_out *out)
{
	struct fs *f = dev->priv;

	state_put_u32(out, FS_STATE_VERSION);
	state_put(out, f->config.tag, sizeof(f->config.tag));
	fuse_server_save(f->server, out);
}

static int fs_restore_device(struct virtio_device *dev, struct state_in *in)
{
	u8 tag[sizeof(((struct virtio_fs_config *)NULL)->tag)];
	struct fs *f = dev->priv;

	state_get_version(in, FS_STATE_VERSION);
	state_get(in, tag, sizeof(tag));
	if (in->err || memcmp(tag, f->config.tag, sizeof(tag)))
		return -EPROTO;
	return fuse_server_restore(f->server, in);
}

const struct virtio_class virtio_fs_class = {
	.name = "fs",
	.id = VIRTIO_ID_FS,
	.nr_queues = QUEUES_MAX,
	.queue_max = QUEUE_MAX,
	.config_len = sizeof(struct virtio_fs_config),
	.pci_class = 0x018000,
	.has_thread = true,
	.create = fs_create_device,
	.features = fs_features,
	.config_read = fs_config_read,
	.activate = fs_activate,
	.deactivate = fs_deactivate,
	.reset = fs_reset_device,
	.save = fs_save_device,
	.restore = fs_restore_device,
	.destroy = fs_destroy,
};
