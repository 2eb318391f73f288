/* SPDX-License-Identifier: GPL-2.0-only */
/* The server's side of 9P2000.L, for guests without virtio-fs. */
#ifndef KVM__9P_H
#define KVM__9P_H

#include "kvm/fs-serve.h"

struct fs_host;
struct p9_server;

/**
 * p9_server_create() - serve the files of @host
 * @host: ownership passes on success
 */
int p9_server_create(struct p9_server **out, struct fs_host *host);
/** p9_server_free() - nobody is inside; accepts NULL */
void p9_server_free(struct p9_server *s);
/** p9_server_reset() - as if nobody had mounted it; nobody is inside */
void p9_server_reset(struct p9_server *s);

/** p9_order() - a flush is answered after what it is about */
struct fs_order p9_order(const struct vq_chain *c);

/**
 * p9_serve() - one request and its answer
 * @c: readable pieces are the request, the answer goes to writable ones
 *
 * Context: any thread, several at a time with buffers of their own; may block.
 * Return: bytes written; -EPROTO when it is no request, or has no room for an
 * error.
 */
int p9_serve(struct p9_server *s, struct fs_buffers *b,
	     const struct vq_chain *c);

void p9_server_save(struct p9_server *s, struct state_out *out);
int p9_server_restore(struct p9_server *s, struct state_in *in);

#endif
