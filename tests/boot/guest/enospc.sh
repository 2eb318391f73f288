# SPDX-License-Identifier: GPL-2.0-only
# lkvm.dev=NAME on a host file system with room for 2 MiB: a write that does
# not fit is an error here, what fits is still good.

dev=/dev/$(arg dev vda)
head -c 1048576 /dev/urandom >/tmp/part
dd if=/tmp/part of="$dev" bs=64k conv=fsync,notrunc 2>/dev/null ||
	fail "a write that fits"
dd if=/dev/urandom of="$dev" bs=64k seek=16 count=128 conv=fsync,notrunc \
	2>/dev/null && fail "a write that does not fit succeeded"
echo 3 >/proc/sys/vm/drop_caches
dd if="$dev" of=/tmp/back bs=64k count=16 2>/dev/null || fail "read"
cmp /tmp/part /tmp/back || fail "what was written before is different"
