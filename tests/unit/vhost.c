// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * What of vhost can be tried without the kernel's help: every call fails, and
 * what was opened by then has to be closed. A file that knows no ioctl stands
 * for the device. The whole is tested by tests/boot/vsock, where there is one.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "kvm/vhost.h"
#include "fds.h"
#include "test.h"
#include "vring.h"

struct rig {
	struct virtio_device dev;
	struct vr_mem m;
	struct vm_log log;
	unsigned int lines;
	char line[256];
};

static void emit(void *opaque, const char *line)
{
	struct rig *r = opaque;

	r->lines++;
	snprintf(r->line, sizeof(r->line), "%s", line);
}

static struct rig *setup(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	vr_init(&r->m);
	r->log = (struct vm_log){ emit, r };
	r->dev.log = &r->log;
	r->dev.gmem = &r->m.g;
	snprintf(r->dev.dev.name, sizeof(r->dev.dev.name), "dut");
	return r;
}

static void teardown(struct rig *r)
{
	vr_free(&r->m);
	free(r);
}

TEST(vhost_open_names_what_failed)
{
	unsigned int before = open_files();
	struct rig *r = setup();
	struct report why = { "" };
	struct vhost v;

	vhost_init(&v, &r->dev);
	vhost_close(&v);
	EXPECT(vhost_open(&v, "/nonexistent", &why) == -ENOENT);
	EXPECT(strstr(why.msg, "dut: ") && strstr(why.msg, "/nonexistent"));
	vhost_close(&v);
	vhost_close(&v);
	vhost_init(&v, &r->dev);
	memset(&why, 0, sizeof(why));
	EXPECT(vhost_open(&v, "/dev/null", &why) == -ENOTTY);
	EXPECT(strstr(why.msg, "VHOST_SET_OWNER"));
	vhost_close(&v);
	EXPECT(open_files() == before);
	teardown(r);
}

TEST(vhost_start_that_fails_leaves_nothing_and_is_said_a_few_times)
{
	struct rig *r = setup();
	struct vhost v;
	unsigned int before;

	vhost_init(&v, &r->dev);
	v.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	before = open_files();
	for (unsigned int i = 0; i < 100; i++)
		EXPECT(vhost_start(&v, 0, 0, 2) == -ENOTTY);
	EXPECT(r->lines > 0 && r->lines < 20);
	EXPECT(strstr(r->line, "dut: VHOST_SET_FEATURES"));
	EXPECT(!v.running && !v.nr_rings && open_files() == before);
	vhost_kick(&v);
	vhost_stop(&v);
	vhost_close(&v);
	teardown(r);
}

TEST_MAIN(T(vhost_open_names_what_failed),
	  T(vhost_start_that_fails_leaves_nothing_and_is_said_a_few_times))
