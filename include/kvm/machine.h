/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__MACHINE_H
#define KVM__MACHINE_H

#include "kvm/disk.h"
#include "kvm/stream.h"

#define MACHINE_MAX_DISKS 64
#define MACHINE_MAX_PORTS 15

enum machine_console { CONSOLE_SERIAL, CONSOLE_VIRTIO };
enum machine_transport { TRANSPORT_PCI, TRANSPORT_MMIO };

/** struct machine_disk - one -d; strings are the configuration's */
struct machine_disk {
	struct disk_opts opts;
	const char *serial;
};

/** struct machine_port - one --port; strings are the configuration's */
struct machine_port {
	const char *name;
	bool console;
	struct stream_opts stream;
};

/**
 * struct machine - a resolved configuration: all that a VM is made of
 * @mem: bytes of RAM, a multiple of 4 KiB
 * @kernel, @initrd: paths; @initrd may be NULL
 * @cmdline: the whole of it, defaults included
 */
struct machine {
	const char *name;
	u64 mem;
	unsigned int nr_cpus;
	const char *kernel;
	const char *initrd;
	const char *cmdline;
	enum machine_console console;
	enum machine_transport transport;
	bool rng;
	bool balloon;
	bool nodefaults;
	struct machine_disk disk[MACHINE_MAX_DISKS];
	unsigned int nr_disks;
	struct machine_port port[MACHINE_MAX_PORTS];
	unsigned int nr_ports;
};

#endif
