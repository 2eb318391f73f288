// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * What can be done with files of a share by their numbers, but for open files
 * (fs/file.c). How they are found is explained in fs/inode.c, and in fs/step.c
 * why nothing outside is.
 *
 * A share that is readonly is so in one place: fs_begin() is the only way
 * to the descriptor of something that is to be changed, or opened for that.
 *
 * Some system calls take a path and no descriptor (xattrs), or none of O_PATH
 * (chmod, open). These go through /proc/self/fd, which leads to the file that
 * is open and to nothing else; a link there is not followed any further.
 *
 * Whom files belong to: if lkvm runs as root, what a guest makes is made with
 * the fsuid and fsgid of the guest's process, which are a thread's own. It is
 * never somebody else's, not even for a moment. Whether that process may was
 * up to the guest's kernel; the host asks again, and does not know of its
 * supplementary groups. Otherwise all is the user's who runs lkvm. Everything
 * else is done with lkvm's own rights.
 *
 * Threads: any; no lock is held over a system call.
 *
 * Not supported: following links, which guests do by themselves; changing
 * xattrs by a descriptor; inode flags.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "fs/file.h"
#include "fs/inode.h"
#include "fs/step.h"

#define FDS_MIN 64U
/* What struct fs_inode can count. */
#define FDS_MAX 65536U
/* A kernel tree has 6,000 directories. The host may have fewer, and then says so. */
#define WATCHES_MAX 32768U

void fs_proc_name(char *name, int fd)
{
	snprintf(name, FS_PROC_NAME, "%d", fd);
}

static void proc_path(char *path, int fd)
{
	snprintf(path, FS_PROC_NAME, "/proc/self/fd/%d", fd);
}

/* The one place that says no to changes. */
int fs_begin(struct fs_host *h, u64 node, bool change, struct fs_inode **out)
{
	struct fs_inode *in;
	int fd;

	if (change && h->readonly)
		return -EROFS;
	in = fs_use(h, node);
	if (!in)
		return -ESTALE;
	fd = fs_fd(h, in);
	if (fd < 0)
		fs_done(h, in);
	else
		*out = in;
	return fd;
}

static int check_dir(const struct fs_inode *in)
{
	if (!S_ISDIR(fs_type(in)))
		return -ENOTDIR;
	return in->closed ? -EACCES : 0;
}

int fs_begin_dir(struct fs_host *h, u64 dir, const char *name,
		 struct fs_inode **out)
{
	int err = fs_name_check(name), fd;

	if (err < 0)
		return err;
	fd = fs_begin(h, dir, true, out);
	if (fd < 0)
		return fd;
	err = check_dir(*out);
	if (err)
		fs_done(h, *out);
	return err ? err : fd;
}

/* On behalf of a guest's process. */

/* Either call returns what was set before it. */
static int set_fsid(long nr, u32 id)
{
	return (u32)syscall(nr, id) == id || (u32)syscall(nr, -1) == id ? 0 : -EPERM;
}

void fs_caller_leave(const struct fs_host *h, const struct fs_caller *who)
{
	if (!h->as_caller || (!who->uid && !who->gid))
		return;
	syscall(__NR_setfsuid, 0);
	syscall(__NR_setfsgid, 0);
}

int fs_caller_enter(const struct fs_host *h, const struct fs_caller *who)
{
	int err;

	if (!h->as_caller)
		return 0;
	/* The guest's root's as well: lkvm's own group may be another one. */
	err = set_fsid(__NR_setfsgid, who->gid);
	if (!err && who->uid)
		err = set_fsid(__NR_setfsuid, who->uid);
	if (err)
		fs_caller_leave(h, who);
	return err;
}

/* POSIX 1003.1e: where there is a default ACL, it takes the umask's place. */
u32 fs_caller_mode(int dirfd, u32 mode, u32 umask)
{
	char path[FS_PROC_NAME];

	umask &= 0777;
	if (!(mode & umask))
		return mode;
	proc_path(path, dirfd);
	if (getxattr(path, "system.posix_acl_default", NULL, 0) > 0)
		return mode;
	return mode & ~umask;
}

/* fs_enter() of @name in a directory in use with its fd */
static int fs_entered(struct fs_host *h, struct fs_inode *dir, const char *name,
		      struct fs_entry *e)
{
	struct statx st;
	int err = fs_stat_step(fs_path_fd(h, dir), name, &st);

	return err ? err : fs_enter(h, dir, name, &st, e);
}

/*
 * Two threads may add a watch for one directory: inotify gives both the same
 * descriptor. A watch can outlive its inode and is then found again. Descriptors only
 * grow, so one above @last_watch is new and is counted.
 */
static void watch(struct fs_host *h, struct fs_inode *d, int fd)
{
	char path[FS_PROC_NAME];
	bool due, full, say;
	int wd = -1;

	if (h->edits_fd < 0)
		return;
	pthread_mutex_lock(&h->lock);
	due = !d->watched;
	full = h->nr_watches - __atomic_load_n(h->edits_ended, __ATOMIC_RELAXED) >=
	       WATCHES_MAX;
	fs_unlock(h);
	if (!due)
		return;
	proc_path(path, fd);
	errno = ENOSPC;
	if (!full)
		wd = inotify_add_watch(h->edits_fd, path, IN_CREATE | IN_DELETE |
				       IN_MOVED_FROM | IN_MOVED_TO);
	pthread_mutex_lock(&h->lock);
	d->watched = wd >= 0;
	if (wd > h->last_watch) {
		h->last_watch = wd;
		h->nr_watches++;
	}
	/* What cannot be read cannot be watched either. */
	say = wd < 0 && errno != EACCES && !h->watch_failed;
	h->watch_failed |= say;
	fs_unlock(h);
	if (say)
		vm_log(h->log, "some edits on the host are seen late: inotify: %s",
		       strerror(errno));
}

void fs_edits_drain(int fd, unsigned int *ended)
{
	struct inotify_event buf[256], *e;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (e = buf; (char *)e < (char *)buf + n; e += 1 + e->len / sizeof(*e)) {
			if (e->mask & IN_IGNORED)
				__atomic_fetch_add(ended, 1, __ATOMIC_RELAXED);
		}
	}
}

int fs_lookup(struct fs_host *h, u64 dir, const char *name,
	      struct fs_entry *e)
{
	struct fs_inode *d;
	int err = fs_name_check(name), fd;

	if (err)
		return err;
	fd = fs_begin(h, dir, false, &d);
	if (fd < 0)
		return fd;
	if (!S_ISDIR(fs_type(d)))
		err = -ENOTDIR;
	else if (d->closed)
		err = -ENOENT;
	else
		watch(h, d, fd);
	if (!err)
		err = fs_entered(h, d, name, e);
	/*
	 * It is the entry's or the directory's: if it is the directory that is stale,
	 * fs_stat() takes it out of the hash.
	 */
	if (err == -ESTALE)
		fs_stat(h, d, &e->st);
	fs_done(h, d);
	return err;
}

int fs_getattr(struct fs_host *h, u64 node, struct fs_entry *e)
{
	struct fs_inode *in = fs_use(h, node);
	int err;

	if (!in)
		return -ESTALE;
	err = fs_stat(h, in, &e->st);
	e->node = node;
	e->ino = fs_ino(in, e->st.stx_ino);
	fs_done(h, in);
	return err;
}

/*
 * As the VFS does for who has no CAP_FSETID; lkvm may have it. If not, and the file is
 * somebody else's, the host's own does it when the file is written to.
 */
int fs_kill_priv(const struct fs_host *h, int fd)
{
	char name[FS_PROC_NAME];
	struct statx st;
	u32 mode;
	int err = fs_stat_fd(fd, &st);

	if (err)
		return err;
	mode = st.stx_mode & ~S_ISUID;
	if ((mode & (S_ISGID | 0010)) == (S_ISGID | 0010))
		mode &= ~S_ISGID;
	if (mode == st.stx_mode)
		return 0;
	fs_proc_name(name, fd);
	if (!fchmodat(h->proc_fd, name, mode & 07777, 0) ||
	    (errno == EPERM && !h->as_caller))
		return 0;
	return -errno;
}

static int set_size(struct fs_host *h, int fd, u64 file,
		    const struct fs_setattr *s)
{
	char name[FS_PROC_NAME];
	int err = s->mask & FS_KILL_PRIV ? fs_kill_priv(h, fd) : 0, to;

	if (err)
		return err;
	if (file)
		return fs_truncate(h, file, s->size);
	fs_proc_name(name, fd);
	to = openat(h->proc_fd, name, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	if (to < 0)
		return -errno;
	if (ftruncate(to, s->size) < 0)
		err = -errno;
	close(to);
	return err;
}

/* The owner first: the kernel takes mode bits away for that. */
static int setattr(struct fs_host *h, const struct fs_inode *in, u64 file,
		   const struct fs_setattr *s)
{
	char name[FS_PROC_NAME];
	int fd = fs_path_fd(h, in), err = 0;

	fs_proc_name(name, fd);
	if (s->mask & (STATX_UID | STATX_GID) &&
	    fchownat(fd, "", s->mask & STATX_UID ? s->uid : (uid_t)-1,
		     s->mask & STATX_GID ? s->gid : (gid_t)-1,
		     AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (s->mask & STATX_MODE) {
		if (S_ISLNK(fs_type(in)))
			return -EOPNOTSUPP;
		if (fchmodat(h->proc_fd, name, s->mode & 07777, 0) < 0)
			return -errno;
	}
	if (s->mask & STATX_SIZE) {
		if (!S_ISREG(fs_type(in)))
			return -EINVAL;
		err = set_size(h, fd, file, s);
	}
	if (!err && s->mask & (STATX_ATIME | STATX_MTIME) &&
	    utimensat(h->proc_fd, name, s->time, 0) < 0)
		err = -errno;
	return err;
}

int fs_setattr(struct fs_host *h, u64 node, u64 file,
	       const struct fs_setattr *s, struct fs_entry *e)
{
	struct fs_inode *in;
	int fd = fs_begin(h, node, true, &in), err;

	if (fd < 0)
		return fd;
	err = in->closed ? -EACCES : setattr(h, in, file, s);
	fs_done(h, in);
	return err ? err : fs_getattr(h, node, e);
}

int fs_readlink(struct fs_host *h, u64 node, char *buf, size_t size)
{
	struct fs_inode *in;
	int fd = fs_begin(h, node, false, &in), n;

	if (fd < 0)
		return fd;
	n = S_ISLNK(fs_type(in)) ? readlinkat(fd, "", buf, size) : -1;
	if (n < 0)
		n = S_ISLNK(fs_type(in)) ? -errno : -EINVAL;
	fs_done(h, in);
	return n;
}

int fs_symlink(struct fs_host *h, const struct fs_new *n, const char *target,
	       struct fs_entry *e)
{
	struct fs_inode *d;
	int fd = fs_begin_dir(h, n->dir, n->name, &d), err;

	if (fd < 0)
		return fd;
	err = fs_caller_enter(h, &n->who);
	if (!err) {
		err = symlinkat(target, fd, n->name) < 0 ? -errno : 0;
		fs_caller_leave(h, &n->who);
	}
	if (!err)
		err = fs_entered(h, d, n->name, e);
	fs_done(h, d);
	return err;
}

static int make_node(int fd, const struct fs_new *n, u32 mode)
{
	int ret;

	if (S_ISDIR(mode))
		ret = mkdirat(fd, n->name, mode & 07777);
	else
		ret = mknodat(fd, n->name, mode, n->rdev);
	return ret < 0 ? -errno : 0;
}

int fs_mknod(struct fs_host *h, const struct fs_new *n, struct fs_entry *e)
{
	struct fs_inode *d;
	int fd = fs_begin_dir(h, n->dir, n->name, &d), err;
	u32 mode;

	if (fd < 0)
		return fd;
	mode = fs_caller_mode(fd, n->mode, n->who.umask);
	err = fs_caller_enter(h, &n->who);
	if (!err) {
		err = make_node(fd, n, mode);
		fs_caller_leave(h, &n->who);
	}
	if (!err)
		err = fs_entered(h, d, n->name, e);
	fs_done(h, d);
	return err;
}

int fs_unlink(struct fs_host *h, u64 dir, const char *name, int flags)
{
	struct fs_inode *d, *in;
	int fd = fs_begin_dir(h, dir, name, &d), err;

	if (fd < 0)
		return fd;
	in = fs_keep(h, d, name);
	err = unlinkat(fd, name, flags & AT_REMOVEDIR) < 0 ? -errno : 0;
	fs_kept(h, in, err ? NULL : d, name);
	fs_done(h, d);
	return err;
}

/* Where files are is kept, so that they need not be looked up again. */
static void note_moved(struct fs_host *h, struct fs_inode *dir,
		       const char *name)
{
	struct statx st;

	if (!fs_stat_step(fs_path_fd(h, dir), name, &st))
		fs_moved(h, dir, name, &st);
}

int fs_rename(struct fs_host *h, u64 dir, const char *name, u64 newdir,
	      const char *newname, unsigned int flags)
{
	struct fs_inode *d, *nd, *in = NULL;
	int fd, nfd, err;

	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	fd = fs_begin_dir(h, dir, name, &d);
	if (fd < 0)
		return fd;
	nfd = fs_begin_dir(h, newdir, newname, &nd);
	if (nfd < 0) {
		fs_done(h, d);
		return nfd;
	}
	if (!(flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)))
		in = fs_keep(h, nd, newname);
	err = syscall(__NR_renameat2, fd, name, nfd, newname, flags) < 0 ?
	      -errno : 0;
	fs_kept(h, in, err ? NULL : nd, newname);
	if (!err)
		note_moved(h, nd, newname);
	if (!err && flags & RENAME_EXCHANGE)
		note_moved(h, d, name);
	fs_done(h, nd);
	fs_done(h, d);
	return err;
}

int fs_link(struct fs_host *h, u64 node, u64 newdir, const char *newname,
	    struct fs_entry *e)
{
	struct fs_inode *in, *d;
	char name[FS_PROC_NAME];
	int fd = fs_begin(h, node, true, &in), dirfd, err;

	if (fd < 0)
		return fd;
	dirfd = fs_begin_dir(h, newdir, newname, &d);
	if (dirfd < 0) {
		fs_done(h, in);
		return dirfd;
	}
	fs_proc_name(name, fd);
	err = linkat(h->proc_fd, name, dirfd, newname, AT_SYMLINK_FOLLOW) < 0 ?
	      -errno : fs_entered(h, d, newname, e);
	fs_done(h, d);
	fs_done(h, in);
	return err;
}

int fs_statfs(struct fs_host *h, u64 node, struct statfs *st)
{
	struct fs_inode *in;
	int fd = fs_begin(h, node, false, &in), err;

	if (fd < 0)
		return fd;
	err = fstatfs(fd, st) < 0 ? -errno : 0;
	fs_done(h, in);
	return err;
}

int fs_access(struct fs_host *h, u64 node, u32 mask)
{
	struct fs_inode *in;
	int fd = fs_begin(h, node, mask & W_OK, &in);

	if (fd < 0)
		return fd;
	fs_done(h, in);
	return 0;
}

/* O_PATH has no file system to sync: this one is opened. Gone is what was mounted there. */
static int sync_dir(struct fs_host *h, struct fs_inode *dir)
{
	int fd = fs_fd(h, dir), err;

	if (fd == -ESTALE)
		return 0;
	if (fd >= 0)
		fd = fs_step(fd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	err = syncfs(fd) < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* A directory on another file system than the one it is in; the lock is taken. */
static bool is_mount(const struct fs_host *h, const struct fs_inode *in)
{
	const struct fs_inode *parent = fs_parent(h, in);

	return parent && parent->dev != in->dev && S_ISDIR(fs_type(in)) && !in->closed;
}

int fs_sync(struct fs_host *h)
{
	int ret = sync_dir(h, h->root), err;
	struct fs_inode *in;
	u32 i = 1;

	pthread_mutex_lock(&h->lock);
	while ((in = fs_pool_next(&h->nodes, &i))) {
		if (!is_mount(h, in))
			continue;
		fs_hold(h, in);
		fs_unlock(h);
		err = sync_dir(h, in);
		pthread_mutex_lock(&h->lock);
		fs_drop(h, in);
		ret = ret ? ret : err;
	}
	fs_unlock(h);
	return ret;
}

static int drop_sgid(int fd, const char *path)
{
	struct statx st;
	int err = fs_stat_fd(fd, &st);

	if (err || !(st.stx_mode & S_ISGID))
		return err;
	return chmod(path, st.stx_mode & 07777 & ~S_ISGID) < 0 ? -errno : 0;
}

/* A path, for calls that take no descriptor that is O_PATH. */
static int path_begin(struct fs_host *h, u64 node, bool change,
		      char path[FS_PROC_NAME], struct fs_inode **out)
{
	int fd = fs_begin(h, node, change, out);

	if (fd < 0)
		return fd;
	if ((*out)->closed) {
		fs_done(h, *out);
		return -EOPNOTSUPP;
	}
	proc_path(path, fd);
	return fd;
}

/* @ret: what such a call returned */
static int path_done(struct fs_host *h, struct fs_inode *in, ssize_t ret)
{
	int err = ret < 0 ? -errno : (int)ret;

	fs_done(h, in);
	return err;
}

int fs_setxattr(struct fs_host *h, u64 node, const char *name,
		const struct iovec *value, int flags, bool kill_sgid)
{
	char path[FS_PROC_NAME];
	struct fs_inode *in;
	int fd = path_begin(h, node, true, path, &in), err;

	if (fd < 0)
		return fd;
	err = setxattr(path, name, value->iov_base, value->iov_len, flags);
	if (err || !kill_sgid)
		return path_done(h, in, err);
	err = drop_sgid(fd, path);
	fs_done(h, in);
	return err;
}

int fs_getxattr(struct fs_host *h, u64 node, const char *name, void *value,
		size_t size)
{
	char path[FS_PROC_NAME];
	struct fs_inode *in;
	int fd = path_begin(h, node, false, path, &in);

	return fd < 0 ? fd :
	       path_done(h, in, getxattr(path, name, value, size));
}

int fs_listxattr(struct fs_host *h, u64 node, char *list, size_t size)
{
	char path[FS_PROC_NAME];
	struct fs_inode *in;
	int fd = path_begin(h, node, false, path, &in);

	return fd < 0 ? fd : path_done(h, in, listxattr(path, list, size));
}

int fs_removexattr(struct fs_host *h, u64 node, const char *name)
{
	char path[FS_PROC_NAME];
	struct fs_inode *in;
	int fd = path_begin(h, node, true, path, &in);

	return fd < 0 ? fd : path_done(h, in, removexattr(path, name));
}

bool fs_readonly(const struct fs_host *h)
{
	return h->readonly;
}

/* Whether files can be made as anybody: in a user namespace, not as all. */
static bool may_be_caller(void)
{
	bool may;

	if (geteuid())
		return false;
	may = !set_fsid(__NR_setfsuid, 1);
	syscall(__NR_setfsuid, 0);
	return may;
}

static int open_root(const struct fs_opts *o, struct fs_host *h,
		     struct report *r)
{
	int fd = o->has_fd ? o->fd :
		 open(o->path, O_PATH | O_DIRECTORY | O_CLOEXEC), err;

	if (fd < 0)
		return report_error(r, errno, "share %s", o->path);
	h->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (h->proc_fd < 0)
		err = report_error(r, errno, "share %s: /proc/self/fd", o->path);
	else
		err = fs_inodes_init(h, fd);
	if (!err)
		return 0;
	if (err == -EINVAL)
		report_error(r, 0, "share %s: is on a pseudo file system",
			     o->path);
	else
		report_error(r, -err, "share %s", o->path);
	if (!o->has_fd)
		close(fd);
	return err;
}

int fs_open(struct fs_host **out, const struct fs_opts *o, struct report *r)
{
	struct fs_host *h = calloc(1, sizeof(*h));
	unsigned int max = MIN(MAX(o->max_fds, FDS_MIN), FDS_MAX);
	int err;

	if (!h)
		return report_error(r, ENOMEM, "share %s", o->path);
	pthread_mutex_init(&h->lock, NULL);
	h->proc_fd = -1;
	h->readonly = o->readonly;
	h->edits_fd = o->has_edits ? o->edits_fd : -1;
	h->edits_ended = o->edits_ended;
	h->log = o->log;
	h->as_caller = may_be_caller();
	h->max_inode_fds = max / 2;
	h->max_files = max / 2 - 8;
	err = open_root(o, h, r);
	if (err)
		fs_close(h);
	else
		*out = h;
	return err;
}

void fs_close(struct fs_host *h)
{
	if (!h)
		return;
	fs_files_free(h);
	fs_inodes_free(h);
	if (h->proc_fd >= 0)
		close(h->proc_fd);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

void fs_forget_all(struct fs_host *h)
{
	fs_files_forget_all(h);
	fs_inodes_forget_all(h);
}

void fs_reset(struct fs_host *h)
{
	fs_files_forget_all(h);
	fs_inodes_drop(h);
}

void fs_save(struct fs_host *h, struct state_out *out)
{
	fs_inodes_save(h, out);
	fs_files_save(h, out);
}

int fs_restore(struct fs_host *h, struct state_in *in)
{
	int err;

	fs_reset(h);
	err = fs_inodes_restore(h, in);
	if (!err)
		err = fs_files_restore(h, in);
	if (!err && !fs_inodes_sane(h))
		err = -EPROTO;
	if (err)
		fs_reset(h);
	return err;
}
