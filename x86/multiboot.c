// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * A kernel with a header of the Multiboot Specification, version 0.6.96, in
 * its first 8 KiB: what KVM's own unit tests are built as. Where it goes is
 * said by the header itself (flag 16), or by the ELF program headers, of 32 or
 * 64 bits. It is entered in 32-bit mode, eax and ebx as s3.2 has them, and is
 * told of memory, the command line, and the initrd as its only module. The
 * command line begins with the kernel's path and the module's string is the
 * initrd's, as boot loaders do it. It may be loaded below 1 MiB, too.
 *
 * Only called while a VM is set up, on the main thread; no locks. The file is
 * foreign: the header is copied once, and every sum of its 32-bit fields is
 * made in 64 bits and checked. What the kernel is told is where neither it nor
 * the initrd is, below 1 MiB if there is room.
 *
 * Not supported: video modes, which are refused; symbols, drives, APM, and
 * kernels that are compressed.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include "x86/load.h"

#define HEADER_MAGIC 0x1badb002U
#define HEADER_END 8192U
#define HEADER_VIDEO BIT(2)
#define HEADER_KNOWN (BIT(0) | BIT(1))	/* modules on pages, memory */
#define HEADER_REQUIRED 0xffffU
#define HEADER_ADDRESSES BIT(16)

#define INFO_MEMORY BIT(0)
#define INFO_CMDLINE BIT(2)
#define INFO_MODULES BIT(3)
#define INFO_MMAP BIT(6)
#define INFO_LOADER BIT(9)
#define MMAP_MAX 16U

/* s3.1; what follows @checksum is there with HEADER_ADDRESSES only */
struct multiboot_header {
	__le32 magic;
	__le32 flags;
	__le32 checksum;
	__le32 header_addr;
	__le32 load_addr;
	__le32 load_end_addr;
	__le32 bss_end_addr;
	__le32 entry_addr;
};

/* s3.3 */
struct multiboot_info {
	__le32 flags;
	__le32 mem_lower;
	__le32 mem_upper;
	__le32 boot_device;
	__le32 cmdline;
	__le32 mods_count;
	__le32 mods_addr;
	__le32 syms[4];
	__le32 mmap_length;
	__le32 mmap_addr;
	__le32 drives[2];
	__le32 config_table;
	__le32 boot_loader_name;
	__le32 others[12];
};

struct multiboot_module {
	__le32 start;
	__le32 end;
	__le32 string;
	__le32 reserved;
};

/* @size counts what is behind it. */
struct multiboot_mmap {
	__le32 size;
	__le32 addr[2];
	__le32 len[2];
	__le32 type;
};

/* All but the command line and the module's string, which follow it */
struct multiboot_block {
	struct multiboot_info info;
	struct multiboot_module module;
	struct multiboot_mmap mmap[MMAP_MAX];
	char loader[8];
};

static_assert(sizeof(struct multiboot_header) == 32, "multiboot header");
static_assert(sizeof(struct multiboot_info) == 116, "multiboot information");
static_assert(sizeof(struct multiboot_mmap) == 24, "multiboot memory map");

/* Return: offset of the header's first part, or -ENOENT */
static long find_header(const struct load_kernel *k, struct multiboot_header *h)
{
	const size_t part = offsetof(struct multiboot_header, header_addr);
	size_t end = MIN(k->head_len, (size_t)HEADER_END);

	memset(h, 0, sizeof(*h));
	for (size_t off = 0; off + part <= end; off += 4) {
		memcpy(h, k->head + off, part);
		if (le32toh(h->magic) != HEADER_MAGIC ||
		    le32toh(h->magic) + le32toh(h->flags) + le32toh(h->checksum))
			continue;
		memcpy(h, k->head + off, MIN(sizeof(*h), end - off));
		return (long)off;
	}
	return -ENOENT;
}

bool multiboot_probe(const struct load_kernel *k)
{
	struct multiboot_header h;

	return find_header(k, &h) >= 0;
}

static int bad_addresses(const struct load_kernel *k)
{
	return report_error(k->file.r, 0,
			    "kernel %s: bad addresses in its multiboot header",
			    k->file.path);
}

/* The header says where the file goes. */
static int plan_addresses(struct load_kernel *k, struct elf_plan *p, u64 at,
			  const struct multiboot_header *h)
{
	u64 load = le32toh(h->load_addr), before, end, bss;
	struct elf_segment s = { .paddr = load, .vaddr = load };

	if (at + sizeof(*h) > MIN(k->head_len, (size_t)HEADER_END))
		return report_error(k->file.r, 0,
				    "kernel %s: truncated in its multiboot header",
				    k->file.path);
	before = le32toh(h->header_addr) - load;
	if (before > at)
		return bad_addresses(k);
	s.off = at - before;
	end = le32toh(h->load_end_addr);
	if (!end)
		end = load + k->file.size - s.off;
	bss = le32toh(h->bss_end_addr);
	if (!bss)
		bss = end;
	k->image.rip = le32toh(h->entry_addr);
	if (end <= load || bss < end || k->image.rip < load ||
	    k->image.rip >= end)
		return bad_addresses(k);
	s.filesz = end - load;
	s.memsz = bss - load;
	p->nr = 0;
	return elf_add_segment(k, p, 0, &s);
}

int multiboot_plan(struct load_kernel *k, struct elf_plan *p)
{
	struct multiboot_header h;
	long at = find_header(k, &h);
	u32 flags = le32toh(h.flags);

	k->image.entry = X86_ENTRY_MULTIBOOT;
	k->low = true;
	k->initrd_max = UINT32_MAX;
	k->cmdline_max = X86_CMDLINE_MAX - 1;
	if (flags & HEADER_VIDEO)
		return report_error(k->file.r, 0,
				    "kernel %s: its multiboot header asks for a video mode",
				    k->file.path);
	if (flags & HEADER_REQUIRED & ~HEADER_KNOWN)
		return report_error(k->file.r, 0,
				    "kernel %s: its multiboot header asks for 0x%x",
				    k->file.path, flags);
	if (flags & HEADER_ADDRESSES)
		return plan_addresses(k, p, (u64)at, &h);
	if (elf_probe(k))
		return elf_plan_multiboot(k, p);
	return report_error(k->file.r, 0,
			    "kernel %s: a multiboot header without addresses, and no ELF file",
			    k->file.path);
}

static void split(__le32 to[2], u64 v)
{
	to[0] = htole32((u32)v);
	to[1] = htole32((u32)(v >> 32));
}

static void fill_map(struct multiboot_block *b, const struct x86_load *l,
		     u32 gpa)
{
	u32 nr = MIN(l->e820->nr, MMAP_MAX);

	b->info.mmap_addr = htole32(gpa + offsetof(struct multiboot_block, mmap));
	b->info.mmap_length = htole32(nr * sizeof(b->mmap[0]));
	for (u32 i = 0; i < nr; i++) {
		b->mmap[i].size = htole32(sizeof(b->mmap[0]) -
					  sizeof(b->mmap[0].size));
		split(b->mmap[i].addr, l->e820->entry[i].addr);
		split(b->mmap[i].len, l->e820->entry[i].size);
		b->mmap[i].type = htole32(l->e820->entry[i].type);
	}
}

static void fill(struct multiboot_block *b, const struct x86_load *l, u32 gpa,
		 const struct initrd_place *initrd)
{
	u64 ram = load_ram_end(l->gmem);

	memset(b, 0, sizeof(*b));
	b->info.flags = htole32(INFO_MEMORY | INFO_CMDLINE | INFO_MODULES |
				INFO_MMAP | INFO_LOADER);
	b->info.mem_lower = htole32(X86_EBDA_GPA / SZ_1K);
	b->info.mem_upper = htole32(ram ? (u32)((ram - SZ_1M) / SZ_1K) : 0);
	b->info.cmdline = htole32(gpa + (u32)sizeof(*b));
	b->info.boot_loader_name =
		htole32(gpa + offsetof(struct multiboot_block, loader));
	memcpy(b->loader, "lkvm", sizeof("lkvm"));
	fill_map(b, l, gpa);
	if (!initrd->size)
		return;
	b->info.mods_count = htole32(1);
	b->info.mods_addr =
		htole32(gpa + offsetof(struct multiboot_block, module));
	b->module.start = htole32((u32)initrd->gpa);
	b->module.end = htole32((u32)(initrd->gpa + initrd->size));
}

/* Below 1 MiB, or above and off the initrd; 0 if there is no room */
static u64 find_place(const struct x86_load *l, const struct load_kernel *k,
		      const struct initrd_place *initrd, u64 size)
{
	u64 gpa = load_highest_place(k, X86_LOW_GPA, X86_EBDA_GPA, size);
	u64 end = load_ram_end(l->gmem);

	if (gpa)
		return gpa;
	if (initrd->size)
		end = MIN(end, initrd->gpa);
	return load_highest_place(k, X86_KERNEL_GPA, end, size);
}

/* One after the other, each with its NUL. Return: 0 or -errno */
static int write_texts(struct gmem *g, u64 gpa, const char *const text[4])
{
	int err = 0;

	for (unsigned int i = 0; i < 4 && !err; i++) {
		/* Path and command line are one text. */
		u64 len = strlen(text[i]) + (i == 2 || i == 3);

		err = len ? gmem_write(g, gpa, text[i], len) : 0;
		gpa += len;
	}
	return err;
}

int multiboot_info_write(const struct x86_load *l, struct load_kernel *k,
			 const struct initrd_place *initrd)
{
	const char *cmdline = l->cmdline ? l->cmdline : "";
	const char *const text[4] = {
		l->kernel, *cmdline ? " " : "", cmdline,
		l->initrd ? l->initrd : "",
	};
	u64 line = strlen(text[0]) + strlen(text[1]) + strlen(text[2]) + 1;
	u64 size = sizeof(struct multiboot_block) + line + strlen(text[3]) + 1;
	u64 gpa = find_place(l, k, initrd, size);
	struct multiboot_block b;
	int err = 0;

	if (!gpa)
		return report_error(k->file.r, 0,
				    "kernel %s: no memory is left for boot information",
				    k->file.path);
	fill(&b, l, (u32)gpa, initrd);
	b.module.string = htole32((u32)(gpa + sizeof(b) + line));
	err = gmem_write(l->gmem, gpa, &b, sizeof(b));
	if (!err)
		err = write_texts(l->gmem, gpa + sizeof(b), text);
	if (err)
		return report_error(k->file.r, -err,
				    "kernel %s: boot information", k->file.path);
	k->image.info = gpa;
	return 0;
}
