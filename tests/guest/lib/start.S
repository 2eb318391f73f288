/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a guest begins: the boot CPU in 64-bit mode, the others in real mode
 * at a page that smp_start() copied ap_begin..ap_end to.
 */
#define AP_GPA	0x10000
#define STACK	16384

	.section .text.start, "ax"
	.code64
	.globl start
	/* Another one is in multiboot.S. */
	.weak guest_entry
guest_entry:
start:
	cli
	cld
	lea	stack_end(%rip), %rsp
	lgdt	gdt_pointer(%rip)
	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%rsi, %rdi
	call	guest_main
1:	hlt
	jmp	1b

	/* Vectors, 16 bytes each: error code, number, and on to C */
	.text
	.balign	16
	.globl vectors
vectors:
	.set	n, 0
	.rept	256
	.balign	16
	.if	(n == 8) || (n >= 10 && n <= 14) || (n == 17) || (n == 21)
	.else
	push	$0
	.endif
	push	$n
	jmp	vector_common
	.set	n, n + 1
	.endr

	.balign	16
vector_common:
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	mov	%rsp, %rdi
	call	vector_c
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	add	$16, %rsp
	iretq

	/* A CPU after SIPI. cs is AP_GPA >> 4. */
	.globl ap_begin, ap_end
	.code16
ap_begin:
	cli
	cld
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	ap_gdt - ap_begin
	mov	%cr0, %eax
	or	$1, %eax
	mov	%eax, %cr0
	ljmpl	$0x20, $(AP_GPA + ap32 - ap_begin)
	.balign	4
ap_gdt:
	.word	gdt_end - gdt - 1
	.long	gdt
	.code32
ap32:
	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%cr4, %eax
	or	$0x20, %eax
	mov	%eax, %cr4
	mov	ap_cr3, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	%cr0, %eax
	or	$0x80000000, %eax
	mov	%eax, %cr0
	ljmpl	$0x10, $ap64
ap_end:
	.code64
ap64:
	mov	$1, %eax
	lock xadd %eax, ap_count(%rip)
	mov	%eax, %edi
	shl	$12, %rax
	add	ap_stacks(%rip), %rax
	lea	4096(%rax), %rsp
	call	ap_main
1:	hlt
	jmp	1b

	.data
	.balign	16
gdt:
	.quad	0
	.quad	0
	.quad	0x00af9b000000ffff	/* 0x10: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x18: data */
	.quad	0x00cf9b000000ffff	/* 0x20: 32-bit code */
gdt_end:
	.globl	gdt_pointer
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

	.globl	ap_cr3, ap_stacks, ap_count
	.balign	8
ap_stacks:
	.quad	0
ap_cr3:
	.long	0
ap_count:
	.long	0

	.bss
	.balign	16
	.space	STACK
stack_end:

	.section .note.GNU-stack, "", @progbits
