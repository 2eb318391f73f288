/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM__OUTCOME_H
#define KVM__OUTCOME_H

#include "kvm/end.h"
#include "kvm/klog.h"
#include "kvm/session.h"

#define STATUS_PANIC	100
#define STATUS_SPLAT	101
#define STATUS_RESET	102
#define STATUS_TIMEOUT	124
#define STATUS_ERROR	125

/**
 * struct outcome - how a run ended
 * @cause: exit, signal, panic, splat, reset, timeout or error
 * @code: what it would be without --bisect
 * @signal: its number or 0
 * @status: what lkvm returns
 * @text: for the user, empty when all is well
 */
struct outcome {
	const char *cause;
	int code;
	int signal;
	int status;
	char text[4400];
};

/**
 * struct outcome_facts - what an outcome is made of
 * @end: why the VM ended
 * @end_code: as in struct kvm
 * @end_text: as in struct kvm
 * @log: what its kernel said
 * @session: of the command, NULL without one
 * @shell: that is a person's shell
 * @fail_on: enum klog_splat that are not to be
 * @bisect: everything bad is 1, but for what cannot be tested
 * @as_qemu: a value V of the exit port is the status V * 2 + 1
 */
struct outcome_facts {
	enum vm_end end;
	u32 end_code;
	const char *end_text;
	const struct klog *log;
	const struct session *session;
	u32 fail_on;
	bool shell;
	bool bisect;
	bool as_qemu;
};

/** outcome_of() - the facts, judged */
void outcome_of(struct outcome *o, const struct outcome_facts *f);
/** outcome_error() - lkvm could not run it */
void outcome_error(struct outcome *o, const char *text);

#endif
