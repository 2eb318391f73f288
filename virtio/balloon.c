// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory balloon, virtio 1.2 s5.5.
 *
 * Theory of operation
 *
 * The host sets a target (num_pages); the driver moves towards it by handing
 * over pages on inflateq, or taking them back on deflateq, and says in actual
 * how far it came. Pages that are handed over go back to the host at once, and
 * so do free pages that the driver names on reporting_vq. Each stays usable:
 * it returns with the next touch. So there is nothing to do for deflateq but
 * to answer, MUST_TELL_HOST is not needed, and a page that is given twice, or
 * taken back without having been given, is no special case. DEFLATE_ON_OOM
 * allows the driver to fall short of the target rather than to kill. While there
 * is a target the host makes no huge pages, which would fill what was given back.
 *
 * Contents: a page that was inflated holds nothing, and a driver expects that.
 * Of a reported page the driver may know better: with PAGE_POISON it counts on
 * poison_val in it (s5.5.6.7). If that is zero, only memory that reads as zero
 * afterwards is given back; if it is not, nothing is.
 *
 * On statsq the driver leaves one buffer with numbers, and another one when it
 * gets that back. It stays in the ring until somebody asks for new numbers.
 *
 * Queues are numbered as the specification has it, or without a gap for those
 * whose feature was not negotiated, which is what Linux did for long. Which of
 * the two a driver means is seen by the queues it has set up.
 *
 * Threads: vCPUs, main. There is no thread. The core's notify_lock guards all
 * queues but statsq, and @active and the roles. Locks: dev->lock > notify_lock
 * > balloon->lock; the last guards statsq, the statistics and the registers,
 * and is never held while memory is given back.
 *
 * Not supported: FREE_PAGE_HINT, which is of use to a migration only, and
 * MUST_TELL_HOST.
 *
 * Pages outside of RAM are ignored, and said once. What a kick may cost is
 * bounded: past that, chains are answered and their pages stay. Statistics
 * with unknown tags are skipped, and a torn one at the end is.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include "kvm/virtio.h"

#define BALLOON_QUEUES 5
#define BALLOON_QUEUE_MAX 128
#define BALLOON_STATE_VERSION 1
#define BALLOON_PAGE_SIZE BIT_ULL(VIRTIO_BALLOON_PFN_SHIFT)
#define BALLOON_BUDGET VIRTQUEUE_MAX_SIZE
/* For each kick: pages looked at, and stretches given back */
#define BALLOON_PAGES_MAX 0x100000U
#define BALLOON_RUNS_MAX 0x10000U
#define BALLOON_PFNS 256U
#define BALLOON_STATS_READ 64U

enum role {
	ROLE_NONE,
	ROLE_INFLATE,
	ROLE_DEFLATE,
	ROLE_STATS,
	ROLE_REPORTING,
};

/** struct balloon - @lock guards what is below it; see above for the rest */
struct balloon {
	struct virtio_balloon_opts opts;
	bool active;
	enum role role[BALLOON_QUEUES];
	bool told_outside;
	pthread_mutex_t lock;
	struct virtqueue *statsq;
	bool stats_waiting;
	struct virtio_balloon_stats stats;
	u32 target;
	u32 actual;
	u32 poison;
};

/** struct batch - work of one kick: a run of pages, and what is left to spend */
struct batch {
	const struct gmem *gmem;
	u64 first;
	u64 nr;
	u32 pages_left;
	u32 runs_left;
	bool outside;
};

static int balloon_create(struct virtio_device *dev, const void *opts,
			  struct report *r)
{
	struct balloon *b = calloc(1, sizeof(*b));

	if (!b)
		return report_error(r, ENOMEM, "virtio-balloon");
	if (opts)
		b->opts = *(const struct virtio_balloon_opts *)opts;
	pthread_mutex_init(&b->lock, NULL);
	dev->priv = b;
	return 0;
}

static void balloon_destroy(struct virtio_device *dev)
{
	struct balloon *b = dev->priv;

	if (!b)
		return;
	pthread_mutex_destroy(&b->lock);
	free(b);
	dev->priv = NULL;
}

static u64 balloon_features(struct virtio_device *dev)
{
	const struct balloon *b = dev->priv;
	u64 v = BIT_ULL(VIRTIO_BALLOON_F_STATS_VQ) |
		BIT_ULL(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);

	if (b->opts.reporting)
		v |= BIT_ULL(VIRTIO_BALLOON_F_REPORTING) |
		     BIT_ULL(VIRTIO_BALLOON_F_PAGE_POISON);
	return v;
}

static void balloon_config_read(struct virtio_device *dev, u32 off, void *d,
				u32 len)
{
	struct virtio_balloon_config config = { 0 };
	struct balloon *b = dev->priv;

	pthread_mutex_lock(&b->lock);
	config.num_pages = htole32(b->target);
	config.actual = htole32(b->actual);
	config.poison_val = htole32(b->poison);
	pthread_mutex_unlock(&b->lock);
	memcpy(d, (const u8 *)&config + off, len);
}

/* virtio 1.2 s5.5.4: the driver writes actual, and poison_val if negotiated. */
static void balloon_config_write(struct virtio_device *dev, u32 off,
				 const void *d, u32 len)
{
	struct virtio_balloon_config config = { 0 };
	struct balloon *b = dev->priv;

	pthread_mutex_lock(&b->lock);
	config.actual = htole32(b->actual);
	config.poison_val = htole32(b->poison);
	memcpy((u8 *)&config + off, d, len);
	b->actual = le32toh(config.actual);
	if (virtio_has(dev, VIRTIO_BALLOON_F_PAGE_POISON))
		b->poison = le32toh(config.poison_val);
	pthread_mutex_unlock(&b->lock);
}

/* The last queue of the specification's numbering tells the two apart. */
static void balloon_find_roles(struct virtio_device *dev, struct balloon *b)
{
	bool stats = virtio_has(dev, VIRTIO_BALLOON_F_STATS_VQ);
	bool reporting = virtio_has(dev, VIRTIO_BALLOON_F_REPORTING);
	unsigned int n = 2;

	memset(b->role, 0, sizeof(b->role));
	b->role[0] = ROLE_INFLATE;
	b->role[1] = ROLE_DEFLATE;
	if (stats)
		b->role[n++] = ROLE_STATS;
	if (reporting && dev->queue[BALLOON_QUEUES - 1].ready)
		n = BALLOON_QUEUES - 1;
	if (reporting)
		b->role[n] = ROLE_REPORTING;
}

static void stats_parse(struct balloon *b, const struct vq_chain *chain)
{
	struct virtio_balloon_stat s[BALLOON_STATS_READ];
	size_t got = iov_read(chain->iov, chain->nr_out, 0, s, sizeof(s));

	b->stats.seq++;
	b->stats.valid = 0;
	for (size_t i = 0; i < got / sizeof(s[0]); i++) {
		u16 tag = le16toh(s[i].tag);

		if (tag >= VIRTIO_BALLOON_STATS)
			continue;
		b->stats.valid |= BIT(tag);
		b->stats.value[tag] = le64toh(s[i].val);
	}
}

/* Looks at the buffer in statsq and leaves it there. @lock is held. */
static void stats_look(struct balloon *b)
{
	struct vq_chain chain;

	if (b->stats_waiting || virtqueue_pop(b->statsq, &chain) <= 0)
		return;
	stats_parse(b, &chain);
	virtqueue_unpop(b->statsq);
	b->stats_waiting = true;
}

static int balloon_activate(struct virtio_device *dev)
{
	struct balloon *b = dev->priv;

	balloon_find_roles(dev, b);
	b->active = true;
	pthread_mutex_lock(&b->lock);
	/* The VM may have got new memory meanwhile. */
	if (b->target)
		gmem_set_huge(dev->gmem, false);
	for (unsigned int i = 0; i < BALLOON_QUEUES; i++) {
		if (b->role[i] == ROLE_STATS)
			b->statsq = &dev->queue[i];
	}
	/* Linux kicks statsq before DRIVER_OK, when nobody listens. */
	if (b->statsq)
		stats_look(b);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

static void balloon_deactivate(struct virtio_device *dev)
{
	struct balloon *b = dev->priv;

	b->active = false;
	pthread_mutex_lock(&b->lock);
	b->statsq = NULL;
	b->stats_waiting = false;
	pthread_mutex_unlock(&b->lock);
}

/* The target is the host's, the rest was the driver's. */
static void balloon_reset(struct virtio_device *dev)
{
	struct balloon *b = dev->priv;

	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->actual = 0;
	b->poison = 0;
	b->stats.valid = 0;
	pthread_mutex_unlock(&b->lock);
}

static void batch_flush(struct batch *w)
{
	if (!w->nr)
		return;
	if (w->runs_left) {
		w->runs_left--;
		gmem_discard(w->gmem, w->first * BALLOON_PAGE_SIZE,
			     w->nr * BALLOON_PAGE_SIZE, false);
	}
	w->nr = 0;
}

/* Drivers hand pages over in order, upwards or downwards. */
static void batch_add(struct batch *w, u64 pfn)
{
	if (!gmem_ptr(w->gmem, pfn * BALLOON_PAGE_SIZE, BALLOON_PAGE_SIZE)) {
		w->outside = true;
		return;
	}
	if (w->nr && pfn == w->first + w->nr) {
		w->nr++;
	} else if (w->nr && pfn + 1 == w->first) {
		w->first--;
		w->nr++;
	} else {
		batch_flush(w);
		w->first = pfn;
		w->nr = 1;
	}
}

static void balloon_inflate(struct batch *w, const struct vq_chain *chain)
{
	__le32 pfn[BALLOON_PFNS];
	size_t off = 0, n;

	while (w->pages_left) {
		n = iov_read(chain->iov, chain->nr_out, off, pfn,
			     MIN(BALLOON_PFNS, w->pages_left) * sizeof(pfn[0]));
		off += n;
		n /= sizeof(pfn[0]);
		if (!n)
			break;
		w->pages_left -= n;
		for (size_t i = 0; i < n; i++)
			batch_add(w, le32toh(pfn[i]));
	}
	batch_flush(w);
}

static void balloon_report(struct virtio_device *dev, struct batch *w,
			   const struct vq_chain *chain)
{
	bool poison = virtio_has(dev, VIRTIO_BALLOON_F_PAGE_POISON);
	struct balloon *b = dev->priv;
	u32 value;

	pthread_mutex_lock(&b->lock);
	value = b->poison;
	pthread_mutex_unlock(&b->lock);
	if (poison && value)
		return;
	for (u16 i = 0; i < chain->nr_in && w->runs_left; i++) {
		const struct iovec *v = &chain->iov[chain->nr_out + i];

		w->runs_left--;
		gmem_discard(w->gmem, gmem_gpa(w->gmem, v->iov_base),
			     v->iov_len, poison);
	}
}

static void balloon_serve(struct virtio_device *dev, struct virtqueue *vq,
			  enum role role)
{
	struct batch w = {
		.gmem = dev->gmem,
		.pages_left = BALLOON_PAGES_MAX,
		.runs_left = BALLOON_RUNS_MAX,
	};
	unsigned int budget = BALLOON_BUDGET;
	struct balloon *b = dev->priv;
	struct vq_chain chain;
	bool more;

	do {
		while (budget && virtqueue_pop(vq, &chain) > 0) {
			budget--;
			if (role == ROLE_INFLATE)
				balloon_inflate(&w, &chain);
			else if (role == ROLE_REPORTING)
				balloon_report(dev, &w, &chain);
			virtqueue_push(vq, &chain, 0);
		}
		more = virtqueue_set_notify(vq, true);
	} while (more && budget && !vq->broken);
	virtqueue_signal(vq);
	if (w.outside && !b->told_outside) {
		b->told_outside = true;
		vm_log(dev->log, "%s: guest gave pages outside of its memory",
		       dev->dev.name);
	}
}

static void balloon_queue_notify(struct virtio_device *dev, unsigned int queue)
{
	struct virtqueue *vq = &dev->queue[queue];
	struct balloon *b = dev->priv;

	if (!b->active || !vq->ready || vq->broken)
		return;
	switch (b->role[queue]) {
	case ROLE_NONE:
		break;
	case ROLE_STATS:
		pthread_mutex_lock(&b->lock);
		stats_look(b);
		pthread_mutex_unlock(&b->lock);
		break;
	default:
		balloon_serve(dev, vq, b->role[queue]);
	}
}

static void balloon_save(struct virtio_device *dev, struct state_out *out)
{
	struct balloon *b = dev->priv;

	pthread_mutex_lock(&b->lock);
	state_put_u32(out, BALLOON_STATE_VERSION);
	state_put_u32(out, b->target);
	state_put_u32(out, b->actual);
	state_put_u32(out, b->poison);
	pthread_mutex_unlock(&b->lock);
}

static int balloon_restore(struct virtio_device *dev, struct state_in *in)
{
	struct balloon *b = dev->priv;
	u32 target, actual, poison;

	state_get_version(in, BALLOON_STATE_VERSION);
	target = state_get_u32(in);
	actual = state_get_u32(in);
	poison = state_get_u32(in);
	if (in->err)
		return in->err;
	pthread_mutex_lock(&b->lock);
	if (!in->fresh)
		b->target = target;
	b->actual = actual;
	b->poison = poison;
	pthread_mutex_unlock(&b->lock);
	return 0;
}

int virtio_balloon_set_target(struct virtio_device *dev, u64 bytes)
{
	struct balloon *b = dev->priv;
	u64 ram = 0;
	bool changed;

	for (unsigned int i = 0; i < dev->gmem->nr; i++)
		ram += dev->gmem->region[i].size;
	if (bytes > ram || bytes / BALLOON_PAGE_SIZE > UINT32_MAX)
		return -EINVAL;
	pthread_mutex_lock(&b->lock);
	changed = b->target != bytes / BALLOON_PAGE_SIZE;
	b->target = bytes / BALLOON_PAGE_SIZE;
	pthread_mutex_unlock(&b->lock);
	gmem_set_huge(dev->gmem, !bytes);
	if (changed)
		virtio_config_changed(dev);
	return 0;
}

u64 virtio_balloon_target(struct virtio_device *dev)
{
	struct balloon *b = dev->priv;
	u64 bytes;

	pthread_mutex_lock(&b->lock);
	bytes = b->target * BALLOON_PAGE_SIZE;
	pthread_mutex_unlock(&b->lock);
	return bytes;
}

u64 virtio_balloon_actual(struct virtio_device *dev)
{
	struct balloon *b = dev->priv;
	u64 bytes;

	pthread_mutex_lock(&b->lock);
	bytes = b->actual * BALLOON_PAGE_SIZE;
	pthread_mutex_unlock(&b->lock);
	return bytes;
}

int virtio_balloon_request_stats(struct virtio_device *dev)
{
	struct balloon *b = dev->priv;
	struct vq_chain chain;
	int err = -EAGAIN;

	pthread_mutex_lock(&b->lock);
	if (!b->statsq || !b->statsq->ready) {
		err = -ENOTCONN;
		goto out_unlock;
	}
	if (virtqueue_pop(b->statsq, &chain) > 0) {
		virtqueue_push(b->statsq, &chain, 0);
		b->stats_waiting = false;
		if (virtqueue_set_notify(b->statsq, true))
			stats_look(b);
		virtqueue_signal(b->statsq);
		err = 0;
	}
out_unlock:
	pthread_mutex_unlock(&b->lock);
	return err;
}

void virtio_balloon_get_stats(struct virtio_device *dev,
			      struct virtio_balloon_stats *stats)
{
	struct balloon *b = dev->priv;

	pthread_mutex_lock(&b->lock);
	*stats = b->stats;
	pthread_mutex_unlock(&b->lock);
}

const struct virtio_class virtio_balloon_class = {
	.name = "balloon",
	.id = VIRTIO_ID_BALLOON,
	.nr_queues = BALLOON_QUEUES,
	.queue_max = BALLOON_QUEUE_MAX,
	.config_len = sizeof(struct virtio_balloon_config),
	.pci_class = 0x00ff00,
	.create = balloon_create,
	.features = balloon_features,
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.activate = balloon_activate,
	.deactivate = balloon_deactivate,
	.queue_notify = balloon_queue_notify,
	.reset = balloon_reset,
	.save = balloon_save,
	.restore = balloon_restore,
	.destroy = balloon_destroy,
};
