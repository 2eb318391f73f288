// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that this program carries with it.
 *
 * Theory of operation: the Makefile names them, the assembler includes them as
 * they are: the guest's init, which is built from guest/ and made smaller by
 * scripts/squeeze.c, and the configuration fragment for guest kernels. Read-only, no
 * state. What is unpacked comes from this program alone.
 */
#include <stdlib.h>

#include "kvm/initramfs.h"
#include "kvm/kconfig.h"

#define EMBED(name, file) \
	asm(".pushsection .rodata\n" \
		".balign 16\n" \
		".globl " #name "_start\n" \
		#name "_start:\n" \
		".incbin \"" file "\"\n" \
		".globl " #name "_end\n" \
		#name "_end:\n" \
		".byte 0\n" \
		".popsection\n")

EMBED(guest_init, LKVM_INIT);
EMBED(guest_kconfig, LKVM_KCONFIG);

u8 *guest_init(size_t *len)
{
	const u8 *d = guest_init_start;
	u32 items = 0, size = d[0] | d[1] << 8 | d[2] << 16 | (u32)d[3] << 24;
	u8 *init = malloc(size);

	d += 4;
	for (*len = 0; init && *len < size;) {
		items = items > 3 ? items >> 1 : 0x100U | *d++;
		if (items & 1) {
			init[(*len)++] = *d++;
			continue;
		}
		for (u32 n = 3 + (d[1] >> 4); n && *len < size; n--, ++*len)
			init[*len] = init[*len - 1 - (d[0] | (d[1] & 15) << 8)];
		d += 2;
	}
	return init;
}

const char *guest_kconfig(void)
{
	return guest_kconfig_start;
}
