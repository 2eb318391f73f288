// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Arithmetic over arrays of pieces of memory. A device sees a request only as
 * such pieces (virtio 1.2 s2.7.4: how a request is cut into descriptors means
 * nothing), so it asks here for bytes at an offset. Every function stops at
 * the end of the pieces and says how far it came: a guest that makes a
 * request too short gets a short count, never a stray access.
 *
 * No state, no locks, any thread. The bytes are guest memory and may change
 * at any time: what was copied is what is to be checked. Lengths of pieces
 * that overflow a size_t in sum are not supported; virtqueue_pop() makes none.
 */
#include <string.h>
#include "kvm/virtqueue.h"

size_t iov_length(const struct iovec *iov, unsigned int nr)
{
	size_t sum = 0;

	for (unsigned int i = 0; i < nr; i++)
		sum += iov[i].iov_len;
	return sum;
}

size_t iov_read(const struct iovec *iov, unsigned int nr, size_t off,
		void *dst, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < nr && done < len; i++) {
		size_t n;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		n = MIN(iov[i].iov_len - off, len - done);
		memcpy((u8 *)dst + done, (u8 *)iov[i].iov_base + off, n);
		done += n;
		off = 0;
	}
	return done;
}

size_t iov_write(const struct iovec *iov, unsigned int nr, size_t off,
		 const void *src, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < nr && done < len; i++) {
		size_t n;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		n = MIN(iov[i].iov_len - off, len - done);
		memcpy((u8 *)iov[i].iov_base + off, (const u8 *)src + done, n);
		done += n;
		off = 0;
	}
	return done;
}

unsigned int iov_slice(const struct iovec *iov, unsigned int nr, size_t off,
		       size_t len, struct iovec *out)
{
	unsigned int used = 0;

	for (unsigned int i = 0; i < nr && len; i++) {
		size_t n;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		n = MIN(iov[i].iov_len - off, len);
		out[used].iov_base = (u8 *)iov[i].iov_base + off;
		out[used].iov_len = n;
		used++;
		len -= n;
		off = 0;
	}
	return used;
}
