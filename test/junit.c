// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results as JUnit XML.
 *
 * Theory of operation: a suite for each collection, a case for each test and for each
 * that it is made of, whose class is the path to it, cut at CLASS_MAX; and for a
 * collection that has failed when none of its tests has. What failed has
 * the end of what it printed with it. All text comes from a guest and is escaped; what
 * XML cannot have is replaced. Written in one walk, no state, one thread.
 */
#include <string.h>

#include "kvm/result.h"

#define CLASS_MAX 1024

static void put_text(FILE *f, const char *s)
{
	escape_put(f, ESCAPE_XML, s, strlen(s));
}

static void put_ms(FILE *f, u64 ms)
{
	fprintf(f, " time=\"%llu.%03u\"", (unsigned long long)(ms / 1000),
		(unsigned int)(ms % 1000));
}

static void put_case(FILE *f, const struct result *r, const char *class)
{
	fprintf(f, "<testcase classname=\"");
	put_text(f, class);
	fprintf(f, "\" name=\"");
	put_text(f, r->name);
	putc('"', f);
	put_ms(f, r->ms);
	putc('>', f);
	if (r->kind == RESULT_SKIP)
		fprintf(f, "<skipped message=\"");
	else if (r->kind == RESULT_CRASH || r->kind == RESULT_MISSING)
		fprintf(f, "<error message=\"");
	else if (result_is_bad(r->kind))
		fprintf(f, "<failure message=\"");
	else
		goto out;
	put_text(f, result_words[r->kind]);
	if (r->why) {
		fprintf(f, ": ");
		put_text(f, r->why);
	}
	fprintf(f, "\">");
	if (r->note)
		put_text(f, r->note);
	fprintf(f, r->kind == RESULT_SKIP ? "</skipped>" :
		r->kind >= RESULT_CRASH ? "</error>" : "</failure>");
out:
	fprintf(f, "</testcase>\n");
}

static void put_cases(FILE *f, const struct result *r, const char *class)
{
	char path[CLASS_MAX];

	for (const struct result *c = r->first; c; c = c->next) {
		put_case(f, c, class);
		snprintf(path, sizeof(path), "%s.%s", class, c->name);
		put_cases(f, c, path);
	}
}

/* All below @r, not only what is made of no other */
static void count_cases(const struct result *r, struct result_counts *n)
{
	for (r = r->first; r; r = r->next) {
		n->of[r->kind]++;
		count_cases(r, n);
	}
}

static void put_counts(FILE *f, const struct result *r)
{
	struct result_counts n = { { 0 } };
	unsigned int errors;

	count_cases(r, &n);
	n.of[r->kind] += result_is_fault(r);
	errors = n.of[RESULT_CRASH] + n.of[RESULT_MISSING];
	fprintf(f, " tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\"",
		result_counts_all(&n), result_counts_bad(&n) - errors, errors,
		n.of[RESULT_SKIP]);
	put_ms(f, r->ms);
}

void report_junit(FILE *f, const struct result *root, const char *dir)
{
	(void)dir;
	fprintf(f, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
	for (const struct result *c = root->first; c; c = c->next) {
		fprintf(f, "<testsuite name=\"");
		put_text(f, c->name);
		putc('"', f);
		put_counts(f, c);
		fprintf(f, ">\n");
		if (result_is_fault(c))
			put_case(f, c, c->name);
		put_cases(f, c, c->name);
		fprintf(f, "</testsuite>\n");
	}
	fprintf(f, "</testsuites>\n");
}
