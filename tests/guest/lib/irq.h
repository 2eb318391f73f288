/* SPDX-License-Identifier: GPL-2.0-only */
/* Interrupts and exceptions: the IDT, the local APIC and the I/O APIC. */
#ifndef GUEST_IRQ_H
#define GUEST_IRQ_H

#include "guest.h"

#define VECTOR_SPURIOUS	0xff
#define IOAPIC_GPA	0xfec00000ULL
#define LAPIC_GPA	0xfee00000ULL

/* Registers of the local APIC, by their MMIO offset */
#define APIC_ID		0x20
#define APIC_EOI	0xb0
#define APIC_SPIV	0xf0
#define APIC_ICR	0x300
#define APIC_ICR_HIGH	0x310
#define APIC_TIMER	0x320
#define APIC_LINT0	0x350
#define APIC_LINT1	0x360
#define APIC_COUNT	0x380
#define APIC_CURRENT	0x390
#define APIC_DIVIDE	0x3e0

#define APIC_MASKED	BIT(16)
#define APIC_PERIODIC	BIT(17)
#define APIC_DEADLINE	BIT(18)
#define APIC_INIT	0x4500
#define APIC_STARTUP	0x4600
#define MSR_TSC_DEADLINE 0x6e0

/** irq_init() - load the IDT, mask both PICs; called before main() */
void irq_init(void);
/** irq_load() - load the IDT on this CPU */
void irq_load(void);
/** irq_set() - call @handler for @vector, with interrupts off, then EOI */
void irq_set(u8 vector, void (*handler)(void));
/**
 * fault_in() - run @code on this CPU and catch an exception in it
 * Return: its vector, or -1 for none.
 */
int fault_in(void (*code)(void));

/** apic_enable() - on this CPU, in x2APIC mode or through MMIO */
void apic_enable(bool x2apic);
u32 apic_read(u32 reg);
void apic_write(u32 reg, u32 v);
u32 apic_id(void);
/** apic_send() - interrupt command @icr, to APIC id @dest */
void apic_send(u32 dest, u32 icr);

/** ioapic_route() - @gsi to @vector on APIC id @dest; @level triggered or edge */
void ioapic_route(unsigned int gsi, u8 vector, u8 dest, bool level);
void ioapic_mask(unsigned int gsi);

#endif
