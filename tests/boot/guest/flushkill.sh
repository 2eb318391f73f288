# SPDX-License-Identifier: GPL-2.0-only
# Writes block after block of 4096 bytes to lkvm.dev, each starting with its
# number, and says FLUSHED N only when N is on stable storage. The other end
# kills the machine at some moment and looks for all blocks that were said.

dev=/dev/$(arg dev vda)
[ -b "$dev" ] || fail "no $dev"
max=$(($(cat "/sys/block/${dev#/dev/}/size") / 8))
n=0
echo READY
while :; do
	printf 'BLOCK %d\n' "$n" | dd of="$dev" bs=4096 seek=$((n % max)) \
		conv=sync,fsync,notrunc 2>/dev/null || fail "write of block $n"
	echo "FLUSHED $n"
	n=$((n + 1))
done
