// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is what a test prints, in two pieces. Whatever it is,
 * each report of it can be written, and KTAP that was written and read is the same
 * when it is written and read again.
 */
#include <stdlib.h>
#include <string.h>
#include "kvm/tap.h"
#include "tests/fuzz/fuzz.h"

static struct result *parse(const void *d, size_t len, size_t cut)
{
	struct tap *t = calloc(1, sizeof(*t));
	struct result *r = result_new("", 0);

	tap_feed(t, d, cut);
	tap_feed(t, (const u8 *)d + cut, len - cut);
	tap_end(t, r);
	free(t);
	return r;
}

static void put(void (*report)(FILE *, const struct result *, const char *),
		const struct result *r, char **text, size_t *size)
{
	FILE *f = open_memstream(text, size);

	report(f, r, "/nonexistent");
	fclose(f);
}

static unsigned int results(const struct result *r)
{
	unsigned int n = 0;

	for (r = r->first; r; r = r->next)
		n += 1 + results(r);
	return n;
}

int fuzz_one(const u8 *data, size_t len)
{
	struct result *r = parse(data, len, len ? data[0] % len : 0), *again;
	unsigned int deep = 0;
	char *text;
	size_t size;

	put(report_json, r, &text, &size);
	free(text);
	put(report_junit, r, &text, &size);
	free(text);
	put(report_html, r, &text, &size);
	free(text);
	put(report_ktap, r, &text, &size);
	for (const struct result *c = r; c; c = c->last)
		deep++;
	again = parse(text, size, 0);
	/* Lines have an end, and so has depth: what is within is kept. */
	if (deep < TAP_DEPTH / 2 && len < 512 && results(again) < results(r))
		abort();
	free(text);
	result_free(r);
	result_free(again);
	return 0;
}
