// SPDX-License-Identifier: GPL-2.0-only
/*
 * The event loop of lkvm run.
 *
 * Theory of operation: the main thread polls the VM's end, the console's
 * output, stdin, a signalfd and the timeout. poll(2), not epoll, since stdin
 * may be a plain file. While the guest has no room for input stdin is not
 * read, until the device says that there is. While the reader of stdout is slow
 * its readiness is waited for.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "builtin.h"

u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void loop_resize(struct kvm *kvm)
{
	struct winsize w;

	if (kvm->console_virtio && !ioctl(STDIN_FILENO, TIOCGWINSZ, &w))
		virtio_console_resize(kvm->console_virtio, w.ws_col, w.ws_row);
}

static void loop_signal(struct kvm *kvm, int fd)
{
	struct signalfd_siginfo si;

	if (read(fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGWINCH)
		loop_resize(kvm);
	else
		kvm_end(kvm, VM_END_USER, si.ssi_signo);
}

static int loop_wait(u64 deadline)
{
	u64 now = now_ns();

	if (!deadline)
		return -1;
	return deadline <= now ? 0 :
	       MIN((deadline - now) / 1000000 + 1, 1000000ULL);
}

int run_loop(struct kvm *kvm, struct console *c, long timeout,
	     struct report *r)
{
	u64 deadline = timeout ? now_ns() + timeout * 1000000000ULL : 0;
	struct pollfd p[5] = {
		{ .fd = kvm->end_fd, .events = POLLIN },
		{ .fd = c->wake_fd, .events = POLLIN },
		{ .events = POLLIN },
		{ .events = POLLIN },
		{ .events = POLLOUT },
	};
	bool blocked = false;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGWINCH);
	p[2].fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p[2].fd < 0)
		return report_error(r, errno, "signalfd");
	loop_resize(kvm);
	while (kvm->end == VM_END_NONE) {
		p[3].fd = c->eof || c->in_len ? -1 : STDIN_FILENO;
		p[4].fd = blocked ? STDOUT_FILENO : -1;
		if (poll(p, 5, loop_wait(deadline)) < 0 && errno != EINTR)
			break;
		if (p[2].revents & POLLIN)
			loop_signal(kvm, p[2].fd);
		if (p[3].fd >= 0 && p[3].revents && console_input(c))
			kvm_end(kvm, VM_END_USER, 0);
		blocked = console_drain(c) == -EAGAIN;
		console_feed(c, kvm);
		if (deadline && now_ns() >= deadline)
			kvm_end(kvm, VM_END_TIMEOUT, 0);
	}
	close(p[2].fd);
	return 0;
}
