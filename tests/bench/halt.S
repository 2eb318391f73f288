/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest kernel that does nothing for ever: halted, or with BUSY in a loop.
 * Loaded at 1 MiB, entered in 64-bit mode.
 */
	.globl	_start
_start:
#ifndef BUSY
	hlt
#endif
	jmp	_start
	.section .note.GNU-stack, "", @progbits
