// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random values at random widths to the ports of every device, also by string
 * instructions whose memory is a device; those that end the VM are left out.
 */
#include "guest.h"

#define ROUNDS 12000
#define NOWHERE 0xf0000000ULL

struct range {
	u16 first;
	u16 count;
};

static const struct range device[] = {
	{ 0x3f8, 8 }, { 0x2f8, 8 }, { 0x3e8, 8 }, { 0x2e8, 8 },	/* serial */
	{ 0x70, 2 }, { 0x60, 5 }, { 0x600, 10 }, { 0xcf8, 8 }, { 0xf0, 8 },
	{ 0x620, 12 }, { 0xe0, 12 }, { 0x510, 2 }, { 0x2000, 24 },
	{ 0x500, 8 }, { 0x40, 4 }, { 0x20, 2 }, { 0xa0, 2 }, { 0x4d0, 2 },
	{ 0, 0xffff },
};

static bool touches(u16 port, unsigned int width, u16 what)
{
	return port <= what && what < port + width;
}

/* What would end the guest, as it should */
static bool is_end(u16 port, unsigned int width, u32 v)
{
	return touches(port, width, 0xf4) || touches(port, width, 0x505) ||
	       (touches(port, width, 0xcf9) && width != 4) ||
	       (port == 0x64 && ((v & 0xf1) == 0xf0 || (v & 0xff) == 0xd1)) ||
	       (port == 0x60 && !(v & 1)) ||
	       touches(port, width, 0x604) || touches(port, width, 0x605);
}

static void access(u16 port)
{
	unsigned int width = 1U << random32() % 3;
	u32 v = random32();
	static u8 buf[64];

	if ((u32)port + width > 0x10000)
		return;
	switch (random32() % 8) {
	case 0:
	case 1:
	case 2:
		in_width(port, width);
		break;
	case 3:
		ins(port, buf, width, random32() % (sizeof(buf) / width));
		break;
	case 4:
		ins(port, (void *)NOWHERE, width, random32() % 8);
		break;
	default:
		if (!is_end(port, width, v))
			out_width(port, width, v);
		break;
	}
}

int main(void)
{
	random_seed(option_number("seed", 1));
	for (unsigned int i = 0; i < ROUNDS; i++) {
		const struct range *r = &device[random32() % ARRAY_SIZE(device)];

		access((u16)(r->first + random32() % r->count));
	}
	return 0;
}
