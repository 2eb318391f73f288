// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * What of vhost can be tried without the kernel's help: what it is told, and that
 * each call fails, when what was opened by then has to be closed. A file that knows
 * no ioctl stands for the device, or ioctl() below, which remembers what it was
 * told. The whole is tested by tests/boot/vsock, where there is a real one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include "kvm/eventfd.h"
#include "kvm/vhost.h"
#include "driver.h"
#include "fds.h"
#include "test.h"
#include "vring.h"

struct rig {
	struct virtio_device dev;
	struct vr_mem m;
	struct vm_log log;
	unsigned int lines;
	char line[256];
};

static void emit(void *opaque, const char *line)
{
	struct rig *r = opaque;

	r->lines++;
	snprintf(r->line, sizeof(r->line), "%s", line);
}

static struct rig *setup(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	vr_init(&r->m);
	r->log = (struct vm_log){ emit, r };
	r->dev.log = &r->log;
	r->dev.gmem = &r->m.g;
	snprintf(r->dev.dev.name, sizeof(r->dev.dev.name), "dut");
	return r;
}

static void teardown(struct rig *r)
{
	vr_free(&r->m);
	free(r);
}

TEST(vhost_open_names_what_failed)
{
	unsigned int before = open_files();
	struct rig *r = setup();
	struct report why = { "" };
	struct vhost v;

	vhost_init(&v, &r->dev);
	vhost_close(&v);
	EXPECT(vhost_open(&v, "/nonexistent", &why) == -ENOENT);
	EXPECT(strstr(why.msg, "dut: ") && strstr(why.msg, "/nonexistent"));
	vhost_close(&v);
	vhost_close(&v);
	vhost_init(&v, &r->dev);
	memset(&why, 0, sizeof(why));
	EXPECT(vhost_open(&v, "/dev/null", &why) == -ENOTTY);
	EXPECT(strstr(why.msg, "VHOST_SET_OWNER"));
	vhost_close(&v);
	EXPECT(open_files() == before);
	teardown(r);
}

TEST(vhost_start_that_fails_leaves_nothing_and_is_said_a_few_times)
{
	struct rig *r = setup();
	struct vhost v;
	unsigned int before;

	vhost_init(&v, &r->dev);
	v.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	before = open_files();
	for (unsigned int i = 0; i < 100; i++)
		EXPECT(vhost_start(&v, 0, 0, 2) == -ENOTTY);
	EXPECT(r->lines > 0 && r->lines < 20);
	EXPECT(strstr(r->line, "dut: VHOST_SET_FEATURES"));
	EXPECT(!v.running && !v.nr_rings && open_files() == before);
	vhost_kick(&v);
	vhost_stop(&v);
	vhost_close(&v);
	teardown(r);
}

/**
 * struct kernel - what it was told of itself, and of two rings
 * @fd: its file, or -1
 * @calls: so far; that of number @fails does, if there is one
 */
static struct kernel {
	int fd;
	unsigned int fails;
	unsigned int calls;
	u64 features;
	u32 nregions;
	u64 size;
	u32 num[2];
	u32 base[2];
	u64 desc[2];
	u64 used[2];
	int kick[2];
	int call[2];
	int err[2];
} kernel = { .fd = -1 };

static void kernel_hears_of_a_ring(unsigned long request, void *arg)
{
	const struct vhost_vring_state *state = arg;
	const struct vhost_vring_file *file = arg;
	const struct vhost_vring_addr *addr = arg;

	if (request == VHOST_SET_VRING_NUM)
		kernel.num[state->index] = state->num;
	else if (request == VHOST_SET_VRING_BASE)
		kernel.base[state->index] = state->num;
	else if (request == VHOST_SET_VRING_KICK)
		kernel.kick[file->index] = file->fd;
	else if (request == VHOST_SET_VRING_CALL)
		kernel.call[file->index] = file->fd;
	else if (request == VHOST_SET_VRING_ERR)
		kernel.err[file->index] = file->fd;
	if (request != VHOST_SET_VRING_ADDR)
		return;
	kernel.desc[addr->index] = addr->desc_user_addr;
	kernel.used[addr->index] = addr->used_user_addr;
}

/* In the place of libc's */
int ioctl(int fd, unsigned long request, ...)
{
	struct vhost_vring_state *state;
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fd < 0 || fd != kernel.fd)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	if (++kernel.calls == kernel.fails) {
		errno = EIO;
		return -1;
	}
	state = arg;
	if (request == VHOST_SET_FEATURES) {
		memcpy(&kernel.features, arg, sizeof(kernel.features));
	} else if (request == VHOST_SET_MEM_TABLE) {
		kernel.nregions = ((struct vhost_memory *)arg)->nregions;
		kernel.size = ((struct vhost_memory *)arg)->regions[1].memory_size;
	} else if (request == VHOST_GET_VRING_BASE) {
		state->num = kernel.base[state->index] + 3;
	} else {
		kernel_hears_of_a_ring(request, arg);
	}
	return 0;
}

/* What the transport lent, and for which ring: the first of each two has one */
static int lent = -1;
static unsigned int lendings, returns, signals[4];

static void count_signal(struct virtio_device *dev, struct virtqueue *vq)
{
	__atomic_add_fetch(&signals[vq - dev->queue], 1, __ATOMIC_RELAXED);
}

static void no_signal(struct virtio_device *dev)
{
	(void)dev;
}

static int lend(struct virtio_device *dev, struct virtqueue *vq)
{
	if ((vq - dev->queue) & 1)
		return -1;
	lendings++;
	return lent;
}

static void take_back(struct virtio_device *dev, struct virtqueue *vq)
{
	(void)dev;
	(void)vq;
	returns++;
}

static const struct virtio_transport_ops lending = {
	.signal_queue = count_signal, .signal_config = no_signal,
	.lend_eventfd = lend, .return_eventfd = take_back,
};

/* Rings 2 and 3 of the device, and the kernel that is to serve them */
static struct rig *setup_rings(struct vhost *v)
{
	struct rig *r = setup();

	r->dev.transport = &lending;
	for (unsigned int q = 2; q < 4; q++) {
		struct virtqueue *vq = &r->dev.queue[q];

		vq->dev = &r->dev;
		vq->ready = true;
		vq->num = VR_NUM;
		vq->last_avail = (u16)(0xfffe + q);
		vq->desc = gmem_ptr(&r->m.g, vr_desc(q), 0x1000);
		vq->avail = gmem_ptr(&r->m.g, vr_avail(q), 0x1000);
		vq->used = gmem_ptr(&r->m.g, vr_used(q), 0x1000);
		vq->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	vhost_init(v, &r->dev);
	v->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	v->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->features = 0x30;
	lent = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	kernel = (struct kernel){ .fd = v->fd };
	return r;
}

static void teardown_rings(struct rig *r, struct vhost *v)
{
	vhost_close(v);
	kernel.fd = -1;
	for (unsigned int q = 2; q < 4; q++)
		close(r->dev.queue[q].kick_fd);
	close(lent);
	teardown(r);
}

static unsigned int signalled(unsigned int q)
{
	return __atomic_load_n(&signals[q], __ATOMIC_RELAXED);
}

TEST(vhost_gives_rings_and_takes_them_back)
{
	unsigned int before = open_files();
	struct vhost v;
	struct rig *r = setup_rings(&v);
	struct virtqueue *vq = &r->dev.queue[2];

	EXPECT(!vhost_start(&v, 0x18, 2, 2) && v.running && v.nr_rings == 2);
	EXPECT(kernel.features == 0x10 && kernel.nregions == 2 && kernel.size == VR_HALF);
	for (unsigned int i = 0; i < 2; i++) {
		EXPECT(kernel.num[i] == VR_NUM && kernel.base[i] == i);
		EXPECT(kernel.desc[i] == (uintptr_t)vq[i].desc);
		EXPECT(kernel.used[i] == (uintptr_t)vq[i].used);
		EXPECT(kernel.kick[i] == vq[i].kick_fd && kernel.err[i] >= 0);
	}
	EXPECT(kernel.call[0] == lent && kernel.call[1] >= 0 && kernel.call[1] != lent);
	vhost_kick(&v);
	EXPECT(eventfd_clear(vq[0].kick_fd) && eventfd_clear(vq[1].kick_fd));
	/* What is not an interrupt by itself is relayed, and so are errors. */
	eventfd_signal(kernel.call[1]);
	EXPECT(DRIVER_WAIT(signalled(3) == 1) && signalled(2) == 0);
	EXPECT(!(virtio_get_status(&r->dev) & VIRTIO_CONFIG_S_NEEDS_RESET));
	eventfd_signal(kernel.err[0]);
	EXPECT(driver_needs_reset(&r->dev));
	*vr_u16(&r->m, vr_used(3) + 2) = 77;
	vhost_stop(&v);
	EXPECT(vq[0].last_avail == 3 && vq[1].last_avail == 4 && vq[1].last_used == 77);
	for (unsigned int i = 0; i < 2; i++)
		EXPECT(kernel.kick[i] == -1 && kernel.call[i] == -1 && kernel.err[i] == -1);
	EXPECT(lendings == 1 && returns == 1);
	teardown_rings(r, &v);
	EXPECT(open_files() == before);
}

/* A call that came last is not lost with the thread that would relay it. */
TEST(vhost_relays_the_last_call)
{
	struct vhost v;
	struct rig *r = setup_rings(&v);

	for (unsigned int i = 0; i < 50; i++) {
		unsigned int seen = signalled(3);

		EXPECT(!vhost_start(&v, 0, 2, 2));
		eventfd_signal(kernel.call[1]);
		vhost_stop(&v);
		EXPECT(signalled(3) == seen + 1);
	}
	teardown_rings(r, &v);
}

TEST(vhost_start_that_fails_anywhere_leaves_nothing)
{
	struct vhost v;
	struct rig *r = setup_rings(&v);
	unsigned int before = open_files(), i;

	lendings = 0;
	returns = 0;
	for (i = 1; i < 100; i++) {
		kernel.calls = 0;
		kernel.fails = i;
		if (!vhost_start(&v, 0, 2, 2))
			break;
		EXPECT(!v.running && !v.nr_rings && open_files() == before);
		EXPECT(lendings == returns);
	}
	EXPECT(i == 3 + 2 * 6);
	vhost_stop(&v);
	teardown_rings(r, &v);
}

TEST_MAIN(T(vhost_open_names_what_failed),
	  T(vhost_start_that_fails_leaves_nothing_and_is_said_a_few_times),
	  T(vhost_gives_rings_and_takes_them_back),
	  T(vhost_relays_the_last_call),
	  T(vhost_start_that_fails_anywhere_leaves_nothing))
