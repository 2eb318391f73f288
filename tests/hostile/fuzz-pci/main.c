// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random values into configuration space, by mechanism 1 and by ECAM, at any
 * offset and width, into BARs wherever those are by then, and to the window of
 * the virtio capability; from two CPUs if there are two. Then all works again.
 */
#include "smp.h"
#include "virtio.h"

#define ROUNDS 5000
#define PORTS 0x1000

static u32 functions, finished;
static u64 arena;

static u32 next(u64 *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (u32)(*state >> 33);
}

/* Rings have to lie in the arena or nowhere: not in this program. */
static u64 value(u64 *s)
{
	u64 v = (u64)next(s) << 33 ^ next(s);

	switch (next(s) % 8) {
	case 0:
		return 0;
	case 1:
		return ~0ULL;
	case 2:
		return arena + (v & 0xffff0);
	case 3:
		return PCI_WINDOW_GPA + (v & 0xf8000);
	case 4:
		return v & 0xff;
	default:
		return v | 0x8000000080000000ULL;
	}
}

static void config(u64 *s, unsigned int devfn)
{
	unsigned int width = 1U << next(s) % 4;
	unsigned int off = next(s) % (next(s) % 4 ? 0xc0 : 0x1000);

	if (next(s) % 2)
		write_width(ecam(devfn, off & ~(width - 1)), width, value(s));
	else
		read_width(ecam(devfn, off), width);
}

static void bar(u64 *s, unsigned int devfn)
{
	u64 gpa = read32(ecam(devfn, PCI_BASE_ADDRESS_0)) & ~0xfULL;
	unsigned int width = 1U << next(s) % 4;
	unsigned int page = next(s) % 8 * 0x1000;
	u64 off = page + next(s) % (next(s) % 4 ? 64 : 0x1000);

	if (gpa < PCI_WINDOW_GPA ||
	    gpa >= PCI_WINDOW_GPA + PCI_WINDOW_SIZE)
		return;
	if (next(s) % 3)
		write_width(gpa + off, width, value(s));
	else
		read_width(gpa + off, width);
}

static void ports(u64 *s, unsigned int devfn)
{
	u16 port = read32(ecam(devfn, PCI_BASE_ADDRESS_1)) & 0xfffc;
	unsigned int width = 1U << next(s) % 3;

	if (port >= PORTS && port < PORTS + 4 * functions)
		out_width(port + next(s) % (5 - width), width,
			  next(s) % 4 ? next(s) % 4 : (u32)value(s));
}

static void fuzz(u32 id)
{
	u64 state = option_number("seed", 1) * 77 + id;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int devfn = next(&state) % functions << 3;

		switch (next(&state) % 8) {
		case 0:
		case 1:
			config(&state, devfn);
			break;
		case 2:	/* mostly mapped, or there is nothing to be seen */
			write32(ecam(devfn, PCI_BASE_ADDRESS_0),
				(u32)PCI_WINDOW_GPA +
				next(&state) % functions * 0x8000);
			write32(ecam(devfn, PCI_BASE_ADDRESS_1),
				PORTS + next(&state) % functions * 4);
			write16(ecam(devfn, PCI_COMMAND), 7);
			break;
		case 3:
			ports(&state, devfn);
			break;
		default:
			bar(&state, devfn);
			break;
		}
	}
	__atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
}

int main(void)
{
	u32 cpus = (u32)option_number("cpus", 1);
	struct vdev v;

	arena = (u64)page_alloc(512);
	functions = (u32)option_number("functions", 4);
	apic_enable(true);
	smp_start(cpus, true, fuzz);
	fuzz(0);
	WAIT(finished == cpus);
	/* Everything to where it was, and the disk works. */
	for (u32 i = 1; i < functions; i++) {
		write16(ecam(i << 3, PCI_COMMAND), 0);
		write32(ecam(i << 3, PCI_BASE_ADDRESS_0),
			(u32)PCI_WINDOW_GPA + (i - 1) * 0x8000);
		write32(ecam(i << 3, PCI_BASE_ADDRESS_1), PORTS + (i - 1) * 4);
	}
	EXPECT(vdev_find(&v, VIRTIO_ID_BLOCK, 0));
	msix_enable(v.devfn, false);
	blk_works(&v);
	return 0;
}
