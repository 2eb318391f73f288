/* SPDX-License-Identifier: GPL-2.0-only */
/* A driver's side of split rings in fake guest memory of two adjacent regions. */
#ifndef KVM__TEST_VRING_H
#define KVM__TEST_VRING_H

#include <stdlib.h>
#include <string.h>
#include <linux/virtio_ring.h>
#include "kvm/io.h"
#include "kvm/virtqueue.h"

#define VR_HALF 0x80000ULL
#define VR_NUM 16
#define VR_DATA 0x60000ULL

struct vr_mem {
	struct gmem g;
	u8 *half[2];
};

static inline void vr_init(struct vr_mem *m)
{
	memset(m, 0, sizeof(*m));
	for (unsigned int i = 0; i < 2; i++) {
		m->half[i] = aligned_alloc(4096, VR_HALF);
		memset(m->half[i], 0, VR_HALF);
		gmem_add(&m->g, i * VR_HALF, VR_HALF, m->half[i]);
	}
}

static inline void vr_free(struct vr_mem *m)
{
	free(m->half[0]);
	free(m->half[1]);
}

static inline u64 vr_desc(unsigned int q)
{
	return 0x4000ULL * q;
}

static inline u64 vr_avail(unsigned int q)
{
	return vr_desc(q) + 0x1000;
}

static inline u64 vr_used(unsigned int q)
{
	return vr_desc(q) + 0x2000;
}

static inline u64 vr_table(unsigned int q)
{
	return vr_desc(q) + 0x3000;
}

static inline u16 *vr_u16(struct vr_mem *m, u64 gpa)
{
	return (u16 *)gmem_ptr(&m->g, gpa, 2);
}

static inline void vr_clear(struct vr_mem *m, unsigned int q)
{
	memset(gmem_ptr(&m->g, vr_desc(q), 0x4000), 0, 0x4000);
}

/*
 * @table is vr_desc() or vr_table() of a queue. As much at once as a device reads, which
 * may be at it.
 */
static inline void vr_put(struct vr_mem *m, u64 table, unsigned int i,
			  const struct vring_desc *d)
{
	u64 *to = gmem_ptr(&m->g, table + 16 * i, sizeof(*d)), half[2];

	if (!to)
		return;
	memcpy(half, d, sizeof(half));
	__atomic_store_n(to, half[0], __ATOMIC_RELAXED);
	__atomic_store_n(to + 1, half[1], __ATOMIC_RELAXED);
}

#define VR_PUT(m, table, i, a, l, f, n) \
	vr_put(m, table, i, &(struct vring_desc){ \
		.addr = (a), .len = (l), .flags = (f), .next = (n) })

static inline void vr_publish(struct vr_mem *m, unsigned int q, u16 head)
{
	u16 *idx = vr_u16(m, vr_avail(q) + 2);

	*vr_u16(m, vr_avail(q) + 4 + 2 * (*idx % VR_NUM)) = head;
	__atomic_store_n(idx, *idx + 1, __ATOMIC_SEQ_CST);
}

/* vr_publish_all() - @nr chains of one descriptor each, from @head on, at once */
static inline void vr_publish_all(struct vr_mem *m, unsigned int q, unsigned int head,
				  unsigned int nr)
{
	u16 *idx = vr_u16(m, vr_avail(q) + 2);

	for (unsigned int i = 0; i < nr; i++)
		*vr_u16(m, vr_avail(q) + 4 + 2 * ((*idx + i) % VR_NUM)) =
			(u16)((head + i) % VR_NUM);
	__atomic_store_n(idx, *idx + nr, __ATOMIC_SEQ_CST);
}

static inline u16 vr_used_idx(struct vr_mem *m, unsigned int q)
{
	return __atomic_load_n(vr_u16(m, vr_used(q) + 2), __ATOMIC_ACQUIRE);
}

#endif
