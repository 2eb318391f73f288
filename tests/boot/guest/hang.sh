# SPDX-License-Identifier: GPL-2.0-only
# Says READY and then does nothing, for ever.

echo READY
while :; do sleep 1000; done
