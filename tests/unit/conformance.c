// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * One suite over every row of virtio_classes[]: what virtio 1.2 s2 and s3 ask
 * of any device, driven through the core by a transport that only counts. A
 * class adds its row to recipes[], or several: options, and one request that it
 * completes.
 * The main thread plays vCPU and driver; a class may have threads of its own,
 * so that effects are waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <linux/fuse.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_console.h>
#include <linux/virtio_vsock.h>
#include "kvm/disk.h"
#include "kvm/fs.h"
#include "kvm/net.h"
#include "kvm/stream.h"
#include "kvm/virtio.h"
#include "driver.h"
#include "test.h"
#include "vring.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define IMAGE_SIZE 0x100000
/* Where tables of indirect descriptors are */
#define TABLES 0xc0000ULL

struct rig {
	const struct virtio_class *class;
	const struct recipe *recipe;
	struct vr_mem m;
	struct virtio_env env;
	struct virtio_device *dev;
	struct driver_counts counts;
	bool absent;
	char image[32];
};

/**
 * struct recipe - @queue takes what @request puts at descriptors 0..
 * @host: a file of the host that the class cannot do without, or NULL
 * @need: features without which @queue is not used
 */
struct recipe {
	const char *name;
	unsigned int queue;
	int (*create)(struct rig *r);
	void (*request)(struct vr_mem *m, unsigned int q);
	const char *host;
	u64 need;
};

static int create_blk(struct rig *r)
{
	struct virtio_blk_opts o = { .serial = "conformance" };
	struct disk_opts d = { .path = r->image };
	struct report why = { 0 };
	int err = disk_open(&o.disk, &d, &why);

	if (err) {
		printf("# %s\n", why.msg);
		return err;
	}
	err = virtio_device_create(&r->dev, r->class, "dut", &o, &r->env,
				   NULL);
	if (err)
		disk_close(o.disk);
	return err;
}

static int create_balloon(struct rig *r)
{
	struct virtio_balloon_opts o = { .reporting = true };

	return virtio_device_create(&r->dev, r->class, "dut", &o, &r->env,
				    NULL);
}

static size_t drop_output(void *opaque, const void *d, size_t len)
{
	(void)opaque;
	(void)d;
	return len;
}

static int create_console(struct rig *r)
{
	struct virtio_console_port port = {
		.console = true, .output = drop_output,
	};
	struct virtio_console_opts o = { &port, 1 };

	return virtio_device_create(&r->dev, r->class, "dut", &o, &r->env,
				    NULL);
}

static int create_vsock(struct rig *r)
{
	struct virtio_vsock_opts o = { .cid = 42 };
	char path[64];

	snprintf(path, sizeof(path), "%s.vsock", r->image);
	o.path = path;
	return virtio_device_create(&r->dev, r->class, "dut", &o, &r->env,
				    NULL);
}

static int create_ports(struct rig *r)
{
	static const struct stream_opts s = {
		.kind = STREAM_FILE, .arg = "/dev/null",
	};
	struct virtio_console_port port[3] = {
		{ .console = true, .output = drop_output },
		{ .name = "one" }, { .name = "two" },
	};
	struct virtio_console_opts o = { port, 3 };
	int err = stream_open(&port[1].stream, "one", &s, NULL);

	if (!err)
		err = stream_open(&port[2].stream, "two", &s, NULL);
	if (!err)
		err = virtio_device_create(&r->dev, r->class, "dut", &o,
					   &r->env, NULL);
	if (err) {
		stream_close(port[1].stream);
		stream_close(port[2].stream);
	}
	return err;
}

static int create_share(struct rig *r, const void *opts, struct fs_host **host)
{
	struct fs_opts f = { .path = "/tmp" };
	struct report why = { 0 };
	int err = fs_open(host, &f, &why);

	if (err) {
		printf("# %s\n", why.msg);
		return err;
	}
	err = virtio_device_create(&r->dev, r->class, "dut", opts, &r->env,
				   NULL);
	if (err)
		fs_close(*host);
	return err;
}

static int create_fs(struct rig *r)
{
	struct virtio_fs_opts o = { .tag = "conformance", .nr_queues = 2 };

	return create_share(r, &o, &o.host);
}

static int create_9p(struct rig *r)
{
	struct virtio_9p_opts o = { .tag = "conformance" };

	return create_share(r, &o, &o.host);
}

static int create_plain(struct rig *r)
{
	return virtio_device_create(&r->dev, r->class, "dut", NULL, &r->env,
				    NULL);
}

/* Somebody to send to who never reads: a datagram that is too many is lost. */
static int make_sink(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    getsockname(fd, (struct sockaddr *)&a, &len) ||
	    connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		printf("# no socket\n");
		return -1;
	}
	return fd;
}

static int create_net(struct rig *r)
{
	struct net_opts n = { .kind = NET_FD, .fd = make_sink() };
	struct virtio_net_opts o = { .mac = (const u8[6]) { 2, 0, 0, 0, 0, 1 } };
	struct report why = { 0 };
	int err = net_open(&o.backend, &n, &why);

	if (err) {
		printf("# %s\n", why.msg);
		return err;
	}
	err = virtio_device_create(&r->dev, r->class, "dut", &o, &r->env,
				   NULL);
	if (err)
		net_close(o.backend);
	return err;
}

/* By the host's kernel, between the guest and a tap device; only root makes one. */
static int create_vhost_net(struct rig *r)
{
	struct net_opts n = { .kind = NET_TAP };
	struct virtio_net_opts o = {
		.mac = (const u8[6]) { 2, 0, 0, 0, 0, 1 }, .vhost = true,
	};
	struct report why = { 0 };
	int err = net_open(&o.backend, &n, &why);

	if (err) {
		printf("# %s\n", why.msg);
		r->absent = err == -EPERM || err == -ENOENT;
		return err;
	}
	err = virtio_device_create(&r->dev, r->class, "dut", &o, &r->env,
				   NULL);
	if (err)
		net_close(o.backend);
	return err;
}

/* A page that is nobody's */
static void request_balloon(struct vr_mem *m, unsigned int q)
{
	__le32 pfn = htole32((VR_DATA + 0x4000) >> 12);

	gmem_write(&m->g, VR_DATA, &pfn, sizeof(pfn));
	VR_PUT(m, vr_desc(q), 0, VR_DATA, sizeof(pfn), 0, 0);
}

static void request_blk(struct vr_mem *m, unsigned int q)
{
	struct virtio_blk_outhdr h = { .type = VIRTIO_BLK_T_IN };

	gmem_write(&m->g, VR_DATA, &h, sizeof(h));
	VR_PUT(m, vr_desc(q), 0, VR_DATA, sizeof(h), NEXT, 1);
	VR_PUT(m, vr_desc(q), 1, VR_DATA + 0x1000, 512, NEXT | WRITE, 2);
	VR_PUT(m, vr_desc(q), 2, VR_DATA + 0x2000, 1, WRITE, 0);
}

static void request_out(struct vr_mem *m, unsigned int q)
{
	VR_PUT(m, vr_desc(q), 0, VR_DATA, 64, 0, 0);
}

/* A session begins. */
static void request_fs(struct vr_mem *m, unsigned int q)
{
	struct {
		struct fuse_in_header hdr;
		struct fuse_init_in in;
	} init = {
		.hdr = { .len = sizeof(init), .opcode = FUSE_INIT, .unique = 1 },
		.in = { .major = 7, .minor = 38 },
	};

	gmem_write(&m->g, VR_DATA, &init, sizeof(init));
	VR_PUT(m, vr_desc(q), 0, VR_DATA, sizeof(init.hdr), NEXT, 1);
	VR_PUT(m, vr_desc(q), 1, VR_DATA + sizeof(init.hdr), sizeof(init.in),
	       NEXT, 2);
	VR_PUT(m, vr_desc(q), 2, VR_DATA + 0x1000,
	       sizeof(struct fuse_out_header) + sizeof(struct fuse_init_out),
	       WRITE, 0);
}

/* A session begins: size 21, Tversion, no tag, msize 8192, "9P2000.L" */
static void request_9p(struct vr_mem *m, unsigned int q)
{
	static const char version[21] =
		"\x15\0\0\0\x64\xff\xff\0\x20\0\0\x08\0009P2000.L";

	gmem_write(&m->g, VR_DATA, version, sizeof(version));
	VR_PUT(m, vr_desc(q), 0, VR_DATA, 7, NEXT, 1);
	VR_PUT(m, vr_desc(q), 1, VR_DATA + 7, sizeof(version) - 7, NEXT, 2);
	VR_PUT(m, vr_desc(q), 2, VR_DATA + 0x1000, 64, WRITE, 0);
}

/* A packet that is not answered. */
static void request_vsock(struct vr_mem *m, unsigned int q)
{
	struct virtio_vsock_hdr h = {
		.src_cid = 42, .dst_cid = 2, .op = VIRTIO_VSOCK_OP_RST,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
	};

	gmem_write(&m->g, VR_DATA, &h, sizeof(h));
	VR_PUT(m, vr_desc(q), 0, VR_DATA, sizeof(h), 0, 0);
}

static void request_in(struct vr_mem *m, unsigned int q)
{
	VR_PUT(m, vr_desc(q), 0, VR_DATA, 64, WRITE, 0);
}

static const struct recipe recipes[] = {
	{ "9p", 0, create_9p, request_9p, NULL, 0 },
	{ "balloon", 0, create_balloon, request_balloon, NULL, 0 },
	{ "blk", 0, create_blk, request_blk, NULL, 0 },
	{ "console", 1, create_console, request_out, NULL, 0 },
	{ "console", 5, create_ports, request_out, NULL,
	  BIT_ULL(VIRTIO_CONSOLE_F_MULTIPORT) },
	{ "fs", 0, create_fs, request_fs, NULL, 0 },
	{ "fs", 2, create_fs, request_fs, NULL, 0 },
	{ "net", 1, create_net, request_out, NULL, 0 },
	{ "net", 1, create_vhost_net, request_out, "/dev/vhost-net", 0 },
	{ "rng", 0, create_plain, request_in, NULL, 0 },
	{ "vsock", 1, create_vsock, request_vsock, NULL, 0 },
	{ "vhost-vsock", 1, create_vsock, request_vsock, "/dev/vhost-vsock",
	  0 },
};

static int rig_create(struct rig *r)
{
	int err = r->recipe->create(r);

	if (err)
		return err;
	r->dev->transport_priv = &r->counts;
	r->dev->transport = &driver_counting;
	return 0;
}

static void rig_destroy(struct rig *r)
{
	if (r->dev)
		virtio_device_free(r->dev);
	r->dev = NULL;
}

static const struct virtio_class *class_find(const char *name)
{
	for (unsigned int i = 0; virtio_classes[i]; i++) {
		if (!strcmp(name, virtio_classes[i]->name))
			return virtio_classes[i];
	}
	return NULL;
}

static struct rig *rig_setup(const struct recipe *recipe)
{
	struct rig *r = calloc(1, sizeof(*r));
	int fd;

	r->recipe = recipe;
	r->class = class_find(recipe->name);
	vr_init(&r->m);
	r->env.gmem = &r->m.g;
	snprintf(r->image, sizeof(r->image), "/tmp/lkvm-conformance-XXXXXX");
	fd = mkostemp(r->image, O_CLOEXEC);
	if (fd < 0 || ftruncate(fd, IMAGE_SIZE))
		printf("# no temporary file\n");
	if (fd >= 0)
		close(fd);
	r->absent = recipe->host && access(recipe->host, F_OK);
	if (r->absent)
		return r;
	if (!r->class || rig_create(r)) {
		printf("# %s: cannot be created\n", recipe->name);
		r->dev = NULL;
	}
	return r;
}

static void rig_teardown(struct rig *r)
{
	rig_destroy(r);
	unlink(r->image);
	vr_free(&r->m);
	free(r);
}

static void bring_up(struct rig *r, u64 features)
{
	driver_up(r->dev, &driver_vring, features | r->recipe->need, DRIVER_ALL);
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

static bool wait_used(struct rig *r, u16 want)
{
	return driver_wait_used(&r->m, r->recipe->queue, want);
}

static bool works(struct rig *r)
{
	unsigned int q = r->recipe->queue;
	u16 used = vr_used_idx(&r->m, q);

	if (virtio_get_status(r->dev) != 15)
		return false;
	r->recipe->request(&r->m, q);
	vr_publish(&r->m, q, 0);
	virtio_notify(r->dev, q);
	return wait_used(r, used + 1);
}

/* A test is a function of a rig; run_classes() runs it with each recipe. */
typedef void (*class_test_fn)(struct test *t, struct rig *r);

static void run_classes(struct test *t, class_test_fn run)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(recipes); i++) {
		struct rig *r = rig_setup(&recipes[i]);

		EXPECT(r->dev || r->absent);
		if (r->absent)
			printf("# %s: not tried, the host has no %s\n",
			       r->class->name, r->recipe->host);
		if (r->dev)
			run(t, r);
		rig_teardown(r);
	}
}

#define CLASS_TEST(name) \
	static void name##_run(struct test *t, struct rig *r); \
	TEST(name) \
	{ \
		run_classes(t, name##_run); \
	} \
	static void name##_run(struct test *t, struct rig *r)

static const u64 v1 = BIT_ULL(VIRTIO_F_VERSION_1);

TEST(class_has_a_recipe)
{
	for (unsigned int i = 0; virtio_classes[i]; i++) {
		unsigned int n = 0;

		for (unsigned int k = 0; k < ARRAY_SIZE(recipes); k++)
			n += !strcmp(recipes[k].name, virtio_classes[i]->name);
		EXPECT(n);
	}
}

CLASS_TEST(class_is_well_formed)
{
	EXPECT(r->class->id && r->class->nr_queues);
	EXPECT(r->dev->nr_queues &&
	       r->dev->nr_queues <= r->class->nr_queues);
	EXPECT(r->class->queue_max <= VIRTQUEUE_MAX_SIZE);
	EXPECT(!(r->class->queue_max & (r->class->queue_max - 1)));
	EXPECT(!r->class->config_len || r->class->config_read);
	EXPECT((r->dev->offered & v1) == v1);
}

CLASS_TEST(class_works_with_any_of_the_ring_features)
{
	static const u64 ring[] = {
		0, BIT_ULL(VIRTIO_RING_F_EVENT_IDX),
		BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC), ~0ULL,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(ring); i++) {
		bring_up(r, v1 | (ring[i] & r->dev->offered));
		for (unsigned int n = 0; n < 3 * VR_NUM; n++)
			EXPECT(works(r));
	}
}

CLASS_TEST(class_refuses_features_never_offered)
{
	for (unsigned int b = 0; b < 64; b++) {
		if (r->dev->offered & BIT_ULL(b))
			continue;
		bring_up(r, v1 | BIT_ULL(b));
		EXPECT(virtio_get_status(r->dev) == 3);
		EXPECT(!r->dev->active);
	}
	bring_up(r, r->dev->offered & ~v1);
	EXPECT(virtio_get_status(r->dev) == 3);
	bring_up(r, r->dev->offered);
	EXPECT(works(r));
}

/* As many requests as the ring takes. Each is in a table, with its own place for the answer. */
static void request_often(struct rig *r, unsigned int q)
{
	struct vring_desc d[3];
	unsigned int nr = 1;

	r->recipe->request(&r->m, q);
	gmem_read(&r->m.g, vr_desc(q), d, sizeof(d));
	while (d[nr - 1].flags & VRING_DESC_F_NEXT)
		nr++;
	for (unsigned int n = 0; n < VR_NUM; n++) {
		u64 table = TABLES + n * sizeof(d);

		for (unsigned int i = 0; i < nr; i++) {
			vr_put(&r->m, table, i, d + i);
			if (d[i].flags & VRING_DESC_F_WRITE)
				d[i].addr += 0x4000;
		}
		VR_PUT(&r->m, vr_desc(q), n, table, nr * sizeof(*d),
		       VRING_DESC_F_INDIRECT, 0);
		vr_publish(&r->m, q, n);
	}
}

CLASS_TEST(class_can_be_reset_with_requests_in_flight)
{
	for (unsigned int i = 0; i < 60; i++) {
		unsigned int q = r->recipe->queue;
		u16 used;

		bring_up(r, r->dev->offered);
		request_often(r, q);
		virtio_notify(r->dev, q);
		for (unsigned int n = 0; n < i % 3; n++)
			nap();
		virtio_set_status(r->dev, 0);
		EXPECT(virtio_get_status(r->dev) == 0);
		used = vr_used_idx(&r->m, q);
		nap();
		EXPECT(vr_used_idx(&r->m, q) == used);
	}
	bring_up(r, v1);
	EXPECT(works(r));
}

CLASS_TEST(class_ignores_kicks_out_of_place)
{
	virtio_notify(r->dev, 0);
	bring_up(r, v1);
	virtio_notify(r->dev, r->dev->nr_queues);
	virtio_notify(r->dev, 0xffffffff);
	for (unsigned int q = 0; q < r->dev->nr_queues; q++)
		virtio_notify(r->dev, q);
	EXPECT(works(r));
	virtio_set_status(r->dev, 0);
	for (unsigned int q = 0; q < r->dev->nr_queues; q++)
		virtio_notify(r->dev, q);
	EXPECT(virtio_get_status(r->dev) == 0);
}

CLASS_TEST(class_can_stand_without_queues)
{
	driver_negotiate(r->dev, v1);
	virtio_set_status(r->dev, 15);
	virtio_notify(r->dev, r->recipe->queue);
	nap();
	EXPECT(virtio_get_status(r->dev) == 15);
	bring_up(r, v1);
	EXPECT(works(r));
}

/** struct bad - descriptors 0 and 1 and the table, and the head published */
struct bad {
	const char *what;
	u16 head;
	struct vring_desc desc[2];
	struct vring_desc table;
};

static const struct bad bad_chains[] = {
	{ "loop", 0, { { VR_DATA, 4, NEXT, 1 }, { VR_DATA, 4, NEXT, 0 } }, { 0 } },
	{ "head", VR_NUM, { { VR_DATA, 4, 0, 0 } }, { 0 } },
	{ "next", 0, { { VR_DATA, 4, NEXT, VR_NUM } }, { 0 } },
	{ "nested", 0, { { 0x3000, 16, INDIRECT, 0 } },
	  { 0x3000, 16, INDIRECT, 0 } },
	{ "torn table", 0, { { 0x3000, 17, INDIRECT, 0 } }, { VR_DATA, 4, 0, 0 } },
	{ "table outside", 0, { { ~0ULL - 15, 16, INDIRECT, 0 } }, { 0 } },
	{ "table next", 0, { { 0x3000, 16, INDIRECT, 0 } },
	  { VR_DATA, 4, NEXT, 1 } },
	{ "address", 0, { { 2 * VR_HALF, 4, 0, 0 } }, { 0 } },
	{ "past the end", 0, { { 2 * VR_HALF - 2, 4, WRITE, 0 } }, { 0 } },
	{ "wrap", 0, { { ~0ULL - 1, 4, WRITE, 0 } }, { 0 } },
	{ "order", 0, { { VR_DATA, 4, NEXT | WRITE, 1 }, { VR_DATA, 4, 0, 0 } },
	  { 0 } },
	{ "length", 0, { { VR_DATA, 0x80000000, NEXT, 1 },
			 { VR_DATA, 0x80000000, 0, 0 } }, { 0 } },
};

static bool survives(struct rig *r, const struct bad *bad)
{
	unsigned int q = r->recipe->queue;
	bool needs, again;

	bring_up(r, r->dev->offered);
	vr_put(&r->m, vr_desc(q), 0, &bad->desc[0]);
	vr_put(&r->m, vr_desc(q), 1, &bad->desc[1]);
	vr_put(&r->m, 0x3000, 0, &bad->table);
	vr_publish(&r->m, q, bad->head);
	virtio_notify(r->dev, q);
	needs = driver_needs_reset(r->dev);
	/* Nothing more is taken, nothing was given back. */
	r->recipe->request(&r->m, q);
	vr_publish(&r->m, q, 0);
	virtio_notify(r->dev, q);
	nap();
	needs = needs && vr_used_idx(&r->m, q) == 0;

	bring_up(r, r->dev->offered);
	again = works(r);
	if (!needs || !again)
		printf("# %s: %s: needs reset %d, works again %d\n",
		       r->class->name, bad->what, needs, again);
	return needs && again;
}

CLASS_TEST(class_needs_reset_after_bad_chain_and_works_after_it)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(bad_chains);
	     i++)
		EXPECT(survives(r, &bad_chains[i]));
}

CLASS_TEST(class_needs_reset_after_avail_jump)
{
	unsigned int q = r->recipe->queue;

	bring_up(r, v1);
	__atomic_store_n(vr_u16(&r->m, vr_avail(q) + 2), VR_NUM + 1,
			 __ATOMIC_SEQ_CST);
	virtio_notify(r->dev, q);
	EXPECT(driver_needs_reset(r->dev));
	bring_up(r, v1);
	EXPECT(works(r));
}

static void config_bounds(struct test *t, struct rig *r)
{
	u32 len = r->class->config_len;
	u8 before[256] = { 0 }, after[256] = { 0 }, d[8];
	static const u8 ones[8] = { 255, 255, 255, 255, 255, 255, 255, 255 };

	EXPECT(len <= sizeof(before));
	virtio_config_read(r->dev, 0, before, len);
	for (unsigned int back = 0; back <= MIN(len, 8U); back++) {
		memset(d, 0xaa, sizeof(d));
		virtio_config_read(r->dev, len - back, d, 8);
		EXPECT(!memcmp(d, before + len - back, back));
		for (unsigned int i = back; i < 8; i++)
			EXPECT(!d[i]);
		if (back < 8)
			virtio_config_write(r->dev, len - back, ones, 8);
	}
	memset(d, 0xaa, sizeof(d));
	virtio_config_read(r->dev, ~0ULL - 3, d, 8);
	EXPECT(!memcmp(d, "\0\0\0\0\0\0\0\0", 8));
	virtio_config_write(r->dev, ~0ULL - 3, ones, 8);
	virtio_config_write(r->dev, 0x100000000ULL, ones, 1);
	virtio_config_read(r->dev, 0, after, len);
	EXPECT(!memcmp(before, after, len));
}

CLASS_TEST(class_config_accesses_are_bounded)
{
	config_bounds(t, r);
}

static void save_roundtrip(struct test *t, struct rig *r, bool in_flight)
{
	struct state_out a = { 0 }, b = { 0 };
	struct state_in in;
	unsigned int q = r->recipe->queue;

	bring_up(r, r->dev->offered);
	EXPECT(works(r));
	if (in_flight) {
		request_often(r, q);
		virtio_notify(r->dev, q);
	}
	EXPECT(!virtio_device_pause(r->dev));
	virtio_device_save(r->dev, &a);
	rig_destroy(r);
	EXPECT(!rig_create(r));
	if (!r->dev)
		goto out;

	in = (struct state_in){ .buf = a.buf, .len = a.len - 1 };
	EXPECT(virtio_device_restore(r->dev, &in) == -EPROTO);
	in = (struct state_in){ .buf = a.buf, .len = a.len };
	EXPECT(!virtio_device_restore(r->dev, &in));
	EXPECT(in.pos == a.len);
	virtio_device_save(r->dev, &b);
	EXPECT(a.len == b.len && !memcmp(a.buf, b.buf, a.len));

	EXPECT(!virtio_device_resume(r->dev));
	if (in_flight) {
		virtio_notify(r->dev, q);
		EXPECT(wait_used(r, VR_NUM + 1));
	}
	EXPECT(works(r));
out:
	state_out_free(&a);
	state_out_free(&b);
}

CLASS_TEST(class_restores_what_it_saved)
{
	for (unsigned int i = 0; r->dev && i < 20; i++)
		save_roundtrip(t, r, i);
}

CLASS_TEST(class_can_be_paused_and_resumed)
{
	EXPECT(!virtio_device_pause(r->dev));
	EXPECT(!virtio_device_resume(r->dev));
	bring_up(r, r->dev->offered);
	for (unsigned int i = 0; i < 10; i++) {
		EXPECT(!virtio_device_pause(r->dev));
		EXPECT(!virtio_device_pause(r->dev));
		EXPECT(!virtio_device_resume(r->dev));
		EXPECT(!virtio_device_resume(r->dev));
		EXPECT(works(r));
	}
	EXPECT(!virtio_device_pause(r->dev));
}

TEST_MAIN(T(class_has_a_recipe),
	  T(class_is_well_formed),
	  T(class_works_with_any_of_the_ring_features),
	  T(class_refuses_features_never_offered),
	  T(class_can_be_reset_with_requests_in_flight),
	  T(class_ignores_kicks_out_of_place),
	  T(class_can_stand_without_queues),
	  T(class_needs_reset_after_bad_chain_and_works_after_it),
	  T(class_needs_reset_after_avail_jump),
	  T(class_config_accesses_are_bounded),
	  T(class_restores_what_it_saved),
	  T(class_can_be_paused_and_resumed))
