// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sealing the process.
 *
 * Theory of operation: when every file descriptor is open, lkvm gives up what
 * it does not need any more, so that a guest that breaks out of a device model
 * finds little to use. Landlock denies every access to a file by a path, also
 * through io_uring; a kernel without Landlock leaves that to the user's own
 * rights, and so does one before 5.19 if a guest may write to a share: Landlock
 * refuses all renames from one directory to another there. A seccomp filter
 * denies system calls that a VM never makes: those that execute, trace, mount,
 * load code into the kernel or change who we are. It is a list of what is denied,
 * not of what is allowed: C libraries and kernels to come need new system calls
 * for what they do today. Denied calls fail with EPERM. System calls of another
 * ABI of the machine are all denied.
 *
 * A program that the sanitizers instrument traces itself and reads /proc at its
 * end, and is not sealed.
 *
 * One thread, once. What is not supported: taking it back, or more than one
 * set of rules.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>

#include "kvm/seal.h"

/* x32 calls of x86-64 have it, and no number elsewhere is as high. */
#define FOREIGN_NR 0x40000000

/* All rights of the first version of Landlock's ABI, and one bit a version */
#define LANDLOCK_FS_V1 0x1fffULL
#define LANDLOCK_FS_MAX 15

static const u32 denied[] = {
	__NR_execve, __NR_execveat, __NR_ptrace, __NR_process_vm_readv,
	__NR_process_vm_writev, __NR_kcmp, __NR_mount, __NR_umount2,
	__NR_pivot_root, __NR_chroot, __NR_setns, __NR_unshare, __NR_bpf,
	__NR_perf_event_open, __NR_userfaultfd, __NR_init_module,
	__NR_finit_module, __NR_delete_module, __NR_kexec_load, __NR_reboot,
	__NR_swapon, __NR_swapoff, __NR_keyctl, __NR_add_key,
	__NR_request_key, __NR_open_by_handle_at, __NR_acct,
	__NR_settimeofday, __NR_clock_settime, __NR_adjtimex,
	__NR_clock_adjtime, __NR_setuid, __NR_setgid, __NR_setreuid,
	__NR_setregid, __NR_setresuid, __NR_setresgid, __NR_setgroups,
	__NR_capset, __NR_personality,
	__NR_sethostname, __NR_setdomainname, __NR_syslog, __NR_vhangup,
#ifdef __NR_kexec_file_load
	__NR_kexec_file_load,
#endif
#ifdef __NR_iopl
	__NR_iopl, __NR_ioperm, __NR_modify_ldt,
#endif
#ifdef __NR_pidfd_getfd
	__NR_pidfd_getfd,
#endif
#ifdef __NR_open_tree
	__NR_open_tree, __NR_move_mount, __NR_fsopen, __NR_fsconfig,
	__NR_fsmount, __NR_fspick,
#endif
#ifdef __NR_mount_setattr
	__NR_mount_setattr,
#endif
};

/* Files of a share are made for whom the guest says, if we are root. */
static const u32 denied_fsids[] = { __NR_setfsuid, __NR_setfsgid };

static bool instrumented(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
	return __has_feature(address_sanitizer) ||
	       __has_feature(thread_sanitizer);
#else
	return false;
#endif
}

static int allow(int ruleset, const char *path, u64 access, struct report *r)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access };
	int err = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return report_error(r, errno, "%s", path);
	if (syscall(__NR_landlock_add_rule, ruleset,
		    LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		err = report_error(r, errno, "landlock_add_rule %s", path);
	close(rule.parent_fd);
	return err;
}

/* Those of the rights in @handled that a share needs. */
static u64 share_rights(const struct seal_share *s, u64 handled)
{
	u64 read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	u64 not = LANDLOCK_ACCESS_FS_EXECUTE | BIT_ULL(LANDLOCK_FS_MAX);

	return s->write ? handled & ~not : read;
}

static int allow_exceptions(int ruleset, const struct seal_exceptions *e,
			    u64 handled, struct report *r)
{
	int err = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(e->removable) && !err; i++)
		if (e->removable[i])
			err = allow(ruleset, e->removable[i],
				    LANDLOCK_ACCESS_FS_REMOVE_FILE, r);
	for (unsigned int i = 0; i < e->nr_readable && !err; i++)
		err = allow(ruleset, e->readable[i],
			    LANDLOCK_ACCESS_FS_READ_FILE, r);
	for (unsigned int i = 0; i < e->nr_shares && !err; i++)
		err = allow(ruleset, e->share[i].path,
			    share_rights(&e->share[i], handled), r);
	return err;
}

static bool is_written(const struct seal_exceptions *e)
{
	bool write = false;

	for (unsigned int i = 0; e && i < e->nr_shares; i++)
		write |= e->share[i].write;
	return write;
}

static int deny_paths(const struct seal_exceptions *except, struct report *r)
{
	struct landlock_ruleset_attr attr = { 0 };
	long abi = syscall(__NR_landlock_create_ruleset, NULL, 0,
			   LANDLOCK_CREATE_RULESET_VERSION);
	int fd, err = 0;

	if (abi < 1 || (abi < 2 && is_written(except)))
		return 0;
	/* REFER, TRUNCATE, then IOCTL_DEV, came with versions 2, 3 and 5. */
	attr.handled_access_fs = LANDLOCK_FS_V1;
	if (abi >= 2)
		attr.handled_access_fs |= BIT_ULL(13);
	if (abi >= 3)
		attr.handled_access_fs |= BIT_ULL(14);
	if (abi >= 5)
		attr.handled_access_fs |= BIT_ULL(LANDLOCK_FS_MAX);
	fd = syscall(__NR_landlock_create_ruleset, &attr,
		     sizeof(attr.handled_access_fs), 0);
	if (fd < 0)
		return report_error(r, errno, "landlock_create_ruleset");
	if (except)
		err = allow_exceptions(fd, except, attr.handled_access_fs, r);
	if (!err && syscall(__NR_landlock_restrict_self, fd, 0) < 0)
		err = report_error(r, errno, "landlock_restrict_self");
	close(fd);
	return err;
}

static struct sock_filter insn(u16 code, u8 jt, u8 jf, u32 k)
{
	return (struct sock_filter){ code, jt, jf, k };
}

/* Those that are denied, into @nr_of, of which there is enough. */
static u8 list_denied(u32 *nr_of, const struct seal_exceptions *except)
{
	bool fsids = is_written(except);
	u8 nr = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(denied); i++)
		nr_of[nr++] = denied[i];
	for (unsigned int i = 0; i < ARRAY_SIZE(denied_fsids) && !fsids; i++)
		nr_of[nr++] = denied_fsids[i];
	return nr;
}

static int deny_calls(u32 audit_arch, const struct seal_exceptions *except,
		      struct report *r)
{
	u32 nr_of[ARRAY_SIZE(denied) + ARRAY_SIZE(denied_fsids)];
	struct sock_filter prog[ARRAY_SIZE(nr_of) + 6];
	const u8 nr = list_denied(nr_of, except);
	struct sock_fprog fprog = { .filter = prog };
	unsigned int n = 0;
	long ret;

	static_assert(ARRAY_SIZE(nr_of) < 250, "jumps are of 8 bits");
	prog[n++] = insn(BPF_LD | BPF_W | BPF_ABS, 0, 0,
			 offsetof(struct seccomp_data, arch));
	prog[n++] = insn(BPF_JMP | BPF_JEQ | BPF_K, 0, nr + 3, audit_arch);
	prog[n++] = insn(BPF_LD | BPF_W | BPF_ABS, 0, 0,
			 offsetof(struct seccomp_data, nr));
	prog[n++] = insn(BPF_JMP | BPF_JGE | BPF_K, nr + 1, 0, FOREIGN_NR);
	for (u8 i = 0; i < nr; i++)
		prog[n++] = insn(BPF_JMP | BPF_JEQ | BPF_K, nr - i, 0,
				 nr_of[i]);
	prog[n++] = insn(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	prog[n++] = insn(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM);
	fprog.len = n;
	/* a kernel without seccomp */
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
		return 0;
	ret = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
		      SECCOMP_FILTER_FLAG_TSYNC, &fprog);
	if (!ret)
		return 0;
	return report_error(r, ret < 0 ? errno : EBUSY, "seccomp");
}

int process_seal(u32 audit_arch, const struct seal_exceptions *except,
		 struct report *r)
{
	int err;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return report_error(r, errno, "PR_SET_NO_NEW_PRIVS");
	if (instrumented())
		return 0;
	err = deny_paths(except, r);
	return err ? err : deny_calls(audit_arch, except, r);
}
