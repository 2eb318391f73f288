// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a reset does to KVM's part of the machine.
 *
 * Theory of operation: nobody lists what a new vCPU, irqchip or timer is like. So a
 * second VM is made for a moment, as bare as the first one was, and what KVM says
 * of that one's is told to ours, by pairs of get and set. It costs nothing before
 * a reset, and knows every MSR that KVM lists, and the MTRRs, which it does not. The
 * time stamp counter goes on. An MSR that cannot be set, which depends on the
 * processor, keeps its value. CPUID is what it was: it cannot change any more.
 *
 * Context: the main thread, with all vCPUs parked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm/arch.h"
#include "x86/vm.h"

#define MSR_IA32_TSC 0x10
#define MSR_IA32_FEAT_CTL 0x3a
/* MTRRs, and among them numbers that are no MSR, which reading tells */
#define MSR_MTRR_FIRST 0x200
#define MSR_MTRR_END 0x270
#define MAX_MSRS 1024

union copied {
	struct kvm_irqchip irqchip;
	struct kvm_pit_state2 pit;
	struct kvm_sregs sregs;
	struct kvm_lapic_state lapic;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_msrs msrs;
};

struct pair {
	u32 get;
	u32 set;
};

/* In the order in which KVM wants them: what it says of one depends on others. */
static const struct pair cpu_pairs[] = {
	{ KVM_GET_SREGS, KVM_SET_SREGS },
	{ KVM_GET_XSAVE, KVM_SET_XSAVE },
	{ KVM_GET_XCRS, KVM_SET_XCRS },
	{ KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS },
	{ KVM_GET_LAPIC, KVM_SET_LAPIC },
	{ KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS },
	{ KVM_GET_MP_STATE, KVM_SET_MP_STATE },
	{ KVM_GET_REGS, KVM_SET_REGS },
};

static int copy(int from, int to, const struct pair *p, union copied *v)
{
	return ioctl(from, p->get, v) < 0 || ioctl(to, p->set, v) < 0 ?
	       -errno : 0;
}

static int copy_irqchip(int from, int to)
{
	static const struct pair chip = { KVM_GET_IRQCHIP, KVM_SET_IRQCHIP };
	static const struct pair pit = { KVM_GET_PIT2, KVM_SET_PIT2 };
	union copied v;
	int err = 0;

	for (u32 i = 0; i <= KVM_IRQCHIP_IOAPIC && !err; i++) {
		memset(&v, 0, sizeof(v));
		v.irqchip.chip_id = i;
		err = copy(from, to, &chip, &v);
	}
	return err ? err : copy(from, to, &pit, &v);
}

static int copy_msrs(int from, int to, const struct kvm_msr_list *list)
{
	struct kvm_msrs *m = calloc(1, sizeof(*m) + sizeof(m->entries[0]));
	int err = m ? 0 : -ENOMEM;

	for (u32 i = 0; i < list->nmsrs && !err; i++) {
		m->nmsrs = 1;
		m->entries[0].index = list->indices[i];
		if (list->indices[i] != MSR_IA32_TSC &&
		    ioctl(from, KVM_GET_MSRS, m) == 1 &&
		    ioctl(to, KVM_SET_MSRS, m) < 0)
			err = -errno;
	}
	free(m);
	return err;
}

/*
 * A vCPU that is in VMX operation may have no CR0 and CR4 that a new one has. KVM
 * ends that operation when we change this MSR; without VMX there may be none.
 */
static void leave_vmx(int fd)
{
	union copied v = { .msrs.nmsrs = 1 };

	v.msrs.entries[0] = (struct kvm_msr_entry){
		.index = MSR_IA32_FEAT_CTL,
	};
	ioctl(fd, KVM_SET_MSRS, &v);
}

static int copy_cpu(struct kvm_cpu *cpu, int from,
		    const struct kvm_msr_list *list)
{
	union copied v;
	int err = 0;

	leave_vmx(cpu->fd);
	for (unsigned int i = 0; i < ARRAY_SIZE(cpu_pairs) && !err; i++) {
		const struct pair *p = &cpu_pairs[i];

		/* There is no XCR without XSAVE on the host. */
		if (p->get != KVM_GET_XCRS ||
		    kvm_check_extension(cpu->kvm, KVM_CAP_XCRS))
			err = copy(from, cpu->fd, p, &v);
	}
	return err ? err : copy_msrs(from, cpu->fd, list);
}

static int copy_cpus(struct kvm *kvm, int vm, struct report *r)
{
	struct kvm_msr_list *list = malloc(sizeof(*list) + sizeof(u32) *
				(MAX_MSRS + MSR_MTRR_END - MSR_MTRR_FIRST));
	int err = list ? 0 : -ENOMEM;

	if (list)
		list->nmsrs = MAX_MSRS;
	if (list && ioctl(kvm->dev_fd, KVM_GET_MSR_INDEX_LIST, list) < 0)
		err = -errno;
	for (u32 msr = MSR_MTRR_FIRST; msr < MSR_MTRR_END && !err; msr++)
		list->indices[list->nmsrs++] = msr;
	for (unsigned int i = 0; i < kvm->nr_cpus && !err; i++) {
		struct kvm_cpu fresh = { .kvm = kvm, .id = i };

		fresh.fd = ioctl(vm, KVM_CREATE_VCPU, (unsigned long)i);
		if (fresh.fd < 0) {
			err = -errno;
			break;
		}
		err = x86_set_cpuid(&fresh, r);
		if (!err)
			err = copy_cpu(&kvm->cpus[i], fresh.fd, list);
		close(fresh.fd);
	}
	free(list);
	return err;
}

static int reset_kvm(struct kvm *kvm, struct report *r)
{
	int vm = kvm_new_vm(kvm);
	int err = vm < 0 ? -errno : x86_create_chips(vm, kvm->nr_cpus, r);

	if (!err)
		err = copy_irqchip(vm, kvm->vm_fd);
	if (!err)
		err = copy_cpus(kvm, vm, r);
	if (vm >= 0)
		close(vm);
	return err && !r->msg[0] ? report_error(r, -err, "reset: KVM") : err;
}

static int reset_pci(struct kvm *kvm, struct report *r)
{
	struct state_in in = {
		.buf = kvm->arch->fresh_pci.buf,
		.len = kvm->arch->fresh_pci.len, .fresh = true,
	};
	int err = kvm->pci ? pci_bus_restore(kvm->pci, &in) : 0;

	return err ? report_error(r, -err, "reset: PCI") : 0;
}

int arch_reset(struct kvm *kvm, struct report *r)
{
	int err = reset_pci(kvm, r);

	if (!err)
		err = reset_kvm(kvm, r);
	if (!err)
		err = x86_write_tables(kvm, r);
	if (!err)
		err = arch_load(kvm, r);
	for (unsigned int i = 0; i < kvm->nr_cpus && !err; i++)
		err = x86_cpu_boot(&kvm->cpus[i], r);
	return err;
}
