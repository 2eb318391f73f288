// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel modules that a guest needs, and in which order.
 *
 * Theory of operation: below /lib/modules, modules.dep lists each module with
 * those that it depends on; a build directory has modules.order with all, and
 * each module's own "depends=" says by name what it wants. A module comes after
 * all of its dependencies, once. Names are compared with - and _ as the same.
 * modules.builtin says what need not be looked for.
 *
 * Files may be packed by xz, zstd or gzip, whose programs unpack them; without
 * the program the kernel may know how.
 *
 * Runs while a VM is prepared, before the process is sealed. The lists are files
 * of the host and are believed, but what does not fit into fixed buffers is cut
 * or refused. No state, no threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm/file.h"
#include "kvm/modules.h"
#include "kvm/thread.h"

#define DEPTH_MAX 32
/* Behind a module's name, and behind a word of modules.dep */
#define NAME_END ".,:\n "
#define WORD_END "\n "
#define MODULE_BYTES_MAX (256 * SZ_1M - 2)

/**
 * struct search - what is looked in
 * @dep: modules.dep, or NULL; @order: modules.order; @builtin: modules.builtin
 */
struct search {
	const char *dir;
	char *dep;
	char *order;
	char *builtin;
	struct report *r;
	unsigned int depth;
};

static char *read_list(const char *dir, const char *name)
{
	char path[MODULES_PATH], *d;
	size_t len;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >=
	    (int)sizeof(path))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	d = file_read_all(fd, MODULE_BYTES_MAX, &len);
	close(fd);
	return d;
}

static char plain(char c)
{
	return c == '-' ? '_' : c;
}

/* Whether the path of @len bytes is that of module @name, of @name_len */
static bool is_module(const char *path, size_t len, const char *name,
		      size_t name_len)
{
	const char *base = memrchr(path, '/', len);

	base = base ? base + 1 : path;
	len -= base - path;
	/* ".ko", ".ko.xz", or ".o" in modules.order */
	if (len <= name_len || base[name_len] != '.')
		return false;
	for (size_t i = 0; i < name_len; i++)
		if (plain(base[i]) != plain(name[i]))
			return false;
	return true;
}

/*
 * The line whose path, up to one of @ends, is that of @name. Return: NULL when
 * there is none; @len of the path
 */
static const char *find_line(const char *list, const char *ends,
			     const char *name, size_t name_len, size_t *len)
{
	while (list && *list) {
		*len = strcspn(list, ends);
		if (is_module(list, *len, name, name_len))
			return list;
		list += strcspn(list, "\n");
		list += *list == '\n';
	}
	return NULL;
}

static int append(struct modules *m, const struct search *s, const char *path)
{
	for (unsigned int i = 0; i < m->nr; i++)
		if (!strcmp(m->path[i], path))
			return 0;
	if (m->nr == MODULES_MAX)
		return report_error(s->r, 0, "more than %d modules of %s",
				    MODULES_MAX, s->dir);
	m->path[m->nr] = strdup(path);
	return m->path[m->nr++] ? 0 : report_error(s->r, ENOMEM, "modules");
}

static int resolve(struct modules *m, struct search *s, const char *name,
		   size_t len);

/* @list: names up to a NUL, with one of @sep between them */
static int resolve_list(struct modules *m, struct search *s, const char *list,
			const char *sep)
{
	int err = 0;

	if (s->depth == DEPTH_MAX)
		return report_error(s->r, ELOOP, "modules of %s", s->dir);
	s->depth++;
	while (*list && *list != '\n' && !err) {
		size_t len = strcspn(list, sep);
		const char *base = memrchr(list, '/', len);
		size_t skip = base ? base + 1 - list : 0;

		err = len > skip ? resolve(m, s, list + skip,
			strcspn(list + skip, NAME_END)) : 0;
		err = err > 0 ? 0 : err;
		list += len;
		list += *list && *list != '\n';
	}
	s->depth--;
	return err;
}

/* What the module itself says: .modinfo is strings that end in NUL. */
static int resolve_depends(struct modules *m, struct search *s, const char *path)
{
	static const char mark[] = "\0depends=";
	void *data, *at;
	size_t len;
	int err = modules_read(path, &data, &len, s->r);

	if (err)
		return err;
	at = memmem(data, len, mark, sizeof(mark) - 1);
	/* Behind the file there is a NUL: modules_read() */
	if (at)
		err = resolve_list(m, s, (char *)at + sizeof(mark) - 1, ",");
	free(data);
	return err;
}

/* Return: 0; 1 when there is no such module; -errno */
static int resolve(struct modules *m, struct search *s, const char *name,
		   size_t len)
{
	char path[MODULES_PATH];
	const char *line;
	size_t n;
	int err;

	line = find_line(s->builtin, "\n", name, len, &n);
	if (line)
		return 0;
	line = find_line(s->dep ? s->dep : s->order, s->dep ? ":\n" : "\n", name,
			 len, &n);
	if (!line)
		return 1;
	if (!s->dep && n > 2 && !strncmp(line + n - 2, ".o", 2))
		snprintf(path, sizeof(path), "%s/%.*s.ko", s->dir, (int)n - 2,
			 line);
	else
		snprintf(path, sizeof(path), "%s/%.*s", s->dir, (int)n, line);
	if (s->dep)
		err = resolve_list(m, s, line + n + (line[n] == ':') +
				   (line[n] == ':' && line[n + 1] == ' '), WORD_END);
	else
		err = resolve_depends(m, s, path);
	return err ? err : append(m, s, path);
}

int modules_resolve(struct modules *m, const char *dir,
		    const char *const *names, struct report *r)
{
	struct search s = {
		.dir = dir,
		.dep = read_list(dir, "modules.dep"),
		.order = read_list(dir, "modules.order"),
		.builtin = read_list(dir, "modules.builtin"),
		.r = r,
	};
	int err = 0;

	m->known = s.builtin && *s.builtin;
	for (; *names && err >= 0; names++) {
		err = resolve(m, &s, *names, strlen(*names));
		if (err == 1 && m->nr_missing < MODULES_MISSING_MAX)
			m->missing[m->nr_missing++] = *names;
	}
	free(s.dep);
	free(s.order);
	free(s.builtin);
	return err < 0 ? err : 0;
}

static const char *const *unpacker(const char *path)
{
	static const struct {
		const char *suffix;
		const char *const argv[4];
	} row[] = {
		{ ".xz", { "xz", "-dc", NULL } },
		{ ".zst", { "zstd", "-dcq", NULL } },
		{ ".gz", { "gzip", "-dc", NULL } },
	};
	size_t len = strlen(path);

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		size_t n = strlen(row[i].suffix);

		if (len > n && !strcmp(path + len - n, row[i].suffix))
			return row[i].argv;
	}
	return NULL;
}

/* Return: what the program makes of @fd; NULL when it does not */
static void *unpack(int fd, const char *const *argv, size_t *len)
{
	posix_spawn_file_actions_t files;
	int p[2], status = -1, err;
	void *d = NULL;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return NULL;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, p[1], STDOUT_FILENO);
	err = process_spawn(&pid, argv[0], &files, (char *const *)argv);
	posix_spawn_file_actions_destroy(&files);
	close(p[1]);
	if (!err)
		d = file_read_all(p[0], MODULE_BYTES_MAX, len);
	/* It may still have more to say than is read. */
	close(p[0]);
	while (!err && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!err && !status)
		return d;
	free(d);
	return NULL;
}

int modules_read(const char *path, void **data, size_t *len, struct report *r)
{
	const char *const *argv = unpacker(path);
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	*data = NULL;
	if (fd < 0)
		return report_error(r, errno, "module %s", path);
	if (argv)
		*data = unpack(fd, argv, len);
	if (!*data && lseek(fd, 0, SEEK_SET) == 0)
		*data = file_read_all(fd, MODULE_BYTES_MAX, len);
	err = *data ? 0 : report_error(r, errno, "module %s", path);
	close(fd);
	return err;
}

void modules_free(struct modules *m)
{
	for (unsigned int i = 0; i < m->nr; i++)
		free(m->path[i]);
	memset(m, 0, sizeof(*m));
}
