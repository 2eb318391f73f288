// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is what a guest says on the control port. It comes
 * in pieces whose sizes the input chooses, and in between the host writes some of
 * the output, gives input, refuses a stream, opens and closes sessions and sends.
 * A greeting may be put in front, for the way to the rest to be short. What holds
 * at all times is checked.
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

static void on_note(void *opaque, const struct session *s, u8 stream, const char *text)
{
	(void)opaque;
	(void)s;
	(void)stream;
	if (strlen(text) > GUEST_PROTO_TEXT_MAX)
		abort();
}

static void on_klog(void *opaque, const void *d, size_t len)
{
	klog_feed(opaque, d, len);
}

static void greet(struct session_port *p)
{
	static const u8 hello[] = {
		GUEST_HELLO, 0, 0, 0, 16, 0, 0, 0, 'L', 'K', 'V', 'M',
		GUEST_PROTO_VERSION, 0, 0, 0, 0, 0x10, 0, 0,
		GUEST_CAN_EXEC, 0, 0, 0,
		GUEST_STARTED, 0, 0, 0, 0, 0, 0, 0,
	};

	port_receive(p, hello, sizeof(hello));
	port_run(p);
}

static void session_step(struct session *s, u8 what, u8 arg)
{
	static const u8 bytes[GUEST_PROTO_DATA_MAX];
	u8 stream = arg % GUEST_STREAMS;
	size_t len = arg * 64;

	switch (what % 4) {
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
	}
}

/* Sessions that somebody has open; those that were closed are the port's. */
#define NR 4

static void host_step(struct session_port *p, struct session **own, u8 what,
		      u8 arg)
{
	static const u8 bytes[GUEST_PROTO_DATA_MAX];
	struct session **s = &own[what / 8 % NR];
	size_t len;

	switch (what % 8) {
	case 0 ... 3:
		session_step(*s ? *s : &p->main, what, arg);
		break;
	case 4:
		if (!*s && session_open(p, bytes, arg * 64, arg & 1 ?
					GUEST_TERMINAL : GUEST_STDIN, s))
			*s = NULL;
		break;
	case 5:
		if (*s)
			session_close(*s);
		*s = NULL;
		break;
	default:
		port_send(p, &len);
		port_sent(p, MIN(len, (size_t)arg * 16));
	}
}

static void check(const struct session_port *p)
{
	for (unsigned int n = 0; n < GUEST_PROTO_SESSIONS; n++) {
		const struct session *s = p->session[n];

		for (unsigned int i = 0; s && i < GUEST_STREAMS; i++)
			if (s->out[i].len > GUEST_PROTO_WINDOW ||
			    s->out[i].taken + s->out[i].len > GUEST_PROTO_WINDOW)
				abort();
		if (s && (s->id != n || s->credit > GUEST_PROTO_WINDOW))
			abort();
	}
	if (p->tx_len > sizeof(p->tx))
		abort();
}

int fuzz_one(const u8 *data, size_t len)
{
	struct state_in in = { .buf = data, .len = len };
	struct klog *k = calloc(1, sizeof(*k));
	struct session_port *p = malloc(sizeof(*p));
	const struct session_ops ops = { on_wake, on_note, on_klog, k };
	struct session *own[NR] = { NULL };
	u8 mode = state_get_u8(&in);
	u8 piece[256];

	port_init(p, &ops, mode & 2 ? GUEST_TERMINAL : GUEST_STDIN);
	if (mode & 1)
		greet(p);
	while (!in.err) {
		size_t n = state_get_u8(&in);
		u8 what = state_get_u8(&in);
		u8 arg = state_get_u8(&in);

		n = MIN(n, in.len - in.pos);
		state_get(&in, piece, n);
		port_receive(p, piece, n);
		port_run(p);
		host_step(p, own, what, arg);
		check(p);
	}
	port_destroy(p);
	free(p);
	free(k);
	return 0;
}
