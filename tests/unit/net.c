// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Tests of virtio/net*.c with a backend made here, which keeps what it is sent
 * and gives what it is told, and of the backends over sockets in net/. The
 * main thread plays vCPU and driver; what the device's thread does is waited
 * for. A feature that a test does not ask for is not negotiated.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include "kvm/net-uso.h"
#include "kvm/net.h"
#include "kvm/unix.h"
#include "kvm/virtio.h"
#include "virtio/net.h"
#include "driver.h"
#include "fds.h"
#include "test.h"
#include "vring.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define HDR NET_HDR_LEN
#define V1 BIT_ULL(VIRTIO_F_VERSION_1)
#define F(name) BIT_ULL(VIRTIO_NET_F_##name)
#define KEEP 64
#define FRAME_MAX 4096
#define ALL_OFFLOADS (F(CSUM) | F(GUEST_CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | \
		      F(HOST_ECN) | F(HOST_UFO) | F(GUEST_TSO4) | \
		      F(GUEST_TSO6))

enum { RXQ, TXQ, CTRLQ };

/**
 * struct fake - @room: frames that may be sent; @sent, @given: so far; @policy: of who
 *	sent last, as sched_getscheduler() has it; @stays: when its device goes
 */
struct fake {
	struct net_backend b;
	pthread_mutex_t lock;
	int event;
	bool stays;
	bool link;
	bool fail_pairs;
	unsigned int room;
	int policy;
	unsigned int nr_sent;
	u32 sent_len[KEEP];
	u8 sent[KEEP][FRAME_MAX];
	unsigned int nr_given;
	unsigned int nr_to_give;
	u32 give_len[KEEP];
	u8 give[KEEP][FRAME_MAX];
	u64 offloads;
	unsigned int nr_offloads;
	unsigned int pairs;
};

struct fixture {
	struct vr_mem m;
	struct vm_log log;
	struct virtio_env env;
	struct virtio_device *dev;
	struct fake *fake;
	struct driver_counts counts;
	unsigned int lines;
};

static struct fake *to_fake(struct net_backend *b)
{
	return container_of(b, struct fake, b);
}

static int fake_watch(struct net_backend *b, unsigned int port, int epfd,
		      u64 cookie, u64 comes)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLET, .data.u64 = cookie,
	};

	(void)port;
	(void)comes;
	return epoll_ctl(epfd, EPOLL_CTL_ADD, to_fake(b)->event, &ev);
}

static int fake_send(struct net_backend *b, unsigned int port,
		     const struct net_frame *f, unsigned int nr)
{
	struct fake *k = to_fake(b);
	unsigned int i;

	(void)port;
	__atomic_store_n(&k->policy, sched_getscheduler(0), __ATOMIC_RELAXED);
	pthread_mutex_lock(&k->lock);
	for (i = 0; k->link && i < nr && k->room; i++, k->room--) {
		unsigned int n = k->nr_sent++ % KEEP;

		k->sent_len[n] = f[i].len;
		if (iov_length(f[i].iov, f[i].nr) != f[i].len)
			k->sent_len[n] = 0;
		iov_read(f[i].iov, f[i].nr, 0, k->sent[n], FRAME_MAX);
	}
	pthread_mutex_unlock(&k->lock);
	return k->link ? (int)i : -ENOLINK;
}

static ssize_t fake_recv(struct net_backend *b, unsigned int port,
			 const struct iovec *iov, unsigned int nr)
{
	struct fake *k = to_fake(b);
	ssize_t len = k->link ? -EAGAIN : -ENOLINK;

	(void)port;
	pthread_mutex_lock(&k->lock);
	if (k->link && k->nr_given < k->nr_to_give) {
		unsigned int n = k->nr_given++ % KEEP;

		len = k->give_len[n];
		iov_write(iov, nr, 0, k->give[n], k->give_len[n]);
	}
	pthread_mutex_unlock(&k->lock);
	return len;
}

static bool fake_link(struct net_backend *b)
{
	return __atomic_load_n(&to_fake(b)->link, __ATOMIC_ACQUIRE);
}

static int fake_offloads(struct net_backend *b, u64 features)
{
	to_fake(b)->offloads = features;
	to_fake(b)->nr_offloads++;
	return 0;
}

static int fake_pairs(struct net_backend *b, unsigned int pairs)
{
	to_fake(b)->pairs = pairs;
	return to_fake(b)->fail_pairs ? -EIO : 0;
}

static void fake_close(struct net_backend *b)
{
	if (to_fake(b)->stays)
		return;
	close(to_fake(b)->event);
	free(to_fake(b));
}

static const struct net_ops fake_ops = {
	.watch = fake_watch,
	.send = fake_send,
	.recv = fake_recv,
	.link = fake_link,
	.set_offloads = fake_offloads,
	.set_pairs = fake_pairs,
	.close = fake_close,
};

static void fake_event(struct fake *k)
{
	const u64 one = 1;

	if (write(k->event, &one, sizeof(one)) < 0)
		perror("event");
}

static struct fake *fake_make(unsigned int pairs, u64 offloads)
{
	struct fake *k = calloc(1, sizeof(*k));

	k->b.ops = &fake_ops;
	snprintf(k->b.info.name, sizeof(k->b.info.name), "fake");
	k->b.info.vnet_hdr = true;
	k->b.info.offloads = offloads;
	k->b.info.pairs = pairs;
	k->b.info.mtu = 1500;
	pthread_mutex_init(&k->lock, NULL);
	k->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	k->link = true;
	k->room = 1000000;
	return k;
}

static void count_line(void *opaque, const char *line)
{
	struct fixture *f = opaque;

	printf("# %s\n", line);
	__atomic_add_fetch(&f->lines, 1, __ATOMIC_RELAXED);
}

static void device_make(struct fixture *f, struct net_backend *b)
{
	static const u8 mac[NET_MAC_LEN] = { 2, 1, 2, 3, 4, 5 };
	struct virtio_net_opts o = { .backend = b, .mac = mac };
	struct report r = { "" };

	if (virtio_device_create(&f->dev, &virtio_net_class, "net0", &o,
				 &f->env, &r)) {
		printf("# %s\n", r.msg);
		exit(1);
	}
	f->dev->transport = &driver_counting;
	f->dev->transport_priv = &f->counts;
}

static void setup(struct fixture *f, struct net_backend *b)
{
	memset(f, 0, sizeof(*f));
	vr_init(&f->m);
	f->log = (struct vm_log){ count_line, f };
	f->env = (struct virtio_env){ .gmem = &f->m.g, .log = &f->log };
	device_make(f, b);
}

static void setup_fake(struct fixture *f, unsigned int pairs)
{
	struct fake *k = fake_make(pairs, ALL_OFFLOADS);

	setup(f, &k->b);
	f->fake = k;
}

static void teardown(struct fixture *f)
{
	virtio_device_free(f->dev);
	vr_free(&f->m);
}

static void driver_ok(struct fixture *f, u64 features)
{
	driver_up(f->dev, &driver_vring, features | DRIVER_V1, DRIVER_ALL);
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

#define WAIT DRIVER_WAIT

static bool wait_used(struct fixture *f, unsigned int q, u16 want)
{
	return WAIT(vr_used_idx(&f->m, q) == want);
}

static u32 used_len(struct fixture *f, unsigned int q, unsigned int i)
{
	struct vring_used_elem e;

	gmem_read(&f->m.g, vr_used(q) + 4 + 8 * (i % VR_NUM), &e, sizeof(e));
	return e.len;
}

/* A frame of @len bytes behind header @h, in slot @i. */
static void send_frame(struct fixture *f, unsigned int i,
		       const struct virtio_net_hdr_v1 *h, u32 len)
{
	u64 at = VR_DATA + 0x1000ULL * (i % VR_NUM);
	u8 fill[FRAME_MAX];

	memset(fill, (int)i, sizeof(fill));
	gmem_write(&f->m.g, at, h, sizeof(*h));
	gmem_write(&f->m.g, at + HDR, fill, len);
	VR_PUT(&f->m, vr_desc(TXQ), i % VR_NUM, at, HDR + len, 0, 0);
	vr_publish(&f->m, TXQ, (u16)(i % VR_NUM));
	virtio_notify(f->dev, TXQ);
}

static const struct virtio_net_hdr_v1 plain;

TEST(net_sends_frames_in_order)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, 0);
	for (unsigned int i = 0; i < 40; i++) {
		send_frame(&f, i, &plain, 60 + i);
		EXPECT(wait_used(&f, TXQ, (u16)(i + 1)));
	}
	EXPECT(f.fake->nr_sent == 40);
	for (unsigned int i = 0; i < 40; i++)
		EXPECT(f.fake->sent_len[i] == HDR + 60 + i &&
		       f.fake->sent[i][HDR] == i);
	teardown(&f);
}

/* @nr frames, and what the thread was when it sent the last of them */
static int policy_after(struct fixture *f, u16 *at, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		send_frame(f, (*at)++, &plain, 60);
	if (!wait_used(f, TXQ, *at))
		return -1;
	return __atomic_load_n(&f->fake->policy, __ATOMIC_RELAXED);
}

TEST(net_preempts_nobody_while_many_frames_go_one_way)
{
	struct fixture f;
	u16 at = 0;

	setup_fake(&f, 1);
	driver_ok(&f, 0);
	f.fake->room = 1000000;
	EXPECT(policy_after(&f, &at, 1) == SCHED_OTHER);
	EXPECT(WAIT(policy_after(&f, &at, VR_NUM) == SCHED_BATCH));
	for (unsigned int i = 0; i < 50; i++)
		nap();
	policy_after(&f, &at, 1);
	EXPECT(WAIT(policy_after(&f, &at, 1) == SCHED_OTHER));
	teardown(&f);
}

/* What the clock stands at, or 0 when it goes as usual. */
static u64 clock_at;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	u64 ns = __atomic_load_n(&clock_at, __ATOMIC_RELAXED);

	if (!ns)
		return (int)syscall(SYS_clock_gettime, id, ts);
	*ts = (struct timespec){ (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
	return 0;
}

/* A second in which there are @nr frames of @len bytes each 10 ms. Return: as above. */
static int policy_at_rate(struct fixture *f, u16 *at, unsigned int nr, u32 len)
{
	for (unsigned int i = 0; i < 100; i++) {
		__atomic_add_fetch(&clock_at, 10000000, __ATOMIC_RELAXED);
		for (unsigned int j = 0; j < nr; j++)
			VR_PUT(&f->m, vr_desc(TXQ), (*at + j) % VR_NUM, VR_DATA, HDR + len, 0,
			       0);
		/* The thread takes them in one round. */
		vr_publish_all(&f->m, TXQ, *at, nr);
		*at += nr;
		virtio_notify(f->dev, TXQ);
		if (!wait_used(f, TXQ, *at))
			return -1;
	}
	return __atomic_load_n(&f->fake->policy, __ATOMIC_RELAXED);
}

TEST(net_preempts_nobody_while_frames_are_large)
{
	struct fixture f;
	u16 at = 0;

	setup_fake(&f, 1);
	__atomic_store_n(&clock_at, 1000000000, __ATOMIC_RELAXED);
	driver_ok(&f, 0);
	EXPECT(policy_at_rate(&f, &at, 8, 60) == SCHED_OTHER);
	EXPECT(policy_at_rate(&f, &at, 8, 60000) == SCHED_BATCH);
	/* A quarter of many is enough to go on, and less is not. */
	EXPECT(policy_at_rate(&f, &at, 2, 60000) == SCHED_BATCH);
	EXPECT(policy_at_rate(&f, &at, 8, 60) == SCHED_BATCH);
	EXPECT(policy_at_rate(&f, &at, 1, 60000) == SCHED_OTHER);
	EXPECT(policy_at_rate(&f, &at, 2, 60000) == SCHED_OTHER);
	__atomic_store_n(&clock_at, 0, __ATOMIC_RELAXED);
	teardown(&f);
}

struct bad_header {
	const char *what;
	struct virtio_net_hdr_v1 h;
	u32 len;
	u64 features;
};

#define FLAG_ VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TSO (F(CSUM) | F(HOST_TSO4))

static const struct bad_header bad_headers[] = {
	{ "checksum not negotiated", { .flags = FLAG_, .csum_start = 14 }, 60, 0 },
	{ "checksum outside", { .flags = FLAG_, .csum_start = 50,
	  .csum_offset = 9 }, 60, F(CSUM) },
	{ "checksum wraps", { .flags = FLAG_, .csum_start = 0xffff,
	  .csum_offset = 0xffff }, 60, F(CSUM) },
	{ "gso not negotiated", { .flags = FLAG_, .gso_type = 1,
	  .gso_size = 10, .hdr_len = 54 }, 600, F(CSUM) },
	{ "gso without checksum", { .gso_type = 1, .gso_size = 10 }, 600, TSO },
	{ "gso of no size", { .flags = FLAG_, .gso_type = 1 }, 600, TSO },
	{ "gso header too long", { .flags = FLAG_, .gso_type = 1,
	  .gso_size = 10, .hdr_len = 601 }, 600, TSO },
	{ "gso of the other family", { .flags = FLAG_, .gso_type = 4,
	  .gso_size = 10 }, 600, TSO },
	{ "gso unknown", { .flags = FLAG_, .gso_type = 0x33, .gso_size = 10 },
	  600, TSO },
	{ "gso bits", { .flags = FLAG_, .gso_type = 0x7f, .gso_size = 10 },
	  600, TSO | F(HOST_ECN) },
	{ "ecn not negotiated", { .flags = FLAG_, .gso_type = 0x81,
	  .gso_size = 10 }, 600, TSO },
	{ "ecn alone", { .flags = FLAG_, .gso_type = 0x80, .gso_size = 10 },
	  600, TSO | F(HOST_ECN) },
	{ "too short", { .flags = 0 }, 13, 0 },
	{ "empty", { .flags = 0 }, 0, 0 },
};

TEST(net_drops_frames_with_headers_that_lie)
{
	struct fixture f;

	setup_fake(&f, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad_headers); i++) {
		const struct bad_header *b = &bad_headers[i];
		unsigned int before = f.fake->nr_sent;

		driver_ok(&f, b->features);
		send_frame(&f, 0, &plain, 60);
		send_frame(&f, 1, &b->h, b->len);
		send_frame(&f, 2, &plain, 60);
		EXPECT(wait_used(&f, TXQ, 3));
		if (f.fake->nr_sent != before + 2)
			printf("# %s\n", b->what);
		EXPECT(f.fake->nr_sent == before + 2);
		EXPECT(virtio_get_status(f.dev) == 15);
	}
	EXPECT(f.lines == 1);
	teardown(&f);
}

TEST(net_clears_what_it_does_not_know_in_a_header)
{
	struct virtio_net_hdr_v1 h = { .flags = 0xfe, .num_buffers = 77,
				       .gso_size = 9, .hdr_len = 99 };
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, 0);
	send_frame(&f, 0, &h, 60);
	EXPECT(wait_used(&f, TXQ, 1) && f.fake->nr_sent == 1);
	EXPECT(!memcmp(f.fake->sent[0], &plain, sizeof(plain)));
	h = (struct virtio_net_hdr_v1){
		.flags = FLAG_, .gso_type = 0x81, .gso_size = 100,
		.hdr_len = 54, .csum_start = 34, .csum_offset = 16,
	};
	driver_ok(&f, TSO | F(HOST_ECN));
	send_frame(&f, 0, &h, 600);
	EXPECT(wait_used(&f, TXQ, 1) && f.fake->nr_sent == 2);
	EXPECT(!memcmp(f.fake->sent[1], &h, sizeof(h)));
	teardown(&f);
}

static u64 dropped(const struct fixture *f)
{
	const struct net *n = f->dev->priv;

	return __atomic_load_n(&n->dropped, __ATOMIC_RELAXED);
}

/* Of a datagram behind 14, 20 and 8 bytes of headers */
#define USO_HEADER { \
	.flags = FLAG_, .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4, .gso_size = 100, \
	.hdr_len = 42, .csum_start = 34, .csum_offset = 6, \
}

static const struct virtio_net_hdr_v1 uso = USO_HEADER;

#define USO (F(CSUM) | F(HOST_USO))

static const struct bad_header bad_uso[] = {
	{ "not negotiated", USO_HEADER, 600, F(CSUM) },
	{ "other segments negotiated", USO_HEADER, 600,
	  (ALL_OFFLOADS | F(HOST_ECN)) },
	{ "no checksums negotiated", USO_HEADER, 600, F(HOST_USO) },
	{ "no checksum", { .gso_type = 5, .gso_size = 100, .hdr_len = 42 }, 600, USO },
	{ "no size", { .flags = FLAG_, .gso_type = 5, .hdr_len = 42 }, 600, USO },
	{ "header too long", { .flags = FLAG_, .gso_type = 5, .gso_size = 100,
	  .hdr_len = 601 }, 600, USO },
	{ "ecn not negotiated", { .flags = FLAG_, .gso_type = 0x85,
	  .gso_size = 100 }, 600, USO },
	{ "ecn is of TCP", { .flags = FLAG_, .gso_type = 0x85, .gso_size = 100 }, 600,
	  USO | F(HOST_ECN) | TSO },
	{ "fragments of UDP", { .flags = FLAG_, .gso_type = 3, .gso_size = 100 },
	  600, USO },
};

/* A frame behind @h is used up. Return: whether the backend had it as it is. */
static bool goes_out(struct fixture *f, const struct virtio_net_hdr_v1 *h, u32 len)
{
	unsigned int before = f->fake->nr_sent;
	u16 used = vr_used_idx(&f->m, TXQ);

	send_frame(f, used, h, len);
	return wait_used(f, TXQ, (u16)(used + 1)) && f->fake->nr_sent == before + 1 &&
	       f->fake->sent_len[before % KEEP] == HDR + len &&
	       !memcmp(f->fake->sent[before % KEEP], h, sizeof(*h));
}

TEST(net_datagram_segments_go_out_only_as_negotiated)
{
	struct fake *k = fake_make(1, ALL_OFFLOADS | F(HOST_USO));
	struct fixture f;

	setup(&f, &k->b);
	f.fake = k;
	EXPECT(f.dev->offered & F(HOST_USO));
	driver_ok(&f, USO);
	EXPECT(goes_out(&f, &uso, 600) && goes_out(&f, &uso, 142));
	EXPECT(dropped(&f) == 0 && f.lines == 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad_uso); i++) {
		const struct bad_header *b = &bad_uso[i];
		bool out;

		driver_ok(&f, b->features);
		out = goes_out(&f, &b->h, b->len);
		if (out || dropped(&f) != i + 1)
			printf("# %s\n", b->what);
		EXPECT(!out && vr_used_idx(&f.m, TXQ) == 1);
		EXPECT(dropped(&f) == i + 1 && virtio_get_status(f.dev) == 15);
		EXPECT(goes_out(&f, &plain, 60));
	}
	EXPECT(f.lines == 1);
	teardown(&f);
}

/* Nor what the other way round would be. */
TEST(net_datagram_segments_are_offered_as_the_backend_does)
{
	const u64 bits[] = { F(HOST_USO), F(GUEST_USO4), F(GUEST_USO6) };
	struct fixture f;
	struct fake *k;

	setup_fake(&f, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++) {
		EXPECT(!(f.dev->offered & bits[i]));
		driver_ok(&f, ALL_OFFLOADS | bits[i]);
		EXPECT(!(virtio_get_status(f.dev) & VIRTIO_CONFIG_S_FEATURES_OK));
	}
	driver_ok(&f, ALL_OFFLOADS);
	EXPECT(!goes_out(&f, &uso, 600) && dropped(&f) == 1);
	EXPECT(goes_out(&f, &plain, 60));
	teardown(&f);
	k = fake_make(1, ALL_OFFLOADS | bits[0] | bits[1] | bits[2]);
	setup(&f, &k->b);
	driver_ok(&f, F(GUEST_CSUM) | bits[1]);
	EXPECT(k->offloads == (F(GUEST_CSUM) | bits[1]));
	teardown(&f);
}

TEST(net_goes_on_after_a_backend_that_was_full)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, 0);
	f.fake->room = 3;
	for (unsigned int i = 0; i < 8; i++)
		send_frame(&f, i, &plain, 100 + i);
	EXPECT(wait_used(&f, TXQ, 3));
	for (unsigned int i = 0; i < 5; i++) {
		nap();
		EXPECT(vr_used_idx(&f.m, TXQ) == 3 + i);
		pthread_mutex_lock(&f.fake->lock);
		f.fake->room = 1;
		pthread_mutex_unlock(&f.fake->lock);
		fake_event(f.fake);
		EXPECT(wait_used(&f, TXQ, (u16)(4 + i)));
	}
	for (unsigned int i = 0; i < 8; i++)
		EXPECT(f.fake->sent_len[i] == HDR + 100 + i);
	/* What was tried several times has been sent once. */
	EXPECT(f.dev->queue[TXQ].count.out == 8 * (HDR + 100) + 28);
	teardown(&f);
}

/* @nr receive buffers of @len bytes each. */
static void rx_buffers(struct fixture *f, unsigned int first, unsigned int nr,
		       u32 len)
{
	for (unsigned int i = first; i < first + nr; i++) {
		VR_PUT(&f->m, vr_desc(RXQ), i % VR_NUM,
		       VR_DATA + 0x1000ULL * (i % VR_NUM), len, WRITE, 0);
		vr_publish(&f->m, RXQ, (u16)(i % VR_NUM));
	}
	virtio_notify(f->dev, RXQ);
}

/* From the first byte on; what @head does not say is a pattern. */
static void give_headed(struct fixture *f, u32 len, const u8 *head,
			u32 head_len)
{
	struct fake *k = f->fake;
	unsigned int n;
	u8 *frame;

	pthread_mutex_lock(&k->lock);
	n = k->nr_to_give++ % KEEP;
	k->give_len[n] = HDR + len;
	frame = k->give[n];
	memset(frame, 0, HDR);
	memset(frame + HDR, (int)k->nr_to_give, len);
	if (head)
		memcpy(frame + HDR, head, head_len);
	pthread_mutex_unlock(&k->lock);
}

static void give_frame(struct fixture *f, u32 len)
{
	give_headed(f, len, NULL, 0);
}

static u16 num_buffers(struct fixture *f, unsigned int slot)
{
	return *vr_u16(&f->m, VR_DATA + 0x1000ULL * (slot % VR_NUM) + 10);
}

TEST(net_spreads_a_frame_over_mergeable_buffers)
{
	struct fixture f;
	u8 byte = 0;

	setup_fake(&f, 1);
	driver_ok(&f, F(MRG_RXBUF));
	rx_buffers(&f, 0, 8, 600);
	give_frame(&f, 1500);
	give_frame(&f, 100);
	give_frame(&f, 588);
	give_frame(&f, 589);
	fake_event(f.fake);
	EXPECT(wait_used(&f, RXQ, 7));
	EXPECT(num_buffers(&f, 0) == 3 && num_buffers(&f, 3) == 1);
	EXPECT(num_buffers(&f, 4) == 1 && num_buffers(&f, 5) == 2);
	EXPECT(used_len(&f, RXQ, 0) == 600 && used_len(&f, RXQ, 1) == 600 &&
	       used_len(&f, RXQ, 2) == 312 && used_len(&f, RXQ, 3) == 112);
	EXPECT(used_len(&f, RXQ, 5) == 600 && used_len(&f, RXQ, 6) == 1);
	gmem_read(&f.m.g, VR_DATA + 0x2000 + 311, &byte, 1);
	EXPECT(byte == 1);
	teardown(&f);
}

TEST(net_drops_what_does_not_fit)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, 0);
	rx_buffers(&f, 0, 4, 600);
	give_frame(&f, 589);
	give_frame(&f, 588);
	fake_event(f.fake);
	EXPECT(wait_used(&f, RXQ, 1) && used_len(&f, RXQ, 0) == 600);
	EXPECT(num_buffers(&f, 0) == 1 && f.lines == 1);
	driver_ok(&f, F(MRG_RXBUF));
	rx_buffers(&f, 0, 4, 600);
	give_frame(&f, 3000);
	give_frame(&f, 20);
	give_frame(&f, 13);
	give_frame(&f, 20);
	fake_event(f.fake);
	EXPECT(wait_used(&f, RXQ, 2) && used_len(&f, RXQ, 1) == 32);
	EXPECT(f.lines == 1);
	teardown(&f);
}

static void naps(void)
{
	for (unsigned int i = 0; i < 20; i++)
		nap();
}

TEST(net_needs_reset_after_a_chain_without_header)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, 0);
	VR_PUT(&f.m, vr_desc(TXQ), 0, VR_DATA, HDR - 1, 0, 0);
	VR_PUT(&f.m, vr_desc(TXQ), 1, VR_DATA, HDR + 60, 0, 0);
	vr_publish_all(&f.m, TXQ, 0, 2);
	virtio_notify(f.dev, TXQ);
	EXPECT(driver_needs_reset(f.dev) && wait_used(&f, TXQ, 1));
	/* Nothing happens any more. */
	send_frame(&f, 0, &plain, 60);
	naps();
	EXPECT(vr_used_idx(&f.m, TXQ) == 1 && f.fake->nr_sent == 0);
	driver_ok(&f, 0);
	VR_PUT(&f.m, vr_desc(RXQ), 0, VR_DATA, HDR - 1, WRITE, 0);
	vr_publish(&f.m, RXQ, 0);
	virtio_notify(f.dev, RXQ);
	EXPECT(driver_needs_reset(f.dev));
	rx_buffers(&f, 1, 2, 2048);
	give_frame(&f, 60);
	fake_event(f.fake);
	naps();
	EXPECT(vr_used_idx(&f.m, RXQ) == 0);
	driver_ok(&f, 0);
	send_frame(&f, 0, &plain, 60);
	EXPECT(wait_used(&f, TXQ, 1) && f.fake->nr_sent == 1);
	teardown(&f);
}

TEST(net_waits_for_buffers_and_goes_on)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, F(MRG_RXBUF) | BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
	for (unsigned int i = 0; i < 50; i++)
		give_frame(&f, 60);
	fake_event(f.fake);
	for (unsigned int i = 0; i < 50; i++) {
		rx_buffers(&f, i, 1, 2048);
		EXPECT(wait_used(&f, RXQ, (u16)(i + 1)));
	}
	teardown(&f);
}

/* Of two small buffers for the largest frame, while there is always something. */
TEST(net_waits_for_buffers_no_longer_with_events)
{
	struct fixture f;
	bool came = false;

	setup_fake(&f, 1);
	driver_ok(&f, F(MRG_RXBUF));
	rx_buffers(&f, 0, 2, 600);
	give_frame(&f, 60);
	for (unsigned int i = 0; i < 1000 && !came; i++) {
		fake_event(f.fake);
		nap();
		came = vr_used_idx(&f.m, RXQ) == 1;
	}
	EXPECT(came);
	teardown(&f);
}

static u16 config_status(struct fixture *f)
{
	__le16 status;

	virtio_config_read(f->dev, offsetof(struct virtio_net_config, status),
			   &status, sizeof(status));
	return le16toh(status);
}

TEST(net_link_follows_the_backend)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, F(STATUS));
	EXPECT(config_status(&f) == VIRTIO_NET_S_LINK_UP);
	__atomic_store_n(&f.fake->link, false, __ATOMIC_RELEASE);
	fake_event(f.fake);
	EXPECT(WAIT(config_status(&f) == 0) && WAIT(driver_configs(&f.counts) == 1));
	for (unsigned int i = 0; i < 20; i++) {
		send_frame(&f, i, &plain, 60);
		EXPECT(wait_used(&f, TXQ, (u16)(i + 1)));
	}
	EXPECT(!f.fake->nr_sent && virtio_get_status(f.dev) == 15);
	__atomic_store_n(&f.fake->link, true, __ATOMIC_RELEASE);
	fake_event(f.fake);
	EXPECT(WAIT(config_status(&f) == 1) && WAIT(driver_configs(&f.counts) == 2));
	send_frame(&f, 4, &plain, 60);
	EXPECT(wait_used(&f, TXQ, 21) && f.fake->nr_sent == 1);
	for (unsigned int i = 0; i < 50; i++) {
		__atomic_store_n(&f.fake->link, i & 1, __ATOMIC_RELEASE);
		fake_event(f.fake);
		EXPECT(WAIT(config_status(&f) == (i & 1)));
	}
	EXPECT(f.lines <= 16);
	teardown(&f);
}

struct command {
	const char *what;
	u8 class;
	u8 cmd;
	u8 data[32];
	u32 len;
	bool ok;
};

static u16 ctrl_nr;

/* What is at VR_DATA. Return: what the device says to it, -1 when it says nothing */
static int ctrl_send(struct fixture *f, u32 len)
{
	u8 ack = 0x77;

	gmem_write(&f->m.g, VR_DATA + 0x800, &ack, 1);
	VR_PUT(&f->m, vr_desc(CTRLQ), 0, VR_DATA, len, NEXT, 1);
	VR_PUT(&f->m, vr_desc(CTRLQ), 1, VR_DATA + 0x800, 1, WRITE, 0);
	vr_publish(&f->m, CTRLQ, 0);
	virtio_notify(f->dev, CTRLQ);
	if (!wait_used(f, CTRLQ, ++ctrl_nr))
		return -1;
	gmem_read(&f->m.g, VR_DATA + 0x800, &ack, 1);
	return ack;
}

static int command(struct fixture *f, const struct command *c)
{
	u8 hdr[2] = { c->class, c->cmd };

	gmem_write(&f->m.g, VR_DATA, hdr, 2);
	gmem_write(&f->m.g, VR_DATA + 2, c->data, sizeof(c->data));
	return ctrl_send(f, 2 + c->len);
}

#undef CTRL
#define CTRL (F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_RX_EXTRA) | F(CTRL_VLAN) | \
	      F(CTRL_MAC_ADDR) | F(GUEST_ANNOUNCE) | F(CTRL_GUEST_OFFLOADS))

static const struct command commands_list[] = {
	{ "promisc off", 0, 0, { 0 }, 1, true },
	{ "allmulti", 0, 1, { 1 }, 1, true },
	{ "nobcast", 0, 5, { 0 }, 1, true },
	{ "rx unknown", 0, 6, { 0 }, 1, false },
	{ "rx 255", 0, 255, { 0 }, 1, false },
	{ "rx without data", 0, 0, { 0 }, 0, false },
	{ "rx with too much", 0, 0, { 0 }, 2, false },
	{ "class unknown", 200, 0, { 0 }, 1, false },
	{ "class notifications", 6, 0, { 0 }, 8, false },
	{ "table", 1, 0, { 1, 0, 0, 0, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0 }, 14, true },
	{ "table empty", 1, 0, { 0 }, 8, true },
	{ "table torn", 1, 0, { 0 }, 7, false },
	{ "table of nothing", 1, 0, { 0 }, 0, false },
	{ "table count lies", 1, 0, { 2, 0, 0, 0, 2, 2, 2, 2, 2, 2 }, 14, false },
	{ "table count wraps", 1, 0, { 0xff, 0xff, 0xff, 0xff }, 8, false },
	{ "table second wraps", 1, 0, { 0, 0, 0, 0, 0xab, 0xaa, 0xaa, 0xaa },
	  10, false },
	{ "table with a rest", 1, 0, { 0 }, 9, false },
	{ "mac", 1, 1, { 2, 0, 0, 0, 0, 9 }, 6, true },
	{ "mac short", 1, 1, { 2 }, 5, false },
	{ "mac unknown", 1, 2, { 2 }, 6, false },
	{ "vlan add", 2, 0, { 5, 0 }, 2, true },
	{ "vlan del", 2, 1, { 5, 0 }, 2, true },
	{ "vlan 4095", 2, 0, { 0xff, 0x0f }, 2, true },
	{ "vlan 4096", 2, 0, { 0, 0x10 }, 2, false },
	{ "vlan 65535", 2, 1, { 0xff, 0xff }, 2, false },
	{ "vlan unknown", 2, 2, { 5, 0 }, 2, false },
	{ "announce ack", 3, 0, { 0 }, 0, true },
	{ "announce unknown", 3, 1, { 0 }, 0, false },
	{ "mq not negotiated", 4, 0, { 1, 0 }, 2, false },
	{ "offloads", 5, 0, { 2, 0 }, 8, true },
	{ "offloads none", 5, 0, { 0 }, 8, true },
	{ "offloads not negotiated", 5, 0, { 0x82 }, 8, false },
	{ "offloads high", 5, 0, { 0, 0, 0, 0, 0, 0, 0, 0x80 }, 8, false },
	{ "offloads short", 5, 0, { 2 }, 4, false },
};

TEST(net_control_commands_are_checked)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, CTRL | F(GUEST_CSUM));
	ctrl_nr = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(commands_list); i++) {
		const struct command *c = &commands_list[i];
		int ack = command(&f, c);

		if (ack != !c->ok)
			printf("# %s: %d\n", c->what, ack);
		EXPECT(ack == !c->ok);
	}
	EXPECT(virtio_get_status(f.dev) == 15 && f.fake->offloads == 0);
	/* None of them without their features. */
	driver_ok(&f, F(CTRL_VQ));
	ctrl_nr = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(commands_list); i++)
		EXPECT(command(&f, &commands_list[i]) == 1);
	teardown(&f);
}

TEST(net_offloads_that_stay_are_not_set_again)
{
	const struct command set = { .class = 5, .data = { 2 }, .len = 8 };
	const struct command none = { .class = 5, .len = 8 };
	struct fixture f;
	unsigned int before;

	setup_fake(&f, 1);
	driver_ok(&f, CTRL | F(GUEST_CSUM));
	ctrl_nr = 0;
	before = f.fake->nr_offloads;
	for (unsigned int i = 0; i < 8; i++)
		EXPECT(!command(&f, &set) && f.fake->nr_offloads == before);
	EXPECT(!command(&f, &none) && f.fake->nr_offloads == before + 1);
	EXPECT(!command(&f, &none) && f.fake->nr_offloads == before + 1);
	EXPECT(!command(&f, &set) && f.fake->nr_offloads == before + 2);
	teardown(&f);
}

/* As a tap device's host does, and for as long as it is told to. */
static int answering_send(struct net_backend *b, unsigned int port,
			  const struct net_frame *f, unsigned int nr)
{
	struct fake *k = to_fake(b);
	int sent = fake_send(b, port, f, nr);

	pthread_mutex_lock(&k->lock);
	k->give_len[k->nr_to_give++ % KEEP] = HDR + 60;
	pthread_mutex_unlock(&k->lock);
	return sent;
}

/* An answer that is there when sending returns needs neither an event nor a round. */
TEST(net_receives_what_sending_brought)
{
	struct net_ops ops = fake_ops;
	struct fixture f;

	ops.send = answering_send;
	setup_fake(&f, 1);
	f.fake->b.ops = &ops;
	driver_ok(&f, 0);
	rx_buffers(&f, 0, VR_NUM, 700);
	for (unsigned int i = 0; i < 100; i++) {
		send_frame(&f, i, &plain, 60);
		EXPECT(wait_used(&f, TXQ, (u16)(i + 1)));
		EXPECT(wait_used(&f, RXQ, (u16)(i + 1)));
		rx_buffers(&f, i, 1, 700);
	}
	teardown(&f);
}

/* The last of its ports; @tun_first: of several, or -1 */
static int tun_fd = -1, tun_first = -1;
static unsigned long tun_flags;

/* Its kind, offloads that its kernel does not know, what calls fail with, or 0 */
static short tun_kind = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
static unsigned long tun_unknown;
static int tun_errno;
static bool no_buffers;

/* A device made by net_tap_open(), when it is not 0, and whether it is another user's. */
static int tun_mtu;
static bool tun_foreign;

static int socket_ioctl(unsigned long request, struct ifreq *ifr)
{
	int max = 65521;

	if (request == SIOCSIFMTU && (tun_foreign || ifr->ifr_mtu > max)) {
		errno = tun_foreign ? EPERM : EINVAL;
		return -1;
	}
	if (request == SIOCSIFMTU)
		tun_mtu = ifr->ifr_mtu;
	else if (request == SIOCGIFMTU)
		ifr->ifr_mtu = tun_mtu;
	else
		ifr->ifr_flags = IFF_UP;
	return 0;
}

/* In the place of libc's, as below */
int open(const char *path, int flags, ...)
{
	unsigned int mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, unsigned int);
	va_end(ap);
	if (!tun_mtu || strcmp(path, "/dev/net/tun"))
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	tun_first = tun_fd;
	tun_fd = eventfd(0, EFD_CLOEXEC);
	return tun_fd;
}

static int fails(int err)
{
	errno = err;
	return err ? -1 : 0;
}

/* In the place of libc's, for a tap device that is none. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (tun_mtu && (request == SIOCSIFMTU || request == SIOCGIFMTU ||
			request == SIOCGIFFLAGS))
		return socket_ioctl(request, arg);
	switch (fd >= 0 && (fd == tun_fd || fd == tun_first) ? request : 0) {
	case TUNGETFEATURES:
		*(unsigned int *)arg = IFF_VNET_HDR;
		return 0;
	case TUNSETIFF:
		return 0;
	case TUNGETIFF:
		((struct ifreq *)arg)->ifr_flags = tun_kind;
		return fails(tun_errno);
	case TUNSETOFFLOAD:
		if ((unsigned long)arg & tun_unknown)
			return fails(EINVAL);
		tun_flags = (unsigned long)arg;
		return fails(tun_errno);
	case TUNSETQUEUE:
		return 0;
	case TUNSETVNETHDRSZ:
	case TUNSETVNETLE:
		return 0;
	default:
		return (int)syscall(SYS_ioctl, fd, request, arg);
	}
}

TEST(net_tap_takes_datagram_segments_of_both_families_or_none)
{
	const u64 four = F(GUEST_CSUM) | F(GUEST_USO4), both = four | F(GUEST_USO6);
	struct net_backend *b = NULL;
	struct report r = { "" };

	tun_fd = eventfd(0, EFD_CLOEXEC);
	EXPECT(!net_tap_adopt(&b, tun_fd, &r));
	EXPECT(!b->ops->set_offloads(b, both));
	EXPECT(tun_flags == (TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6));
	EXPECT(!b->ops->set_offloads(b, four) && tun_flags == TUN_F_CSUM);
	EXPECT(!b->ops->set_offloads(b, both & ~four) && !tun_flags);
	b->ops->close(b);
	tun_fd = -1;
}

TEST(net_tap_has_the_mtu_that_was_asked_for)
{
	static const struct {
		u32 mtu;
		bool foreign;
		int has;
		int err;
	} cases[] = {
		{ 0, false, 1500, 0 }, { 9000, false, 9000, 0 }, { 1400, false, 1400, 0 },
		{ 65522, false, 1500, -EINVAL }, { 9000, true, 1500, -EPERM },
		{ 1500, true, 1500, 0 }, { 1400, true, 1500, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct net_opts o = {
			.kind = NET_TAP, .ifname = "t0", .mtu = cases[i].mtu,
		};
		struct net_backend *b = NULL;
		struct report r = { "" };

		tun_mtu = 1500;
		tun_foreign = cases[i].foreign;
		EXPECT(net_open(&b, &o, &r) == cases[i].err);
		EXPECT(tun_mtu == cases[i].has);
		EXPECT(!b || b->info.mtu == (o.mtu ? o.mtu : 1500));
		EXPECT(b || strstr(r.msg, "t0: its MTU"));
		net_close(b);
	}
	tun_mtu = 0;
	tun_fd = -1;
}

/* @fd: a socket in the place of the tap device's file; its other end is returned */
static struct net_backend *open_tun(int *fd)
{
	struct net_backend *b = NULL;
	struct report r = { "" };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return NULL;
	tun_fd = pair[0];
	if (net_tap_adopt(&b, pair[0], &r))
		printf("# %s\n", r.msg);
	*fd = pair[1];
	return b;
}

/* How often room was asked for */
static unsigned int rooms;

int epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	if (op == EPOLL_CTL_MOD && ev->events & EPOLLOUT)
		__atomic_add_fetch(&rooms, 1, __ATOMIC_RELAXED);
	return (int)syscall(SYS_epoll_ctl, ep, op, fd, ev);
}

/* Frames that come wake up once, and room only while there is none. */
TEST(net_tap_watches_for_room_while_it_is_full)
{
	u8 data[HDR + 60] = { 0 };
	struct iovec iov = { data, sizeof(data) };
	const struct net_frame f = { .iov = &iov, .nr = 1, .len = sizeof(data) };
	int fd = -1, ep = epoll_create1(EPOLL_CLOEXEC);
	struct net_backend *b = open_tun(&fd);
	struct epoll_event ev;

	EXPECT(!b->ops->watch(b, 0, ep, 7, 8) && !epoll_wait(ep, &ev, 1, 0));
	for (unsigned int round = 0; round < 3; round++) {
		EXPECT(send(fd, data, sizeof(data), 0) == sizeof(data));
		EXPECT(b->ops->recv(b, 0, &iov, 1) == sizeof(data));
		EXPECT(!epoll_wait(ep, &ev, 1, 0));
		rooms = 0;
		while (b->ops->send(b, 0, &f, 1) == 1)
			;
		/* A tap device tells only those of room who found none after the last. */
		EXPECT(!b->ops->send(b, 0, &f, 1) && rooms == 2);
		epoll_wait(ep, &ev, 1, 0);
		EXPECT(!epoll_wait(ep, &ev, 1, 0));
		while (recv(fd, data, sizeof(data), 0) > 0)
			;
		EXPECT(epoll_wait(ep, &ev, 1, 1000) == 1 && ev.data.u64 == 7);
		EXPECT(ev.events & EPOLLOUT && b->ops->send(b, 0, &f, 1) == 1);
	}
	b->ops->close(b);
	tun_fd = -1;
	close(fd);
	close(ep);
}

/* A frame that the peer reads is no event, but for who waits for room. */
TEST(net_packet_watches_for_room_while_it_is_full)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_DGRAM };
	u8 data[60] = { 0 };
	struct iovec iov = { data, sizeof(data) };
	const struct net_frame f = { .iov = &iov, .nr = 1, .len = sizeof(data) };
	struct report r = { "" };
	struct epoll_event ev;

	for (unsigned int i = 0; i < 6; i++) {
		int fd[2], ep = epoll_create1(EPOLL_CLOEXEC);
		struct net_backend *b = NULL;

		EXPECT(!socketpair(AF_UNIX, types[i & 1] | SOCK_CLOEXEC, 0, fd));
		EXPECT(!net_packet_adopt(&b, fd[0], "pair", &r));
		EXPECT(!b->ops->watch(b, 0, ep, 7, 8));
		for (unsigned int j = 0; j < 3; j++) {
			EXPECT(b->ops->send(b, 0, &f, 1) == 1);
			epoll_wait(ep, &ev, 1, 0);
			EXPECT(recv(fd[1], data, sizeof(data), MSG_DONTWAIT) == sizeof(data));
			EXPECT(!epoll_wait(ep, &ev, 1, 0));
			while (b->ops->send(b, 0, &f, 1) == 1)
				;
			while (recv(fd[1], data, sizeof(data), MSG_DONTWAIT) > 0)
				;
			EXPECT(epoll_wait(ep, &ev, 1, 1000) == 1 && ev.events & EPOLLOUT);
		}
		b->ops->close(b);
		close(fd[1]);
		close(ep);
	}
}

/* The host's kernel has no memory just now, and will not tell when it has. */
ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (__atomic_load_n(&no_buffers, __ATOMIC_RELAXED)) {
		errno = ENOBUFS;
		return -1;
	}
	return syscall(SYS_sendmsg, fd, m, flags);
}

TEST(net_packet_without_memory_is_a_frame_that_is_lost)
{
	struct net_backend *b = NULL;
	struct report r = { "" };
	u8 data[60] = { 0 };
	struct iovec iov = { data, sizeof(data) };
	const struct net_frame f = { .iov = &iov, .nr = 1, .len = sizeof(data) };
	int fd[2];

	EXPECT(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd));
	EXPECT(!net_open(&b, &(struct net_opts){ .kind = NET_FD, .fd = fd[0] }, &r));
	__atomic_store_n(&no_buffers, true, __ATOMIC_RELAXED);
	EXPECT(b->ops->send(b, 0, &f, 1) == 1);
	__atomic_store_n(&no_buffers, false, __ATOMIC_RELAXED);
	EXPECT(b->ops->send(b, 0, &f, 1) == 1 && recv(fd[1], data, 60, 0) == 60);
	b->ops->close(b);
	close(fd[1]);
}

/* What one end says is no end, of those that keep frames apart; what is an end is one. */
TEST(net_packet_peers_end_when_they_are_gone)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_DGRAM };
	static u8 data[60000];

	for (unsigned int i = 0; i < 2; i++) {
		struct iovec iov = { data, sizeof(data) }, head = { data, 100 };
		const struct net_frame f = { .iov = &head, .nr = 1, .len = 100 };
		const struct net_frame large = { .iov = &iov, .nr = 1, .len = sizeof(data) };
		struct net_backend *b = NULL;
		struct report r = { "" };
		unsigned int tries = 0;
		int fd[2], room = 5000;

		EXPECT(!socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, fd));
		EXPECT(!net_packet_adopt(&b, fd[0], "pair", &r) && net_link(b));
		/* A datagram of nothing, one that is cut, and one that there is no room for */
		if (types[i] == SOCK_DGRAM) {
			EXPECT(!send(fd[1], data, 0, 0) && net_link(b));
			EXPECT(b->ops->recv(b, 0, &head, 1) == 0 && net_link(b));
		}
		EXPECT(send(fd[1], data, 300, 0) == 300);
		EXPECT(b->ops->recv(b, 0, &head, 1) == 300);
		EXPECT(b->ops->recv(b, 0, &head, 1) == -EAGAIN);
		setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
		EXPECT(b->ops->send(b, 0, &large, 1) == 1 && net_link(b));
		EXPECT(b->ops->send(b, 0, &f, 1) == 1);
		EXPECT(recv(fd[1], data, sizeof(data), 0) == 100);
		close(fd[1]);
		while (tries < 10 && b->ops->send(b, 0, &f, 1) == 1)
			tries++;
		EXPECT(tries == (types[i] == SOCK_DGRAM) && !net_link(b));
		EXPECT(b->ops->recv(b, 0, &head, 1) == -ENOLINK);
		b->ops->close(b);
	}
}

static size_t drain(int fd, u8 *to, size_t len)
{
	size_t got = 0;
	ssize_t n;

	while (got < len && (n = recv(fd, to + got, len - got, MSG_DONTWAIT)) > 0)
		got += (size_t)n;
	return got;
}

/* At its beginning, that is; what has begun goes on once there is memory. */
TEST(net_stream_without_memory_is_a_frame_that_is_lost)
{
	static u8 data[60000], in[4 + sizeof(data)];
	struct iovec iov = { data, sizeof(data) };
	const struct net_frame f = { .iov = &iov, .nr = 1, .len = sizeof(data) };
	int fd[2], room = 1, ep = epoll_create1(EPOLL_CLOEXEC);
	struct net_backend *b = NULL;
	struct epoll_event ev;
	struct report r = { "" };
	size_t got;

	EXPECT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	EXPECT(!net_open(&b, &(struct net_opts){ .kind = NET_FD, .fd = fd[0] }, &r));
	EXPECT(!b->ops->watch(b, 0, ep, 7, 8));
	__atomic_store_n(&no_buffers, true, __ATOMIC_RELAXED);
	EXPECT(b->ops->send(b, 0, &f, 1) == 1 && !drain(fd[1], in, sizeof(in)));
	__atomic_store_n(&no_buffers, false, __ATOMIC_RELAXED);
	EXPECT(b->ops->send(b, 0, &f, 1) == 1);
	got = drain(fd[1], in, sizeof(in));
	EXPECT(got && got < sizeof(in));
	epoll_wait(ep, &ev, 1, 0);
	__atomic_store_n(&no_buffers, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 3; i++) {
		EXPECT(!b->ops->flush(b, 0) && !b->ops->send(b, 0, &f, 1));
		EXPECT(epoll_wait(ep, &ev, 1, 1000) == 1);
	}
	__atomic_store_n(&no_buffers, false, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 1000 && got < sizeof(in); i++) {
		EXPECT(!b->ops->flush(b, 0));
		got += drain(fd[1], in + got, sizeof(in) - got);
	}
	EXPECT(got == sizeof(in) && b->ops->link(b));
	b->ops->close(b);
	close(fd[1]);
	close(ep);
}

/* How many calls fail that receive, and with what. */
static int recv_errors, recv_errno;

static bool recv_fails(void)
{
	if (!recv_errors)
		return false;
	recv_errors--;
	errno = recv_errno;
	return true;
}

ssize_t readv(int fd, const struct iovec *iov, int nr)
{
	return recv_fails() ? -1 : syscall(SYS_readv, fd, iov, nr);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	return recv_fails() ? -1 : syscall(SYS_recvmsg, fd, m, flags);
}

/* What the kernel says of a port that is not attached it says of a device that is gone. */
TEST(net_tap_that_is_gone_is_no_port_that_rests)
{
	struct net_opts o = { .kind = NET_TAP, .ifname = "t0", .pairs = 2 };
	unsigned int before = open_files();
	struct net_backend *b = NULL;
	u8 data[HDR + 60] = { 0 };
	struct iovec iov = { data, sizeof(data) };
	struct report r = { "" };

	tun_mtu = 60;
	EXPECT(!net_open(&b, &o, &r) && b->info.pairs == 2 && !b->info.mtu);
	EXPECT(b->ops->fd(b) == -1 && net_link(b));
	recv_errno = EBADFD;
	recv_errors = 1;
	EXPECT(b->ops->recv(b, 1, &iov, 1) == -EAGAIN && net_link(b));
	EXPECT(!b->ops->set_pairs(b, 2));
	tun_errno = EBADFD;
	EXPECT(!b->ops->set_offloads(b, 0));
	tun_errno = EIO;
	EXPECT(b->ops->set_offloads(b, 0) == -EIO && net_link(b));
	tun_errno = 0;
	recv_errors = 1;
	EXPECT(b->ops->recv(b, 1, &iov, 1) == -ENOLINK && !net_link(b));
	net_close(b);
	/* With vhost nobody else asks. */
	tun_first = -1;
	tun_fd = -1;
	o.pairs = 1;
	EXPECT(!net_open(&b, &o, &r) && b->ops->fd(b) == tun_fd && net_link(b));
	tun_errno = EBADFD;
	EXPECT(!net_link(b));
	tun_errno = 0;
	EXPECT(!net_link(b));
	net_close(b);
	tun_mtu = 0;
	tun_first = -1;
	tun_fd = -1;
	EXPECT(open_files() == before);
}

TEST(net_tap_is_asked_what_it_is_and_can)
{
	static const struct {
		unsigned long unknown;
		u64 offers;
	} cases[] = {
		{ 0, ALL_OFFLOADS | F(GUEST_USO4) | F(HOST_USO) },
		{ TUN_F_UFO, (ALL_OFFLOADS & ~F(HOST_UFO)) | F(GUEST_USO4) | F(HOST_USO) },
		{ TUN_F_USO4 | TUN_F_USO6, ALL_OFFLOADS }, { TUN_F_TSO4, 0 },
	};
	static const short kinds[] = { IFF_TUN | IFF_NO_PI, IFF_TAP, IFF_TUN };
	const u64 all = cases[0].offers;
	struct net_backend *b = NULL;
	struct report r = { "" };

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		tun_unknown = cases[i].unknown;
		tun_fd = eventfd(0, EFD_CLOEXEC);
		tun_flags = 1;
		EXPECT(!net_tap_adopt(&b, tun_fd, &r) && b->info.vnet_hdr);
		EXPECT((b->info.offloads & all) == cases[i].offers && !tun_flags);
		net_close(b);
	}
	tun_unknown = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		tun_kind = kinds[i];
		tun_fd = eventfd(0, EFD_CLOEXEC);
		EXPECT(net_tap_adopt(&b, tun_fd, &r) && strstr(r.msg, "not a tap device"));
		close(tun_fd);
	}
	/* One without headers has no offloads. */
	tun_kind = IFF_TAP | IFF_NO_PI;
	tun_fd = eventfd(0, EFD_CLOEXEC);
	EXPECT(!net_tap_adopt(&b, tun_fd, &r) && !b->info.vnet_hdr && !b->info.offloads);
	net_close(b);
	tun_kind |= IFF_VNET_HDR;
	tun_fd = -1;
}

/* What is behind it came before, and no event tells of it. */
TEST(net_an_error_is_not_the_last_of_a_queue)
{
	u8 data[HDR + 60] = { 0 };
	struct iovec iov = { data, sizeof(data) };
	struct report r = { "" };
	struct net_backend *b;
	int fd[2];

	for (unsigned int i = 0; i < 2; i++) {
		b = NULL;
		if (i) {
			EXPECT(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd));
			EXPECT(!net_packet_adopt(&b, fd[0], "dgram", &r));
		} else {
			b = open_tun(&fd[1]);
		}
		EXPECT(send(fd[1], data, sizeof(data), 0) == sizeof(data));
		EXPECT(send(fd[1], data, sizeof(data), 0) == sizeof(data));
		recv_errors = 1;
		recv_errno = i ? ECONNREFUSED : EINVAL;
		EXPECT(b->ops->recv(b, 0, &iov, 1) == 0);
		EXPECT(b->ops->recv(b, 0, &iov, 1) == sizeof(data));
		EXPECT(b->ops->recv(b, 0, &iov, 1) == sizeof(data));
		EXPECT(b->ops->recv(b, 0, &iov, 1) == -EAGAIN);
		b->ops->close(b);
		close(fd[1]);
	}
	tun_fd = -1;
}

TEST(net_needs_reset_after_a_command_without_answer)
{
	static const struct vring_desc bad[][2] = {
		{ { VR_DATA, 8, 0, 0 }, { 0, 0, 0, 0 } },
		{ { VR_DATA, 1, NEXT, 1 }, { VR_DATA, 1, WRITE, 0 } },
		{ { VR_DATA, 8, WRITE, 0 }, { 0, 0, 0, 0 } },
	};
	struct fixture f;

	setup_fake(&f, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		driver_ok(&f, CTRL);
		vr_put(&f.m, vr_desc(CTRLQ), 0, &bad[i][0]);
		vr_put(&f.m, vr_desc(CTRLQ), 1, &bad[i][1]);
		vr_publish(&f.m, CTRLQ, 0);
		virtio_notify(f.dev, CTRLQ);
		EXPECT(driver_needs_reset(f.dev));
	}
	teardown(&f);
}

/* Give a frame for @mac; whether it came through. A known one follows it. */
static bool comes_through(struct fixture *f, const u8 mac[6], u16 vlan)
{
	static const u8 ours[] = { 2, 1, 2, 3, 4, 5 };
	u8 tag[16] = { [12] = 0x81, [14] = vlan >> 8, [15] = vlan & 0xff };
	u16 before = vr_used_idx(&f->m, RXQ);

	rx_buffers(f, before, 2, 2048);
	memcpy(tag, mac, 6);
	give_headed(f, 60, tag, vlan ? 16 : 6);
	give_headed(f, 61, ours, 6);
	fake_event(f->fake);
	if (!WAIT(vr_used_idx(&f->m, RXQ) != before &&
		  used_len(f, RXQ, vr_used_idx(&f->m, RXQ) - 1U) == HDR + 61))
		return false;
	return (u16)(vr_used_idx(&f->m, RXQ) - before) == 2;
}

TEST(net_filters_what_the_driver_does_not_want)
{
	static const u8 ours[] = { 2, 1, 2, 3, 4, 5 }, other[] = { 2, 9 },
		group[] = { 3, 3 }, all[] = { 255, 255, 255, 255, 255, 255 };
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, CTRL);
	ctrl_nr = 0;
	EXPECT(comes_through(&f, (const u8[6]) { 2, 9 }, 0));
	command(&f, &(struct command){ .cmd = 0, .data = { 0 }, .len = 1 });
	EXPECT(comes_through(&f, ours, 0) && comes_through(&f, all, 0));
	EXPECT(!comes_through(&f, (const u8[6]) { other[0], other[1] }, 0));
	EXPECT(!comes_through(&f, (const u8[6]) { group[0], group[1] }, 0));
	EXPECT(!comes_through(&f, ours, 7) && comes_through(&f, ours, 0xe000));
	command(&f, &(struct command){ .class = 2, .data = { 7 }, .len = 2 });
	EXPECT(comes_through(&f, ours, 7) && !comes_through(&f, ours, 8));
	command(&f, &(struct command){ .class = 1, .len = 20, .data = {
		1, 0, 0, 0, 2, 9, 0, 0, 0, 0, 1, 0, 0, 0, 3, 3, 0, 0, 0, 0 } });
	EXPECT(comes_through(&f, (const u8[6]) { 2, 9 }, 0));
	EXPECT(comes_through(&f, (const u8[6]) { 3, 3 }, 0));
	EXPECT(!comes_through(&f, (const u8[6]) { 3, 4 }, 0));
	command(&f, &(struct command){ .cmd = 5, .data = { 1 }, .len = 1 });
	EXPECT(!comes_through(&f, all, 0));
	teardown(&f);
}

TEST(net_queue_pairs_are_the_drivers_choice)
{
	static const struct {
		u16 pairs;
		bool ok;
	} tries[] = { { 2, true }, { 0, false }, { 4, true }, { 5, false },
		      { 0xffff, false }, { 1, true } };
	struct fixture f;

	setup_fake(&f, 4);
	EXPECT(f.dev->nr_queues == 9);
	driver_ok(&f, CTRL);
	EXPECT(f.fake->pairs == 1);
	/* Without MQ commands come on the third queue. */
	ctrl_nr = 0;
	EXPECT(!command(&f, &commands_list[0]));
	driver_ok(&f, CTRL | F(MQ));
	for (unsigned int i = 0; i < ARRAY_SIZE(tries); i++) {
		u8 d[4] = { 4, 0, tries[i].pairs & 0xff, tries[i].pairs >> 8 };
		u8 ack = 0x77;

		gmem_write(&f.m.g, VR_DATA, d, 4);
		VR_PUT(&f.m, vr_desc(8), 0, VR_DATA, 4, NEXT, 1);
		VR_PUT(&f.m, vr_desc(8), 1, VR_DATA + 8, 1, WRITE, 0);
		vr_publish(&f.m, 8, 0);
		virtio_notify(f.dev, 8);
		EXPECT(wait_used(&f, 8, (u16)(i + 1)));
		gmem_read(&f.m.g, VR_DATA + 8, &ack, 1);
		EXPECT(ack == !tries[i].ok);
		if (tries[i].ok)
			EXPECT(f.fake->pairs == tries[i].pairs);
	}
	teardown(&f);
}

static u32 max_frame(const struct fixture *f)
{
	const struct net *n = f->dev->priv;

	return __atomic_load_n(&n->max_frame, __ATOMIC_RELAXED);
}

/* What a backend has no use for the driver hears nothing of. */
TEST(net_offers_what_the_backend_has)
{
	static const struct {
		u64 offloads;
		u32 mtu;
		unsigned int pairs;
		u64 has;
		u64 has_not;
	} cases[] = {
		{ 0, 0, 1, F(MAC) | F(STATUS) | F(CTRL_VQ) | F(MRG_RXBUF) | F(CTRL_RX) |
		  F(CTRL_VLAN) | F(CTRL_RX_EXTRA) | F(CTRL_MAC_ADDR) | F(GUEST_ANNOUNCE),
		  F(MTU) | F(MQ) | F(CTRL_GUEST_OFFLOADS) | ALL_OFFLOADS },
		{ F(CSUM), 0, 1, F(CSUM) | F(CTRL_GUEST_OFFLOADS), F(GUEST_CSUM) | F(MTU) },
		{ 0, 9000, 1, F(MTU), F(MQ) | F(CTRL_GUEST_OFFLOADS) },
		{ ALL_OFFLOADS, 70000, 2, F(MTU) | F(MQ) | ALL_OFFLOADS, 0 },
	};
	struct virtio_net_config c;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake *k = fake_make(cases[i].pairs, cases[i].offloads);
		struct fixture f;
		struct net *n;

		k->b.info.mtu = cases[i].mtu;
		setup(&f, &k->b);
		EXPECT((f.dev->offered & cases[i].has) == cases[i].has);
		EXPECT(!(f.dev->offered & cases[i].has_not));
		virtio_config_read(f.dev, 0, &c, offsetof(struct virtio_net_config, speed));
		EXPECT(c.mtu == MIN(cases[i].mtu, 65535U) && c.mac[5] == 5);
		EXPECT(c.max_virtqueue_pairs == cases[i].pairs);
		/* With vhost nobody filters, and it says itself whether it can merge. */
		n = f.dev->priv;
		n->nr_vhosts = 1;
		EXPECT(!(virtio_net_class.features(f.dev) &
			 (F(MRG_RXBUF) | F(CTRL_RX) | F(CTRL_RX_EXTRA) | F(CTRL_VLAN))));
		n->vhost[0].features = F(MRG_RXBUF);
		EXPECT(virtio_net_class.features(f.dev) & F(MRG_RXBUF));
		n->nr_vhosts = 0;
		teardown(&f);
	}
}

/* A frame that cannot be longer than the MTU needs no more room. */
TEST(net_waits_for_no_more_room_than_frames_need)
{
	static const struct {
		u32 mtu;
		bool headers;
		u64 offloads;
		u32 max;
	} cases[] = {
		{ 1500, true, 0, HDR + 22 + 1500 }, { 0, true, 0, HDR + 22 + 1500 },
		{ 9000, true, F(GUEST_CSUM), HDR + 22 + 9000 },
		{ 70000, true, 0, HDR + 22 + 65535 }, { 0, false, 0, HDR + 22 + 65535 },
		{ 1500, false, 0, HDR + 22 + 1500 },
		{ 1500, true, F(GUEST_TSO4), HDR + 22 + 65535 },
		{ 1500, true, F(GUEST_TSO6), HDR + 22 + 65535 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake *k = fake_make(1, ALL_OFFLOADS);
		struct fixture f;

		k->b.info.mtu = cases[i].mtu;
		k->b.info.vnet_hdr = cases[i].headers;
		setup(&f, &k->b);
		driver_ok(&f, F(MRG_RXBUF) | cases[i].offloads);
		EXPECT(max_frame(&f) == cases[i].max);
		teardown(&f);
	}
}

TEST(net_address_of_its_own_is_local_and_no_groups)
{
	struct fixture f;
	u8 mac[4][6];

	for (unsigned int i = 0; i < 4; i++) {
		struct virtio_net_opts o = { .backend = &fake_make(1, 0)->b };

		setup_fake(&f, 1);
		virtio_device_free(f.dev);
		EXPECT(!virtio_device_create(&f.dev, &virtio_net_class, "net0", &o, &f.env,
					     NULL));
		virtio_config_read(f.dev, 0, mac[i], 6);
		EXPECT(mac[i][0] == 2 && !i == !memcmp(mac[i], mac[0], 6));
		teardown(&f);
	}
}

/* What commands switched off stays so, until there is another driver. */
TEST(net_offloads_outlast_a_pause_and_no_reset)
{
	const struct command set = { .class = 5, .data = { 2 }, .len = 8 };
	const u64 both = F(GUEST_CSUM) | F(GUEST_TSO4);
	struct state_out out = { 0 };
	struct state_in in;
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, CTRL | both);
	ctrl_nr = 0;
	EXPECT(f.fake->offloads == both && max_frame(&f) > 60000);
	EXPECT(!command(&f, &set) && f.fake->offloads == F(GUEST_CSUM));
	EXPECT(max_frame(&f) < 2000);
	f.fake->offloads = 0;
	EXPECT(!virtio_device_pause(f.dev) && !virtio_device_resume(f.dev));
	EXPECT(f.fake->offloads == F(GUEST_CSUM));
	EXPECT(!virtio_device_pause(f.dev));
	virtio_device_save(f.dev, &out);
	virtio_device_free(f.dev);
	f.fake = fake_make(1, ALL_OFFLOADS);
	device_make(&f, &f.fake->b);
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(!virtio_device_restore(f.dev, &in) && !virtio_device_resume(f.dev));
	EXPECT(f.fake->offloads == F(GUEST_CSUM) && max_frame(&f) < 2000);
	driver_ok(&f, CTRL | both);
	EXPECT(f.fake->offloads == both && max_frame(&f) > 60000);
	state_out_free(&out);
	teardown(&f);
}

/* Offsets in what a network device saves, behind its version */
enum {
	AT_MAC = 4, AT_PAIRS = 10, AT_CONFIGURED = 12, AT_OFFLOADS = 13, AT_FILTER = 21,
	AT_MODES = AT_FILTER + 6, AT_UNICAST = AT_MODES + 8, AT_MULTICAST, AT_TABLE,
	AT_VLAN = AT_TABLE + 6 * NET_MAX_MACS, STATE_LEN = AT_VLAN + NET_VLANS / 8,
};

/* Whether the device takes it; if not it is as before, if so it says the same. */
static bool takes_state(struct test *t, struct fixture *f, const u8 *state, size_t len)
{
	struct state_out before = { 0 }, after = { 0 };
	struct state_in in = { .buf = state, .len = len };
	bool ok;

	virtio_net_class.save(f->dev, &before);
	ok = !virtio_net_class.restore(f->dev, &in);
	virtio_net_class.save(f->dev, &after);
	EXPECT(after.len == STATE_LEN && before.len == STATE_LEN);
	EXPECT(!memcmp(after.buf, ok ? state : before.buf, STATE_LEN));
	state_out_free(&before);
	state_out_free(&after);
	return ok;
}

TEST(net_state_of_somebody_else_is_checked)
{
	static const struct {
		unsigned int at;
		u8 value;
		bool ok;
	} cases[] = {
		{ 0, 2, false }, { AT_PAIRS, 0, false }, { AT_PAIRS, 4, true },
		{ AT_PAIRS, 5, false }, { AT_PAIRS + 1, 1, false },
		{ AT_CONFIGURED, 2, false }, { AT_OFFLOADS, 0x82, false },
		{ AT_OFFLOADS + 7, 0x80, false }, { AT_OFFLOADS, 2, true },
		{ AT_UNICAST, 61, true }, { AT_UNICAST, 62, false },
		{ AT_MULTICAST, 62, true }, { AT_MULTICAST, 63, false },
		{ AT_MULTICAST, 255, false },
	};
	struct fixture f;
	u8 state[STATE_LEN], copy[STATE_LEN];

	setup_fake(&f, 4);
	driver_ok(&f, CTRL | F(MQ) | F(GUEST_CSUM));
	EXPECT(!virtio_device_pause(f.dev));
	for (unsigned int i = 0; i < STATE_LEN; i++)
		state[i] = (u8)(i * 7);
	memcpy(state, "\1\0\0\0", 4);
	memcpy(state + AT_PAIRS, "\3\0\1\2\0\0\0\0\0\0\0", 11);
	for (unsigned int one = 0; one < 8; one++) {
		for (unsigned int i = 0; i < 8; i++)
			state[AT_MODES + i] = i == one;
		state[AT_UNICAST] = 2;
		state[AT_MULTICAST] = 3;
		EXPECT(takes_state(t, &f, state, STATE_LEN));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		memcpy(copy, state, STATE_LEN);
		copy[cases[i].at] = cases[i].value;
		EXPECT(takes_state(t, &f, copy, STATE_LEN) == cases[i].ok);
	}
	for (size_t len = 0; len < STATE_LEN; len++)
		EXPECT(!takes_state(t, &f, state, len));
	/* One pair and no announcement for a driver that knows of no more */
	driver_ok(&f, CTRL & ~F(GUEST_ANNOUNCE));
	memcpy(state + AT_PAIRS, "\2\0\1\0\0\0\0\0\0\0\0", 11);
	EXPECT(!takes_state(t, &f, state, STATE_LEN));
	memcpy(state + AT_PAIRS, "\1\0\0\2\0\0\0\0\0\0\0", 11);
	EXPECT(takes_state(t, &f, state, STATE_LEN));
	EXPECT(!virtio_device_resume(f.dev));
	ctrl_nr = 0;
	EXPECT(!command(&f, &commands_list[0]) && config_status(&f) == 1);
	teardown(&f);
}

/* Nor what it was to be told of, whether it has been or not. */
TEST(net_announcement_is_not_the_next_drivers)
{
	struct state_out out = { 0 };
	struct state_in in;
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, CTRL | F(STATUS));
	EXPECT(!virtio_device_pause(f.dev));
	virtio_device_save(f.dev, &out);
	for (unsigned int i = 0; i < 2; i++) {
		in = (struct state_in){ .buf = out.buf, .len = out.len };
		EXPECT(!virtio_device_restore(f.dev, &in));
		if (i)
			EXPECT(!virtio_device_resume(f.dev) && WAIT(config_status(&f) == 3));
		virtio_set_status(f.dev, 0);
		virtio_device_resume(f.dev);
		driver_ok(&f, CTRL | F(STATUS));
		ctrl_nr = 0;
		EXPECT(!command(&f, &commands_list[0]) && config_status(&f) == 1);
		EXPECT(!virtio_device_pause(f.dev));
	}
	state_out_free(&out);
	teardown(&f);
}

/* Whether the filter as it is now takes a frame to @a, with @b its last byte and a tag. */
static bool wanted(struct fixture *f, u8 a, u8 b, u32 tag)
{
	const struct net *n = f->dev->priv;
	u8 head[18] = {
		[0] = a, [5] = b, [12] = (u8)(tag >> 24), [13] = (u8)(tag >> 16),
		[14] = (u8)(tag >> 8), [15] = (u8)tag,
	};

	if (a == 255)
		memset(head, 255, 6);
	return net_filter_accepts(n, &n->filter, head);
}

static int rx_mode(struct fixture *f, u8 mode, u8 on)
{
	return command(f, &(struct command){ .cmd = mode, .data = { on }, .len = 1 });
}

TEST(net_modes_say_what_comes_through)
{
	/* To its own address, another, a group, all */
	static const struct {
		u8 mode;
		bool on[4];
	} cases[] = {
		{ VIRTIO_NET_CTRL_RX_PROMISC, { true, true, true, true } },
		{ VIRTIO_NET_CTRL_RX_ALLMULTI, { true, false, true, true } },
		{ VIRTIO_NET_CTRL_RX_ALLUNI, { true, true, false, true } },
		{ VIRTIO_NET_CTRL_RX_NOMULTI, { true, false, false, true } },
		{ VIRTIO_NET_CTRL_RX_NOUNI, { false, false, false, true } },
		{ VIRTIO_NET_CTRL_RX_NOBCAST, { true, false, false, false } },
	};
	struct command mac = { .class = 1, .cmd = 1, .len = 6, .data = { 4, 0, 0, 0, 0, 9 } };
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, CTRL);
	ctrl_nr = 0;
	EXPECT(!command(&f, &mac) && !rx_mode(&f, VIRTIO_NET_CTRL_RX_PROMISC, 0));
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		const bool *on = cases[i].on;

		EXPECT(!rx_mode(&f, cases[i].mode, 1));
		EXPECT(wanted(&f, 4, 9, 0) == on[0] && wanted(&f, 4, 8, 0) == on[1]);
		EXPECT(wanted(&f, 5, 9, 0) == on[2] && wanted(&f, 255, 255, 0) == on[3]);
		EXPECT(!rx_mode(&f, cases[i].mode, 0));
		EXPECT(wanted(&f, 4, 9, 0) && !wanted(&f, 4, 8, 0));
	}
	/* What says no is stronger. */
	EXPECT(!rx_mode(&f, VIRTIO_NET_CTRL_RX_ALLMULTI, 1));
	EXPECT(!rx_mode(&f, VIRTIO_NET_CTRL_RX_NOMULTI, 1) && !wanted(&f, 5, 9, 0));
	driver_ok(&f, CTRL & ~F(CTRL_RX_EXTRA));
	ctrl_nr = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		EXPECT(rx_mode(&f, cases[i].mode, 0) == (i > 1));
	teardown(&f);
}

TEST(net_filters_tags_of_their_own_kind)
{
	struct command add = { .class = 2, .len = 2 };
	struct command del = { .class = 2, .cmd = 1, .len = 2 };
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, CTRL);
	ctrl_nr = 0;
	rx_mode(&f, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	for (unsigned int i = 8; i < 16; i++) {
		add.data[0] = (u8)i;
		EXPECT(!command(&f, &add));
	}
	del.data[0] = 9;
	EXPECT(!command(&f, &del));
	for (unsigned int i = 7; i < 17; i++)
		EXPECT(wanted(&f, 255, 0, 0x81000000 | i) == (i > 7 && i < 16 && i != 9));
	/* With a priority, and the bit behind it; of another VLAN by a bit; not a tag */
	EXPECT(wanted(&f, 255, 0, 0x8100f008) && !wanted(&f, 255, 0, 0x81000108));
	EXPECT(wanted(&f, 255, 0, 0x8100f000) && !wanted(&f, 255, 0, 0x81000808));
	EXPECT(wanted(&f, 255, 0, 0x81370009) && wanted(&f, 255, 0, 0x08000009));
	driver_ok(&f, CTRL & ~F(CTRL_VLAN));
	ctrl_nr = 0;
	rx_mode(&f, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	EXPECT(wanted(&f, 255, 0, 0x81000009));
	teardown(&f);
}

/* Addresses 2:0:0:0:0:N, then groups 3:0:0:0:0:N, N from 1 on */
static int set_macs(struct fixture *f, u32 unicast, u32 multicast)
{
	u8 d[2 + 8 + 6 * 2 * 66] = { 1, 0 };
	u32 nr[2] = { unicast, multicast }, at = 2;

	for (unsigned int list = 0; list < 2; list++) {
		memcpy(d + at, &nr[list], 4);
		at += 4;
		for (u32 i = 1; i <= nr[list]; i++, at += 6) {
			d[at] = (u8)(2 + list);
			d[at + 5] = (u8)i;
		}
	}
	gmem_write(&f->m.g, VR_DATA, d, at);
	return ctrl_send(f, at);
}

/* A list that is too long lets all of its kind through, and the other one counts. */
TEST(net_lists_of_addresses_are_as_long_as_there_is_room)
{
	static const struct {
		u8 nr[2];
		bool all[2];
	} cases[] = {
		{ { 0, 0 }, { false, false } }, { { 64, 0 }, { false, false } },
		{ { 0, 64 }, { false, false } }, { { 40, 24 }, { false, false } },
		{ { 40, 25 }, { false, true } }, { { 40, 60 }, { false, true } },
		{ { 64, 1 }, { false, true } }, { { 65, 0 }, { true, false } },
		{ { 65, 64 }, { true, false } }, { { 66, 65 }, { true, true } },
		{ { 1, 1 }, { false, false } },
	};
	static const u8 none[NET_VLANS / 8];
	const struct net *n;
	struct fixture f;

	setup_fake(&f, 1);
	n = f.dev->priv;
	driver_ok(&f, CTRL);
	ctrl_nr = 0;
	rx_mode(&f, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT(!set_macs(&f, cases[i].nr[0], cases[i].nr[1]));
		for (unsigned int list = 0; list < 2; list++)
			for (unsigned int j = 0; j < 70; j++)
				EXPECT(wanted(&f, (u8)(2 + list), (u8)j, 0) ==
				       (cases[i].all[list] || (j && j <= cases[i].nr[list])));
		EXPECT(n->filter.nr_unicast + n->filter.nr_multicast <= NET_MAX_MACS);
		EXPECT(!memcmp(n->filter.vlan, none, sizeof(none)));
	}
	teardown(&f);
}

static int set_pairs(struct fixture *f, u16 pairs, u16 *used)
{
	const u8 d[4] = { 4, 0, pairs & 0xff, pairs >> 8 };
	unsigned int q = f->dev->nr_queues - 1;
	u8 ack = 0x77;

	gmem_write(&f->m.g, VR_DATA, d, sizeof(d));
	VR_PUT(&f->m, vr_desc(q), 0, VR_DATA, sizeof(d), NEXT, 1);
	VR_PUT(&f->m, vr_desc(q), 1, VR_DATA + 8, 1, WRITE, 0);
	vr_publish(&f->m, q, 0);
	virtio_notify(f->dev, q);
	if (!wait_used(f, q, ++*used))
		return -1;
	gmem_read(&f->m.g, VR_DATA + 8, &ack, 1);
	return ack;
}

/* Whether a frame of the second pair's goes out */
static bool second_sends(struct fixture *f)
{
	unsigned int before = f->fake->nr_sent;
	u16 used = vr_used_idx(&f->m, 3);

	VR_PUT(&f->m, vr_desc(3), 0, VR_DATA + 0x1000, HDR + 60, 0, 0);
	vr_publish(&f->m, 3, 0);
	virtio_notify(f->dev, 3);
	return wait_used(f, 3, (u16)(used + 1)) && f->fake->nr_sent == before + 1;
}

TEST(net_pairs_that_are_not_in_use_send_nothing)
{
	struct fixture f;
	u16 used = 0;

	setup_fake(&f, 2);
	driver_ok(&f, CTRL | F(MQ));
	EXPECT(!second_sends(&f) && dropped(&f) == 1);
	EXPECT(!set_pairs(&f, 2, &used) && second_sends(&f));
	/* What the backend refuses stays as it was. */
	f.fake->fail_pairs = true;
	EXPECT(set_pairs(&f, 1, &used) == 1 && second_sends(&f));
	f.fake->fail_pairs = false;
	EXPECT(!virtio_device_pause(f.dev) && !virtio_device_resume(f.dev));
	EXPECT(f.fake->pairs == 2 && second_sends(&f));
	driver_ok(&f, CTRL | F(MQ));
	EXPECT(f.fake->pairs == 1 && !second_sends(&f) && dropped(&f) == 2);
	teardown(&f);
}

static bool watch_fails;

static int failing_watch(struct net_backend *b, unsigned int port, int epfd,
			 u64 cookie, u64 comes)
{
	return port && watch_fails ? -ENOSPC : fake_watch(b, port, epfd, cookie, comes);
}

/* Without pairs, and without the thread of the second; and without a device at all. */
TEST(net_that_cannot_start_leaves_nothing)
{
	struct net_ops ops = fake_ops;
	unsigned int before;
	struct fixture f;

	ops.watch = failing_watch;
	setup_fake(&f, 2);
	f.fake->b.ops = &ops;
	before = open_files();
	for (unsigned int i = 0; i < 3; i++) {
		watch_fails = i & 1;
		f.fake->fail_pairs = !watch_fails;
		driver_ok(&f, CTRL | F(MQ));
		EXPECT(virtio_get_status(f.dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
		EXPECT(open_files() == before);
	}
	f.fake->link = false;
	driver_ok(&f, CTRL | F(MQ));
	EXPECT(virtio_get_status(f.dev) == 15 && WAIT(config_status(&f) == 0));
	virtio_set_status(f.dev, 0);
	f.fake->link = true;
	f.fake->fail_pairs = false;
	driver_ok(&f, CTRL);
	EXPECT(WAIT(config_status(&f) == 1));
	send_frame(&f, 0, &plain, 60);
	EXPECT(wait_used(&f, TXQ, 1) && f.fake->nr_sent == 1);
	virtio_set_status(f.dev, 0);
	EXPECT(open_files() == before);
	teardown(&f);
}

static void set_room(struct fixture *f, unsigned int room)
{
	pthread_mutex_lock(&f->fake->lock);
	f->fake->room = room;
	pthread_mutex_unlock(&f->fake->lock);
}

static u32 used_id(struct fixture *f, unsigned int q, unsigned int i)
{
	struct vring_used_elem e;

	gmem_read(&f->m.g, vr_used(q) + 4 + 8 * (i % VR_NUM), &e, sizeof(e));
	return e.id;
}

/* How often events were waited for, or asked for */
static unsigned int waits;

int epoll_wait(int ep, struct epoll_event *ev, int max, int timeout)
{
	__atomic_add_fetch(&waits, 1, __ATOMIC_RELAXED);
	return (int)syscall(SYS_epoll_wait, ep, ev, max, timeout);
}

/* A frame that is none stands between others, and goes back with them. */
TEST(net_waits_for_room_in_order_and_in_peace)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
	f.fake->room = 0;
	for (unsigned int i = 0; i < 4; i++)
		send_frame(&f, i, &plain, i == 1 ? 13 : 100 + i);
	naps();
	__atomic_store_n(&waits, 0, __ATOMIC_RELAXED);
	naps();
	EXPECT(vr_used_idx(&f.m, TXQ) == 0);
	EXPECT(__atomic_load_n(&waits, __ATOMIC_RELAXED) < 10);
	/* There is room by the time that it goes on, and nothing tells. */
	EXPECT(!virtio_device_pause(f.dev));
	set_room(&f, 1);
	EXPECT(!virtio_device_resume(f.dev));
	EXPECT(wait_used(&f, TXQ, 2) && f.fake->nr_sent == 1);
	set_room(&f, 10);
	fake_event(f.fake);
	EXPECT(wait_used(&f, TXQ, 4) && f.fake->nr_sent == 3);
	for (unsigned int i = 0; i < 4; i++)
		EXPECT(used_id(&f, TXQ, i) == i);
	EXPECT(f.fake->sent_len[1] == HDR + 102 && f.fake->sent_len[2] == HDR + 103);
	teardown(&f);
}

/* @nr pieces of a byte each behind a header, in the table of slot @i */
static void put_pieces(struct fixture *f, unsigned int i, unsigned int nr)
{
	u64 table = VR_DATA + 0x1000ULL * i, data = 0x80000 + 0x1000ULL * i;

	gmem_write(&f->m.g, data, &plain, HDR);
	for (unsigned int j = 0; j < nr; j++) {
		u8 byte = (u8)(i + 3 * j);

		gmem_write(&f->m.g, data + HDR + j, &byte, 1);
		VR_PUT(&f->m, table, j, j ? data + HDR + j : data, j ? 1 : HDR + 1,
		       j < nr - 1 ? NEXT : 0, j + 1);
	}
	VR_PUT(&f->m, vr_desc(TXQ), i, table, nr * 16, VRING_DESC_F_INDIRECT, 0);
}

/* More than fit at once, and as many as fit in two ways */
static const unsigned int many_pieces[] = { 256, 256, 256, 253, 255, 256, 252, 14, 256, 256 };

TEST(net_sends_frames_of_many_pieces_and_of_the_largest_size)
{
	const unsigned int *nr = many_pieces;
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC));
	for (unsigned int i = 0; i < ARRAY_SIZE(many_pieces); i++)
		put_pieces(&f, i, nr[i]);
	vr_publish_all(&f.m, TXQ, 0, ARRAY_SIZE(many_pieces));
	virtio_notify(f.dev, TXQ);
	EXPECT(wait_used(&f, TXQ, ARRAY_SIZE(many_pieces)));
	EXPECT(f.fake->nr_sent == ARRAY_SIZE(many_pieces));
	for (unsigned int i = 0; i < ARRAY_SIZE(many_pieces); i++) {
		EXPECT(f.fake->sent_len[i] == HDR + nr[i] && used_id(&f, TXQ, i) == i);
		for (unsigned int j = 0; j < nr[i]; j++)
			EXPECT(f.fake->sent[i][HDR + j] == (u8)(i + 3 * j));
	}
	for (u32 more = 0; more < 2; more++) {
		gmem_write(&f.m.g, 0x70000, &plain, HDR);
		VR_PUT(&f.m, vr_desc(TXQ), 0, 0x70000, HDR + NET_MAX_FRAME + more, 0, 0);
		vr_publish(&f.m, TXQ, 0);
		virtio_notify(f.dev, TXQ);
		EXPECT(wait_used(&f, TXQ, (u16)(ARRAY_SIZE(many_pieces) + 1 + more)));
		EXPECT(f.fake->nr_sent == ARRAY_SIZE(many_pieces) + 1 && dropped(&f) == more);
	}
	teardown(&f);
}

/* As with EVENT_IDX: whether the driver is to kick for its next buffer */
static bool kick_is_asked_for(struct fixture *f, unsigned int q)
{
	u16 *event = vr_u16(&f->m, vr_used(q) + 4 + 8 * VR_NUM);

	return WAIT(__atomic_load_n(event, __ATOMIC_ACQUIRE) ==
		    *vr_u16(&f->m, vr_avail(q) + 2));
}

TEST(net_asks_for_kicks_where_it_waits)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, CTRL | BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
	ctrl_nr = 0;
	for (unsigned int i = 0; i < 3; i++) {
		rx_buffers(&f, i, 1, 2048);
		give_frame(&f, 60);
		fake_event(f.fake);
		EXPECT(wait_used(&f, RXQ, (u16)(i + 1)) && kick_is_asked_for(&f, RXQ));
		send_frame(&f, i, &plain, 60);
		EXPECT(wait_used(&f, TXQ, (u16)(i + 1)) && kick_is_asked_for(&f, TXQ));
		EXPECT(!rx_mode(&f, 0, 1) && kick_is_asked_for(&f, CTRLQ));
	}
	teardown(&f);
}

/* No event tells of either: sending finds out. */
TEST(net_link_is_looked_at_when_there_is_something_to_send)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, F(STATUS));
	for (u16 i = 0; i < 4; i++) {
		__atomic_store_n(&f.fake->link, i & 1, __ATOMIC_RELEASE);
		send_frame(&f, i, &plain, 60);
		EXPECT(wait_used(&f, TXQ, (u16)(i + 1)) && WAIT(config_status(&f) == (i & 1)));
	}
	teardown(&f);
}

/* A file that knows no ioctl stands for vhost; the tap device is there, and gone. */
TEST(net_answers_commands_without_vhost_that_runs)
{
	struct fixture f;
	struct net *n;

	setup_fake(&f, 1);
	n = f.dev->priv;
	n->nr_vhosts = 1;
	vhost_init(&n->vhost[0], f.dev);
	n->vhost[0].fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (unsigned int i = 0; i < 2; i++) {
		f.fake->link = !i;
		driver_ok(&f, CTRL);
		EXPECT(virtio_get_status(f.dev) == 15 && WAIT(config_status(&f) == 0));
		ctrl_nr = 0;
		EXPECT(!command(&f, &commands_list[0]));
	}
	EXPECT(!virtio_device_pause(f.dev) && !virtio_device_resume(f.dev));
	EXPECT(!command(&f, &commands_list[0]));
	EXPECT(virtio_get_status(f.dev) == 15 && config_status(&f) == 0);
	teardown(&f);
}

TEST(net_pause_loses_and_repeats_nothing)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, F(MRG_RXBUF));
	rx_buffers(&f, 0, VR_NUM, 700);
	for (unsigned int i = 0; i < 60; i++) {
		send_frame(&f, i, &plain, 60 + i);
		give_frame(&f, 60 + i);
		fake_event(f.fake);
		if (i % 3 == 0) {
			EXPECT(!virtio_device_pause(f.dev));
			EXPECT(f.dev->queue[RXQ].last_avail ==
			       vr_used_idx(&f.m, RXQ));
			EXPECT(f.dev->queue[TXQ].last_avail ==
			       vr_used_idx(&f.m, TXQ));
			EXPECT(!virtio_device_resume(f.dev));
		}
		EXPECT(wait_used(&f, TXQ, (u16)(i + 1)));
		EXPECT(wait_used(&f, RXQ, (u16)(i + 1)));
		EXPECT(used_len(&f, RXQ, i) == HDR + 60 + i);
		rx_buffers(&f, VR_NUM + i, 1, 700);
	}
	EXPECT(f.fake->nr_sent == 60);
	teardown(&f);
}

/* There is always a frame, which takes its time, and is none that anybody wants. */
static ssize_t slow_recv(struct net_backend *b, unsigned int port,
			 const struct iovec *iov, unsigned int nr)
{
	(void)port;
	(void)iov;
	(void)nr;
	__atomic_add_fetch(&to_fake(b)->nr_given, 1, __ATOMIC_RELAXED);
	nap();
	return 0;
}

TEST(net_pause_of_a_busy_interface_waits_for_one_round)
{
	struct net_ops ops = fake_ops;
	unsigned int before = 0;
	struct fixture f;

	ops.recv = slow_recv;
	setup_fake(&f, 1);
	f.fake->b.ops = &ops;
	driver_ok(&f, 0);
	rx_buffers(&f, 0, 4, 2048);
	/* A round is 64, and may have just begun. More than once: not by chance. */
	for (unsigned int i = 0; i < 3; i++) {
		EXPECT(WAIT(__atomic_load_n(&f.fake->nr_given, __ATOMIC_RELAXED) > before));
		before = __atomic_load_n(&f.fake->nr_given, __ATOMIC_RELAXED);
		EXPECT(!virtio_device_pause(f.dev));
		EXPECT(f.fake->nr_given - before <= 2 * 64);
		before = f.fake->nr_given;
		EXPECT(!virtio_device_resume(f.dev));
	}
	teardown(&f);
}

/**
 * struct flow - numbered frames both ways, and how far they are
 * @in: number of the next that the driver takes; @in_used: of its ring
 * @given, @out: numbers of those the backend is to give, the driver sent
 * @copy: of guest memory
 */
struct flow {
	struct fixture *f;
	unsigned int in;
	unsigned int given;
	unsigned int out;
	u16 in_used;
	u16 out_used;
	u8 *copy;
};

enum again { RESUMED, RESTORED, RESTORED_ELSEWHERE, NR_AGAIN };

#define OUT_DATA (VR_DATA + 0x10000ULL)
#define FLOW_LEN(n) (60 + (n) % 40)

/* As the backend sends: to be told apart by their lengths and what they are full of. */
static void flow_give(struct flow *w, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		give_frame(w->f, FLOW_LEN(w->given++));
	fake_event(w->f->fake);
}

static void flow_send(struct flow *w, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++, w->out++) {
		unsigned int slot = w->out % VR_NUM;
		u64 at = OUT_DATA + 0x100ULL * slot;
		u8 frame[HDR + FLOW_LEN(39)] = { 0 };

		memset(frame + HDR, (int)w->out, sizeof(frame) - HDR);
		gmem_write(&w->f->m.g, at, frame, sizeof(frame));
		VR_PUT(&w->f->m, vr_desc(TXQ), slot, at, HDR + FLOW_LEN(w->out), 0, 0);
		vr_publish(&w->f->m, TXQ, (u16)slot);
	}
	virtio_notify(w->f->dev, TXQ);
}

/* One that arrived, its buffer for the next. Return: whether it is the next. */
static bool flow_take_one(struct flow *w)
{
	u32 want = HDR + FLOW_LEN(w->in);
	struct vring_used_elem e;
	u8 got[HDR + FLOW_LEN(39)];
	bool ok;

	gmem_read(&w->f->m.g, vr_used(RXQ) + 4 + 8 * (w->in_used++ % VR_NUM), &e,
		  sizeof(e));
	gmem_read(&w->f->m.g, VR_DATA + 0x1000ULL * (e.id % VR_NUM), got, sizeof(got));
	ok = e.len == want && got[HDR] == (u8)(w->in + 1) &&
	     got[want - 1] == (u8)(w->in + 1);
	if (!ok)
		printf("# frame %u: %u bytes of %u\n", w->in, e.len, got[HDR] - 1U);
	w->in++;
	rx_buffers(w->f, e.id, 1, 700);
	return ok;
}

/* Until all has. Return: once each and in order, and nothing behind it. */
static bool flow_arrived(struct flow *w)
{
	bool ok = true;

	while (w->in < w->given && ok) {
		ok = WAIT(vr_used_idx(&w->f->m, RXQ) != w->in_used);
		while (ok && vr_used_idx(&w->f->m, RXQ) != w->in_used)
			ok = flow_take_one(w);
	}
	nap();
	return ok && w->in == w->given && vr_used_idx(&w->f->m, RXQ) == w->in_used;
}

static bool flow_went(const struct flow *w)
{
	const struct fake *k = w->f->fake;
	bool ok = wait_used(w->f, TXQ, (u16)w->out) && k->nr_sent == w->out;

	for (unsigned int i = w->out - MIN(w->out, 8U); ok && i < w->out; i++)
		ok = k->sent_len[i % KEEP] == HDR + FLOW_LEN(i) &&
		     k->sent[i % KEEP][HDR] == (u8)i;
	return ok;
}

static void memory_copy(struct flow *w)
{
	for (unsigned int i = 0; i < 2; i++)
		memcpy(w->copy + i * VR_HALF, w->f->m.half[i], VR_HALF);
}

static bool memory_same(const struct flow *w)
{
	return !memcmp(w->copy, w->f->m.half[0], VR_HALF) &&
	       !memcmp(w->copy + VR_HALF, w->f->m.half[1], VR_HALF);
}

/* A device that is as the paused one was: it, or another with its backend. */
static bool set_aside(struct fixture *f, enum again how, struct net_backend *b)
{
	struct state_out out = { 0 };
	struct state_in in;
	bool ok;

	if (how == RESUMED)
		return true;
	virtio_device_save(f->dev, &out);
	if (how == RESTORED_ELSEWHERE) {
		virtio_device_free(f->dev);
		device_make(f, b);
	}
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	ok = !virtio_device_restore(f->dev, &in) && in.pos == out.len;
	state_out_free(&out);
	return ok;
}

/* Frames come and go before a pause, in it, and in the middle of its beginning. */
static void pause_in_flow(struct test *t, struct flow *w, enum again how)
{
	struct fixture *f = w->f;
	unsigned int given, sent, signals;

	flow_give(w, 5);
	flow_send(w, 3);
	EXPECT(!virtio_device_pause(f->dev));
	flow_send(w, 4);
	memory_copy(w);
	given = f->fake->nr_given;
	sent = f->fake->nr_sent;
	signals = f->counts.signals;
	flow_give(w, 20);
	EXPECT(set_aside(f, how, &f->fake->b));
	flow_give(w, 3);
	virtio_notify(f->dev, RXQ);
	virtio_notify(f->dev, TXQ);
	for (unsigned int i = 0; i < 5; i++)
		nap();
	EXPECT(memory_same(w) && f->counts.signals == signals);
	EXPECT(f->fake->nr_given == given && f->fake->nr_sent == sent);
	EXPECT(!virtio_device_resume(f->dev));
	EXPECT(flow_arrived(w) && flow_went(w));
}

TEST(net_pause_keeps_frames_and_leaves_memory_alone)
{
	static const u64 features[] = {
		0, F(MRG_RXBUF), F(MRG_RXBUF) | BIT_ULL(VIRTIO_RING_F_EVENT_IDX),
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		struct fixture f;
		struct flow w = { .f = &f, .copy = malloc(2 * VR_HALF) };

		setup_fake(&f, 1);
		f.fake->stays = true;
		driver_ok(&f, features[i]);
		rx_buffers(&f, 0, VR_NUM, 700);
		for (unsigned int j = 0; j < 4 * NR_AGAIN; j++)
			pause_in_flow(t, &w, j % NR_AGAIN);
		EXPECT(f.lines == 0 && dropped(&f) == 0);
		f.fake->stays = false;
		teardown(&f);
		free(w.copy);
	}
}

TEST(net_state_survives_and_reset_forgets_it)
{
	struct command set_mac = {
		.class = 1, .cmd = 1, .len = 6, .data = { 2, 0, 0, 0, 0, 7 },
	};
	struct state_out a = { 0 };
	struct state_in in;
	struct fixture f;
	u8 mac[6];

	setup_fake(&f, 1);
	driver_ok(&f, CTRL | F(STATUS));
	ctrl_nr = 0;
	command(&f, &(struct command){ .cmd = 0, .data = { 0 }, .len = 1 });
	command(&f, &set_mac);
	virtio_device_pause(f.dev);
	virtio_device_save(f.dev, &a);
	virtio_device_free(f.dev);
	f.fake = fake_make(1, ALL_OFFLOADS);
	device_make(&f, &f.fake->b);
	in = (struct state_in){ .buf = a.buf, .len = a.len };
	EXPECT(!virtio_device_restore(f.dev, &in) && in.pos == a.len);
	virtio_config_read(f.dev, 0, mac, 6);
	EXPECT(mac[5] == 7 && !(config_status(&f) & VIRTIO_NET_S_ANNOUNCE));
	virtio_device_resume(f.dev);
	EXPECT(WAIT(config_status(&f) == 3) && WAIT(driver_configs(&f.counts) == 1));
	EXPECT(!command(&f, &(struct command){ .class = 3 }));
	EXPECT(config_status(&f) == 1);
	/* Once */
	EXPECT(!virtio_device_pause(f.dev) && !virtio_device_resume(f.dev));
	EXPECT(!command(&f, &(struct command){ .class = 3 }) && config_status(&f) == 1);
	EXPECT(driver_configs(&f.counts) == 1);
	EXPECT(wanted(&f, 2, 7, 0) && !wanted(&f, 2, 9, 0));
	driver_ok(&f, CTRL);
	virtio_config_read(f.dev, 0, mac, 6);
	EXPECT(mac[1] == 1 && comes_through(&f, (const u8[6]) { 2, 9 }, 0));
	/* Bytes of it wrong in turn: refused, or taken, and alive. */
	for (size_t i = 0; i < a.len; i += i < 100 ? 1 : 17) {
		a.buf[i] ^= 0xff;
		in = (struct state_in){ .buf = a.buf, .len = a.len };
		virtio_device_pause(f.dev);
		virtio_device_restore(f.dev, &in);
		virtio_device_resume(f.dev);
		a.buf[i] ^= 0xff;
	}
	state_out_free(&a);
	driver_ok(&f, 0);
	send_frame(&f, 0, &plain, 60);
	EXPECT(wait_used(&f, TXQ, 1));
	teardown(&f);
}

/* A stream socket, and what is at its other end. */
/* @room: of its socket, 0 for the usual; a little of it is less than a frame */
static int setup_stream_of(struct fixture *f, int room)
{
	struct net_backend *b;
	struct report r = { "" };
	struct net_opts o = { .kind = NET_FD };
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return -1;
	if (room)
		setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	o.fd = fd[0];
	if (net_open(&b, &o, &r)) {
		printf("# %s\n", r.msg);
		return -1;
	}
	setup(f, b);
	return fd[1];
}

static int setup_stream(struct fixture *f)
{
	return setup_stream_of(f, 0);
}

static bool read_all(int fd, void *buf, size_t len)
{
	return recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

TEST(net_stream_has_a_length_before_each_frame)
{
	struct fixture f;
	u8 buf[4 + 100];
	int fd = setup_stream(&f);

	driver_ok(&f, F(MRG_RXBUF));
	for (unsigned int i = 0; i < 30; i++) {
		send_frame(&f, i % VR_NUM, &plain, 60 + i);
		EXPECT(wait_used(&f, TXQ, (u16)(i + 1)));
	}
	for (unsigned int i = 0; i < 30; i++) {
		EXPECT(read_all(fd, buf, 64 + i));
		EXPECT(!buf[0] && !buf[1] && !buf[2] && buf[3] == 60 + i);
		EXPECT(buf[4] == i % VR_NUM);
	}
	rx_buffers(&f, 0, 16, 300);
	memset(buf, 0xab, sizeof(buf));
	for (unsigned int i = 0; i < 8; i++) {
		const u8 head[4] = { 0, 0, 0, 100 };

		memcpy(buf, head, 4);
		EXPECT(write(fd, buf, sizeof(buf)) == sizeof(buf));
	}
	EXPECT(wait_used(&f, RXQ, 8) && used_len(&f, RXQ, 7) == HDR + 100);
	close(fd);
	EXPECT(WAIT(config_status(&f) == 0));
	send_frame(&f, 0, &plain, 60);
	EXPECT(wait_used(&f, TXQ, 31));
	teardown(&f);
}

TEST(net_stream_takes_frames_of_many_pieces)
{
	struct timeval patience = { .tv_sec = 10 };
	struct fixture f;
	u8 buf[4 + 256];
	int fd = setup_stream(&f);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	driver_ok(&f, BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC));
	for (unsigned int i = 0; i < ARRAY_SIZE(many_pieces); i++)
		put_pieces(&f, i, many_pieces[i]);
	vr_publish_all(&f.m, TXQ, 0, ARRAY_SIZE(many_pieces));
	virtio_notify(f.dev, TXQ);
	for (unsigned int i = 0; i < ARRAY_SIZE(many_pieces); i++) {
		unsigned int nr = many_pieces[i];

		EXPECT(read_all(fd, buf, 4 + nr));
		EXPECT(buf[2] == nr >> 8 && buf[3] == (u8)nr);
		for (unsigned int j = 0; j < nr; j++)
			EXPECT(buf[4 + j] == (u8)(i + 3 * j));
	}
	EXPECT(wait_used(&f, TXQ, ARRAY_SIZE(many_pieces)));
	close(fd);
	teardown(&f);
}

TEST(net_stream_frame_in_pieces_survives_pauses)
{
	u8 msg[4 + 2000] = { 0, 0, 2000 >> 8, 2000 & 0xff };
	struct fixture f;
	u8 got[2000];
	int fd = setup_stream(&f);

	driver_ok(&f, F(MRG_RXBUF));
	rx_buffers(&f, 0, 16, 700);
	for (unsigned int i = 0; i < 2000; i++)
		msg[4 + i] = (u8)(i * 13);
	for (size_t i = 0; i < sizeof(msg); i++) {
		EXPECT(write(fd, msg + i, 1) == 1);
		if (i % 333 == 0) {
			nap();
			virtio_device_pause(f.dev);
			EXPECT(f.dev->queue[RXQ].last_avail == 0);
			virtio_device_resume(f.dev);
		}
	}
	EXPECT(wait_used(&f, RXQ, 3) && num_buffers(&f, 0) == 3);
	gmem_read(&f.m.g, VR_DATA + HDR, got, 700 - HDR);
	gmem_read(&f.m.g, VR_DATA + 0x1000, got + 688, 700);
	gmem_read(&f.m.g, VR_DATA + 0x2000, got + 1388, 612);
	EXPECT(!memcmp(got, msg + 4, 2000));
	/* Its driver may go away in the middle, and the next wants less. */
	EXPECT(write(fd, msg, 1500) == 1500);
	nap();
	driver_ok(&f, 0);
	rx_buffers(&f, 0, 4, 700);
	EXPECT(write(fd, msg + 1500, 504) == 504);
	msg[2] = 0;
	msg[3] = 60;
	EXPECT(write(fd, msg, 64) == 64);
	EXPECT(wait_used(&f, RXQ, 1) && used_len(&f, RXQ, 0) == HDR + 60);
	/* Or more: of the one that was cut nothing is left. */
	msg[2] = 2000 >> 8;
	msg[3] = 2000 & 0xff;
	EXPECT(write(fd, msg, 1500) == 1500);
	naps();
	driver_ok(&f, F(MRG_RXBUF));
	rx_buffers(&f, 0, 16, 700);
	EXPECT(write(fd, msg + 1500, 504) == 504);
	msg[2] = 0;
	msg[3] = 60;
	EXPECT(write(fd, msg, 64) == 64);
	EXPECT(wait_used(&f, RXQ, 1) && used_len(&f, RXQ, 0) == HDR + 60);
	close(fd);
	teardown(&f);
}

/* What came of a frame is the backend's once its buffers are the next driver's. */
TEST(net_stream_frame_in_pieces_outlasts_its_driver)
{
	u8 msg[4 + 2000] = { 0, 0, 2000 >> 8, 2000 & 0xff };
	struct fixture f;
	u8 got[2000];
	int fd = setup_stream(&f);

	for (unsigned int i = 0; i < 2000; i++)
		msg[4 + i] = (u8)(i * 13);
	driver_ok(&f, F(MRG_RXBUF));
	rx_buffers(&f, 0, 4, 700);
	EXPECT(write(fd, msg, 1000) == 1000);
	/* Of the second buffer, 308 bytes */
	EXPECT(WAIT(*(u8 *)gmem_ptr(&f.m.g, VR_DATA + 0x1000 + 307, 1) == msg[999]));
	driver_ok(&f, F(MRG_RXBUF));
	memset(gmem_ptr(&f.m.g, VR_DATA, 0x4000), 0xee, 0x4000);
	rx_buffers(&f, 4, 4, 700);
	EXPECT(write(fd, msg + 1000, 1004) == 1004);
	EXPECT(wait_used(&f, RXQ, 3) && num_buffers(&f, 4) == 3);
	gmem_read(&f.m.g, VR_DATA + 0x4000 + HDR, got, 700 - HDR);
	gmem_read(&f.m.g, VR_DATA + 0x5000, got + 688, 700);
	gmem_read(&f.m.g, VR_DATA + 0x6000, got + 1388, 612);
	EXPECT(!memcmp(got, msg + 4, 2000));
	close(fd);
	teardown(&f);
}

/* Pieces of a byte: the fourth chain has no room in the window, and will not have. */
TEST(net_window_that_cannot_grow_is_taken)
{
	struct fixture f;

	setup_fake(&f, 1);
	driver_ok(&f, F(MRG_RXBUF) | BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC));
	for (unsigned int i = 0; i < 4; i++) {
		u64 table = VR_DATA + 0x1000ULL * i;

		for (unsigned int j = 0; j < 256; j++)
			VR_PUT(&f.m, table, j, VR_DATA + 0x8000 + i * 256 + j, 1,
			       WRITE | (j < 255 ? NEXT : 0), j + 1);
		VR_PUT(&f.m, vr_desc(RXQ), i, table, 256 * 16,
		       VRING_DESC_F_INDIRECT, 0);
		vr_publish(&f.m, RXQ, (u16)i);
	}
	virtio_notify(f.dev, RXQ);
	give_frame(&f, 60);
	fake_event(f.fake);
	EXPECT(wait_used(&f, RXQ, 1) && used_len(&f, RXQ, 0) == HDR + 60);
	teardown(&f);
}

/* What flow_give() is for a socket of @type */
static bool flow_write(struct flow *w, int fd, int type, unsigned int nr)
{
	bool ok = true;

	for (unsigned int i = 0; ok && i < nr; i++) {
		u8 msg[4 + FLOW_LEN(39)] = { [3] = (u8)FLOW_LEN(w->given) };
		unsigned int head = type == SOCK_STREAM ? 0 : 4;
		ssize_t len = 4 + FLOW_LEN(w->given) - head;

		w->given++;
		memset(msg + 4, (int)w->given, sizeof(msg) - 4);
		ok = send(fd, msg + head, (size_t)len, MSG_DONTWAIT) == len;
	}
	return ok;
}

static struct net_backend *open_fd(int fd)
{
	struct net_opts o = { .kind = NET_FD, .fd = fd };
	struct net_backend *b = NULL;
	struct report r = { "" };

	if (net_open(&b, &o, &r))
		printf("# %s\n", r.msg);
	return b;
}

/* @fd: the device's end, to be had once more, and the other one */
static void pause_at_a_socket(struct test *t, struct flow *w, const int fd[2],
			      int type, enum again how)
{
	struct net_backend *b = NULL;

	EXPECT(flow_write(w, fd[1], type, 4));
	EXPECT(!virtio_device_pause(w->f->dev));
	memory_copy(w);
	EXPECT(flow_write(w, fd[1], type, 20));
	if (how == RESTORED_ELSEWHERE)
		b = open_fd(dup(fd[0]));
	EXPECT(set_aside(w->f, how, b));
	EXPECT(flow_write(w, fd[1], type, 4));
	virtio_notify(w->f->dev, RXQ);
	for (unsigned int i = 0; i < 5; i++)
		nap();
	EXPECT(memory_same(w));
	EXPECT(!virtio_device_resume(w->f->dev));
	EXPECT(flow_arrived(w));
}

/* A part of a stream is the backend's, and nowhere else. */
TEST(net_frames_in_a_socket_outlast_a_pause)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++) {
		struct fixture f;
		struct flow w = { .f = &f, .copy = malloc(2 * VR_HALF) };
		int nr = types[i] == SOCK_STREAM ? RESTORED_ELSEWHERE : NR_AGAIN;
		int fd[2];

		EXPECT(!socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, fd));
		setup(&f, open_fd(dup(fd[0])));
		driver_ok(&f, F(MRG_RXBUF));
		rx_buffers(&f, 0, VR_NUM, 700);
		for (int j = 0; j < 4 * nr; j++)
			pause_at_a_socket(t, &w, fd, types[i], j % nr);
		EXPECT(f.lines == 0);
		teardown(&f);
		close(fd[0]);
		close(fd[1]);
		free(w.copy);
	}
}

TEST(net_stream_with_a_bad_length_is_gone)
{
	static const u8 bad[][4] = { { 0, 0, 0, 0 }, { 0, 0, 0, 13 }, { 0, 1, 0, 0x16 },
				     { 0, 1, 1, 0 }, { 255, 255, 255, 255 } };

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fixture f;
		int fd = setup_stream(&f);

		driver_ok(&f, F(MRG_RXBUF));
		rx_buffers(&f, 0, 4, 2048);
		EXPECT(write(fd, bad[i], 4) == 4);
		EXPECT(WAIT(config_status(&f) == 0));
		EXPECT(vr_used_idx(&f.m, RXQ) == 0);
		close(fd);
		teardown(&f);
	}
}

/* One by one, until one is not taken soon. Return: how many were. */
static unsigned int fill_socket(struct fixture *f)
{
	unsigned int sent;

	for (sent = 0; sent < 400; sent++) {
		send_frame(f, sent, &plain, 4000);
		for (unsigned int i = 0; i < 30 && vr_used_idx(&f->m, TXQ) != (u16)(sent + 1); i++)
			nap();
		if (vr_used_idx(&f->m, TXQ) != (u16)(sent + 1))
			break;
	}
	return sent;
}

/* Nobody reads and nobody hangs up: that the link is lost is all there is to know. */
TEST(net_stream_that_is_lost_while_full_drops_the_rest)
{
	struct fixture f;
	unsigned int sent;
	int fd = setup_stream(&f);

	EXPECT(write(fd, "\xff\xff\xff\xff", 4) == 4);
	driver_ok(&f, F(MRG_RXBUF) | F(STATUS));
	sent = fill_socket(&f);
	EXPECT(sent > 4 && sent < 400 && config_status(&f) == 1);
	for (unsigned int i = 0; i < 4; i++)
		send_frame(&f, sent + 1 + i, &plain, 4000);
	rx_buffers(&f, 0, VR_NUM, 2048);
	EXPECT(WAIT(config_status(&f) == 0));
	EXPECT(wait_used(&f, TXQ, (u16)(sent + 5)));
	close(fd);
	teardown(&f);
}

TEST(net_stream_that_is_full_keeps_frames_whole)
{
	struct fixture f;
	u8 buf[4 + 4000];
	unsigned int sent;
	int fd = setup_stream(&f);

	driver_ok(&f, 0);
	sent = fill_socket(&f);
	EXPECT(sent > 4 && sent < 400);
	virtio_device_pause(f.dev);
	virtio_device_resume(f.dev);
	for (unsigned int i = 0; i <= sent; i++) {
		EXPECT(read_all(fd, buf, sizeof(buf)));
		EXPECT(buf[2] == 4000 >> 8 && buf[3] == (4000 & 0xff));
		EXPECT(buf[4] == (u8)i && buf[4003] == (u8)i);
	}
	EXPECT(wait_used(&f, TXQ, (u16)(sent + 1)));
	close(fd);
	teardown(&f);
}

/* Of a frame that was taken in part the rest goes without another to push it. */
TEST(net_stream_sends_the_end_of_the_last_frame)
{
	struct timeval patience = { .tv_sec = 10 };

	for (unsigned int nr = 1; nr < 5; nr++) {
		struct fixture f;
		u8 buf[4 + 4000];
		int fd = setup_stream_of(&f, 1);

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
			   sizeof(patience));
		driver_ok(&f, 0);
		for (unsigned int i = 0; i < nr; i++)
			send_frame(&f, i, &plain, 4000);
		for (unsigned int i = 0; i < nr; i++) {
			nap();
			EXPECT(read_all(fd, buf, sizeof(buf)));
			EXPECT(buf[4] == (u8)i && buf[4003] == (u8)i);
		}
		close(fd);
		teardown(&f);
	}
}

static struct net_backend *open_path(const char *path)
{
	struct net_opts o = { .kind = NET_SOCKET, .path = path };
	struct net_backend *b = NULL;
	struct report r = { "" };

	if (net_open(&b, &o, &r))
		printf("# %s\n", r.msg);
	return b;
}

TEST(net_sockets_meet_and_meet_again)
{
	char dir[] = "/tmp/lkvm-net-XXXXXX", path[64];
	struct fixture f[2];

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/wire", dir);
	setup(&f[0], open_path(path));
	setup(&f[1], open_path(path));
	for (unsigned int i = 0; i < 2; i++) {
		driver_ok(&f[i], F(MRG_RXBUF) | F(STATUS));
		rx_buffers(&f[i], 0, 16, 2048);
	}
	for (unsigned int round = 0; round < 4; round++) {
		unsigned int leaves = round & 1;

		EXPECT(WAIT(config_status(&f[0]) == 1));
		EXPECT(WAIT(config_status(&f[1]) == 1));
		for (unsigned int i = 0; i < 2; i++) {
			u16 tx = vr_used_idx(&f[i].m, TXQ);
			u16 rx = vr_used_idx(&f[!i].m, RXQ);

			send_frame(&f[i], tx, &plain, 100 + round);
			EXPECT(wait_used(&f[!i], RXQ, (u16)(rx + 1)));
			EXPECT(used_len(&f[!i], RXQ, rx) == HDR + 100 + round);
		}
		teardown(&f[leaves]);
		EXPECT(WAIT(config_status(&f[!leaves]) == 0));
		setup(&f[leaves], open_path(path));
		driver_ok(&f[leaves], F(MRG_RXBUF) | F(STATUS));
		rx_buffers(&f[leaves], 0, 16, 2048);
	}
	teardown(&f[0]);
	teardown(&f[1]);
	EXPECT(!unlink(path) && !rmdir(dir));
}

TEST(net_socket_has_no_link_for_a_third)
{
	char dir[] = "/tmp/lkvm-net-XXXXXX", path[64];
	struct fixture f[3];
	u16 rx = 0;

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/wire", dir);
	for (unsigned int i = 0; i < 3; i++) {
		setup(&f[i], open_path(path));
		driver_ok(&f[i], F(MRG_RXBUF) | F(STATUS));
		rx_buffers(&f[i], 0, 16, 2048);
		EXPECT(i == 2 || WAIT(config_status(&f[0]) == !!i));
	}
	EXPECT(WAIT(config_status(&f[2]) == 0));
	for (unsigned int i = 0; i < 4; i++, rx += i & 1 ? 0 : 1) {
		send_frame(&f[i & 1], rx, &plain, 100);
		EXPECT(wait_used(&f[!(i & 1)], RXQ, (u16)(rx + 1)));
	}
	EXPECT(config_status(&f[0]) == 1 && config_status(&f[1]) == 1);
	/* It is next when there is room. */
	teardown(&f[1]);
	EXPECT(WAIT(config_status(&f[2]) == 1) && WAIT(config_status(&f[0]) == 1));
	send_frame(&f[2], 0, &plain, 100);
	EXPECT(wait_used(&f[0], RXQ, (u16)(rx + 1)));
	teardown(&f[2]);
	teardown(&f[0]);
	EXPECT(!unlink(path) && !rmdir(dir));
}

/* Comes and goes, says what is no frame, and says it without end. */
TEST(net_socket_survives_a_peer_that_is_no_vm)
{
	char dir[] = "/tmp/lkvm-net-XXXXXX", path[64];
	struct sockaddr_un a;
	struct fixture f;
	u8 frame[100] = { 0 };
	int fd = -1;
	unsigned int before = open_files();

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/wire", dir);
	EXPECT(!unix_address(&a, path));
	setup(&f, open_path(path));
	driver_ok(&f, F(MRG_RXBUF) | F(STATUS));
	rx_buffers(&f, 0, 16, 2048);
	for (unsigned int i = 0; i < 50; i++) {
		EXPECT(WAIT((fd = unix_connect(&a, SOCK_SEQPACKET)) >= 0));
		if (i & 1)
			EXPECT(send(fd, "", 0, MSG_NOSIGNAL) == 0);
		close(fd);
	}
	EXPECT(WAIT((fd = unix_connect(&a, SOCK_SEQPACKET)) >= 0));
	EXPECT(WAIT(config_status(&f) == 1));
	for (unsigned int i = 0; i < 1000; i++)
		send(fd, frame, 1 + i % 13, MSG_NOSIGNAL | MSG_DONTWAIT);
	/* All of it was dropped, and the next frame is one. */
	EXPECT(WAIT(send(fd, frame, sizeof(frame), MSG_NOSIGNAL | MSG_DONTWAIT) ==
		    sizeof(frame)));
	EXPECT(wait_used(&f, RXQ, 1));
	EXPECT(used_len(&f, RXQ, 0) == HDR + sizeof(frame));
	close(fd);
	EXPECT(WAIT(config_status(&f) == 0));
	teardown(&f);
	EXPECT(!unlink(path) && !rmdir(dir));
	EXPECT(open_files() == before);
}

/* In the place of passt(1), a script. @path: of its directory; @out: NULL when it failed */
static int open_passt(const char *path, const char *script, struct net_opts *o,
		      struct net_backend **out, struct report *r)
{
	char file[64];
	int fd, err;

	snprintf(file, sizeof(file), "%s/passt", path);
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
	dprintf(fd, "#!/bin/sh\n%s\n", script);
	close(fd);
	*out = NULL;
	*r = (struct report){ "" };
	o->kind = NET_USER;
	err = net_open(out, o, r);
	unlink(file);
	return err;
}

/* What it says may be more than a pipe takes; the last of it is why it failed. */
TEST(net_passt_is_waited_for_and_heard)
{
	static const struct {
		const char *script;
		const char *why;
	} fails[] = {
		{ "exit 1", "passt failed: it said nothing" },
		{ "echo one; echo two >&2; echo logged to syslog; exit 1", "passt failed: two" },
		{ "exec 2>&1; for i in 0 1 2 3 4 5 6 7; do printf '%16384s\\n' x; done; "
		  "echo why; exit 3", "passt failed: why" },
		{ "kill -9 $$", "passt failed: it said nothing" },
		{ "exit 127", "install package passt" },
	};
	char dir[] = "/tmp/lkvm-net-XXXXXX", path[512];
	const char *old = getenv("PATH");
	unsigned int before = open_files();
	struct net_opts o = { 0 };
	struct net_backend *b;
	struct report r;

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s:%s", dir, old);
	setenv("PATH", path, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(fails); i++) {
		EXPECT(open_passt(dir, fails[i].script, &o, &b, &r) < 0);
		if (!strstr(r.msg, fails[i].why))
			printf("# %s\n", r.msg);
		EXPECT(strstr(r.msg, fails[i].why));
	}
	EXPECT(!open_passt(dir, "sleep 1 <&3 >/dev/null 2>&1 &", &o, &b, &r));
	EXPECT(b && b->info.mtu == 65520 && net_link(b) && !b->info.vnet_hdr);
	EXPECT(WAIT(!net_link(b)));
	net_close(b);
	setenv("PATH", dir, 1);
	EXPECT(net_open(&b, &o, &r) < 0 && strstr(r.msg, "install package passt"));
	setenv("PATH", path, 1);
	EXPECT(open_files() == before && !rmdir(dir));
}

TEST(net_passt_is_told_what_was_asked_for)
{
	static const char says[] = "echo \"$*\"; exit 1";
	struct net_opts o = { 0 };
	struct net_backend *b;
	char dir[] = "/tmp/lkvm-net-XXXXXX", path[512], has[64];
	struct report r;
	int handed[2];

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s:%s", dir, getenv("PATH"));
	setenv("PATH", path, 1);
	EXPECT(!pipe(handed));
	open_passt(dir, says, &o, &b, &r);
	EXPECT(strstr(r.msg, ": --quiet --fd 3 --no-map-gw") && !strstr(r.msg, "mtu"));
	o = (struct net_opts){ .hostgw = true, .mtu = 1400, .nr_forwards = 2,
			       .forward = { "tcp:2222:22", "udp:127.0.0.1/53" } };
	open_passt(dir, says, &o, &b, &r);
	EXPECT(strstr(r.msg, "--fd 3 --mtu 1400 -t 2222:22 -u 127.0.0.1/53"));
	/* What a later device was handed is not for it. */
	snprintf(has, sizeof(has), "test -e /proc/$$/fd/%d && echo it has; exit 1", handed[1]);
	open_passt(dir, has, &o, &b, &r);
	EXPECT(strstr(r.msg, "said nothing"));
	close(handed[0]);
	close(handed[1]);
	EXPECT(!rmdir(dir));
}

/* Who wants to end us does not wait for one that is never ready. */
TEST(net_passt_that_hangs_ends_with_us)
{
	const struct timespec none = { 0 };
	char dir[] = "/tmp/lkvm-net-XXXXXX", path[512];
	struct net_opts o = { 0 };
	struct net_backend *b;
	struct report r;
	sigset_t set;

	EXPECT(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s:%s", dir, getenv("PATH"));
	setenv("PATH", path, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	raise(SIGTERM);
	EXPECT(open_passt(dir, "exec sleep 1000", &o, &b, &r) < 0);
	EXPECT(strstr(r.msg, "passt failed") && sigtimedwait(&set, NULL, &none) == SIGTERM);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	EXPECT(!rmdir(dir));
}

/* What was handed in is found out, does not block, and is nobody else's. */
TEST(net_descriptor_is_prepared)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM, 0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++) {
		struct net_opts o = { .kind = NET_FD, .mtu = 1400 };
		struct net_backend *b = NULL;
		struct report r = { "" };
		int fd[2];

		EXPECT(!socketpair(AF_UNIX, types[i] ? types[i] : SOCK_SEQPACKET, 0, fd));
		tun_fd = types[i] ? -1 : fd[0];
		o.fd = fd[0];
		EXPECT(!net_open(&b, &o, &r) && b->info.mtu == 1400);
		EXPECT(fcntl(fd[0], F_GETFL) & O_NONBLOCK && fcntl(fd[0], F_GETFD) & FD_CLOEXEC);
		/* A stream has to keep what came of a frame; a tap device has headers. */
		EXPECT(!b->ops->keep == (types[i] != SOCK_STREAM));
		EXPECT(b->info.vnet_hdr == !types[i]);
		net_close(b);
		close(fd[1]);
	}
	tun_fd = -1;
}

TEST(net_open_refuses)
{
	static const struct net_opts bad[] = {
		{ .kind = NET_USER, .vhost = true },
		{ .kind = NET_USER, .pairs = 2 },
		{ .kind = NET_TAP, .pairs = NET_MAX_PAIRS + 1 },
		{ .kind = NET_TAP, .ifname = "a-name-that-is-too-long" },
		{ .kind = NET_TAP, .mtu = 67 },
		{ .kind = NET_TAP, .mtu = 65536 },
		{ .kind = NET_SOCKET },
		{ .kind = NET_SOCKET, .path = "" },
		{ .kind = NET_SOCKET, .path = "/nonexistent/wire" },
		{ .kind = NET_SOCKET, .path = "/tmp" },
		{ .kind = NET_FD, .fd = -1 },
		{ .kind = NET_FD, .fd = 12345 },
		{ .kind = NET_USER, .nr_forwards = 1,
		  .forward = { "tcp:" } },
		{ .kind = NET_USER, .nr_forwards = 1,
		  .forward = { "tcp:1 --foo" } },
		{ .kind = NET_USER, .nr_forwards = 1, .forward = { "icmp:1" } },
		{ .kind = NET_USER, .nr_forwards = 1, .forward = { "tcp:0" } },
		{ .kind = NET_USER, .nr_forwards = 1, .forward = { "tcp:65536" } },
		{ .kind = NET_USER, .nr_forwards = 1, .forward = { "udp:127.0.0.1/1-70000" } },
		{ .kind = NET_USER, .nr_forwards = 2, .forward = { "tcp:22", "tcp:22:0" } },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct net_backend *b = NULL;
		struct report r = { "" };

		EXPECT(net_open(&b, &bad[i], &r) < 0 && r.msg[0]);
	}
}

TEST_MAIN(T(net_sends_frames_in_order),
	  T(net_preempts_nobody_while_many_frames_go_one_way),
	  T(net_preempts_nobody_while_frames_are_large),
	  T(net_drops_frames_with_headers_that_lie),
	  T(net_clears_what_it_does_not_know_in_a_header),
	  T(net_datagram_segments_go_out_only_as_negotiated),
	  T(net_datagram_segments_are_offered_as_the_backend_does),
	  T(net_needs_reset_after_a_chain_without_header),
	  T(net_goes_on_after_a_backend_that_was_full),
	  T(net_spreads_a_frame_over_mergeable_buffers),
	  T(net_drops_what_does_not_fit),
	  T(net_waits_for_buffers_and_goes_on),
	  T(net_waits_for_buffers_no_longer_with_events),
	  T(net_link_follows_the_backend),
	  T(net_control_commands_are_checked),
	  T(net_offloads_that_stay_are_not_set_again),
	  T(net_receives_what_sending_brought),
	  T(net_tap_watches_for_room_while_it_is_full),
	  T(net_tap_takes_datagram_segments_of_both_families_or_none),
	  T(net_tap_has_the_mtu_that_was_asked_for),
	  T(net_packet_watches_for_room_while_it_is_full),
	  T(net_packet_without_memory_is_a_frame_that_is_lost),
	  T(net_packet_peers_end_when_they_are_gone),
	  T(net_stream_without_memory_is_a_frame_that_is_lost),
	  T(net_tap_that_is_gone_is_no_port_that_rests),
	  T(net_tap_is_asked_what_it_is_and_can),
	  T(net_an_error_is_not_the_last_of_a_queue),
	  T(net_needs_reset_after_a_command_without_answer),
	  T(net_filters_what_the_driver_does_not_want),
	  T(net_queue_pairs_are_the_drivers_choice),
	  T(net_offers_what_the_backend_has),
	  T(net_waits_for_no_more_room_than_frames_need),
	  T(net_address_of_its_own_is_local_and_no_groups),
	  T(net_offloads_outlast_a_pause_and_no_reset),
	  T(net_state_of_somebody_else_is_checked),
	  T(net_announcement_is_not_the_next_drivers),
	  T(net_modes_say_what_comes_through),
	  T(net_filters_tags_of_their_own_kind),
	  T(net_lists_of_addresses_are_as_long_as_there_is_room),
	  T(net_pairs_that_are_not_in_use_send_nothing),
	  T(net_that_cannot_start_leaves_nothing),
	  T(net_waits_for_room_in_order_and_in_peace),
	  T(net_sends_frames_of_many_pieces_and_of_the_largest_size),
	  T(net_asks_for_kicks_where_it_waits),
	  T(net_link_is_looked_at_when_there_is_something_to_send),
	  T(net_answers_commands_without_vhost_that_runs),
	  T(net_pause_loses_and_repeats_nothing),
	  T(net_pause_of_a_busy_interface_waits_for_one_round),
	  T(net_pause_keeps_frames_and_leaves_memory_alone),
	  T(net_state_survives_and_reset_forgets_it),
	  T(net_stream_has_a_length_before_each_frame),
	  T(net_stream_takes_frames_of_many_pieces),
	  T(net_stream_frame_in_pieces_survives_pauses),
	  T(net_stream_frame_in_pieces_outlasts_its_driver),
	  T(net_frames_in_a_socket_outlast_a_pause),
	  T(net_stream_with_a_bad_length_is_gone),
	  T(net_stream_that_is_lost_while_full_drops_the_rest),
	  T(net_stream_that_is_full_keeps_frames_whole),
	  T(net_stream_sends_the_end_of_the_last_frame),
	  T(net_window_that_cannot_grow_is_taken),
	  T(net_sockets_meet_and_meet_again),
	  T(net_socket_has_no_link_for_a_third),
	  T(net_socket_survives_a_peer_that_is_no_vm),
	  T(net_passt_is_waited_for_and_heard),
	  T(net_passt_is_told_what_was_asked_for),
	  T(net_passt_that_hangs_ends_with_us),
	  T(net_descriptor_is_prepared),
	  T(net_open_refuses))
