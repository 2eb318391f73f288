// SPDX-License-Identifier: GPL-2.0-only
/* Threads of devices: their name and signals, what they wait for, a SIGBUS in one of them. */
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "kvm/clock.h"
#include "kvm/eventfd.h"
#include "kvm/thread.h"
#include "kvm/types.h"
#include "test.h"

struct seen {
	char name[THREAD_NAME_MAX];
	sigset_t blocked;
};

static void *look(void *opaque)
{
	struct seen *s = opaque;

	prctl(PR_GET_NAME, s->name);
	pthread_sigmask(SIG_SETMASK, NULL, &s->blocked);
	return s;
}

TEST(thread_has_a_name_and_no_signals)
{
	struct seen s = { 0 };
	sigset_t before, after;
	pthread_t thread;
	void *ret;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	EXPECT(!thread_start(&thread, look, &s, "lkvm-a-name-too-long"));
	EXPECT(!pthread_join(thread, &ret) && ret == &s);
	EXPECT(!strcmp(s.name, "lkvm-a-name-too"));
	EXPECT(sigismember(&s.blocked, SIGTERM) == 1);
	EXPECT(sigismember(&s.blocked, SIGUSR1) == 1);
	EXPECT(!sigismember(&s.blocked, SIGBUS));
	EXPECT(!sigismember(&s.blocked, SIGSEGV));
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	EXPECT(sigismember(&after, SIGTERM) == sigismember(&before, SIGTERM));
}

TEST(eventfd_is_clear_once_it_was_read)
{
	const u64 full = ~0ULL - 1;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	EXPECT(!eventfd_clear(fd));
	eventfd_signal(fd);
	eventfd_signal(fd);
	EXPECT(eventfd_clear(fd) && !eventfd_clear(fd));
	EXPECT(write(fd, &full, sizeof(full)) == sizeof(full));
	eventfd_signal(fd);
	EXPECT(eventfd_clear(fd) && !eventfd_clear(fd));
	close(fd);
	eventfd_signal(-1);
	EXPECT(!eventfd_clear(-1));
}

static void *wait_for_end(void *fd)
{
	struct pollfd p = { .fd = *(int *)fd, .events = POLLIN };

	poll(&p, 1, -1);
	return NULL;
}

TEST(thread_that_is_stopped_can_start_again)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_t thread;

	for (int i = 0; i < 2; i++) {
		EXPECT(!thread_start(&thread, wait_for_end, &fd, "waits"));
		thread_stop(thread, fd);
		EXPECT(!eventfd_clear(fd));
	}
	close(fd);
}

TEST(ms_left_is_zero_only_once_it_is_over)
{
	u64 now = now_ns();

	EXPECT(!ms_left(0) && !ms_left(now));
	EXPECT(ms_left(now + 3600 * NSEC_PER_SEC) > 3500 * 1000);
	EXPECT(ms_left(now + 3600 * NSEC_PER_SEC) <= 3600 * 1000);
	EXPECT(ms_left(~0ULL) == INT_MAX);
	for (u64 end = now_ns() + 2 * NSEC_PER_MSEC; now_ns() < end;) {
		int left = ms_left(end);

		EXPECT(left <= 2 && (left || now_ns() >= end));
	}
}

static void replace_page(int sig, siginfo_t *info, void *context)
{
	u8 *page = (u8 *)((uintptr_t)info->si_addr & ~4095UL);

	(void)sig;
	(void)context;
	if (mmap(page, 4096, PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != page)
		_exit(1);
}

static void *read_byte(void *at)
{
	return (void *)(uintptr_t)__atomic_load_n((u8 *)at, __ATOMIC_RELAXED);
}

/* Guest memory is of a file that was cut short, and a device reads it. */
TEST(thread_survives_a_file_that_shrank)
{
	const struct sigaction bus = {
		.sa_sigaction = replace_page, .sa_flags = SA_SIGINFO,
	};
	int fd = memfd_create("kernel", MFD_CLOEXEC);
	struct sigaction old;
	pthread_t thread;
	void *ret;
	u8 *at;

	EXPECT(fd >= 0 && !ftruncate(fd, 4096));
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	EXPECT(at != MAP_FAILED && !ftruncate(fd, 0));
	sigaction(SIGBUS, &bus, &old);
	EXPECT(!thread_start(&thread, read_byte, at, "reader"));
	EXPECT(!pthread_join(thread, &ret) && !ret);
	sigaction(SIGBUS, &old, NULL);
	munmap(at, 4096);
	close(fd);
}

TEST(process_hears_signals_that_who_starts_it_does_not)
{
	char *const argv[] = { "sh", "-c", "kill $$; exit 3", NULL };
	sigset_t set, old;
	int status = 0;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	EXPECT(!process_spawn(&pid, "sh", NULL, argv));
	EXPECT(waitpid(pid, &status, 0) == pid);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

TEST_MAIN(T(thread_has_a_name_and_no_signals),
	  T(eventfd_is_clear_once_it_was_read), T(thread_that_is_stopped_can_start_again),
	  T(ms_left_is_zero_only_once_it_is_over),
	  T(process_hears_signals_that_who_starts_it_does_not),
	  T(thread_survives_a_file_that_shrank));
