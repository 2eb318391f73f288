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
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/control-path.h"

#define FINISH_MS 500

static const char *state_name(const struct kvm *kvm)
{
	static const char *const names[] = {
		[KVM_CREATED] = "created",
		[KVM_RUNNING] = "running",
		[KVM_PAUSED] = "paused",
		[KVM_STOPPED] = "stopped",
	};

	return kvm->end != VM_END_NONE ? "stopping" : names[kvm->state];
}

/* Bytes of this process that are in memory, its guest's among them */
static u64 resident(const struct vm_control *v)
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
	char release[128] = "";

	if (v->kernel_fd >= 0)
		discover_release_fd(v->kernel_fd, release, sizeof(release));
	json_put_string(call->out, "name", m->name);
	json_put_number(call->out, "pid", getpid());
	json_put_string(call->out, "state", state_name(v->kvm));
	json_put_number(call->out, "cpus", m->nr_cpus);
	json_put_number(call->out, "memory", m->mem);
	json_put_number(call->out, "resident", resident(v));
	json_put_number(call->out, "uptime_ms", (now_ns() - v->start) / 1000000);
	json_put_string(call->out, "kernel", m->kernel);
	json_put_string(call->out, "release", release);
}

static void vm_stop(struct control_call *call)
{
	struct vm_control *v = call->vm;
	struct guest_command *g = v->command;

	if (g && g->session.state == SESSION_STARTED) {
		session_signal(&g->session, SIGTERM);
		json_put_string(call->out, "asked", "command");
	} else if (v->kvm->power_button && !acpi_pm_press(v->kvm->power_button)) {
		json_put_string(call->out, "asked", "power-button");
	} else {
		control_refuse(call, "unsupported", NULL,
			       "the guest does not listen to a power button");
	}
}

static void vm_kill(struct control_call *call)
{
	struct vm_control *v = call->vm;

	kvm_end(v->kvm, VM_END_USER, SIGKILL);
}

static const control_handler handlers[CONTROL_NR] = {
	[CONTROL_VM_STATUS] = vm_status,
	[CONTROL_VM_STOP] = vm_stop,
	[CONTROL_VM_KILL] = vm_kill,
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
		fprintf(stderr, "lkvm: cannot be found by name: %s\n", why.msg);
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

void control_ended(struct vm_control *v, const struct outcome *out)
{
	struct json_out o = { 0 };

	if (!v->server)
		return;
	json_put_string(&o, "cause", out->cause);
	json_put_number(&o, "code", out->code);
	json_put_number(&o, "status", out->status);
	json_put_string(&o, "text", out->text);
	control_event(v->server, "exited", &o);
	json_out_free(&o);
	control_server_finish(v->server, FINISH_MS);
}

void control_shut(struct vm_control *v)
{
	control_server_destroy(v->server);
	v->server = NULL;
	if (v->memory_fd > 0)
		close(v->memory_fd);
	if (v->kernel_fd > 0)
		close(v->kernel_fd);
}
