// SPDX-License-Identifier: GPL-2.0-only
/* Tests of virtio/fs.c and fs/fuse.c: a driver that speaks FUSE, on fake rings. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <linux/fuse.h>
#include <linux/virtio_fs.h>
#include "kvm/fs.h"
#include "kvm/fuse.h"
#include "kvm/virtio.h"
#include "fs/inode.h"
#include "dir.h"
#include "driver.h"
#include "share.h"
#include "test.h"
#include "vring.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define IN VR_DATA
#define IN_MAX 0x8000
#define OUT (VR_DATA + IN_MAX)
#define OUT_MAX 0x8000
#define HDR sizeof(struct fuse_in_header)
#define REPLY sizeof(struct fuse_out_header)
/* Whatever the host changes is seen after that. */
#define KEPT_NS 500000000U

static void bring_up(struct rig *r)
{
	rig_up(r, 0);
}

/* Of the device that was set up last */
static struct fs_host *shared;

static void setup_device(struct rig *r, bool readonly)
{
	struct virtio_fs_opts o = { .tag = "the-tag", .nr_queues = 2 };

	rig_device(r, &virtio_fs_class, &o, &o.host, readonly);
	shared = o.host;
}

static void setup(struct rig *r, bool readonly)
{
	rig_begin(r);
	setup_device(r, readonly);
	bring_up(r);
}

/* @len bytes at IN, @room at OUT. Return: whether it came back */
static bool exchange(struct rig *r, u32 len, u32 room)
{
	return rig_ask(r, 1, IN, len, OUT, room);
}

/** struct arg - a request's argument in up to three parts */
struct arg {
	const void *p;
	size_t len;
};

#define A(x) { &(x), sizeof(x) }
#define S(s) arg_text(s)

static struct arg arg_text(const char *s)
{
	return (struct arg){ s, strlen(s) + 1 };
}

/* Whose process in the guest asks; of the group that has the same number */
static u32 asking;

/* Return: bytes of the answer at OUT + REPLY, or the error in it */
static int call_on(struct rig *r, u32 op, u64 node, const struct arg *a,
		   u32 room)
{
	struct fuse_in_header h = {
		.opcode = op, .unique = ++r->unique, .nodeid = node,
		.uid = asking, .gid = asking,
	};
	struct fuse_out_header o = { 0 };
	u32 len = HDR;

	for (int i = 0; i < 3 && a[i].p; i++) {
		gmem_write(&r->m.g, IN + len, a[i].p, a[i].len);
		len += a[i].len;
	}
	h.len = len;
	gmem_write(&r->m.g, IN, &h, sizeof(h));
	if (!exchange(r, len, REPLY + room))
		return -99999;
	gmem_read(&r->m.g, OUT, &o, sizeof(o));
	if (o.unique != h.unique || o.len != r->written || o.len < REPLY ||
	    o.len > REPLY + room || o.error > 0 || o.error <= -512)
		return -99998;
	return o.error ? o.error : (int)(o.len - REPLY);
}

#define CALL(r, op, node, ...) \
	call_on(r, op, node, (const struct arg[4]) { __VA_ARGS__ }, 4096)

static void answer(struct rig *r, size_t off, void *p, size_t len)
{
	gmem_read(&r->m.g, OUT + REPLY + off, p, len);
}

static int session(struct rig *r)
{
	struct fuse_init_in in = {
		.major = 7, .minor = 40, .max_readahead = 131072, .flags = ~0U,
	};

	return CALL(r, FUSE_INIT, 0, A(in));
}

static u64 look(struct rig *r, u64 dir, const char *name)
{
	struct fuse_entry_out e = { 0 };

	if (CALL(r, FUSE_LOOKUP, dir, S(name)) == sizeof(e))
		answer(r, 0, &e, sizeof(e));
	return e.nodeid;
}

static u64 create(struct rig *r, const char *name, u32 flags, u64 *node)
{
	struct fuse_create_in in = { .flags = flags, .mode = S_IFREG | 0644 };
	struct fuse_entry_out e = { 0 };
	struct fuse_open_out o = { 0 };

	if (CALL(r, FUSE_CREATE, 1, A(in), S(name)) == sizeof(e) + sizeof(o)) {
		answer(r, 0, &e, sizeof(e));
		answer(r, sizeof(e), &o, sizeof(o));
	}
	*node = e.nodeid;
	return o.fh;
}

/* A session, and a file of it to write to. Return: its node */
static u64 setup_file(struct test *t, struct rig *r, struct fuse_write_in *w)
{
	u64 node;

	setup(r, false);
	EXPECT(session(r) > 0);
	w->fh = create(r, "f", O_RDWR, &node);
	return node;
}

/* The guest checks who may do what only for a file that it knows of. */
TEST(fuse_creates_only_what_is_not_there)
{
	struct fuse_create_in in = { .flags = O_RDWR | O_TRUNC, .mode = 0644 };
	struct stat st;
	struct rig r;

	setup(&r, false);
	EXPECT(session(&r) > 0 && !mkdir("d", 0755) && !symlink("f", "s"));
	file_put("f", "theirs");
	EXPECT(CALL(&r, FUSE_CREATE, 1, A(in), S("f")) == -ESTALE);
	EXPECT(CALL(&r, FUSE_CREATE, 1, A(in), S("d")) == -ESTALE);
	EXPECT(CALL(&r, FUSE_CREATE, 1, A(in), S("s")) == -ESTALE);
	in.flags |= O_EXCL;
	EXPECT(CALL(&r, FUSE_CREATE, 1, A(in), S("f")) == -EEXIST);
	EXPECT(!stat("f", &st) && st.st_size == 6);
	teardown(&r);
}

/* The parts of a large one are under way at once. */
TEST(fuse_direct_appends_go_where_the_guest_says)
{
	struct fuse_write_in w = {
		.size = 3, .offset = 3, .flags = O_WRONLY | O_APPEND | O_DIRECT,
	};
	struct rig r;
	u64 node;

	node = setup_file(t, &r, &w);
	EXPECT(CALL(&r, FUSE_WRITE, node, A(w), { "two", 3 }) > 0);
	w.offset = 0;
	EXPECT(CALL(&r, FUSE_WRITE, node, A(w), { "one", 3 }) > 0);
	w.flags = O_WRONLY | O_APPEND;
	EXPECT(CALL(&r, FUSE_WRITE, node, A(w), { "end", 3 }) > 0);
	EXPECT(file_has("f", "onetwoend"));
	/* So do pages. */
	w.write_flags = FUSE_WRITE_CACHE;
	EXPECT(CALL(&r, FUSE_WRITE, node, A(w), { "ONE", 3 }) > 0);
	EXPECT(file_has("f", "ONEtwoend"));
	teardown(&r);
}

/* The guest looks at no more than whether there was an error. */
TEST(fuse_pages_are_written_whole_or_fail)
{
	const struct rlimit few = { 4, RLIM_INFINITY };
	struct fuse_write_in w = { .size = 6, .write_flags = FUSE_WRITE_CACHE };
	struct fuse_write_out wo;
	struct rlimit had;
	struct rig r;
	u64 node;

	node = setup_file(t, &r, &w);
	signal(SIGXFSZ, SIG_IGN);
	EXPECT(!getrlimit(RLIMIT_FSIZE, &had) && !setrlimit(RLIMIT_FSIZE, &few));
	EXPECT(CALL(&r, FUSE_WRITE, node, A(w), { "abcdef", 6 }) == -EFBIG);
	w.write_flags = 0;
	EXPECT(CALL(&r, FUSE_WRITE, node, A(w), { "abcdef", 6 }) == sizeof(wo));
	answer(&r, 0, &wo, sizeof(wo));
	EXPECT(wo.size == 4);
	EXPECT(!setrlimit(RLIMIT_FSIZE, &had));
	teardown(&r);
}

TEST(fuse_session_is_negotiated)
{
	struct fuse_init_in in = { .major = 7, .minor = 38, .flags = 0 };
	struct fuse_init_out o;
	struct virtio_fs_config c;
	struct rig r;

	setup(&r, false);
	virtio_config_read(r.dev, 0, &c, sizeof(c));
	EXPECT(!memcmp(c.tag, "the-tag\0\0", 9));
	EXPECT(le32toh(c.num_request_queues) == 2 && r.dev->nr_queues == 3);
	EXPECT(CALL(&r, FUSE_GETATTR, 1, { NULL, 0 }) == -EIO);
	EXPECT(CALL(&r, FUSE_INIT, 0, A(in)) == sizeof(o));
	answer(&r, 0, &o, sizeof(o));
	EXPECT(o.major == 7 && o.minor >= 31 && o.flags == 0);
	EXPECT(session(&r) == sizeof(o));
	answer(&r, 0, &o, sizeof(o));
	EXPECT(o.flags & FUSE_MAX_PAGES && o.flags & FUSE_POSIX_ACL);
	EXPECT(!(o.flags & (FUSE_WRITEBACK_CACHE | FUSE_POSIX_LOCKS)));
	EXPECT(o.max_pages + 10U < VQ_CHAIN_MAX);
	EXPECT(o.max_write <= o.max_pages * 4096U);
	/* The kernel takes the lower one of this and what it has been told by then. */
	EXPECT(o.max_readahead >= 1024 * 1024U);
	in.major = 8;
	EXPECT(CALL(&r, FUSE_INIT, 0, A(in)) == sizeof(o));
	in = (struct fuse_init_in){ .major = 6 };
	EXPECT(CALL(&r, FUSE_INIT, 0, A(in)) == -EPROTO);
	in = (struct fuse_init_in){ .major = 7, .minor = 30 };
	EXPECT(CALL(&r, FUSE_INIT, 0, A(in)) == -EPROTO);
	EXPECT(CALL(&r, FUSE_DESTROY, 0, { NULL, 0 }) == 0);
	EXPECT(CALL(&r, FUSE_GETATTR, 1, { NULL, 0 }) == -EIO);
	teardown(&r);
}

static void check_names(struct test *t, struct rig *r)
{
	struct fuse_mkdir_in mk = { .mode = 0777, .umask = 022 };
	struct fuse_mknod_in nod = { .mode = S_IFIFO | 0666, .umask = 0 };
	struct fuse_rename_in mv = { .newdir = 1 };
	struct fuse_rename2_in mv2 = { .newdir = 1, .flags = 1 };
	struct fuse_link_in ln;
	struct fuse_entry_out e;
	struct stat st;
	char text[8];

	EXPECT(CALL(r, FUSE_MKDIR, 1, A(mk), S("d")) == sizeof(e));
	EXPECT(!stat("d", &st) && (st.st_mode & 07777) == 0755);
	EXPECT(CALL(r, FUSE_MKDIR, 1, A(mk), S("d")) == -EEXIST);
	mk = (struct fuse_mkdir_in){ .mode = 01777 };
	EXPECT(CALL(r, FUSE_MKDIR, 1, A(mk), S("sticky")) == sizeof(e));
	EXPECT(!stat("sticky", &st) && (st.st_mode & 07777) == 01777);
	EXPECT(CALL(r, FUSE_MKNOD, 1, A(nod), S("p")) == sizeof(e));
	nod.mode = S_IFDIR;
	EXPECT(CALL(r, FUSE_MKNOD, 1, A(nod), S("q")) == -EINVAL);
	EXPECT(CALL(r, FUSE_SYMLINK, 1, S("s"), S("target")) == sizeof(e));
	EXPECT(CALL(r, FUSE_READLINK, look(r, 1, "s"), { NULL, 0 }) == 6);
	answer(r, 0, text, 6);
	EXPECT(!memcmp(text, "target", 6));
	ln.oldnodeid = look(r, 1, "p");
	EXPECT(CALL(r, FUSE_LINK, 1, A(ln), S("p2")) == sizeof(e));
	answer(r, 0, &e, sizeof(e));
	EXPECT(e.nodeid == ln.oldnodeid && e.attr.nlink == 2);
	EXPECT(CALL(r, FUSE_LINK, look(r, 1, "sticky"), A(ln), S("p4")) == sizeof(e));
	EXPECT(!lstat("sticky/p4", &st) && st.st_nlink == 3);
	EXPECT(CALL(r, FUSE_RENAME, 1, A(mv), S("p\0p3")) == -EINVAL);
	EXPECT(CALL(r, FUSE_RENAME, 1, A(mv), S("p"), S("p3")) == 0);
	EXPECT(CALL(r, FUSE_RENAME2, 1, A(mv2), S("p3"), S("p2")) == -EEXIST);
	mv2.flags = 2;
	EXPECT(CALL(r, FUSE_RENAME2, 1, A(mv2), S("p3"), S("d")) == 0);
	EXPECT(CALL(r, FUSE_UNLINK, 1, S("p2")) == 0);
	EXPECT(CALL(r, FUSE_RMDIR, 1, S("p3")) == 0);
	EXPECT(CALL(r, FUSE_RMDIR, 1, S("p3")) == -ENOENT);
	EXPECT(CALL(r, FUSE_LOOKUP, 1, S("none")) == sizeof(e));
	answer(r, 0, &e, sizeof(e));
	EXPECT(!e.nodeid && e.entry_valid_nsec && !e.entry_valid);
	EXPECT(e.entry_valid_nsec <= KEPT_NS);
	EXPECT(CALL(r, FUSE_LOOKUP, 1, S("d")) == sizeof(e));
	answer(r, 0, &e, sizeof(e));
	EXPECT(e.nodeid && !e.entry_valid && !e.attr_valid);
	EXPECT(e.entry_valid_nsec <= KEPT_NS && e.attr_valid_nsec <= KEPT_NS);
}

static void check_data(struct test *t, struct rig *r, u64 fh, u64 fh2)
{
	struct fuse_write_in w = { .fh = fh, .offset = 2, .size = 5 };
	struct fuse_read_in rd = { .fh = fh, .size = 100 };
	struct fuse_copy_file_range_in cp = {
		.fh_in = fh, .fh_out = fh2, .len = 100,
	};
	struct fuse_fallocate_in fa = { .fh = fh, .length = 8192 };
	struct fuse_lseek_in ls = { .fh = fh, .whence = SEEK_HOLE };
	struct fuse_fsync_in fsync_in = { .fh = fh };
	struct fuse_write_out wo;
	char text[8];

	EXPECT(CALL(r, FUSE_WRITE, 1, A(w), { "hello", 5 }) == sizeof(wo));
	answer(r, 0, &wo, sizeof(wo));
	EXPECT(wo.size == 5);
	w.size = 6;
	EXPECT(CALL(r, FUSE_WRITE, 1, A(w), { "hello", 5 }) == -EINVAL);
	EXPECT(CALL(r, FUSE_READ, 1, A(rd)) == 7);
	answer(r, 0, text, 7);
	EXPECT(!memcmp(text, "\0\0hello", 7));
	rd.offset = 7;
	EXPECT(CALL(r, FUSE_READ, 1, A(rd)) == 0);
	EXPECT(CALL(r, FUSE_COPY_FILE_RANGE, 1, A(cp)) == sizeof(wo));
	answer(r, 0, &wo, sizeof(wo));
	EXPECT(wo.size == 7);
	EXPECT(CALL(r, FUSE_FALLOCATE, 1, A(fa)) == 0);
	EXPECT(CALL(r, FUSE_LSEEK, 1, A(ls)) == sizeof(u64));
	EXPECT(CALL(r, FUSE_FSYNC, 1, A(fsync_in)) == 0);
	fsync_in.fsync_flags = 1;
	EXPECT(CALL(r, FUSE_FSYNC, 1, A(fsync_in)) == 0);
	EXPECT(CALL(r, FUSE_SYNCFS, 1, { NULL, 0 }) == 0);
}

static void check_attrs(struct test *t, struct rig *r, u64 node)
{
	/* Which file is open is not said: the handle is none. */
	struct fuse_setattr_in sa = {
		.valid = FATTR_MODE | FATTR_SIZE | FATTR_MTIME | FATTR_ATIME_NOW,
		.fh = 77, .mode = 0600, .size = 5000, .mtime = 77,
	};
	struct fuse_attr_out ao;
	struct fuse_statfs_out so;
	struct fuse_access_in ac = { .mask = W_OK };

	EXPECT(CALL(r, FUSE_SETATTR, node, A(sa)) == sizeof(ao));
	answer(r, 0, &ao, sizeof(ao));
	EXPECT(ao.attr.size == 5000 && (ao.attr.mode & 07777) == 0600);
	EXPECT(ao.attr.mtime == 77 && ao.attr.atime > 1000000);
	EXPECT(!ao.attr_valid && ao.attr_valid_nsec <= KEPT_NS);
	sa.valid = FATTR_ATIME | FATTR_MTIME;
	sa.atime = 5;
	EXPECT(CALL(r, FUSE_SETATTR, node, A(sa)) == sizeof(ao));
	answer(r, 0, &ao, sizeof(ao));
	EXPECT(ao.attr.atime == 5 && ao.attr.mtime == 77);
	sa.valid = FATTR_ATIME | FATTR_ATIME_NOW;
	EXPECT(CALL(r, FUSE_SETATTR, node, A(sa)) == sizeof(ao));
	answer(r, 0, &ao, sizeof(ao));
	EXPECT(ao.attr.atime > 1000000 && ao.attr.mtime == 77);
	sa.valid = FATTR_MODE;
	sa.mode = S_IFREG | 07654;
	EXPECT(CALL(r, FUSE_SETATTR, node, A(sa)) == sizeof(ao));
	answer(r, 0, &ao, sizeof(ao));
	EXPECT(ao.attr.mode == sa.mode);
	EXPECT(CALL(r, FUSE_GETATTR, node, { NULL, 0 }) == sizeof(ao));
	EXPECT(CALL(r, FUSE_GETATTR, 12345, { NULL, 0 }) == -ESTALE);
	EXPECT(CALL(r, FUSE_STATFS, node, { NULL, 0 }) == sizeof(so));
	answer(r, 0, &so, sizeof(so));
	EXPECT(so.st.namelen && so.st.bsize && so.st.blocks >= so.st.bfree);
	EXPECT(CALL(r, FUSE_ACCESS, node, A(ac)) == 0);
}

static void check_xattrs(struct test *t, struct rig *r, u64 node)
{
	struct fuse_setxattr_in sx = { .size = 5 };
	struct fuse_getxattr_in gx = { .size = 0 };
	struct fuse_getxattr_out go;
	int n = CALL(r, FUSE_SETXATTR, node, A(sx), S("user.a"), { "value", 5 });

	if (n == -EOPNOTSUPP) {
		printf("# no xattrs in /tmp\n");
		return;
	}
	EXPECT(!n);
	sx.size = 6;
	EXPECT(CALL(r, FUSE_SETXATTR, node, A(sx), S("user.a"),
		    { "value", 5 }) == -EINVAL);
	EXPECT(CALL(r, FUSE_GETXATTR, node, A(gx), S("user.a")) == sizeof(go));
	answer(r, 0, &go, sizeof(go));
	EXPECT(go.size == 5);
	EXPECT(CALL(r, FUSE_LISTXATTR, node, A(gx)) == sizeof(go));
	gx.size = 5;
	EXPECT(CALL(r, FUSE_GETXATTR, node, A(gx), S("user.a")) == 5);
	gx.size = 4;
	EXPECT(CALL(r, FUSE_GETXATTR, node, A(gx), S("user.a")) == -ERANGE);
	/* An argument that ends in front of the name, which an earlier one had there */
	EXPECT(call_on(r, FUSE_SETXATTR, node, (const struct arg[4]) { { &sx, 12 } }, 0) ==
	       -EINVAL);
	EXPECT(CALL(r, FUSE_REMOVEXATTR, node, S("user.a")) == 0);
	EXPECT(CALL(r, FUSE_REMOVEXATTR, node, S("user.a")) == -ENODATA);
}

TEST(fuse_operations_do_what_they_say)
{
	struct fuse_open_in op = { .flags = O_RDWR };
	struct fuse_release_in rel = { 0 };
	struct fuse_open_out oo;
	struct stat st;
	struct rig r;
	u64 a, b, fh, fh2;

	setup(&r, false);
	EXPECT(session(&r) > 0);
	check_names(t, &r);
	fh = create(&r, "f", O_RDWR, &a);
	fh2 = create(&r, "g", O_RDWR | O_EXCL, &b);
	EXPECT(fh && fh2 && a != b);
	check_data(t, &r, fh, fh2);
	check_attrs(t, &r, a);
	check_xattrs(t, &r, a);
	rel.fh = fh;
	EXPECT(CALL(&r, FUSE_RELEASE, a, A(rel)) == 0);
	EXPECT(CALL(&r, FUSE_RELEASE, a, A(rel)) == -EBADF);
	EXPECT(CALL(&r, FUSE_OPEN, a, A(op)) == sizeof(oo));
	op.open_flags = FUSE_OPEN_KILL_SUIDGID;
	op.flags = O_RDWR | O_TRUNC;
	EXPECT(!chmod("f", 06755));
	EXPECT(CALL(&r, FUSE_OPEN, a, A(op)) == sizeof(oo));
	EXPECT(!stat("f", &st) && !(st.st_mode & 06000) && !st.st_size);
	EXPECT(look(&r, 1, "f") == a);
	op.flags = 3;
	EXPECT(CALL(&r, FUSE_OPEN, a, A(op)) == -EINVAL);
	EXPECT(CALL(&r, FUSE_IOCTL, a, { NULL, 0 }) == -ENOTTY);
	EXPECT(CALL(&r, FUSE_POLL, a, { NULL, 0 }) == -FUSE_ERRNO_UNKNOWN);
	EXPECT(CALL(&r, FUSE_SETLKW, a, { NULL, 0 }) == -FUSE_ERRNO_UNKNOWN);
	EXPECT(CALL(&r, FUSE_FLUSH, a, { NULL, 0 }) == -FUSE_ERRNO_UNKNOWN);
	EXPECT(CALL(&r, 9999, a, { NULL, 0 }) == -FUSE_ERRNO_UNKNOWN);
	EXPECT(CALL(&r, 0, a, { NULL, 0 }) == -FUSE_ERRNO_UNKNOWN);
	teardown(&r);
}

static bool is_of(const char *name, u32 owner, u32 mode)
{
	struct stat st;

	return !lstat(name, &st) && st.st_uid == owner && st.st_gid == owner &&
	       st.st_mode == mode;
}

/* Made for somebody, whose umask counts */
TEST(fuse_files_belong_to_who_asks)
{
	struct fuse_create_in c = { .flags = O_RDWR, .mode = S_IFREG | 0666, .umask = 027 };
	struct fuse_mkdir_in mk = { .mode = 0777, .umask = 027 };
	struct fuse_mknod_in nod = { .mode = S_IFIFO | 0666, .umask = 027 };
	struct fuse_setattr_in own = { .valid = FATTR_UID, .gid = 0 };
	struct fuse_entry_out e = { 0 };
	struct fuse_link_in ln;
	struct stat st;
	struct rig r;

	setup(&r, false);
	EXPECT(session(&r) > 0 && !chmod(".", 0777));
	if (getuid()) {
		printf("# not root\n");
		teardown(&r);
		return;
	}
	asking = 1234;
	EXPECT(CALL(&r, FUSE_CREATE, 1, A(c), S("f")) > 0);
	EXPECT(CALL(&r, FUSE_MKDIR, 1, A(mk), S("d")) > 0);
	EXPECT(CALL(&r, FUSE_MKNOD, 1, A(nod), S("p")) > 0);
	EXPECT(CALL(&r, FUSE_SYMLINK, 1, S("s"), S("target")) > 0);
	c.mode = S_IFREG | 06755;
	EXPECT(CALL(&r, FUSE_CREATE, 1, A(c), S("x")) > 0);
	EXPECT(is_of("x", 1234, S_IFREG | 06750));
	c.mode = S_IFREG | 0666;
	if (CALL(&r, FUSE_TMPFILE, 1, A(c), S("/")) > 0) {
		answer(&r, 0, &e, sizeof(e));
		ln.oldnodeid = e.nodeid;
		EXPECT(CALL(&r, FUSE_LINK, 1, A(ln), S("t")) > 0);
		EXPECT(is_of("t", 1234, S_IFREG | 0640));
	}
	asking = 0;
	EXPECT(is_of("f", 1234, S_IFREG | 0640) && is_of("d", 1234, S_IFDIR | 0750));
	EXPECT(is_of("p", 1234, S_IFIFO | 0640) && is_of("s", 1234, S_IFLNK | 0777));
	nod = (struct fuse_mknod_in){ .mode = S_IFCHR | 0600, .rdev = 1 << 8 | 0x2c | 1 << 20 };
	EXPECT(CALL(&r, FUSE_MKNOD, 1, A(nod), S("c")) == sizeof(e));
	answer(&r, 0, &e, sizeof(e));
	EXPECT(e.attr.rdev == nod.rdev && is_of("c", 0, nod.mode));
	/* An owner is not a group. */
	own.uid = 0;
	EXPECT(CALL(&r, FUSE_SETATTR, look(&r, 1, "f"), A(own)) > 0);
	EXPECT(!lstat("f", &st) && st.st_uid == 0 && st.st_gid == 1234);
	own.valid = FATTR_GID;
	own.uid = 77;
	EXPECT(CALL(&r, FUSE_SETATTR, look(&r, 1, "s"), A(own)) > 0);
	EXPECT(!lstat("s", &st) && st.st_uid == 1234 && st.st_gid == 0);
	teardown(&r);
}

/* Whether set-ID bits of "f" went; they are there again. */
static bool took_off(void)
{
	struct stat st;

	return !stat("f", &st) && !(st.st_mode & 06000) && !chmod("f", 06755);
}

TEST(fuse_changes_take_privileges_off_if_asked_to)
{
	struct fuse_setattr_in sa = { .valid = FATTR_SIZE, .size = 5 };
	struct fuse_fallocate_in fa = { .length = 8 };
	struct fuse_copy_file_range_in cp = { .len = 2, .off_out = 9 };
	struct fuse_setxattr_in sx = { .size = 1 };
	struct fuse_write_in w = { .size = 1 };
	struct rig r;
	u64 node;

	node = setup_file(t, &r, &w);
	fa.fh = w.fh;
	cp.fh_in = w.fh;
	cp.fh_out = w.fh;
	EXPECT(!chmod("f", 06755));
	/* The host takes them off by itself if lkvm is not root. */
	for (u32 user = !!geteuid(); user < 2; user++) {
		asking = user;
		if (user) {
			w.write_flags = FUSE_WRITE_KILL_SUIDGID;
			sa.valid |= FATTR_KILL_SUIDGID;
			sx.setxattr_flags = FUSE_SETXATTR_ACL_KILL_SGID;
		}
		EXPECT(CALL(&r, FUSE_WRITE, node, A(w), { "x", 1 }) > 0);
		EXPECT(took_off() == user);
		EXPECT(CALL(&r, FUSE_FALLOCATE, node, A(fa)) == 0);
		EXPECT(took_off() == user);
		EXPECT(CALL(&r, FUSE_COPY_FILE_RANGE, node, A(cp)) > 0);
		EXPECT(took_off() == user);
		EXPECT(CALL(&r, FUSE_SETATTR, node, A(sa)) > 0);
		EXPECT(took_off() == user);
		EXPECT(!chmod("f", 02755));
		if (!CALL(&r, FUSE_SETXATTR, node, A(sx), S("user.a"), { "v", 1 }))
			EXPECT(took_off() == user);
		EXPECT(!chmod("f", 06755));
	}
	asking = 0;
	cp.flags = 1;
	EXPECT(CALL(&r, FUSE_COPY_FILE_RANGE, node, A(cp)) == -EINVAL);
	teardown(&r);
}

TEST(fuse_tag_has_a_length)
{
	char tag[VIRTIO_SHARE_TAG_MAX + 2];
	struct virtio_device *dev = NULL;
	struct virtio_fs_opts o = { .tag = tag };
	struct report why = { "" };
	struct rig r;

	setup(&r, true);
	memset(tag, 'x', sizeof(tag));
	tag[sizeof(tag) - 1] = 0;
	EXPECT(virtio_device_create(&dev, &virtio_fs_class, "fs", &o, &r.env, &why));
	EXPECT(strstr(why.msg, "tag is not 1 to"));
	tag[0] = 0;
	EXPECT(virtio_device_create(&dev, &virtio_fs_class, "fs", &o, &r.env, &why));
	teardown(&r);
}

/* Return: entries of an answer, -1 when one reaches over its end */
static int entries(struct rig *r, int len, bool plus, u64 *last)
{
	size_t head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	struct fuse_dirent d;
	int off = 0, n = 0;

	while (off < len) {
		answer(r, off + head - FUSE_NAME_OFFSET, &d, sizeof(d));
		off += FUSE_REC_ALIGN(head + d.namelen);
		*last = d.off;
		n++;
	}
	return off == len ? n : -1;
}

TEST(fuse_directories_are_listed_in_parts)
{
	struct fuse_open_in op = { 0 };
	/* One entry has 32 bytes, and the last one has not: it is not cut off. */
	struct fuse_read_in rd = { .size = 1000 - 16 };
	struct fuse_open_out oo;
	char name[16];
	struct rig r;
	int n, seen;

	setup(&r, true);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		close(open(name, O_CREAT | O_WRONLY, 0644));
	}
	EXPECT(session(&r) > 0);
	EXPECT(CALL(&r, FUSE_OPENDIR, 1, A(op)) == sizeof(oo));
	answer(&r, 0, &oo, sizeof(oo));
	rd.fh = oo.fh;
	for (int plus = 0; plus < 2; plus++) {
		rd.offset = 0;
		seen = 0;
		while ((n = CALL(&r, plus ? FUSE_READDIRPLUS : FUSE_READDIR, 1,
				 A(rd))) > 0) {
			EXPECT(n <= (int)rd.size);
			n = entries(&r, n, plus, &rd.offset);
			EXPECT(n > 0 && seen < 600);
			seen += n;
		}
		EXPECT(n == 0 && seen == 502);
		/* Room for less than is asked for */
		rd.offset = 0;
		n = call_on(&r, plus ? FUSE_READDIRPLUS : FUSE_READDIR, 1,
			    (const struct arg[4]) { A(rd) }, 200);
		EXPECT(n > 0 && entries(&r, n, plus, &rd.offset) > 0);
	}
	rd.size = 10;
	rd.offset = 0;
	EXPECT(CALL(&r, FUSE_READDIR, 1, A(rd)) == 0);
	rd.fh++;
	EXPECT(CALL(&r, FUSE_READDIR, 1, A(rd)) == -EBADF);
	EXPECT(CALL(&r, FUSE_READDIRPLUS, 1, A(rd)) == -EBADF);
	rd.fh--;
	EXPECT(CALL(&r, FUSE_FSYNCDIR, 1, A(rd)) == 0);
	teardown(&r);
}

static u32 open_flags(struct rig *r, u32 how, u64 node)
{
	struct fuse_open_in op = { 0 };
	struct fuse_open_out oo;

	if (CALL(r, how, node, A(op)) != sizeof(oo))
		return ~0U;
	answer(r, 0, &oo, sizeof(oo));
	return oo.open_flags;
}

static u32 opendir_flags(struct rig *r)
{
	return open_flags(r, FUSE_OPENDIR, 1);
}

TEST(fuse_lists_are_kept_as_long_as_attributes)
{
	const u32 keep = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
	struct rig r;
	u64 f;

	setup(&r, true);
	file_put("f", "text");
	file_put("g", "text");
	EXPECT(session(&r) > 0);
	f = look(&r, 1, "f");
	/* What has just changed may do so again, and its time be the same. */
	EXPECT(!(opendir_flags(&r) & keep) && !(open_flags(&r, FUSE_OPEN, f) & keep));
	sleep(4);
	EXPECT((open_flags(&r, FUSE_OPEN, f) & keep) == FOPEN_KEEP_CACHE);
	/* Its time of modification is what somebody says. */
	EXPECT(!utimensat(AT_FDCWD, "g", (struct timespec[2]) { { 0 }, { 0 } }, 0));
	EXPECT(!(open_flags(&r, FUSE_OPEN, look(&r, 1, "g")) & keep));
	EXPECT((opendir_flags(&r) & keep) == FOPEN_CACHE_DIR);
	EXPECT((opendir_flags(&r) & keep) == keep);
	usleep(600000);
	EXPECT((opendir_flags(&r) & keep) == FOPEN_CACHE_DIR);
	teardown(&r);
}

/* Of an answer with attributes: files (@dirs: directories) that have them */
static int prefetched(struct rig *r, int len, bool dirs)
{
	struct fuse_direntplus d;
	int n = 0;

	for (int off = 0; off < len;
	     off += FUSE_REC_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS +
				   d.dirent.namelen)) {
		answer(r, off, &d, sizeof(d));
		n += d.entry_out.nodeid && (d.dirent.type == DT_DIR) == dirs;
	}
	return n;
}

/* And not of what has that name in another directory; "." and ".." are names alone. */
TEST(fuse_listing_has_attributes_of_what_is_listed)
{
	struct fuse_read_in rd = { .size = 4096 };
	struct fuse_open_in op = { 0 };
	struct fuse_open_out oo = { 0 };
	struct fuse_direntplus d;
	unsigned int found = 0;
	struct rig r;
	u64 dir, x;
	int n;

	setup(&r, true);
	EXPECT(!mkdir("d", 0755));
	file_put("x", "outside");
	file_put("d/x", "in it");
	EXPECT(session(&r) > 0);
	dir = look(&r, 1, "d");
	x = look(&r, dir, "x");
	EXPECT(CALL(&r, FUSE_OPENDIR, dir, A(op)) == sizeof(oo));
	answer(&r, 0, &oo, sizeof(oo));
	rd.fh = oo.fh;
	n = CALL(&r, FUSE_READDIRPLUS, dir, A(rd));
	for (int off = 0; off < n; off += FUSE_DIRENTPLUS_SIZE(&d)) {
		answer(&r, off, &d, sizeof(d));
		if (d.dirent.type == DT_REG) {
			EXPECT(d.entry_out.nodeid == x && d.entry_out.attr.size == 5);
			EXPECT(d.entry_out.attr.ino == d.dirent.ino);
			found++;
		} else {
			EXPECT(!d.entry_out.nodeid);
		}
	}
	EXPECT(n > 0 && found == 1);
	teardown(&r);
}

TEST(fuse_listing_all_files_does_not_remember_all)
{
	int n, files = 0, dirs = 0, names = 0;
	struct fuse_open_in op = { 0 };
	struct fuse_read_in rd = { .size = 1000 };
	struct fuse_open_out oo;
	char name[16];
	struct rig r;

	setup(&r, true);
	for (int i = 0; i < 9000; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		if (i % 1000)
			close(open(name, O_CREAT | O_WRONLY, 0644));
		else
			EXPECT(!mkdir(name, 0755));
	}
	EXPECT(session(&r) > 0);
	EXPECT(CALL(&r, FUSE_OPENDIR, 1, A(op)) == sizeof(oo));
	answer(&r, 0, &oo, sizeof(oo));
	rd.fh = oo.fh;
	while ((n = CALL(&r, FUSE_READDIRPLUS, 1, A(rd))) > 0) {
		files += prefetched(&r, n, false);
		dirs += prefetched(&r, n, true);
		n = entries(&r, n, true, &rd.offset);
		EXPECT(n > 0 && names < 9002);
		names += n;
	}
	/* As much at once as a buffer has, whatever there is room for */
	rd.size = 0x17000;
	rd.offset = 0;
	n = call_on(&r, FUSE_READDIR, 1, (const struct arg[4]) { A(rd) }, 0x17000);
	EXPECT(n > 0x8000 && n <= FS_OUT_MAX && entries(&r, n, false, &rd.offset) > 0);
	EXPECT(names == 9002 && dirs == 9);
	EXPECT(files > 1000 && files < 8200);
	/* One that is asked for has a number all the same. */
	for (int i = 1; i < 9000; i += 999) {
		snprintf(name, sizeof(name), "file%d", i);
		EXPECT(look(&r, 1, name));
	}
	teardown(&r);
}

TEST(fuse_forget_has_no_answer)
{
	struct fuse_in_header h = { .opcode = FUSE_FORGET };
	struct fuse_forget_in f = { .nlookup = 1 };
	struct rig r;
	u64 node;

	setup(&r, false);
	EXPECT(session(&r) > 0);
	close(open("f", O_CREAT | O_WRONLY, 0644));
	node = look(&r, 1, "f");
	EXPECT(node && look(&r, 1, "f") == node);
	for (int i = 0; i < 2; i++) {
		EXPECT(CALL(&r, FUSE_GETATTR, node, { NULL, 0 }) > 0);
		h.nodeid = node;
		h.len = HDR + sizeof(f);
		gmem_write(&r.m.g, IN, &h, sizeof(h));
		gmem_write(&r.m.g, IN + HDR, &f, sizeof(f));
		EXPECT(exchange(&r, h.len, 0) && r.written == 0);
	}
	EXPECT(CALL(&r, FUSE_GETATTR, node, { NULL, 0 }) == -ESTALE);
	teardown(&r);
}

/* One that ends too early: what would be behind it is of an earlier request. */
TEST(fuse_forget_that_is_too_short_forgets_nothing)
{
	static const u32 op[] = { FUSE_FORGET, FUSE_BATCH_FORGET };
	struct fuse_in_header h = { .opcode = FUSE_GETATTR, .nodeid = 1 };
	struct fuse_forget_one one[2] = { { 99, 1 }, { 0, 1 } };
	struct fuse_batch_forget_in batch = { .count = 2 };
	u8 junk[256];
	struct rig r;

	setup(&r, false);
	EXPECT(session(&r) > 0);
	file_put("f", "text");
	h.nodeid = look(&r, 1, "f");
	memset(junk, 0xff, sizeof(junk));
	gmem_write(&r.m.g, IN + HDR, junk, sizeof(junk));
	for (u32 i = 0; i < 16; i++) {
		/* The junk is where arguments are. */
		h.opcode = FUSE_GETATTR;
		h.len = HDR + sizeof(junk);
		gmem_write(&r.m.g, IN, &h, sizeof(h));
		EXPECT(exchange(&r, h.len, REPLY + 256) && r.written > REPLY);
		h.opcode = op[i % 2];
		h.len = HDR + i / 2;
		gmem_write(&r.m.g, IN, &h, sizeof(h));
		EXPECT(exchange(&r, h.len, 0) && r.written == 0);
	}
	EXPECT(CALL(&r, FUSE_GETATTR, h.nodeid, { NULL, 0 }) > 0);
	/* Two, and one of them is there. */
	one[1].nodeid = h.nodeid;
	EXPECT(CALL(&r, FUSE_GETATTR, h.nodeid, A(batch), A(one)) > 0);
	h.opcode = FUSE_BATCH_FORGET;
	h.len = HDR + sizeof(batch) + sizeof(one[0]);
	gmem_write(&r.m.g, IN, &h, sizeof(h));
	EXPECT(exchange(&r, h.len, 0) && r.written == 0);
	EXPECT(CALL(&r, FUSE_GETATTR, h.nodeid, { NULL, 0 }) > 0);
	/* There is no answer to this one either, be there room or not. */
	h.opcode = FUSE_INTERRUPT;
	h.len = HDR + sizeof(struct fuse_interrupt_in);
	gmem_write(&r.m.g, IN, &h, sizeof(h));
	EXPECT(exchange(&r, h.len, 0) && r.written == 0);
	EXPECT(exchange(&r, h.len, REPLY) && r.written == 0);
	teardown(&r);
}

TEST(fuse_chain_that_is_no_request_needs_a_reset)
{
	struct fuse_in_header h = { .opcode = FUSE_GETATTR, .nodeid = 1 };
	static const u32 bad[][2] = { { HDR - 1, 64 }, { HDR, 0 },
				      { HDR, REPLY - 1 }, { 1, 64 } };
	struct rig r;

	setup(&r, false);
	h.len = HDR;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		bring_up(&r);
		EXPECT(session(&r) > 0);
		gmem_write(&r.m.g, IN, &h, sizeof(h));
		exchange(&r, bad[i][0], bad[i][1]);
		EXPECT(driver_needs_reset(r.dev));
	}
	bring_up(&r);
	EXPECT(session(&r) > 0);
	teardown(&r);
}

TEST(fuse_lengths_are_checked)
{
	struct fuse_in_header h = { .nodeid = 1 };
	struct fuse_out_header o;
	u8 junk[256];
	struct rig r;

	setup(&r, false);
	EXPECT(session(&r) > 0);
	for (u32 op = 0; op < 60; op++) {
		if (op == FUSE_FORGET || op == FUSE_BATCH_FORGET ||
		    op == FUSE_INTERRUPT)
			continue;
		for (u32 len = 0; len < 200; len += 1 + len / 20) {
			memset(junk, len & 1 ? 0xff : 'x', sizeof(junk));
			gmem_write(&r.m.g, IN + HDR, junk, sizeof(junk));
			h.opcode = op;
			h.unique = op << 8 | len;
			h.len = HDR + len;
			gmem_write(&r.m.g, IN, &h, sizeof(h));
			EXPECT(exchange(&r, HDR + len, REPLY + 64));
			gmem_read(&r.m.g, OUT, &o, sizeof(o));
			EXPECT(o.unique == h.unique && o.len == r.written);
			if (op == FUSE_DESTROY)
				session(&r);
		}
	}
	/* A length that is not the chain's; but for that it is a request. */
	h.opcode = FUSE_LOOKUP;
	gmem_write(&r.m.g, IN + HDR, "name", 5);
	for (u32 len = 0; len < 3; len++) {
		h.len = len ? len == 1 ? HDR - 1 : HDR + 100 : 0;
		gmem_write(&r.m.g, IN, &h, sizeof(h));
		EXPECT(exchange(&r, HDR + 10, REPLY + 128));
		gmem_read(&r.m.g, OUT, &o, sizeof(o));
		EXPECT(o.error == -EINVAL);
	}
	EXPECT(CALL(&r, FUSE_LOOKUP, 1, { "no end", 6 }) == -EINVAL);
	EXPECT(CALL(&r, FUSE_LOOKUP, 1, S("..")) == -EINVAL);
	EXPECT(CALL(&r, FUSE_LOOKUP, 1, S("a/b")) == -EINVAL);
	/* More than any request has */
	h.opcode = FUSE_GETATTR;
	h.len = HDR + FS_IN_MAX + 1;
	gmem_write(&r.m.g, VR_HALF, &h, sizeof(h));
	EXPECT(rig_ask(&r, 1, VR_HALF, h.len, OUT, REPLY + 128));
	gmem_read(&r.m.g, OUT, &o, sizeof(o));
	EXPECT(o.error == -EINVAL);
	/* Room for less than the answer */
	EXPECT(call_on(&r, FUSE_GETATTR, 1, (const struct arg[4]) { { 0 } },
		       10) == -EIO);
	teardown(&r);
}

TEST(fuse_readonly_share_is_readonly)
{
	struct fuse_create_in c = { .flags = O_RDWR, .mode = 0644 };
	struct fuse_open_in op = { .flags = O_RDWR };
	struct fuse_mkdir_in mk = { .mode = 0755 };
	struct rig r;
	u64 node;

	setup(&r, true);
	close(open("f", O_CREAT | O_WRONLY, 0644));
	EXPECT(session(&r) > 0);
	node = look(&r, 1, "f");
	EXPECT(CALL(&r, FUSE_CREATE, 1, A(c), S("g")) == -EROFS);
	EXPECT(CALL(&r, FUSE_MKDIR, 1, A(mk), S("d")) == -EROFS);
	EXPECT(CALL(&r, FUSE_OPEN, node, A(op)) == -EROFS);
	EXPECT(CALL(&r, FUSE_UNLINK, 1, S("f")) == -EROFS);
	op.flags = O_RDONLY;
	EXPECT(CALL(&r, FUSE_OPEN, node, A(op)) > 0);
	EXPECT(CALL(&r, FUSE_SYNCFS, 1, { NULL, 0 }) == 0);
	teardown(&r);
}

/* Numbers and open files outlive the process; a reset forgets them. */
TEST(fuse_session_is_saved_and_restored)
{
	struct fuse_write_in w = { .size = 3 };
	struct fuse_read_in rd = { .size = 10 };
	struct state_out out = { 0 };
	struct state_in in;
	struct rig r;
	char *tag;
	u64 node;

	node = setup_file(t, &r, &w);
	EXPECT(CALL(&r, FUSE_WRITE, node, A(w), { "abc", 3 }) > 0);
	EXPECT(!virtio_device_pause(r.dev));
	virtio_device_save(r.dev, &out);
	virtio_device_free(r.dev);
	setup_device(&r, false);
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(!virtio_device_restore(r.dev, &in));
	EXPECT(!virtio_device_resume(r.dev));
	rd.fh = w.fh;
	EXPECT(CALL(&r, FUSE_READ, node, A(rd)) == 3);
	EXPECT(CALL(&r, FUSE_WRITE, node, A(w), { "abc", 3 }) > 0);
	bring_up(&r);
	EXPECT(shared->nodes.used == 1 && !shared->files.used);
	EXPECT(CALL(&r, FUSE_READ, node, A(rd)) == -EIO);
	EXPECT(session(&r) > 0);
	EXPECT(CALL(&r, FUSE_READ, node, A(rd)) == -EBADF);
	/* So does another session, and the end of one. */
	node = look(&r, 1, "f");
	EXPECT(node && session(&r) > 0 && shared->nodes.used == 1);
	node = look(&r, 1, "f");
	EXPECT(node && !CALL(&r, FUSE_DESTROY, 0, { NULL, 0 }) && shared->nodes.used == 1);
	/* What is no state, or another share's, leaves nothing. */
	EXPECT(!virtio_device_pause(r.dev));
	in = (struct state_in){ .buf = out.buf, .len = out.len - 1 };
	EXPECT(virtio_device_restore(r.dev, &in) && shared->nodes.used == 1);
	tag = memmem(out.buf, out.len, "the-tag", 7);
	EXPECT(tag);
	if (tag)
		tag[6]++;
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(virtio_device_restore(r.dev, &in) == -EPROTO && shared->nodes.used == 1);
	state_out_free(&out);
	teardown(&r);
}

#define MANY 8

/* Requests on both queues at once, and a pause, a reset in the middle. */
TEST(fuse_requests_survive_pause_and_reset)
{
	struct fuse_in_header h = {
		.len = HDR, .opcode = FUSE_GETATTR, .nodeid = 1,
	};
	struct rig r;

	setup(&r, false);
	for (int round = 0; round < 60; round++) {
		EXPECT(session(&r) > 0);
		gmem_write(&r.m.g, IN, &h, sizeof(h));
		for (u16 i = 0; i < MANY; i++) {
			for (unsigned int q = 1; q < 3; q++) {
				VR_PUT(&r.m, vr_desc(q), 2 * i, IN, HDR, NEXT,
				       2 * i + 1);
				VR_PUT(&r.m, vr_desc(q), 2 * i + 1,
				       OUT + 256 * (i + 8 * q), 200, WRITE, 0);
				vr_publish(&r.m, q, 2 * i);
			}
		}
		virtio_notify(r.dev, 1);
		virtio_notify(r.dev, 2);
		if (round % 3 == 0)
			EXPECT(!virtio_device_pause(r.dev) &&
			       !virtio_device_resume(r.dev));
		if (round % 3 == 1) {
			bring_up(&r);
			continue;
		}
		EXPECT(driver_wait_used(&r.m, 2, MANY));
		EXPECT(driver_wait_used(&r.m, 1, r.used + MANY));
		bring_up(&r);
	}
	teardown(&r);
}

TEST_MAIN(T(fuse_session_is_negotiated),
	  T(fuse_creates_only_what_is_not_there),
	  T(fuse_direct_appends_go_where_the_guest_says),
	  T(fuse_pages_are_written_whole_or_fail),
	  T(fuse_operations_do_what_they_say),
	  T(fuse_files_belong_to_who_asks),
	  T(fuse_changes_take_privileges_off_if_asked_to),
	  T(fuse_tag_has_a_length),
	  T(fuse_directories_are_listed_in_parts),
	  T(fuse_lists_are_kept_as_long_as_attributes),
	  T(fuse_listing_has_attributes_of_what_is_listed),
	  T(fuse_listing_all_files_does_not_remember_all),
	  T(fuse_forget_has_no_answer),
	  T(fuse_forget_that_is_too_short_forgets_nothing),
	  T(fuse_chain_that_is_no_request_needs_a_reset),
	  T(fuse_lengths_are_checked),
	  T(fuse_readonly_share_is_readonly),
	  T(fuse_session_is_saved_and_restored),
	  T(fuse_requests_survive_pause_and_reset))
