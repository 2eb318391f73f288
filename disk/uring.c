// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The io_uring engine, by raw system calls. One ring a queue, made, used and
 * destroyed by one thread; that is what IORING_SETUP_SINGLE_ISSUER promises
 * the kernel, and why there are no locks. Submitted requests wait on @pending
 * until disk_wait() turns them into SQEs; it enters the kernel once, to submit
 * all of them and to wait for one completion, and not at all when there is
 * nothing to submit and completions are already in the ring.
 *
 * The caller's eventfds are waited for in the same call, by a multishot poll
 * on each. Every write to an eventfd wakes the poll, whatever the count was,
 * so the count need not be read for the next write to be seen: no system call
 * is spent on it. It is read when the poll has to be armed again (the kernel
 * ends it when the CQ overflows) and when the queue is destroyed.
 *
 * Transfers that were submitted one behind the other, in time and on the disk, are
 * merged: they have one SQE, whose pieces are @iov until the kernel has taken it
 * (FEAT_SUBMIT_STABLE). If that fails, each is tried alone: an error is the error of
 * a request.
 *
 * A request has at most one SQE in the kernel. user_data is its address, of merged
 * ones that of the first; the low bit is set for what is not a request: polls, with
 * the number of the eventfd, and cancellations. Ring indices pair with the kernel:
 * its CQ tail is loaded with acquire before entries are read, our SQ tail stored
 * with release after they were written, our CQ head after they were read.
 *
 * Done synchronously on the owner's thread: BLKDISCARD on block devices (it
 * has no opcode everywhere), writing zeroes where the file system cannot, and
 * the rest of a request that ends with -EAGAIN or -EINTR.
 *
 * Buffers are not registered: they would have to be guest RAM, and registering
 * it pins all of it, touched or not.
 *
 * Not supported: SQPOLL and IOPOLL, which spend a CPU; kernels before 5.13,
 * which have no multishot poll. A guest decides what is read and written;
 * nothing here depends on the contents.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/io_uring.h>
#include "kvm/eventfd.h"
#include "engine.h"

#define MAX_ENTRIES 1024
/* SQEs that are not requests: a poll and a cancellation for each eventfd */
#define SPARE_ENTRIES (2 * DISK_MAX_FDS)
#define MERGE_IOV 512U
#define MERGE_BYTES 0x100000U

#define TAG_OTHER 1ULL
#define TAG_POLL(n) ((u64)(n) << 2 | TAG_OTHER)
#define TAG_CANCEL (2ULL | TAG_OTHER)

struct uring_map {
	u8 *rings;
	size_t rings_len;
	struct io_uring_sqe *sqes;
	size_t sqes_len;
};

struct uring_sq {
	u32 *head;
	u32 *tail;
	u32 *flags;
	u32 *array;
	u32 mask;
	u32 entries;
	u32 local_tail;
};

struct uring_cq {
	u32 *head;
	u32 *tail;
	u32 mask;
	struct io_uring_cqe *cqes;
};

struct uring_queue {
	struct disk_queue base;
	int ring_fd;
	bool fixed_file;
	struct uring_map map;
	struct uring_sq sq;
	struct uring_cq cq;
	struct disk_list pending;
	struct disk_list ready;
	unsigned int in_flight;
	unsigned int max_in_flight;
	unsigned int nr_iov;
	struct iovec iov[MERGE_IOV];
	int fds[DISK_MAX_FDS];
	unsigned int nr_fds;
	u32 armed;
	u32 stale;
	u32 fired;
};

static int uring_setup(u32 entries, struct io_uring_params *p)
{
	/* Newest first: 6.1, 5.19, 5.5. Older kernels say EINVAL. */
	static const u32 flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
		IORING_SETUP_SUBMIT_ALL,
		0,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
		int fd;

		memset(p, 0, sizeof(*p));
		p->flags = flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
		p->cq_entries = 2 * entries;
		/* The kernel makes it close-on-exec. */
		fd = syscall(__NR_io_uring_setup, entries, p);
		if (fd >= 0)
			return fd;
		if (errno != EINVAL)
			break;
	}
	return -errno;
}

static int uring_register(int fd, unsigned int op, void *arg, unsigned int nr)
{
	return syscall(__NR_io_uring_register, fd, op, arg, nr) < 0 ?
	       -errno : 0;
}

static int probe_opcodes(int fd)
{
	static const u8 needed[] = {
		IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV,
		IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE,
		IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
	};
	struct io_uring_probe *p;
	int ret;

	p = calloc(1, sizeof(*p) + 256 * sizeof(p->ops[0]));
	if (!p)
		return -ENOMEM;
	ret = uring_register(fd, IORING_REGISTER_PROBE, p, 256);
	for (unsigned int i = 0; !ret && i < ARRAY_SIZE(needed); i++) {
		if (!(p->ops[needed[i]].flags & IO_URING_OP_SUPPORTED))
			ret = -EOPNOTSUPP;
	}
	free(p);
	return ret;
}

static int uring_probe(void)
{
	/* RSRC_TAGS came with multishot poll, which has no flag of its own. */
	const u32 features = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP |
			     IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_RSRC_TAGS;
	struct io_uring_params p;
	int fd = uring_setup(4, &p);
	int ret;

	if (fd < 0)
		return fd;
	ret = (p.features & features) == features ? probe_opcodes(fd) :
	      -EOPNOTSUPP;
	close(fd);
	return ret;
}

static u32 sq_used(const struct uring_queue *q)
{
	return q->sq.local_tail - __atomic_load_n(q->sq.head, __ATOMIC_ACQUIRE);
}

/* The next SQE, zeroed, or NULL. uring_enter() makes it visible. */
static struct io_uring_sqe *next_sqe(struct uring_queue *q)
{
	u32 i = q->sq.local_tail & q->sq.mask;

	if (sq_used(q) >= q->sq.entries)
		return NULL;
	q->sq.array[i] = i;
	q->sq.local_tail++;
	memset(&q->map.sqes[i], 0, sizeof(q->map.sqes[i]));
	return &q->map.sqes[i];
}

/* Submit all SQEs and run what the kernel has for us; maybe wait for one. */
static void uring_enter(struct uring_queue *q, bool wait)
{
	int ret;

	__atomic_store_n(q->sq.tail, q->sq.local_tail, __ATOMIC_RELEASE);
	ret = syscall(__NR_io_uring_enter, q->ring_fd, sq_used(q), wait ? 1 : 0,
		      IORING_ENTER_GETEVENTS, NULL, 0);
	if (!sq_used(q))
		q->nr_iov = 0;
	if (ret >= 0)
		return;
	/*
	 * The SQEs stay in the ring for the next call. Other than a signal,
	 * only want of memory or a CQ that the caller empties next is left.
	 */
	if (errno != EINTR && errno != EBUSY)
		poll(NULL, 0, 1);
}

static void prep_transfer(struct io_uring_sqe *sqe, const struct disk_req *req)
{
	bool write = req->op == DISK_WRITE;
	unsigned int nr;
	const struct iovec *iov = disk_req_iov(req, &nr);

	sqe->off = req->off + req->done;
	if (nr == 1) {
		sqe->opcode = write ? IORING_OP_WRITE : IORING_OP_READ;
		sqe->addr = (uintptr_t)iov->iov_base;
		sqe->len = MIN(iov->iov_len, (size_t)SZ_1G);
	} else {
		sqe->opcode = write ? IORING_OP_WRITEV : IORING_OP_READV;
		sqe->addr = (uintptr_t)iov;
		sqe->len = nr;
	}
}

static void prep_request(struct uring_queue *q, struct io_uring_sqe *sqe,
			 struct disk_req *req)
{
	sqe->fd = q->fixed_file ? 0 : q->base.disk->fd;
	sqe->flags = q->fixed_file ? IOSQE_FIXED_FILE : 0;
	sqe->user_data = (uintptr_t)req;
	switch (req->op) {
	case DISK_READ:
	case DISK_WRITE:
		prep_transfer(sqe, req);
		break;
	case DISK_FLUSH:
		sqe->opcode = IORING_OP_FSYNC;
		sqe->fsync_flags = IORING_FSYNC_DATASYNC;
		break;
	case DISK_DISCARD:
	case DISK_WRITE_ZEROES:
		sqe->opcode = IORING_OP_FALLOCATE;
		sqe->off = req->off;
		sqe->addr = req->len;
		sqe->len = disk_fallocate_mode(req);
		break;
	}
}

static void uring_finish(struct uring_queue *q, struct disk_req *req,
			 int result)
{
	disk_req_end(req, result);
	disk_list_add(&q->ready, req);
}

static bool can_merge(const struct uring_queue *q, const struct disk_req *a,
		      u64 len, const struct disk_req *b)
{
	return b && b->op == a->op && b->off == a->off + len && !a->bounce &&
	       !b->bounce && !a->done && !b->done && !a->alone && !b->alone &&
	       b->len <= MERGE_BYTES - len && b->nr_iov <= MERGE_IOV - q->nr_iov;
}

static void merge_iov(struct uring_queue *q, const struct disk_req *req)
{
	memcpy(q->iov + q->nr_iov, req->iov, req->nr_iov * sizeof(*req->iov));
	q->nr_iov += req->nr_iov;
}

/* @req is off the pending list: those at its head that continue it join it. */
static void merge(struct uring_queue *q, struct io_uring_sqe *sqe,
		  struct disk_req *req)
{
	unsigned int first = q->nr_iov;
	struct disk_list l = { 0 };
	u64 len = req->len;

	if ((req->op != DISK_READ && req->op != DISK_WRITE) ||
	    len > MERGE_BYTES || req->nr_iov > MERGE_IOV - first ||
	    !can_merge(q, req, len, q->pending.head))
		return;
	merge_iov(q, req);
	while (can_merge(q, req, len, q->pending.head)) {
		struct disk_req *b = disk_list_pop(&q->pending);

		merge_iov(q, b);
		len += b->len;
		disk_list_add(&l, b);
	}
	req->merged = l.head;
	sqe->opcode = req->op == DISK_WRITE ? IORING_OP_WRITEV : IORING_OP_READV;
	sqe->addr = (uintptr_t)(q->iov + first);
	sqe->len = q->nr_iov - first;
}

static void fill_requests(struct uring_queue *q)
{
	const struct disk *d = q->base.disk;

	while (q->pending.head && q->in_flight < q->max_in_flight) {
		struct disk_req *req;
		struct io_uring_sqe *sqe;

		if (q->pending.head->op == DISK_DISCARD && d->block_device) {
			req = disk_list_pop(&q->pending);
			uring_finish(q, req, disk_raw_discard(d, req));
			continue;
		}
		sqe = next_sqe(q);
		if (!sqe)
			break;
		req = disk_list_pop(&q->pending);
		prep_request(q, sqe, req);
		merge(q, sqe, req);
		q->in_flight++;
	}
}

static void arm_polls(struct uring_queue *q)
{
	for (unsigned int i = 0; i < q->nr_fds; i++) {
		struct io_uring_sqe *sqe;

		if (q->armed & BIT(i))
			continue;
		sqe = next_sqe(q);
		if (!sqe)
			return;
		/* The poll starts from zero; there may be more than was reported. */
		if (q->stale & BIT(i)) {
			eventfd_clear(q->fds[i]);
			q->fired |= BIT(i);
		}
		sqe->opcode = IORING_OP_POLL_ADD;
		sqe->fd = q->fds[i];
		sqe->poll32_events = POLLIN;
#if __BYTE_ORDER == __BIG_ENDIAN
		sqe->poll32_events <<= 16;
#endif
		sqe->len = IORING_POLL_ADD_MULTI;
		sqe->user_data = TAG_POLL(i);
		q->armed |= BIT(i);
	}
}

static void complete_other(struct uring_queue *q,
			   const struct io_uring_cqe *cqe)
{
	unsigned int i = cqe->user_data >> 2;

	if (cqe->user_data == TAG_CANCEL || i >= q->nr_fds)
		return;
	if (cqe->res > 0) {
		q->fired |= BIT(i);
		q->stale |= BIT(i);
	}
	if (!(cqe->flags & IORING_CQE_F_MORE))
		q->armed &= ~BIT(i);
}

/*
 * @res is the result for @req and all merged with it: hand out the bytes in order,
 * resubmit the rest unmerged.
 */
static void complete_merged(struct uring_queue *q, struct disk_req *req, int res)
{
	struct disk_req *next = req->merged;
	u64 left = MAX(res, 0);

	req->merged = NULL;
	for (; req; req = next, next = next ? next->next : NULL) {
		u64 n = MIN(left, req->len);

		left -= n;
		req->alone = true;
		if (n && !disk_req_advance(req, n))
			uring_finish(q, req, 0);
		else
			disk_list_add(&q->pending, req);
	}
}

static void complete_request(struct uring_queue *q, struct disk_req *req,
			     int res)
{
	bool transfer = req->op == DISK_READ || req->op == DISK_WRITE;

	q->in_flight--;
	if (req->merged) {
		complete_merged(q, req, res);
		return;
	}
	/* The kernel has no more to try: again at once would go on for ever. */
	if (res == -EINTR || res == -EAGAIN) {
		uring_finish(q, req, disk_raw_run(q->base.disk, req));
		return;
	}
	if (transfer && res > 0 && disk_req_advance(req, res)) {
		disk_list_add(&q->pending, req);
		return;
	}
	if (transfer && !res)
		res = -EIO;
	else if (req->op == DISK_WRITE_ZEROES && res == -EOPNOTSUPP)
		res = disk_raw_zero(q->base.disk, req);
	uring_finish(q, req, MIN(res, 0));
}

static void uring_reap(struct uring_queue *q)
{
	u32 tail = __atomic_load_n(q->cq.tail, __ATOMIC_ACQUIRE);
	u32 head = *q->cq.head;

	while (head != tail) {
		struct io_uring_cqe *cqe = &q->cq.cqes[head++ & q->cq.mask];

		if (cqe->user_data & TAG_OTHER)
			complete_other(q, cqe);
		else
			complete_request(q, (void *)(uintptr_t)cqe->user_data,
					 cqe->res);
	}
	__atomic_store_n(q->cq.head, head, __ATOMIC_RELEASE);
}

static void uring_submit(struct disk_queue *base, struct disk_req *req)
{
	struct uring_queue *q = (struct uring_queue *)base;

	if (disk_req_begin(base->disk, req))
		disk_list_add(&q->ready, req);
	else
		disk_list_add(&q->pending, req);
}

/* Whether completions wait in the kernel for us to come and get them. */
static bool kernel_has_work(const struct uring_queue *q)
{
	return __atomic_load_n(q->sq.flags, __ATOMIC_RELAXED) &
	       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* One round: start, enter at most once, collect. */
static void uring_round(struct uring_queue *q, bool block)
{
	bool wait;

	uring_reap(q);
	arm_polls(q);
	fill_requests(q);
	wait = block && !q->ready.head && !q->fired;
	if (!wait && !sq_used(q) && !kernel_has_work(q))
		return;
	uring_enter(q, wait);
	uring_reap(q);
}

static struct disk_req *uring_wait(struct disk_queue *base, const int *fds,
				   unsigned int nr_fds, u32 *fired, bool block)
{
	struct uring_queue *q = (struct uring_queue *)base;

	if (!q->nr_fds && nr_fds) {
		memcpy(q->fds, fds, nr_fds * sizeof(*fds));
		q->nr_fds = nr_fds;
	}
	do {
		uring_round(q, block);
	} while (block && !q->ready.head && !q->fired);
	*fired = q->fired;
	q->fired = 0;
	return disk_list_take(&q->ready);
}

static void cancel_polls(struct uring_queue *q)
{
	u32 left = q->armed;

	for (unsigned int i = 0; i < q->nr_fds; i++) {
		struct io_uring_sqe *sqe;

		if (!(left & BIT(i)))
			continue;
		sqe = next_sqe(q);
		if (!sqe) {
			uring_enter(q, false);
			sqe = next_sqe(q);
		}
		/* Without one, closing the ring cancels it a little later. */
		if (!sqe)
			return;
		sqe->opcode = IORING_OP_ASYNC_CANCEL;
		sqe->addr = TAG_POLL(i);
		sqe->user_data = TAG_CANCEL;
	}
	while (q->armed) {
		uring_enter(q, true);
		uring_reap(q);
	}
}

static void uring_unmap(struct uring_queue *q)
{
	if (q->map.sqes)
		munmap(q->map.sqes, q->map.sqes_len);
	if (q->map.rings)
		munmap(q->map.rings, q->map.rings_len);
	close(q->ring_fd);
	free(q);
}

static void uring_destroy(struct disk_queue *base)
{
	struct uring_queue *q = (struct uring_queue *)base;

	while (q->in_flight || q->pending.head) {
		disk_list_take(&q->ready);
		q->fired = 0;
		uring_round(q, q->in_flight || q->pending.head);
	}
	cancel_polls(q);
	for (unsigned int i = 0; i < q->nr_fds; i++) {
		if (q->stale & BIT(i))
			eventfd_clear(q->fds[i]);
	}
	uring_unmap(q);
}

static void *ring_mmap(int fd, size_t len, u64 off)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, fd, off);

	return p == MAP_FAILED ? NULL : p;
}

static int uring_mmap(struct uring_queue *q, const struct io_uring_params *p)
{
	size_t sq_len = p->sq_off.array + p->sq_entries * sizeof(u32);
	size_t cq_len = p->cq_off.cqes +
			p->cq_entries * sizeof(struct io_uring_cqe);
	u8 *r;

	q->map.rings_len = MAX(sq_len, cq_len);
	q->map.rings = ring_mmap(q->ring_fd, q->map.rings_len,
				 IORING_OFF_SQ_RING);
	if (!q->map.rings)
		return -errno;
	q->map.sqes_len = p->sq_entries * sizeof(struct io_uring_sqe);
	q->map.sqes = ring_mmap(q->ring_fd, q->map.sqes_len, IORING_OFF_SQES);
	if (!q->map.sqes)
		return -errno;
	r = q->map.rings;
	q->sq.head = (u32 *)(r + p->sq_off.head);
	q->sq.tail = (u32 *)(r + p->sq_off.tail);
	q->sq.flags = (u32 *)(r + p->sq_off.flags);
	q->sq.array = (u32 *)(r + p->sq_off.array);
	q->sq.mask = *(u32 *)(r + p->sq_off.ring_mask);
	q->sq.entries = p->sq_entries;
	q->cq.head = (u32 *)(r + p->cq_off.head);
	q->cq.tail = (u32 *)(r + p->cq_off.tail);
	q->cq.mask = *(u32 *)(r + p->cq_off.ring_mask);
	q->cq.cqes = (struct io_uring_cqe *)(r + p->cq_off.cqes);
	return 0;
}

static int uring_create(struct disk *d, unsigned int depth,
			struct disk_queue **out)
{
	struct uring_queue *q = calloc(1, sizeof(*q));
	struct io_uring_params p;
	int ret;

	if (!q)
		return -ENOMEM;
	q->base.ops = &disk_uring_ops;
	q->base.disk = d;
	q->ring_fd = uring_setup(MIN(depth + SPARE_ENTRIES, MAX_ENTRIES), &p);
	if (q->ring_fd < 0) {
		ret = q->ring_fd;
		free(q);
		return ret;
	}
	ret = uring_mmap(q, &p);
	if (ret) {
		uring_unmap(q);
		return ret;
	}
	q->max_in_flight = p.sq_entries - SPARE_ENTRIES;
	/* Saves a reference count on each request; it works without. */
	q->fixed_file = !uring_register(q->ring_fd, IORING_REGISTER_FILES,
					&d->fd, 1);
	*out = &q->base;
	return 0;
}

const struct disk_engine_ops disk_uring_ops = {
	.probe = uring_probe,
	.create = uring_create,
	.destroy = uring_destroy,
	.submit = uring_submit,
	.wait = uring_wait,
};
