# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What scripts that print KTAP share: each test calls result once; the last line
# of most is finish.

n=0 bad=0 last=$SECONDS

# logs: what there is to show of a test that failed; a script may have its own
logs() {
	cat "$work/log"
}

# result NAME STATUS [LOG...]: what failed is shown, from logs if none is named; what
# took long is said
result() {
	local name=$1 failed=$2 took=$((SECONDS - last))

	shift 2
	n=$((n + 1))
	last=$SECONDS
	if [ "$failed" = 0 ]; then
		[ $took -lt 10 ] || name+=" # $took s"
		echo "ok $n $name"
		return
	fi
	if [ $# -gt 0 ]; then
		cat "$@"
	else
		logs
	fi 2>/dev/null | tr -d '\r' | tail -n 40 | sed 's/^/# /'
	echo "not ok $n $name"
	bad=1
}

finish() {
	echo "1..$n"
	exit $bad
}
