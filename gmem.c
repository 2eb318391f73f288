// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest RAM.
 *
 * Theory of operation: guest-physical memory is a short sorted list of
 * regions, built before the VM runs and immutable afterwards, so any thread
 * reads it without a lock. Every accessor takes a length and checks all of it
 * against the list before a byte moves. What lies in the memory is the guest's
 * and may change at any time: callers copy out what they decide upon.
 *
 * Memory is given back with MADV_DONTNEED, which fits what RAM is made of:
 * anonymous private pages read as zeroes afterwards, private pages of a kernel
 * or initrd that was mapped show the file once more. The latter is nothing that
 * the guest did not have before, but it is not zeroes: hence the list of files.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm/gmem.h"

#define GMEM_PAGE_SIZE 4096ULL

int gmem_add(struct gmem *g, u64 gpa, u64 size, void *hva)
{
	unsigned int i = g->nr;
	u64 end;

	if (!size || __builtin_add_overflow(gpa, size, &end))
		return -EINVAL;
	if (g->nr == GMEM_MAX_REGIONS)
		return -ENOSPC;
	while (i && g->region[i - 1].gpa > gpa)
		i--;
	if (i && gpa - g->region[i - 1].gpa < g->region[i - 1].size)
		return -EINVAL;
	if (i < g->nr && g->region[i].gpa < end)
		return -EINVAL;
	memmove(&g->region[i + 1], &g->region[i],
		(g->nr - i) * sizeof(g->region[0]));
	g->region[i] = (struct gmem_region){ gpa, size, hva };
	g->nr++;
	return 0;
}

static const struct gmem_region *gmem_find(const struct gmem *g, u64 gpa)
{
	for (unsigned int i = 0; i < g->nr; i++)
		if (gpa >= g->region[i].gpa &&
		    gpa - g->region[i].gpa < g->region[i].size)
			return &g->region[i];
	return NULL;
}

void *gmem_ptr(const struct gmem *g, u64 gpa, size_t len)
{
	const struct gmem_region *r = gmem_find(g, gpa);

	if (!r || len > r->size - (gpa - r->gpa))
		return NULL;
	return r->hva + (gpa - r->gpa);
}

int gmem_iov(const struct gmem *g, u64 gpa, size_t len, struct iovec *iov,
	     int max)
{
	int n = 0;

	while (len) {
		const struct gmem_region *r = gmem_find(g, gpa);
		u64 piece;

		if (!r)
			return -EFAULT;
		if (n == max)
			return -ENOSPC;
		piece = MIN((u64)len, r->size - (gpa - r->gpa));
		iov[n].iov_base = r->hva + (gpa - r->gpa);
		iov[n++].iov_len = piece;
		gpa += piece;
		len -= piece;
	}
	return n;
}

int gmem_read(const struct gmem *g, u64 gpa, void *dst, size_t len)
{
	struct iovec iov[GMEM_MAX_REGIONS];
	u8 *d = dst;
	int n;

	n = gmem_iov(g, gpa, len, iov, GMEM_MAX_REGIONS);
	if (n < 0)
		return -EFAULT;
	for (int i = 0; i < n; i++) {
		memcpy(d, iov[i].iov_base, iov[i].iov_len);
		d += iov[i].iov_len;
	}
	return 0;
}

int gmem_write(const struct gmem *g, u64 gpa, const void *src, size_t len)
{
	struct iovec iov[GMEM_MAX_REGIONS];
	const u8 *s = src;
	int n;

	n = gmem_iov(g, gpa, len, iov, GMEM_MAX_REGIONS);
	if (n < 0)
		return -EFAULT;
	for (int i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, s, iov[i].iov_len);
		s += iov[i].iov_len;
	}
	return 0;
}

int gmem_add_file(struct gmem *g, u64 gpa, u64 size)
{
	if (!size || !gmem_ptr(g, gpa, size))
		return -EFAULT;
	if (g->nr_files == GMEM_MAX_FILES)
		return -ENOSPC;
	g->file[g->nr_files++] = (struct gmem_file){ gpa, size };
	return 0;
}

u64 gmem_gpa(const struct gmem *g, const void *hva)
{
	for (unsigned int i = 0; i < g->nr; i++) {
		const struct gmem_region *r = &g->region[i];
		uintptr_t off = (uintptr_t)hva - (uintptr_t)r->hva;

		if ((uintptr_t)hva >= (uintptr_t)r->hva && off < r->size)
			return r->gpa + off;
	}
	return ~0ULL;
}

/* Whether @gpa is of a file; *@end: up to where the answer is the same. */
static bool gmem_in_file(const struct gmem *g, u64 gpa, u64 *end)
{
	for (unsigned int i = 0; i < g->nr_files; i++) {
		const struct gmem_file *f = &g->file[i];

		if (gpa >= f->gpa && gpa - f->gpa < f->size) {
			*end = MIN(*end, f->gpa + f->size);
			return true;
		}
		if (f->gpa > gpa)
			*end = MIN(*end, f->gpa);
	}
	return false;
}

/* Whole pages of the host inside one region. */
static u64 gmem_discard_pages(u8 *hva, u64 len)
{
	u64 head = -(uintptr_t)hva & (GMEM_PAGE_SIZE - 1);

	if (len <= head)
		return 0;
	len = (len - head) & ~(GMEM_PAGE_SIZE - 1);
	if (!len || madvise(hva + head, len, MADV_DONTNEED) < 0)
		return 0;
	return len;
}

void gmem_set_huge(const struct gmem *g, bool huge)
{
	/* Without huge pages that is an error, and as it should be. */
	for (unsigned int i = 0; i < g->nr; i++)
		madvise(g->region[i].hva, g->region[i].size,
			huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

s64 gmem_discard(const struct gmem *g, u64 gpa, u64 len, bool zero)
{
	struct iovec iov[GMEM_MAX_REGIONS];
	int n = gmem_iov(g, gpa, len, iov, GMEM_MAX_REGIONS);
	s64 done = 0;

	if (n < 0)
		return -EFAULT;
	for (int i = 0; i < n; i++) {
		u64 end = gpa + iov[i].iov_len;
		u8 *hva = iov[i].iov_base;

		while (gpa < end) {
			u64 stop = end;
			bool file = zero && gmem_in_file(g, gpa, &stop);

			if (!file)
				done += gmem_discard_pages(hva, stop - gpa);
			hva += stop - gpa;
			gpa = stop;
		}
	}
	return done;
}
