/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__TAP_H
#define KVM__TAP_H

#include "kvm/result.h"

#define TAP_DEPTH 16
#define TAP_LINE 4096
#define TAP_NOTE 2048
#define TAP_NODES 200000
#define TAP_BYTES (64 * 1024 * 1024)

/**
 * struct tap_level - tests that stand in one column
 * @list: those that have a result
 * @name: what they are parts of, may be NULL
 * @planned: how many there should be, if @has_plan
 * @seen: how many there were
 * @failed: how many a totals line says
 */
struct tap_level {
	unsigned int column;
	struct result *list;
	char *name;
	bool has_header;
	bool has_plan;
	bool skipped;
	unsigned long planned;
	unsigned long seen;
	unsigned long failed;
};

/**
 * struct tap - a parser of TAP and KTAP; zero-initialise
 * @nr: levels that are open, by column
 * @nodes: results that were made; after TAP_NODES no more are
 * @bytes: what is kept of their texts; after TAP_BYTES no more is
 * @ms: of the next result
 * @log: of the next result
 */
struct tap {
	struct tap_level level[TAP_DEPTH];
	unsigned int nr;
	unsigned int nodes;
	size_t bytes;
	char line[TAP_LINE];
	size_t line_len;
	char note[TAP_NOTE];
	size_t note_len;
	u64 ms;
	char *log;
	bool lost;
};

/** tap_is_directive() - whether text behind "# " begins with a word that has a meaning */
bool tap_is_directive(const char *s);
/** tap_feed() - bytes, at any boundary */
void tap_feed(struct tap *t, const void *d, size_t len);
/**
 * tap_end() - there is no more; the tests become @into's
 *
 * What had no result has RESULT_MISSING. @into's kind is not changed. The
 * parser is empty again.
 */
void tap_end(struct tap *t, struct result *into);

#endif
