// SPDX-License-Identifier: GPL-2.0-only
/* Whole files, and paths that are made. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/file.h"
#include "test.h"

TEST(file_is_read_to_its_end_and_no_further_than_allowed)
{
	const size_t size = 0x30001;
	int fd = memfd_create("file", MFD_CLOEXEC);
	char *all = calloc(1, size), *d;
	size_t len = 1;

	memset(all, 'x', size);
	d = file_read_all(fd, 0, &len);
	EXPECT(d && !len && !d[0]);
	free(d);
	EXPECT(!file_write_all(fd, all, size));
	for (size_t max = size - 1; max <= size + 1; max++) {
		lseek(fd, 0, SEEK_SET);
		errno = 0;
		d = file_read_all(fd, max, &len);
		EXPECT(max < size ? !d && errno == EFBIG : d && len == size);
		EXPECT(!d || (!memcmp(d, all, size) && !d[size]));
		free(d);
	}
	EXPECT(!file_read_all(-1, size, &len) && errno == EBADF);
	free(all);
	close(fd);
}

TEST(file_that_cannot_be_written_says_why)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	EXPECT(file_write_all(fd, "x", 1) == -ENOSPC && !file_write_all(fd, "x", 0));
	close(fd);
}

TEST(path_make_makes_what_is_missing)
{
	char dir[] = "/tmp/lkvm-unit-XXXXXX", path[64];
	struct stat st;

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a/b", dir);
	EXPECT(!path_make(path, 0700) && !path_make(path, 0755));
	EXPECT(!stat(path, &st) && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700);
	EXPECT(path_make("/dev/null/x", 0700) == -ENOTDIR);
	EXPECT(path_make("", 0700) == -ENOENT);
	EXPECT(!rmdir(path));
	*strrchr(path, '/') = 0;
	EXPECT(!rmdir(path) && !rmdir(dir));
}

TEST_MAIN(T(file_is_read_to_its_end_and_no_further_than_allowed),
	  T(file_that_cannot_be_written_says_why), T(path_make_makes_what_is_missing))
