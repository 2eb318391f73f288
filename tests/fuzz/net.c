// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is what a guest controls of a network device:
 * features, then all of guest memory, in which the rings of three queues are.
 * The queues run as the device's thread runs them: control commands, then
 * frames both ways, over a datagram socket whose other end sends a frame of
 * the input's last bytes and reads what comes. One activation an input, and a
 * save and a restore; threads are the device's own.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "kvm/net.h"
#include "kvm/virtio.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/driver.h"

#define RAM 0x8000

static const struct driver_layout layout = {
	.num = 16, .stride = 0x1000, .avail = 0x400, .used = 0x800,
};

static void run(struct virtio_device *dev, int peer, const u8 *frame,
		size_t len)
{
	u8 buf[2048];

	driver_queues(dev, &layout, DRIVER_ALL);
	if (len && send(peer, frame, len, MSG_DONTWAIT) < 0)
		return;
	virtio_set_status(dev, 15);
	for (unsigned int q = 0; q < 3; q++)
		virtio_notify(dev, q);
	nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	virtio_device_pause(dev);
	while (recv(peer, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

static void save_and_restore(struct virtio_device *dev)
{
	struct state_out out = { 0 };
	struct state_in in;

	virtio_device_save(dev, &out);
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	if (!(virtio_get_status(dev) & VIRTIO_CONFIG_S_NEEDS_RESET) &&
	    virtio_device_restore(dev, &in))
		abort();
	state_out_free(&out);
}

int fuzz_one(const u8 *data, size_t len)
{
	struct state_in in = { .buf = data, .len = len };
	struct net_opts n = { .kind = NET_FD };
	struct virtio_net_opts o = { .mac = (const u8[6]) { 2 } };
	struct gmem g = { 0 };
	struct virtio_env env = { .gmem = &g };
	struct virtio_device *dev;
	u8 *ram = aligned_alloc(4096, RAM);
	u64 features = state_get_u64(&in);
	int fd[2];

	if (!ram || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd))
		abort();
	memset(ram, 0, RAM);
	if (!in.err)
		memcpy(ram, data + in.pos, MIN(len - in.pos, (size_t)RAM));
	gmem_add(&g, 0, RAM, ram);
	n.fd = fd[0];
	if (net_open(&o.backend, &n, NULL) ||
	    virtio_device_create(&dev, &virtio_net_class, "fuzz", &o, &env,
				 NULL))
		abort();
	driver_negotiate(dev, (features & dev->offered) | DRIVER_V1);
	run(dev, fd[1], data + len - MIN(len, 200UL), MIN(len, 200UL));
	save_and_restore(dev);
	virtio_device_free(dev);
	close(fd[1]);
	free(ram);
	return 0;
}
