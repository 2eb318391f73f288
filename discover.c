// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which kernel to boot when nobody says.
 *
 * Theory of operation: who is in a kernel tree wants what was built there last.
 * That is in $KBUILD_OUTPUT if that is set; else in the tree, looking upwards
 * from here; else where make O= put it: a build directory has a symbolic link
 * "source" to its tree, so that those in or beside the tree are found by it. Of
 * several images the newest counts, and of two of the same age the one that is
 * named first. Outside of any tree it is the running kernel's image, else the
 * newest installed one that can be read. $KBUILD_OUTPUT is binding, and so is a
 * tree: without an image there, as after a build that failed, none from elsewhere
 * takes its place, nor an older one that of an image that cannot be read. A relative
 * $KBUILD_OUTPUT is one of the tree, as for make.
 *
 * Reads directories and the beginnings of files, changes nothing. No state.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kvm/arch.h"
#include "kvm/discover.h"

#define BESIDE_MAX 1024

static bool newer(const struct stat *a, const struct stat *b)
{
	if (a->st_mtim.tv_sec != b->st_mtim.tv_sec)
		return a->st_mtim.tv_sec > b->st_mtim.tv_sec;
	return a->st_mtim.tv_nsec > b->st_mtim.tv_nsec;
}

/*
 * Return: whether @path is a file that is newer than *@best. One that cannot be looked at
 * may be: who opens it says why that fails, and nobody boots an older one instead.
 */
static bool is_better(const char *path, struct stat *best)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return false;
		st = (struct stat){
			.st_ino = 1, .st_mode = S_IFREG, .st_mtim.tv_sec = LONG_MAX,
		};
	}
	if (!S_ISREG(st.st_mode))
		return false;
	if (best->st_ino && !newer(&st, best))
		return false;
	*best = st;
	return true;
}

static bool look_in(struct discover *d, const char *dir, struct stat *best)
{
	char path[DISCOVER_PATH];
	bool found = false;

	for (const char *const *i = d->images; *i; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", dir, *i) >=
		    (int)sizeof(path) || !is_better(path, best))
			continue;
		snprintf(d->kernel, sizeof(d->kernel), "%s", path);
		snprintf(d->build, sizeof(d->build), "%s", dir);
		found = true;
	}
	return found;
}

/* A build directory of the tree that @tree is the status of */
static bool is_output_of(const char *dir, const struct stat *tree)
{
	char link[DISCOVER_PATH];
	struct stat st;

	return snprintf(link, sizeof(link), "%s/source", dir) <
		(int)sizeof(link) && stat(link, &st) == 0 &&
	       st.st_dev == tree->st_dev && st.st_ino == tree->st_ino;
}

/* Build directories of @tree among the entries of @dir */
static void look_among(struct discover *d, const char *dir,
		       const struct stat *tree, struct stat *best)
{
	char path[DISCOVER_PATH];
	DIR *list = opendir(dir);
	struct dirent *e;

	for (unsigned int n = 0; list && n < BESIDE_MAX; n++) {
		e = readdir(list);
		if (!e)
			break;
		if (e->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >=
		    (int)sizeof(path))
			continue;
		if (is_output_of(path, tree))
			look_in(d, path, best);
	}
	if (list)
		closedir(list);
}

static bool has(const char *dir, const char *name)
{
	char path[DISCOVER_PATH];

	return snprintf(path, sizeof(path), "%s/%s", dir, name) <
		(int)sizeof(path) && !access(path, F_OK);
}

static bool is_tree(const char *dir)
{
	return has(dir, "Kbuild") && has(dir, "Kconfig") && has(dir, "MAINTAINERS");
}

static bool is_output(const char *dir)
{
	return has(dir, "include/config/auto.conf") ||
	       (has(dir, "source/Kbuild") && has(dir, "source/MAINTAINERS"));
}

int discover_in(struct discover *d, const char *dir)
{
	char beside[DISCOVER_PATH];
	struct stat best = { 0 }, tree;

	look_in(d, dir, &best);
	if (is_tree(dir) && stat(dir, &tree) == 0) {
		look_among(d, dir, &tree, &best);
		if (snprintf(beside, sizeof(beside), "%s/..", dir) <
		    (int)sizeof(beside))
			look_among(d, beside, &tree, &best);
	}
	return best.st_ino ? 0 : -ENOENT;
}

/*
 * From @here upwards, the first directory that is of a kernel build. Return: 0; 1 if
 * there is none; -errno
 */
static int look_up(const char *here, char *dir)
{
	char *slash;

	if (!realpath(here, dir))
		return -errno;
	while (!is_tree(dir) && !is_output(dir)) {
		slash = strrchr(dir, '/');
		if (!slash || slash == dir)
			return 1;
		*slash = 0;
	}
	return 0;
}

static int look_installed(struct discover *d, struct report *r)
{
	struct stat best = { 0 };
	char path[DISCOVER_PATH];
	struct dirent *e;
	DIR *list;

	snprintf(path, sizeof(path), "%s/vmlinuz-%s", d->boot, d->release);
	d->build[0] = 0;
	if (!access(path, R_OK) && is_better(path, &best)) {
		snprintf(d->kernel, sizeof(d->kernel), "%s", path);
		return 0;
	}
	list = opendir(d->boot);
	while (list && (e = readdir(list))) {
		if (strncmp(e->d_name, "vmlinuz", 7) ||
		    snprintf(path, sizeof(path), "%s/%s", d->boot, e->d_name) >=
		    (int)sizeof(path))
			continue;
		if (!access(path, R_OK) && is_better(path, &best))
			snprintf(d->kernel, sizeof(d->kernel), "%s", path);
	}
	if (list)
		closedir(list);
	if (best.st_ino)
		return 0;
	report_error(r, 0, "no kernel: no -k, and none in %s that can be read",
		     d->boot);
	return -ENOENT;
}

int discover_kernel(struct discover *d, struct report *r)
{
	bool bound = d->output && *d->output;
	char dir[DISCOVER_PATH];
	size_t len = 0;
	int err = look_up(d->here, dir);

	if (bound) {
		/* A relative one is the tree's: it is from there that make is called. */
		if (*d->output != '/' && !err && is_tree(dir))
			len = strlen(dir);
		snprintf(dir + len, sizeof(dir) - len, "%s%s", len ? "/" : "",
			 d->output);
	} else if (err < 0) {
		return report_error(r, -err, "no kernel: no -k, and %s", d->here);
	}
	if (!bound && err)
		return look_installed(d, r);
	if (!discover_in(d, dir))
		return 0;
	/* There may be a .config already. */
	snprintf(d->build, sizeof(d->build), "%s", dir);
	if (bound)
		report_error(r, 0, "no kernel: no %s in KBUILD_OUTPUT=%s",
			     d->images[0], d->output);
	else
		report_error(r, 0, "no kernel: no -k, and none is built in %s",
			     dir);
	return -ENOENT;
}

int discover_find(struct discover *d, const char *kernel, struct report *r)
{
	struct utsname u;
	struct stat st;
	int err = 0;

	uname(&u);
	*d = (struct discover){
		.images = arch_images, .output = getenv("KBUILD_OUTPUT"),
		.here = ".", .boot = "/boot", .release = u.release,
	};
	if (!kernel) {
		err = discover_kernel(d, r);
	} else if (!stat(kernel, &st) && S_ISDIR(st.st_mode)) {
		err = discover_in(d, kernel);
		if (err)
			report_error(r, 0, "kernel %s: no %s in that directory",
				     kernel, arch_images[0]);
	}
	d->release = NULL;
	return err;
}

static void cut_release(char *out, size_t size, const char *text, size_t len)
{
	size_t n = 0;

	/* Modules are looked for in the directory of that name. */
	while (n < len && n < size - 1 && text[n] > ' ' && text[n] < 0x7f &&
	       text[n] != '/') {
		out[n] = text[n];
		n++;
	}
	out[n] = 0;
}

/* The banner, not the format that other banners are printed with */
static const char *find_banner(const char *d, size_t len)
{
	static const char mark[] = "Linux version ";
	const size_t mark_len = sizeof(mark) - 1;
	const char *at = d;

	while ((at = memmem(at, d + len - at, mark, mark_len))) {
		at += mark_len;
		if (at < d + len && *at >= '0' && *at <= '9')
			return at;
	}
	return NULL;
}

/* Anywhere in an ELF file: linux_banner */
static int release_of_elf(int fd, char *out, size_t size)
{
	const size_t chunk = SZ_1M, overlap = 256;
	char *buf = malloc(chunk);
	const char *at = NULL;
	off_t off = 0;
	ssize_t n = 0;

	if (!buf)
		return -ENOMEM;
	while (!at && (n = pread(fd, buf, chunk, off)) > 0) {
		at = find_banner(buf, n);
		/* Further on it is whole. */
		if (at && n == (ssize_t)chunk && buf + n - at < (ssize_t)overlap - 16)
			at = NULL;
		off += n > (ssize_t)overlap ? n - overlap : (size_t)n;
	}
	if (at)
		cut_release(out, size, at, buf + n - at);
	free(buf);
	return 0;
}

int discover_release_fd(int fd, char *out, size_t size)
{
	const char *text = NULL;
	u8 head[0x8000];
	int err = 0;
	ssize_t n;

	*out = 0;
	n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		err = -errno;
	else if (n > 4 && !memcmp(head, "\177ELF", 4))
		err = release_of_elf(fd, out, size);
	else
		text = arch_image_release(head, n);
	if (text)
		cut_release(out, size, text, (const char *)head + n - text);
	return err;
}

int discover_release(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int err;

	*out = 0;
	if (fd < 0)
		return -errno;
	err = discover_release_fd(fd, out, size);
	close(fd);
	return err;
}
