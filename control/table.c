// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one table of what can be said to a running VM.
 *
 * Theory of operation: the server parses and checks requests by it, the schema
 * is it, the reference page is checked against it and the fuzzer takes its words
 * from it. What a command does is a handler's business, whom the server is given
 * by enum control_id. To add one: an id, a row, a handler, a section in
 * Documentation/control.md.
 */
#include "kvm/control.h"
#include "kvm/net.h"

const struct control_cmd control_table[CONTROL_NR] = {
	[CONTROL_SCHEMA] = {
		.name = "schema",
		.help = "all commands, their arguments, and events",
		.result = "protocol, commands, events",
	},
	[CONTROL_EVENTS_SUBSCRIBE] = {
		.name = "events.subscribe",
		.help = "from here on events come on this connection",
		.result = "seq: of the last event before",
	},
	[CONTROL_CONFIG_GET] = {
		.name = "config.get",
		.help = "the machine as it was started, for lkvm run --config",
		.result = "what lkvm run --dry-run --json prints",
	},
	[CONTROL_VM_STATUS] = {
		.name = "vm.status",
		.help = "what the VM is, and its state",
		.result = "name, pid, state, cpus, memory, resident, uptime_ms, kernel, release",
	},
	[CONTROL_VM_STOP] = {
		.name = "vm.stop",
		.help = "ask the guest to power off, as a power button does",
		.result = "asked: by what",
	},
	[CONTROL_VM_KILL] = {
		.name = "vm.kill",
		.help = "end the VM at once, as pulling the plug does",
	},
	[CONTROL_VM_PAUSE] = {
		.name = "vm.pause",
		.help = "no CPU and no device of the guest does anything from here on",
	},
	[CONTROL_VM_RESUME] = {
		.name = "vm.resume",
		.help = "undo vm.pause",
	},
	[CONTROL_VM_RESET] = {
		.name = "vm.reset",
		.help = "start over, as the reset button of a machine does",
	},
	[CONTROL_VM_STAT] = {
		.name = "vm.stat",
		.help = "what is counted of the VM since it began",
		.result = "uptime_ms, memory, resident, cpus, exits, devices, kvm",
	},
	[CONTROL_VM_BALLOON] = {
		.name = "vm.balloon",
		.help = "how much of its memory the guest is to give up",
		.result = "target, actual: bytes wanted, and given up by now; guest: its memory",
		.arg = (const struct control_arg[]){
			{ "size", CONTROL_NUMBER, false, 0, 1ULL << 52,
			  "bytes in all, 0 for none; without it, nothing changes" },
			{ .name = NULL },
		},
	},
	[CONTROL_CONSOLE_OPEN] = {
		.name = "console.open",
		.help = "the console's bytes go to the socket that comes with this, too",
		.nr_fds = 1,
		.arg = (const struct control_arg[]){
			{ "input", CONTROL_BOOL, false, 0, 0,
			  "bytes from the socket are typed at the console" },
			{ "rows", CONTROL_NUMBER, false, 1, 65535,
			  "of the terminal" },
			{ "cols", CONTROL_NUMBER, false, 1, 65535,
			  "of the terminal" },
			{ .name = NULL },
		},
	},
	[CONTROL_DEBUG_NMI] = {
		.name = "debug.nmi",
		.help = "an NMI to a CPU of the guest",
		.arg = (const struct control_arg[]){
			{ "cpu", CONTROL_NUMBER, false, 0, 8191, "0 by default" },
			{ .name = NULL },
		},
	},
	[CONTROL_DEBUG_SYSRQ] = {
		.name = "debug.sysrq",
		.help = "a magic SysRq key on the guest's console",
		.arg = (const struct control_arg[]){
			{ "key", CONTROL_STRING, true, 0, 1, "one character" },
			{ .name = NULL },
		},
	},
	[CONTROL_DEBUG_REGS] = {
		.name = "debug.regs",
		.help = "registers of the CPUs, which stop for that",
		.result = "cpus: an array of id and text",
	},
	[CONTROL_DEBUG_MEMORY] = {
		.name = "debug.memory",
		.help = "what is in the guest's memory",
		.result = "data: two hexadecimal digits a byte",
		.arg = (const struct control_arg[]){
			{ "gpa", CONTROL_NUMBER, true, 0, ~0ULL,
			  "guest-physical address" },
			{ "len", CONTROL_NUMBER, true, 1, 0x10000, "bytes" },
			{ .name = NULL },
		},
	},
	[CONTROL_GUEST_EXEC] = {
		.name = "guest.exec",
		.help = "run a command in the guest; the answer comes when it has ended",
		.result = "exit, or signal; error: why it could not be run",
		.nr_fds = 5,
	},
	[CONTROL_GUEST_SIGNAL] = {
		.name = "guest.signal",
		.help = "send a signal to such a command",
		.arg = (const struct control_arg[]){
			{ "exec", CONTROL_NUMBER, true, 0, UINT64_MAX,
			  "the id of the request that it came from" },
			{ "signal", CONTROL_NUMBER, true, 1, 31, "its number" },
			{ .name = NULL },
		},
	},
	[CONTROL_GUEST_RESIZE] = {
		.name = "guest.resize",
		.help = "tell such a command that its terminal has another size",
		.arg = (const struct control_arg[]){
			{ "exec", CONTROL_NUMBER, true, 0, UINT64_MAX,
			  "the id of the request that it came from" },
			{ "rows", CONTROL_NUMBER, true, 0, UINT16_MAX, "lines" },
			{ "cols", CONTROL_NUMBER, true, 0, UINT16_MAX, "columns" },
			{ .name = NULL },
		},
	},
	[CONTROL_DISK_ATTACH] = {
		.name = "disk.attach",
		.help = "one more disk, the open file that comes with it",
		.result = "device: its id",
		.nr_fds = 1,
		.arg = (const struct control_arg[]){
			{ "path", CONTROL_STRING, true, 0, 4096,
			  "what it is called in messages" },
			{ "serial", CONTROL_STRING, false, 0, 20,
			  "its serial number" },
			{ "readonly", CONTROL_BOOL, false, 0, 0,
			  "nothing is written to it" },
			{ "direct", CONTROL_BOOL, false, 0, 0,
			  "the file is open with O_DIRECT" },
			{ .name = NULL },
		},
	},
	[CONTROL_NET_ATTACH] = {
		.name = "net.attach",
		.help = "one more network interface, on a tap device or socket",
		.result = "device: its id",
		.nr_fds = 1,
		.arg = (const struct control_arg[]){
			{ "mac", CONTROL_STRING, false, 0, 17, "its address" },
			{ "mtu", CONTROL_NUMBER, false, NET_MIN_MTU,
			  NET_MAX_MTU, "its largest packet" },
			{ .name = NULL },
		},
	},
	[CONTROL_SHARE_ATTACH] = {
		.name = "share.attach",
		.help = "one more shared directory, the one that comes with it",
		.result = "device: its id",
		.nr_fds = 1,
		.arg = (const struct control_arg[]){
			{ "path", CONTROL_STRING, true, 0, 4096,
			  "what it is called in messages" },
			{ "tag", CONTROL_STRING, true, 0, 36,
			  "what the guest mounts it by" },
			{ "readonly", CONTROL_BOOL, false, 0, 0,
			  "nothing below it is changed" },
			{ .name = NULL },
		},
	},
	[CONTROL_DEVICE_DETACH] = {
		.name = "device.detach",
		.help = "ask the guest to let go of a device; answers when it is gone",
		.result = "device: the id that it had",
		.arg = (const struct control_arg[]){
			{ "device", CONTROL_STRING, true, 0, 23, "its id" },
			{ "force", CONTROL_BOOL, false, 0, 0,
			  "do not ask, take it away" },
			{ .name = NULL },
		},
	},
};

const struct control_event_desc control_events[] = {
	{ "started", "the guest's CPUs run", "" },
	{ "paused", "no CPU and no device of the guest does anything", "" },
	{ "resumed", "they do again", "" },
	{ "panic", "the guest's kernel has panicked", "text" },
	{ "reset", "the guest has reset itself, or a CPU of it triple-faulted", "" },
	{ "shutdown", "the guest has powered off, or its command has ended", "" },
	{ "internal-error", "KVM or lkvm cannot go on with the guest", "text" },
	{ "device-added", "the VM has a device more", "device" },
	{ "device-removed", "a device is gone", "device" },
	{ "exited", "the VM has ended; the last one", "cause, code, signal, status, text" },
	{ NULL, NULL, NULL },
};

static const char *control_type_name(enum control_type type)
{
	static const char *const names[] = {
		[CONTROL_STRING] = "string",
		[CONTROL_NUMBER] = "number",
		[CONTROL_BOOL] = "bool",
		[CONTROL_STRINGS] = "strings",
	};

	return names[type];
}

static void schema_arg(struct json_out *o, const struct control_arg *a)
{
	json_open(o, NULL, '{');
	json_put_string(o, "name", a->name);
	json_put_string(o, "type", control_type_name(a->type));
	json_put_bool(o, "required", a->required);
	if (a->type == CONTROL_NUMBER)
		json_put_number(o, "min", a->min);
	if (a->max)
		json_put_number(o, "max", a->max);
	json_put_string(o, "help", a->help);
	json_close(o, '}');
}

void control_schema(struct json_out *o, const char *key)
{
	json_open(o, key, '{');
	json_put_number(o, "protocol", CONTROL_PROTOCOL);
	json_open(o, "commands", '[');
	for (unsigned int i = 0; i < CONTROL_NR; i++) {
		const struct control_cmd *c = &control_table[i];

		json_open(o, NULL, '{');
		json_put_string(o, "name", c->name);
		json_put_string(o, "help", c->help);
		json_put_number(o, "files", c->nr_fds);
		json_open(o, "args", '[');
		for (const struct control_arg *a = c->arg; a && a->name; a++)
			schema_arg(o, a);
		json_close(o, ']');
		json_put_string(o, "result", c->result);
		json_close(o, '}');
	}
	json_close(o, ']');
	json_open(o, "events", '[');
	for (const struct control_event_desc *e = control_events; e->name; e++) {
		json_open(o, NULL, '{');
		json_put_string(o, "name", e->name);
		json_put_string(o, "help", e->help);
		json_put_string(o, "data", e->data);
		json_close(o, '}');
	}
	json_close(o, ']');
	json_close(o, '}');
}
