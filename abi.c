// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * include/kvm/abi.def is one table with several readers. Here it becomes what
 * the running program needs: the names and meanings of exits, so that an exit
 * that is not handled can be explained, and the capabilities that a KVM has to
 * have. Numbers are the table's own, not the header's: a KVM may be newer than
 * the headers that this was built with. tests/abi-check sees to it that they
 * agree. All is const.
 */
#include <stddef.h>

#include "kvm/abi.h"

/* Only tests/abi-check tells them apart. */
#define ABI_HANDLED(why) why
#define ABI_IGNORED(why) why
#define ABI_ROW(nr, name, status, why) \
	{ nr, #name, ABI_##status(why) },

static const struct abi_row abi_exits[] = {
#define ABI_EXIT ABI_ROW
#include "kvm/abi.def"
};

static const struct abi_row abi_suberrors[] = {
#define ABI_SUBERROR ABI_ROW
#include "kvm/abi.def"
};

static const struct abi_row abi_events[] = {
#define ABI_EVENT ABI_ROW
#include "kvm/abi.def"
};

static const struct abi_row abi_required[] = {
#define ABI_REQUIRED ABI_ROW
#include "kvm/abi.def"
};

static const struct abi_row *abi_find(const struct abi_row *rows, size_t n,
				      u32 nr)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].nr == nr)
			return &rows[i];
	return NULL;
}

const struct abi_row *abi_exit(u32 nr)
{
	return abi_find(abi_exits, ARRAY_SIZE(abi_exits), nr);
}

const struct abi_row *abi_suberror(u32 nr)
{
	return abi_find(abi_suberrors, ARRAY_SIZE(abi_suberrors), nr);
}

const struct abi_row *abi_event(u32 nr)
{
	return abi_find(abi_events, ARRAY_SIZE(abi_events), nr);
}

const struct abi_row *abi_required_cap(unsigned int i)
{
	return i < ARRAY_SIZE(abi_required) ? &abi_required[i] : NULL;
}
