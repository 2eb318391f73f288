// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation: a program that compiles with headers as of Linux 6.1,
 * which have the newest words that disk/uring.c uses. It is never run; what the
 * running kernel has is asked for by disk/uring.c.
 */
#include <sys/syscall.h>
#include <linux/io_uring.h>

int main(void)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
	};

	return __NR_io_uring_setup + IORING_POLL_ADD_MULTI +
	       IORING_OP_FALLOCATE + !p.flags;
}
