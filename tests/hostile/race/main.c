// SPDX-License-Identifier: GPL-2.0-only
/*
 * One CPU does I/O as it should while others reset the device in the middle of
 * it, move its BAR, rewrite its descriptors and its rings. In the end it works.
 */
#include "smp.h"
#include "virtio.h"

#define ROUNDS 150

static struct vdev v;
static struct vq q;
static u8 *page;
static bool stop;
static u32 stopped;

static void start(void)
{
	vdev_set_status(&v, 0);
	vdev_set_status(&v, 1);
	vdev_set_status(&v, 3);
	vdev_accept(&v, F_VERSION_1 | F_INDIRECT);
	vdev_set_status(&v, 11);
	vq_clear(&q);
	vq_program(&v, 0, 16, (u64)q.desc, (u64)q.avail, (u64)q.used);
	vdev_set_status(&v, 15);
}

static void pause_some(u32 n)
{
	do {
		cpu_relax();
	} while (n--);
}

static void reset(void)
{
	vdev_set_status(&v, 0);
}

static void rewrite(void)
{
	u16 i = random32() & 15;

	switch (random32() % 4) {
	case 0:
		q.desc[i].len = random32();
		break;
	case 1:
		q.desc[i].addr = random32() % 2 ? (u64)page : ~0ULL - random32();
		break;
	case 2:
		q.desc[i].flags = random32() & 7;
		break;
	default:
		q.desc[i].next = random32() & 31;
		break;
	}
}

static void move(void)
{
	u64 bar = read32(ecam(v.devfn, PCI_BASE_ADDRESS_0)) & ~0xfULL;

	write32(ecam(v.devfn, PCI_BASE_ADDRESS_0), (u32)bar + 0x8000);
	write32(ecam(v.devfn, PCI_BASE_ADDRESS_1), v.notify + 0x1000);
	write16(ecam(v.devfn, PCI_COMMAND), 0);
	write16(ecam(v.devfn, PCI_COMMAND), 7);
	write32(ecam(v.devfn, PCI_BASE_ADDRESS_1), v.notify);
	write32(ecam(v.devfn, PCI_BASE_ADDRESS_0), (u32)bar);
}

static void attack(u32 id)
{
	bool mover = option_is("how", "move") && v.pci;

	(void)id;
	while (!stop) {
		if (option_is("how", "reset"))
			reset();
		else if (mover)
			move();
		else
			rewrite();
		pause_some(random32() & 1023);
	}
	__atomic_add_fetch(&stopped, 1, __ATOMIC_SEQ_CST);
	for (;;)
		asm volatile("cli; hlt");
}

static void offer(void)
{
	static struct virtio_blk_outhdr hdr;
	const struct buf b[] = {
		{ &hdr, sizeof(hdr), false }, { page, 4096, true },
		{ page + 8192, 1, true },
	};

	hdr.type = random32() % 4 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_GET_ID;
	for (unsigned int i = 0; i < 5; i++)
		vq_add(&q, b, 3);
	vq_kick(&q);
}

int main(void)
{
	u32 cpus = (u32)option_number("cpus", 2);

	page = page_alloc(3);
	EXPECT(vdev_find(&v, VIRTIO_ID_BLOCK, 0));
	vq_alloc(&q, &v, 0, 16);
	apic_enable(true);
	smp_start(cpus, true, attack);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		start();
		offer();
		pause_some(random32() & 4095);
		offer();
	}
	stop = true;
	WAIT(stopped == cpus - 1);
	blk_works(&v);
	return 0;
}
