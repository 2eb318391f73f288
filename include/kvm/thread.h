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
 * process_spawn() - posix_spawnp() of a program that hears signals
 *
 * Context: the main thread, which hears none while it waits.
 * Return: 0 with *@pid; a positive errno.
 */
int process_spawn(pid_t *pid, const char *file,
		  const posix_spawn_file_actions_t *files, char *const argv[]);

#endif
