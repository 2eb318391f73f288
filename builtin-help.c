// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm help, lkvm version.
 *
 * Theory of operation: both print from tables: help, and what completes command
 * lines in bash, from those that the parser uses, version from what the Makefile
 * found out (scripts/features).
 */
#include <stdio.h>
#include <string.h>

#include "builtin.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* What may be absent, and what is lost with it */
static const struct build_option {
	const char *name;
	bool on;
	const char *what;
} build_options[] = {
	{ "io_uring", LKVM_HAVE_URING,
	  "--disk-engine io_uring; needs headers of Linux 6.1" },
};

static void print_build_options(void)
{
	printf("compiler: %s\n", COMPILER);
	printf("headers: of %s\n", LKVM_HEADERS);
	for (size_t i = 0; i < ARRAY_SIZE(build_options); i++)
		printf("%s: [ %-3s ]  # %s\n", build_options[i].name,
		       build_options[i].on ? "on" : "off",
		       build_options[i].what);
}

const char lkvm_version[] = LKVM_VERSION;

/* Each has one option, a flag. */
const struct option_desc version_options[] = {
	{ "build-options", 0, OPT_FLAG, NULL,
	  "print what it was built with, and which parts it has", 0, NULL },
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

const struct option_desc help_options[] = {
	{ "completion", 0, OPT_FLAG, NULL,
	  "print what completes command lines in bash", 0, NULL },
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

/* @max: arguments behind options. Return: as options_parse(), after it was said why not */
static int parse(const struct option_desc *table, int argc, char **argv,
		 bool *flag, int max)
{
	struct report r = { "" };
	int n = options_parse(table, argc, argv, flag, &r);

	if (n >= 0 && argc - n > (*flag ? 0 : max))
		n = report_error(&r, 0, "unexpected argument %s", argv[argc - 1]);
	if (n < 0)
		fail_with(max ? "help" : "version", r.msg);
	return n;
}

int cmd_version(int argc, char **argv)
{
	bool flag = false;

	if (parse(version_options, argc, argv, &flag, 0) < 0)
		return STATUS_ERROR;
	if (flag)
		print_build_options();
	else
		printf("lkvm %s\n", LKVM_VERSION);
	return 0;
}

/*
 * What of the first word names a running VM is asked of lkvm list. Behind -- there
 * is the command of somebody else.
 */
static const char completion_tail[] =
	"\tesac\n"
	"\tCOMPREPLY=()\n"
	"\tcase \" ${COMP_WORDS[*]:2:COMP_CWORD-2} \" in\n"
	"\t*' -- '*) return ;;\n"
	"\tesac\n"
	"\tcase ${COMP_WORDS[1]}:$cur in\n"
	"\t*:-*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
	"\thelp:*) COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\")) ;;\n"
	"\tsandbox:*|run:*|qemu:*|setup:*|test:*|check:*|config:*|version:*) ;;\n"
	"\t*) COMPREPLY=($(compgen -W \"$(lkvm list 2>/dev/null |\n"
	"\t\tsed '1d;s/ .*//')\" -- \"$cur\")) ;;\n"
	"\tesac\n"
	"}\n"
	"complete -o default -F _lkvm lkvm\n";

static void print_completion(void)
{
	printf("_lkvm() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words= commands='");
	for (const struct command *c = commands; c->name; c++)
		printf("%s ", c->name);
	printf("'\n\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
	       "\t\tCOMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))\n"
	       "\t\treturn\n\tfi\n"
	       "\tcase ${COMP_WORDS[1]} in\n");
	for (const struct command *c = commands; c->name; c++) {
		if (!c->options)
			continue;
		printf("\t%s) words='", c->name);
		for (const struct option_desc *o = c->options; o->name; o++)
			printf("--%s ", o->name);
		printf("' ;;\n");
	}
	fputs(completion_tail, stdout);
}

int command_explain(const struct command *c)
{
	printf("lkvm %s: %s\n\nusage: lkvm %s%s%s\n", c->name, c->help, c->name,
	       *c->args ? " " : "", c->args);
	if (c->options) {
		putchar('\n');
		options_print(c->options);
	}
	return 0;
}

int cmd_help(int argc, char **argv)
{
	bool flag = false;
	int n = parse(help_options, argc, argv, &flag, 1);

	if (n < 0)
		return STATUS_ERROR;
	if (flag) {
		print_completion();
		return 0;
	}
	if (n >= argc) {
		printf("usage: lkvm COMMAND [OPTION...]\n\n");
		for (const struct command *c = commands; c->name; c++)
			printf("  %-10s %s\n", c->name, c->help);
		printf("\nlkvm help COMMAND lists its options, as lkvm COMMAND --help does.\n");
		return 0;
	}
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, argv[n]))
			return command_explain(c);
	fprintf(stderr, "lkvm: help: no command %s\n", argv[n]);
	return STATUS_ERROR;
}
