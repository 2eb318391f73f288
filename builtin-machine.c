// SPDX-License-Identifier: GPL-2.0-only
/*
 * A machine as JSON: what --dry-run --json prints, config.get answers and
 * --config takes back.
 *
 * Theory of operation: the object says all that a VM is made of, and what runs in
 * it; how lkvm reports of it (--log, --status, --fail-on) is no part of that. Read
 * back, a table a kind of object says which keys there may be, of which type; what
 * values mean is checked where options are, which end in the same struct. Params
 * are the whole kernel command line, and nothing is added to them but what other
 * options say. Strings point into the text of the file, which is kept. Main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/file.h"

#define CONFIG_MAX CONTROL_LINE_MAX
#define CONFIG_VALUES 4096
#define TIMEOUT_MAX 3155760000UL
#define MEM_MAX BIT_ULL(52)

static void put_vsock(struct json_out *o, const struct machine_vsock *v)
{
	if (!v->cid) {
		json_put_string(o, "vsock", NULL);
		return;
	}
	json_open(o, "vsock", '{');
	json_put_number(o, "cid", v->cid);
	json_put_bool(o, "vhost", v->vhost);
	json_put_string(o, "path", v->path);
	json_close(o, '}');
}

static void put_disks(struct json_out *o, const struct machine *m)
{
	json_open(o, "disks", '[');
	for (unsigned int i = 0; i < m->nr_disks; i++) {
		const struct machine_disk *d = &m->disk[i];

		json_open(o, NULL, '{');
		json_put_string(o, "path", d->opts.path);
		json_put_bool(o, "readonly", d->opts.readonly);
		json_put_bool(o, "direct", d->opts.direct);
		json_put_string(o, "serial", d->serial ? d->serial : "");
		json_close(o, '}');
	}
	json_close(o, ']');
}

static void put_shares(struct json_out *o, const struct machine *m,
		       const struct run_options *opts)
{
	json_open(o, "shares", '[');
	for (unsigned int i = 0; i < m->nr_shares; i++) {
		const struct machine_share *s = &m->share[i];
		const char *at = NULL;

		if (i < opts->nr_shares)
			at = opts->share_at[i] ? opts->share_at[i] :
			     share_is_mounted(opts, i) ? s->path : NULL;
		json_open(o, NULL, '{');
		json_put_string(o, "type", s->p9 ? "9p" : "virtio-fs");
		json_put_string(o, "path", s->path);
		json_put_string(o, "tag", s->tag);
		json_put_bool(o, "readonly", s->readonly);
		json_put_string(o, "mount", at);
		json_close(o, '}');
	}
	json_close(o, ']');
}

static void put_ports(struct json_out *o, const struct machine *m)
{
	json_open(o, "ports", '[');
	for (unsigned int i = 0; i < m->nr_ports; i++) {
		const struct machine_port *p = &m->port[i];

		json_open(o, NULL, '{');
		json_put_string(o, "name", p->name);
		json_put_bool(o, "console", p->console);
		json_put_string(o, "kind", stream_kinds[p->stream.kind]);
		json_put_string(o, "arg", p->stream.arg ? p->stream.arg : "");
		json_close(o, '}');
	}
	json_close(o, ']');
}

static void put_guest(struct json_out *o, const struct machine *m,
		      const struct run_options *opts)
{
	json_open(o, "command", '[');
	for (char **arg = opts->command; arg && *arg; arg++)
		json_put_string(o, NULL, *arg);
	json_close(o, ']');
	json_put_bool(o, "shell", opts->shell);
	json_put_string(o, "control", m->control == CONTROL_NONE ? NULL :
			m->control == CONTROL_SERIAL ? "serial" : "virtio");
	json_put_bool(o, "root-disk", opts->root_disk);
	json_put_bool(o, "own", opts->own);
	json_put_string(o, "user", opts->user);
	json_put_string(o, "chdir", opts->chdir);
	json_open(o, "env", '[');
	for (unsigned int i = 0; i < opts->nr_env; i++)
		json_put_string(o, NULL, opts->env[i]);
	json_close(o, ']');
}

void machine_put(struct json_out *o, const struct run_config *c,
		 const struct run_options *opts)
{
	const struct machine *m = &c->machine;

	json_put_string(o, "name", m->name);
	json_put_string(o, "kernel", m->kernel);
	json_put_string(o, "initrd", m->initrd);
	json_put_string(o, "params", m->cmdline);
	json_put_string(o, "console",
			m->console == CONSOLE_VIRTIO ? "virtio" : "serial");
	json_put_string(o, "transport",
			m->transport == TRANSPORT_MMIO ? "mmio" : "pci");
	json_put_number(o, "cpus", m->nr_cpus);
	json_put_number(o, "mem", m->mem);
	json_put_number(o, "timeout", (u64)c->timeout);
	json_put_bool(o, "rng", m->rng);
	json_put_bool(o, "balloon", m->balloon);
	json_put_bool(o, "testdev", m->testdev);
	put_vsock(o, &m->vsock);
	json_put_string(o, "disk-engine", opts->engine ? opts->engine : "auto");
	put_disks(o, m);
	json_open(o, "networks", '[');
	for (unsigned int i = 0; i < m->nr_nets; i++)
		network_put(o, &m->net[i]);
	json_close(o, ']');
	put_shares(o, m, opts);
	put_guest(o, m, opts);
	put_ports(o, m);
}

/* Where a line ends in what people read: a member each, an element each */
static const char *break_at(char ch, char next, unsigned int depth)
{
	if (ch == ':')
		return " ";
	if (ch == '{')
		return depth == 1 ? "\n  " : " ";
	if (ch == '[' && next == '{')
		return "\n    ";
	if (ch != ',')
		return next == ']' && ch == '}' ? "\n  " :
		       next != '}' ? "" : depth == 1 ? "\n" : " ";
	return depth == 1 ? "\n  " : depth == 2 && next == '{' ? "\n    " : " ";
}

/* @s: one object, without any white space between its values */
static void print_pretty(const char *s)
{
	unsigned int depth = 0;
	bool quoted = false;

	for (; *s; s++) {
		putchar(*s);
		if (quoted && *s == '\\') {
			putchar(*++s);
			continue;
		}
		if (*s == '"')
			quoted = !quoted;
		if (quoted)
			continue;
		depth += *s == '{' || *s == '[';
		depth -= *s == '}' || *s == ']';
		fputs(break_at(*s, s[1], depth), stdout);
	}
	putchar('\n');
}

int machine_print(const struct run_config *c, const struct run_options *opts)
{
	struct json_out o = { 0 };
	int err;

	json_open(&o, NULL, '{');
	machine_put(&o, c, opts);
	json_close(&o, '}');
	err = o.err;
	if (!err)
		print_pretty(o.text);
	json_out_free(&o);
	return err;
}

enum field_type { FIELD_STRING, FIELD_BOOL, FIELD_NUMBER, FIELD_LIST, FIELD_CALL };

/**
 * struct field - a key of an object; strings may be null
 * @off: of the field in the struct: const char *, bool, u64 or long
 * @take: FIELD_CALL: the value; FIELD_LIST: each element; gets the struct
 */
struct field {
	const char *key;
	enum field_type type;
	size_t off;
	u64 max;
	int (*take)(void *into, const struct json_value *v, struct report *r);
};

static int bad_type(const char *key, const char *type, struct report *r)
{
	return report_error(r, 0, "--config: \"%s\" is not %s", key, type);
}

static int take_list(const struct field *f, const struct json_value *v,
		     void *into, struct report *r)
{
	int err = 0;

	if (v->type != JSON_ARRAY)
		return bad_type(f->key, "an array", r);
	for (const struct json_value *e = json_first(v); e && !err;
	     e = json_next(v, e))
		err = f->take(into, e, r);
	return err;
}

static int take_field(const struct field *f, const struct json_value *v,
		      void *into, struct report *r)
{
	char *at = (char *)into + f->off;

	switch (f->type) {
	case FIELD_STRING:
		if (v->type != JSON_STRING && v->type != JSON_NULL)
			return bad_type(f->key, "a string", r);
		*(const char **)at = v->type == JSON_NULL ? NULL : v->string;
		return 0;
	case FIELD_BOOL:
		if (v->type != JSON_TRUE && v->type != JSON_FALSE)
			return bad_type(f->key, "true or false", r);
		*(bool *)at = v->type == JSON_TRUE;
		return 0;
	case FIELD_NUMBER:
		if (v->type != JSON_NUMBER || !v->whole || v->negative)
			return bad_type(f->key, "a whole number", r);
		if (v->number > f->max)
			return report_error(r, 0, "--config: \"%s\" is more than %llu",
					    f->key, (unsigned long long)f->max);
		memcpy(at, &v->number, sizeof(v->number));
		return 0;
	case FIELD_LIST:
		return take_list(f, v, into, r);
	case FIELD_CALL:
		return f->take(into, v, r);
	}
	return -EINVAL;
}

/* @what: for messages */
static int take_object(const struct field *table, const char *what,
		       const struct json_value *o, void *into, struct report *r)
{
	if (o->type != JSON_OBJECT)
		return bad_type(what, "an object", r);
	for (const struct json_value *v = json_first(o); v;
	     v = json_next(o, v)) {
		const struct field *f = table;
		int err;

		while (f->key && strcmp(f->key, v->key))
			f++;
		if (!f->key)
			return report_error(r, 0, "--config: unknown key \"%s\" in %s",
					    v->key, what);
		err = take_field(f, v, into, r);
		if (err)
			return err;
	}
	return 0;
}

#define FIELD(s, k, t, f, m) { k, t, offsetof(struct s, f), m, NULL }
#define FIELD_END { NULL, FIELD_STRING, 0, 0, NULL }

static int take_vsock(void *into, const struct json_value *v, struct report *r)
{
	static const struct field fields[] = {
		FIELD(machine_vsock, "cid", FIELD_NUMBER, cid, 0xfffffffe),
		FIELD(machine_vsock, "vhost", FIELD_BOOL, vhost, 0),
		FIELD(machine_vsock, "path", FIELD_STRING, path, 0),
		FIELD_END,
	};
	struct run_options *o = into;
	struct machine_vsock *s = &o->vsock;
	int err;

	if (v->type == JSON_NULL)
		return 0;
	err = take_object(fields, "vsock", v, s, r);
	if (err)
		return err;
	if (s->cid < 3)
		return report_error(r, 0, "--config: vsock: \"cid\" is not 3 to 4294967294");
	if (s->path && (s->vhost || !*s->path))
		return report_error(r, 0, "--config: vsock: %s",
				    s->vhost ? "vhost has no path" : "\"path\" is empty");
	return 0;
}

/* The first word of what an option's words are in is freed: a copy. */
static int own_copy(const char **word, const char *what, struct report *r)
{
	if (!*word || !**word)
		return report_error(r, 0, "--config: %s without \"%s\"", what,
				    strcmp(what, "port") ? "path" : "name");
	*word = strdup(*word);
	return *word ? 0 : report_error(r, ENOMEM, "--config");
}

static int take_disk(void *into, const struct json_value *v, struct report *r)
{
	static const struct field fields[] = {
		FIELD(machine_disk, "path", FIELD_STRING, opts.path, 0),
		FIELD(machine_disk, "readonly", FIELD_BOOL, opts.readonly, 0),
		FIELD(machine_disk, "direct", FIELD_BOOL, opts.direct, 0),
		FIELD(machine_disk, "serial", FIELD_STRING, serial, 0),
		FIELD_END,
	};
	struct machine_disk d = { .serial = NULL };
	struct run_options *o = into;
	int err = take_object(fields, "disk", v, &d, r);

	if (err)
		return err;
	if (o->nr_disks == MACHINE_MAX_DISKS)
		return report_error(r, 0, "--config: more than %d disks",
				    MACHINE_MAX_DISKS);
	if (d.serial && strlen(d.serial) > 20)
		return report_error(r, 0,
			"disk %s: serial is longer than 20 characters",
			d.opts.path ? d.opts.path : "");
	err = own_copy(&d.opts.path, "disk", r);
	if (!err)
		o->disk[o->nr_disks++] = d;
	return err;
}

/* A share as the object has it */
struct share_said {
	const char *type;
	const char *at;
	struct machine_share s;
};

static int take_mount(struct run_options *o, unsigned int i,
		      const struct share_said *said, struct report *r)
{
	const char *tag = said->s.tag;

	if (!said->at)
		return 0;
	if (strcmp(said->at, said->s.path)) {
		o->share_at[i] = said->at;
		return 0;
	}
	if (strlen(tag) >= sizeof(o->share_tag[i]) || !strncmp(tag, "share", 5))
		return report_error(r, 0,
			"share %s: tag %s is not for what the guest is to mount",
			said->s.path, tag);
	snprintf(o->share_tag[i], sizeof(o->share_tag[i]), "%s", tag);
	o->share[i].tag = o->share_tag[i];
	return 0;
}

static int take_share(void *into, const struct json_value *v, struct report *r)
{
	static const struct field fields[] = {
		FIELD(share_said, "type", FIELD_STRING, type, 0),
		FIELD(share_said, "path", FIELD_STRING, s.path, 0),
		FIELD(share_said, "tag", FIELD_STRING, s.tag, 0),
		FIELD(share_said, "readonly", FIELD_BOOL, s.readonly, 0),
		FIELD(share_said, "mount", FIELD_STRING, at, 0),
		FIELD_END,
	};
	struct share_said said = { .type = "virtio-fs" };
	struct run_options *o = into;
	unsigned int i = o->nr_shares;
	int err = take_object(fields, "share", v, &said, r);

	if (err)
		return err;
	said.s.p9 = said.type && !strcmp(said.type, "9p");
	if (!said.type || (!said.s.p9 && strcmp(said.type, "virtio-fs")))
		return report_error(r, 0, "--config: share: \"type\" is not virtio-fs or 9p");
	if (!said.s.tag)
		return report_error(r, 0, "--config: share without \"tag\"");
	/* The command's root, which comes by itself */
	if (!strcmp(said.s.tag, GUEST_PROTO_ROOT_TAG)) {
		o->root = said.s.path && strcmp(said.s.path, "/") ?
			  said.s.path : NULL;
		return 0;
	}
	if (i == MACHINE_MAX_SHARES)
		return report_error(r, 0, "--config: more than %d directories",
				    MACHINE_MAX_SHARES);
	err = own_copy(&said.s.path, "share", r);
	if (err)
		return err;
	o->share[o->nr_shares++] = said.s;
	return take_mount(o, i, &said, r);
}

struct port_said {
	const char *name;
	bool console;
	const char *kind;
	const char *arg;
};

static int take_port(void *into, const struct json_value *v, struct report *r)
{
	static const struct field fields[] = {
		FIELD(port_said, "name", FIELD_STRING, name, 0),
		FIELD(port_said, "console", FIELD_BOOL, console, 0),
		FIELD(port_said, "kind", FIELD_STRING, kind, 0),
		FIELD(port_said, "arg", FIELD_STRING, arg, 0),
		FIELD_END,
	};
	struct port_said said = { .kind = NULL };
	struct run_options *o = into;
	struct machine_port *p;
	int err = take_object(fields, "port", v, &said, r);

	if (err)
		return err;
	if (o->nr_ports == MACHINE_MAX_PORTS)
		return report_error(r, 0, "--config: more than %d ports",
				    MACHINE_MAX_PORTS);
	err = own_copy(&said.name, "port", r);
	if (err)
		return err;
	p = &o->port[o->nr_ports++];
	*p = (struct machine_port){
		.name = said.name, .console = said.console,
	};
	return port_stream(p, said.kind ? said.kind : "", said.arg, r);
}

static int take_network(void *into, const struct json_value *v,
			struct report *r)
{
	return network_take(into, v, r);
}

static int take_env(void *into, const struct json_value *v, struct report *r)
{
	if (v->type != JSON_STRING)
		return bad_type("env", "an array of strings", r);
	return opt_env(into, v->string, r);
}

static int take_command(void *into, const struct json_value *v,
			struct report *r)
{
	struct run_options *o = into;
	unsigned int n = 0;

	if (v->type != JSON_ARRAY)
		return bad_type("command", "an array", r);
	if (!v->nr)
		return 0;
	o->config_command = calloc(v->nr + 1, sizeof(*o->config_command));
	if (!o->config_command)
		return report_error(r, ENOMEM, "--config");
	for (const struct json_value *e = json_first(v); e;
	     e = json_next(v, e)) {
		if (e->type != JSON_STRING)
			return bad_type("command", "an array of strings", r);
		o->config_command[n++] = (char *)e->string;
	}
	o->command = o->config_command;
	return 0;
}

static int take_mem(void *into, const struct json_value *v, struct report *r)
{
	static const struct field f = FIELD(run_options, "mem", FIELD_NUMBER,
					    mem, MEM_MAX);
	struct run_options *o = into;
	int err = take_field(&f, v, o, r);

	return !err && !o->mem ?
	       report_error(r, 0, "--config: \"mem\" is 0") : err;
}

#define TAKE(k, t, c) { k, t, 0, 0, c }
#define RUN(k, t, f) FIELD(run_options, k, t, f, 0)

static const struct field machine_fields[] = {
	RUN("name", FIELD_STRING, name),
	RUN("kernel", FIELD_STRING, kernel),
	RUN("initrd", FIELD_STRING, initrd),
	RUN("params", FIELD_STRING, cmdline),
	RUN("console", FIELD_STRING, console),
	RUN("transport", FIELD_STRING, transport),
	FIELD(run_options, "cpus", FIELD_NUMBER, cpus, 8192),
	TAKE("mem", FIELD_CALL, take_mem),
	FIELD(run_options, "timeout", FIELD_NUMBER, timeout, TIMEOUT_MAX),
	RUN("rng", FIELD_BOOL, rng),
	RUN("balloon", FIELD_BOOL, balloon),
	RUN("testdev", FIELD_BOOL, testdev),
	TAKE("vsock", FIELD_CALL, take_vsock),
	RUN("disk-engine", FIELD_STRING, engine),
	TAKE("disks", FIELD_LIST, take_disk),
	TAKE("networks", FIELD_LIST, take_network),
	TAKE("shares", FIELD_LIST, take_share),
	TAKE("command", FIELD_CALL, take_command),
	RUN("shell", FIELD_BOOL, shell),
	RUN("control", FIELD_STRING, control),
	RUN("root-disk", FIELD_BOOL, root_disk),
	RUN("own", FIELD_BOOL, own),
	RUN("user", FIELD_STRING, user),
	RUN("chdir", FIELD_STRING, chdir),
	TAKE("env", FIELD_LIST, take_env),
	TAKE("ports", FIELD_LIST, take_port),
	FIELD_END,
};

/* Return: how many bytes of @path there are in @o->config_text, or -EINVAL */
static ssize_t config_read(struct run_options *o, const char *path,
			   struct report *r)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t len;

	if (fd < 0)
		return report_error(r, errno, "--config %s", path);
	o->config_text = file_read_all(fd, CONFIG_MAX, &len);
	if (!o->config_text && errno == EFBIG)
		report_error(r, 0, "--config %s: more than %d bytes", path, CONFIG_MAX);
	else if (!o->config_text)
		report_error(r, errno, "--config %s", path);
	close(fd);
	return o->config_text ? (ssize_t)len : -EINVAL;
}

/* Nothing was said before it */
static bool is_first(const struct run_options *o)
{
	struct run_options *fresh = calloc(1, sizeof(*fresh));
	bool same;

	if (!fresh)
		return false;
	fresh->cpus = -1;
	fresh->loglevel = -1;
	fresh->dry_run = o->dry_run;
	fresh->json = o->json;
	same = !memcmp(fresh, o, sizeof(*fresh));
	free(fresh);
	return same;
}

int opt_config(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;
	struct json_doc doc = { .max = CONFIG_VALUES };
	ssize_t len;
	int err;

	if (!is_first(o))
		return report_error(r, 0, "--config: goes before other options");
	len = config_read(o, value, r);
	if (len < 0)
		return -EINVAL;
	doc.value = calloc(doc.max, sizeof(*doc.value));
	if (!doc.value)
		return report_error(r, ENOMEM, "--config");
	err = json_parse(&doc, o->config_text, (size_t)len);
	if (err)
		report_error(r, 0, "--config %s: %s, at byte %zu", value,
			     doc.error, doc.at);
	else
		err = take_object(machine_fields, "the machine", doc.value, o, r);
	o->config_console = o->console;
	free(doc.value);
	return err;
}
