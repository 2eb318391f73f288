# SPDX-License-Identifier: GPL-2.0-only
# run_kselftest.sh by hand, for tests/bench/kselftest.sh: in a copy of the host's
# root, "root" by 9p, that forgets what is written. lkvm.dir=DIR is where it is,
# lkvm.collections=A,B what it is to run.

mkdir -p /low /top /mnt
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /low ||
	fail "cannot mount the host's root"
mount -t tmpfs top /top
mkdir /top/up /top/work
mount -t overlay -o lowerdir=/low,upperdir=/top/up,workdir=/top/work root /mnt ||
	fail "no overlay"
mount -t proc none /mnt/proc
mount -t sysfs sys /mnt/sys
mount -t devtmpfs dev /mnt/dev
ip link set lo up
chroot /mnt /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
	"$(arg dir)/run_kselftest.sh" $(arg collections | sed 's/^/-c /; s/,/ -c /g') 2>&1
