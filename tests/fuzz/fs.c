// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is a list of FUSE requests, cut into pieces at
 * will, to a server over a directory of a few files (virtio 1.2 s5.11). Numbers
 * and names are few, so that requests meet what others made; any part of a
 * request may be junk. What the share looks like from outside has to stay as it
 * is: a file beside it keeps its text. The session is forgotten before each
 * input, and now and then the files are made anew. In memory, where syncing a
 * file system takes no time.
 */
#include <linux/fuse.h>
#include "kvm/fuse.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/share.h"

#define REQUESTS_MAX 64

static struct fs_server *server;

static void clean_up(void)
{
	server->service->free(server);
	share_remove();
}

static void set_up(void)
{
	struct fs_host *host = share_open();

	if (fuse_server_create(&server, host))
		abort();
	atexit(clean_up);
}

/* One request out of the input, its chain cut where the input says. */
static void request(struct state_in *s)
{
	u8 odd = state_get_u8(s), op = state_get_u8(s);
	size_t len = state_get_u8(s), cut = state_get_u8(s), n;
	struct fuse_in_header h = {
		.opcode = odd & 1 ? state_get_u16(s) : op % 56U,
		.nodeid = odd & 2 ? state_get_u64(s) : 1 + (op >> 6),
		.uid = odd & 4 ? 1000 : 0,
	};
	u32 room = odd & 8 ? state_get_u16(s) % BUF : 512;
	struct vq_chain c;

	len = MIN(len, s->len - s->pos);
	state_get(s, in + sizeof(h), len);
	n = sizeof(h) + len;
	h.len = odd & 16 ? state_get_u32(s) : n;
	memcpy(in, &h, sizeof(h));
	share_chain(&c, odd & 32 ? MIN(n, cut) : n, cut, room);
	if (server->service->serve(server, &buffers, &c) > (int)room)
		abort();
}

static void begin(void)
{
	struct {
		struct fuse_in_header h;
		struct fuse_init_in i;
	} r = { { .len = sizeof(r), .opcode = FUSE_INIT },
		{ .major = 7, .minor = 38, .flags = ~0U } };
	struct vq_chain c;

	memcpy(in, &r, sizeof(r));
	share_chain(&c, sizeof(r), 0, BUF);
	if (server->service->serve(server, &buffers, &c) <= 0 ||
	    ((struct fuse_out_header *)out)->error)
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
	for (unsigned int i = 0; i < REQUESTS_MAX && !s.err; i++)
		request(&s);
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
