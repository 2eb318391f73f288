// SPDX-License-Identifier: GPL-2.0-only
/* Reports of tests whose names and outputs are hostile; shares; merging. */
#include <string.h>

#include "kvm/shard.h"
#include "kvm/tap.h"
#include "tests/unit/test.h"

typedef void report_fn(FILE *f, const struct result *root, const char *dir);

static char *written(report_fn *report, const struct result *root)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	report(f, root, "/nonexistent");
	fclose(f);
	return text;
}

static char *escaped(enum escape how, const char *s, size_t len)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	escape_put(f, how, s, len);
	fclose(f);
	return text;
}

static bool escapes(enum escape how, const char *s, size_t len, const char *want)
{
	char *got = escaped(how, s, len);
	bool same = !strcmp(got, want);

	if (!same)
		printf("# got %s, want %s\n", got, want);
	free(got);
	return same;
}

#define FFFD "\xef\xbf\xbd"

TEST(json_is_escaped)
{
	EXPECT(escapes(ESCAPE_JSON, "a\"b\\c\n\0\x7f", 8,
		       "a\\\"b\\\\c\\u000a\\u0000\\u007f"));
	EXPECT(escapes(ESCAPE_JSON, "\xc3\xa9\xf0\x9f\x98\x80", 6,
		       "\xc3\xa9\xf0\x9f\x98\x80"));
}

TEST(xml_is_escaped)
{
	EXPECT(escapes(ESCAPE_XML, "<a b='\"'>&\n\t\r", 13,
		       "&#60;a b=&#39;&#34;&#39;&#62;&#38;\n&#9;&#13;"));
	EXPECT(escapes(ESCAPE_XML, "\0\x1b\x7f", 3, FFFD FFFD FFFD));
}

TEST(what_is_not_utf8_is_replaced)
{
	static const char *const bad[] = {
		"\x80", "\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\xc3", "\xe2\x82", "\xef\xbf\xbe",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		char *got = escaped(ESCAPE_XML, bad[i], strlen(bad[i]));

		EXPECT(strlen(got) == 3 * strlen(bad[i]));
		EXPECT(!strncmp(got, FFFD, 3));
		free(got);
	}
}

/* A name of every byte that a line can have, and of each in its place */
static struct result *hostile(void)
{
	struct result *root = result_new("root", 4), *c, *t;
	char all[256];

	for (unsigned int i = 1; i < 256; i++)
		all[i - 1] = i;
	all[255] = 0;
	c = result_child(root, "]]><&\"'\\# SKIP");
	t = result_child(c, all);
	t->kind = RESULT_FAIL;
	t->note = strdup("ok 1 forged\n1..9\n# Subtest: x\n</pre>\x1b[0m\n");
	result_say(t, "</failure>\"");
	t = result_child(c, "with # hash");
	t->kind = RESULT_CRASH;
	result_child(t, "part\"")->kind = RESULT_SKIP;
	t->log = strdup("a/../b");
	t->ms = 1234567;
	c->kind = result_judge(c);
	return root;
}

TEST(ktap_comes_back_as_it_was)
{
	struct result *root = hostile(), *back = result_new("r", 1);
	struct result *a = root->first->first, *b;
	char *text = written(report_ktap, root);
	static struct tap tap;

	tap_feed(&tap, text, strlen(text));
	tap_end(&tap, back);
	EXPECT(back->first && !back->first->next);
	EXPECT(!strcmp(back->first->name, root->first->name));
	EXPECT(back->first->kind == RESULT_FAIL);
	b = back->first->first;
	EXPECT(b->kind == RESULT_FAIL && !b->first);
	EXPECT(!strcmp(b->why, a->why));
	EXPECT(strstr(b->note, "ok 1 forged\n1..9\n"));
	b = b->next;
	EXPECT(b && !b->next && !strcmp(b->name, "with # hash"));
	EXPECT(b->kind == RESULT_CRASH && b->ms == 1234567);
	EXPECT(b->log && !strcmp(b->log, "a/../b"));
	EXPECT(b->first && b->first->kind == RESULT_SKIP);
	free(text);
	result_free(root);
	result_free(back);
}

/* As "Bail out! SKIP ..." of a test is */
TEST(why_is_no_directive_when_it_comes_back)
{
	static const struct {
		enum result_kind kind;
		const char *why, *line;
	} row[] = {
		{ RESULT_FAIL, "SKIP no disk", "not ok 1 t # : SKIP no disk\n" },
		{ RESULT_FAIL, "timeout", "not ok 1 t # : timeout\n" },
		{ RESULT_PASS, "todo: x", "ok 1 t # : todo: x\n" },
		{ RESULT_FAIL, "SKIPPED", "not ok 1 t # SKIPPED\n" },
		{ RESULT_FAIL, "exit=1", "not ok 1 t # exit=1\n" },
		{ RESULT_CRASH, "SKIP x", "not ok 1 t # CRASH SKIP x\n" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		struct result *root = result_new("r", 1), *back = result_new("r", 1);
		struct result *test = result_child(root, "t");
		static struct tap tap;
		char *text;

		test->kind = row[i].kind;
		result_say(test, "%s", row[i].why);
		text = written(report_ktap, root);
		EXPECT(strstr(text, row[i].line));
		tap_feed(&tap, text, strlen(text));
		tap_end(&tap, back);
		EXPECT(back->first && back->first->kind == row[i].kind);
		EXPECT(back->first && back->first->why &&
		       !strcmp(back->first->why, row[i].why));
		free(text);
		result_free(root);
		result_free(back);
	}
}

/* Of JSON all that matters here: strings end, and brackets match. */
static bool json_is_whole(const char *s)
{
	char open[64];
	size_t n = 0;

	for (; *s; s++) {
		if (*s == '"') {
			for (s++; *s && *s != '"'; s++) {
				if ((u8)*s < ' ')
					return false;
				s += *s == '\\';
			}
			if (!*s)
				return false;
		} else if (*s == '{' || *s == '[') {
			if (n == sizeof(open))
				return false;
			open[n++] = *s + 2;
		} else if ((*s == '}' || *s == ']') && (!n || open[--n] != *s)) {
			return false;
		}
	}
	return !n;
}

TEST(json_of_hostile_names_is_whole)
{
	struct result *root = hostile();
	char *text = written(report_json, root);

	EXPECT(json_is_whole(text));
	EXPECT(strstr(text, "\"sub_groups\"") && strstr(text, "\"test_cases\""));
	EXPECT(strstr(text, "{\"name\": \"part\\\"\", \"status\": \"SKIP\"}"));
	free(text);
	result_free(root);
}

static bool json_has(const struct result *root, const char *what)
{
	char *text = written(report_json, root);
	bool has = json_is_whole(text) && strstr(text, what);

	free(text);
	return has;
}

/* As of a test that exits with 1 behind parts that are all well */
TEST(json_has_who_failed_and_no_part_of_it)
{
	struct result *root = result_new("root", 4), *c, *test;

	c = result_child(root, "c");
	test = result_child(c, "t");
	result_child(test, "one");
	result_child(result_child(test, "two"), "deep");
	c->kind = RESULT_FAIL;
	test->kind = RESULT_FAIL;
	EXPECT(json_has(root, "[\n{\"name\": \"t\", \"status\": \"FAIL\"},\n"
			"{\"name\": \"one\", \"status\": \"PASS\"}]"));
	EXPECT(json_has(root, "{\"tests\": 3, \"passed\": 2, \"failed\": 1, "));
	EXPECT(!json_has(root, "\"name\": \"c\", \"status\""));
	test->kind = RESULT_CRASH;
	EXPECT(json_has(root, "[\n{\"name\": \"t\", \"status\": \"ERROR\"},"));
	EXPECT(json_has(root, "\"failed\": 0, \"crashed\": 1, "));
	/* With a part that failed that is enough. */
	result_find(test, "one")->kind = RESULT_FAIL;
	EXPECT(json_has(root, "{\"tests\": 2, \"passed\": 1, \"failed\": 1, \"crashed\": 0,"));
	EXPECT(!json_has(root, "\"name\": \"t\", \"status\""));
	/* Groups alone: of what it is made of there is no test beside it. */
	result_find(test, "one")->kind = RESULT_PASS;
	result_child(c, "u")->kind = RESULT_SKIP;
	test->kind = RESULT_PASS;
	EXPECT(json_has(root, "\"test_cases\": [\n{\"name\": \"c\", \"status\": \"FAIL\"},\n"
			"{\"name\": \"u\", \"status\": \"SKIP\"}]"));
	result_free(root);
}

/* Tags are those that we write, and close in turn. */
static bool xml_is_whole(const char *s)
{
	char open[16][32];
	size_t n = 0;

	for (s = strchr(s, '<'); s; s = strchr(s + 1, '<')) {
		size_t len = strspn(s + 1, "/abcdefghijklmnopqrstuvwxyz");
		const char *end = strchr(s, '>');

		if (s[1] == '?' || s[1] == '!')
			continue;
		if (!end || !len || len > 30)
			return false;
		if (!strncmp(s, "<meta", 5))
			continue;
		if (s[1] == '/') {
			if (!n || strncmp(open[--n], s + 2, len - 1) ||
			    strlen(open[n]) != len - 1)
				return false;
			continue;
		}
		if (n == ARRAY_SIZE(open))
			return false;
		snprintf(open[n], sizeof(open[n]), "%.*s", (int)len, s + 1);
		/* "h1", and its like */
		if (s[1 + len] >= '1' && s[1 + len] <= '4')
			snprintf(open[n], sizeof(open[n]), "h");
		n++;
	}
	return !n;
}

TEST(xml_of_hostile_names_is_whole)
{
	struct result *root = hostile();
	char *text = written(report_junit, root);

	EXPECT(xml_is_whole(text));
	EXPECT(strstr(text, " tests=\"3\" failures=\"1\" errors=\"1\" skipped=\"1\""));
	for (const char *s = text; *s; s++)
		EXPECT((u8)*s >= ' ' || *s == '\n');
	free(text);
	text = written(report_html, root);
	EXPECT(xml_is_whole(text));
	EXPECT(strstr(text, "2 tests: 0 passed, 2 failed, 0 skipped"));
	free(text);
	result_free(root);
}

/* Of a run that was joined; one that has gone leaves what was noted of it. */
TEST(html_has_logs_or_notes)
{
	struct result *root = result_new("root", 4), *test;
	char dir[] = "/tmp/lkvm-reports-XXXXXX", path[64], *text;
	FILE *f;

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/output", dir);
	f = fopen(path, "w");
	fprintf(f, "it said <this>\n");
	fclose(f);
	test = result_child(result_child(root, "c"), "t");
	test->kind = RESULT_FAIL;
	test->note = strdup("a note\n");
	test->log = strdup(dir);
	text = written(report_html, root);
	EXPECT(strstr(text, "it said &#60;this&#62;") && !strstr(text, "a note"));
	free(text);
	unlink(path);
	rmdir(dir);
	text = written(report_html, root);
	EXPECT(strstr(text, "<pre>a note"));
	free(text);
	result_free(root);
}

TEST(nothing_makes_reports_too)
{
	struct result *root = result_new("", 0);
	static report_fn *const all[] = {
		report_ktap, report_json, report_junit, report_html,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
		char *text = written(all[i], root);

		EXPECT(*text);
		free(text);
	}
	result_free(root);
}

TEST(runs_are_merged_by_collection)
{
	struct result *a = result_new("a", 1), *b = result_new("b", 1);
	struct result *c;

	result_child(result_child(a, "net"), "tls")->kind = RESULT_PASS;
	result_child(result_child(b, "net"), "tcp")->kind = RESULT_FAIL;
	result_child(result_child(b, "net"), "tls")->kind = RESULT_FAIL;
	result_child(result_child(b, "mm"), "x")->kind = RESULT_SKIP;
	result_merge(a, b, 2);
	EXPECT(!b->first);
	c = a->first;
	EXPECT(!strcmp(c->name, "net") && c->kind == RESULT_FAIL);
	/* What both had run is there twice: no result hides another. */
	EXPECT(c->first->kind == RESULT_PASS && c->first->next->next == c->last);
	EXPECT(!strcmp(c->next->name, "mm") && !c->next->next);
	result_free(a);
	result_free(b);
}

/* As of two runs of whose reports the ends are not there */
TEST(what_is_missing_is_no_better_when_merged)
{
	struct result *a = result_new("a", 1), *b = result_new("b", 1);
	char *text;

	result_child(a, "1 of 2 tests")->kind = RESULT_MISSING;
	result_child(b, "1 of 2 tests")->kind = RESULT_MISSING;
	result_child(a, "cut")->kind = RESULT_MISSING;
	result_child(result_child(b, "cut"), "t")->kind = RESULT_PASS;
	result_child(result_child(a, "late"), "t")->kind = RESULT_PASS;
	result_child(b, "late")->kind = RESULT_MISSING;
	result_child(result_child(a, "skips"), "t")->kind = RESULT_SKIP;
	result_child(result_child(b, "skips"), "u")->kind = RESULT_SKIP;
	result_merge(a, b, 2);
	EXPECT(a->first->kind == RESULT_MISSING && !a->first->first);
	EXPECT(result_find(a, "cut")->kind == RESULT_MISSING);
	EXPECT(result_find(a, "late")->kind == RESULT_MISSING);
	EXPECT(result_find(a, "skips")->kind == RESULT_SKIP);
	text = written(report_junit, a);
	EXPECT(xml_is_whole(text));
	EXPECT(strstr(text, "=\"1 of 2 tests\" tests=\"1\" failures=\"0\" errors=\"1\" "));
	EXPECT(strstr(text, "<testcase classname=\"cut\" name=\"cut\" time=\"0.000\"><error "));
	EXPECT(!strstr(text, "name=\"skips\" time=\"0.000\"><"));
	free(text);
	result_free(a);
	result_free(b);
}

static u64 load_of(const struct shard_item *s, unsigned int nr, unsigned int who)
{
	u64 ms = 0;

	for (unsigned int i = 0; i < nr; i++)
		ms += s[i].shard == who ? s[i].ms : 0;
	return ms;
}

#define MANY 200

TEST(shares_are_even_and_the_same_in_any_order)
{
	struct shard_item a[MANY], b[MANY];
	static char name[MANY][8];

	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(name[i], sizeof(name[i]), "t%u", i);
		a[i] = (struct shard_item){ name[i], i % 7 * 1000, 99 };
		b[MANY - 1 - i] = a[i];
	}
	EXPECT(!shard_assign(a, MANY, 6) && !shard_assign(b, MANY, 6));
	for (unsigned int i = 0; i < MANY; i++) {
		EXPECT(a[i].shard < 6);
		EXPECT(a[i].shard == b[MANY - 1 - i].shard);
	}
	for (unsigned int s = 1; s < 6; s++) {
		EXPECT(load_of(a, MANY, s) + 6000 >= load_of(a, MANY, 0));
		EXPECT(load_of(a, MANY, s) <= load_of(a, MANY, 0) + 6000);
	}
}

TEST(shares_without_times_are_of_one_size)
{
	struct shard_item s[5] = {
		{ "a", 0, 9 }, { "b", 0, 9 }, { "c", 0, 9 }, { "d", 0, 9 },
		{ "e", 0, 9 },
	};
	unsigned int n[8] = { 0 };

	EXPECT(!shard_assign(s, 5, 2));
	for (unsigned int i = 0; i < 5; i++)
		n[s[i].shard]++;
	EXPECT(n[0] == 3 && n[1] == 2);
	EXPECT(!shard_assign(s, 5, 8));
	EXPECT(!shard_assign(s, 0, 3));
}

TEST_MAIN(T(json_is_escaped), T(xml_is_escaped), T(what_is_not_utf8_is_replaced),
	  T(ktap_comes_back_as_it_was),
	  T(why_is_no_directive_when_it_comes_back), T(json_of_hostile_names_is_whole),
	  T(json_has_who_failed_and_no_part_of_it),
	  T(xml_of_hostile_names_is_whole), T(html_has_logs_or_notes),
	  T(nothing_makes_reports_too),
	  T(runs_are_merged_by_collection),
	  T(what_is_missing_is_no_better_when_merged),
	  T(shares_are_even_and_the_same_in_any_order),
	  T(shares_without_times_are_of_one_size))
