// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads, what they wait for, and programs that are started.
 *
 * Theory of operation: signals are for the main thread, which has those that end
 * us blocked and reads them; a program that it starts has none blocked, and none
 * ignored. SIGUSR1 is for vCPUs. Any other thread has signals blocked from its
 * first instruction on, but for those that its own accesses raise: guest memory
 * may be of a file that has shrunk, and a SIGBUS that is blocked is the end of the
 * process.
 *
 * A thread names itself, since naming another one goes by a path in /proc,
 * which is closed to a sealed process.
 *
 * All stacks are STACK_SIZE, less than a huge page: the default of 8 MiB may be
 * given one at the first touch.
 *
 * Conditions that are waited for with a time have the clock of now_ns().
 *
 * No state, no locks. Not supported: detached threads.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kvm/clock.h"
#include "kvm/eventfd.h"
#include "kvm/thread.h"

#define STACK_SIZE (1024 * 1024)

/** struct start - what the new thread is to know; it frees it */
struct start {
	void *(*run)(void *arg);
	void *arg;
	char name[THREAD_NAME_MAX];
};

static void *thread_main(void *opaque)
{
	struct start s = *(struct start *)opaque;

	free(opaque);
	prctl(PR_SET_NAME, s.name);
	return s.run(s.arg);
}

int thread_start(pthread_t *t, void *(*run)(void *), void *arg,
		 const char *name)
{
	struct start *s = malloc(sizeof(*s));
	pthread_attr_t attr;
	sigset_t block, old;
	int err;

	if (!s)
		return -ENOMEM;
	s->run = run;
	s->arg = arg;
	snprintf(s->name, sizeof(s->name), "%s", name);
	err = pthread_attr_init(&attr);
	if (err)
		goto out;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&block);
	sigdelset(&block, SIGBUS);
	sigdelset(&block, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &block, &old);
	err = pthread_create(t, &attr, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
out:
	if (err)
		free(s);
	return -err;
}

void thread_stop(pthread_t t, int control_fd)
{
	eventfd_signal(control_fd);
	pthread_join(t, NULL);
	eventfd_clear(control_fd);
}

void cond_create(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

int cond_wait_until(pthread_cond_t *c, pthread_mutex_t *lock, u64 ns)
{
	const struct timespec t = {
		.tv_sec = (time_t)(ns / NSEC_PER_SEC),
		.tv_nsec = (long)(ns % NSEC_PER_SEC),
	};

	return pthread_cond_timedwait(c, lock, &t);
}

int process_spawn(pid_t *pid, const char *file,
		  const posix_spawn_file_actions_t *files, char *const argv[])
{
	posix_spawnattr_t attr;
	sigset_t none, pipe;
	int err;

	sigemptyset(&none);
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigaddset(&pipe, SIGXFSZ);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &pipe);
	err = posix_spawnp(pid, file, files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	return err;
}

int process_wait(pid_t pid)
{
	static const struct timespec second = { .tv_sec = 1 };
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGCHLD };
	sigset_t set, old;
	int status = 0, sig, got = 0;

	sigemptyset(&set);
	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++)
		sigaddset(&set, ends[i]);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	while (!waitpid(pid, &status, WNOHANG)) {
		sig = sigtimedwait(&set, NULL, &second);
		if (sig > 0 && sig != SIGCHLD) {
			got = sig;
			kill(pid, sig);
		}
	}
	if (got)
		raise(got);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return status;
}
