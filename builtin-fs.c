// SPDX-License-Identifier: GPL-2.0-only
/*
 * Directories that are shared with the guest: --share, --ro, --rw, --9p.
 *
 * Theory of operation: options become rows of the machine, and rows become
 * virtio-fs or 9P devices, each with a share of the descriptors that the process
 * may have. What is below a shared directory stays reachable when the process is
 * sealed, for reading or for all but executing it. Files get the mode that the
 * guest asks for: the umask of lkvm does not count on top of the guest's.
 * Main thread.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/fs.h"
#include "kvm/virtio.h"

/* What all else of lkvm needs */
#define FDS_RESERVED 512U
#define SHARE_QUEUES_MAX 4U

static int share_words(struct machine_share *s, char *rest, bool is_share,
		       const char *option, struct report *r)
{
	char *word;

	while ((word = strsep(&rest, ","))) {
		if (!strncmp(word, "tag=", 4))
			s->tag = word + 4;
		else if (is_share && !strcmp(word, "ro"))
			s->readonly = true;
		else
			return report_error(r, 0,
					    "--%s %s: unknown word \"%s\"",
					    option, s->path, word);
	}
	if (!*s->path)
		return report_error(r, 0, "--%s: no directory", option);
	return 0;
}

/* @rest: what is behind the directory, or NULL */
static int share_new(struct run_options *o, const char *value,
		     const char *option, char **rest, struct report *r)
{
	if (o->nr_shares == MACHINE_MAX_SHARES)
		return report_error(r, 0, "--%s: more than %d directories",
				    option, MACHINE_MAX_SHARES);
	*rest = strdup(value);
	if (!*rest)
		return report_error(r, ENOMEM, "--%s", option);
	o->share[o->nr_shares++].path = strsep(rest, ",");
	return 0;
}

static int share_add(struct run_options *o, const char *value,
		     const char *option, struct report *r)
{
	unsigned int i = o->nr_shares;
	struct machine_share *s = &o->share[i];
	char *rest;
	int err = share_new(o, value, option, &rest, r);

	if (err)
		return err;
	s->readonly = !strcmp(option, "ro");
	snprintf(o->share_tag[i], sizeof(o->share_tag[i]), "%s%u", option, i);
	s->tag = o->share_tag[i];
	return share_words(s, rest, !strcmp(option, "share"), option, r);
}

/* DIR,TAG[,ro]: a tag is what everybody who mounts 9P gives */
int opt_9p(void *opts, const char *value, struct report *r)
{
	struct run_options *o = opts;
	struct machine_share *s;
	char *rest, *word;
	int err = share_new(o, value, "9p", &rest, r);

	if (err)
		return err;
	s = &o->share[o->nr_shares - 1];
	s->p9 = true;
	s->tag = strsep(&rest, ",");
	if (!*s->path || !s->tag || !*s->tag)
		return report_error(r, 0, "--9p %s: not DIR,TAG", value);
	while ((word = strsep(&rest, ","))) {
		if (strcmp(word, "ro"))
			return report_error(r, 0,
					    "--9p %s: unknown word \"%s\"",
					    s->path, word);
		s->readonly = true;
	}
	return 0;
}

int opt_share(void *opts, const char *value, struct report *r)
{
	return share_add(opts, value, "share", r);
}

int opt_ro(void *opts, const char *value, struct report *r)
{
	return share_add(opts, value, "ro", r);
}

int opt_rw(void *opts, const char *value, struct report *r)
{
	return share_add(opts, value, "rw", r);
}

void shares_free(struct run_options *o)
{
	for (unsigned int i = 0; i < o->nr_shares; i++)
		free((char *)o->share[i].path);
	o->nr_shares = 0;
}

int shares_resolve(struct machine *m, const struct run_options *o,
		   struct report *r)
{
	m->nr_shares = o->nr_shares;
	if (m->control && !o->initrd && !o->root_disk) {
		if (m->nr_shares == MACHINE_MAX_SHARES)
			return report_error(r, 0, "share %s: one too many, with the root",
					    o->share[m->nr_shares - 1].path);
		m->share[m->nr_shares++] = (struct machine_share){
			.path = o->root ? o->root : "/",
			.tag = GUEST_PROTO_ROOT_TAG,
			.readonly = true,
		};
	}
	for (unsigned int i = 0; i < o->nr_shares; i++) {
		const struct machine_share *s = &o->share[i];
		size_t len = strlen(s->tag);

		m->share[i] = *s;
		if (!len || len > VIRTIO_SHARE_TAG_MAX)
			return report_error(r, 0,
					    "share %s: tag is not 1 to %d bytes",
					    s->path, VIRTIO_SHARE_TAG_MAX);
		/* The root's is behind those that were asked for. */
		for (unsigned int n = 0; n < m->nr_shares; n++)
			if ((n < i || n >= o->nr_shares) &&
			    !strcmp(s->tag, m->share[n].tag))
				return report_error(r, 0,
						    "share %s: tag %s is taken",
						    s->path, s->tag);
	}
	return 0;
}

bool share_is_mounted(const struct run_options *o, unsigned int i)
{
	const char *tag = o->share_tag[i];

	return *tag && o->share[i].tag == tag && strncmp(tag, "share", 5);
}

void shares_by_9p(struct machine *m, const struct run_options *o)
{
	for (unsigned int i = 0; i < m->nr_shares; i++) {
		if (i >= o->nr_shares || share_is_mounted(o, i))
			m->share[i].p9 = true;
	}
}

void shares_print(const struct machine *m)
{
	for (unsigned int i = 0; i < m->nr_shares; i++)
		printf("%s    %s,tag=%s%s\n", m->share[i].p9 ? "9p   " : "share",
		       m->share[i].path, m->share[i].tag,
		       m->share[i].readonly ? ",ro" : "");
}

static int create_device(struct virtio_device **dev, struct fs_host *host,
			 const struct machine_share *s, const char *name,
			 const struct kvm *kvm, struct report *r)
{
	struct virtio_fs_opts fs = {
		.host = host,
		.tag = s->tag,
		.nr_queues = MIN(kvm->machine->nr_cpus, SHARE_QUEUES_MAX),
	};
	struct virtio_9p_opts p9 = { .host = host, .tag = s->tag };

	return virtio_device_create(dev, s->p9 ? &virtio_9p_class :
				    &virtio_fs_class, name,
				    s->p9 ? (void *)&p9 : (void *)&fs,
				    &kvm->virtio_env, r);
}

/* As many descriptors as one of @nr shares may have; vsock has half of all. */
static unsigned int fds_of_share(const struct machine *m, unsigned int nr)
{
	unsigned int fds = raise_limit();

	if (m->vsock.cid && !m->vsock.vhost)
		fds -= fds / 2;
	fds = fds > 2 * FDS_RESERVED ? fds - FDS_RESERVED : fds / 2;
	return fds / nr;
}

static int share_open(struct kvm *kvm, struct virtio_device **dev,
		      const struct machine_share *s, const struct fs_opts *o,
		      const char *name, struct report *r)
{
	struct fs_host *host;
	int err = fs_open(&host, o, r);

	if (err && o->has_fd)
		close(o->fd);
	if (err)
		return err;
	umask(0);
	err = create_device(dev, host, s, name, kvm, r);
	if (!err)
		return 0;
	fs_close(host);
	return report_error(r, -err, "share %s", s->path);
}

/* Whether @dir is @path, or below it; neither is opened but for its name. */
static bool is_below(int dir, const char *path)
{
	int fd = fcntl(dir, F_DUPFD_CLOEXEC, 0), up;
	struct stat top, here, before = { 0 };
	bool below = false;

	if (stat(path, &top))
		memset(&top, 0, sizeof(top));
	while (fd >= 0 && !fstat(fd, &here)) {
		below = here.st_dev == top.st_dev && here.st_ino == top.st_ino;
		/* The root is its own parent. */
		if (below || (here.st_dev == before.st_dev &&
			      here.st_ino == before.st_ino))
			break;
		before = here;
		up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = up;
	}
	if (fd >= 0)
		close(fd);
	return below;
}

/* What the sealed process cannot open it cannot share. */
static bool is_reachable(const struct kvm *kvm, int dir, bool write)
{
	const struct seal_exceptions *e = &kvm->unsealed;

	for (unsigned int i = 0; i < e->nr_shares; i++) {
		if ((e->share[i].write || !write) &&
		    is_below(dir, e->share[i].path))
			return true;
	}
	return false;
}

int share_create(struct kvm *kvm, struct virtio_device **dev,
		 const struct machine_share *s, int dir, const char *name,
		 struct report *r)
{
	struct fs_opts o = {
		.path = s->path, .has_fd = true, .readonly = s->readonly,
		.max_fds = fds_of_share(kvm->machine, 2 * MACHINE_MAX_SHARES),
	};

	if (!is_reachable(kvm, dir, !s->readonly))
		return report_error(r, 0,
			"share %s: not below a directory that is shared%s since the start",
			s->path, s->readonly ? "" : " for writing");
	o.fd = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	if (o.fd < 0)
		return report_error(r, errno, "share %s", s->path);
	return share_open(kvm, dev, s, &o, name, r);
}

static int add_one(struct kvm *kvm, const struct machine_share *s,
		   unsigned int max_fds, unsigned int nr, struct report *r)
{
	struct seal_exceptions *except = &kvm->unsealed;
	struct fs_opts o = {
		.path = s->path, .readonly = s->readonly, .max_fds = max_fds,
	};
	struct virtio_device *dev;
	char name[24];
	int err;

	/* An overlay keeps names of what is below it until it is told. */
	if (s->tag && !strcmp(s->tag, GUEST_PROTO_ROOT_TAG)) {
		kvm->edits_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (kvm->edits_fd < 0)
			vm_log(&kvm->log, "edits on the host are seen late: inotify: %s",
			       strerror(errno));
		o.edits_fd = kvm->edits_fd;
		o.edits_ended = &kvm->edits_ended;
		o.has_edits = kvm->edits_fd >= 0;
		o.log = &kvm->log;
	}
	snprintf(name, sizeof(name), "%s%u", s->p9 ? "9p" : "fs", nr);
	err = share_open(kvm, &dev, s, &o, name, r);
	if (err)
		return err;
	except->share[except->nr_shares++] = (struct seal_share){
		.path = s->path, .write = !s->readonly,
	};
	return place_virtio(kvm, dev, r);
}

int shares_add(struct kvm *kvm, struct report *r)
{
	const struct machine *m = kvm->machine;
	const unsigned int fds = fds_of_share(m, m->nr_shares);
	int err = 0;

	static_assert(MACHINE_MAX_SHARES <= SEAL_SHARES_MAX, "all are reachable");

	for (unsigned int i = 0; i < m->nr_shares && !err; i++)
		err = add_one(kvm, &m->share[i], fds, i, r);
	return err;
}
