// SPDX-License-Identifier: GPL-2.0-only
/* Finding ACPI tables, ACPI 6.4 s5.2. Whatever is wrong ends the guest. */
#include <asm/bootparam.h>
#include "acpi.h"

#define PVH_MAGIC 0x336ec578U

u8 sum8(const void *d, size_t len)
{
	const u8 *p = d;
	u8 sum = 0;

	while (len--)
		sum += *p++;
	return sum;
}

static u64 find_rsdp(void)
{
	const struct boot_params *bp = (void *)guest_info;

	if (read32(guest_info) == PVH_MAGIC)
		return read64(guest_info + 32);
	return bp->acpi_rsdp_addr;
}

const struct acpi_header *acpi_xsdt(void)
{
	u64 rsdp = find_rsdp();
	const struct acpi_header *xsdt;

	EXPECT(rsdp);
	EXPECT(!memcmp((void *)rsdp, "RSD PTR ", 8));
	EXPECT_EQ(sum8((void *)rsdp, 20), 0);
	EXPECT_EQ(sum8((void *)rsdp, 36), 0);
	EXPECT_EQ(read8(rsdp + 15), 2);
	xsdt = (void *)read64(rsdp + 24);
	EXPECT(!memcmp(xsdt->signature, "XSDT", 4));
	EXPECT_EQ(sum8(xsdt, xsdt->length), 0);
	return xsdt;
}

unsigned int acpi_count(void)
{
	return (acpi_xsdt()->length - sizeof(struct acpi_header)) / 8;
}

const struct acpi_header *acpi_table(unsigned int i)
{
	return (void *)acpi_u64(acpi_xsdt(), sizeof(struct acpi_header) + 8 * i);
}

const struct acpi_header *acpi_find(const char *signature)
{
	for (unsigned int i = 0; i < acpi_count(); i++) {
		const struct acpi_header *t = acpi_table(i);

		if (memcmp(t->signature, signature, 4))
			continue;
		EXPECT_EQ(sum8(t, t->length), 0);
		return t;
	}
	return NULL;
}
