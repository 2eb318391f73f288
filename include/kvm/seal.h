/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__SEAL_H
#define KVM__SEAL_H

#include "kvm/report.h"

#define SEAL_READABLE_MAX 16
#define SEAL_SHARES_MAX 16

/** struct seal_share - files below @path may be read, or all but executed */
struct seal_share {
	const char *path;
	bool write;
};

/**
 * struct seal_exceptions - what may still be done by a path; all may be empty
 * @removable: directories in which files may be removed, or NULL
 * @readable: files that may be opened for reading
 * @share: directories that are shared; with one that may be written to, a
 *	thread may change its fsuid and fsgid, too
 * @nr_readable: how many
 * @nr_shares: how many
 */
struct seal_exceptions {
	const char *removable[2];
	const char *readable[SEAL_READABLE_MAX];
	unsigned int nr_readable;
	struct seal_share share[SEAL_SHARES_MAX];
	unsigned int nr_shares;
};

/**
 * process_seal() - give up what a running VM has no use for
 * @audit_arch: the AUDIT_ARCH_ value of system calls that are ours
 * @except: what stays allowed, or NULL
 *
 * From here on nothing can be opened by a path (Landlock, where the kernel has
 * it) nor executed, traced, mounted or loaded (seccomp), by any thread.
 * Context: once, before vCPU threads exist; cannot be undone.
 * Return: 0, or -errno with the reason in @r.
 */
int process_seal(u32 audit_arch, const struct seal_exceptions *except,
		 struct report *r);

#endif
