// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * A 9P2000.L server over fs/host.c, which FUSE is served from as well: messages
 * as "kvm/9p-proto.h" has them, in the pieces of one chain. The body is copied
 * out once and only the copy is looked at (fs/9p-msg.c). What is done with files
 * is fs/9p-ops.c; here is the session: what begins it and ends it, and walks.
 *
 * A fid (fs/9p-fid.c) has a number of the share for its file, given out once for
 * it, and perhaps one of an open file. Names are looked up one component at a
 * time, see fs/step.c for why nothing outside is found; "." and ".." are
 * refused, which a Linux client resolves by itself.
 *
 * What a guest may keep is its own decision here (cache= of its mount): the
 * protocol has no times for that, and nobody tells it when the host changes a
 * file. A qid's version changes with the file's time of modification.
 *
 * A file that is not where it was is ENOENT, by which a client with a cache
 * learns to look again. Only an open says ESTALE: the guest's VFS then looks the
 * name up once more, and makes the file if it was to.
 *
 * Threads: any, see fs/host.c; the size of messages is one atomic word. A second
 * version forgets all of the session before. A flush is answered after what it
 * is about (order(), virtio/fs-threads.c); nothing is aborted.
 *
 * Not supported: 9P2000 and .u, authentication, trees by name (aname).
 *
 * What a guest can do wrong: a chain without header, or without room for an
 * error, is -EPROTO. All else is an error: EINVAL for what is too short, EBADF
 * for fids that are not there or no such thing, EOPNOTSUPP for what is not
 * known, EIO for what comes before version.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "fs/9p-msg.h"

#define P9_STATE_VERSION 1
#define MSIZE_MIN 4096U
/* A chain has so many pieces; some hold headers. */
#define MSIZE_MAX ((VQ_CHAIN_MAX - 8) * 4096U)
/* size, type, tag, ecode */
#define ERROR_SIZE (P9_HDR + 4)

/* The session */

static void forget_all(struct p9_server *s)
{
	__atomic_store_n(&s->msize, 0, __ATOMIC_RELEASE);
	p9_fids_clear(&s->fids);
	fs_forget_all(s->host);
}

static int op_version(struct p9_ctx *x)
{
	u32 msize = state_get_u32(&x->in);
	char version[16];
	bool known;

	p9_get_string(x, version, sizeof(version));
	if (x->in.err)
		return -EINVAL;
	if (msize < MSIZE_MIN)
		return -EMSGSIZE;
	known = !x->err && !strcmp(version, P9_VERSION);
	msize = MIN(msize, MSIZE_MAX);
	forget_all(x->s);
	if (known)
		__atomic_store_n(&x->s->msize, msize, __ATOMIC_RELEASE);
	state_put_u32(&x->out, msize);
	p9_put_string(x, known ? P9_VERSION : "unknown");
	return 0;
}

static int op_auth(struct p9_ctx *x)
{
	(void)x;
	return -EOPNOTSUPP;
}

static int op_flush(struct p9_ctx *x)
{
	state_get_u16(&x->in);
	return p9_args_end(x);
}

static int op_attach(struct p9_ctx *x)
{
	struct p9_fid f = { .number = state_get_u32(&x->in), .node = FS_ROOT };
	u32 afid = state_get_u32(&x->in);
	struct fs_entry e;
	char tree[4];
	int err;

	p9_skip_string(x);
	p9_get_string(x, tree, sizeof(tree));
	f.uid = state_get_u32(&x->in);
	err = p9_args_end(x);
	if (err == -ENAMETOOLONG || (!err && *tree && strcmp(tree, "/")))
		return -ENOENT;
	if (err || afid != P9_NOFID)
		return -EINVAL;
	/* Only by name, of which the host knows nothing: as lkvm itself. */
	if (f.uid == P9_NONUNAME)
		f.uid = 0;
	err = fs_getattr(x->host, FS_ROOT, &e);
	if (!err)
		err = p9_fid_add(&x->s->fids, &f);
	if (!err)
		p9_put_qid(x, &e);
	return err;
}

/*
 * From @node on; the number that it ends with is given out once more. Return:
 * names that were found
 */
static int walk_names(struct p9_ctx *x, u16 nr, u64 *node, int *err)
{
	char name[FS_NAME_MAX + 1];
	struct fs_entry e;
	int i;

	*err = fs_again(x->host, *node);
	for (i = 0; i < nr && !*err; i++) {
		p9_get_string(x, name, sizeof(name));
		*err = p9_args_end(x);
		if (!*err)
			*err = fs_lookup(x->host, *node, name, &e);
		if (*err)
			break;
		p9_put_qid(x, &e);
		fs_forget(x->host, *node, 1);
		*node = e.node;
	}
	if (*err)
		fs_forget(x->host, *node, 1);
	return i;
}

/* At once, whoever comes in between. */
static int walk_end(struct p9_ctx *x, const struct p9_fid *from,
		    struct p9_fid *to)
{
	int err;

	if (to->number == from->number) {
		err = p9_fid_replace(&x->s->fids, from, to);
		if (!err)
			fs_forget(x->host, from->node, 1);
	} else {
		err = p9_fid_add(&x->s->fids, to);
	}
	if (err)
		fs_forget(x->host, to->node, 1);
	return err;
}

static int op_walk(struct p9_ctx *x)
{
	struct p9_fid from, to;
	int err = p9_get_file_fid(x, &from), done;
	u32 number = state_get_u32(&x->in);
	u16 nr = state_get_u16(&x->in);

	if (err)
		return err;
	if (x->in.err || nr > P9_WALK_MAX)
		return -EINVAL;
	if (number == from.number && from.file)
		return -EBADF;
	to = (struct p9_fid){
		.number = number, .uid = from.uid, .node = from.node,
	};
	state_put_u16(&x->out, nr);
	done = walk_names(x, nr, &to.node, &err);
	/* Some were found: so many, and no new fid. */
	if (err && done && !p9_args_end(x)) {
		x->out.buf[0] = done;
		return 0;
	}
	return err ? err : walk_end(x, &from, &to);
}

static p9_op op_find(u8 type)
{
	switch (type) {
	case P9_TVERSION:
		return op_version;
	case P9_TAUTH:
		return op_auth;
	case P9_TATTACH:
		return op_attach;
	case P9_TFLUSH:
		return op_flush;
	case P9_TWALK:
		return op_walk;
	default:
		return type < P9_TYPES ? p9_file_ops[type] : NULL;
	}
}

static bool header_read(const struct vq_chain *c, u32 *size, u8 *type, u16 *tag)
{
	u8 h[P9_HDR];
	struct state_in in = { .buf = h, .len = sizeof(h) };

	if (iov_read(c->iov, c->nr_out, 0, h, sizeof(h)) < sizeof(h))
		return false;
	*size = state_get_u32(&in);
	*type = state_get_u8(&in);
	*tag = state_get_u16(&in);
	return true;
}

static int request_serve(struct p9_ctx *x, u8 *buf)
{
	size_t len = x->size - P9_HDR;
	p9_op op = op_find(x->type);

	x->msize = __atomic_load_n(&x->s->msize, __ATOMIC_ACQUIRE);
	if (x->size < P9_HDR || x->size > x->c->out_len)
		return -EINVAL;
	if (!op)
		return -EOPNOTSUPP;
	if (!x->msize && x->type != P9_TVERSION)
		return -EIO;
	if (x->msize)
		x->out.capacity = MIN(x->out.capacity, x->msize - P9_HDR);
	/* Of a write the data stays where it is. */
	if (x->type == P9_TWRITE)
		len = MIN(len, P9_WRITE_HDR - P9_HDR);
	if (len > FS_IN_MAX)
		return -EINVAL;
	iov_read(x->c->iov, x->c->nr_out, P9_HDR, buf, len);
	x->in = (struct state_in){ .buf = buf, .len = len };
	return op(x);
}

/* Data that was read is in place; all else has to be put there. */
static int answer_put(const struct p9_ctx *x, int err)
{
	const struct iovec *iov = x->c->iov + x->c->nr_out;
	u8 h[ERROR_SIZE];
	struct state_out a = { .buf = h, .capacity = sizeof(h), .fixed = true };
	u32 size;

	if (!err && x->out.err)
		err = -EIO;
	if (err == -ESTALE && x->type != P9_TLOPEN && x->type != P9_TLCREATE)
		err = -ENOENT;
	size = err ? ERROR_SIZE : P9_HDR + x->out.len + x->data;
	state_put_u32(&a, size);
	state_put_u8(&a, err ? P9_RLERROR : x->type + 1);
	state_put_u16(&a, x->tag);
	if (err)
		state_put_u32(&a, -err);
	else
		iov_write(iov, x->c->nr_in, P9_HDR, x->out.buf, x->out.len);
	iov_write(iov, x->c->nr_in, 0, h, a.len);
	return size;
}

static struct fs_order order(const struct vq_chain *c)
{
	struct fs_order o = { 0 };
	__le16 old;
	u32 size;
	u16 tag;
	u8 type;

	if (!header_read(c, &size, &type, &tag))
		return o;
	if (type != P9_TFLUSH)
		o.key = tag + 1;
	else if (iov_read(c->iov, c->nr_out, P9_HDR, &old, sizeof(old)) ==
		 sizeof(old))
		o.after = le16toh(old) + 1;
	return o;
}

static struct p9_server *server_of(struct fs_server *base)
{
	return container_of(base, struct p9_server, base);
}

static int serve(struct fs_server *base, struct fs_buffers *b,
		 const struct vq_chain *c)
{
	struct p9_server *s = server_of(base);
	struct p9_ctx x = {
		.s = s, .host = s->host, .c = c, .iov = b->iov,
		.out = { .buf = b->out, .fixed = true },
	};

	if (!header_read(c, &x.size, &x.type, &x.tag) || c->in_len < ERROR_SIZE)
		return -EPROTO;
	x.out.capacity = MIN(c->in_len - P9_HDR, FS_OUT_MAX);
	return answer_put(&x, request_serve(&x, b->in));
}

static void server_free(struct fs_server *base)
{
	struct p9_server *s = server_of(base);

	p9_fids_free(&s->fids);
	fs_close(s->host);
	free(s);
}

static void reset(struct fs_server *base)
{
	struct p9_server *s = server_of(base);

	__atomic_store_n(&s->msize, 0, __ATOMIC_RELEASE);
	p9_fids_clear(&s->fids);
	fs_reset(s->host);
}

static void save(struct fs_server *base, struct state_out *out)
{
	struct p9_server *s = server_of(base);

	state_put_u32(out, P9_STATE_VERSION);
	state_put_u32(out, s->msize);
	fs_save(s->host, out);
	p9_fids_save(&s->fids, out);
}

static int restore(struct fs_server *base, struct state_in *in)
{
	struct p9_server *s = server_of(base);
	u32 msize;
	int err;

	state_get_version(in, P9_STATE_VERSION);
	msize = state_get_u32(in);
	if (in->err || msize > MSIZE_MAX || (msize && msize < MSIZE_MIN))
		return -EPROTO;
	err = fs_restore(s->host, in);
	if (!err)
		err = p9_fids_restore(&s->fids, in);
	if (err)
		reset(base);
	else
		s->msize = msize;
	return err;
}

static const struct fs_service service = {
	.serve = serve,
	.order = order,
	.reset = reset,
	.free = server_free,
	.save = save,
	.restore = restore,
	.broken = "no 9P message, or no room for an answer",
};

int p9_server_create(struct fs_server **out, struct fs_host *host)
{
	struct p9_server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	if (p9_fids_init(&s->fids)) {
		p9_fids_free(&s->fids);
		free(s);
		return -ENOMEM;
	}
	s->base.service = &service;
	s->host = host;
	*out = &s->base;
	return 0;
}
