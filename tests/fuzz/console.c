// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is what a guest does to a console with three ports,
 * and what the host does meanwhile. The first bytes choose features and queues;
 * then steps follow, each a byte and its arguments: descriptors, kicks, control
 * messages, configuration writes, resets, input, room for output, pause, and
 * saving and restoring. One thread; no port has a stream. The sanitizers see
 * what goes wrong.
 */
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_console.h>
#include "kvm/virtio.h"
#include "tests/fuzz/device.h"
#include "tests/fuzz/fuzz.h"

#define MEM 0x20000ULL
#define QUEUES 8

static size_t room;

static size_t output(void *opaque, const void *d, size_t len)
{
	static u8 sink[0x10000];
	size_t n = MIN(MIN(len, room), sizeof(sink));

	(void)opaque;
	memcpy(sink, d, n);
	room -= n;
	return n;
}

static void wake(void *opaque)
{
	(void)opaque;
}

static void bring_up(struct virtio_device *dev, struct state_in *in)
{
	u64 features = state_get_u64(in);

	fuzz_bring_up(dev, features, state_get_u8(in));
}

static void publish(const struct gmem *g, unsigned int q, u16 head)
{
	u16 idx;
	__le16 v = htole16(head);

	gmem_read(g, fuzz_ring(q) + 0x402, &idx, 2);
	gmem_write(g, fuzz_ring(q) + 0x404 + 2 * (le16toh(idx) % FUZZ_RING_NUM), &v, 2);
	v = htole16(le16toh(idx) + 1);
	gmem_write(g, fuzz_ring(q) + 0x402, &v, 2);
}

static void offer(const struct gmem *g, struct state_in *in)
{
	unsigned int q = state_get_u8(in) % QUEUES;
	u8 slot = state_get_u8(in);
	struct vring_desc d;

	state_get(in, &d, sizeof(d));
	d.addr &= htole64(MEM - 1);
	d.len &= htole32(0x7fff);
	gmem_write(g, fuzz_ring(q) + 16 * (slot % FUZZ_RING_NUM), &d, sizeof(d));
	if (slot & 0x80)
		publish(g, q, slot % (FUZZ_RING_NUM + 1));
}

static void control(struct virtio_device *dev, struct state_in *in)
{
	struct vring_desc d = {
		.addr = htole64(0x10000), .len = htole32(8),
	};
	struct virtio_console_control m = {
		.id = htole32(state_get_u8(in) % 5),
		.event = htole16(state_get_u8(in) % 9),
		.value = htole16(state_get_u8(in) & 1),
	};

	gmem_write(dev->gmem, 0x10000, &m, sizeof(m));
	gmem_write(dev->gmem, fuzz_ring(3), &d, sizeof(d));
	publish(dev->gmem, 3, 0);
	virtio_notify(dev, 3);
}

static void roundtrip(struct virtio_device *dev, struct state_in *in)
{
	struct state_out so = { 0 };
	struct state_in si;
	u16 at = state_get_u16(in);
	u8 flip = state_get_u8(in);

	virtio_device_pause(dev);
	virtio_device_save(dev, &so);
	if (so.len && at < so.len)
		so.buf[at] ^= flip;
	si = (struct state_in){ .buf = so.buf, .len = so.len };
	if (!virtio_device_restore(dev, &si))
		virtio_device_resume(dev);
	state_out_free(&so);
}

static void step(struct virtio_device *dev, struct state_in *in)
{
	static const u8 bytes[300];
	u8 b[8];

	switch (state_get_u8(in) % 10) {
	case 0:
		offer(dev->gmem, in);
		break;
	case 1:
		virtio_notify(dev, state_get_u8(in) % (QUEUES + 1));
		break;
	case 2:
		control(dev, in);
		break;
	case 3:
		state_get(in, b, sizeof(b));
		virtio_config_write(dev, b[0] % 16, b + 1, 1 + b[1] % 4);
		break;
	case 4:
		virtio_console_input(dev, state_get_u8(in) % 4, bytes,
				     state_get_u8(in));
		break;
	case 5:
		room = state_get_u16(in);
		virtio_console_resume(dev, state_get_u8(in) % 4);
		break;
	case 6:
		virtio_console_resize(dev, state_get_u16(in), state_get_u16(in));
		break;
	case 7:
		roundtrip(dev, in);
		break;
	case 8:
		virtio_device_pause(dev);
		virtio_device_resume(dev);
		break;
	case 9:
		bring_up(dev, in);
		break;
	}
}

int fuzz_one(const u8 *data, size_t len)
{
	const struct virtio_console_port port[] = {
		{ .console = true, .output = output, .wake = wake },
		{ .name = "one", .output = output, .wake = wake },
		{ .name = "two" },
	};
	const struct virtio_console_opts o = { port, 3 };
	struct state_in in = { .buf = data, .len = len };
	struct gmem g = { .nr = 0 };
	struct virtio_env env = { .gmem = &g };
	u8 *mem = calloc(1, MEM);
	struct virtio_device *dev;

	gmem_add(&g, 0, MEM / 2, mem);
	gmem_add(&g, MEM / 2, MEM / 2, mem + MEM / 2);
	room = 0;
	if (virtio_device_create(&dev, &virtio_console_class, "console", &o,
				 &env, NULL))
		abort();
	bring_up(dev, &in);
	while (!in.err)
		step(dev, &in);
	virtio_device_free(dev);
	free(mem);
	return 0;
}
