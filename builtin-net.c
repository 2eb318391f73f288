// SPDX-License-Identifier: GPL-2.0-only
/*
 * The option -n, --network.
 *
 * Theory of operation: a kind, then words behind commas; each word is looked
 * up in a table that says for which kinds it is, so that a word which would
 * have no effect is refused. What is wrong for any host net_check() finds, what is
 * so for this one (a device that is absent) net_open(). "mode=KIND" is
 * understood as well, and so is "none". The main thread only.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "kvm/net.h"

static const char *const kind_name[] = {
	[NET_USER] = "user",
	[NET_TAP] = "tap",
	[NET_SOCKET] = "socket",
	[NET_FD] = "fd",
};

static int bad_value(const char *word, const char *value, struct report *r)
{
	return report_error(r, 0, "--network: bad value in %s=%s", word, value);
}

static int get_number(const char *word, const char *value, unsigned int max,
		      unsigned int *out, struct report *r)
{
	long n;

	if (parse_number(value, &n) || n < 1 || n > (long)max)
		return bad_value(word, value, r);
	*out = (unsigned int)n;
	return 0;
}

int network_mac(struct net_opts *n, const char *value, struct report *r)
{
	const size_t len = 3 * NET_MAC_LEN - 1;

	for (size_t i = 0; i < len; i++)
		if (i % 3 == 2 ? value[i] != ':' : !isxdigit((u8)value[i]))
			return bad_value("mac", value, r);
	if (value[len])
		return bad_value("mac", value, r);
	for (unsigned int i = 0; i < NET_MAC_LEN; i++)
		n->mac[i] = (u8)strtoull(value + 3 * i, NULL, 16);
	if (n->mac[0] & 1 || strspn(value, "0:") == len)
		return report_error(r, 0, "--network: mac=%s is %s", value,
				    n->mac[0] & 1 ? "a multicast address" : "all zeroes");
	n->has_mac = true;
	return 0;
}

const char *network_mac_text(char out[MAC_TEXT], const struct net_opts *n)
{
	snprintf(out, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", n->mac[0], n->mac[1],
		 n->mac[2], n->mac[3], n->mac[4], n->mac[5]);
	return out;
}

static int word_ifname(struct net_opts *n, const char *value,
		       struct report *r)
{
	n->ifname = value;
	return *value ? 0 : bad_value("ifname", value, r);
}

static int word_script(struct net_opts *n, const char *value,
		       struct report *r)
{
	n->script = value;
	return *value ? 0 : bad_value("script", value, r);
}

static int word_path(struct net_opts *n, const char *value, struct report *r)
{
	n->path = value;
	return *value ? 0 : bad_value("path", value, r);
}

static int word_mq(struct net_opts *n, const char *value, struct report *r)
{
	return get_number("mq", value, NET_MAX_PAIRS, &n->pairs, r);
}

static int word_mtu(struct net_opts *n, const char *value, struct report *r)
{
	return get_number("mtu", value, NET_MAX_MTU, &n->mtu, r);
}

static int word_vhost(struct net_opts *n, const char *value, struct report *r)
{
	(void)value;
	(void)r;
	n->vhost = true;
	return 0;
}

static int word_hostgw(struct net_opts *n, const char *value,
		       struct report *r)
{
	(void)value;
	(void)r;
	n->hostgw = true;
	return 0;
}

static int word_fwd(struct net_opts *n, const char *value, struct report *r)
{
	if (n->nr_forwards == NET_MAX_FORWARDS)
		return report_error(r, 0, "--network: more than %d fwd=",
				    NET_MAX_FORWARDS);
	n->forward[n->nr_forwards++] = value;
	return 0;
}

#define KIND(k) BIT(NET_##k)

/* @key, @type: of the same as JSON */
static const struct word {
	const char *name;
	const char *key;
	enum json_type type;
	u32 kinds;
	int (*set)(struct net_opts *n, const char *value, struct report *r);
} words[] = {
	{ "mac", "mac", JSON_STRING, ~0U, network_mac },
	{ "mtu", "mtu", JSON_NUMBER, ~0U, word_mtu },
	{ "ifname", "ifname", JSON_STRING, KIND(TAP), word_ifname },
	{ "script", "script", JSON_STRING, KIND(TAP), word_script },
	{ "mq", "queue-pairs", JSON_NUMBER, KIND(TAP), word_mq },
	{ "vhost", "vhost", JSON_TRUE, KIND(TAP), word_vhost },
	{ "path", "path", JSON_STRING, KIND(SOCKET), word_path },
	{ "fwd", "forward", JSON_ARRAY, KIND(USER), word_fwd },
	{ "hostgw", "hostgw", JSON_TRUE, KIND(USER), word_hostgw },
};

static int set_word(struct net_opts *n, const struct word *w, const char *value,
		    struct report *r)
{
	bool flag = w->type == JSON_TRUE;

	if (!(w->kinds & BIT(n->kind)))
		return report_error(r, 0, "--network: %s is not for %s",
				    w->name, kind_name[n->kind]);
	if (flag == !!value)
		return report_error(r, 0, "--network: %s %s a value", w->name,
				    value ? "takes no" : "needs");
	return w->set(n, value, r);
}

/* @seen: bits of those that were there already */
static int parse_word(struct net_opts *n, char *word, u32 *seen, struct report *r)
{
	char *value = strchr(word, '=');

	if (value)
		*value++ = 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i].name))
			continue;
		if (*seen & BIT(i) && words[i].type != JSON_ARRAY)
			return report_error(r, 0, "--network: %s is there twice", word);
		*seen |= BIT(i);
		return set_word(n, &words[i], value, r);
	}
	return report_error(r, 0, "--network: unknown word \"%s\"", word);
}

static int parse_kind(struct net_opts *n, const char *word, struct report *r)
{
	long fd;

	if (!strncmp(word, "mode=", 5))
		word += 5;
	if (!strncmp(word, "fd=", 3)) {
		if (parse_number(word + 3, &fd) || fd < 3 || fd > 0x7fffffff)
			return bad_value("fd", word + 3, r);
		n->kind = NET_FD;
		n->fd = (int)fd;
		return 0;
	}
	for (unsigned int i = 0; i < NET_FD; i++) {
		if (!strcmp(word, kind_name[i])) {
			n->kind = i;
			return 0;
		}
	}
	return report_error(r, 0,
			    "--network: %s is not user, tap, socket or fd=N",
			    word);
}

/* @n: behind those that @o has */
static int network_check(const struct run_options *o, const struct net_opts *n,
			 struct report *r)
{
	if (n->kind == NET_SOCKET && !n->path)
		return report_error(r, 0, "--network: socket needs path=");
	for (const struct net_opts *e = o->net; e < n && n->kind == NET_FD; e++)
		if (e->kind == NET_FD && e->fd == n->fd)
			return report_error(r, 0, "--network: fd=%d is there twice", n->fd);
	return net_check(n, r);
}

/* Strings live as long as the process: they are the machine's. */
int opt_network(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;
	struct net_opts *n;
	char *rest, *word;
	u32 seen = 0;
	int err;

	if (!strcmp(value, "none") || !strcmp(value, "mode=none"))
		return 0;
	if (o->nr_nets == MACHINE_MAX_NETS)
		return report_error(r, 0, "--network: more than %d interfaces",
				    MACHINE_MAX_NETS);
	rest = strdup(value);
	if (!rest)
		return report_error(r, ENOMEM, "--network");
	o->net_text[o->nr_nets] = rest;
	n = &o->net[o->nr_nets++];
	memset(n, 0, sizeof(*n));
	n->fd = -1;
	err = parse_kind(n, strsep(&rest, ","), r);
	while (!err && (word = strsep(&rest, ",")))
		err = parse_word(n, word, &seen, r);
	return err ? err : network_check(o, n, r);
}

void network_print(const struct net_opts *o)
{
	char mac[MAC_TEXT];

	printf("network  %s", kind_name[o->kind]);
	if (o->kind == NET_FD)
		printf("=%d", o->fd);
	if (o->ifname)
		printf(",ifname=%s", o->ifname);
	if (o->script)
		printf(",script=%s", o->script);
	if (o->path)
		printf(",path=%s", o->path);
	if (o->pairs)
		printf(",mq=%u", o->pairs);
	if (o->mtu)
		printf(",mtu=%u", o->mtu);
	if (o->has_mac)
		printf(",mac=%s", network_mac_text(mac, o));
	for (unsigned int i = 0; i < o->nr_forwards; i++)
		printf(",fwd=%s", o->forward[i]);
	printf("%s%s\n", o->vhost ? ",vhost" : "", o->hostgw ? ",hostgw" : "");
}

/* The words of a kind, as JSON has them; what has no effect is left out. */
void network_put(struct json_out *out, const struct net_opts *o)
{
	char mac[MAC_TEXT];

	json_open(out, NULL, '{');
	json_put_string(out, "kind", kind_name[o->kind]);
	json_put_string(out, "mac", o->has_mac ? network_mac_text(mac, o) : NULL);
	json_put_number(out, "mtu", o->mtu);
	json_put_number(out, "queue-pairs", o->pairs ? o->pairs : 1);
	if (o->kind == NET_FD)
		json_put_number(out, "fd", (u64)o->fd);
	if (o->kind == NET_TAP) {
		json_put_string(out, "ifname", o->ifname);
		json_put_string(out, "script", o->script);
		json_put_bool(out, "vhost", o->vhost);
	}
	if (o->kind == NET_SOCKET)
		json_put_string(out, "path", o->path);
	if (o->kind == NET_USER) {
		json_put_bool(out, "hostgw", o->hostgw);
		json_open(out, "forward", '[');
		for (unsigned int i = 0; i < o->nr_forwards; i++)
			json_put_string(out, NULL, o->forward[i]);
		json_close(out, ']');
	}
	json_close(out, '}');
}

static int take_forwards(struct net_opts *n, const struct word *w,
			 const struct json_value *v, struct report *r)
{
	int err = 0;

	for (const struct json_value *e = json_first(v); e && !err;
	     e = json_next(v, e)) {
		if (e->type != JSON_STRING)
			return report_error(r, 0,
				"--config: \"%s\" is not an array of strings",
				w->key);
		err = set_word(n, w, e->string, r);
	}
	return err;
}

/* What says that something is as it is without that word sets none. */
static int take_word(struct net_opts *n, const struct word *w,
		     const struct json_value *v, struct report *r)
{
	char text[24];

	if ((v->type == JSON_FALSE && w->type == JSON_TRUE) ||
	    (v->type == JSON_NULL && w->type == JSON_STRING))
		return 0;
	if (v->type != w->type || (v->type == JSON_NUMBER &&
				   (!v->whole || v->negative)))
		return report_error(r, 0, "--config: \"%s\" is of the wrong type",
				    w->key);
	if (v->type == JSON_ARRAY)
		return take_forwards(n, w, v, r);
	if (v->type != JSON_NUMBER)
		return set_word(n, w, v->type == JSON_STRING ? v->string : NULL,
				r);
	if (v->number == !strcmp(w->name, "mq"))
		return 0;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v->number);
	return set_word(n, w, text, r);
}

static int take_member(struct net_opts *n, const struct json_value *v,
		       struct report *r)
{
	if (!strcmp(v->key, "kind") || (n->kind == NET_FD &&
					!strcmp(v->key, "fd")))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(v->key, words[i].key))
			return take_word(n, &words[i], v, r);
	return report_error(r, 0, "--config: unknown key \"%s\" in network",
			    v->key);
}

int network_take(struct run_options *o, const struct json_value *v,
		 struct report *r)
{
	const char *kind = json_string_of(v, "kind");
	const struct json_value *fd = json_member(v, "fd");
	struct net_opts *n = &o->net[o->nr_nets];
	char text[32];
	int err;

	if (!kind)
		return report_error(r, 0, "--config: network without \"kind\"");
	if (o->nr_nets == MACHINE_MAX_NETS)
		return report_error(r, 0, "--config: more than %d interfaces",
				    MACHINE_MAX_NETS);
	memset(n, 0, sizeof(*n));
	n->fd = -1;
	if (fd && fd->type == JSON_NUMBER && fd->whole && !strcmp(kind, "fd")) {
		snprintf(text, sizeof(text), "fd=%llu",
			 (unsigned long long)fd->number);
		kind = text;
	}
	err = parse_kind(n, kind, r);
	for (const struct json_value *m = json_first(v); m && !err;
	     m = json_next(v, m))
		err = take_member(n, m, r);
	if (!err)
		err = network_check(o, n, r);
	o->nr_nets += !err;
	return err;
}
