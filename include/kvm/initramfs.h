/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__INITRAMFS_H
#define KVM__INITRAMFS_H

#include "kvm/types.h"

/* What the kernel unpacks may be followed by another archive: see _finish(). */
#define INITRAMFS_ALIGN 4096

/**
 * struct initramfs - an archive that grows; zero-initialise
 * @data: @len bytes of it
 * @err: -ENOMEM once memory ran out, -E2BIG for a file or a name that the format
 *	has no room for; sticky
 */
struct initramfs {
	u8 *data;
	size_t len;
	size_t capacity;
	u32 inode;
	int err;
};

/**
 * initramfs_file() - add a file; directories have to be there before
 * @path: without a leading slash
 * @mode: permission bits
 */
void initramfs_file(struct initramfs *a, const char *path, u16 mode,
		    const void *data, size_t len);
/** initramfs_dir() - append a directory */
void initramfs_dir(struct initramfs *a, const char *path, u16 mode);
/** initramfs_char() - add a character device */
void initramfs_char(struct initramfs *a, const char *path, u16 mode, u32 major,
		    u32 minor);
/**
 * initramfs_finish() - end the archive, padded to INITRAMFS_ALIGN
 * Return: 0, or what @err says; either way initramfs_free() is due.
 */
int initramfs_finish(struct initramfs *a);
void initramfs_free(struct initramfs *a);

/* Where the assembler put it: embedded.c */
extern const u8 guest_init_start[];
/**
 * guest_init() - the program that runs the guest; *@len bytes, an ELF file
 *
 * Return: memory to be freed, or NULL.
 */
u8 *guest_init(size_t *len);

#endif
