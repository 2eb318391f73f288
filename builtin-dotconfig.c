// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel's .config, which lkvm config and lkvm test read and add to.
 *
 * Theory of operation: a file with a NUL or without any CONFIG_ line is something
 * else, and is refused; an empty one may become one. What is added comes behind
 * the rest. The file is written anew beside the old one, with its owner and mode,
 * and takes its place when all of it is on disk. Main thread; no state.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/kconfig.h"

static bool is_config(const char *text)
{
	return !*text || !strncmp(text, "CONFIG_", 7) ||
	       strstr(text, "\nCONFIG_") || strstr(text, "# CONFIG_");
}

char *dotconfig_read(const char *path, bool fix, struct report *r)
{
	char *text = NULL, *copy = NULL;
	size_t size = 0;
	struct stat st;
	ssize_t n;
	FILE *f;

	if (fix && !stat(path, &st) && !S_ISREG(st.st_mode)) {
		report_error(r, 0, "config %s: not a file", path);
		return NULL;
	}
	f = fopen(path, "re");
	if (!f) {
		report_error(r, errno, "config %s", path);
		return NULL;
	}
	n = getdelim(&text, &size, 0, f);
	if (ferror(f))
		report_error(r, errno, "config %s", path);
	else if (n > 0 && (!text[n - 1] || !is_config(text)))
		report_error(r, 0, "config %s: not a .config", path);
	else
		copy = n > 0 ? text : strdup("");
	if (copy != text)
		free(text);
	fclose(f);
	return copy;
}

unsigned int dotconfig_missing(FILE *f, const char *fragment, const char *config)
{
	struct kconfig_option o = { "", "", "" };
	unsigned int n = 0;

	while (kconfig_next(&fragment, &o)) {
		if (kconfig_satisfied(config, &o))
			continue;
		fprintf(f, "CONFIG_%s=%s\n", o.name, o.value);
		n++;
	}
	return n;
}

/* What comes last in a .config counts, for make olddefconfig. */
int dotconfig_extend(const char *path, const char *config, const char *more,
		     unsigned int n, struct report *r)
{
	char temp[DISCOVER_PATH + 16], real[DISCOVER_PATH];
	size_t len = strlen(config);
	struct stat st;
	int fd, err = 0;

	/* What is behind a link is replaced, and not the link. */
	if (!realpath(path, real) || stat(real, &st) < 0)
		return report_error(r, errno, "config %s", path);
	snprintf(temp, sizeof(temp), "%s.XXXXXX", real);
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return report_error(r, errno, "config %s", temp);
	if (fchown(fd, st.st_uid, st.st_gid) < 0 ||
	    fchmod(fd, st.st_mode & 07777) < 0 ||
	    dprintf(fd, "%s%s%s", config,
		    len && config[len - 1] != '\n' ? "\n" : "", more) < 0 ||
	    fsync(fd) < 0 || rename(temp, real) < 0) {
		err = report_error(r, errno, "config %s", path);
		unlink(temp);
	} else {
		printf("%u options added to %s; now run make olddefconfig\n", n,
		       path);
	}
	close(fd);
	return err;
}
