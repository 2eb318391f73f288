# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A command in the kernel that was just built, from exec to exit. QEMU's guest
# does less: the one-line init of its initramfs is the command.

# share_of LOG US: what of a run is lkvm's own, on the host and in its init, in %:
# all but the guest's kernel up to where init is heard of, and the command
share_of() {
	awk -v us="$2" '
		/^lkvm: timing: / { t[$3] = $4 }
		END {
			if (!("init" in t) || !("run" in t))
				exit 1
			own = us / 1000 - t["init"] - t["run"]
			printf "%.1f\n", own / (us / 1000) * 100
		}' "$1" || die "no times of init and command"
}

bench_command() {
	local params='console=ttyS0 panic=-1 loglevel=4' i b c
	local machine=(-m 256M -c 1 -k bzImage)

	part command "a command from exec to exit, 1 CPU, 256 MiB, median of $rounds"
	command_set lkvm_true ./lkvm run "${machine[@]}" -- true
	command_set lkvm_timing ./lkvm run "${machine[@]}" --timing -- true
	c='lkvm_true lkvm_timing'
	if have_qemu; then
		command_set qemu_true "${qemu[@]}" -m 256 -kernel bzImage \
			-initrd initrd -append "$params" -serial stdio
		c+=' qemu_true'
	fi
	for ((i = 0; i <= rounds; i++)); do
		for b in $c; do
			once "$b" 0
			# warm up: the page cache, KVM's module state
			[ $i -gt 0 ] || rm "$b.us"
		done
		[ $i -eq 0 ] || share_of lkvm_timing.log \
			"$(tail -n 1 lkvm_timing.us)" >>share
	done
	figure 'lkvm run -- true' lkvm_true
	grep '^lkvm: timing: ' lkvm_timing.log
	verdict "lkvm's own share in %" "$(median share)" '<' 10
	[ -s qemu_true.us ] || return 0
	figure 'qemu q35, to the end of a one-line init' qemu_true
	ratio 'lkvm run -- true / qemu' lkvm_true qemu_true '<=' 0.5
}
