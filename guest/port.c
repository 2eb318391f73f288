// SPDX-License-Identifier: GPL-2.0-only
/*
 * The connection to the host.
 *
 * Theory of operation: a virtio-console port, found by its name in sysfs, or the
 * second serial port, raw, which is where a kernel without the driver of the first is
 * heard as well. A port appears when the driver gets to it, which may be after init:
 * kernel events say when to look again (without a network stack, a clock does). The
 * first write waits for the host, what follows does not wait. Frames are made in place
 * in the output buffer, and read whole. The host is believed: it could do with this
 * guest as it likes anyway.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/termbits.h>
#include <linux/netlink.h>
#include <linux/time_types.h>

#include "init.h"
#include "sys.h"

#define PORTS "/sys/class/virtio-ports/"
#define DRIVER "/sys/bus/virtio/drivers/virtio_console"
#define DEVICES "/sys/bus/virtio/devices/"
#define NODE "/lkvm/ctl"
#define FAMILY_NETLINK 16
#define SOCKET_RAW 3
#define PATIENCE 1000
#define TRY_MS 10
/* Until then a bus without a device may get one. */
#define BUS_TRIES 50
#define SERIAL_WINDOW 1024

static int events_open(void)
{
	struct sockaddr_nl a = { .nl_family = FAMILY_NETLINK, .nl_groups = 1 };
	int fd = sys_socket(FAMILY_NETLINK, SOCKET_RAW | O_CLOEXEC,
			    NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && SYS(__NR_bind, fd, (long)&a, sizeof(a)) < 0) {
		sys_close(fd);
		fd = -1;
	}
	return fd;
}

static void events_wait(int fd)
{
	struct __kernel_timespec t = { .tv_nsec = TRY_MS * 1000000LL };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char event[2048];

	/* An event without this is waited for a little longer than it takes. */
	if (SYS(__NR_ppoll, (long)&p, fd >= 0, (long)&t, 0, 0) > 0)
		sys_read(fd, event, sizeof(event));
}

/* "MAJOR:MINOR" of sysfs, as mknod() has it */
static u32 device_number(const char *s)
{
	u32 major = text_number(s), minor = 0;

	while (*s && *s != ':')
		s++;
	if (*s)
		minor = text_number(s + 1);
	return (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
}

/* Return: whether the port @entry of sysfs is ours; then it is at NODE */
static bool port_is_ours(const char *entry)
{
	char path[128], text[128];
	long n;

	n = file_read(text_join(path, sizeof(path), PORTS, entry, "/name"), text,
		      sizeof(text));
	if (n <= 0)
		return false;
	if (text[n - 1] == '\n')
		text[n - 1] = 0;
	if (!text_equal(text, GUEST_PROTO_PORT))
		return false;
	n = file_read(text_join(path, sizeof(path), PORTS, entry, "/dev"), text,
		      sizeof(text));
	return n > 0 && !SYS(__NR_mknodat, -100, (long)NODE, NODE_CHAR | 0600,
			     device_number(text));
}

static int open_virtio(void)
{
	bool found = false;
	int events;

	if (SYS(__NR_faccessat, -100, (long)DRIVER, 0))
		return -ENODEV;
	events = events_open();
	for (unsigned int i = 0; i < PATIENCE && !found; i++) {
		found = dir_find(PORTS, port_is_ours);
		/* Drivers of a bus are there by now, and have found what is on it. */
		if (i == BUS_TRIES && !dir_find(DEVICES, NULL))
			break;
		if (!found)
			events_wait(events);
	}
	if (events >= 0)
		sys_close(events);
	return found ? sys_open(NODE, O_RDWR | O_CLOEXEC, 0) : -ENODEV;
}

static int open_serial(void)
{
	int fd = sys_open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	struct termios t = {
		.c_cflag = CS8 | CREAD | CLOCAL | B115200,
	};

	if (fd < 0)
		return fd;
	t.c_cc[VMIN] = 1;
	sys_ioctl(fd, TCSETS, &t);
	return fd;
}

int port_open(struct port *p, bool serial, struct notes *n)
{
	struct guest_hello hello = {
		.magic = htole32(GUEST_PROTO_MAGIC),
		.version = htole32(GUEST_PROTO_VERSION),
	};

	p->fd = serial ? open_serial() : open_virtio();
	if (p->fd < 0 && !serial) {
		serial = true;
		p->fd = open_serial();
		note(n, "the kernel has no VIRTIO_CONSOLE, or no bus for it: ",
		     "the command's streams go over ttyS1, slowly", NULL);
	}
	if (p->fd < 0)
		return p->fd;
	p->window = serial ? SERIAL_WINDOW : GUEST_PROTO_WINDOW;
	/* There, input would be lost: nobody says when it has room. */
	hello.features = htole32(serial ? 0 : GUEST_CAN_EXEC);
	hello.window = htole32(p->window);
	port_put(p, (struct frame_of){ GUEST_HELLO, 0, 0 }, &hello,
		 sizeof(hello));
	port_drain(p);
	sys_fcntl(p->fd, F_SETFL, O_RDWR | O_NONBLOCK);
	return 0;
}

size_t port_room(const struct port *p)
{
	size_t room = sizeof(p->out) - p->out_len;

	if (room <= sizeof(struct guest_frame))
		return 0;
	return MIN(room - sizeof(struct guest_frame),
		   (size_t)GUEST_PROTO_DATA_MAX);
}

void *port_data(struct port *p)
{
	return p->out + p->out_len + sizeof(struct guest_frame);
}

void port_commit(struct port *p, struct frame_of of, size_t len)
{
	struct guest_frame f = {
		.type = of.type,
		.stream = of.stream,
		.session = htole16(of.session),
		.len = htole32(len),
	};

	memcpy(p->out + p->out_len, &f, sizeof(f));
	p->out_len += sizeof(f) + len;
}

static void port_wait(struct port *p, short events)
{
	struct pollfd fd = { .fd = p->fd, .events = events };

	SYS(__NR_ppoll, (long)&fd, 1, 0, 0, 0);
}

void port_put(struct port *p, struct frame_of of, const void *d, size_t len)
{
	while (port_room(p) < len || sizeof(p->out) - p->out_len < 64) {
		port_wait(p, POLLOUT);
		port_push(p);
	}
	memcpy(port_data(p), d, len);
	port_commit(p, of, len);
}

void port_error(struct port *p, u16 session, u32 status, const char *what,
		int err)
{
	struct {
		__le32 status;
		char text[GUEST_PROTO_TEXT_MAX - 4];
	} m = { .status = htole32(status) };

	text_join(m.text, sizeof(m.text), what, ": ", text_errno(-err));
	port_put(p, (struct frame_of){ GUEST_ERROR, 0, session }, &m,
		 4 + strlen(m.text));
}

void port_push(struct port *p)
{
	size_t done = 0;

	while (done < p->out_len) {
		long n = sys_write(p->fd, p->out + done, p->out_len - done);

		if (n <= 0)
			break;
		done += n;
	}
	p->out_len -= done;
	memmove(p->out, p->out + done, p->out_len);
}

void port_drain(struct port *p)
{
	for (;;) {
		port_push(p);
		if (!p->out_len)
			return;
		port_wait(p, POLLOUT);
	}
}

bool port_pull(struct port *p)
{
	size_t room;
	long n = 1;

	/* The driver gives a page at a time. */
	while ((room = sizeof(p->in) - p->in_len) && n > 0) {
		n = sys_read(p->fd, p->in + p->in_len, room);
		if (n > 0)
			p->in_len += n;
	}
	return n > 0 || n == -EAGAIN || n == -EINTR;
}

bool port_next(struct port *p, struct guest_frame *f, const u8 **data)
{
	if (p->in_len < sizeof(*f))
		return false;
	memcpy(f, p->in, sizeof(*f));
	*data = p->in + sizeof(*f);
	return le32toh(f->len) <= p->in_len - sizeof(*f);
}

void port_done(struct port *p, const struct guest_frame *f)
{
	size_t len = sizeof(*f) + le32toh(f->len);

	p->in_len -= len;
	memmove(p->in, p->in + len, p->in_len);
}

u32 port_hello(struct port *p)
{
	struct guest_hello hello;
	struct guest_frame f;
	const u8 *data;

	while (!port_next(p, &f, &data)) {
		port_wait(p, POLLIN);
		port_pull(p);
	}
	if (f.type != GUEST_HELLO || le32toh(f.len) != sizeof(hello))
		return 0;
	memcpy(&hello, data, sizeof(hello));
	port_done(p, &f);
	if (le32toh(hello.magic) != GUEST_PROTO_MAGIC ||
	    le32toh(hello.version) != GUEST_PROTO_VERSION)
		return 0;
	return le32toh(hello.window);
}
