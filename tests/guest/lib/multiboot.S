/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The entry of a guest that has a multiboot header: 32-bit mode, magic in eax,
 * information in ebx. From there on it is as with PVH. The addresses behind
 * the header's first part are in use only if somebody sets bit 16 of the flags.
 */
#define MAGIC	0x1badb002
#define FLAGS	3

	.section .multiboot, "a"
	.balign	4
	.globl	multiboot_header
multiboot_header:
	.long	MAGIC, FLAGS, -(MAGIC + FLAGS)
	.long	multiboot_header, guest_begin, guest_data_end, guest_end
	.long	guest_entry

	.text
	.code32
	.globl	guest_entry
guest_entry:
	mov	%eax, guest_magic
	jmp	pvh_start

	.section .note.GNU-stack, "", @progbits
