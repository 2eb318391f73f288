// SPDX-License-Identifier: GPL-2.0-only
/*
 * What lkvm test keeps and says.
 *
 * Theory of operation: results.ktap, .json, .xml and .html are in the directory of
 * logs after each run, or none are, and copies of them where an option says. The first
 * is what lkvm test reads again. A test has a directory with what it printed, what the
 * kernel said meanwhile and what lkvm said. Names become those of files: what is no
 * letter, digit or one of ".-_+" is "_".
 *
 * A report of the kernel takes up to a minute to decode. No machine waits for that: it
 * is done by processes, one after the other, that are waited for before reports are
 * written, and end with lkvm. Main thread.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "builtin-test.h"

/* Three for each machine, and ours */
#define FDS_MAX (4 * TEST_MAX_VMS)

/* Processes that decode; a place is taken again when all have been */
static pid_t decoders[256];
static unsigned int nr_decoders;

static const struct {
	const char *file;
	void (*write)(FILE *f, const struct result *root, const char *dir);
} report[NR_REPORTS] = {
	[TEST_KTAP] = { "results.ktap", report_ktap },
	[TEST_JSON] = { "results.json", report_json },
	[TEST_JUNIT] = { "results.xml", report_junit },
	[TEST_HTML] = { "results.html", report_html },
};

void file_name(char *out, const char *name)
{
	size_t n = 0;

	/* No hidden file, and no way up */
	if (*name == '.' || !*name)
		out[n++] = '_';
	for (; *name && n < 200; name++)
		out[n++] = isalnum((u8)*name) || strchr(".-_+", *name) ?
			   *name : '_';
	out[n] = 0;
}

static void put_name(FILE *f, const char *s)
{
	for (; *s; s++)
		putc((u8)*s < ' ' || *s == 0x7f ? '?' : *s, f);
}

void test_line(const struct test_run *run, const char *collection,
	       const struct result *t, unsigned int tries)
{
	struct result_counts c = { { 0 } };
	FILE *f = run->lines;
	unsigned int all;

	fprintf(f, "%-7s ", result_words[t->kind]);
	put_name(f, collection);
	putc(':', f);
	put_name(f, t->name);
	fprintf(f, "  %llu.%02u s", (unsigned long long)(t->ms / 1000),
		(unsigned int)(t->ms % 1000 / 10));
	if (t->first) {
		result_count(t, &c);
		all = result_counts_all(&c);
		fprintf(f, ", %u of %u passed", all - result_counts_bad(&c) -
			c.of[RESULT_SKIP], all);
	}
	if (t->why) {
		fprintf(f, ": ");
		put_name(f, t->why);
	}
	if (tries > 1)
		fprintf(f, " (try %u)", tries);
	putc('\n', f);
	fflush(f);
}

static int report_write(const struct test_run *run, enum test_report which,
			const char *path, struct report *r)
{
	bool out = !strcmp(path, "-");
	FILE *f = out ? stdout : fopen(path, "we");
	int bad;

	if (!f)
		return report_error(r, errno, "%s", path);
	report[which].write(f, &run->root, run->logs);
	bad = fflush(f) || ferror(f);
	if (!out && fclose(f))
		bad = 1;
	return bad ? report_error(r, errno ? errno : EIO, "%s", path) : 0;
}

/* Nothing is opened for that: neither is a file made, nor a pipe's reader waited for. */
static bool can_write(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[TEST_PATH];
	struct stat st;

	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		errno = EISDIR;
	else if (!access(path, W_OK))
		return true;
	if (errno != ENOENT || !*path)
		return false;
	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		 slash ? path : ".");
	return !access(dir, W_OK);
}

int files_check(const struct test_run *run, struct report *r)
{
	const char *config = run->o.config;
	char *text;

	if (config && strcmp(config, "-")) {
		text = dotconfig_read(config, true, r);
		if (!text)
			return -EINVAL;
		free(text);
	}
	for (unsigned int i = 0; i < NR_REPORTS; i++) {
		const char *path = run->o.report[i];

		if (path && strcmp(path, "-") && !can_write(path))
			return report_error(r, errno, "%s", path);
	}
	return 0;
}

void reports_remove(const struct test_run *run)
{
	char path[TEST_PATH];
	struct stat st;

	if (run->o.list || run->o.config)
		return;
	for (unsigned int i = 0; i < NR_REPORTS; i++) {
		const char *copy = run->o.report[i];

		snprintf(path, sizeof(path), "%s/%s", run->logs, report[i].file);
		unlink(path);
		/* No device, and no link to one */
		if (copy && !lstat(copy, &st) && S_ISREG(st.st_mode))
			unlink(copy);
	}
}

int test_reports(const struct test_run *run, struct report *r)
{
	char path[TEST_PATH];
	bool bad = false;

	/* One that cannot be written costs no other; the first says why. */
	for (unsigned int i = 0; i < NR_REPORTS; i++) {
		snprintf(path, sizeof(path), "%s/%s", run->logs,
			 report[i].file);
		bad |= report_write(run, i, path, r) < 0;
		if (run->o.report[i])
			bad |= report_write(run, i, run->o.report[i], r) < 0;
	}
	return bad ? -EIO : 0;
}

/* Logs of a run that is elsewhere are where they were, as those that it had joined. */
static void logs_below(struct result *r, const char *dir)
{
	for (r = r->first; r; r = r->next) {
		char *path = NULL;

		logs_below(r, dir);
		if (!r->log || strstr(r->log, "../") ||
		    asprintf(&path, "%s%s%s", *r->log == '/' ? "" : dir,
			     *r->log == '/' ? "" : "/", r->log) < 0)
			path = NULL;
		free(r->log);
		r->log = path;
	}
}

int log_tap(const char *path, struct result *into, struct report *r)
{
	static struct tap tap;
	char buf[16384];
	int header = 0;
	size_t n;
	FILE *f;

	f = fopen(path, "re");
	if (!f)
		return report_error(r, errno, "%s", path);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0) {
		header |= n > 5 && !memcmp(buf, "KTAP ", 5);
		tap_feed(&tap, buf, n);
	}
	if (ferror(f))
		header = report_error(r, EIO, "%s", path);
	fclose(f);
	tap_end(&tap, into);
	return header;
}

int test_read(struct result *root, const char *dir, struct report *r)
{
	struct result from = { .kind = RESULT_PASS };
	char path[TEST_PATH], *real;
	int good;

	snprintf(path, sizeof(path), "%s/%s", dir, report[TEST_KTAP].file);
	good = log_tap(path, &from, r);
	free(from.note);
	if (good <= 0)
		return good ? good : report_error(r, 0, "%s: no results", path);
	real = realpath(dir, NULL);
	if (real)
		logs_below(&from, real);
	free(real);
	result_merge(root, &from, 2);
	return 0;
}

int test_summary(const struct test_run *run)
{
	struct result_counts tests = { { 0 } }, parts = { { 0 } };
	unsigned int bad, all, skipped;

	for (const struct result *c = run->root.first; c; c = c->next) {
		for (const struct result *t = c->first; t; t = t->next) {
			tests.of[t->kind]++;
			if (t->first)
				result_count(t, &parts);
		}
		/* A report that ends early lacks tests that nobody can name. */
		tests.of[c->kind] += result_is_fault(c);
	}
	bad = result_counts_bad(&tests);
	all = result_counts_all(&tests);
	skipped = tests.of[RESULT_SKIP];
	fprintf(run->lines, "%u tests: %u passed, %u failed, %u skipped", all,
		all - bad - skipped, bad, skipped);
	if (result_counts_all(&parts))
		fprintf(run->lines, "; %u subtests: %u failed, %u skipped",
			result_counts_all(&parts), result_counts_bad(&parts),
			parts.of[RESULT_SKIP]);
	fprintf(run->lines, "\nlogs: %s\n", run->logs);
	fflush(run->lines);
	if (run->status)
		return run->status;
	/* A share may be empty. */
	return bad ? 1 : skipped == all ? 4 : 0;
}

off_t log_slice(const char *dir, const char *name, const char *from, off_t begin)
{
	char path[TEST_PATH], buf[16384];
	FILE *in, *out;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	out = fopen(path, "we");
	in = out ? fopen(from, "re") : NULL;
	if (in && !fseeko(in, begin, SEEK_SET))
		while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
			begin += fwrite(buf, 1, n, out);
	if (in)
		fclose(in);
	if (out)
		fclose(out);
	return begin;
}

/*
 * What decodes a report prints to stderr: so it has one of its own. It holds no pipe
 * open whose end a machine waits for.
 */
static void decode(const char *dir, const char *kernel, const struct klog *k)
{
	char path[TEST_PATH];
	struct decoder d = { .in = -1, .out = -1 };
	pid_t *pid = &decoders[nr_decoders++ % ARRAY_SIZE(decoders)];
	int fd;

	snprintf(path, sizeof(path), "%s/lkvm.log", dir);
	fflush(NULL);
	if (*pid > 0)
		waitpid(*pid, NULL, 0);
	*pid = fork();
	if (!*pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (fd = STDERR_FILENO + 1; fd < FDS_MAX; fd++)
			close(fd);
		flock(open(kernel, O_RDONLY | O_CLOEXEC), LOCK_EX);
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
		if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
			_exit(1);
		decoder_open(&d, kernel);
		decoder_print(&d, k->report, k->report_len);
		decoder_close(&d);
		fflush(stderr);
		_exit(0);
	}
}

void log_wait_all(struct test_run *run)
{
	const struct timespec patience = { .tv_nsec = 50000000 };
	sigset_t set;
	int signo;

	/* Those that would have ended the tests */
	sigprocmask(SIG_BLOCK, NULL, &set);
	for (unsigned int i = 0; i < ARRAY_SIZE(decoders); i++)
		while (run->status < 128 && decoders[i] > 0 &&
		       !waitpid(decoders[i], NULL, WNOHANG)) {
			signo = sigtimedwait(&set, NULL, &patience);
			if (signo > 0)
				run->status = 128 + signo;
		}
}

u32 log_check(const char *dir, off_t begin, const char *kernel, u32 wanted, char *first)
{
	static struct klog k;
	char path[TEST_PATH], buf[16384];
	u32 splats;
	size_t n;
	FILE *f;

	memset(&k, 0, sizeof(k));
	k.wanted = wanted;
	*first = 0;
	snprintf(path, sizeof(path), "%s/kernel.log", dir);
	f = fopen(path, "re");
	if (f)
		fseeko(f, begin, SEEK_SET);
	while (f && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		klog_feed(&k, buf, n);
	if (f)
		fclose(f);
	splats = k.splats & wanted;
	for (unsigned int i = 0; i < ARRAY_SIZE(k.first) && !*first; i++)
		if (splats & BIT(i))
			snprintf(first, 256, "%s", k.first[i]);
	if (k.report_len)
		decode(dir, kernel, &k);
	return splats;
}
