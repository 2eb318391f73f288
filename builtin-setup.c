// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm setup NAME, and what lkvm run NAME makes of it.
 *
 * Theory of operation: a name is a directory below the user's data, with four
 * directories that a guest of that name has for itself, from one run to the next:
 * /etc, /home, /root and /var. The rest of its root is the host's, copy-on-write
 * as always. /etc begins as a copy of what everybody may read of the host's, the
 * others begin empty, but for what programs expect there. Nothing is kept about a
 * name elsewhere: to remove the directory is to remove the guest.
 *
 * In the guest each of the four is a virtio-fs device, mounted before what --rw
 * and --ro name. Main thread; no VM exists yet.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/file.h"

static const struct {
	const char *path;
	mode_t mode;
} directory[] = {
	{ "etc", 0755 },
	{ "home", 0755 },
	{ "root", 0700 },
	{ "var", 0755 },
	{ "var/cache", 0755 },
	{ "var/lib", 0755 },
	{ "var/local", 0755 },
	{ "var/log", 0755 },
	{ "var/mail", 0755 },
	{ "var/opt", 0755 },
	{ "var/spool", 0755 },
	{ "var/tmp", 01777 },
};

/* The first four are the guest's own. */
#define NR_OWN 4

/* Where names are. Return: 0, or -EINVAL with a report */
static int setup_base(char *path, struct report *r)
{
	const char *data = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	int n;

	if (data && *data == '/')
		n = snprintf(path, DISCOVER_PATH, "%s/lkvm", data);
	else if (home && *home == '/')
		n = snprintf(path, DISCOVER_PATH, "%s/.local/share/lkvm", home);
	else
		return report_error(r, 0, "neither XDG_DATA_HOME nor HOME is set");
	return n >= DISCOVER_PATH ?
	       report_error(r, ENAMETOOLONG, "XDG_DATA_HOME") : 0;
}

static int setup_path(char *path, const char *name, struct report *r)
{
	int err = setup_base(path, r);
	size_t len;

	if (err)
		return err;
	len = strlen(path);
	return snprintf(path + len, DISCOVER_PATH - len, "/%s", name) >=
	       (int)(DISCOVER_PATH - len) ?
	       report_error(r, ENAMETOOLONG, "%s", name) : 0;
}

static int copy_bytes(int in, int out)
{
	static char buf[0x10000];
	int err = 0;
	ssize_t n;

	while (!err && (n = read(in, buf, sizeof(buf))) != 0) {
		if (n > 0)
			err = file_write_all(out, buf, n);
		else if (errno != EINTR)
			err = -errno;
	}
	return err;
}

/* What can only be read by some is not for a copy. */
static int copy_file(int from, int to, const char *name, mode_t mode)
{
	int in, out, err;

	if (!(mode & 0004))
		return 0;
	in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (in < 0)
		return errno == EACCES || errno == ENOENT ? 0 : -errno;
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		     mode & 0777);
	err = out < 0 ? -errno : copy_bytes(in, out);
	close(in);
	if (out >= 0 && close(out) < 0 && !err)
		err = -errno;
	return err;
}

static int copy_link(int from, int to, const char *name)
{
	char target[DISCOVER_PATH];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = 0;
	return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_tree(int from, int to);

static int copy_directory(int from, int to, const char *name, mode_t mode)
{
	int in, out = -1, err;

	in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0)
		return errno == EACCES || errno == ENOENT ? 0 : -errno;
	err = mkdirat(to, name, (mode & 0777) | 0700) < 0 ? -errno : 0;
	if (!err)
		out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!err && out < 0)
		err = -errno;
	if (err) {
		close(in);
		return err;
	}
	err = copy_tree(in, out);
	close(out);
	return err;
}

/* Takes @from, not @to */
static int copy_tree(int from, int to)
{
	DIR *list = fdopendir(from);
	struct dirent *e;
	struct stat st;
	int err = 0;

	if (!list) {
		close(from);
		return -ENOMEM;
	}
	while (!err && (e = readdir(list))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			err = copy_directory(from, to, e->d_name, st.st_mode);
		else if (S_ISLNK(st.st_mode))
			err = copy_link(from, to, e->d_name);
		else if (S_ISREG(st.st_mode))
			err = copy_file(from, to, e->d_name, st.st_mode);
	}
	closedir(list);
	return err;
}

static int copy_etc(int dir)
{
	int from = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int to = openat(dir, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = from < 0 || to < 0 ? -errno : 0;

	if (!err)
		err = copy_tree(from, to);
	else if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return err;
}

/* The user's own directory, which is to be there in the guest as well */
static int make_home(const char *path)
{
	const char *home = getenv("HOME");
	char own[2 * DISCOVER_PATH];

	if (!home || strncmp(home, "/home/", 6) || strstr(home, "/../"))
		return 0;
	if (snprintf(own, sizeof(own), "%s%s", path, home) >= DISCOVER_PATH)
		return -ENAMETOOLONG;
	return path_make(own, 0755);
}

static int setup_fill(const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = dir < 0 ? -errno : 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(directory) && !err; i++)
		if (mkdirat(dir, directory[i].path, 0700) < 0 ||
		    fchmodat(dir, directory[i].path, directory[i].mode, 0) < 0)
			err = -errno;
	if (!err && (symlinkat("/run", dir, "var/run") < 0 ||
		     symlinkat("/run/lock", dir, "var/lock") < 0))
		err = -errno;
	if (!err)
		err = copy_etc(dir);
	if (!err)
		err = make_home(path);
	if (dir >= 0)
		close(dir);
	return err;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int setup_make(const char *name, char *path, struct report *r)
{
	char part[DISCOVER_PATH + NAME_MAX];
	int err = setup_base(path, r);

	if (err)
		return err;
	err = path_make(path, 0700);
	if (err)
		return report_error(r, -err, "setup: %s", path);
	err = setup_path(path, name, r);
	if (err)
		return err;
	if (!access(path, F_OK))
		return report_error(r, EEXIST, "setup: %s", path);
	/* Under a name that is no guest's until all is there */
	snprintf(part, sizeof(part), "%.*s.%s.XXXXXX",
		 (int)(strlen(path) - strlen(name)), path, name);
	if (!mkdtemp(part))
		return report_error(r, errno, "setup: %s", path);
	/* Modes are those of what is copied. */
	umask(0);
	err = setup_fill(part);
	if (!err && rename(part, path) < 0)
		err = -errno;
	if (!err)
		return 0;
	nftw(part, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return report_error(r, -err, "setup: %s", path);
}

int cmd_setup(int argc, char **argv)
{
	char path[DISCOVER_PATH];
	struct report r = { "" };

	if (argc != 2 || argv[1][0] == '-')
		report_error(&r, 0, "setup: one NAME");
	else if (!name_is_good(argv[1]))
		report_error(&r, 0,
			     "setup: \"%s\" is not made of letters, digits and ._-",
			     argv[1]);
	else if (!setup_make(argv[1], path, &r))
		printf("%s\nlkvm run %s starts a shell in it.\n", path, argv[1]);
	if (!r.msg[0])
		return 0;
	return fail_report(&r);
}

static int own_share(struct run_options *o, const char *path,
		     const char *name, struct report *r)
{
	unsigned int i = o->nr_shares;
	char *own;

	if (i == MACHINE_MAX_SHARES)
		return report_error(r, 0, "%s: more than %d directories", path,
				    MACHINE_MAX_SHARES);
	if (asprintf(&own, "%s/%s", path, name) < 0)
		return report_error(r, ENOMEM, "%s", path);
	o->nr_shares++;
	snprintf(o->share_tag[i], sizeof(o->share_tag[i]), "own-%s", name);
	o->share_at[i] = own + strlen(path);
	o->share[i] = (struct machine_share){
		.path = own, .tag = o->share_tag[i],
	};
	return 0;
}

int setup_use(struct run_options *o, const char *name, struct report *r)
{
	char path[DISCOVER_PATH];
	int err;

	if (!name_is_good(name))
		return report_error(r, 0, "unexpected argument %s", name);
	err = setup_path(path, name, r);
	if (err)
		return err;
	if (access(path, F_OK))
		return report_error(r, 0,
				    "unexpected argument %s: nothing that lkvm setup made has that name",
				    name);
	if (o->initrd || o->root || o->root_disk)
		return report_error(r, 0,
				    "%s: --initrd, --root and --root-disk are other roots",
				    name);
	for (unsigned int i = 0; i < NR_OWN && !err; i++)
		err = own_share(o, path, directory[i].path, r);
	if (!o->name)
		o->name = name;
	o->shell = !o->command;
	o->own = true;
	return err;
}
