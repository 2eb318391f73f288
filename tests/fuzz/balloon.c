// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is what a guest does to a balloon. The first bytes
 * choose features and which queues are set up; then steps follow, each a byte
 * and its arguments: descriptors, kicks, configuration writes, resets, and the
 * host's own requests. Memory is two real mappings, part of it marked as a
 * file's. One thread. What must hold: pages outside of the two regions stay,
 * which the sanitizers and two guard patterns see.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "kvm/virtio.h"
#include "tests/fuzz/device.h"
#include "tests/fuzz/fuzz.h"

#define HALF 0x20000ULL
#define QUEUES 5

static u8 *mem;

static void put(const struct gmem *g, u64 gpa, const void *p, size_t len)
{
	gmem_write(g, gpa, p, len);
}

static void bring_up(struct virtio_device *dev, struct state_in *in)
{
	u64 features = state_get_u64(in);

	fuzz_bring_up(dev, features, state_get_u8(in));
}

/* A descriptor and its place in the available ring. */
static void offer(const struct gmem *g, struct state_in *in)
{
	unsigned int q = state_get_u8(in) % QUEUES;
	u8 slot = state_get_u8(in);
	struct vring_desc d;
	__le16 word;

	state_get(in, &d, sizeof(d));
	d.addr &= htole64(2 * HALF - 1);
	d.len &= htole32(0x1ffff);
	put(g, fuzz_ring(q) + 16 * (slot % FUZZ_RING_NUM), &d, sizeof(d));
	word = htole16(slot % FUZZ_RING_NUM);
	put(g, fuzz_ring(q) + 0x404 + 2 * (slot / FUZZ_RING_NUM % FUZZ_RING_NUM), &word, 2);
	word = htole16(state_get_u8(in));
	put(g, fuzz_ring(q) + 0x402, &word, 2);
}

static void step(struct virtio_device *dev, struct state_in *in)
{
	struct virtio_balloon_stats stats;
	u8 b[8];

	switch (state_get_u8(in) % 9) {
	case 0:
		offer(dev->gmem, in);
		break;
	case 1:
		virtio_notify(dev, state_get_u8(in) % (QUEUES + 1));
		break;
	case 2:
		state_get(in, b, sizeof(b));
		virtio_config_write(dev, b[0] % 20, b + 1, 1 + b[1] % 4);
		break;
	case 3:
		state_get(in, b, sizeof(b));
		put(dev->gmem, io_read_le(b, 4) & (2 * HALF - 1), b + 4, 4);
		break;
	case 4:
		virtio_balloon_set_target(dev, state_get_u64(in));
		break;
	case 5:
		virtio_balloon_request_stats(dev);
		virtio_balloon_get_stats(dev, &stats);
		break;
	case 6:
		virtio_device_pause(dev);
		break;
	case 7:
		virtio_device_resume(dev);
		break;
	case 8:
		bring_up(dev, in);
		break;
	}
}

int fuzz_one(const u8 *data, size_t len)
{
	struct virtio_balloon_opts o = { .reporting = true };
	struct state_in in = { .buf = data, .len = len };
	struct gmem g = { .nr = 0 };
	struct virtio_env env = { .gmem = &g };
	struct virtio_device *dev;

	if (!mem)
		mem = mmap(NULL, 4 * HALF, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		abort();
	madvise(mem, 4 * HALF, MADV_DONTNEED);
	memset(mem, 0x5a, 4096);
	memset(mem + 3 * HALF, 0x5a, 4096);
	gmem_add(&g, 0, HALF, mem + HALF);
	gmem_add(&g, HALF, HALF, mem + 2 * HALF);
	gmem_add_file(&g, 0x10000, 0x4000);
	if (virtio_device_create(&dev, &virtio_balloon_class, "balloon", &o,
				 &env, NULL))
		return 0;
	bring_up(dev, &in);
	while (!in.err)
		step(dev, &in);
	virtio_device_free(dev);
	if (mem[0] != 0x5a || mem[4095] != 0x5a || mem[3 * HALF] != 0x5a)
		abort();
	return 0;
}
