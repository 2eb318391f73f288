/* SPDX-License-Identifier: GPL-2.0-only */
/* Text that somebody else has made. */
#ifndef KVM__UTF8_H
#define KVM__UTF8_H

#include "kvm/types.h"

/**
 * utf8_length() - of the character at @s
 * @len: at least 1
 *
 * Return: 1 to 4 bytes; 0 if what is there is not UTF-8.
 */
size_t utf8_length(const void *s, size_t len);
/**
 * utf8_clean() - what a terminal would act on, and what is no UTF-8, becomes "?"
 * @d: @len bytes; their number stays
 * @keep: control characters that are left as they are
 */
void utf8_clean(char *d, size_t len, const char *keep);

#endif
