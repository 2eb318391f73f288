// SPDX-License-Identifier: GPL-2.0-only
/* Input, by interrupt and by polling; and the transmitter's interrupt. */
#include "irq.h"

#define VECTOR 0x44

static u32 nr_irqs, thre;
static char line[128];
static u32 len;

static void receive(void)
{
	while (inb(PORT_SERIAL + 5) & 1) {
		char c = (char)inb(PORT_SERIAL);

		if (len < sizeof(line) - 1)
			line[len++] = c;
	}
}

static void serial_irq(void)
{
	u8 iir;

	nr_irqs++;
	while (!((iir = inb(PORT_SERIAL + 2)) & 1)) {
		if ((iir & 0xe) == 2)
			thre++;
		else
			receive();
	}
}

static bool line_complete(void)
{
	return len && line[len - 1] == '\n';
}

int main(void)
{
	apic_enable(true);
	irq_set(VECTOR, serial_irq);
	ioapic_route(4, VECTOR, 0, false);
	outb(PORT_SERIAL + 2, 0x01);	/* FIFOs */
	outb(PORT_SERIAL + 4, 0x0b);	/* DTR, RTS, OUT2 */
	if (option_is("how", "poll")) {
		while (!line_complete())
			receive();
	} else {
		outb(PORT_SERIAL + 1, 0x01);
		while (!line_complete())
			irq_wait();
		EXPECT(nr_irqs);
	}
	print("got %s", line);
	if (option_is("how", "poll"))
		return 0;
	outb(PORT_SERIAL + 1, 0x02);
	while (!thre)
		irq_wait();
	return 0;
}
