// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The block device of virtio 1.2 s5.2 over a struct disk. Requests go from the
 * rings to the disk engine without a copy of their data: pieces of guest
 * memory are what the engine reads and writes.
 *
 * One thread a device serves all of its queues. It is made by activate, and
 * owns queues, requests and the engine until deactivate has joined it; the
 * core's locks are held meanwhile, and the thread takes none of them. It
 * waits in disk_wait() for kicks, completions and @control_fd at once. A
 * round: pop what is there, a ring's worth of each queue at most, start it,
 * complete what is done, and signal each queue at most once. Kicks are asked
 * for only before the thread sleeps. To stop, it pops no more, waits for what
 * is in flight, and gives all of it back: nothing is left to save.
 *
 * Requests come from a table of as many as the rings have entries. A guest
 * that makes more available (descriptors may be reused before they are given
 * back) waits until some are completed. So it does while MAX_BYTES are in
 * flight, and no transfer is longer: whoever stops the device has twice that
 * to wait for. A discard, however long, counts for DISCARD_COST: it moves nothing,
 * but a disk may take its time. Queues take turns to be first. SEG_MAX pieces of
 * SEG_SIZE_MAX, which is what a driver is told, are less than MAX_BYTES.
 *
 * A write is in the host's page cache when it completes; VIRTIO_BLK_F_FLUSH
 * makes it lasting. A driver that did not negotiate FLUSH expects
 * write-through: each of its writes is followed by a flush (s5.2.6.2).
 *
 * Not supported: CONFIG_WCE, secure erase, lifetime, zoned devices, SCSI
 * passthrough, geometry; more than one segment in a discard.
 *
 * What a guest can do wrong: a chain without room for header or status makes
 * the device need a reset. Sectors past the end, lengths that are no multiple
 * of 512 or too long, and writes to a read-only disk are VIRTIO_BLK_S_IOERR; a
 * type or flag that is not known VIRTIO_BLK_S_UNSUPP. Every request is completed. An
 * error of the host's disk is IOERR as well, and said once per activation,
 * LOG_MAX times at most: activating again is up to the guest.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include "kvm/disk.h"
#include "kvm/thread.h"
#include "kvm/virtio.h"

#define BLK_STATE_VERSION 1
#define QUEUE_MAX 256
#define BLK_MAX_QUEUES 16
#define SECTOR_SHIFT 9
#define SECTOR_MASK 511
#define SEG_MAX (VQ_CHAIN_MAX - 2)
#define SEG_SIZE_MAX 0x40000U
#define MAX_BYTES 0x4000000U
#define DISCARD_COST (MAX_BYTES / 16)
#define MAX_DISCARD_SECTORS 0x400000U
/* Zeroes may have to be written one by one: keep that short. */
#define MAX_ZEROES_SECTORS 0x10000U
#define LOG_MAX 8

/* The request goes to the engine; otherwise it is done with a status. */
#define STARTED (-1)

/**
 * struct blk_req - a request in flight
 * @disk: first, so that the engine's pointer is ours
 * @flushing: the write is done, the flush that makes it lasting runs
 * @bytes: that are moved for it, or DISCARD_COST
 */
struct blk_req {
	struct disk_req disk;
	struct blk_req *next;
	struct virtqueue *vq;
	bool flushing;
	u32 bytes;
	struct iovec iov[VQ_CHAIN_MAX];
	struct vq_chain chain;
};

/**
 * struct blk - an instance; all from @dq on is the thread's while it runs
 * @started: posted by the thread once @start_error is known
 * @bytes: of all that is in flight
 * @first: the queue that is first in the next round
 * @signal: queues to signal at the end of the round
 */
struct blk {
	struct virtio_device *dev;
	struct disk *disk;
	char serial[VIRTIO_BLK_ID_BYTES];
	struct virtio_blk_config config;
	int control_fd;
	bool running;
	pthread_t thread;
	sem_t started;
	int start_error;
	struct disk_queue *dq;
	struct blk_req *reqs;
	struct blk_req *free;
	unsigned int nr_reqs;
	unsigned int nr_fresh;
	unsigned int in_flight;
	u64 bytes;
	unsigned int first;
	bool stopping;
	bool write_through;
	bool said;
	unsigned int nr_said;
	u32 signal;
};

static bool req_available(const struct blk *b)
{
	return b->bytes < MAX_BYTES && (b->free || b->nr_fresh < b->nr_reqs);
}

/* Requests that were never used are taken last: their pages stay untouched. */
static struct blk_req *req_get(struct blk *b)
{
	struct blk_req *req = b->free;

	if (!req_available(b))
		return NULL;
	if (!req)
		return &b->reqs[b->nr_fresh++];
	b->free = req->next;
	return req;
}

static void req_put(struct blk *b, struct blk_req *req)
{
	req->next = b->free;
	b->free = req;
}

/* Give the chain back; @data bytes of it were written before the status. */
static void req_finish(struct blk *b, struct blk_req *req, u8 status,
		       u32 data)
{
	const struct vq_chain *c = &req->chain;

	iov_write(c->iov + c->nr_out, c->nr_in, c->in_len - 1, &status, 1);
	virtqueue_push(req->vq, c, data + 1);
	b->signal |= BIT(req->vq->index);
	req_put(b, req);
}

static bool in_capacity(const struct blk *b, u64 sector, u64 bytes)
{
	u64 capacity = disk_info(b->disk)->size >> SECTOR_SHIFT;

	return sector <= capacity &&
	       bytes >> SECTOR_SHIFT <= capacity - sector;
}

static int start_transfer(struct blk *b, struct blk_req *req, bool write,
			  u64 sector)
{
	const struct vq_chain *c = &req->chain;
	size_t off = write ? sizeof(struct virtio_blk_outhdr) : 0;
	size_t len = write ? c->out_len - off : c->in_len - 1;
	struct disk_req *d = &req->disk;

	if (write && disk_info(b->disk)->readonly)
		return VIRTIO_BLK_S_IOERR;
	if (len & SECTOR_MASK || len > MAX_BYTES ||
	    !in_capacity(b, sector, len))
		return VIRTIO_BLK_S_IOERR;
	d->op = write ? DISK_WRITE : DISK_READ;
	d->off = sector << SECTOR_SHIFT;
	d->len = len;
	d->iov = req->iov;
	if (write)
		d->nr_iov = iov_slice(c->iov, c->nr_out, off, len, d->iov);
	else
		d->nr_iov = iov_slice(c->iov + c->nr_out, c->nr_in, off, len,
				      d->iov);
	return STARTED;
}

static int start_range(struct blk *b, struct blk_req *req, bool discard)
{
	const struct disk_info *info = disk_info(b->disk);
	const struct vq_chain *c = &req->chain;
	struct virtio_blk_discard_write_zeroes seg;
	u32 max = discard ? MAX_DISCARD_SECTORS : MAX_ZEROES_SECTORS;
	u32 nr, flags;
	u64 sector;

	if (info->readonly)
		return VIRTIO_BLK_S_IOERR;
	if (!virtio_has(b->dev, discard ? VIRTIO_BLK_F_DISCARD :
			VIRTIO_BLK_F_WRITE_ZEROES))
		return VIRTIO_BLK_S_UNSUPP;
	if (c->out_len != sizeof(struct virtio_blk_outhdr) + sizeof(seg))
		return VIRTIO_BLK_S_IOERR;
	iov_read(c->iov, c->nr_out, sizeof(struct virtio_blk_outhdr), &seg,
		 sizeof(seg));
	sector = le64toh(seg.sector);
	nr = le32toh(seg.num_sectors);
	flags = le32toh(seg.flags);
	if (flags & ~(discard ? 0U : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
		return VIRTIO_BLK_S_UNSUPP;
	if (nr > max || !in_capacity(b, sector, (u64)nr << SECTOR_SHIFT))
		return VIRTIO_BLK_S_IOERR;
	req->disk.op = discard ? DISK_DISCARD : DISK_WRITE_ZEROES;
	req->disk.off = sector << SECTOR_SHIFT;
	req->disk.len = (u64)nr << SECTOR_SHIFT;
	req->disk.unmap = flags;
	return STARTED;
}

static u32 get_id(struct blk *b, const struct vq_chain *c)
{
	return iov_write(c->iov + c->nr_out, c->nr_in, 0, b->serial,
			 MIN(sizeof(b->serial), (size_t)c->in_len - 1));
}

static void req_start(struct blk *b, struct blk_req *req,
		      const struct virtio_blk_outhdr *hdr)
{
	u64 sector = le64toh(hdr->sector);
	int status = VIRTIO_BLK_S_UNSUPP;
	u32 data = 0;

	memset(&req->disk, 0, sizeof(req->disk));
	req->flushing = false;
	switch (le32toh(hdr->type)) {
	case VIRTIO_BLK_T_IN:
		status = start_transfer(b, req, false, sector);
		break;
	case VIRTIO_BLK_T_OUT:
		status = start_transfer(b, req, true, sector);
		break;
	case VIRTIO_BLK_T_FLUSH:
		req->disk.op = DISK_FLUSH;
		status = STARTED;
		break;
	case VIRTIO_BLK_T_GET_ID:
		data = get_id(b, &req->chain);
		status = VIRTIO_BLK_S_OK;
		break;
	case VIRTIO_BLK_T_DISCARD:
		status = start_range(b, req, true);
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		status = start_range(b, req, false);
		break;
	}
	if (status != STARTED) {
		req_finish(b, req, status, data);
		return;
	}
	b->in_flight++;
	req->bytes = req->disk.op == DISK_DISCARD ? DISCARD_COST : req->disk.len;
	b->bytes += req->bytes;
	disk_submit(b->dq, &req->disk);
}

/*
 * Pop and start what is there, as long as there are requests for it. A guest
 * can add to it as quickly as that is done: what is more than the ring holds
 * has the next round.
 */
static void queue_run(struct blk *b, struct virtqueue *vq)
{
	struct virtio_blk_outhdr hdr;
	struct blk_req *req;

	for (u32 n = vq->num; n && (req = req_get(b)); n--) {
		const struct vq_chain *c = &req->chain;

		if (virtqueue_pop(vq, &req->chain) <= 0) {
			req_put(b, req);
			return;
		}
		req->vq = vq;
		if (c->in_len && iov_read(c->iov, c->nr_out, 0, &hdr,
					  sizeof(hdr)) == sizeof(hdr)) {
			req_start(b, req, &hdr);
			continue;
		}
		virtio_needs_reset(b->dev,
				   "block request without header or status");
		vq->broken = true;
		virtqueue_push(vq, c, 0);
		req_put(b, req);
		return;
	}
}

static void say_error(struct blk *b, const struct disk_req *d)
{
	static const char *const name[] = {
		[DISK_READ] = "read", [DISK_WRITE] = "write",
		[DISK_FLUSH] = "flush", [DISK_DISCARD] = "discard",
		[DISK_WRITE_ZEROES] = "write zeroes",
	};

	if (b->said || b->nr_said >= LOG_MAX)
		return;
	b->said = true;
	b->nr_said++;
	vm_log(b->dev->log, "%s: %s at byte %llu: %s", b->dev->dev.name,
	       name[d->op], (unsigned long long)d->off, strerror(-d->result));
}

static void req_complete(struct blk *b, struct blk_req *req)
{
	struct disk_req *d = &req->disk;
	u8 status = VIRTIO_BLK_S_OK;

	if (!d->result && b->write_through && !req->flushing &&
	    d->op != DISK_READ && d->op != DISK_FLUSH) {
		req->flushing = true;
		d->op = DISK_FLUSH;
		disk_submit(b->dq, d);
		return;
	}
	b->in_flight--;
	b->bytes -= req->bytes;
	if (d->result == -EOPNOTSUPP) {
		status = VIRTIO_BLK_S_UNSUPP;
	} else if (d->result) {
		status = VIRTIO_BLK_S_IOERR;
		say_error(b, d);
	}
	req_finish(b, req, status, d->op == DISK_READ && !d->result ?
		   (u32)d->len : 0);
}

/* Ask for kicks, or not. Return: whether there is something to pop already. */
static bool set_notify(struct blk *b, bool on)
{
	bool more = false;

	for (unsigned int i = 0; i < b->dev->nr_queues; i++) {
		if (virtqueue_set_notify(&b->dev->queue[i], on))
			more = true;
	}
	return more;
}

static void run_queues(struct blk *b)
{
	unsigned int nr = b->dev->nr_queues;

	for (unsigned int i = 0; i < nr; i++)
		queue_run(b, &b->dev->queue[(b->first + i) % nr]);
	b->first++;
}

static void signal_queues(struct blk *b)
{
	for (unsigned int i = 0; b->signal && i < b->dev->nr_queues; i++) {
		if (b->signal & BIT(i))
			virtqueue_signal(&b->dev->queue[i]);
	}
	b->signal = 0;
}

/* @fds: first the control eventfd, then kicks. */
static void blk_loop(struct blk *b, const int *fds, unsigned int nr_fds)
{
	struct disk_req *done, *next;
	bool block;
	u32 fired;

	for (;;) {
		set_notify(b, false);
		if (!b->stopping)
			run_queues(b);
		signal_queues(b);
		if (b->stopping && !b->in_flight)
			break;
		/* Without a request to spare, only completions matter. */
		block = b->stopping || !req_available(b) ||
			!set_notify(b, true);
		done = disk_wait(b->dq, fds, nr_fds, &fired, block);
		if (fired & 1)
			b->stopping = true;
		for (; done; done = next) {
			next = done->next;
			req_complete(b, container_of(done, struct blk_req,
						     disk));
		}
	}
}

static void *blk_main(void *opaque)
{
	struct blk *b = opaque;
	int fds[BLK_MAX_QUEUES + 1];
	unsigned int nr_fds = 0;
	int ret;

	ret = disk_queue_create(b->disk, b->nr_reqs, &b->dq);
	b->start_error = ret;
	sem_post(&b->started);
	if (ret)
		return NULL;
	fds[nr_fds++] = b->control_fd;
	for (unsigned int i = 0; i < b->dev->nr_queues; i++) {
		if (b->dev->queue[i].ready)
			fds[nr_fds++] = b->dev->queue[i].kick_fd;
	}
	blk_loop(b, fds, nr_fds);
	disk_queue_destroy(b->dq);
	b->dq = NULL;
	return NULL;
}

static int start_thread(struct blk *b)
{
	int ret = virtio_thread_start(b->dev, &b->thread, blk_main, b);

	if (ret)
		return ret;
	while (sem_wait(&b->started) && errno == EINTR)
		;
	if (b->start_error)
		pthread_join(b->thread, NULL);
	return b->start_error;
}

static int blk_activate(struct virtio_device *dev)
{
	struct blk *b = dev->priv;
	int ret;

	b->nr_reqs = 0;
	for (unsigned int i = 0; i < dev->nr_queues; i++) {
		if (dev->queue[i].ready)
			b->nr_reqs += dev->queue[i].num;
	}
	b->nr_fresh = 0;
	b->free = NULL;
	b->in_flight = 0;
	b->signal = 0;
	b->stopping = false;
	b->said = false;
	b->write_through = !virtio_has(dev, VIRTIO_BLK_F_FLUSH);
	b->reqs = b->nr_reqs ? calloc(b->nr_reqs, sizeof(*b->reqs)) : NULL;
	if (b->nr_reqs && !b->reqs)
		return -ENOMEM;
	ret = start_thread(b);
	if (ret) {
		free(b->reqs);
		b->reqs = NULL;
		return ret;
	}
	b->running = true;
	return 0;
}

static void blk_deactivate(struct virtio_device *dev)
{
	struct blk *b = dev->priv;

	if (!b || !b->running)
		return;
	thread_stop(b->thread, b->control_fd);
	b->running = false;
	free(b->reqs);
	b->reqs = NULL;
}

static u64 blk_features(struct virtio_device *dev)
{
	struct blk *b = dev->priv;
	const struct disk_info *info = disk_info(b->disk);
	u64 f = BIT_ULL(VIRTIO_BLK_F_SIZE_MAX) | BIT_ULL(VIRTIO_BLK_F_SEG_MAX) |
		BIT_ULL(VIRTIO_BLK_F_BLK_SIZE) |
		BIT_ULL(VIRTIO_BLK_F_TOPOLOGY) | BIT_ULL(VIRTIO_BLK_F_FLUSH);

	if (info->readonly)
		return f | BIT_ULL(VIRTIO_BLK_F_RO) |
		       (dev->nr_queues > 1 ? BIT_ULL(VIRTIO_BLK_F_MQ) : 0);
	if (info->discard)
		f |= BIT_ULL(VIRTIO_BLK_F_DISCARD);
	if (info->write_zeroes)
		f |= BIT_ULL(VIRTIO_BLK_F_WRITE_ZEROES);
	if (dev->nr_queues > 1)
		f |= BIT_ULL(VIRTIO_BLK_F_MQ);
	return f;
}

static void blk_config_read(struct virtio_device *dev, u32 off, void *d,
			    u32 len)
{
	struct blk *b = dev->priv;

	memcpy(d, (const u8 *)&b->config + off, len);
}

static void config_fill(struct blk *b, u16 nr_queues)
{
	const struct disk_info *info = disk_info(b->disk);
	struct virtio_blk_config *c = &b->config;
	u32 block = info->block_size;
	u32 align = MAX(info->physical_block_size, block) >> SECTOR_SHIFT;
	u8 exp = 0;

	while (block << exp < info->physical_block_size && exp < 15)
		exp++;
	c->capacity = htole64(info->size >> SECTOR_SHIFT);
	c->size_max = htole32(SEG_SIZE_MAX);
	c->seg_max = htole32(SEG_MAX);
	c->blk_size = htole32(block);
	c->physical_block_exp = exp;
	c->min_io_size = htole16(MIN(info->min_io_size / block, 0xffffU));
	c->opt_io_size = htole32(info->opt_io_size / block);
	c->num_queues = htole16(nr_queues);
	if (info->discard) {
		c->max_discard_sectors = htole32(MAX_DISCARD_SECTORS);
		c->max_discard_seg = htole32(1);
		c->discard_sector_alignment = htole32(align);
	}
	if (info->write_zeroes) {
		c->max_write_zeroes_sectors = htole32(MAX_ZEROES_SECTORS);
		c->max_write_zeroes_seg = htole32(1);
		c->write_zeroes_may_unmap = info->discard;
	}
}

static unsigned int blk_queues(const void *opts)
{
	const struct virtio_blk_opts *o = opts;

	return o->nr_queues ? o->nr_queues : 1;
}

static int blk_create(struct virtio_device *dev, const void *opts,
		      struct report *r)
{
	const struct virtio_blk_opts *o = opts;
	struct blk *b;
	int ret;

	if (o->nr_queues > BLK_MAX_QUEUES)
		return report_error(r, 0, "%s: at most %u queues",
				    dev->dev.name, BLK_MAX_QUEUES);
	b = calloc(1, sizeof(*b));
	if (!b)
		return report_error(r, ENOMEM, "%s", dev->dev.name);
	b->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->control_fd < 0) {
		ret = report_error(r, errno, "%s: eventfd", dev->dev.name);
		free(b);
		return ret;
	}
	sem_init(&b->started, 0, 0);
	b->dev = dev;
	b->disk = o->disk;
	if (o->serial)
		memcpy(b->serial, o->serial,
		       strnlen(o->serial, sizeof(b->serial)));
	config_fill(b, dev->nr_queues);
	dev->priv = b;
	return 0;
}

static void blk_destroy(struct virtio_device *dev)
{
	struct blk *b = dev->priv;

	if (!b)
		return;
	blk_deactivate(dev);
	sem_destroy(&b->started);
	close(b->control_fd);
	disk_close(b->disk);
	free(b);
	dev->priv = NULL;
}

/* The image is not state; that it is the same size is what can be checked. */
static void blk_save(struct virtio_device *dev, struct state_out *out)
{
	struct blk *b = dev->priv;

	state_put_u32(out, BLK_STATE_VERSION);
	state_put_u64(out, disk_info(b->disk)->size);
}

static int blk_restore(struct virtio_device *dev, struct state_in *in)
{
	struct blk *b = dev->priv;

	state_get_version(in, BLK_STATE_VERSION);
	if (state_get_u64(in) != disk_info(b->disk)->size)
		return -EPROTO;
	return in->err;
}

const struct virtio_class virtio_blk_class = {
	.name = "blk",
	.id = VIRTIO_ID_BLOCK,
	.nr_queues = BLK_MAX_QUEUES,
	.queues = blk_queues,
	.queue_max = QUEUE_MAX,
	.config_len = sizeof(struct virtio_blk_config),
	.pci_class = 0x010000,
	.has_thread = true,
	.removable = true,
	.create = blk_create,
	.features = blk_features,
	.config_read = blk_config_read,
	.activate = blk_activate,
	.deactivate = blk_deactivate,
	.save = blk_save,
	.restore = blk_restore,
	.destroy = blk_destroy,
};
