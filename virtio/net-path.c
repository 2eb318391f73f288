// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The threads in which frames get from the rings to the backend (net-tx.c) and back
 * (net-rx.c), virtio 1.2 s5.1.6. One for each pair of queues owns both, and one port
 * of the backend, from net_pair_start() to net_pair_stop(); it takes none of the
 * core's locks.
 * It waits in epoll, edge-triggered throughout, so that eventfds need not be
 * read and nothing is changed in the set; what is ready is remembered in
 * @rx_ready and @tx_full. While it has something to do it looks each BUSY_ROUNDS
 * rounds only. Kicks are asked for only before it sleeps, and for the receive queue
 * only while it is short of buffers. A round sends before it receives, as what was
 * sent may be answered by then (a tap device's host does it inside of the call), and
 * signals each queue once at its end, so that the driver is interrupted once for
 * both. Where frames come one by one because this thread preempts their sender at
 * each of them, it stops doing so, see pace().
 *
 * With vhost the kernel does all of this, and the thread of the first pair is
 * left with control commands and the link.
 *
 * What a guest can do wrong is said in net-tx.c and net-rx.c. What is dropped is
 * counted, and said once a device.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include "kvm/clock.h"
#include "kvm/thread.h"
#include "virtio/net.h"

#define RX_HURRY_MS 50
#define BUSY_ROUNDS 8
#define PACE_NS (10 * NSEC_PER_MSEC)
#define PACE_FRAMES 20ULL
#define PACE_BYTES (256 * 1024ULL)

enum event { EV_CONTROL, EV_KICK, EV_BACKEND, EV_LINK };

void net_count_dropped(struct net *n, const char *why)
{
	__atomic_add_fetch(&n->dropped, 1, __ATOMIC_RELAXED);
	if (!why || __atomic_exchange_n(&n->said_dropped, true, __ATOMIC_RELAXED))
		return;
	vm_log(n->dev->log, "%s: a frame was dropped: %s", n->dev->dev.name,
	       why);
}

/* Ask for kicks, as far as they matter. Return: whether to look again. */
static bool ask_for_kicks(struct net_pair *p)
{
	bool more = false;

	if (p->ctrlq)
		more |= virtqueue_set_notify(p->ctrlq, true);
	if (p->net->nr_vhosts)
		return more;
	if (!p->tx_full)
		more |= virtqueue_set_notify(p->txq, true);
	if (p->rx_short)
		more |= virtqueue_set_notify(p->rxq, true);
	return more;
}

static void refuse_kicks(struct net_pair *p)
{
	if (p->ctrlq)
		virtqueue_set_notify(p->ctrlq, false);
	if (p->net->nr_vhosts)
		return;
	virtqueue_set_notify(p->txq, false);
	virtqueue_set_notify(p->rxq, false);
}

static void link_drain(const struct net_pair *p)
{
	char buf[8192];
	ssize_t n = p->link_fd < 0 ? 0 : 1;

	/* One that had no room for all says so first, and hears nothing until it is empty. */
	while (n > 0 || (n < 0 && (errno == ENOBUFS || errno == EINTR)))
		n = recv(p->link_fd, buf, sizeof(buf), MSG_DONTWAIT);
}

/*
 * The thread is SCHED_BATCH while there are many frames or large ones, until there
 * are a quarter of that, and they go one way: who sends or receives them on the
 * same CPU goes on until it sleeps or its time is over, and then they come many at
 * once. Not where they are questions and answers, which would wait for that. A
 * policy that somebody else gave it stays.
 */
static void pace(struct net_pair *p)
{
	const struct sched_param none = { 0 };
	u64 rx = p->pace_rx, tx = p->pace_tx, frames = p->pace_frames;
	u64 now = now_ns(), took = now - p->pace_since, unit = PACE_NS;
	bool batch;

	if (took < PACE_NS)
		return;
	if (p->batch)
		unit *= 4;
	batch = frames * unit / took >= PACE_FRAMES || (rx + tx) * unit / took >= PACE_BYTES;
	batch = batch && (rx / 4 > tx || tx / 4 > rx);
	p->pace_since = now;
	p->pace_rx = 0;
	p->pace_tx = 0;
	p->pace_frames = 0;
	if (batch != p->batch &&
	    sched_getscheduler(0) == (p->batch ? SCHED_BATCH : SCHED_OTHER) &&
	    !sched_setscheduler(0, batch ? SCHED_BATCH : SCHED_OTHER, &none))
		p->batch = batch;
}

/* Return: false when the thread is to end. */
static bool pair_wait(struct net_pair *p, bool block)
{
	bool hurry = p->rx_short && p->buf_end > p->buf_first &&
		     !p->rxq->broken;
	struct epoll_event ev[8];
	int n, timeout = -1;

	/* What was sent has set @rx_ready. Pairs with net_pair_stop(). */
	if (!block && ++p->rounds % BUSY_ROUNDS)
		return !__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE);
	if (!hurry)
		p->short_since = 0;
	else if (!p->short_since)
		p->short_since = now_ns();
	if (!block)
		timeout = 0;
	else if (hurry)
		timeout = RX_HURRY_MS;
	n = epoll_wait(p->epfd, ev, ARRAY_SIZE(ev), timeout);
	/* Whatever else there was meanwhile. */
	if (hurry && now_ns() - p->short_since >= RX_HURRY_MS * NSEC_PER_MSEC)
		p->rx_hurry = true;
	for (int i = 0; i < n; i++) {
		switch (ev[i].data.u64) {
		case EV_CONTROL:
			return false;
		case EV_BACKEND:
			/* Otherwise receiving finds out. */
			if (p->rx_short)
				p->link_check = true;
			p->rx_ready = true;
			p->tx_full = false;
			break;
		case EV_LINK:
			link_drain(p);
			p->link_check = true;
			break;
		}
	}
	return true;
}

/* Return: true when there may be more. */
static bool pair_run(struct net_pair *p)
{
	bool more = net_tx_run(p);

	more |= net_rx_run(p);
	virtqueue_signal(p->rxq);
	virtqueue_signal(p->txq);
	return more;
}

static void *pair_main(void *opaque)
{
	struct net_pair *p = opaque;
	struct net *n = p->net;
	bool more;

	if (p->ctrlq && n->announce) {
		n->announce = false;
		__atomic_or_fetch(&n->status, VIRTIO_NET_S_ANNOUNCE,
				  __ATOMIC_ACQ_REL);
		virtio_config_changed(n->dev);
	}
	do {
		refuse_kicks(p);
		more = p->ctrlq && net_ctrl_run(n, p->ctrlq, &p->chain);
		if (!n->nr_vhosts)
			more |= pair_run(p);
		if (p->link_check ||
		    !(__atomic_load_n(&n->status, __ATOMIC_RELAXED) &
		      VIRTIO_NET_S_LINK_UP))
			net_update_link(n);
		p->link_check = false;
		/* What there was no room for is dropped, and no event tells of it. */
		if (!(__atomic_load_n(&n->status, __ATOMIC_RELAXED) & VIRTIO_NET_S_LINK_UP))
			p->tx_full = false;
		if (!more)
			more = ask_for_kicks(p);
		if (!n->nr_vhosts)
			pace(p);
	} while (pair_wait(p, !more));
	if (!n->nr_vhosts)
		net_rx_release(p);
	return NULL;
}

static int watch(struct net_pair *p, int fd, enum event what)
{
	struct epoll_event ev = {
		.events = EPOLLIN | (what == EV_CONTROL ? 0 : EPOLLET),
		.data.u64 = what,
	};

	return epoll_ctl(p->epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

/* vhost reads from the tap device, so what becomes of it is heard here. */
static int watch_link(struct net_pair *p)
{
	struct sockaddr_nl addr = {
		.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK,
	};
	int fd = p->link_fd, err;

	if (fd < 0) {
		fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
		if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
			err = -errno;
			if (fd >= 0)
				close(fd);
			return err;
		}
		p->link_fd = fd;
	}
	return watch(p, fd, EV_LINK);
}

static int watch_all(struct net_pair *p)
{
	struct net_backend *b = p->net->backend;
	int err;

	p->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epfd < 0)
		return -errno;
	err = watch(p, p->control_fd, EV_CONTROL);
	if (!err && p->ctrlq)
		err = watch(p, p->ctrlq->kick_fd, EV_KICK);
	if (p->net->nr_vhosts)
		return err ? err : watch_link(p);
	if (!err)
		err = watch(p, p->rxq->kick_fd, EV_KICK);
	if (!err)
		err = watch(p, p->txq->kick_fd, EV_KICK);
	if (!err)
		err = b->ops->watch(b, p->index, p->epfd, EV_BACKEND, EV_LINK);
	return err;
}

static int start_thread(struct net_pair *p)
{
	char name[THREAD_NAME_MAX];

	snprintf(name, sizeof(name), "lkvm-%.7s.%u", p->net->dev->dev.name,
		 p->index % NET_MAX_PAIRS);
	return thread_start(&p->thread, pair_main, p, name);
}

int net_pair_start(struct net_pair *p)
{
	int err;

	p->stop = false;
	p->link_check = true;
	p->rx_ready = true;
	p->rx_short = false;
	p->rx_hurry = false;
	p->short_since = 0;
	p->tx_full = false;
	p->batch = false;
	p->filter_generation =
		__atomic_load_n(&p->net->filter_generation, __ATOMIC_ACQUIRE) -
		1;
	err = watch_all(p);
	if (!err)
		err = start_thread(p);
	if (!err) {
		p->running = true;
		return 0;
	}
	if (p->epfd >= 0)
		close(p->epfd);
	p->epfd = -1;
	return err;
}

void net_pair_stop(struct net_pair *p)
{
	if (!p->running)
		return;
	/* A busy thread looks at its events now and then only. */
	__atomic_store_n(&p->stop, true, __ATOMIC_RELEASE);
	thread_stop(p->thread, p->control_fd);
	close(p->epfd);
	p->epfd = -1;
	p->running = false;
}

int net_pair_create(struct net_pair **out, struct net *n, unsigned int index)
{
	struct net_pair *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->net = n;
	p->index = index;
	p->epfd = -1;
	p->link_fd = -1;
	p->rxq = &n->dev->queue[2 * index];
	p->txq = &n->dev->queue[2 * index + 1];
	p->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->control_fd < 0) {
		free(p);
		return -errno;
	}
	*out = p;
	return 0;
}

void net_pair_destroy(struct net_pair *p)
{
	if (!p)
		return;
	net_pair_stop(p);
	if (p->link_fd >= 0)
		close(p->link_fd);
	close(p->control_fd);
	free(p);
}
