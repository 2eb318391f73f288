/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__KVM_CPU_H
#define KVM__KVM_CPU_H

#include <linux/kvm.h>
#include "kvm/kvm.h"

enum cpu_exit { CPU_EXIT_PIO, CPU_EXIT_MMIO, CPU_EXIT_KICK, CPU_EXIT_OTHER, CPU_EXITS };

/**
 * struct kvm_cpu - one vCPU; owned by its thread while that runs
 * @first: CLOCK_MONOTONIC ns of the first KVM_RUN, for --timing
 * @stats_fd: of kvm_stats_open(), by who asks first; negative without
 * @exits: returns of KVM_RUN
 * @exits_by: why; others may read them
 */
struct kvm_cpu {
	struct kvm *kvm;
	unsigned int id;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool has_thread;
	u64 first;
	u64 exits;
	u64 exits_by[CPU_EXITS];
	int stats_fd;
};

/** kvm_cpu_create() - vCPU fd and its mapped struct kvm_run */
int kvm_cpu_create(struct kvm *kvm, unsigned int id, struct report *r);
/** kvm_cpu_destroy() - its thread is gone by then; accepts a half-built one */
void kvm_cpu_destroy(struct kvm_cpu *cpu);
/** kvm_cpu_nmi() - while it does not run. Return: 0, -errno */
int kvm_cpu_nmi(struct kvm_cpu *cpu);
/** kvm_cpu_time() - ns that the vCPU's thread has run, its guest included */
u64 kvm_cpu_time(const struct kvm_cpu *cpu);
/**
 * kvm_cpus_start() - a thread for each
 * Return: 0; -errno with the reason in @r, and those that ran are joined.
 */
int kvm_cpus_start(struct kvm *kvm, struct report *r);
/** kvm_cpus_stop() - on return all threads are joined; for good */
void kvm_cpus_stop(struct kvm *kvm);
/** kvm_cpus_pause() - on return no vCPU runs guest code or a handler */
void kvm_cpus_pause(struct kvm *kvm);
/** kvm_cpus_resume() - after kvm_cpus_pause(); guests with KVM's clock are told */
void kvm_cpus_resume(struct kvm *kvm);

/** kvm_cpu_pio() - ioport.c: a KVM_EXIT_IO, width and string count */
void kvm_cpu_pio(struct kvm_cpu *cpu);
/** kvm_cpu_mmio() - mmio.c: a KVM_EXIT_MMIO */
void kvm_cpu_mmio(struct kvm_cpu *cpu);

#endif
