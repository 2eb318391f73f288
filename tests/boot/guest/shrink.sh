# SPDX-License-Identifier: GPL-2.0-only
# lkvm.dev=NAME, which the host makes shorter (to 1 MiB) once SHRINK is printed:
# reads behind that fail, reads before it do not.

dev=/dev/$(arg dev vda)
dd if="$dev" of=/dev/null bs=64k count=1 skip=512 2>/dev/null ||
	fail "a read before the disk shrinks"
echo SHRINK
n=0
while dd if="$dev" of=/dev/null bs=64k count=1 skip=512 2>/dev/null; do
	echo 3 >/proc/sys/vm/drop_caches
	n=$((n + 1))
	[ $n -lt 100 ] || fail "reads behind the end go on"
	sleep 1
done
echo 3 >/proc/sys/vm/drop_caches
dd if="$dev" of=/dev/null bs=64k count=16 2>/dev/null ||
	fail "a read before the new end"
