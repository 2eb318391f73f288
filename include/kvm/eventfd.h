/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__EVENTFD_H
#define KVM__EVENTFD_H

#include "kvm/types.h"

/*
 * Of eventfds with EFD_NONBLOCK; nothing happens when @fd is -1. Any thread.
 */

/** eventfd_signal() - wake whoever waits for @fd */
void eventfd_signal(int fd);
/** eventfd_clear() - Return: whether @fd was signalled since the last time */
bool eventfd_clear(int fd);

#endif
