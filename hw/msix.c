// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSI-X: capability, table and pending bits.
 *
 * Theory of operation
 *
 * Modelled is PCI 3.0 s6.8.2, with table and pending bit array (PBA) inside
 * BAR 0. A vector that is masked, by itself or with its function, becomes
 * pending when it is signalled, and is sent when the last mask goes. A message
 * is handed to hw/irq.c whenever an unmasked entry is written, which is cheap:
 * KVM learns of it at the next signal. Masking does not touch the route, since
 * masked vectors are not signalled.
 *
 * A vector that is lent to somebody outside of lkvm is not signalled here, so
 * its mask has to reach KVM: the irqfd is detached while it is masked, and what
 * is written meanwhile waits in the eventfd, which then is the pending bit.
 *
 * vCPU threads enter through the BAR and configuration space, any thread
 * through pci_msix_signal(). f->lock guards all of it and is held while the
 * message is sent, so that none is sent after a mask was set. The only lock
 * taken under it is that of the interrupt chip.
 *
 * A guest may put anything into the table; what KVM does not take goes
 * nowhere. Accesses other than aligned ones of 4 or 8 bytes, undefined by the
 * specification, read as ones and write nothing. Bus master enable is not
 * looked at, and per-vector masks are the only vector control.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "kvm/eventfd.h"
#include "kvm/pci.h"
#include "hw/msix.h"

#define MSIX_PBA_SIZE(nr) (ALIGN_UP(nr, 64) / 8)

static unsigned int msix_table_size(const struct pci_function *f)
{
	return f->nr_msix * PCI_MSIX_ENTRY_SIZE;
}

static bool in_range(u64 off, u32 start, u32 size)
{
	return off >= start && off - start < size;
}

bool msix_covers(const struct pci_function *f, u64 off)
{
	return in_range(off, f->msix_table_off, msix_table_size(f)) ||
	       in_range(off, f->msix_pba_off, MSIX_PBA_SIZE(f->nr_msix));
}

static int check_placement(const struct pci_function *f, unsigned int nr,
			   u32 table_off, u32 pba_off)
{
	u64 table_end = (u64)table_off + nr * PCI_MSIX_ENTRY_SIZE;
	u64 pba_end = (u64)pba_off + MSIX_PBA_SIZE(nr);

	if (!nr || nr > PCI_MAX_MSIX || f->nr_msix || f->bus)
		return -EINVAL;
	if (table_off % 8 || pba_off % 8)
		return -EINVAL;
	if (table_end > f->bar.size || pba_end > f->bar.size)
		return -EINVAL;
	if (table_off < pba_end && pba_off < table_end)
		return -EINVAL;
	return 0;
}

int pci_add_msix(struct pci_function *f, unsigned int nr, u32 table_off,
		 u32 pba_off)
{
	u8 body[PCI_CAP_MSIX_SIZEOF - 2] = { 0 };
	int rc = check_placement(f, nr, table_off, pba_off);

	if (rc)
		return rc;
	f->msix = calloc(nr, sizeof(*f->msix));
	if (!f->msix)
		return -ENOMEM;
	io_write_le(body, 2, nr - 1);
	io_write_le(body + PCI_MSIX_TABLE - 2, 4, table_off);
	io_write_le(body + PCI_MSIX_PBA - 2, 4, pba_off);
	rc = pci_add_capability(f, PCI_CAP_ID_MSIX, body, PCI_CAP_MSIX_SIZEOF);
	if (rc < 0) {
		free(f->msix);
		f->msix = NULL;
		return rc;
	}
	for (unsigned int i = 0; i < nr; i++) {
		f->msix[i].control = PCI_MSIX_ENTRY_CTRL_MASKBIT;
		f->msix[i].msi.fd = -1;
	}
	f->msix_cap = (unsigned int)rc;
	f->msix_table_off = table_off;
	f->msix_pba_off = pba_off;
	f->nr_msix = nr;
	f->writable[rc + PCI_MSIX_FLAGS + 1] =
		(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
	return 0;
}

static void free_vectors(struct pci_function *f)
{
	for (unsigned int i = 0; f->bus && i < f->nr_msix; i++)
		irq_msi_free(pci_bus_irq(f->bus), &f->msix[i].msi);
}

int msix_attach(struct pci_function *f)
{
	for (unsigned int i = 0; i < f->nr_msix; i++) {
		int rc = irq_msi_alloc(pci_bus_irq(f->bus), &f->msix[i].msi);

		if (rc) {
			free_vectors(f);
			return rc;
		}
	}
	return 0;
}

void msix_detach(struct pci_function *f)
{
	free_vectors(f);
	free(f->msix);
	f->msix = NULL;
	f->nr_msix = 0;
}

static u32 msix_flags(const struct pci_function *f)
{
	return (u32)f->config[f->msix_cap + PCI_MSIX_FLAGS + 1] << 8;
}

bool msix_is_enabled(const struct pci_function *f)
{
	return f->nr_msix && msix_flags(f) & PCI_MSIX_FLAGS_ENABLE;
}

static bool msix_is_masked(const struct pci_function *f,
			   const struct pci_msix_entry *e)
{
	return e->control & PCI_MSIX_ENTRY_CTRL_MASKBIT ||
	       msix_flags(f) & PCI_MSIX_FLAGS_MASKALL;
}

/* Send @e now, or when its masks are gone. */
static void msix_send(struct pci_function *f, struct pci_msix_entry *e)
{
	if (msix_is_masked(f, e)) {
		e->pending = true;
		return;
	}
	e->pending = false;
	irq_msi_signal(pci_bus_irq(f->bus), &e->msi);
}

/* KVM listens to a lent vector exactly while it may be sent. */
static void msix_apply_lent(struct pci_function *f, struct pci_msix_entry *e)
{
	struct irq_chip *irq = pci_bus_irq(f->bus);
	bool on = msix_is_enabled(f) && !msix_is_masked(f, e);

	irq_msi_listen(irq, &e->msi, e->addr, e->data, on);
	if (on && e->pending)
		msix_send(f, e);
}

/* @e was written, or its masks may have changed. */
static void msix_apply(struct pci_function *f, struct pci_msix_entry *e)
{
	if (e->lent) {
		msix_apply_lent(f, e);
		return;
	}
	if (e->control & PCI_MSIX_ENTRY_CTRL_MASKBIT || !f->bus)
		return;
	/* A vector that KVM does not take stays silent, nothing else. */
	if (irq_msi_set(pci_bus_irq(f->bus), &e->msi, e->addr, e->data))
		return;
	if (e->pending && msix_is_enabled(f))
		msix_send(f, e);
}

void msix_update(struct pci_function *f)
{
	bool on = msix_is_enabled(f);

	for (unsigned int i = 0; i < f->nr_msix; i++) {
		if (on || f->msix[i].lent)
			msix_apply(f, &f->msix[i]);
	}
}

static u32 table_read(const struct pci_function *f, u64 off)
{
	const struct pci_msix_entry *e = &f->msix[off / PCI_MSIX_ENTRY_SIZE];

	switch (off % PCI_MSIX_ENTRY_SIZE) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		return (u32)e->addr;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		return (u32)(e->addr >> 32);
	case PCI_MSIX_ENTRY_DATA:
		return e->data;
	default:
		return e->control;
	}
}

static void table_write(struct pci_function *f, u64 off, u32 v)
{
	struct pci_msix_entry *e = &f->msix[off / PCI_MSIX_ENTRY_SIZE];

	switch (off % PCI_MSIX_ENTRY_SIZE) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		e->addr = (e->addr & ~0xffffffffULL) | (v & ~3U);
		break;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		e->addr = (u32)e->addr | (u64)v << 32;
		break;
	case PCI_MSIX_ENTRY_DATA:
		e->data = v;
		break;
	default:
		e->control = v & PCI_MSIX_ENTRY_CTRL_MASKBIT;
		break;
	}
}

static bool is_pending(const struct pci_msix_entry *e)
{
	struct pollfd p = { .fd = e->msi.fd, .events = POLLIN };

	return e->pending || (e->lent && poll(&p, 1, 0) > 0);
}

static u32 pba_read(const struct pci_function *f, u64 off)
{
	u32 v = 0;

	for (unsigned int i = 0; i < 32; i++) {
		u64 n = off * 8 + i;

		if (n < f->nr_msix && is_pending(&f->msix[n]))
			v |= BIT(i);
	}
	return v;
}

int msix_read(struct pci_function *f, u64 off, void *d, unsigned int len)
{
	if ((len != 4 && len != 8) || off % len)
		return -EINVAL;
	pthread_mutex_lock(&f->lock);
	for (unsigned int i = 0; i < len; i += 4) {
		u32 v;

		if (in_range(off, f->msix_table_off, msix_table_size(f)))
			v = table_read(f, off + i - f->msix_table_off);
		else
			v = pba_read(f, off + i - f->msix_pba_off);
		io_write_le((u8 *)d + i, 4, v);
	}
	pthread_mutex_unlock(&f->lock);
	return 0;
}

int msix_write(struct pci_function *f, u64 off, const void *d,
	       unsigned int len)
{
	if ((len != 4 && len != 8) || off % len)
		return -EINVAL;
	/* The PBA is read-only. */
	if (!in_range(off, f->msix_table_off, msix_table_size(f)))
		return 0;
	off -= f->msix_table_off;
	pthread_mutex_lock(&f->lock);
	for (unsigned int i = 0; i < len; i += 4)
		table_write(f, off + i,
			    (u32)io_read_le((const u8 *)d + i, 4));
	msix_apply(f, &f->msix[off / PCI_MSIX_ENTRY_SIZE]);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

bool pci_msix_enabled(struct pci_function *f)
{
	bool on;

	pthread_mutex_lock(&f->lock);
	on = msix_is_enabled(f);
	pthread_mutex_unlock(&f->lock);
	return on;
}

void pci_msix_signal(struct pci_function *f, unsigned int n)
{
	pthread_mutex_lock(&f->lock);
	if (f->bus && n < f->nr_msix && msix_is_enabled(f))
		msix_send(f, &f->msix[n]);
	pthread_mutex_unlock(&f->lock);
}

int pci_msix_lend(struct pci_function *f, unsigned int n)
{
	int fd = -1;

	pthread_mutex_lock(&f->lock);
	if (f->bus && n < f->nr_msix && msix_is_enabled(f)) {
		f->msix[n].lent++;
		msix_apply_lent(f, &f->msix[n]);
		fd = f->msix[n].msi.fd;
	}
	pthread_mutex_unlock(&f->lock);
	return fd;
}

void pci_msix_return(struct pci_function *f, unsigned int n)
{
	struct pci_msix_entry *e = &f->msix[n];

	pthread_mutex_lock(&f->lock);
	/* What KVM did not listen to is pending from here on. */
	if (!--e->lent && eventfd_clear(e->msi.fd))
		e->pending = true;
	if (!e->lent && e->pending && msix_is_enabled(f))
		msix_send(f, e);
	pthread_mutex_unlock(&f->lock);
}

void msix_save(const struct pci_function *f, struct state_out *out)
{
	state_put_u32(out, f->nr_msix);
	for (unsigned int i = 0; i < f->nr_msix; i++) {
		state_put_u64(out, f->msix[i].addr);
		state_put_u32(out, f->msix[i].data);
		state_put_u32(out, f->msix[i].control);
		state_put_u8(out, f->msix[i].pending);
	}
}

int msix_restore(struct pci_function *f, struct state_in *in)
{
	if (state_get_u32(in) != f->nr_msix)
		return -EPROTO;
	for (unsigned int i = 0; i < f->nr_msix; i++) {
		f->msix[i].addr = state_get_u64(in) & ~3ULL;
		f->msix[i].data = state_get_u32(in);
		f->msix[i].control = state_get_u32(in) &
				     PCI_MSIX_ENTRY_CTRL_MASKBIT;
		f->msix[i].pending = state_get_u8(in);
	}
	return in->err;
}
