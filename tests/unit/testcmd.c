// SPDX-License-Identifier: GPL-2.0-only
/*
 * All of lkvm test, with machines that are processes of this one.
 *
 * Theory of operation: a machine is what lkvm test starts as "lkvm run": this very
 * program, which is told by its first argument. It runs the script as it is, but that
 * what this writes to files of /dev and /proc goes to the log. $KLOG is the log for a
 * test, too, and $MACHINE whom to tell that the kernel panics (SIGUSR1). $RUNNER is
 * lkvm test, which has a process for itself: what it leaves is found there.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../builtin-dotconfig.c"
#include "../../builtin-options.c"
#include "../../builtin-testvm.c"
#include "../../builtin-testlog.c"
#include "../../builtin-testbuild.c"
#include "../../builtin-testrun.c"
#include "../../builtin-test.c"

#include "tests/unit/dir.h"
#include "tests/unit/test.h"

/* Nobody asks for help here. */
const struct command commands[] = { { NULL, NULL, NULL, NULL, NULL } };

int command_explain(const struct command *c)
{
	(void)c;
	return 0;
}

int status_of_output(int status)
{
	return status;
}

#define TEXT_MAX 65536

/* What it calls and is not part of this */
bool image_build_dir(const char *kernel, char *dir, size_t size)
{
	(void)kernel;
	(void)dir;
	(void)size;
	return false;
}

int fail_on_parse(u32 *splats, const char *value, struct report *r)
{
	*splats = klog_splat(value);
	return *splats ? 0 : report_error(r, 0, "--fail-on: %s", value);
}

void decoder_open(struct decoder *d, const char *kernel)
{
	(void)d;
	(void)kernel;
}

/* With $DECODE_AFTER it takes until that file is there, or too long */
void decoder_print(struct decoder *d, const char *text, size_t len)
{
	const char *after = getenv("DECODE_AFTER");
	bool late = after && access(after, F_OK);

	(void)d;
	for (int i = 0; i < 100 && late; i++) {
		usleep(100000);
		late = access(after, F_OK);
	}
	fprintf(stderr, "%s: %.*s", late ? "as it is" : "decoded", (int)len, text);
}

void decoder_close(struct decoder *d)
{
	(void)d;
}

int test_kunit(struct test_run *run, struct report *r)
{
	result_child(&run->root, "kunit");
	return report_error(r, 0, "no KUnit");
}

/* A machine. */

/* In the script: @name as the log, of which there is more already */
static void redirect(char *text, const char *name)
{
	static const char log[] = ">>\"$KLOG\"";

	for (char *at = strstr(text, name); at; at = strstr(at, name)) {
		memset(at, ' ', strlen(name));
		memcpy(at, log, sizeof(log) - 1);
	}
}

static void put_file(const char *path, const char *mode, const char *text)
{
	FILE *f = fopen(path, mode);

	if (!f)
		exit(STATUS_ERROR);
	fputs(text, f);
	fclose(f);
}

static int machine_end(const char *log, const char *status, bool panics)
{
	static const char *const panic = "Kernel panic - not syncing: made up\n"
		"Call Trace:\n ? made_up+0x1/0x2\n---[ end Kernel panic ]---\n";

	if (!panics) {
		put_file(status, "w", "{\"cause\":\"exit\",\"code\":0,\"signal\":0}\n");
		return 0;
	}
	put_file(log, "a", panic);
	put_file(status, "w", "{\"cause\":\"panic\",\"code\":100,\"signal\":0}\n");
	fprintf(stderr, "lkvm: kernel panic: made up\n");
	return 100;
}

static int machine_run(int argc, char **argv)
{
	const char *log = argv[5], *status = argv[7];
	char *script_text = argv[argc - 1], pid[16];
	bool panics = !strcmp(argv[8], "--stray");
	sigset_t set;
	int signo = 0;
	pid_t shell;

	/* Or from when on a test says so */
	if (!strcmp(argv[8], "--broken") ||
	    (!strcmp(argv[8], "--breaks") && !access(getenv("BROKEN"), F_OK))) {
		fprintf(stderr, "lkvm: no such thing as a machine\n");
		return STATUS_ERROR;
	}
	redirect(script_text, ">/dev/kmsg");
	redirect(script_text, ">/proc/sysrq-trigger");
	redirect(script_text, ">/proc/sys/kernel/unknown_nmi_panic");
	/* This machine's own are none of its business. */
	if (strstr(script_text, "/proc/") || strstr(script_text, "/dev/kmsg"))
		return STATUS_ERROR;
	put_file(log, "w", "it boots\n");
	setenv("KLOG", log, 1);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("MACHINE", pid, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	shell = fork();
	if (!shell) {
		setpgid(0, 0);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		execl("/bin/sh", "sh", "-c", script_text, NULL);
		_exit(127);
	}
	close(STDOUT_FILENO);
	sigwait(&set, &signo);
	panics |= signo == SIGUSR1;
	kill(-shell, SIGKILL);
	if (!strcmp(argv[8], "--splats"))
		put_file(log, "a", "[    9.0] WARNING: behind the tests\n");
	return machine_end(log, status, panics);
}

/* What runs in them. */

/** struct bench - a directory with tests in it, and what came of them */
struct bench {
	char dir[64];
	char install[80];
	char out[TEXT_MAX];
	char err[TEXT_MAX];
	char text[TEXT_MAX];
	int status;
};

static struct bench b;

static const char *read_into(char *text, const char *path)
{
	FILE *f = fopen(path, "re");

	text[f ? fread(text, 1, TEXT_MAX - 1, f) : 0] = 0;
	if (f)
		fclose(f);
	return text;
}

static const char *path_of(const char *name)
{
	static char path[TEST_PATH];

	snprintf(path, sizeof(path), "%s/%s", b.dir, name);
	return path;
}

static const char *text_of(const char *name)
{
	return read_into(b.text, path_of(name));
}

static bool is_there(const char *name)
{
	return !access(path_of(name), F_OK);
}

static void bench_begin(void)
{
	memset(&b, 0, sizeof(b));
	dir_temp(b.dir, sizeof(b.dir));
	snprintf(b.install, sizeof(b.install), "%s/install", b.dir);
	mkdir(b.install, 0777);
	setenv("BENCH", b.dir, 1);
	setenv("BROKEN", path_of("broken"), 1);
}

static void a_test(const char *collection, const char *name, const char *text)
{
	char path[TEST_PATH], line[256];

	snprintf(path, sizeof(path), "%s/%s", b.install, collection);
	mkdir(path, 0777);
	snprintf(line, sizeof(line), "%s:%s\n", collection, name);
	put_file(path_of("install/kselftest-list.txt"), "a", line);
	snprintf(path, sizeof(path), "%s/%s/%s", b.install, collection, name);
	put_file(path, "w", "#!/bin/sh\n");
	put_file(path, "a", text);
	chmod(path, 0755);
}

static void bench_end(void)
{
	dir_remove(b.dir);
}

/* In the child */
static void __attribute((noreturn)) run_child(int argc, char **argv)
{
	char pid[16];
	int out = open(path_of("out"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
	int err = open(path_of("err"), O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (out < 0 || err < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(STATUS_ERROR);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("RUNNER", pid, 1);
	exit(cmd_test(argc, argv));
}

/* lkvm test, words of @args and logs in @logs of the bench; -k is for one of a tree */
static int run_test(const char *logs, const char *args)
{
	char path[TEST_PATH], words[512];
	char *argv[40] = {
		"test", "--logs", path, "-k", "/dev/null", "--install", b.install,
	};
	int argc = !strncmp(args, "--merge", 7) || !strncmp(args, "-k ", 3) ? 3 : 7;
	int status = 0;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", b.dir, logs);
	snprintf(words, sizeof(words), "%s", args);
	for (char *w = strtok(words, " "); w && argc < 39; w = strtok(NULL, " "))
		argv[argc++] = w;
	argv[argc] = NULL;
	fflush(NULL);
	pid = fork();
	if (!pid)
		run_child(argc, argv);
	waitpid(pid, &status, 0);
	b.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	read_into(b.out, path_of("out"));
	read_into(b.err, path_of("err"));
	return b.status;
}

/* A line that begins with @begin and has @part in it; or it is shown what there is. */
static bool says(const char *begin, const char *part)
{
	const char *at = b.out;

	for (; at && *at; at = strchr(at, '\n'), at += !!at) {
		const char *end = strchrnul(at, '\n'), *found = strstr(at, part);

		if (!strncmp(at, begin, strlen(begin)) && found && found < end)
			return true;
	}
	printf("# no line: %s ... %s\n# status %d\n%s%s", begin, part, b.status,
	       b.out, b.err);
	return false;
}

#define PANIC "kill -USR1 $MACHINE; sleep 1\n"
#define WHO "echo $MACHINE >\"$BENCH/${0##*/}\"\n"

static void three_tests(void)
{
	bench_begin();
	a_test("a", "panics", "echo 1..2; echo ok 1 one\n" WHO PANIC);
	a_test("a", "goes-on", WHO "echo ok 1 one\n");
	a_test("b", "other", WHO "exit 0\n");
}

static bool same_machine(const char *one, const char *other)
{
	char text[TEXT_MAX];

	read_into(text, path_of(one));
	return *text && !strcmp(text, text_of(other));
}

TEST(panic_ends_its_test_and_no_collection)
{
	three_tests();
	EXPECT(run_test("logs", "--isolate collection") == 1);
	EXPECT(says("CRASH   a:panics ", " 1 of 2 passed: kernel panic: made up"));
	EXPECT(says("PASS    a:goes-on ", " 1 of 1 passed"));
	EXPECT(says("PASS    b:other ", ""));
	EXPECT(says("3 tests: 2 passed, 1 failed, 0 skipped", ""));
	EXPECT(is_there("logs/vm-3") && !is_there("logs/vm-4"));
	EXPECT(!same_machine("panics", "goes-on") && !same_machine("goes-on", "other"));
	EXPECT(strstr(text_of("logs/a/panics/kernel.log"), "Kernel panic"));
	EXPECT(strstr(text_of("logs/a/panics/lkvm.log"), "decoded: "));
	EXPECT(!strstr(text_of("logs/a/goes-on/kernel.log"), "Kernel panic"));
	bench_end();
}

TEST(collections_have_machines_of_their_own)
{
	three_tests();
	a_test("b", "one-more", WHO);
	EXPECT(run_test("logs", "--isolate collection -t a:goes-on -c b") == 0);
	EXPECT(same_machine("other", "one-more") && !same_machine("goes-on", "other"));
	EXPECT(is_there("logs/vm-2") && !is_there("logs/vm-3"));
	EXPECT(run_test("shared", "-t a:goes-on -c b") == 0);
	EXPECT(same_machine("goes-on", "other") && !is_there("shared/vm-2"));
	EXPECT(run_test("each", "--isolate test -t a:goes-on -c b") == 0);
	EXPECT(!same_machine("other", "one-more") && is_there("each/vm-3"));
	bench_end();
}

TEST(machine_that_panicked_is_replaced)
{
	three_tests();
	EXPECT(run_test("logs", "") == 1);
	EXPECT(says("CRASH   a:panics ", "") && says("3 tests: 2 passed, 1 failed", ""));
	EXPECT(same_machine("goes-on", "other"));
	EXPECT(is_there("logs/vm-2") && !is_there("logs/vm-3"));
	bench_end();
}

TEST(what_panicked_is_tried_again_elsewhere)
{
	bench_begin();
	a_test("a", "flaky", "[ -e $BENCH/once ] && exit 0\n: >$BENCH/once\n" PANIC);
	a_test("a", "fails", "exit 3\n");
	EXPECT(run_test("logs", "--retry 1 -t a:flaky") == 0);
	EXPECT(says("CRASH   a:flaky ", "kernel panic"));
	EXPECT(says("PASS    a:flaky ", " (try 2)"));
	EXPECT(says("1 tests: 1 passed, 0 failed", ""));
	EXPECT(is_there("logs/a/flaky/output") && is_there("logs/a/flaky.try2/output"));
	EXPECT(run_test("logs2", "--retry 2 -t a:fails") == 1);
	EXPECT(says("FAIL    a:fails ", "exit=3 (try 3)"));
	EXPECT(says("1 tests: 0 passed, 1 failed", ""));
	bench_end();
}

TEST(plan_is_kept_by_nobody_who_dies)
{
	bench_begin();
	a_test("a", "plans", "echo 1..3; echo ok 1 one; kill -KILL $$\n");
	a_test("a", "plans-only", "echo 1..2; exit 0\n");
	a_test("a", "prints-none", "exit 0\n");
	a_test("a", "nothing-and-fails", "exit 1\n");
	a_test("a", "dies", "kill -SEGV $$\n");
	EXPECT(run_test("logs", "") == 1);
	EXPECT(says("FAIL    a:plans ", " 1 of 2 passed: exit=137"));
	EXPECT(says("FAIL    a:plans-only ", " 0 of 1 passed: exit=0, but 1 failed"));
	EXPECT(strstr(text_of("logs/results.ktap"), "not ok 2 2 of 3 tests # MISSING"));
	EXPECT(says("PASS    a:prints-none ", " s"));
	EXPECT(says("FAIL    a:nothing-and-fails ", ": exit=1"));
	EXPECT(says("FAIL    a:dies ", ": exit=139"));
	EXPECT(!is_there("logs/vm-2"));
	bench_end();
}

/* On all of the three ways that there are */
static void a_talker(const char *name)
{
	char text[256];

	snprintf(text, sizeof(text), "echo kernel-%s >>$KLOG; echo output-%s\n"
		 "echo 'lkvm: message-%s' >>/proc/$MACHINE/fd/2\n", name, name, name);
	a_test("a", name, text);
}

static bool has(const char *name, const char *what, const char *not1,
		const char *not2, const char *not3)
{
	const char *text = text_of(name);

	return strstr(text, what) && !strstr(text, not1) && !strstr(text, not2) &&
	       !strstr(text, not3);
}

TEST(each_test_has_three_files_of_its_own)
{
	bench_begin();
	a_talker("one");
	a_talker("two");
	EXPECT(run_test("logs", "") == 0 && !is_there("logs/vm-2"));
	EXPECT(has("logs/a/one/output", "output-one", "kernel-", "message-", "two"));
	EXPECT(has("logs/a/one/kernel.log", "kernel-one", "output-", "message-", "two"));
	EXPECT(has("logs/a/one/lkvm.log", "message-one", "output-", "kernel-", "two"));
	EXPECT(has("logs/a/two/output", "output-two", "kernel-", "message-", "one"));
	EXPECT(has("logs/a/two/kernel.log", "kernel-two", "output-", "message-", "one"));
	EXPECT(has("logs/a/two/lkvm.log", "message-two", "output-", "kernel-", "one"));
	/* The first has what was before it, too. */
	EXPECT(strstr(text_of("logs/a/one/kernel.log"), "it boots"));
	EXPECT(strstr(text_of("logs/results.html"), "output-two"));
	bench_end();
}

TEST(test_that_hangs_ends_and_the_next_one_begins)
{
	bench_begin();
	a_test("a", "hangs", "trap '' TERM; echo 1..1; sleep 100; sleep 100\n");
	a_test("a", "next", "exit 0\n");
	a_test("a", "waits", "exec sleep 100\n");
	EXPECT(run_test("logs", "--timeout 1 -t a:hangs -t a:next") == 1);
	EXPECT(says("TIMEOUT a:hangs ", ": 1 seconds") && says("PASS    a:next ", ""));
	/* The keys for tasks that wait and for backtraces of all CPUs */
	EXPECT(strstr(text_of("logs/a/hangs/kernel.log"), "\nw\nl\n"));
	EXPECT(!is_there("logs/vm-2"));
	put_file(path_of("install/a/settings"), "w", "timeout=1\n");
	EXPECT(run_test("logs2", "-t a:waits") == 1);
	EXPECT(says("TIMEOUT a:waits ", ": 1 seconds"));
	bench_end();
}

#define MEETS(other) ": >$BENCH/${0##*/}; for i in $(seq 100); do\n" \
	"[ ! -e $BENCH/" other " ] || exit 0; sleep 0.1; done; exit 1\n"

TEST(jobs_run_at_the_same_time)
{
	bench_begin();
	a_test("a", "x", MEETS("y"));
	a_test("a", "y", MEETS("x"));
	EXPECT(run_test("logs", "-j 2") == 0);
	EXPECT(is_there("logs/vm-2") && !is_there("logs/vm-3"));
	bench_end();
}

TEST(machine_that_ends_late_is_told_of)
{
	bench_begin();
	a_test("a", "x", "exit 0\n");
	EXPECT(run_test("logs", "--vm --stray") == 1);
	EXPECT(says("PASS    a:x ", ""));
	EXPECT(says("CRASH   lkvm:vm-1 ", "after the tests: kernel panic: made up"));
	EXPECT(run_test("none", "--vm --broken") == 125);
	EXPECT(strstr(b.err, "no machine to run tests in: no such thing"));
	bench_end();
}

static unsigned int nr_reports(const char *logs)
{
	static const char *const files[] = { "ktap", "json", "xml", "html" };
	unsigned int n = 0;
	char path[64];

	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/results.%s", logs, files[i]);
		n += is_there(path);
	}
	return n;
}

/* Neither the tests behind it wait for that, nor do other machines that are to end. */
TEST(nobody_waits_for_what_is_decoded)
{
	bench_begin();
	a_test("a", "panics", PANIC);
	a_test("a", "next", ": >$BENCH/next\n");
	a_test("b", "beside", "ln -s ${KLOG%/*}/status $BENCH/ended; sleep 2\n");
	setenv("DECODE_AFTER", path_of("next"), 1);
	EXPECT(run_test("logs", "-c a") == 1 && says("2 tests: 1 passed", ""));
	EXPECT(strstr(text_of("logs/a/panics/lkvm.log"), "decoded: "));
	/* But who reads the reports has it. */
	EXPECT(strstr(text_of("logs/results.html"), "decoded: "));
	setenv("DECODE_AFTER", path_of("ended"), 1);
	EXPECT(run_test("logs2", "-j 2 -t a:panics -c b") == 1);
	EXPECT(strstr(text_of("logs2/a/panics/lkvm.log"), "decoded: "));
	unsetenv("DECODE_AFTER");
	bench_end();
}

TEST(signal_ends_what_is_decoded)
{
	bench_begin();
	a_test("a", "panics", PANIC);
	a_test("a", "signals", "exec </dev/null >/dev/null 2>&1\n"
	       "setsid sh -c ': >$BENCH/up; sleep 1; kill -TERM $RUNNER' &\n"
	       "while [ ! -e $BENCH/up ]; do sleep 0.1; done\n");
	setenv("DECODE_AFTER", path_of("never"), 1);
	EXPECT(run_test("logs", "") == 128 + SIGTERM);
	EXPECT(says("2 tests: 1 passed, 1 failed", "") && nr_reports("logs") == 4);
	EXPECT(!strstr(text_of("logs/a/panics/lkvm.log"), "as it is"));
	unsetenv("DECODE_AFTER");
	bench_end();
}

/* It is no test's, and who wants to know of it does. */
TEST(report_behind_the_last_test_is_told_of)
{
	bench_begin();
	a_test("a", "x", "exit 0\n");
	a_test("a", "y", "echo '[ 1.0] WARNING: of a test' >>$KLOG\n");
	EXPECT(run_test("logs", "--vm --splats --fail-on warn -t a:x") == 1);
	EXPECT(says("PASS    a:x ", ""));
	EXPECT(says("FAIL    lkvm:vm-1 ", "after the tests: WARNING: behind the tests"));
	EXPECT(says("2 tests: 1 passed, 1 failed", ""));
	EXPECT(run_test("logs2", "--vm --splats --fail-on oops -t a:x") == 0);
	/* What a test has failed for is not said again. */
	EXPECT(run_test("logs3", "--vm --nothing --fail-on warn -c a") == 1);
	EXPECT(says("PASS    a:x ", "") && says("FAIL    a:y ", "WARNING: of a test"));
	EXPECT(says("2 tests: 1 passed, 1 failed", ""));
	bench_end();
}

TEST(signal_leaves_reports)
{
	bench_begin();
	a_test("a", "passes", "exit 0\n");
	a_test("a", "signals", "echo 1..2; echo ok 1 one\n"
	       "sleep 0.5; kill -TERM $RUNNER; sleep 100\n");
	a_test("b", "waits", "exit 0\n");
	EXPECT(run_test("logs", "") == 128 + SIGTERM);
	EXPECT(says("MISSING a:signals ", " 1 of 2 passed: was running"));
	EXPECT(says("3 tests: 1 passed, 2 failed", ""));
	EXPECT(strstr(text_of("logs/results.ktap"), "ok 1 passes\n"));
	EXPECT(strstr(b.text, "# lkvm: log a/signals\n"));
	EXPECT(strstr(b.text, "not ok 2 signals # MISSING was running\n"));
	EXPECT(strstr(b.text, "not ok 1 waits # MISSING not run\nnot ok 2 b\n"));
	EXPECT(is_there("logs/a/signals/kernel.log"));
	bench_end();
}

/* Nobody may take what is left for a run that has passed. */
TEST(run_that_ends_early_is_no_success)
{
	char args[128];

	bench_begin();
	a_test("a", "first", "exit 0\n");
	a_test("a", "fails", ": >$BROKEN\n" PANIC);
	a_test("a", "waits", "exit 0\n");
	EXPECT(run_test("logs", "--retry 1 --vm --breaks") == 125);
	EXPECT(says("CRASH   a:fails ", "kernel panic"));
	EXPECT(says("3 tests: 1 passed, 2 failed", ""));
	EXPECT(strstr(text_of("logs/results.ktap"),
		      "not ok 2 fails # MISSING failed, not tried again\n"));
	EXPECT(strstr(b.text, "not ok 3 waits # MISSING not run\n"));
	snprintf(args, sizeof(args), "--merge %s/logs", b.dir);
	EXPECT(run_test("all", args) == 1);
	EXPECT(says("3 tests: 1 passed, 2 failed", ""));
	/* What cannot be begun has not failed before. */
	mkdir(path_of("part"), 0777);
	put_file(path_of("part/a"), "w", "");
	EXPECT(run_test("part", "-t a:first") == 125);
	EXPECT(strstr(b.err, "part/a/first: Not a directory"));
	EXPECT(strstr(text_of("part/results.ktap"), "not ok 1 first # MISSING not run\n"));
	/* Nor has what runs beside it, though it might be tried again. */
	a_test("c", "runs", ": >$BENCH/runs; sleep 100\n");
	a_test("c", "comes", "while [ ! -e $BENCH/runs ]; do sleep 0.1; done\n");
	put_file(path_of("part/b"), "w", "");
	a_test("b", "not", "");
	EXPECT(run_test("part", "-j 2 --retry 1 -c c -c b") == 125);
	EXPECT(strstr(text_of("part/results.ktap"), " runs # MISSING was running\n"));
	bench_end();
}

static unsigned int count_of(const char *text, const char *what)
{
	unsigned int n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

/* Of three the slow one has a machine for itself, once that is known. */
TEST(shares_are_joined_and_their_times_are_known)
{
	char args[256];

	bench_begin();
	a_test("a", "one", "exit 0\n");
	a_test("a", "two", "echo not ok 1 part; exit 1\n");
	a_test("b", "slow", "sleep 1; exit 4\n");
	EXPECT(run_test("s1", "--shard 1/2") == 0);
	EXPECT(run_test("s2", "--shard 2/2") == 1);
	snprintf(args, sizeof(args), "--merge %s/s1 %s/s2", b.dir, b.dir);
	EXPECT(run_test("all", args) == 1);
	EXPECT(says("3 tests: 1 passed, 1 failed, 1 skipped", ""));
	EXPECT(count_of(b.out, " a:one ") == 1 && count_of(b.out, " b:slow ") == 1);
	EXPECT(strstr(text_of("all/results.html"), "not ok 1 part"));
	snprintf(args, sizeof(args), "--shard 1/2 --list --times %s/all", b.dir);
	EXPECT(run_test("x", args) == 0 && !strcmp(b.out, "b:slow\n"));
	snprintf(args, sizeof(args), "--shard 2/2 --list --times %s/all", b.dir);
	EXPECT(run_test("x", args) == 0 && !strcmp(b.out, "a:one\na:two\n"));
	EXPECT(run_test("empty", "--shard 4/4") == 4 && !is_there("empty/vm-1"));
	bench_end();
}

/* What has been built in place, and a make that only says what it was asked for */
static void a_tree(void)
{
	static const char *const dirs[] = {
		"tree", "tree/arch", "tree/arch/x86", "tree/arch/x86/boot", "tree/tools",
		"tree/tools/testing", "tree/tools/testing/selftests", "bin",
	};
	char path[4096];

	for (unsigned int i = 0; i < ARRAY_SIZE(dirs); i++)
		mkdir(path_of(dirs[i]), 0777);
	put_file(path_of("tree/arch/x86/boot/bzImage"), "w", "image");
	put_file(path_of("tree/tools/testing/selftests/Makefile"), "w", "");
	put_file(path_of("bin/make"), "w",
		 "#!/bin/sh\n"
		 "echo \"$@\" >>$BENCH/made\n"
		 "for a; do case $a in KSFT_INSTALL_PATH=*) at=${a#*=}; esac; done\n"
		 "[ -z \"$at\" ] && exit\n"
		 "[ -e $BENCH/fails ] && case $* in *FORCE_TARGETS=1*) exit 2; esac\n"
		 "mkdir -p $at && printf 'a:x\\nb:y\\n' >$at/kselftest-list.txt\n");
	chmod(path_of("bin/make"), 0755);
	snprintf(path, sizeof(path), "%s/bin:%s", b.dir, getenv("PATH"));
	setenv("PATH", path, 1);
}

/* The directory of make is in front. */
static void path_restore(void)
{
	setenv("PATH", strchr(getenv("PATH"), ':') + 1, 1);
}

/* Who looks for results there would take them for those of a run that had none. */
TEST(reports_of_an_earlier_run_do_not_stay)
{
	char args[256];

	bench_begin();
	a_test("a", "x", "exit 0\n");
	a_test("a", "y", "exit 0\n");
	EXPECT(run_test("logs", "") == 0 && nr_reports("logs") == 4);
	EXPECT(run_test("logs", "--list") == 0 && nr_reports("logs") == 4);
	snprintf(args, sizeof(args), "--shard 1/2 --times %s/logs", b.dir);
	EXPECT(run_test("logs", args) == 0 && says("1 tests: 1 passed", ""));
	snprintf(args, sizeof(args), "--merge %s/logs %s", b.dir, b.dir);
	EXPECT(run_test("logs", args) == 125 && nr_reports("logs") == 4);
	EXPECT(run_test("logs", "-t a:z") == 125 && !nr_reports("logs"));
	EXPECT(run_test("logs", "") == 0 && nr_reports("logs") == 4);
	EXPECT(run_test("logs", "-k /nowhere/k") == 125 && !nr_reports("logs"));
	EXPECT(run_test("logs", "") == 0 && nr_reports("logs") == 4);
	EXPECT(run_test("logs", "-k /dev/null --kunit x") == 125 && !nr_reports("logs"));
	bench_end();
}

TEST(report_that_cannot_be_written_costs_no_other)
{
	char args[256];

	bench_begin();
	/* It could be when tests began. */
	mkdir(path_of("no"), 0777);
	a_test("a", "x", "rmdir $BENCH/no\n");
	snprintf(args, sizeof(args), "--ktap %s/no/k --json %s/no/j --html %s/page", b.dir,
		 b.dir, b.dir);
	EXPECT(run_test("logs", args) == 125 && nr_reports("logs") == 4);
	EXPECT(strstr(text_of("page"), "</html>\n"));
	EXPECT(strstr(b.err, "/no/k: No such file") && !strstr(b.err, "/no/j"));
	bench_end();
}

/* What cannot be written is known before tests take their time, and nothing is lost. */
TEST(what_cannot_be_written_is_refused_first)
{
	static const struct {
		const char *logs;
		const char *report;
		const char *err;
	} row[] = {
		{ "logs", "/no/x", "/no/x: No such file" },
		{ "logs", "/logs", "/logs: Is a directory" },
		{ "logs", "/page/x", "/page/x: Not a directory" },
		{ "logs", "/no/", "/no/: No such file" },
		{ "page", "/new", "lkvm: logs " },
	};
	char args[256];

	bench_begin();
	a_test("a", "x", ": >$BENCH/ran\n");
	put_file(path_of("page"), "w", "kept");
	EXPECT(run_test("logs", "") == 0 && !unlink(path_of("ran")));
	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		snprintf(args, sizeof(args), "--json %s/page --html %s%s", b.dir, b.dir,
			 row[i].report);
		EXPECT(run_test(row[i].logs, args) == 125 && strstr(b.err, row[i].err));
		EXPECT(count_of(b.err, "\n") == 1 && !is_there("ran") && !is_there("new"));
		EXPECT(!strcmp(text_of("page"), "kept") && nr_reports("logs") == 4);
	}
	snprintf(args, sizeof(args), "--json %s/page --html %s/new", b.dir, b.dir);
	EXPECT(run_test("logs", args) == 0 && is_there("ran") && is_there("new"));
	EXPECT(strcmp(text_of("page"), "kept"));
	bench_end();
}

TEST(tree_that_was_built_in_place_is_that_of_its_kernel)
{
	char args[256];

	bench_begin();
	a_tree();
	snprintf(args, sizeof(args), "-k %s/tree -c a --config %s/none", b.dir, b.dir);
	EXPECT(run_test("logs", args) == 125 && strstr(b.err, "/none: No such file"));
	EXPECT(!is_there("made"));
	snprintf(args, sizeof(args), "-k %s/tree -c a --list", b.dir);
	EXPECT(run_test("logs", args) == 0 && !strcmp(b.out, "a:x\n"));
	snprintf(args, sizeof(args), "-C %s/tree/tools/testing/selftests ", b.dir);
	EXPECT(strstr(text_of("made"), args) && !strstr(b.text, " O="));
	EXPECT(is_there("tree/tools/testing/selftests/kselftest_install/kselftest-list.txt"));
	path_restore();
	bench_end();
}

/* One that cannot be built has binaries of an earlier build there. */
TEST(collection_that_is_named_is_built_or_not_run)
{
	char args[256];

	bench_begin();
	a_tree();
	snprintf(args, sizeof(args), "-k %s/tree -c bpf -c b -t a:x -t b:y --list", b.dir);
	EXPECT(run_test("logs", args) == 125 && strstr(b.err, " has no bpf"));
	EXPECT(strstr(text_of("made"), " TARGETS=bpf b a  SKIP_TARGETS= FORCE_TARGETS=1\n"));
	put_file(path_of("fails"), "w", "");
	snprintf(args, sizeof(args), "-k %s/tree -c a -c b --list", b.dir);
	EXPECT(run_test("logs", args) == 125 && !*b.out);
	EXPECT(strstr(b.err, "lkvm: test: make failed, see ") && strstr(b.err, "build.log"));
	/* Nobody wants all that there is, or that a pattern fits, to be buildable. */
	unlink(path_of("made"));
	snprintf(args, sizeof(args), "-k %s/tree --list", b.dir);
	EXPECT(run_test("logs", args) == 0);
	EXPECT(strstr(text_of("made"), " SKIP_TARGETS=bpf sched_ext\n"));
	snprintf(args, sizeof(args), "-k %s/tree -t [ab]:x -t b:y --list", b.dir);
	EXPECT(run_test("logs", args) == 0 && !strcmp(b.out, "a:x\nb:y\n"));
	EXPECT(strstr(text_of("made"), " TARGETS=[ab] b  SKIP_TARGETS=\n"));
	EXPECT(!strstr(b.text, "FORCE_TARGETS"));
	path_restore();
	bench_end();
}

int main(int argc, char **argv)
{
	static const struct test_case list[] = {
		T(panic_ends_its_test_and_no_collection),
		T(collections_have_machines_of_their_own),
		T(machine_that_panicked_is_replaced),
		T(what_panicked_is_tried_again_elsewhere),
		T(plan_is_kept_by_nobody_who_dies),
		T(each_test_has_three_files_of_its_own),
		T(test_that_hangs_ends_and_the_next_one_begins),
		T(jobs_run_at_the_same_time),
		T(machine_that_ends_late_is_told_of),
		T(nobody_waits_for_what_is_decoded),
		T(signal_ends_what_is_decoded),
		T(report_behind_the_last_test_is_told_of),
		T(signal_leaves_reports),
		T(run_that_ends_early_is_no_success),
		T(shares_are_joined_and_their_times_are_known),
		T(reports_of_an_earlier_run_do_not_stay),
		T(report_that_cannot_be_written_costs_no_other),
		T(what_cannot_be_written_is_refused_first),
		T(tree_that_was_built_in_place_is_that_of_its_kernel),
		T(collection_that_is_named_is_built_or_not_run),
	};

	if (argc > 8 && !strcmp(argv[1], "run"))
		return machine_run(argc, argv);
	exit(test_run(list, ARRAY_SIZE(list), argv + 1));
}
