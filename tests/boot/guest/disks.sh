# SPDX-License-Identifier: GPL-2.0-only
# lkvm.disks=N                  exactly N virtio disks exist
# lkvm.disk=NAME:ro|rw:SERIAL:TEXT,...
#   each is read-only or not, has this serial number and starts with this
#   text; an empty field is not looked at. The whole disk can be read.

want=$(arg disks 0)
have=0
for d in /sys/block/vd*; do
	[ ! -d "$d" ] || have=$((have + 1))
done
[ "$have" = "$want" ] || fail "$have disks, want $want"

for spec in $(arg disk | tr , ' '); do
	IFS=: read -r name mode serial text <<-END
		$spec
	END
	sys=/sys/block/$name
	[ -b "/dev/$name" ] || fail "no /dev/$name"
	ro=$(cat "$sys/ro")
	case $mode in
	ro)
		[ "$ro" = 1 ] || fail "$name is writable"
		! dd if=/dev/zero of="/dev/$name" bs=512 count=1 conv=fsync \
			2>/dev/null || fail "$name took a write"
		;;
	rw) [ "$ro" = 0 ] || fail "$name is read-only" ;;
	esac
	have=$(cat "$sys/serial")
	[ -z "$serial" ] || [ "$have" = "$serial" ] ||
		fail "$name has serial '$have', want '$serial'"
	have=$(dd if="/dev/$name" bs=512 count=1 2>/dev/null |
		head -c "${#text}")
	[ "$have" = "$text" ] || fail "$name starts with '$have'"
	bytes=$(wc -c <"/dev/$name")
	[ "$bytes" = $(($(cat "$sys/size") * 512)) ] ||
		fail "$name: read $bytes bytes of $(cat "$sys/size") sectors"
done
