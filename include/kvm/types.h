/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__TYPES_H
#define KVM__TYPES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

typedef __UINT8_TYPE__ u8;
typedef __UINT16_TYPE__ u16;
typedef __UINT32_TYPE__ u32;
typedef __UINT64_TYPE__ u64;
typedef __INT64_TYPE__ s64;

/* Names that the kernel's headers have and libc's have not. */
#ifndef __aligned
#define __aligned(x) __attribute((aligned(x)))
#endif
#ifndef __printf
#define __printf(a, b) __attribute((format(printf, a, b)))
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1U << (n))
#define BIT_ULL(n) (1ULL << (n))
/* @a is a power of two. */
#define ALIGN_UP(x, a) ((((x) - 1) | ((__typeof__(x))(a) - 1)) + 1)
/* The common type of @a and @b, evaluated once. */
#define MIN(a, b) ({ \
	__typeof__((a) + (__typeof__(b))0) min_a = (a); \
	__typeof__(min_a) min_b = (b); \
	min_a < min_b ? min_a : min_b; })
#define MAX(a, b) ({ \
	__typeof__((a) + (__typeof__(b))0) max_a = (a); \
	__typeof__(max_a) max_b = (b); \
	max_a > max_b ? max_a : max_b; })
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

#define SZ_1K 0x400ULL
#define SZ_1M 0x100000ULL
#define SZ_1G 0x40000000ULL
#define SZ_4G 0x100000000ULL

#endif
