// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the command sees as its file system.
 *
 * Theory of operation: the kernel starts init in the initramfs, which the user's
 * own initrd may have filled. "root=" of the configuration chooses: "initramfs"
 * stays there; "disk:DEVICE[,ro]" mounts a disk with whichever of the kernel's
 * file systems takes it; "auto" looks for a virtio-fs device with the tag of the
 * host's root, or else one of 9P, and lays an overlay over the whole of it, whose upper layer is a
 * tmpfs, and stays in the initramfs when there is no such device. A new root is
 * moved over the old one, as switch_root does.
 *
 * A kernel that lacks one of the small file systems costs what needs it and is
 * a note to the user; a root that cannot be had is an error. A directory of the
 * host's user may be anywhere, in /tmp as well, so nothing is mounted over a
 * directory of the host's root but what belongs to a kernel: /proc, /sys, /dev,
 * /run.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <linux/time_types.h>

#include "init.h"
#include "sys.h"

#define NEW_ROOT "/lkvm/root"
#define LOWER "/lkvm/lower"
/*
 * Shared mappings can be written to; all else is the host's to see by close(). A kernel
 * without 9P_FS_POSIX_ACL ignores the last one.
 */
#define P9_OPTIONS "trans=virtio,version=9p2000.L,msize=512000,cache=mmap,posixacl"
#define UPPER "/lkvm/rw"
/* The kernel's own 128 KiB are for disks: here a request costs more than its bytes. */
#define READ_AHEAD_KB "1024"

/* For a kernel without devtmpfs */
static const struct {
	const char *path;
	u16 mode;
	u8 major;
	u8 minor;
} node[] = {
	{ "dev/null", 0666, 1, 3 },
	{ "dev/zero", 0666, 1, 5 },
	{ "dev/full", 0666, 1, 7 },
	{ "dev/random", 0666, 1, 8 },
	{ "dev/urandom", 0666, 1, 9 },
	{ "dev/tty", 0666, 5, 0 },
	{ "dev/console", 0600, 5, 1 },
	{ "dev/ptmx", 0666, 5, 2 },
	{ "dev/kmsg", 0600, 1, 11 },
	/* The console, and the port where there is no other */
	{ "dev/ttyS0", 0600, 4, 64 },
	{ "dev/ttyS1", 0600, 4, 65 },
};

static int mount_dir(const char *type, const char *path, unsigned long flags,
		     const char *data)
{
	sys_mkdir(path, 0755);
	return sys_mount(type, path, type, flags, data);
}

static void mount_dev(void)
{
	int err = mount_dir("devtmpfs", "dev", MS_NOSUID, "mode=0755");

	/* EBUSY: the kernel has done it */
	if (!err || err == -EBUSY)
		return;
	mount_dir("tmpfs", "dev", MS_NOSUID, "mode=0755");
	for (unsigned int i = 0; i < ARRAY_SIZE(node); i++)
		SYS(__NR_mknodat, -100, (long)node[i].path,
		    NODE_CHAR | node[i].mode, node[i].major << 8 | node[i].minor);
}

/* All of it below the current directory, which is the root or to be it */
static void mount_kernel(void)
{
	mount_dir("proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_dir("sysfs", "sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_dev();
	SYS(__NR_umask, 0);
}

static void mount_rest(bool host_root, struct notes *n)
{
	if (mount_dir("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC,
		      "mode=0620,ptmxmode=0666,gid=5"))
		note(n, "the kernel has no UNIX98_PTYS: no terminals", NULL, NULL);
	mount_dir("tmpfs", "dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
	sys_symlink("/proc/self/fd", "dev/fd");
	sys_symlink("/proc/self/fd/0", "dev/stdin");
	sys_symlink("/proc/self/fd/1", "dev/stdout");
	sys_symlink("/proc/self/fd/2", "dev/stderr");
	mount_dir("tmpfs", "run", MS_NOSUID | MS_NODEV, "mode=0755");
	sys_mkdir("tmp", 01777);
	if (!host_root)
		mount_dir("tmpfs", "tmp", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_dir("debugfs", "sys/kernel/debug", 0, NULL);
	mount_dir("tracefs", "sys/kernel/tracing", 0, NULL);
	mount_dir("cgroup2", "sys/fs/cgroup", 0, NULL);
}

void root_early(void)
{
	sys_chdir("/");
	mount_kernel();
}

static void pause_ms(unsigned int ms)
{
	struct __kernel_timespec t = { .tv_nsec = ms * 1000000LL };

	SYS(__NR_nanosleep, (long)&t, 0);
}

/* With each file system that the kernel has for block devices */
static int mount_disk(const char *dev, unsigned long flags)
{
	char list[2048];
	long len = file_read("/proc/filesystems", list, sizeof(list));
	int err = -ENODEV;

	for (char *line = list, *end; len > 0 && *line; line = end + 1) {
		for (end = line; *end && *end != '\n'; end++)
			;
		if (!*end)
			break;
		*end = 0;
		if (*line++ != '\t')
			continue;
		err = sys_mount(dev, NEW_ROOT, line, flags, NULL);
		if (!err || (err != -EINVAL && err != -EUCLEAN))
			break;
	}
	return err;
}

static int root_disk(const char *spec)
{
	unsigned long flags = 0;
	char dev[64];
	size_t i = 0;

	for (; spec[i] && spec[i] != ',' && i < sizeof(dev) - 1; i++)
		dev[i] = spec[i];
	dev[i] = 0;
	if (text_equal(spec + i, ",ro"))
		flags = MS_RDONLY;
	/* A driver that is a module finds its device a little later. */
	for (unsigned int n = 0; n < 500; n++) {
		if (SYS(__NR_faccessat, -100, (long)dev, 0) != -ENOENT)
			break;
		pause_ms(10);
	}
	sys_mkdir(NEW_ROOT, 0755);
	return mount_disk(dev, flags);
}

static void read_ahead(const char *path)
{
	char file[64], major[12], minor[12];
	struct statx s;

	if (SYS(__NR_statx, -100, (long)path, AT_STATX_DONT_SYNC, 0, (long)&s))
		return;
	text_join(file, sizeof(file), "/sys/class/bdi/",
		  text_decimal(major, s.stx_dev_major), ":");
	text_join(file + strlen(file), sizeof(file) - strlen(file),
		  text_decimal(minor, s.stx_dev_minor), "/read_ahead_kb", NULL);
	file_write(file, READ_AHEAD_KB);
}

/*
 * By virtio-fs, or else by 9P. Return: 0, 1 for 9P; -ENODEV when there is no such
 * device or no such file system
 */
static int mount_tag(const char *tag, const char *path, unsigned long flags)
{
	int err = sys_mount(tag, path, "virtiofs", flags, NULL);

	if (err == -ENODEV || err == -EINVAL)
		err = sys_mount(tag, path, "9p", flags, P9_OPTIONS) ? -ENODEV : 1;
	if (!err)
		read_ahead(path);
	return err;
}

/* The guest's / is that layer's. */
static void make_upper(void)
{
	struct statx s;

	sys_mkdir(UPPER "/work", 0755);
	sys_mkdir(UPPER "/upper", 0755);
	if (SYS(__NR_statx, -100, (long)LOWER, 0, STATX_BASIC_STATS, (long)&s))
		return;
	SYS(__NR_fchownat, -100, (long)UPPER "/upper", s.stx_uid, s.stx_gid, 0);
	SYS(__NR_fchmodat, -100, (long)UPPER "/upper", s.stx_mode & 07777);
}

static int root_host(struct notes *n)
{
	const char *lacks = "the kernel has no TMPFS";
	int err;

	sys_mkdir(LOWER, 0755);
	sys_mkdir(NEW_ROOT, 0755);
	err = mount_tag(GUEST_PROTO_ROOT_TAG, LOWER, MS_RDONLY);
	if (err < 0)
		return err;
	if (err)
		note(n, "the kernel has no VIRTIO_FS: directories are mounted by 9P",
		     NULL, NULL);
	err = mount_dir("tmpfs", UPPER, 0, "mode=0755");
	if (!err) {
		make_upper();
		lacks = "the kernel has no OVERLAY_FS";
		err = sys_mount("overlay", NEW_ROOT, "overlay", 0,
				"lowerdir=" LOWER ",upperdir=" UPPER
				"/upper,workdir=" UPPER "/work");
	}
	if (!err)
		return 0;
	note(n, err == -ENODEV ? lacks : text_errno(-err), ": the root is read-only", NULL);
	return sys_mount(LOWER, NEW_ROOT, NULL, MS_MOVE, NULL);
}

/* From the initramfs to what is mounted at NEW_ROOT */
static int root_switch(void)
{
	int err = sys_chdir(NEW_ROOT);

	if (err)
		return err;
	mount_kernel();
	err = sys_mount(".", "/", NULL, MS_MOVE, NULL);
	if (!err)
		err = sys_chroot(".");
	return err ? err : sys_chdir("/");
}

const char *root_setup(const struct config *c, struct notes *n, int *err)
{
	const char *spec = c->root ? c->root : "auto";
	const char *disk = text_after(spec, "disk:");
	bool host = false;

	*err = 0;
	if (disk) {
		*err = root_disk(disk);
		if (*err)
			return disk;
	} else if (text_equal(spec, "auto")) {
		*err = root_host(n);
		host = !*err;
		if (*err && *err != -ENODEV)
			return GUEST_PROTO_ROOT_TAG;
		if (*err)
			note(n, "the kernel has no VIRTIO_FS: the root is empty",
			     NULL, NULL);
	}
	if (disk || host) {
		*err = root_switch();
		if (*err)
			return "/";
	}
	*err = 0;
	mount_rest(host, n);
	if (c->hostname)
		SYS(__NR_sethostname, (long)c->hostname, strlen(c->hostname));
	return NULL;
}

/* All of it, as far as it is not there */
static void make_path(const char *path)
{
	char part[PATH_BYTES];

	for (size_t n = 0; path[n] && n < sizeof(part) - 1; n++) {
		part[n] = path[n];
		part[n + 1] = 0;
		if (path[n + 1] == '/' || !path[n + 1])
			sys_mkdir(part, 0755);
	}
}

const char *root_shares(const struct config *c, struct notes *notes, int *err)
{
	char tag[64];

	for (unsigned int i = 0; i < c->nr_shares; i++) {
		const char *s = c->share[i];
		size_t n = 0;

		for (; s[n] && s[n] != ':' && n < sizeof(tag) - 1; n++)
			tag[n] = s[n];
		tag[n] = 0;
		if (s[n] != ':')
			continue;
		make_path(s + n + 1);
		*err = mount_tag(tag, s + n + 1,
				 c->share_ro[i] ? MS_RDONLY : 0);
		if (*err == -ENODEV)
			note(notes, "the kernel has no VIRTIO_FS, and no 9P_FS: no directories",
			     NULL, NULL);
		if (*err < 0)
			return s + n + 1;
		*err = 0;
	}
	return NULL;
}

/* Return: why it cannot be loaded, also if that is that it is not compressed at all */
static long module_unpacked(int fd)
{
	/* Flag 4: the kernel decompresses it. */
	long err = SYS(__NR_finit_module, fd, (long)"", 4);

	return err == -EINVAL || err == -EOPNOTSUPP ? -ENOEXEC : err;
}

/* The file's name is freed with it: the initramfs is memory. */
void modules_load(const struct config *c, struct notes *n)
{
	for (unsigned int i = 0; i < c->nr_modules; i++) {
		const char *path = c->module[i];
		long fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
		long err = fd;

		if (fd >= 0) {
			err = SYS(__NR_finit_module, fd, (long)"", 0);
			if (err == -ENOEXEC)
				err = module_unpacked(fd);
			sys_close(fd);
			sys_unlink(path);
		}
		if (err < 0 && err != -EEXIST)
			note(n, path, ": cannot be loaded: ", text_errno(-err));
	}
}
