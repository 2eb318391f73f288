// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bytes between a command and the host.
 *
 * Theory of operation: a stream of the command is read only while the host has
 * given credit for it and there is room for a frame, so that whoever does not
 * read holds up the writer and nothing else. Input is kept in a ring as large as
 * the window that the host was given; credit is given back by half windows as the
 * command takes it, and of keys at once. When the command is gone, what is in its
 * pipes by then and on its terminal still goes out; others who hold these open are
 * not waited for, nor is what they go on writing.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/poll.h>

#include "init.h"
#include "sys.h"

static struct frame_of frame_of(const struct relay *r, u8 type, u8 stream)
{
	return (struct frame_of){ type, stream, r->session };
}

static void stream_close(struct relay *r, unsigned int stream)
{
	int *fd = &r->child.fd[stream];

	if (*fd < 0)
		return;
	sys_close(*fd);
	*fd = -1;
	port_put(r->port, frame_of(r, GUEST_EOF, stream), NULL, 0);
}

static void input_take(struct relay *r, const u8 *d, u32 len)
{
	u32 at = (r->pos + r->len) % sizeof(r->ring), first;

	len = MIN(len, (u32)sizeof(r->ring) - r->len);
	first = MIN(len, (u32)sizeof(r->ring) - at);
	memcpy(r->ring + at, d, first);
	memcpy(r->ring, d + first, len - first);
	r->len += len;
	/* What a terminal makes of it */
	for (u32 i = 0; r->end != r->input && i < len; i++)
		if (r->ring[(at + i) % sizeof(r->ring)] == '\r')
			r->ring[(at + i) % sizeof(r->ring)] = '\n';
}

static void input_credit(struct relay *r)
{
	__le32 v = htole32(r->taken);

	port_put(r->port, frame_of(r, GUEST_CREDIT, r->input), &v, sizeof(v));
	r->taken = 0;
}

static void input_feed(struct relay *r)
{
	int fd = r->child.fd[r->end];

	while (r->len && fd >= 0) {
		u32 len = MIN(r->len, (u32)sizeof(r->ring) - r->pos);
		long n = sys_write(fd, r->ring + r->pos, len);

		if (n == -EAGAIN || n == -EINTR)
			break;
		if (n <= 0 && r->end == GUEST_STDIN)
			stream_close(r, GUEST_STDIN);
		if (n <= 0)
			break;
		r->pos = (r->pos + n) % sizeof(r->ring);
		r->len -= n;
		r->taken += n;
	}
	if (r->child.fd[r->end] < 0) {
		/* Keys that are not for the command are to be read, too. */
		r->taken += r->len;
		r->len = 0;
	}
	/* Of keys the host wants to know at once; bytes go on without that. */
	if (r->taken >= r->port->window / 2 ||
	    (r->taken && !r->len && r->input == GUEST_TERMINAL))
		input_credit(r);
	if (!r->no_more || r->len)
		return;
	stream_close(r, r->end);
}

static u32 get32(const u8 *d)
{
	return d[0] | d[1] << 8 | d[2] << 16 | (u32)d[3] << 24;
}

void relay_frame(struct relay *r, const struct guest_frame *f, const u8 *d)
{
	struct child *c = &r->child;
	u32 len = le32toh(f->len);

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
		port_put(r->port, frame_of(r, GUEST_SIGNAL, 0), NULL, 0);
		break;
	}
}

/* More than the kernel keeps of a terminal's output, which says no number */
#define TERMINAL_MOST 0x10000U

/* What others write after that is not the command's: they may never end. */
static void outputs_count(struct relay *r)
{
	r->counted = true;
	for (unsigned int i = GUEST_STDOUT; i < GUEST_STREAMS; i++) {
		bool tty = i == GUEST_TERMINAL && !r->child.no_terminal;
		int n = 0;

		if (!tty && r->child.fd[i] >= 0)
			sys_ioctl(r->child.fd[i], FIONREAD, &n);
		r->left[i] = tty ? TERMINAL_MOST : (u32)n;
	}
}

/* Return: whether there may be more to be read */
static bool output_move(struct relay *r, unsigned int stream)
{
	struct port *p = r->port;
	int fd = r->child.fd[stream];
	size_t len = MIN(port_room(p), (size_t)r->credit[stream]);
	long n;

	if (fd < 0)
		return false;
	if (r->counted)
		len = MIN(len, (size_t)r->left[stream]);
	/* That waits for nobody. */
	if (r->counted && !r->left[stream])
		stream_close(r, stream);
	if (!len)
		return false;
	n = sys_read(fd, port_data(p), len);
	if (n > 0) {
		port_commit(p, frame_of(r, GUEST_DATA, stream), n);
		r->credit[stream] -= n;
		if (r->counted)
			r->left[stream] -= n;
		return true;
	}
	if ((n == -EAGAIN || n == -EINTR) && !r->child.gone)
		return false;
	/* A terminal that nobody has open may be opened again. */
	if (stream == GUEST_TERMINAL && !r->child.gone)
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

bool relay_move(struct relay *r)
{
	if (r->child.gone && !r->counted)
		outputs_count(r);
	input_feed(r);
	for (unsigned int i = GUEST_STDOUT; i < GUEST_STREAMS; i++)
		while (output_move(r, i))
			;
	return r->child.gone && !outputs_open(&r->child);
}

void relay_poll(const struct relay *r, struct pollfd *p)
{
	const struct child *c = &r->child;

	for (unsigned int i = 0; i < GUEST_STREAMS; i++) {
		bool out = r->started && i != GUEST_STDIN && r->credit[i] &&
			   port_room(r->port);
		bool in = i == r->end && r->len;

		p[i] = (struct pollfd){
			.fd = c->fd[i],
			.events = (out ? POLLIN : 0) | (in ? POLLOUT : 0),
		};
		/* Who stops reading its input is to be noticed. */
		if (!p[i].events && i != GUEST_STDIN)
			p[i].fd = -1;
	}
	p[GUEST_STREAMS] = (struct pollfd){
		.fd = c->report, .events = POLLIN,
	};
}

void relay_polled(struct relay *r, const struct pollfd *p)
{
	if (p[GUEST_STDIN].revents & (POLLERR | POLLNVAL))
		stream_close(r, GUEST_STDIN);
}

void relay_start(struct relay *r, u32 window)
{
	r->input = r->config->stream[GUEST_STDIN] == KIND_TTY ? GUEST_TERMINAL :
								GUEST_STDIN;
	r->end = r->child.fd[GUEST_STDIN] >= 0 ? GUEST_STDIN : r->input;
	for (unsigned int i = 0; i < GUEST_STREAMS; i++)
		r->credit[i] = window;
}
