# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A write to the serial port's scratch register: what an exit costs that user
# space handles. The time of many less that of none, by their number.

bench_exits() {
	local n=20000 names='lkvm mini' v i

	part exits "a port write to user space and back, median of $rounds"
	for v in none many; do
		command_set lkvm_$v ./lkvm run -m 256M -c 1 -k exits-$v
		command_set mini_$v ./mini-vmm exits-$v initrd ''
	done
	if have_qemu; then
		names+=' qemu'
		for v in none many; do
			command_set qemu_$v "${qemu[@]}" -m 256 -serial stdio \
				-kernel exits-$v
		done
	fi
	for ((i = 0; i < rounds; i++)); do
		for v in $names; do
			once "${v}_none" 0
			once "${v}_many" 0
		done
	done
	for v in $names; do
		calc "($(median "${v}_many.us") - $(median "${v}_none.us")) / $n" \
			%.2f >"$v.exit"
		row "$v" "$(cat "$v.exit")" us 'an exit'
	done
	row 'lkvm / mini-vmm' "$(calc "$(cat lkvm.exit) / $(cat mini.exit)")" ''
	[ ! -s qemu.exit ] ||
		verdict 'lkvm / qemu' \
			"$(calc "$(cat lkvm.exit) / $(cat qemu.exit)")" '<=' 1
}
