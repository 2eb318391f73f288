/* SPDX-License-Identifier: GPL-2.0-only */
/* How files below a shared directory are got at, and nothing else is. For fs/ only. */
#ifndef FS__STEP_H
#define FS__STEP_H

#include <sys/stat.h>
#include "kvm/types.h"

/** fs_name_check() - 0 for one component of a path; -EINVAL, -ENAMETOOLONG */
int fs_name_check(const char *name);
/** fs_step() - open @name in @dirfd, and nothing else: no link, no parent */
int fs_step(int dirfd, const char *name, int flags, u32 mode);
/** fs_stat_step() - look at @name in @dirfd, not at what it points to */
int fs_stat_step(int dirfd, const char *name, struct statx *st);
/** fs_stat_fd() - look at what is open */
int fs_stat_fd(int fd, struct statx *st);

/* Of a file system: it is not shared; what it has is born again when it is copied up */
#define FS_KIND_CLOSED 1
#define FS_KIND_OVERLAY 4

/** fs_kind_of() - the file system of @fd. Return: one of FS_KIND_*, or 0 */
u8 fs_kind_of(int fd);

#endif
