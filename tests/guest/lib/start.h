/* SPDX-License-Identifier: GPL-2.0-only */
/* What start.S and the C files have from one another. */
#ifndef GUEST_START_H
#define GUEST_START_H

#include "guest.h"

/** struct frame - what a stub of an interrupt leaves on the stack */
struct frame {
	u64 reg[15];
	u64 vector;
	u64 error;
	u64 rip;
	u64 cs;
	u64 rflags;
	u64 rsp;
	u64 ss;
};

/** vectors - 256 stubs of 16 bytes; guest_end - the first page behind the image */
extern char vectors[], guest_end[];
/** ap_begin, ap_end - the code that smp_start() copies below 1 MiB */
extern char ap_begin[], ap_end[];
extern u32 ap_cr3, ap_count;
extern u64 ap_stacks;

/* Called by start.S */
void guest_main(u64 info);
void vector_c(struct frame *f);
void ap_main(u32 nr);

#endif
