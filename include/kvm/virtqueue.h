/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A split virtqueue, virtio 1.2 s2.7. The guest owns the descriptor table and
 * the available ring, the device the used ring. All that the guest wrote is
 * copied once and checked before a device sees it.
 */
#ifndef KVM__VIRTQUEUE_H
#define KVM__VIRTQUEUE_H

#include <sys/uio.h>
#include "kvm/gmem.h"
#include "kvm/state.h"

#define VIRTQUEUE_MAX_SIZE 1024
#define VQ_CHAIN_MAX 256

struct virtio_device;

/**
 * struct virtqueue_count - what went through, since the VM began
 * @chains: given back
 * @out: bytes that the device was given, headers included
 * @in: bytes that it wrote, headers included
 * @signals: interrupts
 *
 * Written by who has the queue, read by anybody.
 */
struct virtqueue_count {
	u64 chains;
	u64 out;
	u64 in;
	u64 signals;
};

/**
 * struct virtqueue - the device's side of a queue
 * @dev: the device
 * @gmem: where the rings are
 * @index: number of the queue
 * @size: entries, a power of two, 0 before the driver chose
 * @size_max: what the device offers
 * @ready: set by the driver; rings were checked when it was set
 * @desc_gpa: the table of descriptors
 * @avail_gpa: the ring of what is available
 * @used_gpa: the ring of what was used
 * @desc: @desc_gpa as a host pointer, valid while @ready
 * @avail: @avail_gpa, likewise
 * @used: @used_gpa, likewise
 * @last_avail: next available entry to take
 * @last_used: next used one to give
 * @signalled_used: used index at the last signal, for EVENT_IDX
 * @event_idx: the feature was negotiated; fixed at activation
 * @indirect: likewise
 * @broken: a bad chain was found; nothing is popped any more
 * @num: @size as it was when the rings were checked; the only one used then
 * @notify_off: kicks are not wanted for now, virtqueue_set_notify()
 * @vector: MSI-X vector or 0xffff, the transport's
 * @popped: bytes of the chain that was popped last
 * @kick_fd: eventfd that KVM signals when the driver kicks
 * @count: what went through
 *
 * Context: while lent to a device thread, that thread only.
 */
struct virtqueue {
	struct virtio_device *dev;
	const struct gmem *gmem;
	unsigned int index;
	u16 size;
	u16 size_max;
	bool ready;
	u64 desc_gpa;
	u64 avail_gpa;
	u64 used_gpa;
	u8 *desc;
	u8 *avail;
	u8 *used;
	u16 last_avail;
	u16 last_used;
	u16 signalled_used;
	bool event_idx;
	bool indirect;
	bool broken;
	bool notify_off;
	u16 num;
	u16 vector;
	int kick_fd;
	u32 popped;
	struct virtqueue_count count;
};

/**
 * struct vq_chain - one request, checked
 * @head: its descriptor
 * @iov: first @nr_out pieces that the device reads, then @nr_in that it writes
 * @out_len: bytes that the device reads
 * @in_len: bytes that it may write
 * @nr_out: pieces that the device reads
 * @nr_in: pieces that it may write
 */
struct vq_chain {
	u16 head;
	u16 nr_out;
	u16 nr_in;
	u32 out_len;
	u32 in_len;
	struct iovec iov[VQ_CHAIN_MAX];
};

/**
 * virtqueue_map() - check size and ring addresses, find the rings
 *
 * Return: 0; -EINVAL when size, alignment or an address is bad.
 */
int virtqueue_map(struct virtqueue *vq);
/** virtqueue_reset() - forget all that the driver set */
void virtqueue_reset(struct virtqueue *vq);

/**
 * virtqueue_pop() - take the next chain
 *
 * Checks index, order, direction, loops, indirect tables, addresses and the
 * sum of the lengths (virtio 1.2 s2.7.5). A chain with more than VQ_CHAIN_MAX
 * pieces is refused.
 * Return: 1; 0 when empty; -EPROTO when the driver broke the rules: the
 * device then has DEVICE_NEEDS_RESET and the queue is broken.
 */
int virtqueue_pop(struct virtqueue *vq, struct vq_chain *chain);

/**
 * virtqueue_unpop() - leave the chain that was popped last in the ring
 *
 * The next pop finds it again, as the driver has it by then. Only before any
 * other pop, and instead of a push.
 */
void virtqueue_unpop(struct virtqueue *vq);

/**
 * virtqueue_push() - give a chain back
 * @written: bytes that the device wrote
 */
void virtqueue_push(struct virtqueue *vq, const struct vq_chain *chain,
		    u32 written);

/** struct vq_used - a chain that is given back, @written bytes of it used */
struct vq_used {
	u16 head;
	u32 written;
};

/**
 * virtqueue_push_many() - give @nr chains back, seen by the driver all at once
 */
void virtqueue_push_many(struct virtqueue *vq, const struct vq_used *used,
			 unsigned int nr);

/**
 * virtqueue_rewind() - the last @nr chains were not popped
 * @out: bytes of them for the device, as they were counted
 *
 * Only for chains behind which none was pushed.
 */
void virtqueue_rewind(struct virtqueue *vq, u16 nr, u32 out);

/**
 * virtqueue_signal_due() - whether the driver is to be interrupted now
 *
 * It counts as done: for who has a lock that the queue is guarded by, and calls
 * the transport's signal_queue() without it. Return: true once for what was pushed
 */
bool virtqueue_signal_due(struct virtqueue *vq);
/** virtqueue_signal() - interrupt the driver if it asked for that */
void virtqueue_signal(struct virtqueue *vq);

/** virtqueue_set_notify() - ask for kicks, or not; a hint to the driver
 *
 * Return: true when enabled and chains are already waiting: look again.
 */
bool virtqueue_set_notify(struct virtqueue *vq, bool on);

/**
 * virtqueue_resume_at() - the queue comes back from another who served it
 * @last_avail: how far that one came; the used index is taken from the ring
 */
void virtqueue_resume_at(struct virtqueue *vq, u16 last_avail);

/** virtqueue_save() - registers and indices; no ring, which is guest memory */
void virtqueue_save(const struct virtqueue *vq, struct state_out *out);
/** virtqueue_restore() - Return: 0; -EPROTO, and @vq is as after a reset */
int virtqueue_restore(struct virtqueue *vq, struct state_in *in);

/* iov.c: never reads or writes past the pieces */

/** iov_length() - bytes in all pieces */
size_t iov_length(const struct iovec *iov, unsigned int nr);
/** iov_read() - copy @len bytes found at @off. Return: bytes copied */
size_t iov_read(const struct iovec *iov, unsigned int nr, size_t off,
		void *dst, size_t len);
/** iov_write() - copy @len bytes to @off. Return: bytes copied */
size_t iov_write(const struct iovec *iov, unsigned int nr, size_t off,
		 const void *src, size_t len);
/**
 * iov_slice() - the pieces that make up [@off, @off + @len)
 * @out: at least @nr pieces. Return: how many; fewer bytes when it is short
 */
unsigned int iov_slice(const struct iovec *iov, unsigned int nr, size_t off,
		       size_t len, struct iovec *out);

#endif
