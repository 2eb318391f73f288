// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is what a guest controls of a split virtqueue
 * (virtio 1.2 s2.7): size, features and addresses of the rings, then all of
 * guest memory, in two adjacent regions so that buffers are cut. Every byte
 * that a popped chain names is read and written, so that the sanitizers see
 * a piece that is not guest memory. One thread; the number of pops is bounded.
 */
#include <stdlib.h>
#include <string.h>
#include "kvm/virtio.h"
#include "tests/fuzz/fuzz.h"

#define HALF 4096
#define MAX_POPS 64

static void use_chain(struct virtqueue *vq, struct vq_chain *c)
{
	static u8 buf[2 * HALF];
	unsigned int nr = c->nr_out + c->nr_in;

	if (iov_length(c->iov, nr) != (size_t)c->out_len + c->in_len)
		abort();
	iov_read(c->iov, c->nr_out, 0, buf, sizeof(buf));
	iov_write(c->iov + c->nr_out, c->nr_in, 0, buf, sizeof(buf));
	virtqueue_push(vq, c, c->in_len);
}

static void run(struct virtqueue *vq)
{
	static struct vq_chain chain;

	for (unsigned int i = 0; i < MAX_POPS; i++) {
		if (virtqueue_pop(vq, &chain) <= 0)
			break;
		use_chain(vq, &chain);
		virtqueue_signal(vq);
	}
	virtqueue_set_notify(vq, false);
	virtqueue_set_notify(vq, true);
}

int fuzz_one(const u8 *data, size_t len)
{
	struct state_in in = { .buf = data, .len = len };
	static struct virtio_device dev;
	struct virtqueue *vq = &dev.queue[0];
	struct gmem g = { 0 };
	u8 *mem[2];

	memset(&dev, 0, sizeof(dev));
	*vq = (struct virtqueue){ .dev = &dev, .gmem = &g, .kick_fd = -1,
				  .size_max = VIRTQUEUE_MAX_SIZE };
	vq->size = state_get_u16(&in);
	vq->event_idx = state_get_u8(&in) & 1;
	vq->indirect = state_get_u8(&in) & 1;
	vq->desc_gpa = state_get_u16(&in);
	vq->avail_gpa = state_get_u16(&in);
	vq->used_gpa = state_get_u16(&in);
	vq->last_avail = state_get_u16(&in);

	for (unsigned int i = 0; i < 2; i++) {
		size_t n = in.err ? 0 : MIN(in.len - in.pos, (size_t)HALF);

		mem[i] = aligned_alloc(4096, HALF);
		memset(mem[i], 0, HALF);
		state_get(&in, mem[i], n);
		gmem_add(&g, (u64)i * HALF, HALF, mem[i]);
	}
	vq->ready = !virtqueue_map(vq);
	run(vq);
	free(mem[0]);
	free(mem[1]);
	return 0;
}
