/* SPDX-License-Identifier: GPL-2.0-only */
/* A machine that tables are written for, and what all of them have. */
#ifndef KVM__TEST_TABLES_H
#define KVM__TEST_TABLES_H

#include <stdlib.h>
#include <string.h>
#include "x86/x86.h"

#define RAM_SIZE (16 * SZ_1M)

/** struct machine - @fp, @table: of the MP table */
struct machine {
	struct gmem gmem;
	struct x86_tables t;
	struct report r;
	u8 *ram;
	const u8 *fp;
	const u8 *table;
};

static const struct x86_mmio_slot slots[] = {
	{ X86_VIRTIO_MMIO_GPA, 5 },
	{ X86_VIRTIO_MMIO_GPA + X86_VIRTIO_MMIO_STRIDE, 15 },
};

/* virtio-mmio if there is no PCI */
static inline void machine_init(struct machine *m, unsigned int nr_cpus, bool pci)
{
	memset(m, 0, sizeof(*m));
	m->ram = calloc(1, RAM_SIZE);
	gmem_add(&m->gmem, 0, RAM_SIZE, m->ram);
	m->t.gmem = &m->gmem;
	m->t.nr_cpus = nr_cpus;
	/* Never looked into: the functions of hw/pci.c are the test's */
	m->t.pci = pci ? (const struct pci_bus *)m : NULL;
	m->t.virtio_mmio = slots;
	m->t.nr_virtio_mmio = pci ? 0 : ARRAY_SIZE(slots);
	m->fp = m->ram + X86_MPTABLE_GPA;
	m->table = m->fp + 16;
}

static inline u8 sum(const u8 *p, size_t len)
{
	u8 s = 0;

	while (len--)
		s += *p++;
	return s;
}

#endif
