// SPDX-License-Identifier: GPL-2.0-only
/*
 * ACPI fixed hardware: the PM1a event and control blocks, and GPE block 0.
 *
 * Theory of operation
 *
 * Modelled by ACPI 6.5 s4.8.3.1 (PM1 event grouping), s4.8.3.2 (PM1 control)
 * and s4.8.4.1 (general-purpose events). Status bits are cleared by writing
 * ones; acpi_pm_press() sets that of the power button, and nothing the others
 * of PM1; acpi_pm_event() sets those of the GPEs. The SCI is up while an event
 * is enabled and not cleared. The machine is always in ACPI mode: SCI_EN reads
 * as set and there is no SMI command port. SLP_EN with SLP_TYP 5 powers off; it
 * reads as zero. Other sleep types do nothing.
 *
 *   0x600 PM1_STS, 0x602 PM1_EN, 0x604 PM1_CNT, 0x606 two bytes of zero
 *   0x608 GPE0_STS, 0x609 GPE0_EN, a byte of eight events each
 *
 * Threads: vCPUs, and any that has an event. @lock guards the registers and is
 * dropped before the VM is ended. Accesses of 1, 2 or 4 bytes work at any
 * offset; bits that are not defined are not stored.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kvm/hw.h"

#define ACPI_PM_PORT 0x600
#define ACPI_PM_SIZE 8
#define ACPI_GPE_PORT 0x608
#define ACPI_GPE_SIZE 2
#define ACPI_PM_STATE_VERSION 2

#define PM1_STS 0
#define PM1_EN 2
#define PM1_CNT 4

#define PM1_PWRBTN BIT(8)
#define PM1_EN_BITS 0x0721	/* TMR, GBL, PWRBTN, SLPBTN, RTC */
#define PM1_CNT_SCI_EN BIT(0)
#define PM1_CNT_BM_RLD BIT(1)
#define PM1_CNT_SLP_TYP(v) (((v) >> 10) & 7)
#define PM1_CNT_SLP_TYP_MASK (7U << 10)
#define PM1_CNT_SLP_EN BIT(13)
#define SLP_TYP_S5 5

struct acpi_pm {
	struct device dev;
	struct hw_env env;
	struct irq_line sci;
	pthread_mutex_t lock;	/* guards all below */
	bool level;
	u16 sts;
	u16 en;
	u16 cnt;
	u8 gpe_sts;
	u8 gpe_en;
};

static void acpi_pm_update_sci(struct acpi_pm *p)
{
	bool level = (p->sts & p->en) || (p->gpe_sts & p->gpe_en);

	if (level == p->level)
		return;
	p->level = level;
	irq_line_set(&p->sci, level);
}

static u64 acpi_pm_image(const struct acpi_pm *p)
{
	return p->sts | (u64)p->en << 16 |
	       (u64)(p->cnt | PM1_CNT_SCI_EN) << 32;
}

static int acpi_pm_read(void *o, u64 off, void *d, unsigned int len)
{
	struct acpi_pm *p = o;

	pthread_mutex_lock(&p->lock);
	io_write_le(d, len, acpi_pm_image(p) >> (8 * off));
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static int acpi_pm_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct acpi_pm *p = o;
	u64 mask = (len < 8 ? BIT_ULL(8 * len) - 1 : ~0ULL) << (8 * off);
	u64 v = io_read_le(d, len) << (8 * off);
	bool off_now;
	u16 cnt;

	pthread_mutex_lock(&p->lock);
	p->sts &= ~(u16)v;
	v |= acpi_pm_image(p) & ~mask;
	p->en = (v >> (8 * PM1_EN)) & PM1_EN_BITS;
	cnt = v >> (8 * PM1_CNT);
	p->cnt = cnt & (PM1_CNT_BM_RLD | PM1_CNT_SLP_TYP_MASK);
	off_now = (cnt & PM1_CNT_SLP_EN) &&
		  PM1_CNT_SLP_TYP(cnt) == SLP_TYP_S5;
	acpi_pm_update_sci(p);
	pthread_mutex_unlock(&p->lock);
	if (off_now)
		p->env.end(p->env.end_opaque, VM_END_POWEROFF, 0);
	return 0;
}

static const struct io_ops acpi_pm_io_ops = {
	.read = acpi_pm_read,
	.write = acpi_pm_write,
};

int acpi_pm_press(struct device *dev)
{
	struct acpi_pm *p = container_of(dev, struct acpi_pm, dev);
	bool listens;

	pthread_mutex_lock(&p->lock);
	listens = p->en & PM1_PWRBTN;
	p->sts |= listens ? PM1_PWRBTN : 0;
	acpi_pm_update_sci(p);
	pthread_mutex_unlock(&p->lock);
	return listens ? 0 : -ENOTCONN;
}

static int acpi_gpe_read(void *o, u64 off, void *d, unsigned int len)
{
	struct acpi_pm *p = o;
	u32 image;

	pthread_mutex_lock(&p->lock);
	image = p->gpe_sts | (u32)p->gpe_en << 8;
	pthread_mutex_unlock(&p->lock);
	io_write_le(d, len, image >> (8 * off));
	return 0;
}

static int acpi_gpe_write(void *o, u64 off, const void *d, unsigned int len)
{
	u32 v = (u32)io_read_le(d, len) << (8 * off);
	struct acpi_pm *p = o;

	pthread_mutex_lock(&p->lock);
	p->gpe_sts &= ~(u8)v;
	if (off + len > 1)
		p->gpe_en = v >> 8;
	acpi_pm_update_sci(p);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static const struct io_ops acpi_gpe_io_ops = {
	.read = acpi_gpe_read,
	.write = acpi_gpe_write,
};

void acpi_pm_event(struct device *dev, unsigned int gpe)
{
	struct acpi_pm *p = container_of(dev, struct acpi_pm, dev);

	pthread_mutex_lock(&p->lock);
	p->gpe_sts |= BIT(gpe & 7);
	acpi_pm_update_sci(p);
	pthread_mutex_unlock(&p->lock);
}

static int acpi_pm_save(struct device *dev, struct state_out *out)
{
	struct acpi_pm *p = container_of(dev, struct acpi_pm, dev);

	pthread_mutex_lock(&p->lock);
	state_put_u32(out, ACPI_PM_STATE_VERSION);
	state_put_u16(out, p->sts);
	state_put_u16(out, p->en);
	state_put_u16(out, p->cnt);
	state_put_u8(out, p->gpe_sts);
	state_put_u8(out, p->gpe_en);
	pthread_mutex_unlock(&p->lock);
	return out->err;
}

static int acpi_pm_restore(struct device *dev, struct state_in *in)
{
	struct acpi_pm *p = container_of(dev, struct acpi_pm, dev);
	u8 gpe_sts, gpe_en;
	u16 sts, en, cnt;

	state_get_version(in, ACPI_PM_STATE_VERSION);
	sts = state_get_u16(in);
	en = state_get_u16(in);
	cnt = state_get_u16(in);
	gpe_sts = state_get_u8(in);
	gpe_en = state_get_u8(in);
	if (in->err)
		return in->err;
	pthread_mutex_lock(&p->lock);
	p->sts = sts;
	p->gpe_sts = gpe_sts;
	p->gpe_en = gpe_en;
	p->en = en & PM1_EN_BITS;
	p->cnt = cnt & (PM1_CNT_BM_RLD | PM1_CNT_SLP_TYP_MASK);
	acpi_pm_update_sci(p);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static void acpi_pm_destroy(struct device *dev)
{
	struct acpi_pm *p = container_of(dev, struct acpi_pm, dev);

	io_bus_unregister(p->env.pio, ACPI_GPE_PORT);
	io_bus_unregister(p->env.pio, ACPI_PM_PORT);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static const struct device_ops acpi_pm_ops = {
	.save = acpi_pm_save,
	.restore = acpi_pm_restore,
	.destroy = acpi_pm_destroy,
};

int acpi_pm_create(struct device **out, const struct hw_env *env,
		   unsigned int gsi)
{
	struct acpi_pm *p = calloc(1, sizeof(*p));
	int err = 0;

	if (!p)
		return -ENOMEM;
	p->dev.ops = &acpi_pm_ops;
	snprintf(p->dev.name, sizeof(p->dev.name), "acpi-pm");
	p->env = *env;
	if (env->irq)
		err = irq_line_init(&p->sci, env->irq, gsi);
	if (!err)
		err = io_bus_register(env->pio, ACPI_PM_PORT, ACPI_PM_SIZE,
				      &acpi_pm_io_ops, p);
	if (err)
		goto err_free;
	err = io_bus_register(env->pio, ACPI_GPE_PORT, ACPI_GPE_SIZE,
			      &acpi_gpe_io_ops, p);
	if (err)
		goto err_unregister;
	pthread_mutex_init(&p->lock, NULL);
	*out = &p->dev;
	return 0;

err_unregister:
	io_bus_unregister(env->pio, ACPI_PM_PORT);
err_free:
	free(p);
	return err;
}
