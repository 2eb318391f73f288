/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of x86/ share: the memory map, and each other's entry points. */
#ifndef KVM__X86_H
#define KVM__X86_H

#include "kvm/gmem.h"
#include "kvm/pci.h"
#include "kvm/report.h"

struct kvm_cpuid2;

/*
 * Guest-physical map. RAM below X86_RAM_LOW_MAX, the rest of it from 4 GiB.
 * 0x1000  GDT, 0x6000 PVH info and boot_params, 0x9000 page tables, 0x20000 cmdline,
 * 0x9fc00 EBDA (MP floating pointer), 0xe0000 ACPI tables, 0x100000 kernel.
 */
#define X86_RAM_LOW_MAX		0xc0000000ULL
#define X86_ECAM_GPA		0xc0000000ULL
#define X86_ECAM_SIZE		0x100000ULL	/* bus 0 */
#define X86_PCI_MMIO_GPA	0xd0000000ULL
#define X86_PCI_MMIO_SIZE	0x20000000ULL
#define X86_PCI_PORT		0x1000
#define X86_PCI_NR_PORTS	0xf000
#define X86_VIRTIO_MMIO_GPA	0xfeb00000ULL
#define X86_VIRTIO_MMIO_STRIDE	0x1000ULL
#define X86_IOAPIC_GPA		0xfec00000ULL
#define X86_LAPIC_GPA		0xfee00000ULL
#define X86_TSS_GPA		0xfffbd000ULL
#define X86_IDENTITY_MAP_GPA	0xfffbc000ULL

#define X86_GDT_GPA		0x1000ULL
#define X86_LOW_GPA		0x2000ULL	/* free for a multiboot kernel, to the EBDA */
#define X86_PVH_INFO_GPA	0x6000ULL
#define X86_BOOT_PARAMS_GPA	0x7000ULL
#define X86_PAGE_TABLE_GPA	0x9000ULL	/* up to 0x10000 */
#define X86_CMDLINE_GPA		0x20000ULL
#define X86_CMDLINE_MAX		0x10000U
#define X86_EBDA_GPA		0x9fc00ULL
#define X86_MPTABLE_GPA		0xf0000ULL	/* to 0xfffff; pointer at 0xf0000 */
#define X86_ACPI_GPA		0xe0000ULL	/* RSDP here, tables behind it */
#define X86_ACPI_SIZE		0x10000ULL
#define X86_KERNEL_GPA		0x100000ULL

#define X86_GSI_SCI		9
#define X86_GSI_INTX		16		/* four of them, 16..19 */
#define X86_PORT_PM1_EVT	0x600
#define X86_PORT_PM1_CNT	0x604
#define X86_PORT_GPE0		0x608
#define X86_GPE0_LEN		2
#define X86_GPE_HOTPLUG		1
#define X86_PORT_HOTPLUG	0x620
#define X86_PORT_RESET		0xcf9
#define X86_PORT_PVPANIC	0x505

/** struct x86_mmio_slot - a virtio-mmio device, for the DSDT */
struct x86_mmio_slot {
	u64 gpa;
	unsigned int gsi;
};

/**
 * struct x86_tables - what firmware tables describe
 * @pci: NULL for a machine without PCI
 * @virtio_mmio: @nr_virtio_mmio of them
 */
struct x86_tables {
	struct gmem *gmem;
	unsigned int nr_cpus;
	const struct pci_bus *pci;
	const struct x86_mmio_slot *virtio_mmio;
	unsigned int nr_virtio_mmio;
};

/** acpi_write_tables() - RSDP at X86_ACPI_GPA and all behind it; -ENOSPC */
int acpi_write_tables(const struct x86_tables *t, struct report *r);
/** mptable_write() - MP 1.4 tables for the first 254 CPUs */
int mptable_write(const struct x86_tables *t, struct report *r);

/** struct e820 - the memory map, ascending; types of the boot protocol */
struct e820 {
	struct {
		u64 addr;
		u64 size;
		u32 type;
	} entry[16];
	unsigned int nr;
};

/** e820_build() - from RAM and the fixed holes */
void e820_build(struct e820 *map, const struct gmem *gmem);

enum x86_entry { X86_ENTRY_64, X86_ENTRY_PVH, X86_ENTRY_MULTIBOOT };

/**
 * struct x86_image - a loaded kernel
 * @rip: where to begin; @entry: in what mode
 * @info: gpa of what the entry is told
 */
struct x86_image {
	enum x86_entry entry;
	u64 rip;
	u64 info;
};

/**
 * struct x86_load - what to load; @acpi_rsdp 0 for no ACPI
 * @archive: @archive_len bytes of initramfs that come in front of @initrd; a
 *	multiple of 4 KiB
 * @kept: descriptors of @kernel and @initrd, which are opened where they are -1
 *	and stay open; NULL, and they are closed in the end
 */
struct x86_load {
	struct gmem *gmem;
	const char *kernel;
	const char *initrd;
	const void *archive;
	u64 archive_len;
	const char *cmdline;
	const struct e820 *e820;
	u64 acpi_rsdp;
	int *kept;
};

/**
 * x86_load_image() - kernel, initrd, command line, and what tells of them
 * @out: filled on success
 *
 * A page-aligned part of the file is mapped privately over guest RAM where
 * that is possible and RAM is not of huge pages, and read where not. Memory that
 * was not touched is zero, and is not zeroed again.
 * Return: 0, or -errno with one line in @r. Files are never written.
 */
int x86_load_image(const struct x86_load *l, struct x86_image *out,
		   struct report *r);

/** x86_cpuid_patch() - make KVM's CPUID that of CPU @id of @nr */
void x86_cpuid_patch(struct kvm_cpuid2 *cpuid, unsigned int max,
		     unsigned int id, unsigned int nr, bool tsc_deadline);

#endif
