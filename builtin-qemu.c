// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm qemu.
 *
 * Theory of operation: the options that tools/testing/kunit and kvm-unit-tests
 * give to qemu-system-x86_64, as a table; what they mean is put into the options
 * of lkvm run, which does the rest. One or two dashes begin an option, and its
 * value is the next word. What has no meaning here because there is nothing to
 * be left out (-nodefaults, -vga none) is accepted; what would be another
 * machine than the one asked for is refused, but for the model of the CPU, of
 * which there is a warning. The main thread only.
 */
#include <stdio.h>
#include <string.h>

#include "builtin.h"

#define EXIT_PORT "isa-debug-exit"
#define ONLY_NONE " vnc vga monitor parallel net nic "
#define NO_EFFECT " nographic nodefaults no-user-config enable-kvm "

/* One of the words of @list, which has spaces between and around them */
static bool is_one_of(const char *value, const char *list)
{
	char word[32];

	snprintf(word, sizeof(word), " %.29s ", value);
	return *value && strlen(value) < 30 && !strchr(value, ' ') &&
	       strstr(list, word);
}

static int refuse(const char *option, const char *value, struct report *r)
{
	return report_error(r, 0, "-%s %s is not what lkvm can do", option,
			    value);
}

static int opt_m(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;

	value += strncmp(value, "size=", 5) ? 0 : 5;
	return parse_size(value, &o->mem) ? refuse("m", value, r) : 0;
}

static int opt_smp(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;

	value += strncmp(value, "cpus=", 5) ? 0 : 5;
	return parse_number(value, &o->cpus) ? refuse("smp", value, r) : 0;
}

/* Each that is named is one more that would do: kvm has to be among them. */
static int opt_accel(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;

	(void)r;
	if (is_one_of(value, " kvm kvm:tcg "))
		o->accel = "kvm";
	else if (!o->accel)
		o->accel = value;
	return 0;
}

static int opt_machine(void *opts, const char *value, struct report *r)
{
	(void)opts;
	return is_one_of(value, " pc q35 accel=kvm accel=kvm:tcg pc,accel=kvm q35,accel=kvm ") ?
	       0 : refuse("machine", value, r);
}

/* Which is no error, since tests name a model for no more than one feature. */
static int opt_cpu(void *opts, const char *value, struct report *r)
{
	(void)opts;
	(void)r;
	if (!is_one_of(value, " host max host,migratable=no max,migratable=no "))
		fprintf(stderr, "lkvm: warning: -cpu %s: it is the host's CPU\n",
			value);
	return 0;
}

static int opt_serial(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;

	if (o->log || o->console)
		return report_error(r, 0, "-serial: more than one");
	/* It is the default, and is noted for the line above. */
	o->console = "serial";
	if (is_one_of(value, " stdio mon:stdio "))
		return 0;
	if (is_one_of(value, " none null "))
		o->log = "/dev/null";
	else if (!strncmp(value, "file:", 5) && value[5])
		o->log = value + 5;
	else
		return refuse("serial", value, r);
	return 0;
}

static int opt_device(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;

	if (!strcmp(value, "pc-testdev"))
		o->testdev = true;
	else if (!strcmp(value, "virtio-rng-pci"))
		o->rng = true;
	else if (strcmp(value, EXIT_PORT ",iobase=0xf4") &&
		 strcmp(value, EXIT_PORT ",iobase=0xf4,iosize=0x4") &&
		 strcmp(value, EXIT_PORT ",iobase=0xf4,iosize=0x04"))
		return refuse("device", value, r);
	return 0;
}

/* What there is none of */
static int opt_none(void *opts, const char *value, struct report *r)
{
	(void)opts;
	if (!strcmp(value, "none"))
		return 0;
	return report_error(r, 0, "%s: only \"none\" is supported", value);
}

static int opt_ignored(void *opts, const char *value, struct report *r)
{
	(void)opts;
	(void)value;
	(void)r;
	return 0;
}

#define QEMU_OPT(n, t, a, f, h) \
	{ n, 0, t, a, h, offsetof(struct run_options, f), NULL }
#define QEMU_CALL(n, a, c, h) { n, 0, OPT_CALL, a, h, 0, c }

const struct option_desc qemu_options[] = {
	QEMU_OPT("kernel", OPT_STRING, "FILE", kernel,
		 "bzImage, vmlinux or multiboot kernel"),
	QEMU_OPT("append", OPT_STRING, "TEXT", params, "kernel command line"),
	QEMU_OPT("initrd", OPT_STRING, "FILE", initrd,
		 "initial ramdisk, or multiboot module"),
	QEMU_CALL("m", "[size=]SIZE", opt_m, "guest memory, 128M by default"),
	QEMU_CALL("smp", "[cpus=]N", opt_smp, "number of CPUs, 1 by default"),
	QEMU_OPT("name", OPT_STRING, "NAME", name, "name of the VM"),
	QEMU_CALL("serial", "stdio|file:FILE|none", opt_serial,
		  "where the console goes, stdio by default"),
	QEMU_CALL("device",
		  "pc-testdev|" EXIT_PORT ",iobase=0xf4|virtio-rng-pci",
		  opt_device, "a device; help lists them"),
	QEMU_CALL("accel", "kvm", opt_accel, "there is no other"),
	QEMU_CALL("machine", "pc|q35|accel=kvm", opt_machine,
		  "the same machine for all; also M"),
	QEMU_CALL("cpu", "host|max", opt_cpu, "the host's, with a warning for others"),
	QEMU_CALL("bios", "FILE", opt_ignored, "no effect: there is no firmware"),
	QEMU_OPT("no-reboot", OPT_FLAG, NULL, unused,
		 "no effect, nor has" NO_EFFECT),
	QEMU_CALL("display", "none", opt_none,
		  "there is no other; also" ONLY_NONE),
	QEMU_OPT("dry-run", OPT_FLAG, NULL, dry_run,
		 "lkvm's own: print the machine and do not run it"),
	QEMU_OPT("json", OPT_FLAG, NULL, json, "lkvm's own: print it as JSON"),
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

static const struct option_desc *find(const char *arg)
{
	const struct option_desc *d = qemu_options;
	const char *name = arg + (*arg == '-');

	name += *name == '-';
	if (is_one_of(name, ONLY_NONE))
		name = "display";
	else if (is_one_of(name, NO_EFFECT))
		name = "no-reboot";
	else if (!strcmp(name, "M"))
		name = "machine";
	while (d->name && (*arg != '-' || strcmp(d->name, name)))
		d++;
	return d->name ? d : NULL;
}

/* Our names have two dashes. Return: as options_parse() */
static int parse_one(const struct option_desc *d, char *value, void *o,
		     struct report *r)
{
	char name[32];
	char *argv[3] = { NULL, name, value };
	int n;

	snprintf(name, sizeof(name), "--%s", d->name);
	n = options_parse(qemu_options, value ? 3 : 2, argv, o, r);
	return n < 0 ? n : 0;
}

static int qemu_options_get(struct run_options *o, int argc, char **argv,
			    struct report *r)
{
	int err = 0;

	o->mem = 128 * SZ_1M;
	o->cpus = 1;
	o->nodefaults = true;
	o->as_qemu = true;
	for (int i = 1; i < argc && !err; i++) {
		const struct option_desc *d = find(argv[i]);
		char *value = NULL;

		if (!d)
			return report_error(r, 0, "%s: QEMU option not supported by lkvm",
					    argv[i]);
		if (d->type != OPT_FLAG)
			value = argv[++i];
		err = parse_one(d, value, o, r);
	}
	if (!err && o->accel && strcmp(o->accel, "kvm"))
		err = refuse("accel", o->accel, r);
	if (!err && !o->kernel)
		err = report_error(r, 0, "qemu: no -kernel");
	return err;
}

/* In the form that scripts look for */
static int list_devices(void)
{
	printf("name \"pc-testdev\", bus ISA\n"
	       "name \"" EXIT_PORT "\", bus ISA\n"
	       "name \"virtio-rng-pci\", bus PCI\n");
	return 0;
}

static int print_help(void)
{
	char command[] = "help", name[] = "qemu";
	char *argv[2] = { command, name };

	return cmd_help(2, argv);
}

int cmd_qemu(int argc, char **argv)
{
	const char *first = argc > 1 ? argv[1] : "";

	if (is_one_of(first, " -h -help --help "))
		return print_help();
	if (is_one_of(first, " -version --version "))
		return cmd_version(1, argv);
	if (argc == 3 && is_one_of(first, " -device --device ") &&
	    is_one_of(argv[2], " help ? "))
		return list_devices();
	return run_with(qemu_options_get, argc, argv);
}
