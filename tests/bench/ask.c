// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long a running VM takes for a command, as a client of its socket sees it.
 *
 *   ask NAME TIMES COMMAND...
 *
 * Theory of operation: one connection; the commands in turn, over and over, a
 * millisecond apart. Each answer is a line, COMMAND and microseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lkvm.h"

static long now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000L + ts.tv_nsec / 1000;
}

static int time_of(struct lkvm *vm, const char *cmd)
{
	long begin = now_us();
	int err = lkvm_call(vm, cmd, NULL, 10000, NULL);

	if (err) {
		fprintf(stderr, "ask: %s: %s\n", cmd, strerror(-err));
		return 1;
	}
	printf("%s %ld\n", cmd, now_us() - begin);
	usleep(1000);
	return 0;
}

int main(int argc, char **argv)
{
	struct lkvm *vm;
	int err = 0;

	if (argc < 4) {
		fprintf(stderr, "ask NAME TIMES COMMAND...\n");
		return 1;
	}
	err = lkvm_connect(&vm, argv[1]);
	if (err) {
		fprintf(stderr, "ask: %s: %s\n", argv[1], strerror(-err));
		return 1;
	}
	for (int i = 0; i < atoi(argv[2]) && !err; i++)
		for (int c = 3; c < argc && !err; c++)
			err = time_of(vm, argv[c]);
	lkvm_close(vm);
	return err;
}
