// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of interrupt lines and messages.
 *
 * Theory of operation: the operations that reach KVM are replaced by ones that
 * count and remember; eventfds are real, and are read back.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "kvm/irq.h"
#include "test.h"

struct fake {
	bool level[IRQ_MAX_LINES];
	unsigned int line_calls;
	unsigned int routing_calls;
	unsigned int irqfds;
	u32 nr;
	u32 refuse_hi;
	u32 irqfd_route;
	bool pending;
	int irqfd_error;
	struct kvm_irq_routing_entry entry[16];
};

static int fake_line(void *o, unsigned int gsi, bool level)
{
	struct fake *f = o;

	f->level[gsi] = level;
	f->line_calls++;
	return 0;
}

static int fake_routing(void *o, const struct kvm_irq_routing *table)
{
	struct fake *f = o;

	f->routing_calls++;
	for (u32 i = 0; f->refuse_hi && i < table->nr; i++) {
		if (table->entries[i].type == KVM_IRQ_ROUTING_MSI &&
		    table->entries[i].u.msi.address_hi == f->refuse_hi)
			return -EINVAL;
	}
	f->nr = table->nr;
	for (u32 i = 0; i < table->nr && i < ARRAY_SIZE(f->entry); i++)
		f->entry[i] = table->entries[i];
	return 0;
}

static int fake_irqfd(void *o, int fd, unsigned int gsi, bool on)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct fake *f = o;

	(void)gsi;
	if (f->irqfd_error)
		return f->irqfd_error;
	f->pending = poll(&p, 1, 0) == 1;
	f->irqfds += on ? 1U : -1U;
	f->irqfd_route = f->nr ? f->entry[0].u.msi.data : 0;
	return 0;
}

static const struct irq_chip_ops fake_ops = {
	.set_line = fake_line,
	.set_routing = fake_routing,
	.set_irqfd = fake_irqfd,
};

static u64 count(const struct irq_msi *msi)
{
	u64 v = 0;

	return read(msi->fd, &v, sizeof(v)) == sizeof(v) ? v : 0;
}

TEST(irq_line_is_the_or_of_its_sources)
{
	struct fake f = { 0 };
	struct irq_chip *chip;
	struct irq_line a, b, none;

	EXPECT(!irq_chip_create(&chip, &fake_ops, &f, NULL, 0));
	EXPECT(!irq_line_init(&a, chip, 5));
	EXPECT(!irq_line_init(&b, chip, 5));
	EXPECT(!irq_line_init(&none, NULL, 5));
	irq_line_set(&none, true);
	EXPECT(f.line_calls == 0);
	irq_line_set(&a, true);
	irq_line_set(&b, true);
	irq_line_set(&a, true);
	EXPECT(f.level[5] && f.line_calls == 1);
	irq_line_set(&a, false);
	EXPECT(f.level[5] && f.line_calls == 1);
	irq_line_set(&b, false);
	irq_line_set(&b, false);
	EXPECT(!f.level[5] && f.line_calls == 2);
	irq_chip_destroy(chip);
}

TEST(irq_line_refuses_a_33rd_source_and_a_bad_gsi)
{
	struct fake f = { 0 };
	struct irq_chip *chip;
	struct irq_line line, none;
	int rc = 0;

	EXPECT(!irq_chip_create(&chip, &fake_ops, &f, NULL, 0));
	for (int i = 0; i < 32; i++)
		rc |= irq_line_init(&line, chip, 4);
	EXPECT(!rc);
	EXPECT(irq_line_init(&none, chip, 4) == -ENOSPC);
	EXPECT(irq_line_init(&none, chip, IRQ_MAX_LINES) == -EINVAL);
	/* A place that was given back is lowered, and given out again. */
	irq_line_set(&line, true);
	irq_line_free(&line);
	irq_line_free(&line);
	EXPECT(!f.level[4]);
	EXPECT(!irq_line_init(&line, chip, 4) && line.source == 31);
	EXPECT(irq_line_init(&none, chip, 4) == -ENOSPC);
	irq_chip_destroy(chip);
}

TEST(irq_msi_routes_are_committed_once_at_the_first_signal)
{
	struct kvm_irq_routing_entry fixed = { .gsi = 3 };
	struct fake f = { 0 };
	struct irq_msi m[2];
	struct irq_chip *chip;

	EXPECT(!irq_chip_create(&chip, &fake_ops, &f, &fixed, 1));
	EXPECT(!irq_commit(chip) && f.nr == 1 && f.entry[0].gsi == 3);
	EXPECT(!irq_msi_alloc(chip, &m[0]) && !irq_msi_alloc(chip, &m[1]));
	EXPECT(f.irqfds == 0);
	EXPECT(!irq_msi_set(chip, &m[0], 0xfee00000, 0x31));
	EXPECT(!irq_msi_set(chip, &m[1], 0x1fee01000, 0x32));
	EXPECT(f.irqfds == 2 && f.routing_calls == 1);
	irq_msi_signal(chip, &m[0]);
	irq_msi_signal(chip, &m[1]);
	irq_msi_signal(chip, &m[1]);
	EXPECT(f.routing_calls == 2 && f.nr == 3);
	EXPECT(f.entry[1].gsi == 24 && f.entry[1].u.msi.data == 0x31);
	EXPECT(f.entry[2].gsi == 25 && f.entry[2].u.msi.address_hi == 1);
	EXPECT(count(&m[0]) == 1 && count(&m[1]) == 2);
	EXPECT(!irq_msi_set(chip, &m[0], 0xfee00000, 0x31));
	irq_msi_signal(chip, &m[0]);
	EXPECT(f.routing_calls == 2);
	irq_msi_free(chip, &m[0]);
	irq_msi_free(chip, &m[1]);
	irq_msi_free(chip, &m[1]);
	EXPECT(f.irqfds == 0);
	irq_chip_destroy(chip);
}

/* What was written meanwhile goes out as soon as the irqfd is attached. */
TEST(irq_msi_listen_attaches_after_the_route_is_there)
{
	struct fake f = { 0 };
	struct irq_msi msi;
	struct irq_chip *chip;

	EXPECT(!irq_chip_create(&chip, &fake_ops, &f, NULL, 0));
	EXPECT(!irq_msi_alloc(chip, &msi));
	EXPECT(!irq_msi_listen(chip, &msi, 0xfee00000, 0x31, true));
	EXPECT(f.irqfds == 1 && f.irqfd_route == 0x31);
	EXPECT(!irq_msi_listen(chip, &msi, 0, 0, false) && f.irqfds == 0);
	EXPECT(!irq_msi_listen(chip, &msi, 0xfee00000, 0x32, true));
	EXPECT(f.irqfds == 1 && f.irqfd_route == 0x32);
	EXPECT(f.routing_calls == 2 && f.nr == 1);
	irq_msi_free(chip, &msi);
	EXPECT(f.irqfds == 0);
	irq_chip_destroy(chip);
}

/* KVM sends what it finds, and does not read it. */
TEST(irq_msi_listen_sends_what_was_written_while_masked_once)
{
	struct fake f = { .irqfd_error = -ENOMEM };
	struct irq_msi msi;
	struct irq_chip *chip;
	u64 two = 2;

	EXPECT(!irq_chip_create(&chip, &fake_ops, &f, NULL, 0));
	EXPECT(!irq_msi_alloc(chip, &msi));
	EXPECT(write(msi.fd, &two, sizeof(two)) == sizeof(two));
	EXPECT(irq_msi_listen(chip, &msi, 0xfee00000, 0x31, true) == -ENOMEM);
	f.irqfd_error = 0;
	EXPECT(!irq_msi_listen(chip, &msi, 0xfee00000, 0x31, true));
	EXPECT(f.pending && count(&msi) == 0);
	EXPECT(!irq_msi_listen(chip, &msi, 0, 0, false));
	EXPECT(!irq_msi_listen(chip, &msi, 0xfee00000, 0x31, true));
	EXPECT(!f.pending);
	irq_msi_free(chip, &msi);
	irq_chip_destroy(chip);
}

TEST(irq_msi_refused_by_kvm_goes_nowhere)
{
	struct fake f = { .refuse_hi = 7 };
	struct irq_msi msi, lent;
	struct irq_chip *chip;

	EXPECT(!irq_chip_create(&chip, &fake_ops, &f, NULL, 0));
	EXPECT(!irq_msi_alloc(chip, &msi) && !irq_msi_alloc(chip, &lent));
	EXPECT(!irq_msi_set(chip, &msi, 0xfee00000, 1));
	irq_msi_signal(chip, &msi);
	EXPECT(!irq_msi_listen(chip, &lent, 0xfee00000, 2, true));
	EXPECT(f.nr == 2 && count(&msi) == 1);
	/* Not where it went before, either */
	EXPECT(!irq_msi_set(chip, &msi, 7ULL << 32, 1));
	irq_msi_signal(chip, &msi);
	EXPECT(f.nr == 1 && f.entry[0].u.msi.data == 2 && !count(&msi));
	EXPECT(irq_msi_listen(chip, &lent, 7ULL << 32, 2, true) == -EINVAL);
	EXPECT(f.nr == 0);
	EXPECT(!irq_msi_set(chip, &msi, 0xfee00000, 3));
	irq_msi_signal(chip, &msi);
	EXPECT(f.nr == 1 && f.entry[0].u.msi.data == 3 && count(&msi) == 1);
	irq_msi_free(chip, &msi);
	irq_msi_free(chip, &lent);
	irq_chip_destroy(chip);
}

TEST(irq_msi_refused_by_kvm_does_not_silence_others)
{
	struct fake f = { .refuse_hi = 7 };
	struct irq_msi bad, good;
	struct irq_chip *chip;

	EXPECT(!irq_chip_create(&chip, &fake_ops, &f, NULL, 0));
	EXPECT(!irq_msi_alloc(chip, &bad) && !irq_msi_alloc(chip, &good));
	irq_msi_set(chip, &bad, 7ULL << 32, 1);
	irq_msi_set(chip, &good, 0xfee00000, 2);
	irq_msi_signal(chip, &good);
	EXPECT(count(&good) == 1 && f.nr == 1);
	irq_msi_signal(chip, &bad);
	EXPECT(count(&bad) == 0);
	irq_msi_signal(chip, &good);
	EXPECT(count(&good) == 1 && f.nr == 1);
	irq_msi_free(chip, &bad);
	irq_msi_free(chip, &good);
	irq_chip_destroy(chip);
}

TEST(irq_msi_slots_end_and_are_reused)
{
	static struct irq_msi m[IRQ_MAX_MSI];
	struct fake f = { 0 };
	struct irq_chip *chip;
	struct irq_msi more;
	unsigned int nr = 0;
	int rc = 0;

	EXPECT(!irq_chip_create(&chip, &fake_ops, &f, NULL, 0));
	while (nr < IRQ_MAX_MSI && !rc)
		rc = irq_msi_alloc(chip, &m[nr++]);
	if (!rc)
		EXPECT(irq_msi_alloc(chip, &more) == -ENOSPC);
	else
		nr--;
	irq_msi_free(chip, &m[7]);
	EXPECT(!irq_msi_alloc(chip, &m[7]) && m[7].gsi == 24 + 7);
	while (nr-- > 0)
		irq_msi_free(chip, &m[nr]);
	irq_chip_destroy(chip);
}

TEST_MAIN(T(irq_line_is_the_or_of_its_sources),
	  T(irq_line_refuses_a_33rd_source_and_a_bad_gsi),
	  T(irq_msi_routes_are_committed_once_at_the_first_signal),
	  T(irq_msi_listen_attaches_after_the_route_is_there),
	  T(irq_msi_listen_sends_what_was_written_while_masked_once),
	  T(irq_msi_refused_by_kvm_goes_nowhere),
	  T(irq_msi_refused_by_kvm_does_not_silence_others),
	  T(irq_msi_slots_end_and_are_reused))
