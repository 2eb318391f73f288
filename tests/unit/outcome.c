// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a kernel's log is taken for, and the table of exit statuses.
 */
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include "kvm/kvm.h"
#include "kvm/outcome.h"
#include "tests/unit/test.h"

static struct klog *fed(const char *text)
{
	struct klog *k = calloc(1, sizeof(*k));

	klog_feed(k, text, strlen(text));
	return k;
}

TEST(reports_are_told_apart)
{
	static const struct {
		const char *line;
		u32 splat;
	} row[] = {
		{ "[    1.2] BUG: KASAN: slab-use-after-free in f", KLOG_KASAN },
		{ "<4>[    1.2][    T1] WARNING: CPU: 0 PID: 1 at f.c:1 f+0x1/0x2", KLOG_WARN },
		{ "[ 1.2] WARNING: possible circular locking dependency detected", KLOG_LOCKDEP },
		{ "[ 1.2] WARNING: bad unlock balance detected!", KLOG_LOCKDEP },
		{ "[ 1.2] WARNING: bad contention detected!", KLOG_LOCKDEP },
		{ "[ 1.2] WARNING: Nested lock was not taken", KLOG_LOCKDEP },
		{ "[ 1.2][    T9] WARNING: sh/9 still has locks held!", KLOG_LOCKDEP },
		{ "[ 1.2] [ BUG: Invalid wait context ]", KLOG_LOCKDEP },
		{ "[ 1.2][   C10] [ BUG: Invalid wait context ]", KLOG_LOCKDEP },
		{ "[ BUG: Invalid wait context ]", KLOG_LOCKDEP },
		{ "[drm] WARNING: of a driver's own", 0 },
		{ "[ 1.2] WARNING: suspicious RCU usage", KLOG_RCU },
		{ "[ 1.2] INFO: rcu_tasks detected stalls on tasks:", KLOG_RCU },
		{ "[ 1.2] INFO: rcu_tasks_trace detected stalls on tasks:", KLOG_RCU },
		{ "[ 1.2] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", KLOG_RCU },
		{ "[ 1.2] rcu: INFO: rcu_sched self-detected stall on CPU", KLOG_RCU },
		{ "[ 1.2] BUG: kernel NULL pointer dereference, address: 0", KLOG_OOPS },
		{ "[ 1.2] Oops: 0002 [#1] SMP", KLOG_OOPS },
		{ "[ 1.2] Oops: general protection fault", KLOG_OOPS },
		{ "[ 1.2] divide error: 0000 [#1] PREEMPT SMP PTI", KLOG_OOPS },
		{ "[ 1.2] stack segment: 0000 [#1] SMP", KLOG_OOPS },
		{ "[ 1.2] int3: 0000 [#1] SMP", KLOG_OOPS },
		{ "double fault: 0000 [#2] SMP", KLOG_OOPS },
		{ "[ 1.2] traps: a.out[7] trap divide error ip:1 sp:2 error:0 in a.out", 0 },
		{ "[ 1.2] BUG: sleeping function called from invalid context", KLOG_WARN },
		{ "[ 1.2] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!", KLOG_WARN },
		{ "[ 1.2] watchdog: Watchdog detected hard LOCKUP on cpu 3", KLOG_WARN },
		{ "[ 1.2] watchdog: CPU3: Watchdog detected hard LOCKUP on cpu 3", KLOG_WARN },
		{ "[ 1.2] INFO: task sh:1 blocked for more than 120 seconds.", KLOG_WARN },
		{ "[ 1.2] foo: WARNING: of a driver's own", 0 },
		{ "[ 1.2] systemd: all is well", 0 },
		{ "", 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		char text[200];
		struct klog *k;

		snprintf(text, sizeof(text), "%s\r\n", row[i].line);
		k = fed(text);
		EXPECT(k->splats == row[i].splat);
		free(k);
	}
}

/* What a driver or a program says of such a thing is not the kernel's report. */
TEST(reports_are_where_a_message_begins)
{
	static const struct {
		const char *text;
		u32 splat;
		bool anywhere;
	} row[] = {
		{ "BUG: KASAN: a", KLOG_KASAN, false },
		{ "BUG: KFENCE: a", KLOG_KASAN, false },
		{ "BUG: KMSAN: a", KLOG_KASAN, false },
		{ "UBSAN: a", KLOG_WARN, false },
		{ "WARNING: suspicious RCU usage", KLOG_RCU, false },
		{ "self-detected stall on CPU", KLOG_RCU, true },
		{ "detected stalls", KLOG_RCU, true },
		{ "detected expedited stalls", KLOG_RCU, true },
		{ "WARNING: possible circular locking", KLOG_LOCKDEP, false },
		{ "WARNING: possible recursive locking", KLOG_LOCKDEP, false },
		{ "WARNING: possible irq lock inversion", KLOG_LOCKDEP, false },
		{ "WARNING: inconsistent lock state", KLOG_LOCKDEP, false },
		{ "WARNING: bad unlock balance", KLOG_LOCKDEP, false },
		{ "WARNING: held lock freed", KLOG_LOCKDEP, false },
		{ "WARNING: lock held when returning to user", KLOG_LOCKDEP, false },
		{ "WARNING: bad contention detected", KLOG_LOCKDEP, false },
		{ "WARNING: Nested lock was not taken", KLOG_LOCKDEP, false },
		{ "WARNING: chain_key collision", KLOG_LOCKDEP, false },
		{ "INFO: trying to register non-static key", KLOG_LOCKDEP, false },
		{ "[ BUG: a", KLOG_LOCKDEP, false },
		{ "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe", KLOG_LOCKDEP, true },
		{ "BUG: unable to handle page fault", KLOG_OOPS, false },
		{ "BUG: kernel NULL pointer", KLOG_OOPS, false },
		{ "Unable to handle kernel paging", KLOG_OOPS, false },
		{ "kernel BUG at a", KLOG_OOPS, false },
		{ "general protection fault", KLOG_OOPS, false },
		{ "Oops: a", KLOG_OOPS, false },
		{ "invalid opcode: a", KLOG_OOPS, false },
		{ "BUG: soft lockup", KLOG_WARN, true },
		{ "BUG: a", KLOG_WARN, false },
		{ "WARNING: a", KLOG_WARN, false },
	};
	static const char *const none[] = { "<x>", "a1>", "<1", "[ 1.2", "[x] " };
	char text[200];
	struct klog *k;

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		snprintf(text, sizeof(text), "<4>[ 1.2] %s\n", row[i].text);
		k = fed(text);
		EXPECT(k->splats == row[i].splat);
		free(k);
		snprintf(text, sizeof(text), "[ 1.2] foo: %s\n", row[i].text);
		k = fed(text);
		EXPECT(k->splats == (row[i].anywhere ? row[i].splat : 0));
		free(k);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(none); i++) {
		snprintf(text, sizeof(text), "%sWARNING: a\n", none[i]);
		k = fed(text);
		EXPECT(!k->splats);
		free(k);
	}
}

/* The next boot has a log of its own. */
TEST(what_is_forgotten_comes_no_more)
{
	static const char text[] = "Oops: a\nKernel panic - not syncing: b\nhalf a ";
	struct klog *k = fed(text);

	EXPECT(k->panicked && k->splats && k->reporting && k->report_of);
	klog_forget(k);
	EXPECT(!k->panicked && !k->splats && !k->report_of && !k->report_len);
	klog_feed(k, "WARNING: c\n", 11);
	EXPECT(k->splats == KLOG_WARN && !k->reporting && !k->report_len);
	free(k);
}

TEST(panic_is_found_in_pieces)
{
	static const char text[] =
		"[ 1.0] Kernel panic - not syncing: Attempted to kill init!\r\nx\n";
	struct klog *k = calloc(1, sizeof(*k));

	for (const char *s = text; *s; s++)
		klog_feed(k, s, 1);
	EXPECT(k->panicked && !strcmp(k->panic, "Attempted to kill init!"));
	free(k);
}

TEST(text_has_no_control_characters)
{
	struct klog *k = fed("Kernel panic - not syncing: a\x1b]0;x\x07\x7f\tb\n"
			     "WARNING: \x1b[2J\n");

	EXPECT(!strcmp(k->panic, "a?]0;x??\tb"));
	EXPECT(!strcmp(k->first[1], "WARNING: ?[2J"));
	free(k);
	k = fed("Kernel panic - not syncing: a\302\2332J\2331m \xe2\x82\xac\n");
	EXPECT(!strcmp(k->panic, "a??2J?1m \xe2\x82\xac"));
	free(k);
}

TEST(first_report_is_kept_to_its_end)
{
	static const char text[] =
		"[ 1.0] before\n"
		"[ 1.1] WARNING: CPU: 0 PID: 1 at f.c:1\n[ 1.1] not wanted\n"
		"[ 1.2] BUG: KASAN: slab-use-after-free in f\r\n"
		"[ 1.2] Call Trace:\r\n[ 1.2]  f+0x1/0x2\r\n"
		"[ 1.2] ---[ end trace 0 ]---\r\n[ 1.3] after\r\n"
		"[ 1.4] Oops: 0002 [#1] SMP\r\n";
	struct klog *k = calloc(1, sizeof(*k));

	k->wanted = KLOG_KASAN;
	for (const char *s = text; *s; s++)
		klog_feed(k, s, 1);
	EXPECT(k->report_of == KLOG_KASAN && !k->reporting);
	EXPECT(!strcmp(k->report,
		       "[ 1.2] BUG: KASAN: slab-use-after-free in f\n"
		       "[ 1.2] Call Trace:\n[ 1.2]  f+0x1/0x2\n"
		       "[ 1.2] ---[ end trace 0 ]---\n"));
	EXPECT(k->report_len == strlen(k->report));
	free(k);
}

TEST(panic_counts_for_more_than_a_warning)
{
	struct klog *k = calloc(1, sizeof(*k));
	static const char warning[] = "WARNING: CPU: 0\nx\n";
	static const char oops[] = "Oops: 0002 [#1] SMP\n---[ end trace 0 ]---\n";
	static const char panic[] = "Kernel panic - not syncing: y\nz\n";

	k->wanted = KLOG_WARN;
	klog_feed(k, warning, strlen(warning));
	klog_feed(k, panic, strlen(panic));
	EXPECT(k->report_of == KLOG_PANIC && !strcmp(k->report, panic));
	klog_again(k);
	EXPECT(!k->report_len && !k->report_of);
	k->panicked = false;
	klog_feed(k, oops, strlen(oops));
	klog_feed(k, panic, strlen(panic));
	EXPECT(k->report_of == KLOG_OOPS && !strcmp(k->report, oops));
	free(k);
}

TEST(report_has_an_end_of_its_own)
{
	struct klog *k = fed("Oops: 0002 [#1] SMP\n");
	char line[302];

	memset(line, 'x', sizeof(line) - 2);
	line[300] = '\n';
	line[301] = 0;
	for (unsigned int i = 0; i < 100; i++)
		klog_feed(k, line, 301);
	EXPECT(!k->reporting && k->report_len < KLOG_REPORT);
	EXPECT(k->report_len > KLOG_REPORT - 302);
	EXPECT(strlen(k->report) == k->report_len);
	EXPECT(k->report[k->report_len - 1] == '\n');
	free(k);
	/* A line that has no room for its end by one byte */
	k = fed("Oops: a\n");
	line[99] = '\n';
	while (KLOG_REPORT - k->report_len > 200)
		klog_feed(k, line, 100);
	line[99] = 'x';
	line[KLOG_REPORT - k->report_len - 1] = '\n';
	klog_feed(k, line, KLOG_REPORT - k->report_len);
	EXPECT(!k->reporting && strlen(k->report) == k->report_len);
	EXPECT(k->report[k->report_len - 1] == '\n');
	free(k);
}

TEST(long_lines_and_any_bytes_are_survived)
{
	struct klog *k = calloc(1, sizeof(*k));
	u8 d[3000];

	for (unsigned int round = 0; round < 50; round++) {
		for (unsigned int i = 0; i < sizeof(d); i++)
			d[i] = i * 7 + round;
		klog_feed(k, d, sizeof(d));
	}
	memset(d, '[', sizeof(d));
	d[sizeof(d) - 1] = '\n';
	klog_feed(k, d, sizeof(d));
	EXPECT(k->total == 51 * sizeof(d));
	free(k);
}

TEST(tail_is_of_whole_lines)
{
	static char out[KLOG_TAIL + 1];
	struct klog *k = fed("one\ntwo\n");

	memset(out, 'x', sizeof(out));
	EXPECT(klog_tail(k, out) == 8 && !strcmp(out, "one\ntwo\n"));
	for (unsigned int i = 0; i < 4000; i++) {
		char line[16];

		snprintf(line, sizeof(line), "line %04u\n", i);
		klog_feed(k, line, strlen(line));
	}
	memset(out, 'x', sizeof(out));
	EXPECT(klog_tail(k, out) <= KLOG_TAIL);
	EXPECT(!strncmp(out, "line ", 5));
	EXPECT(strstr(out, "line 3999\n"));
	free(k);
	/* As much as there is room for has lost nothing. */
	k = calloc(1, sizeof(*k));
	for (unsigned int i = 0; i < KLOG_TAIL / 8; i++)
		klog_feed(k, "seven..\n", 8);
	EXPECT(klog_tail(k, out) == KLOG_TAIL && !strncmp(out, "seven..\n", 8));
	free(k);
}

TEST(kinds_have_names)
{
	EXPECT(klog_splat("oops") == KLOG_OOPS && klog_splat("rcu") == KLOG_RCU);
	EXPECT(klog_splat("warn") == KLOG_WARN && !klog_splat("") &&
	       !klog_splat("oop"));
}

struct facts {
	struct outcome_facts f;
	struct klog log;
	struct session s;
	struct outcome o;
};

static struct facts *facts(enum vm_end end, bool command, enum session_state state,
			   u32 value)
{
	struct facts *f = calloc(1, sizeof(*f));

	f->s.state = state;
	f->s.value = value;
	snprintf(f->s.text, sizeof(f->s.text), "said");
	f->f.end = end;
	f->f.end_text = "failed";
	f->f.log = &f->log;
	f->f.session = command ? &f->s : NULL;
	return f;
}

/* Judges and frees. Return: whether it is as wanted */
static bool judged(struct facts *f, const char *cause, int status, bool text)
{
	bool ok, is_signal = !strcmp(cause, "signal");

	memset(&f->o, 0xa5, sizeof(f->o));
	outcome_of(&f->o, &f->f);
	ok = !strcmp(f->o.cause, cause) && f->o.status == status &&
	     !!f->o.text[0] == text && f->o.signal == (is_signal ? f->o.code - 128 : 0) &&
	     (f->f.bisect || f->o.code == status);
	if (!ok)
		printf("# %s %d %s\n", f->o.cause, f->o.status, f->o.text);
	free(f);
	return ok;
}

TEST(status_is_the_commands_own)
{
	for (u32 i = 0; i < 256; i++)
		EXPECT(judged(facts(VM_END_REPORTED, true, SESSION_EXITED, i),
			      "exit", i, false));
	EXPECT(judged(facts(VM_END_REPORTED, true, SESSION_KILLED, 9), "signal",
		      137, false));
}

TEST(what_cannot_run_says_why)
{
	EXPECT(judged(facts(VM_END_REPORTED, true, SESSION_FAILED, 126), "error",
		      126, true));
	EXPECT(judged(facts(VM_END_REPORTED, true, SESSION_FAILED, 127), "error",
		      127, true));
	/* A guest cannot make up a success. */
	EXPECT(judged(facts(VM_END_REPORTED, true, SESSION_FAILED, 0), "error",
		      125, true));
	EXPECT(judged(facts(VM_END_REPORTED, true, SESSION_BROKEN, 0), "error",
		      125, true));
}

TEST(silence_is_no_success)
{
	static const enum vm_end ends[] = {
		VM_END_POWEROFF, VM_END_RESET, VM_END_TRIPLE_FAULT,
		VM_END_DEBUG_EXIT,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++) {
		EXPECT(judged(facts(ends[i], true, SESSION_SILENT, 0), "reset",
			      102, true));
		EXPECT(judged(facts(ends[i], true, SESSION_STARTED, 0), "reset",
			      102, true));
	}
	EXPECT(judged(facts(VM_END_USER, true, SESSION_STARTED, 0), "reset", 102,
		      true));
	EXPECT(judged(facts(VM_END_REPORTED, true, SESSION_STARTED, 0), "reset", 102,
		      true));
}

TEST(silence_is_of_init_or_of_the_command)
{
	static const struct {
		enum session_state state;
		const char *text;
	} row[] = {
		{ SESSION_SILENT, "the guest powered off before lkvm's init was heard of" },
		{ SESSION_STARTED, "the guest powered off before the command had ended" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		struct facts *f = facts(VM_END_POWEROFF, true, row[i].state, 0);

		outcome_of(&f->o, &f->f);
		EXPECT(!strcmp(f->o.text, row[i].text));
		free(f);
	}
}

TEST(error_is_125_and_nothing_else)
{
	struct outcome o;

	memset(&o, 0xa5, sizeof(o));
	outcome_error(&o, "why");
	EXPECT(!strcmp(o.cause, "error") && o.status == 125 && o.code == 125 &&
	       !o.signal && !strcmp(o.text, "why"));
}

TEST(without_a_command_an_orderly_end_is_success)
{
	struct facts *f;

	EXPECT(judged(facts(VM_END_POWEROFF, false, 0, 0), "exit", 0, false));
	EXPECT(judged(facts(VM_END_RESET, false, 0, 0), "exit", 0, false));
	EXPECT(judged(facts(VM_END_USER, false, 0, 0), "exit", 0, false));
	EXPECT(judged(facts(VM_END_TRIPLE_FAULT, false, 0, 0), "reset", 102,
		      true));
	f = facts(VM_END_DEBUG_EXIT, false, 0, 0);
	f->f.end_code = 0x121;
	EXPECT(judged(f, "exit", 0x21, false));
	for (u32 code = 0; code < 2; code++) {
		f = facts(VM_END_DEBUG_EXIT, false, 0, 0);
		f->f.as_qemu = true;
		f->f.end_code = code | 0x80;
		EXPECT(judged(f, "exit", (int)code * 2 + 1, false));
	}
}

TEST(a_shell_may_end_the_machine)
{
	static const struct {
		enum vm_end end;
		enum session_state state;
		int status;
	} row[] = {
		{ VM_END_POWEROFF, SESSION_STARTED, 0 },
		{ VM_END_RESET, SESSION_STARTED, 0 },
		{ VM_END_TRIPLE_FAULT, SESSION_STARTED, 102 },
		{ VM_END_DEBUG_EXIT, SESSION_STARTED, 102 },
		{ VM_END_POWEROFF, SESSION_READY, 102 },
		{ VM_END_RESET, SESSION_SILENT, 102 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		struct facts *f = facts(row[i].end, true, row[i].state, 0);

		f->f.shell = true;
		EXPECT(judged(f, row[i].status ? "reset" : "exit",
			      row[i].status, row[i].status));
	}
}

TEST(panic_timeout_error_and_signal)
{
	struct facts *f = facts(VM_END_RESET, true, SESSION_STARTED, 0);

	f->log.panicked = true;
	EXPECT(judged(f, "panic", 100, true));
	EXPECT(judged(facts(VM_END_PANIC, true, SESSION_SILENT, 0), "panic", 100,
		      true));
	EXPECT(judged(facts(VM_END_TIMEOUT, true, SESSION_STARTED, 0), "timeout",
		      124, true));
	EXPECT(judged(facts(VM_END_ERROR, true, SESSION_STARTED, 0), "error", 125,
		      true));
	f = facts(VM_END_USER, true, SESSION_STARTED, 0);
	f->f.end_code = 15;
	EXPECT(judged(f, "signal", 143, false));
	/* Or it would look like one that the host's kernel has killed. */
	f = facts(VM_END_USER, true, SESSION_STARTED, 0);
	f->f.end_code = SIGKILL;
	EXPECT(judged(f, "signal", 137, true));
	EXPECT(judged(facts(VM_END_REPORTED, true, SESSION_KILLED, SIGKILL), "signal", 137,
		      false));
}

/* A kernel without pvpanic that does not restart: somebody has to end it. */
TEST(a_panic_that_stands_still_is_told_by_who_ends_it)
{
	static const struct {
		enum vm_end end;
		u32 code;
		int status;
		const char *cause;
	} row[] = {
		{ VM_END_USER, 0, 100, "panic" },
		{ VM_END_TIMEOUT, 0, 100, "panic" },
		{ VM_END_USER, SIGTERM, 143, "signal" },
		{ VM_END_ERROR, 0, 125, "error" },
	};

	for (unsigned int i = 0; i < 4 * ARRAY_SIZE(row); i++) {
		unsigned int n = i / 4;
		struct facts *f = facts(row[n].end, i & 1, SESSION_STARTED, 0);

		f->f.end_code = row[n].code;
		f->f.shell = i & 2;
		klog_feed(&f->log, "Kernel panic - not syncing: x\n", 30);
		EXPECT(judged(f, row[n].cause, row[n].status,
			      row[n].status != 143));
	}
}

TEST(splats_count_only_if_asked_for)
{
	struct facts *f = facts(VM_END_REPORTED, true, SESSION_EXITED, 0);

	klog_feed(&f->log, "WARNING: CPU: 0\n", 16);
	EXPECT(judged(f, "exit", 0, false));
	f = facts(VM_END_REPORTED, true, SESSION_EXITED, 0);
	klog_feed(&f->log, "WARNING: CPU: 0\n", 16);
	f->f.fail_on = KLOG_OOPS | KLOG_KASAN;
	EXPECT(judged(f, "exit", 0, false));
	f = facts(VM_END_REPORTED, true, SESSION_EXITED, 0);
	klog_feed(&f->log, "WARNING: CPU: 0\n", 16);
	f->f.fail_on = KLOG_WARN;
	EXPECT(judged(f, "splat", 101, true));
	f = facts(VM_END_REPORTED, true, SESSION_EXITED, 7);
	klog_feed(&f->log, "WARNING: CPU: 0\n", 16);
	f->f.fail_on = KLOG_WARN;
	EXPECT(judged(f, "exit", 7, true));
	/* The log was too small for it, but the kernel is tainted. */
	f = facts(VM_END_REPORTED, true, SESSION_EXITED, 0);
	f->s.taint = BIT_ULL(9);
	f->f.fail_on = KLOG_WARN;
	EXPECT(judged(f, "splat", 101, true));
	/* Not what was asked for, or a taint that is none of these */
	f = facts(VM_END_REPORTED, true, SESSION_EXITED, 0);
	f->s.taint = BIT_ULL(9) | BIT_ULL(7);
	f->f.fail_on = KLOG_RCU;
	EXPECT(judged(f, "exit", 0, false));
	f = facts(VM_END_REPORTED, true, SESSION_EXITED, 0);
	f->s.taint = BIT_ULL(12);
	f->f.fail_on = KLOG_WARN | KLOG_OOPS;
	EXPECT(judged(f, "exit", 0, false));
	f = facts(VM_END_REPORTED, true, SESSION_EXITED, 0);
	f->s.taint = BIT_ULL(7);
	f->f.fail_on = KLOG_OOPS;
	EXPECT(judged(f, "splat", 101, true));
}

/* The kernel has killed it, and says why: the status does not. */
TEST(oops_is_named)
{
	struct facts *f = facts(VM_END_REPORTED, true, SESSION_KILLED, SIGKILL);

	klog_feed(&f->log, "Oops: 0000 [#1] SMP\n", 20);
	EXPECT(judged(f, "signal", 137, true));
	f = facts(VM_END_REPORTED, true, SESSION_EXITED, 0);
	klog_feed(&f->log, "Oops: 0000 [#1] SMP\n", 20);
	EXPECT(judged(f, "exit", 0, true));
	f = facts(VM_END_POWEROFF, false, SESSION_SILENT, 0);
	klog_feed(&f->log, "Oops: 0000 [#1] SMP\n", 20);
	EXPECT(judged(f, "exit", 0, false));
}

TEST(bisect_folds_what_is_bad)
{
	static const struct {
		u32 value;
		int status;
	} row[] = { { 0, 0 }, { 1, 1 }, { 3, 1 }, { 200, 1 }, { 125, 125 } };
	struct facts *f;

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		f = facts(VM_END_REPORTED, true, SESSION_EXITED, row[i].value);
		f->f.bisect = true;
		EXPECT(judged(f, "exit", row[i].status, false));
	}
	f = facts(VM_END_PANIC, true, SESSION_SILENT, 0);
	f->f.bisect = true;
	EXPECT(judged(f, "panic", 1, true));
	f = facts(VM_END_ERROR, true, SESSION_SILENT, 0);
	f->f.bisect = true;
	EXPECT(judged(f, "error", 125, true));
}

TEST(bisect_skips_a_command_that_cannot_be_run)
{
	static const u32 value[] = { 0, 125, 126, 127 };

	for (unsigned int i = 0; i < ARRAY_SIZE(value); i++) {
		struct facts *f = facts(VM_END_REPORTED, true, SESSION_FAILED, value[i]);
		struct outcome out;

		f->f.bisect = true;
		outcome_of(&out, &f->f);
		EXPECT(out.status == 125);
		EXPECT(out.code == (i < 2 ? 125 : (int)value[i]));
		EXPECT(!strstr(out.text, "nothing about the kernel") == (i < 2));
		EXPECT(judged(f, "error", 125, true));
		/* The same of a shell that was run is what the command says. */
		f = facts(VM_END_REPORTED, true, SESSION_EXITED, value[i]);
		f->f.bisect = true;
		EXPECT(judged(f, "exit", i < 2 ? value[i] : 1, false));
	}
}

/* git bisect run stops at 128 and above: who ends the VM says neither good nor bad. */
TEST(bisect_stops_when_somebody_ends_the_vm)
{
	static const struct {
		u32 code;
		int status;
		const char *cause;
	} row[] = { { SIGINT, 130, "signal" }, { SIGTERM, 143, "signal" },
		    { 0, 130, "reset" } };
	struct facts *f;

	for (unsigned int i = 0; i < ARRAY_SIZE(row); i++) {
		f = facts(VM_END_USER, true, SESSION_STARTED, 0);
		f->f.bisect = true;
		f->f.end_code = row[i].code;
		EXPECT(judged(f, row[i].cause, row[i].status, i == 2));
	}
	/* Nor who ends the command. */
	f = facts(VM_END_REPORTED, true, SESSION_KILLED, SIGTERM);
	f->f.bisect = true;
	f->s.told = true;
	EXPECT(judged(f, "signal", 143, false));
	f = facts(VM_END_REPORTED, true, SESSION_EXITED, 1);
	f->f.bisect = true;
	f->s.told = true;
	EXPECT(judged(f, "exit", 130, false));
	f = facts(VM_END_REPORTED, true, SESSION_EXITED, 0);
	f->f.bisect = true;
	f->s.told = true;
	EXPECT(judged(f, "exit", 0, false));
	/* A number of the command's own that means something else elsewhere */
	f = facts(VM_END_REPORTED, true, SESSION_EXITED, 101);
	f->f.bisect = true;
	f->s.told = true;
	EXPECT(judged(f, "exit", 130, false));
	/* ^A x without a command, or at a shell */
	for (unsigned int i = 0; i < 2; i++) {
		f = facts(VM_END_USER, i, SESSION_STARTED, 0);
		f->f.bisect = true;
		f->f.shell = true;
		EXPECT(judged(f, "exit", 130, false));
	}
	/* A warning has been seen by then, or a panic. */
	f = facts(VM_END_USER, false, SESSION_SILENT, 0);
	klog_feed(&f->log, "WARNING: CPU: 0\n", 16);
	f->f.fail_on = KLOG_WARN;
	f->f.bisect = true;
	EXPECT(judged(f, "splat", 1, true));
	f = facts(VM_END_USER, false, SESSION_SILENT, 0);
	klog_feed(&f->log, "Kernel panic - not syncing: x\n", 30);
	f->f.bisect = true;
	EXPECT(judged(f, "panic", 1, true));
}

/* How it ends when @end comes behind a panic, which a guest may tell of again */
static enum vm_end behind_panic(enum vm_end end, u32 *code)
{
	static struct kvm kvm;

	memset(&kvm, 0, sizeof(kvm));
	pthread_mutex_init(&kvm.end_lock, NULL);
	kvm.end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	kvm_end(&kvm, VM_END_PANIC, 0);
	kvm_end(&kvm, VM_END_PANIC, 0);
	if (!kvm.panicked || kvm.end != VM_END_NONE)
		return VM_END_NONE;
	if (end == VM_END_ERROR)
		kvm_end_error(&kvm, "why");
	else
		kvm_end(&kvm, end, 7);
	close(kvm.end_fd);
	*code = kvm.end_code;
	return kvm.end;
}

TEST(a_panic_is_no_end_and_the_reason_of_any)
{
	static const enum vm_end end[] = {
		VM_END_RESET, VM_END_USER, VM_END_DEBUG_EXIT, VM_END_ERROR,
	};
	u32 code;

	for (unsigned int i = 0; i < ARRAY_SIZE(end); i++)
		EXPECT(behind_panic(end[i], &code) == VM_END_PANIC && !code);
}

TEST_MAIN(T(a_panic_is_no_end_and_the_reason_of_any),
	  T(reports_are_told_apart),
	  T(reports_are_where_a_message_begins),
	  T(what_is_forgotten_comes_no_more),
	  T(panic_is_found_in_pieces),
	  T(text_has_no_control_characters),
	  T(first_report_is_kept_to_its_end),
	  T(panic_counts_for_more_than_a_warning),
	  T(report_has_an_end_of_its_own),
	  T(long_lines_and_any_bytes_are_survived),
	  T(tail_is_of_whole_lines),
	  T(kinds_have_names),
	  T(status_is_the_commands_own),
	  T(what_cannot_run_says_why),
	  T(silence_is_no_success),
	  T(silence_is_of_init_or_of_the_command),
	  T(error_is_125_and_nothing_else),
	  T(without_a_command_an_orderly_end_is_success),
	  T(a_shell_may_end_the_machine),
	  T(panic_timeout_error_and_signal),
	  T(a_panic_that_stands_still_is_told_by_who_ends_it),
	  T(splats_count_only_if_asked_for),
	  T(oops_is_named),
	  T(bisect_folds_what_is_bad),
	  T(bisect_skips_a_command_that_cannot_be_run),
	  T(bisect_stops_when_somebody_ends_the_vm))
