// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a file smaller for embedded.c to carry: squeeze <FILE >SMALLER
 *
 * Theory of operation: Lempel and Ziv of 1977 as Storer and Szymanski have it. The
 * file's length as four bytes, little-endian, then items in eights, behind a byte
 * that has a bit for each, the first lowest: 1 is a byte as it is, 0 two bytes that
 * stand for what was there before: its distance less 1 in the low 12 bits, its
 * length less 3 in the other 4. It runs where lkvm is built, once a build.
 */
#include <stdio.h>

#define MOST 0x10000
#define WINDOW 4096
#define SHORTEST 3
#define LONGEST 18

static unsigned char in[MOST];

/* The longest of what was there before; Return: its length, and @from where it is */
static int match(int at, int len, int *from)
{
	int best = 0;

	for (int i = at - 1; i >= 0 && at - i <= WINDOW && best < LONGEST; i--) {
		int n = 0;

		while (n < LONGEST && at + n < len && in[i + n] == in[at + n])
			n++;
		if (n > best) {
			best = n;
			*from = i;
		}
	}
	return best;
}

int main(void)
{
	unsigned char out[1 + 2 * 8];
	int len = fread(in, 1, MOST, stdin), at = 0;

	for (int i = 0; i < 4; i++)
		putchar(len >> 8 * i & 0xff);
	while (at < len) {
		int n = 1;

		out[0] = 0;
		for (int i = 0; i < 8 && at < len; i++) {
			int from = 0, same = match(at, len, &from);
			int code = (at - from - 1) | (same - SHORTEST) << 12;

			if (same < SHORTEST) {
				out[0] |= 1 << i;
				out[n++] = in[at++];
				continue;
			}
			out[n++] = code & 0xff;
			out[n++] = code >> 8;
			at += same;
		}
		fwrite(out, 1, n, stdout);
	}
	return len == MOST || ferror(stdin) || fflush(stdout) || ferror(stdout);
}
