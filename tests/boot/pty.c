// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drives a program on a pseudo-terminal, as a person at a terminal would.
 *
 *	pty SECONDS STEP... -- COMMAND [ARG...]
 *
 * Steps are carried out in order; each has SECONDS:
 *
 *	expect:TEXT	wait until the program has printed TEXT
 *	send:TEXT	type TEXT; \r, \n, \\ and \xHH are understood
 *	resize:COLSxROWS
 *	signal:NUMBER	to the program
 *
 * Then the program is waited for. What it printed goes to stdout. On stderr
 * there is one line, "status N tty same" or "status N tty changed": N is
 * the exit status (128 and the signal if one ended it), and the rest says
 * whether the terminal is in the mode in which the program found it.
 *
 * Theory of operation: one thread, the master side is polled. The slave side is
 * held open here, so that its mode can be read after the program is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SEEN_MAX 0x100000

struct pty {
	int master;
	int slave;
	pid_t pid;
	int seconds;
	size_t len;
	size_t from;
	char seen[SEEN_MAX];
};

static void fail(const char *what, const char *which)
{
	fprintf(stderr, "pty: %s %s\n", what, which);
	exit(99);
}

/* What there is to read within @ms. Return: false when the program is gone. */
static int pty_pump(struct pty *p, int ms)
{
	struct pollfd fd = { .fd = p->master, .events = POLLIN };
	char d[4096];
	ssize_t n;

	if (poll(&fd, 1, ms) <= 0)
		return 1;
	n = read(p->master, d, sizeof(d));
	if (n <= 0)
		return 0;
	if (write(STDOUT_FILENO, d, n) != n)
		fail("cannot write", "stdout");
	if (p->len + n < sizeof(p->seen)) {
		memcpy(p->seen + p->len, d, n);
		p->len += n;
		p->seen[p->len] = 0;
	}
	return 1;
}

static void pty_expect(struct pty *p, const char *text)
{
	time_t end = time(NULL) + p->seconds;

	while (time(NULL) < end) {
		char *at = memmem(p->seen + p->from, p->len - p->from, text,
				  strlen(text));

		if (at) {
			p->from = at - p->seen + strlen(text);
			return;
		}
		pty_pump(p, 100);
	}
	kill(p->pid, SIGKILL);
	fail("never saw", text);
}

static void pty_send(struct pty *p, const char *text)
{
	for (; *text; text++) {
		char c = *text;

		if (c == '\\') {
			c = *++text;
			if (c == 'r') {
				c = '\r';
			} else if (c == 'n') {
				c = '\n';
			} else if (c == 'x') {
				char hex[3] = { text[1], text[2], 0 };

				c = strtoul(hex, NULL, 16);
				text += 2;
			}
		}
		if (write(p->master, &c, 1) != 1)
			fail("cannot type", text);
	}
}

static void pty_resize(struct pty *p, const char *size)
{
	unsigned short cols, rows;
	struct winsize w = { 0 };

	if (sscanf(size, "%hux%hu", &cols, &rows) != 2)
		fail("bad size", size);
	w.ws_col = cols;
	w.ws_row = rows;
	if (ioctl(p->master, TIOCSWINSZ, &w) < 0)
		fail("cannot resize to", size);
}

static void pty_step(struct pty *p, const char *step)
{
	if (!strncmp(step, "expect:", 7))
		pty_expect(p, step + 7);
	else if (!strncmp(step, "send:", 5))
		pty_send(p, step + 5);
	else if (!strncmp(step, "resize:", 7))
		pty_resize(p, step + 7);
	else if (!strncmp(step, "signal:", 7))
		kill(p->pid, atoi(step + 7));
	else
		fail("no such step:", step);
}

static int pty_wait(struct pty *p)
{
	time_t end = time(NULL) + p->seconds;
	int status;

	while (waitpid(p->pid, &status, WNOHANG) == 0) {
		if (time(NULL) >= end) {
			kill(p->pid, SIGKILL);
			fail("it did not", "end");
		}
		pty_pump(p, 50);
	}
	while (p->len < sizeof(p->seen) && pty_pump(p, 50)) {
		struct pollfd fd = { .fd = p->master, .events = POLLIN };

		if (poll(&fd, 1, 0) <= 0)
			break;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   128 + WTERMSIG(status);
}

static void pty_start(struct pty *p, char **argv)
{
	p->pid = fork();
	if (p->pid < 0)
		fail("cannot", "fork");
	if (p->pid)
		return;
	setsid();
	if (ioctl(p->slave, TIOCSCTTY, 0) < 0)
		_exit(98);
	dup2(p->slave, 0);
	dup2(p->slave, 1);
	dup2(p->slave, 2);
	execvp(argv[0], argv);
	_exit(127);
}

int main(int argc, char **argv)
{
	static struct pty p;
	struct winsize w = { .ws_col = 80, .ws_row = 24 };
	struct termios before, after;
	int command = 2, status;

	while (command < argc && strcmp(argv[command], "--"))
		command++;
	if (command + 1 >= argc)
		fail("usage:", "pty SECONDS STEP... -- COMMAND");
	p.seconds = atoi(argv[1]);
	if (openpty(&p.master, &p.slave, NULL, NULL, &w) < 0)
		fail("no", "pseudo-terminal");
	fcntl(p.master, F_SETFD, FD_CLOEXEC);
	tcgetattr(p.slave, &before);
	pty_start(&p, argv + command + 1);
	for (int i = 2; i < command; i++)
		pty_step(&p, argv[i]);
	status = pty_wait(&p);
	tcgetattr(p.slave, &after);
	fprintf(stderr, "status %d tty %s\n", status,
		before.c_iflag == after.c_iflag &&
		before.c_oflag == after.c_oflag &&
		before.c_cflag == after.c_cflag &&
		before.c_lflag == after.c_lflag ? "same" : "changed");
	return 0;
}
