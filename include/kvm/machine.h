/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__MACHINE_H
#define KVM__MACHINE_H

#include "kvm/opts.h"
#include "kvm/stream.h"

#define MACHINE_MAX_DISKS 64
#define MACHINE_MAX_NETS 8
#define MACHINE_MAX_PORTS 15
#define MACHINE_MAX_SHARES 16
/* The transport's: windows and interrupts that an architecture has */
#define MACHINE_MAX_MMIO 32

enum machine_console { CONSOLE_SERIAL, CONSOLE_VIRTIO };
/* How the guest's init reaches us: not at all, as a virtio port, as ttyS1 */
enum machine_control { CONTROL_NONE, CONTROL_VIRTIO, CONTROL_SERIAL };
enum machine_transport { TRANSPORT_PCI, TRANSPORT_MMIO };

/**
 * struct machine_disk - one -d; strings are the configuration's
 * @opts: the image
 * @serial: number for the guest to find it by, or NULL
 */
struct machine_disk {
	struct disk_opts opts;
	const char *serial;
};

/**
 * struct machine_port - one --port; strings are the configuration's
 * @name: what the guest finds it by
 * @console: it is a terminal of the guest
 * @stream: the other side
 */
struct machine_port {
	const char *name;
	bool console;
	struct stream_opts stream;
};

/**
 * struct machine_share - a directory of the host; strings are not its own
 * @p9: by 9P rather than virtio-fs
 * @path: of the directory
 * @tag: what the guest mounts it by
 * @readonly: the guest can change nothing below it
 */
struct machine_share {
	const char *path;
	const char *tag;
	bool readonly;
	bool p9;
};

/**
 * struct machine_vsock - --vsock; strings are the configuration's
 * @cid: 0 for none
 * @path: of the UNIX socket, NULL with @vhost
 * @dir: directory of @path
 * @make_dir: it is the default one, and is made
 * @vhost: the kernel of the host carries the bytes
 */
struct machine_vsock {
	u64 cid;
	const char *path;
	const char *dir;
	bool make_dir;
	bool vhost;
};

/**
 * struct machine - a resolved configuration: all that a VM is made of
 * @name: of the VM; unique among those that run
 * @mem: bytes of RAM, a multiple of 4 KiB
 * @kernel: path
 * @initrd: path, or NULL
 * @archive: @archive_len bytes, of whole pages, that the kernel unpacks as its
 *	first root, before @initrd; the configuration's
 * @cmdline: the whole of it, defaults included
 * @console: where the console is
 * @control: how the guest's init reaches us
 * @transport: how virtio devices are attached
 * @rng: with an entropy device
 * @balloon: with a balloon
 * @testdev: with the device that kvm-unit-tests expect
 * @vsock: a socket device
 * @nodefaults: --nodefaults was given; @cmdline is made by then
 * @mmio_params: what the kernel gets says where virtio devices on MMIO are
 * @disk: those of -d, @nr_disks of them
 * @net: those of -n, @nr_nets of them
 * @port: those of --port, @nr_ports of them
 * @share: directories, @nr_shares of them, the command's root included
 */
struct machine {
	const char *name;
	u64 mem;
	unsigned int nr_cpus;
	const char *kernel;
	const char *initrd;
	const void *archive;
	u64 archive_len;
	const char *cmdline;
	enum machine_console console;
	enum machine_control control;
	enum machine_transport transport;
	bool rng;
	bool balloon;
	bool testdev;
	struct machine_vsock vsock;
	bool nodefaults;
	bool mmio_params;
	struct machine_disk disk[MACHINE_MAX_DISKS];
	unsigned int nr_disks;
	struct net_opts net[MACHINE_MAX_NETS];
	unsigned int nr_nets;
	struct machine_port port[MACHINE_MAX_PORTS];
	unsigned int nr_ports;
	struct machine_share share[MACHINE_MAX_SHARES];
	unsigned int nr_shares;
};

#endif
