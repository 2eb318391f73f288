// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * In place of uring.c where the headers that lkvm is built with know no
 * io_uring, or too old a one: an engine that no host can run. disk.c then
 * takes threads, and refuses io_uring where it was asked for.
 */
#include <errno.h>
#include "engine.h"

static int none_probe(void)
{
	return -EOPNOTSUPP;
}

const struct disk_engine_ops disk_uring_ops = {
	.probe = none_probe,
};
