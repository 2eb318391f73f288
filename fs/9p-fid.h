/* SPDX-License-Identifier: GPL-2.0-only */
/* The fids of a 9P session. For fs/9p*.c only. */
#ifndef FS__9P_FID_H
#define FS__9P_FID_H

#include <pthread.h>
#include "kvm/state.h"

enum p9_kind { P9_FID_FILE, P9_FID_XATTR_READ, P9_FID_XATTR_WRITE };

/**
 * struct p9_xattr - the value behind a fid
 * @len: of @data
 * @filled: what was written of it
 * @flags: of setxattr()
 */
struct p9_xattr {
	u32 len;
	u32 filled;
	u32 flags;
	char name[256];
	u8 data[];
};

/**
 * struct p9_fid - what a guest's number stands for
 * @node: a share's number, given out once for this fid
 * @file: of an open file, 0 for none
 * @flags: O_ACCMODE and O_APPEND of it
 * @uid: on whose behalf
 * @xattr: NULL for P9_FID_FILE
 */
struct p9_fid {
	struct p9_fid *next;
	u32 number;
	u32 uid;
	u64 node;
	u64 file;
	u32 flags;
	u32 kind;
	struct p9_xattr *xattr;
};

/** struct p9_fids - @lock guards all of it, and what fids point to */
struct p9_fids {
	pthread_mutex_t lock;
	struct p9_fid **bucket;
	u32 nr_buckets;
	u32 nr;
	size_t xattr_bytes;
};

int p9_fids_init(struct p9_fids *t);
/** p9_fids_free() - accepts what was not initialised, but zeroed */
void p9_fids_free(struct p9_fids *t);
/** p9_fids_clear() - none is left; their nodes and files are the caller's */
void p9_fids_clear(struct p9_fids *t);

/** p9_fid_get() - a copy, whose @xattr is not to be followed. -EBADF */
int p9_fid_get(struct p9_fids *t, u32 number, struct p9_fid *f);
/**
 * p9_fid_add() - a new one
 * @f: its @xattr passes on success
 * Return: 0; -EINVAL for a number in use, -ENFILE, -ENOMEM for too many.
 */
int p9_fid_add(struct p9_fids *t, const struct p9_fid *f);
/**
 * p9_fid_replace() - unless it is another one by now
 * @was: what p9_fid_get() gave
 * @now: its @xattr passes on success
 * Return: 0; -EBADF, -ENOMEM.
 */
int p9_fid_replace(struct p9_fids *t, const struct p9_fid *was,
		   const struct p9_fid *now);
/** p9_fid_del() - and give it to the caller, @xattr included. -EBADF */
int p9_fid_del(struct p9_fids *t, u32 number, struct p9_fid *f);

/** p9_xattr_new() - NULL without memory */
struct p9_xattr *p9_xattr_new(u32 len);
/** p9_xattr_read() - Return: bytes; -EBADF, -EINVAL */
int p9_xattr_read(struct p9_fids *t, u32 number, u64 off, void *d, size_t len);
/** p9_xattr_write() - in order, and no more than was announced */
int p9_xattr_write(struct p9_fids *t, u32 number, u64 off, const void *d,
		   size_t len);

void p9_fids_save(struct p9_fids *t, struct state_out *out);
int p9_fids_restore(struct p9_fids *t, struct state_in *in);

#endif
