// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests in virtual machines.
 *
 * Theory of operation: in each VM a shell script reads from its input which test
 * to run, runs it, and says on its output how that ended, on a line that begins
 * with a mark of 128 random bits, which tests do not know. So -j N is N machines
 * that take from one list; how much one takes before another takes its place is
 * --isolate. A machine that ends takes with it but the test that it ran: another
 * one goes on with the rest.
 *
 * The script ends a test that is out of time, after having the kernel print where
 * its tasks and CPUs are. If nothing is heard of that either, its machine is asked for
 * the same from here, and ended (builtin-testvm.c). What a test printed is parsed as it
 * comes and kept, up to a limit; its exit status is one part of its result, and what it
 * reported is the other. The kernel's log is cut where it was when a test ended: what
 * comes after that is the next one's, and what is behind the last one is looked at when
 * the machine has ended. When lkvm ends before the tests do, those without a result are
 * missing: who reads the reports is to see that they have not passed.
 *
 * Main thread, one poll(2) for all. Ports of the guest are never waited for: a
 * request is short, and there is one at a time.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "builtin-test.h"
#include "kvm/file.h"

#define OUTPUT_MAX (64 * SZ_1M)
/* How long a guest may be late with the end of a test, or with its start: as long as
 * the test may take, within these
 */
#define LATE_NS (60 * NSEC_PER_SEC)
#define LATE_MIN_NS (15 * NSEC_PER_SEC)
#define LOG_TRIES 50
#define BOOT_NS (600 * NSEC_PER_SEC)

/*
 * Lines of a request: name, time limit or 0, directory, command. What is left of a
 * test when it has ended is ended.
 */
static const char script[] =
	"IFS=\n"
	"read -r mark\n"
	"say() { printf '\\n%s %s\\n' \"$mark\" \"$1\"; }\n"
	"s=$(command -v setsid) && g=- || g=\n"
	"b=\n"
	"{ echo 1 >/proc/sys/kernel/unknown_nmi_panic; } 2>/dev/null\n"
	"[ -x /usr/bin/stdbuf ] && b='/usr/bin/stdbuf --output=L '\n"
	"dog() {\n"
	"	trap 'kill $z; exit' TERM\n"
	"	sleep $limit & z=$!\n"
	"	wait $z\n"
	"	say timeout\n"
	"	for k in w l; do echo $k >/proc/sysrq-trigger; done\n"
	"	kill -s TERM -- $g$pid\n"
	"	sleep 3\n"
	"	kill -s KILL -- $g$pid\n"
	"}\n"
	"say ready\n"
	"while read -r name && read -r limit && read -r dir && read -r cmd; do\n"
	"	echo \"lkvm: $name\" >/dev/kmsg\n"
	"	$s sh -c 'cd \"$1\" && eval \"exec $2\"' sh \"$dir\" \"$b$cmd\" \\\n"
	"		</dev/null 2>&1 &\n"
	"	pid=$! d=\n"
	"	[ $limit = 0 ] || { dog 2>/dev/null </dev/null & d=$!; }\n"
	"	wait $pid; rc=$?\n"
	"	[ -z \"$d\" ] || kill $d\n"
	"	[ -z \"$g\" ] || kill -s KILL -- -$pid\n"
	"	echo 'lkvm: end' >/dev/kmsg\n"
	"	say \"end $rc\"\n"
	"done 2>/dev/null\n";

/**
 * struct test_vm - a machine and the test that it runs
 * @mark: of its script, with a space; @matched: how much of it a line had
 * @in_line: that line is not the mark's; @newline: one that is, if that comes
 * @word: what is behind the mark
 * @deadline: of what it does now, 0 for none; @overdue: what was done about that
 * @klog_at, @said_at: where in its logs those of the test before have ended
 */
struct test_vm {
	struct test_run *run;
	struct test_child child;
	char dir[TEST_PATH];
	char mark[40];
	size_t matched;
	bool whole;
	bool in_line;
	bool newline;
	char word[64];
	size_t word_len;
	bool ready;
	bool used;
	struct test_item *item;
	struct tap tap;
	FILE *output;
	u64 output_len;
	char log[2 * NAME_MAX + 16];
	u64 begin;
	u64 deadline;
	unsigned int overdue;
	bool late;
	off_t klog_at;
	off_t said_at;
};

/* One that waits, of @collection unless that is NULL */
static struct test_item *item_next(struct test_run *run, const char *collection)
{
	for (unsigned int i = 0; i < run->nr_items && !run->status; i++) {
		struct test_item *t = &run->item[i];

		if (t->state == TEST_WAITS &&
		    (!collection || !strcmp(t->collection, collection)))
			return t;
	}
	return NULL;
}

static u64 late_ns(const struct test_item *t)
{
	return MAX(LATE_MIN_NS, MIN(LATE_NS, t->limit * NSEC_PER_SEC));
}

static int vm_start(struct test_vm *vm, struct report *r)
{
	const char *args[9] = {
		"-u", "root", "--chdir", vm->run->install, "--", "/bin/sh", "-c",
		script, NULL,
	};
	u8 random[16];
	int err;

	snprintf(vm->dir, sizeof(vm->dir), "%s/vm-%u", vm->run->logs,
		 ++vm->run->vms);
	err = path_make(vm->dir, 0777);
	if (err)
		return report_error(r, -err, "%s", vm->dir);
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return report_error(r, errno, "getrandom");
	for (unsigned int i = 0; i < sizeof(random); i++)
		snprintf(vm->mark + 2 * i, 3, "%02x", random[i]);
	err = child_start(&vm->child, vm->run, vm->dir, args, true, r);
	if (err)
		return err;
	dprintf(vm->child.in, "%s\n", vm->mark);
	memcpy(vm->mark + 2 * sizeof(random), " ", 2);
	vm->matched = 0;
	vm->whole = false;
	vm->in_line = false;
	vm->newline = false;
	vm->ready = false;
	vm->used = false;
	vm->overdue = 0;
	vm->late = false;
	vm->klog_at = 0;
	vm->said_at = 0;
	vm->deadline = now_ns() + BOOT_NS;
	return 0;
}

/* No more tests for it: its script comes to its end. */
static void vm_finish(struct test_vm *vm)
{
	if (vm->child.in >= 0)
		close(vm->child.in);
	vm->child.in = -1;
	vm->deadline = now_ns() + LATE_NS;
}

/* One word of a shell */
static void quote(FILE *f, const char *s)
{
	putc('\'', f);
	for (; *s; s++) {
		if (*s == '\'')
			fprintf(f, "'\\'");
		putc(*s, f);
	}
	putc('\'', f);
}

/* KSELFTEST_NAME_ARGS, as kselftest's runner has it */
static const char *item_args(const char *base)
{
	char name[NAME_MAX + 32] = "KSELFTEST_";
	size_t n = strlen(name);
	const char *args;

	for (; *base && n < NAME_MAX; base++)
		if (!isspace((u8)*base) && !iscntrl((u8)*base))
			name[n++] = isalnum((u8)*base) ? toupper((u8)*base) :
				    '_';
	snprintf(name + n, sizeof(name) - n, "_ARGS");
	args = getenv(name);
	return args && !strchr(args, '\n') ? args : "";
}

/* As kselftest's runner starts it, in the directory that it is in */
static void put_command(FILE *f, const char *dir, const char *base)
{
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	char line[256];
	ssize_t n = 0;

	if (at >= 0 && faccessat(at, base, X_OK, 0)) {
		if (!faccessat(at, "ksft_runner.sh", X_OK, 0)) {
			fprintf(f, "./ksft_runner.sh ");
		} else {
			fd = openat(at, base, O_RDONLY | O_CLOEXEC);
			n = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
			if (fd >= 0)
				close(fd);
		}
	}
	if (at >= 0)
		close(at);
	line[n > 0 ? n : 0] = 0;
	if (!strncmp(line, "#!", 2))
		fprintf(f, "%.*s ", (int)strcspn(line + 2, "\n"), line + 2);
	fprintf(f, "./");
	quote(f, base);
	fprintf(f, " %s\n", item_args(base));
}

static int send_request(struct test_vm *vm, const struct test_item *t)
{
	const char *slash = strrchr(t->name, '/');
	char dir[TEST_PATH], *text = NULL;
	size_t size = 0;
	FILE *f;

	snprintf(dir, sizeof(dir), "%s/%s/%.*s", vm->run->install,
		 t->collection, slash ? (int)(slash - t->name) : 0, t->name);
	f = open_memstream(&text, &size);
	if (!f)
		return -ENOMEM;
	fprintf(f, "%s:%s\n%ld\n%s\n", t->collection, t->name, t->limit, dir);
	put_command(f, dir, slash ? slash + 1 : t->name);
	fclose(f);
	/* If it cannot be written, the machine has ended: that is seen. */
	if (write(vm->child.in, text, size) < 0)
		size = 0;
	free(text);
	return 0;
}

static int item_start(struct test_vm *vm, struct test_item *t, struct report *r)
{
	char path[TEST_PATH], collection[NAME_MAX + 1], name[NAME_MAX + 1];
	int err;

	file_name(collection, t->collection);
	file_name(name, t->name);
	snprintf(vm->log, sizeof(vm->log), "%s/%s", collection, name);
	if (t->tries)
		snprintf(vm->log + strlen(vm->log), 16, ".try%u", t->tries + 1);
	snprintf(path, sizeof(path), "%s/%s", vm->run->logs, vm->log);
	err = path_make(path, 0777);
	if (err)
		return report_error(r, -err, "%s", path);
	snprintf(path, sizeof(path), "%s/%s/output", vm->run->logs, vm->log);
	vm->output = fopen(path, "we");
	if (!vm->output)
		return report_error(r, errno, "%s", path);
	vm->output_len = 0;
	vm->overdue = 0;
	vm->used = true;
	vm->item = t;
	t->state = TEST_RUNS;
	t->tries++;
	vm->run->broken = 0;
	vm->begin = now_ns();
	vm->deadline = t->limit ? vm->begin + t->limit * NSEC_PER_SEC + late_ns(t) : 0;
	return send_request(vm, t);
}

/* A machine that is ready has nothing to do. */
static int vm_next(struct test_vm *vm, struct report *r)
{
	const char *last = vm->item ? vm->item->collection : NULL;
	enum test_isolation isolate = vm->run->o.isolate;
	struct test_item *t = NULL;

	vm->item = NULL;
	if (!vm->used || isolate == ISOLATE_NONE)
		t = item_next(vm->run, NULL);
	else if (isolate == ISOLATE_COLLECTION)
		t = item_next(vm->run, last);
	if (t)
		return item_start(vm, t, r);
	vm_finish(vm);
	return 0;
}

/* Exit status and what was reported, together */
static void result_from(struct result *res, long rc, long limit, bool timeout)
{
	struct result_counts c = { { 0 } };

	if (res->first)
		result_count(res, &c);
	if (timeout) {
		res->kind = RESULT_TIMEOUT;
		result_say(res, "%ld seconds", limit);
	} else if (rc == 4 && res->first && result_counts_bad(&c)) {
		res->kind = RESULT_FAIL;
		result_say(res, "exit=4, but %u failed", result_counts_bad(&c));
	} else if (rc == 4) {
		res->kind = RESULT_SKIP;
	} else if (rc) {
		res->kind = RESULT_FAIL;
		result_say(res, "exit=%ld", rc);
	} else if (res->first && result_is_bad(result_judge(res))) {
		res->kind = RESULT_FAIL;
		result_say(res, "exit=0, but %u failed", result_counts_bad(&c));
	}
}

/* Add @res to its collection's result, and mark @t as ended. */
static void keep(struct test_run *run, struct test_item *t, struct result *res)
{
	struct result *c = result_child(&run->root, t->collection);

	t->state = TEST_ENDED;
	if (!c) {
		result_free(res);
		run->status = STATUS_ERROR;
		return;
	}
	c->ms += res->ms;
	result_add(c, res);
	c->kind = result_judge(c);
}

/*
 * The log comes another way than the end of the test, and may come later. In front
 * of @begin is the end of the test before.
 */
static void log_wait(const char *path, off_t begin)
{
	static const char end[] = "lkvm: end";
	char text[4096];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	for (unsigned int i = 0; fd >= 0 && i < LOG_TRIES; i++) {
		off_t size = lseek(fd, 0, SEEK_END);

		n = pread(fd, text, sizeof(text),
			  MAX(size - (off_t)sizeof(text), begin));
		if (n > 0 && memmem(text, n, end, sizeof(end) - 1))
			break;
		poll(NULL, 0, 10);
	}
	if (fd >= 0)
		close(fd);
}

static void log_files(struct test_vm *vm, struct result *res, bool ended)
{
	char dir[TEST_PATH], path[TEST_PATH + 16], first[256];

	snprintf(dir, sizeof(dir), "%s/%s", vm->run->logs, vm->log);
	snprintf(path, sizeof(path), "%s/kernel.log", vm->dir);
	if (!ended)
		log_wait(path, vm->klog_at);
	vm->klog_at = log_slice(dir, "kernel.log", path, vm->klog_at);
	snprintf(path, sizeof(path), "%s/lkvm.log", vm->dir);
	vm->said_at = log_slice(dir, "lkvm.log", path, vm->said_at);
	if (log_check(dir, 0, vm->run->kernel, vm->run->o.fail_on, first) &&
	    !result_is_bad(res->kind)) {
		res->kind = RESULT_FAIL;
		result_say(res, "%s", first);
	}
}

/* @end: of the machine, NULL if only the test has ended, with @rc */
static void item_end(struct test_vm *vm, const struct test_end *end, long rc)
{
	struct test_item *t = vm->item;
	struct result *res = result_new(t->name, strlen(t->name));

	fclose(vm->output);
	vm->output = NULL;
	if (!res) {
		vm->run->status = STATUS_ERROR;
		return;
	}
	res->ms = (now_ns() - vm->begin) / NSEC_PER_MSEC + 1;
	res->log = strdup(vm->log);
	if (!end && rc == 4)
		res->kind = RESULT_SKIP;
	tap_end(&vm->tap, res);
	result_from(res, rc, t->limit, vm->late);
	if (end && !vm->late) {
		res->kind = end->status == STATUS_CUT ? RESULT_MISSING : RESULT_CRASH;
		result_say(res, "%s", end->text);
	}
	log_files(vm, res, end);
	test_line(vm->run, t->collection, res, t->tries);
	if (result_is_bad(res->kind) && t->tries <= vm->run->o.retry &&
	    !vm->run->status && !(end && end->status == STATUS_CUT)) {
		t->state = TEST_WAITS;
		result_free(res);
		return;
	}
	if (!result_is_bad(res->kind)) {
		free(res->note);
		res->note = NULL;
	}
	keep(vm->run, t, res);
}

static int vm_said(struct test_vm *vm, struct report *r)
{
	vm->word[vm->word_len] = 0;
	if (!strcmp(vm->word, "ready") && !vm->ready) {
		vm->ready = true;
		return vm_next(vm, r);
	}
	if (!vm->item)
		return 0;
	if (!strcmp(vm->word, "timeout")) {
		vm->late = true;
		vm->deadline = now_ns() + late_ns(vm->item);
	} else if (!strncmp(vm->word, "end ", 4)) {
		item_end(vm, NULL, strtol(vm->word + 4, NULL, 10));
		vm->late = false;
		return vm_next(vm, r);
	}
	return 0;
}

static void output_put(struct test_vm *vm, const void *d, size_t len)
{
	if (!vm->output)
		return;
	tap_feed(&vm->tap, d, len);
	if (vm->output_len < OUTPUT_MAX && vm->output_len + len >= OUTPUT_MAX)
		fprintf(vm->output, "\n[lkvm: there was more]\n");
	vm->output_len += len;
	if (vm->output_len < OUTPUT_MAX)
		fwrite(d, 1, len, vm->output);
}

/* A line is not the mark's: what was held back of it is output. */
static void unmatch(struct test_vm *vm)
{
	if (vm->newline)
		output_put(vm, "\n", 1);
	output_put(vm, vm->mark, vm->matched);
	vm->newline = false;
	vm->matched = 0;
}

/* Return: how many bytes were looked at, or -errno */
static ssize_t take(struct test_vm *vm, const char *d, size_t len,
		    struct report *r)
{
	size_t mark = strlen(vm->mark), n;

	if (vm->whole) {
		if (*d != '\n') {
			if (vm->word_len < sizeof(vm->word) - 1)
				vm->word[vm->word_len++] = *d;
			return 1;
		}
		vm->whole = false;
		vm->matched = 0;
		vm->newline = false;
		return vm_said(vm, r) < 0 ? -EINVAL : 1;
	}
	if (!vm->in_line && *d == vm->mark[vm->matched]) {
		vm->matched++;
		vm->whole = vm->matched == mark;
		vm->word_len = 0;
		return 1;
	}
	unmatch(vm);
	vm->in_line = *d != '\n';
	if (!vm->in_line) {
		vm->newline = true;
		return 1;
	}
	n = MIN(len, strcspn(d, "\n"));
	n = MAX(n, (size_t)1);
	output_put(vm, d, n);
	return n;
}

/* Return: 1 if there will be no more, or -errno */
static int vm_read(struct test_vm *vm, struct report *r)
{
	char buf[0x10001];
	ssize_t n = read(vm->child.out, buf, sizeof(buf) - 1), used;

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : 1;
	if (!n)
		return 1;
	buf[n] = 0;
	for (ssize_t at = 0; at < n; at += used) {
		used = take(vm, buf + at, n - at, r);
		if (used < 0)
			return used;
	}
	return 0;
}

/* It did not take a test that it was there for. */
static void vm_broken(struct test_vm *vm, const struct test_end *end)
{
	struct test_run *run = vm->run;

	fprintf(stderr, "lkvm: test: no machine to run tests in: %s\n",
		end->text);
	if (++run->broken > run->o.retry)
		run->status = end->status ? end->status : STATUS_ERROR;
}

/* It ended badly with no test in it, or its kernel did: somebody has to be told. */
static void vm_stray(struct test_vm *vm, const struct test_end *end)
{
	struct result *c = result_child(&vm->run->root, "lkvm");
	const char *name = strrchr(vm->dir, '/') + 1;
	struct result *res = c ? result_new(name, strlen(name)) : NULL;

	if (!res) {
		vm->run->status = STATUS_ERROR;
		return;
	}
	res->kind = end->status ? RESULT_CRASH : RESULT_FAIL;
	res->log = strdup(name);
	result_say(res, "after the tests: %s", end->text);
	test_line(vm->run, c->name, res, 1);
	result_add(c, res);
	c->kind = RESULT_FAIL;
}

static void vm_ended(struct test_vm *vm)
{
	struct test_run *run = vm->run;
	struct test_end end;

	unmatch(vm);
	child_wait(&vm->child, vm->dir, &end);
	if (vm->overdue && !vm->late && vm->item) {
		vm->late = vm->item->limit;
		snprintf(end.text, sizeof(end.text), "ended from outside");
	}
	if (vm->item)
		item_end(vm, &end, 0);
	else if (!vm->ready)
		vm_broken(vm, &end);
	else if (end.status || log_check(vm->dir, vm->klog_at, run->kernel,
					 run->o.fail_on, end.text))
		vm_stray(vm, &end);
	vm->item = NULL;
	vm->late = false;
}

static void vm_overdue(struct test_vm *vm, u64 now)
{
	char dir[TEST_PATH];

	if (!vm->deadline || now < vm->deadline)
		return;
	snprintf(dir, sizeof(dir), "%s/%s", vm->run->logs, vm->log);
	vm->deadline = child_overdue(&vm->child, vm->overdue++,
				     vm->item ? dir : NULL) * NSEC_PER_MSEC;
	vm->deadline += now_ns();
}

/* Return: how long poll(2) may wait, in ms */
static int vms_time(struct test_vm *vm, unsigned int nr)
{
	u64 now = now_ns(), first = now + 60 * NSEC_PER_SEC;

	for (unsigned int i = 0; i < nr; i++) {
		if (!vm[i].child.pid)
			continue;
		vm_overdue(&vm[i], now);
		if (vm[i].deadline)
			first = MIN(first, vm[i].deadline);
	}
	return ms_left(first);
}

/* Return: how many machines there are, or -errno */
static int vms_start(struct test_vm *vm, unsigned int nr, struct report *r)
{
	unsigned int live = 0, waiting = 0;
	int err = 0;

	for (unsigned int i = 0; i < nr; i++)
		live += vm[i].child.pid > 0;
	for (unsigned int i = 0; i < vm->run->nr_items; i++)
		waiting += vm->run->item[i].state == TEST_WAITS;
	for (unsigned int i = 0; i < nr && !err; i++) {
		/* Those that boot will take one. */
		if (vm[i].child.pid > 0 && !vm[i].used && waiting)
			waiting--;
		if (vm[i].child.pid > 0 || !waiting || vm->run->status)
			continue;
		err = vm_start(&vm[i], r);
		live++;
		waiting--;
	}
	return err ? err : (int)live;
}

void signals_open(struct test_run *run)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	run->signals = signalfd(-1, &set, SFD_CLOEXEC);
}

bool signal_take(struct test_run *run)
{
	struct signalfd_siginfo si;

	if (read(run->signals, &si, sizeof(si)) != sizeof(si))
		return false;
	fprintf(stderr, "lkvm: test: ended by signal %u\n", si.ssi_signo);
	run->status = 128 + (int)si.ssi_signo;
	return true;
}

static int vms_poll(struct test_vm *vm, unsigned int nr, struct report *r)
{
	struct pollfd p[TEST_MAX_VMS + 1];
	int err = 0;

	for (unsigned int i = 0; i < nr; i++)
		p[i] = (struct pollfd){ .fd = vm[i].child.out, .events = POLLIN };
	p[nr] = (struct pollfd){ .fd = vm->run->signals, .events = POLLIN };
	if (poll(p, nr + 1, vms_time(vm, nr)) <= 0)
		return 0;
	for (unsigned int i = 0; i < nr && err >= 0; i++) {
		if (!p[i].revents)
			continue;
		err = vm_read(&vm[i], r);
		if (err == 1)
			vm_ended(&vm[i]);
	}
	/* What has been printed until then is read. */
	if (p[nr].revents && signal_take(vm->run))
		return -EINTR;
	return err < 0 ? err : 0;
}

/* No more is run: machines that there are, and tests without a result */
static void loop_end(struct test_run *run, struct test_vm *vm, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		struct test_end end;

		if (vm[i].child.pid <= 0)
			continue;
		kill(vm[i].child.pid, SIGKILL);
		child_wait(&vm[i].child, vm[i].dir, &end);
		end.status = STATUS_CUT;
		snprintf(end.text, sizeof(end.text), "was running");
		if (vm[i].item)
			item_end(&vm[i], &end, 0);
	}
	for (unsigned int i = 0; i < run->nr_items; i++) {
		struct test_item *t = &run->item[i];
		struct result *res;

		if (t->state == TEST_ENDED)
			continue;
		res = result_new(t->name, strlen(t->name));
		if (!res) {
			run->status = STATUS_ERROR;
			break;
		}
		res->kind = RESULT_MISSING;
		result_say(res, t->tries ? "failed, not tried again" : "not run");
		keep(run, t, res);
	}
}

int test_loop(struct test_run *run, struct report *r)
{
	unsigned int nr = run->o.jobs;
	struct test_vm *vm = calloc(nr, sizeof(*vm));
	int err = vm ? 0 : report_error(r, ENOMEM, "test");

	signals_open(run);
	signal(SIGPIPE, SIG_IGN);
	for (unsigned int i = 0; i < nr && !err; i++)
		vm[i] = (struct test_vm){
			.run = run, .child = { .in = -1, .out = -1 },
		};
	while (!err) {
		err = vms_start(vm, nr, r);
		if (err <= 0)
			break;
		err = vms_poll(vm, nr, r);
	}
	loop_end(run, vm, vm ? nr : 0);
	free(vm);
	/* What ended before it did is reported. */
	return err == -EINTR ? 0 : err;
}
