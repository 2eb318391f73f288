/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__KCONFIG_H
#define KVM__KCONFIG_H

#include "kvm/types.h"

/* Where the assembler put it: embedded.c */
extern const char guest_kconfig_start[];
/** guest_kconfig() - the fragment for guest kernels, as text */
const char *guest_kconfig(void);

/**
 * struct kconfig_option - one option of a fragment
 * @name: without CONFIG_
 * @value: what it is to be, y or m for either of them
 * @group: the heading above it
 */
struct kconfig_option {
	char name[64];
	char value[32];
	char group[32];
};

/**
 * kconfig_next() - the next option of a fragment
 * @at: where to go on, set to the beginning by the caller
 * @o: zero at first; keeps the group from call to call
 * Return: whether there is one.
 */
bool kconfig_next(const char **at, struct kconfig_option *o);
/** kconfig_satisfied() - whether @config, a whole .config, has what @o wants */
bool kconfig_satisfied(const char *config, const struct kconfig_option *o);
/** kconfig_cost() - what does not work without @o; never NULL */
const char *kconfig_cost(const struct kconfig_option *o);

#endif
