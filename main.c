// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm: the virtual machine monitor of the Linux kernel tree.
 *
 * Theory of operation: one table of commands; each is a function in a file of
 * its own that parses its options and returns the exit status. Only this
 * file and builtin-*.c print to stderr or decide an exit status. Called by the
 * name of QEMU, all of the command line is that of lkvm qemu.
 */
#include <stdio.h>
#include <string.h>

#include "builtin.h"

#define QEMU_NAME "qemu-system-x86_64"

const struct command commands[] = {
	{ "run", "boot a kernel in a virtual machine", cmd_run, run_options },
	{ "sandbox", "run a command in one: the same as run -- COMMAND",
	  cmd_sandbox, run_options },
	{ "qemu", "boot a kernel, with options of QEMU (qemu-system-x86_64)",
	  cmd_qemu, qemu_options },
	{ "setup", "make a guest with directories of its own, for run NAME",
	  cmd_setup, NULL },
	{ "check", "what this host and its kernel lack", cmd_check, NULL },
	{ "config", "how a guest's kernel is to be configured", cmd_config,
	  config_options },
	{ "version", "print the version", cmd_version, NULL },
	{ "help", "explain a command", cmd_help, NULL },
	{ NULL, NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "help";
	const char *base = argc ? strrchr(argv[0], '/') : NULL;

	base = base ? base + 1 : argc ? argv[0] : "";
	if (!strcmp(base, QEMU_NAME))
		return cmd_qemu(argc, argv);
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	if (!strcmp(name, "--version"))
		name = "version";
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c->run(argc - 1, argv + 1);
	fprintf(stderr, "lkvm: %s: no such command; see lkvm help\n", name);
	return STATUS_ERROR;
}
