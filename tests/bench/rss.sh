# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Resident memory that is not the guest's. Guest memory is what has the advice
# MADV_HUGEPAGE, which nothing else gets, and the files mapped into it.

# rss_beyond PID: KiB
rss_beyond() {
	awk '
		/^[0-9a-f]+-[0-9a-f]+ / { file = $6 }
		/^Rss:/ { rss = $2 }
		/^VmFlags:/ {
			guest = / hg( |$)/ ||
				file ~ /\/(bzImage|vmlinux|initrd-blk)$/
			found += guest
			if (!guest)
				sum += rss
		}
		END { print found ? sum : "none" }' "/proc/$1/smaps"
}

# rss_of NAME: runs it until its guest waits, then looks.
rss_of() {
	local pid i

	eval "exec ${commands[$1]}" </dev/null >"$1.log" 2>&1 &
	pid=$!
	for ((i = 0; i < 2000; i++)); do
		grep -q '^READY' "$1.log" && break
		kill -0 $pid 2>/dev/null || break
		sleep 0.1
	done
	grep -q '^READY' "$1.log" || {
		kill $pid 2>/dev/null
		die "$1: $(tail -n 3 "$1.log")"
	}
	sleep 0.5
	rss_beyond $pid >"$1.rss"
	kill $pid
	wait $pid 2>/dev/null
	[ "$(cat "$1.rss")" != none ] || die "$1: cannot tell guest memory"
}

bench_rss() {
	local m sizes='128 1024 8192' params='HOLD=1'

	part rss 'resident memory beyond the guest, one disk, a guest that waits'
	for m in $sizes; do
		command_set lkvm_rss_$m ./lkvm run -m ${m}M -c 1 -k bzImage \
			-i initrd-blk -d disk -p "$params"
		rss_of lkvm_rss_$m
	done
	command_set mini_rss ./mini-vmm bzImage initrd-blk \
		"console=ttyS0 panic=-1 loglevel=4 acpi=off pci=off $params"
	if have_qemu; then
		for m in $sizes; do
			command_set qemu_rss_$m "${qemu[@]}" -m $m \
				-kernel bzImage -initrd initrd-blk -append \
				"console=ttyS0 panic=-1 loglevel=4 $params" \
				-serial stdio -device virtio-blk-pci,drive=d \
				-drive file=disk,format=raw,if=none,id=d
			rss_of qemu_rss_$m
		done
	fi
	# As many names as there are, or as there is time for
	command_set lkvm_find ./lkvm run -m 512M -c 1 -k bzImage -- sh -c \
		'timeout 100 find / -xdev | wc -l; echo READY; exec sleep 1000'
	rss_of lkvm_find
	for m in $sizes; do
		row "lkvm, guest of $m MiB" "$(cat lkvm_rss_$m.rss)" KiB \
			"$([ ! -s qemu_rss_$m.rss ] ||
				echo "qemu $(cat qemu_rss_$m.rss) KiB")"
	done
	row 'names that find has printed' "$(grep -m 1 -x '[0-9]*' lkvm_find.log)" ''
	verdict 'lkvm, the root shared, after that, KiB' "$(cat lkvm_find.rss)" '<' 8192
	verdict 'lkvm, most of these, KiB' \
		"$(sort -n lkvm_rss_*.rss | tail -n 1)" '<=' 3072
	verdict 'lkvm, most less least, KiB' "$(sort -n lkvm_rss_*.rss |
		awk 'NR == 1 { a = $1 } END { print $1 - a }')" '<=' 128
}
