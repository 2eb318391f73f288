/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__SEAL_H
#define KVM__SEAL_H

#include "kvm/report.h"

/**
 * process_seal() - give up what a running VM has no use for
 * @audit_arch: the AUDIT_ARCH_ value of system calls that are ours
 * @removable: a directory in which files may still be removed, or NULL
 *
 * From here on nothing can be opened by a path (Landlock, where the kernel has
 * it) nor executed, traced, mounted or loaded (seccomp), by any thread.
 * Context: once, before vCPU threads exist; cannot be undone.
 * Return: 0, or -errno with the reason in @r.
 */
int process_seal(u32 audit_arch, const char *removable, struct report *r);

#endif
