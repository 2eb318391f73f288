// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control port's host side: what it makes of frames, good and bad, and what
 * it says itself.
 */
#include <errno.h>
#include <string.h>
#include "kvm/session.h"
#include "tests/unit/test.h"

struct fixture {
	struct session_port p;
	unsigned int wakes;
	unsigned int notes;
	char note[600];
	const struct session *noted;
	u8 note_stream;
	size_t klog;
};

static void on_wake(void *opaque)
{
	((struct fixture *)opaque)->wakes++;
}

static void on_note(void *opaque, const struct session *s, u8 stream, const char *text)
{
	struct fixture *f = opaque;

	f->notes++;
	f->noted = s;
	f->note_stream = stream;
	snprintf(f->note, sizeof(f->note), "%s", text);
}

static void on_klog(void *opaque, const void *d, size_t len)
{
	(void)d;
	((struct fixture *)opaque)->klog += len;
}

static struct fixture *setup(u8 input)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct session_ops ops = { on_wake, on_note, on_klog, f };

	port_init(&f->p, &ops, input);
	return f;
}

static void teardown(struct fixture *f)
{
	port_destroy(&f->p);
	free(f);
}

static void raw(struct fixture *f, const void *d, size_t len)
{
	while (len) {
		size_t n = port_receive(&f->p, d, len);

		d = (const u8 *)d + n;
		len -= n;
		port_run(&f->p);
		if (!n && session_over(&f->p.main))
			return;
	}
}

static void header_of(struct fixture *f, u16 session, u8 type, u8 stream,
		      u32 len)
{
	struct guest_frame h = {
		.type = type, .stream = stream, .session = htole16(session),
		.len = htole32(len),
	};

	raw(f, &h, sizeof(h));
}

static void frame_of(struct fixture *f, u16 session, u8 type, u8 stream,
		     const void *d, u32 len)
{
	header_of(f, session, type, stream, len);
	raw(f, d, len);
}

static void header(struct fixture *f, u8 type, u8 stream, u32 len)
{
	header_of(f, 0, type, stream, len);
}

static void frame(struct fixture *f, u8 type, u8 stream, const void *d, u32 len)
{
	frame_of(f, 0, type, stream, d, len);
}

static void hello(struct fixture *f, u32 magic, u32 version, u32 window)
{
	struct guest_hello h = {
		htole32(magic), htole32(version), htole32(window),
		htole32(GUEST_CAN_EXEC),
	};

	frame(f, GUEST_HELLO, 0, &h, sizeof(h));
}

static void start(struct fixture *f)
{
	size_t len;

	hello(f, GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, GUEST_PROTO_WINDOW);
	port_send(&f->p, &len);
	port_sent(&f->p, len);
	frame(f, GUEST_STARTED, 0, NULL, 0);
}

static void leave_of(struct fixture *f, u16 session, u32 kind, u32 value)
{
	struct guest_exit e = { htole32(kind), htole32(value), htole64(512) };

	frame_of(f, session, GUEST_EXIT, 0, &e, sizeof(e));
}

static void leave(struct fixture *f, u32 kind, u32 value)
{
	leave_of(f, 0, kind, value);
}

/* The first frame that is to be sent. Return: its payload, NULL for none */
static const u8 *sent(struct fixture *f, struct guest_frame *h)
{
	static u8 d[GUEST_PROTO_DATA_MAX];
	size_t len;
	const u8 *p = port_send(&f->p, &len);

	memset(h, 0, sizeof(*h));
	if (len < sizeof(*h))
		return NULL;
	memcpy(h, p, sizeof(*h));
	if (len - sizeof(*h) < le32toh(h->len))
		return NULL;
	memcpy(d, p + sizeof(*h), le32toh(h->len));
	port_sent(&f->p, sizeof(*h) + le32toh(h->len));
	return d;
}

static u32 le(const u8 *d)
{
	__le32 v;

	memcpy(&v, d, 4);
	return le32toh(v);
}

/* A further command, of which the guest has been told and which it has started */
static struct session *further(struct fixture *f)
{
	struct guest_frame h;
	struct session *s;

	if (session_open(&f->p, "arg=x", 6, GUEST_STDIN, &s))
		return NULL;
	while (sent(f, &h))
		;
	frame_of(f, s->id, GUEST_STARTED, 0, NULL, 0);
	return s;
}

TEST(greeting_is_answered)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;
	const u8 *d;

	hello(f, GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, 100);
	EXPECT(f->p.main.state == SESSION_READY);
	d = sent(f, &h);
	EXPECT(d && h.type == GUEST_HELLO && le(d) == GUEST_PROTO_MAGIC &&
	       le(d + 8) == GUEST_PROTO_WINDOW && le(d + 12) == GUEST_CAN_EXEC);
	EXPECT(!session_input_room(&f->p.main));
	frame(f, GUEST_STARTED, 0, NULL, 0);
	EXPECT(session_input_room(&f->p.main) == 100);
	teardown(f);
}

TEST(other_protocols_are_refused)
{
	static const u32 bad[][3] = {
		{ 0, GUEST_PROTO_VERSION, 100 },
		{ GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION + 1, 100 },
		/* To which nothing could ever be said */
		{ GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fixture *f = setup(GUEST_STDIN);

		hello(f, bad[i][0], bad[i][1], bad[i][2]);
		EXPECT(f->p.main.state == SESSION_BROKEN && f->p.main.text[0]);
		EXPECT(session_over(&f->p.main));
		teardown(f);
	}
}

TEST(output_arrives_at_any_boundary)
{
	u8 msg[2 * sizeof(struct guest_frame) + 5];
	struct guest_frame h = {
		.type = GUEST_DATA, .stream = GUEST_STDERR, .len = htole32(5),
	};

	memcpy(msg, &h, sizeof(h));
	memcpy(msg + sizeof(h), "12345", 5);
	h.type = GUEST_EOF;
	h.len = 0;
	memcpy(msg + sizeof(h) + 5, &h, sizeof(h));
	for (size_t cut = 1; cut < sizeof(msg); cut++) {
		struct fixture *f = setup(GUEST_STDIN);
		size_t len = 100;
		const u8 *d;

		start(f);
		raw(f, msg, cut);
		raw(f, msg + cut, sizeof(msg) - cut);
		d = session_output(&f->p.main, GUEST_STDERR, &len);
		EXPECT(len == 5 && !memcmp(d, "12345", 5));
		EXPECT(!session_output_ended(&f->p.main, GUEST_STDERR));
		session_written(&f->p.main, GUEST_STDERR, 5);
		EXPECT(session_output_ended(&f->p.main, GUEST_STDERR) &&
		       !session_output_ended(&f->p.main, GUEST_STDOUT));
		EXPECT(f->p.main.out[GUEST_STDERR].ended && !f->p.main.input_refused);
		EXPECT(!f->p.main.out[GUEST_STDOUT].len);
		teardown(f);
	}
}

TEST(other_frames_arrive_at_any_boundary)
{
	u8 msg[sizeof(struct guest_frame) + GUEST_PROTO_TEXT_MAX];
	struct guest_frame h = {
		.type = GUEST_NOTE, .len = htole32(GUEST_PROTO_TEXT_MAX),
	};

	memcpy(msg, &h, sizeof(h));
	for (unsigned int i = 0; i < GUEST_PROTO_TEXT_MAX; i++)
		msg[sizeof(h) + i] = 'a' + i % 26;
	for (size_t cut = 1; cut < sizeof(msg); cut++) {
		struct fixture *f = setup(GUEST_STDIN);

		start(f);
		raw(f, msg, cut);
		EXPECT(!f->notes);
		raw(f, msg + cut, sizeof(msg) - cut);
		EXPECT(f->notes == 1 && strlen(f->note) == GUEST_PROTO_TEXT_MAX &&
		       !memcmp(f->note, msg + sizeof(h), GUEST_PROTO_TEXT_MAX));
		teardown(f);
	}
}

TEST(credit_comes_back_as_output_is_written)
{
	static u8 block[GUEST_PROTO_DATA_MAX];
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;
	size_t len = sizeof(block);

	start(f);
	for (u32 n = 0; n < GUEST_PROTO_WINDOW; n += sizeof(block))
		frame(f, GUEST_DATA, GUEST_STDOUT, block, sizeof(block));
	EXPECT(f->p.main.state == SESSION_STARTED && session_pending(&f->p.main));
	EXPECT(!sent(f, &h));
	/* Of half of what there may be, not of each piece */
	for (u32 n = 0; n < GUEST_PROTO_WINDOW / 2; n += sizeof(block)) {
		EXPECT(!sent(f, &h));
		session_output(&f->p.main, GUEST_STDOUT, &len);
		EXPECT(len == sizeof(block));
		session_written(&f->p.main, GUEST_STDOUT, len);
	}
	EXPECT(le(sent(f, &h)) == GUEST_PROTO_WINDOW / 2 &&
	       h.type == GUEST_CREDIT);
	for (u32 n = 0; n < GUEST_PROTO_WINDOW / 2; n += sizeof(block))
		frame(f, GUEST_DATA, GUEST_STDOUT, block, sizeof(block));
	EXPECT(f->p.main.state == SESSION_STARTED);
	teardown(f);
}

/* A window of output, of which @taken are written and not yet given back */
static struct fixture *setup_full(u32 taken)
{
	static u8 block[GUEST_PROTO_DATA_MAX];
	struct fixture *f = setup(GUEST_STDIN);

	start(f);
	for (u32 n = 0; n < GUEST_PROTO_WINDOW; n += sizeof(block))
		frame(f, GUEST_DATA, GUEST_STDOUT, block, sizeof(block));
	session_written(&f->p.main, GUEST_STDOUT, taken);
	return f;
}

TEST(output_without_credit_breaks_the_session)
{
	for (unsigned int i = 0; i < 3; i++) {
		struct fixture *f = setup_full(i == 1 ? 1000 : 0);

		if (i == 2)
			session_refuse(&f->p.main, GUEST_STDOUT);
		EXPECT(f->p.main.state == SESSION_STARTED);
		header(f, GUEST_DATA, GUEST_STDOUT, 1);
		EXPECT(f->p.main.state == SESSION_BROKEN);
		teardown(f);
	}
}

/* Nor what it sends on before it has heard that nobody reads it */
TEST(refused_output_has_the_credit_that_it_had)
{
	struct fixture *f = setup(GUEST_STDIN);
	static u8 block[GUEST_PROTO_DATA_MAX];

	start(f);
	session_refuse(&f->p.main, GUEST_STDOUT);
	for (u32 n = 0; n < GUEST_PROTO_WINDOW; n += sizeof(block))
		frame(f, GUEST_DATA, GUEST_STDOUT, block, sizeof(block));
	EXPECT(f->p.main.state == SESSION_STARTED && !session_pending(&f->p.main));
	header(f, GUEST_DATA, GUEST_STDOUT, 1);
	EXPECT(f->p.main.state == SESSION_BROKEN);
	teardown(f);
}

/* Never all of it is written before there is more. */
TEST(output_goes_round_in_its_ring)
{
	u8 block[10000];
	struct fixture *f = setup(GUEST_STDIN);
	unsigned int put = 0, got = 0;
	size_t len, left;
	const u8 *d;

	start(f);
	for (unsigned int i = 0; i < 24; i++) {
		for (unsigned int n = 0; n < sizeof(block); n++)
			block[n] = put++ % 251;
		frame(f, GUEST_DATA, GUEST_STDOUT, block, sizeof(block));
		for (left = sizeof(block) - 1000; left; left -= len) {
			len = left;
			d = session_output(&f->p.main, GUEST_STDOUT, &len);
			for (unsigned int n = 0; n < len; n++)
				got += d[n] == got % 251;
			session_written(&f->p.main, GUEST_STDOUT, len);
			if (!len)
				break;
		}
		EXPECT(got == put - 1000 * (i + 1));
		port_send(&f->p, &len);
		port_sent(&f->p, len);
	}
	EXPECT(f->p.main.state == SESSION_STARTED);
	teardown(f);
}

TEST(frames_that_make_no_sense_break_the_session)
{
	static const struct {
		u8 type;
		u8 stream;
		u32 len;
	} bad[] = {
		{ GUEST_DATA, GUEST_STDOUT, GUEST_PROTO_DATA_MAX + 1 },
		{ GUEST_DATA, GUEST_STDOUT, UINT32_MAX },
		{ GUEST_DATA, GUEST_STREAMS, 1 },
		/* Which has no output, so that its end would be waited for */
		{ GUEST_DATA, GUEST_STDIN, 1 },
		{ GUEST_EOF, 255, 0 },
		{ GUEST_NOTE, 0, GUEST_PROTO_TEXT_MAX + 1 },
		{ GUEST_KLOG, 0, GUEST_PROTO_DATA_MAX + 1 },
		{ 200, 0, GUEST_PROTO_TEXT_MAX + 1 },
		{ GUEST_CREDIT, GUEST_STDIN, 0 },
		{ GUEST_STARTED, 0, 0 },
		{ GUEST_EXIT, 0, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fixture *f = setup(GUEST_STDIN);

		start(f);
		header(f, bad[i].type, bad[i].stream, bad[i].len);
		EXPECT(f->p.main.state == SESSION_BROKEN);
		raw(f, "more", 4);
		EXPECT(f->p.main.state == SESSION_BROKEN);
		teardown(f);
	}
}

TEST(frames_out_of_order_break_the_session)
{
	static const u8 error[] = { 127, 0, 0, 0 };

	for (unsigned int i = 0; i < 5; i++) {
		struct fixture *f = setup(GUEST_STDIN);

		if (i == 0) {
			header(f, GUEST_HELLO, 0, 4);
			raw(f, error, 4);
		} else if (i == 1) {
			start(f);
			hello(f, GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, 100);
			EXPECT(f->p.window == GUEST_PROTO_WINDOW);
		} else if (i == 2) {
			start(f);
			frame(f, GUEST_ERROR, 0, error, sizeof(error));
		} else if (i == 3) {
			hello(f, GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, 100);
			frame(f, GUEST_ERROR, 0, error, 3);
		} else {
			start(f);
			frame(f, GUEST_EXIT, 0, error, sizeof(error));
		}
		EXPECT(f->p.main.state == SESSION_BROKEN);
		teardown(f);
	}
}

TEST(nothing_is_believed_before_the_greeting)
{
	struct fixture *f = setup(GUEST_STDIN);

	frame(f, GUEST_DATA, GUEST_STDOUT, "x", 1);
	EXPECT(f->p.main.state == SESSION_BROKEN && !session_pending(&f->p.main));
	teardown(f);
}

TEST(unknown_frames_are_skipped)
{
	struct fixture *f = setup(GUEST_STDIN);

	start(f);
	frame(f, 99, 0, "hello", 5);
	frame(f, GUEST_DATA, GUEST_STDOUT, "x", 1);
	EXPECT(f->p.main.state == SESSION_STARTED && session_pending(&f->p.main));
	teardown(f);
}

TEST(exit_status_and_signal_are_kept)
{
	struct fixture *f = setup(GUEST_STDIN);

	start(f);
	leave(f, GUEST_EXITED, 42);
	EXPECT(f->p.main.state == SESSION_EXITED && f->p.main.value == 42 &&
	       f->p.main.taint == 512);
	teardown(f);
	f = setup(GUEST_STDIN);
	start(f);
	leave(f, GUEST_KILLED, 9);
	EXPECT(f->p.main.state == SESSION_KILLED && f->p.main.value == 9);
	frame(f, GUEST_DATA, GUEST_STDOUT, "x", 1);
	EXPECT(!session_pending(&f->p.main));
	teardown(f);
}

TEST(exit_without_a_start_is_not_believed)
{
	struct fixture *f = setup(GUEST_STDIN);

	hello(f, GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, 100);
	leave(f, GUEST_EXITED, 0);
	EXPECT(f->p.main.state == SESSION_BROKEN);
	teardown(f);
}

TEST(error_has_status_and_clean_text)
{
	static const u8 error[] = "\x7f\0\0\0a\x1b[b\302\2332J\2331m\xc3\xa4\n\xe2\x82";
	struct fixture *f = setup(GUEST_STDIN);

	hello(f, GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, 100);
	frame(f, GUEST_ERROR, 0, error, sizeof(error) - 1);
	EXPECT(f->p.main.state == SESSION_FAILED && f->p.main.value == 127);
	EXPECT(!strcmp(f->p.main.text, "a?[b??2J?1m\xc3\xa4???"));
	teardown(f);
}

TEST(notes_are_bounded)
{
	struct fixture *f = setup(GUEST_STDIN);

	start(f);
	for (unsigned int i = 0; i < 100; i++)
		frame(f, GUEST_NOTE, 0, "no\x1b[2Joverlay", 13);
	EXPECT(f->notes == SESSION_NOTES_MAX);
	EXPECT(!strchr(f->note, 27));
	teardown(f);
}

TEST(notes_are_of_a_command)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct session *s;

	start(f);
	frame(f, GUEST_NOTE, 0, "first", 5);
	EXPECT(f->noted == &f->p.main && !strcmp(f->note, "first"));
	s = further(f);
	for (unsigned int i = 0; i < 100; i++)
		frame_of(f, s->id, GUEST_NOTE, GUEST_TERMINAL, "further", 7);
	EXPECT(f->noted == s && f->note_stream == GUEST_TERMINAL &&
	       !strcmp(f->note, "further") && f->notes == 1 + SESSION_NOTES_MAX);
	/* The next one, of the same number, has as many. */
	leave_of(f, s->id, GUEST_EXITED, 0);
	session_close(s);
	s = further(f);
	frame_of(f, s->id, GUEST_NOTE, GUEST_STDERR, "next", 4);
	EXPECT(f->noted == s && !strcmp(f->note, "next"));
	EXPECT(!session_over(&f->p.main) && !session_pending(s));
	teardown(f);
}

TEST(kernel_log_is_passed_on)
{
	static u8 block[GUEST_PROTO_DATA_MAX];
	struct fixture *f = setup(GUEST_STDIN);

	start(f);
	for (unsigned int i = 0; i < 20; i++)
		frame(f, GUEST_KLOG, 0, block, sizeof(block));
	EXPECT(f->klog == 20 * sizeof(block));
	teardown(f);
}

TEST(input_stops_without_credit)
{
	static const u8 d[50];
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;
	__le32 more = htole32(30);

	hello(f, GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, 50);
	sent(f, &h);
	frame(f, GUEST_STARTED, 0, NULL, 0);
	session_input(&f->p.main, d, 50);
	EXPECT(!session_input_room(&f->p.main));
	EXPECT(sent(f, &h) && h.type == GUEST_DATA && le32toh(h.len) == 50);
	frame(f, GUEST_CREDIT, GUEST_STDIN, &more, 4);
	EXPECT(session_input_room(&f->p.main) == 30);
	session_input(&f->p.main, NULL, 0);
	EXPECT(sent(f, &h) && h.type == GUEST_EOF && h.stream == GUEST_STDIN);
	EXPECT(!sent(f, &h) && !session_input_room(&f->p.main));
	teardown(f);
}

/* As by who closes a command right behind the end of its input */
TEST(an_end_of_input_is_sent_once)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;

	start(f);
	session_input(&f->p.main, NULL, 0);
	session_input(&f->p.main, NULL, 0);
	EXPECT(sent(f, &h) && h.type == GUEST_EOF && h.stream == GUEST_STDIN);
	session_input(&f->p.main, NULL, 0);
	EXPECT(!sent(f, &h));
	teardown(f);
}

TEST(credit_cannot_exceed_the_window)
{
	struct fixture *f = setup(GUEST_STDIN);
	__le32 more = htole32(UINT32_MAX);

	start(f);
	frame(f, GUEST_CREDIT, GUEST_STDIN, &more, 4);
	frame(f, GUEST_CREDIT, GUEST_STDIN, &more, 4);
	EXPECT(f->p.main.credit == GUEST_PROTO_WINDOW);
	EXPECT(session_input_room(&f->p.main) <= GUEST_PROTO_DATA_MAX);
	teardown(f);
}

TEST(input_that_nobody_wants_is_not_read)
{
	struct fixture *f = setup(GUEST_STDIN);

	start(f);
	EXPECT(session_input_room(&f->p.main));
	frame(f, GUEST_EOF, GUEST_STDIN, NULL, 0);
	EXPECT(!session_input_room(&f->p.main));
	teardown(f);
}

TEST(refused_output_is_told_and_dropped)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;

	start(f);
	frame(f, GUEST_DATA, GUEST_STDOUT, "x", 1);
	session_refuse(&f->p.main, GUEST_STDOUT);
	EXPECT(!session_pending(&f->p.main));
	EXPECT(sent(f, &h) && h.type == GUEST_EOF && h.stream == GUEST_STDOUT);
	EXPECT(!sent(f, &h));
	frame(f, GUEST_DATA, GUEST_STDOUT, "x", 1);
	EXPECT(!session_pending(&f->p.main) && f->p.main.state == SESSION_STARTED);
	session_refuse(&f->p.main, GUEST_STDOUT);
	EXPECT(!sent(f, &h) && !h.type);
	/* What has ended is nobody's to be told of. */
	frame(f, GUEST_EOF, GUEST_STDERR, NULL, 0);
	session_refuse(&f->p.main, GUEST_STDERR);
	EXPECT(!sent(f, &h) && !h.type);
	teardown(f);
}

TEST(input_leaves_room_for_what_is_told)
{
	static const u8 d[GUEST_PROTO_DATA_MAX];
	struct fixture *f = setup(GUEST_STDIN);
	size_t room;

	start(f);
	do {
		f->p.main.credit = GUEST_PROTO_WINDOW;
		room = session_input_room(&f->p.main);
		if (room)
			session_input(&f->p.main, d, room);
	} while (room);
	EXPECT(f->p.tx_len == sizeof(f->p.tx) - 256);
	teardown(f);
}

TEST(signals_and_sizes_are_sent_once)
{
	struct fixture *f = setup(GUEST_TERMINAL);
	struct guest_frame h;
	const u8 *d;

	start(f);
	session_signal(&f->p.main, 2);
	session_signal(&f->p.main, 2);
	session_signal(&f->p.main, 32);
	session_signal(&f->p.main, 99);
	EXPECT(f->p.main.told);
	session_resize(&f->p.main, 24, 132);
	session_resize(&f->p.main, 24, 80);
	d = sent(f, &h);
	EXPECT(d && h.type == GUEST_WINSIZE && d[0] == 24 && d[2] == 80);
	d = sent(f, &h);
	EXPECT(d && h.type == GUEST_SIGNAL && le(d) == 2);
	session_resize(&f->p.main, 24, 80);
	EXPECT(!sent(f, &h) && f->p.main.unheard);
	frame(f, GUEST_SIGNAL, 0, NULL, 0);
	EXPECT(!f->p.main.unheard && !session_over(&f->p.main));
	teardown(f);
}

TEST(signals_wait_for_the_command)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;

	session_signal(&f->p.main, 15);
	EXPECT(!sent(f, &h));
	start(f);
	EXPECT(sent(f, &h) && h.type == GUEST_SIGNAL);
	teardown(f);
}

/* Said once the command runs, and again only when it was answered. */
TEST(names_to_forget_are_told_and_waited_for)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;

	port_forget(&f->p);
	EXPECT(!sent(f, &h) && !h.type);
	start(f);
	EXPECT(sent(f, &h) && h.type == GUEST_FORGET && f->p.forgetting);
	EXPECT(!sent(f, &h) && !h.type);
	frame(f, GUEST_FORGET, 0, NULL, 0);
	EXPECT(!f->p.forgetting);
	/* A guest that says it unasked changes nothing. */
	port_forget(&f->p);
	frame(f, GUEST_FORGET, 0, NULL, 0);
	EXPECT(f->p.forgetting);
	EXPECT(sent(f, &h) && h.type == GUEST_FORGET);
	teardown(f);
}

TEST(a_full_buffer_is_offered_again)
{
	static u8 d[0x10000 + 100];
	struct fixture *f = setup(GUEST_STDIN);
	size_t n;

	start(f);
	n = port_receive(&f->p, d, sizeof(d));
	EXPECT(n < sizeof(d) && f->wakes);
	EXPECT(!port_receive(&f->p, d, sizeof(d)) && f->p.rx_len == n);
	EXPECT(port_run(&f->p));
	EXPECT(!port_run(&f->p));
	teardown(f);
}

static u16 number(const struct guest_frame *h)
{
	return le16toh(h->session);
}

TEST(further_command_waits_for_the_first)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;
	struct session *s;
	const u8 *d;

	EXPECT(!session_open(&f->p, "arg=x", 6, GUEST_TERMINAL, &s));
	EXPECT(!sent(f, &h));
	start(f);
	d = sent(f, &h);
	EXPECT(d && h.type == GUEST_CONFIG && number(&h) == 1 && !h.stream &&
	       !memcmp(d, "arg=x", 6));
	EXPECT(sent(f, &h) && h.type == GUEST_RUN && number(&h) == 1);
	EXPECT(!session_input_room(s) && s->state == SESSION_READY);
	frame_of(f, 1, GUEST_STARTED, 0, NULL, 0);
	EXPECT(s->state == SESSION_STARTED && session_input_room(s));
	session_input(s, "x", 1);
	EXPECT(sent(f, &h) && h.type == GUEST_DATA && h.stream == GUEST_TERMINAL &&
	       number(&h) == 1);
	teardown(f);
}

TEST(long_records_come_in_pieces)
{
	static u8 config[GUEST_PROTO_CONFIG_MAX + 1];
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;
	struct session *s;
	size_t len = 0;

	start(f);
	EXPECT(session_open(&f->p, config, sizeof(config), 0, &s) == -E2BIG);
	EXPECT(session_open(&f->p, config, 0, 0, &s) == -E2BIG);
	EXPECT(!session_open(&f->p, config, sizeof(config) - 1, 0, &s));
	while (sent(f, &h) && h.type == GUEST_CONFIG) {
		EXPECT(h.stream == !!len && f->p.tx_len <= sizeof(f->p.tx));
		len += le32toh(h.len);
	}
	EXPECT(len == sizeof(config) - 1 && h.type == GUEST_RUN);
	teardown(f);
}

TEST(commands_do_not_mix)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct session *a, *b;
	size_t len = 10;

	start(f);
	a = further(f);
	b = further(f);
	EXPECT(a && b && a->id != b->id);
	frame_of(f, b->id, GUEST_DATA, GUEST_STDOUT, "b", 1);
	frame_of(f, a->id, GUEST_DATA, GUEST_STDOUT, "aa", 2);
	EXPECT(*session_output(b, GUEST_STDOUT, &len) == 'b' && len == 1);
	EXPECT(a->out[GUEST_STDOUT].len == 2 && !session_pending(&f->p.main));
	leave_of(f, a->id, GUEST_EXITED, 3);
	EXPECT(a->state == SESSION_EXITED && a->value == 3);
	EXPECT(b->state == SESSION_STARTED && !session_over(&f->p.main));
	EXPECT(session_pending(a));
	session_close(a);
	session_close(b);
	teardown(f);
}

TEST(a_full_stream_holds_up_no_other_command)
{
	static u8 block[GUEST_PROTO_DATA_MAX];
	struct fixture *f = setup(GUEST_STDIN);
	struct session *a, *b;

	start(f);
	a = further(f);
	b = further(f);
	for (u32 n = 0; n < GUEST_PROTO_WINDOW; n += sizeof(block))
		frame_of(f, a->id, GUEST_DATA, GUEST_STDOUT, block,
			 sizeof(block));
	frame_of(f, b->id, GUEST_DATA, GUEST_STDOUT, "b", 1);
	leave_of(f, b->id, GUEST_EXITED, 0);
	EXPECT(b->state == SESSION_EXITED && a->state == SESSION_STARTED);
	header_of(f, a->id, GUEST_DATA, GUEST_STDOUT, 1);
	EXPECT(a->state == SESSION_BROKEN && session_over(&f->p.main));
	teardown(f);
}

TEST(numbers_are_used_again)
{
	struct fixture *f = setup(GUEST_STDIN);

	start(f);
	for (unsigned int i = 0; i < 3 * GUEST_PROTO_SESSIONS; i++) {
		struct session *s = further(f);

		EXPECT(s && s->id == 1);
		leave_of(f, 1, GUEST_EXITED, 0);
		session_close(s);
	}
	teardown(f);
}

TEST(there_are_only_so_many_commands)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct session *s;

	start(f);
	for (unsigned int i = 1; i < GUEST_PROTO_SESSIONS; i++)
		EXPECT(further(f));
	EXPECT(session_open(&f->p, "a", 2, GUEST_STDIN, &s) == -EAGAIN);
	leave_of(f, 5, GUEST_EXITED, 0);
	EXPECT(session_open(&f->p, "a", 2, GUEST_STDIN, &s) == -EAGAIN);
	session_close(f->p.session[5]);
	EXPECT(!session_open(&f->p, "a", 2, GUEST_STDIN, &s) && s->id == 5);
	teardown(f);
}

TEST(a_command_that_is_closed_gets_sighup)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;
	struct session *s;
	u32 ends = 0;
	bool hup = false;
	const u8 *d;
	u16 id;

	start(f);
	s = further(f);
	id = s->id;
	session_close(s);
	while ((d = sent(f, &h))) {
		hup |= h.type == GUEST_SIGNAL && le(d) == 1 && number(&h) == id;
		ends |= h.type == GUEST_EOF ? BIT(h.stream) : 0;
	}
	EXPECT(hup && f->p.session[id] && ends == BIT(GUEST_STREAMS) - 1);
	frame_of(f, id, GUEST_DATA, GUEST_STDOUT, "x", 1);
	frame_of(f, id, GUEST_SIGNAL, 0, NULL, 0);
	frame_of(f, id, GUEST_EOF, GUEST_STDOUT, NULL, 0);
	EXPECT(f->p.session[id]);
	leave_of(f, id, GUEST_KILLED, 1);
	EXPECT(!f->p.session[id] && !session_over(&f->p.main));
	teardown(f);
}

/* What one of them has said before stays true. */
TEST(a_command_that_is_closed_may_break_all)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct session *a, *b;
	u16 id;

	start(f);
	a = further(f);
	b = further(f);
	id = b->id;
	leave_of(f, a->id, GUEST_EXITED, 3);
	session_close(b);
	frame_of(f, id, GUEST_EXIT, 0, "x", 1);
	EXPECT(!f->p.session[id] && f->p.main.state == SESSION_BROKEN);
	EXPECT(a->state == SESSION_EXITED && a->value == 3);
	teardown(f);
}

TEST(a_command_that_is_not_told_all_of_cannot_have_started)
{
	static u8 config[GUEST_PROTO_CONFIG_MAX];
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;
	struct session *s;

	start(f);
	EXPECT(!session_open(&f->p, config, sizeof(config), 0, &s));
	EXPECT(sent(f, &h) && h.type == GUEST_CONFIG);
	frame_of(f, s->id, GUEST_STARTED, 0, NULL, 0);
	EXPECT(s->state == SESSION_BROKEN && session_over(&f->p.main));
	teardown(f);
}

TEST(a_command_that_is_closed_early_does_not_run)
{
	static u8 config[GUEST_PROTO_CONFIG_MAX];
	struct fixture *f = setup(GUEST_STDIN);
	static const u8 error[] = { 125, 0, 0, 0 };
	struct guest_frame h;
	struct session *s;

	start(f);
	EXPECT(!session_open(&f->p, config, sizeof(config), 0, &s));
	EXPECT(sent(f, &h));
	session_close(s);
	while (sent(f, &h) && h.type != GUEST_SIGNAL)
		EXPECT(h.type == GUEST_CONFIG);
	EXPECT(h.type == GUEST_SIGNAL && !sent(f, &h));
	frame_of(f, 1, GUEST_ERROR, 0, error, sizeof(error));
	EXPECT(!f->p.session[1] && !session_over(&f->p.main));
	EXPECT(!session_open(&f->p, config, 1, 0, &s));
	session_close(s);
	EXPECT(!f->p.session[1] && !sent(f, &h));
	teardown(f);
}

/* As by a guest that has no memory for it */
TEST(a_command_that_fails_early_is_told_no_more)
{
	static const u8 error[] = { 125, 0, 0, 0, 'n', 'o' };
	static u8 config[GUEST_PROTO_CONFIG_MAX];
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;
	struct session *s;

	start(f);
	EXPECT(!session_open(&f->p, config, sizeof(config), 0, &s));
	EXPECT(sent(f, &h) && h.type == GUEST_CONFIG);
	frame_of(f, s->id, GUEST_ERROR, 0, error, sizeof(error));
	/* What is on its way already is passed over. */
	f->p.tx_len = 0;
	EXPECT(!sent(f, &h) && !h.type && s->state == SESSION_FAILED);
	session_close(s);
	EXPECT(!f->p.session[1]);
	teardown(f);
}

TEST(a_command_that_cannot_be_run_is_one_of_many)
{
	static const u8 error[] = { 126, 0, 0, 0, 'n', 'o' };
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;
	struct session *s;

	start(f);
	session_open(&f->p, "arg=x", 6, GUEST_STDIN, &s);
	while (sent(f, &h))
		;
	frame_of(f, s->id, GUEST_ERROR, 0, error, sizeof(error));
	EXPECT(s->state == SESSION_FAILED && s->value == 126);
	EXPECT(!strcmp(s->text, "no") && f->p.main.state == SESSION_STARTED);
	teardown(f);
}

TEST(frames_of_sessions_that_are_none_break_all)
{
	static const u16 bad[] = { 2, GUEST_PROTO_SESSIONS, 0xffff };

	for (unsigned int i = 0; i < ARRAY_SIZE(bad) + 2; i++) {
		struct fixture *f = setup(GUEST_STDIN);
		struct session *s;

		start(f);
		s = further(f);
		if (i < ARRAY_SIZE(bad)) {
			header_of(f, bad[i], GUEST_DATA, GUEST_STDOUT, 1);
		} else if (i == ARRAY_SIZE(bad)) {
			/* One that has ended */
			leave_of(f, s->id, GUEST_EXITED, 0);
			header_of(f, s->id, GUEST_EOF, GUEST_STDOUT, 0);
		} else {
			/* One of which the guest has not been told */
			session_open(&f->p, "a", 2, GUEST_STDIN, &s);
			header_of(f, s->id, GUEST_STARTED, 0, 0);
		}
		EXPECT(f->p.main.state == SESSION_BROKEN && session_over(s));
		teardown(f);
	}
}

TEST(a_guest_that_can_run_one_command_is_asked_for_no_more)
{
	struct guest_hello h = {
		htole32(GUEST_PROTO_MAGIC), htole32(GUEST_PROTO_VERSION), htole32(1024), 0,
	};
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame out;
	struct session *s, *other;

	EXPECT(!session_open(&f->p, "a", 2, GUEST_STDIN, &s));
	frame(f, GUEST_HELLO, 0, &h, sizeof(h));
	frame(f, GUEST_STARTED, 0, NULL, 0);
	EXPECT(sent(f, &out) && out.type == GUEST_HELLO);
	EXPECT(!sent(f, &out) && s->state == SESSION_FAILED && s->value == 125 &&
	       s->text[0]);
	EXPECT(session_open(&f->p, "a", 2, GUEST_STDIN, &other) == -EOPNOTSUPP);
	session_close(s);
	leave(f, GUEST_EXITED, 0);
	EXPECT(session_open(&f->p, "a", 2, GUEST_STDIN, &other) == -EPIPE);
	teardown(f);
}

TEST_MAIN(T(greeting_is_answered),
	  T(other_protocols_are_refused),
	  T(output_arrives_at_any_boundary),
	  T(credit_comes_back_as_output_is_written),
	  T(other_frames_arrive_at_any_boundary),
	  T(output_without_credit_breaks_the_session),
	  T(refused_output_has_the_credit_that_it_had),
	  T(output_goes_round_in_its_ring),
	  T(frames_out_of_order_break_the_session),
	  T(frames_that_make_no_sense_break_the_session),
	  T(nothing_is_believed_before_the_greeting),
	  T(unknown_frames_are_skipped),
	  T(exit_status_and_signal_are_kept),
	  T(exit_without_a_start_is_not_believed),
	  T(error_has_status_and_clean_text),
	  T(notes_are_bounded),
	  T(notes_are_of_a_command),
	  T(kernel_log_is_passed_on),
	  T(input_stops_without_credit),
	  T(an_end_of_input_is_sent_once),
	  T(credit_cannot_exceed_the_window),
	  T(input_that_nobody_wants_is_not_read),
	  T(refused_output_is_told_and_dropped),
	  T(input_leaves_room_for_what_is_told),
	  T(signals_and_sizes_are_sent_once),
	  T(signals_wait_for_the_command),
	  T(names_to_forget_are_told_and_waited_for),
	  T(a_full_buffer_is_offered_again),
	  T(further_command_waits_for_the_first),
	  T(long_records_come_in_pieces),
	  T(commands_do_not_mix),
	  T(a_full_stream_holds_up_no_other_command),
	  T(numbers_are_used_again),
	  T(there_are_only_so_many_commands),
	  T(a_command_that_is_closed_gets_sighup),
	  T(a_command_that_is_closed_may_break_all),
	  T(a_command_that_is_not_told_all_of_cannot_have_started),
	  T(a_command_that_is_closed_early_does_not_run),
	  T(a_command_that_fails_early_is_told_no_more),
	  T(a_command_that_cannot_be_run_is_one_of_many),
	  T(frames_of_sessions_that_are_none_break_all),
	  T(a_guest_that_can_run_one_command_is_asked_for_no_more))
