// SPDX-License-Identifier: GPL-2.0-only
/*
 * From options to a machine.
 *
 * Theory of operation: what the user said and the defaults become a struct
 * machine that says everything and depends on nothing else; --dry-run prints
 * it. Needs no KVM and opens no disk. Contradictions are refused here, with
 * one line. The main thread only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/control-path.h"
#include "kvm/unix.h"
#include "kvm/virtio.h"

#define MEM_MIN (16 * SZ_1M)
/* A slot has 2^31 - 1 pages at most; what is below 4 GiB has one of its own. */
#define MEM_MAX (8192 * SZ_1G)

const char *const stream_kinds[] = {
	[STREAM_FILE] = "file",
	[STREAM_READ] = "read",
	[STREAM_PIPE] = "pipe",
	[STREAM_FD] = "fd",
	[STREAM_UNIX] = "unix",
	[STREAM_PTY] = "pty",
};

/* Return: bytes that can be had; the page cache, full after a build, is among them */
static u64 mem_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	struct sysinfo si;
	char line[128];

	while (f && !kib && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu", &kib) != 1)
			kib = 0;
	if (f)
		fclose(f);
	if (kib)
		return kib * 1024;
	return sysinfo(&si) < 0 ? 0 : (u64)si.freeram * si.mem_unit;
}

static u64 default_mem(void)
{
	u64 mem = MIN(MAX(mem_available() / 4, 256 * SZ_1M), 2048 * SZ_1M);

	return mem & ~(SZ_1M - 1);
}

static unsigned int default_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : MIN(n, 8L);
}

static int resolve_kernel(struct run_config *c, const struct run_options *o,
			  struct report *r)
{
	int err = discover_find(&c->discover, o->kernel, r);

	c->machine.kernel = c->discover.kernel[0] ? c->discover.kernel : o->kernel;
	return err;
}

/* @word: the whole of one, or with "=" at its end how one begins */
static bool params_have(const char *params, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = params; (at = strstr(at, word)); at += len)
		if ((at == params || at[-1] == ' ') &&
		    (word[len - 1] == '=' || !at[len] || at[len] == ' '))
			return true;
	return false;
}

/* Up to which level messages are printed: of parameters that set it the last counts. */
static long console_level(const char *params)
{
	long level = 7;

	if (params_have(params, "ignore_loglevel"))
		return 15;
	while (*(params += strspn(params, " "))) {
		size_t len = strcspn(params, " ");

		if (len == 5 && !strncmp(params, "quiet", len))
			level = 4;
		else if (len == 5 && !strncmp(params, "debug", len))
			level = 10;
		else if (!strncmp(params, "loglevel=", 9))
			level = strtol(params + 9, NULL, 10);
		params += len;
	}
	return level;
}

bool run_is_bare(const struct run_options *o)
{
	const char *params = o->params ? o->params : "";

	return !o->command && !o->initrd && !o->nr_disks && !o->nodefaults &&
	       !o->console && !params_have(params, "root=") &&
	       !params_have(params, "init=") &&
	       !params_have(params, "rdinit=");
}

/* The whole of it is in the file, but for what was said beside. */
static int extend_cmdline(struct run_config *c, const struct run_options *o,
			  const char *init, struct report *r)
{
	long loglevel = o->loglevel >= 0 ? o->loglevel : o->log ? 7 :
			o->fail_on ? 5 : -1;
	char level[32] = "";
	const char *params = o->params ? o->params : "";

	if (strstr(o->cmdline, init))
		init = "";
	if (loglevel >= 0)
		snprintf(level, sizeof(level), " loglevel=%ld", loglevel);
	if (asprintf(&c->cmdline, "%s%s%s%s%s", o->cmdline, init, level,
		     *params ? " " : "", params) >= 0)
		return 0;
	c->cmdline = NULL;
	return report_error(r, ENOMEM, "params");
}

static int resolve_cmdline(struct run_config *c, const struct run_options *o,
			   struct report *r)
{
	const char *console = c->machine.console == CONSOLE_VIRTIO ?
			      "hvc0" : "ttyS0";
	const char *params = o->params ? o->params : "";
	bool has_root = params_have(params, "root=");
	char root[64] = "", level[32] = "";
	const char *init = c->machine.control ? " rdinit=/" GUEST_PROTO_INIT : "";
	/* Warnings are seen only if they are printed. */
	long loglevel = o->log ? 7 : o->fail_on ? 5 : 4;
	int n;

	if (o->cmdline)
		return extend_cmdline(c, o, init, r);
	if (o->nodefaults) {
		if (o->loglevel >= 0)
			snprintf(level, sizeof(level), " loglevel=%ld", o->loglevel);
		n = asprintf(&c->cmdline, "%s%s%s", params, level, init);
		if (n < 0)
			c->cmdline = NULL;
		return n < 0 ? report_error(r, ENOMEM, "params") : 0;
	}
	if (c->machine.nr_disks && !o->initrd && !has_root && !*init)
		snprintf(root, sizeof(root), " root=/dev/vda %s",
			 o->disk[0].opts.readonly ? "ro" : "rw");
	n = asprintf(&c->cmdline, "console=%s panic=-1 loglevel=%ld%s%s%s%s",
		     console, o->loglevel < 0 ? loglevel : o->loglevel, root,
		     init, *params ? " " : "", params);
	if (n < 0) {
		c->cmdline = NULL;
		return report_error(r, ENOMEM, "params");
	}
	return 0;
}

static int resolve_choices(struct machine *m, const struct run_options *o,
			   struct report *r)
{
	if (o->console && !strcmp(o->console, "virtio"))
		m->console = CONSOLE_VIRTIO;
	else if (o->console && strcmp(o->console, "serial"))
		return report_error(r, 0, "--console: %s is neither serial nor virtio",
				    o->console);
	if (o->cmdline && o->console != o->config_console)
		return report_error(r, 0,
				    "--console: the params of --config say where it is");
	if (o->transport && !strcmp(o->transport, "mmio"))
		m->transport = TRANSPORT_MMIO;
	else if (o->transport && strcmp(o->transport, "pci"))
		return report_error(r, 0, "--virtio-transport: %s is neither pci nor mmio",
				    o->transport);
	return 0;
}

/* A command or a shell in the guest need its init, and a way to it. */
static int resolve_control(struct machine *m, const struct run_options *o,
			   struct report *r)
{
	bool serial = o->control && !strcmp(o->control, "serial");

	if (o->control && !serial && strcmp(o->control, "virtio"))
		return report_error(r, 0, "--control: %s is neither virtio nor serial",
				    o->control);
	if (o->shell && o->command)
		return report_error(r, 0, "--shell: there is a command already");
	if (o->root_disk && !o->nr_disks)
		return report_error(r, 0, "--root-disk: no disk");
	if (!o->command && !o->shell) {
		if (o->root_disk || o->root || o->user || o->chdir || o->nr_env ||
		    o->control)
			return report_error(r, 0,
				"--root, --root-disk, --user, --chdir, --env and --control are for a command or --shell");
		return 0;
	}
	if (o->initrd && o->root)
		return report_error(r, 0,
			"--root cannot be combined with --initrd, which is the root");
	if (o->initrd && o->root_disk)
		return report_error(r, 0,
			"--root-disk cannot be combined with --initrd, which is the root");
	if (o->params && params_have(o->params, "rdinit="))
		return report_error(r, 0,
			"--params: rdinit= is set by lkvm with a command or --shell");
	if (o->root_disk && o->root)
		return report_error(r, 0,
			"--root cannot be combined with --root-disk, which is the root");
	m->control = serial ? CONTROL_SERIAL : CONTROL_VIRTIO;
	return 0;
}

/* Locks would tell, but not who has them. What is not there is for disk_open() to say. */
static bool disks_collide(const struct disk_opts *a, const struct disk_opts *b)
{
	struct stat x, y;

	return !(a->readonly && b->readonly) && !stat(a->path, &x) && !stat(b->path, &y) &&
	       x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int resolve_disks(struct machine *m, const struct run_options *o,
			 struct report *r)
{
	enum disk_engine engine = DISK_ENGINE_AUTO;

	if (o->engine && !strcmp(o->engine, "io_uring"))
		engine = DISK_ENGINE_URING;
	else if (o->engine && !strcmp(o->engine, "threads"))
		engine = DISK_ENGINE_THREADS;
	else if (o->engine && strcmp(o->engine, "auto"))
		return report_error(r, 0,
				    "--disk-engine: %s is not auto, io_uring or threads",
				    o->engine);
	m->nr_disks = o->nr_disks;
	for (unsigned int i = 0; i < o->nr_disks; i++) {
		m->disk[i] = o->disk[i];
		m->disk[i].opts.engine = engine;
		for (unsigned int n = 0; n < i; n++)
			if (disks_collide(&m->disk[n].opts, &m->disk[i].opts))
				return report_error(r, 0,
					"disk %s: is there twice",
					o->disk[i].opts.path);
	}
	return 0;
}

bool name_is_good(const char *name)
{
	return *name && strlen(name) < 64 && !name[strspn(name, NAME_CHARS)] &&
	       !strchr(".-", *name);
}

/* A name is also that of a file: what stop, list and the like find it by. */
static int resolve_name(struct run_config *c, const struct run_options *o,
			struct report *r)
{
	c->machine.name = c->name;
	if (!o->name) {
		snprintf(c->name, sizeof(c->name), "guest-%d", (int)getpid());
		return 0;
	}
	if (!*o->name || strlen(o->name) >= sizeof(c->name))
		return report_error(r, 0, "--name: not 1 to %zu characters",
				    sizeof(c->name) - 1);
	if (!name_is_good(o->name))
		return report_error(r, 0,
				    "--name: \"%s\" is not made of letters, digits and ._-",
				    o->name);
	memcpy(c->name, o->name, strlen(o->name) + 1);
	return 0;
}

/* The directory that @path is in; @c has room for that of any socket. */
static int vsock_dirname(struct run_config *c, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) + (slash == path) : 0;

	if (strlen(path) >= UNIX_PATH)
		return -ENAMETOOLONG;
	snprintf(c->vsock_dir, sizeof(c->vsock_dir), "%.*s", len ? (int)len : 1,
		 len ? path : ".");
	return 0;
}

static int resolve_vsock(struct run_config *c, const struct run_options *o,
			 struct report *r)
{
	struct machine_vsock *v = &c->machine.vsock;

	*v = o->vsock;
	if (!v->cid || v->vhost)
		return 0;
	if (control_dir(c->vsock_dir, sizeof(c->vsock_dir)) && !v->path)
		return report_error(r, 0, "--vsock: XDG_RUNTIME_DIR is too long");
	snprintf(c->vsock_path, sizeof(c->vsock_path), "%s/%.64s.vsock",
		 c->vsock_dir, c->machine.name);
	v->dir = c->vsock_dir;
	if (v->path && strcmp(v->path, c->vsock_path))
		return vsock_dirname(c, v->path) ?
		       report_error(r, ENAMETOOLONG, "--vsock: %s", v->path) : 0;
	v->make_dir = true;
	v->path = c->vsock_path;
	return 0;
}

static int resolve_ports(struct machine *m, const struct run_options *o,
			 struct report *r)
{
	m->nr_ports = o->nr_ports;
	for (unsigned int i = 0; i < o->nr_ports; i++) {
		const char *name = o->port[i].name;

		m->port[i] = o->port[i];
		if (strlen(name) >= VIRTIO_CONSOLE_NAME_MAX)
			return report_error(r, 0, "port %s: longer than %d characters",
					    name, VIRTIO_CONSOLE_NAME_MAX - 1);
		if (m->port[i].stream.kind == STREAM_UNIX &&
		    strlen(m->port[i].stream.arg) >= UNIX_PATH)
			return report_error(r, ENAMETOOLONG, "port %s: %s", name,
					    m->port[i].stream.arg);
		for (unsigned int n = 0; n < i; n++)
			if (!strcmp(name, o->port[n].name))
				return report_error(r, 0, "port %s: given twice",
						    name);
	}
	return 0;
}

/* PCI has room for all that there can be. */
static int check_transport(const struct machine *m, struct report *r)
{
	unsigned int nr = m->nr_disks + m->nr_nets + m->nr_shares + !!m->nr_ports +
			  m->rng + m->balloon + !!m->vsock.cid +
			  (m->console == CONSOLE_VIRTIO) + (m->control == CONTROL_VIRTIO);

	if (m->transport != TRANSPORT_MMIO || nr <= MACHINE_MAX_MMIO)
		return 0;
	return report_error(r, 0, "--virtio-transport: more than %d devices",
			    MACHINE_MAX_MMIO);
}

int config_resolve(struct run_config *c, const struct run_options *o,
		   struct report *r)
{
	struct machine *m = &c->machine;
	int err;

	memset(c, 0, sizeof(*c));
	c->timeout = o->timeout;
	m->mem = o->mem ? o->mem : default_mem();
	if (m->mem < MEM_MIN)
		return report_error(r, 0, "--mem: less than 16M");
	if (m->mem % SZ_1M)
		return report_error(r, 0, "--mem: not a multiple of 1M");
	if (m->mem > MEM_MAX)
		return report_error(r, 0, "--mem: more than KVM allows");
	if (o->cpus == 0)
		return report_error(r, 0, "--cpus: at least 1");
	m->nr_cpus = o->cpus > 0 ? o->cpus : default_cpus();
	if (o->cpus > 8192)
		return report_error(r, 0, "--cpus: %ld is more than KVM allows",
				    o->cpus);
	if (o->loglevel > 15)
		return report_error(r, 0, "--loglevel: %ld is not 0..15",
				    o->loglevel);
	err = resolve_choices(m, o, r);
	if (!err)
		err = resolve_control(m, o, r);
	if (!err)
		err = resolve_disks(m, o, r);
	if (!err)
		err = resolve_ports(m, o, r);
	if (!err)
		err = resolve_kernel(c, o, r);
	if (!err)
		err = resolve_name(c, o, r);
	if (err)
		return err;
	m->initrd = o->initrd;
	m->rng = o->rng;
	m->balloon = o->balloon;
	m->testdev = o->testdev;
	m->nodefaults = o->nodefaults;
	/* A kernel without ACPI finds them in no other way. */
	m->mmio_params = !o->nodefaults && o->params && params_have(o->params, "acpi=off");
	m->nr_nets = o->nr_nets;
	memcpy(m->net, o->net, sizeof(m->net));
	err = resolve_vsock(c, o, r);
	if (!err)
		err = shares_resolve(m, o, r);
	if (!err)
		err = check_transport(m, r);
	if (!err)
		err = resolve_cmdline(c, o, r);
	m->cmdline = c->cmdline;
	if (!err && o->fail_on && console_level(c->cmdline) < 5)
		return report_error(r, 0,
				    "--fail-on needs --loglevel 5 or more: warnings are not printed below");
	return err;
}

void config_free(struct run_config *c)
{
	free(c->cmdline);
	c->cmdline = NULL;
	initramfs_free(&c->archive);
}

void config_print(const struct run_config *c)
{
	const struct machine *m = &c->machine;

	printf("name     %s\nkernel   %s\ninitrd   %s\nparams   %s\n", m->name,
	       m->kernel, m->initrd ? m->initrd : "-", m->cmdline);
	printf("cpus     %u\nmem      %lluM\n", m->nr_cpus,
	       (unsigned long long)(m->mem / SZ_1M));
	for (unsigned int i = 0; i < m->nr_disks; i++)
		printf("disk     %s%s\n", m->disk[i].opts.path,
		       m->disk[i].opts.readonly ? ",ro" : "");
	if (m->vsock.cid)
		printf("vsock    %llu %s\n", (unsigned long long)m->vsock.cid,
		       m->vsock.vhost ? "vhost" : m->vsock.path);
	for (unsigned int i = 0; i < m->nr_nets; i++)
		network_print(&m->net[i]);
	shares_print(m);
	for (unsigned int i = 0; i < m->nr_ports; i++)
		printf("port     %s=%s:%s\n", m->port[i].name,
		       stream_kinds[m->port[i].stream.kind],
		       m->port[i].stream.arg ? m->port[i].stream.arg : "");
}
