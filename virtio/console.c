// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio console, virtio 1.2 s5.3.
 *
 * Theory of operation
 *
 * One port: receiveq 0, transmitq 1. There is no thread. A kick of transmitq is
 * served where it arrives: all chains are handed to the output, then given
 * back. Input is pushed by the main thread, into as many receive buffers as
 * the driver has offered; what does not fit stays with the caller, who offers
 * it again later. VIRTIO_CONSOLE_F_SIZE tells the window's size in the
 * configuration, VIRTIO_CONSOLE_F_EMERG_WRITE sends a byte without a queue.
 *
 * Threads: vCPUs, main. Locks: dev->lock > tx_lock > lock. The former guards
 * transmitq and is held during output, which keeps bytes in order; output may
 * wait for the main thread to make room, so the main thread never takes it
 * while the VM runs. The latter guards receiveq and the size, never for long.
 * @active changes with both held. An output function must not call into the
 * console.
 *
 * Not supported: VIRTIO_CONSOLE_F_MULTIPORT.
 *
 * A chain in the wrong direction moves no bytes and is given back. A driver
 * that refills its queues without end is served for a bounded number of chains
 * for each kick.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include "kvm/virtio.h"

#define CONSOLE_RX 0
#define CONSOLE_TX 1
#define CONSOLE_QUEUES 2
#define CONSOLE_QUEUE_MAX 256
#define CONSOLE_BUDGET (4 * VIRTQUEUE_MAX_SIZE)
#define CONSOLE_STATE_VERSION 1
#define CONSOLE_CONFIG_LEN sizeof(struct virtio_console_config)

struct console {
	struct virtio_console_opts opts;
	pthread_mutex_t tx_lock;
	pthread_mutex_t lock;
	bool active;
	u16 columns;
	u16 rows;
};

static int console_create(struct virtio_device *dev, const void *opts,
			  struct report *r)
{
	struct console *c = calloc(1, sizeof(*c));

	if (!c)
		return report_error(r, ENOMEM, "virtio-console");
	if (opts)
		c->opts = *(const struct virtio_console_opts *)opts;
	pthread_mutex_init(&c->tx_lock, NULL);
	pthread_mutex_init(&c->lock, NULL);
	dev->priv = c;
	return 0;
}

static void console_destroy(struct virtio_device *dev)
{
	struct console *c = dev->priv;

	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->tx_lock);
	free(c);
	dev->priv = NULL;
}

static u64 console_features(struct virtio_device *dev)
{
	(void)dev;
	return BIT_ULL(VIRTIO_CONSOLE_F_SIZE) |
	       BIT_ULL(VIRTIO_CONSOLE_F_EMERG_WRITE);
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
	config.max_nr_ports = htole32(1);
	memcpy(d, (const u8 *)&config + off, len);
}

/* virtio 1.2 s5.3.4: only emerg_wr can be written; its low byte is sent. */
static void console_config_write(struct virtio_device *dev, u32 off,
				 const void *d, u32 len)
{
	struct console *c = dev->priv;

	if (off != offsetof(struct virtio_console_config, emerg_wr) || !len)
		return;
	pthread_mutex_lock(&c->tx_lock);
	if (c->opts.output)
		c->opts.output(c->opts.opaque, d, 1);
	pthread_mutex_unlock(&c->tx_lock);
}

static void console_set_active(struct console *c, bool active)
{
	pthread_mutex_lock(&c->tx_lock);
	pthread_mutex_lock(&c->lock);
	c->active = active;
	pthread_mutex_unlock(&c->lock);
	pthread_mutex_unlock(&c->tx_lock);
}

static int console_activate(struct virtio_device *dev)
{
	console_set_active(dev->priv, true);
	return 0;
}

static void console_deactivate(struct virtio_device *dev)
{
	console_set_active(dev->priv, false);
}

static void console_transmit(struct console *c, struct virtqueue *vq)
{
	unsigned int budget = CONSOLE_BUDGET;
	struct vq_chain chain;
	bool more;

	do {
		while (budget && virtqueue_pop(vq, &chain) > 0) {
			budget--;
			for (u16 i = 0; c->opts.output && i < chain.nr_out; i++)
				c->opts.output(c->opts.opaque,
					       chain.iov[i].iov_base,
					       chain.iov[i].iov_len);
			virtqueue_push(vq, &chain, 0);
		}
		more = virtqueue_set_notify(vq, true);
	} while (more && budget && !vq->broken);
	virtqueue_signal(vq);
}

static void console_queue_notify(struct virtio_device *dev, unsigned int queue)
{
	struct virtqueue *vq = &dev->queue[CONSOLE_TX];
	struct console *c = dev->priv;

	/* Receive buffers are taken when there is something to put in. */
	if (queue != CONSOLE_TX)
		return;
	pthread_mutex_lock(&c->tx_lock);
	if (c->active && vq->ready && !vq->broken)
		console_transmit(c, vq);
	pthread_mutex_unlock(&c->tx_lock);
}

static void console_save(struct virtio_device *dev, struct state_out *out)
{
	struct console *c = dev->priv;

	pthread_mutex_lock(&c->lock);
	state_put_u32(out, CONSOLE_STATE_VERSION);
	state_put_u16(out, c->columns);
	state_put_u16(out, c->rows);
	pthread_mutex_unlock(&c->lock);
}

static int console_restore(struct virtio_device *dev, struct state_in *in)
{
	struct console *c = dev->priv;
	u16 columns, rows;

	state_get_version(in, CONSOLE_STATE_VERSION);
	columns = state_get_u16(in);
	rows = state_get_u16(in);
	if (in->err)
		return in->err;
	pthread_mutex_lock(&c->lock);
	c->columns = columns;
	c->rows = rows;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

size_t virtio_console_input(struct virtio_device *dev, const void *d,
			    size_t len)
{
	struct virtqueue *vq = &dev->queue[CONSOLE_RX];
	struct console *c = dev->priv;
	unsigned int budget = CONSOLE_BUDGET;
	struct vq_chain chain;
	size_t done = 0;

	pthread_mutex_lock(&c->lock);
	if (!c->active || !vq->ready || vq->broken)
		goto out_unlock;
	while (done < len && budget-- && virtqueue_pop(vq, &chain) > 0) {
		size_t n = iov_write(chain.iov + chain.nr_out, chain.nr_in, 0,
				     (const u8 *)d + done, len - done);

		virtqueue_push(vq, &chain, n);
		done += n;
	}
	virtqueue_signal(vq);
out_unlock:
	pthread_mutex_unlock(&c->lock);
	return done;
}

void virtio_console_resize(struct virtio_device *dev, u16 columns, u16 rows)
{
	struct console *c = dev->priv;
	bool changed;

	pthread_mutex_lock(&c->lock);
	changed = c->columns != columns || c->rows != rows;
	c->columns = columns;
	c->rows = rows;
	pthread_mutex_unlock(&c->lock);
	if (changed)
		virtio_config_changed(dev);
}

const struct virtio_class virtio_console_class = {
	.name = "console",
	.id = VIRTIO_ID_CONSOLE,
	.nr_queues = CONSOLE_QUEUES,
	.queue_max = CONSOLE_QUEUE_MAX,
	.config_len = CONSOLE_CONFIG_LEN,
	.pci_class = 0x078000,
	.create = console_create,
	.features = console_features,
	.config_read = console_config_read,
	.config_write = console_config_write,
	.activate = console_activate,
	.deactivate = console_deactivate,
	.queue_notify = console_queue_notify,
	.save = console_save,
	.restore = console_restore,
	.destroy = console_destroy,
};
