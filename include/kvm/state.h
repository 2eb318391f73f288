/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Saved state is a byte stream of fixed-width little-endian values. A section
 * starts with a version that its reader checks. Errors are sticky: a sequence
 * of puts or gets is checked once, at its end.
 */
#ifndef KVM__STATE_H
#define KVM__STATE_H

#include "kvm/types.h"

/**
 * struct state_out - a growing buffer; zero-initialise, state_out_free()
 * @fixed: or a caller's own, of @capacity bytes: what does not fit in sets @err to -ENOSPC
 */
struct state_out {
	u8 *buf;
	size_t len;
	size_t capacity;
	int err;
	bool fixed;
};

/**
 * struct state_in - a reader over bytes it does not own
 * @fresh: they are of the VM's start, for a guest that starts over: what is the host's
 *	stays as it is
 */
struct state_in {
	const u8 *buf;
	size_t len;
	size_t pos;
	int err;
	bool fresh;
};

/**
 * state_put() - append @len bytes, as they are
 *
 * After an error nothing is appended; @s->err is -ENOMEM then, and stays so.
 */
void state_put(struct state_out *s, const void *p, size_t len);
/** state_put_u8() - append a value, here and below as little-endian */
void state_put_u8(struct state_out *s, u8 v);
void state_put_u16(struct state_out *s, u16 v);
void state_put_u32(struct state_out *s, u32 v);
void state_put_u64(struct state_out *s, u64 v);
/** state_out_free() - free the buffer; @s is as zero-initialised, and can be used again */
void state_out_free(struct state_out *s);

/**
 * state_get() - copy the next @len bytes to @p
 *
 * Past the end, or after an error, these are zeroes, and @s->err is -EPROTO.
 */
void state_get(struct state_in *s, void *p, size_t len);
/** state_get_u8() - a value, here and below of little-endian bytes; 0 after an error */
u8 state_get_u8(struct state_in *s);
u16 state_get_u16(struct state_in *s);
u32 state_get_u32(struct state_in *s);
u64 state_get_u64(struct state_in *s);
/** state_get_version() - reads a u32; another than @want sets err -EPROTO */
void state_get_version(struct state_in *s, u32 want);

#endif
