/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_UNIT_DIR_H
#define TESTS_UNIT_DIR_H

#include <ftw.h>
#include <stdio.h>

static inline int dir_remove_one(const char *path, const struct stat *st, int type,
				 struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/** dir_remove() - and all that is in it; 0, or -1 with errno */
static inline int dir_remove(const char *dir)
{
	return nftw(dir, dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
