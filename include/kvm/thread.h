/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__THREAD_H
#define KVM__THREAD_H

#include <pthread.h>
#include <spawn.h>

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
 * thread_batch() - the calling thread does not preempt who runs where it wakes up
 *
 * For one whose work comes in many small pieces from others on the same CPU: it
 * gets them at once, when they sleep or with the next tick. It has no effect where
 * the CPU is idle. Not being allowed to is no error.
 */
void thread_batch(void);

/**
 * process_spawn() - posix_spawnp() of a program that hears signals
 *
 * Context: the main thread, which hears none while it waits.
 * Return: 0 with *@pid; a positive errno.
 */
int process_spawn(pid_t *pid, const char *file,
		  const posix_spawn_file_actions_t *files, char *const argv[]);

#endif
