/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_UNIT_DIR_H
#define TESTS_UNIT_DIR_H

#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/fs.h>

static inline int dir_remove_one(const char *path, const struct stat *st, int type,
				 struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/** dir_temp() - a new one; whoever cannot have it is at its end */
static inline void dir_temp(char *path, size_t len)
{
	snprintf(path, len, "/tmp/lkvm-test-XXXXXX");
	if (!mkdtemp(path)) {
		perror(path);
		exit(1);
	}
}

/** dir_remove() - and all that is in it; 0, or -1 with errno */
static inline int dir_remove(const char *dir)
{
	return nftw(dir, dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/** file_put() - @text is all that is in it */
static inline void file_put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("# cannot write %s\n", name);
	close(fd);
}

/** file_append_only() - nothing else can be done with it, or all can; 0, or -1 */
static inline int file_append_only(const char *name, bool on)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC), flags = 0;
	int err = ioctl(fd, FS_IOC_GETFLAGS, &flags);

	flags = on ? flags | FS_APPEND_FL : flags & ~FS_APPEND_FL;
	if (!err)
		err = ioctl(fd, FS_IOC_SETFLAGS, &flags);
	close(fd);
	return err;
}

/** file_has() - whether @text, of less than 64 bytes, is all that is in it */
static inline bool file_has(const char *name, const char *text)
{
	char buf[64] = "";
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) && !strcmp(buf, text);
}

#endif
