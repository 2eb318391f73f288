/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A command in the guest, seen from the host: what the guest's init says on the
 * control port, and what is said to it. Documentation/guest-protocol.md
 */
#ifndef KVM__SESSION_H
#define KVM__SESSION_H

#include <pthread.h>
#include "kvm/guest-proto.h"
#include "kvm/report.h"

#define SESSION_NOTES_MAX 16

enum session_state {
	SESSION_SILENT,		/* nothing heard of the guest's init */
	SESSION_READY,		/* it has greeted */
	SESSION_STARTED,	/* the command runs */
	SESSION_EXITED,		/* @value is its exit status */
	SESSION_KILLED,		/* @value is the signal */
	SESSION_FAILED,		/* it could not be run: @value, @text */
	SESSION_BROKEN,		/* the guest broke the protocol: @text */
};

/**
 * struct session_ring - bytes of a stream that the host has yet to write
 * @taken: bytes written since credit was given last; @ended: no more will come
 * @refused: nobody reads it any more, what comes is dropped
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

/**
 * struct session_ops - what a session calls
 * @wake: session_run() is due; any thread, perhaps with a lock of a device
 * @note: a line for the user, at most SESSION_NOTES_MAX of them
 * @klog: bytes of the guest's kernel log
 */
struct session_ops {
	void (*wake)(void *opaque);
	void (*note)(void *opaque, const char *text);
	void (*klog)(void *opaque, const void *d, size_t len);
	void *opaque;
};

/**
 * struct session - one command
 * @lock: guards @rx, @rx_len, @rx_full: bytes from the port; leaf
 * @frame, @have: the frame being read, and how many bytes of its header are
 *	there; @left: of its payload still to come
 * @credit: what the guest takes of input; @input_ended: it takes none any more
 *
 * All but @rx is the main thread's.
 */
struct session {
	struct session_ops ops;
	pthread_mutex_t lock;
	u8 rx[0x10000];
	size_t rx_len;
	bool rx_full;
	enum session_state state;
	u32 value;
	u64 taint;
	char text[GUEST_PROTO_TEXT_MAX + 64];
	struct guest_frame frame;
	size_t have;
	u32 left;
	u8 small[GUEST_PROTO_TEXT_MAX];
	unsigned int nr_notes;
	struct session_ring out[GUEST_STREAMS];
	u8 input;
	u32 credit;
	bool input_refused;
	bool input_ended;
	bool tell_ended;
	bool tell_size;
	u16 rows;
	u16 cols;
	u32 signals;
	u8 tx[2 * (GUEST_PROTO_DATA_MAX + sizeof(struct guest_frame))];
	size_t tx_len;
};

/** session_init() - @input: GUEST_STDIN or GUEST_TERMINAL, where input goes */
void session_init(struct session *s, const struct session_ops *ops, u8 input);
void session_destroy(struct session *s);
/**
 * session_receive() - bytes from the port
 * @session: a struct session; what virtio_console_port.output wants
 * Context: any thread.
 * Return: how many were taken; after less than all session_run() returns true
 * when there is room for the rest.
 */
size_t session_receive(void *session, const void *d, size_t len);
/**
 * session_run() - look at what was received
 * Return: whether the port is to offer again what it could not deliver.
 */
bool session_run(struct session *s);
/** session_over() - no frame is expected any more */
bool session_over(const struct session *s);

/** session_output() - bytes of @stream to be written, at most *@len */
const u8 *session_output(const struct session *s, u8 stream, size_t *len);
void session_written(struct session *s, u8 stream, size_t len);
/** session_refuse() - nobody reads @stream any more */
void session_refuse(struct session *s, u8 stream);
/** session_pending() - whether there is output that is not written */
bool session_pending(const struct session *s);

/** session_input_room() - how many bytes of input may be given now */
size_t session_input_room(const struct session *s);
/** session_input() - @len is at most session_input_room(); 0: it has ended */
void session_input(struct session *s, const void *d, size_t len);
void session_signal(struct session *s, unsigned int sig);
void session_resize(struct session *s, u16 rows, u16 cols);

/** session_send() - bytes for the port, *@len of them; then session_sent() */
const u8 *session_send(struct session *s, size_t *len);
void session_sent(struct session *s, size_t len);

#endif
