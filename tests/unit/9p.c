// SPDX-License-Identifier: GPL-2.0-only
/* Tests of virtio/9p.c and fs/9p*.c: a driver that speaks 9P, on fake rings. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <linux/virtio_9p.h>
#include <linux/xattr.h>
#include "kvm/9p.h"
#include "kvm/9p-proto.h"
#include "kvm/fs.h"
#include "kvm/virtio.h"
#include "fs/9p-fid.h"
#include "fs/inode.h"
#include "dir.h"
#include "driver.h"
#include "share.h"
#include "test.h"
#include "vring.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define IN VR_DATA
#define OUT (VR_DATA + 0x8000)
#define ROOM RIG_ROOM
#define ROOT 0
#define NOWHERE 999U

static void bring_up(struct rig *r)
{
	rig_up(r, BIT(VIRTIO_9P_MOUNT_TAG));
}

/* Of the device that was set up last */
static struct fs_host *shared;

static void setup_device(struct rig *r, bool readonly)
{
	struct virtio_9p_opts o = { .tag = "the-tag" };

	rig_device(r, &virtio_9p_class, &o, &o.host, readonly);
	shared = o.host;
}

static void setup(struct rig *r, bool readonly)
{
	rig_begin(r);
	setup_device(r, readonly);
	bring_up(r);
}

/* @len bytes at @in, @room at OUT. Return: whether it came back */
static bool exchange_at(struct rig *r, u64 in, u32 len, u32 room)
{
	return rig_ask(r, 0, in, len, OUT, room);
}

static bool exchange(struct rig *r, u32 len, u32 room)
{
	return exchange_at(r, IN, len, room);
}

/* A message: begin(), its fields, send(). */

static void begin(struct rig *r, u8 type)
{
	r->msg.len = 0;
	state_put_u32(&r->msg, 0);
	state_put_u8(&r->msg, type);
	state_put_u16(&r->msg, ++r->tag);
}

static void add_string(struct rig *r, const char *s)
{
	state_put_u16(&r->msg, strlen(s));
	state_put(&r->msg, s, strlen(s));
}

/*
 * With @more bytes behind it, which are there already. Return: bytes of the answer's
 * body, in r->answer; the error in it
 */
static int send_at(struct rig *r, u64 in, u32 more, u32 room)
{
	u8 type = r->msg.buf[4];
	__le32 size = htole32(r->msg.len + more);
	struct state_in h = { .buf = r->answer, .len = 11 };

	memcpy(r->msg.buf, &size, sizeof(size));
	gmem_write(&r->m.g, in, r->msg.buf, r->msg.len);
	if (!exchange_at(r, in, r->msg.len + more, room))
		return -99999;
	gmem_read(&r->m.g, OUT, r->answer, room);
	r->len = state_get_u32(&h);
	if (r->len != r->written || r->len < 7 || r->len > room)
		return -99998;
	if (state_get_u8(&h) == P9_RLERROR) {
		if (r->len != 11 || state_get_u16(&h) != r->tag)
			return -99997;
		return -(int)state_get_u32(&h);
	}
	if (r->answer[4] != type + 1 || state_get_u16(&h) != r->tag)
		return -99996;
	return r->len - 7;
}

static int send_room(struct rig *r, u32 room)
{
	return send_at(r, IN, 0, room);
}

static int finish(struct rig *r)
{
	return send_room(r, ROOM);
}

/**
 * struct field - of a message: a number of @size bytes, or a string
 */
struct field {
	u8 size;
	u64 v;
	const char *s;
};

#define B(x) { 1, x, NULL }
#define H(x) { 2, x, NULL }
#define W(x) { 4, x, NULL }
#define Q(x) { 8, x, NULL }
#define S(x) { 9, 0, x }

static void add_fields(struct rig *r, const struct field *f)
{
	for (; f->size; f++) {
		__le64 v = htole64(f->v);

		if (f->size == 9)
			add_string(r, f->s);
		else
			state_put(&r->msg, &v, f->size);
	}
}

#define ADD(r, ...) \
	add_fields(r, (const struct field[16]) { __VA_ARGS__ })

static int call_fields(struct rig *r, u8 type, const struct field *f)
{
	begin(r, type);
	add_fields(r, f);
	return finish(r);
}

#define CALL(r, type, ...) \
	call_fields(r, type, (const struct field[16]) { __VA_ARGS__ })

static struct state_in body(const struct rig *r)
{
	return (struct state_in){ .buf = r->answer + 7, .len = r->len - 7 };
}

static int version(struct rig *r)
{
	return CALL(r, P9_TVERSION, W(16384), S(P9_VERSION));
}

static int attach(struct rig *r, u32 fid, u32 uid)
{
	return CALL(r, P9_TATTACH, W(fid), W(P9_NOFID), S(""), S(""), W(uid));
}

static void start(struct test *t, struct rig *r, bool readonly)
{
	setup(r, readonly);
	EXPECT(version(r) == 4 + 2 + 8);
	EXPECT(attach(r, ROOT, getuid()) == P9_QID);
}

static int walk(struct rig *r, u32 fid, u32 newfid, const char *name)
{
	if (!name)
		return CALL(r, P9_TWALK, W(fid), W(newfid), H(0));
	return CALL(r, P9_TWALK, W(fid), W(newfid), H(1), S(name));
}

static int clunk(struct rig *r, u32 fid)
{
	return CALL(r, P9_TCLUNK, W(fid));
}

static int do_write(struct rig *r, u32 fid, u64 off, const char *s)
{
	begin(r, P9_TWRITE);
	ADD(r, W(fid), Q(off), W(strlen(s)));
	state_put(&r->msg, s, strlen(s));
	return finish(r);
}

/* Return: bytes, in r->answer + 11 */
static int do_read(struct rig *r, u32 fid, u64 off, u32 count)
{
	int n = CALL(r, P9_TREAD, W(fid), Q(off), W(count));
	struct state_in in = body(r);

	if (n < 0)
		return n;
	return n >= 4 && state_get_u32(&in) == (u32)n - 4 ? n - 4 : -99995;
}

/* No number is given out for what no fid has; ROOT is the only one. */
static bool nothing_left(void)
{
	return shared->nodes.used == 1 && !shared->files.used &&
	       shared->nr_inode_fds == 1;
}

TEST(p9_session_is_negotiated)
{
	struct virtio_9p_config *c;
	struct state_in in;
	struct rig r;
	u8 config[16];

	setup(&r, false);
	virtio_config_read(r.dev, 0, config, sizeof(config));
	c = (void *)config;
	EXPECT(le16toh(c->tag_len) == 7 && !memcmp(c->tag, "the-tag", 7));
	EXPECT(attach(&r, ROOT, 0) == -EIO);
	EXPECT(CALL(&r, P9_TVERSION, W(4095), S(P9_VERSION)) == -EMSGSIZE);
	EXPECT(CALL(&r, P9_TVERSION, W(8192), S("9P2000.u")) == 4 + 2 + 7);
	EXPECT(!memcmp(r.answer + 13, "unknown", 7));
	EXPECT(CALL(&r, P9_TVERSION, W(8192),
		    S("a version that is quite long")) == 4 + 2 + 7);
	EXPECT(attach(&r, ROOT, 0) == -EIO);
	EXPECT(CALL(&r, P9_TVERSION, W(~0U), S(P9_VERSION)) == 4 + 2 + 8);
	in = body(&r);
	EXPECT(state_get_u32(&in) <= 0x100000);
	EXPECT(version(&r) == 4 + 2 + 8);
	EXPECT(CALL(&r, P9_TAUTH, W(1), S("u"), S(""), W(0)) == -EOPNOTSUPP);
	EXPECT(CALL(&r, P9_TATTACH, W(0), W(5), S("u"), S("/"), W(0)) ==
	       -EINVAL);
	EXPECT(CALL(&r, P9_TATTACH, W(0), W(P9_NOFID), S("u"), S("/etc"),
		    W(0)) == -ENOENT);
	EXPECT(CALL(&r, P9_TATTACH, W(0), W(P9_NOFID), S("u"), S("x"),
		    W(0)) == -ENOENT);
	EXPECT(CALL(&r, P9_TATTACH, W(0), W(P9_NOFID), S("u"), S("/"),
		    W(P9_NONUNAME)) == P9_QID);
	EXPECT(r.answer[7] == P9_QT_DIR);
	EXPECT(attach(&r, 0, 0) == -EINVAL);
	EXPECT(attach(&r, P9_NOFID, 0) == -EINVAL);
	EXPECT(attach(&r, 1, 1000) == P9_QID);
	EXPECT(version(&r) > 0);
	EXPECT(clunk(&r, 1) == -EBADF);
	EXPECT(CALL(&r, P9_TFLUSH, H(77)) == 0);
	teardown(&r);
}

TEST(p9_walks_stay_inside)
{
	struct rig r;

	start(t, &r, false);
	EXPECT(!mkdir("d", 0755) && !mkdir("d/e", 0755));
	file_put("d/e/f", "text");
	EXPECT(!symlink("/etc", "out") && !symlink("..", "up"));
	EXPECT(walk(&r, ROOT, 1, NULL) == 2);
	EXPECT(CALL(&r, P9_TWALK, W(ROOT), W(2), H(3), S("d"), S("e"),
		    S("f")) == 2 + 3 * P9_QID);
	EXPECT(walk(&r, ROOT, 2, "d") == -EINVAL);
	EXPECT(walk(&r, ROOT, P9_NOFID, "d") == -EINVAL);
	EXPECT(walk(&r, NOWHERE, 3, "d") == -EBADF);
	EXPECT(walk(&r, ROOT, 3, "none") == -ENOENT);
	EXPECT(CALL(&r, P9_TWALK, W(ROOT), W(3), H(2), S("d"), S("none")) ==
	       2 + P9_QID);
	EXPECT(r.answer[7] == 1 && clunk(&r, 3) == -EBADF);
	EXPECT(CALL(&r, P9_TWALK, W(ROOT), W(3), H(17)) == -EINVAL);
	EXPECT(CALL(&r, P9_TWALK, W(ROOT), W(3), H(2), S("d")) == -EINVAL);
	EXPECT(walk(&r, ROOT, 3, "..") == -EINVAL);
	EXPECT(walk(&r, ROOT, 3, ".") == -EINVAL);
	EXPECT(walk(&r, ROOT, 3, "") == -EINVAL);
	EXPECT(walk(&r, ROOT, 3, "d/e") == -EINVAL);
	EXPECT(walk(&r, ROOT, 3, "/etc") == -EINVAL);
	EXPECT(CALL(&r, P9_TWALK, W(ROOT), W(3), H(3), S("d"), S(".."),
		    S("..")) == 2 + P9_QID);
	EXPECT(CALL(&r, P9_TWALK, W(ROOT), W(3), H(2), S("out"),
		    S("passwd")) == 2 + P9_QID);
	EXPECT(r.answer[9] == P9_QT_SYMLINK && clunk(&r, 3) == -EBADF);
	EXPECT(walk(&r, ROOT, 4, "up") > 0);
	EXPECT(CALL(&r, P9_TLOPEN, W(4), W(0)) == -ELOOP);
	EXPECT(walk(&r, 4, 5, "x") == -ENOTDIR);
	/* As many names as there may be, and one more */
	EXPECT(!mkdir("n", 0755));
	for (int nr = 0; nr < P9_WALK_MAX; nr++)
		EXPECT(!chdir("n") && !mkdir("n", 0755));
	EXPECT(!chdir(r.base));
	for (int nr = P9_WALK_MAX; nr < P9_WALK_MAX + 2; nr++) {
		begin(&r, P9_TWALK);
		ADD(&r, W(ROOT), W(3), H(nr));
		for (int i = 0; i < nr; i++)
			add_string(&r, "n");
		EXPECT(finish(&r) == (nr > P9_WALK_MAX ? -EINVAL : 2 + nr * (int)P9_QID));
	}
	EXPECT(clunk(&r, 3) == 0);
	/* Onto itself */
	EXPECT(walk(&r, 1, 1, "d") > 0 && walk(&r, 1, 1, "e") > 0);
	EXPECT(walk(&r, 1, 6, "f") > 0 && walk(&r, 1, 1, "f") > 0);
	EXPECT(walk(&r, 1, 1, NULL) == 2);
	EXPECT(clunk(&r, 1) == 0 && clunk(&r, 1) == -EBADF);
	/* What one of them had is still the other's. */
	EXPECT(clunk(&r, 2) == 0);
	EXPECT(CALL(&r, P9_TGETATTR, W(6), Q(~0ULL)) > 0);
	EXPECT(CALL(&r, P9_TLOPEN, W(6), W(O_RDONLY)) > 0);
	EXPECT(do_read(&r, 6, 0, 10) == 4);
	EXPECT(walk(&r, 6, 6, NULL) == -EBADF && walk(&r, 6, 7, NULL) == 2);
	EXPECT(do_read(&r, 7, 0, 10) == -EBADF);
	teardown(&r);
}

TEST(p9_data_comes_back)
{
	struct rig r;

	start(t, &r, false);
	EXPECT(walk(&r, ROOT, 1, NULL) == 2);
	EXPECT(CALL(&r, P9_TLCREATE, W(1), S("f"), W(P9_O_EXCL | O_RDWR),
		    W(0640), W(getgid())) == P9_QID + 4);
	EXPECT(CALL(&r, P9_TLCREATE, W(1), S("g"), W(O_RDWR), W(0640),
		    W(getgid())) == -EBADF);
	EXPECT(CALL(&r, P9_TLOPEN, W(1), W(O_RDWR)) == -EBADF);
	EXPECT(do_write(&r, 1, 2, "hello") == 4 && r.answer[7] == 5);
	EXPECT(do_read(&r, 1, 0, 100) == 7);
	EXPECT(!memcmp(r.answer + 11, "\0\0hello", 7));
	EXPECT(do_read(&r, 1, 7, 100) == 0);
	EXPECT(do_read(&r, 1, ~0ULL, 100) == -EINVAL);
	EXPECT(do_read(&r, 1, 0, ~0U) == 7);
	EXPECT(CALL(&r, P9_TFSYNC, W(1), W(0)) == 0);
	EXPECT(CALL(&r, P9_TFSYNC, W(1), W(1)) == 0);
	EXPECT(CALL(&r, P9_TFSYNC, W(1)) == 0);
	EXPECT(CALL(&r, P9_TFSYNC, W(ROOT), W(0)) == -EBADF);
	EXPECT(CALL(&r, P9_TWRITE, W(1), Q(0), W(5)) == -EINVAL);
	EXPECT(do_write(&r, ROOT, 0, "x") == -EBADF);
	EXPECT(do_read(&r, ROOT, 0, 1) == -EBADF);
	EXPECT(walk(&r, ROOT, 2, NULL) == 2);
	EXPECT(CALL(&r, P9_TLCREATE, W(2), S("f"), W(P9_O_EXCL | O_RDWR),
		    W(0640), W(0)) == -EEXIST);
	EXPECT(CALL(&r, P9_TLCREATE, W(2), S("../f"), W(O_RDWR), W(0640),
		    W(0)) == -EINVAL);
	/* What is there is for the guest to find, and to open if it may. */
	EXPECT(CALL(&r, P9_TLCREATE, W(2), S("f"), W(O_RDWR | P9_O_TRUNC),
		    W(0640), W(0)) == -ESTALE);
	EXPECT(do_read(&r, 1, 0, 100) == 7 && !truncate("f", 0));
	/* At the end, if only written to; else where it says */
	EXPECT(walk(&r, ROOT, 3, "f") > 0 && walk(&r, ROOT, 4, "f") > 0);
	EXPECT(CALL(&r, P9_TLOPEN, W(3), W(O_WRONLY | P9_O_APPEND)) > 0);
	EXPECT(do_write(&r, 3, 0, "one") == 4 && do_write(&r, 3, 0, "two") == 4);
	EXPECT(file_has("f", "onetwo"));
	EXPECT(CALL(&r, P9_TLOPEN, W(4), W(O_RDWR | P9_O_APPEND)) > 0);
	EXPECT(do_write(&r, 4, 0, "ONE") == 4 && file_has("f", "ONEtwo"));
	EXPECT(CALL(&r, P9_TLOPEN, W(ROOT), W(3)) == -EINVAL);
	if (!file_append_only("f", true)) {
		EXPECT(walk(&r, ROOT, 5, "f") > 0);
		EXPECT(CALL(&r, P9_TLOPEN, W(5), W(O_WRONLY)) == -EPERM);
		EXPECT(CALL(&r, P9_TLOPEN, W(5), W(O_WRONLY | P9_O_APPEND)) > 0);
		EXPECT(do_write(&r, 5, 0, "end") == 4 && file_has("f", "ONEtwoend"));
		EXPECT(!file_append_only("f", false));
	}
	teardown(&r);
}

/* The data in pages of its own, and not counted in the message */
TEST(p9_data_may_lie_in_other_pages)
{
	struct rig r;

	start(t, &r, false);
	EXPECT(walk(&r, ROOT, 1, NULL) == 2);
	EXPECT(CALL(&r, P9_TLCREATE, W(1), S("f"), W(O_RDWR), W(0644),
		    W(getgid())) > 0);
	for (int counted = 0; counted < 2; counted++) {
		begin(&r, P9_TWRITE);
		ADD(&r, W(1), Q(0), W(5));
		r.msg.buf[0] = r.msg.len + (counted ? 5 : 0);
		gmem_write(&r.m.g, IN, r.msg.buf, r.msg.len);
		gmem_write(&r.m.g, IN + 0x1000, counted ? "12345" : "abcde", 5);
		VR_PUT(&r.m, vr_desc(0), 0, IN, r.msg.len, NEXT, 1);
		VR_PUT(&r.m, vr_desc(0), 1, IN + 0x1000, 5, NEXT, 2);
		VR_PUT(&r.m, vr_desc(0), 2, OUT, 11, WRITE, 0);
		vr_publish(&r.m, 0, 0);
		virtio_notify(r.dev, 0);
		EXPECT(wait_used(&r, 0) && r.written == 11);
		EXPECT(file_has("f", counted ? "12345" : "abcde"));
	}
	begin(&r, P9_TREAD);
	ADD(&r, W(1), Q(1), W(100));
	r.msg.buf[0] = r.msg.len;
	gmem_write(&r.m.g, IN, r.msg.buf, r.msg.len);
	VR_PUT(&r.m, vr_desc(0), 0, IN, r.msg.len, NEXT, 1);
	VR_PUT(&r.m, vr_desc(0), 1, OUT, 11, NEXT | WRITE, 2);
	VR_PUT(&r.m, vr_desc(0), 2, OUT + 0x1000, 100, WRITE, 0);
	vr_publish(&r.m, 0, 0);
	virtio_notify(r.dev, 0);
	EXPECT(wait_used(&r, 0) && r.written == 15);
	gmem_read(&r.m.g, OUT + 0x1000, r.answer, 4);
	EXPECT(!memcmp(r.answer, "2345", 4));
	teardown(&r);
}

static void check_nodes(struct test *t, struct rig *r)
{
	struct stat st;

	EXPECT(CALL(r, P9_TMKDIR, W(ROOT), S("d"), W(0750), W(getgid())) ==
	       P9_QID);
	EXPECT(!stat("d", &st) && (st.st_mode & 07777) == 0750);
	EXPECT(CALL(r, P9_TMKDIR, W(ROOT), S("d"), W(0750), W(0)) == -EEXIST);
	EXPECT(CALL(r, P9_TMKDIR, W(ROOT), S("../d"), W(0), W(0)) == -EINVAL);
	EXPECT(CALL(r, P9_TMKNOD, W(ROOT), S("p"), W(S_IFIFO | 0600), W(0),
		    W(0), W(getgid())) == P9_QID);
	EXPECT(!stat("p", &st) && S_ISFIFO(st.st_mode));
	EXPECT(CALL(r, P9_TMKNOD, W(ROOT), S("q"), W(S_IFDIR | 0600), W(0),
		    W(0), W(0)) == -EINVAL);
	EXPECT(CALL(r, P9_TMKNOD, W(ROOT), S("q"), W(S_IFREG | 0600), W(0),
		    W(0), W(getgid())) == P9_QID);
	EXPECT(CALL(r, P9_TSYMLINK, W(ROOT), S("s"), S("target"),
		    W(getgid())) == P9_QID);
	EXPECT(walk(r, ROOT, 10, "s") > 0);
	EXPECT(CALL(r, P9_TREADLINK, W(10)) == 2 + 6);
	EXPECT(!memcmp(r->answer + 9, "target", 6));
	/* With no more room than that it may have been cut off. */
	for (u32 more = 0; more < 2; more++) {
		begin(r, P9_TREADLINK);
		state_put_u32(&r->msg, 10);
		EXPECT(send_room(r, 9 + 6 + more) == (more ? 2 + 6 : -ENAMETOOLONG));
	}
	EXPECT(CALL(r, P9_TREADLINK, W(ROOT)) == -EINVAL);
	EXPECT(walk(r, ROOT, 11, "p") > 0);
	EXPECT(CALL(r, P9_TLOPEN, W(11), W(O_RDONLY)) == -ENXIO);
}

static void check_names(struct test *t, struct rig *r)
{
	struct stat st;

	EXPECT(walk(r, ROOT, 12, "d") > 0 && walk(r, ROOT, 13, "q") > 0);
	EXPECT(CALL(r, P9_TLINK, W(12), W(13), S("q2")) == 0);
	EXPECT(!stat("d/q2", &st) && st.st_nlink == 2);
	EXPECT(CALL(r, P9_TLINK, W(12), W(13), S("../q2")) == -EINVAL);
	EXPECT(CALL(r, P9_TLINK, W(12), W(NOWHERE), S("q3")) == -EBADF);
	/* Which of both names? */
	EXPECT(CALL(r, P9_TRENAME, W(13), W(12), S("x")) == -EOPNOTSUPP);
	EXPECT(CALL(r, P9_TUNLINKAT, W(12), S("q2"), W(P9_AT_REMOVEDIR)) ==
	       -ENOTDIR);
	EXPECT(CALL(r, P9_TUNLINKAT, W(12), S("q2"), W(1)) == -EINVAL);
	EXPECT(CALL(r, P9_TUNLINKAT, W(12), S("../q"), W(0)) == -EINVAL);
	EXPECT(CALL(r, P9_TUNLINKAT, W(12), S("q2"), W(0)) == 0);
	/* Where it was seen last is not there any more: it is seen again. */
	EXPECT(walk(r, ROOT, 15, "q") > 0 && clunk(r, 15) == 0);
	EXPECT(CALL(r, P9_TRENAME, W(13), W(12), S("q4")) == 0);
	EXPECT(!stat("d/q4", &st) && stat("q", &st));
	EXPECT(CALL(r, P9_TRENAME, W(13), W(12), S("../q4")) == -EINVAL);
	EXPECT(CALL(r, P9_TRENAME, W(ROOT), W(12), S("q5")) == -EBUSY);
	EXPECT(CALL(r, P9_TRENAMEAT, W(12), S("q4"), W(ROOT), S("q5")) == 0);
	EXPECT(!stat("q5", &st));
	EXPECT(CALL(r, P9_TRENAMEAT, W(12), S("q4"), W(ROOT), S("q6")) ==
	       -ENOENT);
	EXPECT(CALL(r, P9_TRENAMEAT, W(ROOT), S("q5"), W(12), S("../../q")) ==
	       -EINVAL);
	EXPECT(CALL(r, P9_TGETATTR, W(13), Q(0)) > 0);
	/* Gone, the fid as well */
	EXPECT(CALL(r, P9_TREMOVE, W(13)) == 0 && stat("q5", &st));
	EXPECT(clunk(r, 13) == -EBADF);
	EXPECT(CALL(r, P9_TREMOVE, W(12)) == 0 && stat("d", &st));
	EXPECT(walk(r, ROOT, 14, NULL) == 2);
	EXPECT(CALL(r, P9_TREMOVE, W(14)) == -EBUSY);
	EXPECT(clunk(r, 14) == -EBADF);
}

static void check_attrs(struct test *t, struct rig *r)
{
	struct state_in in;
	struct stat st;

	file_put("f", "some text");
	EXPECT(!chmod("f", 04755) && walk(r, ROOT, 20, "f") > 0);
	EXPECT(CALL(r, P9_TGETATTR, W(20), Q(0x7ff)) == 153);
	in = body(r);
	EXPECT((state_get_u64(&in) & P9_GETATTR_BASIC) == P9_GETATTR_BASIC);
	in.pos += P9_QID;
	EXPECT(state_get_u32(&in) == (S_IFREG | 04755));
	EXPECT(state_get_u32(&in) == getuid());
	EXPECT(state_get_u32(&in) == getgid());
	EXPECT(state_get_u64(&in) == 1);
	in.pos += 8;
	EXPECT(state_get_u64(&in) == 9);
	EXPECT(CALL(r, P9_TSETATTR, W(20), W(P9_SETATTR_SIZE |
		    P9_SETATTR_MODE | P9_SETATTR_MTIME | P9_SETATTR_MTIME_SET |
		    P9_SETATTR_ATIME), W(0600), W(0), W(0), Q(5000), Q(0), Q(0),
		    Q(77), Q(5)) == 0);
	EXPECT(!stat("f", &st) && st.st_size == 5000 && st.st_mtime == 77);
	EXPECT(st.st_mtim.tv_nsec == 5 && st.st_atime > 1000000);
	EXPECT((st.st_mode & 07777) == 0600);
	EXPECT(CALL(r, P9_TSETATTR, W(20), W(P9_SETATTR_SIZE), W(0), W(0), W(0),
		    Q(~0ULL), Q(0), Q(0), Q(0), Q(0)) == -EINVAL);
	EXPECT(CALL(r, P9_TSETATTR, W(20), W(P9_SETATTR_ATIME |
		    P9_SETATTR_ATIME_SET), W(0), W(0), W(0), Q(0), Q(1),
		    Q(0x3fffffff), Q(0), Q(0)) == -EINVAL);
	EXPECT(CALL(r, P9_TSETATTR, W(20), W(P9_SETATTR_SIZE), W(0)) ==
	       -EINVAL);
	EXPECT(CALL(r, P9_TSTATFS, W(20)) == 60);
	EXPECT(CALL(r, P9_TSTATFS, W(NOWHERE)) == -EBADF);
	/* Open for reading is no way to cut it, and none to an xattr. */
	EXPECT(CALL(r, P9_TLOPEN, W(20), W(O_RDONLY)) > 0);
	EXPECT(CALL(r, P9_TXATTRCREATE, W(20), S("user.a"), Q(1), W(0)) == -EBADF);
	EXPECT(CALL(r, P9_TSETATTR, W(20), W(P9_SETATTR_SIZE), W(0), W(0), W(0),
		    Q(3), Q(0), Q(0), Q(0), Q(0)) == 0);
	EXPECT(!stat("f", &st) && st.st_size == 3);
	/* One that is moved by the host is not there, and then looked up. */
	file_put("n", "");
	EXPECT(walk(r, ROOT, 21, "n") > 0 && !rename("n", "n2"));
	EXPECT(CALL(r, P9_TGETATTR, W(21), Q(0)) == -ENOENT);
	EXPECT(walk(r, ROOT, 22, "n2") > 0);
	EXPECT(CALL(r, P9_TGETATTR, W(21), Q(0)) > 0);
}

static void check_locks(struct test *t, struct rig *r)
{
	EXPECT(walk(r, ROOT, 30, "f") > 0);
	EXPECT(CALL(r, P9_TLOCK, W(30), B(1), W(0), Q(0), Q(0), W(9),
		    S("guest")) == -EBADF);
	EXPECT(CALL(r, P9_TLOPEN, W(30), W(O_RDWR)) > 0);
	EXPECT(CALL(r, P9_TLOCK, W(30), B(1), W(1), Q(0), Q(0), W(9),
		    S("guest")) == 1);
	EXPECT(r->answer[7] == P9_LOCK_SUCCESS);
	EXPECT(CALL(r, P9_TLOCK, W(30), B(3), W(0), Q(0), Q(0), W(9),
		    S("guest")) == -EINVAL);
	EXPECT(CALL(r, P9_TGETLOCK, W(30), B(0), Q(5), Q(6), W(9),
		    S("guest")) == 1 + 8 + 8 + 4 + 2 + 5);
	EXPECT(r->answer[7] == P9_LOCK_UNLCK && r->answer[8] == 5);
	EXPECT(CALL(r, P9_TGETLOCK, W(30), B(0), Q(5)) == -EINVAL);
}

TEST(p9_messages_do_what_they_say)
{
	struct rig r;

	start(t, &r, false);
	check_nodes(t, &r);
	check_names(t, &r);
	check_attrs(t, &r);
	check_locks(t, &r);
	teardown(&r);
}

/* Whatever comes of a message, and in whichever way a fid goes */
TEST(p9_numbers_are_given_back)
{
	struct rig r;

	start(t, &r, false);
	EXPECT(!mkdir("d", 0755));
	file_put("d/f", "text");
	EXPECT(CALL(&r, P9_TWALK, W(ROOT), W(1), H(2), S("d"), S("f")) > 0);
	EXPECT(!clunk(&r, 1) && nothing_left());
	EXPECT(CALL(&r, P9_TWALK, W(ROOT), W(1), H(3), S("d"), S("f"), S("x")) > 0);
	EXPECT(CALL(&r, P9_TWALK, W(ROOT), W(1), H(2), S("d"), S("..")) > 0);
	EXPECT(walk(&r, ROOT, ROOT, "none") == -ENOENT && nothing_left());
	EXPECT(walk(&r, ROOT, 1, NULL) > 0 && walk(&r, 1, 1, "d") > 0);
	/* The number is taken, and so the walk is for nothing. */
	EXPECT(walk(&r, 1, ROOT, "f") == -EINVAL);
	EXPECT(walk(&r, 1, 1, "f") > 0 && CALL(&r, P9_TLOPEN, W(1), W(O_RDONLY)) > 0);
	EXPECT(CALL(&r, P9_TXATTRWALK, W(1), W(ROOT), S("")) < 0);
	EXPECT(!clunk(&r, 1) && nothing_left());
	EXPECT(walk(&r, ROOT, 1, "d") > 0);
	EXPECT(CALL(&r, P9_TLCREATE, W(1), S("g"), W(O_RDWR), W(0644), W(getgid())) > 0);
	EXPECT(!clunk(&r, 1) && nothing_left());
	EXPECT(CALL(&r, P9_TMKDIR, W(ROOT), S("e"), W(0755), W(getgid())) > 0);
	EXPECT(CALL(&r, P9_TSYMLINK, W(ROOT), S("s"), S("x"), W(getgid())) > 0);
	EXPECT(CALL(&r, P9_TMKNOD, W(ROOT), S("p"), W(S_IFIFO), W(0), W(0), W(getgid())) > 0);
	EXPECT(nothing_left());
	EXPECT(walk(&r, ROOT, 1, "p") > 0 && CALL(&r, P9_TLINK, W(ROOT), W(1), S("q")) == 0);
	EXPECT(CALL(&r, P9_TREMOVE, W(1)) == -EOPNOTSUPP && nothing_left());
	EXPECT(walk(&r, ROOT, 1, "e") > 0 && walk(&r, ROOT, 2, "s") > 0);
	EXPECT(CALL(&r, P9_TRENAME, W(2), W(1), S("s2")) == 0 && !clunk(&r, 1));
	EXPECT(CALL(&r, P9_TREMOVE, W(2)) == 0 && nothing_left());
	EXPECT(walk(&r, ROOT, 1, "q") > 0);
	if (CALL(&r, P9_TXATTRWALK, W(1), W(2), S("")) > 0)
		EXPECT(!clunk(&r, 2));
	EXPECT(!clunk(&r, 1) && nothing_left());
	teardown(&r);
}

/* It is somebody else's, who has the name by now. */
TEST(p9_what_the_host_put_there_is_not_removed)
{
	struct stat st;
	struct rig r;

	start(t, &r, false);
	file_put("f", "ours");
	file_put("g", "theirs");
	for (int i = 0; i < 2; i++) {
		EXPECT(walk(&r, ROOT, 1, "f") > 0);
		/* The second one is kept open, and is what it was. */
		if (i)
			EXPECT(CALL(&r, P9_TLOPEN, W(1), W(O_RDONLY)) > 0);
		EXPECT(!link("g", "new") && !rename("new", "f"));
		EXPECT(CALL(&r, P9_TRENAME, W(1), W(ROOT), S("moved")) == -ENOENT);
		EXPECT(CALL(&r, P9_TREMOVE, W(1)) == -ENOENT);
		EXPECT(!unlink("g") && file_has("f", "theirs") && stat("moved", &st));
		file_put("g", "theirs");
	}
	/* A directory that is gone is found nowhere, and nothing is made in it. */
	EXPECT(!mkdir("d", 0755) && walk(&r, ROOT, 1, "d") > 0 && !rmdir("d"));
	EXPECT(CALL(&r, P9_TLCREATE, W(1), S("x"), W(O_RDWR), W(0644), W(0)) == -ENOENT);
	teardown(&r);
}

static int xattr_set(struct rig *r, u32 fid, const char *name,
		     const char *value, u64 len, u32 flags)
{
	int err = walk(r, fid, 50, NULL);

	if (err > 0)
		err = CALL(r, P9_TXATTRCREATE, W(50), S(name), Q(len), W(flags));
	if (!err && *value)
		err = do_write(r, 50, 0, value);
	if (err < 0) {
		clunk(r, 50);
		return err;
	}
	return clunk(r, 50);
}

/* Return: bytes, at r->answer + 11 */
static int xattr_get(struct rig *r, u32 fid, const char *name)
{
	struct state_in in;
	int n = CALL(r, P9_TXATTRWALK, W(fid), W(51), S(name));
	u64 size;

	if (n < 0)
		return n;
	in = body(r);
	size = state_get_u64(&in);
	n = do_read(r, 51, 0, 1000);
	if (n != (int)size || do_read(r, 51, size, 1) != 0)
		n = -99994;
	gmem_read(&r->m.g, OUT, r->answer, 16);
	if (clunk(r, 51))
		n = -99993;
	return n;
}

TEST(p9_xattrs_are_set_at_the_end)
{
	struct rig r;
	int err;

	start(t, &r, false);
	file_put("f", "");
	EXPECT(walk(&r, ROOT, 1, "f") > 0);
	err = xattr_set(&r, 1, "user.a", "value", 5, 0);
	if (err == -EOPNOTSUPP) {
		printf("# no xattrs in /tmp\n");
		teardown(&r);
		return;
	}
	EXPECT(!err);
	EXPECT(xattr_get(&r, 1, "user.a") == 5 && !memcmp(r.answer + 11, "value", 5));
	EXPECT(xattr_get(&r, 1, "") == 7);
	EXPECT(xattr_get(&r, 1, "user.none") == -ENODATA);
	EXPECT(xattr_set(&r, 1, "user.a", "other", 5, XATTR_CREATE) == -EEXIST);
	EXPECT(xattr_set(&r, 1, "user.b", "", 0, 0) == 0);
	EXPECT(xattr_get(&r, 1, "user.b") == 0);
	EXPECT(xattr_set(&r, 1, "user.b", "", 0, XATTR_REPLACE) == 0);
	EXPECT(xattr_get(&r, 1, "user.b") == -ENODATA);
	/* More than was announced, or less, or not in order */
	EXPECT(xattr_set(&r, 1, "user.c", "value", 4, 0) == -EINVAL);
	EXPECT(xattr_set(&r, 1, "user.c", "value", 6, 0) == -EINVAL);
	EXPECT(xattr_get(&r, 1, "user.c") == -ENODATA);
	EXPECT(xattr_set(&r, 1, "user.c", "", 65537, 0) == -E2BIG);
	EXPECT(xattr_set(&r, 1, "user.c", "", ~0ULL, 0) == -E2BIG);
	EXPECT(walk(&r, 1, 2, NULL) == 2);
	EXPECT(CALL(&r, P9_TXATTRCREATE, W(2), S("user.d"), Q(9), W(0)) == 0);
	EXPECT(do_write(&r, 2, 1, "x") == -EINVAL);
	EXPECT(do_write(&r, 2, ~0ULL, "x") == -EINVAL);
	EXPECT(do_read(&r, 2, 0, 1) == -EBADF);
	EXPECT(walk(&r, 2, 3, NULL) == -EBADF);
	EXPECT(CALL(&r, P9_TGETATTR, W(2), Q(0)) == -EBADF);
	EXPECT(CALL(&r, P9_TLOPEN, W(2), W(0)) == -EBADF);
	EXPECT(CALL(&r, P9_TREMOVE, W(2)) == -EBADF);
	EXPECT(CALL(&r, P9_TXATTRWALK, W(1), W(1), S("user.a")) == -EINVAL);
	EXPECT(CALL(&r, P9_TXATTRWALK, W(1), W(4), S("user.a")) == 8);
	EXPECT(do_write(&r, 4, 0, "x") == -EBADF);
	EXPECT(do_read(&r, 4, ~0ULL, 1) == 0);
	teardown(&r);
}

/* Linux before 6.2 takes an empty ACL for a bad one. */
int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
	if (!size && !strncmp(name, "system.posix_acl_", 17)) {
		errno = EINVAL;
		return -1;
	}
	return syscall(SYS_setxattr, path, name, value, size, flags);
}

/* As long as values may be, wherever /tmp is */
ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
	if (strcmp(name, "user.big") || size < 65536)
		return syscall(SYS_getxattr, path, name, value, size);
	memset(value, 'v', 65536);
	return 65536;
}

TEST(p9_xattr_is_read_in_parts)
{
	const int most = ROOM - 11;
	struct rig r;

	start(t, &r, true);
	EXPECT(CALL(&r, P9_TXATTRWALK, W(ROOT), W(1), S("user.big")) == 8);
	EXPECT(do_read(&r, 1, 0, ~0U) == most);
	EXPECT(do_read(&r, 1, 65536 - 100, ~0U) == 100 && do_read(&r, 1, 65536, 9) == 0);
	EXPECT(do_read(&r, 1, 3, 9) == 9 && !memcmp(r.answer + 11, "vvvvvvvvv", 9));
	/* As much as a buffer has, with more room than that */
	EXPECT(CALL(&r, P9_TVERSION, W(~0U), S(P9_VERSION)) > 0 && attach(&r, ROOT, 0) > 0);
	EXPECT(CALL(&r, P9_TXATTRWALK, W(ROOT), W(1), S("user.big")) == 8);
	begin(&r, P9_TREAD);
	ADD(&r, W(1), Q(0), W(~0U));
	r.msg.buf[0] = r.msg.len;
	gmem_write(&r.m.g, IN, r.msg.buf, r.msg.len);
	EXPECT(exchange(&r, r.msg.len, 0x17000) && r.written == 7 + FS_OUT_MAX);
	teardown(&r);
}

TEST(p9_acl_is_removed)
{
	/* Version 2; tag, permissions and id of each entry */
	static const u16 acl[] = { 2, 0, 1, 6, 0xffff, 0xffff, 2, 6, 4321, 0, 4, 4,
				   0xffff, 0xffff, 16, 6, 0xffff, 0xffff, 32, 0,
				   0xffff, 0xffff };
	struct rig r;

	start(t, &r, false);
	file_put("f", "");
	EXPECT(walk(&r, ROOT, 1, "f") > 0);
	if (syscall(SYS_setxattr, "f", "system.posix_acl_access", acl, sizeof(acl), 0)) {
		printf("# no ACLs in /tmp\n");
		teardown(&r);
		return;
	}
	EXPECT(xattr_get(&r, 1, "system.posix_acl_access") == sizeof(acl));
	EXPECT(xattr_set(&r, 1, "system.posix_acl_access", "", 0, 0) == 0);
	EXPECT(xattr_get(&r, 1, "system.posix_acl_access") == -ENODATA);
	teardown(&r);
}

/* The first @count bytes of a value, which are zero, in one message */
static int xattr_write(struct rig *r, u32 fid, u32 count)
{
	begin(r, P9_TWRITE);
	ADD(r, W(fid), Q(0), W(count));
	return send_at(r, VR_HALF, count, ROOM);
}

TEST(p9_xattr_is_written_at_once)
{
	static const u32 size[] = { 65532, 65533, 65536 };
	struct rig r;
	int err;

	start(t, &r, false);
	EXPECT(CALL(&r, P9_TVERSION, W(~0U), S(P9_VERSION)) > 0);
	EXPECT(attach(&r, ROOT, 0) == P9_QID);
	file_put("f", "");
	for (u32 i = 0; i < ARRAY_SIZE(size); i++) {
		EXPECT(walk(&r, ROOT, 1, "f") > 0);
		EXPECT(CALL(&r, P9_TXATTRCREATE, W(1), S("user.a"), Q(size[i]), W(0)) == 0);
		EXPECT(xattr_write(&r, 1, size[i] + 1) == -EINVAL);
		EXPECT(xattr_write(&r, 1, size[i]) == 4);
		EXPECT(r.answer[7] + r.answer[8] * 256 + r.answer[9] * 65536 == (int)size[i]);
		/* Whether it has room is up to the file system. */
		err = clunk(&r, 1);
		EXPECT(err != -EINVAL && err != -EBADF);
	}
	teardown(&r);
}

/* What many of them have put aside together is bounded. */
TEST(p9_xattr_memory_is_bounded)
{
	struct rig r;
	u32 n = 0;
	int err = 0;

	start(t, &r, false);
	file_put("f", "");
	while (!err && n < 900) {
		EXPECT(walk(&r, ROOT, ++n, "f") > 0);
		err = CALL(&r, P9_TXATTRCREATE, W(n), S("user.a"), Q(65536),
			   W(0));
	}
	EXPECT(err == -ENOMEM && n > 100);
	EXPECT(clunk(&r, 1) == -EINVAL);
	EXPECT(CALL(&r, P9_TXATTRCREATE, W(n), S("user.a"), Q(65536), W(0)) ==
	       0);
	/* So is what was read; a new session begins with nothing. */
	EXPECT(walk(&r, ROOT, NOWHERE, "f") > 0);
	for (n = 0, err = 8; err == 8 && n < 1000; n++)
		err = CALL(&r, P9_TXATTRWALK, W(NOWHERE), W(2000 + n), S(""));
	EXPECT(err == -ENOMEM || err == -EOPNOTSUPP);
	EXPECT(version(&r) > 0 && attach(&r, ROOT, 0) > 0);
	for (n = 1; n < 4; n++) {
		EXPECT(walk(&r, ROOT, n, "f") > 0);
		EXPECT(CALL(&r, P9_TXATTRCREATE, W(n), S("user.a"), Q(65536), W(0)) == 0);
	}
	teardown(&r);
}

/* Return: entries of an answer, -1 when one reaches over its end */
static int entries(struct rig *r, u64 *last)
{
	struct state_in in = body(r);
	u32 count = state_get_u32(&in);
	int n = 0;

	if (count != in.len - 4)
		return -1;
	for (; in.pos < in.len; n++) {
		in.pos += P9_QID;
		*last = state_get_u64(&in);
		state_get_u8(&in);
		in.pos += state_get_u16(&in);
	}
	return in.pos == in.len && !in.err ? n : -1;
}

TEST(p9_directories_are_listed_in_parts)
{
	char name[16];
	int n, seen = 0;
	u64 off = 0;
	struct rig r;

	start(t, &r, true);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		file_put(name, "");
	}
	EXPECT(walk(&r, ROOT, 1, NULL) == 2);
	EXPECT(CALL(&r, P9_TREADDIR, W(1), Q(0), W(1000)) == -EBADF);
	EXPECT(CALL(&r, P9_TLOPEN, W(1), W(O_RDONLY)) == P9_QID + 4);
	while ((n = CALL(&r, P9_TREADDIR, W(1), Q(off), W(1000))) > 4) {
		EXPECT(n <= 1004);
		n = entries(&r, &off);
		EXPECT(n > 0 && seen < 600);
		seen += n;
	}
	EXPECT(n == 4 && seen == 502);
	EXPECT(CALL(&r, P9_TREADDIR, W(1), Q(0), W(10)) == -EINVAL);
	EXPECT(CALL(&r, P9_TREADDIR, W(1), Q(0), W(~0U)) > 4);
	EXPECT(r.len <= 16384);
	begin(&r, P9_TREADDIR);
	ADD(&r, W(1), Q(0), W(~0U));
	EXPECT(send_room(&r, 200) > 4);
	/* No more than was agreed on, whatever there is room for */
	EXPECT(CALL(&r, P9_TVERSION, W(4096), S(P9_VERSION)) > 0 && attach(&r, ROOT, 0) > 0);
	EXPECT(walk(&r, ROOT, 1, NULL) == 2 && CALL(&r, P9_TLOPEN, W(1), W(O_RDONLY)) > 0);
	EXPECT(CALL(&r, P9_TREADDIR, W(1), Q(0), W(~0U)) > 4 && r.len <= 4096);
	EXPECT(!truncate("file1", 8192) && walk(&r, ROOT, 2, "file1") > 0);
	EXPECT(CALL(&r, P9_TLOPEN, W(2), W(O_RDONLY)) > 0);
	EXPECT(do_read(&r, 2, 0, ~0U) == 4096 - 11 && !clunk(&r, 2));
	EXPECT(walk(&r, ROOT, 2, "file0") > 0);
	EXPECT(CALL(&r, P9_TLOPEN, W(2), W(O_RDONLY)) > 0);
	EXPECT(CALL(&r, P9_TREADDIR, W(2), Q(0), W(1000)) == -ENOTDIR);
	EXPECT(do_read(&r, 1, 0, 100) == -EISDIR);
	teardown(&r);
}

TEST(p9_chain_that_is_no_message_needs_a_reset)
{
	static const u32 bad[][2] = { { 6, 64 }, { 7, 0 }, { 7, 10 }, { 1, 64 } };
	struct rig r;

	setup(&r, false);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		bring_up(&r);
		EXPECT(version(&r) > 0);
		exchange(&r, bad[i][0], bad[i][1]);
		EXPECT(driver_needs_reset(r.dev));
	}
	bring_up(&r);
	EXPECT(version(&r) > 0);
	teardown(&r);
}

TEST(p9_lengths_are_checked)
{
	char deep[300];
	struct rig r;
	u8 junk[256];

	start(t, &r, false);
	for (u32 type = 0; type < 256; type++) {
		for (u32 len = 0; len < 100; len += 1 + len / 20) {
			memset(junk, len & 1 ? 0xff : 0, sizeof(junk));
			begin(&r, type);
			state_put(&r.msg, junk, len);
			EXPECT(send_room(&r, 64) > -99000);
			/* All that was made is fids, and the root's is gone. */
			version(&r);
			attach(&r, ROOT, 0);
		}
	}
	for (u32 i = 0; i < 4; i++) {
		static const u32 size[4] = { 0, 6, 12, ~0U };
		__le32 le = htole32(size[i]);

		begin(&r, P9_TCLUNK);
		state_put_u32(&r.msg, ROOT);
		memcpy(r.msg.buf, &le, sizeof(le));
		gmem_write(&r.m.g, IN, r.msg.buf, r.msg.len);
		EXPECT(exchange(&r, r.msg.len, 64) && r.written == 11);
		gmem_read(&r.m.g, OUT, r.answer, 11);
		EXPECT(r.answer[4] == P9_RLERROR && r.answer[7] == EINVAL);
	}
	/* A string that ends behind the message: what is there is another one's. */
	begin(&r, P9_TATTACH);
	ADD(&r, W(5), W(P9_NOFID), H(1000));
	EXPECT(finish(&r) == -EINVAL && clunk(&r, 5) == -EBADF);
	begin(&r, P9_TATTACH);
	ADD(&r, W(5), W(P9_NOFID), H(0), H(3), B('/'));
	EXPECT(finish(&r) == -EINVAL && clunk(&r, 5) == -EBADF);
	EXPECT(CALL(&r, P9_TWALK, W(ROOT), W(5), H(1), H(1000)) == -EINVAL);
	/* More than any message has */
	begin(&r, P9_TCLUNK);
	state_put_u32(&r.msg, ROOT);
	EXPECT(send_at(&r, VR_HALF, FS_IN_MAX, ROOM) == -EINVAL);
	memset(deep, 'x', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = 0;
	EXPECT(walk(&r, ROOT, 1, deep) == -ENAMETOOLONG);
	begin(&r, P9_TMKDIR);
	ADD(&r, W(ROOT), H(3), B('a'), B(0), B('b'), W(0755), W(0));
	EXPECT(finish(&r) == -EINVAL);
	/* Room for less than the answer */
	begin(&r, P9_TGETATTR);
	ADD(&r, W(ROOT), Q(0));
	EXPECT(send_room(&r, 100) == -EIO);
	begin(&r, P9_TREADLINK);
	state_put_u32(&r.msg, ROOT);
	EXPECT(send_room(&r, 11) == -EINVAL);
	teardown(&r);
}

TEST(p9_readonly_share_is_readonly)
{
	struct stat st;
	struct rig r;

	start(t, &r, true);
	file_put("f", "text");
	EXPECT(walk(&r, ROOT, 1, "f") > 0 && walk(&r, ROOT, 2, NULL) > 0);
	EXPECT(CALL(&r, P9_TLCREATE, W(2), S("g"), W(O_RDWR), W(0644), W(0)) ==
	       -EROFS);
	EXPECT(CALL(&r, P9_TMKDIR, W(2), S("d"), W(0755), W(0)) == -EROFS);
	EXPECT(CALL(&r, P9_TSYMLINK, W(2), S("s"), S("t"), W(0)) == -EROFS);
	EXPECT(CALL(&r, P9_TMKNOD, W(2), S("p"), W(S_IFIFO), W(0), W(0),
		    W(0)) == -EROFS);
	EXPECT(CALL(&r, P9_TLINK, W(2), W(1), S("g")) == -EROFS);
	EXPECT(CALL(&r, P9_TUNLINKAT, W(2), S("f"), W(0)) == -EROFS);
	EXPECT(CALL(&r, P9_TRENAME, W(1), W(2), S("g")) == -EROFS);
	EXPECT(CALL(&r, P9_TRENAMEAT, W(2), S("f"), W(2), S("g")) == -EROFS);
	EXPECT(CALL(&r, P9_TXATTRCREATE, W(1), S("user.a"), Q(1), W(0)) ==
	       -EROFS);
	EXPECT(CALL(&r, P9_TSETATTR, W(1), W(P9_SETATTR_MODE), W(0), W(0), W(0),
		    Q(0), Q(0), Q(0), Q(0), Q(0)) == -EROFS);
	EXPECT(CALL(&r, P9_TLOPEN, W(1), W(O_RDWR)) == -EROFS);
	EXPECT(CALL(&r, P9_TLOPEN, W(1), W(O_RDONLY | P9_O_TRUNC)) == -EROFS);
	EXPECT(CALL(&r, P9_TLOPEN, W(1), W(O_RDONLY)) > 0);
	EXPECT(do_write(&r, 1, 0, "x") < 0);
	EXPECT(do_read(&r, 1, 0, 10) == 4);
	EXPECT(CALL(&r, P9_TREMOVE, W(1)) == -EROFS);
	EXPECT(file_has("f", "text") && !stat("f", &st) && st.st_nlink == 1);
	teardown(&r);
}

/* Made for somebody, who takes set-ID bits off what he writes to */
TEST(p9_files_belong_to_who_attached)
{
	struct stat st;
	struct rig r;

	start(t, &r, false);
	if (getuid()) {
		printf("# not root\n");
		teardown(&r);
		return;
	}
	EXPECT(!chmod(".", 0777));
	EXPECT(attach(&r, 1, 1234) == P9_QID && walk(&r, 1, 2, NULL) == 2);
	EXPECT(CALL(&r, P9_TLCREATE, W(2), S("f"), W(O_RDWR), W(0644),
		    W(567)) > 0);
	EXPECT(!stat("f", &st) && st.st_uid == 1234 && st.st_gid == 567);
	EXPECT(!chmod("f", 04755) && do_write(&r, 2, 0, "x") == 4);
	EXPECT(!stat("f", &st) && (st.st_mode & 07777) == 0755);
	EXPECT(CALL(&r, P9_TMKDIR, W(1), S("d"), W(0755), W(567)) > 0);
	EXPECT(!stat("d", &st) && st.st_uid == 1234 && st.st_gid == 567);
	EXPECT(CALL(&r, P9_TMKNOD, W(ROOT), S("null"), W(S_IFCHR | 0600), W(1),
		    W(300), W(0)) > 0);
	EXPECT(!stat("null", &st) && st.st_rdev == makedev(1, 300));
	EXPECT(CALL(&r, P9_TSYMLINK, W(1), S("s"), S("x"), W(567)) > 0);
	EXPECT(!lstat("s", &st) && st.st_uid == 1234 && st.st_gid == 567);
	/* Cut by a user; the fid is open for writing, or not at all. */
	for (u32 fid = 2; fid < 4; fid++) {
		EXPECT(fid == 2 || walk(&r, 1, fid, "f") > 0);
		EXPECT(!chmod("f", 04755));
		EXPECT(CALL(&r, P9_TSETATTR, W(fid), W(P9_SETATTR_SIZE), W(0), W(0), W(0), Q(0),
			    Q(0), Q(0), Q(0), Q(0)) == 0);
		EXPECT(!stat("f", &st) && (st.st_mode & 07777) == 0755);
	}
	/* Who gives no number is who lkvm is. */
	EXPECT(attach(&r, 4, P9_NONUNAME) == P9_QID);
	EXPECT(CALL(&r, P9_TMKDIR, W(4), S("e"), W(0755), W(0)) > 0);
	EXPECT(!stat("e", &st) && st.st_uid == 0);
	teardown(&r);
}

/* @at in what was saved is @v instead: it is no state. */
static void bad_state(struct test *t, struct rig *r, const struct state_out *out, size_t at,
		      u32 v)
{
	struct state_in in = { .buf = out->buf, .len = out->len };
	__le32 le = htole32(v), was;

	memcpy(&was, out->buf + at, sizeof(was));
	memcpy(out->buf + at, &le, sizeof(le));
	EXPECT(virtio_device_restore(r->dev, &in) == -EPROTO && nothing_left());
	memcpy(out->buf + at, &was, sizeof(was));
}

/* The value of four bytes of "user.a", half of it there, is at the end or not */
static void check_bad_state(struct test *t, struct rig *r, const struct state_out *out)
{
	const u8 *name = memmem(out->buf, out->len, "user.a", 7);
	size_t at = name ? name - out->buf : 0, msize = out->len;

	for (size_t i = 0; i < out->len - 4 && msize == out->len; i++) {
		if (!memcmp(out->buf + i, (const u8[]){ 0, 0x40, 0, 0 }, 4))
			msize = i;
	}
	EXPECT(at > 12 && msize < at);
	if (at <= 12 || msize >= at)
		return;
	/* Flags, what is filled, the length; the kind in front of it */
	bad_state(t, r, out, at - 8, 5);
	bad_state(t, r, out, at - 12, 65537);
	bad_state(t, r, out, at - 16, 3);
	bad_state(t, r, out, msize, 4095);
	bad_state(t, r, out, msize, 0x10000000);
	/* A name without an end */
	memset(out->buf + at + 6, 'x', 250);
	bad_state(t, r, out, msize, 16384);
	memset(out->buf + at + 6, 0, 250);
}

TEST(p9_session_is_saved_and_restored)
{
	struct state_out out = { 0 };
	struct state_in in;
	struct rig r;

	start(t, &r, false);
	EXPECT(walk(&r, ROOT, 1, NULL) == 2);
	EXPECT(CALL(&r, P9_TLCREATE, W(1), S("f"), W(O_RDWR), W(0644),
		    W(getgid())) > 0);
	EXPECT(do_write(&r, 1, 0, "abc") == 4);
	EXPECT(walk(&r, ROOT, 2, "f") > 0);
	EXPECT(CALL(&r, P9_TXATTRCREATE, W(2), S("user.a"), Q(4), W(0)) == 0);
	EXPECT(do_write(&r, 2, 0, "va") == 4);
	EXPECT(!virtio_device_pause(r.dev));
	virtio_device_save(r.dev, &out);
	virtio_device_free(r.dev);
	setup_device(&r, false);
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(!virtio_device_restore(r.dev, &in));
	EXPECT(!virtio_device_resume(r.dev));
	EXPECT(do_read(&r, 1, 0, 10) == 3);
	EXPECT(do_write(&r, 2, 2, "lu") == 4);
	EXPECT(walk(&r, ROOT, 2, NULL) == -EINVAL);
	EXPECT(clunk(&r, 2) != -EINVAL && clunk(&r, 1) == 0);
	bring_up(&r);
	EXPECT(nothing_left() && walk(&r, ROOT, 2, NULL) == -EIO);
	EXPECT(version(&r) > 0 && walk(&r, ROOT, 2, NULL) == -EBADF);
	EXPECT(!virtio_device_pause(r.dev));
	check_bad_state(t, &r, &out);
	/* Any part of it is no state. */
	for (size_t len = 0; len < out.len; len++) {
		in = (struct state_in){ .buf = out.buf, .len = len };
		EXPECT(virtio_device_restore(r.dev, &in));
	}
	state_out_free(&out);
	teardown(&r);
}

/* What was looked at is not what is there now. */
TEST(p9_fid_that_is_another_one_is_not_replaced)
{
	struct p9_fid a = { .number = 5, .node = 7 }, b = a, was;
	struct p9_fids fids = { 0 };

	EXPECT(!p9_fids_init(&fids) && !p9_fid_add(&fids, &a));
	EXPECT(!p9_fid_get(&fids, 5, &was) && !p9_fid_replace(&fids, &was, &a));
	for (int i = 0; i < 3; i++) {
		EXPECT(!p9_fid_del(&fids, 5, &was) && !fids.nr);
		EXPECT(p9_fid_replace(&fids, &a, &a) == -EBADF);
		b = a;
		b.node += i == 0;
		b.file += i == 1;
		b.kind += i == 2;
		EXPECT(!p9_fid_add(&fids, &b) && p9_fid_replace(&fids, &a, &a) == -EBADF);
		EXPECT(!p9_fid_replace(&fids, &b, &a));
	}
	p9_fids_free(&fids);
}

#define FIDS 0x40000U

/* Straight to the server: through a ring it takes a minute. */
TEST(p9_fids_are_bounded)
{
	struct fs_opts f = { .path = "/", .readonly = true, .max_fds = 64 };
	struct fs_buffers *b = malloc(sizeof(*b));
	struct vq_chain c = { .nr_out = 1, .nr_in = 1, .in_len = 64 };
	struct fs_server *s;
	struct fs_host *host;
	struct rig r = { .msg = { 0 } };
	u8 out[64];
	u32 n;

	EXPECT(!fs_open(&host, &f, NULL) && !p9_server_create(&s, host));
	c.iov[1] = (struct iovec){ out, sizeof(out) };
	for (n = 0; n < FIDS + 100; n++) {
		begin(&r, n > 1 ? P9_TWALK : n ? P9_TATTACH : P9_TVERSION);
		if (n > 1)
			ADD(&r, W(ROOT), W(n), H(0));
		else if (n)
			ADD(&r, W(ROOT), W(P9_NOFID), S(""), S(""), W(0));
		else
			ADD(&r, W(8192), S(P9_VERSION));
		r.msg.buf[0] = r.msg.len;
		c.out_len = r.msg.len;
		c.iov[0] = (struct iovec){ r.msg.buf, r.msg.len };
		EXPECT(s->service->serve(s, b, &c) > 0);
		if (out[4] == P9_RLERROR)
			break;
	}
	EXPECT(n == FIDS + 1 && out[7] == ENFILE);
	s->service->free(s);
	state_out_free(&r.msg);
	free(b);
}

/* A flush is answered behind what it is about, whichever thread has that. */
TEST(p9_flush_waits_for_what_it_flushes)
{
	struct rig r;
	u32 late = 0;

	start(t, &r, false);
	file_put("f", "text");
	EXPECT(walk(&r, ROOT, 1, "f") > 0);
	for (int round = 0; round < 300; round++) {
		struct vring_used_elem e;

		begin(&r, P9_TGETATTR);
		ADD(&r, W(1), Q(0));
		r.msg.buf[0] = r.msg.len;
		gmem_write(&r.m.g, IN, r.msg.buf, r.msg.len);
		VR_PUT(&r.m, vr_desc(0), 0, IN, r.msg.len, NEXT, 1);
		VR_PUT(&r.m, vr_desc(0), 1, OUT, 512, WRITE, 0);
		begin(&r, P9_TFLUSH);
		state_put_u16(&r.msg, r.tag - 1);
		r.msg.buf[0] = r.msg.len;
		gmem_write(&r.m.g, IN + 512, r.msg.buf, r.msg.len);
		VR_PUT(&r.m, vr_desc(0), 2, IN + 512, r.msg.len, NEXT, 3);
		VR_PUT(&r.m, vr_desc(0), 3, OUT + 512, 64, WRITE, 0);
		vr_publish(&r.m, 0, 0);
		vr_publish(&r.m, 0, 2);
		virtio_notify(r.dev, 0);
		EXPECT(wait_used(&r, 0) && wait_used(&r, 0) && r.written == 7);
		gmem_read(&r.m.g, vr_used(0) + 4 + 8 * ((r.used - 1) % VR_NUM),
			  &e, sizeof(e));
		late += e.id == 2;
	}
	EXPECT(late == 300);
	/* For each other, and for itself: there is nothing to wait for. */
	for (u16 i = 0; i < 6; i++) {
		r.tag = i;
		begin(&r, P9_TFLUSH);
		state_put_u16(&r.msg, 1 + (i + i % 2) % 6);
		r.msg.buf[0] = r.msg.len;
		gmem_write(&r.m.g, IN + 64 * i, r.msg.buf, r.msg.len);
		VR_PUT(&r.m, vr_desc(0), 2 * i, IN + 64 * i, r.msg.len, NEXT,
		       2 * i + 1);
		VR_PUT(&r.m, vr_desc(0), 2 * i + 1, OUT + 64 * i, 64, WRITE, 0);
		vr_publish(&r.m, 0, 2 * i);
	}
	virtio_notify(r.dev, 0);
	for (int i = 0; i < 6; i++)
		EXPECT(wait_used(&r, 0) && r.written == 7);
	teardown(&r);
}

#define MANY 8

/* Several at once on the same fids, and a pause, a reset in the middle. */
TEST(p9_requests_survive_pause_and_reset)
{
	struct rig r;

	setup(&r, false);
	file_put("f", "text");
	for (int round = 0; round < 60; round++) {
		EXPECT(version(&r) > 0 && attach(&r, ROOT, 0) > 0);
		for (u16 i = 0; i < MANY; i++) {
			begin(&r, i % 2 ? P9_TCLUNK : P9_TWALK);
			state_put_u32(&r.msg, i % 2 ? 1 : ROOT);
			if (i % 2 == 0) {
				state_put_u32(&r.msg, 1);
				state_put_u16(&r.msg, 1);
				add_string(&r, "f");
			}
			r.msg.buf[0] = r.msg.len;
			gmem_write(&r.m.g, IN + 64 * i, r.msg.buf, r.msg.len);
			VR_PUT(&r.m, vr_desc(0), 2 * i, IN + 64 * i, r.msg.len,
			       NEXT, 2 * i + 1);
			VR_PUT(&r.m, vr_desc(0), 2 * i + 1, OUT + 256 * i, 200,
			       WRITE, 0);
			vr_publish(&r.m, 0, 2 * i);
		}
		virtio_notify(r.dev, 0);
		if (round % 3 == 0)
			EXPECT(!virtio_device_pause(r.dev) &&
			       !virtio_device_resume(r.dev));
		if (round % 3 != 1)
			EXPECT(driver_wait_used(&r.m, 0, r.used + MANY));
		bring_up(&r);
	}
	teardown(&r);
}

TEST_MAIN(T(p9_session_is_negotiated),
	  T(p9_walks_stay_inside),
	  T(p9_data_comes_back),
	  T(p9_data_may_lie_in_other_pages),
	  T(p9_messages_do_what_they_say),
	  T(p9_numbers_are_given_back),
	  T(p9_what_the_host_put_there_is_not_removed),
	  T(p9_xattrs_are_set_at_the_end),
	  T(p9_xattr_is_read_in_parts),
	  T(p9_acl_is_removed),
	  T(p9_xattr_is_written_at_once),
	  T(p9_xattr_memory_is_bounded),
	  T(p9_directories_are_listed_in_parts),
	  T(p9_chain_that_is_no_message_needs_a_reset),
	  T(p9_lengths_are_checked),
	  T(p9_readonly_share_is_readonly),
	  T(p9_files_belong_to_who_attached),
	  T(p9_session_is_saved_and_restored),
	  T(p9_fid_that_is_another_one_is_not_replaced),
	  T(p9_fids_are_bounded),
	  T(p9_flush_waits_for_what_it_flushes),
	  T(p9_requests_survive_pause_and_reset))
