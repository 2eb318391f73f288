// SPDX-License-Identifier: GPL-2.0-only
/* The control socket: two servers in one process, and clients of every kind. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/control-path.h"
#include "kvm/control.h"
#include "kvm/unix.h"
#include "tests/unit/test.h"

/** struct vm - a VM that does nothing but answer */
struct vm {
	struct control_server *server;
	struct sockaddr_un address;
	char name[32];
	unsigned int stops;
	unsigned int gone;
	bool later;
	struct control_later *waiting;
	struct control_later l;
	struct control_later more[128];
	unsigned int nr_more;
};

static void on_status(struct control_call *call)
{
	struct vm *vm = call->vm;

	json_put_string(call->out, "name", vm->name);
}

static void on_gone(struct control_later *l)
{
	struct vm *vm = container_of(l, struct vm, l);

	vm->gone++;
	vm->waiting = NULL;
}

static void on_stop(struct control_call *call)
{
	struct vm *vm = call->vm;

	vm->stops++;
	if (!vm->later)
		return;
	vm->l.gone = on_gone;
	vm->waiting = &vm->l;
	control_later(call, &vm->l);
}

static void on_reset(struct control_call *call)
{
	struct vm *vm = call->vm;

	control_later(call, &vm->more[vm->nr_more++]);
}

static void on_kill(struct control_call *call)
{
	control_refuse(call, "state", NULL, "is %s", "dead");
}

static const control_handler handlers[CONTROL_NR] = {
	[CONTROL_VM_STATUS] = on_status,
	[CONTROL_VM_STOP] = on_stop,
	[CONTROL_VM_KILL] = on_kill,
	[CONTROL_VM_RESET] = on_reset,
};

static int vm_open(struct vm *vm, const char *name, struct report *r)
{
	struct control_opts o = {
		.name = vm->name, .version = "1", .handler = handlers, .vm = vm,
	};
	char path[80];

	memset(vm, 0, sizeof(*vm));
	snprintf(vm->name, sizeof(vm->name), "%s", name);
	snprintf(path, sizeof(path), "/tmp/lkvm-unit-%d-%s", getpid(), name);
	if (unix_address(&vm->address, path))
		return -EINVAL;
	o.address = vm->address;
	return control_server_create(&vm->server, &o, r);
}

/* A client that is connected, and has taken its greeting */
static int client(struct test *t, struct vm *vm)
{
	int fd = unix_connect(&vm->address, SOCK_STREAM);
	char line[512];
	ssize_t n;

	EXPECT(fd >= 0);
	control_server_run(vm->server);
	n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);
	EXPECT(n > 0);
	line[n > 0 ? n : 0] = 0;
	EXPECT(strstr(line, "\"protocol\":1"));
	return fd;
}

static void say(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return;
		text += n;
		len -= n;
	}
}

/* With one end of a pair of sockets. Return: the other one */
static int say_with_file(int fd, const char *text)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	int pair[2] = { -1, -1 };

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.align), pair, sizeof(int));
	if (sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		printf("# cannot send a file\n");
	close(pair[0]);
	return pair[1];
}

static char heard[0x10000];

/* Whether what comes from @fd has @what in it; all of it is in @heard then */
static bool hears(struct vm *vm, int fd, const char *what)
{
	char *text = heard;
	size_t len = 0;

	for (unsigned int i = 0; i < 50; i++) {
		ssize_t n;

		control_server_run(vm->server);
		n = recv(fd, text + len, sizeof(heard) - 1 - len, MSG_DONTWAIT);
		if (n > 0)
			len += n;
		text[len] = 0;
		if (strstr(text, what))
			return true;
	}
	return false;
}

static bool is_closed(struct vm *vm, int fd)
{
	char text[4096];
	ssize_t n;

	for (unsigned int i = 0; i < 50; i++) {
		control_server_run(vm->server);
		n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
		if (!n || (n < 0 && errno != EAGAIN))
			return true;
	}
	return false;
}

TEST(control_serves_two_vms_of_one_process)
{
	struct vm a, b;
	int x, y;

	EXPECT(!vm_open(&a, "a", NULL));
	EXPECT(!vm_open(&b, "b", NULL));
	x = client(t, &a);
	y = client(t, &b);
	say(x, "{\"id\":1,\"cmd\":\"vm.status\"}\n");
	say(y, "{\"id\":2,\"cmd\":\"vm.status\",\"args\":{}}\n");
	EXPECT(hears(&a, x, "{\"id\":1,\"ok\":{\"name\":\"a\"}}\n"));
	EXPECT(hears(&b, y, "{\"id\":2,\"ok\":{\"name\":\"b\"}}\n"));
	say(x, "{\"id\":3,\"cmd\":\"vm.stop\"}\n");
	EXPECT(hears(&a, x, "{\"id\":3,\"ok\":{}}\n"));
	EXPECT(a.stops == 1 && b.stops == 0);
	close(x);
	close(y);
	control_server_destroy(a.server);
	control_server_destroy(b.server);
	EXPECT(access(a.address.sun_path, F_OK) < 0);
}

TEST(control_name_is_taken_once)
{
	struct report r = { "" };
	struct vm a, b;
	struct stat st;

	EXPECT(!vm_open(&a, "a", NULL));
	EXPECT(!stat(a.address.sun_path, &st) && (st.st_mode & 0777) == 0600);
	EXPECT(vm_open(&b, "a", &r));
	EXPECT(strstr(r.msg, "name a: a VM of that name is running"));
	control_server_destroy(a.server);
	EXPECT(!vm_open(&b, "a", NULL));
	control_server_destroy(b.server);
}

/* As after somebody has removed the file of a VM that runs */
TEST(control_socket_of_another_stays)
{
	struct vm a, b;
	int fd;

	EXPECT(!vm_open(&a, "a", NULL));
	EXPECT(!unlink(a.address.sun_path));
	EXPECT(!vm_open(&b, "a", NULL));
	control_server_destroy(a.server);
	fd = client(t, &b);
	close(fd);
	control_server_destroy(b.server);
	EXPECT(access(b.address.sun_path, F_OK) < 0);
}

/* Nobody is taken for who has the first part of a name. */
TEST(control_address_has_all_of_the_name)
{
	struct sockaddr_un a;
	char name[256] = "";

	memset(name, 'x', 63);
	unsetenv("XDG_RUNTIME_DIR");
	EXPECT(!control_address(&a, name));
	EXPECT(strlen(strrchr(a.sun_path, '/')) == 1 + 63 + strlen(CONTROL_SUFFIX));
	name[63] = 'y';
	EXPECT(!control_address(&a, name) && strstr(a.sun_path, "xy" CONTROL_SUFFIX));
	memset(name, 'x', sizeof(name) - 1);
	EXPECT(control_address(&a, name) == -ENAMETOOLONG);
}

TEST(control_dir_make_wants_one_of_its_own)
{
	char dir[] = "/tmp/lkvm-unit-XXXXXX", made[64], link[64];

	EXPECT(mkdtemp(dir));
	snprintf(made, sizeof(made), "%s/made", dir);
	snprintf(link, sizeof(link), "%s/link", dir);
	EXPECT(!control_dir_make(made) && !control_dir_make(made));
	EXPECT(!symlink(made, link) && control_dir_make(link) == -ENOTDIR);
	EXPECT(!chmod(made, 0770) && control_dir_make(made) == -EPERM);
	EXPECT(!chmod(made, 0702) && control_dir_make(made) == -EPERM);
	EXPECT(!chmod(made, 0755) && !control_dir_make(made));
	EXPECT(geteuid() || (!chown(made, 1, 0) && control_dir_make(made) == -EPERM));
	EXPECT(!unlink(link) && !rmdir(made));
	EXPECT(control_dir_make(link) == 0 && !rmdir(link) && !rmdir(dir));
}

TEST(control_refuses_what_is_not_in_the_table)
{
	static const char *const bad[][2] = {
		{ "\n", "\"parse\"" },
		{ "hello\n", "\"id\":null,\"error\":{\"code\":\"parse\"" },
		{ "{\"id\":1,\"id\":2,\"cmd\":\"schema\"}\n", "key given twice" },
		{ "[1]\n", "not an object" },
		{ "{\"cmd\":\"schema\"}\n", "\"path\":\"id\",\"msg\":\"missing\"" },
		{ "{\"id\":-1,\"cmd\":\"schema\"}\n", "\"path\":\"id\"" },
		{ "{\"id\":1.5,\"cmd\":\"schema\"}\n", "\"path\":\"id\"" },
		{ "{\"id\":7}\n", "{\"id\":7,\"error\"" },
		{ "{\"id\":7,\"cmd\":3}\n", "\"path\":\"cmd\"" },
		{ "{\"id\":7,\"cmd\":\"frob\"}\n", "unknown-command" },
		{ "{\"id\":7,\"cmd\":\"schema\",\"x\":1}\n", "\"path\":\"x\"" },
		{ "{\"id\":7,\"cmd\":\"schema\",\"args\":[]}\n", "\"path\":\"args\"" },
		{ "{\"id\":7,\"cmd\":\"schema\",\"args\":{\"y\":1}}\n",
		  "\"path\":\"args.y\"" },
		{ "{\"id\":7,\"cmd\":\"vm.kill\"}\n",
		  "\"code\":\"state\",\"msg\":\"is dead\"" },
	};
	struct vm vm;
	int fd;

	EXPECT(!vm_open(&vm, "a", NULL));
	fd = client(t, &vm);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		say(fd, bad[i][0]);
		EXPECT(hears(&vm, fd, bad[i][1]));
	}
	say(fd, "{\"id\":8,\"cmd\":\"vm.status\"}\n");
	EXPECT(hears(&vm, fd, "{\"id\":8,\"ok\""));
	close(fd);
	control_server_destroy(vm.server);
}

TEST(control_closes_the_files_of_what_it_refuses)
{
	static const char *const bad[] = {
		"{\"id\":1,\"cmd\":\"console.open\",\"x\":1}\n",
		"{\"id\":1,\"cmd\":\"console.open\",\"args\":{\"x\":1}}\n",
		"{\"id\":1,\"cmd\":\"guest.exec\"}\n",
		"{\"cmd\":\"console.open\"}\n",
	};
	struct vm vm;
	int fd, file;

	EXPECT(!vm_open(&vm, "a", NULL));
	fd = client(t, &vm);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		file = say_with_file(fd, bad[i]);
		EXPECT(hears(&vm, fd, "\"invalid\""));
		EXPECT(is_closed(&vm, file));
		close(file);
	}
	/* And the next one has its own. */
	file = say_with_file(fd, "{\"id\":2,\"cmd\":\"console.open\"}\n");
	EXPECT(hears(&vm, fd, "this VM cannot do console.open"));
	close(file);
	close(fd);
	control_server_destroy(vm.server);
}

TEST(control_is_blocked_by_nobody)
{
	static char huge[CONTROL_LINE_MAX + 0x8000];
	int idle, half, slow, loud, good;
	struct vm vm;

	EXPECT(!vm_open(&vm, "a", NULL));
	idle = client(t, &vm);
	half = client(t, &vm);
	slow = client(t, &vm);
	loud = client(t, &vm);
	say(half, "{\"id\":1,\"cmd\":\"vm.st");
	for (unsigned int i = 0; i < 5000; i++) {
		say(slow, "{\"id\":1,\"cmd\":\"schema\"}\n");
		control_server_run(vm.server);
	}
	memset(huge, 'x', sizeof(huge));
	for (size_t at = 0; at < sizeof(huge);) {
		ssize_t n = send(loud, huge + at, sizeof(huge) - at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		at += MAX(n, 0);
		control_server_run(vm.server);
	}
	EXPECT(is_closed(&vm, loud));
	good = client(t, &vm);
	say(good, "{\"id\":2,\"cmd\":\"vm.status\"}\n");
	EXPECT(hears(&vm, good, "{\"id\":2,\"ok\""));
	say(half, "atus\"}\n");
	EXPECT(hears(&vm, half, "{\"id\":1,\"ok\""));
	close(idle);
	close(half);
	close(slow);
	close(loud);
	close(good);
	control_server_destroy(vm.server);
}

TEST(control_idle_clients_make_room)
{
	struct vm vm;
	int fd[300], last;

	EXPECT(!vm_open(&vm, "a", NULL));
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		fd[i] = client(t, &vm);
	EXPECT(hears(&vm, fd[0], "\"id\":null,\"error\":{\"code\":\"busy\""));
	EXPECT(is_closed(&vm, fd[0]));
	last = fd[ARRAY_SIZE(fd) - 1];
	say(last, "{\"id\":2,\"cmd\":\"vm.status\"}\n");
	EXPECT(hears(&vm, last, "{\"id\":2,\"ok\""));
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
	control_server_destroy(vm.server);
}

TEST(control_tells_who_finds_no_place)
{
	struct vm vm;
	int fd[128], one;

	EXPECT(!vm_open(&vm, "a", NULL));
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = client(t, &vm);
		say(fd[i], "{\"id\":1,\"cmd\":\"vm.reset\"}\n");
		control_server_run(vm.server);
	}
	EXPECT(vm.nr_more == ARRAY_SIZE(fd));
	one = unix_connect(&vm.address, SOCK_STREAM);
	EXPECT(hears(&vm, one, "\"id\":null,\"error\":{\"code\":\"busy\""));
	EXPECT(strstr(heard, "\"protocol\":1") && is_closed(&vm, one));
	close(one);
	/* The others are as they were. */
	control_answer(&vm.more[0], NULL);
	EXPECT(hears(&vm, fd[0], "{\"id\":1,\"ok\":{}}"));
	one = client(t, &vm);
	close(one);
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
	control_server_destroy(vm.server);
}

TEST(control_events_are_counted_when_lost)
{
	struct vm vm;
	int fd;

	EXPECT(!vm_open(&vm, "a", NULL));
	fd = client(t, &vm);
	control_event(vm.server, "exited", NULL);
	say(fd, "{\"id\":1,\"cmd\":\"events.subscribe\"}\n");
	EXPECT(hears(&vm, fd, "{\"id\":1,\"ok\":{\"seq\":1}}"));
	control_event(vm.server, "exited", NULL);
	EXPECT(hears(&vm, fd, "{\"event\":\"exited\",\"seq\":2,"));
	for (unsigned int i = 0; i < 20000; i++)
		control_event(vm.server, "exited", NULL);
	while (hears(&vm, fd, "\"event\""))
		EXPECT(!strstr(heard, "\"seq\":20002,"));
	control_event(vm.server, "exited", NULL);
	EXPECT(hears(&vm, fd, "\"seq\":20003,"));
	EXPECT(strstr(heard, "\"lost\":") && !strstr(heard, "\"lost\":0,"));
	close(fd);
	control_server_destroy(vm.server);
}

TEST(control_answers_later)
{
	struct json_out o = { 0 };
	struct vm vm;
	int fd;

	EXPECT(!vm_open(&vm, "a", NULL));
	vm.later = true;
	fd = client(t, &vm);
	say(fd, "{\"id\":5,\"cmd\":\"vm.stop\"}\n{\"id\":6,\"cmd\":\"vm.status\"}\n");
	EXPECT(hears(&vm, fd, "{\"id\":6,\"ok\""));
	EXPECT(vm.waiting);
	json_put_number(&o, "n", 42);
	control_answer(vm.waiting, &o);
	EXPECT(hears(&vm, fd, "{\"id\":5,\"ok\":{\"n\":42}}"));
	say(fd, "{\"id\":7,\"cmd\":\"vm.stop\"}\n");
	control_server_run(vm.server);
	close(fd);
	control_server_run(vm.server);
	EXPECT(vm.gone == 1);
	control_answer_error(&vm.l, "failed", "nobody hears");
	json_out_free(&o);
	control_server_destroy(vm.server);
}

/* Others, too, are heard while one asks for much. */
TEST(control_lets_others_in_between)
{
	struct vm vm;
	int fd, other;

	EXPECT(!vm_open(&vm, "a", NULL));
	fd = client(t, &vm);
	other = client(t, &vm);
	for (unsigned int i = 0; i < 100; i++)
		say(fd, "{\"id\":1,\"cmd\":\"vm.status\"}\n");
	say(fd, "{\"id\":77,\"cmd\":\"vm.status\"}\n");
	say(other, "{\"id\":5,\"cmd\":\"vm.status\"}\n");
	control_server_run(vm.server);
	control_server_run(vm.server);
	EXPECT(recv(other, heard, sizeof(heard), MSG_DONTWAIT) > 0);
	EXPECT(recv(fd, heard, sizeof(heard) - 1, MSG_DONTWAIT) > 0);
	EXPECT(!strstr(heard, "\"id\":77"));
	EXPECT(hears(&vm, fd, "\"id\":77"));
	close(fd);
	close(other);
	control_server_destroy(vm.server);
}

/* There may be one again without that a client goes: there is none. */
TEST(control_hears_again_after_there_was_no_descriptor)
{
	struct rlimit had, none;
	struct vm vm;
	int fd;

	EXPECT(!vm_open(&vm, "a", NULL));
	EXPECT(!control_server_due(vm.server));
	fd = unix_connect(&vm.address, SOCK_STREAM);
	EXPECT(fd >= 0 && !getrlimit(RLIMIT_NOFILE, &had));
	none = (struct rlimit){ 0, had.rlim_max };
	EXPECT(!setrlimit(RLIMIT_NOFILE, &none));
	control_server_run(vm.server);
	EXPECT(control_server_due(vm.server));
	EXPECT(!setrlimit(RLIMIT_NOFILE, &had));
	usleep(150000);
	EXPECT(hears(&vm, fd, "\"protocol\""));
	EXPECT(!control_server_due(vm.server));
	close(fd);
	control_server_destroy(vm.server);
}

/* As socat does: a request, and no more to come */
TEST(control_answers_who_has_shut_down)
{
	struct vm vm;
	int fd;

	EXPECT(!vm_open(&vm, "a", NULL));
	fd = client(t, &vm);
	say(fd, "{\"id\":1,\"cmd\":\"vm.status\"}\n");
	shutdown(fd, SHUT_WR);
	EXPECT(hears(&vm, fd, "{\"id\":1,\"ok\""));
	EXPECT(is_closed(&vm, fd));
	close(fd);
	control_server_destroy(vm.server);
}

/** struct seen - a watch that counts */
struct seen {
	struct control_watch w;
	unsigned int nr;
};

static void on_seen(struct control_watch *w, u32 events)
{
	struct seen *s = container_of(w, struct seen, w);

	s->nr += !!(events & EPOLLIN);
}

TEST(control_watches_what_it_is_given)
{
	struct seen s = { .w.ready = on_seen };
	struct vm vm;
	int p[2];

	EXPECT(!vm_open(&vm, "a", NULL));
	EXPECT(!pipe(p));
	s.w.fd = p[0];
	EXPECT(!control_watch_add(vm.server, &s.w, EPOLLIN));
	control_server_run(vm.server);
	EXPECT(!s.nr);
	EXPECT(write(p[1], "", 1) == 1);
	control_server_run(vm.server);
	EXPECT(s.nr == 1);
	control_watch_remove(vm.server, &s.w);
	control_server_run(vm.server);
	EXPECT(s.nr == 1);
	close(p[0]);
	close(p[1]);
	control_server_destroy(vm.server);
}

TEST_MAIN(T(control_serves_two_vms_of_one_process),
	  T(control_name_is_taken_once),
	  T(control_socket_of_another_stays),
	  T(control_address_has_all_of_the_name),
	  T(control_dir_make_wants_one_of_its_own),
	  T(control_refuses_what_is_not_in_the_table),
	  T(control_closes_the_files_of_what_it_refuses),
	  T(control_is_blocked_by_nobody),
	  T(control_idle_clients_make_room),
	  T(control_tells_who_finds_no_place),
	  T(control_events_are_counted_when_lost),
	  T(control_answers_later),
	  T(control_lets_others_in_between),
	  T(control_hears_again_after_there_was_no_descriptor),
	  T(control_answers_who_has_shut_down),
	  T(control_watches_what_it_is_given))
