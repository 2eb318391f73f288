// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's console on this process's stdin and stdout.
 *
 * Theory of operation: vCPU threads append to a bounded buffer, the main
 * thread writes it out; when the reader of stdout is slow the buffer fills.
 * Then the serial port's bytes hold the vCPU up, until console_shut(); those of
 * a virtio console stay in its queue. What passes is also looked at line by
 * line (klog.c) for a panic message, which is how the end of a guest without
 * pvpanic is told from an orderly one. Input is read by the main thread, at most a
 * buffer ahead of what the guest takes. A terminal is put in raw mode, and read, only
 * while we are in the foreground; ^A x leaves, ^A h helps, ^A ^A sends ^A.
 * The guest may send any bytes at any rate; it is all passed on unchanged.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/eventfd.h"
#include "kvm/hw.h"
#include "kvm/stream.h"
#include "kvm/virtio.h"

/* What a pause may put aside: beyond, what the guest prints is lost. */
#define OVER_MAX SZ_1M

static struct termios saved_termios;
static tcflag_t raw_lflag;
static sig_atomic_t termios_saved;
static sig_atomic_t raw_wanted;

/* Who has set it since then, as a pager does, wants it as it is. */
void terminal_restore(void)
{
	struct termios t;

	if (termios_saved && !tcgetattr(STDIN_FILENO, &t) &&
	    t.c_lflag == raw_lflag)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved_termios);
	termios_saved = 0;
	raw_wanted = 0;
}

static void fatal_signal(int sig)
{
	terminal_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

void terminal_raw(void)
{
	static const int fatal[] = {
		SIGSEGV, SIGABRT, SIGILL, SIGFPE, SIGTERM, SIGHUP, SIGQUIT,
		SIGINT, SIGUSR2, SIGALRM, SIGVTALRM, SIGXCPU, SIGSYS, SIGTRAP,
	};
	struct sigaction old;
	struct termios t;

	if (!isatty(STDIN_FILENO))
		return;
	if (!raw_wanted)
		atexit(terminal_restore);
	raw_wanted = 1;
	if (tcgetpgrp(STDIN_FILENO) != getpgrp() || tcgetattr(STDIN_FILENO, &t) < 0)
		return;
	/* Who was in front meanwhile may have left it as we did. */
	if (!raw_lflag || t.c_lflag != raw_lflag)
		saved_termios = t;
	cfmakeraw(&t);
	t.c_oflag |= OPOST;
	termios_saved = 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(fatal); i++)
		if (!sigaction(fatal[i], NULL, &old) && old.sa_handler == SIG_DFL)
			signal(fatal[i], fatal_signal);
	tcsetattr(STDIN_FILENO, TCSANOW, &t);
	/* As the terminal has it */
	raw_lflag = tcgetattr(STDIN_FILENO, &t) ? 0 : t.c_lflag;
}

static bool terminal_lines(void)
{
	struct termios t;

	return !tcgetattr(STDIN_FILENO, &t) && (t.c_lflag & ICANON);
}

bool terminal_is_ours(bool lines)
{
	pid_t front = tcgetpgrp(STDIN_FILENO);

	if (front >= 0 && front != getpgrp()) {
		/* A shell has made it what it wants itself. */
		termios_saved = 0;
		return false;
	}
	if (front >= 0 && raw_wanted && !termios_saved)
		terminal_raw();
	return !lines || terminal_lines();
}

static int open_common(struct console *c, struct report *r)
{
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->space, NULL);
	c->tty_fd = -1;
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake_fd < 0)
		return report_error(r, errno, "eventfd");
	c->opened = true;
	return 0;
}

int console_open(struct console *c, struct report *r)
{
	int err = open_common(c, r);

	if (err)
		return err;
	c->out_fd = STDOUT_FILENO;
	c->tty_fd = isatty(STDIN_FILENO) ? STDIN_FILENO : -1;
	terminal_raw();
	return 0;
}

int console_open_log(struct console *c, int out_fd, struct report *r)
{
	c->out_fd = out_fd;
	c->eof = true;
	return open_common(c, r);
}

/* There may be output that was not offered, too: console_feed() asks for it. */
void console_wake(void *opaque)
{
	struct console *c = opaque;

	pthread_mutex_lock(&c->lock);
	c->refused = true;
	pthread_mutex_unlock(&c->lock);
	eventfd_signal(c->wake_fd);
}

/* Return: how many bytes found room. */
static size_t console_append(struct console *c, const u8 *d, size_t len)
{
	size_t n = MIN(len, sizeof(c->buf) - c->len);

	/* It is read once: it may be the guest's memory. */
	memcpy(c->buf + c->len, d, n);
	klog_feed(&c->log, c->buf + c->len, n);
	if (!c->len)
		eventfd_signal(c->wake_fd);
	c->len += n;
	return n;
}

void console_output(void *opaque, const void *data, size_t len)
{
	struct console *c = opaque;
	const u8 *d = data;

	pthread_mutex_lock(&c->lock);
	while (len) {
		size_t n = console_append(c, d, len);

		if (!n && c->closing) {
			klog_feed(&c->log, d, len);
			break;
		}
		if (!n)
			pthread_cond_wait(&c->space, &c->lock);
		d += n;
		len -= n;
	}
	pthread_mutex_unlock(&c->lock);
}

size_t console_offer(void *opaque, const void *data, size_t len)
{
	struct console *c = opaque;
	size_t n;

	pthread_mutex_lock(&c->lock);
	n = console_append(c, data, len);
	if (n < len)
		c->refused = true;
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* A vCPU has no more than one access under way, but pauses may follow each other. */
void console_yield(void *opaque)
{
	static const char cut[] = "\r\nlkvm: there may have been more\r\n";
	struct console *c = opaque;
	u8 *over;

	pthread_mutex_lock(&c->lock);
	if (c->len == sizeof(c->buf) && c->over_len >= OVER_MAX) {
		/* A pause waits for nobody, and memory has an end. */
		c->len = 0;
		pthread_cond_broadcast(&c->space);
	}
	over = c->len == sizeof(c->buf) ?
	       realloc(c->over, c->over_len + c->len + sizeof(cut)) : NULL;
	if (over) {
		memcpy(over + c->over_len, c->buf, c->len);
		c->over = over;
		c->over_len += c->len;
		if (c->over_len >= OVER_MAX) {
			memcpy(over + c->over_len, cut, sizeof(cut) - 1);
			c->over_len += sizeof(cut) - 1;
		}
		c->len = 0;
		pthread_cond_broadcast(&c->space);
	}
	pthread_mutex_unlock(&c->lock);
}

/* The next bytes to go out: a copy of as many as fit */
static size_t console_peek(struct console *c, u8 *out, size_t size)
{
	size_t n;

	if (c->over_len) {
		n = MIN(c->over_len, size);
		memcpy(out, c->over, n);
		return n;
	}
	pthread_mutex_lock(&c->lock);
	n = MIN(c->len, size);
	memcpy(out, c->buf, n);
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* @n of the bytes at @d, which console_peek() copied, have found their reader. */
static void console_gone(struct console *c, const u8 *d, size_t n)
{
	if (c->tap)
		c->tap(c->tap_opaque, d, n);
	if (c->over_len) {
		c->over_len -= n;
		memmove(c->over, c->over + n, c->over_len);
		return;
	}
	pthread_mutex_lock(&c->lock);
	memmove(c->buf, c->buf + n, c->len - n);
	c->len -= n;
	pthread_cond_broadcast(&c->space);
	pthread_mutex_unlock(&c->lock);
}

int console_drain(struct console *c)
{
	struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };
	size_t budget = sizeof(c->buf);
	u8 out[4096];
	ssize_t n;

	eventfd_clear(c->wake_fd);
	for (;;) {
		size_t len = console_peek(c, out, sizeof(out));

		if (!len)
			return 0;
		if (!budget) {
			/* Here again when all else was looked at */
			eventfd_signal(c->wake_fd);
			return -EAGAIN;
		}
		if (p.fd >= 0 && poll(&p, 1, 0) <= 0)
			return -EAGAIN;
		n = p.fd < 0 ? (ssize_t)len : write(p.fd, out, len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return -EAGAIN;
		if (n < 0 && errno != EPIPE && !c->lost)
			c->lost = errno;
		if (n < 0)
			n = len;	/* nobody reads any more, or there is no room */
		budget -= MIN(budget, (size_t)n);
		console_gone(c, out, n);
	}
}

/* One with room for a byte can be written to, and holds up who writes two. */
int terminal_writer(int fd)
{
	bool socket;
	int own = isatty(fd) ? stream_reopen(fd, O_WRONLY, &socket) : -1;

	return own < 0 ? fd : own;
}

int output_writer(int fd, bool *whole)
{
	struct stat st;
	bool socket;
	int own;

	*whole = false;
	if (fd < 0 || fstat(fd, &st) < 0)
		return fd;
	*whole = S_ISREG(st.st_mode);
	if (!S_ISFIFO(st.st_mode))
		return terminal_writer(fd);
	own = stream_reopen(fd, O_WRONLY, &socket);
	*whole = own >= 0;
	return own < 0 ? fd : own;
}

bool stderr_is_ready(void)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&p, 1, 100);
}

void terminal_unread(int own)
{
	if (isatty(STDERR_FILENO) && isatty(own) && !stderr_is_ready())
		dup2(own, STDERR_FILENO);
}

enum terminal_key { KEY_SEND, KEY_NONE, KEY_LEAVE };

static enum terminal_key terminal_key(bool *escape, u8 ch)
{
	static const char help[] =
		"\r\nlkvm: ^A x leaves, ^A h is this help, ^A ^A sends ^A\r\n";
	bool escaped = *escape;

	*escape = !escaped && ch == 1;
	if (*escape)
		return KEY_NONE;
	if (escaped && (ch == 'x' || ch == 'X'))
		return KEY_LEAVE;
	if (!escaped || (ch != 'h' && ch != '?'))
		return KEY_SEND;
	fputs(help, stderr);
	return KEY_NONE;
}

size_t terminal_keys(bool *escape, u8 *d, size_t len, bool *leave)
{
	size_t n = 0;

	for (size_t i = 0; i < len && !*leave; i++) {
		enum terminal_key key = terminal_key(escape, d[i]);

		*leave = key == KEY_LEAVE;
		if (key == KEY_SEND)
			d[n++] = d[i];
	}
	return n;
}

/* ^A x is looked for also when the guest takes nothing. */
bool console_wants_input(const struct console *c)
{
	if (c->eof || c->tty_fd < 0)
		return !c->eof && !c->in_len;
	return c->in_len < sizeof(c->in) && terminal_is_ours(false);
}

int console_input(struct console *c)
{
	u8 *d = c->in + c->in_len;
	ssize_t n = read(STDIN_FILENO, d, MIN(sizeof(c->in) - c->in_len, 1024U));
	bool leave = false;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		c->eof = true;
		return 0;
	}
	c->in_len += c->tty_fd < 0 ? (size_t)n : terminal_keys(&c->escape, d, n, &leave);
	return leave;
}

/* Half a buffer of room is worth a look at the guest's queue. */
static bool console_has_room(struct console *c)
{
	bool room;

	pthread_mutex_lock(&c->lock);
	room = c->refused && c->len <= sizeof(c->buf) / 2;
	if (room)
		c->refused = false;
	pthread_mutex_unlock(&c->lock);
	return room;
}

void console_feed(struct console *c, struct kvm *kvm)
{
	size_t n;

	if (kvm->console_virtio && console_has_room(c))
		virtio_console_resume(kvm->console_virtio, 0);
	if (!c->in_len)
		return;
	if (kvm->console_virtio)
		n = virtio_console_input(kvm->console_virtio, 0, c->in,
					 c->in_len);
	else
		n = serial_input(kvm->console_serial, c->in, c->in_len);
	memmove(c->in, c->in + n, c->in_len - n);
	c->in_len -= n;
}

void console_flush(struct console *c, struct kvm *kvm, unsigned int total_ms)
{
	struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };
	u64 end = now_ns() + total_ms * NSEC_PER_MSEC;
	int ret, left;

	do {
		c->stuck = false;
		ret = console_drain(c);
		if (kvm->console_virtio && console_has_room(c)) {
			virtio_console_resume(kvm->console_virtio, 0);
			ret = -EAGAIN;
		}
		c->stuck = ret == -EAGAIN;
		left = ms_left(end);
	} while (c->stuck && left && (p.fd < 0 || poll(&p, 1, MIN(left, 2000)) > 0));
}

void console_shut(struct console *c)
{
	pthread_mutex_lock(&c->lock);
	c->closing = true;
	pthread_cond_broadcast(&c->space);
	pthread_mutex_unlock(&c->lock);
}

void console_close(struct console *c)
{
	struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };

	if (!c->opened)
		return;
	c->opened = false;
	console_shut(c);
	while (console_drain(c) == -EAGAIN && !c->stuck &&
	       poll(&p, 1, 2000) > 0)
		;
	terminal_restore();
	close(c->wake_fd);
	free(c->over);
	c->over = NULL;
}
