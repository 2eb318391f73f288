// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver's side of virtio 1.2.
 *
 * Theory of operation: split rings (s2.7) in pages of their own, descriptors
 * handed out in a circle and never freed: a guest has no more requests in
 * flight than a ring has entries. Registers by s4.1.4 for PCI and s4.2.2 for
 * MMIO. Nothing is hidden from a test that wants to break it.
 */
#include "virtio.h"

#define VENDOR_VIRTIO	0x1af4
#define MMIO_MAGIC	0x74726976
#define MMIO_STRIDE	0x1000
#define MMIO_SLOTS	32

static void pci_structures(struct vdev *v)
{
	unsigned int cap = 0;
	u64 bar = pci_bar(v->devfn);

	while ((cap = pci_capability(v->devfn, PCI_CAP_ID_VNDR, cap))) {
		u64 at = bar + pci_read(v->devfn, cap + 8, 4);

		switch (pci_read(v->devfn, cap + 3, 1)) {
		case VIRTIO_PCI_CAP_COMMON_CFG:
			v->common = at;
			break;
		case VIRTIO_PCI_CAP_NOTIFY_CFG:
			EXPECT_EQ(pci_read(v->devfn, cap + 4, 1), 1);
			EXPECT_EQ(pci_read(v->devfn, cap + 16, 4), 0);
			v->notify = pci_ports(v->devfn);
			break;
		case VIRTIO_PCI_CAP_ISR_CFG:
			v->isr = at;
			break;
		case VIRTIO_PCI_CAP_DEVICE_CFG:
			v->config = at;
			break;
		default:
			break;
		}
	}
}

static bool find_pci(struct vdev *v, u16 id, unsigned int nth)
{
	int devfn = pci_find(VENDOR_VIRTIO, 0x1040 + id, nth);

	if (devfn < 0)
		return false;
	v->pci = true;
	v->devfn = (unsigned int)devfn;
	v->gsi = pci_read(v->devfn, PCI_INTERRUPT_LINE, 1);
	pci_enable(v->devfn);
	pci_structures(v);
	return true;
}

/* The interrupts are where the MP table has level-triggered ISA ones */
static bool find_mmio(struct vdev *v, u16 id, unsigned int nth)
{
	static const u8 gsi[] = { 5, 10, 11, 20, 21, 22, 23 };

	for (unsigned int i = 0; i < MMIO_SLOTS; i++) {
		u64 regs = VIRTIO_MMIO_GPA + i * MMIO_STRIDE;

		if (read32(regs) != MMIO_MAGIC)
			return false;
		if (read32(regs + VIRTIO_MMIO_DEVICE_ID) != id || nth--)
			continue;
		v->regs = regs;
		v->config = regs + VIRTIO_MMIO_CONFIG;
		v->gsi = gsi[i % ARRAY_SIZE(gsi)];
		return true;
	}
	return false;
}

bool vdev_find(struct vdev *v, u16 id, unsigned int nth)
{
	memset(v, 0, sizeof(*v));
	return pci_exists() ? find_pci(v, id, nth) : find_mmio(v, id, nth);
}

u64 vdev_offered(struct vdev *v)
{
	u64 f = 0;

	for (unsigned int i = 0; i < 2; i++) {
		u32 half;

		if (v->pci) {
			write32(v->common + VIRTIO_PCI_COMMON_DFSELECT, i);
			half = read32(v->common + VIRTIO_PCI_COMMON_DF);
		} else {
			write32(v->regs + VIRTIO_MMIO_DEVICE_FEATURES_SEL, i);
			half = read32(v->regs + VIRTIO_MMIO_DEVICE_FEATURES);
		}
		f |= (u64)half << (32 * i);
	}
	return f;
}

void vdev_accept(struct vdev *v, u64 features)
{
	for (unsigned int i = 0; i < 2; i++) {
		u32 half = (u32)(features >> (32 * i));

		if (v->pci) {
			write32(v->common + VIRTIO_PCI_COMMON_GFSELECT, i);
			write32(v->common + VIRTIO_PCI_COMMON_GF, half);
		} else {
			write32(v->regs + VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
			write32(v->regs + VIRTIO_MMIO_DRIVER_FEATURES, half);
		}
	}
	v->event_idx = features & F_EVENT_IDX;
}

u8 vdev_status(struct vdev *v)
{
	return v->pci ? read8(v->common + VIRTIO_PCI_COMMON_STATUS) :
			(u8)read32(v->regs + VIRTIO_MMIO_STATUS);
}

void vdev_set_status(struct vdev *v, u8 status)
{
	if (v->pci)
		write8(v->common + VIRTIO_PCI_COMMON_STATUS, status);
	else
		write32(v->regs + VIRTIO_MMIO_STATUS, status);
}

static void queue_select(struct vdev *v, u16 queue)
{
	if (v->pci)
		write16(v->common + VIRTIO_PCI_COMMON_Q_SELECT, queue);
	else
		write32(v->regs + VIRTIO_MMIO_QUEUE_SEL, queue);
}

u16 vdev_queue_max(struct vdev *v, u16 queue)
{
	queue_select(v, queue);
	return v->pci ? read16(v->common + VIRTIO_PCI_COMMON_Q_SIZE) :
			(u16)read32(v->regs + VIRTIO_MMIO_QUEUE_NUM_MAX);
}

u16 vdev_vector(struct vdev *v, u32 queue, u16 vector)
{
	u64 reg = v->common + VIRTIO_PCI_COMMON_MSIX;

	if (queue != ~0U) {
		queue_select(v, (u16)queue);
		reg = v->common + VIRTIO_PCI_COMMON_Q_MSIX;
	}
	write16(reg, vector);
	return read16(reg);
}

u8 vdev_isr(struct vdev *v)
{
	u32 isr;

	if (v->pci)
		return read8(v->isr);
	isr = read32(v->regs + VIRTIO_MMIO_INTERRUPT_STATUS);
	write32(v->regs + VIRTIO_MMIO_INTERRUPT_ACK, isr);
	return (u8)isr;
}

u64 vdev_config_at(struct vdev *v, unsigned int off)
{
	return v->config + off;
}

void vdev_kick(struct vdev *v, u32 queue)
{
	full_barrier();
	if (v->pci)
		outw(v->notify, (u16)queue);
	else
		write32(v->regs + VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

void vdev_reset(struct vdev *v)
{
	vdev_set_status(v, 0);
	WAIT(!vdev_status(v));
}

void vdev_negotiate(struct vdev *v, u64 features)
{
	u8 status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	vdev_reset(v);
	vdev_set_status(v, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	vdev_set_status(v, status);
	vdev_accept(v, features);
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	vdev_set_status(v, status);
	EXPECT_EQ(vdev_status(v), status);
}

void vdev_go(struct vdev *v)
{
	vdev_set_status(v, STATUS_READY);
}

void vdev_broken(struct vdev *v)
{
	WAIT(vdev_status(v) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

void vdev_open(struct vdev *v, struct vq *q, u16 id, u64 features)
{
	EXPECT(vdev_find(v, id, 0));
	vdev_negotiate(v, (vdev_offered(v) & features) | F_VERSION_1);
	vq_setup(q, v, 0, 16);
	vdev_go(v);
	EXPECT_EQ(vdev_status(v), STATUS_READY);
}

void vq_alloc(struct vq *q, struct vdev *v, u16 index, u16 num)
{
	q->dev = v;
	q->index = index;
	q->num = num;
	q->desc = page_alloc((num * 16U + 4095) / 4096);
	q->avail = page_alloc((num * 2U + 6 + 4095) / 4096);
	q->used = page_alloc((num * 8U + 6 + 4095) / 4096);
	q->next_desc = 0;
	q->last_used = 0;
}

static void address_set(struct vdev *v, unsigned int reg, u64 gpa)
{
	u64 base = v->pci ? v->common : v->regs;

	write32(base + reg, (u32)gpa);
	write32(base + reg + 4, (u32)(gpa >> 32));
}

void vq_program(struct vdev *v, u16 index, u16 num, u64 desc, u64 avail,
		u64 used)
{
	queue_select(v, index);
	if (v->pci) {
		write16(v->common + VIRTIO_PCI_COMMON_Q_SIZE, num);
		address_set(v, VIRTIO_PCI_COMMON_Q_DESCLO, desc);
		address_set(v, VIRTIO_PCI_COMMON_Q_AVAILLO, avail);
		address_set(v, VIRTIO_PCI_COMMON_Q_USEDLO, used);
		write16(v->common + VIRTIO_PCI_COMMON_Q_ENABLE, 1);
	} else {
		write32(v->regs + VIRTIO_MMIO_QUEUE_NUM, num);
		address_set(v, VIRTIO_MMIO_QUEUE_DESC_LOW, desc);
		address_set(v, VIRTIO_MMIO_QUEUE_AVAIL_LOW, avail);
		address_set(v, VIRTIO_MMIO_QUEUE_USED_LOW, used);
		write32(v->regs + VIRTIO_MMIO_QUEUE_READY, 1);
	}
}

void vq_setup(struct vq *q, struct vdev *v, u16 index, u16 num)
{
	vq_alloc(q, v, index, num);
	vq_program(v, index, num, (u64)q->desc, (u64)q->avail, (u64)q->used);
}

void vq_clear(struct vq *q)
{
	memset(q->desc, 0, q->num * 16UL);
	memset(q->avail, 0, q->num * 2UL + 6);
	memset(q->used, 0, q->num * 8UL + 6);
	q->next_desc = 0;
	q->last_used = 0;
}

void vdev_restart(struct vdev *v, struct vq *q, unsigned int nr, u64 features)
{
	vdev_negotiate(v, features);
	for (unsigned int i = 0; i < nr; i++) {
		vq_clear(&q[i]);
		vq_program(v, q[i].index, q[i].num, (u64)q[i].desc, (u64)q[i].avail,
			   (u64)q[i].used);
	}
	vdev_go(v);
}

void vq_desc(struct vq *q, u16 i, u64 addr, u32 len, u16 flags, u16 next)
{
	q->desc[i].addr = addr;
	q->desc[i].len = len;
	q->desc[i].flags = flags;
	q->desc[i].next = next;
}

void vq_offer(struct vq *q, u16 head)
{
	u16 idx = q->avail->idx;

	q->avail->ring[idx & (q->num - 1)] = head;
	barrier();
	q->avail->idx = idx + 1;
	barrier();
}

u16 vq_add(struct vq *q, const struct buf *b, unsigned int nr)
{
	u16 head = q->next_desc;

	for (unsigned int i = 0; i < nr; i++) {
		u16 at = q->next_desc;
		u16 flags = (b[i].in ? VRING_DESC_F_WRITE : 0) |
			    (i + 1 < nr ? VRING_DESC_F_NEXT : 0);

		q->next_desc = (at + 1) & (q->num - 1);
		vq_desc(q, at, (u64)b[i].at, b[i].len, flags, q->next_desc);
	}
	vq_offer(q, head);
	return head;
}

void vq_kick(struct vq *q)
{
	vdev_kick(q->dev, q->index);
}

bool vq_done(const struct vq *q)
{
	barrier();
	return q->used->idx != q->last_used;
}

struct vring_used_elem vq_take(struct vq *q)
{
	struct vring_used_elem e;

	WAIT(vq_done(q));
	barrier();
	e.id = q->used->ring[q->last_used & (q->num - 1)].id;
	e.len = q->used->ring[q->last_used & (q->num - 1)].len;
	q->last_used++;
	if (q->dev->event_idx)
		q->avail->ring[q->num] = q->last_used;
	return e;
}

u32 vq_run(struct vq *q, const struct buf *b, unsigned int nr)
{
	u16 head = vq_add(q, b, nr);
	struct vring_used_elem e;

	vq_kick(q);
	e = vq_take(q);
	EXPECT_EQ(e.id, head);
	return e.len;
}

u8 blk_request(struct vq *q, u32 type, u64 sector, void *data, u32 len)
{
	static struct virtio_blk_outhdr hdr;
	static u8 status;
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct buf b[3] = {
		{ &hdr, sizeof(hdr), false },
		{ data, len, in },
		{ &status, 1, true },
	};

	hdr.type = type;
	hdr.ioprio = 0;
	hdr.sector = sector;
	status = 0xff;
	if (!len)
		b[1] = b[2];
	vq_run(q, b, len ? 3 : 2);
	return status;
}

void blk_works(struct vdev *v)
{
	static u8 *page;
	struct vq q;

	if (!page)
		page = page_alloc(1);
	vdev_negotiate(v, F_VERSION_1);
	vq_setup(&q, v, 0, 16);
	vdev_go(v);
	memset(page, 0x5a, 512);
	EXPECT_EQ(blk_request(&q, VIRTIO_BLK_T_OUT, 1, page, 512), 0);
	memset(page, 0, 512);
	EXPECT_EQ(blk_request(&q, VIRTIO_BLK_T_IN, 1, page, 512), 0);
	for (unsigned int i = 0; i < 512; i++)
		EXPECT_EQ(page[i], 0x5a);
	vdev_reset(v);
}

void net_frame(u8 *to)
{
	memset(to, 0xff, 6);
	to[6] = 2;
	to[12] = 0x88;
	to[13] = 0xb5;
}
