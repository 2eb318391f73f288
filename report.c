// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reports and logs.
 *
 * Theory of operation: whoever fails fills a struct report with one line and
 * hands an errno up; the command at the top prints the line. A running VM has
 * nobody to hand an errno to, so it has a log callback. Reports belong to one
 * thread, the callback of a log is called by any. Neither keeps state here.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kvm/report.h"

int report_error(struct report *r, int err, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	if (!r || r->msg[0])
		return err ? -err : -EINVAL;

	va_start(ap, fmt);
	vsnprintf(r->msg, sizeof(r->msg), fmt, ap);
	va_end(ap);
	n = strlen(r->msg);
	if (err)
		snprintf(r->msg + n, sizeof(r->msg) - n, ": %s",
			 strerror(err));
	return err ? -err : -EINVAL;
}

void vm_log(const struct vm_log *log, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!log || !log->emit)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log->emit(log->opaque, line);
}
