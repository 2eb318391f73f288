/* SPDX-License-Identifier: GPL-2.0-only */
/* What every server of a share needs to serve one request: FUSE and 9P. */
#ifndef KVM__FS_SERVE_H
#define KVM__FS_SERVE_H

#include "kvm/virtqueue.h"

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

#endif
