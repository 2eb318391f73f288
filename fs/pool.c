// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Inodes and their numbers. Somebody who goes through a whole disk leaves an inode
 * for each directory at least, so they are small, and refer to each other by index:
 * the lower half of the number. The upper half says which user of the place is meant,
 * as in fs/table.c. They come in chunks of 256 KiB that are aligned to that, in which
 * the first place has the index of itself: none that an inode could have.
 *
 * No locks: the share has one.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "fs/inode.h"

#define NODES_MAX 0x400000U
#define CHUNK_NODES 4096U
#define CHUNK_BYTES (CHUNK_NODES * sizeof(struct fs_inode))

static_assert(sizeof(struct fs_inode) == 64, "a chunk has no remainder");

struct fs_inode *fs_pool_at(const struct fs_pool *p, u32 i)
{
	return i ? &p->chunk[i / CHUNK_NODES][i % CHUNK_NODES] : NULL;
}

u32 fs_pool_index(const struct fs_inode *in)
{
	uintptr_t at = (uintptr_t)in & (CHUNK_BYTES - 1);
	const struct fs_inode *first = (const struct fs_inode *)((uintptr_t)in - at);

	return first->generation + at / sizeof(*in);
}

u64 fs_pool_number(const struct fs_inode *in)
{
	return in ? (u64)in->generation << 32 | fs_pool_index(in) : 0;
}

/* There is a chunk for @nr places, and one more. */
static int pool_grow(struct fs_pool *p)
{
	u32 nr = p->nr / CHUNK_NODES;
	struct fs_inode **chunk = realloc(p->chunk, (nr + 1) * sizeof(*chunk));

	if (!chunk)
		return -ENOMEM;
	p->chunk = chunk;
	chunk[nr] = aligned_alloc(CHUNK_BYTES, CHUNK_BYTES);
	if (!chunk[nr])
		return -ENOMEM;
	chunk[nr]->live = false;
	chunk[nr]->generation = p->nr++;
	return 0;
}

static int pool_extend(struct fs_pool *p)
{
	if (p->nr >= NODES_MAX)
		return -ENFILE;
	if (p->nr % CHUNK_NODES == 0 && pool_grow(p))
		return -ENOMEM;
	fs_pool_at(p, p->nr++)->live = false;
	return 0;
}

static struct fs_inode *pool_take(struct fs_pool *p, u32 i, u32 generation)
{
	struct fs_inode *in = fs_pool_at(p, i);

	memset(in, 0, sizeof(*in));
	in->live = true;
	in->generation = generation;
	p->used++;
	return in;
}

struct fs_inode *fs_pool_add(struct fs_pool *p)
{
	u32 i = p->free;

	if (i) {
		p->free = fs_pool_at(p, i)->hash_next;
	} else {
		if (pool_extend(p))
			return NULL;
		i = p->nr - 1;
	}
	return pool_take(p, i, p->generation++);
}

int fs_pool_put(struct fs_pool *p, u64 number, struct fs_inode **out)
{
	u32 i = number;
	int err = 0;

	if (i >= NODES_MAX || i % CHUNK_NODES == 0)
		return -EPROTO;
	while (!err && p->nr <= i)
		err = pool_extend(p);
	if (err)
		return err;
	if (fs_pool_at(p, i)->live)
		return -EPROTO;
	*out = pool_take(p, i, number >> 32);
	return 0;
}

void fs_pool_settle(struct fs_pool *p, u32 generation)
{
	p->generation = generation;
	p->free = 0;
	for (u32 i = p->nr; i-- > 0;) {
		struct fs_inode *in = fs_pool_at(p, i);

		if (i % CHUNK_NODES == 0 || in->live)
			continue;
		in->hash_next = p->free;
		p->free = i;
	}
}

struct fs_inode *fs_pool_next(const struct fs_pool *p, u32 *i)
{
	while (++*i < p->nr) {
		struct fs_inode *in = fs_pool_at(p, *i);

		if (in->live)
			return in;
	}
	return NULL;
}

struct fs_inode *fs_pool_get(const struct fs_pool *p, u64 number)
{
	struct fs_inode *in;

	if (!(u32)number || (u32)number >= p->nr)
		return NULL;
	in = fs_pool_at(p, number);
	return in->live && in->generation == number >> 32 ? in : NULL;
}

void fs_pool_del(struct fs_pool *p, struct fs_inode *in)
{
	in->live = false;
	in->hash_next = p->free;
	p->free = fs_pool_index(in);
	p->used--;
}

void fs_pool_free(struct fs_pool *p)
{
	for (u32 i = 0; i < p->nr; i += CHUNK_NODES)
		free(p->chunk[i / CHUNK_NODES]);
	free(p->chunk);
	*p = (struct fs_pool){ 0 };
}
