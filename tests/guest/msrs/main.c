// SPDX-License-Identifier: GPL-2.0-only
/* MTRRs, PAT and the like hold what a kernel expects of firmware. */
#include "guest.h"

int main(void)
{
	u64 def = rdmsr(0x2ff);

	/* MTRRs on, write-back */
	EXPECT_EQ(def & 0xcff, 0x806);
	EXPECT_EQ(rdmsr(0x277), 0x0007040600070406ULL);	/* PAT at reset */
	wrmsr(0x277, 0x0007010600070106ULL);
	EXPECT_EQ(rdmsr(0x277), 0x0007010600070106ULL);
	EXPECT(rdmsr(0x1b) & BIT(8));	/* boot CPU */
	/* fast strings; no branch trace store, which there is none of */
	EXPECT_EQ(rdmsr(0x1a0) & 0x801, 0x801);
	return 0;
}
