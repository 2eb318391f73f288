// SPDX-License-Identifier: GPL-2.0-only
/* Rings that are no rings: wrong sizes, alignments and addresses. */
#include "virtio.h"

static struct vdev v;
static u64 good;

static void refused(u16 num, u64 desc, u64 avail, u64 used)
{
	vdev_negotiate(&v, F_VERSION_1);
	vq_program(&v, 0, num, desc, avail, used);
	EXPECT(vdev_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET);
	/* It cannot be started after that. */
	vdev_set_status(&v, STATUS_READY);
	EXPECT(!(vdev_status(&v) & VIRTIO_CONFIG_S_DRIVER_OK));
	vdev_kick(&v, 0);
}

int main(void)
{
	static const u64 hole[] = {
		0x10000000, ECAM_GPA, PCI_WINDOW_GPA, 0xfec00000, 0xfee00000,
		0xfffffff0, SZ_4G, 1ULL << 40, ~0xfULL, 16 * SZ_1M - 16,
	};
	struct vq q;

	EXPECT(vdev_find(&v, option_is("dev", "rng") ? VIRTIO_ID_RNG :
			 VIRTIO_ID_BLOCK, 0));
	good = (u64)page_alloc(4);
	for (unsigned int i = 0; i < ARRAY_SIZE(hole); i++) {
		refused(16, hole[i], good, good);
		refused(16, good, hole[i], good);
		refused(16, good, good, hole[i]);
	}
	refused(3, good, good, good);
	refused(1024, good, good, good);
	refused(16, good + 8, good, good);
	refused(16, good, good + 1, good);
	refused(16, good, good, good + 2);

	/* No queue at all, and a kick */
	vdev_negotiate(&v, F_VERSION_1);
	vdev_go(&v);
	vdev_kick(&v, 0);
	EXPECT_EQ(vdev_status(&v), STATUS_READY);

	/* The last bytes of memory are good, and rings may overlap. */
	vdev_negotiate(&v, F_VERSION_1);
	vq_program(&v, 0, 2, 16 * SZ_1M - 32, good, good);
	vdev_go(&v);
	EXPECT_EQ(vdev_status(&v), STATUS_READY);
	vdev_kick(&v, 0);

	vdev_negotiate(&v, F_VERSION_1);
	vq_setup(&q, &v, 0, 2);
	vdev_go(&v);
	EXPECT_EQ(vdev_status(&v), STATUS_READY);
	return 0;
}
