// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Confinement: why nothing outside of a shared directory is reached, whatever a
 * guest asks for. The only ways to get at a file are fs_step() and fs_stat_step(),
 * one component at a time from a descriptor that came the same way, the first
 * one being the root's. Components with a slash, "." and ".." are refused, no
 * link of any kind is followed, and openat2() sees to it again with
 * RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS. Mounts below
 * the root are part of the share, with inode numbers made unique, but those of
 * the kernel's own file systems (proc, sysfs and their like) are empty: their
 * links lead anywhere, their files block, and they are about the host.
 *
 * Names are checked by who takes them from a guest or from saved state:
 * fs_begin_dir(), fs_lookup() and fs_inodes_restore(). Calls that make, rename or
 * remove take such a name in such a descriptor, and follow no link there. Those that
 * need a path go through /proc/self/fd to what is open, see fs/host.c.
 *
 * Threads: any; nothing is kept here.
 *
 * Not supported: a directory whose descriptor is open and that somebody on the
 * host moves out of the share is still what it was; Landlock keeps a sealed
 * process from opening, making and removing anything there, not from looking at
 * it and changing its mode, owner and times. A single file of the kernel's own
 * that is mounted on a file is shared.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include "kvm/fs.h"
#include "fs/step.h"

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

/* What the kernel makes up as one reads it is not shared. */
u8 fs_kind_of(int fd)
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
		return FS_KIND_CLOSED;
	for (unsigned int i = 0; i < ARRAY_SIZE(magic); i++) {
		if ((u32)st.f_type == magic[i])
			return FS_KIND_CLOSED;
	}
	return st.f_type == OVERLAYFS_SUPER_MAGIC ? FS_KIND_OVERLAY : 0;
}
