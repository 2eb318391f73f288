/* SPDX-License-Identifier: GPL-2.0-only */
/* The server's side of FUSE, as virtio-fs carries it: virtio 1.2 s5.11. */
#ifndef KVM__FUSE_H
#define KVM__FUSE_H

#include "kvm/fs-serve.h"

/* The errno by which a kernel learns that it need not ask for this again */
#define FUSE_ERRNO_UNKNOWN 38

struct fs_host;
struct fs_server;

/**
 * fuse_server_create() - a session that is yet to begin
 * @host: ownership passes on success
 */
int fuse_server_create(struct fs_server **out, struct fs_host *host);

#endif
