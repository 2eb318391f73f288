// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of saved state.
 *
 * Theory of operation: bytes in memory, nothing else.
 */
#include <errno.h>
#include <string.h>

#include "kvm/state.h"
#include "test.h"

TEST(state_is_little_endian_and_fixed_width)
{
	static const u8 want[] = { 1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11,
				   10, 9, 8, 'x' };
	struct state_out out = { 0 };

	state_put_u8(&out, 1);
	state_put_u16(&out, 0x0203);
	state_put_u32(&out, 0x04050607);
	state_put_u64(&out, 0x08090a0b0c0d0e0fULL);
	state_put(&out, "x", 1);
	state_put(&out, NULL, 0);
	EXPECT(!out.err && out.len == sizeof(want));
	EXPECT(out.len == sizeof(want) && !memcmp(out.buf, want, out.len));
	state_out_free(&out);
	EXPECT(!out.buf && !out.len);
}

TEST(state_grows_and_reads_back)
{
	struct state_out out = { 0 };
	struct state_in in;
	bool same = true;

	for (u32 i = 0; i < 10000; i++)
		state_put_u32(&out, i * 7);
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	for (u32 i = 0; i < 10000; i++)
		same = same && state_get_u32(&in) == i * 7;
	EXPECT(same && !in.err && in.pos == in.len);
	state_out_free(&out);
}

TEST(state_keeps_to_a_fixed_buffer)
{
	u8 bytes[6] = { 0, 0, 0, 0, 0, 0xaa };
	struct state_out out = { .buf = bytes, .capacity = 5, .fixed = true };

	state_put_u32(&out, 0x04030201);
	EXPECT(!out.err && out.len == 4);
	state_put_u16(&out, 0xffff);
	EXPECT(out.err == -ENOSPC && out.len == 4 && !bytes[4]);
	/* there is room for one more, but the error stays */
	state_put_u8(&out, 5);
	EXPECT(out.err == -ENOSPC && out.len == 4 && out.buf == bytes);
	EXPECT(!memcmp(bytes, "\1\2\3\4\0\xaa", sizeof(bytes)));
}

TEST(state_past_the_end_is_zero_and_sticks)
{
	static const u8 bytes[] = { 1, 2, 3, 4, 5 };
	struct state_in in = { .buf = bytes, .len = sizeof(bytes) };

	EXPECT(state_get_u32(&in) == 0x04030201 && !in.err);
	EXPECT(state_get_u16(&in) == 0 && in.err == -EPROTO);
	/* there is a byte left, but the error stays */
	EXPECT(state_get_u8(&in) == 0 && in.err == -EPROTO);
}

TEST(state_version_has_to_match)
{
	static const u8 bytes[] = { 2, 0, 0, 0, 2, 0, 0, 0 };
	struct state_in in = { .buf = bytes, .len = sizeof(bytes) };

	state_get_version(&in, 2);
	EXPECT(!in.err);
	state_get_version(&in, 1);
	EXPECT(in.err == -EPROTO);
}

TEST_MAIN(T(state_is_little_endian_and_fixed_width),
	  T(state_grows_and_reads_back),
	  T(state_keeps_to_a_fixed_buffer),
	  T(state_past_the_end_is_zero_and_sticks),
	  T(state_version_has_to_match))
