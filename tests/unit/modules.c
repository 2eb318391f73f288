// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which modules are needed, in which order, from both kinds of lists.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kvm/modules.h"
#include "tests/unit/dir.h"
#include "tests/unit/test.h"

struct fixture {
	char dir[64];
	struct modules m;
	struct report r;
};

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	dir_temp(f->dir, sizeof(f->dir));
}

static void shell(struct fixture *f, const char *command)
{
	char line[1024];

	snprintf(line, sizeof(line), "cd %s && %s", f->dir, command);
	if (system(line))
		printf("# failed: %s\n", line);
}

static void teardown(struct fixture *f)
{
	if (dir_remove(f->dir))
		perror(f->dir);
	modules_free(&f->m);
}

static void write_file(struct fixture *f, const char *name, const void *d,
		       size_t len)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "w");
	if (!file || fwrite(d, 1, len, file) != len)
		printf("# cannot write %s\n", path);
	if (file)
		fclose(file);
}

static void text_file(struct fixture *f, const char *name, const char *text)
{
	write_file(f, name, text, strlen(text));
}

static bool in_order(const struct fixture *f, const char *const *names)
{
	unsigned int i = 0;

	for (; names[i]; i++) {
		const char *base = i < f->m.nr ? strrchr(f->m.path[i], '/') : NULL;

		if (!base || strcmp(base + 1, names[i]))
			return false;
	}
	return i == f->m.nr;
}

static const char dep[] =
	"kernel/a.ko:\n"
	"kernel/b.ko.xz: kernel/a.ko\n"
	"kernel/c-d.ko: kernel/b.ko.xz kernel/a.ko\n"
	"kernel/e.ko: kernel/a.ko kernel/c-d.ko kernel/b.ko.xz\n";

TEST(dependencies_come_first_and_once)
{
	static const char *const names[] = { "e", "c_d", "a", NULL };
	static const char *const want[] = { "a.ko", "b.ko.xz", "c-d.ko", "e.ko", NULL };
	struct fixture f;

	setup(&f);
	text_file(&f, "modules.dep", dep);
	EXPECT(!modules_resolve(&f.m, f.dir, names, &f.r));
	EXPECT(in_order(&f, want) && !f.m.nr_missing);
	teardown(&f);
}

TEST(built_in_ones_are_passed_over_and_others_are_missing)
{
	static const char *const names[] = { "x", "y_z", "b", "nosuch", NULL };
	static const char *const want[] = { "b.ko.xz", NULL };
	struct fixture f;

	setup(&f);
	text_file(&f, "modules.dep", dep);
	text_file(&f, "modules.builtin", "kernel/x.ko\nkernel/y-z.ko\nkernel/a.ko\n");
	EXPECT(!modules_resolve(&f.m, f.dir, names, &f.r));
	EXPECT(in_order(&f, want) && f.m.known);
	EXPECT(f.m.nr_missing == 1 && !strcmp(f.m.missing[0], "nosuch"));
	teardown(&f);
}

TEST(build_tree_says_it_in_the_modules)
{
	static const char *const names[] = { "virtiofs", NULL };
	static const char *const want[] = { "base.ko", "fuse.ko", "virtiofs.ko", NULL };
	struct fixture f;

	setup(&f);
	shell(&f, "mkdir -p fs lib");
	text_file(&f, "modules.order", "lib/base.o\nfs/fuse.ko\nfs/virtiofs.o\n");
	write_file(&f, "lib/base.ko", "\177ELF\0depends=\0name=base", 24);
	write_file(&f, "fs/fuse.ko", "\177ELF\0license=GPL\0depends=base", 30);
	write_file(&f, "fs/virtiofs.ko", "\177ELF\0depends=fuse,base\0x", 25);
	EXPECT(!modules_resolve(&f.m, f.dir, names, &f.r));
	EXPECT(in_order(&f, want));
	teardown(&f);
}

TEST(loops_end)
{
	static const char *const names[] = { "a", NULL };
	struct fixture f;

	setup(&f);
	text_file(&f, "modules.dep", "a.ko: b.ko\nb.ko: a.ko\n");
	EXPECT(modules_resolve(&f.m, f.dir, names, &f.r) == -ELOOP);
	teardown(&f);
}

TEST(odd_lists_are_survived)
{
	static const char *const lists[] = {
		"", "\n\n", ":", "a.ko", "a.ko:", "a.ko: ", "a.ko:\n\n:\n",
		"a.ko: x", "a.ko: /", "a.ko:  b.ko  ", "a.ko: a",
	};
	static const char *const names[] = { "a", "b", NULL };

	for (unsigned int i = 0; i < ARRAY_SIZE(lists); i++) {
		struct fixture f;

		setup(&f);
		text_file(&f, "modules.dep", lists[i]);
		text_file(&f, "modules.builtin", lists[i]);
		modules_resolve(&f.m, f.dir, names, &f.r);
		EXPECT(f.m.nr <= 2);
		teardown(&f);
	}
}

TEST(without_lists_all_is_missing_but_nothing_is_known)
{
	static const char *const names[] = { "a", NULL };
	struct fixture f;

	setup(&f);
	EXPECT(!modules_resolve(&f.m, f.dir, names, &f.r));
	EXPECT(!f.m.nr && f.m.nr_missing == 1 && !f.m.known);
	teardown(&f);
}

/* Return: false if there is no @program to pack it with */
static bool is_unpacked(struct test *t, struct fixture *f, const char *program,
			const char *suffix)
{
	char path[128], command[128];
	size_t len;
	void *d;

	snprintf(command, sizeof(command), "%s -c <m.ko >m.ko.%s 2>/dev/null || rm m.ko.%s",
		 program, suffix, suffix);
	text_file(f, "m.ko", "contents");
	shell(f, command);
	snprintf(path, sizeof(path), "%s/m.ko.%s", f->dir, suffix);
	if (access(path, F_OK)) {
		printf("# no %s here\n", program);
		return false;
	}
	EXPECT(!modules_read(path, &d, &len, &f->r));
	EXPECT(len == 8 && !memcmp(d, "contents", 8));
	free(d);
	return true;
}

TEST(packed_modules_are_unpacked)
{
	struct fixture f;
	char path[128];
	size_t len;
	void *d;

	setup(&f);
	EXPECT(is_unpacked(t, &f, "gzip", "gz"));
	is_unpacked(t, &f, "xz", "xz");
	is_unpacked(t, &f, "zstd", "zst");
	snprintf(path, sizeof(path), "%s/m.ko.gz", f.dir);
	/* What cannot be unpacked is handed on as it is. */
	text_file(&f, "m.ko.gz", "no gzip");
	EXPECT(!modules_read(path, &d, &len, &f.r));
	EXPECT(len == 7 && !memcmp(d, "no gzip", 7));
	free(d);
	snprintf(path, sizeof(path), "%s/none.ko", f.dir);
	EXPECT(modules_read(path, &d, &len, &f.r) == -ENOENT && f.r.msg[0]);
	teardown(&f);
}

/* One that unpacks to more than anybody wants is not waited for. */
TEST(packed_modules_without_end_end)
{
	const char *path = getenv("PATH");
	char old[4096], new[256], file[128];
	struct fixture f;
	size_t len;
	void *d;

	setup(&f);
	snprintf(old, sizeof(old), "%s", path ? path : "/bin:/usr/bin");
	snprintf(new, sizeof(new), "%s:/bin:/usr/bin", f.dir);
	text_file(&f, "gzip", "#!/bin/sh\nexec yes\n");
	shell(&f, "chmod 755 gzip");
	text_file(&f, "m.ko.gz", "packed");
	snprintf(file, sizeof(file), "%s/m.ko.gz", f.dir);
	setenv("PATH", new, 1);
	alarm(60);
	EXPECT(!modules_read(file, &d, &len, &f.r));
	alarm(0);
	EXPECT(len == 6 && !memcmp(d, "packed", 6));
	free(d);
	setenv("PATH", old, 1);
	teardown(&f);
}

/* A directory opens, and cannot be read. */
TEST(what_cannot_be_read_is_not_empty)
{
	struct report r = { "" };
	size_t len;
	void *d;

	EXPECT(modules_read("/tmp", &d, &len, &r) < 0 && !d);
	EXPECT(strstr(r.msg, "Is a directory"));
}

TEST_MAIN(T(dependencies_come_first_and_once),
	  T(built_in_ones_are_passed_over_and_others_are_missing),
	  T(build_tree_says_it_in_the_modules),
	  T(loops_end),
	  T(odd_lists_are_survived),
	  T(without_lists_all_is_missing_but_nothing_is_known),
	  T(packed_modules_are_unpacked),
	  T(packed_modules_without_end_end),
	  T(what_cannot_be_read_is_not_empty))
