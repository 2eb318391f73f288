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
#include "kvm/utf8.h"

/* Return: the length of the character at @s; 0 when there is none, or one like U+FFFE */
static size_t char_length(const u8 *s, size_t len)
{
	size_t n = utf8_length(s, len);

	return n > 2 && (s[n - 3] & 0x0f) == 0x0f && s[n - 2] == 0xbf && s[n - 1] >= 0xbe ? 0 : n;
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
		n = how == ESCAPE_TAP ? 1 : char_length(p, end - p);
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
