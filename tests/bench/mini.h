/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What both of mini-ioctls and mini-vmm do with a VM of 256 MiB: calls that end
 * the program when they fail, and the state in which 64-bit code begins. None
 * of it is lkvm's, on purpose.
 */
#ifndef BENCH_MINI_H
#define BENCH_MINI_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/kvm.h>

#define RAM_SIZE (256UL << 20)
#define HUGE_SIZE (2UL << 20)
#define MAX_CPUID 256
#define GDT_GPA 0x1000UL
#define PAGE_TABLE_GPA 0x9000UL

static inline int call(int fd, unsigned long request, void *arg, const char *name)
{
	int ret = ioctl(fd, request, arg);

	if (ret < 0) {
		perror(name);
		_exit(1);
	}
	return ret;
}

#define CALL(fd, request, arg) \
	call(fd, request, (void *)(uintptr_t)(arg), #request)

/* LINT0 is ExtINT, LINT1 NMI. */
static inline void set_lints(int cpu)
{
	const __u32 lint0 = 0x700, lint1 = 0x400;
	struct kvm_lapic_state lapic;

	CALL(cpu, KVM_GET_LAPIC, &lapic);
	memcpy(lapic.regs + 0x350, &lint0, sizeof(lint0));
	memcpy(lapic.regs + 0x360, &lint1, sizeof(lint1));
	CALL(cpu, KVM_SET_LAPIC, &lapic);
}

/* A GDT, and 4 GiB mapped */
static inline void write_tables(__u8 *ram)
{
	static const __u64 gdt[] = {
		0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff,
		0x00008b0000000067, 0,
	};
	__u64 *pml4 = (void *)(ram + PAGE_TABLE_GPA);
	__u64 *pdpt = pml4 + 512, *pd = pdpt + 512;

	memcpy(ram + GDT_GPA, gdt, sizeof(gdt));
	pml4[0] = (PAGE_TABLE_GPA + 0x1000) | 3;
	for (__u64 i = 0; i < 4; i++)
		pdpt[i] = (PAGE_TABLE_GPA + 0x2000 + i * 0x1000) | 3;
	for (__u64 i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | 0x83;
}

static inline void set_registers(int cpu, __u64 rip, __u64 rsi)
{
	const struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 0x10, .type = 0xb,
		.present = 1, .s = 1, .g = 1, .l = 1,
	};
	const struct kvm_segment data = {
		.limit = 0xffffffff, .selector = 0x18, .type = 3,
		.present = 1, .s = 1, .g = 1, .db = 1,
	};
	const struct kvm_segment tss = {
		.limit = 0x67, .selector = 0x20, .type = 0xb, .present = 1,
	};
	struct kvm_regs regs = { .rip = rip, .rsi = rsi, .rflags = 2 };
	struct kvm_sregs s;

	CALL(cpu, KVM_GET_SREGS, &s);
	s.cs = code;
	s.ds = data;
	s.es = data;
	s.fs = data;
	s.gs = data;
	s.ss = data;
	s.tr = tss;
	s.gdt.base = GDT_GPA;
	s.gdt.limit = 6 * 8 - 1;
	s.idt.limit = 0;
	s.cr0 = 0x80000033;		/* PG NE ET MP PE */
	s.cr3 = PAGE_TABLE_GPA;
	s.cr4 |= 0x20;			/* PAE */
	s.efer |= 0x500;		/* LMA LME */
	CALL(cpu, KVM_SET_SREGS, &s);
	CALL(cpu, KVM_SET_REGS, &regs);
}

#endif
