// SPDX-License-Identifier: GPL-2.0-only
/* The JSON parser and writer. */
#include <string.h>

#include "kvm/json.h"
#include "tests/unit/test.h"

/** struct parsed - a text and what it is */
struct parsed {
	char text[512];
	struct json_value value[64];
	struct json_doc doc;
};

static bool parse(struct parsed *p, const char *text)
{
	size_t len = strlen(text);

	memcpy(p->text, text, len + 1);
	p->doc = (struct json_doc){ .value = p->value, .max = ARRAY_SIZE(p->value) };
	return !json_parse(&p->doc, p->text, len);
}

TEST(json_parse_takes_values)
{
	const struct json_value *v;
	struct parsed p;

	EXPECT(parse(&p, " {\"a\":[1,-2,[]],\"b\":\"x\",\"c\":{\"d\":null}} "));
	EXPECT(p.value[0].type == JSON_OBJECT && p.value[0].nr == 3);
	EXPECT(json_member(p.value, "a")->nr == 3);
	v = json_first(json_member(p.value, "a"));
	EXPECT(v->whole && v->number == 1);
	v = json_next(json_member(p.value, "a"), v);
	EXPECT(v->negative && v->number == 2);
	EXPECT(!strcmp(json_string_of(p.value, "b"), "x"));
	EXPECT(json_member(json_member(p.value, "c"), "d")->type == JSON_NULL);
	EXPECT(!json_member(p.value, "d"));
	EXPECT(parse(&p, "18446744073709551615") && p.value[0].whole);
	EXPECT(parse(&p, "18446744073709551616") && !p.value[0].whole);
	EXPECT(parse(&p, "1.5e3") && !p.value[0].whole);
	EXPECT(parse(&p, "true") && p.value[0].type == JSON_TRUE);
}

TEST(json_parse_decodes_strings)
{
	struct parsed p;

	EXPECT(parse(&p, "\"a\\n\\\"\\\\\\/\\u00e9\\ud83d\\ude00\""));
	EXPECT(!strcmp(p.value[0].string, "a\n\"\\/\xc3\xa9\xf0\x9f\x98\x80"));
}

TEST(json_parse_refuses)
{
	static const char *const bad[] = {
		"", " ", "{", "[", "[1", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
		"{a:1}", "'a'", "\"a", "\"\\x\"", "\"\\u00\"", "\"\\ud800\"",
		"\"\\udc00\"", "\"\\u0000\"", "\"\t\"", "\"\xff\"", "\"\xc0\x80\"",
		"\"\xed\xa0\x80\"", "\"\xf5\x80\x80\x80\"", "01", "-", "1.", "1e", "+1",
		".5", "NaN", "nul", "truex", "1 2", "{\"a\":1,\"a\":2}",
		"[[[[[[[[[1]]]]]]]]]", "]", "{]",
	};
	struct parsed p;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		bool taken = parse(&p, bad[i]);

		EXPECT(!taken && p.doc.error && p.doc.at <= strlen(bad[i]));
	}
}

TEST(json_parse_is_bounded)
{
	char text[512] = "[";
	struct parsed p;

	for (unsigned int i = 0; i < 62; i++)
		strcat(text, "1,");
	strcat(text, "1]");
	EXPECT(parse(&p, text));
	text[strlen(text) - 1] = 0;
	strcat(text, ",1]");
	EXPECT(!parse(&p, text));
	EXPECT(parse(&p, "[[[[[[[[1]]]]]]]]"));
}

TEST(json_put_is_read_back)
{
	struct json_out o = { 0 };
	struct parsed p;

	json_open(&o, NULL, '{');
	json_put_string(&o, "s", "q\"\\\x01\xff");
	json_put_number(&o, "n", 7);
	json_open(&o, "l", '[');
	json_put_bool(&o, NULL, true);
	json_put_string(&o, NULL, NULL);
	json_close(&o, ']');
	json_close(&o, '}');
	EXPECT(!o.err);
	EXPECT(!strcmp(o.text,
		       "{\"s\":\"q\\\"\\\\\\u0001\xef\xbf\xbd\",\"n\":7,\"l\":[true,null]}"));
	EXPECT(parse(&p, o.text) && json_number_of(p.value, "n") == 7);
	json_out_free(&o);
}

TEST_MAIN(T(json_parse_takes_values),
	  T(json_parse_decodes_strings),
	  T(json_parse_refuses),
	  T(json_parse_is_bounded),
	  T(json_put_is_read_back))
