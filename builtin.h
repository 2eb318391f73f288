/* SPDX-License-Identifier: GPL-2.0-only */
/* What the commands share: the table of them, options, exit statuses. */
#ifndef KVM__BUILTIN_H
#define KVM__BUILTIN_H

#include <signal.h>
#include <stdio.h>

#include "kvm/clock.h"
#include "kvm/control.h"
#include "kvm/discover.h"
#include "kvm/initramfs.h"
#include "kvm/kvm.h"
#include "kvm/outcome.h"
#include "kvm/session.h"
#include "kvm/state.h"

/**
 * struct command - one row of the command table
 * @args: what follows its name
 */
struct command {
	const char *name;
	const char *help;
	const char *args;
	int (*run)(int argc, char **argv);
	const struct option_desc *options;
};

enum option_type {
	OPT_FLAG,
	OPT_STRING,
	OPT_SIZE,
	OPT_NUMBER,
	OPT_TIME,
	OPT_CALL,
};

/**
 * struct option_desc - one option; the parser, help and man page read it
 * @name: long name
 * @letter: short one, or 0
 * @arg: name of its argument
 * @off: of the field in the options struct: bool, const char *, u64 or long;
 *	the long of OPT_TIME is in seconds
 * @call: for OPT_CALL, gets the options struct; fills the report on error
 */
struct option_desc {
	const char *name;
	char letter;
	enum option_type type;
	const char *arg;
	const char *help;
	size_t off;
	int (*call)(void *opts, const char *value, struct report *r);
};

/**
 * options_parse() - fill @opts from argv[1..], which has a NULL at its end
 * Return: index of the first argument after the options, or -EINVAL with a
 * report.
 */
int options_parse(const struct option_desc *table, int argc, char **argv,
		  void *opts, struct report *r);
/**
 * options_scan() - as options_parse(); what follows a bad option is stored, too
 * Return: index of "--" if that ended them, else of the first argument behind them;
 * or -EINVAL with a report.
 */
int options_scan(const struct option_desc *table, int argc, char **argv,
		 void *opts, struct report *r);
/** options_ended() - whether @arg, where options_scan() stopped, is "--" */
bool options_ended(const char *arg);
/**
 * options_split() - options and other arguments in any order
 * Return: how many others there are, which are at argv[1] then; or -EINVAL with
 * a report.
 */
int options_split(const struct option_desc *table, int argc, char **argv,
		  void *opts, struct report *r);
void options_print(const struct option_desc *table);
/** parse_size() - "512M": K, M, G, T; bare numbers are MiB as kvmtool has it */
int parse_size(const char *s, u64 *out);
int parse_number(const char *s, long *out);

extern const struct command commands[];
extern const struct option_desc run_options[];
extern const struct option_desc qemu_options[];
extern const struct option_desc test_options[];
extern const struct option_desc config_options[];
extern const struct option_desc version_options[];
extern const struct option_desc help_options[];
extern const struct option_desc list_options[];
extern const struct option_desc stop_options[];
extern const struct option_desc balloon_options[];
extern const struct option_desc stat_options[];
extern const struct option_desc debug_options[];
extern const struct option_desc console_options[];
extern const struct option_desc attach_options[];
extern const struct option_desc detach_options[];
extern const char lkvm_version[];
extern const struct option_desc exec_options[];
extern const struct option_desc cp_options[];
/** stream_kinds - by enum stream_kind, as they are spelled */
extern const char *const stream_kinds[STREAM_PTY + 1];

/**
 * command_explain() - print what @c does, how it is called, and its options
 * @c: row of the command table
 *
 * Return: 0
 */
int command_explain(const struct command *c);

/** status_of_output() - @status, or 125 instead of 0 if stdout took not all */
int status_of_output(int status);
/** fail_with() - one line on stderr, "lkvm: @what: @why". Return: STATUS_ERROR */
int fail_with(const char *what, const char *why);
/** fail_report() - the same of a report */
int fail_report(const struct report *r);

int cmd_run(int argc, char **argv);
int cmd_qemu(int argc, char **argv);
int cmd_setup(int argc, char **argv);
int cmd_sandbox(int argc, char **argv);
int cmd_test(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_attach(int argc, char **argv);
int cmd_detach(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_reset(int argc, char **argv);
int cmd_balloon(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_debug(int argc, char **argv);
int cmd_console(int argc, char **argv);
int cmd_wait(int argc, char **argv);
int cmd_api(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_sh(int argc, char **argv);
int cmd_cp(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

#define RUN_MAX_ENV 256

/**
 * struct run_options - what the command line of run says, as given
 * @net_text: copies whose words @net points to; a share's words are in a copy that
 *	begins with its path
 * @vsock_text: a copy whose words @vsock points to
 * @share_at: where in the guest a share is, NULL for the same path
 * @own: NAME was given, that of a guest with directories of its own
 * @as_kvmtool: who calls knows us by that name, and waits for its words and statuses
 * @as_qemu: the same of QEMU
 * @accel: of as_qemu: "kvm" if that was named, else the first that was
 * @unused: for what is understood and has no effect
 * @command: what follows "--", NULL without
 * @fail_on: enum klog_splat
 * @cmdline: the whole of it, of --config, NULL without
 * @config_console: what the console was there
 * @config_text: the file, that words of it point to
 * @config_command: the command that it has
 */
struct run_options {
	const char *kernel;
	const char *initrd;
	const char *params;
	const char *name;
	const char *console;
	const char *transport;
	const char *engine;
	const char *status;
	const char *log;
	const char *user;
	const char *chdir;
	const char *control;
	const char *env[RUN_MAX_ENV];
	unsigned int nr_env;
	u32 fail_on;
	bool bisect;
	bool root_disk;
	const char *root;
	bool shell;
	char **command;
	u64 mem;
	long cpus;
	long loglevel;
	long timeout;
	bool rng;
	bool balloon;
	struct machine_vsock vsock;
	char *vsock_text;
	bool nodefaults;
	bool dry_run;
	bool detach;
	bool json;
	bool timing;
	struct machine_disk disk[MACHINE_MAX_DISKS];
	unsigned int nr_disks;
	struct net_opts net[MACHINE_MAX_NETS];
	char *net_text[MACHINE_MAX_NETS];
	unsigned int nr_nets;
	struct machine_port port[MACHINE_MAX_PORTS];
	unsigned int nr_ports;
	struct machine_share share[MACHINE_MAX_SHARES];
	char share_tag[MACHINE_MAX_SHARES][16];
	const char *share_at[MACHINE_MAX_SHARES];
	bool own;
	unsigned int nr_shares;
	bool testdev;
	bool as_kvmtool;
	bool as_qemu;
	const char *accel;
	bool unused;
	const char *cmdline;
	const char *config_console;
	char *config_text;
	char **config_command;
};

/**
 * struct run_config - a machine and the strings it stands on
 * @discover: with a kernel in it if the user has not named the file
 */
struct run_config {
	struct machine machine;
	struct discover discover;
	char name[64];
	char vsock_dir[128];
	char vsock_path[256];
	char *cmdline;
	long timeout;
	struct initramfs archive;
	u32 missing;
};

/**
 * run_with() - lkvm run, with options from elsewhere
 * @get: as options_parse(), and has to leave no arguments
 * Return: the exit status.
 */
int run_with(int (*get)(struct run_options *o, int argc, char **argv,
			struct report *r),
	     int argc, char **argv);
/** run_is_bare() - nothing is said of what runs in the guest */
bool run_is_bare(const struct run_options *o);
/** config_resolve() - options and defaults into a machine; needs no KVM */
int config_resolve(struct run_config *c, const struct run_options *o,
		   struct report *r);
/** config_print() - for people; machine_print() is for programs */
void config_print(const struct run_config *c);
void config_free(struct run_config *c);
/** fail_on_parse() - words of --fail-on are added to *@splats, enum klog_splat */
int fail_on_parse(u32 *splats, const char *value, struct report *r);
/** opt_disk(), opt_env() - an option_desc's call */
int opt_disk(void *opts, const char *value, struct report *r);
int opt_env(void *opts, const char *value, struct report *r);
/** port_stream() - what @p->name is connected to; @arg may be NULL, and stays */
int port_stream(struct machine_port *p, const char *kind, const char *arg,
		struct report *r);
/** run_options_free() - copies that words of @o point into */
void run_options_free(struct run_options *o);
/** devices_add() - the platform and all devices of kvm->machine */
int devices_add(struct kvm *kvm, struct report *r);

/* What is in a VM's name; those that are not in others come first. */
#define NAME_CHARS \
	"-._abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/** name_is_good() - as a VM's name, which is one of files, too */
bool name_is_good(const char *name);

/* builtin-setup.c: guests with directories of their own. */

/** setup_use() - run the guest that lkvm setup made with @name */
int setup_use(struct run_options *o, const char *name, struct report *r);

/* builtin-machine.c: a machine as JSON. */

/** opt_config() - an option_desc's call: --config */
int opt_config(void *opts, const char *value, struct report *r);
/** machine_put() - members of an object that --config takes */
void machine_put(struct json_out *o, const struct run_config *c,
		 const struct run_options *opts);
/** machine_print() - the same as text. Return: 0 or -ENOMEM */
int machine_print(const struct run_config *c, const struct run_options *opts);

/* builtin-net.c: -n and what it says. */

/** network_mac() - of text, into @n */
int network_mac(struct net_opts *n, const char *text, struct report *r);
/** opt_network() - an option_desc's call */
int opt_network(void *opts, const char *value, struct report *r);
void network_print(const struct net_opts *o);
#define MAC_TEXT 18
/** network_mac_text() - the same, the other way round. Return: @out */
const char *network_mac_text(char out[MAC_TEXT], const struct net_opts *n);
/** network_put() - one object */
void network_put(struct json_out *out, const struct net_opts *o);
/** network_take() - what network_put() wrote, into @o */
int network_take(struct run_options *o, const struct json_value *v,
		 struct report *r);

/* builtin-fs.c: --share, --ro, --rw, --9p. */

/** opt_share(), opt_ro(), opt_rw(), opt_9p() - an option_desc's call */
int opt_share(void *opts, const char *value, struct report *r);
int opt_ro(void *opts, const char *value, struct report *r);
int opt_rw(void *opts, const char *value, struct report *r);
int opt_9p(void *opts, const char *value, struct report *r);
/** shares_resolve() - from options into the machine */
int shares_resolve(struct machine *m, const struct run_options *o,
		   struct report *r);
/** share_is_mounted() - --ro or --rw without a tag: the guest's init does it */
bool share_is_mounted(const struct run_options *o, unsigned int i);
/** shares_by_9p() - those that the guest's init mounts, the root included */
void shares_by_9p(struct machine *m, const struct run_options *o);
void shares_print(const struct machine *m);
/** shares_add() - their devices, and what stays reachable when it is sealed */
int shares_add(struct kvm *kvm, struct report *r);
void shares_free(struct run_options *o);
/** raise_limit() - as many descriptors as may be. Return: how many */
unsigned int raise_limit(void);
/**
 * share_create() - a device for the directory that @dir is
 * @dir: taken over on success
 *
 * Context: a sealed process.
 * Return: 0 with *@dev, -errno with the reason in @r.
 */
int share_create(struct kvm *kvm, struct virtio_device **dev,
		 const struct machine_share *s, int dir, const char *name,
		 struct report *r);
/* builtin-devices.c: a device that is not yet at its place. */

/**
 * disk_create() - a disk on the image of @d
 * @dev: ownership passes to the caller, for place_virtio() or kvm_plug()
 * @d: a descriptor in it is duplicated, and stays the caller's
 * @name: unique in the VM
 *
 * Return: 0, -errno with the reason in @r.
 */
int disk_create(struct kvm *kvm, struct virtio_device **dev,
		const struct machine_disk *d, const char *name,
		struct report *r);

struct net_backend;

/** network_create() - @b is the device's, or closed when that cannot be made */
int network_create(struct kvm *kvm, struct virtio_device **dev,
		   struct net_backend *b, const struct net_opts *n,
		   const char *name, struct report *r);
/** place_virtio() - from here on @dev is the VM's, or gone */
int place_virtio(struct kvm *kvm, struct virtio_device *dev,
		 struct report *r);

/* builtin-vm.c: what the commands that act on a running VM share. */

struct lkvm;
/** vm_why() - why lkvm_connect() failed, for people */
const char *vm_why(int err);
/** vm_error() - why a call of lkvm.h failed on @vm, for people */
const char *vm_error(struct lkvm *vm, int err);
/** vm_connect() - NULL after it was said on stderr why not */
struct lkvm *vm_connect(const char *name);
/**
 * vm_call() - a command and its answer, *@ok if that is not NULL, to be freed
 * Return: 0; STATUS_ERROR after it was said on stderr why.
 */
int vm_call(struct lkvm *vm, const char *name, const char *cmd,
	    const char *args, char **ok);
/**
 * vm_name() - options, and the one name that there has to be
 * Return: the name; NULL after it was said on stderr why there is none.
 */
const char *vm_name(const struct option_desc *table, int argc, char **argv,
		    void *opts);

/* builtin-dotconfig.c: a kernel's .config as text. */

/**
 * dotconfig_read() - to be freed; NULL with a report, also of what is no .config
 * @fix: dotconfig_extend() comes next: only a file will do, and no pipe is waited for
 */
char *dotconfig_read(const char *path, bool fix, struct report *r);
/**
 * dotconfig_missing() - write to @f what @config lacks of @fragment
 * Return: how many options.
 */
unsigned int dotconfig_missing(FILE *f, const char *fragment, const char *config);
/**
 * dotconfig_extend() - @config, which @path has, and the lines @more behind it
 * @n: how many those are, for people
 *
 * The file is as it was, or it is all there, with owner and mode of before.
 */
int dotconfig_extend(const char *path, const char *config, const char *more,
		     unsigned int n, struct report *r);

/* builtin-console.c: the terminal, and the guest console's bytes. */

/**
 * struct console - one guest console on this process's stdin and stdout
 * @lock: guards @buf, @len, @closing, @refused, @log; leaf
 * @over: main thread: bytes that were in @buf when a vCPU was not to wait
 * @out_fd: where the bytes go; -1: to @log alone
 * @tap: main thread: gets what goes out as well
 */
struct console {
	pthread_mutex_t lock;
	pthread_cond_t space;
	u8 buf[65536];
	size_t len;
	u8 *over;
	size_t over_len;
	bool closing;
	bool refused;
	bool stuck;
	bool opened;
	int wake_fd;
	int out_fd;
	int tty_fd;
	bool eof;
	bool escape;
	u8 in[4096];
	size_t in_len;
	int lost;
	struct klog log;
	void (*tap)(void *opaque, const void *d, size_t len);
	void *tap_opaque;
};

/** console_open() - on stdin and stdout */
int console_open(struct console *c, struct report *r);
/** console_open_log() - no input; bytes go to @out_fd, or nowhere if it is -1 */
int console_open_log(struct console *c, int out_fd, struct report *r);

/** terminal_raw() - stdin, if it is a terminal, as soon as we are in front of it */
void terminal_raw(void);
/**
 * terminal_is_ours() - also puts it in raw mode, if that was not done in the background
 * @lines: it is only while nobody has put it in another mode
 * Return: false in the background, where who reads it is stopped; true if stdin is none
 */
bool terminal_is_ours(bool lines);
void terminal_restore(void);

/**
 * terminal_writer() - a way to write to @fd that never waits, if it is a terminal
 * Return: a descriptor of our own, whose O_NONBLOCK nobody shares; else @fd
 */
int terminal_writer(int fd);
/**
 * output_writer() - a way to write to @fd that does not wait for who reads it
 * @whole: set if a write takes what there is room for; else PIPE_BUF bytes are what
 *	may be written when poll(2) finds room
 *
 * Return: a descriptor of our own for a terminal or a pipe that can be opened again,
 * whose O_NONBLOCK nobody shares; else @fd
 */
int output_writer(int fd, bool *whole);
/** stderr_is_ready() - for a line, within a tenth of a second: who says it is not to wait */
bool stderr_is_ready(void);
/** terminal_unread() - what is still to be said goes to @own, if nobody reads it */
void terminal_unread(int own);

/**
 * terminal_keys() - take what is ours out of @len keys typed at a terminal
 * @escape: kept from call to call, false at first
 * @leave: becomes true when that was to leave; what is behind it is gone
 *
 * Return: how many are left at @d.
 */
size_t terminal_keys(bool *escape, u8 *d, size_t len, bool *leave);
/** console_output() - a vCPU's bytes; waits when the reader is slow */
void console_output(void *console, const void *d, size_t len);
/**
 * console_offer() - bytes for which there may be no room; any thread
 * Return: how many were taken. console_feed() asks for the rest.
 */
size_t console_offer(void *console, const void *d, size_t len);
/** console_wake() - the main thread is to call console_feed(); any thread */
void console_wake(void *console);
/** console_yield() - main thread: no vCPU waits for room */
void console_yield(void *console);
/** console_drain() - main thread: pass on what is there. -EAGAIN if blocked */
int console_drain(struct console *c);
/** console_wants_input() - main thread: whether to wait for stdin */
bool console_wants_input(const struct console *c);

/** console_input() - main thread: stdin is readable. 1 when ^A x was typed */
int console_input(struct console *c);
/** console_feed() - offer waiting input to the guest, and room for output */
void console_feed(struct console *c, struct kvm *kvm);
/**
 * console_flush() - vCPUs are halted: what the guest sent is passed on
 * @total_ms: how long at most: a guest's chains may be as long as its memory
 */
void console_flush(struct console *c, struct kvm *kvm, unsigned int total_ms);
/** console_shut() - vCPUs are not held back any more */
void console_shut(struct console *c);
/** console_close() - the rest goes out, the terminal is as it was */
void console_close(struct console *c);

/* builtin-command.c: a command in the guest, and what of ours it talks to. */

/** enum stream_of_ours - what one of our standard streams is; SAME: stderr, as stdout */
enum stream_of_ours {
	STREAM_OURS_NONE,
	STREAM_OURS_PIPE,
	STREAM_OURS_TTY,
	STREAM_OURS_SAME,
};

/** terminal_fd() - what goes to the terminal is written to that of ours, or to none: -1 */
int terminal_fd(const enum stream_of_ours kind[3]);
/** streams_hold() - first of all: no file gets the number of a stream that is closed */
void streams_hold(void);
/**
 * streams_probe() - what this process's streams are
 * @kind: NONE also for one that streams_hold() has found closed; it takes
 *	everything from here on, or is at its end
 */
void streams_probe(enum stream_of_ours kind[3]);

/** enum carrier - where the guest's init is heard: at both ports until it greets */
enum carrier { CARRIER_OPEN, CARRIER_VIRTIO, CARRIER_SERIAL };

/**
 * struct guest_command - the command of lkvm run
 * @lock: guards @closing; taken before the port's
 * @fd: where each stream's output goes, -1 for nowhere
 * @in_fd: of input
 * @whole: a write to it takes what there is room for, and does not wait
 * @null_fd: /dev/null, for the place of what has ended
 * @klogged: the guest's whole log has begun to come
 * @lines: the terminal stays as it is, and is read while it gives lines
 * @typed: at the terminal, while no command takes it
 * @last_signal: what we got last, at @last_time
 * @overdue: when the VM ends unless the guest has taken it by then, 0 for never
 * @asked: when ^C was typed that the guest has not taken, 0 without
 * @init_time: when init greeted, as now_ns(); 0 if it has not
 * @start_time: when the command started, likewise
 * @end_time: when it ended, likewise
 * @cut: why output of a command that has ended was not waited for
 * @cut_code: of the end that cut it: end_code of struct outcome_facts
 * @lost: errno of output that could not be written to @lost_stream
 * @execs: further commands
 * @again: the guest is to offer again what there was no room for
 * @carrier: the port that its init has come by; atomic
 */
struct guest_command {
	pthread_mutex_t lock;
	pthread_cond_t space;
	bool closing;
	struct session_port port;
	struct console *console;
	enum stream_of_ours kind[3];
	int fd[GUEST_STREAMS];
	bool whole[GUEST_STREAMS];
	int in_fd;
	int wake_fd;
	int null_fd;
	bool opened;
	bool escape;
	bool lines;
	u8 typed[4096];
	size_t typed_len;
	bool klogged;
	unsigned int last_signal;
	u64 last_time;
	u64 overdue;
	u64 asked;
	u64 init_time;
	u64 start_time;
	u64 end_time;
	enum vm_end cut;
	u32 cut_code;
	int lost;
	unsigned int lost_stream;
	struct guest_exec *execs;
	bool again;
	enum carrier carrier;
};

#define COMMAND_OWN 5
/* A guest that lives takes a SIGTERM or SIGHUP within that. */
#define SIGNAL_HEARD_NS (10 * NSEC_PER_SEC)
#define COMMAND_POLL (COMMAND_OWN + GUEST_STREAMS * GUEST_PROTO_SESSIONS)

/**
 * command_open() - connect @g with our standard streams
 * @kind: what these are; a terminal is put into raw mode, unless our output is none
 * @console: outlives @g
 *
 * Context: the main thread, before command_attach().
 * Return: 0, -errno with the reason in @r.
 */
int command_open(struct guest_command *g, const enum stream_of_ours kind[3],
		 struct console *console, struct report *r);
/** command_attach() - the guest's init talks to @g; before devices are made */
void command_attach(struct guest_command *g, struct kvm *kvm);
void command_resize(struct guest_command *g);
/** command_end() - by @sig; if the VM has ended, its output is not waited for */
void command_end(struct guest_command *g, struct kvm *kvm, unsigned int sig);
/** command_signal() - we got @sig */
void command_signal(struct guest_command *g, struct kvm *kvm, unsigned int sig);
/**
 * command_overdue() - end a VM whose guest does not take a signal, and what lkvm exec
 * waits for
 * Return: when to look again; 0 if never
 */
u64 command_overdue(struct guest_command *g, struct kvm *kvm);
/** command_cut() - the VM has ended, and its output is not waited for */
void command_cut(struct guest_command *g, enum vm_end end, u32 code);
/** fd_is_ready() - for @events of poll(2); -1 never is */
bool fd_is_ready(int fd, short events);
/** command_wake() - the main thread is to call command_serve(); any thread */
void command_wake(void *command);
struct pollfd;
/** command_poll() - what is waited for. Return: how many of @p */
unsigned int command_poll(const struct guest_command *g,
			  struct pollfd p[COMMAND_POLL]);
/** command_serve() - move what can be moved; @p as command_poll() filled it */
void command_serve(struct guest_command *g, struct kvm *kvm,
		   const struct pollfd p[COMMAND_POLL]);
/** command_shut() - vCPUs are not held back any more */
void command_shut(struct guest_command *g);
/**
 * command_drain() - look at what the guest said last; writes nothing of it yet
 * Context: vCPUs are gone, devices still work.
 */
void command_drain(struct guest_command *g, struct kvm *kvm);
void command_close(struct guest_command *g);

/* builtin-sessions.c: further commands, for lkvm exec. */

/** execs_file() - where @stream of @s goes, -1 for nowhere */
int execs_file(const struct guest_command *g, const struct session *s, u8 stream);
/** execs_poll() - as command_poll() */
unsigned int execs_poll(const struct guest_command *g, struct pollfd *p);
/** execs_serve() - move what can be moved */
void execs_serve(struct guest_command *g);
/**
 * execs_overdue() - let go of whose command the guest does not give a signal
 * Return: when to look again, @look at the latest; 0 if never
 */
u64 execs_overdue(struct guest_command *g, u64 look);
/** execs_end() - the VM has ended: their clients are told, or how the command did */
void execs_end(struct guest_command *g);
/** guest_exec(), guest_signal(), guest_resize() - a control_handler each */
void guest_exec(struct control_call *call);
void guest_signal(struct control_call *call);
void guest_resize(struct control_call *call);

/* builtin-exec.c: the client of these. */

/**
 * struct flow - bytes from one descriptor to another, -1 once it has ended
 */
struct flow {
	int from;
	int to;
	size_t pos;
	size_t len;
	u8 buf[16384];
};

/**
 * struct exec - a command in another process's VM
 * @flow: by enum guest_stream
 * @theirs: the ends for the VM
 * @tty: our terminal, -1 without
 * @keys: input comes from it
 * @lines: the terminal is cooked
 * @copy: of lkvm cp: what comes is made readable text, and the first signal is the
 *	end
 * @shell: leaving it is no failure
 * @answered: it has ended
 * @left: we do not wait for its end any more
 * @lost: errno of output that could not be written
 */
struct exec {
	const char *name;
	struct lkvm *vm;
	long long id;
	struct flow flow[GUEST_STREAMS];
	int theirs[GUEST_STREAMS];
	int signals;
	int tty;
	bool keys;
	bool lines;
	bool escape;
	bool copy;
	bool shell;
	bool answered;
	bool left;
	int lost;
	int status;
	unsigned int last_signal;
	u64 last_time;
};

void exec_init(struct exec *x, const char *name);
/** exec_fail() - one line. Return: STATUS_ERROR */
int exec_fail(struct exec *x, const char *why);
/** exec_open_stream() - from or to our @fd */
int exec_open_stream(struct exec *x, unsigned int stream, int fd);
/** exec_start() - have the VM run it. Return: 0, STATUS_ERROR when that was said */
int exec_start(struct exec *x, const struct state_out *records);
/** exec_run() - until its end. Return: the exit status */
int exec_run(struct exec *x);
void exec_close(struct exec *x);

/**
 * guest_records() - a command as the guest's init wants to have it
 * @kind: of our standard streams
 */
int guest_records(struct state_out *s, const struct run_options *o,
		  const enum stream_of_ours kind[3], struct report *r);
/**
 * drivers_report() - says what of @kvm no driver has ever been ready for
 * @command: the guest's init has said so of some
 *
 * What the kernel was known to lack before the start is not said again.
 * Context: vCPUs are gone.
 */
void drivers_report(const struct run_config *c, const struct kvm *kvm, bool command);
/**
 * guest_archive() - the initramfs of lkvm's own init, into @c
 * @kind: of our standard streams
 */
int guest_archive(struct run_config *c, const struct run_options *o,
		  const enum stream_of_ours kind[3], struct report *r);

/* builtin-decode.c: reports of the guest's kernel. */

/**
 * struct decoder - who turns addresses of a report into lines of source
 * @pid: waits at @in, and writes to @out, -1 without; 0 if there is none
 * @missing: why there is none, NULL otherwise
 */
struct decoder {
	pid_t pid;
	int in;
	int out;
	const char *missing;
};

/** decoder_open() - for the kernel in that file; before the process is sealed */
void decoder_open(struct decoder *d, const char *kernel);
/** decoder_print() - to stderr, decoded if that can be; once */
void decoder_print(struct decoder *d, const char *report, size_t len);
void decoder_close(struct decoder *d);
/** guest_text_print() - to stderr, without control characters */
void guest_text_print(const char *text, size_t len);
/**
 * image_build_dir() - the build directory that @kernel is in by its path
 * Return: whether it looks like one
 */
bool image_build_dir(const char *kernel, char *dir, size_t size);

/** struct run_times - CLOCK_MONOTONIC ns of each step, for --timing */
struct run_times {
	u64 exec;
	u64 config;
	u64 create;
	u64 devices;
	u64 load;
	u64 start;
	u64 end;
	u64 destroy;
};

/* builtin-control.c: the control socket of the VM that this process runs. */

/**
 * struct vm_control - what handlers of commands know
 * @server: NULL when there is no place for the socket
 * @kvm: from control_attach() on, until the VM is destroyed
 * @console: from control_attach() on
 * @command: from control_attach() on
 * @shell: the command is a shell
 * @machine: members that machine_put() has put
 * @start: CLOCK_MONOTONIC ns
 * @begun: "started" was told
 * @up_fd: who waits for the guest to be up, -1 without
 * @log: where output goes
 * @readers: those who have the console open
 * @plug: builtin-plug.c's, NULL until a device is to leave
 * @stats_fd: of kvm_stats_open(), once it was @stats_tried; negative without
 * @memory_fd: /proc/self/statm; -1 without
 * @kernel_fd: the kernel's file, until its @release was asked for; -1 without
 */
struct vm_control {
	struct control_server *server;
	const struct run_config *config;
	struct json_out machine;
	struct kvm *kvm;
	struct console *console;
	struct guest_command *command;
	bool shell;
	u64 start;
	bool begun;
	int up_fd;
	char log[160];
	struct console_reader *readers;
	bool stats_tried;
	int stats_fd;
	int memory_fd;
	int kernel_fd;
	char release[128];
	struct plug *plug;
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
};

/** control_open() - the name is ours from here on; clients wait */
int control_open(struct vm_control *v, const struct run_config *config,
		 bool named, struct report *r);
/** control_attach() - before @kvm is sealed; @g may be NULL */
void control_attach(struct vm_control *v, struct kvm *kvm, struct console *c,
		    struct guest_command *g);
/** control_serve() - main loop: what is due */
void control_serve(struct vm_control *v);
/** control_stopped() - the VM has ended by itself: tell why */
void control_stopped(struct vm_control *v);
/** control_ended() - clients are told, and see no VM any more */
void control_ended(struct vm_control *v, const struct outcome *out);
/** control_shut() - the name is free */
void control_shut(struct vm_control *v);

/* builtin-detach.c: lkvm run --detach */

/** detach_begin() - returns in the child; *@fd is for detach_say() */
int detach_begin(int *fd, struct report *r);
/**
 * detach_output() - to a file named for the VM
 * @path: of it
 */
int detach_output(const struct vm_control *v, char *path, size_t size,
		  struct report *r);
/** detach_say() - to who has started it, once; @status 0: it is up */
void detach_say(int *fd, int status, const char *fmt, ...)
	__printf(3, 4);

/** control_kvm() - the VM, or NULL when it ends already, which is refused */
struct kvm *control_kvm(struct control_call *call);
/** vm_resident() - bytes of this process in memory, its guest's among them */
u64 vm_resident(const struct vm_control *v);

/* builtin-stat.c, builtin-debug.c, builtin-attach.c: handlers */
void vm_stat(struct control_call *call);
void debug_nmi(struct control_call *call);
void debug_sysrq(struct control_call *call);
void debug_regs(struct control_call *call);
void debug_memory(struct control_call *call);
void console_reader_open(struct control_call *call);
/** console_readers_serve() - input that was not taken may find room now */
void console_readers_serve(struct vm_control *v);
/** console_readers_close() - those who read are hung up on */
void console_readers_close(struct vm_control *v);

/* builtin-plug.c: devices that come and go; handlers of commands. */
void plug_disk(struct control_call *call);
void plug_network(struct control_call *call);
void plug_share(struct control_call *call);
void plug_detach(struct control_call *call);

/**
 * struct run_parts - what run_loop() serves
 * @command: NULL without one; its output is written before run_loop() returns
 * @deadline: as now_ns(), 0 for none
 */
struct run_parts {
	struct console *console;
	struct guest_command *command;
	struct vm_control *control;
	u64 deadline;
};

/**
 * signals_block() - what the main thread hears of by a signalfd: INT, TERM, WINCH,
 * and HUP if that was not ignored. A write to who has gone is -EPIPE.
 */
void signals_block(sigset_t *set);
/** run_loop() - until the VM ends or a signal or the deadline ends it */
int run_loop(struct kvm *kvm, const struct run_parts *parts,
	     struct report *r);

#endif
