# SPDX-License-Identifier: GPL-2.0-only
# lkvm.dev=NAME: what is written is read back, past the page cache, in
# several block sizes; a discard succeeds where the disk offers it.

dev=/dev/$(arg dev vda)
mib=$(arg blkio 8)
[ -b "$dev" ] || fail "no $dev"

dd if=/dev/urandom of=/tmp/pattern bs=1M count="$mib" 2>/dev/null
for bs in 512 4096 65536 1048576; do
	count=$((mib * 1048576 / bs))
	# small blocks: a part is enough
	[ "$count" -le 512 ] || count=512
	head -c $((bs * count)) /tmp/pattern >/tmp/part
	dd if=/tmp/part of="$dev" bs="$bs" seek=3 conv=fsync,notrunc \
		2>/dev/null || fail "write with bs=$bs"
	sync
	echo 3 >/proc/sys/vm/drop_caches
	dd if="$dev" of=/tmp/back bs="$bs" skip=3 count="$count" \
		2>/dev/null || fail "read with bs=$bs"
	cmp /tmp/part /tmp/back || fail "bs=$bs reads back differently"
	rm -f /tmp/part /tmp/back
done

if [ "$(cat "/sys/block/${dev#/dev/}/queue/discard_max_bytes")" != 0 ]; then
	blkdiscard -o 1048576 -l 1048576 "$dev" || fail "discard"
	dd if="$dev" of=/dev/null bs=1M skip=1 count=1 2>/dev/null ||
		fail "read of a discarded range"
	echo "discard done"
fi
