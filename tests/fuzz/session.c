// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is what a guest says on the control port. It comes
 * in pieces whose sizes the input chooses, and in between the host writes some of
 * the output, gives input, refuses a stream and sends. A greeting may be put in
 * front, for the way to the rest to be short. What holds at all times is checked.
 */
#include <stdlib.h>
#include <string.h>
#include "kvm/klog.h"
#include "kvm/session.h"
#include "kvm/state.h"
#include "tests/fuzz/fuzz.h"

static void on_wake(void *opaque)
{
	(void)opaque;
}

static void on_note(void *opaque, const char *text)
{
	(void)opaque;
	if (strlen(text) > GUEST_PROTO_TEXT_MAX)
		abort();
}

static void on_klog(void *opaque, const void *d, size_t len)
{
	klog_feed(opaque, d, len);
}

static void greet(struct session *s)
{
	static const u8 hello[] = {
		GUEST_HELLO, 0, 0, 0, 12, 0, 0, 0, 'L', 'K', 'V', 'M',
		GUEST_PROTO_VERSION, 0, 0, 0, 0, 0x10, 0, 0,
		GUEST_STARTED, 0, 0, 0, 0, 0, 0, 0,
	};

	session_receive(s, hello, sizeof(hello));
	session_run(s);
}

static void host_step(struct session *s, u8 what, u8 arg)
{
	static const u8 bytes[GUEST_PROTO_DATA_MAX];
	u8 stream = arg % GUEST_STREAMS;
	size_t len = arg * 64;

	switch (what % 6) {
	case 0:
		session_output(s, stream, &len);
		session_written(s, stream, len);
		break;
	case 1:
		session_refuse(s, stream);
		break;
	case 2:
		len = MIN(len, session_input_room(s));
		if (len || arg == 255)
			session_input(s, bytes, len);
		break;
	case 3:
		session_signal(s, arg);
		session_resize(s, arg, arg);
		break;
	default:
		session_send(s, &len);
		session_sent(s, MIN(len, (size_t)arg * 16));
	}
}

static void check(const struct session *s)
{
	for (unsigned int i = 0; i < GUEST_STREAMS; i++)
		if (s->out[i].len > GUEST_PROTO_WINDOW ||
		    s->out[i].taken + s->out[i].len > GUEST_PROTO_WINDOW)
			abort();
	if (s->credit > GUEST_PROTO_WINDOW || s->tx_len > sizeof(s->tx))
		abort();
}

int fuzz_one(const u8 *data, size_t len)
{
	struct state_in in = { .buf = data, .len = len };
	struct klog *k = calloc(1, sizeof(*k));
	struct session *s = malloc(sizeof(*s));
	const struct session_ops ops = { on_wake, on_note, on_klog, k };
	u8 mode = state_get_u8(&in);
	u8 piece[256];

	session_init(s, &ops, mode & 2 ? GUEST_TERMINAL : GUEST_STDIN);
	if (mode & 1)
		greet(s);
	while (!in.err) {
		size_t n = state_get_u8(&in);
		u8 what = state_get_u8(&in);
		u8 arg = state_get_u8(&in);

		n = MIN(n, in.len - in.pos);
		state_get(&in, piece, n);
		session_receive(s, piece, n);
		session_run(s);
		host_step(s, what, arg);
		check(s);
	}
	session_destroy(s);
	free(s);
	free(k);
	return 0;
}
