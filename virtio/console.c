// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio console, virtio 1.2 s5.3.
 *
 * Theory of operation
 *
 * Up to CONSOLE_MAX_PORTS ports, each with a receiveq and a transmitq, and two
 * control queues if there is more than one port or the first is no console.
 * A port's other side is either a pair of functions, for those inside of lkvm,
 * or a stream of the host, which a thread of the device serves.
 *
 * Bytes are taken out of a transmitq where the kick arrives, as many as there is
 * room for. Without room a chain stays in the ring, with a note of how much of
 * it is done, and the ring is looked at again once there is room: by the thread
 * when the stream took some, or when the owner of the functions says so. So a
 * slow reader costs PORT_OUT bytes and no vCPU waits for it; a driver that likes
 * to wait does so in the guest. To a driver that resets the device all of that is
 * sent long ago, as to Linux when it powers off: what stands in the rings of
 * streams is taken at once then, into a buffer that grows for it and shrinks when
 * it is written. Only then, as it is the one end at which guest memory is sure to
 * be the driver's still. Input goes into as many receive buffers as the
 * driver has offered; the rest waits for the kick that tells of more.
 *
 * With nobody at the other side, what a driver sends is dropped: a console has
 * to boot with nobody looking. A Linux guest does not send then to a port that
 * is no console. Input waits until the guest has opened the port.
 *
 * Control messages to the driver are kept as what is left to be told of each
 * port, not as a queue, and go out as it offers buffers.
 *
 * Threads: vCPUs, main, and one of ours if there are streams: from activation to
 * deactivation, and without a driver if the last one sent what they have not taken,
 * or one that is still to come had an emergency.
 * Locks: dev->lock > notify_lock > console->lock. The last guards
 * the queues and all of a port but the stream, which is the thread's (and the
 * main thread's when that is not there), and is held while an output function
 * is called, which keeps bytes in order and must not call into the console. The
 * thread takes no lock but this, and none while it reads or writes a stream.
 *
 * Not supported: adding and removing ports at run time.
 *
 * A chain in the wrong direction moves no bytes and is given back. Control
 * messages that are short, unknown, or of a port that is not there are ignored.
 * A driver that refills its queues without end is served for a bounded number of
 * chains at a time.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include "kvm/clock.h"
#include "kvm/eventfd.h"
#include "kvm/stream.h"
#include "kvm/thread.h"
#include "kvm/virtio.h"

#define CONSOLE_MAX_PORTS VIRTIO_CONSOLE_MAX_PORTS
#define CONSOLE_QUEUES (2 * (CONSOLE_MAX_PORTS + 1))
#define CONSOLE_RX_CONTROL 2
#define CONSOLE_TX_CONTROL 3
#define CONSOLE_QUEUE_MAX 256
#define PORT_QUEUE_MAX 64
#define CONSOLE_BUDGET (4 * VIRTQUEUE_MAX_SIZE)
#define CONSOLE_STATE_VERSION 2
#define CONSOLE_CONFIG_LEN sizeof(struct virtio_console_config)
#define PORT_OUT 0x10000U
#define PORT_IN 0x4000U
/* Linux sends as much in a chain. */
#define PORT_CHAIN 0x8000U

static_assert(CONSOLE_QUEUES <= VIRTIO_MAX_QUEUES, "queues of all ports");

/* What is left to be told to the driver of a port. */
enum {
	TELL_ADD = 1,
	TELL_CONSOLE = 2,
	TELL_NAME = 4,
	TELL_RESIZE = 8,
	TELL_ALL = 15,
};

/**
 * struct port - one port
 * @tell: TELL_*; @ready: the driver knows the port; @guest_open: it has it open
 * @told_open: what the driver was told last of @host_open
 * @tx_done: bytes taken of the chain at the head of transmitq
 * @more: transmitq was left with chains that are not waiting for room
 * @starved: input was offered that found no receive buffer
 * @lost: a positive errno: what the stream did not take is lost
 * @out: a ring of @out_size bytes for the stream, PORT_OUT if not more; @in: PORT_IN bytes from it
 */
struct port {
	struct virtio_console_port opts;
	u8 tell;
	bool ready;
	bool guest_open;
	bool host_open;
	bool told_open;
	bool more;
	bool starved;
	u32 tx_done;
	int lost;
	u8 *out;
	u32 out_size;
	u32 out_pos;
	u32 out_len;
	u8 *in;
	u32 in_pos;
	u32 in_len;
};

struct console {
	struct virtio_device *dev;
	unsigned int nr_ports;
	bool has_streams;
	int wake_fd;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;	/* guards the queues and all below */
	pthread_cond_t moved;
	u64 nr_moved;
	bool active;
	bool multiport;
	bool stop;
	u16 columns;
	u16 rows;
	struct port port[CONSOLE_MAX_PORTS];
};

static const char *port_name(const struct port *p)
{
	return p->opts.name ? p->opts.name : "0";
}

static struct virtqueue *port_rx(struct console *c, const struct port *p)
{
	unsigned int i = p - c->port;

	return &c->dev->queue[i ? 2 + 2 * i : 0];
}

static struct virtqueue *port_tx(struct console *c, const struct port *p)
{
	return port_rx(c, p) + 1;
}

static bool queue_usable(const struct console *c, const struct virtqueue *vq)
{
	return c->active && vq->ready && !vq->broken &&
	       (c->multiport || vq->index < 2);
}

/* Without control messages there is one port, and it is open. */
static bool port_wants_input(const struct console *c, const struct port *p)
{
	return c->active && (c->multiport ? p->guest_open : p == c->port);
}

static void console_wake(struct console *c)
{
	eventfd_signal(c->wake_fd);
}

/* Whoever serves the other side of @p is to look at it again. */
static void port_wake(struct console *c, const struct port *p)
{
	if (p->opts.stream)
		console_wake(c);
	else if (p->opts.wake)
		p->opts.wake(p->opts.opaque);
}

static void console_moved(struct console *c)
{
	c->nr_moved++;
	pthread_cond_broadcast(&c->moved);
}

/* Output: what the guest sends. Return: how many bytes found room. */
static size_t port_put(struct console *c, struct port *p, const u8 *d,
		       size_t len)
{
	size_t done = 0;

	if (p->opts.output)
		return p->opts.output(p->opts.opaque, d, len);
	if (!p->opts.stream || !p->host_open)
		return len;
	if (!p->out_len)
		console_wake(c);
	while (done < len && p->out_len < p->out_size) {
		u32 at = (p->out_pos + p->out_len) % p->out_size;
		u32 n = MIN(p->out_size - p->out_len, p->out_size - at);

		n = MIN(n, len - done);
		memcpy(p->out + at, d + done, n);
		p->out_len += n;
		done += n;
	}
	return done;
}

/* Return: whether all of @chain has been taken. */
static bool port_take(struct console *c, struct port *p,
		      const struct vq_chain *chain)
{
	size_t off = 0;

	for (u16 i = 0; i < chain->nr_out; i++) {
		const struct iovec *v = &chain->iov[i];
		size_t skip = 0, n;

		if (p->tx_done > off)
			skip = MIN(p->tx_done - off, v->iov_len);
		off += v->iov_len;
		if (skip == v->iov_len)
			continue;
		n = port_put(c, p, (u8 *)v->iov_base + skip,
			     v->iov_len - skip);
		p->tx_done += n;
		if (n < v->iov_len - skip)
			return false;
	}
	p->tx_done = 0;
	return true;
}

/* Return: whether nothing is left in the queue. */
static bool port_transmit(struct console *c, struct port *p)
{
	struct virtqueue *vq = port_tx(c, p);
	unsigned int budget = CONSOLE_BUDGET;
	struct vq_chain chain;
	bool more, room = true;

	p->more = false;
	if (!queue_usable(c, vq))
		return true;
	do {
		while (room && budget && virtqueue_pop(vq, &chain) > 0) {
			budget--;
			room = port_take(c, p, &chain);
			if (room)
				virtqueue_push(vq, &chain, 0);
			else
				virtqueue_unpop(vq);
		}
		more = room && virtqueue_set_notify(vq, true);
	} while (more && budget && !vq->broken);
	virtqueue_signal(vq);
	if (budget < CONSOLE_BUDGET)
		console_moved(c);
	/* Its kick has been: go on later, others wait for the lock. */
	if (more && !vq->broken) {
		p->more = true;
		port_wake(c, p);
	}
	return room && !p->more;
}

/* Input: what the guest receives. Return: how many bytes found a buffer. */
static size_t port_receive(struct console *c, struct port *p, const u8 *d,
			   size_t len)
{
	struct virtqueue *vq = port_rx(c, p);
	unsigned int budget = CONSOLE_BUDGET;
	struct vq_chain chain;
	size_t done = 0;

	if (!queue_usable(c, vq) || !port_wants_input(c, p))
		return 0;
	while (done < len && budget-- && virtqueue_pop(vq, &chain) > 0) {
		size_t n = iov_write(chain.iov + chain.nr_out, chain.nr_in, 0,
				     d + done, len - done);

		virtqueue_push(vq, &chain, n);
		done += n;
	}
	virtqueue_signal(vq);
	return done;
}

static void port_feed(struct console *c, struct port *p)
{
	size_t n;

	if (!p->in_len)
		return;
	n = port_receive(c, p, p->in + p->in_pos, p->in_len);
	p->in_pos += n;
	p->in_len -= n;
	if (!p->in_len)
		console_wake(c);
}

/* Control messages, s5.3.6.2 */

static void control_write(struct virtqueue *vq, const struct vq_chain *chain,
			  const u8 *msg, size_t len)
{
	size_t n = iov_write(chain->iov + chain->nr_out, chain->nr_in, 0, msg,
			     len);

	virtqueue_push(vq, chain, n);
}

/* Makes the next message for @p. Return: its length, 0 when there is none. */
static size_t control_next(struct console *c, struct port *p, u8 *msg)
{
	struct virtio_console_control m = { .id = htole32(p - c->port) };
	size_t len = sizeof(m);

	if (p->tell & TELL_ADD) {
		m.event = htole16(VIRTIO_CONSOLE_PORT_ADD);
		p->tell &= ~TELL_ADD;
	} else if (p->tell & TELL_CONSOLE) {
		m.event = htole16(VIRTIO_CONSOLE_CONSOLE_PORT);
		m.value = htole16(1);
		p->tell &= ~TELL_CONSOLE;
	} else if (p->tell & TELL_NAME) {
		m.event = htole16(VIRTIO_CONSOLE_PORT_NAME);
		len += strlen(p->opts.name);
		memcpy(msg + sizeof(m), p->opts.name, len - sizeof(m));
		p->tell &= ~TELL_NAME;
	} else if (p->tell & TELL_RESIZE) {
		m.event = htole16(VIRTIO_CONSOLE_RESIZE);
		io_write_le(msg + sizeof(m), 2, c->columns);
		io_write_le(msg + sizeof(m) + 2, 2, c->rows);
		len += 4;
		p->tell &= ~TELL_RESIZE;
	} else if (p->ready && p->told_open != p->host_open) {
		m.event = htole16(VIRTIO_CONSOLE_PORT_OPEN);
		m.value = htole16(p->host_open);
		p->told_open = p->host_open;
	} else {
		return 0;
	}
	memcpy(msg, &m, sizeof(m));
	return len;
}

static bool control_wanted(const struct port *p)
{
	return p->tell || (p->ready && p->told_open != p->host_open);
}

static void control_send(struct console *c)
{
	struct virtqueue *vq = &c->dev->queue[CONSOLE_RX_CONTROL];
	u8 msg[sizeof(struct virtio_console_control) + VIRTIO_CONSOLE_NAME_MAX];
	struct vq_chain chain;

	if (!c->multiport || !queue_usable(c, vq))
		return;
	for (unsigned int i = 0; i < c->nr_ports; i++) {
		struct port *p = &c->port[i];

		while (control_wanted(p)) {
			if (virtqueue_pop(vq, &chain) <= 0)
				goto out;
			control_write(vq, &chain, msg, control_next(c, p, msg));
		}
	}
out:
	virtqueue_signal(vq);
}

static void port_added(struct console *c, struct port *p)
{
	p->ready = true;
	p->told_open = false;
	if (p->opts.name)
		p->tell |= TELL_NAME;
	if (p->opts.console)
		p->tell |= TELL_CONSOLE;
	if (p->opts.console && p == c->port && c->columns)
		p->tell |= TELL_RESIZE;
}

static void control_handle(struct console *c,
			   const struct virtio_console_control *m)
{
	u32 id = le32toh(m->id);
	u16 event = le16toh(m->event);
	bool value = m->value;
	struct port *p;

	if (event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned int i = 0; value && i < c->nr_ports; i++) {
			c->port[i].tell = TELL_ADD;
			c->port[i].ready = false;
			c->port[i].guest_open = false;
		}
		return;
	}
	if (id >= c->nr_ports)
		return;
	p = &c->port[id];
	if (event == VIRTIO_CONSOLE_PORT_READY && value) {
		port_added(c, p);
	} else if (event == VIRTIO_CONSOLE_PORT_OPEN) {
		p->guest_open = value;
		if (value)
			port_wake(c, p);
	}
}

static void control_receive(struct console *c)
{
	struct virtqueue *vq = &c->dev->queue[CONSOLE_TX_CONTROL];
	unsigned int budget = CONSOLE_BUDGET;
	struct virtio_console_control m;
	struct vq_chain chain;
	bool more;

	if (!c->multiport || !queue_usable(c, vq))
		return;
	do {
		while (budget && virtqueue_pop(vq, &chain) > 0) {
			budget--;
			if (iov_read(chain.iov, chain.nr_out, 0, &m,
				     sizeof(m)) == sizeof(m))
				control_handle(c, &m);
			virtqueue_push(vq, &chain, 0);
		}
		more = virtqueue_set_notify(vq, true);
	} while (more && budget && !vq->broken);
	virtqueue_signal(vq);
	control_send(c);
}

static void port_notify(struct console *c, struct port *p, bool tx)
{
	if (tx) {
		port_transmit(c, p);
		return;
	}
	port_feed(c, p);
	if (p->starved) {
		p->starved = false;
		port_wake(c, p);
	}
}

static void console_queue_notify(struct virtio_device *dev, unsigned int queue)
{
	struct console *c = dev->priv;
	unsigned int i = queue < 2 ? 0 : (queue - 2) / 2;

	pthread_mutex_lock(&c->lock);
	if (!queue_usable(c, &dev->queue[queue]))
		goto out_unlock;
	if (queue == CONSOLE_RX_CONTROL) {
		control_send(c);
		console_wake(c);
	} else if (queue == CONSOLE_TX_CONTROL) {
		control_receive(c);
	} else {
		port_notify(c, &c->port[i], queue & 1);
	}
out_unlock:
	pthread_mutex_unlock(&c->lock);
}

/* The thread. It holds the lock but while it waits, reads or writes. */

/* Who does not want to read more is no error; a full disk is. */
static void port_lost(struct console *c, struct port *p, int err)
{
	if (err == EPIPE || err == ECONNRESET || p->lost)
		return;
	p->lost = err;
	vm_log(c->dev->log, "port %s: output is lost: %s", port_name(p),
	       strerror(err));
}

/* The most there can be of output, with what a driver left behind. */
static u32 port_out_max(struct console *c, const struct port *p)
{
	return PORT_OUT + MAX(port_tx(c, p)->size_max, 2U) * PORT_CHAIN;
}

/*
 * Resize the output ring. It is empty, or at least doubles, so that the part that
 * has wrapped fits behind the old end. Return: whether @p->out has @size bytes now.
 */
static bool port_resize(struct port *p, u32 size)
{
	u32 old = p->out_size, end = p->out_pos + p->out_len;
	u8 *out = size == old ? p->out : realloc(p->out, size);

	if (!out)
		return false;
	p->out = out;
	p->out_size = size;
	if (size > old && end > old)
		memcpy(out + old, out, end - old);
	return true;
}

static void stream_push(struct console *c, struct port *p)
{
	while (p->out_len) {
		u32 len = MIN(p->out_len, p->out_size - p->out_pos);
		const u8 *d = p->out + p->out_pos;
		ssize_t n;

		pthread_mutex_unlock(&c->lock);
		n = stream_write(p->opts.stream, d, len);
		pthread_mutex_lock(&c->lock);
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			port_lost(c, p, -n);
			n = p->out_len;
		}
		p->out_pos = (p->out_pos + n) % p->out_size;
		p->out_len -= n;
		console_moved(c);
	}
	if (!p->out_len) {
		p->out_pos = 0;
		port_resize(p, PORT_OUT);
	}
}

static bool stream_pull_wanted(const struct console *c, const struct port *p)
{
	return !p->in_len && p->in && port_wants_input(c, p);
}

static void stream_pull(struct console *c, struct port *p)
{
	ssize_t n;

	if (!stream_pull_wanted(c, p) || !stream_readable(p->opts.stream))
		return;
	pthread_mutex_unlock(&c->lock);
	n = stream_read(p->opts.stream, p->in, PORT_IN);
	pthread_mutex_lock(&c->lock);
	p->in_pos = 0;
	p->in_len = n > 0 ? n : 0;
	port_feed(c, p);
}

/* The guest learns of a hang-up only behind what came before it. */
static void stream_look(struct console *c, struct port *p)
{
	bool open = stream_connected(p->opts.stream) || p->in_len;

	if (open == p->host_open)
		return;
	p->host_open = open;
	if (!open)
		port_transmit(c, p);
}

static void stream_serve(struct console *c, struct port *p,
			 const struct pollfd *poll)
{
	pthread_mutex_unlock(&c->lock);
	stream_polled(p->opts.stream, poll);
	pthread_mutex_lock(&c->lock);
	stream_push(c, p);
	if (p->out_len < p->out_size)
		port_transmit(c, p);
	if (poll[0].revents)
		stream_pull(c, p);
	stream_look(c, p);
}

/* Whoever comes next has to wait until the guest knows that one has left. */
static bool hangup_is_news(const struct port *p)
{
	return p->ready && p->told_open && !p->host_open;
}

static void console_wait(struct console *c, struct pollfd *p)
{
	int ms, timeout = -1;

	p[0] = (struct pollfd){ .fd = c->wake_fd, .events = POLLIN };
	for (unsigned int i = 0; i < c->nr_ports; i++) {
		const struct port *port = &c->port[i];
		struct pollfd *at = &p[1 + STREAM_POLL * i];

		if (!port->opts.stream || hangup_is_news(port)) {
			stream_poll_none(at);
			continue;
		}
		ms = stream_poll(port->opts.stream, at,
				 stream_pull_wanted(c, port), port->out_len);
		timeout = ms < 0 ? timeout : ms;
	}
	pthread_mutex_unlock(&c->lock);
	if (poll(p, 1 + STREAM_POLL * c->nr_ports, timeout) < 0)
		memset(p, 0, sizeof(*p) * (1 + STREAM_POLL * c->nr_ports));
	if (p[0].revents)
		eventfd_clear(c->wake_fd);
	pthread_mutex_lock(&c->lock);
}

static void *console_main(void *arg)
{
	struct pollfd p[1 + STREAM_POLL * CONSOLE_MAX_PORTS];
	struct console *c = arg;

	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		console_wait(c, p);
		for (unsigned int i = 0; i < c->nr_ports && !c->stop; i++) {
			if (c->port[i].opts.stream)
				stream_serve(c, &c->port[i],
					     &p[1 + STREAM_POLL * i]);
		}
		control_send(c);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static int console_start(struct console *c)
{
	int err = 0;

	if (!c->running)
		err = thread_start(&c->thread, console_main, c, "lkvm-console");
	c->running = !err;
	return err;
}

static void console_stop(struct console *c)
{
	if (!c->running)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_mutex_unlock(&c->lock);
	console_wake(c);
	pthread_join(c->thread, NULL);
	c->running = false;
	c->stop = false;
}

/* The class */

static void port_destroy(struct port *p)
{
	stream_close(p->opts.stream);
	free(p->out);
	free(p->in);
}

static void console_free(struct console *c)
{
	for (unsigned int i = 0; i < c->nr_ports; i++)
		port_destroy(&c->port[i]);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	pthread_cond_destroy(&c->moved);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void console_destroy(struct virtio_device *dev)
{
	struct console *c = dev->priv;

	if (c)
		console_free(c);
	dev->priv = NULL;
}

static int port_create(struct port *p, const struct virtio_console_port *opts)
{
	p->opts = *opts;
	p->host_open = true;
	if (!opts->stream)
		return 0;
	p->host_open = stream_connected(opts->stream);
	p->out = malloc(PORT_OUT);
	p->out_size = PORT_OUT;
	p->in = malloc(PORT_IN);
	return p->out && p->in ? 0 : -ENOMEM;
}

static int console_check(const struct virtio_console_opts *o, struct report *r)
{
	if (!o->nr_ports || o->nr_ports > CONSOLE_MAX_PORTS)
		return report_error(r, 0, "console: %u ports, not 1 to %u",
				    o->nr_ports, CONSOLE_MAX_PORTS);
	for (unsigned int i = 0; i < o->nr_ports; i++) {
		const char *name = o->port[i].name;

		if (name && strlen(name) >= VIRTIO_CONSOLE_NAME_MAX)
			return report_error(r, 0, "port %s: name is too long",
					    name);
	}
	return 0;
}

/* Streams change hands only when nothing can fail any more. */
static int console_ports(struct console *c,
			 const struct virtio_console_opts *o)
{
	int err = 0;

	for (unsigned int i = 0; i < o->nr_ports && !err; i++) {
		err = port_create(&c->port[i], &o->port[i]);
		c->has_streams |= !!o->port[i].stream;
		c->nr_ports++;
	}
	if (!err && c->has_streams) {
		c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		err = c->wake_fd < 0 ? -errno : 0;
	}
	for (unsigned int i = 0; err && i < c->nr_ports; i++)
		c->port[i].opts.stream = NULL;
	return err;
}

static unsigned int console_queues(const void *opts)
{
	const struct virtio_console_opts *o = opts;

	if (!o || (o->nr_ports == 1 && o->port[0].console))
		return 2;
	return 2 * (o->nr_ports + 1);
}

static int console_create(struct virtio_device *dev, const void *opts,
			  struct report *r)
{
	static const struct virtio_console_port plain = { .console = true };
	static const struct virtio_console_opts one = { &plain, 1 };
	const struct virtio_console_opts *o = opts ? opts : &one;
	struct console *c;
	int err;

	err = console_check(o, r);
	if (err)
		return err;
	c = calloc(1, sizeof(*c));
	if (!c)
		return report_error(r, ENOMEM, "virtio-console");
	c->dev = dev;
	c->wake_fd = -1;
	pthread_mutex_init(&c->lock, NULL);
	cond_create(&c->moved);
	err = console_ports(c, o);
	if (err) {
		console_free(c);
		return report_error(r, -err, "virtio-console");
	}
	for (unsigned int q = 2; q < dev->nr_queues; q++)
		dev->queue[q].size_max = PORT_QUEUE_MAX;
	dev->priv = c;
	return 0;
}

static u64 console_features(struct virtio_device *dev)
{
	return BIT_ULL(VIRTIO_CONSOLE_F_SIZE) |
	       BIT_ULL(VIRTIO_CONSOLE_F_EMERG_WRITE) |
	       (dev->nr_queues > 2 ? BIT_ULL(VIRTIO_CONSOLE_F_MULTIPORT) : 0);
}

static void console_config_read(struct virtio_device *dev, u32 off, void *d,
				u32 len)
{
	struct virtio_console_config config = { 0 };
	struct console *c = dev->priv;

	pthread_mutex_lock(&c->lock);
	config.cols = htole16(c->columns);
	config.rows = htole16(c->rows);
	pthread_mutex_unlock(&c->lock);
	config.max_nr_ports = htole32(c->nr_ports);
	memcpy(d, (const u8 *)&config + off, len);
}

/*
 * virtio 1.2 s5.3.4: only emerg_wr can be written; its low byte is sent. It is
 * for drivers that have nothing else yet, and lost when there is no room.
 */
static void console_config_write(struct virtio_device *dev, u32 off,
				 const void *d, u32 len)
{
	struct console *c = dev->priv;

	if (off != offsetof(struct virtio_console_config, emerg_wr) || !len)
		return;
	pthread_mutex_lock(&c->lock);
	port_put(c, c->port, d, 1);
	if (c->port->opts.stream)
		console_start(c);
	pthread_mutex_unlock(&c->lock);
}

static void console_set_active(struct console *c, bool active)
{
	pthread_mutex_lock(&c->lock);
	c->active = active;
	pthread_mutex_unlock(&c->lock);
}

static int console_activate(struct virtio_device *dev)
{
	struct console *c = dev->priv;
	int err;

	pthread_mutex_lock(&c->lock);
	c->active = true;
	c->multiport = virtio_has(dev, VIRTIO_CONSOLE_F_MULTIPORT);
	for (unsigned int i = 0; i < c->nr_ports; i++) {
		port_transmit(c, &c->port[i]);
		port_feed(c, &c->port[i]);
		port_wake(c, &c->port[i]);
	}
	control_receive(c);
	pthread_mutex_unlock(&c->lock);
	err = c->has_streams ? console_start(c) : 0;
	if (err)
		console_set_active(c, false);
	return err;
}

static void console_leave(struct virtio_device *dev)
{
	struct console *c = dev->priv;

	/* It writes out of what is to grow. */
	console_stop(c);
	pthread_mutex_lock(&c->lock);
	for (unsigned int i = 0; i < c->nr_ports; i++) {
		struct port *p = &c->port[i];

		if (!p->opts.stream || !p->host_open || port_transmit(c, p))
			continue;
		if (!port_resize(p, port_out_max(c, p)) || !port_transmit(c, p))
			port_lost(c, p, ENOBUFS);
	}
	pthread_mutex_unlock(&c->lock);
}

static void console_deactivate(struct virtio_device *dev)
{
	struct console *c = dev->priv;

	if (!c)
		return;
	console_stop(c);
	console_set_active(c, false);
}

/* Whether bytes are under way to a stream. */
static bool console_busy(struct console *c)
{
	for (unsigned int i = 0; i < c->nr_ports; i++) {
		struct port *p = &c->port[i];

		if (p->opts.stream && p->host_open &&
		    (p->out_len || p->tx_done || p->more))
			return true;
	}
	return false;
}

static void console_linger(struct virtio_device *dev)
{
	struct console *c = dev->priv;

	pthread_mutex_lock(&c->lock);
	if (console_busy(c))
		console_start(c);
	pthread_mutex_unlock(&c->lock);
}

/* What was taken from the driver still goes to the host, and is kept. */
static void console_reset(struct virtio_device *dev)
{
	struct console *c = dev->priv;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	for (unsigned int i = 0; i < c->nr_ports; i++) {
		struct port *p = &c->port[i];

		p->tell = 0;
		p->ready = false;
		p->guest_open = false;
		p->told_open = false;
		p->tx_done = 0;
		p->more = false;
		p->starved = false;
	}
	pthread_mutex_unlock(&c->lock);
}

static void port_save(const struct port *p, struct state_out *out)
{
	u32 first = MIN(p->out_len, p->out_size - p->out_pos);

	state_put_u8(out, p->tell);
	state_put_u8(out, p->ready);
	state_put_u8(out, p->guest_open);
	state_put_u8(out, p->told_open);
	state_put_u32(out, p->tx_done);
	state_put_u32(out, p->out_len);
	if (p->out_len) {
		state_put(out, p->out + p->out_pos, first);
		state_put(out, p->out, p->out_len - first);
	}
	state_put_u32(out, p->in_len);
	if (p->in_len)
		state_put(out, p->in + p->in_pos, p->in_len);
}

static int port_restore(struct console *c, struct port *p, struct state_in *in)
{
	u32 max = p->out ? port_out_max(c, p) : 0;

	p->tell = state_get_u8(in);
	p->ready = state_get_u8(in) & 1;
	p->guest_open = state_get_u8(in) & 1;
	p->told_open = state_get_u8(in) & 1;
	p->tx_done = state_get_u32(in);
	/* What the last guest has written still goes to the host. */
	if (in->fresh)
		return state_get_u32(in) || state_get_u32(in) ? -EPROTO : in->err;
	p->out_pos = 0;
	p->out_len = 0;
	if (max && !port_resize(p, max))
		goto err_empty;
	p->out_len = state_get_u32(in);
	if (p->tell & ~TELL_ALL || (p->tell & TELL_NAME && !p->opts.name) || p->out_len > max)
		goto err_empty;
	if (p->out_len)
		state_get(in, p->out, p->out_len);
	p->in_pos = 0;
	p->in_len = state_get_u32(in);
	if (p->in_len > (p->in ? PORT_IN : 0))
		goto err_empty;
	if (p->in_len)
		state_get(in, p->in, p->in_len);
	if (!in->err)
		return 0;
err_empty:
	p->tell = 0;
	p->out_len = 0;
	p->in_len = 0;
	return -EPROTO;
}

static void console_save(struct virtio_device *dev, struct state_out *out)
{
	struct console *c = dev->priv;

	pthread_mutex_lock(&c->lock);
	state_put_u32(out, CONSOLE_STATE_VERSION);
	state_put_u16(out, c->columns);
	state_put_u16(out, c->rows);
	state_put_u32(out, c->nr_ports);
	for (unsigned int i = 0; i < c->nr_ports; i++)
		port_save(&c->port[i], out);
	pthread_mutex_unlock(&c->lock);
}

static int console_restore(struct virtio_device *dev, struct state_in *in)
{
	struct console *c = dev->priv;
	u16 columns, rows;
	int err = 0;

	state_get_version(in, CONSOLE_STATE_VERSION);
	columns = state_get_u16(in);
	rows = state_get_u16(in);
	if (state_get_u32(in) != c->nr_ports || in->err)
		return -EPROTO;
	pthread_mutex_lock(&c->lock);
	if (!in->fresh) {
		c->columns = columns;
		c->rows = rows;
	}
	for (unsigned int i = 0; i < c->nr_ports && !err; i++)
		err = port_restore(c, &c->port[i], in);
	pthread_mutex_unlock(&c->lock);
	return err;
}

/* For the rest of lkvm */

size_t virtio_console_input(struct virtio_device *dev, unsigned int port,
			    const void *d, size_t len)
{
	struct console *c = dev->priv;
	size_t done = 0;

	if (port >= c->nr_ports)
		return 0;
	pthread_mutex_lock(&c->lock);
	done = port_receive(c, &c->port[port], d, len);
	c->port[port].starved = done < len;
	pthread_mutex_unlock(&c->lock);
	return done;
}

void virtio_console_resume(struct virtio_device *dev, unsigned int port)
{
	struct console *c = dev->priv;

	if (port >= c->nr_ports)
		return;
	pthread_mutex_lock(&c->lock);
	port_transmit(c, &c->port[port]);
	pthread_mutex_unlock(&c->lock);
}

void virtio_console_resize(struct virtio_device *dev, u16 columns, u16 rows)
{
	struct console *c = dev->priv;
	bool changed;

	pthread_mutex_lock(&c->lock);
	changed = c->columns != columns || c->rows != rows;
	c->columns = columns;
	c->rows = rows;
	if (changed && c->port[0].ready && c->port[0].opts.console) {
		c->port[0].tell |= TELL_RESIZE;
		control_send(c);
	}
	pthread_mutex_unlock(&c->lock);
	if (changed)
		virtio_config_changed(dev);
}

int virtio_console_begin(struct virtio_device *dev, struct report *r)
{
	struct console *c = dev->priv;

	for (unsigned int i = 0; i < c->nr_ports; i++) {
		struct port *p = &c->port[i];
		int err = p->opts.stream ? stream_begin(p->opts.stream) : 0;

		if (err)
			return report_error(r, -err, "port %s", port_name(p));
	}
	return 0;
}

/* For when there is no thread. */
static void port_drain(struct console *c, struct port *p, u64 end, int patience_ms)
{
	struct pollfd poll_out[STREAM_POLL];
	int left;

	while (p->opts.stream && p->out_len) {
		stream_push(c, p);
		left = ms_left(end);
		if (!p->out_len || !left)
			break;
		stream_poll(p->opts.stream, poll_out, false, true);
		if (poll(poll_out, STREAM_POLL, MIN(left, patience_ms)) <= 0)
			break;
		stream_polled(p->opts.stream, poll_out);
	}
}

bool virtio_console_flush(struct virtio_device *dev, unsigned int patience_ms,
			  unsigned int total_ms)
{
	struct console *c = dev->priv;
	u64 end = now_ns() + total_ms * NSEC_PER_MSEC, until, seen;
	int err = 0;
	bool busy;

	pthread_mutex_lock(&c->lock);
	for (unsigned int i = 0; i < c->nr_ports && !c->running; i++)
		port_drain(c, &c->port[i], end, patience_ms);
	while ((busy = console_busy(c)) && c->running && !err &&
	       now_ns() < end) {
		until = MIN(now_ns() + patience_ms * NSEC_PER_MSEC, end);
		seen = c->nr_moved;
		while (seen == c->nr_moved && !err)
			err = cond_wait_until(&c->moved, &c->lock, until);
	}
	pthread_mutex_unlock(&c->lock);
	return !busy;
}

int virtio_console_lost(struct virtio_device *dev, const char **name)
{
	struct console *c = dev->priv;

	for (unsigned int i = 0; i < c->nr_ports; i++) {
		*name = port_name(&c->port[i]);
		if (c->port[i].lost)
			return c->port[i].lost;
	}
	return 0;
}

const struct virtio_class virtio_console_class = {
	.name = "console",
	.id = VIRTIO_ID_CONSOLE,
	.nr_queues = CONSOLE_QUEUES,
	.queues = console_queues,
	.queue_max = CONSOLE_QUEUE_MAX,
	.config_len = CONSOLE_CONFIG_LEN,
	.pci_class = 0x078000,
	.create = console_create,
	.features = console_features,
	.config_read = console_config_read,
	.config_write = console_config_write,
	.activate = console_activate,
	.leave = console_leave,
	.deactivate = console_deactivate,
	.linger = console_linger,
	.queue_notify = console_queue_notify,
	.reset = console_reset,
	.save = console_save,
	.restore = console_restore,
	.destroy = console_destroy,
};
