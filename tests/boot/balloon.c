// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Runs a guest with a balloon and plays the host that sets its target, which no
 * command does yet. The machine is put together as lkvm run does it. The guest
 * (guest/balloon.sh) takes commands on the serial port, one line each, and
 * answers "DONE COMMAND". What the process has of memory is in /proc/self/statm,
 * opened before the process is sealed. Prints KTAP.
 *
 *	balloon KERNEL INITRD inflate|report|oom
 *
 * The main thread does it all; vCPUs append to a buffer of what the guest said.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/virtio_balloon.h>
#include "kvm/arch.h"
#include "kvm/hw.h"
#include "kvm/virtio.h"

#define MIB SZ_1M
#define PATIENCE 200

static int statm_fd;

struct host {
	struct kvm *kvm;
	struct virtio_device *balloon;
	pthread_mutex_t lock;	/* guards what the guest said */
	char said[65536];
	size_t len;
	size_t seen;
	unsigned int nr;
	unsigned int bad;
};

static void heard(void *opaque, const void *d, size_t len)
{
	struct host *h = opaque;

	pthread_mutex_lock(&h->lock);
	len = MIN(len, sizeof(h->said) - 1 - h->len);
	memcpy(h->said + h->len, d, len);
	h->len += len;
	pthread_mutex_unlock(&h->lock);
}

static void logged(void *opaque, const char *line)
{
	(void)opaque;
	printf("# %s\n", line);
}

static void result(struct host *h, const char *name, bool ok)
{
	printf("%sok %u %s\n", ok ? "" : "not ", ++h->nr, name);
	h->bad += !ok;
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
}

static u64 resident(void)
{
	unsigned long size, rss = 0;
	char text[128];
	ssize_t n = pread(statm_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = 0;
	if (sscanf(text, "%lu %lu", &size, &rss) != 2)
		return 0;
	return rss * 4096ULL;
}

static bool wait_said(struct host *h, const char *text)
{
	bool found = false;

	for (unsigned int i = 0; i < PATIENCE * 20 && !found; i++) {
		char *at;

		nap();
		pthread_mutex_lock(&h->lock);
		h->said[h->len] = 0;
		at = strstr(h->said + h->seen, text);
		if (at)
			h->seen = at + strlen(text) - h->said;
		pthread_mutex_unlock(&h->lock);
		found = at;
		if (h->kvm->end != VM_END_NONE)
			break;
	}
	if (!found)
		printf("# the guest did not say %s\n", text);
	return found;
}

/* The guest's shell does @command. */
static bool tell(struct host *h, const char *command)
{
	char line[64];
	size_t done = 0, len;

	snprintf(line, sizeof(line), "%s\n", command);
	len = strlen(line);
	for (unsigned int i = 0; i < PATIENCE * 20 && done < len; i++) {
		done += serial_input(h->kvm->console_serial, line + done,
				     len - done);
		if (done < len)
			nap();
	}
	snprintf(line, sizeof(line), "DONE %s", command);
	return wait_said(h, line);
}

static bool wait_actual(struct host *h, u64 bytes)
{
	for (unsigned int i = 0; i < PATIENCE * 20; i++) {
		if (virtio_balloon_actual(h->balloon) == bytes)
			return true;
		nap();
	}
	printf("# actual is %llu MiB, not %llu MiB\n",
	       (unsigned long long)(virtio_balloon_actual(h->balloon) / MIB),
	       (unsigned long long)(bytes / MIB));
	return false;
}

static bool fell(const char *what, u64 from, u64 by, unsigned int seconds)
{
	u64 now = resident();

	for (unsigned int i = 0; i < seconds * 20 && now + by > from; i++) {
		nap();
		now = resident();
	}
	printf("# %s: resident %llu MiB, then %llu MiB\n", what,
	       (unsigned long long)(from / MIB),
	       (unsigned long long)(now / MIB));
	return now + by <= from;
}

static bool rose(const char *what, u64 from, u64 by)
{
	u64 now = resident();

	printf("# %s: resident %llu MiB, then %llu MiB\n", what,
	       (unsigned long long)(from / MIB),
	       (unsigned long long)(now / MIB));
	return now >= from + by;
}

static void test_stats(struct host *h)
{
	struct virtio_balloon_stats s;
	u64 seq;

	virtio_balloon_get_stats(h->balloon, &s);
	seq = s.seq;
	result(h, "balloon_statistics_can_be_asked_for",
	       !virtio_balloon_request_stats(h->balloon));
	for (unsigned int i = 0; i < PATIENCE * 20 && s.seq == seq; i++) {
		nap();
		virtio_balloon_get_stats(h->balloon, &s);
	}
	printf("# statistics: %llu MiB in all, %llu MiB free\n",
	       (unsigned long long)(s.value[VIRTIO_BALLOON_S_MEMTOT] / MIB),
	       (unsigned long long)(s.value[VIRTIO_BALLOON_S_MEMFREE] / MIB));
	result(h, "balloon_statistics_are_those_of_the_guest",
	       s.seq > seq && s.valid & BIT(VIRTIO_BALLOON_S_MEMFREE) &&
	       s.value[VIRTIO_BALLOON_S_MEMTOT] > 128 * MIB &&
	       s.value[VIRTIO_BALLOON_S_MEMTOT] < 256 * MIB &&
	       s.value[VIRTIO_BALLOON_S_MEMFREE] <
	       s.value[VIRTIO_BALLOON_S_MEMTOT]);
}

static void test_inflate(struct host *h)
{
	u64 full, empty;

	result(h, "balloon_guest_fills_and_drops",
	       tell(h, "fill") && tell(h, "drop"));
	full = resident();
	virtio_balloon_set_target(h->balloon, 150 * MIB);
	result(h, "balloon_reaches_its_target", wait_actual(h, 150 * MIB));
	result(h, "balloon_memory_falls",
	       fell("inflated", full, 120 * MIB, 1));
	empty = resident();
	virtio_balloon_set_target(h->balloon, 0);
	result(h, "balloon_deflates", wait_actual(h, 0));
	result(h, "balloon_guest_fills_again", tell(h, "fill"));
	result(h, "balloon_memory_comes_back",
	       rose("deflated, filled", empty, 100 * MIB));
	test_stats(h);
}

static void test_report(struct host *h)
{
	u64 full, empty;

	result(h, "reporting_guest_fills", tell(h, "fill"));
	full = resident();
	result(h, "reporting_guest_drops", tell(h, "drop"));
	result(h, "reporting_memory_falls",
	       fell("reported", full, 100 * MIB, PATIENCE));
	empty = resident();
	result(h, "reporting_guest_fills_again", tell(h, "fill"));
	result(h, "reporting_memory_comes_back",
	       rose("filled", empty, 80 * MIB));
}

static void test_oom(struct host *h)
{
	u64 actual;

	virtio_balloon_set_target(h->balloon, 150 * MIB);
	result(h, "oom_balloon_reaches_its_target", wait_actual(h, 150 * MIB));
	result(h, "oom_guest_gets_memory_nonetheless", tell(h, "eat"));
	actual = virtio_balloon_actual(h->balloon);
	printf("# balloon after the guest ran short: %llu MiB\n",
	       (unsigned long long)(actual / MIB));
	result(h, "oom_balloon_gave_way", actual < 150 * MIB);
}

static int add_balloon(struct host *h, bool reporting, struct report *r)
{
	const struct virtio_balloon_opts o = { .reporting = reporting };
	struct kvm *kvm = h->kvm;
	int err;

	err = virtio_device_create(&h->balloon, &virtio_balloon_class,
				   "balloon", &o, &kvm->virtio_env, r);
	if (!err)
		err = arch_add_virtio(kvm, &h->balloon->dev, r);
	if (!err)
		kvm_add_device(kvm, &h->balloon->dev);
	return err;
}

static int start(struct host *h, const struct machine *m, bool reporting,
		 struct report *r)
{
	static const struct vm_log log = { logged, NULL };
	const struct console_ops console = { .output = heard, .opaque = h };
	int err = kvm_create(&h->kvm, m, &log, &console, r);

	if (!err)
		err = arch_platform_init(h->kvm, r);
	if (!err)
		err = add_balloon(h, reporting, r);
	if (!err)
		err = arch_platform_finish(h->kvm, r);
	if (!err)
		err = arch_load(h->kvm, r);
	if (!err)
		err = kvm_seal(h->kvm, r);
	return err ? err : kvm_start(h->kvm, r);
}

static void ignore(int sig)
{
	(void)sig;
}

int main(int argc, char **argv)
{
	struct machine m = {
		.name = "balloon", .mem = 256 * MIB, .nr_cpus = 1,
		.cmdline = "console=ttyS0 panic=-1 loglevel=4 lkvm.test=balloon",
	};
	static struct host h;
	struct report r = { "" };
	const char *mode = argc == 4 ? argv[3] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGUSR1, ignore);
	pthread_mutex_init(&h.lock, NULL);
	statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (argc != 4 || statm_fd < 0)
		return 125;
	m.kernel = argv[1];
	m.initrd = argv[2];
	printf("KTAP version 1\n");
	if (start(&h, &m, !strcmp(mode, "report"), &r)) {
		printf("# %s\nnot ok 1 balloon_vm_starts\n1..1\n", r.msg);
		return 1;
	}
	result(&h, "balloon_guest_is_ready", wait_said(&h, "READY"));
	if (!strcmp(mode, "report"))
		test_report(&h);
	else if (!strcmp(mode, "oom"))
		test_oom(&h);
	else
		test_inflate(&h);
	result(&h, "balloon_guest_ends", tell(&h, "end") &&
	       wait_said(&h, "RESULT balloon ok"));
	if (h.bad)
		printf("# the guest said:\n%s\n", h.said);
	kvm_stop(h.kvm);
	kvm_destroy(h.kvm);
	printf("1..%u\n", h.nr);
	return h.bad ? 1 : 0;
}
