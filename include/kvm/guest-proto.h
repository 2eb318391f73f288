/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What lkvm and its init in the guest say to each other; both include it.
 * Documentation/guest-protocol.md explains it.
 */
#ifndef KVM__GUEST_PROTO_H
#define KVM__GUEST_PROTO_H

#include "kvm/types.h"

/* "LKVM", read as a little-endian number */
#define GUEST_PROTO_MAGIC 0x4d564b4cU
#define GUEST_PROTO_VERSION 2
#define GUEST_PROTO_PORT "org.kernel.lkvm.ctl"
/* Most payload of a frame, and of one that is no GUEST_DATA, GUEST_KLOG or GUEST_CONFIG */
#define GUEST_PROTO_DATA_MAX 0x4000U
#define GUEST_PROTO_TEXT_MAX 512U
/* What a side may have under way on a stream before it is given more credit */
#define GUEST_PROTO_WINDOW 0x10000U

/* Commands at once, the first included; and most records: as much as Linux takes */
#define GUEST_PROTO_SESSIONS 128
#define GUEST_PROTO_CONFIG_MAX 0x1fffffU
/* Bits of struct guest_hello's features: commands behind the first */
#define GUEST_CAN_EXEC 1

/* Most groups that a command can be in, but for its first */
#define GUEST_PROTO_GROUPS 1024

/* Where init and what it is told are in the initramfs */
#define GUEST_PROTO_DIR "lkvm"
#define GUEST_PROTO_INIT "lkvm/init"
#define GUEST_PROTO_CONFIG "lkvm/config"
#define GUEST_PROTO_ROOT_TAG "lkvm-root"

enum guest_frame_type {
	GUEST_HELLO = 1,	/* both ways: struct guest_hello */
	GUEST_DATA,		/* both ways: bytes of a stream */
	GUEST_EOF,		/* both ways: the stream has ended */
	GUEST_CREDIT,		/* both ways: le32, so many bytes more */
	GUEST_WINSIZE,		/* to the guest: struct guest_winsize */
	GUEST_SIGNAL,		/* to the guest: le32; forgets what does not run yet; and back */
	GUEST_STARTED,		/* from the guest: the command runs */
	GUEST_EXIT,		/* from the guest: struct guest_exit */
	GUEST_ERROR,		/* from the guest: le32 status, then text */
	GUEST_NOTE,		/* from the guest: text for the user */
	GUEST_KLOG,		/* from the guest: bytes of its kernel's log */
	GUEST_CONFIG,		/* to the guest: records; stream 1: more of them */
	GUEST_RUN,		/* to the guest: that was all of them, run it */
	GUEST_FORGET,		/* to the guest: names have changed on the host; and back */
};

enum guest_stream {
	GUEST_STDIN,
	GUEST_STDOUT,
	GUEST_STDERR,
	GUEST_TERMINAL,
	GUEST_STREAMS,
};

/**
 * struct guest_frame - in front of each payload
 * @type: enum guest_frame_type
 * @stream: enum guest_stream, 0 where the type has none
 * @session: which command it is about; 0: the first, or none
 * @len: bytes of the payload
 */
struct guest_frame {
	u8 type;
	u8 stream;
	__le16 session;
	__le32 len;
};

/**
 * struct guest_hello - the first frame, of either side
 * @magic: GUEST_PROTO_MAGIC
 * @version: GUEST_PROTO_VERSION
 * @window: bytes that the other side may send on each stream, before it gets credit
 * @features: GUEST_CAN_*, of who says it
 */
struct guest_hello {
	__le32 magic;
	__le32 version;
	__le32 window;
	__le32 features;
};

struct guest_winsize {
	__le16 rows;
	__le16 cols;
};

enum guest_exit_kind { GUEST_EXITED, GUEST_KILLED };

/**
 * struct guest_exit - how a command ended
 * @kind: enum guest_exit_kind
 * @value: status or signal
 * @taint: the kernel's taint flags, /proc/sys/kernel/tainted
 */
struct guest_exit {
	__le32 kind;
	__le32 value;
	__le64 taint;
};

#endif
