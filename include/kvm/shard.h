/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__SHARD_H
#define KVM__SHARD_H

#include "kvm/types.h"

/**
 * struct shard_item - what is to be shared out
 * @ms: how long it takes, 0 if that is not known
 * @shard: whose it is, from 0
 */
struct shard_item {
	const char *name;
	u64 ms;
	unsigned int shard;
};

/**
 * shard_assign() - share @nr items among @shards, by time
 *
 * The order of the items does not matter: the same names and times are shared
 * in the same way everywhere. Each item is one shard's.
 *
 * Return: 0 or -ENOMEM.
 */
int shard_assign(struct shard_item *items, unsigned int nr,
		 unsigned int shards);

#endif
