// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port exits.
 *
 * Theory of operation: KVM hands over a port, a width of 1, 2 or 4 bytes, and
 * for string instructions a count; the data lies in the shared page of the
 * vCPU, at an offset that KVM chose. Each element is one access. The vCPU's
 * thread does it all. What nobody claims reads as all ones.
 */
#include "kvm/kvm-cpu.h"

void kvm_cpu_pio(struct kvm_cpu *cpu)
{
	struct kvm_run *run = cpu->run;
	u8 *d = (u8 *)run + run->io.data_offset;
	unsigned int size = run->io.size;

	for (u32 i = 0; i < run->io.count; i++, d += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			io_bus_write(&cpu->kvm->pio, run->io.port, d, size);
		else
			io_bus_read(&cpu->kvm->pio, run->io.port, d, size);
	}
}
