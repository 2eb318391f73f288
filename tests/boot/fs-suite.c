// SPDX-License-Identifier: GPL-2.0-only
/*
 * What programs expect of a POSIX file system, tried in a directory.
 *
 * Theory of operation: each test has a directory of its own below the one that
 * is named, in which it is; what is left there afterwards is removed. As root,
 * for files of other owners and device nodes. A line for each test: "ok NAME",
 * or what did not hold and "not ok NAME". It passes on the file systems of the
 * kernel, which is how to tell whether a test or the share is wrong.
 *
 *	fs-suite DIR [NAME...]	with QUICK in the environment a part of the work, with
 *				ACLS it is a failure that there are none
 *	fs-suite --list
 *	fs-suite --stress DIR	many processes, for somebody to compare what they leave
 *	fs-suite --creates DIR	as a user where somebody makes files that are not for all
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <linux/magic.h>
#include "kvm/types.h"

static unsigned int failures;
static unsigned int part = 1;
static const char *self;

#define EXPECT(cond) expect(!!(cond), #cond, __LINE__)

static bool expect(bool ok, const char *what, int line)
{
	if (!ok) {
		failures++;
		printf("# line %d: expected: %s (%s)\n", line, what,
		       strerror(errno));
	}
	return ok;
}

static int make(const char *name, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

	EXPECT(fd >= 0);
	EXPECT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	return fd;
}

static void put(const char *name, const char *text)
{
	close(make(name, text));
}

static bool has(const char *name, const char *text)
{
	char buf[256] = "";
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (fd >= 0)
		close(fd);
	return n >= 0 && !strcmp(buf, text);
}

static ino_t ino_of(const char *name)
{
	struct stat st;

	return lstat(name, &st) ? 0 : st.st_ino;
}

static int rename2(const char *a, const char *b, unsigned int flags)
{
	return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
}

/* Run @what as somebody; true when it says so. */
static bool as_user(bool (*what)(void))
{
	int status = 1;
	pid_t pid = fork();

	if (!pid) {
		if (setgroups(0, NULL) || setgid(1234) || setuid(1234))
			_exit(2);
		_exit(what() ? 0 : 1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

static void unlinked_file_is_still_there(void)
{
	struct stat st;
	char buf[8];
	int fd = make("f", "hello"), again;

	EXPECT(!unlink("f"));
	EXPECT(access("f", F_OK) && errno == ENOENT);
	EXPECT(!fstat(fd, &st) && st.st_nlink == 0 && st.st_size == 5);
	EXPECT(pwrite(fd, "J", 1, 0) == 1);
	EXPECT(pread(fd, buf, 5, 0) == 5 && !memcmp(buf, "Jello", 5));
	EXPECT(!ftruncate(fd, 100) && !fstat(fd, &st) && st.st_size == 100);
	EXPECT(!fchmod(fd, 0600) && !fstat(fd, &st));
	EXPECT((st.st_mode & 07777) == 0600);
	again = make("f", "other");
	EXPECT(pread(fd, buf, 1, 0) == 1 && buf[0] == 'J');
	close(again);
	close(fd);
}

static void replaced_file_is_still_there(void)
{
	struct stat st;
	char buf[4] = "";
	int fd = make("old", "old");

	put("new", "new");
	EXPECT(!rename("new", "old"));
	EXPECT(has("old", "new"));
	EXPECT(pread(fd, buf, 3, 0) == 3 && !strcmp(buf, "old"));
	EXPECT(!fstat(fd, &st) && st.st_nlink == 0);
	close(fd);
}

static int links_of(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_NLINK,
		     &st) ? -1 : (int)st.stx_nlink;
}

/* Held by a descriptor that nobody has told the file system of. */
static void unlinked_path_is_still_there(void)
{
	int file, over, dir, link;
	struct statfs fs;
	char buf[8];

	/* Linux' 9P client asks by name for what is not open. */
	if (!statfs(".", &fs) && fs.f_type == V9FS_MAGIC) {
		printf("# no names that are gone here\n");
		return;
	}
	put("f", "x");
	put("over", "x");
	put("new", "y");
	EXPECT(!mkdir("d", 0755) && !symlink("target", "l"));
	file = open("f", O_PATH);
	over = open("over", O_PATH);
	dir = open("d", O_PATH);
	link = open("l", O_PATH | O_NOFOLLOW);
	EXPECT(!unlink("f") && !rmdir("d") && !unlink("l"));
	EXPECT(!rename("new", "over") && has("over", "y"));
	EXPECT(links_of(file) == 0 && links_of(over) == 0);
	EXPECT(links_of(dir) == 0 && links_of(link) == 0);
	EXPECT(readlinkat(link, "", buf, sizeof(buf)) == 6);
	EXPECT(openat(dir, "x", O_CREAT | O_RDWR, 0600) < 0 && errno == ENOENT);
	close(file);
	close(over);
	close(dir);
	close(link);
}

static void rename_keeps_the_inode(void)
{
	ino_t file, dir;

	EXPECT(!mkdir("a", 0755) && !mkdir("b", 0755));
	put("a/f", "x");
	file = ino_of("a/f");
	dir = ino_of("a");
	EXPECT(file && !rename("a/f", "b/g"));
	EXPECT(ino_of("b/g") == file && has("b/g", "x"));
	EXPECT(!rename("b", "a/b"));
	EXPECT(ino_of("a/b/g") == file && has("a/b/g", "x"));
	EXPECT(!rename("a", "c") && ino_of("c") == dir);
	EXPECT(ino_of("c/b/g") == file);
	EXPECT(rename("c", "c/b/c") && errno == EINVAL);
}

static void rename_flags_are_obeyed(void)
{
	put("a", "a");
	put("b", "b");
	EXPECT(rename2("a", "b", RENAME_NOREPLACE) && errno == EEXIST);
	EXPECT(!rename2("a", "b", RENAME_EXCHANGE));
	EXPECT(has("a", "b") && has("b", "a"));
	EXPECT(!rename2("a", "c", RENAME_NOREPLACE) && has("c", "b"));
	EXPECT(rename2("a", "b", RENAME_EXCHANGE) && errno == ENOENT);
	EXPECT(!mkdir("d", 0755) && !rename2("d", "b", RENAME_EXCHANGE));
	EXPECT(has("d", "a"));
}

static void errors_are_the_usual_ones(void)
{
	char name[300];
	int fd;

	put("f", "x");
	EXPECT(!mkdir("d", 0755));
	put("d/f", "x");
	EXPECT(open("none", O_RDONLY) < 0 && errno == ENOENT);
	EXPECT(open("f", O_WRONLY | O_CREAT | O_EXCL, 0644) < 0 &&
	       errno == EEXIST);
	EXPECT(open("f/x", O_RDONLY) < 0 && errno == ENOTDIR);
	EXPECT(open("d", O_WRONLY) < 0 && errno == EISDIR);
	EXPECT(rmdir("d") && errno == ENOTEMPTY);
	EXPECT(rmdir("f") && errno == ENOTDIR);
	EXPECT(unlink("d") && (errno == EISDIR || errno == EPERM));
	EXPECT(mkdir("d", 0755) && errno == EEXIST);
	EXPECT(link("d", "l") && errno == EPERM);
	memset(name, 'x', sizeof(name));
	name[256] = 0;
	EXPECT(open(name, O_RDONLY) < 0 && errno == ENAMETOOLONG);
	name[255] = 0;
	fd = open(name, O_RDWR | O_CREAT, 0644);
	EXPECT(fd >= 0 && !unlink(name));
	close(fd);
	fd = open("f", O_RDONLY);
	EXPECT(write(fd, "x", 1) < 0 && errno == EBADF);
	EXPECT(ftruncate(fd, 0) && errno == EINVAL);
	close(fd);
}

static void tmpfile_gets_a_name_later(void)
{
	char path[64];
	struct stat st;
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		printf("# no O_TMPFILE here\n");
		return;
	}
	EXPECT(fd >= 0 && write(fd, "temp", 4) == 4);
	EXPECT(!fstat(fd, &st) && st.st_nlink == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	EXPECT(!linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	EXPECT(has("named", "temp"));
	EXPECT(!fstat(fd, &st) && st.st_nlink == 1);
	EXPECT(st.st_ino == ino_of("named"));
	close(fd);
}

static void xattrs_are_kept(void)
{
	char buf[256], list[256];
	ssize_t n;

	put("f", "x");
	if (setxattr("f", "user.one", "1", 1, XATTR_CREATE)) {
		EXPECT(errno == EOPNOTSUPP);
		printf("# no user xattrs here\n");
		return;
	}
	EXPECT(setxattr("f", "user.one", "2", 1, XATTR_CREATE) &&
	       errno == EEXIST);
	EXPECT(setxattr("f", "user.two", "2", 1, XATTR_REPLACE) &&
	       errno == ENODATA);
	EXPECT(!setxattr("f", "user.two", "", 0, 0));
	EXPECT(getxattr("f", "user.one", NULL, 0) == 1);
	EXPECT(getxattr("f", "user.one", buf, sizeof(buf)) == 1 &&
	       buf[0] == '1');
	EXPECT(getxattr("f", "user.two", buf, sizeof(buf)) == 0);
	EXPECT(!setxattr("f", "user.one", "longer", 6, 0));
	EXPECT(getxattr("f", "user.one", buf, 3) < 0 && errno == ERANGE);
	n = listxattr("f", list, sizeof(list));
	EXPECT(n > 0 && memmem(list, n, "user.one", 9) &&
	       memmem(list, n, "user.two", 9));
	EXPECT(!removexattr("f", "user.one"));
	EXPECT(getxattr("f", "user.one", buf, 1) < 0 && errno == ENODATA);
	EXPECT(!mkdir("d", 0755) && !setxattr("d", "user.x", "y", 1, 0));
	EXPECT(!setxattr("f", "trusted.t", "z", 1, 0));
	EXPECT(getxattr("f", "trusted.t", buf, sizeof(buf)) == 1);
}

/* As in the xattr: version 2, then tag, permissions, id of each entry. */
struct acl {
	u32 version;
	struct {
		u16 tag;
		u16 perm;
		u32 id;
	} e[5];
};

static bool reads_as(uid_t uid, const char *name)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(setgroups(0, NULL) || setresgid(uid, uid, uid) ||
		      setresuid(uid, uid, uid) || open(name, O_RDONLY) < 0);
	return waitpid(pid, &status, 0) == pid && !status;
}

static void acls_are_kept_and_inherited(void)
{
	struct acl acl = { 2, { { 1, 7, ~0U }, { 2, 6, 4321 }, { 4, 5, ~0U },
				{ 16, 7, ~0U }, { 32, 0, ~0U } } }, back;
	struct stat st;
	mode_t old;

	EXPECT(!mkdir("d", 0755));
	if (setxattr("d", "system.posix_acl_default", &acl, sizeof(acl), 0)) {
		EXPECT(errno == EOPNOTSUPP && !getenv("ACLS"));
		printf("# no ACLs here\n");
		return;
	}
	old = umask(077);
	close(open("d/f", O_WRONLY | O_CREAT, 0666));
	EXPECT(!mkdir("d/sub", 0777));
	close(open("plain", O_WRONLY | O_CREAT, 0666));
	umask(old);
	/* The umask does not count where there is a default ACL. */
	EXPECT(getxattr("d/f", "system.posix_acl_access", &back,
			sizeof(back)) == sizeof(back));
	EXPECT(!stat("d/f", &st) && (st.st_mode & 0777) == 0660);
	EXPECT(getxattr("d/sub", "system.posix_acl_default", &back,
			sizeof(back)) == sizeof(back));
	EXPECT(!stat("plain", &st) && (st.st_mode & 0777) == 0600);
	EXPECT(!setxattr("plain", "system.posix_acl_access", &acl, sizeof(acl),
			 0));
	EXPECT(!stat("plain", &st) && (st.st_mode & 0777) == 0770);
	EXPECT(!chmod("plain", 0700) &&
	       getxattr("plain", "system.posix_acl_access", &back,
			sizeof(back)) == sizeof(back) && back.e[3].perm == 0);
	EXPECT(!setxattr("plain", "system.posix_acl_access", &acl, sizeof(acl), 0));
	EXPECT(reads_as(4321, "plain") && !reads_as(4322, "plain"));
	EXPECT(!removexattr("plain", "system.posix_acl_access"));
	EXPECT(getxattr("plain", "system.posix_acl_access", &back, sizeof(back)) < 0 &&
	       errno == ENODATA);
	EXPECT(!reads_as(4321, "plain") && !removexattr("d", "system.posix_acl_default"));
	EXPECT(!mkdir("d/none", 0755) &&
	       getxattr("d/none", "system.posix_acl_default", &back, sizeof(back)) < 0);
}

static void links_are_links(void)
{
	struct stat st, to;
	char buf[64] = "";

	put("f", "x");
	EXPECT(!symlink("f", "s") && !symlink("none", "dangling"));
	EXPECT(!symlink("loop", "loop"));
	EXPECT(readlink("s", buf, sizeof(buf)) == 1 && buf[0] == 'f');
	EXPECT(has("s", "x"));
	EXPECT(!lstat("s", &st) && S_ISLNK(st.st_mode) && st.st_size == 1);
	EXPECT(open("dangling", O_RDONLY) < 0 && errno == ENOENT);
	EXPECT(open("loop", O_RDONLY) < 0 && errno == ELOOP);
	EXPECT(open("s", O_RDONLY | O_NOFOLLOW) < 0 && errno == ELOOP);
	EXPECT(!link("f", "g") && !stat("f", &st) && st.st_nlink == 2);
	EXPECT(ino_of("f") == ino_of("g"));
	EXPECT(!unlink("f") && has("g", "x"));
	EXPECT(!stat("g", &to) && to.st_nlink == 1 && to.st_ino == st.st_ino);
	EXPECT(!link("g", "f") && !unlink("g") && has("f", "x"));
	EXPECT(!lchown("s", 12, 34) && !lstat("s", &st) && st.st_uid == 12);
	EXPECT(!stat("f", &st) && st.st_uid == 0);
	EXPECT(!linkat(AT_FDCWD, "s", AT_FDCWD, "s2", 0));
	EXPECT(ino_of("s2") == ino_of("s"));
}

static void special_files_work(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "sock" };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	int c = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat st;
	char b = 0;
	int fd;

	EXPECT(!mkfifo("fifo", 0600) && !stat("fifo", &st));
	EXPECT(S_ISFIFO(st.st_mode));
	fd = open("fifo", O_RDWR);
	EXPECT(write(fd, "p", 1) == 1 && read(fd, &b, 1) == 1 && b == 'p');
	close(fd);
	EXPECT(!mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	EXPECT(!stat("null", &st) && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(1, 3));
	EXPECT(!mknod("wide", S_IFBLK | 0600, makedev(0x123, 0x45678)));
	EXPECT(!stat("wide", &st) && st.st_rdev == makedev(0x123, 0x45678));
	EXPECT(!bind(s, (struct sockaddr *)&a, sizeof(a)) && !listen(s, 1));
	EXPECT(!stat("sock", &st) && S_ISSOCK(st.st_mode));
	EXPECT(!connect(c, (struct sockaddr *)&a, sizeof(a)));
	close(s);
	close(c);
	EXPECT(!mknod("plain", S_IFREG | 0600, 0) && has("plain", ""));
}

static void space_can_be_allocated_and_given_back(void)
{
	char buf[8192];
	struct stat st;
	int fd = make("f", "");

	memset(buf, 'x', sizeof(buf));
	EXPECT(write(fd, buf, sizeof(buf)) == sizeof(buf));
	if (fallocate(fd, 0, 0, 1 << 20)) {
		EXPECT(errno == EOPNOTSUPP);
		printf("# no fallocate() here\n");
		close(fd);
		return;
	}
	EXPECT(!fstat(fd, &st) && st.st_size == 1 << 20);
	EXPECT(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 2 << 20, 4096));
	EXPECT(!fstat(fd, &st) && st.st_size == 1 << 20);
	EXPECT(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			  4096));
	EXPECT(pread(fd, buf, sizeof(buf), 0) == sizeof(buf));
	EXPECT(!buf[0] && !buf[4095] && buf[4096] == 'x');
	close(fd);
}

static void holes_are_found(void)
{
	int fd = make("f", "");
	off_t off;
	char b;

	EXPECT(pwrite(fd, "x", 1, 1 << 20) == 1);
	EXPECT(!ftruncate(fd, 4 << 20));
	off = lseek(fd, 0, SEEK_DATA);
	EXPECT(off >= 0 && off <= 1 << 20);
	off = lseek(fd, 1 << 20, SEEK_HOLE);
	EXPECT(off > 1 << 20 && off <= 4 << 20);
	EXPECT(lseek(fd, 4 << 20, SEEK_DATA) < 0 && errno == ENXIO);
	EXPECT(pread(fd, &b, 1, 12345) == 1 && !b);
	close(fd);
}

static void ranges_are_copied(void)
{
	int a = make("a", "0123456789"), b = make("b", "");
	off_t from = 2, to = 1;

	EXPECT(copy_file_range(a, &from, b, &to, 5, 0) == 5);
	EXPECT(from == 7 && to == 6);
	EXPECT(pwrite(b, "_", 1, 0) == 1);
	EXPECT(has("b", "_23456"));
	close(a);
	close(b);
}

static bool child_cannot_lock(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open("f", O_RDWR), g = open("g", O_RDWR);

	return fcntl(fd, F_SETLK, &l) && (errno == EAGAIN || errno == EACCES) &&
	       flock(g, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
}

static void locks_exclude(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = make("f", "x"), g = make("g", "x");

	EXPECT(!fchmod(fd, 0666) && !fchmod(g, 0666));
	EXPECT(!fcntl(fd, F_SETLK, &l) && !flock(g, LOCK_EX));
	EXPECT(as_user(child_cannot_lock));
	close(fd);
	close(g);
}

#define FILES 1500

static unsigned int list(const char *dir, bool all_of_them)
{
	DIR *d = opendir(dir);
	unsigned int nr = 0, n;
	static bool seen[FILES];
	struct dirent *e;

	memset(seen, 0, sizeof(seen));
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		nr++;
		if (sscanf(e->d_name, "file-%u", &n) == 1 && n < FILES) {
			if (seen[n])
				return 0;
			seen[n] = true;
		}
		if (all_of_them && e->d_ino != ino_of(e->d_name))
			return 0;
	}
	if (d)
		closedir(d);
	return nr;
}

static void directories_are_listed(void)
{
	unsigned int left = 0;
	struct dirent *e;
	char name[32], first[256];
	long where;
	DIR *d;

	for (unsigned int i = 0; i < FILES / part; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		close(open(name, O_CREAT | O_WRONLY, 0644));
	}
	EXPECT(list(".", true) == FILES / part);
	d = opendir(".");
	for (unsigned int i = 0; i < 100; i++)
		EXPECT(readdir(d));
	where = telldir(d);
	e = readdir(d);
	if (!EXPECT(e))
		return;
	memcpy(first, e->d_name, strlen(e->d_name) + 1);
	for (unsigned int i = 0; i < FILES / part - 200; i++)
		EXPECT(readdir(d));
	seekdir(d, where);
	e = readdir(d);
	EXPECT(e && !strcmp(e->d_name, first));
	rewinddir(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] != '.')
			left += !!unlink(e->d_name);
	}
	closedir(d);
	EXPECT(left == 0 && list(".", false) == 0);
}

static void mappings_share_or_do_not(void)
{
	int fd = make("f", "");
	char *shared, *private, b[2];

	EXPECT(!ftruncate(fd, 8192));
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (EXPECT(shared != MAP_FAILED && private != MAP_FAILED)) {
		shared[0] = 's';
		shared[5000] = 't';
		EXPECT(private[0] == 's');
		private[4096] = 'p';
		EXPECT(!msync(shared, 8192, MS_SYNC));
		EXPECT(pread(fd, b, 1, 0) == 1 && b[0] == 's');
		EXPECT(pread(fd, b, 1, 5000) == 1 && b[0] == 't');
		EXPECT(pread(fd, b, 1, 4096) == 1 && !b[0]);
		EXPECT(pwrite(fd, "w", 1, 1) == 1 && shared[1] == 'w');
		munmap(shared, 8192);
		munmap(private, 8192);
	}
	close(fd);
}

/* Written back by whatever descriptor is open for writing, not at the end. */
static void appending_leaves_mappings_alone(void)
{
	int fd = make("f", "0123456789"), app = open("f", O_WRONLY | O_APPEND);
	struct stat st;
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (!EXPECT(p != MAP_FAILED))
		return;
	p[0] = 'X';
	close(fd);
	EXPECT(write(app, "abc", 3) == 3);
	EXPECT(!msync(p, 4096, MS_SYNC));
	munmap(p, 4096);
	close(app);
	EXPECT(!stat("f", &st) && st.st_size == 13);
	EXPECT(has("f", "X123456789abc"));
}

static void appends_do_not_overwrite(void)
{
	int a = open("f", O_WRONLY | O_CREAT | O_APPEND, 0644);
	int b = open("f", O_WRONLY | O_APPEND);

	for (int i = 0; i < 5; i++) {
		EXPECT(write(a, "a", 1) == 1);
		EXPECT(write(b, "b", 1) == 1);
	}
	EXPECT(has("f", "ababababab"));
	close(a);
	close(b);
}

/* More than goes to a share at a time */
static void direct_appends_are_in_order(void)
{
	static unsigned int out[1 << 20] __aligned(4096), in[1 << 20];
	int fd = open("f", O_WRONLY | O_CREAT | O_APPEND | O_DIRECT, 0644);

	/* not everywhere */
	if (fd < 0 && errno == EINVAL)
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(out); i++)
		out[i] = i;
	EXPECT(write(fd, "", 0) == 0);
	for (int i = 0; i < 3; i++)
		EXPECT(write(fd, out, sizeof(out)) == sizeof(out));
	close(fd);
	fd = open("f", O_RDONLY);
	for (int i = 0; i < 3; i++) {
		EXPECT(read(fd, in, sizeof(in)) == sizeof(in));
		EXPECT(!memcmp(in, out, sizeof(in)));
	}
	close(fd);
}

static void files_may_be_large(void)
{
	int fd = make("f", "");
	struct stat st;
	char b[4];

	EXPECT(pwrite(fd, "far", 3, 5 * SZ_1G) == 3);
	EXPECT(!fstat(fd, &st) && (u64)st.st_size == 5 * SZ_1G + 3);
	EXPECT(st.st_blocks * 512ULL < SZ_1G);
	EXPECT(pread(fd, b, 3, 5 * SZ_1G) == 3 && !memcmp(b, "far", 3));
	EXPECT(pread(fd, b, 1, 4 * SZ_1G) == 1 && !b[0]);
	EXPECT(!ftruncate(fd, 6 * SZ_1G) && !fstat(fd, &st));
	EXPECT((u64)st.st_size == 6 * SZ_1G);
	close(fd);
}

static void file_system_says_its_size(void)
{
	struct statfs st;

	EXPECT(!statfs(".", &st) && st.f_blocks && st.f_bsize &&
	       st.f_bfree <= st.f_blocks && st.f_namelen == 255);
}

static bool user_makes_files(void)
{
	umask(027);
	close(open("open/u", O_CREAT | O_WRONLY, 0666));
	return !mkdir("open/ud", 0777) && !symlink("x", "open/us") &&
	       !mkfifo("open/uf", 0666) &&
	       open("closed/u", O_CREAT | O_WRONLY, 0666) < 0 &&
	       errno == EACCES && open("secret", O_RDONLY) < 0 &&
	       errno == EACCES && unlink("secret") && errno == EACCES;
}

static void files_belong_to_who_made_them(void)
{
	static const char *const name[] = { "u", "ud", "us", "uf" };
	static const mode_t mode[] = { 0640, 0750, 0777, 0640 };
	char path[32];
	struct stat st;
	mode_t old = umask(0);

	EXPECT(!mkdir("open", 0777) && !mkdir("closed", 0755));
	umask(old);
	close(open("secret", O_CREAT | O_WRONLY, 0600));
	EXPECT(as_user(user_makes_files));
	for (unsigned int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "open/%s", name[i]);
		EXPECT(!lstat(path, &st) && st.st_uid == 1234 &&
		       st.st_gid == 1234 && (st.st_mode & 0777) == mode[i]);
	}
	EXPECT(!chmod("open", 02777) && !chown("open", 0, 77));
	close(open("open/g", O_CREAT | O_WRONLY, 0666));
	EXPECT(!stat("open/g", &st) && st.st_uid == 0 && st.st_gid == 77);
}

static bool user_writes(void)
{
	int fd = open("suid", O_WRONLY);

	return fd >= 0 && write(fd, "x", 1) == 1;
}

static bool user_copies(void)
{
	int from = open("from", O_RDONLY), fd = open("suid", O_WRONLY);

	return copy_file_range(from, NULL, fd, NULL, 4, 0) == 4;
}

static bool user_allocates(void)
{
	return !fallocate(open("suid", O_WRONLY), 0, 0, 100);
}

static void set_id_bits_are_taken_off(void)
{
	bool (*const change[])(void) = { user_writes, user_copies, user_allocates };
	struct stat st;

	put("suid", "x");
	put("from", "text");
	for (unsigned int i = 0; i < ARRAY_SIZE(change); i++) {
		EXPECT(!chmod("suid", 06777));
		EXPECT(!stat("suid", &st) && (st.st_mode & 07777) == 06777);
		/* Not every file system can do more than write. */
		if (!as_user(change[i]) && EXPECT(i))
			continue;
		EXPECT(!stat("suid", &st) && (st.st_mode & 07777) == 0777);
	}
	EXPECT(!chmod("suid", 06777) && !chown("suid", 5, 5));
	EXPECT(!stat("suid", &st) && (st.st_mode & 07777) == 0777);
}

static void attributes_can_be_set(void)
{
	struct timespec t[2] = { { 1000000000, 123456789 }, { 1, 0 } };
	struct stat st;

	put("f", "hello");
	EXPECT(!chmod("f", 0421) && !stat("f", &st));
	EXPECT((st.st_mode & 07777) == 0421);
	EXPECT(!chown("f", 123456, 654321) && !stat("f", &st));
	EXPECT(st.st_uid == 123456 && st.st_gid == 654321);
	EXPECT(!utimensat(AT_FDCWD, "f", t, 0) && !stat("f", &st));
	EXPECT(st.st_atim.tv_sec == 1000000000 &&
	       st.st_atim.tv_nsec == 123456789 && st.st_mtim.tv_sec == 1);
	t[0].tv_nsec = UTIME_OMIT;
	t[1].tv_nsec = UTIME_NOW;
	EXPECT(!utimensat(AT_FDCWD, "f", t, 0) && !stat("f", &st));
	EXPECT(st.st_atim.tv_sec == 1000000000 && st.st_mtim.tv_sec > 1000000);
	EXPECT(!truncate("f", 2) && has("f", "he"));
	EXPECT(!truncate("f", 0) && has("f", ""));
	EXPECT(!symlink("f", "s") &&
	       !utimensat(AT_FDCWD, "s", t, AT_SYMLINK_NOFOLLOW));
}

static void data_comes_back(void)
{
	static unsigned char out[8 << 20];
	static unsigned char in[8 << 20] __aligned(4096);
	ssize_t len = sizeof(out) / part & ~4095L;
	int fd = make("f", "");

	for (unsigned int i = 0; i < sizeof(out); i++)
		out[i] = i * 2654435761U >> 13;
	EXPECT(write(fd, out, len) == len);
	EXPECT(!fsync(fd) && !fdatasync(fd));
	close(fd);
	fd = open("f", O_RDONLY | O_DIRECT);
	if (fd < 0)
		fd = open("f", O_RDONLY);
	EXPECT(read(fd, in, len) == len);
	EXPECT(!memcmp(in, out, len));
	close(fd);
	fd = open("f", O_RDONLY);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	memset(in, 0, sizeof(in));
	EXPECT(pread(fd, in, 1234567, 7) == 1234567);
	EXPECT(!memcmp(in, out + 7, 1234567));
	close(fd);
}

#define MODEL_SIZE (256 * 1024)

static unsigned int random_next(unsigned int *x)
{
	*x = *x * 1103515245 + 12345;
	return *x >> 8;
}

/** struct random_file - a file, and a copy of what has to be in it */
struct random_file {
	unsigned char model[MODEL_SIZE];
	unsigned char buf[MODEL_SIZE];
	unsigned int size;
	unsigned int seed;
	int fd;
};

static void random_grow(struct random_file *f, unsigned int end)
{
	f->size = end > f->size ? end : f->size;
}

static bool random_write(struct random_file *f, unsigned int off, unsigned int len)
{
	for (unsigned int i = 0; i < len; i++)
		f->model[off + i] = random_next(&f->seed);
	if (len)
		random_grow(f, off + len);
	return pwrite(f->fd, f->model + off, len, off) == (ssize_t)len;
}

static bool random_read(struct random_file *f, unsigned int off, unsigned int len)
{
	ssize_t want = off < f->size ? MIN(len, f->size - off) : 0U;

	return pread(f->fd, f->buf, len, off) == want &&
	       !memcmp(f->buf, f->model + off, want);
}

/* Shorter, or longer with zeroes. */
static bool random_truncate(struct random_file *f, unsigned int off)
{
	memset(f->model + off, 0, MODEL_SIZE - off);
	f->size = off;
	return !ftruncate(f->fd, off);
}

static bool random_mapped(struct random_file *f, unsigned int off, unsigned int len,
			  bool write)
{
	unsigned char *p;
	bool same = true;

	if (off >= f->size)
		return true;
	len = MIN(len, f->size - off);
	p = mmap(NULL, f->size, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED,
		 f->fd, 0);
	if (p == MAP_FAILED)
		return false;
	if (write) {
		for (unsigned int i = 0; i < len; i++)
			f->model[off + i] = random_next(&f->seed);
		memcpy(p + off, f->model + off, len);
	} else {
		same = !memcmp(p + off, f->model + off, len);
	}
	munmap(p, f->size);
	return same;
}

static bool random_fallocate(struct random_file *f, int mode, unsigned int off,
			     unsigned int len)
{
	if (!len)
		return true;
	if (fallocate(f->fd, mode, off, len))
		return errno == EOPNOTSUPP;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		memset(f->model + off, 0, len);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		random_grow(f, off + len);
	return true;
}

/* Within the file, to where it does not overlap */
static bool random_copy(struct random_file *f, unsigned int off, unsigned int len)
{
	loff_t from = off, to = random_next(&f->seed) % MODEL_SIZE;
	ssize_t n;

	if (off >= f->size)
		return true;
	len = MIN(len, f->size - off);
	if (to + len > MODEL_SIZE || (to < off + len && off < to + len) || !len)
		return true;
	n = copy_file_range(f->fd, &from, f->fd, &to, len, 0);
	if (n <= 0)
		return false;
	memmove(f->model + to - n, f->model + off, n);
	random_grow(f, to);
	return true;
}

static bool random_direct(struct random_file *f, unsigned int off)
{
	static unsigned char pages[8192];
	unsigned char *page = pages + (-(uintptr_t)pages & 4095);
	int fd = open("f", O_RDWR | O_DIRECT);
	struct statfs fs;
	ssize_t want;

	/*
	 * Linux' 9P client writes back what is cached of these pages only, and
	 * has ENODATA where the file goes on after them but for the server.
	 */
	if (!fstatfs(f->fd, &fs) && fs.f_type == V9FS_MAGIC && fsync(f->fd))
		return false;
	if (fd < 0)
		return errno == EINVAL;
	off &= ~4095U;
	want = off < f->size ? MIN(4096U, f->size - off) : 0U;
	want = pread(fd, page, 4096, off) - want;
	close(fd);
	return !want && (off >= f->size ||
			 !memcmp(page, f->model + off, MIN(4096U, f->size - off)));
}

static bool random_step(struct random_file *f)
{
	unsigned int op = random_next(&f->seed) % 16;
	unsigned int off = random_next(&f->seed) % (MODEL_SIZE - 1);
	unsigned int len = random_next(&f->seed) % MIN(MODEL_SIZE - off, 20000U);

	switch (op) {
	case 0 ... 3:
		return random_write(f, off, len);
	case 4:
		return random_truncate(f, off);
	case 5:
		close(f->fd);
		f->fd = open("f", O_RDWR);
		return f->fd >= 0;
	case 6:
		return random_mapped(f, off, len, true);
	case 7:
		return random_mapped(f, off, len, false);
	case 8:
		return random_fallocate(f, 0, off, len);
	case 9:
		return random_fallocate(f, FALLOC_FL_KEEP_SIZE, off, len);
	case 10:
		return random_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					off, len);
	case 11:
		return random_fallocate(f, FALLOC_FL_ZERO_RANGE, off, len);
	case 12:
		return random_copy(f, off, len);
	case 13:
		return random_direct(f, off);
	default:
		return random_read(f, off, len);
	}
}

/* As fsx does it: random operations, and a copy of what has to be there. */
static void random_operations_are_true(void)
{
	static struct random_file f;
	struct stat st;

	memset(&f, 0, sizeof(f));
	f.seed = 1;
	f.fd = make("f", "");
	for (unsigned int i = 0; i < 6000 / part; i++) {
		unsigned int seed = f.seed;

		if (!EXPECT(random_step(&f))) {
			printf("# operation %u, seed %u: %m\n", i, seed);
			break;
		}
	}
	EXPECT(!fstat(f.fd, &st) && st.st_size == (off_t)f.size);
	EXPECT(random_read(&f, 0, MODEL_SIZE));
	close(f.fd);
}

#define DIRS 4

static void stress_name(char name[16], unsigned int *seed, bool dirs)
{
	unsigned int n = random_next(seed) % 8;

	if (dirs)
		snprintf(name, 16, "d%u/n%u", random_next(seed) % DIRS, n);
	else
		snprintf(name, 16, "n%u", n);
}

/* One of several that make, rename, read and remove the same few names. */
static void stress(unsigned int who, bool dirs)
{
	unsigned int seed = who, len = 10 - who;
	char a[16], b[16];
	int fd;

	for (unsigned int i = 0; i < 400 / part; i++) {
		stress_name(a, &seed, dirs);
		stress_name(b, &seed, dirs);
		switch (random_next(&seed) % (dirs ? 6 : 5)) {
		case 0:
			fd = open(a, O_CREAT | O_RDWR, 0644);
			if (fd < 0 || write(fd, "0123456789", len) != (ssize_t)len)
				_exit(1);
			close(fd);
			break;
		case 1:
			if (rename(a, b) && errno != ENOENT)
				_exit(2);
			break;
		case 2:
			if (unlink(a) && errno != ENOENT)
				_exit(3);
			break;
		case 3:
			fd = open(a, O_RDONLY);
			if (fd < 0 && errno != ENOENT)
				_exit(4);
			if (fd >= 0 && (read(fd, b, 4) < 0 || fsync(fd)))
				_exit(5);
			close(fd);
			break;
		case 4:
			if (link(a, b) && errno != ENOENT && errno != EEXIST)
				_exit(6);
			break;
		case 5:
			a[2] = 0;
			b[2] = 0;
			if (rename2(a, b, RENAME_EXCHANGE))
				_exit(7);
			break;
		}
	}
	_exit(0);
}

static void stress_many(bool dirs)
{
	pid_t pid[4];
	int status;

	for (unsigned int i = 0; i < 4; i++) {
		pid[i] = fork();
		if (!pid[i])
			stress(i + 1, dirs);
	}
	for (unsigned int i = 0; i < 4; i++) {
		EXPECT(waitpid(pid[i], &status, 0) == pid[i]);
		if (!EXPECT(!status))
			printf("# status %x\n", status);
	}
}

static void many_at_once_see_one_tree(void)
{
	stress_many(false);
	EXPECT(list(".", true) <= 8);
}

/* What is left is for somebody else to compare. */
static int stress_in(const char *dir)
{
	char name[8];

	EXPECT(!chdir(dir));
	for (unsigned int i = 0; i < DIRS; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		EXPECT(!mkdir(name, 0755));
	}
	stress_many(true);
	return failures ? 1 : 0;
}

/* Somebody else makes "s", and removes it: what is theirs is never opened. */
static int creates_in(const char *dir)
{
	unsigned int theirs = 0, ours = 0, refused = 0;
	time_t end = time(NULL) + 8;
	struct stat st;

	if (!EXPECT(!chdir(dir) && !setgroups(0, NULL) && !setgid(1234) && !setuid(1234)))
		return 1;
	while (time(NULL) < end) {
		int fd;

		/* Is there none? So much the better. */
		stat("s", &st);
		fd = open("s", O_CREAT | O_RDWR | O_TRUNC, 0644);
		if (fd < 0) {
			refused += errno == EACCES;
			continue;
		}
		EXPECT(!fstat(fd, &st));
		theirs += !st.st_uid;
		ours += !!st.st_uid;
		close(fd);
		unlink("s");
	}
	printf("# %u ours, %u refused\n", ours, refused);
	EXPECT(!theirs && ours && refused);
	return failures ? 1 : 0;
}

static void programs_can_be_run(void)
{
	char buf[65536];
	int from = open(self, O_RDONLY), to = open("prog", O_CREAT | O_WRONLY, 0755);
	int status = 1;
	ssize_t n;
	pid_t pid;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		EXPECT(write(to, buf, n) == n);
	close(from);
	close(to);
	pid = fork();
	if (!pid) {
		execl("./prog", "prog", "--true", NULL);
		_exit(9);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && !status);
}

static void removed_directory_is_empty(void)
{
	char buf[64];
	struct stat st;
	int dir;

	EXPECT(!mkdir("d", 0755) && !chdir("d"));
	dir = open(".", O_RDONLY | O_DIRECTORY);
	EXPECT(!rmdir("../d"));
	EXPECT(!fstat(dir, &st));
	EXPECT(!getcwd(buf, sizeof(buf)) && errno == ENOENT);
	EXPECT(open("f", O_CREAT | O_WRONLY, 0644) < 0 && errno == ENOENT);
	EXPECT(openat(dir, "f", O_RDONLY) < 0 && errno == ENOENT);
	close(dir);
}

static void directories_may_be_deep(void)
{
	char name[] = "directory";
	struct stat st;
	int i;

	for (i = 0; i < 100; i++)
		EXPECT(!mkdir(name, 0755) && !chdir(name));
	put("f", "deep");
	EXPECT(has("f", "deep") && !stat("../../../..", &st));
	for (i = 0; i < 100; i++)
		EXPECT(!chdir(".."));
	EXPECT(ino_of("directory"));
}

static const struct test {
	const char *name;
	void (*run)(void);
} tests[] = {
#define T(name) { #name, name }
	T(unlinked_file_is_still_there), T(replaced_file_is_still_there),
	T(unlinked_path_is_still_there),
	T(rename_keeps_the_inode), T(rename_flags_are_obeyed),
	T(errors_are_the_usual_ones), T(tmpfile_gets_a_name_later),
	T(xattrs_are_kept), T(acls_are_kept_and_inherited),
	T(links_are_links), T(special_files_work),
	T(space_can_be_allocated_and_given_back), T(holes_are_found),
	T(ranges_are_copied), T(locks_exclude), T(directories_are_listed),
	T(mappings_share_or_do_not), T(appending_leaves_mappings_alone),
	T(appends_do_not_overwrite), T(direct_appends_are_in_order),
	T(files_may_be_large),
	T(file_system_says_its_size), T(files_belong_to_who_made_them),
	T(set_id_bits_are_taken_off), T(attributes_can_be_set),
	T(data_comes_back), T(random_operations_are_true),
	T(many_at_once_see_one_tree), T(programs_can_be_run),
	T(removed_directory_is_empty), T(directories_may_be_deep),
};

static int list_tests(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(tests); i++)
		puts(tests[i].name);
	return 0;
}

/* All that are named, or all but those that are named with a "-" */
static bool wanted(const char *name, int argc, char **argv)
{
	bool found = true;

	for (int i = 2; i < argc; i++) {
		bool without = *argv[i] == '-';

		if (!strcmp(name, argv[i] + without))
			return !without;
		found &= without;
	}
	return found;
}

int main(int argc, char **argv)
{
	unsigned int bad = 0, ran = 0;

	if (argc == 2 && !strcmp(argv[1], "--true"))
		return 0;
	if (argc == 2 && !strcmp(argv[1], "--list"))
		return list_tests();
	if (argc == 3 && !strcmp(argv[1], "--stress"))
		return stress_in(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "--creates"))
		return creates_in(argv[2]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	self = "/proc/self/exe";
	if (getenv("QUICK"))
		part = 5;
	for (unsigned int i = 0; i < ARRAY_SIZE(tests); i++) {
		const struct test *t = &tests[i];
		char dir[] = "fs-suite.XXXXXX", rm[64];

		if (!wanted(t->name, argc, argv))
			continue;
		if (argc < 2 || chdir(argv[1]) || !mkdtemp(dir) || chdir(dir)) {
			perror(argc < 2 ? "fs-suite DIR" : argv[1]);
			return 1;
		}
		chmod(".", 0755);
		failures = 0;
		ran++;
		t->run();
		printf("%s %s\n", failures ? "not ok" : "ok", t->name);
		bad += !!failures;
		snprintf(rm, sizeof(rm), "rm -rf ./%s", dir);
		if (chdir(argv[1]) || system(rm))
			printf("# %s stays\n", dir);
	}
	/* A name that there is not is not a test that passes. */
	return bad || !ran ? 1 : 0;
}
