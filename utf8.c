// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation: UTF-8 (RFC 3629), decoded strictly: nothing has two forms. No state.
 */
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
