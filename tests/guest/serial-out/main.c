// SPDX-License-Identifier: GPL-2.0-only
/* All that is sent arrives, in order, single bytes and strings. */
#include "guest.h"

int main(void)
{
	char *page = page_alloc(1);

	for (unsigned int i = 0; i < 4096; i++)
		page[i] = (char)('a' + i % 25);
	page[4095] = '\n';
	outb(PORT_SERIAL, 'X');
	outb(PORT_SERIAL, '\n');
	for (unsigned int i = 0; i < 32; i++)
		outs(PORT_SERIAL, page, 1, 4096);
	/* The others exist, and go nowhere. */
	for (u16 port = 0x2e8; port <= 0x3f8; port += 0x10) {
		if (port != 0x2e8 && port != 0x2f8 && port != 0x3e8)
			continue;
		EXPECT_EQ(inb(port + 5), 0x60);
		outb(port, '!');
	}
	return 0;
}
