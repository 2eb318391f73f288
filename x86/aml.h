/* SPDX-License-Identifier: GPL-2.0-only */
/* Bytes of ACPI tables and of AML, into a buffer that cannot overflow. */
#ifndef KVM__AML_H
#define KVM__AML_H

#include "kvm/types.h"

/**
 * struct aml - a builder over a buffer that it does not own
 * @buf: where to; @size bytes of it may be used
 * @len: bytes written so far
 * @err: 0, or -ENOSPC; once set, nothing more is written
 */
struct aml {
	u8 *buf;
	size_t size;
	size_t len;
	int err;
};

/* Operators and prefixes, ACPI 6.4 s20.3 */
#define AML_ZERO		0x00
#define AML_ONE			0x01
#define AML_NAME		0x08
#define AML_BYTE		0x0a
#define AML_WORD		0x0b
#define AML_DWORD		0x0c
#define AML_STRING		0x0d
#define AML_QWORD		0x0e
#define AML_SCOPE		0x10
#define AML_BUFFER		0x11
#define AML_PACKAGE		0x12
#define AML_METHOD		0x14
#define AML_MULTI_NAME		0x2f
#define AML_EXT			0x5b
#define AML_EXT_REGION		0x80
#define AML_EXT_FIELD		0x81
#define AML_EXT_DEVICE		0x82
#define AML_LOCAL0		0x60
#define AML_LOCAL1		0x61
#define AML_ARG0		0x68
#define AML_ARG3		0x6b
#define AML_STORE		0x70
#define AML_AND			0x7b
#define AML_OR			0x7d
#define AML_NOTIFY		0x86
#define AML_CREATE_DWORD	0x8a
#define AML_EQUAL		0x93
#define AML_IF			0xa0
#define AML_RETURN		0xa4

/* Little endian, fixed width */
void aml_bytes(struct aml *a, const void *p, size_t len);
void aml_u8(struct aml *a, u8 v);
void aml_u16(struct aml *a, u16 v);
void aml_u32(struct aml *a, u32 v);
void aml_u64(struct aml *a, u64 v);
void aml_zero(struct aml *a, size_t len);

/** aml_patch32() - overwrite 4 bytes that were written; ignored after an error */
void aml_patch32(struct aml *a, size_t pos, u32 v);

/**
 * aml_begin() - an operator, then a PkgLength that aml_end() fills in
 * Return: what aml_end() wants to know.
 */
size_t aml_begin(struct aml *a, u8 op);
void aml_end(struct aml *a, size_t pos);

/** aml_seg() - a name segment of up to 4 characters, padded with '_' */
void aml_seg(struct aml *a, const char *seg);
/** aml_int() - a constant in its shortest form */
void aml_int(struct aml *a, u64 v);
/** aml_eisa_id() - a compressed id such as "PNP0501", as an integer constant */
void aml_eisa_id(struct aml *a, const char *id);

/* Name (seg, value) */
void aml_name_int(struct aml *a, const char *seg, u64 v);
void aml_name_string(struct aml *a, const char *seg, const char *s);
void aml_name_eisa(struct aml *a, const char *seg, const char *id);

/** aml_device_begin() - Device (seg); aml_end() closes it */
size_t aml_device_begin(struct aml *a, const char *seg);

/* Resource descriptors, ACPI 6.4 s6.4 */

/** aml_crs_begin() - Name (_CRS, ResourceTemplate ()); see aml_crs_end() */
size_t aml_crs_begin(struct aml *a);
void aml_crs_end(struct aml *a, size_t pos);
void aml_res_io(struct aml *a, u16 port, u8 len);
/** aml_res_irq() - an edge triggered, active high, exclusive ISA IRQ */
void aml_res_irq(struct aml *a, unsigned int irq);
void aml_res_memory32(struct aml *a, u32 base, u32 len);
/** aml_res_gsi() - a level triggered, active high, shared interrupt */
void aml_res_gsi(struct aml *a, u32 gsi);
/* What a bridge passes on; @min to @max inclusive */
void aml_res_bus_window(struct aml *a, u16 min, u16 max);
void aml_res_io_window(struct aml *a, u16 min, u16 max);
void aml_res_memory_window(struct aml *a, u32 min, u32 max);

#endif
