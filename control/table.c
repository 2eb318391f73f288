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
	[CONTROL_VM_STATUS] = {
		.name = "vm.status",
		.help = "what the VM is, and its state",
		.result = "name, pid, state, cpus, memory, resident, uptime_ms, kernel",
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
};

const struct control_event_desc control_events[] = {
	{ "exited", "the VM has ended", "cause, code, status" },
	{ NULL, NULL, NULL },
};

const char *control_type_name(enum control_type type)
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
		for (const struct control_arg *a = c->arg; a->name; a++)
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
