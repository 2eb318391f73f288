// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results as KTAP 1.
 *
 * Theory of operation: test/tap.c reads this back, which is how reports are merged:
 * nothing is lost on the way but bytes that are no text. A note's lines begin with
 * "# | ", so that none of them is taken for a result. What KTAP has no word for is a
 * directive. Written in one walk, no state, one thread.
 */
#include <string.h>

#include "kvm/tap.h"

static void put_text(FILE *f, const char *s)
{
	escape_put(f, ESCAPE_TAP, s, strlen(s));
}

static void put_note(FILE *f, const char *s, int indent)
{
	while (*s) {
		size_t n = strcspn(s, "\n");

		fprintf(f, "%*s# | ", indent, "");
		for (size_t i = 0; i < n; i++)
			putc((u8)s[i] < ' ' && s[i] != '\t' ? '?' : s[i], f);
		putc('\n', f);
		s += n + (s[n] == '\n');
	}
}

static void put_parts(FILE *f, const struct result *r, int indent);

static void put_result(FILE *f, const struct result *r, unsigned int n,
		       int indent)
{
	bool word = r->kind != RESULT_PASS && r->kind != RESULT_FAIL;
	const char *bad = result_is_bad(r->kind) ? "not " : "";

	if (r->first)
		put_parts(f, r, indent + 2);
	if (r->ms)
		fprintf(f, "%*s# lkvm: ms %llu\n", indent, "",
			(unsigned long long)r->ms);
	if (r->log)
		fprintf(f, "%*s# lkvm: log %s\n", indent, "", r->log);
	if (r->note)
		put_note(f, r->note, indent);
	fprintf(f, "%*s%sok %u ", indent, "", bad, n);
	put_text(f, r->name);
	/* Behind a colon a word is but the first one of why. */
	if (word || r->why)
		fprintf(f, " # %s", word ? result_words[r->kind] :
			tap_is_directive(r->why) ? ": " : "");
	if (r->why) {
		if (word)
			putc(' ', f);
		put_text(f, r->why);
	}
	putc('\n', f);
}

static void put_parts(FILE *f, const struct result *r, int indent)
{
	unsigned int n = 0;

	fprintf(f, "%*sKTAP version 1\n", indent, "");
	if (indent) {
		fprintf(f, "%*s# Subtest: ", indent, "");
		put_text(f, r->name);
		putc('\n', f);
	}
	for (const struct result *c = r->first; c; c = c->next)
		n++;
	fprintf(f, "%*s1..%u\n", indent, "", n);
	n = 0;
	for (const struct result *c = r->first; c; c = c->next)
		put_result(f, c, ++n, indent);
}

void report_ktap(FILE *f, const struct result *root, const char *dir)
{
	(void)dir;
	put_parts(f, root, 0);
}
