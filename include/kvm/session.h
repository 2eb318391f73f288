/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands in the guest, seen from the host: what the guest's init says on the
 * control port, and what is said to it. Documentation/guest-protocol.md
 */
#ifndef KVM__SESSION_H
#define KVM__SESSION_H

#include <pthread.h>
#include "kvm/guest-proto.h"
#include "kvm/report.h"

#define SESSION_NOTES_MAX 16

enum session_state {
	SESSION_SILENT,		/* nothing heard of the guest's init, or told to it */
	SESSION_READY,		/* it has greeted, or knows of the command */
	SESSION_STARTED,	/* the command runs */
	SESSION_EXITED,		/* @value is its exit status */
	SESSION_KILLED,		/* @value is the signal */
	SESSION_FAILED,		/* it could not be run: @value, @text */
	SESSION_BROKEN,		/* the guest broke the protocol: @text */
};

/**
 * struct session_ring - bytes of a stream that the host has yet to write
 * @taken: bytes written since credit was given last
 * @ended: no more will come
 * @refused: nobody reads it any more, what comes is dropped
 * @buf: a ring
 * @pos: of the first byte in it
 * @len: how many bytes there are
 * @tell_refused: the guest is to learn of @refused
 */
struct session_ring {
	u8 buf[GUEST_PROTO_WINDOW];
	u32 pos;
	u32 len;
	u32 taken;
	bool ended;
	bool refused;
	bool tell_refused;
};

struct session;

/**
 * struct session_ops - what a port calls
 * @wake: port_run() is due; any thread, perhaps with a lock of a device
 * @note: a line for the user of @s, at most SESSION_NOTES_MAX of them; @stream is
 *	where errors of it go
 * @klog: bytes of the guest's kernel log
 * @opaque: handed to each of them
 */
struct session_ops {
	void (*wake)(void *opaque);
	void (*note)(void *opaque, const struct session *s, u8 stream, const char *text);
	void (*klog)(void *opaque, const void *d, size_t len);
	void *opaque;
};

/**
 * struct session - one command
 * @id: its number in frames
 * @config: its records, until the guest has them
 * @config_len: bytes of these
 * @config_sent: how many of them the guest has got
 * @orphan: nobody is interested any more, it goes when it has ended
 * @credit: what the guest takes of input
 * @input_ended: it takes none any more
 * @unheard: the guest has not said that it has passed on a signal
 * @told: one was sent, or ^C typed, which may be why it has ended
 * @port: what it goes over
 * @state: how far it is
 * @value: as @state says
 * @taint: the kernel's taint flags at its end
 * @text: as @state says
 * @out: output, by enum guest_stream
 * @input: GUEST_STDIN or GUEST_TERMINAL, where input goes
 * @input_refused: the command has closed its input
 * @tell_ended: the guest is to learn of @input_ended
 * @tell_size: it is to learn of @rows and @cols
 * @rows: of the command's terminal
 * @cols: of the command's terminal
 * @signals: those to be sent, a bit for each
 * @nr_notes: how many there were
 */
struct session {
	struct session_port *port;
	u16 id;
	bool orphan;
	enum session_state state;
	u32 value;
	u64 taint;
	char text[GUEST_PROTO_TEXT_MAX + 64];
	struct session_ring out[GUEST_STREAMS];
	u8 *config;
	u32 config_len;
	u32 config_sent;
	u8 input;
	u32 credit;
	bool input_refused;
	bool input_ended;
	bool tell_ended;
	bool tell_size;
	u16 rows;
	u16 cols;
	u32 signals;
	bool unheard;
	bool told;
	unsigned int nr_notes;
};

/**
 * struct session_port - all commands of a guest
 * @lock: guards @rx, @rx_len, @rx_full: bytes from the port; leaf
 * @frame: the frame being read
 * @have: how many bytes of its header are there
 * @left: of its payload still to come
 * @window: what the guest has greeted with
 * @features: what it has greeted with
 * @main: the first command, number 0
 * @session: by number, NULL for none
 * @turn: whose frames are made first
 * @tell_forget: it is to forget names
 * @forgetting: and has not said that it has
 *
 * All but @rx is the main thread's.
 */
struct session_port {
	struct session_ops ops;
	pthread_mutex_t lock;
	u8 rx[0x10000];
	size_t rx_len;
	bool rx_full;
	struct guest_frame frame;
	size_t have;
	u32 left;
	u8 small[GUEST_PROTO_TEXT_MAX];
	u32 window;
	u32 features;
	struct session main;
	struct session *session[GUEST_PROTO_SESSIONS];
	unsigned int turn;
	bool tell_forget;
	bool forgetting;
	u8 tx[2 * (GUEST_PROTO_DATA_MAX + sizeof(struct guest_frame))];
	size_t tx_len;
};

/** port_init() - @input: GUEST_STDIN or GUEST_TERMINAL, where input of main goes */
void port_init(struct session_port *p, const struct session_ops *ops, u8 input);
/** port_destroy() - with all sessions, those that were not closed as well */
void port_destroy(struct session_port *p);
/**
 * port_receive() - bytes from the guest
 * @port: a struct session_port; what virtio_console_port.output wants
 * Context: any thread.
 * Return: how many were taken; after less than all port_run() returns true
 * when there is room for the rest.
 */
size_t port_receive(void *port, const void *d, size_t len);
/**
 * port_run() - look at what was received
 * Return: whether the guest is to offer again what it could not deliver.
 */
bool port_run(struct session_port *p);
/**
 * port_forget() - have the guest look up again what it knows by name; it is told by
 * port_send(), once its command runs, and until it has answered @forgetting is set
 */
void port_forget(struct session_port *p);
/** port_send() - bytes for the guest, *@len of them; then port_sent() */
const u8 *port_send(struct session_port *p, size_t *len);
/** port_sent() - @len of the bytes that port_send() gave have been taken */
void port_sent(struct session_port *p, size_t len);

/**
 * session_open() - a further command; it starts once the first one runs
 * @config: records as Documentation/guest-protocol.md has them; copied
 * @len: bytes of these
 * @input: GUEST_STDIN or GUEST_TERMINAL, where input goes
 * Return: 0; -EAGAIN when there are too many, -E2BIG, -ENOMEM, -EOPNOTSUPP when
 * the guest can run one alone, -EPIPE when the first has ended
 */
int session_open(struct session_port *p, const void *config, size_t len,
		 u8 input, struct session **out);
/**
 * session_close() - @s is not used any more; if it runs, it gets SIGHUP, as from
 * a terminal that goes away, and nobody takes its output
 */
void session_close(struct session *s);
/** session_over() - no frame is expected any more */
bool session_over(const struct session *s);

/** session_output() - bytes of @stream to be written, at most *@len */
const u8 *session_output(const struct session *s, u8 stream, size_t *len);
/** session_written() - @len bytes of session_output() are written, and make room */
void session_written(struct session *s, u8 stream, size_t len);
/** session_refuse() - nobody reads @stream any more */
void session_refuse(struct session *s, u8 stream);
/** session_output_ended() - @stream has ended, and all of it is written */
bool session_output_ended(const struct session *s, u8 stream);
/** session_pending() - whether there is output that is not written */
bool session_pending(const struct session *s);

/** session_input_room() - how many bytes of input may be given now */
size_t session_input_room(const struct session *s);
/** session_input() - @len is at most session_input_room(); 0: it has ended */
void session_input(struct session *s, const void *d, size_t len);
/**
 * session_signal() - have the guest send @sig to the command's process group
 *
 * Returns at once; it goes with the next port_send(), once however often it is said.
 * Numbers of 32 and above are ignored.
 */
void session_signal(struct session *s, unsigned int sig);
/** session_resize() - tell the guest the size of the command's terminal, if that is new */
void session_resize(struct session *s, u16 rows, u16 cols);

#endif
