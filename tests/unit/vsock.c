// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of the socket device.
 *
 * Theory of operation: the test is the guest's driver, on fake memory, and the
 * host programs, on real UNIX sockets in a temporary directory. The device's
 * thread runs; what it does is waited for, ten seconds at most.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <linux/virtio_vsock.h>
#include "kvm/clock.h"
#include "kvm/virtio.h"
#include "virtio/vsock.h"
#include "dir.h"
#include "driver.h"
#include "fds.h"
#include "test.h"
#include "vring.h"

#define RX 0
#define TX 1
#define EV 2
#define CID 42
#define HDR sizeof(struct virtio_vsock_hdr)
#define RX_GPA(i) (0x80000ULL + 0x2000 * (i))
#define RX_LEN (HDR + 4096)
#define TX_GPA 0x20000ULL
#define ALLOC 0x20000U

enum {
	REQUEST = VIRTIO_VSOCK_OP_REQUEST, RESPONSE = VIRTIO_VSOCK_OP_RESPONSE,
	RST = VIRTIO_VSOCK_OP_RST, SHUTDOWN = VIRTIO_VSOCK_OP_SHUTDOWN,
	RW = VIRTIO_VSOCK_OP_RW, UPDATE = VIRTIO_VSOCK_OP_CREDIT_UPDATE,
	ASK = VIRTIO_VSOCK_OP_CREDIT_REQUEST,
};

struct rig {
	struct vr_mem m;
	struct virtio_env env;
	struct virtio_device *dev;
	struct driver_counts counts;
	unsigned int max_conns;
	char dir[32];
	char path[64];
	u16 tx_used;
	u16 rx_seen;
	u32 alloc;
	u32 received;
	struct virtio_vsock_hdr h;
	u8 data[4096];
};

/* In the place of clock.c's, for what takes longer than a test. */
static u64 later_ns;

u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec +
	       __atomic_load_n(&later_ns, __ATOMIC_RELAXED);
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

static int rig_create(struct rig *r)
{
	struct virtio_vsock_opts o = {
		.cid = CID, .path = r->path, .max_conns = r->max_conns,
	};
	int err = virtio_device_create(&r->dev, &virtio_vsock_class, "vsock",
				       &o, &r->env, NULL);

	if (err) {
		r->dev = NULL;
		return err;
	}
	r->dev->transport_priv = &r->counts;
	r->dev->transport = &driver_counting;
	return 0;
}

static void post_rx(struct rig *r, unsigned int i)
{
	VR_PUT(&r->m, vr_desc(RX), i, RX_GPA(i), RX_LEN, VRING_DESC_F_WRITE, 0);
	vr_publish(&r->m, RX, i);
}

/* Make the queues known and set DRIVER_OK; @buffers to receive into. */
static void bring_up(struct rig *r, unsigned int buffers)
{
	driver_negotiate(r->dev, DRIVER_V1 | BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
	driver_queues(r->dev, &driver_vring, DRIVER_ALL);
	r->tx_used = 0;
	r->rx_seen = 0;
	for (unsigned int i = 0; i < buffers; i++)
		post_rx(r, i);
	virtio_set_status(r->dev, 15);
}

static struct rig *rig_setup_of(unsigned int buffers, unsigned int max_conns)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->max_conns = max_conns;
	vr_init(&r->m);
	r->env.gmem = &r->m.g;
	r->alloc = 0x40000;
	dir_temp(r->dir, sizeof(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/s", r->dir);
	if (rig_create(r))
		printf("# device cannot be created\n");
	else
		bring_up(r, buffers);
	return r;
}

static struct rig *rig_setup(unsigned int buffers)
{
	return rig_setup_of(buffers, 0);
}

static void rig_teardown(struct rig *r)
{
	char path[96];

	if (r->dev)
		virtio_device_free(r->dev);
	for (unsigned int port = 1; port < 8; port++) {
		snprintf(path, sizeof(path), "%s_%u", r->path, port);
		unlink(path);
	}
	unlink(r->path);
	rmdir(r->dir);
	vr_free(&r->m);
	free(r);
}

/* The guest's side */

static void tx_publish(struct rig *r, u32 len)
{
	VR_PUT(&r->m, vr_desc(TX), 0, TX_GPA, len, 0, 0);
	vr_publish(&r->m, TX, 0);
	virtio_notify(r->dev, TX);
}

static bool tx_wait(struct rig *r)
{
	for (unsigned int i = 0; i < 50000; i++) {
		if (vr_used_idx(&r->m, TX) == (u16)(r->tx_used + 1)) {
			r->tx_used++;
			return true;
		}
		nap();
	}
	return false;
}

/* Any header, any payload; returns once the device has taken it. */
static bool send_raw(struct rig *r, const struct virtio_vsock_hdr *h,
		     const void *d, u32 len)
{
	gmem_write(&r->m.g, TX_GPA, h, HDR);
	if (len)
		gmem_write(&r->m.g, TX_GPA + HDR, d, len);
	tx_publish(r, HDR + len);
	return tx_wait(r);
}

static struct virtio_vsock_hdr header(struct rig *r, u16 op, u32 gp, u32 hp)
{
	return (struct virtio_vsock_hdr){
		.src_cid = CID, .dst_cid = 2, .src_port = gp, .dst_port = hp,
		.type = VIRTIO_VSOCK_TYPE_STREAM, .op = op,
		.buf_alloc = r->alloc, .fwd_cnt = r->received,
	};
}

static bool send_op(struct rig *r, u16 op, u32 gp, u32 hp, u32 flags)
{
	struct virtio_vsock_hdr h = header(r, op, gp, hp);

	h.flags = flags;
	return send_raw(r, &h, NULL, 0);
}

static bool send_bytes(struct rig *r, u32 gp, u32 hp, const void *d, u32 len)
{
	struct virtio_vsock_hdr h = header(r, RW, gp, hp);

	h.len = len;
	return send_raw(r, &h, d, len);
}

/* Take one packet, give the buffer back. False when none comes in @ms. */
static bool receive_in(struct rig *r, unsigned int ms)
{
	struct vring_used_elem e;

	for (unsigned int i = 0; vr_used_idx(&r->m, RX) == r->rx_seen; i++) {
		if (i >= 5 * ms)
			return false;
		nap();
	}
	gmem_read(&r->m.g, vr_used(RX) + 4 + 8 * (r->rx_seen++ % VR_NUM), &e,
		  sizeof(e));
	gmem_read(&r->m.g, RX_GPA(e.id), &r->h, HDR);
	if (r->h.op == RW)
		gmem_read(&r->m.g, RX_GPA(e.id) + HDR, r->data,
			  MIN(r->h.len, 4096U));
	post_rx(r, e.id);
	virtio_notify(r->dev, RX);
	return true;
}

static bool receive(struct rig *r)
{
	return receive_in(r, 10000);
}

/* The next packet that is not about credit is @op between those ports. */
static bool receive_op(struct rig *r, u16 op, u32 gp, u32 hp)
{
	do {
		if (!receive(r))
			return false;
	} while (op != UPDATE && op != ASK &&
		 (r->h.op == UPDATE || r->h.op == ASK));
	if (r->h.op == op && r->h.dst_port == gp && r->h.src_port == hp &&
	    r->h.src_cid == 2 && r->h.dst_cid == CID)
		return true;
	printf("# got op %u, %u to %u, wanted op %u\n", r->h.op, r->h.src_port,
	       r->h.dst_port, op);
	return false;
}

/* The host's side; all sockets block, for ten seconds. */

static void set_timeout(int fd)
{
	struct timeval tv = { .tv_sec = 10 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int host_dial(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	set_timeout(fd);
	return fd;
}

static int host_listen(struct rig *r, u32 port, int backlog)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s_%u", r->path, port);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(fd, backlog) < 0)
		printf("# cannot listen at %s\n", a.sun_path);
	set_timeout(fd);
	return fd;
}

/* Whether exactly @len bytes @d come. */
static bool host_reads(int fd, const void *d, size_t len)
{
	u8 buf[256];
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, buf, MIN(sizeof(buf), len - done));

		if (n <= 0 || memcmp(buf, (const u8 *)d + done, n))
			return false;
		done += n;
	}
	return true;
}

static bool host_sees_end(int fd)
{
	u8 c;
	ssize_t n = read(fd, &c, 1);

	return !n || (n < 0 && errno != EAGAIN);
}

/* A connection that the host opens. Return: the socket, *@hp is its port. */
static int open_from_host(struct test *t, struct rig *r, u32 gp, u32 *hp)
{
	int fd = host_dial(r->path);
	char line[32];
	int n = snprintf(line, sizeof(line), "CONNECT %u\n", gp);

	EXPECT(fd >= 0 && write(fd, line, n) == n);
	EXPECT(receive(r) && r->h.op == REQUEST && r->h.dst_port == gp);
	*hp = r->h.src_port;
	EXPECT(send_op(r, RESPONSE, gp, *hp, 0));
	n = snprintf(line, sizeof(line), "OK %u\n", *hp);
	EXPECT(host_reads(fd, line, n));
	return fd;
}

/* One that the guest opens to port @hp, where @listener waits. */
static int open_from_guest(struct test *t, struct rig *r, u32 gp, u32 hp,
			   int listener)
{
	int fd;

	EXPECT(send_op(r, REQUEST, gp, hp, 0));
	EXPECT(receive_op(r, RESPONSE, gp, hp));
	EXPECT(r->h.buf_alloc > 0);
	fd = accept(listener, NULL, NULL);
	EXPECT(fd >= 0);
	set_timeout(fd);
	return fd;
}

TEST(vsock_host_connects_and_bytes_go_both_ways)
{
	struct rig *r = rig_setup(VR_NUM);
	u32 hp = 0;
	int fd = open_from_host(t, r, 1234, &hp);

	EXPECT(write(fd, "hello", 5) == 5);
	EXPECT(receive_op(r, RW, 1234, hp) && r->h.len == 5 &&
	       !memcmp(r->data, "hello", 5));
	EXPECT(send_bytes(r, 1234, hp, "world!", 6));
	EXPECT(host_reads(fd, "world!", 6));
	EXPECT(r->counts.signals > 0);
	close(fd);
	EXPECT(receive_op(r, SHUTDOWN, 1234, hp));
	while (r->h.flags != 3)
		EXPECT(receive_op(r, SHUTDOWN, 1234, hp));
	EXPECT(send_op(r, RST, 1234, hp, 0));
	/* It is forgotten: the ports are unknown now. */
	EXPECT(send_bytes(r, 1234, hp, "x", 1));
	EXPECT(receive_op(r, RST, 1234, hp));
	rig_teardown(r);
}

TEST(vsock_bytes_behind_connect_line_reach_the_guest)
{
	struct rig *r = rig_setup(VR_NUM);
	int fd = host_dial(r->path);
	u32 hp;

	EXPECT(write(fd, "CONNECT 7\nearly", 15) == 15);
	EXPECT(receive(r) && r->h.op == REQUEST && r->h.dst_port == 7);
	hp = r->h.src_port;
	EXPECT(send_op(r, RESPONSE, 7, hp, 0));
	EXPECT(receive_op(r, RW, 7, hp) && r->h.len == 5 &&
	       !memcmp(r->data, "early", 5));
	close(fd);
	rig_teardown(r);
}

TEST(vsock_refusal_by_the_guest_ends_the_host_socket)
{
	struct rig *r = rig_setup(VR_NUM);
	int fd = host_dial(r->path);

	EXPECT(write(fd, "CONNECT 7\n", 10) == 10);
	EXPECT(receive(r) && r->h.op == REQUEST);
	EXPECT(send_op(r, RST, 7, r->h.src_port, 0));
	EXPECT(host_sees_end(fd));
	close(fd);
	rig_teardown(r);
}

TEST(vsock_guest_connects_to_a_listener_or_is_refused)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	int fd = open_from_guest(t, r, 1000, 5, l);

	EXPECT(send_bytes(r, 1000, 5, "abc", 3));
	EXPECT(host_reads(fd, "abc", 3));
	EXPECT(write(fd, "defg", 4) == 4);
	EXPECT(receive_op(r, RW, 1000, 5) && r->h.len == 4);
	EXPECT(send_op(r, REQUEST, 1001, 6, 0));
	EXPECT(receive_op(r, RST, 1001, 6));
	/* The same ports again are no new connection, and end the old one. */
	EXPECT(send_op(r, REQUEST, 1000, 5, 0));
	EXPECT(receive_op(r, RST, 1000, 5));
	EXPECT(host_sees_end(fd));
	close(fd);
	close(l);
	rig_teardown(r);
}

TEST(vsock_guest_waits_for_a_full_backlog)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 0);
	bool refused = false;
	int fd[2];

	EXPECT(send_op(r, REQUEST, 1000, 5, 0));
	EXPECT(receive_op(r, RESPONSE, 1000, 5));
	EXPECT(send_op(r, REQUEST, 1001, 5, 0));
	EXPECT(!receive_in(r, 100));
	fd[0] = accept(l, NULL, NULL);
	EXPECT(receive_op(r, RESPONSE, 1001, 5));
	fd[1] = accept(l, NULL, NULL);
	EXPECT(fd[0] >= 0 && fd[1] >= 0);
	/* But not without end */
	EXPECT(send_op(r, REQUEST, 1002, 5, 0) && receive_op(r, RESPONSE, 1002, 5));
	EXPECT(send_op(r, REQUEST, 1003, 5, 0));
	for (unsigned int i = 0; i < 1000 && !refused; i++) {
		__atomic_add_fetch(&later_ns, 11000000, __ATOMIC_RELAXED);
		virtio_notify(r->dev, TX);
		refused = receive_in(r, 1);
	}
	EXPECT(refused && r->h.op == RST && r->h.dst_port == 1003);
	close(fd[0]);
	close(fd[1]);
	close(l);
	rig_teardown(r);
}

/* Until the guest's credit is used up. Return: bytes sent. */
static u32 send_all_credit(struct test *t, struct rig *r, u32 gp, u32 hp)
{
	static u8 block[0x8000];
	u32 sent = 0, forwarded = r->h.fwd_cnt, len;

	for (u32 i = 0; i < sizeof(block); i++)
		block[i] = (u8)(i % 251);
	for (;;) {
		len = ALLOC - (sent - forwarded);
		/* Of what is used up some may come back. */
		while (receive_in(r, len ? 0 : 50)) {
			if (r->h.op == UPDATE)
				forwarded = r->h.fwd_cnt;
		}
		len = MIN(ALLOC - (sent - forwarded), (u32)sizeof(block));
		if (!len)
			return sent;
		EXPECT(send_bytes(r, gp, hp, block, len));
		sent += len;
	}
}

static bool host_reads_pattern(int fd, u32 len)
{
	static u8 buf[0x8000];
	u32 at = 0;

	while (len) {
		ssize_t n = read(fd, buf, MIN(len, (u32)sizeof(buf) - at));

		if (n <= 0)
			return false;
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != (u8)((at + i) % 251))
				return false;
		}
		at = (at + n) % sizeof(buf);
		len -= n;
	}
	return true;
}

TEST(vsock_host_that_never_reads_stops_only_its_own_connection)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	int slow = open_from_guest(t, r, 1000, 5, l);
	u32 sent = send_all_credit(t, r, 1000, 5);
	int fd = open_from_guest(t, r, 1001, 5, l);

	EXPECT(sent >= ALLOC);
	EXPECT(send_bytes(r, 1001, 5, "quick", 5));
	EXPECT(host_reads(fd, "quick", 5));
	EXPECT(host_reads_pattern(slow, sent));
	EXPECT(receive_op(r, UPDATE, 1000, 5));
	while (r->h.fwd_cnt != sent && receive_in(r, 1000))
		;
	EXPECT(r->h.fwd_cnt == sent);
	EXPECT(send_bytes(r, 1000, 5, "more", 4));
	EXPECT(host_reads(slow, "more", 4));
	close(slow);
	close(fd);
	close(l);
	rig_teardown(r);
}

TEST(vsock_guest_beyond_its_credit_is_reset)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	int fd = open_from_guest(t, r, 1000, 5, l);

	send_all_credit(t, r, 1000, 5);
	EXPECT(send_bytes(r, 1000, 5, "x", 1));
	EXPECT(receive_op(r, RST, 1000, 5));
	close(fd);
	fd = open_from_guest(t, r, 1000, 5, l);
	close(fd);
	close(l);
	rig_teardown(r);
}

TEST(vsock_guest_gets_no_more_than_its_credit)
{
	struct rig *r = rig_setup(VR_NUM);
	u8 block[1000] = { 0 };
	u32 hp = 0, got = 0;
	int fd;

	r->alloc = 100;
	fd = open_from_host(t, r, 9, &hp);
	EXPECT(write(fd, block, sizeof(block)) == sizeof(block));
	EXPECT(receive(r) && r->h.op == RW && r->h.len == 100);
	EXPECT(receive(r) && r->h.op == ASK);
	EXPECT(!receive_in(r, 100));
	for (got = 100; got < sizeof(block); got += r->h.len) {
		r->received = got;
		EXPECT(send_op(r, UPDATE, 9, hp, 0));
		EXPECT(receive_op(r, RW, 9, hp) && r->h.len <= 100);
		if (!r->h.len)
			break;
	}
	EXPECT(got == sizeof(block));
	/* More was taken than was ever sent: a lie, and worth no credit. */
	while (receive_in(r, 50))
		;
	r->received = got + 0x10000000;
	EXPECT(send_op(r, UPDATE, 9, hp, 0));
	EXPECT(write(fd, block, 10) == 10);
	EXPECT(!receive_in(r, 100));
	r->received = got;
	r->alloc = 0xffffffff;
	EXPECT(send_op(r, UPDATE, 9, hp, 0));
	EXPECT(receive_op(r, RW, 9, hp) && r->h.len == 10);
	close(fd);
	rig_teardown(r);
}

/* What the guest says of its buffer jumps: less than is in it, backwards, around. */
TEST(vsock_credit_that_lies_gives_what_it_says_and_harms_nobody)
{
	/* @fwd: from what was sent on */
	static const struct {
		u32 alloc;
		u32 fwd;
		u32 credit;
	} says[] = {
		{ 0, 0, 0 }, { 10, 0, 10 }, { 10, -10U, 0 }, { 5, -10U, 0 }, { 11, -10U, 1 },
		{ 0xffffffff, 1, 0 }, { 0xffffffff, 2, 1 }, { 0x1000, 0x80000000, 0 },
		{ 0x7fffffff, 0x80000001, 0 }, { 0x80000002, 0x80000000, 2 }, { 0, -1U, 0 },
		{ 0, 1, 0 },
	};
	struct rig *r = rig_setup(VR_NUM);
	u8 block[100] = { 0 };
	u32 hp = 0, sent = 0, got;
	int fd;

	r->alloc = 0;
	fd = open_from_host(t, r, 9, &hp);
	EXPECT(write(fd, block, sizeof(block)) == sizeof(block));
	for (unsigned int i = 0; i < ARRAY_SIZE(says); i++) {
		r->alloc = says[i].alloc;
		r->received = sent + says[i].fwd;
		EXPECT(send_op(r, UPDATE, 9, hp, 0));
		for (got = 0; receive_in(r, 30); got += r->h.op == RW ? r->h.len : 0)
			;
		EXPECT(got == says[i].credit);
		sent += got;
		EXPECT(send_bytes(r, 9, hp, "there", 5) && host_reads(fd, "there", 5));
		while (receive_in(r, 5))
			sent += r->h.op == RW ? r->h.len : 0;
	}
	r->alloc = ALLOC;
	r->received = sent;
	EXPECT(send_op(r, UPDATE, 9, hp, 0));
	EXPECT(receive_op(r, RW, 9, hp) && r->h.len == sizeof(block) - sent);
	close(fd);
	rig_teardown(r);
}

TEST(vsock_half_close_by_the_guest)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	int fd = open_from_guest(t, r, 1000, 5, l);

	EXPECT(send_bytes(r, 1000, 5, "last", 4));
	EXPECT(send_op(r, SHUTDOWN, 1000, 5, VIRTIO_VSOCK_SHUTDOWN_SEND));
	EXPECT(host_reads(fd, "last", 4));
	EXPECT(host_sees_end(fd));
	EXPECT(write(fd, "answer", 6) == 6);
	EXPECT(receive_op(r, RW, 1000, 5) && r->h.len == 6);
	/* It said that it would not send. */
	EXPECT(send_bytes(r, 1000, 5, "x", 1));
	EXPECT(receive_op(r, RST, 1000, 5));
	close(fd);

	fd = open_from_guest(t, r, 1000, 5, l);
	EXPECT(send_op(r, SHUTDOWN, 1000, 5, VIRTIO_VSOCK_SHUTDOWN_RCV));
	EXPECT(receive_op(r, SHUTDOWN, 1000, 5) &&
	       r->h.flags == VIRTIO_VSOCK_SHUTDOWN_SEND);
	EXPECT(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	EXPECT(send_bytes(r, 1000, 5, "yes", 3));
	EXPECT(host_reads(fd, "yes", 3));
	EXPECT(send_op(r, SHUTDOWN, 1000, 5, VIRTIO_VSOCK_SHUTDOWN_SEND));
	EXPECT(receive_op(r, RST, 1000, 5));
	EXPECT(host_sees_end(fd));
	close(fd);
	close(l);
	rig_teardown(r);
}

TEST(vsock_half_close_by_the_host)
{
	struct rig *r = rig_setup(VR_NUM);
	u32 hp = 0;
	int fd = open_from_host(t, r, 9, &hp);

	EXPECT(write(fd, "last", 4) == 4);
	shutdown(fd, SHUT_WR);
	EXPECT(receive_op(r, RW, 9, hp) && r->h.len == 4);
	EXPECT(receive_op(r, SHUTDOWN, 9, hp) &&
	       r->h.flags == VIRTIO_VSOCK_SHUTDOWN_SEND);
	EXPECT(send_bytes(r, 9, hp, "answer", 6));
	EXPECT(host_reads(fd, "answer", 6));
	EXPECT(send_op(r, SHUTDOWN, 9, hp, 3));
	EXPECT(host_sees_end(fd));
	EXPECT(receive_op(r, RST, 9, hp));
	close(fd);
	/* Both have sent all there is: there is nothing to receive either. */
	fd = open_from_host(t, r, 9, &hp);
	EXPECT(send_op(r, SHUTDOWN, 9, hp, VIRTIO_VSOCK_SHUTDOWN_SEND));
	EXPECT(host_sees_end(fd));
	shutdown(fd, SHUT_WR);
	EXPECT(receive_op(r, SHUTDOWN, 9, hp) && r->h.flags == 3);
	close(fd);
	rig_teardown(r);
}

/* Until the guest says RST: what was on its way is no offence. */
TEST(vsock_guest_may_take_its_time_to_close)
{
	struct rig *r = rig_setup(VR_NUM);
	u32 hp = 0;
	int fd;

	for (u32 i = 0; i < 2; i++) {
		fd = open_from_host(t, r, 9, &hp);
		close(fd);
		do {
			EXPECT(receive_op(r, SHUTDOWN, 9, hp));
		} while (r->h.flags != 3);
		EXPECT(send_bytes(r, 9, hp, "late", 4) && send_op(r, ASK, 9, hp, 0));
		EXPECT(send_op(r, SHUTDOWN, 9, hp, VIRTIO_VSOCK_SHUTDOWN_SEND));
		EXPECT(!receive_in(r, 30));
		if (i)
			EXPECT(send_op(r, SHUTDOWN, 9, hp, VIRTIO_VSOCK_SHUTDOWN_RCV));
		else	/* But it does not take for ever. */
			__atomic_add_fetch(&later_ns, 31000000000ULL, __ATOMIC_RELAXED);
		virtio_notify(r->dev, TX);
		EXPECT(receive_op(r, RST, 9, hp));
	}
	rig_teardown(r);
}

/* Before it has accepted, and before it was even asked. */
TEST(vsock_guest_that_does_not_wait_for_its_turn)
{
	static const u16 ops[] = { RW, SHUTDOWN, REQUEST };
	struct rig *r = rig_setup(VR_NUM);
	int fd;
	u8 c;

	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
		struct virtio_vsock_hdr h;

		fd = host_dial(r->path);
		EXPECT(write(fd, "CONNECT 7\n", 10) == 10);
		EXPECT(receive(r) && r->h.op == REQUEST);
		h = header(r, ops[i], 7, r->h.src_port);
		h.len = ops[i] == RW ? 4 : 0;
		h.flags = ops[i] == SHUTDOWN ? 2 : 0;
		EXPECT(send_raw(r, &h, "four", 4));
		EXPECT(receive_op(r, RST, 7, h.dst_port) && host_sees_end(fd));
		close(fd);
	}
	rig_teardown(r);
	r = rig_setup(0);
	fd = host_dial(r->path);
	EXPECT(write(fd, "CONNECT 7\n", 10) == 10);
	/* Until that is heard, there is nothing to accept. */
	for (unsigned int i = 0; i < 100 && recv(fd, &c, 1, MSG_DONTWAIT) < 0; i++) {
		EXPECT(send_op(r, RESPONSE, 7, 0x40000000, 0));
		for (unsigned int j = 0; j < 20; j++)
			nap();
	}
	EXPECT(recv(fd, &c, 1, MSG_DONTWAIT) == 0);
	close(fd);
	rig_teardown(r);
}

/* A place in @d for each byte of the stream, so that none is in another's */
static void stream_bytes(u8 *d, u32 at, u32 len)
{
	for (u32 i = 0; i < len; i++)
		d[i] = (u8)((at + i) * 167 % 251);
}

/* Bytes of a new socket, or 0 for the usual */
static int socket_room;

int socket(int domain, int type, int protocol)
{
	int fd = (int)syscall(SYS_socket, domain, type, protocol);
	int room = __atomic_load_n(&socket_room, __ATOMIC_RELAXED);

	if (room)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return fd;
}

/* Whether those that are there are the right ones, from *@at on; a few of them */
static bool host_takes_stream(int fd, u32 *at)
{
	u8 got[4001], want[4001];
	ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	stream_bytes(want, *at, n);
	*at += n;
	return !memcmp(got, want, n);
}

/* What a slow host program has not read yet goes around in a buffer many times. */
TEST(vsock_bytes_of_a_slow_host_stay_in_order)
{
	struct rig *r = rig_setup(VR_NUM);
	u32 sent = 0, taken = 0, forwarded = 0;
	int l = host_listen(r, 5, 8), fd;
	u8 block[3001];
	bool ok = true;

	__atomic_store_n(&socket_room, 15000, __ATOMIC_RELAXED);
	fd = open_from_guest(t, r, 1000, 5, l);
	__atomic_store_n(&socket_room, 0, __ATOMIC_RELAXED);
	while (taken < 4 * ALLOC && ok) {
		while (receive_in(r, 0))
			forwarded = r->h.fwd_cnt;
		if (ALLOC - (sent - forwarded) < sizeof(block)) {
			ok = host_takes_stream(fd, &taken);
			continue;
		}
		stream_bytes(block, sent, sizeof(block));
		ok = send_bytes(r, 1000, 5, block, sizeof(block));
		sent += sizeof(block);
	}
	EXPECT(ok);
	close(fd);
	close(l);
	rig_teardown(r);
}

TEST(vsock_credit_is_told_when_asked_and_once)
{
	static u8 block[ALLOC / 4];
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8), fd = open_from_guest(t, r, 1000, 5, l);

	EXPECT(send_bytes(r, 1000, 5, block, 10) && !receive_in(r, 30));
	EXPECT(send_op(r, ASK, 1000, 5, 0) && receive(r));
	EXPECT(r->h.op == UPDATE && r->h.fwd_cnt == 10 && r->h.buf_alloc == ALLOC);
	EXPECT(send_bytes(r, 1000, 5, block, sizeof(block)) && receive(r));
	EXPECT(r->h.op == UPDATE && r->h.fwd_cnt == 10 + sizeof(block));
	EXPECT(send_bytes(r, 1000, 5, block, sizeof(block) - 1) && !receive_in(r, 30));
	/* With whatever else there is to say as well */
	EXPECT(write(fd, "x", 1) == 1 && receive_op(r, RW, 1000, 5));
	EXPECT(r->h.fwd_cnt == 9 + 2 * sizeof(block));
	EXPECT(send_bytes(r, 1000, 5, block, 1) && !receive_in(r, 30));
	close(fd);
	close(l);
	rig_teardown(r);
}

/* Whatever the guest has room for: its driver may take no more for a packet. */
TEST(vsock_packets_are_of_64_kib_at_most)
{
	static u8 block[100000];
	struct rig *r = rig_setup(0);
	u32 len[2] = { 0 };
	struct virtio_vsock_hdr h;
	int l, fd;

	l = host_listen(r, 5, 8);
	EXPECT(send_op(r, REQUEST, 1000, 5, 0));
	fd = accept(l, NULL, NULL);
	EXPECT(write(fd, block, sizeof(block)) == sizeof(block));
	for (unsigned int i = 0; i < 3; i++) {
		VR_PUT(&r->m, vr_desc(RX), i, RX_GPA(0) + 0x20000ULL * i, 0x20000,
		       VRING_DESC_F_WRITE, 0);
		vr_publish(&r->m, RX, i);
	}
	virtio_notify(r->dev, RX);
	EXPECT(driver_wait_used(&r->m, RX, 3));
	for (unsigned int i = 0; i < 2; i++) {
		gmem_read(&r->m.g, RX_GPA(0) + 0x20000ULL * (i + 1), &h, HDR);
		len[i] = h.len;
	}
	EXPECT(len[0] <= 0x10000 && len[1] <= 0x10000);
	close(fd);
	close(l);
	rig_teardown(r);
}

TEST(vsock_bytes_sent_before_a_close_are_not_lost)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	int fd = open_from_guest(t, r, 1000, 5, l);
	u32 sent = send_all_credit(t, r, 1000, 5);

	EXPECT(send_op(r, SHUTDOWN, 1000, 5, 3));
	EXPECT(receive_op(r, SHUTDOWN, 1000, 5));
	/* The guest's patience ends, its port is used again. */
	EXPECT(send_op(r, RST, 1000, 5, 0));
	close(open_from_guest(t, r, 1000, 5, l));
	EXPECT(host_reads_pattern(fd, sent));
	EXPECT(host_sees_end(fd));
	close(fd);
	close(l);
	rig_teardown(r);
}

/* As at a power-off: programs are ended, then the driver resets the device. */
TEST(vsock_bytes_sent_before_a_close_outlast_the_driver)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	int fd = open_from_guest(t, r, 1000, 5, l);
	u32 sent = send_all_credit(t, r, 1000, 5);

	EXPECT(send_op(r, SHUTDOWN, 1000, 5, 2));
	virtio_set_status(r->dev, 0);
	bring_up(r, VR_NUM);
	/* The same ports are another connection. */
	close(open_from_guest(t, r, 1000, 5, l));
	EXPECT(host_reads_pattern(fd, sent) && host_sees_end(fd));
	close(fd);
	close(l);
	rig_teardown(r);
}

/* What is there by now and within 20 ms. Return: bytes; the pattern is not looked at. */
static u32 host_takes(int fd)
{
	static u8 buf[0x8000];
	u32 sum = 0;

	for (unsigned int i = 0; i < 100; i++) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n > 0) {
			sum += n;
			i = 0;
		}
		nap();
	}
	return sum;
}

TEST(vsock_bytes_sent_before_a_close_need_no_other_driver)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	int fd = open_from_guest(t, r, 1000, 5, l);
	u32 sent = send_all_credit(t, r, 1000, 5);
	int early;

	EXPECT(send_op(r, SHUTDOWN, 1000, 5, 2));
	virtio_set_status(r->dev, 0);
	/* Who comes now waits for a driver. */
	early = host_dial(r->path);
	EXPECT(early >= 0 && write(early, "CONNECT 9\n", 10) == 10);
	EXPECT(host_reads_pattern(fd, sent) && host_sees_end(fd));
	bring_up(r, VR_NUM);
	EXPECT(receive(r) && r->h.op == REQUEST && r->h.dst_port == 9);
	close(early);
	close(fd);
	close(l);
	rig_teardown(r);
}

TEST(vsock_without_a_driver_is_still_when_paused)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	int fd = open_from_guest(t, r, 1000, 5, l);
	u32 sent = send_all_credit(t, r, 1000, 5), got;

	EXPECT(send_op(r, SHUTDOWN, 1000, 5, 2));
	virtio_set_status(r->dev, 0);
	EXPECT(!virtio_device_pause(r->dev));
	got = host_takes(fd);
	EXPECT(got < sent);
	EXPECT(!virtio_device_resume(r->dev));
	EXPECT(got + host_takes(fd) == sent && host_sees_end(fd));
	close(fd);
	close(l);
	rig_teardown(r);
}

/* A host that does not read has had what it had when the device goes. */
TEST(vsock_end_of_the_device_is_the_end)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	int fd = open_from_guest(t, r, 1000, 5, l);
	u32 sent = send_all_credit(t, r, 1000, 5);

	EXPECT(send_op(r, SHUTDOWN, 1000, 5, 2));
	virtio_set_status(r->dev, 0);
	virtio_device_free(r->dev);
	r->dev = NULL;
	EXPECT(host_takes(fd) < sent && host_sees_end(fd));
	close(fd);
	close(l);
	rig_teardown(r);
}

struct pattern {
	int fd;
	u32 len;
	bool ok;
};

static void *read_pattern(void *arg)
{
	struct pattern *p = arg;

	for (unsigned int i = 0; i < 100; i++)
		nap();
	p->ok = host_reads_pattern(p->fd, p->len) && host_sees_end(p->fd);
	return NULL;
}

TEST(vsock_bytes_sent_before_a_close_outlast_the_vm)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	struct pattern p = { .fd = open_from_guest(t, r, 1000, 5, l) };
	int other = open_from_guest(t, r, 1001, 5, l);
	pthread_t reader;

	p.len = send_all_credit(t, r, 1000, 5);
	send_all_credit(t, r, 1001, 5);
	EXPECT(send_op(r, SHUTDOWN, 1000, 5, 3));
	/* Who does not read is waited for a while, who was not closed is not. */
	virtio_vsock_flush(r->dev, 20, 10000);
	virtio_vsock_flush(r->dev, 10000, 20);
	EXPECT(!pthread_create(&reader, NULL, read_pattern, &p));
	virtio_vsock_flush(r->dev, 10000, 10000);
	virtio_device_free(r->dev);
	r->dev = NULL;
	pthread_join(reader, NULL);
	EXPECT(p.ok);
	close(p.fd);
	close(other);
	close(l);
	rig_teardown(r);
}

/* Its kick may come together with the end. */
TEST(vsock_takes_what_is_in_the_ring_before_it_stops)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	int fd = open_from_guest(t, r, 1000, 5, l);
	struct virtio_vsock_hdr h = header(r, RW, 1000, 5);

	h.len = htole32(4);
	gmem_write(&r->m.g, TX_GPA, &h, HDR);
	gmem_write(&r->m.g, TX_GPA + HDR, "last", 4);
	VR_PUT(&r->m, vr_desc(TX), 0, TX_GPA, HDR + 4, 0, 0);
	vr_publish(&r->m, TX, 0);
	virtio_device_pause(r->dev);
	EXPECT(tx_wait(r) && host_reads(fd, "last", 4));
	close(fd);
	close(l);
	rig_teardown(r);
}

TEST(vsock_host_that_closes_unread_bytes_resets)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 8);
	int fd = open_from_guest(t, r, 1000, 5, l);

	EXPECT(send_bytes(r, 1000, 5, "never read", 10));
	close(fd);
	do {
		EXPECT(receive(r));
	} while (r->h.op == SHUTDOWN || r->h.op == UPDATE);
	EXPECT(r->h.op == RST);
	close(l);
	rig_teardown(r);
}

TEST(vsock_unknown_packets_are_answered_or_dropped)
{
	struct rig *r = rig_setup(VR_NUM);
	static const u16 ops[] = { 0, RESPONSE, SHUTDOWN, RW, UPDATE, ASK, 8,
				   0xffff };
	struct virtio_vsock_hdr h;

	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
		EXPECT(send_op(r, ops[i], 50 + i, 5, 3));
		EXPECT(receive_op(r, RST, 50 + i, 5));
	}
	EXPECT(send_op(r, RST, 1, 5, 0));
	h = header(r, REQUEST, 1, 5);
	h.src_cid = CID + 1;
	EXPECT(send_raw(r, &h, NULL, 0));
	h.src_cid = CID | 1ULL << 32;
	EXPECT(send_raw(r, &h, NULL, 0));
	EXPECT(!receive_in(r, 50));
	h.src_cid = CID;
	h.dst_cid = 0x100000002;
	EXPECT(send_raw(r, &h, NULL, 0));
	EXPECT(receive(r) && r->h.op == RST && r->h.src_cid == 0x100000002 &&
	       r->h.dst_cid == CID);
	h = header(r, REQUEST, 1, 5);
	h.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	EXPECT(send_raw(r, &h, NULL, 0));
	EXPECT(receive_op(r, RST, 1, 5) && r->h.type == h.type);
	rig_teardown(r);
}

TEST(vsock_bad_packets_reset_their_connection)
{
	struct rig *r = rig_setup(VR_NUM);
	static const struct {
		u16 op;
		u32 len;
	} bad[] = {
		{ 0, 0 }, { 8, 0 }, { 0xffff, 0 }, { RESPONSE, 0 },
		{ REQUEST, 0 }, { RW, 5 }, { RW, 0xffffffff },
		{ RW, 0xffffffff - HDR + 1 }, { RW, 0x80000000 },
		{ RW, ALLOC + 1 },
	};
	int l = host_listen(r, 5, 8);

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct virtio_vsock_hdr h = header(r, bad[i].op, 1000, 5);
		int fd = open_from_guest(t, r, 1000, 5, l);

		h.len = bad[i].len;
		EXPECT(send_raw(r, &h, "four", 4));
		EXPECT(receive_op(r, RST, 1000, 5));
		EXPECT(host_sees_end(fd));
		close(fd);
	}
	/* A length that is less than what is there counts. */
	close(open_from_guest(t, r, 1000, 5, l));
	close(l);
	rig_teardown(r);
}

TEST(vsock_chain_without_room_for_a_header_needs_reset)
{
	struct rig *r = rig_setup(VR_NUM);

	tx_publish(r, HDR - 1);
	EXPECT(driver_needs_reset(r->dev) && tx_wait(r));
	bring_up(r, 0);
	VR_PUT(&r->m, vr_desc(TX), 0, TX_GPA, 64, VRING_DESC_F_WRITE, 0);
	vr_publish(&r->m, TX, 0);
	virtio_notify(r->dev, TX);
	EXPECT(driver_needs_reset(r->dev));
	bring_up(r, 0);
	VR_PUT(&r->m, vr_desc(RX), 0, RX_GPA(0), HDR, VRING_DESC_F_WRITE, 0);
	vr_publish(&r->m, RX, 0);
	EXPECT(send_op(r, REQUEST, 1, 5, 0));
	EXPECT(driver_needs_reset(r->dev));
	bring_up(r, VR_NUM);
	EXPECT(send_op(r, REQUEST, 1, 5, 0));
	EXPECT(receive_op(r, RST, 1, 5));
	rig_teardown(r);
}

TEST(vsock_replies_without_buffers_are_bounded_and_resume)
{
	struct rig *r = rig_setup(0);
	struct virtio_vsock_hdr h = header(r, UPDATE, 1, 5);
	unsigned int taken = 0;

	while (taken < 1000) {
		gmem_write(&r->m.g, TX_GPA, &h, HDR);
		tx_publish(r, HDR);
		for (unsigned int i = 0; i < 500; i++) {
			if (vr_used_idx(&r->m, TX) == (u16)(taken + 1))
				break;
			nap();
		}
		if (vr_used_idx(&r->m, TX) != (u16)(taken + 1))
			break;
		taken++;
	}
	EXPECT(taken == 256);
	for (unsigned int i = 0; i < VR_NUM; i++)
		post_rx(r, i);
	virtio_notify(r->dev, RX);
	for (unsigned int i = 0; i < 257; i++)
		EXPECT(receive_op(r, RST, 1, 5));
	EXPECT(vr_used_idx(&r->m, TX) == 257);
	rig_teardown(r);
}

TEST(vsock_survives_a_storm_of_resets)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 5, 64);
	int fd;

	/* More than have a large buffer at once */
	for (unsigned int i = 0; i < 600; i++) {
		EXPECT(send_op(r, REQUEST, i, 5, 0));
		EXPECT(send_op(r, RST, i, 5, 0));
		EXPECT(send_op(r, RST, i, 5, 0));
		fd = accept(l, NULL, NULL);
		EXPECT(fd >= 0 && host_sees_end(fd));
		close(fd);
	}
	while (receive_in(r, 20))
		;
	close(open_from_guest(t, r, 1000, 5, l));
	EXPECT(r->h.buf_alloc == ALLOC);
	close(l);
	rig_teardown(r);
}

static void naps(void)
{
	for (unsigned int i = 0; i < 100; i++)
		nap();
}

static void post_all(struct rig *r)
{
	for (unsigned int i = 0; i < VR_NUM; i++)
		post_rx(r, i);
	virtio_notify(r->dev, RX);
}

/* While there is no buffer what is due waits, and what is over is not said any more. */
TEST(vsock_packets_that_wait_come_in_order)
{
	struct rig *r = rig_setup(0);
	int l = host_listen(r, 5, 8), fd[2];

	for (u32 i = 0; i < 2; i++) {
		EXPECT(send_op(r, REQUEST, 1000 + i, 5, 0));
		fd[i] = accept(l, NULL, NULL);
		EXPECT(write(fd[i], "early", 5) == 5);
	}
	naps();
	EXPECT(send_op(r, ASK, 1001, 5, 0) && send_op(r, 0, 1001, 5, 0));
	EXPECT(host_sees_end(fd[1]));
	post_all(r);
	EXPECT(receive(r) && r->h.op == RESPONSE && r->h.dst_port == 1000);
	EXPECT(receive_op(r, RST, 1001, 5));
	EXPECT(receive_op(r, RW, 1000, 5) && r->h.len == 5);
	EXPECT(!receive_in(r, 50));
	close(fd[0]);
	close(fd[1]);
	close(l);
	rig_teardown(r);
}

/* The guest was not asked yet when the host went. */
TEST(vsock_guest_hears_no_end_of_what_it_never_knew)
{
	struct rig *r = rig_setup(0);
	int fd = host_dial(r->path);
	bool asked = false;

	EXPECT(write(fd, "CONNECT 7\n", 10) == 10);
	naps();
	close(fd);
	naps();
	fd = host_dial(r->path);
	EXPECT(write(fd, "CONNECT 8\n", 10) == 10);
	post_all(r);
	while (receive(r) && r->h.dst_port != 8) {
		EXPECT(asked || r->h.op == REQUEST);
		asked = true;
	}
	EXPECT(r->h.op == REQUEST && r->h.dst_port == 8);
	close(fd);
	rig_teardown(r);
}

TEST(vsock_bad_hello_is_closed)
{
	static const char *const bad[] = {
		"CONNECT\n", "CONNECT\x20\n", "CONNECT x\n", "CONNECT -1\n",
		"CONNECT 4294967296\n", "CONNECT 1\x20\n", "connect 1\n", "\n",
		"GET / HTTP/1.0\r\n", "CONNECT 00000000000000000000000000001\n",
		"CONNECT 1\r\n",
	};
	struct rig *r = rig_setup(VR_NUM);
	u32 hp;
	int fd;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = host_dial(r->path);
		EXPECT(write(fd, bad[i], strlen(bad[i])) > 0);
		EXPECT(host_sees_end(fd));
		close(fd);
	}
	/* In pieces is fine; gone before the guest was asked as well. */
	fd = host_dial(r->path);
	close(fd);
	fd = host_dial(r->path);
	EXPECT(write(fd, "CONN", 4) == 4);
	EXPECT(!receive_in(r, 20));
	EXPECT(write(fd, "ECT 8", 5) == 5);
	EXPECT(!receive_in(r, 20));
	EXPECT(write(fd, "0\n", 2) == 2);
	EXPECT(receive(r) && r->h.op == REQUEST && r->h.dst_port == 80);
	hp = r->h.src_port;
	close(fd);
	/* At once, and not when the guest has had its time */
	EXPECT(receive_in(r, 2000) && r->h.op == RST && r->h.src_port == hp);
	/* Nor is one waited for that says nothing. */
	fd = host_dial(r->path);
	EXPECT(write(fd, "CONN", 4) == 4 && !receive_in(r, 20));
	__atomic_add_fetch(&later_ns, 11000000000ULL, __ATOMIC_RELAXED);
	virtio_notify(r->dev, TX);
	EXPECT(host_sees_end(fd));
	close(fd);
	rig_teardown(r);
}

static bool accept_fails;
static unsigned int accepts;

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	__atomic_add_fetch(&accepts, 1, __ATOMIC_RELAXED);
	if (__atomic_load_n(&accept_fails, __ATOMIC_RELAXED)) {
		errno = EMFILE;
		return -1;
	}
	return (int)syscall(SYS_accept4, fd, addr, len, flags);
}

/* Without a descriptor for it, a host program waits, and nothing goes round and round. */
TEST(vsock_host_waits_for_a_descriptor)
{
	struct rig *r = rig_setup(VR_NUM);
	int fd;

	__atomic_store_n(&accept_fails, true, __ATOMIC_RELAXED);
	__atomic_store_n(&accepts, 0, __ATOMIC_RELAXED);
	fd = host_dial(r->path);
	EXPECT(write(fd, "CONNECT 7\n", 10) == 10 && !receive_in(r, 50));
	EXPECT(__atomic_load_n(&accepts, __ATOMIC_RELAXED) < 100);
	__atomic_store_n(&accept_fails, false, __ATOMIC_RELAXED);
	EXPECT(receive(r) && r->h.op == REQUEST && r->h.dst_port == 7);
	close(fd);
	rig_teardown(r);
}

/* The guest may be connected with any port of the host's. */
TEST(vsock_host_has_a_port_of_its_own)
{
	struct rig *r = rig_setup(VR_NUM);
	int l = host_listen(r, 0x40000000, 8);
	int fd = open_from_guest(t, r, 9, 0x40000000, l), other;
	char path[96];
	u32 hp = 0;

	other = open_from_host(t, r, 9, &hp);
	EXPECT(hp == 0x40000001);
	EXPECT(send_bytes(r, 9, hp, "two", 3) && send_bytes(r, 9, 0x40000000, "one", 3));
	EXPECT(host_reads(other, "two", 3) && host_reads(fd, "one", 3));
	close(other);
	close(fd);
	close(l);
	snprintf(path, sizeof(path), "%s_%u", r->path, 0x40000000);
	unlink(path);
	rig_teardown(r);
}

/* As with EVENT_IDX: whether the driver is to kick for its next buffer */
static bool kick_is_asked_for(struct rig *r, unsigned int q)
{
	u16 *event = vr_u16(&r->m, vr_used(q) + 4 + 8 * VR_NUM);

	return DRIVER_WAIT(__atomic_load_n(event, __ATOMIC_ACQUIRE) ==
			   *vr_u16(&r->m, vr_avail(q) + 2));
}

TEST(vsock_asks_for_kicks_where_it_waits)
{
	struct rig *r = rig_setup(3);
	struct virtio_vsock_hdr h = header(r, UPDATE, 1, 5);

	for (unsigned int i = 0; i < 4; i++) {
		EXPECT(send_raw(r, &h, NULL, 0) && kick_is_asked_for(r, TX));
		EXPECT(driver_wait_used(&r->m, RX, MIN(i + 1, 3U)));
	}
	EXPECT(kick_is_asked_for(r, RX));
	/* What was to be said to the last driver is not said to the next. */
	bring_up(r, VR_NUM);
	EXPECT(!receive_in(r, 30));
	rig_teardown(r);
}

TEST(vsock_parses_what_fits_and_no_more)
{
	char line[VSOCK_CONNECT_MAX] = "CONNECT ";
	u32 port = 0;

	EXPECT(!vsock_parse_connect("", 0, &port));
	EXPECT(!vsock_parse_connect("C", 1, &port));
	EXPECT(!vsock_parse_connect("CONNECT 42", 10, &port));
	EXPECT(vsock_parse_connect("CONNECT 42\nCONNECT", 18, &port) == 11);
	EXPECT(port == 42);
	EXPECT(vsock_parse_connect("CONNECT 4294967295\n", 19, &port) == 19);
	EXPECT(port == 0xffffffff);
	EXPECT(vsock_parse_connect("CX", 2, &port) == -EPROTO);
	memset(line + 8, '0', sizeof(line) - 8);
	EXPECT(!vsock_parse_connect(line, sizeof(line) - 1, &port));
	EXPECT(vsock_parse_connect(line, sizeof(line), &port) == -EPROTO);
}

TEST(vsock_socket_file_is_private_and_removed)
{
	struct rig *r = rig_setup(0);
	struct vsock_listener l;
	struct report why = { "" };
	struct stat st;
	char path[64];
	int fd;

	EXPECT(!lstat(r->path, &st) && S_ISSOCK(st.st_mode) &&
	       (st.st_mode & 0777) == 0600);
	EXPECT(vsock_listen(&l, r->path, &why) == -EADDRINUSE && l.fd < 0);
	EXPECT(strstr(why.msg, r->path));
	snprintf(path, sizeof(path), "%s", r->path);
	virtio_device_free(r->dev);
	r->dev = NULL;
	EXPECT(lstat(path, &st) < 0 && errno == ENOENT);

	/* One that is left over, as after SIGKILL, is replaced. */
	EXPECT(!vsock_listen(&l, path, NULL));
	close(l.fd);
	EXPECT(!rig_create(r));
	fd = host_dial(path);
	EXPECT(fd >= 0);
	close(fd);
	/* What was put in its place is not removed. */
	unlink(path);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	virtio_device_free(r->dev);
	r->dev = NULL;
	EXPECT(!lstat(path, &st) && S_ISREG(st.st_mode));
	EXPECT(vsock_listen(&l, path, NULL) == -EEXIST);
	EXPECT(vsock_listen(&l, "/nonexistent/s", NULL) == -ENOENT);
	memset(path, 'x', sizeof(path));
	EXPECT(!lstat(r->path, &st));
	rig_teardown(r);
}

TEST(vsock_path_leaves_room_for_any_port)
{
	struct vsock_listener l;
	char path[108];

	memset(path, 'x', sizeof(path));
	memcpy(path, "/nonexistent/", 13);
	path[96] = '\0';
	EXPECT(vsock_listen(&l, path, NULL) == -ENOENT);
	path[96] = 'x';
	path[97] = '\0';
	EXPECT(vsock_listen(&l, path, NULL) == -ENAMETOOLONG);
}

TEST(vsock_connections_outlive_a_pause_but_not_a_reset)
{
	struct rig *r = rig_setup(VR_NUM);
	u32 hp = 0;
	int fd = open_from_host(t, r, 9, &hp), half;
	u32 half_port = 0;

	EXPECT(!virtio_device_pause(r->dev));
	EXPECT(write(fd, "meanwhile", 9) == 9);
	EXPECT(!receive_in(r, 50));
	EXPECT(!virtio_device_resume(r->dev));
	EXPECT(receive_op(r, RW, 9, hp) && r->h.len == 9);
	EXPECT(send_bytes(r, 9, hp, "back", 4));
	EXPECT(host_reads(fd, "back", 4));
	/* One that the guest only listens to any more is no other. */
	half = open_from_host(t, r, 9, &half_port);
	EXPECT(send_op(r, SHUTDOWN, 9, half_port, VIRTIO_VSOCK_SHUTDOWN_SEND));
	EXPECT(host_sees_end(half) && send(half, "x", 1, MSG_NOSIGNAL) == 1);
	virtio_set_status(r->dev, 0);
	EXPECT(host_sees_end(fd) && send(half, "x", 1, MSG_NOSIGNAL) < 0);
	close(half);
	close(fd);
	bring_up(r, VR_NUM);
	EXPECT(send_bytes(r, 9, hp, "who?", 4));
	EXPECT(receive_op(r, RST, 9, hp));
	rig_teardown(r);
}

TEST(vsock_waits_no_shorter_for_a_pause)
{
	struct rig *r = rig_setup(VR_NUM);
	int fd = host_dial(r->path);

	EXPECT(write(fd, "CONNECT 9\n", 10) == 10);
	EXPECT(receive(r) && r->h.op == REQUEST);
	EXPECT(!virtio_device_pause(r->dev));
	__atomic_store_n(&later_ns, 3600000000000ULL, __ATOMIC_RELAXED);
	EXPECT(!virtio_device_resume(r->dev));
	for (unsigned int i = 0; i < 100; i++)
		nap();
	EXPECT(send_op(r, RESPONSE, 9, r->h.src_port, 0));
	EXPECT(host_reads(fd, "OK ", 3));
	/* But it does wait for an end. */
	close(fd);
	fd = host_dial(r->path);
	EXPECT(write(fd, "CONNECT 9\n", 10) == 10);
	while (receive(r) && r->h.op != REQUEST)
		;
	__atomic_store_n(&later_ns, 7200000000000ULL, __ATOMIC_RELAXED);
	virtio_notify(r->dev, TX);
	EXPECT(host_sees_end(fd));
	close(fd);
	rig_teardown(r);
}

TEST(vsock_restored_guest_is_told_that_connections_are_gone)
{
	struct rig *r = rig_setup(VR_NUM);
	struct state_out out = { 0 };
	struct state_in in;
	struct virtio_vsock_event e = { .id = 99 };
	u32 hp = 0;
	int fd = open_from_host(t, r, 9, &hp);

	VR_PUT(&r->m, vr_desc(EV), 0, VR_DATA, sizeof(e), VRING_DESC_F_WRITE, 0);
	vr_publish(&r->m, EV, 0);
	gmem_write(&r->m.g, VR_DATA, &e, sizeof(e));
	virtio_notify(r->dev, EV);
	EXPECT(!virtio_device_pause(r->dev));
	virtio_device_save(r->dev, &out);
	virtio_device_free(r->dev);
	EXPECT(host_sees_end(fd));
	close(fd);
	EXPECT(!rig_create(r));
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(!virtio_device_restore(r->dev, &in));
	EXPECT(vr_used_idx(&r->m, EV) == 0);
	EXPECT(!virtio_device_resume(r->dev));
	for (unsigned int i = 0; i < 50000 && !vr_used_idx(&r->m, EV); i++)
		nap();
	EXPECT(vr_used_idx(&r->m, EV) == 1);
	gmem_read(&r->m.g, VR_DATA, &e, sizeof(e));
	EXPECT(e.id == VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	EXPECT(send_bytes(r, 9, hp, "x", 1));
	EXPECT(receive_op(r, RST, 9, hp));
	state_out_free(&out);
	rig_teardown(r);
}

static void post_event(struct rig *r, unsigned int slot, u32 len)
{
	VR_PUT(&r->m, vr_desc(EV), slot, VR_DATA + 8 * slot, len, VRING_DESC_F_WRITE, 0);
	vr_publish(&r->m, EV, slot);
	virtio_notify(r->dev, EV);
}

/* A buffer that is too short has not said it; a driver that starts over knows. */
TEST(vsock_restored_guest_is_told_until_it_has_heard)
{
	struct rig *r = rig_setup(VR_NUM);
	struct state_out out = { 0 };
	struct virtio_vsock_event e;
	struct state_in in;

	EXPECT(!virtio_device_pause(r->dev));
	virtio_device_save(r->dev, &out);
	for (unsigned int i = 0; i < 2; i++) {
		in = (struct state_in){ .buf = out.buf, .len = out.len };
		EXPECT(!virtio_device_restore(r->dev, &in));
		EXPECT(!virtio_device_resume(r->dev));
		if (!i) {
			post_event(r, 0, 3);
			EXPECT(driver_wait_used(&r->m, EV, 1) && kick_is_asked_for(r, EV));
			post_event(r, 1, sizeof(e));
			EXPECT(driver_wait_used(&r->m, EV, 2));
			gmem_read(&r->m.g, VR_DATA + 8, &e, sizeof(e));
			EXPECT(e.id == VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
		}
		bring_up(r, VR_NUM);
		post_event(r, 0, sizeof(e));
		EXPECT(send_op(r, UPDATE, 1, 5, 0) && receive_op(r, RST, 1, 5));
		EXPECT(vr_used_idx(&r->m, EV) == 0);
		bring_up(r, VR_NUM);
		EXPECT(!virtio_device_pause(r->dev));
	}
	state_out_free(&out);
	rig_teardown(r);
}

TEST(vsock_guest_that_starts_over_is_not_told_of_connections)
{
	struct rig *r = rig_setup(VR_NUM);
	struct state_out out = { 0 };
	struct state_in in;
	u32 hp = 0;
	int fd;

	VR_PUT(&r->m, vr_desc(EV), 0, VR_DATA, 8, VRING_DESC_F_WRITE, 0);
	vr_publish(&r->m, EV, 0);
	EXPECT(!virtio_device_pause(r->dev));
	virtio_device_save(r->dev, &out);
	in = (struct state_in){ .buf = out.buf, .len = out.len, .fresh = true };
	EXPECT(!virtio_device_restore(r->dev, &in));
	EXPECT(!virtio_device_resume(r->dev));
	virtio_notify(r->dev, EV);
	fd = open_from_host(t, r, 9, &hp);
	EXPECT(fd >= 0 && vr_used_idx(&r->m, EV) == 0);
	close(fd);
	state_out_free(&out);
	rig_teardown(r);
}

TEST(vsock_configuration_is_the_cid)
{
	unsigned int before = open_files();
	struct rig *r = rig_setup(0);
	__le64 cid = 0;

	virtio_config_read(r->dev, 0, &cid, sizeof(cid));
	EXPECT(cid == CID);
	rig_teardown(r);
	EXPECT(open_files() == before);
}

/* All the descriptors that this process may have. */
static rlim_t raise_limit(void)
{
	struct rlimit l;

	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	return l.rlim_cur;
}

TEST(vsock_connections_are_bounded)
{
	struct rig *r = rig_setup(VR_NUM);
	unsigned int open = 0, max = 8192, small = 0;
	int l[3];

	if (raise_limit() < max + 100) {
		printf("# only %u descriptors allowed\n", (u32)raise_limit());
		max = raise_limit() - 50;
	}
	for (unsigned int i = 0; i < 3; i++)
		l[i] = host_listen(r, 1 + i, 4096);
	for (unsigned int i = 0; i < max; i++) {
		u32 hp = 1 + i / 3000;

		if (!send_op(r, REQUEST, i, hp, 0) || !receive(r) ||
		    r->h.op != RESPONSE)
			break;
		small += r->h.buf_alloc < ALLOC;
		open++;
	}
	EXPECT(open >= MIN(max, 4096U));
	EXPECT(small == open - 512);
	EXPECT(send_op(r, REQUEST, 100000, 3, 0));
	EXPECT(max != 8192 || (receive_op(r, RST, 100000, 3) && open == 8192));
	/* One goes, another comes. */
	EXPECT(send_op(r, RST, 0, 1, 0));
	EXPECT(send_op(r, REQUEST, 100001, 3, 0));
	EXPECT(max != 8192 || receive_op(r, RESPONSE, 100001, 3));
	for (unsigned int i = 0; i < 3; i++)
		close(l[i]);
	rig_teardown(r);
}

TEST(vsock_connections_are_as_many_as_the_host_says)
{
	struct rig *r = rig_setup_of(VR_NUM, 3);
	int l = host_listen(r, 1, 16), fd;

	for (unsigned int i = 0; i < 3; i++)
		EXPECT(send_op(r, REQUEST, i, 1, 0) &&
		       receive_op(r, RESPONSE, i, 1));
	EXPECT(send_op(r, REQUEST, 3, 1, 0) && receive_op(r, RST, 3, 1));
	fd = host_dial(r->path);
	EXPECT(host_sees_end(fd));
	close(fd);
	close(l);
	rig_teardown(r);
}

TEST(vsock_a_thousand_host_connections)
{
	struct rig *r = rig_setup(VR_NUM);
	unsigned int nr = MIN(1000U, (u32)raise_limit() / 2 - 50);
	int *fd = calloc(nr, sizeof(*fd));
	u32 *hp = calloc(nr, sizeof(*hp));

	for (unsigned int i = 0; i < nr; i++)
		fd[i] = open_from_host(t, r, 9, &hp[i]);
	for (unsigned int i = 0; i < nr; i++) {
		EXPECT(send_bytes(r, 9, hp[i], &i, sizeof(i)));
		EXPECT(host_reads(fd[i], &i, sizeof(i)));
		EXPECT(write(fd[i], &i, sizeof(i)) == sizeof(i));
		EXPECT(receive_op(r, RW, 9, hp[i]) &&
		       !memcmp(r->data, &i, sizeof(i)));
	}
	for (unsigned int i = 0; i < nr; i++)
		close(fd[i]);
	free(fd);
	free(hp);
	rig_teardown(r);
}

TEST_MAIN(T(vsock_host_connects_and_bytes_go_both_ways),
	  T(vsock_bytes_behind_connect_line_reach_the_guest),
	  T(vsock_refusal_by_the_guest_ends_the_host_socket),
	  T(vsock_guest_connects_to_a_listener_or_is_refused),
	  T(vsock_guest_waits_for_a_full_backlog),
	  T(vsock_host_that_never_reads_stops_only_its_own_connection),
	  T(vsock_guest_beyond_its_credit_is_reset),
	  T(vsock_guest_gets_no_more_than_its_credit),
	  T(vsock_credit_that_lies_gives_what_it_says_and_harms_nobody),
	  T(vsock_half_close_by_the_guest),
	  T(vsock_half_close_by_the_host),
	  T(vsock_guest_may_take_its_time_to_close),
	  T(vsock_guest_that_does_not_wait_for_its_turn),
	  T(vsock_bytes_of_a_slow_host_stay_in_order),
	  T(vsock_credit_is_told_when_asked_and_once),
	  T(vsock_packets_are_of_64_kib_at_most),
	  T(vsock_bytes_sent_before_a_close_are_not_lost),
	  T(vsock_bytes_sent_before_a_close_outlast_the_driver),
	  T(vsock_bytes_sent_before_a_close_need_no_other_driver),
	  T(vsock_without_a_driver_is_still_when_paused),
	  T(vsock_end_of_the_device_is_the_end),
	  T(vsock_bytes_sent_before_a_close_outlast_the_vm),
	  T(vsock_takes_what_is_in_the_ring_before_it_stops),
	  T(vsock_host_that_closes_unread_bytes_resets),
	  T(vsock_unknown_packets_are_answered_or_dropped),
	  T(vsock_bad_packets_reset_their_connection),
	  T(vsock_chain_without_room_for_a_header_needs_reset),
	  T(vsock_replies_without_buffers_are_bounded_and_resume),
	  T(vsock_survives_a_storm_of_resets),
	  T(vsock_packets_that_wait_come_in_order),
	  T(vsock_guest_hears_no_end_of_what_it_never_knew),
	  T(vsock_bad_hello_is_closed),
	  T(vsock_host_waits_for_a_descriptor),
	  T(vsock_host_has_a_port_of_its_own),
	  T(vsock_asks_for_kicks_where_it_waits),
	  T(vsock_parses_what_fits_and_no_more),
	  T(vsock_socket_file_is_private_and_removed),
	  T(vsock_path_leaves_room_for_any_port),
	  T(vsock_connections_outlive_a_pause_but_not_a_reset),
	  T(vsock_waits_no_shorter_for_a_pause),
	  T(vsock_restored_guest_is_told_that_connections_are_gone),
	  T(vsock_restored_guest_is_told_until_it_has_heard),
	  T(vsock_guest_that_starts_over_is_not_told_of_connections),
	  T(vsock_configuration_is_the_cid),
	  T(vsock_connections_are_bounded),
	  T(vsock_connections_are_as_many_as_the_host_says),
	  T(vsock_a_thousand_host_connections))
