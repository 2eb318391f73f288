// SPDX-License-Identifier: GPL-2.0-only
/*
 * ACPI tables: found, checksummed, and saying what the machine is.
 *
 * With LKVM_ACPI_DUMP=DIR in the environment the tables of a machine with PCI
 * are left in DIR as FACP.dat, APIC.dat and so on, for iasl -d.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "kvm/pci.h"
#include "x86/aml.h"
#include "x86/x86.h"
#include "tables.h"
#include "test.h"

unsigned int pci_irq_gsi(const struct pci_bus *bus, unsigned int slot,
			 unsigned int pin)
{
	(void)bus;
	return X86_GSI_INTX + ((slot + pin) & 3);
}

/* Function 0 of slot 1 and function 7, which has pin D, of slot 31 */
struct pci_function *pci_bus_function(const struct pci_bus *bus,
				      unsigned int devfn)
{
	return devfn == 1 << 3 || devfn == (31 << 3 | 7) ?
	       (struct pci_function *)bus : NULL;
}

/* Those that have a function may go, one may come. */
u32 pci_bus_hot_slots(const struct pci_bus *bus)
{
	(void)bus;
	return BIT(1) | BIT(2);
}

static u32 get32(const u8 *p)
{
	__le32 v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static u64 get64(const u8 *p)
{
	return get32(p) | (u64)get32(p + 4) << 32;
}

/* A table by signature, through RSDP and XSDT; checksums must be right */
static const u8 *find_table(const struct machine *m, const char *sig)
{
	const u8 *rsdp = m->ram + X86_ACPI_GPA;
	const u8 *xsdt = m->ram + get64(rsdp + 24);

	for (u32 off = 36; off < get32(xsdt + 4); off += 8) {
		const u8 *p = m->ram + get64(xsdt + off);

		if (!memcmp(p, sig, 4) && !sum(p, get32(p + 4)))
			return p;
	}
	return NULL;
}

static const u8 *find_dsdt(const struct machine *m)
{
	const u8 *fadt = find_table(m, "FACP");

	return fadt ? m->ram + get64(fadt + 140) : NULL;
}

static bool table_has(const u8 *p, const void *what, size_t len)
{
	return p && memmem(p, get32(p + 4), what, len);
}

static unsigned int madt_count(const u8 *madt, u8 type)
{
	unsigned int n = 0;

	for (u32 off = 44; off < get32(madt + 4); off += madt[off + 1])
		n += madt[off] == type;
	return n;
}

static void dump(const char *dir, const char *sig, const u8 *p)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.dat", dir, sig);
	f = fopen(path, "we");
	if (!f)
		return;
	fwrite(p, 1, get32(p + 4), f);
	fclose(f);
}

TEST(acpi_rsdp_and_xsdt_have_right_checksums)
{
	const u8 *rsdp, *xsdt;
	struct machine m;

	machine_init(&m, 2, true);
	EXPECT(acpi_write_tables(&m.t, &m.r) == 0);
	rsdp = m.ram + X86_ACPI_GPA;
	EXPECT(!memcmp(rsdp, "RSD PTR ", 8));
	EXPECT(rsdp[15] == 2);
	EXPECT(sum(rsdp, 20) == 0);
	EXPECT(sum(rsdp, 36) == 0);
	xsdt = m.ram + get64(rsdp + 24);
	EXPECT(!memcmp(xsdt, "XSDT", 4));
	EXPECT(sum(xsdt, get32(xsdt + 4)) == 0);
	EXPECT(find_table(&m, "FACP"));
	EXPECT(find_table(&m, "APIC"));
	EXPECT(find_table(&m, "MCFG"));
	free(m.ram);
}

TEST(acpi_fadt_describes_full_hardware)
{
	const u8 *fadt, *facs;
	struct machine m;

	machine_init(&m, 1, true);
	EXPECT(acpi_write_tables(&m.t, &m.r) == 0);
	fadt = find_table(&m, "FACP");
	EXPECT(get32(fadt + 4) == 276);
	EXPECT(fadt[8] == 6);
	EXPECT(get32(fadt + 36) == get64(fadt + 132));
	EXPECT(get32(fadt + 40) == get64(fadt + 140));
	EXPECT(fadt[46] == 9 && fadt[47] == 0);
	EXPECT(get32(fadt + 48) == 0);
	EXPECT(get32(fadt + 56) == 0x600 && fadt[88] == 4);
	EXPECT(get32(fadt + 64) == 0x604 && fadt[89] == 2);
	EXPECT(get32(fadt + 76) == 0 && fadt[91] == 0);
	EXPECT(get32(fadt + 80) == 0x608 && fadt[92] == 2);
	EXPECT(get32(fadt + 84) == 0 && fadt[93] == 0);
	EXPECT(fadt[220] == 1 && fadt[221] == 16 && get64(fadt + 224) == 0x608);
	EXPECT(fadt[96] == 0xff && fadt[98] == 0xff);
	EXPECT(fadt[108] == 0x32);
	EXPECT(fadt[109] == 5 && fadt[110] == 0);
	EXPECT(get32(fadt + 112) == 0x465);
	EXPECT(fadt[116] == 1 && fadt[117] == 8 && get64(fadt + 120) == 0xcf9);
	EXPECT(fadt[128] == 6);
	EXPECT(fadt[148] == 1 && fadt[149] == 32 && get64(fadt + 152) == 0x600);
	EXPECT(fadt[172] == 1 && fadt[173] == 16 && get64(fadt + 176) == 0x604);
	facs = m.ram + get64(fadt + 132);
	EXPECT(!memcmp(facs, "FACS", 4));
	EXPECT(get64(fadt + 132) % 64 == 0);
	EXPECT(get32(facs + 4) == 64 && facs[32] == 2);
	free(m.ram);
}

TEST(acpi_madt_uses_x2apic_entries_above_254)
{
	struct machine m;
	const u8 *madt;

	machine_init(&m, 300, true);
	EXPECT(acpi_write_tables(&m.t, &m.r) == 0);
	madt = find_table(&m, "APIC");
	EXPECT(madt_count(madt, 0) == 255);
	EXPECT(madt_count(madt, 9) == 45);
	EXPECT(madt_count(madt, 1) == 1);
	EXPECT(madt_count(madt, 2) == 2);
	EXPECT(madt_count(madt, 4) == 1);
	EXPECT(madt_count(madt, 0x0a) == 1);
	free(m.ram);
}

/* The MADT's override of ISA interrupt @irq: GSI and flags, or -1 */
static s64 madt_override(const u8 *madt, u8 irq)
{
	for (u32 off = 44; off < get32(madt + 4); off += madt[off + 1])
		if (madt[off] == 2 && !madt[off + 2] && madt[off + 3] == irq)
			return get32(madt + off + 4) |
			       (s64)(madt[off + 8] | madt[off + 9] << 8) << 32;
	return -1;
}

TEST(acpi_madt_tells_of_8259s_and_what_is_no_edge)
{
	struct machine m;
	const u8 *madt;

	machine_init(&m, 1, true);
	EXPECT(acpi_write_tables(&m.t, &m.r) == 0);
	madt = find_table(&m, "APIC");
	EXPECT(get32(madt + 36) == 0xfee00000);
	EXPECT(get32(madt + 40) == 1);
	/* The timer; the SCI is active high and level triggered. */
	EXPECT(madt_override(madt, 0) == 2);
	EXPECT(madt_override(madt, 9) == (9 | 0xdLL << 32));
	EXPECT(madt_override(madt, 4) == -1);
	free(m.ram);
}

/* _HID of @dev is the EISA id @id, its ports are at @port, its interrupt is @irq */
static bool dsdt_has_isa(const u8 *dsdt, const char *dev, u16 id, u16 port, u8 nr, u8 irq)
{
	const u8 hid[] = {
		8, '_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, id >> 8, id & 0xff,
	};
	const u8 crs[] = {
		0x47, 1, port & 0xff, port >> 8, port & 0xff, port >> 8, 1, nr,
		0x22, (u8)BIT(irq), BIT(irq) >> 8, 0x79, 0,
	};
	const u8 *p = dsdt ? memmem(dsdt, get32(dsdt + 4), dev, 4) : NULL;

	/* Both within the device, which is short. */
	return p && !memcmp(p + 4, hid, sizeof(hid)) &&
	       memmem(p + 4 + sizeof(hid), 48, crs, sizeof(crs));
}

TEST(acpi_dsdt_has_serial_ports_and_a_clock)
{
	struct machine m;
	const u8 *dsdt;

	for (int pci = 0; pci < 2; pci++) {
		machine_init(&m, 1, pci);
		EXPECT(acpi_write_tables(&m.t, &m.r) == 0);
		dsdt = find_dsdt(&m);
		EXPECT(dsdt_has_isa(dsdt, "COM1", 0x0501, 0x3f8, 8, 4));
		EXPECT(dsdt_has_isa(dsdt, "COM2", 0x0501, 0x2f8, 8, 3));
		EXPECT(dsdt_has_isa(dsdt, "COM3", 0x0501, 0x3e8, 8, 4));
		EXPECT(dsdt_has_isa(dsdt, "COM4", 0x0501, 0x2e8, 8, 3));
		EXPECT(dsdt_has_isa(dsdt, "RTC_", 0x0b00, 0x70, 2, 8));
		free(m.ram);
	}
}

TEST(acpi_without_pci_has_no_bridge_but_mmio_devices)
{
	struct machine m;

	machine_init(&m, 1, false);
	EXPECT(acpi_write_tables(&m.t, &m.r) == 0);
	EXPECT(!find_table(&m, "MCFG"));
	EXPECT(!table_has(find_dsdt(&m), "PCI0", 4));
	EXPECT(table_has(find_dsdt(&m), "V000", 4));
	EXPECT(table_has(find_dsdt(&m), "V001", 4));
	EXPECT(table_has(find_dsdt(&m), "LNRO0005", 9));
	EXPECT(madt_count(find_table(&m, "APIC"), 0x0a) == 0);
	free(m.ram);
}

TEST(acpi_dsdt_routes_the_pins_that_there_are)
{
	/* Package (3) { Package (4) { slot 1, pin 0, 0, GSI 17 }, ... */
	static const u8 first[] = {
		'_', 'P', 'R', 'T', 0x12, 0x27, 3,
		0x12, 0x0b, 4, 0x0c, 0xff, 0xff, 0x01, 0, 0, 0, 0x0a, 17,
	};
	/* Package (4) { slot 31, pin 3, 0, GSI 18 } */
	static const u8 last[] = {
		0x12, 0x0c, 4, 0x0c, 0xff, 0xff, 0x1f, 0, 0x0a, 3, 0, 0x0a, 18,
	};
	static const u8 s5[] = {
		0x08, '_', 'S', '5', '_', 0x12, 8, 4, 0x0a, 5, 0x0a, 5, 0, 0,
	};
	struct machine m;
	const char *dir = getenv("LKVM_ACPI_DUMP");
	const u8 *dsdt;

	machine_init(&m, 4, true);
	if (dir)
		m.t.nr_virtio_mmio = ARRAY_SIZE(slots);
	EXPECT(acpi_write_tables(&m.t, &m.r) == 0);
	dsdt = find_dsdt(&m);
	EXPECT(sum(dsdt, get32(dsdt + 4)) == 0);
	EXPECT(table_has(dsdt, first, sizeof(first)));
	EXPECT(table_has(dsdt, last, sizeof(last)));
	EXPECT(table_has(dsdt, s5, sizeof(s5)));
	EXPECT(table_has(dsdt, "QEMU0001", 9));
	EXPECT(table_has(dsdt, "ACPI0007", 9));
	if (dir) {
		dump(dir, "DSDT", dsdt);
		dump(dir, "FACP", find_table(&m, "FACP"));
		dump(dir, "APIC", find_table(&m, "APIC"));
		dump(dir, "MCFG", find_table(&m, "MCFG"));
		dump(dir, "XSDT", m.ram + get64(m.ram + X86_ACPI_GPA + 24));
	}
	free(m.ram);
}

TEST(acpi_dsdt_has_hot_slots_and_their_event)
{
	/* OperationRegion (HPRG, SystemIO, 0x620, 12), Field (HPRG, DWordAcc */
	static const u8 registers[] = {
		0x5b, 0x80, 'H', 'P', 'R', 'G', 1, 0x0b, 0x20, 6, 0x0a, 12,
		0x5b, 0x81, 0x15, 'H', 'P', 'R', 'G', 3,
		'H', 'P', 'C', 'H', 32, 'H', 'P', 'A', 'S', 32,
		'H', 'P', 'E', 'J', 32,
	};
	/* Device (S02) { _ADR, _SUN, Method (_EJ0, 1) { HPEJ = 4 } } */
	static const u8 slot[] = {
		0x5b, 0x82, 0x24, 'S', '0', '2', '_',
		8, '_', 'A', 'D', 'R', 0x0c, 0, 0, 2, 0,
		8, '_', 'S', 'U', 'N', 0x0a, 2,
		0x14, 0x0d, '_', 'E', 'J', '0', 1,
		0x70, 0x0a, 4, 'H', 'P', 'E', 'J',
	};
	/* Method (HPEV, 0, Serialized) { Local0 = HPCH, Local1 = HPAS, ... */
	static const u8 event[] = {
		'H', 'P', 'E', 'V', 8, 0x70, 'H', 'P', 'C', 'H', 0x60,
		0x70, 'H', 'P', 'A', 'S', 0x61,
		0xa0, 0x0b, 0x7b, 0x60, 1, 0, 0x86, 'P', 'C', 'I', '0', 0,
		0xa0, 0x0c, 0x7b, 0x60, 0x0a, 2, 0, 0x86, 'S', '0', '1', '_', 1,
		0xa0, 0x0d, 0x7b, 0x61, 0x0a, 2, 0, 0x86, 'S', '0', '1', '_',
		0x0a, 3,
	};
	/* Scope (_GPE) { Method (_E01) { \\_SB.PCI0.HPEV () } } */
	static const u8 gpe[] = {
		0x10, 0x1b, '_', 'G', 'P', 'E', 0x14, 0x15, '_', 'E', '0', '1',
		0, '\\', 0x2f, 3, '_', 'S', 'B', '_', 'P', 'C', 'I', '0',
		'H', 'P', 'E', 'V',
	};
	struct machine m;
	const u8 *dsdt;

	machine_init(&m, 1, true);
	EXPECT(acpi_write_tables(&m.t, &m.r) == 0);
	dsdt = find_dsdt(&m);
	EXPECT(table_has(dsdt, registers, sizeof(registers)));
	EXPECT(table_has(dsdt, slot, sizeof(slot)));
	EXPECT(table_has(dsdt, event, sizeof(event)));
	EXPECT(table_has(dsdt, gpe, sizeof(gpe)));
	EXPECT(!table_has(dsdt, "S03_", 4));
	free(m.ram);
}

TEST(acpi_leaves_processor_devices_out_when_they_do_not_fit)
{
	struct machine m;

	machine_init(&m, 3000, true);
	EXPECT(acpi_write_tables(&m.t, &m.r) == 0);
	EXPECT(!table_has(find_dsdt(&m), "ACPI0007", 9));
	EXPECT(madt_count(find_table(&m, "APIC"), 9) == 3000 - 255);
	free(m.ram);
}

TEST(acpi_reports_too_many_cpus_and_writes_nothing)
{
	struct machine m;

	machine_init(&m, 100000, true);
	EXPECT(acpi_write_tables(&m.t, &m.r) == -ENOSPC);
	EXPECT(strstr(m.r.msg, "100000 CPUs"));
	EXPECT(get32(m.ram + X86_ACPI_GPA) == 0);
	EXPECT(acpi_write_tables(&m.t, NULL) == -ENOSPC);
	free(m.ram);
}

TEST(acpi_reports_missing_ram)
{
	struct machine m;

	machine_init(&m, 1, true);
	m.gmem.region[0].size = X86_ACPI_GPA;
	EXPECT(acpi_write_tables(&m.t, &m.r) == -EFAULT);
	EXPECT(m.r.msg[0]);
	free(m.ram);
}

/* A package with @body bytes; the encoded length must be that of all */
static bool pkg_length_is(size_t body, unsigned int bytes)
{
	struct aml a = { .size = 0x20000 };
	size_t pos, len;
	bool ok;

	a.buf = malloc(a.size);
	pos = aml_begin(&a, AML_BUFFER);
	for (size_t i = 0; i < body; i++)
		aml_u8(&a, i * 7);
	aml_end(&a, pos);
	len = bytes == 1 ? a.buf[1] : a.buf[1] & 0xf;
	for (unsigned int i = 1; i < bytes; i++)
		len |= (size_t)a.buf[1 + i] << (8 * i - 4);
	ok = !a.err && a.len == 1 + bytes + body && len == bytes + body &&
	     a.buf[1] >> 6 == bytes - 1;
	for (size_t i = 0; i < body; i++)
		ok = ok && a.buf[1 + bytes + i] == (u8)(i * 7);
	free(a.buf);
	return ok;
}

TEST(aml_package_length_grows_at_its_limits)
{
	EXPECT(pkg_length_is(0, 1));
	EXPECT(pkg_length_is(62, 1));
	EXPECT(pkg_length_is(63, 2));
	EXPECT(pkg_length_is(0xffd, 2));
	EXPECT(pkg_length_is(0xffe, 3));
	EXPECT(pkg_length_is(0x10000, 3));
}

TEST(aml_error_is_sticky_and_never_overflows)
{
	u8 buf[8] = { 0 };
	struct aml a = { .buf = buf, .size = 4 };

	aml_u32(&a, 0x04030201);
	EXPECT(!a.err && a.len == 4);
	aml_u8(&a, 9);
	EXPECT(a.err == -ENOSPC && a.len == 4);
	aml_zero(&a, 0);
	aml_patch32(&a, 0, 0);
	aml_end(&a, 1);
	EXPECT(buf[0] == 1 && buf[3] == 4 && buf[4] == 0);
}

TEST(aml_end_fails_when_the_length_has_no_room)
{
	u8 buf[65];
	struct aml a = { .buf = buf, .size = sizeof(buf) };
	size_t pos = aml_begin(&a, AML_BUFFER);

	aml_zero(&a, 63);
	EXPECT(!a.err);
	aml_end(&a, pos);
	EXPECT(a.err == -ENOSPC);
}

TEST(aml_encodes_integers_and_ids)
{
	static const u8 want[] = {
		0, 1, 0x0a, 2, 0x0b, 0, 1, 0x0c, 0, 0, 1, 0,
		0x0e, 0, 0, 0, 0, 1, 0, 0, 0, 0x0c, 0x41, 0xd0, 0x05, 0x01,
		'R', 'T', 'C', '_',
	};
	u8 buf[64];
	struct aml a = { .buf = buf, .size = sizeof(buf) };

	aml_int(&a, 0);
	aml_int(&a, 1);
	aml_int(&a, 2);
	aml_int(&a, 0x100);
	aml_int(&a, 0x10000);
	aml_int(&a, SZ_4G);
	aml_eisa_id(&a, "PNP0501");
	aml_seg(&a, "RTC");
	EXPECT(a.len == sizeof(want));
	EXPECT(!memcmp(buf, want, sizeof(want)));
}

TEST_MAIN(T(acpi_rsdp_and_xsdt_have_right_checksums),
	  T(acpi_fadt_describes_full_hardware),
	  T(acpi_madt_uses_x2apic_entries_above_254),
	  T(acpi_madt_tells_of_8259s_and_what_is_no_edge),
	  T(acpi_dsdt_has_serial_ports_and_a_clock),
	  T(acpi_without_pci_has_no_bridge_but_mmio_devices),
	  T(acpi_dsdt_routes_the_pins_that_there_are),
	  T(acpi_dsdt_has_hot_slots_and_their_event),
	  T(acpi_leaves_processor_devices_out_when_they_do_not_fit),
	  T(acpi_reports_too_many_cpus_and_writes_nothing),
	  T(acpi_reports_missing_ram),
	  T(aml_package_length_grows_at_its_limits),
	  T(aml_error_is_sticky_and_never_overflows),
	  T(aml_end_fails_when_the_length_has_no_room),
	  T(aml_encodes_integers_and_ids))
