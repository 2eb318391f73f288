// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading a guest kernel's log.
 *
 * Theory of operation: bytes are put together to lines, and a line is compared
 * with what kernels are known to say when they complain. A line may begin with
 * its level and its time, which are passed over. The first line of each kind is
 * kept, and the last KLOG_TAIL bytes of all, for who wants to know what happened
 * before the end. Of the first report that counts all lines are kept, up to the
 * mark that ends one: what comes later is often only what came of it. A panic
 * counts for more than what is no oops.
 *
 * The guest may print anything, so that a report can be made up: it can only
 * make a run look worse than it was. Lines are cut at the size of the buffer. No
 * threads, no locks: they are the caller's.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "kvm/klog.h"
#include "kvm/utf8.h"

#define PANIC "Kernel panic - not syncing: "

static const char *const names[] = { "oops", "warn", "kasan", "lockdep", "rcu" };

/* The first that fits counts: "WARNING:" is the last of its kind. */
static const struct {
	const char *text;
	u32 splat;
	bool at_start;
} pattern[] = {
	{ "BUG: KASAN:", KLOG_KASAN, true },
	{ "BUG: KFENCE:", KLOG_KASAN, true },
	{ "BUG: KMSAN:", KLOG_KASAN, true },
	{ "UBSAN:", KLOG_WARN, true },
	{ "WARNING: suspicious RCU usage", KLOG_RCU, true },
	{ "self-detected stall on CPU", KLOG_RCU, false },
	{ "detected stalls", KLOG_RCU, false },
	{ "detected expedited stalls", KLOG_RCU, false },
	{ "WARNING: possible circular locking", KLOG_LOCKDEP, true },
	{ "WARNING: possible recursive locking", KLOG_LOCKDEP, true },
	{ "WARNING: possible irq lock inversion", KLOG_LOCKDEP, true },
	{ "WARNING: inconsistent lock state", KLOG_LOCKDEP, true },
	{ "WARNING: bad unlock balance", KLOG_LOCKDEP, true },
	{ "WARNING: held lock freed", KLOG_LOCKDEP, true },
	{ "WARNING: lock held when returning to user", KLOG_LOCKDEP, true },
	{ "WARNING: bad contention detected", KLOG_LOCKDEP, true },
	{ "WARNING: Nested lock was not taken", KLOG_LOCKDEP, true },
	{ "WARNING: chain_key collision", KLOG_LOCKDEP, true },
	{ "INFO: trying to register non-static key", KLOG_LOCKDEP, true },
	{ "[ BUG: ", KLOG_LOCKDEP, true },
	{ "-safe -> ", KLOG_LOCKDEP, false },
	{ " still has locks held!", KLOG_LOCKDEP, false },
	{ "BUG: unable to handle ", KLOG_OOPS, true },
	{ "BUG: kernel NULL pointer", KLOG_OOPS, true },
	{ "Unable to handle kernel ", KLOG_OOPS, true },
	{ "kernel BUG at ", KLOG_OOPS, true },
	{ "general protection fault", KLOG_OOPS, true },
	{ "Oops: ", KLOG_OOPS, true },
	{ "invalid opcode: ", KLOG_OOPS, true },
	/* Any other trap, before 6.10 without "Oops: " */
	{ ": 0000 [#", KLOG_OOPS, false },
	{ "BUG: soft lockup", KLOG_WARN, false },
	{ "detected hard LOCKUP", KLOG_WARN, false },
	{ " blocked for more than ", KLOG_WARN, false },
	{ "BUG: ", KLOG_WARN, true },
	{ "WARNING: ", KLOG_WARN, true },
};

static void keep(struct klog *k, u32 splat, const char *text)
{
	unsigned int bit = __builtin_ctz(splat);

	if (!(k->splats & splat))
		snprintf(k->first[bit], sizeof(k->first[bit]), "%s", text);
	k->splats |= splat;
}

static void report_begin(struct klog *k, u32 of)
{
	bool more = of == KLOG_PANIC && k->report_of != KLOG_OOPS;

	if (!(of & (k->wanted | KLOG_OOPS | KLOG_PANIC)) ||
	    (k->report_of && !more))
		return;
	k->report_of = of;
	k->report_len = 0;
	k->reporting = true;
}

static void report_line(struct klog *k)
{
	size_t room = sizeof(k->report) - k->report_len;
	int n = snprintf(k->report + k->report_len, room, "%s\n", k->line);

	k->reporting = n > 0 && (size_t)n < room &&
		       !strstr(k->line, "---[ end ");
	if (n > 0 && (size_t)n < room)
		k->report_len += n;
	else
		k->report[k->report_len] = 0;
}

static void look_for_splat(struct klog *k)
{
	const char *text = klog_message(k->line), *at;

	text += strspn(text, " ");
	for (unsigned int i = 0; i < ARRAY_SIZE(pattern); i++) {
		at = strstr(text, pattern[i].text);
		if (!at || (pattern[i].at_start && at != text))
			continue;
		keep(k, pattern[i].splat, text);
		report_begin(k, pattern[i].splat);
		return;
	}
}

static void look(struct klog *k)
{
	const char *at;

	k->line[k->line_len] = 0;
	/* It may be shown at a terminal. */
	utf8_clean(k->line, k->line_len, "\t");
	k->line_len = 0;
	at = strstr(k->line, PANIC);
	if (at && !k->panicked) {
		snprintf(k->panic, sizeof(k->panic), "%s",
			 at + sizeof(PANIC) - 1);
		k->panicked = true;
		report_begin(k, KLOG_PANIC);
	}
	look_for_splat(k);
	if (k->reporting)
		report_line(k);
}

const char *klog_message(const char *s)
{
	size_t n = strcspn(s, ">");

	if (*s == '<' && isdigit((u8)s[1]) && s[n])
		s += n + 1;
	while (*s == '[') {
		n = strspn(s + 1, " 0123456789.TC");
		if (!n || s[n + 1] != ']')
			break;
		s += n + 2;
	}
	return s;
}

void klog_again(struct klog *k)
{
	k->line_len = 0;
	k->report_of = 0;
	k->report_len = 0;
	k->reporting = false;
}

void klog_forget(struct klog *k)
{
	klog_again(k);
	k->panicked = false;
	k->splats = 0;
}

/* As klog_feed(), without the tail. */
static void klog_scan(struct klog *k, const void *data, size_t len)
{
	const u8 *d = data;

	for (size_t i = 0; i < len; i++) {
		if (d[i] == '\n' || d[i] == '\r') {
			if (k->line_len)
				look(k);
		} else if (d[i] && k->line_len < sizeof(k->line) - 1) {
			k->line[k->line_len++] = d[i];
		}
	}
}

void klog_feed(struct klog *k, const void *data, size_t len)
{
	const char *d = data;

	klog_scan(k, data, len);
	while (len) {
		size_t at = k->total % KLOG_TAIL;
		size_t n = MIN(len, (size_t)KLOG_TAIL - at);

		memcpy(k->tail + at, d, n);
		k->total += n;
		d += n;
		len -= n;
	}
}

u32 klog_splat(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], name))
			return BIT(i);
	return 0;
}

size_t klog_tail(const struct klog *k, char *out)
{
	size_t len = MIN(k->total, (u64)KLOG_TAIL);
	size_t at = (k->total - len) % KLOG_TAIL;
	char *line;

	memcpy(out, k->tail + at, MIN(len, KLOG_TAIL - at));
	memcpy(out + MIN(len, KLOG_TAIL - at), k->tail,
	       len - MIN(len, KLOG_TAIL - at));
	out[len] = 0;
	if (k->total <= KLOG_TAIL)
		return len;
	/* The first line is what is left of one. */
	line = memchr(out, '\n', len);
	if (!line)
		return len;
	len -= line + 1 - out;
	memmove(out, line + 1, len + 1);
	return len;
}
