// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The inodes of a share in saved state: numbers, what they stand for, and where
 * each was seen last. No descriptor is saved; a file is found by its names again
 * when somebody wants it, and what is found is then checked to be the same.
 *
 * Threads: nobody is inside of the share meanwhile; the lock is taken all the same.
 *
 * What is read may say anything. Names are checked as those of a guest are
 * (fs/step.c); after open files are back, fs_inodes_sane() refuses what would never
 * be forgotten, and parents without an end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "fs/inode.h"
#include "fs/step.h"

#define INODES_STATE_VERSION 2
#define STATE_CLOSED FS_KIND_CLOSED
#define STATE_UNHASHED 2
#define STATE_OVERLAY FS_KIND_OVERLAY

static void inode_save(const struct fs_host *h, const struct fs_inode *in,
		       struct state_out *out)
{
	size_t len = in->parent ? strlen(fs_inode_name(in)) : 0;

	state_put_u64(out, fs_pool_number(in));
	state_put_u64(out, in->nlookup);
	state_put_u64(out, fs_pool_number(fs_parent(h, in)));
	state_put_u64(out, h->device[in->dev]);
	state_put_u64(out, in->ino);
	state_put_u64(out, in->btime);
	state_put_u16(out, fs_type(in));
	state_put_u8(out, (in->closed ? STATE_CLOSED : 0) |
			  (in->hashed ? 0 : STATE_UNHASHED) |
			  (in->overlay ? STATE_OVERLAY : 0));
	state_put_u8(out, len);
	state_put(out, fs_inode_name(in), len);
}

/* The root is what the share is opened with, and is not saved. */
void fs_inodes_save(struct fs_host *h, struct state_out *out)
{
	struct fs_inode *in;
	u32 i = 1;

	pthread_mutex_lock(&h->lock);
	state_put_u32(out, INODES_STATE_VERSION);
	state_put_u32(out, h->nodes.generation);
	state_put_u32(out, h->nodes.used - 1);
	while ((in = fs_pool_next(&h->nodes, &i)))
		inode_save(h, in, out);
	fs_unlock(h);
}

/*
 * Parents may come behind their children: @parent is where they are noted, in
 * the order of indices, of which @last was the one before.
 */
static int inode_restore(struct fs_host *h, struct state_in *in, u64 *parent,
			 u32 *last)
{
	u64 number = state_get_u64(in), nlookup = state_get_u64(in);
	char name[FS_NAME_MAX + 1] = "";
	struct fs_inode tmp = { .nlookup = MIN(nlookup, UINT32_MAX) }, *n;
	u16 type;
	u8 flags, len;
	int err;

	*parent = state_get_u64(in);
	tmp.dev = fs_device_index(h, state_get_u64(in));
	tmp.ino = state_get_u64(in);
	tmp.btime = state_get_u64(in);
	type = state_get_u16(in);
	flags = state_get_u8(in);
	len = state_get_u8(in);
	state_get(in, name, len);
	if (in->err || flags > (STATE_CLOSED | STATE_UNHASHED | STATE_OVERLAY) ||
	    !len != !*parent || (len && fs_name_check(name)) ||
	    (u32)number <= *last || tmp.dev == FS_NO_DEVICE || type & ~S_IFMT)
		return -EPROTO;
	err = fs_pool_put(&h->nodes, number, &n);
	if (err)
		return err;
	tmp.generation = n->generation;
	tmp.live = true;
	tmp.type = type >> 12;
	tmp.closed = flags & STATE_CLOSED;
	tmp.overlay = !!(flags & STATE_OVERLAY);
	tmp.refs = !!tmp.nlookup;
	*n = tmp;
	*last = number;
	if (len && !fs_name_set(n, name))
		return -ENOMEM;
	if (!(flags & STATE_UNHASHED))
		fs_hash_add(h, n);
	return 0;
}

static int inodes_link(struct fs_host *h, const u64 *parent)
{
	struct fs_inode *n, *p;
	u32 i = 1;

	while ((n = fs_pool_next(&h->nodes, &i))) {
		p = fs_pool_get(&h->nodes, *parent);
		if (*parent++ && !p)
			return -EPROTO;
		if (!p)
			continue;
		n->parent = fs_pool_index(p);
		p->refs++;
	}
	return 0;
}

/*
 * Whether we could have saved this inode: something still refers to it, and its
 * parents end. @ends: by index, inodes known not to be on a cycle
 */
static bool inode_has_reason(const struct fs_host *h, const struct fs_inode *n,
			     bool *ends)
{
	const struct fs_inode *p;
	u32 up = 0;

	for (p = n; p && !ends[fs_pool_index(p)]; p = fs_parent(h, p)) {
		if (++up > h->nodes.used)
			return false;
	}
	for (p = n; p && !ends[fs_pool_index(p)]; p = fs_parent(h, p))
		ends[fs_pool_index(p)] = true;
	return n->refs;
}

bool fs_inodes_sane(struct fs_host *h)
{
	struct fs_inode *in;
	bool *ends, sane;
	u32 i = 0;

	pthread_mutex_lock(&h->lock);
	ends = calloc(h->nodes.nr, sizeof(*ends));
	sane = ends;
	while (sane && (in = fs_pool_next(&h->nodes, &i)))
		sane = inode_has_reason(h, in, ends);
	fs_unlock(h);
	free(ends);
	return sane;
}

int fs_inodes_restore(struct fs_host *h, struct state_in *in)
{
	u32 generation, nr, last = fs_pool_index(h->root);
	u64 *parent;
	int err = 0;

	state_get_version(in, INODES_STATE_VERSION);
	generation = state_get_u32(in);
	nr = state_get_u32(in);
	if (in->err || nr > (in->len - in->pos) / 40)
		return -EPROTO;
	parent = calloc(nr + 1, sizeof(*parent));
	if (!parent)
		return -ENOMEM;
	pthread_mutex_lock(&h->lock);
	for (u32 i = 0; i < nr && !err; i++)
		err = inode_restore(h, in, &parent[i], &last);
	if (!err)
		err = inodes_link(h, parent);
	fs_pool_settle(&h->nodes, generation);
	fs_unlock(h);
	free(parent);
	return err;
}
