/* SPDX-License-Identifier: GPL-2.0-only */
/* What load.c and the formats share; nobody else includes it. */
#ifndef KVM__X86_LOAD_H
#define KVM__X86_LOAD_H

#include <asm/bootparam.h>
#include "kvm/gmem.h"
#include "kvm/report.h"
#include "x86/x86.h"

#define LOAD_HEAD_SIZE 0x2000U
#define LOAD_PAGE_SIZE 0x1000ULL

/* Linux/x86 boot protocol: where the setup header is in file and zero page */
#define SETUP_HEADER_OFF 0x1f1U
#define SETUP_HEADER_END 0x290U
#define SETUP_HEADER_MAGIC 0x53726448U	/* "HdrS" */
#define SETUP_BOOT_FLAG 0xaa55U

/**
 * struct load_file - a file that goes into guest memory
 * @what: "kernel" or "initrd"; begins every message, followed by @path
 * @fd: -1 while closed
 * @size: bytes, as found when it was opened; never 0
 */
struct load_file {
	const char *what;
	const char *path;
	struct gmem *gmem;
	struct report *r;
	int fd;
	u64 size;
};

/**
 * struct load_kernel - what a format finds out about a kernel
 * @file: where it comes from
 * @head: copy of the first @head_len bytes; formats decide by this copy only
 * @image: entry mode and address
 * @start: where the guest memory begins that it needs, a gpa
 * @end: where that ends, exclusive
 * @low: it may be below 1 MiB, too
 * @initrd_max: highest address of the last byte of an initrd
 * @cmdline_max: longest command line, without the NUL
 * @setup: bytes for boot_params from SETUP_HEADER_OFF on, @setup_len of them
 */
struct load_kernel {
	struct load_file file;
	u8 head[LOAD_HEAD_SIZE];
	size_t head_len;
	struct x86_image image;
	u64 start;
	u64 end;
	bool low;
	u64 initrd_max;
	u64 cmdline_max;
	u8 setup[SETUP_HEADER_END - SETUP_HEADER_OFF];
	size_t setup_len;
};

/** struct initrd_place - where initial ramdisks are, ours first; @size 0: none */
struct initrd_place {
	u64 gpa;
	u64 size;
	u64 archive_len;
};

/**
 * load_read() - read all of [@off, @off + @len)
 *
 * Return: 0; -errno, reported; -EIO when the file ends before.
 */
int load_read(const struct load_file *f, void *dst, u64 len, u64 off);

/**
 * load_copy() - read file content into guest memory
 *
 * Return: as load_place().
 */
int load_copy(const struct load_file *f, u64 off, u64 gpa, u64 len);

/**
 * load_place() - file content to guest memory, mapped where that is better
 *
 * What is mapped stays of small pages: the guest faults on each when it first comes
 * there, and once more when it first writes, as Linux does to most of its text. Into
 * huge pages the file is read.
 * Return: 0; -errno, reported, when it is not in the file or not RAM.
 */
int load_place(const struct load_file *f, u64 off, u64 gpa, u64 len);

/**
 * load_check_ram() - whether a kernel may use [@gpa, @gpa + @len)
 *
 * It has to be RAM from 1 MiB on and below 4 GiB; with k->low it may be what is
 * free below 1 MiB.
 * Return: 0; -EINVAL or -ENOMEM, reported.
 */
int load_check_ram(const struct load_kernel *k, u64 gpa, u64 len);

/** load_ram_end() - of the RAM that 1 MiB is in; 0 when that is not RAM */
u64 load_ram_end(const struct gmem *g);

/**
 * load_highest_place() - the highest page in [@start, @end) from which @size
 *	bytes keep off the kernel
 *
 * Return: 0 for none.
 */
u64 load_highest_place(const struct load_kernel *k, u64 start, u64 end,
		       u64 size);

/** bzimage_probe() - whether the head is that of a Linux/x86 boot image */
bool bzimage_probe(const struct load_kernel *k);
/** bzimage_plan() - check, fill what k->head says. Return: 0 or -errno */
int bzimage_plan(struct load_kernel *k);
/** bzimage_place() - put what was planned into guest memory */
int bzimage_place(const struct load_kernel *k);

#define ELF_MAX_SEGMENTS 64

/** struct elf_segment - a piece to load, checked */
struct elf_segment {
	u64 off;
	u64 filesz;
	u64 paddr;
	u64 vaddr;
	u64 memsz;
};

/** struct elf_plan - what elf_plan() found, in the order of the file */
struct elf_plan {
	struct elf_segment segment[ELF_MAX_SEGMENTS];
	unsigned int nr;
};

/** elf_probe() - whether the head is that of any ELF file */
bool elf_probe(const struct load_kernel *k);
/** elf_plan() - check, fill @k and @p. Return: 0 or -errno */
int elf_plan(struct load_kernel *k, struct elf_plan *p);
/** elf_plan_multiboot() - the same for an ELF file of 32 or 64 bits, its entry */
int elf_plan_multiboot(struct load_kernel *k, struct elf_plan *p);
/**
 * elf_add_segment() - one more for @p, which @k needs memory for; all checked
 * @nr: of it, for messages
 */
int elf_add_segment(struct load_kernel *k, struct elf_plan *p, unsigned int nr,
		    const struct elf_segment *s);
/** elf_place() - put what was planned into guest memory */
int elf_place(const struct load_kernel *k, const struct elf_plan *p);

/** multiboot_probe() - whether there is a multiboot header */
bool multiboot_probe(const struct load_kernel *k);
/** multiboot_plan() - check, fill @k and @p. Return: 0 or -errno */
int multiboot_plan(struct load_kernel *k, struct elf_plan *p);
/**
 * multiboot_info_write() - what the kernel is told, in memory that is free
 *
 * k->image.info says where.
 * Return: 0; -errno, reported.
 */
int multiboot_info_write(const struct x86_load *l, struct load_kernel *k,
			 const struct initrd_place *initrd);

#endif
