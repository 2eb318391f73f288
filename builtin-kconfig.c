// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm config, lkvm check.
 *
 * Theory of operation: both compare a kernel's configuration with the fragment
 * that lkvm carries. config prints the fragment, or what is missing in a .config,
 * or adds that to it. check looks at this host and at the configuration of the kernel that
 * lkvm run would boot. Status 1 says that something is missing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/kconfig.h"

#define STATUS_MISSING 1

struct kconfig_options {
	bool print;
	bool check;
	bool fix;
};

#define KCONFIG_OPT(n, f, h) \
	{ n, 0, OPT_FLAG, NULL, h, offsetof(struct kconfig_options, f), NULL }

const struct option_desc config_options[] = {
	KCONFIG_OPT("print", print, "print the fragment"),
	KCONFIG_OPT("check", check, "say what FILE lacks, and what that costs"),
	KCONFIG_OPT("fix", fix, "add to FILE what it lacks"),
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

static unsigned int missing_print(const char *config)
{
	struct kconfig_option o = { "", "", "" };
	const char *at = guest_kconfig();
	unsigned int n = 0;

	while (kconfig_next(&at, &o)) {
		if (kconfig_satisfied(config, &o))
			continue;
		printf("CONFIG_%s=%s\tmissing: %s\n", o.name, o.value,
		       kconfig_cost(&o));
		n++;
	}
	return n;
}

static int config_fix(const char *path, const char *config, struct report *r)
{
	char *more = NULL;
	unsigned int n = 0;
	size_t size;
	FILE *f = open_memstream(&more, &size);
	int err = 0;

	if (f)
		n = dotconfig_missing(f, guest_kconfig(), config);
	if (!f || fclose(f))
		err = report_error(r, ENOMEM, "config %s", path);
	else if (n)
		err = dotconfig_extend(path, config, more, n, r);
	free(more);
	return err;
}

/*
 * That of the build whose kernel is run, or, if none is built yet, of where we are.
 * Return: 0 or -errno with a report
 */
static int config_find(char *path, size_t size, struct report *r)
{
	struct report none = { "" };
	struct discover d;

	discover_find(&d, NULL, &none);
	if (!d.build[0])
		snprintf(d.build, sizeof(d.build), ".");
	if (snprintf(path, size, "%s/.config", d.build) < (int)size &&
	    !access(path, R_OK))
		return 0;
	return report_error(r, errno, "config %s", path);
}

static int fail(const struct report *r)
{
	fprintf(stderr, "lkvm: %s\n", r->msg);
	return STATUS_ERROR;
}

int cmd_config(int argc, char **argv)
{
	struct kconfig_options o = { .print = false };
	char path[DISCOVER_PATH] = "", *config;
	struct report r = { "" };
	unsigned int missing = 0;
	int n = options_parse(config_options, argc, argv, &o, &r);

	if (n >= 0 && o.print + o.check + o.fix != 1)
		n = report_error(&r, 0, "config: needs one of --print, --check and --fix");
	else if (n >= 0 && (argc - n > 1 || (o.print && n < argc)))
		n = report_error(&r, 0, "unexpected argument %s", argv[argc - 1]);
	if (n < 0)
		return fail(&r);
	if (o.print) {
		fputs(guest_kconfig(), stdout);
		return 0;
	}
	if (n < argc)
		snprintf(path, sizeof(path), "%s", argv[n]);
	else if (config_find(path, sizeof(path), &r))
		return fail(&r);
	config = dotconfig_read(path, o.fix, &r);
	if (!config)
		return fail(&r);
	n = 0;
	if (o.check)
		missing = missing_print(config);
	else
		n = config_fix(path, config, &r);
	free(config);
	if (n)
		return fail(&r);
	return missing ? STATUS_MISSING : 0;
}

static bool check_path(const char *path, int mode, const char *cost)
{
	if (!access(path, mode)) {
		printf("ok       %s\n", path);
		return true;
	}
	printf("missing  %s: %s: %s\n", path, strerror(errno), cost);
	return false;
}

static bool check_program(const char *name, const char *cost)
{
	const char *path = getenv("PATH");
	char file[DISCOVER_PATH];

	while (path && *path) {
		int len = strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/%s", len, path, name);
		if (!access(file, X_OK)) {
			printf("ok       %s\n", file);
			return true;
		}
		path += len + (path[len] == ':');
	}
	printf("missing  %s: %s\n", name, cost);
	return false;
}

/* Return: how many options are missing, as far as that is known */
static unsigned int check_config(const struct discover *d)
{
	char path[DISCOVER_PATH + 64], release[128] = "";
	struct report r = { "" };
	unsigned int missing;
	char *config;

	if (d->build[0]) {
		snprintf(path, sizeof(path), "%s/.config", d->build);
	} else {
		discover_release(d->kernel, release, sizeof(release));
		snprintf(path, sizeof(path), "/boot/config-%s", release);
	}
	config = dotconfig_read(path, false, &r);
	if (!config) {
		printf("unknown  %s\n", r.msg);
		return 0;
	}
	printf("config   %s\n", path);
	missing = missing_print(config);
	free(config);
	return missing;
}

int cmd_check(int argc, char **argv)
{
	struct report r = { "" };
	struct discover d;
	bool ok;

	if (argc > 1) {
		report_error(&r, 0, "unexpected argument %s", argv[1]);
		return fail(&r);
	}
	ok = check_path("/dev/kvm", R_OK | W_OK,
			"nothing can be run; join its group, or load a kvm module");
	check_path("/dev/vhost-net", R_OK | W_OK, "no -n tap,vhost");
	check_path("/dev/vhost-vsock", R_OK | W_OK, "no --vsock CID,vhost");
	check_path("/dev/net/tun", R_OK | W_OK, "no -n tap");
	check_program("passt", "no -n user");
	if (discover_find(&d, NULL, &r)) {
		printf("missing  %s\n", r.msg);
		if (d.build[0])
			check_config(&d);
		return STATUS_MISSING;
	}
	if (access(d.kernel, R_OK))
		ok = check_path(d.kernel, R_OK, "it is what would be run");
	else
		printf("kernel   %s\n", d.kernel);
	return check_config(&d) || !ok ? STATUS_MISSING : 0;
}
