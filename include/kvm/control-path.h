/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the control sockets of this user's VMs are. */
#ifndef KVM__CONTROL_PATH_H
#define KVM__CONTROL_PATH_H

#include <sys/un.h>
#include "kvm/types.h"

#define CONTROL_SUFFIX ".sock"

/**
 * control_dir() - $XDG_RUNTIME_DIR/lkvm; without that, or if it is not this user's,
 * /run/lkvm for root and /run/user/UID/lkvm or else /tmp/lkvm-UID for others
 *
 * Return: 0, -ENAMETOOLONG.
 */
int control_dir(char *dir, size_t size);
/**
 * control_dir_make() - so that only this user can write to it
 *
 * Return: 0; -EPERM when it is there and somebody else's, or open to others;
 * -errno.
 */
int control_dir_make(const char *dir);
/** control_address() - of the VM @name. Return: 0, -ENAMETOOLONG */
int control_address(struct sockaddr_un *a, const char *name);

#endif
