// SPDX-License-Identifier: GPL-2.0-only
/*
 * The configuration fragment, and what it is compared with.
 */
#include <string.h>
#include "kvm/kconfig.h"
#include "tests/unit/test.h"

TEST(options_are_read_with_their_groups)
{
	const char *at = "# base\nCONFIG_A=y\n# a comment\nCONFIG_B=-1\n\n# fs\nCONFIG_C=y";
	struct kconfig_option o = { "", "", "" };

	EXPECT(kconfig_next(&at, &o));
	EXPECT(!strcmp(o.name, "A") && !strcmp(o.group, "base"));
	EXPECT(kconfig_next(&at, &o));
	EXPECT(!strcmp(o.name, "B") && !strcmp(o.value, "-1") &&
	       !strcmp(o.group, "base"));
	EXPECT(kconfig_next(&at, &o));
	EXPECT(!strcmp(o.name, "C") && !strcmp(o.group, "fs"));
	EXPECT(!kconfig_next(&at, &o));
}

TEST(modules_satisfy_and_other_values_do_not)
{
	static const char config[] =
		"CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=5\nCONFIG_AB=y\n";
	static const struct {
		struct kconfig_option o;
		bool satisfied;
	} row[] = {
		{ { "A", "y", "" }, true },
		{ { "B", "y", "" }, true },
		{ { "C", "y", "" }, false },
		{ { "A", "m", "" }, true },
		{ { "B", "m", "" }, true },
		{ { "C", "m", "" }, false },
		{ { "D", "m", "" }, false },
		{ { "D", "y", "" }, false },
		{ { "A", "my", "" }, false },
		{ { "A", "n", "" }, false },
		{ { "D", "5", "" }, true },
		{ { "D", "-1", "" }, false },
		{ { "AB", "y", "" }, true },
		{ { "ABC", "y", "" }, false },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++)
		EXPECT(kconfig_satisfied(config, &row[i].o) == row[i].satisfied);
}

TEST(last_line_of_an_option_decides)
{
	static const char config[] =
		"CONFIG_A=n\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_D=y\n"
		"CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=n\n# CONFIG_D is not set";
	static const struct kconfig_option row[] = {
		{ "A", "y", "" }, { "B", "y", "" }, { "C", "y", "" }, { "D", "y", "" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++)
		EXPECT(kconfig_satisfied(config, &row[i]) == (i < 2));
}

TEST(odd_lines_are_passed_over)
{
	char text[400];
	const char *at = text;
	struct kconfig_option o = { "", "", "" };

	memset(text, 'x', sizeof(text));
	memcpy(text, "CONFIG_\nCONFIG_=y\nCONFIG_A=\n=y\nCONFIG_", 38);
	memcpy(text + 300, "=y\nCONFIG_Z=y", 14);
	EXPECT(kconfig_next(&at, &o) && !strcmp(o.name, "Z"));
}

TEST(every_option_has_a_cost_of_its_group_at_least)
{
	const char *at = guest_kconfig();
	struct kconfig_option o = { "", "", "" };
	unsigned int n = 0;

	while (kconfig_next(&at, &o)) {
		EXPECT(o.group[0]);
		EXPECT(strcmp(kconfig_cost(&o), "something may not work"));
		EXPECT(kconfig_satisfied(guest_kconfig(), &o));
		n++;
	}
	EXPECT(n > 60);
}

/* What a heading says is not what each option below it costs. */
TEST(costs_are_those_of_the_option)
{
	static const struct {
		struct kconfig_option o;
		const char *cost;
	} row[] = {
		{ { "IKCONFIG", "y", "base" }, "configured" },
		{ { "64BIT", "y", "base" }, "booted" },
		{ { "EARLY_PRINTK", "y", "base" }, "early" },
		{ { "FUTEX", "y", "base" }, "programs" },
		{ { "TMPFS", "y", "fs" }, "file system" },
		{ { "TMPFS_XATTR", "y", "fs" }, "attributes" },
		{ { "PCI", "y", "guest" }, "transport" },
		{ { "PCI_MSI", "y", "guest" }, "PCI is slower" },
		{ { "HOTPLUG_PCI", "y", "guest" }, "attach" },
		{ { "COMPACTION", "y", "virtio" }, "memory" },
		{ { "IP_PNP", "y", "net" }, "ip=" },
		{ { "INET", "y", "net" }, "no network" },
		{ { "PANIC_TIMEOUT", "-1", "tests" }, "panic" },
		{ { "CRASH_DUMP", "y", "tests" }, "kdump" },
		{ { "", "y", "" }, "something" },
		{ { "9P", "y", "" }, "something" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++)
		EXPECT(strstr(kconfig_cost(&row[i].o), row[i].cost));
}

/* One that kernels before 6.9 do not have, and that nobody could set there */
TEST(older_name_of_an_option_satisfies)
{
	const struct kconfig_option o = { "VMCORE_INFO", "y", "" };
	const struct kconfig_option other = { "CRASH_DUMP", "y", "" };

	EXPECT(kconfig_satisfied("CONFIG_CRASH_CORE=y\n", &o));
	EXPECT(kconfig_satisfied("CONFIG_VMCORE_INFO=y\n", &o));
	EXPECT(!kconfig_satisfied("# CONFIG_CRASH_CORE is not set\n", &o));
	EXPECT(!kconfig_satisfied("CONFIG_CRASH_CORE=y\n", &other));
}

TEST_MAIN(T(options_are_read_with_their_groups),
	  T(modules_satisfy_and_other_values_do_not),
	  T(last_line_of_an_option_decides),
	  T(odd_lines_are_passed_over),
	  T(every_option_has_a_cost_of_its_group_at_least),
	  T(costs_are_those_of_the_option),
	  T(older_name_of_an_option_satisfies))
