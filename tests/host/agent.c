// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first process of the emulated host: runs commands for tests/host/run.
 *
 * Each of HOST_SLOTS virtio-serial ports runs one command at a time; frame.h
 * says how. A single thread polls all ports and pipes. Flow control is the
 * pipes' own: a pipe is read only while its slot has room to send, a port is
 * read only while what came before has gone to the command.
 *
 * A command is the leader of a session. When its client goes away the whole
 * session gets SIGTERM and, a second later, SIGKILL; what has made a session
 * of its own lives on. A command has ended when it has exited and its pipes
 * are at end of file, or were silent for a second (a daemon may keep them).
 *
 * A port whose client is away polls as POLLHUP all the time. It is left out
 * of the poll set until SIGIO, which the driver sends on every change.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"

#define REQUEST_MAX	(8 << 20)
#define OUT_MAX		(8 * FRAME_MAX)
#define GRACE_MS	1000

struct slot {
	int port;
	bool away;		/* no client: not worth polling */
	unsigned char in[FRAME_HEAD + FRAME_MAX];
	size_t in_len;
	unsigned char out[OUT_MAX];
	size_t out_len;
	char *request;
	size_t request_len;
	pid_t pid;		/* the session of the command, 0: none */
	bool exited;
	int status;
	int fds[3];		/* our ends of its stdin, stdout, stderr */
	unsigned char feed[FRAME_MAX];	/* on its way to stdin */
	size_t feed_len;
	bool feed_eof;
	long long quiet_since;	/* when exited: last time a pipe spoke, ms */
	long long kill_at;	/* ms, 0: not dying */
	bool killed;		/* by SIGKILL, of the client's */
};

static struct slot slots[HOST_SLOTS];
static atomic_int port_changed;

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void on_signal(int sig)
{
	if (sig == SIGIO)
		port_changed = 1;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Room for a frame is the caller's to check. */
static void slot_send(struct slot *s, enum frame_type type, const void *data,
		      size_t len)
{
	frame_head(s->out + s->out_len, type, len);
	memcpy(s->out + s->out_len + FRAME_HEAD, data, len);
	s->out_len += FRAME_HEAD + len;
}

static bool slot_has_room(const struct slot *s)
{
	/* one frame of output and, always, the result */
	return OUT_MAX - s->out_len >= 2 * FRAME_HEAD + FRAME_MAX + 1;
}

/* Signals every process of a session. Return: how many are alive */
static int session_kill(pid_t sid, int sig)
{
	struct dirent *e;
	DIR *d = opendir("/proc");
	int alive = 0;
	char state;

	if (!d)
		return 0;
	while ((e = readdir(d))) {
		char path[300], buf[512], *p;
		int pid = atoi(e->d_name), session;
		ssize_t n;
		int fd;

		if (pid <= 1)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, buf, sizeof(buf) - 1);
		close(fd);
		if (n <= 0)
			continue;
		buf[n] = 0;
		p = strrchr(buf, ')');
		if (!p || sscanf(p + 1, " %c %*d %*d %d", &state, &session) != 2 ||
		    session != sid || state == 'Z')
			continue;
		kill(pid, sig);
		alive++;
	}
	closedir(d);
	return alive;
}

/* Forgets the command; its processes are not touched. */
static void slot_clear(struct slot *s)
{
	int i;

	for (i = 0; i < 3; i++)
		close_fd(&s->fds[i]);
	free(s->request);
	s->request = NULL;
	s->request_len = 0;
	s->pid = 0;
	s->exited = false;
	s->feed_len = 0;
	s->feed_eof = false;
	s->kill_at = 0;
	s->killed = false;
}

static void slot_client_left(struct slot *s)
{
	s->in_len = 0;
	s->out_len = 0;
	if (s->pid && !s->kill_at) {
		session_kill(s->pid, SIGTERM);
		session_kill(s->pid, SIGCONT);
		s->kill_at = now_ms() + GRACE_MS;
	} else if (!s->pid) {
		slot_clear(s);
	}
}

static void slot_sync(struct slot *s, const void *nonce, size_t len)
{
	if (s->pid)
		session_kill(s->pid, SIGKILL);
	slot_clear(s);
	s->out_len = 0;
	slot_send(s, FRAME_SYNC, nonce, len);
}

static void slot_add_request(struct slot *s, const void *data, size_t len)
{
	char *p;

	if (len > REQUEST_MAX - s->request_len)
		return;
	p = realloc(s->request, s->request_len + len + 1);
	if (!p)
		return;
	memcpy(p + s->request_len, data, len);
	s->request = p;
	s->request_len += len;
	p[s->request_len] = 0;
}

/* In the child: never returns. */
static void command_exec(struct slot *s, int fds[3])
{
	size_t max = s->request_len / 2 + 2, ne = 0, na = 0;
	char **env = calloc(max, sizeof(*env));
	char **arg = calloc(max, sizeof(*arg));
	char *dir = "/", *p = s->request, *end = p + s->request_len;
	sigset_t none;
	int i;

	for (i = 0; i < 3; i++)
		dup2(fds[i], i);
	setsid();
	for (i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);

	for (; p < end && env && arg; p += strlen(p) + 1) {
		if (*p == REQUEST_DIR)
			dir = p + 1;
		else if (*p == REQUEST_ENV)
			env[ne++] = p + 1;
		else if (*p == REQUEST_ARG)
			arg[na++] = p + 1;
	}
	if (!na || chdir(dir)) {
		dprintf(2, "host: %s: not a directory of the host: %s\n", dir,
			strerror(errno));
		_exit(125);
	}
	environ = env;
	execvp(arg[0], arg);
	i = errno == ENOENT ? 127 : 126;
	dprintf(2, "host: %s: %s\n", arg[0], strerror(errno));
	_exit(i);
}

static void slot_run(struct slot *s)
{
	int theirs[3] = { -1, -1, -1 };
	unsigned char failed = 125;
	int i, pair[2];

	if (s->pid || !s->request)
		return;
	for (i = 0; i < 3; i++) {
		if (pipe2(pair, O_CLOEXEC))
			goto err_close;
		s->fds[i] = pair[i == 0];
		theirs[i] = pair[i != 0];
		/* dup2() onto itself would keep close-on-exec */
		if (theirs[i] <= 2)
			goto err_close;
		fcntl(s->fds[i], F_SETFL, O_NONBLOCK);
	}
	s->pid = fork();
	if (s->pid < 0)
		goto err_close;
	if (!s->pid)
		command_exec(s, theirs);
	for (i = 0; i < 3; i++)
		close(theirs[i]);
	free(s->request);
	s->request = NULL;
	s->request_len = 0;
	return;

err_close:
	for (i = 0; i < 3; i++)
		close_fd(&theirs[i]);
	slot_clear(s);
	slot_send(s, FRAME_RESULT, &failed, 1);
}

static void slot_frame(struct slot *s, int type, const unsigned char *data,
		       size_t len)
{
	switch (type) {
	case FRAME_SYNC:
		slot_sync(s, data, len);
		break;
	case FRAME_REQUEST:
		slot_add_request(s, data, len);
		break;
	case FRAME_RUN:
		slot_run(s);
		break;
	case FRAME_STDIN:
		if (len)
			memcpy(s->feed, data, len);
		else
			s->feed_eof = true;
		s->feed_len = len;
		break;
	case FRAME_SIGNAL:
		if (len != 1 || !s->pid)
			break;
		s->killed |= data[0] == SIGKILL;
		session_kill(s->pid, data[0]);
		break;
	case FRAME_POWEROFF:
		sync();
		reboot(RB_POWER_OFF);
		break;
	}
}

/* Takes whole frames off the input while the command can take more. */
static void slot_parse(struct slot *s)
{
	while (s->in_len && !s->feed_len) {
		size_t skip = 0, len;

		while (skip < s->in_len && s->in[skip] == FRAME_FILL)
			skip++;
		if (!skip) {
			if (s->in_len < FRAME_HEAD)
				return;
			len = frame_len(s->in);
			if (len > FRAME_MAX) {
				skip = FRAME_HEAD;
			} else {
				if (s->in_len < FRAME_HEAD + len)
					return;
				slot_frame(s, s->in[0], s->in + FRAME_HEAD,
					   len);
				skip = FRAME_HEAD + len;
			}
		}
		s->in_len -= skip;
		memmove(s->in, s->in + skip, s->in_len);
	}
}

static void slot_read_port(struct slot *s)
{
	ssize_t n = read(s->port, s->in + s->in_len, sizeof(s->in) - s->in_len);

	if (n > 0)
		s->in_len += n;
	slot_parse(s);
}

static void slot_write_port(struct slot *s)
{
	ssize_t n = write(s->port, s->out, s->out_len);

	if (n <= 0)
		return;
	s->out_len -= n;
	memmove(s->out, s->out + n, s->out_len);
}

static void slot_read_pipe(struct slot *s, int i)
{
	unsigned char buf[FRAME_MAX];
	ssize_t n;

	if (s->fds[i] < 0 || !slot_has_room(s))
		return;
	n = read(s->fds[i], buf, sizeof(buf));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_fd(&s->fds[i]);
		return;
	}
	s->quiet_since = now_ms();
	if (!s->kill_at)
		slot_send(s, i == 1 ? FRAME_STDOUT : FRAME_STDERR, buf, n);
}

static void slot_feed(struct slot *s)
{
	if (s->feed_len && s->fds[0] >= 0) {
		ssize_t n = write(s->fds[0], s->feed, s->feed_len);

		if (n > 0) {
			s->feed_len -= n;
			memmove(s->feed, s->feed + n, s->feed_len);
		} else if (errno != EAGAIN && errno != EINTR) {
			close_fd(&s->fds[0]);
		}
	}
	if (s->fds[0] < 0)
		s->feed_len = 0;
	if (s->feed_eof && !s->feed_len)
		close_fd(&s->fds[0]);
	if (!s->feed_len)
		slot_parse(s);
}

/* Ends the command when nothing more can come of it. */
static void slot_settle(struct slot *s)
{
	unsigned char status = s->status;

	if (s->pid && s->kill_at && (s->exited || now_ms() >= s->kill_at)) {
		session_kill(s->pid, SIGKILL);
		slot_clear(s);
		return;
	}
	if (!s->pid || !s->exited || !slot_has_room(s))
		return;
	/* Who killed it is to know whether this machine could do that. */
	if (s->killed && session_kill(s->pid, SIGKILL))
		return;
	if ((s->fds[1] >= 0 || s->fds[2] >= 0) &&
	    now_ms() - s->quiet_since < GRACE_MS)
		return;
	slot_clear(s);
	slot_send(s, FRAME_RESULT, &status, 1);
}

static void reap(void)
{
	pid_t pid;
	int st, i;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0) {
		for (i = 0; i < HOST_SLOTS; i++) {
			struct slot *s = &slots[i];

			if (s->pid != pid)
				continue;
			s->exited = true;
			s->status = WIFSIGNALED(st) ? 128 + WTERMSIG(st) :
						      WEXITSTATUS(st);
			s->quiet_since = now_ms();
		}
	}
}

static void slot_poll_set(struct slot *s, struct pollfd p[4])
{
	int i;

	for (i = 0; i < 4; i++)
		p[i] = (struct pollfd){ .fd = -1 };
	if (s->port >= 0 && !s->away) {
		p[3].fd = s->port;
		p[3].events = (s->feed_len || s->in_len == sizeof(s->in) ?
			       0 : POLLIN) | (s->out_len ? POLLOUT : 0);
	}
	if (!s->pid)
		return;
	if (s->feed_len)
		p[0] = (struct pollfd){ s->fds[0], POLLOUT, 0 };
	for (i = 1; i < 3; i++)
		if (slot_has_room(s))
			p[i] = (struct pollfd){ s->fds[i], POLLIN, 0 };
}

static void slot_poll_done(struct slot *s, const struct pollfd p[4])
{
	int i;

	if (p[3].revents & POLLHUP) {
		s->away = true;
		slot_client_left(s);
	} else {
		if (p[3].revents & POLLIN)
			slot_read_port(s);
		if (p[3].revents & POLLOUT)
			slot_write_port(s);
	}
	for (i = 1; i < 3; i++)
		if (p[i].revents)
			slot_read_pipe(s, i);
	slot_feed(s);
	slot_settle(s);
}

/* Finds the ports by the names that tests/host/run gave them. */
static int ports_open(void)
{
	struct dirent *e;
	int found = 0;
	DIR *d = opendir("/sys/class/virtio-ports");

	while (d && (e = readdir(d))) {
		char path[320], name[64] = "";
		unsigned int i;
		FILE *f;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name",
			 e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, HOST_PORT "%u", &i) == 1 && i < HOST_SLOTS) {
			snprintf(name, sizeof(name), "/dev/%.32s", e->d_name);
			slots[i].port = open(name, O_RDWR | O_NONBLOCK |
					     O_CLOEXEC);
			fcntl(slots[i].port, F_SETOWN, getpid());
			fcntl(slots[i].port, F_SETFL, O_NONBLOCK | O_ASYNC);
			found += slots[i].port >= 0;
		}
		fclose(f);
	}
	if (d)
		closedir(d);
	return found;
}

static void loop(const sigset_t *unblocked)
{
	struct timespec second = { .tv_sec = 1 };
	struct pollfd p[HOST_SLOTS * 4];
	int i, n;

	for (;;) {
		for (i = 0; i < HOST_SLOTS; i++)
			slot_poll_set(&slots[i], p + i * 4);
		n = ppoll(p, HOST_SLOTS * 4, &second, unblocked);
		if (n < 0)
			memset(p, 0, sizeof(p));
		if (n <= 0 || port_changed) {
			port_changed = 0;
			for (i = 0; i < HOST_SLOTS; i++)
				slots[i].away = false;
		}
		reap();
		for (i = 0; i < HOST_SLOTS; i++)
			slot_poll_done(&slots[i], p + i * 4);
	}
}

/*
 * When the first vCPU comes and the last one goes, KVM patches the kernel's code
 * (static keys), and TCG with several processors gets stuck at that now and then,
 * for good. One vCPU that is never entered stays: the keys are set once. Without
 * KVM there is nothing to hold, and whoever needs it says so.
 */
static void hold_vcpu(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;

	if (kvm < 0)
		return;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm >= 0 && !ioctl(vm, KVM_CREATE_IRQCHIP, 0))
		ioctl(vm, KVM_CREATE_VCPU, 0);
}

/*
 * Whatever CPU loads a floating-point state, TCG clears IGNNE in the first CPU's
 * hflags2 for it, with neither a lock nor an atomic instruction. When that CPU is
 * about to enter or leave a guest, what is changed there is undone: its own memory
 * is taken for the guest's, or the other way round. So no guest runs on it.
 */
static void leave_first_cpu(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) || CPU_COUNT(&set) < 2)
		return;
	CPU_CLR(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t block, old;
	int i;

	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigaddset(&block, SIGIO);
	sigprocmask(SIG_BLOCK, &block, &old);
	sigaction(SIGCHLD, &sa, NULL);
	sigaction(SIGIO, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigdelset(&old, SIGCHLD);
	sigdelset(&old, SIGIO);

	for (i = 0; i < HOST_SLOTS; i++)
		slots[i] = (struct slot){ .port = -1, .fds = { -1, -1, -1 } };
	if (!ports_open()) {
		fprintf(stderr, "lkvm-host: FAILED: no virtio-serial port\n");
		return 1;
	}
	hold_vcpu();
	leave_first_cpu();
	loop(&old);
}
