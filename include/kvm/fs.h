/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files below one directory of the host, for those who share it with a guest.
 * Directories, files and open files are known by numbers; a name is one
 * component. What is wrong with a number or a name is an error, never more.
 */
#ifndef KVM__FS_H
#define KVM__FS_H

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include "kvm/report.h"
#include "kvm/state.h"

#define FS_ROOT 1ULL
#define FS_NAME_MAX 255
/* Of struct fs_setattr, beyond STATX_MODE, _UID, _GID, _SIZE, _ATIME, _MTIME */
#define FS_KILL_PRIV 0x40000000U
/* Of fs_write(), beyond FS_KILL_PRIV */
#define FS_APPEND 0x20000000U

struct fs_host;

/**
 * struct fs_opts - what is shared
 * @path: a directory; only read
 * @fd: with @has_fd the directory itself, then @path is for messages; taken
 *	over on success
 * @readonly: nothing below it is changed
 * @max_fds: descriptors that may be used, 64 to 65536
 * @edits_fd: with @has_edits, of inotify: hears when a name comes or goes in a directory in
 *	which one was looked up; stays the caller's
 * @edits_ended: with @has_edits, fs_edits_drain() counts there
 * @log: is told, once, if it does not; may be NULL; stays the caller's
 */
struct fs_opts {
	const char *path;
	int fd;
	int edits_fd;
	const unsigned int *edits_ended;
	const struct vm_log *log;
	bool has_fd;
	bool has_edits;
	bool readonly;
	unsigned int max_fds;
};

/**
 * struct fs_caller - on whose behalf something is created
 * @umask: taken off the mode unless the directory has a default ACL
 */
struct fs_caller {
	u32 uid;
	u32 gid;
	u32 umask;
};

/**
 * struct fs_new - what is to be made
 * @dir: in which directory
 * @name: one component; none for fs_tmpfile()
 * @flags: of open(2), where it is opened as well; those about creation are ignored
 */
struct fs_new {
	u64 dir;
	const char *name;
	u32 flags;
	u32 mode;
	dev_t rdev;
	struct fs_caller who;
};

/**
 * struct fs_entry - a file that was found
 * @node: its number; each time that it is given out is one to forget
 * @ino: as the guest sees it: unique across the file systems of the share
 */
struct fs_entry {
	u64 node;
	u64 ino;
	struct statx st;
};

/**
 * struct fs_setattr - what to change
 * @mask: STATX_MODE and so on, and FS_KILL_PRIV for a new size
 * @time: access, then modification, as utimensat() has them
 */
struct fs_setattr {
	u32 mask;
	u32 mode;
	u32 uid;
	u32 gid;
	u64 size;
	struct timespec time[2];
};

/** struct fs_dirent - @next: where to go on behind it; @name ends with NUL */
struct fs_dirent {
	u64 ino;
	u64 next;
	u32 type;
	size_t len;
	const char *name;
};

/**
 * fs_open() - share a directory
 *
 * Context: before the process is sealed, or below what stays reachable then; its
 * umask should be 0, which would count on top of that of callers.
 * Return: 0 with *@out; -errno with the reason in @r.
 */
int fs_open(struct fs_host **out, const struct fs_opts *opts,
	    struct report *r);
/** fs_close() - nobody is inside any more; accepts NULL */
void fs_close(struct fs_host *h);
/**
 * fs_edits_drain() - read all that the inotify of struct fs_opts has heard
 * @ended: how many of its directories are gone, which make room for others
 * Context: one thread at a time
 */
void fs_edits_drain(int fd, unsigned int *ended);
/** fs_readonly() - whether nothing may be changed */
bool fs_readonly(const struct fs_host *h);
/**
 * fs_forget_all() - all numbers but FS_ROOT lose their meaning
 * fs_reset() - the same, when nobody is inside
 */
void fs_forget_all(struct fs_host *h);
void fs_reset(struct fs_host *h);

/*
 * All below: any thread, no lock held, may block. Return: 0, a count where one
 * is spoken of, or -errno; -ESTALE for a number without meaning or a file that
 * is not where it was, -EBADF for an open file, -EROFS for what would change a
 * share that is readonly.
 */

/** fs_lookup() - find @name in @dir */
int fs_lookup(struct fs_host *h, u64 dir, const char *name,
	      struct fs_entry *e);
/** fs_again() - @node is given out once more */
int fs_again(struct fs_host *h, u64 node);
/**
 * fs_whereis() - where a file was seen last, which may be one of several names
 * @name: FS_NAME_MAX + 1 bytes
 */
int fs_whereis(struct fs_host *h, u64 node, u64 *dir, char *name);
/** fs_forget() - @node was given out @times times less */
void fs_forget(struct fs_host *h, u64 node, u64 times);
/** fs_getattr() - @e->node is @node, and is not given out */
int fs_getattr(struct fs_host *h, u64 node, struct fs_entry *e);
/** fs_setattr() - @file: number of an open file of @node, or 0 */
int fs_setattr(struct fs_host *h, u64 node, u64 file,
	       const struct fs_setattr *s, struct fs_entry *e);
/** fs_readlink() - Return: bytes put into @buf, which gets no NUL */
int fs_readlink(struct fs_host *h, u64 node, char *buf, size_t size);
/**
 * fs_symlink() - make a link to @target, which is only stored
 * @n: where, its name and whose it is
 * @e: the new link; its number is given out
 */
int fs_symlink(struct fs_host *h, const struct fs_new *n, const char *target,
	       struct fs_entry *e);
/** fs_mknod() - anything but a link, by the type in @n->mode; also directories */
int fs_mknod(struct fs_host *h, const struct fs_new *n, struct fs_entry *e);
/** fs_unlink() - @flags: 0 or AT_REMOVEDIR */
int fs_unlink(struct fs_host *h, u64 dir, const char *name, int flags);
/** fs_rename() - @flags: as for renameat2() */
int fs_rename(struct fs_host *h, u64 dir, const char *name, u64 newdir,
	      const char *newname, unsigned int flags);
/**
 * fs_link() - give @node one more name, @newname in @newdir
 * @e: the file; its number is given out once more
 */
int fs_link(struct fs_host *h, u64 node, u64 newdir, const char *newname,
	    struct fs_entry *e);
/** fs_statfs() - of the file system that @node is on, as fstatfs(2) */
int fs_statfs(struct fs_host *h, u64 node, struct statfs *st);
/** fs_access() - @mask: R_OK and so on. Modes are for the guest to check */
int fs_access(struct fs_host *h, u64 node, u32 mask);
/** fs_sync() - the share's file system, and those that are mounted below it and known */
int fs_sync(struct fs_host *h);

/** fs_setxattr() - @kill_sgid: the new ACL takes the set-group-ID bit away */
int fs_setxattr(struct fs_host *h, u64 node, const char *name,
		const struct iovec *value, int flags, bool kill_sgid);
/** fs_getxattr() - Return: bytes; with @size 0 how many there are */
int fs_getxattr(struct fs_host *h, u64 node, const char *name, void *value,
		size_t size);
/**
 * fs_listxattr() - names of extended attributes, each ended by a NUL
 * Return: bytes put into @list; with @size 0 how many there are; -ERANGE
 */
int fs_listxattr(struct fs_host *h, u64 node, char *list, size_t size);
/** fs_removexattr() - -ENODATA when there is none of that name */
int fs_removexattr(struct fs_host *h, u64 node, const char *name);

/**
 * fs_open_file() - open a regular file or a directory
 * @flags: of open(2); those about creation are ignored
 * @file: its number, which fs_release() gives back
 * @settled: it was not changed for a while. May be NULL
 */
int fs_open_file(struct fs_host *h, u64 node, u32 flags, u64 *file,
		 bool *settled);
/** fs_create() - make a file, which must not be there, and open it */
int fs_create(struct fs_host *h, const struct fs_new *n, struct fs_entry *e,
	      u64 *file);
/** fs_tmpfile() - a file in @n->dir without a name, open */
int fs_tmpfile(struct fs_host *h, const struct fs_new *n, struct fs_entry *e,
	       u64 *file);
/** fs_release() - close an open file; its number has no meaning any more */
int fs_release(struct fs_host *h, u64 file);
/** fs_read() - Return: bytes, fewer only at the end; @iov may be changed */
ssize_t fs_read(struct fs_host *h, u64 file, struct iovec *iov, int nr,
		u64 off);
/**
 * fs_write() - Return: bytes; @iov may be changed
 * @how: FS_APPEND, at the end, wherever that is by now; FS_KILL_PRIV, set-user-ID and
 *	set-group-ID are taken off first
 */
ssize_t fs_write(struct fs_host *h, u64 file, struct iovec *iov, int nr,
		 u64 off, u32 how);
/** fs_fsync() - on return the file is on disk; @data_only: as fdatasync(2) */
int fs_fsync(struct fs_host *h, u64 file, bool data_only);
/**
 * fs_fallocate() - as fallocate(2)
 * @mode: FALLOC_FL_*
 * @off: bytes
 * @len: bytes
 * @kill_priv: set-user-ID and set-group-ID are taken off first
 *
 * Return: also -EINVAL when @off or @len are above INT64_MAX.
 */
int fs_fallocate(struct fs_host *h, u64 file, u32 mode, u64 off, u64 len,
		 bool kill_priv);
/** fs_lseek() - SEEK_DATA or SEEK_HOLE. Return: the offset */
s64 fs_lseek(struct fs_host *h, u64 file, u64 off, u32 whence);
/** struct fs_at - a place in an open file */
struct fs_at {
	u64 file;
	u64 off;
};

/** fs_copy_range() - Return: bytes, perhaps fewer than @len */
ssize_t fs_copy_range(struct fs_host *h, const struct fs_at *from,
		      const struct fs_at *to, u64 len, bool kill_priv);

/**
 * typedef fs_emit_fn - one entry of a directory
 * Return: false when there is no room for it
 */
typedef bool (*fs_emit_fn)(void *opaque, const struct fs_dirent *d);
/**
 * fs_readdir() - go through an open directory
 * @off: 0 or a fs_dirent's next
 */
int fs_readdir(struct fs_host *h, u64 file, u64 off, fs_emit_fn emit,
	       void *opaque);

/**
 * fs_may_prefetch() - whether numbers may be given out that nobody asked for
 *
 * A guest remembers what it was told of until it needs the memory, and so must
 * the share: who lists everything once must not leave all of it behind.
 */
bool fs_may_prefetch(struct fs_host *h);

/**
 * fs_save() - numbers in use, and what they stand for
 *
 * Context: nobody is inside. A file is found by its name again; one that is
 * not there any more is -ESTALE then.
 */
void fs_save(struct fs_host *h, struct state_out *out);
/**
 * fs_restore() - take back what fs_save() wrote; what was known before is forgotten
 *
 * Context: nobody is inside. Return: 0; -EPROTO for what fs_save() would not write,
 * -ENOMEM and the like; then no number but FS_ROOT has a meaning.
 */
int fs_restore(struct fs_host *h, struct state_in *in);

#endif
