/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the two ends of the emulated host say to each other.
 *
 * One virtio-serial port carries one command at a time. Everything on it is
 * a frame: a type, three zero bytes, a little-endian length, a payload of at
 * most FRAME_MAX bytes. Frames keep stdout, stderr and the exit status apart
 * and give end-of-file to stdin, none of which a bare port can do.
 *
 * A client that dies may leave half a frame behind, and the port does not
 * say where. A new client therefore first sends FRAME_MAX + FRAME_HEAD bytes
 * of FRAME_FILL, which finish any half frame and are no frame themselves,
 * then FRAME_SYNC with a nonce, and drops all that it reads up to the echo.
 */
#ifndef LKVM_TESTS_HOST_FRAME_H
#define LKVM_TESTS_HOST_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FRAME_HEAD	8
#define FRAME_MAX	16384
#define FRAME_NONCE	16
#define FRAME_FILL	0xff

#define HOST_SLOTS	8
#define HOST_PORT	"lkvm.host."

enum frame_type {
	FRAME_SYNC	= 'S',	/* both ways: nonce; ends what ran before */
	FRAME_REQUEST	= 'Q',	/* part of the request, see below */
	FRAME_RUN	= 'X',	/* the request is complete: run it */
	FRAME_STDIN	= '0',	/* empty: end of file */
	FRAME_STDOUT	= '1',
	FRAME_STDERR	= '2',
	FRAME_SIGNAL	= 'K',	/* one byte: signal number, to the session */
	FRAME_RESULT	= 'R',	/* one byte: exit status as a shell has it */
	FRAME_POWEROFF	= 'P',	/* write everything back and power off */
};

/*
 * A request is a sequence of NUL-terminated strings. The first character
 * says what the rest is: directory, environment entry or argument.
 */
#define REQUEST_DIR	'D'
#define REQUEST_ENV	'E'
#define REQUEST_ARG	'A'

static inline void frame_head(unsigned char *p, enum frame_type type,
			      uint32_t len)
{
	p[0] = type;
	p[1] = 0;
	p[2] = 0;
	p[3] = 0;
	p[4] = len;
	p[5] = len >> 8;
	p[6] = len >> 16;
	p[7] = len >> 24;
}

static inline uint32_t frame_len(const unsigned char *p)
{
	return p[4] | p[5] << 8 | p[6] << 16 | (uint32_t)p[7] << 24;
}

#endif /* LKVM_TESTS_HOST_FRAME_H */
