// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * A bzImage, by Documentation/arch/x86/boot.rst: a real-mode part, which is
 * skipped, then the protected-mode kernel, which is placed at its preferred
 * address and entered at its 64-bit entry, 0x200 bytes in. It unpacks itself;
 * nothing is decompressed here. Where it unpacks to is never below the
 * preferred address, so there is no point in placing it lower when memory is
 * short.
 *
 * Only called while a VM is set up, on the main thread; no locks. The file is
 * foreign: every decision is made on the one copy of its first page, and every
 * sum is checked. The content is what the guest will run, and can hurt nobody
 * else.
 *
 * Not supported: boot protocols before 2.12, kernels without a 64-bit entry,
 * kernels above 4 GiB.
 */
#include <string.h>
#include "kvm/arch.h"
#include "x86/load.h"

#define BOOT_PROTOCOL_MIN 0x020cU
#define ENTRY_64_OFF 0x200U
#define SECTOR_SIZE 512U
#define DEFAULT_SETUP_SECTS 4U

static u32 head_u32(const struct load_kernel *k, size_t off)
{
	u32 v;

	memcpy(&v, k->head + off, sizeof(v));
	return le32toh(v);
}

bool bzimage_probe(const struct load_kernel *k)
{
	if (k->head_len < 0x206)
		return false;
	return k->head[0x1fe] == 0x55 && k->head[0x1ff] == 0xaa &&
	       head_u32(k, 0x202) == SETUP_HEADER_MAGIC;
}

/* The header says how long it is: the jump at 0x200 leads to its end. */
static int setup_copy(struct load_kernel *k, struct setup_header *h)
{
	const struct load_file *f = &k->file;
	size_t end = 0x202 + k->head[0x201];

	if (end > k->head_len)
		return report_error(f->r, 0, "kernel %s: truncated in its setup header",
				    f->path);
	k->setup_len = MIN(end, (size_t)SETUP_HEADER_END) - SETUP_HEADER_OFF;
	memcpy(k->setup, k->head + SETUP_HEADER_OFF, k->setup_len);
	memset(h, 0, sizeof(*h));
	memcpy(h, k->setup, MIN(k->setup_len, sizeof(*h)));
	if (h->version < BOOT_PROTOCOL_MIN)
		return report_error(f->r, 0,
				    "kernel %s: boot protocol %u.%02u, no 64-bit entry before 2.12",
				    f->path, h->version >> 8,
				    h->version & 0xff);
	if (k->setup_len < offsetof(struct setup_header, init_size) +
			   sizeof(h->init_size))
		return report_error(f->r, 0, "kernel %s: setup header of only %zu bytes",
				    f->path, k->setup_len);
	if (!(h->xloadflags & XLF_KERNEL_64))
		return report_error(f->r, 0, "kernel %s: no 64-bit entry",
				    f->path);
	return 0;
}

static u64 setup_size(u8 setup_sects)
{
	return (setup_sects ? setup_sects + 1U : DEFAULT_SETUP_SECTS + 1U) *
	       (u64)SECTOR_SIZE;
}

static int check_size(const struct load_file *f, const struct setup_header *h)
{
	u64 setup = setup_size(h->setup_sects);
	u64 need = setup + (u64)h->syssize * 16;

	if (need > f->size)
		return report_error(f->r, 0, "kernel %s: truncated, %llu of %llu bytes",
				    f->path, (unsigned long long)f->size,
				    (unsigned long long)need);
	if (need - setup <= ENTRY_64_OFF)
		return report_error(f->r, 0, "kernel %s: too small for a 64-bit entry",
				    f->path);
	return 0;
}

static int choose_address(struct load_kernel *k, const struct setup_header *h)
{
	const struct load_file *f = &k->file;
	u64 align = h->kernel_alignment;
	u64 start = h->pref_address;
	u64 size = MAX((u64)h->init_size, (u64)h->syssize * 16);
	int err;

	if (h->relocatable_kernel) {
		if (!align || (align & (align - 1)))
			return report_error(f->r, 0, "kernel %s: bad alignment 0x%llx",
					    f->path, (unsigned long long)align);
		start = MAX(start, X86_KERNEL_GPA);
		if (__builtin_add_overflow(start, align - 1, &start))
			return report_error(f->r, 0, "kernel %s: bad preferred address 0x%llx",
					    f->path,
					    (unsigned long long)h->pref_address);
		start &= ~(align - 1);
	}
	err = load_check_ram(k, start, size);
	if (err)
		return err;
	k->start = start;
	k->end = start + size;
	return 0;
}

int bzimage_plan(struct load_kernel *k)
{
	struct setup_header h;
	int err;

	err = setup_copy(k, &h);
	if (err)
		return err;
	err = check_size(&k->file, &h);
	if (err)
		return err;
	err = choose_address(k, &h);
	if (err)
		return err;
	k->cmdline_max = h.cmdline_size;
	k->initrd_max = h.initrd_addr_max;
	if (h.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G)
		k->initrd_max = UINT64_MAX;
	k->image.entry = X86_ENTRY_64;
	k->image.rip = k->start + ENTRY_64_OFF;
	return 0;
}

int bzimage_place(const struct load_kernel *k)
{
	struct setup_header h = { 0 };

	memcpy(&h, k->setup, MIN(k->setup_len, sizeof(h)));
	return load_copy(&k->file, setup_size(h.setup_sects), k->start,
			 (u64)h.syssize * 16);
}

const char *const arch_images[] = { "arch/x86/boot/bzImage", "vmlinux", NULL };

const char *arch_image_release(const u8 *head, size_t len)
{
	struct setup_header h;
	size_t at;

	if (len < SETUP_HEADER_END)
		return NULL;
	memcpy(&h, head + SETUP_HEADER_OFF, sizeof(h));
	at = 0x200 + h.kernel_version;
	if (h.header != SETUP_HEADER_MAGIC || !h.kernel_version || at >= len)
		return NULL;
	return (const char *)head + at;
}
