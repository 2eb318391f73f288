// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Open files and directories of a share, by their numbers. Only regular files
 * and directories are ever opened: a device, a FIFO or a socket is the guest's
 * own as soon as it has its name, and opening one here would do something.
 *
 * An open file uses its inode, which therefore keeps its descriptor: without a
 * name left it can still be looked at. Reads and writes go by offset, straight
 * from and to the pieces of memory that they are given.
 *
 * O_APPEND is no flag of the descriptor: the guest may write back pages of a
 * mapping through any descriptor of the file, and those belong where they were.
 * Writes that are to append say so. Only where the host has a file opened in no other
 * way (chattr +a) it is one, for who does not read, and so maps nothing. O_DIRECT is
 * between the guest and its page cache: its memory need not be aligned for the disk
 * here.
 *
 * Entries of a directory are read ahead into a buffer, which is good as long as
 * the next request goes on where the last one ended.
 *
 * Threads: any. Locks: file->lock > h->lock.
 *
 * Not supported: locks and leases.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "fs/file.h"
#include "fs/inode.h"
#include "fs/step.h"
#include "kvm/dirent.h"

#define FILES_STATE_VERSION 1
#define DIR_BUF 16384U
/* Times of a file are as coarse as a tick, or two seconds on some disks. */
#define SETTLED_SECONDS 3
#define COPY_MAX 0x4000000U

#define OPEN_FLAGS (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC)

/* With the lock held */
static void file_drop(struct fs_host *h, struct fs_file *f)
{
	if (--f->users)
		return;
	if (f->fd >= 0)
		fs_close_later(h, f->fd);
	fs_drop(h, f->node);
	pthread_mutex_destroy(&f->lock);
	free(f->buf);
	free(f);
}

static struct fs_file *file_use(struct fs_host *h, u64 number)
{
	struct fs_file *f;

	pthread_mutex_lock(&h->lock);
	f = fs_table_get(&h->files, number);
	if (f)
		f->users++;
	fs_unlock(h);
	return f;
}

static void file_done(struct fs_host *h, struct fs_file *f)
{
	pthread_mutex_lock(&h->lock);
	file_drop(h, f);
	fs_unlock(h);
}

/* A regular file that is open, to be read from, written to and so on. */
static int file_begin(struct fs_host *h, u64 number, struct fs_file **out)
{
	struct fs_file *f = file_use(h, number);
	int err;

	*out = f;
	if (!f)
		return -EBADF;
	if (f->fd >= 0 && S_ISREG(fs_type(f->node)))
		return f->fd;
	err = f->fd < 0 ? -ESTALE : -EISDIR;
	file_done(h, f);
	return err;
}

static struct fs_file *file_new(struct fs_inode *in, int fd, u32 flags)
{
	struct fs_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	pthread_mutex_init(&f->lock, NULL);
	f->node = in;
	f->fd = fd;
	f->flags = flags;
	f->users = 1;
	return f;
}

/* @in is in use, and so it stays; @fd is the file's, or closed. */
static int file_add(struct fs_host *h, struct fs_inode *in, int fd, u32 flags,
		    u64 *number)
{
	struct fs_file *f = file_new(in, fd, flags);
	int err = f ? 0 : -ENOMEM;

	pthread_mutex_lock(&h->lock);
	if (!err && h->files.used >= h->max_files)
		err = -ENFILE;
	if (!err) {
		f->number = fs_table_add(&h->files, f);
		if (!f->number)
			err = -ENFILE;
	}
	if (!err) {
		*number = f->number;
		fs_hold(h, in);
	}
	fs_unlock(h);
	if (!err)
		return 0;
	if (f)
		pthread_mutex_destroy(&f->lock);
	free(f);
	if (fd >= 0)
		close(fd);
	return err;
}

static int reopen(const struct fs_host *h, const struct fs_inode *in, int flags)
{
	char name[FS_PROC_NAME];
	int fd;

	fs_proc_name(name, fs_path_fd(h, in));
	do {
		fd = openat(h->proc_fd, name, flags | O_CLOEXEC | O_NOCTTY);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

/* Return: a descriptor, -1 for a directory that is not shown; -errno */
static int open_inode(const struct fs_host *h, const struct fs_inode *in,
		      u32 flags)
{
	int fd;

	if (S_ISDIR(fs_type(in))) {
		if (in->closed)
			return -1;
		return reopen(h, in, O_RDONLY | O_DIRECTORY);
	}
	if (!S_ISREG(fs_type(in)))
		return S_ISLNK(fs_type(in)) ? -ELOOP : -ENXIO;
	fd = reopen(h, in, flags & OPEN_FLAGS);
	if (fd == -EPERM &&
	    (flags & (O_ACCMODE | O_APPEND | O_DIRECT)) == (O_WRONLY | O_APPEND))
		fd = reopen(h, in, flags & (OPEN_FLAGS | O_APPEND));
	return fd;
}

static bool is_settled(int fd)
{
	struct timespec now;
	struct statx st;

	if (fd < 0 || fs_stat_fd(fd, &st))
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	return st.stx_mtime.tv_sec + SETTLED_SECONDS < now.tv_sec &&
	       st.stx_ctime.tv_sec + SETTLED_SECONDS < now.tv_sec;
}

static bool flags_change(u32 flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

int fs_open_file(struct fs_host *h, u64 node, u32 flags, u64 *file,
		 bool *settled)
{
	struct fs_inode *in;
	int fd, err;

	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	fd = fs_begin(h, node, flags_change(flags), &in);
	if (fd < 0)
		return fd;
	fd = fs_stale(h, in, open_inode(h, in, flags));
	if (fd < -1 || (fd == -1 && !in->closed)) {
		fs_done(h, in);
		return fd;
	}
	if (settled)
		*settled = is_settled(fd);
	err = file_add(h, in, fd, flags & O_ACCMODE, file);
	fs_done(h, in);
	return err;
}

/* The number of what @fd has open; @out is in use, with a descriptor of its own. */
static int enter_open(struct fs_host *h, struct fs_inode *dir,
		      const char *name, int fd, struct fs_entry *e,
		      struct fs_inode **out)
{
	struct fs_inode *in;
	struct statx st;
	int err = fs_stat_fd(fd, &st), path;

	if (!err)
		err = fs_enter(h, dir, name, &st, e);
	if (err)
		return err;
	in = fs_use(h, e->node);
	if (!in)
		return -ESTALE;
	path = fs_pin(h, in, fd);
	if (path < 0) {
		fs_done(h, in);
		fs_forget(h, e->node, 1);
		return path;
	}
	*out = in;
	return 0;
}

static int finish_create(struct fs_host *h, struct fs_inode *dir,
			 const struct fs_new *n, int fd, struct fs_entry *e,
			 u64 *file)
{
	struct fs_inode *in;
	int err = enter_open(h, dir, n->name, fd, e, &in);

	if (err) {
		close(fd);
		return err;
	}
	err = file_add(h, in, fd, n->flags & O_ACCMODE, file);
	fs_done(h, in);
	if (err)
		fs_forget(h, e->node, 1);
	return err;
}

static int files_room(struct fs_host *h)
{
	bool full;

	pthread_mutex_lock(&h->lock);
	full = h->files.used >= h->max_files;
	fs_unlock(h);
	return full ? -ENFILE : 0;
}

/* What cannot be open is not made, or is not there any more: it can be made later. */
int fs_create(struct fs_host *h, const struct fs_new *n, struct fs_entry *e,
	      u64 *file)
{
	struct fs_inode *d;
	int fd, err;
	u32 mode;

	if ((n->flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	fd = fs_begin_dir(h, n->dir, n->name, &d);
	if (fd < 0)
		return fd;
	mode = fs_caller_mode(fs_path_fd(h, d), n->mode & 07777, n->who.umask);
	err = files_room(h);
	if (!err)
		err = fs_caller_enter(h, &n->who);
	if (!err) {
		fd = fs_step(fs_path_fd(h, d), n->name,
			     (n->flags & OPEN_FLAGS) | O_CREAT | O_EXCL, mode);
		fs_caller_leave(h, &n->who);
		err = fd < 0 ? fd : finish_create(h, d, n, fd, e, file);
		if (err && fd >= 0)
			unlinkat(fs_path_fd(h, d), n->name, 0);
	}
	fs_done(h, d);
	return err;
}

int fs_tmpfile(struct fs_host *h, const struct fs_new *n, struct fs_entry *e,
	       u64 *file)
{
	struct fs_inode *d;
	int fd, err;
	u32 mode;

	if ((n->flags & O_ACCMODE) == O_ACCMODE ||
	    (n->flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	/* Any name will do: none is made. */
	fd = fs_begin_dir(h, n->dir, "tmpfile", &d);
	if (fd < 0)
		return fd;
	mode = fs_caller_mode(fs_path_fd(h, d), n->mode & 07777, n->who.umask);
	err = fs_caller_enter(h, &n->who);
	if (!err) {
		fd = fs_step(fs_path_fd(h, d), ".",
			     (n->flags & (O_ACCMODE | O_EXCL)) | O_TMPFILE, mode);
		fs_caller_leave(h, &n->who);
		err = fd < 0 ? fd : finish_create(h, NULL, n, fd, e, file);
	}
	fs_done(h, d);
	return err;
}

int fs_release(struct fs_host *h, u64 file)
{
	struct fs_file *f;

	pthread_mutex_lock(&h->lock);
	f = fs_table_get(&h->files, file);
	if (f) {
		fs_table_del(&h->files, file);
		file_drop(h, f);
	}
	fs_unlock(h);
	return f ? 0 : -EBADF;
}

/* @n bytes of the pieces are done. */
static void advance(struct iovec **iov, int *nr, size_t n)
{
	while (*nr && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		(*iov)++;
		(*nr)--;
	}
	if (*nr) {
		(*iov)->iov_base = (u8 *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}

/* What is read short may be at the end, or in front of an error: ask again. */
ssize_t fs_read(struct fs_host *h, u64 file, struct iovec *iov, int nr,
		u64 off)
{
	struct fs_file *f;
	int fd = file_begin(h, file, &f);
	ssize_t done = 0, n = 0;

	if (fd < 0)
		return fd;
	advance(&iov, &nr, 0);
	while (nr) {
		n = preadv(fd, iov, nr, off + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += n;
		advance(&iov, &nr, n);
	}
	if (n < 0)
		done = -errno;
	file_done(h, f);
	return done;
}

static ssize_t write_all(int fd, struct iovec *iov, int nr, u64 off, int flags)
{
	ssize_t done = 0, n = 0;

	advance(&iov, &nr, 0);
	while (nr) {
		n = pwritev2(fd, iov, nr, off + done, flags);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += n;
		advance(&iov, &nr, n);
	}
	return done || n >= 0 ? done : -errno;
}

/* Before anything is done, not only by a write: a mode is changed. */
static int file_changes(struct fs_host *h, const struct fs_file *f, bool kill_priv)
{
	if (f->flags == O_RDONLY)
		return -EBADF;
	return kill_priv ? fs_kill_priv(h, fs_path_fd(h, f->node)) : 0;
}

ssize_t fs_write(struct fs_host *h, u64 file, struct iovec *iov, int nr,
		 u64 off, u32 how)
{
	struct fs_file *f;
	int fd = file_begin(h, file, &f);
	ssize_t n = 0;

	if (fd < 0)
		return fd;
	n = off > INT64_MAX ? -EINVAL : file_changes(h, f, how & FS_KILL_PRIV);
	if (!n)
		n = write_all(fd, iov, nr, off, how & FS_APPEND ? RWF_APPEND : 0);
	file_done(h, f);
	return n;
}

int fs_truncate(struct fs_host *h, u64 file, u64 size)
{
	struct fs_file *f;
	int fd = file_begin(h, file, &f), err;

	if (fd < 0)
		return fd;
	err = ftruncate(fd, size) < 0 ? -errno : 0;
	file_done(h, f);
	return err;
}

int fs_fsync(struct fs_host *h, u64 file, bool data_only)
{
	struct fs_file *f = file_use(h, file);
	int err = 0;

	if (!f)
		return -EBADF;
	if (f->fd >= 0)
		err = (data_only ? fdatasync(f->fd) : fsync(f->fd)) < 0 ?
		      -errno : 0;
	else if (!f->node->closed)
		err = -ESTALE;
	file_done(h, f);
	return err;
}

int fs_fallocate(struct fs_host *h, u64 file, u32 mode, u64 off, u64 len,
		 bool kill_priv)
{
	struct fs_file *f;
	int fd = file_begin(h, file, &f), err;

	if (fd < 0)
		return fd;
	if (off > INT64_MAX || len > INT64_MAX)
		err = -EINVAL;
	else
		err = file_changes(h, f, kill_priv);
	if (!err && fallocate(fd, mode, off, len) < 0)
		err = -errno;
	file_done(h, f);
	return err;
}

s64 fs_lseek(struct fs_host *h, u64 file, u64 off, u32 whence)
{
	struct fs_file *f;
	int fd = file_begin(h, file, &f);
	s64 ret = -EINVAL;

	if (fd < 0)
		return fd;
	if (whence == SEEK_DATA || whence == SEEK_HOLE) {
		ret = lseek(fd, off, whence);
		if (ret < 0)
			ret = -errno;
	}
	file_done(h, f);
	return ret;
}

ssize_t fs_copy_range(struct fs_host *h, const struct fs_at *from,
		      const struct fs_at *to, u64 len, bool kill_priv)
{
	loff_t off = from->off, off2 = to->off;
	struct fs_file *f, *g;
	int fd = file_begin(h, from->file, &f), fd2;
	ssize_t n = -EINVAL;

	if (fd < 0)
		return fd;
	fd2 = file_begin(h, to->file, &g);
	if (fd2 < 0) {
		file_done(h, f);
		return fd2;
	}
	if (off >= 0 && off2 >= 0)
		n = file_changes(h, g, kill_priv);
	if (!n) {
		n = copy_file_range(fd, &off, fd2, &off2, MIN(len, COPY_MAX), 0);
		if (n < 0)
			n = -errno;
	}
	file_done(h, g);
	file_done(h, f);
	return n;
}

/* Fill the buffer with what comes next. Return: 0 at the end, else 1 */
static int dir_fill(struct fs_file *f)
{
	long n = syscall(__NR_getdents64, f->fd, f->buf, DIR_BUF);

	f->pos = 0;
	f->len = n < 0 ? 0 : n;
	return n < 0 ? -errno : !!n;
}

static int dir_seek(struct fs_file *f, u64 off)
{
	if (!f->buf) {
		f->buf = malloc(DIR_BUF);
		if (!f->buf)
			return -ENOMEM;
	}
	if (f->next == off && f->next)
		return 0;
	f->pos = 0;
	f->len = 0;
	f->next = off;
	return lseek(f->fd, off, SEEK_SET) < 0 ? -errno : 0;
}

static int dir_run(struct fs_file *f, fs_emit_fn emit, void *opaque)
{
	int more = 1;

	while (f->pos < f->len || (more = dir_fill(f)) > 0) {
		const struct linux_dirent64 *d = (void *)(f->buf + f->pos);
		struct fs_dirent out = {
			.ino = fs_ino(f->node, d->d_ino),
			.next = d->d_off,
			.type = d->d_type,
			.len = strlen(d->d_name),
			.name = d->d_name,
		};

		if (!emit(opaque, &out))
			return 0;
		f->pos += d->d_reclen;
		f->next = d->d_off;
	}
	return more;
}

int fs_readdir(struct fs_host *h, u64 file, u64 off, fs_emit_fn emit,
	       void *opaque)
{
	struct fs_file *f = file_use(h, file);
	int err = 0;

	if (!f)
		return -EBADF;
	if (!S_ISDIR(fs_type(f->node))) {
		err = -ENOTDIR;
	} else if (f->fd >= 0) {
		pthread_mutex_lock(&f->lock);
		err = dir_seek(f, off);
		if (!err)
			err = dir_run(f, emit, opaque);
		pthread_mutex_unlock(&f->lock);
	} else if (!f->node->closed) {
		err = -ESTALE;
	}
	file_done(h, f);
	return err;
}

void fs_files_forget_all(struct fs_host *h)
{
	pthread_mutex_lock(&h->lock);
	for (u32 i = 0; i < h->files.nr; i++) {
		struct fs_file *f = h->files.slot[i].object;

		if (!f)
			continue;
		fs_table_del(&h->files, f->number);
		file_drop(h, f);
	}
	fs_unlock(h);
}

void fs_files_free(struct fs_host *h)
{
	fs_files_forget_all(h);
	fs_table_free(&h->files);
}

void fs_files_save(struct fs_host *h, struct state_out *out)
{
	pthread_mutex_lock(&h->lock);
	state_put_u32(out, FILES_STATE_VERSION);
	state_put_u32(out, h->files.generation);
	state_put_u32(out, h->files.used);
	for (u32 i = 0; i < h->files.nr; i++) {
		const struct fs_file *f = h->files.slot[i].object;

		if (!f)
			continue;
		state_put_u64(out, f->number);
		state_put_u64(out, fs_pool_number(f->node));
		state_put_u32(out, f->flags);
	}
	fs_unlock(h);
}

/* One that cannot be opened any more has its number, and is stale. */
static int file_restore(struct fs_host *h, struct state_in *in)
{
	u64 number = state_get_u64(in);
	u64 node = state_get_u64(in);
	u32 flags = state_get_u32(in);
	struct fs_inode *i;
	struct fs_file *f;
	int err, fd = -1;

	if (in->err || flags & ~(u32)O_ACCMODE || flags == O_ACCMODE ||
	    (h->readonly && flags))
		return -EPROTO;
	i = fs_use(h, node);
	if (!i)
		return -EPROTO;
	if (fs_fd(h, i) >= 0)
		fd = open_inode(h, i, flags);
	f = file_new(i, fd < 0 ? -1 : fd, flags);
	err = f ? 0 : -ENOMEM;
	pthread_mutex_lock(&h->lock);
	if (!err) {
		f->number = number;
		err = fs_table_put(&h->files, number, f);
		if (err)
			file_drop(h, f);
	} else {
		fs_drop(h, i);
	}
	fs_unlock(h);
	return err;
}

int fs_files_restore(struct fs_host *h, struct state_in *in)
{
	u32 generation, nr;
	int err = 0;

	state_get_version(in, FILES_STATE_VERSION);
	generation = state_get_u32(in);
	nr = state_get_u32(in);
	if (in->err || nr > h->max_files)
		return -EPROTO;
	while (nr-- && !err)
		err = file_restore(h, in);
	pthread_mutex_lock(&h->lock);
	fs_table_settle(&h->files, generation);
	fs_unlock(h);
	return err;
}
