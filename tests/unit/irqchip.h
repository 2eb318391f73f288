/* SPDX-License-Identifier: GPL-2.0-only */
/* In the place of KVM's interrupt chip: one that remembers what it was told. */
#ifndef KVM__TEST_IRQCHIP_H
#define KVM__TEST_IRQCHIP_H

#include <poll.h>
#include "kvm/irq.h"

/**
 * struct fake_irqs - what an irq_chip of fake_irq_ops is given
 * @levels: a bit for each line; @rises: of any
 * @routings: tables so far
 * @irqfds: that are attached; @found: those that had something to send by then
 */
struct fake_irqs {
	u32 levels;
	unsigned int rises;
	unsigned int routings;
	unsigned int irqfds;
	unsigned int found;
};

/* Under the chip's lock; a test may look meanwhile. */
static inline int fake_irq_line(void *opaque, unsigned int gsi, bool level)
{
	struct fake_irqs *f = opaque;
	u32 levels = (f->levels & ~BIT(gsi)) | (u32)level << gsi;

	f->rises += (levels & ~f->levels) != 0;
	__atomic_store_n(&f->levels, levels, __ATOMIC_SEQ_CST);
	return 0;
}

static inline int fake_irq_routing(void *opaque, const struct kvm_irq_routing *table)
{
	struct fake_irqs *f = opaque;

	(void)table;
	f->routings++;
	return 0;
}

/* As KVM does: it sends, and reads nothing. */
static inline int fake_irq_irqfd(void *opaque, int fd, unsigned int gsi, bool on)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct fake_irqs *f = opaque;

	(void)gsi;
	f->irqfds += on ? 1U : -1U;
	f->found += on && poll(&p, 1, 0) == 1;
	return 0;
}

static const struct irq_chip_ops fake_irq_ops = {
	.set_line = fake_irq_line,
	.set_routing = fake_irq_routing,
	.set_irqfd = fake_irq_irqfd,
};

#endif
