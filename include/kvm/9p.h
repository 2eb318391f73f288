/* SPDX-License-Identifier: GPL-2.0-only */
/* The server's side of 9P2000.L, for guests without virtio-fs. */
#ifndef KVM__9P_H
#define KVM__9P_H

#include "kvm/fs-serve.h"

struct fs_host;
struct fs_server;

/**
 * p9_server_create() - a session that is yet to begin
 * @host: ownership passes on success
 */
int p9_server_create(struct fs_server **out, struct fs_host *host);

#endif
