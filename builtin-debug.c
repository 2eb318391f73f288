// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looking into a running VM: registers, memory, NMI, SysRq.
 *
 * Theory of operation: handlers of the control socket on the main thread. KVM
 * lets nobody have a vCPU that runs, neither for its registers nor for an NMI, so
 * the VM is paused for that if it is not. Memory is read as it is at that moment.
 * SysRq goes the way that any kernel with MAGIC_SYSRQ knows: a break on the serial
 * port and the key behind it, which MAGIC_SYSRQ_SERIAL takes, or ^O and the key on
 * a virtio console. Either works only where the guest has opened its console.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "kvm/arch.h"
#include "kvm/hw.h"
#include "kvm/virtio.h"

#define HVC_SYSRQ 0x0f

void debug_nmi(struct control_call *call)
{
	struct kvm *kvm = control_kvm(call);
	u64 cpu = call->arg[0].number;
	bool resume;
	int err;

	if (!kvm)
		return;
	if (cpu >= kvm->nr_cpus) {
		control_refuse(call, "invalid", "args.cpu", "there are %u CPUs",
			       kvm->nr_cpus);
		return;
	}
	resume = !kvm_pause(kvm);
	err = kvm_cpu_nmi(&kvm->cpus[cpu]);
	if (resume)
		kvm_resume(kvm);
	if (err)
		control_refuse(call, "failed", NULL, "KVM_NMI: %s", strerror(-err));
}

static int send_sysrq(struct kvm *kvm, char key)
{
	const char keys[] = { HVC_SYSRQ, key };

	if (!kvm->console_virtio)
		return serial_break(kvm->console_serial, key);
	return virtio_console_input(kvm->console_virtio, 0, keys, 2) == 2 ?
	       0 : -ENOTCONN;
}

void debug_sysrq(struct control_call *call)
{
	struct kvm *kvm = control_kvm(call);
	const char *key = call->arg[0].string;

	if (!kvm)
		return;
	if (*key <= ' ')
		control_refuse(call, "invalid", "args.key", "not one character");
	else if (send_sysrq(kvm, *key))
		control_refuse(call, "failed", NULL,
			       "the guest does not listen on its console");
}

void debug_regs(struct control_call *call)
{
	struct kvm *kvm = control_kvm(call);
	bool resume;
	char text[3072];

	if (!kvm)
		return;
	resume = !kvm_pause(kvm);
	json_open(call->out, "cpus", '[');
	for (unsigned int i = 0; i < kvm->nr_cpus; i++) {
		arch_cpu_describe(&kvm->cpus[i], text, sizeof(text));
		json_open(call->out, NULL, '{');
		json_put_number(call->out, "id", i);
		json_put_string(call->out, "text", text);
		json_close(call->out, '}');
	}
	json_close(call->out, ']');
	if (resume)
		kvm_resume(kvm);
}

void debug_memory(struct control_call *call)
{
	static const char digits[] = "0123456789abcdef";
	u64 gpa = call->arg[0].number, len = call->arg[1].number;
	struct kvm *kvm = control_kvm(call);
	char *text;
	u8 *d;

	if (!kvm)
		return;
	d = malloc(len);
	text = malloc(2 * len + 1);
	if (!d || !text) {
		control_refuse(call, "failed", NULL, "no memory");
	} else if (gmem_read(&kvm->gmem, gpa, d, len)) {
		control_refuse(call, "invalid", "args.gpa",
			       "not all of that is the guest's memory");
	} else {
		for (u64 i = 0; i < len; i++) {
			text[2 * i] = digits[d[i] >> 4];
			text[2 * i + 1] = digits[d[i] & 15];
		}
		text[2 * len] = 0;
		json_put_string(call->out, "data", text);
	}
	free(text);
	free(d);
}
