# SPDX-License-Identifier: GPL-2.0-only
# lkvm.mem=MIB: that much memory, less what the kernel keeps for itself.

want=$(($(arg mem 256) * 1024))
have=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
[ "$have" -le "$want" ] || fail "$have KiB, more than $want"
[ "$have" -ge $((want * 90 / 100 - 32768)) ] ||
	fail "$have KiB, far less than $want"
