/* SPDX-License-Identifier: GPL-2.0-only */
/* What the socket devices share, and the UNIX sockets of virtio/vsock.c. */
#ifndef KVM__VSOCK_H
#define KVM__VSOCK_H

#include <sys/stat.h>
#include <sys/un.h>
#include <linux/virtio_vsock.h>
#include "kvm/report.h"
#include "kvm/virtio.h"

enum { VSOCK_RX, VSOCK_TX, VSOCK_EVENT, VSOCK_QUEUES };

/** struct vsock_common - @tell_reset: the guest's connections are gone */
struct vsock_common {
	u64 cid;
	bool tell_reset;
};

void vsock_config_read(struct virtio_device *dev, u32 off, void *d, u32 len);
void vsock_save(struct virtio_device *dev, struct state_out *out);
int vsock_restore(struct virtio_device *dev, struct state_in *in);
/**
 * vsock_tell_reset() - tell the guest, if there is something to tell
 * @chain: is used for it
 *
 * Return: whether the event queue is to be signalled.
 */
bool vsock_tell_reset(struct virtio_device *dev, struct vq_chain *chain);

/**
 * struct vsock_listener - the socket that host programs connect to
 * @fd: non-blocking, or -1
 * @path: of the socket; PATH_PORT are those that guests connect to
 * @made: the file, so that no other is removed
 */
struct vsock_listener {
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat made;
};

/**
 * vsock_listen() - make the socket, mode 0600
 *
 * A socket at @path that nobody listens to is replaced; nothing else is.
 * Return: 0, or -errno with @r and @l->fd -1.
 */
int vsock_listen(struct vsock_listener *l, const char *path, struct report *r);
/** vsock_unlisten() - close and remove it; idempotent */
void vsock_unlisten(struct vsock_listener *l);

/**
 * vsock_connect() - connect to the host program that listens at PATH_@port
 *
 * Return: a non-blocking socket; -EAGAIN when too many are waiting there, or
 * another -errno.
 */
int vsock_connect(const struct vsock_listener *l, u32 port);

/**
 * vsock_parse_connect() - "CONNECT port\n" at the start of @len bytes
 *
 * Return: length of the line with *@port, 0 when it is not complete yet, or
 * -EPROTO when it never will be.
 */
int vsock_parse_connect(const char *line, size_t len, u32 *port);
#define VSOCK_CONNECT_MAX 32

#endif
