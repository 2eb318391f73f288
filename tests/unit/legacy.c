// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "kvm/hw.h"
#include "test.h"

struct fixture {
	struct io_bus bus;
	struct hw_env env;
	enum vm_end end;
	u32 code;
};

static void end(void *opaque, enum vm_end why, u32 code)
{
	struct fixture *f = opaque;

	f->end = why;
	f->code = code;
}

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	io_bus_init(&f->bus);
	f->env = (struct hw_env){ &f->bus, NULL, end, f };
}

static void teardown(struct fixture *f, struct device *dev)
{
	dev->ops->destroy(dev);
	io_bus_destroy(&f->bus);
}

static u32 in(struct fixture *f, u16 port, unsigned int len)
{
	u8 d[4];

	io_bus_read(&f->bus, port, d, len);
	return io_read_le(d, len);
}

static void out(struct fixture *f, u16 port, u32 v, unsigned int len)
{
	u8 d[4];

	io_write_le(d, len, v);
	io_bus_write(&f->bus, port, d, len);
}

TEST(pvpanic_ends_on_panic_and_not_on_crash_kernel)
{
	struct device *dev;
	struct fixture f;

	setup(&f);
	EXPECT(!pvpanic_create(&dev, &f.env));
	EXPECT(in(&f, 0x505, 1) == 7);
	out(&f, 0x505, 2, 1);
	EXPECT(f.end == VM_END_NONE);
	out(&f, 0x505, 1, 1);
	EXPECT(f.end == VM_END_PANIC);
	out(&f, 0x505, 4, 1);
	EXPECT(f.end == VM_END_POWEROFF);
	teardown(&f, dev);
}

TEST(debug_exit_hands_over_value_of_any_width)
{
	struct device *dev;
	struct fixture f;

	setup(&f);
	EXPECT(!debug_exit_create(&dev, &f.env));
	out(&f, 0xf4, 0x12345678, 4);
	EXPECT(f.end == VM_END_DEBUG_EXIT && f.code == 0x12345678);
	out(&f, 0xf4, 0xabcd, 2);
	EXPECT(f.code == 0xabcd);
	out(&f, 0xf4, 3, 1);
	EXPECT(f.code == 3);
	teardown(&f, dev);
}

TEST(reset_fires_on_rising_bit_2)
{
	struct device *dev, *other;
	struct fixture f;

	setup(&f);
	EXPECT(!reset_create(&dev, &f.env));
	EXPECT(reset_create(&other, &f.env) < 0);
	out(&f, 0xcf9, 0x02, 1);
	EXPECT(f.end == VM_END_NONE && in(&f, 0xcf9, 1) == 2);
	out(&f, 0xcf9, 0x06, 1);
	EXPECT(f.end == VM_END_RESET);
	f.end = VM_END_NONE;
	out(&f, 0xcf9, 0x06, 1);
	EXPECT(f.end == VM_END_NONE);
	teardown(&f, dev);

	setup(&f);
	EXPECT(!reset_create_forwarded(&dev, &f.env));
	EXPECT(in(&f, 0xcf9, 1) == 0xff);
	reset_write(dev, 0x0e);
	EXPECT(f.end == VM_END_RESET && reset_read(dev) == 0x0e);
	teardown(&f, dev);
}

TEST(acpi_pm_event_is_set_until_it_is_cleared)
{
	struct state_out so = { 0 };
	struct state_in si = { 0 };
	struct device *dev;
	struct fixture f;

	setup(&f);
	EXPECT(!acpi_pm_create(&dev, &f.env, 9));
	acpi_pm_event(dev, 1);
	acpi_pm_event(dev, 4);
	EXPECT(in(&f, 0x608, 2) == 0x12);
	out(&f, 0x609, 0x02, 1);
	EXPECT(in(&f, 0x608, 2) == 0x212);
	EXPECT(!dev->ops->save(dev, &so));
	out(&f, 0x608, 0x10, 1);
	EXPECT(in(&f, 0x608, 2) == 0x202);
	out(&f, 0x608, 0x0002, 2);
	EXPECT(in(&f, 0x608, 2) == 0 && in(&f, 0x609, 1) == 0);
	si.buf = so.buf;
	si.len = so.len;
	EXPECT(!dev->ops->restore(dev, &si));
	EXPECT(in(&f, 0x608, 2) == 0x212);
	state_out_free(&so);
	teardown(&f, dev);
}

TEST(acpi_pm_sleeps_only_with_type_5)
{
	struct state_out so = { 0 };
	struct state_in si = { 0 };
	struct device *dev;
	struct fixture f;

	setup(&f);
	EXPECT(!acpi_pm_create(&dev, &f.env, 9));
	EXPECT(in(&f, 0x604, 2) == 1);
	EXPECT(in(&f, 0x600, 4) == 0);
	out(&f, 0x600, 0xffffffff, 4);
	EXPECT(in(&f, 0x602, 2) == 0x0721 && in(&f, 0x600, 2) == 0);
	out(&f, 0x604, 5 << 10, 2);
	EXPECT(f.end == VM_END_NONE && in(&f, 0x604, 2) == ((5 << 10) | 1));
	EXPECT(!dev->ops->save(dev, &so));
	out(&f, 0x604, (1 << 10) | (1 << 13), 2);
	EXPECT(f.end == VM_END_NONE && in(&f, 0x604, 2) == ((1 << 10) | 1));
	out(&f, 0x605, (5 << 2) | (1 << 5), 1);
	EXPECT(f.end == VM_END_POWEROFF);
	f.end = VM_END_NONE;
	out(&f, 0x602, 0, 2);
	si.buf = so.buf;
	si.len = so.len;
	EXPECT(!dev->ops->restore(dev, &si));
	EXPECT(in(&f, 0x602, 2) == 0x0721);
	EXPECT(in(&f, 0x604, 2) == ((5 << 10) | 1));
	out(&f, 0x604, (5 << 10) | (1 << 13), 4);
	EXPECT(f.end == VM_END_POWEROFF);
	state_out_free(&so);
	teardown(&f, dev);
}

TEST(i8042_answers_probes_without_devices)
{
	struct device *dev;
	struct fixture f;

	setup(&f);
	EXPECT(!i8042_create(&dev, &f.env));
	EXPECT((in(&f, 0x64, 1) & 0x33) == 0x10);
	out(&f, 0x64, 0xaa, 1);
	EXPECT(in(&f, 0x64, 1) & 1);
	EXPECT(in(&f, 0x60, 1) == 0x55);
	EXPECT(!(in(&f, 0x64, 1) & 1));
	out(&f, 0x64, 0x60, 1);
	out(&f, 0x60, 0x44, 1);
	out(&f, 0x64, 0x20, 1);
	EXPECT(in(&f, 0x60, 1) == 0x44);
	out(&f, 0x64, 0xab, 1);
	EXPECT(in(&f, 0x60, 1) == 0x00);
	out(&f, 0x64, 0xd3, 1);
	out(&f, 0x60, 0x5a, 1);
	EXPECT((in(&f, 0x64, 1) & 0x21) == 0x01);	/* no auxiliary mark */
	out(&f, 0x64, 0xa9, 1);
	EXPECT(in(&f, 0x60, 1) == 0x01);
	out(&f, 0x60, 0xf2, 1);
	EXPECT(in(&f, 0x60, 1) == 0xfe);
	EXPECT(f.end == VM_END_NONE);
	teardown(&f, dev);
}

TEST(i8042_resets_by_pulse_and_by_output_port)
{
	struct device *dev;
	struct fixture f;

	setup(&f);
	EXPECT(!i8042_create(&dev, &f.env));
	out(&f, 0x64, 0xff, 1);
	out(&f, 0x64, 0xd1, 1);
	out(&f, 0x60, 0x03, 1);
	EXPECT(f.end == VM_END_NONE);
	out(&f, 0x64, 0xfe, 1);
	EXPECT(f.end == VM_END_RESET);
	f.end = VM_END_NONE;
	out(&f, 0x64, 0xd1, 1);
	out(&f, 0x60, 0x02, 1);
	EXPECT(f.end == VM_END_RESET);
	teardown(&f, dev);
}

TEST(i8042_state_survives_save_and_restore)
{
	struct state_out so = { 0 };
	struct state_in si = { 0 };
	struct device *dev;
	struct fixture f;

	setup(&f);
	EXPECT(!i8042_create(&dev, &f.env));
	out(&f, 0x64, 0xaa, 1);
	EXPECT(!dev->ops->save(dev, &so));
	in(&f, 0x60, 1);
	si.buf = so.buf;
	si.len = so.len;
	EXPECT(!dev->ops->restore(dev, &si));
	EXPECT(in(&f, 0x64, 1) & 1);
	EXPECT(in(&f, 0x60, 1) == 0x55);
	state_out_free(&so);
	teardown(&f, dev);
}

TEST_MAIN(T(pvpanic_ends_on_panic_and_not_on_crash_kernel),
	  T(debug_exit_hands_over_value_of_any_width),
	  T(reset_fires_on_rising_bit_2),
	  T(acpi_pm_event_is_set_until_it_is_cleared),
	  T(acpi_pm_sleeps_only_with_type_5),
	  T(i8042_answers_probes_without_devices),
	  T(i8042_resets_by_pulse_and_by_output_port),
	  T(i8042_state_survives_save_and_restore))
