# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Whole runs to the end of a one-line init.

bench_boot() {
	local params='panic=-1 loglevel=4' b i boots
	# without ACPI a guest can only reset, and it does not look for PCI
	local mini="console=ttyS0 $params acpi=off pci=off reboot=p -- restart"
	local machine=(-m 256M -c 1 -i initrd)
	local devices=(-d disk --console virtio --rng)

	part boot "whole run to the end of init, 1 CPU, 256 MiB, median of $rounds"
	command_set lkvm_bz ./lkvm run "${machine[@]}" -k bzImage
	command_set lkvm_elf ./lkvm run "${machine[@]}" -k vmlinux
	command_set lkvm_bz_dev ./lkvm run "${machine[@]}" -k bzImage \
		"${devices[@]}"
	command_set lkvm_elf_dev ./lkvm run "${machine[@]}" -k vmlinux \
		"${devices[@]}"
	command_set mini_bz ./mini-vmm bzImage initrd "$mini"
	command_set mini_elf ./mini-vmm vmlinux initrd "$mini"
	boots='lkvm_bz lkvm_elf lkvm_bz_dev lkvm_elf_dev mini_bz mini_elf'
	if have_qemu; then
		command_set qemu_dev "${qemu[@]}" -m 256 -kernel bzImage \
			-initrd initrd -append "console=hvc0 $params" \
			-drive file=disk,format=raw,if=none,id=d \
			-device virtio-blk-pci,drive=d -device virtio-rng-pci \
			-device virtio-serial-pci -chardev stdio,id=c \
			-device virtconsole,chardev=c
		boots+=' qemu_dev'
	fi
	for b in $boots; do	# warm up: the page cache, KVM's module state
		once "$b" 0 'RESULT oneline ok'
		rm "$b.us"
	done
	for ((i = 0; i < rounds; i++)); do
		for b in $boots; do
			once "$b" 0 'RESULT oneline ok'
		done
	done
	figure 'lkvm bzImage' lkvm_bz
	figure 'lkvm vmlinux' lkvm_elf
	figure 'lkvm bzImage; disk, virtio console, rng' lkvm_bz_dev
	figure 'lkvm vmlinux; disk, virtio console, rng' lkvm_elf_dev
	figure 'mini-vmm bzImage' mini_bz
	figure 'mini-vmm vmlinux' mini_elf
	ratio 'lkvm / mini-vmm, bzImage' lkvm_bz mini_bz '<=' 1.15
	ratio 'lkvm / mini-vmm, vmlinux' lkvm_elf mini_elf '<=' 1.15
	ratio 'lkvm with devices / mini-vmm, bzImage' lkvm_bz_dev mini_bz \
		'<=' 1.15
	ratio 'lkvm with devices / mini-vmm, vmlinux' lkvm_elf_dev mini_elf \
		'<=' 1.15
	[ -s qemu_dev.us ] || return 0
	figure 'qemu q35 bzImage; disk, virtio console, rng' qemu_dev
	ratio 'lkvm bzImage / qemu bzImage, same devices' lkvm_bz_dev \
		qemu_dev '<=' 0.5
	ratio 'lkvm vmlinux / qemu bzImage, same devices' lkvm_elf_dev \
		qemu_dev '<=' 0.4
}
