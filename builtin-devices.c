// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which devices a VM has.
 *
 * Theory of operation: each part of the resolved machine becomes a device, with
 * its backend opened here, in the order in which a guest is to find them; the
 * architecture says where it is. What a device still needs a path for once the
 * process is sealed is noted in kvm->unsealed. What was made goes with the VM,
 * also after a failure. Main thread, before vCPUs exist; guests reach nothing
 * of it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/arch.h"
#include "kvm/control-path.h"
#include "kvm/disk.h"
#include "kvm/guest-proto.h"
#include "kvm/net.h"
#include "kvm/stream.h"
#include "kvm/virtio.h"

/* A queue for each CPU saves the guest a lock; the disk has one thread. */
#define DISK_QUEUES_MAX 4U

static int create_virtio(struct kvm *kvm, struct virtio_device **dev,
			 const struct virtio_class *class, const char *name,
			 const void *opts, struct report *r)
{
	int err = virtio_device_create(dev, class, name, opts,
				       &kvm->virtio_env, r);

	return err ? report_error(r, -err, "%s", name) : 0;
}

int place_virtio(struct kvm *kvm, struct virtio_device *dev,
		 struct report *r)
{
	int err = arch_add_virtio(kvm, &dev->dev, r);

	if (err) {
		dev->dev.ops->destroy(&dev->dev);
		return err;
	}
	kvm_add_device(kvm, &dev->dev);
	return 0;
}

static int add_virtio(struct kvm *kvm, const struct virtio_class *class,
		      const char *name, const void *opts, struct report *r)
{
	struct virtio_device *dev;
	int err = create_virtio(kvm, &dev, class, name, opts, r);

	return err ? err : place_virtio(kvm, dev, r);
}

static int open_ports(struct kvm *kvm, struct virtio_console_port *port,
		      struct report *r)
{
	struct seal_exceptions *except = &kvm->unsealed;
	const struct machine *m = kvm->machine;
	int err = 0;

	static_assert(MACHINE_MAX_PORTS <= SEAL_READABLE_MAX, "any may be a pty");
	for (unsigned int i = 0; i < m->nr_ports && !err; i++) {
		const char *name = m->port[i].name, *path;

		port[i].name = name;
		port[i].console = m->port[i].console;
		err = stream_open(&port[i].stream, name, &m->port[i].stream, r);
		path = err ? NULL : stream_path(port[i].stream);
		if (!path)
			continue;
		vm_log(&kvm->log, "port %s: %s", name, path);
		except->readable[except->nr_readable++] = path;
	}
	return err;
}

static int add_port(struct kvm *kvm, struct virtio_device **out, const char *name,
		    struct virtio_console_port *port, struct report *r)
{
	struct virtio_console_opts o = { port, 1 };
	struct virtio_device *dev;
	int err = create_virtio(kvm, &dev, &virtio_console_class, name, &o, r);

	if (!err)
		err = place_virtio(kvm, dev, r);
	if (!err)
		*out = dev;
	return err;
}

/*
 * A device of its own, without ports: those are announced by messages, which
 * Linux handles at its leisure. Its init may well be there first, and finds no
 * /dev/console.
 */
static int add_console(struct kvm *kvm, struct report *r)
{
	struct virtio_console_port port = {
		.console = true,
		.output = kvm->console.offer,
		.wake = kvm->console.wake,
		.opaque = kvm->console.opaque,
	};

	if (kvm->machine->console != CONSOLE_VIRTIO)
		return 0;
	return add_port(kvm, &kvm->console_virtio, "console", &port, r);
}

static int add_ports(struct kvm *kvm, struct report *r)
{
	struct virtio_console_port port[MACHINE_MAX_PORTS] = { 0 };
	struct virtio_console_opts o = { port, kvm->machine->nr_ports };
	struct virtio_device *dev;
	int err;

	if (!o.nr_ports)
		return 0;
	err = open_ports(kvm, port, r);
	if (!err)
		err = create_virtio(kvm, &dev, &virtio_console_class, "ports",
				    &o, r);
	if (err) {
		for (unsigned int i = 0; i < o.nr_ports; i++)
			stream_close(port[i].stream);
		return err;
	}
	err = place_virtio(kvm, dev, r);
	if (!err)
		kvm->ports = dev;
	return err;
}

/* The guest's init and us: nobody else's port is on this device. */
static int add_control(struct kvm *kvm, struct report *r)
{
	struct virtio_console_port port = {
		.name = GUEST_PROTO_PORT,
		.output = kvm->control.offer,
		.wake = kvm->control.wake,
		.opaque = kvm->control.opaque,
	};

	if (kvm->machine->control != CONTROL_VIRTIO)
		return 0;
	return add_port(kvm, &kvm->control_virtio, "control", &port, r);
}

int disk_create(struct kvm *kvm, struct virtio_device **dev,
		const struct machine_disk *d, const char *name,
		struct report *r)
{
	struct virtio_blk_opts o = {
		.serial = d->serial,
		.nr_queues = MIN(kvm->machine->nr_cpus, DISK_QUEUES_MAX),
	};
	struct disk_opts opts = d->opts;
	int err;

	if (opts.has_fd)
		opts.fd = fcntl(opts.fd, F_DUPFD_CLOEXEC, 0);
	if (opts.has_fd && opts.fd < 0)
		return report_error(r, errno, "disk %s", opts.path);
	err = disk_open(&o.disk, &opts, r);
	if (err) {
		if (opts.has_fd)
			close(opts.fd);
		return err;
	}
	err = create_virtio(kvm, dev, &virtio_blk_class, name, &o, r);
	if (err)
		disk_close(o.disk);
	return err;
}

int network_create(struct kvm *kvm, struct virtio_device **dev,
		   struct net_backend *b, const struct net_opts *n,
		   const char *name, struct report *r)
{
	struct virtio_net_opts o = {
		.mac = n->has_mac ? n->mac : NULL,
		.vhost = n->vhost, .backend = b,
	};
	int err = create_virtio(kvm, dev, &virtio_net_class, name, &o, r);

	if (err)
		net_close(b);
	return err;
}

static int add_disks(struct kvm *kvm, struct report *r)
{
	const struct machine *m = kvm->machine;
	struct virtio_device *dev;
	char name[24];
	int err = 0;

	for (unsigned int i = 0; i < m->nr_disks && !err; i++) {
		snprintf(name, sizeof(name), "disk%u", i);
		err = disk_create(kvm, &dev, &m->disk[i], name, r);
		if (!err)
			err = place_virtio(kvm, dev, r);
	}
	return err;
}

static int add_networks(struct kvm *kvm, struct report *r)
{
	const struct machine *m = kvm->machine;
	struct virtio_device *dev;
	struct net_backend *b;
	char name[24];
	int err = 0;

	for (unsigned int i = 0; i < m->nr_nets && !err; i++) {
		snprintf(name, sizeof(name), "net%u", i);
		err = net_open(&b, &m->net[i], r);
		if (!err)
			err = network_create(kvm, &dev, b, &m->net[i], name, r);
		if (!err)
			err = place_virtio(kvm, dev, r);
	}
	return err;
}

unsigned int raise_limit(void)
{
	struct rlimit l, all;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return 1024;
	all = (struct rlimit){ l.rlim_max, l.rlim_max };
	if (l.rlim_cur < l.rlim_max && !setrlimit(RLIMIT_NOFILE, &all))
		l = all;
	return MIN(l.rlim_cur, 0x7fffffffUL);
}

static int add_vsock(struct kvm *kvm, struct report *r)
{
	const struct machine_vsock *m = &kvm->machine->vsock;
	struct virtio_vsock_opts o = { .cid = m->cid, .path = m->path };
	const struct virtio_class *class = &virtio_vsock_class;
	int err = m->make_dir ? control_dir_make(m->dir) : 0;

	if (err)
		return report_error(r, -err, "vsock: socket in %s", m->dir);
	if (m->vhost)
		class = &virtio_vhost_vsock_class;
	else	/* The other half is for all else. */
		o.max_conns = raise_limit() / 2;
	kvm->unsealed.removable[0] = m->dir;
	return add_virtio(kvm, class, "vsock", &o, r);
}

int devices_add(struct kvm *kvm, struct report *r)
{
	const struct machine *m = kvm->machine;
	const struct virtio_balloon_opts balloon = { .reporting = true };
	int err = arch_platform_init(kvm, r);

	if (!err)
		err = add_console(kvm, r);
	if (!err)
		err = add_control(kvm, r);
	if (!err)
		err = add_ports(kvm, r);
	if (!err)
		err = add_disks(kvm, r);
	if (!err)
		err = add_networks(kvm, r);
	if (!err && m->rng)
		err = add_virtio(kvm, &virtio_rng_class, "rng", NULL, r);
	if (!err && m->balloon)
		err = add_virtio(kvm, &virtio_balloon_class, "balloon",
				 &balloon, r);
	if (!err && m->vsock.cid)
		err = add_vsock(kvm, r);
	if (!err && m->nr_shares)
		err = shares_add(kvm, r);
	return err ? err : arch_platform_finish(kvm, r);
}
