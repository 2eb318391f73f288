/* SPDX-License-Identifier: GPL-2.0-only */
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

#endif
