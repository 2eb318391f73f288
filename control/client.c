// SPDX-License-Identifier: GPL-2.0-only
/*
 * liblkvm: the client's side of the control socket.
 *
 * Theory of operation: a connection keeps what was received until a line is
 * whole. lkvm_call() looks for its own answer and keeps the other lines, which
 * lkvm_receive() gives out first. What a line is, is told by json.c, from a copy,
 * since that decodes in place. The process at the other end is held on to by a
 * pidfd, so that its number cannot become another's meanwhile; on a kernel
 * without, the end of the connection has to do.
 *
 * A file that nobody listens on any more is what is left of a VM that was killed,
 * and is removed, with the directory locked as by who makes one (unix.c).
 *
 * No state but the connection; no locks.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm/clock.h"
#include "kvm/control-path.h"
#include "kvm/json.h"
#include "kvm/unix.h"
#include "lkvm.h"

#define FILES_MAX 8
#define VALUES_MAX 0x10000
#define LINE_MAX_BYTES 0x1000000

/** struct kept - a line that was not asked for yet */
struct kept {
	struct kept *next;
	char *line;
};

struct lkvm {
	int fd;
	int pidfd;
	pid_t pid;
	long long id;
	char *in;
	size_t len;
	size_t size;
	bool greeted;
	struct kept *kept;
	struct kept **kept_tail;
	char code[32];
	char error[512];
};

/* What is left of @timeout_ms that began at @begin */
static int left_ms(u64 begin, int timeout_ms)
{
	u64 gone = now_ms() - begin;

	if (timeout_ms < 0)
		return -1;
	return gone >= (u64)timeout_ms ? 0 : timeout_ms - (int)gone;
}

static int wait_for(int fd, short events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	u64 begin = now_ms();
	int n;

	do {
		n = poll(&p, 1, left_ms(begin, timeout_ms));
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n ? 0 : -ETIMEDOUT;
}

int lkvm_names(int (*each)(void *opaque, const char *name), void *opaque)
{
	char dir[UNIX_PATH];
	struct dirent *e;
	int err = control_dir(dir, sizeof(dir));
	DIR *d;

	if (err)
		return err;
	d = opendir(dir);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while (!err && (e = readdir(d))) {
		size_t len = strlen(e->d_name);
		const size_t suffix = strlen(CONTROL_SUFFIX);

		if (len <= suffix || *e->d_name == '.' ||
		    strcmp(e->d_name + len - suffix, CONTROL_SUFFIX))
			continue;
		e->d_name[len - suffix] = 0;
		err = each(opaque, e->d_name);
	}
	closedir(d);
	return err;
}

/* The directory may be anybody's: who listens has to be us, or root. */
static int hold_process(struct lkvm *l)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	l->pidfd = -1;
	if (getsockopt(l->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return -errno;
	if (peer.uid != geteuid() && peer.uid)
		return -EPERM;
	l->pid = peer.pid;
#ifdef __NR_pidfd_open
	l->pidfd = syscall(__NR_pidfd_open, peer.pid, 0);
#endif
	return 0;
}

int lkvm_connect(struct lkvm **out, const char *name)
{
	struct sockaddr_un a;
	struct lkvm *l;
	int fd, err;

	if (!*name || strchr(name, '/') || control_address(&a, name))
		return -ENOENT;
	fd = unix_connect(&a, SOCK_STREAM);
	if (fd == -ECONNREFUSED) {
		unix_remove_stale(&a, SOCK_STREAM);
		return -ENOENT;
	}
	if (fd < 0)
		return fd;
	l = calloc(1, sizeof(*l));
	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	l->fd = fd;
	l->kept_tail = &l->kept;
	err = hold_process(l);
	if (err)
		lkvm_close(l);
	else
		*out = l;
	return err;
}

void lkvm_close(struct lkvm *l)
{
	if (!l)
		return;
	while (l->kept) {
		struct kept *k = l->kept;

		l->kept = k->next;
		free(k->line);
		free(k);
	}
	if (l->pidfd >= 0)
		close(l->pidfd);
	close(l->fd);
	free(l->in);
	free(l);
}

int lkvm_fd(const struct lkvm *l)
{
	return l->fd;
}

pid_t lkvm_pid(const struct lkvm *l)
{
	return l->pid;
}

const char *lkvm_error(const struct lkvm *l)
{
	return l->error;
}

const char *lkvm_error_code(const struct lkvm *l)
{
	return l->code;
}

/* All of @d; files go with its first byte. */
static int send_all(struct lkvm *l, const char *d, size_t len, const int *fd,
		    unsigned int nr_fds)
{
	union {
		char buf[CMSG_SPACE(FILES_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (void *)d, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nr_fds) {
		m.msg_control = control.buf;
		m.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fd, nr_fds * sizeof(int));
	}
	while (iov.iov_len) {
		ssize_t n = sendmsg(l->fd, &m, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			wait_for(l->fd, POLLOUT, -1);
		else if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= n;
		m.msg_control = NULL;
		m.msg_controllen = 0;
	}
	return 0;
}

long long lkvm_send(struct lkvm *l, const char *cmd, const char *args,
		    const int *fd, unsigned int nr_fds)
{
	struct json_out o = { 0 };
	int err;

	if ((args && strchr(args, '\n')) || nr_fds > FILES_MAX)
		return -EINVAL;
	json_open(&o, NULL, '{');
	json_put_number(&o, "id", ++l->id);
	json_put_string(&o, "cmd", cmd);
	if (args)
		json_put_raw(&o, "args", args, strlen(args));
	json_close(&o, '}');
	json_end_line(&o);
	err = o.err ? o.err : send_all(l, o.text, o.len, fd, nr_fds);
	json_out_free(&o);
	return err ? err : l->id;
}

/* The first line that is whole, out of what was received */
static char *take_line(struct lkvm *l)
{
	char *end = l->len ? memchr(l->in, '\n', l->len) : NULL;
	char *line;
	size_t n;

	if (!end)
		return NULL;
	n = end - l->in;
	line = strndup(l->in, n);
	l->len -= n + 1;
	memmove(l->in, end + 1, l->len);
	return line;
}

static int receive_more(struct lkvm *l, int timeout_ms)
{
	ssize_t n;
	int err;

	if (l->len == l->size) {
		size_t size = MAX(l->size * 2, (size_t)4096);
		char *in = size > LINE_MAX_BYTES ? NULL : realloc(l->in, size);

		if (!in)
			return -ENOMEM;
		l->in = in;
		l->size = size;
	}
	n = recv(l->fd, l->in + l->len, l->size - l->len, MSG_DONTWAIT);
	if (n > 0)
		l->len += n;
	if (n >= 0)
		return n ? 0 : -ECONNRESET;
	if (errno != EAGAIN && errno != EINTR)
		return -errno;
	err = wait_for(l->fd, POLLIN, timeout_ms);
	return err;
}

/* The next line from the socket */
static int read_line(struct lkvm *l, char **line, int timeout_ms)
{
	u64 begin = now_ms();
	int err = 0;

	/* What was read already counts even if the end has come. */
	for (;;) {
		*line = take_line(l);
		if (*line && l->greeted)
			return 0;
		/* The first one is the greeting. */
		l->greeted |= !!*line;
		if (!*line && err)
			return err;
		if (!*line)
			err = receive_more(l, left_ms(begin, timeout_ms));
		free(*line);
	}
}

int lkvm_receive(struct lkvm *l, char **line, int timeout_ms)
{
	struct kept *k = l->kept;

	if (!k)
		return read_line(l, line, timeout_ms);
	l->kept = k->next;
	if (!l->kept)
		l->kept_tail = &l->kept;
	*line = k->line;
	free(k);
	return 0;
}

static int keep_line(struct lkvm *l, char *line)
{
	struct kept *k = malloc(sizeof(*k));

	if (!k) {
		free(line);
		return -ENOMEM;
	}
	*k = (struct kept){ .line = line };
	*l->kept_tail = k;
	l->kept_tail = &k->next;
	return 0;
}

static void note_error(struct lkvm *l, const struct json_value *error)
{
	const char *code = json_string_of(error, "code");
	const char *msg = json_string_of(error, "msg");
	const char *path = json_string_of(error, "path");

	snprintf(l->code, sizeof(l->code), "%s", code ? code : "");
	snprintf(l->error, sizeof(l->error), "%s%s%s", path ? path : "",
		 path ? ": " : "", msg ? msg : "not said what");
}

/* Return: 1 if @line answers @id, with what the answer is in *@err and *@ok */
static int is_answer(struct lkvm *l, const char *line, long long id, char **ok,
		     int *err)
{
	struct json_doc doc = { .max = VALUES_MAX };
	const struct json_value *v;
	char *copy = strdup(line);
	int is = 0;

	doc.value = calloc(VALUES_MAX, sizeof(*doc.value));
	if (!copy || !doc.value || json_parse(&doc, copy, strlen(copy)))
		goto out;
	v = json_member(doc.value, "id");
	/* Without a number it is about all: we are not served. */
	is = v && (v->type == JSON_NULL ||
		   (v->type == JSON_NUMBER && v->number == (u64)id));
	if (!is)
		goto out;
	v = json_member(doc.value, "ok");
	*err = v ? 0 : -EREMOTEIO;
	if (!v)
		note_error(l, json_member(doc.value, "error"));
	else if (ok)
		*ok = strndup(line + v->begin, v->end - v->begin);
	if (v && ok && !*ok)
		*err = -ENOMEM;
out:
	free(doc.value);
	free(copy);
	return is;
}

/* Among the lines that came while another answer was waited for */
static bool find_kept(struct lkvm *l, long long id, char **ok, int *err)
{
	for (struct kept **at = &l->kept; *at; at = &(*at)->next) {
		struct kept *k = *at;

		if (!is_answer(l, k->line, id, ok, err))
			continue;
		*at = k->next;
		if (!k->next)
			l->kept_tail = at;
		free(k->line);
		free(k);
		return true;
	}
	return false;
}

int lkvm_answer(struct lkvm *l, long long id, int timeout_ms, char **ok)
{
	u64 begin = now_ms();
	int err = 0;
	char *line;

	/* Who has hung up may have said why. */
	if (id < 0 && id != -EPIPE)
		return (int)id;
	if (find_kept(l, id, ok, &err))
		return err;
	while (!err) {
		err = read_line(l, &line, left_ms(begin, timeout_ms));
		if (err)
			break;
		if (is_answer(l, line, id, ok, &err)) {
			free(line);
			return err;
		}
		err = keep_line(l, line);
	}
	return err;
}

int lkvm_call(struct lkvm *l, const char *cmd, const char *args,
	      int timeout_ms, char **ok)
{
	return lkvm_answer(l, lkvm_send(l, cmd, args, NULL, 0), timeout_ms, ok);
}

/* Without a pidfd: the connection ends when the process does, if not before. */
static int wait_closed(struct lkvm *l, int timeout_ms)
{
	u64 begin = now_ms();
	int err = 0;

	while (!err) {
		char *line;

		err = read_line(l, &line, left_ms(begin, timeout_ms));
		if (!err)
			free(line);
	}
	return err == -ECONNRESET ? 0 : err;
}

int lkvm_wait_gone(struct lkvm *l, int timeout_ms)
{
	if (l->pidfd < 0)
		return wait_closed(l, timeout_ms);
	return wait_for(l->pidfd, POLLIN, timeout_ms);
}

int lkvm_signal(struct lkvm *l, int sig)
{
#ifdef __NR_pidfd_send_signal
	if (l->pidfd >= 0)
		return syscall(__NR_pidfd_send_signal, l->pidfd, sig, NULL, 0) < 0 ?
		       -errno : 0;
#endif
	return l->pid <= 0 || kill(l->pid, sig) < 0 ? -ESRCH : 0;
}
