// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which drivers a guest is given, and what is said of those that are missing.
 */
#include <fcntl.h>

#include "../../builtin-guest.c"

#include "tests/unit/dir.h"
#include "tests/unit/test.h"

bool image_build_dir(const char *kernel, char *dir, size_t size)
{
	(void)kernel;
	(void)dir;
	(void)size;
	return false;
}

bool share_is_mounted(const struct run_options *o, unsigned int i)
{
	(void)o;
	(void)i;
	return true;
}

void shares_by_9p(struct machine *m, const struct run_options *o)
{
	(void)o;
	for (unsigned int i = 0; i < m->nr_shares; i++)
		m->share[i].p9 = true;
}

/** struct fixture - a build directory @dir, and what was @said */
static struct {
	char dir[64];
	char said[4096];
	struct run_config c;
	struct run_options o;
	struct modules m;
} f;

static void setup(void)
{
	memset(&f, 0, sizeof(f));
	dir_temp(f.dir, sizeof(f.dir));
	f.c.machine.transport = TRANSPORT_PCI;
	f.c.machine.control = CONTROL_VIRTIO;
}

static void put_text(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f.dir, name);
	file = fopen(path, "we");
	if (!file || fputs(text, file) < 0)
		printf("# cannot write %s\n", path);
	if (file)
		fclose(file);
}

/* What is said until hear_end(old) is for @said. */
static int hear_begin(void)
{
	int fd, old = dup(2);
	char path[128];

	snprintf(path, sizeof(path), "%s/said", f.dir);
	fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	dup2(fd, 2);
	close(fd);
	return old;
}

static void hear_end(int old)
{
	ssize_t n = pread(2, f.said, sizeof(f.said) - 1, 0);

	f.said[MAX(n, 0)] = 0;
	dup2(old, 2);
	close(old);
}

/* Whether the modules that @f wants are @want, each with a blank behind it */
static bool finds(const char *want)
{
	struct report r = { "" };
	char names[1024] = "";
	int err, old;

	modules_free(&f.m);
	err = find_modules(&f.m, &f.c, &f.o, f.dir, &r);
	old = hear_begin();
	say_missing(&f.c, &f.o, &f.m, f.dir);
	hear_end(old);
	for (unsigned int i = 0; i < f.m.nr; i++) {
		size_t len = strlen(names);

		snprintf(names + len, sizeof(names) - len, "%s ",
			 strrchr(f.m.path[i], '/') + 1);
	}
	printf("# %s\n", names);
	return !err && !strcmp(names, want);
}

static void teardown(void)
{
	modules_free(&f.m);
	if (dir_remove(f.dir))
		printf("# %s stays\n", f.dir);
}

TEST(drivers_of_shares_follow_what_is_shared)
{
	struct machine *m = &f.c.machine;

	setup();
	put_text("modules.builtin", "k/virtio_pci.ko\nk/virtio_console.ko\nk/virtio_blk.ko\n");
	put_text("modules.dep", "k/virtiofs.ko:\nk/9p.ko:\nk/9pnet_virtio.ko:\nk/overlay.ko:\n");
	m->nr_shares = 1;
	EXPECT(finds("virtiofs.ko overlay.ko "));
	m->share[1].p9 = true;
	m->nr_shares = 2;
	EXPECT(finds("virtiofs.ko 9pnet_virtio.ko 9p.ko overlay.ko "));
	f.o.root_disk = true;
	m->nr_disks = 1;
	m->disk[0].opts.path = "/dev/null";
	EXPECT(finds("virtiofs.ko 9pnet_virtio.ko 9p.ko "));
	m->nr_shares = 0;
	EXPECT(finds(""));
	/* Where there is nothing but 9P all is by that. */
	m->nr_shares = 1;
	put_text("modules.dep", "k/9p.ko:\nk/9pnet_virtio.ko:\n");
	EXPECT(finds("9pnet_virtio.ko 9p.ko ") && m->share[0].p9 && !f.said[0]);
	teardown();
}

/* A disk with @magic at @at, or none */
static void put_disk(const char *path, const char *magic, off_t at)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	if (pwrite(fd, magic, strlen(magic), at) < 0)
		printf("# cannot write %s\n", path);
	close(fd);
}

TEST(drivers_of_a_root_disk_follow_its_file_system)
{
	static const struct {
		const char *magic;
		off_t at;
		const char *module;
	} row[] = {
		{ "XFSB", 0, "xfs.ko " },
		{ "hsqs", 0, "squashfs.ko " },
		{ "\xe2\xe1\xf5\xe0", 1024, "erofs.ko " },
		{ "\x10\x20\xf5\xf2", 1024, "f2fs.ko " },
		{ "_BHRfS_M", 65536 + 64, "btrfs.ko " },
		{ "_BHRfS_M", 65536, "ext4.ko " },
		{ "XFS", 0, "ext4.ko " },
		{ "", 0, "ext4.ko " },
	};
	struct machine *m = &f.c.machine;
	char path[80];

	setup();
	snprintf(path, sizeof(path), "%s/disk", f.dir);
	put_text("modules.builtin",
		 "k/virtio_pci.ko\nk/virtio_console.ko\nk/virtio_blk.ko\n");
	put_text("modules.dep",
		 "k/xfs.ko:\nk/squashfs.ko:\nk/erofs.ko:\nk/f2fs.ko:\nk/btrfs.ko:\nk/ext4.ko:\n");
	f.o.root_disk = true;
	m->nr_disks = 1;
	m->disk[0].opts.path = path;
	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		put_disk(path, row[i].magic, row[i].at);
		EXPECT(finds(row[i].module));
	}
	/* It says so itself when it is opened. */
	m->disk[0].opts.path = "/nonexistent";
	EXPECT(finds("ext4.ko "));
	teardown();
}

TEST(drivers_that_are_missing_are_named)
{
	struct machine *m = &f.c.machine;

	setup();
	put_text("modules.builtin", "k/virtio_pci.ko\nk/virtio_console.ko\n");
	put_text("modules.dep", "");
	m->nr_disks = 1;
	m->nr_nets = 1;
	EXPECT(finds(""));
	EXPECT(!strcmp(f.said,
		       "lkvm: the kernel has no virtio_blk (CONFIG_VIRTIO_BLK): no disks\n"));
	m->nr_disks = 0;
	m->rng = true;
	m->balloon = true;
	m->vsock.cid = 3;
	EXPECT(finds("") && m->control == CONTROL_VIRTIO);
	EXPECT(strstr(f.said, "no virtio_rng (CONFIG_HW_RANDOM_VIRTIO): no --rng\n"));
	EXPECT(strstr(f.said, "(CONFIG_VIRTIO_BALLOON): no --balloon"));
	EXPECT(strstr(f.said, "(CONFIG_VIRTIO_VSOCKETS): no --vsock\n"));
	EXPECT(!strstr(f.said, "virtio_net") && !strstr(f.said, "virtio_blk"));
	teardown();
}

TEST(modules_that_were_not_built_are_told_from_what_is_not_configured)
{
	struct machine *m = &f.c.machine;

	setup();
	put_text("modules.builtin", "k/virtio_pci.ko\n");
	put_text(".config", "CONFIG_A=m\nCONFIG_VIRTIO_CONSOLE=m\nCONFIG_VIRTIO_FS=m\n");
	m->nr_shares = 1;
	EXPECT(finds("") && m->control == CONTROL_SERIAL);
	EXPECT(strstr(f.said, "no virtio_console (make modules: CONFIG_VIRTIO_CONSOLE): the c"));
	EXPECT(strstr(f.said, "no virtiofs (make modules: CONFIG_VIRTIO_FS): no directories"));
	put_text(".config", "CONFIG_VIRTIO_CONSOLE=y\n# CONFIG_VIRTIO_FS is not set\n");
	m->control = CONTROL_VIRTIO;
	EXPECT(finds("") && m->control == CONTROL_SERIAL);
	EXPECT(strstr(f.said, "no virtio_console (CONFIG_VIRTIO_CONSOLE): the command's"));
	EXPECT(strstr(f.said, "ttyS1, slowly\n") && !strstr(f.said, "virtiofs"));
	teardown();
}

/* What nobody knew before the start is known at the end. */
TEST(devices_without_a_driver_are_named_once_a_kind)
{
	static const struct virtio_class blk = { .id = VIRTIO_ID_BLOCK };
	static const struct virtio_class rng = { .id = VIRTIO_ID_RNG };
	static const struct virtio_class net = { .id = VIRTIO_ID_NET };
	static struct virtio_device dev[5];
	static struct kvm kvm;
	int old;

	setup();
	for (unsigned int i = 0; i < ARRAY_SIZE(dev); i++) {
		dev[i].dev.is_virtio = i < 4;
		snprintf(dev[i].dev.name, sizeof(dev[i].dev.name), "d%u", i);
		dev[i].class = i < 2 ? &blk : i < 3 ? &rng : &net;
		dev[i].dev.next = kvm.devices;
		kvm.devices = &dev[i].dev;
	}
	dev[2].driven = true;
	old = hear_begin();
	drivers_report(&f.c, &kvm, false);
	hear_end(old);
	EXPECT(!strcmp(f.said, "lkvm: d3: no guest driver bound to it (CONFIG_VIRTIO_NET)\n"
		       "lkvm: d1: no guest driver bound to it (CONFIG_VIRTIO_BLK)\n"));
	/* The guest's init has told of networks. */
	old = hear_begin();
	drivers_report(&f.c, &kvm, true);
	hear_end(old);
	EXPECT(!strcmp(f.said, "lkvm: d1: no guest driver bound to it (CONFIG_VIRTIO_BLK)\n"));
	/* And this was known before. */
	f.c.machine.nr_disks = 1;
	put_text("modules.builtin", "k/virtio_pci.ko\nk/virtio_console.ko\n");
	put_text("modules.dep", "");
	EXPECT(finds("") && strstr(f.said, "no virtio_blk"));
	old = hear_begin();
	drivers_report(&f.c, &kvm, true);
	hear_end(old);
	EXPECT(!f.said[0]);
	teardown();
}

/* The value of the record @key that comes first from @at on; NULL without */
static const char *record_of(const struct state_out *s, const char *key, size_t at)
{
	for (; at < s->len; at += strlen((char *)s->buf + at) + 1)
		if (!strncmp((char *)s->buf + at, key, strlen(key)))
			return (char *)s->buf + at + strlen(key);
	return NULL;
}

TEST(a_variable_has_the_value_that_was_given_last)
{
	struct run_options o = {
		.env = { "A=1", "HOME=/x", "AB=3", "A=2", "HOME=/y" }, .nr_env = 5,
	};
	const enum stream_of_ours kind[3] = { 0 };
	struct state_out s = { 0 };
	struct report r = { "" };
	const char *v;

	EXPECT(!guest_records(&s, &o, kind, &r));
	v = record_of(&s, "env=A=", 0);
	EXPECT(v && !strcmp(v, "2") && !record_of(&s, "env=A=", v - (char *)s.buf));
	v = record_of(&s, "env=HOME=", 0);
	EXPECT(v && !strcmp(v, "/y") && !record_of(&s, "env=HOME=", v - (char *)s.buf));
	EXPECT(record_of(&s, "env=AB=3", 0));
	state_out_free(&s);
}

TEST(a_root_of_its_own_has_the_home_of_the_user)
{
	struct run_options o = { .own = true, .user = "root" };
	const enum stream_of_ours kind[3] = { 0 };
	struct state_out s = { 0 };
	struct report r = { "" };
	const char *cwd, *home;

	setenv("HOME", "/elsewhere", 1);
	EXPECT(!guest_records(&s, &o, kind, &r));
	cwd = record_of(&s, "cwd=?", 0);
	home = record_of(&s, "env=HOME=", 0);
	EXPECT(cwd && home && !strcmp(cwd, home) && strcmp(cwd, "/elsewhere"));
	state_out_free(&s);
}

TEST_MAIN(T(a_variable_has_the_value_that_was_given_last),
	  T(a_root_of_its_own_has_the_home_of_the_user),
	  T(drivers_of_shares_follow_what_is_shared),
	  T(drivers_of_a_root_disk_follow_its_file_system),
	  T(drivers_that_are_missing_are_named),
	  T(devices_without_a_driver_are_named_once_a_kind),
	  T(modules_that_were_not_built_are_told_from_what_is_not_configured))
