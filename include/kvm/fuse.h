/* SPDX-License-Identifier: GPL-2.0-only */
/* The server's side of FUSE, as virtio-fs carries it: virtio 1.2 s5.11. */
#ifndef KVM__FUSE_H
#define KVM__FUSE_H

#include "kvm/fs-serve.h"

/* The errno by which a kernel learns that it need not ask for this again */
#define FUSE_ERRNO_UNKNOWN 38

struct fs_host;
struct fuse_server;

/**
 * fuse_server_create() - serve the files of @host
 * @host: ownership passes on success
 */
int fuse_server_create(struct fuse_server **out, struct fs_host *host);
/** fuse_server_free() - nobody is inside; accepts NULL */
void fuse_server_free(struct fuse_server *s);
/** fuse_server_reset() - as if nobody had mounted it; nobody is inside */
void fuse_server_reset(struct fuse_server *s);

/**
 * fuse_serve() - one request and its answer
 * @c: readable pieces are the request, the answer goes to writable ones
 *
 * Context: any thread, several at a time with buffers of their own; may block.
 * Return: bytes written, perhaps 0; -EPROTO when it is no request, or has no
 * room for the answer that is due.
 */
int fuse_serve(struct fuse_server *s, struct fs_buffers *b,
	       const struct vq_chain *c);

void fuse_server_save(struct fuse_server *s, struct state_out *out);
int fuse_server_restore(struct fuse_server *s, struct state_in *in);

#endif
