// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * A vmlinux, or another x86-64 ELF kernel. Its PT_LOAD segments go to their
 * physical addresses. A Xen note PHYS32_ENTRY (type 18; the PVH boot ABI of
 * Xen, docs/misc/pvh.pandoc) names a 32-bit entry, which is preferred because
 * it is an ABI; without it the ELF entry is taken for the 64-bit entry of
 * Linux. That one is a physical address in vmlinux; a virtual address inside
 * a segment is translated.
 *
 * Only called while a VM is set up, on the main thread; no locks. The file is
 * foreign: header, program headers and notes are each copied once and checked.
 * What lies between p_filesz and p_memsz is fresh guest RAM, which is zero,
 * so segments may not overlap.
 *
 * For multiboot.c it may be a 32-bit ELF file, too, whose headers are widened to
 * 64 bits, and its entry is the 32-bit one.
 *
 * Not supported: relocation, sections of any kind, and notes behind the first
 * 64 KiB of a note segment.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/elf.h>
#include "x86/load.h"

#define XEN_NOTE_NAME "Xen"
#define XEN_NOTE_PHYS32_ENTRY 18U
#define NOTES_MAX 0x10000U
#define LINUX_COMMAND_LINE_SIZE 2048U	/* with the NUL */
#define LINUX_KERNEL_ALIGN 0x200000U

bool elf_probe(const struct load_kernel *k)
{
	return k->head_len >= SELFMAG && !memcmp(k->head, ELFMAG, SELFMAG);
}

static const char *machine_name(unsigned int machine)
{
	static const struct {
		u16 machine;
		const char *name;
	} table[] = {
		{ EM_386, "i386" }, { EM_ARM, "arm" },
		{ EM_AARCH64, "arm64" }, { EM_RISCV, "riscv" },
		{ EM_PPC, "powerpc" }, { EM_PPC64, "powerpc64" },
		{ EM_S390, "s390" }, { EM_MIPS, "mips" },
		{ EM_SPARCV9, "sparc64" }, { EM_IA_64, "ia64" },
		{ 258, "loongarch" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].machine == machine)
			return table[i].name;
	return NULL;
}

/* Whose headers are short, and why it may be */
static bool is_32_bit(const struct load_kernel *k)
{
	return k->image.entry == X86_ENTRY_MULTIBOOT &&
	       k->head[EI_CLASS] == ELFCLASS32;
}

static int check_machine(const struct load_kernel *k)
{
	const struct load_file *f = &k->file;
	const u8 *head = k->head;
	const char *name;
	u16 machine;

	memcpy(&machine, head + offsetof(struct elf64_hdr, e_machine), sizeof(machine));
	machine = head[EI_DATA] == ELFDATA2MSB ? be16toh(machine) :
						 le16toh(machine);
	if (is_32_bit(k) && machine == EM_386 && head[EI_DATA] == ELFDATA2LSB)
		return 0;
	name = machine_name(machine);
	if (name)
		return report_error(f->r, 0, "kernel %s: an ELF file for %s, not x86-64",
				    f->path, name);
	if (machine != EM_X86_64 || head[EI_DATA] != ELFDATA2LSB)
		return report_error(f->r, 0, "kernel %s: an ELF file for machine %u, not x86-64",
				    f->path, machine);
	if (head[EI_CLASS] != ELFCLASS64 && !is_32_bit(k))
		return report_error(f->r, 0, "kernel %s: a 32-bit ELF file",
				    f->path);
	return 0;
}

static void copy_header(const struct load_kernel *k, struct elf64_hdr *eh)
{
	struct elf32_hdr eh32;

	memcpy(eh, k->head, sizeof(*eh));
	if (!is_32_bit(k))
		return;
	memcpy(&eh32, k->head, sizeof(eh32));
	eh->e_type = eh32.e_type;
	eh->e_entry = eh32.e_entry;
	eh->e_phoff = eh32.e_phoff;
	eh->e_phentsize = eh32.e_phentsize;
	eh->e_phnum = eh32.e_phnum;
}

static int check_header(const struct load_kernel *k, struct elf64_hdr *eh)
{
	const struct load_file *f = &k->file;
	u64 entry = is_32_bit(k) ? sizeof(struct elf32_phdr) :
				   sizeof(struct elf64_phdr);
	u64 table;
	int err;

	if (k->head_len < sizeof(*eh))
		return report_error(f->r, 0, "kernel %s: truncated in its ELF header",
				    f->path);
	err = check_machine(k);
	if (err)
		return err;
	copy_header(k, eh);
	if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
		return report_error(f->r, 0, "kernel %s: an ELF file that is not executable",
				    f->path);
	if (!eh->e_phnum || eh->e_phnum > ELF_MAX_SEGMENTS ||
	    eh->e_phentsize != entry)
		return report_error(f->r, 0, "kernel %s: %u program headers of %u bytes",
				    f->path, eh->e_phnum, eh->e_phentsize);
	table = eh->e_phnum * entry;
	if (eh->e_phoff > f->size || table > f->size - eh->e_phoff)
		return report_error(f->r, 0, "kernel %s: truncated in its program headers",
				    f->path);
	return 0;
}

static int check_in_file(const struct load_file *f, unsigned int nr, u64 off,
			 u64 filesz)
{
	if (off > f->size || filesz > f->size - off)
		return report_error(f->r, 0, "kernel %s: truncated, segment %u is cut off",
				    f->path, nr);
	return 0;
}

static int check_segment(const struct load_kernel *k, unsigned int nr,
			 const struct elf_segment *s)
{
	int err = check_in_file(&k->file, nr, s->off, s->filesz);

	if (err)
		return err;
	if (s->filesz > s->memsz)
		return report_error(k->file.r, 0,
				    "kernel %s: segment %u is larger than its memory",
				    k->file.path, nr);
	return load_check_ram(k, s->paddr, s->memsz);
}

int elf_add_segment(struct load_kernel *k, struct elf_plan *p, unsigned int nr,
		    const struct elf_segment *s)
{
	u64 start = s->paddr;
	u64 end = start + s->memsz;
	int err = check_segment(k, nr, s);

	if (err)
		return err;
	for (unsigned int i = 0; i < p->nr; i++) {
		const struct elf_segment *o = &p->segment[i];

		if (start < o->paddr + o->memsz && o->paddr < end)
			return report_error(k->file.r, 0, "kernel %s: segments overlap at 0x%llx",
					    k->file.path,
					    (unsigned long long)MAX(start, o->paddr));
	}
	p->segment[p->nr++] = *s;
	k->start = p->nr == 1 ? start : MIN(k->start, start);
	k->end = MAX(k->end, end);
	return 0;
}

static bool range_has(u64 start, u64 len, u64 addr)
{
	return addr >= start && addr - start < len;
}

static bool is_loaded(const struct elf_plan *p, u64 paddr)
{
	for (unsigned int i = 0; i < p->nr; i++)
		if (range_has(p->segment[i].paddr, p->segment[i].filesz, paddr))
			return true;
	return false;
}

/* One pass over a note segment. Return: whether the entry was found */
static bool find_pvh_note(const u8 *buf, u64 len, u64 align, u64 *entry)
{
	u64 off = 0;

	while (off <= len && len - off >= sizeof(struct elf64_note)) {
		struct elf64_note nh;
		u64 name, desc;

		memcpy(&nh, buf + off, sizeof(nh));
		name = off + sizeof(nh);
		desc = ALIGN_UP(name + nh.n_namesz, align);
		if (desc > len || nh.n_descsz > len - desc)
			return false;
		if (nh.n_type == XEN_NOTE_PHYS32_ENTRY &&
		    nh.n_namesz == sizeof(XEN_NOTE_NAME) &&
		    !memcmp(buf + name, XEN_NOTE_NAME, sizeof(XEN_NOTE_NAME)) &&
		    (nh.n_descsz == 4 || nh.n_descsz == 8)) {
			*entry = 0;
			memcpy(entry, buf + desc, nh.n_descsz);
			return true;
		}
		off = ALIGN_UP(desc + nh.n_descsz, align);
	}
	return false;
}

/* Return: 1 with *@entry, 0 when there is none, -errno */
static int read_pvh_note(const struct load_file *f, const struct elf64_phdr *ph,
			 u64 *entry)
{
	u64 len = MIN(ph->p_filesz, (u64)NOTES_MAX);
	u8 *buf;
	int err;

	if (!len)
		return 0;
	buf = malloc(len);
	if (!buf)
		return report_error(f->r, ENOMEM, "kernel %s", f->path);
	err = load_read(f, buf, len, ph->p_offset);
	if (!err)
		err = find_pvh_note(buf, len, ph->p_align == 8 ? 8 : 4, entry);
	free(buf);
	return err;
}

/* The 64-bit entry needs a zero page whose setup header no file provides. */
static void make_setup(struct load_kernel *k)
{
	struct setup_header h = {
		.boot_flag = SETUP_BOOT_FLAG,
		.header = SETUP_HEADER_MAGIC,
		.version = 0x020f,
		.initrd_addr_max = UINT32_MAX,
		.kernel_alignment = LINUX_KERNEL_ALIGN,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = LINUX_COMMAND_LINE_SIZE - 1,
		.pref_address = k->start,
		.init_size = k->end - k->start,
	};

	memcpy(k->setup, &h, sizeof(h));
	k->setup_len = sizeof(h);
}

/* A physical address, or a virtual one of a segment */
static int choose_entry(struct load_kernel *k, const struct elf_plan *p,
			u64 entry)
{
	k->image.rip = entry;
	if (is_loaded(p, entry))
		return 0;
	for (unsigned int i = 0; i < p->nr; i++) {
		const struct elf_segment *s = &p->segment[i];

		if (range_has(s->vaddr, s->filesz, entry)) {
			k->image.rip = s->paddr + (entry - s->vaddr);
			return 0;
		}
	}
	return report_error(k->file.r, 0, "kernel %s: entry 0x%llx is in no segment",
			    k->file.path, (unsigned long long)entry);
}

static int choose_linux_entry(struct load_kernel *k, const struct elf_plan *p,
			      const struct elf64_hdr *eh,
			      const struct elf64_phdr *ph)
{
	u64 entry;

	for (unsigned int i = 0; i < eh->e_phnum; i++) {
		int found;

		if (ph[i].p_type != PT_NOTE)
			continue;
		found = read_pvh_note(&k->file, &ph[i], &entry);
		if (found < 0)
			return found;
		if (!found)
			continue;
		if (!is_loaded(p, entry))
			return report_error(k->file.r, 0,
					    "kernel %s: PVH entry 0x%llx is in no segment",
					    k->file.path,
					    (unsigned long long)entry);
		k->image.entry = X86_ENTRY_PVH;
		k->image.rip = entry;
		return 0;
	}
	make_setup(k);
	return choose_entry(k, p, eh->e_entry);
}

static int read_table(const struct load_kernel *k, const struct elf64_hdr *eh,
		      struct elf64_phdr *ph)
{
	struct elf32_phdr ph32[ELF_MAX_SEGMENTS];
	int err;

	if (!is_32_bit(k))
		return load_read(&k->file, ph, eh->e_phnum * sizeof(*ph),
				 eh->e_phoff);
	err = load_read(&k->file, ph32, eh->e_phnum * sizeof(ph32[0]),
			eh->e_phoff);
	for (unsigned int i = 0; i < eh->e_phnum && !err; i++)
		ph[i] = (struct elf64_phdr){
			.p_type = ph32[i].p_type,
			.p_offset = ph32[i].p_offset,
			.p_vaddr = ph32[i].p_vaddr,
			.p_paddr = ph32[i].p_paddr,
			.p_filesz = ph32[i].p_filesz,
			.p_memsz = ph32[i].p_memsz,
		};
	return err;
}

static int plan_segments(struct load_kernel *k, struct elf_plan *p,
			 struct elf64_hdr *eh, struct elf64_phdr *ph)
{
	int err = check_header(k, eh);

	if (!err)
		err = read_table(k, eh, ph);
	p->nr = 0;
	for (unsigned int i = 0; !err && i < eh->e_phnum; i++) {
		const struct elf_segment s = {
			.off = ph[i].p_offset,
			.filesz = ph[i].p_filesz,
			.paddr = ph[i].p_paddr,
			.vaddr = ph[i].p_vaddr,
			.memsz = ph[i].p_memsz,
		};

		if (ph[i].p_type == PT_LOAD && s.memsz)
			err = elf_add_segment(k, p, i, &s);
		else if (ph[i].p_type == PT_NOTE)
			err = check_in_file(&k->file, i, s.off, s.filesz);
	}
	if (!err && !p->nr)
		err = report_error(k->file.r, 0,
				   "kernel %s: an ELF file with nothing to load",
				   k->file.path);
	return err;
}

int elf_plan(struct load_kernel *k, struct elf_plan *p)
{
	struct elf64_phdr ph[ELF_MAX_SEGMENTS];
	struct elf64_hdr eh;
	int err;

	k->image.entry = X86_ENTRY_64;
	err = plan_segments(k, p, &eh, ph);
	if (err)
		return err;
	k->cmdline_max = LINUX_COMMAND_LINE_SIZE - 1;
	/* PVH of Linux keeps 32 bits of a module's address */
	k->initrd_max = UINT32_MAX;
	return choose_linux_entry(k, p, &eh, ph);
}

int elf_plan_multiboot(struct load_kernel *k, struct elf_plan *p)
{
	struct elf64_phdr ph[ELF_MAX_SEGMENTS];
	struct elf64_hdr eh;
	int err = plan_segments(k, p, &eh, ph);

	return err ? err : choose_entry(k, p, eh.e_entry);
}

int elf_place(const struct load_kernel *k, const struct elf_plan *p)
{
	for (unsigned int i = 0; i < p->nr; i++) {
		const struct elf_segment *s = &p->segment[i];
		int err = load_place(&k->file, s->off, s->paddr, s->filesz);

		if (err)
			return err;
	}
	return 0;
}
