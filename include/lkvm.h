/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * liblkvm: talk to running VMs of lkvm. A program needs this header, liblkvm.a
 * and nothing else. Documentation/control.md has the commands.
 *
 * Functions return 0, or a negative errno value. Nothing is printed, and no
 * state is shared: connections may be used by a thread each.
 */
#ifndef LKVM_H
#define LKVM_H

#include <stddef.h>
#include <sys/types.h>

/** struct lkvm - a connection to one VM */
struct lkvm;

/**
 * lkvm_names() - call @each with the name of every VM of this user
 *
 * The name of one that was killed may be among them: lkvm_connect() tells.
 * @each returns 0 to go on; another value ends it, and is returned.
 */
int lkvm_names(int (*each)(void *opaque, const char *name), void *opaque);

/**
 * lkvm_connect() - to the VM @name
 *
 * Return: 0 with *@out; -ENOENT when there is no such VM, in which case a socket
 * that a killed one has left is removed; -EAGAIN when too many are waiting
 * already; -errno.
 */
int lkvm_connect(struct lkvm **out, const char *name);
/** lkvm_close() - NULL is fine */
void lkvm_close(struct lkvm *l);
/** lkvm_fd() - becomes readable when there is something to receive */
int lkvm_fd(const struct lkvm *l);
/** lkvm_pid() - of the process that the VM is */
pid_t lkvm_pid(const struct lkvm *l);

/**
 * lkvm_send() - a command, without waiting for its answer
 * @args: a JSON object, or NULL for {}
 * @fd: @nr_fds open files that go with it, at most 8; they stay the caller's
 *
 * Return: the number that its answer has as id, which is above 0; -EINVAL when
 * @args has a newline in it; -EPIPE when the VM has ended; -errno.
 */
long long lkvm_send(struct lkvm *l, const char *cmd, const char *args,
		    const int *fd, unsigned int nr_fds);
/**
 * lkvm_receive() - the next line: an answer or an event
 * @line: JSON, without the newline; the caller frees it
 * @timeout_ms: -1 for no limit
 *
 * Return: 0; -ETIMEDOUT; -ECONNRESET when the VM has ended; -errno.
 */
int lkvm_receive(struct lkvm *l, char **line, int timeout_ms);
/**
 * lkvm_answer() - the answer to what was sent
 * @id: what lkvm_send() has returned; an error is returned again, or -EREMOTEIO when
 *	the VM has said why it hung up
 * @ok: the object that is the answer, as JSON; the caller frees it. May be NULL
 *
 * Events, and answers to others, that come meanwhile are kept for lkvm_receive().
 * Return: 0; -EREMOTEIO when the VM says that it cannot: see lkvm_error(); else
 * as lkvm_receive().
 */
int lkvm_answer(struct lkvm *l, long long id, int timeout_ms, char **ok);
/** lkvm_call() - lkvm_send() without files, and lkvm_answer() */
int lkvm_call(struct lkvm *l, const char *cmd, const char *args,
	      int timeout_ms, char **ok);
/** lkvm_error() - what the VM said last instead of an answer, one line */
const char *lkvm_error(const struct lkvm *l);
/** lkvm_error_code() - its code, as "state" */
const char *lkvm_error_code(const struct lkvm *l);
/**
 * lkvm_wait_gone() - until the process of the VM has ended
 *
 * Return: 0; -ETIMEDOUT; -errno.
 */
int lkvm_wait_gone(struct lkvm *l, int timeout_ms);
/** lkvm_signal() - to the process of the VM: SIGKILL ends it whatever it does */
int lkvm_signal(struct lkvm *l, int sig);

#endif
