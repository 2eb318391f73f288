// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * A network without being root: passt(1) is started with one end of a socket
 * pair, and is the router, DHCP, NDP and DNS server of the guest; it talks to
 * the world through ordinary sockets. Frames go over the other end, as
 * net/stream.c has them.
 *
 * passt goes into the background by itself once it is ready, and ends when our
 * end of the pair is closed, however that comes about. What it says until then
 * is collected in a file of memory, which never makes it wait: its end is the
 * reason when it fails. Afterwards nothing of it is known here; when it dies the
 * stream ends, and the guest sees its link go down.
 *
 * By default passt gives the guest the host's loopback at the address of the
 * gateway. Services there are not meant for guests, so this is off unless
 * asked for. Runs on the main thread, before the VM exists.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/close_range.h>

#include "kvm/net.h"
#include "kvm/thread.h"

#define PASST_FD 3
#define PASST_MTU 65520
#define SAID_MAX 4095
#define MAX_ARGS (16 + 2 * NET_MAX_FORWARDS)

/** struct args - of passt; @fd and @mtu are the text of numbers */
struct args {
	const char *argv[MAX_ARGS];
	unsigned int nr;
	char mtu[16];
};

static void add(struct args *a, const char *word)
{
	a->argv[a->nr++] = word;
	a->argv[a->nr] = NULL;
}

static void make_args(struct args *a, const struct net_opts *o)
{
	add(a, "passt");
	add(a, "--quiet");
	add(a, "--fd");
	add(a, "3");
	if (!o->hostgw)
		add(a, "--no-map-gw");
	if (o->mtu) {
		snprintf(a->mtu, sizeof(a->mtu), "%u", o->mtu);
		add(a, "--mtu");
		add(a, a->mtu);
	}
	for (unsigned int i = 0; i < o->nr_forwards; i++) {
		add(a, *o->forward[i] == 't' ? "-t" : "-u");
		add(a, o->forward[i] + 4);
	}
}

static int spawn(const struct args *a, int fd, int said, pid_t *pid)
{
	posix_spawn_file_actions_t acts;
	int err = posix_spawn_file_actions_init(&acts);

	if (err)
		return err;
	/* What we were handed is for devices. Linux before 5.11 knows no such flag. */
	syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	/* Out of the way of the numbers that are about to be used. */
	err = posix_spawn_file_actions_addopen(&acts, 0, "/dev/null", O_RDWR,
					       0);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&acts, said, 1);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&acts, said, 2);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&acts, fd, PASST_FD);
	if (!err)
		err = process_spawn(pid, "passt", &acts,
				    (char *const *)a->argv);
	posix_spawn_file_actions_destroy(&acts);
	return err;
}

/* The line that counts: the last that is not about the system's log. */
static void last_line(char *text)
{
	char *rest = text, *best = NULL, *line;

	while ((line = strsep(&rest, "\n"))) {
		if (*line && !strstr(line, "to syslog"))
			best = line;
	}
	if (best)
		memmove(text, best, strlen(best) + 1);
	else
		*text = 0;
}

/* Until the process that was started is done: passt is ready, or has failed. */
static int wait_ready(pid_t pid, int said, struct report *r)
{
	int status = process_wait(pid);
	char text[SAID_MAX + 1];
	ssize_t n;

	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOENT;
	n = pread(said, text, SAID_MAX, MAX(lseek(said, 0, SEEK_END) - SAID_MAX, 0));
	text[MAX(n, 0)] = 0;
	last_line(text);
	return report_error(r, 0, "network user: passt failed: %.300s",
			    *text ? text : "it said nothing");
}

static int passt_start(const struct args *a, int fd, struct report *r)
{
	int said = memfd_create("lkvm-passt", MFD_CLOEXEC), err;
	pid_t pid;

	if (said < 0)
		return report_error(r, errno, "network user: memfd");
	err = -spawn(a, fd, said, &pid);
	if (!err)
		err = wait_ready(pid, said, r);
	else if (err != -ENOENT)
		report_error(r, -err, "network user: cannot run passt");
	if (err == -ENOENT)
		err = report_error(r, 0,
				   "network user: passt is missing: install package passt");
	close(said);
	return err;
}

int net_passt_open(struct net_backend **out, const struct net_opts *o,
		   struct report *r)
{
	struct args a = { .nr = 0 };
	int fd[2], err;

	make_args(&a, o);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return report_error(r, errno, "network user: socketpair");
	err = passt_start(&a, fd[1], r);
	close(fd[1]);
	if (!err)
		err = net_stream_adopt(out, fd[0], "passt", r);
	if (err) {
		close(fd[0]);
		return err;
	}
	(*out)->info.mtu = PASST_MTU;
	return 0;
}
