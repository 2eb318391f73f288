// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <linux/serial_reg.h>
#include "kvm/hw.h"
#include "irqchip.h"
#include "test.h"

#define PORT 0x3f8
#define GSI 4

struct fixture {
	struct io_bus bus;
	struct irq_chip *chip;
	struct device *dev;
	struct fake_irqs irqs;
	char out[64];
	size_t nr_out;
	unsigned int wakes;
};

static void output(void *opaque, const void *d, size_t len)
{
	struct fixture *f = opaque;

	if (len > sizeof(f->out) - f->nr_out)
		return;
	memcpy(f->out + f->nr_out, d, len);
	f->nr_out += len;
}

static void wake(void *opaque)
{
	((struct fixture *)opaque)->wakes++;
}

static void setup(struct fixture *f)
{
	struct serial_opts opts = { "serial0", PORT, GSI, output, wake, f };
	struct hw_env env = { .pio = &f->bus };

	memset(f, 0, sizeof(*f));
	io_bus_init(&f->bus);
	irq_chip_create(&f->chip, &fake_irq_ops, &f->irqs, NULL, 0);
	env.irq = f->chip;
	serial_create(&f->dev, &env, &opts);
}

static void teardown(struct fixture *f)
{
	f->dev->ops->destroy(f->dev);
	irq_chip_destroy(f->chip);
	io_bus_destroy(&f->bus);
}

static u8 in(struct fixture *f, unsigned int reg)
{
	u8 v = 0;

	io_bus_read(&f->bus, PORT + reg, &v, 1);
	return v;
}

static void out(struct fixture *f, unsigned int reg, u8 v)
{
	io_bus_write(&f->bus, PORT + reg, &v, 1);
}

TEST(serial_thre_interrupt_rises_on_enable_and_falls_on_iir)
{
	struct fixture f;

	setup(&f);
	out(&f, UART_MCR, UART_MCR_OUT2);
	EXPECT(!f.irqs.levels);
	out(&f, UART_IER, UART_IER_THRI);
	EXPECT(f.irqs.levels == BIT(GSI));
	EXPECT(in(&f, UART_IIR) == UART_IIR_THRI);
	EXPECT(!f.irqs.levels);
	EXPECT(in(&f, UART_IIR) == UART_IIR_NO_INT);
	out(&f, UART_TX, 'a');
	EXPECT(f.irqs.levels == BIT(GSI));
	f.irqs.rises = 0;
	out(&f, UART_TX, 'b');
	EXPECT(f.irqs.levels == BIT(GSI) && f.irqs.rises == 1);
	out(&f, UART_IER, 0);
	EXPECT(!f.irqs.levels);
	EXPECT(f.nr_out == 2 && !memcmp(f.out, "ab", 2));
	teardown(&f);
}

TEST(serial_iir_shows_highest_priority_and_keeps_thre)
{
	struct fixture f;

	setup(&f);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_4);
	out(&f, UART_MCR, UART_MCR_OUT2);
	out(&f, UART_IER, UART_IER_THRI | UART_IER_RDI);
	EXPECT(serial_input(f.dev, "x", 1) == 1);
	EXPECT(in(&f, UART_IIR) == (0xc0 | UART_IIR_RX_TIMEOUT));
	EXPECT(serial_input(f.dev, "yzw", 3) == 3);
	EXPECT(in(&f, UART_IIR) == (0xc0 | UART_IIR_RDI));
	EXPECT(in(&f, UART_RX) == 'x' && in(&f, UART_RX) == 'y');
	EXPECT(in(&f, UART_RX) == 'z' && in(&f, UART_RX) == 'w');
	EXPECT(!(in(&f, UART_LSR) & UART_LSR_DR));
	EXPECT(in(&f, UART_IIR) == (0xc0 | UART_IIR_THRI));
	teardown(&f);
}

TEST(serial_line_is_gated_by_out2)
{
	struct fixture f;

	setup(&f);
	out(&f, UART_IER, UART_IER_THRI);
	EXPECT(!f.irqs.levels);
	out(&f, UART_MCR, UART_MCR_OUT2);
	EXPECT(f.irqs.levels == BIT(GSI));
	out(&f, UART_MCR, 0);
	EXPECT(!f.irqs.levels);
	teardown(&f);
}

TEST(serial_loopback_connects_modem_lines_and_data)
{
	struct fixture f;

	setup(&f);
	EXPECT((in(&f, UART_MSR) & 0xf0) == 0xb0);
	out(&f, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	EXPECT((in(&f, UART_MSR) & 0xf0) == 0x90);
	out(&f, UART_TX, 'q');
	EXPECT(!f.nr_out);
	EXPECT(serial_input(f.dev, "z", 1) == 0);
	EXPECT(in(&f, UART_RX) == 'q');
	out(&f, UART_MCR, 0);
	EXPECT(in(&f, UART_MSR) & UART_MSR_DDSR);
	EXPECT(!(in(&f, UART_MSR) & UART_MSR_ANY_DELTA));
	teardown(&f);
}

TEST(serial_fifo_overrun_sets_oe_once_and_keeps_old_bytes)
{
	struct fixture f;

	setup(&f);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(&f, UART_MCR, UART_MCR_LOOP);
	for (unsigned int i = 0; i < 17; i++)
		out(&f, UART_TX, i);
	EXPECT(in(&f, UART_LSR) & UART_LSR_OE);
	EXPECT(!(in(&f, UART_LSR) & UART_LSR_OE));
	for (unsigned int i = 0; i < 16; i++)
		EXPECT(in(&f, UART_RX) == i);
	EXPECT(!(in(&f, UART_LSR) & UART_LSR_DR));
	teardown(&f);
}

TEST(serial_input_takes_what_fits)
{
	struct fixture f;

	setup(&f);
	out(&f, UART_MCR, UART_MCR_OUT2);
	out(&f, UART_IER, UART_IER_RDI);
	EXPECT(serial_input(f.dev, "abc", 3) == 1);
	EXPECT(!f.wakes);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO);
	EXPECT(serial_input(f.dev, "0123456789abcdefXY", 18) == 15);
	EXPECT(in(&f, UART_RX) == 'a' && in(&f, UART_RX) == '0');
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	EXPECT(f.wakes == 1);
	EXPECT(!(in(&f, UART_LSR) & UART_LSR_DR));
	teardown(&f);
}

/* What was piped in before a driver started must not be lost. */
TEST(serial_input_waits_for_a_listener)
{
	struct fixture f;

	setup(&f);
	EXPECT(serial_input(f.dev, "abc", 3) == 0);
	/* As an early console does */
	out(&f, UART_TX, 'x');
	in(&f, UART_LSR);
	out(&f, UART_TX, 'y');
	in(&f, UART_LSR);
	EXPECT(serial_input(f.dev, "abc", 3) == 0);
	/* As Linux does behind each message: it waits for it to be sent, twice. */
	in(&f, UART_LSR);
	EXPECT(serial_input(f.dev, "abc", 3) == 0);
	/* As one who polls for input does */
	for (unsigned int i = 0; i < 8; i++)
		in(&f, UART_LSR);
	EXPECT(serial_input(f.dev, "abc", 3) == 1);
	EXPECT(in(&f, UART_RX) == 'a');
	EXPECT(serial_input(f.dev, "bc", 2) == 0);
	/* As a driver that looks for the chip */
	out(&f, UART_IER, 0x0f);
	EXPECT(serial_input(f.dev, "bc", 2) == 0);
	out(&f, UART_IER, UART_IER_RDI);
	out(&f, UART_MCR, UART_MCR_OUT2);
	EXPECT(serial_input(f.dev, "bc", 2) == 1);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO);
	EXPECT(in(&f, UART_RX) == 'b');
	teardown(&f);
}

TEST(serial_wakes_who_waits_for_room)
{
	struct fixture f;

	setup(&f);
	out(&f, UART_MCR, UART_MCR_OUT2);
	out(&f, UART_IER, UART_IER_RDI);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO);
	EXPECT(serial_input(f.dev, "0123456789abcdef", 16) == 16);
	EXPECT(in(&f, UART_RX) == '0' && !f.wakes);
	EXPECT(serial_input(f.dev, "gh", 2) == 1);
	for (unsigned int i = 0; i < 15; i++)
		in(&f, UART_RX);
	EXPECT(!f.wakes);
	EXPECT(in(&f, UART_RX) == 'g' && f.wakes == 1);
	in(&f, UART_RX);
	EXPECT(f.wakes == 1);
	/* Not while the chip talks to itself. */
	out(&f, UART_MCR, UART_MCR_LOOP);
	EXPECT(serial_input(f.dev, "h", 1) == 0);
	in(&f, UART_RX);
	EXPECT(f.wakes == 1);
	out(&f, UART_MCR, UART_MCR_OUT2);
	EXPECT(f.wakes == 2);
	EXPECT(serial_input(f.dev, "0123456789abcdefg", 17) == 16);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	EXPECT(f.wakes == 3);
	teardown(&f);
}

TEST(serial_break_is_seen_with_its_byte)
{
	struct fixture f;

	setup(&f);
	EXPECT(serial_break(f.dev, 'h') == -ENOTCONN);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(&f, UART_IER, UART_IER_RDI | UART_IER_RLSI);
	out(&f, UART_MCR, UART_MCR_OUT2);
	EXPECT(serial_input(f.dev, "a", 1) == 1);
	EXPECT(!serial_break(f.dev, 'h'));
	EXPECT(f.irqs.levels == BIT(GSI));
	EXPECT(!(in(&f, UART_LSR) & UART_LSR_BI) && in(&f, UART_RX) == 'a');
	EXPECT((in(&f, UART_IIR) & 0x0f) == UART_IIR_RLSI);
	EXPECT(in(&f, UART_LSR) & UART_LSR_BI);
	EXPECT(in(&f, UART_RX) == 0);
	EXPECT(!(in(&f, UART_LSR) & UART_LSR_BI) && in(&f, UART_RX) == 'h');
	EXPECT(!f.irqs.levels);
	teardown(&f);
}

TEST(serial_divisor_latch_hides_data_registers)
{
	struct fixture f;
	u8 wide[4];

	setup(&f);
	out(&f, UART_LCR, UART_LCR_DLAB);
	out(&f, UART_DLL, 0x34);
	out(&f, UART_DLM, 0x12);
	EXPECT(in(&f, UART_DLL) == 0x34 && in(&f, UART_DLM) == 0x12);
	EXPECT(!f.nr_out);
	out(&f, UART_LCR, UART_LCR_WLEN8);
	out(&f, UART_IER, 0xff);
	EXPECT(in(&f, UART_IER) == 0x0f);
	out(&f, UART_SCR, 0x5a);
	EXPECT(in(&f, UART_SCR) == 0x5a);
	out(&f, UART_FCR, 0x20 | UART_FCR_ENABLE_FIFO);
	EXPECT((in(&f, UART_IIR) & 0xe0) == 0xc0);
	io_bus_read(&f.bus, PORT + UART_LCR, wide, 4);
	EXPECT(wide[0] == UART_LCR_WLEN8 && wide[3] == 0xff);
	teardown(&f);
}

TEST(serial_state_survives_save_and_restore)
{
	struct state_out so = { 0 };
	struct state_in si = { 0 };
	struct fixture f, g;

	setup(&f);
	setup(&g);
	out(&f, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(&f, UART_MCR, UART_MCR_OUT2);
	out(&f, UART_IER, UART_IER_RDI);
	serial_input(f.dev, "hey", 3);
	EXPECT(!f.dev->ops->save(f.dev, &so));
	si.buf = so.buf;
	si.len = so.len;
	EXPECT(!g.dev->ops->restore(g.dev, &si));
	EXPECT(g.irqs.levels == BIT(GSI));
	EXPECT(in(&g, UART_RX) == 'h' && in(&g, UART_RX) == 'e');
	EXPECT(in(&g, UART_MCR) == UART_MCR_OUT2);
	/* Who polled for input is not who comes then. */
	out(&g, UART_IER, 0);
	in(&g, UART_RX);
	for (unsigned int i = 0; i < 8; i++)
		in(&g, UART_LSR);
	EXPECT(serial_input(g.dev, "you", 3) == 3);
	so.buf[4] = 0;	/* IER */
	si.pos = 0;
	EXPECT(!g.dev->ops->restore(g.dev, &si));
	EXPECT(serial_input(g.dev, "you", 3) == 0);
	si.pos = 0;
	si.len = so.len - 1;
	EXPECT(g.dev->ops->restore(g.dev, &si) < 0);
	so.buf[14] = 17;	/* more bytes than the FIFO has */
	si = (struct state_in){ .buf = so.buf, .len = so.len };
	EXPECT(g.dev->ops->restore(g.dev, &si) < 0);
	state_out_free(&so);
	teardown(&f);
	teardown(&g);
}

TEST_MAIN(T(serial_thre_interrupt_rises_on_enable_and_falls_on_iir),
	  T(serial_iir_shows_highest_priority_and_keeps_thre),
	  T(serial_line_is_gated_by_out2),
	  T(serial_loopback_connects_modem_lines_and_data),
	  T(serial_fifo_overrun_sets_oe_once_and_keeps_old_bytes),
	  T(serial_input_takes_what_fits),
	  T(serial_input_waits_for_a_listener),
	  T(serial_wakes_who_waits_for_room),
	  T(serial_break_is_seen_with_its_byte),
	  T(serial_divisor_latch_hides_data_registers),
	  T(serial_state_survives_save_and_restore))
