// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm cp: files into a VM that runs, and out of it.
 *
 * Theory of operation: it is a command like that of lkvm exec, but the guest's
 * init has it built in: one end of a stream of files (tree.c), of which the other
 * is here, in a thread, while the main thread waits for the end, for signals and
 * for what the guest has to complain of. A signal ends that wait: then the stream
 * ends early, and who makes files of it removes what is not whole. The guest is not
 * trusted with more than what it is to send: names of what is below, and modes without
 * set-user-ID.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/thread.h"
#include "kvm/tree.h"

/**
 * struct copy - @here, @there: paths; @send: from here to there
 * @fd: of the stream
 */
struct copy {
	struct run_options o;
	struct exec exec;
	struct tree tree;
	char name[64];
	const char *here;
	const char *there;
	bool send;
	int fd;
	int err;
};

static void complain(void *opaque, const char *path, int err)
{
	char line[4400];
	int n = snprintf(line, sizeof(line), "lkvm: %s: %s\n", path,
			 err == ENODEV ? "Neither a file, a directory nor a link" :
			 strerror(err));

	(void)opaque;
	guest_text_print(line, MIN((size_t)n, sizeof(line) - 1));
}

/* "NAME:PATH". Return: PATH, or NULL if it is a path of ours */
static const char *path_of_vm(const char *arg, char name[64])
{
	const char *colon = strchr(arg, ':');

	if (!colon || colon - arg >= 64)
		return NULL;
	memcpy(name, arg, colon - arg);
	name[colon - arg] = 0;
	if (!name_is_good(name))
		return NULL;
	return colon[1] ? colon + 1 : ".";
}

static int copy_parse(struct copy *c, int argc, char **argv, struct report *r)
{
	int n = options_parse(cp_options, argc, argv, &c->o, r);
	const char *from, *to;
	char name[64];

	if (n < 0)
		return n;
	if (argc - n != 2)
		return report_error(r, 0, "cp: SRC NAME:DST, or NAME:SRC DST");
	from = path_of_vm(argv[n], c->name);
	to = path_of_vm(argv[n + 1], from ? name : c->name);
	if (!from == !to)
		return report_error(r, 0, "cp: %s NAME:PATH",
				    from ? "only one of SRC and DST can be" :
				    "one of SRC and DST must be");
	c->send = !from;
	c->there = from ? from : to;
	c->here = from ? argv[n + 1] : argv[n];
	return *c->here ? 0 : report_error(r, 0, "cp: an empty path");
}

static int copy_records(struct copy *c, struct state_out *s, struct report *r)
{
	const enum stream_of_ours kind[3] = {
		c->send ? STREAM_OURS_PIPE : STREAM_OURS_NONE,
		c->send ? STREAM_OURS_NONE : STREAM_OURS_PIPE,
		STREAM_OURS_PIPE,
	};
	int err = guest_records(s, &c->o, kind, r);

	c->tree.mask = umask(0);
	umask(c->tree.mask);
	state_put(s, c->send ? "put=" : "get=", 4);
	state_put(s, c->there, strlen(c->there) + 1);
	return err;
}

static void *copy_main(void *arg)
{
	struct copy *c = arg;

	c->err = c->send ? tree_send(&c->tree, c->here) :
			   tree_receive(&c->tree, c->here, c->there);
	/* There is no more of it, or nobody who reads it. */
	shutdown(c->fd, SHUT_RDWR);
	return NULL;
}

static int copy_open(struct copy *c)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return -errno;
	c->fd = fd[0];
	c->tree.fd = fd[0];
	c->tree.complain = complain;
	c->exec.theirs[c->send ? GUEST_STDIN : GUEST_STDOUT] = fd[1];
	c->exec.copy = true;
	c->exec.tty = -1;
	if (fcntl(fd[1], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return exec_open_stream(&c->exec, GUEST_STDERR, STDERR_FILENO);
}

/* Both ends have said what they could not do; but not what became of them. */
static int copy_judge(struct copy *c, int status)
{
	if (c->exec.left || status == STATUS_ERROR || status == STATUS_RESET)
		return status;
	if (!status && !c->err)
		return 0;
	if (c->tree.broken == -EPROTO)
		exec_fail(&c->exec, "malformed file stream from the guest");
	else if (status > 128 && (!c->err || c->tree.broken))
		exec_fail(&c->exec, "the copy was killed in the guest");
	else if (!status && c->tree.broken)
		exec_fail(&c->exec, strerror(-c->tree.broken));
	return 1;
}

static int copy_run(struct copy *c, const struct state_out *records)
{
	pthread_t thread;
	int status, err;

	exec_init(&c->exec, c->name);
	err = copy_open(c);
	if (err)
		return exec_fail(&c->exec, strerror(-err));
	err = exec_start(&c->exec, records);
	if (err)
		return err;
	err = thread_start(&thread, copy_main, c, "lkvm-cp");
	if (err)
		return exec_fail(&c->exec, strerror(-err));
	status = exec_run(&c->exec);
	/* What has come is still to be written, if that was all. */
	if (c->send || status)
		shutdown(c->fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	return copy_judge(c, status);
}

int cmd_cp(int argc, char **argv)
{
	static struct copy c;
	struct state_out records = { 0 };
	struct report r = { "" };
	int err;

	c.fd = -1;
	err = copy_parse(&c, argc, argv, &r);
	if (!err)
		err = copy_records(&c, &records, &r);
	if (err) {
		err = fail_report(&r);
	} else {
		err = copy_run(&c, &records);
		exec_close(&c.exec);
	}
	if (c.fd >= 0)
		close(c.fd);
	state_out_free(&records);
	return err;
}
