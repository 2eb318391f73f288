// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm list.
 *
 * Theory of operation: every VM of this user has a socket in one directory. All
 * are asked first and heard then, so that fifty take hardly longer than one. What
 * a killed VM has left there is removed by asking. One that does not answer in
 * time, since it starts or is stuck, is listed as such.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "kvm/utf8.h"
#include "lkvm.h"

#define ANSWER_MS 1000
#define VALUES 64

/** struct vm_row - one VM; @ok: what it says of itself, NULL if nothing */
struct vm_row {
	char name[64];
	struct lkvm *vm;
	long long id;
	char *ok;
};

struct vm_list {
	struct vm_row *row;
	size_t nr;
};

struct list_options {
	bool json;
};

const struct option_desc list_options[] = {
	{ "json", 0, OPT_FLAG, NULL, "print JSON",
	  offsetof(struct list_options, json), NULL },
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

static int list_add(void *opaque, const char *name)
{
	struct vm_list *l = opaque;
	struct vm_row *row = realloc(l->row, (l->nr + 1) * sizeof(*row));
	int err;

	if (!row)
		return -ENOMEM;
	l->row = row;
	row += l->nr;
	memset(row, 0, sizeof(*row));
	snprintf(row->name, sizeof(row->name), "%s", name);
	err = lkvm_connect(&row->vm, name);
	/* One that is stuck, and that many have asked already, is there. */
	if (!err || err == -EAGAIN)
		l->nr++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct vm_row *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Those that are gone meanwhile drop out. */
static void list_hear(struct vm_list *l)
{
	u64 end = now_ns() + ANSWER_MS * NSEC_PER_MSEC;
	size_t nr = 0;

	for (size_t i = 0; i < l->nr; i++) {
		struct vm_row *row = &l->row[i];
		int err = !row->vm ? -ETIMEDOUT :
			  lkvm_answer(row->vm, row->id, ms_left(end), &row->ok);

		lkvm_close(row->vm);
		row->vm = NULL;
		if (!err || err == -ETIMEDOUT || err == -EREMOTEIO)
			l->row[nr++] = *row;
	}
	l->nr = nr;
}

static void size_text(char *out, size_t size, u64 bytes)
{
	snprintf(out, size, "%lluM", (unsigned long long)(bytes / SZ_1M));
}

static void time_text(char *out, size_t size, u64 ms)
{
	unsigned long long s = ms / 1000;

	if (s < 60)
		snprintf(out, size, "%llus", s);
	else if (s < 3600)
		snprintf(out, size, "%llum%llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, size, "%lluh%llum", s / 3600, s / 60 % 60);
	else
		snprintf(out, size, "%llud%lluh", s / 86400, s / 3600 % 24);
}

static void row_print(struct vm_row *row)
{
	struct json_value value[VALUES];
	struct json_doc doc = { .value = value, .max = VALUES };
	char mem[24], used[24], up[24];
	const struct json_value *v = value;
	char *release;

	if (!row->ok || json_parse(&doc, row->ok, strlen(row->ok))) {
		printf("%-20s %7s %s\n", row->name, "-", "no answer");
		return;
	}
	size_text(mem, sizeof(mem), json_number_of(v, "memory"));
	size_text(used, sizeof(used), json_number_of(v, "resident"));
	time_text(up, sizeof(up), json_number_of(v, "uptime_ms"));
	release = (char *)json_string_of(v, "release");
	if (!release || !*release)
		release = (char *)json_string_of(v, "kernel");
	if (release)
		utf8_clean(release, strlen(release), "");
	printf("%-20s %7llu %-9s %4llu %8s %8s %8s ", row->name,
	       (unsigned long long)json_number_of(v, "pid"),
	       json_string_of(v, "state"),
	       (unsigned long long)json_number_of(v, "cpus"), mem, used, up);
	printf("%s\n", release ? release : "");
}

static void list_print(struct vm_list *l, bool json)
{
	if (json) {
		printf("[");
		for (size_t i = 0; i < l->nr; i++) {
			printf("%s\n  ", i ? "," : "");
			if (l->row[i].ok)
				printf("%s", l->row[i].ok);
			else
				printf("{\"name\":\"%s\"}", l->row[i].name);
		}
		printf("%s]\n", l->nr ? "\n" : "");
		return;
	}
	printf("%-20s %7s %-9s %4s %8s %8s %8s %s\n", "NAME", "PID", "STATE",
	       "CPUS", "MEM", "USED", "UPTIME", "KERNEL");
	for (size_t i = 0; i < l->nr; i++)
		row_print(&l->row[i]);
}

int cmd_list(int argc, char **argv)
{
	struct list_options o = { 0 };
	struct vm_list l = { 0 };
	struct report r = { "" };
	int n = options_parse(list_options, argc, argv, &o, &r);
	int err;

	if (n >= 0 && n < argc)
		report_error(&r, 0, "list: unexpected argument %s", argv[n]);
	if (r.msg[0])
		return fail_report(&r);
	err = lkvm_names(list_add, &l);
	if (err)
		return fail_with("list", strerror(-err));
	if (l.nr)
		qsort(l.row, l.nr, sizeof(*l.row), by_name);
	for (size_t i = 0; i < l.nr; i++)
		if (l.row[i].vm)
			l.row[i].id = lkvm_send(l.row[i].vm, "vm.status", NULL,
						NULL, 0);
	list_hear(&l);
	list_print(&l, o.json);
	for (size_t i = 0; i < l.nr; i++)
		free(l.row[i].ok);
	free(l.row);
	return 0;
}
