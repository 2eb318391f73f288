// SPDX-License-Identifier: GPL-2.0-only
/*
 * From what happened to an exit status.
 *
 * Theory of operation: one function looks at why the VM ended, at what the
 * guest's kernel said and at what its init reported, and makes of it a cause, a
 * status and one line. Success is only what somebody reported to be one: a
 * machine that goes away before its command ended is a failure, however orderly
 * it went. Without a command an orderly end is all that can be asked for. Who leaves a
 * guest that has panicked, or has waited long enough for it, is told of the panic.
 *
 * No state. What the guest said is text here, and its numbers are cut to what a
 * status can be.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "kvm/outcome.h"

/* Documentation/admin-guide/tainted-kernels.rst: an oops; a warning, soft lockup */
#define TAINT_DIE BIT_ULL(7)
#define TAINT_WARN (BIT_ULL(9) | BIT_ULL(14))

static void set(struct outcome *o, const char *cause, int status,
		const char *text)
{
	o->cause = cause;
	o->code = status;
	o->status = status;
	snprintf(o->text, sizeof(o->text), "%s", text);
}

static void set_signal(struct outcome *o, u32 sig)
{
	set(o, "signal", 128 + (sig & 0x7f), "");
	o->signal = sig & 0x7f;
}

/* Who sends a signal knows of it. One that cannot be caught came by the socket. */
static void of_ending(struct outcome *o, u32 sig)
{
	set_signal(o, sig);
	if (sig == SIGKILL)
		snprintf(o->text, sizeof(o->text), "ended by lkvm stop");
}

static void of_panic(struct outcome *o, const struct klog *log)
{
	set(o, "panic", STATUS_PANIC, "kernel panic");
	if (log->panicked)
		snprintf(o->text, sizeof(o->text), "kernel panic: %s",
			 log->panic);
}

static const char *end_word(enum vm_end end)
{
	switch (end) {
	case VM_END_TRIPLE_FAULT:
		return "triple-faulted";
	case VM_END_RESET:
		return "restarted";
	case VM_END_DEBUG_EXIT:
		return "wrote to the exit port";
	default:
		return "powered off";
	}
}

/* The command has not reported, and lkvm has not ended the machine. */
static void of_silence(struct outcome *o, const struct outcome_facts *f)
{
	bool init = f->session->state == SESSION_SILENT;

	/* A person at its shell has said so. */
	if (f->shell && f->session->state == SESSION_STARTED &&
	    (f->end == VM_END_POWEROFF || f->end == VM_END_RESET)) {
		set(o, "exit", 0, "");
		return;
	}
	set(o, "reset", STATUS_RESET, "");
	snprintf(o->text, sizeof(o->text), "the guest %s before %s",
		 end_word(f->end), init ? "lkvm's init was heard of" :
					  "the command had ended");
}

/* The low byte, but what is no success does not look like one. */
static int debug_status(const struct outcome_facts *f)
{
	u32 code = f->as_qemu ? f->end_code << 1 | 1 : f->end_code;

	return code && !(code & 0xff) ? 0xff : code & 0xff;
}

static void of_plain(struct outcome *o, const struct outcome_facts *f)
{
	if (f->end == VM_END_TRIPLE_FAULT)
		set(o, "reset", STATUS_RESET, "the guest triple-faulted");
	else if (f->end == VM_END_DEBUG_EXIT)
		set(o, "exit", debug_status(f), "");
	else
		set(o, "exit", 0, "");
}

/* Return: whether the session knows how it ended */
static bool of_session(struct outcome *o, const struct session *s)
{
	switch (s->state) {
	case SESSION_EXITED:
		set(o, "exit", s->value & 0xff, "");
		return true;
	case SESSION_KILLED:
		set_signal(o, s->value);
		return true;
	case SESSION_FAILED:
		set(o, "error", STATUS_ERROR, s->text);
		if (s->value == 126 || s->value == 127)
			o->status = s->value;
		o->code = o->status;
		return true;
	case SESSION_BROKEN:
		set(o, "error", STATUS_ERROR, s->text);
		return true;
	default:
		return false;
	}
}

static void of_splats(struct outcome *o, const struct outcome_facts *f)
{
	u64 taint = f->session ? f->session->taint : 0;
	u32 bad = f->fail_on & f->log->splats;

	if (o->status || !f->fail_on)
		return;
	if (bad) {
		set(o, "splat", STATUS_SPLAT, f->log->first[__builtin_ctz(bad)]);
	} else if (((f->fail_on & KLOG_OOPS) && (taint & TAINT_DIE)) ||
		   ((f->fail_on & KLOG_WARN) && (taint & TAINT_WARN))) {
		set(o, "splat", STATUS_SPLAT, "");
		snprintf(o->text, sizeof(o->text),
			 "the kernel is tainted: 0x%llx",
			 (unsigned long long)taint);
	}
}

static void judge(struct outcome *o, const struct outcome_facts *f)
{
	bool ours = f->end == VM_END_ERROR || (f->end == VM_END_USER && f->end_code);

	if (f->end == VM_END_REPORTED && f->session &&
	    of_session(o, f->session))
		return;
	if (!ours && (f->log->panicked || f->end == VM_END_PANIC))
		of_panic(o, f->log);
	else if (f->end == VM_END_TIMEOUT)
		set(o, "timeout", STATUS_TIMEOUT, "timeout");
	else if (f->end == VM_END_ERROR)
		set(o, "error", STATUS_ERROR, f->end_text);
	else if (f->end == VM_END_USER && f->end_code)
		of_ending(o, f->end_code);
	else if (f->end == VM_END_USER && f->session && !f->shell)
		set(o, "reset", STATUS_RESET, "left before the command had ended");
	else if (f->end == VM_END_USER)
		set(o, "exit", 0, "");
	else if (f->session)
		of_silence(o, f);
	else
		of_plain(o, f);
}

/*
 * That a command is not there is more often a slip than what the kernel did, and for
 * that git is not to blame a commit.
 */
static void of_unjudged(struct outcome *o)
{
	size_t len = strlen(o->text);

	if (o->status != STATUS_ERROR)
		snprintf(o->text + len, sizeof(o->text) - len,
			 ": says nothing about the kernel");
	o->status = STATUS_ERROR;
}

static void fold(struct outcome *o, const struct outcome_facts *f)
{
	bool left = f->end == VM_END_USER;
	bool told = f->session && f->session->told && o->status;
	bool seen = !strcmp(o->cause, "panic") || !strcmp(o->cause, "splat");

	/* Who ends it has not judged: git stops, which it does from 128 on. */
	if ((left || told) && !seen)
		o->status = MAX(o->status, 128 + SIGINT);
	else if (!strcmp(o->cause, "error"))
		of_unjudged(o);
	else if (o->status && o->status != STATUS_ERROR)
		o->status = 1;
}

void outcome_of(struct outcome *o, const struct outcome_facts *f)
{
	u32 said;

	memset(o, 0, sizeof(*o));
	judge(o, f);
	of_splats(o, f);
	/* Of a command alone its status does not say what has killed it. */
	said = f->log->splats & (KLOG_OOPS | f->fail_on);
	if (f->session && !o->text[0] && said)
		snprintf(o->text, sizeof(o->text), "the kernel: %s",
			 f->log->first[__builtin_ctz(said)]);
	if (f->bisect)
		fold(o, f);
}

void outcome_error(struct outcome *o, const char *text)
{
	memset(o, 0, sizeof(*o));
	set(o, "error", STATUS_ERROR, text);
}
