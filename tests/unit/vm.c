// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * A VM of kvm.c, kvm-cpu.c and x86/ on a KVM of this test's own: open() and ioctl()
 * are caught, and /dev/kvm says what it is told to. A vCPU is a memfd, which is
 * mapped as its struct kvm_run. So it is seen what KVM is asked for, and what comes
 * of each answer, also of those that no KVM at hand gives.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "kvm/eventfd.h"
#include "kvm/kvm-cpu.h"
#include "test.h"

#define CPUS 3U
#define RUN_SIZE 0x3000
#define RIP 0x200000
#define MAX_FDS 256
#define MSR_MTRR_DEF_TYPE 0x2ff
#define APIC_LVT0 0x350
#define APIC_LVT1 0x360

static const u8 code[] = { 0x0f, 0x0b, 0x37, 0x13, 0xc0, 0xde };

/**
 * struct fake_kvm - what it is told to say, and what it was asked
 * @run_errno: of KVM_RUN; 0 for an exit that is @exit, once
 * @exited: it was
 * @cpu: number of the vCPU that the descriptor is, and one
 * @mtrr, @lint: what each vCPU was given
 * @clock_ctrls: vCPUs that were told of a pause
 */
static struct fake_kvm {
	int version;
	int run_errno;
	struct kvm_run exit;
	bool exited;
	u8 cpu[MAX_FDS];
	u64 mtrr[CPUS];
	u32 lint[CPUS][2];
	unsigned int clock_ctrls;
	struct kvm_ioeventfd ioeventfd;
	unsigned int nr_ioeventfds;
} fake;

int open(const char *path, int flags, ...)
{
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	if (!strcmp(path, "/dev/kvm"))
		path = "/dev/null";
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static int fake_cpu(unsigned long id)
{
	int fd = memfd_create("vcpu", MFD_CLOEXEC);

	if (fd < 0 || fd >= MAX_FDS || ftruncate(fd, RUN_SIZE) < 0)
		return -1;
	fake.cpu[fd] = (u8)(id + 1);
	return fd;
}

static int fake_run(int fd)
{
	struct kvm_run *run = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	bool now = !run->immediate_exit && fake.cpu[fd] == 1 &&
		   (fake.run_errno || fake.exit.exit_reason) &&
		   !__atomic_exchange_n(&fake.exited, true, __ATOMIC_SEQ_CST);

	if (now && !fake.run_errno) {
		run->exit_reason = fake.exit.exit_reason;
		memcpy(run->padding, fake.exit.padding, sizeof(run->padding));
	}
	munmap(run, RUN_SIZE);
	if (now && !fake.run_errno)
		return 0;
	if (!now)
		usleep(1000);
	errno = now ? fake.run_errno : EINTR;
	return -1;
}

static void fake_msrs(unsigned int cpu, const struct kvm_msrs *m)
{
	for (u32 i = 0; i < m->nmsrs; i++)
		if (m->entries[i].index == MSR_MTRR_DEF_TYPE)
			fake.mtrr[cpu] = m->entries[i].data;
}

static int fake_cpu_ioctl(int fd, unsigned long request, void *arg)
{
	unsigned int cpu = fake.cpu[fd] - 1U;

	switch (request) {
	case KVM_RUN:
		return fake_run(fd);
	case KVM_GET_REGS:
		*(struct kvm_regs *)arg = (struct kvm_regs){ .rip = RIP, .rax = 0xfeedbeef };
		return 0;
	case KVM_GET_SREGS:
		*(struct kvm_sregs *)arg = (struct kvm_sregs){ .cr3 = 0x7654321 };
		return 0;
	case KVM_TRANSLATE:
		((struct kvm_translation *)arg)->physical_address =
			((struct kvm_translation *)arg)->linear_address;
		((struct kvm_translation *)arg)->valid = 1;
		return 0;
	case KVM_SET_MSRS:
		fake_msrs(cpu, arg);
		return 1;
	case KVM_GET_LAPIC:
		memset(arg, 0, sizeof(struct kvm_lapic_state));
		return 0;
	case KVM_SET_LAPIC:
		memcpy(&fake.lint[cpu][0], (u8 *)arg + APIC_LVT0, 4);
		memcpy(&fake.lint[cpu][1], (u8 *)arg + APIC_LVT1, 4);
		return 0;
	case KVM_KVMCLOCK_CTRL:
		fake.clock_ctrls |= BIT(cpu);
		return 0;
	}
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	if (fd < 0 || fd >= MAX_FDS) {
		errno = EBADF;
		return -1;
	}
	if (fake.cpu[fd])
		return fake_cpu_ioctl(fd, request, (void *)arg);
	switch (request) {
	case KVM_GET_API_VERSION:
		return fake.version;
	case KVM_CREATE_VM:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case KVM_CHECK_EXTENSION:
		return 1000;
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		((struct kvm_cpuid2 *)arg)->nent = 0;
		return 0;
	case KVM_CREATE_VCPU:
		return fake_cpu(arg);
	case KVM_IOEVENTFD:
		fake.ioeventfd = *(struct kvm_ioeventfd *)arg;
		fake.nr_ioeventfds++;
		return 0;
	}
	return 0;
}

static void nothing(int sig)
{
	(void)sig;
}

static void say(void *opaque, const char *line)
{
	(void)opaque;
	printf("# %s\n", line);
}

static struct kvm *make(struct report *r)
{
	static const struct machine m = { .name = "fake", .mem = 16 * SZ_1M, .nr_cpus = CPUS };
	const struct vm_log log = { .emit = say };
	const struct console_ops console = { 0 };
	struct kvm *kvm = NULL;

	signal(SIGUSR1, nothing);
	if (kvm_create(&kvm, &m, &log, &console, r))
		return NULL;
	memcpy((u8 *)kvm->ram + RIP, code, sizeof(code));
	return kvm;
}

TEST(vm_of_another_version_of_kvm_is_refused)
{
	struct report r = { 0 };

	fake = (struct fake_kvm){ .version = KVM_API_VERSION + 1 };
	EXPECT(!make(&r));
	EXPECT(!strcmp(r.msg, "/dev/kvm: API version 13, not 12"));
}

TEST(vm_has_ioeventfds_of_kvm)
{
	struct report r = { 0 };
	struct kvm *kvm;

	fake = (struct fake_kvm){ .version = KVM_API_VERSION };
	kvm = make(&r);
	if (!kvm) {
		EXPECT(kvm);
		return;
	}
	EXPECT(!kvm->virtio_env.ioeventfd(kvm, 7, 0x1234, 2, 5, true, true));
	EXPECT(fake.nr_ioeventfds == 1 && fake.ioeventfd.fd == 7);
	EXPECT(fake.ioeventfd.addr == 0x1234 && fake.ioeventfd.len == 2);
	EXPECT(fake.ioeventfd.datamatch == 5);
	EXPECT(fake.ioeventfd.flags ==
	       (KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO));
	EXPECT(!kvm->virtio_env.ioeventfd(kvm, 7, 0x1234, 4, 5, false, false));
	EXPECT(fake.nr_ioeventfds == 2);
	EXPECT(fake.ioeventfd.flags ==
	       (KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_DEASSIGN));
	kvm_destroy(kvm);
}

TEST(vm_gives_all_cpus_what_firmware_would)
{
	struct report r = { 0 };
	struct kvm *kvm;

	fake = (struct fake_kvm){ .version = KVM_API_VERSION };
	kvm = make(&r);
	EXPECT(kvm && !kvm_start(kvm, &r));
	for (unsigned int i = 0; i < CPUS; i++) {
		/* Enabled, write-back; ExtINT, NMI */
		EXPECT(fake.mtrr[i] == 0x806);
		EXPECT(fake.lint[i][0] == 0x700 && fake.lint[i][1] == 0x400);
	}
	kvm_destroy(kvm);
}

TEST(vm_that_resumes_tells_the_clock_of_each_cpu)
{
	struct report r = { 0 };
	struct kvm *kvm;

	fake = (struct fake_kvm){ .version = KVM_API_VERSION };
	kvm = make(&r);
	EXPECT(kvm && !kvm_start(kvm, &r) && !kvm_pause(kvm));
	EXPECT(!fake.clock_ctrls);
	EXPECT(!kvm_resume(kvm) && fake.clock_ctrls == BIT(CPUS) - 1);
	kvm_destroy(kvm);
}

/* Whether the user is told @first, and @why somewhere, besides what all are told */
static bool is_told(const char *text, const char *first, const char *why)
{
	const char *const all[] = {
		"\n  rip 0000000000200000", "rax 00000000feedbeef", "cr3 7654321",
		"code at rip", "37 13 c0 de", first, why,
	};
	bool told = !strncmp(text, first, strlen(first));

	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++)
		told = told && strstr(text, all[i]);
	if (!told)
		printf("# %s: %s\n", first, text);
	return told;
}

/* vCPU 0 has this exit. Return: whether the VM's end says so */
static bool ends_with(const char *first, const char *why)
{
	struct report r = { 0 };
	struct kvm *kvm = make(&r);
	bool told = false;
	struct pollfd p;

	if (!kvm)
		return false;
	p = (struct pollfd){ .fd = kvm->end_fd, .events = POLLIN };
	if (!kvm_start(kvm, &r) && poll(&p, 1, 10000) == 1) {
		kvm_stop(kvm);
		told = kvm->end == VM_END_ERROR && is_told(kvm->end_text, first, why);
	}
	kvm_destroy(kvm);
	return told;
}

static struct fake_kvm exit_of(u32 reason)
{
	return (struct fake_kvm){ .version = KVM_API_VERSION, .exit.exit_reason = reason };
}

TEST(vm_explains_exits_that_end_it)
{
	fake = exit_of(4711);
	EXPECT(ends_with("unknown KVM exit 4711 on vCPU 0;", "likely KVM is newer than this"));
	fake = exit_of(KVM_EXIT_DEBUG);
	EXPECT(ends_with("KVM exit 4 (KVM_EXIT_DEBUG) on vCPU 0, which is not handled:",
			 "KVM_SET_GUEST_DEBUG"));
	fake = exit_of(KVM_EXIT_FAIL_ENTRY);
	fake.exit.fail_entry.hardware_entry_failure_reason = 0x80000021;
	EXPECT(ends_with("KVM could not enter the guest on vCPU 0: hardware reason 0x80000021;",
			 "likely a bad CPU state"));
	fake = exit_of(KVM_EXIT_INTERNAL_ERROR);
	fake.exit.internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
	EXPECT(ends_with("KVM internal error 3 on vCPU 0:", "likely the guest's IDT or stack"));
	fake = exit_of(KVM_EXIT_INTERNAL_ERROR);
	fake.exit.internal.suberror = 99;
	EXPECT(ends_with("KVM internal error 99 on vCPU 0:", "unknown kind"));
	fake = exit_of(0);
	fake.run_errno = EFAULT;
	EXPECT(ends_with("KVM_RUN on vCPU 0: Bad address\n", ""));
}

TEST_MAIN(T(vm_of_another_version_of_kvm_is_refused),
	  T(vm_has_ioeventfds_of_kvm),
	  T(vm_gives_all_cpus_what_firmware_would),
	  T(vm_that_resumes_tells_the_clock_of_each_cpu),
	  T(vm_explains_exits_that_end_it))
