// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The engine for hosts without io_uring: a few workers a queue, each of which
 * takes a request and carries it out with blocking system calls (raw.c). What
 * is done goes on a list; an eventfd says that the list is no longer empty.
 *
 * disk_submit() and disk_wait() are the owner's, on one thread; begun but not
 * started requests are on @pending, which only it touches. @lock guards @work,
 * @done and @stop, is held for list operations only, and is a leaf. A request
 * belongs to the worker while it is on neither list.
 *
 * Requests run in any order and side by side: a caller that wants order waits
 * for completion first. There is no cancelling: destroy waits for the workers
 * to empty the list. What a guest can do is make requests slow.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "kvm/eventfd.h"
#include "kvm/thread.h"
#include "engine.h"

#define NR_WORKERS 4

struct threads_queue {
	struct disk_queue base;
	struct disk_list pending;
	struct disk_list ready;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct disk_list work;
	struct disk_list done;
	bool stop;
	int done_fd;
	unsigned int nr_workers;
	pthread_t worker[NR_WORKERS];
};

static void *worker_main(void *opaque)
{
	struct threads_queue *q = opaque;
	struct disk_req *req;
	bool first;

	pthread_mutex_lock(&q->lock);
	for (;;) {
		req = disk_list_pop(&q->work);
		if (!req) {
			if (q->stop)
				break;
			pthread_cond_wait(&q->wake, &q->lock);
			continue;
		}
		pthread_mutex_unlock(&q->lock);
		disk_req_end(req, disk_raw_run(q->base.disk, req));
		pthread_mutex_lock(&q->lock);
		first = !q->done.head;
		disk_list_add(&q->done, req);
		if (first)
			eventfd_signal(q->done_fd);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

static void threads_submit(struct disk_queue *base, struct disk_req *req)
{
	struct threads_queue *q = (struct threads_queue *)base;

	if (disk_req_begin(base->disk, req))
		disk_list_add(&q->ready, req);
	else
		disk_list_add(&q->pending, req);
}

static void threads_start(struct threads_queue *q)
{
	struct disk_req *req;

	if (!q->pending.head)
		return;
	pthread_mutex_lock(&q->lock);
	while ((req = disk_list_pop(&q->pending)))
		disk_list_add(&q->work, req);
	pthread_cond_broadcast(&q->wake);
	pthread_mutex_unlock(&q->lock);
}

static void threads_collect(struct threads_queue *q)
{
	struct disk_req *req;

	pthread_mutex_lock(&q->lock);
	while ((req = disk_list_pop(&q->done)))
		disk_list_add(&q->ready, req);
	pthread_mutex_unlock(&q->lock);
}

static struct disk_req *threads_wait(struct disk_queue *base, const int *fds,
				     unsigned int nr_fds, u32 *fired,
				     bool block)
{
	struct threads_queue *q = (struct threads_queue *)base;
	struct pollfd p[DISK_MAX_FDS + 1];

	threads_start(q);
	for (unsigned int i = 0; i < nr_fds; i++)
		p[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
	p[nr_fds] = (struct pollfd){ .fd = q->done_fd, .events = POLLIN };
	do {
		threads_collect(q);
		if (poll(p, nr_fds + 1, q->ready.head || !block ? 0 : -1) <= 0)
			continue;
		for (unsigned int i = 0; i < nr_fds; i++) {
			if (p[i].revents && eventfd_clear(fds[i]))
				*fired |= 1u << i;
		}
		if (p[nr_fds].revents) {
			eventfd_clear(q->done_fd);
			threads_collect(q);
		}
	} while (block && !q->ready.head && !*fired);
	return disk_list_take(&q->ready);
}

static void threads_destroy(struct disk_queue *base)
{
	struct threads_queue *q = (struct threads_queue *)base;

	threads_start(q);
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_cond_broadcast(&q->wake);
	pthread_mutex_unlock(&q->lock);
	for (unsigned int i = 0; i < q->nr_workers; i++)
		pthread_join(q->worker[i], NULL);
	pthread_cond_destroy(&q->wake);
	pthread_mutex_destroy(&q->lock);
	close(q->done_fd);
	free(q);
}

static int start_workers(struct threads_queue *q)
{
	int ret = 0;

	while (q->nr_workers < NR_WORKERS && !ret) {
		ret = thread_start(&q->worker[q->nr_workers], worker_main, q,
				   "lkvm-disk");
		q->nr_workers += !ret;
	}
	/* One worker is slow, but as good as four. */
	return q->nr_workers ? 0 : ret;
}

static int threads_create(struct disk *d, unsigned int depth,
			  struct disk_queue **out)
{
	struct threads_queue *q = calloc(1, sizeof(*q));
	int ret;

	(void)depth;
	if (!q)
		return -ENOMEM;
	q->base.ops = &disk_threads_ops;
	q->base.disk = d;
	q->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->done_fd < 0) {
		ret = -errno;
		free(q);
		return ret;
	}
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->wake, NULL);
	ret = start_workers(q);
	if (ret) {
		threads_destroy(&q->base);
		return ret;
	}
	*out = &q->base;
	return 0;
}

static int threads_probe(void)
{
	return 0;
}

const struct disk_engine_ops disk_threads_ops = {
	.probe = threads_probe,
	.create = threads_create,
	.destroy = threads_destroy,
	.submit = threads_submit,
	.wait = threads_wait,
};
