# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# fio in a Debian guest: its own kernel and initrd, its root read-only, a shell
# as init that runs the script below from a third disk. The measured disk is in
# memory; QEMU has io_uring, the same cache mode, and an I/O thread.

fio_seconds=3

fio_script() {
	cat <<-END
		mount -t tmpfs tmp /tmp
		cd /tmp
		for depth in 1 32; do
		for rw in read write randread randwrite; do
		case \$rw in rand*) bs=4k ;; *) bs=64k ;; esac
		echo "FIO \$rw \$depth \$(fio --minimal --name=f \\
			--filename=/dev/vdb --direct=1 --ioengine=libaio \\
			--rw=\$rw --bs=\$bs --iodepth=\$depth --thread \\
			--gtod_reduce=1 --time_based --ramp_time=1 \\
			--runtime=$fio_seconds | tail -n 1)"
		done
		done
		echo RESULT fio ok
		echo o >/proc/sysrq-trigger
		sleep 1000
	END
}

# fio_collect NAME: IOPS of each job from NAME.log, by job
fio_collect() {
	tr -d '\r' <"$1.log" | awk -v name="$1" '$1 == "FIO" {
		split($0, a, ";")
		iops = $2 ~ /read/ ? a[8] : a[49]
		print iops >> (name "." $2 $3 ".iops")
	}'
}

bench_fio() {
	local params v i rw depth names=lkvm_fio root mode a b

	part fio "virtio-blk in a Debian guest, IOPS, median of $rounds"
	find_target
	# not copied: it is read while the guest boots, before fio runs
	root=$(realpath "$dir/root.img") || exit 1
	cp "$dir/vmlinuz" "$dir/initrd.img" . || exit 1
	fio_script >script
	truncate -s 64K script
	mode=cache=$qemu_cache,aio=io_uring
	params='console=ttyS0 loglevel=4 panic=-1 root=/dev/vda ro fastboot'
	params+=' init=/bin/sh -- /dev/vdc'
	command_set lkvm_fio ./lkvm run -m 512M -c 1 -k vmlinuz -i initrd.img \
		-d "$root,ro" -d "$target$lkvm_cache" -d script,ro \
		--nodefaults -p "$params"
	if have_qemu; then
		names+=' qemu_fio'
		command_set qemu_fio "${qemu[@]}" -m 512 -kernel vmlinuz \
			-initrd initrd.img -append "$params" -serial stdio \
			-object iothread,id=io \
			-drive "file=$root,format=raw,if=none,id=r,readonly=on,file.locking=off" \
			-device virtio-blk-pci,drive=r \
			-drive "file=$target,format=raw,if=none,id=d,$mode" \
			-device virtio-blk-pci,drive=d,iothread=io \
			-drive file=script,format=raw,if=none,id=s,readonly=on \
			-device virtio-blk-pci,drive=s
	fi
	for ((i = 0; i < rounds; i++)); do
		for v in $names; do
			once $v 0 'RESULT fio ok'
			fio_collect $v
		done
	done
	for depth in 1 32; do
		for rw in read write randread randwrite; do
			a=$(median lkvm_fio.$rw$depth.iops)
			row "lkvm $rw, depth $depth" "$a" IOPS
			[ -s qemu_fio.$rw$depth.iops ] || continue
			b=$(median qemu_fio.$rw$depth.iops)
			row "qemu $rw, depth $depth" "$b" IOPS
			verdict "lkvm / qemu, $rw, depth $depth" \
				"$(calc "$a / $b")" '>=' 1
		done
	done
}
