// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio entropy device, virtio 1.2 s5.4.
 *
 * Theory of operation
 *
 * One queue, no configuration, no thread: a kick is served where it arrives,
 * out of getrandom(2) straight into the driver's buffers, at most 64 KiB for a
 * chain. The driver learns how much it got.
 *
 * Threads: vCPUs, main. Locks: dev->lock > rng->lock, which guards the queue.
 *
 * A chain without a device-writable part is given back empty. A driver that
 * refills the queue without end is served for a bounded number of chains for
 * each kick. Nothing is to be saved beyond the queue.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <linux/virtio_ids.h>
#include "kvm/virtio.h"

#define RNG_QUEUE_MAX 64
#define RNG_BUDGET VIRTQUEUE_MAX_SIZE
#define RNG_CHAIN_MAX 0x10000U

struct rng {
	pthread_mutex_t lock;	/* guards the queue and all below */
	bool active;
};

static int rng_create(struct virtio_device *dev, const void *opts,
		      struct report *r)
{
	struct rng *g = calloc(1, sizeof(*g));

	(void)opts;
	if (!g)
		return report_error(r, ENOMEM, "virtio-rng");
	pthread_mutex_init(&g->lock, NULL);
	dev->priv = g;
	return 0;
}

static void rng_destroy(struct virtio_device *dev)
{
	struct rng *g = dev->priv;

	if (!g)
		return;
	pthread_mutex_destroy(&g->lock);
	free(g);
	dev->priv = NULL;
}

static u64 rng_features(struct virtio_device *dev)
{
	(void)dev;
	return 0;
}

static int rng_activate(struct virtio_device *dev)
{
	struct rng *g = dev->priv;

	pthread_mutex_lock(&g->lock);
	g->active = true;
	pthread_mutex_unlock(&g->lock);
	return 0;
}

static void rng_deactivate(struct virtio_device *dev)
{
	struct rng *g = dev->priv;

	pthread_mutex_lock(&g->lock);
	g->active = false;
	pthread_mutex_unlock(&g->lock);
}

/* Return: bytes written, fewer than asked for when the host fails. */
static size_t rng_fill_piece(u8 *p, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = getrandom(p + done, len - done, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += n;
	}
	return done;
}

static u32 rng_fill(const struct vq_chain *chain)
{
	u32 left = RNG_CHAIN_MAX, done = 0;

	for (u16 i = 0; i < chain->nr_in && left; i++) {
		const struct iovec *v = &chain->iov[chain->nr_out + i];
		u32 want = MIN(v->iov_len, left);
		u32 got = rng_fill_piece(v->iov_base, want);

		done += got;
		left -= got;
		if (got < want)
			break;
	}
	return done;
}

static void rng_queue_notify(struct virtio_device *dev, unsigned int queue)
{
	struct virtqueue *vq = &dev->queue[0];
	struct rng *g = dev->priv;
	unsigned int budget = RNG_BUDGET;
	struct vq_chain chain;
	bool more;

	if (queue)
		return;
	pthread_mutex_lock(&g->lock);
	if (!g->active || !vq->ready || vq->broken)
		goto out_unlock;
	do {
		while (budget && virtqueue_pop(vq, &chain) > 0) {
			budget--;
			virtqueue_push(vq, &chain, rng_fill(&chain));
		}
		more = virtqueue_set_notify(vq, true);
	} while (more && budget && !vq->broken);
	virtqueue_signal(vq);
out_unlock:
	pthread_mutex_unlock(&g->lock);
}

const struct virtio_class virtio_rng_class = {
	.name = "rng",
	.id = VIRTIO_ID_RNG,
	.nr_queues = 1,
	.queue_max = RNG_QUEUE_MAX,
	.pci_class = 0x00ff00,
	.create = rng_create,
	.features = rng_features,
	.activate = rng_activate,
	.deactivate = rng_deactivate,
	.queue_notify = rng_queue_notify,
	.destroy = rng_destroy,
};
