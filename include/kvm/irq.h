/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__IRQ_H
#define KVM__IRQ_H

#include <pthread.h>
#include <linux/kvm.h>
#include "kvm/types.h"
#include "kvm/report.h"

#define IRQ_MAX_LINES 24
#define IRQ_MAX_MSI 1024

/**
 * struct irq_line - a device's end of an interrupt line
 * @chip: NULL for a line that leads nowhere; raising it does nothing
 * @gsi: below IRQ_MAX_LINES
 * @source: which of the devices that share the line
 */
struct irq_line {
	struct irq_chip *chip;
	unsigned int gsi;
	unsigned int source;
};

/**
 * struct irq_msi - one message-signalled interrupt
 * @fd: an eventfd; writing 1 to it sends the message; -1 before allocation
 * @gsi: KVM's name for it
 */
struct irq_msi {
	int fd;
	unsigned int gsi;
	unsigned int slot;
};

/** struct irq_chip_ops - tests replace what talks to KVM */
struct irq_chip_ops {
	int (*set_line)(void *opaque, unsigned int gsi, bool level);
	int (*set_routing)(void *opaque, const struct kvm_irq_routing *table);
	int (*set_irqfd)(void *opaque, int fd, unsigned int gsi, bool on);
};

/**
 * struct irq_chip - interrupt lines and messages of one VM
 * @lock: a leaf; guards everything below it
 */
struct irq_chip {
	const struct irq_chip_ops *ops;
	void *opaque;
	pthread_mutex_t lock;
	u32 asserted[IRQ_MAX_LINES];
	u32 sources[IRQ_MAX_LINES];
	struct kvm_irq_routing_entry *fixed;
	unsigned int nr_fixed;
	struct {
		u64 addr;
		u32 data;
		int fd;
		bool used;
		bool live;
		bool dirty;
		bool attached;
	} msi[IRQ_MAX_MSI];
	unsigned int nr_msi;
};

/**
 * irq_chip_create() - make the interrupt fabric
 * @ops: how to reach KVM; irq_kvm_ops for the real one
 * @opaque: for @ops; the VM's fd as a pointer for irq_kvm_ops
 * @fixed: routes of the lines, copied; @nr_fixed of them
 *
 * Return: 0 with *@out, -ENOMEM.
 */
int irq_chip_create(struct irq_chip **out, const struct irq_chip_ops *ops,
		    void *opaque, const struct kvm_irq_routing_entry *fixed,
		    unsigned int nr_fixed);
/** irq_chip_destroy() - who used it is gone by then; accepts NULL */
void irq_chip_destroy(struct irq_chip *chip);

/** irq_commit() - hand the routing table to KVM, once, before vCPUs run */
int irq_commit(struct irq_chip *chip);

/** irq_line_init() - take a place on @gsi; -ENOSPC after 32 sources */
int irq_line_init(struct irq_line *line, struct irq_chip *chip,
		  unsigned int gsi);
/** irq_line_free() - lower it and give the place back; a zeroed line is fine */
void irq_line_free(struct irq_line *line);

/**
 * irq_line_set() - raise or lower; the wire is the OR of its sources
 * Context: any thread, device lock may be held.
 */
void irq_line_set(struct irq_line *line, bool level);

/** irq_msi_alloc() - an eventfd and a GSI that leads nowhere yet */
int irq_msi_alloc(struct irq_chip *chip, struct irq_msi *msi);
/** irq_msi_free() - close its eventfd, of which KVM is told; one that is free stays so */
void irq_msi_free(struct irq_chip *chip, struct irq_msi *msi);

/**
 * irq_msi_set() - point it at the message @data to @addr
 *
 * Takes effect before the next irq_msi_signal(). Return: 0 or -errno of KVM.
 */
int irq_msi_set(struct irq_chip *chip, struct irq_msi *msi, u64 addr, u32 data);

/**
 * irq_msi_listen() - whether what others write to msi->fd is sent
 * @on: the message @data to @addr takes effect at once; off: both are ignored,
 *	writes wait in the eventfd, and are sent when it is on again
 *
 * Return: 0 or -errno of KVM.
 */
int irq_msi_listen(struct irq_chip *chip, struct irq_msi *msi, u64 addr,
		   u32 data, bool on);

/** irq_msi_signal() - send the message; one write(2) */
void irq_msi_signal(struct irq_chip *chip, struct irq_msi *msi);

extern const struct irq_chip_ops irq_kvm_ops;

#endif
