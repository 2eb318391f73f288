// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finding a kernel, in trees that are made for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "kvm/discover.h"
#include "tests/unit/dir.h"
#include "tests/unit/test.h"

static const char *const images[] = { "arch/x86/boot/bzImage", "vmlinux", NULL };

struct fixture {
	char top[64];
	struct discover d;
	struct report r;
	char here[128];
	char boot[128];
};

static void shell(const char *command, const char *arg)
{
	char line[512];

	snprintf(line, sizeof(line), "cd '%s' && %s", arg, command);
	if (system(line))
		printf("# failed: %s\n", line);
}

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	dir_temp(f->top, sizeof(f->top));
	shell("mkdir -p tree/arch/x86/boot tree/tools/kvm boot other", f->top);
	shell("touch tree/Kbuild tree/Kconfig tree/MAINTAINERS", f->top);
	snprintf(f->here, sizeof(f->here), "%s/tree", f->top);
	snprintf(f->boot, sizeof(f->boot), "%s/boot", f->top);
	f->d = (struct discover){
		.images = images, .here = f->here, .boot = f->boot,
		.release = "6.1.0",
	};
}

static void teardown(struct fixture *f)
{
	if (dir_remove(f->top))
		perror(f->top);
}

/* Makes @path @age seconds old. */
static void put_file(struct fixture *f, const char *path, int age)
{
	struct timespec t[2] = { { .tv_nsec = UTIME_OMIT } };
	char full[256];
	int fd;

	snprintf(full, sizeof(full), "%s/%s", f->top, path);
	fd = open(full, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	t[1].tv_sec = time(NULL) - age;
	if (fd < 0 || futimens(fd, t) < 0)
		printf("# cannot make %s\n", full);
	close(fd);
}

static bool finds(struct fixture *f, const char *path)
{
	char full[256];

	f->r.msg[0] = 0;
	f->d.kernel[0] = 0;
	snprintf(full, sizeof(full), "%s/%s", f->top, path);
	if (!discover_kernel(&f->d, &f->r) && !strcmp(f->d.kernel, full))
		return true;
	printf("# found %s\n", f->d.kernel);
	return false;
}

TEST(newest_image_of_the_tree_is_taken)
{
	struct fixture f;

	setup(&f);
	put_file(&f, "tree/arch/x86/boot/bzImage", 10);
	EXPECT(finds(&f, "tree/arch/x86/boot/bzImage"));
	put_file(&f, "tree/vmlinux", 20);
	EXPECT(finds(&f, "tree/arch/x86/boot/bzImage"));
	put_file(&f, "tree/vmlinux", 5);
	EXPECT(finds(&f, "tree/vmlinux"));
	EXPECT(!strcmp(f.d.build, f.here));
	teardown(&f);
}

/* In a process that is not root, and with @command done by then */
static bool finds_unread(struct fixture *f, const char *command, const char *path)
{
	int status = -1, pid = fork();

	if (!pid) {
		shell(command, f->top);
		if (!geteuid() && setresuid(65534, 65534, 65534))
			_exit(2);
		_exit(!finds(f, path));
	}
	waitpid(pid, &status, 0);
	return !status;
}

TEST(image_that_cannot_be_read_is_not_passed_over)
{
	static const char image[] = "tree/arch/x86/boot/bzImage";
	struct fixture f;

	setup(&f);
	put_file(&f, image, 5);
	put_file(&f, "tree/vmlinux", 10);
	put_file(&f, "boot/vmlinuz-6.1.0", 5);
	put_file(&f, "boot/vmlinuz-6.0", 10);
	EXPECT(finds_unread(&f, "chmod 755 . && chmod 0 tree/arch/x86/boot/bzImage", image));
	EXPECT(finds_unread(&f, "chmod 0 tree/arch/x86/boot", image));
	EXPECT(finds_unread(&f, "chmod 755 tree/arch/x86/boot && chmod 0 tree/vmlinux",
			    image));
	shell("cd tree/arch/x86/boot && rm bzImage && ln -s bzImage bzImage", f.top);
	EXPECT(finds(&f, image));
	/* Of those that are installed most may be root's. */
	f.d.here = f.top;
	EXPECT(finds_unread(&f, "chmod 0 boot/vmlinuz-6.1.0", "boot/vmlinuz-6.0"));
	teardown(&f);
}

TEST(tree_is_looked_for_upwards)
{
	struct fixture f;
	char deep[200];

	setup(&f);
	put_file(&f, "tree/arch/x86/boot/bzImage", 10);
	snprintf(deep, sizeof(deep), "%s/tools/kvm", f.here);
	f.d.here = deep;
	EXPECT(finds(&f, "tree/arch/x86/boot/bzImage"));
	teardown(&f);
}

TEST(output_directories_are_found_by_their_link)
{
	struct fixture f;
	char out[128];

	setup(&f);
	put_file(&f, "tree/arch/x86/boot/bzImage", 10);
	shell("mkdir -p out/arch/x86/boot other/arch/x86/boot && ln -s ../tree out/source",
	      f.top);
	put_file(&f, "out/arch/x86/boot/bzImage", 5);
	put_file(&f, "other/arch/x86/boot/bzImage", 1);
	EXPECT(finds(&f, "tree/../out/arch/x86/boot/bzImage"));
	snprintf(out, sizeof(out), "%s/out", f.top);
	f.d.here = out;
	EXPECT(finds(&f, "out/arch/x86/boot/bzImage"));
	teardown(&f);
}

TEST(kbuild_output_is_binding)
{
	struct fixture f;
	char out[128];

	setup(&f);
	put_file(&f, "tree/arch/x86/boot/bzImage", 1);
	put_file(&f, "boot/vmlinuz-6.1.0", 1);
	snprintf(out, sizeof(out), "%s/other", f.top);
	f.d.output = out;
	EXPECT(discover_kernel(&f.d, &f.r) == -ENOENT);
	EXPECT(strstr(f.r.msg, "KBUILD_OUTPUT"));
	shell("mkdir -p other/arch/x86/boot", f.top);
	put_file(&f, "other/arch/x86/boot/bzImage", 100);
	EXPECT(finds(&f, "other/arch/x86/boot/bzImage"));
	teardown(&f);
}

/* Return: whether there is none in the tree, and @f says so of @dir */
static bool refuses(struct fixture *f, const char *here, const char *dir)
{
	char path[128];

	f->r.msg[0] = 0;
	snprintf(path, sizeof(path), "%s/%s", f->top, here);
	f->d.here = path;
	return discover_kernel(&f->d, &f->r) == -ENOENT && strstr(f->r.msg, dir);
}

TEST(a_tree_without_an_image_is_binding)
{
	struct fixture f;
	char dir[128];

	setup(&f);
	put_file(&f, "boot/vmlinuz-6.1.0", 1);
	EXPECT(refuses(&f, "tree", "/tree"));
	EXPECT(refuses(&f, "tree/tools/kvm", "/tree"));
	shell("mkdir -p out/dir && ln -s ../tree out/source", f.top);
	EXPECT(refuses(&f, "out/dir", "/out"));
	shell("rm out/source && mkdir -p out/include/config", f.top);
	put_file(&f, "out/include/config/auto.conf", 1);
	EXPECT(refuses(&f, "out", "/out"));
	/* What is called so need not be of a kernel. */
	shell("rm -r out && mkdir -p out/source", f.top);
	snprintf(dir, sizeof(dir), "%s/out/source", f.top);
	f.d.here = dir;
	EXPECT(finds(&f, "boot/vmlinuz-6.1.0"));
	teardown(&f);
}

TEST(relative_kbuild_output_is_the_trees)
{
	struct fixture f;
	char deep[200];

	setup(&f);
	shell("mkdir -p tree/b/arch/x86/boot", f.top);
	put_file(&f, "tree/b/arch/x86/boot/bzImage", 1);
	snprintf(deep, sizeof(deep), "%s/tools/kvm", f.here);
	f.d.here = deep;
	f.d.output = "b";
	EXPECT(finds(&f, "tree/b/arch/x86/boot/bzImage"));
	f.d.output = "../tree/b/";
	EXPECT(finds(&f, "tree/../tree/b//arch/x86/boot/bzImage"));
	f.d.output = "none";
	EXPECT(refuses(&f, "tree/tools/kvm", "KBUILD_OUTPUT=none"));
	EXPECT(strstr(f.d.build, "/tree/none"));
	teardown(&f);
}

TEST(what_is_not_built_is_known_by_its_directory)
{
	struct fixture f;

	setup(&f);
	EXPECT(refuses(&f, "tree/tools/kvm", "/tree"));
	EXPECT(!strcmp(f.d.build + strlen(f.d.build) - 5, "/tree"));
	teardown(&f);
}

TEST(directory_that_is_gone_has_no_kernel)
{
	struct fixture f;

	setup(&f);
	put_file(&f, "boot/vmlinuz-6.1.0", 1);
	EXPECT(refuses(&f, "gone", "gone: No such file"));
	teardown(&f);
}

TEST(running_kernel_comes_before_newer_ones)
{
	struct fixture f;
	char other[128];

	setup(&f);
	snprintf(other, sizeof(other), "%s/other", f.top);
	f.d.here = other;
	EXPECT(discover_kernel(&f.d, &f.r) == -ENOENT && f.r.msg[0]);
	put_file(&f, "boot/vmlinuz-5.0", 20);
	put_file(&f, "boot/vmlinuz-6.9", 10);
	put_file(&f, "boot/initrd.img-6.9", 1);
	EXPECT(finds(&f, "boot/vmlinuz-6.9"));
	put_file(&f, "boot/vmlinuz-6.1.0", 30);
	EXPECT(finds(&f, "boot/vmlinuz-6.1.0"));
	EXPECT(!f.d.build[0]);
	teardown(&f);
}

TEST(release_is_in_the_image)
{
	u8 image[0x1000] = { 0 };
	char path[] = "/tmp/release.XXXXXX", out[64];
	int fd = mkstemp(path);

	memcpy(image + 0x202, "HdrS", 4);
	image[0x20e] = 0x80;
	image[0x20f] = 2;
	memcpy(image + 0x480, "6.12.1-foo+ (who@where) #1", 26);
	EXPECT(write(fd, image, sizeof(image)) == sizeof(image));
	EXPECT(!discover_release(path, out, sizeof(out)));
	EXPECT(!strcmp(out, "6.12.1-foo+"));
	EXPECT(!discover_release(path, out, 4) && !strcmp(out, "6.1"));
	/* It becomes the name of a directory on the host, and no path. */
	EXPECT(pwrite(fd, "../../x", 7, 0x480) == 7);
	EXPECT(!discover_release(path, out, sizeof(out)) && !strcmp(out, ".."));
	/* One that points past the end says nothing. */
	image[0x20f] = 0xff;
	EXPECT(pwrite(fd, image, sizeof(image), 0) == sizeof(image));
	EXPECT(!discover_release(path, out, sizeof(out)) && !out[0]);
	EXPECT(!ftruncate(fd, 0));
	EXPECT(!discover_release(path, out, sizeof(out)) && !out[0]);
	memcpy(image, "\177ELF", 4);
	memcpy(image + 0x700, "Linux version %s", 16);
	memcpy(image + 0x800, "Linux version 6.12.2 (x)", 24);
	EXPECT(pwrite(fd, image, sizeof(image), 0) == sizeof(image));
	close(fd);
	EXPECT(!discover_release(path, out, sizeof(out)));
	EXPECT(!strcmp(out, "6.12.2"));
	/* It is read in pieces of a MiB. */
	for (unsigned int i = 0; i < 300; i++) {
		static const char banner[] = "Linux version 6.18.0-rc2+ (x)";

		fd = open(path, O_RDWR | O_TRUNC);
		EXPECT(pwrite(fd, "\177ELF", 4, 0) == 4);
		EXPECT(pwrite(fd, banner, 29, SZ_1M - i) == 29);
		EXPECT(!ftruncate(fd, i & 1 ? 2 * SZ_1M : SZ_1M - i + 29));
		close(fd);
		EXPECT(!discover_release(path, out, sizeof(out)));
		EXPECT(!strcmp(out, "6.18.0-rc2+"));
	}
	unlink(path);
	EXPECT(discover_release(path, out, sizeof(out)) == -ENOENT);
}

TEST_MAIN(T(newest_image_of_the_tree_is_taken),
	  T(image_that_cannot_be_read_is_not_passed_over),
	  T(tree_is_looked_for_upwards),
	  T(output_directories_are_found_by_their_link),
	  T(kbuild_output_is_binding),
	  T(a_tree_without_an_image_is_binding),
	  T(relative_kbuild_output_is_the_trees),
	  T(what_is_not_built_is_known_by_its_directory),
	  T(directory_that_is_gone_has_no_kernel),
	  T(running_kernel_comes_before_newer_ones),
	  T(release_is_in_the_image))
