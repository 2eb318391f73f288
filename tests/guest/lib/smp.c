// SPDX-License-Identifier: GPL-2.0-only
/*
 * Starting CPUs (Intel SDM vol. 3A, 9.4.4): INIT and two SIPIs, of which the
 * second does nothing when the first worked. All come up at once, each with a
 * stack of one page.
 */
#include "smp.h"
#include "start.h"

#define AP_GPA 0x10000UL

static void (*ap_function)(u32 id);
static bool ap_x2apic;
static u32 ap_up;

void ap_main(u32 nr)
{
	(void)nr;
	irq_load();
	apic_enable(ap_x2apic);
	__atomic_add_fetch(&ap_up, 1, __ATOMIC_SEQ_CST);
	ap_function(apic_id());
	for (;;)
		asm volatile("cli; hlt");
}

void smp_start(unsigned int nr, bool x2apic, void (*ap)(u32 id))
{
	u64 cr3;

	asm volatile("mov %%cr3, %0" : "=r"(cr3));
	ap_cr3 = (u32)cr3;
	ap_stacks = (u64)page_alloc(nr);
	ap_function = ap;
	ap_x2apic = x2apic;
	memcpy((void *)AP_GPA, ap_begin, ap_end - ap_begin);
	full_barrier();
	for (u32 id = 1; id < nr; id++) {
		apic_send(id, APIC_INIT);
		apic_send(id, APIC_STARTUP | AP_GPA >> 12);
		apic_send(id, APIC_STARTUP | AP_GPA >> 12);
	}
	WAIT(__atomic_load_n(&ap_up, __ATOMIC_SEQ_CST) == nr - 1);
}
