// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results as one HTML page for people.
 *
 * Theory of operation: counts, a row for each test, and behind it what it is made of
 * and the ends of its logs. The page needs no other file, no script and no network;
 * what unfolds is <details>. All text comes from a guest and is escaped as XML is.
 * Logs are read at most LOG_END bytes from their end. Written in one walk, no state,
 * one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "kvm/result.h"

#define LOG_END 0x10000

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<title>lkvm test</title><style>\n"
	"body{font:15px sans-serif;margin:2em auto;max-width:70em;padding:0 1em}\n"
	"summary{cursor:pointer;padding:.15em}summary:hover{background:#8882}\n"
	"b{display:inline-block;width:6em}i{float:right;font-style:normal}\n"
	"pre{background:#8882;padding:.5em;overflow:auto;max-height:30em}\n"
	"ul{list-style:none;margin:0}.good b{color:#080}.bad b{color:#c00}\n"
	".skip b{color:#777}</style></head><body>\n<h1>lkvm test</h1>\n";

static void put_text(FILE *f, const char *s)
{
	escape_put(f, ESCAPE_XML, s, strlen(s));
}

static void put_line(FILE *f, const struct result *r)
{
	if (r->ms)
		fprintf(f, "<i>%llu.%03u s</i>",
			(unsigned long long)(r->ms / 1000),
			(unsigned int)(r->ms % 1000));
	fprintf(f, "<b>%s</b> ", result_words[r->kind]);
	put_text(f, r->name);
	if (r->why) {
		fprintf(f, " (");
		put_text(f, r->why);
		putc(')', f);
	}
}

static const char *class_of(const struct result *r)
{
	return result_is_bad(r->kind) ? "bad" :
	       r->kind == RESULT_SKIP ? "skip" : "good";
}

/* Those of runs that were joined are not below @dir. Return: is there something in it? */
static bool put_log(FILE *f, const char *dir, const char *log, const char *name)
{
	char *text = malloc(LOG_END), path[4096];
	size_t n = 0;
	FILE *in;

	if (*log == '/')
		snprintf(path, sizeof(path), "%s/%s", log, name);
	else
		snprintf(path, sizeof(path), "%s/%s/%s", dir, log, name);
	in = text ? fopen(path, "re") : NULL;
	if (in) {
		/* Of a shorter one this is refused, and all of it is read. */
		fseeko(in, -LOG_END, SEEK_END);
		n = fread(text, 1, LOG_END, in);
		fclose(in);
	}
	if (n) {
		fprintf(f, "<h4>%s</h4><pre>", name);
		escape_put(f, ESCAPE_XML, text, n);
		fprintf(f, "</pre>\n");
	}
	free(text);
	return n;
}

static void put_parts(FILE *f, const struct result *r)
{
	fprintf(f, "<ul>\n");
	for (const struct result *c = r->first; c; c = c->next) {
		fprintf(f, "<li class=\"%s\">", class_of(c));
		put_line(f, c);
		if (c->note) {
			fprintf(f, "<pre>");
			put_text(f, c->note);
			fprintf(f, "</pre>");
		}
		if (c->first)
			put_parts(f, c);
		fprintf(f, "</li>\n");
	}
	fprintf(f, "</ul>\n");
}

static void put_test(FILE *f, const struct result *r, const char *dir)
{
	static const char *const logs[] = { "output", "kernel.log", "lkvm.log" };
	bool read = false;

	fprintf(f, "<details class=\"%s\"><summary>", class_of(r));
	put_line(f, r);
	fprintf(f, "</summary>\n");
	if (r->first)
		put_parts(f, r);
	for (unsigned int i = 0; i < ARRAY_SIZE(logs) && r->log; i++)
		read |= put_log(f, dir, r->log, logs[i]);
	if (!read && r->note) {
		fprintf(f, "<pre>");
		put_text(f, r->note);
		fprintf(f, "</pre>");
	}
	fprintf(f, "</details>\n");
}

static void put_counts(FILE *f, const struct result *root)
{
	unsigned int n = 0, bad = 0, skipped = 0;

	for (const struct result *c = root->first; c; c = c->next)
		for (const struct result *t = c->first; t; t = t->next) {
			n++;
			bad += result_is_bad(t->kind);
			skipped += t->kind == RESULT_SKIP;
		}
	fprintf(f, "<p>%u tests: %u passed, %u failed, %u skipped</p>\n", n,
		n - bad - skipped, bad, skipped);
}

void report_html(FILE *f, const struct result *root, const char *dir)
{
	fprintf(f, "%s", head);
	put_counts(f, root);
	for (const struct result *c = root->first; c; c = c->next) {
		fprintf(f, "<h2>");
		put_text(f, c->name);
		fprintf(f, "</h2>\n");
		for (const struct result *t = c->first; t; t = t->next)
			put_test(f, t, dir);
	}
	fprintf(f, "</body></html>\n");
}
