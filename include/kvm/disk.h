/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Disks: an image format (raw), and an engine that does its I/O: io_uring by
 * raw system calls, or threads. One queue of requests belongs to one thread.
 */
#ifndef KVM__DISK_H
#define KVM__DISK_H

#include <sys/uio.h>
#include "kvm/opts.h"
#include "kvm/report.h"
#include "kvm/types.h"

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,
	DISK_DISCARD,
	DISK_WRITE_ZEROES,
};

struct disk;
struct disk_queue;

/**
 * struct disk_info - what the guest is told
 * @size: bytes, a multiple of 512
 * @block_size: logical block, bytes
 * @physical_block_size: bytes
 * @min_io_size: bytes
 * @opt_io_size: bytes
 * @readonly: nothing is written
 * @discard: whether space can be given back
 * @write_zeroes: whether DISK_WRITE_ZEROES is done
 */
struct disk_info {
	u64 size;
	u32 block_size;
	u32 physical_block_size;
	u32 min_io_size;
	u32 opt_io_size;
	bool readonly;
	bool discard;
	bool write_zeroes;
};

/**
 * struct disk_req - one request; the caller's, until it is completed
 * @off: bytes
 * @len: bytes, for READ and WRITE the sum of @iov
 * @unmap: WRITE_ZEROES may give the space back
 * @result: 0 or -errno, valid after completion; a short transfer is retried,
 *	and is -EIO when it makes no progress (the image shrank)
 * @iov: modified by the engine while it runs
 * @bounce: the engine's: an aligned copy for direct I/O, with what is left of
 *	it in @bounce_iov; undefined outside of the engine
 * @merged: the engine's: those that are done together with this one, by @next
 * @alone: the engine's: is merged no more
 */
struct disk_req {
	enum disk_op op;
	u64 off;
	u64 len;
	struct iovec *iov;
	unsigned int nr_iov;
	bool unmap;
	int result;
	u64 done;
	struct disk_req *next;
	void *bounce;
	struct iovec bounce_iov;
	struct disk_req *merged;
	bool alone;
};

/**
 * disk_open() - open an image
 *
 * A directory, or anything but a regular file and a block device, is refused.
 * Not readonly takes an advisory write lock (OFD), readonly a read lock:
 * an image in use by another writer is refused.
 * Return: 0 with *@out, -errno with the reason in @r ("disk PATH: ...").
 */
int disk_open(struct disk **out, const struct disk_opts *opts,
	      struct report *r);
/** disk_close() - its queues are destroyed by then; accepts NULL */
void disk_close(struct disk *d);
/** disk_info() - what the guest is told of @d, which has it for as long as it is open */
const struct disk_info *disk_info(const struct disk *d);

/**
 * disk_queue_create() - an engine instance for the calling thread
 * @depth: most requests in flight
 */
int disk_queue_create(struct disk *d, unsigned int depth,
		      struct disk_queue **out);
/** disk_queue_destroy() - waits for what is in flight */
void disk_queue_destroy(struct disk_queue *q);
/** disk_submit() - queue a request; it starts at the next disk_wait() */
void disk_submit(struct disk_queue *q, struct disk_req *req);

/**
 * disk_wait() - start what was submitted, then wait for something
 * @fds: eventfds to wait for as well, non-blocking; the same set on each call. One
 *	that fires is read by the engine.
 * @nr_fds: how many, at most 17
 * @fired: bit n is set when fds[n] fired
 * @block: false to only start requests and collect what is done
 *
 * Return: completed requests, linked by next, or NULL.
 */
struct disk_req *disk_wait(struct disk_queue *q, const int *fds,
			   unsigned int nr_fds, u32 *fired, bool block);

#endif
