// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's init, as a part of this program.
 *
 * Theory of operation: the Makefile builds guest/ into an ELF file and names it
 * here; the assembler includes it as it is. Read-only, no state.
 */
#include "kvm/initramfs.h"

asm(".pushsection .rodata\n"
	".balign 16\n"
	".globl guest_init_start\n"
	"guest_init_start:\n"
	".incbin \"" LKVM_INIT "\"\n"
	".globl guest_init_end\n"
	"guest_init_end:\n"
	".popsection\n");

const u8 *guest_init(size_t *len)
{
	*len = guest_init_end - guest_init_start;
	return guest_init_start;
}
