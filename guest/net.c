// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command's network.
 *
 * Theory of operation: the loopback interface is up always. Then the interfaces
 * that the host has asked for, in the order in which it has made them: without
 * anybody who renames them they are eth0, eth1 and so on. Each is brought up, and
 * where the host says so gets an address, a route and name servers by DHCP. IPv6
 * is the kernel's own business: it listens to routers.
 *
 * What is missing costs the network and is a note to the user, nothing else. The
 * file of name servers replaces that of the root, be that a file or a link to
 * one of a daemon that does not run here; where the root is a disk, or cannot be
 * written to, it is mounted over it and stays out of it.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/if.h>
#include <linux/in.h>
#include <linux/mount.h>
#include <linux/route.h>
#include <linux/sockios.h>
#include <linux/time_types.h>

#include "init.h"
#include "sys.h"

#define FAMILY_INET 2
#define SOCKET_DGRAM 2
#define RESOLV "/etc/resolv.conf"
#define RESOLV_OURS "/run/lkvm-resolv.conf"
#define APPEAR_MS 3000

static int link_up(int fd, struct ifreq *r)
{
	int err = sys_ioctl(fd, SIOCGIFFLAGS, r);

	if (err)
		return err;
	r->ifr_flags |= IFF_UP;
	return sys_ioctl(fd, SIOCSIFFLAGS, r);
}

/* A driver that is a module finds its device a little later. */
static int link_find(int fd, struct ifreq *r)
{
	struct __kernel_timespec t = { .tv_nsec = 10000000 };
	int err = -ENODEV;

	for (unsigned int ms = 0; ms < APPEAR_MS; ms += 10) {
		err = sys_ioctl(fd, SIOCGIFINDEX, r);
		if (err != -ENODEV)
			break;
		SYS(__NR_nanosleep, (long)&t, 0);
	}
	return err;
}

static void put_address(struct sockaddr *out, __be32 address)
{
	struct sockaddr_in in = {
		.sin_family = FAMILY_INET, .sin_addr.s_addr = address,
	};

	memcpy(out, &in, sizeof(in));
}

static int route_add(int fd, char *name, __be32 to, __be32 router)
{
	struct rtentry rt = { .rt_flags = RTF_UP, .rt_dev = name };

	put_address(&rt.rt_dst, to);
	put_address(&rt.rt_gateway, router);
	put_address(&rt.rt_genmask, to ? ~0U : 0);
	rt.rt_flags |= (router ? RTF_GATEWAY : 0) | (to ? RTF_HOST : 0);
	return sys_ioctl(fd, SIOCADDRT, &rt);
}

static int lease_apply(int fd, char *name, const struct lease *l)
{
	struct ifreq r = { .ifr_ifindex = 0 };
	int err;

	text_join(r.ifr_name, sizeof(r.ifr_name), name, NULL, NULL);
	put_address(&r.ifr_addr, l->address);
	err = sys_ioctl(fd, SIOCSIFADDR, &r);
	if (err)
		return err;
	put_address(&r.ifr_netmask, l->mask ? l->mask : ~0U);
	err = sys_ioctl(fd, SIOCSIFNETMASK, &r);
	if (err || !l->router)
		return err;
	/* A router beyond the mask is on the link nonetheless. */
	if ((l->router ^ l->address) & (l->mask ? l->mask : ~0U))
		route_add(fd, name, l->router, 0);
	err = route_add(fd, name, 0, l->router);
	/* Of several interfaces the first has the route. */
	return err == -EEXIST ? 0 : err;
}

static char *put_text(char *at, const char *end, const char *text)
{
	while (*text && at < end)
		*at++ = *text++;
	return at;
}

static char *put_server(char *at, const char *end, __be32 address)
{
	const u8 *byte = (const u8 *)&address;
	char digits[12];

	at = put_text(at, end, "nameserver ");
	for (unsigned int i = 0; i < 4; i++) {
		at = put_text(at, end, text_decimal(digits, byte[i]));
		at = put_text(at, end, i < 3 ? "." : "\n");
	}
	return at;
}

static int file_make(const char *path, const char *text)
{
	int fd = sys_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return fd;
	sys_close(fd);
	return file_write(path, text);
}

/* What is in a share is the host's, but for what "lkvm setup" made for a guest. */
static bool etc_is_shared(const struct config *c)
{
	for (unsigned int i = 0; i < c->nr_shares; i++) {
		const char *path = c->share[i], *rest;

		if (text_after(path, "own-"))
			continue;
		while (*path && *path++ != ':')
			;
		if (text_equal(path, "/") || text_equal(path, RESOLV))
			return true;
		rest = text_after(RESOLV, path);
		if (*path && rest && *rest == '/')
			return true;
	}
	return false;
}

static void resolver_set(const struct config *c, const struct lease *l,
			 struct notes *n)
{
	char text[512], *at = text;
	const char *end = text + sizeof(text) - 1;
	bool ours = !(c->root && text_after(c->root, "disk:")) && !etc_is_shared(c);
	int err;

	if (*l->domain) {
		at = put_text(at, end, "search ");
		at = put_text(at, end, l->domain);
		at = put_text(at, end, "\n");
	}
	for (unsigned int i = 0; i < l->nr_dns; i++)
		at = put_server(at, end, l->dns[i]);
	*at = 0;
	if (ours) {
		sys_mkdir("/etc", 0755);
		sys_unlink(RESOLV);
		if (!file_make(RESOLV, text))
			return;
	}
	sys_unlink(RESOLV_OURS);
	err = file_make(RESOLV_OURS, text);
	if (!err)
		err = sys_mount(RESOLV_OURS, RESOLV, NULL, MS_BIND, NULL);
	if (err)
		note(n, RESOLV, ": no name servers: ", text_errno(-err));
}

static void interface_up(const struct config *c, int fd, unsigned int nr,
			 struct notes *n)
{
	struct lease lease;
	char digits[12], name[IFNAMSIZ];
	struct ifreq r = { .ifr_ifindex = 0 };
	int err, index;

	text_join(name, sizeof(name), "eth", text_decimal(digits, nr), NULL);
	memcpy(r.ifr_name, name, sizeof(name));
	err = link_find(fd, &r);
	index = r.ifr_ifindex;
	if (!err)
		err = link_up(fd, &r);
	if (!err && c->dhcp[nr]) {
		err = sys_ioctl(fd, SIOCGIFHWADDR, &r);
		if (!err)
			err = dhcp_get(&lease, index,
				       (const u8 *)r.ifr_hwaddr.sa_data);
		if (err == -EAFNOSUPPORT)
			note(n, "the kernel has no PACKET: no address for ", name,
			     NULL);
		else if (!err)
			err = lease_apply(fd, name, &lease);
		if (!err && lease.nr_dns)
			resolver_set(c, &lease, n);
	}
	if (err == -ENODEV)
		note(n, "the kernel has no VIRTIO_NET: no interface ", name, NULL);
	else if (err && err != -EAFNOSUPPORT)
		note(n, name, ": no network: ", text_errno(-err));
}

void network_up(const struct config *c, struct notes *n)
{
	struct ifreq lo = { .ifr_name = "lo" };
	long fd = sys_socket(FAMILY_INET, SOCKET_DGRAM | O_CLOEXEC, 0);

	if (fd < 0 && c->nr_nets)
		note(n, "the kernel has no INET: no network", NULL, NULL);
	if (fd < 0)
		return;
	link_up(fd, &lo);
	for (unsigned int i = 0; i < c->nr_nets; i++)
		interface_up(c, fd, i, n);
	sys_close(fd);
}
