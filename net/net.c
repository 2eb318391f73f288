// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Picks the backend that an option asks for, and finds out what a file
 * descriptor that was handed in is: a tap device answers TUNGETIFF; a socket
 * says whether it keeps frames apart. Runs once, on the main thread, before
 * the VM exists; the guest cannot reach anything here. No state, no locks.
 *
 * Not supported: sockets that are not connected, and options that a kind has
 * no use for: they are refused rather than ignored.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/if.h>
#include <linux/if_tun.h>

#include "kvm/net.h"
#include "kvm/unix.h"

static int fd_prepare(int fd, struct report *r)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return report_error(r, errno, "network fd=%d", fd);
	return 0;
}

static int net_fd_open(struct net_backend **out, const struct net_opts *o,
		       struct report *r)
{
	struct ifreq ifr = { 0 };
	socklen_t len = sizeof(int);
	char name[32];
	int type, err;

	err = fd_prepare(o->fd, r);
	if (err)
		return err;
	if (!ioctl(o->fd, TUNGETIFF, &ifr))
		return net_tap_adopt(out, o->fd, r);
	snprintf(name, sizeof(name), "fd=%d", o->fd);
	if (getsockopt(o->fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return report_error(r, errno,
				    "network fd=%d: neither a tap device nor a socket",
				    o->fd);
	if (type == SOCK_STREAM)
		return net_stream_adopt(out, o->fd, name, r);
	return net_packet_adopt(out, o->fd, name, r);
}

/* All else is passt's to know; an address may be before a slash. */
static bool ports_are_good(const char *text)
{
	const char *slash = strrchr(text, '/');
	char *end;

	if (!*text || text[strspn(text, "0123456789abcdefABCDEF.:/-,~%[]")])
		return false;
	for (const char *p = slash ? slash + 1 : text; *p; p = end) {
		u64 n = 1;

		end = (char *)p + 1;
		if (*p >= '0' && *p <= '9')
			n = strtoull(p, &end, 10);
		if (n < 1 || n > 65535)
			return false;
	}
	return true;
}

static int check_forward(const char *text, struct report *r)
{
	if (strncmp(text, "tcp:", 4) && strncmp(text, "udp:", 4))
		return report_error(r, 0,
			"network user: fwd=%s is not tcp:PORT or udp:PORT",
			text);
	return ports_are_good(text + 4) ? 0 :
	       report_error(r, 0, "network user: bad ports in fwd=%s", text);
}

int net_check(const struct net_opts *o, struct report *r)
{
	int err = 0;

	if (o->kind != NET_TAP && o->vhost)
		return report_error(r, 0, "network: vhost needs tap");
	if (o->kind != NET_TAP && o->pairs > 1)
		return report_error(r, 0, "network: mq needs tap");
	if (o->pairs > NET_MAX_PAIRS)
		return report_error(r, 0, "network: mq=%u: at most %d",
				    o->pairs, NET_MAX_PAIRS);
	if (o->mtu && (o->mtu < NET_MIN_MTU || o->mtu > NET_MAX_MTU))
		return report_error(r, 0, "network: mtu=%u is not %d..%d",
				    o->mtu, NET_MIN_MTU, NET_MAX_MTU);
	if (o->ifname && (strlen(o->ifname) >= IFNAMSIZ || strchr(o->ifname, '/')))
		return report_error(r, 0, "network: ifname=%s is no name of an interface",
				    o->ifname);
	if (o->path && strlen(o->path) >= UNIX_PATH)
		return report_error(r, ENAMETOOLONG, "network socket %s", o->path);
	for (unsigned int i = 0; i < o->nr_forwards && !err; i++)
		err = check_forward(o->forward[i], r);
	return err;
}

int net_open(struct net_backend **out, const struct net_opts *o,
	     struct report *r)
{
	static int (*const open[])(struct net_backend **out,
				   const struct net_opts *o,
				   struct report *r) = {
		[NET_USER] = net_passt_open,
		[NET_TAP] = net_tap_open,
		[NET_SOCKET] = net_socket_open,
		[NET_FD] = net_fd_open,
	};
	int err = net_check(o, r);

	if (!err)
		err = open[o->kind](out, o, r);
	if (!err && o->mtu)
		(*out)->info.mtu = o->mtu;
	return err;
}

void net_close(struct net_backend *b)
{
	if (b)
		b->ops->close(b);
}

bool net_link(struct net_backend *b)
{
	return b->ops->link(b);
}
