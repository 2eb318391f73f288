// SPDX-License-Identifier: GPL-2.0-only
/*
 * The init that lkvm puts into its guests.
 *
 * Theory of operation: a program without a libc that lkvm carries in its binary
 * and places in an initramfs, together with a file that says what is wanted. It
 * mounts what a kernel offers, loads modules, opens the port to the host, makes
 * the root, starts a command in it and moves bytes, and starts others while that
 * one runs (sessions.c); its last word is how the first ended. Then the host takes
 * the machine away. Whatever stops it before
 * is told to the host, with the status that lkvm is to return. Without a port
 * there is nobody to tell: a line goes to the kernel's log, and the machine is
 * turned off, which the host knows from an orderly end by not having heard.
 *
 * It is process 1 and runs as root; the command is another process and may be
 * anybody. One thread. Documentation/guest-protocol.md has the protocol.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/mman.h>
#include <linux/reboot.h>
#include <linux/time_types.h>

#include "init.h"
#include "sys.h"

#define KLOG_BYTES 0x40000UL
#define PATIENCE_S 30

void init_main(const long *stack) __attribute((used, noreturn));

#if defined(__x86_64__)
asm(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call init_main\n");
#endif

static void __attribute((noreturn)) leave(void)
{
	/* Kernels without ACPI would stand still instead of powering off. */
	SYS(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
	    LINUX_REBOOT_CMD_RESTART, 0);
	for (;;)
		SYS(__NR_pause, 0);
}

/* The host ends the machine when it has read what we sent last. */
static void __attribute((noreturn)) wait_for_end(void)
{
	struct __kernel_timespec t = { .tv_sec = PATIENCE_S };

	SYS(__NR_nanosleep, (long)&t, 0);
	leave();
}

void init_fail(struct port *p, u32 status, const char *what, int err)
{
	port_error(p, 0, status, what, err);
	port_drain(p);
	wait_for_end();
}

/* So that none of what is opened becomes standard input, output or error. */
static void fill_descriptors(void)
{
	long fd;

	do {
		fd = sys_open("/dev/null", O_RDWR, 0);
		if (fd < 0)
			fd = sys_open("/", O_RDONLY | O_DIRECTORY, 0);
	} while (fd >= 0 && fd < 3);
	if (fd >= 3)
		sys_close(fd);
}

void send_notes(struct port *p, const struct notes *n, struct frame_of of)
{
	for (size_t at = 0; at < n->len; at += strlen(n->text + at) + 1)
		port_put(p, of, n->text + at,
			 MIN(strlen(n->text + at),
			     (size_t)GUEST_PROTO_TEXT_MAX));
}

static void send_klog(struct port *p)
{
	long buf = SYS(__NR_mmap, 0, KLOG_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long len, at = 0;

	if (buf < 0 && buf > -4096)
		return;
	len = SYS(__NR_syslog, 3, buf, KLOG_BYTES);
	while (at < len) {
		long n = MIN(len - at, (long)GUEST_PROTO_DATA_MAX);

		port_put(p, (struct frame_of){ GUEST_KLOG, 0, 0 },
			 (const u8 *)buf + at, n);
		at += n;
	}
}

void init_report(struct port *p, u16 session, int status)
{
	struct guest_exit e = {
		.kind = htole32(status & 0x7f ? GUEST_KILLED : GUEST_EXITED),
		.value = htole32(status & 0x7f ? status & 0x7f :
				 (status >> 8) & 0xff),
	};
	char taint[32];

	if (file_read("/proc/sys/kernel/tainted", taint, sizeof(taint)) > 0)
		e.taint = htole64(text_number(taint));
	port_put(p, (struct frame_of){ GUEST_EXIT, 0, session }, &e, sizeof(e));
}

static void setup(struct port *p, const struct config *c, struct notes *n)
{
	const char *what;
	int err;

	what = root_setup(c, n, &err);
	if (!what)
		what = root_shares(c, n, &err);
	if (what) {
		send_notes(p, n, (struct frame_of){ GUEST_NOTE, 0, 0 });
		root_settle(c);
		init_fail(p, STATUS_ERROR, what, err);
	}
	network_up(c, n);
	if (user_is_another(c) && !users_known())
		note(n, "the kernel has no MULTIUSER: root runs the command", NULL,
		     NULL);
	send_notes(p, n, (struct frame_of){ GUEST_NOTE, 0, 0 });
}

void init_main(const long *stack)
{
	static struct config config;
	static struct notes notes;
	static struct port port;
	int err, status;
	u32 window;

	(void)stack;
	root_early();
	fill_descriptors();
	sessions_init();
	err = config_read(&config, "/" GUEST_PROTO_CONFIG);
	modules_load(&config, &notes);
	if (port_open(&port, config.serial, &notes) < 0) {
		file_write("/dev/kmsg", "<3>lkvm: init finds no port to the host\n");
		leave();
	}
	if (err)
		init_fail(&port, STATUS_ERROR, GUEST_PROTO_CONFIG, err);
	setup(&port, &config, &notes);
	window = port_hello(&port);
	if (!window)
		init_fail(&port, STATUS_ERROR, "the host's greeting", -EINVAL);
	status = sessions_run(&port, &config, window);
	if (config.klog)
		send_klog(&port);
	notes.len = 0;
	if (!root_settle(&config))
		note(&notes, "what has no end was left: disks may lack what was written",
		     NULL, NULL);
	send_notes(&port, &notes, (struct frame_of){ GUEST_NOTE, 0, 0 });
	init_report(&port, 0, status);
	port_drain(&port);
	wait_for_end();
}
