/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtio device is a const class, an instance of it, and a transport.
 * virtio/core.c keeps what is common: status, features, queues, configuration.
 */
#ifndef KVM__VIRTIO_H
#define KVM__VIRTIO_H

#include <pthread.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include "kvm/device.h"
#include "kvm/env.h"
#include "kvm/io.h"
#include "kvm/irq.h"
#include "kvm/pci.h"
#include "kvm/report.h"
#include "kvm/virtqueue.h"

#define VIRTIO_MAX_QUEUES 48
#define VIRTIO_NO_VECTOR 0xffff

struct virtio_device;

/**
 * struct virtio_class - what a kind of device is; const
 * @name: "blk"
 * @id: device type of virtio 1.2 s5
 * @nr_queues: at most this many
 * @queue_max: entries offered for each
 * @config_len: bytes of device configuration
 * @queues: how many of @nr_queues @opts ask for, all if it is NULL. More than that
 *	is for @create to refuse, which finds dev->nr_queues set
 * @create: make the instance in dev->priv out of @opts, a struct of the class
 *	below, or NULL of one that has none. 0 or -errno, reported
 * @features: bits offered beyond VERSION_1, EVENT_IDX and INDIRECT_DESC
 * @config_read: fill from @off; bounds were checked
 * @config_write: may be NULL for read-only; bounds were checked
 * @activate: DRIVER_OK was set; queues are lent until @deactivate. 0 or
 *	-errno, which makes the device need a reset
 * @leave: the driver resets the active device: a last look at its queues, in memory
 *	that is still its own, before @deactivate. Not at a pause, a restore or the
 *	end. May be NULL
 * @deactivate: on return no thread of the device touches a queue. Requests
 *	that were popped are finished or given back by then. With @linger also called
 *	when neither of the two was, with a NULL dev->priv too
 * @linger: no driver, but the device is not paused: what the last one sent may go on
 *	to the host, by a thread that leaves the queues alone and that @deactivate ends,
 *	before the next @activate too. May be NULL
 * @reset: the driver reset the device, or it is destroyed: what outlives a
 *	pause is to be forgotten. Queues are back by then. May be NULL; accepts
 *	a NULL dev->priv, and an instance that @create did not finish
 * @queue_notify: a kick that did not come through vq->kick_fd, or came
 *	through it when @has_thread is false; on a vCPU or the main thread
 * @has_thread: the class waits on vq->kick_fd by itself
 * @removable: an instance may leave a running guest
 * @save: write the class's own state; queues and features are the core's
 * @restore: read it. 0 or -errno
 * @destroy: frees dev->priv; accepts NULL
 */
struct virtio_class {
	const char *name;
	u16 id;
	u16 nr_queues;
	u16 queue_max;
	u32 config_len;
	u32 pci_class;
	bool has_thread;
	bool removable;
	unsigned int (*queues)(const void *opts);
	int (*create)(struct virtio_device *dev, const void *opts,
		      struct report *r);
	u64 (*features)(struct virtio_device *dev);
	void (*config_read)(struct virtio_device *dev, u32 off, void *d,
			    u32 len);
	void (*config_write)(struct virtio_device *dev, u32 off, const void *d,
			     u32 len);
	int (*activate)(struct virtio_device *dev);
	void (*leave)(struct virtio_device *dev);
	void (*deactivate)(struct virtio_device *dev);
	void (*linger)(struct virtio_device *dev);
	void (*reset)(struct virtio_device *dev);
	void (*queue_notify)(struct virtio_device *dev, unsigned int queue);
	void (*save)(struct virtio_device *dev, struct state_out *out);
	int (*restore)(struct virtio_device *dev, struct state_in *in);
	void (*destroy)(struct virtio_device *dev);
};

/**
 * struct virtio_transport_ops - how a device reaches its driver
 * @lend_eventfd: an eventfd that is as good as @signal_queue to write to, for
 *	those outside of lkvm; the transport's, and kept in step with masks. -1
 *	when there is none. May be NULL, and @return_eventfd with it
 * @return_eventfd: nobody writes to what was lent for @vq any more
 *
 * Context: any thread, perhaps under dev->lock.
 */
struct virtio_transport_ops {
	void (*signal_queue)(struct virtio_device *dev, struct virtqueue *vq);
	void (*signal_config)(struct virtio_device *dev);
	int (*lend_eventfd)(struct virtio_device *dev, struct virtqueue *vq);
	void (*return_eventfd)(struct virtio_device *dev, struct virtqueue *vq);
};

/**
 * struct virtio_device - an instance
 * @dev: in the VM's list
 * @lock: guards the registers (all up to @queue); never held when a class
 *	is asked to do I/O, held while it is activated and deactivated
 * @notify_lock: below @lock; held while a class answers a kick. @active and
 *	@paused change with both held
 * @status: virtio 1.2 s2.1, atomic
 * @active: queues are lent
 * @driven: a driver was ready for it, ever; with @lock held, and when vCPUs are gone
 * @config_generation: counts changes of the configuration
 * @log: where to say that the guest broke the rules, once per reset
 */
struct virtio_device {
	struct device dev;
	const struct virtio_class *class;
	void *priv;
	const struct gmem *gmem;
	const struct vm_log *log;
	const struct virtio_transport_ops *transport;
	void *transport_priv;
	pthread_mutex_t lock;
	pthread_mutex_t notify_lock;
	u64 offered;
	u64 driver_features;
	u32 feature_select;
	u32 driver_feature_select;
	u32 status;
	u32 config_generation;
	u32 queue_select;
	u16 nr_queues;
	u16 config_vector;
	bool active;
	bool paused;
	bool driven;
	u32 errors;
	struct virtqueue queue[VIRTIO_MAX_QUEUES];
};

/**
 * virtio_device_create() - make an instance, not yet on a transport
 * @name: unique in the VM
 * Return: 0 with *@out, -errno with the reason in @r.
 */
int virtio_device_create(struct virtio_device **out,
			 const struct virtio_class *class, const char *name,
			 const void *opts, const struct virtio_env *env,
			 struct report *r);

/** virtio_of() - NULL unless @d is a virtio device */
static inline struct virtio_device *virtio_of(struct device *d)
{
	return d->is_virtio ? container_of(d, struct virtio_device, dev) : NULL;
}

/* Registers, for transports. They take dev->lock. */

/**
 * virtio_get_features() - 32 of the bits that are offered
 *
 * Which, dev->feature_select says, as for virtio_set_features()
 * dev->driver_feature_select does: 0 or 1; of others there are none.
 */
u32 virtio_get_features(struct virtio_device *dev);
/** virtio_set_features() - 32 bits that the driver takes; ignored after FEATURES_OK */
void virtio_set_features(struct virtio_device *dev, u32 value);
/** virtio_get_status() - virtio 1.2 s2.1; needs no lock */
u32 virtio_get_status(struct virtio_device *dev);
/**
 * virtio_set_status() - the driver wrote the status; 0 resets
 *
 * FEATURES_OK sticks only for a subset of what was offered that has
 * VERSION_1. DRIVER_OK activates.
 */
void virtio_set_status(struct virtio_device *dev, u32 value);
/** virtio_selected_queue() - NULL when the number is out of range */
struct virtqueue *virtio_selected_queue(struct virtio_device *dev);
/** virtio_queue_enable() - the driver declares the selected queue ready */
void virtio_queue_enable(struct virtio_device *dev, struct virtqueue *vq,
			 bool on);
/**
 * virtio_queue_writable() - not after it is ready, nor without ACKNOWLEDGE
 *
 * Context: under dev->lock, which is kept for the write.
 */
bool virtio_queue_writable(const struct virtio_device *dev,
			   const struct virtqueue *vq);
/** virtio_config_read() - reads past the end give zero */
void virtio_config_read(struct virtio_device *dev, u64 off, void *d,
			unsigned int len);
/** virtio_config_write() - ignored past the end, or where the class has none to write */
void virtio_config_write(struct virtio_device *dev, u64 off, const void *d,
			 unsigned int len);
/** virtio_notify() - a kick by register; numbers out of range are ignored */
void virtio_notify(struct virtio_device *dev, u32 queue);

/* For classes. */

/** virtio_has() - whether feature bit @bit was negotiated */
bool virtio_has(const struct virtio_device *dev, unsigned int bit);
/** virtio_needs_reset() - the driver broke the rules; said once per reset */
void virtio_needs_reset(struct virtio_device *dev, const char *why);
/** virtio_config_changed() - tell the driver; any thread, no lock held */
void virtio_config_changed(struct virtio_device *dev);
/**
 * virtio_thread_start() - thread_start() of one that is named after @dev
 *
 * Return: 0 with *@t, which is to be joined; -errno.
 */
int virtio_thread_start(struct virtio_device *dev, pthread_t *t, void *(*run)(void *), void *arg);

/* Lifecycle, called through dev->dev.ops; transports extend save/restore. */

/**
 * virtio_device_pause() - take queues back from the class, without a reset
 *
 * Context: the main thread, vCPUs stopped, as of all below. Return: 0.
 */
int virtio_device_pause(struct virtio_device *dev);
/**
 * virtio_device_resume() - lend queues to the class again, if they were lent
 * Return: 0; -errno of the class, and the device needs a reset.
 */
int virtio_device_resume(struct virtio_device *dev);
/** virtio_device_save() - registers, queues and the class's state; while paused */
void virtio_device_save(struct virtio_device *dev, struct state_out *out);
/**
 * virtio_device_restore() - take back what virtio_device_save() wrote
 *
 * The device is reset first, and is paused then. Return: 0; -EPROTO for what no driver
 * could have reached, or the class refuses: the device is as after a reset.
 */
int virtio_device_restore(struct virtio_device *dev, struct state_in *in);
/** virtio_device_free() - deactivate, destroy the instance, free @dev */
void virtio_device_free(struct virtio_device *dev);

/**
 * virtio_pci_attach() - put the device on the PCI bus; sets dev->dev.ops
 * virtio_mmio_attach() - or at @gpa with interrupt line @gsi
 *
 * Return: 0 or -errno; @dev stays the caller's to destroy through its ops.
 */
int virtio_pci_attach(struct virtio_device *dev, const struct virtio_env *env);
int virtio_mmio_attach(struct virtio_device *dev, const struct virtio_env *env,
		       u64 gpa, unsigned int gsi);
#define VIRTIO_MMIO_SIZE 0x200
/** virtio_pci_slot() - where @dev is; -ENODEV if it is no virtio device on PCI */
int virtio_pci_slot(const struct device *dev);

/** virtio_classes - every class, ends with NULL; virtio/classes.c */
extern const struct virtio_class *const virtio_classes[];
extern const struct virtio_class virtio_9p_class;
extern const struct virtio_class virtio_balloon_class;
extern const struct virtio_class virtio_blk_class;
extern const struct virtio_class virtio_console_class;
extern const struct virtio_class virtio_fs_class;
extern const struct virtio_class virtio_net_class;
extern const struct virtio_class virtio_rng_class;
extern const struct virtio_class virtio_vsock_class;
extern const struct virtio_class virtio_vhost_vsock_class;

/** struct virtio_balloon_opts - @reporting: offer free page reporting */
struct virtio_balloon_opts {
	bool reporting;
};

#define VIRTIO_BALLOON_STATS 16

/**
 * struct virtio_balloon_stats - what the driver said of its memory
 * @seq: how often it did, 0 when it has not yet
 * @valid: bit N: @value[N] was in its last answer
 * @value: by VIRTIO_BALLOON_S_*, virtio 1.2 s5.5.6.3; unchecked
 */
struct virtio_balloon_stats {
	u64 seq;
	u32 valid;
	u64 value[VIRTIO_BALLOON_STATS];
};

/**
 * virtio_balloon_set_target() - how much memory the guest is to give up
 * @bytes: in all, not in addition; rounded down to 4 KiB
 *
 * Returns at once. The driver moves towards it at its own pace, as far as it
 * can or likes to: see virtio_balloon_actual().
 * Context: any thread, no lock held; in any state of the VM.
 * Return: 0, -EINVAL when it is more than the guest has.
 */
int virtio_balloon_set_target(struct virtio_device *dev, u64 bytes);
/** virtio_balloon_target() - bytes that were asked for last */
u64 virtio_balloon_target(struct virtio_device *dev);
/** virtio_balloon_actual() - bytes given up by now, as the driver says */
u64 virtio_balloon_actual(struct virtio_device *dev);
/**
 * virtio_balloon_request_stats() - ask the driver for new statistics
 *
 * They have come when seq of virtio_balloon_get_stats() has changed.
 * Context: any thread, no lock held.
 * Return: 0; -EAGAIN while the driver has not answered the last request;
 * -ENOTCONN without a driver that gives statistics, or while paused.
 */
int virtio_balloon_request_stats(struct virtio_device *dev);
/** virtio_balloon_get_stats() - a copy of the last ones. Context: any thread */
void virtio_balloon_get_stats(struct virtio_device *dev,
			      struct virtio_balloon_stats *stats);

/** struct virtio_blk_opts - @disk: ownership passes on success of create */
struct virtio_blk_opts {
	struct disk *disk;
	const char *serial;
	unsigned int nr_queues;
};

struct net_backend;

/**
 * struct virtio_net_opts - a network interface
 * @backend: ownership passes on success of create
 * @mac: its address, or NULL for one at random
 * @vhost: the host's kernel serves the rings, @backend is a tap device
 */
struct virtio_net_opts {
	struct net_backend *backend;
	const u8 *mac;
	bool vhost;
};

/**
 * struct virtio_vsock_opts - a guest's address, and where hosts meet it
 * @cid: 3 to 0xfffffffe
 * @path: of the UNIX socket to make; PATH_PORT are those that guests connect
 *	to
 * @max_conns: connections at a time, each of which is a descriptor; 0: 8192
 *
 * The vhost class, whose peers are sockets of AF_VSOCK, uses the first only.
 */
struct virtio_vsock_opts {
	u64 cid;
	const char *path;
	unsigned int max_conns;
};

/**
 * virtio_vsock_flush() - let host programs read what the guest sent and closed
 * @patience_ms: how long without a byte moving is too long
 * @total_ms: how long is too long in any case
 *
 * Pauses the device, which is not to be resumed: other connections have ended.
 * Context: the main thread, vCPUs stopped.
 */
void virtio_vsock_flush(struct virtio_device *dev, unsigned int patience_ms,
			unsigned int total_ms);

/* virtio 1.2 s5.11.4, and as good for 9P */
#define VIRTIO_SHARE_TAG_MAX 36
#define VIRTIO_FS_MAX_QUEUES 8

struct fs_host;

/**
 * struct virtio_fs_opts - a directory that is shared
 * @host: ownership passes on success of create
 * @tag: what the guest mounts it by, 1 to VIRTIO_SHARE_TAG_MAX bytes; copied
 * @nr_queues: of requests, 1 when it is 0
 */
struct virtio_fs_opts {
	struct fs_host *host;
	const char *tag;
	unsigned int nr_queues;
};

/**
 * struct virtio_9p_opts - a directory that is shared by 9P
 * @host: ownership passes on success of create
 * @tag: what the guest mounts it by, 1 to VIRTIO_SHARE_TAG_MAX bytes; copied
 */
struct virtio_9p_opts {
	struct fs_host *host;
	const char *tag;
};

#define VIRTIO_CONSOLE_MAX_PORTS 16
#define VIRTIO_CONSOLE_NAME_MAX 64

struct stream;

/**
 * struct virtio_console_port - one port and its other side
 * @name: what the guest finds it by, shorter than VIRTIO_CONSOLE_NAME_MAX, or
 *	NULL; outlives the device
 * @console: the guest makes a terminal of it (hvc0 ...), else it is a plain
 *	stream of bytes
 * @stream: the other side is this; ownership passes on success of create
 * @output: or the guest's bytes go here. Takes as many as there is room for
 *	and returns how many; after less than all, virtio_console_resume() is
 *	due when there is room. Any thread, a lock of the device held. Without
 *	@stream and @output bytes are dropped
 * @wake: with @output: input may find room again, or output waits that was
 *	not offered: virtio_console_input() and virtio_console_resume() are
 *	due, from another thread's own stack. May be NULL
 */
struct virtio_console_port {
	const char *name;
	bool console;
	struct stream *stream;
	size_t (*output)(void *opaque, const void *d, size_t len);
	void (*wake)(void *opaque);
	void *opaque;
};

/** struct virtio_console_opts - copied; port 0 is hvc0 if it is a console */
struct virtio_console_opts {
	const struct virtio_console_port *port;
	unsigned int nr_ports;
};

/**
 * virtio_console_input() - hand bytes to the guest, of a port without a stream
 *
 * Context: one thread per port, no lock held.
 * Return: how many were taken; @wake tells when to offer the rest.
 */
size_t virtio_console_input(struct virtio_device *dev, unsigned int port,
			    const void *d, size_t len);
/** virtio_console_resume() - the output function has room again */
void virtio_console_resume(struct virtio_device *dev, unsigned int port);
/** virtio_console_resize() - the size of port 0's terminal */
void virtio_console_resize(struct virtio_device *dev, u16 columns, u16 rows);
/**
 * virtio_console_begin() - files that ports write to lose what they had
 *
 * Context: the main thread, once, before the VM runs and the process is sealed.
 * Return: 0; -errno, reported.
 */
int virtio_console_begin(struct virtio_device *dev, struct report *r);
/**
 * virtio_console_flush() - let streams take what the guest has sent
 * @patience_ms: how long without a byte moving is too long
 * @total_ms: how long is too long in any case
 *
 * Context: the main thread, vCPUs stopped, the device not paused yet.
 * Return: whether all is gone.
 */
bool virtio_console_flush(struct virtio_device *dev, unsigned int patience_ms,
			  unsigned int total_ms);
/**
 * virtio_console_lost() - whether a stream could not take what a guest sent
 *
 * Context: the main thread, the device paused.
 * Return: 0; a positive errno and *@name, the port's.
 */
int virtio_console_lost(struct virtio_device *dev, const char **name);

#endif
