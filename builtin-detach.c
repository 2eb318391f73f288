// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm run --detach.
 *
 * Theory of operation: the process forks before anything is made. The child is
 * the VM, in a session of its own, without a terminal; what it would have printed
 * goes to a file in the directory of the control sockets. The parent waits at a
 * pipe for one word of it: that the guest is up, or why it is not, with the status.
 * Up is a guest whose CPUs run; with a command, that this has been started. A child
 * that goes without a word has failed, too.
 *
 * The file stays when the VM has ended, to be read then. Those of VMs that were
 * given no name would only ever become more: of them the newest few are kept when
 * one more is made. The socket of a VM is there before its file is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/control-path.h"

#define LOGS_KEPT 16

/** struct word - what the child says; @status is 0 for "up" */
struct word {
	int status;
	char text[512];
};

static void parent(int fd)
{
	struct word w = { 0 };
	size_t len = 0;
	ssize_t n;

	do {
		n = read(fd, (u8 *)&w + len, sizeof(w) - len);
		len += MAX(n, 0);
	} while (len < sizeof(w) && (n > 0 || (n < 0 && errno == EINTR)));
	if (len < sizeof(w)) {
		fprintf(stderr, "lkvm: the VM's process died before it was up\n");
		exit(STATUS_ERROR);
	}
	if (!w.status)
		printf("%s\n", w.text);
	else if (w.text[0])
		fprintf(stderr, "lkvm: %s\n", w.text);
	exit(w.status);
}

int detach_begin(int *fd, struct report *r)
{
	int p[2], null;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return report_error(r, errno, "pipe");
	pid = fork();
	if (pid < 0)
		return report_error(r, errno, "fork");
	if (pid) {
		close(p[1]);
		parent(p[0]);
	}
	close(p[0]);
	*fd = p[1];
	setsid();
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return report_error(r, errno, "/dev/null");
	close(null);
	return 0;
}

/** struct old_log - what a VM without a name has left */
struct old_log {
	u64 time;
	int pid;
};

static int newest_first(const void *a, const void *b)
{
	const struct old_log *x = a, *y = b;

	return (x->time < y->time) - (x->time > y->time);
}

static bool is_old_log(int dir, const char *name, struct old_log *l)
{
	char socket[32];
	struct stat st;
	int end = 0;

	if (sscanf(name, "guest-%d.log%n", &l->pid, &end) != 1 || !end ||
	    name[end] || l->pid < 1)
		return false;
	snprintf(socket, sizeof(socket), "guest-%d" CONTROL_SUFFIX, l->pid);
	if (!faccessat(dir, socket, F_OK, 0) ||
	    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	l->time = (u64)st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec;
	return S_ISREG(st.st_mode);
}

/* Whatever fails here is no reason not to run. */
static void logs_trim(const char *path)
{
	struct old_log *log = NULL;
	DIR *d = opendir(path);
	struct dirent *e;
	size_t nr = 0;
	char name[32];

	while (d && (e = readdir(d))) {
		struct old_log *more = realloc(log, (nr + 1) * sizeof(*log));

		if (!more)
			break;
		log = more;
		nr += is_old_log(dirfd(d), e->d_name, &log[nr]);
	}
	if (nr)
		qsort(log, nr, sizeof(*log), newest_first);
	for (size_t i = LOGS_KEPT; i < nr; i++) {
		snprintf(name, sizeof(name), "guest-%d.log", log[i].pid);
		unlinkat(dirfd(d), name, 0);
	}
	free(log);
	if (d)
		closedir(d);
}

int detach_output(const struct vm_control *v, char *path, size_t size,
		  struct report *r)
{
	int fd, err = 0;

	logs_trim(v->dir);
	snprintf(path, size, "%s/%s.log", v->dir, v->config->machine.name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC |
		  O_NOFOLLOW, 0600);
	if (fd < 0)
		return report_error(r, errno, "log %s", path);
	if (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		err = report_error(r, errno, "log %s", path);
	close(fd);
	return err;
}

void detach_say(int *fd, int status, const char *fmt, ...)
{
	struct word w = { .status = status };
	va_list ap;

	if (*fd < 0)
		return;
	va_start(ap, fmt);
	vsnprintf(w.text, sizeof(w.text), fmt, ap);
	va_end(ap);
	/* Who has started us may be gone; the VM is none of his any more. */
	if (write(*fd, &w, sizeof(w)) < 0)
		w.status = errno;
	close(*fd);
	*fd = -1;
}
