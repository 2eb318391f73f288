// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trees of files as streams, for lkvm cp.
 *
 * Theory of operation: a stream is a sequence of heads, each with the name of
 * what it is about: a file, whose bytes follow in pieces, a link, whose target
 * is one piece, a directory, which what follows is in until TREE_UP, and the
 * end. A file that cannot be read to its end is cut, and then not made. Numbers
 * are little-endian.
 *
 * Files are made under a name that nobody uses and renamed when they are whole.
 * Everything is done relative to the descriptor of the directory it is in, and
 * no link is followed but that which the user named, so that a stream cannot
 * lead out of where it is to go, whatever names and links are in it. What cannot
 * be made is complained of and passed over.
 *
 * This is part of lkvm and of its init in the guest, which has no libc: system
 * calls are made by number, and each returns -errno. One thread.
 */
#if __STDC_HOSTED__
#include <errno.h>
#include <string.h>
#include <unistd.h>
#endif
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/stat.h>
#include <linux/unistd.h>

#include "kvm/dirent.h"
#include "kvm/tree.h"

#if __STDC_HOSTED__
static long call(long nr, long a, long b, long c, long d, long e)
{
	long ret = syscall(nr, a, b, c, d, e);

	return ret < 0 ? -errno : ret;
}
#else
#include "init.h"
#include "sys.h"

static long call(long nr, long a, long b, long c, long d, long e)
{
	return SYS(nr, a, b, c, d, e);
}
#endif

#define CALL4(nr, a, b, c, d) call(nr, (long)(a), (long)(b), (long)(c), \
				   (long)(d), 0)
#define CALL(nr, a, b, c) CALL4(nr, a, b, c, 0)

#define TYPE_MASK 0170000
#define TYPE_FILE 0100000
#define TYPE_DIR 0040000
#define TYPE_LINK 0120000
/* In place of a piece's length: the rest of the file cannot be read. */
#define PIECE_CUT 0xffffffffU
#define TRIES 100

enum { TREE_FILE = 1, TREE_DIR, TREE_LINK, TREE_UP, TREE_END };

struct tree_head {
	u8 type;
	u8 name_len;
	__le16 mode;
};

/**
 * struct level - a directory that is being filled
 * @fd: -1: what is in it is passed over; @made: by us, it has yet to get @mode
 */
struct level {
	int fd;
	bool made;
	u16 mode;
	size_t path_len;
};

static void complain(struct tree *t, long err)
{
	t->failed = true;
	t->complain(t->opaque, t->path, -err);
}

/* Return: the length that path_leave() wants */
static size_t path_enter(struct tree *t, const char *name)
{
	size_t was = strlen(t->path), n = was, len = strlen(name);

	if (n && t->path[n - 1] != '/' && n + 1 < sizeof(t->path))
		t->path[n++] = '/';
	len = MIN(len, sizeof(t->path) - 1 - n);
	memcpy(t->path + n, name, len);
	t->path[n + len] = 0;
	return was;
}

static void path_leave(struct tree *t, size_t was)
{
	t->path[was] = 0;
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* @flags: 0 to follow a link. Return: the mode, or -errno */
static long mode_of(int dir, const char *name, int flags)
{
	struct statx st;
	long err = call(__NR_statx, dir, (long)name, flags,
			STATX_TYPE | STATX_MODE, (long)&st);

	return err ? err : st.stx_mode;
}

static long write_all(int fd, const u8 *d, size_t len)
{
	while (len) {
		long n = CALL(__NR_write, fd, d, len);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n ? n : -EIO;
		d += n;
		len -= n;
	}
	return 0;
}

/* Sending */

static void flush(struct tree *t)
{
	if (!t->broken)
		t->broken = write_all(t->fd, t->buf, t->len);
	t->len = 0;
}

static void put(struct tree *t, const void *d, size_t len)
{
	if (len > sizeof(t->buf) - t->len)
		flush(t);
	memcpy(t->buf + t->len, d, len);
	t->len += len;
}

static void put_head(struct tree *t, u8 type, u32 mode, const char *name)
{
	struct tree_head h = {
		.type = type,
		.name_len = strlen(name),
		.mode = htole16(mode & 0777),
	};

	put(t, &h, sizeof(h));
	put(t, name, h.name_len);
}

static void put_length(struct tree *t, u32 len)
{
	__le32 v = htole32(len);

	put(t, &v, sizeof(v));
}

static void send_pieces(struct tree *t, int fd)
{
	long n;

	do {
		__le32 v;

		if (sizeof(t->buf) - t->len < sizeof(t->buf) / 4)
			flush(t);
		n = CALL(__NR_read, fd, t->buf + t->len + sizeof(v),
			 sizeof(t->buf) - t->len - sizeof(v));
		if (n < 0)
			complain(t, n);
		v = htole32(n < 0 ? PIECE_CUT : (u32)n);
		memcpy(t->buf + t->len, &v, sizeof(v));
		t->len += sizeof(v) + (n > 0 ? n : 0);
	} while (n > 0 && !t->broken);
}

static void send_link(struct tree *t, int dir, const char *name)
{
	char target[PATH_MAX];
	long n = CALL4(__NR_readlinkat, dir, name, target, sizeof(target));

	if (n < 0) {
		complain(t, n);
		return;
	}
	put_head(t, TREE_LINK, 0, name);
	put_length(t, n);
	put(t, target, n);
}

static void send_entry(struct tree *t, int dir, const char *name, int depth);

static void send_inside(struct tree *t, int fd, int depth)
{
	char list[2048] __aligned(8);
	long n;

	while ((n = CALL(__NR_getdents64, fd, list, sizeof(list))) > 0) {
		for (long at = 0; at < n && !t->broken;) {
			const struct linux_dirent64 *d = (void *)(list + at);

			at += d->d_reclen;
			if (!is_dots(d->d_name))
				send_entry(t, fd, d->d_name, depth + 1);
		}
	}
	if (n < 0)
		complain(t, n);
}

/* @file: how to open it, where it is from @dir; @name: what it is there */
static void send_opened(struct tree *t, int dir, const char *file, u32 mode,
			const char *name, int depth)
{
	bool is_dir = (mode & TYPE_MASK) == TYPE_DIR;
	int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	long fd;

	if (is_dir)
		flags |= O_DIRECTORY;
	if (depth)
		flags |= O_NOFOLLOW;
	fd = CALL4(__NR_openat, dir, file, flags, 0);
	if (fd < 0) {
		complain(t, fd);
		return;
	}
	put_head(t, is_dir ? TREE_DIR : TREE_FILE, mode, name);
	if (is_dir) {
		send_inside(t, fd, depth);
		put_head(t, TREE_UP, 0, "");
	} else {
		send_pieces(t, fd);
	}
	CALL(__NR_close, fd, 0, 0);
}

static void send_entry(struct tree *t, int dir, const char *name, int depth)
{
	long mode = mode_of(dir, name, AT_SYMLINK_NOFOLLOW);
	size_t was = path_enter(t, name);

	if (mode < 0)
		complain(t, mode);
	else if ((mode & TYPE_MASK) == TYPE_LINK)
		send_link(t, dir, name);
	else if ((mode & TYPE_MASK) != TYPE_FILE &&
		 (mode & TYPE_MASK) != TYPE_DIR)
		complain(t, -ENODEV);
	else if (depth == TREE_DEPTH)
		complain(t, -ENAMETOOLONG);
	else
		send_opened(t, dir, name, mode, name, depth);
	path_leave(t, was);
}

static int outcome(const struct tree *t)
{
	return t->broken ? t->broken : t->failed ? -EIO : 0;
}

/* The last word of @path, empty if that says but which directory it is */
static void name_of(char name[TREE_NAME], const char *path)
{
	size_t end = strlen(path), from;

	while (end && path[end - 1] == '/')
		end--;
	for (from = end; from && path[from - 1] != '/';)
		from--;
	end = MIN(end - from, (size_t)TREE_NAME - 1);
	memcpy(name, path + from, end);
	name[end] = 0;
	if (is_dots(name))
		name[0] = 0;
}

int tree_send(struct tree *t, const char *path)
{
	long mode = mode_of(AT_FDCWD, path, 0);
	char name[TREE_NAME];

	path_enter(t, path);
	name_of(name, path);
	if (mode < 0)
		complain(t, mode);
	else if ((mode & TYPE_MASK) != TYPE_FILE &&
		 (mode & TYPE_MASK) != TYPE_DIR)
		complain(t, -ENODEV);
	else
		send_opened(t, AT_FDCWD, path, mode, name, 0);
	put_head(t, TREE_END, 0, "");
	flush(t);
	return outcome(t);
}

/* Receiving */

/* Return: how many bytes are at @t->buf + @t->pos; 0 when the stream is broken */
static size_t fill(struct tree *t)
{
	long n;

	if (t->pos < t->len)
		return t->len - t->pos;
	t->pos = 0;
	t->len = 0;
	if (t->broken)
		return 0;
	do {
		n = CALL(__NR_read, t->fd, t->buf, sizeof(t->buf));
	} while (n == -EINTR);
	if (n <= 0)
		t->broken = n ? n : -EPIPE;
	else
		t->len = n;
	return t->len;
}

/* Zeroes when the stream is broken */
static void get(struct tree *t, void *to, size_t len)
{
	u8 *d = to;

	memset(d, 0, len);
	while (len) {
		size_t n = MIN(fill(t), len);

		if (!n)
			return;
		memcpy(d, t->buf + t->pos, n);
		t->pos += n;
		d += n;
		len -= n;
	}
}

static u32 get_length(struct tree *t)
{
	__le32 v;

	get(t, &v, sizeof(v));
	return le32toh(v);
}

static bool name_is_sound(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!name[i] || name[i] == '/')
			return false;
	return !is_dots(name);
}

/* A name may be missing in the first, as that of a directory. */
static void get_head(struct tree *t, struct tree_head *h, char name[TREE_NAME])
{
	get(t, h, sizeof(*h));
	get(t, name, h->name_len);
	name[h->name_len] = 0;
	if (!t->broken && (h->type < TREE_FILE || h->type > TREE_END ||
			   !name_is_sound(name, h->name_len)))
		t->broken = -EPROTO;
}

/* ".lkvm-cp-PID-TRY" */
static void name_unused(char name[64], unsigned int try)
{
	static const char prefix[] = ".lkvm-cp-";
	u64 v = (u64)call(__NR_getpid, 0, 0, 0, 0, 0) * TRIES + try;
	size_t n = sizeof(prefix) - 1;

	memcpy(name, prefix, n);
	for (; v; v /= 16)
		name[n++] = "0123456789abcdef"[v % 16];
	name[n] = 0;
}

/* What is there and is no file stays, a device for one. */
static long replace(int dir, const char *from, const char *name)
{
	long mode = mode_of(dir, name, 0);
	long err = mode >= 0 && (mode & TYPE_MASK) != TYPE_FILE ? -EEXIST : 0;

	if (!err)
		err = CALL4(__NR_renameat2, dir, from, dir, name);
	if (err)
		CALL(__NR_unlinkat, dir, from, 0);
	return err;
}

/* Return: a descriptor of a new file called @name, or -errno */
static long file_make(int dir, char name[64])
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
	long fd = -EEXIST;

	for (unsigned int i = 0; i < TRIES && fd == -EEXIST; i++) {
		name_unused(name, i);
		fd = CALL4(__NR_openat, dir, name, flags, 0600);
	}
	return fd;
}

/* To @fd, -1 for nowhere. Return: 0; -errno of the file; 1 if it was cut */
static long get_pieces(struct tree *t, int fd)
{
	long err = 0;
	u32 len;

	while ((len = get_length(t))) {
		if (len == PIECE_CUT)
			return 1;
		while (len) {
			size_t n = MIN(fill(t), (size_t)len);

			if (!n)
				return 1;
			if (fd >= 0 && !err)
				err = write_all(fd, t->buf + t->pos, n);
			t->pos += n;
			len -= n;
		}
	}
	return t->broken ? 1 : err;
}

static void receive_file(struct tree *t, int dir, const char *name, u32 mode)
{
	char own[64];
	long fd = dir < 0 ? -1 : file_make(dir, own);
	long err = get_pieces(t, fd);

	if (dir < 0)
		return;
	if (fd < 0) {
		complain(t, fd);
		return;
	}
	if (!err)
		err = CALL(__NR_fchmod, fd, mode & 0777 & ~t->mask, 0);
	CALL(__NR_close, fd, 0, 0);
	if (!err)
		err = replace(dir, own, name);
	else
		CALL(__NR_unlinkat, dir, own, 0);
	if (err < 0)
		complain(t, err);
	else if (err)
		t->failed = true;
}

static void receive_link(struct tree *t, int dir, const char *name)
{
	char target[PATH_MAX], own[64];
	u32 len = get_length(t);
	long err = -EEXIST;

	if (len >= sizeof(target)) {
		t->broken = -EPROTO;
		return;
	}
	get(t, target, len);
	target[len] = 0;
	if (dir < 0 || t->broken)
		return;
	for (unsigned int i = 0; i < TRIES && err == -EEXIST; i++) {
		name_unused(own, i);
		err = CALL(__NR_symlinkat, target, dir, own);
	}
	if (!err)
		err = replace(dir, own, name);
	if (err)
		complain(t, err);
}

/* A directory is entered: @l has @mode, and gets the rest */
static void level_open(struct tree *t, struct level *l, int dir,
		       const char *name)
{
	long err = -1;

	l->fd = -1;
	l->made = false;
	if (dir < 0)
		return;
	if (*name)
		err = CALL(__NR_mkdirat, dir, name, 0700);
	l->made = !err;
	err = CALL4(__NR_openat, dir, *name ? name : ".",
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (err < 0)
		complain(t, err);
	else
		l->fd = err;
}

static void level_close(struct level *l)
{
	if (l->fd < 0)
		return;
	if (l->made)
		CALL(__NR_fchmod, l->fd, l->mode, 0);
	CALL(__NR_close, l->fd, 0, 0);
}

/*
 * @h, @name: the first head, of what goes to @dir; all else is in that. It alone
 * may have no name, if it is a directory.
 */
static void receive_all(struct tree *t, int dir, struct tree_head *h,
			char name[TREE_NAME])
{
	struct level level[TREE_DEPTH + 1];
	unsigned int depth = 0;
	bool first = true;

	level[0] = (struct level){ .fd = dir };
	for (; !t->broken && h->type != TREE_END; get_head(t, h, name)) {
		struct level *l = &level[depth];
		bool named = *name || h->type == TREE_UP ||
			     (first && h->type == TREE_DIR);
		size_t was = path_enter(t, name);

		/* A link that is sent alone has been followed. */
		if (!named || (!first && !depth) ||
		    (first && h->type == TREE_LINK)) {
			t->broken = -EPROTO;
		} else if (h->type == TREE_FILE) {
			receive_file(t, l->fd, name, le16toh(h->mode));
		} else if (h->type == TREE_LINK) {
			receive_link(t, l->fd, name);
		} else if (h->type == TREE_DIR && depth < TREE_DEPTH) {
			l[1].mode = le16toh(h->mode) & 0777 & ~t->mask;
			l[1].path_len = was;
			level_open(t, &l[1], l->fd, name);
			depth++;
			first = false;
			continue;
		} else if (h->type == TREE_UP && depth) {
			level_close(l);
			was = l->path_len;
			depth--;
		} else {
			t->broken = -EPROTO;
		}
		path_leave(t, was);
		first = false;
	}
	while (depth)
		level_close(&level[depth--]);
}

/*
 * Where it goes: into the directory @path, or by the name that @path ends with;
 * then that is in @name. Return: a descriptor of that directory, or -errno
 */
static long place_open(struct tree *t, const char *path, char name[TREE_NAME])
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	size_t n = strlen(path);
	long fd = CALL4(__NR_openat, AT_FDCWD, path, flags, 0);

	if (fd >= 0) {
		path_enter(t, path);
		return fd;
	}
	if ((fd != -ENOENT && fd != -ENOTDIR) || !n || path[n - 1] == '/' ||
	    n >= sizeof(t->path))
		return fd;
	name_of(name, path);
	while (n && path[n - 1] != '/')
		n--;
	memcpy(t->path, path, n);
	t->path[n] = 0;
	return CALL4(__NR_openat, AT_FDCWD, n ? t->path : ".", flags, 0);
}

int tree_receive(struct tree *t, const char *path, const char *from)
{
	char name[TREE_NAME];
	struct tree_head h;
	long dir;

	get_head(t, &h, name);
	if (t->broken)
		return t->broken;
	if (from)
		name_of(name, from);
	/* Who sends has said why. */
	if (h.type == TREE_END)
		return -EIO;
	dir = place_open(t, path, name);
	if (dir < 0) {
		path_leave(t, 0);
		path_enter(t, path);
		complain(t, dir);
		return dir;
	}
	receive_all(t, dir, &h, name);
	CALL(__NR_close, dir, 0, 0);
	return outcome(t);
}
