#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Runs guests that break the rules, on an lkvm with sanitizers: it has to live and
# say what happened.

here=$(cd "$(dirname "$0")" && pwd -P) || exit 1
# In a tree with O= what was built is there and this is not.
[ -d "$here/tests" ] || here=${OUTPUT:-$here}
skip() {
	echo "1..0 # SKIP $*"
	exit 4
}

[ -e /dev/kvm ] || skip "no /dev/kvm"
{ : <>/dev/kvm; } 2>/dev/null || skip "/dev/kvm cannot be opened"
command -v bash >/dev/null || skip "no bash"
# A run of no test at all is not a pass.
exec bash -o pipefail -c '"$@" | awk "
	{ print; fflush() }
	/^(not )?ok / { n++ }
	END { if (!n) print \"not ok 1 nothing ran\"; exit !n }"' - \
	"$here/tests/hostile/run" \
	"$here/tests/images/lkvm" "$here/tests/images/hostile" "$@"
