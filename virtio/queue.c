// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The device's side of a split virtqueue, virtio 1.2 s2.7. The driver writes
 * the descriptor table and the available ring, the device the used ring; both
 * sides run at once and share nothing but this memory and its ordering:
 *
 *	driver				device
 *	fill desc, avail->ring		avail_idx_acquire()
 *	release avail->idx		read avail->ring, desc
 *
 *	acquire used->idx		fill used->ring
 *	read used->ring			used_idx_release()
 *
 *	publish avail->idx		publish avail_event or used->flags
 *	full barrier			ring_full_barrier()
 *	read avail_event or flags	avail_idx_acquire()
 *
 *	publish used_event or flags	used_idx_release()
 *	full barrier			ring_full_barrier()
 *	acquire used->idx		read used_event or avail->flags
 *
 * The last two are the reason that neither a kick nor an interrupt is lost.
 *
 * A queue belongs to one thread at a time: to a vCPU under the device's lock
 * while it is set up, then to whomever the class lends it. No locks here.
 *
 * Not supported: packed rings, VIRTIO_F_IN_ORDER, resetting a single queue,
 * legacy byte order.
 *
 * The guest may write anything anywhere at any time. The rings are looked up
 * once, for the number of entries that were checked. A descriptor is copied
 * once, and only the copy is looked at. What is wrong (an index out of range, a
 * loop, a readable descriptor behind a writable one, a nested or torn
 * indirect table, an address outside RAM, lengths that add up to 4 GiB, more
 * pieces than VQ_CHAIN_MAX) ends the queue: DEVICE_NEEDS_RESET, no more pops.
 */
#include <errno.h>
#include <string.h>
#include "kvm/virtio.h"

#define DESC_SIZE 16U
#define VQ_STATE_VERSION 1

enum {
	VQ_STATE_READY = 1,
	VQ_STATE_BROKEN = 2,
	VQ_STATE_EVENT_IDX = 4,
	VQ_STATE_INDIRECT = 8,
	VQ_STATE_ALL = 15,
};

/** struct walk - a table of descriptors, and how far we are in it */
struct walk {
	const u8 *ring;
	u64 gpa;
	u32 nr;
	u32 seen;
	bool indirect;
	bool writable;
};

static u16 ring_load16(const u8 *p)
{
	return le16toh(__atomic_load_n((const u16 *)p, __ATOMIC_RELAXED));
}

static void ring_store16(u8 *p, u16 v)
{
	__atomic_store_n((u16 *)p, htole16(v), __ATOMIC_RELAXED);
}

/* Pairs with the driver's release of avail->idx. */
static u16 avail_idx_acquire(const struct virtqueue *vq)
{
	return le16toh(__atomic_load_n((const u16 *)(vq->avail + 2),
				       __ATOMIC_ACQUIRE));
}

/* Pairs with the driver's acquire of used->idx. */
static void used_idx_release(struct virtqueue *vq)
{
	__atomic_store_n((u16 *)(vq->used + 2), htole16(vq->last_used),
			 __ATOMIC_RELEASE);
}

/* Pairs with the driver's barrier between its index and the other's event. */
static void ring_full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static u8 *avail_used_event(const struct virtqueue *vq)
{
	return vq->avail + 4 + 2 * (size_t)vq->num;
}

static u8 *used_avail_event(const struct virtqueue *vq)
{
	return vq->used + 4 + 8 * (size_t)vq->num;
}

int virtqueue_map(struct virtqueue *vq)
{
	u64 desc = vq->desc_gpa, avail = vq->avail_gpa, used = vq->used_gpa;
	u32 num = vq->size;

	if (!num || num & (num - 1) || num > vq->size_max ||
	    num > VIRTQUEUE_MAX_SIZE)
		return -EINVAL;
	if (desc % 16 || avail % 2 || used % 4)
		return -EINVAL;

	vq->desc = gmem_ptr(vq->gmem, desc, DESC_SIZE * num);
	vq->avail = gmem_ptr(vq->gmem, avail, 6 + 2 * num);
	vq->used = gmem_ptr(vq->gmem, used, 6 + 8 * num);
	if (!vq->desc || !vq->avail || !vq->used) {
		vq->desc = NULL;
		vq->avail = NULL;
		vq->used = NULL;
		return -EINVAL;
	}
	vq->num = num;
	return 0;
}

void virtqueue_reset(struct virtqueue *vq)
{
	struct virtqueue clean = {
		.dev = vq->dev,
		.gmem = vq->gmem,
		.index = vq->index,
		.size_max = vq->size_max,
		.vector = VIRTIO_NO_VECTOR,
		.kick_fd = vq->kick_fd,
		.count = vq->count,
	};

	*vq = clean;
}

static int virtqueue_break(struct virtqueue *vq, const char *why)
{
	vq->broken = true;
	virtio_needs_reset(vq->dev, why);
	return -EPROTO;
}

/* One copy, in two loads that the compiler can neither repeat nor tear. */
static int walk_fetch(const struct virtqueue *vq, const struct walk *w, u32 i,
		      struct vring_desc *d)
{
	const u64 *p;
	u64 raw[2];

	if (w->indirect)
		return gmem_read(vq->gmem, w->gpa + (u64)i * DESC_SIZE, d,
				 DESC_SIZE);
	p = (const u64 *)(w->ring + (size_t)i * DESC_SIZE);
	raw[0] = __atomic_load_n(&p[0], __ATOMIC_RELAXED);
	raw[1] = __atomic_load_n(&p[1], __ATOMIC_RELAXED);
	memcpy(d, raw, DESC_SIZE);
	return 0;
}

/* virtio 1.2 s2.7.5.3: the flag WRITE of such a descriptor is ignored. */
static const char *walk_enter(const struct virtqueue *vq, struct walk *w,
			      const struct vring_desc *d)
{
	u32 len = le32toh(d->len);
	u64 gpa = le64toh(d->addr);
	u64 end;

	if (!vq->indirect)
		return "indirect table without VIRTIO_F_INDIRECT_DESC";
	if (w->indirect)
		return "indirect table inside an indirect table";
	if (le16toh(d->flags) & VRING_DESC_F_NEXT)
		return "indirect descriptor with a successor";
	if (!len || len % DESC_SIZE || len / DESC_SIZE > VIRTQUEUE_MAX_SIZE)
		return "bad size of an indirect table";
	if (__builtin_add_overflow(gpa, len, &end))
		return "indirect table outside memory";

	w->indirect = true;
	w->gpa = gpa;
	w->nr = len / DESC_SIZE;
	w->seen = 0;
	return NULL;
}

/* Pieces are appended: readable ones first, which the order check ensures. */
static const char *walk_buffer(struct virtqueue *vq, struct walk *w,
			       const struct vring_desc *d,
			       struct vq_chain *chain)
{
	bool writable = le16toh(d->flags) & VRING_DESC_F_WRITE;
	u32 len = le32toh(d->len);
	u32 *sum = writable ? &chain->in_len : &chain->out_len;
	u16 *nr = writable ? &chain->nr_in : &chain->nr_out;
	unsigned int have = chain->nr_out + chain->nr_in;
	u32 total;
	int n;

	if (w->writable && !writable)
		return "readable descriptor after a writable one";
	w->writable = writable;
	if (!len)
		return NULL;
	if (__builtin_add_overflow(chain->out_len + chain->in_len, len,
				   &total))
		return "length of a chain overflows";

	n = gmem_iov(vq->gmem, le64toh(d->addr), len, &chain->iov[have],
		     VQ_CHAIN_MAX - have);
	if (n == -ENOSPC)
		return "chain has too many pieces";
	if (n < 0)
		return "buffer outside memory";
	*nr += n;
	*sum += len;
	return NULL;
}

static const char *walk_chain(struct virtqueue *vq, struct vq_chain *chain)
{
	struct walk w = { .ring = vq->desc, .nr = vq->num };
	struct vring_desc d;
	u32 i = chain->head;
	const char *why;

	for (;;) {
		if (i >= w.nr)
			return "descriptor index out of range";
		if (w.seen++ >= w.nr)
			return "loop in a descriptor chain";
		if (walk_fetch(vq, &w, i, &d))
			return "indirect table outside memory";

		if (le16toh(d.flags) & VRING_DESC_F_INDIRECT) {
			why = walk_enter(vq, &w, &d);
			if (why)
				return why;
			i = 0;
			continue;
		}
		why = walk_buffer(vq, &w, &d, chain);
		if (why)
			return why;
		if (!(le16toh(d.flags) & VRING_DESC_F_NEXT))
			return NULL;
		i = le16toh(d.next);
	}
}

/*
 * With EVENT_IDX a driver kicks only when it passes avail_event, so a queue
 * that ran empty has to move it along and then look again.
 */
static u16 virtqueue_waiting(struct virtqueue *vq)
{
	u16 n = avail_idx_acquire(vq) - vq->last_avail;

	if (n || !vq->event_idx || vq->notify_off)
		return n;
	ring_store16(used_avail_event(vq), vq->last_avail);
	ring_full_barrier();
	return avail_idx_acquire(vq) - vq->last_avail;
}

/* One writer, so that no locked instruction is needed. */
static void count_add(u64 *count, u64 n)
{
	__atomic_store_n(count, *count + n, __ATOMIC_RELAXED);
}

int virtqueue_pop(struct virtqueue *vq, struct vq_chain *chain)
{
	const char *why;
	u16 n;

	if (vq->broken)
		return -EPROTO;
	if (!vq->ready)
		return 0;

	n = virtqueue_waiting(vq);
	if (!n)
		return 0;
	if (n > vq->num)
		return virtqueue_break(vq, "available index jumped");

	chain->head = ring_load16(vq->avail + 4 +
				  2 * (vq->last_avail & (vq->num - 1U)));
	chain->nr_out = 0;
	chain->nr_in = 0;
	chain->out_len = 0;
	chain->in_len = 0;
	why = walk_chain(vq, chain);
	if (why)
		return virtqueue_break(vq, why);
	vq->last_avail++;
	vq->popped = chain->out_len;
	count_add(&vq->count.out, chain->out_len);
	return 1;
}

void virtqueue_unpop(struct virtqueue *vq)
{
	if (!vq->ready || vq->broken)
		return;
	vq->last_avail--;
	count_add(&vq->count.out, -(u64)vq->popped);
}

void virtqueue_push(struct virtqueue *vq, const struct vq_chain *chain,
		    u32 written)
{
	struct vring_used_elem e = {
		.id = htole32(chain->head),
		.len = htole32(MIN(written, chain->in_len)),
	};

	if (!vq->ready)
		return;
	memcpy(vq->used + 4 + 8 * (vq->last_used & (vq->num - 1U)), &e,
	       sizeof(e));
	vq->last_used++;
	count_add(&vq->count.chains, 1);
	count_add(&vq->count.in, MIN(written, chain->in_len));
	used_idx_release(vq);
}

void virtqueue_push_many(struct virtqueue *vq, const struct vq_used *used,
			 unsigned int nr)
{
	if (!vq->ready || !nr)
		return;
	for (unsigned int i = 0; i < nr; i++) {
		struct vring_used_elem e = {
			.id = htole32(used[i].head),
			.len = htole32(used[i].written),
		};

		memcpy(vq->used + 4 + 8 * (vq->last_used & (vq->num - 1U)), &e,
		       sizeof(e));
		vq->last_used++;
		count_add(&vq->count.in, used[i].written);
	}
	count_add(&vq->count.chains, nr);
	used_idx_release(vq);
}

void virtqueue_rewind(struct virtqueue *vq, u16 nr, u32 out)
{
	vq->last_avail -= nr;
	count_add(&vq->count.out, -(u64)out);
}

static bool virtqueue_wants_signal(const struct virtqueue *vq)
{
	u16 event;

	if (!vq->event_idx)
		return !(ring_load16(vq->avail) & VRING_AVAIL_F_NO_INTERRUPT);
	event = ring_load16(avail_used_event(vq));
	return (u16)(vq->last_used - event - 1) <
	       (u16)(vq->last_used - vq->signalled_used);
}

bool virtqueue_signal_due(struct virtqueue *vq)
{
	bool wanted;

	if (!vq->ready || vq->last_used == vq->signalled_used)
		return false;
	ring_full_barrier();
	wanted = virtqueue_wants_signal(vq);
	vq->signalled_used = vq->last_used;
	if (!wanted || !vq->dev->transport)
		return false;
	count_add(&vq->count.signals, 1);
	return true;
}

void virtqueue_signal(struct virtqueue *vq)
{
	if (virtqueue_signal_due(vq))
		vq->dev->transport->signal_queue(vq->dev, vq);
}

bool virtqueue_set_notify(struct virtqueue *vq, bool on)
{
	vq->notify_off = !on;
	if (!vq->ready || vq->broken)
		return false;
	if (!vq->event_idx)
		ring_store16(vq->used, on ? 0 : VRING_USED_F_NO_NOTIFY);
	else if (on)
		ring_store16(used_avail_event(vq), vq->last_avail);
	if (!on)
		return false;
	ring_full_barrier();
	return avail_idx_acquire(vq) != vq->last_avail;
}

void virtqueue_resume_at(struct virtqueue *vq, u16 last_avail)
{
	if (!vq->ready)
		return;
	vq->last_avail = last_avail;
	vq->last_used = ring_load16(vq->used + 2);
	vq->signalled_used = vq->last_used;
}

void virtqueue_save(const struct virtqueue *vq, struct state_out *out)
{
	u8 flags = 0;

	if (vq->ready)
		flags |= VQ_STATE_READY;
	if (vq->broken)
		flags |= VQ_STATE_BROKEN;
	if (vq->event_idx)
		flags |= VQ_STATE_EVENT_IDX;
	if (vq->indirect)
		flags |= VQ_STATE_INDIRECT;

	state_put_u32(out, VQ_STATE_VERSION);
	state_put_u8(out, flags);
	state_put_u16(out, vq->ready ? vq->num : vq->size);
	state_put_u64(out, vq->desc_gpa);
	state_put_u64(out, vq->avail_gpa);
	state_put_u64(out, vq->used_gpa);
	state_put_u16(out, vq->last_avail);
	state_put_u16(out, vq->last_used);
	state_put_u16(out, vq->signalled_used);
	state_put_u16(out, vq->vector);
}

int virtqueue_restore(struct virtqueue *vq, struct state_in *in)
{
	u8 flags;

	virtqueue_reset(vq);
	state_get_version(in, VQ_STATE_VERSION);
	flags = state_get_u8(in);
	vq->size = state_get_u16(in);
	vq->desc_gpa = state_get_u64(in);
	vq->avail_gpa = state_get_u64(in);
	vq->used_gpa = state_get_u64(in);
	vq->last_avail = state_get_u16(in);
	vq->last_used = state_get_u16(in);
	vq->signalled_used = state_get_u16(in);
	vq->vector = state_get_u16(in);

	if (in->err || flags & ~VQ_STATE_ALL)
		goto err_reset;
	if (flags & VQ_STATE_READY && virtqueue_map(vq))
		goto err_reset;
	vq->ready = flags & VQ_STATE_READY;
	vq->broken = flags & VQ_STATE_BROKEN;
	vq->event_idx = flags & VQ_STATE_EVENT_IDX;
	vq->indirect = flags & VQ_STATE_INDIRECT;
	return 0;

err_reset:
	virtqueue_reset(vq);
	return -EPROTO;
}
