/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stream of bytes on the host, for a port of a console: a file, a command, a
 * file descriptor, a UNIX socket, a terminal. Never blocks.
 */
#ifndef KVM__STREAM_H
#define KVM__STREAM_H

#include <poll.h>
#include <sys/types.h>
#include "kvm/report.h"

/**
 * enum stream_kind - what is behind a stream
 * @STREAM_FILE: what is written goes to a file; nothing to read
 * @STREAM_READ: a file is read, to its end; what is written is dropped
 * @STREAM_PIPE: stdin and stdout of a shell command
 * @STREAM_FD: descriptors that were inherited
 * @STREAM_UNIX: a UNIX socket that is listened on; one client at a time
 * @STREAM_PTY: the master of a pseudo terminal
 */
enum stream_kind {
	STREAM_FILE,
	STREAM_READ,
	STREAM_PIPE,
	STREAM_FD,
	STREAM_UNIX,
	STREAM_PTY,
};

/**
 * struct stream_opts - what to open
 * @arg: a path; for STREAM_PIPE the command; for STREAM_PTY where to put a
 *	symbolic link to the terminal, or NULL
 * @in_fd: for STREAM_FD, to read from
 * @out_fd: for STREAM_FD, to write to; may be @in_fd
 * @kind: what it is
 */
struct stream_opts {
	enum stream_kind kind;
	const char *arg;
	int in_fd;
	int out_fd;
};

#define STREAM_POLL 2

struct stream;

/**
 * stream_open() - open the file, start the command, listen
 * @name: for messages
 * @opts: @arg outlives the stream
 *
 * Context: the main thread, before the VM runs. From then on a stream is of one
 * thread at a time.
 * Return: 0 with *@out; -errno, reported.
 */
int stream_open(struct stream **out, const char *name,
		const struct stream_opts *opts, struct report *r);
/** stream_begin() - a file loses what it had; once, before the VM runs. Return: 0 or -errno */
int stream_begin(struct stream *s);
/**
 * stream_close() - accepts NULL
 *
 * A command sees the end of its input, and has two seconds to end. Who reads a
 * terminal gets two seconds after each byte to take what is left.
 */
void stream_close(struct stream *s);

/** stream_path() - the terminal of a STREAM_PTY, or NULL */
const char *stream_path(const struct stream *s);
/** stream_connected() - there is, or may yet be, somebody on the other side */
bool stream_connected(const struct stream *s);
/** stream_readable() - whether reading is of use: not for one that ended */
bool stream_readable(const struct stream *s);
/**
 * stream_poll() - what to wait for
 * @in: whether there is a wish to read
 * @out: whether there is one to write
 *
 * Return: how many milliseconds to wait at most, or -1.
 */
int stream_poll(struct stream *s, struct pollfd p[STREAM_POLL], bool in, bool out);
/** stream_poll_none() - nothing, for now */
void stream_poll_none(struct pollfd p[STREAM_POLL]);
/** stream_polled() - tell what poll() found: who came, and who left */
void stream_polled(struct stream *s, const struct pollfd p[STREAM_POLL]);

/**
 * stream_read() - up to @len bytes
 * Return: how many; 0 at the end, of this client or of all; -EAGAIN
 */
ssize_t stream_read(struct stream *s, void *d, size_t len);
/**
 * stream_write() - up to @len bytes
 * Return: how many; -EAGAIN; another -errno: nobody takes them any more
 */
ssize_t stream_write(struct stream *s, const void *d, size_t len);

/**
 * stream_reopen() - a descriptor of our own for what @fd is, which does not block
 * @mode: O_RDONLY, O_WRONLY or O_RDWR
 * @socket: cannot be opened again, and is a duplicate; nor can a regular file
 *
 * Return: the descriptor; -1 with errno.
 */
int stream_reopen(int fd, int mode, bool *socket);

#endif
