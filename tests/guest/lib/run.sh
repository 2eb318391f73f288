# SPDX-License-Identifier: GPL-2.0-only
#
# Runs guests: sourced by tests/guest/run and tests/hostile/run. Each directory
# with a main.c is a guest, and has a file "cases" that runs it:
#
#	guest STATUS [WORD=VALUE...] [-- lkvm's options]
#
# STATUS is lkvm's. Words: name=, what is put behind the guest's name; in=, a
# file for standard input; out=, err=, patterns (extended) that a line of
# standard output, standard error has to match; lines=, how many lines standard
# error may have (none is the default, and any with err=); time=, seconds;
# as=qemu, lkvm is called by that name and options are QEMU's.
# $work is a directory for files. Prints KTAP.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd -P) || exit 1
all=$(mktemp -d) || exit 1
trap 'rm -rf "$all"' EXIT
# result NAME STATUS WHY: one line of KTAP, numbered later
result() {
	if [ "$2" = 0 ]; then
		echo "ok - $1"
	else
		tail -c 1000 "$work/out" | tr -d '\000' | sed 's/^/# out: /'
		echo
		tail -n 60 "$work/err" | sed 's/^/# err: /'
		echo "# $3"
		echo "not ok - $1"
	fi
}

# verdict NAME STATUS: what is wrong, or nothing
verdict() {
	local nr

	nr=$(wc -l <"$work/err")
	if grep -qE '(Address|Leak|Thread)Sanitizer|runtime error' "$work/err"; then
		echo "a sanitizer complained"
	elif [ "$2" != "$want" ]; then
		echo "status $2, not $want"
	elif [ -n "$out" ] && ! grep -qaE "$out" "$work/out"; then
		echo "no line of stdout matches $out"
	elif [ -n "$err" ] && ! grep -qE "$err" "$work/err"; then
		echo "no line of stderr matches $err"
	elif [ "$nr" -gt "$lines" ]; then
		echo "$nr lines on stderr, more than $lines"
	fi
}

guest() {
	local want=$1 name=$dir in=/dev/null out='' err='' lines='' time=60
	local status why try as=run cmd

	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		case $1 in
		name=*) name=$dir-${1#*=} ;;
		in=*) in=${1#*=} ;;
		out=*) out=${1#*=} ;;
		err=*) err=${1#*=} ;;
		lines=*) lines=${1#*=} ;;
		time=*) time=${1#*=} ;;
		as=*) as=${1#*=} ;;
		*) echo "# $dir: unknown word $1"; exit 1 ;;
		esac
		shift
	done
	shift
	[ -n "$lines" ] || lines=$([ -n "$err" ] && echo 60 || echo 0)
	cmd=("$lkvm" run -k "$images/$dir" -m 16M -c 1 --nodefaults --timeout "$time")
	if [ $as = qemu ]; then
		ln -sf "$lkvm" "$work/qemu-system-x86_64"
		cmd=("$work/qemu-system-x86_64" -kernel "$images/$dir" -m 16)
	fi
	for try in first last; do
		timeout -k 10 $((time + 20)) "${cmd[@]}" "$@" <"$in" \
			>"$work/out" 2>"$work/err"
		status=$?
		# An emulated host does that, see Documentation/testing.md.
		[ $try = first ] && [ -n "${LKVM_IN_EMULATED_HOST:-}" ] &&
			[ "$status" != "$want" ] &&
			why=$(grep -xE 'lkvm: (timeout|the guest triple-faulted)' \
				"$work/err") || break
		echo "# $name: ${why#lkvm: }, once more"
	done
	why=$(verdict "$name" $status)
	[ -z "$why" ]
	result "$name" $? "$why"
}

# resets OPTIONS...: the guest starts over, again and again, in the middle of it
resets() {
	local run=$work/run why='' i

	mkdir -m 700 "$run" || exit 1
	export XDG_RUNTIME_DIR=$run
	timeout 60 "$lkvm" run --detach --name r -k "$images/$dir" -m 16M --nodefaults \
		--timeout 60 "$@" </dev/null >"$work/out" 2>"$work/err" || why="no start"
	for ((i = 0; i < 20; i++)); do
		[ -n "$why" ] || timeout 30 "$lkvm" reset r 2>>"$work/err" ||
			why="reset $i failed"
	done
	timeout 60 "$lkvm" stop --force r 2>>"$work/err" || why="${why:-no stop}"
	! grep -qE '(Address|Leak|Thread)Sanitizer|runtime error' "$run/lkvm/r.log" ||
		why="a sanitizer complained"
	cat "$run/lkvm/r.log" >>"$work/err"
	unset XDG_RUNTIME_DIR
	[ -z "$why" ]
	result "$dir-starts-over" $? "$why"
}

# stays_inside ERR RW RO: a guest that wants out of a share; RW and RO are options
# of lkvm, with % for the directory
stays_inside() {
	local kind option base=$work/base

	for kind in rw ro; do
		option=$2
		[ $kind = rw ] || option=$3
		rm -rf "$base"
		mkdir -p "$base/share/dir"
		echo secret >"$base/secret"
		echo text >"$base/share/file"
		ln -s ../secret "$base/share/out"
		ln -s / "$base/share/root"
		# shellcheck disable=SC2086
		guest 0 name=$kind time=120 lines=12 "err=$1" -- ${option//%/$base/share}
		[ "$(cat "$base/secret")" = secret ] &&
			[ "$(ls "$base" | tr '\n' ' ')" = 'secret share ' ]
		result "$dir-$kind-stay-inside" $? "something outside has changed"
	done
	[ "$(cat "$base/share/file")" = text ] && [ "$(ls "$base/share" | wc -l)" = 4 ]
	result "$dir-change-nothing-readonly" $? "a readonly share has changed"
}

# run_directory: all cases of $dir, as one job; all it says in one piece
run_directory() {
	local log=$all/$dir.log

	work=$all/$dir
	mkdir "$work" || exit 1
	. "./$dir/cases" >"$log" 2>&1
	grep -qE '^(not )?ok ' "$log" || echo "not ok - $dir" >>"$log"
	flock "$all" cat "$log"
	rm -rf "$work" "$log"
}

# run_all NAME...: a guest waits more than it works, so three at a time
run_all() {
	local dir

	for dir in "$@"; do
		dir=${dir%/}
		[ -f "$dir/main.c" ] || continue
		while [ "$(jobs -rp | wc -l)" -ge 3 ]; do
			wait -n
		done
		run_directory &
	done
	wait
}

# number: numbers the results on standard input. Return: whether all are good
number() {
	local n=0 bad=0 line

	while IFS= read -r line; do
		case $line in
		'ok - '*) line="ok $((++n)) ${line#ok - }" ;;
		'not ok - '*) line="not ok $((++n)) ${line#not ok - }" bad=1 ;;
		esac
		printf '%s\n' "$line"
	done
	echo "1..$n"
	return $bad
}

# run_guests SUITE LKVM IMAGES [NAME...]
run_guests() {
	local suite=$1

	lkvm=$all/lkvm images=$all/images
	cp "$2" "$lkvm" && cp -r "$3" "$images" || exit 1
	shift 3
	cd "$top/tests/$suite" || exit 1
	[ $# -gt 0 ] || set -- */
	echo "KTAP version 1"
	run_all "$@" | number
	exit $?
}
