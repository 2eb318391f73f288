// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Fids of a 9P session: numbers that the guest chooses, for a file, an open file
 * or the value of an xattr. A hash finds them. They are small values: who serves
 * a request takes a copy, works with the numbers in it, which mean nothing to
 * the share any more when somebody else clunks the fid meanwhile, and puts the
 * changed copy back only if the fid is still what it was. Values of xattrs stay
 * here and are copied from and to with the lock held.
 *
 * Threads: any. The lock is a leaf, and held for no system call.
 *
 * What a guest can do wrong: there are FIDS_MAX of them, and XATTR_BYTES_MAX
 * bytes of values, at most; more is -ENFILE, -ENOMEM. Numbers that all fall into
 * one chain of the hash slow down nobody but that guest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/limits.h>
#include "kvm/9p-proto.h"
#include "fs/9p-fid.h"

#define FIDS_STATE_VERSION 1
#define FIDS_MAX 0x40000U
#define XATTR_BYTES_MAX 0x1000000U
#define BUCKETS_MIN 256U
/* Bytes of a fid in a saved state */
#define FID_SAVED 32U

static struct p9_fid **bucket_of(const struct p9_fids *t, u32 number)
{
	return &t->bucket[number * 0x9e3779b1U >> 8 & (t->nr_buckets - 1)];
}

/* Where it hangs, or would hang; with the lock held, as all below. */
static struct p9_fid **find(const struct p9_fids *t, u32 number)
{
	struct p9_fid **p = bucket_of(t, number);

	while (*p && (*p)->number != number)
		p = &(*p)->next;
	return p;
}

static void grow(struct p9_fids *t)
{
	struct p9_fid **old = t->bucket, *f, *next;
	u32 nr = t->nr_buckets;
	struct p9_fid **new = calloc(nr * 2, sizeof(struct p9_fid *));

	/* Without memory chains are long, and that is all. */
	if (!new)
		return;
	t->bucket = new;
	t->nr_buckets = nr * 2;
	for (u32 i = 0; i < nr; i++) {
		for (f = old[i]; f; f = next) {
			struct p9_fid **b = bucket_of(t, f->number);

			next = f->next;
			f->next = *b;
			*b = f;
		}
	}
	free(old);
}

static size_t xattr_size(const struct p9_fid *f)
{
	return f->xattr ? sizeof(*f->xattr) + f->xattr->len : 0;
}

static bool xattr_fits(const struct p9_fids *t, const struct p9_fid *f)
{
	return xattr_size(f) <= XATTR_BYTES_MAX - t->xattr_bytes;
}

static int add_locked(struct p9_fids *t, const struct p9_fid *f)
{
	struct p9_fid **p = find(t, f->number), *new;

	if (*p || f->number == P9_NOFID)
		return -EINVAL;
	if (t->nr >= FIDS_MAX)
		return -ENFILE;
	if (!xattr_fits(t, f))
		return -ENOMEM;
	new = malloc(sizeof(*new));
	if (!new)
		return -ENOMEM;
	*new = *f;
	new->next = NULL;
	*p = new;
	t->nr++;
	t->xattr_bytes += xattr_size(f);
	if (t->nr > t->nr_buckets)
		grow(t);
	return 0;
}

int p9_fids_init(struct p9_fids *t)
{
	pthread_mutex_init(&t->lock, NULL);
	t->nr_buckets = BUCKETS_MIN;
	t->bucket = calloc(t->nr_buckets, sizeof(*t->bucket));
	return t->bucket ? 0 : -ENOMEM;
}

void p9_fids_clear(struct p9_fids *t)
{
	struct p9_fid *f, *next;

	pthread_mutex_lock(&t->lock);
	for (u32 i = 0; i < t->nr_buckets; i++) {
		for (f = t->bucket[i]; f; f = next) {
			next = f->next;
			free(f->xattr);
			free(f);
		}
		t->bucket[i] = NULL;
	}
	t->nr = 0;
	t->xattr_bytes = 0;
	pthread_mutex_unlock(&t->lock);
}

void p9_fids_free(struct p9_fids *t)
{
	if (!t->bucket)
		return;
	p9_fids_clear(t);
	free(t->bucket);
	pthread_mutex_destroy(&t->lock);
}

int p9_fid_get(struct p9_fids *t, u32 number, struct p9_fid *f)
{
	const struct p9_fid *found;

	pthread_mutex_lock(&t->lock);
	found = *find(t, number);
	if (found)
		*f = *found;
	pthread_mutex_unlock(&t->lock);
	return found ? 0 : -EBADF;
}

int p9_fid_add(struct p9_fids *t, const struct p9_fid *f)
{
	int err;

	pthread_mutex_lock(&t->lock);
	err = add_locked(t, f);
	pthread_mutex_unlock(&t->lock);
	return err;
}

int p9_fid_replace(struct p9_fids *t, const struct p9_fid *was,
		   const struct p9_fid *now)
{
	struct p9_fid *f, *next;
	int err = 0;

	pthread_mutex_lock(&t->lock);
	f = *find(t, was->number);
	if (!f || f->node != was->node || f->file != was->file ||
	    f->kind != was->kind || f->xattr != was->xattr)
		err = -EBADF;
	else if (now->xattr != was->xattr && !xattr_fits(t, now))
		err = -ENOMEM;
	if (!err) {
		if (now->xattr != was->xattr)
			t->xattr_bytes += xattr_size(now);
		next = f->next;
		*f = *now;
		f->next = next;
	}
	pthread_mutex_unlock(&t->lock);
	return err;
}

int p9_fid_del(struct p9_fids *t, u32 number, struct p9_fid *f)
{
	struct p9_fid **p, *found;

	pthread_mutex_lock(&t->lock);
	p = find(t, number);
	found = *p;
	if (found) {
		*p = found->next;
		*f = *found;
		t->nr--;
		t->xattr_bytes -= xattr_size(f);
		free(found);
	}
	pthread_mutex_unlock(&t->lock);
	return found ? 0 : -EBADF;
}

struct p9_xattr *p9_xattr_new(u32 len)
{
	struct p9_xattr *a = calloc(1, sizeof(*a) + len);

	if (a)
		a->len = len;
	return a;
}

int p9_xattr_read(struct p9_fids *t, u32 number, u64 off, void *d, size_t len)
{
	const struct p9_fid *f;
	int n = -EBADF;

	pthread_mutex_lock(&t->lock);
	f = *find(t, number);
	if (f && f->kind == P9_FID_XATTR_READ) {
		n = 0;
		if (off < f->xattr->len) {
			n = MIN(len, f->xattr->len - off);
			memcpy(d, f->xattr->data + off, n);
		}
	}
	pthread_mutex_unlock(&t->lock);
	return n;
}

int p9_xattr_write(struct p9_fids *t, u32 number, u64 off, const void *d,
		   size_t len)
{
	const struct p9_fid *f;
	struct p9_xattr *a;
	int n = -EBADF;

	pthread_mutex_lock(&t->lock);
	f = *find(t, number);
	if (f && f->kind == P9_FID_XATTR_WRITE) {
		a = f->xattr;
		n = -EINVAL;
		if (off <= a->filled && len <= a->len - off) {
			memcpy(a->data + off, d, len);
			a->filled = MAX(a->filled, off + len);
			n = len;
		}
	}
	pthread_mutex_unlock(&t->lock);
	return n;
}

static void fid_save(const struct p9_fid *f, struct state_out *out)
{
	const struct p9_xattr *a = f->xattr;

	state_put_u32(out, f->number);
	state_put_u32(out, f->uid);
	state_put_u64(out, f->node);
	state_put_u64(out, f->file);
	state_put_u32(out, f->flags);
	state_put_u32(out, f->kind);
	if (!a)
		return;
	state_put_u32(out, a->len);
	state_put_u32(out, a->filled);
	state_put_u32(out, a->flags);
	state_put(out, a->name, sizeof(a->name));
	state_put(out, a->data, a->len);
}

void p9_fids_save(struct p9_fids *t, struct state_out *out)
{
	pthread_mutex_lock(&t->lock);
	state_put_u32(out, FIDS_STATE_VERSION);
	state_put_u32(out, t->nr);
	for (u32 i = 0; i < t->nr_buckets; i++) {
		for (const struct p9_fid *f = t->bucket[i]; f; f = f->next)
			fid_save(f, out);
	}
	pthread_mutex_unlock(&t->lock);
}

static int xattr_restore(struct p9_fid *f, struct state_in *in)
{
	u32 len = state_get_u32(in);
	struct p9_xattr *a;

	if (in->err || len > XATTR_SIZE_MAX)
		return -EPROTO;
	a = p9_xattr_new(len);
	if (!a)
		return -ENOMEM;
	f->xattr = a;
	a->filled = state_get_u32(in);
	a->flags = state_get_u32(in);
	state_get(in, a->name, sizeof(a->name));
	state_get(in, a->data, len);
	if (in->err || a->filled > len || !memchr(a->name, 0, sizeof(a->name)))
		return -EPROTO;
	return 0;
}

static int fid_restore(struct p9_fids *t, struct state_in *in)
{
	struct p9_fid f = { .number = state_get_u32(in) };
	int err = 0;

	f.uid = state_get_u32(in);
	f.node = state_get_u64(in);
	f.file = state_get_u64(in);
	f.flags = state_get_u32(in);
	f.kind = state_get_u32(in);
	if (in->err || f.kind > P9_FID_XATTR_WRITE)
		return -EPROTO;
	if (f.kind != P9_FID_FILE)
		err = xattr_restore(&f, in);
	if (!err)
		err = p9_fid_add(t, &f);
	if (err)
		free(f.xattr);
	return err == -EINVAL ? -EPROTO : err;
}

int p9_fids_restore(struct p9_fids *t, struct state_in *in)
{
	u32 nr;
	int err = 0;

	p9_fids_clear(t);
	state_get_version(in, FIDS_STATE_VERSION);
	nr = state_get_u32(in);
	if (in->err || nr > (in->len - in->pos) / FID_SAVED)
		return -EPROTO;
	while (nr-- && !err)
		err = fid_restore(t, in);
	if (err)
		p9_fids_clear(t);
	return err;
}
