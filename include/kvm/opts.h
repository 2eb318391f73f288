/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is asked of a disk or a network interface: plain data that struct machine
 * holds, and that says nothing of how it is done.
 */
#ifndef KVM__OPTS_H
#define KVM__OPTS_H

#include "kvm/types.h"

enum disk_engine { DISK_ENGINE_AUTO, DISK_ENGINE_URING, DISK_ENGINE_THREADS };

/**
 * struct disk_opts - an image, and how it is used
 * @path: only read
 * @fd: with @has_fd the image, open as @readonly and @direct say; then @path is
 *	for messages. Taken over on success
 * @has_fd: the image comes as @fd
 * @readonly: opened for reading
 * @direct: past the page cache of the host
 * @engine: what does its I/O
 */
struct disk_opts {
	const char *path;
	int fd;
	bool has_fd;
	bool readonly;
	bool direct;
	enum disk_engine engine;
};

#define NET_MAX_FORWARDS 32
#define NET_MAC_LEN 6

enum net_kind { NET_USER, NET_TAP, NET_SOCKET, NET_FD };

/**
 * struct net_opts - one interface, as asked for; strings are the caller's
 * @ifname: of the tap device, or NULL
 * @script: run with its name
 * @path: of the socket
 * @fd: taken over on success
 * @forward: "tcp:2222:22"
 * @hostgw: the gateway's address is the host's loopback
 * @mtu: 0 for the backend's own
 * @pairs: of queues, 0 for one
 * @kind: which backend
 * @vhost: frames are moved by the host's kernel; NET_TAP
 * @has_mac: @mac is given; else it is random
 * @mac: hardware address in the guest
 * @nr_forwards: how many of @forward there are; NET_USER
 */
struct net_opts {
	enum net_kind kind;
	const char *ifname;
	const char *script;
	const char *path;
	int fd;
	bool vhost;
	bool hostgw;
	unsigned int pairs;
	unsigned int mtu;
	bool has_mac;
	u8 mac[NET_MAC_LEN];
	const char *forward[NET_MAX_FORWARDS];
	unsigned int nr_forwards;
};

#endif
