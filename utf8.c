// SPDX-License-Identifier: GPL-2.0-only
/*
 * Text that somebody else has made: characters of UTF-8, and what a terminal acts on.
 *
 * Theory of operation: a character is what RFC 3629 has, and nothing else: no
 * overlong form, no surrogate, none behind U+10FFFF. What is not for a terminal are
 * the controls of ASCII and those that ISO 6429 calls C1, U+0080 to U+009F, for which
 * some also take a byte that is no part of a character. No state.
 */
#include <string.h>

#include "kvm/utf8.h"

size_t utf8_length(const void *s, size_t len)
{
	const u8 *b = s;
	size_t n = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 :
		   b[0] < 0xf0 ? 3 : b[0] < 0xf5 ? 4 : 0;

	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong, a surrogate, past the last one */
	if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
	    (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f))
		return 0;
	return n;
}

void utf8_clean(char *d, size_t len, const char *keep)
{
	while (len) {
		size_t n = utf8_length(d, len), some = n ? n : 1;
		u8 first = *d, last = d[some - 1];
		bool kept = first && strchr(keep, first);

		if (!n || (!kept && first < ' ') || first == 0x7f ||
		    (first == 0xc2 && last < 0xa0))
			memset(d, '?', some);
		d += some;
		len -= some;
	}
}
