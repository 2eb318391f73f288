// SPDX-License-Identifier: GPL-2.0-only
/*
 * Saved state.
 *
 * Theory of operation: a byte stream of fixed-width little-endian values. The
 * writer grows a buffer, or fills one of a fixed size; the reader never leaves the
 * one it was given; an error sticks and is looked at once. One thread at a time. The
 * bytes that a reader gets are untrusted: what they mean is checked by whoever reads
 * them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/state.h"

static int grow(struct state_out *s, size_t len)
{
	size_t capacity = MAX(s->capacity * 2, s->len + len + 256);
	u8 *buf;

	if (s->fixed)
		return -ENOSPC;
	buf = realloc(s->buf, capacity);
	if (!buf)
		return -ENOMEM;
	s->buf = buf;
	s->capacity = capacity;
	return 0;
}

void state_put(struct state_out *s, const void *p, size_t len)
{
	if (!s->err && len > s->capacity - s->len)
		s->err = grow(s, len);
	if (s->err)
		return;
	if (len)
		memcpy(s->buf + s->len, p, len);
	s->len += len;
}

void state_put_u8(struct state_out *s, u8 v)
{
	state_put(s, &v, sizeof(v));
}

void state_put_u16(struct state_out *s, u16 v)
{
	v = htole16(v);
	state_put(s, &v, sizeof(v));
}

void state_put_u32(struct state_out *s, u32 v)
{
	v = htole32(v);
	state_put(s, &v, sizeof(v));
}

void state_put_u64(struct state_out *s, u64 v)
{
	v = htole64(v);
	state_put(s, &v, sizeof(v));
}

void state_out_free(struct state_out *s)
{
	free(s->buf);
	memset(s, 0, sizeof(*s));
}

void state_get(struct state_in *s, void *p, size_t len)
{
	if (!s->err && len > s->len - s->pos)
		s->err = -EPROTO;
	if (s->err) {
		memset(p, 0, len);
		return;
	}
	memcpy(p, s->buf + s->pos, len);
	s->pos += len;
}

u8 state_get_u8(struct state_in *s)
{
	u8 v;

	state_get(s, &v, sizeof(v));
	return v;
}

u16 state_get_u16(struct state_in *s)
{
	u16 v;

	state_get(s, &v, sizeof(v));
	return le16toh(v);
}

u32 state_get_u32(struct state_in *s)
{
	u32 v;

	state_get(s, &v, sizeof(v));
	return le32toh(v);
}

u64 state_get_u64(struct state_in *s)
{
	u64 v;

	state_get(s, &v, sizeof(v));
	return le64toh(v);
}

void state_get_version(struct state_in *s, u32 want)
{
	if (state_get_u32(s) != want && !s->err)
		s->err = -EPROTO;
}
