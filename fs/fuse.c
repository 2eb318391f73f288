// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * A FUSE server over fs/host.c: requests as <linux/fuse.h> has them (7.31, the
 * first that knows virtio-fs, and later), in the pieces of one chain. A table
 * says for each operation how long its argument is at least; it is copied out
 * once, checked, and only the copy is looked at. Data is not copied: reads and
 * writes go between the host's file and the guest's pages.
 *
 * What a guest may keep. Nobody tells it when the host changes a file, so names
 * and attributes are good for VALID_NS, also that a name is not there: edits on
 * the host are seen after at most that, and a build that looks at the same files
 * a thousand times a second asks once. Pages and directories are kept beyond
 * that, as long as time and size of the file stay the same (AUTO_INVAL_DATA),
 * which is looked at when attributes are. Where a file was changed so recently
 * that another change might not show in its times, they are dropped when it is
 * opened. There is no write-back cache: what a guest has written is the host's to
 * see at once, and close() has nothing to report (FLUSH is not needed).
 *
 * A guest's own writes drop its pages like a host's, since they change the time as
 * well. Linux (6.12: fuse_perform_write()) puts what is written into a page, unlocks
 * that and only then sends WRITE; a page that is dropped meanwhile is read again,
 * READ being sent, or served, before that WRITE, and has the old bytes. If a
 * mapping makes it dirty then, they are written back. That is not ours to avoid: only
 * a guest that keeps its pages whatever the host does is spared, and answering in order,
 * with one thread, does not help either.
 *
 * Locks, of both kinds, stay in the guest's kernel: they then work between all
 * of its processes at no cost, and no thread of ours ever waits for one. They
 * do not work between guest and host. poll() says that files are ready, ioctl()
 * that there is none. Permissions are checked by the guest's kernel
 * (default_permissions, which virtio-fs always has), ACLs included.
 *
 * Submounts are not announced: an overlay in the guest takes no file system that
 * wants to be mounted on the way. Inode numbers are unique all the same.
 *
 * Threads: any, see fs/host.c; what is negotiated is one atomic word. A second
 * INIT, and DESTROY, forget all of the session before.
 *
 * Not supported: DAX, security contexts, groups of the caller, passthrough,
 * NFS export, notifications.
 *
 * What a guest can do wrong: a chain without header, or without room for the
 * answer's, is -EPROTO. All else gets an error: EINVAL for what is too short or
 * has no end, ESTALE and EBADF for numbers without meaning, 38 for what is not
 * known, EIO for what comes before INIT.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <linux/fuse.h>
#include "kvm/clock.h"
#include "kvm/fs.h"
#include "kvm/fuse.h"

/* Headers may be as old as Linux 5.15. */
#if FUSE_KERNEL_MINOR_VERSION < 37
#define FUSE_TMPFILE 51
#endif
#ifndef FOPEN_PARALLEL_DIRECT_WRITES
#define FOPEN_PARALLEL_DIRECT_WRITES BIT(6)
#endif

#define FUSE_STATE_VERSION 1
#define MINOR_MIN 31
#define MINOR 38

/* How long names and attributes are good. */
#define VALID_NS (500 * NSEC_PER_MSEC)

/* A chain has so many pieces; some hold headers. */
#define MAX_PAGES (VQ_CHAIN_MAX - 16)
#define MAX_WRITE (MAX_PAGES * 4096U)

#define LISTED 256U

#define FLAGS_LOW (FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | \
		   FUSE_DONT_MASK | FUSE_AUTO_INVAL_DATA | \
		   FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | \
		   FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_POSIX_ACL | \
		   FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | \
		   FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT)

/* Of fuse_server.state: INIT was seen, and what it has agreed on. */
#define STATE_READY 1U
#define STATE_SETXATTR_EXT 2U
#define STATE_ALL 3U

/**
 * struct fuse_server - a session
 * @listed: directories that were given with their attributes lately: number and time
 *	in ms, 32 bits each, at the number's place; atomic
 */
struct fuse_server {
	struct fs_server base;
	struct fs_host *host;
	u32 state;
	u64 listed[LISTED];
};

/**
 * struct fuse_ctx - a request that is served
 * @in, @len: its argument, a copy of the first FS_IN_MAX bytes
 * @data: bytes of the request behind its header
 * @room: bytes for the answer behind its header
 */
struct fuse_ctx {
	struct fuse_server *s;
	struct fs_host *host;
	const struct vq_chain *c;
	struct iovec *iov;
	struct fuse_in_header hdr;
	const u8 *in;
	size_t len;
	size_t data;
	u8 *out;
	size_t room;
};

/* Return: bytes of the answer, in x->out or in place; -errno */
typedef int (*fuse_op)(struct fuse_ctx *x);

/* The string at @off, and where the next one begins; NULL if it has no end. */
static const char *arg_string(const struct fuse_ctx *x, size_t off,
			      size_t *next)
{
	const u8 *end;

	if (off >= x->len)
		return NULL;
	end = memchr(x->in + off, 0, x->len - off);
	if (!end)
		return NULL;
	if (next)
		*next = end + 1 - x->in;
	return (const char *)x->in + off;
}

/* How much of an answer of @asked bytes there is room for in x->out. */
static size_t out_size(const struct fuse_ctx *x, u32 asked)
{
	size_t room = MIN(x->room, FS_OUT_MAX);

	return MIN(asked, room);
}

static struct fs_caller caller(const struct fuse_ctx *x, u32 umask)
{
	return (struct fs_caller){
		.uid = x->hdr.uid, .gid = x->hdr.gid, .umask = umask,
	};
}

/* As the kernel keeps device numbers in 32 bits. */
static u32 rdev_encode(u32 maj, u32 min)
{
	return (min & 0xff) | maj << 8 | (min & ~0xffU) << 12;
}

static dev_t rdev_decode(u32 rdev)
{
	return makedev((rdev & 0xfff00) >> 8,
		       (rdev & 0xff) | (rdev >> 12 & 0xfff00));
}

static void attr_fill(struct fuse_attr *a, const struct fs_entry *e)
{
	const struct statx *st = &e->st;

	*a = (struct fuse_attr){
		.ino = e->ino,
		.size = st->stx_size,
		.blocks = st->stx_blocks,
		.atime = st->stx_atime.tv_sec,
		.mtime = st->stx_mtime.tv_sec,
		.ctime = st->stx_ctime.tv_sec,
		.atimensec = st->stx_atime.tv_nsec,
		.mtimensec = st->stx_mtime.tv_nsec,
		.ctimensec = st->stx_ctime.tv_nsec,
		.mode = st->stx_mode,
		.nlink = st->stx_nlink,
		.uid = st->stx_uid,
		.gid = st->stx_gid,
		.rdev = rdev_encode(st->stx_rdev_major, st->stx_rdev_minor),
		.blksize = st->stx_blksize,
	};
}

static void entry_fill(struct fuse_entry_out *o, const struct fs_entry *e)
{
	memset(o, 0, sizeof(*o));
	o->nodeid = e->node;
	o->entry_valid_nsec = VALID_NS;
	o->attr_valid_nsec = VALID_NS;
	attr_fill(&o->attr, e);
}

static int answer_entry(struct fuse_ctx *x, int err, const struct fs_entry *e)
{
	if (err)
		return err;
	entry_fill((struct fuse_entry_out *)x->out, e);
	return sizeof(struct fuse_entry_out);
}

static int answer_attr(struct fuse_ctx *x, int err, const struct fs_entry *e)
{
	struct fuse_attr_out *o = (struct fuse_attr_out *)x->out;

	if (err)
		return err;
	memset(o, 0, sizeof(*o));
	o->attr_valid_nsec = VALID_NS;
	attr_fill(&o->attr, e);
	return sizeof(*o);
}

static int op_init(struct fuse_ctx *x)
{
	const struct fuse_init_in *in = (const struct fuse_init_in *)x->in;
	struct fuse_init_out *o = (struct fuse_init_out *)x->out;
	u32 state = STATE_READY;

	memset(o, 0, sizeof(*o));
	o->major = FUSE_KERNEL_VERSION;
	o->minor = MINOR;
	if (in->major > FUSE_KERNEL_VERSION)
		return sizeof(*o);
	if (in->major < FUSE_KERNEL_VERSION || in->minor < MINOR_MIN)
		return -EPROTO;
	/* The guest takes the lower one of this and its own, which init may have set by now. */
	o->max_readahead = UINT32_MAX;
	o->flags = in->flags & FLAGS_LOW;
	o->max_background = 64;
	o->congestion_threshold = 48;
	o->max_write = MAX_WRITE;
	o->max_pages = MAX_PAGES;
	o->time_gran = 1;
	if (o->flags & FUSE_SETXATTR_EXT)
		state |= STATE_SETXATTR_EXT;
	fs_forget_all(x->host);
	__atomic_store_n(&x->s->state, state, __ATOMIC_RELEASE);
	return sizeof(*o);
}

static int op_destroy(struct fuse_ctx *x)
{
	__atomic_store_n(&x->s->state, 0, __ATOMIC_RELEASE);
	fs_forget_all(x->host);
	return 0;
}

/* That a name is not there is an answer, too: it may be kept. */
static int op_lookup(struct fuse_ctx *x)
{
	struct fuse_entry_out *o = (struct fuse_entry_out *)x->out;
	const char *name = arg_string(x, 0, NULL);
	struct fs_entry e;
	int err;

	if (!name)
		return -EINVAL;
	err = fs_lookup(x->host, x->hdr.nodeid, name, &e);
	if (err != -ENOENT)
		return answer_entry(x, err, &e);
	memset(o, 0, sizeof(*o));
	o->entry_valid_nsec = VALID_NS;
	return sizeof(*o);
}

static int op_forget(struct fuse_ctx *x)
{
	const struct fuse_forget_in *in = (const struct fuse_forget_in *)x->in;

	fs_forget(x->host, x->hdr.nodeid, in->nlookup);
	return 0;
}

static int op_batch_forget(struct fuse_ctx *x)
{
	const struct fuse_batch_forget_in *in =
		(const struct fuse_batch_forget_in *)x->in;
	const struct fuse_forget_one *one =
		(const struct fuse_forget_one *)(in + 1);
	size_t max = (x->len - sizeof(*in)) / sizeof(*one);

	for (size_t i = 0; i < MIN(in->count, max); i++)
		fs_forget(x->host, one[i].nodeid, one[i].nlookup);
	return 0;
}

static int op_getattr(struct fuse_ctx *x)
{
	struct fs_entry e;

	return answer_attr(x, fs_getattr(x->host, x->hdr.nodeid, &e), &e);
}

static struct timespec set_time(u32 valid, u32 set, u32 now, u64 sec, u32 nsec)
{
	if (valid & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (valid & set)
		return (struct timespec){ .tv_sec = sec, .tv_nsec = nsec };
	return (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int op_setattr(struct fuse_ctx *x)
{
	const struct fuse_setattr_in *in = (const struct fuse_setattr_in *)x->in;
	static const u32 map[][2] = {
		{ FATTR_MODE, STATX_MODE }, { FATTR_UID, STATX_UID },
		{ FATTR_GID, STATX_GID }, { FATTR_SIZE, STATX_SIZE },
		{ FATTR_ATIME, STATX_ATIME }, { FATTR_MTIME, STATX_MTIME },
		{ FATTR_ATIME_NOW, STATX_ATIME },
		{ FATTR_MTIME_NOW, STATX_MTIME },
		{ FATTR_KILL_SUIDGID, FS_KILL_PRIV },
	};
	struct fs_setattr s = {
		.mode = in->mode, .uid = in->uid, .gid = in->gid,
		.size = in->size,
	};
	struct fs_entry e;
	int err;

	for (unsigned int i = 0; i < ARRAY_SIZE(map); i++)
		s.mask |= in->valid & map[i][0] ? map[i][1] : 0;
	s.time[0] = set_time(in->valid, FATTR_ATIME, FATTR_ATIME_NOW,
			     in->atime, in->atimensec);
	s.time[1] = set_time(in->valid, FATTR_MTIME, FATTR_MTIME_NOW,
			     in->mtime, in->mtimensec);
	err = fs_setattr(x->host, x->hdr.nodeid,
			 in->valid & FATTR_FH ? in->fh : 0, &s, &e);
	return answer_attr(x, err, &e);
}

static int op_readlink(struct fuse_ctx *x)
{
	return fs_readlink(x->host, x->hdr.nodeid, (char *)x->out,
			   MIN(x->room, FS_OUT_MAX));
}

static int op_symlink(struct fuse_ctx *x)
{
	size_t next;
	const char *name = arg_string(x, 0, &next);
	const char *target = name ? arg_string(x, next, NULL) : NULL;
	const struct fs_new n = {
		.dir = x->hdr.nodeid, .name = name, .who = caller(x, 0),
	};
	struct fs_entry e;

	if (!target)
		return -EINVAL;
	return answer_entry(x, fs_symlink(x->host, &n, target, &e), &e);
}

static int op_mknod(struct fuse_ctx *x)
{
	const struct fuse_mknod_in *in = (const struct fuse_mknod_in *)x->in;
	const struct fs_new n = {
		.dir = x->hdr.nodeid, .name = arg_string(x, sizeof(*in), NULL),
		.mode = in->mode, .rdev = rdev_decode(in->rdev),
		.who = caller(x, in->umask),
	};
	struct fs_entry e;

	if (!n.name || S_ISDIR(in->mode) || S_ISLNK(in->mode))
		return -EINVAL;
	return answer_entry(x, fs_mknod(x->host, &n, &e), &e);
}

static int op_mkdir(struct fuse_ctx *x)
{
	const struct fuse_mkdir_in *in = (const struct fuse_mkdir_in *)x->in;
	const struct fs_new n = {
		.dir = x->hdr.nodeid, .name = arg_string(x, sizeof(*in), NULL),
		.mode = (in->mode & 07777) | S_IFDIR,
		.who = caller(x, in->umask),
	};
	struct fs_entry e;

	if (!n.name)
		return -EINVAL;
	return answer_entry(x, fs_mknod(x->host, &n, &e), &e);
}

static int op_unlink(struct fuse_ctx *x)
{
	const char *name = arg_string(x, 0, NULL);

	if (!name)
		return -EINVAL;
	return fs_unlink(x->host, x->hdr.nodeid, name,
			 x->hdr.opcode == FUSE_RMDIR ? AT_REMOVEDIR : 0);
}

static int rename_names(struct fuse_ctx *x, size_t off, u64 newdir, u32 flags)
{
	size_t next;
	const char *name = arg_string(x, off, &next);
	const char *newname = name ? arg_string(x, next, NULL) : NULL;

	if (!newname)
		return -EINVAL;
	return fs_rename(x->host, x->hdr.nodeid, name, newdir, newname, flags);
}

static int op_rename(struct fuse_ctx *x)
{
	const struct fuse_rename_in *in = (const struct fuse_rename_in *)x->in;

	return rename_names(x, sizeof(*in), in->newdir, 0);
}

static int op_rename2(struct fuse_ctx *x)
{
	const struct fuse_rename2_in *in = (const struct fuse_rename2_in *)x->in;

	return rename_names(x, sizeof(*in), in->newdir, in->flags);
}

static int op_link(struct fuse_ctx *x)
{
	const struct fuse_link_in *in = (const struct fuse_link_in *)x->in;
	const char *name = arg_string(x, sizeof(*in), NULL);
	struct fs_entry e;

	if (!name)
		return -EINVAL;
	return answer_entry(x, fs_link(x->host, in->oldnodeid, x->hdr.nodeid,
				       name, &e), &e);
}

static void open_fill(struct fuse_open_out *o, u64 fh, u32 flags)
{
	memset(o, 0, sizeof(*o));
	o->fh = fh;
	o->open_flags = flags;
}

/*
 * A list that the guest keeps is names alone: whoever wants attributes as well, and
 * has them no longer, asks for each. A new list brings them along.
 */
static bool list_is_new(struct fuse_server *s, u64 node)
{
	u64 *at = &s->listed[node % LISTED], was = __atomic_load_n(at, __ATOMIC_RELAXED);
	u32 ms = (u32)now_ms();

	if (was >> 32 == (u32)node && ms - (u32)was < VALID_NS / NSEC_PER_MSEC)
		return true;
	__atomic_store_n(at, node << 32 | ms, __ATOMIC_RELAXED);
	return false;
}

/* A file that was not changed lately may keep its pages, a directory its list. */
static int op_open(struct fuse_ctx *x)
{
	const struct fuse_open_in *in = (const struct fuse_open_in *)x->in;
	bool dir = x->hdr.opcode == FUSE_OPENDIR, settled;
	u32 flags = dir ? O_RDONLY : in->flags, out = 0;
	u64 fh;
	int err;

	if (in->open_flags & FUSE_OPEN_KILL_SUIDGID && flags & O_TRUNC) {
		struct fs_setattr s = { .mask = STATX_SIZE | FS_KILL_PRIV };
		struct fs_entry e;

		err = fs_setattr(x->host, x->hdr.nodeid, 0, &s, &e);
		if (err)
			return err;
	}
	err = fs_open_file(x->host, x->hdr.nodeid, flags, &fh, &settled);
	if (err)
		return err;
	if (settled)
		out = dir ? FOPEN_CACHE_DIR : FOPEN_KEEP_CACHE;
	if (settled && dir && list_is_new(x->s, x->hdr.nodeid))
		out |= FOPEN_KEEP_CACHE;
	if (!dir)
		out |= FOPEN_PARALLEL_DIRECT_WRITES;
	open_fill((struct fuse_open_out *)x->out, fh, out);
	return sizeof(struct fuse_open_out);
}

static int op_create(struct fuse_ctx *x)
{
	const struct fuse_create_in *in = (const struct fuse_create_in *)x->in;
	struct fuse_entry_out *entry = (struct fuse_entry_out *)x->out;
	const struct fs_new n = {
		.dir = x->hdr.nodeid, .name = arg_string(x, sizeof(*in), NULL),
		.flags = in->flags, .mode = in->mode,
		.who = caller(x, in->umask),
	};
	struct fs_entry e;
	u64 fh;
	int err;

	if (!n.name)
		return -EINVAL;
	if (x->hdr.opcode == FUSE_TMPFILE)
		err = fs_tmpfile(x->host, &n, &e, &fh);
	else
		err = fs_create(x->host, &n, &e, &fh);
	/*
	 * Somebody was faster. The guest has checked nothing, as for what it makes;
	 * so it looks again, finds it, and opens it like any other.
	 */
	if (err == -EEXIST && !(in->flags & O_EXCL))
		err = -ESTALE;
	if (err)
		return err;
	entry_fill(entry, &e);
	open_fill((struct fuse_open_out *)(entry + 1), fh,
		  FOPEN_PARALLEL_DIRECT_WRITES);
	return sizeof(*entry) + sizeof(struct fuse_open_out);
}

static int op_release(struct fuse_ctx *x)
{
	const struct fuse_release_in *in = (const struct fuse_release_in *)x->in;

	return fs_release(x->host, in->fh);
}

static int op_read(struct fuse_ctx *x)
{
	const struct fuse_read_in *in = (const struct fuse_read_in *)x->in;
	const struct vq_chain *c = x->c;
	int nr = iov_slice(c->iov + c->nr_out, c->nr_in,
			   sizeof(struct fuse_out_header),
			   MIN(in->size, x->room), x->iov);

	return fs_read(x->host, in->fh, x->iov, nr, in->offset);
}

/*
 * What is at @done of the data and beyond. Pages go where they belong, and so do the
 * parts of a large direct write, which the guest sends all at once: there, it knows
 * where the end is.
 */
static ssize_t write_from(struct fuse_ctx *x, u32 done)
{
	const struct fuse_write_in *in = (const struct fuse_write_in *)x->in;
	bool append = in->flags & O_APPEND && !(in->flags & O_DIRECT) &&
		      !(in->write_flags & FUSE_WRITE_CACHE);
	int nr = iov_slice(x->c->iov, x->c->nr_out,
			   sizeof(x->hdr) + sizeof(*in) + done, in->size - done,
			   x->iov);
	u32 how = append ? FS_APPEND : 0;

	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		how |= FS_KILL_PRIV;
	return fs_write(x->host, in->fh, x->iov, nr, in->offset + done, how);
}

static int op_write(struct fuse_ctx *x)
{
	const struct fuse_write_in *in = (const struct fuse_write_in *)x->in;
	struct fuse_write_out *o = (struct fuse_write_out *)x->out;
	ssize_t n = 0, more;

	if (in->size > x->data - sizeof(*in))
		return -EINVAL;
	/* The guest takes its pages for clean however few were written. */
	do {
		more = write_from(x, n);
		if (more < 0)
			return more;
		n += more;
	} while (more && n < in->size && in->write_flags & FUSE_WRITE_CACHE);
	*o = (struct fuse_write_out){ .size = n };
	return sizeof(*o);
}

static int op_statfs(struct fuse_ctx *x)
{
	struct fuse_statfs_out *o = (struct fuse_statfs_out *)x->out;
	struct statfs st;
	int err = fs_statfs(x->host, x->hdr.nodeid, &st);

	if (err)
		return err;
	memset(o, 0, sizeof(*o));
	o->st.blocks = st.f_blocks;
	o->st.bfree = st.f_bfree;
	o->st.bavail = st.f_bavail;
	o->st.files = st.f_files;
	o->st.ffree = st.f_ffree;
	o->st.bsize = st.f_bsize;
	o->st.namelen = st.f_namelen;
	o->st.frsize = st.f_frsize;
	return sizeof(*o);
}

static int op_fsync(struct fuse_ctx *x)
{
	const struct fuse_fsync_in *in = (const struct fuse_fsync_in *)x->in;

	return fs_fsync(x->host, in->fh,
			in->fsync_flags & FUSE_FSYNC_FDATASYNC);
}

static int op_syncfs(struct fuse_ctx *x)
{
	return fs_readonly(x->host) ? 0 : fs_sync(x->host);
}

static int op_setxattr(struct fuse_ctx *x)
{
	const struct fuse_setxattr_in *in =
		(const struct fuse_setxattr_in *)x->in;
	bool ext = __atomic_load_n(&x->s->state, __ATOMIC_RELAXED) &
		   STATE_SETXATTR_EXT;
	size_t value;
	const char *name = arg_string(x, ext ? sizeof(*in) :
				      FUSE_COMPAT_SETXATTR_IN_SIZE, &value);
	struct iovec v;

	if (!name || in->size > x->len - value)
		return -EINVAL;
	v = (struct iovec){ (void *)(x->in + value), in->size };
	return fs_setxattr(x->host, x->hdr.nodeid, name, &v, in->flags,
			   ext && in->setxattr_flags &
			   FUSE_SETXATTR_ACL_KILL_SGID);
}

/* Without room given, how much is needed. */
static int answer_size(struct fuse_ctx *x, u32 asked, int n)
{
	struct fuse_getxattr_out *o = (struct fuse_getxattr_out *)x->out;

	if (n < 0 || asked)
		return n;
	*o = (struct fuse_getxattr_out){ .size = n };
	return sizeof(*o);
}

static int op_getxattr(struct fuse_ctx *x)
{
	const struct fuse_getxattr_in *in =
		(const struct fuse_getxattr_in *)x->in;
	const char *name = arg_string(x, sizeof(*in), NULL);
	size_t size = out_size(x, in->size);

	if (!name)
		return -EINVAL;
	return answer_size(x, in->size,
			   fs_getxattr(x->host, x->hdr.nodeid, name, x->out,
				       size));
}

static int op_listxattr(struct fuse_ctx *x)
{
	const struct fuse_getxattr_in *in =
		(const struct fuse_getxattr_in *)x->in;
	size_t size = out_size(x, in->size);

	return answer_size(x, in->size,
			   fs_listxattr(x->host, x->hdr.nodeid, (char *)x->out,
					size));
}

static int op_removexattr(struct fuse_ctx *x)
{
	const char *name = arg_string(x, 0, NULL);

	return name ? fs_removexattr(x->host, x->hdr.nodeid, name) : -EINVAL;
}

static int op_access(struct fuse_ctx *x)
{
	const struct fuse_access_in *in = (const struct fuse_access_in *)x->in;

	return fs_access(x->host, x->hdr.nodeid, in->mask);
}

static int op_fallocate(struct fuse_ctx *x)
{
	const struct fuse_fallocate_in *in =
		(const struct fuse_fallocate_in *)x->in;

	return fs_fallocate(x->host, in->fh, in->mode, in->offset, in->length,
			    x->hdr.uid);
}

static int op_lseek(struct fuse_ctx *x)
{
	const struct fuse_lseek_in *in = (const struct fuse_lseek_in *)x->in;
	struct fuse_lseek_out *o = (struct fuse_lseek_out *)x->out;
	s64 off = fs_lseek(x->host, in->fh, in->offset, in->whence);

	if (off < 0)
		return off;
	o->offset = off;
	return sizeof(*o);
}

static int op_copy_file_range(struct fuse_ctx *x)
{
	const struct fuse_copy_file_range_in *in =
		(const struct fuse_copy_file_range_in *)x->in;
	const struct fs_at from = { in->fh_in, in->off_in };
	const struct fs_at to = { in->fh_out, in->off_out };
	struct fuse_write_out *o = (struct fuse_write_out *)x->out;
	ssize_t n;

	if (in->flags)
		return -EINVAL;
	n = fs_copy_range(x->host, &from, &to, in->len, x->hdr.uid);
	if (n < 0)
		return n;
	*o = (struct fuse_write_out){ .size = n };
	return sizeof(*o);
}

static int op_ioctl(struct fuse_ctx *x)
{
	(void)x;
	return -ENOTTY;
}

/* An answer to it would be one to the request that is meant. */
static int op_interrupt(struct fuse_ctx *x)
{
	(void)x;
	return 0;
}

/** struct listing - entries of a directory on their way into an answer */
struct listing {
	struct fuse_ctx *x;
	size_t len;
	size_t max;
	bool plus;
};

/* The name was looked up, which counts, or its entry is all zero. */
static void list_entry(struct listing *l, struct fuse_entry_out *o,
		       const struct fs_dirent *d)
{
	struct fs_entry e;

	memset(o, 0, sizeof(*o));
	if (!strcmp(d->name, ".") || !strcmp(d->name, ".."))
		return;
	/* Whoever goes through directories comes to those, anyway. */
	if (d->type != DT_DIR && !fs_may_prefetch(l->x->host))
		return;
	if (!fs_lookup(l->x->host, l->x->hdr.nodeid, d->name, &e))
		entry_fill(o, &e);
}

static bool list_emit(void *opaque, const struct fs_dirent *d)
{
	struct listing *l = opaque;
	size_t head = l->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	size_t size = FUSE_REC_ALIGN(head + d->len);
	u8 *p = l->x->out + l->len;
	struct fuse_dirent *out;

	if (size > l->max - l->len)
		return false;
	memset(p, 0, size);
	if (l->plus)
		list_entry(l, (struct fuse_entry_out *)p, d);
	out = (struct fuse_dirent *)(p + head - FUSE_NAME_OFFSET);
	out->ino = d->ino;
	out->off = d->next;
	out->namelen = d->len;
	out->type = d->type;
	memcpy(out->name, d->name, d->len);
	l->len += size;
	return true;
}

static int op_readdir(struct fuse_ctx *x)
{
	const struct fuse_read_in *in = (const struct fuse_read_in *)x->in;
	struct listing l = {
		.x = x,
		.max = out_size(x, in->size),
		.plus = x->hdr.opcode == FUSE_READDIRPLUS,
	};
	int err = fs_readdir(x->host, in->fh, in->offset, list_emit, &l);

	return l.len ? (int)l.len : err;
}

/** struct op_desc - @min: bytes of its argument; @silent: no answer is due */
struct op_desc {
	fuse_op serve;
	u16 min;
	bool silent;
};

#define COMPAT_INIT 16

static const struct op_desc ops[] = {
	[FUSE_LOOKUP] = { op_lookup, 2, false },
	[FUSE_FORGET] = { op_forget, sizeof(struct fuse_forget_in), true },
	[FUSE_GETATTR] = { op_getattr, 0, false },
	[FUSE_SETATTR] = { op_setattr, sizeof(struct fuse_setattr_in), false },
	[FUSE_READLINK] = { op_readlink, 0, false },
	[FUSE_SYMLINK] = { op_symlink, 2, false },
	[FUSE_MKNOD] = { op_mknod, sizeof(struct fuse_mknod_in), false },
	[FUSE_MKDIR] = { op_mkdir, sizeof(struct fuse_mkdir_in), false },
	[FUSE_UNLINK] = { op_unlink, 2, false },
	[FUSE_RMDIR] = { op_unlink, 2, false },
	[FUSE_RENAME] = { op_rename, sizeof(struct fuse_rename_in), false },
	[FUSE_LINK] = { op_link, sizeof(struct fuse_link_in), false },
	[FUSE_OPEN] = { op_open, sizeof(struct fuse_open_in), false },
	[FUSE_READ] = { op_read, sizeof(struct fuse_read_in), false },
	[FUSE_WRITE] = { op_write, sizeof(struct fuse_write_in), false },
	[FUSE_STATFS] = { op_statfs, 0, false },
	[FUSE_RELEASE] = { op_release, sizeof(struct fuse_release_in), false },
	[FUSE_FSYNC] = { op_fsync, sizeof(struct fuse_fsync_in), false },
	[FUSE_SETXATTR] = { op_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE, false },
	[FUSE_GETXATTR] = { op_getxattr, sizeof(struct fuse_getxattr_in), false },
	[FUSE_LISTXATTR] = { op_listxattr, sizeof(struct fuse_getxattr_in), false },
	[FUSE_REMOVEXATTR] = { op_removexattr, 2, false },
	[FUSE_INIT] = { op_init, COMPAT_INIT, false },
	[FUSE_OPENDIR] = { op_open, sizeof(struct fuse_open_in), false },
	[FUSE_READDIR] = { op_readdir, sizeof(struct fuse_read_in), false },
	[FUSE_RELEASEDIR] = { op_release, sizeof(struct fuse_release_in), false },
	[FUSE_FSYNCDIR] = { op_fsync, sizeof(struct fuse_fsync_in), false },
	[FUSE_ACCESS] = { op_access, sizeof(struct fuse_access_in), false },
	[FUSE_CREATE] = { op_create, sizeof(struct fuse_create_in), false },
	[FUSE_INTERRUPT] = { op_interrupt, 0, true },
	[FUSE_DESTROY] = { op_destroy, 0, false },
	[FUSE_IOCTL] = { op_ioctl, 0, false },
	[FUSE_BATCH_FORGET] = { op_batch_forget,
				sizeof(struct fuse_batch_forget_in), true },
	[FUSE_FALLOCATE] = { op_fallocate, sizeof(struct fuse_fallocate_in),
			     false },
	[FUSE_READDIRPLUS] = { op_readdir, sizeof(struct fuse_read_in), false },
	[FUSE_RENAME2] = { op_rename2, sizeof(struct fuse_rename2_in), false },
	[FUSE_LSEEK] = { op_lseek, sizeof(struct fuse_lseek_in), false },
	[FUSE_COPY_FILE_RANGE] = { op_copy_file_range,
				   sizeof(struct fuse_copy_file_range_in), false },
	[FUSE_SYNCFS] = { op_syncfs, 0, false },
	[FUSE_TMPFILE] = { op_create, sizeof(struct fuse_create_in), false },
};

static const struct op_desc *op_find(u32 opcode)
{
	if (opcode >= ARRAY_SIZE(ops) || !ops[opcode].serve)
		return NULL;
	return &ops[opcode];
}

static int request_serve(struct fuse_ctx *x, const struct op_desc *op)
{
	u32 state = __atomic_load_n(&x->s->state, __ATOMIC_ACQUIRE);

	if (x->hdr.len < sizeof(x->hdr) || x->hdr.len > x->c->out_len)
		return -EINVAL;
	x->data = x->hdr.len - sizeof(x->hdr);
	if (!op)
		return -FUSE_ERRNO_UNKNOWN;
	if (!(state & STATE_READY) && x->hdr.opcode != FUSE_INIT)
		return -EIO;
	/* Of a write the data stays where it is. */
	x->len = x->data;
	if (x->hdr.opcode == FUSE_WRITE)
		x->len = MIN(x->len, sizeof(struct fuse_write_in));
	if (x->len < op->min || x->len > FS_IN_MAX)
		return -EINVAL;
	iov_read(x->c->iov, x->c->nr_out, sizeof(x->hdr), (void *)x->in,
		 x->len);
	return op->serve(x);
}

/* What is read is in place; all else has to be put there. */
static int answer_put(const struct fuse_ctx *x, int n)
{
	const struct vq_chain *c = x->c;
	struct fuse_out_header o = {
		.len = sizeof(o), .unique = x->hdr.unique,
	};

	if (n > 0 && (size_t)n > x->room)
		n = -EIO;
	if (n < 0)
		o.error = n;
	else
		o.len += n;
	if (n > 0 && x->hdr.opcode != FUSE_READ)
		iov_write(c->iov + c->nr_out, c->nr_in, sizeof(o), x->out, n);
	iov_write(c->iov + c->nr_out, c->nr_in, 0, &o, sizeof(o));
	return o.len;
}

static struct fuse_server *server_of(struct fs_server *base)
{
	return container_of(base, struct fuse_server, base);
}

static int serve(struct fs_server *base, struct fs_buffers *b,
		 const struct vq_chain *c)
{
	struct fuse_server *s = server_of(base);
	struct fuse_ctx x = {
		.s = s, .host = s->host, .c = c, .iov = b->iov, .in = b->in,
		.out = b->out,
	};
	const struct op_desc *op;
	int n;

	if (iov_read(c->iov, c->nr_out, 0, &x.hdr, sizeof(x.hdr)) <
	    sizeof(x.hdr))
		return -EPROTO;
	op = op_find(x.hdr.opcode);
	if (op && op->silent) {
		request_serve(&x, op);
		return 0;
	}
	if (c->in_len < sizeof(struct fuse_out_header))
		return -EPROTO;
	x.room = c->in_len - sizeof(struct fuse_out_header);
	n = request_serve(&x, op);
	return answer_put(&x, n);
}

static void server_free(struct fs_server *base)
{
	struct fuse_server *s = server_of(base);

	fs_close(s->host);
	free(s);
}

static void reset(struct fs_server *base)
{
	struct fuse_server *s = server_of(base);

	__atomic_store_n(&s->state, 0, __ATOMIC_RELEASE);
	fs_reset(s->host);
}

static void save(struct fs_server *base, struct state_out *out)
{
	struct fuse_server *s = server_of(base);

	state_put_u32(out, FUSE_STATE_VERSION);
	state_put_u32(out, s->state);
	fs_save(s->host, out);
}

static int restore(struct fs_server *base, struct state_in *in)
{
	struct fuse_server *s = server_of(base);
	u32 state;
	int err;

	state_get_version(in, FUSE_STATE_VERSION);
	state = state_get_u32(in);
	if (in->err || state & ~STATE_ALL)
		return -EPROTO;
	err = fs_restore(s->host, in);
	s->state = err ? 0 : state;
	return err;
}

static const struct fs_service service = {
	.serve = serve,
	.reset = reset,
	.free = server_free,
	.save = save,
	.restore = restore,
	.broken = "no FUSE request, or no room for an answer",
};

int fuse_server_create(struct fs_server **out, struct fs_host *host)
{
	struct fuse_server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->base.service = &service;
	s->host = host;
	*out = &s->base;
	return 0;
}
