// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation: descriptors that may block are read and written to the end,
 * whatever interrupts that or cuts it short. No state, no locks.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/file.h"

#define PART_MAX 8192

char *file_read_all(int fd, size_t max, size_t *len)
{
	size_t capacity = 0x10000, n = 0;
	char *d = malloc(capacity), *more;

	while (d) {
		ssize_t got = read(fd, d + n, capacity - 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (!got)
			break;
		n += MAX(got, 0);
		if (got > 0 && n <= max && n < capacity - 1)
			continue;
		/* What cannot be read is not the end. */
		more = NULL;
		if (got > 0 && n > max)
			errno = EFBIG;
		else if (got > 0)
			more = realloc(d, capacity * 2);
		if (!more) {
			free(d);
			return NULL;
		}
		d = more;
		capacity *= 2;
	}
	if (d)
		d[n] = 0;
	*len = n;
	return d;
}

int file_write_all(int fd, const void *d, size_t len)
{
	const u8 *at = d;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		n = MAX(n, 0);
		at += n;
		len -= n;
	}
	return 0;
}

int file_empty(int fd)
{
	return ftruncate(fd, 0) < 0 && errno != EINVAL ? -errno : 0;
}

int path_make(const char *path, mode_t mode)
{
	char part[PART_MAX];

	for (const char *at = path; at; ) {
		at = *at ? strchr(at + 1, '/') : NULL;
		snprintf(part, sizeof(part), "%.*s", at ? (int)(at - path) : PART_MAX - 1, path);
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}
