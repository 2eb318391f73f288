// SPDX-License-Identifier: GPL-2.0-only
/*
 * A builder of AML.
 *
 * Theory of operation
 *
 * Writes the byte encodings of ACPI 6.4 s20.2 (AML) and s6.4 (resource
 * descriptors) into a caller's buffer. There is one sticky error: what does
 * not fit sets it, and everything after that is dropped, so that a table is
 * built in straight lines and checked once at its end.
 *
 * A PkgLength counts itself and what follows it, in one to four bytes. As its
 * value is not known before the end, aml_begin() leaves one byte for it, and
 * aml_end() moves the body up when more are needed. Enclosing packages begin
 * below what is moved, so their positions stay right.
 *
 * No locks, no state but the caller's struct; the guest has no influence.
 * Only what the tables of this machine need can be expressed.
 */
#include <errno.h>
#include <string.h>
#include "x86/aml.h"

/* Space for @len more bytes, or NULL and the sticky error */
static u8 *aml_room(struct aml *a, size_t len)
{
	u8 *p;

	if (a->err)
		return NULL;
	if (len > a->size - a->len) {
		a->err = -ENOSPC;
		return NULL;
	}
	p = a->buf + a->len;
	a->len += len;
	return p;
}

void aml_bytes(struct aml *a, const void *p, size_t len)
{
	u8 *dst = aml_room(a, len);

	if (dst && len)
		memcpy(dst, p, len);
}

void aml_u8(struct aml *a, u8 v)
{
	aml_bytes(a, &v, sizeof(v));
}

void aml_u16(struct aml *a, u16 v)
{
	__le16 le = htole16(v);

	aml_bytes(a, &le, sizeof(le));
}

void aml_u32(struct aml *a, u32 v)
{
	__le32 le = htole32(v);

	aml_bytes(a, &le, sizeof(le));
}

void aml_u64(struct aml *a, u64 v)
{
	__le64 le = htole64(v);

	aml_bytes(a, &le, sizeof(le));
}

void aml_zero(struct aml *a, size_t len)
{
	u8 *dst = aml_room(a, len);

	if (dst)
		memset(dst, 0, len);
}

void aml_patch32(struct aml *a, size_t pos, u32 v)
{
	__le32 le = htole32(v);

	if (a->err || pos > a->len || sizeof(le) > a->len - pos)
		return;
	memcpy(a->buf + pos, &le, sizeof(le));
}

size_t aml_begin(struct aml *a, u8 op)
{
	aml_u8(a, op);
	aml_u8(a, 0);
	return a->len;
}

void aml_end(struct aml *a, size_t pos)
{
	size_t body = a->len - pos;
	unsigned int extra = 0;
	size_t total;
	u8 *p;

	if (a->err)
		return;
	if (body + 1 > 0x3f)
		extra = body + 2 <= 0xfff ? 1 : body + 3 <= 0xfffff ? 2 : 3;
	if (!aml_room(a, extra))
		return;
	total = body + 1 + extra;
	p = a->buf + pos - 1;
	if (!extra) {
		*p = total;
		return;
	}
	memmove(p + 1 + extra, p + 1, body);
	*p++ = extra << 6 | (total & 0xf);
	for (total >>= 4; extra; extra--, total >>= 8)
		*p++ = total & 0xff;
}

void aml_seg(struct aml *a, const char *seg)
{
	char name[4] = { '_', '_', '_', '_' };

	for (unsigned int i = 0; i < sizeof(name) && seg[i]; i++)
		name[i] = seg[i];
	aml_bytes(a, name, sizeof(name));
}

void aml_int(struct aml *a, u64 v)
{
	if (v <= 1) {
		aml_u8(a, v ? AML_ONE : AML_ZERO);
	} else if (v <= UINT8_MAX) {
		aml_u8(a, AML_BYTE);
		aml_u8(a, v);
	} else if (v <= UINT16_MAX) {
		aml_u8(a, AML_WORD);
		aml_u16(a, v);
	} else if (v <= UINT32_MAX) {
		aml_u8(a, AML_DWORD);
		aml_u32(a, v);
	} else {
		aml_u8(a, AML_QWORD);
		aml_u64(a, v);
	}
}

static unsigned int hex_digit(char c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

void aml_eisa_id(struct aml *a, const char *id)
{
	u32 v = 0;

	/* Three letters of 5 bits, four hex digits, most significant first */
	for (unsigned int i = 0; i < 3; i++)
		v = v << 5 | ((id[i] - 0x40) & 0x1f);
	for (unsigned int i = 3; i < 7; i++)
		v = v << 4 | hex_digit(id[i]);
	aml_u8(a, AML_DWORD);
	aml_u32(a, __builtin_bswap32(v));
}

void aml_name_int(struct aml *a, const char *seg, u64 v)
{
	aml_u8(a, AML_NAME);
	aml_seg(a, seg);
	aml_int(a, v);
}

void aml_name_string(struct aml *a, const char *seg, const char *s)
{
	aml_u8(a, AML_NAME);
	aml_seg(a, seg);
	aml_u8(a, AML_STRING);
	aml_bytes(a, s, strlen(s) + 1);
}

void aml_name_eisa(struct aml *a, const char *seg, const char *id)
{
	aml_u8(a, AML_NAME);
	aml_seg(a, seg);
	aml_eisa_id(a, id);
}

size_t aml_device_begin(struct aml *a, const char *seg)
{
	size_t pos;

	aml_u8(a, AML_EXT);
	pos = aml_begin(a, AML_EXT_DEVICE);
	aml_seg(a, seg);
	return pos;
}

size_t aml_crs_begin(struct aml *a)
{
	size_t pos;

	aml_u8(a, AML_NAME);
	aml_seg(a, "_CRS");
	pos = aml_begin(a, AML_BUFFER);
	/* BufferSize, a dword so that its place does not depend on its value */
	aml_u8(a, AML_DWORD);
	aml_u32(a, 0);
	return pos;
}

void aml_crs_end(struct aml *a, size_t pos)
{
	size_t body = pos + 5;

	/* End tag; checksum 0 stands for "not computed" (s6.4.2.9) */
	aml_u8(a, 0x79);
	aml_u8(a, 0);
	aml_patch32(a, pos + 1, a->len - body);
	aml_end(a, pos);
}

void aml_res_io(struct aml *a, u16 port, u8 len)
{
	aml_u8(a, 0x47);
	aml_u8(a, 1);		/* decodes 16 bits */
	aml_u16(a, port);
	aml_u16(a, port);
	aml_u8(a, 1);
	aml_u8(a, len);
}

void aml_res_irq(struct aml *a, unsigned int irq)
{
	aml_u8(a, 0x22);
	aml_u16(a, BIT(irq & 15));
}

void aml_res_memory32(struct aml *a, u32 base, u32 len)
{
	aml_u8(a, 0x86);
	aml_u16(a, 9);
	aml_u8(a, 1);		/* writable */
	aml_u32(a, base);
	aml_u32(a, len);
}

void aml_res_gsi(struct aml *a, u32 gsi)
{
	aml_u8(a, 0x89);
	aml_u16(a, 6);
	aml_u8(a, 0x09);	/* consumer, level, high, shared */
	aml_u8(a, 1);
	aml_u32(a, gsi);
}

/* Word address space descriptor (s6.4.3.5.3): fixed at both ends, producer */
static void aml_res_word_window(struct aml *a, u8 type, u8 flags, u16 min,
				u16 max)
{
	aml_u8(a, 0x88);
	aml_u16(a, 13);
	aml_u8(a, type);
	aml_u8(a, 0x0c);
	aml_u8(a, flags);
	aml_u16(a, 0);
	aml_u16(a, min);
	aml_u16(a, max);
	aml_u16(a, 0);
	aml_u16(a, max - min + 1);
}

void aml_res_bus_window(struct aml *a, u16 min, u16 max)
{
	aml_res_word_window(a, 2, 0, min, max);
}

void aml_res_io_window(struct aml *a, u16 min, u16 max)
{
	/* ISA and non-ISA ranges */
	aml_res_word_window(a, 1, 3, min, max);
}

void aml_res_memory_window(struct aml *a, u32 min, u32 max)
{
	aml_u8(a, 0x87);
	aml_u16(a, 23);
	aml_u8(a, 0);
	aml_u8(a, 0x0c);
	aml_u8(a, 0x01);	/* writable, not cacheable */
	aml_u32(a, 0);
	aml_u32(a, min);
	aml_u32(a, max);
	aml_u32(a, 0);
	aml_u32(a, max - min + 1);
}
