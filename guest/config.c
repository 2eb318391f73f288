// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host wants of us.
 *
 * Theory of operation: the file is a sequence of records KEY=VALUE, each ended
 * by a NUL, as Documentation/guest-protocol.md lists them. What the host sends of
 * a further command is the same. Lkvm wrote it, so it
 * is believed; a key that is not known is passed over, for the sake of hosts
 * that are newer than this. What is too much for the arrays is an error.
 */
#include <asm/errno.h>

#include "init.h"

static int put(const char **list, unsigned int *nr, unsigned int max,
	       const char *v)
{
	if (*nr == max)
		return -E2BIG;
	list[(*nr)++] = v;
	return 0;
}

static enum stream_kind kind_of(const char *v)
{
	if (text_equal(v, "pipe"))
		return KIND_PIPE;
	if (text_equal(v, "stdout"))
		return KIND_SAME;
	return text_equal(v, "tty") ? KIND_TTY : KIND_NONE;
}

static size_t share_length(const char *v)
{
	size_t tag = 0;

	while (v[tag] && v[tag] != ':')
		tag++;
	return strlen(v + tag);
}

/* What is mounted later covers what is below it: the shorter path comes first. */
static int put_share(struct config *c, const char *v, bool ro)
{
	unsigned int i = c->nr_shares;

	if (i == CONFIG_LIST)
		return -E2BIG;
	for (; i && share_length(c->share[i - 1]) > share_length(v); i--) {
		c->share[i] = c->share[i - 1];
		c->share_ro[i] = c->share_ro[i - 1];
	}
	c->share[i] = v;
	c->share_ro[i] = ro;
	c->nr_shares++;
	return 0;
}

/* Keys that may come more than once. Return: 1 when it is none of these. */
static int list_record(struct config *c, const char *r)
{
	const char *v;

	v = text_after(r, "arg=");
	if (v)
		return put(c->argv, &c->argc, CONFIG_WORDS, v);
	v = text_after(r, "env=");
	if (v)
		return put(c->envp, &c->envc, CONFIG_WORDS, v);
	v = text_after(r, "module=");
	if (v)
		return put(c->module, &c->nr_modules, CONFIG_LIST, v);
	v = text_after(r, "rw=");
	if (v)
		return put_share(c, v, false);
	v = text_after(r, "ro=");
	if (v)
		return put_share(c, v, true);
	v = text_after(r, "net=");
	if (v && c->nr_nets == CONFIG_NETS)
		return -E2BIG;
	if (v) {
		c->dhcp[c->nr_nets++] = text_equal(v, "dhcp");
		return 0;
	}
	v = text_after(r, "group=");
	if (!v)
		return 1;
	if (c->nr_groups == GUEST_PROTO_GROUPS)
		return -E2BIG;
	c->group[c->nr_groups++] = text_number(v);
	return 0;
}

static void text_record(struct config *c, const char *r)
{
	const struct {
		const char *key;
		const char **at;
	} text[] = {
		{ "root=", &c->root },
		{ "cwd=", &c->cwd },
		{ "hostname=", &c->hostname },
		{ "file=", &c->file },
		{ "get=", &c->get },
		{ "put=", &c->put },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(text); i++) {
		const char *v = text_after(r, text[i].key);

		if (v)
			*text[i].at = v;
	}
}

static void single_record(struct config *c, const char *r)
{
	static const char *const stream[] = { "stdin=", "stdout=", "stderr=" };
	const char *v;

	text_record(c, r);
	for (unsigned int i = 0; i < ARRAY_SIZE(stream); i++) {
		v = text_after(r, stream[i]);
		if (v)
			c->stream[i] = kind_of(v);
	}
	v = text_after(r, "uid=");
	if (v)
		c->uid = text_number(v);
	v = text_after(r, "gid=");
	if (v)
		c->gid = text_number(v);
	v = text_after(r, "umask=");
	if (v)
		c->umask = text_number(v);
	v = text_after(r, "rows=");
	if (v)
		c->rows = text_number(v);
	v = text_after(r, "cols=");
	if (v)
		c->cols = text_number(v);
	if (text_equal(r, "port=serial"))
		c->serial = true;
	if (text_equal(r, "klog=1"))
		c->klog = true;
}

int config_parse(struct config *c, size_t len)
{
	int err = 0;

	if (len >= sizeof(c->text))
		return -E2BIG;
	c->text[len] = 0;
	c->umask = 022;
	for (char *r = c->text; r < c->text + len && !err;
	     r += strlen(r) + 1) {
		err = list_record(c, r);
		if (err == 1) {
			single_record(c, r);
			err = 0;
		}
	}
	return err;
}

int config_read(struct config *c, const char *path)
{
	long len = file_read(path, c->text, sizeof(c->text));

	if (len < 0)
		return len;
	/* All that there is room for may not be all. */
	return len == sizeof(c->text) - 1 ? -E2BIG : config_parse(c, len);
}
