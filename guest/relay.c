// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bytes between the command and the host.
 *
 * Theory of operation: one loop around ppoll(2), which alone lets SIGCHLD in. A
 * stream of the command is read only while the host has given credit for it and
 * there is room for a frame, so that whoever does not read holds up the writer
 * and nothing else. Input is kept in a ring as large as the window that the host
 * was given, and credit is given back as the command takes it. When the command
 * is gone, what is in its pipes by then and on its terminal still goes out; others
 * who hold these open are not waited for, nor is what they go on writing.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/signal.h>
#include <linux/wait.h>

#include "init.h"
#include "sys.h"

#define SA_RESTORER_FLAG 0x04000000UL

/**
 * struct relay - @credit: bytes that the host takes; @ring: input
 * @taken: of the ring, since credit was given last
 * @left: what was in a pipe when the command was gone, which @counted says
 * @no_more: the host has said that input has ended
 * @input: the stream that input is of
 */
struct relay {
	struct port *port;
	struct child *child;
	u32 credit[GUEST_STREAMS];
	u32 left[GUEST_STREAMS];
	bool counted;
	u8 input;
	bool no_more;
	u32 taken;
	u32 pos;
	u32 len;
	u8 ring[GUEST_PROTO_WINDOW];
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

void relay_init(void)
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

static void reap(struct child *c)
{
	int status, pid;

	while ((pid = sys_wait4(-1, &status, WNOHANG)) > 0) {
		if (pid != c->pid)
			continue;
		c->gone = true;
		c->status = status;
	}
}

void processes_end(void)
{
	sys_kill(-1, SIGKILL);
	while (sys_wait4(-1, NULL, 0) > 0)
		;
}

static void stream_close(struct relay *r, unsigned int stream)
{
	int *fd = &r->child->fd[stream];

	if (*fd < 0)
		return;
	sys_close(*fd);
	*fd = -1;
	port_put(r->port, GUEST_EOF, stream, NULL, 0);
}

static void input_take(struct relay *r, const u8 *d, u32 len)
{
	len = MIN(len, (u32)sizeof(r->ring) - r->len);
	for (u32 i = 0; i < len; i++)
		r->ring[(r->pos + r->len + i) % sizeof(r->ring)] = d[i];
	r->len += len;
}

static void input_feed(struct relay *r)
{
	int fd = r->child->fd[r->input];

	while (r->len && fd >= 0) {
		u32 len = MIN(r->len, (u32)sizeof(r->ring) - r->pos);
		long n = sys_write(fd, r->ring + r->pos, len);

		if (n == -EAGAIN || n == -EINTR)
			break;
		if (n <= 0 && r->input == GUEST_STDIN)
			stream_close(r, GUEST_STDIN);
		if (n <= 0)
			break;
		r->pos = (r->pos + n) % sizeof(r->ring);
		r->len -= n;
		r->taken += n;
	}
	if (r->child->fd[r->input] < 0)
		r->len = 0;
	if (r->taken >= r->port->window / 2 || (r->taken && !r->len)) {
		port_put32(r->port, GUEST_CREDIT, r->input, r->taken);
		r->taken = 0;
	}
	if (!r->no_more || r->len)
		return;
	stream_close(r, r->input);
}

static u32 get32(const u8 *d)
{
	return d[0] | d[1] << 8 | d[2] << 16 | (u32)d[3] << 24;
}

static void handle(struct relay *r, const struct guest_frame *f, const u8 *d)
{
	struct child *c = r->child;
	u32 len = le32toh(f->len);

	if (f->stream >= GUEST_STREAMS)
		return;
	switch (f->type) {
	case GUEST_DATA:
		if (f->stream == r->input)
			input_take(r, d, len);
		break;
	case GUEST_EOF:
		if (f->stream == r->input)
			r->no_more = true;
		else
			stream_close(r, f->stream);
		break;
	case GUEST_CREDIT:
		if (len == 4)
			r->credit[f->stream] += get32(d);
		break;
	case GUEST_WINSIZE:
		if (len == 4)
			child_resize(c, d[0] | d[1] << 8, d[2] | d[3] << 8);
		break;
	case GUEST_SIGNAL:
		if (len == 4 && !c->gone)
			sys_kill(-c->pid, get32(d));
		break;
	}
}

/* The terminal ends by itself: nobody else is in its session. */
static void outputs_count(struct relay *r)
{
	r->counted = true;
	for (unsigned int i = GUEST_STDOUT; i < GUEST_STREAMS; i++) {
		int n = 0;

		if (i != GUEST_TERMINAL && r->child->fd[i] >= 0)
			sys_ioctl(r->child->fd[i], FIONREAD, &n);
		r->left[i] = i == GUEST_TERMINAL ? ~0U : (u32)n;
	}
}

/* Return: whether there may be more to be read */
static bool output_move(struct relay *r, unsigned int stream)
{
	struct port *p = r->port;
	int fd = r->child->fd[stream];
	size_t len = MIN(port_room(p), (size_t)r->credit[stream]);
	long n;

	if (fd < 0 || !len)
		return false;
	if (r->counted)
		len = MIN(len, (size_t)r->left[stream]);
	if (!len) {
		stream_close(r, stream);
		return false;
	}
	n = sys_read(fd, port_data(p), len);
	if (n > 0) {
		port_commit(p, GUEST_DATA, stream, n);
		r->credit[stream] -= n;
		if (r->counted && stream != GUEST_TERMINAL)
			r->left[stream] -= n;
		return true;
	}
	if ((n == -EAGAIN || n == -EINTR) && !r->child->gone)
		return false;
	/* A terminal that nobody has open may be opened again. */
	if (stream == GUEST_TERMINAL && !r->child->gone)
		return false;
	if (n != -EINTR)
		stream_close(r, stream);
	return false;
}

static bool outputs_open(const struct child *c)
{
	return c->fd[GUEST_STDOUT] >= 0 || c->fd[GUEST_STDERR] >= 0 ||
	       c->fd[GUEST_TERMINAL] >= 0;
}

static void wait_for_work(struct relay *r)
{
	struct pollfd p[GUEST_STREAMS + 1];
	const struct child *c = r->child;
	u64 mask = 0;

	for (unsigned int i = 0; i < GUEST_STREAMS; i++) {
		bool out = i != GUEST_STDIN && r->credit[i] && port_room(r->port);
		bool in = i == r->input && r->len;

		p[i] = (struct pollfd){
			.fd = c->fd[i],
			.events = (out ? POLLIN : 0) | (in ? POLLOUT : 0),
		};
		/* Who stops reading its input is to be noticed. */
		if (!p[i].events && i != GUEST_STDIN)
			p[i].fd = -1;
	}
	p[GUEST_STREAMS] = (struct pollfd){
		.fd = r->port->fd,
		.events = POLLIN | (r->port->out_len ? POLLOUT : 0),
	};
	SYS(__NR_ppoll, (long)p, GUEST_STREAMS + 1, 0, (long)&mask,
	    sizeof(mask));
	if (p[GUEST_STDIN].revents & (POLLERR | POLLNVAL))
		stream_close(r, GUEST_STDIN);
}

void relay_run(struct port *p, struct child *c, u32 window)
{
	static struct relay r;
	struct guest_frame f;
	const u8 *data;

	r.port = p;
	r.child = c;
	r.input = c->fd[GUEST_STDIN] >= 0 ? GUEST_STDIN : GUEST_TERMINAL;
	for (unsigned int i = 0; i < GUEST_STREAMS; i++)
		r.credit[i] = window;
	for (;;) {
		reap(c);
		if (c->gone && !r.counted)
			outputs_count(&r);
		port_pull(p);
		while (port_next(p, &f, &data)) {
			handle(&r, &f, data);
			port_done(p, &f);
		}
		input_feed(&r);
		for (unsigned int i = GUEST_STDOUT; i < GUEST_STREAMS; i++)
			while (output_move(&r, i))
				;
		if (c->gone && !outputs_open(c))
			return;
		port_push(p);
		wait_for_work(&r);
	}
}
