// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The test device on buses of its own, with anonymous memory for guest RAM. One
 * thread, no KVM.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "kvm/hw.h"
#include "irqchip.h"
#include "test.h"

#define RAM_SIZE 0x10000UL
#define MEM_GPA 0xff000000ULL

struct fixture {
	struct io_bus pio;
	struct io_bus mmio;
	struct gmem gmem;
	struct irq_chip *chip;
	struct device *dev;
	u8 *ram;
	struct fake_irqs irqs;
};

static int make(struct fixture *f)
{
	const struct hw_env env = { .pio = &f->pio, .irq = f->chip };
	const struct testdev_opts o = {
		.mmio = &f->mmio, .gmem = &f->gmem,
		.ram = 5 * SZ_1G, .nr_cpus = 258,
	};

	return testdev_create(&f->dev, &env, &o);
}

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	io_bus_init(&f->pio);
	io_bus_init(&f->mmio);
	f->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	gmem_add(&f->gmem, 0, RAM_SIZE, f->ram);
	irq_chip_create(&f->chip, &fake_irq_ops, &f->irqs, NULL, 0);
}

static void teardown(struct fixture *f)
{
	f->dev->ops->destroy(f->dev);
	irq_chip_destroy(f->chip);
	io_bus_destroy(&f->pio);
	io_bus_destroy(&f->mmio);
	munmap(f->ram, RAM_SIZE);
}

static void out(struct fixture *f, u16 port, u32 v, unsigned int len)
{
	u8 d[4];

	io_write_le(d, len, v);
	io_bus_write(&f->pio, port, d, len);
}

static u32 in(struct fixture *f, u16 port, unsigned int len)
{
	u8 d[4];

	io_bus_read(&f->pio, port, d, len);
	return (u32)io_read_le(d, len);
}

TEST(latch_has_two_places)
{
	struct fixture f;

	setup(&f);
	EXPECT(!make(&f));
	out(&f, 0xe0, 0x44332211, 4);
	EXPECT(in(&f, 0xe8, 4) == 0x44332211);
	EXPECT(in(&f, 0xe9, 2) == 0x3322);
	out(&f, 0xeb, 0x99, 1);
	EXPECT(in(&f, 0xe0, 4) == 0x99332211);
	/* past its end: nobody's */
	out(&f, 0xea, 0, 4);
	EXPECT(in(&f, 0xea, 4) == 0xffffffff && in(&f, 0xe0, 4) == 0x99332211);
	teardown(&f);
}

TEST(flush_keeps_what_is_in_memory)
{
	static const u32 gpa[] = {
		0, 1, RAM_SIZE - 4096, RAM_SIZE - 1, RAM_SIZE, 0x80000000,
		UINT32_MAX,
	};
	struct fixture f;

	setup(&f);
	EXPECT(!make(&f));
	memset(f.ram, 0x5a, RAM_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(gpa); i++) {
		out(&f, 0xe4, gpa[i], 4);
		out(&f, 0xe4, gpa[i], 2);
		out(&f, 0xe5, gpa[i], 1);
	}
	for (size_t i = 0; i < RAM_SIZE; i++)
		EXPECT(f.ram[i] == 0x5a);
	memset(f.ram, 0xa5, RAM_SIZE);
	EXPECT(!in(&f, 0xe4, 4));
	teardown(&f);
}

TEST(each_line_has_a_port)
{
	struct fixture f;

	setup(&f);
	EXPECT(!make(&f));
	for (u16 i = 0; i < 24; i++) {
		out(&f, 0x2000 + i, 0x80, 1);
		EXPECT(f.irqs.levels == BIT(i));
		out(&f, 0x2000 + i, 0, 1);
		EXPECT(!f.irqs.levels);
	}
	out(&f, 0x2000, 0x01010101, 4);
	out(&f, 0x2018, 1, 1);
	EXPECT(!f.irqs.levels && in(&f, 0x2018, 1) == 0xff && !in(&f, 0x2000, 1));
	teardown(&f);
}

static u64 fw_cfg(struct fixture *f, u16 item)
{
	u64 v = 0;

	out(f, 0x510, item, 2);
	for (unsigned int i = 0; i < 8; i++)
		v |= (u64)in(f, 0x511, 1) << (i * 8);
	return v;
}

TEST(fw_cfg_tells_of_the_machine)
{
	struct fixture f;

	setup(&f);
	EXPECT(!make(&f));
	EXPECT(fw_cfg(&f, 0) == 0x554d4551 && fw_cfg(&f, 1) == 1);
	EXPECT(fw_cfg(&f, 3) == 5 * SZ_1G);
	EXPECT(fw_cfg(&f, 5) == 258 && fw_cfg(&f, 15) == 258);
	EXPECT(!in(&f, 0x511, 1) && !in(&f, 0x510, 1) && !in(&f, 0x510, 2));
	for (unsigned int i = 16; i < 0x10000; i++)
		EXPECT(!fw_cfg(&f, i));
	/* Only 16 bits select. */
	out(&f, 0x510, 0, 2);
	out(&f, 0x510, 3, 1);
	EXPECT(in(&f, 0x511, 1) == 'Q');
	teardown(&f);
}

TEST(memory_ends_where_it_ends)
{
	struct fixture f;
	u64 v = 0x1122334455667788, got;

	setup(&f);
	EXPECT(!make(&f));
	EXPECT(!io_bus_write(&f.mmio, MEM_GPA + 0xfff8, &v, 8));
	EXPECT(!io_bus_read(&f.mmio, MEM_GPA + 0xfff8, &got, 8) && got == v);
	EXPECT(io_bus_write(&f.mmio, MEM_GPA + 0xfff9, &v, 8) == -ENOENT);
	EXPECT(io_bus_read(&f.mmio, MEM_GPA + 0x10000, &got, 1) == -ENOENT);
	EXPECT(!io_bus_read(&f.mmio, MEM_GPA, &got, 8) && !got);
	teardown(&f);
}

TEST(state_is_saved_and_restored)
{
	struct state_out saved = { 0 };
	struct fixture f;
	struct state_in from;
	u64 v = 42, got;

	setup(&f);
	EXPECT(!make(&f));
	out(&f, 0xe0, 0x12345678, 4);
	out(&f, 0x2017, 1, 1);
	out(&f, 0x510, 5, 2);
	EXPECT(in(&f, 0x511, 1) == 2);
	io_bus_write(&f.mmio, MEM_GPA, &v, 8);
	EXPECT(!f.dev->ops->save(f.dev, &saved));
	out(&f, 0x2017, 0, 1);
	f.dev->ops->destroy(f.dev);
	EXPECT(!f.irqs.levels);
	EXPECT(!make(&f));
	from = (struct state_in){ .buf = saved.buf, .len = saved.len };
	EXPECT(!f.dev->ops->restore(f.dev, &from) && from.pos == saved.len);
	EXPECT(in(&f, 0xe8, 4) == 0x12345678 && f.irqs.levels == BIT(23));
	EXPECT(in(&f, 0x511, 1) == 1 && !in(&f, 0x511, 1));
	EXPECT(!io_bus_read(&f.mmio, MEM_GPA, &got, 8) && got == v);
	for (size_t n = 0; n < saved.len; n += n < 32 ? 1 : 4099) {
		from = (struct state_in){ .buf = saved.buf, .len = n };
		EXPECT(f.dev->ops->restore(f.dev, &from) == -EPROTO);
	}
	/* A line that is none, and a position that save would not write */
	saved.buf[7] = 1;
	from = (struct state_in){ .buf = saved.buf, .len = saved.len };
	EXPECT(f.dev->ops->restore(f.dev, &from) == -EPROTO);
	saved.buf[7] = 0;
	saved.buf[10] = 9;
	from = (struct state_in){ .buf = saved.buf, .len = saved.len };
	EXPECT(f.dev->ops->restore(f.dev, &from) == -EPROTO);
	state_out_free(&saved);
	teardown(&f);
}

static const struct io_ops no_ops;

TEST(a_place_that_is_taken_is_an_error)
{
	struct fixture f;

	setup(&f);
	EXPECT(!io_bus_register(&f.pio, 0x2010, 1, &no_ops, NULL));
	EXPECT(make(&f) == -EEXIST);
	EXPECT(in(&f, 0xe0, 4) == 0xffffffff);
	EXPECT(!io_bus_unregister(&f.pio, 0x2010));
	EXPECT(!io_bus_register(&f.mmio, MEM_GPA + 8, 1, &no_ops, NULL));
	EXPECT(make(&f) == -EEXIST);
	EXPECT(!io_bus_unregister(&f.mmio, MEM_GPA + 8));
	EXPECT(!make(&f));
	teardown(&f);
}

TEST_MAIN(T(latch_has_two_places),
	  T(flush_keeps_what_is_in_memory),
	  T(each_line_has_a_port),
	  T(fw_cfg_tells_of_the_machine),
	  T(memory_ends_where_it_ends),
	  T(state_is_saved_and_restored),
	  T(a_place_that_is_taken_is_an_error))
