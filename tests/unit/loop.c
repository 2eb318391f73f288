// SPDX-License-Identifier: GPL-2.0-only
/*
 * The event loop, with nobody at the console and a guest that answers at once.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "kvm/eventfd.h"

static bool clear_late(int fd);

/* What the loop clears comes when it has looked already, if a test wants that. */
#define eventfd_clear clear_late
#include "../../builtin-loop.c"
#undef eventfd_clear

#include "tests/unit/dir.h"
#include "tests/unit/test.h"

/**
 * struct fixture
 * @told: how often the guest was to forget names; @until: the end
 * @ends_late: the VM ends when the loop has looked for that
 */
static struct {
	struct guest_command g;
	struct kvm kvm;
	char dir[32];
	char name[48];
	unsigned int told;
	u64 until;
	bool ends_late;
} f;

static bool clear_late(int fd)
{
	if (f.ends_late)
		kvm_end(&f.kvm, VM_END_POWEROFF, 0);
	return eventfd_clear(fd);
}

static void edit(void)
{
	close(open(f.name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	unlink(f.name);
}

static bool in_background;

bool terminal_is_ours(bool lines)
{
	(void)lines;
	return !in_background;
}

void command_resize(struct guest_command *g)
{
	(void)g;
}

void command_signal(struct guest_command *g, struct kvm *kvm, unsigned int sig)
{
	(void)g;
	(void)kvm;
	(void)sig;
}

void command_cut(struct guest_command *g, enum vm_end end, u32 code)
{
	(void)g;
	(void)end;
	(void)code;
}

u64 command_overdue(struct guest_command *g, struct kvm *kvm)
{
	(void)g;
	(void)kvm;
	return 0;
}

unsigned int command_poll(const struct guest_command *g,
			  struct pollfd p[COMMAND_POLL])
{
	(void)g;
	p[0] = (struct pollfd){ .fd = -1 };
	return 1;
}

/* The host goes on making and removing a file, which would wake the loop. */
void command_serve(struct guest_command *g, struct kvm *kvm,
		   const struct pollfd p[COMMAND_POLL])
{
	(void)p;
	f.told += g->port.forgetting;
	g->port.forgetting = false;
	edit();
	if (now_ns() >= f.until)
		kvm->end = VM_END_USER;
}

bool console_wants_input(const struct console *c)
{
	return !c->eof;
}

int console_input(struct console *c)
{
	(void)c;
	return 0;
}

int console_drain(struct console *c)
{
	(void)c;
	return 0;
}

void console_feed(struct console *c, struct kvm *kvm)
{
	(void)c;
	(void)kvm;
}

int control_server_fd(const struct control_server *s)
{
	(void)s;
	return -1;
}

void control_server_run(struct control_server *s)
{
	(void)s;
}

u64 control_server_due(const struct control_server *s)
{
	(void)s;
	return 0;
}

void control_serve(struct vm_control *v)
{
	(void)v;
}

TEST(names_that_change_all_the_time_are_told_of_now_and_then)
{
	struct console c = { .eof = true, .wake_fd = -1 };
	struct vm_control control = { .server = NULL };
	const struct run_parts parts = {
		.console = &c, .command = &f.g, .control = &control,
		.deadline = now_ns() + 60 * NSEC_PER_SEC,
	};
	struct report r = { "" };

	pthread_mutex_init(&c.lock, NULL);
	dir_temp(f.dir, sizeof(f.dir));
	snprintf(f.name, sizeof(f.name), "%s/file", f.dir);
	f.kvm.end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f.kvm.edits_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	EXPECT(inotify_add_watch(f.kvm.edits_fd, f.dir, IN_CREATE) >= 0);
	edit();
	f.until = now_ns() + 1000000000;
	EXPECT(!run_loop(&f.kvm, &parts, &r));
	printf("# told %u times\n", f.told);
	/* Each time within a second, on a busy machine too */
	EXPECT(f.told >= 2 && f.told <= 6);
	close(f.kvm.edits_fd);
	close(f.kvm.end_fd);
	rmdir(f.dir);
}

TEST(terminal_that_is_not_ours_is_looked_at_again)
{
	u64 now = now_ns();

	EXPECT(loop_wait(0, true) == -1 && loop_wait(now + 5000000000ULL, true) > 4000);
	in_background = true;
	EXPECT(loop_wait(0, true) == 1000 && loop_wait(now + 5000000000ULL, true) == 1000);
	/* Where nobody wants its keys it is nobody's business. */
	EXPECT(loop_wait(0, false) == -1);
	EXPECT(!loop_wait(now, true) && loop_wait(now_ns() + 500000000, true) <= 501);
	in_background = false;
}

TEST(end_right_behind_a_panic_is_not_waited_for)
{
	struct console c = { .eof = true, .wake_fd = -1 };
	struct last_words words = { 0 };

	pthread_mutex_init(&c.lock, NULL);
	memset(&f, 0, sizeof(f));
	pthread_mutex_init(&f.kvm.end_lock, NULL);
	f.kvm.end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	kvm_end(&f.kvm, VM_END_PANIC, 0);
	EXPECT(loop_wait(loop_panic(&f.kvm, &c, &words), false) > 0);
	f.ends_late = true;
	EXPECT(!loop_wait(loop_panic(&f.kvm, &c, &words), false));
	EXPECT(kvm_ended(&f.kvm) == VM_END_PANIC);
	/* What the guest's command still has to say is none of this. */
	EXPECT(!loop_panic(&f.kvm, &c, &words));
	close(f.kvm.end_fd);
}

TEST_MAIN(T(terminal_that_is_not_ours_is_looked_at_again),
	  T(names_that_change_all_the_time_are_told_of_now_and_then),
	  T(end_right_behind_a_panic_is_not_waited_for))
