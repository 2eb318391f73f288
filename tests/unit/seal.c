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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm/seal.h"
#include "test.h"

/* The errno of @what in a sealed child, 0 when it succeeded, -1 for trouble */
static int sealed(int (*what)(void))
{
	struct report r = { "" };
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (process_seal(AUDIT_ARCH_X86_64, NULL, &r))
			_exit(255);
		_exit(what() < 0 ? errno : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) == 255)
		return -1;
	return WEXITSTATUS(status);
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

TEST_MAIN(T(sealed_process_cannot_execute_or_trace),
	  T(sealed_process_opens_nothing_where_there_is_landlock),
	  T(sealed_process_still_does_its_work))
