// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the guest's init is given: itself, and a file that says what to do.
 *
 * Theory of operation: the file is a sequence of records KEY=VALUE, each ended by
 * a NUL (Documentation/guest-protocol.md), so that any argument gets through, and
 * nothing of it is on the kernel's command line. Of the environment a list of
 * names is handed on: what says who and where the user is and how a terminal
 * wants to be treated, and nothing that only means something on the host.
 *
 * Modules come from the build directory that the kernel is of, else from
 * /lib/modules of its release. A kernel that is known not to have what the port
 * needs talks over a serial port. The user is told of that, and of each driver that
 * is missing, but where the guest's init does. Main thread, before the VM is made.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/virtio_ids.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/kconfig.h"
#include "kvm/modules.h"
#include "kvm/virtio.h"

static const char *const env_names[] = {
	"CI", "COLORTERM", "EDITOR", "HOME", "LANG", "LANGUAGE", "LESS",
	"LOGNAME", "NO_COLOR", "PAGER", "PATH", "SHELL", "TERM", "TZ", "USER",
	"VISUAL",
};

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void record(struct state_out *s, const char *key, const char *value)
{
	state_put(s, key, strlen(key));
	state_put(s, value, strlen(value) + 1);
}

static void record_number(struct state_out *s, const char *key, u64 value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	record(s, key, text);
}

static void record_stream(struct state_out *s, const char *key,
			  enum stream_of_ours kind)
{
	static const char *const word[] = {
		[STREAM_OURS_NONE] = "none",
		[STREAM_OURS_PIPE] = "pipe",
		[STREAM_OURS_TTY] = "tty",
		[STREAM_OURS_SAME] = "stdout",
	};

	record(s, key, word[kind]);
}

/* Whether one of those from @i on has that name */
static bool env_given(const struct run_options *o, unsigned int i, const char *name,
		      size_t len)
{
	for (; i < o->nr_env; i++)
		if (!strncmp(o->env[i], name, len) &&
		    (!o->env[i][len] || o->env[i][len] == '='))
			return true;
	return false;
}

/* Of @p, who is another than we are; NULL for nobody, or one that is not known */
static const char *env_value(const struct passwd *p, const char *name)
{
	if (p && !strcmp(name, "HOME"))
		return p->pw_dir;
	if (p && (!strcmp(name, "USER") || !strcmp(name, "LOGNAME")))
		return p->pw_name;
	/* Who is not to log in gets what init takes instead. */
	if (p && !strcmp(name, "SHELL"))
		return strstr(p->pw_shell, "/nologin") ||
		       strstr(p->pw_shell, "/false") ? NULL : p->pw_shell;
	return getenv(name);
}

static void put_env(struct state_out *s, const struct run_options *o,
		    const struct passwd *p)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(env_names); i++) {
		const char *v = env_value(p, env_names[i]);

		if (!v && !strcmp(env_names[i], "PATH"))
			v = PATH_DEFAULT;
		if (!v || env_given(o, 0, env_names[i], strlen(env_names[i])))
			continue;
		state_put(s, "env=", 4);
		state_put(s, env_names[i], strlen(env_names[i]));
		record(s, "=", v);
	}
	for (char **e = environ; *e; e++)
		if (!strncmp(*e, "LC_", 3) &&
		    !env_given(o, 0, *e, strcspn(*e, "=")))
			record(s, "env=", *e);
	for (unsigned int i = 0; i < o->nr_env; i++) {
		const char *v = strchr(o->env[i], '=') ? "" : getenv(o->env[i]);

		/* The last of a name counts. */
		if (!v || env_given(o, i + 1, o->env[i], strcspn(o->env[i], "=")))
			continue;
		state_put(s, "env=", 4);
		state_put(s, o->env[i], strlen(o->env[i]));
		if (!strchr(o->env[i], '='))
			state_put(s, "=", 1);
		record(s, "", v);
	}
}

/* Where the guest would find the command, which takes it longer: the root is ours. */
static void put_file(struct state_out *s, const struct run_options *o)
{
	const char *name = o->command ? o->command[0] : "", *dir = getenv("PATH");
	char file[DISCOVER_PATH];
	struct stat st;

	if (!dir || !*name || strchr(name, '/') || o->initrd || o->root ||
	    o->root_disk || o->own || env_given(o, 0, "PATH", 4))
		return;
	/* Others, and empty ones, are the command's directory, which init knows. */
	for (; *dir == '/'; dir += *dir == ':') {
		int len = (int)strcspn(dir, ":");
		int n = snprintf(file, sizeof(file), "%.*s/%s", len, dir, name);

		dir += len;
		if (n < (int)sizeof(file) && !stat(file, &st) && S_ISREG(st.st_mode) &&
		    !access(file, X_OK)) {
			record(s, "file=", file);
			return;
		}
	}
}

static void put_own_ids(struct state_out *s)
{
	gid_t group[GUEST_PROTO_GROUPS];
	int n = getgroups(ARRAY_SIZE(group), group);

	if (n < 0)
		fprintf(stderr, "lkvm: more than %d groups: the command has none\n",
			GUEST_PROTO_GROUPS);
	record_number(s, "uid=", getuid());
	record_number(s, "gid=", getgid());
	for (int i = 0; i < n; i++)
		record_number(s, "group=", group[i]);
}

/* Groups that name @user; read as files, so that no module is loaded for it. */
static void put_groups(struct state_out *s, const char *user)
{
	FILE *f = fopen("/etc/group", "re");
	struct group *g;
	unsigned int n = 0;

	while (f && n < GUEST_PROTO_GROUPS && (g = fgetgrent(f))) {
		for (char **m = g->gr_mem; *m; m++) {
			if (strcmp(*m, user))
				continue;
			record_number(s, "group=", g->gr_gid);
			n++;
		}
	}
	if (f)
		fclose(f);
}

/* All but -1, which to the kernel means none. Return: what is behind it, NULL */
static const char *id_parse(const char *s, u32 *id)
{
	u64 n = 0;
	const char *p;

	for (p = s; *p >= '0' && *p <= '9' && n < UINT32_MAX; p++)
		n = n * 10 + (*p - '0');
	*id = n;
	return p > s && n < UINT32_MAX ? p : NULL;
}

/* "NAME", whose entry is in *@of then, "UID" or "UID:GID" */
static int put_user(struct state_out *s, const char *user,
		    const struct passwd **of, struct report *r)
{
	FILE *f = fopen("/etc/passwd", "re");
	const char *rest;
	struct passwd *p;
	u32 uid, gid;

	while (f && (p = fgetpwent(f)) && strcmp(p->pw_name, user))
		;
	if (f && p) {
		*of = p;
		record_number(s, "uid=", p->pw_uid);
		record_number(s, "gid=", p->pw_gid);
		fclose(f);
		put_groups(s, user);
		return 0;
	}
	if (f)
		fclose(f);
	rest = id_parse(user, &uid);
	gid = uid;
	if (rest && *rest == ':')
		rest = id_parse(rest + 1, &gid);
	if (!rest || *rest)
		return report_error(r, 0, "--user: no user %s, and not UID:GID in numbers", user);
	record_number(s, "uid=", uid);
	record_number(s, "gid=", gid);
	return 0;
}

static void put_directory(struct state_out *s, const struct run_options *o,
			  const struct passwd *p)
{
	const char *home = env_value(p, "HOME");
	char cwd[4096];

	if (o->chdir)
		record(s, "cwd=", o->chdir);
	else if (o->own && home)
		record(s, "cwd=?", home);
	else if (getcwd(cwd, sizeof(cwd)))
		record(s, "cwd=?", cwd);
}

static void put_size(struct state_out *s)
{
	struct winsize w;

	for (int fd = 0; fd < 3; fd++) {
		if (ioctl(fd, TIOCGWINSZ, &w))
			continue;
		record_number(s, "rows=", w.ws_row);
		record_number(s, "cols=", w.ws_col);
		return;
	}
}

static bool is_there(const char *dir, const char *name)
{
	char path[DISCOVER_PATH + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return !access(path, F_OK);
}

/* Where modules of the kernel of @c are. Return: whether there is such a place */
static bool modules_dir(const struct run_config *c, char *dir, size_t size)
{
	const char *kernel = c->machine.kernel;
	char release[128];

	if (image_build_dir(kernel, dir, size) && is_there(dir, "modules.builtin"))
		return true;
	discover_release(kernel, release, sizeof(release));
	snprintf(dir, size, "/lib/modules/%s", release);
	return *release && is_there(dir, "modules.dep");
}

/*
 * Drivers, and what they are configured by; the first ones are what the port needs.
 * @init_says: the guest's init misses it by itself; @id: of the devices it is for
 */
#define DRIVERS_OF_PORT 3
static const struct {
	const char *name;
	const char *option;
	bool init_says;
	u32 id;
} drivers[] = {
	{ "virtio_pci", "VIRTIO_PCI", false, 0 },
	{ "virtio_mmio", "VIRTIO_MMIO", false, 0 },
	{ "virtio_console", "VIRTIO_CONSOLE", false, 0 },
	{ "virtiofs", "VIRTIO_FS", true, VIRTIO_ID_FS },
	{ "9pnet_virtio", "NET_9P_VIRTIO", true, VIRTIO_ID_9P },
	{ "virtio_blk", "VIRTIO_BLK", false, VIRTIO_ID_BLOCK },
	{ "virtio_net", "VIRTIO_NET", true, VIRTIO_ID_NET },
	{ "virtio_rng", "HW_RANDOM_VIRTIO", false, VIRTIO_ID_RNG },
	{ "virtio_balloon", "VIRTIO_BALLOON", false, VIRTIO_ID_BALLOON },
	{ "vmw_vsock_virtio_transport", "VIRTIO_VSOCKETS", false, VIRTIO_ID_VSOCK },
};

#define MODULES_WANTED 20

static unsigned int count_9p(const struct machine *m)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < m->nr_shares; i++)
		n += m->share[i].p9;
	return n;
}

/* What the file system that begins a disk is called; ext4 if it is not known. */
static const char *file_system(const char *disk)
{
	static const struct {
		const char *name;
		off_t at;
		const char *magic;
	} known[] = {
		{ "xfs", 0, "XFSB" },
		{ "squashfs", 0, "hsqs" },
		{ "erofs", 1024, "\xe2\xe1\xf5\xe0" },
		{ "f2fs", 1024, "\x10\x20\xf5\xf2" },
		{ "btrfs", 65600, "_BHRfS_M" },
	};
	int fd = open(disk, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *name = "ext4";
	char there[8];

	for (unsigned int i = 0; fd >= 0 && i < ARRAY_SIZE(known); i++) {
		size_t n = strlen(known[i].magic);

		if (pread(fd, there, n, known[i].at) == (ssize_t)n &&
		    !memcmp(there, known[i].magic, n))
			name = known[i].name;
	}
	if (fd >= 0)
		close(fd);
	return name;
}

static void modules_wanted(const struct machine *m, bool root_disk,
			   const char *name[MODULES_WANTED])
{
	const unsigned int nr_9p = count_9p(m);
	const struct {
		const char *name;
		bool wanted;
	} row[] = {
		{ "virtio_pci", m->transport == TRANSPORT_PCI },
		{ "virtio_mmio", m->transport == TRANSPORT_MMIO },
		{ "virtio_console", true },
		{ "virtiofs", m->nr_shares > nr_9p },
		{ "9pnet_virtio", nr_9p },
		{ "9p", nr_9p },
		{ "overlay", !root_disk },
		{ "virtio_blk", m->nr_disks },
		{ "crc32c_generic", root_disk },
		/* F2FS asks for it by its name, which no list of modules has. */
		{ "crc32_generic", root_disk },
		{ root_disk ? file_system(m->disk[0].opts.path) : "", root_disk },
		{ "virtio_net", m->nr_nets },
		{ "af_packet", m->nr_nets },
		{ "virtio_rng", m->rng },
		{ "virtio_balloon", m->balloon },
		{ "vmw_vsock_virtio_transport", m->vsock.cid },
	};
	unsigned int n = 0;

	static_assert(ARRAY_SIZE(row) < MODULES_WANTED, "and NULL");

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++)
		if (row[i].wanted)
			name[n++] = row[i].name;
	name[n] = NULL;
}

static bool is_missing(const struct modules *m, const char *name)
{
	for (unsigned int i = 0; m->known && i < m->nr_missing; i++) {
		if (!strcmp(m->missing[i], name))
			return true;
	}
	return false;
}

/* Whether the build in @dir is to have @option as a module */
static bool is_modular(const char *dir, const char *option)
{
	char line[DISCOVER_PATH + 64], want[64];
	bool found = false;
	FILE *f;

	snprintf(line, sizeof(line), "%s/.config", dir);
	snprintf(want, sizeof(want), "CONFIG_%s=m\n", option);
	f = fopen(line, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = !strcmp(line, want);
	if (f)
		fclose(f);
	return found;
}

/* The virtio port needs a bus and a driver. */
static void say_missing(struct run_config *c, const struct run_options *o,
			const struct modules *m, const char *dir)
{
	enum machine_control *control = &c->machine.control;

	for (unsigned int i = 0; i < ARRAY_SIZE(drivers); i++) {
		struct kconfig_option k = { "", "", "" };
		bool port = i < DRIVERS_OF_PORT, modular;

		if (!is_missing(m, drivers[i].name) ||
		    (port && (o->control || *control == CONTROL_SERIAL)))
			continue;
		modular = is_modular(dir, drivers[i].option);
		if (drivers[i].init_says && !modular)
			continue;
		snprintf(k.name, sizeof(k.name), "%s", drivers[i].option);
		fprintf(stderr, "lkvm: the kernel has no %s (%s%s): %s\n",
			drivers[i].name, modular ? "make modules: CONFIG_" : "CONFIG_",
			k.name, port ? "the command's streams go over ttyS1, slowly" :
			kconfig_cost(&k));
		c->missing |= BIT(i);
		if (port)
			*control = CONTROL_SERIAL;
	}
}

void drivers_report(const struct run_config *c, const struct kvm *kvm, bool command)
{
	u32 said = c->missing;

	for (struct device *d = kvm->devices; d; d = d->next) {
		const struct virtio_device *dev = virtio_of(d);

		for (unsigned int i = DRIVERS_OF_PORT;
		     dev && !dev->driven && i < ARRAY_SIZE(drivers); i++) {
			if (drivers[i].id != dev->class->id || said & BIT(i) ||
			    (command && drivers[i].init_says))
				continue;
			said |= BIT(i);
			fprintf(stderr, "lkvm: %s: no guest driver bound to it (CONFIG_%s)\n",
				d->name, drivers[i].option);
		}
	}
}

/*
 * A kernel that is known to have 9P and no virtio-fs gets what the guest's init
 * mounts by that. Of one that nothing is known of virtio-fs is expected.
 */
static int find_modules(struct modules *m, struct run_config *c,
			const struct run_options *o, const char *dir,
			struct report *r)
{
	struct modules other = { .nr = 0 };
	struct machine by_9p = c->machine;
	const char *name[MODULES_WANTED];
	int err;

	modules_wanted(&c->machine, o->root_disk, name);
	err = modules_resolve(m, dir, name, r);
	if (err || !is_missing(m, "virtiofs"))
		return err;
	shares_by_9p(&by_9p, o);
	modules_wanted(&by_9p, o->root_disk, name);
	err = modules_resolve(&other, dir, name, r);
	if (err || is_missing(&other, "9pnet_virtio") ||
	    is_missing(&other, "9p")) {
		modules_free(&other);
		return err;
	}
	modules_free(m);
	*m = other;
	c->machine = by_9p;
	return 0;
}

static int put_module(struct state_out *s, struct initramfs *a, const char *from,
		      struct report *r)
{
	const char *base = strrchr(from, '/');
	char path[256];
	size_t len;
	void *data;
	int err;

	snprintf(path, sizeof(path), GUEST_PROTO_DIR "/modules/%.200s",
		 base ? base + 1 : from);
	err = modules_read(from, &data, &len, r);
	if (err)
		return err;
	initramfs_file(a, path, 0600, data, len);
	free(data);
	record(s, "module=/", path);
	return 0;
}

static int put_modules(struct state_out *s, struct run_config *c,
		       const struct run_options *o, struct report *r)
{
	char dir[DISCOVER_PATH];
	struct modules m = { .nr = 0 };
	int err;

	if (!modules_dir(c, dir, sizeof(dir)))
		return 0;
	err = find_modules(&m, c, o, dir, r);
	if (!err)
		say_missing(c, o, &m, dir);
	initramfs_dir(&c->archive, GUEST_PROTO_DIR "/modules", 0700);
	for (unsigned int i = 0; i < m.nr && !err; i++)
		err = put_module(s, &c->archive, m.path[i], r);
	modules_free(&m);
	return err;
}

/*
 * --rw and --ro are at the same place in the guest; they may be below what is at
 * another one.
 */
static int put_shares(struct state_out *s, const struct run_options *o,
		      struct report *r)
{
	char path[DISCOVER_PATH];

	for (unsigned int i = 0; i < o->nr_shares; i++) {
		if (!o->share_at[i])
			continue;
		state_put(s, "rw=", 3);
		state_put(s, o->share[i].tag, strlen(o->share[i].tag));
		record(s, ":", o->share_at[i]);
	}
	for (unsigned int i = 0; i < o->nr_shares; i++) {
		const struct machine_share *share = &o->share[i];

		if (o->share_at[i] || !share_is_mounted(o, i))
			continue;
		if (!realpath(share->path, path))
			return report_error(r, errno, "share %s", share->path);
		/* What is mounted over the root is seen by nobody. */
		if (!path[1])
			return report_error(r, 0, "share /: is not below the root");
		state_put(s, share->readonly ? "ro=" : "rw=", 3);
		state_put(s, share->tag, strlen(share->tag));
		record(s, ":", path);
	}
	return 0;
}

static const char *root_word(const struct run_options *o)
{
	if (o->root_disk && o->disk[0].opts.readonly)
		return "disk:/dev/vda,ro";
	if (o->root_disk)
		return "disk:/dev/vda";
	return o->initrd ? "initramfs" : "auto";
}

int guest_records(struct state_out *s, const struct run_options *o,
		  const enum stream_of_ours kind[3], struct report *r)
{
	const struct passwd *user = NULL;
	mode_t mask = umask(0);
	int err = 0;

	umask(mask);
	if (o->user)
		err = put_user(s, o->user, &user, r);
	else
		put_own_ids(s);
	record_number(s, "umask=", mask);
	record_stream(s, "stdin=", kind[0]);
	record_stream(s, "stdout=", kind[1]);
	record_stream(s, "stderr=", kind[2]);
	put_size(s);
	put_directory(s, o, user);
	put_env(s, o, user);
	for (char **arg = o->command; arg && *arg; arg++)
		record(s, "arg=", *arg);
	if (!err && s->len >= GUEST_PROTO_CONFIG_MAX)
		err = report_error(r, E2BIG, "the command and its environment");
	return err;
}

static int put_config(struct state_out *s, const struct run_options *o,
		      const struct run_config *c,
		      const enum stream_of_ours kind[3], struct report *r)
{
	int err;

	record(s, "hostname=", c->machine.name);
	record(s, "root=", root_word(o));
	/* passt answers; who is behind the others is the user's to know. */
	for (unsigned int i = 0; i < o->nr_nets; i++)
		record(s, "net=", o->net[i].kind == NET_USER ? "dhcp" : "up");
	if (c->machine.control == CONTROL_SERIAL)
		record(s, "port=", "serial");
	if (o->fail_on)
		record(s, "klog=", "1");
	put_file(s, o);
	err = put_shares(s, o, r);
	return err ? err : guest_records(s, o, kind, r);
}

int guest_archive(struct run_config *c, const struct run_options *o,
		  const enum stream_of_ours kind[3], struct report *r)
{
	struct state_out config = { 0 };
	struct initramfs *a = &c->archive;
	size_t len;
	u8 *init = guest_init(&len);
	int err;

	initramfs_dir(a, "dev", 0755);
	initramfs_char(a, "dev/console", 0600, 5, 1);
	initramfs_dir(a, GUEST_PROTO_DIR, 0700);
	initramfs_file(a, GUEST_PROTO_INIT, 0700, init, init ? len : 0);
	free(init);
	err = init ? put_modules(&config, c, o, r) : -ENOMEM;
	if (!err)
		err = put_config(&config, o, c, kind, r);
	if (!err && config.err)
		err = config.err;
	if (!err) {
		initramfs_file(a, GUEST_PROTO_CONFIG, 0600, config.buf,
			       config.len);
		err = initramfs_finish(a);
	}
	state_out_free(&config);
	c->machine.archive = a->data;
	c->machine.archive_len = a->len;
	return err ? report_error(r, -err, "initramfs") : 0;
}
