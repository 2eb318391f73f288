// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm test.
 *
 * Theory of operation: options say which tests; they are built and found, shared
 * among machines, run, and reported; or reports of earlier runs are joined. What
 * remains is a directory of logs. The exit status is of the results: 0 if all have
 * passed, 1 if one has not, 4 if all were skipped; else as that of lkvm run.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin-test.h"
#include "kvm/file.h"

static int opt_pick(void *opts, const char *value, struct report *r)
{
	struct test_options *o = opts;

	if (o->nr_picks == TEST_MAX_NAMES)
		return report_error(r, 0, "test: more than %d names",
				    TEST_MAX_NAMES);
	o->pick[o->nr_picks++] = value;
	return 0;
}

static int opt_collection(void *opts, const char *value, struct report *r)
{
	if (!*value || value[strcspn(value, ": \t")])
		return report_error(r, 0,
				    "--collection: \"%s\" is not the name of one",
				    value);
	return opt_pick(opts, value, r);
}

static int opt_test(void *opts, const char *value, struct report *r)
{
	const char *colon = strchr(value, ':');

	if (!colon || colon == value || !colon[1])
		return report_error(r, 0, "--test: \"%s\" is not COLLECTION:TEST",
				    value);
	return opt_pick(opts, value, r);
}

static int opt_kunit(void *opts, const char *value, struct report *r)
{
	struct test_options *o = opts;
	size_t n = strcspn(value, "\t\n\"'");

	if (!n || value[n] || n >= TEST_GLOB_MAX)
		return report_error(r, 0, "--kunit: \"%s\" is not a pattern", value);
	o->kunit = value;
	return 0;
}

static int opt_vm(void *opts, const char *value, struct report *r)
{
	struct test_options *o = opts;

	if (o->nr_args == TEST_MAX_ARGS)
		return report_error(r, 0, "--vm: more than %d", TEST_MAX_ARGS);
	o->arg[o->nr_args++] = value;
	return 0;
}

static int opt_isolate(void *opts, const char *value, struct report *r)
{
	struct test_options *o = opts;

	if (!strcmp(value, "collection"))
		o->isolate = ISOLATE_COLLECTION;
	else if (!strcmp(value, "test"))
		o->isolate = ISOLATE_TEST;
	else
		return report_error(r, 0,
				    "--isolate: \"%s\" is not collection or test",
				    value);
	return 0;
}

static int opt_shard(void *opts, const char *value, struct report *r)
{
	struct test_options *o = opts;
	char rest;

	if (!value[strspn(value, "0123456789/")] &&
	    sscanf(value, "%5u/%5u%c", &o->shard, &o->shards, &rest) == 2 &&
	    o->shard && o->shard <= o->shards && o->shards <= 10000)
		return 0;
	return report_error(r, 0, "--shard: \"%s\" is not I/N with I from 1 to N",
			    value);
}

static int opt_fail_on(void *opts, const char *value, struct report *r)
{
	struct test_options *o = opts;

	return fail_on_parse(&o->fail_on, value, r);
}

#define TEST_OPT(n, l, t, a, f, h) \
	{ n, l, t, a, h, offsetof(struct test_options, f), NULL }
#define TEST_CALL(n, l, a, c, h) { n, l, OPT_CALL, a, h, 0, c }

const struct option_desc test_options[] = {
	TEST_CALL("collection", 'c', "NAME", opt_collection,
		  "run that kselftest collection; repeatable"),
	TEST_CALL("test", 't', "COLLECTION:TEST", opt_test,
		  "run that test, or those of that pattern; repeatable"),
	TEST_CALL("kunit", 0, "GLOB", opt_kunit,
		  "run KUnit suites of that pattern instead"),
	TEST_OPT("list", 0, OPT_FLAG, NULL, list, "print the tests, run none"),
	TEST_OPT("install", 0, OPT_STRING, "DIR", install,
		 "tests that are installed there; nothing is built"),
	TEST_OPT("no-build", 0, OPT_FLAG, NULL, no_build,
		 "take what has been installed before"),
	TEST_OPT("config", 0, OPT_STRING, "FILE|-", config,
		 "add to a .config, or print, what the tests want of the kernel"),
	TEST_OPT("kernel", 'k', OPT_STRING, "FILE|DIR", kernel,
		 "as of lkvm run"),
	TEST_CALL("vm", 0, "ARG", opt_vm, "one more argument of lkvm run; repeatable"),
	TEST_OPT("jobs", 'j', OPT_NUMBER, "N", jobs, "machines at a time"),
	TEST_CALL("isolate", 0, "collection|test", opt_isolate,
		  "a machine of its own for each"),
	TEST_OPT("retry", 0, OPT_NUMBER, "N", retry,
		 "try what fails so many times more"),
	TEST_OPT("timeout", 0, OPT_TIME, "TIME", timeout,
		 "how long each test may take, instead of its settings"),
	TEST_CALL("fail-on", 0, "KIND[,KIND...]", opt_fail_on,
		  "a test fails when the kernel reports oops, warn, kasan, lockdep or rcu"),
	TEST_CALL("shard", 0, "I/N", opt_shard, "run the I-th of N shares"),
	TEST_OPT("times", 0, OPT_STRING, "DIR", times,
		 "share by how long tests took, from logs of an earlier run"),
	TEST_OPT("merge", 0, OPT_FLAG, NULL, merge,
		 "join the reports of the runs whose logs are in DIR..."),
	TEST_OPT("logs", 0, OPT_STRING, "DIR", logs,
		 "where logs and reports go; by default a new directory"),
	TEST_OPT("ktap", 0, OPT_STRING, "FILE|-", report[TEST_KTAP],
		 "write KTAP there as well"),
	TEST_OPT("json", 0, OPT_STRING, "FILE|-", report[TEST_JSON],
		 "write JSON as kunit.py does"),
	TEST_OPT("junit", 0, OPT_STRING, "FILE|-", report[TEST_JUNIT],
		 "write JUnit XML"),
	TEST_OPT("html", 0, OPT_STRING, "FILE|-", report[TEST_HTML],
		 "write an HTML page"),
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

static int check_reports(const struct test_options *o, struct report *r)
{
	bool none = o->list && o->config;

	for (unsigned int i = 0; i < NR_REPORTS; i++) {
		const char *path = o->report[i];

		none |= path && (o->list || o->config);
		for (unsigned int j = 0; path && j < i; j++)
			if (o->report[j] && !strcmp(path, o->report[j]))
				return report_error(r, 0, "test: two reports to one %s", path);
	}
	return none ? report_error(r, 0, "--list and --config go with no report, nor together") :
		      0;
}

static bool runs_something(const struct test_options *o)
{
	return o->list || o->kunit || o->nr_picks || o->install || o->shards || o->config ||
	       o->no_build || o->kernel || o->nr_args || o->jobs != 1 || o->isolate ||
	       o->retry || o->timeout >= 0 || o->fail_on;
}

static int check_options(const struct test_options *o, const char *rest,
			 struct report *r)
{
	if (o->jobs < 1 || o->jobs > TEST_MAX_VMS)
		return report_error(r, 0, "--jobs: %ld is not 1 to %d", o->jobs,
				    TEST_MAX_VMS);
	if (o->merge && runs_something(o))
		return report_error(r, 0,
				    "--merge runs nothing: only --logs and reports go with it");
	if (o->merge && !rest)
		return report_error(r, 0, "--merge: no DIR");
	if (!o->merge && rest)
		return report_error(r, 0, "unexpected argument %s", rest);
	if (o->kunit && (o->nr_picks || o->install || o->shards || o->config ||
			 o->jobs > 1 || o->retry))
		return report_error(r, 0,
				    "--kunit: only kselftest has -c, -t, --install, --config, --shard, -j and --retry");
	if (o->times && !o->shards)
		return report_error(r, 0, "--times needs --shard");
	return check_reports(o, r);
}

static int make_logs(struct test_run *run, struct report *r)
{
	const char *dir = run->o.logs, *in = getenv("TMPDIR");
	char temp[TEST_PATH];
	int err;

	snprintf(temp, sizeof(temp), "%s/lkvm-test-XXXXXX",
		 in && *in ? in : "/tmp");
	if (!dir && !mkdtemp(temp))
		return report_error(r, errno, "%s", temp);
	err = dir ? path_make(dir, 0777) : 0;
	if (err || !realpath(dir ? dir : temp, run->logs))
		return report_error(r, err ? -err : errno, "logs %s",
				    dir ? dir : temp);
	/* It is part of what the guest's paths and of what is in there are made. */
	if (strlen(run->logs) > DISCOVER_PATH / 4)
		return report_error(r, ENAMETOOLONG, "logs %s", run->logs);
	snprintf(temp, sizeof(temp), "%s/.", run->logs);
	return access(temp, W_OK) ? report_error(r, errno, "logs %s", run->logs) : 0;
}

static int test_merge(struct test_run *run, char **dirs, struct report *r)
{
	int err = 0;

	for (; *dirs && !err; dirs++)
		err = test_read(&run->root, *dirs, r);
	for (struct result *c = run->root.first; c && !err; c = c->next)
		for (struct result *t = c->first; t; t = t->next)
			test_line(run, c->name, t, 1);
	return err;
}

static void print_list(const struct test_run *run)
{
	for (unsigned int i = 0; i < run->nr_items; i++)
		printf("%s:%s\n", run->item[i].collection, run->item[i].name);
}

/* Return: 1 when there is nothing to report */
static int run_tests(struct test_run *run, struct report *r)
{
	int err = 0;

	/* It may be of the very files that are removed. */
	if (run->o.times)
		err = test_read(&run->times, run->o.times, r);
	if (err)
		return err;
	reports_remove(run);
	err = test_find(run, r);
	if (!err && run->o.kunit)
		return test_kunit(run, r);
	if (!err && !run->o.install && !run->o.no_build)
		err = test_build(run, r);
	if (!err)
		err = test_load(run, r);
	if (err)
		return err;
	if (run->o.list)
		print_list(run);
	else if (run->o.config)
		err = test_config(run, r);
	else
		return test_loop(run, r);
	return err ? err : 1;
}

/* Who reads a report from our output is not to read anything else there. */
static FILE *where_lines_go(const struct test_options *o)
{
	for (unsigned int i = 0; i < NR_REPORTS; i++)
		if (o->report[i] && !strcmp(o->report[i], "-"))
			return stderr;
	return stdout;
}

int cmd_test(int argc, char **argv)
{
	static struct test_run run;
	struct report r = { "" };
	int n, err, status;

	run.o.timeout = -1;
	run.o.jobs = 1;
	n = options_split(test_options, argc, argv, &run.o, &r);
	argv[1 + MAX(n, 0)] = NULL;
	err = n < 0 ? n : check_options(&run.o, argv[1], &r);
	run.lines = where_lines_go(&run.o);
	if (!err && !((run.o.list || run.o.config) &&
		      (run.o.no_build || run.o.install)))
		err = make_logs(&run, &r);
	if (!err)
		err = files_check(&run, &r);
	if (!err)
		err = run.o.merge ? test_merge(&run, argv + 1, &r) :
		      run_tests(&run, &r);
	status = run.status ? run.status : err < 0 ? STATUS_ERROR : 0;
	/* What ended early has results, too; a collection alone is none. */
	if (!err || (err < 0 && run.root.first && run.root.first->first)) {
		int unwritten;

		log_wait_all(&run);
		unwritten = test_reports(&run, &r);
		status = test_summary(&run);
		if (err || unwritten)
			status = STATUS_ERROR;
	}
	if (r.msg[0])
		fprintf(stderr, "lkvm: %s\n", r.msg);
	/* One that we made for nothing is empty. */
	if (!run.o.logs && run.logs[0])
		remove(run.logs);
	test_items_free(&run);
	result_empty(&run.root);
	result_empty(&run.times);
	return status;
}
