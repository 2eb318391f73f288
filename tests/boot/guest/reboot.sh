# SPDX-License-Identifier: GPL-2.0-only
# The guest asks for a restart.

echo "RESULT reboot ok"
reboot -f
sleep 60
fail "still alive"
