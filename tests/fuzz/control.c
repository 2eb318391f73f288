// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * libFuzzer entry: the input is what a client sends on the control socket, in
 * pieces that end with a byte of 255, with files now and then. Handlers answer at
 * once, later or never. Between the pieces there are events. Each answer has to be
 * JSON of its own.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kvm/control.h"
#include "kvm/unix.h"
#include "tests/fuzz/fuzz.h"

/** struct fuzz_vm - @later: an answer that is due, if @due */
struct fuzz_vm {
	struct control_later later;
	bool due;
};

static void on_gone(struct control_later *l)
{
	container_of(l, struct fuzz_vm, later)->due = false;
}

static void on_any(struct control_call *call)
{
	struct fuzz_vm *vm = call->vm;

	for (unsigned int i = 0; i < CONTROL_ARGS_MAX; i++)
		if (call->arg[i].string)
			json_put_string(call->out, "echo", call->arg[i].string);
	if (vm->due || call->id % 2)
		return;
	vm->due = true;
	vm->later.gone = on_gone;
	control_later(call, &vm->later);
}

static void check_lines(char *text, size_t len)
{
	static struct json_value value[4096];

	while (len) {
		struct json_doc doc = { .value = value, .max = ARRAY_SIZE(value) };
		char *end = memchr(text, '\n', len);

		if (!end)
			return;
		if (json_parse(&doc, text, end - text))
			abort();
		len -= end + 1 - text;
		text = end + 1;
	}
}

static void client_read(int fd)
{
	static char text[0x200000];
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(text) &&
	       (n = recv(fd, text + len, sizeof(text) - len, MSG_DONTWAIT)) > 0)
		len += n;
	check_lines(text, len);
}

static void send_piece(int fd, const u8 *d, size_t len)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (void *)d, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	int null = -1;

	if (len % 7 == 3) {
		null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		m.msg_control = control.buf;
		m.msg_controllen = sizeof(control.buf);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &null, sizeof(null));
	}
	if (len && sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		len = 0;
	if (null >= 0)
		close(null);
}

static void run_client(struct control_server *s, struct fuzz_vm *vm, int fd,
		       const u8 *d, size_t len)
{
	while (len) {
		const u8 *end = memchr(d, 255, len);
		size_t n = end ? (size_t)(end - d) : len;

		send_piece(fd, d, n);
		for (unsigned int i = 0; i < 4; i++)
			control_server_run(s);
		control_event(s, "paused", NULL);
		if (vm->due && n % 3) {
			vm->due = false;
			control_answer(&vm->later, NULL);
		}
		n += !!end;
		d += n;
		len -= n;
	}
	shutdown(fd, SHUT_WR);
	control_server_run(s);
	client_read(fd);
}

int fuzz_one(const u8 *data, size_t len)
{
	static control_handler handlers[CONTROL_NR];
	struct fuzz_vm vm = { 0 };
	struct control_opts o = {
		.name = "fuzz", .version = "1", .handler = handlers, .vm = &vm,
	};
	struct control_server *s;
	char path[64];
	int fd;

	for (unsigned int i = 0; i < CONTROL_NR; i++)
		handlers[i] = i % 5 == 4 ? NULL : on_any;
	snprintf(path, sizeof(path), "/tmp/lkvm-fuzz-%d", getpid());
	if (unix_address(&o.address, path) || control_server_create(&s, &o, NULL))
		return 0;
	fd = unix_connect(&o.address, SOCK_STREAM);
	control_server_run(s);
	if (fd >= 0) {
		run_client(s, &vm, fd, data, len);
		close(fd);
	}
	control_server_run(s);
	control_server_destroy(s);
	return 0;
}
