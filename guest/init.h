/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of lkvm's init share. */
#ifndef GUEST__INIT_H
#define GUEST__INIT_H

#include "kvm/guest-proto.h"

#define CONFIG_BYTES (GUEST_PROTO_CONFIG_MAX + 1)
/* As many as there is room for: "arg=" and a NUL each */
#define CONFIG_WORDS (CONFIG_BYTES / 5)
#define CONFIG_LIST 256
#define CONFIG_NETS 16
#define PATH_BYTES 4096
/* mknod()'s mode: a character device */
#define NODE_CHAR 0020000

/** enum stream_kind - what the host has there, and the command is to have; SAME: as stdout */
enum stream_kind { KIND_NONE, KIND_PIPE, KIND_TTY, KIND_SAME };

/**
 * struct config - what the host wants; strings are in @text
 * @argv: NULL at its end; empty for a shell
 * @stream: by file descriptor of the command
 * @share: TAG:PATH, to be mounted in this order
 * @share_ro: those of them that are to be read-only
 * @dhcp: for each network interface, whether it asks for an address
 * @serial: talk over ttyS1
 * @klog: send the kernel's log at the end
 * @get: instead of a command, a path: send what is there as a stream
 * @put: instead of a command, a path: make what a stream has
 */
struct config {
	char text[CONFIG_BYTES];
	const char *argv[CONFIG_WORDS + 1];
	unsigned int argc;
	const char *envp[CONFIG_WORDS + 1];
	unsigned int envc;
	const char *root;
	const char *cwd;
	const char *hostname;
	const char *module[CONFIG_LIST];
	unsigned int nr_modules;
	const char *share[CONFIG_LIST];
	bool share_ro[CONFIG_LIST];
	unsigned int nr_shares;
	bool dhcp[CONFIG_NETS];
	unsigned int nr_nets;
	u32 uid;
	u32 gid;
	u32 umask;
	u32 group[GUEST_PROTO_GROUPS];
	unsigned int nr_groups;
	enum stream_kind stream[3];
	u16 rows;
	u16 cols;
	bool serial;
	bool klog;
	const char *file;
	const char *get;
	const char *put;
};

/* text.c: as in every libc, as far as needed */
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
bool text_equal(const char *a, const char *b);
/** text_after() - what follows @prefix in @s; NULL if it does not begin so */
const char *text_after(const char *s, const char *prefix);
/** text_number() - decimal, as far as there are digits */
u64 text_number(const char *s);
/** text_decimal() - @v into @out. Return: @out */
char *text_decimal(char out[12], u32 v);
/** text_join() - @a, @b and @c into @out of @size bytes; cut if need be */
char *text_join(char *out, size_t size, const char *a, const char *b,
		const char *c);
/** text_errno() - words for an errno, its number if it is a rare one */
const char *text_errno(int err);
/** file_read() - at most @size - 1 bytes and a NUL. Return: length, -errno */
long file_read(const char *path, char *out, size_t size);
int file_write(const char *path, const char *text);
/**
 * dir_find() - Return: whether @is says so of the name of an entry of @path, any for
 * NULL; those with a dot in front are not looked at
 */
bool dir_find(const char *path, bool (*is)(const char *name));

/** config_parse() - @len bytes of records are at @c->text. Return: 0 or -errno */
int config_parse(struct config *c, size_t len);
/** config_read() - Return: 0 or -errno */
int config_read(struct config *c, const char *path);

/**
 * struct notes - what there is to tell the user before there is a port
 */
struct notes {
	char text[2048];
	size_t len;
};

void note(struct notes *n, const char *a, const char *b, const char *c);

/* root.c */

/** root_early() - /proc, /sys, /dev of the initramfs, for looking around */
void root_early(void);
/**
 * root_setup() - mount what is to be / and move there
 * Return: NULL, or what failed; then @err is -errno
 */
const char *root_setup(const struct config *c, struct notes *n, int *err);
/** root_shares() - mount --rw and --ro. Return: as root_setup() */
const char *root_shares(const struct config *c, struct notes *n, int *err);
/** modules_load() - insmod in the order given */
void modules_load(const struct config *c, struct notes *n);

/* settle.c */

/**
 * root_settle() - all processes end, and disks are as if they had been unmounted
 * Return: whether all has come to an end; what does not is not waited for
 */
bool root_settle(const struct config *c);

/* dhcp.c */

#define LEASE_DNS 3

/** struct lease - what a server gave; 0 or empty without */
struct lease {
	__be32 address;
	__be32 mask;
	__be32 router;
	__be32 dns[LEASE_DNS];
	unsigned int nr_dns;
	char domain[256];
};

/**
 * dhcp_get() - ask for an address
 * @index: of the interface, which is up
 * @mac: its six bytes
 * Return: 0 or -errno, -ETIMEDOUT when nobody answers, -EAFNOSUPPORT when the
 * kernel has no packet sockets
 */
int dhcp_get(struct lease *l, int index, const u8 *mac);

/* net.c */

/** network_up() - loopback, and the interfaces; as far as it goes */
void network_up(const struct config *c, struct notes *n);

/* port.c */

/**
 * struct port - the connection to the host
 * @window: bytes that the host may send a stream before we take some
 * @in: bytes not looked at yet
 * @out: bytes not sent yet
 */
struct port {
	int fd;
	u32 window;
	size_t in_len;
	size_t out_len;
	u8 in[sizeof(struct guest_frame) + GUEST_PROTO_DATA_MAX];
	u8 out[0x20000];
};

/**
 * port_open() - wait for the port and greet; a kernel without the virtio one has the
 * serial one, which is noted. Return: 0 or -errno
 */
int port_open(struct port *p, bool serial, struct notes *n);
/** port_room() - payload that a frame put now may have */
size_t port_room(const struct port *p);
/** port_data() - where the payload of the next frame may be made */
void *port_data(struct port *p);
/** struct frame_of - what a frame that is sent is, and which command's */
struct frame_of {
	u8 type;
	u8 stream;
	u16 session;
};

/** port_commit() - the frame whose payload of @len bytes is at port_data() */
void port_commit(struct port *p, struct frame_of of, size_t len);
/** port_put() - a frame; waits for room */
void port_put(struct port *p, struct frame_of of, const void *d, size_t len);
/** port_error() - GUEST_ERROR of @session: STATUS_*, "@what: why", -errno */
void port_error(struct port *p, u16 session, u32 status, const char *what,
		int err);
/** port_push() - send what goes without waiting */
void port_push(struct port *p);
/** port_drain() - send all */
void port_drain(struct port *p);
/** port_pull() - read what is there. Return: false when the host is gone */
bool port_pull(struct port *p);
/**
 * port_next() - the next whole frame
 * @data: its payload, valid until port_done()
 * Return: whether there is one
 */
bool port_next(struct port *p, struct guest_frame *f, const u8 **data);
/** port_done() - the frame that port_next() gave has been looked at */
void port_done(struct port *p, const struct guest_frame *f);
/** port_hello() - wait for the host's. Return: its window, 0 if it is odd */
u32 port_hello(struct port *p);

/* run.c */

#define STATUS_ERROR 125
#define STATUS_CANNOT_RUN 126
#define STATUS_NOT_FOUND 127

/**
 * struct child - a command
 * @fd: our ends, -1 without: of its stdin, stdout, stderr, of its terminal
 * @slave: the terminal's other end, kept so that it does not hang up
 * @no_terminal: -errno, why pipes are in its place; @fd of stdin is one of them
 * @report: where it says why it could not be run; -1 once that is known
 * @status: of wait4(), once @gone
 */
struct child {
	int pid;
	int fd[GUEST_STREAMS];
	int slave;
	int no_terminal;
	int report;
	bool gone;
	int status;
};

/**
 * child_start() - run the command; child_started() tells whether it could be
 * Return: 0, or -errno
 */
int child_start(struct child *c, const struct config *cfg);
/**
 * child_started() - does not wait
 * @what: on failure, the word that it is about; part of the config
 * @status: then what lkvm is to return
 * Return: 0 when it runs, 1 if it is not known yet, or -errno
 */
int child_started(struct child *c, const char **what, u32 *status);
/** directory_is_covered() - the host has @cwd below what is the guest's own */
bool directory_is_covered(const char *cwd);
/** user_is_another() - than root, who runs the command */
bool user_is_another(const struct config *c);
/** users_known() - by the kernel: it has MULTIUSER */
bool users_known(void);
void child_resize(const struct child *c, u16 rows, u16 cols);
/** child_close() - all our ends */
void child_close(struct child *c);

/* copy.c */

/** copy_run() - in a child: @c->get or @c->put. Return: its exit status */
int copy_run(const struct config *c);

/* relay.c */

/**
 * struct relay - a command's bytes on their way
 * @session: its number
 * @credit: bytes that the host takes
 * @ring: input
 * @taken: of the ring, since credit was given last
 * @left: what was in a pipe when the command was gone, which @counted says
 * @no_more: the host has said that input has ended
 * @input: the stream that input is of
 * @end: where in @child.fd it goes
 * @config: what it is; NULL once it runs, but for the first
 * @config_len: bytes of @config
 */
struct relay {
	struct port *port;
	struct config *config;
	size_t config_len;
	struct child child;
	u16 session;
	u32 credit[GUEST_STREAMS];
	u32 left[GUEST_STREAMS];
	bool counted;
	bool started;
	u8 input;
	u8 end;
	bool no_more;
	u32 taken;
	u32 pos;
	u32 len;
	u8 ring[GUEST_PROTO_WINDOW];
};

/** relay_start() - @r->child has been started */
void relay_start(struct relay *r, u32 window);
/** relay_frame() - a frame for the command that runs */
void relay_frame(struct relay *r, const struct guest_frame *f, const u8 *d);
/** relay_move() - as much as goes. Return: whether command and output ended */
bool relay_move(struct relay *r);
struct pollfd;
/** relay_poll() - what is waited for; GUEST_STREAMS + 1 of them */
void relay_poll(const struct relay *r, struct pollfd *p);
/** relay_polled() - @p as relay_poll() filled it */
void relay_polled(struct relay *r, const struct pollfd *p);

/* sessions.c */

/**
 * sessions_run() - run the command of @main, and others that the host asks for,
 * until that has ended
 * Return: its wait4() status; does not return if it could not be run
 */
int sessions_run(struct port *p, struct config *main, u32 window);
/** sessions_init() - SIGCHLD is to end a poll, and nothing else does */
void sessions_init(void);

/* init.c */

/** send_notes() - each of them; @of: GUEST_NOTE, and whose */
void send_notes(struct port *p, const struct notes *n, struct frame_of of);
/** init_report() - GUEST_EXIT of @session with a wait4() status */
void init_report(struct port *p, u16 session, int status);
/** init_fail() - GUEST_ERROR of the first command; then the machine ends */
void __attribute((noreturn)) init_fail(struct port *p, u32 status,
				       const char *what, int err);

#endif
