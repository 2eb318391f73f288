// SPDX-License-Identifier: GPL-2.0-only
/*
 * What tests print: TAP 13 and KTAP 1, as it comes.
 *
 * Theory of operation: a line's column is how far it is indented, and "# " in front
 * of it counts as two: that is how kselftest's runner nests what a test prints, and
 * KUnit indents. A result takes for its parts all that stands further to the right
 * and has not been taken. So neither a version, nor a plan, nor a number has to be
 * right, or there: the plan says only what is missing. A crash leaves parts whose
 * whole never came: they become parts of one that is RESULT_MISSING, as does what
 * was planned and not seen. A whole that claims to have passed and has a part that
 * failed, has failed.
 *
 * In front of a line may be a time of the kernel's log, and between lines anything
 * else: it is kept, up to a limit, as the note of the next result. A result needs
 * its number, unless there was a version or a plan in its column, so that prose
 * which begins with "ok" is none. Lines end at TAP_LINE, results at TAP_NODES, depth
 * at TAP_DEPTH. All bytes are the test's: a NUL ends nothing and is a "?".
 *
 * "lkvm: ms N" and "lkvm: log PATH" are notes that lkvm's own reports have, and
 * "| " stands in front of those that they quote.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/klog.h"
#include "kvm/tap.h"

static const char *after(const char *s, const char *word)
{
	size_t n = strlen(word);

	return strncmp(s, word, n) ? NULL : s + n;
}

/* A time of the kernel's log, and a space: what is behind that is an indent. */
static const char *skip_time(const char *s)
{
	const char *p = klog_message(s);

	return p > s && p[-1] == ']' && *p == ' ' ? p + 1 : s;
}

static const char *skip_indent(const char *s, unsigned int *column)
{
	for (*column = 0; *column < 1000; ) {
		if (*s == ' ') {
			(*column)++;
		} else if (*s == '\t') {
			*column += 8;
		} else if (*s == '#' && s[1] == ' ' && !after(s, "# Subtest: ") &&
			   !after(s, "# Totals: ")) {
			*column += 2;
			s++;
		} else {
			break;
		}
		s++;
	}
	return s;
}

/* What a test prints decides how many there are: there is an end to that. */
static struct result *node_new(struct tap *t, const char *name)
{
	size_t len = strlen(name);
	struct result *r = NULL;

	if (t->nodes < TAP_NODES && t->bytes < TAP_BYTES)
		r = result_new(name, len);
	t->lost |= !r;
	t->nodes += !!r;
	t->bytes += r ? len + t->note_len : 0;
	return r;
}

/* What was planned, or is said to have failed, and has not been seen */
static void missing_add(struct tap *t, struct result *into,
			const struct tap_level *l)
{
	struct result_counts c = { { 0 } };
	unsigned long n = l->planned > l->seen ? l->planned - l->seen : 0;
	struct result *r;
	char name[64];

	if (l->skipped || (!n && !l->failed))
		return;
	/* That walks all of them: not for each of many that are missing. */
	if (!n)
		result_count(into, &c);
	snprintf(name, sizeof(name), "%lu of %lu tests", n, l->planned);
	if (!n && !result_counts_bad(&c)) {
		n = l->failed;
		snprintf(name, sizeof(name), "%lu failed tests", n);
	}
	if (!n)
		return;
	r = node_new(t, name);
	if (!r)
		return;
	r->kind = RESULT_MISSING;
	result_say(r, "no result");
	result_add(into, r);
}

/* Close the innermost level: its tests become @into's subtests. */
static void level_close(struct tap *t, struct result *into)
{
	struct tap_level *l = &t->level[--t->nr];

	result_merge(into, l->list, 0);
	if (into->kind != RESULT_SKIP)
		missing_add(t, into, l);
	result_free(l->list);
	free(l->name);
	memset(l, 0, sizeof(*l));
}

/* No parent test came: make one. */
static void level_fold(struct tap *t)
{
	struct tap_level *l = &t->level[t->nr - 1];
	const char *name = l->name ? l->name : "(not named)";
	struct result *r = node_new(t, name);
	bool empty = !l->list->first && !l->planned && !l->name;

	if (!r) {
		level_close(t, l[-1].list);
		return;
	}
	level_close(t, r);
	r->kind = RESULT_MISSING;
	result_say(r, "no result");
	if (empty) {
		result_free(r);
		return;
	}
	result_add(t->level[t->nr - 1].list, r);
	t->level[t->nr - 1].seen++;
}

/* Return: the level of that column, NULL when there is no memory for it */
static struct tap_level *level_at(struct tap *t, unsigned int column)
{
	struct tap_level *l;

	while (t->nr > 1 && t->level[t->nr - 1].column > column &&
	       t->level[t->nr - 2].column >= column)
		level_fold(t);
	l = t->nr ? &t->level[t->nr - 1] : NULL;
	/* One that stands a little to the left of what was first is beside it. */
	if (l && l->column > column && t->nr == 1)
		l->column = column;
	if (l && l->column > column)
		level_fold(t);
	l = t->nr ? &t->level[t->nr - 1] : NULL;
	if (l && (l->column == column || t->nr == TAP_DEPTH))
		return l;
	l = &t->level[t->nr];
	l->column = column;
	l->list = result_new("", 0);
	t->lost |= !l->list;
	if (!l->list)
		return NULL;
	t->nr++;
	return l;
}

static bool is_open(const struct tap *t, unsigned int column)
{
	for (unsigned int i = 0; i < t->nr; i++)
		if (t->level[i].column == column)
			return t->level[i].has_header || t->level[i].has_plan;
	return false;
}

/* Another list begins where this one is. */
static void level_again(struct tap *t, struct tap_level *l)
{
	missing_add(t, l->list, l);
	l->planned = 0;
	l->seen = 0;
	l->failed = 0;
	l->has_plan = false;
	l->skipped = false;
}

/*
 * Tests begin in that column. Another list that is there has come to its end, and so
 * has one of which there is only the plan when a @version comes behind that.
 */
static struct tap_level *level_begin(struct tap *t, unsigned int column, bool version)
{
	struct tap_level *l = level_at(t, column);

	if (l && l->column == column &&
	    (l->seen || (version && l->has_header && l->has_plan)))
		level_again(t, l);
	if (l)
		l->has_header = true;
	return l;
}

static bool take_header(struct tap *t, unsigned int column, const char *s)
{
	const char *name = after(s, "# Subtest: ");
	struct tap_level *l;

	if (!name && !after(s, "KTAP version ") && !after(s, "TAP version "))
		return false;
	l = level_begin(t, column, !name);
	if (!name || !l)
		return true;
	/* A header in its parent's own column is TAP 13 style. */
	free(l->name);
	l->name = strdup(name);
	return true;
}

static bool take_plan(struct tap *t, unsigned int column, const char *s)
{
	const char *count = after(s, "1..");
	struct tap_level *l;
	char *end;
	unsigned long n;

	if (!count || !isdigit((u8)*count))
		return false;
	n = strtoull(count, &end, 10);
	end += strspn(end, " ");
	if (*end && *end != '#')
		return false;
	l = level_at(t, column);
	if (!l)
		return true;
	/* Of another program, without a version; who gives up in the middle says 1..0. */
	if (l->has_plan && l->seen) {
		if (!n)
			return true;
		level_again(t, l);
	}
	l->has_plan = true;
	l->planned = MIN(n, 1000000000UL);
	l->skipped = *end && strcasestr(end, "skip");
	return true;
}

/* Some tests say nothing else about what they have planned. */
static bool take_totals(struct tap *t, const char *s)
{
	const char *at = after(s, "# Totals: ");
	struct tap_level *l = t->nr ? &t->level[t->nr - 1] : NULL;
	unsigned long all = 0, n;

	if (!at)
		return false;
	while (l && (at = strchr(at, ':'))) {
		n = MIN(strtoull(at + 1, NULL, 10), 1000000ULL);
		if (!strncmp(at - 4, "fail", 4) && at[-5] != 'x')
			l->failed = n;
		all += n;
		at++;
	}
	if (l)
		l->seen = MAX(l->seen, all);
	return true;
}

static bool take_own(struct tap *t, const char *s)
{
	const char *arg = after(s, "lkvm: ms ");

	if (arg) {
		t->ms = strtoull(arg, NULL, 10);
		return true;
	}
	arg = after(s, "lkvm: log ");
	if (!arg)
		return false;
	free(t->log);
	t->log = strdup(arg);
	return true;
}

static void take_note(struct tap *t, const char *s)
{
	size_t n;

	s += (*s == '|' && s[1] == ' ') ? 2 : 0;
	n = strlen(s);
	if (!n)
		return;
	n = MIN(n, (size_t)TAP_NOTE / 2);
	if (t->note_len + n + 2 > TAP_NOTE) {
		size_t half = t->note_len / 2;
		char *nl = memchr(t->note + half, '\n', t->note_len - half);
		size_t cut = nl ? (size_t)(nl + 1 - t->note) : t->note_len;

		memmove(t->note, t->note + cut, t->note_len - cut);
		t->note_len -= cut;
	}
	if (t->note_len + n + 2 > TAP_NOTE)
		t->note_len = 0;
	memcpy(t->note + t->note_len, s, n);
	t->note_len += n;
	t->note[t->note_len++] = '\n';
	t->note[t->note_len] = 0;
}

/* " # WORD why": from where, or the end */
static char *find_directive(char *s)
{
	bool space = true;

	for (; *s; s++) {
		if (space && *s == '#' && (s[1] == ' ' || isalpha((u8)s[1])))
			return s;
		space = *s == ' ';
	}
	return s;
}

static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\\' && (s[1] == '#' || s[1] == '\\'))
			s++;
		*to++ = *s;
	}
	*to = 0;
}

static void trim(char *s)
{
	size_t n = strlen(s);

	while (n && isspace((u8)s[n - 1]))
		s[--n] = 0;
}

static const struct directive {
	const char *word;
	enum result_kind ok, bad;
} directives[] = {
	{ "SKIP", RESULT_SKIP, RESULT_SKIP },
	{ "TODO", RESULT_XPASS, RESULT_XFAIL },
	{ "XFAIL", RESULT_XFAIL, RESULT_XFAIL },
	{ "XPASS", RESULT_XPASS, RESULT_XPASS },
	{ "TIMEOUT", RESULT_PASS, RESULT_TIMEOUT },
	{ "CRASH", RESULT_PASS, RESULT_CRASH },
	{ "MISSING", RESULT_PASS, RESULT_MISSING },
};

static const struct directive *directive_of(const char *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(directives); i++) {
		size_t n = strlen(directives[i].word);

		if (!strncasecmp(s, directives[i].word, n) && !isalpha((u8)s[n]))
			return &directives[i];
	}
	return NULL;
}

bool tap_is_directive(const char *s)
{
	return directive_of(s);
}

/* Return: what comes behind a directive that there is */
static char *take_directive(struct result *r, bool ok, char *s)
{
	const struct directive *d = directive_of(s);

	r->kind = ok ? RESULT_PASS : RESULT_FAIL;
	if (d) {
		r->kind = ok ? d->ok : d->bad;
		s += strlen(d->word);
	}
	return s + strspn(s, " :");
}

/* The parts of @r are what stands to the right of it. */
static void take_parts(struct tap *t, unsigned int column, struct result *r)
{
	while (t->nr > 1 && t->level[t->nr - 1].column > column &&
	       t->level[t->nr - 2].column > column)
		level_fold(t);
	if (t->nr && t->level[t->nr - 1].column > column)
		level_close(t, r);
	if (!result_is_bad(r->kind) && result_is_bad(result_judge(r))) {
		r->kind = RESULT_FAIL;
		result_say(r, "ok, but its parts are not");
	}
}

static void take_texts(struct tap *t, struct result *r)
{
	if (result_is_bad(r->kind) && t->note_len)
		r->note = strndup(t->note, t->note_len);
	t->note_len = 0;
	r->ms = t->ms;
	r->log = t->log;
	t->ms = 0;
	t->log = NULL;
}

static void result_at(struct tap *t, unsigned int column, bool ok, char *name)
{
	char *why = find_directive(name);
	struct tap_level *l;
	struct result *r;

	if (*why) {
		*why++ = 0;
		why += strspn(why, " ");
	}
	trim(name);
	unescape(name);
	r = node_new(t, name);
	if (!r)
		return;
	why = take_directive(r, ok, why);
	trim(why);
	unescape(why);
	if (*why)
		r->why = strdup(why);
	t->bytes += strlen(why) + (t->log ? strlen(t->log) : 0);
	take_parts(t, column, r);
	take_texts(t, r);
	l = level_at(t, column);
	if (!l) {
		result_free(r);
		return;
	}
	l->seen++;
	result_add(l->list, r);
}

static bool take_result(struct tap *t, unsigned int column, char *s)
{
	const char *bad = after(s, "not ok"), *ok = after(s, "ok");
	char *name = s + (bad ? 6 : 2), *number;

	if ((!bad && !ok) || (*name && *name != ' '))
		return false;
	number = name + strspn(name, " ");
	name = number + strspn(number, "0123456789");
	if (name == number || (*name && *name != ' ')) {
		if (!is_open(t, column))
			return false;
		name = number;
	}
	name += strspn(name, " ");
	if (name[0] == '-' && name[1] == ' ')
		name += 2;
	name += strspn(name, " ");
	result_at(t, column, ok, name);
	return true;
}

static bool take_bail(struct tap *t, unsigned int column, const char *s)
{
	const char *why = after(s, "Bail out!");
	char name[] = "Bail out!";
	struct tap_level *l;

	if (!why)
		return false;
	result_at(t, column, false, name);
	l = t->nr ? &t->level[t->nr - 1] : NULL;
	why += strspn(why, " ");
	if (l && l->list->last && *why)
		result_say(l->list->last, "%s", why);
	return true;
}

static void take_line(struct tap *t)
{
	unsigned int column;
	char *s;

	while (t->line_len && t->line[t->line_len - 1] == '\r')
		t->line_len--;
	t->line[t->line_len] = 0;
	t->line_len = 0;
	s = (char *)skip_indent(skip_time(t->line), &column);
	if (!take_header(t, column, s) && !take_plan(t, column, s) &&
	    !take_totals(t, s) && !take_own(t, s) &&
	    !take_result(t, column, s) && !take_bail(t, column, s))
		take_note(t, s);
}

void tap_feed(struct tap *t, const void *d, size_t len)
{
	const char *p = d;

	for (; len; len--, p++) {
		if (*p == '\n')
			take_line(t);
		else if (t->line_len < sizeof(t->line) - 1)
			t->line[t->line_len++] = *p ? *p : '?';
	}
}

void tap_end(struct tap *t, struct result *into)
{
	if (t->line_len)
		take_line(t);
	while (t->nr > 1)
		level_fold(t);
	if (t->nr)
		level_close(t, into);
	if (t->lost && into->kind != RESULT_SKIP) {
		struct result *r = result_child(into, "more tests");

		if (r)
			r->kind = RESULT_MISSING;
	}
	if (t->note_len && !into->note)
		into->note = strndup(t->note, t->note_len);
	free(t->log);
	memset(t, 0, sizeof(*t));
}
