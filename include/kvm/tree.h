/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file or a directory with all that is in it, as a stream of bytes. Lkvm and
 * its init in the guest have the same code for it, one for each end.
 */
#ifndef KVM__TREE_H
#define KVM__TREE_H

#include "kvm/types.h"

#define TREE_DEPTH 64
#define TREE_NAME 256

/**
 * struct tree - one transfer; zero-initialise but for the first four
 * @fd: where the bytes go, or come from
 * @mask: permissions that what is received does not get, as of umask()
 * @complain: says what was left out, and why: a positive errno
 * @failed: something was left out
 * @broken: -errno of @fd itself, -EPROTO for a stream that makes no sense
 */
struct tree {
	int fd;
	unsigned int mask;
	void (*complain)(void *opaque, const char *path, int err);
	void *opaque;
	bool failed;
	int broken;
	size_t pos;
	size_t len;
	char path[4096];
	u8 buf[0x8000];
};

/**
 * tree_send() - what is at @path to @t->fd; a link there is followed, others
 * are sent as links
 * Return: 0, or -errno if it could not be all
 */
int tree_send(struct tree *t, const char *path);
/**
 * tree_receive() - what comes from @t->fd to @path, or into that directory
 * @from: what was asked for: its last word is the name in a directory, whatever
 *	the sender says; NULL to believe that
 * Return: 0, or -errno if it could not be all
 *
 * Each file is there as a whole or not at all, and takes the place of one that
 * was there before; directories are added to. The sender is not trusted: nothing
 * outside of @path is touched, and modes have permissions alone.
 */
int tree_receive(struct tree *t, const char *path, const char *from);

#endif
