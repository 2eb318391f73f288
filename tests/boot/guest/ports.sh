# SPDX-License-Identifier: GPL-2.0-only
# lkvm.ports=NAME:KIND:BYTES,...   virtio ports and what happens on them:
#   echo   that many bytes are read, and sent back; then one is read
#   write  /fill of that many bytes is written; its sum is said
#   read   is read to its end, which comes after that many; the sum is said
#   lines  so many long lines are written, each with its number
#   tty    is a console, hvcBYTES, that says hello
# says MD5 NAME SUM.

port() {
	local d

	for d in /sys/class/virtio-ports/*; do
		[ "$(cat "$d/name" 2>/dev/null)" != "$1" ] || {
			echo "/dev/${d##*/}"
			return
		}
	done
}

sum() {
	echo "MD5 $1 $(md5sum <"$2" | cut -d' ' -f1)"
}

# a line's number, and as much again as makes it long
zeros=$(printf '%091d' 0)
long_lines() {
	seq -s "$zeros
" "$1"
}

for spec in $(arg ports | tr , ' '); do
	IFS=: read -r name kind bytes <<-END
		$spec
	END
	dev=$(port "$name")
	[ -c "$dev" ] || fail "no port $name"
	case $kind in
	echo)
		exec 3<>"$dev" || fail "cannot open $dev"
		# at an end until somebody is at the other side
		until head -c "$bytes" <&3 >/tmp/data && [ -s /tmp/data ]; do
			sleep 1
		done
		[ "$(wc -c </tmp/data)" = "$bytes" ] ||
			fail "$name: $(wc -c </tmp/data) bytes"
		sum "$name" /tmp/data
		cat /tmp/data >&3 || fail "$name: cannot write"
		# What is on its way is lost when the device is reset, which it
		# is by a kernel that shuts down: wait for the byte that says
		# it is all there.
		[ "$(head -c 1 <&3 | wc -c)" = 1 ] || fail "$name: no answer"
		exec 3>&-
		;;
	write)
		head -c "$bytes" /dev/urandom >/tmp/data
		sum "$name" /tmp/data
		cat /tmp/data >"$dev" || fail "$name: cannot write"
		;;
	read)
		until cat "$dev" >/tmp/data && [ -s /tmp/data ]; do
			sleep 1
		done
		[ "$(wc -c </tmp/data)" = "$bytes" ] ||
			fail "$name: $(wc -c </tmp/data) bytes"
		sum "$name" /tmp/data
		;;
	lines)
		long_lines "$bytes" >"$dev" || fail "$name: cannot write"
		;;
	tty)
		stty raw -echo <"/dev/hvc$bytes"
		echo "hello from hvc$bytes" >"/dev/hvc$bytes"
		;;
	esac
	rm -f /tmp/data
done

# lkvm.lines=N: that many on the console, short ones: the driver of hvc sends 16
# bytes at a time
lines=$(arg lines 0)
[ "$lines" = 0 ] || {
	echo LINES
	seq "$lines"
	echo END
}
