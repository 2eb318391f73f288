// SPDX-License-Identifier: GPL-2.0-only
/*
 * An address from the network: the client's side of DHCP.
 *
 * Theory of operation: RFC 2131 without renewal, for a machine that lives
 * shorter than its lease: DISCOVER, the first OFFER that fits, REQUEST, ACK. A
 * packet socket carries it, since an interface without an address neither sends
 * nor receives anything else; IP and UDP are made here, the link's header is the
 * kernel's. The answer is asked to be a broadcast, but one to our hardware
 * address is taken as well. What is not answered is sent again, five times in
 * eight seconds.
 *
 * What comes from the network may be anything: only what is long enough, for our
 * port, our transaction and our hardware address is looked at, and options are
 * read within what has come. Checksums are not looked at: the network is lkvm's,
 * or one that has its own. Not supported: IP options, fragments, and options in
 * other fields (52).
 */
#include <assert.h>
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/poll.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/time_types.h>

#include "init.h"
#include "sys.h"

#define FAMILY_PACKET 17
#define SOCKET_DGRAM 2
#define PORT_SERVER 67
#define PORT_CLIENT 68
#define PROTO_UDP 17
#define COOKIE 0x63825363U
#define FLAG_BROADCAST 0x8000
#define OPTIONS_MAX 1024

enum { BOOT_REQUEST = 1, BOOT_REPLY };

enum {
	OPT_PAD = 0, OPT_MASK = 1, OPT_ROUTER = 3, OPT_DNS = 6, OPT_DOMAIN = 15,
	OPT_ADDRESS = 50, OPT_TYPE = 53, OPT_SERVER = 54, OPT_PARAMETERS = 55,
	OPT_END = 255,
};

enum { DISCOVER = 1, OFFER, REQUEST, ACK = 5, NAK };

/** struct message - a datagram, from its IP header on; all of it big-endian */
struct message {
	u8 version;
	u8 tos;
	__be16 ip_len;
	__be16 id;
	__be16 fragment;
	u8 ttl;
	u8 protocol;
	__be16 sum;
	__be32 from;
	__be32 to;
	__be16 from_port;
	__be16 to_port;
	__be16 udp_len;
	__be16 udp_sum;
	u8 op;
	u8 htype;
	u8 hlen;
	u8 hops;
	__be32 xid;
	__be16 secs;
	__be16 flags;
	__be32 ciaddr;
	__be32 yiaddr;
	__be32 siaddr;
	__be32 giaddr;
	u8 chaddr[16];
	u8 names[192];
	__be32 cookie;
	u8 options[OPTIONS_MAX];
};

#define IP_LEN offsetof(struct message, from_port)
#define FIXED_LEN offsetof(struct message, options)

static_assert(FIXED_LEN == 28 + 240, "IP, UDP and BOOTP without holes");

/**
 * struct exchange - @lease: as far as it is known
 * @server: who has made the offer, 0 before
 * @type: of the last answer
 */
struct exchange {
	int fd;
	int index;
	const u8 *mac;
	u32 xid;
	u8 type;
	__be32 server;
	struct lease *lease;
	struct message m;
};

static __be16 header_sum(const struct message *m)
{
	const u8 *d = (const u8 *)m;
	u32 sum = 0;

	for (size_t i = 0; i < IP_LEN; i += 2)
		sum += d[i] << 8 | d[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return htobe16(~sum);
}

static u8 *put_option(u8 *at, u8 code, const void *d, u8 len)
{
	*at++ = code;
	*at++ = len;
	memcpy(at, d, len);
	return at + len;
}

/* All but the options */
static void message_init(struct exchange *x, size_t len)
{
	struct message *m = &x->m;

	memset(m, 0, sizeof(*m));
	m->version = 0x45;
	m->ip_len = htobe16(len);
	m->ttl = 64;
	m->protocol = PROTO_UDP;
	m->to = htobe32(0xffffffffU);
	m->sum = header_sum(m);
	m->from_port = htobe16(PORT_CLIENT);
	m->to_port = htobe16(PORT_SERVER);
	m->udp_len = htobe16(len - IP_LEN);
	m->op = BOOT_REQUEST;
	m->htype = 1;
	m->hlen = ETH_ALEN;
	m->xid = x->xid;
	m->flags = htobe16(FLAG_BROADCAST);
	memcpy(m->chaddr, x->mac, ETH_ALEN);
	m->cookie = htobe32(COOKIE);
}

/* As long as BOOTP's messages were: who is old may drop what is shorter. */
static void message_send(struct exchange *x, u8 type)
{
	static const u8 wanted[] = { OPT_MASK, OPT_ROUTER, OPT_DNS, OPT_DOMAIN };
	const size_t len = FIXED_LEN + 60;
	struct sockaddr_ll to = {
		.sll_family = FAMILY_PACKET,
		.sll_protocol = htobe16(ETH_P_IP),
		.sll_ifindex = x->index,
		.sll_halen = ETH_ALEN,
	};
	u8 *at = x->m.options;

	message_init(x, len);
	at = put_option(at, OPT_TYPE, &type, 1);
	if (type == REQUEST) {
		at = put_option(at, OPT_ADDRESS, &x->lease->address, 4);
		at = put_option(at, OPT_SERVER, &x->server, 4);
	}
	at = put_option(at, OPT_PARAMETERS, wanted, sizeof(wanted));
	*at = OPT_END;
	memset(to.sll_addr, 0xff, ETH_ALEN);
	SYS(__NR_sendto, x->fd, (long)&x->m, len, 0, (long)&to, sizeof(to));
}

/* A name that may stand in a file: letters, digits, dots and hyphens */
static void take_domain(struct lease *l, const u8 *d, size_t len)
{
	size_t n = 0;

	for (; n < len && n < sizeof(l->domain) - 1; n++) {
		u8 lower = d[n] | 0x20;

		if ((lower < 'a' || lower > 'z') && (d[n] < '0' || d[n] > '9') &&
		    d[n] != '.' && d[n] != '-')
			break;
		l->domain[n] = d[n];
	}
	l->domain[n] = 0;
}

static void take_option(struct exchange *x, u8 code, const u8 *d, u8 len)
{
	struct lease *l = x->lease;

	switch (code) {
	case OPT_TYPE:
		x->type = len ? *d : 0;
		break;
	case OPT_MASK:
		if (len == 4)
			memcpy(&l->mask, d, 4);
		break;
	case OPT_ROUTER:
		if (len >= 4)
			memcpy(&l->router, d, 4);
		break;
	case OPT_DNS:
		l->nr_dns = MIN(len / 4, LEASE_DNS);
		memcpy(l->dns, d, l->nr_dns * 4);
		break;
	case OPT_DOMAIN:
		take_domain(l, d, len);
		break;
	case OPT_SERVER:
		if (len == 4)
			memcpy(&x->server, d, 4);
		break;
	}
}

/* Return: whether it is an answer to us; then it is in @x and its lease. */
static bool message_take(struct exchange *x, size_t len)
{
	const struct message *m = &x->m;
	size_t end, at = 0;

	if (len < FIXED_LEN || m->version != 0x45 || m->protocol != PROTO_UDP ||
	    (m->fragment & htobe16(0x3fff)) ||
	    m->to_port != htobe16(PORT_CLIENT) || m->op != BOOT_REPLY ||
	    m->xid != x->xid || memcmp(m->chaddr, x->mac, ETH_ALEN) ||
	    m->cookie != htobe32(COOKIE))
		return false;
	end = MIN(len - FIXED_LEN, sizeof(m->options));
	x->type = 0;
	while (at < end && m->options[at] != OPT_END) {
		const u8 *o = m->options + at;

		if (*o == OPT_PAD) {
			at++;
			continue;
		}
		if (end - at < 2 || end - at - 2 < o[1])
			break;
		take_option(x, *o, o + 2, o[1]);
		at += 2 + o[1];
	}
	if (x->type != OFFER && x->type != ACK)
		return x->type == NAK;
	x->lease->address = m->yiaddr;
	return m->yiaddr;
}

/* Until an answer of @type is there. Return: whether that was before @end */
static bool wait_for(struct exchange *x, u8 type, u64 end)
{
	for (u64 now = sys_now_ms(); now < end; now = sys_now_ms()) {
		struct pollfd p = { .fd = x->fd, .events = POLLIN };
		struct __kernel_timespec t = {
			.tv_sec = (end - now) / 1000,
			.tv_nsec = (end - now) % 1000 * 1000000,
		};
		long n;

		if (SYS(__NR_ppoll, (long)&p, 1, (long)&t, 0, 8) <= 0)
			continue;
		n = sys_read(x->fd, &x->m, sizeof(x->m));
		if (n <= 0 || !message_take(x, n))
			continue;
		if (x->type == type || x->type == NAK)
			return x->type == type;
	}
	return false;
}

static int exchange_open(struct exchange *x)
{
	struct sockaddr_ll here = {
		.sll_family = FAMILY_PACKET,
		.sll_protocol = htobe16(ETH_P_IP),
		.sll_ifindex = x->index,
	};
	int err;

	/* Protocol 0: nothing of other interfaces before it is bound */
	x->fd = sys_socket(FAMILY_PACKET, SOCKET_DGRAM | O_CLOEXEC, 0);
	if (x->fd < 0)
		return x->fd;
	err = SYS(__NR_bind, x->fd, (long)&here, sizeof(here));
	if (err)
		sys_close(x->fd);
	return err;
}

int dhcp_get(struct lease *l, int index, const u8 *mac)
{
	static const u16 patience_ms[] = { 150, 500, 1000, 2000, 4500 };
	static struct exchange x;
	int err;

	memset(l, 0, sizeof(*l));
	x.index = index;
	x.mac = mac;
	x.lease = l;
	err = exchange_open(&x);
	if (err)
		return err;
	err = -ETIMEDOUT;
	for (size_t i = 0; i < ARRAY_SIZE(patience_ms) && err; i++) {
		u64 end = sys_now_ms() + patience_ms[i];

		/* An answer to what was asked before is as good. */
		if (!i)
			x.xid = (u32)sys_now_ms() * 2654435761U ^ mac[5] << 8 ^ mac[4];
		message_send(&x, DISCOVER);
		if (!wait_for(&x, OFFER, end))
			continue;
		message_send(&x, REQUEST);
		if (wait_for(&x, ACK, MAX(end, sys_now_ms() + 1000)))
			err = 0;
	}
	sys_close(x.fd);
	return err;
}
