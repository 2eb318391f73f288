/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__KLOG_H
#define KVM__KLOG_H

#include "kvm/types.h"

/* What a kernel complains of; bits of a mask */
enum klog_splat {
	KLOG_OOPS = 1,
	KLOG_WARN = 2,
	KLOG_KASAN = 4,
	KLOG_LOCKDEP = 8,
	KLOG_RCU = 16,
};

#define KLOG_TAIL 0x4000U

/**
 * struct klog - what passed of a guest kernel's log; zero-initialise
 * @splats: enum klog_splat of all that was seen
 * @first: the line of the first one of each kind, by bit number
 * @panic: why, if @panicked
 * @tail: a ring of the last KLOG_TAIL bytes; @total: how many there were
 */
struct klog {
	char line[512];
	size_t line_len;
	u32 splats;
	char first[5][256];
	bool panicked;
	char panic[256];
	char tail[KLOG_TAIL];
	u64 total;
};

/** klog_feed() - bytes of the log, at any boundary */
void klog_feed(struct klog *k, const void *d, size_t len);
/** klog_scan() - as klog_feed(), for what the tail is not to have */
void klog_scan(struct klog *k, const void *d, size_t len);
/** klog_splat() - the kind that @name names; 0 for none */
u32 klog_splat(const char *name);
/**
 * klog_tail() - the last whole lines
 * @out: at least KLOG_TAIL + 1 bytes; Return: length
 */
size_t klog_tail(const struct klog *k, char *out);

#endif
