/* SPDX-License-Identifier: GPL-2.0-only */
/* What host.c and file.c of fs/ have of each other. Nobody else includes this. */
#ifndef FS__FILE_H
#define FS__FILE_H

#include "kvm/fs.h"

struct fs_inode;

/* Room for "/proc/self/fd/" and a number */
#define FS_PROC_NAME 32

/** fs_proc_name() - the name of @fd below h->proc_fd */
void fs_proc_name(char *name, int fd);

/**
 * fs_begin() - a descriptor and the inode of a number, until fs_done()
 * @change: it will be changed, or opened for that: -EROFS if it must not
 */
int fs_begin(struct fs_host *h, u64 node, bool change, struct fs_inode **out);
/** fs_begin_dir() - the same of a directory to add, remove or replace @name in */
int fs_begin_dir(struct fs_host *h, u64 dir, const char *name,
		 struct fs_inode **out);
/** fs_caller_enter() - this thread makes files for @who from here on */
int fs_caller_enter(const struct fs_host *h, const struct fs_caller *who);
void fs_caller_leave(const struct fs_host *h, const struct fs_caller *who);
/** fs_caller_mode() - the mode of what is made in a directory */
u32 fs_caller_mode(int dirfd, u32 mode, u32 umask);
/** fs_kill_priv() - take set-ID bits off a file that is written to */
int fs_kill_priv(const struct fs_host *h, int fd);

/** fs_truncate() - of an open file */
int fs_truncate(struct fs_host *h, u64 file, u64 size);
void fs_files_free(struct fs_host *h);
void fs_files_forget_all(struct fs_host *h);
void fs_files_save(struct fs_host *h, struct state_out *out);
int fs_files_restore(struct fs_host *h, struct state_in *in);

#endif
