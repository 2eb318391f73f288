// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is a list of actions of a guest's driver and of
 * host programs on one socket device (virtio 1.2 s5.10): packets with any
 * header, receive buffers of any length, connections from the host with any
 * hello, bytes, closes, pauses, resets. The device's thread runs; a packet is
 * waited for until it is taken, or a little while if it cannot be. Ports and
 * CIDs are few, so that packets meet connections. The device lives on from
 * input to input and is reset before each.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/virtio_vsock.h>
#include "kvm/virtio.h"
#include "tests/unit/driver.h"
#include "tests/unit/vring.h"
#include "tests/fuzz/fuzz.h"

#define CID 42
#define HDR sizeof(struct virtio_vsock_hdr)
#define SOCKETS 4
#define ACTIONS_MAX 64
#define PATIENCE 200

static struct vr_mem m;
static struct virtio_env env;
static struct virtio_device *dev;
static char path[64];
static int listener = -1;
static int sock[SOCKETS] = { -1, -1, -1, -1 };

static int unix_socket(struct sockaddr_un *a, const char *suffix)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	snprintf(a->sun_path, sizeof(a->sun_path), "%s%s", path, suffix);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static void clean_up(void)
{
	virtio_device_free(dev);
	strcat(path, "_1");
	unlink(path);
}

static void set_up(void)
{
	struct virtio_vsock_opts o = { .cid = CID, .path = path };
	struct sockaddr_un a;

	vr_init(&m);
	env.gmem = &m.g;
	snprintf(path, sizeof(path), "/tmp/lkvm-fuzz-%d", (int)getpid());
	if (virtio_device_create(&dev, &virtio_vsock_class, "fuzz", &o, &env,
				 NULL))
		abort();
	listener = unix_socket(&a, "_1");
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) ||
	    listen(listener, SOCKETS))
		abort();
	atexit(clean_up);
}

static void bring_up(bool event_idx)
{
	const u64 features = event_idx ? BIT_ULL(VIRTIO_RING_F_EVENT_IDX) : 0;

	driver_up(dev, &driver_vring, features | DRIVER_V1, DRIVER_ALL);
}

static void wait_taken(void)
{
	u16 *idx = vr_u16(&m, vr_avail(1) + 2);

	for (unsigned int i = 0; i < PATIENCE; i++) {
		if (vr_used_idx(&m, 1) == *idx)
			return;
		sched_yield();
	}
}

static void packet(struct state_in *in)
{
	struct virtio_vsock_hdr h = {
		.src_cid = htole64(CID), .dst_cid = htole64(2),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
	};
	u8 odd = state_get_u8(in);
	u32 len = state_get_u16(in) % 0x3000;

	h.src_port = htole32(state_get_u8(in) & 3);
	h.dst_port = htole32(odd & 1 ? state_get_u32(in) :
			     odd & 2 ? 0x40000000U : 1U);
	h.op = htole16(odd & 4 ? state_get_u16(in) : state_get_u8(in) & 7);
	h.len = htole32(odd & 8 ? state_get_u32(in) : len);
	h.flags = htole32(state_get_u8(in));
	h.buf_alloc = htole32(odd & 16 ? state_get_u32(in) : 0x10000);
	h.fwd_cnt = htole32(odd & 32 ? state_get_u32(in) : 0);
	if (odd & 64)
		h.src_cid = htole64(state_get_u64(in));
	if (odd & 128)
		h.type = htole16(state_get_u16(in));
	gmem_write(&m.g, VR_DATA, &h, HDR);
	VR_PUT(&m, vr_desc(1), 0, VR_DATA, HDR, VRING_DESC_F_NEXT, 1);
	VR_PUT(&m, vr_desc(1), 1, VR_DATA + HDR, len, 0, 0);
	vr_publish(&m, 1, 0);
	virtio_notify(dev, 1);
	wait_taken();
}

static void buffer(struct state_in *in)
{
	unsigned int i = state_get_u8(in) % VR_NUM;
	u32 len = state_get_u16(in);

	VR_PUT(&m, vr_desc(0), i, 0x80000, len, VRING_DESC_F_WRITE, 0);
	vr_publish(&m, 0, i);
	virtio_notify(dev, 0);
}

static void host(struct state_in *in)
{
	u8 what = state_get_u8(in);
	int *fd = &sock[what >> 2 & 3];
	size_t len = MIN((size_t)state_get_u8(in), in->len - in->pos);
	struct sockaddr_un a;
	u8 buf[256];
	ssize_t n = 0;

	state_get(in, buf, len);
	switch (what & 3) {
	case 0:
		if (*fd >= 0)
			close(*fd);
		*fd = unix_socket(&a, "");
		if (connect(*fd, (struct sockaddr *)&a, sizeof(a)))
			break;
		if (what & 16)
			n = write(*fd, "CONNECT 1\n", 10);
		n = send(*fd, buf, len, MSG_NOSIGNAL);
		break;
	case 1:
		n = send(*fd, buf, len, MSG_NOSIGNAL);
		break;
	case 2:
		n = what & 32 ? shutdown(*fd, what >> 6 & 1) :
		    read(*fd, buf, sizeof(buf));
		break;
	case 3:
		if (*fd >= 0)
			close(*fd);
		*fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		break;
	}
	(void)n;
}

static void lifecycle(struct state_in *in)
{
	u8 what = state_get_u8(in);

	if (what & 1)
		bring_up(what & 2);
	virtio_device_pause(dev);
	virtio_device_resume(dev);
}

int fuzz_one(const u8 *data, size_t len)
{
	struct state_in in = { .buf = data, .len = len };
	int fd;

	if (!dev)
		set_up();
	bring_up(true);
	for (unsigned int i = 0; i < ACTIONS_MAX && !in.err; i++) {
		switch (state_get_u8(&in) & 7) {
		case 0:
		case 1:
		case 2:
			packet(&in);
			break;
		case 3:
		case 4:
			buffer(&in);
			break;
		case 5:
		case 6:
			host(&in);
			break;
		case 7:
			lifecycle(&in);
			break;
		}
	}
	virtio_set_status(dev, 0);
	for (unsigned int i = 0; i < SOCKETS; i++) {
		if (sock[i] >= 0)
			close(sock[i]);
		sock[i] = -1;
	}
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
	return 0;
}
