# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# fio in a Debian guest: its own kernel and initrd, its root read-only, a shell
# as init that runs the script below from a third disk. The measured disk is in
# memory; QEMU has io_uring, the same cache mode, and an I/O thread.

fio_seconds=2

fio_script() {
	cat <<-END
		mount -t tmpfs tmp /tmp
		cd /tmp
		echo READY
		while read -r rw bs depth; do
		case \$rw in *read) at=8 ;; *) at=49 ;; esac
		echo "FIGURE \$rw\$depth \$(fio --minimal --name=f \\
			--filename=/dev/vdb --direct=1 --ioengine=libaio \\
			--rw=\$rw --bs=\$bs --iodepth=\$depth --thread \\
			--gtod_reduce=1 --time_based \\
			--runtime=$fio_seconds | tail -n 1 | cut -d ';' -f \$at)"
		done
		echo o >/proc/sysrq-trigger
		sleep 1000
	END
}

bench_fio() {
	local params rw bs depth names=lkvm_fio root mode jobs=()

	part fio "virtio-blk in a Debian guest, IOPS, median of $((2 * rounds))"
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
			-drive "file=$target,format=raw,if=none,id=d,file.locking=off,$mode" \
			-device virtio-blk-pci,drive=d,iothread=io \
			-drive file=script,format=raw,if=none,id=s,readonly=on,file.locking=off \
			-device virtio-blk-pci,drive=s
	fi
	for depth in 1 32; do
		for rw in read write randread randwrite; do
			bs=64k
			[ $rw = "${rw#rand}" ] || bs=4k
			jobs+=("$rw $bs $depth")
		done
	done
	turns $((2 * rounds)) "$names" "${jobs[@]}"
	for depth in 1 32; do
		for rw in read write randread randwrite; do
			row "lkvm $rw, depth $depth" \
				"$(median lkvm_fio.$rw$depth)" IOPS
			[ -s qemu_fio.$rw$depth ] || continue
			row "qemu $rw, depth $depth" \
				"$(median qemu_fio.$rw$depth)" IOPS
			verdict "lkvm / qemu, $rw, depth $depth" "$(calc \
				"$(pairs lkvm_fio.$rw$depth qemu_fio.$rw$depth)")" '>=' 1
		done
	done
}
