// SPDX-License-Identifier: GPL-2.0-only
/*
 * DHCP of the guest's init: what answers it takes, and what it makes of them.
 */
#include <string.h>

#include "../../guest/dhcp.c"
#include "test.h"

static const u8 mac[6] = { 2, 0, 0, 0, 0, 1 };

struct fixture {
	struct exchange x;
	struct lease lease;
};

/* An answer with @len bytes of options. Return: length of all */
static size_t answer(struct fixture *f, const void *options, size_t len)
{
	struct message *m = &f->x.m;

	memset(f, 0, sizeof(*f));
	f->x.mac = mac;
	f->x.lease = &f->lease;
	f->x.xid = 0x12345678;
	m->version = 0x45;
	m->protocol = PROTO_UDP;
	m->to_port = htobe16(PORT_CLIENT);
	m->op = BOOT_REPLY;
	m->xid = f->x.xid;
	m->yiaddr = htobe32(0x0a000002);
	memcpy(m->chaddr, mac, 6);
	m->cookie = htobe32(COOKIE);
	memcpy(m->options, options, len);
	return FIXED_LEN + len;
}

TEST(dhcp_offer_is_read)
{
	static const u8 o[] = {
		0, 53, 1, OFFER, 54, 4, 10, 0, 0, 1, 1, 4, 255, 255, 255, 0,
		3, 8, 10, 0, 0, 1, 10, 0, 0, 9, 6, 8, 1, 1, 1, 1, 8, 8, 8, 8,
		15, 9, 'l', 'k', '.', 't', 'e', 's', 't', '\n', 'x', 255, 53, 1, ACK,
	};
	struct fixture f;

	EXPECT(message_take(&f.x, answer(&f, o, sizeof(o))));
	EXPECT(f.x.type == OFFER && f.x.server == htobe32(0x0a000001));
	EXPECT(f.lease.address == htobe32(0x0a000002));
	EXPECT(f.lease.mask == htobe32(0xffffff00));
	EXPECT(f.lease.router == htobe32(0x0a000001));
	EXPECT(f.lease.nr_dns == 2 && f.lease.dns[1] == htobe32(0x08080808));
	EXPECT(!strcmp(f.lease.domain, "lk.test"));
}

TEST(dhcp_refusal_is_an_answer)
{
	static const u8 o[] = { 53, 1, NAK, 255 };
	struct fixture f;
	size_t len = answer(&f, o, sizeof(o));

	f.x.m.yiaddr = 0;
	EXPECT(message_take(&f.x, len) && f.x.type == NAK);
}

TEST(dhcp_what_is_not_for_us_is_passed_over)
{
	static const u8 o[] = { 53, 1, OFFER, 255 };
	struct fixture f;
	size_t len;

#define NOT_WITH(field, value) do { \
	len = answer(&f, o, sizeof(o)); \
	f.x.m.field = value; \
	EXPECT(!message_take(&f.x, len)); \
} while (0)
	NOT_WITH(version, 0x46);
	NOT_WITH(protocol, 6);
	NOT_WITH(fragment, htobe16(0x2000));
	NOT_WITH(to_port, htobe16(69));
	NOT_WITH(op, BOOT_REQUEST);
	NOT_WITH(xid, 1);
	NOT_WITH(chaddr[5], 2);
	NOT_WITH(cookie, 0);
	NOT_WITH(yiaddr, 0);
	NOT_WITH(options[2], REQUEST);
	len = answer(&f, o, sizeof(o));
	EXPECT(!message_take(&f.x, 0));
	EXPECT(!message_take(&f.x, FIXED_LEN - 1));
	EXPECT(!message_take(&f.x, FIXED_LEN));
}

TEST(dhcp_options_end_with_the_message)
{
	static const u8 cut[] = { 53, 1, OFFER, 6, 4, 1, 1, 1 };
	static const u8 half[] = { 53, 1, OFFER, 6 };
	static const u8 odd[] = { 53, 1, OFFER, 1, 3, 1, 1, 1, 3, 0, 6, 3, 1, 1, 1,
				  54, 5, 1, 1, 1, 1, 1, 53, 0 };
	struct fixture f;
	u8 all[OPTIONS_MAX];

	EXPECT(message_take(&f.x, answer(&f, cut, sizeof(cut))));
	EXPECT(!f.lease.nr_dns);
	EXPECT(message_take(&f.x, answer(&f, half, sizeof(half))));
	EXPECT(!message_take(&f.x, answer(&f, odd, sizeof(odd))));
	EXPECT(!f.lease.mask && !f.lease.router && !f.lease.nr_dns && !f.x.server);
	/* Nothing but padding; more name servers and name than there is room for */
	memset(all, 0, sizeof(all));
	EXPECT(!message_take(&f.x, answer(&f, all, sizeof(all))));
	memcpy(all, cut, 3);
	all[3] = OPT_DNS;
	all[4] = 252;
	all[300] = OPT_DOMAIN;
	all[301] = 255;
	memset(all + 302, 'a', 255);
	all[sizeof(all) - 2] = OPT_DNS;
	all[sizeof(all) - 1] = 1;
	EXPECT(message_take(&f.x, answer(&f, all, sizeof(all)) + 100));
	EXPECT(f.lease.nr_dns == LEASE_DNS && strlen(f.lease.domain) == 255);
}

TEST(dhcp_header_has_its_sum)
{
	/* The example of RFC 1071's readers: all words add up to ones */
	struct fixture f;
	const u8 *d = (const u8 *)&f.x.m;
	u32 sum = 0;

	memset(&f, 0, sizeof(f));
	f.x.mac = mac;
	message_init(&f.x, 328);
	for (size_t i = 0; i < IP_LEN; i += 2)
		sum += d[i] << 8 | d[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	EXPECT(((sum & 0xffff) + (sum >> 16)) == 0xffff);
	EXPECT(d[3] == 328 % 256 && f.x.m.udp_len == htobe16(308));
}

TEST_MAIN(T(dhcp_offer_is_read),
	  T(dhcp_refusal_is_an_answer),
	  T(dhcp_what_is_not_for_us_is_passed_over),
	  T(dhcp_options_end_with_the_message),
	  T(dhcp_header_has_its_sum))
