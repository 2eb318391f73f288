// SPDX-License-Identifier: GPL-2.0-only
/*
 * Starting the command.
 *
 * Theory of operation: each of its three streams is a pipe, the terminal that
 * they share, or closed, as on the host; output and errors may be one pipe. It leads
 * a session of its own, on that terminal if there is one. Of a kernel without
 * terminals a pipe in each direction takes its place; of one that knows no users but
 * root, root runs the command. The child says what failed before it became the command
 * through a pipe that execve() closes. The program is looked for as execvp() does it,
 * in the PATH that the command gets, but first where the host says it is.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/termios.h>

#include "init.h"
#include "sys.h"

#define PTMX "/dev/ptmx"

struct pair {
	int ours;
	int theirs;
};

/** struct failure - -errno, and what it is of; @exec: the command itself */
struct failure {
	int err;
	bool exec;
	const char *what;
};

static void close_all(int *fd, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (fd[i] >= 0)
			sys_close(fd[i]);
		fd[i] = -1;
	}
}

void child_close(struct child *c)
{
	close_all(c->fd, GUEST_STREAMS);
	close_all(&c->slave, 1);
	close_all(&c->report, 1);
}

static const char *env_get(const struct config *c, const char *key)
{
	for (unsigned int i = 0; i < c->envc; i++) {
		const char *v = text_after(c->envp[i], key);

		if (v)
			return v;
	}
	return NULL;
}

/*
 * Lkvm makes its own terminal raw only if it reads from and writes to it. If not,
 * that one turns ends of lines into what a screen wants and shows what is typed,
 * and ours must not.
 */
static void output_as_is(int fd)
{
	struct termios t;

	if (sys_ioctl(fd, TCGETS, &t))
		return;
	t.c_oflag &= ~OPOST;
	t.c_lflag &= ~ECHO;
	sys_ioctl(fd, TCSETS, &t);
}

static int open_terminal(struct child *c, const struct config *cfg)
{
	char path[32], digits[12];
	int fd, unlock = 0;
	unsigned int n = 0;

	fd = sys_open(PTMX, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	c->fd[GUEST_TERMINAL] = fd;
	sys_ioctl(fd, TIOCSPTLCK, &unlock);
	if (sys_ioctl(fd, TIOCGPTN, &n) < 0)
		return -EIO;
	child_resize(c, cfg->rows, cfg->cols);
	text_join(path, sizeof(path), "/dev/pts/", text_decimal(digits, n), NULL);
	if (cfg->uid)
		SYS(__NR_fchownat, -100, (long)path, cfg->uid, -1, 0);
	c->slave = sys_open(path, O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	if (c->slave < 0)
		return c->slave;
	if (cfg->stream[GUEST_STDIN] != KIND_TTY ||
	    cfg->stream[GUEST_STDOUT] != KIND_TTY)
		output_as_is(c->slave);
	return 0;
}

static int open_pipe(struct pair *p, bool in)
{
	int fds[2], err = sys_pipe2(fds, O_CLOEXEC);

	if (err)
		return err;
	p->ours = fds[in];
	p->theirs = fds[!in];
	sys_fcntl(p->ours, F_SETFL, O_NONBLOCK);
	return 0;
}

/* What is written to it, when it is none */
static int open_instead(struct child *c, int err)
{
	struct pair p = { -1, -1 };

	child_close(c);
	c->no_terminal = err;
	err = open_pipe(&p, false);
	c->fd[GUEST_TERMINAL] = p.ours;
	c->slave = p.theirs;
	return err;
}

static bool wants_terminal(const struct config *cfg)
{
	for (unsigned int i = 0; i < 3; i++)
		if (cfg->stream[i] == KIND_TTY)
			return true;
	return false;
}

static int open_streams(struct child *c, const struct config *cfg,
			int theirs[3])
{
	struct pair p;
	int err = wants_terminal(cfg) ? open_terminal(c, cfg) : 0;

	if (err)
		err = open_instead(c, err);
	for (unsigned int i = 0; i < 3 && !err; i++) {
		if (cfg->stream[i] == KIND_PIPE ||
		    (cfg->stream[i] == KIND_TTY && c->no_terminal &&
		     i == GUEST_STDIN)) {
			err = open_pipe(&p, i == GUEST_STDIN);
			c->fd[i] = err ? -1 : p.ours;
			theirs[i] = err ? -1 : p.theirs;
		} else if (cfg->stream[i] == KIND_TTY) {
			theirs[i] = c->slave;
		} else if (cfg->stream[i] == KIND_SAME) {
			theirs[i] = theirs[GUEST_STDOUT];
		}
	}
	return err;
}

static bool same_program(const char *path)
{
	return SYS(__NR_faccessat, -100, (long)path, 1) == 0;
}

static const char *shell_path(const struct config *c)
{
	const char *own = env_get(c, "SHELL=");

	if (own && same_program(own))
		return own;
	return same_program("/bin/bash") ? "/bin/bash" : "/bin/sh";
}

static bool file_is(const char *path)
{
	return !SYS(__NR_faccessat, -100, (long)path, 0);
}

static int exec_file(const char *path, const char **argv, const char **envp)
{
	int err = SYS(__NR_execve, (long)path, (long)argv, (long)envp);

	/* It is there; what it is to be run by is not. */
	if (err == -ENOENT && file_is(path))
		return -ELIBACC;
	if (err != -ENOEXEC)
		return err;
	/* What execvp() does with a script that does not name its shell */
	argv[-1] = "sh";
	argv[0] = path;
	SYS(__NR_execve, (long)"/bin/sh", (long)(argv - 1), (long)envp);
	return -ENOEXEC;
}

static bool has_slash(const char *s)
{
	for (; *s; s++)
		if (*s == '/')
			return true;
	return false;
}

/* Return: -errno; it found a program that cannot be run, or none */
static int exec_search(const struct config *c, const char **argv)
{
	const char *path = env_get(c, "PATH=");
	const char **envp = (const char **)c->envp;
	const char *name = argv[0];
	char file[PATH_BYTES];
	int err, worst = -ENOENT;

	if (!*name)
		return -ENOENT;
	if (has_slash(name))
		return exec_file(name, argv, envp);
	if (c->file) {
		exec_file(c->file, argv, envp);
		argv[0] = name;
	}
	while (path) {
		size_t n = 0;

		for (; *path && *path != ':'; path++)
			if (n < sizeof(file) - 2)
				file[n++] = *path;
		if (!n)
			file[n++] = '.';
		file[n++] = '/';
		file[n] = 0;
		text_join(file + n, sizeof(file) - n, name, NULL, NULL);
		err = exec_file(file, argv, envp);
		argv[0] = name;
		/* A directory that may not be looked into has nothing for us. */
		if (err == -EACCES && !file_is(file))
			err = -ENOENT;
		if (err != -ENOENT && err != -ENOTDIR)
			worst = err;
		path = *path ? path + 1 : NULL;
	}
	return worst;
}

bool user_is_another(const struct config *c)
{
	return c->uid || c->gid || c->nr_groups;
}

bool users_known(void)
{
	return SYS(__NR_getgroups, 0, 0) >= 0;
}

static int become_user(const struct config *c)
{
	int err;

	/* As we are; a kernel without MULTIUSER, which is noted, knows nobody else. */
	if (!user_is_another(c) || !users_known())
		return 0;
	err = SYS(__NR_setgroups, c->nr_groups, (long)c->group);
	if (!err)
		err = SYS(__NR_setresgid, c->gid, c->gid, c->gid);
	if (!err)
		err = SYS(__NR_setresuid, c->uid, c->uid, c->uid);
	return err;
}

static void reset_signals(void)
{
	struct sigaction dfl = { .sa_flags = 0 };
	u64 none = 0;

	for (int sig = 1; sig < 32; sig++)
		SYS(__NR_rt_sigaction, sig, (long)&dfl, 0, sizeof(none));
	SYS(__NR_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof(none));
}

/*
 * With "?" in front it is the host's: by then we are still root, as others need not be
 * able to get to where they are; and where the root is another one, / will do.
 */
static int enter_directory(const char *cwd, bool of_host)
{
	int err;

	if (!cwd || (*cwd == '?') != of_host)
		return 0;
	err = sys_chdir(cwd + of_host);
	return of_host && (err == -ENOENT || err == -ENOTDIR) ? sys_chdir("/") : err;
}

bool directory_is_covered(const char *cwd)
{
	return cwd && *cwd == '?' &&
	       (text_after(cwd + 1, "/run/") || text_after(cwd + 1, "/dev/")) &&
	       SYS(__NR_faccessat, -100, (long)cwd + 1, 0) == -ENOENT;
}

/* In the child, until it is the command. Return: -errno, and @f says more */
static int child_become(const struct config *c, const int theirs[3], int slave,
			struct failure *f)
{
	/* exec_file() may need one in front. */
	static const char *argv[CONFIG_WORDS + 2];
	const char *shell;
	char name[64];
	int err;

	SYS(__NR_setsid);
	if (slave >= 0)
		sys_ioctl(slave, TIOCSCTTY, NULL);
	for (int i = 0; i < 3; i++) {
		if (theirs[i] >= 0)
			sys_dup3(theirs[i], i);
		else
			sys_close(i);
	}
	f->what = c->cwd ? c->cwd + (*c->cwd == '?') : "/";
	SYS(__NR_umask, c->umask);
	err = enter_directory(c->cwd, true);
	if (!err)
		err = become_user(c);
	if (!err)
		err = enter_directory(c->cwd, false);
	if (err)
		return err;
	reset_signals();
	if (c->get || c->put)
		sys_exit(copy_run(c));
	f->exec = true;
	if (c->argc) {
		memcpy(argv + 1, c->argv, sizeof(*argv) * (c->argc + 1));
		f->what = c->argv[0];
		return exec_search(c, argv + 1);
	}
	shell = shell_path(c);
	f->what = shell;
	text_join(name, sizeof(name), "-", shell, NULL);
	for (const char *s = shell; *s; s++)
		if (*s == '/')
			text_join(name, sizeof(name), "-", s + 1, NULL);
	argv[1] = name;
	return SYS(__NR_execve, (long)shell, (long)(argv + 1), (long)c->envp);
}

static void __attribute((noreturn)) child_main(const struct config *cfg,
					       const int theirs[3], int slave,
					       int report)
{
	struct failure f = { 0, false, NULL };

	f.err = child_become(cfg, theirs, slave, &f);
	sys_write(report, &f, sizeof(f));
	sys_exit(127);
}

/* Descriptors 0 to 2 are in use, so that none of ours gets such a number. */
int child_start(struct child *c, const struct config *cfg)
{
	struct pair report = { -1, -1 };
	int theirs[3] = { -1, -1, -1 };
	int err;

	for (unsigned int i = 0; i < GUEST_STREAMS; i++)
		c->fd[i] = -1;
	c->slave = -1;
	err = open_streams(c, cfg, theirs);
	if (!err)
		err = open_pipe(&report, false);
	c->report = report.ours;
	if (!err) {
		c->pid = SYS(__NR_clone, SIGCHLD, 0, 0, 0, 0);
		err = c->pid < 0 ? c->pid : 0;
	}
	if (!err && !c->pid)
		child_main(cfg, theirs, c->slave, report.theirs);
	close_all(&report.theirs, 1);
	for (unsigned int i = 0; i < 3; i++)
		if (theirs[i] != c->slave && cfg->stream[i] != KIND_SAME)
			close_all(&theirs[i], 1);
	if (err)
		child_close(c);
	return err;
}

int child_started(struct child *c, const char **what, u32 *status)
{
	struct failure f;
	long n = sys_read(c->report, &f, sizeof(f));

	if (n == -EAGAIN || n == -EINTR)
		return 1;
	close_all(&c->report, 1);
	if (n != sizeof(f))
		return 0;
	/* The words are in memory that we have as well. */
	*what = f.what;
	*status = STATUS_ERROR;
	if (f.exec)
		*status = f.err == -ENOENT || f.err == -ENOTDIR ?
			  STATUS_NOT_FOUND : STATUS_CANNOT_RUN;
	return f.err;
}

void child_resize(const struct child *c, u16 rows, u16 cols)
{
	struct winsize w = { .ws_row = rows, .ws_col = cols };

	if (c->fd[GUEST_TERMINAL] >= 0)
		sys_ioctl(c->fd[GUEST_TERMINAL], TIOCSWINSZ, &w);
}
