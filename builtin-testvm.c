// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual machine of lkvm test.
 *
 * Theory of operation: each is a process that becomes "lkvm run", so that streams,
 * statuses and the end of a VM are what they are there. The kernel's log, lkvm's
 * messages and the status are files of a directory that the VM has for itself.
 *
 * One that is out of time is asked where its tasks and CPUs are by SysRq on the
 * console, and by an NMI to each CPU, which no kernel is deaf to: one that cannot tell
 * what that was panics. The registers are kept before, since pvpanic may end the
 * machine before the console has the backtrace. Then it is ended. Main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builtin-test.h"
#include "lkvm.h"

#define ARGS_MAX (TEST_MAX_ARGS + 40)
#define ASK_MS 1000

static int pipes_open(int in[2], int out[2])
{
	if (pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(out, O_CLOEXEC) == 0)
		return 0;
	close(in[0]);
	close(in[1]);
	return -errno;
}

/* In the child */
static void __attribute((noreturn)) child_exec(const char *dir, int in, int out,
					       const char **argv)
{
	char path[TEST_PATH + 16];
	sigset_t none;
	int err;

	snprintf(path, sizeof(path), "%s/lkvm.log", dir);
	err = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	/* A group of its own: ^C is for us to act on. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (err < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(STATUS_ERROR);
	execv("/proc/self/exe", (char *const *)argv);
	_exit(STATUS_ERROR);
}

int child_start(struct test_child *c, const struct test_run *run,
		const char *dir, const char *const *args, bool pipes,
		struct report *r)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, null = -1;
	char log[TEST_PATH + 16], status[TEST_PATH + 16];
	const char *argv[ARGS_MAX] = {
		"lkvm", "run", "-k", run->kernel, "--log", log, "--status", status,
	};
	unsigned int n = 8;
	int err;

	snprintf(log, sizeof(log), "%s/kernel.log", dir);
	snprintf(status, sizeof(status), "%s/status", dir);
	for (unsigned int i = 0; i < run->o.nr_args; i++)
		argv[n++] = run->o.arg[i];
	while (*args && n < ARGS_MAX - 1)
		argv[n++] = *args++;
	if (pipes)
		err = pipes_open(in, out);
	else
		err = (null = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0 ?
		      -errno : 0;
	if (err)
		return report_error(r, -err, "pipe");
	c->pid = fork();
	if (!c->pid)
		child_exec(dir, pipes ? in[0] : null, pipes ? out[1] : null,
			   argv);
	err = c->pid < 0 ? report_error(r, errno, "fork") : 0;
	close(pipes ? in[0] : null);
	if (pipes)
		close(out[1]);
	c->in = in[1];
	c->out = out[0];
	return err;
}

/* The last line that lkvm said, without "lkvm: " */
static void read_text(const char *dir, struct test_end *end)
{
	char path[TEST_PATH + 16], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/lkvm.log", dir);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "lkvm: ", 6))
			snprintf(end->text, sizeof(end->text), "%.250s",
				 line + 6);
	}
	if (f)
		fclose(f);
}

void child_wait(struct test_child *c, const char *dir, struct test_end *end)
{
	int status = 0;

	memset(end, 0, sizeof(*end));
	if (c->in >= 0)
		close(c->in);
	if (c->out >= 0)
		close(c->out);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	end->status = WIFEXITED(status) ? WEXITSTATUS(status) :
		      128 + WTERMSIG(status);
	read_text(dir, end);
	if (!end->text[0])
		snprintf(end->text, sizeof(end->text), "lkvm ended with %d",
			 end->status);
	c->pid = 0;
	c->in = -1;
	c->out = -1;
}

/* What an NMI has printed may be lost with a panic in the middle of it. */
static void keep_registers(struct lkvm *l, const char *dir)
{
	char path[TEST_PATH + 16], *ok = NULL;
	FILE *f;

	if (!dir || lkvm_call(l, "debug.regs", NULL, ASK_MS, &ok))
		return;
	snprintf(path, sizeof(path), "%s/registers.json", dir);
	f = fopen(path, "we");
	if (f) {
		fprintf(f, "%s\n", ok);
		fclose(f);
	}
	free(ok);
}

/* A VM that is not heard of; it may be deaf itself, or have no control socket. */
static void ask_where(pid_t pid, bool nmi, const char *dir)
{
	static const char *const keys[] = { "{\"key\":\"w\"}", "{\"key\":\"l\"}" };
	char text[32];
	struct lkvm *l;

	snprintf(text, sizeof(text), "guest-%d", (int)pid);
	if (lkvm_connect(&l, text))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(keys) && !nmi; i++)
		lkvm_call(l, "debug.sysrq", keys[i], ASK_MS, NULL);
	if (nmi)
		keep_registers(l, dir);
	for (unsigned int i = 0; nmi; i++) {
		snprintf(text, sizeof(text), "{\"cpu\":%u}", i);
		nmi = !lkvm_call(l, "debug.nmi", text, ASK_MS, NULL);
	}
	lkvm_close(l);
}

/* Of two signals the second one ends a machine, and SIGKILL any. */
unsigned int child_overdue(const struct test_child *c, unsigned int step,
			   const char *dir)
{
	static const struct {
		int signal;
		unsigned int ms;
	} steps[] = {
		{ 0, 3000 }, { 0, 5000 }, { SIGTERM, 500 }, { SIGTERM, 10000 },
		{ SIGKILL, 10000 },
	};

	step = MIN(step, (unsigned int)ARRAY_SIZE(steps) - 1);
	if (steps[step].signal)
		kill(c->pid, steps[step].signal);
	else
		ask_where(c->pid, step, dir);
	return steps[step].ms;
}
