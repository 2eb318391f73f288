/* SPDX-License-Identifier: GPL-2.0-only */
/* What the servers of a share have in common: FUSE and 9P. */
#ifndef KVM__FS_SERVE_H
#define KVM__FS_SERVE_H

#include "kvm/state.h"
#include "kvm/virtqueue.h"

struct fs_host;

/* An xattr, the longest that is no data, with all in front of it */
#define FS_IN_MAX 0x11000
#define FS_OUT_MAX 0x10000

/** struct fs_buffers - what one thread needs to serve one request at a time */
struct fs_buffers {
	struct iovec iov[VQ_CHAIN_MAX];
	u8 in[FS_IN_MAX] __aligned(8);
	u8 out[FS_OUT_MAX] __aligned(8);
};

/**
 * struct fs_order - which requests wait for which
 * @key: what others may wait for, 0 for nothing; 0 in one that waits itself
 * @after: the key of requests, popped before, that are to be answered first
 */
struct fs_order {
	u32 key;
	u32 after;
};

struct fs_server;

/**
 * struct fs_service - a protocol; const
 * @serve: one request and its answer: readable pieces are the request, the answer
 *	goes to writable ones. Any thread, several at a time with buffers of their own;
 *	may block. Return: bytes written, perhaps 0; -EPROTO when it is no request, or
 *	has no room for the answer that is due
 * @order: of a chain that was just popped; may be NULL
 * @reset: as if nobody had mounted it
 * @free: the server, and its share
 * @restore: Return: 0; -errno, and it is reset
 * @broken: what to say of a chain for which @serve returned -EPROTO
 *
 * Nobody is inside when any but @serve and @order is called.
 */
struct fs_service {
	int (*serve)(struct fs_server *s, struct fs_buffers *b,
		     const struct vq_chain *c);
	struct fs_order (*order)(const struct vq_chain *c);
	void (*reset)(struct fs_server *s);
	void (*free)(struct fs_server *s);
	void (*save)(struct fs_server *s, struct state_out *out);
	int (*restore)(struct fs_server *s, struct state_in *in);
	const char *broken;
};

/** struct fs_server - a session; the first of what each protocol has of its own */
struct fs_server {
	const struct fs_service *service;
};

/** typedef fs_server_fn - serve the files of @host, whose ownership passes on success */
typedef int (*fs_server_fn)(struct fs_server **out, struct fs_host *host);

#endif
