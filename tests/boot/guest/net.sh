# SPDX-License-Identifier: GPL-2.0-only
# lkvm.net=STEP,STEP...: each is a function below, its arguments behind colons.
# lkvm.peer=ADDR is the other end, lkvm.peer6=ADDR the same in IPv6. Prints
#
#   CHECK STEP ok
#   CHECK STEP FAIL why
#
# After "at", steps are about the interface and the peer that it names.

peer=$(arg peer 10.9.0.1)
peer6=$(arg peer6 fd09::1)
dev=eth0

is_up() {
	[ "$(cat /sys/class/net/$dev/carrier 2>/dev/null)" = 1 ]
}

wait_link() {
	i=0
	while [ $i -lt 1200 ]; do
		if is_up; then
			[ "$1" = up ] && return 0
		else
			[ "$1" = down ] && return 0
		fi
		i=$((i + 1))
		usleep 100000
	done
	return 1
}

# at AA-BB-CC-DD-EE-FF PEER: the interface of that address
step_at() {
	mac=$(echo "$1" | tr - :)
	for i in /sys/class/net/*; do
		[ "$(cat "$i/address")" = "$mac" ] || continue
		echo "dev=${i##*/} peer=$2" >/tmp/at
		return 0
	done
	return 1
}

# up ADDR ADDR6
step_up() {
	ip link set lo up
	ip link set $dev up || return 1
	wait_link up || return 1
	ip addr add "${1:-10.9.0.2/24}" dev $dev || return 1
	echo 0 >/proc/sys/net/ipv6/conf/$dev/accept_dad
	# colons of its own make it several arguments
	[ $# = 0 ] || shift
	addr6=$(IFS=:; echo "$*")
	ip -6 addr add "${addr6:-fd09::2/64}" dev $dev || return 1
	# until the address may be used
	i=0
	while ip -6 addr show dev $dev | grep -q tentative && [ $i -lt 50 ]; do
		i=$((i + 1))
		usleep 100000
	done
}

step_dhcp() {
	ip link set lo up
	ip link set $dev up
	cat >/tmp/dhcp <<-'END'
		#!/bin/sh
		[ "$1" = bound ] || exit 0
		ip addr add "$ip/$mask" dev $interface
		ip route add default via "${router%% *}"
		for s in $dns; do echo "nameserver $s"; done >/tmp/resolv.conf
		echo "DHCP $ip $mask $router $dns"
	END
	chmod 755 /tmp/dhcp
	mkdir -p /etc
	ln -sf /tmp/resolv.conf /etc/resolv.conf
	udhcpc -i $dev -n -q -t 10 -T 3 -s /tmp/dhcp
}

# An address from a router's advertisement.
step_slaac() {
	i=0
	while [ $i -lt 150 ]; do
		ip -6 addr show dev $dev scope global | grep inet6 |
			grep -vq tentative && return 0
		i=$((i + 1))
		usleep 200000
	done
	return 1
}

# dns NAME ADDR
step_dns() {
	nslookup "$1" >/tmp/dns 2>&1
	grep -q "$2" /tmp/dns || {
		cat /tmp/dns
		return 1
	}
}

step_ping() {
	ping -c "${1:-3}" -W 10 -s "${2:-56}" "$peer"
}

step_ping6() {
	ping -6 -c "${1:-3}" -W 10 -s "${2:-56}" "$peer6"
}

# get [6]: a file from the peer, compared with the sum that comes with it
step_get() {
	host=$peer
	[ "${1:-}" = 6 ] && host=$peer6
	netpeer fetch "$host" 8000 >/tmp/blob || return 1
	sum=$(sha256sum </tmp/blob)
	[ "${sum%% *}" = "$(arg sum)" ]
}

# put PORT: the file that get got back to the peer, who compares it
step_put() {
	netpeer push "$peer" "${1:-8001}" </tmp/blob
}

# iperf STREAMS [OPTION...]
step_iperf() {
	streams=$1
	shift
	iperf3 -c "$peer" -P "$streams" -t "$(arg seconds 3)" -f m "$@" \
		>/tmp/iperf 2>&1 || {
		tail -n 3 /tmp/iperf
		return 1
	}
	grep -E 'sender|receiver' /tmp/iperf | tail -n 2
}

# udp COUNT SIZE
step_udp() {
	netpeer udp "$peer" "$(arg port 7000)" "${1:-50}" "${2:-1000}"
}

step_udp6() {
	netpeer udp "$peer6" "$(arg port 7000)" "${1:-50}" "${2:-1000}"
}

step_connect() {
	netpeer connect "$peer" "$(arg port 7000)" "${1:-1000}"
}

# Until somebody serves there.
step_reach() {
	i=0
	while ! netpeer connect "$peer" "$(arg port 7000)" 1 >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -lt 100 ] || return 1
		sleep 1
	done
}

step_mtu() {
	ip link set $dev mtu "$1" && [ "$(cat /sys/class/net/$dev/mtu)" = "$1" ]
}

# offloads on|off
step_offloads() {
	for f in tx sg tso gso gro rx; do
		ethtool -K $dev $f "$1" 2>/dev/null
	done
	ethtool -k $dev | grep -E '^(rx-check|tx-check|tcp-seg|generic)'
	ethtool -k $dev | grep -q "^tcp-segmentation-offload: $1" &&
		ethtool -k $dev | grep -q "^tx-checksumming: $1"
}

step_channels() {
	ethtool -L $dev combined "$1" &&
		ethtool -l $dev | tail -n 2 | grep -q "Combined:.*$1"
}

# mac AA-BB-CC-DD-EE-FF
step_mac() {
	set -- "$(echo "$1" | tr - :)"
	ip link set $dev address "$1" 2>/dev/null || {
		ip link set $dev down
		ip link set $dev address "$1" || return 1
		ip link set $dev up
	}
	ip link show $dev | grep -q "$1"
}

# waitdown, waitup: the host is told on the console when to act
step_waitdown() {
	echo "READY" >/dev/console
	wait_link down
}

step_waitup() {
	wait_link up
}

# bytes rx|tx: so far
bytes() {
	cat "/sys/class/net/$dev/statistics/${1}_bytes"
}

# flow GET PUT: bytes without end from one of the peer's ports and to another; in the
# middle of that the link goes down
step_flow() {
	netpeer fetch "$peer" "$1" >/dev/null &
	fetch=$!
	netpeer push "$peer" "$2" </dev/zero &
	push=$!
	i=0
	while [ "$(bytes rx)" -lt 1000000 ] || [ "$(bytes tx)" -lt 1000000 ]; do
		i=$((i + 1))
		[ $i -lt 600 ] || return 1
		usleep 100000
	done
	rx=$(bytes rx) tx=$(bytes tx)
	step_waitdown || return 1
	echo "netpeer: $(($(bytes rx) - rx)) and $(($(bytes tx) - tx)) bytes more"
	[ "$(bytes rx)" -gt "$rx" ] && [ "$(bytes tx)" -gt "$tx" ] || return 1
	# Neither has ended: nobody told them.
	grep -q push /proc/$push/cmdline && grep -q fetch /proc/$fetch/cmdline || return 1
	rx=$(bytes rx)
	sleep 1
	[ "$(bytes rx)" = "$rx" ] && ! is_up && kill $fetch $push
}

# Something is still alive here, and the queue does not hang.
step_alive() {
	ping -c 1 -W 1 "$peer" >/dev/null 2>&1
	ip link set $dev down && ip link set $dev up
}

# serveuntil PORT: until somebody says something on PORT+1
step_serveuntil() {
	netpeer serve "$1" &
	echo "READY" >/dev/console
	netpeer take $(($1 + 1)) >/tmp/bye
}

# bye PORT: what serveuntil waits for
step_bye() {
	echo bye | netpeer push "$peer" "$1"
}

failed=0
for step in $(arg net ping | tr ',' ' '); do
	if (
		[ ! -f /tmp/at ] || . /tmp/at
		IFS=:
		set -- $step
		unset IFS
		name=$1
		shift
		"step_$name" "$@"
	) >/tmp/said 2>&1; then
		grep -hE '^(netpeer|DHCP)' /tmp/said
		grep -hE 'sender|receiver' /tmp/said
		echo "CHECK $step ok"
	else
		sed 's/^/SAID /' /tmp/said
		echo "CHECK $step FAIL"
		failed=1
	fi
done
[ $failed = 0 ] || fail "steps failed"
