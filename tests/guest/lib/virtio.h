/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A driver's side of virtio 1.2, over PCI or MMIO, that a test can make do
 * anything.
 */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include "pci.h"

#define STATUS_READY (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
		      VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)
#define VIRTIO_MMIO_GPA	0xfeb00000ULL
#define NO_VECTOR	0xffff
#define F_VERSION_1	BIT_ULL(VIRTIO_F_VERSION_1)
#define F_EVENT_IDX	BIT_ULL(VIRTIO_RING_F_EVENT_IDX)
#define F_INDIRECT	BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC)

/**
 * struct vdev - a device
 * @pci: on PCI at @devfn, its structures at @common, @isr, @config and port @notify
 * @regs: its registers, when it is not
 * @gsi: its interrupt line
 */
struct vdev {
	bool pci;
	unsigned int devfn;
	unsigned int gsi;
	u64 common;
	u64 isr;
	u64 config;
	u64 regs;
	u16 notify;
	bool event_idx;
};

/** struct vq - a queue; the rings are in separate pages */
struct vq {
	struct vdev *dev;
	u16 index;
	u16 num;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	u16 next_desc;
	u16 last_used;
};

/** struct buf - one descriptor to be made */
struct buf {
	void *at;
	u32 len;
	bool in;
};

/** vdev_find() - the @nth device of that type; false when there is none */
bool vdev_find(struct vdev *v, u16 id, unsigned int nth);
u64 vdev_offered(struct vdev *v);
void vdev_accept(struct vdev *v, u64 features);
u8 vdev_status(struct vdev *v);
void vdev_set_status(struct vdev *v, u8 status);
u16 vdev_queue_max(struct vdev *v, u16 queue);
/** vdev_vector() - MSI-X vector of a queue, or of the configuration for ~0 */
u16 vdev_vector(struct vdev *v, u32 queue, u16 vector);
/** vdev_isr() - read and acknowledge */
u8 vdev_isr(struct vdev *v);
u64 vdev_config_at(struct vdev *v, unsigned int off);
/** vdev_kick() - any queue number */
void vdev_kick(struct vdev *v, u32 queue);

/** vdev_reset() - and wait for it */
void vdev_reset(struct vdev *v);
/** vdev_negotiate() - from reset up to FEATURES_OK, which has to stick */
void vdev_negotiate(struct vdev *v, u64 features);
/** vdev_go() - DRIVER_OK */
void vdev_go(struct vdev *v);
/** vdev_open() - find, negotiate what is offered out of @features, one queue */
void vdev_open(struct vdev *v, struct vq *q, u16 id, u64 features);

/** vdev_restart() - negotiate again, with @nr queues as after vq_alloc() */
void vdev_restart(struct vdev *v, struct vq *q, unsigned int nr, u64 features);

/** vdev_broken() - wait for DEVICE_NEEDS_RESET */
void vdev_broken(struct vdev *v);

/** vq_alloc() - rings of @num entries, not told to the device */
void vq_alloc(struct vq *q, struct vdev *v, u16 index, u16 num);
/** vq_program() - tell the device these ring addresses and enable the queue */
void vq_program(struct vdev *v, u16 index, u16 num, u64 desc, u64 avail,
		u64 used);
/** vq_setup() - both */
void vq_setup(struct vq *q, struct vdev *v, u16 index, u16 num);
/** vq_clear() - rings as after vq_alloc() */
void vq_clear(struct vq *q);
/** vq_desc() - write descriptor @i */
void vq_desc(struct vq *q, u16 i, u64 addr, u32 len, u16 flags, u16 next);
/** vq_offer() - make the chain that begins at @head available */
void vq_offer(struct vq *q, u16 head);
/** vq_add() - a chain of @nr buffers, offered. Return: its head */
u16 vq_add(struct vq *q, const struct buf *b, unsigned int nr);
void vq_kick(struct vq *q);
/** vq_done() - whether something was used that vq_take() did not take */
bool vq_done(const struct vq *q);
/** vq_take() - wait for the next used element */
struct vring_used_elem vq_take(struct vq *q);
/** vq_run() - add, kick, take. Return: bytes written by the device */
u32 vq_run(struct vq *q, const struct buf *b, unsigned int nr);

/** blk_request() - one request of @type. Return: its status byte */
u8 blk_request(struct vq *q, u32 type, u64 sector, void *data, u32 len);
/** blk_works() - a device that was opened anew reads and writes; @v is reset */
void blk_works(struct vdev *v);
/** net_frame() - at @to, where there are zeroes, a frame to all, of a kind for experiments */
void net_frame(u8 *to);

#endif
