/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 9P2000.L on the wire. No header of the kernel's UAPI has it: numbers are
 * those of Linux' client (Documentation/filesystems/9p.rst), as the protocol
 * description that it points to has them, and 9P2000's manual, section 5.
 *
 * All is little endian. A message is size[4] type[1] tag[2] and its body; size
 * counts itself. A string is length[2] and so many bytes, a qid is type[1]
 * version[4] path[8]. The answer to a message has the type that follows.
 */
#ifndef KVM__9P_PROTO_H
#define KVM__9P_PROTO_H

#define P9_VERSION "9P2000.L"
#define P9_NOFID (~0U)
#define P9_NONUNAME (~0U)
#define P9_WALK_MAX 16

#define P9_HDR 7U
/* size, type, tag, count */
#define P9_READ_HDR 11U
/* size, type, tag, fid, offset, count */
#define P9_WRITE_HDR 23U
#define P9_QID 13U

enum p9_type {
	P9_RLERROR = 7,
	P9_TSTATFS = 8,
	P9_TLOPEN = 12,
	P9_TLCREATE = 14,
	P9_TSYMLINK = 16,
	P9_TMKNOD = 18,
	P9_TRENAME = 20,
	P9_TREADLINK = 22,
	P9_TGETATTR = 24,
	P9_TSETATTR = 26,
	P9_TXATTRWALK = 30,
	P9_TXATTRCREATE = 32,
	P9_TREADDIR = 40,
	P9_TFSYNC = 50,
	P9_TLOCK = 52,
	P9_TGETLOCK = 54,
	P9_TLINK = 70,
	P9_TMKDIR = 72,
	P9_TRENAMEAT = 74,
	P9_TUNLINKAT = 76,
	P9_TVERSION = 100,
	P9_TAUTH = 102,
	P9_TATTACH = 104,
	P9_TFLUSH = 108,
	P9_TWALK = 110,
	P9_TREAD = 116,
	P9_TWRITE = 118,
	P9_TCLUNK = 120,
	P9_TREMOVE = 122,
	P9_TYPES
};

#define P9_QT_DIR 0x80
#define P9_QT_SYMLINK 0x02

/* Of Tlopen and Tlcreate: open(2) as most architectures have it */
#define P9_O_ACCMODE 03
#define P9_O_EXCL 0200
#define P9_O_TRUNC 01000
#define P9_O_APPEND 02000
#define P9_O_DSYNC 010000
#define P9_O_SYNC 04000000

#define P9_AT_REMOVEDIR 0x200

#define P9_GETATTR_BASIC 0x7ffULL
#define P9_GETATTR_BTIME 0x800ULL

#define P9_SETATTR_MODE 0x1
#define P9_SETATTR_UID 0x2
#define P9_SETATTR_GID 0x4
#define P9_SETATTR_SIZE 0x8
#define P9_SETATTR_ATIME 0x10
#define P9_SETATTR_MTIME 0x20
#define P9_SETATTR_ATIME_SET 0x80
#define P9_SETATTR_MTIME_SET 0x100

#define P9_LOCK_UNLCK 2
#define P9_LOCK_SUCCESS 0

#endif
