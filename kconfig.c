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

/*
 * Words between spaces, options or groups, each list with what it costs not to have one
 * of them. A group has one if not each of its options has. Text alone needs no pointers.
 */
static const char costs[] =
	" BLK_DEV_INITRD \0no initrd, so no command and no shell\0"
	" 64BIT \0it cannot be booted\0"
	" SMP \0it has one CPU\0"
	" EXPERT \0fewer of these can be set\0"
	" PRINTK \0no kernel log\0"
	" EARLY_PRINTK SERIAL_EARLYCON \0no early messages\0"
	" MULTIUSER \0all run as root\0"
	" KALLSYMS \0no names in backtraces\0"
	" BINFMT_SCRIPT \0scripts cannot be run\0"
	" UNIX98_PTYS \0no terminals for commands\0"
	" MODULES \0nothing can be loaded; all drivers have to be built in\0"
	" RD_GZIP \0no initrd that gzip packed\0"
	" RD_ZSTD \0no initrd that zstd packed\0"
	" IKCONFIG IKCONFIG_PROC \0the guest does not say how it was configured\0"
	" DEVTMPFS \0only a handful of device nodes\0"
	" DEVTMPFS_MOUNT \0/dev may be empty\0"
	" TMPFS_POSIX_ACL TMPFS_XATTR 9P_FS_POSIX_ACL \0no ACLs or attributes\0"
	" OVERLAY_FS \0the host's root is read-only in the guest\0"
	" FUSE_FS VIRTIO_FS \0no directories of the host\0"
	" NETWORK_FILESYSTEMS NET_9P NET_9P_VIRTIO 9P_FS \0no directories of the host over 9p\0"
	" EXT4_FS \0no ext4 disks\0"
	" KVM_GUEST \0no clock of the host, slower spinning and interrupts\0"
	" PVH \0vmlinux is entered in another way\0"
	" X86_X2APIC \0at most 255 CPUs\0"
	" ACPI \0no power-off: it ends by a restart\0"
	" PCI VIRTIO_PCI \0devices only with --virtio-transport mmio\0"
	" PCI_MSI PCI_MMCONFIG \0PCI is slower\0"
	" HOTPLUG_PCI HOTPLUG_PCI_ACPI \0no attach and detach while it runs\0"
	" PTP_1588_CLOCK PTP_1588_CLOCK_KVM \0no /dev/ptp0\0"
	" TTY SERIAL_8250 SERIAL_8250_CONSOLE \0"
	"no console, and no way to see why it does not boot\0"
	" VIRTIO_CONSOLE \0commands talk over a serial port, slowly; no --port\0"
	" VIRTIO_MMIO \0no --virtio-transport mmio\0"
	" BLOCK BLK_DEV VIRTIO_BLK \0no disks\0"
	" VIRTIO_BALLOON \0no --balloon: memory does not go back to the host\0"
	" MEMORY_HOTPLUG MEMORY_HOTREMOVE MIGRATION COMPACTION VIRTIO_MEM \0"
	"memory cannot be added or removed\0"
	" HW_RANDOM HW_RANDOM_VIRTIO \0no --rng\0"
	" VSOCKETS VIRTIO_VSOCKETS \0no --vsock\0"
	" PACKET \0no DHCP\0"
	" IP_PNP \0no ip=\0"
	" PVPANIC PVPANIC_MMIO \0panics are known only by what the console says\0"
	" PVPANIC_PCI \0nothing: lkvm has no such device\0"
	" MAGIC_SYSRQ \0the guest cannot be asked to show its state\0"
	" PANIC_TIMEOUT \0it stays after a panic, with --nodefaults\0"
	" KEXEC VMCORE_INFO CRASH_DUMP \0no kdump\0"
	" base UNIX \0programs may not run\0"
	" fs \0no such file system\0"
	" guest \0the kernel does not know that it is a guest\0"
	" VIRTIO_MENU \0devices have no drivers\0"
	" net VIRTIO_NET \0no network\0";

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

/* CRASH_CORE was split in 6.9. Nobody sets either: KEXEC and CRASH_DUMP select them. */
static bool is_same(const char *have, const char *wanted)
{
	return !strcmp(have, wanted) ||
	       (!strcmp(have, "CRASH_CORE") && !strcmp(wanted, "VMCORE_INFO"));
}

bool kconfig_satisfied(const char *config, const struct kconfig_option *o)
{
	struct kconfig_option have = { "", "", "" };
	const char *behind = config;
	char unset[sizeof(o->name) + 32];
	bool ok = false;

	/* Of several lines the last one counts, as when the kernel reads it. */
	while (kconfig_next(&config, &have)) {
		if (!is_same(have.name, o->name))
			continue;
		ok = !strcmp(have.value, o->value) ||
		     (is_in_kernel(o->value) && is_in_kernel(have.value));
		behind = config;
	}
	snprintf(unset, sizeof(unset), "# CONFIG_%s is not set", o->name);
	return ok && !strstr(behind, unset);
}

static const char *cost_of(const char *word)
{
	char between[sizeof(((struct kconfig_option *)0)->name) + 2];
	const char *cost;

	snprintf(between, sizeof(between), " %s ", word);
	for (const char *at = costs; *at; at = cost + strlen(cost) + 1) {
		cost = at + strlen(at) + 1;
		if (strstr(at, between))
			return cost;
	}
	return NULL;
}

const char *kconfig_cost(const struct kconfig_option *o)
{
	const char *cost = cost_of(o->name);

	if (!cost)
		cost = cost_of(o->group);
	return cost ? cost : "something may not work";
}
