// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation: eventfds wake threads. All are non-blocking: a counter that
 * is full means that its reader has yet to look, which is as good as one more, and
 * one that is empty that there is nothing to hear. No state, no locks.
 */
#include <errno.h>
#include <unistd.h>

#include "kvm/eventfd.h"

void eventfd_signal(int fd)
{
	const u64 one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool eventfd_clear(int fd)
{
	ssize_t n;
	u64 count;

	do {
		n = read(fd, &count, sizeof(count));
	} while (n < 0 && errno == EINTR);
	return n == sizeof(count);
}
