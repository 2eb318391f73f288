# SPDX-License-Identifier: GPL-2.0-only
# The kernel panics; the machine is not heard of again.

echo 1 >/proc/sys/kernel/sysrq
sync
echo c >/proc/sysrq-trigger
sleep 5
fail "still alive"
