// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * A raw image: byte n of the disk is byte n of the file. Here is the life of
 * a request that both engines share (begin, advance, end), and how to carry
 * one out with plain system calls, on whichever thread asks.
 *
 * Direct I/O wants aligned buffers, which a guest need not have. Such a
 * request goes through a copy of at most BOUNCE_MAX bytes at a time, so what a
 * guest makes us allocate is bounded by the depth of the queue.
 *
 * Discarding punches a hole. Writing zeroes punches one when space may be
 * given back, else uses FALLOC_FL_ZERO_RANGE, and writes zeroes from a
 * constant buffer where the file system has neither. Block devices take the
 * same fallocate modes for zeroes, and BLKDISCARD.
 *
 * No locks: a request belongs to one thread at a time. A request outside of
 * the image is refused, so a file does not grow beyond the size it was opened
 * with. A file that somebody else makes shorter gives -EIO on reads past its
 * end; writes there make it longer again. Secure erase is not supported.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include "engine.h"

#define BOUNCE_MAX (256 * 1024)
#define BOUNCE_ALIGN 4096
#define ZERO_CHUNK (64 * 1024)
/* No signal of ours comes here: what says EINTR each time is not to be waited for. */
#define EINTR_TRIES 8

void disk_list_add(struct disk_list *l, struct disk_req *req)
{
	req->next = NULL;
	if (l->head)
		l->tail->next = req;
	else
		l->head = req;
	l->tail = req;
}

struct disk_req *disk_list_pop(struct disk_list *l)
{
	struct disk_req *req = l->head;

	if (req) {
		l->head = req->next;
		req->next = NULL;
	}
	return req;
}

struct disk_req *disk_list_take(struct disk_list *l)
{
	struct disk_req *req = l->head;

	l->head = NULL;
	return req;
}

/* Copy @len bytes between the request's own pieces, from its @off, and @buf. */
static void bounce_copy(const struct disk_req *req, u64 off, u8 *buf,
			u64 len)
{
	for (unsigned int i = 0; i < req->nr_iov && len; i++) {
		u64 n = req->iov[i].iov_len;
		u8 *p = req->iov[i].iov_base;

		if (off >= n) {
			off -= n;
			continue;
		}
		n = n - off < len ? n - off : len;
		if (req->op == DISK_WRITE)
			memcpy(buf, p + off, n);
		else
			memcpy(p + off, buf, n);
		buf += n;
		len -= n;
		off = 0;
	}
}

static void bounce_fill(struct disk_req *req)
{
	u64 left = req->len - req->done;

	req->bounce_iov.iov_base = req->bounce;
	req->bounce_iov.iov_len = left < BOUNCE_MAX ? left : BOUNCE_MAX;
	if (req->op == DISK_WRITE)
		bounce_copy(req, req->done, req->bounce,
			    req->bounce_iov.iov_len);
}

static bool aligned(const struct disk *d, const struct disk_req *req)
{
	for (unsigned int i = 0; i < req->nr_iov; i++) {
		const struct iovec *v = &req->iov[i];

		if ((uintptr_t)v->iov_base & (d->mem_align - 1) ||
		    v->iov_len & (d->info.block_size - 1))
			return false;
	}
	return true;
}

static int begin_transfer(const struct disk *d, struct disk_req *req)
{
	u64 sum = 0;

	for (unsigned int i = 0; i < req->nr_iov; i++) {
		if (__builtin_add_overflow(sum, req->iov[i].iov_len, &sum))
			return -EINVAL;
	}
	if (sum != req->len)
		return -EINVAL;
	if (!d->direct || aligned(d, req))
		return 0;
	req->bounce = aligned_alloc(BOUNCE_ALIGN, BOUNCE_MAX);
	if (!req->bounce)
		return -ENOMEM;
	bounce_fill(req);
	return 0;
}

int disk_req_begin(const struct disk *d, struct disk_req *req)
{
	u64 size = d->info.size;
	int ret = 0;

	req->done = 0;
	req->bounce = NULL;
	req->merged = NULL;
	req->alone = false;
	if (req->op == DISK_FLUSH)
		return 0;
	if (req->off > size || req->len > size - req->off)
		ret = -EINVAL;
	else if (req->op != DISK_READ && d->info.readonly)
		ret = -EROFS;
	else if (!req->len)
		ret = 1;
	else if (req->op == DISK_READ || req->op == DISK_WRITE)
		ret = begin_transfer(d, req);
	if (ret)
		disk_req_end(req, ret < 0 ? ret : 0);
	return ret;
}

const struct iovec *disk_req_iov(const struct disk_req *req,
				 unsigned int *nr)
{
	if (req->bounce) {
		*nr = 1;
		return &req->bounce_iov;
	}
	*nr = req->nr_iov;
	return req->iov;
}

static void advance_bounce(struct disk_req *req, u64 n)
{
	u8 *p = req->bounce_iov.iov_base;

	if (req->op == DISK_READ)
		bounce_copy(req, req->done, p, n);
	req->done += n;
	req->bounce_iov.iov_base = p + n;
	req->bounce_iov.iov_len -= n;
	if (!req->bounce_iov.iov_len && req->done < req->len)
		bounce_fill(req);
}

bool disk_req_advance(struct disk_req *req, u64 n)
{
	if (req->bounce) {
		advance_bounce(req, n);
		return req->done < req->len;
	}
	req->done += n;
	if (req->done >= req->len)
		return false;
	while (req->nr_iov && n >= req->iov->iov_len) {
		n -= req->iov->iov_len;
		req->iov++;
		req->nr_iov--;
	}
	if (req->nr_iov && n) {
		req->iov->iov_base = (u8 *)req->iov->iov_base + n;
		req->iov->iov_len -= n;
	}
	return true;
}

void disk_req_end(struct disk_req *req, int result)
{
	free(req->bounce);
	req->bounce = NULL;
	req->result = result;
}

int disk_fallocate_mode(const struct disk_req *req)
{
	if (req->op == DISK_DISCARD || req->unmap)
		return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
}

static int raw_transfer(const struct disk *d, struct disk_req *req)
{
	unsigned int tries = EINTR_TRIES;

	for (;;) {
		unsigned int nr;
		const struct iovec *iov = disk_req_iov(req, &nr);
		off_t off = req->off + req->done;
		ssize_t n;

		if (req->op == DISK_WRITE)
			n = pwritev(d->fd, iov, nr, off);
		else
			n = preadv(d->fd, iov, nr, off);
		if (n < 0 && errno == EINTR && --tries)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		if (!disk_req_advance(req, n))
			return 0;
	}
}

static int raw_fallocate(const struct disk *d, const struct disk_req *req)
{
	unsigned int tries = EINTR_TRIES;
	int ret;

	do {
		ret = fallocate(d->fd, disk_fallocate_mode(req), req->off,
				req->len);
	} while (ret < 0 && errno == EINTR && --tries);
	return ret < 0 ? -errno : 0;
}

int disk_raw_discard(const struct disk *d, const struct disk_req *req)
{
	u64 range[2] = { req->off, req->len };

	if (!d->block_device)
		return raw_fallocate(d, req);
	return ioctl(d->fd, BLKDISCARD, range) < 0 ? -errno : 0;
}

int disk_raw_zero(const struct disk *d, struct disk_req *req)
{
	/* Not const: nobody writes it, but so it takes no room in the binary. */
	static u8 zeroes[ZERO_CHUNK] __aligned(4096);
	unsigned int tries = EINTR_TRIES;

	while (req->done < req->len) {
		u64 left = req->len - req->done;
		ssize_t n = pwrite(d->fd, zeroes,
				   left < ZERO_CHUNK ? left : ZERO_CHUNK,
				   req->off + req->done);

		if (n < 0 && errno == EINTR && --tries)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		req->done += n;
	}
	return 0;
}

int disk_raw_run(const struct disk *d, struct disk_req *req)
{
	int ret;

	switch (req->op) {
	case DISK_READ:
	case DISK_WRITE:
		return raw_transfer(d, req);
	case DISK_FLUSH:
		return fdatasync(d->fd) < 0 ? -errno : 0;
	case DISK_DISCARD:
		return disk_raw_discard(d, req);
	case DISK_WRITE_ZEROES:
		ret = raw_fallocate(d, req);
		return ret == -EOPNOTSUPP ? disk_raw_zero(d, req) : ret;
	}
	return -EINVAL;
}
