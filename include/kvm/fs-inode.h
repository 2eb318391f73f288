/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What fs/ knows of a share: inode.c keeps it, host.c and file.c work with it.
 * Nobody else includes this.
 */
#ifndef KVM__FS_INODE_H
#define KVM__FS_INODE_H

#include <dirent.h>
#include <pthread.h>
#include "kvm/fs.h"

#define FS_DEVICES_MAX 255
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
 * @type: S_IFMT of its mode; what has the same number and another type is what
 *	came after it
 */
struct fs_id {
	u64 dev;
	u64 ino;
	u64 btime;
	u16 type;
};

/**
 * struct fs_inode - a file that somebody has a number for
 * @hash_link: what points to it in the hash, NULL while it is not found there
 * @parent, @name: where it was seen last; NULL for the root, and for what
 *	never had a name
 * @lru_prev, @lru_next: among those that are not in use and have @fd
 * @nlookup: how often the number was given out
 * @refs: why this exists: children, users, and one for all of @nlookup
 * @users: @fd, if it is open, stays open
 * @fd: O_PATH, or -1 when it is not open now
 * @gone: the guest took the name away that it was seen by last: @fd is all there is
 * @closed: a directory of a file system that is not shared
 * @watched: it is told when a name comes or goes
 */
struct fs_inode {
	struct fs_inode *hash_next;
	struct fs_inode **hash_link;
	struct fs_inode *parent;
	struct fs_inode *lru_prev;
	struct fs_inode *lru_next;
	char *name;
	struct fs_id id;
	u64 node;
	u64 nlookup;
	u32 refs;
	u32 users;
	int fd;
	bool gone;
	bool closed;
	bool watched;
};

/**
 * struct fs_file - an open file
 * @node: uses it; @users: those inside, and one for the number
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
 * @lru: ring of inodes whose descriptors may be closed, the last used first
 * @gone: the same of those that are gone, @nr_gone of them: these are closed first
 *	only where there are many
 * @closing: descriptors that fs_unlock() closes: the last one of a file that has
 *	no name frees it, which takes as long as the disk likes
 */
struct fs_host {
	bool readonly;
	bool as_caller;
	int proc_fd;
	int edits_fd;
	unsigned int nr_watches;
	unsigned int max_inode_fds;
	unsigned int max_files;
	pthread_mutex_t lock;
	struct fs_table nodes;
	struct fs_table files;
	struct fs_inode **bucket;
	u32 nr_buckets;
	u32 nr_hashed;
	struct fs_inode lru;
	struct fs_inode gone;
	unsigned int nr_gone;
	unsigned int nr_inode_fds;
	int closing[FS_CLOSING_MAX];
	unsigned int nr_closing;
	u64 device[FS_DEVICES_MAX];
	unsigned int nr_devices;
	struct fs_inode *root;
};

/** fs_name_check() - 0 for one component of a path; -EINVAL, -ENAMETOOLONG */
int fs_name_check(const char *name);
/** fs_step() - open @name in @dirfd, and nothing else: no link, no parent */
int fs_step(int dirfd, const char *name, int flags, u32 mode);
/** fs_stat_step() - look at @name in @dirfd, not at what it points to */
int fs_stat_step(int dirfd, const char *name, struct statx *st);
/** fs_stat_fd() - look at what is open */
int fs_stat_fd(int fd, struct statx *st);

/** fs_table_add() - Return: a number, never 0; 0 when there is no room */
u64 fs_table_add(struct fs_table *t, void *object);
/** fs_table_put() - at this very number; fs_table_settle() follows the last */
int fs_table_put(struct fs_table *t, u64 number, void *object);
void fs_table_settle(struct fs_table *t, u32 generation);
/** fs_table_get() - Return: NULL for a number that is not in use */
void *fs_table_get(const struct fs_table *t, u64 number);
void fs_table_del(struct fs_table *t, u64 number);
void fs_table_free(struct fs_table *t);

/** fs_unlock() - h->lock, which whoever has closed something gives back so */
void fs_unlock(struct fs_host *h);
/** fs_close_later() - with h->lock held: @fd is closed when it is not any more */
void fs_close_later(struct fs_host *h, int fd);

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
/** fs_kept() - @in may be NULL; @gone: the name was taken away */
void fs_kept(struct fs_host *h, struct fs_inode *in, bool gone);
/** fs_stat() - of an inode in use */
int fs_stat(struct fs_host *h, struct fs_inode *in, struct statx *st);
/**
 * fs_enter() - give out the number of what was found
 * @dir, @name: where it was, or NULL, NULL
 */
int fs_enter(struct fs_host *h, struct fs_inode *dir, const char *name,
	     const struct statx *st, struct fs_entry *e);
/** fs_moved() - what @st is of is now @name in @dir */
void fs_moved(struct fs_host *h, struct fs_inode *dir, const char *name,
	      const struct statx *st);
/** fs_ino() - an inode number that is unique in the share */
u64 fs_ino(struct fs_host *h, u64 dev, u64 ino);
/** fs_dev() - of a struct statx */
u64 fs_dev(const struct statx *st);
void fs_inodes_forget_all(struct fs_host *h);
void fs_inodes_save(struct fs_host *h, struct state_out *out);
/** fs_inodes_restore() - on failure fs_inodes_drop() is due */
int fs_inodes_restore(struct fs_host *h, struct state_in *in);
/** fs_inodes_sane() - whether all that was restored can be reached and left */
bool fs_inodes_sane(struct fs_host *h);
/** fs_inodes_drop() - no file is open, nobody is inside: only the root stays */
void fs_inodes_drop(struct fs_host *h);

#endif
