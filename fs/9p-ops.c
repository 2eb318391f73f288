// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * What 9P messages do with files: a row of a table for each that is not about the
 * session (fs/9p.c). Each takes its arguments (fs/9p-msg.c), looks at the fid, asks
 * the share, and puts an answer. Data is not copied: reads and writes go between
 * the host's file and the guest's pages.
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
 * Threads: any, see fs/host.c. A fid that another thread clunks or opens meanwhile
 * is no more what was looked at, and the change to it fails.
 *
 * Not supported: remove and rename of a file that has several names: which one is
 * meant is not known; Linux has used unlinkat and renameat since 3.2.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <linux/xattr.h>
#include "fs/9p-msg.h"

/* Of something that was made, whose number is not kept. */
static int answer_made(struct p9_ctx *x, int err, const struct fs_entry *e)
{
	if (err)
		return err;
	p9_put_qid(x, e);
	fs_forget(x->host, e->node, 1);
	return 0;
}

static struct fs_caller caller(const struct p9_fid *f, u32 gid)
{
	return (struct fs_caller){ .uid = f->uid, .gid = gid };
}

/* No fid has it any more. */
static void fid_dispose(struct p9_ctx *x, const struct p9_fid *f)
{
	if (f->file)
		fs_release(x->host, f->file);
	fs_forget(x->host, f->node, 1);
	free(f->xattr);
}

/* Linux' client has no other way to remove one; an ACL it removes without a flag. */
static int xattr_commit(struct p9_ctx *x, const struct p9_fid *f)
{
	const struct p9_xattr *a = f->xattr;
	struct iovec v = { (void *)a->data, a->len };

	if (a->filled != a->len)
		return -EINVAL;
	if (!a->len && (a->flags & XATTR_REPLACE || !memcmp(a->name, "system.", 7)))
		return fs_removexattr(x->host, f->node, a->name);
	return fs_setxattr(x->host, f->node, a->name, &v, a->flags, false);
}

static int op_clunk(struct p9_ctx *x)
{
	u32 number = state_get_u32(&x->in);
	struct p9_fid f;
	int err = p9_args_end(x);

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
	p9_put_qid(x, e);
	state_put_u32(&x->out, 0);
	return 0;
}

static int op_lopen(struct p9_ctx *x)
{
	struct p9_fid f, to;
	struct fs_entry e;
	int err = p9_get_file_fid(x, &f);
	u32 flags = open_flags(state_get_u32(&x->in));

	if (!err)
		err = p9_args_end(x);
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
	struct p9_fid f, to;
	struct fs_entry e;
	int err = p9_get_file_fid(x, &f);
	struct fs_new n = { .dir = f.node, .name = name };
	u32 flags;

	p9_get_string(x, name, sizeof(name));
	flags = open_flags(state_get_u32(&x->in));
	n.flags = flags & ~O_APPEND;
	n.mode = state_get_u32(&x->in);
	n.who = caller(&f, state_get_u32(&x->in));
	if (!err)
		err = p9_args_end(x);
	if (!err && f.file)
		err = -EBADF;
	if (err)
		return err;
	to = f;
	err = fs_create(x->host, &n, &e, &to.file);
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
	int err = p9_get_fid(x, &f);
	u64 off = state_get_u64(&x->in);
	size_t count = state_get_u32(&x->in), room;
	ssize_t n;

	if (!err)
		err = p9_args_end(x);
	if (err)
		return err;
	if (f.kind != P9_FID_FILE) {
		if (x->out.capacity < sizeof(u32))
			return -EINVAL;
		n = p9_xattr_read(&x->s->fids, f.number, off,
				  x->out.buf + sizeof(u32),
				  MIN(count, x->out.capacity - sizeof(u32)));
		if (n < 0)
			return n;
		state_put_u32(&x->out, n);
		x->out.len += n;
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
	state_put_u32(&x->out, n);
	x->data = n;
	return 0;
}

static int write_xattr(struct p9_ctx *x, const struct p9_fid *f, u64 off,
		       size_t count)
{
	int n;

	if (count > FS_OUT_MAX)
		return -EINVAL;
	iov_read(x->c->iov, x->c->nr_out, P9_WRITE_HDR, x->out.buf, count);
	n = p9_xattr_write(&x->s->fids, f->number, off, x->out.buf, count);
	if (n < 0)
		return n;
	state_put_u32(&x->out, n);
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
	int err = p9_get_fid(x, &f);
	u64 off = state_get_u64(&x->in);
	size_t count = state_get_u32(&x->in);
	ssize_t n;
	u32 how;

	if (!err)
		err = p9_args_end(x);
	if (err)
		return err;
	if (count > MIN(c->out_len, x->msize) - P9_WRITE_HDR)
		return -EINVAL;
	if (f.kind != P9_FID_FILE)
		return write_xattr(x, &f, off, count);
	if (!f.file)
		return -EBADF;
	how = (f.flags == (O_WRONLY | O_APPEND) ? FS_APPEND : 0) |
	      (f.uid ? FS_KILL_PRIV : 0);
	n = fs_write(x->host, f.file, x->iov,
		     iov_slice(c->iov, c->nr_out, P9_WRITE_HDR, count, x->iov),
		     off, how);
	if (n < 0)
		return n;
	state_put_u32(&x->out, n);
	return 0;
}

static int op_fsync(struct p9_ctx *x)
{
	struct p9_fid f;
	int err = p9_get_open_fid(x, &f);
	/* Is not there in what clients before Linux 3.0 send. */
	u32 data_only = state_get_u32(&x->in);

	return err ? err : fs_fsync(x->host, f.file, data_only);
}

/* Asked for and granted in the guest's kernel before */
static int op_lock(struct p9_ctx *x)
{
	struct p9_fid f;
	int err = p9_get_open_fid(x, &f);
	u8 type = state_get_u8(&x->in);

	state_get_u32(&x->in);
	state_get_u64(&x->in);
	state_get_u64(&x->in);
	state_get_u32(&x->in);
	p9_skip_string(x);
	if (!err)
		err = p9_args_end(x);
	if (!err && type > P9_LOCK_UNLCK)
		err = -EINVAL;
	if (err)
		return err;
	state_put_u8(&x->out, P9_LOCK_SUCCESS);
	return 0;
}

static int op_getlock(struct p9_ctx *x)
{
	struct p9_fid f;
	int err = p9_get_open_fid(x, &f);
	u8 type = state_get_u8(&x->in);
	u64 start = state_get_u64(&x->in), len = state_get_u64(&x->in);
	u32 process = state_get_u32(&x->in);
	char client[256];

	p9_get_string(x, client, sizeof(client));
	if (!err)
		err = p9_args_end(x);
	if (!err && type > P9_LOCK_UNLCK)
		err = -EINVAL;
	if (err)
		return err;
	state_put_u8(&x->out, P9_LOCK_UNLCK);
	state_put_u64(&x->out, start);
	state_put_u64(&x->out, len);
	state_put_u32(&x->out, process);
	p9_put_string(x, client);
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
	p9_put_qid_raw(x, DTTOIF(d->type), 0, d->ino);
	state_put_u64(&x->out, d->next);
	state_put_u8(&x->out, d->type);
	p9_put_string(x, d->name);
	return true;
}

static int op_readdir(struct p9_ctx *x)
{
	struct listing l = { .x = x };
	struct p9_fid f;
	int err = p9_get_open_fid(x, &f);
	u64 off = state_get_u64(&x->in);
	__le32 count;

	l.max = state_get_u32(&x->in);
	if (!err)
		err = p9_args_end(x);
	if (err)
		return err;
	if (x->out.capacity < sizeof(count))
		return -EINVAL;
	l.max = MIN(l.max, x->out.capacity - sizeof(count));
	state_put_u32(&x->out, 0);
	err = fs_readdir(x->host, f.file, off, list_emit, &l);
	count = htole32(x->out.len - sizeof(count));
	memcpy(x->out.buf, &count, sizeof(count));
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
	int err = p9_get_file_fid(x, &f);

	state_get_u64(&x->in);
	if (!err)
		err = p9_args_end(x);
	if (!err)
		err = fs_getattr(x->host, f.node, &e);
	if (err)
		return err;
	state_put_u64(&x->out, P9_GETATTR_BASIC |
		      (st->stx_mask & STATX_BTIME ? P9_GETATTR_BTIME : 0));
	p9_put_qid(x, &e);
	state_put_u32(&x->out, st->stx_mode);
	state_put_u32(&x->out, st->stx_uid);
	state_put_u32(&x->out, st->stx_gid);
	state_put_u64(&x->out, st->stx_nlink);
	state_put_u64(&x->out, makedev(st->stx_rdev_major, st->stx_rdev_minor));
	state_put_u64(&x->out, st->stx_size);
	state_put_u64(&x->out, st->stx_blksize);
	state_put_u64(&x->out, st->stx_blocks);
	state_put_u64(&x->out, st->stx_atime.tv_sec);
	state_put_u64(&x->out, st->stx_atime.tv_nsec);
	state_put_u64(&x->out, st->stx_mtime.tv_sec);
	state_put_u64(&x->out, st->stx_mtime.tv_nsec);
	state_put_u64(&x->out, st->stx_ctime.tv_sec);
	state_put_u64(&x->out, st->stx_ctime.tv_nsec);
	state_put_u64(&x->out, st->stx_btime.tv_sec);
	state_put_u64(&x->out, st->stx_btime.tv_nsec);
	state_put_u64(&x->out, 0);
	state_put_u64(&x->out, 0);
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
	int err = p9_get_file_fid(x, &f);
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
		err = p9_args_end(x);
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
	int err = p9_get_file_fid(x, &f);

	if (!err)
		err = fs_statfs(x->host, f.node, &st);
	if (err)
		return err;
	/* Not the host's: programs ask it whether others may change files. */
	state_put_u32(&x->out, V9FS_MAGIC);
	state_put_u32(&x->out, st.f_bsize);
	state_put_u64(&x->out, st.f_blocks);
	state_put_u64(&x->out, st.f_bfree);
	state_put_u64(&x->out, st.f_bavail);
	state_put_u64(&x->out, st.f_files);
	state_put_u64(&x->out, st.f_ffree);
	state_put_u64(&x->out, (u32)st.f_fsid.__val[0] | (u64)st.f_fsid.__val[1] << 32);
	state_put_u32(&x->out, st.f_namelen);
	return 0;
}

static int op_xattrwalk(struct p9_ctx *x)
{
	struct p9_fid f, to = { .kind = P9_FID_XATTR_READ };
	char name[XATTR_NAME_MAX + 1];
	int err = p9_get_file_fid(x, &f), n;

	to.number = state_get_u32(&x->in);
	p9_get_string(x, name, sizeof(name));
	if (!err)
		err = p9_args_end(x);
	if (err)
		return err;
	n = *name ? fs_getxattr(x->host, f.node, name, x->out.buf, FS_OUT_MAX) :
	    fs_listxattr(x->host, f.node, (char *)x->out.buf, FS_OUT_MAX);
	if (n < 0)
		return n;
	to.xattr = p9_xattr_new(n);
	if (!to.xattr)
		return -ENOMEM;
	memcpy(to.xattr->data, x->out.buf, n);
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
		state_put_u64(&x->out, n);
	return err;
}

static int op_xattrcreate(struct p9_ctx *x)
{
	char name[XATTR_NAME_MAX + 1];
	struct p9_fid f, to;
	int err = p9_get_file_fid(x, &f);
	u64 size;
	u32 flags;

	p9_get_string(x, name, sizeof(name));
	size = state_get_u64(&x->in);
	flags = state_get_u32(&x->in);
	if (!err)
		err = p9_args_end(x);
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
	int err = p9_get_file_fid(x, &f), n;
	size_t room;

	if (err)
		return err;
	if (x->out.capacity <= sizeof(u16))
		return -EINVAL;
	room = MIN(x->out.capacity - sizeof(u16), (size_t)PATH_MAX);
	n = fs_readlink(x->host, f.node, (char *)x->out.buf + sizeof(u16), room);
	if (n < 0)
		return n;
	/* Cut off, perhaps */
	if ((size_t)n == room)
		return -ENAMETOOLONG;
	state_put_u16(&x->out, n);
	x->out.len += n;
	return 0;
}

static int op_symlink(struct p9_ctx *x)
{
	char name[FS_NAME_MAX + 1], target[PATH_MAX];
	struct fs_entry e;
	struct p9_fid f;
	int err = p9_get_file_fid(x, &f);
	struct fs_new n = { .dir = f.node, .name = name };

	p9_get_string(x, name, sizeof(name));
	p9_get_string(x, target, sizeof(target));
	n.who = caller(&f, state_get_u32(&x->in));
	if (!err)
		err = p9_args_end(x);
	if (err)
		return err;
	return answer_made(x, fs_symlink(x->host, &n, target, &e), &e);
}

static int op_mknod(struct p9_ctx *x)
{
	char name[FS_NAME_MAX + 1];
	struct fs_entry e;
	struct p9_fid f;
	int err = p9_get_file_fid(x, &f);
	struct fs_new n = { .dir = f.node, .name = name };
	u32 maj, min;

	p9_get_string(x, name, sizeof(name));
	n.mode = state_get_u32(&x->in);
	if (x->type == P9_TMKNOD) {
		maj = state_get_u32(&x->in);
		min = state_get_u32(&x->in);
		n.rdev = makedev(maj, min);
		if (S_ISDIR(n.mode) || S_ISLNK(n.mode))
			x->err = -EINVAL;
	} else {
		n.mode = (n.mode & 07777) | S_IFDIR;
	}
	n.who = caller(&f, state_get_u32(&x->in));
	if (!err)
		err = p9_args_end(x);
	if (err)
		return err;
	return answer_made(x, fs_mknod(x->host, &n, &e), &e);
}

static int op_link(struct p9_ctx *x)
{
	char name[FS_NAME_MAX + 1];
	struct p9_fid dir, f;
	struct fs_entry e;
	int err = p9_get_file_fid(x, &dir);

	if (!err)
		err = p9_get_file_fid(x, &f);
	p9_get_string(x, name, sizeof(name));
	if (!err)
		err = p9_args_end(x);
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
	int err = p9_get_file_fid(x, &dir);

	p9_get_string(x, name, sizeof(name));
	if (!err)
		err = p9_get_file_fid(x, &newdir);
	p9_get_string(x, newname, sizeof(newname));
	if (!err)
		err = p9_args_end(x);
	if (err)
		return err;
	return fs_rename(x->host, dir.node, name, newdir.node, newname, 0);
}

static int op_unlinkat(struct p9_ctx *x)
{
	char name[FS_NAME_MAX + 1];
	struct p9_fid dir;
	int err = p9_get_file_fid(x, &dir);
	u32 flags;

	p9_get_string(x, name, sizeof(name));
	flags = state_get_u32(&x->in);
	if (!err)
		err = p9_args_end(x);
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
	int err = p9_get_file_fid(x, &f);
	u64 dir;

	if (!err)
		err = p9_get_file_fid(x, &newdir);
	p9_get_string(x, newname, sizeof(newname));
	if (!err)
		err = p9_args_end(x);
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
	int err = p9_args_end(x);
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

const p9_op p9_file_ops[P9_TYPES] = {
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
	[P9_TREAD] = op_read,
	[P9_TWRITE] = op_write,
	[P9_TCLUNK] = op_clunk,
	[P9_TREMOVE] = op_remove,
};
