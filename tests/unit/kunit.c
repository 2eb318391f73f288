// SPDX-License-Identifier: GPL-2.0-only
/* KUnit: kernels that print what is written here, and what is made of that. */
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../builtin-testkunit.c"

#include "tests/unit/dir.h"
#include "tests/unit/test.h"

/**
 * struct one_boot - one boot of a kernel
 * @params: what has to be among its parameters, NULL behind the last one
 * @log: what it prints
 * @status, @text: how it ends; a @status of -1 is never, and a @text then that we get a
 *	signal
 */
struct one_boot {
	const char *params;
	const char *log;
	int status;
	const char *text;
};

#define PANIC STATUS_PANIC, "kernel panic: made up"
#define LATE STATUS_TIMEOUT, "timeout"

static struct test_run run;
static struct report said;
static struct test *now;
static const struct one_boot *next;
static unsigned int steps;
static int signals[2] = { -1, -1 };
static char dir[32];

void signals_open(struct test_run *of)
{
	of->signals = signals[0];
}

bool signal_take(struct test_run *of)
{
	char c;

	of->status = 143;
	return read(of->signals, &c, 1) == 1;
}

void test_line(const struct test_run *of, const char *collection,
	       const struct result *t, unsigned int tries)
{
	(void)of;
	(void)collection;
	(void)t;
	(void)tries;
}

u32 log_check(const char *at, off_t begin, const char *kernel, u32 wanted, char *first)
{
	(void)at;
	(void)begin;
	(void)kernel;
	(void)wanted;
	(void)first;
	return 0;
}

int log_tap(const char *path, struct result *into, struct report *r)
{
	static struct tap tap;
	char buf[4096];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(buf, 1, sizeof(buf), f) : 0;

	if (f)
		fclose(f);
	tap_feed(&tap, buf, n);
	tap_end(&tap, into);
	return f ? 0 : report_error(r, errno, "%s", path);
}

int child_start(struct test_child *c, const struct test_run *of,
		const char *at, const char *const *args, bool pipes,
		struct report *r)
{
	struct test *t = now;
	const struct one_boot *b = next;
	char path[TEST_PATH + 16];
	FILE *f;

	(void)of;
	(void)pipes;
	if (!b->params)
		return report_error(r, 0, "one boot too many");
	next++;
	while (*args && strcmp(*args, "-p"))
		args++;
	EXPECT(*args && strstr(args[1], b->params));
	if (*args && !strstr(args[1], b->params))
		printf("# %s\n", args[1]);
	snprintf(path, sizeof(path), "%s/kernel.log", at);
	f = fopen(path, "we");
	EXPECT(f);
	if (f) {
		fputs(b->log, f);
		fclose(f);
	}
	if (b->status < 0 && b->text)
		EXPECT(write(signals[1], "", 1) == 1);
	c->pid = fork();
	while (!c->pid && b->status < 0)
		pause();
	if (!c->pid)
		_exit(0);
	return 0;
}

void child_wait(struct test_child *c, const char *at, struct test_end *end)
{
	const struct one_boot *b = &next[-1];

	(void)at;
	waitpid(c->pid, NULL, 0);
	memset(end, 0, sizeof(*end));
	end->status = b->status < 0 ? 137 : b->status;
	snprintf(end->text, sizeof(end->text), "%s", b->text ? b->text : "ended");
}

unsigned int child_overdue(const struct test_child *c, unsigned int step,
			   const char *at)
{
	struct test *t = now;

	EXPECT(step == steps && at);
	if (steps++)
		kill(c->pid, SIGKILL);
	return 10;
}

/* Return: that of test_kunit(), when all of @list have been booted */
static int kunit(struct test *t, const char *glob, const struct one_boot *list)
{
	int err;

	now = t;
	next = list;
	steps = 0;
	said.msg[0] = 0;
	run.o.kunit = glob;
	snprintf(run.logs, sizeof(run.logs), "%s", dir);
	err = test_kunit(&run, &said);
	EXPECT(!next->params);
	return err;
}

static void forget(void)
{
	char path[TEST_PATH];

	for (; run.vms; run.vms--) {
		snprintf(path, sizeof(path), "%s/kunit-%u/kernel.log", dir, run.vms);
		unlink(path);
		*strrchr(path, '/') = 0;
		rmdir(path);
	}
	result_empty(&run.root);
	memset(&run, 0, sizeof(run));
}

static const struct result *suite(const char *name)
{
	const struct result *kunit = result_find(&run.root, "kunit");

	return kunit ? result_find(kunit, name) : NULL;
}

static bool is(const char *name, enum result_kind kind, const char *why)
{
	const struct result *s = suite(name);

	if (s && s->kind == kind && (!why || (s->why && !strcmp(s->why, why))))
		return true;
	printf("# %s: %s: %s\n", name, s ? result_words[s->kind] : "none",
	       s && s->why ? s->why : "");
	return false;
}

static unsigned int nr_suites(void)
{
	const struct result *kunit = result_find(&run.root, "kunit");
	unsigned int n = 0;

	for (const struct result *s = kunit ? kunit->first : NULL; s; s = s->next)
		n++;
	return n;
}

#define PLAN(n) "KTAP version 1\n1.." #n "\n"
#define BEGIN(name) "    KTAP version 1\n    # Subtest: " name "\n    1..1\n"
#define SUITE(nr, name) "    KTAP version 1\n    1..1\n    ok 1 t\nok " #nr " " name "\n"
#define SKIPS(nr, name) "    KTAP version 1\n    1..1\n    ok 1 t # SKIP no clock\nok " #nr \
	" " name " # SKIP no clock\n"
#define LIST2 "KTAP version 1\na\na.t\nb\nb.t\n"

TEST(suite_that_panics_before_its_header_is_a_crash)
{
	static const struct one_boot list[] = {
		{ "filter_glob=* ", PLAN(2) SUITE(1, "a"), PANIC },
		{ "action=list", LIST2, 0, NULL },
		{ "filter_glob=b ", PLAN(1), PANIC },
		{ NULL, NULL, 0, NULL },
	};

	EXPECT(!kunit(t, "*", list));
	EXPECT(is("a", RESULT_PASS, NULL));
	EXPECT(is("b", RESULT_CRASH, "kernel panic: made up"));
	EXPECT(suite("b") && suite("b")->log && !strcmp(suite("b")->log, "kunit-3"));
	EXPECT(is("kunit-1", RESULT_CRASH, "after the tests: kernel panic: made up"));
	EXPECT(nr_suites() == 3 && run.root.first->kind == RESULT_FAIL);
	forget();
}

TEST(what_comes_after_the_last_suite_counts)
{
	static const struct one_boot list[] = {
		{ "", PLAN(2) SUITE(1, "a") SUITE(2, "b"), LATE },
		{ "action=list", LIST2, 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	EXPECT(!kunit(t, "*", list));
	EXPECT(is("kunit-1", RESULT_TIMEOUT, "after the tests: timeout"));
	EXPECT(suite("kunit-1") && suite("kunit-1")->log);
	EXPECT(nr_suites() == 3 && run.root.first->kind == RESULT_FAIL);
	forget();
}

TEST(crash_in_a_suite_is_its_own)
{
	static const struct one_boot list[] = {
		{ "", PLAN(2) BEGIN("a"), PANIC },
		{ "action=list", LIST2, 0, NULL },
		{ "filter_glob=b ", PLAN(1) SUITE(1, "b"), 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	EXPECT(!kunit(t, "*", list));
	EXPECT(is("a", RESULT_CRASH, "kernel panic: made up"));
	EXPECT(is("b", RESULT_PASS, NULL) && nr_suites() == 2);
	forget();
}

TEST(name_of_a_suite_may_begin_as_a_number)
{
	static const struct one_boot list[] = {
		{ "", PLAN(1) "    KTAP version 1\n    # Subtest: 80211 of it\n", PANIC },
		{ "action=list", "KTAP version 1\n80211 of it\n80211 of it.t\n", 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	EXPECT(!kunit(t, "*", list));
	EXPECT(is("80211 of it", RESULT_CRASH, NULL) && nr_suites() == 1);
	forget();
}

TEST(kernel_that_prints_nothing_has_no_tests)
{
	static const struct one_boot none[] = {
		{ "", "[    0.1] no init\n", PANIC },
		{ "action=list", "[    0.1] no init\n", PANIC },
		{ NULL, NULL, 0, NULL },
	};
	static const struct one_boot empty[] = {
		{ "", PLAN(0), 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	EXPECT(kunit(t, "nothing*", none) < 0 && strstr(said.msg, "CONFIG_KUNIT"));
	EXPECT(!nr_suites());
	forget();
	EXPECT(kunit(t, "nothing*", empty) < 0 && strstr(said.msg, "CONFIG_KUNIT"));
	EXPECT(!nr_suites());
	forget();
}

TEST(kernel_that_prints_nothing_once_is_no_success)
{
	static const struct one_boot list[] = {
		{ "", "[    0.1] BUG\n", PANIC },
		{ "action=list", LIST2, 0, NULL },
		{ "filter_glob=a ", PLAN(1) SUITE(1, "a"), 0, NULL },
		{ "filter_glob=b ", PLAN(1) SUITE(1, "b"), 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	EXPECT(!kunit(t, "*", list));
	EXPECT(is("kunit-1", RESULT_CRASH, "before the tests") && nr_suites() == 3);
	forget();
}

TEST(list_may_say_who_printed_it)
{
	static const struct one_boot list[] = {
		{ "action=list",
		  "[    0.1][    T0] Linux version 6.1 (gcc 12.2)\r\n"
		  "[    0.2][    T1] KTAP version 1\r\n"
		  "[    0.2][    T1] a\r\n<6>[    0.2][    T1] a.t\r\n"
		  "[    0.3][    T7] tsc: Refined to 2.5 GHz\r\n"
		  "[    0.3][    T1] a.u\r\n", 0, NULL },
		{ "filter_glob=a ", PLAN(1) SUITE(1, "a"), 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	run.o.isolate = ISOLATE_COLLECTION;
	EXPECT(!kunit(t, "*", list));
	EXPECT(is("a", RESULT_PASS, NULL) && nr_suites() == 1);
	forget();
}

/* As those of 6.5 and before are */
TEST(list_may_have_no_suites)
{
	static const struct one_boot list[] = {
		{ "action=list", "TAP version 14\na.t\na.u\n", 0, NULL },
		{ "filter_glob=a.t ", PLAN(1) SUITE(1, "a"), 0, NULL },
		{ "filter_glob=a.u ", PLAN(1), 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	run.o.isolate = ISOLATE_TEST;
	EXPECT(!kunit(t, "*", list));
	EXPECT(is("a", RESULT_MISSING, "u: no result") && nr_suites() == 1);
	forget();
}

#define SIGNAL -1, "signal"

/* As of kselftest: who reads the reports is to see that the rest has not passed. */
TEST(signal_ends_the_boots_and_leaves_results)
{
	static const struct one_boot first[] = {
		{ "", PLAN(4) SUITE(1, "a") BEGIN("b"), SIGNAL },
		{ NULL, NULL, 0, NULL },
	};
	static const struct one_boot none[] = {
		{ "", "", SIGNAL },
		{ NULL, NULL, 0, NULL },
	};
	static const struct one_boot second[] = {
		{ "action=list", LIST2, 0, NULL },
		{ "filter_glob=a ", PLAN(1), SIGNAL },
		{ NULL, NULL, 0, NULL },
	};
	static const struct one_boot listed[] = {
		{ "action=list", "KTAP version 1\n", SIGNAL },
		{ NULL, NULL, 0, NULL },
	};

	EXPECT(!pipe(signals));
	EXPECT(!kunit(t, "*", first) && run.status == 143);
	EXPECT(is("a", RESULT_PASS, NULL) && is("b", RESULT_MISSING, "ended by a signal"));
	EXPECT(is("2 of 4 tests", RESULT_MISSING, "ended by a signal") && nr_suites() == 3);
	EXPECT(run.root.first->kind == RESULT_FAIL);
	forget();
	EXPECT(!kunit(t, "*", none) && run.status == 143);
	EXPECT(is("kunit-1", RESULT_MISSING, "ended by a signal") && nr_suites() == 1);
	forget();
	run.o.isolate = ISOLATE_COLLECTION;
	EXPECT(!kunit(t, "*", second) && run.status == 143);
	EXPECT(is("a", RESULT_MISSING, "ended by a signal"));
	EXPECT(is("b", RESULT_MISSING, "t: no result") && nr_suites() == 2);
	forget();
	run.o.list = true;
	run.lines = stdout;
	EXPECT(kunit(t, "*", listed) == 1 && run.status == 143 && !nr_suites());
	forget();
	close(signals[0]);
	close(signals[1]);
	signals[0] = -1;
}

TEST(suite_that_is_listed_and_not_seen_is_missing)
{
	static const struct one_boot list[] = {
		{ "action=list", LIST2, 0, NULL },
		{ "filter_glob=a ", PLAN(1) SUITE(1, "a"), 0, NULL },
		{ "filter_glob=b ", PLAN(0), 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	run.o.isolate = ISOLATE_COLLECTION;
	EXPECT(!kunit(t, "*", list));
	EXPECT(is("b", RESULT_MISSING, "no result"));
	forget();
}

TEST(list_that_is_empty_is_said)
{
	static const struct one_boot list[] = {
		{ "", PLAN(3) SUITE(1, "a") BEGIN("b"), PANIC },
		{ "action=list", "KTAP version 1\n", 0, NULL },
		{ NULL, NULL, 0, NULL },
	};
	static const struct one_boot late[] = {
		{ "action=list", LIST2, LATE },
		{ "filter_glob=a ", PLAN(1) SUITE(1, "a"), 0, NULL },
		{ "filter_glob=b ", PLAN(1) SUITE(1, "b"), 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	EXPECT(!kunit(t, "*", list));
	EXPECT(is("kunit-2", RESULT_MISSING, "list of tests: no result"));
	forget();
	run.o.isolate = ISOLATE_COLLECTION;
	EXPECT(!kunit(t, "*", late));
	EXPECT(is("kunit-1", RESULT_TIMEOUT, "list of tests: timeout"));
	forget();
}

TEST(list_is_printed_and_not_run)
{
	static const struct one_boot list[] = {
		{ "filter_glob=a* kunit_shutdown=reboot kunit.action=list", LIST2,
		  0, NULL },
		{ NULL, NULL, 0, NULL },
	};
	static const struct one_boot none[] = {
		{ "kunit.action=list", "KTAP version 1\n", 0, NULL },
		{ NULL, NULL, 0, NULL },
	};
	static const struct one_boot cut[] = {
		{ "kunit.action=list", LIST2, PANIC },
		{ NULL, NULL, 0, NULL },
	};
	char *text = NULL;
	size_t size;

	run.o.list = true;
	run.lines = open_memstream(&text, &size);
	EXPECT(kunit(t, "a*", list) == 1);
	fclose(run.lines);
	EXPECT(!strcmp(text, "a.t\nb.t\n") && !nr_suites());
	free(text);
	forget();
	run.o.list = true;
	run.lines = stderr;
	EXPECT(kunit(t, "a*", none) < 0 && strstr(said.msg, "CONFIG_KUNIT"));
	forget();
	run.o.list = true;
	run.lines = stderr;
	EXPECT(kunit(t, "a*", cut) < 0 && strstr(said.msg, "kernel panic: made up"));
	forget();
}

TEST(pattern_of_tests_is_that_of_the_rest)
{
	static const struct one_boot list[] = {
		{ "filter_glob=*.t* ", PLAN(2) BEGIN("a"), PANIC },
		{ "filter_glob=*.t* ", LIST2, 0, NULL },
		{ "filter_glob=b.t* ", PLAN(1) SUITE(1, "b"), 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	EXPECT(!kunit(t, "*.t*", list));
	EXPECT(is("b", RESULT_PASS, NULL));
	forget();
}

TEST(names_may_have_spaces_and_dots)
{
	static const struct one_boot list[] = {
		{ "filter_glob=a?b* ", PLAN(2) BEGIN("a b"), PANIC },
		{ "action=list", "KTAP version 1\na b\na b.t\na 'b' v1.2\na 'b' v1.2.u v\n",
		  0, NULL },
		{ "filter_glob=a??b??v1?2 ", PLAN(1) SUITE(1, "a 'b' v1.2"), 0, NULL },
		{ NULL, NULL, 0, NULL },
	};
	static const struct one_boot each[] = {
		{ "action=list", "KTAP version 1\na b.c\na b.c.u v\n", 0, NULL },
		{ "filter_glob=a?b?c.u?v ", PLAN(1) SUITE(1, "a b.c"), 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	EXPECT(!kunit(t, "a b*", list));
	EXPECT(is("a b", RESULT_CRASH, NULL) && is("a 'b' v1.2", RESULT_PASS, NULL));
	EXPECT(nr_suites() == 2);
	forget();
	run.o.isolate = ISOLATE_TEST;
	EXPECT(!kunit(t, "*", each));
	EXPECT(is("a b.c", RESULT_PASS, NULL) && nr_suites() == 1);
	forget();
}

TEST(suite_is_skipped_when_all_its_tests_are)
{
	static const struct one_boot list[] = {
		{ "action=list", "KTAP version 1\na\na.t\na.u\nb\nb.t\nb.u\nc\nc.t\nc.u\n",
		  0, NULL },
		{ "filter_glob=a.t ", PLAN(1) SKIPS(1, "a"), 0, NULL },
		{ "filter_glob=a.u ", PLAN(1) SUITE(1, "a"), 0, NULL },
		{ "filter_glob=b.t ", PLAN(1) SKIPS(1, "b"), 0, NULL },
		{ "filter_glob=b.u ", PLAN(1) SKIPS(1, "b"), 0, NULL },
		{ "filter_glob=c.t ", PLAN(1) SUITE(1, "c"), 0, NULL },
		{ "filter_glob=c.u ", PLAN(1) SKIPS(1, "c"), 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	run.o.isolate = ISOLATE_TEST;
	EXPECT(!kunit(t, "*", list));
	EXPECT(is("a", RESULT_PASS, NULL) && !suite("a")->why);
	EXPECT(is("b", RESULT_SKIP, "no clock") && is("c", RESULT_PASS, NULL));
	EXPECT(suite("a") && suite("a")->first && suite("a")->first->next == suite("a")->last);
	EXPECT(run.root.first->kind == RESULT_PASS);
	forget();
}

/* What a kernel prints may be a note of our own reports: it is freed. */
TEST(log_is_that_of_the_boot)
{
	static const struct one_boot list[] = {
		{ "", PLAN(1) "lkvm: log elsewhere\nok 1 a\n", 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	EXPECT(!kunit(t, "*", list));
	EXPECT(suite("a") && suite("a")->log && !strcmp(suite("a")->log, "kunit-1"));
	forget();
}

TEST(kernel_that_hangs_is_asked_and_ended)
{
	static const struct one_boot list[] = {
		{ " unknown_nmi_panic ", PLAN(1) BEGIN("a"), -1, NULL },
		{ "action=list", "KTAP version 1\na\na.t\n", 0, NULL },
		{ NULL, NULL, 0, NULL },
	};

	run.o.timeout = 3;
	EXPECT(!kunit(t, "*", list));
	EXPECT(steps == 2);
	EXPECT(is("a", RESULT_TIMEOUT, "3 seconds"));
	forget();
}

int main(int argc, char **argv)
{
	static const struct test_case list[] = {
		T(suite_that_panics_before_its_header_is_a_crash),
		T(what_comes_after_the_last_suite_counts),
		T(crash_in_a_suite_is_its_own),
		T(name_of_a_suite_may_begin_as_a_number),
		T(kernel_that_prints_nothing_has_no_tests),
		T(kernel_that_prints_nothing_once_is_no_success),
		T(list_may_say_who_printed_it),
		T(list_may_have_no_suites),
		T(signal_ends_the_boots_and_leaves_results),
		T(suite_that_is_listed_and_not_seen_is_missing),
		T(list_that_is_empty_is_said),
		T(list_is_printed_and_not_run),
		T(pattern_of_tests_is_that_of_the_rest),
		T(names_may_have_spaces_and_dots),
		T(suite_is_skipped_when_all_its_tests_are),
		T(log_is_that_of_the_boot),
		T(kernel_that_hangs_is_asked_and_ended),
	};
	int bad;

	(void)argc;
	dir_temp(dir, sizeof(dir));
	bad = test_run(list, ARRAY_SIZE(list), argv + 1);
	rmdir(dir);
	return bad;
}
