// SPDX-License-Identifier: GPL-2.0-only
/* Tests of fs/: the files of a share by their numbers, and nothing outside. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <linux/magic.h>
#include "kvm/fs.h"
#include "fs/inode.h"
#include "fs/step.h"
#include "dir.h"
#include "fds.h"
#include "test.h"

#define NEW(d, n, ...) (&(struct fs_new){ .dir = (d), .name = (n), __VA_ARGS__ })
#define OPENED(d, n, f, m) NEW(d, n, .flags = (f), .mode = (m))
#define NODE(d, n, m) NEW(d, n, .mode = (m))
#define AT(f, o) (&(struct fs_at){ .file = (f), .off = (o) })

/** struct rig - a share, and what is beside it; tests are in the share */
struct rig {
	char base[64];
	char share[80];
	struct fs_host *h;
};

static void rig_open(struct rig *r, bool readonly, unsigned int fds)
{
	struct fs_opts o = {
		.path = r->share, .readonly = readonly, .max_fds = fds,
	};
	struct report why = { "" };

	r->h = NULL;
	if (fs_open(&r->h, &o, &why))
		printf("# %s\n", why.msg);
}

/* Another share of the same directory goes on from @out. Return: of fs_restore() */
static int rig_restore(struct rig *r, const struct state_out *out)
{
	struct state_in in = { .buf = out->buf, .len = out->len };

	fs_close(r->h);
	rig_open(r, false, 256);
	return fs_restore(r->h, &in);
}

static void setup(struct rig *r)
{
	umask(0);
	dir_temp(r->base, sizeof(r->base));
	chmod(r->base, 0755);
	snprintf(r->share, sizeof(r->share), "%s/share", r->base);
	if (mkdir(r->share, 0777) || chdir(r->share))
		printf("# no directory to share\n");
	file_put("../secret", "secret");
	rig_open(r, false, 256);
}

static void teardown(struct rig *r)
{
	char cmd[128];

	fs_close(r->h);
	/* Deeper than a path is long: not for dir_remove() */
	snprintf(cmd, sizeof(cmd), "rm -rf %s", r->base);
	if (chdir("/") || system(cmd))
		printf("# %s stays\n", r->base);
}

static u64 find(struct rig *r, u64 dir, const char *name)
{
	struct fs_entry e;

	return fs_lookup(r->h, dir, name, &e) ? 0 : e.node;
}

static ssize_t get(struct rig *r, u64 file, char *buf, size_t len)
{
	struct iovec v = { buf, len };

	return fs_read(r->h, file, &v, 1, 0);
}

static bool count_entry(void *opaque, const struct fs_dirent *d)
{
	unsigned int *n = opaque;

	(void)d;
	(*n)++;
	return true;
}

TEST(fs_name_is_one_component)
{
	static const char *const bad[] = { "", ".", "..", "/", "a/b", "/etc",
					   "../secret", "a/", "..//" };
	char name[300];
	struct fs_entry e;
	struct rig r;
	u64 file;

	setup(&r);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT(fs_lookup(r.h, FS_ROOT, bad[i], &e) == -EINVAL);
		EXPECT(fs_create(r.h, OPENED(FS_ROOT, bad[i], O_RDWR, 0644), &e, &file) == -EINVAL);
		EXPECT(fs_mknod(r.h, NODE(FS_ROOT, bad[i], S_IFDIR), &e) == -EINVAL);
		EXPECT(fs_symlink(r.h, NEW(FS_ROOT, bad[i]), "x", &e) == -EINVAL);
		EXPECT(fs_unlink(r.h, FS_ROOT, bad[i], 0) == -EINVAL);
		EXPECT(fs_rename(r.h, FS_ROOT, bad[i], FS_ROOT, "x", 0) ==
		       -EINVAL);
		EXPECT(fs_rename(r.h, FS_ROOT, "x", FS_ROOT, bad[i], 0) ==
		       -EINVAL);
		EXPECT(fs_link(r.h, FS_ROOT, FS_ROOT, bad[i], &e) == -EINVAL);
	}
	memset(name, 'n', sizeof(name));
	name[256] = 0;
	EXPECT(fs_lookup(r.h, FS_ROOT, name, &e) == -ENAMETOOLONG);
	name[255] = 0;
	EXPECT(fs_lookup(r.h, FS_ROOT, name, &e) == -ENOENT);
	teardown(&r);
}

TEST(fs_links_are_not_followed)
{
	struct fs_entry e;
	struct rig r;
	char buf[64];
	u64 node, file, dir;

	setup(&r);
	EXPECT(!symlink("../secret", "out") && !symlink("/", "root"));
	EXPECT(!symlink("/proc/self/root", "magic"));
	node = find(&r, FS_ROOT, "out");
	EXPECT(node && fs_readlink(r.h, node, buf, sizeof(buf)) == 9);
	EXPECT(fs_open_file(r.h, node, O_RDONLY, &file, NULL) == -ELOOP);
	EXPECT(fs_create(r.h, OPENED(FS_ROOT, "out", O_RDWR, 0644), &e, &file) == -EEXIST);
	EXPECT(fs_create(r.h, OPENED(FS_ROOT, "out", O_RDWR | O_EXCL, 0644), &e, &file) == -EEXIST);
	dir = find(&r, FS_ROOT, "root");
	EXPECT(fs_lookup(r.h, dir, "etc", &e) == -ENOTDIR);
	EXPECT(fs_mknod(r.h, NODE(dir, "x", S_IFDIR), &e) == -ENOTDIR);
	EXPECT(fs_open_file(r.h, dir, O_RDONLY, &file, NULL) == -ELOOP);
	dir = find(&r, FS_ROOT, "magic");
	EXPECT(fs_lookup(r.h, dir, "etc", &e) == -ENOTDIR);
	/* An xattr, a mode, a time of a link: its own, or none. */
	EXPECT(fs_setattr(r.h, node, 0, &(struct fs_setattr){
		.mask = STATX_MODE, .mode = 0777 }, &e) == -EOPNOTSUPP);
	EXPECT(fs_setattr(r.h, node, 0, &(struct fs_setattr){
		.mask = STATX_SIZE }, &e) == -EINVAL);
	EXPECT(!fs_setattr(r.h, node, 0, &(struct fs_setattr){
		.mask = STATX_MTIME, .time = { { 0 }, { .tv_sec = 7 } } }, &e));
	EXPECT(e.st.stx_mtime.tv_sec == 7 && S_ISLNK(e.st.stx_mode));
	teardown(&r);
}

/** struct swap - a thread that makes "x" a directory, a link out, and so on */
struct swap {
	bool stop;
	pthread_t thread;
};

static void *swap_main(void *opaque)
{
	struct swap *s = opaque;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		syscall(SYS_renameat2, AT_FDCWD, "x", AT_FDCWD, "y", 2);
		syscall(SYS_renameat2, AT_FDCWD, "file", AT_FDCWD, "link", 2);
	}
	return NULL;
}

/* Whatever the host swaps when, nothing outside is ever read. */
TEST(fs_races_do_not_lead_outside)
{
	unsigned int inside = 0, links = 0;
	struct fs_entry e;
	struct swap s = { 0 };
	struct rig r;
	char buf[16];
	u64 file;

	setup(&r);
	EXPECT(!mkdir("x", 0755) && !symlink("..", "y"));
	EXPECT(!symlink("../secret", "link"));
	file_put("x/secret", "inside");
	file_put("file", "inside");
	EXPECT(!pthread_create(&s.thread, NULL, swap_main, &s));
	for (int i = 0; i < 4000; i++) {
		u64 node = find(&r, FS_ROOT, i & 1 ? "x" : "file");

		if (i & 1)
			node = find(&r, node, "secret");
		if (!node || fs_open_file(r.h, node, O_RDONLY, &file, NULL)) {
			links++;
		} else {
			EXPECT(get(&r, file, buf, 6) == 6);
			EXPECT(!memcmp(buf, "inside", 6));
			inside++;
			EXPECT(!fs_release(r.h, file));
		}
		EXPECT(fs_create(r.h, OPENED(FS_ROOT, "link", O_RDWR | O_TRUNC, 0644), &e, &file) ==
		       -EEXIST);
		fs_forget(r.h, node, 1);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(s.thread, NULL);
	printf("# %u inside, %u links or gone\n", inside, links);
	EXPECT(inside);
	memset(buf, 0, sizeof(buf));
	EXPECT(read(open("../secret", O_RDONLY), buf, 6) == 6 &&
	       !memcmp(buf, "secret", 6));
	teardown(&r);
}

TEST(fs_readonly_changes_nothing)
{
	struct fs_setattr set = { .mask = STATX_MODE, .mode = 0777 };
	struct iovec v = { "x", 1 };
	struct fs_entry e;
	struct rig r;
	u64 node, file;

	setup(&r);
	file_put("f", "text");
	EXPECT(!mkdir("d", 0755) && !chmod("f", 04755));
	fs_close(r.h);
	rig_open(&r, true, 256);
	node = find(&r, FS_ROOT, "f");
	EXPECT(fs_open_file(r.h, node, O_RDWR, &file, NULL) == -EROFS);
	EXPECT(fs_open_file(r.h, node, O_WRONLY, &file, NULL) == -EROFS);
	EXPECT(fs_open_file(r.h, node, O_TRUNC, &file, NULL) == -EROFS);
	EXPECT(fs_create(r.h, NEW(FS_ROOT, "f", .flags = O_RDONLY), &e, &file) == -EROFS);
	EXPECT(fs_tmpfile(r.h, NEW(FS_ROOT, NULL, .flags = O_RDWR), &e, &file) == -EROFS);
	EXPECT(fs_setattr(r.h, node, 0, &set, &e) == -EROFS);
	EXPECT(fs_symlink(r.h, NEW(FS_ROOT, "s"), "x", &e) == -EROFS);
	EXPECT(fs_mknod(r.h, NODE(FS_ROOT, "n", S_IFIFO), &e) == -EROFS);
	EXPECT(fs_unlink(r.h, FS_ROOT, "f", 0) == -EROFS);
	EXPECT(fs_unlink(r.h, FS_ROOT, "d", AT_REMOVEDIR) == -EROFS);
	EXPECT(fs_rename(r.h, FS_ROOT, "f", FS_ROOT, "g", 0) == -EROFS);
	EXPECT(fs_link(r.h, node, FS_ROOT, "g", &e) == -EROFS);
	EXPECT(fs_setxattr(r.h, node, "user.x", &v, 0, false) == -EROFS);
	EXPECT(fs_removexattr(r.h, node, "user.x") == -EROFS);
	EXPECT(fs_access(r.h, node, W_OK) == -EROFS);
	EXPECT(!fs_access(r.h, node, R_OK));
	EXPECT(!fs_open_file(r.h, node, O_RDONLY, &file, NULL));
	EXPECT(fs_write(r.h, file, &v, 1, 0, 0) == -EBADF);
	EXPECT(fs_write(r.h, file, &v, 1, 0, FS_APPEND) == -EBADF);
	EXPECT(fs_write(r.h, file, &v, 1, 0, FS_KILL_PRIV) == -EBADF);
	EXPECT(fs_fallocate(r.h, file, 0, 0, 99, false) == -EBADF);
	EXPECT(fs_setattr(r.h, node, file, &(struct fs_setattr){
		.mask = STATX_SIZE }, &e) == -EROFS);
	EXPECT(fs_copy_range(r.h, AT(file, 0), AT(file, 2), 1, false) < 0);
	EXPECT(!fs_release(r.h, file));
	EXPECT(!fs_getattr(r.h, node, &e) && e.st.stx_mode == (S_IFREG | 04755));
	teardown(&r);
}

TEST(fs_numbers_are_checked)
{
	static const u64 bad[] = { 0, 2, 99, 1ULL << 32, (1ULL << 32) + 1,
				   ~0ULL, 0xffffffff, 1ULL << 63 };
	struct iovec v = { NULL, 0 };
	struct statfs fs;
	struct fs_entry e;
	struct rig r;
	char buf[8];
	u64 node, file, other;

	setup(&r);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT(fs_lookup(r.h, bad[i], "x", &e) == -ESTALE);
		EXPECT(fs_getattr(r.h, bad[i], &e) == -ESTALE);
		EXPECT(fs_statfs(r.h, bad[i], &fs) == -ESTALE);
		EXPECT(fs_readlink(r.h, bad[i], buf, 8) == -ESTALE);
		EXPECT(fs_open_file(r.h, bad[i], 0, &file, NULL) == -ESTALE);
		EXPECT(fs_link(r.h, bad[i], FS_ROOT, "x", &e) == -ESTALE);
		EXPECT(fs_read(r.h, bad[i], &v, 1, 0) == -EBADF);
		EXPECT(fs_write(r.h, bad[i], &v, 1, 0, 0) == -EBADF);
		EXPECT(fs_release(r.h, bad[i]) == -EBADF);
		EXPECT(fs_fsync(r.h, bad[i], false) == -EBADF);
		EXPECT(fs_copy_range(r.h, AT(bad[i], 0), AT(bad[i], 0), 1, false) == -EBADF);
		EXPECT(fs_lseek(r.h, bad[i], 0, SEEK_DATA) == -EBADF);
		fs_forget(r.h, bad[i], ~0ULL);
	}
	/* One that was given back is not the next one's. */
	file_put("a", "a");
	file_put("b", "b");
	node = find(&r, FS_ROOT, "a");
	EXPECT(!fs_open_file(r.h, node, O_RDONLY, &file, NULL));
	EXPECT(!fs_release(r.h, file) && fs_release(r.h, file) == -EBADF);
	fs_forget(r.h, node, 1);
	EXPECT(fs_getattr(r.h, node, &e) == -ESTALE);
	EXPECT(find(&r, FS_ROOT, "b") != node);
	EXPECT(fs_getattr(r.h, node, &e) == -ESTALE);
	fs_forget(r.h, FS_ROOT, ~0ULL);
	EXPECT(!fs_getattr(r.h, FS_ROOT, &e));
	/* Nor is an open file. */
	node = find(&r, FS_ROOT, "b");
	EXPECT(!fs_open_file(r.h, node, O_RDONLY, &other, NULL) && other != file);
	EXPECT(fs_release(r.h, file) == -EBADF && !fs_release(r.h, other));
	/* A file is no directory, nor the other way round. */
	EXPECT(fs_lookup(r.h, node, "x", &e) == -ENOTDIR);
	EXPECT(!fs_open_file(r.h, FS_ROOT, O_RDWR, &file, NULL));
	EXPECT(fs_read(r.h, file, &v, 1, 0) == -EISDIR);
	EXPECT(fs_write(r.h, file, &v, 1, 0, 0) == -EISDIR);
	teardown(&r);
}

TEST(fs_identity_is_that_of_the_file)
{
	char at[FS_NAME_MAX + 1];
	struct fs_entry e;
	struct rig r;
	u64 f, d, file;
	int err;

	setup(&r);
	file_put("f", "text");
	EXPECT(!mkdir("d", 0755) && !mkdir("d/e", 0755));
	f = find(&r, FS_ROOT, "f");
	d = find(&r, FS_ROOT, "d");
	EXPECT(find(&r, FS_ROOT, "f") == f);
	/* Moved by the guest, then below a directory that moves. */
	EXPECT(!fs_rename(r.h, FS_ROOT, "f", find(&r, d, "e"), "g", 0));
	EXPECT(!fs_getattr(r.h, f, &e) && e.st.stx_size == 4);
	EXPECT(!fs_rename(r.h, FS_ROOT, "d", FS_ROOT, "moved", 0));
	EXPECT(!fs_getattr(r.h, f, &e));
	EXPECT(!fs_open_file(r.h, f, O_RDONLY, &file, NULL));
	EXPECT(!fs_release(r.h, file));
	EXPECT(find(&r, FS_ROOT, "moved") == d);
	EXPECT(!fs_link(r.h, f, FS_ROOT, "link", &e) && e.node == f);
	EXPECT(e.st.stx_nlink == 2);
	EXPECT(find(&r, FS_ROOT, "link") == f);
	/* Another file of the same name, made by the host. */
	file_put("new", "other");
	EXPECT(!rename("new", "link") && find(&r, FS_ROOT, "link") != f);
	EXPECT(fs_rename(r.h, FS_ROOT, "link", FS_ROOT, "x", 8) == -EINVAL);
	/* As an overlay in the guest does; not every file system can. */
	err = fs_rename(r.h, FS_ROOT, "link", FS_ROOT, "x", RENAME_WHITEOUT);
	if (err)
		printf("# no whiteouts in /tmp: %d\n", err);
	else
		EXPECT(!fs_getattr(r.h, find(&r, FS_ROOT, "link"), &e) &&
		       S_ISCHR(e.st.stx_mode));
	/* Each has the other's name. */
	file_put("one", "1");
	file_put("two", "2");
	f = find(&r, FS_ROOT, "one");
	d = find(&r, FS_ROOT, "two");
	EXPECT(!fs_rename(r.h, FS_ROOT, "one", FS_ROOT, "two", RENAME_EXCHANGE));
	EXPECT(!fs_whereis(r.h, f, &file, at) && !strcmp(at, "two"));
	EXPECT(!fs_whereis(r.h, d, &file, at) && !strcmp(at, "one"));
	EXPECT(!r.h->nr_gone && !fs_getattr(r.h, f, &e) && !fs_getattr(r.h, d, &e));
	teardown(&r);
}

TEST(fs_unlinked_file_is_there_while_it_is_open)
{
	struct iovec v = { "more", 4 };
	struct fs_entry e;
	struct rig r;
	char buf[8];
	u64 f, file;

	setup(&r);
	file_put("f", "text");
	f = find(&r, FS_ROOT, "f");
	EXPECT(!fs_open_file(r.h, f, O_RDWR, &file, NULL));
	EXPECT(!fs_unlink(r.h, FS_ROOT, "f", 0));
	EXPECT(!fs_getattr(r.h, f, &e) && e.st.stx_nlink == 0);
	EXPECT(fs_write(r.h, file, &v, 1, 4, 0) == 4);
	EXPECT(get(&r, file, buf, 8) == 8 && !memcmp(buf, "textmore", 8));
	EXPECT(!fs_release(r.h, file));
	fs_forget(r.h, f, 1);
	EXPECT(fs_getattr(r.h, f, &e) == -ESTALE);
	/* One that was made, and one without a name */
	EXPECT(!fs_create(r.h, OPENED(FS_ROOT, "n", O_RDWR, 0600), &e, &file));
	EXPECT(!fs_unlink(r.h, FS_ROOT, "n", 0));
	EXPECT(!fs_getattr(r.h, e.node, &e) && e.st.stx_nlink == 0);
	EXPECT(!fs_release(r.h, file));
	EXPECT(fs_create(r.h, OPENED(FS_ROOT, "n", 3, 0600), &e, &file) == -EINVAL);
	EXPECT(fs_tmpfile(r.h, OPENED(FS_ROOT, NULL, O_RDONLY, 0600), &e, &file) == -EINVAL);
	EXPECT(!fs_tmpfile(r.h, OPENED(FS_ROOT, NULL, O_RDWR | O_EXCL, 0600), &e, &file));
	EXPECT(fs_link(r.h, e.node, FS_ROOT, "named", &e) == -ENOENT);
	EXPECT(!fs_tmpfile(r.h, OPENED(FS_ROOT, NULL, O_RDWR, 0600), &e, &file));
	EXPECT(!fs_link(r.h, e.node, FS_ROOT, "named", &e));
	EXPECT(!access("named", F_OK) && find(&r, FS_ROOT, "named") == e.node);
	teardown(&r);
}

/* O_PATH descriptors, working directories: of these nobody tells the share. */
TEST(fs_unlinked_file_is_there_while_it_has_a_number)
{
	struct fs_entry e;
	struct rig r;
	char buf[8];
	u64 f, d, s, over, dir, two, file;
	unsigned int n = 0;

	setup(&r);
	file_put("f", "text");
	file_put("over", "replaced");
	file_put("two", "names");
	file_put("by", "by");
	EXPECT(!mkdir("d", 0755) && !mkdir("dir", 0755) && !mkdir("dir2", 0755));
	EXPECT(!symlink("target", "s") && !link("two", "names"));
	f = find(&r, FS_ROOT, "f");
	d = find(&r, FS_ROOT, "d");
	s = find(&r, FS_ROOT, "s");
	over = find(&r, FS_ROOT, "over");
	dir = find(&r, FS_ROOT, "dir");
	two = find(&r, FS_ROOT, "two");
	EXPECT(!fs_unlink(r.h, FS_ROOT, "f", 0));
	EXPECT(!fs_unlink(r.h, FS_ROOT, "d", AT_REMOVEDIR));
	EXPECT(!fs_unlink(r.h, FS_ROOT, "s", 0));
	EXPECT(!fs_unlink(r.h, FS_ROOT, "two", 0));
	EXPECT(!fs_rename(r.h, FS_ROOT, "by", FS_ROOT, "over", 0));
	EXPECT(!fs_rename(r.h, FS_ROOT, "dir2", FS_ROOT, "dir", 0));
	EXPECT(!fs_getattr(r.h, f, &e) && e.st.stx_nlink == 0);
	EXPECT(!fs_open_file(r.h, f, O_RDONLY, &file, NULL));
	EXPECT(get(&r, file, buf, 8) == 4 && !fs_release(r.h, file));
	EXPECT(!fs_getattr(r.h, d, &e) && e.st.stx_nlink == 0);
	EXPECT(fs_lookup(r.h, d, "x", &e) == -ENOENT);
	EXPECT(fs_mknod(r.h, NODE(d, "x", S_IFDIR), &e) == -ENOENT);
	EXPECT(!fs_open_file(r.h, d, O_RDONLY, &file, NULL));
	EXPECT(fs_readdir(r.h, file, 0, count_entry, &n) == -ENOENT && !fs_release(r.h, file));
	EXPECT(fs_readlink(r.h, s, buf, 8) == 6);
	EXPECT(!fs_getattr(r.h, over, &e) && e.st.stx_size == 8);
	EXPECT(!fs_getattr(r.h, dir, &e) && e.st.stx_nlink == 0);
	EXPECT(!fs_getattr(r.h, two, &e) && e.st.stx_nlink == 1);
	EXPECT(find(&r, FS_ROOT, "names") == two && r.h->nr_gone == 5);
	/* Two names of one file: neither is taken away. */
	EXPECT(!link("names", "again"));
	EXPECT(!fs_rename(r.h, FS_ROOT, "names", FS_ROOT, "again", 0));
	EXPECT(fs_unlink(r.h, FS_ROOT, "none", 0) == -ENOENT);
	EXPECT(fs_unlink(r.h, FS_ROOT, "over", AT_REMOVEDIR) == -ENOTDIR);
	EXPECT(r.h->nr_gone == 5);
	fs_forget(r.h, f, 1);
	EXPECT(fs_getattr(r.h, f, &e) == -ESTALE && r.h->nr_gone == 4);
	fs_forget_all(r.h);
	EXPECT(r.h->nr_gone == 0 && r.h->nr_inode_fds == 1);
	teardown(&r);
}

/* Those without a name do not crowd out others, nor are crowded out by them. */
TEST(fs_unlinked_files_take_a_bounded_number_of_descriptors)
{
	unsigned int before = open_files(), most = 0;
	u64 node[400], first = 0;
	struct fs_entry e;
	struct statfs st;
	struct rig r;
	char name[16];

	setup(&r);
	fs_close(r.h);
	rig_open(&r, false, 64);
	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		file_put(name, name);
		node[i] = find(&r, FS_ROOT, name);
		/* Half of them go, at first no more than have room. */
		if (i >= 8 && i < 200)
			continue;
		EXPECT(!fs_unlink(r.h, FS_ROOT, name, 0));
		most = MAX(most, open_files());
	}
	for (int i = 0; i < 400; i++) {
		first += !fs_getattr(r.h, node[i], &e);
		EXPECT(i < 8 || i >= 200 || !fs_statfs(r.h, node[i], &st));
		most = MAX(most, open_files());
	}
	printf("# %u descriptors, %llu answer\n", most - before,
	       (unsigned long long)first);
	EXPECT(most - before <= 40);
	EXPECT(first >= 192 + 16 && !fs_getattr(r.h, node[399], &e));
	for (int i = 200; i < 400; i++)
		fs_forget(r.h, node[i], 1);
	EXPECT(r.h->nr_gone == 0);
	EXPECT(!fs_unlink(r.h, FS_ROOT, "f8", 0));
	for (int i = 9; i < 200; i++)
		EXPECT(!fs_statfs(r.h, node[i], &st));
	EXPECT(!fs_getattr(r.h, node[8], &e) && e.st.stx_nlink == 0);
	teardown(&r);
}

/* As git and mail programs put files in place: each is there, and needs none. */
TEST(fs_files_that_lost_another_name_are_found_by_their_own)
{
	struct fs_entry e;
	struct statfs st;
	u64 node[100];
	struct rig r;
	char name[16];

	setup(&r);
	fs_close(r.h);
	rig_open(&r, false, 64);
	EXPECT(!mkdir("d", 0755));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		file_put("tmp", name);
		node[i] = find(&r, FS_ROOT, "tmp");
		/* The same name elsewhere, and another one */
		EXPECT(!fs_link(r.h, node[i], i & 1 ? find(&r, FS_ROOT, "d") : FS_ROOT,
				i == 1 ? "tmp" : name, &e) && e.node == node[i]);
		if (i & 2)
			EXPECT(!fs_unlink(r.h, FS_ROOT, "tmp", 0));
		else
			EXPECT(!fs_mknod(r.h, NODE(FS_ROOT, "by", S_IFREG | 0644), &e) &&
			       !fs_rename(r.h, FS_ROOT, "by", FS_ROOT, "tmp", 0));
	}
	EXPECT(r.h->nr_gone == 0);
	for (int i = 0; i < 100; i++)
		EXPECT(!fs_statfs(r.h, node[i], &st) && !fs_getattr(r.h, node[i], &e) &&
		       e.st.stx_nlink == 1);
	EXPECT(!fs_unlink(r.h, FS_ROOT, "f0", 0) && r.h->nr_gone == 1);
	teardown(&r);
}

/* Return: whether descriptors that were not there before are closed by execve() */
static bool close_on_exec(const bool had[256])
{
	for (int fd = 0; fd < 256; fd++) {
		if (!had[fd] && !(fcntl(fd, F_GETFD) & FD_CLOEXEC))
			return false;
	}
	return true;
}

static void use_names(struct test *t, struct rig *r, u64 d)
{
	struct fs_entry e;
	struct statfs st;
	u64 f;

	for (int i = 0; i < 4; i++) {
		/* One that nobody knows, one that is known, one that has a descriptor, too */
		file_put("d/f", "text");
		file_put("d/over", "text");
		f = i ? find(r, d, "f") : 0;
		EXPECT(i < 2 || (f && !fs_statfs(r->h, f, &st)));
		EXPECT(i < 2 || find(r, d, "over"));
		EXPECT(i & 1 || !fs_unlink(r->h, d, "f", 0));
		EXPECT(!(i & 1) || !fs_rename(r->h, d, "f", d, "over", 0));
		EXPECT(fs_rename(r->h, d, "none", FS_ROOT, "x", 0) == -ENOENT);
		EXPECT(fs_rename(r->h, d, "over", 99, "x", 0) == -ESTALE);
		EXPECT(fs_link(r->h, find(r, d, "over"), 99, "x", &e) == -ESTALE);
		EXPECT(fs_mknod(r->h, NODE(find(r, d, "over"), "x", S_IFREG), &e) == -ENOTDIR);
		file_put("gone", "text");
		f = find(r, FS_ROOT, "gone");
		EXPECT(!unlink("gone") && fs_statfs(r->h, f, &st) == -ESTALE);
	}
}

/* All that there is in the end is the directory, and /proc/self/fd. */
TEST(fs_descriptors_are_given_back)
{
	unsigned int before = open_files(), n = 0;
	bool had[256];
	struct fs_entry e;
	struct rig r;
	u64 d, file, dir;

	for (int fd = 0; fd < 256; fd++)
		had[fd] = fcntl(fd, F_GETFD) >= 0;
	setup(&r);
	EXPECT(!mkdir("d", 0755));
	d = find(&r, FS_ROOT, "d");
	use_names(t, &r, d);
	EXPECT(!fs_open_file(r.h, d, O_RDONLY, &dir, NULL));
	EXPECT(!fs_readdir(r.h, dir, 0, count_entry, &n) && n > 2);
	EXPECT(!fs_create(r.h, OPENED(d, "n", O_RDWR, 0644), &e, &file));
	EXPECT(fs_copy_range(r.h, AT(file, 0), AT(99, 0), 1, false) == -EBADF);
	EXPECT(!fs_tmpfile(r.h, OPENED(d, NULL, O_RDWR, 0600), &e, &file));
	EXPECT(!fs_setattr(r.h, e.node, 0, &(struct fs_setattr){ .mask = STATX_SIZE }, &e));
	EXPECT(close_on_exec(had) && !fs_sync(r.h));
	EXPECT(r.h->root->users == 1);
	fs_forget_all(r.h);
	EXPECT(open_files() == before + 2);
	EXPECT(r.h->nodes.used == 1 && r.h->root->refs == 1);
	teardown(&r);
	EXPECT(open_files() == before);
}

#define WIDE 40
#define DEEP 12

static void expect_not_made(struct test *t, struct rig *r)
{
	unsigned int used = r->h->nodes.used, files = r->h->files.used;
	struct fs_entry e;
	u64 file;

	for (int i = 0; i < 2; i++)
		EXPECT(fs_create(r->h, OPENED(FS_ROOT, "new", O_RDWR | O_EXCL, 0644), &e, &file) ==
		       -ENFILE);
	EXPECT(access("new", F_OK) && errno == ENOENT);
	EXPECT(r->h->nodes.used == used && r->h->files.used == files);
}

TEST(fs_descriptors_are_bounded)
{
	unsigned int before = open_files(), most = 0;
	u64 dir[WIDE][DEEP], file;
	struct fs_entry e;
	char name[16];
	struct rig r;

	setup(&r);
	fs_close(r.h);
	rig_open(&r, false, 64);
	for (int i = 0; i < WIDE; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		for (int k = 0; k < DEEP; k++) {
			u64 at = k ? dir[i][k - 1] : FS_ROOT;

			EXPECT(!fs_mknod(r.h, NODE(at, name, S_IFDIR | 0755), &e));
			dir[i][k] = e.node;
		}
		EXPECT(!fs_create(r.h, OPENED(dir[i][DEEP - 1], "f", O_RDWR, 0644), &e, &file));
		EXPECT(!fs_release(r.h, file));
	}
	for (int n = 0; n < 2000; n++) {
		u64 at = dir[n * 7 % WIDE][DEEP - 1];
		u64 f = find(&r, at, "f");

		EXPECT(f && !fs_open_file(r.h, f, O_RDONLY, &file, NULL));
		EXPECT(!fs_getattr(r.h, dir[n * 5 % WIDE][n % DEEP], &e));
		most = MAX(most, open_files());
		EXPECT(!fs_release(r.h, file));
	}
	printf("# %u descriptors\n", most - before);
	EXPECT(most - before <= 64);
	/* More files than may be open: an error, and all is well after that. */
	for (int i = 0; i < 100; i++)
		fs_open_file(r.h, find(&r, dir[i % WIDE][DEEP - 1], "f"),
			     O_RDONLY, &file, NULL);
	EXPECT(open_files() - before <= 64 + 4);
	expect_not_made(t, &r);
	/* One file, open as often as it may be, and once more */
	fs_forget_all(r.h);
	for (unsigned int i = 0; i <= r.h->max_files; i++)
		EXPECT(fs_open_file(r.h, FS_ROOT, O_RDONLY, &file, NULL) ==
		       (i < r.h->max_files ? 0 : -ENFILE));
	fs_forget_all(r.h);
	for (int i = 0; i < WIDE; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		dir[i][0] = find(&r, FS_ROOT, name);
	}
	/* Those that are open have all descriptors that files are found by. */
	r.h->max_files = 100;
	for (int i = 0; i < WIDE; i++)
		fs_open_file(r.h, dir[i][0], O_RDONLY, &file, NULL);
	EXPECT(r.h->files.used < 100 && r.h->nr_inode_fds == r.h->max_inode_fds);
	expect_not_made(t, &r);
	fs_forget_all(r.h);
	EXPECT(open_files() == before + 2);
	EXPECT(find(&r, FS_ROOT, "d0"));
	EXPECT(!fs_create(r.h, OPENED(FS_ROOT, "new", O_RDWR, 0644), &e, &file));
	teardown(&r);
}

TEST(fs_file_that_moved_is_stale_until_it_is_found_again)
{
	struct fs_entry e;
	struct rig r;
	u64 f, d;

	setup(&r);
	EXPECT(!mkdir("d", 0755));
	file_put("d/f", "text");
	d = find(&r, FS_ROOT, "d");
	f = find(&r, d, "f");
	EXPECT(!rename("d/f", "g"));
	EXPECT(fs_getattr(r.h, f, &e) == -ESTALE);
	EXPECT(find(&r, FS_ROOT, "g") == f && !fs_getattr(r.h, f, &e));
	teardown(&r);
}

/* What was above is below: its number is found there, and what is saved is taken. */
TEST(fs_places_make_no_ring)
{
	struct state_out out = { 0 };
	struct fs_entry e;
	struct statx st;
	struct rig r;
	u64 a, b, c;

	setup(&r);
	EXPECT(!mkdir("a", 0755) && !mkdir("a/b", 0755) && !mkdir("a/b/c", 0755));
	a = find(&r, FS_ROOT, "a");
	b = find(&r, a, "b");
	c = find(&r, b, "c");
	EXPECT(!fs_statfs(r.h, c, &(struct statfs){ 0 }));
	EXPECT(!rename("a/b/c", "c") && !rename("a", "c/a"));
	EXPECT(find(&r, c, "a") == a);
	fs_save(r.h, &out);
	EXPECT(!rig_restore(&r, &out));
	EXPECT(find(&r, FS_ROOT, "c") == c && find(&r, c, "a") == a);
	/* The directory that is shared, mounted below itself */
	EXPECT(!fs_stat_step(AT_FDCWD, ".", &st));
	EXPECT(!fs_enter(r.h, fs_pool_get(&r.h->nodes, a), "root", &st, &e) && e.node == FS_ROOT);
	EXPECT(!r.h->root->parent && r.h->root->refs == 2);
	EXPECT(!fs_getattr(r.h, a, &e) && find(&r, a, "b") == b);
	EXPECT(!fs_getattr(r.h, b, &e));
	fs_forget(r.h, a, 9);
	fs_forget(r.h, b, 9);
	fs_forget(r.h, c, 9);
	EXPECT(fs_getattr(r.h, a, &e) == -ESTALE);
	EXPECT(fs_getattr(r.h, b, &e) == -ESTALE);
	EXPECT(fs_getattr(r.h, c, &e) == -ESTALE);
	state_out_free(&out);
	teardown(&r);
}

/* A guest decides how deep directories are, and not how long one takes to find. */
TEST(fs_depth_costs_nobody_time)
{
	struct timespec begin, end;
	u64 at = FS_ROOT, seen = 0;
	struct fs_entry e;
	struct rig r;

	setup(&r);
	fs_close(r.h);
	rig_open(&r, false, 64);
	for (int i = 0; i < 20000; i++) {
		if (fs_mknod(r.h, NODE(at, "d", S_IFDIR | 0755), &e))
			break;
		at = e.node;
		seen++;
	}
	EXPECT(seen >= 4096 && seen < 5000);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < 64; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		EXPECT(!fs_mknod(r.h, NODE(FS_ROOT, name, S_IFDIR | 0755), &e));
		EXPECT(find(&r, e.node, "none") == 0);
	}
	fs_getattr(r.h, at, &e);
	clock_gettime(CLOCK_MONOTONIC, &end);
	EXPECT(end.tv_sec - begin.tv_sec < 20);
	EXPECT(find(&r, FS_ROOT, "d"));
	fs_forget_all(r.h);
	teardown(&r);
}

/* Up to as long as they may be: some are kept beside the inode. */
TEST(fs_names_of_any_length_are_kept)
{
	char name[FS_NAME_MAX + 1], at[FS_NAME_MAX + 1];
	struct fs_entry e;
	struct rig r;
	u64 f, d, dir;

	setup(&r);
	memset(name, 'n', sizeof(name));
	/* What is behind it in memory is what it was. */
	EXPECT(!fs_mknod(r.h, NODE(FS_ROOT, "x", S_IFREG | 0644), &e));
	EXPECT(!fs_mknod(r.h, NODE(FS_ROOT, "behind", S_IFREG | 0644), &e));
	f = e.node;
	memcpy(at, "x", 2);
	for (int len = 1; len <= FS_NAME_MAX; len++) {
		name[len] = 0;
		EXPECT(!fs_rename(r.h, FS_ROOT, at, FS_ROOT, name, 0));
		EXPECT(!fs_getattr(r.h, f, &e));
		memcpy(at, name, sizeof(at));
		name[len] = 'n';
	}
	EXPECT(!fs_unlink(r.h, FS_ROOT, at, 0));
	for (int len = 1; len <= FS_NAME_MAX; len++) {
		name[len] = 0;
		EXPECT(!fs_mknod(r.h, NODE(FS_ROOT, name, S_IFDIR | 0755), &e));
		d = e.node;
		EXPECT(!fs_mknod(r.h, NODE(d, name, S_IFREG | 0644), &e));
		f = e.node;
		EXPECT(!fs_whereis(r.h, f, &dir, at) && dir == d);
		EXPECT(!strcmp(at, name) && !fs_getattr(r.h, f, &e));
		EXPECT(!fs_rename(r.h, d, name, FS_ROOT, "short", 0));
		EXPECT(!fs_whereis(r.h, f, &dir, at) && dir == FS_ROOT);
		EXPECT(!strcmp(at, "short") && !fs_getattr(r.h, f, &e));
		EXPECT(!fs_unlink(r.h, FS_ROOT, name, AT_REMOVEDIR));
		name[len] = 'n';
	}
	teardown(&r);
}

/* Who goes through a disk leaves a lot of them: in chunks, of which places are reused. */
TEST(fs_inodes_are_small_and_many)
{
	static u64 node[5000];
	struct statx st;
	struct fs_entry e;
	u64 file = 1ULL << 40;
	struct rig r;
	u32 most;

	setup(&r);
	EXPECT(sizeof(struct fs_inode) <= 64);
	EXPECT(!fs_stat_step(AT_FDCWD, ".", &st));
	for (int i = 0; i < 5000; i++) {
		st.stx_ino = file + i;
		EXPECT(!fs_enter(r.h, r.h->root, "f", &st, &e));
		node[i] = e.node;
	}
	most = r.h->nodes.nr;
	EXPECT(r.h->nodes.used == 5001 && most < 5001 + 8);
	EXPECT(r.h->nr_hashed <= 2 * r.h->nr_buckets);
	for (int i = 0; i < 5000; i += 2)
		fs_forget(r.h, node[i], 1);
	for (int i = 0; i < 5000; i += 2) {
		EXPECT(fs_again(r.h, node[i]) == -ESTALE);
		EXPECT(!fs_again(r.h, node[i + 1]));
		EXPECT(fs_again(r.h, node[i + 1] + (1ULL << 32)) == -ESTALE);
		st.stx_ino = file + i;
		EXPECT(!fs_enter(r.h, r.h->root, "f", &st, &e));
		EXPECT(e.node != node[i]);
		st.stx_ino = file + i + 1;
		EXPECT(!fs_enter(r.h, r.h->root, "f", &st, &e));
		EXPECT(e.node == node[i + 1]);
	}
	EXPECT(r.h->nodes.used == 5001 && r.h->nodes.nr == most);
	/* What begins a chunk is nobody's. */
	for (u64 i = 0; i < 5000; i += 4096)
		EXPECT(fs_again(r.h, i) == -ESTALE);
	/* As if there were all that there may be */
	r.h->nodes.nr = 0x400000;
	st.stx_ino = file + 5000;
	EXPECT(fs_enter(r.h, r.h->root, "f", &st, &e) == -ENFILE);
	r.h->nodes.nr = most;
	fs_forget_all(r.h);
	EXPECT(r.h->nodes.used == 1);
	teardown(&r);
}

/* It stays until all is forgotten, and no sooner. */
TEST(fs_number_that_was_given_out_too_often_to_count_stays)
{
	struct fs_entry e;
	struct rig r;
	u64 f;

	setup(&r);
	file_put("f", "text");
	f = find(&r, FS_ROOT, "f");
	fs_pool_get(&r.h->nodes, f)->nlookup = UINT32_MAX - 1;
	EXPECT(find(&r, FS_ROOT, "f") == f && find(&r, FS_ROOT, "f") == f);
	fs_forget(r.h, f, UINT32_MAX);
	fs_forget(r.h, f, UINT64_MAX);
	EXPECT(!fs_getattr(r.h, f, &e));
	fs_forget_all(r.h);
	EXPECT(fs_getattr(r.h, f, &e) == -ESTALE && r.h->nodes.used == 1);
	teardown(&r);
}

/* Files that had one number after the other, and which the guest does not forget */
TEST(fs_number_that_is_used_again_costs_nobody_time)
{
	struct timespec begin, end;
	u64 first = 0, seen = 0;
	struct statx st;
	struct fs_entry e;
	struct rig r;

	setup(&r);
	file_put("f", "text");
	EXPECT(!fs_stat_step(AT_FDCWD, "f", &st));
	st.stx_mask |= STATX_BTIME;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < 100000; i++) {
		st.stx_btime.tv_sec = i;
		seen += !fs_enter(r.h, r.h->root, "f", &st, &e);
		first = first ? first : e.node;
	}
	EXPECT(seen == 100000 && e.node != first);
	EXPECT(r.h->nr_hashed == 2);
	EXPECT(!fs_again(r.h, first) && !fs_again(r.h, e.node));
	fs_forget(r.h, first, 2);
	EXPECT(fs_again(r.h, first) == -ESTALE);
	fs_forget_all(r.h);
	clock_gettime(CLOCK_MONOTONIC, &end);
	EXPECT(end.tv_sec - begin.tv_sec < 5);
	EXPECT(r.h->nr_hashed == 1 && r.h->nodes.used == 1);
	EXPECT(find(&r, FS_ROOT, "f"));
	teardown(&r);
}

/* Which of them is the file is kept with them. */
TEST(fs_number_that_is_used_again_is_restored)
{
	struct state_out out = { 0 };
	struct statx st, was;
	struct fs_entry e;
	struct rig r;
	u64 f;

	setup(&r);
	file_put("f", "text");
	EXPECT(!fs_stat_step(AT_FDCWD, "f", &st));
	was = st;
	was.stx_btime.tv_sec++;
	/* The slot of what was entered first is taken by what came last. */
	EXPECT(!fs_enter(r.h, r.h->root, "x", &st, &e));
	f = e.node;
	EXPECT(!fs_enter(r.h, r.h->root, "f", &was, &e) && e.node != f);
	fs_forget(r.h, f, 1);
	f = find(&r, FS_ROOT, "f");
	EXPECT((u32)f < (u32)e.node);
	fs_save(r.h, &out);
	EXPECT(!rig_restore(&r, &out));
	EXPECT(r.h->nr_hashed == 2 && find(&r, FS_ROOT, "f") == f);
	EXPECT(fs_getattr(r.h, e.node, &e) == -ESTALE);
	state_out_free(&out);
	teardown(&r);
}

/*
 * A server that has forgotten the file of this number: any use of a descriptor of it
 * says so, and not the number, which may be another's. A name there makes no sense.
 */
static u64 stale;
/* What has this number is another file system. */
static u64 mounted;

int statx(int dirfd, const char *path, int flags, unsigned int mask, struct statx *st)
{
	int ret = syscall(SYS_statx, dirfd, path, flags, mask, st);
	struct stat of;

	if (!ret && st->stx_ino == mounted)
		st->stx_dev_minor ^= 1;
	if (stale && !fstat(dirfd, &of) && (of.st_ino == stale || !strcmp(path, "odd"))) {
		errno = ESTALE;
		return -1;
	}
	return ret;
}

int openat(int dirfd, const char *path, int flags, ...)
{
	int fd = syscall(SYS_openat, dirfd, path, flags, 0);
	struct stat of;

	if (fd < 0 || !stale || fstat(fd, &of) || of.st_ino != stale)
		return fd;
	close(fd);
	errno = ESTALE;
	return -1;
}

TEST(fs_number_that_a_server_gave_to_another_file_is_that_ones)
{
	struct stat file, dir;
	struct fs_entry e;
	struct statfs st;
	struct rig r;
	u64 f, g, d, fd;

	setup(&r);
	file_put("f", "text");
	EXPECT(!mkdir("d", 0755) && !stat("f", &file) && !stat("d", &dir));
	f = find(&r, FS_ROOT, "f");
	d = find(&r, FS_ROOT, "d");
	/* They have descriptors, by which they are what they are. */
	EXPECT(!fs_statfs(r.h, f, &st) && !fs_statfs(r.h, d, &st));
	EXPECT(find(&r, FS_ROOT, "f") == f && find(&r, FS_ROOT, "d") == d);
	stale = file.st_ino;
	EXPECT(fs_getattr(r.h, f, &e) == -ESTALE);
	g = find(&r, FS_ROOT, "f");
	EXPECT(g && g != f);
	stale = 0;
	EXPECT(!fs_getattr(r.h, g, &e) && !fs_statfs(r.h, g, &st));
	EXPECT(find(&r, FS_ROOT, "f") == g);
	stale = file.st_ino;
	EXPECT(fs_open_file(r.h, g, O_RDONLY, &fd, NULL) == -ESTALE);
	f = find(&r, FS_ROOT, "f");
	EXPECT(f && f != g);
	/* What is in a directory does not make that another one. */
	EXPECT(fs_lookup(r.h, d, "odd", &e) == -ESTALE);
	EXPECT(find(&r, FS_ROOT, "d") == d);
	stale = dir.st_ino;
	EXPECT(fs_lookup(r.h, d, "x", &e) == -ESTALE);
	g = find(&r, FS_ROOT, "d");
	EXPECT(g && g != d);
	stale = 0;
	fs_forget_all(r.h);
	EXPECT(r.h->nr_hashed == 1 && r.h->nodes.used == 1);
	teardown(&r);
}

/* Whatever this is set to is what all file systems are; of NO_ANSWER they do not say. */
#define NO_ANSWER ~0U
static unsigned int magic;

int fstatfs(int fd, struct statfs *st)
{
	int ret = syscall(SYS_fstatfs, fd, st);

	if (magic)
		st->f_type = magic;
	errno = EIO;
	return magic == NO_ANSWER ? -1 : ret;
}

/* Enter @name as if it had been copied up, or made, at another time. */
static u64 born(struct rig *r, u64 dir, const char *name, const char *path, int sec)
{
	struct fs_inode *in = fs_use(r->h, dir);
	struct fs_entry e = { 0 };
	struct statx st;

	if (in && !fs_stat_step(AT_FDCWD, path, &st)) {
		st.stx_mask |= STATX_BTIME;
		st.stx_btime.tv_sec = sec;
		fs_enter(r->h, in, name, &st, &e);
		fs_done(r->h, in);
	}
	return e.node;
}

/* Once: what was born since the share is open has its number from the upper layer. */
TEST(fs_files_of_an_overlay_are_copied_up)
{
	struct state_out out = { 0 };
	int now = time(NULL);
	struct fs_entry e;
	struct rig r;
	u64 d, f;

	setup(&r);
	EXPECT(!mkdir("d", 0755) && !mkdir("d/e", 0755));
	file_put("f", "text");
	d = born(&r, FS_ROOT, "d", "d", 1);
	EXPECT(d && d != born(&r, FS_ROOT, "d", "d", 2));
	fs_close(r.h);
	magic = OVERLAYFS_SUPER_MAGIC;
	rig_open(&r, false, 256);
	d = born(&r, born(&r, FS_ROOT, "d", "d", 1), "e", "d/e", 1);
	EXPECT(d && d == born(&r, find(&r, FS_ROOT, "d"), "e", "d/e", 2));
	f = born(&r, FS_ROOT, "f", "f", 1);
	EXPECT(f && !fs_getattr(r.h, f, &e));
	EXPECT(f == born(&r, FS_ROOT, "f", "f", now + 100));
	EXPECT(fs_getattr(r.h, f, &e) == -ESTALE);
	EXPECT(f != born(&r, FS_ROOT, "f", "f", now + 200));
	EXPECT(d == born(&r, find(&r, FS_ROOT, "d"), "e", "d/e", now + 100));
	EXPECT(d != born(&r, find(&r, FS_ROOT, "d"), "e", "d/e", now + 200));
	d = born(&r, find(&r, FS_ROOT, "d"), "e", "d/e", 3);
	fs_save(r.h, &out);
	EXPECT(!rig_restore(&r, &out));
	magic = 0;
	EXPECT(!fs_getattr(r.h, d, &e) && fs_getattr(r.h, f, &e) == -ESTALE);
	EXPECT(find(&r, find(&r, FS_ROOT, "d"), "e") == d);
	state_out_free(&out);
	teardown(&r);
}

/* Look up @dir and a name in it, and forget them. Return: whether edits there are heard */
static bool is_heard(struct rig *r, const char *dir)
{
	struct fs_entry e = { .node = 0 }, in;
	char name[32], events[1024];
	ssize_t n;

	if (fs_lookup(r->h, FS_ROOT, dir, &e) ||
	    fs_lookup(r->h, e.node, "none", &in) != -ENOENT)
		return false;
	fs_forget(r->h, e.node, 1);
	while (read(r->h->edits_fd, events, sizeof(events)) > 0)
		;
	snprintf(name, sizeof(name), "%s/new", dir);
	file_put(name, "");
	n = read(r->h->edits_fd, events, sizeof(events));
	unlink(name);
	return n > 0;
}

static void count_lines(void *opaque, const char *line)
{
	(void)line;
	++*(unsigned int *)opaque;
}

TEST(fs_edits_are_heard_in_a_number_of_directories_and_not_of_times)
{
	unsigned int lines = 0, ended = 0;
	const struct vm_log log = { count_lines, &lines };
	struct fs_opts o = { .max_fds = 256, .log = &log, .edits_ended = &ended };
	struct report why = { "" };
	char name[32];
	struct rig r;

	setup(&r);
	fs_close(r.h);
	o.path = r.share;
	o.has_edits = true;
	o.edits_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	EXPECT(!fs_open(&r.h, &o, &why));
	EXPECT(!mkdir("a", 0755) && !mkdir("b", 0755) && !mkdir("c", 0755));
	for (unsigned int i = 0; i < 33000; i++)
		EXPECT(is_heard(&r, "a"));
	EXPECT(is_heard(&r, "b") && !lines);
	/* As many as a kernel tree has */
	for (unsigned int i = 0; i < 6000; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		EXPECT(!mkdir(name, 0755) && is_heard(&r, name));
	}
	EXPECT(!lines);
	/* One that could not be watched is tried again. */
	r.h->edits_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	EXPECT(find(&r, FS_ROOT, "c") && !is_heard(&r, "c") && !is_heard(&r, "c"));
	close(r.h->edits_fd);
	r.h->edits_fd = o.edits_fd;
	EXPECT(is_heard(&r, "c") && lines == 1);
	/* One more than there may be, until one of the others is removed */
	r.h->nr_watches = 32768;
	EXPECT(!mkdir("e", 0755) && !is_heard(&r, "e"));
	EXPECT(!rmdir("a") && !ended);
	fs_edits_drain(o.edits_fd, &ended);
	EXPECT(ended == 1 && is_heard(&r, "e"));
	EXPECT(!mkdir("a", 0755) && !is_heard(&r, "a"));
	close(o.edits_fd);
	teardown(&r);
}

static u64 synced[4], unsynced;
static unsigned int nr_synced;

int syncfs(int fd)
{
	struct stat st;

	if (!fstat(fd, &st) && nr_synced < 4)
		synced[nr_synced++] = st.st_ino;
	errno = EIO;
	return st.st_ino == unsynced ? -1 : 0;
}

/* 0 is what becomes of the number that "." should have. */
static bool is_itself(void *opaque, const struct fs_dirent *d)
{
	u64 *ino = opaque;

	if (!strcmp(d->name, ".") && d->ino == *ino)
		*ino = 0;
	return true;
}

TEST(fs_sync_is_of_what_is_mounted_below_too)
{
	struct stat root, dir;
	struct fs_entry e;
	struct rig r;
	u64 file;

	setup(&r);
	EXPECT(!mkdir("d", 0755) && !mkdir("n", 0755));
	EXPECT(!stat(".", &root) && !stat("d", &dir));
	nr_synced = 0;
	EXPECT(find(&r, FS_ROOT, "n") && !fs_sync(r.h));
	EXPECT(nr_synced == 1 && synced[0] == root.st_ino);
	mounted = dir.st_ino;
	nr_synced = 0;
	EXPECT(find(&r, FS_ROOT, "d") && !fs_sync(r.h));
	EXPECT(nr_synced == 2 && synced[0] == root.st_ino && synced[1] == dir.st_ino);
	/* What is on different file systems has different numbers, listed or looked at. */
	EXPECT(!fs_lookup(r.h, FS_ROOT, "d", &e) && e.st.stx_ino == dir.st_ino);
	EXPECT(e.ino != dir.st_ino);
	EXPECT(!fs_open_file(r.h, e.node, O_RDONLY, &file, NULL));
	EXPECT(!fs_readdir(r.h, file, 0, is_itself, &e.ino) && !e.ino && !fs_release(r.h, file));
	unsynced = dir.st_ino;
	EXPECT(fs_sync(r.h) == -EIO);
	unsynced = root.st_ino;
	EXPECT(fs_sync(r.h) == -EIO);
	unsynced = 0;
	/* Not known any more; known, and nothing is mounted there any more */
	fs_forget_all(r.h);
	nr_synced = 0;
	EXPECT(!fs_sync(r.h) && nr_synced == 1);
	EXPECT(find(&r, FS_ROOT, "d"));
	mounted = 0;
	EXPECT(!fs_sync(r.h) && nr_synced == 2);
	teardown(&r);
}

static unsigned int nr_fsync, nr_fdatasync;

int fsync(int fd)
{
	nr_fsync++;
	return syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	nr_fdatasync++;
	(void)fd;
	errno = EIO;
	return -1;
}

TEST(fs_fsync_is_of_all_or_of_data)
{
	const struct fs_file *f;
	struct fs_entry e;
	struct rig r;
	u64 file;

	setup(&r);
	EXPECT(!fs_create(r.h, OPENED(FS_ROOT, "f", O_RDWR, 0644), &e, &file));
	EXPECT(!fs_fsync(r.h, file, false) && nr_fsync == 1 && !nr_fdatasync);
	EXPECT(fs_fsync(r.h, file, true) == -EIO && nr_fsync == 1 && nr_fdatasync == 1);
	EXPECT(!fs_open_file(r.h, FS_ROOT, O_RDONLY, &file, NULL));
	EXPECT(!fs_fsync(r.h, file, false) && nr_fsync == 2);
	/* Or each write does it; O_APPEND and O_DIRECT are no flags of the host's file. */
	EXPECT(!fs_open_file(r.h, e.node, O_RDWR | O_SYNC | O_APPEND | O_DIRECT, &file, NULL));
	f = fs_table_get(&r.h->files, file);
	EXPECT((fcntl(f->fd, F_GETFL) & (O_SYNC | O_APPEND | O_DIRECT)) == O_SYNC);
	fs_close(r.h);
	/* However many there are, a share takes no more of them than it can count. */
	rig_open(&r, false, 0x100000);
	EXPECT(r.h->max_inode_fds == 32768 && r.h->max_files < 32768);
	teardown(&r);
}

TEST(fs_special_files_are_seen_and_not_opened)
{
	struct fs_entry e;
	struct rig r;
	u64 file;

	setup(&r);
	EXPECT(!fs_mknod(r.h, NODE(FS_ROOT, "fifo", S_IFIFO | 0600), &e));
	EXPECT(S_ISFIFO(e.st.stx_mode));
	EXPECT(fs_open_file(r.h, e.node, O_RDWR, &file, NULL) == -ENXIO);
	EXPECT(!fs_mknod(r.h, NODE(FS_ROOT, "sock", S_IFSOCK | 0600), &e));
	EXPECT(fs_open_file(r.h, e.node, O_RDONLY, &file, NULL) == -ENXIO);
	EXPECT(fs_create(r.h, NEW(FS_ROOT, "fifo", .flags = O_RDWR), &e, &file) == -EEXIST);
	EXPECT(fs_setattr(r.h, find(&r, FS_ROOT, "fifo"), 0,
			  &(struct fs_setattr){ .mask = STATX_SIZE }, &e) ==
	       -EINVAL);
	teardown(&r);
}

TEST(fs_kernels_own_file_systems_are_not_shared)
{
	static const u32 own[] = {
		PROC_SUPER_MAGIC, SYSFS_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,
		SECURITYFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
		BPF_FS_MAGIC, PSTOREFS_MAGIC, EFIVARFS_MAGIC, SELINUX_MAGIC,
		SMACK_MAGIC, DEVPTS_SUPER_MAGIC, BINFMTFS_MAGIC, NSFS_MAGIC,
		0x62656570, 0x19800202, NO_ANSWER,
	};
	struct fs_opts o = { .path = "/proc", .max_fds = 64 };
	unsigned int before = open_files();
	struct report why = { "" };
	struct fs_host *h = NULL;
	struct fs_entry e;
	unsigned int n = 0;
	u64 file;

	EXPECT(fs_open(&h, &o, &why) == -EINVAL && !h);
	EXPECT(strstr(why.msg, "share /proc: "));
	o.path = "/";
	for (unsigned int i = 0; i < ARRAY_SIZE(own); i++) {
		magic = own[i];
		EXPECT(fs_open(&h, &o, &why) == -EINVAL && !h);
	}
	magic = 0;
	EXPECT(open_files() == before);
	o.readonly = true;
	EXPECT(!fs_open(&h, &o, &why));
	EXPECT(!fs_lookup(h, FS_ROOT, "proc", &e));
	EXPECT(S_ISDIR(e.st.stx_mode));
	EXPECT(!fs_open_file(h, e.node, O_RDONLY, &file, NULL));
	EXPECT(!fs_readdir(h, file, 0, count_entry, &n) && !n);
	EXPECT(fs_lookup(h, e.node, "self", &e) == -ENOENT);
	fs_close(h);
}

/* They are about the host: nothing of them is changed, be the share for writing or not. */
TEST(fs_kernels_own_file_systems_are_not_changed)
{
	struct fs_setattr set = { .mask = STATX_MODE, .mode = 0700 };
	struct iovec v = { "x", 1 };
	struct fs_entry e;
	struct stat dir;
	struct statx st;
	char list[8];
	struct rig r;
	u64 d;

	setup(&r);
	EXPECT(!mkdir("d", 0755) && !stat("d", &dir));
	mounted = dir.st_ino;
	magic = PROC_SUPER_MAGIC;
	d = find(&r, FS_ROOT, "d");
	/* One that was not there when that was to be found out is taken for one, too. */
	EXPECT(!fs_stat_step(AT_FDCWD, "d", &st));
	magic = 0;
	st.stx_ino++;
	EXPECT(!fs_enter(r.h, r.h->root, "none", &st, &e));
	EXPECT(fs_pool_get(&r.h->nodes, e.node)->closed);
	EXPECT(d && fs_setattr(r.h, d, 0, &set, &e) == -EACCES);
	EXPECT(fs_mknod(r.h, NODE(d, "x", S_IFREG), &e) == -EACCES);
	EXPECT(fs_rename(r.h, d, "x", FS_ROOT, "y", 0) == -EACCES);
	EXPECT(fs_setxattr(r.h, d, "user.a", &v, 0, false) == -EOPNOTSUPP);
	EXPECT(fs_getxattr(r.h, d, "user.a", list, 8) == -EOPNOTSUPP);
	EXPECT(fs_listxattr(r.h, d, list, 8) == -EOPNOTSUPP);
	EXPECT(fs_removexattr(r.h, d, "user.a") == -EOPNOTSUPP);
	nr_synced = 0;
	EXPECT(!fs_sync(r.h) && nr_synced == 1);
	mounted = 0;
	EXPECT(!stat("d", &dir) && (dir.st_mode & 0777) == 0755);
	teardown(&r);
}

/* Where the inode of @node is in what was saved. */
static u8 *saved_inode(struct state_out *out, u64 node)
{
	u64 le = htole64(node);

	/* From the end: the counts in front may look like a number. */
	for (size_t i = out->len - 50; i > 0; i--) {
		if (!memcmp(out->buf + i, &le, sizeof(le)))
			return out->buf + i;
	}
	return NULL;
}

/* State that says that such a directory is like any other */
TEST(fs_state_does_not_open_the_kernels_own)
{
	struct fs_opts o = { .path = "/", .max_fds = 64, .readonly = true };
	struct state_out out = { 0 };
	struct state_in in = { 0 };
	struct report why = { "" };
	struct fs_host *h = NULL;
	struct fs_entry sys, e;
	u8 *saved;
	u64 file;

	EXPECT(!fs_open(&h, &o, &why) && !fs_lookup(h, FS_ROOT, "sys", &sys));
	fs_save(h, &out);
	saved = saved_inode(&out, sys.node);
	EXPECT(saved && saved[6 * sizeof(u64) + 2] == 1);
	if (saved)
		saved[6 * sizeof(u64) + 2] = 0;
	fs_close(h);
	h = NULL;
	EXPECT(!fs_open(&h, &o, &why));
	in.buf = out.buf;
	in.len = out.len;
	EXPECT(!fs_restore(h, &in));
	EXPECT(fs_lookup(h, sys.node, "kernel", &e) == -ENOENT);
	EXPECT(!fs_open_file(h, sys.node, O_RDONLY, &file, NULL));
	state_out_free(&out);
	fs_close(h);
}

/* State that has somebody in such a directory: etc is dev of /sys, says @saved */
static void move_to_sys(u8 *saved, u64 sys, const struct statx *st)
{
	struct state_out out = { .buf = saved, .capacity = 49, .fixed = true, .len = 16 };

	state_put_u64(&out, sys);
	state_put_u64(&out, (u64)st->stx_dev_major << 32 | st->stx_dev_minor);
	state_put_u64(&out, st->stx_ino);
	state_put_u64(&out, st->stx_mask & STATX_BTIME ?
		      st->stx_btime.tv_sec * 1000000000ULL + st->stx_btime.tv_nsec : 0);
	memcpy(saved + 52, "dev", 3);
}

TEST(fs_state_does_not_lead_into_the_kernels_own)
{
	struct fs_opts o = { .path = "/", .max_fds = 64, .readonly = true };
	struct state_out out = { 0 };
	struct state_in in = { 0 };
	struct report why = { "" };
	struct fs_host *h = NULL;
	struct fs_entry sys, e;
	struct statfs fs;
	struct statx st;
	u8 *saved;
	u64 etc;

	EXPECT(!fs_open(&h, &o, &why) && !fs_lookup(h, FS_ROOT, "sys", &sys));
	EXPECT(!fs_lookup(h, FS_ROOT, "etc", &e) && !fs_stat_step(AT_FDCWD, "/sys/dev", &st));
	etc = e.node;
	fs_save(h, &out);
	saved = saved_inode(&out, etc);
	EXPECT(saved);
	if (saved)
		move_to_sys(saved, sys.node, &st);
	in.buf = out.buf;
	in.len = out.len;
	fs_close(h);
	h = NULL;
	EXPECT(!fs_open(&h, &o, &why) && !fs_restore(h, &in));
	EXPECT(!fs_getattr(h, sys.node, &e));
	EXPECT(fs_getattr(h, etc, &e) == -ESTALE);
	EXPECT(fs_statfs(h, etc, &fs) == -ESTALE);
	state_out_free(&out);
	fs_close(h);
}

TEST(fs_append_and_copy_are_where_they_belong)
{
	char buf[16] = "", first[4];
	struct iovec v, two[2] = { { first, 4 }, { NULL, 4 } };
	struct fs_entry e;
	struct rig r;
	u64 file;

	setup(&r);
	EXPECT(!fs_create(r.h, OPENED(FS_ROOT, "f", O_RDWR | O_APPEND, 0644), &e, &file));
	v = (struct iovec){ "abc", 3 };
	EXPECT(fs_write(r.h, file, &v, 1, 0, 0) == 3);
	v = (struct iovec){ "X", 1 };
	EXPECT(fs_write(r.h, file, &v, 1, 1, 0) == 1);
	v = (struct iovec){ "end", 3 };
	EXPECT(fs_write(r.h, file, &v, 1, 0, FS_APPEND) == 3);
	EXPECT(get(&r, file, buf, 15) == 6 && !strcmp(buf, "aXcend"));
	EXPECT(fs_copy_range(r.h, AT(file, 3), AT(file, 6), 3, false) == 3);
	EXPECT(get(&r, file, buf, 15) == 9 && !strcmp(buf, "aXcendend"));
	/* In front of what cannot be read to: an error, not the end */
	two[1].iov_base = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT(fs_read(r.h, file, two, 2, 0) == -EFAULT && !munmap(two[1].iov_base, 4096));
	EXPECT(fs_write(r.h, file, &v, 1, ~0ULL, 0) == -EINVAL);
	EXPECT(fs_read(r.h, file, &v, 1, 1ULL << 63) == -EINVAL);
	EXPECT(fs_fallocate(r.h, file, 0, 1ULL << 63, 1, false) == -EINVAL);
	EXPECT(fs_lseek(r.h, file, 0, SEEK_SET) == -EINVAL);
	EXPECT(fs_lseek(r.h, file, 1ULL << 63, SEEK_DATA) == -ENXIO);
	EXPECT(fs_copy_range(r.h, AT(file, ~0ULL), AT(file, 0), 1, false) == -EINVAL);
	teardown(&r);
}

TEST(fs_file_that_is_append_only_is_appended_to)
{
	static const u32 refused[] = {
		O_WRONLY, O_RDWR | O_APPEND, O_WRONLY | O_APPEND | O_TRUNC,
		O_WRONLY | O_APPEND | O_DIRECT,
	};
	struct iovec v = { "more", 4 };
	struct fs_entry e;
	struct rig r;
	u64 f, file;

	setup(&r);
	file_put("f", "text");
	if (file_append_only("f", true)) {
		printf("# no append-only files in /tmp\n");
		teardown(&r);
		return;
	}
	f = find(&r, FS_ROOT, "f");
	for (unsigned int i = 0; i < ARRAY_SIZE(refused); i++)
		EXPECT(fs_open_file(r.h, f, refused[i], &file, NULL) == -EPERM);
	EXPECT(!fs_open_file(r.h, f, O_WRONLY | O_APPEND, &file, NULL));
	EXPECT(fs_write(r.h, file, &v, 1, 0, FS_APPEND) == 4);
	EXPECT(fs_setattr(r.h, f, file, &(struct fs_setattr){ .mask = STATX_SIZE }, &e) ==
	       -EPERM);
	EXPECT(file_has("f", "textmore"));
	EXPECT(!file_append_only("f", false));
	teardown(&r);
}

TEST(fs_changes_take_privileges_off)
{
	struct fs_entry e;
	struct stat st;
	struct rig r;
	u64 file, only;

	setup(&r);
	EXPECT(!fs_create(r.h, OPENED(FS_ROOT, "f", O_RDWR, 0755), &e, &file));
	EXPECT(!fs_open_file(r.h, e.node, O_RDONLY, &only, NULL));
	EXPECT(!chmod("f", 06777));
	EXPECT(fs_fallocate(r.h, only, 0, 0, 8, true) == -EBADF);
	EXPECT(fs_copy_range(r.h, AT(file, 0), AT(only, 8), 4, true) == -EBADF);
	EXPECT(!stat("f", &st) && (st.st_mode & 07777) == 06777);
	EXPECT(!fs_fallocate(r.h, file, 0, 0, 8, false));
	EXPECT(!stat("f", &st) && (st.st_mode & 07777) == 06777);
	EXPECT(!fs_fallocate(r.h, file, 0, 0, 8, true));
	EXPECT(!stat("f", &st) && (st.st_mode & 07777) == 0777);
	EXPECT(!chmod("f", 06777));
	EXPECT(fs_copy_range(r.h, AT(only, 0), AT(file, 8), 4, true) == 4);
	EXPECT(!stat("f", &st) && (st.st_mode & 07777) == 0777);
	/* Without a group that may run it the bit is none of a privilege. */
	EXPECT(!chmod("f", 06767));
	EXPECT(!fs_fallocate(r.h, file, 0, 0, 8, true));
	EXPECT(!stat("f", &st) && (st.st_mode & 07777) == 02767);
	teardown(&r);
}

/* Return: whether that is so, and the test ends here */
static bool not_root(struct rig *r)
{
	if (!geteuid())
		return false;
	printf("# not root\n");
	teardown(r);
	return true;
}

/* Which only its owner could do: the host does it, to whoever writes. */
TEST(fs_changes_of_others_files_take_privileges_off)
{
	const struct fs_setattr cut = {
		.mask = STATX_SIZE | FS_KILL_PRIV, .size = 2,
	};
	struct iovec v = { "text", 4 };
	struct fs_entry e;
	struct rig r;
	u64 file;

	setup(&r);
	if (not_root(&r))
		return;
	file_put("f", "");
	EXPECT(!chmod("f", 06777) && !seteuid(1234));
	fs_close(r.h);
	rig_open(&r, false, 256);
	EXPECT(!fs_open_file(r.h, find(&r, FS_ROOT, "f"), O_RDWR, &file, NULL));
	EXPECT(fs_write(r.h, file, &v, 1, 0, FS_KILL_PRIV) == 4);
	EXPECT(!fs_getattr(r.h, find(&r, FS_ROOT, "f"), &e));
	EXPECT(e.st.stx_mode == (S_IFREG | 0777) && e.st.stx_size == 4);
	EXPECT(!seteuid(0) && !chmod("f", 06777) && !seteuid(1234));
	EXPECT(!fs_setattr(r.h, e.node, 0, &cut, &e) && e.st.stx_size == 2);
	EXPECT(e.st.stx_mode == (S_IFREG | 0777));
	/* What may not be opened for writing is cut by who has it open, as git does. */
	EXPECT(!fs_create(r.h, OPENED(FS_ROOT, "only", O_RDWR, 0400), &e, &file));
	EXPECT(fs_setattr(r.h, e.node, 0, &cut, &e) == -EACCES);
	EXPECT(!fs_setattr(r.h, e.node, file, &cut, &e) && e.st.stx_size == 2);
	EXPECT(!seteuid(0));
	teardown(&r);
}

TEST(fs_files_belong_to_the_caller)
{
	struct fs_caller who = { 1234, 5678, 027 };
	struct fs_entry e;
	struct rig r;
	u64 file;

	setup(&r);
	if (not_root(&r))
		return;
	EXPECT(!fs_create(r.h, NEW(FS_ROOT, "f", .flags = O_RDWR, .mode = 0666, .who = who), &e,
			  &file));
	EXPECT(e.st.stx_uid == 1234 && e.st.stx_gid == 5678);
	EXPECT((e.st.stx_mode & 0777) == 0640);
	EXPECT(!fs_mknod(r.h, NEW(FS_ROOT, "d", .mode = S_IFDIR | 0777, .who = who), &e));
	EXPECT(e.st.stx_uid == 1234 && (e.st.stx_mode & 0777) == 0750);
	EXPECT(!fs_symlink(r.h, NEW(FS_ROOT, "s", .who = who), "x", &e));
	EXPECT(e.st.stx_uid == 1234);
	EXPECT(!mkdir("closed", 0700));
	EXPECT(fs_create(r.h, NEW(find(&r, FS_ROOT, "closed"), "f", .flags = O_RDWR, .mode = 0666,
				  .who = who), &e, &file) == -EACCES);
	/* Root's group is root's, whatever that of lkvm is, and whoever was served before. */
	EXPECT(!setegid(5678));
	for (int i = 0; i < 2; i++) {
		EXPECT(!fs_create(r.h, OPENED(FS_ROOT, i ? "root" : "r", O_RDWR, 0666), &e, &file));
		EXPECT(e.st.stx_uid == 0 && e.st.stx_gid == 0);
		EXPECT(!fs_mknod(r.h, NEW(FS_ROOT, i ? "user" : "u", .mode = S_IFDIR, .who = who),
				 &e));
		EXPECT(e.st.stx_uid == 1234 && e.st.stx_gid == 5678);
	}
	EXPECT(!setegid(0));
	teardown(&r);
}

/* What was saved, up to every length: all of it is taken, and less is not. */
TEST(fs_restores_numbers_and_open_files)
{
	struct state_out out = { 0 }, again = { 0 };
	struct fs_entry e;
	struct rig r;
	char buf[8];
	u64 d, f, gone, file, lost, lost_dir;
	unsigned int n = 0;

	setup(&r);
	EXPECT(!mkdir("d", 0755) && !mkdir("gone", 0755));
	file_put("d/f", "text");
	file_put("d/gone", "text");
	d = find(&r, FS_ROOT, "d");
	f = find(&r, d, "f");
	gone = find(&r, d, "gone");
	EXPECT(!fs_open_file(r.h, f, O_RDWR, &file, NULL));
	EXPECT(!fs_open_file(r.h, gone, O_RDONLY, &lost, NULL));
	EXPECT(!fs_open_file(r.h, find(&r, FS_ROOT, "gone"), O_RDONLY, &lost_dir, NULL));
	EXPECT(!fs_unlink(r.h, d, "gone", 0) && !rmdir("gone"));
	fs_forget(r.h, d, 1);
	fs_save(r.h, &out);
	for (size_t len = 0; len <= out.len; len++) {
		struct state_in in = { .buf = out.buf, .len = len };

		fs_close(r.h);
		rig_open(&r, false, 256);
		EXPECT(!fs_restore(r.h, &in) == (len == out.len));
	}
	EXPECT(!fs_getattr(r.h, f, &e) && e.st.stx_size == 4);
	EXPECT(get(&r, file, buf, 8) == 4 && !memcmp(buf, "text", 4));
	EXPECT(fs_getattr(r.h, gone, &e) == -ESTALE);
	EXPECT(get(&r, lost, buf, 8) == -ESTALE && fs_fsync(r.h, lost, false) == -ESTALE);
	EXPECT(!fs_release(r.h, lost));
	EXPECT(fs_readdir(r.h, lost_dir, 0, count_entry, &n) == -ESTALE && !n);
	EXPECT(find(&r, find(&r, FS_ROOT, "d"), "f") == f);
	EXPECT(!fs_release(r.h, file));
	/* Bytes that are not what was saved are refused, or mean something. */
	for (size_t i = 0; i < out.len; i++) {
		struct state_in in = { .buf = out.buf, .len = out.len };

		out.buf[i] ^= 0xff;
		fs_restore(r.h, &in);
		fs_save(r.h, &again);
		EXPECT(find(&r, FS_ROOT, "d"));
		out.buf[i] ^= 0xff;
		fs_forget_all(r.h);
	}
	state_out_free(&again);
	state_out_free(&out);
	teardown(&r);
}

/** struct wrong - @len bytes, from @at on in a saved inode, that are no state */
struct wrong {
	unsigned int at;
	unsigned int len;
	const char *bytes;
};

static int restore_with(struct rig *r, struct state_out *out, u8 *saved, const struct wrong *w)
{
	u8 was[16];
	int err;

	memcpy(was, saved + w->at, w->len);
	memcpy(saved + w->at, w->bytes, w->len);
	err = rig_restore(r, out);
	memcpy(saved + w->at, was, w->len);
	return err;
}

/* Of a file "a/b": what it is, where, and that anybody has a number for it */
TEST(fs_state_that_could_not_have_been_saved_is_refused)
{
	static const struct wrong wrong[] = {
		{ 0, 4, "\1\0\0\0" }, { 0, 4, "\0\0\0\0" }, { 0, 4, "\0\x10\0\0" },
		{ 0, 4, "\xff\xff\xff\x7f" }, { 8, 4, "\0\0\0\0" },
		{ 16, 8, "\0\0\0\0\0\0\0\0" }, { 16, 4, "\x63\0\0\0" },
		{ 20, 4, "\7\0\0\0" }, { 48, 2, "\xa4\x81" }, { 50, 1, "\x08" },
		{ 52, 1, "/" }, { 52, 1, "." }, { 52, 1, "" },
	};
	struct state_out out = { 0 };
	struct wrong ring = { 16, 8, NULL };
	__le64 number;
	struct rig r;
	u64 a, b, c;
	u8 *saved;

	setup(&r);
	EXPECT(!mkdir("a", 0755) && !mkdir("a/b", 0755));
	file_put("a/b/c", "text");
	a = find(&r, FS_ROOT, "a");
	b = find(&r, a, "b");
	c = find(&r, b, "c");
	fs_save(r.h, &out);
	EXPECT(!rig_restore(&r, &out));
	saved = saved_inode(&out, c);
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++)
		EXPECT(restore_with(&r, &out, saved, &wrong[i]) && r.h->nodes.used == 1);
	/* "a", two in front of it, in what is in it */
	saved -= 2 * 53;
	number = htole64(b);
	ring.bytes = (const char *)&number;
	EXPECT(restore_with(&r, &out, saved, &ring) == -EPROTO && r.h->nodes.used == 1);
	EXPECT(!rig_restore(&r, &out) && find(&r, b, "c") == c);
	state_out_free(&out);
	teardown(&r);
}

/* How a file is open is no more than what a guest could have asked for. */
TEST(fs_state_does_not_say_how_a_file_is_opened)
{
	static const u32 bad[] = { 3, O_TRUNC, O_APPEND, O_CREAT | O_WRONLY, O_DIRECTORY };
	struct state_out out = { 0 };
	struct state_in in = { 0 };
	__le64 number;
	struct rig r;
	u64 file, f;

	setup(&r);
	file_put("f", "text");
	f = find(&r, FS_ROOT, "f");
	EXPECT(!fs_open_file(r.h, f, O_RDONLY, &file, NULL));
	EXPECT(!fs_open_file(r.h, f, O_RDWR, &file, NULL));
	fs_save(r.h, &out);
	fs_close(r.h);
	rig_open(&r, true, 256);
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(fs_restore(r.h, &in) == -EPROTO);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		__le32 flags = htole32(bad[i]);

		memcpy(out.buf + out.len - 4, &flags, 4);
		EXPECT(rig_restore(&r, &out) == -EPROTO);
	}
	EXPECT(file_has("f", "text"));
	/* Its number: of nobody, of too many, of another one */
	memset(out.buf + out.len - 4, 0, 4);
	EXPECT(!rig_restore(&r, &out));
	for (u64 nr = 0; nr < 3; nr++) {
		number = htole64(nr == 2 ? 0x400001 : nr);
		memcpy(out.buf + out.len - 20, &number, 8);
		EXPECT(rig_restore(&r, &out) == -EPROTO && !r.h->files.used);
	}
	state_out_free(&out);
	teardown(&r);
}

/* Not even by who has never heard of them */
TEST(fs_numbers_are_not_used_again_after_restoring)
{
	struct state_out out = { 0 };
	u64 first, second, third, file[3];
	struct rig r;

	setup(&r);
	file_put("a", "a");
	file_put("b", "b");
	first = find(&r, FS_ROOT, "a");
	fs_forget(r.h, first, 1);
	second = find(&r, FS_ROOT, "b");
	EXPECT(!fs_open_file(r.h, FS_ROOT, O_RDONLY, &file[0], NULL));
	EXPECT(!fs_release(r.h, file[0]));
	EXPECT(!fs_open_file(r.h, FS_ROOT, O_RDONLY, &file[1], NULL));
	fs_save(r.h, &out);
	EXPECT(!rig_restore(&r, &out) && !fs_release(r.h, file[1]));
	fs_forget(r.h, second, 1);
	third = find(&r, FS_ROOT, "a");
	EXPECT(third && third != first && third != second);
	EXPECT(!fs_open_file(r.h, FS_ROOT, O_RDONLY, &file[2], NULL));
	EXPECT(file[2] != file[0] && file[2] != file[1]);
	state_out_free(&out);
	teardown(&r);
}

#define WORKERS 4

static void *work_main(void *opaque)
{
	struct rig *r = opaque;
	unsigned int seed = (uintptr_t)&seed >> 12;
	struct fs_entry e;
	char a[8], b[8];
	u64 file;

	for (int i = 0; i < 1500; i++) {
		snprintf(a, sizeof(a), "n%d", rand_r(&seed) % 6);
		snprintf(b, sizeof(b), "n%d", rand_r(&seed) % 6);
		switch (rand_r(&seed) % 5) {
		case 0:
			if (!fs_create(r->h, OPENED(FS_ROOT, a, O_RDWR, 0644), &e, &file)) {
				fs_release(r->h, file);
				fs_forget(r->h, e.node, 1);
			}
			break;
		case 1:
			fs_rename(r->h, FS_ROOT, a, FS_ROOT, b, 0);
			break;
		case 2:
			fs_unlink(r->h, FS_ROOT, a, 0);
			break;
		case 3:
			if (!fs_lookup(r->h, FS_ROOT, a, &e)) {
				if (!fs_open_file(r->h, e.node, 0, &file, NULL))
					fs_release(r->h, file);
				fs_getattr(r->h, e.node, &e);
				fs_forget(r->h, e.node, 1);
			}
			break;
		case 4:
			fs_forget_all(r->h);
			break;
		}
	}
	return NULL;
}

/* Its own words for it: opening a FIFO as if it were a file would block. */
TEST(fs_state_does_not_say_what_a_file_is)
{
	const u16 reg = htole16(S_IFREG);
	struct state_out out = { 0 };
	struct fs_entry e;
	struct rig r;
	u64 node, file;
	u8 *saved;

	setup(&r);
	EXPECT(!mkfifo("p", 0600));
	node = find(&r, FS_ROOT, "p");
	fs_save(r.h, &out);
	saved = saved_inode(&out, node);
	EXPECT(saved);
	if (saved)
		memcpy(saved + 6 * sizeof(u64), &reg, sizeof(reg));
	EXPECT(!rig_restore(&r, &out));
	EXPECT(fs_open_file(r.h, node, O_RDONLY, &file, NULL) == -ESTALE);
	EXPECT(fs_getattr(r.h, node, &e) == -ESTALE);
	EXPECT(find(&r, FS_ROOT, "p") != node);
	state_out_free(&out);
	teardown(&r);
}

TEST(fs_many_threads_are_inside)
{
	pthread_t thread[WORKERS];
	struct fs_entry e;
	struct rig r;

	setup(&r);
	for (int i = 0; i < WORKERS; i++)
		EXPECT(!pthread_create(&thread[i], NULL, work_main, &r));
	for (int i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	fs_forget_all(r.h);
	EXPECT(r.h->nodes.used == 1 && r.h->files.used == 0);
	EXPECT(r.h->nr_inode_fds == 1 && r.h->root->refs == 1);
	EXPECT(!fs_getattr(r.h, FS_ROOT, &e));
	teardown(&r);
}

/** struct handle - an open directory, a new one again and again */
struct handle {
	struct rig r;
	u64 file;
};

static void *handle_main(void *opaque)
{
	struct handle *d = opaque;
	char buf[8];
	u64 file;

	for (int i = 0; i < 5000; i++) {
		if (fs_open_file(d->r.h, FS_ROOT, O_RDONLY, &file, NULL))
			continue;
		file = __atomic_exchange_n(&d->file, file, __ATOMIC_RELAXED);
		for (int k = 0; k < 4; k++)
			get(&d->r, __atomic_load_n(&d->file, __ATOMIC_RELAXED), buf, 8);
		fs_release(d->r.h, file);
	}
	return NULL;
}

/** struct place - where a thread is in a directory, and how many names it has seen */
struct place {
	u64 next;
	unsigned int seen;
	unsigned int now;
};

static bool few_entries(void *opaque, const struct fs_dirent *d)
{
	struct place *p = opaque;

	if (p->now == 7)
		return false;
	p->next = d->next;
	p->now++;
	p->seen += d->len == 8 && !strncmp(d->name, "entry", 5);
	return true;
}

static void *list_main(void *opaque)
{
	struct handle *d = opaque;
	unsigned long missed = 0;

	for (int i = 0; i < 5; i++) {
		struct place p = { 0 };

		do {
			p.now = 0;
			missed += !!fs_readdir(d->r.h, d->file, p.next, few_entries, &p);
		} while (p.now);
		missed += p.seen != 900;
	}
	return (void *)missed;
}

/* By one handle, which has read ahead for another one than it serves */
TEST(fs_directory_is_read_by_many_at_once)
{
	pthread_t thread[WORKERS];
	struct handle d = { 0 };
	char name[20];
	void *missed;

	setup(&d.r);
	for (int i = 100; i < 1000; i++) {
		snprintf(name, sizeof(name), "entry%d", i);
		file_put(name, "");
	}
	EXPECT(!fs_open_file(d.r.h, FS_ROOT, O_RDONLY, &d.file, NULL));
	for (int i = 0; i < WORKERS; i++)
		EXPECT(!pthread_create(&thread[i], NULL, list_main, &d));
	for (int i = 0; i < WORKERS; i++) {
		pthread_join(thread[i], &missed);
		EXPECT(!missed);
	}
	teardown(&d.r);
}

TEST(fs_handle_is_released_while_others_read_it)
{
	pthread_t thread[WORKERS];
	struct handle d = { 0 };

	setup(&d.r);
	for (int i = 0; i < WORKERS; i++)
		EXPECT(!pthread_create(&thread[i], NULL, handle_main, &d));
	for (int i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	EXPECT(d.r.h->files.used == 1 && !fs_release(d.r.h, d.file));
	EXPECT(d.r.h->root->users == 1);
	teardown(&d.r);
}

TEST_MAIN(T(fs_name_is_one_component), T(fs_links_are_not_followed),
	  T(fs_races_do_not_lead_outside), T(fs_readonly_changes_nothing),
	  T(fs_numbers_are_checked), T(fs_identity_is_that_of_the_file),
	  T(fs_unlinked_file_is_there_while_it_is_open),
	  T(fs_unlinked_file_is_there_while_it_has_a_number),
	  T(fs_unlinked_files_take_a_bounded_number_of_descriptors),
	  T(fs_files_that_lost_another_name_are_found_by_their_own),
	  T(fs_descriptors_are_given_back),
	  T(fs_descriptors_are_bounded),
	  T(fs_file_that_moved_is_stale_until_it_is_found_again),
	  T(fs_places_make_no_ring), T(fs_depth_costs_nobody_time),
	  T(fs_names_of_any_length_are_kept), T(fs_inodes_are_small_and_many),
	  T(fs_number_that_was_given_out_too_often_to_count_stays),
	  T(fs_number_that_is_used_again_costs_nobody_time),
	  T(fs_number_that_is_used_again_is_restored),
	  T(fs_number_that_a_server_gave_to_another_file_is_that_ones),
	  T(fs_files_of_an_overlay_are_copied_up),
	  T(fs_edits_are_heard_in_a_number_of_directories_and_not_of_times),
	  T(fs_sync_is_of_what_is_mounted_below_too),
	  T(fs_fsync_is_of_all_or_of_data),
	  T(fs_special_files_are_seen_and_not_opened),
	  T(fs_kernels_own_file_systems_are_not_shared),
	  T(fs_kernels_own_file_systems_are_not_changed),
	  T(fs_state_does_not_open_the_kernels_own),
	  T(fs_state_does_not_lead_into_the_kernels_own),
	  T(fs_append_and_copy_are_where_they_belong),
	  T(fs_file_that_is_append_only_is_appended_to),
	  T(fs_changes_take_privileges_off),
	  T(fs_changes_of_others_files_take_privileges_off),
	  T(fs_files_belong_to_the_caller),
	  T(fs_restores_numbers_and_open_files),
	  T(fs_state_does_not_say_what_a_file_is),
	  T(fs_state_does_not_say_how_a_file_is_opened),
	  T(fs_numbers_are_not_used_again_after_restoring),
	  T(fs_state_that_could_not_have_been_saved_is_refused),
	  T(fs_many_threads_are_inside),
	  T(fs_directory_is_read_by_many_at_once),
	  T(fs_handle_is_released_while_others_read_it))
