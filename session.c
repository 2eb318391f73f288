// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's side of the control port.
 *
 * Theory of operation: bytes come in at any boundary, from any thread, into a
 * buffer of fixed size; the main thread takes them apart. Payload of a stream
 * goes straight into that stream's ring, which is as large as the credit that
 * the guest has, so that reading frames never has to wait: a command that floods
 * stdout cannot keep the news of its exit from us. What is to be said is kept as
 * flags and counts, and made into frames when there is room for them; input has
 * as much room as the guest gave credit for.
 *
 * Opens no descriptor and writes to none: the command moves the bytes.
 *
 * The guest is not trusted. A length beyond the limit of its type, a stream that
 * is none, more data than it had credit for, a greeting of another protocol, a
 * frame that is not due in this state: the session is broken, says so once and
 * reads nothing more; the VM is the caller's to end. Types that are not known
 * are skipped, for the sake of guests that are newer than this. Notes are
 * counted and stripped of control characters.
 *
 * Threads: session_receive() is called by any, all else by the main thread.
 * Lock: @lock, a leaf, around the receive buffer.
 */
#include <stdio.h>
#include <string.h>

#include "kvm/session.h"

/* Frames without data that may be due at once, and one with data */
#define TX_CONTROL 256

void session_init(struct session *s, const struct session_ops *ops, u8 input)
{
	memset(s, 0, sizeof(*s));
	s->ops = *ops;
	s->input = input;
	pthread_mutex_init(&s->lock, NULL);
}

void session_destroy(struct session *s)
{
	pthread_mutex_destroy(&s->lock);
}

size_t session_receive(void *session, const void *d, size_t len)
{
	struct session *s = session;
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = MIN(len, sizeof(s->rx) - s->rx_len);
	memcpy(s->rx + s->rx_len, d, n);
	s->rx_len += n;
	if (n < len)
		s->rx_full = true;
	pthread_mutex_unlock(&s->lock);
	s->ops.wake(s->ops.opaque);
	return n;
}

bool session_over(const struct session *s)
{
	return s->state >= SESSION_EXITED;
}

static void broken(struct session *s, const char *why)
{
	s->state = SESSION_BROKEN;
	snprintf(s->text, sizeof(s->text), "the guest's init: %s", why);
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

	for (size_t i = 0; i < n; i++)
		out[i] = d[i] < 0x20 || d[i] == 0x7f ? '?' : d[i];
	out[n] = 0;
}

static void handle_hello(struct session *s, size_t len)
{
	struct guest_hello hello;

	if (s->state != SESSION_SILENT || len != sizeof(hello)) {
		broken(s, "a greeting that is none");
		return;
	}
	memcpy(&hello, s->small, sizeof(hello));
	if (le32toh(hello.magic) != GUEST_PROTO_MAGIC ||
	    le32toh(hello.version) != GUEST_PROTO_VERSION) {
		broken(s, "a greeting of another protocol");
		return;
	}
	s->credit = MIN(le32toh(hello.window), GUEST_PROTO_WINDOW);
	s->state = SESSION_READY;
	hello.window = htole32(GUEST_PROTO_WINDOW);
	/* The first frame ever: there is room. */
	s->frame = (struct guest_frame){
		.type = GUEST_HELLO, .len = htole32(sizeof(hello)),
	};
	memcpy(s->tx, &s->frame, sizeof(s->frame));
	memcpy(s->tx + sizeof(s->frame), &hello, sizeof(hello));
	s->tx_len = sizeof(s->frame) + sizeof(hello);
}

static void handle_credit(struct session *s, u8 stream, size_t len)
{
	u32 more;

	if (len != 4 || stream != s->input) {
		broken(s, "credit for nothing");
		return;
	}
	more = get32(s->small);
	/* It cannot take more than it once said that it can. */
	s->credit += MIN(more, GUEST_PROTO_WINDOW - s->credit);
}

static void handle_eof(struct session *s, u8 stream)
{
	if (stream == s->input)
		s->input_refused = true;
	s->out[stream].ended = true;
}

static void handle_exit(struct session *s, size_t len)
{
	struct guest_exit e;

	if (s->state != SESSION_STARTED || len != sizeof(e)) {
		broken(s, "an exit of nothing");
		return;
	}
	memcpy(&e, s->small, sizeof(e));
	s->taint = le64toh(e.taint);
	s->value = le32toh(e.value) & 0xff;
	s->state = le32toh(e.kind) == GUEST_KILLED ? SESSION_KILLED :
						     SESSION_EXITED;
}

static void handle_error(struct session *s, size_t len)
{
	if (s->state != SESSION_READY || len < 4) {
		broken(s, "an error of nothing");
		return;
	}
	s->state = SESSION_FAILED;
	s->value = get32(s->small);
	clean_text(s->text, sizeof(s->text), s->small + 4, len - 4);
}

static void handle_note(struct session *s, size_t len)
{
	char text[GUEST_PROTO_TEXT_MAX + 1];

	if (s->nr_notes == SESSION_NOTES_MAX)
		return;
	s->nr_notes++;
	clean_text(text, sizeof(text), s->small, len);
	s->ops.note(s->ops.opaque, text);
}

/* A frame is whole: @small has its payload, unless that is streamed. */
static void handle(struct session *s)
{
	size_t len = le32toh(s->frame.len);
	u8 stream = s->frame.stream;

	switch (s->frame.type) {
	case GUEST_HELLO:
		handle_hello(s, len);
		break;
	case GUEST_EOF:
		handle_eof(s, stream);
		break;
	case GUEST_CREDIT:
		handle_credit(s, stream, len);
		break;
	case GUEST_STARTED:
		if (s->state == SESSION_READY)
			s->state = SESSION_STARTED;
		else
			broken(s, "a second start");
		break;
	case GUEST_EXIT:
		handle_exit(s, len);
		break;
	case GUEST_ERROR:
		handle_error(s, len);
		break;
	case GUEST_NOTE:
		handle_note(s, len);
		break;
	}
}

static bool is_streamed(const struct session *s)
{
	return s->frame.type == GUEST_DATA || s->frame.type == GUEST_KLOG;
}

static void frame_begin(struct session *s)
{
	u32 len = le32toh(s->frame.len);
	const struct session_ring *r;

	if (s->frame.stream >= GUEST_STREAMS) {
		broken(s, "a stream that is none");
		return;
	}
	if (s->state == SESSION_SILENT && s->frame.type != GUEST_HELLO) {
		broken(s, "no greeting");
		return;
	}
	if (len > (is_streamed(s) ? GUEST_PROTO_DATA_MAX :
				    GUEST_PROTO_TEXT_MAX)) {
		broken(s, "a frame that is too long");
		return;
	}
	r = &s->out[s->frame.stream];
	if (s->frame.type == GUEST_DATA &&
	    len > sizeof(r->buf) - r->len - r->taken) {
		broken(s, "more output than it has credit for");
		return;
	}
	s->left = len;
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

static void payload(struct session *s, const u8 *d, size_t n)
{
	size_t done = le32toh(s->frame.len) - s->left;

	if (s->frame.type == GUEST_DATA)
		ring_put(&s->out[s->frame.stream], d, n);
	else if (s->frame.type == GUEST_KLOG)
		s->ops.klog(s->ops.opaque, d, n);
	else
		memcpy(s->small + done, d, n);
	s->left -= n;
}

static void parse(struct session *s, const u8 *d, size_t len)
{
	while (!session_over(s) && len) {
		size_t n;

		if (s->have < sizeof(s->frame)) {
			n = MIN(len, sizeof(s->frame) - s->have);
			memcpy((u8 *)&s->frame + s->have, d, n);
			s->have += n;
			if (s->have == sizeof(s->frame))
				frame_begin(s);
		} else {
			n = MIN(len, (size_t)s->left);
			payload(s, d, n);
		}
		d += n;
		len -= n;
		if (s->have < sizeof(s->frame) || s->left || session_over(s))
			continue;
		s->have = 0;
		if (!is_streamed(s))
			handle(s);
	}
}

/*
 * The buffer is parsed where it is: nobody but us takes bytes out of it, but
 * others may add some meanwhile.
 */
bool session_run(struct session *s)
{
	size_t len;
	bool full;

	pthread_mutex_lock(&s->lock);
	len = s->rx_len;
	pthread_mutex_unlock(&s->lock);
	parse(s, s->rx, len);
	pthread_mutex_lock(&s->lock);
	memmove(s->rx, s->rx + len, s->rx_len - len);
	s->rx_len -= len;
	full = s->rx_full && len;
	if (full)
		s->rx_full = false;
	pthread_mutex_unlock(&s->lock);
	return full;
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

static size_t tx_room(const struct session *s)
{
	return sizeof(s->tx) - s->tx_len;
}

static void tx_put(struct session *s, u8 type, u8 stream, const void *d,
		   size_t len)
{
	struct guest_frame f = {
		.type = type, .stream = stream, .len = htole32(len),
	};

	memcpy(s->tx + s->tx_len, &f, sizeof(f));
	if (len)
		memcpy(s->tx + s->tx_len + sizeof(f), d, len);
	s->tx_len += sizeof(f) + len;
}

size_t session_input_room(const struct session *s)
{
	size_t room = tx_room(s);

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
		s->tell_ended = !s->input_ended;
		s->input_ended = true;
		return;
	}
	tx_put(s, GUEST_DATA, s->input, d, len);
	s->credit -= len;
}

void session_signal(struct session *s, unsigned int sig)
{
	if (sig < 32)
		s->signals |= BIT(sig);
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
		bool due = r->taken >= sizeof(r->buf) / 4 ||
			   (r->taken && !r->len);
		__le32 v = htole32(r->taken);

		if (r->tell_refused && !r->ended)
			tx_put(s, GUEST_EOF, i, NULL, 0);
		else if (due && !r->refused && !r->ended)
			tx_put(s, GUEST_CREDIT, i, &v, sizeof(v));
		else
			continue;
		r->tell_refused = false;
		if (!r->refused)
			r->taken = 0;
	}
}

/* Everything that is due, if there is room for the most that can be. */
static void tell(struct session *s)
{
	if (s->state != SESSION_STARTED || tx_room(s) < TX_CONTROL)
		return;
	tell_streams(s);
	if (s->tell_size) {
		struct guest_winsize w = { htole16(s->rows), htole16(s->cols) };

		tx_put(s, GUEST_WINSIZE, 0, &w, sizeof(w));
		s->tell_size = false;
	}
	while (s->signals && tx_room(s) >= TX_CONTROL / 2) {
		unsigned int sig = __builtin_ctz(s->signals);
		__le32 v = htole32(sig);

		s->signals &= ~BIT(sig);
		tx_put(s, GUEST_SIGNAL, 0, &v, sizeof(v));
	}
	if (s->tell_ended && tx_room(s) >= TX_CONTROL / 2) {
		tx_put(s, GUEST_EOF, s->input, NULL, 0);
		s->tell_ended = false;
	}
}

const u8 *session_send(struct session *s, size_t *len)
{
	tell(s);
	*len = s->tx_len;
	return s->tx;
}

void session_sent(struct session *s, size_t len)
{
	s->tx_len -= len;
	memmove(s->tx, s->tx + len, s->tx_len);
}
