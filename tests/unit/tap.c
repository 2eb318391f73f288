// SPDX-License-Identifier: GPL-2.0-only
/* What tests print, and what becomes of it. */
#include <string.h>

#include "kvm/tap.h"
#include "tests/unit/test.h"

/* In pieces of @step bytes */
static struct result *parse(const char *text, size_t len, size_t step)
{
	struct result *r = result_new("root", 4);
	static struct tap tap;

	for (size_t at = 0; at < len; at += step)
		tap_feed(&tap, text + at, MIN(step, len - at));
	tap_end(&tap, r);
	return r;
}

static void put_tree(FILE *f, const struct result *r, char sep)
{
	for (const struct result *c = r->first; c; c = c->next) {
		fprintf(f, "%s=%s", c->name, result_words[c->kind]);
		if (c->why)
			fprintf(f, "<%s>", c->why);
		if (c->first) {
			putc('(', f);
			put_tree(f, c, ' ');
			putc(')', f);
		}
		if (c->next)
			putc(sep, f);
	}
}

/* "name=KIND<why>(parts)", a line each; in pieces of any size the same */
static bool gives(const char *text, const char *want)
{
	static const size_t steps[] = { 1, 7, 100000 };
	bool same = true;

	for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++) {
		struct result *r = parse(text, strlen(text), steps[i]);
		char *got = NULL;
		size_t size;
		FILE *f = open_memstream(&got, &size);

		put_tree(f, r, '\n');
		fclose(f);
		if (strcmp(got, want))
			printf("# got  %s\n# want %s\n", got, want);
		same &= !strcmp(got, want);
		free(got);
		result_free(r);
	}
	return same;
}

TEST(tap13_of_a_test)
{
	EXPECT(gives("TAP version 13\n1..3\nok 1 a\nnot ok 2 - b c\n"
		     "ok 3 d # SKIP no e\n# Totals: pass:1 fail:1 xfail:0 skip:1\n",
		     "a=PASS\nb c=FAIL\nd=SKIP<no e>"));
}

TEST(directives_say_more)
{
	EXPECT(gives("1..7\nok 1 a # XFAIL as known\nnot ok 2 b # TODO x\n"
		     "ok 3 c # TODO\nnot ok 4 d # TIMEOUT 45 seconds\n"
		     "not ok 5 e # exit=139\nok 6 f #skip\nnot ok 7 # skip\n",
		     "a=XFAIL<as known>\nb=XFAIL<x>\nc=XPASS\nd=TIMEOUT<45 seconds>\n"
		     "e=FAIL<exit=139>\nf=SKIP\n=SKIP"));
	EXPECT(gives("1..2\nok 1 a#b\nok 2 x \\# y # SKIPPED\n",
		     "a#b=PASS\nx # y=PASS<SKIPPED>"));
}

TEST(runner_of_kselftest_nests_by_hashes)
{
	EXPECT(gives("TAP version 13\n1..2\n# timeout set to 45\n"
		     "# selftests: timers: posix_timers\n# TAP version 13\n# 1..2\n"
		     "# ok 1 one\n# ok 2 two # SKIP\n# # Totals: pass:1 fail:0\n"
		     "ok 1 selftests: timers: posix_timers\n"
		     "# selftests: timers: x\n# text\n"
		     "not ok 2 selftests: timers: x # exit=1\n"
		     "TAP version 13\n1..1\n# 1..1\n# # # ok 1 deep\n# ok 1 in\n"
		     "ok 1 selftests: size: y\n",
		     "selftests: timers: posix_timers=PASS(one=PASS two=SKIP)\n"
		     "selftests: timers: x=FAIL<exit=1>\n"
		     "selftests: size: y=PASS(in=PASS(deep=PASS))"));
}

static const char kunit[] =
	"[    0.100000] KTAP version 1\n[    0.100000] 1..2\n"
	"[    0.2]     KTAP version 1\n[    0.2]     # Subtest: list\r\n"
	"[    0.2]     # module: list_test\n[    0.2]     1..2\n"
	"[    0.2] random: crng init done\n[    0.2]     ok 1 list_a\n"
	"[    0.2][    T1]         KTAP version 1\n"
	"[    0.2][    T1]         # Subtest: list_b\n"
	"[    0.2][    T1]         ok 1 p # SKIP why\n"
	"[    0.2][    T1]         ok 2 q\n"
	"<6>[    0.2]     ok 2 list_b\n"
	"[    0.3] # list: pass:2 fail:0 skip:0 total:2\n"
	"[    0.3] # Totals: pass:2 fail:0 skip:0 total:2\n"
	"[    0.3] ok 1 list\n"
	"[    0.4]     KTAP version 1\n[    0.4]     # Subtest: hash\n";

TEST(kunit_on_a_console)
{
	char text[2048];

	snprintf(text, sizeof(text), "%s%s", kunit,
		 "[   0.4]     1..1\n[   0.4]     not ok 1 h\n[   0.4] not ok 2 hash\n");
	EXPECT(gives(text, "list=PASS(list_a=PASS list_b=PASS(p=SKIP<why> q=PASS))\n"
		     "hash=FAIL(h=FAIL)"));
}

TEST(kunit_that_crashes)
{
	char text[2048];

	snprintf(text, sizeof(text), "%s%s", kunit,
		 "[   0.4]     1..3\n[   0.4]     ok 1 h\n"
		 "[   0.5] Kernel panic - not syncing: ok 3 x\n");
	EXPECT(gives(text, "list=PASS(list_a=PASS list_b=PASS(p=SKIP<why> q=PASS))\n"
		     "hash=MISSING<no result>(h=PASS 2 of 3 tests=MISSING<no result>)"));
	snprintf(text, sizeof(text), "%s", kunit);
	EXPECT(gives(text, "list=PASS(list_a=PASS list_b=PASS(p=SKIP<why> q=PASS))\n"
		     "hash=MISSING<no result>"));
}

TEST(plan_that_is_not_kept)
{
	EXPECT(gives("1..5\n", "5 of 5 tests=MISSING<no result>"));
	EXPECT(gives("1..3\nok 1 a\n",
		     "a=PASS\n2 of 3 tests=MISSING<no result>"));
	EXPECT(gives("1..0 # SKIP nothing here\n", ""));
	EXPECT(gives("ok 1 a\nok 2 b\n1..2\n", "a=PASS\nb=PASS"));
	EXPECT(gives("1..1\nok 1 a\nok 2 b\n", "a=PASS\nb=PASS"));
	EXPECT(gives("# 1..2\n# ok 1 a\nok 1 t\n",
		     "t=FAIL<ok, but its parts are not>(a=PASS 1 of 2 tests=MISSING<no result>)"));
	EXPECT(gives("# 1..2\n# ok 1 a\nok 1 t # SKIP x\n", "t=SKIP<x>(a=PASS)"));
}

/* A script runs one program after the other. */
TEST(each_plan_is_kept_by_its_own_program)
{
	static const char two[] = "TAP version 13\n1..1\nTAP version 13\n1..1\nok 1 b\n";

	EXPECT(gives(two, "1 of 1 tests=MISSING<no result>\nb=PASS"));
	EXPECT(gives("# TAP version 13\n# 1..1\n# TAP version 13\n# 1..1\n# ok 1 b\nok 1 t\n",
		     "t=FAIL<ok, but its parts are not>(1 of 1 tests=MISSING<no result> b=PASS)"));
	/* A plan in front of the only version is that one's. */
	EXPECT(gives("1..1\nTAP version 13\nok 1 a\n", "a=PASS"));
	EXPECT(gives("TAP version 13\n1..1\n# Subtest: a\nok 1 a\n", "a=PASS"));
	EXPECT(gives("TAP version 13\n1..1\nnot ok 1 a\n# Totals: pass:0 fail:1 error:0\n"
		     "TAP version 13\n1..1\nok 1 b\n", "a=FAIL\nb=PASS"));
	/* Not all of them print a version. */
	EXPECT(gives("1..2\nok 1 a\n1..1\nok 1 b\n",
		     "a=PASS\n1 of 2 tests=MISSING<no result>\nb=PASS"));
	EXPECT(gives("1..1\nok 1 a\n1..2\nok 1 b\n",
		     "a=PASS\nb=PASS\n1 of 2 tests=MISSING<no result>"));
	EXPECT(gives("1..2\nok 1 a\n1..0 # SKIP no disk\n",
		     "a=PASS\n1 of 2 tests=MISSING<no result>"));
	EXPECT(gives("1..1\nok 1 a\n1..1\nok 1 b\n", "a=PASS\nb=PASS"));
	EXPECT(gives("# 1..2\n# ok 1 a\n# 1..0 # SKIP no disk\nok 1 t # SKIP no disk\n",
		     "t=SKIP<no disk>(a=PASS)"));
	EXPECT(gives("# 1..2\n# ok 1 a\n# 1..1\n# ok 1 b\nnot ok 1 t\n",
		     "t=FAIL(a=PASS 1 of 2 tests=MISSING<no result> b=PASS)"));
}

TEST(whole_is_no_better_than_its_parts)
{
	EXPECT(gives("1..1\n  not ok 1 a\nok 1 t\n",
		     "t=FAIL<ok, but its parts are not>(a=FAIL)"));
	EXPECT(gives("1..1\n  not ok 1 a # SKIP\n  not ok 2 b # TODO\nok 1 t\n",
		     "t=PASS(a=SKIP b=XFAIL)"));
	EXPECT(gives("1..1\n  not ok 1 a\n  ok 2 b\nok 1 t # SKIP no disk\n",
		     "t=FAIL<ok, but its parts are not>(a=FAIL b=PASS)"));
	EXPECT(gives("1..1\n  1..3\n  ok 1 a # SKIP\nok 1 t # SKIP\n", "t=SKIP(a=SKIP)"));
}

TEST(totals_are_compared)
{
	EXPECT(gives("1..1\nok 1 a\n# Totals: pass:0 fail:2 skip:0\n",
		     "a=PASS\n2 failed tests=MISSING<no result>"));
	EXPECT(gives("1..3\n# Totals: pass:2 fail:0 xfail:1 xpass:0 skip:0 error:0\n",
		     ""));
	EXPECT(gives("1..3\n# Totals: pass:1 fail:0 xfail:1 xpass:0 skip:0 error:0\n",
		     "1 of 3 tests=MISSING<no result>"));
	EXPECT(gives("1..2\n# Totals: :: fail: :fail:x\nok 1 a\nok 2 b\n",
		     "a=PASS\nb=PASS"));
}

TEST(prose_is_no_result)
{
	EXPECT(gives("ok then\nokay 1\nnot okay\nnot ok\nok: 1\n1..x\n1..3rd\n", ""));
	EXPECT(gives("KTAP version 1\nok\nok a\nnot ok\n", "=PASS\na=PASS\n=FAIL"));
	EXPECT(gives("", ""));
	EXPECT(gives("no line end", ""));
}

TEST(bail_out_fails)
{
	EXPECT(gives("1..2\nok 1 a\nBail out! no disk\n",
		     "a=PASS\nBail out!=FAIL<no disk>"));
}

TEST(notes_belong_to_what_failed)
{
	static const char text[] = "1..2\n# one\nok 1 a\n# two\nthree\nnot ok 2 b\n";
	struct result *r = parse(text, strlen(text), 3);

	EXPECT(!r->first->note);
	EXPECT(r->last->note && !strcmp(r->last->note, "two\nthree\n"));
	result_free(r);
}

TEST(long_notes_keep_their_end)
{
	struct result *r = result_new("r", 1);
	static struct tap tap;
	char line[64];

	for (unsigned int i = 0; i < 10000; i++) {
		snprintf(line, sizeof(line), "line %u\n", i);
		tap_feed(&tap, line, strlen(line));
	}
	tap_feed(&tap, "not ok 1 x\n", 11);
	tap_end(&tap, r);
	EXPECT(strstr(r->first->note, "line 9999\n"));
	EXPECT(!strncmp(r->first->note, "line ", 5));
	EXPECT(strlen(r->first->note) < TAP_NOTE);
	result_free(r);
}

TEST(nul_bytes_and_huge_lines)
{
	static const char nul[] = "1..1\nok 1 a\0b\0\n";
	char *big = malloc(SZ_1M);
	struct result *r = parse(nul, sizeof(nul) - 1, 2);

	EXPECT(r->first && !strcmp(r->first->name, "a?b?") && !r->first->next);
	result_free(r);
	memset(big, 'x', SZ_1M);
	memcpy(big, "ok 1 ", 5);
	big[SZ_1M - 1] = '\n';
	r = parse(big, SZ_1M, 4096);
	EXPECT(r->first && strlen(r->first->name) == TAP_LINE - 1 - 5);
	result_free(r);
	memset(big, 0, SZ_1M);
	r = parse(big, SZ_1M, 4096);
	EXPECT(!r->first);
	result_free(r);
	memset(big, ' ', SZ_1M);
	r = parse(big, SZ_1M, SZ_1M);
	EXPECT(!r->first);
	result_free(r);
	free(big);
}

static unsigned int depth_of(const struct result *r)
{
	unsigned int max = 0;

	for (const struct result *c = r->first; c; c = c->next)
		max = MAX(max, depth_of(c) + 1);
	return max;
}

TEST(depth_is_bounded)
{
	struct result *r = result_new("r", 1);
	struct result_counts c = { { 0 } };
	static struct tap tap;

	for (int step = -1; step < 2; step += 2)
		for (int i = 0; i < 500; i++) {
			char line[1100];

			snprintf(line, sizeof(line), "%*sok 1 d\n",
				 step < 0 ? 2 * (500 - i) : 2 * i, "");
			tap_feed(&tap, line, strlen(line));
		}
	tap_end(&tap, r);
	result_count(r, &c);
	EXPECT(depth_of(r) <= 500 + TAP_DEPTH);
	EXPECT(result_counts_all(&c) > 0);
	result_free(r);
}

TEST(number_of_results_is_bounded)
{
	struct result *r = result_new("r", 1);
	struct result_counts c = { { 0 } };
	static struct tap tap;

	for (unsigned int i = 0; i < TAP_NODES + 1000; i++)
		tap_feed(&tap, "ok 1 a\n", 7);
	tap_end(&tap, r);
	result_count(r, &c);
	EXPECT(c.of[RESULT_PASS] == TAP_NODES);
	/* That there was more is not lost. */
	EXPECT(c.of[RESULT_MISSING] == 1);
	result_free(r);
}

/* All that is kept of a result counts, not its name alone. */
TEST(memory_of_results_is_bounded)
{
	const unsigned int nr = TAP_BYTES / 3000 * 2;
	struct result *r = result_new("r", 1);
	struct result_counts c = { { 0 } };
	static struct tap tap;
	char line[3100];
	int len;

	len = snprintf(line, sizeof(line), "ok 1 a # SKIP %03000d\n", 0);
	for (unsigned int i = 0; i < nr; i++)
		tap_feed(&tap, line, len);
	tap_end(&tap, r);
	result_count(r, &c);
	EXPECT(c.of[RESULT_SKIP] > nr / 4 && c.of[RESULT_SKIP] < nr * 3 / 4);
	EXPECT(c.of[RESULT_MISSING] == 1);
	result_free(r);
}

/* Those that are made up for what is missing, too */
TEST(number_of_missing_results_is_bounded)
{
	static const char text[] = "    1..1\n1..1\n";
	struct result *r = result_new("root", 4);
	static struct tap tap;
	unsigned int made = 0;

	for (int i = 0; i < 2 * TAP_NODES; i++)
		tap_feed(&tap, text, sizeof(text) - 1);
	tap_end(&tap, r);
	for (const struct result *c = r->first; c; c = c->next)
		made++;
	EXPECT(made > 10 && made <= TAP_NODES);
	result_free(r);
}

TEST(times_and_logs_come_back)
{
	static const char text[] = "1..1\n# lkvm: ms 1234\n# lkvm: log a/b\nok 1 x\n";
	struct result *r = parse(text, strlen(text), 1);

	EXPECT(r->first->ms == 1234);
	EXPECT(r->first->log && !strcmp(r->first->log, "a/b"));
	result_free(r);
}

TEST_MAIN(T(tap13_of_a_test), T(directives_say_more),
	  T(runner_of_kselftest_nests_by_hashes), T(kunit_on_a_console),
	  T(kunit_that_crashes), T(plan_that_is_not_kept),
	  T(each_plan_is_kept_by_its_own_program),
	  T(whole_is_no_better_than_its_parts), T(totals_are_compared),
	  T(prose_is_no_result), T(bail_out_fails),
	  T(notes_belong_to_what_failed), T(long_notes_keep_their_end),
	  T(nul_bytes_and_huge_lines), T(depth_is_bounded),
	  T(number_of_results_is_bounded),
	  T(memory_of_results_is_bounded),
	  T(number_of_missing_results_is_bounded),
	  T(times_and_logs_come_back))
