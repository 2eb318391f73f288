// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ACPI tables of the machine.
 *
 * Theory of operation
 *
 * Builds, once, before vCPUs run and on the main thread: RSDP, XSDT, FADT,
 * FACS, MADT, MCFG (with PCI) and DSDT of ACPI 6.4, s5.2 and s6, and writes
 * them to X86_ACPI_GPA in one piece. No locks and no state: after this the
 * tables are guest RAM, which the guest may destroy at its own cost.
 *
 * The hardware is full ACPI hardware, not hardware-reduced: a PM1a event and
 * control block, GPE block 0, an SCI, no PM timer, no SMI command, so that the
 * machine is always in ACPI mode. Power-off is \_S5 with SLP_TYP 5; reset is
 * the FADT's reset register. The power button is a fixed one; there is no sleep
 * button.
 * No PS/2 devices are described, and the 8042 flag is clear in accord with
 * it, so that a guest does not probe for a keyboard.
 *
 * A PCI slot that is hot has a device with _EJ0 in the DSDT. Event 1 reads from
 * the hotplug registers which of them have changed, and notifies those.
 *
 * CPUs have a local APIC or x2APIC entry in the MADT; the processor devices
 * in the DSDT are a courtesy, and are left out when thousands of CPUs would
 * overflow the table area.
 *
 * Not supported: sleep states but S5, C-states but C1, hotplug of CPUs and of
 * memory, NUMA, the RSDT of ACPI 1.0.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kvm/hw.h"
#include "kvm/virtio.h"
#include "x86/aml.h"
#include "x86/x86.h"

#define ACPI_CHECKSUM_OFF	9
#define ACPI_RSDP_LEN		36
#define ACPI_RSDP_V1_LEN	20
#define ACPI_FACS_LEN		64
#define ACPI_FADT_LEN		276
#define ACPI_MAX_TABLES		4

/* FADT flags (ACPI 6.4 table 5.10) and IAPC_BOOT_ARCH (table 5.11) */
#define FADT_WBINVD		BIT(0)
#define FADT_PROC_C1		BIT(2)
#define FADT_NO_SLP_BUTTON	BIT(5)
#define FADT_NO_FIX_RTC		BIT(6)
#define FADT_RESET_REG_SUP	BIT(10)
#define FADT_LEGACY_DEVICES	BIT(0)
#define FADT_VGA_NOT_PRESENT	BIT(2)

#define FADT_RESET_VALUE	6
#define RTC_CENTURY		0x32

/* MADT interrupt flags: active high, level triggered */
#define MADT_LEVEL_HIGH		0x0d
#define MADT_MAX_APIC_ID	255	/* of a LAPIC entry, exclusive */

static u8 acpi_sum(const u8 *p, size_t len)
{
	u8 sum = 0;

	while (len--)
		sum += *p++;
	return sum;
}

static void acpi_align(struct aml *a, size_t align)
{
	aml_zero(a, ALIGN_UP(a->len, align) - a->len);
}

/* Return: the offset of the table */
static size_t acpi_table_begin(struct aml *a, const char *sig, u8 rev)
{
	size_t pos;

	acpi_align(a, 16);
	pos = a->len;
	aml_bytes(a, sig, 4);
	aml_u32(a, 0);			/* length */
	aml_u8(a, rev);
	aml_u8(a, 0);			/* checksum */
	aml_bytes(a, "LKVM  ", 6);
	aml_bytes(a, "LKVM    ", 8);
	aml_u32(a, 1);
	aml_bytes(a, "LKVM", 4);
	aml_u32(a, 1);
	return pos;
}

static void acpi_table_end(struct aml *a, size_t pos)
{
	if (a->err)
		return;
	aml_patch32(a, pos + 4, a->len - pos);
	a->buf[pos + ACPI_CHECKSUM_OFF] = -acpi_sum(a->buf + pos, a->len - pos);
}

static size_t acpi_put_facs(struct aml *a)
{
	size_t pos;

	acpi_align(a, 64);
	pos = a->len;
	aml_bytes(a, "FACS", 4);
	aml_u32(a, ACPI_FACS_LEN);
	aml_zero(a, 24);
	aml_u8(a, 2);
	aml_zero(a, ACPI_FACS_LEN - 33);
	return pos;
}

/* Generic address structure of an I/O port; @width in bits */
static void acpi_gas_port(struct aml *a, u8 width, u8 access, u64 port)
{
	aml_u8(a, 1);
	aml_u8(a, width);
	aml_u8(a, 0);
	aml_u8(a, access);
	aml_u64(a, port);
}

/* The ACPI 1.0 part: offsets 36 to 115 */
static void acpi_put_fadt_v1(struct aml *a, u64 facs, u64 dsdt)
{
	aml_u32(a, facs);
	aml_u32(a, dsdt);
	aml_u8(a, 0);
	aml_u8(a, 0);			/* profile: unspecified */
	aml_u16(a, X86_GSI_SCI);
	aml_u32(a, 0);			/* SMI_CMD: none, always ACPI mode */
	aml_zero(a, 4);			/* ENABLE, DISABLE, S4BIOS, PSTATE */
	aml_u32(a, X86_PORT_PM1_EVT);
	aml_u32(a, 0);
	aml_u32(a, X86_PORT_PM1_CNT);
	aml_zero(a, 3 * 4);		/* PM1b_CNT, PM2, timer */
	aml_u32(a, X86_PORT_GPE0);
	aml_u32(a, 0);
	aml_u8(a, 4);			/* PM1_EVT_LEN */
	aml_u8(a, 2);			/* PM1_CNT_LEN */
	aml_zero(a, 2);			/* PM2, timer */
	aml_u8(a, X86_GPE0_LEN);
	aml_zero(a, 3);			/* GPE1, its base, CST_CNT */
	aml_u16(a, 0xffff);		/* no C2 */
	aml_u16(a, 0xffff);		/* no C3 */
	aml_zero(a, 8);			/* FLUSH_*, DUTY_*, *_ALRM */
	aml_u8(a, RTC_CENTURY);
	aml_u16(a, FADT_LEGACY_DEVICES | FADT_VGA_NOT_PRESENT);
	aml_u8(a, 0);
	aml_u32(a, FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLP_BUTTON |
		   FADT_NO_FIX_RTC | FADT_RESET_REG_SUP);
}

static size_t acpi_put_fadt(struct aml *a, u64 facs, u64 dsdt)
{
	size_t pos = acpi_table_begin(a, "FACP", 6);

	acpi_put_fadt_v1(a, facs, dsdt);
	acpi_gas_port(a, 8, 1, X86_PORT_RESET);
	aml_u8(a, FADT_RESET_VALUE);
	aml_zero(a, 3);			/* ARM_BOOT_ARCH, minor version */
	aml_u64(a, facs);
	aml_u64(a, dsdt);
	acpi_gas_port(a, 32, 2, X86_PORT_PM1_EVT);
	aml_zero(a, 12);
	acpi_gas_port(a, 16, 2, X86_PORT_PM1_CNT);
	aml_zero(a, 3 * 12);		/* PM1b_CNT, PM2, timer */
	acpi_gas_port(a, 8 * X86_GPE0_LEN, 1, X86_PORT_GPE0);
	/* GPE1, sleep registers, hypervisor vendor */
	if (!a->err)
		aml_zero(a, pos + ACPI_FADT_LEN - a->len);
	acpi_table_end(a, pos);
	return pos;
}

static void madt_put_override(struct aml *a, u8 irq, u32 gsi, u16 flags)
{
	aml_u8(a, 2);
	aml_u8(a, 10);
	aml_u8(a, 0);			/* ISA */
	aml_u8(a, irq);
	aml_u32(a, gsi);
	aml_u16(a, flags);
}

static void madt_put_cpu(struct aml *a, u32 id)
{
	if (id < MADT_MAX_APIC_ID) {
		aml_u8(a, 0);
		aml_u8(a, 8);
		aml_u8(a, id);
		aml_u8(a, id);
		aml_u32(a, 1);		/* enabled */
		return;
	}
	aml_u8(a, 9);
	aml_u8(a, 16);
	aml_u16(a, 0);
	aml_u32(a, id);
	aml_u32(a, 1);
	aml_u32(a, id);
}

/* LINT1 is NMI on all CPUs */
static void madt_put_nmi(struct aml *a, unsigned int nr_cpus)
{
	aml_u8(a, 4);
	aml_u8(a, 6);
	aml_u8(a, 0xff);
	aml_u16(a, 0);
	aml_u8(a, 1);
	if (nr_cpus <= MADT_MAX_APIC_ID)
		return;
	aml_u8(a, 0x0a);
	aml_u8(a, 12);
	aml_u16(a, 0);
	aml_u32(a, 0xffffffff);
	aml_u8(a, 1);
	aml_zero(a, 3);
}

static size_t acpi_put_madt(struct aml *a, unsigned int nr_cpus)
{
	size_t pos = acpi_table_begin(a, "APIC", 5);

	aml_u32(a, X86_LAPIC_GPA);
	aml_u32(a, 1);			/* there are 8259s as well */
	for (unsigned int i = 0; i < nr_cpus && !a->err; i++)
		madt_put_cpu(a, i);
	aml_u8(a, 1);
	aml_u8(a, 12);
	aml_u8(a, 0);			/* I/O APIC id */
	aml_u8(a, 0);
	aml_u32(a, X86_IOAPIC_GPA);
	aml_u32(a, 0);
	madt_put_override(a, 0, 2, 0);
	madt_put_override(a, X86_GSI_SCI, X86_GSI_SCI, MADT_LEVEL_HIGH);
	madt_put_nmi(a, nr_cpus);
	acpi_table_end(a, pos);
	return pos;
}

static size_t acpi_put_mcfg(struct aml *a)
{
	size_t pos = acpi_table_begin(a, "MCFG", 1);

	aml_zero(a, 8);
	aml_u64(a, X86_ECAM_GPA);
	aml_u16(a, 0);			/* segment */
	aml_u8(a, 0);			/* first bus */
	aml_u8(a, X86_ECAM_SIZE / SZ_1M - 1);
	aml_u32(a, 0);
	acpi_table_end(a, pos);
	return pos;
}

static void dsdt_put_s5(struct aml *a)
{
	size_t pkg;

	aml_u8(a, AML_NAME);
	aml_seg(a, "_S5_");
	pkg = aml_begin(a, AML_PACKAGE);
	aml_u8(a, 4);
	aml_int(a, 5);			/* SLP_TYP of PM1a */
	aml_int(a, 5);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_end(a, pkg);
}

/*
 * Whether a function of the slot has this pin, or may come with it; see
 * assign_pin() of hw/pci.c
 */
static bool prt_wants(const struct pci_bus *bus, unsigned int slot,
		      unsigned int pin)
{
	return (!pin && pci_bus_hot_slots(bus) & BIT(slot)) ||
	       pci_bus_function(bus, slot << 3 | pin) ||
	       pci_bus_function(bus, slot << 3 | pin | 4);
}

/*
 * Only what is there or may come: a guest goes through all of it for each device that it
 * enables.
 */
static void dsdt_put_prt(struct aml *a, const struct pci_bus *bus)
{
	unsigned int n = 0;
	size_t pkg, row;

	for (unsigned int i = 0; i < 32 * 4; i++)
		n += prt_wants(bus, i / 4, i % 4);
	aml_u8(a, AML_NAME);
	aml_seg(a, "_PRT");
	pkg = aml_begin(a, AML_PACKAGE);
	aml_u8(a, n);
	for (unsigned int i = 0; i < 32 * 4; i++) {
		if (!prt_wants(bus, i / 4, i % 4))
			continue;
		row = aml_begin(a, AML_PACKAGE);
		aml_u8(a, 4);
		aml_int(a, (i / 4) << 16 | 0xffff);
		aml_int(a, i % 4);
		aml_int(a, 0);
		aml_int(a, pci_irq_gsi(bus, i / 4, i % 4));
		aml_end(a, row);
	}
	aml_end(a, pkg);
}

/*
 * _OSC (s6.2.11): grants all that is asked for; an unknown UUID gets bit 2 of
 * the first dword, "unrecognized UUID".
 */
static void dsdt_put_osc(struct aml *a)
{
	/* 33db4d5b-1ff7-401c-9657-7441c03dd766 in the order of ToUUID() */
	static const u8 uuid[16] = {
		0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
		0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66,
	};
	size_t method, cond, buf;

	method = aml_begin(a, AML_METHOD);
	aml_seg(a, "_OSC");
	aml_u8(a, 4 | BIT(3));		/* arguments, serialized */
	aml_u8(a, AML_CREATE_DWORD);
	aml_u8(a, AML_ARG3);
	aml_int(a, 0);
	aml_seg(a, "CDW1");
	cond = aml_begin(a, AML_IF);
	aml_u8(a, AML_EQUAL);
	aml_u8(a, AML_ARG0);
	buf = aml_begin(a, AML_BUFFER);
	aml_int(a, sizeof(uuid));
	aml_bytes(a, uuid, sizeof(uuid));
	aml_end(a, buf);
	aml_u8(a, AML_RETURN);
	aml_u8(a, AML_ARG3);
	aml_end(a, cond);
	aml_u8(a, AML_OR);
	aml_seg(a, "CDW1");
	aml_int(a, 4);
	aml_seg(a, "CDW1");
	aml_u8(a, AML_RETURN);
	aml_u8(a, AML_ARG3);
	aml_end(a, method);
}

/* Return: @seg, the name of the device of @slot; 0 is the bridge's */
static const char *hotplug_seg(char seg[8], unsigned int slot)
{
	snprintf(seg, 8, slot ? "S%02X" : "PCI%X", slot & 0xff);
	return seg;
}

/* OperationRegion (HPRG, SystemIO, ..), and a name for each register */
static void hotplug_put_registers(struct aml *a)
{
	static const char *const name[] = { "HPCH", "HPAS", "HPEJ" };
	size_t field;

	aml_u8(a, AML_EXT);
	aml_u8(a, AML_EXT_REGION);
	aml_seg(a, "HPRG");
	aml_u8(a, 1);			/* SystemIO */
	aml_int(a, X86_PORT_HOTPLUG);
	aml_int(a, HOTPLUG_PORT_SIZE);
	aml_u8(a, AML_EXT);
	field = aml_begin(a, AML_EXT_FIELD);
	aml_seg(a, "HPRG");
	aml_u8(a, 3);			/* DWordAcc, NoLock, Preserve */
	for (unsigned int i = 0; i < ARRAY_SIZE(name); i++) {
		aml_seg(a, name[i]);
		aml_u8(a, 32);
	}
	aml_end(a, field);
}

static void hotplug_put_slot(struct aml *a, unsigned int slot)
{
	size_t dev, method;
	char seg[8];

	dev = aml_device_begin(a, hotplug_seg(seg, slot));
	aml_name_int(a, "_ADR", slot << 16);
	aml_name_int(a, "_SUN", slot);
	method = aml_begin(a, AML_METHOD);
	aml_seg(a, "_EJ0");
	aml_u8(a, 1);			/* argument */
	aml_u8(a, AML_STORE);
	aml_int(a, BIT(slot));
	aml_seg(a, "HPEJ");
	aml_end(a, method);
	aml_end(a, dev);
}

/* If (And (@local, bit of @slot)) { Notify (device of @slot, @value) } */
static void hotplug_put_notify(struct aml *a, u8 local, unsigned int slot,
			       u8 value)
{
	size_t cond = aml_begin(a, AML_IF);
	char seg[8];

	aml_u8(a, AML_AND);
	aml_u8(a, local);
	aml_int(a, BIT(slot));
	aml_u8(a, 0);			/* result: nowhere */
	aml_u8(a, AML_NOTIFY);
	aml_seg(a, hotplug_seg(seg, slot));
	aml_int(a, value);
	aml_end(a, cond);
}

/* HPEV: what event X86_GPE_HOTPLUG does; values of ACPI 6.4 s5.6.6 */
static void hotplug_put_event(struct aml *a, u32 slots)
{
	size_t method = aml_begin(a, AML_METHOD);

	aml_seg(a, "HPEV");
	aml_u8(a, BIT(3));		/* serialized */
	aml_u8(a, AML_STORE);
	aml_seg(a, "HPCH");
	aml_u8(a, AML_LOCAL0);
	aml_u8(a, AML_STORE);
	aml_seg(a, "HPAS");
	aml_u8(a, AML_LOCAL1);
	hotplug_put_notify(a, AML_LOCAL0, 0, 0);
	for (unsigned int slot = 1; slot < 32; slot++) {
		if (!(slots & BIT(slot)))
			continue;
		hotplug_put_notify(a, AML_LOCAL0, slot, 1);
		hotplug_put_notify(a, AML_LOCAL1, slot, 3);
	}
	aml_end(a, method);
}

static void dsdt_put_hotplug(struct aml *a, u32 slots)
{
	hotplug_put_registers(a);
	for (unsigned int slot = 1; slot < 32; slot++)
		if (slots & BIT(slot))
			hotplug_put_slot(a, slot);
	hotplug_put_event(a, slots);
}

/* Scope (_GPE) { Method (_E01) { \_SB.PCI0.HPEV () } } */
static void dsdt_put_gpe(struct aml *a)
{
	size_t scope, method;

	scope = aml_begin(a, AML_SCOPE);
	aml_seg(a, "_GPE");
	method = aml_begin(a, AML_METHOD);
	aml_seg(a, "_E01");
	aml_u8(a, 0);
	aml_u8(a, '\\');
	aml_u8(a, AML_MULTI_NAME);
	aml_u8(a, 3);
	aml_seg(a, "_SB_");
	aml_seg(a, "PCI0");
	aml_seg(a, "HPEV");
	aml_end(a, method);
	aml_end(a, scope);
}

static void dsdt_put_pci(struct aml *a, const struct pci_bus *bus)
{
	size_t dev, crs;

	dev = aml_device_begin(a, "PCI0");
	aml_name_eisa(a, "_HID", "PNP0A08");
	aml_name_eisa(a, "_CID", "PNP0A03");
	aml_name_int(a, "_SEG", 0);
	aml_name_int(a, "_BBN", 0);
	aml_name_int(a, "_UID", 0);
	crs = aml_crs_begin(a);
	aml_res_bus_window(a, 0, X86_ECAM_SIZE / SZ_1M - 1);
	aml_res_io(a, 0xcf8, 8);
	aml_res_io_window(a, 0, 0xcf7);
	aml_res_io_window(a, 0xd00, 0xffff);
	aml_res_memory_window(a, X86_PCI_MMIO_GPA,
			      X86_PCI_MMIO_GPA + X86_PCI_MMIO_SIZE - 1);
	aml_crs_end(a, crs);
	dsdt_put_prt(a, bus);
	dsdt_put_osc(a);
	dsdt_put_hotplug(a, pci_bus_hot_slots(bus));
	aml_end(a, dev);

	/* ECAM must be reserved, or it is not used (PCI firmware 3.0 s4.1.2) */
	dev = aml_device_begin(a, "MRES");
	aml_name_eisa(a, "_HID", "PNP0C02");
	aml_name_int(a, "_UID", 0);
	crs = aml_crs_begin(a);
	aml_res_memory32(a, X86_ECAM_GPA, X86_ECAM_SIZE);
	aml_crs_end(a, crs);
	aml_end(a, dev);
}

static void dsdt_put_serial(struct aml *a)
{
	static const struct {
		const char *seg;
		u16 port;
		u8 irq;
	} com[] = {
		{ "COM1", 0x3f8, 4 }, { "COM2", 0x2f8, 3 },
		{ "COM3", 0x3e8, 4 }, { "COM4", 0x2e8, 3 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(com); i++) {
		size_t dev = aml_device_begin(a, com[i].seg);
		size_t crs;

		aml_name_eisa(a, "_HID", "PNP0501");
		aml_name_int(a, "_UID", i + 1);
		crs = aml_crs_begin(a);
		aml_res_io(a, com[i].port, 8);
		aml_res_irq(a, com[i].irq);
		aml_crs_end(a, crs);
		aml_end(a, dev);
	}
}

static void dsdt_put_rtc(struct aml *a)
{
	size_t dev = aml_device_begin(a, "RTC");
	size_t crs;

	aml_name_eisa(a, "_HID", "PNP0B00");
	crs = aml_crs_begin(a);
	aml_res_io(a, 0x70, 2);
	aml_res_irq(a, 8);
	aml_crs_end(a, crs);
	aml_end(a, dev);
}

static void dsdt_put_pvpanic(struct aml *a)
{
	size_t dev = aml_device_begin(a, "PEVT");
	size_t crs;

	aml_name_string(a, "_HID", "QEMU0001");
	aml_name_int(a, "_STA", 0xf);
	crs = aml_crs_begin(a);
	aml_res_io(a, X86_PORT_PVPANIC, 1);
	aml_crs_end(a, crs);
	aml_end(a, dev);
}

static void dsdt_put_virtio_mmio(struct aml *a, const struct x86_tables *t)
{
	for (unsigned int i = 0; i < t->nr_virtio_mmio && !a->err; i++) {
		const struct x86_mmio_slot *slot = &t->virtio_mmio[i];
		size_t dev, crs;
		char seg[16];

		snprintf(seg, sizeof(seg), "V%03X", i & 0xfff);
		dev = aml_device_begin(a, seg);
		aml_name_string(a, "_HID", "LNRO0005");
		aml_name_int(a, "_UID", i);
		crs = aml_crs_begin(a);
		aml_res_memory32(a, slot->gpa, VIRTIO_MMIO_SIZE);
		aml_res_gsi(a, slot->gsi);
		aml_crs_end(a, crs);
		aml_end(a, dev);
	}
}

static void dsdt_put_cpus(struct aml *a, unsigned int nr)
{
	for (unsigned int i = 0; i < nr && !a->err; i++) {
		char seg[16];
		size_t dev;

		snprintf(seg, sizeof(seg), "C%03X", i & 0xfff);
		dev = aml_device_begin(a, seg);
		aml_name_string(a, "_HID", "ACPI0007");
		aml_name_int(a, "_UID", i);
		aml_end(a, dev);
	}
}

static size_t acpi_put_dsdt(struct aml *a, const struct x86_tables *t,
			    bool with_cpus)
{
	size_t pos = acpi_table_begin(a, "DSDT", 2);
	size_t scope;

	dsdt_put_s5(a);
	scope = aml_begin(a, AML_SCOPE);
	aml_seg(a, "_SB_");
	if (with_cpus)
		dsdt_put_cpus(a, t->nr_cpus);
	if (t->pci)
		dsdt_put_pci(a, t->pci);
	dsdt_put_serial(a);
	dsdt_put_rtc(a);
	dsdt_put_pvpanic(a);
	dsdt_put_virtio_mmio(a, t);
	aml_end(a, scope);
	if (t->pci)
		dsdt_put_gpe(a);
	acpi_table_end(a, pos);
	return pos;
}

static void acpi_fill_rsdp(u8 *buf, size_t xsdt)
{
	__le32 len = htole32(ACPI_RSDP_LEN);
	__le64 gpa = htole64(X86_ACPI_GPA + xsdt);

	memcpy(buf, "RSD PTR ", 8);
	memcpy(buf + 9, "LKVM  ", 6);
	buf[15] = 2;
	memcpy(buf + 20, &len, sizeof(len));
	memcpy(buf + 24, &gpa, sizeof(gpa));
	buf[8] = -acpi_sum(buf, ACPI_RSDP_V1_LEN);
	buf[32] = -acpi_sum(buf, ACPI_RSDP_LEN);
}

/* Return: 0 or -ENOSPC */
static int acpi_build(struct aml *a, const struct x86_tables *t, bool with_cpus)
{
	size_t table[ACPI_MAX_TABLES];
	size_t facs, dsdt, xsdt;
	unsigned int nr = 0;

	aml_zero(a, ACPI_RSDP_LEN);
	facs = acpi_put_facs(a);
	dsdt = acpi_put_dsdt(a, t, with_cpus);
	table[nr++] = acpi_put_fadt(a, X86_ACPI_GPA + facs,
				    X86_ACPI_GPA + dsdt);
	table[nr++] = acpi_put_madt(a, t->nr_cpus);
	if (t->pci)
		table[nr++] = acpi_put_mcfg(a);
	xsdt = acpi_table_begin(a, "XSDT", 1);
	for (unsigned int i = 0; i < nr; i++)
		aml_u64(a, X86_ACPI_GPA + table[i]);
	acpi_table_end(a, xsdt);
	if (!a->err)
		acpi_fill_rsdp(a->buf, xsdt);
	return a->err;
}

int acpi_write_tables(const struct x86_tables *t, struct report *r)
{
	struct aml a = { .size = X86_ACPI_SIZE };
	int err;

	a.buf = malloc(a.size);
	if (!a.buf)
		return report_error(r, ENOMEM, "ACPI tables");

	err = acpi_build(&a, t, true);
	if (err) {
		a.len = 0;
		a.err = 0;
		err = acpi_build(&a, t, false);
	}
	if (err)
		err = report_error(r, -err, "ACPI tables for %u CPUs",
				   t->nr_cpus);
	else if (gmem_write(t->gmem, X86_ACPI_GPA, a.buf, a.len))
		err = report_error(r, EFAULT, "ACPI tables at %#llx",
				   X86_ACPI_GPA);
	free(a.buf);
	return err;
}
