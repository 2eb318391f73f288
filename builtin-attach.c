// SPDX-License-Identifier: GPL-2.0-only
/*
 * The console of a running VM, for those who attach to it.
 *
 * Theory of operation: who opens the console passes a socket; what goes to the
 * console's own output goes there, too, after the last lines that went before.
 * Any number may read. A reader that is slow loses bytes, and is told how many,
 * rather than to hold up the guest and the others. What comes from the sockets
 * of those who want to type is the console's input, in pieces as they come; while
 * the guest has no room for more it stays in the socket.
 *
 * The main thread. A reader is freed when its socket ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/virtio.h"

#define READER_MAX 0x20000U
#define READERS_MAX 32

/**
 * struct console_reader - one who has the console open
 * @buf: what it has yet to take; @lost: bytes since there was room last
 * @input: it may type; @ended: it will not any more
 */
struct console_reader {
	struct control_watch watch;
	struct console_reader *next;
	struct vm_control *v;
	u8 *buf;
	size_t len;
	u64 lost;
	u32 events;
	bool input;
	bool ended;
};

static void reader_close(struct console_reader *r)
{
	struct console_reader **at = &r->v->readers;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	control_watch_remove(r->v->server, &r->watch);
	close(r->watch.fd);
	free(r->buf);
	free(r);
}

static void reader_update(struct console_reader *r)
{
	const struct console *c = r->v->console;
	bool room = c->in_len < sizeof(c->in);
	u32 events = (r->len ? EPOLLOUT : 0) |
		     (!r->ended && (room || !r->input) ? EPOLLIN : 0);

	if (events == r->events)
		return;
	r->events = events;
	control_watch_change(r->v->server, &r->watch, events);
}

static void reader_append(struct console_reader *r, const void *d, size_t len)
{
	size_t n = MIN(len, READER_MAX - r->len);

	memcpy(r->buf + r->len, d, n);
	r->len += n;
	r->lost += len - n;
}

/* Return: false when nobody reads any more. */
static bool reader_write(struct console_reader *r)
{
	char note[64];

	while (r->len) {
		ssize_t n = send(r->watch.fd, r->buf, r->len,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		r->len -= n;
		memmove(r->buf, r->buf + n, r->len);
	}
	if (r->lost) {
		int n = snprintf(note, sizeof(note),
				 "\r\n[lkvm: %llu bytes were lost here]\r\n",
				 (unsigned long long)r->lost);

		r->lost = 0;
		reader_append(r, note, n);
	}
	return true;
}

/* Return: false when the socket has ended. */
static bool reader_read(struct console_reader *r)
{
	struct console *c = r->v->console;
	u8 waste[512];
	u8 *to = r->input ? c->in + c->in_len : waste;
	size_t room = r->input ? sizeof(c->in) - c->in_len : sizeof(waste);
	ssize_t n;

	if (!room)
		return true;
	n = recv(r->watch.fd, to, room, MSG_DONTWAIT);
	if (n > 0 && r->input)
		c->in_len += n;
	r->ended |= !n;
	return n >= 0 || errno == EAGAIN || errno == EINTR;
}

static void reader_ready(struct control_watch *w, u32 events)
{
	struct console_reader *r = container_of(w, struct console_reader, watch);
	bool good = !(events & (EPOLLHUP | EPOLLERR));

	if (events & EPOLLIN)
		good &= reader_read(r);
	if (good)
		good = reader_write(r);
	if (good)
		reader_update(r);
	else
		reader_close(r);
}

static void readers_tap(void *opaque, const void *d, size_t len)
{
	struct vm_control *v = opaque;
	struct console_reader *next;

	for (struct console_reader *r = v->readers; r; r = next) {
		next = r->next;
		reader_append(r, d, len);
		if (reader_write(r))
			reader_update(r);
		else
			reader_close(r);
	}
}

static int reader_add(struct vm_control *v, int fd, bool input)
{
	struct console_reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->buf = malloc(READER_MAX);
	r->v = v;
	r->input = input;
	r->events = EPOLLIN;
	r->watch = (struct control_watch){ fd, reader_ready };
	err = r->buf ? control_watch_add(v->server, &r->watch, EPOLLIN) : -ENOMEM;
	if (err) {
		free(r->buf);
		free(r);
		return err;
	}
	r->next = v->readers;
	v->readers = r;
	v->console->tap = readers_tap;
	v->console->tap_opaque = v;
	return 0;
}

static bool is_stream(int fd)
{
	socklen_t len = sizeof(int);
	int type;

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) &&
	       type == SOCK_STREAM;
}

void console_reader_open(struct control_call *call)
{
	static char tail[KLOG_TAIL + 1];
	struct vm_control *v = call->vm;
	struct kvm *kvm = control_kvm(call);
	unsigned int nr = 0;
	int err;

	if (!kvm)
		return;
	for (const struct console_reader *r = v->readers; r; r = r->next)
		nr++;
	if (nr == READERS_MAX || !is_stream(call->fd[0])) {
		control_refuse(call, nr == READERS_MAX ? "busy" : "invalid", NULL,
			       nr == READERS_MAX ? "too many have it open" :
			       "the file is no stream socket");
		return;
	}
	err = reader_add(v, call->fd[0], call->arg[0].flag);
	if (err) {
		control_refuse(call, "failed", NULL, "%s", strerror(-err));
		return;
	}
	call->fd[0] = -1;
	if (call->arg[1].given && call->arg[2].given && kvm->console_virtio)
		virtio_console_resize(kvm->console_virtio, call->arg[2].number,
				      call->arg[1].number);
	pthread_mutex_lock(&v->console->lock);
	nr = klog_tail(&v->console->log, tail);
	pthread_mutex_unlock(&v->console->lock);
	reader_append(v->readers, tail, nr);
	if (reader_write(v->readers))
		reader_update(v->readers);
	else
		reader_close(v->readers);
}

void console_readers_serve(struct vm_control *v)
{
	for (struct console_reader *r = v->readers; r; r = r->next)
		reader_update(r);
}

void console_readers_close(struct vm_control *v)
{
	while (v->readers)
		reader_close(v->readers);
}
