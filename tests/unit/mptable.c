// SPDX-License-Identifier: GPL-2.0-only
/* The MP table: found by a scan, checksummed, entries in the right order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "x86/x86.h"
#include "tables.h"
#include "test.h"

unsigned int pci_irq_gsi(const struct pci_bus *bus, unsigned int slot,
			 unsigned int pin)
{
	(void)bus;
	/* One slot leads beyond the I/O APIC */
	return slot == 7 ? 24 : X86_GSI_INTX + ((slot + pin) & 3);
}

static void make(struct machine *m, unsigned int nr_cpus, bool pci)
{
	machine_init(m, nr_cpus, pci);
	m->t.nr_virtio_mmio = ARRAY_SIZE(slots);
}

static unsigned int get16(const u8 *p)
{
	return p[0] | p[1] << 8;
}

/* The @n-th entry of @type, or NULL */
static const u8 *find_entry(const struct machine *m, u8 type, unsigned int n)
{
	const u8 *p = m->table + 44;

	for (unsigned int i = 0; i < get16(m->table + 34); i++) {
		if (*p == type && !n--)
			return p;
		p += *p ? 8 : 20;
	}
	return NULL;
}

static unsigned int count_entries(const struct machine *m, u8 type)
{
	unsigned int n = 0;

	while (find_entry(m, type, n))
		n++;
	return n;
}

/* The I/O interrupt of @irq on @bus, or NULL */
static const u8 *find_int(const struct machine *m, u8 bus, u8 irq)
{
	const u8 *p;

	for (unsigned int n = 0; (p = find_entry(m, 3, n)); n++)
		if (p[4] == bus && p[5] == irq)
			return p;
	return NULL;
}

TEST(mptable_has_right_checksums_and_lengths)
{
	struct machine m;
	const u8 *p;

	make(&m, 3, true);
	EXPECT(mptable_write(&m.t, &m.r) == 0);
	EXPECT(!memcmp(m.fp, "_MP_", 4));
	EXPECT(m.fp[4] == 0x10 && m.fp[5] == 0 && m.fp[6] == 0x0f);
	EXPECT(m.fp[8] == 1 && m.fp[9] == 4);
	EXPECT(sum(m.fp, 16) == 0);
	EXPECT(!memcmp(m.table, "PCMP", 4));
	EXPECT(sum(m.table, get16(m.table + 4)) == 0);
	p = m.table + 44;
	for (unsigned int i = 0; i < get16(m.table + 34); i++)
		p += *p ? 8 : 20;
	EXPECT(p == m.table + get16(m.table + 4));
	free(m.ram);
}

TEST(mptable_lists_cpus_and_one_boot_processor)
{
	struct machine m;

	make(&m, 3, true);
	EXPECT(mptable_write(&m.t, &m.r) == 0);
	EXPECT(count_entries(&m, 0) == 3);
	EXPECT(find_entry(&m, 0, 0)[1] == 0 && find_entry(&m, 0, 0)[3] == 3);
	EXPECT(find_entry(&m, 0, 2)[1] == 2 && find_entry(&m, 0, 2)[3] == 1);
	EXPECT(count_entries(&m, 2) == 1);
	EXPECT(find_entry(&m, 2, 0)[1] == 3);
	free(m.ram);
}

TEST(mptable_stops_at_254_cpus)
{
	struct machine m;

	make(&m, 1000, true);
	EXPECT(mptable_write(&m.t, &m.r) == 0);
	EXPECT(count_entries(&m, 0) == 254);
	EXPECT(find_entry(&m, 2, 0)[1] == 254);
	free(m.ram);
}

TEST(mptable_routes_isa_and_pci)
{
	struct machine m;
	const u8 *p;

	make(&m, 1, true);
	EXPECT(mptable_write(&m.t, &m.r) == 0);
	EXPECT(count_entries(&m, 1) == 2);
	EXPECT(!memcmp(find_entry(&m, 1, 0) + 1, "\0PCI   ", 7));
	EXPECT(!memcmp(find_entry(&m, 1, 1) + 1, "\1ISA   ", 7));
	p = find_int(&m, 1, 0);
	EXPECT(p && p[7] == 2 && get16(p + 2) == 0);
	EXPECT(!find_int(&m, 1, 2));
	p = find_int(&m, 1, 4);
	EXPECT(p && p[7] == 4 && get16(p + 2) == 0 && p[6] == 1);
	p = find_int(&m, 1, 5);
	EXPECT(p && p[7] == 5 && get16(p + 2) == 0x0d);
	p = find_int(&m, 1, 9);
	EXPECT(p && p[7] == 9 && get16(p + 2) == 0x0d);
	p = find_int(&m, 0, 31 << 2 | 3);
	EXPECT(p && p[7] == 18 && get16(p + 2) == 0x0d);
	EXPECT(!find_int(&m, 0, 7 << 2));
	EXPECT(count_entries(&m, 3) == 15 + 31 * 4);
	EXPECT(find_entry(&m, 4, 0)[1] == 3 && find_entry(&m, 4, 0)[7] == 0);
	EXPECT(find_entry(&m, 4, 1)[1] == 1 && find_entry(&m, 4, 1)[7] == 1);
	free(m.ram);
}

TEST(mptable_without_pci_has_isa_as_bus_0)
{
	struct machine m;

	make(&m, 1, false);
	EXPECT(mptable_write(&m.t, &m.r) == 0);
	EXPECT(count_entries(&m, 1) == 1);
	EXPECT(!memcmp(find_entry(&m, 1, 0) + 1, "\0ISA   ", 7));
	EXPECT(count_entries(&m, 3) == 15);
	for (unsigned int i = 0; i < ARRAY_SIZE(slots); i++)
		EXPECT(get16(find_int(&m, 0, slots[i].gsi) + 2) == 0x0d);
	free(m.ram);
}

TEST(mptable_reports_missing_ram)
{
	struct machine m;

	make(&m, 1, false);
	m.gmem.region[0].size = X86_MPTABLE_GPA + 8;
	EXPECT(mptable_write(&m.t, &m.r) == -EFAULT);
	EXPECT(m.r.msg[0]);
	EXPECT(m.fp[0] == 0);
	free(m.ram);
}

TEST_MAIN(T(mptable_has_right_checksums_and_lengths),
	  T(mptable_lists_cpus_and_one_boot_processor),
	  T(mptable_stops_at_254_cpus),
	  T(mptable_routes_isa_and_pci),
	  T(mptable_without_pci_has_isa_as_bus_0),
	  T(mptable_reports_missing_ram))
