// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a few instructions in a guest and says what /dev/kvm made of them.
 *
 * A KVM that interprets guest code stops at instructions that its emulator
 * does not know. cmpxchg16b is one of those that Linux needs.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_SIZE 0x10000

/* 64-bit code at 0x8000: cmpxchg16b (0x9000); mov $42,%al; out %al,$0xf4 */
static const __u8 code[] = {
	0xbe, 0x00, 0x90, 0x00, 0x00,	/* mov $0x9000,%esi */
	0x48, 0x0f, 0xc7, 0x0e,		/* cmpxchg16b (%rsi) */
	0xb0, 0x2a, 0xe6, 0xf4,
};

static int probe_state(int cpu)
{
	struct kvm_regs regs = { .rip = 0x8000, .rsp = 0xa000, .rflags = 2 };
	struct kvm_segment cs = {
		.limit = 0xffffffff, .selector = 0x10, .type = 0xb,
		.present = 1, .s = 1, .g = 1, .l = 1,
	};
	struct kvm_segment ds = {
		.limit = 0xffffffff, .selector = 0x18, .type = 0x3,
		.present = 1, .s = 1, .g = 1, .db = 1,
	};
	struct kvm_sregs s;

	if (ioctl(cpu, KVM_GET_SREGS, &s) < 0)
		return -1;
	s.cs = cs;
	s.ds = ds;
	s.es = ds;
	s.ss = ds;
	s.cr0 = 0x80000031;
	s.cr3 = 0x1000;
	s.cr4 = 0x20;
	s.efer = 0x500;
	if (ioctl(cpu, KVM_SET_SREGS, &s) < 0)
		return -1;
	return ioctl(cpu, KVM_SET_REGS, &regs);
}

static const char *probe(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct kvm_userspace_memory_region slot = { .memory_size = RAM_SIZE };
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[256];
	} cpuid = { .head.nent = 256 };
	struct kvm_run *run;
	int vm, cpu, size;
	__u64 *ram;

	if (kvm < 0 || ioctl(kvm, KVM_GET_API_VERSION, 0) != 12)
		return "none";
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (vm < 0 || ram == MAP_FAILED)
		return "none";
	ram[0x1000 / 8] = 0x2003;
	ram[0x2000 / 8] = 0x3003;
	ram[0x3000 / 8] = 0x83;
	memcpy((char *)ram + 0x8000, code, sizeof(code));
	slot.userspace_addr = (uintptr_t)ram;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return "none";
	cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (cpu < 0 || size < 0)
		return "none";
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0 ||
	    ioctl(cpu, KVM_SET_CPUID2, &cpuid) < 0)
		return "none";
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	if (run == MAP_FAILED || probe_state(cpu) < 0)
		return "none";
	if (ioctl(cpu, KVM_RUN, 0) < 0 || run->exit_reason != KVM_EXIT_IO ||
	    run->io.port != 0xf4)
		return "interpreted";
	return "linux";
}

int main(void)
{
	alarm(10);
	puts(probe());
	return 0;
}
