# SPDX-License-Identifier: GPL-2.0-only
# The guest powers off without having said a result.

poweroff -f
sleep 60
fail "still alive"
