// SPDX-License-Identifier: GPL-2.0-only
/* The console and the entropy device, on queues in a small guest memory. */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include "kvm/virtio.h"
#include "test.h"

#define MEM_SIZE 0x40000
#define QUEUE_STRIDE 0x4000
#define DATA 0x10000
#define QUEUE_SIZE 8

struct fixture {
	struct virtio_device dev;
	struct gmem gmem;
	u8 *mem;
	u16 avail[2];
	char out[64];
	size_t nr_out;
	unsigned int signals;
};

static void output(void *opaque, const void *d, size_t len)
{
	struct fixture *f = opaque;

	if (len > sizeof(f->out) - f->nr_out)
		return;
	memcpy(f->out + f->nr_out, d, len);
	f->nr_out += len;
}

static void signal_queue(struct virtio_device *dev, struct virtqueue *vq)
{
	(void)vq;
	container_of(dev, struct fixture, dev)->signals++;
}

static void signal_config(struct virtio_device *dev)
{
	(void)dev;
}

static const struct virtio_transport_ops transport = {
	.signal_queue = signal_queue,
	.signal_config = signal_config,
};

static void setup(struct fixture *f, const struct virtio_class *class)
{
	struct virtio_console_opts opts = { output, f };

	memset(f, 0, sizeof(*f));
	f->mem = calloc(1, MEM_SIZE);
	gmem_add(&f->gmem, 0, MEM_SIZE, f->mem);
	f->dev.class = class;
	f->dev.gmem = &f->gmem;
	f->dev.transport = &transport;
	f->dev.nr_queues = class->nr_queues;
	pthread_mutex_init(&f->dev.lock, NULL);
	for (unsigned int i = 0; i < class->nr_queues; i++) {
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
	class->create(&f->dev, &opts, NULL);
	f->dev.active = true;
	class->activate(&f->dev);
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
	avail[1] = htole16(++f->avail[queue]);
}

static u16 used_idx(struct fixture *f, unsigned int queue)
{
	return le16toh(((__le16 *)(f->mem + QUEUE_STRIDE * queue +
				   0x2000))[1]);
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
	EXPECT(virtio_console_input(&f.dev, "abc", 3) == 0);
	offer(&f, 0, 0, 0, 2, true);
	offer(&f, 0, 1, 16, 2, true);
	EXPECT(virtio_console_input(&f.dev, "abcde", 5) == 4);
	EXPECT(!memcmp(f.mem + DATA, "ab", 2));
	EXPECT(!memcmp(f.mem + DATA + 16, "cd", 2));
	EXPECT(used_idx(&f, 0) == 2 && used_len(&f, 0, 1) == 2);
	f.dev.class->deactivate(&f.dev);
	offer(&f, 0, 0, 0, 2, true);
	EXPECT(virtio_console_input(&f.dev, "abc", 3) == 0);
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
	EXPECT(virtio_console_input(&f.dev, "x", 1) == 0);
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
	EXPECT(f.nr_out == 1 && f.out[0] == '!');
	state_out_free(&so);
	teardown(&f);
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

struct slow {
	struct fixture f;
	sem_t waits;
	sem_t room;
};

static void slow_output(void *opaque, const void *d, size_t len)
{
	struct slow *s = opaque;

	(void)d;
	(void)len;
	sem_post(&s->waits);
	sem_wait(&s->room);
}

static void *slow_vcpu(void *opaque)
{
	struct slow *s = opaque;

	s->f.dev.class->queue_notify(&s->f.dev, 1);
	return NULL;
}

/* The main thread makes room; it must not wait for who waits for room. */
TEST(console_takes_input_while_output_waits)
{
	struct virtio_console_opts opts = { .output = slow_output };
	pthread_t vcpu;
	struct slow s;

	setup(&s.f, &virtio_console_class);
	s.f.dev.class->destroy(&s.f.dev);
	opts.opaque = &s;
	s.f.dev.class->create(&s.f.dev, &opts, NULL);
	s.f.dev.class->activate(&s.f.dev);
	sem_init(&s.waits, 0, 0);
	sem_init(&s.room, 0, 0);
	offer(&s.f, 1, 0, 0, 8, false);
	offer(&s.f, 0, 0, 0x100, 8, true);
	EXPECT(!pthread_create(&vcpu, NULL, slow_vcpu, &s));
	sem_wait(&s.waits);
	EXPECT(virtio_console_input(&s.f.dev, "abc", 3) == 3);
	virtio_console_resize(&s.f.dev, 80, 25);
	sem_post(&s.room);
	pthread_join(vcpu, NULL);
	EXPECT(used_idx(&s.f, 1) == 1 && used_idx(&s.f, 0) == 1);
	sem_destroy(&s.room);
	sem_destroy(&s.waits);
	teardown(&s.f);
}

TEST_MAIN(T(console_transmits_in_order_and_signals),
	  T(console_input_fills_offered_buffers_only),
	  T(console_gives_back_chains_of_wrong_direction),
	  T(console_size_and_emergency_write),
	  T(console_takes_input_while_output_waits),
	  T(rng_fills_bounded_part_of_a_chain))
