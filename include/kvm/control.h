/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket of a running VM. Documentation/control.md is the protocol.
 */
#ifndef KVM__CONTROL_H
#define KVM__CONTROL_H

#include <sys/un.h>
#include "kvm/json.h"
#include "kvm/report.h"

#define CONTROL_PROTOCOL 1
#define CONTROL_LINE_MAX 0x40000
#define CONTROL_ARGS_MAX 8
#define CONTROL_FDS_MAX 8

/** enum control_id - every command; the order is that of control_table */
enum control_id {
	CONTROL_SCHEMA,
	CONTROL_EVENTS_SUBSCRIBE,
	CONTROL_CONFIG_GET,
	CONTROL_VM_STATUS,
	CONTROL_VM_STOP,
	CONTROL_VM_KILL,
	CONTROL_VM_PAUSE,
	CONTROL_VM_RESUME,
	CONTROL_VM_RESET,
	CONTROL_VM_STAT,
	CONTROL_VM_BALLOON,
	CONTROL_CONSOLE_OPEN,
	CONTROL_DEBUG_NMI,
	CONTROL_DEBUG_SYSRQ,
	CONTROL_DEBUG_REGS,
	CONTROL_DEBUG_MEMORY,
	CONTROL_GUEST_EXEC,
	CONTROL_GUEST_SIGNAL,
	CONTROL_GUEST_RESIZE,
	CONTROL_DISK_ATTACH,
	CONTROL_NET_ATTACH,
	CONTROL_SHARE_ATTACH,
	CONTROL_DEVICE_DETACH,
	CONTROL_NR,
};

enum control_type {
	CONTROL_STRING,		/* at most @max bytes */
	CONTROL_NUMBER,		/* whole, @min to @max */
	CONTROL_BOOL,
	CONTROL_STRINGS,	/* an array of at most @max strings */
};

/**
 * struct control_arg - an argument of a command
 * @help: one line, without a full stop
 */
struct control_arg {
	const char *name;
	enum control_type type;
	bool required;
	u64 min;
	u64 max;
	const char *help;
};

/**
 * struct control_cmd - a row of the one table
 * @arg: at most CONTROL_ARGS_MAX, ends with a NULL name; NULL for none
 * @nr_fds: so many files have to come with it, which is at most CONTROL_FDS_MAX
 * @result: what the answer has in it, for people
 */
struct control_cmd {
	const char *name;
	const char *help;
	const char *result;
	unsigned int nr_fds;
	const struct control_arg *arg;
};

/** struct control_event_desc - an event; @data: what is in it, for people */
struct control_event_desc {
	const char *name;
	const char *help;
	const char *data;
};

extern const struct control_cmd control_table[CONTROL_NR];
/** control_events - ends with a NULL name */
extern const struct control_event_desc control_events[];
/** control_schema() - the tables as one JSON object */
void control_schema(struct json_out *o, const char *key);

/**
 * struct control_value - an argument as it was given, checked
 * @given: false for one that was left out; all else is 0 then
 * @list: of CONTROL_STRINGS; use json_first() and json_next()
 */
struct control_value {
	bool given;
	bool flag;
	u64 number;
	const char *string;
	const struct json_value *list;
};

struct control_client;
struct control_server;

/**
 * struct control_call - a command that has come; lives until its handler returns
 * @vm: the opaque of the server's options
 * @arg: in the order of the table's row; strings live as long as the call
 * @fd: the files that came with it; who keeps one puts -1 in its place, all
 *	others are closed
 * @out: members of the answer's object are appended to it
 */
struct control_call {
	struct control_server *server;
	struct control_client *client;
	const struct control_cmd *cmd;
	void *vm;
	u64 id;
	struct control_value arg[CONTROL_ARGS_MAX];
	int fd[CONTROL_FDS_MAX];
	struct json_out *out;
	bool answered;
	bool later;
};

/**
 * typedef control_handler - does what a command says
 *
 * It either appends its answer to call->out, or calls control_refuse(), or
 * control_later(). It does not wait for anything.
 * Context: the thread of control_server_run().
 */
typedef void (*control_handler)(struct control_call *call);

/**
 * control_refuse() - the answer is an error
 * @code: one word: "invalid", "state", "unsupported", "failed", "busy", "ended"
 * @path: what of the request is meant, as "args.name"; may be NULL
 */
void control_refuse(struct control_call *call, const char *code,
		    const char *path, const char *fmt, ...)
	__printf(4, 5);

/**
 * struct control_later - an answer that is still to come; the handler's own
 * @gone: the client is gone, nobody will read the answer. Not called any more
 *	once control_answer() was. May be NULL
 */
struct control_later {
	void (*gone)(struct control_later *l);
	struct control_client *client;
	struct control_later *next;
	u64 id;
};

/**
 * control_later() - the answer comes by control_answer()
 * @l: stays where it is until then; @l->gone is set by the caller
 */
void control_later(struct control_call *call, struct control_later *l);
/**
 * control_answer() - the answer to what control_later() was called for
 * @members: of the answer's object, as json_out collects them; may be empty
 *
 * @l is the caller's again. Also to be called after @l->gone was, or not: it is
 * without effect then. Context: as a handler.
 */
void control_answer(struct control_later *l, const struct json_out *members);
/** control_answer_error() - as control_answer(); see control_refuse() */
void control_answer_error(struct control_later *l, const char *code,
			  const char *fmt, ...)
	__printf(3, 4);

/**
 * struct control_watch - a descriptor that the server looks after, too
 * @ready: @events are EPOLLIN and the like
 *
 * It is level-triggered, and cannot be a plain file (-EPERM).
 */
struct control_watch {
	int fd;
	void (*ready)(struct control_watch *w, u32 events);
};

/**
 * control_watch_add() - from here on w->ready is called
 * control_watch_change() - for other events
 * control_watch_remove() - before the descriptor is closed
 *
 * Once it is removed it is not called, and may be freed.
 * Context: as a handler. Return: 0 or -errno.
 */
int control_watch_add(struct control_server *s, struct control_watch *w,
		      u32 events);
int control_watch_change(struct control_server *s, struct control_watch *w,
			 u32 events);
void control_watch_remove(struct control_server *s, struct control_watch *w);

/**
 * struct control_opts - a server
 * @address: of the socket
 * @name: of the VM
 * @version: of lkvm; both outlive the server
 * @handler: by enum control_id; NULL for what this VM cannot do
 */
struct control_opts {
	struct sockaddr_un address;
	const char *name;
	const char *version;
	const control_handler *handler;
	void *vm;
};

/** control_server_create() - from here on clients can connect, and wait */
int control_server_create(struct control_server **out,
			  const struct control_opts *opts, struct report *r);
/** control_server_fd() - readable when control_server_run() is due */
int control_server_fd(const struct control_server *s);
/** control_server_due() - when it is without that, 0 for never; as of now_ns() */
u64 control_server_due(const struct control_server *s);
/** control_server_run() - serve what is there, without waiting */
void control_server_run(struct control_server *s);
/**
 * control_event() - tell those who asked for events
 * @name: one of control_events
 * @members: of its data, NULL for none
 *
 * Context: as a handler. A client that does not read loses events, and is told
 * how many.
 */
void control_event(struct control_server *s, const char *name,
		   const struct json_out *members);
/**
 * control_server_finish() - all that was answered is sent, as far as clients
 * read it within @ms milliseconds; connections stay
 */
void control_server_finish(struct control_server *s, unsigned int ms);
/** control_server_destroy() - the socket is gone; NULL is fine */
void control_server_destroy(struct control_server *s);

#endif
