// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The console and the entropy device, on queues in a small guest memory. The
 * main thread is driver, vCPU and host; ports with a stream have the device's
 * thread as well, so that effects are waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <linux/virtio_console.h>
#include "kvm/clock.h"
#include "kvm/stream.h"
#include "kvm/virtio.h"
#include "fds.h"
#include "test.h"

#define MEM_SIZE 0x40000
#define QUEUES 8U
#define QUEUE_STRIDE 0x3000
#define DATA 0x18000
#define QUEUE_SIZE 8
#define CONTROL 0x30000

struct fixture {
	struct virtio_device dev;
	struct gmem gmem;
	u8 *mem;
	u16 avail[QUEUES];
	u16 seen[QUEUES];
	char out[64];
	size_t room;
	size_t nr_out;
	unsigned int refills;
	unsigned int signals;
	unsigned int wakes;
};

static size_t output(void *opaque, const void *d, size_t len)
{
	struct fixture *f = opaque;

	len = MIN(len, f->room - f->nr_out);
	memcpy(f->out + f->nr_out, d, len);
	f->nr_out += len;
	return len;
}

static void wake(void *opaque)
{
	((struct fixture *)opaque)->wakes++;
}

static void signal_queue(struct virtio_device *dev, struct virtqueue *vq)
{
	(void)vq;
	__atomic_add_fetch(&container_of(dev, struct fixture, dev)->signals, 1,
			   __ATOMIC_RELAXED);
}

static void signal_config(struct virtio_device *dev)
{
	(void)dev;
}

static const struct virtio_transport_ops transport = {
	.signal_queue = signal_queue,
	.signal_config = signal_config,
};

static void queue_setup(struct fixture *f, unsigned int i)
{
	struct virtqueue *vq = &f->dev.queue[i];

	vq->dev = &f->dev;
	vq->gmem = &f->gmem;
	vq->index = i;
	vq->size = QUEUE_SIZE;
	vq->size_max = QUEUE_SIZE;
	vq->desc_gpa = QUEUE_STRIDE * i;
	vq->avail_gpa = QUEUE_STRIDE * i + 0x1000;
	vq->used_gpa = QUEUE_STRIDE * i + 0x2000;
	vq->kick_fd = -1;
	vq->ready = !virtqueue_map(vq);
}

static void setup_with(struct fixture *f, const struct virtio_class *class,
		       const void *opts)
{
	memset(f, 0, sizeof(*f));
	f->room = sizeof(f->out);
	f->mem = calloc(1, MEM_SIZE);
	gmem_add(&f->gmem, 0, MEM_SIZE, f->mem);
	f->dev.class = class;
	f->dev.gmem = &f->gmem;
	f->dev.transport = &transport;
	f->dev.nr_queues = class->queues ? class->queues(opts) : class->nr_queues;
	pthread_mutex_init(&f->dev.lock, NULL);
	class->create(&f->dev, opts, NULL);
	for (unsigned int i = 0; i < MIN(f->dev.nr_queues, QUEUES); i++)
		queue_setup(f, i);
	f->dev.driver_features = class->features(&f->dev);
	f->dev.active = true;
	class->activate(&f->dev);
}

static void setup(struct fixture *f, const struct virtio_class *class)
{
	struct virtio_console_port port = {
		.console = true, .output = output, .wake = wake, .opaque = f,
	};
	struct virtio_console_opts opts = { &port, 1 };

	setup_with(f, class, &opts);
}

static void teardown(struct fixture *f)
{
	f->dev.class->deactivate(&f->dev);
	f->dev.class->destroy(&f->dev);
	pthread_mutex_destroy(&f->dev.lock);
	free(f->mem);
}

/* One buffer of @len bytes at DATA + @off, in descriptor number @head. */
static void offer(struct fixture *f, unsigned int queue, u16 head, u32 off,
		  u32 len, bool device_writes)
{
	u8 *ring = f->mem + QUEUE_STRIDE * queue;
	struct vring_desc *d = (struct vring_desc *)ring + head;
	__le16 *avail = (__le16 *)(ring + 0x1000);

	d->addr = htole64(DATA + off);
	d->len = htole32(len);
	d->flags = htole16(device_writes ? VRING_DESC_F_WRITE : 0);
	avail[2 + f->avail[queue] % QUEUE_SIZE] = htole16(head);
	__atomic_store_n(avail + 1, htole16(++f->avail[queue]), __ATOMIC_RELEASE);
}

static u16 used_idx(struct fixture *f, unsigned int queue)
{
	__le16 *used = (__le16 *)(f->mem + QUEUE_STRIDE * queue + 0x2000);

	return le16toh(__atomic_load_n(used + 1, __ATOMIC_ACQUIRE));
}

static u32 used_len(struct fixture *f, unsigned int queue, unsigned int i)
{
	__le32 *used = (__le32 *)(f->mem + QUEUE_STRIDE * queue + 0x2004);

	return le32toh(used[2 * i + 1]);
}

TEST(console_transmits_in_order_and_signals)
{
	struct fixture f;

	setup(&f, &virtio_console_class);
	memcpy(f.mem + DATA, "hello world", 11);
	offer(&f, 1, 3, 0, 6, false);
	offer(&f, 1, 1, 6, 5, false);
	f.dev.class->queue_notify(&f.dev, 1);
	EXPECT(f.nr_out == 11 && !memcmp(f.out, "hello world", 11));
	EXPECT(used_idx(&f, 1) == 2 && used_len(&f, 1, 0) == 0);
	EXPECT(f.signals);
	teardown(&f);
}

TEST(console_input_fills_offered_buffers_only)
{
	struct fixture f;

	setup(&f, &virtio_console_class);
	EXPECT(virtio_console_input(&f.dev, 0, "abc", 3) == 0);
	offer(&f, 0, 0, 0, 2, true);
	offer(&f, 0, 1, 16, 2, true);
	EXPECT(virtio_console_input(&f.dev, 0, "abcde", 5) == 4);
	EXPECT(!memcmp(f.mem + DATA, "ab", 2));
	EXPECT(!memcmp(f.mem + DATA + 16, "cd", 2));
	EXPECT(used_idx(&f, 0) == 2 && used_len(&f, 0, 1) == 2);
	f.dev.class->deactivate(&f.dev);
	offer(&f, 0, 0, 0, 2, true);
	EXPECT(virtio_console_input(&f.dev, 0, "abc", 3) == 0);
	teardown(&f);
}

TEST(console_gives_back_chains_of_wrong_direction)
{
	struct fixture f;

	setup(&f, &virtio_console_class);
	offer(&f, 1, 0, 0, 4, true);
	f.dev.class->queue_notify(&f.dev, 1);
	EXPECT(!f.nr_out && used_idx(&f, 1) == 1 && !used_len(&f, 1, 0));
	offer(&f, 0, 0, 0, 4, false);
	EXPECT(virtio_console_input(&f.dev, 0, "x", 1) == 0);
	EXPECT(used_idx(&f, 0) == 1 && !used_len(&f, 0, 0));
	teardown(&f);
}

TEST(console_size_and_emergency_write)
{
	struct state_out so = { 0 };
	struct state_in si = { 0 };
	struct fixture f;
	u8 config[12];

	setup(&f, &virtio_console_class);
	virtio_console_resize(&f.dev, 132, 43);
	virtio_console_resize(&f.dev, 132, 43);
	EXPECT(f.dev.config_generation == 1);
	f.dev.class->config_read(&f.dev, 0, config, sizeof(config));
	EXPECT(config[0] == 132 && config[2] == 43);
	f.dev.class->save(&f.dev, &so);
	virtio_console_resize(&f.dev, 1, 1);
	si.buf = so.buf;
	si.len = so.len;
	EXPECT(!f.dev.class->restore(&f.dev, &si));
	f.dev.class->config_read(&f.dev, 0, config, 1);
	EXPECT(config[0] == 132);
	f.dev.class->config_write(&f.dev, 8, "!\0\0", 4);
	f.dev.class->config_write(&f.dev, 0, "?\0\0", 4);
	f.dev.class->config_write(&f.dev, 9, "?\0\0", 3);
	f.dev.class->config_write(&f.dev, 8, "?", 0);
	EXPECT(f.nr_out == 1 && f.out[0] == '!');
	state_out_free(&so);
	teardown(&f);
}

TEST(console_leaves_in_the_queue_what_finds_no_room)
{
	struct fixture f;

	setup(&f, &virtio_console_class);
	f.room = 7;
	memcpy(f.mem + DATA, "hello world again", 17);
	offer(&f, 1, 3, 0, 6, false);
	offer(&f, 1, 1, 6, 5, false);
	offer(&f, 1, 0, 11, 6, false);
	f.dev.class->queue_notify(&f.dev, 1);
	EXPECT(f.nr_out == 7 && used_idx(&f, 1) == 1);
	virtio_console_resume(&f.dev, 0);
	f.dev.class->queue_notify(&f.dev, 1);
	EXPECT(f.nr_out == 7 && used_idx(&f, 1) == 1);
	f.room = 8;
	virtio_console_resume(&f.dev, 0);
	EXPECT(f.nr_out == 8 && used_idx(&f, 1) == 1);
	f.room = 11;
	virtio_console_resume(&f.dev, 0);
	EXPECT(f.nr_out == 11 && used_idx(&f, 1) == 2);
	f.room = sizeof(f.out);
	virtio_console_resume(&f.dev, 0);
	EXPECT(f.nr_out == 17 && used_idx(&f, 1) == 3);
	EXPECT(!memcmp(f.out, "hello world again", 17));

	/* A chain that has shrunk meanwhile is done. */
	f.room = f.nr_out + 3;
	offer(&f, 1, 2, 0, 6, false);
	f.dev.class->queue_notify(&f.dev, 1);
	EXPECT(used_idx(&f, 1) == 3);
	((struct vring_desc *)(f.mem + QUEUE_STRIDE))[2].len = htole32(2);
	f.room = sizeof(f.out);
	virtio_console_resume(&f.dev, 0);
	EXPECT(used_idx(&f, 1) == 4 && f.nr_out == 20);
	teardown(&f);
}

/* The driver adds another one for each that is taken, and does not kick. */
static size_t output_refill(void *opaque, const void *d, size_t len)
{
	struct fixture *f = opaque;

	(void)d;
	f->nr_out += len;
	if (f->refills) {
		f->refills--;
		offer(f, 1, 0, 0, 1, false);
	}
	return len;
}

TEST(console_serves_a_queue_that_is_refilled_in_turns)
{
	struct virtio_console_port port = {
		.console = true, .output = output_refill, .wake = wake,
	};
	struct virtio_console_opts opts = { &port, 1 };
	unsigned int wakes;
	struct fixture f;

	port.opaque = &f;
	setup_with(&f, &virtio_console_class, &opts);
	wakes = f.wakes;
	f.refills = 5000;
	offer(&f, 1, 0, 0, 1, false);
	f.dev.class->queue_notify(&f.dev, 1);
	/* It is asked to come again, as no kick may. */
	EXPECT(f.nr_out == 4 * VIRTQUEUE_MAX_SIZE && f.wakes == wakes + 1);
	virtio_console_resume(&f.dev, 0);
	EXPECT(f.nr_out == 5001 && f.wakes == wakes + 1);
	EXPECT(used_idx(&f, 1) == 5001);
	teardown(&f);
}

TEST(console_goes_on_in_the_middle_of_a_chain_after_restore)
{
	struct state_out so = { 0 };
	struct state_in si;
	struct fixture f;

	setup(&f, &virtio_console_class);
	f.room = 4;
	memcpy(f.mem + DATA, "hello world", 11);
	offer(&f, 1, 3, 0, 11, false);
	f.dev.class->queue_notify(&f.dev, 1);
	f.dev.class->deactivate(&f.dev);
	f.dev.class->save(&f.dev, &so);
	f.dev.class->reset(&f.dev);
	si = (struct state_in){ .buf = so.buf, .len = so.len };
	EXPECT(!f.dev.class->restore(&f.dev, &si) && si.pos == so.len);
	f.room = sizeof(f.out);
	f.dev.class->activate(&f.dev);
	EXPECT(f.nr_out == 11 && !memcmp(f.out, "hello world", 11));
	EXPECT(used_idx(&f, 1) == 1);
	state_out_free(&so);
	teardown(&f);
}

/* A guest that starts over finds the terminal as it is, not as it was at first. */
TEST(console_size_survives_a_fresh_start)
{
	struct state_out so = { 0 };
	struct state_in si;
	struct fixture f;
	u8 size[4];

	setup(&f, &virtio_console_class);
	f.dev.class->save(&f.dev, &so);
	virtio_console_resize(&f.dev, 100, 30);
	f.dev.class->reset(&f.dev);
	si = (struct state_in){ .buf = so.buf, .len = so.len, .fresh = true };
	EXPECT(!f.dev.class->restore(&f.dev, &si) && si.pos == so.len);
	f.dev.class->config_read(&f.dev, 0, size, 4);
	EXPECT(size[0] == 100 && size[2] == 30);
	si = (struct state_in){ .buf = so.buf, .len = so.len };
	EXPECT(!f.dev.class->restore(&f.dev, &si) && si.pos == so.len);
	f.dev.class->config_read(&f.dev, 0, size, 4);
	EXPECT(!size[0] && !size[2]);
	state_out_free(&so);
	teardown(&f);
}

TEST(console_wakes_who_waits_for_receive_buffers)
{
	unsigned int wakes;
	struct fixture f;

	setup(&f, &virtio_console_class);
	wakes = f.wakes;
	EXPECT(wakes == 1);	/* the driver is there */
	offer(&f, 0, 0, 0, 4, true);
	f.dev.class->queue_notify(&f.dev, 0);
	EXPECT(f.wakes == wakes);
	EXPECT(virtio_console_input(&f.dev, 0, "abcdef", 6) == 4);
	EXPECT(f.wakes == wakes);
	offer(&f, 0, 1, 0, 4, true);
	f.dev.class->queue_notify(&f.dev, 0);
	f.dev.class->queue_notify(&f.dev, 0);
	EXPECT(f.wakes == wakes + 1);
	EXPECT(virtio_console_input(&f.dev, 0, "ef", 2) == 2);
	EXPECT(virtio_console_input(&f.dev, 1, "ef", 2) == 0);
	EXPECT(virtio_console_input(&f.dev, 99, "ef", 2) == 0);
	teardown(&f);
}

/* Three ports: a console, a plain one with a name, one without. */
static void setup_ports(struct fixture *f)
{
	struct virtio_console_port port[] = {
		{ .console = true, .output = output, .wake = wake, .opaque = f },
		{ .name = "org.lkvm.test", .output = output, .wake = wake,
		  .opaque = f },
		{ .output = output, .opaque = f },
	};
	struct virtio_console_opts opts = { port, ARRAY_SIZE(port) };

	setup_with(f, &virtio_console_class, &opts);
}

static void control(struct fixture *f, u32 id, u16 event, u16 value)
{
	struct virtio_console_control m = {
		htole32(id), htole16(event), htole16(value),
	};

	memcpy(f->mem + CONTROL, &m, sizeof(m));
	offer(f, 3, 0, CONTROL - DATA, sizeof(m), false);
	f->dev.class->queue_notify(&f->dev, 3);
}

/* Gives control buffers until one is left over; finds what was said. */
static bool told(struct fixture *f, u32 id, u16 event, u16 value,
		 const char *more)
{
	struct virtio_console_control m;
	u16 seen = f->seen[2]++;
	u8 *at = f->mem + CONTROL + 0x1000;
	u32 len = sizeof(m) + (more ? strlen(more) : 0);

	if (used_idx(f, 2) == seen) {
		memset(at, 0, 0x100);
		offer(f, 2, 0, at - f->mem - DATA, 0x100, true);
		f->dev.class->queue_notify(&f->dev, 2);
	}
	if (used_idx(f, 2) != (u16)(seen + 1) ||
	    used_len(f, 2, seen % QUEUE_SIZE) != len)
		return false;
	memcpy(&m, at, sizeof(m));
	return le32toh(m.id) == id && le16toh(m.event) == event &&
	       le16toh(m.value) == value &&
	       (!more || !memcmp(at + sizeof(m), more, strlen(more)));
}

static bool told_nothing(struct fixture *f)
{
	return used_idx(f, 2) == f->seen[2];
}

TEST(console_introduces_its_ports)
{
	struct fixture f;
	u32 ports;

	setup_ports(&f);
	EXPECT(f.dev.nr_queues == 8);
	f.dev.class->config_read(&f.dev, 4, &ports, 4);
	EXPECT(le32toh(ports) == 3);
	EXPECT(told_nothing(&f));
	control(&f, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (u32 i = 0; i < 3; i++)
		EXPECT(told(&f, i, VIRTIO_CONSOLE_PORT_ADD, 0, NULL));
	control(&f, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	EXPECT(told(&f, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL));
	EXPECT(told(&f, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL));
	control(&f, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	EXPECT(told(&f, 1, VIRTIO_CONSOLE_PORT_NAME, 0, "org.lkvm.test"));
	EXPECT(told(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL));
	control(&f, 2, VIRTIO_CONSOLE_PORT_READY, 0);
	offer(&f, 2, 1, CONTROL - DATA, 64, true);
	f.dev.class->queue_notify(&f.dev, 2);
	EXPECT(told_nothing(&f));
	teardown(&f);
}

TEST(console_introduces_its_ports_once_more)
{
	struct fixture f;

	setup_ports(&f);
	for (unsigned int again = 0; again < 2; again++) {
		control(&f, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
		for (u32 i = 0; i < 3; i++)
			EXPECT(told(&f, i, VIRTIO_CONSOLE_PORT_ADD, 0, NULL));
		EXPECT(virtio_console_input(&f.dev, 1, "abc", 3) == 0);
		control(&f, 1, VIRTIO_CONSOLE_PORT_READY, 1);
		EXPECT(told(&f, 1, VIRTIO_CONSOLE_PORT_NAME, 0, "org.lkvm.test"));
		EXPECT(told(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL));
		control(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
		for (u16 i = 0; i < 2; i++)
			offer(&f, 4, i, 0, 64, true);
		EXPECT(virtio_console_input(&f.dev, 1, "abc", 3) == 3);
	}
	/* So does a port that comes back without the device. */
	control(&f, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	EXPECT(told(&f, 1, VIRTIO_CONSOLE_PORT_NAME, 0, "org.lkvm.test"));
	EXPECT(told(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL));
	teardown(&f);
}

TEST(console_has_as_many_ports_as_fit)
{
	struct virtio_console_port port[VIRTIO_CONSOLE_MAX_PORTS] = {
		{ .console = true }, { .console = true },
	};
	struct virtio_console_opts opts = { port, VIRTIO_CONSOLE_MAX_PORTS };
	struct fixture f;

	setup_with(&f, &virtio_console_class, &opts);
	virtio_console_resize(&f.dev, 80, 25);
	control(&f, VIRTIO_CONSOLE_MAX_PORTS, VIRTIO_CONSOLE_PORT_READY, 1);
	control(&f, VIRTIO_CONSOLE_MAX_PORTS, VIRTIO_CONSOLE_PORT_OPEN, 1);
	EXPECT(!virtio_console_input(&f.dev, VIRTIO_CONSOLE_MAX_PORTS, "a", 1));
	virtio_console_resume(&f.dev, VIRTIO_CONSOLE_MAX_PORTS);
	/* The size is that of the first alone. */
	control(&f, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	EXPECT(told(&f, 1, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL));
	EXPECT(told(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL));
	teardown(&f);
}

TEST(console_keeps_what_it_could_not_tell)
{
	struct state_out so = { 0 };
	struct state_in si;
	struct fixture f;

	setup_ports(&f);
	control(&f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (u32 i = 0; i < 100; i++)
		control(&f, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	EXPECT(used_idx(&f, 3) == 101 && told_nothing(&f));
	f.dev.class->deactivate(&f.dev);
	f.dev.class->save(&f.dev, &so);
	f.dev.class->reset(&f.dev);
	si = (struct state_in){ .buf = so.buf, .len = so.len };
	EXPECT(!f.dev.class->restore(&f.dev, &si));
	f.dev.class->activate(&f.dev);
	EXPECT(told(&f, 0, VIRTIO_CONSOLE_PORT_ADD, 0, NULL));
	EXPECT(told(&f, 1, VIRTIO_CONSOLE_PORT_ADD, 0, NULL));
	EXPECT(told(&f, 1, VIRTIO_CONSOLE_PORT_NAME, 0, "org.lkvm.test"));
	EXPECT(told(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL));
	EXPECT(told(&f, 2, VIRTIO_CONSOLE_PORT_ADD, 0, NULL));
	EXPECT(told_nothing(&f));
	state_out_free(&so);
	teardown(&f);
}

TEST(console_survives_bad_control_messages)
{
	struct fixture f;

	setup_ports(&f);
	for (u32 len = 0; len < 8; len++) {
		memset(f.mem + CONTROL, 0, 8);
		offer(&f, 3, 0, CONTROL - DATA, len, false);
		f.dev.class->queue_notify(&f.dev, 3);
	}
	offer(&f, 3, 0, CONTROL - DATA, 8, true);
	f.dev.class->queue_notify(&f.dev, 3);
	EXPECT(used_idx(&f, 3) == 9 && told_nothing(&f));
	for (u32 event = 0; event < 20; event++) {
		control(&f, 3, event, 1);
		control(&f, ~0U, event ? event : 99, 0xffff);
		control(&f, 0x80000000, event ? event : 98, 0);
	}
	control(&f, 3, VIRTIO_CONSOLE_PORT_READY, 1);
	/* DEVICE_READY was among them: three ports, and nothing else. */
	for (u32 i = 0; i < 3; i++)
		EXPECT(told(&f, i, VIRTIO_CONSOLE_PORT_ADD, 0, NULL));
	EXPECT(told_nothing(&f));

	/* A buffer that is too short gets what fits. */
	control(&f, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	offer(&f, 2, 0, CONTROL - DATA, 3, true);
	offer(&f, 2, 1, CONTROL - DATA, 3, false);
	f.dev.class->queue_notify(&f.dev, 2);
	EXPECT(used_len(&f, 2, f.seen[2] % QUEUE_SIZE) == 3);
	EXPECT(used_len(&f, 2, (f.seen[2] + 1) % QUEUE_SIZE) == 0);
	EXPECT(!f.dev.status);
	offer(&f, 3, QUEUE_SIZE, 0, 8, false);
	f.dev.class->queue_notify(&f.dev, 3);
	EXPECT(f.dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
	teardown(&f);
}

TEST(console_tells_the_size_by_message)
{
	struct fixture f;

	setup_ports(&f);
	virtio_console_resize(&f.dev, 0x2120, 0x2322);
	EXPECT(told_nothing(&f));
	control(&f, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	EXPECT(told(&f, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL));
	EXPECT(told(&f, 0, VIRTIO_CONSOLE_RESIZE, 0, " !\"#"));
	EXPECT(told(&f, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL));
	virtio_console_resize(&f.dev, 0x2524, 0x2726);
	virtio_console_resize(&f.dev, 0x2928, 0x2b2a);
	EXPECT(told(&f, 0, VIRTIO_CONSOLE_RESIZE, 0, "()*+"));
	EXPECT(told_nothing(&f));
	teardown(&f);
}

TEST(console_gives_input_to_open_ports_only)
{
	unsigned int wakes;
	struct fixture f;

	setup_ports(&f);
	wakes = f.wakes;
	offer(&f, 4, 0, 0, 64, true);
	f.dev.class->queue_notify(&f.dev, 4);
	EXPECT(virtio_console_input(&f.dev, 1, "abc", 3) == 0);
	control(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	EXPECT(f.wakes == wakes + 1);
	EXPECT(virtio_console_input(&f.dev, 1, "abc", 3) == 3);
	EXPECT(!memcmp(f.mem + DATA, "abc", 3));
	control(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	offer(&f, 4, 0, 0, 64, true);
	EXPECT(virtio_console_input(&f.dev, 1, "abc", 3) == 0);

	memcpy(f.mem + DATA, "from two", 8);
	offer(&f, 7, 0, 0, 8, false);
	f.dev.class->queue_notify(&f.dev, 7);
	EXPECT(f.nr_out == 8 && !memcmp(f.out, "from two", 8));

	/* Without the feature there is one port, and no control queue. */
	f.dev.class->deactivate(&f.dev);
	f.dev.driver_features = 0;
	f.dev.class->activate(&f.dev);
	EXPECT(virtio_console_input(&f.dev, 1, "abc", 3) == 0);
	control(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	EXPECT(virtio_console_input(&f.dev, 1, "abc", 3) == 0);
	offer(&f, 0, 0, 0, 64, true);
	EXPECT(virtio_console_input(&f.dev, 0, "xyz", 3) == 3);
	EXPECT(told_nothing(&f));
	teardown(&f);
}

TEST(console_refuses_bad_options)
{
	static const char long_name[] =
		"a name with one letter more than there is room for in a message.";
	static const struct virtio_console_port port[17] = {
		{ .name = long_name },
	};
	struct virtio_console_opts o = { port, 1 };
	struct virtio_device dev = { .class = &virtio_console_class };
	struct report r = { "" };

	EXPECT(dev.class->create(&dev, &o, &r) == -EINVAL && r.msg[0]);
	EXPECT(!dev.priv);
	o.nr_ports = 0;
	EXPECT(dev.class->create(&dev, &o, NULL) == -EINVAL);
	o = (struct virtio_console_opts){ port + 1, 17 };
	EXPECT(dev.class->create(&dev, &o, NULL) == -EINVAL);
	o.nr_ports = 16;
	EXPECT(!dev.class->create(&dev, &o, NULL) && dev.class->queues(&o) == 34);
	dev.class->destroy(&dev);
	dev.class->destroy(&dev);
	dev.class->reset(&dev);
}

TEST(console_has_descriptors_for_its_queues_only)
{
	static const struct virtio_console_port port[17] = { { .console = false } };
	struct virtio_console_opts o = { port, 16 };
	struct gmem gmem = { 0 };
	struct virtio_env env = { .gmem = &gmem };
	unsigned int before = open_files();
	struct virtio_device *dev;

	EXPECT(!virtio_device_create(&dev, &virtio_console_class, "console", NULL, &env,
				     NULL));
	EXPECT(dev->nr_queues == 2 && open_files() == before + 2);
	virtio_device_free(dev);
	EXPECT(!virtio_device_create(&dev, &virtio_console_class, "console", &o, &env,
				     NULL));
	EXPECT(dev->nr_queues == 34 && open_files() == before + 34);
	virtio_device_free(dev);
	o.nr_ports = 17;
	EXPECT(virtio_device_create(&dev, &virtio_console_class, "console", &o, &env,
				    NULL) == -EINVAL);
	EXPECT(open_files() == before);
}

TEST(console_forgets_the_driver_at_a_reset)
{
	struct fixture f;

	setup_ports(&f);
	control(&f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	control(&f, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	control(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	f.room = 3;
	offer(&f, 1, 0, 0, 6, false);
	f.dev.class->queue_notify(&f.dev, 1);
	f.dev.class->deactivate(&f.dev);
	f.dev.class->reset(&f.dev);
	for (unsigned int i = 0; i < QUEUES; i++) {
		memset(f.mem + QUEUE_STRIDE * i, 0, QUEUE_STRIDE);
		virtqueue_reset(&f.dev.queue[i]);
		queue_setup(&f, i);
		f.avail[i] = 0;
	}
	f.room = sizeof(f.out);
	f.dev.class->activate(&f.dev);
	offer(&f, 4, 0, 0, 64, true);
	EXPECT(virtio_console_input(&f.dev, 1, "abc", 3) == 0);
	offer(&f, 2, 0, 0, 64, true);
	f.dev.class->queue_notify(&f.dev, 2);
	EXPECT(used_idx(&f, 2) == 0);
	memcpy(f.mem + DATA, "complete", 8);
	f.nr_out = 0;
	offer(&f, 1, 0, 0, 8, false);
	f.dev.class->queue_notify(&f.dev, 1);
	EXPECT(f.nr_out == 8 && !memcmp(f.out, "complete", 8));
	teardown(&f);
}

TEST(console_restore_checks_what_it_reads)
{
	struct state_out so = { 0 };
	struct state_in si;
	struct fixture f;

	setup_ports(&f);
	f.dev.class->deactivate(&f.dev);
	f.dev.class->save(&f.dev, &so);
	for (size_t len = 0; len < so.len; len++) {
		si = (struct state_in){ .buf = so.buf, .len = len };
		EXPECT(f.dev.class->restore(&f.dev, &si));
	}
	/* A port without a stream has nothing under way to one. */
	for (size_t i = 8; i < so.len; i++) {
		u8 old = so.buf[i];

		so.buf[i] = 0xff;
		si = (struct state_in){ .buf = so.buf, .len = so.len };
		f.dev.class->restore(&f.dev, &si);
		so.buf[i] = old;
	}
	so.buf[8]++;
	si = (struct state_in){ .buf = so.buf, .len = so.len };
	EXPECT(f.dev.class->restore(&f.dev, &si) == -EPROTO);
	so.buf[8]--;
	/* The name of the last port, which has none, is left to be told. */
	so.buf[12 + 2 * 16] = 4;
	si = (struct state_in){ .buf = so.buf, .len = so.len };
	EXPECT(f.dev.class->restore(&f.dev, &si) == -EPROTO);
	so.buf[12 + 2 * 16] = 0;
	si = (struct state_in){ .buf = so.buf, .len = so.len };
	EXPECT(!f.dev.class->restore(&f.dev, &si));
	state_out_free(&so);
	teardown(&f);
}

/* Streams: port 0 is a plain port with one, and is open. */

static bool setup_stream(struct fixture *f, const struct stream_opts *s)
{
	struct virtio_console_port port = { .name = "s" };
	struct virtio_console_opts opts = { &port, 1 };
	struct report r = { "" };

	if (stream_open(&port.stream, "s", s, &r)) {
		printf("# %s\n", r.msg);
		return false;
	}
	setup_with(f, &virtio_console_class, &opts);
	control(f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	control(f, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	control(f, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	return told(f, 0, VIRTIO_CONSOLE_PORT_ADD, 0, NULL) &&
	       told(f, 0, VIRTIO_CONSOLE_PORT_NAME, 0, "s");
}

static bool wait_used(struct fixture *f, unsigned int queue, u16 want)
{
	for (unsigned int i = 0; i < 50000; i++) {
		if (__atomic_load_n((u16 *)(f->mem + QUEUE_STRIDE * queue +
					    0x2002), __ATOMIC_ACQUIRE) == want)
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
	return false;
}

/* Waits for a message: PORT_OPEN of port 0. */
static bool told_open(struct fixture *f, u16 value)
{
	u16 seen = f->seen[2];

	memset(f->mem + CONTROL + 0x1000, 0, 0x100);
	offer(f, 2, 0, CONTROL + 0x1000 - DATA, 0x100, true);
	f->dev.class->queue_notify(&f->dev, 2);
	return wait_used(f, 2, seen + 1) &&
	       told(f, 0, VIRTIO_CONSOLE_PORT_OPEN, value, NULL);
}

/* Sends @len bytes from DATA on, in one chain. */
static void send_chain(struct fixture *f, u32 len)
{
	offer(f, 1, f->avail[1] % QUEUE_SIZE, 0, len, false);
	f->dev.class->queue_notify(&f->dev, 1);
}

static bool says(struct fixture *f, const char *text)
{
	memcpy(f->mem + DATA, text, strlen(text));
	send_chain(f, strlen(text));
	return wait_used(f, 1, f->avail[1]);
}

/* Receives @text, which may come in pieces. */
static bool hears(struct fixture *f, const char *text)
{
	size_t len = strlen(text), have = 0;

	while (have < len) {
		offer(f, 0, 0, 0x1000, 64, true);
		f->dev.class->queue_notify(&f->dev, 0);
		if (!wait_used(f, 0, f->avail[0]))
			return false;
		if (memcmp(f->mem + DATA + 0x1000, text + have,
			   used_len(f, 0, (f->avail[0] - 1) % QUEUE_SIZE)))
			return false;
		have += used_len(f, 0, (f->avail[0] - 1) % QUEUE_SIZE);
	}
	return have == len;
}

static bool reads(int fd, const char *text)
{
	size_t len = strlen(text), have = 0;
	char d[256];

	while (have < len) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n = poll(&p, 1, 10000) > 0 ?
			    read(fd, d + have, len - have) : 0;

		if (n <= 0)
			return false;
		have += n;
	}
	return !memcmp(d, text, len);
}

/* @fd[0] is the device's. */
static bool setup_socket(struct fixture *f, int fd[2])
{
	struct stream_opts s = { .kind = STREAM_FD };

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return false;
	s.in_fd = fd[0];
	s.out_fd = fd[0];
	return setup_stream(f, &s) && told_open(f, 1);
}

TEST(stream_socket_carries_both_ways)
{
	struct fixture f;
	int fd[2];

	EXPECT(setup_socket(&f, fd));
	close(fd[0]);
	EXPECT(says(&f, "to the host") && reads(fd[1], "to the host"));
	EXPECT(write(fd[1], "to the guest", 12) == 12);
	EXPECT(hears(&f, "to the guest"));
	/* A paused device keeps its hands off. */
	f.dev.class->deactivate(&f.dev);
	EXPECT(write(fd[1], "later", 5) == 5);
	f.dev.class->activate(&f.dev);
	EXPECT(hears(&f, "later"));
	EXPECT(says(&f, "more") && reads(fd[1], "more"));
	/* What was sent before a hang-up comes before it. */
	EXPECT(write(fd[1], "bye", 3) == 3);
	close(fd[1]);
	EXPECT(hears(&f, "bye") && told_open(&f, 0));
	EXPECT(says(&f, "nobody hears"));
	teardown(&f);
}

TEST(stream_gives_input_that_is_more_than_it_holds)
{
	char text[0x6001];
	struct fixture f;
	int fd[2];

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = 'a' + i / 64 % 26;
	text[sizeof(text) - 1] = 0;
	EXPECT(setup_socket(&f, fd));
	EXPECT(write(fd[1], text, sizeof(text) - 1) == sizeof(text) - 1);
	EXPECT(hears(&f, text));
	teardown(&f);
	close(fd[0]);
	close(fd[1]);
}

TEST(stream_with_a_slow_reader_loses_nothing)
{
	struct stream_opts s = { .kind = STREAM_FD };
	unsigned int sum = 0, want = 0;
	struct fixture f;
	ssize_t n;
	size_t got = 0, sent = 0;
	int fd[2];
	static u8 d[0x8000];

	EXPECT(!pipe2(fd, O_CLOEXEC));
	s.in_fd = fd[0];
	s.out_fd = fd[1];
	EXPECT(setup_stream(&f, &s));
	/* Our own pipe would feed our own input: the guest has it closed. */
	control(&f, 0, VIRTIO_CONSOLE_PORT_OPEN, 0);
	close(fd[1]);
	for (u32 i = 0; i < 0x8000; i++)
		f.mem[DATA + i] = i * 7 + i / 251;
	/* Until the queue stands: a pipe, a buffer and a ring are full. */
	for (unsigned int i = 0; i < 64 &&
	     (u16)(f.avail[1] - used_idx(&f, 1)) < QUEUE_SIZE; i++) {
		send_chain(&f, 0x8000);
		sent += 0x8000;
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
	EXPECT((u16)(f.avail[1] - used_idx(&f, 1)) == QUEUE_SIZE);
	EXPECT(sent <= 0x10000 + 0x10000 + 0x8000 * (QUEUE_SIZE + 1));
	EXPECT(!virtio_console_flush(&f.dev, 50, 10000));
	while (got < sent && (n = read(fd[0], d, sizeof(d))) > 0) {
		for (ssize_t i = 0; i < n; i++, got++) {
			u32 at = got % 0x8000;

			sum += d[i] != (u8)(at * 7 + at / 251);
		}
		want += n;
	}
	EXPECT(got == sent && want == sent && !sum);
	EXPECT(wait_used(&f, 1, f.avail[1]));
	EXPECT(virtio_console_flush(&f.dev, 10000, 10000));
	close(fd[0]);
	teardown(&f);
}

static void *count_bytes(void *arg)
{
	int fd = *(int *)arg;
	static u8 d[0x1000];
	size_t got = 0;
	ssize_t n;

	while ((n = read(fd, d, sizeof(d))) > 0) {
		got += n;
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
	return (void *)got;
}

TEST(stream_gets_what_was_taken_before_a_reset)
{
	struct stream_opts s = { .kind = STREAM_FD };
	int fd[2], other[2];
	struct fixture f;
	size_t taken = 0;
	pthread_t reader;
	void *got = NULL;

	EXPECT(!pipe2(fd, O_CLOEXEC) && !pipe2(other, O_CLOEXEC));
	s.in_fd = other[0];
	s.out_fd = fd[1];
	EXPECT(setup_stream(&f, &s) && told_open(&f, 1));
	close(fd[1]);
	/* The pipe holds two of these, the device another two. */
	for (unsigned int i = 0; i < 4; i++)
		send_chain(&f, 0x8000);
	EXPECT(wait_used(&f, 1, 4));
	taken = 4 * 0x8000;
	f.dev.class->deactivate(&f.dev);
	f.dev.class->reset(&f.dev);
	/* A reader that stands still is not waited for without end. */
	EXPECT(!virtio_console_flush(&f.dev, 50, 10000));
	EXPECT(!pthread_create(&reader, NULL, count_bytes, &fd[0]));
	EXPECT(virtio_console_flush(&f.dev, 10000, 10000));
	teardown(&f);
	pthread_join(reader, &got);
	EXPECT((size_t)got == taken);
	close(fd[0]);
	close(other[0]);
	close(other[1]);
}

/* The queue is full of chains, of which each byte tells where it stands. */
static void fill_queue(struct fixture *f, u32 len)
{
	for (u32 i = 0; i < len; i++)
		f->mem[DATA + i] = i * 7 + i / 251;
	for (unsigned int i = 0; i < 64 &&
	     (u16)(f->avail[1] - used_idx(f, 1)) < QUEUE_SIZE; i++) {
		send_chain(f, len);
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
}

struct pattern {
	int fd;
	u32 len;
	size_t got;
	size_t bad;
};

static bool check_piece(struct pattern *w)
{
	static u8 d[0x1000];
	ssize_t n = read(w->fd, d, sizeof(d));

	for (ssize_t i = 0; i < n; i++, w->got++) {
		u32 at = w->got % w->len;

		w->bad += d[i] != (u8)(at * 7 + at / 251);
	}
	return n > 0;
}

static void *check_bytes(void *arg)
{
	while (check_piece(arg))
		;
	return NULL;
}

/* A driver that resets has been told that all is sent, and stands by that. */
TEST(stream_gets_what_a_driver_leaves_in_the_queue)
{
	/* @wraps: some of it has been read, and what is in the ring goes on at its begin */
	static const struct {
		u32 chain;
		bool again;
		bool fits;
		bool wraps;
	} cases[] = { { 0x7fff, false, true, false }, { 0x7fff, true, true, true },
		      { 0x7fff, false, true, true }, { 0x10000, false, false, false } };
	const char *name;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct stream_opts s = { .kind = STREAM_FD };
		struct pattern w = { .len = cases[i].chain };
		struct state_out so = { 0 };
		struct state_in si;
		int fd[2], other[2];
		struct fixture f;
		pthread_t reader;

		EXPECT(!pipe2(fd, O_CLOEXEC) && !pipe2(other, O_CLOEXEC));
		s.in_fd = other[0];
		s.out_fd = fd[1];
		w.fd = fd[0];
		EXPECT(setup_stream(&f, &s) && told_open(&f, 1));
		close(fd[1]);
		fill_queue(&f, w.len);
		for (unsigned int n = 0; cases[i].wraps && n < 3; n++) {
			EXPECT(check_piece(&w));
			nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
		}
		f.dev.class->leave(&f.dev);
		EXPECT((used_idx(&f, 1) == f.avail[1]) == cases[i].fits);
		f.dev.class->deactivate(&f.dev);
		f.dev.class->reset(&f.dev);
		EXPECT(!virtio_console_lost(&f.dev, &name) == cases[i].fits);
		memset(f.mem, 0xee, MEM_SIZE);
		if (cases[i].again) {
			f.dev.class->save(&f.dev, &so);
			si = (struct state_in){ .buf = so.buf, .len = so.len };
			EXPECT(!f.dev.class->restore(&f.dev, &si));
			state_out_free(&so);
		}
		EXPECT(!pthread_create(&reader, NULL, check_bytes, &w));
		EXPECT(virtio_console_flush(&f.dev, 10000, 10000));
		teardown(&f);
		pthread_join(reader, NULL);
		EXPECT(!w.bad && (w.got == (size_t)f.avail[1] * w.len) == cases[i].fits);
		close(fd[0]);
		close(other[0]);
		close(other[1]);
	}
}

/* Two ports to pipes that are full, and what was sent to both behind that */
TEST(stream_flush_is_of_all_ports_and_not_for_ever)
{
	struct virtio_console_port port[2] = { { .name = "a" }, { .name = "b" } };
	struct virtio_console_opts opts = { port, 2 };
	int fd[2][2], other[2];
	static u8 full[0x10000];
	struct fixture f;
	u64 begin;

	EXPECT(!pipe2(other, O_CLOEXEC));
	for (unsigned int i = 0; i < 2; i++) {
		struct stream_opts s = { .kind = STREAM_FD, .in_fd = other[0] };

		EXPECT(!pipe2(fd[i], O_CLOEXEC));
		EXPECT(write(fd[i][1], full, sizeof(full)) == sizeof(full));
		s.out_fd = fd[i][1];
		EXPECT(!stream_open(&port[i].stream, port[i].name, &s, NULL));
	}
	setup_with(&f, &virtio_console_class, &opts);
	memcpy(f.mem + DATA, "behind", 6);
	for (unsigned int q = 1; q < 6; q += 4) {
		offer(&f, q, 0, 0, 6, false);
		f.dev.class->queue_notify(&f.dev, q);
	}
	/* With the thread, and without; nobody reads. */
	for (unsigned int i = 0; i < 2; i++) {
		begin = now_ns();
		EXPECT(!virtio_console_flush(&f.dev, 20, 20000));
		EXPECT(now_ns() - begin < 10000 * NSEC_PER_MSEC);
		if (!i)
			f.dev.class->deactivate(&f.dev);
	}
	for (unsigned int i = 0; i < 2; i++)
		EXPECT(read(fd[i][0], full, sizeof(full)) == sizeof(full));
	EXPECT(virtio_console_flush(&f.dev, 10000, 10000));
	for (unsigned int i = 0; i < 2; i++)
		EXPECT(reads(fd[i][0], "behind"));
	teardown(&f);
	for (unsigned int i = 0; i < 2; i++) {
		close(fd[i][0]);
		close(fd[i][1]);
		close(other[i]);
	}
}

/* Return: the bytes that come until there are @want, or none for @ms. */
static size_t take_bytes(int fd, size_t want, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	static u8 d[0x1000];
	size_t got = 0;

	while (got < want && poll(&p, 1, ms) > 0) {
		ssize_t n = read(fd, d, MIN(sizeof(d), want - got));

		if (n <= 0)
			break;
		got += n;
	}
	return got;
}

TEST(stream_gets_what_a_driver_left_without_another_driver)
{
	struct stream_opts s = { .kind = STREAM_FD };
	size_t all, got;
	int fd[2], other[2];
	struct fixture f;

	EXPECT(!pipe2(fd, O_CLOEXEC) && !pipe2(other, O_CLOEXEC));
	s.in_fd = other[0];
	s.out_fd = fd[1];
	EXPECT(setup_stream(&f, &s) && told_open(&f, 1));
	close(fd[1]);
	fill_queue(&f, 0x7fff);
	all = (size_t)f.avail[1] * 0x7fff;
	virtio_set_status(&f.dev, 0);
	EXPECT((got = take_bytes(fd[0], 0x30000, 10000)) == 0x30000);
	/* A paused device keeps its hands off. */
	EXPECT(!virtio_device_pause(&f.dev));
	got += take_bytes(fd[0], all, 20);
	EXPECT(got < all);
	EXPECT(!virtio_device_resume(&f.dev));
	got += take_bytes(fd[0], all - got, 10000);
	EXPECT(got == all && virtio_console_flush(&f.dev, 10000, 10000));
	teardown(&f);
	close(fd[0]);
	close(other[0]);
	close(other[1]);
}

TEST(stream_gets_an_emergency_before_there_is_a_driver)
{
	struct stream_opts s = { .kind = STREAM_FD };
	int fd[2], other[2];
	struct fixture f;

	EXPECT(!pipe2(fd, O_CLOEXEC) && !pipe2(other, O_CLOEXEC));
	s.in_fd = other[0];
	s.out_fd = fd[1];
	EXPECT(setup_stream(&f, &s) && told_open(&f, 1));
	virtio_set_status(&f.dev, 0);
	f.dev.class->config_write(&f.dev, 8, "a\0\0", 4);
	f.dev.class->config_write(&f.dev, 8, "b\0\0", 4);
	EXPECT(reads(fd[0], "ab"));
	teardown(&f);
	for (unsigned int i = 0; i < 2; i++) {
		close(fd[i]);
		close(other[i]);
	}
}

TEST(stream_without_a_reader_drops)
{
	struct stream_opts s = { .kind = STREAM_FD };
	int fd[2], other[2];
	const char *name;
	struct fixture f;

	EXPECT(!pipe2(fd, O_CLOEXEC) && !pipe2(other, O_CLOEXEC));
	s.in_fd = other[0];
	s.out_fd = fd[1];
	EXPECT(setup_stream(&f, &s) && told_open(&f, 1));
	close(fd[1]);
	close(fd[0]);
	close(other[0]);
	/* The one direction ends, the other goes on. */
	for (unsigned int i = 0; i < 40; i++) {
		send_chain(&f, 0x8000);
		EXPECT(wait_used(&f, 1, f.avail[1]));
	}
	EXPECT(virtio_console_flush(&f.dev, 10000, 10000));
	EXPECT(!virtio_console_lost(&f.dev, &name));
	EXPECT(write(other[1], "still", 5) == 5 && hears(&f, "still"));
	close(other[1]);
	EXPECT(told_open(&f, 0));
	teardown(&f);
}

TEST(stream_that_ends_drops_what_waits_for_room)
{
	struct fixture f;
	int fd[2];

	EXPECT(setup_socket(&f, fd));
	fill_queue(&f, 0x7fff);
	EXPECT(used_idx(&f, 1) != f.avail[1]);
	close(fd[1]);
	EXPECT(wait_used(&f, 1, f.avail[1]) && told_open(&f, 0));
	teardown(&f);
	close(fd[0]);
}

TEST(stream_tells_its_end_behind_what_it_said)
{
	struct fixture f;
	int fd[2];

	EXPECT(setup_socket(&f, fd));
	EXPECT(write(fd[1], "last words", 10) == 10);
	close(fd[1]);
	offer(&f, 2, 0, CONTROL - DATA, 64, true);
	f.dev.class->queue_notify(&f.dev, 2);
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	EXPECT(told_nothing(&f) && hears(&f, "last words"));
	EXPECT(wait_used(&f, 2, f.seen[2] + 1));
	teardown(&f);
	close(fd[0]);
}

TEST(stream_command_carries_both_ways)
{
	struct stream_opts s = {
		.kind = STREAM_PIPE,
		.arg = "read a; echo got $a; exec tr a-z A-Z",
	};
	struct fixture f;

	EXPECT(setup_stream(&f, &s) && told_open(&f, 1));
	EXPECT(says(&f, "one\n") && hears(&f, "got one\n"));
	EXPECT(says(&f, ""));
	teardown(&f);
	s.arg = "echo done";
	EXPECT(setup_stream(&f, &s) && told_open(&f, 1));
	EXPECT(hears(&f, "done\n") && told_open(&f, 0));
	teardown(&f);
}

TEST(stream_files_are_written_and_read)
{
	char dir[] = "/tmp/lkvm-stream-XXXXXX", path[64];
	struct stream_opts s = { .kind = STREAM_FILE, .arg = path };
	struct report r = { "" };
	const char *name;
	struct fixture f;
	int fd;

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	EXPECT(fd >= 0 && write(fd, "what an earlier VM wrote", 24) == 24);
	EXPECT(setup_stream(&f, &s) && told_open(&f, 1));
	/* There may be no VM yet, and none may come to be. */
	EXPECT(lseek(fd, 0, SEEK_END) == 24 && !virtio_console_begin(&f.dev, &r));
	EXPECT(says(&f, "first ") && says(&f, "second"));
	EXPECT(virtio_console_flush(&f.dev, 10000, 10000));
	EXPECT(lseek(fd, 0, SEEK_END) == 12 && !lseek(fd, 0, SEEK_SET));
	EXPECT(reads(fd, "first second"));
	close(fd);
	teardown(&f);

	s.arg = "/dev/full";
	EXPECT(setup_stream(&f, &s) && told_open(&f, 1));
	EXPECT(says(&f, "lost"));
	EXPECT(virtio_console_flush(&f.dev, 10000, 10000) && told_open(&f, 0));
	f.dev.class->deactivate(&f.dev);
	EXPECT(virtio_console_lost(&f.dev, &name) == ENOSPC);
	teardown(&f);

	s.arg = path;
	s.kind = STREAM_READ;
	EXPECT(setup_stream(&f, &s));
	EXPECT(told_open(&f, 1) && says(&f, "dropped"));
	EXPECT(hears(&f, "first second") && told_open(&f, 0));
	EXPECT(says(&f, "dropped"));
	teardown(&f);
	unlink(path);
	rmdir(dir);
}

static int client_connect(int fd, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static int client(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (client_connect(fd, path) == 0)
		return fd;
	close(fd);
	return -1;
}

TEST(stream_unix_takes_one_client_after_another)
{
	char dir[] = "/tmp/lkvm-stream-XXXXXX", path[64];
	struct stream_opts s = { .kind = STREAM_UNIX, .arg = path };
	struct stream *other;
	struct fixture f;
	struct stat st;
	int a, b;

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	EXPECT(setup_stream(&f, &s));
	EXPECT(!stat(path, &st) && (st.st_mode & 07777) == 0600);
	EXPECT(stream_open(&other, "t", &s, NULL) == -EADDRINUSE);
	EXPECT(says(&f, "to nobody"));
	a = client(path);
	EXPECT(a >= 0 && told_open(&f, 1));
	b = client(path);
	EXPECT(b >= 0 && write(b, "second", 6) == 6);
	EXPECT(says(&f, "hello") && reads(a, "hello"));
	EXPECT(write(a, "first", 5) == 5 && hears(&f, "first"));
	/* One that has ended its half may still read. */
	EXPECT(!shutdown(a, SHUT_WR));
	EXPECT(says(&f, "again") && reads(a, "again"));
	close(a);
	EXPECT(told_open(&f, 0));
	EXPECT(told_open(&f, 1));
	EXPECT(hears(&f, "second"));
	EXPECT(says(&f, "hello too") && reads(b, "hello too"));
	teardown(&f);
	EXPECT(read(b, dir, 0) == 0 && stat(path, &st));
	close(b);

	/* What a dead process left is taken over. */
	a = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	EXPECT(!bind(a, (struct sockaddr *)&un, sizeof(un)));
	close(a);
	EXPECT(!stream_open(&other, "t", &s, NULL));
	stream_close(other);
	rmdir(dir);
}

/* How often anything was waited for, which does not depend on how busy the machine is */
static unsigned int nr_polls;

int poll(struct pollfd *p, nfds_t nr, int ms)
{
	__atomic_add_fetch(&nr_polls, 1, __ATOMIC_RELAXED);
	return syscall(SYS_poll, p, nr, ms);
}

static bool spins(long ms)
{
	unsigned int before = __atomic_load_n(&nr_polls, __ATOMIC_RELAXED);

	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
	return __atomic_load_n(&nr_polls, __ATOMIC_RELAXED) - before > 20;
}

/* Without descriptors a client waits, and nothing runs meanwhile. */
TEST(stream_unix_that_cannot_take_a_client_does_not_spin)
{
	char dir[] = "/tmp/lkvm-stream-XXXXXX", path[64];
	struct stream_opts s = { .kind = STREAM_UNIX, .arg = path };
	struct rlimit old, none = { 0 };
	struct fixture f;
	int fd;

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	EXPECT(setup_stream(&f, &s) && !getrlimit(RLIMIT_NOFILE, &old));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	none.rlim_max = old.rlim_max;
	none.rlim_cur = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	close(none.rlim_cur);
	EXPECT(!setrlimit(RLIMIT_NOFILE, &none));
	EXPECT(!client_connect(fd, path));
	EXPECT(!spins(300));
	EXPECT(!setrlimit(RLIMIT_NOFILE, &old));
	EXPECT(told_open(&f, 1) && says(&f, "hello") && reads(fd, "hello"));
	close(fd);
	teardown(&f);
	rmdir(dir);
}

static void *read_late(void *fd)
{
	static char got[64];
	ssize_t n;

	nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	n = read(*(int *)fd, got, sizeof(got) - 1);
	got[n > 0 ? n : 0] = 0;
	return got;
}

TEST(stream_pty_comes_and_goes)
{
	pthread_t reader;
	void *got;
	char dir[] = "/tmp/lkvm-stream-XXXXXX", path[64];
	struct stream_opts s = { .kind = STREAM_PTY, .arg = path };
	struct fixture f;
	struct stat st;
	int fd;

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/tty", dir);
	EXPECT(setup_stream(&f, &s) && told_nothing(&f));
	EXPECT(says(&f, "to nobody"));
	for (unsigned int i = 0; i < 5; i++) {
		fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
		EXPECT(fd >= 0 && told_open(&f, 1));
		EXPECT(says(&f, "raw\n\3") && reads(fd, "raw\n\3"));
		EXPECT(write(fd, "\r\n\4", 3) == 3 && hears(&f, "\r\n\4"));
		EXPECT(write(fd, "last", 4) == 4);
		close(fd);
		EXPECT(hears(&f, "last") && told_open(&f, 0));
	}
	EXPECT(!spins(100) && says(&f, "to nobody"));
	/* What is on its way at the end is read, if slowly. */
	fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	EXPECT(fd >= 0 && told_open(&f, 1));
	EXPECT(says(&f, "farewell"));
	EXPECT(virtio_console_flush(&f.dev, 10000, 10000));
	EXPECT(!pthread_create(&reader, NULL, read_late, &fd));
	teardown(&f);
	EXPECT(!pthread_join(reader, &got) && !strcmp(got, "farewell"));
	close(fd);
	EXPECT(lstat(path, &st));
	rmdir(dir);
}

TEST(stream_refuses_what_it_cannot_open)
{
	static const struct stream_opts bad[] = {
		{ .kind = STREAM_FILE, .arg = "/nowhere/file" },
		{ .kind = STREAM_FILE, .arg = "/tmp" },
		{ .kind = STREAM_READ, .arg = "/tmp" },
		{ .kind = STREAM_READ, .arg = "/nowhere/file" },
		{ .kind = STREAM_FD, .in_fd = 999, .out_fd = 999 },
		{ .kind = STREAM_FD, .in_fd = 0, .out_fd = 999 },
		{ .kind = STREAM_UNIX, .arg = "/nowhere/socket" },
		{ .kind = STREAM_UNIX, .arg = "/dev/null" },
		{ .kind = STREAM_PTY, .arg = "/nowhere/tty" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct report r = { "" };
		struct stream *s;

		EXPECT(stream_open(&s, "p", &bad[i], &r) < 0);
		EXPECT(!strncmp(r.msg, "port p: ", 8));
	}
	stream_close(NULL);
}

TEST(rng_fills_bounded_part_of_a_chain)
{
	static const u8 zero[64];
	struct fixture f;

	setup(&f, &virtio_rng_class);
	offer(&f, 0, 0, 0, 64, true);
	offer(&f, 0, 1, 0x1000, 0x20000, true);
	offer(&f, 0, 2, 0, 16, false);
	f.dev.class->queue_notify(&f.dev, 0);
	EXPECT(used_idx(&f, 0) == 3);
	EXPECT(used_len(&f, 0, 0) == 64);
	EXPECT(used_len(&f, 0, 1) == 0x10000);
	EXPECT(used_len(&f, 0, 2) == 0);
	EXPECT(memcmp(f.mem + DATA, zero, sizeof(zero)));
	EXPECT(!memcmp(f.mem + DATA + 0x11000, zero, sizeof(zero)));
	f.dev.class->queue_notify(&f.dev, 7);
	teardown(&f);
}

TEST_MAIN(T(console_transmits_in_order_and_signals),
	  T(console_input_fills_offered_buffers_only),
	  T(console_gives_back_chains_of_wrong_direction),
	  T(console_size_and_emergency_write),
	  T(console_leaves_in_the_queue_what_finds_no_room),
	  T(console_serves_a_queue_that_is_refilled_in_turns),
	  T(console_goes_on_in_the_middle_of_a_chain_after_restore),
	  T(console_size_survives_a_fresh_start),
	  T(console_wakes_who_waits_for_receive_buffers),
	  T(console_introduces_its_ports),
	  T(console_introduces_its_ports_once_more),
	  T(console_has_as_many_ports_as_fit),
	  T(console_keeps_what_it_could_not_tell),
	  T(console_survives_bad_control_messages),
	  T(console_tells_the_size_by_message),
	  T(console_gives_input_to_open_ports_only),
	  T(console_refuses_bad_options),
	  T(console_has_descriptors_for_its_queues_only),
	  T(console_forgets_the_driver_at_a_reset),
	  T(console_restore_checks_what_it_reads),
	  T(stream_socket_carries_both_ways),
	  T(stream_gives_input_that_is_more_than_it_holds),
	  T(stream_with_a_slow_reader_loses_nothing),
	  T(stream_gets_what_was_taken_before_a_reset),
	  T(stream_gets_what_a_driver_leaves_in_the_queue),
	  T(stream_flush_is_of_all_ports_and_not_for_ever),
	  T(stream_gets_what_a_driver_left_without_another_driver),
	  T(stream_gets_an_emergency_before_there_is_a_driver),
	  T(stream_without_a_reader_drops),
	  T(stream_that_ends_drops_what_waits_for_room),
	  T(stream_tells_its_end_behind_what_it_said),
	  T(stream_command_carries_both_ways),
	  T(stream_files_are_written_and_read),
	  T(stream_unix_takes_one_client_after_another),
	  T(stream_unix_that_cannot_take_a_client_does_not_spin),
	  T(stream_pty_comes_and_goes),
	  T(stream_refuses_what_it_cannot_open),
	  T(rng_fills_bounded_part_of_a_chain))
