# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What attaches to and detaches from a guest that is called h and has said READY;
# sourced by cases. A step that fails is said, and fails what comes with it.

export XDG_RUNTIME_DIR=$work

# says LINE: the guest has, or will before long
says() {
	local i

	for ((i = 0; i < 600; i++)); do
		grep -qx "$1" "$work/out" 2>/dev/null && return
		sleep 0.05
	done
	echo "the guest has not said $1" >>"$work/drive"
	return 1
}

# fds: how many descriptors the VM has
fds() {
	local pid

	pid=$("$lkvm" api h '{"cmd":"vm.status"}' | grep -o '"pid":[0-9]*')
	ls "/proc/${pid#*:}/fd" | wc -l
}

# gets ID DISK SERIAL: a disk is attached, and has that id
gets() {
	[ "$("$lkvm" attach h -d "$work/$2,serial=$3" 2>>"$work/drive")" = "$1" ] ||
		echo "attach $2: not $1" >>"$work/drive"
}

# gives ARGS...: lkvm detach succeeds
gives() {
	"$lkvm" detach h --timeout 20 "$@" >>"$work/drive" 2>&1 ||
		echo "detach $*: status $?" >>"$work/drive"
}

# keeps PATTERN ARGS...: lkvm detach or attach fails, with that line
keeps() {
	local pattern=$1 said

	shift
	said=$("$lkvm" "$@" 2>&1) && echo "$*: succeeded" >>"$work/drive"
	grep -qE "$pattern" <<<"$said" || echo "$*: $said" >>"$work/drive"
}

# driven STATUS WORDS...: a guest, with drive() beside it
driven() {
	: >"$work/drive"
	{ says READY && drive; } &
	guest "$@"
	wait
	cp "$work/drive" "$work/err"
	[ ! -s "$work/drive" ]
	result "$dir-attached-and-detached" $? "see above"
}
