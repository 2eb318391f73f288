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
 * The report is the guest's text, and all that the script gets of it. Control
 * characters are not shown. Main thread; no other exists yet when it is opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/arch.h"

#define SCRIPT "scripts/decode_stacktrace.sh"
#define PATIENCE_NS 60000000000ULL
#define OUT_MAX 0x20000

bool image_build_dir(const char *kernel, char *dir, size_t size)
{
	size_t len = strlen(kernel);

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
	execl(script, script, vmlinux, (char *)NULL);
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

/* Return: how much came before the script ended, -1 if it did not end in time */
static ssize_t decoder_read(const struct decoder *d, char *text, size_t size)
{
	struct pollfd p = { .fd = d->out, .events = POLLIN };
	u64 end = now_ns() + PATIENCE_NS;
	size_t len = 0;

	for (u64 now = now_ns(); now < end && len < size; now = now_ns()) {
		ssize_t n;

		if (poll(&p, 1, (int)((end - now) / 1000000 + 1)) <= 0)
			continue;
		n = read(d->out, text + len, size - len);
		if (!n)
			return len;
		if (n > 0)
			len += n;
		else if (errno != EINTR)
			break;
	}
	return -1;
}

/* Return: how much of @text the script made of the report; 0 if it failed */
static size_t decoder_decode(struct decoder *d, const char *report, size_t len,
			     char *text, size_t size)
{
	int status = -1;
	ssize_t n = -1;

	if (d->pid <= 0)
		return 0;
	/* A pipe has room for it. */
	if (write(d->in, report, len) == (ssize_t)len) {
		close(d->in);
		d->in = -1;
		n = decoder_read(d, text, size);
	}
	if (n < 0)
		kill(-d->pid, SIGKILL);
	while (waitpid(d->pid, &status, 0) < 0 && errno == EINTR)
		;
	d->pid = 0;
	if (n > 0 && !status)
		return n;
	d->missing = SCRIPT " failed";
	return 0;
}

void guest_text_print(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = text[i];

		if (ch == '\r')
			continue;
		if ((ch < ' ' && ch != '\n' && ch != '\t') || ch == 0x7f)
			ch = '?';
		fputc(ch, stderr);
	}
	if (len && text[len - 1] != '\n')
		fputc('\n', stderr);
}

void decoder_print(struct decoder *d, const char *report, size_t len)
{
	static char text[OUT_MAX];
	size_t n = decoder_decode(d, report, len, text, sizeof(text));

	guest_text_print(n ? text : report, n ? n : len);
	if (!n && d->missing && isatty(STDERR_FILENO))
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
