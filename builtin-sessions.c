// SPDX-License-Identifier: GPL-2.0-only
/*
 * Further commands in the guest of this process, which lkvm exec asks for.
 *
 * Theory of operation: a client sends what the command is, as the guest's init
 * wants to have it, and one end of a pipe for each stream; here bytes are moved
 * between these and the session (session.c), as builtin-command.c does it for the
 * first command. The client's ends do not block, so that a client that is slow
 * holds up its own command alone. What is to be read is memory, for the same
 * reason. Nothing of a request is understood here but where input goes.
 *
 * The answer comes when the command has ended and all it wrote is in the pipes. A
 * client that is gone takes its command along, as a terminal that hangs up does;
 * when the VM ends each client is told, how its command has ended if it had. Signals
 * are as those of the first command, but that the client alone is let go where the VM
 * would end.
 *
 * Main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin.h"

/* What comes with a request: the records, then a file for each stream */
#define FILES (1 + GUEST_STREAMS)
/* How long clients are waited for that have yet to read what their command wrote */
#define FINISH_NS (2 * NSEC_PER_SEC)

/**
 * struct guest_exec - one command
 * @fd: by enum guest_stream, ours; -1 once nothing goes there or comes from it
 * @overdue: when it is left to itself unless the guest has taken @signal by then, 0
 *	for never
 */
struct guest_exec {
	struct control_later later;
	struct guest_command *command;
	struct guest_exec *next;
	struct session *session;
	int fd[GUEST_STREAMS];
	unsigned int signal;
	u64 overdue;
};

static void file_close(struct guest_exec *e, unsigned int stream)
{
	if (e->fd[stream] >= 0)
		close(e->fd[stream]);
	e->fd[stream] = -1;
}

static void exec_free(struct guest_exec *e)
{
	struct guest_exec **at = &e->command->execs;

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	for (unsigned int i = 0; i < GUEST_STREAMS; i++)
		file_close(e, i);
	session_close(e->session);
	free(e);
}

static void exec_gone(struct control_later *l)
{
	exec_free(container_of(l, struct guest_exec, later));
}

/* O_NONBLOCK is shared with the client, who may take it back at any time. */
static void output_write(struct guest_exec *e, unsigned int stream)
{
	for (;;) {
		size_t len = PIPE_BUF;
		const u8 *d = session_output(e->session, stream, &len);
		ssize_t n;

		if (session_output_ended(e->session, stream))
			file_close(e, stream);
		if (!len || (e->fd[stream] >= 0 && !fd_is_ready(e->fd[stream], POLLOUT)))
			return;
		n = write(e->fd[stream], d, len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			session_refuse(e->session, stream);
			file_close(e, stream);
		} else {
			session_written(e->session, stream, n);
		}
	}
}

static void outputs_write(struct guest_exec *e)
{
	for (unsigned int i = GUEST_STDOUT; i < GUEST_STREAMS; i++)
		output_write(e, i);
}

static void input_read(struct guest_exec *e)
{
	u8 d[GUEST_PROTO_DATA_MAX];
	size_t room = session_input_room(e->session);
	ssize_t n;

	if (e->session->input_refused)
		file_close(e, GUEST_STDIN);
	if (!room || !fd_is_ready(e->fd[GUEST_STDIN], POLLIN))
		return;
	n = read(e->fd[GUEST_STDIN], d, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	session_input(e->session, d, MAX(n, (ssize_t)0));
	if (n <= 0)
		file_close(e, GUEST_STDIN);
}

/* @left: by that signal, though the command may not have ended; 0 if it has */
static void exec_answer(struct guest_exec *e, unsigned int left)
{
	const struct session *s = e->session;
	struct json_out o = { 0 };

	/* Close the streams before answering: a client may wait for end-of-file first. */
	for (unsigned int i = 0; i < GUEST_STREAMS; i++)
		file_close(e, i);
	if (left) {
		json_put_number(&o, "signal", left);
		json_put_string(&o, "error", "left");
	} else if (s->state == SESSION_EXITED) {
		json_put_number(&o, "exit", s->value);
	} else if (s->state == SESSION_KILLED) {
		json_put_number(&o, "signal", s->value & 0x7f);
	} else {
		bool told = s->value == 126 || s->value == 127;

		json_put_number(&o, "exit", told ? s->value : STATUS_ERROR);
		json_put_string(&o, "error", s->text);
	}
	control_answer(&e->later, &o);
	json_out_free(&o);
	exec_free(e);
}

u64 execs_overdue(struct guest_command *g, u64 look)
{
	struct guest_exec *e = g->execs;

	while (e) {
		if (!e->session->unheard)
			e->overdue = 0;
		if (e->overdue && now_ns() >= e->overdue) {
			exec_answer(e, e->signal);
			e = g->execs;
			continue;
		}
		if (e->overdue && (!look || e->overdue < look))
			look = e->overdue;
		e = e->next;
	}
	return look;
}

/* Return: whether that was the end of it; it may have been that of others, too */
static bool exec_serve(struct guest_exec *e)
{
	outputs_write(e);
	input_read(e);
	if (!session_over(e->session) || session_pending(e->session))
		return false;
	exec_answer(e, 0);
	return true;
}

void execs_serve(struct guest_command *g)
{
	struct guest_exec *e = g->execs;

	while (e)
		e = exec_serve(e) ? g->execs : e->next;
}

int execs_file(const struct guest_command *g, const struct session *s, u8 stream)
{
	for (const struct guest_exec *e = g->execs; e; e = e->next)
		if (e->session == s)
			return e->fd[stream];
	return -1;
}

unsigned int execs_poll(const struct guest_command *g, struct pollfd *p)
{
	unsigned int n = 0;

	for (const struct guest_exec *e = g->execs; e; e = e->next) {
		if (e->fd[GUEST_STDIN] >= 0 && session_input_room(e->session))
			p[n++] = (struct pollfd){
				.fd = e->fd[GUEST_STDIN], .events = POLLIN,
			};
		for (unsigned int i = GUEST_STDOUT; i < GUEST_STREAMS; i++)
			if (e->fd[i] >= 0 && e->session->out[i].len)
				p[n++] = (struct pollfd){
					.fd = e->fd[i], .events = POLLOUT,
				};
	}
	return n;
}

/* Return: whether the command has ended, and all that it wrote is in the pipes */
static bool exec_finish(struct guest_exec *e, u64 until)
{
	const struct session *s = e->session;
	struct pollfd p[GUEST_STREAMS];

	outputs_write(e);
	while (session_over(s) && session_pending(s) && now_ns() < until) {
		for (unsigned int i = 0; i < GUEST_STREAMS; i++)
			p[i] = (struct pollfd){
				.fd = s->out[i].len ? e->fd[i] : -1,
				.events = POLLOUT,
			};
		poll(p, GUEST_STREAMS, 100);
		outputs_write(e);
	}
	return session_over(s) && !session_pending(s);
}

void execs_end(struct guest_command *g)
{
	u64 until = now_ns() + FINISH_NS;

	while (g->execs) {
		struct guest_exec *e = g->execs;

		if (exec_finish(e, until)) {
			exec_answer(e, 0);
			continue;
		}
		control_answer_error(&e->later, "ended",
				     "the VM ended before the command did");
		exec_free(e);
	}
}

/* Return: length of what is in the file, which is memory, or -errno */
static ssize_t records_read(int fd, char **out)
{
	struct stat st;
	ssize_t n;

	if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st))
		return -EINVAL;
	if (!st.st_size || st.st_size > GUEST_PROTO_CONFIG_MAX)
		return -E2BIG;
	*out = malloc(st.st_size);
	if (!*out)
		return -ENOMEM;
	n = pread(fd, *out, st.st_size, 0);
	if (n == st.st_size && !(*out)[n - 1])
		return n;
	free(*out);
	return -EINVAL;
}

static u8 records_input(const char *d, size_t len)
{
	for (size_t at = 0; at < len; at += strlen(d + at) + 1)
		if (!strcmp(d + at, "stdin=tty"))
			return GUEST_TERMINAL;
	return GUEST_STDIN;
}

static bool files_do_not_block(const struct control_call *call)
{
	struct stat st;

	for (unsigned int i = 1; i < FILES; i++) {
		int flags = fcntl(call->fd[i], F_GETFL);

		if (flags < 0 || !(flags & O_NONBLOCK) || fstat(call->fd[i], &st))
			return false;
		/* A disk, or a host behind the net, may be waited for. */
		if (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode) &&
		    !S_ISCHR(st.st_mode))
			return false;
	}
	return true;
}

static void open_refuse(struct control_call *call, int err)
{
	const char *code = "failed", *why = strerror(-err);

	if (err == -EAGAIN) {
		code = "busy";
		why = "too many commands at once";
	} else if (err == -EOPNOTSUPP) {
		code = "unsupported";
		why = "the guest's init can run one command alone, over ttyS1";
	} else if (err == -EPIPE) {
		code = "ended";
		why = "the VM ended before the command did";
	}
	control_refuse(call, code, NULL, "%s", why);
}

static void exec_open(struct control_call *call, struct guest_command *g)
{
	char *d = NULL;
	ssize_t len = records_read(call->fd[0], &d);
	struct guest_exec *e;
	int err;

	if (len < 0) {
		control_refuse(call, "invalid", NULL, "records of a command: %s",
			       strerror(-len));
		return;
	}
	e = calloc(1, sizeof(*e));
	err = e ? session_open(&g->port, d, len, records_input(d, len),
			       &e->session) : -ENOMEM;
	free(d);
	if (err) {
		open_refuse(call, err);
		free(e);
		return;
	}
	for (unsigned int i = 0; i < GUEST_STREAMS; i++) {
		e->fd[i] = call->fd[1 + i];
		call->fd[1 + i] = -1;
	}
	e->command = g;
	e->next = g->execs;
	g->execs = e;
	e->later.gone = exec_gone;
	control_later(call, &e->later);
	command_wake(g);
}

void guest_exec(struct control_call *call)
{
	struct vm_control *v = call->vm;

	if (!v->command)
		control_refuse(call, "unsupported", NULL,
			       "nothing of lkvm's is in the guest: it was started without a command and --shell");
	else if (v->kvm->state == KVM_PAUSED)
		control_refuse(call, "state", NULL, "the VM is paused");
	else if (kvm_ended(v->kvm))
		control_refuse(call, "ended", NULL, "the VM has ended");
	else if (!files_do_not_block(call))
		control_refuse(call, "invalid", NULL,
			       "a file for a stream is not O_NONBLOCK");
	else
		exec_open(call, v->command);
}

/* The command that this client has asked for by the request args.exec */
static struct guest_exec *exec_find(struct control_call *call)
{
	struct vm_control *v = call->vm;
	struct guest_exec *e = v->command ? v->command->execs : NULL;

	while (e && (e->later.client != call->client ||
		     e->later.id != call->arg[0].number))
		e = e->next;
	if (!e)
		control_refuse(call, "invalid", "args.exec",
			       "no command of this client is running by that id");
	return e;
}

void guest_signal(struct control_call *call)
{
	struct guest_exec *e = exec_find(call);
	unsigned int sig = call->arg[1].number;
	bool ends = sig == SIGHUP || sig == SIGINT || sig == SIGTERM;

	if (!e)
		return;
	command_wake(e->command);
	if (ends && e->session->state != SESSION_STARTED) {
		exec_answer(e, sig);
		return;
	}
	session_signal(e->session, sig);
	/* At a terminal somebody is there, who sends another. */
	if (ends && sig != SIGINT && !e->overdue) {
		e->signal = sig;
		e->overdue = now_ns() + SIGNAL_HEARD_NS;
	}
}

void guest_resize(struct control_call *call)
{
	struct guest_exec *e = exec_find(call);

	if (!e)
		return;
	session_resize(e->session, call->arg[1].number, call->arg[2].number);
	command_wake(e->command);
}
