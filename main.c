// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm: the virtual machine monitor of the Linux kernel tree.
 *
 * Theory of operation: one table of commands; each is a function in a file of
 * its own that parses its options and returns the exit status. Only this
 * file and builtin-*.c print to stderr or decide an exit status. Called by the
 * name of QEMU, all of the command line is that of lkvm qemu.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "builtin.h"

#define QEMU_NAME "qemu-system-x86_64"

const struct command commands[] = {
	{ "run", "boot a kernel in a virtual machine",
	  "[OPTION...] [NAME] [-- COMMAND...]", cmd_run, run_options },
	{ "sandbox", "run a command in one: the same as run -- COMMAND",
	  "[OPTION...] -- COMMAND...", cmd_sandbox, run_options },
	{ "list", "the VMs that are running",
	  "[OPTION...]", cmd_list, list_options },
	{ "stop", "have a VM power off, or end it",
	  "[OPTION...] NAME...|--all", cmd_stop, stop_options },
	{ "pause", "stop a VM's CPUs and devices for a while",
	  "NAME", cmd_pause, NULL },
	{ "resume", "have a paused VM go on",
	  "NAME", cmd_resume, NULL },
	{ "reset", "have a VM start over with its kernel",
	  "NAME", cmd_reset, NULL },
	{ "balloon", "take memory from a guest, or give it back",
	  "[OPTION...] NAME [SIZE]", cmd_balloon, balloon_options },
	{ "stat", "what is counted of a VM",
	  "[OPTION...] NAME", cmd_stat, stat_options },
	{ "console", "attach to the console of a VM",
	  "[OPTION...] NAME", cmd_console, console_options },
	{ "debug", "look into a VM",
	  "[OPTION...] NAME", cmd_debug, debug_options },
	{ "wait", "until a VM has ended; the status is its own",
	  "NAME", cmd_wait, NULL },
	{ "exec", "run one more command in a VM",
	  "[OPTION...] NAME -- COMMAND...", cmd_exec, exec_options },
	{ "sh", "a shell in a VM",
	  "[OPTION...] NAME", cmd_sh, exec_options },
	{ "cp", "copy files into a VM, or out of it",
	  "[OPTION...] FILE NAME:FILE | NAME:FILE FILE", cmd_cp, cp_options },
	{ "attach", "give a VM a disk, an interface, a directory while it runs",
	  "[OPTION...] NAME", cmd_attach, attach_options },
	{ "detach", "take one away again",
	  "[OPTION...] NAME DEVICE...", cmd_detach, detach_options },
	{ "api", "say anything to a VM's control socket",
	  "schema | NAME REQUEST", cmd_api, NULL },
	{ "qemu", "boot a kernel, with options of QEMU (qemu-system-x86_64)",
	  "[OPTION...]", cmd_qemu, qemu_options },
	{ "setup", "make a guest with directories of its own, for run NAME",
	  "NAME", cmd_setup, NULL },
	{ "test", "run kselftest collections or KUnit suites",
	  "[OPTION...] [--merge DIR...]", cmd_test, test_options },
	{ "check", "what this host and its kernel lack",
	  "", cmd_check, NULL },
	{ "config", "how a guest's kernel is to be configured",
	  "[OPTION...] [FILE]", cmd_config, config_options },
	{ "version", "print the version",
	  "[OPTION...]", cmd_version, version_options },
	{ "help", "explain a command",
	  "[OPTION...] [COMMAND]", cmd_help, help_options },
	{ NULL, NULL, NULL, NULL, NULL },
};

int fail_with(const char *what, const char *why)
{
	struct report r = { "" };

	report_error(&r, 0, "%.200s: %s", what, why);
	return fail_report(&r);
}

int fail_report(const struct report *r)
{
	fprintf(stderr, "lkvm: %s\n", r->msg);
	return STATUS_ERROR;
}

/*
 * If stdout could not be written the command failed: 0 becomes 125. A 125 has been
 * reported already.
 */
int status_of_output(int status)
{
	errno = 0;
	if ((!fflush(stdout) && !ferror(stdout)) || status == STATUS_ERROR)
		return status;
	fail_with("stdout", errno ? strerror(errno) : "cannot be written");
	return status ? status : STATUS_ERROR;
}

static int run_command(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "help";
	const char *base = argc ? strrchr(argv[0], '/') : NULL;
	const char *first = argc > 2 ? argv[2] : "";

	/* SIGCHLD may be inherited as ignored; waitpid() needs the default. */
	signal(SIGCHLD, SIG_DFL);
	base = base ? base + 1 : argc ? argv[0] : "";
	if (!strcmp(base, QEMU_NAME))
		return cmd_qemu(argc, argv);
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	if (!strcmp(name, "--version"))
		name = "version";
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return !strcmp(first, "--help") || !strcmp(first, "-h") ?
			       command_explain(c) : c->run(argc - 1, argv + 1);
	return fail_with(name, "no such command; see lkvm help");
}

int main(int argc, char **argv)
{
	streams_hold();
	return status_of_output(run_command(argc, argv));
}
