# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# From exec to the guest's first instruction, which ends it: lkvm, a program that
# makes the same ioctls, and what a network interface costs on top (as root).

tap_device() {
	[ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] &&
		PATH=$PATH:/usr/sbin:/sbin ip tuntap "$1" lkb1 mode tap
}

# own_us NAME: of lkvm's own clock, up to the first instruction, but for what KVM
# takes to make a VM, which varies more than the rest takes
own_us() {
	awk '/^lkvm: timing: (options|devices|load|start) / { ms += $4; n++ }
		END { if (n != 4) exit 1; print ms * 1000 }' "$1.log" >>"$1.own" ||
		die "$1: no times: $(cat "$1.log")"
}

bench_start() {
	local starts=$((rounds * 10)) names='lkvm ioctls none' i n

	part start "exec to the first instruction and out again, median of $starts"
	command_set lkvm ./lkvm run -m 256M -c 1 -k tiny
	command_set ioctls ./mini-ioctls
	command_set none ./lkvm run -m 256M -c 1 -k tiny --timing
	if tap_device add; then
		command_set tap ./lkvm run -m 256M -c 1 -k tiny --timing \
			-n tap,ifname=lkb1
		names+=' tap'
	else
		echo "# no tap device: not measured"
	fi
	for ((i = 0; i <= starts; i++)); do
		for n in $names; do
			once "$n" any	# AL of the guest is the status
			# the first one warms up
			[ $i -gt 0 ] || rm "$n.us"
			[ $i = 0 ] || [[ $n != [nt]* ]] || own_us "$n"
		done
	done
	! grep -q . lkvm.log || die "lkvm: $(cat lkvm.log)"
	figure 'lkvm' lkvm
	figure 'the same ioctls' ioctls
	ratio 'lkvm / the same ioctls' lkvm ioctls '<=' 1.5
	[ -s tap.us ] || return 0
	tap_device del
	for n in none tap; do
		row "devices and all but the VM, network: $n" \
			"$(calc "$(median $n.own) / 1000" %.2f)" ms
	done
	verdict 'an interface, ms more than none' \
		"$(calc "($(median tap.own) - $(median none.own)) / 1000" %.2f)" '<' 1
}
