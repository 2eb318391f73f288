// SPDX-License-Identifier: GPL-2.0-only
/*
 * JSON, RFC 8259.
 *
 * Theory of operation: one pass over the text makes an array of values in the
 * order in which they begin; each knows how many values it spans, so that who
 * looks for a member steps from one to the next without pointers. Strings are
 * decoded where they stand, since they never get longer by that. The parser
 * calls itself for what is nested, no deeper than JSON_DEPTH_MAX. All that is
 * not exactly JSON is refused, and some that is: see json_parse().
 *
 * The writer knows from the last byte whether a comma is due. No state, no locks.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/json.h"
#include "kvm/utf8.h"

/** struct reader - @at: next byte of @text; @doc gets values */
struct reader {
	struct json_doc *doc;
	char *text;
	size_t len;
	size_t at;
	unsigned int depth;
};

static int fail(struct reader *r, const char *why)
{
	if (!r->doc->error) {
		r->doc->error = why;
		r->doc->at = r->at;
	}
	return -EINVAL;
}

/* The next byte, 0 at the end; a 0 of the text is good for nothing either. */
static char peek(const struct reader *r)
{
	return r->at < r->len ? r->text[r->at] : 0;
}

static void skip_space(struct reader *r)
{
	while (peek(r) && strchr(" \t\r\n", peek(r)))
		r->at++;
}

static int take_hex(struct reader *r, u32 *out)
{
	static const char digits[] = "0123456789abcdef";
	u32 v = 0;

	for (unsigned int i = 0; i < 4; i++) {
		char c = peek(r);
		const char *d = c ? strchr(digits, c | (c > '9' ? 0x20 : 0)) : NULL;

		if (!d)
			return fail(r, "bad \\u escape");
		v = v << 4 | (u32)(d - digits);
		r->at++;
	}
	*out = v;
	return 0;
}

static size_t utf8_encode(char *to, u32 c)
{
	if (c < 0x80) {
		to[0] = c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = 0xc0 | c >> 6;
		to[1] = 0x80 | (c & 0x3f);
		return 2;
	}
	if (c < 0x10000) {
		to[0] = 0xe0 | c >> 12;
		to[1] = 0x80 | (c >> 6 & 0x3f);
		to[2] = 0x80 | (c & 0x3f);
		return 3;
	}
	to[0] = 0xf0 | c >> 18;
	to[1] = 0x80 | (c >> 12 & 0x3f);
	to[2] = 0x80 | (c >> 6 & 0x3f);
	to[3] = 0x80 | (c & 0x3f);
	return 4;
}

/* \uXXXX, the second half of a pair included; "\u" has been read. */
static int take_unicode(struct reader *r, u32 *c)
{
	u32 low;

	if (take_hex(r, c))
		return -EINVAL;
	if (!*c)
		return fail(r, "U+0000 in a string");
	if (*c < 0xd800 || *c > 0xdfff)
		return 0;
	if (*c > 0xdbff || r->len - r->at < 6 || r->text[r->at] != '\\' ||
	    r->text[r->at + 1] != 'u')
		return fail(r, "half of a surrogate pair");
	r->at += 2;
	if (take_hex(r, &low))
		return -EINVAL;
	if (low < 0xdc00 || low > 0xdfff)
		return fail(r, "half of a surrogate pair");
	*c = 0x10000 + ((*c & 0x3ff) << 10 | (low & 0x3ff));
	return 0;
}

static int take_escape(struct reader *r, char *to, size_t *n)
{
	static const char from[] = "\"\\/bfnrt", is[] = "\"\\/\b\f\n\r\t";
	const char *at = peek(r) ? strchr(from, peek(r)) : NULL;
	u32 c;

	if (!at && peek(r) != 'u')
		return fail(r, "bad escape");
	r->at++;
	if (at) {
		to[(*n)++] = is[at - from];
		return 0;
	}
	if (take_unicode(r, &c))
		return -EINVAL;
	*n += utf8_encode(to + *n, c);
	return 0;
}

/* From behind the first quote; what is decoded never reaches what is read. */
static int take_string(struct reader *r, const char **out)
{
	char *to = r->text + r->at;
	size_t n = 0;

	for (;;) {
		u8 c = peek(r);
		size_t len;

		if (r->at >= r->len)
			return fail(r, "string without an end");
		if (c < 0x20)
			return fail(r, "control character in a string");
		if (c == '"')
			break;
		if (c == '\\') {
			r->at++;
			if (take_escape(r, to, &n))
				return -EINVAL;
			continue;
		}
		len = utf8_length(r->text + r->at, r->len - r->at);
		if (!len)
			return fail(r, "not UTF-8");
		memmove(to + n, r->text + r->at, len);
		n += len;
		r->at += len;
	}
	r->at++;
	to[n] = 0;
	*out = to;
	return 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int take_digits(struct reader *r)
{
	if (!is_digit(peek(r)))
		return fail(r, "bad number");
	while (is_digit(peek(r)))
		r->at++;
	return 0;
}

static int take_number(struct reader *r, struct json_value *v)
{
	v->type = JSON_NUMBER;
	v->whole = true;
	v->negative = peek(r) == '-';
	r->at += v->negative;
	if (peek(r) == '0' && r->at + 1 < r->len && is_digit(r->text[r->at + 1]))
		return fail(r, "number with a leading zero");
	if (!is_digit(peek(r)))
		return fail(r, "bad number");
	for (; is_digit(peek(r)); r->at++)
		if (__builtin_mul_overflow(v->number, 10, &v->number) ||
		    __builtin_add_overflow(v->number, peek(r) - '0', &v->number))
			v->whole = false;
	if (peek(r) == '.') {
		v->whole = false;
		r->at++;
		if (take_digits(r))
			return -EINVAL;
	}
	if ((peek(r) | 0x20) != 'e')
		return 0;
	v->whole = false;
	r->at++;
	if (peek(r) == '+' || peek(r) == '-')
		r->at++;
	return take_digits(r);
}

static int take_word(struct reader *r, struct json_value *v)
{
	static const struct {
		const char *word;
		enum json_type type;
	} words[] = {
		{ "null", JSON_NULL }, { "false", JSON_FALSE },
		{ "true", JSON_TRUE },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++) {
		size_t len = strlen(words[i].word);

		if (r->len - r->at < len ||
		    memcmp(r->text + r->at, words[i].word, len))
			continue;
		r->at += len;
		v->type = words[i].type;
		return 0;
	}
	return fail(r, r->at < r->len ? "not a value" : "nothing where a value is due");
}

static int take_value(struct reader *r, const char *key);

/* The key and the colon of the next member of the object that is @index. */
static int take_key(struct reader *r, unsigned int index, const char **key)
{
	const struct json_value *o = &r->doc->value[index];

	if (peek(r) != '"')
		return fail(r, "no key where one is due");
	r->at++;
	if (take_string(r, key))
		return -EINVAL;
	for (unsigned int i = index + 1; i < r->doc->nr;
	     i += r->doc->value[i].span)
		if (!strcmp(r->doc->value[i].key, *key))
			return fail(r, "key given twice");
	if (o->nr == JSON_MEMBERS_MAX)
		return fail(r, "too many members");
	skip_space(r);
	if (peek(r) != ':')
		return fail(r, "no colon behind a key");
	r->at++;
	skip_space(r);
	return 0;
}

/* From behind the bracket; @index: of the array or object itself */
static int take_list(struct reader *r, unsigned int index, char end)
{
	const char *key = NULL;

	if (++r->depth > JSON_DEPTH_MAX)
		return fail(r, "nested too deep");
	skip_space(r);
	while (peek(r) != end || r->doc->value[index].nr) {
		if (end == '}' && take_key(r, index, &key))
			return -EINVAL;
		if (take_value(r, key))
			return -EINVAL;
		r->doc->value[index].nr++;
		skip_space(r);
		if (peek(r) == end)
			break;
		if (peek(r) != ',')
			return fail(r, "neither a comma nor the end");
		r->at++;
		skip_space(r);
	}
	r->at++;
	r->depth--;
	return 0;
}

static int take_value(struct reader *r, const char *key)
{
	struct json_doc *doc = r->doc;
	unsigned int index = doc->nr;
	struct json_value *v = &doc->value[index];
	char c = peek(r);
	int err;

	if (doc->nr == doc->max)
		return fail(r, "too many values");
	doc->nr++;
	*v = (struct json_value){ .key = key, .begin = r->at };
	if (c == '{' || c == '[') {
		v->type = c == '{' ? JSON_OBJECT : JSON_ARRAY;
		r->at++;
		err = take_list(r, index, c == '{' ? '}' : ']');
	} else if (c == '"') {
		v->type = JSON_STRING;
		r->at++;
		err = take_string(r, &v->string);
	} else if (c == '-' || is_digit(c)) {
		err = take_number(r, v);
	} else {
		err = take_word(r, v);
	}
	v->span = doc->nr - index;
	v->end = r->at;
	return err;
}

int json_parse(struct json_doc *doc, char *text, size_t len)
{
	struct reader r = { .doc = doc, .text = text, .len = len };

	doc->nr = 0;
	doc->error = NULL;
	skip_space(&r);
	if (take_value(&r, NULL))
		return -EINVAL;
	skip_space(&r);
	return r.at < len ? fail(&r, "more than one value") : 0;
}

const struct json_value *json_first(const struct json_value *in)
{
	return in && in->nr ? in + 1 : NULL;
}

const struct json_value *json_next(const struct json_value *in,
				   const struct json_value *v)
{
	v += v->span;
	return v < in + in->span ? v : NULL;
}

const struct json_value *json_member(const struct json_value *o,
				     const char *key)
{
	if (!o || o->type != JSON_OBJECT)
		return NULL;
	for (const struct json_value *v = json_first(o); v; v = json_next(o, v))
		if (!strcmp(v->key, key))
			return v;
	return NULL;
}

const char *json_string_of(const struct json_value *o, const char *key)
{
	const struct json_value *v = json_member(o, key);

	return v && v->type == JSON_STRING ? v->string : NULL;
}

u64 json_number_of(const struct json_value *o, const char *key)
{
	const struct json_value *v = json_member(o, key);

	return v && v->type == JSON_NUMBER && v->whole ? v->number : 0;
}

static void append(struct json_out *o, const char *d, size_t len)
{
	if (o->err)
		return;
	if (o->len + len >= o->size) {
		size_t size = MAX(o->size * 2, o->len + len + 256);
		char *text = realloc(o->text, size);

		if (!text) {
			o->err = -ENOMEM;
			return;
		}
		o->text = text;
		o->size = size;
	}
	memcpy(o->text + o->len, d, len);
	o->len += len;
	o->text[o->len] = 0;
}

static void append_quoted(struct json_out *o, const char *s)
{
	size_t left = strlen(s);
	char code[8];

	append(o, "\"", 1);
	while (left) {
		size_t n = utf8_length(s, left);

		if (!n) {
			append(o, "\xef\xbf\xbd", 3);
			n = 1;
		} else if (*s == '"' || *s == '\\') {
			code[0] = '\\';
			code[1] = *s;
			append(o, code, 2);
		} else if ((u8)*s < 0x20 || *s == 0x7f) {
			snprintf(code, sizeof(code), "\\u%04x", (u8)*s);
			append(o, code, 6);
		} else {
			append(o, s, n);
		}
		s += n;
		left -= n;
	}
	append(o, "\"", 1);
}

static void begin(struct json_out *o, const char *key)
{
	char last = o->len ? o->text[o->len - 1] : '\n';

	if (!strchr("{[:\n", last))
		append(o, ",", 1);
	if (!key)
		return;
	append_quoted(o, key);
	append(o, ":", 1);
}

void json_open(struct json_out *o, const char *key, char bracket)
{
	begin(o, key);
	append(o, &bracket, 1);
}

void json_close(struct json_out *o, char bracket)
{
	append(o, &bracket, 1);
}

void json_put_string(struct json_out *o, const char *key, const char *s)
{
	begin(o, key);
	if (s)
		append_quoted(o, s);
	else
		append(o, "null", 4);
}

void json_put_number(struct json_out *o, const char *key, u64 v)
{
	char text[24];

	begin(o, key);
	append(o, text, snprintf(text, sizeof(text), "%llu",
				 (unsigned long long)v));
}

void json_put_bool(struct json_out *o, const char *key, bool v)
{
	begin(o, key);
	append(o, v ? "true" : "false", v ? 4 : 5);
}

void json_put_raw(struct json_out *o, const char *key, const char *raw,
		  size_t len)
{
	begin(o, key);
	append(o, raw, len);
}

void json_end_line(struct json_out *o)
{
	append(o, "\n", 1);
}

void json_out_free(struct json_out *o)
{
	free(o->text);
	*o = (struct json_out){ 0 };
}
