// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the control socket's commands do to the VM of this process.
 *
 * Theory of operation: control/ checks a request, a handler here does what it
 * says, on the main thread between two looks at everything else, and waits for
 * nothing. The socket is made before the VM, so that a name that is taken is
 * known early; clients that come meanwhile are served once the main loop runs.
 * Files that a handler reads from are opened before the process is sealed. With
 * the VM gone there is nobody to serve: clients are told how it ended.
 *
 * A directory for the socket that cannot be had is no reason not to run, unless
 * the VM was given a name to be found by; it is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/virtio_balloon.h>

#include "builtin.h"
#include "kvm/control-path.h"
#include "kvm/hw.h"
#include "kvm/virtio.h"

#define FINISH_MS 500

static const char *state_name(const struct kvm *kvm)
{
	static const char *const names[] = {
		[KVM_CREATED] = "created",
		[KVM_RUNNING] = "running",
		[KVM_PAUSED] = "paused",
		[KVM_STOPPED] = "stopped",
	};

	return kvm_ended(kvm) ? "stopping" : names[kvm->state];
}

/* Bytes of this process that are in memory, its guest's among them */
u64 vm_resident(const struct vm_control *v)
{
	unsigned long long size, pages;
	char text[128];
	ssize_t n = v->memory_fd < 0 ? -1 :
		    pread(v->memory_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = 0;
	if (sscanf(text, "%llu %llu", &size, &pages) != 2)
		return 0;
	return pages * sysconf(_SC_PAGESIZE);
}

static void vm_status(struct control_call *call)
{
	struct vm_control *v = call->vm;
	const struct machine *m = &v->config->machine;

	if (v->kernel_fd >= 0) {
		discover_release_fd(v->kernel_fd, v->release, sizeof(v->release));
		close(v->kernel_fd);
		v->kernel_fd = -1;
	}
	json_put_string(call->out, "name", m->name);
	json_put_number(call->out, "pid", getpid());
	json_put_string(call->out, "state", state_name(v->kvm));
	json_put_number(call->out, "cpus", m->nr_cpus);
	json_put_number(call->out, "memory", m->mem);
	json_put_number(call->out, "resident", vm_resident(v));
	json_put_number(call->out, "uptime_ms", (now_ns() - v->start) / NSEC_PER_MSEC);
	json_put_string(call->out, "kernel", m->kernel);
	json_put_string(call->out, "release", v->release);
}

static void config_get(struct control_call *call)
{
	const struct vm_control *v = call->vm;

	if (v->machine.err)
		control_refuse(call, "failed", NULL, "out of memory");
	else
		json_put_raw(call->out, NULL, v->machine.text, v->machine.len);
}

struct kvm *control_kvm(struct control_call *call)
{
	struct vm_control *v = call->vm;

	if (!kvm_ended(v->kvm))
		return v->kvm;
	control_refuse(call, "state", NULL, "the VM is stopping");
	return NULL;
}

static int resume(struct vm_control *v)
{
	int err = kvm_resume(v->kvm);

	if (v->kvm->state == KVM_RUNNING)
		control_event(v->server, "resumed", NULL);
	return err;
}

/* What is paused can do nothing that it is asked for. */
static void vm_stop(struct control_call *call)
{
	struct kvm *kvm = control_kvm(call);
	struct vm_control *v = call->vm;
	struct guest_command *g = v->command;
	bool command = g && g->port.main.state == SESSION_STARTED;

	if (!kvm)
		return;
	if (command) {
		/* A shell that somebody types at does not mind the other. */
		session_signal(&g->port.main, v->shell ? SIGHUP : SIGTERM);
	} else if (!kvm->power_button || acpi_pm_press(kvm->power_button)) {
		control_refuse(call, "unsupported", NULL,
			       "the guest does not listen to a power button");
		return;
	}
	if (kvm->state == KVM_PAUSED)
		resume(v);
	json_put_string(call->out, "asked", command ? "command" : "power-button");
}

static void vm_kill(struct control_call *call)
{
	struct vm_control *v = call->vm;

	if (v->command)
		command_end(v->command, v->kvm, SIGKILL);
	else if (control_kvm(call))
		kvm_end(v->kvm, VM_END_USER, SIGKILL);
}

static void vm_pause(struct control_call *call)
{
	struct kvm *kvm = control_kvm(call);
	struct vm_control *v = call->vm;

	if (!kvm)
		return;
	if (kvm_pause(kvm))
		control_refuse(call, "state", NULL, "the VM is %s", state_name(kvm));
	else
		control_event(v->server, "paused", NULL);
}

static void vm_resume(struct control_call *call)
{
	struct kvm *kvm = control_kvm(call);
	struct vm_control *v = call->vm;
	int err;

	if (!kvm)
		return;
	if (kvm->state != KVM_PAUSED) {
		control_refuse(call, "state", NULL, "the VM is %s", state_name(kvm));
		return;
	}
	err = resume(v);
	if (err)
		control_refuse(call, "failed", NULL, "the VM goes on, without a device: %s",
			       strerror(-err));
}

static void vm_reset(struct control_call *call)
{
	struct kvm *kvm = control_kvm(call);
	struct vm_control *v = call->vm;
	struct report r = { "" };
	bool running;

	if (!kvm)
		return;
	if (v->command) {
		control_refuse(call, "unsupported", NULL,
			       "the VM runs a command, which would be lost");
		return;
	}
	running = !kvm_pause(kvm);
	if (kvm_reset(kvm, &r)) {
		control_refuse(call, "failed", NULL, "%s", r.msg);
		return;
	}
	/* All that the last guest printed has passed, and the next has not begun. */
	pthread_mutex_lock(&v->console->lock);
	klog_forget(&v->console->log);
	pthread_mutex_unlock(&v->console->lock);
	if (running)
		kvm_resume(kvm);
	control_event(v->server, "reset", NULL);
}

static struct virtio_device *find_balloon(struct kvm *kvm)
{
	for (struct device *d = kvm->devices; d; d = d->next) {
		struct virtio_device *dev = virtio_of(d);

		if (dev && dev->class == &virtio_balloon_class)
			return dev;
	}
	return NULL;
}

/* What the guest said last, and it is asked for more: that is there when seq has grown. */
static void put_guest_memory(struct json_out *o, struct virtio_device *dev)
{
	static const char *const names[] = VIRTIO_BALLOON_S_NAMES;
	struct virtio_balloon_stats s;

	virtio_balloon_get_stats(dev, &s);
	virtio_balloon_request_stats(dev);
	json_open(o, "guest", '{');
	json_put_number(o, "seq", s.seq);
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (s.valid & BIT(i))
			json_put_number(o, names[i], s.value[i]);
	json_close(o, '}');
}

static void vm_balloon(struct control_call *call)
{
	const struct control_value *size = &call->arg[0];
	struct kvm *kvm = control_kvm(call);
	struct virtio_device *dev = kvm ? find_balloon(kvm) : NULL;

	if (!kvm)
		return;
	if (!dev) {
		control_refuse(call, "unsupported", NULL,
			       "the VM has no balloon (lkvm run --balloon)");
		return;
	}
	if (size->given && virtio_balloon_set_target(dev, size->number)) {
		control_refuse(call, "invalid", "args.size",
			       "more than the guest has");
		return;
	}
	json_put_number(call->out, "target", virtio_balloon_target(dev));
	json_put_number(call->out, "actual", virtio_balloon_actual(dev));
	put_guest_memory(call->out, dev);
}

static const control_handler handlers[CONTROL_NR] = {
	[CONTROL_CONFIG_GET] = config_get,
	[CONTROL_VM_STATUS] = vm_status,
	[CONTROL_VM_STOP] = vm_stop,
	[CONTROL_VM_KILL] = vm_kill,
	[CONTROL_VM_PAUSE] = vm_pause,
	[CONTROL_VM_RESUME] = vm_resume,
	[CONTROL_VM_RESET] = vm_reset,
	[CONTROL_VM_STAT] = vm_stat,
	[CONTROL_VM_BALLOON] = vm_balloon,
	[CONTROL_CONSOLE_OPEN] = console_reader_open,
	[CONTROL_DEBUG_NMI] = debug_nmi,
	[CONTROL_DEBUG_SYSRQ] = debug_sysrq,
	[CONTROL_DEBUG_REGS] = debug_regs,
	[CONTROL_DEBUG_MEMORY] = debug_memory,
	[CONTROL_GUEST_EXEC] = guest_exec,
	[CONTROL_GUEST_SIGNAL] = guest_signal,
	[CONTROL_GUEST_RESIZE] = guest_resize,
	[CONTROL_DISK_ATTACH] = plug_disk,
	[CONTROL_NET_ATTACH] = plug_network,
	[CONTROL_SHARE_ATTACH] = plug_share,
	[CONTROL_DEVICE_DETACH] = plug_detach,
};

static int open_socket(struct vm_control *v, struct report *r)
{
	struct control_opts opts = {
		.name = v->config->machine.name,
		.version = lkvm_version,
		.handler = handlers,
		.vm = v,
	};
	int err = control_dir(v->dir, sizeof(v->dir));

	if (!err)
		err = control_dir_make(v->dir);
	if (err)
		return report_error(r, -err, "control socket in %s", v->dir);
	err = control_address(&opts.address, opts.name);
	if (err)
		return report_error(r, -err, "control socket of %s in %s",
				    opts.name, v->dir);
	return control_server_create(&v->server, &opts, r);
}

int control_open(struct vm_control *v, const struct run_config *config,
		 bool named, struct report *r)
{
	struct report why = { "" };
	int err;

	v->config = config;
	v->start = now_ns();
	v->memory_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	v->kernel_fd = open(config->machine.kernel,
			    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	err = open_socket(v, named ? r : &why);
	if (err && !named) {
		fprintf(stderr, "lkvm: no control socket, lkvm list will not show this VM: %s\n",
			why.msg);
		err = 0;
	}
	return err;
}

void control_attach(struct vm_control *v, struct kvm *kvm, struct console *c,
		    struct guest_command *g)
{
	v->kvm = kvm;
	v->console = c;
	v->command = g;
	if (v->server)
		kvm->unsealed.removable[1] = v->dir;
}

static bool is_up(const struct vm_control *v)
{
	enum session_state state;

	if (!v->command)
		return true;
	state = v->command->port.main.state;
	return state == SESSION_STARTED || state == SESSION_EXITED ||
	       state == SESSION_KILLED;
}

void control_serve(struct vm_control *v)
{
	if (!v->begun) {
		v->begun = true;
		control_event(v->server, "started", NULL);
	}
	if (v->up_fd >= 0 && is_up(v))
		detach_say(&v->up_fd, 0, "%s: process %d, output in %s",
			   v->config->machine.name, getpid(), v->log);
	console_readers_serve(v);
}

static void tell_end(struct vm_control *v, const char *event, const char *text)
{
	struct json_out o = { 0 };

	if (text)
		json_put_string(&o, "text", text);
	control_event(v->server, event, &o);
	json_out_free(&o);
}

void control_stopped(struct vm_control *v)
{
	const struct klog *log = &v->console->log;
	struct kvm *kvm = v->kvm;

	switch (kvm_ended(kvm)) {
	case VM_END_PANIC:
		tell_end(v, "panic", log->panicked ? log->panic : "");
		break;
	case VM_END_RESET:
	case VM_END_TRIPLE_FAULT:
		/* Many kernels reset after a panic. */
		if (log->panicked)
			tell_end(v, "panic", log->panic);
		tell_end(v, "reset", NULL);
		break;
	case VM_END_POWEROFF:
	case VM_END_DEBUG_EXIT:
	case VM_END_REPORTED:
		tell_end(v, "shutdown", NULL);
		break;
	case VM_END_ERROR:
		tell_end(v, "internal-error", kvm->end_text);
		break;
	case VM_END_USER:
	case VM_END_TIMEOUT:
		if (log->panicked && !kvm->end_code)
			tell_end(v, "panic", log->panic);
		break;
	default:
		break;
	}
}

void control_ended(struct vm_control *v, const struct outcome *out)
{
	struct json_out o = { 0 };

	if (!v->server)
		return;
	json_put_string(&o, "cause", out->cause);
	json_put_number(&o, "code", out->code);
	json_put_number(&o, "signal", out->signal);
	json_put_number(&o, "status", out->status);
	json_put_string(&o, "text", out->text);
	control_event(v->server, "exited", &o);
	json_out_free(&o);
	console_readers_close(v);
	control_server_finish(v->server, FINISH_MS);
}

void control_shut(struct vm_control *v)
{
	control_server_destroy(v->server);
	free(v->plug);
	v->plug = NULL;
	v->server = NULL;
	json_out_free(&v->machine);
	if (v->stats_fd >= 0)
		close(v->stats_fd);
	if (v->memory_fd >= 0)
		close(v->memory_fd);
	if (v->kernel_fd >= 0)
		close(v->kernel_fd);
}
