// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control port's host side: what it makes of frames, good and bad, and what
 * it says itself.
 */
#include <string.h>
#include "kvm/session.h"
#include "tests/unit/test.h"

struct fixture {
	struct session s;
	unsigned int wakes;
	unsigned int notes;
	char note[600];
	size_t klog;
};

static void on_wake(void *opaque)
{
	((struct fixture *)opaque)->wakes++;
}

static void on_note(void *opaque, const char *text)
{
	struct fixture *f = opaque;

	f->notes++;
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

	session_init(&f->s, &ops, input);
	return f;
}

static void teardown(struct fixture *f)
{
	session_destroy(&f->s);
	free(f);
}

static void raw(struct fixture *f, const void *d, size_t len)
{
	while (len) {
		size_t n = session_receive(&f->s, d, len);

		d = (const u8 *)d + n;
		len -= n;
		session_run(&f->s);
		if (!n && session_over(&f->s))
			return;
	}
}

static void header(struct fixture *f, u8 type, u8 stream, u32 len)
{
	struct guest_frame h = {
		.type = type, .stream = stream, .len = htole32(len),
	};

	raw(f, &h, sizeof(h));
}

static void frame(struct fixture *f, u8 type, u8 stream, const void *d, u32 len)
{
	header(f, type, stream, len);
	raw(f, d, len);
}

static void hello(struct fixture *f, u32 magic, u32 version, u32 window)
{
	struct guest_hello h = {
		htole32(magic), htole32(version), htole32(window),
	};

	frame(f, GUEST_HELLO, 0, &h, sizeof(h));
}

static void start(struct fixture *f)
{
	size_t len;

	hello(f, GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, GUEST_PROTO_WINDOW);
	session_send(&f->s, &len);
	session_sent(&f->s, len);
	frame(f, GUEST_STARTED, 0, NULL, 0);
}

static void leave(struct fixture *f, u32 kind, u32 value)
{
	struct guest_exit e = { htole32(kind), htole32(value), htole64(512) };

	frame(f, GUEST_EXIT, 0, &e, sizeof(e));
}

/* The first frame that is to be sent. Return: its payload, NULL for none */
static const u8 *sent(struct fixture *f, struct guest_frame *h)
{
	static u8 d[GUEST_PROTO_DATA_MAX];
	size_t len;
	const u8 *p = session_send(&f->s, &len);

	memset(h, 0, sizeof(*h));
	if (len < sizeof(*h))
		return NULL;
	memcpy(h, p, sizeof(*h));
	if (len - sizeof(*h) < le32toh(h->len))
		return NULL;
	memcpy(d, p + sizeof(*h), le32toh(h->len));
	session_sent(&f->s, sizeof(*h) + le32toh(h->len));
	return d;
}

static u32 le(const u8 *d)
{
	__le32 v;

	memcpy(&v, d, 4);
	return le32toh(v);
}

TEST(greeting_is_answered)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;
	const u8 *d;

	hello(f, GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, 100);
	EXPECT(f->s.state == SESSION_READY);
	d = sent(f, &h);
	EXPECT(d && h.type == GUEST_HELLO && le(d) == GUEST_PROTO_MAGIC &&
	       le(d + 8) == GUEST_PROTO_WINDOW);
	EXPECT(!session_input_room(&f->s));
	frame(f, GUEST_STARTED, 0, NULL, 0);
	EXPECT(session_input_room(&f->s) == 100);
	teardown(f);
}

TEST(other_protocols_are_refused)
{
	static const u32 bad[][2] = {
		{ 0, GUEST_PROTO_VERSION },
		{ GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION + 1 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fixture *f = setup(GUEST_STDIN);

		hello(f, bad[i][0], bad[i][1], 100);
		EXPECT(f->s.state == SESSION_BROKEN && f->s.text[0]);
		EXPECT(session_over(&f->s));
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
		d = session_output(&f->s, GUEST_STDERR, &len);
		EXPECT(len == 5 && !memcmp(d, "12345", 5));
		EXPECT(f->s.out[GUEST_STDERR].ended);
		EXPECT(!f->s.out[GUEST_STDOUT].len);
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
	EXPECT(f->s.state == SESSION_STARTED && session_pending(&f->s));
	EXPECT(!sent(f, &h));
	session_output(&f->s, GUEST_STDOUT, &len);
	EXPECT(len == sizeof(block));
	session_written(&f->s, GUEST_STDOUT, len);
	EXPECT(le(sent(f, &h)) == sizeof(block) && h.type == GUEST_CREDIT);
	frame(f, GUEST_DATA, GUEST_STDOUT, block, sizeof(block));
	EXPECT(f->s.state == SESSION_STARTED);
	teardown(f);
}

TEST(output_without_credit_breaks_the_session)
{
	static u8 block[GUEST_PROTO_DATA_MAX];
	struct fixture *f = setup(GUEST_STDIN);

	start(f);
	for (u32 n = 0; n < GUEST_PROTO_WINDOW; n += sizeof(block))
		frame(f, GUEST_DATA, GUEST_STDOUT, block, sizeof(block));
	header(f, GUEST_DATA, GUEST_STDOUT, 1);
	EXPECT(f->s.state == SESSION_BROKEN);
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
		EXPECT(f->s.state == SESSION_BROKEN);
		raw(f, "more", 4);
		EXPECT(f->s.state == SESSION_BROKEN);
		teardown(f);
	}
}

TEST(nothing_is_believed_before_the_greeting)
{
	struct fixture *f = setup(GUEST_STDIN);

	frame(f, GUEST_DATA, GUEST_STDOUT, "x", 1);
	EXPECT(f->s.state == SESSION_BROKEN && !session_pending(&f->s));
	teardown(f);
}

TEST(unknown_frames_are_skipped)
{
	struct fixture *f = setup(GUEST_STDIN);

	start(f);
	frame(f, 99, 0, "hello", 5);
	frame(f, GUEST_DATA, GUEST_STDOUT, "x", 1);
	EXPECT(f->s.state == SESSION_STARTED && session_pending(&f->s));
	teardown(f);
}

TEST(exit_status_and_signal_are_kept)
{
	struct fixture *f = setup(GUEST_STDIN);

	start(f);
	leave(f, GUEST_EXITED, 42);
	EXPECT(f->s.state == SESSION_EXITED && f->s.value == 42 &&
	       f->s.taint == 512);
	teardown(f);
	f = setup(GUEST_STDIN);
	start(f);
	leave(f, GUEST_KILLED, 9);
	EXPECT(f->s.state == SESSION_KILLED && f->s.value == 9);
	frame(f, GUEST_DATA, GUEST_STDOUT, "x", 1);
	EXPECT(!session_pending(&f->s));
	teardown(f);
}

TEST(exit_without_a_start_is_not_believed)
{
	struct fixture *f = setup(GUEST_STDIN);

	hello(f, GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, 100);
	leave(f, GUEST_EXITED, 0);
	EXPECT(f->s.state == SESSION_BROKEN);
	teardown(f);
}

TEST(error_has_status_and_clean_text)
{
	static const u8 error[] = { 127, 0, 0, 0, 'a', 27, '[', 'b' };
	struct fixture *f = setup(GUEST_STDIN);

	hello(f, GUEST_PROTO_MAGIC, GUEST_PROTO_VERSION, 100);
	frame(f, GUEST_ERROR, 0, error, sizeof(error));
	EXPECT(f->s.state == SESSION_FAILED && f->s.value == 127);
	EXPECT(!strcmp(f->s.text, "a?[b"));
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
	session_input(&f->s, d, 50);
	EXPECT(!session_input_room(&f->s));
	EXPECT(sent(f, &h) && h.type == GUEST_DATA && le32toh(h.len) == 50);
	frame(f, GUEST_CREDIT, GUEST_STDIN, &more, 4);
	EXPECT(session_input_room(&f->s) == 30);
	session_input(&f->s, NULL, 0);
	EXPECT(sent(f, &h) && h.type == GUEST_EOF && h.stream == GUEST_STDIN);
	EXPECT(!sent(f, &h) && !session_input_room(&f->s));
	teardown(f);
}

TEST(credit_cannot_exceed_the_window)
{
	struct fixture *f = setup(GUEST_STDIN);
	__le32 more = htole32(UINT32_MAX);

	start(f);
	frame(f, GUEST_CREDIT, GUEST_STDIN, &more, 4);
	frame(f, GUEST_CREDIT, GUEST_STDIN, &more, 4);
	EXPECT(f->s.credit == GUEST_PROTO_WINDOW);
	EXPECT(session_input_room(&f->s) <= GUEST_PROTO_DATA_MAX);
	teardown(f);
}

TEST(input_that_nobody_wants_is_not_read)
{
	struct fixture *f = setup(GUEST_STDIN);

	start(f);
	EXPECT(session_input_room(&f->s));
	frame(f, GUEST_EOF, GUEST_STDIN, NULL, 0);
	EXPECT(!session_input_room(&f->s));
	teardown(f);
}

TEST(refused_output_is_told_and_dropped)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;

	start(f);
	frame(f, GUEST_DATA, GUEST_STDOUT, "x", 1);
	session_refuse(&f->s, GUEST_STDOUT);
	EXPECT(!session_pending(&f->s));
	EXPECT(sent(f, &h) && h.type == GUEST_EOF && h.stream == GUEST_STDOUT);
	EXPECT(!sent(f, &h));
	frame(f, GUEST_DATA, GUEST_STDOUT, "x", 1);
	EXPECT(!session_pending(&f->s) && f->s.state == SESSION_STARTED);
	teardown(f);
}

TEST(signals_and_sizes_are_sent_once)
{
	struct fixture *f = setup(GUEST_TERMINAL);
	struct guest_frame h;
	const u8 *d;

	start(f);
	session_signal(&f->s, 2);
	session_signal(&f->s, 2);
	session_signal(&f->s, 99);
	session_resize(&f->s, 24, 80);
	d = sent(f, &h);
	EXPECT(d && h.type == GUEST_WINSIZE && d[0] == 24 && d[2] == 80);
	d = sent(f, &h);
	EXPECT(d && h.type == GUEST_SIGNAL && le(d) == 2);
	session_resize(&f->s, 24, 80);
	EXPECT(!sent(f, &h));
	teardown(f);
}

TEST(signals_wait_for_the_command)
{
	struct fixture *f = setup(GUEST_STDIN);
	struct guest_frame h;

	session_signal(&f->s, 15);
	EXPECT(!sent(f, &h));
	start(f);
	EXPECT(sent(f, &h) && h.type == GUEST_SIGNAL);
	teardown(f);
}

TEST(a_full_buffer_is_offered_again)
{
	static u8 d[0x10000 + 100];
	struct fixture *f = setup(GUEST_STDIN);
	size_t n;

	start(f);
	n = session_receive(&f->s, d, sizeof(d));
	EXPECT(n < sizeof(d) && f->wakes);
	EXPECT(session_run(&f->s));
	EXPECT(!session_run(&f->s));
	teardown(f);
}

TEST_MAIN(T(greeting_is_answered),
	  T(other_protocols_are_refused),
	  T(output_arrives_at_any_boundary),
	  T(credit_comes_back_as_output_is_written),
	  T(output_without_credit_breaks_the_session),
	  T(frames_that_make_no_sense_break_the_session),
	  T(nothing_is_believed_before_the_greeting),
	  T(unknown_frames_are_skipped),
	  T(exit_status_and_signal_are_kept),
	  T(exit_without_a_start_is_not_believed),
	  T(error_has_status_and_clean_text),
	  T(notes_are_bounded),
	  T(kernel_log_is_passed_on),
	  T(input_stops_without_credit),
	  T(credit_cannot_exceed_the_window),
	  T(input_that_nobody_wants_is_not_read),
	  T(refused_output_is_told_and_dropped),
	  T(signals_and_sizes_are_sent_once),
	  T(signals_wait_for_the_command),
	  T(a_full_buffer_is_offered_again))
