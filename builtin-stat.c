// SPDX-License-Identifier: GPL-2.0-only
/*
 * lkvm stat: what is counted of a VM.
 *
 * Theory of operation: the handler puts together what there is: exits that came
 * to this process, by reason and by the range of the bus that they were for; what
 * went through the queues of each virtio device, as the framework counts it; time
 * of each vCPU's thread; and all that KVM counts by itself. Counters are read
 * while others write them: each is right by itself, and they are not of the same
 * moment. Nothing is added up between two calls; with --watch the command
 * subtracts, but not what it prints for programs.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "kvm/kvm-cpu.h"
#include "kvm/kvm-stats.h"
#include "kvm/virtio.h"
#include "lkvm.h"

#define VALUES 0x4000
#define INTERVAL_MAX 86400

static u64 load(const u64 *v)
{
	return __atomic_load_n(v, __ATOMIC_RELAXED);
}

static void put_kvm_value(void *opaque, const char *name, u64 value)
{
	json_put_number(opaque, name, value);
}

static void put_cpu(struct json_out *o, const struct kvm_cpu *cpu)
{
	static const char *const names[CPU_EXITS] = {
		[CPU_EXIT_PIO] = "exits_pio",
		[CPU_EXIT_MMIO] = "exits_mmio",
		[CPU_EXIT_KICK] = "exits_kick",
		[CPU_EXIT_OTHER] = "exits_other",
	};

	json_open(o, NULL, '{');
	json_put_number(o, "id", cpu->id);
	json_put_number(o, "time_ns", kvm_cpu_time(cpu));
	json_put_number(o, "exits", load(&cpu->exits));
	for (unsigned int i = 0; i < CPU_EXITS; i++)
		json_put_number(o, names[i], load(&cpu->exits_by[i]));
	json_open(o, "kvm", '{');
	kvm_stats_read(cpu->stats_fd, put_kvm_value, o);
	json_close(o, '}');
	json_close(o, '}');
}

/* A device's own struct begins with its struct device. */
static const char *range_owner(const struct kvm *kvm, const struct io_range *r)
{
	for (const struct device *d = kvm->devices; d; d = d->next)
		if (r->opaque == d)
			return d->name;
	return NULL;
}

static void put_ranges(struct json_out *o, const struct kvm *kvm,
		       struct io_bus *bus, const char *name)
{
	struct io_range r;

	for (u64 at = 0; io_bus_get(bus, at, &r); at = r.start + 1) {
		if (!r.hits)
			continue;
		json_open(o, NULL, '{');
		json_put_string(o, "bus", name);
		json_put_number(o, "start", r.start);
		json_put_number(o, "size", r.size);
		json_put_string(o, "device", range_owner(kvm, &r));
		json_put_number(o, "count", r.hits);
		json_close(o, '}');
	}
}

static void put_device(struct json_out *o, const struct virtio_device *dev)
{
	struct virtqueue_count sum = { 0 };

	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		sum.chains += load(&dev->queue[i].count.chains);
		sum.out += load(&dev->queue[i].count.out);
		sum.in += load(&dev->queue[i].count.in);
		sum.signals += load(&dev->queue[i].count.signals);
	}
	json_open(o, NULL, '{');
	json_put_string(o, "name", dev->dev.name);
	json_put_string(o, "kind", dev->class->name);
	json_put_number(o, "requests", sum.chains);
	json_put_number(o, "from_guest", sum.out);
	json_put_number(o, "to_guest", sum.in);
	json_put_number(o, "interrupts", sum.signals);
	json_close(o, '}');
}

/* Once; the files of vCPUs are to be had only while those do not run. */
static void open_stats(struct vm_control *v)
{
	struct kvm *kvm = v->kvm;
	bool resume;

	if (v->stats_tried)
		return;
	v->stats_tried = true;
	resume = !kvm_pause(kvm);
	v->stats_fd = kvm_stats_open(kvm->vm_fd);
	for (unsigned int i = 0; i < kvm->nr_cpus; i++)
		kvm->cpus[i].stats_fd = kvm_stats_open(kvm->cpus[i].fd);
	if (resume)
		kvm_resume(kvm);
}

void vm_stat(struct control_call *call)
{
	struct kvm *kvm = control_kvm(call);
	struct vm_control *v = call->vm;
	struct json_out *o = call->out;

	if (!kvm)
		return;
	open_stats(v);
	json_put_number(o, "uptime_ms", (now_ns() - v->start) / NSEC_PER_MSEC);
	json_put_number(o, "memory", kvm->ram_size);
	json_put_number(o, "resident", vm_resident(v));
	json_open(o, "cpus", '[');
	for (unsigned int i = 0; i < kvm->nr_cpus; i++)
		put_cpu(o, &kvm->cpus[i]);
	json_close(o, ']');
	json_open(o, "exits", '[');
	put_ranges(o, kvm, &kvm->pio, "pio");
	put_ranges(o, kvm, &kvm->mmio, "mmio");
	json_close(o, ']');
	json_open(o, "devices", '[');
	for (struct device *d = kvm->devices; d; d = d->next)
		if (d->is_virtio)
			put_device(o, virtio_of(d));
	json_close(o, ']');
	json_open(o, "kvm", '{');
	kvm_stats_read(v->stats_fd, put_kvm_value, o);
	json_close(o, '}');
}

struct stat_options {
	bool json;
	bool watch;
	long interval;
};

const struct option_desc stat_options[] = {
	{ "json", 0, OPT_FLAG, NULL, "print JSON, with all that KVM counts",
	  offsetof(struct stat_options, json), NULL },
	{ "watch", 0, OPT_FLAG, NULL,
	  "again and again, as what was added meanwhile; JSON: in all",
	  offsetof(struct stat_options, watch), NULL },
	{ "interval", 0, OPT_TIME, "TIME", "of --watch, 1s by default",
	  offsetof(struct stat_options, interval), NULL },
	{ NULL, 0, OPT_FLAG, NULL, NULL, 0, NULL },
};

/** struct sample - an answer, taken apart */
struct sample {
	char *text;
	struct json_value *value;
};

static void sample_free(struct sample *s)
{
	free(s->text);
	free(s->value);
	*s = (struct sample){ 0 };
}

static int sample_get(struct lkvm *vm, const char *name, struct sample *s)
{
	struct json_doc doc = { .max = VALUES };
	int err = vm_call(vm, name, "vm.stat", NULL, &s->text);

	if (err)
		return err;
	s->value = calloc(VALUES, sizeof(*s->value));
	doc.value = s->value;
	if (s->value && !json_parse(&doc, s->text, strlen(s->text)))
		return 0;
	return fail_with(name, "answer not understood");
}

/* In the array @list: the one whose @key is as in @like */
static const struct json_value *same(const struct json_value *list,
				     const char *key,
				     const struct json_value *like)
{
	const char *name = json_string_of(like, key);

	for (const struct json_value *v = json_first(list); v;
	     v = json_next(list, v)) {
		const char *n = json_string_of(v, key);

		if (name ? n && !strcmp(n, name) :
		    json_number_of(v, key) == json_number_of(like, key))
			return v;
	}
	return NULL;
}

/* What counts less than before is new, by the name of what was there before. */
static unsigned long long diff(const struct json_value *now,
			       const struct json_value *before, const char *key)
{
	u64 n = json_number_of(now, key), was = json_number_of(before, key);

	return n < was ? n : n - was;
}

static void print_cpus(const struct json_value *now,
		       const struct json_value *before)
{
	const struct json_value *list = json_member(now, "cpus");

	printf("%-12s %10s %10s %10s %10s %10s %10s %10s\n", "CPU", "TIME ms",
	       "KVM EXITS", "HALTS", "HERE", "PIO", "MMIO", "OTHER");
	for (const struct json_value *c = json_first(list); c;
	     c = json_next(list, c)) {
		const struct json_value *b =
			same(json_member(before, "cpus"), "id", c);
		const struct json_value *k = json_member(c, "kvm");
		const struct json_value *kb = json_member(b, "kvm");

		printf("%-12llu %10llu %10llu %10llu %10llu %10llu %10llu %10llu\n",
		       (unsigned long long)json_number_of(c, "id"),
		       diff(c, b, "time_ns") / NSEC_PER_MSEC, diff(k, kb, "exits"),
		       diff(k, kb, "halt_exits"), diff(c, b, "exits"),
		       diff(c, b, "exits_pio"), diff(c, b, "exits_mmio"),
		       diff(c, b, "exits_kick") + diff(c, b, "exits_other"));
	}
}

static void print_devices(const struct json_value *now,
			  const struct json_value *before)
{
	const struct json_value *list = json_member(now, "devices");

	if (json_first(list))
		printf("\n%-12s %10s %14s %14s %10s\n", "DEVICE", "REQUESTS",
		       "FROM GUEST", "TO GUEST", "INTERRUPTS");
	for (const struct json_value *d = json_first(list); d;
	     d = json_next(list, d)) {
		const struct json_value *b =
			same(json_member(before, "devices"), "name", d);

		printf("%-12s %10llu %14llu %14llu %10llu\n",
		       json_string_of(d, "name"), diff(d, b, "requests"),
		       diff(d, b, "from_guest"), diff(d, b, "to_guest"),
		       diff(d, b, "interrupts"));
	}
}

static void print_exits(const struct json_value *now,
			const struct json_value *before)
{
	const struct json_value *list = json_member(now, "exits");

	if (json_first(list))
		printf("\n%-12s %-5s %10s %10s\n", "EXITS TO", "BUS", "AT",
		       "COUNT");
	for (const struct json_value *e = json_first(list); e;
	     e = json_next(list, e)) {
		const struct json_value *b =
			same(json_member(before, "exits"), "start", e);
		const char *device = json_string_of(e, "device");

		printf("%-12s %-5s %#10llx %10llu\n", device ? device : "-",
		       json_string_of(e, "bus"),
		       (unsigned long long)json_number_of(e, "start"),
		       diff(e, b, "count"));
	}
}

static void print_sample(const struct sample *now, const struct sample *before)
{
	const struct json_value *v = now->value, *b = before->value;

	printf("memory %lluM, %lluM of it and of lkvm in use; up %llu s\n\n",
	       (unsigned long long)json_number_of(v, "memory") / SZ_1M,
	       (unsigned long long)json_number_of(v, "resident") / SZ_1M,
	       (unsigned long long)json_number_of(v, "uptime_ms") / 1000);
	print_cpus(v, b);
	print_devices(v, b);
	print_exits(v, b);
}

static int stat_run(struct lkvm *vm, const char *name,
		    const struct stat_options *o)
{
	struct sample now = { 0 }, before = { 0 };
	int wait = o->interval < 0 ? 1 : o->interval;
	int err;

	for (;;) {
		if (o->json) {
			err = vm_call(vm, name, "vm.stat", NULL, &now.text);
			if (!err)
				printf("%s\n", now.text);
		} else {
			err = sample_get(vm, name, &now);
			if (!err)
				print_sample(&now, &before);
		}
		err = status_of_output(err);
		sample_free(&before);
		before = now;
		now = (struct sample){ 0 };
		if (err || !o->watch)
			break;
		poll(NULL, 0, wait * 1000);
		if (!o->json)
			printf("\n");
	}
	sample_free(&before);
	return err;
}

int cmd_stat(int argc, char **argv)
{
	struct stat_options o = { .interval = -1 };
	const char *name = vm_name(stat_options, argc, argv, &o);
	struct lkvm *vm;
	int err;

	if (name && (!o.interval || o.interval > INTERVAL_MAX ||
		     (o.interval > 0 && !o.watch)))
		return fail_with("stat: --interval",
				 o.watch ? "not 1s to 24h" : "needs --watch");
	vm = name ? vm_connect(name) : NULL;
	err = vm ? stat_run(vm, name, &o) : STATUS_ERROR;
	lkvm_close(vm);
	return err;
}
