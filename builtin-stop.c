// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm stop.
 *
 * Theory of operation: the guest is asked to power off: its command gets SIGTERM,
 * a shell SIGHUP, a guest without one has its power button pressed. Who has not ended
 * in time, or does not listen, is ended; a process that does not even do that is
 * killed.
 * It returns when the processes are gone. All that are named are asked first and
 * waited for then.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "lkvm.h"

#define ANSWER_MS 5000
#define DEFAULT_TIME 10

/**
 * struct stopping - one VM that is to end
 * @id: of what it was asked, or -errno; @deaf: it did not want to hear
 */
struct stopping {
	struct stopping *next;
	struct lkvm *vm;
	long long id;
	bool deaf;
	char name[64];
};

struct stop_options {
	bool all;
	bool force;
	long timeout;
};

const struct option_desc stop_options[] = {
	{ "all", 0, OPT_FLAG, NULL, "every VM of this user",
	  offsetof(struct stop_options, all), NULL },
	{ "force", 0, OPT_FLAG, NULL, "do not ask the guest, end it at once",
	  offsetof(struct stop_options, force), NULL },
	{ "timeout", 0, OPT_TIME, "TIME",
	  "how long the guest may take; 10s by default",
	  offsetof(struct stop_options, timeout), NULL },
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

static void stop_free(struct stopping *list)
{
	while (list) {
		struct stopping *s = list;

		list = s->next;
		lkvm_close(s->vm);
		free(s);
	}
}

static int stop_add(struct stopping **list, const char *name)
{
	struct stopping *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	snprintf(s->name, sizeof(s->name), "%s", name);
	err = lkvm_connect(&s->vm, name);
	if (err) {
		free(s);
		return err;
	}
	s->next = *list;
	*list = s;
	return 0;
}

/** struct stop_every - @err: of one that is not there or cannot be reached; others can */
struct stop_every {
	struct stopping **list;
	int err;
};

/* One that has gone meanwhile is as it should be. */
static int stop_add_any(void *opaque, const char *name)
{
	struct stop_every *every = opaque;
	int err = stop_add(every->list, name);

	if (!err || err == -ENOENT)
		return 0;
	fail_with(name, vm_why(err));
	every->err = err;
	return 0;
}

/* All have been asked before one is waited for: who is stuck costs no other its time. */
static void stop_hear(struct stopping *s, u64 end)
{
	int err = lkvm_answer(s->vm, s->id, ms_left(end), NULL);

	/* One that ends already has output that is waited for. */
	if (err == -EREMOTEIO && !strcmp(lkvm_error_code(s->vm), "state"))
		err = 0;
	s->deaf = err && err != -ECONNRESET && err != -EPIPE;
	if (err == -EREMOTEIO)
		fprintf(stderr, "lkvm: %s: %s: ended\n", s->name,
			lkvm_error(s->vm));
}

/* Who was hung up on meanwhile, for others, comes again: to the same, if it is there. */
static int stop_kill(struct stopping *s)
{
	int err = lkvm_call(s->vm, "vm.kill", NULL, ANSWER_MS, NULL);
	struct lkvm *vm;

	if (err != -EREMOTEIO || lkvm_connect(&vm, s->name))
		return err;
	if (lkvm_pid(vm) == lkvm_pid(s->vm))
		err = lkvm_call(vm, "vm.kill", NULL, ANSWER_MS, NULL);
	lkvm_close(vm);
	return err;
}

/* Return: 0 once it is gone */
static int stop_end(struct stopping *s)
{
	int err = stop_kill(s);

	/* One that refuses is about to end by itself. */
	if (err == -ECONNRESET || err == -EPIPE || err == -EREMOTEIO)
		err = 0;
	if (!err)
		err = lkvm_wait_gone(s->vm, ANSWER_MS);
	if (!err)
		return 0;
	fprintf(stderr, "lkvm: %s: process %d does not answer: killed\n", s->name,
		(int)lkvm_pid(s->vm));
	lkvm_signal(s->vm, SIGKILL);
	return lkvm_wait_gone(s->vm, ANSWER_MS);
}

static int stop_all(struct stopping *list, const struct stop_options *o)
{
	u64 end = now_ns() + ANSWER_MS * NSEC_PER_MSEC;
	int err = 0;

	for (struct stopping *s = list; s && !o->force; s = s->next)
		s->id = lkvm_send(s->vm, "vm.stop", NULL, NULL, 0);
	for (struct stopping *s = list; s && !o->force; s = s->next)
		stop_hear(s, end);
	end = now_ns() + o->timeout * NSEC_PER_SEC;
	for (struct stopping *s = list; s; s = s->next) {
		if (!o->force && !s->deaf && !lkvm_wait_gone(s->vm, ms_left(end)))
			continue;
		if (!o->force && !s->deaf)
			fprintf(stderr, "lkvm: %s: has not powered off in %ld s: ended\n",
				s->name, o->timeout);
		if (!stop_end(s))
			continue;
		fprintf(stderr, "lkvm: %s: process %d is still there\n", s->name,
			(int)lkvm_pid(s->vm));
		err = -EBUSY;
	}
	return err;
}

static int stop_parse(struct stop_options *o, int argc, char **argv,
		      struct stop_every *every, struct report *r)
{
	int nr = options_split(stop_options, argc, argv, o, r);
	int err = 0;

	if (nr < 0)
		return nr;
	if (o->all == !!nr)
		return report_error(r, 0, o->all ? "stop: --all takes no names" :
				    "stop: no name (lkvm list), nor --all");
	if (o->all)
		err = lkvm_names(stop_add_any, every);
	if (err)
		return report_error(r, -err, "stop");
	for (int i = 1; i <= nr; i++) {
		err = stop_add(every->list, argv[i]);
		if (!err)
			continue;
		/* The others are stopped all the same. */
		fail_with(argv[i], vm_why(err));
		every->err = err;
	}
	return 0;
}

int cmd_stop(int argc, char **argv)
{
	struct stop_options o = { .timeout = DEFAULT_TIME };
	struct stopping *list = NULL;
	struct stop_every every = { .list = &list };
	struct report r = { "" };
	int err = stop_parse(&o, argc, argv, &every, &r);

	if (err)
		fail_report(&r);
	else
		err = stop_all(list, &o);
	stop_free(list);
	return err || every.err ? STATUS_ERROR : 0;
}
