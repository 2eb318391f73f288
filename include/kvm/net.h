/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a guest's network frames go: a tap device, passt, another VM or a
 * file descriptor that was handed in. One backend a device, one port of it for
 * each pair of queues, and each port used by one thread.
 */
#ifndef KVM__NET_H
#define KVM__NET_H

#include <sys/uio.h>
#include "kvm/gmem.h"
#include "kvm/opts.h"
#include "kvm/report.h"
#include "kvm/virtqueue.h"

#define NET_MAX_PAIRS 8
#define NET_MIN_MTU 68
#define NET_MAX_MTU 65535
/* Ethernet header, two VLAN tags, and the most that IP can say. */
#define NET_MAX_FRAME (14 + 8 + 65535)
/* struct virtio_net_hdr_v1, before each frame when info.vnet_hdr is set. */
#define NET_HDR_LEN 12
/* Pieces in one frame, at most. */
#define NET_MAX_IOV 1024

/**
 * struct net_info - what a backend is
 * @name: for messages
 * @vnet_hdr: frames have a virtio_net_hdr_v1 in front, both ways
 * @offloads: VIRTIO_NET_F_* bits about checksums and segmentation that it can
 *	do in either direction; 0 without @vnet_hdr
 * @mtu: largest packet, 0 when it does not say
 * @pairs: of queues, each with a port of its own
 */
struct net_info {
	char name[64];
	bool vnet_hdr;
	u64 offloads;
	u32 mtu;
	unsigned int pairs;
};

/** struct net_frame - @len bytes in @nr pieces */
struct net_frame {
	const struct iovec *iov;
	unsigned int nr;
	u32 len;
};

struct net_backend;

/**
 * struct net_ops - a kind of backend; @port is below info.pairs
 * @watch: add the port's file descriptors to @epfd, edge-triggered, with
 *	@cookie as data; with @comes those that say only that somebody may have come,
 *	which @link finds out. Descriptors that come later are added by themselves
 * @send: frames in order. Return: how many were taken, or had to be dropped;
 *	fewer than @nr when it is full, and an event follows once it is not.
 *	-ENOLINK when nobody is there: what was not taken will not be
 * @flush: NULL when @send never takes a part of a frame; sends what is left of one,
 *	as far as there is room. Return: 0, -ENOLINK
 * @recv: one frame into @iov. Return: its length, more than @iov when it was
 *	cut, less than a frame has when the peer sent such; -EAGAIN, and an
 *	event follows; -ENOLINK. After -EAGAIN part of a frame may be in @iov:
 *	the next call begins with the same pieces, or @keep was called in
 *	between with them
 * @keep: NULL when @recv never leaves a part
 * @link: find out whether somebody is there, or has come
 * @set_offloads: GUEST_* bits of VIRTIO_NET_F_*, a subset of info.offloads
 * @set_pairs: use that many ports
 * @tap_fd: what vhost-net can use, or -1
 * @fd: what NET_FD makes the like of, or NULL; the backend's own
 * @close: free it
 */
struct net_ops {
	int (*watch)(struct net_backend *b, unsigned int port, int epfd,
		     u64 cookie, u64 comes);
	int (*send)(struct net_backend *b, unsigned int port,
		    const struct net_frame *frames, unsigned int nr);
	int (*flush)(struct net_backend *b, unsigned int port);
	ssize_t (*recv)(struct net_backend *b, unsigned int port,
			const struct iovec *iov, unsigned int nr);
	void (*keep)(struct net_backend *b, unsigned int port,
		     const struct iovec *iov, unsigned int nr);
	bool (*link)(struct net_backend *b);
	int (*set_offloads)(struct net_backend *b, u64 features);
	int (*set_pairs)(struct net_backend *b, unsigned int pairs);
	int (*tap_fd)(struct net_backend *b, unsigned int port);
	int (*fd)(struct net_backend *b);
	void (*close)(struct net_backend *b);
};

/** struct net_backend - an instance; the kind's own struct begins with it */
struct net_backend {
	const struct net_ops *ops;
	struct net_info info;
};

/**
 * net_check() - whether some host could open what @o asks for
 *
 * Return: 0, or -EINVAL with a report.
 */
int net_check(const struct net_opts *o, struct report *r);
/**
 * net_open() - make the backend that @o asks for, if net_check() has nothing against it
 *
 * May start a helper process and wait until it is ready.
 * Return: 0 with *@out, -errno with the reason in @r.
 */
int net_open(struct net_backend **out, const struct net_opts *o,
	     struct report *r);
/** net_close() - accepts NULL */
void net_close(struct net_backend *b);
/** net_link() - whether somebody is at the other end; as ops->link */
bool net_link(struct net_backend *b);

/* The kinds, for net_open(), which has checked @o. */

/**
 * net_tap_open() - a tap device, made if there is none of that name, and brought up
 * @o: @ifname, vmtapN if it is NULL; @script is run before the device is up, and
 *	waited for; @pairs of queues, one of which is in use at first; @mtu, if it is
 *	not 0, is the device's, too
 *
 * Return: 0 with *@out, which net_close() frees; -errno with the reason in @r. The same
 * is true of those below.
 */
int net_tap_open(struct net_backend **out, const struct net_opts *o,
		 struct report *r);
/** net_tap_adopt() - a tap device behind a file descriptor that was given */
int net_tap_adopt(struct net_backend **out, int fd, struct report *r);
/**
 * net_passt_open() - start passt(1), on one end of a pair of sockets
 * @o: @forward and @hostgw become its options
 *
 * Context: before the process is sealed; waits until passt is ready.
 */
int net_passt_open(struct net_backend **out, const struct net_opts *o,
		   struct report *r);
/**
 * net_socket_open() - a wire between two VMs, by a UNIX socket
 * @o: @path; who comes first listens there, and there need be nobody yet
 */
int net_socket_open(struct net_backend **out, const struct net_opts *o,
		    struct report *r);
/** net_packet_adopt() - a connected socket that keeps frames apart */
int net_packet_adopt(struct net_backend **out, int fd, const char *name,
		     struct report *r);
/** net_stream_adopt() - a stream with a 32-bit big-endian length per frame */
int net_stream_adopt(struct net_backend **out, int fd, const char *name,
		     struct report *r);

#endif
