/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * JSON (RFC 8259), read and written: a parser that is strict and bounded, and a
 * buffer that values are appended to.
 */
#ifndef KVM__JSON_H
#define KVM__JSON_H

#include "kvm/types.h"

#define JSON_DEPTH_MAX 8
#define JSON_MEMBERS_MAX 64

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

/**
 * struct json_value - one value
 * @whole: a number without fraction and exponent that @number holds, and which
 *	is below zero if @negative
 * @key: in an object, NULL elsewhere; in the text
 * @string: of a string; in the text
 * @nr: how many values are in this array or object
 * @begin: where it begins in the text, in bytes
 * @end: the first byte behind it
 * @span: how many values of the document this is, with all in it
 * @type: of the value
 * @number: of a number that is @whole: how far it is from 0
 * @negative: of such a number: it is below 0
 */
struct json_value {
	enum json_type type;
	bool whole;
	bool negative;
	u64 number;
	const char *key;
	const char *string;
	unsigned int nr;
	unsigned int span;
	size_t begin;
	size_t end;
};

/**
 * struct json_doc - a text taken apart
 * @value: room for @max values, the caller's; the first is the whole
 * @error: what is wrong, NULL if nothing is; at byte @at
 * @max: how many values there is room for
 * @nr: how many there are
 * @at: where @error is, in bytes
 */
struct json_doc {
	struct json_value *value;
	unsigned int max;
	unsigned int nr;
	const char *error;
	size_t at;
};

/**
 * json_parse() - one value, and nothing but white space behind it
 * @text: of @len bytes; strings are decoded in it, and end with 0
 *
 * Refused are: a key that is twice in an object, what is nested deeper than
 * JSON_DEPTH_MAX, more than JSON_MEMBERS_MAX members, bytes that are not UTF-8
 * and a string that has U+0000 in it.
 * Return: 0, or -EINVAL with @doc->error.
 */
int json_parse(struct json_doc *doc, char *text, size_t len);
/** json_member() - of an object; NULL when there is none, or @o is no object */
const struct json_value *json_member(const struct json_value *o,
				     const char *key);
/** json_first() - in an array or object, NULL when that is empty */
const struct json_value *json_first(const struct json_value *in);
/** json_next() - the @n-th value in @in after @v; NULL at the end */
const struct json_value *json_next(const struct json_value *in,
				   const struct json_value *v);
/** json_string_of() - a member's string, NULL when it is none */
const char *json_string_of(const struct json_value *o, const char *key);
/** json_number_of() - a member's number, 0 when it is none */
u64 json_number_of(const struct json_value *o, const char *key);

/**
 * struct json_out - text that grows
 * @text: @len bytes, ends with 0 behind them; NULL while empty
 * @err: -ENOMEM from the first failure on; nothing is appended then
 * @size: bytes allocated for @text
 */
struct json_out {
	char *text;
	size_t len;
	size_t size;
	int err;
};

/*
 * What these append is a member of an object if @key is not NULL. Commas come by
 * themselves.
 */

/** json_open() - @bracket: { or [ */
void json_open(struct json_out *o, const char *key, char bracket);
/** json_close() - @bracket: } or ] */
void json_close(struct json_out *o, char bracket);
/** json_put_string() - bytes that are not UTF-8 become U+FFFD; NULL: null */
void json_put_string(struct json_out *o, const char *key, const char *s);
/** json_put_number() - in decimal */
void json_put_number(struct json_out *o, const char *key, u64 v);
/** json_put_bool() - true or false */
void json_put_bool(struct json_out *o, const char *key, bool v);
/** json_put_raw() - @len bytes of JSON as they are */
void json_put_raw(struct json_out *o, const char *key, const char *raw,
		  size_t len);
/** json_end_line() - a newline */
void json_end_line(struct json_out *o);
/** json_out_free() - free the text; @o is as zero-initialised */
void json_out_free(struct json_out *o);

#endif
