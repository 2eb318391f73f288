// SPDX-License-Identifier: GPL-2.0-only
/*
 * The option -n, --network.
 *
 * Theory of operation: a kind, then words behind commas; each word is looked
 * up in a table that says for which kinds it is, so that a word which would
 * have no effect is refused. What is only wrong for the host (a device that is
 * absent, a mtu that it does not take) is found by net_open(). "mode=KIND" is
 * understood as well, and so is "none". The main thread only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"

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
	unsigned int b[NET_MAC_LEN];
	int end = 0;

	if (sscanf(value, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2],
		   &b[3], &b[4], &b[5], &end) != NET_MAC_LEN || value[end] ||
	    end != 17)
		return bad_value("mac", value, r);
	if (b[0] & 1)
		return report_error(r, 0, "--network: mac=%s is a group's",
				    value);
	for (unsigned int i = 0; i < NET_MAC_LEN; i++)
		n->mac[i] = (u8)b[i];
	n->has_mac = true;
	return 0;
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

static const struct {
	const char *name;
	u32 kinds;
	bool flag;
	int (*set)(struct net_opts *n, const char *value, struct report *r);
} words[] = {
	{ "mac", ~0U, false, network_mac },
	{ "mtu", ~0U, false, word_mtu },
	{ "ifname", KIND(TAP), false, word_ifname },
	{ "script", KIND(TAP), false, word_script },
	{ "mq", KIND(TAP), false, word_mq },
	{ "vhost", KIND(TAP), true, word_vhost },
	{ "path", KIND(SOCKET), false, word_path },
	{ "fwd", KIND(USER), false, word_fwd },
	{ "hostgw", KIND(USER), true, word_hostgw },
};

static int parse_word(struct net_opts *n, char *word, struct report *r)
{
	char *value = strchr(word, '=');

	if (value)
		*value++ = 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i].name))
			continue;
		if (!(words[i].kinds & BIT(n->kind)))
			return report_error(r, 0,
				"--network: %s is not for %s", word,
				kind_name[n->kind]);
		if (!value != words[i].flag)
			return report_error(r, 0, "--network: %s %s a value",
					    word, value ? "takes no" : "needs");
		return words[i].set(n, value, r);
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

/* Strings live as long as the process: they are the machine's. */
int opt_network(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;
	struct net_opts *n;
	char *rest, *word;
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
		err = parse_word(n, word, r);
	if (!err && n->kind == NET_SOCKET && !n->path)
		err = report_error(r, 0, "--network: socket needs path=");
	return err;
}

void network_print(const struct net_opts *o)
{
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
		printf(",mac=%02x:%02x:%02x:%02x:%02x:%02x", o->mac[0],
		       o->mac[1], o->mac[2], o->mac[3], o->mac[4], o->mac[5]);
	for (unsigned int i = 0; i < o->nr_forwards; i++)
		printf(",fwd=%s", o->forward[i]);
	printf("%s%s\n", o->vhost ? ",vhost" : "", o->hostgw ? ",hostgw" : "");
}

static void print_field(const char *name, const char *value)
{
	printf(", \"%s\": ", name);
	if (value)
		json_string(value);
	else
		printf("null");
}

void network_print_json(const struct net_opts *o)
{
	char mac[18] = "";

	if (o->has_mac)
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x",
			 o->mac[0], o->mac[1], o->mac[2], o->mac[3], o->mac[4],
			 o->mac[5]);
	printf("{ \"kind\": ");
	json_string(kind_name[o->kind]);
	print_field("mac", *mac ? mac : NULL);
	printf(", \"mtu\": %u, \"queue-pairs\": %u", o->mtu,
	       o->pairs ? o->pairs : 1);
	if (o->kind == NET_FD)
		printf(", \"fd\": %d", o->fd);
	if (o->kind == NET_TAP) {
		print_field("ifname", o->ifname);
		print_field("script", o->script);
		printf(", \"vhost\": %s", o->vhost ? "true" : "false");
	}
	if (o->kind == NET_SOCKET)
		print_field("path", o->path);
	if (o->kind == NET_USER) {
		printf(", \"hostgw\": %s, \"forward\": [",
		       o->hostgw ? "true" : "false");
		for (unsigned int i = 0; i < o->nr_forwards; i++) {
			printf("%s", i ? ", " : "");
			json_string(o->forward[i]);
		}
		printf("]");
	}
	printf(" }");
}
