// SPDX-License-Identifier: GPL-2.0-only
/*
 * Text of a test in a report.
 *
 * Theory of operation: a name or an output is any bytes at all. In JSON and XML
 * they become characters that may stand there, decoded strictly: a surrogate, an
 * overlong form, a character that XML has no way to write are each U+FFFD. In KTAP
 * a byte stays what it is, but that a line is one and "#" begins no directive.
 * No state.
 */
#include <string.h>

#include "kvm/result.h"

/* Return: the length of the character at @s, 0 when there is none */
static size_t utf8_length(const u8 *s, size_t len)
{
	static const u32 least[] = { 0, 0x80, 0x800, 0x10000 };
	unsigned int more = *s >= 0xf0 ? 3 : *s >= 0xe0 ? 2 : 1;
	u32 ch = *s & (0x3f >> more);

	if (*s < 0x80)
		return 1;
	if (*s < 0xc2 || *s > 0xf4 || len <= more)
		return 0;
	for (unsigned int i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		ch = ch << 6 | (s[i] & 0x3f);
	}
	return ch < least[more] || ch > 0x10ffff || ch >> 11 == 0x1b ||
	       (ch & 0xfffe) == 0xfffe ? 0 : more + 1;
}

static void put_json(FILE *f, u8 ch)
{
	if (ch == '"' || ch == '\\')
		fprintf(f, "\\%c", ch);
	else if (ch < ' ' || ch == 0x7f)
		fprintf(f, "\\u%04x", ch);
	else
		putc(ch, f);
}

static void put_xml(FILE *f, u8 ch)
{
	static const char special[] = "<>&\"'";
	const char *at = ch ? strchr(special, ch) : NULL;

	if (at || ch == '\r' || ch == '\t')
		fprintf(f, "&#%d;", ch);
	else if ((ch < ' ' && ch != '\n') || ch == 0x7f)
		fprintf(f, "\xef\xbf\xbd");
	else
		putc(ch, f);
}

static void put_tap(FILE *f, u8 ch)
{
	if (ch == '#' || ch == '\\')
		putc('\\', f);
	putc((ch < ' ' && ch != '\t') || ch == 0x7f ? '?' : ch, f);
}

void escape_put(FILE *f, enum escape how, const char *s, size_t len)
{
	const u8 *p = (const u8 *)s, *end = p + len;
	size_t n;

	for (; p < end; p += n) {
		n = how == ESCAPE_TAP ? 1 : utf8_length(p, end - p);
		if (!n) {
			fprintf(f, "\xef\xbf\xbd");
			n = 1;
		} else if (n > 1) {
			fwrite(p, 1, n, f);
		} else if (how == ESCAPE_TAP) {
			put_tap(f, *p);
		} else if (how == ESCAPE_JSON) {
			put_json(f, *p);
		} else {
			put_xml(f, *p);
		}
	}
}
