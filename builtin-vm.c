// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm pause, resume, reset, balloon, wait; and what all of their kind share.
 *
 * Theory of operation: each is a thin client of the VM's control socket. What the
 * VM says that is wrong is printed as one line, with its name in front.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "lkvm.h"

#define ANSWER_MS 30000
#define VALUES 64
#define BALLOON_POLL_MS 50
/* The guest answers from a work queue. */
#define BALLOON_FRESH_MS 500

static const struct option_desc no_options[] = {
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

const char *vm_why(int err)
{
	return err == -ENOENT ? "no such VM (lkvm list)" : strerror(-err);
}

const char *vm_error(struct lkvm *vm, int err)
{
	const char *why = lkvm_error(vm);

	/* Where in the request is nothing to who has made none. */
	if (!strncmp(why, "args.", 5))
		why += 5;
	return err == -EREMOTEIO ? why :
	       err == -ECONNRESET || err == -EPIPE ? "the VM has ended" :
	       err == -ETIMEDOUT ? "the VM does not answer" : strerror(-err);
}

struct lkvm *vm_connect(const char *name)
{
	struct lkvm *vm = NULL;
	int err = lkvm_connect(&vm, name);

	if (err)
		fail_with(name, vm_why(err));
	return err ? NULL : vm;
}

int vm_call(struct lkvm *vm, const char *name, const char *cmd,
	    const char *args, char **ok)
{
	int err = lkvm_call(vm, cmd, args, ANSWER_MS, ok);

	return err ? fail_with(name, vm_error(vm, err)) : 0;
}

const char *vm_name(const struct option_desc *table, int argc, char **argv,
		    void *opts)
{
	struct report r = { "" };
	int nr = options_split(table, argc, argv, opts, &r);

	if (nr == 1)
		return argv[1];
	if (!nr)
		report_error(&r, 0, "%s: no name (lkvm list)", argv[0]);
	else if (nr > 0)
		report_error(&r, 0, "%s: unexpected argument %s", argv[0],
			     argv[2]);
	fail_report(&r);
	return NULL;
}

static int vm_simple(int argc, char **argv, const char *cmd)
{
	const char *name = vm_name(no_options, argc, argv, NULL);
	struct lkvm *vm = name ? vm_connect(name) : NULL;
	int err = vm ? vm_call(vm, name, cmd, NULL, NULL) : STATUS_ERROR;

	lkvm_close(vm);
	return err;
}

int cmd_pause(int argc, char **argv)
{
	return vm_simple(argc, argv, "vm.pause");
}

int cmd_resume(int argc, char **argv)
{
	return vm_simple(argc, argv, "vm.resume");
}

int cmd_reset(int argc, char **argv)
{
	return vm_simple(argc, argv, "vm.reset");
}

struct balloon_options {
	bool json;
	long wait;
};

const struct option_desc balloon_options[] = {
	{ "json", 0, OPT_FLAG, NULL, "print JSON",
	  offsetof(struct balloon_options, json), NULL },
	{ "wait", 0, OPT_TIME, "TIME",
	  "until the guest has given that much, or so long",
	  offsetof(struct balloon_options, wait), NULL },
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

/** struct balloon - what the VM says of it; @seq: how often the guest told of @free and @total */
struct balloon {
	u64 wanted;
	u64 given;
	u64 seq;
	u64 free;
	u64 total;
};

/* Return: 0 with what the VM says of its balloon */
static int balloon_call(struct lkvm *vm, const char *name, const char *args, char **ok,
			struct balloon *b)
{
	const struct json_value *guest;
	struct json_value value[VALUES];
	struct json_doc doc = { .value = value, .max = VALUES };
	int err = vm_call(vm, name, "vm.balloon", args, ok);
	char *copy;

	if (err)
		return err;
	copy = strdup(*ok);
	if (copy && !json_parse(&doc, copy, strlen(copy))) {
		guest = json_member(value, "guest");
		*b = (struct balloon){
			.wanted = json_number_of(value, "target"),
			.given = json_number_of(value, "actual"),
			.seq = json_number_of(guest, "seq"),
			.free = json_number_of(guest, "free-memory"),
			.total = json_number_of(guest, "total-memory"),
		};
	}
	free(copy);
	return 0;
}

static void balloon_print(const char *name, const struct balloon *b)
{
	printf("%s: %lluM wanted, %lluM given", name, (unsigned long long)(b->wanted / SZ_1M),
	       (unsigned long long)(b->given / SZ_1M));
	if (b->total)
		printf(", %lluM of %lluM free in the guest", (unsigned long long)(b->free / SZ_1M),
		       (unsigned long long)(b->total / SZ_1M));
	putchar('\n');
}

static int balloon_run(const struct balloon_options *o, const char *name,
		       const char *args)
{
	struct lkvm *vm = vm_connect(name);
	u64 end = now_ns() + o->wait * NSEC_PER_SEC;
	u64 fresh = now_ns() + BALLOON_FRESH_MS * NSEC_PER_MSEC;
	struct balloon b = { 0 };
	char *ok = NULL;
	u64 seq;
	int err;

	if (!vm)
		return STATUS_ERROR;
	err = balloon_call(vm, name, args, &ok, &b);
	seq = b.seq;
	while (!err && ((b.wanted != b.given && now_ns() < end) ||
			(seq && b.seq == seq && now_ns() < fresh))) {
		poll(NULL, 0, BALLOON_POLL_MS);
		free(ok);
		ok = NULL;
		err = balloon_call(vm, name, NULL, &ok, &b);
	}
	if (!err && o->json)
		printf("%s\n", ok);
	else if (!err)
		balloon_print(name, &b);
	if (!err && o->wait && b.wanted != b.given)
		err = fail_with(name, "the guest has not done so in time");
	free(ok);
	lkvm_close(vm);
	return err;
}

int cmd_balloon(int argc, char **argv)
{
	struct balloon_options o = { 0 };
	struct report r = { "" };
	int nr = options_split(balloon_options, argc, argv, &o, &r);
	char args[64] = "{}";
	u64 size = 0;

	if (nr >= 0 && nr != 1 && nr != 2)
		report_error(&r, 0, "balloon: usage: NAME [SIZE]");
	if (nr == 2 && strcmp(argv[2], "0") && parse_size(argv[2], &size))
		report_error(&r, 0, "balloon: bad size \"%s\"", argv[2]);
	if (r.msg[0])
		return fail_report(&r);
	if (nr == 2)
		snprintf(args, sizeof(args), "{\"size\":%llu}",
			 (unsigned long long)size);
	return balloon_run(&o, argv[1], args);
}

/* Return: whether @line says that the VM has ended, with its status then */
static bool has_exited(char *line, int *status)
{
	struct json_value value[VALUES];
	struct json_doc doc = { .value = value, .max = VALUES };
	const char *event;

	if (json_parse(&doc, line, strlen(line)))
		return false;
	event = json_string_of(value, "event");
	if (!event || strcmp(event, "exited"))
		return false;
	*status = (int)json_number_of(json_member(value, "data"), "status");
	return true;
}

int cmd_wait(int argc, char **argv)
{
	const char *name = vm_name(no_options, argc, argv, NULL);
	struct lkvm *vm = name ? vm_connect(name) : NULL;
	int status = STATUS_ERROR;
	bool done = false;
	char *line;

	if (!vm || vm_call(vm, name, "events.subscribe", NULL, NULL)) {
		lkvm_close(vm);
		return STATUS_ERROR;
	}
	while (!done && !lkvm_receive(vm, &line, -1)) {
		done = has_exited(line, &status);
		free(line);
	}
	if (done)
		lkvm_wait_gone(vm, -1);
	else
		fail_with(name, "has ended without saying how");
	lkvm_close(vm);
	return status;
}
