// SPDX-License-Identifier: GPL-2.0-only
/* Headers as of Linux 6.1: the newest words that disk/uring.c uses. */
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
