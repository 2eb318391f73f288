/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__GMEM_H
#define KVM__GMEM_H

#include <sys/uio.h>
#include "kvm/types.h"

#define GMEM_MAX_REGIONS 8
#define GMEM_MAX_FILES 32

/**
 * struct gmem_region - a stretch of guest RAM
 * @gpa: where the guest sees it
 * @size: bytes
 * @hva: where lkvm sees it; not owned
 */
struct gmem_region {
	u64 gpa;
	u64 size;
	u8 *hva;
};

/** struct gmem_file - guest RAM whose pages come from a file, privately */
struct gmem_file {
	u64 gpa;
	u64 size;
};

/**
 * struct gmem - guest RAM, all of it; immutable while vCPUs run
 * @region: sorted by gpa, none overlaps or touches the end of the gpa space
 * @nr: how many
 * @file: stretches that gmem_add_file() was told of, @nr_files of them
 * @huge: the host makes it of pages of 2 MiB where it can
 */
struct gmem {
	struct gmem_region region[GMEM_MAX_REGIONS];
	unsigned int nr;
	struct gmem_file file[GMEM_MAX_FILES];
	unsigned int nr_files;
	bool huge;
};

/**
 * gmem_add() - add a region
 * @hva: @size bytes that outlive @g
 *
 * Return: 0, -EINVAL for empty, overlapping or wrapping, -ENOSPC.
 */
int gmem_add(struct gmem *g, u64 gpa, u64 size, void *hva);

/**
 * gmem_ptr() - the host address of guest memory
 *
 * Return: NULL unless [@gpa, @gpa + @len) lies wholly inside one region. A
 * zero @len needs @gpa inside a region.
 */
void *gmem_ptr(const struct gmem *g, u64 gpa, size_t len);

/**
 * gmem_read() - copy out of guest memory; may cross adjacent regions
 *
 * Return: 0, or -EFAULT with @dst undefined.
 */
int gmem_read(const struct gmem *g, u64 gpa, void *dst, size_t len);

/**
 * gmem_write() - copy into guest memory; may cross adjacent regions
 *
 * Return: 0, or -EFAULT with nothing written.
 */
int gmem_write(const struct gmem *g, u64 gpa, const void *src, size_t len);

/**
 * gmem_iov() - describe guest memory as host pieces
 * @iov: filled with at most @max pieces
 *
 * Return: how many (0 for zero @len), -EFAULT, or -ENOSPC.
 */
int gmem_iov(const struct gmem *g, u64 gpa, size_t len, struct iovec *iov,
	     int max);

/**
 * gmem_add_file() - [@gpa, @gpa + @size) is a private mapping of a file
 *
 * Return: 0, -EFAULT when it is not RAM, -ENOSPC.
 */
int gmem_add_file(struct gmem *g, u64 gpa, u64 size);

/**
 * gmem_discard() - give whole pages of RAM back to the host
 * @gpa: where they begin
 * @len: bytes; only pages that are wholly inside are given back
 * @zero: the guest counts on reading zeroes: pages of files, which would show
 *	the file again, stay as they are
 *
 * The address stays usable: a page comes back when it is touched, with zeroes,
 * or with what the file has.
 * Return: bytes given back; -EFAULT, with nothing done, when not all is RAM.
 * Context: any thread.
 */
s64 gmem_discard(const struct gmem *g, u64 gpa, u64 len, bool zero);

/**
 * gmem_set_huge() - whether the host makes RAM of huge pages, from now on
 *
 * If so it also makes them later of small ones, a page of zeroes for each that is
 * missing: what was given back comes back by itself.
 * Context: any thread.
 */
void gmem_set_huge(const struct gmem *g, bool huge);

/**
 * gmem_gpa() - the guest's address of a host address inside of RAM
 *
 * Return: ~0 when it is not.
 */
u64 gmem_gpa(const struct gmem *g, const void *hva);

#endif
