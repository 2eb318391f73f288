// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * A tap device of the host, Documentation/networking/tuntap.rst: one file
 * descriptor for each port, a read or a write for each frame, with a
 * virtio_net_hdr in front. The kernel checks that header and does what it
 * asks for: checksums, segmentation. What the guest can take is set with
 * TUNSETOFFLOAD.
 *
 * A device that does not exist is made, and goes away with the last file
 * descriptor; an existing one may be used without being root when it belongs
 * to the user. It gets the MTU that was asked for and is brought up, and a script
 * may do the rest.
 *
 * Each port has one thread; @gone and @attached are atomics because all
 * threads look at them. When the device is removed every call fails with
 * EBADFD, and so it does on a port that is not attached: this is told apart
 * by @attached, which is cleared before and set after the kernel is asked.
 *
 * A port nearly always takes what is written. It is watched for room only while it did
 * not, since each frame that arrives would wake up its thread once more otherwise: what
 * is ready in any way is told again, edge or not.
 *
 * A frame that the kernel refuses (a header that lies, a device that is down)
 * is dropped, as on a wire. Not supported: steering programs, filters in the
 * kernel, and more headers than virtio 1.2 has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#include "kvm/net.h"
#include "kvm/net-uso.h"
#include "kvm/thread.h"

#define TUN_DEVICE "/dev/net/tun"

/**
 * struct tap - an instance
 * @epfd, @cookie: where each port is watched
 * @full: a port is watched for room as well
 */
struct tap {
	struct net_backend b;
	char ifname[IFNAMSIZ];
	int fd[NET_MAX_PAIRS];
	int epfd[NET_MAX_PAIRS];
	u64 cookie[NET_MAX_PAIRS];
	bool full[NET_MAX_PAIRS];
	bool attached[NET_MAX_PAIRS];
	bool gone;
};

static const struct {
	unsigned int guest;
	unsigned int host;
	unsigned int tun;
} offloads[] = {
	{ VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_CSUM, TUN_F_CSUM },
	{ VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO4, TUN_F_TSO4 },
	{ VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_TSO6, TUN_F_TSO6 },
	{ VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_HOST_ECN, TUN_F_TSO_ECN },
	{ VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_HOST_UFO, TUN_F_UFO },
	{ VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_HOST_USO, TUN_F_USO4 },
	{ VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_HOST_USO, TUN_F_USO6 },
};

static struct tap *to_tap(struct net_backend *b)
{
	return container_of(b, struct tap, b);
}

static bool tap_lost(struct tap *t, unsigned int port)
{
	if (!__atomic_load_n(&t->attached[port], __ATOMIC_ACQUIRE))
		return false;
	__atomic_store_n(&t->gone, true, __ATOMIC_RELEASE);
	return true;
}

static int tap_watch(struct net_backend *b, unsigned int port, int epfd,
		     u64 cookie, u64 comes)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.u64 = cookie };
	struct tap *t = to_tap(b);

	(void)comes;
	t->epfd[port] = epfd;
	t->cookie[port] = cookie;
	t->full[port] = false;
	return epoll_ctl(epfd, EPOLL_CTL_ADD, t->fd[port], &ev) < 0 ? -errno : 0;
}

/*
 * Each time anew: the kernel looks then whether there is room by now, and tells of
 * room to come only those for whom it found none.
 */
static void tap_watch_room(struct tap *t, unsigned int port, bool on)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLET | (on ? EPOLLOUT : 0),
		.data.u64 = t->cookie[port],
	};

	if ((on || t->full[port]) &&
	    !epoll_ctl(t->epfd[port], EPOLL_CTL_MOD, t->fd[port], &ev))
		t->full[port] = on;
}

static int tap_send(struct net_backend *b, unsigned int port,
		    const struct net_frame *frames, unsigned int nr)
{
	struct tap *t = to_tap(b);
	unsigned int i = 0;

	while (i < nr) {
		if (writev(t->fd[port], frames[i].iov, (int)frames[i].nr) < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN)
				break;
			if (errno == EBADFD && tap_lost(t, port) && !i)
				return -ENOLINK;
		}
		i++;
	}
	tap_watch_room(t, port, i < nr);
	return (int)i;
}

static ssize_t tap_recv(struct net_backend *b, unsigned int port,
			const struct iovec *iov, unsigned int nr)
{
	struct tap *t = to_tap(b);
	ssize_t n;

	do {
		n = readv(t->fd[port], iov, (int)nr);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EBADFD)
		return tap_lost(t, port) ? -ENOLINK : -EAGAIN;
	/* A frame was thrown away. Of the next, which is there already, no event tells. */
	return errno == EAGAIN ? -EAGAIN : 0;
}

static bool tap_link(struct net_backend *b)
{
	struct tap *t = to_tap(b);
	struct ifreq ifr = { 0 };

	if (__atomic_load_n(&t->gone, __ATOMIC_ACQUIRE))
		return false;
	/* vhost reads in our place: nobody else notices. */
	if (ioctl(t->fd[0], TUNGETIFF, &ifr) < 0 && errno == EBADFD)
		tap_lost(t, 0);
	return !__atomic_load_n(&t->gone, __ATOMIC_ACQUIRE);
}

static int tap_set_offloads(struct net_backend *b, u64 features)
{
	const u64 uso = BIT_ULL(VIRTIO_NET_F_GUEST_USO4) |
			BIT_ULL(VIRTIO_NET_F_GUEST_USO6);
	unsigned long flags = 0;

	/* The kernel takes both or none. */
	if ((features & uso) != uso)
		features &= ~uso;
	for (unsigned int i = 0; i < ARRAY_SIZE(offloads); i++) {
		if (features & BIT_ULL(offloads[i].guest))
			flags |= offloads[i].tun;
	}
	if (ioctl(to_tap(b)->fd[0], TUNSETOFFLOAD, flags) < 0)
		return errno == EBADFD ? 0 : -errno;
	return 0;
}

static int tap_attach(struct tap *t, unsigned int port, bool on)
{
	struct ifreq ifr = {
		.ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE,
	};

	if (__atomic_load_n(&t->attached[port], __ATOMIC_ACQUIRE) == on)
		return 0;
	if (!on)
		__atomic_store_n(&t->attached[port], false, __ATOMIC_RELEASE);
	if (ioctl(t->fd[port], TUNSETQUEUE, &ifr) < 0)
		return -errno;
	if (on)
		__atomic_store_n(&t->attached[port], true, __ATOMIC_RELEASE);
	return 0;
}

static int tap_set_pairs(struct net_backend *b, unsigned int pairs)
{
	struct tap *t = to_tap(b);
	int err = 0;

	for (unsigned int i = 1; i < b->info.pairs && !err; i++)
		err = tap_attach(t, i, i < pairs);
	return err;
}

static int tap_get_fd(struct net_backend *b, unsigned int port)
{
	return to_tap(b)->fd[port];
}

/* One queue's; those of more are not all. */
static int tap_fd(struct net_backend *b)
{
	return b->info.pairs == 1 ? to_tap(b)->fd[0] : -1;
}

static void tap_close(struct net_backend *b)
{
	struct tap *t = to_tap(b);

	for (unsigned int i = 0; i < NET_MAX_PAIRS; i++) {
		if (t->fd[i] >= 0)
			close(t->fd[i]);
	}
	free(t);
}

static const struct net_ops tap_ops = {
	.watch = tap_watch,
	.send = tap_send,
	.recv = tap_recv,
	.link = tap_link,
	.set_offloads = tap_set_offloads,
	.set_pairs = tap_set_pairs,
	.tap_fd = tap_get_fd,
	.fd = tap_fd,
	.close = tap_close,
};

static struct tap *tap_alloc(void)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->b.ops = &tap_ops;
	t->b.info.vnet_hdr = true;
	t->b.info.pairs = 1;
	for (unsigned int i = 0; i < NET_MAX_PAIRS; i++)
		t->fd[i] = -1;
	return t;
}

/* What the kernel can do it says by accepting it. */
static void tap_probe_offloads(struct tap *t)
{
	const unsigned long uso = TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6;
	unsigned long all = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 |
			    TUN_F_TSO_ECN;
	int fd = t->fd[0];

	if (ioctl(fd, TUNSETOFFLOAD, all) < 0)
		all = 0;
	else if (!ioctl(fd, TUNSETOFFLOAD, all | TUN_F_UFO))
		all |= TUN_F_UFO;
	if (all && !ioctl(fd, TUNSETOFFLOAD, uso))
		all |= uso;
	ioctl(fd, TUNSETOFFLOAD, 0UL);
	for (unsigned int i = 0; i < ARRAY_SIZE(offloads); i++) {
		if (all & offloads[i].tun)
			t->b.info.offloads |= BIT_ULL(offloads[i].guest) |
					      BIT_ULL(offloads[i].host);
	}
}

/* Headers of the length that virtio 1.2 has, and the MTU. */
static int tap_configure(struct tap *t, struct report *r)
{
	const int le = 1, len = NET_HDR_LEN;
	struct ifreq ifr = { 0 };
	int sock;

	for (unsigned int i = 0; i < t->b.info.pairs; i++) {
		if (ioctl(t->fd[i], TUNSETVNETHDRSZ, &len) < 0)
			return report_error(r, errno, "tap %s: TUNSETVNETHDRSZ",
					    t->ifname);
		if (ioctl(t->fd[i], TUNSETVNETLE, &le) < 0)
			return report_error(r, errno, "tap %s: TUNSETVNETLE",
					    t->ifname);
	}
	tap_probe_offloads(t);
	snprintf(t->b.info.name, sizeof(t->b.info.name), "tap %s", t->ifname);
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return 0;
	memcpy(ifr.ifr_name, t->ifname, IFNAMSIZ);
	if (!ioctl(sock, SIOCGIFMTU, &ifr) && ifr.ifr_mtu >= NET_MIN_MTU &&
	    ifr.ifr_mtu <= NET_MAX_MTU)
		t->b.info.mtu = (u32)ifr.ifr_mtu;
	close(sock);
	return 0;
}

/* What is not ours to change is good enough when it is no less. */
static int tap_set_mtu(struct tap *t, int sock, u32 mtu, struct report *r)
{
	struct ifreq ifr = { .ifr_mtu = (int)mtu };
	int err;

	memcpy(ifr.ifr_name, t->ifname, IFNAMSIZ);
	if (!ioctl(sock, SIOCSIFMTU, &ifr))
		return 0;
	err = errno;
	if (err == EPERM && !ioctl(sock, SIOCGIFMTU, &ifr) &&
	    ifr.ifr_mtu >= (int)mtu)
		return 0;
	return report_error(r, err, "tap %s: its MTU cannot be set to %u",
			    t->ifname, mtu);
}

static int tap_bring_up(struct tap *t, u32 mtu, struct report *r)
{
	struct ifreq ifr = { 0 };
	int err = 0;
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (sock < 0)
		return report_error(r, errno, "tap %s: socket", t->ifname);
	memcpy(ifr.ifr_name, t->ifname, IFNAMSIZ);
	if (mtu)
		err = tap_set_mtu(t, sock, mtu, r);
	if (!err && ioctl(sock, SIOCGIFFLAGS, &ifr) < 0) {
		err = report_error(r, errno, "tap %s: SIOCGIFFLAGS", t->ifname);
	} else if (!err && !(ifr.ifr_flags & IFF_UP)) {
		ifr.ifr_flags |= IFF_UP;
		if (ioctl(sock, SIOCSIFFLAGS, &ifr) < 0)
			err = report_error(r, errno,
					   "tap %s: is down and cannot be brought up",
					   t->ifname);
	}
	close(sock);
	return err;
}

static int tap_script(struct tap *t, const char *script, struct report *r)
{
	char *const argv[] = { (char *)script, t->ifname, NULL };
	int err, status;
	pid_t pid;

	err = process_spawn(&pid, script, NULL, argv);
	if (err)
		return report_error(r, err, "tap %s: script %s", t->ifname,
				    script);
	status = process_wait(pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return report_error(r, 0, "tap %s: script %s failed, status %d",
				    t->ifname, script,
				    WIFEXITED(status) ? WEXITSTATUS(status) :
				    128 + WTERMSIG(status));
	return 0;
}

static int tap_open_port(struct tap *t, unsigned int port, struct report *r)
{
	struct ifreq ifr = { 0 };
	unsigned int features = 0;
	int fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ENODEV))
		return report_error(r, errno,
				    "network tap: " TUN_DEVICE
				    ": cannot open; is the module tun loaded?");
	if (fd < 0)
		return report_error(r, errno,
				    "network tap: " TUN_DEVICE ": cannot open");
	t->fd[port] = fd;
	if (ioctl(fd, TUNGETFEATURES, &features) < 0 ||
	    !(features & IFF_VNET_HDR))
		return report_error(r, 0,
				    "network tap: this kernel has no IFF_VNET_HDR");
	memcpy(ifr.ifr_name, t->ifname, IFNAMSIZ);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (t->b.info.pairs > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		if (errno == EPERM)
			return report_error(r, EPERM,
				"tap %s: needs root, or a device that is yours (ip tuntap add mode tap user $USER)",
				t->ifname);
		return report_error(r, errno, "tap %s: TUNSETIFF%s", t->ifname,
				    errno == EINVAL ?
				    "; made without multi_queue, or with it?" :
				    errno == EBUSY ? "; in use" : "");
	}
	memcpy(t->ifname, ifr.ifr_name, IFNAMSIZ);
	t->attached[port] = true;
	return 0;
}

int net_tap_open(struct net_backend **out, const struct net_opts *o,
		 struct report *r)
{
	struct tap *t = tap_alloc();
	int err = 0;

	if (!t)
		return report_error(r, ENOMEM, "network tap");
	snprintf(t->ifname, sizeof(t->ifname), "%s",
		 o->ifname ? o->ifname : "vmtap%d");
	t->b.info.pairs = o->pairs ? o->pairs : 1;
	for (unsigned int i = 0; i < t->b.info.pairs && !err; i++)
		err = tap_open_port(t, i, r);
	if (!err && o->script)
		err = tap_script(t, o->script, r);
	if (!err)
		err = tap_bring_up(t, o->mtu, r);
	if (!err)
		err = tap_configure(t, r);
	if (!err && tap_set_pairs(&t->b, 1))
		err = report_error(r, 0, "tap %s: TUNSETQUEUE", t->ifname);
	if (err)
		goto err_close;
	*out = &t->b;
	return 0;

err_close:
	tap_close(&t->b);
	return err;
}

int net_tap_adopt(struct net_backend **out, int fd, struct report *r)
{
	struct ifreq ifr = { 0 };
	struct tap *t;
	int err;

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return report_error(r, errno, "network fd=%d: TUNGETIFF", fd);
	if (!(ifr.ifr_flags & IFF_TAP) || !(ifr.ifr_flags & IFF_NO_PI))
		return report_error(r, 0,
			"network fd=%d: not a tap device with IFF_NO_PI", fd);
	t = tap_alloc();
	if (!t)
		return report_error(r, ENOMEM, "network fd=%d", fd);
	t->fd[0] = fd;
	t->attached[0] = true;
	memcpy(t->ifname, ifr.ifr_name, IFNAMSIZ);
	t->b.info.vnet_hdr = ifr.ifr_flags & IFF_VNET_HDR;
	if (!t->b.info.vnet_hdr)
		snprintf(t->b.info.name, sizeof(t->b.info.name), "tap %s",
			 t->ifname);
	err = t->b.info.vnet_hdr ? tap_configure(t, r) : 0;
	if (err) {
		t->fd[0] = -1;
		tap_close(&t->b);
		return err;
	}
	*out = &t->b;
	return 0;
}
