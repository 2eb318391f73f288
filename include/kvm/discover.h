/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__DISCOVER_H
#define KVM__DISCOVER_H

#include "kvm/report.h"

#define DISCOVER_PATH 4096

/**
 * struct discover - where to look for a kernel, and what was found
 * @images: paths below a build directory, the best first, NULL at the end
 * @output: $KBUILD_OUTPUT, or NULL
 * @here: the directory to begin at
 * @boot: /boot
 * @release: that of the running kernel
 * @kernel: the image
 * @build: the build directory that it is of, also when it has none yet; empty when
 *	it is an installed one
 */
struct discover {
	const char *const *images;
	const char *output;
	const char *here;
	const char *boot;
	const char *release;
	char kernel[DISCOVER_PATH];
	char build[DISCOVER_PATH];
};

/**
 * discover_kernel() - the kernel that was built last; outside of any tree, an installed one
 * Return: 0; -ENOENT with a report when there is none; -errno with a
 * report when @here is not there.
 */
int discover_kernel(struct discover *d, struct report *r);
/**
 * discover_in() - the newest image of a source tree or build directory,
 * whether that can be read or not
 * Return: 0, -ENOENT when there is none.
 */
int discover_in(struct discover *d, const char *dir);
/**
 * discover_find() - what -k says, or, if @kernel is NULL, what is here
 * @d: all of it is filled in; @release is NULL
 *
 * What is said is binding. A file is not looked at, and @d->kernel empty then. Return: 0,
 * or -errno with a report.
 */
int discover_find(struct discover *d, const char *kernel, struct report *r);
/**
 * discover_release() - the release of the kernel in an image
 * @out: of @size bytes; empty when it does not say
 * Return: 0, or -errno when @path cannot be read.
 */
int discover_release(const char *path, char *out, size_t size);
/** discover_release_fd() - the same, of an open file, which stays open */
int discover_release_fd(int fd, char *out, size_t size);

#endif
