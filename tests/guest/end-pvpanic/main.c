// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvpanic: a panic is 100, unless a crash kernel is about to handle it. What the
 * guest says soon after it is heard; one that goes on for good is ended.
 */
#include "guest.h"

#define PVPANIC	0x505

static void last_words(void)
{
	for (unsigned int i = 0; i < 5; i++) {
		for (unsigned int n = 0; n < 100; n++)
			inb(PVPANIC);
		print("word %u\n", i);
	}
}

int main(void)
{
	EXPECT_EQ(inb(PVPANIC) & 3, 3);
	outb(PVPANIC, 2);
	if (option_is("event", "crash"))
		return 33;
	outb(PVPANIC, (u8)option_number("event", 1));
	if (option_is("then", "words"))
		last_words();
	if (option_is("then", "reset"))
		outb(0xcf9, 6);
	while (option_is("then", "flood")) {
		outb(PVPANIC, 1);
		outb(PORT_SERIAL, '.');
	}
	if (option_is("then", "exit"))
		return 0;
	for (;;)
		cpu_relax();
}
