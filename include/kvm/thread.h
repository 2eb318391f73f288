/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__THREAD_H
#define KVM__THREAD_H

#include <pthread.h>
#include <spawn.h>

#include "kvm/types.h"

#define THREAD_NAME_MAX 16

/**
 * thread_start() - a thread of a device or a backend
 * @name: what it is called, cut at THREAD_NAME_MAX - 1 characters
 *
 * Context: any thread, also of a sealed process.
 * Return: 0 with *@t, which is to be joined; -errno.
 */
int thread_start(pthread_t *t, void *(*run)(void *), void *arg,
		 const char *name);

/**
 * thread_stop() - signal @control_fd, whose thread then ends, and wait for that
 * @control_fd: an eventfd, which is empty again afterwards
 *
 * Context: any other thread, with no lock that @t takes.
 */
void thread_stop(pthread_t t, int control_fd);

/**
 * cond_create() - a condition variable that cond_wait_until() can wait for
 *
 * Its end is pthread_cond_destroy().
 */
void cond_create(pthread_cond_t *c);

/**
 * cond_wait_until() - pthread_cond_timedwait(), by the clock of now_ns()
 * @ns: when to give up, in nanoseconds
 *
 * Context: any thread that holds @lock.
 * Return: 0 when it was signalled or for no reason; ETIMEDOUT.
 */
int cond_wait_until(pthread_cond_t *c, pthread_mutex_t *lock, u64 ns);

/**
 * process_spawn() - posix_spawnp() of a program that hears signals
 *
 * Context: the main thread, which hears none while it waits.
 * Return: 0 with *@pid; a positive errno.
 */
int process_spawn(pid_t *pid, const char *file,
		  const posix_spawn_file_actions_t *files, char *const argv[]);

/**
 * process_wait() - until a program has ended that was started
 *
 * A signal that is to end us ends @pid first, and is there to be read afterwards.
 *
 * Context: the main thread.
 * Return: the status, as of waitpid().
 */
int process_wait(pid_t pid);

#endif
