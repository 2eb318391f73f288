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
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/arch.h"

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
	err = devices_add(kvm, r);
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
		run_options_free(&o);
		return 0;
	}
	signals_init();
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
	run_options_free(&o);
	return out.status;
}
