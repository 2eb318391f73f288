// SPDX-License-Identifier: GPL-2.0-only
/* The PIT, through the I/O APIC (pin 2) and through the PIC. */
#include "irq.h"

#define VECTOR_IOAPIC	0x60
#define VECTOR_PIC	0x30

static u32 ticks, pic_ticks;

static void tick(void)
{
	ticks++;
}

static void pic_tick(void)
{
	pic_ticks++;
	outb(0x20, 0x20);
}

static void pic_init(void)
{
	static const u8 word[2][4] = {
		{ 0x11, VECTOR_PIC, 4, 1 }, { 0x11, VECTOR_PIC + 8, 2, 1 },
	};

	for (unsigned int i = 0; i < 2; i++) {
		u16 port = i ? 0xa0 : 0x20;

		outb(port, word[i][0]);
		for (unsigned int j = 1; j < 4; j++)
			outb(port + 1, word[i][j]);
		outb(port + 1, i ? 0xff : 0xfe);
	}
}

static void pit_init(void)
{
	outb(0x43, 0x34);	/* counter 0, rate generator */
	outb(0x40, 0x00);
	outb(0x40, 0x20);	/* 7 ms */
}

int main(void)
{
	irq_set(VECTOR_IOAPIC, tick);
	irq_set(VECTOR_PIC, pic_tick);
	apic_enable(true);
	pit_init();
	ioapic_route(2, VECTOR_IOAPIC, 0, false);
	while (ticks < 3)
		irq_wait();
	ioapic_mask(2);
	pic_init();
	apic_write(APIC_LINT0, 0x700);	/* ExtINT */
	/*
	 * KVM holds a tick back until the one before it is acknowledged, and
	 * one that came while both controllers had it masked never is.
	 */
	pit_init();
	while (pic_ticks < 3)
		irq_wait();
	return 0;
}
