// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The registers of virtio-mmio (virtio 1.2 s4.2.2) and what is behind them in
 * the core, driven through an I/O bus as vCPUs do, with a class that gives
 * back each chain at once and an interrupt chip that only remembers levels.
 */
#include <errno.h>
#include <linux/virtio_mmio.h>
#include "kvm/eventfd.h"
#include "kvm/virtio.h"
#include "irqchip.h"
#include "test.h"
#include "vring.h"

#define GPA 0xfeb00000ULL
#define GSI 5
#define FEATURE 3

struct fixture {
	struct vr_mem m;
	struct io_bus bus;
	struct irq_chip *irq;
	struct virtio_env env;
	struct virtio_device *dev;
	struct vm_log log;
	struct fake_irqs irqs;
	unsigned int lines;
	int ioeventfds;
	int ioeventfd_budget;
};

struct echo {
	u8 config[6];
	int active;
	int activations;
	int leaves;
	bool fail;
};

static int fake_ioeventfd(void *opaque, int fd, u64 addr, u32 len, u32 value,
			  bool port, bool on)
{
	struct fixture *f = opaque;

	if (fd < 0 || addr != GPA + 0x50 || len != 4 || value > 1 || port)
		return -EINVAL;
	if (on && !f->ioeventfd_budget--)
		return -ENOSPC;
	f->ioeventfds += on ? 1 : -1;
	return 0;
}

static void count_line(void *opaque, const char *line)
{
	struct fixture *f = opaque;

	(void)line;
	f->lines++;
}

static int echo_create(struct virtio_device *dev, const void *opts,
		       struct report *r)
{
	struct echo *e;

	if (!opts)
		return report_error(r, EINVAL, "echo: no options");
	e = calloc(1, sizeof(*e));
	memcpy(e->config, "config", 6);
	dev->priv = e;
	return 0;
}

static u64 echo_features(struct virtio_device *dev)
{
	(void)dev;
	return BIT_ULL(FEATURE);
}

static void echo_config_read(struct virtio_device *dev, u32 off, void *d,
			     u32 len)
{
	struct echo *e = dev->priv;

	memcpy(d, e->config + off, len);
}

static void echo_config_write(struct virtio_device *dev, u32 off,
			      const void *d, u32 len)
{
	struct echo *e = dev->priv;

	memcpy(e->config + off, d, len);
}

static int echo_activate(struct virtio_device *dev)
{
	struct echo *e = dev->priv;

	if (e->fail)
		return -ENOMEM;
	e->active++;
	e->activations++;
	return 0;
}

static void echo_leave(struct virtio_device *dev)
{
	struct echo *e = dev->priv;

	e->leaves += e->active;
}

static void echo_deactivate(struct virtio_device *dev)
{
	struct echo *e = dev->priv;

	e->active--;
}

static void echo_notify(struct virtio_device *dev, unsigned int queue)
{
	struct virtqueue *vq = &dev->queue[queue];
	struct vq_chain chain;

	while (virtqueue_pop(vq, &chain) > 0)
		virtqueue_push(vq, &chain, chain.in_len);
	virtqueue_signal(vq);
}

static void echo_destroy(struct virtio_device *dev)
{
	free(dev->priv);
}

#define ECHO_CLASS(threaded) { \
	.name = "echo", \
	.id = 42, \
	.nr_queues = 2, \
	.queue_max = 64, \
	.config_len = 6, \
	.has_thread = threaded, \
	.create = echo_create, \
	.features = echo_features, \
	.config_read = echo_config_read, \
	.config_write = echo_config_write, \
	.activate = echo_activate, \
	.leave = echo_leave, \
	.deactivate = echo_deactivate, \
	.queue_notify = echo_notify, \
	.destroy = echo_destroy, \
}

static const struct virtio_class echo = ECHO_CLASS(false);
static const struct virtio_class echo_thread = ECHO_CLASS(true);

static struct fixture *setup_bare(const struct virtio_class *class)
{
	struct fixture *f = calloc(1, sizeof(*f));

	vr_init(&f->m);
	io_bus_init(&f->bus);
	irq_chip_create(&f->irq, &fake_irq_ops, &f->irqs, NULL, 0);
	f->log = (struct vm_log){ .emit = count_line, .opaque = f };
	f->ioeventfd_budget = 100;
	f->env = (struct virtio_env){
		.gmem = &f->m.g,
		.log = &f->log,
		.mmio = &f->bus,
		.irq = f->irq,
		.ioeventfd = fake_ioeventfd,
		.ioeventfd_opaque = f,
	};
	if (virtio_device_create(&f->dev, class, "echo0", f, &f->env, NULL))
		f->dev = NULL;
	return f;
}

static struct fixture *setup(const struct virtio_class *class)
{
	struct fixture *f = setup_bare(class);

	if (virtio_mmio_attach(f->dev, &f->env, GPA, GSI))
		printf("# attach failed\n");
	return f;
}

static void teardown(struct fixture *f)
{
	if (f->dev)
		f->dev->dev.ops->destroy(&f->dev->dev);
	io_bus_destroy(&f->bus);
	irq_chip_destroy(f->irq);
	vr_free(&f->m);
	free(f);
}

static u32 rd(struct fixture *f, u64 off)
{
	u8 d[4];

	io_bus_read(&f->bus, GPA + off, d, 4);
	return io_read_le(d, 4);
}

static void wr(struct fixture *f, u64 off, u32 v)
{
	u8 d[4];

	io_write_le(d, 4, v);
	io_bus_write(&f->bus, GPA + off, d, 4);
}

static void negotiate(struct fixture *f, u64 features)
{
	wr(f, VIRTIO_MMIO_STATUS, 0);
	wr(f, VIRTIO_MMIO_STATUS, 1);
	wr(f, VIRTIO_MMIO_STATUS, 3);
	for (unsigned int i = 0; i < 2; i++) {
		wr(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		wr(f, VIRTIO_MMIO_DRIVER_FEATURES, features >> (32 * i));
	}
	wr(f, VIRTIO_MMIO_STATUS, 11);
}

static void setup_queue(struct fixture *f, unsigned int q, u32 num)
{
	vr_clear(&f->m, q);
	wr(f, VIRTIO_MMIO_QUEUE_SEL, q);
	wr(f, VIRTIO_MMIO_QUEUE_NUM, num);
	wr(f, VIRTIO_MMIO_QUEUE_DESC_LOW, vr_desc(q));
	wr(f, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
	wr(f, VIRTIO_MMIO_QUEUE_AVAIL_LOW, vr_avail(q));
	wr(f, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0);
	wr(f, VIRTIO_MMIO_QUEUE_USED_LOW, vr_used(q));
	wr(f, VIRTIO_MMIO_QUEUE_USED_HIGH, 0);
	wr(f, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void bring_up(struct fixture *f)
{
	negotiate(f, BIT_ULL(VIRTIO_F_VERSION_1));
	setup_queue(f, 0, VR_NUM);
	setup_queue(f, 1, VR_NUM);
	wr(f, VIRTIO_MMIO_STATUS, 15);
}

static void request(struct fixture *f, unsigned int q)
{
	VR_PUT(&f->m, vr_desc(q), 0, VR_DATA, 4, VRING_DESC_F_WRITE, 0);
	vr_publish(&f->m, q, 0);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, q);
}

TEST(virtio_mmio_identifies_itself)
{
	struct fixture *f = setup(&echo);

	EXPECT(rd(f, VIRTIO_MMIO_MAGIC_VALUE) == 0x74726976);
	EXPECT(rd(f, VIRTIO_MMIO_VERSION) == 2);
	EXPECT(rd(f, VIRTIO_MMIO_DEVICE_ID) == 42);
	EXPECT(rd(f, VIRTIO_MMIO_SHM_LEN_LOW) == 0xffffffff);
	EXPECT(rd(f, VIRTIO_MMIO_QUEUE_NUM_MAX) == 64);
	wr(f, VIRTIO_MMIO_QUEUE_SEL, 2);
	EXPECT(rd(f, VIRTIO_MMIO_QUEUE_NUM_MAX) == 0);
	wr(f, VIRTIO_MMIO_QUEUE_SEL, 0xffffffff);
	wr(f, VIRTIO_MMIO_QUEUE_READY, 1);
	EXPECT(rd(f, VIRTIO_MMIO_QUEUE_READY) == 0);
	teardown(f);
}

TEST(virtio_mmio_registers_are_32_bit)
{
	struct fixture *f = setup(&echo);
	u8 d[8] = { 0 };

	EXPECT(io_bus_read(&f->bus, GPA, d, 1) == 0 && d[0] == 0xff);
	EXPECT(io_bus_read(&f->bus, GPA + 2, d, 4) == 0 && d[0] == 0xff);
	EXPECT(io_bus_read(&f->bus, GPA, d, 8) == 0 && d[7] == 0xff);
	d[0] = 1;
	io_bus_write(&f->bus, GPA + VIRTIO_MMIO_STATUS, d, 1);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 0);
	teardown(f);
}

TEST(virtio_mmio_config_is_bounded)
{
	struct fixture *f = setup(&echo);
	u8 d[8];

	io_bus_read(&f->bus, GPA + 0x104, d, 8);
	EXPECT(!memcmp(d, "ig\0\0\0\0\0\0", 8));
	io_bus_read(&f->bus, GPA + 0x1f8, d, 8);
	EXPECT(!memcmp(d, "\0\0\0\0\0\0\0\0", 8));
	io_bus_write(&f->bus, GPA + 0x104, "XYZW", 4);
	io_bus_write(&f->bus, GPA + 0x106, "X", 1);
	io_bus_write(&f->bus, GPA + 0x104, "XY", 2);
	io_bus_read(&f->bus, GPA + 0x100, d, 8);
	EXPECT(!memcmp(d, "confXY\0\0", 8));
	virtio_config_read(f->dev, ~0ULL, d, 8);
	virtio_config_write(f->dev, ~0ULL, d, 8);
	EXPECT(!d[0]);
	teardown(f);
}

TEST(virtio_mmio_features_need_version_1_and_an_offer)
{
	struct fixture *f = setup(&echo);
	u64 v1 = BIT_ULL(VIRTIO_F_VERSION_1);

	EXPECT(rd(f, VIRTIO_MMIO_DEVICE_FEATURES) & BIT(FEATURE));
	wr(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	EXPECT(rd(f, VIRTIO_MMIO_DEVICE_FEATURES) == 1);
	wr(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	EXPECT(rd(f, VIRTIO_MMIO_DEVICE_FEATURES) == 0);

	negotiate(f, BIT(FEATURE));
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 3);
	negotiate(f, v1 | BIT(FEATURE + 1));
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 3);
	wr(f, VIRTIO_MMIO_STATUS, 15);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 3 && !f->dev->active);
	negotiate(f, v1 | BIT_ULL(63));
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 3);
	negotiate(f, v1 | BIT(FEATURE));
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 11);
	wr(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(f, VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
	EXPECT(f->dev->driver_features == (v1 | BIT(FEATURE)));
	teardown(f);
}

TEST(virtio_mmio_status_cannot_skip_steps)
{
	struct fixture *f = setup(&echo);

	wr(f, VIRTIO_MMIO_STATUS, 2);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 0);
	wr(f, VIRTIO_MMIO_STATUS, 4);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 0);
	wr(f, VIRTIO_MMIO_STATUS, 0x7f);
	EXPECT(!(rd(f, VIRTIO_MMIO_STATUS) & 0x7c));
	wr(f, VIRTIO_MMIO_STATUS, 0x80);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) & 0x80);
	bring_up(f);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 15);
	wr(f, VIRTIO_MMIO_STATUS, 1);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 15);
	/* Who gives up in the same breath is not there. */
	negotiate(f, BIT_ULL(VIRTIO_F_VERSION_1));
	wr(f, VIRTIO_MMIO_STATUS, 15 | 0x80);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == (11 | 0x80) && !f->dev->active);
	teardown(f);
}

TEST(virtio_mmio_answers_a_request)
{
	struct fixture *f = setup(&echo);

	bring_up(f);
	request(f, 0);
	EXPECT(vr_used_idx(&f->m, 0) == 1);
	EXPECT(f->irqs.levels == BIT(GSI) && rd(f, VIRTIO_MMIO_INTERRUPT_STATUS) == 1);
	wr(f, VIRTIO_MMIO_INTERRUPT_ACK, 2);
	EXPECT(f->irqs.levels == BIT(GSI));
	wr(f, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	EXPECT(!f->irqs.levels && rd(f, VIRTIO_MMIO_INTERRUPT_STATUS) == 0);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0xffffffff);
	EXPECT(!f->irqs.levels);
	teardown(f);
}

TEST(virtio_kicks_are_wanted_from_the_beginning)
{
	struct fixture *f = setup(&echo);

	for (unsigned int again = 0; again < 2; again++) {
		*vr_u16(&f->m, vr_used(1)) = VRING_USED_F_NO_NOTIFY;
		if (!again)
			bring_up(f);
		else
			EXPECT(!virtio_device_pause(f->dev) && !virtio_device_resume(f->dev));
		EXPECT(!*vr_u16(&f->m, vr_used(1)));
	}
	teardown(f);
}

TEST(virtio_kicks_of_a_device_that_rests_do_nothing)
{
	struct fixture *f = setup(&echo);

	bring_up(f);
	EXPECT(!virtio_device_pause(f->dev));
	request(f, 0);
	EXPECT(!vr_used_idx(&f->m, 0));
	EXPECT(!virtio_device_resume(f->dev));
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	EXPECT(vr_used_idx(&f->m, 0) == 1);
	/* What is wrong with one queue is the end of all. */
	vr_publish(&f->m, 0, VR_NUM);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	request(f, 1);
	EXPECT(!vr_used_idx(&f->m, 1));
	teardown(f);
}

TEST(virtio_mmio_reset_forgets_everything)
{
	struct fixture *f = setup(&echo);
	struct echo *e = f->dev->priv;

	bring_up(f);
	EXPECT(e->active == 1);
	request(f, 1);
	EXPECT(f->irqs.levels == BIT(GSI));
	eventfd_signal(f->dev->queue[0].kick_fd);
	eventfd_signal(f->dev->queue[1].kick_fd);
	wr(f, VIRTIO_MMIO_STATUS, 0);
	EXPECT(!eventfd_clear(f->dev->queue[0].kick_fd));
	EXPECT(!eventfd_clear(f->dev->queue[1].kick_fd));
	EXPECT(e->active == 0 && !f->irqs.levels && !f->dev->active);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 0);
	EXPECT(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS) == 0);
	EXPECT(f->dev->driver_features == 0);
	EXPECT(!f->dev->queue[1].ready && !f->dev->queue[1].desc_gpa);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	EXPECT(vr_used_idx(&f->m, 1) == 1);
	bring_up(f);
	request(f, 1);
	EXPECT(vr_used_idx(&f->m, 1) == 1 && e->activations == 2);
	teardown(f);
}

/* Only then are the queues sure to be in memory that is still the driver's. */
TEST(virtio_leave_is_the_drivers_reset_of_an_active_device_only)
{
	struct fixture *f = setup(&echo);
	const struct device_ops *ops = f->dev->dev.ops;
	struct echo *e = f->dev->priv;
	struct state_out out = { 0 };
	struct state_in in;

	wr(f, VIRTIO_MMIO_STATUS, 0);
	bring_up(f);
	EXPECT(!e->leaves);
	wr(f, VIRTIO_MMIO_STATUS, 0);
	EXPECT(e->leaves == 1 && !e->active);
	wr(f, VIRTIO_MMIO_STATUS, 0);
	bring_up(f);
	EXPECT(!ops->pause(&f->dev->dev) && !ops->save(&f->dev->dev, &out));
	wr(f, VIRTIO_MMIO_STATUS, 0);
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(!ops->restore(&f->dev->dev, &in) && !ops->resume(&f->dev->dev));
	EXPECT(e->leaves == 1 && e->active == 1);
	in = (struct state_in){ .buf = out.buf, .len = out.len };
	EXPECT(!ops->restore(&f->dev->dev, &in));
	EXPECT(e->leaves == 1 && !e->active);
	state_out_free(&out);
	teardown(f);
}

TEST(virtio_mmio_bad_ring_needs_reset)
{
	struct fixture *f = setup(&echo);

	negotiate(f, BIT_ULL(VIRTIO_F_VERSION_1));
	setup_queue(f, 0, 65);
	EXPECT(rd(f, VIRTIO_MMIO_QUEUE_READY) == 0);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == (11 | 64));
	EXPECT(f->lines == 1 && !f->irqs.levels);
	wr(f, VIRTIO_MMIO_STATUS, 15);
	EXPECT(!f->dev->active);
	bring_up(f);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 15);
	teardown(f);
}

TEST(virtio_mmio_bad_chain_is_said_once_a_reset_and_bounded)
{
	struct fixture *f = setup(&echo);

	for (unsigned int i = 1; i <= 40; i++) {
		bring_up(f);
		vr_publish(&f->m, 0, VR_NUM);
		wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		EXPECT(rd(f, VIRTIO_MMIO_STATUS) == (15 | 64));
		EXPECT(f->irqs.levels == BIT(GSI));
		EXPECT(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS) == 2);
		EXPECT(f->lines == MIN(i, 32U));
	}
	EXPECT(f->dev->errors == 40);
	teardown(f);
}

TEST(virtio_mmio_queue_is_fixed_once_ready)
{
	struct fixture *f = setup(&echo);

	setup_queue(f, 0, VR_NUM);	/* without ACKNOWLEDGE */
	EXPECT(rd(f, VIRTIO_MMIO_QUEUE_READY) == 0);
	negotiate(f, BIT_ULL(VIRTIO_F_VERSION_1));
	setup_queue(f, 0, VR_NUM);
	EXPECT(rd(f, VIRTIO_MMIO_QUEUE_READY) == 1);
	wr(f, VIRTIO_MMIO_QUEUE_DESC_HIGH, 1);
	wr(f, VIRTIO_MMIO_QUEUE_NUM, 64);
	EXPECT(f->dev->queue[0].desc_gpa == vr_desc(0));
	EXPECT(f->dev->queue[0].size == VR_NUM);
	wr(f, VIRTIO_MMIO_QUEUE_READY, 0);
	EXPECT(rd(f, VIRTIO_MMIO_QUEUE_READY) == 0);
	wr(f, VIRTIO_MMIO_QUEUE_READY, 1);
	/* Each half of an address by itself, as often as the driver likes */
	wr(f, VIRTIO_MMIO_QUEUE_SEL, 1);
	for (u32 i = 2; i; i--) {
		wr(f, VIRTIO_MMIO_QUEUE_USED_HIGH, i);
		wr(f, VIRTIO_MMIO_QUEUE_USED_LOW, 16 * i);
		EXPECT(f->dev->queue[1].used_gpa == ((u64)i << 32 | 16 * i));
	}
	wr(f, VIRTIO_MMIO_QUEUE_SEL, 0);
	wr(f, VIRTIO_MMIO_STATUS, 15);
	wr(f, VIRTIO_MMIO_QUEUE_READY, 0);
	EXPECT(rd(f, VIRTIO_MMIO_QUEUE_READY) == 1);
	setup_queue(f, 1, VR_NUM);	/* too late */
	EXPECT(rd(f, VIRTIO_MMIO_QUEUE_READY) == 0);
	teardown(f);
}

TEST(virtio_mmio_failed_activation_needs_reset)
{
	struct fixture *f = setup(&echo);
	struct echo *e = f->dev->priv;

	e->fail = true;
	bring_up(f);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == (15 | 64));
	EXPECT(!f->dev->active);
	e->fail = false;
	bring_up(f);
	EXPECT(rd(f, VIRTIO_MMIO_STATUS) == 15 && e->active == 1);
	teardown(f);
}

TEST(virtio_mmio_config_change_interrupts_after_driver_ok)
{
	struct fixture *f = setup(&echo);

	virtio_config_changed(f->dev);
	EXPECT(!f->irqs.levels && rd(f, VIRTIO_MMIO_CONFIG_GENERATION) == 1);
	bring_up(f);
	virtio_config_changed(f->dev);
	EXPECT(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS) == 2);
	EXPECT(rd(f, VIRTIO_MMIO_CONFIG_GENERATION) == 2);
	wr(f, VIRTIO_MMIO_STATUS, 0);
	EXPECT(rd(f, VIRTIO_MMIO_CONFIG_GENERATION) == 2);
	teardown(f);
}

TEST(virtio_mmio_threads_get_ioeventfds)
{
	struct fixture *f = setup(&echo_thread);
	u64 v = 0;

	EXPECT(f->ioeventfds == 2);
	bring_up(f);
	request(f, 1);	/* nobody took it: the class's thread would */
	EXPECT(vr_used_idx(&f->m, 1) == 0);
	EXPECT(read(f->dev->queue[1].kick_fd, &v, 8) == 8 && v == 1);
	f->dev->dev.ops->destroy(&f->dev->dev);
	f->dev = NULL;
	EXPECT(f->ioeventfds == 0 && f->bus.nr == 0);
	teardown(f);
}

TEST(virtio_mmio_attach_fails_cleanly)
{
	struct fixture *f = setup_bare(&echo_thread);

	f->ioeventfd_budget = 1;
	EXPECT(virtio_mmio_attach(f->dev, &f->env, GPA, GSI) == -ENOSPC);
	f->dev->dev.ops->destroy(&f->dev->dev);
	EXPECT(f->ioeventfds == 0 && f->bus.nr == 0);

	f->ioeventfd_budget = 100;
	for (unsigned int i = 0; i < 33; i++) {	/* a line has 32 places */
		EXPECT(!virtio_device_create(&f->dev, &echo, "a", f, &f->env, NULL));
		EXPECT(!virtio_mmio_attach(f->dev, &f->env, GPA, GSI));
		f->dev->dev.ops->destroy(&f->dev->dev);
	}
	virtio_device_create(&f->dev, &echo, "a", f, &f->env, NULL);
	EXPECT(!io_bus_register(&f->bus, GPA, 1, NULL, NULL));
	EXPECT(virtio_mmio_attach(f->dev, &f->env, GPA, GSI) == -EEXIST);
	EXPECT(!io_bus_unregister(&f->bus, GPA));
	teardown(f);

	f = setup_bare(&echo);	/* never attached */
	teardown(f);
}

TEST(virtio_device_create_reports_failure)
{
	struct fixture *f = setup(&echo);
	struct virtio_device *dev = NULL;
	struct report r = { 0 };

	EXPECT(virtio_device_create(&dev, &echo, "x", NULL, &f->env, &r) ==
	       -EINVAL);
	EXPECT(!strncmp(r.msg, "echo: no options", 16) && !dev);
	EXPECT(virtio_device_create(&dev, &echo,
				    "a name that is longer than a device may have",
				    f, &f->env, NULL) == -EINVAL);
	teardown(f);
}

TEST(virtio_mmio_restore_continues)
{
	struct fixture *f = setup(&echo);
	struct state_out a = { 0 }, b = { 0 };
	struct state_in in;
	const struct device_ops *ops = f->dev->dev.ops;

	bring_up(f);
	request(f, 0);
	EXPECT(!ops->pause(&f->dev->dev));
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	EXPECT(!ops->save(&f->dev->dev, &a));
	ops->destroy(&f->dev->dev);
	EXPECT(!f->irqs.levels);

	virtio_device_create(&f->dev, &echo, "echo0", f, &f->env, NULL);
	EXPECT(!virtio_mmio_attach(f->dev, &f->env, GPA, GSI));
	for (size_t len = 0; len < a.len; len++) {
		in = (struct state_in){ .buf = a.buf, .len = len };
		EXPECT(ops->restore(&f->dev->dev, &in) == -EPROTO);
		EXPECT(!f->irqs.levels && !f->dev->active);
	}
	a.buf[4] |= 4;	/* an interrupt that there is not */
	in = (struct state_in){ .buf = a.buf, .len = a.len };
	EXPECT(ops->restore(&f->dev->dev, &in) == -EPROTO);
	a.buf[4] &= ~4;
	in = (struct state_in){ .buf = a.buf, .len = a.len };
	EXPECT(!ops->restore(&f->dev->dev, &in));
	EXPECT(in.pos == a.len && f->irqs.levels == BIT(GSI));
	EXPECT(!ops->save(&f->dev->dev, &b));
	EXPECT(a.len == b.len && !memcmp(a.buf, b.buf, a.len));
	EXPECT(!ops->start(&f->dev->dev));
	EXPECT(!ops->resume(&f->dev->dev));
	EXPECT(((struct echo *)f->dev->priv)->active == 1);
	request(f, 0);
	EXPECT(vr_used_idx(&f->m, 0) == 2);
	state_out_free(&a);
	state_out_free(&b);
	teardown(f);
}

TEST(virtio_mmio_restore_refuses_what_a_driver_cannot_reach)
{
	struct fixture *f = setup(&echo);
	struct state_out a = { 0 };
	struct state_in in;
	static const u32 bad_status[] = { 2, 4, 7, 13, 16, 32, 0x100 };

	for (unsigned int i = 0; i < ARRAY_SIZE(bad_status); i++) {
		bring_up(f);
		virtio_device_pause(f->dev);
		f->dev->status = bad_status[i];
		a.len = 0;
		virtio_device_save(f->dev, &a);
		in = (struct state_in){ .buf = a.buf, .len = a.len };
		EXPECT(virtio_device_restore(f->dev, &in) == -EPROTO);
		EXPECT(f->dev->status == 0);
		virtio_device_resume(f->dev);
	}
	/* Queues that are set up before there is a driver; a device that runs without one */
	for (unsigned int i = 0; i < 2; i++) {
		bring_up(f);
		virtio_device_pause(f->dev);
		f->dev->status = i ? 11 : 0;
		f->dev->active = i;
		a.len = 0;
		virtio_device_save(f->dev, &a);
		in = (struct state_in){ .buf = a.buf, .len = a.len };
		EXPECT(virtio_device_restore(f->dev, &in) == -EPROTO);
		virtio_device_resume(f->dev);
	}
	bring_up(f);
	virtio_device_pause(f->dev);
	f->dev->driver_features |= BIT(FEATURE + 1);
	a.len = 0;
	virtio_device_save(f->dev, &a);
	in = (struct state_in){ .buf = a.buf, .len = a.len };
	EXPECT(virtio_device_restore(f->dev, &in) == -EPROTO);
	state_out_free(&a);
	teardown(f);
}

TEST_MAIN(T(virtio_mmio_identifies_itself),
	  T(virtio_mmio_registers_are_32_bit),
	  T(virtio_mmio_config_is_bounded),
	  T(virtio_mmio_features_need_version_1_and_an_offer),
	  T(virtio_mmio_status_cannot_skip_steps),
	  T(virtio_mmio_answers_a_request),
	  T(virtio_kicks_are_wanted_from_the_beginning),
	  T(virtio_kicks_of_a_device_that_rests_do_nothing),
	  T(virtio_mmio_reset_forgets_everything),
	  T(virtio_leave_is_the_drivers_reset_of_an_active_device_only),
	  T(virtio_mmio_bad_ring_needs_reset),
	  T(virtio_mmio_bad_chain_is_said_once_a_reset_and_bounded),
	  T(virtio_mmio_queue_is_fixed_once_ready),
	  T(virtio_mmio_failed_activation_needs_reset),
	  T(virtio_mmio_config_change_interrupts_after_driver_ok),
	  T(virtio_mmio_threads_get_ioeventfds),
	  T(virtio_mmio_attach_fails_cleanly),
	  T(virtio_device_create_reports_failure),
	  T(virtio_mmio_restore_continues),
	  T(virtio_mmio_restore_refuses_what_a_driver_cannot_reach))
