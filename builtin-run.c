// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm run.
 *
 * Theory of operation: options become a machine, the machine a VM, the VM
 * runs until it ends, and the reason of its end becomes the exit status and
 * one line on stderr. Every step reports its own failure; this file prints
 * it. SIGUSR1 kicks vCPUs and does nothing by itself. A vmlinux that shrinks
 * under its private mapping raises SIGBUS in a thread of lkvm that touches
 * it: the page is replaced by zeroes. A guest that does ends instead: KVM_RUN
 * says EFAULT. Any other SIGBUS ends us as SIGQUIT does, with the terminal as
 * it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/arch.h"
#include "kvm/file.h"
#include "kvm/virtio.h"

#define TAIL_LINES 40
/* What is left of the output has this long, after an end that the guest chose or not */
#define FINISH_MS 30000
#define CUT_MS 1000
/* And so long has what we have to say */
#define WORDS_S 10

/* Also on a vCPU, which waits for nobody who does not read it. */
static void log_emit(void *opaque, const char *line)
{
	(void)opaque;
	if (stderr_is_ready())
		fprintf(stderr, "lkvm: %s\n", line);
}

static void ignore_signal(int sig)
{
	(void)sig;
}

static sig_atomic_t hurried;

/* Without SA_RESTART: it ends a call that waits, and again the next one. */
static void hurry(int sig)
{
	(void)sig;
	hurried = 1;
	ualarm(100000, 0);
}

/* From here on signals let nothing wait. */
static void hurry_on(sigset_t *held)
{
	static const int end[] = { SIGALRM, SIGINT, SIGTERM, SIGHUP };
	const struct sigaction act = { .sa_handler = hurry };
	struct sigaction old;
	sigset_t set;

	sigfillset(&set);
	for (unsigned int i = 0; i < ARRAY_SIZE(end); i++)
		if (!sigaction(end[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(end[i], &act, NULL);
	pthread_sigmask(SIG_UNBLOCK, &set, held);
}

/* What is said from here on does not wait for ever, nor when we are to end. */
static void words_bound(void)
{
	if (!hurried)
		alarm(WORDS_S);
	hurry_on(NULL);
}

static void bus_signal(int sig, siginfo_t *si, void *ctx)
{
	uintptr_t page = (uintptr_t)si->si_addr & ~0xfffUL;

	(void)ctx;
	if (si->si_code == BUS_ADRERR &&
	    mmap((void *)page, 4096, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
		return;
	terminal_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void signals_init(void)
{
	struct sigaction kick = { .sa_handler = ignore_signal };
	struct sigaction bus = {
		.sa_sigaction = bus_signal,
		.sa_flags = SA_SIGINFO,
	};
	struct sigaction quit;
	sigset_t set;

	sigaction(SIGUSR1, &kick, NULL);
	sigaction(SIGBUS, &bus, NULL);
	/* Not for us if we run behind a shell's back */
	if (!sigaction(SIGQUIT, NULL, &quit) && quit.sa_handler != SIG_IGN)
		sigaction(SIGQUIT, &bus, NULL);
	signals_block(&set);
}

/* Opened before the VM is made: a run whose end cannot be told is no use. */
static int status_open(FILE **f, const char *path, struct report *r)
{
	*f = fopen(path, "we");
	return *f ? 0 : report_error(r, errno, "status %s", path);
}

/* A FIFO waits for who reads it, or until a signal comes. A file keeps what it has. */
static int log_open(int *fd, const char *path, struct report *r)
{
	sigset_t held;
	int err;

	if (!path)
		return 0;
	hurry_on(&held);
	*fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
	err = errno;
	pthread_sigmask(SIG_SETMASK, &held, NULL);
	ualarm(0, 0);
	return *fd < 0 ? report_error(r, err, "log %s", path) : 0;
}

/* Return: 0 or errno */
static int status_write(FILE *f, const struct outcome *o)
{
	int n;

	if (!f)
		return 0;
	n = fprintf(f, "{\"cause\":\"%s\",\"code\":%d,\"signal\":%d}\n",
		    o->cause, o->code, o->signal);
	return fclose(f) || n < 0 ? errno : 0;
}

static void time_print(const char *name, u64 from, u64 to)
{
	if (from && to)
		fprintf(stderr, "lkvm: timing: %-8s %10.3f ms\n", name,
			(double)(to - from) / 1e6);
}

/*
 * Once the VM is gone, of whose first vCPU @first and @exits are. The three that only a
 * command has are parts of "guest".
 */
static void times_print(const struct run_times *t, const struct guest_command *g, u64 first,
			u64 exits)
{
	time_print("options", t->exec, t->config);
	time_print("vm", t->config, t->create);
	time_print("devices", t->create, t->devices);
	time_print("load", t->devices, t->load);
	time_print("start", t->load, t->start);
	time_print("guest", first, t->end);
	if (g) {
		time_print("init", first, g->init_time);
		time_print("command", g->init_time, g->start_time);
		time_print("run", g->start_time, g->end_time);
	}
	time_print("end", t->end, t->destroy);
	fprintf(stderr, "lkvm: timing: exits    %10llu\n", (unsigned long long)exits);
}

/**
 * struct run - one lkvm run
 * @command: its streams; not in use unless @has_command
 */
struct run {
	struct run_options o;
	struct run_config config;
	struct console console;
	struct guest_command command;
	bool has_command;
	enum stream_of_ours kind[3];
	int log_fd;
	FILE *status;
	struct decoder decoder;
	struct vm_control control;
	struct run_times t;
};

/* Files that something goes to: the status, the log, what comes out of ports */
static const char *output_path(const struct run_options *o, unsigned int i)
{
	if (i < 2)
		return i ? o->log : o->status;
	return o->port[i - 2].stream.kind == STREAM_FILE ? o->port[i - 2].stream.arg : NULL;
}

/* Files that a VM is made of: the kernel, the initrd, disks */
static const char *input_path(const struct run *run, unsigned int i)
{
	const char *kernel = run->config.machine.kernel;

	if (i < 2)
		return i ? run->o.initrd : kernel ? kernel : run->o.kernel;
	return run->o.disk[i - 2].opts.path;
}

/* @to: of @path, with no type if there is none yet */
static bool is_same_file(const char *path, const struct stat *to, const char *other)
{
	struct stat st;

	if (!other)
		return false;
	if (!to->st_mode)
		return !strcmp(path, other);
	return !stat(other, &st) && st.st_dev == to->st_dev && st.st_ino == to->st_ino;
}

/* What comes of a VM does not go to a file that it is made of, nor two things to one. */
static int output_check(const struct run *run, unsigned int output, struct report *r)
{
	const char *path = output_path(&run->o, output), *other = NULL;
	unsigned int inputs = run->o.nr_disks + 2;
	struct stat to;

	if (!path)
		return 0;
	if (stat(path, &to) < 0)
		to.st_mode = 0;
	else if (!S_ISREG(to.st_mode) && !S_ISBLK(to.st_mode))
		return 0;
	for (unsigned int i = 0; i < inputs + output; i++) {
		other = i < inputs ? input_path(run, i) : output_path(&run->o, i - inputs);
		if (is_same_file(path, &to, other))
			return report_error(r, 0, "%s %s: %s is the same file",
					    !output ? "status" : output == 1 ? "log" : "port",
					    path, other);
	}
	return 0;
}

/*
 * Who reads slowly gets all that the guest sent, if the guest chose the end; but
 * what is in its rings may be more than anybody can read.
 */
static void finish_output(struct kvm *kvm, struct console *c)
{
	enum vm_end end = kvm_ended(kvm);
	bool chosen = end != VM_END_USER && end != VM_END_TIMEOUT;
	unsigned int total_ms = chosen ? FINISH_MS : CUT_MS;
	unsigned int patience_ms = chosen ? 2000 : 100;

	console_flush(c, kvm, total_ms);
	if (kvm->ports)
		virtio_console_flush(kvm->ports, patience_ms, total_ms);
	for (struct device *d = kvm->devices; d; d = d->next) {
		struct virtio_device *dev = virtio_of(d);

		if (dev && dev->class == &virtio_vsock_class)
			virtio_vsock_flush(dev, patience_ms, total_ms);
	}
}

static void run_judge(struct outcome *out, const struct run *run,
		      const struct kvm *kvm)
{
	const struct guest_command *g = run->has_command ? &run->command : NULL;
	struct outcome_facts facts = {
		.end = kvm_ended(kvm),
		.end_code = kvm->end_code,
		.end_text = kvm->end_text,
		.log = &run->console.log,
		.session = g ? &g->port.main : NULL,
		.fail_on = run->o.fail_on,
		.shell = run->o.shell,
		.bisect = run->o.bisect,
		.as_qemu = run->o.as_qemu,
	};

	if (g && g->cut) {
		facts.end = g->cut;
		facts.end_code = g->cut_code;
	}
	outcome_of(out, &facts);
}

/* What could not be written down was no success, whatever the guest says. */
static void run_lost(struct outcome *out, const struct run *run,
		     const struct kvm *kvm)
{
	const struct guest_command *g = &run->command;
	const char *port;
	char text[128];
	int err;

	if (out->status)
		return;
	err = kvm->ports ? virtio_console_lost(kvm->ports, &port) : 0;
	if (run->has_command && g->lost)
		snprintf(text, sizeof(text), "%s: %s",
			 g->lost_stream == GUEST_STDERR ? "stderr" : "stdout",
			 strerror(g->lost));
	else if (run->console.lost)
		snprintf(text, sizeof(text), "%s: %s",
			 run->o.log ? run->o.log : "stdout",
			 strerror(run->console.lost));
	else if (err)
		snprintf(text, sizeof(text), "port %s: %s", port, strerror(err));
	else
		return;
	outcome_error(out, text);
}

/* All that the VM is made of is there: what earlier ones have written goes. */
static int outputs_begin(const struct run *run, struct kvm *kvm, struct report *r)
{
	int err = run->log_fd >= 0 ? file_empty(run->log_fd) : 0;

	if (err)
		return report_error(r, -err, "log %s", run->o.log);
	return kvm->ports ? virtio_console_begin(kvm->ports, r) : 0;
}

static int run_start(struct run *run, struct kvm *kvm, struct report *r)
{
	int err;

	if (run->has_command)
		command_attach(&run->command, kvm);
	run->control.shell = run->o.shell;
	control_attach(&run->control, kvm, &run->console,
		       run->has_command ? &run->command : NULL);
	err = devices_add(kvm, r);
	run->t.devices = now_ns();
	if (!err)
		err = arch_load(kvm, r);
	run->t.load = now_ns();
	if (!err)
		err = outputs_begin(run, kvm, r);
	if (!err)
		err = kvm_seal(kvm, r);
	if (!err)
		err = kvm_start(kvm, r);
	run->t.start = now_ns();
	return err;
}

static u64 run_deadline(const struct run *run, u64 begin)
{
	return run->o.timeout ? begin + run->o.timeout * NSEC_PER_SEC : 0;
}

static int run_vm(struct run *run, struct outcome *out, struct report *r)
{
	struct guest_command *g = run->has_command ? &run->command : NULL;
	const struct vm_log log = { log_emit, NULL };
	struct console *c = &run->console;
	const struct console_ops console = {
		console_output, console_offer, console_wake, c, console_yield,
	};
	/* Also what comes before the guest is not to last for ever. */
	struct run_parts parts = {
		c, g, &run->control, run_deadline(run, run->t.exec),
	};
	u64 first, exits;
	struct kvm *kvm;
	int err;

	run->t.config = now_ns();
	/* Each of a VM's CPUs is a descriptor, as is a file that the guest has open. */
	raise_limit();
	err = kvm_create(&kvm, &run->config.machine, &log, &console, r);
	if (err)
		return err;
	run->t.create = now_ns();
	err = run_start(run, kvm, r);
	if (!err)
		err = run_loop(kvm, &parts, r);
	console_shut(c);
	if (g)
		command_shut(g);
	kvm_halt(kvm);
	if (g)
		command_drain(g, kvm);
	/* The last that a command said has its reader, too, and for that time. */
	parts.deadline = run_deadline(run, now_ns());
	if (!err && g)
		err = run_loop(kvm, &parts, r);
	if (!err)
		control_serve(&run->control);
	control_stopped(&run->control);
	if (g)
		execs_end(g);
	finish_output(kvm, c);
	kvm_stop(kvm);
	run->t.end = now_ns();
	if (!err) {
		run_judge(out, run, kvm);
		run_lost(out, run, kvm);
	}
	run->control.kvm = NULL;
	console_close(c);
	words_bound();
	/* Of a guest that went its way, or stands still */
	if (!err && kvm->end != VM_END_USER && kvm->end != VM_END_TRIPLE_FAULT &&
	    kvm->end != VM_END_ERROR && kvm->end != VM_END_DEBUG_EXIT)
		drivers_report(&run->config, kvm, run->has_command);
	first = kvm->cpus[0].first;
	exits = kvm->cpus[0].exits;
	kvm_destroy(kvm);
	run->t.destroy = now_ns();
	if (!err && run->o.timing)
		times_print(&run->t, g, first, exits);
	return err;
}

/* A report that was asked for, an oops or a panic, whatever the command made of it */
static bool is_about_the_kernel(const struct outcome *out, const struct klog *log)
{
	return !strcmp(out->cause, "panic") || !strcmp(out->cause, "splat") ||
	       log->report_of;
}

/* Something broke: what the kernel said, if that is not seen otherwise. */
static void tail_print(struct run *run, const struct outcome *out)
{
	static char tail[KLOG_TAIL + 1];
	const struct klog *log = &run->console.log;
	size_t len, at;

	if (!run->has_command || run->log_fd >= 0 ||
	    (!is_about_the_kernel(out, log) && strcmp(out->cause, "reset") &&
	     strcmp(out->cause, "timeout") && out->status != STATUS_ERROR))
		return;
	if (is_about_the_kernel(out, log) && log->report_len) {
		decoder_print(&run->decoder, log->report, log->report_len);
		return;
	}
	len = klog_tail(log, tail);
	at = len;
	for (unsigned int lines = 0; at && lines <= TAIL_LINES; at--)
		lines += tail[at - 1] == '\n';
	guest_text_print(tail + at, len - at);
}

static int run_options_get(struct run_options *o, int argc, char **argv,
			   struct report *r)
{
	int n = options_scan(run_options, argc, argv, o, r);
	const char *name = NULL;

	/* NAME, and more options behind it */
	if (n >= 0 && n < argc && !options_ended(argv[n])) {
		name = argv[n];
		argv += n;
		argc -= n;
		n = options_scan(run_options, argc, argv, o, r);
	}
	if (n < 0)
		return n;
	if (n < argc && !options_ended(argv[n])) {
		report_error(r, 0, "unexpected argument %s", argv[n]);
		options_scan(run_options, argc - n, argv + n, o, r);
		return -EINVAL;
	}
	if (n + 1 == argc)
		return report_error(r, 0, "no command behind --");
	if (n < argc)
		o->command = argv + n + 1;
	if (name && o->config_text)
		return report_error(r, 0, "%s: --config has a machine already",
				    name);
	/* One command: that of the file, or another instead */
	o->shell = o->shell && !(o->config_text && o->command);
	return name ? setup_use(o, name, r) : 0;
}

static int run_resolve(struct run *run, struct report *r)
{
	struct state_out unused = { 0 };
	int err = 0;

	if (run->o.detach && run->o.shell)
		return report_error(r, 0, "--detach: a shell needs its terminal");
	if (run->o.detach && run->o.bisect)
		return report_error(r, 0, "--detach: --bisect waits for the end");
	if (run->o.detach && !run->o.dry_run) {
		err = detach_begin(&run->control.up_fd, r);
		if (err)
			return err;
		streams_probe(run->kind);
		/* By then both are one file, unless they are closed. */
		if (run->kind[1])
			run->kind[1] = STREAM_OURS_PIPE;
		if (run->kind[2])
			run->kind[2] = run->kind[1] ? STREAM_OURS_SAME : STREAM_OURS_PIPE;
	}
	/* A person wants a shell; a script gets what it always got. */
	if (run_is_bare(&run->o) && run->kind[0] == STREAM_OURS_TTY &&
	    run->kind[1] == STREAM_OURS_TTY)
		run->o.shell = true;
	if (run->o.json && !run->o.dry_run)
		return report_error(r, 0, "--json needs --dry-run");
	err = config_resolve(&run->config, &run->o, r);
	if (!err && run->o.dry_run && run->config.machine.control != CONTROL_NONE)
		err = guest_records(&unused, &run->o, run->kind, r);
	state_out_free(&unused);
	return err;
}

/* Scripts that know us by another name wait for these words. */
static int kernel_check(const struct run *run, struct report *r)
{
	const char *kernel = run->config.machine.kernel;
	const char *words = run->o.as_qemu ? "could not open kernel" :
					     "Fatal: Unable to open kernel";

	if ((!run->o.as_qemu && !run->o.as_kvmtool) || !access(kernel, R_OK))
		return 0;
	return report_error(r, errno, "%s %s", words, kernel);
}

/* All that is opened before there is a VM */
static int run_prepare(struct run *run, struct report *r)
{
	int err = kernel_check(run, r);

	for (unsigned int i = 1; i < run->o.nr_ports + 2U && !err; i++)
		err = output_check(run, i, r);
	if (err)
		return err;
	run->has_command = run->config.machine.control != CONTROL_NONE;
	machine_put(&run->control.machine, &run->config, &run->o);
	/* Who has detached it wants to find it again. */
	err = control_open(&run->control, &run->config,
			   run->o.name || run->o.detach, r);
	if (!err && run->o.detach)
		err = detach_output(&run->control, run->control.log,
				    sizeof(run->control.log), r);
	if (!err)
		err = log_open(&run->log_fd, run->o.log, r);
	if (!err && run->has_command)
		err = guest_archive(&run->config, &run->o, run->kind, r);
	if (err)
		return err;
	if (run->has_command && !run->o.log)
		decoder_open(&run->decoder, run->config.machine.kernel);
	run->console.log.wanted = run->o.fail_on;
	if (!run->has_command && !run->o.log)
		err = console_open(&run->console, r);
	else
		err = console_open_log(&run->console, run->log_fd, r);
	if (!err && run->has_command)
		err = command_open(&run->command, run->kind, &run->console, r);
	run->console.out_fd = terminal_writer(run->console.out_fd);
	for (unsigned int i = GUEST_STDOUT; run->has_command && i < GUEST_STREAMS; i++)
		run->command.fd[i] = output_writer(run->command.fd[i],
						   &run->command.whole[i]);
	return err;
}

/* Who has not named the kernel is told which one it is. */
static void kernel_print(const struct run_config *c)
{
	char release[128];

	if (!c->discover.kernel[0] || !isatty(STDERR_FILENO))
		return;
	discover_release(c->machine.kernel, release, sizeof(release));
	fprintf(stderr, "lkvm: kernel %s%s%s%s\n", c->machine.kernel,
		*release ? " (" : "", release, *release ? ")" : "");
}

int run_with(int (*get)(struct run_options *o, int argc, char **argv,
			struct report *r),
	     int argc, char **argv)
{
	static struct run run;
	static struct outcome out;
	struct report r = { "" };
	bool detached;
	int err, unwritten;

	/* Not by an initializer: half a MiB of zeroes would be in the binary. */
	run.o.cpus = -1;
	run.o.loglevel = -1;
	run.log_fd = -1;
	run.decoder.in = -1;
	run.decoder.out = -1;
	run.control.up_fd = -1;
	run.control.stats_fd = -1;
	run.control.memory_fd = -1;
	run.control.kernel_fd = -1;
	run.t.exec = now_ns();
	streams_probe(run.kind);
	err = get(&run.o, argc, argv, &r);
	if (!err)
		err = run_resolve(&run, &r);
	if (!err && run.o.dry_run) {
		/* It is no guest's, who may have none. */
		if (run.kind[1] == STREAM_OURS_NONE)
			close(STDOUT_FILENO);
		if (!run.o.json)
			config_print(&run.config);
		else if (machine_print(&run.config, &run.o))
			out.status = STATUS_ERROR;
		goto out_free;
	}
	/* Early: what a run before this one has left there is not ours. */
	if (run.o.status) {
		int unopened = output_check(&run, 0, &r);

		if (!unopened)
			unopened = status_open(&run.status, run.o.status, &r);
		err = err ? err : unopened;
	}
	if (!err)
		kernel_print(&run.config);
	signals_init();
	if (!err)
		err = run_prepare(&run, &r);
	if (!err)
		err = run_vm(&run, &out, &r);
	if (err)
		outcome_error(&out, r.msg[0] ? r.msg : strerror(-err));
	/* First: nobody may read what else there is to be said. */
	unwritten = status_write(run.status, &out);
	words_bound();
	control_ended(&run.control, &out);
	console_close(&run.console);
	command_close(&run.command);
	terminal_unread(run.has_command ? run.command.fd[GUEST_STDERR] :
					  run.console.out_fd);
	tail_print(&run, &out);
	decoder_close(&run.decoder);
	detached = run.control.up_fd >= 0;
	detach_say(&run.control.up_fd, out.status ? out.status : STATUS_ERROR,
		   "%s", out.text[0] ? out.text : "the VM has ended at once");
	if (out.text[0] && (!detached || run.control.server))
		fprintf(stderr, "lkvm: %s\n", out.text);
	if (unwritten)
		fprintf(stderr, "lkvm: status %s: %s\n", run.o.status, strerror(unwritten));
	if (unwritten && !out.status)
		out.status = STATUS_ERROR;
	control_shut(&run.control);
out_free:
	config_free(&run.config);
	run_options_free(&run.o);
	return out.status;
}

int cmd_run(int argc, char **argv)
{
	return run_with(run_options_get, argc, argv);
}

static int sandbox_options_get(struct run_options *o, int argc, char **argv,
			       struct report *r)
{
	int err = run_options_get(o, argc, argv, r);

	return err || o->command ? err :
	       report_error(r, 0, "sandbox: no command behind --");
}

/* The name that it had elsewhere */
int cmd_sandbox(int argc, char **argv)
{
	return run_with(sandbox_options_get, argc, argv);
}
