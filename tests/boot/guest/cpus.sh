# SPDX-License-Identifier: GPL-2.0-only
# lkvm.cpus=N: that many processors are online.

want=$(arg cpus 1)
have=$(grep -c '^processor' /proc/cpuinfo)
[ "$have" = "$want" ] || fail "$have processors, want $want"
# each of them runs what is put on it
cpu=0
while [ "$cpu" -lt "$want" ]; do
	taskset -c "$cpu" true || fail "nothing runs on processor $cpu"
	cpu=$((cpu + 1))
done
