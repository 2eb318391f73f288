# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Commands on running VMs: list of one VM and of fifty that are halted, from exec
# to exit; pause until nothing of the guest runs, and resume, of one that is halted
# and of one that never rests, as a client sees it that is connected.

# vm NAME KERNEL
vm() {
	./lkvm run --detach --name "$1" -m 16M -c 1 -k "$2" >vm.log 2>&1 </dev/null ||
		die "$1: $(cat vm.log)"
}

# under TEXT NAME LIMIT: its median, in ms
under() {
	verdict "$1, ms" "$(calc "$(median "$2.us") / 1000" %.2f)" '<' "$3"
}

control_end() {
	./lkvm stop --all --force --timeout 1s >/dev/null 2>&1
	rm -rf "$work"
}

# asked NAME: times of pause and resume, to pause-NAME.us and resume-NAME.us
asked() {
	./ask "$1" $((times * 5)) vm.pause vm.resume >"$1.asked" ||
		die "$1: no answer"
	for c in pause resume; do
		sed -n "s/^vm\.$c //p" "$1.asked" >"$c-$1.us"
	done
}

bench_control() {
	local times=$((rounds * 7)) vms=50 i n c

	part control "commands on running VMs, medians of $times"
	export XDG_RUNTIME_DIR=$work/run
	mkdir -m 700 "$XDG_RUNTIME_DIR" || exit 1
	trap control_end EXIT
	command_set start ./lkvm run --detach --name NAME -m 16M -c 1 -k halt
	command_set list ./lkvm list
	commands[list1]=${commands[list]}
	command_set 'pause, resume' ./ask NAME $((times * 5)) vm.pause vm.resume
	vm idle halt
	for ((i = 0; i <= times; i++)); do
		once list1 0 '^idle .* running '
		# the first one warms up
		[ $i -gt 0 ] || rm list1.us
	done
	asked idle
	vm busy halt-busy
	asked busy
	./lkvm stop --force busy >/dev/null 2>&1
	for ((i = 1; i < vms; i++)); do
		vm "vm$i" halt
	done
	for ((i = 0; i <= times; i++)); do
		once list 0
		[ "$(grep -c ' running ' list.log)" = $vms ] ||
			die "list: not $vms VMs: $(cat list.log)"
		[ $i -gt 0 ] || rm list.us
	done
	figure 'list, one VM' list1
	under "list, $vms VMs" list 50
	for n in idle busy; do
		under "pause, $n guest" "pause-$n" 5
		under "resume, $n guest" "resume-$n" 5
	done
}
