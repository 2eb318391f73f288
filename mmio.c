// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buses, and MMIO exits.
 *
 * Theory of operation: a bus is a sorted array of ranges. Registration
 * happens at set-up and when a guest moves a BAR; look-ups come from every
 * vCPU thread. The lock is dropped before a handler runs, so a handler may
 * register and unregister; what it belongs to is freed only while no vCPU runs
 * (plug.c), or after the last. An
 * access has to lie wholly inside one range: what nobody claims reads as all
 * ones and writes to nowhere, as on a real bus. A guest can access any
 * address with any width at any time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/io.h"
#include "kvm/kvm-cpu.h"

void io_bus_init(struct io_bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	pthread_rwlock_init(&bus->lock, NULL);
}

void io_bus_destroy(struct io_bus *bus)
{
	free(bus->range);
	bus->range = NULL;
	bus->nr = 0;
	bus->capacity = 0;
}

/* The first range that starts above @addr. */
static unsigned int io_bus_upper(const struct io_bus *bus, u64 addr)
{
	unsigned int low = 0, high = bus->nr;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (bus->range[mid].start <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int io_bus_insert(struct io_bus *bus, const struct io_range *r)
{
	unsigned int i = io_bus_upper(bus, r->start);
	struct io_range *range;

	if (i && r->start - bus->range[i - 1].start < bus->range[i - 1].size)
		return -EEXIST;
	if (i < bus->nr && bus->range[i].start - r->start < r->size)
		return -EEXIST;
	if (bus->nr == bus->capacity) {
		range = realloc(bus->range,
				(bus->capacity + 32) * sizeof(*range));
		if (!range)
			return -ENOMEM;
		bus->range = range;
		bus->capacity += 32;
	}
	memmove(&bus->range[i + 1], &bus->range[i],
		(bus->nr - i) * sizeof(*r));
	bus->range[i] = *r;
	bus->nr++;
	return 0;
}

int io_bus_register(struct io_bus *bus, u64 start, u64 size,
		    const struct io_ops *ops, void *opaque)
{
	struct io_range r = { start, size, ops, opaque, 0 };
	u64 last;
	int err;

	if (!size || __builtin_add_overflow(start, size - 1, &last))
		return -EINVAL;
	pthread_rwlock_wrlock(&bus->lock);
	err = io_bus_insert(bus, &r);
	pthread_rwlock_unlock(&bus->lock);
	return err;
}

int io_bus_unregister(struct io_bus *bus, u64 start)
{
	int err = -ENOENT;
	unsigned int i;

	pthread_rwlock_wrlock(&bus->lock);
	i = io_bus_upper(bus, start);
	if (i && bus->range[i - 1].start == start) {
		memmove(&bus->range[i - 1], &bus->range[i],
			(bus->nr - i) * sizeof(bus->range[0]));
		bus->nr--;
		err = 0;
	}
	pthread_rwlock_unlock(&bus->lock);
	return err;
}

/* With the lock held for reading: others count meanwhile. */
static void io_range_copy(struct io_range *to, const struct io_range *r)
{
	to->start = r->start;
	to->size = r->size;
	to->ops = r->ops;
	to->opaque = r->opaque;
	to->hits = __atomic_load_n(&r->hits, __ATOMIC_RELAXED);
}

static bool io_bus_find(struct io_bus *bus, u64 addr, unsigned int len,
			struct io_range *out)
{
	bool found = false;
	unsigned int i;
	u64 off;

	pthread_rwlock_rdlock(&bus->lock);
	i = io_bus_upper(bus, addr);
	if (i) {
		off = addr - bus->range[i - 1].start;
		found = off < bus->range[i - 1].size &&
			len <= bus->range[i - 1].size - off;
		if (found) {
			__atomic_fetch_add(&bus->range[i - 1].hits, 1,
					   __ATOMIC_RELAXED);
			io_range_copy(out, bus->range + i - 1);
		}
	}
	pthread_rwlock_unlock(&bus->lock);
	return found;
}

bool io_bus_get(struct io_bus *bus, u64 from, struct io_range *out)
{
	unsigned int i = 0;

	pthread_rwlock_rdlock(&bus->lock);
	while (i < bus->nr && bus->range[i].start < from)
		i++;
	if (i < bus->nr)
		io_range_copy(out, bus->range + i);
	pthread_rwlock_unlock(&bus->lock);
	return i < bus->nr;
}

int io_bus_read(struct io_bus *bus, u64 addr, void *d, unsigned int len)
{
	struct io_range r;

	memset(d, 0xff, len);
	if (!io_bus_find(bus, addr, len, &r))
		return -ENOENT;
	if (r.ops->read(r.opaque, addr - r.start, d, len) < 0)
		memset(d, 0xff, len);
	return 0;
}

int io_bus_write(struct io_bus *bus, u64 addr, const void *d, unsigned int len)
{
	struct io_range r;

	if (!io_bus_find(bus, addr, len, &r))
		return -ENOENT;
	r.ops->write(r.opaque, addr - r.start, d, len);
	return 0;
}

u64 io_read_le(const void *d, unsigned int len)
{
	const u8 *p = d;
	u64 v = 0;

	for (unsigned int i = 0; i < MIN(len, 8U); i++)
		v |= (u64)p[i] << (8 * i);
	return v;
}

void io_write_le(void *d, unsigned int len, u64 v)
{
	u8 *p = d;

	for (unsigned int i = 0; i < MIN(len, 8U); i++)
		p[i] = v >> (8 * i);
}

void kvm_cpu_mmio(struct kvm_cpu *cpu)
{
	struct kvm_run *run = cpu->run;
	unsigned int len = MIN(run->mmio.len, 8U);

	if (run->mmio.is_write)
		io_bus_write(&cpu->kvm->mmio, run->mmio.phys_addr,
			     run->mmio.data, len);
	else
		io_bus_read(&cpu->kvm->mmio, run->mmio.phys_addr,
			    run->mmio.data, len);
}
