// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where tests come from.
 *
 * Theory of operation: tests of the kernel's tree are built by its own makefiles,
 * where these put them, for the kernel that is run: with its headers, in its build
 * directory. What make says is in build.log. All collections that are named have to
 * be built: what an earlier build has left would be run in place of one that cannot.
 * Of all that there are, or a pattern fits, some are enough. What can be run is what
 * has been installed: its kselftest-list.txt has a line collection:test for each. A
 * name that is asked for may be a pattern as of fnmatch(3); one that nothing has is an
 * error, since a test that was not built has not passed. Main thread.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builtin-test.h"
#include "kvm/shard.h"

#define SELFTESTS "tools/testing/selftests"
#define LIMIT 45

static int find_kernel(struct test_run *run, struct report *r)
{
	struct discover *d = calloc(1, sizeof(*d));
	const char *k = run->o.kernel;
	int err;

	if (!d)
		return report_error(r, ENOMEM, "kernel");
	err = discover_find(d, k, r);
	if (!err && !d->kernel[0]) {
		snprintf(d->kernel, sizeof(d->kernel), "%s", k);
		image_build_dir(k, d->build, sizeof(d->build));
	}
	if (!err && !realpath(d->kernel, run->kernel))
		err = report_error(r, errno, "kernel %s", d->kernel);
	if (!err && d->build[0] && !realpath(d->build, run->build))
		run->build[0] = 0;
	free(d);
	return err;
}

/* From @from upwards, what has selftests */
static bool find_tree(struct test_run *run, const char *from)
{
	char path[TEST_PATH];
	char *slash;

	if (!realpath(from, run->tree))
		run->tree[0] = 0;
	while (run->tree[0]) {
		snprintf(path, sizeof(path), "%s/" SELFTESTS "/Makefile",
			 run->tree);
		if (!access(path, R_OK))
			return true;
		slash = strrchr(run->tree, '/');
		*slash = 0;
	}
	return false;
}

static bool in_tree(const struct test_run *run)
{
	return !run->build[0] || !strcmp(run->build, run->tree);
}

static int find_install(struct test_run *run, struct report *r)
{
	char path[TEST_PATH];

	if (run->o.install) {
		if (!realpath(run->o.install, run->install))
			return report_error(r, errno, "%s", run->o.install);
		return 0;
	}
	snprintf(path, sizeof(path), "%s/source", run->build);
	if (!(run->build[0] && (find_tree(run, path) || find_tree(run, run->build))) &&
	    !find_tree(run, "."))
		return report_error(r, 0,
			"test: no kernel tree here: --install says where tests are");
	snprintf(path, sizeof(path), "%s/%s/kselftest_install",
		 in_tree(run) ? run->tree : run->build,
		 in_tree(run) ? SELFTESTS : "kselftest");
	if (strlen(path) >= sizeof(run->install))
		return report_error(r, ENAMETOOLONG, "%s", path);
	memcpy(run->install, path, strlen(path) + 1);
	return 0;
}

int test_find(struct test_run *run, struct report *r)
{
	int err = find_kernel(run, r);

	return err || run->o.kunit ? err : find_install(run, r);
}

static int run_make(const struct test_run *run, const char *const *args,
		    struct report *r)
{
	char log[TEST_PATH + 16];
	int status = 0, fd;
	pid_t pid;

	snprintf(log, sizeof(log), "%s/build.log", run->logs);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
		if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(127);
		/* Not that of a make that has started us */
		unsetenv("MAKEFLAGS");
		unsetenv("MAKELEVEL");
		execvp("make", (char *const *)args);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && !status)
		return 0;
	return report_error(r, 0, "test: make failed, see %s", log);
}

/* TARGETS=: each collection once; all that the tree has if none is named */
static char *targets(const struct test_run *run)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fprintf(f, "TARGETS=");
	for (unsigned int i = 0; i < run->o.nr_picks; i++) {
		const char *p = run->o.pick[i];
		size_t n = strcspn(p, ":");
		unsigned int j = 0;

		while (j < i && (strncmp(run->o.pick[j], p, n) ||
				 (run->o.pick[j][n] && run->o.pick[j][n] != ':')))
			j++;
		if (j == i)
			fprintf(f, "%.*s ", (int)n, p);
	}
	fclose(f);
	return text;
}

int test_build(struct test_run *run, struct report *r)
{
	char jobs[32], out[TEST_PATH], path[TEST_PATH], tests[TEST_PATH];
	char *names = targets(run);
	bool apart = !in_tree(run);
	const char *args[11] = {
		"make", "-C", run->tree, jobs, "headers", apart ? out : NULL,
	};
	unsigned int n = apart ? 6 : 5;
	int err;

	if (!names)
		return report_error(r, ENOMEM, "make");
	snprintf(jobs, sizeof(jobs), "-j%ld", sysconf(_SC_NPROCESSORS_ONLN));
	snprintf(out, sizeof(out), "O=%s", run->build);
	snprintf(path, sizeof(path), "KSFT_INSTALL_PATH=%s", run->install);
	snprintf(tests, sizeof(tests), "%s/" SELFTESTS, run->tree);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "lkvm: building tests, see %s/build.log\n",
			run->logs);
	err = run_make(run, args, r);
	args[2] = tests;
	args[4] = "install";
	args[n++] = path;
	args[n++] = run->o.nr_picks ? names : "SKIP_TARGETS=bpf sched_ext";
	if (run->o.nr_picks)
		args[n++] = "SKIP_TARGETS=";
	if (run->o.nr_picks && !names[strcspn(names, "*?[")])
		args[n] = "FORCE_TARGETS=1";
	if (!err)
		err = run_make(run, args, r);
	free(names);
	return err;
}

static long read_limit(const struct test_run *run, const char *collection)
{
	char path[TEST_PATH], line[256];
	long limit = LIMIT;
	FILE *f;

	if (run->o.timeout >= 0)
		return run->o.timeout;
	snprintf(path, sizeof(path), "%s/%s/settings", run->install, collection);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "timeout=%ld", &limit) == 1 && limit < 0)
			limit = LIMIT;
	if (f)
		fclose(f);
	return limit;
}

static bool is_picked(const struct test_run *run, const char *line,
		      bool *used)
{
	bool picked = !run->o.nr_picks;

	for (unsigned int i = 0; i < run->o.nr_picks; i++) {
		const char *p = run->o.pick[i];
		size_t n = strlen(p);

		/* A collection, or a pattern */
		if (!strchr(p, ':') ? strncmp(line, p, n) || line[n] != ':' :
		    fnmatch(p, line, 0))
			continue;
		used[i] = true;
		picked = true;
	}
	return picked;
}

static int add_item(struct test_run *run, const char *line)
{
	struct test_item *more = realloc(run->item, (run->nr_items + 1) *
					 sizeof(*more));
	const char *colon = strchr(line, ':');
	struct test_item *t;

	if (!more)
		return -ENOMEM;
	run->item = more;
	t = &more[run->nr_items];
	*t = (struct test_item){
		.collection = strndup(line, colon - line),
		.name = strdup(colon + 1),
	};
	run->nr_items++;
	if (!t->collection || !t->name)
		return -ENOMEM;
	t->limit = read_limit(run, t->collection);
	return 0;
}

/* A collection is a directory below, and not elsewhere. */
static bool is_item(const char *line)
{
	const char *colon = strchr(line, ':');

	return colon && colon > line && colon[1] && *line != '/' &&
	       !strstr(line, "..");
}

static int read_list(struct test_run *run, bool *used, struct report *r)
{
	char path[TEST_PATH], *line = NULL;
	size_t size = 0;
	int err = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/kselftest-list.txt", run->install);
	f = fopen(path, "re");
	if (!f)
		return report_error(r, errno, "%s", path);
	while (!err && getdelim(&line, &size, '\n', f) > 0) {
		line[strcspn(line, "\n")] = 0;
		if (!is_item(line) || !is_picked(run, line, used))
			continue;
		err = add_item(run, line);
	}
	free(line);
	fclose(f);
	return err ? report_error(r, -err, "%s", path) : 0;
}

/* How long they took in an earlier run, if we know of one */
static void take_times(struct test_run *run)
{
	for (unsigned int i = 0; i < run->nr_items; i++) {
		struct test_item *t = &run->item[i];
		struct result *c = result_find(&run->times, t->collection);

		c = c ? result_find(c, t->name) : NULL;
		t->ms = c ? c->ms : 0;
	}
}

static int take_share(struct test_run *run, struct report *r)
{
	struct shard_item *s = calloc(run->nr_items, sizeof(*s));
	char **name = calloc(run->nr_items, sizeof(*name));
	int err = s && name ? 0 : -ENOMEM;
	unsigned int n = 0, all = run->nr_items;

	for (unsigned int i = 0; i < all && !err; i++) {
		if (asprintf(&name[i], "%s:%s", run->item[i].collection,
			     run->item[i].name) < 0)
			err = -ENOMEM;
		s[i] = (struct shard_item){ .name = name[i],
					    .ms = run->item[i].ms };
	}
	if (!err)
		err = shard_assign(s, all, run->o.shards);
	for (unsigned int i = 0; i < all && !err; i++) {
		if (s[i].shard == run->o.shard - 1) {
			run->item[n++] = run->item[i];
			continue;
		}
		free(run->item[i].collection);
		free(run->item[i].name);
	}
	if (!err)
		run->nr_items = n;
	for (unsigned int i = 0; name && i < all; i++)
		free(name[i]);
	free(name);
	free(s);
	return err ? report_error(r, -err, "--shard") : 0;
}

int test_load(struct test_run *run, struct report *r)
{
	bool used[TEST_MAX_NAMES] = { false };
	int err = read_list(run, used, r);

	for (unsigned int i = 0; i < run->o.nr_picks && !err; i++)
		if (!used[i])
			err = report_error(r, 0, "test: %s has no %s",
					   run->install, run->o.pick[i]);
	if (!err && !run->nr_items)
		err = report_error(r, 0, "test: %s has no tests", run->install);
	if (err || !run->o.shards)
		return err;
	take_times(run);
	return take_share(run, r);
}

/* What a collection wants, or all that are in the list: each once */
static bool is_first(const struct test_run *run, unsigned int i)
{
	for (unsigned int j = 0; j < i; j++)
		if (!strcmp(run->item[j].collection, run->item[i].collection))
			return false;
	return true;
}

/* To @f, all of it or what @have lacks. Return: how many options */
static unsigned int put_wanted(const struct test_run *run, FILE *f,
			       const char *have, bool print)
{
	char path[TEST_PATH], *text;
	unsigned int n = 0;

	for (unsigned int i = 0; i < run->nr_items; i++) {
		if (!is_first(run, i))
			continue;
		snprintf(path, sizeof(path), "%s/%s/config", run->install,
			 run->item[i].collection);
		text = dotconfig_read(path, false, NULL);
		if (text && print)
			fprintf(f, "# %s\n", run->item[i].collection);
		if (text)
			n += dotconfig_missing(f, text, have);
		free(text);
	}
	return n;
}

int test_config(const struct test_run *run, struct report *r)
{
	bool print = !strcmp(run->o.config, "-");
	char *have, *more = NULL;
	unsigned int n;
	size_t size;
	FILE *f;
	int err = 0;

	if (print) {
		put_wanted(run, stdout, "", true);
		return fflush(stdout) || ferror(stdout) ?
		       report_error(r, errno, "config -") : 0;
	}
	have = dotconfig_read(run->o.config, true, r);
	if (!have)
		return -EINVAL;
	f = open_memstream(&more, &size);
	n = f ? put_wanted(run, f, have, false) : 0;
	if (!f || fclose(f))
		err = report_error(r, ENOMEM, "config %s", run->o.config);
	else
		err = dotconfig_extend(run->o.config, have, more, n, r);
	free(more);
	free(have);
	return err;
}

void test_items_free(struct test_run *run)
{
	for (unsigned int i = 0; i < run->nr_items; i++) {
		free(run->item[i].collection);
		free(run->item[i].name);
	}
	free(run->item);
	run->item = NULL;
	run->nr_items = 0;
}
