// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest's kernel should be configured with.
 *
 * Theory of operation: guest/lkvm_guest.config is the list, with a heading of one
 * word above each group. Here is what is lost without an option: for those that
 * cost something of their own by name, for others by group. A .config satisfies
 * "y" with "m" and "m" with "y" as well; other values have to be the same.
 *
 * Text in, text out; no state. Lines that are too long are passed over.
 */
#include <stdio.h>
#include <string.h>

#include "kvm/kconfig.h"

static const struct {
	const char *name;
	const char *cost;
} by_name[] = {
	{ "BLK_DEV_INITRD", "no initrd, so no command and no shell" },
	{ "BINFMT_SCRIPT", "scripts cannot be run" },
	{ "UNIX98_PTYS", "no terminals for commands" },
	{ "MODULES", "nothing can be loaded; all drivers have to be built in" },
	{ "RD_GZIP", "no initrd that gzip packed" },
	{ "RD_ZSTD", "no initrd that zstd packed" },
	{ "DEVTMPFS", "only a handful of device nodes" },
	{ "OVERLAY_FS", "the host's root is read-only in the guest" },
	{ "FUSE_FS", "no directories of the host" },
	{ "VIRTIO_FS", "no directories of the host" },
	{ "NET_9P_VIRTIO", "no directories of the host over 9p" },
	{ "9P_FS", "no directories of the host over 9p" },
	{ "EXT4_FS", "no ext4 disks" },
	{ "KVM_GUEST", "no clock of the host, slower spinning and interrupts" },
	{ "PVH", "vmlinux is entered in another way" },
	{ "X86_X2APIC", "at most 255 CPUs" },
	{ "ACPI", "no power-off: it ends by a restart" },
	{ "PCI", "devices only with --virtio-transport mmio" },
	{ "SERIAL_8250", "no console, and no way to see why it does not boot" },
	{ "SERIAL_8250_CONSOLE", "no console, and no way to see why it does not boot" },
	{ "VIRTIO_CONSOLE", "commands talk over a serial port, slowly; no --port" },
	{ "VIRTIO_PCI", "devices only with --virtio-transport mmio" },
	{ "VIRTIO_MMIO", "no --virtio-transport mmio" },
	{ "VIRTIO_BLK", "no disks" },
	{ "VIRTIO_NET", "no network" },
	{ "VIRTIO_BALLOON", "no --balloon: memory does not go back to the host" },
	{ "VIRTIO_MEM", "memory cannot be added or removed" },
	{ "HW_RANDOM_VIRTIO", "no --rng" },
	{ "VSOCKETS", "no --vsock" },
	{ "VIRTIO_VSOCKETS", "no --vsock" },
	{ "HOTPLUG_PCI_ACPI", "no attach and detach while it runs" },
	{ "PVPANIC", "panics are known only by what the console says" },
	{ "MAGIC_SYSRQ", "the guest cannot be asked to show its state" },
	{ "IKCONFIG_PROC", "the guest does not say how it was configured" },
};

static const struct {
	const char *group;
	const char *cost;
} by_group[] = {
	{ "base", "programs may not run" },
	{ "fs", "a file system is missing" },
	{ "guest", "the kernel does not know that it is a guest" },
	{ "console", "no console" },
	{ "virtio", "a device has no driver" },
	{ "net", "no network" },
	{ "tests", "a crash says less" },
};

/* "# word": a heading */
static void heading(struct kconfig_option *o, const char *line, size_t len)
{
	if (len < 3 || memcmp(line, "# ", 2) || memchr(line + 2, ' ', len - 2) ||
	    len - 2 >= sizeof(o->group))
		return;
	snprintf(o->group, sizeof(o->group), "%.*s", (int)len - 2, line + 2);
}

static bool option(struct kconfig_option *o, const char *line, size_t len)
{
	static const char prefix[] = "CONFIG_";
	const size_t skip = sizeof(prefix) - 1;
	const char *equals = memchr(line, '=', len);
	size_t name_len;

	if (!equals || len < skip || memcmp(line, prefix, skip))
		return false;
	name_len = equals - line - skip;
	len -= equals + 1 - line;
	if (!name_len || name_len >= sizeof(o->name) || !len ||
	    len >= sizeof(o->value))
		return false;
	snprintf(o->name, sizeof(o->name), "%.*s", (int)name_len, line + skip);
	snprintf(o->value, sizeof(o->value), "%.*s", (int)len, equals + 1);
	return true;
}

bool kconfig_next(const char **at, struct kconfig_option *o)
{
	while (**at) {
		const char *line = *at;
		size_t len = strcspn(line, "\n");

		*at += len + (line[len] == '\n');
		if (option(o, line, len))
			return true;
		heading(o, line, len);
	}
	return false;
}

/* Or can be loaded */
static bool is_in_kernel(const char *value)
{
	return (*value == 'y' || *value == 'm') && !value[1];
}

bool kconfig_satisfied(const char *config, const struct kconfig_option *o)
{
	struct kconfig_option have = { "", "", "" };
	const char *behind = config;
	char unset[sizeof(o->name) + 32];
	bool ok = false;

	/* Of several lines the last one counts, as when the kernel reads it. */
	while (kconfig_next(&config, &have)) {
		if (strcmp(have.name, o->name))
			continue;
		ok = !strcmp(have.value, o->value) ||
		     (is_in_kernel(o->value) && is_in_kernel(have.value));
		behind = config;
	}
	snprintf(unset, sizeof(unset), "# CONFIG_%s is not set", o->name);
	return ok && !strstr(behind, unset);
}

const char *kconfig_cost(const struct kconfig_option *o)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(by_name); i++)
		if (!strcmp(by_name[i].name, o->name))
			return by_name[i].cost;
	for (unsigned int i = 0; i < ARRAY_SIZE(by_group); i++)
		if (!strcmp(by_group[i].group, o->group))
			return by_group[i].cost;
	return "something may not work";
}
