# SPDX-License-Identifier: GPL-2.0-only
# lkvm.fs=WHAT on shares: "rw0" or what lkvm.tag= says, mounted at /mnt by
# virtio-fs, or by 9P with the options in lkvm.9p=.

export QUICK=1
what=$(arg fs suite)
tag=$(arg tag rw0)
mkdir -p /mnt /over
p9=$(arg 9p)

mount_share() {
	if [ -n "$p9" ]; then
		mount -t 9p "$tag" /mnt -o \
			"trans=virtio,version=9p2000.L,msize=512000,posixacl,$p9"
	else
		mount -t virtiofs "$tag" /mnt
	fi
}
mount_share || fail "cannot mount $tag"

# is SECONDS FILE TEXT: until that is in it
is() {
	local i

	for i in $(seq $(($1 * 10))); do
		[ "$(cat "$2" 2>/dev/null)" != "$3" ] || return 0
		sleep 0.1
	done
	echo "$2 has $(cat "$2" 2>&1), not $3"
	return 1
}

# Some of it, or what lkvm.names=A,B says. With lkvm.acls=1 the host's directory has ACLs.
suite() {
	[ -z "$(arg acls)" ] || export ACLS=1
	/bin/fs-suite /mnt $(arg names | tr , " ") || fail "fs-suite"
	umount /mnt && mount_share || fail "not a second time"
	[ -z "$(ls /mnt)" ] || fail "left: $(ls /mnt)"
}

# The host reads what it is told in /mnt/said, and answers by what it does.
coherent() {
	local begin

	echo first >/mnt/file
	[ "$(cat /mnt/file)" = first ] || fail "read"
	ls /mnt/dir >/dev/null
	[ ! -e /mnt/dir/appears ] || fail "there already"
	echo 1 >/mnt/said
	is 20 /mnt/begun 1 || fail "no host"
	is 1 /mnt/file "second one" || fail "a host edit is not seen"
	is 1 /mnt/dir/appears new || fail "a new file is not seen"
	[ ! -e /mnt/dir/gone ] || fail "a removed file is still there"
	[ -e /mnt/dir2/moved ] || fail "a moved directory is not seen"
	echo 2 >/mnt/said
	is 20 /mnt/begun 2 || fail "no host"
	[ "$(cat /mnt/file)" = third ] || is 1 /mnt/file third ||
		fail "an edit of the same size is not seen"
}

# Names in the same directories as the host's, then what there is of them all
stress() {
	mkdir /mnt/tree && /bin/fs-suite --stress /mnt/tree || fail "stress"
	/bin/fs-suite --creates /mnt/open || fail "creates"
	echo 1 >/mnt/said
	is 20 /mnt/begun 1 || fail "no host"
	sleep 1
	(cd /mnt/tree && find . | sort | while read -r f; do
		stat -c '%n %f %s %h %i %Y' "$f"
		[ ! -f "$f" ] || md5sum <"$f"
	done) >/mnt/view
}

readonly_share() {
	[ "$(cat /mnt/file)" = text ] || fail "cannot read"
	[ -d /mnt/dir ] && [ "$(readlink /mnt/link)" = file ] ||
		fail "not all is there"
	(echo x >/mnt/file) 2>/dev/null && fail "could write"
	(echo x >/mnt/new) 2>/dev/null && fail "could create"
	mkdir /mnt/d 2>/dev/null && fail "could mkdir"
	rm -f /mnt/file 2>/dev/null && fail "could remove"
	mv /mnt/file /mnt/g 2>/dev/null && fail "could rename"
	chmod 777 /mnt/file 2>/dev/null && fail "could chmod"
	ln -s a /mnt/sym 2>/dev/null && fail "could symlink"
	mknod /mnt/n p 2>/dev/null && fail "could mknod"
	truncate -s 0 /mnt/file 2>/dev/null && fail "could truncate"
	touch /mnt/file 2>/dev/null && fail "could touch"
	return 0
}

# The host's root as guests have it: for reading, with an overlay on top.
overlay() {
	local n

	mkdir -p /tmp/o
	mount -t tmpfs t /tmp/o && mkdir /tmp/o/upper /tmp/o/work || fail "tmpfs"
	mount -t overlay -o lowerdir=/mnt,upperdir=/tmp/o/upper,workdir=/tmp/o/work \
		root /over || fail "overlay"
	[ -z "$(ls -A /over/proc)$(ls -A /over/sys)" ] ||
		fail "the host's /proc is shown"
	[ -x /over/bin/busybox ] || [ -x /over/usr/bin/env ] || fail "no programs"
	chroot /over /bin/sh -c 'echo "$((6 * 7))"' >/tmp/answer || fail "chroot"
	[ "$(cat /tmp/answer)" = 42 ] || fail "sh says $(cat /tmp/answer)"
	n=$(ls /over/etc | wc -l)
	[ "$n" -gt 20 ] || fail "/etc has $n files"
	echo guest >>/over/etc/passwd || fail "copy up"
	rm -rf /over/etc/[a-o]* /over/home || fail "rm"
	[ ! -e /over/home ] && [ ! -e /over/etc/fstab ] || fail "still there"
	tail -n 1 /over/etc/passwd | grep -q '^guest$' || fail "not copied up"
	mkdir -p /over/tmp && /bin/fs-suite /over/tmp \
		data_comes_back programs_can_be_run rename_flags_are_obeyed \
		many_at_once_see_one_tree || fail "fs-suite"
}

case $what in
suite) suite ;;
coherent) coherent ;;
stress) stress ;;
readonly) readonly_share ;;
overlay) overlay ;;
esac
