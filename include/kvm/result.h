/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__RESULT_H
#define KVM__RESULT_H

#include <stdio.h>
#include "kvm/types.h"

/* How a test ended; from RESULT_FAIL on it has not passed. */
enum result_kind {
	RESULT_PASS,
	RESULT_SKIP,
	RESULT_XFAIL,
	RESULT_XPASS,
	RESULT_FAIL,
	RESULT_TIMEOUT,
	RESULT_CRASH,
	RESULT_MISSING,
	NR_RESULTS,
};

/**
 * struct result - a test, and those that it is made of
 * @next: beside it
 * @first: the first of those that it is made of
 * @last: the last of them
 * @name: never NULL
 * @why: a word or two, or NULL
 * @note: lines that came before the result, or NULL
 * @log: the directory of its logs, below that of the run, or NULL
 * @ms: how long it took; 0 if that is not known
 *
 * A test owns its texts and what it is made of.
 */
struct result {
	struct result *next;
	struct result *first;
	struct result *last;
	enum result_kind kind;
	char *name;
	char *why;
	char *note;
	char *log;
	u64 ms;
};

/** struct result_counts - tests that are made of no others, by kind */
struct result_counts {
	unsigned int of[NR_RESULTS];
};

/** result_words - by kind: pass, skip, ..., as directives of KTAP in capitals */
extern const char *const result_words[NR_RESULTS];

/** result_is_bad() - whether a test of that kind has failed, in whatever way */
static inline bool result_is_bad(enum result_kind k)
{
	return k >= RESULT_FAIL;
}

/** result_new() - Return: NULL when there is no memory */
struct result *result_new(const char *name, size_t len);
/** result_add() - @child is @parent's last from now on */
void result_add(struct result *parent, struct result *child);
/** result_find() - a child of that name; NULL if there is none */
struct result *result_find(const struct result *parent, const char *name);
/**
 * result_child() - that, made if need be
 * Return: NULL when there is no memory
 */
struct result *result_child(struct result *parent, const char *name);
/** result_empty() - free what it is made of */
void result_empty(struct result *r);
/** result_free() - that, and itself; it is in no other. Accepts NULL */
void result_free(struct result *r);
/** result_say() - set @why; printf format */
void result_say(struct result *r, const char *fmt, ...) __printf(2, 3);
/** result_count() - add what @r is made of, or @r, to @c */
void result_count(const struct result *r, struct result_counts *c);
/** result_counts_bad() - how many of them have failed, in whatever way */
unsigned int result_counts_bad(const struct result_counts *c);
/** result_counts_all() - how many they are */
unsigned int result_counts_all(const struct result_counts *c);
/** result_judge() - from what it is made of: bad, passed, or but skips */
enum result_kind result_judge(const struct result *r);
/** result_is_fault() - whether @r is bad, and nothing that it is made of is */
bool result_is_fault(const struct result *r);
/** result_merge() - move tests of @from to @into, by name down to @depth */
void result_merge(struct result *into, struct result *from,
		  unsigned int depth);

/* How text of a test is written so that it is nothing else: test/escape.c */
enum escape { ESCAPE_TAP, ESCAPE_JSON, ESCAPE_XML };

/**
 * escape_put() - write text; what is not UTF-8, or is not allowed, is U+FFFD,
 * and "?" in KTAP
 */
void escape_put(FILE *f, enum escape how, const char *s, size_t len);

/**
 * report_ktap() - write the results of a run as KTAP
 * @root: its children are collections, theirs are tests
 * @dir: where logs are
 *
 * Whether all was written is for the caller to ask @f.
 */
void report_ktap(FILE *f, const struct result *root, const char *dir);
/** report_json() - as kunit.py --json writes it; as report_ktap() else */
void report_json(FILE *f, const struct result *root, const char *dir);
/** report_junit() - JUnit XML; as report_ktap() else */
void report_junit(FILE *f, const struct result *root, const char *dir);
/** report_html() - a page that needs no other file; as report_ktap() else */
void report_html(FILE *f, const struct result *root, const char *dir);

#endif
