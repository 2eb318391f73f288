/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The entry of a guest that has a PVH note: 32-bit mode without paging, start
 * info in ebx. Maps the first 4 GiB and goes on as any other guest.
 */
	.section .note.Xen, "a", @note
	.long	4, 4, 18
	.asciz	"Xen"
	.long	pvh_start

	.text
	.code32
	.globl pvh_start
pvh_start:
	cli
	cld
	mov	$pml4, %edi
	movl	$pdpt + 3, (%edi)
	mov	$pdpt, %edi
	mov	$pd + 3, %eax
1:	mov	%eax, (%edi)
	add	$8, %edi
	add	$4096, %eax
	cmp	$pdpt + 32, %edi
	jb	1b
	mov	$pd, %edi
	mov	$0x83, %eax
2:	mov	%eax, (%edi)
	add	$8, %edi
	add	$0x200000, %eax
	jnc	2b
	mov	%cr4, %eax
	or	$0x20, %eax
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	%cr0, %eax
	or	$0x80000000, %eax
	mov	%eax, %cr0
	mov	%ebx, %esi
	lgdt	gdt_pointer
	ljmp	$0x10, $start

	.bss
	.balign	4096
pml4:	.space	4096
pdpt:	.space	4096
pd:	.space	4 * 4096

	.section .note.GNU-stack, "", @progbits
