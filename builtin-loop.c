// SPDX-License-Identifier: GPL-2.0-only
/*
 * The event loop of lkvm run.
 *
 * Theory of operation: the main thread polls the VM's end, the console's output,
 * stdin, a signalfd, the control socket, the timeout and edits on the host. poll(2),
 * not epoll, since stdin may be a plain file. While the guest has no room for input
 * stdin is not read, until the device says that there is. While the reader of stdout
 * is slow its readiness is waited for. A kernel that says that it has panicked may
 * finish what it prints, for a bounded time. Of names that change all the time, as in
 * a build, the guest is told now and then. A command's streams are
 * builtin-command.c's; what it has said before the VM ended is written, as long as
 * somebody reads.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/eventfd.h"
#include "kvm/fs.h"
#include "kvm/virtio.h"

/* How long a kernel that has panicked may be silent, and may go on in all */
#define PANIC_QUIET_NS (50 * NSEC_PER_MSEC)
#define PANIC_MAX_NS (500 * NSEC_PER_MSEC)
/* How soon it is seen that the terminal is ours again */
#define TERMINAL_MS 1000U
/* How long a guest that has forgotten names is not asked to do so again */
#define EDITS_QUIET_NS (300 * NSEC_PER_MSEC)

/**
 * struct last_words - of a kernel that has told of its panic, and runs on
 * @begin: when it did; @heard: when it printed last, so many bytes being @passed
 */
struct last_words {
	u64 begin;
	u64 heard;
	u64 passed;
};

void signals_block(sigset_t *set)
{
	struct sigaction hup;

	signal(SIGPIPE, SIG_IGN);
	/* A disk that may not grow is the guest's error, no end of ours. */
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	/* Who runs us by nohup(1) says so; SIGINT a shell ignores with each "&". */
	if (!sigaction(SIGHUP, NULL, &hup) && hup.sa_handler != SIG_IGN)
		sigaddset(set, SIGHUP);
	sigaddset(set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, set, NULL);
}

static void loop_resize(struct kvm *kvm)
{
	struct winsize w;

	if (kvm->console_virtio && !ioctl(STDIN_FILENO, TIOCGWINSZ, &w))
		virtio_console_resize(kvm->console_virtio, w.ws_col, w.ws_row);
}

static void loop_signal(struct kvm *kvm, struct guest_command *g, int fd)
{
	struct signalfd_siginfo si;

	if (read(fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGWINCH && g)
		command_resize(g);
	else if (si.ssi_signo == SIGWINCH)
		loop_resize(kvm);
	else if (g)
		command_signal(g, kvm, si.ssi_signo);
	else
		kvm_end(kvm, VM_END_USER, si.ssi_signo);
}

/* The first reason of an end counts, so that a signal cannot replace it. */
static bool loop_goes_on(const struct kvm *kvm, const struct guest_command *g)
{
	enum vm_end end = kvm_ended(kvm);

	if (end == VM_END_NONE)
		return true;
	return g && !g->cut && end != VM_END_USER && end != VM_END_TIMEOUT &&
	       session_pending(&g->port.main);
}

/*
 * Drain inotify and ask the guest to drop cached names. What arrives before it has
 * answered stays queued and causes one more round.
 */
static void edits_hear(struct kvm *kvm, struct session_port *p)
{
	fs_edits_drain(kvm->edits_fd, &kvm->edits_ended);
	port_forget(p);
}

/* Of two times, of which 0 is never */
static u64 sooner(u64 a, u64 b)
{
	return a && (!b || a < b) ? a : b;
}

/*
 * Return: the inotify descriptor, or -1 while the guest is busy with the last request
 * or until @quiet, which then lowers *@look.
 */
static int edits_poll(const struct kvm *kvm, const struct guest_command *g,
		      u64 quiet, u64 *look)
{
	if (!g || g->port.forgetting || kvm->edits_fd < 0)
		return -1;
	if (now_ns() >= quiet)
		return kvm->edits_fd;
	*look = sooner(*look, quiet);
	return -1;
}

/*
 * A kernel tells of its panic before it has printed all of it. It ends when it is
 * silent, if it does not end itself before. Return: when to look again; 0 if never
 */
static u64 loop_panic(struct kvm *kvm, struct console *c, struct last_words *w)
{
	u64 now = now_ns(), passed, v;

	if (!kvm_panicked(kvm) || kvm_ended(kvm)) {
		w->begin = 0;
		return 0;
	}
	pthread_mutex_lock(&c->lock);
	passed = c->log.total;
	pthread_mutex_unlock(&c->lock);
	/* It is readable again when there is an end, but of one that has just come. */
	eventfd_clear(kvm->end_fd);
	if (!w->begin)
		w->begin = now;
	if (passed != w->passed || w->begin == now)
		w->heard = now;
	w->passed = passed;
	v = MIN(w->heard + PANIC_QUIET_NS, w->begin + PANIC_MAX_NS);
	if (now >= v)
		kvm_end(kvm, VM_END_RESET, 0);
	return kvm_ended(kvm) ? now : v;
}

/* @keys: somebody wants those of our terminal */
static int loop_wait(u64 deadline, bool keys)
{
	unsigned int ms = deadline ? ms_left(deadline) : -1;

	return !keys || terminal_is_ours(false) ? ms : MIN(ms, TERMINAL_MS);
}

static bool keys_wanted(const struct console *c, const struct guest_command *g)
{
	if (g)
		return g->in_fd >= 0 && g->kind[0] == STREAM_OURS_TTY;
	return c->tty_fd >= 0 && !c->eof;
}

static int loop_signals(struct report *r)
{
	sigset_t set;
	int fd;

	signals_block(&set);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? report_error(r, errno, "signalfd") : fd;
}

int run_loop(struct kvm *kvm, const struct run_parts *parts,
	     struct report *r)
{
	struct control_server *control = parts->control->server;
	struct guest_command *g = parts->command;
	struct console *c = parts->console;
	struct pollfd p[7 + COMMAND_POLL] = {
		{ .fd = kvm->end_fd, .events = POLLIN },
		{ .fd = c->wake_fd, .events = POLLIN },
		{ .events = POLLIN },
		{ .events = POLLIN },
		{ .events = POLLOUT },
		{ .fd = control ? control_server_fd(control) : -1,
		  .events = POLLIN },
		{ .events = POLLIN },
	};
	struct last_words words = { 0 };
	unsigned int nr = 7;
	bool blocked = false;
	u64 look, quiet = 0;
	int err = 0;

	p[2].fd = loop_signals(r);
	if (p[2].fd < 0)
		return p[2].fd;
	loop_resize(kvm);
	while (loop_goes_on(kvm, g)) {
		p[0].fd = kvm_ended(kvm) ? -1 : kvm->end_fd;
		p[3].fd = console_wants_input(c) ? STDIN_FILENO : -1;
		p[4].fd = blocked ? c->out_fd : -1;
		if (g)
			nr = 7 + command_poll(g, p + 7);
		look = sooner(loop_panic(kvm, c, &words), parts->deadline);
		if (g)
			look = sooner(look, command_overdue(g, kvm));
		if (control)
			look = sooner(look, control_server_due(control));
		p[6].fd = edits_poll(kvm, g, quiet, &look);
		if (poll(p, nr, loop_wait(look, keys_wanted(c, g))) < 0 && errno != EINTR) {
			err = report_error(r, errno, "poll");
			break;
		}
		if (p[2].revents & POLLIN)
			loop_signal(kvm, g, p[2].fd);
		if (p[3].fd >= 0 && p[3].revents && console_input(c))
			kvm_end(kvm, VM_END_USER, 0);
		if (p[5].revents || (control && control_server_due(control)))
			control_server_run(control);
		control_serve(parts->control);
		blocked = console_drain(c) == -EAGAIN;
		console_feed(c, kvm);
		if (g && p[6].fd >= 0 && p[6].revents)
			edits_hear(kvm, &g->port);
		if (g && g->port.forgetting)
			quiet = now_ns() + EDITS_QUIET_NS;
		if (g)
			command_serve(g, kvm, p + 7);
		if (!parts->deadline || now_ns() < parts->deadline)
			continue;
		if (kvm_ended(kvm) && g)
			command_cut(g, VM_END_TIMEOUT, 0);
		kvm_end(kvm, VM_END_TIMEOUT, 0);
	}
	close(p[2].fd);
	return err;
}
