// SPDX-License-Identifier: GPL-2.0-only
/*
 * The outer end of the emulated host: what tests/host/run becomes.
 *
 *   client -d DIR [-q PID] [-b SECS] [-t SECS] [-i] [-1] [-e NAME].. CMD ARG..
 *   client -d DIR -w        wait until the host answers
 *   client -d DIR -p        ask it to power off
 *
 * DIR holds the sockets of QEMU's ports, slotN, and the host's log. The
 * first slot whose lock is free is taken. Exits with the command's status;
 * 124 when -t ran out, 125 when the host did not answer. With -1 the host
 * is ours alone: it is killed, and DIR removed, before we exit.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MAX_ENV_NAMES	64

enum { STATUS_TIMEOUT = 124, STATUS_HOST = 125, STATUS_PIPE = 128 + SIGPIPE };

static struct {
	const char *dir;
	pid_t qemu;
	int boot_secs;
	int timeout_secs;
	bool use_stdin, wait_only, power_off, one_shot;
	const char *env[MAX_ENV_NAMES];
	int nr_env;
} opt = { .boot_secs = 300 };

static int sock = -1;
static atomic_int got_signal;

/* Not yet sent; grown by one request, then by one block of stdin at most. */
static unsigned char *out;
static size_t out_len, out_size;

/* These pass from the caller's environment as they are. */
static const char * const env_pass[] = {
	"PATH", "HOME", "USER", "LOGNAME", "TERM", "COLUMNS", "LANG", "TZ",
	"CI", "V", "CC", "NO_COLOR", "KBUILD_OUTPUT", NULL
};

static const char * const env_pass_prefix[] = {
	"LKVM_", "LC_", "ASAN_", "UBSAN_", "TSAN_", "LSAN_", NULL
};

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void on_signal(int sig)
{
	got_signal = sig;
}

static void finish(int status)
{
	if (opt.one_shot) {
		pid_t pid;

		if (opt.qemu > 0) {
			kill(opt.qemu, SIGKILL);
			waitpid(opt.qemu, NULL, 0);
		}
		pid = fork();
		if (!pid) {
			execlp("rm", "rm", "-rf", "--", opt.dir, NULL);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
	}
	exit(status);
}

/* The last line of a file of DIR that holds a word, or that is not empty. */
static bool last_line(const char *file, const char *word, char *line,
		      size_t size)
{
	char path[512], buf[512];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", opt.dir, file);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(buf, sizeof(buf), f)) {
		const char *p = word ? strstr(buf, word) : buf;

		if (!p || p[0] == '\n')
			continue;
		p += word ? strlen(word) : 0;
		snprintf(line, size, "%.*s", (int)strcspn(p, "\r\n"), p);
		found = true;
	}
	fclose(f);
	return found;
}

static bool qemu_gone(void)
{
	if (opt.qemu <= 0)
		return false;
	if (waitpid(opt.qemu, NULL, WNOHANG) == opt.qemu) {
		opt.qemu = 0;
		return true;
	}
	return kill(opt.qemu, 0) && errno == ESRCH;
}

/* One line that names the step at which the host failed. */
static void host_failed(const char *what)
{
	char line[300];

	if (last_line("log", "lkvm-host: FAILED: ", line, sizeof(line)))
		fprintf(stderr, "host: boot failed: %s\n", line);
	else if (last_line("log", "Kernel panic - ", line, sizeof(line)))
		fprintf(stderr, "host: kernel panic: %s\n", line);
	else if (last_line("log", "lkvm-host: step: ", line, sizeof(line)))
		fprintf(stderr, "host: %s; last step: %s\n", what, line);
	else if (last_line("qemu.err", "qemu-system", line, sizeof(line)))
		fprintf(stderr, "host: QEMU ended: qemu-system%s\n", line);
	else
		fprintf(stderr, "host: %s; last step: kernel start\n", what);
	finish(STATUS_HOST);
}

static void out_add(const void *data, size_t len)
{
	if (len > out_size - out_len) {
		out_size = (out_len + len) * 2;
		out = realloc(out, out_size);
		if (!out) {
			fprintf(stderr, "host: out of memory\n");
			finish(STATUS_HOST);
		}
	}
	memcpy(out + out_len, data, len);
	out_len += len;
}

static void out_frame(enum frame_type type, const void *data, size_t len)
{
	unsigned char head[FRAME_HEAD];

	frame_head(head, type, len);
	out_add(head, sizeof(head));
	out_add(data, len);
}

/* Long requests take several frames; where they are cut does not matter. */
static void out_request(char kind, const char *s)
{
	size_t left = strlen(s) + 1;

	out_frame(FRAME_REQUEST, &kind, 1);
	while (left) {
		size_t n = left < FRAME_MAX ? left : FRAME_MAX;

		out_frame(FRAME_REQUEST, s, n);
		s += n;
		left -= n;
	}
}

static bool env_wanted(const char *entry)
{
	size_t len = strcspn(entry, "=");
	int i;

	for (i = 0; env_pass[i]; i++)
		if (len == strlen(env_pass[i]) &&
		    !memcmp(entry, env_pass[i], len))
			return true;
	for (i = 0; env_pass_prefix[i]; i++)
		if (!strncmp(entry, env_pass_prefix[i],
			     strlen(env_pass_prefix[i])))
			return true;
	for (i = 0; i < opt.nr_env; i++)
		if (len == strlen(opt.env[i]) &&
		    !memcmp(entry, opt.env[i], len))
			return true;
	return false;
}

static void out_command(char **argv)
{
	char *cwd = getcwd(NULL, 0);
	char **e;

	out_request(REQUEST_DIR, cwd ? cwd : "/");
	for (e = environ; *e; e++)
		if (env_wanted(*e))
			out_request(REQUEST_ENV, *e);
	/* what runs in here may want to know where it is */
	out_request(REQUEST_ENV, "LKVM_IN_EMULATED_HOST=1");
	for (; *argv; argv++)
		out_request(REQUEST_ARG, *argv);
	out_frame(FRAME_RUN, "", 0);
	if (!opt.use_stdin)
		out_frame(FRAME_STDIN, "", 0);
	free(cwd);
}

/* Takes the lock of a free slot, which lasts as long as we do. */
static int slot_take(long long until)
{
	char path[512];
	int i, fd;

	for (;;) {
		for (i = 0; i < HOST_SLOTS; i++) {
			snprintf(path, sizeof(path), "%s/slot%d.lock", opt.dir,
				 i);
			fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
			if (fd < 0)
				break;
			if (!flock(fd, LOCK_EX | LOCK_NB))
				return i;
			close(fd);
		}
		if (fd < 0 || now_ms() > until || got_signal)
			return -1;
		usleep(50000);
	}
}

static void host_connect(long long until)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int slot = slot_take(until);

	if (slot < 0) {
		fprintf(stderr, "host: %s: no free slot\n", opt.dir);
		finish(STATUS_HOST);
	}
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/slot%d", opt.dir, slot);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	while (connect(sock, (struct sockaddr *)&sa, sizeof(sa))) {
		if (qemu_gone())
			host_failed("QEMU ended");
		if (now_ms() > until || got_signal)
			host_failed("QEMU did not start");
		usleep(10000);
	}
	fcntl(sock, F_SETFL, O_NONBLOCK);
}

static void flush_out(void)
{
	ssize_t n = send(sock, out, out_len, MSG_NOSIGNAL);

	if (n <= 0)
		return;
	out_len -= n;
	memmove(out, out + n, out_len);
}

static int wait_ms(long long until)
{
	long long left = until - now_ms();

	return left < 0 ? 0 : left > 500 ? 500 : left;
}

/* Drops what an earlier client left behind, up to the echo of our nonce. */
static void host_sync(long long until)
{
	unsigned char want[FRAME_HEAD + FRAME_NONCE], in[4 * FRAME_MAX];
	size_t len = 0;
	unsigned char *fill = malloc(FRAME_HEAD + FRAME_MAX);

	frame_head(want, FRAME_SYNC, FRAME_NONCE);
	if (!fill || getrandom(want + FRAME_HEAD, FRAME_NONCE, 0) < 0)
		finish(STATUS_HOST);
	memset(fill, FRAME_FILL, FRAME_HEAD + FRAME_MAX);
	out_add(fill, FRAME_HEAD + FRAME_MAX);
	free(fill);
	out_add(want, sizeof(want));

	for (;;) {
		char failed[300] = "";
		struct pollfd p = { sock, POLLIN | (out_len ? POLLOUT : 0), 0 };
		ssize_t n;

		if (poll(&p, 1, wait_ms(until)) < 0)
			p.revents = 0;
		if (got_signal)
			finish(128 + got_signal);
		if (p.revents & POLLOUT)
			flush_out();
		if (p.revents & ~POLLOUT) {
			n = read(sock, in + len, sizeof(in) - len);
			if (n == 0 || (n < 0 && errno != EAGAIN))
				host_failed("QEMU ended");
			len += n > 0 ? n : 0;
			if (memmem(in, len, want, sizeof(want)))
				return;
			if (len >= sizeof(want)) {
				memmove(in, in + len - sizeof(want) + 1,
					sizeof(want) - 1);
				len = sizeof(want) - 1;
			}
		}
		if (last_line("log", "lkvm-host: FAILED: ", failed,
			      sizeof(failed)))
			host_failed("boot failed");
		if (now_ms() > until)
			host_failed("no answer in time");
	}
}

static void write_all(int fd, const unsigned char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){ fd, POLLOUT, 0 }, 1, -1);
			continue;
		}
		if (n < 0)
			finish(errno == EPIPE ? STATUS_PIPE : STATUS_HOST);
		p += n;
		len -= n;
	}
}

/* Returns what is left of the input: the beginning of a frame, or nothing. */
#define KILL_MS 20000

static bool timed_out;

static size_t take_frames(unsigned char *in, size_t len)
{
	size_t at = 0;

	while (len - at >= FRAME_HEAD) {
		const unsigned char *f = in + at;
		size_t n = frame_len(f);

		if (n > FRAME_MAX) {
			fprintf(stderr, "host: stream out of step\n");
			finish(STATUS_HOST);
		}
		if (len - at < FRAME_HEAD + n)
			break;
		if (f[0] == FRAME_STDOUT)
			write_all(1, f + FRAME_HEAD, n);
		else if (f[0] == FRAME_STDERR)
			write_all(2, f + FRAME_HEAD, n);
		else if (f[0] == FRAME_RESULT)
			finish(timed_out ? STATUS_TIMEOUT :
			       n ? f[FRAME_HEAD] : STATUS_HOST);
		at += FRAME_HEAD + n;
	}
	memmove(in, in + at, len - at);
	return len - at;
}

static void read_stdin(void)
{
	unsigned char buf[FRAME_MAX];
	ssize_t n = read(0, buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	out_frame(FRAME_STDIN, buf, n > 0 ? n : 0);
	if (n <= 0)
		opt.use_stdin = false;
}

/* Carries the streams until the result comes. Does not return. */
static void relay(void)
{
	long long until = opt.timeout_secs ?
			  now_ms() + opt.timeout_secs * 1000LL :
			  0x7fffffffffffLL;
	static unsigned char in[4 * FRAME_MAX];
	size_t len = 0;
	ssize_t n;

	for (;;) {
		struct pollfd p[2] = {
			{ sock, POLLIN | (out_len ? POLLOUT : 0), 0 },
			{ opt.use_stdin && !out_len ? 0 : -1, POLLIN, 0 },
		};

		if (poll(p, 2, wait_ms(until)) < 0)
			memset(p, 0, sizeof(p));
		if (got_signal) {
			unsigned char sig = got_signal;

			got_signal = 0;
			out_frame(FRAME_SIGNAL, &sig, 1);
		}
		if (p[1].revents)
			read_stdin();
		if (out_len)
			flush_out();
		if (p[0].revents & ~POLLOUT) {
			n = read(sock, in + len, sizeof(in) - len);
			if (n == 0 || (n < 0 && errno != EAGAIN))
				host_failed("QEMU ended during the command");
			len = take_frames(in, len + (n > 0 ? n : 0));
		}
		if (now_ms() <= until)
			continue;
		/* A host that cannot end the command any more is what failed. */
		if (timed_out)
			host_failed("stands still");
		fprintf(stderr, "host: timed out after %d s\n",
			opt.timeout_secs);
		timed_out = true;
		until = now_ms() + KILL_MS;
		out_frame(FRAME_SIGNAL, &(unsigned char){ SIGKILL }, 1);
	}
}

/* Sends the request to power off and waits until QEMU has ended. */
static void power_off(long long until)
{
	unsigned char junk[4096];
	ssize_t n;

	out_frame(FRAME_POWEROFF, "", 0);
	while (now_ms() < until) {
		struct pollfd p = { sock, POLLIN | (out_len ? POLLOUT : 0), 0 };

		poll(&p, 1, 100);
		if (out_len)
			flush_out();
		n = read(sock, junk, sizeof(junk));
		if (n == 0 || (n < 0 && errno != EAGAIN))
			finish(0);
	}
	finish(STATUS_HOST);
}

static char **parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "+d:q:b:t:e:iwp1")) != -1) {
		switch (c) {
		case 'd':
			opt.dir = optarg;
			break;
		case 'q':
			opt.qemu = atoi(optarg);
			break;
		case 'b':
			opt.boot_secs = atoi(optarg);
			break;
		case 't':
			opt.timeout_secs = atoi(optarg);
			break;
		case 'i':
			opt.use_stdin = true;
			break;
		case 'w':
			opt.wait_only = true;
			break;
		case 'p':
			opt.power_off = true;
			break;
		case '1':
			opt.one_shot = true;
			break;
		case 'e':
			if (opt.nr_env < MAX_ENV_NAMES)
				opt.env[opt.nr_env++] = optarg;
			break;
		default:
			exit(STATUS_HOST);
		}
	}
	if (!opt.dir || (!argv[optind] && !opt.wait_only && !opt.power_off)) {
		fprintf(stderr, "host: client: bad usage\n");
		exit(STATUS_HOST);
	}
	return argv + optind;
}

int main(int argc, char **argv)
{
	static const int forwarded[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction sa = { .sa_handler = on_signal };
	char **command = parse(argc, argv);
	long long until = now_ms() + opt.boot_secs * 1000LL;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaction(forwarded[i], &sa, NULL);
	signal(SIGPIPE, SIG_IGN);

	host_connect(until);
	host_sync(until);
	if (opt.wait_only)
		finish(0);
	if (opt.power_off)
		power_off(now_ms() + 20000);
	out_command(command);
	relay();
}
