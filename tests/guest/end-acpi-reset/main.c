// SPDX-License-Identifier: GPL-2.0-only
/* The reset register that the FADT names. */
#include "acpi.h"

int main(void)
{
	const struct acpi_header *fadt = acpi_find("FACP");

	EXPECT(fadt && fadt->length > FADT_RESET_VALUE);
	EXPECT(acpi_u32(fadt, FADT_FLAGS) & BIT(10));
	EXPECT_EQ(*((const u8 *)fadt + FADT_RESET_SPACE), 1);
	outb((u16)acpi_u64(fadt, FADT_RESET_ADDR),
	     *((const u8 *)fadt + FADT_RESET_VALUE));
	for (;;)
		cpu_relax();
}
