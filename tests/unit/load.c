// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Synthetic bzImages and ELF files in memfds, loaded by /proc/self/fd/N into
 * anonymous memory that stands for guest RAM. One thread, no locks, no KVM.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/elf.h>
#include "tests/unit/test.h"
#include "x86/load.h"

#define MIB SZ_1M
#define LOW_SIZE (64 * MIB)
#define HIGH_SIZE (16 * MIB)
#define PREF (16 * MIB)
#define SECTS 7
#define SETUP_SIZE ((SECTS + 1) * 512U)
#define IMAGE_BYTES 0x5410U

struct fixture {
	struct gmem gmem;
	struct e820 e820;
	struct report r;
	struct x86_image image;
	struct x86_load l;
	char kernel[32];
	char initrd[32];
	int kernel_fd;
	int initrd_fd;
	u8 *low;
	u8 *high;
};

static u8 *ram(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void setup(struct fixture *f, bool high)
{
	memset(f, 0, sizeof(*f));
	f->low = ram(LOW_SIZE);
	gmem_add(&f->gmem, 0, LOW_SIZE, f->low);
	if (high) {
		f->high = ram(HIGH_SIZE);
		gmem_add(&f->gmem, SZ_4G, HIGH_SIZE, f->high);
	}
	f->e820.nr = 2;
	f->e820.entry[0].size = 0x9fc00;
	f->e820.entry[0].type = 1;
	f->e820.entry[1].addr = MIB;
	f->e820.entry[1].size = LOW_SIZE - MIB;
	f->e820.entry[1].type = 1;
	f->kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
	f->initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
	snprintf(f->kernel, sizeof(f->kernel), "/proc/self/fd/%d", f->kernel_fd);
	snprintf(f->initrd, sizeof(f->initrd), "/proc/self/fd/%d", f->initrd_fd);
	f->l = (struct x86_load){
		.gmem = &f->gmem,
		.kernel = f->kernel,
		.cmdline = "console=ttyS0",
		.e820 = &f->e820,
		.acpi_rsdp = X86_ACPI_GPA,
	};
}

static void teardown(struct fixture *f)
{
	munmap(f->low, LOW_SIZE);
	if (f->high)
		munmap(f->high, HIGH_SIZE);
	close(f->kernel_fd);
	close(f->initrd_fd);
}

static int load(struct fixture *f)
{
	f->r.msg[0] = 0;
	return x86_load_image(&f->l, &f->image, &f->r);
}

static bool said(const struct fixture *f, const char *what)
{
	return strstr(f->r.msg, what) && !strchr(f->r.msg, '\n');
}

static bool put(int fd, const void *d, size_t len, off_t off)
{
	return pwrite(fd, d, len, off) == (ssize_t)len;
}

/* Every page differs, and no byte is zero. */
static void fill(u8 *d, size_t len)
{
	for (size_t i = 0; i < len; i++)
		d[i] = 1 + (i ^ (i >> 12) * 37) % 255;
}

static void initrd_make(struct fixture *f, size_t len)
{
	u8 *d = malloc(len);

	fill(d, len);
	put(f->initrd_fd, d, len, 0);
	free(d);
	f->l.initrd = f->initrd;
}

static struct setup_header header(void)
{
	return (struct setup_header){
		.setup_sects = SECTS,
		.syssize = IMAGE_BYTES / 16,
		.boot_flag = SETUP_BOOT_FLAG,
		.jump = 0x6aeb,
		.header = SETUP_HEADER_MAGIC,
		.version = 0x20f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.pref_address = PREF,
		.init_size = MIB,
	};
}

static void bzimage_make(struct fixture *f, const struct setup_header *h)
{
	static u8 d[SETUP_SIZE + IMAGE_BYTES];

	memset(d, 0, SETUP_SIZE);
	fill(d + SETUP_SIZE, IMAGE_BYTES);
	memcpy(d + SETUP_HEADER_OFF, h, sizeof(*h));
	put(f->kernel_fd, d, sizeof(d), 0);
}

static struct boot_params *zero_page(struct fixture *f)
{
	return (struct boot_params *)(f->low + X86_BOOT_PARAMS_GPA);
}

static bool filled(const u8 *p, size_t len)
{
	u8 *d = malloc(len);
	bool same;

	fill(d, len);
	same = !memcmp(p, d, len);
	free(d);
	return same;
}

/* Load a bzImage with this header. Return: 0 or the error */
static int try_header(struct fixture *f, const struct setup_header *h)
{
	bzimage_make(f, h);
	return load(f);
}

TEST(bzimage_is_placed_at_its_preferred_address)
{
	struct setup_header h = header();
	struct boot_params *bp;
	struct fixture f;

	setup(&f, false);
	EXPECT(!try_header(&f, &h));
	EXPECT(f.image.entry == X86_ENTRY_64);
	EXPECT(f.image.rip == PREF + 0x200);
	EXPECT(filled(f.low + PREF, IMAGE_BYTES));
	for (u32 i = IMAGE_BYTES; i < 0x8000; i++)
		EXPECT(!f.low[PREF + i]);
	bp = zero_page(&f);
	EXPECT(bp->hdr.header == SETUP_HEADER_MAGIC);
	EXPECT(bp->hdr.type_of_loader == 0xff);
	EXPECT(bp->hdr.loadflags & LOADED_HIGH);
	EXPECT(bp->hdr.cmd_line_ptr == X86_CMDLINE_GPA);
	EXPECT(bp->hdr.init_size == MIB);
	EXPECT(bp->acpi_rsdp_addr == X86_ACPI_GPA);
	EXPECT(bp->e820_entries == 2);
	EXPECT(bp->e820_table[1].addr == MIB);
	EXPECT(bp->alt_mem_k == (LOW_SIZE - MIB) / 1024);
	EXPECT(!bp->hdr.ramdisk_size && !bp->sentinel);
	EXPECT(!strcmp((char *)f.low + X86_CMDLINE_GPA, "console=ttyS0"));
	teardown(&f);
}

TEST(bzimage_is_private_to_the_guest)
{
	struct setup_header h = header();
	struct fixture f;
	u8 c = 0;

	setup(&f, false);
	EXPECT(!try_header(&f, &h));
	f.low[PREF] = 0xee;
	EXPECT(pread(f.kernel_fd, &c, 1, SETUP_SIZE) == 1 && c == 1);
	teardown(&f);
}

TEST(bzimage_with_zero_setup_sects_means_four)
{
	struct setup_header h = header();
	struct fixture f;

	setup(&f, false);
	h.setup_sects = 0;
	EXPECT(!try_header(&f, &h));
	/* starts 3 sectors early, not page-congruent: read, not mapped */
	EXPECT(f.low[PREF] == 0);
	EXPECT(filled(f.low + PREF + 3 * 512, IMAGE_BYTES - 3 * 512));
	teardown(&f);
}

TEST(bzimage_rejects_every_truncation)
{
	struct setup_header h = header();
	struct fixture f;

	setup(&f, false);
	bzimage_make(&f, &h);
	for (off_t n = SETUP_SIZE + IMAGE_BYTES - 1; n >= 0;
	     n -= n > 0x300 ? 97 : 1) {
		EXPECT(!ftruncate(f.kernel_fd, n));
		EXPECT(load(&f) < 0);
		EXPECT(said(&f, "truncated") || said(&f, "not a bzImage") ||
		       said(&f, "empty file"));
		EXPECT(!f.low[PREF] && !f.low[X86_BOOT_PARAMS_GPA + 0x202]);
	}
	teardown(&f);
}

TEST(bzimage_rejects_every_short_setup_header)
{
	struct setup_header h = header();
	struct fixture f;

	setup(&f, false);
	for (unsigned int n = 0; n < 0x62; n++) {
		h.jump = n << 8 | 0xeb;
		EXPECT(try_header(&f, &h) == -EINVAL);
	}
	h.jump = 0x62eb;
	EXPECT(!try_header(&f, &h));
	h.jump = 0xffeb;
	EXPECT(!try_header(&f, &h));
	teardown(&f);
}

TEST(bzimage_without_64_bit_entry_is_refused)
{
	struct setup_header h = header();
	struct fixture f;

	setup(&f, false);
	h.version = 0x20b;
	EXPECT(try_header(&f, &h) == -EINVAL && said(&f, "no 64-bit entry"));
	h = header();
	h.xloadflags = 0;
	EXPECT(try_header(&f, &h) == -EINVAL && said(&f, "no 64-bit entry"));
	h = header();
	h.syssize = 0x20;
	EXPECT(try_header(&f, &h) == -EINVAL && said(&f, "64-bit entry"));
	teardown(&f);
}

TEST(bzimage_rejects_addresses_that_are_no_ram)
{
	static const u64 bad[] = {
		LOW_SIZE, LOW_SIZE - MIB + 0x1000, X86_RAM_LOW_MAX, SZ_4G,
		UINT64_MAX, UINT64_MAX - 0x1fffff, ~0ULL << 21, 1ULL << 63,
	};
	struct setup_header h = header();
	struct fixture f;

	setup(&f, true);
	for (unsigned int reloc = 0; reloc < 2; reloc++) {
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			h.relocatable_kernel = reloc;
			h.pref_address = bad[i];
			EXPECT(try_header(&f, &h) < 0);
			EXPECT(f.r.msg[0]);
		}
	}
	h = header();
	h.init_size = UINT32_MAX;
	EXPECT(try_header(&f, &h) == -ENOMEM && said(&f, "bigger than memory"));
	h.init_size = LOW_SIZE - PREF + 1;
	EXPECT(try_header(&f, &h) == -ENOMEM);
	h.init_size = LOW_SIZE - PREF;
	EXPECT(!try_header(&f, &h));
	h.syssize = UINT32_MAX;
	EXPECT(try_header(&f, &h) == -EINVAL && said(&f, "truncated"));
	teardown(&f);
}

TEST(bzimage_alignment_is_honoured)
{
	struct setup_header h = header();
	struct fixture f;

	setup(&f, false);
	h.pref_address = PREF + 0x1000;
	EXPECT(!try_header(&f, &h) && f.image.rip == PREF + 0x200200);
	h.pref_address = 0;
	EXPECT(!try_header(&f, &h) && f.image.rip == 0x200200);
	h.relocatable_kernel = 0;
	EXPECT(try_header(&f, &h) == -EINVAL && said(&f, "below 1 MiB"));
	h.pref_address = PREF + 0x1000;
	EXPECT(!try_header(&f, &h) && f.image.rip == PREF + 0x1200);
	h = header();
	h.kernel_alignment = 0;
	EXPECT(try_header(&f, &h) == -EINVAL && said(&f, "alignment"));
	h.kernel_alignment = 0x3000;
	EXPECT(try_header(&f, &h) == -EINVAL && said(&f, "alignment"));
	teardown(&f);
}

TEST(command_line_limit_is_the_kernels)
{
	static char line[X86_CMDLINE_MAX + 2];
	struct setup_header h = header();
	struct fixture f;

	setup(&f, false);
	memset(line, 'a', 2048);
	f.l.cmdline = line;
	EXPECT(try_header(&f, &h) == -E2BIG);
	EXPECT(said(&f, "2048") && said(&f, "2047"));
	line[2047] = 0;
	EXPECT(!try_header(&f, &h));
	EXPECT(!strcmp((char *)f.low + X86_CMDLINE_GPA, line));
	h.cmdline_size = UINT32_MAX;
	memset(line, 'a', X86_CMDLINE_MAX);
	EXPECT(try_header(&f, &h) == -E2BIG && said(&f, "65535"));
	line[X86_CMDLINE_MAX - 1] = 0;
	EXPECT(!try_header(&f, &h));
	f.l.cmdline = NULL;
	EXPECT(!try_header(&f, &h));
	teardown(&f);
}

TEST(initrd_is_placed_as_high_as_the_kernel_allows)
{
	struct setup_header h = header();
	struct boot_params *bp;
	struct fixture f;
	u64 gpa;

	setup(&f, true);
	initrd_make(&f, 0x3123);
	EXPECT(!try_header(&f, &h));
	bp = zero_page(&f);
	gpa = LOW_SIZE - 0x4000;
	EXPECT(bp->hdr.ramdisk_image == gpa && !bp->ext_ramdisk_image);
	EXPECT(bp->hdr.ramdisk_size == 0x3123 && !bp->ext_ramdisk_size);
	EXPECT(filled(f.low + gpa, 0x3123));
	EXPECT(!f.low[gpa + 0x3123] && !f.low[gpa + 0x3fff]);

	h.initrd_addr_max = 0x2ffffff;
	EXPECT(!try_header(&f, &h));
	EXPECT(zero_page(&f)->hdr.ramdisk_image == 0x2ffc000);

	h.xloadflags |= XLF_CAN_BE_LOADED_ABOVE_4G;
	EXPECT(!try_header(&f, &h));
	bp = zero_page(&f);
	EXPECT(bp->ext_ramdisk_image == 1);
	EXPECT(bp->hdr.ramdisk_image == HIGH_SIZE - 0x4000);
	EXPECT(filled(f.high + HIGH_SIZE - 0x4000, 0x3123));
	teardown(&f);
}

TEST(initrd_may_be_rewritten_once_it_is_loaded)
{
	struct setup_header h = header();
	struct boot_params *bp;
	struct fixture f;

	setup(&f, false);
	bp = (struct boot_params *)(f.low + X86_BOOT_PARAMS_GPA);
	initrd_make(&f, 0x3123);
	EXPECT(!try_header(&f, &h));
	EXPECT(!ftruncate(f.initrd_fd, 0));
	EXPECT(filled(f.low + bp->hdr.ramdisk_image, 0x3123));
	teardown(&f);
}

TEST(initrd_keeps_off_the_kernel)
{
	struct setup_header h = header();
	struct fixture f;

	setup(&f, false);
	initrd_make(&f, 0x2000);
	h.init_size = LOW_SIZE - PREF - 0x2000;
	EXPECT(!try_header(&f, &h));
	EXPECT(zero_page(&f)->hdr.ramdisk_image == LOW_SIZE - 0x2000);
	h.init_size++;
	EXPECT(!try_header(&f, &h));
	EXPECT(zero_page(&f)->hdr.ramdisk_image == PREF - 0x2000);
	EXPECT(filled(f.low + PREF - 0x2000, 0x2000));
	EXPECT(filled(f.low + PREF, IMAGE_BYTES));
	teardown(&f);
}

TEST(archive_of_ours_comes_before_the_initrd)
{
	static u8 archive[0x2000];
	struct setup_header h = header();
	struct boot_params *bp;
	struct fixture f;
	u64 gpa;

	setup(&f, true);
	memset(archive, 0xa5, sizeof(archive));
	f.l.archive = archive;
	f.l.archive_len = sizeof(archive);
	EXPECT(!try_header(&f, &h));
	bp = zero_page(&f);
	gpa = LOW_SIZE - sizeof(archive);
	EXPECT(bp->hdr.ramdisk_image == gpa &&
	       bp->hdr.ramdisk_size == sizeof(archive));
	EXPECT(!memcmp(f.low + gpa, archive, sizeof(archive)));

	initrd_make(&f, 0x3123);
	EXPECT(!try_header(&f, &h));
	gpa = LOW_SIZE - 0x4000 - sizeof(archive);
	EXPECT(zero_page(&f)->hdr.ramdisk_image == gpa);
	EXPECT(zero_page(&f)->hdr.ramdisk_size == 0x3123 + sizeof(archive));
	EXPECT(!memcmp(f.low + gpa, archive, sizeof(archive)));
	EXPECT(filled(f.low + gpa + sizeof(archive), 0x3123));

	f.l.archive_len = LOW_SIZE;
	EXPECT(try_header(&f, &h) == -ENOMEM && said(&f, "initrd"));
	teardown(&f);
}

TEST(initrd_that_does_not_fit_is_refused_with_sizes)
{
	struct setup_header h = header();
	struct fixture f;

	setup(&f, false);
	initrd_make(&f, 0x1000);
	h.init_size = LOW_SIZE - PREF;
	EXPECT(!ftruncate(f.initrd_fd, 15 * MIB));
	EXPECT(!try_header(&f, &h));
	EXPECT(zero_page(&f)->hdr.ramdisk_image == MIB);
	EXPECT(!ftruncate(f.initrd_fd, 15 * MIB + 1));
	EXPECT(try_header(&f, &h) == -ENOMEM);
	EXPECT(said(&f, "initrd") && said(&f, "15361 KiB") &&
	       said(&f, "15360 KiB"));
	EXPECT(!ftruncate(f.initrd_fd, 1LL << 40));
	EXPECT(try_header(&f, &h) == -ENOMEM);
	EXPECT(!ftruncate(f.initrd_fd, 1));
	h.initrd_addr_max = 0;
	EXPECT(try_header(&f, &h) == -ENOMEM);
	teardown(&f);
}

TEST(files_that_are_no_kernel_are_refused)
{
	struct setup_header h = header();
	struct fixture f;
	int p[2];

	setup(&f, false);
	f.l.kernel = "/";
	EXPECT(load(&f) == -EISDIR && said(&f, "kernel /: Is a directory"));
	f.l.kernel = "/nonexistent/file";
	EXPECT(load(&f) == -ENOENT && said(&f, "kernel /nonexistent/file: "));
	f.l.kernel = "/dev/null";
	EXPECT(load(&f) == -EINVAL && said(&f, "not a regular file"));
	EXPECT(!pipe2(p, O_CLOEXEC));
	snprintf(f.kernel, sizeof(f.kernel), "/proc/self/fd/%d", p[0]);
	f.l.kernel = f.kernel;
	EXPECT(load(&f) == -EINVAL && said(&f, "not a regular file"));
	close(p[0]);
	close(p[1]);
	snprintf(f.kernel, sizeof(f.kernel), "/proc/self/fd/%d", f.kernel_fd);
	EXPECT(load(&f) == -EINVAL && said(&f, "empty file"));
	put(f.kernel_fd, "#!/bin/sh\n", 10, 0);
	EXPECT(load(&f) == -EINVAL &&
	       said(&f, "not a bzImage or x86-64 ELF kernel"));
	f.l.initrd = f.initrd;
	EXPECT(try_header(&f, &h) == -EINVAL && said(&f, "initrd /proc"));
	f.l.initrd = "/";
	EXPECT(try_header(&f, &h) == -EISDIR && said(&f, "initrd /: Is a"));
	teardown(&f);
}

/* An ELF kernel: two segments and a note, all to be changed by a test */
struct elf_file {
	struct elf64_hdr eh;
	struct elf64_phdr ph[3];
	struct elf64_note nh;
	char name[4];
	u64 entry;
};

#define ELF_TEXT 0x1000
#define ELF_TEXT_SIZE 0x2345
#define ELF_DATA 0x4100
#define ELF_DATA_SIZE 0x2100

static struct elf_file elf_file(void)
{
	return (struct elf_file){
		.eh = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64,
				     ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_entry = PREF + 0x123,
			.e_phoff = sizeof(struct elf64_hdr),
			.e_phentsize = sizeof(struct elf64_phdr),
			.e_phnum = 3,
		},
		.ph = {
			{ .p_type = PT_LOAD, .p_offset = ELF_TEXT,
			  .p_vaddr = 0xffffffff81000000, .p_paddr = PREF,
			  .p_filesz = ELF_TEXT_SIZE, .p_memsz = 0x3000 },
			{ .p_type = PT_LOAD, .p_offset = ELF_DATA,
			  .p_vaddr = 0xffffffff82000100,
			  .p_paddr = PREF + 0x5100,
			  .p_filesz = ELF_DATA_SIZE, .p_memsz = 0x9000 },
			{ .p_type = PT_NOTE,
			  .p_offset = offsetof(struct elf_file, nh),
			  .p_filesz = sizeof(struct elf64_note) + 12, .p_align = 4 },
		},
		.nh = { 4, 8, 18 },
		.name = "Xen",
		.entry = PREF + 0x40,
	};
}

static int try_elf(struct fixture *f, const struct elf_file *e)
{
	static u8 d[0x8000];

	memset(d, 0, sizeof(d));
	fill(d + ELF_TEXT, ELF_TEXT_SIZE);
	fill(d + ELF_DATA, ELF_DATA_SIZE);
	memcpy(d, e, sizeof(*e));
	put(f->kernel_fd, d, sizeof(d), 0);
	return load(f);
}

static u64 get(struct fixture *f, u64 gpa, unsigned int len)
{
	u64 v = 0;

	memcpy(&v, f->low + gpa, len);
	return v;
}

TEST(elf_with_pvh_note_is_entered_by_it)
{
	struct elf_file e = elf_file();
	struct fixture f;
	u64 i = X86_PVH_INFO_GPA;
	u64 mod, map;

	setup(&f, true);
	initrd_make(&f, 0x1001);
	EXPECT(!try_elf(&f, &e));
	EXPECT(f.image.entry == X86_ENTRY_PVH && f.image.rip == PREF + 0x40);
	EXPECT(filled(f.low + PREF, ELF_TEXT_SIZE));
	EXPECT(!f.low[PREF + ELF_TEXT_SIZE] && !f.low[PREF + 0x2fff]);
	EXPECT(!f.low[PREF + 0x50ff]);
	EXPECT(filled(f.low + PREF + 0x5100, ELF_DATA_SIZE));
	EXPECT(!f.low[PREF + 0x5100 + ELF_DATA_SIZE]);
	EXPECT(get(&f, i, 4) == 0x336ec578 && get(&f, i + 4, 4) == 1);
	EXPECT(get(&f, i + 12, 4) == 1);
	mod = get(&f, i + 16, 8);
	EXPECT(get(&f, i + 24, 8) == X86_CMDLINE_GPA);
	EXPECT(get(&f, i + 32, 8) == X86_ACPI_GPA);
	map = get(&f, i + 40, 8);
	EXPECT(get(&f, i + 48, 4) == 2);
	EXPECT(get(&f, mod, 8) == LOW_SIZE - 0x2000);
	EXPECT(get(&f, mod + 8, 8) == 0x1001);
	EXPECT(get(&f, map + 24, 8) == MIB && get(&f, map + 40, 4) == 1);
	teardown(&f);
}

TEST(elf_without_note_is_entered_at_its_64_bit_entry)
{
	struct elf_file e = elf_file();
	struct boot_params *bp;
	struct fixture f;

	setup(&f, false);
	e.nh.n_type = 17;
	EXPECT(!try_elf(&f, &e));
	EXPECT(f.image.entry == X86_ENTRY_64 && f.image.rip == PREF + 0x123);
	bp = zero_page(&f);
	EXPECT(bp->hdr.header == SETUP_HEADER_MAGIC &&
	       bp->hdr.version == 0x20f && bp->hdr.boot_flag == 0xaa55 &&
	       bp->hdr.kernel_alignment && bp->e820_entries == 2);
	e.eh.e_entry = 0xffffffff82000100 + 0x10;
	EXPECT(!try_elf(&f, &e) && f.image.rip == PREF + 0x5110);
	e.eh.e_entry = 0xffffffff82000100 + ELF_DATA_SIZE;
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "in no segment"));
	teardown(&f);
}

TEST(elf_segments_may_touch_in_any_order)
{
	struct elf_file e = elf_file();
	struct setup_header *h;
	struct elf64_phdr ph;
	struct fixture f;

	setup(&f, false);
	h = &zero_page(&f)->hdr;
	e.eh.e_entry = PREF;
	e.ph[1].p_paddr = PREF + 0x3000;
	/* What is not loaded may be anywhere. */
	e.ph[2] = (struct elf64_phdr){ .p_type = PT_NULL, .p_memsz = 1 };
	for (unsigned int i = 0; i < 2; i++) {
		EXPECT(!try_elf(&f, &e));
		EXPECT(f.image.entry == X86_ENTRY_64 && f.image.rip == PREF);
		EXPECT(filled(f.low + PREF, ELF_TEXT_SIZE));
		EXPECT(filled(f.low + PREF + 0x3000, ELF_DATA_SIZE));
		EXPECT(h->pref_address == PREF && h->init_size == 0x3000 + 0x9000);
		EXPECT(h->cmdline_size == 2047);
		ph = e.ph[0];
		e.ph[0] = e.ph[1];
		e.ph[1] = ph;
	}
	teardown(&f);
}

TEST(elf_is_mapped_into_small_pages_and_read_into_huge_ones)
{
	struct elf_file e = elf_file();
	struct fixture f;

	for (unsigned int huge = 0; huge < 2; huge++) {
		setup(&f, false);
		f.gmem.huge = huge;
		EXPECT(!try_elf(&f, &e));
		EXPECT(f.gmem.nr_files == (huge ? 0 : 2));
		EXPECT(filled(f.low + PREF, ELF_TEXT_SIZE));
		EXPECT(filled(f.low + PREF + 0x5100, ELF_DATA_SIZE));
		teardown(&f);
	}
}

TEST(elf_for_another_machine_is_refused_by_name)
{
	struct elf_file e = elf_file();
	struct fixture f;

	setup(&f, false);
	e.eh.e_machine = EM_AARCH64;
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "arm64"));
	e.eh.e_machine = htobe16(EM_S390);
	e.eh.e_ident[EI_DATA] = ELFDATA2MSB;
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "s390"));
	e = elf_file();
	e.eh.e_machine = 9999;
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "9999"));
	e = elf_file();
	e.eh.e_ident[EI_CLASS] = ELFCLASS32;
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "32-bit"));
	e = elf_file();
	e.eh.e_type = ET_REL;
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "not executable"));
	teardown(&f);
}

TEST(elf_program_headers_are_bounded)
{
	struct elf_file e = elf_file();
	struct fixture f;

	setup(&f, false);
	e.eh.e_phnum = 65;
	EXPECT(try_elf(&f, &e) == -EINVAL);
	e.eh.e_phnum = 0;
	EXPECT(try_elf(&f, &e) == -EINVAL);
	e = elf_file();
	e.eh.e_phentsize = 32;
	EXPECT(try_elf(&f, &e) == -EINVAL);
	e = elf_file();
	e.eh.e_phoff = UINT64_MAX - 8;
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "truncated"));
	e.eh.e_phoff = 0x8000 - 3 * sizeof(struct elf64_phdr) + 1;
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "truncated"));
	e = elf_file();
	e.eh.e_phoff = 0x7000;	/* all of them PT_NULL */
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "nothing to load"));
	teardown(&f);
}

TEST(elf_segments_are_bounded)
{
	static const struct {
		u64 off, filesz, paddr, memsz;
	} bad[] = {
		{ 0x8000, 1, 48 * MIB, 1 },
		{ UINT64_MAX, 2, 48 * MIB, 2 },
		{ 2, UINT64_MAX, 48 * MIB, UINT64_MAX },
		{ 0, 2, 48 * MIB, 1 },
		{ 0, 1, 0, 1 },
		{ 0, 1, MIB - 1, 1 },
		{ 0, 1, LOW_SIZE, 1 },
		{ 0, 2, LOW_SIZE - 1, 2 },
		{ 0, 1, 48 * MIB, 16 * MIB + 1 },
		{ 0, 1, 48 * MIB, UINT64_MAX },
		{ 0, 1, UINT64_MAX, 1 },
		{ 0, 1, SZ_4G, 1 },
		{ 0, 1, PREF + 0x2fff, 1 },
		{ 0, 1, PREF - 1, 2 },
	};
	struct elf_file e = elf_file();
	struct fixture f;

	setup(&f, true);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		e.ph[1].p_offset = bad[i].off;
		e.ph[1].p_filesz = bad[i].filesz;
		e.ph[1].p_paddr = bad[i].paddr;
		e.ph[1].p_memsz = bad[i].memsz;
		EXPECT(try_elf(&f, &e) < 0 && f.r.msg[0]);
		EXPECT(!f.low[PREF]);
	}
	e.ph[1].p_offset = 0x7fff;
	e.ph[1].p_paddr = LOW_SIZE - 1;
	e.ph[1].p_filesz = 1;
	e.ph[1].p_memsz = 1;
	EXPECT(!try_elf(&f, &e));
	teardown(&f);
}

TEST(elf_notes_are_bounded)
{
	static const struct elf64_note bad[] = {
		{ UINT32_MAX, 8, 18 }, { 4, UINT32_MAX, 18 }, { 4, 9, 18 },
		{ 4, 12, 18 }, { 5, 4, 18 }, { 3, 8, 18 }, { 0, 0, 18 },
		{ 4, 0, 18 }, { UINT32_MAX, UINT32_MAX, UINT32_MAX },
	};
	struct elf_file e = elf_file();
	struct fixture f;

	setup(&f, false);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		e.nh = bad[i];
		EXPECT(!try_elf(&f, &e) && f.image.entry == X86_ENTRY_64);
	}
	e = elf_file();
	e.ph[2].p_filesz = 15;
	EXPECT(!try_elf(&f, &e) && f.image.entry == X86_ENTRY_64);
	e.ph[2].p_filesz = UINT64_MAX;
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "cut off"));
	e = elf_file();
	e.entry = PREF - 1;
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "PVH entry"));
	e.entry |= 1ULL << 40;
	EXPECT(try_elf(&f, &e) == -EINVAL && said(&f, "PVH entry"));
	teardown(&f);
}

TEST(elf_rejects_every_truncation)
{
	struct elf_file e = elf_file();
	struct fixture f;

	setup(&f, false);
	EXPECT(!try_elf(&f, &e));
	for (off_t n = ELF_DATA + ELF_DATA_SIZE - 1; n >= 0;
	     n -= n > 0x200 ? 61 : 1) {
		EXPECT(!ftruncate(f.kernel_fd, n));
		EXPECT(load(&f) < 0);
		EXPECT(said(&f, "truncated") || said(&f, "not a bzImage") ||
		       said(&f, "empty file"));
	}
	teardown(&f);
}

TEST(elf_command_line_has_the_limit_of_linux)
{
	struct elf_file e = elf_file();
	char line[2049];
	struct fixture f;

	setup(&f, false);
	memset(line, 'b', 2048);
	line[2048] = 0;
	f.l.cmdline = line;
	EXPECT(try_elf(&f, &e) == -E2BIG && said(&f, "2047"));
	line[2047] = 0;
	EXPECT(!try_elf(&f, &e));
	teardown(&f);
}

/* A multiboot header at the start of the text of an ELF kernel, or of a file */
struct mb_header {
	u32 magic, flags, checksum;
	u32 header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

#define MB_AT ELF_TEXT
#define MB_LOW 0x4000

static struct mb_header mb_header(u32 flags)
{
	return (struct mb_header){
		.magic = 0x1badb002,
		.flags = flags,
		.checksum = -(0x1badb002 + flags),
		.header_addr = PREF + 0x100,
		.load_addr = PREF,
		.load_end_addr = PREF + 0x3000,
		.bss_end_addr = PREF + 0x5000,
		.entry_addr = PREF + 0x200,
	};
}

static int try_mb_elf(struct fixture *f, const struct elf_file *e, u32 flags)
{
	struct mb_header h = mb_header(flags);

	if (!try_elf(f, e) && f->image.entry == X86_ENTRY_MULTIBOOT)
		return -1;
	put(f->kernel_fd, &h, sizeof(h), MB_AT);
	return load(f);
}

/* The same ELF file with headers of 32 bits */
static int try_mb_elf32(struct fixture *f, const struct elf_file *e)
{
	struct mb_header h = mb_header(0);
	struct elf32_hdr eh = {
		.e_type = ET_EXEC, .e_machine = EM_386,
		.e_entry = (u32)e->eh.e_entry, .e_phoff = sizeof(eh),
		.e_phentsize = sizeof(struct elf32_phdr), .e_phnum = 2,
	};
	struct elf32_phdr ph[2];
	static u8 zero[0x1000];

	memcpy(eh.e_ident, e->eh.e_ident, sizeof(eh.e_ident));
	eh.e_ident[EI_CLASS] = ELFCLASS32;
	for (int i = 0; i < 2; i++)
		ph[i] = (struct elf32_phdr){
			.p_type = e->ph[i].p_type,
			.p_offset = (u32)e->ph[i].p_offset,
			.p_vaddr = (u32)e->ph[i].p_vaddr,
			.p_paddr = (u32)e->ph[i].p_paddr,
			.p_filesz = (u32)e->ph[i].p_filesz,
			.p_memsz = (u32)e->ph[i].p_memsz,
		};
	try_elf(f, e);
	put(f->kernel_fd, zero, sizeof(zero), 0);
	put(f->kernel_fd, &eh, sizeof(eh), 0);
	put(f->kernel_fd, ph, sizeof(ph), sizeof(eh));
	put(f->kernel_fd, &h, sizeof(h), MB_AT);
	return load(f);
}

TEST(multiboot_header_comes_before_a_pvh_note)
{
	struct elf_file e = elf_file();
	struct fixture f;

	setup(&f, true);
	EXPECT(!try_mb_elf(&f, &e, 3));
	EXPECT(f.image.entry == X86_ENTRY_MULTIBOOT);
	EXPECT(f.image.rip == PREF + 0x123);
	EXPECT(get(&f, PREF, 4) == 0x1badb002);
	EXPECT(filled(f.low + PREF + 0x5100, ELF_DATA_SIZE));
	e.eh.e_entry = 0xffffffff82000100 + 0x10;
	EXPECT(!try_mb_elf(&f, &e, 0) && f.image.rip == PREF + 0x5110);
	teardown(&f);
}

TEST(multiboot_elf_may_have_32_bits)
{
	struct elf_file e = elf_file();
	struct fixture f;

	setup(&f, false);
	EXPECT(!try_mb_elf32(&f, &e));
	EXPECT(f.image.entry == X86_ENTRY_MULTIBOOT);
	EXPECT(f.image.rip == PREF + 0x123);
	EXPECT(get(&f, PREF, 4) == 0x1badb002);
	EXPECT(filled(f.low + PREF + 0x5100, ELF_DATA_SIZE));
	e.ph[0].p_filesz = 0xffffffff;
	EXPECT(try_mb_elf32(&f, &e) == -EINVAL && said(&f, "cut off"));
	e = elf_file();
	e.ph[1].p_paddr = 0xffffffff;
	EXPECT(try_mb_elf32(&f, &e) == -ENOMEM);
	/* That is no matter of multiboot. */
	put(f.kernel_fd, "\0", 1, MB_AT);
	EXPECT(load(&f) == -EINVAL && said(&f, "i386"));
	teardown(&f);
}

TEST(multiboot_information_is_complete)
{
	struct elf_file e = elf_file();
	struct fixture f;
	char line[64];
	u64 i, mod, map;

	setup(&f, true);
	initrd_make(&f, 0x1001);
	EXPECT(!try_mb_elf(&f, &e, 3));
	i = f.image.info;
	EXPECT(i >= X86_LOW_GPA && i < X86_EBDA_GPA);
	EXPECT(get(&f, i, 4) == 0x24d);
	EXPECT(get(&f, i + 4, 4) == 639 && get(&f, i + 8, 4) == 63 * 1024);
	snprintf(line, sizeof(line), "%s console=ttyS0", f.kernel);
	EXPECT(!strcmp((char *)f.low + get(&f, i + 16, 4), line));
	EXPECT(!strcmp((char *)f.low + get(&f, i + 64, 4), "lkvm"));
	EXPECT(get(&f, i + 20, 4) == 1);
	mod = get(&f, i + 24, 4);
	EXPECT(get(&f, mod, 4) == LOW_SIZE - 0x2000);
	EXPECT(get(&f, mod + 4, 4) == LOW_SIZE - 0x2000 + 0x1001);
	EXPECT(filled(f.low + get(&f, mod, 4), 0x1001));
	EXPECT(!strcmp((char *)f.low + get(&f, mod + 8, 4), f.initrd));
	EXPECT(get(&f, i + 44, 4) == 2 * 24);
	map = get(&f, i + 48, 4) + 24;
	EXPECT(get(&f, map, 4) == 20 && get(&f, map + 4, 8) == MIB);
	EXPECT(get(&f, map + 12, 8) == LOW_SIZE - MIB);
	EXPECT(get(&f, map + 20, 4) == 1);
	f.l.cmdline = NULL;
	f.l.initrd = NULL;
	EXPECT(!load(&f));
	i = f.image.info;
	EXPECT(!strcmp((char *)f.low + get(&f, i + 16, 4), f.kernel));
	EXPECT(!get(&f, i + 20, 4));
	teardown(&f);
}

/* A file that begins with 0x100 bytes and the header, and is no ELF file */
static int try_mb_flat(struct fixture *f, const struct mb_header *h)
{
	static u8 d[0x3000];

	fill(d, sizeof(d));
	put(f->kernel_fd, d, sizeof(d), 0);
	put(f->kernel_fd, h, sizeof(*h), 0x100);
	return load(f);
}

TEST(multiboot_header_may_have_addresses)
{
	struct mb_header h = mb_header(BIT(16));
	struct fixture f;

	setup(&f, false);
	EXPECT(!try_mb_flat(&f, &h));
	EXPECT(f.image.entry == X86_ENTRY_MULTIBOOT);
	EXPECT(f.image.rip == PREF + 0x200);
	EXPECT(filled(f.low + PREF, 0x100));
	EXPECT(get(&f, PREF + 0x100, 4) == 0x1badb002);
	EXPECT(!f.low[PREF + 0x3000]);
	/* All of the file, nothing behind it, and not from its start */
	h.load_end_addr = 0;
	h.bss_end_addr = 0;
	h.load_addr = PREF + 0x80;
	EXPECT(!try_mb_flat(&f, &h) && f.image.rip == PREF + 0x200);
	h = mb_header(0);
	EXPECT(try_mb_flat(&f, &h) == -EINVAL && said(&f, "without addresses"));
	teardown(&f);
}

TEST(multiboot_addresses_are_checked)
{
	static const struct {
		u32 header, load, end, bss, entry;
	} bad[] = {
		{ PREF - 1, PREF, PREF + 0x3000, 0, PREF },
		{ PREF + 0x101, PREF, PREF + 0x3000, 0, PREF },
		{ 0, PREF, 0, 0, PREF },
		{ PREF + 0x100, PREF, PREF, 0, PREF },
		{ PREF + 0x100, PREF, PREF - 1, 0, PREF },
		{ PREF + 0x100, PREF, PREF + 0x3001, 0, PREF },
		{ PREF + 0x100, PREF, PREF + 0x3000, PREF + 0x2fff, PREF },
		{ PREF + 0x100, PREF, PREF + 0x3000, UINT32_MAX, PREF },
		{ PREF + 0x100, PREF, PREF + 0x3000, 0, PREF - 1 },
		{ PREF + 0x100, PREF, PREF + 0x3000, 0, PREF + 0x3000 },
		{ 0x100, 0, 0, 0, 0 },
		{ 0x1100, 0x1000, 0, 0, 0x1000 },
		{ X86_EBDA_GPA, X86_EBDA_GPA - 0x100, 0, 0, X86_EBDA_GPA },
		{ 0xe0100, 0xe0000, 0, 0, 0xe0000 },
		{ LOW_SIZE - 0x1000, LOW_SIZE - 0x1100, 0, 0, LOW_SIZE - 0x1000 },
		{ UINT32_MAX, UINT32_MAX - 0x100, 0, 0, UINT32_MAX },
	};
	struct mb_header h = mb_header(BIT(16));
	struct fixture f;

	setup(&f, true);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		h.header_addr = bad[i].header;
		h.load_addr = bad[i].load;
		h.load_end_addr = bad[i].end;
		h.bss_end_addr = bad[i].bss;
		h.entry_addr = bad[i].entry;
		EXPECT(try_mb_flat(&f, &h) < 0 && f.r.msg[0]);
		EXPECT(!f.low[PREF]);
	}
	teardown(&f);
}

TEST(multiboot_requirements_that_are_unknown_are_refused)
{
	struct mb_header h;
	struct fixture f;

	setup(&f, false);
	for (unsigned int bit = 2; bit < 16; bit++) {
		h = mb_header(BIT(16) | BIT(bit));
		EXPECT(try_mb_flat(&f, &h) == -EINVAL && said(&f, "asks for"));
	}
	for (unsigned int bit = 17; bit < 32; bit++) {
		h = mb_header(BIT(16) | BIT(bit));
		EXPECT(!try_mb_flat(&f, &h));
	}
	h = mb_header(BIT(16) | 3);
	h.checksum++;
	EXPECT(try_mb_flat(&f, &h) == -EINVAL && said(&f, "not a bzImage"));
	teardown(&f);
}

TEST(multiboot_header_is_in_the_first_8_kib)
{
	struct mb_header h = mb_header(BIT(16));
	static const u8 nothing[sizeof(h)];
	struct fixture f;

	setup(&f, false);
	EXPECT(!ftruncate(f.kernel_fd, 0x3000));
	h.header_addr = PREF + 0x2000 - sizeof(h);
	put(f.kernel_fd, &h, sizeof(h), 0x2000 - sizeof(h));
	EXPECT(!load(&f));
	put(f.kernel_fd, nothing, sizeof(h), 0x2000 - sizeof(h));
	put(f.kernel_fd, &h, sizeof(h), 0x2004 - sizeof(h));
	EXPECT(load(&f) == -EINVAL && said(&f, "truncated"));
	put(f.kernel_fd, nothing, sizeof(h), 0x2004 - sizeof(h));
	put(f.kernel_fd, &h, sizeof(h), 0x1ff8);
	EXPECT(load(&f) == -EINVAL && said(&f, "not a bzImage"));
	teardown(&f);
}

TEST(multiboot_kernel_may_be_below_1_mib)
{
	static char line[X86_CMDLINE_MAX];
	struct mb_header h = mb_header(BIT(16));
	struct fixture f;

	setup(&f, false);
	memset(line, 'c', sizeof(line) - 1);
	f.l.cmdline = line;
	h.load_addr = MB_LOW;
	h.header_addr = MB_LOW + 0x100;
	h.entry_addr = MB_LOW;
	h.load_end_addr = 0;
	h.bss_end_addr = 0;
	EXPECT(!try_mb_flat(&f, &h) && f.image.rip == MB_LOW);
	EXPECT(f.image.info >= MB_LOW + 0x3000 && f.image.info < X86_EBDA_GPA);
	/* There is no room beside it then. */
	h.bss_end_addr = X86_EBDA_GPA - 0x1000;
	EXPECT(!try_mb_flat(&f, &h) && f.image.info >= MIB);
	EXPECT(f.image.info < LOW_SIZE);
	initrd_make(&f, 0x1001);
	EXPECT(!try_mb_flat(&f, &h) && f.image.info >= MIB);
	EXPECT(f.image.info < LOW_SIZE - 0x2000 - sizeof(line));
	EXPECT(filled(f.low + LOW_SIZE - 0x2000, 0x1001));
	teardown(&f);
}

TEST(multiboot_rejects_every_truncation)
{
	struct mb_header h = mb_header(BIT(16));
	struct fixture f;

	setup(&f, false);
	EXPECT(!try_mb_flat(&f, &h));
	for (off_t n = 0x2fff; n > 0; n -= n > 0x200 ? 61 : 1) {
		EXPECT(!ftruncate(f.kernel_fd, n));
		EXPECT(load(&f) < 0);
		EXPECT(said(&f, "truncated") || said(&f, "not a bzImage"));
	}
	teardown(&f);
}

TEST_MAIN(T(bzimage_is_placed_at_its_preferred_address),
	  T(bzimage_is_private_to_the_guest),
	  T(bzimage_with_zero_setup_sects_means_four),
	  T(bzimage_rejects_every_truncation),
	  T(bzimage_rejects_every_short_setup_header),
	  T(bzimage_without_64_bit_entry_is_refused),
	  T(bzimage_rejects_addresses_that_are_no_ram),
	  T(bzimage_alignment_is_honoured),
	  T(command_line_limit_is_the_kernels),
	  T(initrd_is_placed_as_high_as_the_kernel_allows),
	  T(initrd_may_be_rewritten_once_it_is_loaded),
	  T(initrd_keeps_off_the_kernel),
	  T(archive_of_ours_comes_before_the_initrd),
	  T(initrd_that_does_not_fit_is_refused_with_sizes),
	  T(files_that_are_no_kernel_are_refused),
	  T(elf_with_pvh_note_is_entered_by_it),
	  T(elf_without_note_is_entered_at_its_64_bit_entry),
	  T(elf_segments_may_touch_in_any_order),
	  T(elf_is_mapped_into_small_pages_and_read_into_huge_ones),
	  T(elf_for_another_machine_is_refused_by_name),
	  T(elf_program_headers_are_bounded),
	  T(elf_segments_are_bounded),
	  T(elf_notes_are_bounded),
	  T(elf_rejects_every_truncation),
	  T(elf_command_line_has_the_limit_of_linux),
	  T(multiboot_header_comes_before_a_pvh_note),
	  T(multiboot_elf_may_have_32_bits),
	  T(multiboot_information_is_complete),
	  T(multiboot_header_may_have_addresses),
	  T(multiboot_addresses_are_checked),
	  T(multiboot_requirements_that_are_unknown_are_refused),
	  T(multiboot_header_is_in_the_first_8_kib),
	  T(multiboot_kernel_may_be_below_1_mib),
	  T(multiboot_rejects_every_truncation))
