# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the boot tests share; sourced with the arguments DIR, which
# tests/boot/prepare filled, and the lkvm to test (./lkvm). Prints KTAP: each
# test calls result once, the last line of a suite is finish.

set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
[ $# -ge 1 ] || {
	echo "usage: $0 DIR [LKVM]" >&2
	exit 1
}
dir=$1
lkvm=$(realpath "${2:-lkvm}") || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
busybox=(-i "$dir/busybox.img")
# The kernel of most guests. It is not unpacked, which an emulated host takes seconds
# for, and is read from memory.
# Suites that boot others may run before it is built.
small=$work/vmlinux
[ ! -e "$dir/vmlinux" ] || cp "$dir/vmlinux" "$small" || exit 1
echo "KTAP version 1"

# once_more FUNCTION ARGS...: its results, those of its second try if there is one, which
# is where some failed in an emulated host, and the guest's end or its standing
# still is what did it: see Documentation/testing.md. The function starts a guest and
# stops it, says results, and leaves logs as $work/log or $work/guest.
once_more() {
	local was=$n was_bad=$bad try

	for try in first last; do
		n=$was bad=0
		"$@" >"$work/results"
		[ $bad != 0 ] && [ $try = first ] &&
			[ -n "${LKVM_IN_EMULATED_HOST:-}" ] &&
			grep -aqE '^(# )?lkvm: (timeout|the guest triple-faulted)' \
				"$work/results" "$work/log" "$work/guest" \
				2>/dev/null || break
		sed -n 's/^not ok /# it failed: /p' "$work/results"
		echo "# $1: the guest triple-faulted or ran out of time, once more"
	done
	cat "$work/results"
	bad=$((bad | was_bad))
}

# boot NAME STATUS PATTERN ARGS...: the exit status and a line of the console.
# In an emulated host a boot that runs out of time or triple-faults gets a second
# try, which is said: see Documentation/testing.md. $boot_again undoes what the first
# one left.
boot() {
	local name=$1 want=$2 pattern=$3 status try

	shift 3
	for try in first last; do
		timeout -k 5 200 "$lkvm" run --timeout 180 "$@" </dev/null \
			>"$work/log" 2>&1
		status=$?
		[ $try = first ] && [ $status != "$want" ] &&
			[ -n "${LKVM_IN_EMULATED_HOST:-}" ] &&
			grep -aqE '^lkvm: (timeout|the guest triple-faulted)' \
				"$work/log" || break
		echo "# $name: ended with $status, once more"
		${boot_again:-}
	done
	echo "lkvm's status: $status, wanted $want" >>"$work/log"
	[ $status = "$want" ] && grep -qE "$pattern" "$work/log"
	result "$name" $?
}

# refused NAME PATTERN ARGS...: lkvm run ends with status 125 and one line
refused() {
	local name=$1 pattern=$2

	shift 2
	refused_command "$name" "$pattern" "$lkvm" run "$@"
}

# refused_command NAME PATTERN COMMAND...: so does that
refused_command() {
	local name=$1 pattern=$2

	shift 2
	timeout 60 "$@" </dev/null >"$work/log" 2>&1
	[ $? = 125 ] && [ "$(wc -l <"$work/log")" = 1 ] &&
		grep -qE "$pattern" "$work/log"
	result "$name" $?
}

# run_tests FILE: what one_test makes of each function test_NAME in it. All others are
# helpers.
run_tests() {
	local t

	for t in $(sed -n 's/^test_\([a-z0-9_]*\)() {$/\1/p' "$1"); do
		one_test "$t"
	done
}

# wait_for SECONDS PATTERN: until it is in the log; fails when lkvm ends first
wait_for() {
	local i

	for ((i = 0; i < $1 * 10; i++)); do
		grep -qE "$2" "$work/log" && return 0
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	grep -qE "$2" "$work/log"
}

# make_world [LINE...]: the host with an address and a route, and the world behind it;
# lines of resolv.conf
make_world() {
	PATH=$PATH:/usr/sbin:/sbin
	ip netns list | grep -q world && return
	ip netns add world &&
		ip link add lkw0 type veth peer name lkw1 netns world &&
		ip addr add 192.0.2.2/24 dev lkw0 &&
		ip link set lkw0 up &&
		ip -n world addr add 192.0.2.1/24 dev lkw1 &&
		ip -n world link set lo up &&
		ip -n world link set lkw1 up &&
		ip route add default via 192.0.2.1 dev lkw0 &&
		printf '%s\n' "$@" 'nameserver 192.0.2.1' >/etc/resolv.conf
}
