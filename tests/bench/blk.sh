# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Reads of 4 KiB from virtio-blk in the small kernel: time, and the system calls
# of the VMM, counted by syscalls between marks that the guest prints. What a
# mark itself costs is known from two with nothing between them. At depth 32 the
# guest submits again together what it finds completed.

# counted LOG NAME FROM TO: calls between two marks less those of a mark
counted() {
	awk -v name="$2" -v from="$3" -v to="$4" '
		$1 == "MARK" {
			for (i = 3; i <= NF; i++) {
				split($i, a, "=")
				if (a[1] == name)
					n[$2] = a[2]
			}
		}
		END { d = n[to] - n[from] - n["empty"] + n["begin"]
		      print (d > 0 ? d : 0) }' "$1"
}

# blk_row NAME DEPTH MARK BEFORE
blk_row() {
	local log=$1.log c text=''

	row "$1, depth $2, time of a read" "$(awk -v d="$2" -v n="$reads" '
		$1 == "TIME" && $2 == d && ++seen == 1 + (d == 1) {
			printf "%.1f", $3 / n }' "$log")" us
	for c in io_uring_enter ioctl write read ppoll futex; do
		text+="$c $(calc "$(counted "$log" "$c" "$4" "$3") / $reads" %.3f) "
	done
	calc "$(counted "$log" all "$4" "$3") / $reads" %.3f >"$1.calls$2"
	row "$1, depth $2, system calls of a read" "$(cat "$1.calls$2")" '' "$text"
}

bench_blk() {
	local reads=2048 params v names=lkvm_blk

	part blk "virtio-blk, $reads random reads of 4 KiB in the guest"
	find_target
	params="READS=$reads"
	command_set lkvm_blk ./syscalls ./lkvm run -m 256M -c 1 -k bzImage \
		-i initrd-blk -d "$target$lkvm_cache" -p "$params"
	if have_qemu; then
		names+=' qemu_blk'
		command_set qemu_blk ./syscalls "${qemu[@]}" -m 256 \
			-kernel bzImage -initrd initrd-blk -append \
			"console=ttyS0 panic=-1 loglevel=4 $params" \
			-serial stdio -object iothread,id=io -drive \
			"file=$target,format=raw,if=none,id=d,cache=$qemu_cache,aio=io_uring" \
			-device virtio-blk-pci,drive=d,iothread=io
	fi
	for v in $names; do
		once $v 0 'RESULT blk ok'
		blk_row $v 1 depth1 empty
		blk_row $v 32 depth32 depth1
	done
	verdict 'lkvm, system calls of a read at depth 32' \
		"$(cat lkvm_blk.calls32)" '<' 0.5
}
