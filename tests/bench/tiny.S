/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest kernel of one instruction: a write to the debug exit port, with
 * which lkvm ends. Loaded at 1 MiB, entered in 64-bit mode.
 */
	.globl	_start
_start:
	outb	%al, $0xf4
	hlt
	.section .note.GNU-stack, "", @progbits
