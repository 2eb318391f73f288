# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# From exec to the guest's first instruction, which ends both.

bench_start() {
	local starts=$((rounds * 10)) i

	part start "exec to the first instruction and out again, median of $starts"
	command_set lkvm_start ./lkvm run -m 256M -c 1 -k tiny
	command_set ioctls_start ./mini-ioctls
	once lkvm_start any	# AL of the guest is the status
	once ioctls_start 0
	rm lkvm_start.us ioctls_start.us
	for ((i = 0; i < starts; i++)); do
		once lkvm_start any
		once ioctls_start 0
	done
	! grep -q . lkvm_start.log || die "lkvm: $(cat lkvm_start.log)"
	figure 'lkvm' lkvm_start
	figure 'the same ioctls' ioctls_start
	ratio 'lkvm / the same ioctls' lkvm_start ioctls_start '<=' 1.5
}
