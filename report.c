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
	char why[128] = "";
	va_list ap;
	size_t n, room;

	if (!r || r->msg[0])
		return err ? -err : -EINVAL;

	if (err)
		snprintf(why, sizeof(why), ": %s", strerror(err));
	room = sizeof(r->msg) - strlen(why);
	va_start(ap, fmt);
	n = vsnprintf(r->msg, room, fmt, ap);
	va_end(ap);
	/* A long name is cut, and not the reason. */
	if (n >= room)
		memcpy(r->msg + room - 4, "...", 4);
	memcpy(r->msg + MIN(n, room - 1), why, strlen(why) + 1);
	/* What is in names makes no second line, and no colours. */
	for (char *c = r->msg; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
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
