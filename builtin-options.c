// SPDX-License-Identifier: GPL-2.0-only
/*
 * The option parser.
 *
 * Theory of operation: a table names each option, its type and the field it
 * fills; help is printed from the same rows. --name VALUE, --name=VALUE, -n
 * VALUE and -nVALUE are understood. The first word that is no option, or
 * "--", ends them. Every error is one line in the report.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"

/* Seconds, so that nobody has to fear for their nanoseconds: a century */
#define TIME_MAX 3155760000L

int parse_number(const char *s, long *out)
{
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	*out = strtol(s, &end, 10);
	return errno || *end ? -EINVAL : 0;
}

int parse_size(const char *s, u64 *out)
{
	static const char units[] = "KMGT";
	unsigned int shift = 20;
	const char *unit;
	char *end;
	u64 v;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		unit = strchr(units, *end & ~0x20);
		if (!unit || !*unit || end[1])
			return -EINVAL;
		shift = 10 * (unit - units + 1);
	}
	if (!v || v > UINT64_MAX >> shift)
		return -EINVAL;
	*out = v << shift;
	return 0;
}

/* "30s", with s, m or h, else seconds. @out: seconds */
static int parse_time(const char *s, long *out)
{
	static const struct {
		char name;
		long seconds;
	} unit[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 0, 1 } };
	char *end;
	long v;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtol(s, &end, 10);
	if (errno)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(unit); i++) {
		if (*end != unit[i].name || (*end && end[1]))
			continue;
		if (v > TIME_MAX / unit[i].seconds)
			return -EINVAL;
		*out = v * unit[i].seconds;
		return 0;
	}
	return -EINVAL;
}

static int option_store(const struct option_desc *d, void *opts,
			const char *value, struct report *r)
{
	void *field = (char *)opts + d->off;
	int err = 0;

	switch (d->type) {
	case OPT_FLAG:
		*(bool *)field = true;
		return 0;
	case OPT_STRING:
		*(const char **)field = value;
		return 0;
	case OPT_SIZE:
		err = parse_size(value, field);
		break;
	case OPT_NUMBER:
		err = parse_number(value, field);
		break;
	case OPT_TIME:
		if (!parse_time(value, field))
			return 0;
		return report_error(r, 0,
			"--%s: \"%s\" is not a number of seconds, or one with s, m or h",
			d->name, value);
	case OPT_CALL:
		return d->call(opts, value, r);
	}
	if (err)
		report_error(r, 0, "--%s: bad value \"%s\"", d->name, value);
	return err;
}

static const struct option_desc *option_find(const struct option_desc *table,
					     const char *arg,
					     const char **value)
{
	size_t len;

	*value = NULL;
	if (arg[1] != '-') {
		for (; table->name; table++) {
			if (table->letter != arg[1])
				continue;
			if (arg[2])
				*value = arg + 2;
			return table;
		}
		return NULL;
	}
	arg += 2;
	len = strcspn(arg, "=");
	for (; table->name; table++) {
		if (strlen(table->name) != len ||
		    strncmp(table->name, arg, len))
			continue;
		if (arg[len])
			*value = arg + len + 1;
		return table;
	}
	return NULL;
}

/* One, and its value if that is a word of its own. Return: 0, -EINVAL with a report */
static int option_take(const struct option_desc *table, char **argv, int *at,
		       void *opts, struct report *r)
{
	const char *value, *arg = argv[*at];
	const struct option_desc *d = option_find(table, arg, &value);

	/* Of any command, also behind other options */
	for (const struct command *c = commands; !d && c->name; c++)
		if (c->options == table && !strcmp(arg, "--help"))
			exit(status_of_output(command_explain(c)));
	if (!d)
		return report_error(r, 0, "unknown option %s", arg);
	if (d->type == OPT_FLAG && value)
		return report_error(r, 0, "--%s takes no value", d->name);
	if (d->type != OPT_FLAG && !value) {
		value = argv[*at + 1];
		if (!value)
			return report_error(r, 0, "--%s needs a value", d->name);
		++*at;
	}
	return option_store(d, opts, value, r);
}

bool options_ended(const char *arg)
{
	return arg && !strcmp(arg, "--");
}

int options_scan(const struct option_desc *table, int argc, char **argv,
		 void *opts, struct report *r)
{
	int err = 0, i = 1;

	for (; i < argc && !options_ended(argv[i]); i++) {
		bool is_option = argv[i][0] == '-' && argv[i][1];

		if (!is_option && !err)
			break;
		/* Behind an error as well: where it is to be told may follow. */
		if (is_option && option_take(table, argv, &i, opts, r))
			err = -EINVAL;
	}
	return err ? err : i;
}

int options_parse(const struct option_desc *table, int argc, char **argv,
		  void *opts, struct report *r)
{
	int n = options_scan(table, argc, argv, opts, r);

	return n >= 0 && n < argc && options_ended(argv[n]) ? n + 1 : n;
}

int options_split(const struct option_desc *table, int argc, char **argv,
		  void *opts, struct report *r)
{
	int nr = 0;

	for (int at = 0, n; at + 1 < argc; at += n) {
		n = options_parse(table, argc - at, argv + at, opts, r);
		if (n < 0)
			return n;
		if (at + n == argc)
			break;
		/* What is no option moves to the front. */
		argv[1 + nr++] = argv[at + n];
	}
	return nr;
}

void options_print(const struct option_desc *table)
{
	for (; table->name; table++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", table->name,
			 table->arg ? " " : "", table->arg ? table->arg : "");
		if (table->letter)
			printf("  -%c, %-34s %s\n", table->letter, left,
			       table->help);
		else
			printf("      %-34s %s\n", left, table->help);
	}
}
