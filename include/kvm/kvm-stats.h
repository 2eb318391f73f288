/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__KVM_STATS_H
#define KVM__KVM_STATS_H

#include <linux/kvm.h>
#include "kvm/types.h"

typedef void kvm_stats_fn(void *opaque, const char *name, u64 value);

/**
 * kvm_stats_open() - @kvm_fd: of a VM, or of a vCPU that does not run
 * Return: a descriptor, which the caller closes; -ENOTTY or -EINVAL on a kernel
 * that does not count; -errno.
 */
int kvm_stats_open(int kvm_fd);
/**
 * kvm_stats_read() - call @each for what KVM counts
 * @fd: of kvm_stats_open(); less than 0: nothing is counted
 */
int kvm_stats_read(int fd, kvm_stats_fn *each, void *opaque);

#endif
