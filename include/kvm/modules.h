/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__MODULES_H
#define KVM__MODULES_H

#include "kvm/report.h"

#define MODULES_MAX 64
#define MODULES_MISSING_MAX 16
#define MODULES_PATH 4096

/**
 * struct modules - files to be loaded in that order; zero-initialise
 * @path: allocated; modules_free()
 * @missing: names that are neither built in nor there; the caller's strings
 * @known: the directory says what is built in, so that @missing means something
 * @nr: how many paths
 * @nr_missing: how many names
 */
struct modules {
	char *path[MODULES_MAX];
	unsigned int nr;
	const char *missing[MODULES_MISSING_MAX];
	unsigned int nr_missing;
	bool known;
};

/**
 * modules_resolve() - modules and what they depend on
 * @dir: a build directory, or one of /lib/modules
 * @names: NULL at the end; built-in ones are passed over
 *
 * Return: 0, also when there are no modules; -errno with a report.
 */
int modules_resolve(struct modules *m, const char *dir,
		    const char *const *names, struct report *r);
/**
 * modules_read() - a module's contents, unpacked if a program for that is there
 * @data: allocated, *@len bytes; as in the file if nothing unpacks it here
 * Return: 0, or -errno with a report.
 */
int modules_read(const char *path, void **data, size_t *len, struct report *r);
/** modules_free() - the paths; @m is empty then */
void modules_free(struct modules *m);

#endif
