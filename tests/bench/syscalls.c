// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the system calls of a program, between lines that it prints.
 *
 *   syscalls COMMAND [ARG...]
 *
 * Theory of operation: perf events on tracepoints of system calls, inherited
 * by the command, its threads and children; that costs far less than stopping
 * at each call, which would change what is counted. The command's standard
 * output is passed on; to each line that begins with "MARK" the counts so far
 * are added, all calls first and then those of interest. The command's status
 * is ours. Needs root, or a low kernel.perf_event_paranoid.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/perf_event.h>
#include <linux/types.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NR_EVENTS ARRAY_SIZE(events)

static const struct {
	const char *name;
	const char *tracepoint;
} events[] = {
	{ "all", "raw_syscalls/sys_enter" },
	{ "io_uring_enter", "syscalls/sys_enter_io_uring_enter" },
	{ "ioctl", "syscalls/sys_enter_ioctl" },
	{ "write", "syscalls/sys_enter_write" },
	{ "read", "syscalls/sys_enter_read" },
	{ "ppoll", "syscalls/sys_enter_ppoll" },
	{ "futex", "syscalls/sys_enter_futex" },
};

static void die(const char *what)
{
	fprintf(stderr, "syscalls: %s: %m\n", what);
	exit(125);
}

static int tracepoint_id(const char *name)
{
	static const char *const dir[] = {
		"/sys/kernel/tracing/events",
		"/sys/kernel/debug/tracing/events",
	};
	char path[160];
	int id = -1;

	for (int i = 0; i < 2 && id < 0; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s/id", dir[i], name);
		f = fopen(path, "re");
		if (f && fscanf(f, "%d", &id) != 1)
			id = -1;
		if (f)
			fclose(f);
	}
	return id;
}

static int event_open(const char *tracepoint)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_TRACEPOINT,
		.disabled = 1,
		.inherit = 1,
		.enable_on_exec = 1,
	};
	int id = tracepoint_id(tracepoint);
	int fd;

	if (id < 0)
		die(tracepoint);
	attr.config = id;
	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1,
		     PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		die("perf_event_open");
	return fd;
}

static void print_counts(const int *fd)
{
	for (unsigned int i = 0; i < NR_EVENTS; i++) {
		__u64 n = 0;

		if (read(fd[i], &n, sizeof(n)) != sizeof(n))
			die("perf event");
		printf(" %s=%llu", events[i].name, (unsigned long long)n);
	}
}

static void pass_on(FILE *in, const int *fd)
{
	char line[4096];

	while (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\r\n")] = 0;
		fputs(line, stdout);
		if (!strncmp(line, "MARK", 4))
			print_counts(fd);
		putchar('\n');
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	int fd[NR_EVENTS], out[2], status;
	pid_t pid;

	if (argc < 2) {
		fprintf(stderr, "usage: syscalls COMMAND [ARG...]\n");
		return 125;
	}
	for (unsigned int i = 0; i < NR_EVENTS; i++)
		fd[i] = event_open(events[i].tracepoint);
	if (pipe2(out, O_CLOEXEC) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		dup2(out[1], STDOUT_FILENO);
		execvp(argv[1], argv + 1);
		die(argv[1]);
	}
	close(out[1]);
	pass_on(fdopen(out[0], "r"), fd);
	if (waitpid(pid, &status, 0) < 0)
		die("wait");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
