// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results as the JSON of tools/testing/kunit, which KernelCI takes.
 *
 * Theory of operation: a result that is made of others is a group, and has groups and
 * tests; any other is a test. Every group has what kunit.py says of a run, in its
 * words: what lkvm does not know is null. A group has no status: one that has failed,
 * and no part of it has, has one more test of its own name. All names come from a
 * guest and are escaped. Written in one walk, no state, one thread.
 */
#include <string.h>
#include <sys/utsname.h>

#include "kvm/result.h"

static const char *const status[NR_RESULTS] = {
	[RESULT_PASS] = "PASS",
	[RESULT_SKIP] = "SKIP",
	[RESULT_XFAIL] = "PASS",
	[RESULT_XPASS] = "PASS",
	[RESULT_FAIL] = "FAIL",
	[RESULT_TIMEOUT] = "FAIL",
	[RESULT_CRASH] = "ERROR",
	[RESULT_MISSING] = "ERROR",
};

/* Every group has them. */
static const char fields[] =
	",\n\"arch\": \"%s\", \"defconfig\": null, \"build_environment\": \"\",\n"
	"\"lab_name\": null, \"kernel\": null, \"job\": null,\n"
	"\"git_branch\": \"kselftest\",\n";

static void put_string(FILE *f, const char *s)
{
	putc('"', f);
	escape_put(f, ESCAPE_JSON, s, strlen(s));
	putc('"', f);
}

/* The tests, and the groups that are one as well */
static void count(const struct result *r, struct result_counts *c)
{
	if (!r->first || result_is_fault(r))
		c->of[r->kind]++;
	for (r = r->first; r; r = r->next)
		count(r, c);
}

static void put_test(FILE *f, const struct result *r)
{
	fprintf(f, "{\"name\": ");
	put_string(f, r->name);
	fprintf(f, ", \"status\": \"%s\"}", status[r->kind]);
}

static void put_group(FILE *f, const struct result *g, const char *name);

static void put_children(FILE *f, const struct result *g, bool groups)
{
	const char *comma = "";

	if (!groups && result_is_fault(g)) {
		putc('\n', f);
		put_test(f, g);
		comma = ",";
	}
	for (const struct result *c = g->first; c; c = c->next) {
		if (!c->first == groups)
			continue;
		fprintf(f, "%s\n", comma);
		comma = ",";
		if (groups)
			put_group(f, c, c->name);
		else
			put_test(f, c);
	}
}

static void put_group(FILE *f, const struct result *g, const char *name)
{
	struct result_counts c = { { 0 } };
	struct utsname host;

	count(g, &c);
	fprintf(f, "{\"name\": ");
	put_string(f, name);
	uname(&host);	/* KVM's guests are of the host's kind */
	fprintf(f, fields, host.machine);
	fprintf(f, "\"misc\": {\"tests\": %u, \"passed\": %u, \"failed\": %u, ",
		g->first ? result_counts_all(&c) : 0,
		g->first ? c.of[RESULT_PASS] + c.of[RESULT_XFAIL] +
		c.of[RESULT_XPASS] : 0, c.of[RESULT_FAIL] + c.of[RESULT_TIMEOUT]);
	fprintf(f, "\"crashed\": %u, \"skipped\": %u, \"errors\": %u},\n",
		c.of[RESULT_CRASH], c.of[RESULT_SKIP], c.of[RESULT_MISSING]);
	fprintf(f, "\"sub_groups\": [");
	put_children(f, g, true);
	fprintf(f, "],\n\"test_cases\": [");
	put_children(f, g, false);
	fprintf(f, "]}");
}

void report_json(FILE *f, const struct result *root, const char *dir)
{
	(void)dir;
	put_group(f, root, "KUnit Test Group");
	putc('\n', f);
}
