# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What tests of commands in VMs share; sourced behind lib.sh with its arguments, the
# rest of which are names: only tests whose names contain one of them are run. A
# script has what it starts in vm, and says when a test is tried once more.

shift $(($# < 2 ? $# : 2))
only=("$@")
# What a command of a test has at most, in seconds; less where no machine is to start
: "${limit:=200}"
# One test runs it from a directory of its own.
dir=$(realpath "$dir") || exit 1
busybox=(-i "$dir/busybox.img")

wanted() {
	local o

	[ ${#only[@]} -gt 0 ] || return 0
	for o in "${only[@]}"; do
		[[ $1 != *$o* ]] || return 0
	done
	return 1
}

# one_test NAME: what test_NAME prints is the log; in an emulated host once more, for what
# why_again NAME says, if it does. The function before, if there is one, runs first.
one_test() {
	local try why

	wanted "$1" || return
	for try in first last; do
		rm -f "$work"/{out,err,status}
		if { before && "test_$1"; } >"$work/log" 2>&1; then
			result "$1" 0
			return
		fi
		[ -n "${LKVM_IN_EMULATED_HOST:-}" ] && [ $try = first ] &&
			why=$(why_again "$1") || break
		echo "# $1: $why, once more"
	done
	tail -n 5 "$work"/{out,err,vm.err} 2>/dev/null >>"$work/log"
	result "$1" 1
}

before() { :; }

# ends STATUS COMMAND...: output in $work/out and $work/err
ends() {
	local want=$1 got

	shift
	timeout -k 5 "$limit" "$@" >"$work/out" 2>"$work/err"
	got=$?
	[ $got = "$want" ] || {
		echo "status $got, not $want: $*" | cut -c1-300
		cat "$work/err"
		return 1
	}
}

# guest STATUS ARGS...
guest() {
	ends "$1" "${vm[@]}" "${@:2}"
}

said() { grep -qE "$1" "$work/err" || { echo "not said: $1"; return 1; }; }
quiet() { [ ! -s "$work/err" ] || { echo "stderr is not empty"; return 1; }; }
printed() { [ "$(cat "$work/out")" = "$1" ] || { echo "not printed: $1"; return 1; }; }

# is_ready: what was started has come to say READY
is_ready() {
	for _ in $(seq 600); do
		grep -q READY "$work/out" && return
		sleep 0.1
	done
	return 1
}

# at_terminal STATUS STEP... -- ARGS...
at_terminal() {
	local want=$1 steps=()

	shift
	while [ "$1" != -- ]; do
		steps+=("$1")
		shift
	done
	shift
	timeout "$limit" "$dir/pty" 60 "${steps[@]}" -- "${vm[@]}" "$@" \
		>"$work/out" 2>"$work/err"
	cat "$work/out" "$work/err"
	grep -q "^status $want tty same\$" "$work/err"
}
