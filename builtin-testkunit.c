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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin-test.h"

#define BOOT_TIME 300

/* The bytes of a name that a list has */
static size_t name_length(const char *s)
{
	size_t n = 0;

	while (isalnum((u8)s[n]) || (s[n] && strchr("_-.", s[n])))
		n++;
	return n;
}

/* Boot it, and leave its console in kernel.log of a new directory, @log */
static int boot(struct test_run *run, const char *glob, const char *action,
		char *log, struct test_end *end, struct report *r)
{
	char params[512], timeout[32], dir[TEST_PATH];
	const char *args[7] = {
		"--console", "serial", "--timeout", timeout, "-p", params, NULL,
	};
	struct test_child c;
	long limit = run->o.timeout > 0 ? run->o.timeout : BOOT_TIME;
	int err;

	snprintf(log, 32, "kunit-%u", ++run->vms);
	snprintf(dir, sizeof(dir), "%s/%s", run->logs, log);
	snprintf(timeout, sizeof(timeout), "%ld", limit);
	snprintf(params, sizeof(params),
		 "kunit.enable=1 kunit.filter_glob=%s kunit_shutdown=reboot%s%s",
		 glob, action ? " kunit.action=" : "", action ? action : "");
	err = test_mkdir(dir);
	if (err)
		return report_error(r, -err, "%s", dir);
	err = child_start(&c, run, dir, args, false, r);
	if (err)
		return err;
	child_wait(&c, dir, end);
	return end->status == STATUS_ERROR ?
	       report_error(r, 0, "%s", end->text) : 0;
}

static FILE *open_log(const struct test_run *run, const char *log)
{
	char path[TEST_PATH + 64];

	snprintf(path, sizeof(path), "%s/%s/kernel.log", run->logs, log);
	return fopen(path, "re");
}

static int parse(const struct test_run *run, const char *log,
		 struct result *into, struct report *r)
{
	static struct tap tap;
	FILE *f = open_log(run, log);
	char buf[16384];
	size_t n;

	if (!f)
		return report_error(r, errno, "%s/kernel.log", log);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		tap_feed(&tap, buf, n);
	fclose(f);
	tap_end(&tap, into);
	return 0;
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
	if (result_is_bad(s->kind)) {
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
	return s->kind == RESULT_MISSING && !s->first && isdigit((u8)*s->name);
}

/*
 * One boot. Return: 1 if it ended before all tests did, 0, or -errno
 */
static int boot_tests(struct test_run *run, struct result *kunit,
		      const char *glob, struct report *r)
{
	struct result got = { .kind = RESULT_PASS }, *s, *next;
	char log[32], dir[TEST_PATH + 64], first[256];
	u64 begin = now_ns();
	struct test_end end;
	u32 splats;
	bool ended;
	int err;

	err = boot(run, glob, NULL, log, &end, r);
	if (!err)
		err = parse(run, log, &got, r);
	if (err)
		return err;
	snprintf(dir, sizeof(dir), "%s/%s", run->logs, log);
	splats = log_check(dir, run->kernel, run->o.fail_on, first);
	ended = end.status != 0;
	for (s = got.first; s; s = next) {
		next = s->next;
		if (ended && is_rest(s)) {
			result_free(s);
			continue;
		}
		s->log = strdup(log);
		/* The time of a machine is that of its last suite. */
		if (!next)
			s->ms = (now_ns() - begin) / 1000000;
		if (s->kind == RESULT_MISSING && ended) {
			s->kind = !strcmp(end.cause, "timeout") ?
				  RESULT_TIMEOUT : RESULT_CRASH;
			result_say(s, "%s", end.text);
		} else if (splats && !next && !result_is_bad(s->kind)) {
			s->kind = RESULT_FAIL;
			result_say(s, "%s", first);
		}
		keep(run, kunit, s);
	}
	free(got.note);
	return ended;
}

/* The rest of the tests, suite by suite or one by one */
static int boot_rest(struct test_run *run, struct result *kunit, struct report *r)
{
	bool each = run->o.isolate == ISOLATE_TEST;
	char log[32], *line = NULL, last[256] = "";
	struct test_end end;
	size_t size = 0;
	int err;
	FILE *f;

	err = boot(run, run->o.kunit, "list", log, &end, r);
	f = err ? NULL : open_log(run, log);
	while (f && err >= 0 && getline(&line, &size, f) > 0) {
		char name[256], *s = line, *dot;

		/* A time of the log in front, a line's end behind */
		s += *s == '[' ? strcspn(s, "]") + 1 : 0;
		s += strspn(s, "] ");
		snprintf(name, sizeof(name), "%.*s", (int)name_length(s), s);
		dot = strchr(name, '.');
		if (!dot || dot == name || !dot[1] ||
		    strspn(s + strlen(name), "\r\n") < strlen(s + strlen(name)))
			continue;
		if (!each)
			*dot = 0;
		if (!strcmp(name, last))
			continue;
		memcpy(last, name, sizeof(last));
		*dot = 0;
		if (result_find(kunit, name) && !each)
			continue;
		err = boot_tests(run, kunit, last, r);
	}
	free(line);
	if (f)
		fclose(f);
	return err < 0 ? err : 0;
}

int test_kunit(struct test_run *run, struct report *r)
{
	struct result *kunit = result_child(&run->root, "kunit");
	int err = 0;

	if (!kunit)
		return report_error(r, ENOMEM, "test");
	if (run->o.kunit[strcspn(run->o.kunit, " \t\n\"'")])
		return report_error(r, 0, "--kunit: \"%s\" is not a pattern",
				    run->o.kunit);
	if (run->o.isolate == ISOLATE_NONE)
		err = boot_tests(run, kunit, run->o.kunit, r);
	if (err > 0 || run->o.isolate != ISOLATE_NONE)
		err = boot_rest(run, kunit, r);
	kunit->kind = result_judge(kunit);
	if (!err && !kunit->first)
		err = report_error(r, 0,
				   "--kunit: no test of %s: has the kernel CONFIG_KUNIT?",
				   run->o.kunit);
	return err < 0 ? err : 0;
}
