/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What fs/ knows of a share: inode.c keeps it, inode-state.c saves it, host.c and
 * file.c work with it. Nobody else includes this.
 */
#ifndef FS__INODE_H
#define FS__INODE_H

#include <dirent.h>
#include <pthread.h>
#include "kvm/fs.h"

#define FS_CLOSING_MAX 64

/**
 * struct fs_table - objects by numbers that are not used again soon
 * @nr: slots that were ever used, @used: those that are now
 * @free: one plus the first slot to use again, 0 for none
 * @generation: upper half of the number to come
 */
struct fs_table {
	struct fs_slot *slot;
	u32 nr;
	u32 capacity;
	u32 free;
	u32 used;
	u32 generation;
};

struct fs_slot {
	void *object;
	u32 generation;
	u32 next;
};

/**
 * struct fs_id - what makes a file itself
 * @btime: in ns, 0 if not known
 * @dev: place in fs_host.device, FS_NO_DEVICE if there is no room there
 * @type: S_IFMT of its mode >> 12; what has the same number and another type is what
 *	came after it
 */
struct fs_id {
	u64 ino;
	u64 btime;
	u16 dev;
	u8 type;
};

#define FS_NO_DEVICE 0xffff

/**
 * struct fs_inode - a file that somebody has a number for
 * @ino: as in struct fs_id
 * @btime: as in struct fs_id
 * @dev: as in struct fs_id
 * @type: as in struct fs_id
 * @hash_next: in the hash, while @hashed; of a free place the next one
 * @hash_prev: in the hash, while @hashed
 * @parent: where it was seen last, 0 for the root, and for what never had a name
 * @nlookup: how often the number was given out; at UINT32_MAX it is not counted any more
 * @refs: why this exists: children, users, and one for all of @nlookup
 * @users: the descriptor, if it is open, stays open
 * @path: its descriptor among fs_host.path, 0 for none
 * @closed: a directory of a file system that is not shared
 * @overlay: of an overlay: copied up, it has another @btime
 * @live: the place is taken
 * @gone: the guest took the name away that it was seen by last: @path is all there is
 * @watched: it is told when a name comes or goes
 * @far: @name is elsewhere
 * @name: in @parent
 */
struct fs_inode {
	u64 ino;
	u64 btime;
	u32 hash_next;
	u32 hash_prev;
	u32 parent;
	u32 generation;
	u32 nlookup;
	u32 refs;
	u16 users;
	u16 path;
	u16 dev;
	u8 type : 4, closed : 1, overlay : 1;
	/* Who uses an inode reads those without the lock; these change under it. */
	u8: 0;
	u8 live : 1, hashed : 1, gone : 1, watched : 1, far : 1;
	union {
		char near[16];
		char *far;
	} name;
};

/**
 * struct fs_pool - inodes, by index
 * @nr: indices that were ever used, @used: inodes there are
 * @free: the first that is free, 0 for none
 * @generation: upper half of the number to come
 */
struct fs_pool {
	struct fs_inode **chunk;
	u32 nr;
	u32 free;
	u32 used;
	u32 generation;
};

/**
 * struct fs_path - a descriptor of an inode
 * @fd: O_PATH
 * @inode: whose
 * @next: among those that may be closed, or itself
 * @prev: likewise
 */
struct fs_path {
	int fd;
	u32 inode;
	u16 next;
	u16 prev;
};

/* The rings of struct fs_path: what can be opened again, and what is gone */
enum { FS_PATH_LRU, FS_PATH_GONE, FS_PATHS };

/**
 * struct fs_file - an open file
 * @node: uses it
 * @users: those inside, and one for the number
 * @lock: guards @buf, @len, @pos, @next: entries read ahead of a directory
 */
struct fs_file {
	struct fs_inode *node;
	u64 number;
	u32 users;
	u32 flags;
	int fd;
	pthread_mutex_t lock;
	u8 *buf;
	u32 len;
	u32 pos;
	u64 next;
};

/**
 * struct fs_host - a share
 * @lock: guards all below it, and every inode; never held over I/O that can
 *	wait for anything but memory
 * @since: when it was opened, as @btime of inodes
 * @path: descriptors, from FS_PATHS on; in front of these the rings of those that
 *	may be closed, the last used first
 * @path_free: one that is free, or 0
 * @last_watch: the highest number of one, @nr_watches: how many there were, of
 *	directories that the guest may know no more as well
 * @watch_failed: it was said that one did
 * @nr_gone: of those that are gone, which are closed first only where there are many
 * @closing: descriptors that fs_unlock() closes: the last one of a file that has
 *	no name frees it, which takes as long as the disk likes
 */
struct fs_host {
	bool readonly;
	bool as_caller;
	int proc_fd;
	bool watch_failed;
	int edits_fd;
	const unsigned int *edits_ended;
	int last_watch;
	unsigned int nr_watches;
	const struct vm_log *log;
	u64 since;
	unsigned int max_inode_fds;
	unsigned int max_files;
	pthread_mutex_t lock;
	struct fs_pool nodes;
	struct fs_table files;
	u32 *bucket;
	u32 nr_buckets;
	u32 nr_hashed;
	struct fs_path *path;
	u16 nr_paths;
	u16 path_free;
	unsigned int nr_gone;
	unsigned int nr_inode_fds;
	int closing[FS_CLOSING_MAX];
	unsigned int nr_closing;
	u64 *device;
	unsigned int nr_devices;
	struct fs_inode *root;
};

/** fs_table_add() - Return: a number, never 0; 0 when there is no room */
u64 fs_table_add(struct fs_table *t, void *object);
/** fs_table_put() - at this very number; fs_table_settle() follows the last */
int fs_table_put(struct fs_table *t, u64 number, void *object);
void fs_table_settle(struct fs_table *t, u32 generation);
/** fs_table_get() - Return: NULL for a number that is not in use */
void *fs_table_get(const struct fs_table *t, u64 number);
void fs_table_del(struct fs_table *t, u64 number);
void fs_table_free(struct fs_table *t);

/** fs_pool_at() - of an index that is below @p->nr; NULL of 0 */
struct fs_inode *fs_pool_at(const struct fs_pool *p, u32 i);
u32 fs_pool_index(const struct fs_inode *in);
/** fs_pool_number() - 0 of NULL */
u64 fs_pool_number(const struct fs_inode *in);
/** fs_pool_add() - all zero but its number; NULL when there is no room */
struct fs_inode *fs_pool_add(struct fs_pool *p);
/** fs_pool_put() - with this very number; fs_pool_settle() follows the last */
int fs_pool_put(struct fs_pool *p, u64 number, struct fs_inode **out);
void fs_pool_settle(struct fs_pool *p, u32 generation);
/** fs_pool_next() - the next one behind *@i, NULL at the end */
struct fs_inode *fs_pool_next(const struct fs_pool *p, u32 *i);
/** fs_pool_get() - Return: NULL for a number that is not in use */
struct fs_inode *fs_pool_get(const struct fs_pool *p, u64 number);
void fs_pool_del(struct fs_pool *p, struct fs_inode *in);
void fs_pool_free(struct fs_pool *p);

/** fs_unlock() - h->lock, which whoever has closed something gives back so */
void fs_unlock(struct fs_host *h);
/** fs_close_later() - with h->lock held: @fd is closed when it is not any more */
void fs_close_later(struct fs_host *h, int fd);

/* For inode-state.c, with h->lock held */

/** fs_device_index() - Return: place in h->device; FS_NO_DEVICE when there is none left */
u16 fs_device_index(struct fs_host *h, u64 dev);
/** fs_parent() - where it was seen last; NULL if nowhere, and of the root */
struct fs_inode *fs_parent(const struct fs_host *h, const struct fs_inode *in);
/** fs_inode_name() - its name there */
const char *fs_inode_name(const struct fs_inode *in);
/** fs_name_set() - Return: false without memory, and it keeps the one it has */
bool fs_name_set(struct fs_inode *in, const char *name);
/** fs_hash_add() - it is found by device and inode number from here on */
void fs_hash_add(struct fs_host *h, struct fs_inode *in);

/* All below take h->lock unless they say that it is held. */

int fs_inodes_init(struct fs_host *h, int root_fd);
void fs_inodes_free(struct fs_host *h);
/** fs_use() - the inode of a number, until fs_done(); NULL if there is none */
struct fs_inode *fs_use(struct fs_host *h, u64 node);
void fs_done(struct fs_host *h, struct fs_inode *in);
/** fs_hold(), fs_drop() - the same, with h->lock held */
void fs_hold(struct fs_host *h, struct fs_inode *in);
void fs_drop(struct fs_host *h, struct fs_inode *in);
/** fs_fd() - a descriptor of an inode in use, valid until fs_done() */
int fs_fd(struct fs_host *h, struct fs_inode *in);
/** fs_pin() - @in is in use and what @fd has open: get a descriptor that way */
int fs_pin(struct fs_host *h, struct fs_inode *in, int fd);
/**
 * fs_keep() - the inode of @name in @dir, which is about to go, with a descriptor
 * Return: in use until fs_kept(); NULL if nobody has a number for it
 */
struct fs_inode *fs_keep(struct fs_host *h, struct fs_inode *dir,
			 const char *name);
/** fs_kept() - @in may be NULL; @name in @dir was taken away, or @dir is NULL */
void fs_kept(struct fs_host *h, struct fs_inode *in, const struct fs_inode *dir,
	     const char *name);
/**
 * fs_stale() - @ret is what came of using the descriptor of @in
 *
 * No descriptor keeps a server's other clients from removing a file, nor the server from
 * using its number again. It then says -ESTALE: who is found by that number from here on
 * is not @in.
 * Return: @ret
 */
int fs_stale(struct fs_host *h, struct fs_inode *in, int ret);
/** fs_stat() - of an inode in use */
int fs_stat(struct fs_host *h, struct fs_inode *in, struct statx *st);
/**
 * fs_enter() - give out the number of what was found
 * @dir: the directory it was in, or NULL
 * @name: what it is called there, NULL without @dir
 */
int fs_enter(struct fs_host *h, struct fs_inode *dir, const char *name,
	     const struct statx *st, struct fs_entry *e);
/** fs_moved() - what @st is of is now @name in @dir */
void fs_moved(struct fs_host *h, struct fs_inode *dir, const char *name,
	      const struct statx *st);
/** fs_ino() - an inode number that is unique in the share; no lock */
u64 fs_ino(const struct fs_inode *in, u64 ino);
/** fs_type() - S_IFMT of its mode; no lock */
u32 fs_type(const struct fs_inode *in);
/** fs_path_fd() - the descriptor of an inode in use, or -1; no lock */
int fs_path_fd(const struct fs_host *h, const struct fs_inode *in);
void fs_inodes_forget_all(struct fs_host *h);
void fs_inodes_save(struct fs_host *h, struct state_out *out);
/** fs_inodes_restore() - on failure fs_inodes_drop() is due */
int fs_inodes_restore(struct fs_host *h, struct state_in *in);
/** fs_inodes_sane() - whether all that was restored can be reached and left */
bool fs_inodes_sane(struct fs_host *h);
/** fs_inodes_drop() - no file is open, nobody is inside: only the root stays */
void fs_inodes_drop(struct fs_host *h);

#endif
