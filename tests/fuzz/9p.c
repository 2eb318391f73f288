// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is a list of 9P messages, cut into pieces at will,
 * to a server over a directory of a few files. Fids and names are few, so that
 * messages meet what others made; any part of one may be junk. What the share
 * looks like from outside has to stay as it is: a file beside it keeps its text.
 * The session is forgotten before each input, and now and then the files are
 * made anew. In memory, where syncing a file system takes no time.
 */
#include "kvm/9p.h"
#include "kvm/9p-proto.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/share.h"

#define MESSAGES_MAX 64

static struct fs_server *server;

static void clean_up(void)
{
	server->service->free(server);
	share_remove();
}

static void set_up(void)
{
	struct fs_host *host = share_open();

	if (p9_server_create(&server, host))
		abort();
	atexit(clean_up);
}

static void serve(size_t len, size_t cut, u32 room)
{
	struct vq_chain c;
	int n;

	share_chain(&c, len, cut, room);
	server->service->order(&c);
	n = server->service->serve(server, &buffers, &c);
	if (n > (int)room)
		abort();
}

/* What a field may be that is meant to be one */
static size_t put_field(u8 *p, struct state_in *s)
{
	static const char *const name[] = {
		"a", "b", "c", "d", "e", "..", ".", "", "user.x", "../secret",
		"b/f", "f",
	};
	u8 kind = state_get_u8(s), v = kind >> 3;
	const char *text = name[v % ARRAY_SIZE(name)];
	static const u8 size[] = { 4, 4, 8, 2, 1 };

	memset(p, 0, 8);
	if ((kind & 7) < ARRAY_SIZE(size)) {
		*p = v;
		return size[kind & 7];
	}
	if ((kind & 7) == 5) {
		*p = strlen(text);
		memcpy(p + 2, text, strlen(text));
		return 2 + strlen(text);
	}
	*p = state_get_u8(s);
	return 1;
}

/* One message out of the input, its chain cut where the input says. */
static void message(struct state_in *s)
{
	u8 odd = state_get_u8(s), type = state_get_u8(s);
	size_t fields = state_get_u8(s) % 40, cut = state_get_u8(s), n = 7;
	u32 room = odd & 8 ? state_get_u16(s) % BUF : 512, size;

	while (fields-- && n < 1024)
		n += put_field(in + n, s);
	size = htole32(odd & 16 ? state_get_u32(s) : n);
	memcpy(in, &size, sizeof(size));
	in[4] = odd & 1 ? type : 2 * (type % 64);
	in[5] = type & 3;
	in[6] = 0;
	serve(odd & 32 ? MIN(n, cut) : n, cut, room);
}

static void begin(void)
{
	static const u8 version[] = "\x15\0\0\0\x64\xff\xff\0\x20\0\0\x08\0009P2000.L";
	static const u8 attach[] = "\x17\0\0\0\x68\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0";

	memcpy(in, version, sizeof(version) - 1);
	serve(sizeof(version) - 1, 0, BUF);
	memcpy(in, attach, sizeof(attach));
	serve(sizeof(attach), 0, BUF);
	if (out[4] != P9_TATTACH + 1)
		abort();
}

int fuzz_one(const u8 *data, size_t len)
{
	struct state_in s = { .buf = data, .len = len };
	struct state_out saved = { 0 };
	struct state_in back;

	if (!server)
		set_up();
	share_populate();
	begin();
	for (unsigned int i = 0; i < MESSAGES_MAX && !s.err; i++)
		message(&s);
	/* What it came to can be saved, and the input is no such thing. */
	server->service->save(server, &saved);
	server->service->reset(server);
	back = (struct state_in){ .buf = saved.buf, .len = saved.len };
	if (server->service->restore(server, &back))
		abort();
	state_out_free(&saved);
	back = (struct state_in){ .buf = data, .len = len };
	server->service->restore(server, &back);
	server->service->reset(server);
	share_check();
	return 0;
}
