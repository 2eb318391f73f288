// SPDX-License-Identifier: GPL-2.0-only
/* The virtio console: output, input, and a byte in an emergency. */
#include <linux/virtio_console.h>
#include "virtio.h"

static char line[128];

static void echo(struct vq *rx, struct vq *tx)
{
	char got[] = "got ";
	u32 len = 0;

	while (!len || line[len - 1] != '\n') {
		struct buf in = { line + len, 7, true };

		EXPECT(len < sizeof(line) - 8);
		len += vq_run(rx, &in, 1);
	}
	vq_run(tx, (struct buf[]){ { got, 4, false }, { line, len, false } }, 2);
}

int main(void)
{
	char hello[] = "hello from hvc0\n";
	struct buf out = { hello, sizeof(hello) - 1, false };
	struct vq rx, tx;
	struct vdev v;

	EXPECT(vdev_find(&v, VIRTIO_ID_CONSOLE, 0));
	vdev_negotiate(&v, vdev_offered(&v));
	EXPECT(vdev_offered(&v) & BIT_ULL(VIRTIO_CONSOLE_F_EMERG_WRITE));
	write32(vdev_config_at(&v, 8), 'E');
	vq_setup(&rx, &v, 0, 8);
	vq_setup(&tx, &v, 1, 8);
	vdev_go(&v);
	for (unsigned int i = 0; i < 20; i++)
		EXPECT_EQ(vq_run(&tx, &out, 1), 0);
	echo(&rx, &tx);
	return 0;
}
