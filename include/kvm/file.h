/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__FILE_H
#define KVM__FILE_H

#include <sys/types.h>

#include "kvm/types.h"

/**
 * file_read_all() - from where @fd is to the end
 * @max: most bytes
 *
 * Return: *@len bytes and a NUL, to be freed; NULL with errno, EFBIG if there are more.
 */
char *file_read_all(int fd, size_t max, size_t *len);
/** file_write_all() - @fd is one that blocks. Return: 0 or -errno */
int file_write_all(int fd, const void *d, size_t len);
/** file_empty() - what a file had goes; what is no file has nothing. Return: 0 or -errno */
int file_empty(int fd);
/** path_make() - a directory and all above it; those that are there stay. Return: 0 or -errno */
int path_make(const char *path, mode_t mode);

#endif
