// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that this program carries with it.
 *
 * Theory of operation: the Makefile names them, the assembler includes them as
 * they are: the guest's init, which is built from guest/, and the configuration
 * fragment for guest kernels. Read-only, no state.
 */
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

const u8 *guest_init(size_t *len)
{
	*len = guest_init_end - guest_init_start;
	return guest_init_start;
}

const char *guest_kconfig(void)
{
	return guest_kconfig_start;
}
