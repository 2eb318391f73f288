/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__IO_H
#define KVM__IO_H

#include <pthread.h>
#include "kvm/types.h"

/**
 * struct io_ops - how a device answers accesses to a range of a bus
 * @read: fill @d with @len bytes found at @off of the range
 * @write: take @len bytes for @off of the range
 *
 * @len is 1..8 on MMIO, 1, 2 or 4 on ports. @off + @len lies inside the range.
 * Return: 0; negative answers the read with all ones.
 * Context: any vCPU thread, no lock held.
 */
struct io_ops {
	int (*read)(void *o, u64 off, void *d, unsigned int len);
	int (*write)(void *o, u64 off, const void *d, unsigned int len);
};

/** struct io_range - one registered range; @hits: accesses, atomic */
struct io_range {
	u64 start;
	u64 size;
	const struct io_ops *ops;
	void *opaque;
	u64 hits;
};

/**
 * struct io_bus - an address space: ports, or memory that is not RAM
 * @lock: guards @range, @nr; dropped before a handler runs
 * @range: @nr of them, sorted by start
 * @nr: how many ranges there are
 * @capacity: how many there is room for
 */
struct io_bus {
	pthread_rwlock_t lock;
	struct io_range *range;
	unsigned int nr;
	unsigned int capacity;
};

/** io_bus_init() - an empty bus; io_bus_destroy() */
void io_bus_init(struct io_bus *bus);
/** io_bus_destroy() - free the table; a zeroed bus is fine */
void io_bus_destroy(struct io_bus *bus);

/**
 * io_bus_register() - claim [@start, @start + @size)
 * @opaque: handed to @ops; freed only while no vCPU runs
 *
 * Return: 0, -EINVAL for empty or wrapping, -EEXIST for overlap, -ENOMEM.
 */
int io_bus_register(struct io_bus *bus, u64 start, u64 size,
		    const struct io_ops *ops, void *opaque);
/** io_bus_unregister() - give up the range that starts at @start; -ENOENT */
int io_bus_unregister(struct io_bus *bus, u64 start);
/**
 * io_bus_get() - a copy of the range that begins at @from or next above it
 * Context: any thread. Return: false when there is none.
 */
bool io_bus_get(struct io_bus *bus, u64 from, struct io_range *out);

/**
 * io_bus_read() - a guest's read
 *
 * @d becomes all ones when nobody claims all of it or the device refuses.
 * Return: 0, or -ENOENT when nobody claims it.
 */
int io_bus_read(struct io_bus *bus, u64 addr, void *d, unsigned int len);
/** io_bus_write() - a guest's write. Return: 0, or -ENOENT, ignored. */
int io_bus_write(struct io_bus *bus, u64 addr, const void *d,
		 unsigned int len);

/** io_read_le() - the value of 0 to 8 little-endian bytes; of more, the first 8 */
u64 io_read_le(const void *d, unsigned int len);
/** io_write_le() - store the low @len bytes of @v; of more than 8, the first 8 */
void io_write_le(void *d, unsigned int len, u64 v);

#endif
