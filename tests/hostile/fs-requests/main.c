// SPDX-License-Identifier: GPL-2.0-only
/*
 * FUSE spoken by somebody who wants out: names that lead elsewhere, links,
 * numbers that were never given, lengths that lie, junk. Each request gets an
 * error or the device needs a reset. Beside the share is a file "secret", in it
 * a link "out" to that, a link "root", a directory "dir" and a file "file".
 */
#include <linux/fuse.h>
#include <linux/virtio_fs.h>
#include "virtio.h"

#define HDR sizeof(struct fuse_in_header)
#define REPLY sizeof(struct fuse_out_header)

static struct vdev v;
static struct vq q;
static struct fuse_in_header *in;
static struct fuse_out_header *out;
static u64 unique;

static void exchange(u32 len, u32 room)
{
	struct buf b[2] = { { in, len, false }, { out, room, true } };

	vq_run(&q, b, room ? 2 : 1);
}

/* Return: bytes of the answer, or the error */
static s64 call(u32 op, u64 node, const void *arg, u32 len)
{
	memset(in, 0, HDR);
	memset(out, 0, 4096);
	in->len = HDR + len;
	in->opcode = op;
	in->unique = ++unique;
	in->nodeid = node;
	memcpy((u8 *)in + HDR, arg, len);
	exchange(HDR + len, 4096);
	EXPECT_EQ(out->unique, unique);
	return out->error ? out->error : (s64)(out->len - REPLY);
}

static u64 look(u64 dir, const char *name, u32 len)
{
	struct fuse_entry_out *e = (void *)(out + 1);

	return call(FUSE_LOOKUP, dir, name, len) < 0 ? 0 : e->nodeid;
}

static void begin(void)
{
	struct fuse_init_in init = { .major = 7, .minor = 38, .flags = ~0U };

	EXPECT_EQ(call(FUSE_INIT, 0, &init, sizeof(init)),
		  sizeof(struct fuse_init_out));
}

static void names(void)
{
	struct fuse_mkdir_in mk[64] = { { .mode = 0777 } };
	struct fuse_rename_in mv[64] = { { .newdir = 1 } };

	EXPECT_EQ(look(1, "..", 3), 0);
	EXPECT_EQ(look(1, ".", 2), 0);
	EXPECT_EQ(look(1, "", 1), 0);
	EXPECT_EQ(look(1, "../secret", 10), 0);
	EXPECT_EQ(look(1, "dir/..", 7), 0);
	EXPECT_EQ(look(1, "/etc/passwd", 12), 0);
	EXPECT_EQ(look(1, "file", 4), 0);	/* has no end */
	EXPECT_EQ(look(look(1, "dir", 4), "..", 3), 0);
	EXPECT_EQ(look(look(1, "root", 5), "etc", 4), 0);
	EXPECT_EQ(look(look(1, "out", 4), "x", 2), 0);
	memcpy(mk + 1, "../made", 8);
	EXPECT(call(FUSE_MKDIR, 1, mk, sizeof(mk[0]) + 8) < 0);
	memcpy(mv + 1, "file\0../moved", 14);
	EXPECT(call(FUSE_RENAME, 1, mv, sizeof(mv[0]) + 14) < 0);
	memcpy(mv + 1, "file\0moved", 10);	/* has no end */
	EXPECT(call(FUSE_RENAME, 1, mv, sizeof(mv[0]) + 10) < 0);
}

static void links(void)
{
	struct fuse_open_in op = { 0 };
	struct fuse_setattr_in set = { .valid = FATTR_SIZE };
	u64 node = look(1, "out", 4);

	EXPECT(node);
	for (u32 flags = 0; flags < 3; flags++) {
		op.flags = flags;
		EXPECT(call(FUSE_OPEN, node, &op, sizeof(op)) < 0);
	}
	EXPECT(call(FUSE_SETATTR, node, &set, sizeof(set)) < 0);
	EXPECT(call(FUSE_OPENDIR, look(1, "root", 5), &op, sizeof(op)) < 0);
}

static void numbers(void)
{
	struct fuse_read_in rd = { .size = ~0U, .offset = ~0ULL };
	struct fuse_write_in wr = { .size = ~0U };

	for (u32 i = 0; i < 64; i++) {
		EXPECT(call(FUSE_GETATTR, (1ULL << i) + 1, NULL, 0) < 0);
		rd.fh = 1ULL << i;
		EXPECT(call(FUSE_READ, 1, &rd, sizeof(rd)) < 0);
		EXPECT(call(FUSE_READDIR, 1, &rd, sizeof(rd)) < 0);
		wr.fh = 1ULL << i;
		EXPECT(call(FUSE_WRITE, 1, &wr, sizeof(wr)) < 0);
	}
}

/* Only what cannot be a request at all breaks the device. */
static void broken(u32 len, u32 room)
{
	struct buf b[2] = { { in, len, false }, { out, room, true } };

	in->opcode = FUSE_GETATTR;
	vq_add(&q, b, room ? 2 : 1);
	vq_kick(&q);
	vdev_broken(&v);
	vdev_restart(&v, &q, 1, vdev_offered(&v) & ~F_EVENT_IDX);
	begin();
}

static void junk(void)
{
	for (u32 n = 0; n < 2000; n++) {
		u32 len = HDR + random32() % 200, op = random32() % 60;

		for (u32 i = 0; i < len; i += 4)
			*(u32 *)((u8 *)in + i) = random32() & random32();
		in->opcode = op;
		in->nodeid = random32() % 8;
		if (random32() % 4)
			in->len = len;
		exchange(len, REPLY + random32() % 512);
		if (op == FUSE_DESTROY)
			begin();
	}
}

int main(void)
{
	u8 *page = page_alloc(3);

	in = (void *)page;
	out = (void *)(page + 8192);
	vdev_open(&v, &q, VIRTIO_ID_FS, ~F_EVENT_IDX);
	EXPECT(call(FUSE_GETATTR, 1, NULL, 0) < 0);
	begin();
	names();
	links();
	numbers();
	broken(HDR - 1, 64);
	broken(HDR, 0);
	broken(HDR, REPLY - 1);
	junk();
	begin();
	EXPECT(call(FUSE_GETATTR, 1, NULL, 0) > 0);
	return 0;
}
