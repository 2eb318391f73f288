// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The host's end of a virtio-vsock device, as files: the UNIX stream socket at
 * PATH that host programs connect to, and those at PATH_PORT, where host
 * programs wait for the guest to connect.
 *
 * The socket is unix.c's: for the user alone, in place of one that was left over.
 * At the end the file is removed if it still is the one that was made.
 *
 * No state but the caller's, no locks, any thread. What a host program sends
 * is checked here; nothing comes from the guest but a port number.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "kvm/unix.h"
#include "virtio/vsock.h"

#define PORT_SUFFIX_MAX sizeof("_4294967295")
#define BACKLOG 4096

int vsock_listen(struct vsock_listener *l, const char *path, struct report *r)
{
	struct sockaddr_un addr;
	int err = unix_address(&addr, path);

	memset(l, 0, sizeof(*l));
	l->fd = -1;
	if (!err && strlen(path) + PORT_SUFFIX_MAX > sizeof(addr.sun_path))
		err = -ENAMETOOLONG;
	if (!err)
		l->fd = unix_listen(&addr, SOCK_STREAM, BACKLOG);
	if (!err && l->fd < 0)
		err = l->fd;
	if (err)
		return report_error(r, -err, "vsock socket %s", path);
	lstat(path, &l->made);
	memcpy(l->path, path, strlen(path) + 1);
	return 0;
}

void vsock_unlisten(struct vsock_listener *l)
{
	if (l->fd < 0)
		return;
	unix_unlink(l->path, &l->made);
	close(l->fd);
	l->fd = -1;
}

int vsock_connect(const struct vsock_listener *l, u32 port)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s_%u", l->path,
			 port);

	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	return unix_connect(&addr, SOCK_STREAM);
}

int vsock_parse_connect(const char *line, size_t len, u32 *port)
{
	static const char word[] = "CONNECT ";
	const char *end = memchr(line, '\n', len);
	size_t have = end ? (size_t)(end - line) : len;
	size_t i = sizeof(word) - 1;
	u64 v = 0;

	if (memcmp(line, word, MIN(have, i)) || have >= VSOCK_CONNECT_MAX)
		return -EPROTO;
	for (; i < have; i++) {
		if (line[i] < '0' || line[i] > '9')
			return -EPROTO;
		v = v * 10 + (line[i] - '0');
		if (v > 0xffffffff)
			return -EPROTO;
	}
	if (!end)
		return 0;
	if (have < sizeof(word))
		return -EPROTO;
	*port = (u32)v;
	return have + 1;
}
