// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's side of the control port.
 *
 * Theory of operation: bytes come in at any boundary, from any thread, into a
 * buffer of fixed size; the main thread takes them apart. Payload of a stream
 * goes straight into that stream's ring, which is as large as the credit that
 * the guest has, so that reading frames never has to wait: a command that floods
 * stdout cannot keep the news of its exit from us, and no command any other. What
 * is to be said is kept as flags and counts, and made into frames when there is
 * room for them, each session being the first in turn; input has as much room as
 * the guest gave credit for.
 *
 * A session has its number from session_open() until the guest has said that it
 * has ended and session_close() has been called: frames of one that used the number
 * before have all been read by then. One that is closed early stays until it ends.
 *
 * Opens no descriptor and writes to none: the commands move the bytes.
 *
 * The guest is not trusted. A length beyond the limit of its type, a stream or
 * session that is none, more data than it had credit for, a greeting of another
 * protocol, a frame that is not due in this state: all sessions are broken, say so
 * once and nothing more is read; the VM is the caller's to end. Types that are not
 * known are skipped, for the sake of guests that are newer than this. Notes are
 * counted and stripped of control characters.
 *
 * Threads: port_receive() is called by any, all else by the main thread.
 * Lock: @lock, a leaf, around the receive buffer.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm/session.h"
#include "kvm/utf8.h"

/* Frames without data that may be due at once, and one with data */
#define TX_CONTROL 256

void port_init(struct session_port *p, const struct session_ops *ops, u8 input)
{
	memset(p, 0, sizeof(*p));
	p->ops = *ops;
	p->main.port = p;
	p->main.input = input;
	p->session[0] = &p->main;
	pthread_mutex_init(&p->lock, NULL);
}

static void session_free(struct session *s)
{
	s->port->session[s->id] = NULL;
	free(s->config);
	munmap(s, sizeof(*s));
}

void port_destroy(struct session_port *p)
{
	for (unsigned int i = 1; i < GUEST_PROTO_SESSIONS; i++)
		if (p->session[i])
			session_free(p->session[i]);
	pthread_mutex_destroy(&p->lock);
}

size_t port_receive(void *port, const void *d, size_t len)
{
	struct session_port *p = port;
	size_t n;

	pthread_mutex_lock(&p->lock);
	n = MIN(len, sizeof(p->rx) - p->rx_len);
	memcpy(p->rx + p->rx_len, d, n);
	p->rx_len += n;
	if (n < len)
		p->rx_full = true;
	pthread_mutex_unlock(&p->lock);
	p->ops.wake(p->ops.opaque);
	return n;
}

bool session_over(const struct session *s)
{
	return s->state >= SESSION_EXITED;
}

/*
 * A guest that breaks the protocol once is not trusted again: all sessions become
 * SESSION_BROKEN.
 */
static void broken(struct session_port *p, const char *why)
{
	for (unsigned int i = 0; i < GUEST_PROTO_SESSIONS; i++) {
		struct session *s = p->session[i];

		if (!s || session_over(s))
			continue;
		s->state = SESSION_BROKEN;
		snprintf(s->text, sizeof(s->text), "the guest's init: %s", why);
		if (s->orphan)
			session_free(s);
	}
}

static u32 get32(const u8 *d)
{
	__le32 v;

	memcpy(&v, d, sizeof(v));
	return le32toh(v);
}

/* As text for the user: what a terminal would act on is not passed on. */
static void clean_text(char *out, size_t size, const u8 *d, size_t len)
{
	size_t n = MIN(len, size - 1);

	memcpy(out, d, n);
	utf8_clean(out, n, "");
	out[n] = 0;
}

static void tx_put(struct session_port *p, struct guest_frame f, const void *d,
		   size_t len)
{
	f.len = htole32(len);
	memcpy(p->tx + p->tx_len, &f, sizeof(f));
	if (len)
		memcpy(p->tx + p->tx_len + sizeof(f), d, len);
	p->tx_len += sizeof(f) + len;
}

static void handle_hello(struct session_port *p, size_t len)
{
	struct guest_hello hello;

	if (p->main.state != SESSION_SILENT || len != sizeof(hello)) {
		broken(p, "malformed HELLO");
		return;
	}
	memcpy(&hello, p->small, sizeof(hello));
	if (le32toh(hello.magic) != GUEST_PROTO_MAGIC ||
	    le32toh(hello.version) != GUEST_PROTO_VERSION || !hello.window) {
		broken(p, "HELLO of another protocol");
		return;
	}
	p->window = MIN(le32toh(hello.window), GUEST_PROTO_WINDOW);
	p->features = le32toh(hello.features);
	p->main.credit = p->window;
	p->main.state = SESSION_READY;
	hello.window = htole32(GUEST_PROTO_WINDOW);
	hello.features = htole32(GUEST_CAN_EXEC);
	/* The first frame ever: there is room. */
	tx_put(p, (struct guest_frame){ .type = GUEST_HELLO }, &hello,
	       sizeof(hello));
}

static void handle_credit(struct session *s, u8 stream, size_t len)
{
	u32 more;

	if (len != 4 || stream != s->input) {
		broken(s->port, "CREDIT for a stream without input");
		return;
	}
	more = get32(s->port->small);
	/* It cannot take more than it once said that it can. */
	s->credit += MIN(more, GUEST_PROTO_WINDOW - s->credit);
}

static void handle_eof(struct session *s, u8 stream)
{
	if (stream == s->input)
		s->input_refused = true;
	s->out[stream].ended = true;
}

static void handle_started(struct session *s)
{
	if (s->state == SESSION_READY && !s->config)
		s->state = SESSION_STARTED;
	else
		broken(s->port, "unexpected STARTED");
}

static void handle_exit(struct session *s, size_t len)
{
	struct guest_exit e;

	if (s->state != SESSION_STARTED || len != sizeof(e)) {
		broken(s->port, "EXIT out of order or of wrong length");
		return;
	}
	memcpy(&e, s->port->small, sizeof(e));
	s->taint = le64toh(e.taint);
	s->value = le32toh(e.value) & 0xff;
	s->state = le32toh(e.kind) == GUEST_KILLED ? SESSION_KILLED :
						     SESSION_EXITED;
}

static void handle_error(struct session *s, size_t len)
{
	if (s->state != SESSION_READY || len < 4) {
		broken(s->port, "ERROR out of order or too short");
		return;
	}
	s->state = SESSION_FAILED;
	s->value = get32(s->port->small);
	clean_text(s->text, sizeof(s->text), s->port->small + 4, len - 4);
}

static void handle_note(struct session *s, u8 stream, size_t len)
{
	struct session_port *p = s->port;
	char text[GUEST_PROTO_TEXT_MAX + 1];

	if (s->nr_notes == SESSION_NOTES_MAX)
		return;
	s->nr_notes++;
	clean_text(text, sizeof(text), p->small, len);
	p->ops.note(p->ops.opaque, s, stream, text);
}

/* Whose frame is being read; NULL when there is no such session */
static struct session *frame_session(const struct session_port *p)
{
	u16 id = le16toh(p->frame.session);

	return id < GUEST_PROTO_SESSIONS ? p->session[id] : NULL;
}

/* A frame is whole: @small has its payload, unless that is streamed. */
static void handle(struct session_port *p)
{
	struct session *s = frame_session(p);
	size_t len = le32toh(p->frame.len);
	u8 stream = p->frame.stream;

	switch (p->frame.type) {
	case GUEST_HELLO:
		handle_hello(p, len);
		break;
	case GUEST_EOF:
		handle_eof(s, stream);
		break;
	case GUEST_CREDIT:
		handle_credit(s, stream, len);
		break;
	case GUEST_STARTED:
		handle_started(s);
		break;
	case GUEST_EXIT:
		handle_exit(s, len);
		break;
	case GUEST_ERROR:
		handle_error(s, len);
		break;
	case GUEST_NOTE:
		handle_note(s, stream, len);
		break;
	case GUEST_SIGNAL:
		s->unheard = false;
		break;
	case GUEST_FORGET:
		/* Unasked for, it means nothing. */
		p->forgetting = p->tell_forget;
		break;
	}
}

static bool is_streamed(const struct session_port *p)
{
	return p->frame.type == GUEST_DATA || p->frame.type == GUEST_KLOG;
}

/* Return: what is wrong with the frame that begins, NULL when it is good */
static const char *frame_wrong(struct session_port *p)
{
	u32 len = le32toh(p->frame.len);
	const struct session *s = frame_session(p);
	const struct session_ring *r;

	/* Output of standard input would stay for ever: nobody takes it. */
	if (p->frame.stream >= GUEST_STREAMS ||
	    (p->frame.type == GUEST_DATA && p->frame.stream == GUEST_STDIN))
		return "a stream that is none";
	/* The guest has been told of it, and has not said that it has ended. */
	if (!s || session_over(s) ||
	    (s != &p->main && s->state == SESSION_SILENT))
		return "a session that is none";
	if (s->state == SESSION_SILENT && p->frame.type != GUEST_HELLO)
		return "no greeting";
	if (len > (is_streamed(p) ? GUEST_PROTO_DATA_MAX :
				    GUEST_PROTO_TEXT_MAX))
		return "a frame that is too long";
	r = &s->out[p->frame.stream];
	if (p->frame.type == GUEST_DATA &&
	    len > sizeof(r->buf) - r->len - r->taken)
		return "more output than it has credit for";
	return NULL;
}

static void frame_begin(struct session_port *p)
{
	const char *wrong = frame_wrong(p);

	if (wrong)
		broken(p, wrong);
	else
		p->left = le32toh(p->frame.len);
}

static void ring_put(struct session_ring *r, const u8 *d, u32 len)
{
	u32 at = (r->pos + r->len) % sizeof(r->buf);
	u32 n = MIN(len, (u32)sizeof(r->buf) - at);

	if (r->refused) {
		r->taken += len;
		return;
	}
	memcpy(r->buf + at, d, n);
	memcpy(r->buf, d + n, len - n);
	r->len += len;
}

static void payload(struct session_port *p, const u8 *d, size_t n)
{
	size_t done = le32toh(p->frame.len) - p->left;

	if (p->frame.type == GUEST_DATA)
		ring_put(&frame_session(p)->out[p->frame.stream], d, n);
	else if (p->frame.type == GUEST_KLOG)
		p->ops.klog(p->ops.opaque, d, n);
	else
		memcpy(p->small + done, d, n);
	p->left -= n;
}

static void frame_end(struct session_port *p)
{
	struct session *s = frame_session(p);

	p->have = 0;
	if (is_streamed(p))
		return;
	handle(p);
	/* If all are broken it is gone already. */
	if (!session_over(&p->main) && s->orphan && session_over(s))
		session_free(s);
}

static void parse(struct session_port *p, const u8 *d, size_t len)
{
	while (!session_over(&p->main) && len) {
		size_t n;

		if (p->have < sizeof(p->frame)) {
			n = MIN(len, sizeof(p->frame) - p->have);
			memcpy((u8 *)&p->frame + p->have, d, n);
			p->have += n;
			if (p->have == sizeof(p->frame))
				frame_begin(p);
		} else {
			n = MIN(len, (size_t)p->left);
			payload(p, d, n);
		}
		d += n;
		len -= n;
		if (p->have == sizeof(p->frame) && !p->left &&
		    !session_over(&p->main))
			frame_end(p);
	}
}

/*
 * The buffer is parsed where it is: nobody but us takes bytes out of it, but
 * others may add some meanwhile.
 */
bool port_run(struct session_port *p)
{
	size_t len;
	bool full;

	pthread_mutex_lock(&p->lock);
	len = p->rx_len;
	pthread_mutex_unlock(&p->lock);
	parse(p, p->rx, len);
	pthread_mutex_lock(&p->lock);
	memmove(p->rx, p->rx + len, p->rx_len - len);
	p->rx_len -= len;
	full = p->rx_full && len;
	if (full)
		p->rx_full = false;
	pthread_mutex_unlock(&p->lock);
	return full;
}

int session_open(struct session_port *p, const void *config, size_t len,
		 u8 input, struct session **out)
{
	struct session *s;
	u16 id = 1;

	if (session_over(&p->main))
		return -EPIPE;
	if (p->main.state != SESSION_SILENT && !(p->features & GUEST_CAN_EXEC))
		return -EOPNOTSUPP;
	if (!len || len > GUEST_PROTO_CONFIG_MAX)
		return -E2BIG;
	while (id < GUEST_PROTO_SESSIONS && p->session[id])
		id++;
	if (id == GUEST_PROTO_SESSIONS)
		return -EAGAIN;
	/* The rings are memory only where they are used, and until it is freed. */
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return -ENOMEM;
	s->config = malloc(len);
	if (!s->config) {
		munmap(s, sizeof(*s));
		return -ENOMEM;
	}
	memcpy(s->config, config, len);
	s->config_len = len;
	s->port = p;
	s->id = id;
	s->input = input;
	p->session[id] = s;
	*out = s;
	return 0;
}

void session_close(struct session *s)
{
	if (session_over(s) || s->state == SESSION_SILENT) {
		session_free(s);
		return;
	}
	s->orphan = true;
	for (u8 i = 0; i < GUEST_STREAMS; i++)
		session_refuse(s, i);
	session_input(s, NULL, 0);
	session_signal(s, SIGHUP);
}

const u8 *session_output(const struct session *s, u8 stream, size_t *len)
{
	const struct session_ring *r = &s->out[stream];

	u32 n = MIN(r->len, (u32)sizeof(r->buf) - r->pos);

	*len = MIN(*len, (size_t)n);
	return r->buf + r->pos;
}

void session_written(struct session *s, u8 stream, size_t len)
{
	struct session_ring *r = &s->out[stream];

	r->pos = (r->pos + len) % sizeof(r->buf);
	r->len -= len;
	r->taken += len;
}

void session_refuse(struct session *s, u8 stream)
{
	struct session_ring *r = &s->out[stream];

	if (r->refused)
		return;
	r->refused = true;
	r->tell_refused = true;
	r->taken += r->len;
	r->len = 0;
}

bool session_pending(const struct session *s)
{
	for (unsigned int i = 0; i < GUEST_STREAMS; i++)
		if (s->out[i].len)
			return true;
	return false;
}

static size_t tx_room(const struct session_port *p)
{
	return sizeof(p->tx) - p->tx_len;
}

static struct guest_frame frame_of(const struct session *s, u8 type, u8 stream)
{
	return (struct guest_frame){
		.type = type, .stream = stream, .session = htole16(s->id),
	};
}

bool session_output_ended(const struct session *s, u8 stream)
{
	return s->out[stream].ended && !s->out[stream].len;
}

size_t session_input_room(const struct session *s)
{
	size_t room = tx_room(s->port);

	if (s->state != SESSION_STARTED || s->input_refused || s->input_ended ||
	    room < TX_CONTROL + sizeof(struct guest_frame))
		return 0;
	room -= TX_CONTROL + sizeof(struct guest_frame);
	room = MIN(room, (size_t)s->credit);
	return MIN(room, (size_t)GUEST_PROTO_DATA_MAX);
}

void session_input(struct session *s, const void *d, size_t len)
{
	if (!len) {
		if (!s->input_ended)
			s->tell_ended = true;
		s->input_ended = true;
		return;
	}
	tx_put(s->port, frame_of(s, GUEST_DATA, s->input), d, len);
	s->credit -= len;
}

void session_signal(struct session *s, unsigned int sig)
{
	if (sig < 32)
		s->signals |= BIT(sig);
	s->told = true;
	s->unheard = true;
}

void session_resize(struct session *s, u16 rows, u16 cols)
{
	if (s->rows == rows && s->cols == cols)
		return;
	s->rows = rows;
	s->cols = cols;
	s->tell_size = true;
}

static void tell_streams(struct session *s)
{
	for (u8 i = 0; i < GUEST_STREAMS; i++) {
		struct session_ring *r = &s->out[i];
		bool due = r->taken >= sizeof(r->buf) / 2;
		__le32 v = htole32(r->taken);

		if (r->tell_refused && !r->ended)
			tx_put(s->port, frame_of(s, GUEST_EOF, i), NULL, 0);
		else if (due && !r->refused && !r->ended)
			tx_put(s->port, frame_of(s, GUEST_CREDIT, i), &v,
			       sizeof(v));
		else
			continue;
		r->tell_refused = false;
		if (!r->refused)
			r->taken = 0;
	}
}

/* What it is to be, as far as there is room; only once the first one runs */
static void tell_config(struct session *s)
{
	struct session_port *p = s->port;

	if (p->main.state != SESSION_STARTED)
		return;
	if (!(p->features & GUEST_CAN_EXEC)) {
		s->state = SESSION_FAILED;
		s->value = 125;
		snprintf(s->text, sizeof(s->text),
			 "the guest's init can run one command alone");
		return;
	}
	s->state = SESSION_READY;
	s->credit = p->window;
	while (s->config_sent < s->config_len && tx_room(p) > TX_CONTROL) {
		bool more = s->config_sent;
		size_t n = MIN(tx_room(p) - TX_CONTROL,
			       (size_t)GUEST_PROTO_DATA_MAX);

		n = MIN(n, (size_t)(s->config_len - s->config_sent));
		tx_put(p, frame_of(s, GUEST_CONFIG, more),
		       s->config + s->config_sent, n);
		s->config_sent += n;
	}
	if (s->config_sent < s->config_len || tx_room(p) < TX_CONTROL / 2)
		return;
	/*
	 * If the client is gone, GUEST_SIGNAL in place of GUEST_RUN makes the guest forget
	 * the command.
	 */
	tx_put(p, frame_of(s, s->orphan ? GUEST_SIGNAL : GUEST_RUN, 0), NULL, 0);
	free(s->config);
	s->config = NULL;
}

/* Everything that is due, if there is room for the most that can be. */
static void tell(struct session *s)
{
	struct session_port *p = s->port;

	if (s->config && !session_over(s))
		tell_config(s);
	if (s->state != SESSION_STARTED || tx_room(p) < TX_CONTROL)
		return;
	tell_streams(s);
	if (s->tell_size) {
		struct guest_winsize w = { htole16(s->rows), htole16(s->cols) };

		tx_put(p, frame_of(s, GUEST_WINSIZE, 0), &w, sizeof(w));
		s->tell_size = false;
	}
	while (s->signals && tx_room(p) >= TX_CONTROL / 2) {
		unsigned int sig = __builtin_ctz(s->signals);
		__le32 v = htole32(sig);

		s->signals &= ~BIT(sig);
		tx_put(p, frame_of(s, GUEST_SIGNAL, 0), &v, sizeof(v));
	}
	if (s->tell_ended && tx_room(p) >= TX_CONTROL / 2) {
		tx_put(p, frame_of(s, GUEST_EOF, s->input), NULL, 0);
		s->tell_ended = false;
	}
}

void port_forget(struct session_port *p)
{
	p->tell_forget = true;
	p->forgetting = true;
}

const u8 *port_send(struct session_port *p, size_t *len)
{
	p->turn++;
	if (p->tell_forget && p->main.state == SESSION_STARTED &&
	    tx_room(p) >= TX_CONTROL) {
		tx_put(p, frame_of(&p->main, GUEST_FORGET, 0), NULL, 0);
		p->tell_forget = false;
	}
	for (unsigned int i = 0; i < GUEST_PROTO_SESSIONS; i++) {
		struct session *s =
			p->session[(p->turn + i) % GUEST_PROTO_SESSIONS];

		if (s)
			tell(s);
	}
	*len = p->tx_len;
	return p->tx;
}

void port_sent(struct session_port *p, size_t len)
{
	p->tx_len -= len;
	memmove(p->tx, p->tx + len, p->tx_len);
}
