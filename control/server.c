// SPDX-License-Identifier: GPL-2.0-only
/*
 * The server of a VM's control socket: connections, lines, answers, events.
 *
 * Theory of operation: one epoll instance holds the listening socket, the
 * clients and what handlers watch; its own descriptor is what the main loop
 * waits for, and control_server_run() does what is due without waiting. A client
 * has a buffer for the line it is sending, which grows to CONTROL_LINE_MAX, and
 * one for what it has yet to read. While more than OUT_HIGH bytes are in that one
 * nothing is read from the client any more, and events are lost rather than kept:
 * who is slow, silent or garbled can hurt only itself. When all places are taken
 * the client that has been idle for the longest time makes room, or the one that has
 * just come; it is told so.
 *
 * Lines are taken apart by json.c and checked by the table (control/request.c).
 *
 * Only this user, or root, is listened to (SO_PEERCRED).
 *
 * Files that come with a line (SCM_RIGHTS) are kept for the next command of that
 * client that takes files.
 *
 * One thread; no locks. A client that is to be closed is marked and freed at the
 * end of control_server_run(), since others still point to it.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control/server.h"
#include "kvm/clock.h"
#include "kvm/unix.h"

#define BACKLOG 128
#define CLIENTS_MAX 128
#define LATER_MAX 64
#define LINES_AT_ONCE 16
#define DEAF_NS (100 * NSEC_PER_MSEC)
#define READ_SIZE 0x4000
#define OUT_HIGH 0x40000
#define EVENT_HIGH 0x10000
#define VALUES_MAX 4096
#define BATCH 32

int control_watch_add(struct control_server *s, struct control_watch *w,
		      u32 events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, w->fd, &e) < 0 ? -errno : 0;
}

int control_watch_change(struct control_server *s, struct control_watch *w,
			 u32 events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	return epoll_ctl(s->epoll, EPOLL_CTL_MOD, w->fd, &e) < 0 ? -errno : 0;
}

void control_watch_remove(struct control_server *s, struct control_watch *w)
{
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	/* What epoll_wait() has returned already may be about it. */
	for (int i = 0; i < s->nr_ready; i++)
		if (s->ready[i].data.ptr == w)
			s->ready[i].data.ptr = NULL;
}

static void client_close(struct control_client *c)
{
	if (c->dead)
		return;
	c->dead = true;
	control_watch_remove(c->server, &c->watch);
	close(c->watch.fd);
	for (unsigned int i = 0; i < c->nr_fds; i++)
		close(c->fd[i]);
	c->nr_fds = 0;
	while (c->later) {
		struct control_later *l = c->later;

		c->later = l->next;
		l->client = NULL;
		if (l->gone)
			l->gone(l);
	}
}

/* All that there was to say is said, and nothing more can be asked. */
static bool client_is_done(const struct control_client *c)
{
	return c->eof && !c->out.len && !c->later && !c->subscribed &&
	       !c->waiting;
}

/* Not while there is much to be read or much to be done already */
static bool client_may_ask(const struct control_client *c)
{
	return !c->dead && c->out.len <= OUT_HIGH && c->nr_later < LATER_MAX;
}

static void client_update(struct control_client *c)
{
	bool may = client_may_ask(c);
	u32 events = (c->out.len || (c->waiting && may) ? EPOLLOUT : 0) |
		     (!c->eof && !c->waiting && may ? EPOLLIN : 0);

	if (c->dead)
		return;
	if (client_is_done(c) || c->out.err) {
		client_close(c);
	} else if (events != c->events) {
		c->events = events;
		control_watch_change(c->server, &c->watch, events);
	}
}

static void client_write(struct control_client *c)
{
	while (c->out.len && !c->dead) {
		ssize_t n = send(c->watch.fd, c->out.text, c->out.len,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			client_close(c);
		if (n < 0)
			return;
		c->out.len -= n;
		memmove(c->out.text, c->out.text + n, c->out.len);
	}
	if (!c->out.len)
		json_out_free(&c->out);
}

static void answer_begin(struct json_out *o, u64 id, bool has_id)
{
	json_open(o, NULL, '{');
	if (has_id)
		json_put_number(o, "id", id);
	else
		json_put_string(o, "id", NULL);
}

static void answer_end(struct control_client *c)
{
	json_close(&c->out, '}');
	json_end_line(&c->out);
	client_write(c);
	client_update(c);
}

void client_error(struct control_client *c, const struct control_error *e)
{
	answer_begin(&c->out, e->id, e->has_id);
	json_open(&c->out, "error", '{');
	json_put_string(&c->out, "code", e->code);
	if (e->path)
		json_put_string(&c->out, "path", e->path);
	json_put_string(&c->out, "msg", e->msg);
	json_close(&c->out, '}');
	answer_end(c);
}

void client_answer(struct control_client *c, u64 id,
		   const struct json_out *members)
{
	answer_begin(&c->out, id, true);
	json_open(&c->out, "ok", '{');
	if (members && members->len)
		json_put_raw(&c->out, NULL, members->text, members->len);
	json_close(&c->out, '}');
	answer_end(c);
}

void control_refuse(struct control_call *call, const char *code,
		    const char *path, const char *fmt, ...)
{
	struct control_error e = {
		.id = call->id, .has_id = true, .code = code, .path = path,
	};
	va_list ap;

	if (call->answered || call->later)
		return;
	call->answered = true;
	va_start(ap, fmt);
	vsnprintf(e.msg, sizeof(e.msg), fmt, ap);
	va_end(ap);
	client_error(call->client, &e);
}

void control_later(struct control_call *call, struct control_later *l)
{
	call->later = true;
	l->client = call->client;
	l->id = call->id;
	l->next = call->client->later;
	call->client->later = l;
	call->client->nr_later++;
}

/* Return: the client, NULL when it is gone; in any case @l is free. */
static struct control_client *later_done(struct control_later *l)
{
	struct control_client *c = l->client;
	struct control_later **at;

	if (!c)
		return NULL;
	for (at = &c->later; *at != l;)
		at = &(*at)->next;
	*at = l->next;
	c->nr_later--;
	l->client = NULL;
	return c;
}

void control_answer(struct control_later *l, const struct json_out *members)
{
	struct control_client *c = later_done(l);

	if (c)
		client_answer(c, l->id, members);
}

void control_answer_error(struct control_later *l, const char *code,
			  const char *fmt, ...)
{
	struct control_client *c = later_done(l);
	struct control_error e = { .id = l->id, .has_id = true, .code = code };
	va_list ap;

	if (!c)
		return;
	va_start(ap, fmt);
	vsnprintf(e.msg, sizeof(e.msg), fmt, ap);
	va_end(ap);
	client_error(c, &e);
}

/*
 * Run complete lines: at most LINES_AT_ONCE at a time, and none while the client has
 * too much unread output or too many open requests.
 */
static void client_lines(struct control_client *c)
{
	unsigned int lines = 0;
	size_t at = 0;

	while (!c->dead && c->in_len > at) {
		char *line = c->in + at;
		char *end = memchr(line, '\n', c->in_len - at);

		c->waiting = end && (lines++ == LINES_AT_ONCE || !client_may_ask(c));
		if (!end || c->waiting)
			break;
		at += end - line + 1;
		request_run(c, line, end - line);
	}
	if (at) {
		c->in_len -= at;
		memmove(c->in, c->in + at, c->in_len);
	}
	if (c->in_len)
		return;
	c->waiting = false;
	free(c->in);
	c->in = NULL;
	c->in_size = 0;
}

static bool client_grow(struct control_client *c)
{
	size_t size = MAX(c->in_size * 2, (size_t)READ_SIZE);
	char *in;

	if (c->in_size - c->in_len >= READ_SIZE / 2)
		return true;
	in = realloc(c->in, MIN(size, (size_t)CONTROL_LINE_MAX + READ_SIZE));
	if (!in)
		return false;
	c->in = in;
	c->in_size = MIN(size, (size_t)CONTROL_LINE_MAX + READ_SIZE);
	return true;
}

static void client_take_fds(struct control_client *c, struct msghdr *m)
{
	struct cmsghdr *h;

	for (h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t nr = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fd;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < nr; i++) {
			memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
			if (c->nr_fds < CONTROL_FDS_MAX) {
				c->fd[c->nr_fds++] = fd;
			} else {
				close(fd);
				c->too_many_fds = true;
			}
		}
	}
	if (m->msg_flags & MSG_CTRUNC)
		c->too_many_fds = true;
}

static ssize_t client_receive(struct control_client *c)
{
	union {
		char buf[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { c->in + c->in_len, c->in_size - c->in_len };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n = recvmsg(c->watch.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n >= 0)
		client_take_fds(c, &m);
	return n < 0 ? -errno : n;
}

/* The end of a request cannot be found any more: send an error and close. */
static void client_give_up(struct control_client *c, const char *code,
			   const char *why)
{
	struct control_error e = { .code = code };

	snprintf(e.msg, sizeof(e.msg), "%s", why);
	c->eof = true;
	c->in_len = 0;
	client_error(c, &e);
}

static void client_read(struct control_client *c)
{
	ssize_t n;

	if (!client_grow(c)) {
		client_close(c);
		return;
	}
	n = client_receive(c);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n < 0) {
		client_close(c);
		return;
	}
	c->eof |= !n;
	c->in_len += n;
	if (c->too_many_fds)
		client_give_up(c, "parse", "too many files");
}

static void client_ready(struct control_watch *w, u32 events)
{
	struct control_client *c = container_of(w, struct control_client, watch);

	c->active = ++c->server->clock;
	if (events & EPOLLOUT)
		client_write(c);
	if ((events & EPOLLIN) && !c->dead)
		client_read(c);
	client_lines(c);
	if (events & (EPOLLHUP | EPOLLERR))
		client_close(c);
	if (!c->dead && !c->waiting && c->in_len > CONTROL_LINE_MAX)
		client_give_up(c, "parse", "line too long");
	client_update(c);
}

static void client_turn_away(struct control_client *c)
{
	client_give_up(c, "busy", "too many clients");
	client_close(c);
}

/*
 * The one that has had nothing to do for the longest time goes, one that only hears
 * of events if nobody else can. Return: whether there was one.
 */
static bool make_room(struct control_server *s)
{
	struct control_client *oldest = NULL;
	u64 since = ~0ULL;

	for (struct control_client *c = s->clients; c; c = c->next) {
		u64 active = c->active + ((u64)c->subscribed << 62);

		if (c->dead || c->later || active >= since)
			continue;
		since = active;
		oldest = c;
	}
	if (oldest)
		client_turn_away(oldest);
	return oldest;
}

static bool peer_may(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
	       (peer.uid == geteuid() || !peer.uid);
}

static void client_greet(struct control_client *c)
{
	struct control_server *s = c->server;

	json_open(&c->out, NULL, '{');
	json_open(&c->out, "lkvm", '{');
	json_put_string(&c->out, "version", s->opts.version);
	json_put_number(&c->out, "protocol", CONTROL_PROTOCOL);
	json_put_string(&c->out, "name", s->opts.name);
	json_put_number(&c->out, "pid", getpid());
	json_close(&c->out, '}');
	answer_end(c);
}

/*
 * Out of descriptors: do not poll the listening socket for DEAF_NS, or until a client
 * is freed, so that the loop does not spin.
 */
static void server_deafen(struct control_server *s)
{
	if (!control_watch_change(s, &s->watch, 0))
		s->deaf = now_ns() + DEAF_NS;
}

static void server_hear(struct control_server *s)
{
	if (s->deaf && !control_watch_change(s, &s->watch, EPOLLIN))
		s->deaf = 0;
}

u64 control_server_due(const struct control_server *s)
{
	return s->deaf;
}

static void server_accept(struct control_watch *w, u32 events)
{
	struct control_server *s = container_of(w, struct control_server, watch);
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control_client *c;
	bool room;

	(void)events;
	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && !make_room(s))
		server_deafen(s);
	if (fd < 0 || !peer_may(fd))
		goto err_close;
	room = s->nr_clients < CLIENTS_MAX || make_room(s);
	c = calloc(1, sizeof(*c));
	if (!c)
		goto err_close;
	c->watch = (struct control_watch){ fd, client_ready };
	c->server = s;
	c->events = EPOLLIN;
	c->active = ++s->clock;
	if (control_watch_add(s, &c->watch, c->events) < 0) {
		free(c);
		goto err_close;
	}
	c->next = s->clients;
	s->clients = c;
	s->nr_clients++;
	client_greet(c);
	/* As a rule its request is there already. */
	if (!room)
		client_turn_away(c);
	else if (!c->dead)
		client_ready(&c->watch, EPOLLIN);
	return;

err_close:
	if (fd >= 0)
		close(fd);
}

static void bury_clients(struct control_server *s)
{
	struct control_client **at = &s->clients;

	while (*at) {
		struct control_client *c = *at;

		if (!c->dead) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		s->nr_clients--;
		server_hear(s);
		free(c->in);
		json_out_free(&c->out);
		free(c);
	}
}

void control_server_run(struct control_server *s)
{
	struct epoll_event ready[BATCH];

	if (s->deaf && now_ns() >= s->deaf)
		server_hear(s);
	s->ready = ready;
	s->nr_ready = epoll_wait(s->epoll, ready, BATCH, 0);
	for (int i = 0; i < s->nr_ready; i++) {
		struct control_watch *w = ready[i].data.ptr;

		if (w)
			w->ready(w, ready[i].events);
	}
	s->nr_ready = 0;
	bury_clients(s);
}

static void client_event(struct control_client *c, const char *name,
			 const struct json_out *members)
{
	struct timespec ts;

	if (c->out.len > EVENT_HIGH) {
		c->lost++;
		return;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	json_open(&c->out, NULL, '{');
	json_put_string(&c->out, "event", name);
	json_put_number(&c->out, "seq", c->server->seq);
	json_put_number(&c->out, "time_ms",
			ts.tv_sec * 1000ULL + ts.tv_nsec / NSEC_PER_MSEC);
	json_put_number(&c->out, "lost", c->lost);
	json_open(&c->out, "data", '{');
	if (members && members->len)
		json_put_raw(&c->out, NULL, members->text, members->len);
	json_close(&c->out, '}');
	c->lost = 0;
	answer_end(c);
}

void control_event(struct control_server *s, const char *name,
		   const struct json_out *members)
{
	if (!s)
		return;
	s->seq++;
	for (struct control_client *c = s->clients; c; c = c->next)
		if (c->subscribed && !c->dead)
			client_event(c, name, members);
}

static bool has_output(const struct control_server *s)
{
	for (const struct control_client *c = s->clients; c; c = c->next)
		if (!c->dead && c->out.len)
			return true;
	return false;
}

void control_server_finish(struct control_server *s, unsigned int ms)
{
	struct pollfd p = { .events = POLLIN };

	if (!s)
		return;
	p.fd = s->epoll;
	/* Nothing new is begun: who still asks is answered by the end. */
	control_watch_remove(s, &s->watch);
	for (struct control_client *c = s->clients; c; c = c->next) {
		c->eof = true;
		c->in_len = 0;
		c->waiting = false;
		client_update(c);
	}
	for (unsigned int i = 0; i < ms / 10 && has_output(s); i++) {
		if (poll(&p, 1, 10) > 0)
			control_server_run(s);
	}
}

int control_server_fd(const struct control_server *s)
{
	return s->epoll;
}

static int server_listen(struct control_server *s, struct report *r)
{
	const char *path = s->opts.address.sun_path;
	int fd = unix_listen(&s->opts.address, SOCK_STREAM, BACKLOG);

	if (fd == -EADDRINUSE)
		return report_error(r, 0, "name %s: a VM of that name is running (lkvm list)",
				    s->opts.name);
	if (fd < 0)
		return report_error(r, -fd, "control socket %s", path);
	s->watch = (struct control_watch){ fd, server_accept };
	lstat(path, &s->made);
	if (control_watch_add(s, &s->watch, EPOLLIN) < 0)
		return report_error(r, errno, "control socket %s: epoll", path);
	return 0;
}

int control_server_create(struct control_server **out,
			  const struct control_opts *opts, struct report *r)
{
	struct control_server *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return report_error(r, ENOMEM, "control socket");
	s->opts = *opts;
	s->watch.fd = -1;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->value = calloc(VALUES_MAX, sizeof(*s->value));
	s->nr_values = VALUES_MAX;
	err = s->epoll < 0 || !s->value ?
	      report_error(r, errno, "control socket") : server_listen(s, r);
	if (err) {
		control_server_destroy(s);
		return err;
	}
	*out = s;
	return 0;
}

void control_server_destroy(struct control_server *s)
{
	if (!s)
		return;
	for (struct control_client *c = s->clients; c; c = c->next)
		client_close(c);
	bury_clients(s);
	if (s->watch.fd >= 0) {
		unix_unlink(s->opts.address.sun_path, &s->made);
		close(s->watch.fd);
	}
	if (s->epoll >= 0)
		close(s->epoll);
	free(s->value);
	free(s);
}
