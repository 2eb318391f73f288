# SPDX-License-Identifier: GPL-2.0-only
# lkvm.tty=NAME: a small dialogue on the console, as its session's terminal:
# "size" prints the size of the window, "quit" ends, ^C prints INTERRUPTED.

cat >/tmp/dialogue <<'END'
trap 'echo INTERRUPTED' INT
echo READY
n=0
while [ $n -lt 1000 ]; do
	n=$((n + 1))
	read -r line || continue
	case $line in
	quit) exit 0 ;;
	size) echo "SIZE $(stty size)" ;;
	*) echo "LINE $line" ;;
	esac
done
exit 1
END
tty=/dev/$(arg tty ttyS0)
setsid sh -c "exec sh /tmp/dialogue <$tty >$tty 2>&1" || fail "dialogue"
