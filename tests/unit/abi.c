// SPDX-License-Identifier: GPL-2.0-only
/* The rows of the ABI table that the program itself uses. */
#include <linux/kvm.h>
#include <string.h>

#include "kvm/abi.h"
#include "test.h"

TEST(exits_have_names_and_numbers)
{
	const struct abi_row *row = abi_exit(KVM_EXIT_MMIO);

	EXPECT(row && row->nr == KVM_EXIT_MMIO);
	EXPECT(row && !strcmp(row->name, "KVM_EXIT_MMIO"));
}

TEST(ignored_exit_says_why)
{
	const struct abi_row *row = abi_exit(KVM_EXIT_XEN);

	EXPECT(row && row->why[0]);
}

TEST(numbers_newer_than_the_table_are_unknown)
{
	EXPECT(!abi_exit(0xffffffff));
	EXPECT(!abi_suberror(0xffffffff));
	EXPECT(!abi_event(0));
}

TEST(suberrors_have_words_for_the_user)
{
	for (u32 i = KVM_INTERNAL_ERROR_EMULATION;
	     i <= KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON; i++) {
		const struct abi_row *row = abi_suberror(i);

		EXPECT(row && strlen(row->why) > 10);
	}
}

TEST(events_know_shutdown)
{
	const struct abi_row *row = abi_event(KVM_SYSTEM_EVENT_SHUTDOWN);

	EXPECT(row && row->nr == KVM_SYSTEM_EVENT_SHUTDOWN);
}

TEST(required_capabilities_are_a_list_with_an_end)
{
	const struct abi_row *cap;
	bool irqfd = false;
	unsigned int i;

	for (i = 0; (cap = abi_required_cap(i)); i++) {
		EXPECT(!strncmp(cap->name, "KVM_CAP_", 8) && cap->why[0]);
		irqfd |= cap->nr == KVM_CAP_IRQFD;
	}
	EXPECT(i > 0 && irqfd);
	EXPECT(!abi_required_cap(i + 1));
}

TEST_MAIN(T(exits_have_names_and_numbers), T(ignored_exit_says_why),
	  T(numbers_newer_than_the_table_are_unknown),
	  T(suberrors_have_words_for_the_user), T(events_know_shutdown),
	  T(required_capabilities_are_a_list_with_an_end))
