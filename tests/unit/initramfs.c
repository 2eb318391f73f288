// SPDX-License-Identifier: GPL-2.0-only
/*
 * Archives for the kernel to unpack, read back field by field.
 */
#include <linux/elf.h>
#include <errno.h>
#include <string.h>
#include "kvm/initramfs.h"
#include "tests/unit/test.h"

struct member {
	const char *name;
	const u8 *data;
	u32 mode;
	u32 len;
	u32 links;
	u32 major;
	u32 minor;
};

static u32 field(const u8 *p, unsigned int i)
{
	char hex[9] = "";

	memcpy(hex, p + 6 + 8 * i, 8);
	return strtoul(hex, NULL, 16);
}

static size_t up4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* Return: where the next member is, 0 when this is none */
static size_t member_read(const struct initramfs *a, size_t at, struct member *m)
{
	const u8 *p = a->data + at;

	if (at % 4 || at > a->len || a->len - at < 110 || memcmp(p, "070701", 6))
		return 0;
	m->mode = field(p, 1);
	m->links = field(p, 4);
	m->len = field(p, 6);
	m->major = field(p, 9);
	m->minor = field(p, 10);
	m->name = (const char *)p + 110;
	if (strlen(m->name) + 1 != field(p, 11))
		return 0;
	at = up4(at + 110 + field(p, 11));
	m->data = a->data + at;
	return up4(at + m->len);
}

TEST(what_is_added_is_read_back)
{
	struct initramfs a = { 0 };
	struct member m;
	size_t at;

	initramfs_dir(&a, "d", 0755);
	initramfs_file(&a, "d/file", 0640, "12345", 5);
	initramfs_char(&a, "d/c", 0600, 5, 1);
	EXPECT(!initramfs_finish(&a));
	at = member_read(&a, 0, &m);
	EXPECT(at && !strcmp(m.name, "d") && m.mode == 040755 && !m.len &&
	       m.links == 2);
	at = member_read(&a, at, &m);
	EXPECT(at && !strcmp(m.name, "d/file") && m.mode == 0100640 &&
	       m.len == 5 && !memcmp(m.data, "12345", 5));
	at = member_read(&a, at, &m);
	EXPECT(at && !strcmp(m.name, "d/c") && m.mode == 020600 &&
	       m.major == 5 && m.minor == 1);
	at = member_read(&a, at, &m);
	EXPECT(at && !strcmp(m.name, "TRAILER!!!") && !m.len);
	for (; at < a.len; at++)
		EXPECT(!a.data[at]);
	initramfs_free(&a);
}

TEST(archive_fills_whole_pages)
{
	for (size_t len = 0; len < 5000; len += 499) {
		struct initramfs a = { 0 };
		u8 d[5000] = { 0 };

		initramfs_file(&a, "f", 0600, d, len);
		EXPECT(!initramfs_finish(&a));
		EXPECT(a.len && a.len % INITRAMFS_ALIGN == 0);
		initramfs_free(&a);
	}
}

TEST(every_length_is_padded)
{
	for (size_t len = 0; len < 9; len++) {
		struct initramfs a = { 0 };
		struct member m;
		size_t at;

		initramfs_file(&a, &"name12345"[len], 0600, "12345678", len);
		initramfs_file(&a, "last", 0600, "x", 1);
		EXPECT(!initramfs_finish(&a));
		at = member_read(&a, 0, &m);
		EXPECT(at && m.len == len && !memcmp(m.data, "12345678", len));
		at = member_read(&a, at, &m);
		EXPECT(at && !strcmp(m.name, "last") && *m.data == 'x');
		initramfs_free(&a);
	}
}

TEST(large_files_fit)
{
	const size_t len = 3 * SZ_1M + 1;
	u8 *d = malloc(len);
	struct initramfs a = { 0 };
	struct member m;

	memset(d, 0x5a, len);
	initramfs_file(&a, "f", 0600, d, len);
	EXPECT(!initramfs_finish(&a));
	EXPECT(member_read(&a, 0, &m) && m.len == len &&
	       !memcmp(m.data, d, len));
	initramfs_free(&a);
	free(d);
}

TEST(same_contents_make_the_same_archive)
{
	struct initramfs a = { 0 }, b = { 0 };

	initramfs_file(&a, "f", 0600, "x", 1);
	initramfs_file(&b, "f", 0600, "x", 1);
	EXPECT(!initramfs_finish(&a) && !initramfs_finish(&b));
	EXPECT(a.len == b.len && !memcmp(a.data, b.data, a.len));
	initramfs_free(&a);
	initramfs_free(&b);
}

TEST(errors_are_kept)
{
	struct initramfs a = { 0 };
	char name[5000];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	initramfs_file(&a, name, 0600, "x", 1);
	initramfs_file(&a, "f", 0600, "x", 1);
	EXPECT(initramfs_finish(&a) == -E2BIG);
	initramfs_free(&a);
}

TEST(the_guests_init_is_a_small_elf_file)
{
	size_t len;
	u8 *d = guest_init(&len);
	const struct elf64_hdr *e = (const void *)d;
	const struct elf64_shdr *s;

	EXPECT(d && len > sizeof(*e) && len < 0x10000);
	EXPECT(!memcmp(d, "\177ELF", 4));
	/* All of it is there: it ends with its sections' headers. */
	EXPECT(e->e_shoff + e->e_shnum * sizeof(*s) == len);
	s = (const void *)(d + e->e_shoff);
	EXPECT(!strcmp((char *)d + s[e->e_shstrndx].sh_offset +
		       s[e->e_shstrndx].sh_name, ".shstrtab"));
	free(d);
}

TEST_MAIN(T(what_is_added_is_read_back),
	  T(archive_fills_whole_pages),
	  T(every_length_is_padded),
	  T(large_files_fit),
	  T(same_contents_make_the_same_archive),
	  T(errors_are_kept),
	  T(the_guests_init_is_a_small_elf_file))
