/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the floors below the commands say what went wrong: set-up fills a
 * report, which the command prints once; what happens while the VM runs goes
 * through a log. Nothing below the commands prints by itself.
 */
#ifndef KVM__REPORT_H
#define KVM__REPORT_H

#include "kvm/types.h"

/**
 * struct report - one line that names what failed
 * @msg: the line, without a newline; empty when nothing was reported
 *
 * The first report wins: what follows from it adds nothing.
 */
struct report {
	char msg[512];
};

/**
 * report_error() - say what failed
 * @r: where to, may be NULL
 * @err: a positive errno; its text is appended, unless 0
 * @fmt: printf format, no newline
 *
 * Return: -@err, or -EINVAL when @err is 0.
 */
int report_error(struct report *r, int err, const char *fmt, ...)
	__printf(3, 4);

/**
 * struct vm_log - where messages of a running VM go
 * @emit: called with one line, from any thread; may be NULL
 * @opaque: first argument of @emit
 */
struct vm_log {
	void (*emit)(void *opaque, const char *line);
	void *opaque;
};

/**
 * vm_log() - say something about a running VM
 * @log: where to, may be NULL
 * @fmt: printf format, no newline
 *
 * Callers bound how often a guest can cause it.
 * Context: any thread, no lock needed.
 */
void vm_log(const struct vm_log *log, const char *fmt, ...)
	__printf(2, 3);

#endif
