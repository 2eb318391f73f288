/* SPDX-License-Identifier: GPL-2.0-only */
/* Finding ACPI tables. */
#ifndef GUEST_ACPI_H
#define GUEST_ACPI_H

#include "guest.h"

struct acpi_header {
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem[6];
	char oem_table[8];
	u32 oem_revision;
	u32 creator;
	u32 creator_revision;
} __packed;

/** acpi_xsdt() - by the RSDP of the boot information; checks both */
const struct acpi_header *acpi_xsdt(void);
/** acpi_count() - how many tables the XSDT has */
unsigned int acpi_count(void);
const struct acpi_header *acpi_table(unsigned int i);
/** acpi_find() - by signature; checks the sum. NULL when there is none */
const struct acpi_header *acpi_find(const char *signature);
/** sum8() - of bytes, 0 for a good table */
u8 sum8(const void *d, size_t len);

/* Fields of the FADT, by offset */
static inline u32 acpi_u32(const struct acpi_header *t, unsigned int off)
{
	u32 v;

	memcpy(&v, (const u8 *)t + off, sizeof(v));
	return v;
}

static inline u64 acpi_u64(const struct acpi_header *t, unsigned int off)
{
	u64 v;

	memcpy(&v, (const u8 *)t + off, sizeof(v));
	return v;
}

#define FADT_DSDT	40
#define FADT_PM1A_EVT	56
#define FADT_PM1A_CNT	64
#define FADT_FLAGS	112
#define FADT_RESET_SPACE 116
#define FADT_RESET_ADDR	120
#define FADT_RESET_VALUE 128

#endif
