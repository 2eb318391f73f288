/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__KVM_H
#define KVM__KVM_H

#include <pthread.h>
#include "kvm/device.h"
#include "kvm/end.h"
#include "kvm/env.h"
#include "kvm/gmem.h"
#include "kvm/io.h"
#include "kvm/machine.h"
#include "kvm/report.h"
#include "kvm/seal.h"

enum kvm_state { KVM_CREATED, KVM_RUNNING, KVM_PAUSED, KVM_STOPPED };

struct kvm_cpu;
struct arch_vm;
struct virtio_device;

/**
 * struct console_ops - where the console's bytes go; any thread
 * @output: takes all, waits if need be; no lock held
 * @offer: takes as many as there is room for, returns how many; never waits
 * @wake: input may find room again, or output wants to be offered
 * @yield: a vCPU may be in @output and is waited for: make room, whoever reads;
 *	main thread; may be NULL
 */
struct console_ops {
	void (*output)(void *opaque, const void *d, size_t len);
	size_t (*offer)(void *opaque, const void *d, size_t len);
	void (*wake)(void *opaque);
	void *opaque;
	void (*yield)(void *opaque);
};

/**
 * struct kvm - one VM
 * @lock: guards @state, @devices; only around transitions
 * @end_fd: eventfd, readable once the VM wants to end
 * @end: why; set once, under @end_lock; without it, kvm_ended() reads it
 * @end_code: as vm_end_fn has it; set before @end, and to be read once there is one
 * @end_text: of VM_END_ERROR, for the user; as @end_code
 * @panicked: the guest reported a panic, which will be the reason; it runs on so that
 *	the report gets out. Set under @end_lock; without it, kvm_panicked() reads it
 * @cpu_lock: guards @cpu_wish and the counts of vCPU threads below it
 * @release_fd: eventfd, readable once the guest let go of a device
 * @edits_fd: inotify, or -1, readable when names have changed below the root share
 * @edits_ended: as fs_edits_drain() counts
 * @halted: kvm_halt() stopped vCPUs that were running
 * @arch: x86/ and its like own it
 * @unsealed: what the VM still does by a path: a socket goes with it
 * @power_button: what acpi_pm_press() presses, or NULL
 * @console_serial: the console's device if that is a serial port, or NULL
 * @console_virtio: the same if it is a virtio one, or NULL
 * @control: where the bytes of the guest's init go; set before devices are made
 * @control_serial: the device they come by if that is a serial port, or NULL
 * @control_virtio: the same if it is a virtio port, or NULL
 * @ports: the device with the ports, or NULL
 */
struct kvm {
	pthread_mutex_t lock;
	enum kvm_state state;
	const struct machine *machine;
	struct vm_log log;
	struct console_ops console;
	struct console_ops control;
	int dev_fd;
	int vm_fd;
	size_t run_size;
	struct gmem gmem;
	void *ram;
	u64 ram_size;
	void *ram_map;
	u64 ram_map_size;
	struct io_bus pio;
	struct io_bus mmio;
	struct irq_chip *irq;
	struct pci_bus *pci;
	struct device *devices;
	struct device **devices_tail;
	struct kvm_cpu *cpus;
	unsigned int nr_cpus;
	pthread_mutex_t cpu_lock;
	pthread_cond_t cpu_cond;
	enum kvm_state cpu_wish;
	unsigned int cpus_alive;
	unsigned int cpus_parked;
	bool halted;
	struct device *power_button;
	struct device *console_serial;
	struct virtio_device *console_virtio;
	struct device *control_serial;
	struct virtio_device *control_virtio;
	struct virtio_device *ports;
	struct arch_vm *arch;
	struct seal_exceptions unsealed;
	struct hw_env hw_env;
	struct virtio_env virtio_env;
	pthread_mutex_t end_lock;
	int end_fd;
	int release_fd;
	int edits_fd;
	unsigned int edits_ended;
	enum vm_end end;
	bool panicked;
	u32 end_code;
	char end_text[4096];
};

/** kvm_create() - VM, RAM and the architecture's part; half-built is freed */
int kvm_create(struct kvm **out, const struct machine *m,
	       const struct vm_log *log, const struct console_ops *console,
	       struct report *r);
/** kvm_add_device() - append to the list; ownership passes */
void kvm_add_device(struct kvm *kvm, struct device *dev);
/** kvm_free_device() - of what is, or was to be, in that list */
void kvm_free_device(struct device *dev);
/**
 * kvm_find_device() - by name; NULL when there is none
 * Context: the main thread.
 */
struct device *kvm_find_device(struct kvm *kvm, const char *name);
/**
 * kvm_plug() - give a running or paused VM one more device, and tell the guest
 * @dev: a virtio device; ownership passes, also on failure
 *
 * Context: the main thread. vCPUs stand still meanwhile.
 * Return: 0, -errno with the reason in @r.
 */
int kvm_plug(struct kvm *kvm, struct device *dev, struct report *r);
/**
 * kvm_unplug_ask() - ask the guest to let go of device @name
 *
 * Returns at once. When the guest has done so, if ever, @release_fd becomes
 * readable. May be said again, as a reminder.
 * Return: 0, -errno with the reason in @r.
 */
int kvm_unplug_ask(struct kvm *kvm, const char *name, struct report *r);
/** kvm_unplug() - take device @name away, whatever the guest does with it */
int kvm_unplug(struct kvm *kvm, const char *name, struct report *r);
/**
 * kvm_reap() - free a device that the guest let go of
 * @name: 24 bytes, what it was called
 *
 * Context: the main thread, once @release_fd is readable, until it is false.
 */
bool kvm_reap(struct kvm *kvm, char *name);
/** kvm_released() - the guest let go of something. Context: any thread */
void kvm_released(struct kvm *kvm);
/** kvm_seal() - every fd is open: give up what is not needed any more */
int kvm_seal(struct kvm *kvm, struct report *r);
/**
 * kvm_start() - devices, then vCPUs begin to run; from KVM_CREATED to KVM_RUNNING
 *
 * What each device is like before that is kept for kvm_reset().
 * Context: the main thread, after kvm_seal(). Return: 0; -EINVAL in another state;
 * -errno of a device; -errno of a vCPU, with the reason in @r. kvm_destroy() takes
 * what was begun.
 */
int kvm_start(struct kvm *kvm, struct report *r);
/**
 * kvm_pause() - on return no vCPU runs, and no device touches guest memory or a backend
 *
 * Context: the main thread. Return: 0, -EINVAL for a VM that is not running.
 */
int kvm_pause(struct kvm *kvm);
/**
 * kvm_resume() - go on
 *
 * Return: -EINVAL for a VM that is not paused; of a device that could not go on,
 * -errno, and all else runs.
 */
int kvm_resume(struct kvm *kvm);
/**
 * kvm_reset() - start over: devices, memory and vCPUs as when the VM was new
 *
 * A VM that is paused stays so. Context: the main thread; takes as long as
 * loading the kernel does. Return: 0, or -errno with the reason in @r; the VM is
 * as before then, or ends with that reason.
 */
int kvm_reset(struct kvm *kvm, struct report *r);
/** kvm_keep_fresh() - keep for kvm_reset() what @dev is like, now that it is new */
int kvm_keep_fresh(struct device *dev);
/** kvm_renew_ram() - all RAM reads as zeroes. Context: nobody uses it */
int kvm_renew_ram(struct kvm *kvm, struct report *r);
/**
 * kvm_halt() - vCPUs are gone on return, devices still work
 *
 * For what is to be done between the end of a guest and kvm_stop().
 */
void kvm_halt(struct kvm *kvm);
/** kvm_stop() - vCPUs and device threads are gone on return; idempotent */
int kvm_stop(struct kvm *kvm);
/**
 * kvm_destroy() - stop the VM if it runs, and free it with all its devices
 * @kvm: may be half-built, or NULL
 *
 * Context: the main thread; nobody else uses @kvm any more.
 */
void kvm_destroy(struct kvm *kvm);
/**
 * kvm_end() - a vm_end_fn whose opaque is the struct kvm
 *
 * The first reason counts. VM_END_PANIC alone is no end: @panicked is set, @end_fd
 * becomes readable, and the VM runs until it is called with any other reason.
 */
void kvm_end(void *kvm, enum vm_end end, u32 code);
/** kvm_end_error() - end with VM_END_ERROR and a text; the first wins */
void kvm_end_error(struct kvm *kvm, const char *fmt, ...)
	__printf(2, 3);
/**
 * kvm_ended() - why the VM ends, or VM_END_NONE
 *
 * Context: any thread. Of an end that is seen, @end_code and @end_text are, too.
 */
static inline enum vm_end kvm_ended(const struct kvm *kvm)
{
	/* pairs with the release in end_set() */
	return __atomic_load_n(&kvm->end, __ATOMIC_ACQUIRE);
}

/** kvm_panicked() - whether the guest told of a panic. Context: any thread */
static inline bool kvm_panicked(const struct kvm *kvm)
{
	return __atomic_load_n(&kvm->panicked, __ATOMIC_RELAXED);
}

/** kvm_new_vm() - one with nothing in it. Return: as ioctl() */
int kvm_new_vm(const struct kvm *kvm);
/** kvm_check_extension() - the VM's answer, 0 when unsupported */
int kvm_check_extension(struct kvm *kvm, int cap);

#endif
