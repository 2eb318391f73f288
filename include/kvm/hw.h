/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The devices that are not virtio. Each create makes an instance whose
 * struct device goes on the VM's list; ranges are registered by it.
 */
#ifndef KVM__HW_H
#define KVM__HW_H

#include <time.h>
#include "kvm/device.h"
#include "kvm/env.h"
#include "kvm/gmem.h"
#include "kvm/io.h"
#include "kvm/irq.h"

struct serial;

/**
 * struct serial_opts - one 16550A
 * @output: guest sent @len bytes, called with no lock of the device held;
 *	may be NULL, then they are dropped
 * @wake: the guest made room after serial_input() took less than it was
 *	offered; any thread, a lock of the device held; may be NULL
 */
struct serial_opts {
	const char *name;
	u16 port;
	unsigned int gsi;
	void (*output)(void *opaque, const void *d, size_t len);
	void (*wake)(void *opaque);
	void *opaque;
};

/**
 * serial_create() - a serial port; claims its 8 ports on env->pio
 * @out: ownership passes to the caller, who adds it to the VM's list
 * @env: env->irq may be NULL, for a port that is only polled
 * @opts: copied; its functions are called as long as the device lives
 *
 * Context: the main thread, before vCPUs run. Return: 0, -ENOMEM, or -errno of the
 * ports or the interrupt line.
 */
int serial_create(struct device **out, const struct hw_env *env,
		  const struct serial_opts *opts);
/**
 * serial_input() - bytes for the guest. Context: any thread.
 * Return: how many fit into the receive FIFO; if not all do, offer the rest once
 * the wake of struct serial_opts was called.
 */
size_t serial_input(struct device *dev, const void *d, size_t len);
/**
 * serial_break() - a break, and @key behind it. Context: any thread
 * Return: 0; -ENOTCONN when the guest does not listen or has no room.
 */
int serial_break(struct device *dev, u8 key);

/** rtc_create() - MC146818 at 0x70; never shows update-in-progress for long */
int rtc_create(struct device **out, const struct hw_env *env);
/** i8042_create() - enough for probing and for reset (0xfe to port 0x64) */
int i8042_create(struct device **out, const struct hw_env *env);
/** pvpanic_create() - port 0x505; PANICKED and CRASH_LOADED and SHUTDOWN */
int pvpanic_create(struct device **out, const struct hw_env *env);
/** debug_exit_create() - port 0xf4, any width: VM_END_DEBUG_EXIT */
int debug_exit_create(struct device **out, const struct hw_env *env);
/**
 * struct testdev_opts - what the test device is to know of the machine
 * @gmem: outlives the device, as @mmio does
 * @ram: bytes
 */
struct testdev_opts {
	struct io_bus *mmio;
	const struct gmem *gmem;
	u64 ram;
	unsigned int nr_cpus;
};

/** testdev_create() - ports and memory that kvm-unit-tests use */
int testdev_create(struct device **out, const struct hw_env *env,
		   const struct testdev_opts *opts);
/** reset_create() - port 0xcf9: a reset when bit 2 goes from 0 to 1 */
int reset_create(struct device **out, const struct hw_env *env);
/** reset_create_forwarded() - the same without a port of its own */
int reset_create_forwarded(struct device **out, const struct hw_env *env);
/**
 * reset_write() - port 0xcf9 was written; for who claims it with 0xcf8
 * @dev: a struct device that reset_create*() made
 */
void reset_write(void *dev, u8 value);
/**
 * reset_read() - port 0xcf9 is read; for who claims it with 0xcf8
 * @dev: a struct device that reset_create*() made
 *
 * Context: any vCPU, no lock of the device held. Return: what was written last.
 */
u8 reset_read(void *dev);
/**
 * acpi_pm_create() - PM1a event block at 0x600, control at 0x604, SCI @gsi
 * SLP_EN with SLP_TYP 5 powers off. SCI_EN reads as set.
 */
int acpi_pm_create(struct device **out, const struct hw_env *env,
		   unsigned int gsi);
/**
 * acpi_pm_press() - the power button is pressed. Context: any thread
 * Return: 0, -ENOTCONN when the guest has not enabled it.
 */
int acpi_pm_press(struct device *dev);
/**
 * acpi_pm_event() - set general-purpose event @gpe, 0..7
 * Context: any thread; a leaf but for the interrupt chip's lock.
 */
void acpi_pm_event(struct device *dev, unsigned int gpe);

/**
 * struct hotplug_opts - registers that say which PCI slots have changed
 * @raise: make the guest look at them
 * @eject: the guest let go of what is in @slots, a bit for each, which it was
 *	asked to; on a vCPU, or on the main thread when the VM starts over
 */
struct hotplug_opts {
	u16 port;
	void (*raise)(void *opaque);
	void (*eject)(void *opaque, u32 slots);
	void *opaque;
};

#define HOTPLUG_PORT_SIZE 12

/** hotplug_create() - HOTPLUG_PORT_SIZE ports at opts->port */
int hotplug_create(struct device **out, const struct hw_env *env,
		   const struct hotplug_opts *opts);
/** hotplug_changed() - look at @slot anew; 0, the bridge's, stands for all */
void hotplug_changed(struct device *dev, unsigned int slot);
/** hotplug_ask() - the guest is to let go of @slot; may be said again */
void hotplug_ask(struct device *dev, unsigned int slot);
/** hotplug_forget() - @slot was emptied: nothing is asked of it any more */
void hotplug_forget(struct device *dev, unsigned int slot);

#endif
