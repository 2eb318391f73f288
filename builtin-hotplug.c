// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm attach and lkvm detach.
 *
 * Theory of operation: what a device stands on is opened here, with the rights of
 * who asks, and goes to the VM as a descriptor: a disk's image, a tap device or
 * passt's socket, a directory. Options are those of lkvm run. The id of each
 * device is printed; what came before a failure stays. A device leaves when the
 * guest lets go of it, which is waited for; all are asked first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/net.h"
#include "lkvm.h"

#define ANSWER_MS 10000
#define DEFAULT_TIME 5
#define GRACE_MS 50
#define VALUES 16

struct detach_options {
	bool force;
	long timeout;
};

/* The options struct is that of lkvm run. */
const struct option_desc attach_options[] = {
	{ "disk", 'd', OPT_CALL, "PATH[,ro][,serial=S][,direct]",
	  "disk image or block device; repeatable", 0, opt_disk },
	{ "network", 'n', OPT_CALL, "user|tap|fd=N[,WORD...]",
	  "network interface; repeatable", 0, opt_network },
	{ "share", 0, OPT_CALL, "DIR,tag=T[,ro]",
	  "directory, below one that is shared since the start; repeatable",
	  0, opt_share },
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

const struct option_desc detach_options[] = {
	{ "force", 0, OPT_FLAG, NULL, "do not ask the guest, take it away",
	  offsetof(struct detach_options, force), NULL },
	{ "timeout", 0, OPT_TIME, "TIME",
	  "how long the guest may take; 5s by default",
	  offsetof(struct detach_options, timeout), NULL },
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

static int connect_to(struct lkvm **vm, const char *name, struct report *r)
{
	int err = lkvm_connect(vm, name);

	return err ? report_error(r, 0, "%s: %s", name, vm_why(err)) : 0;
}

/* Why there is no answer, or which */
static int say_why(struct lkvm *vm, const char *what, int err,
		   struct report *r)
{
	if (err == -EREMOTEIO)
		return report_error(r, 0, "%s", vm_error(vm, err));
	return report_error(r, 0, "%s: %s", what, vm_error(vm, err));
}

static int print_id(char *ok)
{
	struct json_value value[VALUES];
	struct json_doc doc = { .value = value, .max = VALUES };
	const char *id = NULL;

	if (!json_parse(&doc, ok, strlen(ok)))
		id = json_string_of(&value[0], "device");
	if (!id)
		return -EIO;
	return puts(id) < 0 || fflush(stdout) ? -errno : 0;
}

/* @args: members of the arguments; freed. @fd goes along, and stays open. */
static int attach(struct lkvm *vm, const char *cmd, const char *what,
		  struct json_out *args, int fd, struct report *r)
{
	long long id = args->err;
	char *ok = NULL;
	int err;

	json_close(args, '}');
	if (!id)
		id = lkvm_send(vm, cmd, args->text, &fd, 1);
	json_out_free(args);
	err = lkvm_answer(vm, id, ANSWER_MS, &ok);
	if (err)
		return say_why(vm, what, err, r);
	err = print_id(ok);
	free(ok);
	return err ? report_error(r, -err, "stdout") : 0;
}

static int attach_disk(struct lkvm *vm, const struct machine_disk *d,
		       struct report *r)
{
	const char *path = d->opts.path;
	struct json_out args = { 0 };
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK, fd, err;

	flags |= d->opts.readonly ? O_RDONLY : O_RDWR;
	flags |= d->opts.direct ? O_DIRECT : 0;
	fd = open(path, flags);
	if (fd < 0)
		return report_error(r, errno, "disk %s: cannot open", path);
	json_open(&args, NULL, '{');
	json_put_string(&args, "path", path);
	if (d->serial)
		json_put_string(&args, "serial", d->serial);
	json_put_bool(&args, "readonly", d->opts.readonly);
	json_put_bool(&args, "direct", d->opts.direct);
	err = attach(vm, "disk.attach", path, &args, fd, r);
	close(fd);
	return err;
}

static int attach_net(struct lkvm *vm, const struct net_opts *n,
		      struct report *r)
{
	struct json_out args = { 0 };
	struct net_backend *b;
	char mac[MAC_TEXT];
	int fd, err;

	/* Neither can one descriptor stand for all of it. */
	if (n->vhost || n->pairs > 1 || n->kind == NET_SOCKET)
		return report_error(r, 0,
			"attach: network: no socket, vhost or mq");
	err = net_open(&b, n, r);
	if (err)
		return err;
	fd = b->ops->fd ? b->ops->fd(b) : n->fd;
	json_open(&args, NULL, '{');
	if (n->has_mac)
		json_put_string(&args, "mac", network_mac_text(mac, n));
	if (b->info.mtu)
		json_put_number(&args, "mtu", b->info.mtu);
	err = attach(vm, "net.attach", "network", &args, fd, r);
	net_close(b);
	return err;
}

static int attach_share(struct lkvm *vm, const struct machine_share *s,
			struct report *r)
{
	int fd = open(s->path, O_PATH | O_DIRECTORY | O_CLOEXEC), err;
	struct json_out args = { 0 };

	if (fd < 0)
		return report_error(r, errno, "share %s", s->path);
	json_open(&args, NULL, '{');
	json_put_string(&args, "path", s->path);
	json_put_string(&args, "tag", s->tag);
	json_put_bool(&args, "readonly", s->readonly);
	err = attach(vm, "share.attach", s->path, &args, fd, r);
	close(fd);
	return err;
}

static int attach_all(const char *name, const struct run_options *o,
		      struct report *r)
{
	struct lkvm *vm;
	int err = connect_to(&vm, name, r);

	if (err)
		return err;
	for (unsigned int i = 0; i < o->nr_disks && !err; i++)
		err = attach_disk(vm, &o->disk[i], r);
	for (unsigned int i = 0; i < o->nr_nets && !err; i++)
		err = attach_net(vm, &o->net[i], r);
	for (unsigned int i = 0; i < o->nr_shares && !err; i++)
		err = attach_share(vm, &o->share[i], r);
	lkvm_close(vm);
	return err;
}

static int attach_parse(struct run_options *o, int argc, char **argv,
			struct report *r)
{
	int nr = options_split(attach_options, argc, argv, o, r);

	if (nr < 0)
		return nr;
	if (nr != 1)
		return report_error(r, 0, nr ? "attach: more than one name" :
				    "attach: no name (lkvm list)");
	if (!o->nr_disks && !o->nr_nets && !o->nr_shares)
		return report_error(r, 0, "attach: nothing to attach");
	for (unsigned int i = 0; i < o->nr_shares; i++) {
		/* That was made up, and may be somebody else's. */
		if (o->share[i].tag == o->share_tag[i])
			return report_error(r, 0, "attach: share %s: no tag=",
					    o->share[i].path);
	}
	return 0;
}

int cmd_attach(int argc, char **argv)
{
	static struct run_options o;
	struct report r = { "" };
	int err = attach_parse(&o, argc, argv, &r);

	if (!err)
		err = attach_all(argv[1], &o, &r);
	if (err)
		fail_report(&r);
	run_options_free(&o);
	return err ? STATUS_ERROR : 0;
}

static long long detach_send(struct lkvm *vm, const char *id, bool force)
{
	struct json_out args = { 0 };
	long long sent;

	json_open(&args, NULL, '{');
	json_put_string(&args, "device", id);
	json_put_bool(&args, "force", force);
	json_close(&args, '}');
	sent = args.err ? args.err :
	       lkvm_send(vm, "device.detach", args.text, NULL, 0);
	json_out_free(&args);
	return sent;
}

/* What the others say is heard even if one took all the time. */
static int detach_wait(struct lkvm *vm, long long sent, u64 end)
{
	int left = ms_left(end);

	return lkvm_answer(vm, sent, MAX(left, GRACE_MS), NULL);
}

/* Each failure is said; the others are waited for all the same. */
static int detach_all(struct lkvm *vm, char **id, long long *sent,
		      unsigned int nr, const struct detach_options *o)
{
	u64 end = now_ns() + o->timeout * NSEC_PER_SEC;
	int failed = 0;

	for (unsigned int i = 0; i < nr; i++)
		sent[i] = detach_send(vm, id[i], o->force);
	for (unsigned int i = 0; i < nr; i++) {
		int err = detach_wait(vm, sent[i], end);
		struct report r = { "" };

		if (!err)
			continue;
		failed = err;
		if (err == -ETIMEDOUT)
			report_error(&r, 0,
				     "%s: the guest has not let go of it in %ld s (--force)",
				     id[i], o->timeout);
		else
			say_why(vm, id[i], err, &r);
		fail_report(&r);
	}
	return failed;
}

int cmd_detach(int argc, char **argv)
{
	struct detach_options o = { .timeout = DEFAULT_TIME };
	struct report r = { "" };
	struct lkvm *vm = NULL;
	long long *sent = NULL;
	int nr = options_split(detach_options, argc, argv, &o, &r);
	int err = nr < 0 ? nr : 0;

	if (!err && nr < 2)
		err = report_error(&r, 0, nr ? "detach: no device" :
				   "detach: no name (lkvm list)");
	if (!err)
		sent = calloc(nr, sizeof(*sent));
	if (!err && !sent)
		err = report_error(&r, ENOMEM, "detach");
	if (!err)
		err = connect_to(&vm, argv[1], &r);
	if (err)
		fail_report(&r);
	else
		err = detach_all(vm, argv + 2, sent, nr - 1, &o);
	lkvm_close(vm);
	free(sent);
	return err ? STATUS_ERROR : 0;
}
