// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: tests that are in the kernel.
 *
 * Theory of operation: a kernel with nothing but its serial port runs the suites of
 * a pattern while it boots, prints KTAP and reboots. What has been printed when it
 * ends is what counts. With a machine for each, or after a crash, the kernel is
 * first asked for a list of its tests: those of which nothing was heard are run in
 * machines of their own, since a pattern cannot say "all but these". Main thread.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin-test.h"
#include "kvm/file.h"
#include "kvm/klog.h"

#define BOOT_TIME 300
/* Where the end of a machine cannot be waited for, it ends itself. */
#define LATE_TIME 60
#define LIST_LINES 65536

/**
 * struct boot - of a kernel with the tests of @glob
 * @dir: its directory; @log: that, below the one of logs; @console: what it printed
 * @end, @ms: how it ended, and when
 */
struct boot {
	char glob[TEST_GLOB_MAX];
	char dir[TEST_PATH];
	char console[TEST_PATH + 16];
	const char *log;
	struct test_end end;
	u64 ms;
};

/* Behind the first @n bytes, and with any character for each of @bad */
static size_t put_glob(struct boot *b, size_t n, const char *s, const char *bad)
{
	for (; *s && n < TEST_GLOB_MAX - 1; s++)
		b->glob[n++] = strchr(bad, *s) ? '?' : *s;
	b->glob[n] = 0;
	return n;
}

/* All that is asked for; of @suite, unless that is NULL; or but @test of that */
static void make_glob(struct boot *b, const char *pattern, const char *suite,
		      const char *test)
{
	/* What has a meaning in a pattern, or ends one */
	static const char bad[] = " .*?[\\\"'";
	size_t n = put_glob(b, 0, suite ? suite : pattern, suite ? bad : " ");

	pattern = test ? "." : strchr(pattern, '.');
	if (suite && pattern)
		n = put_glob(b, n, pattern, " ");
	if (test)
		put_glob(b, n, test, bad);
}

/* Return: whether it ended by itself within @limit seconds, or a signal ended it */
static bool in_time(struct test_run *run, const struct test_child *c, const char *dir,
		    long limit)
{
	struct pollfd p[2] = {
		{ .fd = syscall(SYS_pidfd_open, c->pid, 0), .events = POLLIN },
		{ .fd = run->signals, .events = POLLIN },
	};
	int ms = limit > 0 && limit < INT_MAX / 1000 ? limit * 1000 : -1;
	unsigned int steps = 0;

	while (p[0].fd >= 0 && !p[0].revents) {
		int n = poll(p, 2, ms);

		if (!n) {
			ms = child_overdue(c, steps++, dir);
		} else if (n > 0 && p[1].revents && signal_take(run)) {
			kill(c->pid, SIGKILL);
			p[1].fd = -1;
		}
	}
	if (p[0].fd >= 0)
		close(p[0].fd);
	return !steps;
}

/* Boot it, and leave its console in kernel.log of a new directory */
static int boot(struct test_run *run, struct boot *b, const char *more,
		struct report *r)
{
	char params[512], timeout[32];
	const char *args[7] = {
		"--console", "serial", "--timeout", timeout, "-p", params, NULL,
	};
	long limit = run->o.timeout < 0 ? BOOT_TIME : run->o.timeout;
	u64 begin = now_ns();
	struct test_child c;
	int err;

	b->log = b->dir + snprintf(b->dir, sizeof(b->dir), "%s/", run->logs);
	snprintf(b->dir + strlen(b->dir), 32, "kunit-%u", ++run->vms);
	snprintf(b->console, sizeof(b->console), "%s/kernel.log", b->dir);
	snprintf(timeout, sizeof(timeout), "%ld", limit ? limit + LATE_TIME : 0);
	snprintf(params, sizeof(params),
		 "kunit.enable=1 unknown_nmi_panic kunit.filter_glob=%s kunit_shutdown=reboot%s",
		 b->glob, more);
	err = path_make(b->dir, 0777);
	if (err)
		return report_error(r, -err, "%s", b->dir);
	err = child_start(&c, run, b->dir, args, false, r);
	if (err)
		return err;
	err = in_time(run, &c, b->dir, limit);
	child_wait(&c, b->dir, &b->end);
	if (run->status) {
		b->end.status = STATUS_CUT;
		snprintf(b->end.text, sizeof(b->end.text), "ended by a signal");
	} else if (!err) {
		b->end.status = STATUS_TIMEOUT;
		snprintf(b->end.text, sizeof(b->end.text), "%ld seconds", limit);
	}
	b->ms = (now_ns() - begin) / NSEC_PER_MSEC;
	return b->end.status == STATUS_ERROR ?
	       report_error(r, 0, "%s", b->end.text) : 0;
}

/* Tests of a suite that had machines of their own are one suite. */
static void keep(struct test_run *run, struct result *kunit, struct result *s)
{
	struct result *same = result_find(kunit, s->name);

	test_line(run, kunit->name, s, 1);
	kunit->ms += s->ms;
	if (!same) {
		result_add(kunit, s);
		return;
	}
	same->ms += s->ms;
	result_merge(same, s, 0);
	/* One that was skipped so far is what the next one is. */
	if (result_is_bad(s->kind) || same->kind == RESULT_SKIP) {
		char *why = same->why, *log = same->log;

		same->kind = s->kind;
		same->why = s->why;
		same->log = s->log;
		s->why = why;
		s->log = log;
	}
	result_free(s);
}

/* Those of which the kernel did not get to say anything: others run them. */
static bool is_rest(const struct result *s)
{
	int end = 0;

	return s->kind == RESULT_MISSING && !s->first &&
	       !sscanf(s->name, "%*u of %*u tests%n", &end) && end && !s->name[end];
}

/* The boot ended, and there was no result; @where: may be empty */
static void say_end(struct result *s, const char *where, const struct boot *b)
{
	const char *text = b->end.status ? b->end.text : "no result";

	s->kind = !b->end.status || b->end.status == STATUS_CUT ? RESULT_MISSING :
		  b->end.status == STATUS_TIMEOUT ? RESULT_TIMEOUT : RESULT_CRASH;
	result_say(s, "%s%s%s", where, *where && *text ? ": " : "", text);
}

/* A result that no kernel has printed */
static void keep_end(struct test_run *run, struct result *kunit,
		     const char *name, const char *where, const struct boot *b)
{
	struct result *s = result_new(name, strlen(name));

	if (!s) {
		run->status = STATUS_ERROR;
		return;
	}
	s->log = strdup(b->log);
	s->ms = b->ms;
	say_end(s, where, b);
	keep(run, kunit, s);
}

/*
 * One boot, with tests as of make_glob().
 * Return: 1 if it ended before all tests did, 0, or -errno
 */
static int boot_tests(struct test_run *run, struct result *kunit,
		      const char *suite, const char *test, struct report *r)
{
	struct result got = { .kind = RESULT_PASS }, *s, *next;
	char first[256];
	struct boot b;
	bool blamed;
	u32 splats;
	int err;

	make_glob(&b, run->o.kunit, suite, test);
	err = boot(run, &b, "", r);
	if (!err)
		err = log_tap(b.console, &got, r);
	if (err < 0)
		return err;
	splats = log_check(b.dir, 0, run->kernel, run->o.fail_on, first);
	/* Who has printed nothing has no tests. */
	blamed = !b.end.status || (!got.first && !run->status);
	for (s = got.first; s; s = next) {
		next = s->next;
		if ((suite || (b.end.status && !run->status)) && is_rest(s)) {
			result_free(s);
			continue;
		}
		free(s->log);
		s->log = strdup(b.log);
		/* The time of a machine is that of its last suite. */
		if (!next) {
			s->ms = b.ms;
			b.ms = 0;
		}
		if (s->kind == RESULT_MISSING && b.end.status) {
			say_end(s, "", &b);
			blamed = true;
		} else if (splats && !next && !result_is_bad(s->kind)) {
			s->kind = RESULT_FAIL;
			result_say(s, "%s", first);
		}
		if (suite && !strcmp(s->name, suite))
			suite = NULL;
		keep(run, kunit, s);
	}
	free(got.note);
	if (suite)
		keep_end(run, kunit, suite, test ? test : "", &b);
	else if (!blamed)
		keep_end(run, kunit, b.log, kunit->first ? "after the tests" : "", &b);
	return b.end.status != 0 && !run->status;
}

/*
 * A suite, or one of its tests behind it and a dot. Kernels of 6.5 and before list
 * but these. What else a kernel says meanwhile becomes a suite without tests.
 */
static bool list_line(struct result *list, char *s)
{
	struct result *suite = NULL;
	char *test = s;

	while (!suite && (test = strchr(test, '.'))) {
		*test = 0;
		suite = result_find(list, s);
		*test++ = '.';
	}
	test = test ? test : strchr(s, '.');
	if (!suite && test && test[1] && test[1] != '.' && !strchr(s, ' ')) {
		*test++ = 0;
		suite = result_child(list, s);
	}
	return suite ? result_child(suite, test) : result_child(list, s);
}

static int list_tests(struct test_run *run, struct result *list, struct boot *b,
		      struct report *r)
{
	bool begun = false, ok = true;
	char line[1024], *s, *end;
	FILE *f;
	int err;

	make_glob(b, run->o.kunit, NULL, NULL);
	err = boot(run, b, " kunit.action=list", r);
	if (err)
		return err;
	f = fopen(b->console, "re");
	if (!f)
		return report_error(r, errno, "%s", b->console);
	for (int n = 0; n < LIST_LINES && ok && fgets(line, sizeof(line), f); n++) {
		s = (char *)klog_message(line);
		s += s > line && *s == ' ';
		for (end = s; (u8)*end >= ' '; end++)
			;
		*end = 0;
		if (begun && isalnum((u8)*s))
			ok = list_line(list, s);
		begun |= !!strstr(s, "TAP version ");
	}
	fclose(f);
	return ok ? 0 : report_error(r, ENOMEM, "test");
}

/* @end: how the kernel has; empty if as it should */
static int no_tests(const struct test_run *run, const char *end, struct report *r)
{
	return report_error(r, 0, "--kunit: no test of %s: %s%shas the kernel CONFIG_KUNIT?",
			    run->o.kunit, end, *end ? "; " : "");
}

/*
 * The rest of the tests, suite by suite or one by one; or they are only printed.
 * Return: 1 if they were, 0, or -errno
 */
static int boot_rest(struct test_run *run, struct result *kunit, struct report *r)
{
	bool each = run->o.isolate == ISOLATE_TEST || run->o.list, any = false;
	struct result list = { .kind = RESULT_PASS };
	struct boot b;
	int err = list_tests(run, &list, &b, r);

	for (struct result *s = list.first; s && err >= 0; s = s->next) {
		any |= !!s->first;
		if ((!each || run->status) && result_find(kunit, s->name))
			continue;
		for (struct result *t = s->first; t && err >= 0; t = each ? t->next : NULL) {
			if (run->o.list)
				fprintf(run->lines, "%s.%s\n", s->name, t->name);
			else if (run->status)
				keep_end(run, kunit, s->name, t->name, &b);
			else
				err = boot_tests(run, kunit, s->name,
						 each ? t->name : NULL, r);
		}
	}
	result_empty(&list);
	if (run->status && run->o.list)
		any = true;
	else if (err >= 0 && any && b.end.status && run->o.list)
		err = report_error(r, 0, "--kunit: list of tests: %s", b.end.text);
	else if (err >= 0 && !any && !kunit->first && !run->status)
		err = no_tests(run, b.end.status ? b.end.text : "", r);
	else if (err >= 0 && (!any || b.end.status))
		keep_end(run, kunit, b.log, "list of tests", &b);
	return err < 0 ? err : any && run->o.list;
}

/* The first boot ended before it said that there are tests, and there are. */
static void keep_silent(struct test_run *run, struct result *kunit)
{
	struct boot b;

	b.log = "kunit-1";
	b.end.status = STATUS_RESET;
	*b.end.text = 0;
	b.ms = 0;
	keep_end(run, kunit, b.log, "before the tests", &b);
}

int test_kunit(struct test_run *run, struct report *r)
{
	struct result *kunit = result_child(&run->root, "kunit");
	bool all = run->o.isolate == ISOLATE_NONE && !run->o.list;
	bool silent;
	int err = 0;

	if (!kunit)
		return report_error(r, ENOMEM, "test");
	signals_open(run);
	if (all)
		err = boot_tests(run, kunit, NULL, NULL, r);
	silent = err > 0 && !kunit->first;
	if (err > 0 || !all)
		err = boot_rest(run, kunit, r);
	if (silent && kunit->first)
		keep_silent(run, kunit);
	kunit->kind = result_judge(kunit);
	return err || kunit->first ? err : no_tests(run, "", r);
}
