/* SPDX-License-Identifier: GPL-2.0-only */
/* What disk.c, raw.c and the engines share; private to disk/. */
#ifndef KVM__DISK_ENGINE_H
#define KVM__DISK_ENGINE_H

#include "kvm/disk.h"

#define DISK_MAX_FDS 17

/**
 * struct disk_engine_ops - one way to do I/O
 * @probe: 0 if this host can do it, else -errno
 */
struct disk_engine_ops {
	int (*probe)(void);
	int (*create)(struct disk *d, unsigned int depth,
		      struct disk_queue **out);
	void (*destroy)(struct disk_queue *q);
	void (*submit)(struct disk_queue *q, struct disk_req *req);
	struct disk_req *(*wait)(struct disk_queue *q, const int *fds,
				 unsigned int nr_fds, u32 *fired, bool block);
};

/**
 * struct disk - an open image; immutable after disk_open()
 * @block_device: else a regular file
 * @mem_align: what direct I/O asks of buffers, a power of two; 1 if buffered
 */
struct disk {
	int fd;
	bool block_device;
	bool direct;
	u32 mem_align;
	struct disk_info info;
	const struct disk_engine_ops *ops;
};

/** struct disk_queue - the head of each engine's own queue */
struct disk_queue {
	const struct disk_engine_ops *ops;
	struct disk *disk;
};

/** struct disk_list - requests, first in first out */
struct disk_list {
	struct disk_req *head;
	struct disk_req *tail;
};

void disk_list_add(struct disk_list *l, struct disk_req *req);
struct disk_req *disk_list_pop(struct disk_list *l);
/** disk_list_take() - all of it, linked by next */
struct disk_req *disk_list_take(struct disk_list *l);

/**
 * disk_req_begin() - check a request and give it an aligned buffer if needed
 *
 * Return: 1 if there is nothing to do, 0, or -errno. Unless it is 0, the
 * request is complete with that result.
 */
int disk_req_begin(const struct disk *d, struct disk_req *req);
/** disk_req_iov() - the pieces that the next system call works on */
const struct iovec *disk_req_iov(const struct disk_req *req,
				 unsigned int *nr);
/**
 * disk_req_advance() - a READ or WRITE moved @n bytes
 * Return: whether some are left.
 */
bool disk_req_advance(struct disk_req *req, u64 n);
/** disk_req_end() - set the result, drop what begin made */
void disk_req_end(struct disk_req *req, int result);

/** disk_fallocate_mode() - for DISCARD and WRITE_ZEROES */
int disk_fallocate_mode(const struct disk_req *req);
/** disk_raw_run() - do a request here and now. Return: 0 or -errno */
int disk_raw_run(const struct disk *d, struct disk_req *req);
/** disk_raw_zero() - WRITE_ZEROES when the file system cannot */
int disk_raw_zero(const struct disk *d, struct disk_req *req);
/** disk_raw_discard() - DISCARD; nothing to do is success */
int disk_raw_discard(const struct disk *d, const struct disk_req *req);

extern const struct disk_engine_ops disk_uring_ops;
extern const struct disk_engine_ops disk_threads_ops;

#endif
