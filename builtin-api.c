// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm api: anything that the control socket understands.
 *
 * Theory of operation: what is given is sent, and what comes back is printed as
 * it is; who has asked for events gets them until the VM ends. The schema is in
 * the program, and is printed without any VM.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "lkvm.h"

#define VALUES 4096

static int print_schema(void)
{
	struct json_out o = { 0 };

	control_schema(&o, NULL);
	if (o.err)
		return fail_with("api", strerror(-o.err));
	printf("%s\n", o.text);
	json_out_free(&o);
	return 0;
}

/*
 * The command of the request @text into *@cmd, its arguments into *@args, which
 * the caller frees. Return: what is wrong, or NULL
 */
static const char *take_request(const char *text, char **cmd, char **args)
{
	struct json_value *value = calloc(VALUES, sizeof(*value));
	struct json_doc doc = { .value = value, .max = VALUES };
	char *copy = strdup(text);
	const char *why = NULL, *name;
	const struct json_value *v;

	if (!value || !copy) {
		why = "no memory";
		goto out;
	}
	if (json_parse(&doc, copy, strlen(copy))) {
		why = doc.error;
		goto out;
	}
	name = json_string_of(value, "cmd");
	v = json_member(value, "args");
	for (const struct json_value *i = json_first(value); i;
	     i = json_next(value, i))
		if (value->type != JSON_OBJECT ||
		    (strcmp(i->key, "cmd") && strcmp(i->key, "args")))
			why = "not an object of cmd and args";
	if (!why && !name)
		why = "no cmd";
	if (!why)
		*cmd = strdup(name);
	if (!why && v)
		*args = strndup(text + v->begin, v->end - v->begin);
out:
	free(value);
	free(copy);
	return why;
}

static int print_events(struct lkvm *vm)
{
	char *line;
	int err = 0;

	while (!err && !lkvm_receive(vm, &line, -1)) {
		printf("%s\n", line);
		err = status_of_output(0);
		free(line);
	}
	return err;
}

static int api_call(struct lkvm *vm, const char *name, const char *cmd,
		    char *args)
{
	char *ok = NULL;
	int err;

	/* Line breaks are white space, in which JSON has none that count. */
	for (char *c = args; c && *c; c++)
		if (*c == '\n')
			*c = ' ';
	err = lkvm_call(vm, cmd, args, -1, &ok);
	if (err == -EREMOTEIO) {
		fprintf(stderr, "lkvm: %s: %s: %s\n", name,
			lkvm_error_code(vm), lkvm_error(vm));
		return STATUS_ERROR;
	}
	if (err)
		return fail_with(name, vm_error(vm, err));
	printf("%s\n", ok);
	free(ok);
	err = status_of_output(0);
	if (!err && !strcmp(cmd, control_table[CONTROL_EVENTS_SUBSCRIBE].name))
		err = print_events(vm);
	return err;
}

int cmd_api(int argc, char **argv)
{
	char *cmd = NULL, *args = NULL;
	struct lkvm *vm;
	const char *why;
	int err;

	if (argc == 2 && !strcmp(argv[1], "schema"))
		return print_schema();
	if (argc != 3)
		return fail_with("api", "usage: lkvm api schema, or lkvm api NAME '{\"cmd\":..}'");
	why = take_request(argv[2], &cmd, &args);
	if (why)
		return fail_with("api: request", why);
	err = lkvm_connect(&vm, argv[1]);
	if (err) {
		err = fail_with(argv[1], vm_why(err));
	} else {
		err = api_call(vm, argv[1], cmd, args);
		lkvm_close(vm);
	}
	free(cmd);
	free(args);
	return err;
}
