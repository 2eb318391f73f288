/* SPDX-License-Identifier: GPL-2.0-only */
/* What getdents64(2) fills a buffer with, which has to be aligned to 8; no libc says so. */
#ifndef KVM__DIRENT_H
#define KVM__DIRENT_H

#include "kvm/types.h"

/** struct linux_dirent64 - an entry; the next is @d_reclen bytes behind */
struct linux_dirent64 {
	u64 d_ino;
	s64 d_off;
	u16 d_reclen;
	u8 d_type;
	char d_name[];
};

#endif
