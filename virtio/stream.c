// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * The host's side of a console port. Whatever it is, it comes down to a
 * descriptor to read from and one to write to, perhaps the same, each of which
 * may end by itself; and for those whose other side comes and goes, a second
 * descriptor that tells when somebody comes: a socket that listens, or an
 * inotify that sees the terminal being opened, since a pty tells only that
 * somebody left.
 *
 * No descriptor blocks. Those that were inherited are opened again through
 * /proc, so that O_NONBLOCK is not forced upon whom we share them with; a socket
 * cannot be opened again and is used with MSG_DONTWAIT. A regular file waits for
 * its disk, as long as that takes.
 *
 * What has a name in the file system is removed at the end by a shell that waits
 * for us to close a pipe: a sealed process cannot, and a killed one does not.
 *
 * A client of a socket may end its half and still read: this is not seen by the
 * guest. What is read is not looked at. No locks, no threads; one thread at a
 * time. No guest reaches this but by the bytes that are written.
 *
 * Not supported: several clients at once (the next one waits its turn), modem
 * lines, window sizes, breaks.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "kvm/clock.h"
#include "kvm/file.h"
#include "kvm/stream.h"
#include "kvm/thread.h"
#include "kvm/unix.h"

#define CHILD_PATIENCE_MS 2000
#define COME_PAUSE_MS 100
#define PTY_PATIENCE_MS 2000
/* Looks, 5 ms apart, that have to find nothing left for a terminal's reader. */
#define PTY_EMPTY 10

/**
 * struct stream - see stream.h
 * @in_fd, @out_fd: -1 when there is none or it has ended; may be equal
 * @come_fd: a listening socket or an inotify, -1 when nobody can come
 * @come_later: who comes cannot be taken for now, though @come_fd says so
 * @in_ended: nothing more to read, though @in_fd may be open for writing
 * @in_socket, @out_socket: @in_fd, @out_fd is a socket that may block
 * @pid: of the command, or of the shell that removes @opts.arg; 0 without
 * @gone_fd: that shell waits for this to be closed
 */
struct stream {
	struct stream_opts opts;
	const char *name;
	int in_fd;
	int out_fd;
	int come_fd;
	bool come_later;
	bool in_ended;
	bool in_socket;
	bool out_socket;
	pid_t pid;
	int gone_fd;
	char path[64];
	bool linked;
};

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void stream_end_out(struct stream *s)
{
	if (s->out_fd != s->in_fd)
		fd_close(&s->out_fd);
	else if (s->in_ended && s->opts.kind != STREAM_PTY)
		fd_close(&s->in_fd);
	s->out_fd = -1;
}

static void stream_end_in(struct stream *s)
{
	/* The terminal is the same for all who come, a client's socket is not. */
	if (s->opts.kind == STREAM_PTY)
		s->out_fd = -1;
	else if (s->out_fd != s->in_fd)
		fd_close(&s->in_fd);
	s->in_ended = true;
}

static int open_file(struct stream *s, struct report *r)
{
	bool in = s->opts.kind == STREAM_READ;
	int flags = in ? O_RDONLY : O_WRONLY | O_CREAT;
	struct stat st;
	int fd;

	fd = open(s->opts.arg, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		  0666);
	if (fd < 0)
		return report_error(r, errno, "port %s: %s: cannot open",
				    s->name, s->opts.arg);
	if (in)
		s->in_fd = fd;
	else
		s->out_fd = fd;
	if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
		return report_error(r, EISDIR, "port %s: %s", s->name,
				    s->opts.arg);
	return 0;
}

/* Return: 0 or a positive errno. */
static int spawn_shell(struct stream *s, const char *command, int child_in,
		       int child_out)
{
	char *const argv[] = {
		(char *)"sh", (char *)"-c", (char *)command,
		(char *)s->opts.arg, NULL,
	};
	posix_spawn_file_actions_t files;
	int err;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, child_in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, child_out, STDOUT_FILENO);
	err = process_spawn(&s->pid, "/bin/sh", &files, argv);
	if (err)
		s->pid = 0;
	posix_spawn_file_actions_destroy(&files);
	return err;
}

static int open_pipe(struct stream *s, struct report *r)
{
	int to[2] = { -1, -1 }, from[2] = { -1, -1 };
	int err = 0;

	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		err = errno;
	s->out_fd = to[1];
	s->in_fd = from[0];
	if (!err)
		err = spawn_shell(s, s->opts.arg, to[0], from[1]);
	fd_close(&to[0]);
	fd_close(&from[1]);
	if (!err && (fcntl(s->out_fd, F_SETFL, O_NONBLOCK) < 0 ||
		     fcntl(s->in_fd, F_SETFL, O_NONBLOCK) < 0))
		err = errno;
	return err ? report_error(r, err, "port %s: %s", s->name,
				  s->opts.arg) : 0;
}

/* @opts.arg is ours: it goes when we go, whatever way that is. */
static int remove_later(struct stream *s, struct report *r)
{
	char wait[160];
	struct stat st;
	int p[2], err;

	s->linked = true;
	if (lstat(s->opts.arg, &st) < 0)
		return report_error(r, errno, "port %s: %s", s->name, s->opts.arg);
	/* But not what somebody else has put there since. */
	snprintf(wait, sizeof(wait),
		 "trap '' HUP INT QUIT TERM; read -r x; set -- $(ls -di -- \"$0\" 2>&1);"
		 "[ \"$1\" = %llu ] && rm -f -- \"$0\"", (unsigned long long)st.st_ino);
	if (pipe2(p, O_CLOEXEC) < 0)
		return report_error(r, errno, "port %s: pipe", s->name);
	s->gone_fd = p[1];
	err = spawn_shell(s, wait, p[0], p[0]);
	close(p[0]);
	return err ? report_error(r, err, "port %s: sh", s->name) : 0;
}

int stream_reopen(int fd, int mode, bool *socket)
{
	char path[32];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	*socket = S_ISSOCK(st.st_mode);
	if (*socket || S_ISREG(st.st_mode))
		return fcntl(fd, F_DUPFD_CLOEXEC, 3);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static int open_fd(struct stream *s, struct report *r)
{
	bool same = s->opts.in_fd == s->opts.out_fd;

	s->in_fd = stream_reopen(s->opts.in_fd, same ? O_RDWR : O_RDONLY,
				 &s->in_socket);
	if (s->in_fd < 0)
		return report_error(r, errno, "port %s: descriptor %d",
				    s->name, s->opts.in_fd);
	s->out_fd = s->in_fd;
	s->out_socket = s->in_socket;
	if (!same)
		s->out_fd = stream_reopen(s->opts.out_fd, O_WRONLY,
					  &s->out_socket);
	if (s->out_fd < 0)
		return report_error(r, errno, "port %s: descriptor %d",
				    s->name, s->opts.out_fd);
	return 0;
}

static int open_unix(struct stream *s, struct report *r)
{
	struct sockaddr_un a;
	int err = unix_address(&a, s->opts.arg);

	if (!err)
		s->come_fd = unix_listen(&a, SOCK_STREAM, 8);
	if (!err && s->come_fd < 0)
		err = s->come_fd;
	s->linked = !err;
	return err ? report_error(r, -err, "port %s: %s", s->name,
				  s->opts.arg) : remove_later(s, r);
}

/* Who opened it may have left again, but not without what it wrote. */
static void pty_look(struct stream *s)
{
	struct pollfd p = { .fd = s->in_fd };
	bool there = poll(&p, 1, 0) == 0 || !(p.revents & POLLHUP);

	s->out_fd = there ? s->in_fd : -1;
	s->in_ended = false;
}

static void pty_set_raw(int fd)
{
	struct termios t;

	if (!tcgetattr(fd, &t)) {
		cfmakeraw(&t);
		tcsetattr(fd, TCSANOW, &t);
	}
}

static int open_pty(struct stream *s, struct report *r)
{
	int slave = -1, err = 0;

	s->in_fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	s->come_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->in_fd < 0 || s->come_fd < 0 || grantpt(s->in_fd) < 0 ||
	    unlockpt(s->in_fd) < 0 ||
	    ptsname_r(s->in_fd, s->path, sizeof(s->path)))
		err = errno;
	if (!err)
		slave = open(s->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (!err && slave < 0)
		err = errno;
	if (!err && inotify_add_watch(s->come_fd, s->path, IN_OPEN) < 0)
		err = errno;
	/* Before anybody can find it: what is written until then is cooked. */
	if (slave >= 0)
		pty_set_raw(slave);
	if (err)
		report_error(r, err, "port %s: pty", s->name);
	else if (s->opts.arg && symlink(s->path, s->opts.arg) < 0)
		err = -report_error(r, errno, "port %s: %s", s->name,
				    s->opts.arg);
	else if (s->opts.arg)
		err = -remove_later(s, r);
	/* A terminal that was never open does not say that it is not. */
	fd_close(&slave);
	s->in_ended = true;
	return -err;
}

int stream_open(struct stream **out, const char *name,
		const struct stream_opts *opts, struct report *r)
{
	static int (*const open_kind[])(struct stream *s, struct report *r) = {
		[STREAM_FILE] = open_file,
		[STREAM_READ] = open_file,
		[STREAM_PIPE] = open_pipe,
		[STREAM_FD] = open_fd,
		[STREAM_UNIX] = open_unix,
		[STREAM_PTY] = open_pty,
	};
	struct stream *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return report_error(r, ENOMEM, "port %s", name);
	s->opts = *opts;
	s->name = name;
	s->in_fd = -1;
	s->out_fd = -1;
	s->come_fd = -1;
	s->gone_fd = -1;
	err = open_kind[opts->kind](s, r);
	if (err) {
		stream_close(s);
		return err;
	}
	*out = s;
	return 0;
}

int stream_begin(struct stream *s)
{
	return s->opts.kind == STREAM_FILE ? file_empty(s->out_fd) : 0;
}

/* What a command says at its end has no reader, but it is not to die of that. */
static void child_wait(struct stream *s)
{
	struct pollfd p[2] = {
		{ .events = POLLIN }, { .fd = s->in_fd, .events = POLLIN },
	};
	u64 end = now_ns() + CHILD_PATIENCE_MS * NSEC_PER_MSEC;
	char d[4096];
	int left;

	p[0].fd = syscall(SYS_pidfd_open, s->pid, 0);
	while (p[0].fd >= 0 && (left = ms_left(end))) {
		if (poll(p, 2, left) <= 0)
			continue;
		if (p[0].revents)
			break;
		if (read(s->in_fd, d, sizeof(d)) <= 0)
			p[1].fd = -1;
	}
	fd_close(&p[0].fd);
	waitpid(s->pid, NULL, WNOHANG);
}

/*
 * What is in a terminal goes with its master: a reader that is there gets a while
 * for it, counted from when it last took some. Two signs tell that it did: the
 * kernel wakes who waits for input (an edge, even if there was input before) when
 * it moves on bytes that are behind, and FIONREAD changes when none are. poll()
 * makes the kernel move them.
 */
static void pty_wait_read(struct stream *s)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int edge = epoll_create1(EPOLL_CLOEXEC);
	struct pollfd p = { .events = POLLIN };
	unsigned int nothing = 0;
	int before = -1, left = 0;

	p.fd = open(s->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (p.fd >= 0 && edge >= 0)
		epoll_ctl(edge, EPOLL_CTL_ADD, p.fd, &event);
	for (unsigned int ms = 0; p.fd >= 0 && ms < PTY_PATIENCE_MS; ms += 5) {
		/*
		 * It looks empty from when the reader has taken the last byte
		 * until it tells the kernel to move on what is behind.
		 */
		if (poll(&p, 1, 0) > 0 && p.revents & POLLIN)
			nothing = 0;
		else if (++nothing == PTY_EMPTY)
			break;
		/* Landlock may not have FIONREAD. */
		if ((!ioctl(p.fd, FIONREAD, &left) && left != before) ||
		    (edge >= 0 && epoll_wait(edge, &event, 1, 0) > 0))
			ms = 0;
		before = left;
		poll(NULL, 0, 5);
	}
	fd_close(&edge);
	fd_close(&p.fd);
}

void stream_close(struct stream *s)
{
	if (!s)
		return;
	if (s->opts.kind == STREAM_PTY && s->out_fd >= 0)
		pty_wait_read(s);
	stream_end_out(s);
	if (s->opts.kind != STREAM_PIPE)
		fd_close(&s->in_fd);
	fd_close(&s->come_fd);
	fd_close(&s->gone_fd);
	if (s->linked && !s->pid)
		unlink(s->opts.arg);
	if (s->pid)
		child_wait(s);
	fd_close(&s->in_fd);
	free(s);
}

const char *stream_path(const struct stream *s)
{
	return s->path[0] ? s->path : NULL;
}

bool stream_readable(const struct stream *s)
{
	return s->in_fd >= 0 && !s->in_ended;
}

bool stream_connected(const struct stream *s)
{
	return s->out_fd >= 0 || stream_readable(s);
}

void stream_poll_none(struct pollfd p[STREAM_POLL])
{
	p[0] = (struct pollfd){ .fd = -1 };
	p[1] = (struct pollfd){ .fd = -1 };
}

int stream_poll(struct stream *s, struct pollfd p[STREAM_POLL], bool in, bool out)
{
	bool one = s->in_fd == s->out_fd;

	stream_poll_none(p);
	if (!stream_connected(s)) {
		p[0].fd = s->come_later ? -1 : s->come_fd;
		p[0].events = POLLIN;
		s->come_later = false;
		return p[0].fd < 0 && s->come_fd >= 0 ? COME_PAUSE_MS : -1;
	}
	if (stream_readable(s) && (in || one)) {
		p[0].fd = s->in_fd;
		p[0].events = in ? POLLIN : 0;
	}
	/* Also without a wish to write, to hear of those who left. */
	if (s->out_fd >= 0) {
		p[1].fd = s->out_fd;
		p[1].events = out ? POLLOUT : 0;
	} else if (s->opts.kind == STREAM_PTY) {
		p[1].fd = s->come_fd;
		p[1].events = POLLIN;
	}
	return -1;
}

static void stream_come(struct stream *s)
{
	char event[4096];
	int fd;

	if (s->opts.kind == STREAM_PTY) {
		while (read(s->come_fd, event, sizeof(event)) > 0)
			;
		pty_look(s);
		return;
	}
	fd = accept4(s->come_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		/* Out of descriptors or memory: it stays, and would be seen at once. */
		s->come_later = errno != EAGAIN && errno != EINTR &&
				errno != ECONNABORTED;
		return;
	}
	fd_close(&s->in_fd);
	s->in_fd = fd;
	s->out_fd = fd;
	s->in_ended = false;
}

void stream_polled(struct stream *s, const struct pollfd p[STREAM_POLL])
{
	if (!stream_connected(s)) {
		if (p[0].revents)
			stream_come(s);
		return;
	}
	if (p[1].fd >= 0 && p[1].fd == s->come_fd) {
		if (p[1].revents)
			stream_come(s);
		return;
	}
	/* What was sent before is still there to be read: only then it ends. */
	if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL))
		stream_end_out(s);
}

ssize_t stream_read(struct stream *s, void *d, size_t len)
{
	ssize_t n;

	if (!stream_readable(s))
		return 0;
	do {
		n = s->in_socket ? recv(s->in_fd, d, len, MSG_DONTWAIT) :
				   read(s->in_fd, d, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (n > 0)
		return n;
	stream_end_in(s);
	return 0;
}

ssize_t stream_write(struct stream *s, const void *d, size_t len)
{
	ssize_t n;
	int err;

	if (s->opts.kind == STREAM_READ)
		return len;
	if (s->out_fd < 0)
		return -EPIPE;
	do {
		n = s->out_socket ? send(s->out_fd, d, len,
					 MSG_DONTWAIT | MSG_NOSIGNAL) :
				    write(s->out_fd, d, len);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	err = n ? errno : EAGAIN;
	if (err != EAGAIN)
		stream_end_out(s);
	return -err;
}
