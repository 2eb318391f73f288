// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm run.
 *
 * Theory of operation: options become a machine, the machine a VM, the VM
 * runs until it ends, and the reason of its end becomes the exit status and
 * one line on stderr. Every step reports its own failure; this file prints
 * it. SIGUSR1 kicks vCPUs and does nothing by itself. A file that shrinks
 * under a private mapping of guest memory raises SIGBUS in whoever touches
 * it: the page is replaced by zeroes.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/arch.h"

/* A queue for each CPU saves the guest a lock; the disk has one thread. */
#define DISK_QUEUES_MAX 4U

static int opt_disk(void *opts, const char *value, struct report *r)
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

/* "N" or "IN,OUT" */
static int port_fds(struct stream_opts *s, const char *arg)
{
	char *end;

	errno = 0;
	s->in_fd = strtol(arg, &end, 10);
	s->out_fd = s->in_fd;
	if (*end == ',' && end != arg) {
		arg = end + 1;
		s->out_fd = strtol(arg, &end, 10);
	}
	return *end || end == arg || errno || s->in_fd < 0 || s->out_fd < 0 ?
	       -EINVAL : 0;
}

static int port_stream(struct machine_port *p, char *kind, struct report *r)
{
	char *arg = strchr(kind, ':');

	if (arg)
		*arg++ = 0;
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
	char *kind = strdup(value), *word;
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
	return port_stream(p, kind, r);
}

/* The words of a disk, of a port, are in a copy that begins with the first. */
static void free_options(struct run_options *o)
{
	for (unsigned int i = 0; i < o->nr_disks; i++)
		free((char *)o->disk[i].opts.path);
	for (unsigned int i = 0; i < o->nr_nets; i++)
		free(o->net_text[i]);
	for (unsigned int i = 0; i < o->nr_ports; i++)
		free((char *)o->port[i].name);
	free(o->vsock_text);
}

#define RUN_OPT(n, l, t, a, f, h) \
	{ n, l, t, a, h, offsetof(struct run_options, f), NULL }

const struct option_desc run_options[] = {
	RUN_OPT("kernel", 'k', OPT_STRING, "FILE", kernel,
		"bzImage or vmlinux to boot"),
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
	{ "port", 0, OPT_CALL, "NAME[,console]=KIND[:ARG]",
	  "a virtio port to file:, read:, pipe:, fd:, unix: or pty; repeatable",
	  0, opt_port },
	RUN_OPT("virtio-transport", 0, OPT_STRING, "pci|mmio", transport,
		"how virtio devices are attached; mmio means no PCI"),
	RUN_OPT("disk-engine", 0, OPT_STRING, "auto|io_uring|threads", engine,
		"how disk I/O is done"),
	RUN_OPT("nodefaults", 0, OPT_FLAG, NULL, nodefaults,
		"add nothing to the kernel command line"),
	RUN_OPT("loglevel", 0, OPT_NUMBER, "N", loglevel,
		"the guest's console log level, 4 by default"),
	RUN_OPT("dry-run", 0, OPT_FLAG, NULL, dry_run,
		"print the machine and do not run it"),
	RUN_OPT("json", 0, OPT_FLAG, NULL, json, "print JSON"),
	RUN_OPT("timing", 0, OPT_FLAG, NULL, timing,
		"print where the time went, at the end"),
	RUN_OPT("timeout", 0, OPT_NUMBER, "SECONDS", timeout,
		"end the VM after that long, with status 124"),
	RUN_OPT("status", 0, OPT_STRING, "FILE", status,
		"write the cause of the end as JSON"),
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

static void log_emit(void *opaque, const char *line)
{
	(void)opaque;
	fprintf(stderr, "lkvm: %s\n", line);
}

static void ignore_signal(int sig)
{
	(void)sig;
}

static void bus_signal(int sig, siginfo_t *si, void *ctx)
{
	uintptr_t page = (uintptr_t)si->si_addr & ~0xfffUL;

	(void)ctx;
	if (si->si_code == BUS_ADRERR &&
	    mmap((void *)page, 4096, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
		return;
	signal(sig, SIG_DFL);
}

static void signals_init(void)
{
	struct sigaction kick = { .sa_handler = ignore_signal };
	struct sigaction bus = {
		.sa_sigaction = bus_signal,
		.sa_flags = SA_SIGINFO,
	};
	sigset_t set;

	sigaction(SIGUSR1, &kick, NULL);
	sigaction(SIGBUS, &bus, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* A connection of a guest is a descriptor here; 1024 of them are soon gone. */
static void limits_init(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= l.rlim_max)
		return;
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

static int place_virtio(struct kvm *kvm, struct virtio_device *dev,
			struct report *r)
{
	int err = arch_add_virtio(kvm, dev, r);

	if (err) {
		virtio_device_free(dev);
		return err;
	}
	kvm_add_device(kvm, &dev->dev);
	return 0;
}

static int add_virtio(struct kvm *kvm, const struct virtio_class *class,
		      const char *name, const void *opts, struct report *r)
{
	struct virtio_device *dev;
	int err;

	err = virtio_device_create(&dev, class, name, opts, &kvm->virtio_env,
				   r);
	if (err)
		return report_error(r, -err, "%s", name);
	return place_virtio(kvm, dev, r);
}

static int open_ports(struct kvm *kvm, struct virtio_console_port *port,
		      struct report *r)
{
	struct seal_exceptions *except = &kvm->unsealed;
	const struct machine *m = kvm->machine;
	int err = 0;

	static_assert(MACHINE_MAX_PORTS <= SEAL_READABLE_MAX, "any may be a pty");
	for (unsigned int i = 0; i < m->nr_ports && !err; i++) {
		const char *name = m->port[i].name, *path;

		port[i].name = name;
		port[i].console = m->port[i].console;
		err = stream_open(&port[i].stream, name, &m->port[i].stream, r);
		path = err ? NULL : stream_path(port[i].stream);
		if (!path)
			continue;
		vm_log(&kvm->log, "port %s: %s", name, path);
		except->readable[except->nr_readable++] = path;
	}
	return err;
}

/*
 * A device of its own, without ports: those are announced by messages, which
 * Linux handles at its leisure. Its init may well be there first, and finds no
 * /dev/console.
 */
static int add_console(struct kvm *kvm, struct report *r)
{
	struct virtio_console_port port = {
		.console = true,
		.output = kvm->console.offer,
		.wake = kvm->console.wake,
		.opaque = kvm->console.opaque,
	};
	struct virtio_console_opts o = { &port, 1 };
	struct virtio_device *dev;
	int err;

	if (kvm->machine->console != CONSOLE_VIRTIO)
		return 0;
	err = virtio_device_create(&dev, &virtio_console_class, "console", &o,
				   &kvm->virtio_env, r);
	if (!err)
		err = place_virtio(kvm, dev, r);
	if (!err)
		kvm->console_virtio = dev;
	return err;
}

static int add_ports(struct kvm *kvm, struct report *r)
{
	struct virtio_console_port port[MACHINE_MAX_PORTS] = { 0 };
	struct virtio_console_opts o = { port, kvm->machine->nr_ports };
	struct virtio_device *dev;
	int err;

	if (!o.nr_ports)
		return 0;
	err = open_ports(kvm, port, r);
	if (!err)
		err = virtio_device_create(&dev, &virtio_console_class, "ports",
					   &o, &kvm->virtio_env, r);
	if (err) {
		for (unsigned int i = 0; i < o.nr_ports; i++)
			stream_close(port[i].stream);
		return err;
	}
	err = place_virtio(kvm, dev, r);
	if (!err)
		kvm->ports = dev;
	return err;
}

static int add_disks(struct kvm *kvm, struct report *r)
{
	const struct machine *m = kvm->machine;
	char name[24];
	int err = 0;

	for (unsigned int i = 0; i < m->nr_disks && !err; i++) {
		struct virtio_blk_opts o = {
			.serial = m->disk[i].serial,
			.nr_queues = MIN(m->nr_cpus, DISK_QUEUES_MAX),
		};

		err = disk_open(&o.disk, &m->disk[i].opts, r);
		if (err)
			return err;
		snprintf(name, sizeof(name), "disk%u", i);
		err = add_virtio(kvm, &virtio_blk_class, name, &o, r);
	}
	return err;
}

static int add_networks(struct kvm *kvm, struct report *r)
{
	const struct machine *m = kvm->machine;
	char name[24];
	int err = 0;

	for (unsigned int i = 0; i < m->nr_nets && !err; i++) {
		const struct net_opts *n = &m->net[i];
		struct virtio_net_opts o = {
			.mac = n->has_mac ? n->mac : NULL,
			.vhost = n->vhost,
		};

		err = net_open(&o.backend, n, r);
		if (err)
			return err;
		snprintf(name, sizeof(name), "net%u", i);
		err = add_virtio(kvm, &virtio_net_class, name, &o, r);
	}
	return err;
}

static int add_vsock(struct kvm *kvm, struct report *r)
{
	const struct machine_vsock *m = &kvm->machine->vsock;
	struct virtio_vsock_opts o = { .cid = m->cid, .path = m->path };
	const struct virtio_class *class = &virtio_vsock_class;

	if (m->make_dir && mkdir(m->dir, 0700) < 0 && errno != EEXIST)
		return report_error(r, errno, "vsock: cannot make %s", m->dir);
	if (m->vhost)
		class = &virtio_vhost_vsock_class;
	kvm->unsealed.removable = m->dir;
	return add_virtio(kvm, class, "vsock", &o, r);
}

static int add_devices(struct kvm *kvm, struct report *r)
{
	const struct machine *m = kvm->machine;
	const struct virtio_balloon_opts balloon = { .reporting = true };
	int err = arch_platform_init(kvm, r);

	if (!err)
		err = add_console(kvm, r);
	if (!err)
		err = add_ports(kvm, r);
	if (!err)
		err = add_disks(kvm, r);
	if (!err)
		err = add_networks(kvm, r);
	if (!err && m->rng)
		err = add_virtio(kvm, &virtio_rng_class, "rng", NULL, r);
	if (!err && m->balloon)
		err = add_virtio(kvm, &virtio_balloon_class, "balloon",
				 &balloon, r);
	if (!err && m->vsock.cid)
		err = add_vsock(kvm, r);
	return err ? err : arch_platform_finish(kvm, r);
}

/** struct outcome - how it ended, for stderr, --status and the exit status */
struct outcome {
	const char *cause;
	int code;
	int signal;
	int status;
	char text[4400];
};

static void outcome_set(struct outcome *o, const char *cause, int status,
			const char *text)
{
	o->cause = cause;
	o->status = status;
	o->code = status;
	snprintf(o->text, sizeof(o->text), "%s", text);
}

static void outcome_of(struct outcome *o, const struct kvm *kvm,
		       const struct console *c)
{
	memset(o, 0, sizeof(*o));
	if (kvm->end != VM_END_ERROR && kvm->end != VM_END_TIMEOUT &&
	    kvm->end != VM_END_USER &&
	    (c->panicked || kvm->end == VM_END_PANIC)) {
		outcome_set(o, "panic", STATUS_PANIC, "kernel panic");
		if (c->panicked)
			snprintf(o->text, sizeof(o->text), "kernel panic: %s",
				 c->panic);
		return;
	}
	switch (kvm->end) {
	case VM_END_TRIPLE_FAULT:
		outcome_set(o, "reset", STATUS_RESET,
			    "the guest triple-faulted");
		return;
	case VM_END_TIMEOUT:
		outcome_set(o, "timeout", STATUS_TIMEOUT, "timeout");
		return;
	case VM_END_DEBUG_EXIT:
		outcome_set(o, "exit", kvm->end_code & 0xff, "");
		return;
	case VM_END_USER:
		outcome_set(o, kvm->end_code ? "signal" : "exit",
			    kvm->end_code ? 128 + (int)kvm->end_code : 0, "");
		o->signal = kvm->end_code;
		return;
	case VM_END_ERROR:
		outcome_set(o, "error", STATUS_ERROR, kvm->end_text);
		return;
	default:
		outcome_set(o, "exit", 0, "");
	}
}

/* Opened before the VM is made: a run whose end cannot be told is no use. */
static int status_open(FILE **f, const char *path, struct report *r)
{
	if (!path)
		return 0;
	*f = fopen(path, "we");
	return *f ? 0 : report_error(r, errno, "status %s", path);
}

static void status_write(FILE *f, const struct outcome *o, const char *path)
{
	int n;

	if (!f)
		return;
	n = fprintf(f, "{\"cause\":\"%s\",\"code\":%d,\"signal\":%d}\n",
		    o->cause, o->code, o->signal);
	if (fclose(f) || n < 0)
		fprintf(stderr, "lkvm: status %s: %s\n", path,
			strerror(errno));
}

static void times_print(const struct run_times *t, const struct kvm *kvm)
{
	u64 first = kvm->cpus[0].first;
	const struct {
		const char *name;
		u64 from;
		u64 to;
	} row[] = {
		{ "options", t->exec, t->config },
		{ "vm", t->config, t->create },
		{ "devices", t->create, t->devices },
		{ "load", t->devices, t->load },
		{ "start", t->load, t->start },
		{ "guest", first, t->end },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++)
		fprintf(stderr, "lkvm: timing: %-8s %10.3f ms\n", row[i].name,
			(double)(row[i].to - row[i].from) / 1e6);
	fprintf(stderr, "lkvm: timing: exits    %10llu\n",
		(unsigned long long)kvm->cpus[0].exits);
}

/* Who reads slowly gets all that the guest sent, if the guest chose the end. */
static void finish_output(struct kvm *kvm, struct console *c)
{
	bool chosen = kvm->end != VM_END_USER && kvm->end != VM_END_TIMEOUT;

	kvm_halt(kvm);
	console_flush(c, kvm);
	if (kvm->ports)
		virtio_console_flush(kvm->ports, chosen ? 2000 : 100);
}

static int run_vm(const struct run_config *config, struct console *c,
		  const struct run_options *o, struct outcome *out,
		  struct report *r)
{
	const struct vm_log log = { log_emit, NULL };
	const struct console_ops console = {
		console_output, console_offer, console_wake, c,
	};
	struct run_times t = { .exec = now_ns() };
	struct kvm *kvm;
	int err;

	t.config = now_ns();
	err = kvm_create(&kvm, &config->machine, &log, &console, r);
	if (err)
		return err;
	t.create = now_ns();
	err = add_devices(kvm, r);
	t.devices = now_ns();
	if (!err)
		err = arch_load(kvm, r);
	t.load = now_ns();
	if (!err)
		err = kvm_seal(kvm, r);
	if (!err)
		err = kvm_start(kvm, r);
	t.start = now_ns();
	if (!err)
		err = run_loop(kvm, c, o->timeout, r);
	console_shut(c);
	finish_output(kvm, c);
	kvm_stop(kvm);
	t.end = now_ns();
	if (!err)
		outcome_of(out, kvm, c);
	console_close(c);
	if (!err && o->timing)
		times_print(&t, kvm);
	kvm_destroy(kvm);
	return err;
}

int cmd_run(int argc, char **argv)
{
	struct run_options o = { .cpus = -1, .loglevel = -1 };
	struct outcome out = { .cause = "error", .status = STATUS_ERROR };
	static struct console console;
	struct run_config config = { 0 };
	struct report r = { "" };
	FILE *status = NULL;
	int n = options_parse(run_options, argc, argv, &o, &r);

	out.code = STATUS_ERROR;
	if (n >= 0 && n < argc)
		n = report_error(&r, 0, "unexpected argument %s", argv[n]);
	if (n >= 0)
		n = config_resolve(&config, &o, &r);
	if (n >= 0 && o.json && !o.dry_run)
		n = report_error(&r, 0, "--json needs --dry-run");
	if (n >= 0 && o.dry_run) {
		config_print(&config, o.json);
		config_free(&config);
		free_options(&o);
		return 0;
	}
	signals_init();
	limits_init();
	if (n >= 0)
		n = status_open(&status, o.status, &r);
	if (n >= 0)
		n = console_open(&console, &r);
	if (n >= 0)
		n = run_vm(&config, &console, &o, &out, &r);
	console_close(&console);
	if (n < 0)
		snprintf(out.text, sizeof(out.text), "%s",
			 r.msg[0] ? r.msg : strerror(-n));
	if (out.text[0])
		fprintf(stderr, "lkvm: %s\n", out.text);
	status_write(status, &out, o.status);
	config_free(&config);
	free_options(&o);
	return out.status;
}
