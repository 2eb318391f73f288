// SPDX-License-Identifier: GPL-2.0-only
/*
 * A real-time clock with CMOS memory, ports 0x70 and 0x71.
 *
 * Theory of operation
 *
 * Modelled by the Motorola MC146818A data sheet. The time is the host's UTC
 * plus an offset that changes when the guest sets the clock; the time registers
 * are made from it whenever they are read, so update-in-progress is never set.
 * While register B's SET bit is set they stand still and keep what is written.
 * The century is in register 0x32, in the same encoding as the year.
 *
 * Each passed second sets UF, and AF when the alarm matched. This is noticed
 * when register C is read and, while such an interrupt is enabled, by a thread
 * that sleeps until the next second and raises IRQ 8: for so long by a clock that
 * nobody sets, as the host's may be set back by hours. Few guests ask for that,
 * so the thread is made when one first does; should that fail, it is tried
 * again at the next write to register B.
 *
 * Threads: vCPUs, the clock thread (to destroy), the main thread.
 * @lock guards everything below it; @wake tells the thread to look again.
 *
 * Not supported, deliberately: the periodic interrupt, the square wave,
 * daylight saving, update-in-progress. Values that are no time (month 77) are
 * carried over into the next larger unit, as timegm() does it. CMOS cells
 * 0x0e..0x7f are plain memory. Bit 7 of the index (NMI mask) is ignored.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "kvm/clock.h"
#include "kvm/hw.h"
#include "kvm/thread.h"

#define RTC_PORT 0x70
#define RTC_GSI 8
#define RTC_STATE_VERSION 1
#define RTC_CELLS 128

enum rtc_reg {
	RTC_SECONDS, RTC_SECONDS_ALARM, RTC_MINUTES, RTC_MINUTES_ALARM,
	RTC_HOURS, RTC_HOURS_ALARM, RTC_WEEKDAY, RTC_MDAY, RTC_MONTH,
	RTC_YEAR, RTC_REG_A, RTC_REG_B, RTC_REG_C, RTC_REG_D,
	RTC_CENTURY = 0x32,
};

#define RTC_A_DEFAULT 0x26	/* 32768 Hz, 1024 Hz periodic rate */
#define RTC_A_UIP BIT(7)
#define RTC_B_24H BIT(1)
#define RTC_B_BINARY BIT(2)
#define RTC_B_UIE BIT(4)
#define RTC_B_AIE BIT(5)
#define RTC_B_SET BIT(7)
#define RTC_C_UF BIT(4)
#define RTC_C_AF BIT(5)
#define RTC_C_IRQF BIT(7)
#define RTC_D_VALID BIT(7)
#define RTC_HOUR_PM BIT(7)
#define RTC_DAY (24 * 60 * 60)

struct rtc {
	struct device dev;
	struct io_bus *pio;
	struct irq_line line;
	pthread_mutex_t lock;	/* guards all below */
	pthread_cond_t wake;
	pthread_t thread;
	bool running;		/* from start on */
	bool has_thread;
	bool stop;
	bool paused;
	bool level;
	u8 index;
	u8 cell[RTC_CELLS];
	__s64 offset;		/* seconds, guest's time minus host's */
	__s64 seen;		/* guest's second up to which C is right */
};

static __s64 rtc_now(const struct rtc *c)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + c->offset;
}

static u8 rtc_encode(const struct rtc *c, unsigned int v)
{
	return c->cell[RTC_REG_B] & RTC_B_BINARY ? v : v / 10 << 4 | v % 10;
}

static unsigned int rtc_decode(const struct rtc *c, u8 v)
{
	return c->cell[RTC_REG_B] & RTC_B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static u8 rtc_encode_hour(const struct rtc *c, unsigned int hour)
{
	u8 pm = hour >= 12 ? RTC_HOUR_PM : 0;

	if (c->cell[RTC_REG_B] & RTC_B_24H)
		return rtc_encode(c, hour);
	return rtc_encode(c, hour % 12 ? hour % 12 : 12) | pm;
}

static unsigned int rtc_decode_hour(const struct rtc *c, u8 v)
{
	if (c->cell[RTC_REG_B] & RTC_B_24H)
		return rtc_decode(c, v);
	return rtc_decode(c, v & ~RTC_HOUR_PM) % 12 +
	       (v & RTC_HOUR_PM ? 12 : 0);
}

/* Time registers from the clock. */
static void rtc_load(struct rtc *c)
{
	time_t now = rtc_now(c);
	unsigned int year;
	struct tm tm;

	if ((c->cell[RTC_REG_B] & RTC_B_SET) || !gmtime_r(&now, &tm))
		return;
	year = tm.tm_year + 1900;
	c->cell[RTC_SECONDS] = rtc_encode(c, tm.tm_sec);
	c->cell[RTC_MINUTES] = rtc_encode(c, tm.tm_min);
	c->cell[RTC_HOURS] = rtc_encode_hour(c, tm.tm_hour);
	c->cell[RTC_WEEKDAY] = rtc_encode(c, tm.tm_wday + 1);
	c->cell[RTC_MDAY] = rtc_encode(c, tm.tm_mday);
	c->cell[RTC_MONTH] = rtc_encode(c, tm.tm_mon + 1);
	c->cell[RTC_YEAR] = rtc_encode(c, year % 100);
	c->cell[RTC_CENTURY] = rtc_encode(c, year / 100 % 100);
}

/* The clock from time registers. */
static void rtc_store(struct rtc *c)
{
	struct tm tm = {
		.tm_sec = rtc_decode(c, c->cell[RTC_SECONDS]),
		.tm_min = rtc_decode(c, c->cell[RTC_MINUTES]),
		.tm_hour = rtc_decode_hour(c, c->cell[RTC_HOURS]),
		.tm_mday = rtc_decode(c, c->cell[RTC_MDAY]),
		.tm_mon = (int)rtc_decode(c, c->cell[RTC_MONTH]) - 1,
		.tm_year = (int)(rtc_decode(c, c->cell[RTC_CENTURY]) * 100 +
				 rtc_decode(c, c->cell[RTC_YEAR])) - 1900,
	};
	__s64 wanted = timegm(&tm);

	c->offset += wanted - rtc_now(c);
	c->seen = wanted;
}

static void rtc_update_irq(struct rtc *c)
{
	u8 both = c->cell[RTC_REG_B] & c->cell[RTC_REG_C];
	bool level = both & (RTC_C_UF | RTC_C_AF);

	c->cell[RTC_REG_C] &= ~RTC_C_IRQF;
	if (level)
		c->cell[RTC_REG_C] |= RTC_C_IRQF;
	if (level == c->level)
		return;
	c->level = level;
	irq_line_set(&c->line, level);
}

/* Whether the alarm is due at @when; two set top bits match anything. */
static bool rtc_alarm_at(const struct rtc *c, __s64 when)
{
	unsigned int s = ((when % RTC_DAY) + RTC_DAY) % RTC_DAY;
	u8 as = c->cell[RTC_SECONDS_ALARM], am = c->cell[RTC_MINUTES_ALARM];
	u8 ah = c->cell[RTC_HOURS_ALARM];

	return ((as & 0xc0) == 0xc0 || rtc_decode(c, as) == s % 60) &&
	       ((am & 0xc0) == 0xc0 || rtc_decode(c, am) == s / 60 % 60) &&
	       ((ah & 0xc0) == 0xc0 || rtc_decode_hour(c, ah) == s / 3600);
}

/* Account for the seconds that passed. */
static void rtc_catch_up(struct rtc *c)
{
	__s64 now = rtc_now(c);
	__s64 from;

	if (c->cell[RTC_REG_B] & RTC_B_SET || now <= c->seen) {
		/* The host's clock may have been set back. */
		c->seen = now;
		return;
	}
	c->cell[RTC_REG_C] |= RTC_C_UF;
	from = MAX(c->seen, now - RTC_DAY);
	for (__s64 when = from + 1; when <= now; when++) {
		if (!rtc_alarm_at(c, when))
			continue;
		c->cell[RTC_REG_C] |= RTC_C_AF;
		break;
	}
	c->seen = now;
}

static void *rtc_thread(void *arg)
{
	struct rtc *c = arg;
	struct timespec ts;

	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		if (c->paused ||
		    !(c->cell[RTC_REG_B] & (RTC_B_UIE | RTC_B_AIE))) {
			pthread_cond_wait(&c->wake, &c->lock);
			continue;
		}
		rtc_catch_up(c);
		rtc_update_irq(c);
		clock_gettime(CLOCK_REALTIME, &ts);
		cond_wait_until(&c->wake, &c->lock,
				now_ns() + NSEC_PER_SEC - (u64)ts.tv_nsec);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Let the thread know of a change, and have one if there is work for it. */
static void rtc_wake(struct rtc *c)
{
	if (!c->has_thread && c->running &&
	    c->cell[RTC_REG_B] & (RTC_B_UIE | RTC_B_AIE))
		c->has_thread = !thread_start(&c->thread, rtc_thread, c,
					      "lkvm-rtc");
	pthread_cond_signal(&c->wake);
}

static bool rtc_is_time(unsigned int reg)
{
	return (reg <= RTC_YEAR && reg != RTC_SECONDS_ALARM &&
		reg != RTC_MINUTES_ALARM && reg != RTC_HOURS_ALARM) ||
	       reg == RTC_CENTURY;
}

static u8 rtc_read_cell(struct rtc *c)
{
	u8 v;

	if (rtc_is_time(c->index))
		rtc_load(c);
	if (c->index != RTC_REG_C)
		return c->cell[c->index];
	rtc_catch_up(c);
	rtc_update_irq(c);
	v = c->cell[RTC_REG_C];
	c->cell[RTC_REG_C] = 0;
	rtc_update_irq(c);
	return v;
}

static void rtc_write_b(struct rtc *c, u8 v)
{
	u8 old = c->cell[RTC_REG_B];

	/* SET ends an update cycle and keeps the interrupt of it away. */
	if (v & RTC_B_SET)
		v &= ~RTC_B_UIE;
	rtc_catch_up(c);
	rtc_load(c);
	c->cell[RTC_REG_B] = v;
	if ((old & RTC_B_SET) && !(v & RTC_B_SET))
		rtc_store(c);
	rtc_update_irq(c);
	rtc_wake(c);
}

static void rtc_write_cell(struct rtc *c, u8 v)
{
	switch (c->index) {
	case RTC_REG_A:
		c->cell[RTC_REG_A] = v & ~RTC_A_UIP;
		break;
	case RTC_REG_B:
		rtc_write_b(c, v);
		break;
	case RTC_REG_C:
	case RTC_REG_D:
		break;
	default:
		if (!rtc_is_time(c->index)) {
			c->cell[c->index] = v;
			break;
		}
		rtc_load(c);
		c->cell[c->index] = v;
		if (!(c->cell[RTC_REG_B] & RTC_B_SET))
			rtc_store(c);
		break;
	}
}

static int rtc_io_read(void *o, u64 off, void *d, unsigned int len)
{
	struct rtc *c = o;

	memset(d, 0xff, len);
	if (!off)
		return 0;
	pthread_mutex_lock(&c->lock);
	*(u8 *)d = rtc_read_cell(c);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static int rtc_io_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct rtc *c = o;
	const u8 *v = d;

	pthread_mutex_lock(&c->lock);
	if (!off)
		c->index = v[0] % RTC_CELLS;
	if (off || len > 1)
		rtc_write_cell(c, v[off ? 0 : 1]);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static const struct io_ops rtc_io_ops = {
	.read = rtc_io_read,
	.write = rtc_io_write,
};

/* What was restored may wait for an interrupt already. */
static int rtc_start(struct device *dev)
{
	struct rtc *c = container_of(dev, struct rtc, dev);

	pthread_mutex_lock(&c->lock);
	c->running = true;
	rtc_wake(c);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static int rtc_set_paused(struct device *dev, bool paused)
{
	struct rtc *c = container_of(dev, struct rtc, dev);

	pthread_mutex_lock(&c->lock);
	c->paused = paused;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static int rtc_pause(struct device *dev)
{
	return rtc_set_paused(dev, true);
}

static int rtc_resume(struct device *dev)
{
	return rtc_set_paused(dev, false);
}

static int rtc_save(struct device *dev, struct state_out *out)
{
	struct rtc *c = container_of(dev, struct rtc, dev);

	pthread_mutex_lock(&c->lock);
	state_put_u32(out, RTC_STATE_VERSION);
	state_put_u8(out, c->index);
	state_put_u64(out, c->offset);
	state_put(out, c->cell, sizeof(c->cell));
	pthread_mutex_unlock(&c->lock);
	return out->err;
}

static int rtc_restore(struct device *dev, struct state_in *in)
{
	struct rtc *c = container_of(dev, struct rtc, dev);
	__s64 limit = 10000LL * 366 * RTC_DAY, offset;
	u8 cell[RTC_CELLS], index;

	state_get_version(in, RTC_STATE_VERSION);
	index = state_get_u8(in);
	offset = (__s64)state_get_u64(in);
	state_get(in, cell, sizeof(cell));
	if (in->err)
		return in->err;
	/* Far more than a guest can set. */
	if (index >= RTC_CELLS || offset > 2 * limit || offset < -2 * limit)
		return -EPROTO;
	pthread_mutex_lock(&c->lock);
	c->index = index;
	c->offset = offset;
	memcpy(c->cell, cell, sizeof(cell));
	c->cell[RTC_REG_A] &= ~RTC_A_UIP;
	c->cell[RTC_REG_D] = RTC_D_VALID;
	c->seen = rtc_now(c);
	rtc_update_irq(c);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static void rtc_destroy(struct device *dev)
{
	struct rtc *c = container_of(dev, struct rtc, dev);

	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	if (c->has_thread)
		pthread_join(c->thread, NULL);
	io_bus_unregister(c->pio, RTC_PORT);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static const struct device_ops rtc_ops = {
	.start = rtc_start,
	.pause = rtc_pause,
	.resume = rtc_resume,
	.save = rtc_save,
	.restore = rtc_restore,
	.destroy = rtc_destroy,
};

int rtc_create(struct device **out, const struct hw_env *env)
{
	struct rtc *c = calloc(1, sizeof(*c));
	int err = 0;

	if (!c)
		return -ENOMEM;
	c->dev.ops = &rtc_ops;
	snprintf(c->dev.name, sizeof(c->dev.name), "rtc");
	c->pio = env->pio;
	c->cell[RTC_REG_A] = RTC_A_DEFAULT;
	c->cell[RTC_REG_B] = RTC_B_24H;
	c->cell[RTC_REG_D] = RTC_D_VALID;
	c->seen = rtc_now(c);
	if (env->irq)
		err = irq_line_init(&c->line, env->irq, RTC_GSI);
	if (!err)
		err = io_bus_register(env->pio, RTC_PORT, 2, &rtc_io_ops, c);
	if (err) {
		free(c);
		return err;
	}
	pthread_mutex_init(&c->lock, NULL);
	cond_create(&c->wake);
	*out = &c->dev;
	return 0;
}
