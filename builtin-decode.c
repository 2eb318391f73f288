// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reports of the guest's kernel, with lines of its source.
 *
 * Theory of operation: scripts/decode_stacktrace.sh of the kernel's tree turns
 * addresses of a report into files and lines, with the vmlinux that belongs to
 * the image. A process that is sealed cannot start it, so that one is forked
 * before there is a VM, and waits at a pipe: it becomes the script when a report
 * comes, and ends when the pipe is closed without one, however lkvm ends. What
 * the script prints is collected, and shown if it succeeded in time; else the
 * report is shown as it was. Who is at a terminal is told what was missing.
 *
 * The report is the guest's text, and the script is one for text that is trusted:
 * it evaluates what it reads. So it gets nothing but addresses, symbol+0x1/0x2 and
 * perhaps a module, each on a line of its own and of letters that have no meaning
 * to a shell; what it makes of each takes that one's place. Code: lines stay as
 * they are. Control characters are not shown. A signal that is to end lkvm ends
 * the script. Main thread; no other exists yet when it is opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/utf8.h"
#include "kvm/arch.h"

#define SCRIPT "scripts/decode_stacktrace.sh"
#define PATIENCE_NS (60 * NSEC_PER_SEC)
#define OUT_MAX 0x20000
#define FRAMES_MAX 512

/** struct frame - an address in a report, up to @end */
struct frame {
	const char *begin;
	const char *end;
};

/* kbuild has links of its own: arch/x86_64/boot/bzImage */
bool image_build_dir(const char *kernel, char *dir, size_t size)
{
	char real[DISCOVER_PATH];
	size_t len;

	if (realpath(kernel, real))
		kernel = real;
	len = strlen(kernel);
	for (unsigned int i = 0; arch_images[i]; i++) {
		size_t n = strlen(arch_images[i]);

		if (len < n || strcmp(kernel + len - n, arch_images[i]) ||
		    len - n >= size || (len > n && kernel[len - n - 1] != '/'))
			continue;
		snprintf(dir, size, "%.*s", (int)(len - n), kernel);
		if (len == n)
			snprintf(dir, size, ".");
		return true;
	}
	return false;
}

/* @dir and @name make the path of a file that is there. */
static bool find(char *path, const char *dir, const char *name, int mode)
{
	return snprintf(path, DISCOVER_PATH, "%s/%s", dir, name) <
	       DISCOVER_PATH && !access(path, mode);
}

/* Return: NULL, or what is missing */
static const char *decoder_find(const char *kernel, char *vmlinux, char *script)
{
	const char *slash = strrchr(kernel, '/');
	char dir[2][DISCOVER_PATH];
	unsigned int nr = 0;

	if (image_build_dir(kernel, dir[0], sizeof(dir[0])))
		nr++;
	snprintf(dir[nr++], DISCOVER_PATH, "%.*s",
		 slash ? (int)(slash - kernel) : 1, slash ? kernel : ".");
	for (unsigned int i = 0; i < nr; i++) {
		if (!find(vmlinux, dir[i], "vmlinux", R_OK))
			continue;
		return find(script, dir[i], SCRIPT, X_OK) ||
		       find(script, dir[i], "source/" SCRIPT, X_OK) ? NULL :
			"no " SCRIPT " in its tree";
	}
	return "no vmlinux beside the kernel";
}

/* In the child: nothing of ours is held open while it waits. */
static void __attribute((noreturn)) decoder_run(int in, int out,
						const char *script,
						const char *vmlinux)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct pollfd p = { .fd = in, .events = POLLIN };
	sigset_t none;

	setpgid(0, 0);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	if (!(p.revents & POLLIN) || dup2(in, 0) < 0 || dup2(out, 1) < 0)
		_exit(0);
	execv(script, (char *const []){ (char *)script, (char *)vmlinux, NULL });
	_exit(127);
}

void decoder_open(struct decoder *d, const char *kernel)
{
	char vmlinux[DISCOVER_PATH], script[DISCOVER_PATH];
	int in[2], out[2];

	d->missing = decoder_find(kernel, vmlinux, script);
	if (d->missing)
		return;
	d->missing = strerror(EMFILE);
	if (pipe2(in, O_CLOEXEC) < 0)
		return;
	if (pipe2(out, O_CLOEXEC) < 0)
		goto err_close_in;
	d->pid = fork();
	if (!d->pid) {
		close(in[1]);
		close(out[0]);
		decoder_run(in[0], out[1], script, vmlinux);
	}
	close(in[0]);
	close(out[1]);
	d->in = in[1];
	d->out = out[0];
	d->missing = d->pid < 0 ? strerror(EAGAIN) : NULL;
	return;
err_close_in:
	close(in[0]);
	close(in[1]);
}

static const char *skip(const char *p, const char *end, const char *set)
{
	while (p < end && strchr(set, *p) && *p)
		p++;
	return p;
}

/* "0x" and digits; NULL if that is not there */
static const char *skip_hex(const char *p, const char *end)
{
	const char *digits = p + 2, *q;

	if (end - p < 3 || memcmp(p, "0x", 2))
		return NULL;
	q = skip(digits, end, "0123456789abcdef");
	return q > digits && q - digits <= 16 ? q : NULL;
}

#define SYMBOL_CHARS (&NAME_CHARS[1])	/* without "-" */
#define MODULE_CHARS (&NAME_CHARS[2])	/* and without "." */

/* " [module]", perhaps with an identification of its build */
static const char *skip_module(const char *p, const char *end)
{
	const char *q;

	if (end - p < 4 || memcmp(p, " [", 2))
		return p;
	q = skip(p + 2, end, MODULE_CHARS);
	if (q > p + 2 && q < end && *q == ' ')
		q = skip(q + 1, end, "0123456789abcdef");
	return q > p + 2 && q < end && *q == ']' ? q + 1 : p;
}

/* The first address from @p on; whether there is one */
static bool frame_find(struct frame *f, const char *p, const char *end)
{
	const char *plus, *q;

	for (; (plus = memchr(p, '+', end - p)); p = plus + 1) {
		q = skip_hex(plus + 1, end);
		q = q && q < end && *q == '/' ? skip_hex(q + 1, end) : NULL;
		f->begin = plus;
		while (f->begin > p && strchr(SYMBOL_CHARS, f->begin[-1]) &&
		       f->begin[-1])
			f->begin--;
		if (!q || f->begin == plus)
			continue;
		f->end = skip_module(q, end);
		return true;
	}
	return false;
}

/*
 * Give the script @in, and read until it ends. Return: how much it said, -1 if it
 * did not end in time, or lkvm is to end
 */
static ssize_t decoder_talk(struct decoder *d, const char *in, size_t left,
			    char *text, size_t size)
{
	struct pollfd p[3] = { { .fd = d->out, .events = POLLIN },
			       { .fd = d->in, .events = POLLOUT },
			       { .events = POLLIN } };
	u64 end = now_ns() + PATIENCE_NS;
	ssize_t len = 0, n = 1;
	sigset_t set, old;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	p[2].fd = signalfd(-1, &set, SFD_CLOEXEC);
	fcntl(d->in, F_SETFL, O_NONBLOCK);
	for (int ms; n && (ms = ms_left(end));) {
		if (poll(p, 3, ms) <= 0)
			continue;
		if (p[2].revents || (size_t)len == size)
			break;
		if (p[1].revents) {
			n = p[1].revents & POLLERR ? 0 : write(d->in, in, left);
			in += n > 0 ? n : 0;
			left -= n > 0 ? n : 0;
			if (!left || !n || (n < 0 && errno != EAGAIN)) {
				close(d->in);
				d->in = -1;
				p[1].fd = -1;
			}
		}
		n = 1;
		if (p[0].revents) {
			n = read(d->out, text + len, size - len);
			len += n > 0 ? n : 0;
		}
	}
	if (p[2].fd >= 0)
		close(p[2].fd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return n ? -1 : len;
}

/* Return: what the script said, 0 if it failed */
static size_t decoder_ask(struct decoder *d, const char *in, size_t len,
			  char *text, size_t size)
{
	ssize_t n = decoder_talk(d, in, len, text, size);
	int status = -1;

	if (n < 0)
		kill(-d->pid, SIGKILL);
	while (waitpid(d->pid, &status, 0) < 0 && errno == EINTR)
		;
	d->pid = 0;
	return n > 0 && !status ? n : 0;
}

static void text_print(const char *text, size_t len)
{
	char *copy = malloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; copy && i < len; i++)
		if (text[i] != '\r')
			copy[n++] = text[i];
	if (n) {
		utf8_clean(copy, n, "\n\t");
		fwrite(copy, 1, n, stderr);
	}
	free(copy);
}

void guest_text_print(const char *text, size_t len)
{
	text_print(text, len);
	if (len && text[len - 1] != '\n')
		putc('\n', stderr);
}

/* The report, with a line of @said in the place of each address; or as it was. */
static void print_with(const char *report, size_t len, const char *said,
		       const char *said_end)
{
	const char *p = report, *end = report + len;
	struct frame f;

	while (said < said_end && frame_find(&f, p, end)) {
		const char *nl = memchr(said, '\n', said_end - said);

		text_print(p, f.begin - p);
		text_print(said, nl - said);
		said = nl + 1;
		p = f.end;
	}
	text_print(p, end - p);
	if (len && end[-1] != '\n')
		putc('\n', stderr);
}

void decoder_print(struct decoder *d, const char *report, size_t len)
{
	static char in[OUT_MAX], said[OUT_MAX];
	const char *end = report + len, *p = report;
	size_t n = 0, nr = 0, lines = 0;
	struct frame f;

	for (; nr < FRAMES_MAX && frame_find(&f, p, end); p = f.end, nr++) {
		if ((size_t)(f.end - f.begin) >= sizeof(in) - n)
			break;
		memcpy(in + n, f.begin, f.end - f.begin);
		n += f.end - f.begin;
		in[n++] = '\n';
	}
	if (d->pid > 0 && nr) {
		n = decoder_ask(d, in, n, said, sizeof(said));
		for (size_t i = 0; i < n; i++)
			lines += said[i] == '\n';
		if (lines != nr) {
			d->missing = SCRIPT " failed";
			lines = 0;
		}
	}
	print_with(report, len, said, said + (lines ? n : 0));
	if (!lines && d->missing && isatty(STDERR_FILENO))
		fprintf(stderr, "lkvm: addresses are not decoded: %s\n",
			d->missing);
}

void decoder_close(struct decoder *d)
{
	if (d->in >= 0)
		close(d->in);
	if (d->out >= 0)
		close(d->out);
	while (d->pid > 0 && waitpid(d->pid, NULL, 0) < 0 && errno == EINTR)
		;
	d->pid = 0;
	d->in = -1;
	d->out = -1;
}
