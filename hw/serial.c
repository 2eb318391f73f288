// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 16550A UART (National Semiconductor PC16550D data sheet, section 8).
 *
 * Theory of operation
 *
 * The transmitter is infinitely fast: a byte written to THR is handed to the
 * output at once, so THRE and TEMT are always set. The THRE interrupt is a
 * latch: set when IER.ETBEI goes from 0 to 1 and after each byte, cleared when
 * IIR is read while it is the cause that IIR shows. The receiver has 16 bytes
 * (one when FIFOs are off). Fewer bytes than the trigger level show the
 * character timeout cause immediately, for no time passes between bytes.
 * The interrupt pin reaches the line only while MCR.OUT2 is set, as on a PC.
 * In loopback the modem inputs are the modem outputs, sent bytes are received
 * and the host's bytes wait outside.
 *
 * The host's bytes also wait outside until somebody listens: the receive
 * interrupt is enabled and can reach the line, or LSR is read SERIAL_POLLS times
 * with nothing in between, which is how a guest polls for input. It is not how it
 * waits for the transmitter, which is always ready; Linux looks twice behind each
 * message. A driver that looks for the chip turns all of IER on for a moment, and
 * one that starts empties the receiver: input that was there before the guest was
 * (a pipe, a file) would lose its first bytes. For the same reason a byte stays
 * when the FIFOs are enabled, unlike in s8.4 of the sheet.
 *
 * Threads: vCPUs through the ports, any thread through serial_input().
 * Locks: out_lock > lock. @lock guards the registers and is never held during
 * output; @out_lock keeps bytes of several vCPUs in the order of their writes.
 *
 * Not supported, deliberately: baud rates (the divisor is only stored), line
 * errors other than overrun and break, a break of the guest, 16750 and later extensions.
 *
 * A guest that overruns its receiver in loopback gets LSR.OE. An access wider
 * than a byte acts on the first byte, the others read as ones.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/serial_reg.h>
#include "kvm/hw.h"

#define SERIAL_POLLS 8U
#define SERIAL_PORTS 8
#define SERIAL_FIFO 16
#define SERIAL_STATE_VERSION 2
#define SERIAL_IER_MASK 0x0f
#define SERIAL_MCR_MASK 0x1f
#define SERIAL_MSR_IDLE (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)

/* What save and restore carry. */
struct serial_regs {
	u8 ier;
	u8 fcr;
	u8 lcr;
	u8 mcr;
	u8 msr;
	u8 scr;
	u8 dll;
	u8 dlm;
	bool overrun;
	bool thre_pending;
	u8 rx[SERIAL_FIFO];
	u8 rx_count;
	u16 rx_break;	/* bit N: rx[N] is a break */
};

struct serial {
	struct device dev;
	struct serial_opts opts;
	struct io_bus *pio;
	struct irq_line line;
	pthread_mutex_t out_lock;
	pthread_mutex_t lock;	/* guards all below */
	bool level;
	unsigned int polls;	/* reads of LSR with nothing in between */
	bool starved;		/* input was offered that did not fit */
	struct serial_regs r;
};

static unsigned int serial_rx_capacity(const struct serial *s)
{
	return s->r.fcr & UART_FCR_ENABLE_FIFO ? SERIAL_FIFO : 1;
}

static unsigned int serial_rx_trigger(const struct serial *s)
{
	static const u8 level[] = { 1, 4, 8, 14 };

	return s->r.fcr & UART_FCR_ENABLE_FIFO ? level[s->r.fcr >> 6] : 1;
}

/* The cause of highest priority, as IIR shows it. */
static u8 serial_cause(const struct serial *s)
{
	const struct serial_regs *r = &s->r;

	if ((r->ier & UART_IER_RLSI) && (r->overrun || (r->rx_break & 1)))
		return UART_IIR_RLSI;
	if ((r->ier & UART_IER_RDI) && r->rx_count) {
		if (r->rx_count >= serial_rx_trigger(s))
			return UART_IIR_RDI;
		return UART_IIR_RX_TIMEOUT;
	}
	if ((r->ier & UART_IER_THRI) && r->thre_pending)
		return UART_IIR_THRI;
	if ((r->ier & UART_IER_MSI) && (r->msr & UART_MSR_ANY_DELTA))
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

static void serial_update_irq(struct serial *s)
{
	bool level = (s->r.mcr & UART_MCR_OUT2) &&
		     serial_cause(s) != UART_IIR_NO_INT;

	if (level == s->level)
		return;
	s->level = level;
	irq_line_set(&s->line, level);
}

static void serial_rx_push(struct serial *s, u8 byte)
{
	struct serial_regs *r = &s->r;

	if (r->rx_count < serial_rx_capacity(s)) {
		r->rx[r->rx_count++] = byte;
		return;
	}
	/* The FIFO keeps what it has; the lone buffer register does not. */
	r->overrun = true;
	if (!(r->fcr & UART_FCR_ENABLE_FIFO))
		r->rx[0] = byte;
}

static u8 serial_rx_pop(struct serial *s)
{
	struct serial_regs *r = &s->r;
	u8 byte = r->rx[0];

	if (!r->rx_count)
		return 0;
	r->rx_count--;
	r->rx_break >>= 1;
	memmove(r->rx, r->rx + 1, r->rx_count);
	return byte;
}

/* Modem inputs follow MCR in loopback, and are otherwise those of a peer. */
static void serial_update_msr(struct serial *s)
{
	u8 old = s->r.msr, mcr = s->r.mcr, now = SERIAL_MSR_IDLE, delta;

	if (mcr & UART_MCR_LOOP)
		now = (mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
		      (mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
		      (mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) |
		      (mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
	delta = (old ^ now) >> 4;
	if ((delta & UART_MSR_TERI) && (now & UART_MSR_RI))
		delta &= ~UART_MSR_TERI;	/* only the trailing edge */
	s->r.msr = now | (old & UART_MSR_ANY_DELTA) | delta;
}

static void serial_set_fcr(struct serial *s, u8 v)
{
	bool off = !(v & UART_FCR_ENABLE_FIFO);

	if (off)
		v = 0;
	if ((off && s->r.fcr & UART_FCR_ENABLE_FIFO) ||
	    v & UART_FCR_CLEAR_RCVR) {
		s->r.rx_count = 0;
		s->r.rx_break = 0;
	}
	s->r.fcr = v & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK);
}

static void serial_set_ier(struct serial *s, u8 v)
{
	v &= SERIAL_IER_MASK;
	if ((v & UART_IER_THRI) && !(s->r.ier & UART_IER_THRI))
		s->r.thre_pending = true;
	s->r.ier = v;
}

static u8 serial_read_reg(struct serial *s, unsigned int reg)
{
	struct serial_regs *r = &s->r;
	bool dlab = r->lcr & UART_LCR_DLAB;
	u8 v;

	switch (reg) {
	case UART_RX:
		return dlab ? r->dll : serial_rx_pop(s);
	case UART_IER:
		return dlab ? r->dlm : r->ier;
	case UART_IIR:
		v = serial_cause(s);
		if (v == UART_IIR_THRI)
			r->thre_pending = false;
		return v | (r->fcr & UART_FCR_ENABLE_FIFO ? 0xc0 : 0);
	case UART_LCR:
		return r->lcr;
	case UART_MCR:
		return r->mcr;
	case UART_LSR:
		v = UART_LSR_THRE | UART_LSR_TEMT |
		    (r->rx_count ? UART_LSR_DR : 0) |
		    (r->rx_break & 1 ? UART_LSR_BI : 0) |
		    (r->overrun ? UART_LSR_OE : 0);
		r->overrun = false;
		r->rx_break &= ~1U;
		return v;
	case UART_MSR:
		v = r->msr;
		r->msr &= ~UART_MSR_ANY_DELTA;
		return v;
	default:
		return r->scr;
	}
}

/* Every register but THR. */
static void serial_write_reg(struct serial *s, unsigned int reg, u8 v)
{
	struct serial_regs *r = &s->r;

	switch (reg) {
	case UART_DLL:
		r->dll = v;
		break;
	case UART_IER:
		if (r->lcr & UART_LCR_DLAB)
			r->dlm = v;
		else
			serial_set_ier(s, v);
		break;
	case UART_FCR:
		serial_set_fcr(s, v);
		break;
	case UART_LCR:
		r->lcr = v;
		break;
	case UART_MCR:
		r->mcr = v & SERIAL_MCR_MASK;
		serial_update_msr(s);
		break;
	case UART_SCR:
		r->scr = v;
		break;
	default:
		break;	/* LSR and MSR: factory test only */
	}
	serial_update_irq(s);
}

/* Return: whether @v leaves the chip. */
static bool serial_send(struct serial *s, u8 v)
{
	bool loop = s->r.mcr & UART_MCR_LOOP;

	if (loop)
		serial_rx_push(s, v);
	/*
	 * A write clears the latch, the end of transmission sets it: an edge
	 * that an edge-triggered line must see.
	 */
	s->r.thre_pending = false;
	serial_update_irq(s);
	s->r.thre_pending = true;
	serial_update_irq(s);
	return !loop;
}

/* The host's bytes stay outside while nobody or the chip itself listens. */
static unsigned int serial_room(const struct serial *s)
{
	unsigned int max = serial_rx_capacity(s);

	if (s->r.mcr & UART_MCR_LOOP)
		return 0;
	if (!(s->r.ier & UART_IER_RDI && s->r.mcr & UART_MCR_OUT2) &&
	    s->polls < SERIAL_POLLS)
		return 0;
	return s->r.rx_count < max ? max - s->r.rx_count : 0;
}

/* Input waits outside, and all that was inside has been read. */
static void serial_wake(struct serial *s)
{
	if (!s->starved || s->r.rx_count || !serial_room(s))
		return;
	s->starved = false;
	if (s->opts.wake)
		s->opts.wake(s->opts.opaque);
}

static int serial_io_read(void *o, u64 off, void *d, unsigned int len)
{
	struct serial *s = o;
	u8 v;

	pthread_mutex_lock(&s->lock);
	s->polls = off == UART_LSR ? MIN(s->polls + 1, SERIAL_POLLS) : 0;
	v = serial_read_reg(s, off);
	serial_update_irq(s);
	serial_wake(s);
	pthread_mutex_unlock(&s->lock);
	memset(d, 0xff, len);
	*(u8 *)d = v;
	return 0;
}

static int serial_io_write(void *o, u64 off, const void *d, unsigned int len)
{
	struct serial *s = o;
	u8 v = *(const u8 *)d;
	bool out = false;

	(void)len;
	if (off == UART_TX)
		pthread_mutex_lock(&s->out_lock);
	pthread_mutex_lock(&s->lock);
	s->polls = 0;
	if (off == UART_TX && !(s->r.lcr & UART_LCR_DLAB))
		out = serial_send(s, v);
	else
		serial_write_reg(s, off, v);
	serial_wake(s);
	pthread_mutex_unlock(&s->lock);
	if (out && s->opts.output)
		s->opts.output(s->opts.opaque, &v, 1);
	if (off == UART_TX)
		pthread_mutex_unlock(&s->out_lock);
	return 0;
}

static const struct io_ops serial_io_ops = {
	.read = serial_io_read,
	.write = serial_io_write,
};

static int serial_save(struct device *dev, struct state_out *out)
{
	struct serial *s = container_of(dev, struct serial, dev);
	const struct serial_regs *r = &s->r;

	pthread_mutex_lock(&s->lock);
	state_put_u32(out, SERIAL_STATE_VERSION);
	state_put_u8(out, r->ier);
	state_put_u8(out, r->fcr);
	state_put_u8(out, r->lcr);
	state_put_u8(out, r->mcr);
	state_put_u8(out, r->msr);
	state_put_u8(out, r->scr);
	state_put_u8(out, r->dll);
	state_put_u8(out, r->dlm);
	state_put_u8(out, r->overrun);
	state_put_u8(out, r->thre_pending);
	state_put_u8(out, r->rx_count);
	state_put(out, r->rx, sizeof(r->rx));
	state_put_u16(out, r->rx_break);
	pthread_mutex_unlock(&s->lock);
	return out->err;
}

static int serial_restore(struct device *dev, struct state_in *in)
{
	struct serial *s = container_of(dev, struct serial, dev);
	struct serial_regs r = { 0 };

	state_get_version(in, SERIAL_STATE_VERSION);
	r.ier = state_get_u8(in) & SERIAL_IER_MASK;
	r.fcr = state_get_u8(in);
	r.lcr = state_get_u8(in);
	r.mcr = state_get_u8(in) & SERIAL_MCR_MASK;
	r.msr = state_get_u8(in);
	r.scr = state_get_u8(in);
	r.dll = state_get_u8(in);
	r.dlm = state_get_u8(in);
	r.overrun = state_get_u8(in);
	r.thre_pending = state_get_u8(in);
	r.rx_count = state_get_u8(in);
	state_get(in, r.rx, sizeof(r.rx));
	r.rx_break = state_get_u16(in);
	if (in->err)
		return in->err;
	if (r.rx_count > (r.fcr & UART_FCR_ENABLE_FIFO ? SERIAL_FIFO : 1))
		return -EPROTO;
	pthread_mutex_lock(&s->lock);
	s->r = r;
	s->polls = 0;
	serial_update_irq(s);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static void serial_destroy(struct device *dev)
{
	struct serial *s = container_of(dev, struct serial, dev);

	io_bus_unregister(s->pio, s->opts.port);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->out_lock);
	free(s);
}

static const struct device_ops serial_ops = {
	.save = serial_save,
	.restore = serial_restore,
	.destroy = serial_destroy,
};

int serial_create(struct device **out, const struct hw_env *env,
		  const struct serial_opts *opts)
{
	struct serial *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->dev.ops = &serial_ops;
	snprintf(s->dev.name, sizeof(s->dev.name), "%s", opts->name);
	s->opts = *opts;
	s->opts.name = s->dev.name;
	s->pio = env->pio;
	s->r.msr = SERIAL_MSR_IDLE;
	s->r.dll = 1;	/* 115200 */
	if (env->irq) {
		err = irq_line_init(&s->line, env->irq, opts->gsi);
		if (err)
			goto err_free;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->out_lock, NULL);
	err = io_bus_register(env->pio, opts->port, SERIAL_PORTS,
			      &serial_io_ops, s);
	if (err)
		goto err_locks;
	*out = &s->dev;
	return 0;

err_locks:
	pthread_mutex_destroy(&s->out_lock);
	pthread_mutex_destroy(&s->lock);
err_free:
	free(s);
	return err;
}

size_t serial_input(struct device *dev, const void *d, size_t len)
{
	struct serial *s = container_of(dev, struct serial, dev);
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = MIN(len, serial_room(s));
	for (size_t i = 0; i < n; i++)
		serial_rx_push(s, ((const u8 *)d)[i]);
	serial_update_irq(s);
	s->starved = n < len;
	pthread_mutex_unlock(&s->lock);
	return n;
}

int serial_break(struct device *dev, u8 key)
{
	struct serial *s = container_of(dev, struct serial, dev);
	int err = -ENOTCONN;

	pthread_mutex_lock(&s->lock);
	if (serial_room(s) >= 2) {
		s->r.rx_break |= BIT(s->r.rx_count);
		serial_rx_push(s, 0);
		serial_rx_push(s, key);
		serial_update_irq(s);
		err = 0;
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}
