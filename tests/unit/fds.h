/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_UNIT_FDS_H
#define TESTS_UNIT_FDS_H

#include <dirent.h>

/** open_files() - descriptors that this process has, the one that counts as well */
static inline unsigned int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	closedir(d);
	return n;
}

#endif
