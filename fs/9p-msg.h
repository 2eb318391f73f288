/* SPDX-License-Identifier: GPL-2.0-only */
/* A 9P message that is served: what the files 9p*.c of fs/ have of each other. */
#ifndef FS__9P_MSG_H
#define FS__9P_MSG_H

#include "kvm/9p.h"
#include "kvm/fs.h"
#include "kvm/9p-proto.h"
#include "fs/9p-fid.h"

/** struct p9_server - @msize: 0 before a version is agreed on */
struct p9_server {
	struct fs_server base;
	struct fs_host *host;
	struct p9_fids fids;
	u32 msize;
};

/**
 * struct p9_ctx - a request that is served
 * @msize: what was agreed on when it began
 * @in: its body, a copy; of a write only what is in front of the data
 * @err: of an argument: too long, or no string
 * @out: the answer's body; @data: bytes of it that are in place already
 */
struct p9_ctx {
	struct p9_server *s;
	struct fs_host *host;
	const struct vq_chain *c;
	struct iovec *iov;
	u32 msize;
	u32 size;
	u8 type;
	u16 tag;
	struct state_in in;
	int err;
	struct state_out out;
	size_t data;
};

/** typedef p9_op - Return: 0 with the answer put, -errno */
typedef int (*p9_op)(struct p9_ctx *x);

/** p9_file_ops - by type; NULL for what is of the session, or not known */
extern const p9_op p9_file_ops[P9_TYPES];

/* Arguments: what is not there is zero, and p9_args_end() says so. */

/** p9_get_string() - with a NUL behind it; more than @size - 1 bytes are too long */
void p9_get_string(struct p9_ctx *x, char *buf, size_t size);
void p9_skip_string(struct p9_ctx *x);
/** p9_args_end() - after the last one. Return: 0; -EINVAL, -ENAMETOOLONG */
int p9_args_end(const struct p9_ctx *x);
/** p9_get_fid() - a copy of the fid that is meant. Return: 0; -EINVAL, -EBADF */
int p9_get_fid(struct p9_ctx *x, struct p9_fid *f);
/** p9_get_file_fid() - the same of a file, not of an xattr */
int p9_get_file_fid(struct p9_ctx *x, struct p9_fid *f);
/** p9_get_open_fid() - the same of an open file */
int p9_get_open_fid(struct p9_ctx *x, struct p9_fid *f);

/* The answer: what has no room in it is -EIO in the end. */

void p9_put_string(struct p9_ctx *x, const char *s);
/** p9_put_qid() - of a file that was found */
void p9_put_qid(struct p9_ctx *x, const struct fs_entry *e);
/** p9_put_qid_raw() - @mode: S_IFMT of it */
void p9_put_qid_raw(struct p9_ctx *x, u32 mode, u32 version, u64 path);

#endif
