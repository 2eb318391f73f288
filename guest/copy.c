// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's end of lkvm cp.
 *
 * Theory of operation: a child of init that has become the user, as a command
 * does, and then reads files into its standard output or makes them of its
 * standard input (tree.c), so that nothing has to be there in the guest for it.
 * What it could not do it says on its standard error. Who makes files does not end by
 * a signal: the end of its input does that, and then no piece of a file stays.
 */
#include <asm/signal.h>

#include "kvm/tree.h"
#include "init.h"
#include "sys.h"

#define MAX_FD 1024

/* What is init's, ends of other commands' pipes among it */
static void close_others(void)
{
	if (!SYS(__NR_close_range, 3, ~0U, 0))
		return;
	/* Before Linux 5.9 */
	for (int fd = 3; fd < MAX_FD; fd++)
		sys_close(fd);
}

static void complain(void *opaque, const char *path, int err)
{
	char line[PATH_BYTES + 128];

	(void)opaque;
	text_join(line, sizeof(line), "lkvm: guest: ", path, ": ");
	text_join(line + strlen(line), sizeof(line) - strlen(line),
		  text_errno(err), "\n", NULL);
	sys_write(2, line, strlen(line));
}

static void ignore_signals(void)
{
	static const u8 asked[] = { SIGHUP, SIGINT, SIGTERM };
	struct sigaction ign = { .sa_handler = SIG_IGN };

	for (unsigned int i = 0; i < ARRAY_SIZE(asked); i++)
		SYS(__NR_rt_sigaction, asked[i], (long)&ign, 0, sizeof(u64));
}

int copy_run(const struct config *c)
{
	static struct tree t;
	int err;

	close_others();
	if (c->put)
		ignore_signals();
	/* Not by an initializer: its buffer would be in the binary. */
	t.complain = complain;
	t.fd = c->put ? 0 : 1;
	err = c->put ? tree_receive(&t, c->put, NULL) : tree_send(&t, c->get);
	return err ? 1 : 0;
}
