# SPDX-License-Identifier: GPL-2.0-only
# Figures of a network interface, for tests/bench/net.sh: a line "FIGURE NAME VALUE"
# for each name that is read. lkvm.peer=10.9.N.1 is who is at the other end,
# lkvm.seconds=N how long each takes.

peer=$(arg peer 10.9.0.1)
seconds=$(arg seconds 3)

ip link set lo up
ip link set eth0 up
ip addr add "${peer%.*}.2/24" dev eth0
i=0
while ! ping -c 1 -W 1 "$peer" >/dev/null 2>&1; do
	i=$((i + 1))
	[ $i -lt 30 ] || fail "no answer from $peer"
done

# stream NAME OPTION...: Mbit/s as the receiver has it
stream() {
	local name=$1

	shift
	iperf3 -c "$peer" -t "$seconds" -f m "$@" >/tmp/iperf 2>&1 ||
		fail "$name: $(tail -n 1 /tmp/iperf)"
	awk -v n="$name" '/receiver/ { v = $0 }
		END { sub(/ Mbits\/sec.*/, "", v); sub(/.* /, "", v)
		print "FIGURE", n, v }' /tmp/iperf
}

# packets NAME OPTION...: datagrams a second that arrive
packets() {
	local name=$1

	shift
	iperf3 -c "$peer" -u -b 0 -l 64 -t "$seconds" "$@" >/tmp/iperf 2>&1 ||
		fail "$name: $(tail -n 1 /tmp/iperf)"
	awk -v n="$name" -v s="$seconds" '/receiver/ {
		split($0, a, /[ \/(]+/)
		for (i in a) if (a[i] == "ms") at = i
		print "FIGURE", n, int((a[at + 2] - a[at + 1]) / s) }' /tmp/iperf
}

echo READY
while read -r f; do
	case $f in
	out1) stream out1 -P 1 ;;
	in1) stream in1 -P 1 -R ;;
	out4) stream out4 -P 4 ;;
	in4) stream in4 -P 4 -R ;;
	pps_out) packets pps_out ;;
	pps_in) packets pps_in -R ;;
	ping)
		ping -q -c 200 -i 0.005 "$peer" >/tmp/ping || fail ping
		sed -n 's|^round-trip.*= [^/]*/\([0-9.]*\)/.*|FIGURE ping \1|p' \
			/tmp/ping
		;;
	esac
done
