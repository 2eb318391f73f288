// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is a stream of files that a guest sends to lkvm cp.
 * It goes into a directory of its own, next to one that links may lead to. That
 * one has to stay empty, and nothing else may appear.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kvm/tree.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/dir.h"

static void complain(void *opaque, const char *path, int err)
{
	(void)opaque;
	if (err <= 0 || strlen(path) >= sizeof(((struct tree *)NULL)->path))
		abort();
}

static unsigned int entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (!d)
		abort();
	closedir(d);
	return n - 2;
}

static void enter_directory(void)
{
	static char dir[32];

	if (!*dir)
		dir_temp(dir, sizeof(dir));
	if (chdir(dir))
		abort();
	mkdir("out", 0700);
	mkdir("in", 0700);
}

int fuzz_one(const u8 *data, size_t len)
{
	struct tree *t = calloc(1, sizeof(*t));
	struct stat st;
	bool unnamed;
	int fd = memfd_create("stream", MFD_CLOEXEC);
	int was = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	enter_directory();
	if (write(fd, data, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET))
		abort();
	t->fd = fd;
	t->complain = complain;
	tree_receive(t, len & 1 ? "in" : "in/new", len & 2 ? "x/name" : NULL);
	close(fd);
	if (entries(".") != 2 || entries("out"))
		abort();
	/* A directory without a name becomes the one that is there. */
	unnamed = len > 1 && !data[1] && !(len & 2);
	if (entries("in") > 1 && !(unnamed && len & 1))
		abort();
	if (!(len & 1) && entries("in") && lstat("in/new", &st))
		abort();
	dir_remove("in");
	if (fchdir(was))
		abort();
	close(was);
	free(t);
	return 0;
}
