// SPDX-License-Identifier: GPL-2.0-only
/*
 * 9P spoken by somebody who wants out: names that lead elsewhere, links, fids
 * that were never made or many of them, lengths that lie, flushes that wait for
 * each other, junk. Each message gets an error or the device needs a reset.
 * Beside the share is a file "secret", in it a link "out" to that, a link "root",
 * a directory "dir" and a file "file".
 */
#include "kvm/9p-proto.h"
#include "virtio.h"

#define ERROR_SIZE (P9_HDR + 4)
#define ROOM 4096

static struct vdev v;
static struct vq q;
static u8 *in, *out;
static u32 len;
static u16 tag;

static void put(u64 value, u32 size)
{
	memcpy(in + len, &value, size);
	len += size;
}

static void put_name(const char *s, u32 n)
{
	put(n, 2);
	memcpy(in + len, s, n);
	len += n;
}

static void begin(u8 type)
{
	len = 4;
	put(type, 1);
	put(++tag, 2);
}

/* Return: bytes of the answer's body, or the error */
static s64 finish(void)
{
	struct buf b[2] = { { in, 0, false }, { out, ROOM, true } };
	u32 size;

	memcpy(in, &len, 4);
	memset(out, 0, ERROR_SIZE);
	b[0].len = len;
	vq_run(&q, b, 2);
	memcpy(&size, out, 4);
	EXPECT(size >= P9_HDR && size <= ROOM);
	EXPECT(out[4] == in[4] + 1 || out[4] == P9_RLERROR);
	EXPECT_EQ(out[5] | out[6] << 8, in[5] | in[6] << 8);
	if (out[4] != P9_RLERROR)
		return size - P9_HDR;
	EXPECT_EQ(size, ERROR_SIZE);
	memcpy(&size, out + P9_HDR, 4);
	return -(s64)size;
}

static s64 walk(u32 fid, u32 newfid, const char *name, u32 n)
{
	begin(P9_TWALK);
	put(fid, 4);
	put(newfid, 4);
	put(1, 2);
	put_name(name, n);
	return finish();
}

static s64 clunk(u32 fid)
{
	begin(P9_TCLUNK);
	put(fid, 4);
	return finish();
}

static s64 open_fid(u32 fid, u32 flags)
{
	begin(P9_TLOPEN);
	put(fid, 4);
	put(flags, 4);
	return finish();
}

static void session(void)
{
	begin(P9_TVERSION);
	put(ROOM, 4);
	put_name(P9_VERSION, 8);
	EXPECT_EQ(finish(), 4 + 2 + 8);
	begin(P9_TATTACH);
	put(0, 4);
	put(P9_NOFID, 4);
	put(0, 4);
	put(0, 4);
	EXPECT_EQ(finish(), P9_QID);
}

static void names(void)
{
	EXPECT(walk(0, 1, "..", 2) < 0);
	EXPECT(walk(0, 1, ".", 1) < 0);
	EXPECT(walk(0, 1, "", 0) < 0);
	EXPECT(walk(0, 1, "../secret", 9) < 0);
	EXPECT(walk(0, 1, "dir/..", 6) < 0);
	EXPECT(walk(0, 1, "/etc/passwd", 11) < 0);
	EXPECT(walk(0, 1, "dir\0/../..", 10) < 0);
	EXPECT(walk(0, 1, "dir", 3) > 0);
	EXPECT(walk(1, 1, "..", 2) < 0);
	EXPECT(walk(0, 2, "root", 4) > 0);
	EXPECT(walk(2, 2, "etc", 3) < 0);
	EXPECT(walk(0, 3, "out", 3) > 0);
	EXPECT(walk(3, 3, "x", 1) < 0);
	begin(P9_TMKDIR);
	put(0, 4);
	put_name("../made", 7);
	put(0777, 4);
	put(0, 4);
	EXPECT(finish() < 0);
	begin(P9_TRENAMEAT);
	put(0, 4);
	put_name("file", 4);
	put(0, 4);
	put_name("../moved", 8);
	EXPECT(finish() < 0);
	begin(P9_TLCREATE);
	put(0, 4);
	put_name("../made", 7);
	put(2, 4);
	put(0777, 4);
	put(0, 4);
	EXPECT(finish() < 0);
	begin(P9_TUNLINKAT);
	put(0, 4);
	put_name("../secret", 9);
	put(0, 4);
	EXPECT(finish() < 0);
}

static void links(void)
{
	for (u32 flags = 0; flags < 4; flags++) {
		EXPECT(open_fid(3, flags | P9_O_TRUNC) < 0);
		EXPECT(open_fid(2, flags) < 0);
	}
	begin(P9_TSETATTR);
	put(3, 4);
	put(P9_SETATTR_SIZE, 4);
	for (u32 i = 0; i < 11; i++)
		put(0, 4);
	put(0, 8);
	EXPECT(finish() < 0);
}

static void numbers(void)
{
	static const u8 type[] = {
		P9_TREAD, P9_TWRITE, P9_TREADDIR, P9_TGETATTR, P9_TCLUNK,
		P9_TREMOVE, P9_TFSYNC, P9_TSTATFS, P9_TREADLINK,
	};

	for (u32 i = 0; i < 64; i++) {
		for (u32 k = 0; k < sizeof(type); k++) {
			begin(type[k]);
			put(i < 32 ? (1U << i) + 100 : ~i, 4);
			put(~0ULL, 8);
			put(~0U, 4);
			EXPECT(finish() < 0);
		}
	}
	/* What is open: more than there is room for, and far out */
	EXPECT(walk(0, 10, "file", 4) > 0 && open_fid(10, 0) > 0);
	for (u32 i = 0; i < 64; i++) {
		begin(P9_TREAD);
		put(10, 4);
		put(1ULL << i, 8);
		put(~0U, 4);
		finish();
	}
	EXPECT_EQ(clunk(10), 0);
}

/* That there are too many is an error, if there are, and no more. */
static void flood(void)
{
	for (u32 n = 1; n < 2000; n++) {
		walk(0, n * 0x10001, "file", 4);
		open_fid(n * 0x10001, 0);
	}
	EXPECT(clunk(0x10001) == 0);
	session();
}

static void flushes(void)
{
	struct buf b[2] = { { in, 9, false }, { out, 64, true } };

	for (u32 i = 0; i < 200; i++) {
		begin(P9_TFLUSH);
		put(i & 1 ? tag : tag + 1, 2);
		memcpy(in, &len, 4);
		memset(out, 0, P9_HDR);
		vq_run(&q, b, 2);
		EXPECT_EQ(out[4], P9_TFLUSH + 1);
	}
}

/* Only what cannot be a message at all breaks the device. */
static void broken(u32 size, u32 room)
{
	struct buf b[2] = { { in, size, false }, { out, room, true } };

	vq_add(&q, b, room ? 2 : 1);
	vq_kick(&q);
	vdev_broken(&v);
	vdev_restart(&v, &q, 1, vdev_offered(&v) & ~F_EVENT_IDX);
	session();
}

static void junk(void)
{
	struct buf b[2] = { { in, 0, false }, { out, 0, true } };

	for (u32 n = 0; n < 3000; n++) {
		u32 size = P9_HDR + random32() % 100;

		for (u32 i = 0; i < size; i += 4) {
			u32 word = random32() & random32() & random32();

			memcpy(in + i, &word, 4);
		}
		in[4] = random32() % 64 * 2;
		in[P9_HDR] &= 7;
		if (random32() % 4)
			memcpy(in, &size, 4);
		b[0].len = size;
		b[1].len = ERROR_SIZE + random32() % 512;
		vq_run(&q, b, 2);
		if (in[4] == P9_TVERSION || n % 50 == 0)
			session();
	}
}

int main(void)
{
	u8 *page = page_alloc(3);

	in = page;
	out = page + 8192;
	vdev_open(&v, &q, VIRTIO_ID_9P, ~F_EVENT_IDX);
	EXPECT(clunk(0) < 0);
	session();
	names();
	links();
	numbers();
	flushes();
	flood();
	broken(P9_HDR - 1, 64);
	broken(P9_HDR, 0);
	broken(P9_HDR, ERROR_SIZE - 1);
	junk();
	session();
	EXPECT_EQ(clunk(0), 0);
	return 0;
}
