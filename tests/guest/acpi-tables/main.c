// SPDX-License-Identifier: GPL-2.0-only
/* A walk over all ACPI tables: sums, CPUs, interrupts, ECAM. */
#include "acpi.h"

struct found {
	u32 cpus;
	u32 ioapics;
	u32 overrides;
	u32 nmis;
};

static void madt_entry(const u8 *e, struct found *f)
{
	u32 id;

	switch (e[0]) {
	case 0:
		EXPECT_EQ(e[1], 8);
		EXPECT_EQ(e[3], f->cpus);
		EXPECT_EQ(e[4], 1);
		f->cpus++;
		break;
	case 1:
		memcpy(&id, e + 4, 4);
		EXPECT_EQ(id, 0xfec00000);
		f->ioapics++;
		break;
	case 2:
		f->overrides++;
		break;
	case 4:
	case 10:
		f->nmis++;
		break;
	case 9:
		memcpy(&id, e + 4, 4);
		EXPECT_EQ(e[1], 16);
		EXPECT_EQ(id, f->cpus);
		EXPECT_EQ(e[8], 1);
		f->cpus++;
		break;
	default:
		fail(__FILE__, __LINE__, "unknown entry in the MADT");
	}
}

static void check_madt(const struct acpi_header *t, u32 cpus)
{
	const u8 *p = (const u8 *)t;
	struct found f = { 0 };
	u32 off = 44;

	EXPECT_EQ(acpi_u32(t, 36), 0xfee00000);
	while (off < t->length) {
		EXPECT(t->length - off >= 2 && p[off + 1] >= 2);
		madt_entry(p + off, &f);
		off += p[off + 1];
	}
	EXPECT_EQ(off, t->length);
	EXPECT_EQ(f.cpus, cpus);
	EXPECT_EQ(f.ioapics, 1);
	EXPECT_EQ(f.overrides, 2);
	EXPECT_EQ(f.nmis, cpus > 255 ? 2 : 1);
}

static void check_fadt(const struct acpi_header *t)
{
	const struct acpi_header *dsdt = (void *)(u64)acpi_u32(t, FADT_DSDT);
	u64 facs = acpi_u32(t, 36);

	EXPECT(!memcmp(dsdt->signature, "DSDT", 4));
	EXPECT_EQ(sum8(dsdt, dsdt->length), 0);
	EXPECT_EQ(acpi_u64(t, 140), (u64)dsdt);
	EXPECT(!memcmp((void *)facs, "FACS", 4));
	EXPECT_EQ(facs % 64, 0);
	EXPECT_EQ(acpi_u32(t, FADT_PM1A_EVT), 0x600);
	EXPECT_EQ(acpi_u32(t, FADT_PM1A_CNT), 0x604);
	EXPECT(!(acpi_u32(t, FADT_FLAGS) & BIT(20)));	/* not reduced */
}

int main(void)
{
	const struct acpi_header *mcfg = acpi_find("MCFG");

	for (unsigned int i = 0; i < acpi_count(); i++) {
		const struct acpi_header *t = acpi_table(i);

		EXPECT(t->length >= sizeof(*t));
		EXPECT_EQ(sum8(t, t->length), 0);
	}
	EXPECT(acpi_find("FACP") && acpi_find("APIC"));
	check_fadt(acpi_find("FACP"));
	check_madt(acpi_find("APIC"), (u32)option_number("cpus", 1));
	if (option_is("transport", "mmio")) {
		EXPECT(!mcfg);
		return 0;
	}
	EXPECT(mcfg);
	EXPECT_EQ(acpi_u64(mcfg, 44), 0xc0000000);
	EXPECT_EQ(*((const u8 *)mcfg + 54), 0);
	return 0;
}
