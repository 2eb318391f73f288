// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm help, lkvm version.
 *
 * Theory of operation: both print from the tables that the parser uses.
 */
#include <stdio.h>
#include <string.h>

#include "builtin.h"

#ifndef LKVM_VERSION
#define LKVM_VERSION "unknown"
#endif

int cmd_version(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--build-options")) {
		printf("io_uring: by system calls\n");
		return 0;
	}
	if (argc > 1) {
		fprintf(stderr, "lkvm: version: unknown option %s\n", argv[1]);
		return STATUS_ERROR;
	}
	printf("lkvm %s\n", LKVM_VERSION);
	return 0;
}

int cmd_help(int argc, char **argv)
{
	if (argc < 2 || argv[0][0] == '-') {
		printf("usage: lkvm COMMAND [OPTION...]\n\n");
		for (const struct command *c = commands; c->name; c++)
			printf("  %-10s %s\n", c->name, c->help);
		printf("\nlkvm help COMMAND lists its options.\n");
		return 0;
	}
	for (const struct command *c = commands; c->name; c++) {
		if (strcmp(c->name, argv[1]))
			continue;
		printf("lkvm %s: %s\n", c->name, c->help);
		if (c->options) {
			printf("\nusage: lkvm %s [OPTION...]\n\n", c->name);
			options_print(c->options);
		}
		return 0;
	}
	fprintf(stderr, "lkvm: help: no command %s\n", argv[1]);
	return STATUS_ERROR;
}
