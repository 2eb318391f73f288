// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of guest memory.
 *
 * Theory of operation: two regions that touch, at 0x1000, and one far away at
 * the very end of the address space, each of exactly as many bytes as it says:
 * the sanitizer notices one more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/gmem.h"
#include "test.h"

#define A 0x1000ULL
#define B 0x3000ULL
#define SIZE 0x2000ULL
#define LAST (UINT64_MAX - SIZE)

struct ram {
	struct gmem g;
	u8 *mem[3];
};

static void ram_init(struct ram *r)
{
	static const u64 at[] = { B, LAST, A };

	memset(r, 0, sizeof(*r));
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		r->mem[i] = calloc(1, SIZE);
		if (gmem_add(&r->g, at[i], SIZE, r->mem[i]))
			abort();
	}
}

static void ram_free(struct ram *r)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(r->mem); i++)
		free(r->mem[i]);
}

TEST(gmem_add_refuses_empty_overlapping_and_wrapping)
{
	struct ram r;
	u8 page[1];

	ram_init(&r);
	EXPECT(gmem_add(&r.g, 0x8000, 0, page) == -EINVAL);
	EXPECT(gmem_add(&r.g, A + SIZE - 1, 1, page) == -EINVAL);
	EXPECT(gmem_add(&r.g, A - 1, 2, page) == -EINVAL);
	EXPECT(gmem_add(&r.g, 0, 0x10000, page) == -EINVAL);
	EXPECT(gmem_add(&r.g, UINT64_MAX, 2, page) == -EINVAL);
	EXPECT(gmem_add(&r.g, LAST - 1, 2, page) == -EINVAL);
	EXPECT(r.g.nr == 3);
	for (unsigned int i = 3; i < GMEM_MAX_REGIONS; i++)
		EXPECT(gmem_add(&r.g, 0x100000 * i, 1, page) == 0);
	EXPECT(gmem_add(&r.g, 0x10000000, 1, page) == -ENOSPC);
	ram_free(&r);
}

TEST(gmem_ptr_gives_only_what_lies_in_one_region)
{
	struct ram r;

	ram_init(&r);
	EXPECT(gmem_ptr(&r.g, A, SIZE) == r.mem[2]);
	EXPECT(gmem_ptr(&r.g, A, 0) == r.mem[2]);
	EXPECT(gmem_ptr(&r.g, A + SIZE - 1, 1) == r.mem[2] + SIZE - 1);
	EXPECT(!gmem_ptr(&r.g, A - 1, 1));
	EXPECT(!gmem_ptr(&r.g, A - 1, 0));
	EXPECT(!gmem_ptr(&r.g, A + SIZE - 1, 2));
	EXPECT(!gmem_ptr(&r.g, A, SIZE + 1));
	EXPECT(!gmem_ptr(&r.g, A, SIZE_MAX));
	EXPECT(!gmem_ptr(&r.g, B + SIZE, 1));
	EXPECT(gmem_ptr(&r.g, LAST + SIZE - 1, 1) == r.mem[1] + SIZE - 1);
	EXPECT(!gmem_ptr(&r.g, LAST + SIZE - 1, 2));
	EXPECT(!gmem_ptr(&r.g, UINT64_MAX, 1));
	ram_free(&r);
}

TEST(gmem_copies_cross_regions_and_stop_at_their_end)
{
	u8 out[4] = { 1, 2, 3, 4 }, in[4] = { 0 };
	struct ram r;

	ram_init(&r);
	EXPECT(gmem_write(&r.g, B - 2, out, 4) == 0);
	EXPECT(r.mem[2][SIZE - 2] == 1 && r.mem[2][SIZE - 1] == 2);
	EXPECT(r.mem[0][0] == 3 && r.mem[0][1] == 4);
	EXPECT(gmem_read(&r.g, B - 2, in, 4) == 0 && !memcmp(in, out, 4));

	/* one byte too many, and nothing at all is written */
	EXPECT(gmem_write(&r.g, B + SIZE - 3, out, 4) == -EFAULT);
	EXPECT(r.mem[0][SIZE - 3] == 0 && r.mem[0][SIZE - 1] == 0);
	EXPECT(gmem_read(&r.g, B + SIZE - 3, in, 4) == -EFAULT);
	EXPECT(gmem_write(&r.g, B + SIZE - 1, out, 1) == 0);
	EXPECT(r.mem[0][SIZE - 1] == 1);

	EXPECT(gmem_write(&r.g, 0, out, 0) == 0);
	EXPECT(gmem_read(&r.g, UINT64_MAX, in, 0) == 0);
	EXPECT(gmem_read(&r.g, UINT64_MAX, in, 1) == -EFAULT);
	/* behind the last region the address space wraps around */
	EXPECT(gmem_write(&r.g, LAST + SIZE - 1, out, 1) == 0);
	EXPECT(gmem_write(&r.g, LAST + SIZE - 1, out, 3) == -EFAULT);
	ram_free(&r);
}

TEST(gmem_iov_counts_pieces_and_says_when_they_do_not_fit)
{
	struct iovec iov[2];
	struct ram r;

	ram_init(&r);
	EXPECT(gmem_iov(&r.g, A, 0, iov, 2) == 0);
	EXPECT(gmem_iov(&r.g, A, 1, iov, 0) == -ENOSPC);
	EXPECT(gmem_iov(&r.g, A, SIZE, iov, 1) == 1);
	EXPECT(iov[0].iov_base == r.mem[2] && iov[0].iov_len == SIZE);
	EXPECT(gmem_iov(&r.g, A, SIZE + 1, iov, 1) == -ENOSPC);
	EXPECT(gmem_iov(&r.g, A, SIZE + 1, iov, 2) == 2);
	EXPECT(iov[1].iov_base == r.mem[0] && iov[1].iov_len == 1);
	EXPECT(gmem_iov(&r.g, A, 2 * SIZE + 1, iov, 2) == -EFAULT);
	EXPECT(gmem_iov(&r.g, A, SIZE_MAX, iov, 2) == -EFAULT);
	EXPECT(gmem_iov(&r.g, 0, 1, iov, 2) == -EFAULT);
	ram_free(&r);
}

TEST_MAIN(T(gmem_add_refuses_empty_overlapping_and_wrapping),
	  T(gmem_ptr_gives_only_what_lies_in_one_region),
	  T(gmem_copies_cross_regions_and_stop_at_their_end),
	  T(gmem_iov_counts_pieces_and_says_when_they_do_not_fit))
