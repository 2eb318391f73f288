// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts and exceptions.
 *
 * Theory of operation: 256 gates lead to stubs of start.S, and those to
 * vector_c(). An exception that nobody waits for ends the guest with status 2.
 * One that fault_in() waits for continues behind its call; only one CPU may do
 * that at a time.
 */
#include "irq.h"
#include "start.h"

#define MSR_APIC_BASE	0x1b
#define MSR_X2APIC	0x800
#define APIC_BASE_X2	BIT(10)
#define APIC_BASE_ON	BIT(11)
#define CODE_SELECTOR	0x10
#define GATE_INTERRUPT	0x8e

struct gate {
	u16 low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 mid;
	u32 high;
	u32 zero;
};

struct table_pointer {
	u16 limit;
	u64 base;
} __packed;

static struct gate idt[256] __aligned(16);
static void (*handler[256])(void);
static bool x2apic_mode;
static u64 fault_rip, fault_rsp, fault_rbp;
static int fault_vector;

void irq_load(void)
{
	struct table_pointer p = { sizeof(idt) - 1, (u64)idt };

	asm volatile("lidt %0" : : "m"(p));
}

void irq_init(void)
{
	for (unsigned int i = 0; i < 256; i++) {
		u64 to = (u64)vectors + 16 * i;

		idt[i].low = to;
		idt[i].selector = CODE_SELECTOR;
		idt[i].type = GATE_INTERRUPT;
		idt[i].mid = to >> 16;
		idt[i].high = to >> 32;
	}
	irq_load();
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

void irq_set(u8 vector, void (*h)(void))
{
	handler[vector] = h;
}

static void exception(struct frame *f)
{
	u64 cr2;

	if (fault_rip) {
		fault_vector = (int)f->vector;
		f->rip = fault_rip;
		f->rsp = fault_rsp;
		f->reg[8] = fault_rbp;
		fault_rip = 0;
		return;
	}
	asm volatile("mov %%cr2, %0" : "=r"(cr2));
	print("fault %lu, error 0x%lx at 0x%lx, cr2 0x%lx\n",
	      (unsigned long)f->vector, (unsigned long)f->error,
	      (unsigned long)f->rip, (unsigned long)cr2);
	guest_exit(2);
}

void vector_c(struct frame *f)
{
	if (f->vector < 32 && f->vector != 2) {
		exception(f);
		return;
	}
	if (handler[f->vector])
		handler[f->vector]();
	else if (f->vector != VECTOR_SPURIOUS)
		print("interrupt %lu that nobody waits for\n",
		      (unsigned long)f->vector);
	if (f->vector >= 32 && f->vector != VECTOR_SPURIOUS)
		apic_write(APIC_EOI, 0);
}

noinline int fault_in(void (*code)(void))
{
	fault_vector = -1;
	asm volatile("lea 1f(%%rip), %%rax\n\t"
		     "mov %%rax, %0\n\t"
		     "mov %%rsp, %1\n\t"
		     "mov %%rbp, %2\n\t"
		     "call *%3\n"
		     "1:\n\t"
		     : "=m"(fault_rip), "=m"(fault_rsp), "=m"(fault_rbp)
		     : "b"(code)
		     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10",
		       "r11", "r12", "r13", "r14", "r15", "memory", "cc");
	fault_rip = 0;
	return fault_vector;
}

void apic_enable(bool x2apic)
{
	u64 base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ON;

	x2apic_mode = x2apic;
	wrmsr(MSR_APIC_BASE, base);
	if (x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
	apic_write(APIC_LINT0, APIC_MASKED);
	apic_write(APIC_SPIV, 0x100 | VECTOR_SPURIOUS);
}

u32 apic_read(u32 reg)
{
	if (x2apic_mode)
		return (u32)rdmsr(MSR_X2APIC + reg / 16);
	return read32(LAPIC_GPA + reg);
}

void apic_write(u32 reg, u32 v)
{
	if (x2apic_mode)
		wrmsr(MSR_X2APIC + reg / 16, v);
	else
		write32(LAPIC_GPA + reg, v);
}

u32 apic_id(void)
{
	u32 id = apic_read(APIC_ID);

	return x2apic_mode ? id : id >> 24;
}

void apic_send(u32 dest, u32 icr)
{
	if (x2apic_mode) {
		wrmsr(MSR_X2APIC + APIC_ICR / 16, (u64)dest << 32 | icr);
		return;
	}
	apic_write(APIC_ICR_HIGH, dest << 24);
	apic_write(APIC_ICR, icr);
}

static void ioapic_write(u32 reg, u32 v)
{
	write32(IOAPIC_GPA, reg);
	write32(IOAPIC_GPA + 0x10, v);
}

void ioapic_route(unsigned int gsi, u8 vector, u8 dest, bool level)
{
	ioapic_write(0x11 + 2 * gsi, (u32)dest << 24);
	ioapic_write(0x10 + 2 * gsi, vector | (level ? BIT(15) : 0));
}

void ioapic_mask(unsigned int gsi)
{
	ioapic_write(0x10 + 2 * gsi, APIC_MASKED);
}
