// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86 vCPUs: first state, exits, and what to say when one dies.
 *
 * Theory of operation: the boot CPU starts without firmware, in 64-bit mode
 * with an identity map of the first 4 GiB in 2 MiB pages (Documentation/
 * arch/x86/boot.rst, "64-bit Boot Protocol"), or in flat protected mode for PVH
 * and multiboot. The others wait for INIT and SIPI in KVM. Exits that are no I/O end the VM with
 * a reason: shutdown is a triple fault, the rest are host errors, reported
 * with registers and the bytes at RIP. Runs on the main thread before vCPU
 * threads exist, then on the vCPU's own.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <asm/kvm_para.h>

#include "kvm/abi.h"
#include "kvm/arch.h"
#include "x86/vm.h"

#define CR0_PE		BIT(0)
#define CR0_MP		BIT(1)
#define CR0_ET		BIT(4)
#define CR0_NE		BIT(5)
#define CR0_PG		BIT(31)
#define CR4_PAE		BIT(5)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define PTE_TABLE	0x3ULL
#define PTE_LARGE	0x83ULL

#define MSR_IA32_MISC_ENABLE	0x1a0
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MISC_ENABLE_FAST_STRING	BIT(0)
#define MISC_ENABLE_NO_BTS	BIT(11)
#define MTRR_ENABLED_WB		(BIT(11) | 6)

#define MULTIBOOT_LOADER_MAGIC	0x2badb002

int x86_get_cpuid(struct kvm *kvm, struct report *r)
{
	struct kvm_cpuid2 *c;

	c = calloc(1, sizeof(*c) + X86_MAX_CPUID * sizeof(c->entries[0]));
	if (!c)
		return report_error(r, ENOMEM, "CPUID");
	c->nent = X86_MAX_CPUID;
	kvm->arch->cpuid = c;
	if (ioctl(kvm->dev_fd, KVM_GET_SUPPORTED_CPUID, c) < 0)
		return report_error(r, errno, "KVM_GET_SUPPORTED_CPUID");
	kvm->arch->tsc_deadline =
		kvm_check_extension(kvm, KVM_CAP_TSC_DEADLINE_TIMER);
	return 0;
}

int x86_set_cpuid(struct kvm_cpu *cpu, struct report *r)
{
	const struct kvm_cpuid2 *from = cpu->kvm->arch->cpuid;
	size_t size = sizeof(*from) + X86_MAX_CPUID * sizeof(from->entries[0]);
	struct kvm_cpuid2 *c = malloc(size);
	int err = 0;

	if (!c)
		return report_error(r, ENOMEM, "CPUID");
	memcpy(c, from, size);
	x86_cpuid_patch(c, X86_MAX_CPUID, cpu->id, cpu->kvm->nr_cpus,
			cpu->kvm->arch->tsc_deadline);
	if (ioctl(cpu->fd, KVM_SET_CPUID2, c) < 0)
		err = report_error(r, errno, "KVM_SET_CPUID2");
	free(c);
	return err;
}

static int x86_set_msrs(struct kvm_cpu *cpu, struct report *r)
{
	static const struct kvm_msr_entry e[] = {
		{ .index = MSR_IA32_MISC_ENABLE,
		  .data = MISC_ENABLE_FAST_STRING | MISC_ENABLE_NO_BTS },
		{ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLED_WB },
	};
	struct kvm_msrs *m = calloc(1, sizeof(*m) + sizeof(e));
	int err = 0;

	if (!m)
		return report_error(r, ENOMEM, "MSRs");
	m->nmsrs = ARRAY_SIZE(e);
	memcpy(m->entries, e, sizeof(e));
	if (ioctl(cpu->fd, KVM_SET_MSRS, m) < 0)
		err = report_error(r, errno, "KVM_SET_MSRS");
	free(m);
	return err;
}

/* LINT0 takes the PICs' output, LINT1 the NMI, as firmware leaves them. */
static int x86_set_lint(struct kvm_cpu *cpu, struct report *r)
{
	struct kvm_lapic_state lapic;
	const u32 lint0 = 0x700, lint1 = 0x400;

	if (ioctl(cpu->fd, KVM_GET_LAPIC, &lapic) < 0)
		return report_error(r, errno, "KVM_GET_LAPIC");
	memcpy(lapic.regs + 0x350, &lint0, sizeof(lint0));
	memcpy(lapic.regs + 0x360, &lint1, sizeof(lint1));
	if (ioctl(cpu->fd, KVM_SET_LAPIC, &lapic) < 0)
		return report_error(r, errno, "KVM_SET_LAPIC");
	return 0;
}

static int x86_write_gdt(struct gmem *g)
{
	static const u64 gdt[] = {
		0, 0,
		0x00af9b000000ffff,	/* 0x10: 64-bit code */
		0x00cf93000000ffff,	/* 0x18: data */
		0x00008b0000000067,	/* 0x20: TSS */
		0,
	};

	return gmem_write(g, X86_GDT_GPA, gdt, sizeof(gdt));
}

/* 4 GiB, identity: a PML4, a PDPT and four page directories, in a row */
static int x86_write_page_tables(struct gmem *g)
{
	const u64 pdpt = X86_PAGE_TABLE_GPA + 0x1000, pd = pdpt + 0x1000;
	u64 *entry = gmem_ptr(g, X86_PAGE_TABLE_GPA, 6 * 0x1000);

	if (!entry)
		return -EFAULT;
	entry[0] = pdpt | PTE_TABLE;
	entry += 512;
	for (unsigned int i = 0; i < 4; i++)
		entry[i] = (pd + i * 0x1000) | PTE_TABLE;
	entry += 512;
	for (u64 i = 0; i < 4 * 512; i++)
		entry[i] = i << 21 | PTE_LARGE;
	return 0;
}

static void x86_flat_segments(struct kvm_sregs *s, bool long_mode)
{
	struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 0x10, .type = 0xb,
		.present = 1, .s = 1, .g = 1,
		.db = !long_mode, .l = long_mode,
	};
	struct kvm_segment data = {
		.limit = 0xffffffff, .selector = 0x18, .type = 0x3,
		.present = 1, .s = 1, .g = 1, .db = 1,
	};
	struct kvm_segment tss = {
		.limit = 0x67, .selector = 0x20, .type = 0xb, .present = 1,
	};

	s->cs = code;
	s->ds = data;
	s->es = data;
	s->fs = data;
	s->gs = data;
	s->ss = data;
	s->tr = tss;
	s->gdt.base = X86_GDT_GPA;
	s->gdt.limit = 6 * 8 - 1;
	s->idt.base = 0;
	s->idt.limit = 0;
}

static int x86_boot_state(struct kvm_cpu *cpu, struct report *r)
{
	const struct x86_image *image = &cpu->kvm->arch->image;
	bool wide = image->entry == X86_ENTRY_64;
	struct kvm_regs regs = {
		.rip = image->rip,
		.rflags = 2,
		.rax = image->entry == X86_ENTRY_MULTIBOOT ?
		       MULTIBOOT_LOADER_MAGIC : 0,
		.rsi = wide ? image->info : 0,
		.rbx = wide ? 0 : image->info,
	};
	struct kvm_sregs s;

	if (x86_write_gdt(&cpu->kvm->gmem) ||
	    (wide && x86_write_page_tables(&cpu->kvm->gmem)))
		return report_error(r, EFAULT, "boot page tables");
	if (ioctl(cpu->fd, KVM_GET_SREGS, &s) < 0)
		return report_error(r, errno, "KVM_GET_SREGS");
	x86_flat_segments(&s, wide);
	s.cr0 = CR0_PE | CR0_ET;
	if (wide) {
		s.cr0 |= CR0_PG | CR0_MP | CR0_NE;
		s.cr3 = X86_PAGE_TABLE_GPA;
		s.cr4 |= CR4_PAE;
		s.efer |= EFER_LME | EFER_LMA;
	}
	if (ioctl(cpu->fd, KVM_SET_SREGS, &s) < 0)
		return report_error(r, errno, "KVM_SET_SREGS");
	if (ioctl(cpu->fd, KVM_SET_REGS, &regs) < 0)
		return report_error(r, errno, "KVM_SET_REGS");
	return 0;
}

int x86_cpu_boot(struct kvm_cpu *cpu, struct report *r)
{
	int err = x86_set_msrs(cpu, r);

	if (!err)
		err = x86_set_lint(cpu, r);
	if (!err && !cpu->id)
		err = x86_boot_state(cpu, r);
	return err;
}

int arch_cpu_init(struct kvm_cpu *cpu, struct report *r)
{
	int err = x86_set_cpuid(cpu, r);

	return err ? err : x86_cpu_boot(cpu, r);
}

struct text {
	char *p;
	size_t left;
};

static void text_add(struct text *t, const char *fmt, ...)
	__printf(2, 3);

static void text_add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->p, t->left, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	n = MIN((size_t)n, t->left ? t->left - 1 : 0);
	t->p += n;
	t->left -= n;
}

/* Return: how many bytes from @rip on, each page of them where the guest has it */
static unsigned int x86_read_code(struct kvm_cpu *cpu, u64 rip, u8 *code, unsigned int size)
{
	unsigned int done = 0;

	while (done < size) {
		struct kvm_translation tr = { .linear_address = rip + done };
		unsigned int n = MIN(size - done, 0x1000 - (u32)((rip + done) & 0xfff));

		if (ioctl(cpu->fd, KVM_TRANSLATE, &tr) < 0 || !tr.valid ||
		    gmem_read(&cpu->kvm->gmem, tr.physical_address, code + done, n))
			break;
		done += n;
	}
	return done;
}

static void x86_describe_code(struct kvm_cpu *cpu, u64 rip, struct text *t)
{
	u8 code[16];
	unsigned int n = x86_read_code(cpu, rip, code, sizeof(code));

	text_add(t, "  code at rip:%s", n ? "" : " not readable");
	for (unsigned int i = 0; i < n; i++)
		text_add(t, " %02x", code[i]);
}

void arch_cpu_describe(struct kvm_cpu *cpu, char *buf, size_t size)
{
	struct text t = { buf, size };
	struct kvm_regs r;
	struct kvm_sregs s;

	if (size)
		buf[0] = 0;
	if (ioctl(cpu->fd, KVM_GET_REGS, &r) < 0 ||
	    ioctl(cpu->fd, KVM_GET_SREGS, &s) < 0) {
		text_add(&t, "  registers not readable");
		return;
	}
	text_add(&t, "  rip %016llx  rsp %016llx  rflags %08llx\n", r.rip,
		 r.rsp, r.rflags);
	text_add(&t, "  rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n",
		 r.rax, r.rbx, r.rcx, r.rdx);
	text_add(&t, "  rsi %016llx  rdi %016llx  rbp %016llx  r8  %016llx\n",
		 r.rsi, r.rdi, r.rbp, r.r8);
	text_add(&t, "  r9  %016llx  r10 %016llx  r11 %016llx  r12 %016llx\n",
		 r.r9, r.r10, r.r11, r.r12);
	text_add(&t, "  r13 %016llx  r14 %016llx  r15 %016llx\n", r.r13, r.r14,
		 r.r15);
	text_add(&t, "  cr0 %llx  cr2 %llx  cr3 %llx  cr4 %llx  efer %llx\n",
		 s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
	text_add(&t, "  cs %x  ss %x  ds %x  tr %x  gdt %llx:%x  idt %llx:%x\n",
		 s.cs.selector, s.ss.selector, s.ds.selector, s.tr.selector,
		 s.gdt.base, s.gdt.limit, s.idt.base, s.idt.limit);
	x86_describe_code(cpu, s.cs.base + r.rip, &t);
}

/* An exit that is not handled here, or that the table does not know. */
static void x86_report_other(struct kvm_cpu *cpu, const char *regs)
{
	u32 reason = cpu->run->exit_reason;
	const struct abi_row *row = abi_exit(reason);

	if (row)
		kvm_end_error(cpu->kvm,
			      "KVM exit %u (%s) on vCPU %u, which is not handled: %s\n%s",
			      reason, row->name, cpu->id, row->why, regs);
	else
		kvm_end_error(cpu->kvm,
			      "unknown KVM exit %u on vCPU %u; likely KVM is newer than this lkvm\n%s",
			      reason, cpu->id, regs);
}

static void x86_report_exit(struct kvm_cpu *cpu)
{
	struct kvm_run *run = cpu->run;
	const struct abi_row *error;
	char regs[2048];

	arch_cpu_describe(cpu, regs, sizeof(regs));
	switch (run->exit_reason) {
	case KVM_EXIT_INTERNAL_ERROR:
		error = abi_suberror(run->internal.suberror);
		kvm_end_error(cpu->kvm,
			      "KVM internal error %u on vCPU %u: %s\n%s",
			      run->internal.suberror, cpu->id,
			      error ? error->why : "unknown kind", regs);
		return;
	case KVM_EXIT_FAIL_ENTRY:
		kvm_end_error(cpu->kvm,
			      "KVM could not enter the guest on vCPU %u: hardware reason 0x%llx; likely a bad CPU state\n%s",
			      cpu->id,
			      run->fail_entry.hardware_entry_failure_reason,
			      regs);
		return;
	default:
		x86_report_other(cpu, regs);
	}
}

static void x86_system_event(struct kvm_cpu *cpu)
{
	u32 type = cpu->run->system_event.type;
	const struct abi_row *row;

	switch (type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		kvm_end(cpu->kvm, VM_END_POWEROFF, 0);
		return;
	case KVM_SYSTEM_EVENT_RESET:
		kvm_end(cpu->kvm, VM_END_RESET, 0);
		return;
	case KVM_SYSTEM_EVENT_CRASH:
		kvm_end(cpu->kvm, VM_END_PANIC, 0);
		return;
	default:
		row = abi_event(type);
		kvm_end_error(cpu->kvm, "KVM system event %u (%s) on vCPU %u",
			      type, row ? row->name : "unknown", cpu->id);
	}
}

int arch_cpu_exit(struct kvm_cpu *cpu)
{
	struct kvm_run *run = cpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		kvm_end(cpu->kvm, VM_END_TRIPLE_FAULT, 0);
		return 0;
	case KVM_EXIT_SYSTEM_EVENT:
		x86_system_event(cpu);
		return 0;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_HLT:
		return 1;
	default:
		x86_report_exit(cpu);
		return 0;
	}
}
