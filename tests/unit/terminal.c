// SPDX-License-Identifier: GPL-2.0-only
/* The console's other side: a terminal, which nobody may be reading. */
#include <pty.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "../../builtin-console.c"

#include "tests/unit/test.h"

/* Until @c has no room and the terminal has none. Return: how much it took */
static size_t flood(struct console *c)
{
	static char x[4096];
	size_t n, sent = 0;

	memset(x, 'x', sizeof(x));
	do {
		n = console_offer(c, x, sizeof(x));
		sent += n;
	} while (n || console_drain(c) != -EAGAIN || c->len < sizeof(c->buf));
	return sent;
}

TEST(terminal_that_is_not_read_holds_nobody_up)
{
	static struct console c;
	static struct kvm kvm;
	int master, slave;
	size_t sent, got = 0;
	char d[4096];
	ssize_t n;
	u64 begin;

	EXPECT(!openpty(&master, &slave, NULL, NULL, NULL));
	EXPECT(!console_open_log(&c, terminal_writer(slave), NULL));
	EXPECT(c.out_fd != slave && !(fcntl(slave, F_GETFL) & O_NONBLOCK));
	alarm(30);
	sent = flood(&c);
	begin = now_ns();
	console_flush(&c, &kvm, 100);
	EXPECT(now_ns() - begin < 2000000000ULL && c.stuck);
	alarm(0);
	while (got < sent && (n = read(master, d, sizeof(d))) > 0) {
		got += n;
		console_drain(&c);
	}
	EXPECT(got == sent);
	close(c.out_fd);
	console_close(&c);
	close(slave);
	close(master);
}

TEST(output_that_was_not_offered_is_asked_for_once)
{
	static struct console c;

	EXPECT(!console_open_log(&c, -1, NULL));
	EXPECT(!console_has_room(&c));
	console_wake(&c);
	EXPECT(console_has_room(&c) && !console_has_room(&c));
	console_close(&c);
}

/* More of it comes while some goes. */
static void add(void *opaque, const void *d, size_t len)
{
	console_offer(opaque, d, len);
}

TEST(output_that_is_left_is_looked_at_again)
{
	static struct console c;
	static u8 d[sizeof(c.buf)];
	struct pollfd p = { .events = POLLIN };

	EXPECT(!console_open_log(&c, -1, NULL));
	c.tap = add;
	c.tap_opaque = &c;
	EXPECT(console_offer(&c, d, sizeof(d)) == sizeof(d));
	EXPECT(console_drain(&c) == -EAGAIN && c.len);
	p.fd = c.wake_fd;
	EXPECT(poll(&p, 1, 0) == 1);
	c.tap = NULL;
	EXPECT(!console_drain(&c) && !c.len && !poll(&p, 1, 0));
	console_close(&c);
}

TEST(terminal_is_read_while_the_guest_takes_nothing)
{
	static struct console c;

	c.tty_fd = -1;
	EXPECT(console_wants_input(&c));
	c.in_len = 1;
	EXPECT(!console_wants_input(&c));
	c.tty_fd = 0;
	/* No terminal is as one that is ours. */
	EXPECT(freopen("/dev/null", "r", stdin) && console_wants_input(&c));
	c.in_len = sizeof(c.in);
	EXPECT(!console_wants_input(&c));
}

/* Once the other side of @fd has done its part */
static bool turn(int fd)
{
	char d;

	return write(fd, "", 1) == 1 && read(fd, &d, 1) == 1;
}

/* A job of @shell's, on its terminal. Return: 0 if all was as it should be */
static int job(int shell)
{
	static struct console c = { .tty_fd = STDIN_FILENO };
	bool good;

	setpgid(0, 0);
	terminal_raw();
	good = !terminal_is_ours(false) && !console_wants_input(&c) && terminal_lines();
	if (!turn(shell))
		return 1;
	good = good && console_wants_input(&c) && !terminal_lines();
	/* Then somebody else is in front, who leaves the terminal as it is. */
	if (!turn(shell))
		return 1;
	good = good && !console_wants_input(&c);
	if (!turn(shell))
		return 1;
	good = good && console_wants_input(&c) && !terminal_lines();
	terminal_restore();
	return !(good && terminal_lines());
}

/* A shell, which starts it in the background, and then brings it to the front */
static int shell(int slave)
{
	int s[2], status = -1;
	pid_t pid;
	char d;

	signal(SIGTTOU, SIG_IGN);
	if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) || dup2(slave, STDIN_FILENO) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s))
		return 1;
	pid = fork();
	if (!pid)
		_exit(job(s[1]));
	for (unsigned int i = 0; i < 3; i++)
		if (read(s[0], &d, 1) != 1 ||
		    tcsetpgrp(STDIN_FILENO, i == 1 ? getpgrp() : pid) ||
		    write(s[0], "", 1) != 1)
			return 1;
	if (waitpid(pid, &status, WUNTRACED) != pid)
		return 1;
	return status;
}

TEST(terminal_is_read_in_front_of_it)
{
	int master, slave, status = -1;
	pid_t pid;

	EXPECT(!openpty(&master, &slave, NULL, NULL, NULL));
	pid = fork();
	if (!pid)
		_exit(!!shell(slave));
	EXPECT(waitpid(pid, &status, 0) == pid && !status);
	close(slave);
	close(master);
}

TEST(no_terminal_is_left_as_it_is)
{
	int fd[2];

	EXPECT(!pipe2(fd, O_CLOEXEC));
	EXPECT(terminal_writer(fd[1]) == fd[1] && terminal_writer(-1) == -1);
	close(fd[0]);
	close(fd[1]);
}

TEST(pipe_takes_what_it_has_room_for)
{
	static char d[0x40000];
	bool whole = false;
	size_t sent = 0;
	int fd[2], own;
	ssize_t n;

	EXPECT(!pipe2(fd, O_CLOEXEC));
	own = output_writer(fd[1], &whole);
	EXPECT(own >= 0 && own != fd[1] && whole);
	EXPECT(!(fcntl(fd[1], F_GETFL) & O_NONBLOCK));
	alarm(30);
	while ((n = write(own, d, sizeof(d))) > 0)
		sent += n;
	EXPECT(n < 0 && errno == EAGAIN && sent && sent < sizeof(d));
	alarm(0);
	/* It ends for the reader with the last of both. */
	close(fd[1]);
	while (sent && (n = read(fd[0], d, sizeof(d))) > 0)
		sent -= n;
	EXPECT(!sent);
	close(own);
	EXPECT(!read(fd[0], d, sizeof(d)));
}

TEST(what_is_no_pipe_is_written_to_as_it_is)
{
	FILE *f = tmpfile();
	bool whole = true;
	int fd[2];

	EXPECT(f && output_writer(fileno(f), &whole) == fileno(f) && whole);
	EXPECT(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	EXPECT(output_writer(fd[0], &whole) == fd[0] && !whole);
	EXPECT(output_writer(-1, &whole) == -1 && !whole);
	fclose(f);
	close(fd[0]);
	close(fd[1]);
}

TEST_MAIN(T(terminal_that_is_not_read_holds_nobody_up),
	  T(output_that_was_not_offered_is_asked_for_once),
	  T(output_that_is_left_is_looked_at_again),
	  T(terminal_is_read_while_the_guest_takes_nothing),
	  T(terminal_is_read_in_front_of_it),
	  T(no_terminal_is_left_as_it_is),
	  T(pipe_takes_what_it_has_room_for),
	  T(what_is_no_pipe_is_written_to_as_it_is))
