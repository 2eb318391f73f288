// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of sealing the process.
 *
 * Theory of operation: unit tests are instrumented by sanitizers, and such a
 * program is not sealed; this one is built without them (see the Makefile).
 * Each test seals a child, whose exit status says what happened in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/landlock.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm/seal.h"
#include "dir.h"
#include "test.h"

/* The errno of @what in a sealed child, 0 when it succeeded, -1 for trouble */
static int sealed_but(const struct seal_exceptions *except, int (*what)(void))
{
	struct report r = { "" };
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (process_seal(AUDIT_ARCH_X86_64, except, &r))
			_exit(255);
		_exit(what() < 0 ? errno : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) == 255)
		return -1;
	return WEXITSTATUS(status);
}

static int sealed(int (*what)(void))
{
	return sealed_but(NULL, what);
}

static int do_exec(void)
{
	return execl("/bin/true", "true", NULL);
}

static int do_open(void)
{
	return open("/etc/passwd", O_RDONLY);
}

static int do_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int do_foreign(void)
{
	return syscall(0x40000000 | __NR_getpid);
}

static int do_pipe(void)
{
	int fd[2];

	return pipe(fd) < 0 || write(fd[1], "x", 1) != 1 ? -1 : 0;
}

/* The directory that is shared, below one that is not */
static char dir[64];

static int in_dir(const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, flags, 0644);
}

static int do_read(void)
{
	return in_dir("share/f", O_RDONLY);
}

static int do_list(void)
{
	return in_dir("share", O_RDONLY | O_DIRECTORY);
}

static int do_write(void)
{
	return in_dir("share/f", O_RDWR | O_TRUNC);
}

static int do_make(void)
{
	return in_dir("share/new", O_RDWR | O_CREAT);
}

static int do_leave(void)
{
	return in_dir("share/../f", O_RDONLY);
}

static int do_by_descriptor(void)
{
	char path[64];
	int fd = in_dir("f", O_PATH);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY);
}

static int do_fsuid(void)
{
	return syscall(__NR_setfsuid, 0) < 0 ? -1 : 0;
}

static void share_setup(struct test *t)
{
	char path[96];

	dir_temp(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/share", dir);
	EXPECT(!mkdir(path, 0755));
	close(in_dir("f", O_CREAT | O_WRONLY));
	close(in_dir("share/f", O_CREAT | O_WRONLY));
}

static void share_teardown(void)
{
	if (dir_remove(dir))
		perror(dir);
}

TEST(sealed_process_reaches_what_is_shared)
{
	long abi = syscall(__NR_landlock_create_ruleset, NULL, 0,
			   LANDLOCK_CREATE_RULESET_VERSION);
	int no = abi >= 1 ? EACCES : 0;
	struct seal_exceptions e = { .nr_shares = 1 };
	char path[96];

	share_setup(t);
	snprintf(path, sizeof(path), "%s/share", dir);
	e.share[0].path = path;
	EXPECT(sealed_but(&e, do_read) == 0 && sealed_but(&e, do_list) == 0);
	EXPECT(sealed_but(&e, do_write) == no);
	EXPECT(sealed_but(&e, do_make) == no);
	EXPECT(sealed_but(&e, do_leave) == no);
	EXPECT(sealed_but(&e, do_by_descriptor) == no);
	EXPECT(sealed_but(&e, do_fsuid) == EPERM);
	e.share[0].write = true;
	EXPECT(sealed_but(&e, do_write) == 0 && sealed_but(&e, do_make) == 0);
	EXPECT(sealed_but(&e, do_leave) == no);
	EXPECT(sealed_but(&e, do_by_descriptor) == no);
	EXPECT(sealed_but(&e, do_fsuid) == 0);
	EXPECT(sealed_but(&e, do_exec) == EPERM);
	share_teardown();
}

TEST(sealed_process_cannot_execute_or_trace)
{
	EXPECT(sealed(do_exec) == EPERM);
	EXPECT(sealed(do_ptrace) == EPERM);
	EXPECT(sealed(do_foreign) == EPERM);
}

TEST(sealed_process_opens_nothing_where_there_is_landlock)
{
	long abi = syscall(__NR_landlock_create_ruleset, NULL, 0,
			   LANDLOCK_CREATE_RULESET_VERSION);

	EXPECT(sealed(do_open) == (abi >= 1 ? EACCES : 0));
}

TEST(sealed_process_still_does_its_work)
{
	EXPECT(sealed(do_pipe) == 0);
}

TEST_MAIN(T(sealed_process_reaches_what_is_shared),
	  T(sealed_process_cannot_execute_or_trace),
	  T(sealed_process_opens_nothing_where_there_is_landlock),
	  T(sealed_process_still_does_its_work))
