// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The threads of a device that shares a directory. Any request may block for as
 * long as the host's disk likes, so there are several: each pops one request,
 * serves it and gives it back, whatever queue it came from. One of them, the first,
 * waits in an edge-triggered epoll set, and serves what comes by itself while
 * nothing else is there, so that a guest with one process costs no wake-up but that
 * one. The others wait for being called, by who finds that more is waiting. If the
 * first one's request takes long, nobody hears of the next: so another looks every
 * STAND_IN_NS, while there are requests, and takes its place. After that, for
 * PARALLEL_NS, all wait in the set, where a kick wakes one that has nothing to do.
 * Kicks are always asked for. One more thread is made when the last idle one
 * becomes busy, THREADS_MAX at most. The lock is held to pop and to push and
 * guards the queues and the counts, and is never held over a request.
 *
 * A request may have to be answered after another (struct fs_order), which is
 * decided once, when it is popped. A request that waits has no key, so no request
 * waits for a waiting one. It waits only for requests popped before it (@count), each
 * of which already has a thread: waiting cannot use up all threads.
 *
 * stop() ends and joins them. What was popped is finished by then, so nothing in
 * flight is to be saved. It takes as long as the host does: a request of a file
 * system that does not answer, on a network perhaps, holds it up.
 *
 * What a guest can do wrong: a chain that is no request makes the device need a
 * reset. Every chain that was popped is pushed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "kvm/clock.h"
#include "kvm/eventfd.h"
#include "kvm/fs-threads.h"
#include "kvm/thread.h"

#define THREADS_MAX 16
#define STAND_IN_NS (10 * NSEC_PER_MSEC)
#define PARALLEL_NS (200 * NSEC_PER_MSEC)

/** struct fs_worker - a thread's own; @order, @count guarded by the lock */
struct fs_worker {
	struct fs_threads *t;
	struct virtqueue *vq;
	struct fs_order order;
	u64 count;
	pthread_t thread;
	struct vq_chain chain;
	struct fs_buffers buffers;
};

/**
 * struct fs_threads - those of one device
 * @stop_fd, @work_fd: eventfds of the epoll set: all are to end; one is to look
 * @lock: guards the queues while they are lent, and all below
 * @pushed: a request with a key was answered
 * @call: @called of those that follow are to get up, or one to stand in
 * @popped: requests
 * @parallel_ns: until then all wait in the epoll set
 * @idle: threads without work
 * @polling, @following: those of them in epoll_wait(), and those that wait for @call
 * @standing_in: one of @following looks whether the first is stuck
 */
struct fs_threads {
	struct virtio_device *dev;
	struct fs_server *server;
	int epoll_fd;
	int stop_fd;
	int work_fd;
	pthread_mutex_t lock;
	pthread_cond_t pushed;
	pthread_cond_t call;
	struct fs_worker *worker[THREADS_MAX];
	unsigned int nr;
	unsigned int idle;
	unsigned int polling;
	unsigned int following;
	unsigned int called;
	u64 popped;
	u64 parallel_ns;
	bool standing_in;
	bool stopping;
};

static void *threads_main(void *opaque);

/* With the lock held. It counts as idle from here on. */
static int add_thread(struct fs_threads *t)
{
	struct fs_worker *w;
	int err;

	if (t->nr == THREADS_MAX)
		return 0;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->t = t;
	err = virtio_thread_start(t->dev, &w->thread, threads_main, w);
	if (err) {
		free(w);
		return err;
	}
	t->worker[t->nr++] = w;
	t->idle++;
	return 0;
}

/* One that has nothing to do is to look at the queues. */
static void call_one(struct fs_threads *t)
{
	if (t->following > t->called) {
		t->called++;
		pthread_cond_signal(&t->call);
	} else if (t->polling) {
		eventfd_signal(t->work_fd);
	}
}

/*
 * Take the next request, of the first queue that has one. The driver is asked
 * for a kick for the one behind it; if that is there, somebody else gets it.
 */
static bool pop(struct fs_threads *t, struct fs_worker *w)
{
	for (unsigned int i = 0; i < t->dev->nr_queues; i++) {
		struct virtqueue *vq = &t->dev->queue[i];

		if (virtqueue_pop(vq, &w->chain) <= 0)
			continue;
		w->vq = vq;
		w->count = t->popped++;
		if (t->server->service->order)
			w->order = t->server->service->order(&w->chain);
		if (virtqueue_set_notify(vq, true))
			call_one(t);
		else if (t->following && !t->standing_in)
			pthread_cond_signal(&t->call);
		return true;
	}
	return false;
}

/* Whether the request that @w is to wait for has not been answered. */
static bool is_out(const struct fs_threads *t, const struct fs_worker *w)
{
	for (unsigned int i = 0; i < t->nr; i++) {
		const struct fs_worker *o = t->worker[i];

		if (o->order.key == w->order.after && o->count < w->count)
			return true;
	}
	return false;
}

/* With the lock held, which is dropped meanwhile. */
static void serve(struct fs_threads *t, struct fs_worker *w)
{
	const struct fs_service *service = t->server->service;
	bool due;
	int n;

	while (w->order.after && is_out(t, w))
		pthread_cond_wait(&t->pushed, &t->lock);
	pthread_mutex_unlock(&t->lock);
	n = service->serve(t->server, &w->buffers, &w->chain);
	pthread_mutex_lock(&t->lock);
	if (n < 0) {
		virtio_needs_reset(t->dev, service->broken);
		w->vq->broken = true;
		n = 0;
	}
	virtqueue_push(w->vq, &w->chain, n);
	due = virtqueue_signal_due(w->vq);
	if (w->order.key)
		pthread_cond_broadcast(&t->pushed);
	w->order = (struct fs_order){ 0 };
	if (!due)
		return;
	/* The next request may come, and wake another, before this has returned. */
	pthread_mutex_unlock(&t->lock);
	t->dev->transport->signal_queue(t->dev, w->vq);
	pthread_mutex_lock(&t->lock);
}

static void poll_queues(struct fs_threads *t)
{
	struct epoll_event ev;

	t->polling++;
	pthread_mutex_unlock(&t->lock);
	while (epoll_wait(t->epoll_fd, &ev, 1, -1) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&t->lock);
	t->polling--;
}

/*
 * Until it is called. One of those that follow looks each tick, while there are
 * requests: if nobody hears kicks and none was popped for a tick, it stands in.
 */
static void follow(struct fs_threads *t)
{
	u64 popped;
	int err;

	t->following++;
	while (!t->called && !t->stopping) {
		if (t->standing_in) {
			pthread_cond_wait(&t->call, &t->lock);
			continue;
		}
		popped = t->popped;
		t->standing_in = true;
		err = cond_wait_until(&t->call, &t->lock, now_ns() + STAND_IN_NS);
		t->standing_in = false;
		/* Whoever called, or ended all, may have been too early for the wait. */
		if (!err || t->called || t->stopping || t->popped != popped)
			continue;
		if (t->polling) {
			pthread_cond_wait(&t->call, &t->lock);
			continue;
		}
		t->parallel_ns = now_ns() + PARALLEL_NS;
		t->called = t->following;
		pthread_cond_broadcast(&t->call);
	}
	t->following--;
	if (t->called)
		t->called--;
}

/* With the lock held: the queues are empty. */
static void wait_for_work(struct fs_threads *t)
{
	t->idle++;
	if (t->polling && now_ns() >= t->parallel_ns)
		follow(t);
	else
		poll_queues(t);
	t->idle--;
}

static void *threads_main(void *opaque)
{
	struct fs_worker *w = opaque;
	struct fs_threads *t = w->t;

	pthread_mutex_lock(&t->lock);
	t->idle--;
	while (!t->stopping) {
		if (!pop(t, w)) {
			wait_for_work(t);
			continue;
		}
		/* It may fail: there is this one. */
		if (!t->idle)
			add_thread(t);
		serve(t, w);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static int watch(struct fs_threads *t, int fd, u32 events)
{
	struct epoll_event ev = { .events = events };

	if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 &&
	    errno != EEXIST)
		return -errno;
	return 0;
}

void fs_threads_stop(struct fs_threads *t)
{
	unsigned int nr;

	if (!t)
		return;
	/* Whoever saw that it is not the end has made its thread by now. */
	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	nr = t->nr;
	pthread_mutex_unlock(&t->lock);
	if (!nr)
		return;
	eventfd_signal(t->stop_fd);
	pthread_cond_broadcast(&t->call);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(t->worker[i]->thread, NULL);
	eventfd_clear(t->stop_fd);
	for (unsigned int i = 0; i < nr; i++)
		free(t->worker[i]);
	t->nr = 0;
}

int fs_threads_start(struct fs_threads *t, struct fs_server *server)
{
	struct virtio_device *dev = t->dev;
	int err = 0;

	for (unsigned int i = 0; i < dev->nr_queues && !err; i++)
		err = watch(t, dev->queue[i].kick_fd, EPOLLIN | EPOLLET);
	t->server = server;
	t->stopping = false;
	t->idle = 0;
	pthread_mutex_lock(&t->lock);
	if (!err)
		err = add_thread(t);
	/* Who serves a request needs one that waits: the first request need not make it. */
	if (!err)
		add_thread(t);
	pthread_mutex_unlock(&t->lock);
	return err;
}

static int open_fds(struct fs_threads *t)
{
	int err;

	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	t->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->epoll_fd < 0 || t->stop_fd < 0 || t->work_fd < 0)
		return -errno;
	err = watch(t, t->stop_fd, EPOLLIN);
	return err ? err : watch(t, t->work_fd, EPOLLIN | EPOLLET);
}

int fs_threads_create(struct fs_threads **out, struct virtio_device *dev)
{
	struct fs_threads *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->dev = dev;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->pushed, NULL);
	cond_create(&t->call);
	err = open_fds(t);
	if (err)
		fs_threads_free(t);
	else
		*out = t;
	return err;
}

void fs_threads_free(struct fs_threads *t)
{
	if (!t)
		return;
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	if (t->stop_fd >= 0)
		close(t->stop_fd);
	if (t->work_fd >= 0)
		close(t->work_fd);
	pthread_cond_destroy(&t->pushed);
	pthread_cond_destroy(&t->call);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
