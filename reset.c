// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM that starts over.
 *
 * Theory of operation: as the reset button of a machine does. With all at a stand
 * each device is given back the state that it had before a guest first ran, which
 * was kept then; its backend and what it is connected to stay as they are. RAM
 * becomes new zeroes, so that nothing of the last guest is left, and tables, kernel
 * and initrd are written once more, from files that were kept open: rewritten in
 * place they are new. vCPUs are the architecture's. A VM that was paused stays so.
 * What goes wrong leaves a VM that cannot run, and ends it.
 *
 * Threads: the main thread, under kvm->lock.
 */
#include <errno.h>

#include "kvm/arch.h"
#include "kvm/eventfd.h"
#include "kvm/kvm.h"

int kvm_keep_fresh(struct device *dev)
{
	return dev->ops->save ? dev->ops->save(dev, &dev->fresh) : 0;
}

static int reset_devices(struct kvm *kvm, struct report *r)
{
	for (struct device *d = kvm->devices; d; d = d->next) {
		struct state_in in = {
			.buf = d->fresh.buf, .len = d->fresh.len, .fresh = true,
		};
		int err = d->ops->restore ? d->ops->restore(d, &in) : 0;

		if (err)
			return report_error(r, -err, "reset: %s", d->name);
	}
	return 0;
}

static int reset_all(struct kvm *kvm, struct report *r)
{
	int err = reset_devices(kvm, r);

	if (!err)
		err = kvm_renew_ram(kvm, r);
	return err ? err : arch_reset(kvm, r);
}

int kvm_reset(struct kvm *kvm, struct report *r)
{
	bool running = !kvm_pause(kvm);
	int err;

	if (kvm->state != KVM_PAUSED)
		return report_error(r, 0, "reset: the VM does not run");
	pthread_mutex_lock(&kvm->lock);
	err = reset_all(kvm, r);
	pthread_mutex_unlock(&kvm->lock);
	/* A panic of the last guest's is none of the next one's. */
	pthread_mutex_lock(&kvm->end_lock);
	__atomic_store_n(&kvm->panicked, kvm->panicked && err, __ATOMIC_RELAXED);
	if (kvm->end == VM_END_NONE)
		eventfd_clear(kvm->end_fd);
	pthread_mutex_unlock(&kvm->end_lock);
	if (err)
		kvm_end_error(kvm, "%s", r->msg);
	else if (running)
		kvm_resume(kvm);
	return err;
}
