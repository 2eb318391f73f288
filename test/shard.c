// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which share of the tests is ours.
 *
 * Theory of operation: the longest goes first, and to whom has least so far; that
 * is never worse than 4/3 of the best there is. Of two of the same length the name
 * decides, so that machines that know the same times agree without a word. What
 * has no time is taken to be of average length. No state.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/shard.h"

/** struct shard_load - what a shard has so far */
struct shard_load {
	u64 ms;
	unsigned int nr;
};

static int by_time(const void *a, const void *b)
{
	const struct shard_item *const *x = a, *const *y = b;

	if ((*x)->ms != (*y)->ms)
		return (*x)->ms < (*y)->ms ? 1 : -1;
	return strcmp((*x)->name, (*y)->name);
}

/* What is not known is average. */
static void guess_times(struct shard_item *items, unsigned int nr)
{
	unsigned int known = 0;
	u64 sum = 0;

	for (unsigned int i = 0; i < nr; i++) {
		known += items[i].ms > 0;
		sum += items[i].ms;
	}
	for (unsigned int i = 0; i < nr; i++)
		if (!items[i].ms)
			items[i].ms = known ? sum / known : 1;
}

static unsigned int least(const struct shard_load *load, unsigned int shards)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < shards; i++)
		if (load[i].ms < load[best].ms ||
		    (load[i].ms == load[best].ms && load[i].nr < load[best].nr))
			best = i;
	return best;
}

int shard_assign(struct shard_item *items, unsigned int nr,
		 unsigned int shards)
{
	struct shard_item **sorted = calloc(nr ? nr : 1, sizeof(*sorted));
	struct shard_load *load = calloc(shards, sizeof(*load));
	int err = sorted && load ? 0 : -ENOMEM;

	if (err)
		goto out;
	guess_times(items, nr);
	for (unsigned int i = 0; i < nr; i++)
		sorted[i] = &items[i];
	qsort(sorted, nr, sizeof(*sorted), by_time);
	for (unsigned int i = 0; i < nr; i++) {
		unsigned int s = least(load, shards);

		sorted[i]->shard = s;
		load[s].ms += sorted[i]->ms;
		load[s].nr++;
	}
out:
	free(sorted);
	free(load);
	return err;
}
