// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include "kvm/hw.h"
#include "irqchip.h"
#include "test.h"

struct fixture {
	struct io_bus bus;
	struct irq_chip *chip;
	struct device *dev;
	struct fake_irqs irqs;
};

static void setup(struct fixture *f)
{
	struct hw_env env = { .pio = &f->bus };

	memset(f, 0, sizeof(*f));
	io_bus_init(&f->bus);
	irq_chip_create(&f->chip, &fake_irq_ops, &f->irqs, NULL, 0);
	env.irq = f->chip;
	rtc_create(&f->dev, &env);
}

static bool line_is_high(struct fixture *f)
{
	return __atomic_load_n(&f->irqs.levels, __ATOMIC_SEQ_CST) == BIT(8);
}

static void teardown(struct fixture *f)
{
	f->dev->ops->destroy(f->dev);
	irq_chip_destroy(f->chip);
	io_bus_destroy(&f->bus);
}

static u8 get(struct fixture *f, u8 reg)
{
	io_bus_write(&f->bus, 0x70, &reg, 1);
	io_bus_read(&f->bus, 0x71, &reg, 1);
	return reg;
}

static void put(struct fixture *f, u8 reg, u8 v)
{
	io_bus_write(&f->bus, 0x70, &reg, 1);
	io_bus_write(&f->bus, 0x71, &v, 1);
}

static unsigned int bcd(u8 v)
{
	return (v >> 4) * 10 + (v & 15);
}

static time_t guest_time(struct fixture *f)
{
	struct tm tm = {
		.tm_sec = bcd(get(f, 0)), .tm_min = bcd(get(f, 2)),
		.tm_hour = bcd(get(f, 4)), .tm_mday = bcd(get(f, 7)),
		.tm_mon = (int)bcd(get(f, 8)) - 1,
		.tm_year = (int)(bcd(get(f, 0x32)) * 100 + bcd(get(f, 9))) -
			   1900,
	};

	return timegm(&tm);
}

/* 1999-12-31 23:58:50, BCD */
static void set_time(struct fixture *f)
{
	put(f, 11, 0x82);
	put(f, 0, 0x50);
	put(f, 2, 0x58);
	put(f, 4, 0x23);
	put(f, 7, 0x31);
	put(f, 8, 0x12);
	put(f, 9, 0x99);
	put(f, 0x32, 0x19);
	put(f, 11, 0x02);
}

TEST(rtc_shows_host_utc_in_bcd)
{
	struct fixture f;
	time_t diff;

	setup(&f);
	diff = time(NULL) - guest_time(&f);
	EXPECT(diff >= -1 && diff <= 2);
	EXPECT(get(&f, 13) == 0x80);
	EXPECT(!(get(&f, 10) & 0x80));
	teardown(&f);
}

TEST(rtc_time_can_be_set_and_runs_on)
{
	struct fixture f;

	setup(&f);
	set_time(&f);
	EXPECT(guest_time(&f) - 946684730 <= 2);
	EXPECT(guest_time(&f) >= 946684730);
	EXPECT(get(&f, 6) == 6);	/* a Friday */
	teardown(&f);
}

TEST(rtc_encodes_binary_and_twelve_hours)
{
	struct fixture f;

	setup(&f);
	set_time(&f);
	put(&f, 11, 0x06);
	EXPECT(get(&f, 4) == 23 && get(&f, 9) == 99);
	put(&f, 11, 0x04);
	EXPECT(get(&f, 4) == (0x80 | 11));
	put(&f, 11, 0x00);
	EXPECT(get(&f, 4) == (0x80 | 0x11));
	put(&f, 4, 0x12);	/* 12 AM */
	put(&f, 11, 0x02);
	EXPECT(get(&f, 4) == 0x00);
	teardown(&f);
}

TEST(rtc_bad_time_values_are_harmless)
{
	struct fixture f;

	setup(&f);
	for (unsigned int reg = 0; reg < 128; reg++)
		put(&f, reg, 0xff);
	for (unsigned int reg = 0; reg < 128; reg++)
		get(&f, reg);
	put(&f, 11, 0x02);
	get(&f, 12);
	put(&f, 9, 0xff);
	guest_time(&f);
	EXPECT(get(&f, 13) == 0x80);
	put(&f, 0x7f, 0xa5);
	EXPECT(get(&f, 0xff) == 0xa5);	/* bit 7 masks NMI */
	teardown(&f);
}

static bool interrupted(struct fixture *f)
{
	for (int i = 0; i < 300; i++) {
		if (line_is_high(f))
			return true;
		usleep(10000);
	}
	return false;
}

TEST(rtc_alarm_raises_irq_until_c_is_read)
{
	struct fixture f;

	setup(&f);
	set_time(&f);
	put(&f, 1, 0x51);
	put(&f, 3, 0x58);
	put(&f, 5, 0xc0);
	get(&f, 12);
	EXPECT(!f.dev->ops->start(f.dev));
	put(&f, 11, 0x22);
	EXPECT(interrupted(&f));
	EXPECT((get(&f, 12) & 0xa0) == 0xa0);
	EXPECT(!line_is_high(&f));
	teardown(&f);
}

/* By so many seconds the host's clock is ahead of what the kernel takes it for. */
static long ahead;

/* Instead of the C library's. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_REALTIME)
		ts->tv_sec += __atomic_load_n(&ahead, __ATOMIC_RELAXED);
	return rc;
}

/* As if it were set back while the thread sleeps */
TEST(rtc_interrupts_when_the_hosts_clock_is_set_back)
{
	struct fixture f;

	__atomic_store_n(&ahead, 3600, __ATOMIC_RELAXED);
	setup(&f);
	EXPECT(!f.dev->ops->start(f.dev));
	put(&f, 11, 0x12);
	for (int i = 0; i < 2; i++) {
		EXPECT(interrupted(&f));
		EXPECT((get(&f, 12) & 0x90) == 0x90);
	}
	teardown(&f);
	__atomic_store_n(&ahead, 0, __ATOMIC_RELAXED);
}

TEST(rtc_does_not_interrupt_while_paused)
{
	struct fixture f;

	setup(&f);
	EXPECT(!f.dev->ops->start(f.dev));
	put(&f, 11, 0x12);
	EXPECT(interrupted(&f));
	EXPECT(!f.dev->ops->pause(f.dev));
	get(&f, 12);
	EXPECT(!line_is_high(&f));
	usleep(1100000);
	EXPECT(!line_is_high(&f));
	EXPECT(!f.dev->ops->resume(f.dev));
	EXPECT(interrupted(&f));
	teardown(&f);
}

TEST(rtc_state_survives_save_and_restore)
{
	struct state_out so = { 0 };
	struct state_in si = { 0 };
	struct fixture f, g;

	setup(&f);
	setup(&g);
	set_time(&f);
	put(&f, 0x40, 0x77);
	EXPECT(!f.dev->ops->save(f.dev, &so));
	si.buf = so.buf;
	si.len = so.len;
	EXPECT(!g.dev->ops->restore(g.dev, &si));
	EXPECT(get(&g, 0x40) == 0x77);
	EXPECT(guest_time(&g) - 946684730 <= 3);
	si = (struct state_in){ .buf = so.buf, .len = so.len - 1 };
	EXPECT(g.dev->ops->restore(g.dev, &si) < 0);
	state_out_free(&so);
	teardown(&f);
	teardown(&g);
}

TEST_MAIN(T(rtc_shows_host_utc_in_bcd),
	  T(rtc_time_can_be_set_and_runs_on),
	  T(rtc_encodes_binary_and_twelve_hours),
	  T(rtc_bad_time_values_are_harmless),
	  T(rtc_alarm_raises_irq_until_c_is_read),
	  T(rtc_interrupts_when_the_hosts_clock_is_set_back),
	  T(rtc_does_not_interrupt_while_paused),
	  T(rtc_state_survives_save_and_restore))
