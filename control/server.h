/* SPDX-License-Identifier: GPL-2.0-only */
/* What server.c and request.c share. */
#ifndef CONTROL__SERVER_H
#define CONTROL__SERVER_H

#include <sys/stat.h>
#include "kvm/control.h"

struct epoll_event;

/**
 * struct control_client - a connection
 * @in: what came of the line that has no end yet
 * @out: what is to be sent
 * @fd: files that came, for the next command that takes files
 * @later: answers that are still to come
 * @waiting: a whole line is in @in that may not be asked yet
 * @lost: events since the last one that had room
 * @active: by the server's clock, which counts
 */
struct control_client {
	struct control_watch watch;
	struct control_server *server;
	struct control_client *next;
	u32 events;
	char *in;
	size_t in_len;
	size_t in_size;
	struct json_out out;
	int fd[CONTROL_FDS_MAX];
	unsigned int nr_fds;
	struct control_later *later;
	unsigned int nr_later;
	u64 active;
	u64 lost;
	bool too_many_fds;
	bool subscribed;
	bool waiting;
	bool eof;
	bool dead;
};

/**
 * struct control_server - of one VM
 * @value: room for a request that is taken apart
 * @ready: what epoll_wait() has returned and is not done yet
 * @deaf: until when nobody is accepted, as there was no descriptor for one more
 *	client; 0 if somebody is
 * @seq: of the last event
 * @made: the socket's file, so that no other is removed
 */
struct control_server {
	struct control_opts opts;
	struct control_watch watch;
	int epoll;
	struct control_client *clients;
	unsigned int nr_clients;
	struct json_value *value;
	unsigned int nr_values;
	struct epoll_event *ready;
	int nr_ready;
	u64 deaf;
	u64 clock;
	u64 seq;
	struct stat made;
};

/** struct control_error - @has_id: the request could be read that far */
struct control_error {
	u64 id;
	bool has_id;
	const char *code;
	const char *path;
	char msg[512];
};

/** client_error() - append an error to what @c is sent; @e and its texts are copied */
void client_error(struct control_client *c, const struct control_error *e);
/**
 * client_answer() - append the answer to request @id to what @c is sent
 * @members: of its object "ok", copied; NULL or empty for none
 *
 * Context: the main thread. Memory that runs out ends the connection.
 */
void client_answer(struct control_client *c, u64 id,
		   const struct json_out *members);
/** request_run() - a line, without its end; it is changed */
void request_run(struct control_client *c, char *line, size_t len);

#endif
