// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupt lines and message-signalled interrupts.
 *
 * Theory of operation
 *
 * A line is a GSI below IRQ_MAX_LINES that leads to pins of the interrupt
 * controllers in KVM. Devices that share it are numbered; the wire is the OR
 * of them, and KVM_IRQ_LINE is called only when that OR changes. Fixed routes
 * say which pins a line has; they come first in every routing table.
 *
 * A message (MSI, PCI 3.0 s6.8) is an eventfd that KVM listens on (KVM_IRQFD)
 * and a GSI from IRQ_MAX_LINES upwards whose route holds address and data.
 * KVM_SET_GSI_ROUTING replaces the whole table and waits out a grace period,
 * so that a changed message only marks its slot dirty; the first signal of a
 * dirty slot hands over all that changed in one call. The irqfd is attached
 * when the message is first set, as most vectors are never used.
 *
 * Threads: any. chip->lock is a leaf. irq_msi_signal() reads the dirty flag
 * of its slot without the lock; the flag is cleared, with release, after KVM
 * has the new table, so whoever sees it clear writes to a valid route.
 *
 * An eventfd that somebody outside of lkvm writes to is sent through without
 * a look at the dirty flag: irq_msi_listen() commits at once, and detaches the
 * irqfd while nothing may be sent. KVM finds what was written meanwhile when
 * the irqfd is attached again, and sends it, so that the route comes first. It
 * does not read that count, which would be pending, and be sent, once more: we do.
 * What is written once it is attached is read by KVM before anybody can look.
 *
 * A guest chooses addresses and data freely. KVM refuses some, and with them
 * the whole table; the table is then made of what KVM has already accepted
 * and the one message to be sent. When that is refused too, the message is
 * dropped and goes nowhere until it is set again.
 *
 * Not supported: resampling irqfds, and moving a line to another GSI.
 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "kvm/eventfd.h"
#include "kvm/irq.h"

#define IRQ_ALL_SLOTS UINT_MAX

int irq_chip_create(struct irq_chip **out, const struct irq_chip_ops *ops,
		    void *opaque, const struct kvm_irq_routing_entry *fixed,
		    unsigned int nr_fixed)
{
	struct irq_chip *chip = calloc(1, sizeof(*chip));

	if (!chip)
		return -ENOMEM;
	if (nr_fixed) {
		chip->fixed = calloc(nr_fixed, sizeof(*fixed));
		if (!chip->fixed) {
			free(chip);
			return -ENOMEM;
		}
		memcpy(chip->fixed, fixed, nr_fixed * sizeof(*fixed));
	}
	chip->nr_fixed = nr_fixed;
	chip->ops = ops;
	chip->opaque = opaque;
	for (unsigned int i = 0; i < IRQ_MAX_MSI; i++)
		chip->msi[i].fd = -1;
	pthread_mutex_init(&chip->lock, NULL);
	*out = chip;
	return 0;
}

void irq_chip_destroy(struct irq_chip *chip)
{
	if (!chip)
		return;
	for (unsigned int i = 0; i < chip->nr_msi; i++) {
		if (chip->msi[i].fd >= 0)
			close(chip->msi[i].fd);
	}
	pthread_mutex_destroy(&chip->lock);
	free(chip->fixed);
	free(chip);
}

/* Whether slot @i goes into a table that is made for @slot. */
static bool slot_in_table(const struct irq_chip *chip, unsigned int i,
			  unsigned int slot)
{
	if (!chip->msi[i].live)
		return false;
	return slot == IRQ_ALL_SLOTS || slot == i || !chip->msi[i].dirty;
}

static int set_table(struct irq_chip *chip, unsigned int slot)
{
	struct kvm_irq_routing *table;
	struct kvm_irq_routing_entry *e;
	int rc;

	table = calloc(1, sizeof(*table) +
		       (chip->nr_fixed + chip->nr_msi) * sizeof(*e));
	if (!table)
		return -ENOMEM;
	e = table->entries;
	for (unsigned int i = 0; i < chip->nr_fixed; i++)
		*e++ = chip->fixed[i];
	for (unsigned int i = 0; i < chip->nr_msi; i++) {
		if (!slot_in_table(chip, i, slot))
			continue;
		e->gsi = IRQ_MAX_LINES + i;
		e->type = KVM_IRQ_ROUTING_MSI;
		e->u.msi.address_lo = (u32)chip->msi[i].addr;
		e->u.msi.address_hi = (u32)(chip->msi[i].addr >> 32);
		e->u.msi.data = chip->msi[i].data;
		e++;
	}
	table->nr = (u32)(e - table->entries);
	rc = chip->ops->set_routing(chip->opaque, table);
	free(table);
	return rc;
}

static void set_clean(struct irq_chip *chip, unsigned int slot)
{
	/* Pairs with the acquire in irq_msi_signal(). */
	__atomic_store_n(&chip->msi[slot].dirty, false, __ATOMIC_RELEASE);
}

static void set_dirty(struct irq_chip *chip, unsigned int slot)
{
	__atomic_store_n(&chip->msi[slot].dirty, true, __ATOMIC_RELEASE);
}

static int commit_all(struct irq_chip *chip)
{
	int rc = set_table(chip, IRQ_ALL_SLOTS);

	for (unsigned int i = 0; !rc && i < chip->nr_msi; i++)
		set_clean(chip, i);
	return rc;
}

/* Make the route of @slot valid. Return: 0, or the message goes nowhere. */
static int commit_slot(struct irq_chip *chip, unsigned int slot)
{
	int rc = commit_all(chip);

	if (rc != -EINVAL)
		return rc;
	rc = set_table(chip, slot);
	if (rc && rc != -EINVAL)
		return rc;
	/* KVM has still the last message of it, to which nothing is to go. */
	if (rc)
		chip->msi[slot].live = false;
	if (!rc || !set_table(chip, slot))
		set_clean(chip, slot);
	return rc;
}

int irq_commit(struct irq_chip *chip)
{
	int rc;

	pthread_mutex_lock(&chip->lock);
	rc = commit_all(chip);
	pthread_mutex_unlock(&chip->lock);
	return rc;
}

int irq_line_init(struct irq_line *line, struct irq_chip *chip,
		  unsigned int gsi)
{
	int rc = 0;

	memset(line, 0, sizeof(*line));
	if (!chip)
		return 0;
	if (gsi >= IRQ_MAX_LINES)
		return -EINVAL;
	pthread_mutex_lock(&chip->lock);
	if (!~chip->sources[gsi]) {
		rc = -ENOSPC;
	} else {
		line->chip = chip;
		line->gsi = gsi;
		line->source = (unsigned int)__builtin_ctz(~chip->sources[gsi]);
		chip->sources[gsi] |= BIT(line->source);
	}
	pthread_mutex_unlock(&chip->lock);
	return rc;
}

void irq_line_set(struct irq_line *line, bool level)
{
	struct irq_chip *chip = line->chip;
	u32 before, after;

	if (!chip)
		return;
	pthread_mutex_lock(&chip->lock);
	before = chip->asserted[line->gsi];
	after = before & ~BIT(line->source);
	if (level)
		after |= BIT(line->source);
	chip->asserted[line->gsi] = after;
	if (!before != !after)
		chip->ops->set_line(chip->opaque, line->gsi, after != 0);
	pthread_mutex_unlock(&chip->lock);
}

void irq_line_free(struct irq_line *line)
{
	struct irq_chip *chip = line->chip;

	if (!chip)
		return;
	irq_line_set(line, false);
	pthread_mutex_lock(&chip->lock);
	chip->sources[line->gsi] &= ~BIT(line->source);
	pthread_mutex_unlock(&chip->lock);
	line->chip = NULL;
}

int irq_msi_alloc(struct irq_chip *chip, struct irq_msi *msi)
{
	unsigned int slot;
	int rc = 0;
	int fd;

	msi->fd = -1;
	/* A full counter means that KVM does not listen: never block. */
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	pthread_mutex_lock(&chip->lock);
	for (slot = 0; slot < chip->nr_msi; slot++) {
		if (!chip->msi[slot].used)
			break;
	}
	if (slot == IRQ_MAX_MSI) {
		rc = -ENOSPC;
		goto out_unlock;
	}
	if (slot == chip->nr_msi)
		chip->nr_msi++;
	chip->msi[slot].fd = fd;
	chip->msi[slot].used = true;
	msi->fd = fd;
	msi->slot = slot;
	msi->gsi = IRQ_MAX_LINES + slot;
out_unlock:
	pthread_mutex_unlock(&chip->lock);
	if (rc)
		close(fd);
	return rc;
}

void irq_msi_free(struct irq_chip *chip, struct irq_msi *msi)
{
	if (msi->fd < 0)
		return;
	pthread_mutex_lock(&chip->lock);
	if (chip->msi[msi->slot].attached)
		chip->ops->set_irqfd(chip->opaque, msi->fd, msi->gsi, false);
	memset(&chip->msi[msi->slot], 0, sizeof(chip->msi[0]));
	chip->msi[msi->slot].fd = -1;
	pthread_mutex_unlock(&chip->lock);
	close(msi->fd);
	msi->fd = -1;
}

static int set_irqfd(struct irq_chip *chip, const struct irq_msi *msi, bool on)
{
	int rc = 0;

	if (on != chip->msi[msi->slot].attached)
		rc = chip->ops->set_irqfd(chip->opaque, msi->fd, msi->gsi, on);
	if (!rc)
		chip->msi[msi->slot].attached = on;
	return rc;
}

static void set_message(struct irq_chip *chip, unsigned int slot, u64 addr,
			u32 data)
{
	if (chip->msi[slot].live && chip->msi[slot].addr == addr &&
	    chip->msi[slot].data == data)
		return;
	chip->msi[slot].addr = addr;
	chip->msi[slot].data = data;
	chip->msi[slot].live = true;
	set_dirty(chip, slot);
}

int irq_msi_set(struct irq_chip *chip, struct irq_msi *msi, u64 addr, u32 data)
{
	int rc;

	if (msi->fd < 0)
		return -EINVAL;
	pthread_mutex_lock(&chip->lock);
	rc = set_irqfd(chip, msi, true);
	if (!rc)
		set_message(chip, msi->slot, addr, data);
	pthread_mutex_unlock(&chip->lock);
	return rc;
}

int irq_msi_listen(struct irq_chip *chip, struct irq_msi *msi, u64 addr,
		   u32 data, bool on)
{
	unsigned int slot = msi->slot;
	int rc = 0;

	if (msi->fd < 0)
		return -EINVAL;
	pthread_mutex_lock(&chip->lock);
	if (on)
		set_message(chip, slot, addr, data);
	if (on && chip->msi[slot].dirty)
		rc = commit_slot(chip, slot);
	if (!rc)
		rc = set_irqfd(chip, msi, on);
	/* KVM_IRQFD has sent what was pending but leaves the counter: drain it. */
	if (!rc && on)
		eventfd_clear(msi->fd);
	pthread_mutex_unlock(&chip->lock);
	return rc;
}

void irq_msi_signal(struct irq_chip *chip, struct irq_msi *msi)
{
	int rc = 0;

	if (msi->fd < 0)
		return;
	/* Pairs with the release in set_clean(). */
	if (__atomic_load_n(&chip->msi[msi->slot].dirty, __ATOMIC_ACQUIRE)) {
		pthread_mutex_lock(&chip->lock);
		if (chip->msi[msi->slot].dirty)
			rc = commit_slot(chip, msi->slot);
		pthread_mutex_unlock(&chip->lock);
		if (rc)
			return;
	}
	eventfd_signal(msi->fd);
}

static int vm_ioctl(void *opaque, unsigned long request, void *arg)
{
	if (ioctl((int)(intptr_t)opaque, request, arg) < 0)
		return -errno;
	return 0;
}

static int kvm_set_line(void *opaque, unsigned int gsi, bool level)
{
	struct kvm_irq_level arg = { .irq = gsi, .level = level };

	return vm_ioctl(opaque, KVM_IRQ_LINE, &arg);
}

static int kvm_set_routing(void *opaque, const struct kvm_irq_routing *table)
{
	return vm_ioctl(opaque, KVM_SET_GSI_ROUTING, (void *)table);
}

static int kvm_set_irqfd(void *opaque, int fd, unsigned int gsi, bool on)
{
	struct kvm_irqfd arg = {
		.fd = (u32)fd,
		.gsi = gsi,
		.flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	return vm_ioctl(opaque, KVM_IRQFD, &arg);
}

const struct irq_chip_ops irq_kvm_ops = {
	.set_line = kvm_set_line,
	.set_routing = kvm_set_routing,
	.set_irqfd = kvm_set_irqfd,
};
