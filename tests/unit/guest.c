// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's init: the order of what it mounts, how long it waits for what the
 * command left behind, what a copy leaves, and commands where the kernel has no
 * terminals or users.
 */
#include <glob.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "test.h"

/* The kernel's headers and those of the libc both have them. */
#define sigset_t kernel_sigset_t
#define timeval kernel_timeval
#include "../../guest/config.c"
#include "../../guest/copy.c"
#include "../../guest/relay.c"
#include "../../guest/root.c"
#include "../../guest/run.c"

/* Never all processes of a host that tests run on */
static long kill_seen(int pid, int sig);
#define sys_kill kill_seen
#include "../../guest/settle.c"
#undef sys_kill

/* Of /proc/vmstat; with @writing there is one page more each time */
static u64 written;
static bool writing;

/* Of /proc/mounts */
static const char *mounts = "";

long file_read(const char *path, char *out, size_t size)
{
	if (!strcmp(path, "/proc/mounts"))
		return snprintf(out, size, "%s", mounts);
	written += writing;
	return snprintf(out, size, "nr_dirtied 7\nnr_written %llu\n",
			(unsigned long long)written);
}

int file_write(const char *path, const char *text)
{
	(void)path;
	(void)text;
	return 0;
}

/** struct seen - by processes of a test: how often all were killed, the last note */
static struct seen {
	unsigned int killed;
	char note[128];
} *seen;

static long kill_seen(int pid, int sig)
{
	seen->killed += pid == -1 && sig == SIGKILL;
	return 0;
}

/* What /sys has: nothing, no disks, and one, whose name is that of no disk. */
static enum { SYS_NONE, SYS_BARE, SYS_DISK } sys_has = SYS_DISK;
static const char *disk_name = "null";

bool dir_find(const char *path, bool (*is)(const char *name))
{
	if (sys_has == SYS_NONE || (sys_has == SYS_BARE && !strcmp(path, "/sys/class/block/")))
		return false;
	return !is || is(disk_name);
}

bool text_equal(const char *a, const char *b)
{
	return !strcmp(a, b);
}

const char *text_after(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) ? NULL : s + n;
}

u64 text_number(const char *s)
{
	return strtoull(s, NULL, 10);
}

const char *text_errno(int err)
{
	return strerror(err);
}

void note(struct notes *n, const char *a, const char *b, const char *c)
{
	(void)n;
	if (seen)
		snprintf(seen->note, sizeof(seen->note), "%s%s%s", a, b ? b : "", c ? c : "");
}

char *text_decimal(char out[12], u32 v)
{
	snprintf(out, 12, "%u", v);
	return out;
}

char *text_join(char *out, size_t size, const char *a, const char *b,
		const char *c)
{
	snprintf(out, size, "%s%s%s", a, b ? b : "", c ? c : "");
	return out;
}

/* The port: what is said of the terminal's bytes, and how much credit is given */
static char said[256];
static size_t said_len;
static u32 credit;
static unsigned int answers;

size_t port_room(const struct port *p)
{
	(void)p;
	return sizeof(said) - said_len;
}

void *port_data(struct port *p)
{
	(void)p;
	return said + said_len;
}

void port_commit(struct port *p, struct frame_of of, size_t len)
{
	(void)p;
	said_len += of.stream == GUEST_TERMINAL ? len : 0;
}

void port_put(struct port *p, struct frame_of of, const void *d, size_t len)
{
	(void)p;
	answers += of.type == GUEST_SIGNAL;
	if (of.type == GUEST_CREDIT && of.stream == GUEST_TERMINAL && len == 4)
		credit += get32(d);
}

TEST(a_signal_is_answered)
{
	const struct guest_frame f = {
		.type = GUEST_SIGNAL, .len = htole32(4),
	};
	static struct relay r = { .child.gone = true };

	relay_frame(&r, &f, (const u8 *)"\17\0\0");
	EXPECT(answers == 1);
}

static struct config config;

static int parse(const char *records, size_t len)
{
	memset(&config, 0, sizeof(config));
	memcpy(config.text, records, len);
	return config_parse(&config, len);
}

TEST(what_is_below_is_mounted_later)
{
	static const char records[] =
		"ro=a:/x/y\0rw=long-tag:/x\0ro=b:/z/\0rw=c:/x/y/z\0rw=d:/w/";
	static const char *const order[] = {
		"long-tag:/x", "b:/z/", "d:/w/", "a:/x/y", "c:/x/y/z",
	};
	static const bool ro[] = { false, true, false, true, false };

	EXPECT(!parse(records, sizeof(records)));
	EXPECT(config.nr_shares == ARRAY_SIZE(order));
	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++) {
		EXPECT(!strcmp(config.share[i], order[i]));
		EXPECT(config.share_ro[i] == ro[i]);
	}
}

TEST(shares_are_so_many)
{
	char records[(CONFIG_LIST + 1) * 7];

	for (unsigned int i = 0; i <= CONFIG_LIST; i++)
		memcpy(records + 7 * i, "rw=t:/", 7);
	EXPECT(!parse(records, CONFIG_LIST * 7));
	EXPECT(parse(records, sizeof(records)) == -E2BIG);
}

/* A child that lives @ms, and longer than any test for 0 */
static int child(unsigned int ms)
{
	int pid = fork();

	if (pid)
		return pid;
	usleep(ms ? ms * 1000 : 60000000);
	_exit(0);
}

static void sigchld_block(void)
{
	u64 mask = 1ULL << (SIGCHLD - 1);

	SYS(__NR_rt_sigprocmask, SIG_BLOCK, (long)&mask, 0, sizeof(mask));
}

static void reap(int pid)
{
	sys_kill(pid, SIGKILL);
	sys_wait4(pid, NULL, 0);
}

static void seen_map(struct test *t)
{
	void *at = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	EXPECT(at != MAP_FAILED);
	seen = at;
}

static void reap_status(struct test *t, int pid)
{
	int status = -1;

	EXPECT(sys_wait4(pid, &status, 0) == pid && !status);
}

TEST(what_does_not_end_is_not_waited_for)
{
	u64 begin = sys_now_ms();
	int stuck = child(0);

	writing = false;
	sigchld_block();
	EXPECT(!children_end(stuck, 300));
	EXPECT(!children_end(-1, 300));
	EXPECT(sys_now_ms() - begin >= 600);
	EXPECT(sys_now_ms() - begin < 10000);
	reap(stuck);
	EXPECT(children_end(-1, 300));
}

TEST(what_ends_is_noticed_at_once)
{
	int other = child(0);
	u64 begin = sys_now_ms();

	sigchld_block();
	EXPECT(children_end(child(20), 60000));
	EXPECT(sys_now_ms() - begin < 10000);
	reap(other);
}

TEST(a_disk_that_is_written_to_has_time)
{
	int slow = child(1500);

	writing = true;
	sigchld_block();
	EXPECT(children_end(slow, 500));
	writing = false;
	reap(slow);
}

#define IS(v, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (v), 0, (skip))
#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define FAIL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENODEV)

#define DO(what) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_##what)

/* From now on, and for good */
static bool filter_set(struct sock_filter *f, unsigned short nr)
{
	struct sock_fprog prog = { .len = nr, .filter = f };

	return !SYS(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !SYS(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&prog);
}

/* Whether what flushes disks makes the call @nr, which ends it; @want where that is unknown */
static bool flush_calls(struct test *t, unsigned int nr, bool want)
{
	struct sock_filter f[] = {
		LOAD(nr),
		IS(nr, 1), DO(KILL),
		DO(ALLOW),
	};
	int status = -1, pid = fork();

	if (!pid) {
		if (!filter_set(f, ARRAY_SIZE(f)))
			_exit(1);
		flush();
		_exit(0);
	}
	EXPECT(sys_wait4(pid, &status, 0) == pid);
	if (status == 1 << 8) {
		printf("# no seccomp here\n");
		return want;
	}
	EXPECT(!status || (status & 0x7f) == SIGSYS);
	return status;
}

/* sync() waits for file systems of the host: only where disks have no names. */
TEST(disks_are_flushed_and_shares_are_not)
{
	mounts = "tag /proc virtiofs rw 0 0\nnone / overlay rw 0 0\n";
	EXPECT(!flush_calls(t, __NR_sync, false) && !flush_calls(t, __NR_syncfs, false));
	EXPECT(flush_calls(t, __NR_ioctl, true));
	mounts = "tag /proc virtiofs rw 0 0\n/dev/vda /proc ext4 rw 0 0\n";
	EXPECT(!flush_calls(t, __NR_sync, false) && flush_calls(t, __NR_syncfs, true));
	mounts = "/dev/vda /no\\040where ext4 rw 0 0\n";
	EXPECT(flush_calls(t, __NR_sync, true));
	mounts = "";
	EXPECT(flush_calls(t, __NR_sync, true));
	mounts = "none / overlay rw 0 0\n";
	disk_name = "no/such/disk";
	EXPECT(flush_calls(t, __NR_sync, true));
	disk_name = "null";
	sys_has = SYS_NONE;
	EXPECT(flush_calls(t, __NR_sync, true));
	sys_has = SYS_DISK;
}

/* Without a disk there is nothing to flush, but pages that others have mapped. */
TEST(all_processes_end_before_the_machine_does)
{
	static struct config none;

	seen_map(t);
	sigchld_block();
	sys_has = SYS_BARE;
	EXPECT(root_settle(&none) && seen->killed == 1);
	sys_has = SYS_DISK;
}

static const char *no_seccomp(const char *want)
{
	printf("# no seccomp here\n");
	return want;
}

/* What mount() of tmpfs and overlay returns; the other file systems are there. */
static void mount_fails(struct test *t, int err, const char *want)
{
	struct sock_filter f[] = {
		LOAD(nr),
		IS(__NR_mount, 4),
		LOAD(args[3]),
		IS(0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		DO(ERRNO),
		DO(ALLOW),
	};
	static struct notes n;
	int pid;

	seen_map(t);
	pid = fork();
	if (!pid) {
		if (filter_set(f, ARRAY_SIZE(f)))
			root_host(&n);
		else
			snprintf(seen->note, sizeof(seen->note), "%s", no_seccomp(want));
		_exit(0);
	}
	reap_status(t, pid);
	EXPECT(!strcmp(seen->note, want));
}

TEST(what_a_root_lacks_is_named)
{
	mount_fails(t, ENODEV, "the kernel has no TMPFS: the root is read-only");
	mount_fails(t, EIO, "Input/output error: the root is read-only");
}

/* What finit_module() says to a file that is none, and then to one to be unpacked */
static void module_fails(struct test *t, int first, int again, const char *want)
{
	struct sock_filter f[] = {
		LOAD(nr),
		IS(__NR_finit_module, 4),
		LOAD(args[2]),
		IS(0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | first),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | again),
		DO(ALLOW),
	};
	static struct config c = { .nr_modules = 1 };
	static struct notes n;
	int pid;

	seen_map(t);
	/* What cannot be removed, whoever we are */
	c.module[0] = "/proc/self/exe";
	pid = fork();
	if (!pid) {
		if (filter_set(f, ARRAY_SIZE(f)))
			modules_load(&c, &n);
		else
			snprintf(seen->note, sizeof(seen->note), "%s", no_seccomp(want));
		_exit(0);
	}
	reap_status(t, pid);
	EXPECT(strstr(seen->note, want));
}

TEST(why_a_module_was_not_loaded_is_said)
{
	module_fails(t, ENOEXEC, EINVAL, ": cannot be loaded: Exec format error");
	module_fails(t, ENOEXEC, EOPNOTSUPP, ": cannot be loaded: Exec format error");
	module_fails(t, ENOEXEC, ENOENT, ": cannot be loaded: No such file or directory");
	module_fails(t, EPERM, 0, ": cannot be loaded: Operation not permitted");
}

/* As of a kernel without UNIX98_PTYS and MULTIUSER; from now on, and for good */
static bool kernel_lacks(void)
{
	struct sock_filter f[] = {
		LOAD(nr),
		IS(__NR_getgroups, 1), FAIL,
		IS(__NR_setgroups, 1), FAIL,
		IS(__NR_setresgid, 1), FAIL,
		IS(__NR_setresuid, 1), FAIL,
		IS(__NR_openat, 3),
		LOAD(args[2]),
		IS(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK, 1), FAIL,
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return filter_set(f, ARRAY_SIZE(f));
}

TEST(a_directory_that_is_covered_is_told_apart)
{
	EXPECT(directory_is_covered("?/run/none/x"));
	EXPECT(directory_is_covered("?/dev/shm/none-such"));
	EXPECT(!directory_is_covered("/run/none/x"));
	EXPECT(!directory_is_covered("?/none/x") && !directory_is_covered(NULL));
	EXPECT(!directory_is_covered("?/dev/"));
}

TEST(a_long_command_is_parsed)
{
	const unsigned int nr = 0x40000;
	char *records = malloc(nr * 7);

	for (unsigned int i = 0; i < nr; i++)
		memcpy(records + i * 7, "arg=xx", 7);
	EXPECT(!parse(records, nr * 7) && config.argc == nr);
	free(records);
}

TEST(serial_ports_have_nodes)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(node); i++)
		if (!strncmp(node[i].path, "dev/ttyS", 8))
			found += node[i].major == 4 &&
				 node[i].minor == 64 + node[i].path[8] - '0';
	EXPECT(found == 2);
}

TEST(what_fails_before_the_command_is_not_its_own)
{
	static const struct {
		char records[40];
		u32 status;
	} row[] = {
		{ "arg=/bin/true\0cwd=/none", STATUS_ERROR },
		{ "arg=/bin/true\0cwd=/dev/null", STATUS_ERROR },
		{ "arg=/none", STATUS_NOT_FOUND },
		{ "arg=/dev/null/x", STATUS_NOT_FOUND },
		{ "arg=/dev", STATUS_CANNOT_RUN },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		struct child c;
		const char *what;
		u32 status = 0;
		int err;

		EXPECT(!parse(row[i].records, sizeof(row[i].records)));
		EXPECT(!child_start(&c, &config));
		do {
			err = child_started(&c, &what, &status);
		} while (err == 1);
		EXPECT(err < 0 && status == row[i].status);
		child_close(&c);
		sys_wait4(c.pid, &c.status, 0);
	}
}

/* Return: what child_started() does, with its words in *@what */
static int run_of(const char *records, size_t len, struct child *c, const char **what)
{
	u32 status = 0;
	int err = parse(records, len) ? -EINVAL : child_start(c, &config);

	while (!err || err == 1) {
		err = child_started(c, what, &status);
		if (!err)
			break;
	}
	return err;
}

/* Root, who may, is made another here; others cannot become that one. */
TEST(a_directory_that_may_not_be_entered_is_an_error)
{
	char dir[] = "/tmp/lkvm-guest-XXXXXX", records[96];
	const char *what = "";
	struct child c;
	int n;

	EXPECT(mkdtemp(dir));
	n = snprintf(records, sizeof(records), "uid=12345%carg=/bin/true%ccwd=%s", 0, 0, dir);
	if (!geteuid()) {
		EXPECT(run_of(records, n + 1, &c, &what) == -EACCES && !strcmp(what, dir));
		child_close(&c);
		sys_wait4(c.pid, &n, 0);
		/* That of the host is entered before there is a user. */
		n = snprintf(records, sizeof(records), "uid=12345%carg=/bin/true%ccwd=?%s", 0, 0,
			     dir);
		EXPECT(!run_of(records, n + 1, &c, &what));
		child_close(&c);
		EXPECT(sys_wait4(c.pid, &n, 0) == c.pid && !n);
	} else {
		printf("# not root: nobody else can be entered as\n");
	}
	/* One that is not there is not missed. */
	EXPECT(!rmdir(dir));
	n = snprintf(records, sizeof(records), "arg=/bin/true%ccwd=?%s", 0, dir);
	EXPECT(!run_of(records, n + 1, &c, &what));
	child_close(&c);
	EXPECT(sys_wait4(c.pid, &n, 0) == c.pid && !n);
}

TEST(one_stream_for_output_and_errors_keeps_the_order)
{
	static const char records[] = "stdout=pipe\0stderr=stdout\0arg=/bin/sh\0arg=-c\0"
		"arg=echo a; echo b >&2; echo c";
	char d[8] = "";
	const char *what;
	struct child c;
	int status = -1;

	EXPECT(!run_of(records, sizeof(records), &c, &what));
	EXPECT(c.fd[GUEST_STDOUT] >= 0 && c.fd[GUEST_STDERR] < 0);
	EXPECT(sys_wait4(c.pid, &status, 0) == c.pid && !status);
	EXPECT(sys_read(c.fd[GUEST_STDOUT], d, sizeof(d)) == 6 && !memcmp(d, "a\nb\nc\n", 6));
	child_close(&c);
}

static bool is_empty(const char *dir)
{
	char pattern[64];
	glob_t found;
	int err;

	snprintf(pattern, sizeof(pattern), "%s/.lkvm-cp-*", dir);
	err = glob(pattern, 0, NULL, &found);
	globfree(&found);
	return err == GLOB_NOMATCH;
}

TEST(a_copy_that_is_cut_off_leaves_nothing)
{
	/* A file, and the first two of its 4096 bytes */
	static const u8 stream[] = { 1, 1, 0xa4, 1, 'x', 0, 0x10, 0, 0, 'a', 'b' };
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM };
	char dir[] = "/tmp/lkvm-guest-XXXXXX", records[64];
	const char *what;
	struct child c;
	u32 status;
	int n;

	EXPECT(mkdtemp(dir));
	n = snprintf(records, sizeof(records), "stdin=pipe%cput=%s/file", 0, dir);
	EXPECT(!parse(records, n + 1) && !child_start(&c, &config));
	while (child_started(&c, &what, &status) == 1)
		;
	EXPECT(sys_write(c.fd[GUEST_STDIN], stream, sizeof(stream)) == sizeof(stream));
	for (unsigned int i = 0; i < 1000 && is_empty(dir); i++)
		usleep(10000);
	EXPECT(!is_empty(dir));
	for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++)
		sys_kill(c.pid, signals[i]);
	child_close(&c);
	EXPECT(sys_wait4(c.pid, &n, 0) == c.pid && n == 1 << 8);
	EXPECT(!rmdir(dir));
}

TEST(a_kernel_without_terminals_and_users_runs_commands)
{
	static const char records[] =
		"stdin=tty\0stdout=tty\0stderr=tty\0uid=12345\0group=7\0arg=/bin/sh\0"
		"arg=-c\0arg=read x; echo got $x; echo error >&2";
	const struct guest_frame data = {
		.type = GUEST_DATA, .stream = GUEST_TERMINAL, .len = htole32(3),
	};
	static struct port port = { .window = GUEST_PROTO_WINDOW };
	static struct relay r = { .port = &port, .child.report = -1 };
	const char *what;
	u32 status;
	int err;

	EXPECT(!parse(records, sizeof(records)));
	r.config = &config;
	if (!kernel_lacks()) {
		printf("# no seccomp here\n");
		return;
	}
	EXPECT(!child_start(&r.child, &config));
	EXPECT(r.child.no_terminal == -ENODEV);
	relay_start(&r, GUEST_PROTO_WINDOW);
	do {
		err = child_started(&r.child, &what, &status);
	} while (err == 1);
	EXPECT(!err);
	relay_frame(&r, &data, (const u8 *)"ab\r");
	while (!r.child.gone) {
		relay_move(&r);
		r.child.gone = sys_wait4(r.child.pid, &r.child.status,
					 WNOHANG) == r.child.pid;
	}
	EXPECT(relay_move(&r));
	EXPECT(!r.child.status && credit == 3);
	EXPECT(said_len == 13 && !memcmp(said, "got ab\nerror\n", 13));
	child_close(&r.child);
}

TEST_MAIN(T(a_signal_is_answered),
	  T(what_is_below_is_mounted_later),
	  T(shares_are_so_many),
	  T(what_does_not_end_is_not_waited_for),
	  T(what_ends_is_noticed_at_once),
	  T(a_disk_that_is_written_to_has_time),
	  T(disks_are_flushed_and_shares_are_not),
	  T(all_processes_end_before_the_machine_does),
	  T(what_a_root_lacks_is_named),
	  T(why_a_module_was_not_loaded_is_said),
	  T(a_directory_that_is_covered_is_told_apart),
	  T(a_long_command_is_parsed),
	  T(serial_ports_have_nodes),
	  T(what_fails_before_the_command_is_not_its_own),
	  T(a_directory_that_may_not_be_entered_is_an_error),
	  T(one_stream_for_output_and_errors_keeps_the_order),
	  T(a_copy_that_is_cut_off_leaves_nothing),
	  T(a_kernel_without_terminals_and_users_runs_commands))
