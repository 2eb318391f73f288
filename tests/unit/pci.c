// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the PCI bus.
 *
 * Theory of operation: a guest's accesses are made through the two buses, as
 * a vCPU would; the interrupt chip reaches nothing and eventfds are read back.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "kvm/pci.h"
#include "irqchip.h"
#include "test.h"

#define ECAM 0xc0000000ULL
#define WINDOW 0xd0000000ULL
#define PORTS 0x1000

struct world {
	struct io_bus pio;
	struct io_bus mmio;
	struct irq_chip *irq;
	struct pci_bus *bus;
	u8 reset_value;
	struct fake_irqs irqs;
};

static void fake_reset(void *o, u8 value)
{
	((struct world *)o)->reset_value = value;
}

static int bar_read(struct pci_function *f, u64 off, void *d, unsigned int len)
{
	(void)f;
	io_write_le(d, len, off);
	return 0;
}

static u64 ports_at;

static void ports_write(struct pci_function *f, u64 off, const void *d,
			unsigned int len)
{
	*(u64 *)f->opaque = off << 32 | io_read_le(d, len);
}

static void ports_moved(struct pci_function *f, u64 port, bool enabled)
{
	(void)f;
	ports_at = enabled ? port : 0;
}

static const struct pci_function_ops func_ops = {
	.bar_read = bar_read,
	.ports_write = ports_write,
	.ports_moved = ports_moved,
};

static void world_make_full(struct world *w, unsigned int per_slot)
{
	struct pci_bus_params p = {
		.pio = &w->pio, .mmio = &w->mmio,
		.ecam_gpa = ECAM, .mmio_gpa = WINDOW, .mmio_size = 0x100000,
		.port = PORTS, .nr_ports = 0x100, .per_slot = per_slot,
		.intx_gsi = { 16, 17, 18, 19 },
		.reset = fake_reset, .reset_opaque = w,
	};

	memset(w, 0, sizeof(*w));
	io_bus_init(&w->pio);
	io_bus_init(&w->mmio);
	irq_chip_create(&w->irq, &fake_irq_ops, &w->irqs, NULL, 0);
	p.irq = w->irq;
	pci_bus_create(&w->bus, &p);
}

static void world_make(struct world *w)
{
	world_make_full(w, 1);
}

static void world_end(struct world *w)
{
	pci_bus_destroy(w->bus);
	irq_chip_destroy(w->irq);
	io_bus_destroy(&w->pio);
	io_bus_destroy(&w->mmio);
}

static u64 rd(struct io_bus *bus, u64 addr, unsigned int len)
{
	u8 d[8] = { 0 };

	io_bus_read(bus, addr, d, len);
	return io_read_le(d, len);
}

static void wr(struct io_bus *bus, u64 addr, unsigned int len, u64 v)
{
	u8 d[8];

	io_write_le(d, len, v);
	io_bus_write(bus, addr, d, len);
}

static u64 ecam(const struct pci_function *f, unsigned int reg)
{
	return ECAM + f->devfn * 0x1000ULL + reg;
}

static void func_make(struct world *w, struct pci_function *f)
{
	pci_function_init(f, &func_ops, NULL, 0x1234, 0x5678, 0x078000);
	f->bar.size = 0x8000;
	pci_add_msix(f, 2, 0x4000, 0x5000);
	pci_register(w->bus, f);
}

TEST(pci_host_bridge_is_found_by_mechanism_1)
{
	struct world w;

	world_make(&w);
	wr(&w.pio, 0xcf8, 4, 0x80000008);
	EXPECT(rd(&w.pio, 0xcf8, 4) == 0x80000008);
	EXPECT(rd(&w.pio, 0xcfe, 2) == 0x0600);
	wr(&w.pio, 0xcf8, 4, 0x80000000);
	EXPECT(rd(&w.pio, 0xcfc, 4) == 0x00081b36);
	EXPECT(rd(&w.pio, 0xcfd, 2) == 0x081b);
	wr(&w.pio, 0xcfb, 1, 1);
	EXPECT(rd(&w.pio, 0xcf8, 4) == 0x80000000);
	wr(&w.pio, 0xcf8, 4, 0);
	EXPECT(rd(&w.pio, 0xcfc, 4) == 0xffffffff);
	world_end(&w);
}

TEST(pci_reset_port_is_handed_on)
{
	struct world w;

	world_make(&w);
	wr(&w.pio, 0xcf9, 1, 6);
	EXPECT(w.reset_value == 6);
	wr(&w.pio, 0xcf8, 4, 0x80000e00);
	EXPECT(w.reset_value == 6);
	EXPECT(rd(&w.pio, 0xcf9, 1) == 0xff);
	world_end(&w);
}

TEST(pci_absent_function_reads_ones)
{
	struct world w;

	world_make(&w);
	EXPECT(rd(&w.mmio, ECAM + 0x8000, 4) == 0xffffffff);
	EXPECT(rd(&w.mmio, ECAM + 0xff100, 4) == 0xffffffff);
	EXPECT(rd(&w.mmio, ECAM + 0x100, 4) == 0);
	EXPECT(rd(&w.mmio, ECAM + 0xffe, 4) == 0xffffffff);
	wr(&w.pio, 0xcf8, 4, 0x80010000);
	EXPECT(rd(&w.pio, 0xcfc, 4) == 0xffffffff);
	world_end(&w);
}

TEST(pci_bar_is_sized_moved_and_refused_on_overlap)
{
	struct pci_function a, b;
	struct world w;

	world_make(&w);
	func_make(&w, &a);
	func_make(&w, &b);
	EXPECT(rd(&w.mmio, ecam(&a, 0x10), 4) == WINDOW);
	wr(&w.mmio, ecam(&a, 0x10), 4, 0xffffffff);
	EXPECT(rd(&w.mmio, ecam(&a, 0x10), 4) == 0xffff8000);
	wr(&w.mmio, ecam(&a, 0x10), 4, WINDOW + 0x10000);
	EXPECT(!a.bar.mapped);
	wr(&w.mmio, ecam(&a, 0x04), 2, 2);
	EXPECT(a.bar.mapped && rd(&w.mmio, WINDOW + 0x10008, 4) == 8);
	wr(&w.mmio, ecam(&b, 0x10), 4, WINDOW + 0x10000);
	wr(&w.mmio, ecam(&b, 0x04), 2, 0xffff);
	EXPECT(!b.bar.mapped);
	EXPECT(rd(&w.mmio, ecam(&b, 0x04), 2) == 0x406);
	wr(&w.mmio, ecam(&a, 0x10), 4, 0x1000);
	EXPECT(!a.bar.mapped && b.bar.mapped);
	wr(&w.mmio, ecam(&b, 0x04), 2, 0);
	EXPECT(!b.bar.mapped);
	EXPECT(rd(&w.mmio, WINDOW + 0x10008, 4) == 0xffffffff);
	wr(&w.mmio, ecam(&b, 0x00), 4, 0);
	EXPECT(rd(&w.mmio, ecam(&b, 0x00), 4) == 0x56781234);
	pci_unregister(&a);
	pci_unregister(&b);
	world_end(&w);
}

static u64 count(const struct pci_function *f, unsigned int n)
{
	u64 v = 0;

	return read(f->msix[n].msi.fd, &v, 8) == 8 ? v : 0;
}

TEST(pci_ports_are_sized_moved_and_refused_on_overlap)
{
	struct pci_function f[2];
	u64 written[2] = { 0 };
	struct world w;

	world_make(&w);
	for (unsigned int i = 0; i < 2; i++) {
		pci_function_init(&f[i], &func_ops, &written[i], 1, 2, 0x078000);
		f[i].ports.size = 4;
		EXPECT(!pci_register(w.bus, &f[i]));
		EXPECT(rd(&w.mmio, ecam(&f[i], 0x14), 4) == PORTS + 4 * i + 1);
	}
	wr(&w.mmio, ecam(&f[0], 0x14), 4, 0xffffffff);
	EXPECT(rd(&w.mmio, ecam(&f[0], 0x14), 4) == 0xfffd);
	wr(&w.mmio, ecam(&f[0], 0x14), 4, PORTS + 4);
	wr(&w.mmio, ecam(&f[0], 4), 2, 2);
	EXPECT(!f[0].ports.mapped && !ports_at);
	wr(&w.mmio, ecam(&f[0], 4), 2, 1);
	EXPECT(f[0].ports.mapped && ports_at == PORTS + 4);
	wr(&w.pio, PORTS + 6, 2, 0x1234);
	EXPECT(written[0] == (2ULL << 32 | 0x1234));
	EXPECT(rd(&w.pio, PORTS + 4, 4) == 0);
	wr(&w.mmio, ecam(&f[1], 4), 2, 0xffff);
	EXPECT(rd(&w.mmio, ecam(&f[1], 4), 2) == 0x407);
	EXPECT(!f[1].ports.mapped);
	wr(&w.mmio, ecam(&f[0], 0x14), 4, PORTS - 4);
	EXPECT(!f[0].ports.mapped && f[1].ports.mapped);
	wr(&w.mmio, ecam(&f[0], 0x14), 4, PORTS + 0x100);
	EXPECT(!f[0].ports.mapped);
	wr(&w.mmio, ecam(&f[0], 0x14), 4, PORTS + 0xfc);
	EXPECT(f[0].ports.mapped && ports_at == PORTS + 0xfc);
	for (unsigned int i = 0; i < 2; i++)
		pci_unregister(&f[i]);
	EXPECT(!ports_at && rd(&w.pio, PORTS + 0xfc, 4) == 0xffffffff);
	world_end(&w);
}

TEST(pci_msix_masked_vector_is_pending_until_unmasked)
{
	struct pci_function f;
	struct world w;

	world_make(&w);
	func_make(&w, &f);
	wr(&w.mmio, ecam(&f, 4), 2, 2);
	pci_msix_signal(&f, 0);
	wr(&w.mmio, ecam(&f, f.msix_cap + 2), 2, 0xc000);
	EXPECT(pci_msix_enabled(&f));
	EXPECT(rd(&w.mmio, ecam(&f, f.msix_cap + 2), 2) == 0xc001);
	wr(&w.mmio, WINDOW + 0x4000, 8, 0xfee01000);
	wr(&w.mmio, WINDOW + 0x4008, 8, 0x31);
	EXPECT(rd(&w.mmio, WINDOW + 0x4000, 8) == 0xfee01000);
	pci_msix_signal(&f, 0);
	pci_msix_signal(&f, 1);
	pci_msix_signal(&f, 2);
	pci_msix_signal(&f, 0xffff);
	EXPECT(rd(&w.mmio, WINDOW + 0x5000, 8) == 3);
	wr(&w.mmio, ecam(&f, f.msix_cap + 2), 2, 0x8000);
	EXPECT(count(&f, 0) == 1 && count(&f, 1) == 0);
	EXPECT(rd(&w.mmio, WINDOW + 0x5000, 4) == 2);
	wr(&w.mmio, WINDOW + 0x401c, 4, 0);
	EXPECT(count(&f, 1) == 1);
	EXPECT(rd(&w.mmio, WINDOW + 0x4001, 1) == 0xff);
	EXPECT(rd(&w.mmio, WINDOW + 0x4006, 8) == ~0ULL);
	pci_unregister(&f);
	world_end(&w);
}

static void ring(int fd)
{
	const u64 one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		perror("write");
}

TEST(pci_msix_lent_vector_is_listened_to_while_unmasked)
{
	struct pci_function f;
	struct world w;
	int fd;

	world_make(&w);
	func_make(&w, &f);
	wr(&w.mmio, ecam(&f, 4), 2, 2);
	EXPECT(pci_msix_lend(&f, 1) == -1);
	wr(&w.mmio, ecam(&f, f.msix_cap + 2), 2, 0x8000);
	EXPECT(pci_msix_lend(&f, 2) == -1 && pci_msix_lend(&f, 0xffff) == -1);
	fd = pci_msix_lend(&f, 1);
	EXPECT(fd >= 0 && !w.irqs.irqfds);
	EXPECT(pci_msix_lend(&f, 1) == fd);
	ring(fd);
	EXPECT(rd(&w.mmio, WINDOW + 0x5000, 8) == 2);
	wr(&w.mmio, WINDOW + 0x4010, 8, 0xfee01000);
	wr(&w.mmio, WINDOW + 0x4018, 8, 0x31);
	EXPECT(w.irqs.irqfds == 1 && w.irqs.routings == 1);
	EXPECT(rd(&w.mmio, WINDOW + 0x5000, 8) == 0 && count(&f, 1) == 0);
	wr(&w.mmio, WINDOW + 0x4018, 4, 0x32);
	EXPECT(w.irqs.irqfds == 1 && w.irqs.routings == 2);
	wr(&w.mmio, WINDOW + 0x401c, 4, 1);
	EXPECT(!w.irqs.irqfds);
	wr(&w.mmio, WINDOW + 0x401c, 4, 0);
	/* What was rung while it was masked has gone out, once. */
	EXPECT(w.irqs.irqfds == 1 && w.irqs.found == 1);
	wr(&w.mmio, ecam(&f, f.msix_cap + 2), 2, 0);
	EXPECT(!w.irqs.irqfds);
	ring(fd);
	pci_msix_return(&f, 1);
	pci_msix_return(&f, 1);
	EXPECT(f.msix[1].pending && count(&f, 1) == 0);
	wr(&w.mmio, ecam(&f, f.msix_cap + 2), 2, 0x8000);
	EXPECT(w.irqs.irqfds == 1 && !f.msix[1].pending && count(&f, 1) == 1);
	pci_unregister(&f);
	EXPECT(!w.irqs.irqfds);
	world_end(&w);
}

TEST(pci_intx_follows_disable_and_swizzle)
{
	struct pci_function f;
	struct world w;

	world_make(&w);
	func_make(&w, &f);
	EXPECT(rd(&w.mmio, ecam(&f, 0x3c), 2) == 0x0111);
	EXPECT(pci_irq_gsi(w.bus, 3, 2) == 17);
	pci_intx_set(&f, true);
	EXPECT(w.irqs.levels == BIT(17) && rd(&w.mmio, ecam(&f, 6), 2) == 0x18);
	wr(&w.mmio, ecam(&f, 4), 2, 0x400);
	EXPECT(!w.irqs.levels && rd(&w.mmio, ecam(&f, 6), 2) == 0x18);
	wr(&w.mmio, ecam(&f, 4), 2, 0);
	EXPECT(w.irqs.levels == BIT(17));
	wr(&w.mmio, ecam(&f, f.msix_cap + 2), 2, 0x8000);
	EXPECT(!w.irqs.levels);
	pci_unregister(&f);
	world_end(&w);
}

/* A guest names what it finds by that order. */
TEST(pci_functions_are_numbered_as_they_come)
{
	static struct pci_function f[63];
	struct world w;

	world_make_full(&w, 2);
	for (unsigned int i = 0; i < ARRAY_SIZE(f); i++) {
		pci_function_init(&f[i], &func_ops, NULL, 1, 2, 0);
		f[i].removable = true;
		EXPECT(pci_register(w.bus, &f[i]) == (i < 62 ? 0 : -ENOSPC));
		EXPECT(i > 61 || !i || f[i].devfn > f[i - 1].devfn);
	}
	EXPECT(f[39].devfn == (20 << 3 | 1));
	EXPECT(rd(&w.mmio, ecam(&f[1], 0x3c), 2) == 0x0212);
	EXPECT(rd(&w.mmio, ecam(&f[0], 0xe), 1) == 0x80);
	EXPECT(rd(&w.mmio, ecam(&f[1], 0xe), 1) == 0);
	EXPECT(pci_bus_function(w.bus, 31 << 3) == &f[60]);
	EXPECT(pci_bus_function(w.bus, 1 << 3 | 1) == &f[1]);
	EXPECT(!pci_bus_function(w.bus, 256));
	/* What is free then is hot, of one function each. */
	for (unsigned int i = 40; i < ARRAY_SIZE(f); i++)
		pci_unregister(&f[i]);
	pci_bus_finish(w.bus, 12);
	EXPECT(pci_bus_hot_slots(w.bus) == 0xffe00000);
	for (unsigned int i = 40; i < 42; i++) {
		pci_function_init(&f[i], &func_ops, NULL, 1, 2, 0);
		EXPECT(!pci_register(w.bus, &f[i]));
		EXPECT(f[i].devfn == (i - 19) << 3);
	}
	for (unsigned int i = 0; i < 42; i++)
		pci_unregister(&f[i]);
	EXPECT(pci_bus_function(w.bus, 0) && !pci_bus_function(w.bus, 1 << 3));
	EXPECT(!pci_bus_function(w.bus, 31 << 3));
	world_end(&w);
}

TEST(pci_msix_and_capabilities_check_placement)
{
	struct pci_function f;
	u8 body[200] = { 0 };

	pci_function_init(&f, &func_ops, NULL, 1, 2, 0);
	f.bar.size = 0x1000;
	EXPECT(pci_add_msix(&f, 0, 0, 0x800) == -EINVAL);
	EXPECT(pci_add_msix(&f, 65, 0, 0x800) == -EINVAL);
	EXPECT(pci_add_msix(&f, 2, 0xff0, 0x800) == -EINVAL);
	EXPECT(pci_add_msix(&f, 2, 0, 0x18) == -EINVAL);
	EXPECT(pci_add_msix(&f, 2, 0, 0xfffffff8) == -EINVAL);
	EXPECT(pci_add_capability(&f, 9, body, 193) == -ENOSPC);
	EXPECT(pci_add_capability(&f, 9, body, 192) == 0x40);
	EXPECT(pci_add_capability(&f, 9, body, 2) == -ENOSPC);
	pci_unregister(&f);
}

TEST(pci_function_state_survives_and_foreign_state_is_refused)
{
	struct pci_function f;
	struct state_out out = { 0 };
	struct state_in in;
	struct world w;

	world_make(&w);
	func_make(&w, &f);
	wr(&w.mmio, ecam(&f, 4), 2, 6);
	wr(&w.mmio, WINDOW + 0x4000, 8, 0xfee01000);
	pci_function_save(&f, &out);
	EXPECT(!out.err);
	wr(&w.mmio, ecam(&f, 4), 2, 0);
	EXPECT(!f.bar.mapped);
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(!pci_function_restore(&f, &in));
	EXPECT(f.bar.mapped && f.msix[0].addr == 0xfee01000);
	in = (struct state_in){ .buf = out.buf, .len = out.len - 1 };
	EXPECT(pci_function_restore(&f, &in) == -EPROTO);
	out.buf[8] ^= 1;
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(pci_function_restore(&f, &in) == -EPROTO);
	state_out_free(&out);
	pci_unregister(&f);
	world_end(&w);
}

TEST(pci_later_function_takes_hot_slot_and_has_no_address)
{
	struct pci_function stays, goes, f[3];
	struct world w;

	world_make(&w);
	func_make(&w, &stays);
	pci_function_init(&goes, &func_ops, NULL, 1, 2, 0x078000);
	goes.removable = true;
	EXPECT(!pci_register(w.bus, &goes));
	EXPECT(!pci_bus_hot_slots(w.bus));
	pci_bus_finish(w.bus, 2);
	EXPECT(pci_bus_hot_slots(w.bus) == (BIT(2) | BIT(3) | BIT(4)));

	func_make(&w, &f[0]);
	func_make(&w, &f[1]);
	EXPECT(f[0].devfn == 3 << 3 && f[1].devfn == 4 << 3);
	EXPECT(rd(&w.mmio, ecam(&f[0], 0x10), 4) == 0);
	EXPECT(rd(&w.mmio, ecam(&f[0], 0x3d), 1) == 1);
	pci_function_init(&f[2], &func_ops, NULL, 1, 2, 0x078000);
	EXPECT(pci_register(w.bus, &f[2]) == -ENOSPC);
	/* Enabled as it comes it is nowhere; then it is where the guest says */
	wr(&w.mmio, ecam(&f[0], 4), 2, 2);
	EXPECT(!f[0].bar.mapped);
	wr(&w.mmio, ecam(&f[0], 0x10), 4, WINDOW + 0x10000);
	EXPECT(rd(&w.mmio, WINDOW + 0x10010, 4) == 0x10);

	pci_unregister(&goes);
	EXPECT(!pci_register(w.bus, &f[2]) && f[2].devfn == 2 << 3);
	for (unsigned int i = 0; i < 3; i++)
		pci_unregister(&f[i]);
	EXPECT(rd(&w.mmio, WINDOW + 0x10010, 4) == 0xffffffff);
	pci_unregister(&stays);
	world_end(&w);
}

TEST(pci_hidden_function_is_absent_until_another_comes)
{
	struct pci_function f;
	struct world w;

	world_make(&w);
	pci_bus_finish(w.bus, 1);
	/* More often than an interrupt line has places */
	for (unsigned int i = 0; i < 40; i++) {
		func_make(&w, &f);
		EXPECT(f.devfn == 1 << 3 && f.line.chip);
		pci_bus_hide(w.bus, ~0U);
		EXPECT(rd(&w.mmio, ecam(&f, 0), 4) == 0xffffffff);
		wr(&w.mmio, ecam(&f, 4), 2, 2);
		EXPECT(!f.config[4]);
		wr(&w.pio, 0xcf8, 4, 0x80000800);
		EXPECT(rd(&w.pio, 0xcfc, 4) == 0xffffffff);
		EXPECT(rd(&w.mmio, ECAM, 4) == 0x00081b36);
		pci_unregister(&f);
	}
	func_make(&w, &f);
	EXPECT(rd(&w.mmio, ecam(&f, 0), 4) == 0x56781234);
	pci_unregister(&f);
	world_end(&w);
}

TEST_MAIN(T(pci_host_bridge_is_found_by_mechanism_1),
	  T(pci_reset_port_is_handed_on),
	  T(pci_absent_function_reads_ones),
	  T(pci_bar_is_sized_moved_and_refused_on_overlap),
	  T(pci_ports_are_sized_moved_and_refused_on_overlap),
	  T(pci_msix_masked_vector_is_pending_until_unmasked),
	  T(pci_msix_lent_vector_is_listened_to_while_unmasked),
	  T(pci_intx_follows_disable_and_swizzle),
	  T(pci_functions_are_numbered_as_they_come),
	  T(pci_msix_and_capabilities_check_placement),
	  T(pci_later_function_takes_hot_slot_and_has_no_address),
	  T(pci_hidden_function_is_absent_until_another_comes),
	  T(pci_function_state_survives_and_foreign_state_is_refused))
