# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The network of lkvm beside QEMU's with the same backend, a tap device, with and
# without vhost:
#
#   - iperf3 out of the guest and into it, one stream and four
#   - datagrams of 64 bytes a second, and latency
#   - system calls a packet, of the thread that moves packets
#
# Same kernel, initrd, two CPUs; in an emulated host one that does not halt, because
# more do not get to the end there (Documentation/testing.md). Needs root.

net_figures='out1 in1 out4 in4 pps_out pps_in ping'
net_seconds=3

# net_tap NUMBER: a tap device, and the address of this side
net_tap() {
	ip tuntap add "lkb$1" mode tap || die "cannot make a tap device"
	net_taps+=" lkb$1"
	ip addr add "10.9.$1.1/24" dev "lkb$1"
	ip link set "lkb$1" up
}

net_end() {
	local t

	turn_end "${!turn_pid[@]}"
	[ -z "$net_server" ] || kill "$net_server"
	for t in $net_taps; do
		ip link del "$t"
	done
	echo "$net_saved" >/proc/sys/net/ipv4/tcp_no_metrics_save
	rm -rf "$work"
}

# net_guests: sets commands of all kinds
net_guests() {
	local kind n=0 p cpus=2 vhost
	local params="console=ttyS0 panic=-1 loglevel=1 lkvm.test=netbench"

	params+=" lkvm.seconds=$net_seconds"
	if [ -n "${LKVM_IN_EMULATED_HOST:-}" ]; then
		cpus=1
		params+=" idle=poll"
	fi
	for kind in $kinds; do
		net_tap $n
		p="$params lkvm.peer=10.9.$n.1"
		case $kind in
		lkvm*)
			vhost=${kind#lkvm}
			command_set "$kind" ./lkvm run -k bzImage -i initrd-net -m 256M \
				-c $cpus --nodefaults -n "tap,ifname=lkb$n${vhost/_/,}" \
				-p "$p"
			;;
		qemu*)
			vhost=off
			[ "$kind" = qemu ] || vhost=on
			command_set "$kind" "${qemu[@]}" -m 256 -smp $cpus \
				-serial stdio -kernel bzImage -initrd initrd-net \
				-append "$p" -netdev \
				"tap,id=n,ifname=lkb$n,script=no,downscript=no,vhost=$vhost" \
				-device virtio-net-pci,netdev=n,romfile=
			;;
		esac
		n=$((n + 1))
	done
}

# net_row TITLE FIGURE UNIT OP TARGET TARGET: lkvm beside QEMU, then with vhost
net_row() {
	local vhost target=$5

	for vhost in '' _vhost; do
		row "$1${vhost:+, vhost}, lkvm" "$(median "lkvm$vhost.$2")" "$3"
		if [ -s "qemu$vhost.$2" ]; then
			row "$1${vhost:+, vhost}, qemu" "$(median "qemu$vhost.$2")" "$3"
			verdict "$1${vhost:+, vhost}: lkvm / qemu" \
				"$(calc "$(pairs "lkvm$vhost.$2" "qemu$vhost.$2")")" "$4" \
				"$target"
		fi
		target=$6
	done
}

# System calls, counted by the kernel for each thread.

net_event=/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter

# net_packets TAP: both ways so far
net_packets() {
	echo $(($(cat "/sys/class/net/$1/statistics/rx_packets") +
		$(cat "/sys/class/net/$1/statistics/tx_packets")))
}

# Of thread $1, as far as counted.
net_calls() {
	awk -v t="$1" '/common_pid:/ { gsub(/[{}:,]/, " ")
		for (i = 1; i < NF; i++) {
			if ($i == "common_pid") pid = $(i + 1)
			if ($i == "hitcount") hits = $(i + 1) }
		if (pid == t) n = hits } END { print n + 0 }' "$net_event/hist"
}

# net_syscalls KIND FIGURE
net_syscalls() {
	local tap i before calls pid=${turn_pid[$1]} tid

	tid=$pid
	[ "$1" = qemu ] || for i in /proc/"$pid"/task/*; do
		grep -q net0 "$i/comm" && tid=${i##*/}
	done
	tap=$(grep -o 'lkb[0-9]' <<<"${commands[$1]}" | head -n 1)
	turn_say "$1" "$2"
	sleep 1.5
	echo 'hist:keys=common_pid' >"$net_event/trigger"
	before=$(net_packets "$tap")
	calls=$(net_calls "$tid")
	sleep 1
	calls=$(($(net_calls "$tid") - calls))
	before=$(($(net_packets "$tap") - before))
	echo '!hist:keys=common_pid' >"$net_event/trigger"
	turn_wait "$1" FIGURE || die "$1, $2: no figure"
	kill -STOP "$pid"
	row "system calls a packet, $2, $1" \
		"$(calc "$before ? $calls / $before : 0")" '' "$calls calls, $before packets"
}

bench_net() {
	local kinds='lkvm lkvm_vhost' f k

	[ "$(id -u)" = 0 ] || die "part net needs root, for tap devices"
	command -v iperf3 >/dev/null || die "no iperf3: install package iperf3"
	part net "a tap device, median of $rounds"
	have_qemu && kinds+=' qemu qemu_vhost'
	PATH=$PATH:/usr/sbin:/sbin
	net_taps='' net_server=''
	net_saved=$(cat /proc/sys/net/ipv4/tcp_no_metrics_save)
	trap net_end EXIT
	# A connection does not begin with what became of the one before it.
	echo 1 >/proc/sys/net/ipv4/tcp_no_metrics_save
	net_guests
	iperf3 -s >/dev/null 2>&1 &
	net_server=$!
	# shellcheck disable=SC2086
	turns "$rounds" "$kinds" $net_figures
	net_row 'guest to host, 1 stream' out1 Mbit/s '>=' 1.2 1
	net_row 'host to guest, 1 stream' in1 Mbit/s '>=' 1.2 1
	net_row 'guest to host, 4 streams' out4 Mbit/s '>=' 1.2 1
	net_row 'host to guest, 4 streams' in4 Mbit/s '>=' 1.2 1
	net_row 'packets out' pps_out 1/s '>=' 1.2 1
	net_row 'packets in' pps_in 1/s '>=' 1.2 1
	net_row 'latency' ping ms '<=' 1 1
	if [ ! -w "$net_event/trigger" ]; then
		echo "# no $net_event: system calls are not counted"
		return
	fi
	for f in out1 in1 pps_out; do
		for k in $kinds; do
			[ $k = "${k%_vhost}" ] || continue
			net_syscalls "$k" "$f"
		done
	done
}
