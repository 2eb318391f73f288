/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of lkvm test share. */
#ifndef KVM__BUILTIN_TEST_H
#define KVM__BUILTIN_TEST_H

#include "builtin.h"
#include "kvm/result.h"
#include "kvm/tap.h"

#define TEST_MAX_NAMES 256
#define TEST_MAX_ARGS 64
#define TEST_MAX_VMS 64
#define TEST_PATH (2 * DISCOVER_PATH)
#define TEST_GLOB_MAX 256

enum test_isolation { ISOLATE_NONE, ISOLATE_COLLECTION, ISOLATE_TEST };
enum test_report { TEST_KTAP, TEST_JSON, TEST_JUNIT, TEST_HTML, NR_REPORTS };

/**
 * struct test_options - what the command line of test says
 * @pick: collections, and collection:test; @arg: more arguments of lkvm run
 * @timeout: of a test in seconds, -1 for its own
 * @shard, @shards: from 1; 0 without
 */
struct test_options {
	const char *pick[TEST_MAX_NAMES];
	unsigned int nr_picks;
	const char *arg[TEST_MAX_ARGS];
	unsigned int nr_args;
	const char *kunit;
	const char *install;
	const char *kernel;
	const char *times;
	const char *config;
	const char *logs;
	const char *report[NR_REPORTS];
	bool no_build;
	bool list;
	bool merge;
	enum test_isolation isolate;
	long jobs;
	long retry;
	long timeout;
	u32 fail_on;
	unsigned int shard;
	unsigned int shards;
};

enum test_state { TEST_WAITS, TEST_RUNS, TEST_ENDED };

/**
 * struct test_item - a test of a kselftest collection
 * @limit: seconds, 0 for none; @ms: how long it took before, 0 if not known
 * @tries: how often it has been started
 */
struct test_item {
	char *collection;
	char *name;
	enum test_state state;
	long limit;
	u64 ms;
	unsigned int tries;
};

/* A status that no machine ends with: we have ended it */
#define STATUS_CUT -1

/**
 * struct test_run - one lkvm test
 * @tree, @build, @install, @logs: directories, as absolute paths
 * @times: results of an earlier run, to go by its times
 * @lines: where a line per test goes
 * @vms: how many there have been; @broken: in a row that took no test
 * @status: why no more are started, 0 else; @signals: what signals_open() has, or -1
 */
struct test_run {
	struct test_options o;
	char kernel[DISCOVER_PATH];
	char tree[DISCOVER_PATH];
	char build[DISCOVER_PATH];
	char install[DISCOVER_PATH];
	char logs[DISCOVER_PATH];
	struct test_item *item;
	unsigned int nr_items;
	struct result root;
	struct result times;
	FILE *lines;
	unsigned int vms;
	unsigned int broken;
	int status;
	int signals;
};

/* builtin-testbuild.c: where the tests are. */

/** test_find() - the kernel, its tree and where tests are installed */
int test_find(struct test_run *run, struct report *r);
/** test_build() - build and install the collections that are asked for */
int test_build(struct test_run *run, struct report *r);
/** test_load() - the tests that are installed and asked for, into @run */
int test_load(struct test_run *run, struct report *r);
/** test_config() - print or apply what collections want of the kernel */
int test_config(const struct test_run *run, struct report *r);
/** test_items_free() - what test_load() put into @run */
void test_items_free(struct test_run *run);

/* builtin-testrun.c: tests in virtual machines. */

/**
 * test_loop() - run the tests of @run in its machines, until none is left
 *
 * A signal ends the loop, and tests without a result are RESULT_MISSING. Return: 0, also
 * when tests failed or a signal came; -errno with the reason in @r.
 */
int test_loop(struct test_run *run, struct report *r);
/** signals_open() - SIGINT, SIGTERM and SIGHUP are blocked, and come by @run->signals */
void signals_open(struct test_run *run);
/** signal_take() - one is there: says so, and that is the status then */
bool signal_take(struct test_run *run);

/* builtin-testkunit.c: those of the kernel itself. */

/**
 * test_kunit() - run the suites that run->o.kunit fits, or list them
 *
 * Boots the kernel as often as it takes, and not again once a signal came. Return: 0, also
 * when tests failed; 1 when they were listed; -errno with the reason in @r.
 */
int test_kunit(struct test_run *run, struct report *r);

/* builtin-testlog.c: what is kept, and what is said. */

/** file_name() - @name as that of a file, at @out of NAME_MAX + 1 bytes */
void file_name(char *out, const char *name);
/** test_line() - a test has ended */
void test_line(const struct test_run *run, const char *collection,
	       const struct result *t, unsigned int tries);
/** files_check() - those that are to be written, before tests are built and run for that */
int files_check(const struct test_run *run, struct report *r);
/** reports_remove() - those of an earlier run, before tests run: who fails leaves none */
void reports_remove(const struct test_run *run);
/** test_reports() - write them all; Return: -EIO if one was not, and @r says why */
int test_reports(const struct test_run *run, struct report *r);
/** test_read() - the results that a run has left in @dir */
int test_read(struct result *root, const char *dir, struct report *r);
/**
 * log_tap() - the tests that a file has, as those that @into is made of
 * Return: 1 if it begins as KTAP does, 0, or -errno
 */
int log_tap(const char *path, struct result *into, struct report *r);
/** test_summary() - counts; Return: the exit status */
int test_summary(const struct test_run *run);
/**
 * log_slice() - copy @from's bytes from @begin on to file @name of @dir
 * Return: where they have ended
 */
off_t log_slice(const char *dir, const char *name, const char *from, off_t begin);
/**
 * log_check() - what the kernel complains of in @dir's kernel.log from @begin on
 * @kernel: its report is decoded for that, and will be added to @dir's lkvm.log
 * @wanted: enum klog_splat; @first: the line, of 256 bytes, empty without one
 * Return: those that there are
 */
u32 log_check(const char *dir, off_t begin, const char *kernel, u32 wanted, char *first);
/** log_wait_all() - until all is decoded, or a signal ends the run */
void log_wait_all(struct test_run *run);

/* What a VM is: builtin-testvm.c */

/**
 * struct test_child - a lkvm run
 * @in: a pipe to it, -1 without
 * @out: a pipe from it, -1 without
 */
struct test_child {
	pid_t pid;
	int in;
	int out;
};

/** struct test_end - how it ended: its exit status, and the last message */
struct test_end {
	int status;
	char text[256];
};

/**
 * child_start() - lkvm run with logs in @dir
 * @args: what comes behind ours, NULL at the end
 * @pipes: it has our pipes, else /dev/null
 */
int child_start(struct test_child *c, const struct test_run *run,
		const char *dir, const char *const *args, bool pipes,
		struct report *r);
/** child_wait() - and read how it ended */
void child_wait(struct test_child *c, const char *dir, struct test_end *end);
/**
 * child_overdue() - have it say where it is, and end it, step by step
 * @step: how many have been taken
 * @dir: where registers.json goes, NULL for nowhere
 * Return: for how many milliseconds that is to be waited for
 */
unsigned int child_overdue(const struct test_child *c, unsigned int step,
			   const char *dir);

#endif
