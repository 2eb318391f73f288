// SPDX-License-Identifier: GPL-2.0-only
/*
 * A request on the control socket: checked by the table, then done.
 *
 * Theory of operation: a line is an object with id, cmd and args, and nothing
 * else. Each argument has to be in the command's row and of its type and range,
 * those that are required have to be there, and as many files as the row says.
 * The handler gets values that need no more checks of that kind. What is wrong is
 * said with the path of what is meant; the connection goes on.
 *
 * The thread of control_server_run(); no state.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/server.h"

static int refuse(struct control_error *e, const char *code, const char *path,
		  const char *fmt, ...)
	__printf(4, 5);

static int refuse(struct control_error *e, const char *code, const char *path,
		  const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	e->path = path;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return -1;
}

static const struct control_cmd *find_command(const char *name)
{
	for (unsigned int i = 0; i < CONTROL_NR; i++)
		if (!strcmp(control_table[i].name, name))
			return &control_table[i];
	return NULL;
}

static int check_strings(const struct control_arg *a,
			 const struct json_value *v, const char *path,
			 struct control_error *e)
{
	if (v->type != JSON_ARRAY)
		return refuse(e, "invalid", path, "not an array");
	if (v->nr > a->max)
		return refuse(e, "invalid", path, "more than %llu",
			      (unsigned long long)a->max);
	for (const struct json_value *i = json_first(v); i; i = json_next(v, i))
		if (i->type != JSON_STRING)
			return refuse(e, "invalid", path, "not all are strings");
	return 0;
}

/* Into *@out if @v is what the row says of the argument */
static int check_value(const struct control_arg *a, const struct json_value *v,
		       const char *path, struct control_value *out,
		       struct control_error *e)
{
	*out = (struct control_value){ .given = true };
	switch (a->type) {
	case CONTROL_STRING:
		if (v->type != JSON_STRING)
			return refuse(e, "invalid", path, "not a string");
		if (strlen(v->string) > a->max)
			return refuse(e, "invalid", path, "length is more than %llu",
				      (unsigned long long)a->max);
		out->string = v->string;
		return 0;
	case CONTROL_NUMBER:
		if (v->type != JSON_NUMBER || !v->whole)
			return refuse(e, "invalid", path, "not a whole number");
		if ((v->negative && v->number) || v->number < a->min ||
		    v->number > a->max)
			return refuse(e, "invalid", path, "not %llu to %llu",
				      (unsigned long long)a->min,
				      (unsigned long long)a->max);
		out->number = v->number;
		return 0;
	case CONTROL_BOOL:
		if (v->type != JSON_TRUE && v->type != JSON_FALSE)
			return refuse(e, "invalid", path, "neither true nor false");
		out->flag = v->type == JSON_TRUE;
		return 0;
	default:
		out->list = v;
		return check_strings(a, v, path, e);
	}
}

static int check_args(struct control_call *call, const struct json_value *args,
		      char path[80], struct control_error *e)
{
	const struct control_arg *row = call->cmd->arg, *a;

	if (args && args->type != JSON_OBJECT)
		return refuse(e, "invalid", "args", "not an object");
	for (const struct json_value *v = json_first(args); v;
	     v = json_next(args, v)) {
		for (a = row; a && a->name && strcmp(a->name, v->key);)
			a++;
		snprintf(path, 80, "args.%.64s", v->key);
		if (!a || !a->name)
			return refuse(e, "invalid", path, "%s has no such argument",
				      call->cmd->name);
		if (check_value(a, v, path, &call->arg[a - row], e))
			return -1;
	}
	for (a = row; a && a->name; a++) {
		snprintf(path, 80, "args.%s", a->name);
		if (a->required && !call->arg[a - row].given)
			return refuse(e, "invalid", path, "missing");
	}
	return 0;
}

/* Return: whether there is nothing in the request but what belongs there. */
static bool has_only_known(const struct json_value *o, char path[80])
{
	for (const struct json_value *v = json_first(o); v; v = json_next(o, v)) {
		if (!strcmp(v->key, "id") || !strcmp(v->key, "cmd") ||
		    !strcmp(v->key, "args"))
			continue;
		snprintf(path, 80, "%.64s", v->key);
		return false;
	}
	return true;
}

static int check_request(struct control_call *call, const struct json_value *o,
			 char path[80], struct control_error *e)
{
	const struct json_value *id = json_member(o, "id");
	const char *cmd = json_string_of(o, "cmd");

	if (cmd)
		call->cmd = find_command(cmd);
	if (o->type != JSON_OBJECT)
		return refuse(e, "invalid", NULL, "not an object");
	if (!id || id->type != JSON_NUMBER || !id->whole || id->negative)
		return refuse(e, "invalid", "id", id ? "not a whole number" :
			      "missing");
	e->id = id->number;
	e->has_id = true;
	call->id = id->number;
	if (!has_only_known(o, path))
		return refuse(e, "invalid", path, "unknown key");
	if (!cmd)
		return refuse(e, "invalid", "cmd", "not a string");
	if (!call->cmd)
		return refuse(e, "unknown-command", "cmd", "no command %.64s", cmd);
	return check_args(call, json_member(o, "args"), path, e);
}

/* Its own are those that have come, whatever else is wrong with it. */
static int check_files(struct control_call *call, struct control_error *e)
{
	struct control_client *c = call->client;
	unsigned int nr = call->cmd ? call->cmd->nr_fds : 0, nr_given = c->nr_fds;

	if (!nr)
		return 0;
	memcpy(call->fd, c->fd, c->nr_fds * sizeof(int));
	c->nr_fds = 0;
	if (nr_given == nr || e->code)
		return 0;
	return refuse(e, "invalid", NULL, "%s takes %u files with it",
		      call->cmd->name, nr);
}

static void do_schema(struct control_call *call)
{
	control_schema(call->out, "schema");
}

static void do_subscribe(struct control_call *call)
{
	call->client->subscribed = true;
	json_put_number(call->out, "seq", call->server->seq);
}

static control_handler find_handler(const struct control_call *call)
{
	enum control_id id = call->cmd - control_table;

	switch (id) {
	case CONTROL_SCHEMA:
		return do_schema;
	case CONTROL_EVENTS_SUBSCRIBE:
		return do_subscribe;
	default:
		return call->server->opts.handler[id];
	}
}

static void call_run(struct control_call *call)
{
	control_handler handler = find_handler(call);

	if (!handler) {
		control_refuse(call, "unsupported", "cmd",
			       "this VM cannot do %s", call->cmd->name);
		return;
	}
	handler(call);
	if (call->answered || call->later)
		return;
	if (call->out->err)
		control_refuse(call, "failed", NULL, "no memory");
	else
		client_answer(call->client, call->id, call->out);
}

void request_run(struct control_client *c, char *line, size_t len)
{
	struct control_server *s = c->server;
	struct json_doc doc = { .value = s->value, .max = s->nr_values };
	struct json_out out = { 0 };
	struct control_call call = {
		.server = s, .client = c, .vm = s->opts.vm, .out = &out,
	};
	struct control_error e = { 0 };
	char path[80];
	bool bad;

	for (unsigned int i = 0; i < CONTROL_FDS_MAX; i++)
		call.fd[i] = -1;
	if (json_parse(&doc, line, len)) {
		refuse(&e, "parse", NULL, "byte %zu: %s", doc.at, doc.error);
		client_error(c, &e);
		return;
	}
	bad = check_request(&call, doc.value, path, &e);
	if (check_files(&call, &e) || bad)
		client_error(c, &e);
	else
		call_run(&call);
	for (unsigned int i = 0; i < CONTROL_FDS_MAX; i++)
		if (call.fd[i] >= 0)
			close(call.fd[i]);
	json_out_free(&out);
}
