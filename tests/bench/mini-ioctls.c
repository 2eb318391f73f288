// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of lkvm run, and nothing else.
 *
 * Theory of operation: makes the VM that `lkvm run -m 256M -c 1` makes, by
 * the same KVM calls in the same order (kvm.c, x86/vm.c, x86/cpu.c), with the
 * same page tables in guest memory, and enters it in 64-bit mode at an `out`
 * to port 0xf4. The whole run of this process is what KVM and exec cost; what
 * lkvm takes beyond it with a kernel that does the same is lkvm's own. No
 * option parsing, devices, thread, file or teardown. Prints nothing but the
 * call that failed. Keep it in step when lkvm's calls change.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include "mini.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NR_LINES 24
#define KERNEL_GPA 0x100000UL
#define EXIT_PORT 0xf4

static void check_extensions(int vm)
{
	static const int caps[] = {
		KVM_CAP_USER_MEMORY, KVM_CAP_IRQCHIP, KVM_CAP_IRQ_ROUTING,
		KVM_CAP_IRQFD, KVM_CAP_IOEVENTFD, KVM_CAP_IMMEDIATE_EXIT,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(caps); i++)
		CALL(vm, KVM_CHECK_EXTENSION, caps[i]);
}

static __u8 *create_ram(int vm)
{
	struct kvm_userspace_memory_region slot = { .memory_size = RAM_SIZE };
	__u64 identity = 0xfffbc000;
	__u8 *p = mmap(NULL, RAM_SIZE + HUGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		_exit(1);
	}
	p = (__u8 *)(((uintptr_t)p + HUGE_SIZE - 1) & -HUGE_SIZE);
	madvise(p, RAM_SIZE, MADV_HUGEPAGE);
	madvise(p, RAM_SIZE, MADV_DONTDUMP);
	slot.userspace_addr = (uintptr_t)p;
	CALL(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	CALL(vm, KVM_SET_TSS_ADDR, 0xfffbd000);
	CALL(vm, KVM_SET_USER_MEMORY_REGION, &slot);
	return p;
}

static void create_irqchip(int vm)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_enable_cap x2apic = {
		.cap = KVM_CAP_X2APIC_API,
		.args[0] = KVM_X2APIC_API_USE_32BIT_IDS |
			   KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
	};
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e[16 + NR_LINES];
	} table = { .head.nr = 0 };

	CALL(vm, KVM_CREATE_IRQCHIP, 0);
	CALL(vm, KVM_CREATE_PIT2, &pit);
	ioctl(vm, KVM_ENABLE_CAP, &x2apic);
	for (unsigned int gsi = 0; gsi < NR_LINES; gsi++) {
		struct kvm_irq_routing_entry *e = &table.e[table.head.nr];

		if (gsi < 16) {
			e->gsi = gsi;
			e->type = KVM_IRQ_ROUTING_IRQCHIP;
			e->u.irqchip.irqchip = gsi / 8;
			e->u.irqchip.pin = gsi & 7;
			table.head.nr++;
			e++;
		}
		if (gsi == 2)
			continue;
		e->gsi = gsi;
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e->u.irqchip.pin = gsi ? gsi : 2;
		table.head.nr++;
	}
	CALL(vm, KVM_SET_GSI_ROUTING, &table);
}

static void set_features(int dev, int vm, int cpu)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[MAX_CPUID];
	} c = { .head.nent = MAX_CPUID };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[2];
	} m = {
		.head.nmsrs = 2,
		.e = {
			{ .index = 0x1a0, .data = 1 },		/* MISC_ENABLE */
			{ .index = 0x2ff, .data = 0x806 },	/* MTRR, WB */
		},
	};

	CALL(dev, KVM_GET_SUPPORTED_CPUID, &c);
	CALL(vm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER);
	CALL(cpu, KVM_SET_CPUID2, &c);
	CALL(cpu, KVM_SET_MSRS, &m);
	set_lints(cpu);
}

int main(void)
{
	static const __u8 out[] = { 0xe6, EXIT_PORT, 0xf4 };
	int dev = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, cpu;
	struct kvm_run *run;
	__u8 *ram;
	long size;

	CALL(dev, KVM_GET_API_VERSION, 0);
	vm = CALL(dev, KVM_CREATE_VM, 0);
	check_extensions(vm);
	size = CALL(dev, KVM_GET_VCPU_MMAP_SIZE, 0);
	ram = create_ram(vm);
	create_irqchip(vm);
	CALL(vm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	cpu = CALL(vm, KVM_CREATE_VCPU, 0);
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	if (run == MAP_FAILED)
		return 1;
	memcpy(ram + KERNEL_GPA, out, sizeof(out));
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	set_features(dev, vm, cpu);
	write_tables(ram);
	set_registers(cpu, KERNEL_GPA, 0);
	CALL(cpu, KVM_RUN, 0);
	return run->exit_reason == KVM_EXIT_IO && run->io.port == EXIT_PORT ?
		0 : 1;
}
