// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPU threads.
 *
 * Theory of operation: one thread for each vCPU runs KVM_RUN, hands port and
 * MMIO exits to the buses and everything else to the architecture. A thread
 * is kicked by setting immediate_exit in the shared page and sending SIGUSR1:
 * the flag covers the moment before KVM_RUN is entered, the signal the time
 * in it, so that no kick is lost. Paused threads wait on a condition; stopped
 * ones return and are joined. SIGUSR1's handler does nothing and is installed
 * by the command. Lock: kvm->cpu_lock guards the wish and the count of those
 * that obeyed; it is never held across KVM_RUN or a device's handler.
 * Nothing that a guest does ends a thread by itself but an exit that the
 * architecture declares final, which ends the VM with a reason.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kvm/arch.h"
#include "kvm/clock.h"
#include "kvm/kvm-cpu.h"
#include "kvm/thread.h"

/* How often it is looked whether a vCPU waits for its output */
#define PAUSE_LOOK_NS NSEC_PER_MSEC

int kvm_cpu_create(struct kvm *kvm, unsigned int id, struct report *r)
{
	struct kvm_cpu *cpu = &kvm->cpus[id];

	cpu->kvm = kvm;
	cpu->id = id;
	cpu->fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (cpu->fd < 0)
		return report_error(r, errno, "KVM_CREATE_VCPU %u", id);
	cpu->run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE,
			MAP_SHARED, cpu->fd, 0);
	if (cpu->run == MAP_FAILED) {
		cpu->run = NULL;
		return report_error(r, errno, "vCPU %u: cannot map kvm_run",
				    id);
	}
	return 0;
}

void kvm_cpu_destroy(struct kvm_cpu *cpu)
{
	if (cpu->run)
		munmap(cpu->run, cpu->kvm->run_size);
	if (cpu->kvm && cpu->fd >= 0)
		close(cpu->fd);
	if (cpu->stats_fd >= 0)
		close(cpu->stats_fd);
	cpu->stats_fd = -1;
	cpu->run = NULL;
	cpu->fd = -1;
}

int kvm_cpu_nmi(struct kvm_cpu *cpu)
{
	return ioctl(cpu->fd, KVM_NMI) < 0 ? -errno : 0;
}

u64 kvm_cpu_time(const struct kvm_cpu *cpu)
{
	struct timespec ts;
	clockid_t clock;

	if (!cpu->has_thread || pthread_getcpuclockid(cpu->thread, &clock) ||
	    clock_gettime(clock, &ts) < 0)
		return 0;
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Waits while paused. False when the VM stops. */
static bool kvm_cpu_may_run(struct kvm_cpu *cpu)
{
	struct kvm *kvm = cpu->kvm;
	bool run;

	pthread_mutex_lock(&kvm->cpu_lock);
	cpu->run->immediate_exit = 0;
	if (kvm->cpu_wish == KVM_PAUSED) {
		kvm->cpus_parked++;
		pthread_cond_broadcast(&kvm->cpu_cond);
		while (kvm->cpu_wish == KVM_PAUSED)
			pthread_cond_wait(&kvm->cpu_cond, &kvm->cpu_lock);
		kvm->cpus_parked--;
	}
	run = kvm->cpu_wish == KVM_RUNNING;
	pthread_mutex_unlock(&kvm->cpu_lock);
	return run;
}

/* One KVM_RUN and its exit. 1 go on, 0 this vCPU is done. */
static int kvm_cpu_step(struct kvm_cpu *cpu)
{
	int err = ioctl(cpu->fd, KVM_RUN, 0) < 0 ? errno : 0;

	cpu->exits++;
	if (err == EINTR || err == EAGAIN) {
		cpu->exits_by[CPU_EXIT_KICK]++;
		return kvm_cpu_may_run(cpu);
	}
	if (err) {
		char text[3072];

		arch_cpu_describe(cpu, text, sizeof(text));
		kvm_end_error(cpu->kvm, "KVM_RUN on vCPU %u: %s\n%s", cpu->id,
			      strerror(err), text);
		return 0;
	}

	switch (cpu->run->exit_reason) {
	case KVM_EXIT_IO:
		cpu->exits_by[CPU_EXIT_PIO]++;
		kvm_cpu_pio(cpu);
		return 1;
	case KVM_EXIT_MMIO:
		cpu->exits_by[CPU_EXIT_MMIO]++;
		kvm_cpu_mmio(cpu);
		return 1;
	case KVM_EXIT_INTR:
		cpu->exits_by[CPU_EXIT_KICK]++;
		return kvm_cpu_may_run(cpu);
	default:
		cpu->exits_by[CPU_EXIT_OTHER]++;
		return arch_cpu_exit(cpu);
	}
}

static void *kvm_cpu_thread(void *arg)
{
	struct kvm_cpu *cpu = arg;
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);

	if (kvm_cpu_may_run(cpu)) {
		cpu->first = now_ns();
		while (kvm_cpu_step(cpu))
			;
	}
	pthread_mutex_lock(&cpu->kvm->cpu_lock);
	cpu->kvm->cpus_alive--;
	pthread_cond_broadcast(&cpu->kvm->cpu_cond);
	pthread_mutex_unlock(&cpu->kvm->cpu_lock);
	return NULL;
}

static void kvm_cpus_wish(struct kvm *kvm, enum kvm_state wish)
{
	pthread_mutex_lock(&kvm->cpu_lock);
	kvm->cpu_wish = wish;
	pthread_cond_broadcast(&kvm->cpu_cond);
	for (unsigned int i = 0; i < kvm->nr_cpus; i++) {
		struct kvm_cpu *cpu = &kvm->cpus[i];

		if (!cpu->has_thread || wish == KVM_RUNNING)
			continue;
		__atomic_store_n(&cpu->run->immediate_exit, 1,
				 __ATOMIC_SEQ_CST);
		pthread_kill(cpu->thread, SIGUSR1);
	}
	pthread_mutex_unlock(&kvm->cpu_lock);
}

int kvm_cpus_start(struct kvm *kvm, struct report *r)
{
	int err;

	/* Before there is any: each counts itself out. */
	kvm->cpu_wish = KVM_RUNNING;
	kvm->cpus_alive = kvm->nr_cpus;
	for (unsigned int i = 0; i < kvm->nr_cpus; i++) {
		struct kvm_cpu *cpu = &kvm->cpus[i];
		char name[THREAD_NAME_MAX];

		snprintf(name, sizeof(name), "vcpu%u", cpu->id);
		err = thread_start(&cpu->thread, kvm_cpu_thread, cpu, name);
		if (err) {
			kvm_cpus_stop(kvm);
			return report_error(r, -err, "vCPU %u: no thread", i);
		}
		cpu->has_thread = true;
	}
	return 0;
}

void kvm_cpus_stop(struct kvm *kvm)
{
	kvm_cpus_wish(kvm, KVM_STOPPED);
	for (unsigned int i = 0; i < kvm->nr_cpus; i++) {
		if (!kvm->cpus[i].has_thread)
			continue;
		pthread_join(kvm->cpus[i].thread, NULL);
		kvm->cpus[i].has_thread = false;
	}
}

/* A vCPU in the middle of its output waits for this very thread. */
static void console_yield(const struct console_ops *ops)
{
	if (ops->yield)
		ops->yield(ops->opaque);
}

void kvm_cpus_pause(struct kvm *kvm)
{
	kvm_cpus_wish(kvm, KVM_PAUSED);
	pthread_mutex_lock(&kvm->cpu_lock);
	while (kvm->cpus_parked < kvm->cpus_alive) {
		if (!cond_wait_until(&kvm->cpu_cond, &kvm->cpu_lock,
				     now_ns() + PAUSE_LOOK_NS))
			continue;
		pthread_mutex_unlock(&kvm->cpu_lock);
		console_yield(&kvm->console);
		console_yield(&kvm->control);
		pthread_mutex_lock(&kvm->cpu_lock);
	}
	pthread_mutex_unlock(&kvm->cpu_lock);
}

void kvm_cpus_resume(struct kvm *kvm)
{
	/*
	 * Tell kvmclock about the pause, so that soft-lockup watchdogs stay quiet; EINVAL
	 * if the guest does not use kvmclock.
	 */
	for (unsigned int i = 0; i < kvm->nr_cpus; i++)
		ioctl(kvm->cpus[i].fd, KVM_KVMCLOCK_CTRL, 0L);
	kvm_cpus_wish(kvm, KVM_RUNNING);
}
