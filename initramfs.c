// SPDX-License-Identifier: GPL-2.0-only
/*
 * Archives for the kernel to unpack as its first root.
 *
 * Theory of operation: the format is cpio's "newc", as the kernel's
 * Documentation/driver-api/early-userspace/buffer-format.rst has it: a header of
 * numbers in hexadecimal, the name, the contents, each padded to four bytes.
 * Zeroes between two archives are skipped, so that the padding at the end lets
 * the user's own one begin at a page and be mapped instead of copied. Modification
 * times are zero: the same contents make the same archive.
 *
 * Errors are sticky and are asked for once, at the end. No threads, no state but
 * the caller's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kvm/initramfs.h"

#define HEADER_LEN 110
#define NAME_MAX_LEN 4096
#define TRAILER "TRAILER!!!"

static void put(struct initramfs *a, const void *d, size_t len)
{
	size_t capacity = a->capacity ? a->capacity : 0x10000;
	u8 *data;

	if (a->err)
		return;
	while (capacity - a->len < len)
		capacity *= 2;
	if (capacity != a->capacity) {
		data = realloc(a->data, capacity);
		if (!data) {
			a->err = -ENOMEM;
			return;
		}
		a->data = data;
		a->capacity = capacity;
	}
	if (d)
		memcpy(a->data + a->len, d, len);
	else
		memset(a->data + a->len, 0, len);
	a->len += len;
}

static void pad(struct initramfs *a, size_t align)
{
	if (!a->err)
		put(a, NULL, -a->len & (align - 1));
}

static void entry(struct initramfs *a, const char *path, u32 mode,
		  const void *data, size_t len)
{
	size_t name_len = strlen(path) + 1;
	char header[HEADER_LEN + 1];

	if (len > UINT32_MAX || name_len > NAME_MAX_LEN)
		a->err = a->err ? a->err : -E2BIG;
	/* Magic, inode, mode, owner, group, links, time, size, device, node */
	snprintf(header, sizeof(header),
		 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		 ++a->inode, mode, 0, 0, S_ISDIR(mode) ? 2 : 1, 0, (u32)len, 0,
		 0, 0, 0, (u32)name_len, 0);
	put(a, header, HEADER_LEN);
	put(a, path, name_len);
	pad(a, 4);
	if (len)
		put(a, data, len);
	pad(a, 4);
}

void initramfs_file(struct initramfs *a, const char *path, u16 mode,
		    const void *data, size_t len)
{
	entry(a, path, S_IFREG | mode, data, len);
}

void initramfs_dir(struct initramfs *a, const char *path, u16 mode)
{
	entry(a, path, S_IFDIR | mode, NULL, 0);
}

void initramfs_char(struct initramfs *a, const char *path, u16 mode, u32 major,
		    u32 minor)
{
	size_t at = a->len;
	char number[17];

	entry(a, path, S_IFCHR | mode, NULL, 0);
	snprintf(number, sizeof(number), "%08X%08X", major, minor);
	/* Behind magic and nine other numbers */
	if (!a->err)
		memcpy(a->data + at + 6 + 9 * 8, number, 16);
}

int initramfs_finish(struct initramfs *a)
{
	entry(a, TRAILER, 0, NULL, 0);
	pad(a, INITRAMFS_ALIGN);
	return a->err;
}

void initramfs_free(struct initramfs *a)
{
	free(a->data);
	memset(a, 0, sizeof(*a));
}
