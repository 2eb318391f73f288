/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest kernel that writes COUNT times to the scratch register of the first
 * serial port, which does nothing but leave the guest, and then resets by
 * port 0xcf9. The code means the same in 32-bit and 64-bit mode, so that it
 * serves as PVH entry and as 64-bit entry.
 */
	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	_start

	.text
	.code64
	.globl	_start
_start:
	mov	$COUNT, %ecx
	jrcxz	2f
	mov	$0x3ff, %edx
1:	outb	%al, (%dx)
	dec	%ecx
	jnz	1b
2:	mov	$0xcf9, %edx
	mov	$6, %al
	outb	%al, (%dx)
	hlt
	.section .note.GNU-stack, "", @progbits
