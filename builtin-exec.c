// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm exec and lkvm sh: one more command in a VM that runs.
 *
 * Theory of operation: what the command is goes to the VM's control socket as a
 * piece of memory, with one end of a pipe for each stream. Bytes move between
 * these and our own streams here, so that what of ours blocks, blocks nobody but
 * us. All is as for lkvm run -- CMD: what of ours is a terminal is one terminal
 * in the guest, and raw while we read from it, if output goes there; signals go to
 * the command, and the second of a kind within a second ends us, as does one that
 * comes behind the answer. That says how the command ended, or that the VM has not
 * waited for it: a signal came before it ran or behind its end, or was not taken.
 *
 * A stream ends where it comes from, and then where it goes; who does not want to
 * read any more is told to who writes by the pipe. In place of our own end of a pipe
 * there is /dev/null then, but for standard error, which we have need of.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/utf8.h"
#include "lkvm.h"

#define TWICE_NS NSEC_PER_SEC
#define VALUES 16
#define KEY_EOF 4
/* How soon it is seen that the terminal is ours again */
#define LOOK_MS 1000

enum { POLL_VM = 2 * GUEST_STREAMS, POLL_SIGNAL, POLL_NR };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int exec_fail(struct exec *x, const char *why)
{
	return fail_with(x->name, why);
}

/* A pipe: @theirs for the VM, which must not be made to wait */
static int open_pipe(int *theirs, int *ours, bool to_vm)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	*theirs = fd[!to_vm];
	*ours = fd[to_vm];
	return fcntl(*theirs, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int exec_open_stream(struct exec *x, unsigned int stream, int fd)
{
	bool in = stream == GUEST_STDIN;
	struct flow *f = &x->flow[stream];
	int ours = -1, err;

	err = open_pipe(&x->theirs[stream], &ours, in);
	f->from = in ? fd : ours;
	f->to = in ? ours : fd;
	/* So that we are not made to wait by the guest either. */
	if (!err && fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		err = -errno;
	return err;
}

static int open_records(const struct state_out *s)
{
	int fd = memfd_create("lkvm-exec", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (write(fd, s->buf, s->len) == (ssize_t)s->len)
		return fd;
	close(fd);
	return -EIO;
}

void exec_init(struct exec *x, const char *name)
{
	x->name = name;
	x->signals = -1;
	for (unsigned int i = 0; i < GUEST_STREAMS; i++) {
		x->flow[i].from = -1;
		x->flow[i].to = -1;
		x->theirs[i] = -1;
	}
}

static int exec_own_streams(struct exec *x, const enum stream_of_ours kind[3])
{
	int tty = terminal_fd(kind), err = 0;

	if (kind[0] != STREAM_OURS_NONE)
		err = exec_open_stream(x, GUEST_STDIN, STDIN_FILENO);
	if (!err && kind[1] == STREAM_OURS_PIPE)
		err = exec_open_stream(x, GUEST_STDOUT, STDOUT_FILENO);
	if (!err && kind[2] == STREAM_OURS_PIPE)
		err = exec_open_stream(x, GUEST_STDERR, STDERR_FILENO);
	if (!err && tty >= 0)
		err = exec_open_stream(x, GUEST_TERMINAL, tty);
	x->tty = tty;
	x->keys = kind[0] == STREAM_OURS_TTY;
	x->lines = x->keys && kind[1] != STREAM_OURS_TTY;
	return err;
}

static int open_signals(struct exec *x)
{
	sigset_t set;

	signals_block(&set);
	x->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return x->signals < 0 ? -errno : 0;
}

int exec_start(struct exec *x, const struct state_out *records)
{
	int fd[1 + GUEST_STREAMS], null = -1;
	int err = records->err ? records->err : open_signals(x);

	if (!err)
		err = lkvm_connect(&x->vm, x->name);
	if (err)
		return exec_fail(x, vm_why(err));
	fd[0] = open_records(records);
	null = open("/dev/null", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	for (unsigned int i = 0; i < GUEST_STREAMS; i++)
		fd[1 + i] = x->theirs[i] < 0 ? null : x->theirs[i];
	x->id = lkvm_send(x->vm, "guest.exec", NULL, fd, ARRAY_SIZE(fd));
	close_fd(&fd[0]);
	close_fd(&null);
	for (unsigned int i = 0; i < GUEST_STREAMS; i++)
		close_fd(&x->theirs[i]);
	return x->id < 0 ? exec_fail(x, strerror(-x->id)) : 0;
}

static void end_close(int fd)
{
	int null;

	if (fd > STDERR_FILENO)
		close(fd);
	if (fd < 0 || fd >= STDERR_FILENO || isatty(fd))
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, fd);
	close_fd(&null);
}

static void flow_end(struct flow *f)
{
	f->len = 0;
	end_close(f->from);
	end_close(f->to);
	f->from = -1;
	f->to = -1;
}

/* Return: whether somebody else has the terminal, in front of us or for its keys */
static bool keys_are_others(const struct exec *x)
{
	return x->keys && !terminal_is_ours(x->lines);
}

static void flow_read(struct exec *x, struct flow *f)
{
	bool keys = f == &x->flow[GUEST_STDIN];
	bool lines = x->lines && keys;
	ssize_t n;

	if (keys && keys_are_others(x))
		return;
	n = read(f->from, f->buf, sizeof(f->buf));
	if (lines && !n) {
		f->buf[0] = KEY_EOF;
		n = 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	f->pos = 0;
	f->len = MAX(n, (ssize_t)0);
	if (x->copy)
		utf8_clean((char *)f->buf, f->len, "\n");
	if (n <= 0)
		flow_end(f);
	else if (keys && x->keys)
		f->len = terminal_keys(&x->escape, f->buf, f->len, &x->left);
}

/* Ours may block: no more than what poll(2) says that there is room for */
static void flow_write(struct exec *x, struct flow *f)
{
	size_t len = f->to <= STDERR_FILENO ? MIN(f->len, (size_t)PIPE_BUF) :
					      f->len;
	ssize_t n = write(f->to, f->buf + f->pos, len);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		if (errno != EPIPE && f->to <= STDERR_FILENO && !x->lost)
			x->lost = errno;
		flow_end(f);
		return;
	}
	f->pos += n;
	f->len -= n;
}

static void send_number(struct exec *x, const char *cmd, const char *key, u64 v,
			const struct winsize *w)
{
	struct json_out o = { 0 };

	json_open(&o, NULL, '{');
	json_put_number(&o, "exec", x->id);
	if (key)
		json_put_number(&o, key, v);
	if (w)
		json_put_number(&o, "rows", w->ws_row);
	if (w)
		json_put_number(&o, "cols", w->ws_col);
	json_close(&o, '}');
	if (!o.err)
		lkvm_send(x->vm, cmd, o.text, NULL, 0);
	json_out_free(&o);
}

static void take_signal(struct exec *x)
{
	struct signalfd_siginfo si;
	u64 now = now_ns();
	struct winsize w;

	if (read(x->signals, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGWINCH) {
		if (x->tty >= 0 && !ioctl(x->tty, TIOCGWINSZ, &w))
			send_number(x, "guest.resize", NULL, 0, &w);
		return;
	}
	if (x->answered || x->copy ||
	    (si.ssi_signo == x->last_signal && now - x->last_time < TWICE_NS))
		x->left = true;
	if (x->left)
		x->status = 128 + si.ssi_signo;
	x->last_signal = si.ssi_signo;
	x->last_time = now;
	send_number(x, "guest.signal", "signal", si.ssi_signo, NULL);
}

/* What the VM has to say. Return: whether that was the end */
static bool take_answer(struct exec *x)
{
	char *ok = NULL;
	int err = lkvm_answer(x->vm, x->id, 0, &ok);
	struct json_value value[VALUES];
	struct json_doc doc = { .value = value, .max = VALUES };
	const char *why;

	if (err == -ETIMEDOUT)
		return false;
	if (err == -EREMOTEIO) {
		bool ended = !strcmp(lkvm_error_code(x->vm), "ended");

		exec_fail(x, lkvm_error(x->vm));
		x->status = ended ? STATUS_RESET : STATUS_ERROR;
	} else if (err) {
		exec_fail(x, "the VM ended before the command did");
		x->status = STATUS_RESET;
	} else if (json_parse(&doc, ok, strlen(ok))) {
		x->status = exec_fail(x, "an answer that makes no sense");
	} else if (json_member(value, "signal")) {
		x->status = 128 + (json_number_of(value, "signal") & 0x7f);
		x->left = json_member(value, "error");
	} else {
		x->status = json_number_of(value, "exit") & 0xff;
		why = json_string_of(value, "error");
		if (why)
			exec_fail(x, why);
	}
	free(ok);
	return true;
}

static void flows_poll(struct exec *x, struct pollfd *p)
{
	for (unsigned int i = 0; i < GUEST_STREAMS; i++) {
		const struct flow *f = &x->flow[i];

		p[2 * i] = (struct pollfd){
			.fd = f->len || (i == GUEST_STDIN && keys_are_others(x)) ? -1 :
			      f->from,
			.events = POLLIN,
		};
		/* Who closes its input is seen without that we write. */
		p[2 * i + 1] = (struct pollfd){
			.fd = f->len || i == GUEST_STDIN ? f->to : -1,
			.events = f->len ? POLLOUT : 0,
		};
	}
}

static bool flows_serve(struct exec *x, const struct pollfd *p)
{
	bool open = false;

	for (unsigned int i = 0; i < GUEST_STREAMS; i++) {
		struct flow *f = &x->flow[i];

		if (f->len && p[2 * i + 1].revents)
			flow_write(x, f);
		else if (p[2 * i + 1].revents)
			flow_end(f);
		else if (!f->len && p[2 * i].revents)
			flow_read(x, f);
		open |= i != GUEST_STDIN && (f->from >= 0 || f->len);
	}
	return open;
}

/* Until the answer is there and all output is written */
int exec_run(struct exec *x)
{
	bool open = true;
	struct pollfd p[POLL_NR];

	if (x->keys && !x->lines)
		terminal_raw();
	while ((!x->answered || open) && !x->left) {
		flows_poll(x, p);
		p[POLL_VM] = (struct pollfd){
			.fd = x->answered ? -1 : lkvm_fd(x->vm), .events = POLLIN,
		};
		p[POLL_SIGNAL] = (struct pollfd){
			.fd = x->signals, .events = POLLIN,
		};
		if (poll(p, POLL_NR, keys_are_others(x) ? LOOK_MS : -1) < 0 &&
		    errno != EINTR)
			break;
		open = flows_serve(x, p);
		if (p[POLL_SIGNAL].revents)
			take_signal(x);
		if (p[POLL_VM].revents)
			x->answered = take_answer(x);
		if (x->answered)
			flow_end(&x->flow[GUEST_STDIN]);
	}
	terminal_restore();
	if (x->left && !x->status && !x->shell)
		exec_fail(x, "left before the command had ended");
	if (x->left && !x->status && !x->shell)
		x->status = STATUS_RESET;
	if (x->lost && !x->status)
		x->status = exec_fail(x, strerror(x->lost));
	return x->status;
}

void exec_close(struct exec *x)
{
	for (unsigned int i = 0; i < GUEST_STREAMS; i++) {
		flow_end(&x->flow[i]);
		close_fd(&x->theirs[i]);
	}
	close_fd(&x->signals);
	lkvm_close(x->vm);
	x->vm = NULL;
}

/* Return: 0 with what is to run in @o, and whose VM in *@name */
static int exec_parse(struct run_options *o, bool shell, int argc, char **argv,
		      const char **name, struct report *r)
{
	int n = options_scan(exec_options, argc, argv, o, r);
	bool end;

	if (n < 0)
		return n;
	if (n == argc || options_ended(argv[n]))
		return report_error(r, 0, "%s: no name of a VM (lkvm list)",
				    argv[0]);
	*name = argv[n];
	argv += n;
	argc -= n;
	n = options_scan(exec_options, argc, argv, o, r);
	if (n < 0)
		return n;
	end = n < argc && options_ended(argv[n]);
	n += end;
	if (n < argc && (shell || !end))
		return report_error(r, 0, "unexpected argument %s", argv[n]);
	if (n == argc && !shell)
		return report_error(r, 0, "no command behind --");
	if (!shell)
		o->command = argv + n;
	return 0;
}

static int exec_main(bool shell, int argc, char **argv)
{
	static struct run_options o;
	static struct exec x;
	struct state_out records = { 0 };
	enum stream_of_ours kind[3];
	struct report r = { "" };
	const char *name = NULL;
	int err;

	streams_probe(kind);
	err = exec_parse(&o, shell, argc, argv, &name, &r);
	if (!err)
		err = guest_records(&records, &o, kind, &r);
	if (err) {
		state_out_free(&records);
		return fail_report(&r);
	}
	exec_init(&x, name);
	x.shell = shell;
	err = exec_own_streams(&x, kind);
	if (err)
		err = exec_fail(&x, strerror(-err));
	if (!err)
		err = exec_start(&x, &records);
	if (!err)
		err = exec_run(&x);
	exec_close(&x);
	state_out_free(&records);
	return err;
}

int cmd_exec(int argc, char **argv)
{
	return exec_main(false, argc, argv);
}

int cmd_sh(int argc, char **argv)
{
	return exec_main(true, argc, argv);
}
