// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is left behind at the end.
 *
 * Theory of operation: the host takes the machine away once it has heard of the end,
 * so what is written by then is all there will be. Processes are killed: what they have
 * mapped of a share goes to the host as that ends, and they no longer keep the root from
 * becoming read-only. All else of a share is the host's at once, and sync() is not
 * called, because it would wait for whatever the host has to write on its own. Disks are
 * flushed one by one: each mount of one, and then each device, for what was written to
 * it as it is. If the names of these cannot be found, sync() is called after all.
 *
 * Neither what does not end by being killed nor a disk that does not answer is waited
 * for: a child flushes, for as long as pages are written.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/signal.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/time_types.h>
#include <linux/wait.h>

#include "init.h"
#include "sys.h"

/* How long processes may take to end, and disks to take a page */
#define END_MS 3000
#define WRITE_MS 30000

/* Pages that have been written since the start, as far as the kernel says it */
static u64 pages_written(void)
{
	char text[4096];
	const char *n;

	if (file_read("/proc/vmstat", text, sizeof(text)) <= 0)
		return 0;
	for (const char *at = text; *at; at++) {
		n = text_after(at, "nr_written ");
		if (n)
			return text_number(n);
	}
	return 0;
}

/*
 * What waits for a device does not end by being killed. Return: whether @pid, or
 * all children for -1, ended before @ms had passed without a page written
 */
static bool children_end(int pid, unsigned int ms)
{
	struct __kernel_timespec t = { .tv_nsec = 100000000 };
	u64 chld = 1ULL << (SIGCHLD - 1), since = sys_now_ms(), last = 0, now;
	int got;

	while (sys_now_ms() - since < ms) {
		do {
			got = sys_wait4(pid, NULL, WNOHANG);
		} while (got > 0);
		if (got)
			return true;
		if (SYS(__NR_rt_sigtimedwait, (long)&chld, 0, (long)&t,
			sizeof(chld)) != -EAGAIN)
			continue;
		now = pages_written();
		if (now != last)
			since = sys_now_ms();
		last = now;
	}
	return false;
}

/* Whether something was not where its name says */
static bool missed;

static bool disk_flush(const char *name)
{
	char path[64];
	int fd = sys_open(text_join(path, sizeof(path), "/dev/", name, NULL),
			  O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);

	if (fd >= 0) {
		sys_ioctl(fd, BLKFLSBUF, NULL);
		sys_close(fd);
	}
	missed |= fd == -ENOENT;
	return false;
}

/* Of the line "DEVICE DIRECTORY TYPE..." of a disk */
static void mount_flush(char *line)
{
	char *dir, *end;
	int fd;

	if (!text_after(line, "/dev/"))
		return;
	for (dir = line; *dir && *dir != ' '; dir++)
		;
	dir += *dir == ' ';
	for (end = dir; *end && *end != ' '; end++)
		;
	*end = 0;
	fd = sys_open(dir, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0 || SYS(__NR_syncfs, fd))
		missed = true;
	if (fd >= 0)
		sys_close(fd);
}

static void mounts_flush(void)
{
	static char list[0x8000];
	long len = file_read("/proc/mounts", list, sizeof(list));

	/* One that is full may have been cut. */
	missed |= len <= 0 || len == sizeof(list) - 1;
	for (char *line = list, *end; len > 0 && *line; line = end + 1) {
		for (end = line; *end && *end != '\n'; end++)
			;
		if (!*end)
			break;
		*end = 0;
		mount_flush(line);
	}
}

static void flush(void)
{
	missed = !dir_find("/sys/class/", NULL);
	mounts_flush();
	dir_find("/sys/class/block/", disk_flush);
	if (missed)
		SYS(__NR_sync);
}

bool root_settle(const struct config *c)
{
	bool disk = c->root && text_after(c->root, "disk:"), ended;
	int pid;

	sys_kill(-1, SIGKILL);
	ended = children_end(-1, END_MS);
	if (!disk && dir_find("/sys/class/", NULL) && !dir_find("/sys/class/block/", NULL))
		return ended;
	pid = SYS(__NR_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid <= 0) {
		flush();
		if (disk)
			sys_mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	}
	if (!pid)
		sys_exit(0);
	return children_end(pid, ended ? WRITE_MS : END_MS) && ended;
}
