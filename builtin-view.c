// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm console, lkvm debug.
 *
 * Theory of operation: console passes one end of a pair of sockets to the VM and
 * moves bytes between the other one and this terminal, until the VM ends or ^A x
 * is typed. Where standard input is no terminal its end is no end of the output. What
 * the guest does not take waits here: it holds up neither output nor ^A x.
 * debug prints what the VM answers; memory is fetched in pieces.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/file.h"
#include "lkvm.h"

#define PIECE 0x8000U
#define VALUES 4096
/* What is typed, or pasted, while the guest takes nothing */
#define TYPED_MAX 0x100000

struct console_options {
	bool read_only;
};

const struct option_desc console_options[] = {
	{ "read-only", 0, OPT_FLAG, NULL, "type nothing, watch only",
	  offsetof(struct console_options, read_only), NULL },
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

/**
 * struct typist - what is typed
 * @fd: who takes it; @buf: has yet to be taken; @left: by ^A x
 */
struct typist {
	int fd;
	bool tty;
	bool escape;
	bool left;
	size_t len;
	u8 buf[TYPED_MAX];
};

/* Return: false when there is no more to be typed. */
static bool typist_read(struct typist *k)
{
	u8 *d = k->buf + k->len;
	ssize_t n = read(STDIN_FILENO, d, sizeof(k->buf) - k->len);

	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	k->len += k->tty ? terminal_keys(&k->escape, d, n, &k->left) : (size_t)n;
	return true;
}

/* As much as goes; the end of the socket is seen where it is read from. */
static void typist_send(struct typist *k)
{
	ssize_t n = send(k->fd, k->buf, k->len, MSG_DONTWAIT);

	if (n <= 0)
		return;
	k->len -= n;
	memmove(k->buf, k->buf + n, k->len);
}

/* Return: 0, also when nobody reads any more, here or there; or -errno of our stdout */
static int console_pump(int fd, bool input)
{
	static struct typist k;
	struct pollfd p[2] = { { .fd = fd }, { .events = POLLIN } };
	u8 d[4096];

	k.fd = fd;
	k.tty = isatty(STDIN_FILENO);
	while (!k.left) {
		p[0].events = k.len ? POLLIN | POLLOUT : POLLIN;
		p[1].fd = input && k.len < sizeof(k.buf) ? STDIN_FILENO : -1;
		while (poll(p, 2, -1) < 0)
			if (errno != EINTR)
				return 0;
		if (p[0].revents & ~POLLOUT) {
			ssize_t n = read(fd, d, sizeof(d));
			int err = n <= 0 ? 0 : file_write_all(STDOUT_FILENO, d, n);

			if (n <= 0 || err)
				return err == -EPIPE ? 0 : err;
		}
		if (p[1].revents)
			input = typist_read(&k);
		typist_send(&k);
	}
	return 0;
}

static int console_call(struct lkvm *vm, const char *name, int fd, bool input)
{
	char args[128];
	struct winsize w;
	long long id;
	int err;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_row && w.ws_col)
		snprintf(args, sizeof(args),
			 "{\"input\":%s,\"rows\":%u,\"cols\":%u}",
			 input ? "true" : "false", w.ws_row, w.ws_col);
	else
		snprintf(args, sizeof(args), "{\"input\":%s}",
			 input ? "true" : "false");
	id = lkvm_send(vm, "console.open", args, &fd, 1);
	err = lkvm_answer(vm, id, 5000, NULL);
	if (err)
		fail_with(name, vm_error(vm, err));
	return err;
}

int cmd_console(int argc, char **argv)
{
	struct console_options o = { 0 };
	const char *name = vm_name(console_options, argc, argv, &o);
	struct lkvm *vm = name ? vm_connect(name) : NULL;
	int pair[2], err;

	if (!vm)
		return STATUS_ERROR;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		fail_with("socketpair", strerror(errno));
		lkvm_close(vm);
		return STATUS_ERROR;
	}
	err = console_call(vm, name, pair[1], !o.read_only);
	close(pair[1]);
	/* Who reads no more, here or there, ends it as any end does. */
	signal(SIGPIPE, SIG_IGN);
	if (!err) {
		terminal_raw();
		err = console_pump(pair[0], !o.read_only);
		terminal_restore();
		if (err)
			fail_with("stdout", strerror(-err));
	}
	close(pair[0]);
	lkvm_close(vm);
	return err ? STATUS_ERROR : 0;
}

struct debug_options {
	bool nmi;
	bool regs;
	bool json;
	const char *sysrq;
	const char *memory;
	long cpu;
};

const struct option_desc debug_options[] = {
	{ "nmi", 0, OPT_FLAG, NULL, "an NMI to a CPU",
	  offsetof(struct debug_options, nmi), NULL },
	{ "cpu", 0, OPT_NUMBER, "N", "which CPU, 0 by default",
	  offsetof(struct debug_options, cpu), NULL },
	{ "sysrq", 0, OPT_STRING, "KEY", "a magic SysRq key on the console",
	  offsetof(struct debug_options, sysrq), NULL },
	{ "regs", 0, OPT_FLAG, NULL, "print the registers of all CPUs",
	  offsetof(struct debug_options, regs), NULL },
	{ "json", 0, OPT_FLAG, NULL, "with --regs, print JSON",
	  offsetof(struct debug_options, json), NULL },
	{ "dump-mem", 0, OPT_STRING, "GPA,LEN",
	  "write LEN bytes (or K, M, G, T) of memory to stdout",
	  offsetof(struct debug_options, memory), NULL },
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

static int print_regs(struct lkvm *vm, const char *name, bool json)
{
	struct json_value *value = calloc(VALUES, sizeof(*value));
	struct json_doc doc = { .value = value, .max = VALUES };
	const struct json_value *cpus;
	char *ok = NULL;
	int err = value ? vm_call(vm, name, "debug.regs", NULL, &ok) :
		  STATUS_ERROR;

	if (!err && json) {
		printf("%s\n", ok);
	} else if (!err && !json_parse(&doc, ok, strlen(ok))) {
		cpus = json_member(value, "cpus");
		for (const struct json_value *c = json_first(cpus); c;
		     c = json_next(cpus, c))
			printf("CPU %llu\n%s\n",
			       (unsigned long long)json_number_of(c, "id"),
			       json_string_of(c, "text"));
	}
	free(ok);
	free(value);
	return err;
}

/* Hexadecimal digits into bytes, in place. Return: how many */
static size_t unhex(char *s)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (; s[2 * n] && s[2 * n + 1]; n++) {
		const char *high = strchr(digits, s[2 * n]);
		const char *low = strchr(digits, s[2 * n + 1]);

		if (!high || !low)
			break;
		s[n] = (high - digits) << 4 | (low - digits);
	}
	return n;
}

static int print_piece(struct lkvm *vm, const char *name, u64 gpa, u64 len)
{
	struct json_value value[8];
	struct json_doc doc = { .value = value, .max = ARRAY_SIZE(value) };
	char args[80], *ok = NULL;
	int err;

	snprintf(args, sizeof(args), "{\"gpa\":%llu,\"len\":%llu}",
		 (unsigned long long)gpa, (unsigned long long)len);
	err = vm_call(vm, name, "debug.memory", args, &ok);
	if (!err && !json_parse(&doc, ok, strlen(ok))) {
		char *data = (char *)json_string_of(value, "data");
		size_t n = data ? unhex(data) : 0;

		if (data && fwrite(data, 1, n, stdout) != n)
			err = status_of_output(0);
	}
	free(ok);
	return err;
}

/* Bytes, 0x also, or with a unit. Return: what follows, NULL without a number */
static const char *take_bytes(const char *s, u64 *v)
{
	static const char units[] = "KMGT";
	unsigned int shift;
	const char *unit;
	char *end;

	errno = 0;
	*v = strtoull(s, &end, 0);
	if (*s < '0' || *s > '9' || errno)
		return NULL;
	unit = strchr(units, *end & ~0x20);
	if (!unit || !*unit)
		return end;
	shift = 10 * (unit - units + 1);
	if (*v > UINT64_MAX >> shift)
		return NULL;
	*v <<= shift;
	return end + 1;
}

static int print_memory(struct lkvm *vm, const char *name, const char *what)
{
	u64 gpa, len = 0;
	const char *end = take_bytes(what, &gpa);
	int err = 0;

	if (end && *end == ',')
		end = take_bytes(end + 1, &len);
	if (!end || *end || !len)
		return fail_with(what, "--dump-mem is GPA,LEN in bytes, K, M, G or T");
	while (len && !err) {
		u64 n = MIN(len, (u64)PIECE);

		err = print_piece(vm, name, gpa, n);
		gpa += n;
		len -= n;
	}
	return status_of_output(err);
}

static int debug_run(struct lkvm *vm, const char *name,
		     const struct debug_options *o)
{
	struct json_out args = { 0 };
	int err = 0;

	if (o->regs)
		err = print_regs(vm, name, o->json);
	if (!err && o->memory)
		err = print_memory(vm, name, o->memory);
	if (!err && o->nmi) {
		json_open(&args, NULL, '{');
		json_put_number(&args, "cpu", MAX(o->cpu, 0L));
		json_close(&args, '}');
		err = vm_call(vm, name, "debug.nmi", args.text, NULL);
		json_out_free(&args);
	}
	if (!err && o->sysrq) {
		json_open(&args, NULL, '{');
		json_put_string(&args, "key", o->sysrq);
		json_close(&args, '}');
		err = vm_call(vm, name, "debug.sysrq", args.text, NULL);
		json_out_free(&args);
	}
	return err;
}

int cmd_debug(int argc, char **argv)
{
	struct debug_options o = { .cpu = -1 };
	const char *name = vm_name(debug_options, argc, argv, &o);
	const char *why = NULL;
	struct lkvm *vm;
	int err;

	if (!o.nmi && !o.regs && !o.sysrq && !o.memory)
		why = "none of --nmi, --sysrq, --regs, --dump-mem";
	else if (o.json && (!o.regs || o.memory))
		why = "--json is for --regs";
	else if (o.cpu >= 0 && !o.nmi)
		why = "--cpu needs --nmi";
	if (name && why)
		return fail_with("debug", why);
	vm = name ? vm_connect(name) : NULL;
	err = vm ? debug_run(vm, name, &o) : STATUS_ERROR;
	lkvm_close(vm);
	return err;
}
