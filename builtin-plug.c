// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices that come to a running VM and leave it: the VM's side.
 *
 * Theory of operation: the process is sealed, so that who wants a device opens
 * what is behind it, and hands over a descriptor. Here it becomes a device like
 * those of the start, named like them, by the first number that is free;
 * kvm_plug() has the rest. Who wants a device to go is answered when it has gone,
 * which is up to the guest: a client that does not want to wait any more hangs
 * up, or takes the device away by force. Main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/net.h"
#include "kvm/virtio.h"

#define ID_LEN 24

/** struct leaver - who waits for device @id to be gone */
struct leaver {
	struct control_later later;
	struct leaver *next;
	struct plug *plug;
	char id[ID_LEN];
};

/** struct plug - @watch: the VM's release_fd */
struct plug {
	struct control_watch watch;
	struct vm_control *v;
	struct leaver *leavers;
};

static void free_id(struct kvm *kvm, const char *kind, char *id)
{
	unsigned int n = 0;

	do {
		snprintf(id, ID_LEN, "%s%u", kind, n++);
	} while (kvm_find_device(kvm, id));
}

static void say(struct vm_control *v, const char *event, const char *id)
{
	struct json_out o = { 0 };

	json_put_string(&o, "device", id);
	control_event(v->server, event, &o);
	json_out_free(&o);
}

/* @err: of making @dev. The files of @call stay its own: a device has a copy. */
static void attach(struct control_call *call, int err,
		   struct virtio_device *dev, struct report *r)
{
	struct vm_control *v = call->vm;
	char id[ID_LEN];

	if (!err) {
		memcpy(id, dev->dev.name, sizeof(id));
		err = kvm_plug(v->kvm, &dev->dev, r);
	}
	if (err) {
		control_refuse(call, "failed", NULL, "%s", r->msg);
		return;
	}
	json_put_string(call->out, "device", id);
	say(v, "device-added", id);
}

void plug_disk(struct control_call *call)
{
	const struct control_value *arg = call->arg;
	const struct machine_disk d = {
		.opts = {
			.path = arg[0].string, .fd = call->fd[0], .has_fd = true,
			.readonly = arg[2].flag, .direct = arg[3].flag,
		},
		.serial = arg[1].string,
	};
	struct vm_control *v = call->vm;
	struct virtio_device *dev = NULL;
	struct report r = { "" };
	char id[ID_LEN];
	int err;

	free_id(v->kvm, "disk", id);
	err = disk_create(v->kvm, &dev, &d, id, &r);
	attach(call, err, dev, &r);
}

void plug_network(struct control_call *call)
{
	struct net_opts n = {
		.kind = NET_FD,
		.mtu = (unsigned int)call->arg[1].number,
	};
	struct vm_control *v = call->vm;
	struct virtio_device *dev = NULL;
	struct net_backend *b;
	struct report r = { "" };
	char id[ID_LEN];
	int err = 0;

	if (call->arg[0].given)
		err = network_mac(&n, call->arg[0].string, &r);
	if (err) {
		control_refuse(call, "invalid", "args.mac", "%s", r.msg);
		return;
	}
	free_id(v->kvm, "net", id);
	n.fd = fcntl(call->fd[0], F_DUPFD_CLOEXEC, 0);
	err = n.fd < 0 ? report_error(&r, errno, "network") :
	      net_open(&b, &n, &r);
	if (!err)
		err = network_create(v->kvm, &dev, b, &n, id, &r);
	else if (n.fd >= 0)
		close(n.fd);
	attach(call, err, dev, &r);
}

/* Two directories by one name: Linux refuses the second. */
static bool tag_is_taken(struct kvm *kvm, const char *tag)
{
	char name[VIRTIO_SHARE_TAG_MAX + 1] = "";

	for (struct device *d = kvm->devices; d; d = d->next) {
		struct virtio_device *dev = virtio_of(d);

		if (!dev || dev->class != &virtio_fs_class)
			continue;
		virtio_config_read(dev, 0, name, sizeof(name) - 1);
		if (!strcmp(name, tag))
			return true;
	}
	return false;
}

void plug_share(struct control_call *call)
{
	const struct control_value *arg = call->arg;
	const struct machine_share s = {
		.path = arg[0].string, .tag = arg[1].string,
		.readonly = arg[2].flag,
	};
	struct vm_control *v = call->vm;
	struct virtio_device *dev = NULL;
	struct report r = { "" };
	char id[ID_LEN];
	int err;

	if (!*s.tag || tag_is_taken(v->kvm, s.tag)) {
		control_refuse(call, "invalid", "args.tag", "share %s: tag %s",
			       s.path, *s.tag ? "is taken" : "is empty");
		return;
	}
	free_id(v->kvm, "fs", id);
	err = share_create(v->kvm, &dev, &s, call->fd[0], id, &r);
	attach(call, err, dev, &r);
}

/* Device @id is gone: whoever waits for that is told. */
static void gone(struct plug *p, const char *id)
{
	struct leaver **link = &p->leavers;
	struct json_out o = { 0 };

	json_put_string(&o, "device", id);
	while (*link) {
		struct leaver *l = *link;

		if (strcmp(l->id, id)) {
			link = &l->next;
			continue;
		}
		*link = l->next;
		control_answer(&l->later, &o);
		free(l);
		/* If that client has gone, so have others of its. */
		link = &p->leavers;
	}
	json_out_free(&o);
	say(p->v, "device-removed", id);
}

static void released(struct control_watch *w, u32 events)
{
	struct plug *p = container_of(w, struct plug, watch);
	char id[ID_LEN];

	(void)events;
	while (kvm_reap(p->v->kvm, id))
		gone(p, id);
}

static struct plug *plug_get(struct vm_control *v)
{
	struct plug *p = v->plug;

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->v = v;
	p->watch = (struct control_watch){ v->kvm->release_fd, released };
	if (control_watch_add(v->server, &p->watch, POLLIN)) {
		free(p);
		return NULL;
	}
	v->plug = p;
	return p;
}

/* The client does not wait any more; the device may go all the same. */
static void hung_up(struct control_later *later)
{
	struct leaver *l = container_of(later, struct leaver, later);
	struct leaver **link = &l->plug->leavers;

	while (*link != l)
		link = &(*link)->next;
	*link = l->next;
	free(l);
}

static void wait_gone(struct control_call *call, struct plug *p,
		      const char *id)
{
	struct leaver *l = calloc(1, sizeof(*l));

	if (!l) {
		control_refuse(call, "failed", NULL, "%s: no memory", id);
		return;
	}
	l->plug = p;
	snprintf(l->id, sizeof(l->id), "%s", id);
	l->later.gone = hung_up;
	l->next = p->leavers;
	p->leavers = l;
	control_later(call, &l->later);
}

void plug_detach(struct control_call *call)
{
	const bool force = call->arg[1].flag;
	const char *id = call->arg[0].string;
	struct vm_control *v = call->vm;
	struct plug *p = plug_get(v);
	struct report r = { "" };
	int err;

	if (!p) {
		control_refuse(call, "failed", NULL, "%s: no memory", id);
		return;
	}
	if (!kvm_find_device(v->kvm, id)) {
		control_refuse(call, "invalid", "args.device",
			       "%s: there is no such device", id);
		return;
	}
	err = force ? kvm_unplug(v->kvm, id, &r) :
	      kvm_unplug_ask(v->kvm, id, &r);
	if (err) {
		control_refuse(call, "unsupported", NULL, "%s", r.msg);
		return;
	}
	if (!force) {
		wait_gone(call, p, id);
		return;
	}
	json_put_string(call->out, "device", id);
	gone(p, id);
}
