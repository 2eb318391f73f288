// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results of tests, as a tree.
 *
 * Theory of operation: a run is made of collections, these of tests, and a test of
 * whatever its output tells. How deep that goes is bounded by who builds the tree
 * (TAP_DEPTH), so that it is walked by recursion. No memory means no result for
 * what is not one yet: callers say so. One thread.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/result.h"

const char *const result_words[NR_RESULTS] = {
	"PASS", "SKIP", "XFAIL", "XPASS", "FAIL", "TIMEOUT", "CRASH", "MISSING",
};

struct result *result_new(const char *name, size_t len)
{
	struct result *r = calloc(1, sizeof(*r));

	if (r)
		r->name = strndup(name, len);
	if (r && r->name)
		return r;
	free(r);
	return NULL;
}

void result_add(struct result *parent, struct result *child)
{
	child->next = NULL;
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
}

struct result *result_find(const struct result *parent, const char *name)
{
	struct result *c = parent->first;

	while (c && strcmp(c->name, name))
		c = c->next;
	return c;
}

struct result *result_child(struct result *parent, const char *name)
{
	struct result *c = result_find(parent, name);

	if (c)
		return c;
	c = result_new(name, strlen(name));
	if (c)
		result_add(parent, c);
	return c;
}

void result_empty(struct result *r)
{
	struct result *c = r->first, *next;

	for (; c; c = next) {
		next = c->next;
		result_free(c);
	}
	r->first = NULL;
	r->last = NULL;
}

void result_free(struct result *r)
{
	if (!r)
		return;
	result_empty(r);
	free(r->name);
	free(r->why);
	free(r->note);
	free(r->log);
	free(r);
}

void result_say(struct result *r, const char *fmt, ...)
{
	va_list ap;

	free(r->why);
	va_start(ap, fmt);
	if (vasprintf(&r->why, fmt, ap) < 0)
		r->why = NULL;
	va_end(ap);
}

void result_count(const struct result *r, struct result_counts *c)
{
	if (!r->first)
		c->of[r->kind]++;
	for (r = r->first; r; r = r->next)
		result_count(r, c);
}

unsigned int result_counts_bad(const struct result_counts *c)
{
	unsigned int n = 0;

	for (unsigned int k = RESULT_FAIL; k < NR_RESULTS; k++)
		n += c->of[k];
	return n;
}

unsigned int result_counts_all(const struct result_counts *c)
{
	unsigned int n = result_counts_bad(c);

	for (unsigned int k = 0; k < RESULT_FAIL; k++)
		n += c->of[k];
	return n;
}

enum result_kind result_judge(const struct result *r)
{
	bool skipped = r->first;

	for (const struct result *c = r->first; c; c = c->next) {
		if (result_is_bad(c->kind))
			return RESULT_FAIL;
		skipped &= c->kind == RESULT_SKIP;
	}
	return skipped ? RESULT_SKIP : RESULT_PASS;
}

bool result_is_fault(const struct result *r)
{
	return result_is_bad(r->kind) && !result_is_bad(result_judge(r));
}

void result_merge(struct result *into, struct result *from, unsigned int depth)
{
	struct result *c = from->first, *next, *same;
	enum result_kind kind;

	from->first = NULL;
	from->last = NULL;
	for (; c; c = next) {
		next = c->next;
		same = depth > 1 ? result_find(into, c->name) : NULL;
		if (!same) {
			result_add(into, c);
			continue;
		}
		kind = MAX(same->kind, c->kind);
		result_merge(same, c, depth - 1);
		/* What has failed by itself has not been better for what is beside it. */
		same->kind = result_is_bad(kind) || !same->first ? kind :
			     result_judge(same);
		same->ms += c->ms;
		result_free(c);
	}
}
