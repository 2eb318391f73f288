// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * A 9P2000.L server over fs/host.c, which FUSE is served from as well: messages
 * as "kvm/9p-proto.h" has them, in the pieces of one chain. The body is copied
 * out once and only the copy is looked at; every field is taken by a cursor that
 * knows where it ends. Data is not copied: reads and writes go between the host's
 * file and the guest's pages.
 *
 * A fid (fs/9p-fid.c) has a number of the share for its file, given out once for
 * it, and perhaps one of an open file. Names are looked up one component at a
 * time, see fs/inode.c for why nothing outside is found; "." and ".." are
 * refused, which a Linux client resolves by itself.
 *
 * What a guest may keep is its own decision here (cache= of its mount): the
 * protocol has no times for that, and nobody tells it when the host changes a
 * file. A qid's version changes with the file's time of modification.
 *
 * Locks stay in the guest's kernel, which has asked itself before it asks here:
 * every lock is granted, and none is in the way. They do not work between guest
 * and host. Permissions are checked by the guest's kernel. Whom a file is made
 * for is who has attached (uid), and the gid of the request.
 *
 * O_APPEND is obeyed for what is open for writing only. A client that writes
 * back pages opens for reading as well, and has the right offset of each.
 *
 * A value of an xattr is written piece by piece and set when its fid is clunked.
 * An empty one that is to replace another takes it away: that is how a Linux
 * client removes them.
 *
 * A file that is not where it was is ENOENT, by which a client with a cache
 * learns to look again. Only an open says ESTALE: the guest's VFS then looks the
 * name up once more, and makes the file if it was to.
 *
 * Threads: any, see fs/host.c; the size of messages is one atomic word. A second
 * version forgets all of the session before. A flush is answered after what it
 * is about (p9_order(), virtio/fs-threads.c); nothing is aborted.
 *
 * Not supported: 9P2000 and .u, authentication, trees by name (aname), remove
 * and rename of a file that has several names: which one is meant is not known;
 * Linux has used unlinkat and renameat since 3.2.
 *
 * What a guest can do wrong: a chain without header, or without room for an
 * error, is -EPROTO. All else is an error: EINVAL for what is too short, EBADF
 * for fids that are not there or no such thing, EOPNOTSUPP for what is not
 * known, EIO for what comes before version.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <linux/xattr.h>
#include "kvm/9p-fid.h"
#include "kvm/9p-proto.h"
#include "kvm/9p.h"
#include "kvm/fs.h"

#define P9_STATE_VERSION 1
#define MSIZE_MIN 4096U
/* A chain has so many pieces; some hold headers. */
#define MSIZE_MAX ((VQ_CHAIN_MAX - 8) * 4096U)
/* size, type, tag, ecode */
#define ERROR_SIZE (P9_HDR + 4)

/** struct p9_server - @msize: 0 before a version is agreed on */
struct p9_server {
	struct fs_host *host;
	struct p9_fids fids;
	u32 msize;
};

/**
 * struct p9_ctx - a request that is served
 * @msize: what was agreed on when it began
 * @in: its body, a copy; of a write only what is in front of the data
 * @err: of an argument: too long, or no string
 * @out, @len, @room: the answer's body
 * @full: it did not fit
 * @data: bytes of it that are in place already
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
	u8 *out;
	size_t len;
	size_t room;
	bool full;
	size_t data;
};

/* Return: 0 with the answer put, -errno */
typedef int (*p9_op)(struct p9_ctx *x);

/* Arguments */

/* A string, with a NUL behind it; one of more than @size - 1 bytes is too long. */
static void get_string(struct p9_ctx *x, char *buf, size_t size)
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

static void skip_string(struct p9_ctx *x)
{
	size_t len = state_get_u16(&x->in);

	if (len > x->in.len - x->in.pos)
		x->in.err = -EPROTO;
	else
		x->in.pos += len;
}

/* After the last one: whether all were there. */
static int args_end(const struct p9_ctx *x)
{
	return x->in.err ? -EINVAL : x->err;
}

static int get_fid(struct p9_ctx *x, struct p9_fid *f)
{
	u32 number = state_get_u32(&x->in);

	*f = (struct p9_fid){ 0 };
	return x->in.err ? -EINVAL : p9_fid_get(&x->s->fids, number, f);
}

/* Of a file, not of an xattr */
static int get_file_fid(struct p9_ctx *x, struct p9_fid *f)
{
	int err = get_fid(x, f);

	return !err && f->kind != P9_FID_FILE ? -EBADF : err;
}

static int get_open_fid(struct p9_ctx *x, struct p9_fid *f)
{
	int err = get_file_fid(x, f);

	return !err && !f->file ? -EBADF : err;
}

/* The answer */

static void put(struct p9_ctx *x, const void *p, size_t len)
{
	if (len > x->room - x->len) {
		x->full = true;
		return;
	}
	memcpy(x->out + x->len, p, len);
	x->len += len;
}

static void put_u8(struct p9_ctx *x, u8 v)
{
	put(x, &v, sizeof(v));
}

static void put_u16(struct p9_ctx *x, u16 v)
{
	__le16 le = htole16(v);

	put(x, &le, sizeof(le));
}

static void put_u32(struct p9_ctx *x, u32 v)
{
	__le32 le = htole32(v);

	put(x, &le, sizeof(le));
}

static void put_u64(struct p9_ctx *x, u64 v)
{
	__le64 le = htole64(v);

	put(x, &le, sizeof(le));
}

static void put_string(struct p9_ctx *x, const char *s)
{
	put_u16(x, strlen(s));
	put(x, s, strlen(s));
}

static void put_qid_raw(struct p9_ctx *x, u8 type, u32 version, u64 path)
{
	put_u8(x, type);
	put_u32(x, version);
	put_u64(x, path);
}

static u8 qid_type(u32 mode)
{
	if (S_ISDIR(mode))
		return P9_QT_DIR;
	return S_ISLNK(mode) ? P9_QT_SYMLINK : 0;
}

static void put_qid(struct p9_ctx *x, const struct fs_entry *e)
{
	const struct statx *st = &e->st;

	put_qid_raw(x, qid_type(st->stx_mode), (u32)st->stx_mtime.tv_sec ^
		    st->stx_mtime.tv_nsec, e->ino);
}

/* Of something that was made, whose number is not kept. */
static int answer_made(struct p9_ctx *x, int err, const struct fs_entry *e)
{
	if (err)
		return err;
	put_qid(x, e);
	fs_forget(x->host, e->node, 1);
	return 0;
}

static struct fs_caller caller(const struct p9_fid *f, u32 gid)
{
	return (struct fs_caller){ .uid = f->uid, .gid = gid };
}

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

	get_string(x, version, sizeof(version));
	if (x->in.err)
		return -EINVAL;
	if (msize < MSIZE_MIN)
		return -EMSGSIZE;
	known = !x->err && !strcmp(version, P9_VERSION);
	msize = MIN(msize, MSIZE_MAX);
	forget_all(x->s);
	if (known)
		__atomic_store_n(&x->s->msize, msize, __ATOMIC_RELEASE);
	put_u32(x, msize);
	put_string(x, known ? P9_VERSION : "unknown");
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
	return args_end(x);
}

static int op_attach(struct p9_ctx *x)
{
	struct p9_fid f = { .number = state_get_u32(&x->in), .node = FS_ROOT };
	u32 afid = state_get_u32(&x->in);
	struct fs_entry e;
	char tree[4];
	int err;

	skip_string(x);
	get_string(x, tree, sizeof(tree));
	f.uid = state_get_u32(&x->in);
	err = args_end(x);
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
		put_qid(x, &e);
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
		get_string(x, name, sizeof(name));
		*err = args_end(x);
		if (!*err)
			*err = fs_lookup(x->host, *node, name, &e);
		if (*err)
			break;
		put_qid(x, &e);
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
	int err = get_file_fid(x, &from), done;
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
	put_u16(x, nr);
	done = walk_names(x, nr, &to.node, &err);
	/* Some were found: so many, and no new fid. */
	if (err && done && !args_end(x)) {
		x->out[0] = done;
		return 0;
	}
	return err ? err : walk_end(x, &from, &to);
}

/* No fid has it any more. */
static void fid_dispose(struct p9_ctx *x, const struct p9_fid *f)
{
	if (f->file)
		fs_release(x->host, f->file);
	fs_forget(x->host, f->node, 1);
	free(f->xattr);
}

static int xattr_commit(struct p9_ctx *x, const struct p9_fid *f)
{
	const struct p9_xattr *a = f->xattr;
	struct iovec v = { (void *)a->data, a->len };

	if (a->filled != a->len)
		return -EINVAL;
	if (!a->len && a->flags & XATTR_REPLACE)
		return fs_removexattr(x->host, f->node, a->name);
	return fs_setxattr(x->host, f->node, a->name, &v, a->flags, false);
}

static int op_clunk(struct p9_ctx *x)
{
	u32 number = state_get_u32(&x->in);
	struct p9_fid f;
	int err = args_end(x);

	if (!err)
		err = p9_fid_del(&x->s->fids, number, &f);
	if (err)
		return err;
	if (f.kind == P9_FID_XATTR_WRITE)
		err = xattr_commit(x, &f);
	fid_dispose(x, &f);
	return err;
}

/* Files */

static u32 open_flags(u32 flags)
{
	static const u32 map[][2] = {
		{ P9_O_EXCL, O_EXCL }, { P9_O_TRUNC, O_TRUNC },
		{ P9_O_DSYNC, O_DSYNC }, { P9_O_SYNC, O_SYNC },
		{ P9_O_APPEND, O_APPEND },
	};
	u32 out = flags & P9_O_ACCMODE;

	for (unsigned int i = 0; i < ARRAY_SIZE(map); i++)
		out |= flags & map[i][0] ? map[i][1] : 0;
	return out;
}

/* @to is open, which the fid is to be; @e is of that file. */
static int answer_open(struct p9_ctx *x, const struct p9_fid *from,
		       struct p9_fid *to, u32 flags, const struct fs_entry *e)
{
	int err;

	to->flags = flags & (O_ACCMODE | O_APPEND);
	err = p9_fid_replace(&x->s->fids, from, to);
	if (err) {
		fs_release(x->host, to->file);
		return err;
	}
	put_qid(x, e);
	put_u32(x, 0);
	return 0;
}

static int op_lopen(struct p9_ctx *x)
{
	struct p9_fid f, to;
	struct fs_entry e;
	int err = get_file_fid(x, &f);
	u32 flags = open_flags(state_get_u32(&x->in));

	if (!err)
		err = args_end(x);
	if (!err && f.file)
		err = -EBADF;
	if (err)
		return err;
	to = f;
	err = fs_open_file(x->host, f.node, flags, &to.file, NULL);
	if (err)
		return err;
	err = fs_getattr(x->host, f.node, &e);
	if (err) {
		fs_release(x->host, to.file);
		return err;
	}
	return answer_open(x, &f, &to, flags, &e);
}

static int op_lcreate(struct p9_ctx *x)
{
	char name[FS_NAME_MAX + 1];
	struct fs_caller who;
	struct p9_fid f, to;
	struct fs_entry e;
	u32 flags, mode;
	int err = get_file_fid(x, &f);

	get_string(x, name, sizeof(name));
	flags = open_flags(state_get_u32(&x->in));
	mode = state_get_u32(&x->in);
	who = caller(&f, state_get_u32(&x->in));
	if (!err)
		err = args_end(x);
	if (!err && f.file)
		err = -EBADF;
	if (err)
		return err;
	to = f;
	err = fs_create(x->host, f.node, name, flags & ~O_APPEND, mode, &who,
			&e, &to.file);
	/* As FUSE_CREATE; a directory that is gone is found nowhere. */
	if (err == -EEXIST && !(flags & O_EXCL))
		err = -ESTALE;
	else if (err == -ESTALE)
		err = -ENOENT;
	if (err)
		return err;
	to.node = e.node;
	err = answer_open(x, &f, &to, flags, &e);
	fs_forget(x->host, err ? e.node : f.node, 1);
	return err;
}

/* Behind the header of the answer, where the data is to be. */
static int op_read(struct p9_ctx *x)
{
	const struct vq_chain *c = x->c;
	struct p9_fid f;
	int err = get_fid(x, &f);
	u64 off = state_get_u64(&x->in);
	size_t count = state_get_u32(&x->in), room;
	ssize_t n;

	if (!err)
		err = args_end(x);
	if (err)
		return err;
	if (f.kind != P9_FID_FILE) {
		if (x->room < sizeof(u32))
			return -EINVAL;
		n = p9_xattr_read(&x->s->fids, f.number, off,
				  x->out + sizeof(u32),
				  MIN(count, x->room - sizeof(u32)));
		if (n < 0)
			return n;
		put_u32(x, n);
		x->len += n;
		return 0;
	}
	if (!f.file)
		return -EBADF;
	room = MIN(c->in_len, x->msize) - P9_READ_HDR;
	n = fs_read(x->host, f.file, x->iov,
		    iov_slice(c->iov + c->nr_out, c->nr_in, P9_READ_HDR,
			      MIN(count, room), x->iov), off);
	if (n < 0)
		return n;
	put_u32(x, n);
	x->data = n;
	return 0;
}

static int write_xattr(struct p9_ctx *x, const struct p9_fid *f, u64 off,
		       size_t count)
{
	int n;

	if (count > FS_OUT_MAX)
		return -EINVAL;
	iov_read(x->c->iov, x->c->nr_out, P9_WRITE_HDR, x->out, count);
	n = p9_xattr_write(&x->s->fids, f->number, off, x->out, count);
	if (n < 0)
		return n;
	put_u32(x, n);
	return 0;
}

/*
 * Clients before Linux 5.12 do not count data that is in pages of its own as a
 * part of the message, so the chain says how much there is.
 */
static int op_write(struct p9_ctx *x)
{
	const struct vq_chain *c = x->c;
	struct p9_fid f;
	int err = get_fid(x, &f);
	u64 off = state_get_u64(&x->in);
	size_t count = state_get_u32(&x->in);
	ssize_t n;

	if (!err)
		err = args_end(x);
	if (err)
		return err;
	if (count > MIN(c->out_len, x->msize) - P9_WRITE_HDR)
		return -EINVAL;
	if (f.kind != P9_FID_FILE)
		return write_xattr(x, &f, off, count);
	if (!f.file)
		return -EBADF;
	n = fs_write(x->host, f.file, x->iov,
		     iov_slice(c->iov, c->nr_out, P9_WRITE_HDR, count, x->iov),
		     off, f.flags == (O_WRONLY | O_APPEND), f.uid);
	if (n < 0)
		return n;
	put_u32(x, n);
	return 0;
}

static int op_fsync(struct p9_ctx *x)
{
	struct p9_fid f;
	int err = get_open_fid(x, &f);
	/* Is not there in what clients before Linux 3.0 send. */
	u32 data_only = state_get_u32(&x->in);

	return err ? err : fs_fsync(x->host, f.file, data_only);
}

/* Asked for and granted in the guest's kernel before */
static int op_lock(struct p9_ctx *x)
{
	struct p9_fid f;
	int err = get_open_fid(x, &f);
	u8 type = state_get_u8(&x->in);

	state_get_u32(&x->in);
	state_get_u64(&x->in);
	state_get_u64(&x->in);
	state_get_u32(&x->in);
	skip_string(x);
	if (!err)
		err = args_end(x);
	if (!err && type > P9_LOCK_UNLCK)
		err = -EINVAL;
	if (err)
		return err;
	put_u8(x, P9_LOCK_SUCCESS);
	return 0;
}

static int op_getlock(struct p9_ctx *x)
{
	struct p9_fid f;
	int err = get_open_fid(x, &f);
	u8 type = state_get_u8(&x->in);
	u64 start = state_get_u64(&x->in), len = state_get_u64(&x->in);
	u32 process = state_get_u32(&x->in);
	char client[256];

	get_string(x, client, sizeof(client));
	if (!err)
		err = args_end(x);
	if (!err && type > P9_LOCK_UNLCK)
		err = -EINVAL;
	if (err)
		return err;
	put_u8(x, P9_LOCK_UNLCK);
	put_u64(x, start);
	put_u64(x, len);
	put_u32(x, process);
	put_string(x, client);
	return 0;
}

/** struct listing - entries on their way into an answer; @max: bytes of them */
struct listing {
	struct p9_ctx *x;
	size_t max;
	bool refused;
};

static bool list_emit(void *opaque, const struct fs_dirent *d)
{
	struct listing *l = opaque;
	struct p9_ctx *x = l->x;
	size_t size = P9_QID + sizeof(u64) + sizeof(u8) + sizeof(u16) + d->len;

	if (size > l->max) {
		l->refused = true;
		return false;
	}
	l->max -= size;
	put_qid_raw(x, qid_type(DTTOIF(d->type)), 0, d->ino);
	put_u64(x, d->next);
	put_u8(x, d->type);
	put_string(x, d->name);
	return true;
}

static int op_readdir(struct p9_ctx *x)
{
	struct listing l = { .x = x };
	struct p9_fid f;
	int err = get_open_fid(x, &f);
	u64 off = state_get_u64(&x->in);
	__le32 count;

	l.max = state_get_u32(&x->in);
	if (!err)
		err = args_end(x);
	if (err)
		return err;
	if (x->room < sizeof(count))
		return -EINVAL;
	l.max = MIN(l.max, x->room - sizeof(count));
	put_u32(x, 0);
	err = fs_readdir(x->host, f.file, off, list_emit, &l);
	count = htole32(x->len - sizeof(count));
	memcpy(x->out, &count, sizeof(count));
	if (count)
		return 0;
	/* That would be the end. */
	return !err && l.refused ? -EINVAL : err;
}

/* Attributes */

static int op_getattr(struct p9_ctx *x)
{
	struct p9_fid f;
	struct fs_entry e;
	const struct statx *st = &e.st;
	int err = get_file_fid(x, &f);

	state_get_u64(&x->in);
	if (!err)
		err = args_end(x);
	if (!err)
		err = fs_getattr(x->host, f.node, &e);
	if (err)
		return err;
	put_u64(x, P9_GETATTR_BASIC |
		(st->stx_mask & STATX_BTIME ? P9_GETATTR_BTIME : 0));
	put_qid(x, &e);
	put_u32(x, st->stx_mode);
	put_u32(x, st->stx_uid);
	put_u32(x, st->stx_gid);
	put_u64(x, st->stx_nlink);
	put_u64(x, makedev(st->stx_rdev_major, st->stx_rdev_minor));
	put_u64(x, st->stx_size);
	put_u64(x, st->stx_blksize);
	put_u64(x, st->stx_blocks);
	put_u64(x, st->stx_atime.tv_sec);
	put_u64(x, st->stx_atime.tv_nsec);
	put_u64(x, st->stx_mtime.tv_sec);
	put_u64(x, st->stx_mtime.tv_nsec);
	put_u64(x, st->stx_ctime.tv_sec);
	put_u64(x, st->stx_ctime.tv_nsec);
	put_u64(x, st->stx_btime.tv_sec);
	put_u64(x, st->stx_btime.tv_nsec);
	put_u64(x, 0);
	put_u64(x, 0);
	return 0;
}

static struct timespec get_time(struct p9_ctx *x, bool wanted, bool given)
{
	u64 sec = state_get_u64(&x->in), nsec = state_get_u64(&x->in);

	if (!wanted)
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	if (!given)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (nsec > 999999999)
		x->err = -EINVAL;
	return (struct timespec){ .tv_sec = sec, .tv_nsec = nsec };
}

static int op_setattr(struct p9_ctx *x)
{
	static const u32 map[][2] = {
		{ P9_SETATTR_MODE, STATX_MODE }, { P9_SETATTR_UID, STATX_UID },
		{ P9_SETATTR_GID, STATX_GID }, { P9_SETATTR_SIZE, STATX_SIZE },
		{ P9_SETATTR_ATIME, STATX_ATIME },
		{ P9_SETATTR_MTIME, STATX_MTIME },
	};
	struct fs_setattr s = { 0 };
	struct fs_entry e;
	struct p9_fid f;
	int err = get_file_fid(x, &f);
	u32 valid = state_get_u32(&x->in);

	s.mode = state_get_u32(&x->in);
	s.uid = state_get_u32(&x->in);
	s.gid = state_get_u32(&x->in);
	s.size = state_get_u64(&x->in);
	s.time[0] = get_time(x, valid & P9_SETATTR_ATIME,
			     valid & P9_SETATTR_ATIME_SET);
	s.time[1] = get_time(x, valid & P9_SETATTR_MTIME,
			     valid & P9_SETATTR_MTIME_SET);
	if (!err)
		err = args_end(x);
	if (err)
		return err;
	for (unsigned int i = 0; i < ARRAY_SIZE(map); i++)
		s.mask |= valid & map[i][0] ? map[i][1] : 0;
	if (f.uid)
		s.mask |= FS_KILL_PRIV;
	return fs_setattr(x->host, f.node, f.flags & O_ACCMODE ? f.file : 0,
			  &s, &e);
}

static int op_statfs(struct p9_ctx *x)
{
	struct p9_fid f;
	struct statfs st;
	int err = get_file_fid(x, &f);

	if (!err)
		err = fs_statfs(x->host, f.node, &st);
	if (err)
		return err;
	/* Not the host's: programs ask it whether others may change files. */
	put_u32(x, V9FS_MAGIC);
	put_u32(x, st.f_bsize);
	put_u64(x, st.f_blocks);
	put_u64(x, st.f_bfree);
	put_u64(x, st.f_bavail);
	put_u64(x, st.f_files);
	put_u64(x, st.f_ffree);
	put_u64(x, (u32)st.f_fsid.__val[0] | (u64)st.f_fsid.__val[1] << 32);
	put_u32(x, st.f_namelen);
	return 0;
}

static int op_xattrwalk(struct p9_ctx *x)
{
	struct p9_fid f, to = { .kind = P9_FID_XATTR_READ };
	char name[XATTR_NAME_MAX + 1];
	int err = get_file_fid(x, &f), n;

	to.number = state_get_u32(&x->in);
	get_string(x, name, sizeof(name));
	if (!err)
		err = args_end(x);
	if (err)
		return err;
	n = *name ? fs_getxattr(x->host, f.node, name, x->out, FS_OUT_MAX) :
	    fs_listxattr(x->host, f.node, (char *)x->out, FS_OUT_MAX);
	if (n < 0)
		return n;
	to.xattr = p9_xattr_new(n);
	if (!to.xattr)
		return -ENOMEM;
	memcpy(to.xattr->data, x->out, n);
	to.uid = f.uid;
	to.node = f.node;
	err = fs_again(x->host, f.node);
	if (!err) {
		err = p9_fid_add(&x->s->fids, &to);
		if (err)
			fs_forget(x->host, f.node, 1);
	}
	if (err)
		free(to.xattr);
	else
		put_u64(x, n);
	return err;
}

static int op_xattrcreate(struct p9_ctx *x)
{
	char name[XATTR_NAME_MAX + 1];
	struct p9_fid f, to;
	int err = get_file_fid(x, &f);
	u64 size;
	u32 flags;

	get_string(x, name, sizeof(name));
	size = state_get_u64(&x->in);
	flags = state_get_u32(&x->in);
	if (!err)
		err = args_end(x);
	if (!err && f.file)
		err = -EBADF;
	if (!err && fs_readonly(x->host))
		err = -EROFS;
	if (!err && size > XATTR_SIZE_MAX)
		err = -E2BIG;
	if (err)
		return err;
	to = f;
	to.kind = P9_FID_XATTR_WRITE;
	to.xattr = p9_xattr_new(size);
	if (!to.xattr)
		return -ENOMEM;
	to.xattr->flags = flags;
	memcpy(to.xattr->name, name, sizeof(name));
	err = p9_fid_replace(&x->s->fids, &f, &to);
	if (err)
		free(to.xattr);
	return err;
}

/* Names */

static int op_readlink(struct p9_ctx *x)
{
	struct p9_fid f;
	int err = get_file_fid(x, &f), n;
	size_t room;

	if (err)
		return err;
	if (x->room <= sizeof(u16))
		return -EINVAL;
	room = MIN(x->room - sizeof(u16), (size_t)PATH_MAX);
	n = fs_readlink(x->host, f.node, (char *)x->out + sizeof(u16), room);
	if (n < 0)
		return n;
	/* Cut off, perhaps */
	if ((size_t)n == room)
		return -ENAMETOOLONG;
	put_u16(x, n);
	x->len += n;
	return 0;
}

static int op_symlink(struct p9_ctx *x)
{
	char name[FS_NAME_MAX + 1], target[PATH_MAX];
	struct fs_caller who;
	struct fs_entry e;
	struct p9_fid f;
	int err = get_file_fid(x, &f);

	get_string(x, name, sizeof(name));
	get_string(x, target, sizeof(target));
	who = caller(&f, state_get_u32(&x->in));
	if (!err)
		err = args_end(x);
	if (err)
		return err;
	return answer_made(x, fs_symlink(x->host, f.node, name, target, &who,
					 &e), &e);
}

static int op_mknod(struct p9_ctx *x)
{
	char name[FS_NAME_MAX + 1];
	u32 mode, maj = 0, min = 0;
	struct fs_caller who;
	struct fs_entry e;
	struct p9_fid f;
	int err = get_file_fid(x, &f);

	get_string(x, name, sizeof(name));
	mode = state_get_u32(&x->in);
	if (x->type == P9_TMKNOD) {
		maj = state_get_u32(&x->in);
		min = state_get_u32(&x->in);
		if (S_ISDIR(mode) || S_ISLNK(mode))
			x->err = -EINVAL;
	} else {
		mode = (mode & 07777) | S_IFDIR;
	}
	who = caller(&f, state_get_u32(&x->in));
	if (!err)
		err = args_end(x);
	if (err)
		return err;
	return answer_made(x, fs_mknod(x->host, f.node, name, mode,
				       makedev(maj, min), &who, &e), &e);
}

static int op_link(struct p9_ctx *x)
{
	char name[FS_NAME_MAX + 1];
	struct p9_fid dir, f;
	struct fs_entry e;
	int err = get_file_fid(x, &dir);

	if (!err)
		err = get_file_fid(x, &f);
	get_string(x, name, sizeof(name));
	if (!err)
		err = args_end(x);
	if (!err)
		err = fs_link(x->host, f.node, dir.node, name, &e);
	if (!err)
		fs_forget(x->host, e.node, 1);
	return err;
}

static int op_renameat(struct p9_ctx *x)
{
	char name[FS_NAME_MAX + 1], newname[FS_NAME_MAX + 1];
	struct p9_fid dir, newdir;
	int err = get_file_fid(x, &dir);

	get_string(x, name, sizeof(name));
	if (!err)
		err = get_file_fid(x, &newdir);
	get_string(x, newname, sizeof(newname));
	if (!err)
		err = args_end(x);
	if (err)
		return err;
	return fs_rename(x->host, dir.node, name, newdir.node, newname, 0);
}

static int op_unlinkat(struct p9_ctx *x)
{
	char name[FS_NAME_MAX + 1];
	struct p9_fid dir;
	int err = get_file_fid(x, &dir);
	u32 flags;

	get_string(x, name, sizeof(name));
	flags = state_get_u32(&x->in);
	if (!err)
		err = args_end(x);
	if (!err && flags & ~P9_AT_REMOVEDIR)
		err = -EINVAL;
	if (err)
		return err;
	return fs_unlink(x->host, dir.node, name, flags ? AT_REMOVEDIR : 0);
}

/* Its only name. Return: 1 for a directory, else 0; -errno */
static int place_of(struct p9_ctx *x, u64 node, u64 *dir, char *name)
{
	struct fs_entry e;
	int err = fs_getattr(x->host, node, &e);
	bool is_dir;

	if (err)
		return err;
	is_dir = S_ISDIR(e.st.stx_mode);
	if (!is_dir && e.st.stx_nlink > 1)
		return -EOPNOTSUPP;
	err = fs_whereis(x->host, node, dir, name);
	if (!err)
		err = fs_lookup(x->host, *dir, name, &e);
	if (err)
		return err;
	fs_forget(x->host, e.node, 1);
	return e.node == node ? is_dir : -ENOENT;
}

static int op_rename(struct p9_ctx *x)
{
	char name[FS_NAME_MAX + 1], newname[FS_NAME_MAX + 1];
	struct p9_fid f, newdir;
	int err = get_file_fid(x, &f);
	u64 dir;

	if (!err)
		err = get_file_fid(x, &newdir);
	get_string(x, newname, sizeof(newname));
	if (!err)
		err = args_end(x);
	if (!err)
		err = place_of(x, f.node, &dir, name);
	if (err < 0)
		return err;
	return fs_rename(x->host, dir, name, newdir.node, newname, 0);
}

/* The fid is gone whatever comes of it. */
static int op_remove(struct p9_ctx *x)
{
	u32 number = state_get_u32(&x->in);
	char name[FS_NAME_MAX + 1];
	struct p9_fid f;
	int err = args_end(x);
	u64 dir;

	if (!err)
		err = p9_fid_del(&x->s->fids, number, &f);
	if (err)
		return err;
	if (f.kind == P9_FID_FILE)
		err = place_of(x, f.node, &dir, name);
	else
		err = -EBADF;
	if (err >= 0)
		err = fs_unlink(x->host, dir, name, err ? AT_REMOVEDIR : 0);
	fid_dispose(x, &f);
	return err;
}

static const p9_op ops[] = {
	[P9_TSTATFS] = op_statfs,
	[P9_TLOPEN] = op_lopen,
	[P9_TLCREATE] = op_lcreate,
	[P9_TSYMLINK] = op_symlink,
	[P9_TMKNOD] = op_mknod,
	[P9_TRENAME] = op_rename,
	[P9_TREADLINK] = op_readlink,
	[P9_TGETATTR] = op_getattr,
	[P9_TSETATTR] = op_setattr,
	[P9_TXATTRWALK] = op_xattrwalk,
	[P9_TXATTRCREATE] = op_xattrcreate,
	[P9_TREADDIR] = op_readdir,
	[P9_TFSYNC] = op_fsync,
	[P9_TLOCK] = op_lock,
	[P9_TGETLOCK] = op_getlock,
	[P9_TLINK] = op_link,
	[P9_TMKDIR] = op_mknod,
	[P9_TRENAMEAT] = op_renameat,
	[P9_TUNLINKAT] = op_unlinkat,
	[P9_TVERSION] = op_version,
	[P9_TAUTH] = op_auth,
	[P9_TATTACH] = op_attach,
	[P9_TFLUSH] = op_flush,
	[P9_TWALK] = op_walk,
	[P9_TREAD] = op_read,
	[P9_TWRITE] = op_write,
	[P9_TCLUNK] = op_clunk,
	[P9_TREMOVE] = op_remove,
};

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

	x->msize = __atomic_load_n(&x->s->msize, __ATOMIC_ACQUIRE);
	if (x->size < P9_HDR || x->size > x->c->out_len)
		return -EINVAL;
	if (x->type >= ARRAY_SIZE(ops) || !ops[x->type])
		return -EOPNOTSUPP;
	if (!x->msize && x->type != P9_TVERSION)
		return -EIO;
	if (x->msize)
		x->room = MIN(x->room, x->msize - P9_HDR);
	/* Of a write the data stays where it is. */
	if (x->type == P9_TWRITE)
		len = MIN(len, P9_WRITE_HDR - P9_HDR);
	if (len > FS_IN_MAX)
		return -EINVAL;
	iov_read(x->c->iov, x->c->nr_out, P9_HDR, buf, len);
	x->in = (struct state_in){ .buf = buf, .len = len };
	return ops[x->type](x);
}

/* Data that was read is in place; all else has to be put there. */
static int answer_put(const struct p9_ctx *x, int err)
{
	const struct iovec *iov = x->c->iov + x->c->nr_out;
	u8 h[ERROR_SIZE];
	struct p9_ctx a = { .out = h, .room = sizeof(h) };
	u32 size;

	if (!err && x->full)
		err = -EIO;
	if (err == -ESTALE && x->type != P9_TLOPEN && x->type != P9_TLCREATE)
		err = -ENOENT;
	size = err ? ERROR_SIZE : P9_HDR + x->len + x->data;
	put_u32(&a, size);
	put_u8(&a, err ? P9_RLERROR : x->type + 1);
	put_u16(&a, x->tag);
	if (err)
		put_u32(&a, -err);
	else
		iov_write(iov, x->c->nr_in, P9_HDR, x->out, x->len);
	iov_write(iov, x->c->nr_in, 0, h, a.len);
	return size;
}

struct fs_order p9_order(const struct vq_chain *c)
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

int p9_serve(struct p9_server *s, struct fs_buffers *b,
	     const struct vq_chain *c)
{
	struct p9_ctx x = {
		.s = s, .host = s->host, .c = c, .iov = b->iov, .out = b->out,
	};

	if (!header_read(c, &x.size, &x.type, &x.tag) || c->in_len < ERROR_SIZE)
		return -EPROTO;
	x.room = MIN(c->in_len - P9_HDR, FS_OUT_MAX);
	return answer_put(&x, request_serve(&x, b->in));
}

int p9_server_create(struct p9_server **out, struct fs_host *host)
{
	struct p9_server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	if (p9_fids_init(&s->fids)) {
		p9_fids_free(&s->fids);
		free(s);
		return -ENOMEM;
	}
	s->host = host;
	*out = s;
	return 0;
}

void p9_server_free(struct p9_server *s)
{
	if (!s)
		return;
	p9_fids_free(&s->fids);
	fs_close(s->host);
	free(s);
}

void p9_server_reset(struct p9_server *s)
{
	__atomic_store_n(&s->msize, 0, __ATOMIC_RELEASE);
	p9_fids_clear(&s->fids);
	fs_reset(s->host);
}

void p9_server_save(struct p9_server *s, struct state_out *out)
{
	state_put_u32(out, P9_STATE_VERSION);
	state_put_u32(out, s->msize);
	fs_save(s->host, out);
	p9_fids_save(&s->fids, out);
}

int p9_server_restore(struct p9_server *s, struct state_in *in)
{
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
		p9_server_reset(s);
	else
		s->msize = msize;
	return err;
}
