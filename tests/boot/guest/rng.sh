# SPDX-License-Identifier: GPL-2.0-only
# The current hardware random number generator is virtio's and gives bytes.

have=$(cat /sys/class/misc/hw_random/rng_current 2>/dev/null)
case $have in
virtio_rng*) ;;
*) fail "rng_current is '$have'" ;;
esac
one=$(head -c 32 /dev/hwrng | md5sum) || fail "cannot read /dev/hwrng"
two=$(head -c 32 /dev/hwrng | md5sum)
[ "$one" != "$two" ] || fail "gives the same bytes twice"
