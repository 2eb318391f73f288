// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Puts a kernel, an initrd and a command line into guest memory and leaves what
 * the entry wants to find there: boot_params (Documentation/arch/x86/boot.rst
 * and zero-page.rst), hvm_start_info of the PVH boot ABI, or what multiboot.c
 * writes. A format first plans (bzimage.c, elf.c, multiboot.c: checks
 * everything, touches no guest memory), then the command line is checked and
 * the initrd is given a place, then all is placed.
 *
 * Each file is opened once, without waiting, and only a regular one is taken. A VM
 * keeps both open, to load them once more when it is reset.
 * Of a vmlinux whole pages are mapped privately over guest RAM where that is of
 * small pages and file offset and address agree modulo their size; edges, and all
 * of it where RAM is of huge pages or mapping is refused, are read. A bzImage is
 * read: it unpacks itself over its own place, so that each mapped page would fault
 * twice, to be read and to be replaced, and would keep a large page from being
 * there. So is an initrd, which people rewrite in place: a page that is mapped and
 * no longer in the file ends the VM when the guest touches it. Nothing is ever
 * written to a file. Who shrinks or rewrites a vmlinux that is mapped changes the
 * memory of the VM that runs it; the loader itself never reads through such a
 * mapping.
 *
 * Only called while a VM is set up, on the main thread, before vCPUs run; no
 * locks. A guest can do nothing here, but the files are foreign: see the
 * formats.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "x86/load.h"

#define LOADER_TYPE_UNDEFINED 0xff
#define VIDEO_MODE_NORMAL 0xffff
#define PVH_MAGIC 0x336ec578U
#define E820_MAX 16U

/* PVH boot ABI, version 1 */
struct pvh_start_info {
	__le32 magic;
	__le32 version;
	__le32 flags;
	__le32 nr_modules;
	__le64 modlist_paddr;
	__le64 cmdline_paddr;
	__le64 rsdp_paddr;
	__le64 memmap_paddr;
	__le32 memmap_entries;
	__le32 reserved;
};

struct pvh_module {
	__le64 paddr;
	__le64 size;
	__le64 cmdline_paddr;
	__le64 reserved;
};

struct pvh_memmap {
	__le64 addr;
	__le64 size;
	__le32 type;
	__le32 reserved;
};

/* All of it in one piece, so that one write and one check do. */
struct pvh_page {
	struct pvh_start_info info;
	struct pvh_module module;
	struct pvh_memmap memmap[E820_MAX];
};

static_assert(sizeof(struct pvh_start_info) == 56, "PVH start info");
static_assert(sizeof(struct pvh_memmap) == 24, "PVH memory map entry");
static_assert(X86_PVH_INFO_GPA + sizeof(struct pvh_page) <=
	      X86_BOOT_PARAMS_GPA, "PVH info has a page");
static_assert(sizeof(struct boot_params) == 4096, "zero page");

static int file_open(struct load_file *f)
{
	struct stat st;

	if (f->fd < 0)
		f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY |
			     O_NONBLOCK);
	if (f->fd < 0)
		return report_error(f->r, errno, "%s %s", f->what, f->path);
	if (fstat(f->fd, &st) < 0)
		return report_error(f->r, errno, "%s %s", f->what, f->path);
	if (S_ISDIR(st.st_mode))
		return report_error(f->r, EISDIR, "%s %s", f->what, f->path);
	if (!S_ISREG(st.st_mode))
		return report_error(f->r, 0, "%s %s: not a regular file",
				    f->what, f->path);
	if (!st.st_size)
		return report_error(f->r, 0, "%s %s: empty file", f->what,
				    f->path);
	f->size = st.st_size;
	return 0;
}

static void file_close(const struct load_file *f, int *kept)
{
	if (kept)
		*kept = f->fd;
	else if (f->fd >= 0)
		close(f->fd);
}

int load_read(const struct load_file *f, void *dst, u64 len, u64 off)
{
	while (len) {
		ssize_t n = pread(f->fd, dst, MIN(len, SZ_1G), off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return report_error(f->r, errno, "%s %s", f->what,
					    f->path);
		if (!n) {
			report_error(f->r, 0, "%s %s: truncated while it was read",
				     f->what, f->path);
			return -EIO;
		}
		dst = (u8 *)dst + n;
		off += n;
		len -= n;
	}
	return 0;
}

/*
 * Map first, move then: a file that cannot be mapped must not cost the RAM at
 * @hva, which MAP_FIXED may drop before it fails. Return: whether it worked
 */
static bool map_pages(const struct load_file *f, u8 *hva, u64 len, u64 off)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, f->fd,
		       off);

	if (p == MAP_FAILED)
		return false;
	if (mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, hva) == hva)
		return true;
	munmap(p, len);
	return false;
}

/* Where [@off, @off + @len) of the file goes, checked */
static int find_target(const struct load_file *f, u64 off, u64 gpa, u64 len,
		       u8 **hva)
{
	*hva = gmem_ptr(f->gmem, gpa, len);
	if (!*hva)
		return report_error(f->r, EFAULT, "%s %s: 0x%llx is not RAM",
				    f->what, f->path, (unsigned long long)gpa);
	if (off > f->size || len > f->size - off)
		return report_error(f->r, 0, "%s %s: truncated", f->what,
				    f->path);
	return 0;
}

int load_copy(const struct load_file *f, u64 off, u64 gpa, u64 len)
{
	u8 *hva;
	int err = find_target(f, off, gpa, len, &hva);

	return err ? err : load_read(f, hva, len, off);
}

int load_place(const struct load_file *f, u64 off, u64 gpa, u64 len)
{
	u64 head, pages;
	u8 *hva;
	int err = find_target(f, off, gpa, len, &hva);

	if (err)
		return err;
	head = -off & (LOAD_PAGE_SIZE - 1);
	if (f->gmem->huge || ((uintptr_t)hva ^ off) & (LOAD_PAGE_SIZE - 1) ||
	    head >= len)
		return load_read(f, hva, len, off);
	pages = (len - head) & ~(LOAD_PAGE_SIZE - 1);
	if (!pages || gmem_add_file(f->gmem, gpa + head, pages) ||
	    !map_pages(f, hva + head, pages, off + head))
		return load_read(f, hva, len, off);
	err = load_read(f, hva, head, off);
	if (err)
		return err;
	head += pages;
	return load_read(f, hva + head, len - head, off + head);
}

u64 load_ram_end(const struct gmem *g)
{
	for (unsigned int i = 0; i < g->nr; i++) {
		const struct gmem_region *m = &g->region[i];

		if (m->gpa <= X86_KERNEL_GPA &&
		    m->gpa + m->size > X86_KERNEL_GPA)
			return m->gpa + m->size;
	}
	return 0;
}

int load_check_ram(const struct load_kernel *k, u64 gpa, u64 len)
{
	const struct load_file *f = &k->file;
	u64 end;

	if (k->low && gpa >= X86_LOW_GPA && gpa <= X86_EBDA_GPA &&
	    len <= X86_EBDA_GPA - gpa && gmem_ptr(f->gmem, gpa, len))
		return 0;
	if (gpa < X86_KERNEL_GPA)
		return report_error(f->r, 0, "%s %s: wants address 0x%llx, below 1 MiB",
				    f->what, f->path, (unsigned long long)gpa);
	if (__builtin_add_overflow(gpa, len, &end))
		return report_error(f->r, 0, "%s %s: bad address 0x%llx",
				    f->what, f->path, (unsigned long long)gpa);
	if (end > SZ_4G || !gmem_ptr(f->gmem, gpa, len)) {
		u64 ram = load_ram_end(f->gmem);

		report_error(f->r, 0,
			     "%s %s: bigger than memory, needs %llu KiB at 0x%llx, memory ends at 0x%llx",
			     f->what, f->path,
			     (unsigned long long)(len / SZ_1K + !!(len % SZ_1K)),
			     (unsigned long long)gpa, (unsigned long long)ram);
		return -ENOMEM;
	}
	return 0;
}

static int kernel_plan(struct load_kernel *k, struct elf_plan *elf)
{
	int err;

	k->head_len = MIN(k->file.size, (u64)LOAD_HEAD_SIZE);
	err = load_read(&k->file, k->head, k->head_len, 0);
	if (err)
		return err;
	if (!bzimage_probe(k) && multiboot_probe(k))
		return multiboot_plan(k, elf);
	if (elf_probe(k))
		return elf_plan(k, elf);
	if (bzimage_probe(k))
		return bzimage_plan(k);
	return report_error(k->file.r, 0,
			    "kernel %s: not a bzImage or x86-64 ELF kernel, nor for multiboot",
			    k->file.path);
}

static int cmdline_check(const struct load_kernel *k, const char *cmdline)
{
	u64 max = MIN(k->cmdline_max, (u64)X86_CMDLINE_MAX - 1);
	u64 len = strlen(cmdline);

	if (len <= max)
		return 0;
	report_error(k->file.r, 0, "kernel %s: command line of %llu bytes, the limit is %llu",
		     k->file.path, (unsigned long long)len,
		     (unsigned long long)max);
	return -E2BIG;
}

u64 load_highest_place(const struct load_kernel *k, u64 start, u64 end,
		       u64 size)
{
	const u64 mask = ~(LOAD_PAGE_SIZE - 1);
	u64 gpa;

	if (end < start || end - start < size)
		return 0;
	gpa = (end - size) & mask;
	if (gpa >= start && (gpa >= k->end || gpa + size <= k->start))
		return gpa;
	if (k->start < size)
		return 0;
	gpa = (MIN(k->start, end) - size) & mask;
	return gpa >= start && gpa + size <= k->start ? gpa : 0;
}

/* @at->archive_len is set, and so is @f->size, to 0 if there is no file. */
static int initrd_plan(const struct load_kernel *k, const struct load_file *f,
		       struct initrd_place *at)
{
	u64 size = at->archive_len + f->size;
	u64 limit = k->initrd_max == UINT64_MAX ? UINT64_MAX :
						  k->initrd_max + 1;
	u64 room = 0;

	for (unsigned int i = f->gmem->nr; i--;) {
		const struct gmem_region *m = &f->gmem->region[i];
		u64 start = MAX(m->gpa, X86_KERNEL_GPA);
		u64 end = MIN(m->gpa + m->size, limit);

		at->gpa = load_highest_place(k, start, end, size);
		if (at->gpa) {
			at->size = size;
			return 0;
		}
		if (end <= start)
			continue;
		if (k->start >= end || k->end <= start) {
			room = MAX(room, end - start);
			continue;
		}
		if (k->end < end)
			room = MAX(room, end - k->end);
		if (k->start > start)
			room = MAX(room, k->start - start);
	}
	report_error(f->r, 0, "initrd %s: %llu KiB do not fit into memory, at most %llu KiB do",
		     f->path ? f->path : "of lkvm",
		     (unsigned long long)(size / SZ_1K + !!(size % SZ_1K)),
		     (unsigned long long)(room / SZ_1K));
	return -ENOMEM;
}

static void e820_fill(struct boot_params *bp, const struct e820 *map)
{
	bp->e820_entries = MIN(map->nr, E820_MAX);
	for (unsigned int i = 0; i < bp->e820_entries; i++) {
		bp->e820_table[i].addr = map->entry[i].addr;
		bp->e820_table[i].size = map->entry[i].size;
		bp->e820_table[i].type = map->entry[i].type;
	}
}

static int boot_params_write(const struct x86_load *l,
			     struct load_kernel *k,
			     const struct initrd_place *initrd)
{
	struct boot_params bp = { 0 };
	u64 ram = load_ram_end(l->gmem);

	memcpy((u8 *)&bp + SETUP_HEADER_OFF, k->setup, k->setup_len);
	bp.hdr.type_of_loader = LOADER_TYPE_UNDEFINED;
	bp.hdr.loadflags |= LOADED_HIGH;
	bp.hdr.vid_mode = VIDEO_MODE_NORMAL;
	bp.hdr.code32_start = k->start;
	bp.hdr.setup_data = 0;
	bp.hdr.cmd_line_ptr = X86_CMDLINE_GPA;
	bp.hdr.ramdisk_image = (u32)initrd->gpa;
	bp.hdr.ramdisk_size = (u32)initrd->size;
	bp.ext_ramdisk_image = initrd->gpa >> 32;
	bp.ext_ramdisk_size = initrd->size >> 32;
	bp.acpi_rsdp_addr = l->acpi_rsdp;
	bp.alt_mem_k = ram ? (ram - SZ_1M) / SZ_1K : 0;
	e820_fill(&bp, l->e820);
	k->image.info = X86_BOOT_PARAMS_GPA;
	return gmem_write(l->gmem, X86_BOOT_PARAMS_GPA, &bp, sizeof(bp));
}

static int pvh_info_write(const struct x86_load *l, struct load_kernel *k,
			  const struct initrd_place *initrd)
{
	const struct e820 *map = l->e820;
	u32 nr = MIN(map->nr, E820_MAX);
	struct pvh_page page = {
		.info = {
			.magic = htole32(PVH_MAGIC),
			.version = htole32(1),
			.nr_modules = htole32(!!initrd->size),
			.cmdline_paddr = htole64(X86_CMDLINE_GPA),
			.rsdp_paddr = htole64(l->acpi_rsdp),
			.memmap_paddr = htole64(X86_PVH_INFO_GPA +
						offsetof(struct pvh_page, memmap)),
			.memmap_entries = htole32(nr),
		},
		.module = {
			.paddr = htole64(initrd->gpa),
			.size = htole64(initrd->size),
		},
	};

	if (initrd->size)
		page.info.modlist_paddr =
			htole64(X86_PVH_INFO_GPA +
				offsetof(struct pvh_page, module));
	for (u32 i = 0; i < nr; i++) {
		page.memmap[i].addr = htole64(map->entry[i].addr);
		page.memmap[i].size = htole64(map->entry[i].size);
		page.memmap[i].type = htole32(map->entry[i].type);
	}
	k->image.info = X86_PVH_INFO_GPA;
	return gmem_write(l->gmem, X86_PVH_INFO_GPA, &page, sizeof(page));
}

/* What the kernel finds below 1 MiB: its command line, and what points to it */
static int info_write(const struct x86_load *l, struct load_kernel *k,
		      const char *cmdline, const struct initrd_place *initrd)
{
	int err;

	if (k->image.entry == X86_ENTRY_MULTIBOOT)
		return multiboot_info_write(l, k, initrd);
	err = gmem_write(l->gmem, X86_CMDLINE_GPA, cmdline,
			 strlen(cmdline) + 1);
	if (!err && k->image.entry == X86_ENTRY_PVH)
		err = pvh_info_write(l, k, initrd);
	else if (!err)
		err = boot_params_write(l, k, initrd);
	if (err)
		return report_error(k->file.r, -err, "kernel %s: boot information",
				    k->file.path);
	return 0;
}

static int initrd_place(const struct load_file *f, const void *archive,
			const struct initrd_place *at)
{
	if (at->archive_len &&
	    gmem_write(f->gmem, at->gpa, archive, at->archive_len))
		return report_error(f->r, EFAULT, "initrd of lkvm");
	return f->size ? load_copy(f, 0, at->gpa + at->archive_len, f->size) :
			 0;
}

int x86_load_image(const struct x86_load *l, struct x86_image *out,
		   struct report *r)
{
	struct load_kernel k = {
		.file = { "kernel", l->kernel, l->gmem, r, -1, 0 },
	};
	struct load_file initrd = { "initrd", l->initrd, l->gmem, r, -1, 0 };
	int *kept = l->kept;
	const char *cmdline = l->cmdline ? l->cmdline : "";
	struct initrd_place at = { .archive_len = l->archive_len };
	struct elf_plan elf = { .nr = 0 };
	int err;

	if (kept) {
		k.file.fd = kept[0];
		initrd.fd = kept[1];
	}
	err = file_open(&k.file);
	if (!err)
		err = kernel_plan(&k, &elf);
	if (!err)
		err = cmdline_check(&k, cmdline);
	if (!err && l->initrd)
		err = file_open(&initrd);
	if (!err && (l->initrd || l->archive_len))
		err = initrd_plan(&k, &initrd, &at);
	if (!err)
		err = elf.nr ? elf_place(&k, &elf) : bzimage_place(&k);
	if (!err)
		err = initrd_place(&initrd, l->archive, &at);
	if (!err)
		err = info_write(l, &k, cmdline, &at);
	if (!err)
		*out = k.image;
	file_close(&initrd, kept ? &kept[1] : NULL);
	file_close(&k.file, kept);
	return err;
}
