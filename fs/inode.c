// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The files of a share that somebody has a number for. A file is known by
 * device and inode number and, while no descriptor keeps that number from being
 * used again, by its time of birth. It is found by where it was seen last, its
 * directory and its name there, and O_PATH descriptors are opened when they are
 * needed and kept while there is room. So a share takes a bounded number of
 * descriptors whatever the guest looks at, needs no right to open files by
 * handles, and most files of a directory that is listed never get one at all.
 * What is opened again is checked to be the same file; one that the host moved
 * or removed meanwhile is -ESTALE, for which a guest looks the name up again.
 * Files in use, among them all that are open, keep their descriptor: they can
 * lose every name and are still there. So can those whose name the guest takes
 * away while it has a number for them: they get a descriptor first, which is kept
 * as long as such ones have no more than half of what there may be.
 *
 * Confinement. The only ways to get at a file are fs_step() and fs_stat_step(),
 * one component at a time from a descriptor that came the same way, the first
 * one being the root's. Components with a slash, "." and ".." are refused, no
 * link of any kind is followed, and openat2() sees to it again with
 * RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS. Mounts below
 * the root are part of the share, with inode numbers made unique, but those of
 * the kernel's own file systems (proc, sysfs and their like) are empty: their
 * links lead anywhere, their files block, and they are about the host.
 *
 * Threads: any. The lock guards table, hash, LRU and all inodes, and is dropped
 * for system calls that look at a disk. An inode that was made for a child
 * stays as long as the child does, so that a path can be walked from the root.
 *
 * Not supported: finding a file that the host moved without being told, but for
 * a new look-up. A directory whose descriptor is open and that somebody on the
 * host moves out of the share is still what it was; Landlock keeps a sealed
 * process from opening, making and removing anything there, not from looking at
 * it and changing its mode, owner and times. A single file of the kernel's own
 * that is mounted on a file is shared.
 *
 * What a guest can take: 4M numbers a share at most, of some 150 bytes and a name
 * each; directories up to DEPTH_MAX deep have a place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include "kvm/fs-inode.h"

#define BUCKETS_MIN 256U
#define PREFETCH_MAX 8192U
/* Deeper than any path a program can name, and soon walked. */
#define DEPTH_MAX 4096U
#define INODES_STATE_VERSION 1
#define STATE_CLOSED 1
#define STATE_UNHASHED 2

/* Not in every <linux/magic.h> */
#define MAGIC_CONFIGFS 0x62656570
#define MAGIC_MQUEUE 0x19800202

int fs_name_check(const char *name)
{
	size_t len = strnlen(name, FS_NAME_MAX + 1);

	if (len > FS_NAME_MAX)
		return -ENAMETOOLONG;
	if (!len || memchr(name, '/', len) || !strcmp(name, ".") ||
	    !strcmp(name, ".."))
		return -EINVAL;
	return 0;
}

int fs_step(int dirfd, const char *name, int flags, u32 mode)
{
	struct open_how how = {
		.flags = (u32)(flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	/* O_PATH is refused along with what it has no use for. */
	if (flags & O_PATH)
		how.flags &= ~(u64)O_NOCTTY;
	do {
		fd = syscall(__NR_openat2, dirfd, name, &how, sizeof(how));
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : (int)fd;
}

int fs_stat_step(int dirfd, const char *name, struct statx *st)
{
	return statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		     STATX_BASIC_STATS | STATX_BTIME, st) < 0 ? -errno : 0;
}

int fs_stat_fd(int fd, struct statx *st)
{
	return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME,
		     st) < 0 ? -errno : 0;
}

u64 fs_dev(const struct statx *st)
{
	return (u64)st->stx_dev_major << 32 | st->stx_dev_minor;
}

static struct fs_id id_of(const struct statx *st)
{
	struct fs_id id = {
		.dev = fs_dev(st), .ino = st->stx_ino,
		.type = st->stx_mode & S_IFMT,
	};

	if (st->stx_mask & STATX_BTIME)
		id.btime = (u64)st->stx_btime.tv_sec * 1000000000ULL +
			   st->stx_btime.tv_nsec;
	return id;
}

static bool id_equal(const struct fs_id *a, const struct fs_id *b)
{
	return a->dev == b->dev && a->ino == b->ino &&
	       a->btime == b->btime && a->type == b->type;
}

/* On an overlay of the host a file that is written to is born again. */
static bool inode_is(const struct fs_inode *in, const struct fs_id *id)
{
	return in->id.dev == id->dev && in->id.ino == id->ino &&
	       in->id.type == id->type &&
	       (in->fd >= 0 || in->id.btime == id->btime);
}

static u32 id_hash(const struct fs_host *h, const struct fs_id *id)
{
	return (id->ino * 0x9e3779b97f4a7c15ULL + id->dev) >> 32 &
	       (h->nr_buckets - 1);
}

/* What the kernel makes up as one reads it is not shared. */
static bool is_kernels_own(int fd)
{
	static const u32 magic[] = {
		PROC_SUPER_MAGIC, SYSFS_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,
		SECURITYFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
		BPF_FS_MAGIC, PSTOREFS_MAGIC, EFIVARFS_MAGIC, SELINUX_MAGIC,
		SMACK_MAGIC, DEVPTS_SUPER_MAGIC, BINFMTFS_MAGIC, NSFS_MAGIC,
		MAGIC_CONFIGFS, MAGIC_MQUEUE,
	};
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return true;
	for (unsigned int i = 0; i < ARRAY_SIZE(magic); i++) {
		if ((u32)st.f_type == magic[i])
			return true;
	}
	return false;
}

/* The hash; all with the lock held. */

static struct fs_inode *hash_find(struct fs_host *h, const struct fs_id *id)
{
	struct fs_inode *in = h->bucket[id_hash(h, id)];

	while (in && !inode_is(in, id))
		in = in->hash_next;
	return in;
}

static void hash_put(struct fs_host *h, struct fs_inode *in)
{
	struct fs_inode **b = &h->bucket[id_hash(h, &in->id)];

	in->hash_next = *b;
	if (*b)
		(*b)->hash_link = &in->hash_next;
	in->hash_link = b;
	*b = in;
}

static void hash_grow(struct fs_host *h)
{
	struct fs_inode **old = h->bucket, *in, *next;
	u32 nr = h->nr_buckets;
	struct fs_inode **new = calloc(nr * 2, sizeof(*new));

	/* Without memory chains are long, and that is all. */
	if (!new)
		return;
	h->bucket = new;
	h->nr_buckets = nr * 2;
	for (u32 i = 0; i < nr; i++) {
		for (in = old[i]; in; in = next) {
			next = in->hash_next;
			hash_put(h, in);
		}
	}
	free(old);
}

static void hash_del(struct fs_host *h, struct fs_inode *in)
{
	if (!in->hash_link)
		return;
	*in->hash_link = in->hash_next;
	if (in->hash_next)
		in->hash_next->hash_link = in->hash_link;
	in->hash_link = NULL;
	h->nr_hashed--;
}

/* What had the number before is not looked for any more: chains stay short. */
static void hash_add(struct fs_host *h, struct fs_inode *in)
{
	struct fs_inode *was, *next;

	if (h->nr_hashed >= h->nr_buckets)
		hash_grow(h);
	for (was = h->bucket[id_hash(h, &in->id)]; was; was = next) {
		next = was->hash_next;
		if (was->id.dev == in->id.dev && was->id.ino == in->id.ino)
			hash_del(h, was);
	}
	hash_put(h, in);
	h->nr_hashed++;
}

/* Descriptors; all with the lock held. */

static void lru_add(struct fs_host *h, struct fs_inode *in)
{
	struct fs_inode *ring = in->gone ? &h->gone : &h->lru;

	h->nr_gone += in->gone;
	in->lru_prev = ring;
	in->lru_next = ring->lru_next;
	in->lru_next->lru_prev = in;
	ring->lru_next = in;
}

static void lru_del(struct fs_host *h, struct fs_inode *in)
{
	if (!in->lru_next)
		return;
	h->nr_gone -= in->gone;
	in->lru_prev->lru_next = in->lru_next;
	in->lru_next->lru_prev = in->lru_prev;
	in->lru_prev = NULL;
	in->lru_next = NULL;
}

void fs_close_later(struct fs_host *h, int fd)
{
	if (h->nr_closing < FS_CLOSING_MAX)
		h->closing[h->nr_closing++] = fd;
	else
		close(fd);
}

void fs_unlock(struct fs_host *h)
{
	unsigned int nr = h->nr_closing;
	int fd[FS_CLOSING_MAX];

	memcpy(fd, h->closing, nr * sizeof(*fd));
	h->nr_closing = 0;
	pthread_mutex_unlock(&h->lock);
	for (unsigned int i = 0; i < nr; i++)
		close(fd[i]);
}

static void fd_close(struct fs_host *h, struct fs_inode *in)
{
	if (in->fd < 0)
		return;
	lru_del(h, in);
	fs_close_later(h, in->fd);
	in->fd = -1;
	h->nr_inode_fds--;
}

/* One that can be opened again, if there is one. */
static struct fs_inode *fd_victim(struct fs_host *h)
{
	if (h->lru.lru_prev == &h->lru || h->nr_gone > h->max_inode_fds / 2)
		return h->nr_gone ? h->gone.lru_prev : NULL;
	return h->lru.lru_prev;
}

static int fd_install(struct fs_host *h, struct fs_inode *in, int fd)
{
	struct fs_inode *victim;

	if (in->fd >= 0) {
		fs_close_later(h, fd);
		return 0;
	}
	while (h->nr_inode_fds >= h->max_inode_fds) {
		victim = fd_victim(h);
		if (!victim) {
			fs_close_later(h, fd);
			return -ENFILE;
		}
		fd_close(h, victim);
	}
	in->fd = fd;
	h->nr_inode_fds++;
	if (!in->users)
		lru_add(h, in);
	return 0;
}

/* References; all with the lock held. */

/* Not by recursion: a guest decides how deep directories are. */
static void inode_put(struct fs_host *h, struct fs_inode *in)
{
	struct fs_inode *parent;

	for (; in && !--in->refs; in = parent) {
		parent = in->parent;
		fd_close(h, in);
		hash_del(h, in);
		fs_table_del(&h->nodes, in->node);
		free(in->name);
		free(in);
	}
}

void fs_hold(struct fs_host *h, struct fs_inode *in)
{
	in->refs++;
	if (!in->users++)
		lru_del(h, in);
}

void fs_drop(struct fs_host *h, struct fs_inode *in)
{
	if (!--in->users && in->fd >= 0)
		lru_add(h, in);
	inode_put(h, in);
}

struct fs_inode *fs_use(struct fs_host *h, u64 node)
{
	struct fs_inode *in;

	pthread_mutex_lock(&h->lock);
	in = fs_table_get(&h->nodes, node);
	if (in)
		fs_hold(h, in);
	fs_unlock(h);
	return in;
}

void fs_done(struct fs_host *h, struct fs_inode *in)
{
	pthread_mutex_lock(&h->lock);
	fs_drop(h, in);
	fs_unlock(h);
}

/*
 * From @dir up to what is just below @in, NULL if @dir is not below it. Return:
 * -ELOOP when that is too far to tell
 */
static int find_below(struct fs_inode *dir, const struct fs_inode *in,
		      struct fs_inode **below)
{
	u32 up = 0;

	for (; dir && dir->parent != in; dir = dir->parent) {
		if (++up > DEPTH_MAX)
			return -ELOOP;
	}
	*below = dir;
	return 0;
}

static void set_gone(struct fs_host *h, struct fs_inode *in, bool gone)
{
	bool idle = in->lru_next;

	lru_del(h, in);
	in->gone = gone;
	if (idle)
		lru_add(h, in);
}

/*
 * What is not placed, for want of memory or because it is too deep, is where it
 * was, which is then found out. Who looks up, in what is below it, a directory
 * that was moved there has seen an old place of something on the way: that one
 * has none until it is looked up again, and places never make a ring.
 */
static void set_place(struct fs_host *h, struct fs_inode *in,
		      struct fs_inode *dir, const char *name)
{
	struct fs_inode *old = in->parent, *below = NULL;
	char *copy;

	if (in == h->root || in == dir)
		return;
	set_gone(h, in, false);
	if (old == dir && in->name && !strcmp(in->name, name))
		return;
	if (old != dir && find_below(dir, in, &below))
		return;
	copy = strdup(name);
	if (!copy)
		return;
	free(in->name);
	in->name = copy;
	dir->refs++;
	in->parent = dir;
	if (old)
		inode_put(h, old);
	if (!below)
		return;
	free(below->name);
	below->name = NULL;
	below->parent = NULL;
	inode_put(h, in);
}

static struct fs_inode *inode_new(struct fs_host *h, const struct statx *st)
{
	struct fs_inode *in = calloc(1, sizeof(*in));

	if (!in)
		return NULL;
	in->fd = -1;
	in->id = id_of(st);
	in->node = fs_table_add(&h->nodes, in);
	if (!in->node) {
		free(in);
		return NULL;
	}
	hash_add(h, in);
	return in;
}

/* Whether a directory that begins a file system is one that is not shared. */
static bool entry_is_closed(const struct fs_inode *dir, const char *name,
			    const struct statx *st)
{
	bool closed;
	int fd;

	if (!dir || !S_ISDIR(st->stx_mode) || fs_dev(st) == dir->id.dev)
		return false;
	fd = fs_step(dir->fd, name, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return true;
	closed = is_kernels_own(fd);
	close(fd);
	return closed;
}

int fs_enter(struct fs_host *h, struct fs_inode *dir, const char *name,
	     const struct statx *st, struct fs_entry *e)
{
	bool closed = entry_is_closed(dir, name, st);
	struct fs_id id = id_of(st);
	struct fs_inode *in;
	int err = 0;

	pthread_mutex_lock(&h->lock);
	in = hash_find(h, &id);
	if (!in) {
		in = inode_new(h, st);
		if (in)
			in->closed = closed;
		else
			err = -ENFILE;
	}
	if (in) {
		if (in != h->root && !in->nlookup++)
			in->refs++;
		in->id.btime = id.btime;
		if (dir)
			set_place(h, in, dir, name);
		e->node = in->node;
	}
	fs_unlock(h);
	if (err)
		return err;
	e->st = *st;
	e->ino = fs_ino(h, id.dev, id.ino);
	return 0;
}

bool fs_may_prefetch(struct fs_host *h)
{
	bool room;

	pthread_mutex_lock(&h->lock);
	room = h->nodes.used < PREFETCH_MAX;
	fs_unlock(h);
	return room;
}

void fs_moved(struct fs_host *h, struct fs_inode *dir, const char *name,
	      const struct statx *st)
{
	struct fs_id id = id_of(st);
	struct fs_inode *in;

	pthread_mutex_lock(&h->lock);
	in = hash_find(h, &id);
	if (in)
		set_place(h, in, dir, name);
	fs_unlock(h);
}

int fs_again(struct fs_host *h, u64 node)
{
	struct fs_inode *in;

	pthread_mutex_lock(&h->lock);
	in = fs_table_get(&h->nodes, node);
	if (in && in != h->root && !in->nlookup++)
		in->refs++;
	fs_unlock(h);
	return in ? 0 : -ESTALE;
}

int fs_whereis(struct fs_host *h, u64 node, u64 *dir, char *name)
{
	struct fs_inode *in;
	int err = 0;

	pthread_mutex_lock(&h->lock);
	in = fs_table_get(&h->nodes, node);
	if (!in)
		err = -ESTALE;
	else if (in == h->root)
		err = -EBUSY;
	else if (!in->parent)
		err = -ENOENT;
	if (!err) {
		*dir = in->parent->node;
		memcpy(name, in->name, strlen(in->name) + 1);
	}
	fs_unlock(h);
	return err;
}

void fs_forget(struct fs_host *h, u64 node, u64 times)
{
	struct fs_inode *in;

	pthread_mutex_lock(&h->lock);
	in = fs_table_get(&h->nodes, node);
	if (in && in->nlookup) {
		in->nlookup -= MIN(times, in->nlookup);
		if (!in->nlookup)
			inode_put(h, in);
	}
	fs_unlock(h);
}

static int open_same(int dirfd, const char *name, const struct fs_id *id)
{
	int fd = fs_step(dirfd, name, O_PATH, 0), err;
	struct statx st;
	struct fs_id now;

	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? -ESTALE : fd;
	err = fs_stat_fd(fd, &st);
	now = id_of(&st);
	if (!err && !id_equal(&now, id))
		err = -ESTALE;
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* Open the topmost of @in and what is above it that is not; lock held. */
static int open_one(struct fs_host *h, struct fs_inode *in)
{
	char name[FS_NAME_MAX + 1];
	struct fs_inode *parent;
	bool closed = false;
	u32 up = 0;
	int fd;

	for (; in->parent && in->parent->fd < 0; in = in->parent) {
		if (++up > DEPTH_MAX)
			return -ESTALE;
	}
	parent = in->parent;
	if (!parent || parent->closed)
		return -ESTALE;
	memcpy(name, in->name, strlen(in->name) + 1);
	fs_hold(h, in);
	fs_hold(h, parent);
	fs_unlock(h);
	fd = open_same(parent->fd, name, &in->id);
	/* Looked at here as well: state that was restored may say anything. */
	if (fd >= 0 && S_ISDIR(in->id.type) && in->id.dev != parent->id.dev)
		closed = is_kernels_own(fd);
	pthread_mutex_lock(&h->lock);
	if (closed)
		in->closed = true;
	if (fd >= 0)
		fd = fd_install(h, in, fd);
	fs_drop(h, parent);
	fs_drop(h, in);
	return fd;
}

/* With the lock held; an inode that is in use. */
static int fd_locked(struct fs_host *h, struct fs_inode *in)
{
	u32 steps = 0;
	int err = 0;

	while (!err && in->fd < 0) {
		err = open_one(h, in);
		/* Others may close what was just opened, but not for ever. */
		if (!err && ++steps > 2 * DEPTH_MAX)
			err = -ENFILE;
	}
	return err ? err : in->fd;
}

int fs_fd(struct fs_host *h, struct fs_inode *in)
{
	int fd;

	pthread_mutex_lock(&h->lock);
	fd = fd_locked(h, in);
	fs_unlock(h);
	return fd;
}

int fs_pin(struct fs_host *h, struct fs_inode *in, int fd)
{
	char name[16];
	int path, err;

	snprintf(name, sizeof(name), "%d", fd);
	path = openat(h->proc_fd, name, O_PATH | O_CLOEXEC);
	if (path < 0)
		return -errno;
	pthread_mutex_lock(&h->lock);
	err = fd_install(h, in, path);
	fs_unlock(h);
	return err;
}

/* Whatever becomes of the name, the guest's number is good as long as it has it. */
struct fs_inode *fs_keep(struct fs_host *h, struct fs_inode *dir,
			 const char *name)
{
	int fd = fs_step(dir->fd, name, O_PATH, 0);
	struct fs_inode *in;
	struct statx st;
	struct fs_id id;

	if (fd < 0)
		return NULL;
	if (fs_stat_fd(fd, &st)) {
		close(fd);
		return NULL;
	}
	id = id_of(&st);
	pthread_mutex_lock(&h->lock);
	in = hash_find(h, &id);
	if (in) {
		fs_hold(h, in);
		fd_install(h, in, fd);
	} else {
		fs_close_later(h, fd);
	}
	fs_unlock(h);
	return in;
}

void fs_kept(struct fs_host *h, struct fs_inode *in, bool gone)
{
	if (!in)
		return;
	pthread_mutex_lock(&h->lock);
	in->gone |= gone;
	fs_drop(h, in);
	fs_unlock(h);
}

/* By its name: a file that is only looked at needs no descriptor. */
int fs_stat(struct fs_host *h, struct fs_inode *in, struct statx *st)
{
	char name[FS_NAME_MAX + 1];
	struct fs_inode *parent;
	struct fs_id now;
	int fd, err;

	pthread_mutex_lock(&h->lock);
	parent = in->parent;
	if (in->fd >= 0 || !parent) {
		fd = fd_locked(h, in);
		fs_unlock(h);
		return fd < 0 ? fd : fs_stat_fd(fd, st);
	}
	memcpy(name, in->name, strlen(in->name) + 1);
	fs_hold(h, parent);
	fd = fd_locked(h, parent);
	if (parent->closed)
		fd = -ESTALE;
	fs_unlock(h);
	err = fd < 0 ? fd : fs_stat_step(fd, name, st);
	fs_done(h, parent);
	if (err == -ENOENT || err == -ENOTDIR)
		return -ESTALE;
	if (err)
		return err;
	now = id_of(st);
	return id_equal(&now, &in->id) ? 0 : -ESTALE;
}

u64 fs_ino(struct fs_host *h, u64 dev, u64 ino)
{
	unsigned int i;

	pthread_mutex_lock(&h->lock);
	for (i = 0; i < h->nr_devices && h->device[i] != dev; i++)
		;
	if (i == h->nr_devices && i < FS_DEVICES_MAX)
		h->device[h->nr_devices++] = dev;
	fs_unlock(h);
	return ino ^ (u64)i << 56;
}

int fs_inodes_init(struct fs_host *h, int root_fd)
{
	struct statx st;
	int err = fs_stat_fd(root_fd, &st);

	if (err)
		return err;
	h->lru.lru_next = &h->lru;
	h->lru.lru_prev = &h->lru;
	h->gone.lru_next = &h->gone;
	h->gone.lru_prev = &h->gone;
	h->nr_buckets = BUCKETS_MIN;
	h->bucket = calloc(h->nr_buckets, sizeof(*h->bucket));
	if (!h->bucket)
		return -ENOMEM;
	if (is_kernels_own(root_fd))
		return -EINVAL;
	h->root = inode_new(h, &st);
	if (!h->root)
		return -ENOMEM;
	/* In use for good, and never forgotten. */
	h->root->refs = 1;
	h->root->users = 1;
	h->root->fd = root_fd;
	h->nr_inode_fds = 1;
	fs_ino(h, h->root->id.dev, 0);
	return 0;
}

void fs_inodes_forget_all(struct fs_host *h)
{
	struct fs_inode *in;

	pthread_mutex_lock(&h->lock);
	for (u32 i = 0; i < h->nodes.nr; i++) {
		in = h->nodes.slot[i].object;
		if (!in || !in->nlookup)
			continue;
		in->nlookup = 0;
		inode_put(h, in);
	}
	fs_unlock(h);
}

/* Whoever still refers to whom, none of them is left. */
void fs_inodes_free(struct fs_host *h)
{
	for (u32 i = 0; i < h->nodes.nr; i++) {
		struct fs_inode *in = h->nodes.slot[i].object;

		if (!in)
			continue;
		if (in->fd >= 0)
			close(in->fd);
		free(in->name);
		free(in);
	}
	fs_table_free(&h->nodes);
	free(h->bucket);
}

static void inode_save(const struct fs_inode *in, struct state_out *out)
{
	size_t len = in->name ? strlen(in->name) : 0;

	state_put_u64(out, in->node);
	state_put_u64(out, in->nlookup);
	state_put_u64(out, in->parent ? in->parent->node : 0);
	state_put_u64(out, in->id.dev);
	state_put_u64(out, in->id.ino);
	state_put_u64(out, in->id.btime);
	state_put_u16(out, in->id.type);
	state_put_u8(out, (in->closed ? STATE_CLOSED : 0) |
			  (in->hash_link ? 0 : STATE_UNHASHED));
	state_put_u8(out, len);
	state_put(out, in->name, len);
}

/* The root is what the share is opened with, and is not saved. */
void fs_inodes_save(struct fs_host *h, struct state_out *out)
{
	pthread_mutex_lock(&h->lock);
	state_put_u32(out, INODES_STATE_VERSION);
	state_put_u32(out, h->nodes.generation);
	state_put_u32(out, h->nodes.used - 1);
	for (u32 i = 1; i < h->nodes.nr; i++) {
		if (h->nodes.slot[i].object)
			inode_save(h->nodes.slot[i].object, out);
	}
	fs_unlock(h);
}

/*
 * Parents may come behind their children: @parent is where they are noted, in
 * the order of slots, of which @last was the one before.
 */
static int inode_restore(struct fs_host *h, struct state_in *in, u64 *parent,
			 u32 *last)
{
	struct fs_inode *n = calloc(1, sizeof(*n));
	u8 flags, len;
	int err;

	if (!n)
		return -ENOMEM;
	n->fd = -1;
	n->node = state_get_u64(in);
	n->nlookup = state_get_u64(in);
	*parent = state_get_u64(in);
	n->id.dev = state_get_u64(in);
	n->id.ino = state_get_u64(in);
	n->id.btime = state_get_u64(in);
	n->id.type = state_get_u16(in);
	flags = state_get_u8(in);
	len = state_get_u8(in);
	n->closed = flags & STATE_CLOSED;
	n->refs = !!n->nlookup;
	n->name = len ? calloc(1, len + 1) : NULL;
	if (n->name)
		state_get(in, n->name, len);
	err = in->err || flags > (STATE_CLOSED | STATE_UNHASHED) || !len != !n->name ||
	      !len != !*parent || (len && fs_name_check(n->name)) ||
	      (u32)n->node <= *last ?
	      -EPROTO : fs_table_put(&h->nodes, n->node, n);
	if (err) {
		free(n->name);
		free(n);
		return err;
	}
	*last = n->node;
	if (!(flags & STATE_UNHASHED))
		hash_add(h, n);
	return 0;
}

static int inodes_link(struct fs_host *h, const u64 *parent)
{
	for (u32 i = 1, k = 0; i < h->nodes.nr; i++) {
		struct fs_inode *n = h->nodes.slot[i].object;
		struct fs_inode *p;

		if (!n)
			continue;
		p = parent[k] ? fs_table_get(&h->nodes, parent[k]) : NULL;
		if (parent[k++] && !p)
			return -EPROTO;
		n->parent = p;
		if (p)
			p->refs++;
	}
	return 0;
}

/*
 * That nobody would ever forget it, or a ring of parents: no state of ours.
 * @ends: by slot, what is known to be in no ring
 */
static bool inode_has_reason(const struct fs_host *h, const struct fs_inode *n,
			     bool *ends)
{
	const struct fs_inode *p;
	u32 up = 0;

	for (p = n; p && !ends[(u32)p->node - 1]; p = p->parent) {
		if (++up > h->nodes.used)
			return false;
	}
	for (p = n; p && !ends[(u32)p->node - 1]; p = p->parent)
		ends[(u32)p->node - 1] = true;
	return n->refs;
}

bool fs_inodes_sane(struct fs_host *h)
{
	bool *ends, sane;

	pthread_mutex_lock(&h->lock);
	ends = calloc(h->nodes.nr, sizeof(*ends));
	sane = ends;
	for (u32 i = 0; i < h->nodes.nr && sane; i++) {
		if (h->nodes.slot[i].object)
			sane = inode_has_reason(h, h->nodes.slot[i].object,
						ends);
	}
	fs_unlock(h);
	free(ends);
	return sane;
}

void fs_inodes_drop(struct fs_host *h)
{
	pthread_mutex_lock(&h->lock);
	for (u32 i = 1; i < h->nodes.nr; i++) {
		struct fs_inode *n = h->nodes.slot[i].object;

		if (!n)
			continue;
		fd_close(h, n);
		hash_del(h, n);
		free(n->name);
		free(n);
		h->nodes.slot[i].object = NULL;
	}
	h->nodes.used = 1;
	h->root->refs = 1;
	fs_table_settle(&h->nodes, h->nodes.generation);
	fs_unlock(h);
}

int fs_inodes_restore(struct fs_host *h, struct state_in *in)
{
	u32 generation, nr, last = (u32)h->root->node;
	u64 *parent;
	int err = 0;

	state_get_version(in, INODES_STATE_VERSION);
	generation = state_get_u32(in);
	nr = state_get_u32(in);
	if (in->err || nr > (in->len - in->pos) / 40)
		return -EPROTO;
	parent = calloc(nr + 1, sizeof(*parent));
	if (!parent)
		return -ENOMEM;
	pthread_mutex_lock(&h->lock);
	for (u32 i = 0; i < nr && !err; i++)
		err = inode_restore(h, in, &parent[i], &last);
	if (!err)
		err = inodes_link(h, parent);
	fs_table_settle(&h->nodes, generation);
	fs_unlock(h);
	free(parent);
	return err;
}
