// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MP table, for kernels that were built without ACPI.
 *
 * Theory of operation
 *
 * Writes the floating pointer and the configuration table of the Intel
 * MultiProcessor Specification 1.4, s4, to X86_MPTABLE_GPA: processors,
 * buses, the I/O APIC, and how ISA and PCI interrupts reach it. Done once, on
 * the main thread, before vCPUs run; no locks, no state. Afterwards it is
 * guest RAM, which the guest may destroy at its own cost.
 *
 * A local APIC id is 8 bits here and 255 is a broadcast, so CPUs behind the
 * 254th are not listed; that is what ACPI is for. Bus ids count from 0
 * without a gap: PCI first when there is PCI, so that the id is the number
 * of the bus, then ISA.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "x86/aml.h"
#include "x86/x86.h"

#define MP_AREA_SIZE	0x10000U
#define MP_POINTER_LEN	16
#define MP_HEADER_LEN	44
#define MP_MAX_CPUS	254U
#define MP_GSIS		24
#define MP_ISA_IRQS	16

enum mp_entry { MP_CPU, MP_BUS, MP_IOAPIC, MP_IO_INT, MP_LOCAL_INT };
enum mp_int { MP_INT, MP_NMI, MP_SMI, MP_EXTINT };

/* Polarity and trigger: as the bus does, or active high and level (s4.3.4) */
#define MP_CONFORMS	0
#define MP_LEVEL_HIGH	(1 | 3 << 2)

/* What is needed to write an interrupt entry */
struct mp_route {
	enum mp_int type;
	u16 flags;
	u8 bus;
	u8 irq;
	u8 apic;
	u8 pin;
};

/* Entries with how many of them there are */
struct mp_table {
	struct aml a;
	u16 nr;
};

static u8 mp_sum(const u8 *p, size_t len)
{
	u8 sum = 0;

	while (len--)
		sum += *p++;
	return sum;
}

static void mp_put_cpus(struct mp_table *m, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		aml_u8(&m->a, MP_CPU);
		aml_u8(&m->a, i);
		aml_u8(&m->a, 0x14);		/* APIC version */
		aml_u8(&m->a, i ? 1 : 3);	/* enabled, boot processor */
		aml_u32(&m->a, 0x600);		/* family 6 */
		aml_u32(&m->a, 0x201);		/* FPU, APIC */
		aml_zero(&m->a, 8);
		m->nr++;
	}
}

static void mp_put_bus(struct mp_table *m, u8 id, const char *type)
{
	aml_u8(&m->a, MP_BUS);
	aml_u8(&m->a, id);
	aml_bytes(&m->a, type, 6);
	m->nr++;
}

static void mp_put_ioapic(struct mp_table *m, u8 id)
{
	aml_u8(&m->a, MP_IOAPIC);
	aml_u8(&m->a, id);
	aml_u8(&m->a, 0x11);
	aml_u8(&m->a, 1);
	aml_u32(&m->a, X86_IOAPIC_GPA);
	m->nr++;
}

static void mp_put_int(struct mp_table *m, enum mp_entry entry,
		       const struct mp_route *r)
{
	aml_u8(&m->a, entry);
	aml_u8(&m->a, r->type);
	aml_u16(&m->a, r->flags);
	aml_u8(&m->a, r->bus);
	aml_u8(&m->a, r->irq);
	aml_u8(&m->a, r->apic);
	aml_u8(&m->a, r->pin);
	m->nr++;
}

static bool mp_irq_is_level(const struct x86_tables *t, unsigned int irq)
{
	if (irq == X86_GSI_SCI)
		return true;
	for (unsigned int i = 0; i < t->nr_virtio_mmio; i++)
		if (t->virtio_mmio[i].gsi == irq)
			return true;
	return false;
}

static void mp_put_isa(struct mp_table *m, const struct x86_tables *t, u8 bus,
		       u8 ioapic)
{
	for (unsigned int irq = 0; irq < MP_ISA_IRQS; irq++) {
		struct mp_route r = {
			.type = MP_INT, .flags = MP_CONFORMS, .bus = bus,
			.irq = irq, .apic = ioapic, .pin = irq ? irq : 2,
		};

		if (irq == 2)		/* the cascade; its pin is the timer's */
			continue;
		if (mp_irq_is_level(t, irq))
			r.flags = MP_LEVEL_HIGH;
		mp_put_int(m, MP_IO_INT, &r);
	}
}

static void mp_put_pci(struct mp_table *m, const struct pci_bus *bus, u8 ioapic)
{
	for (unsigned int i = 0; i < 32 * 4; i++) {
		unsigned int gsi = pci_irq_gsi(bus, i / 4, i % 4);
		struct mp_route r = {
			.type = MP_INT, .flags = MP_LEVEL_HIGH, .bus = 0,
			.irq = i, .apic = ioapic, .pin = gsi,
		};

		if (gsi < MP_GSIS)
			mp_put_int(m, MP_IO_INT, &r);
	}
}

static void mp_put_lints(struct mp_table *m, u8 isa)
{
	static const enum mp_int lint[] = { MP_EXTINT, MP_NMI };

	for (unsigned int i = 0; i < ARRAY_SIZE(lint); i++) {
		struct mp_route r = {
			.type = lint[i], .flags = MP_CONFORMS, .bus = isa,
			.irq = 0, .apic = 0xff, .pin = i,
		};

		mp_put_int(m, MP_LOCAL_INT, &r);
	}
}

/* The floating pointer and the header, once all behind them is known */
static void mp_fill_headers(struct mp_table *m)
{
	size_t table_len = m->a.len - MP_POINTER_LEN;
	struct aml h = { .buf = m->a.buf, .size = MP_POINTER_LEN + MP_HEADER_LEN };
	u8 *table = m->a.buf + MP_POINTER_LEN;

	aml_bytes(&h, "_MP_", 4);
	aml_u32(&h, X86_MPTABLE_GPA + MP_POINTER_LEN);
	aml_u8(&h, 1);			/* length in paragraphs */
	aml_u8(&h, 4);			/* specification 1.4 */
	aml_zero(&h, 6);

	aml_bytes(&h, "PCMP", 4);
	aml_u16(&h, table_len);
	aml_u8(&h, 4);
	aml_u8(&h, 0);			/* checksum */
	aml_bytes(&h, "LKVM    ", 8);
	aml_bytes(&h, "LKVM        ", 12);
	aml_zero(&h, 6);		/* no OEM table */
	aml_u16(&h, m->nr);
	aml_u32(&h, X86_LAPIC_GPA);
	aml_zero(&h, 4);		/* no extended table */

	table[7] = -mp_sum(table, table_len);
	m->a.buf[10] = -mp_sum(m->a.buf, MP_POINTER_LEN);
}

int mptable_write(const struct x86_tables *t, struct report *r)
{
	struct mp_table m = { .a.size = MP_AREA_SIZE };
	unsigned int nr_cpus = MIN(t->nr_cpus, MP_MAX_CPUS);
	u8 isa = t->pci ? 1 : 0;
	u8 ioapic = nr_cpus;		/* the first id that is not a CPU's */
	int err;

	m.a.buf = malloc(m.a.size);
	if (!m.a.buf)
		return report_error(r, ENOMEM, "MP table");

	aml_zero(&m.a, MP_POINTER_LEN + MP_HEADER_LEN);
	mp_put_cpus(&m, nr_cpus);
	if (t->pci)
		mp_put_bus(&m, 0, "PCI   ");
	mp_put_bus(&m, isa, "ISA   ");
	mp_put_ioapic(&m, ioapic);
	mp_put_isa(&m, t, isa, ioapic);
	if (t->pci)
		mp_put_pci(&m, t->pci, ioapic);
	mp_put_lints(&m, isa);

	err = m.a.err;
	if (!err) {
		mp_fill_headers(&m);
		err = gmem_write(t->gmem, X86_MPTABLE_GPA, m.a.buf, m.a.len);
	}
	if (err)
		err = report_error(r, -err, "MP table at %#llx",
				   X86_MPTABLE_GPA);
	free(m.a.buf);
	return err;
}
