// SPDX-License-Identifier: GPL-2.0-only
/* ACPI power-off: the PM1a control block of the FADT, the type of _S5. */
#include "acpi.h"

#define SLP_EN	BIT(13)

/* \_S5: a package whose first element is the type; constants are 1 or 2 bytes */
static unsigned int find_s5(const struct acpi_header *dsdt)
{
	const u8 *p = (const u8 *)dsdt;

	EXPECT_EQ(sum8(dsdt, dsdt->length), 0);
	for (unsigned int i = sizeof(*dsdt); i + 12 < dsdt->length; i++) {
		if (memcmp(p + i, "_S5_", 4))
			continue;
		/* name, package, its length, number of elements */
		EXPECT_EQ(p[i + 4], 0x12);
		EXPECT(!(p[i + 5] & 0xc0));
		return p[i + 7] == 0x0a ? p[i + 8] : p[i + 7];
	}
	fail(__FILE__, __LINE__, "no _S5 in the DSDT");
}

int main(void)
{
	const struct acpi_header *fadt = acpi_find("FACP");
	const struct acpi_header *dsdt;
	unsigned int type;
	u16 port;

	EXPECT(fadt);
	dsdt = (void *)(u64)acpi_u32(fadt, FADT_DSDT);
	port = (u16)acpi_u32(fadt, FADT_PM1A_CNT);
	type = find_s5(dsdt);
	EXPECT(inw(port) & 1);	/* SCI_EN: in ACPI mode */
	/* Another sleep type does nothing. */
	outw(port, (u16)(SLP_EN | ((type ^ 1) << 10)));
	outw(port, (u16)(SLP_EN | (type << 10)));
	for (;;)
		cpu_relax();
}
