// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands in the guest when the VM ends: what they said last, and what those who
 * asked for them are told.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

/* A port of the test's own */
#define serial_input serial_seen
#include "../../builtin-command.c"
/* Both have functions of these names. */
#define output_write exec_output_write
#define input_read exec_input_read
#include "../../builtin-sessions.c"
#undef output_write
#undef input_read
#undef serial_input

#include "tests/unit/test.h"

static char answer[128];
/* What a test lets pass without waiting */
static u64 passed;

u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec + passed;
}

void terminal_raw(void)
{
}

void terminal_restore(void)
{
}

bool stderr_is_ready(void)
{
	return true;
}

static bool lines, in_background;

bool terminal_is_ours(bool wanted)
{
	return !in_background && (!wanted || lines);
}

size_t terminal_keys(bool *escape, u8 *d, size_t len, bool *leave)
{
	const u8 *at = memchr(d, 'X', len);

	(void)escape;
	*leave = at;
	return at ? (size_t)(at - d) : len;
}

/* A serial port that takes so much at a time, and what it has got */
static size_t serial_takes;
static u8 serial_got[64];
static size_t serial_len;

size_t serial_seen(struct device *dev, const void *d, size_t len)
{
	size_t n = MIN(serial_takes, sizeof(serial_got) - serial_len);

	(void)dev;
	n = MIN(n, len);
	memcpy(serial_got + serial_len, d, n);
	serial_len += n;
	return n;
}

void control_refuse(struct control_call *call, const char *code,
		    const char *path, const char *fmt, ...)
{
	(void)call;
	(void)path;
	(void)fmt;
	snprintf(answer, sizeof(answer), "%s", code);
}

void control_later(struct control_call *call, struct control_later *l)
{
	(void)call;
	(void)l;
}

void control_answer(struct control_later *l, const struct json_out *ok)
{
	(void)l;
	snprintf(answer, sizeof(answer), "%s", ok->text);
}

void control_answer_error(struct control_later *l, const char *code,
			  const char *fmt, ...)
{
	(void)l;
	(void)fmt;
	snprintf(answer, sizeof(answer), "%s", code);
}

struct fixture {
	struct guest_command g;
	struct kvm kvm;
	int reader;
};

static struct fixture *setup(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct session_ops ops = { .wake = command_wake, .opaque = &f->g };

	pthread_mutex_init(&f->g.lock, NULL);
	f->g.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	port_init(&f->g.port, &ops, GUEST_STDIN);
	f->g.port.main.state = SESSION_STARTED;
	f->g.port.features = GUEST_CAN_EXEC;
	f->g.port.window = GUEST_PROTO_WINDOW;
	f->g.port.main.credit = GUEST_PROTO_WINDOW;
	pthread_mutex_init(&f->kvm.end_lock, NULL);
	f->kvm.end_fd = -1;
	answer[0] = 0;
	return f;
}

static void teardown(struct fixture *f)
{
	port_destroy(&f->g.port);
	close(f->g.wake_fd);
	free(f);
}

/* As from the guest; nobody looks at it yet */
static void say(struct fixture *f, u16 session, u8 type, const void *d, u32 len)
{
	struct guest_frame h = {
		.type = type, .stream = type == GUEST_DATA ? GUEST_STDOUT : 0,
		.session = htole16(session), .len = htole32(len),
	};

	port_receive(&f->g.port, &h, sizeof(h));
	port_receive(&f->g.port, d, len);
}

/* A further command, that runs, and whose client reads from @f->reader */
static struct guest_exec *further(struct fixture *f)
{
	struct guest_exec *e = calloc(1, sizeof(*e));
	int fd[2] = { -1, -1 };

	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
		exit(1);
	session_open(&f->g.port, "arg=x", 6, GUEST_STDIN, &e->session);
	e->session->state = SESSION_STARTED;
	free(e->session->config);
	e->session->config = NULL;
	for (unsigned int i = 0; i < GUEST_STREAMS; i++)
		e->fd[i] = -1;
	e->fd[GUEST_STDOUT] = fd[1];
	f->reader = fd[0];
	e->command = &f->g;
	f->g.execs = e;
	return e;
}

/* By its client */
static void signal_further(struct fixture *f, unsigned int sig)
{
	struct vm_control v = { .kvm = &f->kvm, .command = &f->g };
	struct control_call call = { .vm = &v, .arg[1] = { .number = sig } };

	guest_signal(&call);
}

static void say_exit(struct fixture *f, u16 session, u32 status)
{
	const struct guest_exit e = {
		htole32(GUEST_EXITED), htole32(status), htole64(0),
	};

	say(f, session, GUEST_EXIT, &e, sizeof(e));
}

TEST(output_of_a_vm_that_has_ended_is_waited_for_until_it_is_ended_again)
{
	struct fixture *f = setup();

	kvm_end(&f->kvm, VM_END_REPORTED, 0);
	EXPECT(f->kvm.end == VM_END_REPORTED && f->g.cut == VM_END_NONE);
	command_end(&f->g, &f->kvm, SIGKILL);
	EXPECT(f->kvm.end == VM_END_REPORTED);
	EXPECT(f->g.cut == VM_END_USER && f->g.cut_code == SIGKILL);
	teardown(f);
}

TEST(what_nobody_has_looked_at_is_output_at_the_end)
{
	struct fixture *f = setup();
	size_t len = 100;
	const u8 *d;

	say(f, 0, GUEST_DATA, "last", 4);
	EXPECT(!session_pending(&f->g.port.main));
	command_drain(&f->g, &f->kvm);
	d = session_output(&f->g.port.main, GUEST_STDOUT, &len);
	EXPECT(len == 4 && !memcmp(d, "last", 4));
	teardown(f);
}

TEST(a_command_that_has_ended_is_answered_at_the_end)
{
	struct fixture *f = setup();
	struct guest_exec *e = further(f);
	char d[16] = "";

	say(f, e->session->id, GUEST_DATA, "last", 4);
	say_exit(f, e->session->id, 7);
	command_drain(&f->g, &f->kvm);
	execs_end(&f->g);
	EXPECT(!f->g.execs && strstr(answer, "\"exit\":7"));
	EXPECT(read(f->reader, d, sizeof(d)) == 4 && !strcmp(d, "last"));
	close(f->reader);
	teardown(f);
}

TEST(one_command_too_many_is_refused_for_now)
{
	struct fixture *f = setup();
	struct vm_control v = { .kvm = &f->kvm, .command = &f->g };
	struct control_call call = { .vm = &v };
	struct session *s;

	call.fd[0] = memfd_create("records", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	EXPECT(write(call.fd[0], "arg=x", 6) == 6);
	for (unsigned int i = 1; i < FILES; i++)
		call.fd[i] = f->g.wake_fd;
	/* An eventfd is no pipe. */
	guest_exec(&call);
	EXPECT(!strcmp(answer, "invalid"));
	for (unsigned int i = 1; i < FILES; i++)
		call.fd[i] = open("/dev/null", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	while (!session_open(&f->g.port, "arg=x", 6, GUEST_STDIN, &s))
		;
	guest_exec(&call);
	EXPECT(!strcmp(answer, "busy") && !f->g.execs);
	f->g.port.features = 0;
	guest_exec(&call);
	EXPECT(!strcmp(answer, "unsupported"));
	f->g.port.main.state = SESSION_EXITED;
	guest_exec(&call);
	EXPECT(!strcmp(answer, "ended"));
	for (unsigned int i = 0; i < FILES; i++)
		close(call.fd[i]);
	teardown(f);
}

TEST(a_note_about_a_further_command_is_its_clients)
{
	static const char text[] = "lkvm: guest: text\n";
	struct fixture *f = setup();
	struct guest_exec *e = further(f);
	char d[64] = "";

	command_note(&f->g, e->session, GUEST_TERMINAL, "nowhere");
	command_note(&f->g, e->session, GUEST_STDOUT, "text");
	EXPECT(read(f->reader, d, sizeof(d)) == sizeof(text) - 1 && !strcmp(d, text));
	execs_end(&f->g);
	close(f->reader);
	teardown(f);
}

/* All of it is in the ring, and in the pipe there is no room. */
TEST(a_client_that_does_not_read_is_told_of_no_success)
{
	static const u8 page[4096];
	struct fixture *f = setup();
	struct guest_exec *e = further(f);
	u64 begin = now_ns();

	while (write(e->fd[GUEST_STDOUT], page, sizeof(page)) > 0)
		;
	say(f, e->session->id, GUEST_DATA, "last", 4);
	say_exit(f, e->session->id, 0);
	command_drain(&f->g, &f->kvm);
	EXPECT(f->g.execs == e && session_over(e->session));
	execs_end(&f->g);
	EXPECT(!f->g.execs && !strcmp(answer, "ended"));
	EXPECT(now_ns() - begin < 20 * FINISH_NS);
	close(f->reader);
	teardown(f);
}

TEST(a_command_that_ended_without_a_look_is_answered_late)
{
	struct fixture *f = setup();
	struct guest_exec *e = further(f);

	e->session->state = SESSION_KILLED;
	e->session->value = 9;
	execs_end(&f->g);
	EXPECT(!f->g.execs && strstr(answer, "\"signal\":9"));
	close(f->reader);
	teardown(f);
}

TEST(a_command_that_runs_is_cut_off_at_the_end)
{
	struct fixture *f = setup();

	further(f);
	command_drain(&f->g, &f->kvm);
	execs_end(&f->g);
	EXPECT(!f->g.execs && !strcmp(answer, "ended"));
	close(f->reader);
	teardown(f);
}

/* Return: whether that has ended the VM; the guest gets the keys otherwise. */
static bool typed(struct fixture *f, const char *keys, u64 later)
{
	u8 d[8];
	size_t n = strlen(keys);

	passed += later;
	memcpy(d, keys, n);
	n = input_keys(&f->g, &f->kvm, d, n);
	if (n)
		session_input(&f->g.port.main, d, n);
	return f->kvm.end == VM_END_USER && f->kvm.end_code == SIGINT;
}

TEST(an_interrupt_key_ends_what_has_not_begun)
{
	struct fixture *f = setup();

	f->g.port.main.state = SESSION_SILENT;
	EXPECT(!typed(f, "abc", 0) && typed(f, "d\3", 0));
	teardown(f);
}

TEST(interrupt_keys_that_are_not_taken_end_the_vm)
{
	static const struct pollfd none[COMMAND_POLL] = { 0 };
	struct fixture *f = setup();

	EXPECT(!f->g.port.main.told);
	EXPECT(!typed(f, "\3\3", 0) && !typed(f, "\3", TWICE_NS));
	EXPECT(f->g.port.main.told);
	f->g.port.tx_len = 0;
	command_serve(&f->g, &f->kvm, none);
	EXPECT(typed(f, "\3", TWICE_NS / 2));
	teardown(f);
}

/* As run_loop() does. Return: whether the terminal was looked at */
static bool type_at(struct fixture *f, int terminal, const char *keys)
{
	struct pollfd p[COMMAND_POLL];
	size_t n = strlen(keys);

	command_poll(&f->g, p);
	if (p[1].fd < 0 || write(terminal, keys, n) != (ssize_t)n)
		return false;
	input_serve(&f->g, &f->kvm, true);
	return true;
}

/* Input is a terminal, typed at by fd[1], of which the guest takes @credit bytes. */
static struct fixture *setup_keyboard(int fd[2], u32 credit)
{
	struct fixture *f = setup();

	/* Without one nothing is heard, which fails the test. */
	fd[0] = -1;
	fd[1] = -1;
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		printf("# no pipe\n");
	f->g.in_fd = fd[0];
	f->g.kind[0] = STREAM_OURS_TTY;
	f->g.port.main.credit = credit;
	return f;
}

TEST(keys_are_heard_and_kept_while_the_command_takes_none)
{
	const __le32 taken = htole32(16);
	int fd[2];
	struct fixture *f = setup_keyboard(fd, 2);

	EXPECT(type_at(f, fd[1], "ab") && !f->g.port.main.credit);
	EXPECT(type_at(f, fd[1], "cd") && type_at(f, fd[1], "e"));
	EXPECT(f->g.typed_len == 3 && !memcmp(f->g.typed, "cde", 3));
	say(f, 0, GUEST_CREDIT, &taken, sizeof(taken));
	port_run(&f->g.port);
	/* What was typed first goes first. */
	EXPECT(type_at(f, fd[1], "f") && !f->g.typed_len);
	EXPECT(f->g.port.main.credit == 12 && f->g.port.tx_len >= 4 &&
	       !memcmp(f->g.port.tx + f->g.port.tx_len - 1, "f", 1));
	f->g.port.main.credit = 0;
	EXPECT(type_at(f, fd[1], "g") && !f->kvm.end && type_at(f, fd[1], "X"));
	EXPECT(f->kvm.end == VM_END_USER);
	close(fd[0]);
	close(fd[1]);
	teardown(f);
}

TEST(keys_are_kept_as_far_as_there_is_room)
{
	const __le32 taken = htole32(2);
	int fd[2];
	struct fixture *f = setup_keyboard(fd, 0);
	unsigned int n = 0;
	char key[2] = "";

	do {
		key[0] = 'a' + n++ % 7;
	} while (n < 10 * sizeof(f->g.typed) && type_at(f, fd[1], key));
	EXPECT(n == sizeof(f->g.typed) + 1 && f->g.typed_len == sizeof(f->g.typed));
	say(f, 0, GUEST_CREDIT, &taken, sizeof(taken));
	port_run(&f->g.port);
	input_serve(&f->g, &f->kvm, false);
	EXPECT(f->g.typed_len == sizeof(f->g.typed) - 2 && !f->g.port.main.credit);
	EXPECT(!memcmp(f->g.port.tx + f->g.port.tx_len - 2, "ab", 2) &&
	       !memcmp(f->g.typed, "cdefgab", 7));
	close(fd[0]);
	close(fd[1]);
	teardown(f);
}

/* Somebody else may have been faster, or have made it one that does not wait. */
TEST(input_that_is_not_there_is_not_its_end)
{
	struct fixture *f = setup();
	int fd[2];

	EXPECT(!pipe2(fd, O_CLOEXEC | O_NONBLOCK));
	f->g.in_fd = fd[0];
	f->g.kind[0] = STREAM_OURS_PIPE;
	lines = true;
	input_read(&f->g, &f->kvm);
	EXPECT(f->g.in_fd == fd[0] && !f->g.port.main.input_ended);
	close(fd[1]);
	input_read(&f->g, &f->kvm);
	lines = false;
	EXPECT(f->g.in_fd < 0 && f->g.port.main.input_ended && !f->g.port.tx_len);
	close(fd[0]);
	teardown(f);
}

TEST(what_the_port_has_no_room_for_is_kept)
{
	static const struct pollfd none[COMMAND_POLL] = { 0 };
	struct fixture *f = setup();
	size_t len = sizeof(struct guest_frame) + 5;

	f->g.carrier = CARRIER_SERIAL;
	session_input(&f->g.port.main, "12345", 5);
	serial_len = 0;
	serial_takes = 3;
	for (size_t n = 3; n < len; n += 3) {
		command_serve(&f->g, &f->kvm, none);
		EXPECT(serial_len == n && f->g.port.tx_len == len - n);
	}
	serial_takes = len;
	command_serve(&f->g, &f->kvm, none);
	EXPECT(serial_len == len && !f->g.port.tx_len);
	EXPECT(*serial_got == GUEST_DATA && !memcmp(serial_got + len - 5, "12345", 5));
	/* There may be more to say than there was room to say it in. */
	session_signal(&f->g.port.main, SIGINT);
	command_serve(&f->g, &f->kvm, none);
	EXPECT(serial_len == len + sizeof(struct guest_frame) + 4);
	teardown(f);
}

/* Or lkvm would not sleep while the guest does. */
TEST(only_what_can_move_is_waited_for)
{
	struct pollfd p[COMMAND_POLL] = { 0 };
	struct fixture *f = setup();
	u64 wakes;

	f->g.in_fd = 0;
	f->g.kind[0] = STREAM_OURS_PIPE;
	f->g.fd[GUEST_STDOUT] = 1;
	f->g.fd[GUEST_STDERR] = 2;
	f->g.fd[GUEST_TERMINAL] = -1;
	EXPECT(command_poll(&f->g, p) == COMMAND_OWN);
	EXPECT(p[0].fd == f->g.wake_fd && p[0].events == POLLIN);
	EXPECT(!p[1].fd && p[1].events == POLLIN && p[2].fd < 0 && p[3].fd < 0);
	say(f, 0, GUEST_DATA, "x", 1);
	port_run(&f->g.port);
	f->g.port.main.credit = 0;
	EXPECT(command_poll(&f->g, p) == COMMAND_OWN);
	EXPECT(p[1].fd < 0 && p[2].fd == 1 && p[2].events == POLLOUT && p[3].fd < 0);
	/* What has woken us does so once. */
	session_refuse(&f->g.port.main, GUEST_STDOUT);
	f->g.port.main.out[GUEST_STDOUT].tell_refused = false;
	p[0].revents = POLLIN;
	p[1].revents = 0;
	command_serve(&f->g, &f->kvm, p);
	EXPECT(read(f->g.wake_fd, &wakes, sizeof(wakes)) < 0);
	teardown(f);
}

TEST(the_end_of_the_command_is_that_of_the_vm)
{
	static const struct pollfd none[COMMAND_POLL] = { 0 };
	struct fixture *f = setup();
	struct guest_command *g = &f->g;
	u64 init;

	g->port.main.state = SESSION_SILENT;
	command_serve(g, &f->kvm, none);
	EXPECT(!g->init_time && !g->start_time && !g->end_time);
	g->port.main.state = SESSION_READY;
	command_serve(g, &f->kvm, none);
	init = g->init_time;
	EXPECT(init && !g->start_time && !f->kvm.end);
	g->port.main.state = SESSION_STARTED;
	passed += NSEC_PER_SEC;
	command_serve(g, &f->kvm, none);
	EXPECT(g->init_time == init && g->start_time > init && !g->end_time && !f->kvm.end);
	say_exit(f, 0, 3);
	passed += NSEC_PER_SEC;
	command_serve(g, &f->kvm, none);
	EXPECT(g->end_time > g->start_time && f->kvm.end == VM_END_REPORTED);
	teardown(f);
}

TEST(a_terminal_that_goes_is_an_end_behind_what_was_typed)
{
	const __le32 taken = htole32(16);
	int fd[2];
	struct fixture *f = setup_keyboard(fd, 0);

	EXPECT(type_at(f, fd[1], "last"));
	close(fd[1]);
	input_serve(&f->g, &f->kvm, true);
	EXPECT(f->g.in_fd < 0 && !f->g.port.main.input_ended);
	say(f, 0, GUEST_CREDIT, &taken, sizeof(taken));
	port_run(&f->g.port);
	input_serve(&f->g, &f->kvm, false);
	EXPECT(!f->g.typed_len && f->g.port.main.credit == 12);
	input_serve(&f->g, &f->kvm, false);
	EXPECT(f->g.port.main.input_ended && f->g.port.main.tell_ended);
	close(fd[0]);
	teardown(f);
}

/* What of descriptors 1 and 2 as @out and @err. Return: the kind of stderr */
static enum stream_of_ours kind_of_stderr(int out, int err)
{
	int old[2] = { dup(1), dup(2) };
	enum stream_of_ours kind[3];

	dup2(out, 1);
	dup2(err, 2);
	streams_probe(kind);
	for (int i = 0; i < 2; i++) {
		dup2(old[i], 1 + i);
		close(old[i]);
	}
	return kind[2];
}

TEST(output_and_errors_that_are_one_are_one)
{
	int a[2], b[2], file = memfd_create("x", MFD_CLOEXEC);

	EXPECT(!pipe2(a, O_CLOEXEC) && !pipe2(b, O_CLOEXEC));
	EXPECT(kind_of_stderr(a[1], a[1]) == STREAM_OURS_SAME);
	EXPECT(kind_of_stderr(file, file) == STREAM_OURS_SAME);
	EXPECT(kind_of_stderr(a[1], b[1]) == STREAM_OURS_PIPE);
	EXPECT(kind_of_stderr(a[1], file) == STREAM_OURS_PIPE);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
	close(file);
}

TEST(leaving_cuts_off_output_of_a_vm_that_has_ended)
{
	int fd[2];
	struct fixture *f = setup_keyboard(fd, 16);

	kvm_end(&f->kvm, VM_END_REPORTED, 0);
	EXPECT(type_at(f, fd[1], "X") && f->g.cut == VM_END_USER && !f->g.cut_code);
	close(fd[0]);
	close(fd[1]);
	teardown(f);
}

TEST(a_terminal_is_not_read_in_the_background)
{
	int fd[2];
	struct fixture *f = setup_keyboard(fd, 16);

	in_background = true;
	EXPECT(!type_at(f, fd[1], "a"));
	f->g.kind[0] = STREAM_OURS_PIPE;
	EXPECT(type_at(f, fd[1], "b"));
	f->g.kind[0] = STREAM_OURS_TTY;
	in_background = false;
	EXPECT(type_at(f, fd[1], "c") && f->g.port.main.credit == 14);
	close(fd[0]);
	close(fd[1]);
	teardown(f);
}

TEST(interrupt_keys_that_are_taken_end_nothing)
{
	static const struct pollfd none[COMMAND_POLL] = { 0 };
	const __le32 taken = htole32(1);
	struct fixture *f = setup();

	for (unsigned int i = 0; i < 3; i++) {
		EXPECT(!typed(f, "\3", TWICE_NS / 2));
		say(f, 0, GUEST_CREDIT, &taken, sizeof(taken));
		port_run(&f->g.port);
		f->g.port.tx_len = 0;
		command_serve(&f->g, &f->kvm, none);
		EXPECT(!f->g.asked && !typed(f, "a", 0));
		f->g.port.main.credit++;
	}
	teardown(f);
}

TEST(a_signal_before_the_command_ends_the_vm)
{
	struct fixture *f = setup();

	f->g.port.main.state = SESSION_READY;
	command_signal(&f->g, &f->kvm, SIGTERM);
	EXPECT(f->kvm.end == VM_END_USER && f->kvm.end_code == SIGTERM);
	EXPECT(!f->g.port.main.signals);
	teardown(f);
}

/* Of two kinds each is the command's, and so is the next one a while later. */
TEST(a_second_signal_of_a_kind_ends_the_vm)
{
	struct fixture *f = setup();

	command_signal(&f->g, &f->kvm, SIGINT);
	command_signal(&f->g, &f->kvm, SIGTERM);
	EXPECT(!f->kvm.end && f->g.port.main.signals == (BIT(SIGINT) | BIT(SIGTERM)));
	passed += TWICE_NS;
	command_signal(&f->g, &f->kvm, SIGTERM);
	EXPECT(!f->kvm.end);
	command_signal(&f->g, &f->kvm, SIGTERM);
	EXPECT(f->kvm.end == VM_END_USER && f->kvm.end_code == SIGTERM);
	teardown(f);
}

/* The first one counts from when it came; SIGINT is of somebody who sends another. */
TEST(a_signal_is_overdue_from_when_it_came)
{
	struct fixture *f = setup();

	command_signal(&f->g, &f->kvm, SIGINT);
	EXPECT(!command_overdue(&f->g, &f->kvm));
	command_signal(&f->g, &f->kvm, SIGTERM);
	passed += SIGNAL_HEARD_NS / 2;
	command_signal(&f->g, &f->kvm, SIGHUP);
	passed += SIGNAL_HEARD_NS / 2;
	EXPECT(!command_overdue(&f->g, &f->kvm) && f->kvm.end == VM_END_USER);
	teardown(f);
}

TEST(a_signal_that_is_not_taken_ends_the_vm)
{
	struct fixture *f = setup();

	EXPECT(!command_overdue(&f->g, &f->kvm));
	command_signal(&f->g, &f->kvm, SIGTERM);
	EXPECT(command_overdue(&f->g, &f->kvm) && !f->kvm.end);
	passed += SIGNAL_HEARD_NS;
	EXPECT(!command_overdue(&f->g, &f->kvm));
	EXPECT(f->kvm.end == VM_END_USER && f->kvm.end_code == SIGTERM);
	teardown(f);
}

TEST(a_signal_that_is_taken_is_the_commands)
{
	struct fixture *f = setup();

	command_signal(&f->g, &f->kvm, SIGHUP);
	say(f, 0, GUEST_SIGNAL, "", 0);
	port_run(&f->g.port);
	EXPECT(!command_overdue(&f->g, &f->kvm));
	passed += SIGNAL_HEARD_NS;
	EXPECT(!command_overdue(&f->g, &f->kvm) && !f->kvm.end);
	teardown(f);
}

TEST(a_signal_that_is_not_taken_ends_who_waits_for_a_further_command)
{
	struct fixture *f = setup();
	struct session *s = further(f)->session;

	EXPECT(!command_overdue(&f->g, &f->kvm));
	signal_further(f, SIGINT);
	EXPECT(!command_overdue(&f->g, &f->kvm));
	signal_further(f, SIGTERM);
	EXPECT(command_overdue(&f->g, &f->kvm) && f->g.execs);
	passed += SIGNAL_HEARD_NS;
	EXPECT(!command_overdue(&f->g, &f->kvm) && !f->g.execs && !f->kvm.end);
	EXPECT(!strcmp(answer, "\"signal\":15,\"error\":\"left\""));
	/* Should the guest come to life, it is hung up on. */
	EXPECT(s->orphan && s->signals & BIT(SIGHUP));
	close(f->reader);
	teardown(f);
}

TEST(a_signal_that_is_taken_is_the_further_commands)
{
	struct fixture *f = setup();
	struct session *s = further(f)->session;

	signal_further(f, SIGHUP);
	EXPECT(command_overdue(&f->g, &f->kvm));
	say(f, s->id, GUEST_SIGNAL, "", 0);
	port_run(&f->g.port);
	EXPECT(!command_overdue(&f->g, &f->kvm));
	passed += SIGNAL_HEARD_NS;
	EXPECT(!command_overdue(&f->g, &f->kvm) && f->g.execs && !*answer);
	execs_end(&f->g);
	close(f->reader);
	teardown(f);
}

TEST(a_signal_before_and_behind_a_further_command_ends_who_waits)
{
	static const enum session_state states[] = {
		SESSION_SILENT, SESSION_READY, SESSION_EXITED, SESSION_FAILED,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		struct fixture *f = setup();
		struct guest_exec *e = further(f);

		e->session->state = states[i];
		e->session->out[GUEST_STDOUT].len = states[i] == SESSION_EXITED;
		signal_further(f, SIGUSR1);
		EXPECT(f->g.execs == e && !*answer);
		signal_further(f, SIGINT);
		EXPECT(!f->g.execs && strstr(answer, "\"signal\":2,\"error\":"));
		close(f->reader);
		teardown(f);
	}
}

/* As of a terminal: reading it gives no more after the end of a line. */
TEST(lines_are_read_while_nobody_else_wants_keys)
{
	struct fixture *f = setup();
	int fd[2];

	EXPECT(!pipe2(fd, O_CLOEXEC | O_NONBLOCK) && write(fd[1], "a\n", 2) == 2);
	f->g.port.main.input = GUEST_TERMINAL;
	f->g.kind[0] = STREAM_OURS_TTY;
	f->g.in_fd = fd[0];
	f->g.lines = true;
	lines = false;
	EXPECT(!input_wanted(&f->g));
	lines = true;
	EXPECT(input_wanted(&f->g));
	input_read(&f->g, &f->kvm);
	EXPECT(f->g.port.main.credit == GUEST_PROTO_WINDOW - 2);
	close(fd[1]);
	input_read(&f->g, &f->kvm);
	EXPECT(f->g.in_fd == fd[0] && !f->g.port.main.input_ended);
	EXPECT(f->g.port.tx[f->g.port.tx_len - 1] == KEY_EOF);
	lines = false;
	input_read(&f->g, &f->kvm);
	EXPECT(f->g.port.main.input_ended);
	close(fd[0]);
	teardown(f);
}

/* Bytes of the second serial port */
static void write_serial(struct fixture *f, const void *d, size_t len)
{
	f->kvm.control.output(f->kvm.control.opaque, d, len);
	port_run(&f->g.port);
}

TEST(an_init_without_a_virtio_port_is_heard_at_the_serial_one)
{
	const struct machine m = { .control = CONTROL_VIRTIO };
	const struct {
		struct guest_frame f;
		struct guest_hello h;
	} hello = {
		{ GUEST_HELLO, 0, 0, htole32(sizeof(hello.h)) },
		{ htole32(GUEST_PROTO_MAGIC), htole32(GUEST_PROTO_VERSION),
		  htole32(1024), 0 },
	};
	struct fixture *f = setup();

	f->kvm.machine = &m;
	command_attach(&f->g, &f->kvm);
	f->g.port.main.state = SESSION_SILENT;
	write_serial(f, "[    0.0] a console", 19);
	EXPECT(f->g.carrier == CARRIER_OPEN && f->g.port.main.state == SESSION_SILENT);
	write_serial(f, &hello, sizeof(hello));
	EXPECT(f->g.carrier == CARRIER_SERIAL && f->g.port.main.state == SESSION_READY);
	EXPECT(f->g.port.window == 1024);
	/* What the other port has to say is not mixed with it. */
	EXPECT(f->kvm.control.offer(&f->g, &hello, sizeof(hello)) == sizeof(hello));
	port_run(&f->g.port);
	EXPECT(f->g.port.main.state == SESSION_READY);
	command_attach(&f->g, &f->kvm);
	f->g.port.main.state = SESSION_SILENT;
	EXPECT(f->kvm.control.offer(&f->g, &hello, sizeof(hello)) == sizeof(hello));
	write_serial(f, &hello, sizeof(hello));
	EXPECT(f->g.carrier == CARRIER_VIRTIO && f->g.port.main.state == SESSION_READY);
	teardown(f);
}

/* The command says @len bytes; they are in its ring. */
static void say_output(struct fixture *f, const void *d, u32 len)
{
	say(f, 0, GUEST_DATA, d, len);
	port_run(&f->g.port);
}

static bool is_refused(const struct fixture *f)
{
	return f->g.port.main.out[GUEST_STDOUT].tell_refused;
}

TEST(output_waits_for_its_reader)
{
	static u8 d[0x4000], got[sizeof(d)];
	struct fixture *f = setup();
	size_t len = 0;
	int fd[2];

	EXPECT(!pipe2(fd, O_CLOEXEC | O_NONBLOCK) && fcntl(fd[1], F_SETPIPE_SZ, 4096) == 4096);
	for (unsigned int i = 0; i < sizeof(d); i++)
		d[i] = i % 251;
	f->g.fd[GUEST_STDOUT] = fd[1];
	f->g.whole[GUEST_STDOUT] = true;
	say_output(f, d, sizeof(d));
	for (unsigned int i = 0; i < 4; i++) {
		output_write(&f->g, GUEST_STDOUT);
		EXPECT(session_pending(&f->g.port.main) == (i < 3) && !is_refused(f));
		len += read(fd[0], got + len, sizeof(got) - len);
	}
	EXPECT(len == sizeof(d) && !memcmp(got, d, len) && !f->g.lost);
	close(fd[0]);
	close(fd[1]);
	teardown(f);
}

/* Of what blocks and is no pipe a piece is written only where it does not. */
TEST(output_to_what_blocks_does_not)
{
	static u8 d[0x4000];
	struct fixture *f = setup();
	int fd[2], small = 1;

	EXPECT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	f->g.fd[GUEST_STDOUT] = fd[1];
	say_output(f, d, sizeof(d));
	output_write(&f->g, GUEST_STDOUT);
	EXPECT(session_pending(&f->g.port.main) && !is_refused(f));
	for (unsigned int i = 0; i < 100 && session_pending(&f->g.port.main); i++) {
		EXPECT(read(fd[0], d, sizeof(d)) > 0);
		output_write(&f->g, GUEST_STDOUT);
	}
	EXPECT(!session_pending(&f->g.port.main));
	close(fd[0]);
	close(fd[1]);
	teardown(f);
}

/* That a reader has gone is no error; what cannot be written is, and the first counts. */
TEST(output_that_cannot_be_written_is_refused)
{
	struct fixture *f = setup();
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), fd[2];

	signal(SIGPIPE, SIG_IGN);
	EXPECT(full >= 0 && !pipe2(fd, O_CLOEXEC));
	close(fd[0]);
	f->g.fd[GUEST_STDOUT] = fd[1];
	say_output(f, "x", 1);
	output_write(&f->g, GUEST_STDOUT);
	EXPECT(is_refused(f) && !f->g.lost && !session_pending(&f->g.port.main));
	close(fd[1]);
	teardown(f);
	f = setup();
	f->g.fd[GUEST_STDOUT] = full;
	say_output(f, "x", 1);
	output_write(&f->g, GUEST_STDOUT);
	EXPECT(is_refused(f) && f->g.lost == ENOSPC && f->g.lost_stream == GUEST_STDOUT);
	f->g.port.main.out[GUEST_STDERR].len = 1;
	f->g.fd[GUEST_STDERR] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	output_write(&f->g, GUEST_STDERR);
	EXPECT(f->g.lost == ENOSPC && f->g.lost_stream == GUEST_STDOUT);
	close(f->g.fd[GUEST_STDERR]);
	close(full);
	teardown(f);
}

/* The end of what is not ours to write to is none of ours. */
TEST(output_without_a_stream_is_refused)
{
	struct fixture *f = setup();

	f->g.fd[GUEST_STDOUT] = -1;
	say_output(f, "x", 1);
	output_write(&f->g, GUEST_STDOUT);
	EXPECT(is_refused(f) && !f->g.lost && !session_pending(&f->g.port.main));
	teardown(f);
}

/** struct ends - of pipes that are our standard input and output: whether they are open */
struct ends {
	bool in;
	bool out;
};

/* After streams_end(), where @kind is that of both, and output is @fd of ours, 1 or another */
static struct ends ends_after(struct fixture *f, enum stream_of_ours kind, bool other)
{
	int old[2] = { dup(0), dup(1) }, in[2], out[2];
	struct ends e;
	u8 d;

	if (pipe2(in, O_CLOEXEC | O_NONBLOCK) || pipe2(out, O_CLOEXEC | O_NONBLOCK))
		exit(1);
	fflush(stdout);
	dup2(in[0], 0);
	dup2(out[1], 1);
	close(in[0]);
	close(out[1]);
	f->g.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	f->g.kind[0] = kind;
	f->g.kind[1] = kind;
	f->g.in_fd = 0;
	f->g.fd[GUEST_STDOUT] = other ? dup(1) : 1;
	streams_end(&f->g);
	e.in = write(in[1], "x", 1) == 1;
	e.out = read(out[0], &d, 1) < 0;
	if (f->g.fd[GUEST_STDOUT] > 2)
		close(f->g.fd[GUEST_STDOUT]);
	for (int i = 0; i < 2; i++) {
		dup2(old[i], i);
		close(old[i]);
	}
	close(in[1]);
	close(out[0]);
	close(f->g.null_fd);
	return e;
}

TEST(what_the_command_closes_ends_for_others)
{
	struct fixture *f = setup();
	struct session *s = &f->g.port.main;
	struct ends e;

	signal(SIGPIPE, SIG_IGN);
	e = ends_after(f, STREAM_OURS_PIPE, false);
	EXPECT(e.in && e.out && !f->g.in_fd && f->g.fd[GUEST_STDOUT] == 1);
	s->input_refused = true;
	e = ends_after(f, STREAM_OURS_PIPE, false);
	EXPECT(!e.in && e.out && f->g.in_fd < 0);
	/* Not before all of it is written */
	s->out[GUEST_STDOUT].ended = true;
	s->out[GUEST_STDOUT].len = 1;
	e = ends_after(f, STREAM_OURS_PIPE, true);
	EXPECT(!e.in && e.out);
	s->out[GUEST_STDOUT].len = 0;
	for (unsigned int other = 0; other < 2; other++) {
		e = ends_after(f, STREAM_OURS_PIPE, other);
		EXPECT(!e.in && !e.out && f->g.fd[GUEST_STDOUT] < 0);
	}
	/* A terminal is still there. */
	e = ends_after(f, STREAM_OURS_TTY, true);
	EXPECT(e.in && e.out && !f->g.in_fd);
	teardown(f);
}

/** struct writer - a vCPU that writes to the serial port */
struct writer {
	struct fixture *f;
	const u8 *d;
	size_t len;
	pthread_t thread;
};

static void *writer_main(void *opaque)
{
	struct writer *w = opaque;

	w->f->kvm.control.output(w->f->kvm.control.opaque, w->d, w->len);
	return NULL;
}

#define LOG_FRAMES 40U
#define LOG_FRAME (sizeof(struct guest_frame) + GUEST_PROTO_DATA_MAX)

/* More of the kernel's log than the port has room for, from a vCPU */
static bool writer_start(struct writer *w, struct console *console)
{
	static const struct machine m = { .control = CONTROL_SERIAL };
	const struct guest_frame h = {
		.type = GUEST_KLOG, .len = htole32(GUEST_PROTO_DATA_MAX),
	};
	u8 *d = malloc(LOG_FRAMES * LOG_FRAME);

	w->f = setup();
	w->f->kvm.machine = &m;
	w->f->g.port.ops.klog = command_klog;
	w->f->g.console = console;
	pthread_mutex_init(&console->lock, NULL);
	command_attach(&w->f->g, &w->f->kvm);
	for (unsigned int i = 0; i < LOG_FRAMES; i++) {
		memcpy(d + i * LOG_FRAME, &h, sizeof(h));
		memset(d + i * LOG_FRAME + sizeof(h), 'a', GUEST_PROTO_DATA_MAX);
	}
	w->d = d;
	w->len = LOG_FRAMES * LOG_FRAME;
	return !pthread_create(&w->thread, NULL, writer_main, w);
}

static void writer_end(struct writer *w)
{
	pthread_join(w->thread, NULL);
	free((void *)w->d);
	teardown(w->f);
}

TEST(bytes_of_a_serial_port_wait_for_room)
{
	static struct console console;
	struct pollfd p[COMMAND_POLL] = { 0 };
	struct writer w;

	EXPECT(writer_start(&w, &console));
	while (console.log.total < LOG_FRAMES * GUEST_PROTO_DATA_MAX) {
		p[0] = (struct pollfd){ .fd = w.f->g.wake_fd, .events = POLLIN };
		if (poll(p, 1, 10000) <= 0)
			break;
		command_serve(&w.f->g, &w.f->kvm, p);
	}
	EXPECT(console.log.total == LOG_FRAMES * GUEST_PROTO_DATA_MAX);
	command_shut(&w.f->g);
	writer_end(&w);
}

/* As when a CPU says itself that the guest is not to be waited for */
TEST(bytes_that_are_yielded_make_room)
{
	static struct console console;
	struct writer w;
	u64 end = now_ns() + 10 * NSEC_PER_SEC;

	EXPECT(writer_start(&w, &console));
	while (console.log.total < LOG_FRAMES * GUEST_PROTO_DATA_MAX && now_ns() < end)
		w.f->kvm.control.yield(w.f->kvm.control.opaque);
	EXPECT(console.log.total == LOG_FRAMES * GUEST_PROTO_DATA_MAX);
	command_shut(&w.f->g);
	writer_end(&w);
}

TEST(a_vcpu_waits_no_longer_than_the_vm_lives)
{
	static struct console console;
	struct writer w;
	struct pollfd p;

	EXPECT(writer_start(&w, &console));
	p = (struct pollfd){ .fd = w.f->g.wake_fd, .events = POLLIN };
	EXPECT(poll(&p, 1, 10000) == 1);
	command_shut(&w.f->g);
	writer_end(&w);
}

TEST_MAIN(T(lines_are_read_while_nobody_else_wants_keys),
	  T(an_init_without_a_virtio_port_is_heard_at_the_serial_one),
	  T(output_waits_for_its_reader),
	  T(output_to_what_blocks_does_not),
	  T(output_that_cannot_be_written_is_refused),
	  T(output_without_a_stream_is_refused),
	  T(what_the_command_closes_ends_for_others),
	  T(bytes_of_a_serial_port_wait_for_room),
	  T(bytes_that_are_yielded_make_room),
	  T(a_vcpu_waits_no_longer_than_the_vm_lives),
	  T(an_interrupt_key_ends_what_has_not_begun),
	  T(interrupt_keys_that_are_not_taken_end_the_vm),
	  T(keys_are_heard_and_kept_while_the_command_takes_none),
	  T(keys_are_kept_as_far_as_there_is_room),
	  T(input_that_is_not_there_is_not_its_end),
	  T(what_the_port_has_no_room_for_is_kept),
	  T(only_what_can_move_is_waited_for),
	  T(the_end_of_the_command_is_that_of_the_vm),
	  T(a_terminal_that_goes_is_an_end_behind_what_was_typed),
	  T(output_and_errors_that_are_one_are_one),
	  T(leaving_cuts_off_output_of_a_vm_that_has_ended),
	  T(a_terminal_is_not_read_in_the_background),
	  T(interrupt_keys_that_are_taken_end_nothing),
	  T(a_signal_before_the_command_ends_the_vm),
	  T(a_second_signal_of_a_kind_ends_the_vm),
	  T(a_signal_is_overdue_from_when_it_came),
	  T(a_signal_that_is_not_taken_ends_the_vm),
	  T(a_signal_that_is_taken_is_the_commands),
	  T(a_signal_that_is_not_taken_ends_who_waits_for_a_further_command),
	  T(a_signal_that_is_taken_is_the_further_commands),
	  T(a_signal_before_and_behind_a_further_command_ends_who_waits),
	  T(output_of_a_vm_that_has_ended_is_waited_for_until_it_is_ended_again),
	  T(what_nobody_has_looked_at_is_output_at_the_end),
	  T(a_command_that_has_ended_is_answered_at_the_end),
	  T(one_command_too_many_is_refused_for_now),
	  T(a_note_about_a_further_command_is_its_clients),
	  T(a_client_that_does_not_read_is_told_of_no_success),
	  T(a_command_that_ended_without_a_look_is_answered_late),
	  T(a_command_that_runs_is_cut_off_at_the_end))
