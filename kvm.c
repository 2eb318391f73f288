// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual machine as a whole.
 *
 * Theory of operation: struct kvm owns the KVM file descriptors, guest RAM,
 * the buses, the list of devices and the state machine CREATED -> RUNNING <->
 * PAUSED -> STOPPED, whose every transition kvm_set_state() checks. The main
 * thread makes all transitions, under kvm->lock. RAM is one anonymous mapping
 * without reservation: what the guest does not touch costs nothing. A VM ends
 * because a device, a vCPU or the main thread calls kvm_end(), from any
 * thread: the first reason is kept, an eventfd wakes the main thread, and the
 * caller goes on; nothing is torn down on the caller's stack. A panic is a reason
 * that is kept and no end yet: what there is to say of it may still come, and the
 * next kvm_end() of any other kind, the main thread's at last, is the end. kvm_destroy()
 * takes a half-built VM. What is not supported: changing RAM while running.
 * Devices come and go while the VM lives in plug.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/abi.h"
#include "kvm/arch.h"
#include "kvm/eventfd.h"
#include "kvm/kvm.h"
#include "kvm/thread.h"

int kvm_check_extension(struct kvm *kvm, int cap)
{
	int v = ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, (long)cap);

	return v < 0 ? 0 : v;
}

/* Checks every transition. Return: 0, -EINVAL. */
static int kvm_set_state(struct kvm *kvm, enum kvm_state to)
{
	static const u8 allowed[] = {
		[KVM_CREATED] = BIT(KVM_RUNNING) | BIT(KVM_STOPPED),
		[KVM_RUNNING] = BIT(KVM_PAUSED) | BIT(KVM_STOPPED),
		[KVM_PAUSED] = BIT(KVM_RUNNING) | BIT(KVM_STOPPED),
		[KVM_STOPPED] = 0,
	};

	if (!(allowed[kvm->state] & BIT(to)))
		return -EINVAL;
	kvm->state = to;
	return 0;
}

void kvm_released(struct kvm *kvm)
{
	eventfd_signal(kvm->release_fd);
}

/* With @end_lock held. After a panic the reason stays VM_END_PANIC, whatever ends the VM. */
static void end_set(struct kvm *kvm, enum vm_end end, u32 code)
{
	kvm->end_code = kvm->panicked ? 0 : code;
	/* pairs with the acquire in kvm_ended() */
	__atomic_store_n(&kvm->end, kvm->panicked ? VM_END_PANIC : end, __ATOMIC_RELEASE);
	eventfd_signal(kvm->end_fd);
}

void kvm_end(void *opaque, enum vm_end end, u32 code)
{
	struct kvm *kvm = opaque;

	pthread_mutex_lock(&kvm->end_lock);
	if (end == VM_END_PANIC && !kvm->panicked) {
		__atomic_store_n(&kvm->panicked, true, __ATOMIC_RELAXED);
		eventfd_signal(kvm->end_fd);
	} else if (end != VM_END_PANIC && kvm->end == VM_END_NONE) {
		end_set(kvm, end, code);
	}
	pthread_mutex_unlock(&kvm->end_lock);
}

void kvm_end_error(struct kvm *kvm, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&kvm->end_lock);
	if (kvm->end == VM_END_NONE) {
		va_start(ap, fmt);
		vsnprintf(kvm->end_text, sizeof(kvm->end_text), fmt, ap);
		va_end(ap);
		end_set(kvm, VM_END_ERROR, 0);
	}
	pthread_mutex_unlock(&kvm->end_lock);
}

/* Whose group has access may join it. */
static int kvm_no_access(struct report *r)
{
	const struct group *g;
	char name[12];
	struct stat st;

	if (stat("/dev/kvm", &st) < 0 || (~st.st_mode & 060))
		return report_error(r, EACCES, "/dev/kvm: no access");
	g = getgrgid(st.st_gid);
	snprintf(name, sizeof(name), "%u", st.st_gid);
	return report_error(r, EACCES, "/dev/kvm: no access; join group %s (usermod -aG %s $USER)",
			    g ? g->gr_name : name, g ? g->gr_name : name);
}

static int kvm_open_dev(struct kvm *kvm, struct report *r)
{
	int version;

	kvm->dev_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm->dev_fd < 0 && errno == EACCES)
		return kvm_no_access(r);
	if (kvm->dev_fd < 0)
		return report_error(r, errno, "/dev/kvm: cannot open%s",
				    errno == ENOENT || errno == ENODEV || errno == ENXIO ?
				    "; is a kvm module loaded?" : "");
	version = ioctl(kvm->dev_fd, KVM_GET_API_VERSION, 0L);
	if (version < 0)
		return report_error(r, errno, "/dev/kvm: KVM_GET_API_VERSION");
	if (version != KVM_API_VERSION)
		return report_error(r, 0, "/dev/kvm: API version %d, not %d",
				    version, KVM_API_VERSION);
	return 0;
}

int kvm_new_vm(const struct kvm *kvm)
{
	int fd;

	do {
		fd = ioctl(kvm->dev_fd, KVM_CREATE_VM, 0L);
	} while (fd < 0 && errno == EINTR);
	return fd;
}

static int kvm_open_vm(struct kvm *kvm, struct report *r)
{
	const struct abi_row *cap;
	int size;

	kvm->vm_fd = kvm_new_vm(kvm);
	if (kvm->vm_fd < 0)
		return report_error(r, errno, "KVM_CREATE_VM");
	for (unsigned int i = 0; (cap = abi_required_cap(i)); i++)
		if (!kvm_check_extension(kvm, cap->nr))
			return report_error(r, 0, "/dev/kvm: this KVM lacks %s (%s)",
					    cap->name, cap->why);
	size = ioctl(kvm->dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0L);
	if (size < 0)
		return report_error(r, errno, "KVM_GET_VCPU_MMAP_SIZE");
	kvm->run_size = size;
	return 0;
}

/* @fixed: MAP_FIXED, to replace what is there */
static int kvm_map_ram(struct kvm *kvm, int fixed, struct report *r)
{
	const size_t align = 2 * SZ_1M;
	void *p = mmap(kvm->ram_map, kvm->ram_map_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed,
		       -1, 0);

	if (p == MAP_FAILED)
		return report_error(r, errno, "guest memory: %llu MiB",
				    (unsigned long long)(kvm->ram_size / SZ_1M));
	kvm->ram_map = p;
	kvm->ram = (void *)ALIGN_UP((uintptr_t)p, align);
	madvise(kvm->ram, kvm->ram_size, MADV_HUGEPAGE);
	madvise(kvm->ram, kvm->ram_size, MADV_DONTDUMP);
	return 0;
}

/* Whether memory that asks for it is of pages of 2 MiB */
static bool has_huge_pages(void)
{
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled",
		      O_RDONLY | O_CLOEXEC);
	char s[64];
	ssize_t n = fd < 0 ? 0 : read(fd, s, sizeof(s));

	if (fd >= 0)
		close(fd);
	return n > 0 && !memmem(s, n, "[never]", 7);
}

static int kvm_alloc_ram(struct kvm *kvm, struct report *r)
{
	kvm->gmem.huge = has_huge_pages();
	kvm->ram_size = kvm->machine->mem;
	kvm->ram_map_size = kvm->ram_size + 2 * SZ_1M;
	return kvm_map_ram(kvm, 0, r);
}

int kvm_renew_ram(struct kvm *kvm, struct report *r)
{
	kvm->gmem.nr_files = 0;
	return kvm_map_ram(kvm, MAP_FIXED, r);
}

static int kvm_ioeventfd(void *opaque, int fd, u64 addr, u32 len, u32 value,
			 bool port, bool on)
{
	struct kvm *kvm = opaque;
	struct kvm_ioeventfd io = {
		.datamatch = value,
		.addr = addr,
		.len = len,
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH |
			 (port ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return ioctl(kvm->vm_fd, KVM_IOEVENTFD, &io) < 0 ? -errno : 0;
}

static void kvm_set_env(struct kvm *kvm)
{
	kvm->hw_env = (struct hw_env){
		.pio = &kvm->pio,
		.irq = kvm->irq,
		.end = kvm_end,
		.end_opaque = kvm,
	};
	kvm->virtio_env = (struct virtio_env){
		.gmem = &kvm->gmem,
		.log = &kvm->log,
		.mmio = &kvm->mmio,
		.irq = kvm->irq,
		.pci = kvm->pci,
		.ioeventfd = kvm_ioeventfd,
		.ioeventfd_opaque = kvm,
	};
}

static int kvm_create_cpus(struct kvm *kvm, struct report *r)
{
	unsigned int max = kvm_check_extension(kvm, KVM_CAP_MAX_VCPUS);
	unsigned int nr = kvm->machine->nr_cpus;
	int err;

	if (nr > max)
		return report_error(r, 0, "%u CPUs: KVM allows at most %u", nr,
				    max);
	kvm->cpus = calloc(nr, sizeof(*kvm->cpus));
	if (!kvm->cpus)
		return report_error(r, ENOMEM, "%u CPUs", nr);
	for (unsigned int i = 0; i < nr; i++) {
		kvm->cpus[i].fd = -1;
		kvm->cpus[i].stats_fd = -1;
	}
	for (kvm->nr_cpus = 0; kvm->nr_cpus < nr;) {
		err = kvm_cpu_create(kvm, kvm->nr_cpus++, r);
		if (err)
			return err;
	}
	return 0;
}

static struct kvm *kvm_alloc(const struct machine *m, const struct vm_log *log,
			     const struct console_ops *console)
{
	struct kvm *kvm = calloc(1, sizeof(*kvm));

	if (!kvm)
		return NULL;
	pthread_mutex_init(&kvm->lock, NULL);
	pthread_mutex_init(&kvm->end_lock, NULL);
	pthread_mutex_init(&kvm->cpu_lock, NULL);
	cond_create(&kvm->cpu_cond);
	kvm->machine = m;
	kvm->log = *log;
	kvm->console = *console;
	kvm->dev_fd = -1;
	kvm->edits_fd = -1;
	kvm->vm_fd = -1;
	kvm->devices_tail = &kvm->devices;
	io_bus_init(&kvm->pio);
	io_bus_init(&kvm->mmio);
	kvm->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	kvm->release_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return kvm;
}

int kvm_create(struct kvm **out, const struct machine *m,
	       const struct vm_log *log, const struct console_ops *console,
	       struct report *r)
{
	struct kvm *kvm = kvm_alloc(m, log, console);
	int err;

	if (!kvm)
		return report_error(r, ENOMEM, "virtual machine");
	err = kvm->end_fd < 0 || kvm->release_fd < 0 ? report_error(r, errno, "eventfd") : 0;
	if (!err)
		err = kvm_open_dev(kvm, r);
	if (!err)
		err = kvm_open_vm(kvm, r);
	if (!err)
		err = kvm_alloc_ram(kvm, r);
	if (!err)
		err = arch_vm_create(kvm, r);
	if (!err)
		err = kvm_create_cpus(kvm, r);
	if (err) {
		kvm_destroy(kvm);
		return err;
	}
	kvm_set_env(kvm);
	*out = kvm;
	return 0;
}

void kvm_add_device(struct kvm *kvm, struct device *dev)
{
	pthread_mutex_lock(&kvm->lock);
	dev->next = NULL;
	*kvm->devices_tail = dev;
	kvm->devices_tail = &dev->next;
	pthread_mutex_unlock(&kvm->lock);
}

int kvm_seal(struct kvm *kvm, struct report *r)
{
	return process_seal(arch_audit(), &kvm->unsealed, r);
}

int kvm_start(struct kvm *kvm, struct report *r)
{
	int err = 0;

	pthread_mutex_lock(&kvm->lock);
	for (struct device *d = kvm->devices; d && !err; d = d->next) {
		err = kvm_keep_fresh(d);
		if (!err && d->ops->start)
			err = d->ops->start(d);
	}
	for (unsigned int i = 0; i < kvm->nr_cpus && !err; i++)
		err = arch_cpu_init(&kvm->cpus[i], r);
	if (!err)
		err = kvm_set_state(kvm, KVM_RUNNING);
	if (!err)
		err = kvm_cpus_start(kvm, r);
	pthread_mutex_unlock(&kvm->lock);
	return err;
}

int kvm_pause(struct kvm *kvm)
{
	int err;

	pthread_mutex_lock(&kvm->lock);
	err = kvm_set_state(kvm, KVM_PAUSED);
	if (!err) {
		kvm_cpus_pause(kvm);
		for (struct device *d = kvm->devices; d; d = d->next)
			if (d->ops->pause)
				d->ops->pause(d);
	}
	pthread_mutex_unlock(&kvm->lock);
	return err;
}

int kvm_resume(struct kvm *kvm)
{
	int err, first = 0;

	pthread_mutex_lock(&kvm->lock);
	err = kvm_set_state(kvm, KVM_RUNNING);
	if (!err) {
		for (struct device *d = kvm->devices; d; d = d->next) {
			err = d->ops->resume ? d->ops->resume(d) : 0;
			first = first ? first : err;
		}
		err = first;
		kvm_cpus_resume(kvm);
	}
	pthread_mutex_unlock(&kvm->lock);
	return err;
}

void kvm_halt(struct kvm *kvm)
{
	pthread_mutex_lock(&kvm->lock);
	if (kvm->state == KVM_RUNNING) {
		kvm->halted = true;
		kvm_set_state(kvm, KVM_STOPPED);
		kvm_cpus_stop(kvm);
	}
	pthread_mutex_unlock(&kvm->lock);
}

int kvm_stop(struct kvm *kvm)
{
	bool running;

	pthread_mutex_lock(&kvm->lock);
	running = kvm->state == KVM_RUNNING || kvm->halted;
	kvm->halted = false;
	if (kvm->state != KVM_STOPPED)
		kvm_set_state(kvm, KVM_STOPPED);
	kvm_cpus_stop(kvm);
	for (struct device *d = kvm->devices; d && running; d = d->next)
		if (d->ops->pause)
			d->ops->pause(d);
	pthread_mutex_unlock(&kvm->lock);
	return 0;
}

void kvm_free_device(struct device *dev)
{
	state_out_free(&dev->fresh);
	dev->ops->destroy(dev);
}

/* In reverse: what was made last may use what was made first. */
static void kvm_destroy_devices(struct device *d)
{
	struct device *reversed = NULL;

	while (d) {
		struct device *next = d->next;

		d->next = reversed;
		reversed = d;
		d = next;
	}
	while (reversed) {
		d = reversed;
		reversed = d->next;
		kvm_free_device(d);
	}
}

void kvm_destroy(struct kvm *kvm)
{
	if (!kvm)
		return;
	if (kvm->cpus)
		kvm_stop(kvm);
	for (unsigned int i = 0; i < kvm->nr_cpus; i++)
		kvm_cpu_destroy(&kvm->cpus[i]);
	free(kvm->cpus);
	kvm->cpus = NULL;
	kvm->nr_cpus = 0;
	/*
	 * KVM takes all off a VM at once, but waits for each irqfd and each page of RAM
	 * that goes by itself. The number stays in use: what a device takes off is ENOTTY.
	 */
	if (kvm->vm_fd >= 0)
		dup2(kvm->end_fd, kvm->vm_fd);
	kvm_destroy_devices(kvm->devices);
	arch_vm_destroy(kvm);
	if (kvm->ram_map)
		munmap(kvm->ram_map, kvm->ram_map_size);
	if (kvm->vm_fd >= 0)
		close(kvm->vm_fd);
	if (kvm->dev_fd >= 0)
		close(kvm->dev_fd);
	if (kvm->end_fd >= 0)
		close(kvm->end_fd);
	if (kvm->release_fd >= 0)
		close(kvm->release_fd);
	if (kvm->edits_fd >= 0)
		close(kvm->edits_fd);
	io_bus_destroy(&kvm->pio);
	io_bus_destroy(&kvm->mmio);
	free(kvm);
}
