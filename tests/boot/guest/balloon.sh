# SPDX-License-Identifier: GPL-2.0-only
# Does what the other end of the console asks for, a line at a time: fill and
# drop memory, eat more than there is with a balloon, end.

stty -echo
mkdir -p /fill
mount -t tmpfs -o size=240m fill /fill || fail "no tmpfs"
echo READY
while read -r what; do
	case $what in
	fill) dd if=/dev/zero of=/fill/file bs=1M count=150 2>/dev/null ||
		fail "cannot fill" ;;
	drop) rm -f /fill/file ;;
	eat) dd if=/dev/zero of=/dev/null bs=110M count=1 2>/dev/null ||
		fail "cannot eat" ;;
	end) ;;
	*) fail "unknown command $what" ;;
	esac
	echo "DONE $what"
	[ "$what" != end ] || break
done
