// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm: the virtual machine monitor of the Linux kernel tree.
 *
 * Theory of operation: one table of commands; each is a function in a file of
 * its own that parses its options and returns the exit status. Only this
 * file and builtin-*.c print to stderr or decide an exit status.
 */
#include <stdio.h>
#include <string.h>

#include "builtin.h"

const struct command commands[] = {
	{ "run", "boot a kernel in a virtual machine", cmd_run, run_options },
	{ "sandbox", "run a command in one: the same as run -- COMMAND",
	  cmd_sandbox, run_options },
	{ "list", "the VMs that are running", cmd_list, list_options },
	{ "stop", "have a VM power off, or end it", cmd_stop, stop_options },
	{ "pause", "stop a VM's CPUs and devices for a while", cmd_pause, NULL },
	{ "resume", "have a paused VM go on", cmd_resume, NULL },
	{ "balloon", "take memory from a guest, or give it back", cmd_balloon,
	  balloon_options },
	{ "stat", "what is counted of a VM", cmd_stat, stat_options },
	{ "console", "attach to the console of a VM", cmd_console,
	  console_options },
	{ "debug", "look into a VM", cmd_debug, debug_options },
	{ "wait", "until a VM has ended; the status is its own", cmd_wait, NULL },
	{ "attach", "give a VM a disk, an interface, a directory while it runs",
	  cmd_attach, attach_options },
	{ "detach", "take one away again", cmd_detach, detach_options },
	{ "api", "say anything to a VM's control socket", cmd_api, NULL },
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
