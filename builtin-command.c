// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm run -- CMD: the command's streams are ours.
 *
 * Theory of operation: session.c knows what the guest's init says and wants to
 * hear; here its bytes get to standard output and error and come from standard
 * input. What of ours is a terminal is one terminal in the guest, what is not is
 * a pipe there, one if output and errors go to the same, what is closed is closed.
 * Where the command closes its end of a pipe /dev/null takes the place of ours, so
 * that the other side sees it at once; standard error stays, for what we have to say.
 * While input comes from a terminal that we are in front of, it is in raw mode: keys
 * are the guest's business, but for ^A. Where output goes elsewhere, as to a pager, the
 * terminal stays as it is, and lines are read as long as nobody else wants keys of it.
 * In the background nothing is read.
 *
 * Signals that we get go to the command once it runs; before that, and with a second
 * one within a second, they end the machine. So does the key ^C before there is a
 * command, and then if the guest has not taken the one before. A SIGTERM or SIGHUP
 * that the guest's init has not taken for long ends it, too.
 *
 * Nothing is read that the guest has no room for, and nothing is taken from it
 * that cannot be written: each side's writer waits for its own reader. No write
 * blocks: terminals and pipes are opened again for that (see output_writer());
 * what cannot be, a socket, say, gets pieces of at most PIPE_BUF bytes when poll(2)
 * finds it writable.
 *
 * The main thread; but bytes of a serial port come on a vCPU, which waits until
 * there is room. Lock: @lock, for that wait; taken before the session's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/eventfd.h"
#include "kvm/hw.h"
#include "kvm/virtio.h"

#define TWICE_NS NSEC_PER_SEC
/* A guest that lives takes a key within that; two at once say nothing. */
#define TAKEN_NS (250 * NSEC_PER_MSEC)
#define KEY_INTERRUPT 3
#define KEY_EOF 4
/* A chain of the guest's may be as long as its memory. */
#define DRAIN_NS NSEC_PER_SEC

bool fd_is_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) > 0;
}

void command_wake(void *opaque)
{
	struct guest_command *g = opaque;

	eventfd_signal(g->wake_fd);
}

/*
 * The first transport to carry init's HELLO becomes the carrier (any thread). On ttyS1
 * the first byte must be GUEST_HELLO; the virtio port is init's alone, so any byte decides.
 */
static bool comes_by(struct guest_command *g, enum carrier port, u8 first)
{
	enum carrier is = CARRIER_OPEN;

	if ((port == CARRIER_VIRTIO || first == GUEST_HELLO) &&
	    __atomic_compare_exchange_n(&g->carrier, &is, port, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		return true;
	return __atomic_load_n(&g->carrier, __ATOMIC_RELAXED) == port;
}

static size_t command_offer(void *opaque, const void *d, size_t len)
{
	struct guest_command *g = opaque;

	if (len && !comes_by(g, CARRIER_VIRTIO, *(const u8 *)d))
		return len;
	return port_receive(&g->port, d, len);
}

/* From a serial port, on a vCPU */
static void command_output(void *opaque, const void *d, size_t len)
{
	struct guest_command *g = opaque;

	/* A console begins otherwise. Whoever writes there later has nobody to hear it. */
	if (!comes_by(g, CARRIER_SERIAL, *(const u8 *)d))
		return;
	pthread_mutex_lock(&g->lock);
	while (len) {
		size_t n = port_receive(&g->port, d, len);

		d = (const u8 *)d + n;
		len -= n;
		if (g->closing)
			break;
		if (len)
			pthread_cond_wait(&g->space, &g->lock);
	}
	pthread_mutex_unlock(&g->lock);
}

/* From the port to where each stream waits: that needs no reader of ours. */
static void command_yield(void *opaque)
{
	struct guest_command *g = opaque;

	g->again |= port_run(&g->port);
	command_wake(g);
	pthread_mutex_lock(&g->lock);
	pthread_cond_broadcast(&g->space);
	pthread_mutex_unlock(&g->lock);
}

static void command_note(void *opaque, const struct session *s, u8 stream, const char *text)
{
	int fd = STDERR_FILENO;

	/* A client's has nothing in it yet. */
	if (s->id)
		fd = execs_file(opaque, s, stream);
	if (s->id ? fd_is_ready(fd, POLLOUT) : stderr_is_ready())
		dprintf(fd, "lkvm: guest: %s\n", text);
}

static void command_klog(void *opaque, const void *d, size_t len)
{
	struct guest_command *g = opaque;

	pthread_mutex_lock(&g->console->lock);
	/* The console had but what is urgent. */
	if (!g->klogged)
		klog_again(&g->console->log);
	g->klogged = true;
	klog_feed(&g->console->log, d, len);
	pthread_mutex_unlock(&g->console->lock);
}

/* As with 2>&1: what comes first is to be first there. */
static bool outputs_are_one(void)
{
	struct stat out, err;

	return !fstat(STDOUT_FILENO, &out) && !fstat(STDERR_FILENO, &err) &&
	       out.st_dev == err.st_dev && out.st_ino == err.st_ino;
}

void streams_hold(void)
{
	/* Whoever reads it or writes to it is told what a closed one tells. */
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", O_PATH);
}

void streams_probe(enum stream_of_ours kind[3])
{
	for (int fd = 0; fd < 3; fd++) {
		int flags = fcntl(fd, F_GETFL);

		kind[fd] = isatty(fd) ? STREAM_OURS_TTY : STREAM_OURS_PIPE;
		if (flags >= 0 && !(flags & O_PATH))
			continue;
		kind[fd] = STREAM_OURS_NONE;
		/* So that nothing that is opened later gets its number */
		close(fd);
		open("/dev/null", fd ? O_WRONLY : O_RDONLY);
	}
	if (kind[1] == STREAM_OURS_PIPE && kind[2] == STREAM_OURS_PIPE && outputs_are_one())
		kind[2] = STREAM_OURS_SAME;
}

int terminal_fd(const enum stream_of_ours kind[3])
{
	static const int order[] = { STDOUT_FILENO, STDERR_FILENO, STDIN_FILENO };

	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++)
		if (kind[order[i]] == STREAM_OURS_TTY)
			return order[i];
	return -1;
}

int command_open(struct guest_command *g, const enum stream_of_ours kind[3],
		 struct console *console, struct report *r)
{
	const struct session_ops ops = {
		.wake = command_wake,
		.note = command_note,
		.klog = command_klog,
		.opaque = g,
	};
	bool tty = kind[0] == STREAM_OURS_TTY;

	memcpy(g->kind, kind, sizeof(g->kind));
	g->console = console;
	g->fd[GUEST_STDIN] = -1;
	g->fd[GUEST_STDOUT] = STDOUT_FILENO;
	g->fd[GUEST_STDERR] = STDERR_FILENO;
	g->fd[GUEST_TERMINAL] = terminal_fd(kind);
	g->in_fd = kind[0] == STREAM_OURS_NONE ? -1 : STDIN_FILENO;
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->space, NULL);
	port_init(&g->port, &ops, tty ? GUEST_TERMINAL : GUEST_STDIN);
	g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->wake_fd < 0)
		return report_error(r, errno, "eventfd");
	g->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	g->opened = true;
	g->lines = tty && kind[1] != STREAM_OURS_TTY;
	if (tty && !g->lines)
		terminal_raw();
	command_resize(g);
	return 0;
}

void command_close(struct guest_command *g)
{
	if (!g->opened)
		return;
	g->opened = false;
	terminal_restore();
	port_destroy(&g->port);
	close(g->wake_fd);
	close(g->null_fd);
}

void command_attach(struct guest_command *g, struct kvm *kvm)
{
	g->carrier = kvm->machine->control == CONTROL_SERIAL ? CARRIER_SERIAL : CARRIER_OPEN;
	kvm->control = (struct console_ops){
		command_output, command_offer, command_wake, g, command_yield,
	};
}

void command_shut(struct guest_command *g)
{
	pthread_mutex_lock(&g->lock);
	g->closing = true;
	pthread_cond_broadcast(&g->space);
	pthread_mutex_unlock(&g->lock);
}

void command_drain(struct guest_command *g, struct kvm *kvm)
{
	u64 end = now_ns() + DRAIN_NS;
	bool again;

	do {
		if (kvm->control_virtio && !session_over(&g->port.main))
			virtio_console_resume(kvm->control_virtio, 0);
		again = port_run(&g->port);
	} while (again && !session_over(&g->port.main) && now_ns() < end);
	execs_serve(g);
}

void command_resize(struct guest_command *g)
{
	struct winsize w;
	int fd = g->fd[GUEST_TERMINAL];

	if (fd >= 0 && !ioctl(fd, TIOCGWINSZ, &w))
		session_resize(&g->port.main, w.ws_row, w.ws_col);
}

void command_end(struct guest_command *g, struct kvm *kvm, unsigned int sig)
{
	if (kvm_ended(kvm))
		command_cut(g, VM_END_USER, sig);
	kvm_end(kvm, VM_END_USER, sig);
}

void command_signal(struct guest_command *g, struct kvm *kvm, unsigned int sig)
{
	u64 now = now_ns();
	bool twice = sig == g->last_signal && now - g->last_time < TWICE_NS;

	g->last_signal = sig;
	g->last_time = now;
	if (twice || kvm_ended(kvm) ||
	    g->port.main.state != SESSION_STARTED) {
		command_end(g, kvm, sig);
		return;
	}
	session_signal(&g->port.main, sig);
	/* At a terminal somebody is there, who sends another. */
	if (sig != SIGINT && !g->overdue)
		g->overdue = now + SIGNAL_HEARD_NS;
}

u64 command_overdue(struct guest_command *g, struct kvm *kvm)
{
	if (!g->port.main.unheard)
		g->overdue = 0;
	if (g->overdue && now_ns() >= g->overdue) {
		g->overdue = 0;
		command_end(g, kvm, g->last_signal);
	}
	return execs_overdue(g, g->overdue);
}

void command_cut(struct guest_command *g, enum vm_end end, u32 code)
{
	g->cut = end;
	g->cut_code = code;
}

/* Output: as much as goes without waiting, stream by stream. */
static void output_write(struct guest_command *g, unsigned int stream)
{
	int fd = g->fd[stream];

	for (;;) {
		size_t len = g->whole[stream] ? GUEST_PROTO_WINDOW : PIPE_BUF;
		const u8 *d = session_output(&g->port.main, stream, &len);
		ssize_t n;

		if (!len)
			return;
		if (fd >= 0 && !g->whole[stream] && !fd_is_ready(fd, POLLOUT))
			return;
		n = fd < 0 ? -1 : write(fd, d, len);
		if (n < 0 && fd >= 0 && (errno == EINTR || errno == EAGAIN))
			return;
		/* Who does not want to read more is no error; a full disk is. */
		if (n < 0 && fd >= 0 && errno != EPIPE && !g->lost) {
			g->lost = errno;
			g->lost_stream = stream;
		}
		if (n < 0)
			session_refuse(&g->port.main, stream);
		else
			session_written(&g->port.main, stream, n);
	}
}

/* What the command has closed ends for whoever is behind ours, too. */
static void streams_end(struct guest_command *g)
{
	const struct session *s = &g->port.main;

	if (s->input_refused && g->kind[0] == STREAM_OURS_PIPE && g->in_fd >= 0) {
		g->in_fd = -1;
		dup2(g->null_fd, STDIN_FILENO);
	}
	if (session_output_ended(s, GUEST_STDOUT) &&
	    g->kind[1] == STREAM_OURS_PIPE && g->fd[GUEST_STDOUT] >= 0) {
		if (g->fd[GUEST_STDOUT] != STDOUT_FILENO)
			close(g->fd[GUEST_STDOUT]);
		g->fd[GUEST_STDOUT] = -1;
		dup2(g->null_fd, STDOUT_FILENO);
	}
}

/* ^C was typed. Return: whether that ends the VM, as the guest is not there */
static bool key_ends(struct guest_command *g)
{
	u64 now = now_ns();

	if (g->port.main.state < SESSION_STARTED)
		return true;
	if (g->asked && now - g->asked < TWICE_NS)
		return now - g->asked >= TAKEN_NS;
	g->asked = now;
	g->port.main.told = true;
	return false;
}

/* Return: how many of the keys are for the guest; they are at @d. */
static size_t input_keys(struct guest_command *g, struct kvm *kvm, u8 *d,
			 size_t len)
{
	bool leave = false;
	size_t n = terminal_keys(&g->escape, d, len, &leave);

	for (size_t i = 0; i < n; i++) {
		if (d[i] == KEY_INTERRUPT && key_ends(g)) {
			command_end(g, kvm, SIGINT);
			return 0;
		}
	}
	if (leave)
		command_end(g, kvm, 0);
	return leave ? 0 : n;
}

/* The end of lines is for the guest's terminal to make an end of. */
static ssize_t bytes_read(const struct guest_command *g, u8 *d, size_t room)
{
	ssize_t n = read(g->in_fd, d, room);

	if (n || !g->lines || !terminal_is_ours(true))
		return n;
	*d = KEY_EOF;
	return 1;
}

/*
 * What is typed before the command runs, or while it takes nothing, is kept for it:
 * ^A x and ^C are heard whatever it does.
 */
static size_t typed_room(const struct guest_command *g)
{
	if (g->kind[0] != STREAM_OURS_TTY ||
	    (!g->typed_len && session_input_room(&g->port.main)))
		return 0;
	return sizeof(g->typed) - g->typed_len;
}

static void typed_read(struct guest_command *g, struct kvm *kvm)
{
	u8 *d = g->typed + g->typed_len;
	ssize_t n = bytes_read(g, d, typed_room(g));

	if (n > 0)
		g->typed_len += input_keys(g, kvm, d, n);
	else if (!n || (errno != EINTR && errno != EAGAIN))
		g->in_fd = -1;
}

static void typed_send(struct guest_command *g)
{
	size_t n = MIN(g->typed_len, session_input_room(&g->port.main));

	/* The terminal has gone, and what was typed at it has been said. */
	if (g->kind[0] == STREAM_OURS_TTY && g->in_fd < 0 && !g->typed_len &&
	    g->port.main.state == SESSION_STARTED && !g->port.main.input_ended)
		session_input(&g->port.main, NULL, 0);
	if (!n)
		return;
	session_input(&g->port.main, g->typed, n);
	memmove(g->typed, g->typed + n, g->typed_len - n);
	g->typed_len -= n;
}

static void input_read(struct guest_command *g, struct kvm *kvm)
{
	u8 d[GUEST_PROTO_DATA_MAX];
	size_t room = session_input_room(&g->port.main);
	ssize_t n;

	if (!room || g->typed_len)
		return;
	n = bytes_read(g, d, room);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		g->in_fd = -1;
		session_input(&g->port.main, NULL, 0);
	} else if (g->kind[0] == STREAM_OURS_TTY) {
		n = input_keys(g, kvm, d, n);
		if (n)
			session_input(&g->port.main, d, n);
	} else {
		session_input(&g->port.main, d, n);
	}
}

static bool input_wanted(const struct guest_command *g)
{
	return g->in_fd >= 0 &&
	       (g->kind[0] != STREAM_OURS_TTY || terminal_is_ours(g->lines)) &&
	       (session_input_room(&g->port.main) || typed_room(g));
}

static void input_serve(struct guest_command *g, struct kvm *kvm, bool readable)
{
	typed_send(g);
	if (!readable || !input_wanted(g))
		return;
	if (typed_room(g))
		typed_read(g, kvm);
	else
		input_read(g, kvm);
}

unsigned int command_poll(const struct guest_command *g,
			  struct pollfd p[COMMAND_POLL])
{
	p[0] = (struct pollfd){ .fd = g->wake_fd, .events = POLLIN };
	p[1] = (struct pollfd){
		.fd = input_wanted(g) ? g->in_fd : -1,
		.events = POLLIN,
	};
	for (unsigned int i = GUEST_STDOUT; i < GUEST_STREAMS; i++) {
		size_t len = 1;

		session_output(&g->port.main, i, &len);
		p[1 + i] = (struct pollfd){
			.fd = len ? g->fd[i] : -1,
			.events = POLLOUT,
		};
	}
	return COMMAND_OWN + execs_poll(g, p + COMMAND_OWN);
}

/* Until the guest has no room, which it says when it has, or there is no more */
static void bytes_send(struct guest_command *g, struct kvm *kvm)
{
	size_t len, n;

	do {
		const u8 *d = port_send(&g->port, &len);

		if (!len)
			return;
		if (__atomic_load_n(&g->carrier, __ATOMIC_RELAXED) != CARRIER_SERIAL)
			n = virtio_console_input(kvm->control_virtio, 0, d, len);
		else
			n = serial_input(kvm->control_serial, d, len);
		port_sent(&g->port, n);
	} while (n == len);
}

/* A state is passed in no time when frames come together. */
static void command_times(struct guest_command *g)
{
	enum session_state state = g->port.main.state;

	if (state != SESSION_SILENT && !g->init_time)
		g->init_time = now_ns();
	if ((state == SESSION_STARTED || state == SESSION_EXITED ||
	     state == SESSION_KILLED) && !g->start_time)
		g->start_time = now_ns();
	if (session_over(&g->port.main) && !g->end_time)
		g->end_time = now_ns();
}

void command_serve(struct guest_command *g, struct kvm *kvm,
		   const struct pollfd p[COMMAND_POLL])
{
	if (p[0].revents)
		eventfd_clear(g->wake_fd);
	/* Once, and again after a look at all else: a guest may have no end. */
	g->again |= port_run(&g->port);
	if (g->again) {
		g->again = false;
		if (kvm->control_virtio && !session_over(&g->port.main))
			virtio_console_resume(kvm->control_virtio, 0);
		pthread_mutex_lock(&g->lock);
		pthread_cond_broadcast(&g->space);
		pthread_mutex_unlock(&g->lock);
		command_wake(g);
	}
	command_times(g);
	if (g->port.main.credit >= g->port.window)
		g->asked = 0;
	for (unsigned int i = GUEST_STDOUT; i < GUEST_STREAMS; i++)
		output_write(g, i);
	streams_end(g);
	input_serve(g, kvm, p[1].fd >= 0 && p[1].revents);
	execs_serve(g);
	bytes_send(g, kvm);
	if (session_over(&g->port.main))
		kvm_end(kvm, VM_END_REPORTED, 0);
}
