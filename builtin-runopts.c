// SPDX-License-Identifier: GPL-2.0-only
/*
 * The options of lkvm run.
 *
 * Theory of operation: a table that the parser, the help and the man page read.
 * An option with words of its own copies its argument and takes the copy apart;
 * what is in the options points into it until run_options_free(). What words
 * mean together is builtin-config.c's to decide. Main thread; no KVM.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"

int opt_disk(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;
	struct machine_disk *d;
	char *copy, *word, *rest;

	if (o->nr_disks == MACHINE_MAX_DISKS)
		return report_error(r, 0, "--disk: more than %d disks",
				    MACHINE_MAX_DISKS);
	copy = strdup(value);
	if (!copy)
		return report_error(r, ENOMEM, "--disk");
	d = &o->disk[o->nr_disks++];
	rest = copy;
	d->opts.path = strsep(&rest, ",");
	while ((word = strsep(&rest, ","))) {
		if (!strcmp(word, "ro") || !strcmp(word, "readonly"))
			d->opts.readonly = true;
		else if (!strcmp(word, "direct"))
			d->opts.direct = true;
		else if (!strncmp(word, "serial=", 7) && strlen(word) <= 27)
			d->serial = word + 7;
		else if (!strncmp(word, "serial=", 7))
			return report_error(r, 0,
				"disk %s: serial is longer than 20 characters",
				d->opts.path);
		else
			return report_error(r, 0, "disk %s: unknown word \"%s\"",
					    d->opts.path, word);
	}
	if (!*d->opts.path)
		return report_error(r, 0, "--disk: no path");
	return 0;
}

static int opt_vsock(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;
	struct machine_vsock *v = &o->vsock;
	char *rest = strdup(value), *word;
	long cid;

	if (!rest)
		return report_error(r, ENOMEM, "--vsock");
	free(o->vsock_text);
	o->vsock_text = rest;
	memset(v, 0, sizeof(*v));
	word = strsep(&rest, ",");
	if (parse_number(word, &cid) || cid < 3 || cid > 0xfffffffeL)
		return report_error(r, 0,
				    "--vsock: CID \"%s\" is not 3 to 4294967294",
				    word);
	v->cid = cid;
	while ((word = strsep(&rest, ","))) {
		if (!strcmp(word, "vhost"))
			v->vhost = true;
		else if (!strncmp(word, "path=", 5) && word[5])
			v->path = word + 5;
		else
			return report_error(r, 0, "--vsock: unknown word \"%s\"",
					    word);
	}
	if (v->vhost && v->path)
		return report_error(r, 0, "--vsock: vhost has no path");
	return 0;
}

int opt_env(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;

	if (!*value || *value == '=')
		return report_error(r, 0, "--env: no name in \"%s\"", value);
	if (o->nr_env == RUN_MAX_ENV)
		return report_error(r, 0, "--env: more than %d", RUN_MAX_ENV);
	o->env[o->nr_env++] = value;
	return 0;
}

int fail_on_parse(u32 *splats, const char *value, struct report *r)
{
	char word[32];

	for (const char *at = value;; at++) {
		size_t n = strcspn(at, ",");
		u32 splat;

		snprintf(word, sizeof(word), "%.*s", (int)MIN(n, (size_t)31), at);
		splat = klog_splat(word);
		if (!splat)
			return report_error(r, 0,
				"--fail-on: \"%s\" is not oops, warn, kasan, lockdep or rcu",
				word);
		*splats |= splat;
		at += n;
		if (!*at)
			return 0;
	}
}

static int opt_fail_on(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;

	return fail_on_parse(&o->fail_on, value, r);
}

/* A word is kvmtool's: how much it says itself. We say nothing. */
static int opt_loglevel(void *opts, const char *value, struct report *r)
{
	static const char *const words[] = { "error", "warning", "info", "debug" };
	struct run_options *o = opts;

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(value, words[i])) {
			o->as_kvmtool = true;
			return 0;
		}
	if (!parse_number(value, &o->loglevel))
		return 0;
	return report_error(r, 0, "--loglevel: bad value \"%s\"", value);
}

/* "N" or "IN,OUT" */
static int port_fds(struct stream_opts *s, const char *arg)
{
	unsigned long in, out;
	char *end;

	in = strtoull(arg, &end, 10);
	out = in;
	if (*end == ',' && end != arg) {
		arg = end + 1;
		out = strtoull(arg, &end, 10);
	}
	s->in_fd = in;
	s->out_fd = out;
	return *end || end == arg || (in | out) > INT_MAX ? -EINVAL : 0;
}

int port_stream(struct machine_port *p, const char *kind, const char *arg,
		struct report *r)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(stream_kinds); i++) {
		if (strcmp(kind, stream_kinds[i]))
			continue;
		p->stream.kind = i;
		p->stream.arg = arg;
		if (i != STREAM_PTY && (!arg || !*arg))
			return report_error(r, 0, "port %s: %s needs an argument",
					    p->name, kind);
		if (i == STREAM_FD && port_fds(&p->stream, arg))
			return report_error(r, 0, "port %s: fd:%s is not N or IN,OUT",
					    p->name, arg);
		return 0;
	}
	return report_error(r, 0,
		"port %s: %s is not file, read, pipe, fd, unix or pty",
		p->name, kind);
}

static int opt_port(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;
	char *kind = strdup(value), *word, *arg;
	struct machine_port *p;

	if (!kind)
		return report_error(r, ENOMEM, "--port");
	if (o->nr_ports == MACHINE_MAX_PORTS) {
		free(kind);
		return report_error(r, 0, "--port: more than %d ports",
				    MACHINE_MAX_PORTS);
	}
	p = &o->port[o->nr_ports++];
	word = strsep(&kind, "=");
	p->name = strsep(&word, ",");
	if (!kind || !*p->name)
		return report_error(r, 0, "--port: %s is not NAME=KIND[:ARG]",
				    value);
	if (word && strcmp(word, "console"))
		return report_error(r, 0, "port %s: unknown word \"%s\"",
				    p->name, word);
	p->console = word;
	arg = strchr(kind, ':');
	if (arg)
		*arg++ = 0;
	return port_stream(p, kind, arg, r);
}

/* The words of a disk, of a port, are in a copy that begins with the first. */
void run_options_free(struct run_options *o)
{
	for (unsigned int i = 0; i < o->nr_disks; i++)
		free((char *)o->disk[i].opts.path);
	for (unsigned int i = 0; i < o->nr_nets; i++)
		free(o->net_text[i]);
	for (unsigned int i = 0; i < o->nr_ports; i++)
		free((char *)o->port[i].name);
	shares_free(o);
	free(o->vsock_text);
	free(o->config_command);
	free(o->config_text);
}

#define RUN_OPT(n, l, t, a, f, h) \
	{ n, l, t, a, h, offsetof(struct run_options, f), NULL }

#define OPT_USER RUN_OPT("user", 'u', OPT_STRING, "NAME|UID[:GID]", user, \
	"who the command runs as; by default who runs lkvm")
#define OPT_CHDIR RUN_OPT("chdir", 0, OPT_STRING, "DIR", chdir, \
	"where the command runs; by default the directory here")
#define OPT_ENV { "env", 0, OPT_CALL, "NAME[=VALUE]", \
	"one more variable for the command; repeatable", 0, opt_env }

const struct option_desc run_options[] = {
	RUN_OPT("kernel", 'k', OPT_STRING, "FILE|DIR", kernel,
		"bzImage or vmlinux to boot, or the tree it was built in"),
	RUN_OPT("initrd", 'i', OPT_STRING, "FILE", initrd, "initial ramdisk"),
	{ "disk", 'd', OPT_CALL, "PATH[,ro][,serial=S][,direct]",
	  "disk image or block device; repeatable", 0, opt_disk },
	RUN_OPT("mem", 'm', OPT_SIZE, "SIZE", mem, "guest memory, in MiB or with K M G"),
	RUN_OPT("cpus", 'c', OPT_NUMBER, "N", cpus, "number of CPUs"),
	RUN_OPT("params", 'p', OPT_STRING, "TEXT", params,
		"more kernel command line"),
	RUN_OPT("name", 0, OPT_STRING, "NAME", name, "name of the VM"),
	RUN_OPT("console", 0, OPT_STRING, "serial|virtio", console,
		"where the console is"),
	RUN_OPT("rng", 0, OPT_FLAG, NULL, rng, "add a virtio-rng device"),
	RUN_OPT("balloon", 0, OPT_FLAG, NULL, balloon,
		"add a virtio-balloon: unused memory goes back to the host"),
	{ "network", 'n', OPT_CALL,
	  "user|tap|socket|fd=N[,...]", "network interface; repeatable", 0,
	  opt_network },
	{ "vsock", 0, OPT_CALL, "CID[,path=P][,vhost]",
	  "add a virtio socket device with that address", 0, opt_vsock },
	{ "share", 0, OPT_CALL, "DIR[,tag=T][,ro]",
	  "share a directory by virtio-fs; repeatable", 0, opt_share },
	{ "ro", 0, OPT_CALL, "DIR[,tag=T]",
	  "the same, for reading only; repeatable", 0, opt_ro },
	{ "rw", 0, OPT_CALL, "DIR[,tag=T]",
	  "the same, for reading and writing; repeatable", 0, opt_rw },
	{ "9p", 0, OPT_CALL, "DIR,TAG[,ro]",
	  "share a directory by 9P, for kernels without virtio-fs; repeatable",
	  0, opt_9p },
	{ "port", 0, OPT_CALL, "NAME[,console]=KIND[:ARG]",
	  "a virtio port to file:, read:, pipe:, fd:, unix: or pty; repeatable",
	  0, opt_port },
	RUN_OPT("testdev", 0, OPT_FLAG, NULL, testdev,
		"add the test device that kvm-unit-tests expect"),
	RUN_OPT("virtio-transport", 0, OPT_STRING, "pci|mmio", transport,
		"how virtio devices are attached; mmio means no PCI"),
	RUN_OPT("disk-engine", 0, OPT_STRING, "auto|io_uring|threads", engine,
		"how disk I/O is done"),
	RUN_OPT("root", 0, OPT_STRING, "DIR", root,
		"the command's root, copy-on-write; by default that of the host"),
	RUN_OPT("root-disk", 0, OPT_FLAG, NULL, root_disk,
		"the command's root is the first disk"),
	RUN_OPT("shell", 0, OPT_FLAG, NULL, shell,
		"run a shell in the guest, with lkvm's own init"),
	OPT_USER, OPT_CHDIR, OPT_ENV,
	RUN_OPT("control", 0, OPT_STRING, "virtio|serial", control,
		"how the command's streams get in and out"),
	RUN_OPT("log", 0, OPT_STRING, "FILE", log,
		"write the guest's console there, not to the terminal"),
	{ "fail-on", 0, OPT_CALL, "KIND[,KIND...]",
	  "status 101 when the kernel reports oops, warn, kasan, lockdep or rcu",
	  0, opt_fail_on },
	RUN_OPT("bisect", 0, OPT_FLAG, NULL, bisect,
		"status 1 for all that is bad, 125 for what cannot be run"),
	RUN_OPT("nodefaults", 0, OPT_FLAG, NULL, nodefaults,
		"add nothing to the kernel command line"),
	{ "loglevel", 0, OPT_CALL, "N",
	  "the guest's console log level, 4 by default", 0, opt_loglevel },
	RUN_OPT("detach", 0, OPT_FLAG, NULL, detach,
		"return once the guest is up; it goes on without a terminal"),
	{ "config", 0, OPT_CALL, "FILE",
	  "the machine that --dry-run --json has printed; goes first", 0,
	  opt_config },
	RUN_OPT("dry-run", 0, OPT_FLAG, NULL, dry_run,
		"print the machine and do not run it"),
	RUN_OPT("json", 0, OPT_FLAG, NULL, json, "print JSON"),
	RUN_OPT("timing", 0, OPT_FLAG, NULL, timing,
		"print where the time went, at the end"),
	RUN_OPT("timeout", 0, OPT_TIME, "TIME", timeout,
		"end the VM after that long (30s, 5m, 1h), with status 124"),
	RUN_OPT("status", 0, OPT_STRING, "FILE", status,
		"write the cause of the end as JSON"),
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

const struct option_desc exec_options[] = {
	OPT_USER, OPT_CHDIR, OPT_ENV,
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

const struct option_desc cp_options[] = {
	OPT_USER, OPT_CHDIR,
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};
