// SPDX-License-Identifier: GPL-2.0-only
/* What the guest's init has in place of a libc. */
#include <string.h>

#include "test.h"

/* Those of the libc are what the test is built with. */
#define memcpy init_memcpy
#define memmove init_memmove
#define memset init_memset
#define memcmp init_memcmp
#define strlen init_strlen
#include "../../guest/text.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen

TEST(a_rare_error_has_its_number)
{
	EXPECT(!strcmp(text_errno(EACCES), "Permission denied"));
	EXPECT(strstr(text_errno(EUCLEAN), "117"));
}

static int touch(const char *path)
{
	FILE *f = fopen(path, "we");

	return f ? fclose(f) : -1;
}

TEST(an_entry_of_a_directory_is_found)
{
	char dir[] = "/tmp/lkvm-text-XXXXXX", path[64];

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/", dir);
	EXPECT(!dir_find(path, NULL) && !dir_find("/none/", NULL));
	snprintf(path, sizeof(path), "%s/.hidden", dir);
	EXPECT(!touch(path));
	snprintf(path, sizeof(path), "%s/", dir);
	EXPECT(!dir_find(path, NULL));
	snprintf(path, sizeof(path), "%s/here", dir);
	EXPECT(!touch(path));
	snprintf(path, sizeof(path), "%s/", dir);
	EXPECT(dir_find(path, NULL));
	snprintf(path, sizeof(path), "rm -r %s", dir);
	EXPECT(!system(path));
}

TEST_MAIN(T(a_rare_error_has_its_number),
	  T(an_entry_of_a_directory_is_found))
