# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# fio in a Debian guest: its own kernel and initrd, its root read-only, a shell
# as init that runs the script below from a third disk. The measured disk is in
# memory; QEMU has io_uring, the same cache mode, and an I/O thread.
#
# What a machine manages changes within seconds, and by more than what is to be
# seen here. So both guests are up, a job is a line on their consoles, and they get
# each in turn while the other is stopped; what counts is the ratio of such pairs.

fio_seconds=2

fio_script() {
	cat <<-END
		mount -t tmpfs tmp /tmp
		cd /tmp
		echo READY
		while read -r rw bs depth; do
		echo "FIO \$rw \$depth \$(fio --minimal --name=f \\
			--filename=/dev/vdb --direct=1 --ioengine=libaio \\
			--rw=\$rw --bs=\$bs --iodepth=\$depth --thread \\
			--gtod_reduce=1 --time_based \\
			--runtime=$fio_seconds | tail -n 1)"
		done
		echo o >/proc/sysrq-trigger
		sleep 1000
	END
}

# fio_wait NAME PATTERN COUNT: until so many lines of NAME.log begin like that
fio_wait() {
	local i

	for ((i = 0; i < 1200; i++)); do
		[ "$(grep -ac "^$2" "$1.log")" -lt "$3" ] || return 0
		[ -d "/proc/${pids[$1]}" ] || break
		sleep 0.1
	done
	tail -n 5 "$1.log" >&2
	die "$1: no \"$2\" in its output"
}

# fio_job NAME RW BS DEPTH: IOPS of the job in NAME, appended to NAME.RWDEPTH.iops
fio_job() {
	jobs_of[$1]=$((${jobs_of[$1]:-0} + 1))
	kill -CONT "${pids[$1]}"
	echo "$2 $3 $4" >"$1.in"
	fio_wait "$1" FIO "${jobs_of[$1]}"
	kill -STOP "${pids[$1]}"
	tr -d '\r' <"$1.log" | grep -a '^FIO' | tail -n 1 | awk -F ';' -v rw="$2" \
		'{ print rw ~ /read/ ? $8 : $49 }' >>"$1.$2$4.iops"
}

# fio_start NAME: its guest, up and stopped
fio_start() {
	mkfifo "$1.in" || exit 1
	# open for both: neither end waits for the other
	eval "exec ${commands[$1]}" <>"$1.in" >"$1.log" 2>&1 &
	pids[$1]=$!
	fio_wait "$1" READY 1
	kill -STOP "${pids[$1]}"
}

fio_end() {
	local v

	for v in "${!pids[@]}"; do
		kill -KILL "${pids[$v]}"
		wait "${pids[$v]}"
	done 2>/dev/null
}

bench_fio() {
	local params v i rw bs depth names=lkvm_fio root mode
	local -A pids jobs_of

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
	trap 'fio_end; rm -rf "$work"' EXIT
	for v in $names; do
		fio_start $v
	done
	for ((i = 0; i < 2 * rounds; i++)); do
		for depth in 1 32; do
			for rw in read write randread randwrite; do
				bs=64k
				[ $rw = "${rw#rand}" ] || bs=4k
				for v in $names; do
					fio_job $v $rw $bs $depth
				done
			done
		done
		# who went first goes last
		names=$(printf '%s\n' $names | tac)
	done
	for depth in 1 32; do
		for rw in read write randread randwrite; do
			row "lkvm $rw, depth $depth" \
				"$(median lkvm_fio.$rw$depth.iops)" IOPS
			[ -s qemu_fio.$rw$depth.iops ] || continue
			row "qemu $rw, depth $depth" \
				"$(median qemu_fio.$rw$depth.iops)" IOPS
			verdict "lkvm / qemu, $rw, depth $depth" \
				"$(paste lkvm_fio.$rw$depth.iops \
				qemu_fio.$rw$depth.iops |
				awk '{ printf "%.3f\n", $1 / $2 }' | median)" '>=' 1
		done
	done
}
