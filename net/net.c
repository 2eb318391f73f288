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
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/if.h>
#include <linux/if_tun.h>

#include "kvm/net.h"

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

static int check_opts(const struct net_opts *o, struct report *r)
{
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
	return 0;
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
	int err = check_opts(o, r);

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
