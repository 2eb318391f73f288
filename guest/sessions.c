// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands in the guest: the first, and those that the host asks for later.
 *
 * Theory of operation: each has a number, which is in each of its frames, and
 * memory of its own from when the first frame of it comes until it has ended, so
 * that nothing is left of it then. One loop around ppoll(2), which alone lets
 * SIGCHLD in, moves bytes of them all; none waits for another, since a stream is
 * read only if the host takes what it has (relay.c), and whether a program can be
 * run comes through a pipe. The host sees to it that a number is used by one at a
 * time, and that a frame comes in time; others are passed over.
 *
 * When the first has ended the rest does not count any more.
 */
#include <asm/errno.h>
#include <asm/poll.h>
#include <asm/signal.h>
#include <linux/mman.h>
#include <linux/wait.h>

#include "init.h"
#include "sys.h"

#define SA_RESTORER_FLAG 0x04000000UL
#define POLL_EACH (GUEST_STREAMS + 1)

/** struct sessions - @relay: by number, of those before @end, NULL for none */
struct sessions {
	struct port *port;
	u32 window;
	struct relay *relay[GUEST_PROTO_SESSIONS];
	unsigned int end;
	struct pollfd poll[GUEST_PROTO_SESSIONS * POLL_EACH + 1];
};

static void on_signal(int sig)
{
	(void)sig;
}

void relay_restorer(void);
#if defined(__x86_64__)
asm(".globl relay_restorer\n"
	"relay_restorer:\n"
	"	mov $15, %eax\n"
	"	syscall\n");
#endif

void sessions_init(void)
{
	struct sigaction chld = {
		.sa_handler = on_signal,
		.sa_flags = SA_RESTORER_FLAG,
		.sa_restorer = relay_restorer,
	};
	struct sigaction ign = { .sa_handler = SIG_IGN };
	u64 mask = 1ULL << (SIGCHLD - 1);

	SYS(__NR_rt_sigaction, SIGCHLD, (long)&chld, 0, sizeof(mask));
	SYS(__NR_rt_sigaction, SIGPIPE, (long)&ign, 0, sizeof(mask));
	SYS(__NR_rt_sigprocmask, SIG_BLOCK, (long)&mask, 0, sizeof(mask));
}

static void reap(struct sessions *s)
{
	int status, pid;

	while ((pid = sys_wait4(-1, &status, WNOHANG)) > 0) {
		for (unsigned int i = 0; i < s->end; i++) {
			struct relay *r = s->relay[i];

			if (!r || r->child.pid != pid || r->child.gone)
				continue;
			r->child.gone = true;
			r->child.status = status;
		}
	}
}

static void *memory_get(size_t size)
{
	long at = SYS(__NR_mmap, 0, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at < 0 && at > -4096 ? NULL : (void *)at;
}

static void config_drop(struct relay *r)
{
	if (r->config && r->session)
		SYS(__NR_munmap, (long)r->config, sizeof(*r->config));
	r->config = NULL;
}

static void session_free(struct sessions *s, u16 id)
{
	struct relay *r = s->relay[id];

	s->relay[id] = NULL;
	while (s->end && !s->relay[s->end - 1])
		s->end--;
	child_close(&r->child);
	config_drop(r);
	SYS(__NR_munmap, (long)r, sizeof(*r));
}

/* It is never going to run. The host has to know, or there is no host to know. */
static void session_fail(struct sessions *s, u16 id, u32 status,
			 const char *what, int err)
{
	if (!id) {
		root_settle(s->relay[0]->config);
		init_fail(s->port, status, what, err);
	}
	port_error(s->port, id, status, what, err);
	session_free(s, id);
}

/* What failed is not the command's own. */
static void session_refuse(struct sessions *s, u16 id, int err)
{
	session_fail(s, id, STATUS_ERROR, "the command", err);
}

static struct relay *session_new(struct sessions *s, u16 id)
{
	struct relay *r = memory_get(sizeof(*r));

	if (!r)
		return NULL;
	r->port = s->port;
	r->session = id;
	for (unsigned int i = 0; i < GUEST_STREAMS; i++)
		r->child.fd[i] = -1;
	r->child.slave = -1;
	r->child.report = -1;
	s->relay[id] = r;
	s->end = MAX(s->end, id + 1U);
	return r;
}

static void session_run(struct sessions *s, struct relay *r)
{
	struct frame_of of = { GUEST_NOTE, GUEST_STDERR, r->session };
	struct notes n = { .len = 0 };
	int err = 0;

	if (r->session)
		err = config_parse(r->config, r->config_len);
	if (!err)
		err = child_start(&r->child, r->config);
	if (err) {
		session_refuse(s, r->session, err);
		return;
	}
	relay_start(r, s->window);
	if (r->child.no_terminal)
		note(&n, "no terminal, pipes instead: ",
		     text_errno(-r->child.no_terminal), NULL);
	if (directory_is_covered(r->config->cwd))
		note(&n, r->config->cwd + 1,
		     " is not seen in the guest: the command is in /", NULL);
	if (r->config->stream[2] == KIND_TTY)
		of.stream = GUEST_TERMINAL;
	else if (r->config->stream[2] == KIND_SAME)
		of.stream = GUEST_STDOUT;
	send_notes(s->port, &n, of);
}

/* Records of a command that is to be, @more of one that is known, or has failed */
static void session_config(struct sessions *s, u16 id, bool more, const u8 *d,
			   u32 len)
{
	struct relay *r = s->relay[id];

	if (!r && more)
		return;
	if (!r) {
		r = session_new(s, id);
		if (r)
			r->config = memory_get(sizeof(*r->config));
		if (!r) {
			port_error(s->port, id, STATUS_ERROR, "the command",
				   -ENOMEM);
			return;
		}
		if (!r->config) {
			session_refuse(s, id, -ENOMEM);
			return;
		}
	}
	if (len > sizeof(r->config->text) - 1 - r->config_len) {
		session_refuse(s, id, -E2BIG);
		return;
	}
	memcpy(r->config->text + r->config_len, d, len);
	r->config_len += len;
}

static void handle(struct sessions *s, const struct guest_frame *f,
		   const u8 *d)
{
	u16 id = le16toh(f->session);
	struct relay *r;

	if (f->stream >= GUEST_STREAMS || id >= GUEST_PROTO_SESSIONS)
		return;
	r = s->relay[id];
	if (f->type == GUEST_FORGET) {
		/* 4: the kernel logs that once and not each time; 2: names and inodes */
		file_write("/proc/sys/vm/drop_caches", "4\n");
		file_write("/proc/sys/vm/drop_caches", "2\n");
		port_put(s->port, (struct frame_of){ GUEST_FORGET, 0, 0 }, NULL, 0);
		return;
	}
	if (r && r->child.pid)
		relay_frame(r, f, d);
	else if (f->type == GUEST_CONFIG && id)
		session_config(s, id, f->stream, d, le32toh(f->len));
	else if (f->type == GUEST_RUN && r)
		session_run(s, r);
	else if (f->type == GUEST_SIGNAL && r)
		session_refuse(s, id, -ECANCELED);
}

/* Return: whether it goes on */
static bool session_starts(struct sessions *s, struct relay *r)
{
	const char *what;
	u32 status;
	const struct frame_of started = { GUEST_STARTED, 0, r->session };
	int err = child_started(&r->child, &what, &status);

	if (err < 0) {
		session_fail(s, r->session, status, what, err);
		return false;
	}
	if (!err) {
		r->started = true;
		config_drop(r);
		port_put(s->port, started, NULL, 0);
	}
	return !err;
}

/* Return: whether the first command has ended */
static bool session_serve(struct sessions *s, struct relay *r)
{
	int status;

	if (!r->child.pid || (!r->started && !session_starts(s, r)) ||
	    !relay_move(r))
		return false;
	if (!r->session)
		return true;
	status = r->child.status;
	init_report(s->port, r->session, status);
	session_free(s, r->session);
	return false;
}

static void wait_for_work(struct sessions *s)
{
	unsigned int n = 0;
	u64 mask = 0;

	for (unsigned int i = 0; i < s->end; i++)
		if (s->relay[i]) {
			relay_poll(s->relay[i], s->poll + n);
			n += POLL_EACH;
		}
	s->poll[n] = (struct pollfd){
		.fd = s->port->fd,
		.events = POLLIN | (s->port->out_len ? POLLOUT : 0),
	};
	SYS(__NR_ppoll, (long)s->poll, n + 1, 0, (long)&mask, sizeof(mask));
	n = 0;
	for (unsigned int i = 0; i < s->end; i++)
		if (s->relay[i]) {
			relay_polled(s->relay[i], s->poll + n);
			n += POLL_EACH;
		}
}

int sessions_run(struct port *p, struct config *main, u32 window)
{
	static struct sessions s;
	struct guest_frame f;
	struct relay *first;
	const u8 *data;

	s.port = p;
	s.window = window;
	first = session_new(&s, 0);
	if (!first)
		init_fail(p, STATUS_ERROR, "the command", -ENOMEM);
	first->config = main;
	session_run(&s, first);
	for (;;) {
		reap(&s);
		port_pull(p);
		while (port_next(p, &f, &data)) {
			handle(&s, &f, data);
			port_done(p, &f);
		}
		for (unsigned int i = 0; i < s.end; i++)
			if (s.relay[i] && session_serve(&s, s.relay[i]))
				return first->child.status;
		port_push(p);
		wait_for_work(&s);
	}
}
