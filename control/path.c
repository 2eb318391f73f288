// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where control sockets are.
 *
 * Theory of operation: a directory of this user's own, with a socket for each VM
 * that has the VM's name. Who could write to it could put a socket of theirs in
 * the place of a VM's, so it has to be ours and closed to others; in /tmp, where
 * it is when there is no other place, anybody could have made it before us. No
 * state.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/control-path.h"
#include "kvm/unix.h"

/* After su it may still be that of somebody else, as if it were not set. */
static const char *runtime_dir(void)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	return run && *run && !stat(run, &st) && st.st_uid == geteuid() &&
	       !access(run, W_OK) ? run : NULL;
}

int control_dir(char *dir, size_t size)
{
	const char *run = runtime_dir();
	unsigned int uid = geteuid();
	int n;

	if (run)
		n = snprintf(dir, size, "%s/lkvm", run);
	else if (!uid)
		n = snprintf(dir, size, "/run/lkvm");
	else
		n = snprintf(dir, size, "/run/user/%u", uid);
	if (n > 0 && (size_t)n < size && uid && !run)
		n = access(dir, W_OK) ?
		    snprintf(dir, size, "/tmp/lkvm-%u", uid) :
		    snprintf(dir, size, "/run/user/%u/lkvm", uid);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int control_dir_make(const char *dir)
{
	struct stat st;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(dir, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid != geteuid() || (st.st_mode & 022) ? -EPERM : 0;
}

int control_address(struct sockaddr_un *a, const char *name)
{
	char path[sizeof(a->sun_path) + 64];
	size_t len;

	if (control_dir(path, sizeof(a->sun_path)))
		return -ENAMETOOLONG;
	len = strlen(path);
	snprintf(path + len, sizeof(path) - len, "/%s" CONTROL_SUFFIX, name);
	return unix_address(a, path);
}
