// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The files of a share that somebody has a number for. A file is known by
 * device and inode number and, while no descriptor keeps that number from being
 * used again, by its time of birth; a server that uses it all the same says that the
 * descriptor is stale. On an overlay a file is born again when it is copied up, which
 * happens to it once: who was born after the share was opened is not any more.
 * It is found by where it was seen last, its
 * directory and its name there (fs/step.c says why nothing outside of the share is),
 * and O_PATH descriptors are opened when they are needed and kept while there is
 * room. So a share takes a bounded number of
 * descriptors whatever the guest looks at, needs no right to open files by
 * handles, and most files of a directory that is listed never get one at all.
 * What is opened again is checked to be the same file; one that the host moved
 * or removed meanwhile is -ESTALE, for which a guest looks the name up again.
 * Files in use, among them all that are open, keep their descriptor: they can
 * lose every name and are still there. So can those whose name the guest takes
 * away while it has a number for them: they get a descriptor first, which is kept
 * as long as such ones have no more than half of what there may be.
 *
 * Threads: any. The lock guards table, hash, LRU and all inodes, and is dropped
 * for system calls that look at a disk. An inode that was made for a child
 * stays as long as the child does, so that a path can be walked from the root.
 *
 * Not supported: finding a file that the host moved without being told, but for
 * a new look-up. A directory that is mounted at several places has one number, and is
 * where it was seen last: mounts have numbers as well, but other ones wherever what was
 * saved is restored.
 *
 * What a guest can take: 4M numbers a share at most, of 64 bytes and 4 of the hash
 * each, and a name if it is a long one (fs/pool.c); directories up to DEPTH_MAX deep have a place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fs/inode.h"
#include "fs/step.h"

#define BUCKETS_MIN 256U
#define PREFETCH_MAX 6144U
/* Deeper than any path a program can name, and soon walked. */
#define DEPTH_MAX 4096U

/* The lock is taken. Who shares no number with another file system has none. */
u16 fs_device_index(struct fs_host *h, u64 dev)
{
	unsigned int i;
	u64 *more;

	for (i = 0; i < h->nr_devices; i++) {
		if (h->device[i] == dev)
			return i;
	}
	if (i == FS_NO_DEVICE)
		return i;
	more = realloc(h->device, (i + 1) * sizeof(*more));
	if (!more)
		return FS_NO_DEVICE;
	h->device = more;
	more[h->nr_devices++] = dev;
	return i;
}

/* The lock is taken. */
static struct fs_id id_of(struct fs_host *h, const struct statx *st)
{
	struct fs_id id = {
		.ino = st->stx_ino, .type = (st->stx_mode & S_IFMT) >> 12,
	};

	if (st->stx_mask & STATX_BTIME)
		id.btime = (u64)st->stx_btime.tv_sec * 1000000000ULL +
			   st->stx_btime.tv_nsec;
	id.dev = fs_device_index(h, (u64)st->stx_dev_major << 32 |
				 st->stx_dev_minor);
	return id;
}

/* What was born before the share was opened may have been copied up since then. */
static bool inode_is(const struct fs_host *h, const struct fs_inode *in,
		     const struct fs_id *id)
{
	if (in->dev != id->dev || in->ino != id->ino || in->type != id->type)
		return false;
	return in->path || in->btime == id->btime ||
	       (in->overlay && in->btime < h->since);
}

/* @st is of what is where @in was seen last. Takes the lock. */
static int check_same(struct fs_host *h, struct fs_inode *in, const struct statx *st)
{
	struct fs_id now;
	bool same;

	pthread_mutex_lock(&h->lock);
	now = id_of(h, st);
	same = inode_is(h, in, &now);
	if (same)
		in->btime = now.btime;
	fs_unlock(h);
	return same ? 0 : -ESTALE;
}

struct fs_inode *fs_parent(const struct fs_host *h, const struct fs_inode *in)
{
	return fs_pool_at(&h->nodes, in->parent);
}

u32 fs_type(const struct fs_inode *in)
{
	return (u32)in->type << 12;
}

int fs_path_fd(const struct fs_host *h, const struct fs_inode *in)
{
	return in->path ? h->path[in->path].fd : -1;
}

/* The hash; all with the lock held. */

static u32 *bucket_of(const struct fs_host *h, u16 dev, u64 ino)
{
	return &h->bucket[(ino * 0x9e3779b97f4a7c15ULL + dev) >> 32 &
			  (h->nr_buckets - 1)];
}

static struct fs_inode *hash_find(struct fs_host *h, const struct fs_id *id)
{
	u32 i = *bucket_of(h, id->dev, id->ino);
	struct fs_inode *in;

	while ((in = fs_pool_at(&h->nodes, i)) && !inode_is(h, in, id))
		i = in->hash_next;
	return in;
}

static void hash_put(struct fs_host *h, struct fs_inode *in)
{
	u32 *b = bucket_of(h, in->dev, in->ino);

	in->hash_next = *b;
	in->hash_prev = 0;
	*b = fs_pool_index(in);
	if (in->hash_next)
		fs_pool_at(&h->nodes, in->hash_next)->hash_prev = *b;
}

static void hash_grow(struct fs_host *h)
{
	u32 nr = h->nr_buckets * 2, i = 0;
	u32 *new = calloc(nr, sizeof(*new));
	struct fs_inode *in;

	/* Without memory chains are long, and that is all. */
	if (!new)
		return;
	free(h->bucket);
	h->bucket = new;
	h->nr_buckets = nr;
	while ((in = fs_pool_next(&h->nodes, &i))) {
		if (in->hashed)
			hash_put(h, in);
	}
}

static void hash_del(struct fs_host *h, struct fs_inode *in)
{
	if (!in->hashed)
		return;
	if (in->hash_prev)
		fs_pool_at(&h->nodes, in->hash_prev)->hash_next = in->hash_next;
	else
		*bucket_of(h, in->dev, in->ino) = in->hash_next;
	if (in->hash_next)
		fs_pool_at(&h->nodes, in->hash_next)->hash_prev = in->hash_prev;
	in->hashed = false;
	h->nr_hashed--;
}

/* What had the number before is not looked for any more: chains stay short. */
void fs_hash_add(struct fs_host *h, struct fs_inode *in)
{
	struct fs_inode *was;
	u32 i;

	if (h->nr_hashed >= 2 * h->nr_buckets)
		hash_grow(h);
	for (i = *bucket_of(h, in->dev, in->ino); i; i = was->hash_next) {
		was = fs_pool_at(&h->nodes, i);
		if (was->dev == in->dev && was->ino == in->ino)
			hash_del(h, was);
	}
	hash_put(h, in);
	in->hashed = true;
	h->nr_hashed++;
}

/* Descriptors; all with the lock held. */

static void lru_add(struct fs_host *h, const struct fs_inode *in)
{
	u16 ring = in->gone ? FS_PATH_GONE : FS_PATH_LRU, i = in->path;
	struct fs_path *p = h->path;

	h->nr_gone += in->gone;
	p[i].prev = ring;
	p[i].next = p[ring].next;
	p[p[i].next].prev = i;
	p[ring].next = i;
}

static void lru_del(struct fs_host *h, const struct fs_inode *in)
{
	struct fs_path *p = h->path;
	u16 i = in->path;

	if (!i || p[i].next == i)
		return;
	h->nr_gone -= in->gone;
	p[p[i].prev].next = p[i].next;
	p[p[i].next].prev = p[i].prev;
	p[i].next = i;
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
	struct fs_path *p = &h->path[in->path];

	if (!in->path)
		return;
	lru_del(h, in);
	fs_close_later(h, p->fd);
	p->next = h->path_free;
	h->path_free = in->path;
	in->path = 0;
	h->nr_inode_fds--;
}

/* One that can be opened again, if there is one. */
static u16 fd_victim(const struct fs_host *h)
{
	u16 i = h->path[FS_PATH_LRU].prev;

	if (i == FS_PATH_LRU || h->nr_gone > h->max_inode_fds / 2)
		return h->nr_gone ? h->path[FS_PATH_GONE].prev : 0;
	return i;
}

static void fd_put(struct fs_host *h, struct fs_inode *in, int fd)
{
	u16 i = h->path_free;

	if (i)
		h->path_free = h->path[i].next;
	else
		i = h->nr_paths++;
	h->path[i] = (struct fs_path){
		.fd = fd, .inode = fs_pool_index(in), .next = i,
	};
	in->path = i;
	h->nr_inode_fds++;
}

static int fd_install(struct fs_host *h, struct fs_inode *in, int fd)
{
	u16 victim;

	if (in->path) {
		fs_close_later(h, fd);
		return 0;
	}
	while (h->nr_inode_fds >= h->max_inode_fds) {
		victim = fd_victim(h);
		if (!victim) {
			fs_close_later(h, fd);
			return -ENFILE;
		}
		fd_close(h, fs_pool_at(&h->nodes, h->path[victim].inode));
	}
	fd_put(h, in, fd);
	if (!in->users)
		lru_add(h, in);
	return 0;
}

/* References; all with the lock held. */

const char *fs_inode_name(const struct fs_inode *in)
{
	return in->far ? in->name.far : in->name.near;
}

static void name_free(struct fs_inode *in)
{
	if (in->far)
		free(in->name.far);
	in->far = false;
}

bool fs_name_set(struct fs_inode *in, const char *name)
{
	size_t size = strlen(name) + 1;
	char *far = NULL;

	if (size > sizeof(in->name.near)) {
		far = strdup(name);
		if (!far)
			return false;
	}
	name_free(in);
	in->far = !!far;
	if (far)
		in->name.far = far;
	else
		memcpy(in->name.near, name, size);
	return true;
}

/* Not by recursion: a guest decides how deep directories are. */
static void inode_put(struct fs_host *h, struct fs_inode *in)
{
	struct fs_inode *parent;

	for (; in && !--in->refs; in = parent) {
		parent = fs_parent(h, in);
		fd_close(h, in);
		hash_del(h, in);
		name_free(in);
		fs_pool_del(&h->nodes, in);
	}
}

/*
 * Count one more look-up. A counter that is full stays full: such an inode is only
 * forgotten with all others.
 */
static void inode_give(struct fs_host *h, struct fs_inode *in)
{
	if (in == h->root || in->nlookup == UINT32_MAX)
		return;
	if (!in->nlookup++)
		in->refs++;
}

static void inode_forget(struct fs_host *h, struct fs_inode *in, u64 times)
{
	if (!in->nlookup || (in->nlookup == UINT32_MAX && times != UINT64_MAX))
		return;
	in->nlookup -= MIN(times, in->nlookup);
	if (!in->nlookup)
		inode_put(h, in);
}

void fs_hold(struct fs_host *h, struct fs_inode *in)
{
	in->refs++;
	if (!in->users++)
		lru_del(h, in);
}

void fs_drop(struct fs_host *h, struct fs_inode *in)
{
	if (!--in->users && in->path)
		lru_add(h, in);
	inode_put(h, in);
}

struct fs_inode *fs_use(struct fs_host *h, u64 node)
{
	struct fs_inode *in;

	pthread_mutex_lock(&h->lock);
	in = fs_pool_get(&h->nodes, node);
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
static int find_below(struct fs_host *h, struct fs_inode *dir,
		      const struct fs_inode *in, struct fs_inode **below)
{
	u32 i = fs_pool_index(in), up = 0;

	for (; dir && dir->parent != i; dir = fs_parent(h, dir)) {
		if (++up > DEPTH_MAX)
			return -ELOOP;
	}
	*below = dir;
	return 0;
}

static bool is_at(const struct fs_inode *in, const struct fs_inode *dir, const char *name)
{
	return in->parent == fs_pool_index(dir) && !strcmp(fs_inode_name(in), name);
}

static void set_gone(struct fs_host *h, struct fs_inode *in, bool gone)
{
	lru_del(h, in);
	in->gone = gone;
	if (in->path && !in->users)
		lru_add(h, in);
}

/*
 * Without memory for the name, or if the chain of parents is too deep to check, the
 * recorded place stays; it is found wrong when it is used. If @dir is below @in, the
 * host moved directories since their places were recorded: the place just below @in
 * is cleared, so that parent links never form a cycle.
 */
static void set_place(struct fs_host *h, struct fs_inode *in,
		      struct fs_inode *dir, const char *name)
{
	struct fs_inode *old = fs_parent(h, in), *below = NULL;

	if (in == h->root || in == dir)
		return;
	if (in->gone)
		set_gone(h, in, false);
	if (is_at(in, dir, name))
		return;
	if (old != dir && find_below(h, dir, in, &below))
		return;
	if (!fs_name_set(in, name))
		return;
	dir->refs++;
	in->parent = fs_pool_index(dir);
	if (old)
		inode_put(h, old);
	if (!below)
		return;
	name_free(below);
	below->parent = 0;
	inode_put(h, in);
}

static struct fs_inode *inode_new(struct fs_host *h, const struct fs_id *id, u8 fs)
{
	struct fs_inode *in = id->dev == FS_NO_DEVICE ? NULL :
			      fs_pool_add(&h->nodes);

	if (!in)
		return NULL;
	in->ino = id->ino;
	in->btime = id->btime;
	in->dev = id->dev;
	in->type = id->type;
	in->closed = !!(fs & FS_KIND_CLOSED);
	in->overlay = !!(fs & FS_KIND_OVERLAY);
	fs_hash_add(h, in);
	return in;
}

/*
 * fs_kind_of() of a directory, which may begin one, or of what is in @dir. On an overlay
 * files may have another device than directories.
 */
static u8 entry_file_system(const struct fs_host *h, const struct fs_inode *dir,
			    const char *name, const struct fs_id *id)
{
	u8 fs;
	int fd;

	if (!dir)
		return 0;
	if (id->dev == dir->dev || id->type != S_IFDIR >> 12)
		return dir->overlay ? FS_KIND_OVERLAY : 0;
	fd = fs_step(fs_path_fd(h, dir), name, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return FS_KIND_CLOSED;
	fs = fs_kind_of(fd);
	close(fd);
	return fs;
}

int fs_enter(struct fs_host *h, struct fs_inode *dir, const char *name,
	     const struct statx *st, struct fs_entry *e)
{
	struct fs_inode *in;
	struct fs_id id;
	int err = 0;
	u8 fs;

	pthread_mutex_lock(&h->lock);
	id = id_of(h, st);
	fs_unlock(h);
	fs = entry_file_system(h, dir, name, &id);
	pthread_mutex_lock(&h->lock);
	in = hash_find(h, &id);
	if (!in) {
		in = inode_new(h, &id, fs);
		if (!in)
			err = -ENFILE;
	}
	if (in) {
		inode_give(h, in);
		in->btime = id.btime;
		if (dir)
			set_place(h, in, dir, name);
		e->node = fs_pool_number(in);
		e->ino = fs_ino(in, id.ino);
	}
	fs_unlock(h);
	if (!err)
		e->st = *st;
	return err;
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
	struct fs_inode *in;
	struct fs_id id;

	pthread_mutex_lock(&h->lock);
	id = id_of(h, st);
	in = hash_find(h, &id);
	if (in)
		set_place(h, in, dir, name);
	fs_unlock(h);
}

int fs_again(struct fs_host *h, u64 node)
{
	struct fs_inode *in;

	pthread_mutex_lock(&h->lock);
	in = fs_pool_get(&h->nodes, node);
	if (in)
		inode_give(h, in);
	fs_unlock(h);
	return in ? 0 : -ESTALE;
}

int fs_whereis(struct fs_host *h, u64 node, u64 *dir, char *name)
{
	struct fs_inode *in;
	int err = 0;

	pthread_mutex_lock(&h->lock);
	in = fs_pool_get(&h->nodes, node);
	if (!in)
		err = -ESTALE;
	else if (in == h->root)
		err = -EBUSY;
	else if (!in->parent)
		err = -ENOENT;
	if (!err) {
		*dir = fs_pool_number(fs_parent(h, in));
		memcpy(name, fs_inode_name(in), strlen(fs_inode_name(in)) + 1);
	}
	fs_unlock(h);
	return err;
}

void fs_forget(struct fs_host *h, u64 node, u64 times)
{
	struct fs_inode *in;

	pthread_mutex_lock(&h->lock);
	in = fs_pool_get(&h->nodes, node);
	if (in)
		inode_forget(h, in, MIN(times, UINT32_MAX));
	fs_unlock(h);
}

static int open_same(struct fs_host *h, int dirfd, const char *name,
		     struct fs_inode *in)
{
	int fd = fs_step(dirfd, name, O_PATH, 0), err;
	struct statx st;

	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? -ESTALE : fd;
	err = fs_stat_fd(fd, &st);
	if (!err)
		err = check_same(h, in, &st);
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

	while ((parent = fs_parent(h, in)) && !parent->path) {
		in = parent;
		if (++up > DEPTH_MAX)
			return -ESTALE;
	}
	if (!parent || parent->closed)
		return -ESTALE;
	memcpy(name, fs_inode_name(in), strlen(fs_inode_name(in)) + 1);
	fs_hold(h, in);
	fs_hold(h, parent);
	fs_unlock(h);
	fd = open_same(h, fs_path_fd(h, parent), name, in);
	/* Looked at here as well: state that was restored may say anything. */
	if (fd >= 0 && S_ISDIR(fs_type(in)) && in->dev != parent->dev)
		closed = fs_kind_of(fd) == FS_KIND_CLOSED;
	pthread_mutex_lock(&h->lock);
	/* Once: when another thread has got the descriptor it is read without the lock. */
	if (closed && !in->closed)
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

	while (!err && !in->path) {
		err = open_one(h, in);
		/* Others may close what was just opened, but not for ever. */
		if (!err && ++steps > 2 * DEPTH_MAX)
			err = -ENFILE;
	}
	return err ? err : fs_path_fd(h, in);
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
	int fd = fs_step(fs_path_fd(h, dir), name, O_PATH, 0);
	struct fs_inode *in;
	struct statx st;
	struct fs_id id;

	if (fd < 0)
		return NULL;
	if (fs_stat_fd(fd, &st)) {
		close(fd);
		return NULL;
	}
	pthread_mutex_lock(&h->lock);
	id = id_of(h, &st);
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

void fs_kept(struct fs_host *h, struct fs_inode *in, const struct fs_inode *dir,
	     const char *name)
{
	if (!in)
		return;
	pthread_mutex_lock(&h->lock);
	if (dir && (!in->parent || is_at(in, dir, name)))
		in->gone = true;
	fs_drop(h, in);
	fs_unlock(h);
}

int fs_stale(struct fs_host *h, struct fs_inode *in, int ret)
{
	if (ret == -ESTALE) {
		pthread_mutex_lock(&h->lock);
		hash_del(h, in);
		fs_unlock(h);
	}
	return ret;
}

/* By its name: a file that is only looked at needs no descriptor. */
int fs_stat(struct fs_host *h, struct fs_inode *in, struct statx *st)
{
	char name[FS_NAME_MAX + 1];
	struct fs_inode *parent;
	int fd, err;

	pthread_mutex_lock(&h->lock);
	parent = fs_parent(h, in);
	if (in->path || !parent) {
		fd = fd_locked(h, in);
		fs_unlock(h);
		return fd < 0 ? fd : fs_stale(h, in, fs_stat_fd(fd, st));
	}
	memcpy(name, fs_inode_name(in), strlen(fs_inode_name(in)) + 1);
	fs_hold(h, parent);
	fd = fd_locked(h, parent);
	if (parent->closed)
		fd = -ESTALE;
	fs_unlock(h);
	err = fd < 0 ? fd : fs_stat_step(fd, name, st);
	fs_done(h, parent);
	if (err == -ENOENT || err == -ENOTDIR)
		return -ESTALE;
	return err ? err : check_same(h, in, st);
}

u64 fs_ino(const struct fs_inode *in, u64 ino)
{
	return ino ^ (u64)MIN(in->dev, 255) << 56;
}

int fs_inodes_init(struct fs_host *h, int root_fd)
{
	struct timespec now;
	struct fs_id id;
	struct statx st;
	int err = fs_stat_fd(root_fd, &st);
	u8 fs;

	if (err)
		return err;
	clock_gettime(CLOCK_REALTIME, &now);
	h->since = (u64)now.tv_sec * 1000000000ULL + now.tv_nsec;
	h->nr_buckets = BUCKETS_MIN;
	h->bucket = calloc(h->nr_buckets, sizeof(*h->bucket));
	h->path = calloc(h->max_inode_fds + FS_PATHS, sizeof(*h->path));
	if (!h->bucket || !h->path)
		return -ENOMEM;
	h->path[FS_PATH_GONE].next = FS_PATH_GONE;
	h->path[FS_PATH_GONE].prev = FS_PATH_GONE;
	h->nr_paths = FS_PATHS;
	fs = fs_kind_of(root_fd);
	if (fs == FS_KIND_CLOSED)
		return -EINVAL;
	id = id_of(h, &st);
	h->root = inode_new(h, &id, fs);
	if (!h->root)
		return -ENOMEM;
	/* In use for good, and never forgotten. */
	h->root->refs = 1;
	h->root->users = 1;
	fd_put(h, h->root, root_fd);
	return 0;
}

void fs_inodes_forget_all(struct fs_host *h)
{
	struct fs_inode *in;
	u32 i = 0;

	pthread_mutex_lock(&h->lock);
	while ((in = fs_pool_next(&h->nodes, &i)))
		inode_forget(h, in, UINT64_MAX);
	fs_unlock(h);
}

void fs_inodes_drop(struct fs_host *h)
{
	struct fs_inode *in;
	u32 i = 1;

	pthread_mutex_lock(&h->lock);
	while ((in = fs_pool_next(&h->nodes, &i))) {
		fd_close(h, in);
		hash_del(h, in);
		name_free(in);
		fs_pool_del(&h->nodes, in);
	}
	h->root->refs = 1;
	fs_pool_settle(&h->nodes, h->nodes.generation);
	fs_unlock(h);
}

/* Whoever still refers to whom, none of them is left. */
void fs_inodes_free(struct fs_host *h)
{
	struct fs_inode *in;
	u32 i = 0;

	while ((in = fs_pool_next(&h->nodes, &i))) {
		if (in->path)
			close(fs_path_fd(h, in));
		name_free(in);
	}
	fs_pool_free(&h->nodes);
	free(h->bucket);
	free(h->path);
	free(h->device);
}
