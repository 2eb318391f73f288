// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the PCI transport of virtio.
 *
 * Theory of operation: a class that does nothing stands on a real bus and a
 * real core; accesses go through the buses, as a vCPU's would.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_pci.h>

#include "kvm/gmem.h"
#include "kvm/virtio.h"
#include "irqchip.h"
#include "test.h"

#define ECAM 0xc0000000ULL
#define WINDOW 0xd0000000ULL
#define PORTS 0x1000
#define FUNC (ECAM + 0x8000)

struct world {
	struct io_bus pio;
	struct io_bus mmio;
	struct irq_chip *irq;
	struct pci_bus *bus;
	struct gmem gmem;
	struct virtio_device *dev;
	struct virtio_env env;
	unsigned int ioeventfds;
	u64 ioeventfd_port;
	struct fake_irqs irqs;
};

static u8 ram[0x10000] __aligned(4096);

static int fake_ioeventfd(void *o, int fd, u64 addr, u32 len, u32 value,
			  bool port, bool on)
{
	struct world *w = o;

	if (fd < 0 || len != 2 || value > 1 || !port)
		return -EINVAL;
	w->ioeventfds += on ? 1U : -1U;
	w->ioeventfd_port = addr;
	return 0;
}

static void fake_config_read(struct virtio_device *dev, u32 off, void *d,
			     u32 len)
{
	(void)dev;
	for (u32 i = 0; i < len; i++)
		((u8 *)d)[i] = (u8)(0xa0 + off + i);
}

static const struct virtio_class fake_class = {
	.name = "fake", .id = 4, .nr_queues = 2, .queue_max = 64,
	.config_len = 8, .pci_class = 0x00ff00, .has_thread = true,
	.config_read = fake_config_read,
};

static u64 rd(struct world *w, u64 addr, unsigned int len)
{
	u8 d[8] = { 0 };

	io_bus_read(&w->mmio, addr, d, len);
	return io_read_le(d, len);
}

static void wr(struct world *w, u64 addr, unsigned int len, u64 v)
{
	u8 d[8];

	io_write_le(d, len, v);
	io_bus_write(&w->mmio, addr, d, len);
}

static void world_make(struct world *w)
{
	struct pci_bus_params p = {
		.pio = &w->pio, .mmio = &w->mmio,
		.ecam_gpa = ECAM, .mmio_gpa = WINDOW, .mmio_size = 0x100000,
		.port = PORTS, .nr_ports = 0x100, .per_slot = 1,
		.intx_gsi = { 16, 17, 18, 19 },
	};

	memset(w, 0, sizeof(*w));
	gmem_add(&w->gmem, 0, sizeof(ram), ram);
	io_bus_init(&w->pio);
	io_bus_init(&w->mmio);
	irq_chip_create(&w->irq, &fake_irq_ops, &w->irqs, NULL, 0);
	p.irq = w->irq;
	pci_bus_create(&w->bus, &p);
	w->env = (struct virtio_env){
		.gmem = &w->gmem, .mmio = &w->mmio, .irq = w->irq,
		.pci = w->bus, .ioeventfd = fake_ioeventfd,
		.ioeventfd_opaque = w,
	};
	virtio_device_create(&w->dev, &fake_class, "fake0", NULL, &w->env,
			     NULL);
	virtio_pci_attach(w->dev, &w->env);
	wr(w, FUNC + 4, 2, 7);
}

static void world_end(struct world *w)
{
	w->dev->dev.ops->destroy(&w->dev->dev);
	pci_bus_destroy(w->bus);
	irq_chip_destroy(w->irq);
	io_bus_destroy(&w->pio);
	io_bus_destroy(&w->mmio);
}

/* Configuration space offset of a vendor capability, or of MSI-X for 0. */
static u64 find_cap(struct world *w, u8 type)
{
	u64 at = rd(w, FUNC + 0x34, 1);

	for (int i = 0; at && i < 16; i++) {
		u64 id = rd(w, FUNC + at, 1);

		if ((!type && id == 0x11) ||
		    (type && id == 9 && rd(w, FUNC + at + 3, 1) == type))
			return FUNC + at;
		at = rd(w, FUNC + at + 1, 1);
	}
	return 0;
}

TEST(virtio_pci_identifies_itself)
{
	struct world w;
	u64 cap;

	world_make(&w);
	EXPECT(rd(&w, FUNC, 4) == 0x10441af4);
	EXPECT(rd(&w, FUNC + 8, 4) == 0x00ff0001);
	EXPECT(rd(&w, FUNC + 0x2c, 4) == 0x11001af4);
	cap = find_cap(&w, VIRTIO_PCI_CAP_COMMON_CFG);
	EXPECT(cap && rd(&w, cap + 8, 8) == (u64)56 << 32);
	cap = find_cap(&w, VIRTIO_PCI_CAP_NOTIFY_CFG);
	EXPECT(cap && rd(&w, cap + 2, 1) == 20 && rd(&w, cap + 16, 4) == 0);
	EXPECT(rd(&w, cap + 4, 1) == 1 && rd(&w, cap + 8, 8) == 4ULL << 32);
	EXPECT(find_cap(&w, VIRTIO_PCI_CAP_ISR_CFG));
	EXPECT(find_cap(&w, VIRTIO_PCI_CAP_DEVICE_CFG));
	cap = find_cap(&w, 0);
	EXPECT(cap && rd(&w, cap + 2, 2) == 2);
	world_end(&w);
}

TEST(virtio_pci_common_fields_at_any_inner_width)
{
	struct world w;

	world_make(&w);
	EXPECT(rd(&w, WINDOW + 18, 2) == 2);
	wr(&w, WINDOW + 0, 4, 1);
	EXPECT(rd(&w, WINDOW + 4, 4) & 1);
	EXPECT(rd(&w, WINDOW + 24, 2) == 64);
	wr(&w, WINDOW + 20, 1, 1);
	wr(&w, WINDOW + 32, 8, 0x123456789abcdef0ULL);
	EXPECT(rd(&w, WINDOW + 32, 8) == 0x123456789abcdef0ULL);
	wr(&w, WINDOW + 37, 1, 0xff);
	EXPECT(rd(&w, WINDOW + 36, 4) == 0x1234ff78);
	EXPECT(rd(&w, WINDOW + 18, 4) == 0);
	EXPECT(rd(&w, WINDOW + 56, 8) == 0);
	wr(&w, WINDOW + 22, 2, 2);
	EXPECT(rd(&w, WINDOW + 24, 2) == 0 && rd(&w, WINDOW + 32, 4) == 0);
	wr(&w, WINDOW + 28, 2, 1);
	EXPECT(rd(&w, WINDOW + 0x2000, 4) == 0xa3a2a1a0);
	EXPECT(rd(&w, WINDOW + 0x2006, 4) == 0xa7a6);
	world_end(&w);
}

TEST(virtio_pci_vector_out_of_range_reads_none)
{
	struct world w;

	world_make(&w);
	wr(&w, WINDOW + 26, 2, 2);
	wr(&w, WINDOW + 16, 2, 0);
	EXPECT(rd(&w, WINDOW + 26, 2) == 2 && rd(&w, WINDOW + 16, 2) == 0);
	wr(&w, WINDOW + 26, 2, 3);
	EXPECT(rd(&w, WINDOW + 26, 2) == 0xffff);
	wr(&w, WINDOW + 20, 1, 0);
	EXPECT(rd(&w, WINDOW + 16, 2) == 0xffff);
	world_end(&w);
}

TEST(virtio_pci_interrupts_by_line_and_by_message)
{
	struct virtqueue *vq;
	struct world w;
	u64 v = 0;

	world_make(&w);
	vq = &w.dev->queue[1];
	w.dev->transport->signal_queue(w.dev, vq);
	w.dev->transport->signal_config(w.dev);
	EXPECT(w.irqs.levels == BIT(17));
	EXPECT(rd(&w, WINDOW + 0x1000, 1) == 3);
	EXPECT(!w.irqs.levels && rd(&w, WINDOW + 0x1000, 1) == 0);
	/* What is beside it is not it; a reset takes it away. */
	w.dev->transport->signal_queue(w.dev, vq);
	EXPECT(!rd(&w, WINDOW + 0x1001, 1) && w.irqs.levels == BIT(17));
	wr(&w, WINDOW + 20, 1, 0);
	EXPECT(!w.irqs.levels && rd(&w, WINDOW + 0x1000, 1) == 0);
	wr(&w, find_cap(&w, 0) + 2, 2, 0x8000);
	wr(&w, WINDOW + 22, 2, 1);
	wr(&w, WINDOW + 26, 2, 1);
	wr(&w, WINDOW + 0x401c, 4, 0);
	w.dev->transport->signal_queue(w.dev, vq);
	w.dev->transport->signal_config(w.dev);
	EXPECT(!w.irqs.levels);
	EXPECT(read(pci_bus_function(w.bus, 8)->msix[1].msi.fd, &v, 8) == 8);
	EXPECT(v == 1);
	world_end(&w);
}

TEST(virtio_pci_queue_is_enabled_by_one_alone)
{
	struct world w;

	world_make(&w);
	wr(&w, WINDOW + 8, 4, 2);
	EXPECT(rd(&w, WINDOW + 12, 4) == 0);
	wr(&w, WINDOW + 20, 1, 1);
	wr(&w, WINDOW + 32, 8, 0x1000);
	wr(&w, WINDOW + 40, 8, 0x2000);
	wr(&w, WINDOW + 48, 8, 0x3000);
	wr(&w, WINDOW + 28, 2, 0);
	wr(&w, WINDOW + 28, 2, 2);
	EXPECT(rd(&w, WINDOW + 28, 2) == 0 && rd(&w, WINDOW + 20, 1) == 1);
	/* The size is left as it was offered. */
	wr(&w, WINDOW + 28, 2, 1);
	EXPECT(rd(&w, WINDOW + 28, 2) == 1 && w.dev->queue[0].num == 64);
	wr(&w, WINDOW + 28, 2, 0);
	wr(&w, WINDOW + 24, 2, 32);
	EXPECT(rd(&w, WINDOW + 28, 2) == 1 && rd(&w, WINDOW + 24, 2) == 64);
	/* More than was offered is none. */
	wr(&w, WINDOW + 22, 2, 1);
	wr(&w, WINDOW + 24, 2, 128);
	wr(&w, WINDOW + 32, 8, 0x4000);
	wr(&w, WINDOW + 40, 8, 0x5000);
	wr(&w, WINDOW + 48, 8, 0x6000);
	wr(&w, WINDOW + 28, 2, 1);
	EXPECT(rd(&w, WINDOW + 28, 2) == 0 && rd(&w, WINDOW + 20, 1) == 0x41);
	world_end(&w);
}

TEST(virtio_pci_ioeventfds_follow_the_bar)
{
	struct world w;

	world_make(&w);
	EXPECT(w.ioeventfds == 2 && w.ioeventfd_port == PORTS);
	wr(&w, FUNC + 0x14, 4, PORTS + 0x20);
	EXPECT(w.ioeventfds == 2 && w.ioeventfd_port == PORTS + 0x20);
	wr(&w, FUNC + 4, 2, 2);
	EXPECT(w.ioeventfds == 0);
	wr(&w, FUNC + 4, 2, 1);
	world_end(&w);
	EXPECT(w.ioeventfds == 0);
}

static u64 kicks(struct world *w, unsigned int queue)
{
	u64 v = 0;

	if (read(w->dev->queue[queue].kick_fd, &v, sizeof(v)) < 0)
		v = 0;
	return v;
}

static void out(struct world *w, u64 port, unsigned int len, u64 v)
{
	u8 d[4];

	io_write_le(d, len, v);
	io_bus_write(&w->pio, port, d, len);
}

TEST(virtio_pci_notifications_by_port_and_by_window)
{
	struct world w;
	u64 cap;

	world_make(&w);
	cap = find_cap(&w, VIRTIO_PCI_CAP_PCI_CFG);
	for (unsigned int q = 0; q < 2; q++) {
		int fd = w.dev->queue[q].kick_fd;

		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		w.dev->queue[q].ready = true;
	}
	w.dev->active = true;
	out(&w, PORTS, 2, 1);
	EXPECT(kicks(&w, 1) == 1 && !kicks(&w, 0));
	out(&w, PORTS, 1, 0);
	out(&w, PORTS, 4, 0xffff0000);
	EXPECT(kicks(&w, 0) == 2 && !kicks(&w, 1));
	out(&w, PORTS, 2, 2);
	out(&w, PORTS, 2, 0xffff);
	out(&w, PORTS + 1, 1, 0);
	out(&w, PORTS + 2, 2, 1);
	EXPECT(!kicks(&w, 0) && !kicks(&w, 1));

	wr(&w, cap + 4, 1, 1);
	wr(&w, cap + 8, 4, 0);
	wr(&w, cap + 12, 4, 2);
	wr(&w, cap + 16, 4, 1);
	EXPECT(kicks(&w, 1) == 1 && !kicks(&w, 0));
	EXPECT(rd(&w, cap + 16, 2) == 0);
	wr(&w, cap + 8, 4, 4);
	wr(&w, cap + 16, 4, 1);
	wr(&w, cap + 8, 4, 2);
	wr(&w, cap + 12, 4, 4);
	wr(&w, cap + 16, 4, 1);
	wr(&w, cap + 4, 1, 2);
	wr(&w, cap + 8, 4, 0);
	wr(&w, cap + 12, 4, 2);
	wr(&w, cap + 16, 4, 1);
	EXPECT(!kicks(&w, 0) && !kicks(&w, 1));
	w.dev->active = false;
	world_end(&w);
}

TEST(virtio_pci_window_is_bounds_checked)
{
	struct world w;
	u64 cap;

	world_make(&w);
	cap = find_cap(&w, VIRTIO_PCI_CAP_PCI_CFG);
	EXPECT(cap);
	wr(&w, cap + 8, 4, 0x2000);
	wr(&w, cap + 12, 4, 4);
	EXPECT(rd(&w, cap + 16, 4) == 0xa3a2a1a0);
	wr(&w, cap + 8, 4, 22);
	wr(&w, cap + 12, 4, 2);
	wr(&w, cap + 16, 4, 1);
	EXPECT(rd(&w, WINDOW + 22, 2) == 1);
	wr(&w, cap + 12, 4, 3);
	wr(&w, cap + 16, 4, 0);
	wr(&w, cap + 12, 4, 4);
	wr(&w, cap + 8, 4, 0x8000);
	wr(&w, cap + 16, 4, 0);
	wr(&w, cap + 8, 4, 0xfffffffc);
	wr(&w, cap + 16, 4, 0);
	EXPECT(rd(&w, cap + 16, 4) == 0);
	wr(&w, cap + 8, 4, 20);
	wr(&w, cap + 4, 1, 2);
	wr(&w, cap + 16, 4, 0);
	EXPECT(rd(&w, WINDOW + 22, 2) == 1);
	/* Off its own width, and by less than that */
	wr(&w, cap + 4, 1, 0);
	wr(&w, cap + 8, 4, 1);
	wr(&w, cap + 12, 4, 2);
	wr(&w, cap + 16, 4, 0xffff);
	wr(&w, cap + 8, 4, 0);
	wr(&w, cap + 16, 1, 0xff);
	EXPECT(rd(&w, WINDOW, 4) == 0);
	w.dev->transport->signal_config(w.dev);
	wr(&w, cap + 8, 4, 0x1000);
	rd(&w, cap + 16, 1);
	EXPECT(rd(&w, WINDOW + 0x1000, 1) == 2);
	world_end(&w);
}

TEST(virtio_pci_state_survives)
{
	struct state_out out = { 0 };
	struct state_in in;
	struct world w;

	world_make(&w);
	wr(&w, WINDOW + 26, 2, 2);
	w.dev->dev.ops->save(&w.dev->dev, &out);
	EXPECT(!out.err);
	world_end(&w);
	world_make(&w);
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(!w.dev->dev.ops->restore(&w.dev->dev, &in));
	EXPECT(rd(&w, WINDOW + 26, 2) == 2);
	in = (struct state_in){ .buf = out.buf, .len = out.len - 1 };
	EXPECT(w.dev->dev.ops->restore(&w.dev->dev, &in) == -EPROTO);
	out.buf[4] = 4;	/* an interrupt that there is not */
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(w.dev->dev.ops->restore(&w.dev->dev, &in) == -EPROTO);
	state_out_free(&out);
	world_end(&w);
}

TEST_MAIN(T(virtio_pci_identifies_itself),
	  T(virtio_pci_common_fields_at_any_inner_width),
	  T(virtio_pci_vector_out_of_range_reads_none),
	  T(virtio_pci_interrupts_by_line_and_by_message),
	  T(virtio_pci_queue_is_enabled_by_one_alone),
	  T(virtio_pci_ioeventfds_follow_the_bar),
	  T(virtio_pci_notifications_by_port_and_by_window),
	  T(virtio_pci_window_is_bounds_checked),
	  T(virtio_pci_state_survives))
