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
	KLOG_PANIC = 32,
};

#define KLOG_TAIL 0x4000U
#define KLOG_REPORT 0x4000U

/**
 * struct klog - what passed of a guest kernel's log; zero-initialise
 * @splats: enum klog_splat of all that was seen
 * @first: the line of the first one of each kind, by bit number
 * @panic: why, if @panicked
 * @wanted: enum klog_splat whose report is kept, besides that of an oops or panic
 * @report: the first of these reports, @report_len bytes of lines, with a NUL;
 *	@report_of: what it is of, KLOG_PANIC for that
 * @reporting: it goes on
 * @tail: a ring of the last KLOG_TAIL bytes
 * @total: how many there were
 */
struct klog {
	char line[512];
	size_t line_len;
	u32 splats;
	char first[5][256];
	bool panicked;
	char panic[256];
	u32 wanted;
	u32 report_of;
	bool reporting;
	size_t report_len;
	char report[KLOG_REPORT];
	char tail[KLOG_TAIL];
	u64 total;
};

/** klog_message() - what is behind "<4>", "[   12.345678]" and "[    T1]" */
const char *klog_message(const char *s);
/** klog_feed() - bytes of the log, at any boundary */
void klog_feed(struct klog *k, const void *d, size_t len);
/** klog_again() - what was fed comes once more, and more of it than before */
void klog_again(struct klog *k);
/** klog_forget() - another kernel begins, whatever the last one complained of */
void klog_forget(struct klog *k);
/** klog_splat() - the kind that @name names; 0 for none */
u32 klog_splat(const char *name);
/**
 * klog_tail() - the last whole lines
 * @out: at least KLOG_TAIL + 1 bytes; Return: length
 */
size_t klog_tail(const struct klog *k, char *out);

#endif
