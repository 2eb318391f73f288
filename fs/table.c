// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Numbers for objects, as a guest gets them: the lower half is a place in an
 * array plus one, the upper half says which of its users is meant. A number
 * that was given back finds nothing, rather than who has the place now, until
 * four billion others were given out. Looking one up needs no trust in it.
 *
 * No locks: whoever has the table has one.
 */
#include <errno.h>
#include <stdlib.h>
#include "fs/inode.h"

#define TABLE_MAX 0x400000U

static int table_grow(struct fs_table *t, u32 want)
{
	u32 capacity = MAX(t->capacity * 2, 64U);
	struct fs_slot *slot;

	if (want > TABLE_MAX)
		return -ENFILE;
	if (want <= t->capacity)
		return 0;
	capacity = MAX(capacity, want);
	slot = realloc(t->slot, capacity * sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	t->slot = slot;
	t->capacity = capacity;
	return 0;
}

static u64 table_number(const struct fs_table *t, u32 i)
{
	return (u64)t->slot[i].generation << 32 | (i + 1);
}

u64 fs_table_add(struct fs_table *t, void *object)
{
	u32 i = t->free;

	if (i) {
		i--;
		t->free = t->slot[i].next;
	} else {
		if (table_grow(t, t->nr + 1))
			return 0;
		i = t->nr++;
	}
	t->slot[i].object = object;
	t->slot[i].generation = t->generation++;
	t->used++;
	return table_number(t, i);
}

int fs_table_put(struct fs_table *t, u64 number, void *object)
{
	u32 i = (u32)number - 1;
	int err;

	if (i >= TABLE_MAX)
		return -EPROTO;
	err = table_grow(t, i + 1);
	if (err)
		return err;
	for (; t->nr <= i; t->nr++)
		t->slot[t->nr] = (struct fs_slot){ 0 };
	if (t->slot[i].object)
		return -EPROTO;
	t->slot[i].object = object;
	t->slot[i].generation = number >> 32;
	t->used++;
	return 0;
}

void fs_table_settle(struct fs_table *t, u32 generation)
{
	t->generation = generation;
	t->free = 0;
	for (u32 i = t->nr; i > 0; i--) {
		if (t->slot[i - 1].object)
			continue;
		t->slot[i - 1].next = t->free;
		t->free = i;
	}
}

void *fs_table_get(const struct fs_table *t, u64 number)
{
	u32 i = (u32)number - 1;

	if (i >= t->nr || t->slot[i].generation != number >> 32)
		return NULL;
	return t->slot[i].object;
}

void fs_table_del(struct fs_table *t, u64 number)
{
	u32 i = (u32)number - 1;

	if (!fs_table_get(t, number))
		return;
	t->slot[i].object = NULL;
	t->slot[i].next = t->free;
	t->free = i + 1;
	t->used--;
}

void fs_table_free(struct fs_table *t)
{
	free(t->slot);
	*t = (struct fs_table){ 0 };
}
