// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reports with lines of source: the script that waits, and what is shown when it
 * is absent, fails, or is not needed.
 */
#include <sys/stat.h>

#include "../../builtin-decode.c"
#include "tests/unit/dir.h"
#include "tests/unit/test.h"

static const char report[] = "BUG: x\n f+0x1/0x2\n";
static const char *shown = report;

struct tree {
	char dir[64];
	char kernel[128];
	char shown[1024];
};

static void make_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f)
		return;
	fputs(text, f);
	fclose(f);
	chmod(path, 0755);
}

/* A build directory with a vmlinux, and @script if that is not NULL */
static void tree_make(struct tree *t, const char *script)
{
	char path[256];

	dir_temp(t->dir, sizeof(t->dir));
	snprintf(path, sizeof(path), "%s/scripts", t->dir);
	mkdir(path, 0755);
	make_file(t->dir, "vmlinux", "");
	if (script)
		make_file(t->dir, SCRIPT, script);
	snprintf(t->kernel, sizeof(t->kernel), "%s/arch/x86/boot/bzImage",
		 t->dir);
}

static void tree_remove(const struct tree *t)
{
	if (dir_remove(t->dir))
		printf("# %s is left behind\n", t->dir);
}

/* What is on stderr when the report is printed; with @len 0 none is */
static void show(struct tree *t, struct decoder *d, size_t len)
{
	FILE *f = tmpfile();
	int err = dup(STDERR_FILENO);
	size_t n;

	dup2(fileno(f), STDERR_FILENO);
	decoder_open(d, t->kernel);
	if (len)
		decoder_print(d, shown, len);
	decoder_close(d);
	fflush(stderr);
	dup2(err, STDERR_FILENO);
	close(err);
	rewind(f);
	n = fread(t->shown, 1, sizeof(t->shown) - 1, f);
	t->shown[n] = 0;
	fclose(f);
}

TEST(decode_shows_what_the_script_made)
{
	struct decoder d = { .in = -1, .out = -1 };
	struct tree tree;

	tree_make(&tree, "#!/bin/sh\nexec sed \"s/.*f+0x1.*/f (${1##*/}:7)/\"\n");
	show(&tree, &d, strlen(shown));
	EXPECT(!strcmp(tree.shown, "BUG: x\n f (vmlinux:7)\n"));
	EXPECT(d.in == -1 && d.out == -1 && !d.pid);
	tree_remove(&tree);
}

/* The script evaluates what it reads. */
TEST(decode_gives_the_script_addresses_and_nothing_else)
{
	static const char hostile[] =
		"\"||system(\"id>/tmp/x\")||\"+0x1/0x2\n"
		"x[$(id>/tmp/x)]+0x1/0x2 [<1>] f+line/0x2\n"
		"Code: 00 `id` .incbin\n"
		"RIP: 0010:do_it.part.0+0x1f/0x20 [a_b 12ef]\n"
		"[    1.0]  ? g_1+0xa/0xb [m]x $(id)+0x1/0x2\n"
		"h+0x1/0x2 [$(id)] i+0x/0x1 j+0x12345678901234567/0x1 k+0x1/0x3";
	struct decoder d = { .in = -1, .out = -1 };
	char got[256] = "", path[128];
	struct tree tree;
	FILE *f;

	tree_make(&tree, "#!/bin/sh\ntee ${1%/*}/got | sed s/^/=/\n");
	shown = hostile;
	show(&tree, &d, strlen(shown));
	shown = report;
	snprintf(path, sizeof(path), "%s/got", tree.dir);
	f = fopen(path, "r");
	EXPECT(f && fread(got, 1, sizeof(got) - 1, f));
	EXPECT(!strcmp(got, "do_it.part.0+0x1f/0x20 [a_b 12ef]\n"
		       "g_1+0xa/0xb [m]\nh+0x1/0x2\nk+0x1/0x3\n"));
	EXPECT(strstr(tree.shown, "\nRIP: 0010:=do_it.part.0+0x1f/0x20 [a_b 12ef]\n"));
	EXPECT(strstr(tree.shown, "\nCode: 00 `id` .incbin\n"));
	EXPECT(strstr(tree.shown, "j+0x12345678901234567/0x1 =k+0x1/0x3\n"));
	if (f)
		fclose(f);
	tree_remove(&tree);
}

TEST(decode_shows_nothing_that_a_terminal_acts_on)
{
	struct decoder d = { .in = -1, .out = -1 };
	struct tree tree;

	tree_make(&tree, NULL);
	shown = "a\tb\r\nc\x1b[2J\302\2332J\2331m\x7f\xc3\xa4";
	show(&tree, &d, strlen(shown));
	shown = report;
	EXPECT(!strcmp(tree.shown, "a\tb\nc?[2J??2J?1m?\xc3\xa4\n"));
	tree_remove(&tree);
}

TEST(decode_does_not_start_what_is_not_needed)
{
	struct decoder d = { .in = -1, .out = -1 };
	char path[256];
	struct tree tree;

	tree_make(&tree, "#!/bin/sh\necho >${1%/*}/ran\n");
	show(&tree, &d, 0);
	snprintf(path, sizeof(path), "%s/ran", tree.dir);
	EXPECT(!tree.shown[0] && access(path, F_OK));
	tree_remove(&tree);
}

TEST(decode_shows_the_report_when_the_script_fails)
{
	static const char *const script[] = {
		"#!/bin/sh\necho half\nexit 1\n",
		"#!/bin/sh\ncat >/dev/null\n",
		"#!/bin/sh\nkill -9 $$\n",
		"#!/nowhere/sh\n",
		"#!/bin/sh\nexec yes\n",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(script); i++) {
		struct decoder d = { .in = -1, .out = -1 };
		struct tree tree;

		tree_make(&tree, script[i]);
		show(&tree, &d, strlen(shown));
		EXPECT(!strcmp(tree.shown, report));
		EXPECT(d.missing && strstr(d.missing, "failed"));
		tree_remove(&tree);
	}
}

TEST(decode_says_what_is_missing)
{
	struct decoder d = { .in = -1, .out = -1 };
	char path[256];
	struct tree tree;

	tree_make(&tree, NULL);
	show(&tree, &d, strlen(shown));
	EXPECT(!strcmp(tree.shown, report) && strstr(d.missing, "no " SCRIPT));
	snprintf(path, sizeof(path), "%s/vmlinux", tree.dir);
	unlink(path);
	show(&tree, &d, strlen(shown));
	EXPECT(!strcmp(tree.shown, report) && strstr(d.missing, "no vmlinux"));
	tree_remove(&tree);
}

TEST(build_directory_is_told_by_the_path)
{
	char dir[16];

	EXPECT(image_build_dir("/a/arch/x86/boot/bzImage", dir, sizeof(dir)) &&
	       !strcmp(dir, "/a/"));
	EXPECT(image_build_dir("vmlinux", dir, sizeof(dir)) &&
	       !strcmp(dir, "."));
	EXPECT(!image_build_dir("/boot/my-vmlinux", dir, sizeof(dir)));
	EXPECT(!image_build_dir("/boot/vmlinuz", dir, sizeof(dir)));
	EXPECT(!image_build_dir("/a/directory/too/long/vmlinux", dir,
				sizeof(dir)));
}

/* As kbuild makes it */
TEST(build_directory_is_told_by_a_link_to_the_image)
{
	char top[] = "/tmp/link.XXXXXX", dir[64], path[64], cmd[256], want[64];

	EXPECT(mkdtemp(top));
	snprintf(cmd, sizeof(cmd),
		 "cd %s && mkdir -p arch/x86/boot arch/x86_64/boot && cd arch && >x86/boot/bzImage && ln -s ../../x86/boot/bzImage x86_64/boot",
		 top);
	EXPECT(!system(cmd));
	snprintf(path, sizeof(path), "%s/arch/x86_64/boot/bzImage", top);
	snprintf(want, sizeof(want), "%s/", top);
	EXPECT(image_build_dir(path, dir, sizeof(dir)) && !strcmp(dir, want));
	EXPECT(!dir_remove(top));
}

TEST_MAIN(T(decode_shows_what_the_script_made),
	  T(decode_gives_the_script_addresses_and_nothing_else),
	  T(decode_shows_nothing_that_a_terminal_acts_on),
	  T(decode_does_not_start_what_is_not_needed),
	  T(decode_shows_the_report_when_the_script_fails),
	  T(decode_says_what_is_missing),
	  T(build_directory_is_told_by_the_path),
	  T(build_directory_is_told_by_a_link_to_the_image))
