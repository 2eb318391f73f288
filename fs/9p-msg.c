// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Arguments out of a 9P message, and fields of its answer, as "kvm/9p-proto.h" has
 * them. A cursor (struct state_in) knows where the body ends and a buffer (struct
 * state_out) how much room there is; errors stick, so that an operation takes all
 * of its arguments in straight lines and looks once. What else can be wrong with
 * one, a string that is too long or has a NUL inside, sticks beside that.
 *
 * Threads: a message is one thread's.
 */
#include <errno.h>
#include <string.h>
#include "fs/9p-msg.h"

/* Arguments */

void p9_get_string(struct p9_ctx *x, char *buf, size_t size)
{
	size_t len = state_get_u16(&x->in);

	buf[0] = 0;
	if (x->in.err || len > x->in.len - x->in.pos) {
		x->in.err = -EPROTO;
		return;
	}
	if (len >= size) {
		x->err = -ENAMETOOLONG;
		x->in.pos += len;
		return;
	}
	state_get(&x->in, buf, len);
	buf[len] = 0;
	if (strlen(buf) != len)
		x->err = -EINVAL;
}

void p9_skip_string(struct p9_ctx *x)
{
	size_t len = state_get_u16(&x->in);

	if (len > x->in.len - x->in.pos)
		x->in.err = -EPROTO;
	else
		x->in.pos += len;
}

int p9_args_end(const struct p9_ctx *x)
{
	return x->in.err ? -EINVAL : x->err;
}

int p9_get_fid(struct p9_ctx *x, struct p9_fid *f)
{
	u32 number = state_get_u32(&x->in);

	*f = (struct p9_fid){ 0 };
	return x->in.err ? -EINVAL : p9_fid_get(&x->s->fids, number, f);
}

int p9_get_file_fid(struct p9_ctx *x, struct p9_fid *f)
{
	int err = p9_get_fid(x, f);

	return !err && f->kind != P9_FID_FILE ? -EBADF : err;
}

int p9_get_open_fid(struct p9_ctx *x, struct p9_fid *f)
{
	int err = p9_get_file_fid(x, f);

	return !err && !f->file ? -EBADF : err;
}

/* The answer */

void p9_put_string(struct p9_ctx *x, const char *s)
{
	state_put_u16(&x->out, strlen(s));
	state_put(&x->out, s, strlen(s));
}

static u8 qid_type(u32 mode)
{
	if (S_ISDIR(mode))
		return P9_QT_DIR;
	return S_ISLNK(mode) ? P9_QT_SYMLINK : 0;
}

void p9_put_qid_raw(struct p9_ctx *x, u32 mode, u32 version, u64 path)
{
	state_put_u8(&x->out, qid_type(mode));
	state_put_u32(&x->out, version);
	state_put_u64(&x->out, path);
}

void p9_put_qid(struct p9_ctx *x, const struct fs_entry *e)
{
	const struct statx *st = &e->st;

	p9_put_qid_raw(x, st->stx_mode, (u32)st->stx_mtime.tv_sec ^
		       st->stx_mtime.tv_nsec, e->ino);
}
